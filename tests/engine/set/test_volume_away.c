/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Lives of a node that end by power loss, by kill or in order, each with
 * another volume missing: what was missing comes back as it was then. At some
 * moment one volume goes for good, with uploads under way. Never is more than
 * one volume without what it should hold, so whatever was acknowledged must
 * come back in every life.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "tests/support/blobs_fixture.h"

#define LIFE_COUNT 7
#define UPLOADERS 4
#define UPLOADS_EACH 6
#define KILL_WITHIN_MS 400

static struct blobs_fixture fixture;
static struct sim_random chances;
static bool away[BLOBS_FIXTURE_VOLUMES], settles, loses, serving;
static size_t volume_count, wanted_away, gone;
static unsigned life;

static uint64_t below(uint64_t limit)
{
	return sim_random_below(&chances, limit);
}

static WAITS void move(const char *from, const char *to, size_t volume)
{
	char path[32], to_path[32], root[32];

	(void)snprintf(path, sizeof(path), "/d%zu/%s", volume, from);
	(void)snprintf(to_path, sizeof(to_path), "/d%zu/%s", volume, to);
	(void)snprintf(root, sizeof(root), "/d%zu", volume);
	assert_int_equal(io_rename(path, to_path), ERR_OK);
	assert_int_equal(io_sync_directory(root), ERR_OK);
}

static WAITS void take_away(void *argument)
{
	(void)argument;
	for (size_t i = 0; i < volume_count; i++) {
		bool wanted = i == wanted_away && gone == volume_count;

		if (i != gone && wanted != away[i])
			move(wanted ? "v" : "away", wanted ? "away" : "v", i);
		away[i] = wanted;
	}
}

static WAITS void upload(void *argument)
{
	struct group *group = argument;

	for (int i = 0; i < UPLOADS_EACH; i++) {
		size_t size = below(8) == 0 ? below(3 << 20) : below(40000);
		enum err err = blobs_fixture_put(&fixture, size, 100000);

		/* A volume that goes is no reason to refuse. */
		if (err != ERR_OK && !task_canceled())
			print_error("life %u: %s\n", life, err_name(err));
		assert_true(err == ERR_OK || task_canceled());
		if (err != ERR_OK)
			break;
	}
	group_leave(group);
}

static WAITS void live(void *argument)
{
	struct group group = {0};
	enum err err = blobs_fixture_open(&fixture);

	(void)argument;
	if (err != ERR_OK) {
		assert_true(task_canceled());
		return;
	}
	for (int i = 0; i < UPLOADERS; i++) {
		group_enter(&group);
		assert_int_equal(task_spawn(task_sched(), "upload", upload, &group, NULL), ERR_OK);
	}
	if (loses && task_sleep(below(60)) == ERR_OK) {
		gone = below(volume_count);
		blobs_fixture_lose(&fixture, gone);
	}
	group_wait(&group);
	if (settles)
		(void)!blobs_settle(fixture.blobs);
	blobs_fixture_close(&fixture);
}

static WAITS void check(void *argument)
{
	(void)argument;
	fixture.options.passive = true;
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	fixture.options.passive = false;
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void kill_node(void *context)
{
	struct sim_node *node = context;

	if (serving && sim_is_running(node))
		sim_kill(node);
}

/* As the life before left it, everything is there. */
static void begin_life(struct sim *sim)
{
	wanted_away = below(volume_count + 1);
	assert_int_equal(sim_run_task(sim, take_away, NULL), ERR_OK);
	assert_int_equal(sim_run_task(sim, check, NULL), ERR_OK);
}

static void one_life(struct sim *sim)
{
	struct sim_node *node = sim->nodes[0];
	uint64_t ending = below(4);

	settles = below(2) == 0;
	loses = gone == volume_count && wanted_away == volume_count && life > 1 && below(3) == 0;
	if (ending < 2) {
		node->crash_at = node->step_count + 1 + below(below(2) == 0 ? 300 : 3000);
		node->crash_outcome = SIM_CRASH_RANDOM;
	} else if (ending == 2) {
		sim_at(sim, below(KILL_WITHIN_MS * 1000), kill_node, node);
	}
	serving = true;
	assert_int_equal(sim_run_task(sim, live, NULL), ERR_OK);
	serving = false;
	/* What was planned and did not come must not strike the next life. */
	assert_int_equal(sim_run_for(sim, KILL_WITHIN_MS), ERR_OK);
	node->crash_at = 0;
	if (sim_is_running(node))
		sim_crash(node, SIM_CRASH_RANDOM);
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
}

static WAITS void prepare(void *argument)
{
	(void)argument;
	blobs_fixture_format(&fixture);
}

static void lives(uint64_t seed, bool journaled)
{
	struct sim *sim = sim_create(seed, NULL);

	print_message("seed %llu, journaled %d\n", (unsigned long long)seed, journaled);
	memset(&fixture, 0, sizeof(fixture));
	memset(away, 0, sizeof(away));
	sim_random_init(&chances, seed, 77);
	(void)sim_add_node(sim);
	volume_count = gone = 3 + below(2);
	blobs_fixture_add_disks(&fixture, sim, volume_count);
	fixture.options.column_size = 128 << 10;
	fixture.journaled = journaled;
	assert_int_equal(sim_run_task(sim, prepare, NULL), ERR_OK);
	for (life = 0; life < LIFE_COUNT; life++) {
		begin_life(sim);
		one_life(sim);
	}
	begin_life(sim);
	sim_finish(&sim);
}

static void test_lives_with_a_volume_away(void **state)
{
	const char *seeds = getenv("SEEDS"), *first = getenv("SEED");
	uint64_t from = first != NULL ? strtoull(first, NULL, 10) : 1;
	uint64_t count = seeds != NULL ? strtoull(seeds, NULL, 10) : 12;

	(void)state;
	for (uint64_t seed = from; seed < from + count; seed++)
		lives(seed, seed % 2 != 0);
	/* A kill while trailers are written, then a power loss: what was read was not on the disk. */
	if (first == NULL)
		lives(386, false);
}

/*
 * An evacuation to two volumes, cut while the new set has its certificate on one of them only; the
 * start after that is cut at every step; then the volume with the certificate is away.
 */
#define EVACUATED 0u /* away while its set is evacuated */
static size_t sealed_alone;

static WAITS void write_set(void *argument)
{
	(void)argument;
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 9000, 0), ERR_OK);
	blobs_fixture_close(&fixture);
	move("v", "away", EVACUATED);
}

