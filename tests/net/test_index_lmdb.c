/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "net/index_lmdb.h"
#include "tests/support/loop_fixture.h"

enum { MAP_SIZE = 1 << 20, SMALL_MAP_SIZE = 64 * 1024 };

static struct env_index *open_index(void **state, size_t map_size)
{
	struct env_index *index = NULL;

	assert_int_equal(index_lmdb_open(loop_fixture_path(*state, "index"), map_size, &index),
			 ERR_OK);
	return index;
}

static enum err put(struct env_index *index, const char *key, const char *value, bool durable)
{
	struct env_index_change change = {.key = bytes_string(key)};

	if (value != NULL)
		change.value = bytes_string(value);
	return index_lmdb_commit(index, &change, 1, durable);
}

static void must_put(struct env_index *index, const char *key, const char *value, bool durable)
{
	assert_int_equal(put(index, key, value, durable), ERR_OK);
}

static void expect(struct env_index *index, const char *key, const char *value)
{
	struct buf found = {0};
	enum err err = index_lmdb_get(index, bytes_string(key), &found);

	assert_int_equal(err, value != NULL ? ERR_OK : ERR_NOTFOUND);
	if (value != NULL)
		assert_true(bytes_equal(bytes_of_buf(&found), bytes_string(value)));
	buf_finish(&found);
}

struct listing {
	char text[256];
	size_t limit;
};

static bool list_one(void *context, struct bytes key, struct bytes value)
{
	struct listing *listing = context;
	size_t used = strlen(listing->text);

	snprintf(listing->text + used, sizeof(listing->text) - used, "%.*s=%.*s ", (int)key.size,
		 (const char *)key.data, (int)value.size, (const char *)value.data);
	return --listing->limit > 0;
}

static void expect_scan(struct env_index *index, const char *from, const char *before, size_t limit,
			const char *expected)
{
	struct listing listing = {.limit = limit};

	assert_int_equal(index_lmdb_scan(index, bytes_string(from), bytes_string(before), list_one,
					 &listing),
			 ERR_OK);
	assert_string_equal(listing.text, expected);
}

static void test_scan_in_order(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);

	expect_scan(index, "", "", 99, "");
	must_put(index, "b", "2", false);
	must_put(index, "a\xff", "1", false);
	must_put(index, "ba", "3", true);
	must_put(index, "c", "4", false);
	must_put(index, "a", "0", false);
	must_put(index, "c", NULL, false);
	must_put(index, "never was", NULL, false);
	expect_scan(index, "", "", 99, "a=0 a\xff=1 b=2 ba=3 ");
	expect_scan(index, "a\x01", "ba", 99, "a\xff=1 b=2 ");
	expect_scan(index, "", "", 2, "a=0 a\xff=1 ");
	expect_scan(index, "bb", "", 99, "");
	expect(index, "c", NULL);
	index_lmdb_close(index);
}

static void test_get_appends(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);
	struct buf found = {0};

	must_put(index, "k", "value", false);
	must_put(index, "empty", "", false);
	buf_put_string(&found, "the ");
	assert_int_equal(index_lmdb_get(index, bytes_string("k"), &found), ERR_OK);
	assert_int_equal(index_lmdb_get(index, bytes_string("empty"), &found), ERR_OK);
	assert_true(bytes_equal(bytes_of_buf(&found), bytes_string("the value")));
	buf_finish(&found);
	index_lmdb_close(index);
}

static void test_one_commit_is_one(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);
	struct env_index_change changes[] = {
		{bytes_string("a"), bytes_string("1")},
		{bytes_string("b"), bytes_string("2")},
		{bytes_string(""), bytes_string("3")},
	};

	assert_int_equal(index_lmdb_commit(index, changes, 3, true), ERR_INVALID);
	expect(index, "a", NULL);
	assert_int_equal(index_lmdb_commit(index, changes, 2, true), ERR_OK);
	expect(index, "b", "2");
	index_lmdb_close(index);
}

static void test_survives_a_close(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);

	must_put(index, "durable", "1", true);
	must_put(index, "not yet", "2", false);
	index_lmdb_close(index);
	index = open_index(state, MAP_SIZE);
	expect(index, "durable", "1");
	expect(index, "not yet", "2");
	index_lmdb_close(index);
}

/* What a child that dies without a close leaves behind. */
static void die_after(void **state, void (*change)(struct env_index *index))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct env_index *index = open_index(state, MAP_SIZE);

		change(index);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void change_some(struct env_index *index)
{
	must_put(index, "a", "1", false);
	must_put(index, "b", "1", true);
	must_put(index, "b", "2", false);
	must_put(index, "c", "2", false);
}

static void change_many(struct env_index *index)
{
	for (int i = 0; i < 5000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%04d", i);
		must_put(index, key, "x", false);
	}
}

static void test_a_crash_leaves_the_last_durable_commit(void **state)
{
	struct env_index *index;

	die_after(state, change_some);
	index = open_index(state, MAP_SIZE);
	expect_scan(index, "", "", 99, "a=1 b=1 ");
	index_lmdb_close(index);
}

static void test_a_crash_loses_a_bounded_tail(void **state)
{
	struct env_index *index;

	die_after(state, change_many);
	index = open_index(state, MAP_SIZE);
	expect(index, "0000", "x");
	expect(index, "4095", "x");
	expect(index, "4096", NULL);
	index_lmdb_close(index);
}

