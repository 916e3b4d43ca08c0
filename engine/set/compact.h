/* SPDX-License-Identifier: MPL-2.0 */
/*
 * compact - takes sealed sets apart: what may still be needed of them goes into
 * one new, born-sealed set, the rest is gone with their columns.
 *
 *   compaction_create      indexes and record headers of up to COMPACT_SOURCE_MAX
 *                          sets; nothing is judged: every record is UNKNOWN
 *   (the owner judges)     enum liveness of each record; engine/reclaim/
 *   compaction_run         copies all that is not DEAD, asks the owner once more,
 *                          seals the new set, publishes it, deletes the sources
 *
 * It knows of accounts and journals nothing: who is dead is the owner's word.
 *
 * INV 1  A record that is not DEAD is in a set of which every column is sealed
 *        and certified before any column of its source goes.
 * INV 2  The owner's last word comes after the last copy and before the seal,
 *        for from the seal on a crash goes forward: the successor names its
 *        predecessors and takes their place (engine/set/finish.c). Before it a
 *        crash goes back: an unsealed born-sealed set is removed at the next start.
 * INV 3  The directory forgets a source's placements first, durably, in the entry
 *        that names its successor, if anything lived; the files go then, those
 *        that a crash left at the next compact_sweep(). So nobody sees a set with
 *        some of its columns, and takes what is dead for missing.
 *        What the source had taken over itself is said there before that.
 * INV 4  A source has one seal, all its columns, and no successor. What is not
 *        whole is repair's and recovery's business first.
 *
 * Space: one successor at a time, at most a set's worth of live records: 1+m
 * copies of each until it is sealed, written from the reserve where the disks
 * are full. Chains of successors: a step a compaction, and each one takes sets
 * that lost 30 % or more, so a blob's chain is logarithmic in what lay beside it.
 * What stays of a set that is gone is its directory record.
 */
#ifndef AEROSTORE_ENGINE_SET_COMPACT_H
#define AEROSTORE_ENGINE_SET_COMPACT_H

#include "engine/blob.h"
#include "engine/format/column.h"

#define COMPACT_SOURCE_MAX COLUMN_PREDECESSOR_MAX

enum liveness {
	LIVENESS_UNKNOWN, /* counts as live */
	LIVENESS_LIVE,
	LIVENESS_DEAD
};

/* A record of a source. Without a readable header tag and incarnation are zero. */
struct compact_record {
	uint64_t set;
	struct column_entry entry;
	struct id128 tag, incarnation;
	uint64_t number; /* of the upload */
	enum liveness liveness;
};

/* A sealed set that may be a source. */
struct compact_set {
	uint64_t set;
	struct profile profile;
	uint64_t size; /* bytes of records, all data columns */
};

/* Visits the sets that fulfil INV 4, in no order. `each` does not wait. */
WAITS MUST_USE enum err compact_sets(struct blobs *blobs,
				     enum err (*each)(void *context, const struct compact_set *set),
				     void *context);
/*
 * The sets in which what was written into `birth` may lie now: itself, or where its successors lead
 * to, at most `limit`. The count; 0: nobody knows.
 */
size_t compact_holders(const struct blobs *blobs, uint64_t birth, uint64_t *holders, size_t limit);
/* Records of `piece_count` pieces from `first_piece` on of a blob of `size` bytes, in bytes. */
uint64_t compact_extent_size(const struct blob_ref *ref, const struct blob_extent *extent);
/* What a set of the profile that is possible now may hold. {0, 0}: none is. */
struct profile compact_profile(const struct blobs *blobs, uint64_t *capacity);
/* The incarnations of this node's earlier processes, as far as sets of theirs are known. */
MUST_USE enum err compact_incarnations(const struct blobs *blobs, struct buf *ids);
/* Removes what INV 3 left on the volumes. */
WAITS MUST_USE enum err compact_sweep(struct blobs *blobs);

struct compaction;

/* ERR_STALE: a set does not fulfil INV 4 any more. ERR_UNAVAILABLE. */
WAITS MUST_USE enum err compaction_create(struct blobs *blobs, const uint64_t *sets, size_t count,
					  struct compaction **out);
void compaction_destroy(struct compaction **compaction);
/* To be judged in place; in no order. */
struct compact_record *compaction_records(struct compaction *compaction, size_t *count);

struct compact_pace {
	uint64_t rate; /* bytes a second, a quarter of it while messages come in; 0: no limit */
	bool urgent;   /* it frees space: the reserve is there for it */
};

/*
 * `confirm` says whether every DEAD record is dead still, ERR_OK. Its error, or any other: the
 * sources are as they were. ERR_NOSPACE: not even the reserve holds the successor.
 */
WAITS MUST_USE enum err compaction_run(struct compaction *compaction,
				       const struct compact_pace *pace,
				       WAITS enum err (*confirm)(void *context), void *context);

#endif
