/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Atomics, because offloaded jobs allocate too; relaxed, because only tests read them. */
static atomic_uint_fast64_t allocations, held;
static atomic_uint_fast64_t fail_at = UINT64_MAX;

static int may_allocate(void)
{
	uint64_t number = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);

	return number != atomic_load_explicit(&fail_at, memory_order_relaxed);
}

static void *count(void *block)
{
	if (block != NULL)
		atomic_fetch_add_explicit(&held, malloc_usable_size(block), memory_order_relaxed);
	return block;
}

void *memory_allocate(size_t size)
{
	return may_allocate() ? count(calloc(1, size != 0 ? size : 1)) : NULL;
}

void *memory_array(size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	return memory_allocate(count * size);
}

/*
 * By hand rather than by realloc(3), which leaves what it moved behind. The
 * block's true size is asked of the allocator, so that none has to be kept.
 */
void *memory_resize(void *block, size_t size)
{
	size_t usable = block != NULL ? malloc_usable_size(block) : 0;
	void *bigger;

	if (!may_allocate())
		return NULL;
	if (block != NULL && size <= usable && size >= usable / 2)
		return block;
	bigger = count(malloc(size != 0 ? size : 1));
	if (bigger == NULL || block == NULL)
		return bigger;
	memcpy(bigger, block, usable < size ? usable : size);
	memory_free(block);
	return bigger;
}

void memory_free(void *block)
{
	if (block != NULL) {
		size_t usable = malloc_usable_size(block);

		explicit_bzero(block, usable);
		atomic_fetch_sub_explicit(&held, usable, memory_order_relaxed);
	}
	free(block);
}

void memory_wipe(void *block, size_t size)
{
	if (size != 0)
		explicit_bzero(block, size);
}

void memory_fail_after(uint64_t count)
{
	uint64_t now = atomic_load_explicit(&allocations, memory_order_relaxed);

	atomic_store_explicit(&fail_at, count > UINT64_MAX - now ? UINT64_MAX : now + count,
			      memory_order_relaxed);
}

uint64_t memory_held(void)
{
	return atomic_load_explicit(&held, memory_order_relaxed);
}

uint64_t memory_allocations(void)
{
	return atomic_load_explicit(&allocations, memory_order_relaxed);
}
