/* SPDX-License-Identifier: MPL-2.0 */
/* What a crash keeps, and that enumerating crashes finds every way to lose something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "tests/sim/enumerate.h"

#define PAGES 4
#define SIZE (PAGES * SIM_PAGE_SIZE)

/* What the restarted node found, over all states of a test. */
struct found {
	unsigned absent, old, new, mixed, torn_pages, other_sizes;
	bool began; /* the work came to where the test wants it */
};

static struct env_file *open_file(const char *path)
{
	struct env_file *file = NULL;

	return io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file) == ERR_OK ? file : NULL;
}

static enum err write_pages(struct env_file *file, uint8_t fill, bool sync)
{
	uint8_t bytes[SIZE] = {0};
	const struct bytes part = bytes_make(bytes, SIZE);
	const struct env_write write = {.file = file, .parts = &part, .part_count = 1};

	memset(bytes, fill, SIZE);
	return io_commit(&write, 1, &file, sync ? 1 : 0, NULL);
}

/* A durable file of 'o', then 'n' over it, not synced; a cut after that is what is looked at. */
static void overwrite(void *context)
{
	struct found *found = context;
	struct env_file *file = open_file("/f");

	if (file == NULL)
		return;
	if (write_pages(file, 'o', true) == ERR_OK && io_sync_directory("/") == ERR_OK) {
		found->began = true;
		/* Canceled or not: what matters is what is on the disk. */
		enum err err = write_pages(file, 'n', false);

		(void)err;
	}
	io_close(&file);
}

static bool is_all(const uint8_t *bytes, size_t size, uint8_t value)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

static void look(void *context)
{
	struct found *found = context;
	struct buf content = {0};
	enum err err = io_read_file("/f", SIZE * 2, &content);

	if (err == ERR_NOTFOUND) {
		found->absent++;
	} else {
		assert_int_equal(err, ERR_OK);
		if (content.size != SIZE)
			found->other_sizes++;
		else if (is_all(content.data, SIZE, 'o'))
			found->old++;
		else if (is_all(content.data, SIZE, 'n'))
			found->new ++;
		else
			found->mixed++;
		for (size_t i = 0; i + SIM_PAGE_SIZE <= content.size; i += SIM_PAGE_SIZE) {
			const uint8_t *page = content.data + i;

			found->torn_pages += !is_all(page, SIM_PAGE_SIZE, page[0]);
		}
	}
	buf_finish(&content);
}

/* Crashes after the work, many times at random, once per other outcome. */
static void crash_after(void (*work)(void *context), struct found *found,
			enum sim_crash_outcome outcome, uint64_t seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct sim *sim = sim_create(seed, NULL);
		struct sim_node *node = sim_add_node(sim);

		assert_int_equal(sim_run_task(sim, work, found), ERR_OK);
		sim_crash(node, outcome);
		assert_int_equal(sim_unwind(node), ERR_OK);
		sim_restart(node);
		assert_int_equal(sim_run_task(sim, look, found), ERR_OK);
		sim_finish(&sim);
	}
}

static void test_unsynced_pages(void **state)
{
	struct found found = {0};

	(void)state;
	crash_after(overwrite, &found, SIM_CRASH_DROP_ALL, 1);
	assert_int_equal(found.old, 1);
	crash_after(overwrite, &found, SIM_CRASH_KEEP_ALL, 1);
	assert_int_equal(found.new, 1);
	memset(&found, 0, sizeof(found));
	crash_after(overwrite, &found, SIM_CRASH_RANDOM, 500);
	assert_int_equal(found.absent + found.other_sizes, 0);
	assert_true(found.old > 0 && found.new > 0 && found.mixed > 100);
	assert_true(found.torn_pages > 100);
}

/* What nobody synced may be on the disk all the same, as far as the kernel wrote it back. */
static void test_write_back(void **state)
{
	const struct sim_options options = {.write_back_per_million = SIM_MILLION};
	struct found found = {0};
	struct sim *sim = sim_create(1, &options);
	struct sim_node *node = sim_add_node(sim);

	(void)state;
	assert_int_equal(sim_run_task(sim, overwrite, &found), ERR_OK);
	sim_crash(node, SIM_CRASH_DROP_ALL);
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
	assert_int_equal(sim_run_task(sim, look, &found), ERR_OK);
	assert_int_equal(found.mixed, 1);
	assert_int_equal(found.torn_pages, 0);
	sim_finish(&sim);
}

static void synced(void *context)
{
	struct env_file *file = open_file("/f");

	(void)context;
	assert_int_equal(write_pages(file, 'n', true), ERR_OK);
	assert_int_equal(io_sync_directory("/"), ERR_OK);
	io_close(&file);
}

static void test_synced_is_kept(void **state)
{
	struct found found = {0};

	(void)state;
	crash_after(synced, &found, SIM_CRASH_RANDOM, 200);
	assert_int_equal(found.new, 200);
}

static void entry_unsynced(void *context)
{
	struct env_file *file = open_file("/f");

	(void)context;
	assert_int_equal(write_pages(file, 'n', true), ERR_OK);
	io_close(&file);
}

/* A sync of the file does not make its name durable; when the name is there, so are the bytes. */
static void test_unsynced_entry_may_go(void **state)
{
	struct found found = {0};

	(void)state;
	crash_after(entry_unsynced, &found, SIM_CRASH_RANDOM, 200);
	assert_true(found.absent > 20 && found.new > 20);
	assert_int_equal(found.absent + found.new, 200);
}

