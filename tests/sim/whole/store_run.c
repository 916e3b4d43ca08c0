/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/store_run.h"

#include "tests/sim/allocate.h"
#include "tests/sim/whole/store_load.h"

#define STORE_STREAM 702
#define BUSY_MS 20000u
#define STEP_MS 25u
#define QUIET_MS 5000u

/* ---- the exam ---- */

static WAITS void examine(struct store_load *load)
{
	struct sim *sim = load->world.sim;

	store_load_read_all(load);
	if (!sim->failed)
		store_load_settle(load);
	if (!sim->failed)
		store_load_put_some(load);
	if (!sim->failed)
		store_load_read_all(load);
}

static enum err sit_exam(struct store_load *load)
{
	return store_load_do(load, "exam", examine);
}

static enum err restart(struct store_load *load)
{
	sim_kill(load->world.node);
	return lives_settle(&load->lives);
}

static enum err take_exams(struct store_load *load)
{
	struct world *world = &load->world;
	bool while_running = sim_random_below(&load->random, 2) == 0;
	enum err err;

	world_calm(world);
	/* A volume that failed for one bad read serves again in the next life. */
	if (world->fickle && sim_is_running(world->node))
		sim_kill(world->node);
	err = lives_settle(&load->lives);
	if (err == ERR_OK)
		err = sim_run_for(world->sim, QUIET_MS);
	load->exam = true;
	if (err == ERR_OK)
		err = sit_exam(load);
	if (err == ERR_OK && !while_running)
		sim_kill(world->node);
	if (err == ERR_OK)
		world_lose_disks(world);
	if (err == ERR_OK)
		err = lives_settle(&load->lives);
	if (err == ERR_OK)
		err = sit_exam(load);
	if (err == ERR_OK)
		err = restart(load);
	return err == ERR_OK ? sit_exam(load) : err;
}

/* ---- a run ---- */

static enum err be_busy(struct store_load *load)
{
	uint64_t end = sim_now_ms(load->world.sim) + BUSY_MS;
	enum err err = ERR_OK;

	while (err == ERR_OK && sim_now_ms(load->world.sim) < end) {
		if (sim_random_below(&load->random, STEP_MS) < LIVES_TURN_MS)
			store_load_act(load);
		err = lives_turn(&load->lives);
	}
	return err;
}

enum err store_run(uint64_t seed, struct report *report)
{
	struct store_load *load = sim_allocate(sizeof(*load));
	enum err err;

	store_load_init(load, seed, seed % 5 == 4 ? 5 : 3, STORE_STREAM, report);
	err = parts_format(&load->parts);
	if (err == ERR_OK) {
		world_unleash(&load->world);
		lives_begin(&load->lives);
		err = be_busy(load);
	}
	if (err == ERR_OK)
		err = take_exams(load);
	err = store_load_finish(load, err);
	sim_free(load);
	return err;
}
