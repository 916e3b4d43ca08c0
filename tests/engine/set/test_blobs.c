/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/volume/log.h"
#include "tests/support/blobs_fixture.h"

static struct blobs_fixture fixture;

static struct sim *start(uint64_t seed, size_t volume_count)
{
	struct sim *sim = sim_create(seed, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, volume_count);
	return sim;
}

/* With the directory in a journal, and from column headers alone. */
static void run(uint64_t seed, size_t volume_count, void (*body)(void *argument))
{
	for (int journaled = 0; journaled < 2; journaled++) {
		struct sim *sim = start(seed, volume_count);

		fixture.journaled = journaled != 0;
		assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
		sim_finish(&sim);
	}
}

static WAITS void open_fresh(void)
{
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
}

static WAITS void put_many(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(blobs_fixture_put(&fixture, size + i * 64, 0), ERR_OK);
}

static WAITS void put_and_get(void *argument)
{
	struct blobs_status status;

	(void)argument;
	open_fresh();
	assert_int_equal(blob_floor(fixture.blobs), 1);
	put_many(10, 5000);
	assert_int_equal(blob_floor(fixture.blobs), 11);
	blobs_fixture_check(&fixture);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_open, 1);
	assert_int_equal(status.profile.k, 2);
	assert_int_equal(status.profile.m, 1);
	assert_int_equal(status.volumes_tolerated, 1);
	assert_int_equal(status.degraded_reads, 0);
	assert_int_equal(blob_read_count(fixture.blobs), 10);
	blobs_fixture_close(&fixture);
}

static void test_put_and_get(void **state)
{
	(void)state;
	run(1, 3, put_and_get);
}

