/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/reclaim/liveness.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/audit.h"
#include "engine/journal/closings.h"
#include "engine/plant.h"

/* ---- what keeps it up ---- */

void liveness_note_obstacle(struct liveness_judge *judge, enum err err, struct id128 volume,
			    struct id128 tag)
{
	struct reclaim_obstacle *obstacle = &judge->obstacle;

	/* A silent volume says more than an account that was busy. */
	if (obstacle->err == ERR_OK || !id128_is_zero(volume)) {
		obstacle->err = err;
		obstacle->volume = volume;
		obstacle->tag = tag;
	}
	obstacle->accounts++;
}

bool liveness_is_held_up(struct liveness_judge *judge)
{
	for (size_t i = 0; i < judge->layout->volume_count; i++) {
		if (!judge->layout->volumes[i].failed)
			continue;
		liveness_note_obstacle(judge, ERR_UNAVAILABLE, judge->layout->volumes[i].volume,
				       ID128_ZERO);
		return true;
	}
	return false;
}

bool liveness_is_passing(enum err err)
{
	return err == ERR_UNAVAILABLE || err == ERR_STALE || err == ERR_TIMEOUT ||
	       err == ERR_CORRUPT || err == ERR_IO || err == ERR_NOTFOUND;
}

/* ---- the accounts, at one moment ---- */

struct roll {
	struct reclaim_account *accounts;
	size_t count, capacity;
	struct map by_tag; /* to position + 1 */
};

static enum err enrol(void *context, const struct reclaim_account *account)
{
	struct roll *roll = context;

	if (roll->count == roll->capacity) {
		size_t capacity = roll->capacity != 0 ? roll->capacity * 2 : 64;
		struct reclaim_account *accounts =
			memory_resize(roll->accounts, capacity * sizeof(*accounts));

		if (accounts == NULL)
			return ERR_NOMEM;
		roll->accounts = accounts;
		roll->capacity = capacity;
	}
	roll->accounts[roll->count++] = *account;
	return map_put(&roll->by_tag, &account->tag, (void *)(uintptr_t)roll->count);
}

static enum err roll_call(const struct liveness_judge *judge, struct roll *roll)
{
	*roll = (struct roll){.count = 0};
	map_init(&roll->by_tag, sizeof(struct id128));
	return judge->source.accounts(judge->source.context, enrol, roll);
}

static void roll_finish(struct roll *roll)
{
	map_finish(&roll->by_tag);
	memory_free(roll->accounts);
}

static const struct reclaim_account *roll_find(const struct roll *roll, struct id128 tag)
{
	uintptr_t position = (uintptr_t)map_get(&roll->by_tag, &tag);

	return position != 0 ? &roll->accounts[position - 1] : NULL;
}

/* ---- references of one account ---- */

/*
 * The home first: what it holds and what is under way at that moment; whatever is appended
 * afterwards was not in the way of (c). Then what the volumes hold.
 */
static WAITS enum err visit_account(struct liveness_judge *judge,
				    const struct reclaim_account *account,
				    enum err (*each)(void *context, const struct blob_ref *blob),
				    void *context, struct id128 *silent)
{
	enum err err;

	*silent = ID128_ZERO;
	if (!journal_is_settled(judge->journal, account->stream))
		return ERR_STALE;
	err = judge->source.references(judge->source.context, account->id, each, context);
	if (err == ERR_OK && !account->deleted)
		err = journal_references(judge->journal, account->stream, each, context, silent);
	return err;
}

static enum err add_id(void *context, const struct blob_ref *blob)
{
	struct buf *ids = context;

	buf_put_id(ids, blob->id);
	return ids->err;
}

static int compare_ids(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct id128));
}

static bool is_named(const struct buf *ids, struct id128 id)
{
	return ids->size != 0 &&
	       bsearch(&id, ids->data, ids->size / sizeof(id), sizeof(id), compare_ids) != NULL;
}

/* ---- judging ---- */

/* One judgement: (c) as of its beginning, which is the careful side for all that follows. */
struct session {
	struct liveness_judge *judge;
	struct id128 incarnation;
	uint64_t floor;
	struct roll roll;
	enum err verified; /* the table of accounts */
	struct id128 silent;
	bool asked;
};

static bool is_over(const struct session *session, const struct compact_record *record)
{
	if (PLANTED(reclaim_ignores_writers))
		return true;
	if (id128_equal(record->incarnation, session->incarnation))
		return record->number < session->floor;
	if (PLANTED(orphans_kept))
		return false;
	return journal_incarnation_is_closed(session->judge->journal, record->incarnation);
}

static WAITS enum err verify_roll(struct session *session)
{
	const struct reclaim_source *source = &session->judge->source;

	if (!session->asked)
		session->verified = source->verify(source->context, &session->silent);
	session->asked = true;
	return session->verified;
}

