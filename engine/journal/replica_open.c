/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Opening a replica: the index as of its last checkpoint, then the records
 * behind it.
 *
 * Old segments get no more records: appends go on in a fresh one, so an
 * unfinished end needs no cutting off. It is set aside with its segment, which
 * goes when its live records were written forward. What it may have held is what
 * was never answered for, unless the other volumes remember more (resync.c, INV
 * 2). A replica that finds damage below that does not count until it has been
 * compared with the others: they have what it lost.
 */
#include <inttypes.h>

#include "engine/base/memory.h"
#include "engine/journal/replica_private.h"

/* ---- the index ---- */

/*
 * Whether the last record before the position is the one that was there: its running hash speaks
 * for all before it, which therefore need not be read. A checkpoint is made of synced records only,
 * so no crash makes it say more than the files; one that does is of other files.
 */
static WAITS enum err check_proof(const struct replica *replica, struct journal_position position)
{
	struct segment *segment = segments_find(&replica->segments, position.segment);
	struct buf header = {0};
	struct record record;
	enum err err;

	if (position.offset == 0)
		return ERR_OK;
	err = log_read(segment->log, replica->applied_start, RECORD_HEADER_SIZE, &header);
	if (err == ERR_OK)
		err = record_decode(header.data, &record);
	if (err == ERR_OK &&
	    (record.set != position.segment || record.offset != replica->applied_start ||
	     record.offset + record_size(record.payload_size) != position.offset ||
	     !hash128_equal(record.running, replica->applied_running)))
		err = ERR_STALE;
	buf_finish(&header);
	/* Whatever is wrong with it, a scan of everything finds out. */
	return err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_STALE;
}

/* Whether the files reach as far as the checkpoint says: else they were exchanged under it. */
static WAITS enum err check_files(const struct replica *replica, struct journal_position position)
{
	const struct segments *segments = &replica->segments;

	if (position.segment != 0 && segments_find(segments, position.segment) == NULL)
		return ERR_STALE;
	for (size_t i = 0; i < segments->count; i++) {
		const struct segment *segment = segments->items[i];
		uint64_t end = segment->number == position.segment ? position.offset : segment->end;
		struct env_stat stat;
		enum err err;

		if (segment->number > position.segment)
			break;
		err = io_stat_file(log_file(segment->log), &stat);
		if (err != ERR_OK)
			return err;
		if (stat.size < LOG_HEADER_SIZE + end)
			return ERR_STALE;
	}
	return ERR_OK;
}

static WAITS enum err load_checkpoint(struct replica *replica, struct journal_position *position)
{
	struct buf owner_part = {0};
	struct cursor cursor;
	enum err err = catalog_load(&replica->catalog, &owner_part);

	if (err == ERR_OK) {
		cursor = cursor_make(bytes_of_buf(&owner_part));
		position->segment = cursor_u64(&cursor);
		position->offset = cursor_u64(&cursor);
		replica->applied_start = cursor_u64(&cursor);
		replica->applied_running = cursor_hash128(&cursor);
		err = segments_decode(&replica->segments, &cursor);
		if (err == ERR_OK)
			err = marks_merge_encoded(&replica->marks,
						  cursor_take(&cursor, cursor_left(&cursor)));
	}
	buf_finish(&owner_part);
	if (err == ERR_OK)
		err = check_files(replica, *position);
	return err != ERR_OK ? err : check_proof(replica, *position);
}

/* ---- the records ---- */

struct recovery {
	struct replica *replica;
	struct segment *segment;
	bool damaged;
};

static enum err apply(struct recovery *recovery, const struct record *record, struct bytes payload)
{
	struct replica *replica = recovery->replica;
	struct stream_manifest manifest = {0};
	enum err err = ERR_OK;

	if (record->type == RECORD_MARK)
		err = marks_merge_encoded(&replica->marks, payload);
	else if (record->type == RECORD_MANIFEST)
		err = replica_parse_manifest(payload, &manifest);
	if (err == ERR_OK)
		err = replica_apply(replica, record, recovery->segment->number, &manifest);
	stream_manifest_finish(&manifest);
	if (err == ERR_CONFLICT) {
		env_log(replica->env,
			"event=journal-conflict alarm=1 segment=%" PRIu64 " offset=%" PRIu64,
			recovery->segment->number, record->offset);
		return ERR_OK;
	}
	return err;
}

static enum err visit(void *context, const struct log_visit *visit)
{
	struct recovery *recovery = context;
	struct replica *replica = recovery->replica;
	enum err err;

	if (visit->event != LOG_RECORD) {
		env_log(replica->env,
			"event=%s segment=%" PRIu64 " offset=%" PRIu64 " size=%" PRIu64,
			visit->event == LOG_CORRUPT ? "journal-segment-damaged"
						    : "journal-segment-unfinished",
			recovery->segment->number, visit->offset, visit->size);
		recovery->segment->damaged = true;
		recovery->damaged |= visit->event == LOG_CORRUPT;
		return ERR_OK;
	}
	err = apply(recovery, visit->record, visit->payload);
	replica->counters.scanned++;
	if (err == ERR_OK && replica->catalog.changes >= REPLICA_CHECKPOINT_CHANGES) {
		/* Bounds the memory of a rebuild. */
		replica_set_applied(replica, visit->record, recovery->segment->number);
		recovery->segment->end = replica->applied.offset;
		err = replica_checkpoint(replica, false);
	}
	return err;
}

