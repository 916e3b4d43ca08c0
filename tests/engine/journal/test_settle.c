/* SPDX-License-Identifier: MPL-2.0 */
/* What a reader may visit of what no quorum holds, or not yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/plant.h"
#include "tests/support/cut.h"
#include "tests/support/journal_fixture.h"

#define STREAM store_stream(1)
#define CRAWL 200000u

struct scene {
	struct sim *sim;
	struct store store;
	struct store_read read;
	struct id128 home;
	struct cond changed;
	bool ended;
	enum err err;
	bool shown, gone; /* or acknowledged, and gone: what a planted bug does */
};

static void run(void (*act)(void *argument), struct scene *scene)
{
	*scene = (struct scene){.sim = sim_simple(), .home = {{1}}};
	store_init(&scene->store, scene->sim, 3);
	assert_int_equal(sim_run_task(scene->sim, act, scene), ERR_OK);
	vector_finish(&scene->read.seen);
	sim_finish(&scene->sim);
}

static WAITS void open_new(struct scene *scene)
{
	for (size_t i = 0; i < scene->store.volume_count; i++)
		store_format(&scene->store, i);
	assert_int_equal(store_open(&scene->store), ERR_OK);
}

static WAITS void reopen_without(struct scene *scene, size_t first, size_t second)
{
	store_close(&scene->store);
	for (size_t i = 0; i < scene->store.volume_count; i++)
		scene->store.absent[i] = i == first || i == second;
	assert_int_equal(store_open(&scene->store), ERR_OK);
}

static WAITS size_t count(struct scene *scene)
{
	assert_int_equal(store_read(&scene->store, STREAM, NULL, &scene->read), ERR_OK);
	return scene->read.count;
}

static void slow_down(struct scene *scene, size_t volume, uint64_t factor)
{
	store_disk(&scene->store, volume)->slow_factor = factor;
}

/* ---- written back ---- */

static void show_a_minority(void *argument)
{
	struct scene *scene = argument;

	open_new(scene);
	assert_int_equal(store_append_to(&scene->store, 0, STREAM, 1, "1."), ERR_OK);
	assert_int_equal(store_append_to(&scene->store, 0, STREAM, 2, "2."), ERR_OK);
	scene->shown = count(scene) == 2;
	assert_true(scene->read.complete);
	reopen_without(scene, 0, 0);
	scene->gone = count(scene) != 2;
	store_close(&scene->store);
}

static void test_what_is_shown_stays(void **state)
{
	struct scene scene;

	(void)state;
	run(show_a_minority, &scene);
	assert_true(scene.shown && !scene.gone);
	plant_set(PLANT_minority_shown, true);
	run(show_a_minority, &scene);
	assert_true(scene.shown && scene.gone);
	plant_reset();
}

static void refuse_what_is_written_back(void *argument)
{
	struct scene *scene = argument;

	open_new(scene);
	assert_int_equal(store_append_to(&scene->store, 0, STREAM, 1, "1."), ERR_OK);
	slow_down(scene, 1, CRAWL);
	slow_down(scene, 2, CRAWL);
	assert_int_equal(store_read(&scene->store, STREAM, NULL, &scene->read), ERR_UNAVAILABLE);
	assert_int_equal(scene->read.count, 0);
	slow_down(scene, 1, 1);
	slow_down(scene, 2, 1);
	assert_int_equal(task_sleep(120000), ERR_OK);
	assert_int_equal(count(scene), 1);
	reopen_without(scene, 0, 0);
	assert_int_equal(count(scene), 1);
	store_close(&scene->store);
}

static void test_what_cannot_be_written_back_is_not_shown(void **state)
{
	struct scene scene;

	(void)state;
	run(refuse_what_is_written_back, &scene);
}

/* ---- under way ---- */

static void append(void *argument)
{
	struct scene *scene = argument;

	scene->err = store_append_at(&scene->store, scene->store.writer, STREAM, 1, 1, 100);
	scene->ended = true;
	cond_broadcast(&scene->changed);
}

static WAITS void start_append(struct scene *scene)
{
	scene->ended = false;
	assert_int_equal(task_spawn(task_sched(), "append", append, scene, NULL), ERR_OK);
}

static WAITS enum err await_append(struct scene *scene)
{
	while (!scene->ended)
		assert_int_equal(cond_wait(&scene->changed, TASK_FOREVER), ERR_OK);
	return scene->err;
}

