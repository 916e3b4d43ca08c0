/* SPDX-License-Identifier: MPL-2.0 */
/* Volumes that answer late, or never: nobody but themselves is to suffer for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/set/blobs_private.h"
#include "tests/support/blobs_fixture.h"

#define FLOOR_MS 20u
#define HEDGE_MS 400u
/* An operation takes longer than any test. */
#define FOR_EVER 100000000u
#define HOUR_MS 3600000u

static struct blobs_fixture fixture;
static size_t slow;

static struct sim *start(uint64_t seed)
{
	struct sim *sim = sim_create(seed, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	fixture.options.hedge_ms = HEDGE_MS;
	fixture.options.hedge_floor_ms = FLOOR_MS;
	return sim;
}

static WAITS void open_warm(void)
{
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (int i = 0; i < 40; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
}

static WAITS uint64_t longest_put(unsigned count)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t start_ms = sim_now_ms(fixture.sim), took_ms;

		assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
		took_ms = sim_now_ms(fixture.sim) - start_ms;
		longest = took_ms > longest ? took_ms : longest;
		assert_int_equal(task_sleep(50), ERR_OK);
	}
	return longest;
}

static bool is_flagged(size_t volume)
{
	return blobs_is_slow(fixture.blobs, blobs_fixture_volume(volume));
}

