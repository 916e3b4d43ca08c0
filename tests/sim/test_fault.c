/* SPDX-License-Identifier: MPL-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "tests/sim/node_fault.h"
#include "tests/sim/sim_task.h"

#define PAGES 8
#define SIZE (PAGES * SIM_PAGE_SIZE)

/* A world of one node with the disks /v and /w, for code that runs as a task in it. */
struct world {
	struct sim *sim;
	struct sim_node *node;
	struct sim_disk *v, *w;
	struct env_file *file, *other; /* /v/f of 'f' and /v/g of 'g', synced */
};

static enum err fill(struct env_file *file, uint8_t value)
{
	uint8_t bytes[SIZE] = {0};

	memset(bytes, value, SIZE);
	return io_write_sync(file, 0, bytes_make(bytes, SIZE));
}

/* How many pages of the file hold anything but `value`; UINT_MAX when it cannot be read. */
static unsigned other_pages(struct env_file *file, uint8_t value)
{
	uint8_t page[SIM_PAGE_SIZE];
	unsigned count = 0;

	for (uint64_t offset = 0; offset < SIZE; offset += SIM_PAGE_SIZE) {
		size_t i = 0;

		if (io_read_exact(file, offset, page, sizeof(page)) != ERR_OK)
			return UINT_MAX;
		while (i < sizeof(page) && page[i] == value)
			i++;
		count += i != sizeof(page);
	}
	return count;
}

static struct env_file *make_file(const char *path, uint8_t value)
{
	struct env_file *file = NULL;

	assert_int_equal(io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(fill(file, value), ERR_OK);
	return file;
}

static void make_files(void *argument)
{
	struct world *world = argument;

	world->file = make_file("/v/f", 'f');
	world->other = make_file("/v/g", 'g');
	assert_int_equal(io_sync_directory("/v"), ERR_OK);
}

static void close_files(void *argument)
{
	struct world *world = argument;

	io_close(&world->file);
	io_close(&world->other);
}

static void in_world(uint64_t seed, void (*run)(void *argument))
{
	struct world world = {.sim = sim_create(seed, NULL)};

	world.node = sim_add_node(world.sim);
	world.v = sim_add_disk(world.node, "/v", NULL);
	world.w = sim_add_disk(world.node, "/w", NULL);
	assert_int_equal(sim_run_task(world.sim, make_files, &world), ERR_OK);
	assert_int_equal(sim_run_task(world.sim, run, &world), ERR_OK);
	assert_int_equal(sim_run_task(world.sim, close_files, &world), ERR_OK);
	sim_finish(&world.sim);
}

static void lose_write(void *argument)
{
	struct world *world = argument;
	unsigned lost;

	sim_plan_fault(world->v, SIM_STEP_SYNC, 2, SIM_FAULT_LOST_WRITE);
	assert_int_equal(fill(world->other, 'h'), ERR_OK);
	assert_int_equal(fill(world->file, 'n'), ERR_OK);
	assert_int_equal(other_pages(world->other, 'h'), 0);
	lost = other_pages(world->file, 'n');
	assert_in_range(lost, 1, PAGES);
	/* What was lost shows what was there before. */
	assert_int_equal(other_pages(world->file, 'f'), PAGES - lost);
	assert_int_equal(world->v->faults.counts[SIM_FAULT_LOST_WRITE], 1);
	assert_true(world->v->damaged && !world->w->damaged);
}

static void misdirect(void *argument)
{
	struct world *world = argument;
	unsigned wrong;

	sim_plan_fault(world->v, SIM_STEP_SYNC, 1, SIM_FAULT_MISDIRECTED_WRITE);
	assert_int_equal(fill(world->file, 'n'), ERR_OK);
	/* One page is missing, unless its place is hit anyway; one place of the disk holds it. */
	wrong = other_pages(world->file, 'n') + other_pages(world->other, 'g');
	assert_in_range(wrong, 1, 2);
}

static void rot_bits(void *argument)
{
	struct world *world = argument;

	sim_plan_fault(world->v, SIM_STEP_READ, 1, SIM_FAULT_BIT_ROT);
	assert_int_equal(other_pages(world->file, 'f') + other_pages(world->other, 'g'), 1);
}

static void fail_reads(void *argument)
{
	struct world *world = argument;
	uint8_t byte;

	sim_plan_fault(world->v, SIM_STEP_READ, 2, SIM_FAULT_READ_ERROR);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_OK);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_IO);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_OK);
	assert_false(world->v->damaged);
	sim_plan_fault(world->v, SIM_STEP_READ, 1, SIM_FAULT_UNREADABLE);
	assert_int_equal(io_read_exact(world->file, 5000, &byte, 1), ERR_IO);
	assert_int_equal(io_read_exact(world->file, 4096, &byte, 1), ERR_IO);
	assert_int_equal(io_read_exact(world->file, 8192, &byte, 1), ERR_OK);
	assert_int_equal(fill(world->file, 'n'), ERR_OK);
	assert_int_equal(other_pages(world->file, 'n'), 0);
	assert_true(world->v->damaged);
}