static void test_grows(void **state)
{
	struct env_index *index = open_index(state, SMALL_MAP_SIZE);
	char value[1000];

	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%04d", i);
		must_put(index, key, value, i % 97 == 0);
	}
	expect(index, "0000", value);
	expect(index, "0999", value);
	index_lmdb_close(index);
	/* Opened with the small map again, it takes the size of the file. */
	index = open_index(state, SMALL_MAP_SIZE);
	expect(index, "0500", value);
	must_put(index, "more", value, true);
	index_lmdb_close(index);
}

/* INV of env.h: whichever allocation fails, a commit is whole or absent. */
static void test_failed_commit_leaves_no_trace(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);
	struct env_index_change changes[40];
	char keys[40][300];

	must_put(index, "first", "1", false);
	for (size_t i = 0; i < 40; i++) {
		memset(keys[i], 'k', sizeof(keys[i]));
		keys[i][0] = (char)('A' + i);
		changes[i].key = bytes_make(keys[i], sizeof(keys[i]));
		changes[i].value = bytes_make(keys[i], sizeof(keys[i]));
	}
	for (uint64_t n = 0;; n++) {
		struct buf found = {0};
		enum err err;

		memory_fail_after(n);
		err = index_lmdb_commit(index, changes, 40, n % 2 == 0);
		memory_fail_after(UINT64_MAX);
		expect(index, "first", "1");
		if (err == ERR_OK)
			break;
		assert_int_equal(err, ERR_NOMEM);
		assert_int_equal(index_lmdb_get(index, changes[0].key, &found), ERR_NOTFOUND);
		buf_finish(&found);
		assert_true(n < 100);
	}
	index_lmdb_close(index);
}

static void test_clear(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);

	must_put(index, "a", "1", true);
	must_put(index, "b", "2", false);
	assert_int_equal(index_lmdb_clear(index), ERR_OK);
	expect_scan(index, "", "", 99, "");
	must_put(index, "c", "3", true);
	index_lmdb_close(index);
	index = open_index(state, MAP_SIZE);
	expect_scan(index, "", "", 99, "c=3 ");
	index_lmdb_close(index);
}

/*
 * LMDB counts pages that a transaction took and gave back, and does not write them: the file may end
 * before the last one counted, and is whole all the same.
 */
static void test_survives_what_it_gave_back(void **state)
{
	char value[3 * 4096 + 1];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (unsigned round = 0; round < 20; round++) {
		struct env_index *index = open_index(state, MAP_SIZE);
		char key[16];

		if (round > 0)
			expect(index, "kept", "yes");
		must_put(index, "kept", "yes", false);
		for (unsigned i = 0; i < round; i++) {
			snprintf(key, sizeof(key), "k%u", i);
			must_put(index, key, value, false);
		}
		for (unsigned i = 0; i < round; i++) {
			snprintf(key, sizeof(key), "k%u", i);
			must_put(index, key, NULL, false);
		}
		must_put(index, "kept", "yes", round % 2 == 0);
		index_lmdb_close(index);
	}
}

static void test_only_one_opens_it(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE), *second = NULL;

	assert_int_equal(index_lmdb_open(loop_fixture_path(*state, "index"), MAP_SIZE, &second),
			 ERR_UNAVAILABLE);
	assert_null(second);
	index_lmdb_close(index);
	index = open_index(state, MAP_SIZE);
	index_lmdb_close(index);
}

static void fill_and_close(void **state)
{
	struct env_index *index = open_index(state, MAP_SIZE);

	change_many(index);
	index_lmdb_close(index);
}

static void overwrite(const char *path, long offset, size_t size)
{
	FILE *file = fopen(path, "r+");

	assert_non_null(file);
	assert_int_equal(fseek(file, offset, SEEK_SET), 0);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(fputc(0x5a, file), 0x5a);
	assert_int_equal(fclose(file), 0);
}

static void test_what_cannot_be_read_comes_back_empty(void **state)
{
	char path[128];
	struct env_index *index;

	snprintf(path, sizeof(path), "%s", loop_fixture_path(*state, "index/data.mdb"));
	fill_and_close(state);
	assert_int_equal(truncate(path, 5 * 4096), 0);
	index = open_index(state, MAP_SIZE);
	expect_scan(index, "", "", 99, "");
	index_lmdb_close(index);

	fill_and_close(state);
	overwrite(path, 0, 2 * 4096);
	index = open_index(state, MAP_SIZE);
	expect_scan(index, "", "", 99, "");
	must_put(index, "a", "1", true);
	index_lmdb_close(index);

	assert_int_equal(truncate(path, 100), 0);
	index = open_index(state, MAP_SIZE);
	expect_scan(index, "", "", 99, "");
	index_lmdb_close(index);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_scan_in_order),
		TEST(test_get_appends),
		TEST(test_one_commit_is_one),
		TEST(test_survives_a_close),
		TEST(test_a_crash_leaves_the_last_durable_commit),
		TEST(test_a_crash_loses_a_bounded_tail),
		TEST(test_grows),
		TEST(test_failed_commit_leaves_no_trace),
		TEST(test_clear),
		TEST(test_survives_what_it_gave_back),
		TEST(test_only_one_opens_it),
		TEST(test_what_cannot_be_read_comes_back_empty),
	};

	return cmocka_run_group_tests_name("net/index_lmdb", tests, NULL, NULL);
}
