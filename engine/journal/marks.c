/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"
#include "engine/journal/protocol.h"

#define MARK_VERSION 1u
#define MARK_COUNTED 1u
#define MARK_SIZE 32u

int journal_position_compare(struct journal_position a, struct journal_position b)
{
	if (a.segment != b.segment)
		return a.segment < b.segment ? -1 : 1;
	return a.offset < b.offset ? -1 : a.offset > b.offset;
}

void marks_finish(struct marks *marks)
{
	memory_free(marks->items);
	*marks = (struct marks){0};
}

bool marks_raise(struct marks *marks, struct id128 volume, struct journal_position position)
{
	struct mark *items;

	for (size_t i = 0; i < marks->count; i++) {
		if (!id128_equal(marks->items[i].volume, volume))
			continue;
		if (journal_position_compare(marks->items[i].position, position) >= 0)
			return false;
		marks->items[i].position = position;
		return true;
	}
	if (marks->count >= LAYOUT_VOLUME_MAX)
		return false;
	items = memory_resize(marks->items, (marks->count + 1) * sizeof(*items));
	if (items == NULL)
		return false;
	marks->items = items;
	items[marks->count++] = (struct mark){volume, position};
	return true;
}

struct journal_position marks_get(const struct marks *marks, struct id128 volume)
{
	for (size_t i = 0; i < marks->count; i++)
		if (id128_equal(marks->items[i].volume, volume))
			return marks->items[i].position;
	return (struct journal_position){0, 0};
}

void marks_encode(const struct marks *marks, struct buf *out)
{
	buf_put_u8(out, MARK_VERSION);
	buf_put_u8(out, marks->counted ? MARK_COUNTED : 0);
	buf_put_u16(out, (uint16_t)marks->count);
	buf_put_zeros(out, 4);
	for (size_t i = 0; i < marks->count; i++) {
		buf_put_id(out, marks->items[i].volume);
		buf_put_u64(out, marks->items[i].position.segment);
		buf_put_u64(out, marks->items[i].position.offset);
	}
}

enum err marks_merge_encoded(struct marks *marks, struct bytes encoded)
{
	struct cursor cursor = cursor_make(encoded);
	uint8_t version = cursor_u8(&cursor), flags = cursor_u8(&cursor);
	uint16_t count = cursor_u16(&cursor);

	cursor_zeros(&cursor, 4);
	if (cursor.err == ERR_OK && version > MARK_VERSION)
		return ERR_NEWER;
	if (version != MARK_VERSION || (flags & ~MARK_COUNTED) != 0 ||
	    cursor_left(&cursor) != (size_t)count * MARK_SIZE)
		return ERR_CORRUPT;
	for (uint16_t i = 0; i < count; i++) {
		struct id128 volume = cursor_id(&cursor);
		struct journal_position position = {cursor_u64(&cursor), 0};

		position.offset = cursor_u64(&cursor);
		(void)marks_raise(marks, volume, position);
	}
	marks->counted = (flags & MARK_COUNTED) != 0;
	return cursor_end(&cursor);
}
