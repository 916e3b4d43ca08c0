/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"
#include "tests/sim/sim_task.h"

static void write_file(const char *path, const char *text)
{
	struct env_file *file = NULL;

	assert_int_equal(io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(io_write_sync(file, 0, bytes_string(text)), ERR_OK);
	io_close(&file);
}

static void assert_file(const char *path, const char *text)
{
	struct buf content = {0};

	assert_int_equal(io_read_file(path, 1 << 20, &content), ERR_OK);
	assert_int_equal(content.size, strlen(text));
	assert_memory_equal(content.data, text, content.size);
	buf_finish(&content);
}

static void use_files(void *argument)
{
	struct buf names = {0};
	struct env_stat stat;

	(void)argument;
	assert_int_equal(io_make_directory("/a"), ERR_OK);
	assert_int_equal(io_make_directory("/a"), ERR_EXISTS);
	write_file("/a/x", "hello");
	assert_file("/a/x", "hello");
	assert_int_equal(io_replace_file("/a/x", bytes_string("new")), ERR_OK);
	assert_file("/a/x", "new");
	assert_int_equal(io_stat("/a/x", &stat), ERR_OK);
	assert_int_equal(stat.size, 3);
	assert_int_equal(stat.allocated, 4096);
	assert_int_equal(stat.link_count, 1);
	write_file("/a/b", "");
	assert_int_equal(io_list("/a", &names), ERR_OK);
	assert_int_equal(names.size, 4);
	assert_memory_equal(names.data, "b\0x\0", 4);
	assert_int_equal(io_unlink("/a/b"), ERR_OK);
	assert_int_equal(io_unlink("/a/b"), ERR_NOTFOUND);
	assert_int_equal(task_sleep(1000), ERR_OK);
	buf_finish(&names);
}

static void test_simple_world(void **state)
{
	struct sim *sim = sim_simple();
	uint64_t start = sim_now_ms(sim);

	(void)state;
	assert_int_equal(sim_run_task(sim, use_files, NULL), ERR_OK);
	assert_int_equal(sim_now_ms(sim) - start, 1000);
	sim_finish(&sim);
	assert_null(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
