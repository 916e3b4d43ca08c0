/* SPDX-License-Identifier: MPL-2.0 */
/*
 * seeds - runs many seeds of a simulation, each in a process of its own, two
 * at a time: what one seed leaves behind is not the next one's business, and
 * an assertion of the engine that fires is a finding, not the end.
 *
 * A seed that fails prints its seed and the command that repeats it.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_SEEDS_H
#define AEROSTORE_TESTS_SIM_WHOLE_SEEDS_H

#include "tests/sim/whole/report.h"

/* store_run(), mailbox_run(). */
typedef enum err seed_run(uint64_t seed, struct report *report);

/* Seeds [first, first + count). Adds what they did to *sum; gives how many failed. */
size_t seeds_run(const char *name, seed_run *run, uint64_t first, uint64_t count,
		 struct report *sum);
/* Two processes give the same trace hash. */
bool seeds_replay(seed_run *run, uint64_t seed);
/* In this process, with everything printed: for who repeats a failure. An exit status. */
int seeds_repeat(const char *name, seed_run *run, uint64_t seed);
/*
 * Runs seeds from 1 with the bug switched on, silently, until one fails or `limit` did not.
 * *needed is how many it took, 0: none found it; *sum has the oracle that did, and what all did.
 */
void seeds_hunt(seed_run *run, uint64_t limit, uint64_t *needed, struct report *sum);

#endif
