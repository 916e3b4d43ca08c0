/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/merge.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

struct merging {
	struct account_state *into;
	const struct account_state *from;
	uint32_t *writers; /* numbers there -> numbers here */
};

static struct entry_mark map_mark(const struct merging *merging, struct entry_mark mark)
{
	return (struct entry_mark){merging->writers[mark.writer], mark.seq};
}

/* What was never set names no writer. */
static struct stamp map_stamp(const struct merging *merging, struct stamp stamp)
{
	return (struct stamp){stamp.clock, stamp.clock ? merging->writers[stamp.writer] : 0};
}

static bool has_seen(const struct account_state *state, struct id128 incarnation, uint32_t seq)
{
	return vector_get(&state->applied, incarnation) >= seq;
}

static void tell_removed(const struct merging *merging, const struct message_state *message)
{
	if (merging->into->listener.removed)
		merging->into->listener.removed(merging->into->listener.context, message);
}

static enum err merge_writers(struct merging *merging)
{
	const struct writers *theirs = &merging->from->writers;
	enum err err = ERR_OK;

	merging->writers = memory_array(theirs->count, sizeof(*merging->writers));
	if (!merging->writers)
		return ERR_NOMEM;
	for (size_t i = 0; i < theirs->count && !err; i++)
		err = account_state_writer(merging->into, theirs->ids[i], &merging->writers[i]);
	return err;
}

/* ---- horizons ---- */

/* What one side has seen and does not have any more went into a mended one. */
static enum err take_horizon(const struct merging *merging, const struct horizon *theirs)
{
	struct account_state *into = merging->into;
	struct horizon copy = {.from = map_mark(merging, theirs->from),
			       .node = theirs->node,
			       .mended = theirs->mended};
	enum err err;

	if (horizons_named(&into->horizons, copy.from) ||
	    has_seen(into, into->writers.ids[copy.from.writer], copy.from.seq))
		return ERR_OK;
	err = vector_copy(&theirs->seen, &copy.seen);
	if (!err)
		err = horizons_add(&into->horizons, &copy);
	if (err)
		vector_finish(&copy.seen);
	return err;
}

static bool has_horizon(const struct merging *merging, const struct horizon *ours)
{
	for (size_t i = 0; i < merging->from->horizons.count; i++) {
		struct entry_mark from = map_mark(merging, merging->from->horizons.items[i].from);

		if (from.writer == ours->from.writer && from.seq == ours->from.seq)
			return true;
	}
	return false;
}

static enum err merge_horizons(const struct merging *merging)
{
	struct account_state *into = merging->into;
	enum err err = ERR_OK;

	for (size_t i = into->horizons.count; i; i--) {
		const struct horizon *ours = &into->horizons.items[i - 1];

		if (!has_horizon(merging, ours) &&
		    has_seen(merging->from, into->writers.ids[ours->from.writer], ours->from.seq))
			horizons_remove(&into->horizons, i - 1);
	}
	for (size_t i = 0; i < merging->from->horizons.count && !err; i++)
		err = take_horizon(merging, &merging->from->horizons.items[i]);
	return err;
}

/* ---- messages that only one side has ---- */

/* INV 1, whichever side it is that lacks the message. */
static bool has_gone(const struct account_state *without, const struct collection *messages,
		     const struct message_state *message, struct id128 creator)
{
	return collection_buried(messages, message->id) ||
	       has_seen(without, creator, message->created.seq);
}

static enum err merge_tombstones(const struct merging *merging, struct collection *ours,
				 const struct collection *theirs)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < theirs->tombstone_count && !err; i++)
		err = collection_restore_tombstone(
			ours, theirs->tombstones[i].id,
			map_mark(merging, theirs->tombstones[i].expunged));
	return err;
}

/* The tombstones are in already. */
static enum err remove_gone(const struct merging *merging, struct collection *ours,
			    const struct collection *theirs)
{
	const struct account_state *into = merging->into;
	const struct touch touch = {0};
	struct uid_run *gone = NULL;
	size_t count = 0, capacity = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; i < ours->count && !err; i++) {
		const struct message_state *message = collection_at(ours, i);

		if (collection_find(theirs, message->id) != SLOT_NONE ||
		    !has_gone(merging->from, theirs, message,
			      into->writers.ids[message->created.writer]))
			continue;
		err = ARRAY_GROW(gone, capacity, count);
		if (!err)
			gone[count++] = (struct uid_run){message->uid, 1};
	}
	if (!err)
		err = collection_expunge(ours, gone, count, &touch, into->listener.removed,
					 into->listener.context);
	memory_free(gone);
	return err;
}

/* ---- messages of the other side ---- */