/* Worlds in which what was written is still shown, and in which it is not. */
static unsigned lost_pages[2];

static void fail_sync(void *argument)
{
	struct world *world = argument;
	unsigned lost;

	sim_plan_fault(world->v, SIM_STEP_SYNC, 1, SIM_FAULT_SYNC_FAILURE);
	assert_int_equal(fill(world->file, 'n'), ERR_IO);
	lost = other_pages(world->file, 'n');
	/* The second sync has nothing to write: its success means nothing. */
	assert_int_equal(io_commit(NULL, 0, &world->file, 1, NULL), ERR_OK);
	assert_int_equal(other_pages(world->file, 'n'), lost);
	lost_pages[lost != 0]++;
}

static void run_out_of_space(void *argument)
{
	struct world *world = argument;
	uint8_t bytes[SIM_PAGE_SIZE] = {0};
	const struct bytes page = bytes_make(bytes, sizeof(bytes));

	sim_plan_fault(world->v, SIM_STEP_WRITE, 1, SIM_FAULT_NO_SPACE);
	assert_int_equal(io_write_sync(world->file, SIZE, page), ERR_NOSPACE);
	assert_int_equal(io_write_sync(world->file, SIZE, page), ERR_OK);
	/* Blocks that are there are never missing. */
	sim_plan_fault(world->v, SIM_STEP_WRITE, 1, SIM_FAULT_NO_SPACE);
	assert_int_equal(io_write_sync(world->file, 0, page), ERR_OK);
	sim_plan_fault(world->v, SIM_STEP_WRITE, 1, SIM_FAULT_NO_SPACE);
	assert_int_equal(io_allocate(world->file, 2 * SIZE, SIZE), ERR_NOSPACE);
}

static void unlink_disk(void *argument)
{
	struct world *world = argument;
	struct env_file *file = NULL;
	struct env_stat stat;

	sim_plan_fault(world->v, SIM_STEP_ANY, 1, SIM_FAULT_UNLINKED);
	assert_int_equal(io_stat("/v", &stat), ERR_NOTFOUND);
	assert_int_equal(io_open("/v/f", 0, &file), ERR_NOTFOUND);
	assert_int_equal(io_stat("/w", &stat), ERR_OK);
	/* Writes to what nobody can find again succeed; only the link count tells. */
	assert_int_equal(fill(world->file, 'n'), ERR_OK);
	assert_int_equal(io_commit(NULL, 0, &world->file, 1, &stat), ERR_OK);
	assert_int_equal(stat.link_count, 0);
	sim_replace_disk(world->node, world->v);
	assert_int_equal(io_stat("/v", &stat), ERR_OK);
	assert_int_equal(io_open("/v/f", 0, &file), ERR_NOTFOUND);
}

static void kill_disk(void *argument)
{
	struct world *world = argument;
	struct env *env = sched_env(task_sched());
	struct env_index *index = NULL, *none = NULL;
	struct env_index_change change = {.key = bytes_string("k"), .value = bytes_string("v")};
	struct env_file *file = NULL;
	struct env_stat stat;

	assert_int_equal(env_index_open(env, "/v/index", &index), ERR_OK);
	assert_int_equal(env_index_commit(env, index, &change, 1, true), ERR_OK);
	sim_lose_disk(world->node, world->v, SIM_FAULT_DEAD);
	assert_int_equal(io_stat("/v", &stat), ERR_NOTFOUND);
	assert_int_equal(fill(world->file, 'n'), ERR_IO);
	assert_int_equal(other_pages(world->file, 'n'), UINT_MAX);
	assert_int_equal(env_index_commit(env, index, &change, 1, true), ERR_IO);
	env_index_close(env, index);
	assert_int_equal(env_index_open(env, "/v/index", &none), ERR_NOTFOUND);
	sim_replace_disk(world->node, world->v);
	assert_int_equal(io_open("/v/f", ENV_OPEN_CREATE, &file), ERR_OK);
	io_close(&file);
	assert_int_equal(env_index_open(env, "/v/index", &index), ERR_OK);
	assert_int_equal(env_index_get(env, index, change.key, &(struct buf){0}), ERR_NOTFOUND);
	env_index_close(env, index);
}

static void be_slow(void *argument)
{
	struct world *world = argument;
	struct env *env = sched_env(task_sched());
	uint64_t start, healthy;
	uint8_t byte;

	world->v->options.latency_us = 100;
	start = env_now_us(env);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_OK);
	healthy = env_now_us(env) - start;
	assert_int_equal(healthy, 100);
	sim_plan_fault(world->v, SIM_STEP_READ, 1, SIM_FAULT_SLOW);
	start = env_now_us(env);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_OK);
	assert_true(env_now_us(env) - start >= 100 * healthy);
	world->v->slow_factor = 7;
	start = env_now_us(env);
	assert_int_equal(io_read_exact(world->file, 0, &byte, 1), ERR_OK);
	assert_int_equal(env_now_us(env) - start, 700);
}

