/* SPDX-License-Identifier: MPL-2.0 */
/*
 * settle - which entries a reader may visit (journal.h, INV 5).
 *
 * An entry is *settled* when as many of the replicas that answer hold it as an
 * append needs to be acknowledged. What fewer hold is of one of three kinds:
 *
 *   under way      an append of this process, not acknowledged: left to it. It
 *                  is sent again until it finds its quorum, and then visited.
 *   written back   to the replicas that lack it, before anybody visits it (R3):
 *                  whoever wrote it cannot be asked whether it was acknowledged.
 *   unsettled      because that failed: nothing may be visited, for what is
 *                  missing may have been shown before. ERR_UNAVAILABLE.
 *
 * Where fewer replicas answer than an append needs, nothing can be written back
 * and nothing appended; what they hold is visited, but for what is under way:
 * hiding it would take away what was acknowledged, and shown.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_SETTLE_H
#define AEROSTORE_ENGINE_JOURNAL_SETTLE_H

#include "engine/journal/journal_private.h"

/* What the designated replicas that answered hold of a stream. */
struct states {
	struct id128 volumes[LAYOUT_REPLICAS], nodes[LAYOUT_REPLICAS];
	struct stream_state items[LAYOUT_REPLICAS];
	size_t count, counted;
};

/*
 * Writes back what must be, of what lies outside `seen`, and raises the states by it. *settled,
 * empty before: per incarnation, up to where entries may be visited. ERR_UNAVAILABLE: see above;
 * ERR_STALE: a manifest covers some that `seen` lacks.
 */
WAITS MUST_USE enum err settle(struct journal *journal, struct id128 stream, struct states *states,
			       const struct vector *seen, struct vector *settled);

#endif
