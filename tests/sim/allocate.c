/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/allocate.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

void *sim_allocate(size_t size)
{
	void *block = calloc(1, size != 0 ? size : 1);

	ASSERT(block != NULL);
	return block;
}

void *sim_resize(void *block, size_t size)
{
	void *resized = realloc(block, size != 0 ? size : 1);

	ASSERT(resized != NULL);
	return resized;
}

void *sim_grow(void *array, size_t count, size_t *capacity, size_t item_size)
{
	if (count < *capacity)
		return array;
	*capacity = *capacity != 0 ? *capacity * 2 : 8;
	return sim_resize(array, *capacity * item_size);
}

void *sim_copy(const void *data, size_t size)
{
	void *copy = sim_allocate(size);

	if (size != 0)
		memcpy(copy, data, size);
	return copy;
}

char *sim_copy_string(const char *text)
{
	return sim_copy(text, strlen(text) + 1);
}

void sim_free(void *block)
{
	free(block);
}
