/* SPDX-License-Identifier: MPL-2.0 */
/*
 * soak - runs seeds of the simulations for as long as it is told, and says how
 * much that was.
 *
 *	soak MINUTES [FIRST_SEED]
 *
 * Exit status 1: some seed failed; it and the command that repeats it were
 * printed when it did.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/whole/log_run.h"
#include "tests/sim/whole/mailbox_run.h"
#include "tests/sim/whole/mending_run.h"
#include "tests/sim/whole/seeds.h"
#include "tests/sim/whole/store_run.h"

#define SEEDS_A_ROUND 8u

struct suite {
	const char *name;
	seed_run *run;
	uint64_t seeds;
	size_t failures;
	double seconds;
	struct report sum;
};

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void run_round(struct suite *suite, uint64_t first)
{
	double start = now();

	suite->failures += seeds_run(suite->name, suite->run, first, SEEDS_A_ROUND, &suite->sum);
	suite->seeds += SEEDS_A_ROUND;
	suite->seconds += now() - start;
}

static void print_suite(const struct suite *suite)
{
	double hours = (double)suite->sum.virtual_ms / 3.6e6;

	printf("%s: %" PRIu64 " seeds, %zu failed, %.1f seeds/s, %.1f simulated hours, "
	       "%.2f simulated years a day\n",
	       suite->name, suite->seeds, suite->failures, (double)suite->seeds / suite->seconds,
	       hours, hours / suite->seconds * 86400 / 8766);
	report_print(&suite->sum);
}

int main(int argc, char **argv)
{
	struct suite suites[] = {{.name = "log", .run = log_run},
				 {.name = "store", .run = store_run},
				 {.name = "mending", .run = mending_run},
				 {.name = "mailbox", .run = mailbox_run}};
	const size_t count = sizeof(suites) / sizeof(suites[0]);
	double end = now() + 60 * (argc > 1 ? strtod(argv[1], NULL) : 1);
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	size_t failures = 0;

	do {
		for (size_t i = 0; i < count; i++)
			run_round(&suites[i], seed);
		seed += SEEDS_A_ROUND;
	} while (now() < end);
	for (size_t i = 0; i < count; i++) {
		print_suite(&suites[i]);
		failures += suites[i].failures;
	}
	return failures != 0;
}
