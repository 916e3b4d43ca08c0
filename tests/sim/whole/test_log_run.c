/* SPDX-License-Identifier: MPL-2.0 */
/* Logs on one disk, without copies: the seeds that every check runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/whole/log_run.h"
#include "tests/sim/whole/seeds.h"

#define FIRST_SEED 1u
/* Sanitizers look for other mistakes, ten times as slowly. */
#ifdef __SANITIZE_ADDRESS__
#define SEED_COUNT 20u
#else
#define SEED_COUNT 200u
#endif

static void test_seeds(void **state)
{
	struct report sum = {0};

	(void)state;
	assert_int_equal(seeds_run("log", log_run, FIRST_SEED, SEED_COUNT, &sum), 0);
	assert_true(sum.acknowledged > 100 * SEED_COUNT && sum.reads > 300 * SEED_COUNT);
	assert_true(sum.faults[SIM_FAULT_SYNC_FAILURE] > SEED_COUNT / 4);
}

static void test_seeds_replay(void **state)
{
	(void)state;
	for (uint64_t seed = FIRST_SEED; seed < FIRST_SEED + 5; seed++)
		assert_true(seeds_replay(log_run, seed));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds_replay),
		cmocka_unit_test(test_seeds),
	};

	if (argc == 2)
		return seeds_repeat("log", log_run, strtoull(argv[1], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
