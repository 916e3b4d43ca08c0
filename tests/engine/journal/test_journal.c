/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/journal_fixture.h"

struct world {
	struct sim *sim;
	struct store store;
	struct store_read read;
};

static struct world *world_start(size_t volume_count)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->sim = sim_simple();
	store_init(&world->store, world->sim, volume_count);
	return world;
}

static void world_run(struct world *world, void (*run)(void *argument))
{
	assert_int_equal(sim_run_task(world->sim, run, world), ERR_OK);
}

static void world_finish(struct world *world)
{
	vector_finish(&world->read.seen);
	sim_finish(&world->sim);
	free(world);
}

static void world_format(struct world *world)
{
	for (size_t i = 0; i < world->store.volume_count; i++)
		store_format(&world->store, i);
}

/* ---- the plain way ---- */

static void assert_sequence(struct world *world, struct id128 stream, unsigned count)
{
	assert_int_equal(store_read(&world->store, stream, NULL, &world->read), ERR_OK);
	assert_true(world->read.complete);
	assert_int_equal(world->read.count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(world->read.numbers[i], i);
}

static void append_and_read(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(store_append(store, store_stream(1), i, i * 100), ERR_OK);
	assert_sequence(world, store_stream(1), 20);
	assert_sequence(world, store_stream(2), 0);
	store_close(store);
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 20);
	store_close(store);
}

static void test_append_and_read(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, append_and_read);
	world_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
