/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/plant.h"

#include <string.h>

#include "engine/base/assert.h"

static const struct {
	const char *name, *text;
} plants[] = {
#define X(name, text) {#name, text},
	PLANT_LIST(X)
#undef X
};

/* Process-wide, as the code that asks has no world to ask; worlds run one at a time. */
static struct {
	bool on;
	uint64_t hits;
} switches[PLANT_COUNT];

bool plant_is_on(enum plant plant)
{
	ASSERT(plant < PLANT_COUNT);
	switches[plant].hits += switches[plant].on;
	return switches[plant].on;
}

void plant_reset(void)
{
	memset(switches, 0, sizeof(switches));
}

void plant_set(enum plant plant, bool on)
{
	ASSERT(plant < PLANT_COUNT);
	switches[plant].on = on;
}

uint64_t plant_hits(enum plant plant)
{
	ASSERT(plant < PLANT_COUNT);
	return switches[plant].hits;
}

const char *plant_name(enum plant plant)
{
	ASSERT(plant < PLANT_COUNT);
	return plants[plant].name;
}

const char *plant_text(enum plant plant)
{
	ASSERT(plant < PLANT_COUNT);
	return plants[plant].text;
}
