/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/account/account.h"
#include "tests/support/unit_env.h"

struct example {
	const char *address, *normal; /* NULL: refused */
};

#define LOCAL_64 "0123456789012345678901234567890123456789012345678901234567890123"
#define LABEL_63 "a12345678901234567890123456789012345678901234567890123456789012"

static const struct example examples[] = {
	{"alice@example.org", "alice@example.org"},
	{"Alice@Example.ORG", "alice@example.org"},
	{"a.b+c-d_e@x-y.example", "a.b+c-d_e@x-y.example"},
	{"!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org"},
	{"postmaster@localhost", "postmaster@localhost"},
	{"x@xn--BCHER-kva.example", "x@xn--bcher-kva.example"},
	/* Quotes go where they are not needed, and come out one way where they are. */
	{"\"alice\"@example.org", "alice@example.org"},
	{"\"Al\\ice\"@example.org", "alice@example.org"},
	{"\"a b\"@example.org", "\"a b\"@example.org"},
	{"\"a@b\"@example.org", "\"a@b\"@example.org"},
	{"\"a\\\"b\\\\c\"@example.org", "\"a\\\"b\\\\c\"@example.org"},
	{"\"a..b\"@example.org", "\"a..b\"@example.org"},
	{"\"\"@example.org", "\"\"@example.org"},
	{"\"(),:;<>[]\"@example.org", "\"(),:;<>[]\"@example.org"},
	/* NFC and case folding: e + acute, sharp s, capital omega, Turkish dotted I. */
	{"Jose\xcc\x81@example.org", "jos\xc3\xa9@example.org"},
	{"JOS\xc3\x89@example.org", "jos\xc3\xa9@example.org"},
	{"stra\xc3\x9f"
	 "e@example.org",
	 "strasse@example.org"},
	{"\xe2\x84\xa6@example.org", "\xcf\x89@example.org"},
	{"\xc4\xb0@example.org", "i\xcc\x87@example.org"},
	{"\xce\xa3\xcf\x82\xcf\x83@example.org", "\xcf\x83\xcf\x83\xcf\x83@example.org"},
	{LOCAL_64 "@example.org", LOCAL_64 "@example.org"},
	{"a@" LABEL_63 ".org", "a@" LABEL_63 ".org"},

	{"", NULL},
	{"@", NULL},
	{"alice", NULL},
	{"alice@", NULL},
	{"@example.org", NULL},
	{"a b@example.org", NULL},
	{" alice@example.org", NULL},
	{"alice@example.org ", NULL},
	{".alice@example.org", NULL},
	{"alice.@example.org", NULL},
	{"al..ice@example.org", NULL},
	{"al\"ice@example.org", NULL},
	{"\"alice@example.org", NULL},
	{"\"alice\"x@example.org", NULL},
	{"\"alice\\\"@example.org", NULL},
	{"a@b@example.org", NULL},
	{"a(b)@example.org", NULL},
	{"<alice@example.org>", NULL},
	{"alice@example..org", NULL},
	{"alice@.example.org", NULL},
	{"alice@example.org.", NULL},
	{"alice@-example.org", NULL},
	{"alice@example-.org", NULL},
	{"alice@exam_ple.org", NULL},
	{"alice@exam ple.org", NULL},
	{"alice@[192.0.2.1]", NULL},
	{"alice@b\xc3\xbc"
	 "cher.example",
	 NULL},
	{"a@a" LABEL_63 ".org", NULL},
	{"a" LOCAL_64 "@example.org", NULL},
	/* Controls, line ends, directions, wide spaces, noncharacters, broken UTF-8. */
	{"al\tice@example.org", NULL},
	{"\"al\tice\"@example.org", NULL},
	{"\"al\r\nice\"@example.org", NULL},
	{"al\x7fice@example.org", NULL},
	{"al\xe2\x80\xa8ice@example.org", NULL},
	{"al\xe2\x80\xaeice@example.org", NULL},
	{"al\xc2\xa0ice@example.org", NULL},
	{"\"al\xe3\x80\x80ice\"@example.org", NULL},
	{"al\xef\xbf\xbfice@example.org", NULL},
	{"al\xc3@example.org", NULL},
	{"al\xc0\x80@example.org", NULL},
	{"al\xed\xa0\x80@example.org", NULL},
};

