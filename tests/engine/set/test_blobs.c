/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_get), cmocka_unit_test(test_put_large),
		cmocka_unit_test(test_seal),	    cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_lose_a_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
