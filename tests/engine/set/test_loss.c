/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Copies that are damaged while others are away: what a silent volume has is no
 * loss, is taken over when it comes back, and what nobody has is a loss of that
 * blob alone.
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

#define BLOB_COUNT 12u
#define MIDDLE 4u
#define LAST (BLOB_COUNT - 1)
/* From the id in a record's header to somewhere in its payload. */
#define INTO_PAYLOAD 300u

static struct blobs_fixture fixture;

/* What one test does, as its task finds it. */
static struct {
	size_t blob;	      /* whose record is damaged */
	size_t damaged, away; /* volumes */
	bool came_true;	      /* the volumes did hold copies of it */
} plan;

static struct sim *start(uint64_t seed, bool journaled)
{
	struct sim *sim = sim_create(seed, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	fixture.options.passive = true;
	fixture.journaled = journaled;
	return sim;
}

static WAITS void move(size_t volume, const char *from, const char *to)
{
	char path[32], to_path[32], root[32];

	(void)snprintf(path, sizeof(path), "/d%zu/%s", volume, from);
	(void)snprintf(to_path, sizeof(to_path), "/d%zu/%s", volume, to);
	(void)snprintf(root, sizeof(root), "/d%zu", volume);
	assert_int_equal(io_rename(path, to_path), ERR_OK);
	assert_int_equal(io_sync_directory(root), ERR_OK);
}

/* Where the blob's id stands last in the file; 0: nowhere. */
static WAITS uint64_t find_id(struct env_file *file, struct id128 id)
{
	struct env_stat stat;
	uint8_t *bytes;
	uint64_t found = 0;

	assert_int_equal(io_stat_file(file, &stat), ERR_OK);
	bytes = malloc(stat.size + 1);
	assert_non_null(bytes);
	assert_int_equal(io_read_exact(file, 0, bytes, stat.size), ERR_OK);
	for (uint64_t at = 0; at + sizeof(id) + INTO_PAYLOAD < stat.size; at++)
		if (memcmp(bytes + at, id.octets, sizeof(id)) == 0)
			found = at;
	free(bytes);
	return found;
}

static WAITS bool damage_in(const char *path, struct id128 id)
{
	struct env_file *file = NULL;
	uint64_t at;
	uint8_t byte;

	assert_int_equal(io_open(path, ENV_OPEN_WRITE, &file), ERR_OK);
	at = find_id(file, id);
	if (at != 0) {
		at += INTO_PAYLOAD;
		assert_int_equal(io_read_exact(file, at, &byte, 1), ERR_OK);
		byte ^= 0x10;
		assert_int_equal(io_write_sync(file, at, bytes_make(&byte, 1)), ERR_OK);
	}
	io_close(&file);
	return at != 0;
}

/* Damages the blob's record on a volume; false when it has none. */
static WAITS bool damage(size_t volume, size_t blob)
{
	struct buf names = {0};
	char folder[64], path[128];
	bool damaged = false;

	(void)snprintf(folder, sizeof(folder), "/d%zu/v/columns", volume);
	assert_int_equal(io_list(folder, &names), ERR_OK);
	for (size_t i = 0; i < names.size; i += strlen((const char *)names.data + i) + 1) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, (const char *)names.data + i);
		damaged |= damage_in(path, fixture.known[blob].ref.id);
	}
	buf_finish(&names);
	return damaged;
}

static WAITS void put_all(void)
{
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < BLOB_COUNT; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 9000 + i * 64, 0), ERR_OK);
	blobs_fixture_close(&fixture);
}

/* A life that finishes what it can. Returns the records that it gave up. */
static WAITS uint64_t settle(void)
{
	struct blobs_status status;

	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	(void)!blobs_settle(fixture.blobs);
	blobs_get_status(fixture.blobs, &status);
	blobs_fixture_close(&fixture);
	return status.records_lost;
}

