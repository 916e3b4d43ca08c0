/* SPDX-License-Identifier: MPL-2.0 */
/*
 * id_index - finds items of an array by a 128-bit id, at 4 bytes a place.
 *
 * The array is the caller's; each item starts with its struct id128. Open
 * addressing with linear probing, at most two thirds full: about 8 bytes an
 * item, where a map of pointers would take 32 and more.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_ID_INDEX_H
#define AEROSTORE_ENGINE_MAILBOX_ID_INDEX_H

#include "engine/base/bytes.h"

#define ID_INDEX_NONE UINT32_MAX

struct id_index {
	uint32_t *places; /* item + 1; 0: empty */
	size_t capacity, count;
};

/* The array as it lies now. */
struct id_items {
	const void *first;
	size_t item_size;
};

void id_index_finish(struct id_index *index);
uint32_t id_index_find(const struct id_index *index, struct id_items items, struct id128 id);
/* Room for one more, so that the next id_index_put() cannot fail. ERR_NOMEM. */
MUST_USE enum err id_index_reserve(struct id_index *index, struct id_items items);
/* items[item] is filled in already, and its id is not in the index. After id_index_reserve(). */
void id_index_put(struct id_index *index, struct id_items items, uint32_t item);
/* Before items[item] is cleared. */
void id_index_remove(struct id_index *index, struct id_items items, uint32_t item);

#endif
