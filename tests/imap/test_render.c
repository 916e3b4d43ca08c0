/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "imap/render.h"

static void expect_text(struct buf *out, const char *expected)
{
	buf_put_u8(out, '\0');
	assert_string_equal((const char *)out->data, expected);
	buf_finish(out);
}

static void test_numbers(void **state)
{
	static const uint64_t numbers[] = {0, 9, 10, 4294967295u, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct buf out = {0};
		char expected[32];

		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)numbers[i]);
		render_number(&out, numbers[i]);
		expect_text(&out, expected);
	}
}

static void check_string(struct bytes string, const char *expected)
{
	struct buf out = {0};

	render_nstring(&out, string);
	expect_text(&out, expected);
}

static void test_strings(void **state)
{
	(void)state;
	check_string(bytes_make(NULL, 0), "NIL");
	check_string(bytes_string(""), "\"\"");
	check_string(bytes_string("a\"b\\c\""), "\"a\\\"b\\\\c\\\"\"");
	check_string(bytes_string("tab\there"), "\"tab\there\"");
	check_string(bytes_string("line\r\nend"), "{9}\r\nline\r\nend");
	check_string(bytes_string("\xc3\xa9"), "{2}\r\n\xc3\xa9");
	check_string(bytes_make("a\0b", 3), "{3}\r\na\x80"
					    "b");
}

static void test_dates(void **state)
{
	struct buf out = {0};

	(void)state;
	render_date_time(&out, 837596665000u, -420);
	expect_text(&out, "\"17-Jul-1996 02:44:25 -0700\"");
	out = (struct buf){0};
	render_date_time(&out, 0, 345);
	expect_text(&out, "\"01-Jan-1970 05:45:00 +0545\"");
}

/* The ENVELOPE and the BODYSTRUCTURE of a message; NULL: not looked at. */
static void check_message(const char *message, const char *envelope, const char *structure)
{
	struct buf encoded = {0}, out = {0};
	struct summary summary;

	assert_ok(summary_of_message(bytes_string(message), &encoded));
	assert_ok(summary_decode(bytes_of_buf(&encoded), &summary));
	if (envelope != NULL) {
		render_envelope(&out, summary.root->envelope);
		expect_text(&out, envelope);
	}
	out = (struct buf){0};
	if (structure != NULL) {
		render_structure(&out, summary.root, true);
		expect_text(&out, structure);
	}
	summary_finish(&summary);
	buf_finish(&encoded);
}

static void test_envelopes(void **state)
{
	(void)state;
	check_message("\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)", NULL);
	/* Empty sender and reply-to count as absent; subject present but empty. */
	check_message("Subject:\r\nFrom: a@b\r\nSender: \r\nReply-To: c@d\r\n\r\n",
		      "(NIL \"\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
		      "((NIL NIL \"c\" \"d\")) NIL NIL NIL NIL NIL)",
		      NULL);
	check_message("To: team: a@b, \"Q \\\"x\\\"\" <c@d>;\r\nCc: undisclosed:;\r\n\r\n",
		      "(NIL NIL NIL NIL NIL ((NIL NIL \"team\" NIL)(NIL NIL \"a\" \"b\")"
		      "(\"Q \\\"x\\\"\" NIL \"c\" \"d\")(NIL NIL NIL NIL)) "
		      "((NIL NIL \"undisclosed\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)",
		      NULL);
	/* Encoded words stay, raw 8-bit goes as a literal, folding goes. */
	check_message(
		"Subject: =?utf-8?q?=C3=A9?= \\ \"q\"\r\n more\r\nMessage-ID: <\xe9@x>\r\n\r\n",
		"(NIL \"=?utf-8?q?=C3=A9?= \\\\ \\\"q\\\" more\" NIL NIL NIL NIL NIL NIL NIL "
		"{5}\r\n<\xe9@x>)",
		NULL);
}

static void test_structures(void **state)
{
	(void)state;
	check_message("\r\nx\r\ny", NULL,
		      "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 1 NIL NIL "
		      "NIL NIL)");
	check_message("Content-Type: application/pdf; name*=utf-8''%e2%82%ac.pdf\r\n"
		      "Content-Transfer-Encoding: BASE64\r\nContent-ID: <i>\r\n"
		      "Content-Description: d\r\nContent-MD5: m\r\n"
		      "Content-Disposition: attachment; filename=\"a \\\"b\\\"\"\r\n"
		      "Content-Language: en, fr\r\nContent-Location: http://x/\r\n\r\nabcd",
		      NULL,
		      "(\"application\" \"pdf\" (\"name*\" \"utf-8''%e2%82%ac.pdf\") \"<i>\" \"d\" "
		      "\"BASE64\" 4 \"m\" (\"attachment\" (\"filename\" \"a \\\"b\\\"\")) "
		      "(\"en\" \"fr\") \"http://x/\")");
	check_message("Content-Type: multipart/empty; boundary=b\r\n\r\nnothing\r\n", NULL,
		      "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 9 1 NIL NIL "
		      "NIL NIL)");
	check_message("Content-Type: message/global\r\n\r\nSubject: in\r\n\r\nx", NULL,
		      "(\"message\" \"global\" NIL NIL NIL \"7bit\" 16 NIL NIL NIL NIL)");
	check_message(
		"Content-Type: multipart/digest; boundary=b\r\n"
		"Content-Disposition: inline\r\n\r\n--b\r\n\r\nFrom: a@b\r\n\r\nx\r\n--b--\r\n",
		NULL,
		"((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 14 (NIL NIL "
		"((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
		"NIL NIL NIL NIL NIL) (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL "
		"\"7bit\" 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \"digest\" "
		"(\"boundary\" \"b\") (\"inline\" NIL) NIL NIL)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	   cmocka_unit_test(test_strings),
		cmocka_unit_test(test_dates),	   cmocka_unit_test(test_envelopes),
		cmocka_unit_test(test_structures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
