/* SPDX-License-Identifier: MPL-2.0 */
/*
 * memory - every heap allocation of the engine and of the servers.
 *
 * memory_allocate() and friends return NULL when memory is out, which callers
 * turn into ERR_NOMEM; a size of 0 is allowed and gives a pointer that can be
 * freed. Tests make the n-th allocation fail with memory_fail_after().
 * Whatever is freed or moved is overwritten first: nearly all of it was
 * somebody's mail. Nothing here holds long-lived keys: those live in
 * engine/crypto/key.h.
 */
#ifndef AEROSTORE_ENGINE_BASE_MEMORY_H
#define AEROSTORE_ENGINE_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed. */
void *memory_allocate(size_t size) __attribute__((malloc, warn_unused_result));
/* Zeroed; NULL also when count * size overflows. */
void *memory_array(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/* As realloc(3); the bytes beyond the old size are undefined. */
void *memory_resize(void *block, size_t size) __attribute__((warn_unused_result));
/* Overwrites with zeros first; NULL is allowed. */
void memory_free(void *block);
/* In a way no optimiser removes. */
void memory_wipe(void *block, size_t size);

/* Tests only: the allocation after the next `count` ones fails, once. UINT64_MAX: never. */
void memory_fail_after(uint64_t count);
/* Bytes that are allocated now, as the allocator counts them. */
uint64_t memory_held(void);
/* Allocations made since the start; what a test iterates memory_fail_after() over. */
uint64_t memory_allocations(void);

#endif
