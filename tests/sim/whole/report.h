/* SPDX-License-Identifier: MPL-2.0 */
/*
 * report - what a run of one seed, or of many, has done and found.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_REPORT_H
#define AEROSTORE_TESTS_SIM_WHOLE_REPORT_H

#include "tests/sim/whole/world.h"

/* X(name): what must have happened for the oracles to mean something. */
#define REPORT_LIST(X)                                                                             \
	X(sent)                                                                                    \
	X(acknowledged)                                                                            \
	X(refused)                                                                                 \
	X(reads)                                                                                   \
	X(reads_retried)                                                                           \
	X(listings)                                                                                \
	X(incomplete_listings)                                                                     \
	X(manifests)                                                                               \
	X(flag_changes)                                                                            \
	X(expunges)                                                                                \
	X(copies)                                                                                  \
	X(crashes)                                                                                 \
	X(restarts)                                                                                \
	X(seals)                                                                                   \
	X(evacuations)                                                                             \
	X(compactions)                                                                             \
	X(reencodings)                                                                             \
	X(degraded_reads)                                                                          \
	X(mirror_reads)                                                                            \
	X(truncated)                                                                               \
	X(exams)                                                                                   \
	X(late_names)                                                                              \
	X(fenced_names)                                                                            \
	X(old_copies)                                                                              \
	X(hangs)                                                                                   \
	X(columns_rebuilt)                                                                         \
	X(columns_checked)                                                                         \
	X(events)                                                                                  \
	X(virtual_ms)

struct report {
#define X(name) uint64_t name;
	REPORT_LIST(X)
#undef X
	uint64_t faults[SIM_FAULT_COUNT];
	uint64_t trace_hash; /* of the last run */
	char oracle[32];     /* which found something first; empty: none */
};

void report_add(struct report *sum, const struct report *one);
void report_print(const struct report *report);
/* Notes the oracle, once, and ends the run as sim_fail() does. */
void report_broken(struct report *report, struct sim *sim, const char *oracle, const char *format,
		   ...) __attribute__((format(printf, 4, 5)));

#endif
