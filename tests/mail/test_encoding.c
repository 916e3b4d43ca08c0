/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/encoding.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	enum encoding_kind kind;
	const char *in, *out;
} cases[] = {
	{ENCODING_IDENTITY, "a=3D b \r\n", "a=3D b \r\n"},
	{ENCODING_UNKNOWN, "a=3D b \r\n", "a=3D b \r\n"},
	{ENCODING_BASE64, "", ""},
	{ENCODING_BASE64, "Zg==", "f"},
	{ENCODING_BASE64, "Zm8=", "fo"},
	{ENCODING_BASE64, "Zm9v", "foo"},
	{ENCODING_BASE64, "Zm9vYmFy", "foobar"},
	/* line ends, junk, blanks anywhere; no padding; text after the padding */
	{ENCODING_BASE64, "Zm\r\n9v Y!m*F\ny", "foobar"},
	{ENCODING_BASE64, "Zm8", "fo"},
	{ENCODING_BASE64, "Zg==\r\n_____\r\nfooter", "f"},
	{ENCODING_QUOTED_PRINTABLE, "a=3Db=c3=A4", "a=b\xc3\xa4"},
	{ENCODING_QUOTED_PRINTABLE, "soft=\r\nbreak=\nagain= \t\r\nend", "softbreakagainend"},
	{ENCODING_QUOTED_PRINTABLE, "trailing \t \r\nx  \ny  ", "trailing\r\nx\ny"},
	{ENCODING_QUOTED_PRINTABLE, "in  between\tkept", "in  between\tkept"},
	/* what is no escape stands for itself */
	{ENCODING_QUOTED_PRINTABLE, "=XY =4 ==41 =4g a=b", "=XY =4 =A =4g a=b"},
	{ENCODING_QUOTED_PRINTABLE, "bare\rcr \rx =\rz", "bare\rcr \rx =\rz"},
	{ENCODING_QUOTED_PRINTABLE, "end=", "end"},
	{ENCODING_QUOTED_PRINTABLE, "end=4", "end=4"},
};

static struct buf decode(enum encoding_kind kind, struct bytes in, size_t step)
{
	struct encoding_decoder decoder = ENCODING_DECODER(kind);
	struct buf out = {0};

	for (size_t i = 0; i < in.size; i += step)
		encoding_decode(&decoder, bytes_slice(in, i, step), &out);
	encoding_decode_end(&decoder, &out);
	assert_int_equal(out.err, ERR_OK);
	return out;
}

static void test_decoding_in_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t step = 1; step < 40; step++) {
			struct buf out = decode(cases[i].kind, bytes_string(cases[i].in), step);

			if (!bytes_equal(bytes_of_buf(&out), bytes_string(cases[i].out)))
				fail_msg("case %zu, step %zu: %.*s", i, step, (int)out.size,
					 out.data);
			buf_finish(&out);
		}
	}
}

/* More blanks than are held: they are text, whatever follows. */
static void test_long_blanks(void **state)
{
	struct buf in = {0}, whole;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&in, ' ');
	buf_put_string(&in, "x");
	whole = decode(ENCODING_QUOTED_PRINTABLE, bytes_of_buf(&in), in.size);
	assert_true(bytes_equal(bytes_of_buf(&whole), bytes_of_buf(&in)));
	for (size_t step = 1; step < 100; step += 7) {
		struct buf out = decode(ENCODING_QUOTED_PRINTABLE, bytes_of_buf(&in), step);

		assert_true(bytes_equal(bytes_of_buf(&whole), bytes_of_buf(&out)));
		buf_finish(&out);
	}
	buf_finish(&whole);
	buf_finish(&in);
}

static void test_base64_round_trip(void **state)
{
	(void)state;
	for (size_t size = 0; size < 200; size++) {
		uint8_t data[200];
		struct buf text = {0}, back;

		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)(i * 37 + size);
		encoding_put_base64(&text, bytes_make(data, size), size % 3 == 0 ? 0 : 76);
		back = decode(ENCODING_BASE64, bytes_of_buf(&text), 1 + size % 7);
		assert_true(bytes_equal(bytes_of_buf(&back), bytes_make(data, size)));
		buf_finish(&back);
		buf_finish(&text);
	}
}

static void test_base64_lines(void **state)
{
	struct buf text = {0};

	(void)state;
	encoding_put_base64(&text, bytes_string("foobarfoo"), 8);
	assert_true(bytes_equal(bytes_of_buf(&text), bytes_string("Zm9vYmFy\r\nZm9v")));
	buf_clear(&text);
	encoding_put_base64(&text, bytes_string("foobar"), 8);
	assert_true(bytes_equal(bytes_of_buf(&text), bytes_string("Zm9vYmFy")));
	buf_finish(&text);
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(encoding_named(bytes_string("")), ENCODING_IDENTITY);
	assert_int_equal(encoding_named(bytes_string(" 8BIT\r\n")), ENCODING_IDENTITY);
	assert_int_equal(encoding_named(bytes_string("Base64;")), ENCODING_BASE64);
	assert_int_equal(encoding_named(bytes_string("QUOTED-Printable")),
			 ENCODING_QUOTED_PRINTABLE);
	assert_int_equal(encoding_named(bytes_string("x-uuencode")), ENCODING_UNKNOWN);
}

static void test_memory_failure_sticks(void **state)
{
	(void)state;
	for (enum encoding_kind kind = ENCODING_IDENTITY; kind <= ENCODING_BASE64; kind++) {
		struct encoding_decoder decoder = ENCODING_DECODER(kind);
		struct buf out = {0};

		memory_fail_after(0);
		encoding_decode(&decoder, bytes_string("Zm9vYmFy "), &out);
		memory_fail_after(UINT64_MAX);
		assert_int_equal(out.err, ERR_NOMEM);
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoding_in_pieces_of_every_size),
		cmocka_unit_test(test_long_blanks),
		cmocka_unit_test(test_base64_round_trip),
		cmocka_unit_test(test_base64_lines),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_memory_failure_sticks),
	};

	return cmocka_run_group_tests_name("mail/encoding", tests, NULL, NULL);
}
