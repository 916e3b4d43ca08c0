/* SPDX-License-Identifier: MPL-2.0 */
/*
 * health - what the client of the sets has noticed of each volume: how fast it
 * answers, and whether it failed. Hints, never a reason to give up data.
 *
 *   suspect   failed or was slow a short while ago: no new sets there for a time
 *             that doubles as it happens again
 *   slow      answers, but far later than the best do: flagged, its sets pause,
 *             readers ask elsewhere first; ends with a few answers in good time
 */
#ifndef AEROSTORE_ENGINE_SET_HEALTH_H
#define AEROSTORE_ENGINE_SET_HEALTH_H

#include "engine/base/map.h"
#include "engine/env.h"
#include "engine/set/latency.h"

enum health_kind { HEALTH_APPEND, HEALTH_READ, HEALTH_KINDS };

struct health_volume {
	struct id128 volume;
	uint64_t suspect_until_ms, suspect_ms;
	struct health_speed {
		struct latency latency;
		unsigned in_time; /* answers in a row, since it was slow */
		bool slow;
	} speeds[HEALTH_KINDS];
};

struct health {
	struct env *env;
	struct map volumes;
	struct latency_budget budget;
	uint64_t floor_ms;
};

void health_init(struct health *health, struct env *env, uint64_t floor_ms);
void health_finish(struct health *health);
/* Made when new; NULL: out of memory, and then it goes unnoticed. */
struct health_volume *health_of(struct health *health, struct id128 volume);
const struct health_volume *health_find(const struct health *health, struct id128 volume);

void health_suspect(struct health *health, struct id128 volume);
bool health_is_suspect(const struct health *health, struct id128 volume);
bool health_is_slow(const struct health *health, struct id128 volume);
/* It was too slow for somebody: flagged, and said once. */
void health_slow(struct health *health, struct id128 volume, enum health_kind kind);
/* An answer, whether anybody still waited for it or not. */
void health_took(struct health *health, struct id128 volume, enum health_kind kind,
		 uint64_t duration_us);

/* How long to wait before going elsewhere: a few times what the best volume needs. */
uint64_t health_hedge_ms(const struct health *health, enum health_kind kind, uint64_t ceiling_ms);

#endif
