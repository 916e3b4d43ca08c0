/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/inheritance.h"

#include <assert.h>

#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

/* Of sets that lead on from one to the next, in any shape. */
#define HEIRS_MAX 1024u

struct name {
	struct id128 id;
	uint32_t piece;
};

static_assert(sizeof(struct name) == 20, "no padding in a key");

enum holding { HOLDING_LOST = 1, HOLDING_RECORD };

static enum holding find(const struct inheritance *inheritance, struct id128 id, uint32_t piece)
{
	const struct name name = {id, piece};

	return (enum holding)(uintptr_t)map_get(&inheritance->names, &name);
}

bool inheritance_holds(const struct inheritance *inheritance, struct id128 id, uint32_t piece)
{
	return find(inheritance, id, piece) == HOLDING_RECORD;
}

bool inheritance_knows_lost(const struct inheritance *inheritance, struct id128 id, uint32_t piece)
{
	return find(inheritance, id, piece) == HOLDING_LOST;
}

enum err inheritance_add(struct inheritance *inheritance, const struct column_entry *entry)
{
	const struct name name = {entry->id, entry->piece};
	enum holding before = find(inheritance, entry->id, entry->piece);
	enum holding now = entry->type == RECORD_LOST ? HOLDING_LOST : HOLDING_RECORD;
	enum err err;

	if (before >= now)
		return ERR_OK;
	err = map_put(&inheritance->names, &name, (void *)(uintptr_t)now);
	if (err != ERR_OK)
		return err;
	inheritance->lost += now == HOLDING_LOST;
	inheritance->lost -= before == HOLDING_LOST;
	return ERR_OK;
}

/* ---- the index of one set ---- */

static void drop_index(struct wire_call *call)
{
	shared_release(&((struct set_index_call *)call)->index);
}

static enum err decode_index(const struct set_index_call *call, struct column_entry **out,
			     uint32_t *count)
{
	size_t pages = call->index->size / COLUMN_INDEX_PAGE, total = 0, found;
	struct column_entry *entries =
		memory_array(pages * COLUMN_INDEX_PER_PAGE, sizeof(*entries));
	enum err err = entries != NULL ? ERR_OK : ERR_NOMEM;

	for (size_t i = 0; err == ERR_OK && i < pages; i++) {
		err = column_index_page_decode(call->index->data + i * COLUMN_INDEX_PAGE,
					       entries + total, &found);
		total += err == ERR_OK ? found : 0;
	}
	if (err != ERR_OK) {
		memory_free(entries);
		return err;
	}
	*out = entries;
	*count = (uint32_t)total;
	return ERR_OK;
}

enum err fetch_index_entries(struct blobs *blobs, struct id128 volume, uint64_t set,
			     struct column_entry **out, uint32_t *count)
{
	struct set_index_call *call = ask_create(sizeof(*call), SET_INDEX, volume, drop_index);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = set;
	err = ask(blobs, call, ask_patience_ms(blobs));
	/* An unsealed mirror has an index, too, but nothing vouches for it. */
	if (err == ERR_OK && (call->certificate.seal.low | call->certificate.seal.high) == 0)
		err = ERR_STALE;
	if (err == ERR_OK)
		err = decode_index(call, out, count);
	ask_release(call);
	return err;
}

/* From the first of its columns that gives it. */
static WAITS enum err add_index(struct blobs *blobs, uint64_t set, struct inheritance *inheritance)
{
	struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX];
	struct column_entry *entries = NULL;
	uint32_t count = 0;
	enum err err = ERR_UNAVAILABLE;

	set_members(directory_store_get(blobs->directory, set), volumes, tags);
	for (size_t i = 0; err != ERR_OK && i < PROFILE_MEMBER_MAX; i++) {
		if (id128_is_zero(volumes[i]))
			continue;
		err = fetch_index_entries(blobs, volumes[i], set, &entries, &count);
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
	}
	for (uint32_t i = 0; err == ERR_OK && i < count; i++)
		err = inheritance_add(inheritance, &entries[i]);
	memory_free(entries);
	return err;
}

/* ---- all of them ---- */

static bool contains(const struct buf *sets, uint64_t set)
{
	for (size_t at = 0; at < sets->size; at += 8)
		if (load_u64(sets->data + at) == set)
			return true;
	return false;
}

static enum err add_successors(const struct directory_record *record, struct buf *sets)
{
	for (uint32_t i = 0; record != NULL && i < record->successors.count; i++) {
		uint64_t successor = directory_get_successor(record, i);

		if (!contains(sets, successor))
			buf_put_u64(sets, successor);
	}
	if (sets->size > HEIRS_MAX * sizeof(uint64_t))
		return ERR_LIMIT;
	return sets->err;
}

/* One that has gone on itself need not answer: what it held is in its successors. */
static WAITS enum err look_into(struct blobs *blobs, uint64_t set, struct inheritance *out)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	bool went_on = record != NULL && record->successors.count != 0;
	enum err err;

	if (record == NULL || record->placements.count == 0 || !set_is_whole(blobs, set))
		return ERR_OK;
	out->heirs++;
	err = add_index(blobs, set, out);
	if (err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM)
		return err;
	return went_on ? ERR_OK : ERR_UNAVAILABLE;
}

enum err inheritance_load(struct blobs *blobs, uint64_t set, struct inheritance *out)
{
	struct buf sets = {0};
	enum err err;

	*out = (struct inheritance){.lost = 0};
	map_init(&out->names, sizeof(struct name));
	err = add_successors(directory_store_get(blobs->directory, set), &sets);
	for (size_t at = 0; err == ERR_OK && at < sets.size; at += 8) {
		uint64_t heir = load_u64(sets.data + at);

		err = look_into(blobs, heir, out);
		if (err == ERR_OK)
			err = add_successors(directory_store_get(blobs->directory, heir), &sets);
	}
	buf_finish(&sets);
	return err;
}

void inheritance_finish(struct inheritance *inheritance)
{
	map_finish(&inheritance->names);
}
