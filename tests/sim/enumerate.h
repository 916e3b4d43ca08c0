/* SPDX-License-Identifier: MPL-2.0 */
/*
 * enumerate - the power fails at every step of a small piece of work.
 *
 * The work runs as a task on the first node of a fresh world, again and again
 * with the same seed: once cut at its first step on a disk, once at its second,
 * and so on until it comes through uncut. Each cut is repeated with several
 * fates of what was not synced: all lost, all kept, and random mixtures. After
 * each the node restarts, and the check runs on it as a task.
 *
 * Steps are those of the node's operations (fault.h): each sync of a commit is
 * one, its writes together are one and may be cut anywhere inside.
 */
#ifndef AEROSTORE_TESTS_SIM_ENUMERATE_H
#define AEROSTORE_TESTS_SIM_ENUMERATE_H

#include "tests/sim/sim_task.h"

struct sim_crash_case {
	uint64_t seed;
	const struct sim_options *options; /* may be NULL */
	/* Fates a cut, beyond all lost and all kept. */
	size_t random_count;
	/* Before each run: adds disks, empties what the last run left in `context`. May be NULL. */
	void (*begin)(struct sim *sim, void *context);
	/* Leaves nothing open, also when canceled. */
	void (*work)(void *context);
	/* Not cut. What it finds wrong it asserts, or tells by sim_fail(). */
	void (*check)(void *context);
	void *context;
};

struct sim_crash_report {
	uint64_t step_count;  /* of the uncut work: cuts made */
	uint64_t state_count; /* restarts checked, the uncut one among them */
};

MUST_USE enum err sim_enumerate_crashes(const struct sim_crash_case *test,
					struct sim_crash_report *report);

#endif
