/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/utf7.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const pairs[][2] = {
	{"", ""},
	{"INBOX", "INBOX"},
	{"a & b", "a &- b"},
	{"Entwürfe", "Entw&APw-rfe"},
	/* RFC 3501 section 5.1.3 */
	{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
	{"😀", "&2D3eAA-"},
	{"a\x01"
	 "b\x7f",
	 "a&AAE-b&AH8-"},
};

static const char *const no_names[] = {
	"&",	 "a&",	"&AGE",	  "&AGE-",   "&APw",	  "&APx-",  "&APw-&APw-",
	"&AP-",	 "&A-", "&2D0-",  "&3gA-",   "&AP/-",	  "&AP w-", "\xc3\xbc",
	"a\x01", "&,-", "&APw=-", "&APw--&", "&AAA-\x7f",
};

static void test_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct buf encoded = {0}, decoded = {0};

		assert_int_equal(utf7_encode(bytes_string(pairs[i][0]), &encoded), ERR_OK);
		assert_true(bytes_equal(bytes_of_buf(&encoded), bytes_string(pairs[i][1])));
		assert_int_equal(utf7_decode(bytes_string(pairs[i][1]), &decoded), ERR_OK);
		assert_true(bytes_equal(bytes_of_buf(&decoded), bytes_string(pairs[i][0])));
		buf_finish(&encoded);
		buf_finish(&decoded);
	}
}

static void test_refusals(void **state)
{
	struct buf out = {0};

	(void)state;
	buf_put_string(&out, "before");
	for (size_t i = 0; i < COUNT(no_names); i++)
		if (utf7_decode(bytes_string(no_names[i]), &out) != ERR_INVALID)
			fail_msg("%s: accepted", no_names[i]);
	assert_int_equal(utf7_encode(bytes_string("a\xff"), &out), ERR_INVALID);
	assert_true(bytes_equal(bytes_of_buf(&out), bytes_string("before")));
	buf_finish(&out);
}

static void test_memory_failures(void **state)
{
	(void)state;
	for (size_t i = 1; i < COUNT(pairs); i++) {
		for (int decode = 0; decode < 2; decode++) {
			enum err err = ERR_NOMEM;

			for (uint64_t n = 0; err != ERR_OK; n++) {
				struct buf out = {0};

				memory_fail_after(n);
				err = decode ? utf7_decode(bytes_string(pairs[i][1]), &out)
					     : utf7_encode(bytes_string(pairs[i][0]), &out);
				memory_fail_after(UINT64_MAX);
				assert_true(err == ERR_OK || err == ERR_NOMEM);
				assert_true(err == ERR_OK || out.size == 0);
				assert_true(n < 50);
				buf_finish(&out);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_memory_failures),
	};

	return cmocka_run_group_tests_name("mail/utf7", tests, NULL, NULL);
}
