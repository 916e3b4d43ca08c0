/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/directory/directory.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

enum { SEAL_SIZE = 16, PLACEMENT_SIZE = 49, TAG_SIZE_OCTETS = 16, SUCCESSOR_SIZE = 8 };
enum { BIRTH_SIZE = 3 * 16 + 2 * 8 + 2, SEAL_AT = 33 };
enum { FLAG_BORN = 1, FLAG_CONFLICT = 2 };

#define DIRECTORY_VERSION 1u

/* ---- lists ---- */

struct list_shape {
	uint32_t item_size, key_size;
};

static const struct list_shape SEALS = {SEAL_SIZE, SEAL_SIZE},
			       PLACEMENTS = {PLACEMENT_SIZE, TAG_SIZE_OCTETS},
			       REMOVED = {TAG_SIZE_OCTETS, TAG_SIZE_OCTETS},
			       SUCCESSORS = {SUCCESSOR_SIZE, SUCCESSOR_SIZE};

static uint8_t *item_at(const struct directory_list *list, struct list_shape shape, uint32_t index)
{
	return list->items + (size_t)index * shape.item_size;
}

/* Where the key is, or would go. */
static bool list_find(const struct directory_list *list, struct list_shape shape,
		      const uint8_t *key, uint32_t *at)
{
	uint32_t low = 0, high = list->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(key, item_at(list, shape, middle), shape.key_size);

		if (order == 0) {
			*at = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*at = low;
	return false;
}

static enum err list_insert(struct directory_list *list, struct list_shape shape,
			    const uint8_t *item)
{
	uint8_t *items;
	uint32_t at;

	if (list_find(list, shape, item, &at))
		return ERR_OK;
	if (list->count == DIRECTORY_LIST_MAX)
		return ERR_LIMIT;
	items = memory_resize(list->items, (list->count + 1) * (size_t)shape.item_size);
	if (items == NULL)
		return ERR_NOMEM;
	list->items = items;
	memmove(items + (at + 1) * (size_t)shape.item_size, items + at * (size_t)shape.item_size,
		(list->count - at) * (size_t)shape.item_size);
	memcpy(items + at * (size_t)shape.item_size, item, shape.item_size);
	list->count++;
	return ERR_OK;
}

static void list_remove(struct directory_list *list, struct list_shape shape, const uint8_t *key)
{
	uint32_t at;

	if (!list_find(list, shape, key, &at))
		return;
	list->count--;
	memmove(item_at(list, shape, at), item_at(list, shape, at + 1),
		(list->count - at) * (size_t)shape.item_size);
}

static void list_finish(struct directory_list *list)
{
	memory_free(list->items);
	*list = (struct directory_list){0};
}

void directory_record_finish(struct directory_record *record)
{
	list_finish(&record->seals);
	list_finish(&record->placements);
	list_finish(&record->removed);
	list_finish(&record->successors);
}

/* ---- items ---- */

static void put_hash(uint8_t *out, struct hash128 hash)
{
	store_u64(out, hash.low);
	store_u64(out + 8, hash.high);
}

static void encode_birth(const struct directory_birth *birth, uint8_t out[BIRTH_SIZE])
{
	memcpy(out, birth->uuid.octets, 16);
	memcpy(out + 16, birth->node.octets, 16);
	memcpy(out + 32, birth->incarnation.octets, 16);
	store_u64(out + 48, birth->created_ms);
	store_u64(out + 56, birth->capacity);
	out[64] = birth->profile.k;
	out[65] = birth->profile.m;
}

void directory_set_birth(struct directory_record *record, const struct directory_birth *birth)
{
	uint8_t present[BIRTH_SIZE], other[BIRTH_SIZE];
	int order = 1;

	if (record->born) {
		encode_birth(&record->birth, present);
		encode_birth(birth, other);
		order = memcmp(present, other, BIRTH_SIZE);
		record->conflict |= order != 0;
	}
	if (order > 0)
		record->birth = *birth;
	record->born = true;
}

enum err directory_add_seal(struct directory_record *record, struct hash128 seal)
{
	uint8_t item[SEAL_SIZE];

	put_hash(item, seal);
	return list_insert(&record->seals, SEALS, item);
}

static enum err add_placement(struct directory_record *record, const uint8_t *item)
{
	uint32_t at;

	if (list_find(&record->removed, REMOVED, item, &at))
		return ERR_OK;
	if (list_find(&record->placements, PLACEMENTS, item, &at)) {
		uint8_t *present = item_at(&record->placements, PLACEMENTS, at);

		/* The higher of two, so that the order of merging does not matter. */
		if (memcmp(item + TAG_SIZE_OCTETS, present + TAG_SIZE_OCTETS,
			   PLACEMENT_SIZE - TAG_SIZE_OCTETS) > 0)
			memcpy(present, item, PLACEMENT_SIZE);
		return ERR_OK;
	}
	return list_insert(&record->placements, PLACEMENTS, item);
}

enum err directory_add_placement(struct directory_record *record,
				 const struct directory_placement *placement)
{
	uint8_t item[PLACEMENT_SIZE];

	memcpy(item, placement->tag.octets, 16);
	item[16] = placement->column;
	memcpy(item + 17, placement->volume.octets, 16);
	put_hash(item + SEAL_AT, placement->seal);
	return add_placement(record, item);
}

enum err directory_remove_tag(struct directory_record *record, struct id128 tag)
{
	enum err err = list_insert(&record->removed, REMOVED, tag.octets);

	if (err == ERR_OK)
		list_remove(&record->placements, PLACEMENTS, tag.octets);
	return err;
}

enum err directory_add_successor(struct directory_record *record, uint64_t set)
{
	uint8_t item[SUCCESSOR_SIZE];

	store_u64(item, set);
	return list_insert(&record->successors, SUCCESSORS, item);
}

void directory_get_placement(const struct directory_record *record, uint32_t index,
			     struct directory_placement *out)
{
	const uint8_t *item = item_at(&record->placements, PLACEMENTS, index);

	ASSERT(index < record->placements.count);
	memcpy(out->tag.octets, item, 16);
	out->column = item[16];
	memcpy(out->volume.octets, item + 17, 16);
	out->seal = (struct hash128){load_u64(item + SEAL_AT), load_u64(item + SEAL_AT + 8)};
}

uint64_t directory_get_successor(const struct directory_record *record, uint32_t index)
{
	ASSERT(index < record->successors.count);
	return load_u64(item_at(&record->successors, SUCCESSORS, index));
}

bool directory_is_removed(const struct directory_record *record, struct id128 tag)
{
	uint32_t at;

	return list_find(&record->removed, REMOVED, tag.octets, &at);
}

bool directory_is_alarming(const struct directory_record *record)
{
	return record->conflict || record->seals.count > 1;
}

/* ---- merging ---- */

static enum err merge_list(struct directory_list *into, struct list_shape shape,
			   const struct directory_list *from)
{
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < from->count; i++)
		err = list_insert(into, shape, item_at(from, shape, i));
	return err;
}

