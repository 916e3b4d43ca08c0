/* SPDX-License-Identifier: MPL-2.0 */
/*
 * array - room for one more item in an array that grows by half.
 *
 * ARRAY_GROW(items, capacity, count): ERR_OK when items[count] can be written.
 * ERR_NOMEM and ERR_LIMIT (2^32 - 1 items) leave everything as it was. The new
 * room is not cleared.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_ARRAY_H
#define AEROSTORE_ENGINE_MAILBOX_ARRAY_H

#include <stddef.h>

#include "engine/base/err.h"

MUST_USE enum err array_grow(void **items, size_t *capacity, size_t count, size_t item_size);

#define ARRAY_GROW(items, capacity, count)                                                         \
	array_grow((void **)&(items), &(capacity), (count), sizeof(*(items)))

#endif