/* Everything takes a hundred times as long there, for a minute. */
static WAITS void a_hundred_times_slower(void *argument)
{
	uint64_t ordinary_ms;

	(void)argument;
	open_warm();
	ordinary_ms = longest_put(40);
	assert_false(is_flagged(slow));
	fixture.disks[slow]->slow_factor = 100;
	/* The hedge's time, a turn of its timer, and a new set on the others. */
	assert_true(longest_put(400) <= 2 * FLOOR_MS + 4 * ordinary_ms + 10);
	assert_true(is_flagged(slow));
	for (size_t i = 0; i < 3; i++)
		assert_true(i == slow || !is_flagged(i));
	blobs_fixture_check(&fixture);
	fixture.disks[slow]->slow_factor = 1;
	/* The suspicion doubles up to five minutes; what it was paused with comes back then. */
	for (int i = 0; i < 700 && is_flagged(slow); i++) {
		assert_int_equal(task_sleep(1000), ERR_OK);
		assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
	}
	assert_false(is_flagged(slow));
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_a_hundred_times_slower(void **state)
{
	(void)state;
	for (slow = 0; slow < 3; slow++) {
		struct sim *sim = start(10 + slow);

		assert_int_equal(sim_run_task(sim, a_hundred_times_slower, NULL), ERR_OK);
		sim_finish(&sim);
	}
}

/* A disk that hangs while there is writing, finishing and reading. */
static WAITS void hang(void *argument)
{
	bool *done = argument;
	uint64_t start_ms;

	open_warm();
	fixture.disks[slow]->slow_factor = FOR_EVER;
	start_ms = sim_now_ms(fixture.sim);
	assert_true(longest_put(40) <= 4 * HEDGE_MS);
	(void)!blobs_settle(fixture.blobs);
	/* Once for each thing that waits, not once for each set and each record. */
	assert_true(sim_now_ms(fixture.sim) - start_ms < 60000);
	assert_true(longest_put(40) <= 4 * HEDGE_MS);
	assert_true(is_flagged(slow));
	start_ms = sim_now_ms(fixture.sim);
	blobs_fixture_check(&fixture);
	assert_true(sim_now_ms(fixture.sim) - start_ms < 60000);
	*done = true;
}

static bool is_done(void *context)
{
	return *(const bool *)context;
}

static WAITS void close_hung(void *argument)
{
	(void)argument;
	blobs_fixture_close(&fixture);
}

static void test_a_disk_that_hangs(void **state)
{
	(void)state;
	for (slow = 0; slow < 3; slow++) {
		struct sim *sim = start(20 + slow);

		bool done = false;

		/* The store stays open, and with it what works in the background. */
		sim_spawn(sim->nodes[0], "hang", hang, &done);
		assert_int_equal(sim_run_until(sim, is_done, &done, HOUR_MS), ERR_OK);
		/* Only the death of the process frees what such a disk has got. */
		sim_kill(sim->nodes[0]);
		assert_int_equal(sim_run_task(sim, close_hung, NULL), ERR_OK);
		assert_int_equal(sim_unwind(sim->nodes[0]), ERR_OK);
		sim_finish(&sim);
	}
}

/* ---- a set that is full while a disk hangs ---- */

static unsigned acknowledged;

static void put_and_count(void *argument)
{
	(void)argument;
	assert_int_equal(blobs_fixture_put(&fixture, 5000, 0), ERR_OK);
	acknowledged++;
}

/* All at once, and more than the set takes that is being written. */
static WAITS void fill_at_once(void *argument)
{
	const unsigned count = 64;
	uint64_t start_ms;

	open_warm();
	acknowledged = 0;
	fixture.disks[slow]->slow_factor = FOR_EVER;
	start_ms = sim_now_ms(fixture.sim);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(task_spawn(task_sched(), "put", put_and_count, NULL, NULL),
				 ERR_OK);
	while (acknowledged < count && sim_now_ms(fixture.sim) - start_ms < 60000)
		assert_int_equal(task_sleep(10), ERR_OK);
	assert_int_equal(acknowledged, count);
	assert_true(sim_now_ms(fixture.sim) - start_ms <= 8 * HEDGE_MS);
	blobs_fixture_check(&fixture);
	*(bool *)argument = true;
}

static void test_full_while_a_disk_hangs(void **state)
{
	(void)state;
	for (slow = 0; slow < 3; slow++) {
		struct sim *sim = start(30 + slow);
		bool done = false;

		fixture.options.column_size = 64 * 1024;
		sim_spawn(sim->nodes[0], "fill", fill_at_once, &done);
		assert_int_equal(sim_run_until(sim, is_done, &done, HOUR_MS), ERR_OK);
		sim_kill(sim->nodes[0]);
		assert_int_equal(sim_run_task(sim, close_hung, NULL), ERR_OK);
		assert_int_equal(sim_unwind(sim->nodes[0]), ERR_OK);
		sim_finish(&sim);
	}
}

/* ---- a process that ends while a column waits to go ---- */

static struct set_simple_call removal;

static void removed(struct wire_call *call)
{
	assert_int_equal(call->err, ERR_CANCELED);
}

/* The process may end before it is done. */
static void put_one(void *argument)
{
	(void)argument;
	(void)!blobs_fixture_put(&fixture, 5000, 0);
}

/* One record is being written, others wait behind it. */
static const struct open_set *with_several_under_way(void)
{
	const struct open_set *set = fixture.blobs->open_sets;

	while (set != NULL && set->in_flight < 2)
		set = set->next;
	return set;
}

/* The slow volume has records of a set under way, and is told to remove its column. */
static WAITS void remove_while_appending(void *argument)
{
	bool *done = argument;
	const struct open_set *set;

	open_warm();
	fixture.disks[slow]->slow_factor = FOR_EVER;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(task_spawn(task_sched(), "put", put_one, NULL, NULL), ERR_OK);
		assert_int_equal(task_sleep(1), ERR_OK);
	}
	assert_int_equal(task_sleep(10), ERR_OK);
	set = with_several_under_way();
	assert_non_null(set);
	removal = (struct set_simple_call){
		.wire = {.operation = SET_REMOVE,
			 .volume = blobs_fixture_volume(slow),
			 .done = removed},
		.set = set->header.set,
		.uuid = set->header.uuid,
	};
	wire_post(fixture.wire, &removal.wire);
	*done = true;
}

static void test_a_column_that_waits_to_go(void **state)
{
	(void)state;
	for (slow = 0; slow < 3; slow++) {
		struct sim *sim = start(30 + slow);
		bool done = false;

		sim_spawn(sim->nodes[0], "remove", remove_while_appending, &done);
		assert_int_equal(sim_run_until(sim, is_done, &done, HOUR_MS), ERR_OK);
		assert_int_equal(sim_run_for(sim, 100), ERR_OK);
		sim_kill(sim->nodes[0]);
		assert_int_equal(sim_run_task(sim, close_hung, NULL), ERR_OK);
		assert_int_equal(sim_unwind(sim->nodes[0]), ERR_OK);
		assert_true(sim_is_unwound(sim->nodes[0]));
		sim_finish(&sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_hundred_times_slower),
		cmocka_unit_test(test_a_disk_that_hangs),
		cmocka_unit_test(test_full_while_a_disk_hangs),
		cmocka_unit_test(test_a_column_that_waits_to_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
