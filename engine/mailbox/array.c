/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/array.h"

#include "engine/base/memory.h"

#define CAPACITY_FIRST 8u

enum err array_grow(void **items, size_t *capacity, size_t count, size_t item_size)
{
	size_t wanted = *capacity ? *capacity + *capacity / 2 : CAPACITY_FIRST;
	void *grown;

	if (count < *capacity)
		return ERR_OK;
	if (wanted >= UINT32_MAX)
		return ERR_LIMIT;
	grown = memory_resize(*items, wanted * item_size);
	if (!grown)
		return ERR_NOMEM;
	*items = grown;
	*capacity = wanted;
	return ERR_OK;
}
