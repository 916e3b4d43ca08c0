/* SPDX-License-Identifier: MPL-2.0 */
/*
 * states - the legal crash states of a record: everything that a loss of power
 * may leave, as ALICE and CrashMonkey enumerate it.
 *
 * For each cut of the record, what is durable is there; of the rest any subset
 * may be. Few effects: all subsets. More: each first part of them, each one alone
 * dropped, each one alone kept, and subsets drawn from the seed. Writes that are
 * not durable are also torn: cut off, or begun late, at a multiple of 512 or
 * 4096 bytes; or the file grew and holds zeros. States that come again, while
 * nothing was promised in between, are visited once.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CRASH_STATES_H
#define AEROSTORE_TESTS_SUPPORT_CRASH_STATES_H

#include "tests/support/crash/image.h"

struct states_options {
	uint64_t seed;
	size_t all_subsets_max;	    /* effects of which all subsets are tried */
	size_t random_count;	    /* subsets drawn, a cut with more */
	size_t torn_count;	    /* fates drawn, each undecided write of a cut */
	uint64_t first_cut;	    /* earlier events are not cut */
	uint32_t visit_per_million; /* share of the distinct states that are visited */
};

struct states_report {
	size_t cuts, states, distinct, visited;
	size_t undecided_max; /* effects at one cut */
};

struct crash_state {
	uint64_t cut;
	size_t number; /* of distinct ones */
	struct hash128 hash;
	struct image *image;
};

/* Until `visit` returns false. */
void states_enumerate(const struct recorder *recorder, const struct states_options *options,
		      bool (*visit)(void *context, const struct crash_state *state), void *context,
		      struct states_report *report);
/* Everything written and kept, at the record's end. */
void states_build_last(const struct recorder *recorder, struct image *image);

#endif
