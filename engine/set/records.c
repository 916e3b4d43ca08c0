/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/records.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

struct name {
	struct id128 id;
	uint32_t piece;
};

static_assert(sizeof(struct name) == 20, "no padding in a key");

/* The map holds positions, counted from one because its values are never NULL. */
static void *position_value(size_t index)
{
	return (void *)(uintptr_t)(index + 1);
}

void records_init(struct records *records)
{
	*records = (struct records){0};
	map_init(&records->by_name, sizeof(struct name));
}

void records_finish(struct records *records)
{
	memory_free(records->items);
	map_finish(&records->by_name);
	records->items = NULL;
	records->count = records->capacity = 0;
}

enum err records_reserve(struct records *records, struct id128 id, uint32_t piece)
{
	struct name name = {id, piece};

	if (records->count == records->capacity) {
		size_t capacity = records->capacity != 0 ? records->capacity * 2 : 64;
		struct records_item *items =
			memory_resize(records->items, capacity * sizeof(*items));

		if (items == NULL)
			return ERR_NOMEM;
		records->items = items;
		records->capacity = capacity;
	}
	/* A name is once in a set; should it come again, the first stays the one that is found. */
	if (records_find(records, id, piece) != NULL)
		return ERR_OK;
	return map_put(&records->by_name, &name, position_value(records->count));
}

void records_add(struct records *records, const struct column_entry *entry, uint64_t place)
{
	ASSERT(records->count < records->capacity);
	records->items[records->count++] = (struct records_item){*entry, place};
}

const struct records_item *records_find(const struct records *records, struct id128 id,
					uint32_t piece)
{
	struct name name = {id, piece};
	uintptr_t position = (uintptr_t)map_get(&records->by_name, &name);

	/* A reservation whose record was then refused points behind the end, or at another. */
	if (position == 0 || position > records->count ||
	    column_entry_compare(id, piece, &records->items[position - 1].entry) != 0)
		return NULL;
	return &records->items[position - 1];
}
