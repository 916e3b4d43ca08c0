/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Reading: ask every designated replica what it holds, see to it that a quorum
 * holds what is to be visited, take the entries from the replica that holds
 * most, and what it lacks from the others.
 */
#include <string.h>

#include "engine/journal/entry.h"
#include "engine/journal/journal_private.h"
#include "engine/journal/manifest.h"
#include "engine/journal/settle.h"

struct reader {
	struct journal *journal;
	struct id128 stream;
	struct vector seen;
	struct vector settled; /* further than this nothing is visited */
	size_t left;	       /* entries that may still be visited */
	bool more;
	enum err (*each)(void *context, const struct entry *entry);
	void *context;
	struct vector *report; /* the caller's `seen` */
	struct entry_blobs blobs;
};

/* How much of the stream lies in `vector` beyond what was seen. */
static uint64_t count_beyond(const struct vector *seen, const struct vector *vector)
{
	uint64_t count = 0;

	for (size_t i = 0; i < vector->count; i++) {
		uint64_t from = vector_get(seen, vector->items[i].incarnation);

		if (vector->items[i].seq > from)
			count += vector->items[i].seq - from;
	}
	return count;
}

static enum err visit_entry(struct reader *reader, struct bytes encoded)
{
	struct entry entry;
	enum err err = entry_decode(encoded, &reader->blobs, &entry);

	if (err != ERR_OK)
		return err;
	if (!id128_equal(entry.stream, reader->stream))
		return ERR_CORRUPT;
	if (entry.seq <= vector_get(&reader->seen, entry.incarnation))
		return ERR_OK;
	err = vector_raise(&reader->seen, entry.incarnation, entry.seq);
	/* It is passed over, and met again by a later read. */
	if (err != ERR_OK || entry.seq > vector_get(&reader->settled, entry.incarnation))
		return err;
	reader->left--;
	if (reader->report != NULL)
		err = vector_raise(reader->report, entry.incarnation, entry.seq);
	return err != ERR_OK ? err : reader->each(reader->context, &entry);
}

static enum err visit_batch(struct reader *reader, struct bytes entries)
{
	struct cursor cursor = cursor_make(entries);
	enum err err = ERR_OK;

	while (err == ERR_OK && cursor_left(&cursor) != 0) {
		struct bytes encoded = cursor_take(&cursor, cursor_u32(&cursor));

		err = cursor.err != ERR_OK ? cursor.err : visit_entry(reader, encoded);
	}
	return err;
}

static enum err encode_seen(const struct vector *seen, struct shared **out)
{
	struct buf encoded = {0};
	enum err err;

	vector_encode(seen, &encoded);
	err = encoded.err;
	if (err == ERR_OK) {
		*out = shared_create(encoded.size);
		err = *out == NULL ? ERR_NOMEM : ERR_OK;
	}
	if (err == ERR_OK)
		memcpy((*out)->data, encoded.data, encoded.size);
	buf_finish(&encoded);
	return err;
}

/* One answer of the replica. *more: it has further ones. */
static WAITS enum err read_batch(struct reader *reader, struct id128 volume, bool *more)
{
	struct fanout *fanout = fanout_create(reader->journal, &volume, 1, JOURNAL_READ);
	struct journal_read_call *call;
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	call = &fanout->targets[0].call.read;
	call->stream = reader->stream;
	call->limit = reader->left;
	err = encode_seen(&reader->seen, &call->after);
	if (err == ERR_OK)
		err = fanout_ask(fanout);
	if (err == ERR_OK) {
		*more = call->more;
		err = visit_batch(reader, shared_bytes(call->entries));
	}
	fanout_release(&fanout);
	return err;
}

/* Everything the replica has beyond what was seen, as far as the limit goes. */
static WAITS enum err read_replica(struct reader *reader, struct id128 volume)
{
	bool more = true;

	while (more) {
		enum err err;

		if (reader->left == 0) {
			reader->more = true;
			return ERR_OK;
		}
		err = read_batch(reader, volume, &more);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* ---- the replicas' states ---- */

static void states_finish(struct states *states)
{
	for (size_t i = 0; i < states->count; i++)
		state_finish(&states->items[i]);
	states->count = 0;
}

static WAITS enum err ask_states(struct journal *journal, struct id128 stream,
				 struct states *states)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	struct fanout *fanout = fanout_create(journal, set.volumes, set.count, JOURNAL_STATE);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < fanout->count; i++)
		fanout->targets[i].call.state.stream = stream;
	fanout_post(fanout);
	err = fanout_wait(fanout, fanout->count, env_now_ms(journal->env) + JOURNAL_ANSWER_MS);
	for (size_t i = 0; err == ERR_OK && i < fanout->count; i++) {
		const struct journal_state_call *call = &fanout->targets[i].call.state;

		if (!fanout_succeeded(&fanout->targets[i]))
			continue;
		err = state_decode(shared_bytes(call->state), &states->items[states->count]);
		if (err != ERR_OK)
			break;
		states->volumes[states->count] = call->wire.volume;
		states->nodes[states->count++] = set.nodes[i];
		states->counted += journal_is_counted(journal, call->wire.volume);
	}
	fanout_release(&fanout);
	if (err != ERR_OK)
		states_finish(states);
	return err;
}