static WAITS enum err scan_segment(struct recovery *recovery, uint64_t from)
{
	struct segment *segment = recovery->segment;
	struct env_file *file = log_file(segment->log);
	enum err err = log_scan(segment->log, from, 0, true, visit, recovery, NULL);

	if (err != ERR_OK)
		return err;
	segment->end = log_end(segment->log);
	if (segment->end != 0)
		recovery->replica->recovered =
			(struct journal_position){segment->number, segment->end};
	/* A process that was killed leaves records that were read here and yet are not on the disk.
	 */
	err = io_commit(NULL, 0, &file, 1, NULL);
	if (err != ERR_OK)
		volume_fail(recovery->replica->volume, err);
	else if (!segment->damaged)
		/* Gives back what was preallocated behind the end. */
		err = io_truncate(file, LOG_HEADER_SIZE + segment->end);
	return err;
}

static WAITS enum err scan(struct replica *replica, struct journal_position from)
{
	struct recovery recovery = {.replica = replica};
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < replica->segments.count; i++) {
		recovery.segment = replica->segments.items[i];
		if (recovery.segment->number < from.segment)
			continue;
		err = scan_segment(&recovery,
				   recovery.segment->number == from.segment ? from.offset : 0);
	}
	if (recovery.damaged)
		replica->marks.counted = false;
	return err;
}

enum err replica_recover(struct replica *replica)
{
	struct journal_position position = {0, 0};
	enum err err = load_checkpoint(replica, &position);

	if (err == ERR_NOTFOUND || err == ERR_CORRUPT || err == ERR_NEWER || err == ERR_STALE) {
		env_log(replica->env, "event=journal-index-rebuilt reason=%s", err_name(err));
		position = (struct journal_position){0, 0};
		segments_reset(&replica->segments);
		marks_finish(&replica->marks);
		err = catalog_reset(&replica->catalog);
	}
	replica->recovered = position;
	if (err == ERR_OK)
		err = scan(replica, position);
	if (err == ERR_OK)
		err = segments_prepare(&replica->segments);
	if (err != ERR_OK)
		return err;
	(void)segments_ready(&replica->segments);
	replica->applied = (struct journal_position){replica->segments.active->number, 0};
	return replica_checkpoint(replica, true);
}

/* ---- life ---- */

static WAITS void destroy(struct replica *replica)
{
	catalog_close(&replica->catalog);
	segments_close(&replica->segments);
	marks_finish(&replica->marks);
	map_finish(&replica->busy);
	memory_free(replica);
}

static WAITS enum err begin(struct replica *replica)
{
	enum err err = wire_serve(replica->wire, volume_id(replica->volume), WIRE_JOURNAL,
				  replica_serve, replica);

	if (err != ERR_OK)
		return err;
	group_enter(&replica->tasks);
	err = task_spawn(replica->sched, "journal-keeper", replica_keep, replica, NULL);
	if (err != ERR_OK) {
		group_leave(&replica->tasks);
		wire_unserve(replica->wire, volume_id(replica->volume), WIRE_JOURNAL);
	}
	return err;
}

enum err replica_open(const struct replica_options *options, struct replica **out)
{
	struct replica *replica = memory_allocate(sizeof(*replica));
	enum err err;

	if (replica == NULL)
		return ERR_NOMEM;
	replica->sched = options->sched;
	replica->env = sched_env(options->sched);
	replica->wire = options->wire;
	replica->volume = options->volume;
	replica->changed = options->changed;
	replica->damaged = options->damaged;
	replica->context = options->context;
	replica->closed = options->closed;
	map_init(&replica->busy, sizeof(struct id128));
	err = segments_open(&replica->segments, options->volume, options->segment_size);
	if (err == ERR_OK)
		err = catalog_open(&replica->catalog, replica->env, options->index_path,
				   volume_id(options->volume), &replica->segments.ledger);
	if (err == ERR_OK)
		err = replica_recover(replica);
	if (err == ERR_OK)
		err = begin(replica);
	if (err != ERR_OK) {
		destroy(replica);
		return err;
	}
	*out = replica;
	return ERR_OK;
}

void replica_close(struct replica **out)
{
	struct replica *replica = *out;

	if (replica == NULL)
		return;
	*out = NULL;
	wire_unserve(replica->wire, volume_id(replica->volume), WIRE_JOURNAL);
	replica->stopping = true;
	replica_pump(replica);
	cond_broadcast(&replica->work);
	group_wait(&replica->tasks);
	group_wait(&replica->ops);
	if (replica->failed == ERR_OK)
		(void)!replica_checkpoint(replica, true);
	destroy(replica);
}
