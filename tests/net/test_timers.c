/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/timers.h"

enum { TIMERS = 200, STEPS = 20000 };

static struct timers timers;
static struct env_timer timer[TIMERS];
static uint64_t deadline[TIMERS], sequence[TIMERS], last_deadline, last_sequence;
static size_t fired;

static void check_order(struct env_timer *which)
{
	size_t i = (size_t)(which - timer);

	assert_false(which->armed);
	assert_true(deadline[i] > last_deadline ||
		    (deadline[i] == last_deadline && sequence[i] > last_sequence));
	last_deadline = deadline[i];
	last_sequence = sequence[i];
	deadline[i] = UINT64_MAX;
	fired++;
}

static uint64_t model_earliest(void)
{
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < TIMERS; i++)
		if (timer[i].armed && deadline[i] < earliest)
			earliest = deadline[i];
	return earliest;
}

static size_t model_due(uint64_t now)
{
	size_t due = 0;

	for (size_t i = 0; i < TIMERS; i++)
		due += timer[i].armed && deadline[i] <= now;
	return due;
}

static void test_against_a_plain_array(void **state)
{
	uint64_t now = 0, armed = 0;

	(void)state;
	srand(7);
	for (size_t i = 0; i < TIMERS; i++)
		timer[i].fire = check_order;
	for (size_t step = 0; step < STEPS; step++) {
		size_t i = (size_t)rand() % TIMERS, due;

		switch (rand() % 4) {
		case 0:
		case 1:
			deadline[i] = now + (uint64_t)rand() % 50;
			sequence[i] = ++armed;
			timers_arm(&timers, &timer[i], deadline[i]);
			break;
		case 2:
			timers_disarm(&timers, &timer[i]);
			break;
		default:
			now += (uint64_t)rand() % 5;
			due = model_due(now);
			fired = 0;
			last_deadline = last_sequence = 0;
			timers_expire(&timers, now);
			assert_int_equal(fired, due);
		}
		assert_true(timers_earliest_us(&timers) == model_earliest());
	}
	timers_expire(&timers, UINT64_MAX);
	assert_null(timers.first);
}

static void rearm(struct env_timer *which)
{
	fired++;
	timers_arm(&timers, which, 5);
}

static void test_rearmed_in_its_callback_waits_for_the_next_time(void **state)
{
	struct env_timer one = {.fire = rearm};

	(void)state;
	fired = 0;
	timers_arm(&timers, &one, 5);
	timers_expire(&timers, 10);
	assert_int_equal(fired, 1);
	timers_expire(&timers, 10);
	assert_int_equal(fired, 2);
	timers_disarm(&timers, &one);
	timers_disarm(&timers, &one);
	assert_null(timers.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_plain_array),
		cmocka_unit_test(test_rearmed_in_its_callback_waits_for_the_next_time),
	};

	return cmocka_run_group_tests_name("net/timers", tests, NULL, NULL);
}
