/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/bytes.h"
#include "engine/base/memory.h"

static void test_round_trip(void **state)
{
	struct buf buf = {0};
	struct cursor cursor;

	(void)state;
	buf_put_u8(&buf, 0xab);
	buf_put_u16(&buf, 0xbeef);
	buf_put_u32(&buf, 0xdeadbeefu);
	buf_put_u64(&buf, 0x0123456789abcdefu);
	buf_put_block(&buf, bytes_string("hello"));
	assert_int_equal(buf.err, ERR_OK);
	cursor = cursor_make(bytes_of_buf(&buf));
	assert_int_equal(cursor_u8(&cursor), 0xab);
	assert_int_equal(cursor_u16(&cursor), 0xbeef);
	assert_int_equal(cursor_u32(&cursor), 0xdeadbeefu);
	assert_true(cursor_u64(&cursor) == 0x0123456789abcdefu);
	assert_true(bytes_equal(cursor_block(&cursor), bytes_string("hello")));
	assert_int_equal(cursor_end(&cursor), ERR_OK);
	assert_int_equal(cursor_u8(&cursor), 0);
	assert_int_equal(cursor_end(&cursor), ERR_CORRUPT);
	buf_finish(&buf);
}

static void test_varint_limits(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
	static const uint8_t overlong[] = {0x80, 0x00};
	static const uint8_t too_large[] = {0xff, 0xff, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff, 0xff, 0x02};
	struct cursor cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct buf buf = {0};

		buf_put_varint(&buf, values[i]);
		cursor = cursor_make(bytes_of_buf(&buf));
		assert_true(cursor_varint(&cursor) == values[i]);
		assert_int_equal(cursor_end(&cursor), ERR_OK);
		for (size_t cut = 0; cut < buf.size; cut++) {
			cursor = cursor_make(bytes_make(buf.data, cut));
			(void)cursor_varint(&cursor);
			assert_int_equal(cursor.err, ERR_CORRUPT);
		}
		buf_finish(&buf);
	}
	cursor = cursor_make(bytes_make(overlong, sizeof(overlong)));
	(void)cursor_varint(&cursor);
	assert_int_equal(cursor.err, ERR_CORRUPT);
	cursor = cursor_make(bytes_make(too_large, sizeof(too_large)));
	(void)cursor_varint(&cursor);
	assert_int_equal(cursor.err, ERR_CORRUPT);
}

static void test_memory_failure_is_sticky(void **state)
{
	struct buf buf = {0};

	(void)state;
	memory_fail_after(0);
	buf_put_string(&buf, "x");
	memory_fail_after(UINT64_MAX);
	assert_int_equal(buf.err, ERR_NOMEM);
	buf_put_string(&buf, "y");
	assert_int_equal(buf.size, 0);
	buf_finish(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_varint_limits),
		cmocka_unit_test(test_memory_failure_is_sticky),
	};

	return cmocka_run_group_tests_name("base/bytes", tests, NULL, NULL);
}
