/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/arena.h"

#include <stdalign.h>
#include <string.h>

#include "engine/base/memory.h"

#define BLOCK_SIZE 4096u
#define ALIGN alignof(max_align_t)

struct arena_block {
	struct arena_block *next;
	size_t size, used; /* of `data` */
	alignas(max_align_t) uint8_t data[];
};

static struct arena_block *add_block(struct arena *arena, size_t size)
{
	struct arena_block *block;

	if (size < BLOCK_SIZE - sizeof(*block))
		size = BLOCK_SIZE - sizeof(*block);
	block = memory_allocate(sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *arena_allocate(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	void *at;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (arena->limit != 0 && size > arena->limit - arena->used)
		return NULL;
	if (block == NULL || size > block->size - block->used)
		block = add_block(arena, size);
	if (block == NULL)
		return NULL;
	at = block->data + block->used;
	block->used += size;
	arena->used += size;
	return at;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	return arena_allocate(arena, count * size);
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
	uint8_t *copy = bytes.size < SIZE_MAX ? arena_allocate(arena, bytes.size + 1) : NULL;

	if (copy == NULL)
		return bytes_make(NULL, 0);
	if (bytes.size != 0)
		memcpy(copy, bytes.data, bytes.size);
	return bytes_make(copy, bytes.size);
}

void arena_finish(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		if (arena->secret)
			memory_wipe(block->data, block->used);
		memory_free(block);
	}
	arena->used = 0;
}
