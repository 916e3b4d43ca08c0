/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/compact.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/blobs_private.h"
#include "engine/set/handover.h"
#include "engine/set/successor.h"

/* Headers that are asked for together. */
#define HEADER_BATCH 64u
/* Debt of time that is worth a sleep. */
#define PACE_MS 20u

struct source {
	uint64_t set;
	struct hash128 seal;
	struct id128 volumes[PROFILE_MEMBER_MAX];
	uint32_t predecessor_count;
	uint64_t predecessors[COLUMN_PREDECESSOR_MAX]; /* of the source itself */
};

struct compaction {
	struct blobs *blobs;
	struct source sources[COMPACT_SOURCE_MAX];
	size_t source_count;
	struct compact_record *records;
	size_t count, capacity;
};

/* ---- which sets ---- */

static bool is_away(const struct blobs *blobs, struct id128 volume)
{
	const struct layout_volume *found = layout_find(blobs->options.layout, volume);

	return found == NULL || found->failed;
}

static bool is_candidate(const struct blobs *blobs, const struct directory_record *record)
{
	uint32_t sealed = 0;

	if (record == NULL || !record->born || record->conflict || record->seals.count != 1 ||
	    record->successors.count != 0)
		return false;
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if ((placement.seal.low | placement.seal.high) != 0 &&
		    !is_away(blobs, placement.volume))
			sealed |= 1u << placement.column;
	}
	return sealed == (1u << profile_members(record->birth.profile)) - 1;
}

static WAITS enum err ask_member(struct blobs *blobs, struct id128 volume, uint64_t set,
				 struct id128 uuid, struct set_certificate *certificate,
				 struct column_header *header)
{
	struct set_ask_call *call = ask_create(sizeof(*call), SET_ASK, volume, NULL);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = set;
	call->uuid = uuid;
	err = ask(blobs, call, ask_patience_ms(blobs));
	if (err == ERR_OK && !call->answer.sealed)
		err = ERR_STALE;
	if (err == ERR_OK) {
		*certificate = call->answer.certificate;
		*header = call->header;
	}
	ask_release(call);
	return err;
}

/* The first member that answers. ERR_STALE: it is not sealed there. */
static WAITS enum err ask_sealed(struct blobs *blobs, uint64_t set,
				 struct set_certificate *certificate, struct column_header *header)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX], uuid;

	if (record == NULL)
		return ERR_STALE;
	uuid = record->birth.uuid;
	set_members(record, volumes, tags);
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		enum err err;

		if (id128_is_zero(volumes[i]))
			continue;
		err = ask_member(blobs, volumes[i], set, uuid, certificate, header);
		if (err == ERR_OK || err == ERR_STALE || err == ERR_NOMEM || err == ERR_CANCELED)
			return err;
	}
	return ERR_UNAVAILABLE;
}

static uint64_t certificate_size(const struct set_certificate *certificate)
{
	uint64_t size = 0;

	for (uint8_t i = 0; i < certificate->descriptor.profile.k; i++)
		size += certificate->descriptor.length[i];
	return size;
}

enum err compact_sets(struct blobs *blobs,
		      enum err (*each)(void *context, const struct compact_set *set), void *context)
{
	struct set_certificate *certificate = memory_allocate(sizeof(*certificate));
	const struct directory_record *record;
	struct buf sets = {0};
	size_t position = 0;
	enum err err = certificate != NULL ? ERR_OK : ERR_NOMEM;

	while ((record = directory_store_next(blobs->directory, &position)) != NULL)
		if (is_candidate(blobs, record))
			buf_put_u64(&sets, record->set);
	if (err == ERR_OK)
		err = sets.err;
	for (size_t at = 0; err == ERR_OK && at < sets.size; at += 8) {
		struct compact_set set = {.set = load_u64(sets.data + at)};
		struct column_header header;

		err = ask_sealed(blobs, set.set, certificate, &header);
		if (err == ERR_OK) {
			set.profile = certificate->descriptor.profile;
			set.size = certificate_size(certificate);
			err = each(context, &set);
		} else if (err == ERR_STALE || err == ERR_UNAVAILABLE) {
			err = ERR_OK;
		}
	}
	buf_finish(&sets);
	memory_free(certificate);
	return err;
}

