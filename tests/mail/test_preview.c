/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/charset.h"
#include "mail/preview.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *body, *expected;
	bool html;
} cases[] = {
	{"", "", false},
	{"  a\r\n\r\n\tb \xc2\xa0 c  ", "a b c", false},
	{"\xe2\x80\x8b\xcd\x8f visible", "visible", false},
	{"<b>not html</b> &amp;", "<b>not html</b> &amp;", false},
	{"<p>a</p><p>b<br>c</p>w<b>or</b>d", "a b c word", true},
	{"<html><head><title>t</title><style>p{}</style></head><body>x", "x", true},
	{"<SCRIPT>if (a < b) x();</SCRIPT>text", "text", true},
	{"a<!-- <p>hidden -- > -->b", "ab", true},
	{"&lt;&#65;&#x42;&gt; &uuml;&nbsp;&unknown; AT&T a&b;", "<AB> ü &unknown; AT&T a&b;", true},
	{"&#0;&#xd800;&#9999999;", "&#0;&#xd800;&#9999999;", true},
	{"1 < 2, <", "1 < 2,", true},
	{"<img alt='x' src=y>z", "z", true},
	{"<head>never closed<body>x", "x", true},
};

static struct buf make(const char *body, bool html, size_t characters)
{
	const struct preview_text text = {bytes_string(body), ENCODING_IDENTITY,
					  bytes_string("utf-8"), html};
	struct buf out = {0};

	assert_int_equal(preview_make(&text, characters, &out), ERR_OK);
	assert_true(charset_utf8_valid(bytes_of_buf(&out)));
	assert_int_equal(charset_utf8_prefix(bytes_of_buf(&out), characters), out.size);
	return out;
}

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out = make(cases[i].body, cases[i].html, 200);

		if (!bytes_equal(bytes_of_buf(&out), bytes_string(cases[i].expected)))
			fail_msg("%s: \"%.*s\"", cases[i].body, (int)out.size, out.data);
		buf_finish(&out);
	}
}

static void test_length_is_in_characters(void **state)
{
	(void)state;
	for (size_t most = 0; most < 12; most++) {
		struct buf out = make("ää €€ 😀😀 &", false, most);

		buf_finish(&out);
	}
}

static void test_encodings(void **state)
{
	const struct preview_text encoded = {bytes_string("R3LDvMOfZQ=="), ENCODING_BASE64,
					     bytes_string("utf-8"), false};
	const struct preview_text latin = {bytes_string("Gr=FC=\r\n=DFe"),
					   ENCODING_QUOTED_PRINTABLE, bytes_string("iso-8859-1"),
					   false};
	const struct preview_text unknown = {bytes_string("x"), ENCODING_IDENTITY,
					     bytes_string("x-no-such"), false};
	struct buf out = {0};

	(void)state;
	assert_int_equal(preview_make(&encoded, 200, &out), ERR_OK);
	assert_int_equal(preview_make(&latin, 200, &out), ERR_OK);
	assert_int_equal(preview_make(&unknown, 200, &out), ERR_OK);
	assert_true(bytes_equal(bytes_of_buf(&out), bytes_string("GrüßeGrüße")));
	buf_finish(&out);
	for (uint64_t n = 0; n < 3; n++) {
		memory_fail_after(n);
		assert_int_equal(preview_make(&latin, 200, &out), ERR_NOMEM);
		memory_fail_after(UINT64_MAX);
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_length_is_in_characters),
		cmocka_unit_test(test_encodings),
	};

	return cmocka_run_group_tests_name("mail/preview", tests, NULL, NULL);
}
