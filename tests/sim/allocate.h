/* SPDX-License-Identifier: MPL-2.0 */
/*
 * allocate - the simulator's own memory.
 *
 * Apart from engine/base/memory.h, so that a test that makes the n-th
 * allocation fail counts and hits the code under test, never the world around
 * it. Nothing here fails: a host without memory ends the process.
 */
#ifndef AEROSTORE_TESTS_SIM_ALLOCATE_H
#define AEROSTORE_TESTS_SIM_ALLOCATE_H

#include <stddef.h>

/* Zeroed. */
void *sim_allocate(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* As realloc(3); what lies beyond the old size is undefined. */
void *sim_resize(void *block, size_t size) __attribute__((returns_nonnull, warn_unused_result));
/* Room for one more item of item_size in an array that doubles; gives the array back. */
void *sim_grow(void *array, size_t count, size_t *capacity, size_t item_size)
	__attribute__((returns_nonnull, warn_unused_result));
void *sim_copy(const void *data, size_t size)
	__attribute__((malloc, returns_nonnull, warn_unused_result));
char *sim_copy_string(const char *text)
	__attribute__((malloc, returns_nonnull, warn_unused_result));
void sim_free(void *block);

#endif
