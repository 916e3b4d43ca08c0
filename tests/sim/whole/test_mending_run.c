/* SPDX-License-Identifier: MPL-2.0 */
/* Calamities, each mended before the next: the seeds that every check runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/whole/mending_run.h"
#include "tests/sim/whole/seeds.h"

#define FIRST_SEED 1u
/* Sanitizers look for other mistakes, ten times as slowly. */
#ifdef __SANITIZE_ADDRESS__
#define SEED_COUNT 4u
#else
#define SEED_COUNT 40u
#endif

static void test_seeds(void **state)
{
	struct report sum = {0};

	(void)state;
	assert_int_equal(seeds_run("mending", mending_run, FIRST_SEED, SEED_COUNT, &sum), 0);
	report_print(&sum);
	/* It did happen; a few seeds do not have everything in them. */
	if (SEED_COUNT < 40)
		return;
	assert_true(sum.acknowledged > 100 * SEED_COUNT && sum.reads > 500 * SEED_COUNT);
	assert_true(sum.columns_rebuilt > SEED_COUNT && sum.columns_checked > 10 * SEED_COUNT);
	assert_true(sum.old_copies > SEED_COUNT / 2 && sum.hangs > SEED_COUNT);
	assert_true(sum.crashes > SEED_COUNT && sum.degraded_reads > 0);
	assert_true(sum.faults[SIM_FAULT_READ_ERROR] > 0 && sum.faults[SIM_FAULT_NO_SPACE] > 0);
	assert_true(sum.faults[SIM_FAULT_UNLINKED] > 0 && sum.faults[SIM_FAULT_DEAD] > 0);
}

static void test_seeds_replay(void **state)
{
	(void)state;
	for (uint64_t seed = FIRST_SEED; seed < FIRST_SEED + 2; seed++)
		assert_true(seeds_replay(mending_run, seed));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seeds_replay),
		cmocka_unit_test(test_seeds),
	};

	if (argc == 2)
		return seeds_repeat("mending", mending_run, strtoull(argv[1], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
