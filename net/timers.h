/* SPDX-License-Identifier: MPL-2.0 */
/*
 * timers - the armed env_timers of a loop, earliest first.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) through the
 * pointers that struct env_timer keeps for its env: arming allocates nothing
 * and cannot fail. Timers of one deadline fire in the order they were armed.
 */
#ifndef AEROSTORE_NET_TIMERS_H
#define AEROSTORE_NET_TIMERS_H

#include "engine/env.h"

/* Zero before first use. */
struct timers {
	struct env_timer *first;
	uint64_t sequence; /* of the timer armed last */
};

void timers_arm(struct timers *timers, struct env_timer *timer, uint64_t deadline_us);
void timers_disarm(struct timers *timers, struct env_timer *timer);
/* UINT64_MAX when there is none. */
uint64_t timers_earliest_us(const struct timers *timers);
/* Fires what was armed before this call and whose time has come. */
void timers_expire(struct timers *timers, uint64_t now_us);

#endif
