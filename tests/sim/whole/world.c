/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/world.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "tests/sim/node_fault.h"

#define WORLD_STREAM 700
/* Larger than what one commit or one set needs, small enough to be full within a run. */
#define SMALL_DISK (12u * 1024 * 1024)

static const char *const names[] = {
#define X(name, text) #name,
	REGIMEN_LIST(X)
#undef X
};

const char *regimen_name(enum regimen regimen)
{
	ASSERT(regimen < REGIMEN_COUNT);
	return names[regimen];
}

const char *world_path(size_t volume)
{
	static const char *const paths[WORLD_VOLUME_MAX] = {"/d0/v", "/d1/v", "/d2/v",
							    "/d3/v", "/d4/v", "/d5/v"};

	ASSERT(volume < WORLD_VOLUME_MAX);
	return paths[volume];
}

static void add_disks(struct world *world, struct sim_random *random)
{
	struct sim_disk_options disk = {.latency_us = 50, .sync_us = 500};

	disk.jitter_us = 1 + sim_random_below(random, 500);
	if (world->regimen == REGIMEN_SPACE)
		disk.capacity = SMALL_DISK;
	world->atlas.tolerated = world->spread ? 2 : 1;
	for (size_t i = 0; i < world->volume_count; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/d%zu", i);
		world->disks[i] = sim_add_disk(world->node, path, &disk);
		sim_atlas_add(&world->atlas, world->disks[i]);
	}
	disk.capacity = 0;
	(void)sim_add_disk(world->node, WORLD_INDEX_DIRECTORY, &disk);
}

void world_init(struct world *world, uint64_t seed, size_t volume_count)
{
	struct sim_random random;
	struct sim_options options = {0};

	ASSERT(volume_count <= WORLD_VOLUME_MAX);
	sim_random_init(&random, seed, WORLD_STREAM);
	*world = (struct world){.volume_count = volume_count,
				.spread = volume_count > 3,
				.regimen = (enum regimen)(seed % REGIMEN_COUNT)};
	options.timer_jitter_us = sim_random_below(&random, 1000);
	options.job_jitter_us = sim_random_below(&random, 1000);
	options.write_back_per_million = (uint32_t)sim_random_below(&random, 100000);
	world->sim = sim_create(seed, &options);
	world->start_ms = sim_now_ms(world->sim);
	world->node = sim_add_node(world->sim);
	add_disks(world, &random);
	world->crash_per_million = 2000 + (uint32_t)sim_random_below(&random, 8000);
	world->kill_per_million = (uint32_t)sim_random_below(&random, 5000);
	world->fickle = world->regimen == REGIMEN_READS || world->regimen == REGIMEN_ALL;
}

static bool has(const struct world *world, enum regimen regimen)
{
	return world->regimen == regimen || world->regimen == REGIMEN_ALL;
}

static void arm(const struct world *world, struct sim_faults *faults)
{
	uint32_t *chance = faults->per_million;

	chance[SIM_FAULT_CRASH] = 300;
	if (has(world, REGIMEN_SILENT)) {
		chance[SIM_FAULT_LOST_WRITE] = 2000;
		chance[SIM_FAULT_MISDIRECTED_WRITE] = 2000;
		chance[SIM_FAULT_BIT_ROT] = 2000;
		chance[SIM_FAULT_UNREADABLE] = 2000;
	}
	if (has(world, REGIMEN_SYNC))
		chance[SIM_FAULT_SYNC_FAILURE] = 1000;
	if (has(world, REGIMEN_LOSS)) {
		chance[SIM_FAULT_UNLINKED] = 30;
		chance[SIM_FAULT_DEAD] = 30;
	}
	if (has(world, REGIMEN_SPACE)) {
		chance[SIM_FAULT_NO_SPACE] = 1000;
		chance[SIM_FAULT_SLOW] = 5000;
	}
	if (has(world, REGIMEN_READS)) {
		chance[SIM_FAULT_READ_ERROR] = 2000;
		chance[SIM_FAULT_SLOW] = 5000;
	}
}

void world_unleash(struct world *world)
{
	for (size_t i = 0; i < world->volume_count; i++)
		arm(world, &world->disks[i]->faults);
}

void world_calm(struct world *world)
{
	for (size_t i = 0; i < world->volume_count; i++)
		sim_stop_faults(world->disks[i]);
}

void world_finish(struct world *world)
{
	sim_finish(&world->sim);
}

void world_lose_disks(struct world *world)
{
	struct sim_random *random = &world->sim->faults;

	while (sim_atlas_damaged(&world->atlas) < world->atlas.tolerated)
		sim_damaged(world->disks[sim_random_below(random, world->volume_count)]);
	for (size_t i = 0; i < world->volume_count; i++) {
		if (world->disks[i]->damaged)
			sim_lose_disk(world->node, world->disks[i], SIM_FAULT_UNLINKED);
	}
}

void world_count_faults(const struct world *world, uint64_t counts[SIM_FAULT_COUNT])
{
	for (size_t i = 0; i < world->volume_count; i++) {
		for (size_t j = 0; j < SIM_FAULT_COUNT; j++)
			counts[j] += world->disks[i]->faults.counts[j];
	}
}
