/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/charset.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *charset, *in, *out;
} cases[] = {
	{"", "abc", "abc"},
	{"us-ascii", "\xc3\xa4\xe4", "ä\xef\xbf\xbd"},
	{"UTF-8", "a\xe2\x82\xac\xf0\x9f\x98\x80", "a€😀"},
	/* overlong, surrogate, above the last code point, cut short */
	{"utf-8", "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
	{"utf-8", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	{"utf-8", "a\xe2\x82", "a\xef\xbf\xbd"},
	{"utf-8", "\xe2\x82\x28", "\xef\xbf\xbd\xef\xbf\xbd("},
	{"ISO-8859-1", "\xe4\x80", "ä€"},
	{"windows-1252", "\x93x\x94\x81", "“x”\xef\xbf\xbd"},
	{"iso-8859-15", "\xa4", "€"},
	{"koi8-r", "\xd0\xd2\xc9", "при"},
	{"gb2312", "\xc4\xe3\xba\xc3", "你好"},
	{"Shift_JIS", "\x93\xfa\x96\x7b", "日本"},
	{"iso-2022-jp", "\x1b$B;3ED\x1b(B a", "山田 a"},
	{"ks_c_5601-1987", "\xb0\xa1", "가"},
	{"utf-16", "\xff\xfe\x61\x00", "a"},
	{"utf-7", "+AOQ-b", "äb"},
	{"big5", "\xa4", "\xef\xbf\xbd"},
};

static size_t in_size(size_t i)
{
	return strcmp(cases[i].charset, "utf-16") == 0 ? 4 : strlen(cases[i].in);
}

static void test_decoding_in_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bytes in = bytes_make(cases[i].in, in_size(i));

		for (size_t step = 1; step <= in.size; step++) {
			struct charset_decoder *decoder;
			struct buf out = {0};

			assert_int_equal(
				charset_decoder_create(bytes_string(cases[i].charset), &decoder),
				ERR_OK);
			/* Twice: after the end it starts anew. */
			for (int time = 0; time < 2; time++) {
				buf_clear(&out);
				for (size_t j = 0; j < in.size; j += step)
					charset_decoder_feed(decoder, bytes_slice(in, j, step),
							     &out);
				charset_decoder_end(decoder, &out);
				if (!bytes_equal(bytes_of_buf(&out), bytes_string(cases[i].out)))
					fail_msg("%s, step %zu: %.*s", cases[i].charset, step,
						 (int)out.size, out.data);
			}
			charset_decoder_destroy(&decoder);
			assert_null(decoder);
			buf_finish(&out);
		}
	}
}

static void test_unknown(void **state)
{
	static const char *const names[] = {
		"x-no-such", "utf-8//TRANSLIT",
		"../../x",   "a b",
		"\xff",	     "a-name-that-is-much-longer-than-any-charset-has"};
	struct charset_decoder *decoder = NULL;
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_false(charset_known(bytes_string(names[i])));
		assert_int_equal(charset_decoder_create(bytes_string(names[i]), &decoder),
				 ERR_NOTFOUND);
		assert_int_equal(charset_to_utf8(bytes_string(names[i]), bytes_string("x"), &out),
				 ERR_NOTFOUND);
	}
	assert_false(charset_known(bytes_make("utf-8\0x", 7)));
	assert_int_equal(out.size, 0);
	assert_null(decoder);
	charset_decoder_destroy(&decoder);
	assert_true(charset_known(bytes_string("US-ASCII")));
	assert_true(charset_known(bytes_string("koi8-r")));
}

/* Every octet string gives valid UTF-8 of bounded size, in every kind of charset. */
static void test_any_octets(void **state)
{
	static const char *const names[] = {"utf-8",	    "windows-1252", "gb2312", "iso-2022-jp",
					    "iso-2022-kr",  "utf-7",	    "utf-16", "big5",
					    "windows-1258", "euc-jp"};
	uint64_t random = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (int round = 0; round < 500; round++) {
			uint8_t in[64];
			struct buf out = {0};

			for (size_t j = 0; j < sizeof(in); j++) {
				random ^= random << 13;
				random ^= random >> 7;
				random ^= random << 17;
				in[j] = (uint8_t)random;
			}
			assert_int_equal(charset_to_utf8(bytes_string(names[i]),
							 bytes_make(in, sizeof(in)), &out),
					 ERR_OK);
			assert_true(charset_utf8_valid(bytes_of_buf(&out)));
			assert_true(out.size <= sizeof(in) * 4 + 8);
			buf_finish(&out);
		}
	}
}

static void test_utf8(void **state)
{
	(void)state;
	assert_true(charset_utf8_valid(bytes_make(NULL, 0)));
	assert_true(charset_utf8_valid(bytes_string("longer than eight, with an ä")));
	assert_false(charset_utf8_valid(bytes_string("longer than eight, with an \xe4")));
	assert_false(charset_utf8_valid(bytes_string("\xed\xa0\x80")));
	assert_false(charset_utf8_valid(bytes_string("\xc0\x80")));
	assert_int_equal(charset_utf8_prefix(bytes_string("aäb"), 0), 0);
	assert_int_equal(charset_utf8_prefix(bytes_string("aäb"), 2), 3);
	assert_int_equal(charset_utf8_prefix(bytes_string("aäb"), 3), 4);
	assert_int_equal(charset_utf8_prefix(bytes_string("aäb"), 9), 4);
}

static void test_memory_failures(void **state)
{
	struct charset_decoder *decoder = NULL;
	struct buf out = {0};

	(void)state;
	memory_fail_after(0);
	assert_int_equal(charset_decoder_create(bytes_string("koi8-r"), &decoder), ERR_NOMEM);
	memory_fail_after(0);
	assert_int_equal(charset_to_utf8(bytes_string("koi8-r"), bytes_string("a"), &out),
			 ERR_NOMEM);
	memory_fail_after(UINT64_MAX);
	assert_null(decoder);
	buf_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoding_in_pieces_of_every_size),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_any_octets),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_memory_failures),
	};

	return cmocka_run_group_tests_name("mail/charset", tests, NULL, NULL);
}
