/* SPDX-License-Identifier: MPL-2.0 */
/*
 * One read of a piece, from the cheapest way to the last:
 *
 *   1. the data column where a writer puts such a piece by preference
 *   2. the column that any member's index names
 *   3. unsealed: a mirror; sealed: decoding the record's range from k others
 *   4. the set's successors, in the same way
 *
 * A way that fails only moves on to the next; what is found in the end is
 * checked against its name and its hash, whichever way it came.
 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"
#include "engine/set/repair.h"
#include "engine/set/stripe.h"

#define SUCCESSOR_DEPTH_MAX 64
#define SLOW_PROBE_EVERY 16

enum err reader_check(struct bytes whole, uint64_t set, struct id128 id, uint32_t piece,
		      struct record *out)
{
	enum err err;

	if (whole.size < RECORD_HEADER_SIZE)
		return ERR_CORRUPT;
	err = record_decode(whole.data, out);
	if (err != ERR_OK)
		return err;
	if (out->set != set || !id128_equal(out->id, id) || out->piece != piece ||
	    record_size(out->payload_size) != whole.size)
		return ERR_CORRUPT;
	return record_check_payload(out, bytes_slice(whole, RECORD_HEADER_SIZE, out->payload_size));
}

/* A piece that is looked for in one set. */
struct lookup {
	struct blobs *blobs;
	uint64_t set;
	struct id128 id;
	uint32_t piece;
	struct profile profile;
	struct id128 volumes[PROFILE_MEMBER_MAX]; /* zero: nobody has this column */
	uint32_t silent;			  /* bit i: member i did not answer, or is gone */
	uint32_t tried; /* bit i: what member i has of it is no good, or it has nothing */
	uint32_t late;	/* bit i: member i is silent because nobody waited for it any longer */
	bool patient;	/* waits for those, too */
	bool located, damaged;
	struct column_entry entry;
	struct shared *found;
};

/* ---- one question ---- */

static void drop_read(struct wire_call *call)
{
	shared_release(&((struct set_read_call *)call)->record);
}

/* Takes what a member sent, if it is what was asked for. */
static enum err take(struct lookup *lookup, struct shared **record)
{
	struct record decoded;
	enum err err = reader_check(shared_bytes(*record), lookup->set, lookup->id, lookup->piece,
				    &decoded);

	/* An explicit loss is as good an answer as the record would be, but not the record. */
	if (err != ERR_OK || decoded.type != RECORD_BLOB) {
		lookup->damaged = true;
		return ERR_CORRUPT;
	}
	lookup->found = *record;
	*record = NULL;
	return ERR_OK;
}

static void note_entry(struct lookup *lookup, const struct column_entry *entry)
{
	if (entry->column < lookup->profile.k && entry->payload_size <= RECORD_PAYLOAD_MAX) {
		lookup->located = true;
		lookup->entry = *entry;
	}
}

static struct set_read_call *make_read(const struct lookup *lookup, unsigned member,
				       bool from_mirror)
{
	struct set_read_call *call =
		ask_create(sizeof(*call), SET_READ, lookup->volumes[member], drop_read);

	if (call == NULL)
		return NULL;
	call->set = lookup->set;
	call->id = lookup->id;
	call->piece = lookup->piece;
	call->from_mirror = from_mirror;
	return call;
}

/*
 * Waits as long as it is worth it: a few times what the best volume needs, while the budget lasts,
 * and the option's time otherwise; to the end when nothing else is left.
 */
static WAITS enum err await(struct lookup *lookup, unsigned member, struct set_read_call *call)
{
	struct blobs *blobs = lookup->blobs;
	uint64_t now = env_now_ms(blobs->env), hard_ms = now + blobs->options.read_hedge_ms;
	uint64_t hedge_ms =
		now + health_hedge_ms(&blobs->health, HEALTH_READ, blobs->options.read_hedge_ms);
	struct cond cond = {0};

	if (lookup->patient)
		hedge_ms = hard_ms = now + ask_patience_ms(blobs);
	ask_post(blobs, call, ask_patience_ms(blobs), &cond);
	while (!ask_is_answered(call) && cond_wait(&cond, hedge_ms) == ERR_OK)
		;
	if (!ask_is_answered(call) && !task_canceled() && hedge_ms < hard_ms &&
	    !latency_budget_spend(&blobs->health.budget))
		while (!ask_is_answered(call) && cond_wait(&cond, hard_ms) == ERR_OK)
			;
	if (!ask_is_answered(call) && !task_canceled()) {
		lookup->late |= 1u << member;
		blobs->hedged_reads++;
		health_slow(&blobs->health, call->wire.volume, HEALTH_READ);
	}
	return ask_err(call);
}

