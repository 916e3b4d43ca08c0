/* SPDX-License-Identifier: MPL-2.0 */
/*
 * replica - one volume's copy of the journal: serves WIRE_JOURNAL for it.
 *
 * Appends are answered when synced; all that arrives in one turn of the loop
 * goes to the disk in one group commit of the volume. Answers never come before.
 *
 * INV 1  Entries of one incarnation are stored in the order of their seq: one
 *        behind a gap is refused (ERR_STALE), not held, so a vector says all.
 *        The sender then has the gap filled (engine/journal/resync.c), which is
 *        the one case in which an entry may lie behind a gap.
 * INV 2  What was answered as stored stays held, until a complete manifest that
 *        is synced here covers it.
 * INV 3  A promise is answered when it is synced. From the moment it is asked
 *        for, entries with a lower epoch other than 0 are refused.
 * INV 4  The same (incarnation, seq) with other bytes: ERR_CONFLICT, an alarm,
 *        and the first bytes stay.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_REPLICA_H
#define AEROSTORE_ENGINE_JOURNAL_REPLICA_H

#include "engine/base/map.h"
#include "engine/journal/protocol.h"
#include "engine/volume/volume.h"

struct replica;

struct replica_options {
	struct sched *sched;
	struct wire *wire;
	struct volume *volume;
	const char *index_path;
	uint64_t segment_size; /* bytes */
	/* From the loop: entries of the stream, or manifests, became durable here. */
	void (*changed)(void *context, struct id128 stream);
	/* From the loop: something held here was found damaged: it does not count until a resync.
	 */
	void (*damaged)(void *context, struct id128 volume);
	void *context;
	/* Incarnations of blob writers whose entries are refused; lives as long; may be NULL. */
	const struct map *closed;
};

struct replica_counters {
	uint64_t entries, truncated; /* held; let go because a manifest covers them */
	uint64_t appended, scanned;  /* since it was opened: entries written, records read then */
	uint64_t segments, bytes;    /* files, bytes of records in them */
};

/* Opens the segments, brings the index up to date, begins to serve. ERR_CORRUPT, ERR_IO, ERR_NEWER.
 */
WAITS MUST_USE enum err replica_open(const struct replica_options *options, struct replica **out);
/* Waits for what is under way, writes a checkpoint. */
WAITS void replica_close(struct replica **replica);
struct id128 replica_volume(const struct replica *replica);
struct replica_counters replica_get_counters(const struct replica *replica);

#endif
