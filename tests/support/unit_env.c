/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit_env.h"

#include <string.h>

#include "engine/base/assert.h"

static struct unit_env *unit_of(struct env *env)
{
	return (struct unit_env *)env;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct unit_env *test)
{
	uint64_t z = test->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void test_random(struct env *env, void *out, size_t size)
{
	uint8_t *at = out;

	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)next_random(unit_of(env));
}

static uint64_t test_now_ms(struct env *env)
{
	return unit_of(env)->now_ms;
}

static uint64_t test_now_us(struct env *env)
{
	return unit_of(env)->now_ms * 1000;
}

static uint64_t test_wall_ms(struct env *env)
{
	return unit_of(env)->now_ms + 1700000000000u;
}

static void test_job(struct env *env, struct env_job *job)
{
	(void)env;
	job->work(job);
	job->done(job);
}

static void test_timer_stop(struct env *env, struct env_timer *timer)
{
	struct unit_env *test = unit_of(env);

	timer->armed = false;
	for (size_t i = 0; i < UNIT_ENV_TIMER_MAX; i++)
		if (test->timers[i].timer == timer)
			test->timers[i].timer = NULL;
}

static void test_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	struct unit_env *test = unit_of(env);
	size_t place = 0;

	test_timer_stop(env, timer);
	while (place < UNIT_ENV_TIMER_MAX && test->timers[place].timer != NULL)
		place++;
	ASSERT(place < UNIT_ENV_TIMER_MAX);
	test->timers[place].timer = timer;
	test->timers[place].at_ms = test->now_ms + delay_ms;
	timer->armed = true;
}

static void test_log(struct env *env, const char *line)
{
	(void)env;
	(void)line;
}

void unit_env_init(struct unit_env *test, uint64_t seed)
{
	static const struct env_ops ops = {
		.now_ms = test_now_ms,
		.now_us = test_now_us,
		.wall_ms = test_wall_ms,
		.random = test_random,
		.job = test_job,
		.timer_start = test_timer_start,
		.timer_stop = test_timer_stop,
		.log = test_log,
	};

	memset(test, 0, sizeof(*test));
	test->env.ops = &ops;
	test->state = seed;
	test->now_ms = 1000;
}

void unit_env_advance(struct unit_env *test, uint64_t delay_ms)
{
	uint64_t end_ms = test->now_ms + delay_ms;

	for (;;) {
		size_t next = UNIT_ENV_TIMER_MAX;
		struct env_timer *timer;

		for (size_t i = 0; i < UNIT_ENV_TIMER_MAX; i++)
			if (test->timers[i].timer != NULL && test->timers[i].at_ms <= end_ms &&
			    (next == UNIT_ENV_TIMER_MAX ||
			     test->timers[i].at_ms < test->timers[next].at_ms))
				next = i;
		if (next == UNIT_ENV_TIMER_MAX)
			break;
		timer = test->timers[next].timer;
		test->now_ms = test->timers[next].at_ms;
		test_timer_stop(&test->env, timer);
		timer->fire(timer);
	}
	test->now_ms = end_ms;
}

uint64_t unit_env_below(struct unit_env *test, uint64_t limit)
{
	ASSERT(limit > 0);
	return next_random(test) % limit;
}
