/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/set/latency.h"

static void note(struct latency *latency, uint64_t duration_us, unsigned times)
{
	while (times-- > 0)
		latency_note(latency, duration_us);
}

static void test_little_says_nothing(void **state)
{
	struct latency latency = {.total = 0};

	(void)state;
	note(&latency, 500, LATENCY_SAMPLES_MIN - 1);
	assert_false(latency_is_known(&latency));
	assert_int_equal(latency_p95_us(&latency), 0);
	note(&latency, 500, 1);
	assert_in_range(latency_p95_us(&latency), 500, 750);
}

static void test_every_size(void **state)
{
	(void)state;
	for (uint64_t us = 1; us < 1ull << 31; us += 1 + us / 7) {
		struct latency latency = {.total = 0};

		note(&latency, us, 20);
		assert_in_range(latency_p95_us(&latency), us, us + us / 2 + 1);
	}
}

static void test_one_in_twenty_is_no_rule(void **state)
{
	struct latency latency = {.total = 0};

	(void)state;
	note(&latency, 1000, 96);
	note(&latency, 1000000, 4);
	assert_in_range(latency_p95_us(&latency), 1000, 1600);
	note(&latency, 1000000, 4);
	assert_in_range(latency_p95_us(&latency), 1000000, 1600000);
}

static void test_the_past_fades(void **state)
{
	struct latency latency = {.total = 0};

	(void)state;
	note(&latency, 1000000, 5000);
	note(&latency, 1000, 1200);
	assert_in_range(latency_p95_us(&latency), 1000, 1600);
	note(&latency, 1000000, 40);
	assert_in_range(latency_p95_us(&latency), 1000000, 1600000);
}

static void test_hedge_stays_in_bounds(void **state)
{
	(void)state;
	assert_int_equal(latency_hedge_ms(0, 50, 2000), 2000);
	assert_int_equal(latency_hedge_ms(1000, 50, 2000), 50);
	assert_int_equal(latency_hedge_ms(100000, 50, 2000), 400);
	assert_int_equal(latency_hedge_ms(10000000, 50, 2000), 2000);
}

static void test_budget_is_a_share(void **state)
{
	struct latency_budget budget = {0};
	unsigned spent = 0;

	(void)state;
	assert_false(latency_budget_spend(&budget));
	for (unsigned i = 0; i < 10000; i++) {
		latency_budget_earn(&budget);
		spent += latency_budget_spend(&budget);
	}
	assert_int_equal(spent, 300);
	/* What was saved up is soon gone. */
	for (unsigned i = 0; i < 10000; i++)
		latency_budget_earn(&budget);
	for (spent = 0; latency_budget_spend(&budget); spent++)
		;
	assert_int_equal(spent, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_little_says_nothing),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_one_in_twenty_is_no_rule),
		cmocka_unit_test(test_the_past_fades),
		cmocka_unit_test(test_hedge_stays_in_bounds),
		cmocka_unit_test(test_budget_is_a_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
