/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What a start reads and what the journal holds in memory then: after a clean stop the same
 * whatever the store contains, after a crash what came since the last checkpoint.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/io.h"
#include "tests/support/env_count.h"
#include "tests/support/journal_fixture.h"

#define ENTRY_SIZE 200u
#define SEGMENT_SIZE (16u << 20)
/* Long enough for the keepers to do what they find to do. */
#define REST_MS 5000u

struct world {
	struct sim *sim;
	struct store store;
	unsigned entries, tail; /* before the stop; after it, before the crash */
	bool covered;		/* a manifest stands for the entries */
	bool filled;
	uint64_t tail_size; /* of the records of the tail on one volume */
	struct env_count read;
	uint64_t held;
};

static struct world *world_start(unsigned entries, unsigned tail, bool covered)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->sim = sim_simple();
	store_init(&world->store, world->sim, 3);
	world->store.segment_size = SEGMENT_SIZE;
	world->entries = entries;
	world->tail = tail;
	world->covered = covered;
	return world;
}

static void world_finish(struct world *world)
{
	sim_finish(&world->sim);
	free(world);
}

static void append_some(struct world *world, unsigned from, unsigned count)
{
	for (unsigned i = from; i < from + count; i++)
		assert_int_equal(store_append(&world->store, store_stream(1), i, ENTRY_SIZE),
				 ERR_OK);
}

static void cover_all(struct world *world)
{
	struct id128 page_id = {{1, 1}};
	struct manifest_page page = {.id = page_id, .payload = bytes_string("page of state")};
	struct manifest manifest = {.stream = store_stream(1),
				    .id = {{1, 2}},
				    .incarnation = {{3}},
				    .epoch = 1,
				    .pages = &page_id,
				    .page_count = 1};

	assert_int_equal(vector_raise(&manifest.vector,
				      journal_writer_incarnation(world->store.writer),
				      world->entries),
			 ERR_OK);
	assert_int_equal(journal_put_manifest(world->store.journal, &manifest, &page, 1), ERR_OK);
	vector_finish(&manifest.vector);
}

/* A store with entries, stopped cleanly; after a start more of them, if any, until it is halted. */
static void fill(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	for (size_t i = 0; i < store->volume_count; i++)
		store_format(store, i);
	assert_int_equal(store_open(store), ERR_OK);
	append_some(world, 0, world->entries);
	if (world->covered)
		cover_all(world);
	store_close(store);
	if (world->tail != 0) {
		struct journal_status before, after;

		assert_int_equal(store_open(store), ERR_OK);
		assert_int_equal(task_sleep(REST_MS), ERR_OK);
		journal_get_status(store->journal, &before);
		append_some(world, world->entries, world->tail);
		journal_get_status(store->journal, &after);
		world->tail_size = (after.bytes - before.bytes) / store->volume_count;
		world->filled = true;
		assert_int_equal(task_sleep(UINT32_MAX), ERR_CANCELED);
		store_close(store);
	}
}

static void start_and_rest(void *argument)
{
	struct world *world = argument;
	struct env *env = sched_env(task_sched());
	uint64_t held = memory_held();

	env_count_start(env);
	assert_int_equal(store_open(&world->store), ERR_OK);
	assert_int_equal(task_sleep(REST_MS), ERR_OK);
	world->held = memory_held() - held;
	world->read = env_count_stop(env);
	store_close(&world->store);
}

static bool is_filled(void *context)
{
	return ((const struct world *)context)->filled;
}

static struct env_count count_clean_start(unsigned entries, bool covered, uint64_t *held)
{
	struct world *world = world_start(entries, 0, covered);
	struct env_count count;

	assert_int_equal(sim_run_task(world->sim, fill, world), ERR_OK);
	assert_int_equal(sim_run_task(world->sim, start_and_rest, world), ERR_OK);
	count = world->read;
	*held = world->held;
	world_finish(world);
	return count;
}

static void assert_same_start(bool covered)
{
	uint64_t held_few, held_many;
	struct env_count few = count_clean_start(100, covered, &held_few);
	struct env_count many = count_clean_start(10000, covered, &held_many);

	print_message("%llu and %llu bytes read, %llu and %llu held\n",
		      (unsigned long long)few.bytes_read, (unsigned long long)many.bytes_read,
		      (unsigned long long)held_few, (unsigned long long)held_many);
	assert_true(few.bytes_read > 0);
	/* Less than a byte for a hundred entries; some segments more may be there. */
	assert_true(many.bytes_read <= few.bytes_read + (10000 - 100) / 100 * 3);
	assert_true(many.calls[ENV_IO_READ] <= few.calls[ENV_IO_READ]);
	assert_true(held_many <= held_few + (10000 - 100) / 10);
}

