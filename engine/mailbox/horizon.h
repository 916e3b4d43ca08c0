/* SPDX-License-Identifier: MPL-2.0 */
/*
 * horizon - what homes knew when they wrote, and showed, something.
 *
 * A home that starts, and one that has merged what others wrote, says in its
 * next entry how far it has seen: from that entry on this is its horizon, until
 * it says another. Besides, it shows nothing but what is within its horizon and
 * what it has written since. Whoever meets an entry later can tell from these
 * what its writer, and the clients of its writer, could not know (R3, R4;
 * docs/decisions.md "UIDs between homes").
 *
 * A horizon is *mended* when R4 was done with it (restamp.h): whatever lies
 * within it needs nothing more on account of another horizon within it. A mended
 * horizon says which homes show nothing any more; theirs, and its writer's
 * earlier ones, are taken out of the table. So the table holds little more than
 * the homes that may be open.
 *
 * Pure. Writers are numbers in the account's table (struct writers).
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_HORIZON_H
#define AEROSTORE_ENGINE_MAILBOX_HORIZON_H

#include "engine/journal/journal.h"

/* An entry: which writer (number in the account's table), which of its entries. */
struct entry_mark {
	uint32_t writer, seq;
};

/* The writers (incarnations) that an account's state names, by small numbers. */
struct writers {
	struct id128 *ids;
	size_t count, capacity;
};

struct horizon {
	struct entry_mark from; /* the entry that says it: names it */
	struct id128 node;	/* of the home */
	bool mended;
	struct vector seen; /* operation entries; its writer's own are not counted */
};

struct horizons {
	struct horizon *items;
	size_t count, capacity;
};

void horizons_finish(struct horizons *horizons);
/* Takes over the vector `seen`, except with ERR_NOMEM. */
MUST_USE enum err horizons_add(struct horizons *horizons, const struct horizon *horizon);
void horizons_remove(struct horizons *horizons, size_t index);
/* By name. NULL. */
struct horizon *horizons_named(const struct horizons *horizons, struct entry_mark from);
/* Under which the entry was made. NULL: it was taken out, or never said. */
const struct horizon *horizons_of(const struct horizons *horizons, struct entry_mark entry);
/* Whether the entry lies within it; so do all of its own writer. */
bool horizon_covers(const struct horizon *horizon, const struct writers *writers,
		    struct entry_mark entry);
/*
 * Whether a client may have been shown what the entry did, and later, or besides, what was shown
 * under `horizon`: the entry lies outside, and its writer did not know that this horizon was over.
 */
bool horizons_may_drop(const struct horizons *horizons, const struct writers *writers,
		       const struct horizon *horizon, struct entry_mark entry);

#endif
