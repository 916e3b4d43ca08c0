/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lmtp/command.h"

static void check_verb(const char *line, enum lmtp_verb verb, const char *argument)
{
	struct lmtp_command command = lmtp_command_parse(bytes_string(line));

	assert_int_equal(command.verb, verb);
	assert_true(bytes_equal(command.argument, bytes_string(argument)));
}

static void test_verbs(void **state)
{
	(void)state;
	check_verb("LHLO mx.example.org", LMTP_LHLO, "mx.example.org");
	check_verb("mail FROM:<>", LMTP_MAIL, "FROM:<>");
	check_verb("EHLO x", LMTP_HELO, "x");
	check_verb("DATA  ", LMTP_DATA, "");
	check_verb("", LMTP_UNKNOWN, "");
	check_verb("DATAX", LMTP_UNKNOWN, "");
}

static void check_from(const char *argument, enum err err, const char *path, uint64_t size)
{
	struct lmtp_path parsed;

	assert_int_equal(lmtp_parse_from(bytes_string(argument), &parsed), err);
	if (err != ERR_OK)
		return;
	assert_true(bytes_equal(parsed.path, bytes_string(path)));
	assert_true(parsed.size == size);
}

static void test_from(void **state)
{
	(void)state;
	check_from("FROM:<>", ERR_OK, "", 0);
	check_from("from: <a@b> SIZE=123 BODY=8BITMIME SMTPUTF8", ERR_OK, "a@b", 123);
	check_from("FROM:<@x,@y:a@b> RET=HDRS ENVID=q", ERR_OK, "a@b", 0);
	check_from("FROM:<\"a>b c\"@d>", ERR_OK, "\"a>b c\"@d", 0);
	check_from("FROM:a@b", ERR_INVALID, "", 0);
	check_from("FROM:<a@b", ERR_INVALID, "", 0);
	check_from("FROM:<\"a\\\r\"@d>", ERR_INVALID, "", 0);
	check_from("FROM:<\"a\\\"b\"@d>", ERR_OK, "\"a\\\"b\"@d", 0);
	check_from("FROM:<a@b>x", ERR_INVALID, "", 0);
	check_from("FROM:<a b@c>", ERR_INVALID, "", 0);
	check_from("FROM:<a@b> FROB=1", ERR_NOTFOUND, "", 0);
	check_from("FROM:<a@b> RET=", ERR_NOTFOUND, "", 0);
	check_from("FROM:<a@b> SIZE=", ERR_INVALID, "", 0);
	check_from("FROM:<a@b> SIZE=99999999999999999999", ERR_LIMIT, "", 0);
	check_from("FROM:<a@b> BODY=BINARYMIME", ERR_INVALID, "", 0);
	check_from("TO:<a@b>", ERR_INVALID, "", 0);
}

static void test_to(void **state)
{
	char longest[400];
	struct lmtp_path parsed;

	(void)state;
	assert_int_equal(lmtp_parse_to(bytes_string("TO:<a+b@c> NOTIFY=NEVER"), &parsed), ERR_OK);
	assert_true(bytes_equal(parsed.path, bytes_string("a+b@c")));
	assert_int_equal(lmtp_parse_to(bytes_string("TO:<>"), &parsed), ERR_INVALID);
	assert_int_equal(lmtp_parse_to(bytes_string("TO:<a@b> SIZE=1"), &parsed), ERR_NOTFOUND);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "TO:<", 4);
	longest[sizeof(longest) - 2] = '>';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(lmtp_parse_to(bytes_string(longest), &parsed), ERR_LIMIT);
}

static void check_detail(const char *address, const char *base, const char *detail)
{
	struct buf buf = {0};
	struct bytes found;

	lmtp_split_detail(bytes_string(address), &buf, &found);
	assert_true(bytes_equal(bytes_of_buf(&buf), bytes_string(base)));
	assert_true(bytes_equal(found, bytes_string(detail)));
	buf_finish(&buf);
}

static void test_detail(void **state)
{
	(void)state;
	check_detail("a@b", "a@b", "");
	check_detail("a+x@b", "a@b", "x");
	check_detail("a+x+y@b", "a@b", "x+y");
	check_detail("a+@b", "a@b", "");
	check_detail("a@b+c", "a@b+c", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_to),
		cmocka_unit_test(test_detail),
	};

	return cmocka_run_group_tests_name("lmtp/command", tests, NULL, NULL);
}