/* The one that has most to tell; `count` when nobody has anything. */
static size_t best_state(const struct states *states, const struct vector *seen, const bool *failed)
{
	size_t best = states->count;
	uint64_t most = 0;

	for (size_t i = 0; i < states->count; i++) {
		uint64_t beyond = count_beyond(seen, &states->items[i].vector);

		if (!failed[i] && beyond > most) {
			most = beyond;
			best = i;
		}
	}
	return best;
}

static WAITS enum err read_states(struct reader *reader, const struct states *states,
				  bool *complete)
{
	bool failed[LAYOUT_REPLICAS] = {false};
	size_t best;

	while ((best = best_state(states, &reader->seen, failed)) < states->count &&
	       !reader->more) {
		enum err err = read_replica(reader, states->volumes[best]);

		/* Its damaged entries, or those of one that fell silent, others may have. */
		if (err == ERR_UNAVAILABLE || err == ERR_TIMEOUT || err == ERR_CORRUPT ||
		    err == ERR_IO)
			*complete = false;
		else if (err != ERR_OK)
			return err;
		failed[best] = true;
	}
	/* Whatever failed does not matter when others had it all. */
	for (size_t i = 0; i < states->count; i++)
		if (!reader->more && !vector_covers(&reader->seen, &states->items[i].vector))
			return ERR_OK;
	*complete = true;
	return ERR_OK;
}

static WAITS enum err read_stream(struct reader *reader, const struct vector *after, bool *complete)
{
	struct states states = {.count = 0};
	enum err err = ask_states(reader->journal, reader->stream, &states);

	if (err != ERR_OK)
		return err;
	*complete = false;
	if (states.count == 0)
		return ERR_UNAVAILABLE;
	/* Without a starting point: what no manifest stands for. */
	for (size_t i = 0; after == NULL && err == ERR_OK && i < states.count; i++)
		err = vector_merge(&reader->seen, &states.items[i].covered);
	if (after != NULL)
		err = vector_copy(after, &reader->seen);
	if (err == ERR_OK)
		err = settle(reader->journal, reader->stream, &states, &reader->seen,
			     &reader->settled);
	if (err == ERR_OK)
		err = read_states(reader, &states, complete);
	*complete = *complete && states.counted >= journal_read_quorum(reader->journal);
	states_finish(&states);
	return err;
}

enum err journal_read(struct journal *journal, struct id128 stream, const struct vector *after,
		      size_t limit, enum err (*each)(void *context, const struct entry *entry),
		      void *context, struct vector *seen, bool *complete, bool *more)
{
	struct reader reader = {.journal = journal,
				.stream = stream,
				.left = limit,
				.each = each,
				.context = context,
				.report = seen};
	bool is_complete = false;
	enum err err = read_stream(&reader, after, &is_complete);

	if (err == ERR_OK) {
		*complete = is_complete;
		*more = reader.more;
	}
	vector_finish(&reader.seen);
	vector_finish(&reader.settled);
	entry_blobs_finish(&reader.blobs);
	return err;
}

/* ---- what all hold ---- */

static uint64_t held_by_all(const struct states *states, struct id128 incarnation)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < states->count; i++) {
		uint64_t seq = vector_get(&states->items[i].vector, incarnation);

		if (seq < lowest)
			lowest = seq;
	}
	return lowest;
}

/* A volume that is away may come back, with entries that nobody else has. */
static bool all_are_here(const struct layout *layout)
{
	for (size_t i = 0; i < layout->volume_count; i++) {
		if (layout->volumes[i].failed)
			return false;
	}
	return true;
}

enum err journal_stable(struct journal *journal, struct id128 stream, struct vector *stable,
			struct vector *known)
{
	size_t wanted = journal_replicas(journal, stream)->count;
	struct states states = {.count = 0};
	enum err err = ask_states(journal, stream, &states);

