/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The keeper: the task of a replica that does what appends must not wait for.
 *
 *   spare segment missing      -> make one, let waiting calls go on
 *   blocks nearly used up      -> reserve more of them
 *   enough changes, or time    -> checkpoint
 *   the active one wastes half -> go on in the spare
 *   a segment wastes half      -> write what is live forward, checkpoint durably, remove it
 *
 * One segment is reclaimed at a time, so the space beyond what is live is that
 * of one segment and of the waste that is tolerated.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/replica_private.h"

/* Records under way when a segment is written forward: bounds the memory they take. */
#define RECLAIM_WINDOW 64u

enum err replica_checkpoint(struct replica *replica, bool durable)
{
	struct buf owner_part = {0};
	enum err err;

	buf_put_u64(&owner_part, replica->applied.segment);
	buf_put_u64(&owner_part, replica->applied.offset);
	buf_put_u64(&owner_part, replica->applied_start);
	buf_put_hash128(&owner_part, replica->applied_running);
	segments_encode(&replica->segments, &owner_part);
	marks_encode(&replica->marks, &owner_part);
	err = owner_part.err;
	if (err == ERR_OK)
		err = catalog_checkpoint(&replica->catalog, bytes_of_buf(&owner_part), durable);
	if (err == ERR_OK && durable)
		replica->durable_segment = replica->applied.segment;
	buf_finish(&owner_part);
	if (err != ERR_OK && err != ERR_CANCELED)
		env_log(replica->env, "event=journal-checkpoint-failed error=%s", err_name(err));
	return err;
}

/* ---- reclaiming ---- */

struct reclaim {
	struct replica *replica;
	struct segment *segment;
	struct group forwarded;
};

static bool is_live(const struct stream *stream, const struct record *record, uint64_t segment)
{
	const struct location *location = NULL;

	if (record->type == RECORD_ENTRY) {
		const struct stream_incarnation *found = stream_find(stream, record->incarnation);

		location = found != NULL ? stream_entry(found, record->number) : NULL;
	} else if (record->type == RECORD_MANIFEST) {
		const struct stream_manifest *found = stream_manifest(stream, record->id);

		location = found != NULL ? &found->location : NULL;
	} else if (record->type == RECORD_PAGE) {
		const struct stream_page *found = stream_page(stream, record->id);

		location = found != NULL ? &found->location : NULL;
	} else if (record->type == RECORD_PROMISE) {
		location = &stream->promise;
	}
	return location != NULL && location->segment == segment &&
	       location->offset == record->offset;
}

/* The same immutable part and payload, at a new place. */
static enum err forward(struct reclaim *reclaim, const struct record *record, struct bytes payload)
{
	struct shared *shared = shared_create(payload.size);
	struct op *op = memory_allocate(sizeof(*op));
	enum err err = op == NULL || shared == NULL ? ERR_NOMEM : ERR_OK;

	if (err == ERR_OK && record->type == RECORD_MANIFEST)
		err = replica_parse_manifest(payload, &op->manifest);
	if (err != ERR_OK) {
		memory_free(op);
		shared_release(&shared);
		return err;
	}
	if (payload.size != 0)
		memcpy(shared->data, payload.data, payload.size);
	op->append.write.urgent = true;
	op->append.record = *record;
	op->group = &reclaim->forwarded;
	group_enter(op->group);
	replica_submit(reclaim->replica, op, shared);
	return ERR_OK;
}

static WAITS enum err visit_reclaim(void *context, const struct log_visit *visit)
{
	struct reclaim *reclaim = context;
	struct replica *replica = reclaim->replica;
	struct stream *stream;
	enum err err;

	if (visit->event != LOG_RECORD || visit->record->type == RECORD_MARK)
		return ERR_OK;
	err = catalog_stream(&replica->catalog, visit->record->tag, &stream);
	if (err != ERR_OK || !is_live(stream, visit->record, reclaim->segment->number))
		return err;
	while (err == ERR_OK && !segments_ready(&replica->segments)) {
		err = segments_prepare(&replica->segments);
		/* Whoever came meanwhile waits for this one as well, and for no other sign. */
		replica_pump(replica);
	}
	if (err == ERR_OK)
		err = forward(reclaim, visit->record, visit->payload);
	if (reclaim->forwarded.pending >= RECLAIM_WINDOW)
		group_wait(&reclaim->forwarded);
	return err != ERR_OK ? err : replica->failed;
}