static bool contains(const uint64_t *sets, size_t count, uint64_t set)
{
	for (size_t i = 0; i < count; i++)
		if (sets[i] == set)
			return true;
	return false;
}

/* Breadth first, each set once, so that it ends whatever the records say. */
size_t compact_holders(const struct blobs *blobs, uint64_t birth, uint64_t *holders, size_t limit)
{
	enum { STEPS_MAX = 256 };
	uint64_t reached[STEPS_MAX] = {birth};
	size_t reached_count = 1, count = 0;

	for (size_t i = 0; i < reached_count && count < limit; i++) {
		const struct directory_record *record =
			directory_store_get(blobs->directory, reached[i]);

		if (record == NULL)
			continue;
		if (record->successors.count == 0)
			holders[count++] = reached[i];
		for (uint32_t j = 0; j < record->successors.count; j++) {
			uint64_t next = directory_get_successor(record, j);

			if (reached_count < STEPS_MAX && !contains(reached, reached_count, next))
				reached[reached_count++] = next;
		}
	}
	return count;
}

uint64_t compact_extent_size(const struct blob_ref *ref, const struct blob_extent *extent)
{
	uint64_t start = (uint64_t)extent->first_piece * PIECE_SIZE;
	uint64_t end = start + (uint64_t)extent->piece_count * PIECE_SIZE;
	uint64_t bytes =
		(end < ref->size ? end : ref->size) - (start < ref->size ? start : ref->size);
	uint64_t whole = bytes / PIECE_SIZE;

	if (extent->piece_count == 0)
		return 0;
	if (whole < extent->piece_count)
		return whole * record_size(PIECE_SIZE) +
		       record_size((uint32_t)(bytes - whole * PIECE_SIZE));
	return whole * record_size(PIECE_SIZE);
}

struct profile compact_profile(const struct blobs *blobs, uint64_t *capacity)
{
	struct profile profile = writer_profile(blobs);

	*capacity = blobs->options.column_size * profile.k;
	return profile;
}

enum err compact_incarnations(const struct blobs *blobs, struct buf *ids)
{
	const struct directory_record *record;
	size_t position = 0;

	while ((record = directory_store_next(blobs->directory, &position)) != NULL)
		if (record->born && id128_equal(record->birth.node, blobs->options.node) &&
		    !id128_equal(record->birth.incarnation, blobs->incarnation))
			buf_put_id(ids, record->birth.incarnation);
	return ids->err;
}

/* ---- what is in them ---- */

static enum err add_records(struct compaction *compaction, const struct source *source,
			    const struct column_entry *entries, uint32_t count)
{
	struct compact_record *records =
		memory_resize(compaction->records, (compaction->count + count) * sizeof(*records));

	if (records == NULL && compaction->count + count != 0)
		return ERR_NOMEM;
	compaction->records = records;
	for (uint32_t i = 0; i < count; i++)
		records[compaction->count++] =
			(struct compact_record){.set = source->set, .entry = entries[i]};
	return ERR_OK;
}

static WAITS enum err load_index(struct compaction *compaction, const struct source *source)
{
	struct column_entry *entries = NULL;
	uint32_t count = 0;
	enum err err = ERR_UNAVAILABLE;

	for (size_t i = 0; err != ERR_OK && i < PROFILE_MEMBER_MAX; i++) {
		if (id128_is_zero(source->volumes[i]))
			continue;
		err = fetch_index_entries(compaction->blobs, source->volumes[i], source->set,
					  &entries, &count);
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
	}
	if (err == ERR_OK)
		err = add_records(compaction, source, entries, count);
	memory_free(entries);
	return err;
}

static void drop_range(struct wire_call *call)
{
	shared_release(&((struct set_range_call *)call)->bytes);
}