static WAITS enum err collect(struct session *session, struct id128 tag, struct buf *ids,
			      struct id128 *silent)
{
	const struct reclaim_account *account = roll_find(&session->roll, tag);
	enum err err = ERR_OK;

	*silent = ID128_ZERO;
	if (account == NULL || account->deleted) {
		err = verify_roll(session);
		*silent = session->silent;
	}
	if (err == ERR_OK && account != NULL)
		err = visit_account(session->judge, account, add_id, ids, silent);
	return err;
}

static WAITS enum err judge_account(struct session *session, struct compact_record *records,
				    size_t count)
{
	struct buf ids = {0};
	struct id128 silent;
	enum err err = ERR_OK;

	/* Without a readable header nobody knows whose it is. */
	if (id128_is_zero(records[0].tag) && id128_is_zero(records[0].incarnation))
		return ERR_OK;
	err = collect(session, records[0].tag, &ids, &silent);
	if (err == ERR_OK && ids.size != 0)
		qsort(ids.data, ids.size / sizeof(struct id128), sizeof(struct id128), compare_ids);
	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		if (is_named(&ids, records[i].entry.id))
			records[i].liveness = LIVENESS_LIVE;
		else if (is_over(session, &records[i]))
			records[i].liveness = LIVENESS_DEAD;
	}
	buf_finish(&ids);
	if (!liveness_is_passing(err))
		return err;
	liveness_note_obstacle(session->judge, err, silent, records[0].tag);
	return ERR_OK;
}

static int compare_tags(const void *left, const void *right)
{
	const struct compact_record *a = left, *b = right;
	int order = id128_compare(a->tag, b->tag);

	if (order == 0)
		order = id128_compare(a->entry.id, b->entry.id);
	if (order == 0)
		order = a->entry.piece < b->entry.piece ? -1 : a->entry.piece > b->entry.piece;
	return order;
}

enum err liveness_judge(struct liveness_judge *judge, struct compact_record *records, size_t count)
{
	struct session session = {.judge = judge,
				  .incarnation = blob_incarnation(judge->blobs),
				  .floor = blob_floor(judge->blobs)};
	enum err err = roll_call(judge, &session.roll);

	judge->obstacle = (struct reclaim_obstacle){.err = ERR_OK};
	for (size_t i = 0; i < count; i++)
		records[i].liveness = LIVENESS_UNKNOWN;
	if (count > 1)
		qsort(records, count, sizeof(*records), compare_tags);
	for (size_t i = 0, next; err == ERR_OK && i < count; i = next) {
		for (next = i + 1; next < count; next++)
			if (!id128_equal(records[next].tag, records[i].tag))
				break;
		err = judge_account(&session, records + i, next - i);
	}
	roll_finish(&session.roll);
	return err;
}

/* ---- walking ---- */

/* A part of a blob in the set where it was born. */
struct part {
	struct id128 id;
	uint64_t set, size;
};

static enum err add_parts(void *context, const struct blob_ref *blob)
{
	struct buf *parts = context;

	for (uint32_t i = 0; i < blob->extent_count; i++) {
		const struct part part = {.id = blob->id,
					  .set = blob->extents[i].set,
					  .size = compact_extent_size(blob, &blob->extents[i])};

		buf_put(parts, &part, sizeof(part));
	}
	return parts->err;
}

static int compare_parts(const void *left, const void *right)
{
	const struct part *a = left, *b = right;
	int order = id128_compare(a->id, b->id);

	if (order == 0)
		order = a->set < b->set ? -1 : a->set > b->set;
	return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* Home, manifest and entries may all name it: it counts once. */
static enum err visit_parts(struct buf *parts,
			    enum err (*each)(void *context, uint64_t set, uint64_t size),
			    void *context)
{
	struct part *items = (struct part *)(void *)parts->data;
	size_t count = parts->size / sizeof(*items);
	enum err err = ERR_OK;

	if (count > 1)
		qsort(items, count, sizeof(*items), compare_parts);
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		if (i == 0 || compare_parts(&items[i - 1], &items[i]) != 0)
			err = each(context, items[i].set, items[i].size);
	return err;
}

enum err liveness_walk(struct liveness_judge *judge,
		       enum err (*each)(void *context, uint64_t set, uint64_t size), void *context)
{
	struct roll roll;
	enum err err = roll_call(judge, &roll);

	judge->obstacle = (struct reclaim_obstacle){.err = ERR_OK};
	for (size_t i = 0; err == ERR_OK && i < roll.count; i++) {
		struct buf parts = {0};
		struct id128 silent;

		if (roll.accounts[i].deleted)
			continue;
		err = visit_account(judge, &roll.accounts[i], add_parts, &parts, &silent);
		if (liveness_is_passing(err)) {
			liveness_note_obstacle(judge, err, silent, roll.accounts[i].tag);
			err = ERR_OK;
		}
		if (err == ERR_OK)
			err = visit_parts(&parts, each, context);
		buf_finish(&parts);
	}
	roll_finish(&roll);
	return err;
}
