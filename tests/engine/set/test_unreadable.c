/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Sectors that cannot be read where a column's file begins and ends, at a start:
 * one copy of the header is as good as two, and a file that cannot be read at all
 * is its own set's trouble, not its disk's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "engine/set/blobs_private.h"
#include "engine/set/member_private.h"
#include "engine/volume/log.h"
#include "tests/sim/inode.h"
#include "tests/sim/tree.h"
#include "tests/support/blobs_fixture.h"

#define BLOBS 60

static struct blobs_fixture fixture;

/* Sealed sets, and the store closed. */
static WAITS void fill(void)
{
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < BLOBS; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 3000 + i * 97, 0), ERR_OK);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_fixture_close(&fixture);
}

/* Of the first `limit` sealed columns on volume 0; a negative offset counts from the end. */
static WAITS size_t make_unreadable(int64_t offset, uint64_t size, size_t limit)
{
	struct buf names = {0};
	size_t count = 0;

	assert_int_equal(io_list("/d0/v/columns", &names), ERR_OK);
	for (size_t at = 0; at < names.size && count < limit;
	     at += strlen((char *)names.data + at) + 1) {
		struct sim_inode *inode = NULL;
		struct env_stat stat;
		char path[96];

		(void)snprintf(path, sizeof(path), "/d0/v/columns/%s",
			       (const char *)names.data + at);
		assert_int_equal(io_stat(path, &stat), ERR_OK);
		/* Of the set that is open, and empty. */
		if (stat.size == LOG_HEADER_SIZE)
			continue;
		assert_int_equal(sim_tree_find(&fixture.sim->nodes[0]->tree, path, &inode), ERR_OK);
		sim_inode_make_unreadable(
			inode, offset < 0 ? stat.size + (uint64_t)offset : (uint64_t)offset, size);
		count++;
	}
	buf_finish(&names);
	return count;
}

static size_t unreadable_columns(void)
{
	const struct member *member = fixture.blobs->members[0];

	return member->unreadable.size / sizeof(struct member_unreadable);
}

static WAITS void one_copy(void *argument)
{
	(void)argument;
	fill();
	assert_true(make_unreadable(0, LOG_HEADER_SIZE / 2, SIZE_MAX) > 2);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(unreadable_columns(), 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static WAITS void whole_files(void *argument)
{
	(void)argument;
	fill();
	assert_int_equal(make_unreadable(0, LOG_HEADER_SIZE, 1), 1);
	assert_int_equal(make_unreadable(-1, 1, 2), 2);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(unreadable_columns(), 2);
	assert_int_not_equal(volume_state(fixture.volumes[0]), VOLUME_FAILED);
	blobs_fixture_check(&fixture);
	assert_int_equal(blobs_repair(fixture.blobs), ERR_OK);
	blobs_fixture_close(&fixture);
	/* They were made anew. */
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(unreadable_columns(), 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

/* A disk of which nothing can be read is not served from. */
static WAITS void a_whole_disk(void *argument)
{
	(void)argument;
	fill();
	assert_true(make_unreadable(0, LOG_HEADER_SIZE, SIZE_MAX) >= 8);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	assert_int_equal(volume_state(fixture.volumes[0]), VOLUME_FAILED);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void run(void (*body)(void *argument))
{
	struct sim *sim = sim_create(1, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	fixture.options.passive = true;
	fixture.options.column_size = 16 * 1024;
	assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
	sim_finish(&sim);
}

static void test_one_copy(void **state)
{
	(void)state;
	run(one_copy);
}

static void test_whole_files(void **state)
{
	(void)state;
	run(whole_files);
}

static void test_a_whole_disk(void **state)
{
	(void)state;
	run(a_whole_disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_copy),
		cmocka_unit_test(test_whole_files),
		cmocka_unit_test(test_a_whole_disk),
	};

	return cmocka_run_group_tests_name("set/unreadable", tests, NULL, NULL);
}
