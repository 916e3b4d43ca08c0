/* SPDX-License-Identifier: MPL-2.0 */
/* The overlay: what is written through it is seen through it, and the disk stays as it was. */
#include "engine/fsck/overlay.h"

#include "engine/io.h"
#include "tests/sim/sim_task.h"
#include "tests/support/unit.h"

#define OLD "0123456789"

struct world {
	struct sim *sim;
	struct overlay *overlay;
	struct sched *sched;
	bool done;
};

static WAITS void assert_content(const char *path, const char *text)
{
	struct buf content = {0};

	assert_ok(io_read_file(path, 100, &content));
	assert_int_equal(content.size, strlen(text));
	assert_memory_equal(content.data, text, content.size);
	buf_finish(&content);
}

static WAITS void write_at(const char *path, unsigned flags, uint64_t offset, const char *text)
{
	struct env_file *file = NULL;

	assert_ok(io_open(path, ENV_OPEN_WRITE | flags, &file));
	assert_ok(io_write_sync(file, offset, bytes_string(text)));
	io_close(&file);
}

static WAITS void assert_names(const char *expected)
{
	struct buf names = {0};

	assert_ok(io_list("/d", &names));
	for (size_t i = 0; i < names.size; i++)
		if (names.data[i] == '\0')
			names.data[i] = ' ';
	assert_int_equal(names.size, strlen(expected));
	assert_memory_equal(names.data, expected, names.size);
	buf_finish(&names);
}

static void make_disk(void *argument)
{
	(void)argument;
	write_at("/d/a", ENV_OPEN_CREATE, 0, OLD);
	write_at("/d/b", ENV_OPEN_CREATE, 0, OLD);
	assert_ok(io_sync_directory("/d"));
}

static void assert_disk(void *argument)
{
	(void)argument;
	assert_names("a b ");
	assert_content("/d/a", OLD);
	assert_content("/d/b", OLD);
}

static void work_above(void *argument)
{
	struct world *world = argument;
	struct env_file *file = NULL, *again = NULL;
	struct env_stat stat;

	write_at("/d/a", 0, 8, "xyz");
	assert_content("/d/a", "01234567xyz");
	write_at("/d/c", ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, 0, "new");
	assert_names("a b c ");
	assert_int_equal(io_open("/d/c", ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &file), ERR_EXISTS);
	assert_ok(io_unlink("/d/b"));
	assert_int_equal(io_open("/d/b", 0, &file), ERR_NOTFOUND);
	assert_int_equal(io_unlink("/d/b"), ERR_NOTFOUND);
	assert_ok(io_rename("/d/c", "/d/a"));
	assert_content("/d/a", "new");
	assert_names("a ");
	/* Who has a file open keeps it when its name goes, and is told. */
	assert_ok(io_open("/d/a", ENV_OPEN_WRITE, &file));
	assert_ok(io_unlink("/d/a"));
	assert_ok(io_stat_file(file, &stat));
	assert_int_equal(stat.link_count, 0);
	io_close(&file);
	/* A file made anew under a name that went. */
	write_at("/d/b", ENV_OPEN_CREATE, 0, "again");
	assert_ok(io_open("/d/b", 0, &again));
	assert_ok(io_open("/d/b", ENV_OPEN_WRITE, &file));
	assert_ok(io_truncate(file, 2));
	assert_ok(io_stat_file(again, &stat));
	assert_int_equal(stat.size, 2);
	io_close(&file);
	io_close(&again);
	overlay_forget(world->overlay, "/d/b");
	assert_content("/d/b", OLD);
	world->done = true;
}

static void write_through(void *argument)
{
	struct world *world = argument;

	overlay_through(world->overlay, true);
	write_at("/d/c", ENV_OPEN_CREATE, 0, "kept");
	assert_ok(io_rename("/d/c", "/d/b"));
	assert_ok(io_sync_directory("/d"));
	overlay_through(world->overlay, false);
	assert_content("/d/b", "kept");
	world->done = true;
}

static bool is_done(void *context)
{
	const struct world *world = context;

	return world->done && sched_task_count(world->sched) == 0;
}

static void run_above(struct world *world, void (*run)(void *argument))
{
	assert_ok(overlay_create(sim_simple_env(world->sim), &world->overlay));
	world->sched = sched_create(overlay_env(world->overlay));
	assert_non_null(world->sched);
	world->done = false;
	assert_ok(task_spawn(world->sched, "test", run, world, NULL));
	assert_ok(sim_run_until(world->sim, is_done, world, 60000));
	sched_destroy(&world->sched);
	overlay_destroy(&world->overlay);
}

static void test_disk_stays_as_it_was(void **state)
{
	struct world world = {.sim = sim_simple()};

	(void)state;
	sim_add_disk(world.sim->nodes[0], "/d", NULL);
	assert_ok(sim_run_task(world.sim, make_disk, NULL));
	run_above(&world, work_above);
	assert_ok(sim_run_task(world.sim, assert_disk, NULL));
	sim_finish(&world.sim);
}

static void assert_kept(void *argument)
{
	(void)argument;
	assert_content("/d/b", "kept");
	assert_names("a b ");
}

static void test_through_reaches_the_disk(void **state)
{
	struct world world = {.sim = sim_simple()};

	(void)state;
	sim_add_disk(world.sim->nodes[0], "/d", NULL);
	assert_ok(sim_run_task(world.sim, make_disk, NULL));
	run_above(&world, write_through);
	assert_ok(sim_run_task(world.sim, assert_kept, NULL));
	sim_finish(&world.sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_stays_as_it_was),
		cmocka_unit_test(test_through_reaches_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