/* All but the one must come back; returns what reading that one says. */
static WAITS enum err check_but(size_t blob)
{
	enum err err = ERR_OK;

	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < fixture.known_count; i++) {
		enum err read = blobs_fixture_get(&fixture, i);

		if (i == blob)
			err = read;
		else
			assert_int_equal(read, ERR_OK);
	}
	blobs_fixture_close(&fixture);
	return err;
}

/* ---- one copy is damaged, the other is away ---- */

static WAITS void damage_beside_an_absence(void *argument)
{
	enum err err;

	(void)argument;
	put_all();
	move(plan.away, "v", "away");
	/* Where both copies were elsewhere there is nothing to see. */
	plan.came_true = damage(plan.damaged, plan.blob);
	assert_int_equal(settle(), 0);
	err = check_but(plan.blob);
	plan.came_true &= err != ERR_OK;
	assert_int_equal(err, plan.came_true ? ERR_UNAVAILABLE : ERR_OK);
	/* Once more, so that nothing depends on the life that evacuated. */
	assert_int_equal(settle(), 0);
	move(plan.away, "away", "v");
	assert_int_equal(check_but(plan.blob), ERR_OK);
	assert_int_equal(settle(), 0);
	assert_int_equal(check_but(plan.blob), ERR_OK);
}

/* Nothing is left of the sets that had to be given up. */
static WAITS void check_removed(void *argument)
{
	struct buf names = {0};

	(void)argument;
	for (size_t i = 0; i < fixture.volume_count; i++) {
		char folder[64];

		(void)snprintf(folder, sizeof(folder), "/d%zu/v/columns", i);
		buf_clear(&names);
		assert_int_equal(io_list(folder, &names), ERR_OK);
		for (size_t at = 0; at < names.size;
		     at += strlen((const char *)names.data + at) + 1)
			assert_null(strstr((const char *)names.data + at, ".mir"));
	}
	buf_finish(&names);
}

static void each_pair(uint64_t seed, void (*body)(void *argument), unsigned *came_true)
{
	for (size_t i = 0; i < 9; i++) {
		struct sim *sim;

		plan.damaged = i / 3;
		plan.away = i % 3;
		if (plan.damaged == plan.away)
			continue;
		sim = start(seed, i % 2 != 0);
		plan.came_true = false;
		assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
		assert_int_equal(sim_run_task(sim, check_removed, NULL), ERR_OK);
		sim_finish(&sim);
		*came_true += plan.came_true;
	}
}

static void test_what_is_away_is_not_lost(void **state)
{
	unsigned came_true = 0;

	(void)state;
	for (plan.blob = 0; plan.blob < BLOB_COUNT; plan.blob++)
		each_pair(1 + plan.blob, damage_beside_an_absence, &came_true);
	print_message("%u records had their last copy away\n", came_true);
	assert_true(came_true >= BLOB_COUNT);
}

/* ---- every copy is gone ---- */

static WAITS void damage_every_copy(void *argument)
{
	unsigned copies = 0;

	(void)argument;
	put_all();
	for (size_t i = 0; i < 3; i++)
		copies += damage(i, plan.blob);
	assert_int_equal(copies, 2);
	assert_int_equal(settle(), 1);
	assert_int_equal(check_but(plan.blob), ERR_CORRUPT);
	assert_int_equal(settle(), 0);
	assert_int_equal(check_but(plan.blob), ERR_CORRUPT);
}

static void test_an_explicit_loss(void **state)
{
	(void)state;
	plan.blob = MIDDLE;
	for (uint64_t seed = 40; seed < 44; seed++) {
		struct sim *sim = start(seed, seed % 2 != 0);

		assert_int_equal(sim_run_task(sim, damage_every_copy, NULL), ERR_OK);
		sim_finish(&sim);
	}
}

/* At the ends of two files: who was never acknowledged, and who was, looks the same. */
static WAITS void damage_both_tails(void *argument)
{
	unsigned copies = 0;

	(void)argument;
	put_all();
	for (size_t i = 0; i < 3; i++)
		copies += damage(i, LAST);
	assert_int_equal(copies, 2);
	(void)settle();
	assert_int_not_equal(check_but(LAST), ERR_OK);
	assert_int_not_equal(check_but(LAST), ERR_UNAVAILABLE);
}

