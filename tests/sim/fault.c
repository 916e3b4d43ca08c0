/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/fault.h"

#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/disk.h"

static const struct {
	const char *name;
	unsigned steps;
	bool damages;
} faults[] = {
#define X(name, steps, damages) {#name, steps, damages},
	SIM_FAULT_LIST(X)
#undef X
};

const char *sim_fault_name(enum sim_fault fault)
{
	ASSERT(fault < SIM_FAULT_COUNT);
	return faults[fault].name;
}

void sim_plan_fault(struct sim_disk *disk, unsigned steps, uint64_t n, enum sim_fault fault)
{
	ASSERT(n != 0 && disk->faults.plan_count < SIM_PLAN_LIMIT);
	ASSERT((steps & ~faults[fault].steps) == 0);
	disk->faults.plans[disk->faults.plan_count++] =
		(struct sim_fault_plan){.fault = fault, .steps = steps, .countdown = n};
}

void sim_stop_faults(struct sim_disk *disk)
{
	memset(disk->faults.per_million, 0, sizeof(disk->faults.per_million));
	disk->faults.plan_count = 0;
}

/* Counts this step off all plans; those that come due leave the list. */
static unsigned due_plans(struct sim_faults *state, enum sim_step step)
{
	unsigned due = 0;
	size_t left = 0;

	for (size_t i = 0; i < state->plan_count; i++) {
		struct sim_fault_plan plan = state->plans[i];

		if ((plan.steps & step) != 0 && --plan.countdown == 0)
			due |= 1u << plan.fault;
		else
			state->plans[left++] = plan;
	}
	state->plan_count = left;
	return due;
}

unsigned sim_roll_faults(struct sim_disk *disk, enum sim_step step, struct sim_random *random)
{
	struct sim_faults *state = &disk->faults;
	unsigned struck = due_plans(state, step);

	for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
		if ((faults[i].steps & step) != 0 &&
		    sim_random_chance(random, state->per_million[i]) &&
		    (!faults[i].damages || sim_may_damage(disk)))
			struck |= 1u << i;
		if ((struck & 1u << i) == 0)
			continue;
		state->counts[i]++;
		if (faults[i].damages)
			sim_damaged(disk);
	}
	return struck;
}

void sim_atlas_add(struct sim_atlas *atlas, struct sim_disk *disk)
{
	ASSERT(atlas->disk_count < SIM_ATLAS_LIMIT && disk->atlas == NULL);
	atlas->disks[atlas->disk_count++] = disk;
	disk->atlas = atlas;
}

size_t sim_atlas_damaged(const struct sim_atlas *atlas)
{
	size_t count = 0;

	for (size_t i = 0; i < atlas->disk_count; i++)
		count += atlas->disks[i]->damaged;
	return count;
}

bool sim_may_damage(const struct sim_disk *disk)
{
	return disk->damaged || disk->atlas == NULL ||
	       sim_atlas_damaged(disk->atlas) < disk->atlas->tolerated;
}

void sim_damaged(struct sim_disk *disk)
{
	disk->damaged = true;
}

void sim_repaired(struct sim_disk *disk)
{
	disk->damaged = false;
}
