/* SPDX-License-Identifier: MPL-2.0 */
/*
 * repair_column - one column of a sealed set, whole again: where it is to lie, who
 * gives what it is computed from, and its new placement once it is there.
 *
 *   finish_ask ─▶ target: its own volume, or the best of those without a column of the set
 *      ─▶ SET_REBUILD (engine/set/member_rebuild.c; the target computes, writes, reads back)
 *      ─▶ ERR_CORRUPT: check every sibling, once more without what is damaged
 *      ─▶ the new placement in, those that it stands for out, in one change
 */
#ifndef AEROSTORE_ENGINE_SET_REPAIR_COLUMN_H
#define AEROSTORE_ENGINE_SET_REPAIR_COLUMN_H

#include "engine/set/blobs_private.h"

/* Who repairs, what ends it, and what it has done. */
struct repair_effort {
	struct blobs *blobs;
	struct cond *changed; /* broadcast when `stopping` changes */
	const bool *stopping;
	uint64_t bytes_written, bytes_per_second;
};

/*
 * ERR_NOTFOUND: there is nothing to do any more; ERR_UNAVAILABLE: not now; ERR_CORRUPT: what is
 * left, all asked, does not make the column; ERR_NOSPACE. Siblings that turn out to be damaged are
 * told to repair_damaged().
 */
WAITS MUST_USE enum err repair_column(struct repair_effort *effort, uint64_t set, uint8_t column);
/* Reads a column whole. *faults is NULL when it is; else the caller's: struct set_fault. */
WAITS MUST_USE enum err repair_check_column(struct repair_effort *effort, struct id128 volume,
					    uint64_t set, struct shared **faults);

#endif
