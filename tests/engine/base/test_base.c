/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/arena.h"
#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "engine/base/memory.h"
#include "engine/base/shared.h"

static void test_assert_fires(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		close(STDERR_FILENO);
		ASSERT(status != 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_error_names(void **state)
{
	(void)state;
	assert_string_equal(err_name(ERR_OK), "OK");
	assert_string_equal(err_name(ERR_CONFLICT), "CONFLICT");
	assert_string_equal(err_name((enum err)9999), "UNKNOWN");
	assert_int_equal(err_from_errno(0), ERR_OK);
	assert_int_equal(err_from_errno(ENOSPC), ERR_NOSPACE);
	assert_int_equal(err_from_errno(EIO), ERR_IO);
}

/* The values that docs/format.md promises: XXH3 of xxHash 0.8 with seed 0. */
static void test_hash_values(void **state)
{
	struct hash128 hash = hash_128("", 0);

	(void)state;
	assert_true(hash_64("", 0) == 0x2d06800538d394c2u);
	assert_true(hash.low == 0x6001c324468d497fu && hash.high == 0x99aa06d3014798d8u);
}

static void test_arena_limit(void **state)
{
	struct arena arena = {.limit = 10000};
	uint8_t *first = arena_allocate(&arena, 1);

	(void)state;
	assert_non_null(first);
	assert_int_equal((uintptr_t)first % sizeof(void *), 0);
	assert_non_null(arena_allocate(&arena, 9000));
	assert_null(arena_allocate(&arena, 2000));
	assert_null(arena_array(&arena, SIZE_MAX / 2, 4));
	arena_finish(&arena);
	assert_non_null(arena_allocate(&arena, 9000));
	arena_finish(&arena);
}

static void test_shared_counts(void **state)
{
	struct shared *shared = shared_create(3), *other;

	(void)state;
	assert_non_null(shared);
	memcpy(shared->data, "abc", 3);
	other = shared_reference(shared);
	shared_release(&shared);
	assert_null(shared);
	assert_true(bytes_equal(shared_bytes(other), bytes_string("abc")));
	shared_release(&other);
	assert_null(shared_create(SIZE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assert_fires),  cmocka_unit_test(test_error_names),
		cmocka_unit_test(test_hash_values),   cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_shared_counts),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
