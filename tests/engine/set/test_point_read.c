/* SPDX-License-Identifier: MPL-2.0 */
/* What reading one small blob asks of the disks, counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/format/column.h"
#include "engine/format/record.h"
#include "engine/set/blobs.h"
#include "tests/support/blobs_fixture.h"
#include "tests/support/env_count.h"

#define BLOBS 3000u
#define BLOB_SIZE 5000u

static void assert_cost(struct blobs_fixture *fixture, size_t index, uint64_t calls, uint64_t bytes)
{
	struct env_count count;
	uint64_t all = 0;

	env_count_start(sched_env(task_sched()));
	assert_int_equal(blobs_fixture_get(fixture, index), ERR_OK);
	count = env_count_stop(sched_env(task_sched()));
	for (size_t i = 0; i < sizeof(count.calls) / sizeof(count.calls[0]); i++)
		all += count.calls[i];
	assert_int_equal(all, calls);
	assert_int_equal(count.bytes_read, bytes);
}

/* What is lent is what was read, where it was read to; only what lies in two pieces is copied. */
static void assert_lent(struct blobs_fixture *fixture, size_t index, bool copied)
{
	const struct blob_ref *ref = &fixture->known[index].ref;
	const uint64_t offset = copied ? PIECE_SIZE - 100 : 100;
	struct lent lent = {.holder = NULL};
	struct buf read = {0};

	assert_int_equal(blob_lend(fixture->blobs, ref, offset, 1000, &lent), ERR_OK);
	assert_int_equal(lent.own.size, copied ? 1000 : 0);
	if (!copied)
		assert_ptr_equal(lent.bytes.data, lent.holder->data + RECORD_HEADER_SIZE + offset);
	assert_int_equal(blob_read(fixture->blobs, ref, offset, 1000, &read), ERR_OK);
	assert_true(bytes_equal(lent.bytes, bytes_of_buf(&read)));
	lent_return(&lent);
	buf_finish(&read);
}

static void read_points(void *argument)
{
	struct blobs_fixture *fixture = argument;
	const uint64_t record = record_size(BLOB_SIZE);
	uint64_t pages = 0;

	blobs_fixture_format(fixture);
	assert_int_equal(blobs_fixture_open(fixture), ERR_OK);
	for (unsigned i = 0; i < BLOBS; i++)
		assert_int_equal(blobs_fixture_put(fixture, BLOB_SIZE, 0), ERR_OK);
	/* Open: its place is known. */
	for (unsigned i = 0; i < BLOBS; i += 100)
		assert_cost(fixture, i, 1, record);
	assert_lent(fixture, 0, false);
	assert_int_equal(blobs_fixture_put(fixture, PIECE_SIZE * 2, 0), ERR_OK);
	assert_lent(fixture, BLOBS, true);
	assert_int_equal(blobs_settle(fixture->blobs), ERR_OK);
	assert_lent(fixture, 0, false);
	/* Sealed: a page of the set's index says where, and is remembered. */
	for (unsigned i = 0; i < BLOBS; i += 100)
		assert_int_equal(blobs_fixture_get(fixture, i), ERR_OK);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(blobs_fixture_get(fixture, 100), ERR_OK);
		assert_cost(fixture, 100, 1, record);
	}
	/* After a start nothing is remembered; the guess at the page is good. */
	blobs_fixture_close(fixture);
	assert_int_equal(blobs_fixture_open(fixture), ERR_OK);
	env_count_start(sched_env(task_sched()));
	for (unsigned i = 0; i < BLOBS; i++)
		assert_int_equal(blobs_fixture_get(fixture, i), ERR_OK);
	pages = env_count_stop(sched_env(task_sched())).calls[ENV_IO_READ] - BLOBS;
	print_message("%llu pages for %u blobs\n", (unsigned long long)pages, BLOBS);
	assert_in_range(pages, BLOBS / COLUMN_INDEX_PER_PAGE, BLOBS * 3 / 2);
	blobs_fixture_close(fixture);
}

static void test_a_point_read_is_one_call(void **state)
{
	struct blobs_fixture *fixture = calloc(1, sizeof(*fixture));

	(void)state;
	assert_non_null(fixture);
	fixture->sim = sim_simple();
	fixture->options.column_size = 64u << 20;
	fixture->options.passive = true;
	blobs_fixture_add_disks(fixture, fixture->sim, 3);
	assert_int_equal(sim_run_task(fixture->sim, read_points, fixture), ERR_OK);
	sim_finish(&fixture->sim);
	free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_point_read_is_one_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
