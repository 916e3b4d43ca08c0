/* SPDX-License-Identifier: MPL-2.0 */
/* Volumes without room: what uploads are told, what evacuations leave alone, what the log says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/blobs_fixture.h"

static struct blobs_fixture fixture;

/* As engine.c does. */
static void volume_changed(struct volume *volume, void *context)
{
	struct layout_volume *entry = layout_find(&fixture.layout, volume_id(volume));

	(void)context;
	entry->failed = volume_state(volume) == VOLUME_FAILED;
	entry->full = volume_state(volume) == VOLUME_FULL;
	if (fixture.blobs != NULL)
		blobs_layout_changed(fixture.blobs);
}

static WAITS void open_watched(void)
{
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < fixture.open_count; i++)
		volume_watch(fixture.volumes[i], volume_changed, NULL);
}

/* Leaves so much above the reserve of every volume. */
static void leave_room(uint64_t size)
{
	for (size_t i = 0; i < fixture.open_count; i++) {
		uint64_t total, free_space;

		/* Full is left again far above the reserve only. */
		volume_set_reserve(fixture.volumes[i], 1);
		volume_space(fixture.volumes[i], &total, &free_space);
		volume_set_reserve(fixture.volumes[i], free_space - size);
	}
}

static void run(uint64_t seed, FILE *trace, void (*body)(void *argument))
{
	const struct sim_options options = {.trace = trace};
	struct sim *sim = sim_create(seed, &options);

	memset(&fixture, 0, sizeof(fixture));
	fixture.journaled = true;
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
	sim_finish(&sim);
}

/* ---- uploads ---- */

static WAITS void fill_up(void *argument)
{
	enum err err = ERR_OK;

	(void)argument;
	blobs_fixture_format(&fixture);
	open_watched();
	leave_room(200 * 1024);
	/* The first that do not fit meet it in the middle, later ones at the start. */
	for (int i = 0; err == ERR_OK && i < 100; i++)
		err = blobs_fixture_put(&fixture, 30000, 0);
	assert_int_equal(err, ERR_NOSPACE);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(task_sleep(3000), ERR_OK);
		assert_int_equal(blobs_fixture_put(&fixture, 30000, 0), ERR_NOSPACE);
	}
	blobs_fixture_check(&fixture);
	/* Too few volumes is another trouble, full or not. */
	blobs_fixture_lose(&fixture, 0);
	blobs_fixture_lose(&fixture, 1);
	assert_int_equal(blobs_fixture_put(&fixture, 30000, 0), ERR_UNAVAILABLE);
	blobs_fixture_close(&fixture);
}

static void test_full_volumes_have_no_space(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 9; seed++)
		run(seed, NULL, fill_up);
}

/* ---- evacuations ---- */

static uint64_t free_space_of(size_t index)
{
	uint64_t total, free_space;

	volume_space(fixture.volumes[index], &total, &free_space);
	return free_space;
}

static WAITS void evacuate_without_room(void *argument)
{
	uint64_t before[BLOBS_FIXTURE_VOLUMES];
	struct blobs_status status;

	(void)argument;
	fixture.options.passive = true;
	blobs_fixture_format(&fixture);
	open_watched();
	for (int i = 0; i < 12; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 30000, 0), ERR_OK);
	blobs_fixture_lose(&fixture, 0);
	blobs_fixture_close(&fixture);
	fixture.options.passive = false;
	open_watched();
	/* What the start gave back is seen by the next look. */
	leave_room(0);
	assert_int_equal(task_sleep(8000), ERR_OK);
	/* Room for a message, not for the set. */
	leave_room(150 * 1024);
	for (size_t i = 0; i < fixture.open_count; i++)
		before[i] = free_space_of(i);
	assert_int_not_equal(blobs_settle(fixture.blobs), ERR_OK);
	assert_int_equal(task_sleep(120000), ERR_OK);
	for (size_t i = 0; i < fixture.open_count; i++) {
		assert_true(free_space_of(i) + 100 * 1024 > before[i]);
		assert_int_equal(volume_state(fixture.volumes[i]), VOLUME_ACTIVE);
	}
	assert_int_equal(blobs_fixture_put(&fixture, 3000, 0), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_true(status.sets_unsealed_old > 0);
	leave_room(8 << 20);
	assert_int_equal(task_sleep(20000), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_unsealed_old, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		count++;
	}
	return count;
}

static void test_evacuation_waits_for_room(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *trace = open_memstream(&text, &size);

	(void)state;
	assert_non_null(trace);
	run(20, trace, evacuate_without_room);
	(void)fclose(trace);
	/* Two minutes, a pass every five seconds. */
	assert_int_equal(count_of(text, "event=sets-not-finished"), 1);
	assert_non_null(strstr(text, "err=NOSPACE"));
	assert_int_equal(count_of(text, "event=sets-finished"), 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_volumes_have_no_space),
		cmocka_unit_test(test_evacuation_waits_for_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
