/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The set directory from column headers alone: a store of sealed, evacuated and
 * open sets is opened with its journal, and again without one. Of each set that
 * has columns both know the same, but for the tags of what was removed; of one
 * that has none left, its successors. And every blob is read.
 */
#include "engine/set/blobs_private.h"
#include "tests/support/blobs_fixture.h"
#include "tests/support/unit.h"

#define SETS_MAX 64u

static struct blobs_fixture fixture;

/* What one opening knew. */
static struct picture {
	struct directory_record records[SETS_MAX];
	size_t count;
} with_journal, from_headers;

static void copy_record(const struct directory_record *from, struct directory_record *to)
{
	struct buf encoded = {0};

	directory_record_encode(from, &encoded);
	assert_ok(encoded.err);
	assert_ok(directory_record_decode(bytes_of_buf(&encoded), to));
	buf_finish(&encoded);
	/* No header tells of a column that is gone. */
	to->removed.count = 0;
}

static WAITS void take_picture(bool journaled, struct picture *out)
{
	const struct directory_record *record;
	size_t position = 0;

	fixture.journaled = journaled;
	fixture.options.passive = true;
	assert_ok(blobs_fixture_open(&fixture));
	blobs_fixture_check(&fixture);
	out->count = 0;
	while ((record = directory_store_next(fixture.blobs->directory, &position)) != NULL) {
		assert_true(out->count < SETS_MAX);
		copy_record(record, &out->records[out->count++]);
	}
	blobs_fixture_close(&fixture);
	fixture.journal = NULL;
}

static const struct directory_record *find(const struct picture *picture, uint64_t set)
{
	for (size_t i = 0; i < picture->count; i++) {
		if (picture->records[i].set == set)
			return &picture->records[i];
	}
	return NULL;
}

static void assert_same(const struct directory_record *a, const struct directory_record *b)
{
	struct buf left = {0}, right = {0};

	directory_record_encode(a, &left);
	directory_record_encode(b, &right);
	assert_true(bytes_equal(bytes_of_buf(&left), bytes_of_buf(&right)));
	buf_finish(&left);
	buf_finish(&right);
}

static void assert_same_successors(const struct directory_record *a,
				   const struct directory_record *b)
{
	assert_non_null(b);
	assert_int_equal(a->successors.count, b->successors.count);
	for (uint32_t i = 0; i < a->successors.count; i++)
		assert_int_equal(directory_get_successor(a, i), directory_get_successor(b, i));
}

static void compare(void)
{
	size_t whole = 0, gone = 0;

	for (size_t i = 0; i < with_journal.count; i++) {
		const struct directory_record *record = &with_journal.records[i];
		const struct directory_record *rebuilt = find(&from_headers, record->set);

		if (record->placements.count != 0) {
			assert_non_null(rebuilt);
			assert_same(record, rebuilt);
			whole++;
		} else if (record->successors.count != 0) {
			assert_same_successors(record, rebuilt);
			gone++;
		}
	}
	/* Nothing was made up. */
	for (size_t i = 0; i < from_headers.count; i++)
		assert_non_null(find(&with_journal, from_headers.records[i].set));
	print_message("%zu sets with columns, %zu that live on in others\n", whole, gone);
	assert_true(whole > 2 && gone > 0);
}

static void forget(struct picture *picture)
{
	while (picture->count > 0)
		directory_record_finish(&picture->records[--picture->count]);
}

static WAITS void put_many(size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_ok(blobs_fixture_put(&fixture, 9000 + i * 64, 0));
}

/* Sealed sets; one that lost a member for a while, and was evacuated; one that
 * is open. */
static WAITS void body(void *argument)
{
	struct blobs_status status;

	(void)argument;
	fixture.journaled = true;
	blobs_fixture_format(&fixture);
	assert_ok(blobs_fixture_open(&fixture));
	put_many(60);
	assert_ok(blobs_settle(fixture.blobs));
	put_many(3);
	blobs_fixture_close(&fixture);
	fixture.away = 2;
	assert_ok(blobs_fixture_open(&fixture));
	assert_ok(blobs_settle(fixture.blobs));
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.evacuations, 1);
	blobs_fixture_close(&fixture);
	fixture.away = 0;
	assert_ok(blobs_fixture_open(&fixture));
	assert_ok(blobs_settle(fixture.blobs));
	put_many(3);
	blobs_fixture_close(&fixture);
	take_picture(true, &with_journal);
	take_picture(false, &from_headers);
	compare();
	forget(&with_journal);
	forget(&from_headers);
}

static void test_directory_from_headers(void **state)
{
	(void)state;
	for (size_t volumes = 3; volumes <= 5; volumes++) {
		struct sim *sim = sim_create(volumes, NULL);

		memset(&fixture, 0, sizeof(fixture));
		fixture.spread = volumes > 3;
		(void)sim_add_node(sim);
		blobs_fixture_add_disks(&fixture, sim, volumes);
		assert_ok(sim_run_task(sim, body, NULL));
		sim_finish(&sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory_from_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
