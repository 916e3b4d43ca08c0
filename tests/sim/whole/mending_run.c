/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/mending_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/set/column_check.h"
#include "tests/sim/allocate.h"
#include "tests/sim/image.h"
#include "tests/sim/node_fault.h"
#include "tests/sim/whole/store_load.h"

#define MENDING_STREAM 704
#define CALAMITIES 4u
#define BUSY_MS 4000u
#define MENDING_MS 8000u
#define STEP_MS 25u
/* What makes an operation of 50 us take half a minute. */
#define HANGING 600000u
#define HANG_MS 3000u
#define LAGGING 100u
#define LAG_MS 400u
#define DISK_SIZE ((uint64_t)1 << 40)
#define ROTTEN_PAGES 12u
/* Seconds that a store at rest may need until it is whole. */
#define MEND_TRIES 20u

enum calamity { CALAMITY_LOST, CALAMITY_OLD_COPY, CALAMITY_ROT, CALAMITY_COUNT };

struct run {
	struct store_load load; /* first: what errands are given */
	struct sim_image *images[WORLD_VOLUME_MAX];
	bool lost[WORLD_VOLUME_MAX];
	size_t hanging; /* a disk; WORLD_VOLUME_MAX: none */
	uint64_t hangs_until_ms;
};

static uint32_t below(struct run *run, uint64_t bound)
{
	return (uint32_t)sim_random_below(&run->load.random, bound);
}

/* ---- calamities ---- */

/* What was open is closed as the world runs on; nothing touches the disks any more. */
static void power_off(struct run *run)
{
	struct sim_node *node = run->load.world.node;

	if (sim_is_running(node))
		sim_crash(node, SIM_CRASH_RANDOM);
}

static void lose(struct run *run, size_t disk)
{
	const enum sim_fault how = below(run, 2) == 0 ? SIM_FAULT_UNLINKED : SIM_FAULT_DEAD;

	sim_lose_disk(run->load.world.node, run->load.world.disks[disk], how);
	run->load.world.disks[disk]->faults.counts[how]++;
	run->lost[disk] = true;
	/* The power may have killed it: what only this disk had synced is gone with it. */
	if (below(run, 2) == 0)
		power_off(run);
}

static void put_back_old_copy(struct run *run, size_t disk)
{
	power_off(run);
	sim_image_put_back(run->load.world.node, run->load.world.disks[disk], run->images[disk]);
	run->load.report->old_copies++;
}

/* Only what is durable can rot; where nothing is, nothing does. */
static void let_rot(struct run *run, size_t disk)
{
	struct world *world = &run->load.world;
	struct sim_random *random = &world->sim->faults;

	for (unsigned i = 0; i < ROTTEN_PAGES; i++) {
		struct sim_inode *inode =
			sim_tree_pick_file(&world->node->tree, world->disks[disk], random);
		uint64_t pages = inode != NULL ? sim_inode_durable_pages(inode) : 0;

		if (pages != 0)
			sim_inode_rot(inode, (size_t)sim_random_below(random, pages), random);
	}
	world->disks[disk]->faults.counts[SIM_FAULT_BIT_ROT]++;
	sim_damaged(world->disks[disk]);
}

static void strike(struct run *run, size_t disk)
{
	enum calamity calamity = (enum calamity)below(run, CALAMITY_COUNT);

	if (calamity == CALAMITY_OLD_COPY && run->images[disk] == NULL)
		calamity = CALAMITY_LOST;
	switch (calamity) {
	case CALAMITY_OLD_COPY:
		put_back_old_copy(run, disk);
		break;
	case CALAMITY_ROT:
		let_rot(run, disk);
		break;
	case CALAMITY_LOST:
	case CALAMITY_COUNT:
	default:
		lose(run, disk);
		break;
	}
}

static size_t pick_healthy(struct run *run)
{
	const struct world *world = &run->load.world;
	size_t disk;

	do
		disk = below(run, world->volume_count);
	while (world->disks[disk]->damaged);
	return disk;
}

/* ---- what goes wrong meanwhile ---- */

static void afflict(struct run *run)
{
	struct world *world = &run->load.world;

	world->fickle = true;
	world->crash_per_million = below(run, 40000);
	for (size_t i = 0; i < world->volume_count; i++) {
		uint32_t *chance = world->disks[i]->faults.per_million;

		chance[SIM_FAULT_READ_ERROR] = below(run, 3) == 0 ? 2000 : 0;
		chance[SIM_FAULT_NO_SPACE] = below(run, 3) == 0 ? 2000 : 0;
		chance[SIM_FAULT_SLOW] = below(run, 3) == 0 ? 3000 : 0;
	}
}

