/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Volumes lost for good, files and bytes damaged, one after the other and
 * together: repair brings every set back to all its columns as long as k of
 * them can be had, everything acknowledged reads byte for byte all the while,
 * and what goes beyond that costs the blobs concerned and no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "engine/set/column_check.h"
#include "engine/volume/log.h"
#include "tests/sim/plant.h"
#include "tests/support/blobs_fixture.h"

static struct blobs_fixture fixture;

static void run(uint64_t seed, size_t volume_count, bool spread, void (*body)(void *argument))
{
	for (int journaled = 0; journaled < 2; journaled++) {
		struct sim *sim = sim_create(seed, NULL);

		memset(&fixture, 0, sizeof(fixture));
		(void)sim_add_node(sim);
		blobs_fixture_add_disks(&fixture, sim, volume_count);
		fixture.journaled = journaled != 0;
		fixture.spread = spread;
		fixture.options.passive = true;
		fixture.options.column_size = 64 * 1024;
		assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
		sim_finish(&sim);
	}
}

static WAITS void open_store(void)
{
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
}

/* Some sealed sets, all of them whole. */
static WAITS void fill_store(void)
{
	blobs_fixture_format(&fixture);
	open_store();
	for (size_t i = 0; i < 120; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 3000 + i * 97, 0), ERR_OK);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
}

static struct blobs_status status_now(void)
{
	struct blobs_status status;

	blobs_get_status(fixture.blobs, &status);
	return status;
}

/* ---- what lies on the disks ---- */

struct column_file {
	char path[96];
	uint64_t set, size;
	uint8_t column;
	enum column_kind kind;
};

static uint64_t fault_count;

static void count_fault(void *context, const struct column_fault_report *report)
{
	const struct column_file *file = context;

	print_error("%s: %s at %llu\n", file->path, column_fault_name(report->fault),
		    (unsigned long long)report->offset);
	fault_count++;
}

static WAITS size_t list_columns(size_t volume, struct column_file *out, size_t limit)
{
	char path[64];
	struct buf names = {0};
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "/d%zu/v/columns", volume);
	if (io_list(path, &names) != ERR_OK)
		return 0;
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		struct column_file *file = &out[count];
		struct env_stat stat;

		assert_true(count < limit);
		(void)snprintf(file->path, sizeof(file->path), "%s/%s", path,
			       (const char *)names.data + at);
		assert_int_equal(column_parse_name((const char *)names.data + at, &file->set,
						   &file->column, &file->kind),
				 ERR_OK);
		assert_int_equal(io_stat(file->path, &stat), ERR_OK);
		file->size = stat.size;
		count++;
	}
	buf_finish(&names);
	return count;
}

#define COLUMNS_MAX 64

/* Every file of every volume is a sealed column without a fault; returns how many there are. */
static WAITS size_t check_disks(void)
{
	static struct column_file files[COLUMNS_MAX];
	size_t total = 0;

	fault_count = 0;
	for (size_t i = 0; i < fixture.volume_count; i++) {
		size_t count = list_columns(i, files, COLUMNS_MAX);

		for (size_t j = 0; j < count; j++) {
			const struct column_check_options options = {.set = files[j].set,
								     .column = files[j].column,
								     .kind = files[j].kind,
								     .fault = count_fault,
								     .context = &files[j]};
			struct env_file *file = NULL;
			struct column_check check;

			assert_int_equal(io_open(files[j].path, 0, &file), ERR_OK);
			assert_int_equal(column_check(file, &options, &check), ERR_OK);
			assert_true(check.sealed);
			io_close(&file);
		}
		total += count;
	}
	assert_int_equal(fault_count, 0);
	return total;
}

static WAITS void damage(const char *path, uint64_t offset, size_t size)
{
	uint8_t bytes[256];
	struct env_file *file = NULL;

	assert_true(size <= sizeof(bytes));
	assert_int_equal(io_open(path, ENV_OPEN_WRITE, &file), ERR_OK);
	assert_int_equal(io_read_exact(file, offset, bytes, size), ERR_OK);
	for (size_t i = 0; i < size; i++)
		bytes[i] ^= 0x5a;
	assert_int_equal(io_write_sync(file, offset, bytes_make(bytes, size)), ERR_OK);
	io_close(&file);
}

/* In each column file of the volume that is of this kind. */
static WAITS size_t damage_volume(size_t volume, enum column_kind kind, uint64_t offset)
{
	static struct column_file files[COLUMNS_MAX];
	size_t count = list_columns(volume, files, COLUMNS_MAX), damaged = 0;

	for (size_t i = 0; i < count; i++) {
		if (files[i].kind != kind || files[i].size < offset + 2000)
			continue;
		damage(files[i].path, offset, 64);
		damaged++;
	}
	return damaged;
}

