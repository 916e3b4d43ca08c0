/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/collection.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/plant.h"

void collection_init(struct collection *collection, const struct writers *writers)
{
	*collection = (struct collection){
		.writers = writers,
		.free_slot = SLOT_NONE,
		.free_register = SLOT_NONE,
		.order_version = 1,
	};
	map_init(&collection->long_blobs, sizeof(uint32_t));
}

void collection_finish(struct collection *collection)
{
	size_t position = 0;
	void *blob;

	while ((blob = map_next(&collection->long_blobs, &position, NULL)))
		memory_free(blob);
	map_finish(&collection->long_blobs);
	for (size_t i = 0; i < collection->keyword_count; i++)
		memory_free(collection->keywords[i]);
	if (collection->slots)
		memory_free(collection->slots);
	memory_free(collection->order);
	id_index_finish(&collection->ids);
	memory_free(collection->registers);
	memory_free(collection->superseded);
	memory_free(collection->tombstones);
	id_index_finish(&collection->tombstone_ids);
	uid_list_release(&collection->uids);
	memory_free(collection->pages);
	*collection = (struct collection){0};
}

static struct id_items message_items(const struct collection *collection)
{
	return (struct id_items){collection->slots, sizeof(*collection->slots)};
}

static struct id_items tombstone_items(const struct collection *collection)
{
	return (struct id_items){collection->tombstones, sizeof(*collection->tombstones)};
}

/* ---- lookups ---- */

