/* SPDX-License-Identifier: MPL-2.0 */
/*
 * estimate - how much lives in each sealed set, from the references of all
 * accounts and without a look at any record.
 *
 * A reference names the set where a blob was born. Where that has one successor,
 * the blob is in it; where it has several, in one of them, and nobody knows which
 * without asking: such bytes count as live in all, which may hide that one of
 * them is dead. So the estimate says of how many bytes it is certain; a set that
 * is below the limit by these alone is to be inspected, once for each time that
 * fewer refer to it (struct estimate_memory).
 */
#ifndef AEROSTORE_ENGINE_RECLAIM_ESTIMATE_H
#define AEROSTORE_ENGINE_RECLAIM_ESTIMATE_H

#include "engine/reclaim/liveness.h"

struct estimate_item {
	struct compact_set set;
	uint64_t credited; /* bytes that may lie here, more than the set has perhaps */
	uint64_t live;	   /* of these at most so many do */
	uint64_t certain;  /* and at least so many */
};

struct estimate {
	struct estimate_item *items; /* by live share, the least first */
	size_t count;
	uint64_t sealed, live; /* bytes of records, of all */
	/* its own */
	size_t capacity;
	struct blobs *blobs;
	struct map shares;
};

/* Sets that were inspected and found alive, with the bytes credited then: 16 bytes each. */
struct estimate_memory {
	struct map seen;
};

/* Finished by the caller, also after an error. ERR_NOMEM, ERR_CANCELED; see liveness_walk(). */
WAITS MUST_USE enum err estimate_make(struct liveness_judge *judge, struct estimate *out);
void estimate_finish(struct estimate *estimate);

void estimate_memory_init(struct estimate_memory *memory);
void estimate_memory_finish(struct estimate_memory *memory);
/* It was inspected, and lives: not again until fewer refer to it. */
void estimate_memory_note(struct estimate_memory *memory, const struct estimate_item *item);
bool estimate_memory_has(const struct estimate_memory *memory, const struct estimate_item *item);

#endif