/* A header that does not belong there tells nothing: the record stays unknown. */
static void take_header(struct compact_record *out, const struct set_range_call *call)
{
	struct record record;

	if (ask_err(call) != ERR_OK || record_decode(call->bytes->data, &record) != ERR_OK ||
	    record.type != RECORD_BLOB || !id128_equal(record.id, out->entry.id) ||
	    record.piece != out->entry.piece || record.set != out->set ||
	    record.offset != out->entry.offset)
		return;
	out->tag = record.tag;
	out->incarnation = record.incarnation;
	out->number = record.number;
}

static int compare_places(const void *left, const void *right)
{
	const struct column_entry *a = &((const struct compact_record *)left)->entry;
	const struct column_entry *b = &((const struct compact_record *)right)->entry;

	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static enum err make_range(const struct source *source, const struct compact_record *record,
			   void **out)
{
	struct set_range_call *call = ask_create(sizeof(*call), SET_RANGE,
						 source->volumes[record->entry.column], drop_range);

	if (call == NULL)
		return ERR_NOMEM;
	call->set = source->set;
	call->seal = source->seal;
	call->offset = record->entry.offset;
	call->size = RECORD_HEADER_SIZE;
	*out = call;
	return ERR_OK;
}

static WAITS enum err read_batch(struct blobs *blobs, const struct source *source,
				 struct compact_record *records, size_t count)
{
	void *calls[HEADER_BATCH] = {NULL};
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = make_range(source, &records[i], &calls[i]);
	if (err == ERR_OK)
		ask_all(blobs, calls, count, ask_patience_for_ms(blobs, HEADER_BATCH * 4096u));
	for (size_t i = 0; i < count; i++) {
		if (err == ERR_OK)
			take_header(&records[i], calls[i]);
		ask_release(calls[i]);
	}
	return task_canceled() ? ERR_CANCELED : err;
}

static WAITS enum err read_headers(struct compaction *compaction, const struct source *source,
				   size_t first)
{
	enum err err = ERR_OK;

	for (size_t at = first; err == ERR_OK && at < compaction->count; at += HEADER_BATCH) {
		size_t left = compaction->count - at;

		err = read_batch(compaction->blobs, source, compaction->records + at,
				 left < HEADER_BATCH ? left : HEADER_BATCH);
	}
	return err;
}

static WAITS enum err load_source(struct compaction *compaction, uint64_t set)
{
	struct source *source = &compaction->sources[compaction->source_count++];
	struct blobs *blobs = compaction->blobs;
	struct set_certificate *certificate = memory_allocate(sizeof(*certificate));
	const struct directory_record *record;
	struct id128 tags[PROFILE_MEMBER_MAX];
	struct column_header header = {.predecessor_count = 0};
	size_t first = compaction->count;
	enum err err;

	*source = (struct source){.set = set};
	if (certificate == NULL)
		return ERR_NOMEM;
	err = ask_sealed(blobs, set, certificate, &header);
	source->seal = certificate->seal;
	source->predecessor_count = header.predecessor_count;
	memcpy(source->predecessors, header.predecessors, sizeof(source->predecessors));
	memory_free(certificate);
	record = directory_store_get(blobs->directory, set);
	if (err == ERR_OK && !is_candidate(blobs, record))
		err = ERR_STALE;
	if (err != ERR_OK)
		return err;
	set_members(record, source->volumes, tags);
	err = load_index(compaction, source);
	if (err == ERR_OK && compaction->count > first)
		qsort(compaction->records + first, compaction->count - first,
		      sizeof(*compaction->records), compare_places);
	return err == ERR_OK ? read_headers(compaction, source, first) : err;
}

enum err compaction_create(struct blobs *blobs, const uint64_t *sets, size_t count,
			   struct compaction **out)
{
	struct compaction *compaction = memory_allocate(sizeof(*compaction));
	enum err err = ERR_OK;

	if (compaction == NULL)
		return ERR_NOMEM;
	compaction->blobs = blobs;
	for (size_t i = 0; err == ERR_OK && i < count && i < COMPACT_SOURCE_MAX; i++)
		err = load_source(compaction, sets[i]);
	if (err == ERR_OK)
		*out = compaction;
	else
		compaction_destroy(&compaction);
	return err;
}

void compaction_destroy(struct compaction **compaction)
{
	if (*compaction == NULL)
		return;
	memory_free((*compaction)->records);
	memory_free(*compaction);
	*compaction = NULL;
}

struct compact_record *compaction_records(struct compaction *compaction, size_t *count)
{
	*count = compaction->count;
	return compaction->records;
}

/* ---- copying ---- */

/* Sleeps off what was read faster than the rate; foreground first. */
static WAITS enum err keep_pace(const struct compaction *compaction,
				const struct compact_pace *pace, uint64_t size, uint64_t *debt_us)
{
	uint64_t rate = pace->rate;
	uint64_t sleep_ms;

	if (rate == 0)
		return task_canceled() ? ERR_CANCELED : ERR_OK;
	if (compaction->blobs->uploads != NULL && rate >= 4)
		rate /= 4;
	*debt_us += size * 1000000 / rate;
	sleep_ms = *debt_us / 1000;
	if (sleep_ms < PACE_MS)
		return ERR_OK;
	*debt_us -= sleep_ms * 1000;
	return task_sleep(sleep_ms);
}

static WAITS enum err copy_record(struct compaction *compaction, struct successor *successor,
				  const struct compact_record *item)
{
	struct shared *bytes = NULL;
	enum err err;

	if (item->entry.type == RECORD_LOST)
		return successor_put_lost(successor, item->set, &item->entry);
	err = reader_fetch(compaction->blobs, item->set, item->entry.id, item->entry.piece, &bytes);
	/* What can be mended is mended first; what cannot keeps its set. */
	return err == ERR_OK	     ? successor_put(successor, bytes)
	       : err == ERR_NOTFOUND ? ERR_CORRUPT
				     : err;
}

static WAITS enum err copy_all(struct compaction *compaction, const struct compact_pace *pace,
			       struct successor *successor)
{
	uint64_t debt_us = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < compaction->count; i++) {
		const struct compact_record *item = &compaction->records[i];

		if (item->liveness == LIVENESS_DEAD)
			continue;
		err = copy_record(compaction, successor, item);
		if (err == ERR_OK)
			err = keep_pace(compaction, pace, record_size(item->entry.payload_size),
					&debt_us);
	}
	return successor_drain(successor, err);
}

