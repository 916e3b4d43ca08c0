/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/section.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char multipart[] =
	"Subject: m\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
	"--o\r\n\r\nfirst\r\n"
	"--o\r\nContent-Type: message/rfc822\r\n\r\n"
	"Subject: n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
	"--i\r\nX: inner\r\n\r\nsecond\r\n--i--\r\n"
	"--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: leaf\r\n\r\nthird\r\n"
	"--o--\r\n";

static const char single[] = "Subject: s\r\n\r\nbody";

static const char nested[] = "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny";

#define NESTED_MULTIPART                                                                           \
	"Subject: n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"                          \
	"--i\r\nX: inner\r\n\r\nsecond\r\n--i--"

/* NULL: no such part. */
static const struct {
	const char *message, *section, *expected;
} cases[] = {
	{single, "", single},
	{single, "HEADER", "Subject: s\r\n\r\n"},
	{single, "header.fields", "Subject: s\r\n\r\n"},
	{single, "TEXT", "body"},
	{single, "1", "body"},
	{single, "1.MIME", "Subject: s\r\n\r\n"},
	{single, "1.TEXT", NULL},
	{single, "1.1", NULL},
	{single, "2", NULL},
	{multipart, "", multipart},
	{multipart, "1", "first"},
	{multipart, "1.MIME", "\r\n"},
	{multipart, "1.1", NULL},
	{multipart, "1.HEADER", NULL},
	{multipart, "2", NESTED_MULTIPART},
	{multipart, "2.mime", "Content-Type: message/rfc822\r\n\r\n"},
	{multipart, "2.HEADER", "Subject: n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"},
	{multipart, "2.HEADER.FIELDS.NOT",
	 "Subject: n\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"},
	{multipart, "2.TEXT", "--i\r\nX: inner\r\n\r\nsecond\r\n--i--"},
	{multipart, "2.1", "second"},
	{multipart, "2.1.MIME", "X: inner\r\n\r\n"},
	{multipart, "2.2", NULL},
	{multipart, "3", "Subject: leaf\r\n\r\nthird"},
	{multipart, "3.1", "third"},
	{multipart, "3.1.MIME", "Subject: leaf\r\n\r\n"},
	{multipart, "3.1.1", NULL},
	{multipart, "3.2", NULL},
	{multipart, "4", NULL},
	{multipart, "4294967295", NULL},
	{nested, "1", "Subject: x\r\n\r\ny"},
	{nested, "1.MIME", "Content-Type: message/rfc822\r\n\r\n"},
	{nested, "HEADER", "Content-Type: message/rfc822\r\n\r\n"},
	{nested, "TEXT", "Subject: x\r\n\r\ny"},
	{nested, "1.HEADER", "Subject: x\r\n\r\n"},
	{nested, "1.TEXT", "y"},
	{nested, "1.1", "y"},
	{nested, "2", NULL},
};

static void test_sections(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bytes message = bytes_string(cases[i].message), found;
		struct section_range range;
		struct section section;
		struct summary summary;
		struct buf encoded = {0};
		enum err err;

		assert_int_equal(summary_of_message(message, &encoded), ERR_OK);
		assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_OK);
		assert_int_equal(section_parse(bytes_string(cases[i].section), &section), ERR_OK);
		err = section_locate(&summary, &section, &range);
		assert_int_equal(err, cases[i].expected == NULL ? ERR_NOTFOUND : ERR_OK);
		if (err == ERR_OK) {
			found = bytes_slice(message, (size_t)range.offset, (size_t)range.size);
			if (!bytes_equal(found, bytes_string(cases[i].expected)))
				fail_msg("%s: \"%.*s\"", cases[i].section, (int)found.size,
					 (const char *)found.data);
			assert_non_null(range.part);
		}
		summary_finish(&summary);
		buf_finish(&encoded);
	}
}

static void test_syntax(void **state)
{
	static const char *const bad[] = {
		"0",	      "1.0",
		"01",	      "1.",
		".1",	      "1..2",
		"1.2.",	      "MIME",
		"HEADERS",    "1.HEADER.FIELD",
		"4294967296", "18446744073709551617",
		"HEADER.",    "1HEADER",
		" 1",	      "-1",
		"TEXT.1",
	};
	struct section section;
	struct buf deep = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (section_parse(bytes_string(bad[i]), &section) != ERR_INVALID)
			fail_msg("%s: accepted", bad[i]);
	for (int i = 0; i < SUMMARY_DEPTH_MAX; i++)
		buf_put_string(&deep, i == 0 ? "1" : ".1");
	assert_int_equal(section_parse(bytes_of_buf(&deep), &section), ERR_OK);
	assert_int_equal(section.number_count, SUMMARY_DEPTH_MAX);
	buf_put_string(&deep, ".1");
	assert_int_equal(section_parse(bytes_of_buf(&deep), &section), ERR_LIMIT);
	buf_finish(&deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_syntax),
	};

	return cmocka_run_group_tests_name("mail/section", tests, NULL, NULL);
}
