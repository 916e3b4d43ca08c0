/* SPDX-License-Identifier: MPL-2.0 */
/*
 * handover - changes of who stands for a sealed set in the directory: a column's
 * placement for another one, or a successor, or nothing, for the whole set.
 *
 * Repair places what it made anew, compaction and salvage retire sets, and none of
 * them knows of the others. So each change is made alone (struct blobs: handover),
 * against the record as it is then, and durable before the next one looks.
 *
 * INV 1  A set that was retired gets no placement any more: the column that was
 *        made meanwhile is refused, and whoever made it removes it. A crash
 *        between leaves a file that the next survey removes.
 * INV 2  A set's placements are forgotten, durably, in the entry that names its
 *        successor, before a file of it goes: nobody sees a set with some of its
 *        columns, and takes what is dead for missing.
 */
#ifndef AEROSTORE_ENGINE_SET_HANDOVER_H
#define AEROSTORE_ENGINE_SET_HANDOVER_H

#include "engine/set/blobs_private.h"

/* The directory has given up every placement of the sealed set. */
bool handover_is_retired(const struct directory_record *record);
/*
 * The placement in, all others of its column out, in one change: nobody must see the column
 * without a placement. ERR_NOTFOUND: the set was retired.
 */
WAITS MUST_USE enum err handover_place(struct blobs *blobs, uint64_t set,
				       const struct directory_placement *placement);
struct handover_retirement {
	uint64_t set, successor; /* successor: zero when there is none */
	/* What the set had taken over itself, which is found through it: said first. */
	const uint64_t *predecessors;
	uint32_t predecessor_count;
};

/* ERR_STALE: it has a successor already, or was retired. Then the files go, as far as they can. */
WAITS MUST_USE enum err handover_retire(struct blobs *blobs,
					const struct handover_retirement *retirement);

#endif