static void unlink_unsynced(void *context)
{
	synced(context);
	assert_int_equal(io_unlink("/f"), ERR_OK);
}

static void test_unsynced_unlink_may_come_back(void **state)
{
	struct found found = {0};

	(void)state;
	crash_after(unlink_unsynced, &found, SIM_CRASH_RANDOM, 200);
	assert_true(found.absent > 20 && found.new > 20);
	assert_int_equal(found.absent + found.new, 200);
}

static void grow_unsynced(void *context)
{
	struct env_file *file = open_file("/f");

	(void)context;
	assert_int_equal(io_sync_directory("/"), ERR_OK);
	assert_int_equal(write_pages(file, 'n', false), ERR_OK);
	io_close(&file);
}

static void test_unsynced_size(void **state)
{
	struct found found = {0};

	(void)state;
	crash_after(grow_unsynced, &found, SIM_CRASH_RANDOM, 300);
	assert_int_equal(found.absent, 0);
	/* Empty or cut at a page; whole; and of full size with zeros where pages were dropped. */
	assert_true(found.other_sizes > 20 && found.new > 0 && found.mixed > 20);
}

static void directory_unsynced(void *context)
{
	struct env_file *file;

	(void)context;
	assert_int_equal(io_make_directory("/d"), ERR_OK);
	file = open_file("/d/f");
	assert_int_equal(write_pages(file, 'n', true), ERR_OK);
	assert_int_equal(io_sync_directory("/d"), ERR_OK);
	io_close(&file);
}

static void look_in_directory(void *context)
{
	struct found *found = context;
	struct env_stat stat;

	found->absent += io_stat("/d", &stat) == ERR_NOTFOUND;
	found->new += io_stat("/d/f", &stat) == ERR_OK;
}

/* A directory whose own name was never synced takes along what was synced in it. */
static void test_unsynced_directory(void **state)
{
	struct found found = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct sim *sim = sim_create(seed, NULL);
		struct sim_node *node = sim_add_node(sim);

		assert_int_equal(sim_run_task(sim, directory_unsynced, NULL), ERR_OK);
		sim_crash(node, SIM_CRASH_RANDOM);
		assert_int_equal(sim_unwind(node), ERR_OK);
		sim_restart(node);
		assert_int_equal(sim_run_task(sim, look_in_directory, &found), ERR_OK);
		sim_finish(&sim);
	}
	assert_true(found.absent > 10 && found.new > 10);
	assert_int_equal(found.absent + found.new, 100);
}

/* ---- enumeration ---- */

static void replace_file(void *context)
{
	struct found *found = context;
	uint8_t bytes[SIZE] = {0};

	memset(bytes, 'o', SIZE);
	if (io_replace_file("/f", bytes_make(bytes, SIZE)) != ERR_OK)
		return;
	found->began = true;
	memset(bytes, 'n', SIZE);
	if (io_replace_file("/f", bytes_make(bytes, SIZE)) != ERR_OK)
		return;
}

static void begin(struct sim *sim, void *context)
{
	struct found *found = context;

	(void)sim;
	found->began = false;
}

static void look_if_it_began(void *context)
{
	const struct found *found = context;

	if (found->began)
		look(context);
}

static void test_replace_is_atomic(void **state)
{
	struct found found = {0};
	struct sim_crash_report report;
	const struct sim_crash_case test = {.seed = 3,
					    .random_count = 30,
					    .begin = begin,
					    .work = replace_file,
					    .check = look_if_it_began,
					    .context = &found};

	(void)state;
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	assert_true(report.step_count >= 8);
	assert_int_equal(report.state_count, report.step_count * 32 + 1);
	assert_int_equal(found.absent + found.mixed + found.other_sizes + found.torn_pages, 0);
	assert_true(found.old > 0 && found.new > 0);
}

/* The same in place is not: enumeration must show the mixtures. */
static void test_overwrite_is_not_atomic(void **state)
{
	struct found found = {0};
	struct sim_crash_report report;
	const struct sim_crash_case test = {.seed = 3,
					    .random_count = 30,
					    .begin = begin,
					    .work = overwrite,
					    .check = look_if_it_began,
					    .context = &found};

	(void)state;
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	assert_int_equal(found.absent + found.other_sizes, 0);
	assert_true(found.old > 0 && found.new > 0 && found.mixed > 0 && found.torn_pages > 0);
}

static struct sim *current;

static void remember(struct sim *sim, void *context)
{
	(void)context;
	current = sim;
}

static void do_nothing(void *context)
{
	(void)context;
}

static void complain(void *context)
{
	(void)context;
	sim_fail(current, "the check is not content");
}

static void test_failing_check_is_told(void **state)
{
	struct sim_crash_report report;
	const struct sim_crash_case test = {
		.seed = 3, .begin = remember, .work = do_nothing, .check = complain};

	(void)state;
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unsynced_pages),
		cmocka_unit_test(test_write_back),
		cmocka_unit_test(test_synced_is_kept),
		cmocka_unit_test(test_unsynced_entry_may_go),
		cmocka_unit_test(test_unsynced_unlink_may_come_back),
		cmocka_unit_test(test_unsynced_size),
		cmocka_unit_test(test_unsynced_directory),
		cmocka_unit_test(test_replace_is_atomic),
		cmocka_unit_test(test_overwrite_is_not_atomic),
		cmocka_unit_test(test_failing_check_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
