/* SPDX-License-Identifier: MPL-2.0 */
/*
 * unit_env - the smallest env that pure engine code needs: seeded random, a
 * clock that moves when told, timers, jobs run inline. No files, no index, no
 * loop: tests that wait for anything use the simulation below tests/sim/.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_UNIT_ENV_H
#define AEROSTORE_TESTS_SUPPORT_UNIT_ENV_H

#include "engine/env.h"

#define UNIT_ENV_TIMER_MAX 8u

struct unit_env {
	struct env env;
	uint64_t state; /* of the random generator */
	uint64_t now_ms;
	struct {
		struct env_timer *timer;
		uint64_t at_ms;
	} timers[UNIT_ENV_TIMER_MAX];
};

void unit_env_init(struct unit_env *test, uint64_t seed);
/* Moves the clock and fires what is due, in the order of its times. */
void unit_env_advance(struct unit_env *test, uint64_t delay_ms);
/* A number below `limit`, from the same generator as env_random(). */
uint64_t unit_env_below(struct unit_env *test, uint64_t limit);

#endif
