/* SPDX-License-Identifier: MPL-2.0 */
/* The whole mailbox under every regimen of faults: the seeds that every check runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/whole/mailbox_run.h"
#include "tests/sim/whole/seeds.h"

#define FIRST_SEED 1u
/* Sanitizers look for other mistakes, ten times as slowly. */
#ifdef __SANITIZE_ADDRESS__
#define SEED_COUNT 7u
#else
#define SEED_COUNT 105u
#endif

/* Found bugs once: they stay. */
static const uint64_t regressions[] = {
	2,   /* two sessions that moved one message made two of it */
	244, /* entries that a failed append had drained all the same were called broken */
	671, /* a column whose write had failed was deleted unread */
	69,  /* a good copy was away when its set was given up, and deleted when it came back */
	41,  /* a mirror was dropped for a trailer that was read, but not on the disk */
};

static void test_seeds(void **state)
{
	struct report sum = {0};

	(void)state;
	assert_int_equal(seeds_run("mailbox", mailbox_run, FIRST_SEED, SEED_COUNT, &sum), 0);
	report_print(&sum);
	/* It did happen; a few seeds do not have everything in them. */
	if (SEED_COUNT < 100)
		return;
	assert_true(sum.acknowledged > 100 * SEED_COUNT && sum.reads > 100 * SEED_COUNT);
	assert_true(sum.listings > 100 * SEED_COUNT && sum.flag_changes > 20 * SEED_COUNT);
	assert_true(sum.expunges > 10 * SEED_COUNT && sum.copies > 10 * SEED_COUNT);
	assert_true(sum.crashes > SEED_COUNT && sum.seals > SEED_COUNT);
	assert_true(sum.degraded_reads > 0 && sum.mirror_reads > 0);
	assert_true(sum.manifests > SEED_COUNT && sum.truncated > SEED_COUNT);
	for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
		assert_true(sum.faults[i] > 0);
}

static void test_regressions(void **state)
{
	struct report sum = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(regressions) / sizeof(regressions[0]); i++)
		assert_int_equal(seeds_run("mailbox", mailbox_run, regressions[i], 1, &sum), 0);
}

static void test_seeds_replay(void **state)
{
	(void)state;
	for (uint64_t seed = FIRST_SEED; seed < FIRST_SEED + REGIMEN_COUNT; seed++)
		assert_true(seeds_replay(mailbox_run, seed));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regressions),
		cmocka_unit_test(test_seeds_replay),
		cmocka_unit_test(test_seeds),
	};

	if (argc == 2)
		return seeds_repeat("mailbox", mailbox_run, strtoull(argv[1], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
