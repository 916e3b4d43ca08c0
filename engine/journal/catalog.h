/* SPDX-License-Identifier: MPL-2.0 */
/*
 * catalog - all the streams of one replica: those in use in memory, the others
 * in the node-local index.
 *
 * The index is written in batches, at checkpoints, together with the position
 * in the segments up to which it tells everything; between checkpoints nothing
 * is written to it. So an append costs the index nothing, and after a crash
 * only the records behind the last checkpoint are scanned. A stale index is
 * one with an earlier position; an empty one is rebuilt from the start.
 *
 * INV: a checkpoint holds exactly the join of all records before its position.
 *
 * Keys: "P" the checkpoint; "S" group stream: its state; "E" stream, number of
 * the incarnation (u32, big-endian), chunk (u64, big-endian): locations.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_CATALOG_H
#define AEROSTORE_ENGINE_JOURNAL_CATALOG_H

#include "engine/base/map.h"
#include "engine/journal/stream.h"

/* Streams kept in memory when nobody uses them. */
#define CATALOG_STREAM_MAX 4096u

struct catalog {
	struct env *env;
	struct env_index *index;
	struct id128 volume;
	struct ledger *ledger;
	struct map streams; /* id to struct stream */
	uint64_t clock;
	uint64_t digests[LAYOUT_GROUP_COUNT];
	size_t changes; /* since the last checkpoint, roughly: what the owner decides by */
};

MUST_USE enum err catalog_open(struct catalog *catalog, struct env *env, const char *path,
			       struct id128 volume, struct ledger *ledger);
/* Without a checkpoint. */
void catalog_close(struct catalog *catalog);

/* Reads the owner's part of the checkpoint. ERR_NOTFOUND: none, or damaged, or another volume's. */
MUST_USE enum err catalog_load(struct catalog *catalog, struct buf *owner_part);
/* Forgets everything, index and memory: before scanning from the start. */
MUST_USE enum err catalog_reset(struct catalog *catalog);
/* Writes what changed, with the owner's part; then lets go of streams that nobody uses. */
MUST_USE enum err catalog_checkpoint(struct catalog *catalog, struct bytes owner_part,
				     bool durable);

/*
 * The stream, loaded when need be; a fresh empty one when the replica knows nothing of it. Borrowed
 * until the next checkpoint, or for longer while `pins` is raised.
 */
MUST_USE enum err catalog_stream(struct catalog *catalog, struct id128 id, struct stream **out);
/* Ids of the streams of a group, sorted, end to end. The index must be up to date (checkpoint
 * first). */
MUST_USE enum err catalog_list(struct catalog *catalog, uint8_t group, struct buf *ids);
/* The sum over the streams of each group, up to date. */
const uint64_t *catalog_digests(struct catalog *catalog);

#endif