/* A message there, numbered as here. */
struct foreign {
	struct message_state state;
	struct blob_ref blob;
	struct flag_register registers[FLAG_KEYWORD + KEYWORD_MAX];
	size_t register_count;
};

/* Bits there -> bits here; KEYWORD_MAX: dropped, there is no room. */
struct keyword_map {
	size_t bits[KEYWORD_MAX];
};

static enum err merge_keywords(struct collection *ours, const struct collection *theirs,
			       struct keyword_map *map)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < theirs->keyword_count && !err; i++) {
		err = collection_make_keyword(ours, bytes_string(theirs->keywords[i]),
					      &map->bits[i]);
		if (err == ERR_LIMIT)
			err = ERR_OK;
	}
	return err;
}

static void map_keywords(const struct collection *theirs, const struct keyword_map *map,
			 struct message_state *message)
{
	const uint64_t words[2] = {message->keywords[0], message->keywords[1]};

	memset(message->keywords, 0, sizeof(message->keywords));
	for (size_t i = 0; i < theirs->keyword_count; i++) {
		size_t bit = map->bits[i];

		if (words[i / 64] >> (i % 64) & 1 && bit != KEYWORD_MAX)
			message->keywords[bit / 64] |= 1ull << (bit % 64);
	}
}

static void map_registers(const struct merging *merging, const struct collection *theirs,
			  const struct keyword_map *map, uint32_t first, struct foreign *out)
{
	out->register_count = 0;
	for (uint32_t at = first; at != SLOT_NONE; at = theirs->registers[at].next) {
		struct flag_register stamp = theirs->registers[at];

		if (stamp.flag >= FLAG_KEYWORD) {
			size_t bit = map->bits[stamp.flag - FLAG_KEYWORD];

			if (bit == KEYWORD_MAX)
				continue;
			stamp.flag = (uint8_t)(FLAG_KEYWORD + bit);
		}
		stamp.writer = merging->writers[stamp.writer];
		out->registers[out->register_count++] = stamp;
	}
}

static void map_message(const struct merging *merging, const struct collection *theirs,
			const struct keyword_map *map, uint32_t slot, struct foreign *out)
{
	out->state = theirs->slots[slot];
	collection_blob(theirs, slot, &out->blob);
	out->state.created = map_mark(merging, out->state.created);
	out->state.stamped = map_mark(merging, out->state.stamped);
	out->state.touched = map_mark(merging, out->state.touched);
	map_keywords(theirs, map, &out->state);
	map_registers(merging, theirs, map, theirs->slots[slot].registers, out);
}

static void merge_removals(const struct merging *merging, struct collection *ours,
			   const struct removals *theirs)
{
	struct removals mapped = *theirs;

	if (theirs->modseq)
		mapped.touched = map_mark(merging, theirs->touched);
	collection_join_removals(ours, &mapped);
}

static enum err join_message(const struct merging *merging, struct collection *ours, uint32_t slot,
			     struct foreign *foreign)
{
	struct message_state *message = &ours->slots[slot];

	if (message->cache && foreign->state.cache)
		tell_removed(merging, &foreign->state);
	return collection_join(ours, slot, &foreign->state, foreign->registers,
			       foreign->register_count);
}

static enum err take_message(const struct merging *merging, struct collection *ours,
			     struct foreign *foreign)
{
	const struct message_state *message = &foreign->state;
	enum err err;

	if (has_gone(merging->into, ours, message,
		     merging->into->writers.ids[message->created.writer])) {
		tell_removed(merging, message);
		return ERR_OK;
	}
	err = collection_restore(ours, message, &foreign->blob, foreign->registers,
				 foreign->register_count);
	collection_mark_page(ours, message->uid);
	return err;
}

static enum err merge_messages(const struct merging *merging, struct collection *ours,
			       const struct collection *theirs)
{
	struct foreign foreign;
	struct keyword_map map;
	enum err err = merge_keywords(ours, theirs, &map);

	for (size_t i = 0; i < theirs->count && !err; i++) {
		uint32_t slot;

		map_message(merging, theirs, &map, theirs->order[i], &foreign);
		slot = collection_find(ours, foreign.state.id);
		err = slot == SLOT_NONE ? take_message(merging, ours, &foreign)
					: join_message(merging, ours, slot, &foreign);
	}
	return err;
}

/* ---- the rest of a folder ---- */

static enum err merge_superseded(struct collection *ours, const struct collection *theirs)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < theirs->superseded_count && !err; i++) {
		const struct superseded *old = &theirs->superseded[i];
		uint32_t slot = collection_find(ours, theirs->slots[old->slot].id);

		if (slot != SLOT_NONE)
			err = collection_restore_superseded(ours, old->uid, ours->slots[slot].uid);
	}
	return err;
}

static void raise_u32(uint32_t *value, uint32_t to)
{
	if (to > *value)
		*value = to;
}

