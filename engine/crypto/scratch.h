/* SPDX-License-Identifier: MPL-2.0 */
/*
 * scratch - a few large working memories kept for the next user.
 *
 * A delivery needs some hundred KiB for microseconds; getting them from the
 * kernel each time would cost more than the work. INV: what is given back holds
 * no plaintext and no key: who gives, wipes. Contents are undefined when taken.
 * Safe on any thread: a parked block is exchanged atomically.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_SCRATCH_H
#define AEROSTORE_ENGINE_CRYPTO_SCRATCH_H

#include <stdatomic.h>
#include <stddef.h>

#define SCRATCH_PARKED_MAX 4u

/* All blocks of one pool have one size. Zero before the first use. */
struct scratch_pool {
	_Atomic(void *) parked[SCRATCH_PARKED_MAX];
};

/* NULL when memory is out. */
void *scratch_take(struct scratch_pool *pool, size_t size) __attribute__((warn_unused_result));
/* Parks the block, or frees it when enough are parked. */
void scratch_give(struct scratch_pool *pool, void *block);

#endif