static WAITS enum err reclaim_segment(struct replica *replica, struct segment *segment)
{
	struct reclaim reclaim = {.replica = replica, .segment = segment};
	enum err err = ERR_OK;

	if (segment->live > 0)
		err = log_scan(segment->log, 0, 0, true, visit_reclaim, &reclaim, NULL);
	group_wait(&reclaim.forwarded);
	if (err == ERR_OK)
		err = replica->failed;
	if (err == ERR_OK && segment->live > 0) {
		/* A move was refused, or a live record cannot be read: the file stays. */
		env_log(replica->env, "event=journal-segment-kept segment=%" PRIu64,
			segment->number);
		return ERR_CORRUPT;
	}
	/* An index that is older than this must not name a segment that is gone. */
	if (err == ERR_OK)
		err = replica_checkpoint(replica, true);
	if (err == ERR_OK && segment->readers == 0)
		err = segments_remove(&replica->segments, segment);
	return err;
}

/* ---- the task ---- */

static struct segment *wasteful(const struct replica *replica)
{
	return segments_wasteful(&replica->segments, replica->marks.counted);
}

static bool wants_checkpoint(const struct replica *replica)
{
	return replica->catalog.changes >= REPLICA_CHECKPOINT_CHANGES ||
	       (replica->checkpoint_due && replica->catalog.changes != 0) ||
	       replica->applied.segment != replica->durable_segment;
}

static bool has_work(const struct replica *replica)
{
	return replica->failed == ERR_OK &&
	       (segments_wants_spare(&replica->segments) ||
		segments_wants_reserve(&replica->segments) ||
		segments_wants_to_leave(&replica->segments) || wants_checkpoint(replica) ||
		wasteful(replica) != NULL);
}

static WAITS enum err keep_once(struct replica *replica)
{
	struct segment *segment;
	enum err err = ERR_OK;

	if (segments_wants_spare(&replica->segments)) {
		err = segments_prepare(&replica->segments);
		if (err != ERR_OK && err != ERR_CANCELED)
			env_log(replica->env, "event=journal-segment-not-made error=%s",
				err_name(err));
		replica_pump(replica);
	}
	if (err == ERR_OK)
		err = segments_reserve(&replica->segments);
	segments_leave_early(&replica->segments);
	/* After a rotation durably: what a power loss makes us scan is one segment. */
	if (err == ERR_OK && wants_checkpoint(replica))
		err = replica_checkpoint(replica,
					 replica->applied.segment != replica->durable_segment);
	replica->checkpoint_due = false;
	segment = err == ERR_OK ? wasteful(replica) : NULL;
	return segment != NULL ? reclaim_segment(replica, segment) : err;
}

/* So that the next start has nothing to read. It costs at most one segment's worth of reading. */
static WAITS void clean_up(struct replica *replica)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && !task_canceled() && replica->failed == ERR_OK &&
	       (segments_wants_to_leave(&replica->segments) || wasteful(replica) != NULL))
		err = keep_once(replica);
}

void replica_keep(void *argument)
{
	struct replica *replica = argument;
	uint64_t due_ms = env_now_ms(replica->env) + REPLICA_CHECKPOINT_MS;

	while (!replica->stopping && !task_canceled()) {
		uint64_t now_ms = env_now_ms(replica->env), until_ms = due_ms;

		/* Whatever wakes it in between does not put this off. */
		if (now_ms >= due_ms) {
			replica->checkpoint_due = true;
			until_ms = due_ms = now_ms + REPLICA_CHECKPOINT_MS;
		}
		if (has_work(replica)) {
			if (keep_once(replica) == ERR_OK && has_work(replica)) {
				task_yield();
				continue;
			}
			/* What failed now may work when there is space again. */
			if (has_work(replica))
				until_ms = now_ms + REPLICA_RETRY_MS;
		}
		/* A time-out is no news: the loop looks at the clock. */
		if (!replica->stopping && cond_wait(&replica->work, until_ms) == ERR_CANCELED)
			break;
	}
	/* Nobody makes segments any more: calls that wait for one must not wait for ever. */
	replica->stopping = true;
	replica_pump(replica);
	clean_up(replica);
	group_leave(&replica->tasks);
}
