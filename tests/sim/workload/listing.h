/* SPDX-License-Identifier: MPL-2.0 */
/*
 * listing - what a client was told of a mailbox at one moment.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_LISTING_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_LISTING_H

#include "engine/base/bytes.h"

struct listed {
	uint32_t uid;
	struct id128 message; /* EMAILID */
	uint32_t flags;
	uint64_t modseq;
};

/* As SELECT and FETCH tell it; items ascend by UID when the server is right. */
struct listing {
	uint32_t uidvalidity, uidnext;
	uint64_t highestmodseq;
	struct listed *items;
	size_t count, capacity;
};

/* Starts as {0}. */
void listing_finish(struct listing *listing);
/* Empties it; keeps the memory. */
void listing_clear(struct listing *listing);
void listing_add(struct listing *listing, struct listed item);
/* Adds, or takes the place of the one with its UID; items ascend. */
void listing_set(struct listing *listing, struct listed item);
void listing_remove(struct listing *listing, uint32_t uid);
/* NULL when there is none; items ascend. */
const struct listed *listing_find(const struct listing *listing, uint32_t uid);
void listing_copy(struct listing *to, const struct listing *from);
bool listing_ascends(const struct listing *listing);
/* The same messages with the same UIDs and flags; modseqs may differ. */
bool listing_agrees(const struct listing *a, const struct listing *b);

#endif
