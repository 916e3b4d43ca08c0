/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Addresses as in an ENVELOPE: (name route mailbox host), NIL for what is absent. */
static const struct {
	const char *value, *expected;
} cases[] = {
	{"", ""},
	{" ,, ; (only a comment) ,\r\n ", ""},
	{"user@domain", "(NIL NIL [user] [domain])"},
	{"<user@domain>", "(NIL NIL [user] [domain])"},
	{"Real Name <user@domain>", "([Real Name] NIL [user] [domain])"},
	{"\"Real \\\"Q.\\\" Name\" <user@domain>", "([Real \"Q.\" Name] NIL [user] [domain])"},
	{"Joe Q. Public <joe@x.org>", "([Joe Q. Public] NIL [joe] [x.org])"},
	{"user@domain (Real (nested) Name)", "([Real (nested) Name] NIL [user] [domain])"},
	{"Name <user@domain> (comment)", "([Name] NIL [user] [domain])"},
	{"=?utf-8?Q?J=C3=BCrgen,_x?= <j@x.org>", "([=?utf-8?Q?J=C3=BCrgen,_x?=] NIL [j] [x.org])"},
	{"a@b, c@d ,\r\n\te@f", "(NIL NIL [a] [b])(NIL NIL [c] [d])(NIL NIL [e] [f])"},
	/* groups */
	{"group: g1@d1.org, g2@d2.org;, group2: g3@d3.org;",
	 "(NIL NIL [group] NIL)(NIL NIL [g1] [d1.org])(NIL NIL [g2] [d2.org])(NIL NIL NIL NIL)"
	 "(NIL NIL [group2] NIL)(NIL NIL [g3] [d3.org])(NIL NIL NIL NIL)"},
	{"undisclosed-recipients:;", "(NIL NIL [undisclosed-recipients] NIL)(NIL NIL NIL NIL)"},
	{"group2: (foo) ;", "(NIL NIL [group2] NIL)(NIL NIL NIL NIL)"},
	{"\"a: b\": x@y", "(NIL NIL [a: b] NIL)(NIL NIL [x] [y])(NIL NIL NIL NIL)"},
	{"My Friends: Joe <j@x.org>",
	 "(NIL NIL [My Friends] NIL)([Joe] NIL [j] [x.org])(NIL NIL NIL NIL)"},
	/* obsolete */
	{"<@a.org,@b.org:user@c.org>", "(NIL [@a.org,@b.org] [user] [c.org])"},
	{"joe . doe @ x . org", "(NIL NIL [joe.doe] [x.org])"},
	{"user@[192.0.2.1]", "(NIL NIL [user] [[192.0.2.1]])"},
	{"\"a b@c\"@d", "(NIL NIL [a b@c] [d])"},
	{"(before) user (within) @ (more) domain (after)", "([after] NIL [user] [domain])"},
	/* broken */
	{"nobody", "(NIL NIL [nobody] [])"},
	{"two words", "(NIL NIL [two words] [])"},
	{"<nobody>", "(NIL NIL [nobody] [])"},
	{"<>", "(NIL NIL [] [])"},
	{"@domain", "(NIL NIL [] [domain])"},
	{"user@", "(NIL NIL [user] [])"},
	{"Name <user@domain", "([Name] NIL [user] [domain])"},
	{"Name <user@domain, next@x", "([Name] NIL [user] [domain])(NIL NIL [next] [x])"},
	{"\"unclosed <user@domain>", "(NIL NIL [unclosed <user@domain>] [])"},
	{"user@domain (unclosed", "([unclosed] NIL [user] [domain])"},
	{"John Doe john@x.org", "([John Doe] NIL [john] [x.org])"},
	{"a@b c@d", "(NIL NIL [a] [b])"},
	{"a@b; c@d", "(NIL NIL [a] [b])(NIL NIL [c] [d])"},
	{"a@b@c", "(NIL NIL [a] [b@c])"},
	{"user@domain <user@domain>", "([user@domain] NIL [user] [domain])"},
	{"J\xc3\xbcrgen <j\xff@x>", "([J\xc3\xbcrgen] NIL [j\xff] [x])"},
};