/*
 * ERR_OK: found, or at least located. ERR_NOTFOUND: that member does not know the piece. Else it
 * gives nothing now.
 */
static WAITS enum err ask_member(struct lookup *lookup, unsigned member, bool from_mirror)
{
	struct blobs *blobs = lookup->blobs;
	struct set_read_call *call;
	enum err err;

	if (id128_is_zero(lookup->volumes[member]) || (lookup->silent >> member & 1) != 0)
		return ERR_UNAVAILABLE;
	if (blobs_volume_is_gone(blobs, lookup->volumes[member]))
		return ERR_NOTFOUND;
	call = make_read(lookup, member, from_mirror);
	if (call == NULL)
		return ERR_NOMEM;
	err = await(lookup, member, call);
	if (err == ERR_OK) {
		note_entry(lookup, &call->entry);
		if (call->record != NULL)
			err = take(lookup, &call->record);
	} else if (err != ERR_NOTFOUND && err != ERR_CORRUPT) {
		lookup->silent |= 1u << member;
	}
	lookup->damaged |= err == ERR_CORRUPT;
	if (err == ERR_CORRUPT)
		repair_suspect(blobs->repair, lookup->set, (uint8_t)member);
	if (err != ERR_OK)
		lookup->tried |= 1u << member;
	ask_release(call);
	return err;
}

/* ---- decoding ---- */

static void drop_range(struct wire_call *call)
{
	shared_release(&((struct set_range_call *)call)->bytes);
}

struct degraded {
	struct lookup *lookup;
	struct hash128 seal;
	struct cond cond;
	struct set_range_call *ranges[PROFILE_MEMBER_MAX]; /* by member */
};

static struct set_range_call *ask_range(struct degraded *degraded, unsigned member,
					struct hash128 seal)
{
	const struct lookup *lookup = degraded->lookup;
	struct set_range_call *call =
		ask_create(sizeof(*call), SET_RANGE, lookup->volumes[member], drop_range);

	if (call == NULL)
		return NULL;
	call->set = lookup->set;
	call->seal = seal;
	call->offset = lookup->entry.offset;
	call->size = (uint32_t)record_size(lookup->entry.payload_size);
	ask_post(lookup->blobs, call, ask_patience_ms(lookup->blobs), &degraded->cond);
	return call;
}

/* The members that sent their range so far, in order. */
static size_t arrived(const struct degraded *degraded, uint8_t *members, bool *pending)
{
	size_t count = 0;

	*pending = false;
	for (uint8_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		const struct set_range_call *range = degraded->ranges[i];

		if (range == NULL)
			continue;
		*pending |= !ask_is_answered(range);
		if (ask_is_answered(range) && ask_err(range) == ERR_OK)
			members[count++] = i;
	}
	return count;
}

static enum err decode_from(struct degraded *degraded, const uint8_t *from)
{
	struct lookup *lookup = degraded->lookup;
	const uint8_t *source[PROFILE_MEMBER_MAX];
	struct shared *record = shared_create((size_t)record_size(lookup->entry.payload_size));
	enum err err;

	if (record == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < lookup->profile.k; i++)
		source[i] = degraded->ranges[from[i]]->bytes->data;
	err = stripe_decode(lookup->profile, lookup->entry.column, from, source, record->size,
			    record->data);
	if (err == ERR_OK)
		err = take(lookup, &record);
	shared_release(&record);
	return err;
}

/* The next choice of k out of `count`, in lexical order of positions. */
static bool next_choice(uint8_t *positions, size_t k, size_t count)
{
	for (size_t i = k; i-- > 0;) {
		if (positions[i] + (k - i) >= count)
			continue;
		positions[i]++;
		for (size_t j = i + 1; j < k; j++)
			positions[j] = (uint8_t)(positions[j - 1] + 1);
		return true;
	}
	return false;
}

/* Any of the sources may be the damaged one: tries every choice of k of them. */
static enum err decode_any(struct degraded *degraded, const uint8_t *members, size_t count)
{
	size_t k = degraded->lookup->profile.k;
	uint8_t positions[PROFILE_MEMBER_MAX], from[PROFILE_MEMBER_MAX];
	enum err err;

	for (uint8_t i = 0; i < k; i++)
		positions[i] = i;
	do {
		for (size_t i = 0; i < k; i++)
			from[i] = members[positions[i]];
		err = decode_from(degraded, from);
	} while (err == ERR_CORRUPT && next_choice(positions, k, count));
	return err;
}

