/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/crypto/scratch.h"

#include "engine/base/memory.h"

void *scratch_take(struct scratch_pool *pool, size_t size)
{
	for (size_t i = 0; i < SCRATCH_PARKED_MAX; i++) {
		void *block = atomic_exchange(&pool->parked[i], NULL);

		if (block != NULL)
			return block;
	}
	return memory_allocate(size);
}

void scratch_give(struct scratch_pool *pool, void *block)
{
	for (size_t i = 0; i < SCRATCH_PARKED_MAX; i++) {
		void *empty = NULL;

		if (atomic_compare_exchange_strong(&pool->parked[i], &empty, block))
			return;
	}
	memory_free(block);
}
