/* SPDX-License-Identifier: MPL-2.0 */
/*
 * residue - looks for a secret in all memory of this process.
 *
 * The secret is given masked (each octet xor RESIDUE_MASK), so that the search
 * does not find its own needle.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_RESIDUE_H
#define AEROSTORE_TESTS_SUPPORT_RESIDUE_H

#include <stddef.h>
#include <stdint.h>

#define RESIDUE_MASK 0x5au

/* How many places of readable and writable memory hold it. `size` is 8..64. */
size_t residue_count(const uint8_t *masked, size_t size);

#endif