enum err directory_record_merge(struct directory_record *into, const struct directory_record *from)
{
	enum err err = ERR_OK;

	ASSERT(into->set == from->set);
	if (from->born)
		directory_set_birth(into, &from->birth);
	into->conflict |= from->conflict;
	for (uint32_t i = 0; err == ERR_OK && i < from->removed.count; i++) {
		struct id128 tag;

		memcpy(tag.octets, item_at(&from->removed, REMOVED, i), 16);
		err = directory_remove_tag(into, tag);
	}
	for (uint32_t i = 0; err == ERR_OK && i < from->placements.count; i++)
		err = add_placement(into, item_at(&from->placements, PLACEMENTS, i));
	if (err == ERR_OK)
		err = merge_list(&into->seals, SEALS, &from->seals);
	if (err == ERR_OK)
		err = merge_list(&into->successors, SUCCESSORS, &from->successors);
	return err;
}

enum err directory_record_learn(struct directory_record *record, const struct column_header *header,
				struct hash128 seal)
{
	const struct directory_birth birth = {.uuid = header->uuid,
					      .node = header->node,
					      .incarnation = header->incarnation,
					      .created_ms = header->created_ms,
					      .capacity = header->capacity,
					      .profile = header->profile};
	const struct directory_placement placement = {.tag = header->tag,
						      .volume = header->members[header->column],
						      .column = header->column,
						      .seal = seal};
	enum err err = directory_add_placement(record, &placement);

