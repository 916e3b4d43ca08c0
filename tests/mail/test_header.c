/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/charset.h"
#include "mail/header.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_bytes(struct bytes found, const char *expected)
{
	if (!bytes_equal(found, bytes_string(expected)))
		fail_msg("found \"%.*s\", expected \"%s\"", (int)found.size,
			 (const char *)found.data, expected);
}

static const char header[] = "From : a@b\r\n"
			     "Subject: two\r\n"
			     " \tlines  \r\n"
			     "no colon\r\n"
			     "empty:\r\n"
			     "X-LF:bare\n"
			     "subject: again\r\n"
			     "\r\n"
			     "Body: not a field\r\n";

static void test_fields(void **state)
{
	static const char *const expected[][3] = {
		{"From", "a@b", "From : a@b\r\n"},
		{"Subject", "two\r\n \tlines", "Subject: two\r\n \tlines  \r\n"},
		{"", "no colon", "no colon\r\n"},
		{"empty", "", "empty:\r\n"},
		{"X-LF", "bare", "X-LF:bare\n"},
		{"subject", "again", "subject: again\r\n"},
	};
	struct bytes block = bytes_string(header);
	struct header_field field;

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		assert_true(header_next(&block, &field));
		assert_bytes(field.name, expected[i][0]);
		assert_bytes(field.value, expected[i][1]);
		assert_non_null(field.value.data);
		assert_bytes(field.raw, expected[i][2]);
	}
	assert_false(header_next(&block, &field));
	assert_bytes(block, "Body: not a field\r\n");
	assert_true(header_find(bytes_string(header), bytes_string("SUBJECT"), &field));
	assert_bytes(field.value, "two\r\n \tlines");
	assert_false(header_find(bytes_string(header), bytes_string("body"), &field));
}

static void test_odd_blocks(void **state)
{
	struct header_field field;
	struct bytes block = bytes_string("");

	(void)state;
	assert_false(header_next(&block, &field));
	block = bytes_string(" continued: nothing\nX: y");
	assert_true(header_next(&block, &field));
	assert_bytes(field.name, "");
	assert_true(header_next(&block, &field));
	assert_bytes(field.raw, "X: y");
	assert_false(header_next(&block, &field));
	block = bytes_string(":no name\r\n");
	assert_true(header_next(&block, &field));
	assert_int_equal(field.name.size, 0);
	assert_bytes(field.value, "no name");
	/* The second line is blank, but it is not empty. */
	block = bytes_string("A: b\r\n \r\n c\r\n\r\n");
	assert_true(header_next(&block, &field));
	assert_bytes(field.value, "b\r\n \r\n c");
	assert_false(header_next(&block, &field));
}

static void test_selection(void **state)
{
	const struct bytes names[] = {bytes_string("SUBJECT"), bytes_string("x-lf"),
				      bytes_string("absent")};
	struct buf out = {0};

	(void)state;
	header_select(bytes_string(header), names, COUNT(names), false, true, &out);
	assert_bytes(bytes_of_buf(&out), "Subject: two\r\n \tlines  \r\nX-LF:bare\n"
					 "subject: again\r\n\r\n");
	buf_clear(&out);
	header_select(bytes_string(header), names, COUNT(names), true, true, &out);
	assert_bytes(bytes_of_buf(&out), "From : a@b\r\nno colon\r\nempty:\r\n\r\n");
	buf_clear(&out);
	header_select(bytes_string(header), NULL, 0, false, true, &out);
	assert_bytes(bytes_of_buf(&out), "\r\n");
	buf_clear(&out);
	header_select(bytes_string(header), names, 1, false, false, &out);
	assert_bytes(bytes_of_buf(&out), "Subject: two\r\n \tlines  \r\nsubject: again\r\n");
	buf_finish(&out);
}

static void test_unfolding(void **state)
{
	struct buf out = {0};

	(void)state;
	header_unfold(bytes_make("a\r\n b\n\tc\0d\re", 13), &out);
	assert_bytes(bytes_of_buf(&out), "a b\tcde");
	buf_finish(&out);
}

