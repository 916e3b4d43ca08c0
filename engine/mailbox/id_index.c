/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/id_index.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define CAPACITY_FIRST 16u

void id_index_finish(struct id_index *index)
{
	memory_free(index->places);
	*index = (struct id_index){0};
}

static struct id128 id_of(struct id_items items, uint32_t item)
{
	struct id128 id;

	memcpy(&id, (const uint8_t *)items.first + item * items.item_size, sizeof(id));
	return id;
}

/* Ids are random: any 64 bits of them are a hash. */
static size_t home_of(const struct id_index *index, struct id128 id)
{
	return (size_t)load_u64(id.octets) & (index->capacity - 1);
}

uint32_t id_index_find(const struct id_index *index, struct id_items items, struct id128 id)
{
	if (!index->capacity)
		return ID_INDEX_NONE;
	for (size_t i = home_of(index, id);; i = (i + 1) & (index->capacity - 1)) {
		if (!index->places[i])
			return ID_INDEX_NONE;
		if (id128_equal(id_of(items, index->places[i] - 1), id))
			return index->places[i] - 1;
	}
}

void id_index_put(struct id_index *index, struct id_items items, uint32_t item)
{
	size_t i;

	ASSERT(3 * (index->count + 1) <= 2 * index->capacity);
	i = home_of(index, id_of(items, item));
	while (index->places[i])
		i = (i + 1) & (index->capacity - 1);
	index->places[i] = item + 1;
	index->count++;
}

enum err id_index_reserve(struct id_index *index, struct id_items items)
{
	struct id_index grown = {0};

	if (3 * (index->count + 1) <= 2 * index->capacity)
		return ERR_OK;
	grown.capacity = index->capacity ? 2 * index->capacity : CAPACITY_FIRST;
	grown.places = memory_array(grown.capacity, sizeof(*grown.places));
	if (!grown.places)
		return ERR_NOMEM;
	for (size_t i = 0; i < index->capacity; i++) {
		if (index->places[i])
			id_index_put(&grown, items, index->places[i] - 1);
	}
	memory_free(index->places);
	*index = grown;
	return ERR_OK;
}

void id_index_remove(struct id_index *index, struct id_items items, uint32_t item)
{
	size_t mask = index->capacity - 1, hole = home_of(index, id_of(items, item));

	while (index->places[hole] != item + 1) {
		ASSERT(index->places[hole]);
		hole = (hole + 1) & mask;
	}
	/* Move back what was pushed past the hole, so that probing needs no tombstones. */
	for (size_t i = (hole + 1) & mask; index->places[i]; i = (i + 1) & mask) {
		size_t home = home_of(index, id_of(items, index->places[i] - 1));

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			index->places[hole] = index->places[i];
			hole = i;
		}
	}
	index->places[hole] = 0;
	index->count--;
}