size_t collection_position(const struct collection *collection, uint32_t uid)
{
	size_t low = 0, high = collection->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (collection_at(collection, middle)->uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t superseded_position(const struct collection *collection, uint32_t uid)
{
	size_t low = 0, high = collection->superseded_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (collection->superseded[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t collection_resolve(const struct collection *collection, uint32_t uid)
{
	size_t position = collection_position(collection, uid);

	if (position < collection->count && collection_at(collection, position)->uid == uid)
		return collection->order[position];
	position = superseded_position(collection, uid);
	if (position < collection->superseded_count && collection->superseded[position].uid == uid)
		return collection->superseded[position].slot;
	return SLOT_NONE;
}

uint32_t collection_find(const struct collection *collection, struct id128 id)
{
	return id_index_find(&collection->ids, message_items(collection), id);
}

bool collection_buried(const struct collection *collection, struct id128 id)
{
	return !PLANTED(tombstone_forgotten) &&
	       id_index_find(&collection->tombstone_ids, tombstone_items(collection), id) !=
		       ID_INDEX_NONE;
}

void collection_blob(const struct collection *collection, uint32_t slot, struct blob_ref *out)
{
	const struct message_state *message = &collection->slots[slot];
	const struct blob_ref *long_blob = map_get(&collection->long_blobs, &slot);

	if (long_blob) {
		*out = *long_blob;
		return;
	}
	*out = (struct blob_ref){
		.id = message->blob,
		.size = message->blob_size,
		.extents = {message->extent},
		.extent_count = message->extent.piece_count ? 1 : 0,
	};
}

size_t collection_keyword(const struct collection *collection, struct bytes name)
{
	for (size_t i = 0; i < collection->keyword_count; i++) {
		if (bytes_equal_nocase(bytes_string(collection->keywords[i]), name))
			return i;
	}
	return KEYWORD_MAX;
}

struct uid_list *collection_uids(struct collection *collection)
{
	struct uid_list *list;

	if (!collection->uids || collection->uids_version != collection->order_version) {
		list = memory_allocate(sizeof(*list) + collection->count * sizeof(list->uids[0]));
		if (!list)
			return NULL;
		list->references = 1;
		list->count = collection->count;
		for (size_t i = 0; i < collection->count; i++)
			list->uids[i] = collection_at(collection, i)->uid;
		uid_list_release(&collection->uids);
		collection->uids = list;
		collection->uids_version = collection->order_version;
	}
	collection->uids->references++;
	return collection->uids;
}

void uid_list_release(struct uid_list **list)
{
	if (*list && !--(*list)->references)
		memory_free(*list);
	*list = NULL;
}

/* ---- bookkeeping ---- */

void collection_raise_modseq(struct collection *collection, uint64_t clock)
{
	if (clock > collection->highest_modseq)
		collection->highest_modseq = clock;
}

void collection_raise_reserve(struct collection *collection, uint32_t uid)
{
	if (uid > collection->reserve_top)
		collection->reserve_top = uid;
}

static void note_stamp(struct collection *collection, uint32_t uid)
{
	if (uid > collection->stamp_top)
		collection->stamp_top = uid;
	collection_raise_reserve(collection, uid);
}

void collection_mark_page(struct collection *collection, uint32_t uid)
{
	size_t low = 0, high = collection->page_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (collection->pages[middle].first_uid <= uid)
			low = middle + 1;
		else
			high = middle;
	}
	if (low)
		collection->pages[low - 1].dirty = true;
}

/* Adds the message to the folder's sums, or takes it out. */
static void count_message(struct collection *collection, const struct message_state *message,
			  bool in)
{
	uint32_t one = in ? 1 : UINT32_MAX;

	collection->size += in ? message->size : 0 - message->size;
	if (!(message->system & FLAG_SEEN))
		collection->unseen += one;
	if (message->system & FLAG_DELETED)
		collection->deleted += one;
}

/* Of two entries with one clock. */
static bool mark_later(const struct collection *collection, struct entry_mark a,
		       struct entry_mark b)
{
	int order = id128_compare(collection->writers->ids[a.writer],
				  collection->writers->ids[b.writer]);

	return order > 0 || (!order && a.seq >= b.seq);
}

/* INV 4. */
static void raise_message(struct collection *collection, struct message_state *message,
			  uint64_t clock, struct entry_mark mark)
{
	if (clock > message->modseq ||
	    (clock == message->modseq && mark_later(collection, mark, message->touched))) {
		message->modseq = clock;
		message->touched = mark;
	}
	collection_mark_page(collection, message->uid);
	collection->changes[collection->change_count++ % CHANGES_KEPT] =
		(struct recent_change){message->uid, clock};
}

static void raise_removals(struct collection *collection, uint64_t clock, struct entry_mark mark)
{
	struct removals *removals = &collection->removals;

	if (clock > removals->modseq ||
	    (clock == removals->modseq && mark_later(collection, mark, removals->touched)))
		*removals = (struct removals){clock, mark};
}

void collection_join_removals(struct collection *collection, const struct removals *other)
{
	if (other->modseq)
		raise_removals(collection, other->modseq, other->touched);
}

void collection_touch_removals(struct collection *collection, const struct touch *touch)
{
	raise_removals(collection, touch->clock, touch->mark);
}

static void touch_message(struct collection *collection, struct message_state *message,
			  const struct touch *touch)
{
	raise_message(collection, message, touch->clock, touch->mark);
}

static enum err order_insert(struct collection *collection, uint32_t slot)
{
	const struct message_state *message = &collection->slots[slot];
	size_t position = collection_position(collection, message->uid);
	enum err err = ARRAY_GROW(collection->order, collection->order_capacity, collection->count);

	if (err)
		return err;
	/* One UID for two messages: impossible by R1; the order must still not depend on chance. */
	while (position < collection->count &&
	       collection_at(collection, position)->uid == message->uid) {
		collection->collisions++;
		if (id128_compare(collection_at(collection, position)->id, message->id) > 0)
			break;
		position++;
	}
	memmove(&collection->order[position + 1], &collection->order[position],
		(collection->count - position) * sizeof(*collection->order));
	collection->order[position] = slot;
	collection->count++;
	collection->order_version++;
	return ERR_OK;
}

static void order_remove(struct collection *collection, uint32_t slot)
{
	size_t position = collection_position(collection, collection->slots[slot].uid);

	while (collection->order[position] != slot)
		position++;
	collection->count--;
	memmove(&collection->order[position], &collection->order[position + 1],
		(collection->count - position) * sizeof(*collection->order));
	collection->order_version++;
}

static enum err supersede(struct collection *collection, uint32_t uid, uint32_t slot)
{
	size_t position = superseded_position(collection, uid);
	enum err err;

	if (position < collection->superseded_count && collection->superseded[position].uid == uid)
		return ERR_OK;
	err = ARRAY_GROW(collection->superseded, collection->superseded_capacity,
			 collection->superseded_count);
	if (err)
		return err;
	memmove(&collection->superseded[position + 1], &collection->superseded[position],
		(collection->superseded_count - position) * sizeof(*collection->superseded));
	collection->superseded[position] = (struct superseded){uid, slot};
	collection->superseded_count++;
	collection_mark_page(collection, collection->slots[slot].uid);
	return ERR_OK;
}

static enum err take_slot(struct collection *collection, uint32_t *slot)
{
	enum err err;

	if (collection->free_slot != SLOT_NONE) {
		*slot = collection->free_slot;
		collection->free_slot = collection->slots[*slot].registers;
		return ERR_OK;
	}
	err = ARRAY_GROW(collection->slots, collection->slot_capacity, collection->slot_count);
	if (!err)
		*slot = (uint32_t)collection->slot_count++;
	return err;
}

static void give_slot(struct collection *collection, uint32_t slot)
{
	memory_wipe(&collection->slots[slot], sizeof(collection->slots[slot]));
	collection->slots[slot].registers = collection->free_slot;
	collection->free_slot = slot;
}

/* ---- flags ---- */

static bool later(const struct collection *collection, uint64_t clock, uint32_t writer,
		  const struct flag_register *than)
{
	if (clock != than->clock)
		return clock > than->clock;
	return id128_compare(collection->writers->ids[writer],
			     collection->writers->ids[than->writer]) >= 0;
}

static enum err register_for(struct collection *collection, struct message_state *message,
			     uint8_t flag, struct flag_register **out)
{
	uint32_t at;
	enum err err;

	for (at = message->registers; at != SLOT_NONE; at = collection->registers[at].next) {
		if (collection->registers[at].flag == flag) {
			*out = &collection->registers[at];
			return ERR_OK;
		}
	}
	if (collection->free_register != SLOT_NONE) {
		at = collection->free_register;
		collection->free_register = collection->registers[at].next;
	} else {
		err = ARRAY_GROW(collection->registers, collection->register_capacity,
				 collection->register_count);
		if (err)
			return err;
		at = (uint32_t)collection->register_count++;
	}
	collection->registers[at] =
		(struct flag_register){.next = message->registers, .flag = flag};
	message->registers = at;
	*out = &collection->registers[at];
	return ERR_OK;
}

static void give_registers(struct collection *collection, struct message_state *message)
{
	while (message->registers != SLOT_NONE) {
		uint32_t at = message->registers;

		message->registers = collection->registers[at].next;
		collection->registers[at].next = collection->free_register;
		collection->free_register = at;
	}
}

static enum err set_flag(struct collection *collection, struct message_state *message, uint8_t flag,
			 bool value, const struct touch *touch)
{
	struct flag_register *stamp = NULL;
	enum err err = register_for(collection, message, flag, &stamp);

	if (err)
		return err;
	if (stamp->clock && !later(collection, touch->clock, touch->mark.writer, stamp))
		return ERR_OK;
	stamp->clock = touch->clock;
	stamp->writer = touch->mark.writer;
	if (flag < FLAG_KEYWORD) {
		uint8_t bit = (uint8_t)(1u << flag);

		message->system = (uint8_t)(value ? message->system | bit : message->system & ~bit);
	} else {
		uint64_t *word = &message->keywords[(flag - FLAG_KEYWORD) / 64];
		uint64_t bit = 1ull << ((flag - FLAG_KEYWORD) % 64);

		*word = value ? *word | bit : *word & ~bit;
	}
	return ERR_OK;
}

enum err collection_make_keyword(struct collection *collection, struct bytes name, size_t *bit)
{
	char *copy;

	*bit = collection_keyword(collection, name);
	if (*bit != KEYWORD_MAX)
		return ERR_OK;
	if (collection->keyword_count == KEYWORD_MAX)
		return ERR_LIMIT;
	copy = memory_allocate(name.size + 1);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, name.data, name.size);
	*bit = collection->keyword_count++;
	collection->keywords[*bit] = copy;
	return ERR_OK;
}

struct keyword_bits {
	uint64_t words[2];
};

/* Homes that did not see each other may have made more keywords than there is room for. */
static enum err keyword_bits(struct collection *collection, const struct name_list *names,
			     struct keyword_bits *out)
{
	struct cursor cursor = name_list_cursor(names);

	*out = (struct keyword_bits){{0}};
	while (cursor_left(&cursor)) {
		size_t bit;
		enum err err = collection_make_keyword(collection, cursor_block(&cursor), &bit);

		if (err == ERR_LIMIT)
			continue;
		if (err)
			return err;
		out->words[bit / 64] |= 1ull << (bit % 64);
	}
	return ERR_OK;
}

static enum err set_keywords(struct collection *collection, struct message_state *message,
			     const struct keyword_bits *bits, bool value, const struct touch *touch)
{
	for (uint8_t i = 0; i < KEYWORD_MAX; i++) {
		enum err err;

		if (!(bits->words[i / 64] >> (i % 64) & 1))
			continue;
		err = set_flag(collection, message, (uint8_t)(FLAG_KEYWORD + i), value, touch);
		if (err)
			return err;
	}
	return ERR_OK;
}

struct flag_change {
	uint8_t system_set, system_clear;
	struct keyword_bits set, clear;
};

static enum err flag_message(struct collection *collection, uint32_t slot,
			     const struct flag_change *change, const struct touch *touch)
{
	struct message_state *message = &collection->slots[slot];
	enum err err = ERR_OK;

	count_message(collection, message, false);
	for (uint8_t i = 0; i < FLAG_KEYWORD && !err; i++) {
		uint8_t bit = (uint8_t)(1u << i);

		if (change->system_set & bit)
			err = set_flag(collection, message, i, true, touch);
		else if (change->system_clear & bit)
			err = set_flag(collection, message, i, false, touch);
	}
	if (!err)
		err = set_keywords(collection, message, &change->set, true, touch);
	if (!err)
		err = set_keywords(collection, message, &change->clear, false, touch);
	count_message(collection, message, true);
	touch_message(collection, message, touch);
	return err;
}

enum err collection_flags(struct collection *collection, const struct operation *operation,
			  const struct touch *touch)
{
	struct flag_change change = {
		operation->flags.system_set, operation->flags.system_clear, {{0}}, {{0}}};
	enum err err = keyword_bits(collection, &operation->flags.keywords_set, &change.set);

	if (!err)
		err = keyword_bits(collection, &operation->flags.keywords_clear, &change.clear);
	for (size_t i = 0; i < operation->run_count && !err; i++) {
		for (uint32_t j = 0; j < operation->runs[i].count && !err; j++) {
			uint32_t slot =
				collection_resolve(collection, operation->runs[i].first + j);

			if (slot != SLOT_NONE)
				err = flag_message(collection, slot, &change, touch);
		}
	}
	return err;
}

/* ---- coming ---- */

static enum err remember_blob(struct collection *collection, uint32_t slot,
			      const struct blob_ref *blob)
{
	struct message_state *message = &collection->slots[slot];
	struct blob_ref *copy;
	enum err err;

	message->blob = blob->id;
	message->blob_size = blob->size;
	message->extent = blob->extent_count ? blob->extents[0] : (struct blob_extent){0};
	if (blob->extent_count <= 1)
		return ERR_OK;
	copy = memory_allocate(sizeof(*copy));
	if (!copy)
		return ERR_NOMEM;
	*copy = *blob;
	err = map_put(&collection->long_blobs, &slot, copy);
	if (err)
		memory_free(copy);
	return err;
}

static enum err add_new(struct collection *collection, const struct operation_add *add,
			const struct touch *touch, uint32_t *slot)
{
	struct keyword_bits keywords;
	struct message_state *message;
	enum err err = keyword_bits(collection, &add->keywords, &keywords);

	if (!err)
		err = id_index_reserve(&collection->ids, message_items(collection));
	if (!err)
		err = take_slot(collection, slot);
	if (err)
		return err;
	message = &collection->slots[*slot];
	*message = (struct message_state){
		.id = add->id,
		.size = add->size,
		.arrival_ms = add->arrival_ms,
		.zone_minutes = add->zone_minutes,
		.keywords = {keywords.words[0], keywords.words[1]},
		.created = touch->mark,
		.stamped = touch->mark,
		.uid = add->uid,
		.registers = SLOT_NONE,
		.epoch = add->epoch,
		.system = add->system,
		.delivered = add->delivered,
	};
	memcpy(message->wrapped_key, add->wrapped_key, WRAPPED_KEY_SIZE);
	id_index_put(&collection->ids, message_items(collection), *slot);
	err = remember_blob(collection, *slot, &add->blob);
	if (!err)
		err = order_insert(collection, *slot);
	if (err)
		return err;
	count_message(collection, message, true);
	touch_message(collection, message, touch);
	return ERR_OK;
}

/* INV 1. */
static enum err place_slot(struct collection *collection, uint32_t slot, uint32_t uid,
			   struct entry_mark mark)
{
	struct message_state *message = &collection->slots[slot];
	uint32_t old = message->uid;
	enum err err;

	if (uid > collection->stamp_top)
		collection->stamp_top = uid;
	if (uid == old)
		return ERR_OK;
	if (uid < old)
		return supersede(collection, uid, slot);
	order_remove(collection, slot);
	collection_mark_page(collection, old);
	message->uid = uid;
	message->stamped = mark;
	err = order_insert(collection, slot);
	return err ? err : supersede(collection, old, slot);
}

static enum err stamp_slot(struct collection *collection, uint32_t slot, uint32_t uid,
			   const struct touch *touch)
{
	bool changes = uid != collection->slots[slot].uid;
	enum err err = place_slot(collection, slot, uid, touch->mark);

	if (!err && changes)
		touch_message(collection, &collection->slots[slot], touch);
	return err;
}

/* Two homes may have wrapped the key of one delivery. */
static void choose_wrapping(struct message_state *message, uint32_t epoch,
			    const uint8_t wrapped_key[WRAPPED_KEY_SIZE])
{
	if (epoch < message->epoch) {
		message->epoch = epoch;
		memcpy(message->wrapped_key, wrapped_key, WRAPPED_KEY_SIZE);
	}
}

/* The same delivery, drained by a home that did not see the other one do it. */
static enum err add_again(struct collection *collection, const struct operation_add *add,
			  const struct touch *touch, uint32_t slot)
{
	choose_wrapping(&collection->slots[slot], add->epoch, add->wrapped_key);
	return stamp_slot(collection, slot, add->uid, touch);
}

enum err collection_add(struct collection *collection, const struct operation_add *add,
			const struct touch *touch, uint32_t *slot)
{
	note_stamp(collection, add->uid);
	*slot = collection_find(collection, add->id);
	if (*slot != SLOT_NONE)
		return add_again(collection, add, touch, *slot);
	if (collection_buried(collection, add->id))
		return ERR_OK;
	return add_new(collection, add, touch, slot);
}

enum err collection_stamp(struct collection *collection, uint32_t old_uid, uint32_t new_uid,
			  const struct touch *touch)
{
	uint32_t slot = collection_resolve(collection, old_uid);

	note_stamp(collection, new_uid);
	return slot == SLOT_NONE ? ERR_OK : stamp_slot(collection, slot, new_uid, touch);
}

void collection_touch(struct collection *collection, const struct uid_run *runs, size_t run_count,
		      const struct touch *touch)
{
	if (!run_count)
		collection_touch_removals(collection, touch);
	for (size_t i = 0; i < run_count; i++) {
		for (uint32_t j = 0; j < runs[i].count; j++) {
			uint32_t slot = collection_resolve(collection, runs[i].first + j);

			if (slot != SLOT_NONE)
				touch_message(collection, &collection->slots[slot], touch);
		}
	}
}

/* ---- going ---- */

enum err collection_restore_tombstone(struct collection *collection, struct id128 id,
				      struct entry_mark expunged)
{
	enum err err;

	if (id_index_find(&collection->tombstone_ids, tombstone_items(collection), id) !=
	    ID_INDEX_NONE)
		return ERR_OK;
	err = ARRAY_GROW(collection->tombstones, collection->tombstone_capacity,
			 collection->tombstone_count);
	if (!err)
		err = id_index_reserve(&collection->tombstone_ids, tombstone_items(collection));
	if (err)
		return err;
	collection->tombstones[collection->tombstone_count] = (struct tombstone){id, expunged};
	id_index_put(&collection->tombstone_ids, tombstone_items(collection),
		     (uint32_t)collection->tombstone_count);
	collection->tombstone_count++;
	return ERR_OK;
}

void collection_forget(struct collection *collection,
		       bool (*unneeded)(void *context, struct entry_mark expunged), void *context)
{
	for (size_t i = collection->tombstone_count; i; i--) {
		uint32_t at = (uint32_t)(i - 1), last = (uint32_t)(collection->tombstone_count - 1);

		if (!unneeded(context, collection->tombstones[at].expunged))
			continue;
		id_index_remove(&collection->tombstone_ids, tombstone_items(collection), at);
		if (at != last) {
			id_index_remove(&collection->tombstone_ids, tombstone_items(collection),
					last);
			collection->tombstones[at] = collection->tombstones[last];
			id_index_put(&collection->tombstone_ids, tombstone_items(collection), at);
		}
		collection->tombstone_count--;
	}
}

/* Takes what is marked with UID 0 out of the order and of the superseded UIDs, in one pass each. */
static void sweep(struct collection *collection)
{
	size_t kept = 0;

	for (size_t i = 0; i < collection->superseded_count; i++) {
		if (collection->slots[collection->superseded[i].slot].uid)
			collection->superseded[kept++] = collection->superseded[i];
	}
	collection->superseded_count = kept;
	kept = 0;
	for (size_t i = 0; i < collection->count; i++) {
		uint32_t slot = collection->order[i];

		if (collection->slots[slot].uid)
			collection->order[kept++] = slot;
		else
			give_slot(collection, slot);
	}
	collection->count = kept;
	collection->order_version++;
}

struct removal {
	const struct touch *touch;
	void (*removed)(void *context, const struct message_state *message);
	void *context;
};

static enum err bury(struct collection *collection, uint32_t slot, const struct removal *removal)
{
	struct message_state *message = &collection->slots[slot];
	struct blob_ref *long_blob = map_remove(&collection->long_blobs, &slot);
	enum err err = ERR_OK;

	memory_free(long_blob);
	if (removal->removed)
		removal->removed(removal->context, message);
	if (message->delivered)
		err = collection_restore_tombstone(collection, message->id, removal->touch->mark);
	count_message(collection, message, false);
	give_registers(collection, message);
	id_index_remove(&collection->ids, message_items(collection), slot);
	collection_mark_page(collection, message->uid);
	return err;
}

/*
 * The order and the superseded UIDs are searched by UID, so the removed ones keep theirs until
 * all are found: `buried` remembers them.
 */
enum err collection_expunge(struct collection *collection, const struct uid_run *runs,
			    size_t run_count, const struct touch *touch,
			    void (*removed)(void *context, const struct message_state *message),
			    void *context)
{
	struct removal removal = {touch, removed, context};
	uint32_t *buried = NULL;
	size_t count = 0, capacity = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; i < run_count && !err; i++) {
		for (uint32_t j = 0; j < runs[i].count && !err; j++) {
			uint32_t slot = collection_resolve(collection, runs[i].first + j);

			if (slot == SLOT_NONE ||
			    collection_find(collection, collection->slots[slot].id) != slot)
				continue;
			err = ARRAY_GROW(buried, capacity, count);
			if (err)
				break;
			buried[count++] = slot;
			err = bury(collection, slot, &removal);
		}
	}
	for (size_t i = 0; i < count; i++)
		collection->slots[buried[i]].uid = 0;
	memory_free(buried);
	if (count)
		sweep(collection);
	return err;
}

enum err collection_drop(struct collection *collection, struct id128 id, const struct touch *touch,
			 void (*removed)(void *context, const struct message_state *message),
			 void *context)
{
	uint32_t slot = collection_find(collection, id);
	struct uid_run run;

	if (slot == SLOT_NONE)
		return collection_restore_tombstone(collection, id, touch->mark);
	run = (struct uid_run){collection->slots[slot].uid, 1};
	return collection_expunge(collection, &run, 1, touch, removed, context);
}

/* ---- joining ---- */

static bool flag_value(const struct message_state *message, uint8_t flag)
{
	if (flag < FLAG_KEYWORD)
		return message->system >> flag & 1;
	return message->keywords[(flag - FLAG_KEYWORD) / 64] >> ((flag - FLAG_KEYWORD) % 64) & 1;
}

/* INV 2: the flags that no register speaks of are the message's own, the same in both states. */
static enum err join_flags(struct collection *collection, struct message_state *message,
			   const struct message_state *other, const struct flag_register *registers,
			   size_t register_count)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < register_count && !err; i++) {
		const struct touch touch = {.clock = registers[i].clock,
					    .mark.writer = registers[i].writer};

		err = set_flag(collection, message, registers[i].flag,
			       flag_value(other, registers[i].flag), &touch);
	}
	return err;
}