	if (err != ERR_OK)
		return err;
	if (states.count == 0 || states.counted < wanted || !all_are_here(journal->layout))
		err = ERR_UNAVAILABLE;
	for (size_t i = 0; err == ERR_OK && i < states.count; i++)
		err = vector_merge(known, &states.items[i].vector);
	for (size_t i = 0; err == ERR_OK && i < known->count; i++)
		err = vector_raise(stable, known->items[i].incarnation,
				   held_by_all(&states, known->items[i].incarnation));
	states_finish(&states);
	return err;
}

/* ---- manifests and pages ---- */

/* The bytes of a page or manifest from one replica. *fanout keeps them until it is released. */
static WAITS enum err get_from(struct journal *journal, struct id128 volume, struct id128 stream,
			       enum record_type type, struct id128 id, struct fanout **out)
{
	struct fanout *fanout = fanout_create(journal, &volume, 1, JOURNAL_GET);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	fanout->targets[0].call.get.stream = stream;
	fanout->targets[0].call.get.type = type;
	fanout->targets[0].call.get.id = id;
	err = fanout_ask(fanout);
	if (err == ERR_OK)
		*out = fanout;
	else
		fanout_release(&fanout);
	return err;
}

static bool is_dominated(const struct states *states, const struct state_manifest *manifest)
{
	for (size_t i = 0; i < states->count; i++)
		for (size_t j = 0; j < states->items[i].manifest_count; j++)
			if (manifest_dominates(&states->items[i].manifests[j].vector,
					       states->items[i].manifests[j].epoch,
					       states->items[i].manifests[j].id, &manifest->vector,
					       manifest->epoch, manifest->id))
				return true;
	return false;
}

static WAITS enum err
visit_manifest(struct journal *journal, struct id128 stream, const struct states *states,
	       struct id128 id, enum err (*each)(void *context, const struct manifest *manifest),
	       void *context)
{
	struct fanout *fanout = NULL;
	struct manifest manifest;
	enum err err = ERR_UNAVAILABLE;

	for (size_t i = 0; fanout == NULL && i < states->count; i++) {
		if (!state_has_manifest(&states->items[i], id))
			continue;
		err = get_from(journal, states->volumes[i], stream, RECORD_MANIFEST, id, &fanout);
		if (err == ERR_CANCELED)
			return err;
	}
	if (fanout == NULL)
		return err == ERR_NOMEM ? err : ERR_UNAVAILABLE;
	err = manifest_decode(shared_bytes(fanout->targets[0].call.get.bytes), &manifest);
	if (err == ERR_OK) {
		err = each(context, &manifest);
		manifest_finish(&manifest);
	}
	fanout_release(&fanout);
	return err;
}

/* Whether an earlier replica has told of it already. */
static bool is_repeated(const struct states *states, size_t index, struct id128 id)
{
	for (size_t i = 0; i < index; i++)
		if (state_has_manifest(&states->items[i], id))
			return true;
	return false;
}

enum err journal_manifests(struct journal *journal, struct id128 stream,
			   enum err (*each)(void *context, const struct manifest *manifest),
			   void *context)
{
	struct states states = {.count = 0};
	enum err err = ask_states(journal, stream, &states);

	if (err == ERR_OK && states.count == 0)
		err = ERR_UNAVAILABLE;
	for (size_t i = 0; i < states.count; i++)
		for (size_t j = 0; err == ERR_OK && j < states.items[i].manifest_count; j++) {
			const struct state_manifest *manifest = &states.items[i].manifests[j];

			if (!is_repeated(&states, i, manifest->id) &&
			    !is_dominated(&states, manifest))
				err = visit_manifest(journal, stream, &states, manifest->id, each,
						     context);
		}
	states_finish(&states);
	return err;
}

enum err journal_read_page(struct journal *journal, struct id128 stream, struct id128 page,
			   struct buf *payload)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	bool absent = set.count != 0;

	for (size_t i = 0; i < set.count; i++) {
		struct fanout *fanout = NULL;
		struct id128 id;
		struct bytes bytes;
		enum err err =
			get_from(journal, set.volumes[i], stream, RECORD_PAGE, page, &fanout);

		absent &= err == ERR_NOTFOUND;
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		if (err != ERR_OK)
			continue;
		err = manifest_page_decode(shared_bytes(fanout->targets[0].call.get.bytes), &id,
					   &bytes);
		if (err == ERR_OK && !id128_equal(id, page))
			err = ERR_CORRUPT;
		if (err == ERR_OK)
			buf_put_bytes(payload, bytes);
		fanout_release(&fanout);
		return err != ERR_OK ? err : payload->err;
	}
	return absent ? ERR_NOTFOUND : ERR_UNAVAILABLE;
}