static void put(struct buf *out, struct bytes text)
{
	if (text.data == NULL) {
		buf_put_string(out, "NIL");
		return;
	}
	buf_put_string(out, "[");
	buf_put_bytes(out, text);
	buf_put_string(out, "]");
}

static struct buf show(const struct address_list *list)
{
	struct buf out = {0};

	for (size_t i = 0; i < list->count; i++) {
		buf_put_string(&out, "(");
		put(&out, list->items[i].name);
		buf_put_string(&out, " ");
		put(&out, list->items[i].route);
		buf_put_string(&out, " ");
		put(&out, list->items[i].mailbox);
		buf_put_string(&out, " ");
		put(&out, list->items[i].host);
		buf_put_string(&out, ")");
	}
	assert_int_equal(out.err, ERR_OK);
	return out;
}

static void test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address_list list;
		struct buf shown;

		assert_int_equal(address_parse(bytes_string(cases[i].value), &list), ERR_OK);
		shown = show(&list);
		if (!bytes_equal(bytes_of_buf(&shown), bytes_string(cases[i].expected)))
			fail_msg("%s\n found    %.*s\n expected %s", cases[i].value,
				 (int)shown.size, shown.data, cases[i].expected);
		buf_finish(&shown);
		address_list_finish(&list);
		assert_null(list.items);
	}
}

/* Any octets: no more text than came in, groups always closed. */
static void test_any_octets(void **state)
{
	static const char alphabet[] = "aB1 .,;:<>@()[]\"\\=?\r\n\t\xc3\xa4";
	uint64_t random = 88172645463325252u;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t value[48];
		struct address_list list;
		bool open = false;

		for (size_t i = 0; i < sizeof(value); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			value[i] = (uint8_t)alphabet[random % sizeof(alphabet)];
		}
		assert_int_equal(address_parse(bytes_make(value, sizeof(value)), &list), ERR_OK);
		for (size_t i = 0; i < list.count; i++) {
			if (list.items[i].host.data != NULL) {
				assert_non_null(list.items[i].mailbox.data);
				continue;
			}
			assert_true(open == (list.items[i].mailbox.data == NULL));
			open = !open;
		}
		assert_false(open);
		address_list_finish(&list);
	}
}

static void test_bounds(void **state)
{
	struct address_list list;
	struct buf value = {0};

	(void)state;
	buf_put_string(&value, "group:");
	for (int i = 0; i < 20000; i++)
		buf_put_string(&value, "a@b,");
	assert_int_equal(address_parse(bytes_of_buf(&value), &list), ERR_OK);
	assert_int_equal(list.count, ADDRESS_COUNT_MAX);
	assert_null(list.items[list.count - 1].mailbox.data);
	assert_null(list.items[list.count - 1].host.data);
	address_list_finish(&list);
	buf_clear(&value);
	for (int i = 0; i < 100000; i++)
		buf_put_string(&value, "(");
	assert_int_equal(address_parse(bytes_of_buf(&value), &list), ERR_OK);
	assert_int_equal(list.count, 0);
	address_list_finish(&list);
	buf_finish(&value);
}

static void test_memory_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address_list list;
		enum err err = ERR_NOMEM;

		for (uint64_t n = 0; err != ERR_OK; n++) {
			memory_fail_after(n);
			err = address_parse(bytes_string(cases[i].value), &list);
			memory_fail_after(UINT64_MAX);
			assert_true(err == ERR_OK || err == ERR_NOMEM);
			assert_true(n < 100);
		}
		address_list_finish(&list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_any_octets),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_memory_failures),
	};

	return cmocka_run_group_tests_name("mail/address", tests, NULL, NULL);
}
