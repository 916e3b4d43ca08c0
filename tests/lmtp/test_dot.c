/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lmtp/dot.h"

struct expectation {
	const char *wire, *message; /* with \0 inside: sizes beside them */
	size_t wire_size, message_size;
	size_t left; /* octets behind the end; SIZE_MAX: no end */
};

#define CASE(wire, message, left)                                                                  \
	{                                                                                          \
		wire, message, sizeof(wire) - 1, sizeof(message) - 1, left                         \
	}

static const struct expectation cases[] = {
	CASE(".\r\n", "", 0),
	CASE("a\r\n.\r\nQUIT\r\n", "a\r\n", 6),
	CASE("..a\r\n.\r\n", ".a\r\n", 0),
	CASE("..\r\n.\r\n", ".\r\n", 0),
	CASE(".a\r\n.\r\n", "a\r\n", 0),
	CASE("a\n.\n.\r\n.\r\n", "a\n.\n.\r\n", 0),
	CASE("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", 0),
	CASE("a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", 0),
	CASE("a\r\n.\n\r\n.\r\n", "a\r\n\n\r\n", 0),
	CASE("a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 0),
	CASE("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", 0),
	CASE("a\r\r\n.\r\n", "a\r\r\n", 0),
	CASE("a\0b\r\n.\r\n", "a\0b\r\n", 0),
	CASE("\r\n\r\n..\r\n.\r\nx", "\r\n\r\n.\r\n", 1),
	CASE("a\r\n", "a\r\n", SIZE_MAX),
	CASE("a\r\n.\r", "a\r\n", SIZE_MAX),
};

/* Feeds in steps of `step` octets; returns whether the end came. */
static bool run(const struct expectation *expected, size_t step, struct buf *message, size_t *left)
{
	struct dot dot;
	size_t at = 0;

	dot_init(&dot);
	while (at < expected->wire_size) {
		size_t size = expected->wire_size - at < step ? expected->wire_size - at : step;
		size_t stop = at + size;

		while (at < stop) {
			struct bytes content;
			size_t consumed;
			bool end;

			dot_next(&dot, bytes_make(expected->wire + at, stop - at), &content,
				 &consumed, &end);
			buf_put_bytes(message, content);
			at += consumed;
			if (end) {
				*left = expected->wire_size - at;
				return true;
			}
		}
	}
	*left = SIZE_MAX;
	return false;
}

static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step <= cases[i].wire_size; step++) {
			struct buf message = {0};
			size_t left;

			assert_int_equal(run(&cases[i], step, &message, &left),
					 cases[i].left != SIZE_MAX);
			assert_int_equal(left, cases[i].left);
			assert_int_equal(message.size, cases[i].message_size);
			if (message.size != 0)
				assert_memory_equal(message.data, cases[i].message, message.size);
			buf_finish(&message);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cut)};

	return cmocka_run_group_tests_name("lmtp/dot", tests, NULL, NULL);
}