/* One at a time, and for so long that whoever waits without a limit is found out. */
static void hang_at_times(struct run *run)
{
	struct world *world = &run->load.world;
	uint64_t now_ms = sim_now_ms(world->sim);

	if (run->hanging == WORLD_VOLUME_MAX && below(run, 400) == 0) {
		run->hanging = below(run, world->volume_count);
		run->hangs_until_ms = now_ms + HANG_MS;
		world->disks[run->hanging]->slow_factor = HANGING;
		run->load.report->hangs++;
	} else if (run->hanging != WORLD_VOLUME_MAX && now_ms >= run->hangs_until_ms) {
		world->disks[run->hanging]->slow_factor = 1;
		run->hanging = WORLD_VOLUME_MAX;
	}
}

static void calm(struct run *run)
{
	struct world *world = &run->load.world;

	world_calm(world);
	world->crash_per_million = 0;
	for (size_t i = 0; i < world->volume_count; i++)
		world->disks[i]->slow_factor = 1;
	run->hanging = WORLD_VOLUME_MAX;
}

static enum err be_busy(struct run *run, uint64_t duration_ms, bool afflicted)
{
	uint64_t end_ms = sim_now_ms(run->load.world.sim) + duration_ms;
	enum err err = ERR_OK;

	while (err == ERR_OK && sim_now_ms(run->load.world.sim) < end_ms) {
		if (below(run, STEP_MS) < LIVES_TURN_MS)
			store_load_act(&run->load);
		if (afflicted)
			hang_at_times(run);
		err = lives_turn(&run->load.lives);
	}
	return err;
}

/* ---- is it whole? ---- */

struct file_check {
	struct run *run;
	const char *path;
	unsigned header_copies; /* that are damaged */
};

static void report_fault(void *context, const struct column_fault_report *fault)
{
	struct file_check *check = context;
	struct store_load *load = &check->run->load;

	/*
	 * What a crash left of a file that was being made is nobody's; a placed column without a
	 * header is missing, which the status would say.
	 */
	check->header_copies += fault->fault == COLUMN_FAULT_HEADER_COPY;
	if (fault->fault == COLUMN_FAULT_HEADER || fault->fault == COLUMN_FAULT_HEADER_COPY)
		return;
	report_broken(load->report, load->world.sim, "column", "%s: %s at %llu", check->path,
		      column_fault_name(fault->fault), (unsigned long long)fault->offset);
}

static WAITS void check_file(struct run *run, const char *folder, const char *name)
{
	char path[128];
	struct file_check context = {run, path, 0};
	struct column_check_options options = {.fault = report_fault, .context = &context};
	struct env_file *file = NULL;
	struct column_check check;
	enum err err;

	if (column_parse_name(name, &options.set, &options.column, &options.kind) != ERR_OK)
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	err = io_open(path, 0, &file);
	/* Gone meanwhile: a set of which nothing is needed. */
	if (err != ERR_OK)
		return;
	err = column_check(file, &options, &check);
	io_close(&file);
	if (err == ERR_OK && check.sealed && context.header_copies != 0)
		report_broken(run->load.report, run->load.world.sim, "column",
			      "%s: a copy of the header", path);
	run->load.report->columns_checked += err == ERR_OK;
}

static WAITS void check_columns(struct store_load *load)
{
	struct run *run = (struct run *)load;

	for (size_t i = 0; i < load->world.volume_count && !load->world.sim->failed; i++) {
		struct buf names = {0};
		char folder[64];

		(void)snprintf(folder, sizeof(folder), "%s/columns", world_path(i));
		if (io_list(folder, &names) == ERR_OK)
			for (size_t at = 0; at < names.size;
			     at += strlen((const char *)names.data + at) + 1)
				check_file(run, folder, (const char *)names.data + at);
		buf_finish(&names);
	}
}

static WAITS enum err mend_once(struct store_load *load)
{
	enum err err = journal_resync(load->parts.journal);

	if (err == ERR_OK)
		err = blobs_settle(load->parts.blobs);
	if (err == ERR_OK)
		err = blobs_scrub_run(load->parts.blobs);
	return err == ERR_OK ? blobs_repair(load->parts.blobs) : err;
}

static WAITS void mend(struct store_load *load)
{
	struct sim *sim = load->world.sim;
	struct blobs_status status;
	enum err err = ERR_UNAVAILABLE;

	for (unsigned tries = 0; err != ERR_OK && tries < MEND_TRIES; tries++) {
		err = mend_once(load);
		if (err == ERR_CANCELED || (err != ERR_OK && task_sleep(1000) != ERR_OK))
			return;
	}
	blobs_get_status(load->parts.blobs, &status);
	if (err != ERR_OK)
		report_broken(load->report, sim, "mended",
			      "after %u s at rest: %s; %llu sets degraded, %llu beyond repair",
			      MEND_TRIES, err_name(err),
			      (unsigned long long)status.repair.sets_degraded,
			      (unsigned long long)status.repair.sets_unrecoverable);
	else if (status.repair.sets_degraded + status.repair.sets_exposed +
			 status.repair.columns_missing + status.repair.columns_damaged !=
		 0)
		report_broken(load->report, sim, "status", "repair is done, and counts are left");
	else if (status.repair.sets_salvaged != 0 || status.records_lost != 0)
		report_broken(load->report, sim, "status", "beyond repair, and is not");
	else if (status.volumes_tolerated == 0)
		report_broken(load->report, sim, "status", "all is mended, and nothing may go");
	/* The store's own word for how much the next calamity may take. */
	load->world.atlas.tolerated = status.volumes_tolerated;
	load->report->columns_rebuilt += status.repair.columns_rebuilt;
	if (!sim->failed)
		store_load_read_all(load);
	if (!sim->failed)
		check_columns(load);
}

