/* SPDX-License-Identifier: MPL-2.0 */
/*
 * reclaim_exam - at rest, with every volume there and the quarantine over, the
 * store holds what is referred to and, within the stated bound, nothing else.
 *
 * Oracles, by what is on the disks and not by what reclaiming says of itself:
 *   - of each sealed set at least the stated share of bytes is referred to
 *   - each column file belongs to such a set
 *   - nothing holds reclaiming up
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_RECLAIM_EXAM_H
#define AEROSTORE_TESTS_SIM_WHOLE_RECLAIM_EXAM_H

#include "engine/engine.h"
#include "tests/sim/whole/report.h"

struct reclaim_exam {
	struct engine *engine;
	struct sim *sim;
	struct report *report;
	const char *const *paths; /* of the volumes */
	size_t volume_count;
	unsigned live_percent; /* of each set, at least */
	uint64_t quarantine_ms;
	/* Calls reclaim_exam_refer() for all that may stay, when the rest should have gone. */
	WAITS enum err (*refer)(void *context, struct reclaim_exam *exam);
	void *context;
	struct buf referred; /* the exam's */
};

/* Lets it reclaim until nothing is left to; then looks. */
WAITS MUST_USE enum err reclaim_exam_run(struct reclaim_exam *exam);
/* A callback of references. `exam`: a struct reclaim_exam. */
MUST_USE enum err reclaim_exam_refer(void *exam, const struct blob_ref *blob);

#endif