/* Up to `limit` members that were not asked yet; gives how many it asked. */
static size_t ask_ranges(struct degraded *degraded, size_t limit, bool silent_too)
{
	const struct lookup *lookup = degraded->lookup;
	size_t asked = 0;

	for (unsigned i = 0; asked < limit && i < profile_members(lookup->profile); i++) {
		if (i == lookup->entry.column || id128_is_zero(lookup->volumes[i]) ||
		    degraded->ranges[i] != NULL || (!silent_too && (lookup->silent >> i & 1) != 0))
			continue;
		degraded->ranges[i] = ask_range(degraded, i, degraded->seal);
		asked += degraded->ranges[i] != NULL;
	}
	return asked;
}

/* k siblings are enough; where one of them is slow, damaged or away, the others are asked, too. */
static WAITS enum err gather(struct degraded *degraded)
{
	const struct lookup *lookup = degraded->lookup;
	uint64_t hedge_ms = env_now_ms(lookup->blobs->env) + lookup->blobs->options.read_hedge_ms;
	uint64_t deadline_ms = env_now_ms(lookup->blobs->env) + ask_patience_ms(lookup->blobs);
	uint8_t members[PROFILE_MEMBER_MAX];
	bool pending;

	(void)ask_ranges(degraded, lookup->profile.k, false);
	for (;;) {
		size_t count = arrived(degraded, members, &pending);
		bool late = env_now_ms(lookup->blobs->env) >= hedge_ms;
		enum err err = ERR_UNAVAILABLE;

		if (count >= lookup->profile.k)
			err = decode_any(degraded, members, count);
		if (err == ERR_OK || err == ERR_NOMEM)
			return err;
		if ((late || !pending || err == ERR_CORRUPT) &&
		    ask_ranges(degraded, PROFILE_MEMBER_MAX, true) != 0)
			continue;
		if (!pending)
			return err;
		err = cond_wait(&degraded->cond, late ? deadline_ms : hedge_ms);
		if (err != ERR_OK && (late || err != ERR_TIMEOUT))
			return err == ERR_TIMEOUT ? ERR_UNAVAILABLE : err;
	}
}

static WAITS enum err ask_seal(const struct lookup *lookup, unsigned member, struct hash128 *out)
{
	struct set_ask_call *call =
		ask_create(sizeof(*call), SET_ASK, lookup->volumes[member], NULL);
	const struct directory_record *record =
		directory_store_get(lookup->blobs->directory, lookup->set);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = lookup->set;
	call->uuid = record != NULL ? record->birth.uuid : ID128_ZERO;
	err = ask(lookup->blobs, call, ask_patience_ms(lookup->blobs));
	if (err == ERR_OK && !call->answer.sealed)
		err = ERR_STALE;
	if (err == ERR_OK)
		*out = call->answer.certificate.seal;
	ask_release(call);
	return err;
}

/* The seal under which its columns may be combined. */
static WAITS enum err find_seal(struct lookup *lookup, struct hash128 *out)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned i = 0; i < profile_members(lookup->profile); i++) {
		if (id128_is_zero(lookup->volumes[i]) || (lookup->silent >> i & 1) != 0)
			continue;
		err = ask_seal(lookup, i, out);
		if (err == ERR_OK || err == ERR_NOMEM)
			return err;
	}
	return err;
}

static WAITS enum err decode(struct lookup *lookup)
{
	struct degraded degraded = {.lookup = lookup};
	enum err err = find_seal(lookup, &degraded.seal);

	if (err != ERR_OK)
		return err == ERR_STALE ? ERR_UNAVAILABLE : err;
	err = gather(&degraded);
	for (unsigned i = 0; i < PROFILE_MEMBER_MAX; i++)
		ask_release(degraded.ranges[i]);
	if (err == ERR_OK)
		lookup->blobs->degraded_reads++;
	return err;
}

/* ---- one set ---- */

/* From the column itself: by preference, then by whatever index names it. */
static WAITS void read_directly(struct lookup *lookup)
{
	unsigned members = profile_members(lookup->profile), first;

	first = open_set_preferred_column(lookup->id, lookup->piece, lookup->profile.k);
	(void)!ask_member(lookup, first, false);
	/* Parity members know all columns, so they come before the other data columns. */
	for (unsigned i = members; i-- > 0 && lookup->found == NULL && !lookup->located;)
		if (i != first)
			(void)!ask_member(lookup, i, false);
	if (lookup->found == NULL && lookup->located &&
	    (lookup->tried >> lookup->entry.column & 1) == 0)
		(void)!ask_member(lookup, lookup->entry.column, false);
}

