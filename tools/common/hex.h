/* SPDX-License-Identifier: MPL-2.0 */
/*
 * hex - ids and keys as text: lower-case hexadecimal, two digits an octet.
 */
#ifndef AEROSTORE_TOOLS_COMMON_HEX_H
#define AEROSTORE_TOOLS_COMMON_HEX_H

#include "engine/base/bytes.h"

#define HEX_ID_SIZE 33u /* text of a struct id128 with its NUL */

void hex_put(struct buf *out, struct bytes octets);
/* Appends the octets; either case of letters. ERR_INVALID: an odd count, or other characters. */
MUST_USE enum err hex_parse(struct bytes text, struct buf *out);
/* Exactly `size` octets; `out` is untouched on failure. */
MUST_USE enum err hex_parse_exact(const char *text, void *out, size_t size);
void hex_id(struct id128 id, char out[HEX_ID_SIZE]);

#endif
