/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/journal.h"

/* Bytes of an item in the encoding, at least: what a count is checked against before allocating. */
#define ITEM_SIZE_MIN 17u

void vector_finish(struct vector *vector)
{
	memory_free(vector->items);
	*vector = (struct vector){0};
}

/* Where the incarnation is, or would go. */
static size_t position_of(const struct vector *vector, struct id128 incarnation)
{
	size_t low = 0, high = vector->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (id128_compare(vector->items[middle].incarnation, incarnation) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct vector *vector, size_t position, struct id128 incarnation)
{
	return position < vector->count &&
	       id128_equal(vector->items[position].incarnation, incarnation);
}

uint64_t vector_get(const struct vector *vector, struct id128 incarnation)
{
	size_t position = position_of(vector, incarnation);

	return is_at(vector, position, incarnation) ? vector->items[position].seq : 0;
}

static enum err make_room(struct vector *vector, size_t count)
{
	struct vector_item *items;
	size_t capacity = vector->capacity != 0 ? vector->capacity : 4;

	if (count <= vector->capacity)
		return ERR_OK;
	while (capacity < count)
		capacity *= 2;
	items = memory_resize(vector->items, capacity * sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	vector->items = items;
	vector->capacity = capacity;
	return ERR_OK;
}

enum err vector_raise(struct vector *vector, struct id128 incarnation, uint64_t seq)
{
	size_t position = position_of(vector, incarnation);
	enum err err;

	if (seq == 0)
		return ERR_OK;
	if (is_at(vector, position, incarnation)) {
		if (vector->items[position].seq < seq)
			vector->items[position].seq = seq;
		return ERR_OK;
	}
	err = make_room(vector, vector->count + 1);
	if (err != ERR_OK)
		return err;
	memmove(&vector->items[position + 1], &vector->items[position],
		(vector->count - position) * sizeof(*vector->items));
	vector->items[position] = (struct vector_item){incarnation, seq};
	vector->count++;
	return ERR_OK;
}

void vector_forget(struct vector *vector, struct id128 incarnation)
{
	size_t position = position_of(vector, incarnation);

	if (!is_at(vector, position, incarnation))
		return;
	vector->count--;
	memmove(&vector->items[position], &vector->items[position + 1],
		(vector->count - position) * sizeof(*vector->items));
}

enum err vector_merge(struct vector *vector, const struct vector *other)
{
	for (size_t i = 0; i < other->count; i++) {
		enum err err =
			vector_raise(vector, other->items[i].incarnation, other->items[i].seq);

		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

bool vector_covers(const struct vector *a, const struct vector *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (vector_get(a, b->items[i].incarnation) < b->items[i].seq)
			return false;
	return true;
}

enum err vector_copy(const struct vector *from, struct vector *to)
{
	enum err err = make_room(to, from->count);

	if (err != ERR_OK)
		return err;
	if (from->count != 0)
		memcpy(to->items, from->items, from->count * sizeof(*from->items));
	to->count = from->count;
	return ERR_OK;
}

void vector_encode(const struct vector *vector, struct buf *out)
{
	buf_put_varint(out, vector->count);
	for (size_t i = 0; i < vector->count; i++) {
		buf_put_id(out, vector->items[i].incarnation);
		buf_put_varint(out, vector->items[i].seq);
	}
}

enum err vector_decode(struct cursor *cursor, struct vector *out)
{
	struct vector read = {0};
	uint64_t count = cursor_varint(cursor);
	enum err err;

	if (count > cursor_left(cursor) / ITEM_SIZE_MIN)
		cursor_fail(cursor);
	if (cursor->err != ERR_OK)
		return cursor->err;
	err = make_room(&read, (size_t)count);
	if (err != ERR_OK)
		return err;
	for (; read.count < count; read.count++) {
		struct vector_item *item = &read.items[read.count];

		item->incarnation = cursor_id(cursor);
		item->seq = cursor_varint(cursor);
		/* One vector, one byte string: sorted, no zeros. */
		if (item->seq == 0 || (read.count != 0 &&
				       id128_compare(item[-1].incarnation, item->incarnation) >= 0))
			cursor_fail(cursor);
		if (cursor->err != ERR_OK)
			break;
	}
	if (cursor->err != ERR_OK) {
		vector_finish(&read);
		return cursor->err;
	}
	vector_finish(out);
	*out = read;
	return ERR_OK;
}