static WAITS void settle(void *argument)
{
	(void)argument;
	if (blobs_fixture_open(&fixture) != ERR_OK)
		return;
	(void)!blobs_settle(fixture.blobs);
	blobs_fixture_close(&fixture);
}

static WAITS uint64_t count_sealed_without(size_t volume)
{
	struct blobs_status status;

	move("v", "away", volume);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	blobs_fixture_close(&fixture);
	move("away", "v", volume);
	return status.sets_sealed;
}

/* Which of the two holds a certificate that the other has not; volume_count: both or none. */
static WAITS void find_sealed_alone(void *argument)
{
	uint64_t first = count_sealed_without(2), second = count_sealed_without(1);

	(void)argument;
	sealed_alone = first == second ? volume_count : first > second ? 1 : 2;
}

static WAITS void check_without_certificate(void *argument)
{
	(void)argument;
	move("away", "v", EVACUATED);
	move("v", "away", sealed_alone);
	settle(NULL);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
	move("away", "v", sealed_alone);
	settle(NULL);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

/* False when the work ended before the step. */
static bool cut_at(struct sim *sim, uint64_t step)
{
	struct sim_node *node = sim->nodes[0];
	bool cut;

	node->crash_at = node->step_count + step;
	node->crash_outcome = SIM_CRASH_DROP_ALL;
	assert_int_equal(sim_run_task(sim, settle, NULL), ERR_OK);
	cut = !sim_is_running(node);
	node->crash_at = 0;
	if (!cut)
		sim_crash(node, SIM_CRASH_DROP_ALL);
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
	return cut;
}

static struct sim *evacuate_until(uint64_t seed, uint64_t step, bool *cut)
{
	struct sim *sim = sim_create(seed, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	volume_count = 3;
	blobs_fixture_add_disks(&fixture, sim, volume_count);
	fixture.options.passive = true;
	fixture.journaled = true;
	assert_int_equal(sim_run_task(sim, write_set, NULL), ERR_OK);
	*cut = cut_at(sim, step);
	return sim;
}

/* Returns how many double cuts it checked. */
static unsigned cut_twice(uint64_t seed, uint64_t step)
{
	unsigned checked = 0;
	bool cut = true;

	for (uint64_t second = 1; cut; second++) {
		struct sim *sim = evacuate_until(seed, step, &cut);

		cut = cut_at(sim, second);
		assert_int_equal(sim_run_task(sim, check_without_certificate, NULL), ERR_OK);
		sim_finish(&sim);
		checked++;
	}
	return checked;
}

static void test_a_lone_certificate(void **state)
{
	unsigned checked = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		bool cut = true;

		for (uint64_t step = 1; cut; step++) {
			struct sim *sim = evacuate_until(seed, step, &cut);

			assert_int_equal(sim_run_task(sim, find_sealed_alone, NULL), ERR_OK);
			sim_finish(&sim);
			if (cut && sealed_alone < volume_count)
				checked += cut_twice(seed, step);
		}
	}
	print_message("%u double cuts\n", checked);
	assert_true(checked > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lives_with_a_volume_away),
		cmocka_unit_test(test_a_lone_certificate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