static void look_while_it_is_under_way(void *argument)
{
	struct scene *scene = argument;

	open_new(scene);
	assert_int_equal(store_append(&scene->store, STREAM, 0, 100), ERR_OK);
	slow_down(scene, 1, CRAWL);
	slow_down(scene, 2, CRAWL);
	start_append(scene);
	assert_int_equal(task_sleep(1000), ERR_OK);
	assert_false(scene->ended);
	scene->shown = count(scene) == 2;
	assert_int_equal(await_append(scene), ERR_UNAVAILABLE);
	/* Refused, and sent on all the same. */
	assert_int_equal(count(scene), scene->shown ? 2 : 1);
	assert_int_equal(journal_resolve(scene->store.journal, STREAM), ERR_UNAVAILABLE);
	slow_down(scene, 1, 1);
	slow_down(scene, 2, 1);
	assert_int_equal(task_sleep(120000), ERR_OK);
	assert_int_equal(journal_resolve(scene->store.journal, STREAM), ERR_OK);
	assert_int_equal(count(scene), 2);
	reopen_without(scene, 0, 0);
	assert_int_equal(count(scene), 2);
	store_close(&scene->store);
}

static void test_what_is_under_way_is_not_shown(void **state)
{
	struct scene scene;

	(void)state;
	run(look_while_it_is_under_way, &scene);
	assert_false(scene.shown);
	plant_set(PLANT_minority_shown, true);
	run(look_while_it_is_under_way, &scene);
	assert_true(scene.shown);
	plant_reset();
}

/* Another home was promised the stream: it is not sent any more, and nobody waits for it. */
static void fence_what_is_under_way(void *argument)
{
	struct scene *scene = argument;
	struct promise_result result;

	open_new(scene);
	assert_int_equal(journal_promise(scene->store.journal, STREAM, 2, scene->home, &result),
			 ERR_OK);
	start_append(scene);
	assert_int_equal(await_append(scene), ERR_FENCED);
	assert_int_equal(journal_resolve(scene->store.journal, STREAM), ERR_OK);
	assert_int_equal(count(scene), 0);
	store_close(&scene->store);
}

static void test_nobody_waits_for_what_is_fenced(void **state)
{
	struct scene scene;

	(void)state;
	run(fence_what_is_under_way, &scene);
}

/* ---- what an acknowledgement promises ---- */

static void lose_the_holder(void *argument)
{
	struct scene *scene = argument;
	struct cut cut;

	open_new(scene);
	cut_init(&cut, scene->store.journal);
	cut_all_but(&cut, 0, CUT_MUTE);
	start_append(scene);
	scene->shown = await_append(scene) == ERR_OK;
	/* Its writer ends, and then the one volume that has it. */
	journal_writer_destroy(&scene->store.writer);
	cut_only(&cut, 0, CUT_SILENT);
	scene->gone = count(scene) == 0;
	cut_finish(&cut);
	store_close(&scene->store);
}

static void test_one_replica_acknowledges_nothing(void **state)
{
	struct scene scene;

	(void)state;
	run(lose_the_holder, &scene);
	assert_true(!scene.shown && scene.gone);
	plant_set(PLANT_journal_ack_one_replica, true);
	run(lose_the_holder, &scene);
	assert_true(scene.shown && scene.gone);
	plant_reset();
}

/* ---- alone ---- */

static void read_alone(void *argument)
{
	struct scene *scene = argument;

	open_new(scene);
	assert_int_equal(store_append(&scene->store, STREAM, 0, 100), ERR_OK);
	assert_int_equal(journal_resync(scene->store.journal), ERR_OK);
	reopen_without(scene, 1, 2);
	start_append(scene);
	assert_int_equal(await_append(scene), ERR_UNAVAILABLE);
	/* What was acknowledged is there; what this process knows was not is left out. */
	assert_int_equal(count(scene), 1);
	assert_false(scene->read.complete);
	/* Another process does not know. It shows it; when the others are there they get it. */
	reopen_without(scene, 1, 2);
	assert_int_equal(count(scene), 2);
	reopen_without(scene, SIZE_MAX, SIZE_MAX);
	assert_int_equal(count(scene), 2);
	reopen_without(scene, 0, 0);
	assert_int_equal(count(scene), 2);
	store_close(&scene->store);
}

static void test_one_volume_shows_what_it_holds(void **state)
{
	struct scene scene;

	(void)state;
	run(read_alone, &scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_shown_stays),
		cmocka_unit_test(test_what_cannot_be_written_back_is_not_shown),
		cmocka_unit_test(test_what_is_under_way_is_not_shown),
		cmocka_unit_test(test_nobody_waits_for_what_is_fenced),
		cmocka_unit_test(test_one_replica_acknowledges_nothing),
		cmocka_unit_test(test_one_volume_shows_what_it_holds),
	};

	return cmocka_run_group_tests_name("journal/settle", tests, NULL, NULL);
}