enum err collection_join(struct collection *collection, uint32_t slot,
			 const struct message_state *other, const struct flag_register *registers,
			 size_t register_count)
{
	struct message_state *message = &collection->slots[slot];
	enum err err;

	count_message(collection, message, false);
	err = join_flags(collection, message, other, registers, register_count);
	count_message(collection, message, true);
	choose_wrapping(message, other->epoch, other->wrapped_key);
	if (!message->cache)
		message->cache = other->cache;
	if (!err)
		err = place_slot(collection, slot, other->uid, other->stamped);
	raise_message(collection, message, other->modseq, other->touched);
	return err;
}

/* ---- loading ---- */

enum err collection_restore(struct collection *collection, const struct message_state *message,
			    const struct blob_ref *blob, const struct flag_register *registers,
			    size_t register_count)
{
	uint32_t slot;
	enum err err = id_index_reserve(&collection->ids, message_items(collection));

	if (!err)
		err = take_slot(collection, &slot);
	if (err)
		return err;
	collection->slots[slot] = *message;
	collection->slots[slot].registers = SLOT_NONE;
	id_index_put(&collection->ids, message_items(collection), slot);
	err = remember_blob(collection, slot, blob);
	for (size_t i = 0; i < register_count && !err; i++) {
		struct flag_register *to;

		err = register_for(collection, &collection->slots[slot], registers[i].flag, &to);
		if (!err) {
			to->clock = registers[i].clock;
			to->writer = registers[i].writer;
		}
	}
	if (!err)
		err = order_insert(collection, slot);
	if (!err)
		count_message(collection, &collection->slots[slot], true);
	return err;
}