static uint64_t live_size(const struct compaction *compaction)
{
	uint64_t size = 0;

	for (size_t i = 0; i < compaction->count; i++)
		if (compaction->records[i].liveness != LIVENESS_DEAD)
			size += record_size(compaction->records[i].entry.payload_size);
	return size;
}

/* ---- the sources go ---- */

/* One that somebody else retired meanwhile has what was alive of it in a successor of its own. */
static WAITS enum err forget_source(struct compaction *compaction, const struct source *source,
				    uint64_t successor)
{
	enum err err = handover_retire(compaction->blobs,
				       &(struct handover_retirement){
					       .set = source->set,
					       .successor = successor,
					       .predecessors = source->predecessors,
					       .predecessor_count = source->predecessor_count,
				       });

	return err == ERR_STALE ? ERR_OK : err;
}

static WAITS enum err succeed(struct compaction *compaction, struct successor *successor)
{
	uint64_t set = successor->target->header.set;
	enum err err = ERR_OK;

	if (!PLANTED(successor_unfinished))
		err = successor_seal(successor);
	for (size_t i = 0; err == ERR_OK && i < compaction->source_count; i++)
		err = forget_source(compaction, &compaction->sources[i], set);
	return err;
}

enum err compaction_run(struct compaction *compaction, const struct compact_pace *pace,
			WAITS enum err (*confirm)(void *context), void *context)
{
	struct successor successor;
	uint64_t sets[COMPACT_SOURCE_MAX], size = live_size(compaction);
	enum err err;

	if (size == 0) {
		err = confirm(context);
		for (size_t i = 0; err == ERR_OK && i < compaction->source_count; i++)
			err = forget_source(compaction, &compaction->sources[i], 0);
		return err;
	}
	for (size_t i = 0; i < compaction->source_count; i++)
		sets[i] = compaction->sources[i].set;
	successor_init(&successor, compaction->blobs,
		       &(struct open_set_order){
			       .predecessors = sets,
			       .predecessor_count = (uint32_t)compaction->source_count,
			       .content = size,
			       .urgent = pace->urgent,
		       });
	err = copy_all(compaction, pace, &successor);
	if (err == ERR_OK)
		err = confirm(context);
	if (err == ERR_OK)
		err = succeed(compaction, &successor);
	successor_close(&successor);
	/* What was not finished is recovery's to remove, or to finish. */
	if (err != ERR_OK)
		recovery_kick(compaction->blobs);
	return err;
}