static WAITS void put_large(void *argument)
{
	(void)argument;
	fixture.options.column_size = 2 << 20;
	open_fresh();
	assert_int_equal(blobs_fixture_put(&fixture, 0, 0), ERR_OK);
	assert_int_equal(blobs_fixture_put(&fixture, PIECE_SIZE, 0), ERR_OK);
	assert_int_equal(blobs_fixture_put(&fixture, PIECE_SIZE + 1, 65536), ERR_OK);
	/* More than one set holds. */
	assert_int_equal(blobs_fixture_put(&fixture, 9 << 20, 70001), ERR_OK);
	assert_true(fixture.known[3].ref.extent_count > 1);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_put_large(void **state)
{
	(void)state;
	run(2, 3, put_large);
}

static WAITS void seal(void *argument)
{
	struct blobs_status status;

	(void)argument;
	open_fresh();
	put_many(100, 9000);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_true(status.sets_sealed > 1);
	assert_int_equal(status.sets_unsealed_old, 0);
	assert_int_equal(status.evacuations, 0);
	assert_int_equal(status.volumes_tolerated, 1);
	blobs_fixture_check(&fixture);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.degraded_reads, 0);
	blobs_fixture_close(&fixture);
	/* And from the disks alone. */
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_seal(void **state)
{
	(void)state;
	run(3, 3, seal);
}

static WAITS void reopen(void *argument)
{
	struct blobs_status status;

	(void)argument;
	fixture.options.passive = true;
	open_fresh();
	put_many(20, 4096);
	blobs_fixture_close(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_unsealed_old, 1);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_sealed, 1);
	assert_int_equal(status.sets_unsealed_old, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_reopen(void **state)
{
	(void)state;
	run(4, 3, reopen);
}

/* Every loss of one volume: while open, and once sealed. */
static size_t lost_volume;

static WAITS void lose_while_open(void *argument)
{
	struct blobs_status status;

	(void)argument;
	open_fresh();
	put_many(30, 6000);
	blobs_fixture_lose(&fixture, lost_volume);
	blobs_fixture_check(&fixture);
	put_many(30, 6000);
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.profile.k, 1);
	assert_int_equal(status.profile.m, 1);
	assert_int_equal(status.evacuations, 1);
	assert_int_equal(status.sets_unsealed_old, 0);
	/* Evacuated to two volumes that live: whole again. */
	assert_int_equal(status.volumes_tolerated, 1);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static WAITS void lose_sealed(void *argument)
{
	struct blobs_status status;

	(void)argument;
	open_fresh();
	put_many(60, 9000);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_fixture_lose(&fixture, lost_volume);
	blobs_fixture_check(&fixture);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.volumes_tolerated, 0);
	put_many(10, 9000);
	blobs_fixture_close(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_lose_a_volume(void **state)
{
	(void)state;
	for (lost_volume = 0; lost_volume < 3; lost_volume++) {
		run(5 + lost_volume, 3, lose_while_open);
		run(5 + lost_volume, 3, lose_sealed);
	}
}

/* ---- wider profiles ---- */

static WAITS void lose_two_of_six(void *argument)
{
	struct blobs_status status;

	(void)argument;
	open_fresh();
	put_many(80, 9000);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.profile.k, 4);
	assert_int_equal(status.profile.m, 2);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	put_many(5, 9000);
	blobs_fixture_lose(&fixture, 1);
	blobs_fixture_lose(&fixture, 4);
	blobs_fixture_check(&fixture);
	put_many(5, 9000);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.volumes_tolerated, 0);
	assert_true(status.degraded_reads > 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static WAITS void spread_and_lose_two(void *argument)
{
	fixture.spread = true;
	lose_two_of_six(argument);
}

static void test_lose_two_of_six(void **state)
{
	(void)state;
	run(20, 6, spread_and_lose_two);
}

/* ---- slow disks ---- */

static WAITS void slow_disk(void *argument)
{
	uint64_t start_ms, took_ms;
	struct blobs_status status;

	(void)argument;
	fixture.options.hedge_ms = 400;
	open_fresh();
	put_many(5, 5000);
	/* Syncs of 200 us become ten seconds. */
	fixture.disks[1]->slow_factor = 50000;
	start_ms = sim_now_ms(fixture.sim);
	for (int i = 0; i < 5; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
	took_ms = sim_now_ms(fixture.sim) - start_ms;
	assert_true(took_ms < 2000);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.profile.k, 1);
	blobs_fixture_check(&fixture);
	fixture.disks[1]->slow_factor = 1;
	assert_int_equal(task_sleep(60000), ERR_OK);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	/* What was slow is not suspect for ever, and the paused set is sealed like any other. */
	assert_int_equal(status.profile.k, 2);
	assert_int_equal(status.sets_unsealed_old, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_a_slow_disk_delays_nobody(void **state)
{
	(void)state;
	run(30, 3, slow_disk);
}

/*
 * Pieces are acknowledged out of order when one disk lags and the next set spreads its columns
 * over the disks in another way: the reference names each where it is all the same.
 */
static WAITS void put_large_beside_a_slow_disk(void *argument)
{
	(void)argument;
	fixture.options.column_size = 1536 << 10;
	fixture.options.hedge_ms = 60000;
	open_fresh();
	for (size_t i = 0; i < 3; i++) {
		fixture.disks[i]->slow_factor = 200;
		assert_int_equal(blobs_fixture_put(&fixture, 12 << 20, 0), ERR_OK);
		fixture.disks[i]->slow_factor = 1;
		blobs_fixture_check(&fixture);
	}
	blobs_fixture_close(&fixture);
}

static void test_large_blobs_beside_a_slow_disk(void **state)
{
	(void)state;
	for (uint64_t seed = 32; seed < 36; seed++)
		run(seed, 3, put_large_beside_a_slow_disk);
}

/* ---- damage ---- */

/* Flips one bit of every file in a volume's columns, so far behind its header or before its end. */
static WAITS void damage_columns(size_t volume, uint64_t distance, bool from_end)
{
	struct buf names = {0};
	char path[32], folder[64], file_path[128];

	blobs_fixture_path(volume, path);
	(void)snprintf(folder, sizeof(folder), "%s/columns", path);
	assert_int_equal(io_list(folder, &names), ERR_OK);
	for (size_t i = 0; i < names.size; i += strlen((const char *)names.data + i) + 1) {
		struct env_file *file = NULL;
		struct env_stat stat;
		uint64_t at;
		uint8_t byte;

		(void)snprintf(file_path, sizeof(file_path), "%s/%s", folder,
			       (const char *)names.data + i);
		assert_int_equal(io_open(file_path, ENV_OPEN_WRITE, &file), ERR_OK);
		assert_int_equal(io_stat_file(file, &stat), ERR_OK);
		at = from_end ? stat.size - distance : LOG_HEADER_SIZE + distance;
		assert_int_equal(io_read_exact(file, at, &byte, 1), ERR_OK);
		byte ^= 0x10;
		assert_int_equal(io_write_sync(file, at, bytes_make(&byte, 1)), ERR_OK);
		io_close(&file);
	}
	buf_finish(&names);
}

static bool damage_end;
static uint64_t read_elsewhere;

static WAITS void rot(void *argument)
{
	struct blobs_status status;

	(void)argument;
	fixture.options.passive = true;
	open_fresh();
	put_many(10, 9000);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	put_many(10, 9000);
	/* While serving: sealed ones are decoded, open ones come from the mirror. */
	damage_columns(lost_volume, 700, damage_end);
	blobs_fixture_check(&fixture);
	blobs_get_status(fixture.blobs, &status);
	read_elsewhere += status.degraded_reads + status.mirror_reads;
	blobs_fixture_close(&fixture);
	/* After a start the open set is found damaged, and evacuated. */
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_unsealed_old, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_rot_on_one_volume(void **state)
{
	(void)state;
	read_elsewhere = 0;
	for (lost_volume = 0; lost_volume < 3; lost_volume++) {
		damage_end = false;
		run(40 + lost_volume, 3, rot);
		/* The trailers of sealed columns, the last records of open ones. */
		damage_end = true;
		run(50 + lost_volume, 3, rot);
	}
	assert_true(read_elsewhere > 0);
}

/* ---- memory ---- */

static uint64_t failing_allocation;
static bool allocation_failed;

static WAITS void run_out_of_memory(void *argument)
{
	uint64_t before;
	enum err err;

	(void)argument;
	fixture.options.passive = true;
	open_fresh();
	put_many(2, 9000);
	before = memory_allocations();
	memory_fail_after(failing_allocation);
	err = blobs_fixture_put(&fixture, 9000, 0);
	if (err == ERR_OK)
		err = blobs_settle(fixture.blobs);
	if (err == ERR_OK)
		err = blobs_fixture_get(&fixture, 0);
	memory_fail_after(UINT64_MAX);
	allocation_failed = memory_allocations() - before > failing_allocation;
	assert_true(err == ERR_OK || err == ERR_NOMEM || err == ERR_UNAVAILABLE);
	put_many(1, 5000);
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	failing_allocation = 0;
	do
		run(60, 3, run_out_of_memory);
	while (allocation_failed && ++failing_allocation < 5000);
	print_message("%llu allocations\n", (unsigned long long)failing_allocation);
	assert_true(failing_allocation > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_get),
		cmocka_unit_test(test_put_large),
		cmocka_unit_test(test_seal),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_lose_a_volume),
		cmocka_unit_test(test_lose_two_of_six),
		cmocka_unit_test(test_a_slow_disk_delays_nobody),
		cmocka_unit_test(test_large_blobs_beside_a_slow_disk),
		cmocka_unit_test(test_rot_on_one_volume),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