static WAITS void read_mirrors(struct lookup *lookup)
{
	unsigned members = profile_members(lookup->profile);

	for (unsigned i = lookup->profile.k; i < members && lookup->found == NULL; i++)
		(void)!ask_member(lookup, i, true);
	lookup->blobs->mirror_reads += lookup->found != NULL;
}

static bool load_set(struct lookup *lookup)
{
	const struct directory_record *record =
		directory_store_get(lookup->blobs->directory, lookup->set);
	struct id128 tags[PROFILE_MEMBER_MAX];

	if (record == NULL || !record->born || record->placements.count == 0)
		return false;
	lookup->profile = record->birth.profile;
	set_members(record, lookup->volumes, tags);
	return true;
}

/* ERR_NOTFOUND: all its members answered, and none has it. */
static WAITS enum err try_set(struct lookup *lookup)
{
	enum err err = ERR_NOTFOUND;

	read_directly(lookup);
	if (lookup->found == NULL && (lookup->silent != 0 || lookup->located || lookup->damaged))
		read_mirrors(lookup);
	if (lookup->found == NULL && lookup->located)
		err = decode(lookup);
	if (lookup->found != NULL)
		return ERR_OK;
	if (task_canceled())
		return ERR_CANCELED;
	if (lookup->damaged)
		return ERR_CORRUPT;
	return lookup->silent != 0 && err == ERR_NOTFOUND ? ERR_UNAVAILABLE : err;
}

/* Slow volumes last: a flag may be old, so now and then one is asked first all the same. */
static void put_off_slow(struct lookup *lookup)
{
	struct blobs *blobs = lookup->blobs;

	if (blobs->read_count % SLOW_PROBE_EVERY == 0)
		return;
	for (unsigned i = 0; i < profile_members(lookup->profile); i++)
		if (health_is_slow(&blobs->health, lookup->volumes[i]))
			lookup->late |= 1u << i;
	lookup->silent |= lookup->late;
}

static WAITS enum err read_in_set(struct lookup *lookup)
{
	enum err err;

	if (!load_set(lookup))
		return ERR_NOTFOUND;
	put_off_slow(lookup);
	err = try_set(lookup);
	if (err == ERR_OK || lookup->late == 0 || err == ERR_CANCELED)
		return err;
	/* Nobody else has it: what was not waited for is waited for. */
	lookup->silent &= ~lookup->late;
	lookup->tried &= ~lookup->late;
	lookup->late = 0;
	lookup->patient = true;
	return try_set(lookup);
}

enum err reader_fetch(struct blobs *blobs, uint64_t set, struct id128 id, uint32_t piece,
		      struct shared **out)
{
	struct lookup lookup = {.blobs = blobs, .set = set, .id = id, .piece = piece};
	enum err err = read_in_set(&lookup);

	if (err == ERR_OK)
		*out = lookup.found;
	return err;
}

/* ---- through the successors ---- */

/* What is worse news: what could not be asked hides more than what is known to be bad. */
static enum err worse(enum err a, enum err b)
{
	static const enum err order[] = {ERR_CANCELED, ERR_NOMEM, ERR_UNAVAILABLE, ERR_CORRUPT};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return a != ERR_NOTFOUND ? a : b;
}

static WAITS enum err read_piece(struct blobs *blobs, uint64_t set, struct id128 id, uint32_t piece,
				 int depth, struct shared **out)
{
	enum err err = reader_fetch(blobs, set, id, piece, out);

	if (err == ERR_OK)
		return ERR_OK;
	for (uint32_t i = 0; depth < SUCCESSOR_DEPTH_MAX && err != ERR_CANCELED; i++) {
		/* Looked up anew each time: it may have changed while a successor was asked. */
		const struct directory_record *record = directory_store_get(blobs->directory, set);
		enum err other;

		if (record == NULL || i >= record->successors.count)
			break;
		other = read_piece(blobs, directory_get_successor(record, i), id, piece, depth + 1,
				   out);
		if (other == ERR_OK)
			return ERR_OK;
		err = worse(err, other);
	}
	return err;
}

/*
 * A set may be evacuated, or its columns be sealed, between two questions about it; and another
 * node may have told the directory. So what fails is tried once more against what is known then.
 */
