/* SPDX-License-Identifier: MPL-2.0 */
/*
 * segments - the journal's files on one volume, and how much of each is live.
 *
 * Records are appended to the last one, the active segment. A spare is made
 * ahead of need, because a file must be durable before records go into it and
 * appends must not wait for that. Numbers only grow and are not used again.
 *
 * What a store occupies beyond what is live is bounded whatever its size: blocks
 * are reserved a step ahead of the records, not for a whole segment, and the
 * active segment is left early when it wastes more than half of itself, so that
 * it can be written forward like any other. Hence none of them is large and
 * nearly dead when a process stops, and the next start has nothing to clean up.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_SEGMENTS_H
#define AEROSTORE_ENGINE_JOURNAL_SEGMENTS_H

#include "engine/journal/stream.h"
#include "engine/volume/log.h"

/* More than these, and small ones are merged. */
#define SEGMENTS_MANY 16u
/* Blocks are reserved in such steps. */
#define SEGMENTS_STEP (2u * 1024 * 1024)
/* The active segment is left early only when it is as long as this part of a full one. */
#define SEGMENTS_EARLY 16u

struct segment {
	uint64_t number;
	struct log *log;
	uint64_t end;	   /* bytes of records, those under way included */
	int64_t live;	   /* bytes of records that are still held */
	uint64_t reserved; /* bytes that have blocks; 0: not known, or given back */
	size_t readers;	   /* its file stays while there are any */
	bool damaged;	   /* a scan found damage, or an unfinished end */
};

struct segments {
	struct ledger ledger; /* first: given to streams */
	struct volume *volume;
	uint64_t size;		/* one that is longer takes no more */
	struct segment **items; /* by number; all open */
	size_t count;
	struct segment *active, *spare;
	uint64_t last_number;
};

/* Opens every segment there is; none is active yet. Half-made ones are removed. */
WAITS MUST_USE enum err segments_open(struct segments *segments, struct volume *volume,
				      uint64_t size);
WAITS void segments_close(struct segments *segments);
/* NULL when there is none of this number. */
struct segment *segments_find(const struct segments *segments, uint64_t number);
/* Makes a spare when there is none. */
WAITS MUST_USE enum err segments_prepare(struct segments *segments);
/* Makes sure that the active segment takes a record. False: a spare must be prepared first. */
bool segments_ready(struct segments *segments);
/* Whether a spare should be prepared now. */
bool segments_wants_spare(const struct segments *segments);
/* Leaves the active segment when it wastes too much and a spare is there. */
void segments_leave_early(struct segments *segments);
bool segments_wants_to_leave(const struct segments *segments);
/* Reserves blocks ahead of the active one's end, gives back those behind the end of others. */
WAITS MUST_USE enum err segments_reserve(struct segments *segments);
bool segments_wants_reserve(const struct segments *segments);
/* Nobody reads it, nothing in it is live. */
WAITS MUST_USE enum err segments_remove(struct segments *segments, struct segment *segment);
/*
 * The one that should be written forward: it wastes more than half of itself, and more than any
 * other; or it is the smallest of too many. Never the active one, nor the spare, nor, unless
 * `with_damaged`, one whose damage the other replicas have not mended yet. NULL: none.
 */
struct segment *segments_wasteful(const struct segments *segments, bool with_damaged);

void segments_encode(const struct segments *segments, struct buf *out);
/* Live bytes as of a checkpoint. ERR_CORRUPT. */
MUST_USE enum err segments_decode(struct segments *segments, struct cursor *cursor);
/* Forgets what is live and held, before scanning from the start. */
void segments_reset(struct segments *segments);

#endif
