/* SPDX-License-Identifier: MPL-2.0 */
/* What the files of the replica share: replica*.c. Nobody else includes it. */
#ifndef AEROSTORE_ENGINE_JOURNAL_REPLICA_PRIVATE_H
#define AEROSTORE_ENGINE_JOURNAL_REPLICA_PRIVATE_H

#include "engine/journal/catalog.h"
#include "engine/journal/replica.h"
#include "engine/journal/segments.h"

/* Records put into the catalog between two checkpoints. */
#define REPLICA_CHECKPOINT_CHANGES 16384u
#define REPLICA_CHECKPOINT_MS 30000u
#define REPLICA_RETRY_MS 1000u

/* Entries of one writer that are on their way to the disk. */
struct busy_writer {
	struct id128 incarnation;
	uint64_t accepted; /* the highest seq that was stored or is on its way */
};

/* A stream with something on its way to the disk; pinned in the catalog. */
struct busy {
	struct stream *stream;
	struct op *ops, *last_op;	/* in flight, in the order of their places */
	struct wire_call *first, *last; /* appends that wait for their last entry */
	struct busy_writer *writers;
	size_t writer_count;
	uint64_t promise_epoch; /* asked for, not yet synced */
	struct id128 promise_home;
};

/* One record on its way to the disk. */
struct op {
	struct log_append append;
	struct replica *replica;
	struct segment *segment;
	struct busy *busy;		 /* NULL: a mark, or one written forward */
	struct wire_call *call;		 /* answered when it is synced; NULL: an append's entry */
	struct group *group;		 /* left when it ends; NULL: none */
	struct stream_manifest manifest; /* RECORD_MANIFEST: what it says */
	struct op *next;
};

struct replica {
	struct sched *sched;
	struct env *env;
	struct wire *wire;
	struct volume *volume;
	struct segments segments;
	struct catalog catalog;
	struct map busy; /* stream id to struct busy */
	struct marks marks;
	bool marks_raised,
		marked; /* not written yet; a record of them goes with this turn's batch */
	struct journal_position applied; /* all before it is in the catalog */
	/*
	 * Of the record that ends there: where it begins, and its running hash, which pins all
	 * that lies before it in the segment.
	 */
	uint64_t applied_start;
	struct hash128 applied_running;
	struct journal_position recovered; /* where the records ended when it was opened */
	struct wire_call *first, *last;	   /* wait for a segment */
	struct group ops, tasks;
	struct cond work;	  /* the keeper's */
	uint64_t durable_segment; /* where the last durable checkpoint stood */
	bool confirmed, stopping, checkpoint_due;
	enum err failed; /* a write failed: nothing more is accepted */
	struct replica_counters counters;
	void (*changed)(void *context, struct id128 stream);
	void (*damaged)(void *context, struct id128 volume);
	void *context;
	const struct map *closed;
};

/* Puts a synced record into the catalog. `manifest` (what a RECORD_MANIFEST says) stays the
 * caller's to finish. */
MUST_USE enum err replica_apply(struct replica *replica, const struct record *record,
				uint64_t segment, struct stream_manifest *manifest);
/* The record is in the catalog, and all before it. */
void replica_set_applied(struct replica *replica, const struct record *record, uint64_t segment);
/* The vector and pages of an encoded manifest. */
MUST_USE enum err replica_parse_manifest(struct bytes encoded, struct stream_manifest *out);
MUST_USE enum err replica_checkpoint(struct replica *replica, bool durable);
/*
 * Appends one record to the active segment, which must be ready; takes the payload's reference.
 * `op` is filled in but for the record's place.
 */
void replica_submit(struct replica *replica, struct op *op, struct shared *payload);
/* Calls that wait for a segment go on when there is one. */
void replica_pump(struct replica *replica);
/* A mark with what is known now. */
void replica_submit_mark(struct replica *replica, struct wire_call *call);

/* Serves WIRE_JOURNAL: replica.c. */
void replica_serve(void *context, struct wire_call *call);
/* replica_open.c */
WAITS MUST_USE enum err replica_recover(struct replica *replica);
/* replica_read.c: each answers the call, now or later. */
void replica_serve_read(struct replica *replica, struct journal_read_call *call);
void replica_serve_get(struct replica *replica, struct journal_get_call *call);
/* replica_keep.c: the task that prepares segments, writes checkpoints, reclaims. */
void replica_keep(void *argument);

#endif