enum err collection_restore_superseded(struct collection *collection, uint32_t uid,
				       uint32_t current_uid)
{
	uint32_t slot = collection_resolve(collection, current_uid);

	return slot == SLOT_NONE ? ERR_CORRUPT : supersede(collection, uid, slot);
}

void collection_check(const struct collection *collection)
{
	uint32_t unseen = 0, deleted = 0;
	uint64_t size = 0;

	ASSERT(collection->ids.count == collection->count);
	for (size_t i = 0; i < collection->count; i++) {
		const struct message_state *message = collection_at(collection, i);

		ASSERT(message->uid && message->uid <= collection->stamp_top);
		ASSERT(!i || collection_at(collection, i - 1)->uid <= message->uid);
		ASSERT(collection_find(collection, message->id) == collection->order[i]);
		ASSERT(message->modseq <= collection->highest_modseq);
		unseen += !(message->system & FLAG_SEEN);
		deleted += (message->system & FLAG_DELETED) != 0;
		size += message->size;
	}
	ASSERT(unseen == collection->unseen && deleted == collection->deleted);
	ASSERT(size == collection->size);
	for (size_t i = 0; i < collection->superseded_count; i++) {
		const struct superseded *old = &collection->superseded[i];

		ASSERT(collection->slots[old->slot].uid > old->uid);
		ASSERT(!i || collection->superseded[i - 1].uid < old->uid);
	}
}