static void flip(void *argument)
{
	struct world *world = argument;
	uint8_t byte = 0;

	assert_true(sim_flip_bit(world->node, "/v/f", 4100));
	assert_int_equal(io_read_exact(world->file, 4100, &byte, 1), ERR_OK);
	assert_int_equal(byte, 'f' ^ 1);
	assert_false(sim_flip_bit(world->node, "/v/f", SIZE));
	assert_false(sim_flip_bit(world->node, "/v/none", 0));
}

static void test_each_fault(void **state)
{
	static void (*const tests[])(void *) = {
		lose_write,	  misdirect, rot_bits,	  fail_reads, fail_sync,
		run_out_of_space, be_slow,   unlink_disk, kill_disk,  flip};

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
			in_world(seed, tests[i]);
	}
	assert_true(lost_pages[0] > 0 && lost_pages[1] > 0);
}

/* ---- crash by chance ---- */

static void write_for_ever(void *argument)
{
	struct world *world = argument;
	enum err err = ERR_OK;

	while (err == ERR_OK)
		err = fill(world->file, 'n');
	assert_int_equal(err, ERR_CANCELED);
}

static void test_crash_by_chance(void **state)
{
	struct world world = {.sim = sim_create(5, NULL)};

	(void)state;
	world.node = sim_add_node(world.sim);
	world.v = sim_add_disk(world.node, "/v", NULL);
	assert_int_equal(sim_run_task(world.sim, make_files, &world), ERR_OK);
	world.v->faults.per_million[SIM_FAULT_CRASH] = 20000;
	assert_int_equal(sim_run_task(world.sim, write_for_ever, &world), ERR_OK);
	assert_int_equal(world.v->faults.counts[SIM_FAULT_CRASH], 1);
	assert_false(sim_is_running(world.node));
	assert_int_equal(sim_run_task(world.sim, close_files, &world), ERR_OK);
	assert_int_equal(sim_unwind(world.node), ERR_OK);
	sim_finish(&world.sim);
}

/* ---- atlas ---- */

static void test_atlas_bounds_damage(void **state)
{
	struct sim_atlas atlas = {.tolerated = 1};
	struct sim *sim = sim_create(1, NULL);
	struct sim_node *node = sim_add_node(sim);
	struct sim_disk *disks[3];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char path[] = {'/', (char)('a' + i), '\0'};

		disks[i] = sim_add_disk(node, path, NULL);
		sim_atlas_add(&atlas, disks[i]);
		disks[i]->faults.per_million[SIM_FAULT_LOST_WRITE] = SIM_MILLION;
		disks[i]->faults.per_million[SIM_FAULT_SLOW] = SIM_MILLION;
	}
	assert_int_equal(sim_roll_faults(disks[1], SIM_STEP_SYNC, &sim->faults),
			 1u << SIM_FAULT_LOST_WRITE | 1u << SIM_FAULT_SLOW);
	/* Others suffer no damage meanwhile, the damaged one may suffer more. */
	assert_int_equal(sim_roll_faults(disks[0], SIM_STEP_SYNC, &sim->faults),
			 1u << SIM_FAULT_SLOW);
	assert_int_equal(sim_roll_faults(disks[1], SIM_STEP_SYNC, &sim->faults),
			 1u << SIM_FAULT_LOST_WRITE | 1u << SIM_FAULT_SLOW);
	assert_int_equal(sim_atlas_damaged(&atlas), 1);
	sim_repaired(disks[1]);
	assert_int_equal(sim_roll_faults(disks[2], SIM_STEP_SYNC, &sim->faults),
			 1u << SIM_FAULT_LOST_WRITE | 1u << SIM_FAULT_SLOW);
	assert_false(sim_may_damage(disks[0]));
	/* A planned fault strikes whatever the atlas says. */
	sim_stop_faults(disks[0]);
	sim_plan_fault(disks[0], SIM_STEP_SYNC, 1, SIM_FAULT_LOST_WRITE);
	assert_int_equal(sim_roll_faults(disks[0], SIM_STEP_WRITE, &sim->faults), 0);
	assert_int_equal(sim_roll_faults(disks[0], SIM_STEP_SYNC, &sim->faults),
			 1u << SIM_FAULT_LOST_WRITE);
	assert_int_equal(sim_roll_faults(disks[0], SIM_STEP_SYNC, &sim->faults), 0);
	assert_int_equal(sim_atlas_damaged(&atlas), 2);
	assert_string_equal(sim_fault_name(SIM_FAULT_BIT_ROT), "BIT_ROT");
	sim_finish(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_fault),
		cmocka_unit_test(test_crash_by_chance),
		cmocka_unit_test(test_atlas_bounds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