static void test_a_clean_start_reads_the_same(void **state)
{
	(void)state;
	assert_same_start(false);
}

/* What a manifest made superfluous was cleaned up before the stop. */
static void test_nothing_is_left_to_clean_up(void **state)
{
	(void)state;
	assert_same_start(true);
}

static uint64_t read_after_crash(unsigned entries, unsigned tail, uint64_t *tail_size)
{
	struct world *world = world_start(entries, tail, false);
	struct sim_node *node = world->sim->nodes[0];
	uint64_t bytes;

	sim_spawn(node, "fill", fill, world);
	assert_int_equal(sim_run_until(world->sim, is_filled, world, UINT32_MAX), ERR_OK);
	sim_crash(node, SIM_CRASH_DROP_ALL);
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
	assert_int_equal(sim_run_task(world->sim, start_and_rest, world), ERR_OK);
	bytes = world->read.bytes_read;
	*tail_size = world->tail_size;
	world_finish(world);
	return bytes;
}

/* Read once to see and once to be written again, on each of the volumes, in blocks. */
static void test_a_start_after_a_crash_reads_the_tail(void **state)
{
	uint64_t tail_size, none_size;
	uint64_t none = read_after_crash(100, 1, &none_size);
	uint64_t few = read_after_crash(100, 500, &tail_size);
	uint64_t many = read_after_crash(10000, 500, &tail_size);

	(void)state;
	print_message("%llu bytes read without a tail, %llu and %llu with one of %llu\n",
		      (unsigned long long)none, (unsigned long long)few, (unsigned long long)many,
		      (unsigned long long)tail_size);
	assert_true(few >= none + tail_size);
	assert_true(few <= none + 3 * 2 * (tail_size + 4096));
	assert_true(many <= few + 4096);
}

/* ---- the checkpoint is not believed when the files are others ---- */

/* The last segment that has records, of the first volume: its last record says another history. */
static void damage_last_record(void)
{
	struct env_file *file = NULL;
	struct buf names = {0}, whole = {0};
	uint64_t last = 0;
	uint8_t octet;
	char path[128] = "";

	assert_int_equal(io_list("/d0/v/journal", &names), ERR_OK);
	for (size_t at = 0; at < names.size; at += strlen((const char *)names.data + at) + 1) {
		char candidate[128];

		snprintf(candidate, sizeof(candidate), "/d0/v/journal/%s",
			 (const char *)names.data + at);
		buf_clear(&whole);
		assert_int_equal(io_read_file(candidate, SEGMENT_SIZE * 2, &whole), ERR_OK);
		if (whole.size > 8192)
			memcpy(path, candidate, sizeof(path));
	}
	buf_clear(&whole);
	assert_int_equal(io_read_file(path, SEGMENT_SIZE * 2, &whole), ERR_OK);
	for (uint64_t at = 8192; at + RECORD_HEADER_SIZE <= whole.size;) {
		struct record record;

		if (record_decode(whole.data + at, &record) != ERR_OK)
			break;
		last = at;
		at += record_size(record.payload_size);
	}
	assert_true(last != 0);
	octet = (uint8_t)(whole.data[last + 120] ^ 1);
	assert_int_equal(io_open(path, ENV_OPEN_WRITE, &file), ERR_OK);
	assert_int_equal(io_write_sync(file, last + 120, bytes_make(&octet, 1)), ERR_OK);
	io_close(&file);
	buf_finish(&whole);
	buf_finish(&names);
}

static void exchange_and_start(void *argument)
{
	damage_last_record();
	start_and_rest(argument);
}

static void test_a_checkpoint_of_other_files_is_not_believed(void **state)
{
	struct world *world = world_start(1000, 0, false);
	uint64_t clean;

	(void)state;
	assert_int_equal(sim_run_task(world->sim, fill, world), ERR_OK);
	assert_int_equal(sim_run_task(world->sim, start_and_rest, world), ERR_OK);
	clean = world->read.bytes_read;
	assert_int_equal(sim_run_task(world->sim, exchange_and_start, world), ERR_OK);
	/* All of that volume was read: its records are 1000 at least of this size. */
	assert_true(world->read.bytes_read > clean + 1000 * ENTRY_SIZE);
	world_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_clean_start_reads_the_same),
		cmocka_unit_test(test_nothing_is_left_to_clean_up),
		cmocka_unit_test(test_a_start_after_a_crash_reads_the_tail),
		cmocka_unit_test(test_a_checkpoint_of_other_files_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