	directory_set_birth(record, &birth);
	if (err == ERR_OK && (seal.low | seal.high) != 0)
		err = directory_add_seal(record, seal);
	return err;
}

/* ---- encoding ---- */

static void encode_list(const struct directory_list *list, struct list_shape shape, struct buf *out)
{
	buf_put_varint(out, list->count);
	buf_put(out, list->items, list->count * (size_t)shape.item_size);
}

void directory_record_encode(const struct directory_record *record, struct buf *out)
{
	uint8_t birth[BIRTH_SIZE];

	buf_put_u8(out, DIRECTORY_VERSION);
	buf_put_u64(out, record->set);
	buf_put_u8(out, (uint8_t)((record->born ? FLAG_BORN : 0) |
				  (record->conflict ? FLAG_CONFLICT : 0)));
	if (record->born) {
		encode_birth(&record->birth, birth);
		buf_put(out, birth, sizeof(birth));
	}
	encode_list(&record->seals, SEALS, out);
	encode_list(&record->placements, PLACEMENTS, out);
	encode_list(&record->removed, REMOVED, out);
	encode_list(&record->successors, SUCCESSORS, out);
}

/* Only what encode_list() gives: ascending, no item twice. */
static void decode_list(struct cursor *cursor, struct list_shape shape, struct directory_list *out)
{
	uint64_t count = cursor_varint(cursor);
	struct bytes items;

	if (count > DIRECTORY_LIST_MAX) {
		cursor_fail(cursor);
		return;
	}
	items = cursor_take(cursor, (size_t)count * shape.item_size);
	if (cursor->err != ERR_OK || count == 0)
		return;
	for (size_t i = 1; i < count; i++)
		if (memcmp(items.data + (i - 1) * shape.item_size, items.data + i * shape.item_size,
			   shape.key_size) >= 0)
			cursor_fail(cursor);
	if (cursor->err != ERR_OK)
		return;
	out->items = memory_resize(NULL, items.size);
	if (out->items == NULL) {
		cursor->err = ERR_NOMEM;
		return;
	}
	memcpy(out->items, items.data, items.size);
	out->count = (uint32_t)count;
}

static void decode_birth(struct cursor *cursor, struct directory_birth *out)
{
	out->uuid = cursor_id(cursor);
	out->node = cursor_id(cursor);
	out->incarnation = cursor_id(cursor);
	out->created_ms = cursor_u64(cursor);
	out->capacity = cursor_u64(cursor);
	out->profile.k = cursor_u8(cursor);
	out->profile.m = cursor_u8(cursor);
	if (!profile_valid(out->profile))
		cursor_fail(cursor);
}

static void check_columns(struct cursor *cursor, const struct directory_record *record)
{
	for (uint32_t i = 0; cursor->err == ERR_OK && i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (placement.column >= PROFILE_MEMBER_MAX ||
		    directory_is_removed(record, placement.tag))
			cursor_fail(cursor);
	}
}

enum err directory_record_decode(struct bytes in, struct directory_record *out)
{
	struct cursor cursor = cursor_make(in);
	struct directory_record record = {0};
	uint8_t version = cursor_u8(&cursor), flags;
	enum err err;

	if (cursor.err == ERR_OK && version != DIRECTORY_VERSION)
		return ERR_NEWER;
	record.set = cursor_u64(&cursor);
	flags = cursor_u8(&cursor);
	if ((flags & ~(FLAG_BORN | FLAG_CONFLICT)) != 0)
		cursor_fail(&cursor);
	record.born = (flags & FLAG_BORN) != 0;
	record.conflict = (flags & FLAG_CONFLICT) != 0;
	if (record.born)
		decode_birth(&cursor, &record.birth);
	decode_list(&cursor, SEALS, &record.seals);
	decode_list(&cursor, PLACEMENTS, &record.placements);
	decode_list(&cursor, REMOVED, &record.removed);
	decode_list(&cursor, SUCCESSORS, &record.successors);
	check_columns(&cursor, &record);
	err = cursor_end(&cursor);
	if (err == ERR_OK)
		*out = record;
	else
		directory_record_finish(&record);
	return err;
}