/* ---- leftovers ---- */

static WAITS enum err sweep_item(struct blobs *blobs, struct id128 volume, const uint8_t *item)
{
	struct column_header header;
	struct set_simple_call *call;
	const struct directory_record *record;
	enum err err;

	if (column_header_decode(item, &header) != ERR_OK)
		return ERR_OK;
	record = directory_store_get(blobs->directory, header.set);
	if (record == NULL || !directory_is_removed(record, header.tag))
		return ERR_OK;
	call = ask_create(sizeof(*call), SET_REMOVE, volume, NULL);
	if (call == NULL)
		return ERR_NOMEM;
	call->set = header.set;
	call->uuid = header.uuid;
	/* Not one that was made anew in its place meanwhile. */
	call->tag = header.tag;
	err = ask(blobs, call, ask_patience_ms(blobs));
	ask_release(call);
	return err;
}

static void drop_items(struct wire_call *call)
{
	shared_release(&((struct set_enumerate_call *)call)->items);
}

/* The columns above *after; false in *more when these were the last. */
static WAITS enum err sweep_some(struct blobs *blobs, struct id128 volume, uint64_t *after,
				 bool *more)
{
	struct set_enumerate_call *call =
		ask_create(sizeof(*call), SET_ENUMERATE, volume, drop_items);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->resume = *more;
	call->after = *after;
	err = ask(blobs, call, ask_patience_ms(blobs));
	*more = err == ERR_OK && call->more;
	for (uint32_t i = 0; err == ERR_OK && i < call->count; i++) {
		const uint8_t *item = call->items->data + i * (size_t)SET_ENUMERATE_ITEM;

		*after = load_u64(item + 24);
		err = sweep_item(blobs, volume, item);
	}
	ask_release(call);
	return err;
}

static WAITS enum err remove_nameless(struct blobs *blobs, struct id128 volume, uint64_t set)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	struct set_simple_call *call;
	enum err err;

	if (record != NULL && (record->placements.count != 0 || record->successors.count == 0))
		return ERR_OK;
	call = ask_create(sizeof(*call), SET_REMOVE, volume, NULL);
	if (call == NULL)
		return ERR_NOMEM;
	call->set = set;
	err = ask(blobs, call, ask_patience_ms(blobs));
	ask_release(call);
	return err;
}

/*
 * What a crash left of a column that was being made: without a header that can be read, of a set
 * that the directory does not know. Other columns of it would have told; an acknowledged blob is in
 * a set that was born.
 */
static WAITS enum err sweep_unreadable(struct blobs *blobs, struct id128 volume)
{
	struct set_enumerate_call *call =
		ask_create(sizeof(*call), SET_ENUMERATE, volume, drop_items);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->unreadable = true;
	err = ask(blobs, call, ask_patience_ms(blobs));
	for (uint32_t i = 0; err == ERR_OK && i < call->count; i++)
		err = remove_nameless(blobs, volume,
				      load_u64(call->items->data + i * sizeof(uint64_t)));
	ask_release(call);
	return err;
}

static WAITS enum err sweep_volume(struct blobs *blobs, struct id128 volume)
{
	uint64_t after = 0;
	bool more = false;
	enum err err;

	do
		err = sweep_some(blobs, volume, &after, &more);
	while (err == ERR_OK && more);
	return err == ERR_OK ? sweep_unreadable(blobs, volume) : err;
}

enum err compact_sweep(struct blobs *blobs)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < blobs->options.volume_count; i++) {
		struct volume *volume = blobs->options.volumes[i];

		if (volume_state(volume) != VOLUME_FAILED)
			err = sweep_volume(blobs, volume_id(volume));
	}
	return err;
}