static void expect_whole(unsigned tolerated)
{
	const struct blobs_status status = status_now();

	assert_int_equal(status.repair.sets_degraded, 0);
	assert_int_equal(status.repair.columns_missing, 0);
	assert_int_equal(status.repair.columns_damaged, 0);
	assert_int_equal(status.repair.bytes_left, 0);
	assert_int_equal(status.volumes_tolerated, tolerated);
}

/* ---- volumes ---- */

/* Four volumes, sets on three of them: one after the other goes, to the last but two. */
static WAITS void lose_one_by_one(void *argument)
{
	size_t columns;

	(void)argument;
	fill_store();
	columns = check_disks();
	blobs_fixture_lose(&fixture, 1);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(1);
	assert_true(status_now().repair.columns_rebuilt > 0);
	assert_int_equal(check_disks(), columns);
	blobs_fixture_check(&fixture);
	/* Now every set lies on the three that are left. */
	blobs_fixture_lose(&fixture, 3);
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_UNAVAILABLE);
	assert_true(status_now().repair.sets_degraded > 0);
	assert_int_equal(status_now().repair.sets_degraded, status_now().repair.sets_exposed);
	assert_int_equal(status_now().repair.columns_waiting, status_now().repair.columns_missing);
	assert_int_equal(status_now().volumes_tolerated, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_lose_one_by_one(void **state)
{
	(void)state;
	run(33, 4, false, lose_one_by_one);
}

/* Three volumes: what is lost comes back when an empty volume takes the place. */
static WAITS void replace(void *argument)
{
	size_t columns;

	(void)argument;
	fill_store();
	columns = check_disks();
	blobs_fixture_lose(&fixture, 2);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_UNAVAILABLE);
	blobs_fixture_close(&fixture);
	blobs_fixture_replace(&fixture, 2, 1);
	open_store();
	/* What is on it is nothing yet, whatever the layout says. */
	assert_int_equal(status_now().volumes_tolerated, 0);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(1);
	assert_int_equal(check_disks(), columns);
	blobs_fixture_lose(&fixture, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
	/* And it is found again by the next start. */
	open_store();
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_replace(void **state)
{
	(void)state;
	run(22, 3, false, replace);
}

/* A volume that was away while its columns were made anew elsewhere gives its own up. */
static WAITS void come_back(void *argument)
{
	size_t columns;

	(void)argument;
	fill_store();
	columns = check_disks();
	blobs_fixture_close(&fixture);
	assert_int_equal(io_rename("/d0/v", "/d0/away"), ERR_OK);
	open_store();
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(1);
	blobs_fixture_close(&fixture);
	assert_int_equal(io_rename("/d0/away", "/d0/v"), ERR_OK);
	open_store();
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(1);
	/* Without a journal nobody remembers that they were given up: of two that are right one goes. */
	assert_int_equal(check_disks(), columns);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_come_back(void **state)
{
	(void)state;
	run(23, 4, false, come_back);
}

/* ---- damage ---- */

static WAITS void rot(void *argument)
{
	static const enum column_kind kinds[] = {COLUMN_DATA, COLUMN_PARITY};

	(void)argument;
	fill_store();
	for (size_t i = 0; i < 2; i++) {
		struct blobs_status before = status_now();
		size_t damaged = 0;

		/* In one volume only, as in the contract. */
		damaged = damage_volume(0, kinds[i], LOG_HEADER_SIZE + 20000);
		assert_true(damaged > 0);
		blobs_fixture_check(&fixture);
		if (kinds[i] == COLUMN_PARITY)
			break;
		/* What the reads have met is repaired without being asked for by name. */
		assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
		expect_whole(1);
		assert_int_equal(status_now().repair.columns_rebuilt,
				 before.repair.columns_rebuilt + damaged);
		check_disks();
	}
	blobs_fixture_close(&fixture);
}

static void test_rot(void **state)
{
	(void)state;
	run(24, 3, false, rot);
}

/* What nobody reads, the scrub does: parity, indexes, trailers. */
static WAITS void scrub(void *argument)
{
	struct blobs_status status;

	(void)argument;
	fill_store();
	assert_true(damage_volume(0, COLUMN_PARITY, LOG_HEADER_SIZE + 20000) > 0);
	assert_true(damage_volume(0, COLUMN_DATA, LOG_HEADER_SIZE + 20000) > 0);
	assert_int_equal(blobs_scrub_run(fixture.blobs), ERR_OK);
	status = status_now();
	assert_true(status.scrub.faults[COLUMN_FAULT_PARITY] > 0);
	assert_true(status.scrub.faults[COLUMN_FAULT_ROTTEN] > 0);
	assert_int_equal(status.scrub.rounds, 1);
	assert_int_equal(status.scrub.columns_checked, status.scrub.columns_total);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(1);
	check_disks();
	assert_int_equal(blobs_scrub_run(fixture.blobs), ERR_OK);
	assert_memory_equal(status_now().scrub.faults, status.scrub.faults,
			    sizeof(status.scrub.faults));
	blobs_fixture_close(&fixture);
}

static void test_scrub(void **state)
{
	(void)state;
	run(27, 3, false, scrub);
}

/* A volume is lost and what is left of the sets has rotted: two parity columns cover both. */
static WAITS void lost_and_rotten(void *argument)
{
	(void)argument;
	fill_store();
	assert_int_equal(status_now().profile.m, 2);
	(void)damage_volume(0, COLUMN_DATA, LOG_HEADER_SIZE + 20000);
	(void)damage_volume(0, COLUMN_PARITY, LOG_HEADER_SIZE + 20000);
	blobs_fixture_lose(&fixture, 1);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	expect_whole(2);
	blobs_fixture_check(&fixture);
	/* What was made anew came from what had not rotted. */
	blobs_fixture_lose(&fixture, 2);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_lost_and_rotten(void **state)
{
	(void)state;
	run(25, 5, true, lost_and_rotten);
}

/* How many are gone; every other one is served, and nothing is made up. */
static WAITS size_t count_lost(void)
{
	size_t lost = 0;

	for (size_t i = 0; i < fixture.known_count; i++) {
		enum err err = blobs_fixture_get(&fixture, i);

		assert_true(err == ERR_OK || err == ERR_CORRUPT);
		lost += err == ERR_CORRUPT;
	}
	return lost;
}

/* More than the parity covers: those blobs are lost, and what is left is whole again. */
static WAITS void too_much(void *argument)
{
	size_t lost;

	(void)argument;
	fill_store();
	for (size_t i = 0; i < 3; i++)
		(void)damage_volume(i, COLUMN_DATA, LOG_HEADER_SIZE + 20000);
	for (size_t i = 0; i < 3; i++)
		(void)damage_volume(i, COLUMN_PARITY, LOG_HEADER_SIZE + 20000);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	lost = count_lost();
	assert_true(lost > 0 && lost < fixture.known_count / 4);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	assert_true(status_now().repair.sets_salvaged > 0);
	assert_int_equal(status_now().repair.sets_unrecoverable, 0);
	assert_int_equal(status_now().records_lost, lost);
	expect_whole(1);
	check_disks();
	assert_int_equal(count_lost(), lost);
	blobs_fixture_close(&fixture);
	/* It is said on the disks, and said once. */
	open_store();
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	assert_int_equal(status_now().records_lost, 0);
	assert_int_equal(count_lost(), lost);
	blobs_fixture_close(&fixture);
}

static void test_too_much(void **state)
{
	(void)state;
	run(26, 3, false, too_much);
}

/* A rebuild that takes known rot and does not look at what it made must not pass for a repair. */
static WAITS void planted(void *argument)
{
	(void)argument;
	fill_store();
	(void)damage_volume(0, COLUMN_DATA, LOG_HEADER_SIZE + 20000);
	(void)damage_volume(0, COLUMN_PARITY, LOG_HEADER_SIZE + 20000);
	blobs_fixture_lose(&fixture, 1);
	plant_set(PLANT_repair_from_rotten, true);
	(void)!blobs_repair(fixture.blobs);
	plant_set(PLANT_repair_from_rotten, false);
	blobs_fixture_lose(&fixture, 2);
	for (size_t i = 0; i < fixture.known_count; i++)
		fault_count += blobs_fixture_get(&fixture, i) != ERR_OK;
	blobs_fixture_close(&fixture);
}

static void test_planted(void **state)
{
	(void)state;
	plant_reset();
	fault_count = 0;
	run(25, 5, true, planted);
	assert_true(plant_hits(PLANT_repair_from_rotten) > 0);
	assert_true(fault_count > 0);
	plant_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lose_one_by_one), cmocka_unit_test(test_replace),
		cmocka_unit_test(test_come_back),	cmocka_unit_test(test_rot),
		cmocka_unit_test(test_lost_and_rotten), cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_planted),		cmocka_unit_test(test_scrub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