static WAITS enum err find_piece(struct blobs *blobs, uint64_t set, struct id128 id, uint32_t piece,
				 struct shared **out)
{
	uint64_t version = directory_store_version(blobs->directory);
	enum err err = read_piece(blobs, set, id, piece, 0, out);
	bool complete;

	if (err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM)
		return err;
	if (directory_store_version(blobs->directory) == version &&
	    directory_store_refresh(blobs->directory, &complete) == ERR_CANCELED)
		return ERR_CANCELED;
	return read_piece(blobs, set, id, piece, 0, out);
}

/* ---- blobs ---- */

/* [from, to) of the blob, which lies in that piece. */
static WAITS enum err lend_piece(struct blobs *blobs, const struct blob_ref *ref, uint64_t set,
				 uint32_t piece, uint64_t from, uint64_t to, struct lent *out)
{
	struct shared *record = NULL;
	struct bytes payload;
	uint64_t start = (uint64_t)piece * PIECE_SIZE;
	enum err err = find_piece(blobs, set, ref->id, piece, &record);

	if (err != ERR_OK)
		return err;
	payload = bytes_slice(shared_bytes(record), RECORD_HEADER_SIZE, load_u32(record->data + 8));
	/* Every piece but the last is whole, so a short one in the middle is another blob's. */
	if (from < start || to - start > payload.size) {
		shared_release(&record);
		return ERR_CORRUPT;
	}
	out->bytes = bytes_slice(payload, (size_t)(from - start), (size_t)(to - from));
	out->holder = record;
	return ERR_OK;
}

static const struct blob_extent *extent_of(const struct blob_ref *ref, uint32_t piece)
{
	for (uint32_t i = 0; i < ref->extent_count; i++) {
		const struct blob_extent *extent = &ref->extents[i];

		if (piece >= extent->first_piece &&
		    piece - extent->first_piece < extent->piece_count)
			return extent;
	}
	return NULL;
}

/* What lies in one piece from `offset` on, at most up to `end`. */
static WAITS enum err lend_next(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset,
				uint64_t end, struct lent *out)
{
	uint32_t piece = (uint32_t)(offset / PIECE_SIZE);
	uint64_t piece_end = ((uint64_t)piece + 1) * PIECE_SIZE;
	const struct blob_extent *extent = extent_of(ref, piece);

	if (extent == NULL)
		return ERR_CORRUPT;
	return lend_piece(blobs, ref, extent->set, piece, offset, piece_end < end ? piece_end : end,
			  out);
}

static enum err begin_read(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset,
			   uint64_t size)
{
	if (offset > ref->size || size > ref->size - offset)
		return ERR_INVALID;
	blobs->read_count++;
	latency_budget_earn(&blobs->health.budget);
	if (blobs->read != NULL)
		blobs->read(blobs->read_context, ref->id);
	return ERR_OK;
}

static WAITS enum err append_all(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset,
				 uint64_t end, struct buf *out)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && offset < end) {
		struct lent part = {.holder = NULL};

		err = lend_next(blobs, ref, offset, end, &part);
		if (err == ERR_OK) {
			offset += part.bytes.size;
			buf_put_bytes(out, part.bytes);
			err = out->err;
		}
		lent_return(&part);
	}
	return err;
}

/* Neither absence nor damage is loss while one is away that may have it. */
static enum err judge_read(const struct blobs *blobs, enum err err)
{
	return (err == ERR_NOTFOUND || err == ERR_CORRUPT) && blobs_someone_is_away(blobs)
		       ? ERR_UNAVAILABLE
		       : err;
}

enum err blob_read(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset, uint64_t size,
		   struct buf *out)
{
	enum err err = begin_read(blobs, ref, offset, size);

	if (err != ERR_OK)
		return err;
	return judge_read(blobs, append_all(blobs, ref, offset, offset + size, out));
}

enum err blob_lend(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset, uint64_t size,
		   struct lent *out)
{
	enum err err = begin_read(blobs, ref, offset, size);

	if (err != ERR_OK || size == 0)
		return err;
	if (offset / PIECE_SIZE == (offset + size - 1) / PIECE_SIZE) {
		err = lend_next(blobs, ref, offset, offset + size, out);
	} else {
		err = append_all(blobs, ref, offset, offset + size, &out->own);
		out->bytes = bytes_of_buf(&out->own);
	}
	return judge_read(blobs, err);
}

void blobs_watch_reads(struct blobs *blobs, void (*read)(void *context, struct id128 blob),
		       void *context)
{
	blobs->read = read;
	blobs->read_context = context;
}

uint64_t blob_read_count(const struct blobs *blobs)
{
	return blobs->read_count;
}