static void test_decoding(void **state)
{
	static const char *const cases[][2] = {
		{"plain", "plain"},
		{"", ""},
		{"=?iso-8859-1?Q?Gr=FC=DFe_aus?=\r\n =?ISO-8859-1?q?_K=F6ln?=", "Grüße aus Köln"},
		{"=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"},
		{"=?utf-8*de?B?R3LDvMOfZQ==?=", "Grüße"},
		/* a character split between words */
		{"=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü"},
		{"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"},
		{"=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=", "aü"},
		{"x=?utf-8?Q?a?=y", "xay"},
		{"=?utf-8?Q?a b?=", "a b"},
		{"=?utf-8?Q?a=3Fb=?=", "a?b"},
		/* RFC 2047 section 8 */
		{"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"=?ISO-8859-1?Q?a_?= =?ISO-8859-2?Q?b?=", "a b"},
		/* not encoded words */
		{"=?utf-8?X?a?=", "=?utf-8?X?a?="},
		{"=?utf-8?Q?a", "=?utf-8?Q?a"},
		{"=??Q?a?=", "=??Q?a?="},
		{"=?", "=?"},
		{"=?x-no-such?Q?a=20b?= =?x-no-such?Q?c?=",
		 "=?x-no-such?Q?a=20b?= =?x-no-such?Q?c?="},
		/* octets as they are: UTF-8, or else windows-1252 */
		{"Gr\xc3\xbc\xc3\x9f"
		 "e",
		 "Grüße"},
		{"Gr\xfc\xdf"
		 "e \x80",
		 "Grüße €"},
		{"a\tb\x01\x7f", "a b  "},
		{"=?utf-8?Q?a=00=0Ab?=", "a  b"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out = {0};

		header_decode(bytes_string(cases[i][0]), &out);
		assert_int_equal(out.err, ERR_OK);
		assert_true(charset_utf8_valid(bytes_of_buf(&out)));
		assert_bytes(bytes_of_buf(&out), cases[i][1]);
		buf_finish(&out);
	}
}

/* "value|name=value|..." */
static struct buf show(const struct header_structured *structured)
{
	struct buf out = {0};

	buf_put_bytes(&out, structured->value);
	for (size_t i = 0; i < structured->parameter_count; i++) {
		buf_put_string(&out, "|");
		buf_put_bytes(&out, structured->parameters[i].name);
		buf_put_string(&out, "=");
		buf_put_bytes(&out, structured->parameters[i].value);
	}
	assert_int_equal(out.err, ERR_OK);
	return out;
}

static const char *const structured_cases[][2] = {
	{"", ""},
	{"text/plain", "text/plain"},
	{"text / plain (a comment) ; charset = us-ascii (Plain text)",
	 "text/plain|charset=us-ascii"},
	{"a/b; x=\"q \\\" \\\\ ; r\"; y=z", "a/b|x=q \" \\ ; r|y=z"},
	{"a/b; name=two words (1).pdf; y=z", "a/b|name=two words (1).pdf|y=z"},
	{"a/b;;; ; novalue; =noname; x=", "a/b|x="},
	{"a/b; x=1; X=2", "a/b|x=1"},
	{"a/b; x=\"unclosed; y=z", "a/b|x=unclosed; y=z"},
	{"a/b; x=\"folded\r\n value\"", "a/b|x=folded value"},
	/* RFC 2231, from the RFC */
	{"message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub\"",
	 "message/external-body|access-type=URL|URL=ftp://cs.utk.edu/pub"},
	{"application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
	 "application/x-stuff|title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"},
	{"application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20;"
	 " title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
	 "application/x-stuff|title*=us-ascii'en'This%20is%20even%20more%20"
	 "%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"},
	/* out of order; a gap; later sections extended */
	{"a/b; t*1=B; t*0=A; t*3=D", "a/b|t=AB"},
	{"a/b; t*0=A; t*1*=%42", "a/b|t*=''A%42"},
	{"a/b; x=1; x*=utf-8''2", "a/b|x=1|x*=utf-8''2"},
	/* one name, three ways to write its value */
	{"a/b; t*0*=utf-8''A; t*0=B; t*=C", "a/b|t*=utf-8''A"},
	{"a/b; t*=utf-8''C; t*0*=utf-8''A", "a/b|t*=utf-8''C"},
	{"a/b; t*1=alone", "a/b"},
	{"a/b; t*100=x; *=y", "a/b|t*100=x|*=y"},
};

static void test_structured(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(structured_cases); i++) {
		struct header_structured structured;
		struct buf shown;

		assert_int_equal(
			header_structured_parse(bytes_string(structured_cases[i][0]), &structured),
			ERR_OK);
		shown = show(&structured);
		assert_bytes(bytes_of_buf(&shown), structured_cases[i][1]);
		buf_finish(&shown);
		header_structured_finish(&structured);
	}
}

static void test_parameter_decoding(void **state)
{
	static const char *const cases[][2] = {
		{"a; filename=x.txt", "x.txt"},
		{"a; filename*=utf-8''%e2%82%ac%20rates; filename=\"? rates\"", "€ rates"},
		{"a; filename=\"=?utf-8?Q?=E2=82=AC?=\"", "€"},
		{"a; filename*=iso-8859-1'de'%fc", "ü"},
		{"a; filename*=x-no-such''%41", "A"},
		{"a; filename*=no quotes%4", "no quotes%4"},
		{"a; FILENAME*0*=''%41; filename*1=B", "AB"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct header_structured structured;
		struct buf out = {0};

		assert_int_equal(header_structured_parse(bytes_string(cases[i][0]), &structured),
				 ERR_OK);
		assert_true(header_parameter_decode(structured.parameters,
						    structured.parameter_count,
						    bytes_string("filename"), &out));
		assert_bytes(bytes_of_buf(&out), cases[i][1]);
		assert_false(header_parameter_decode(structured.parameters,
						     structured.parameter_count,
						     bytes_string("file"), &out));
		buf_finish(&out);
		header_structured_finish(&structured);
	}
}

static void test_many_parameters(void **state)
{
	struct header_structured structured;
	struct buf value = {0};

	(void)state;
	buf_put_string(&value, "a/b");
	for (int i = 0; i < 10000; i++)
		buf_printf(&value, "; p%d=v", i);
	assert_int_equal(header_structured_parse(bytes_of_buf(&value), &structured), ERR_OK);
	assert_int_equal(structured.parameter_count, HEADER_PARAMETERS_MAX);
	assert_true(structured.cut);
	header_structured_finish(&structured);
	buf_finish(&value);
}

static void test_memory_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(structured_cases); i++) {
		struct header_structured structured;
		enum err err = ERR_NOMEM;

		for (uint64_t n = 0; err != ERR_OK; n++) {
			memory_fail_after(n);
			err = header_structured_parse(bytes_string(structured_cases[i][0]),
						      &structured);
			memory_fail_after(UINT64_MAX);
			assert_true(err == ERR_OK || err == ERR_NOMEM);
			assert_true(n < 100);
		}
		header_structured_finish(&structured);
	}
	for (uint64_t n = 0; n < 100; n++) {
		struct buf out = {0};
		enum err err;

		memory_fail_after(n);
		header_decode(bytes_string("a =?utf-8?Q?=C3?= =?koi8-r?B?wQ==?= b"), &out);
		memory_fail_after(UINT64_MAX);
		err = out.err;
		buf_finish(&out);
		assert_true(err == ERR_OK || err == ERR_NOMEM);
		if (err == ERR_OK) {
			assert_true(n >= 3);
			return;
		}
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_odd_blocks),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_unfolding),
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_structured),
		cmocka_unit_test(test_parameter_decoding),
		cmocka_unit_test(test_many_parameters),
		cmocka_unit_test(test_memory_failures),
	};

	return cmocka_run_group_tests_name("mail/header", tests, NULL, NULL);
}