static void test_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct buf out = {0};
		enum err err;

		buf_put_string(&out, "x");
		err = address_normalise(bytes_string(examples[i].address), &out);
		if ((err == ERR_OK) != (examples[i].normal != NULL))
			fail_msg("%s: %s", examples[i].address, err_name(err));
		assert_true(err == ERR_OK || err == ERR_INVALID);
		if (err == ERR_OK)
			assert_true(bytes_equal(bytes_slice(bytes_of_buf(&out), 1, SIZE_MAX),
						bytes_string(examples[i].normal)));
		else
			assert_int_equal(out.size, 1);
		buf_finish(&out);
	}
}

static void test_sizes(void **state)
{
	uint8_t address[ADDRESS_MAX + 1];
	struct buf out = {0};

	(void)state;
	/* "a@" and labels of one letter: the domain may have 253 octets. */
	memset(address, 'a', sizeof(address));
	for (size_t i = 1; i < sizeof(address); i += 2)
		address[i] = '.';
	address[1] = '@';
	assert_ok(address_normalise(bytes_make(address, 2 + 253), &out));
	assert_int_equal(address_normalise(bytes_make(address, 2 + 255), &out), ERR_INVALID);
	assert_int_equal(address_normalise(bytes_make(address, sizeof(address)), &out),
			 ERR_INVALID);
	assert_int_equal(address_normalise(bytes_make("al\0ice@example.org", 18), &out),
			 ERR_INVALID);
	buf_finish(&out);
}

/* Whatever comes in, what comes out is its own normal form. */
static void test_normal_forms_are_their_own(void **state)
{
	static const char *const parts[] = {
		"a",
		"B",
		".",
		"\"",
		"\\",
		"@",
		" ",
		"+",
		"e\xcc\x81",
		"\xc3\x89",
		"\xcd\x85",
		"\xc4\xb0",
		"\xe1\xbe\xbc",
		"\xef\xac\x83",
		"\xce\x90",
		"\xcc\xa7",
		"-",
		"\xc3",
		"\xe1\x84\x80\xe1\x85\xa1",
		"\xc7\x85",
	};
	struct unit_env test;
	size_t accepted = 0;

	(void)state;
	unit_env_init(&test, 3);
	for (size_t n = 0; n < 20000; n++) {
		struct buf address = {0}, once = {0}, twice = {0};

		if (n % 2 == 0)
			buf_put_u8(&address, '"');
		for (size_t i = unit_env_below(&test, 10); i > 0; i--)
			buf_put_string(
				&address,
				parts[unit_env_below(&test, sizeof(parts) / sizeof(parts[0]))]);
		if (n % 2 == 0)
			buf_put_u8(&address, '"');
		buf_put_string(&address, "@example.org");
		if (address_normalise(bytes_of_buf(&address), &once) == ERR_OK) {
			accepted++;
			assert_ok(address_normalise(bytes_of_buf(&once), &twice));
			assert_true(bytes_equal(bytes_of_buf(&once), bytes_of_buf(&twice)));
		}
		buf_finish(&address);
		buf_finish(&once);
		buf_finish(&twice);
	}
	assert_true(accepted > 1000);
}

static void test_every_allocation_may_fail(void **state)
{
	bool failed;

	(void)state;
	FOR_EACH_ALLOCATION(failed)
	{
		struct buf out = {0};
		enum err err =
			address_normalise(bytes_string("\"Jos\xc3\x89 \"@example.org"), &out);

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		assert_true((out.size == 0) == failed);
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_normal_forms_are_their_own),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