static enum err merge_collection(const struct merging *merging, struct collection *ours,
				 const struct collection *theirs)
{
	enum err err;

	raise_u32(&ours->stamp_top, theirs->stamp_top);
	raise_u32(&ours->reserve_top, theirs->reserve_top);
	raise_u32(&ours->recent_floor, theirs->recent_floor);
	collection_raise_modseq(ours, theirs->highest_modseq);
	ours->collisions += theirs->collisions;
	merge_removals(merging, ours, &theirs->removals);
	err = merge_tombstones(merging, ours, theirs);
	if (!err)
		err = remove_gone(merging, ours, theirs);
	if (!err)
		err = merge_messages(merging, ours, theirs);
	return err ? err : merge_superseded(ours, theirs);
}

static enum err merge_keys(const struct merging *merging, struct folder *ours,
			   const struct folder *theirs)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < theirs->key_count && !err; i++) {
		struct folder_key key = theirs->keys[i];

		key.stamp = map_stamp(merging, key.stamp);
		err = account_state_key_folder(merging->into, ours, &key);
	}
	return err;
}

static enum err make_folder(const struct merging *merging, const struct folder *theirs,
			    struct folder **out)
{
	enum err err = account_state_make_folder(merging->into, theirs->id, out);

	if (err)
		return err;
	(*out)->special_use = theirs->special_use;
	(*out)->fixed = theirs->fixed;
	(*out)->uidvalidity = theirs->uidvalidity;
	return folder_set_name(*out, bytes_string(theirs->name));
}

static enum err merge_folder(const struct merging *merging, const struct folder *theirs)
{
	struct folder *ours = account_state_folder(merging->into, theirs->id);
	enum err err = ERR_OK;

	if (!ours)
		err = make_folder(merging, theirs, &ours);
	if (err)
		return err;
	account_state_raise_uidvalidity(merging->into, ours, theirs->uidvalidity);
	err = account_state_name_folder(merging->into, ours, bytes_string(theirs->name),
					map_stamp(merging, theirs->name_stamp));
	if (!err)
		err = merge_keys(merging, ours, theirs);
	return err ? err : merge_collection(merging, &ours->messages, &theirs->messages);
}

static enum err merge_folders(const struct merging *merging)
{
	const struct account_state *from = merging->from;
	enum err err = ERR_OK;

	for (size_t i = 0; i < from->deleted_count && !err; i++) {
		if (!account_state_deleted(merging->into, from->deleted_folders[i]))
			err = account_state_delete_folder(merging->into, from->deleted_folders[i]);
	}
	for (size_t i = 0; i < from->folder_count && !err; i++) {
		const struct folder *theirs = from->folders[i];

		if (!account_state_deleted(merging->into, theirs->id)) {
			err = merge_folder(merging, theirs);
			continue;
		}
		for (size_t j = 0; j < theirs->messages.count; j++)
			tell_removed(merging, collection_at(&theirs->messages, j));
	}
	return err;
}

/* ---- the account ---- */

static enum err merge_lists(const struct merging *merging)
{
	const struct account_state *from = merging->from;
	enum err err = ERR_OK;

	for (size_t i = 0; i < from->subscription_count && !err; i++) {
		const struct subscription *theirs = &from->subscriptions[i];

		err = account_state_put_subscription(merging->into, bytes_string(theirs->name),
						     theirs->subscribed,
						     map_stamp(merging, theirs->stamp));
	}
	for (size_t i = 0; i < from->drained_count && !err; i++)
		err = account_state_put_drained(merging->into, &from->drained[i]);
	for (size_t i = 0; i < from->transaction_count && !err; i++)
		err = account_state_put_transaction(merging->into,
						    from->transactions[i].hash.octets,
						    from->transactions[i].arrival_ms);
	past_names_raise_floor(&merging->into->past_names, from->past_names.floor);
	for (size_t i = 0; i < from->past_names.count && !err; i++)
		err = past_names_join(&merging->into->past_names, &from->past_names.items[i]);
	return err;
}

enum err account_state_merge(struct account_state *into, const struct account_state *from)
{
	struct merging merging = {.into = into, .from = from};
	enum err err;

	ASSERT(!into->held_count && !from->held_count);
	err = merge_writers(&merging);
	if (!err)
		err = merge_folders(&merging);
	if (!err)
		err = merge_lists(&merging);
	if (!err)
		err = merge_horizons(&merging);
	/* Last: until here it said what this side had seen. */
	if (!err)
		err = vector_merge(&into->applied, &from->applied);
	if (from->clock > into->clock)
		into->clock = from->clock;
	raise_u32(&into->uidvalidity_top, from->uidvalidity_top);
	memory_free(merging.writers);
	return err;
}