/* ---- a run ---- */

/* Replaced ones are empty, under an id of their own. */
static enum err replace_lost(struct run *run)
{
	struct world *world = &run->load.world;

	power_off(run);
	for (size_t i = 0; i < world->volume_count; i++) {
		if (!run->lost[i])
			continue;
		sim_replace_disk(world->node, world->disks[i]);
		parts_replace(&run->load.parts, i);
		run->lost[i] = false;
		/* What was kept of the one before is of no volume of the layout. */
		sim_image_destroy(&run->images[i]);
	}
	return lives_settle(&run->load.lives);
}

static void take_image(struct run *run)
{
	struct world *world = &run->load.world;
	size_t disk = pick_healthy(run);

	sim_image_destroy(&run->images[disk]);
	run->images[disk] = sim_image_take(world->node, world->disks[disk]);
}

/* The one that goes next is far ahead of the others: it alone has what is not acknowledged yet. */
static enum err outrun(struct run *run, size_t disk)
{
	struct world *world = &run->load.world;

	for (size_t i = 0; i < world->volume_count; i++)
		world->disks[i]->slow_factor = i == disk ? 1 : LAGGING;
	return be_busy(run, LAG_MS, false);
}

static enum err suffer(struct run *run)
{
	struct world *world = &run->load.world;
	bool twice = world->atlas.tolerated > 1 && below(run, 2) == 0;
	bool at_once = below(run, 2) == 0;
	size_t disk = pick_healthy(run);
	enum err err = below(run, 2) == 0 ? outrun(run, disk) : ERR_OK;

	if (err == ERR_OK)
		strike(run, disk);
	calm(run);
	/* Otherwise what is lost stays so for a while, and its columns go to the spare. */
	if (err == ERR_OK && at_once)
		err = replace_lost(run);
	afflict(run);
	if (err == ERR_OK)
		err = be_busy(run, MENDING_MS / 2, true);
	if (err == ERR_OK && twice)
		strike(run, pick_healthy(run));
	if (err == ERR_OK)
		err = be_busy(run, MENDING_MS / 2, true);
	calm(run);
	return err;
}

static enum err one_calamity(struct run *run)
{
	struct world *world = &run->load.world;
	enum err err = be_busy(run, BUSY_MS, false);

	take_image(run);
	if (err == ERR_OK)
		err = be_busy(run, BUSY_MS, false);
	if (err == ERR_OK)
		err = suffer(run);
	if (err == ERR_OK)
		err = replace_lost(run);
	run->load.exam = true;
	if (err == ERR_OK)
		err = store_load_do(&run->load, "mend", mend);
	run->load.exam = false;
	world->fickle = false;
	for (size_t i = 0; i < world->volume_count; i++)
		sim_repaired(world->disks[i]);
	return world->sim->failed ? ERR_LIMIT : err;
}

static WAITS void examine(struct store_load *load)
{
	store_load_read_all(load);
	if (!load->world.sim->failed)
		store_load_put_some(load);
}

static enum err end_in_exam(struct run *run)
{
	enum err err;

	power_off(run);
	run->load.exam = true;
	world_lose_disks(&run->load.world);
	err = lives_settle(&run->load.lives);
	return err == ERR_OK ? store_load_do(&run->load, "exam", examine) : err;
}

enum err mending_run(uint64_t seed, struct report *report)
{
	struct run *run = sim_allocate(sizeof(*run));
	enum err err;

	*run = (struct run){.hanging = WORLD_VOLUME_MAX};
	store_load_init(&run->load, seed, seed % 2 == 0 ? 5 : 3, MENDING_STREAM, report);
	run->load.world.crash_per_million = 0;
	run->load.world.fickle = false;
	/* A store that is full cannot be mended; writes are refused for want of space all the same.
	 */
	for (size_t i = 0; i < run->load.world.volume_count; i++)
		run->load.world.disks[i]->options.capacity = DISK_SIZE;
	err = parts_format(&run->load.parts);
	if (err == ERR_OK)
		lives_begin(&run->load.lives);
	for (unsigned i = 0; err == ERR_OK && i < CALAMITIES; i++)
		err = one_calamity(run);
	if (err == ERR_OK)
		err = end_in_exam(run);
	err = store_load_finish(&run->load, err);
	for (size_t i = 0; i < WORLD_VOLUME_MAX; i++)
		sim_image_destroy(&run->images[i]);
	sim_free(run);
	return err;
}