static void test_two_tails_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 50; seed < 54; seed++) {
		struct sim *sim = start(seed, seed % 2 != 0);

		assert_int_equal(sim_run_task(sim, damage_both_tails, NULL), ERR_OK);
		sim_finish(&sim);
	}
}

/* ---- a volume that is taken out of the layout ---- */

static WAITS void lose_for_good(void *argument)
{
	enum err err;

	(void)argument;
	put_all();
	plan.came_true = damage(plan.damaged, plan.blob);
	fixture.volume_count = 2;
	/* It was in the columns of that volume, and here nothing says its name any more. */
	assert_true(settle() <= 1);
	err = check_but(plan.blob);
	plan.came_true &= err != ERR_OK;
	assert_true(err == ERR_OK || err == ERR_CORRUPT || err == ERR_NOTFOUND);
	assert_int_equal(settle(), 0);
}

static void test_a_volume_gone_for_good(void **state)
{
	unsigned came_true = 0;

	(void)state;
	for (plan.blob = 0; plan.blob < BLOB_COUNT; plan.blob++)
		for (plan.damaged = 0; plan.damaged < 2; plan.damaged++) {
			struct sim *sim = start(60 + plan.blob, plan.damaged != 0);

			assert_int_equal(sim_run_task(sim, lose_for_good, NULL), ERR_OK);
			sim_finish(&sim);
			came_true += plan.came_true;
		}
	print_message("%u records were lost with the volume\n", came_true);
	assert_true(came_true > 0);
}

/* ---- at every moment of a set's end ---- */

static WAITS void put_only(void *argument)
{
	(void)argument;
	put_all();
}

static WAITS void settle_only(void *argument)
{
	(void)argument;
	if (blobs_fixture_open(&fixture) != ERR_OK)
		return;
	(void)!blobs_settle(fixture.blobs);
	blobs_fixture_close(&fixture);
}

static WAITS void damage_and_return(void *argument)
{
	(void)argument;
	plan.came_true = damage(plan.damaged, plan.blob);
	move(plan.away, "v", "away");
	assert_int_equal(settle(), 0);
	move(plan.away, "away", "v");
	assert_int_equal(check_but(plan.blob), ERR_OK);
	assert_int_equal(settle(), 0);
	assert_int_equal(check_but(plan.blob), ERR_OK);
}

/* False when the work ended before the step. */
static bool cut_at(struct sim *sim, uint64_t step)
{
	struct sim_node *node = sim->nodes[0];
	bool cut;

	node->crash_at = node->step_count + step;
	node->crash_outcome = SIM_CRASH_DROP_ALL;
	assert_int_equal(sim_run_task(sim, settle_only, NULL), ERR_OK);
	cut = !sim_is_running(node);
	node->crash_at = 0;
	if (!cut)
		sim_crash(node, SIM_CRASH_DROP_ALL);
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
	return cut;
}

/* The set is being sealed when the power fails; then one volume is away and another damaged. */
static void test_damage_at_every_step_of_sealing(void **state)
{
	unsigned checked = 0;

	(void)state;
	plan.blob = MIDDLE;
	for (size_t i = 0; i < 9; i++) {
		bool cut = true;

		plan.damaged = i / 3;
		plan.away = i % 3;
		for (uint64_t step = 1; cut && plan.damaged != plan.away; step++) {
			struct sim *sim = start(70, false);

			assert_int_equal(sim_run_task(sim, put_only, NULL), ERR_OK);
			cut = cut_at(sim, step);
			assert_int_equal(sim_run_task(sim, damage_and_return, NULL), ERR_OK);
			sim_finish(&sim);
			checked += plan.came_true;
		}
	}
	print_message("%u cuts\n", checked);
	assert_true(checked > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_away_is_not_lost),
		cmocka_unit_test(test_an_explicit_loss),
		cmocka_unit_test(test_two_tails_at_once),
		cmocka_unit_test(test_a_volume_gone_for_good),
		cmocka_unit_test(test_damage_at_every_step_of_sealing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
