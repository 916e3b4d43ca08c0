/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/health.h"

#include <inttypes.h>

#include "engine/base/memory.h"

#define SUSPECT_MS 5000u
#define SUSPECT_MAX_MS (5u * 60 * 1000)
/* So many answers in good time, one after the other, end the flag. */
#define IN_TIME 4u

void health_init(struct health *health, struct env *env, uint64_t floor_ms)
{
	*health = (struct health){.env = env, .floor_ms = floor_ms};
	map_init(&health->volumes, sizeof(struct id128));
}

void health_finish(struct health *health)
{
	struct health_volume *volume;
	size_t position = 0;

	while ((volume = map_next(&health->volumes, &position, NULL)) != NULL)
		memory_free(volume);
	map_finish(&health->volumes);
}

const struct health_volume *health_find(const struct health *health, struct id128 volume)
{
	return map_get(&health->volumes, &volume);
}

struct health_volume *health_of(struct health *health, struct id128 volume)
{
	struct health_volume *found = map_get(&health->volumes, &volume);

	if (found != NULL)
		return found;
	found = memory_allocate(sizeof(*found));
	if (found == NULL)
		return NULL;
	found->volume = volume;
	if (map_put(&health->volumes, &volume, found) != ERR_OK) {
		memory_free(found);
		return NULL;
	}
	return found;
}

/* ---- suspicion ---- */

void health_suspect(struct health *health, struct id128 volume)
{
	struct health_volume *found = health_of(health, volume);
	uint64_t now = env_now_ms(health->env);

	if (found == NULL || found->suspect_until_ms > now)
		return;
	found->suspect_ms = found->suspect_ms == 0 ? SUSPECT_MS : 2 * found->suspect_ms;
	if (found->suspect_ms > SUSPECT_MAX_MS)
		found->suspect_ms = SUSPECT_MAX_MS;
	found->suspect_until_ms = now + found->suspect_ms;
}

bool health_is_suspect(const struct health *health, struct id128 volume)
{
	const struct health_volume *found = health_find(health, volume);

	return found != NULL && found->suspect_until_ms > env_now_ms(health->env);
}

bool health_is_slow(const struct health *health, struct id128 volume)
{
	const struct health_volume *found = health_find(health, volume);

	return found != NULL &&
	       (found->speeds[HEALTH_APPEND].slow || found->speeds[HEALTH_READ].slow);
}

/* ---- speed ---- */

uint64_t health_hedge_ms(const struct health *health, enum health_kind kind, uint64_t ceiling_ms)
{
	const struct health_volume *volume;
	uint64_t best = 0;
	size_t position = 0;

	while ((volume = map_next(&health->volumes, &position, NULL)) != NULL) {
		uint64_t p95 = latency_p95_us(&volume->speeds[kind].latency);

		if (p95 != 0 && (best == 0 || p95 < best))
			best = p95;
	}
	return latency_hedge_ms(best, health->floor_ms, ceiling_ms);
}

static void say(const struct health *health, const struct health_volume *volume,
		enum health_kind kind)
{
	const struct health_speed *speed = &volume->speeds[kind];

	env_log(health->env, "event=%s volume=%016" PRIx64 "%016" PRIx64 " of=%s p95_us=%" PRIu64,
		speed->slow ? "volume-slow" : "volume-recovered", load_u64(volume->volume.octets),
		load_u64(volume->volume.octets + 8), kind == HEALTH_APPEND ? "appends" : "reads",
		latency_p95_us(&speed->latency));
}

void health_slow(struct health *health, struct id128 volume, enum health_kind kind)
{
	struct health_volume *found = health_of(health, volume);

	if (found == NULL)
		return;
	found->speeds[kind].in_time = 0;
	if (found->speeds[kind].slow)
		return;
	found->speeds[kind].slow = true;
	say(health, found, kind);
}

void health_took(struct health *health, struct id128 volume, enum health_kind kind,
		 uint64_t duration_us)
{
	struct health_volume *found = health_of(health, volume);
	struct health_speed *speed;

	if (found == NULL)
		return;
	speed = &found->speeds[kind];
	latency_note(&speed->latency, duration_us);
	if (!speed->slow) {
		if (kind == HEALTH_APPEND)
			found->suspect_ms = 0;
		return;
	}
	if (duration_us > health_hedge_ms(health, kind, UINT32_MAX) * 1000)
		speed->in_time = 0;
	else
		speed->in_time++;
	if (speed->in_time < IN_TIME)
		return;
	speed->slow = false;
	found->suspect_ms = 0;
	say(health, found, kind);
}
