/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "imap/fetch.h"
#include "imap/search.h"

/* ---- sets ---- */

static void check_set(const char *text, uint32_t largest, const char *expected)
{
	struct arena arena = {0};
	struct imap_parser parser;
	struct imap_set set;
	struct buf out = {0};

	imap_parser_init(&parser, bytes_string(text), NULL, 0, &arena);
	set = imap_sequence_set(&parser);
	imap_end(&parser);
	if (expected == NULL) {
		assert_true(imap_failed(&parser));
	} else {
		assert_false(imap_failed(&parser));
		imap_set_resolve(&set, largest);
		for (size_t i = 0; i < set.count; i++)
			buf_printf(&out, "%s%u:%u", i == 0 ? "" : ",",
				   (unsigned)set.ranges[i].first, (unsigned)set.ranges[i].last);
		buf_put_u8(&out, '\0');
		assert_string_equal((const char *)out.data, expected);
	}
	buf_finish(&out);
	arena_finish(&arena);
}

static void test_sets(void **state)
{
	(void)state;
	check_set("1", 9, "1:1");
	check_set("*", 9, "9:9");
	check_set("1:*", 9, "1:9");
	check_set("*:1", 9, "1:9");
	check_set("12:*", 9, "9:12");
	check_set("5,1:3,2:4,9", 9, "1:4,5:5,9:9");
	check_set("4294967295", 9, "4294967295:4294967295");
	check_set("1:4294967295", 9, "1:4294967295");
	check_set("4294967296", 9, NULL);
	check_set("0", 9, NULL);
	check_set("1:0", 9, NULL);
	check_set("1,", 9, NULL);
	check_set(",1", 9, NULL);
	check_set("1:", 9, NULL);
	check_set("1:2:3", 9, NULL);
	check_set("**", 9, NULL);
	check_set("$", 9, NULL);
	check_set("", 9, NULL);
	check_set("99999999999999999999999", 9, NULL);
}

static void test_contains(void **state)
{
	struct imap_range ranges[] = {{2, 3}, {7, 7}, {10, UINT32_MAX}};
	const struct imap_set set = {.ranges = ranges, .count = 3};

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(imap_set_contains(&set, i), i == 2 || i == 3 || i == 7 || i >= 10);
	assert_true(imap_set_contains(&set, UINT32_MAX));
}

static void test_put_set(void **state)
{
	static const uint32_t numbers[] = {1, 2, 3, 5, 7, 8, UINT32_MAX};
	struct buf out = {0};

	(void)state;
	imap_put_set(&out, numbers, 7);
	buf_put_u8(&out, '\0');
	assert_string_equal((const char *)out.data, "1:3,5,7:8,4294967295");
	buf_finish(&out);
}

/* ---- strings ---- */

static void test_strings(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"atom", "atom"},   {"\"\"", ""},
		{"\"a b\"", "a b"}, {"\"a\\\"b\\\\\"", "a\"b\\"},
		{"a]b", "a]b"},	    {"\"a", NULL},
		{"\"a\\x\"", NULL}, {"a b", NULL},
		{"(", NULL},	    {"\"a\rb\"", NULL},
		{"", NULL},	    {"a%", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena arena = {0};
		struct imap_parser parser;
		struct bytes string;

		imap_parser_init(&parser, bytes_string(cases[i].text), NULL, 0, &arena);
		string = imap_astring(&parser);
		imap_end(&parser);
		assert_int_equal(imap_failed(&parser), cases[i].expected == NULL);
		if (cases[i].expected != NULL)
			assert_true(bytes_equal(string, bytes_string(cases[i].expected)));
		arena_finish(&arena);
	}
}

/* ---- every truncation, every changed octet: an answer, and nothing read beyond ---- */

/* As the session's. */
#define ARENA_LIMIT (32u << 20)

enum grammar { FETCH, SEARCH, FLAGS, MAILBOX, GRAMMAR_COUNT };

static void run_grammar(enum grammar grammar, struct imap_parser *parser, size_t *key_count)
{
	struct fetch_request request;
	struct search search;

	switch (grammar) {
	case FETCH:
		(void)imap_sequence_set(parser);
		imap_space(parser);
		fetch_parse(parser, false, &request);
		imap_end(parser);
		assert_true(imap_failed(parser) || request.count <= FETCH_ITEMS_MAX);
		break;
	case SEARCH:
		search_parse(parser, &search);
		*key_count = search.key_count;
		if (search.unknown_charset)
			imap_fail(parser, "unknown charset");
		search_finish(&search);
		break;
	case FLAGS:
		(void)imap_flag_list(parser, true);
		imap_end(parser);
		break;
	case MAILBOX:
		(void)imap_mailbox(parser);
		imap_end(parser);
		break;
	case GRAMMAR_COUNT:
		break;
	}
}

/* Whether the text was accepted. Whatever it is, its cost stays below what a command may cost. */
static bool parse(enum grammar grammar, struct bytes text, size_t literal_offset,
		  size_t literal_size)
{
	struct imap_literal literal = {.offset = literal_offset, .size = literal_size};
	size_t literals = literal_size != 0 && literal_offset + literal_size <= text.size;
	struct arena arena = {.limit = ARENA_LIMIT};
	struct imap_parser parser;
	size_t key_count = 0;
	bool accepted;
	/* Of exactly this size, so that the sanitizer sees a read beyond. */
	uint8_t *copy = memory_allocate(text.size);

	assert_non_null(copy);
	if (text.size != 0)
		memcpy(copy, text.data, text.size);
	imap_parser_init(&parser, bytes_make(copy, text.size), &literal, literals, &arena);
	run_grammar(grammar, &parser, &key_count);
	accepted = !imap_failed(&parser);
	assert_true(parser.offset <= text.size);
	assert_true(key_count <= SEARCH_KEYS_MAX);
	assert_true(arena.used < ARENA_LIMIT / 4);
	memory_free(copy);
	arena_finish(&arena);
	return accepted;
}

static void test_truncated(void **state)
{
	static const char *const texts[GRAMMAR_COUNT] = {
		[FETCH] = "1:* (FLAGS UID BODY.PEEK[1.2.HEADER.FIELDS.NOT (a \"b\")]<5.10> RFC822 "
			  "ENVELOPE)",
		[SEARCH] = "CHARSET UTF-8 OR (FROM \"x\" SEEN) NOT (TEXT y 1:5,* UID 9 SINCE "
			   "1-Jan-2020 KEYWORD k LARGER 5 HEADER \"\" \"\")",
		[FLAGS] = "(\\Seen $a \\Deleted)",
		[MAILBOX] = "\"&U,BTFw-/x\"",
	};

	(void)state;
	for (enum grammar i = 0; i < GRAMMAR_COUNT; i++) {
		struct bytes text = bytes_string(texts[i]);

		for (size_t size = 0; size < text.size; size++) {
			assert_false(parse(i, bytes_slice(text, 0, size), 0, 0));
			(void)parse(i, bytes_slice(text, 0, size), size / 2, size / 4);
		}
		assert_true(parse(i, text, 0, 0));
		/* A parser of another grammar has an answer, too. */
		for (enum grammar k = 0; k < GRAMMAR_COUNT; k++)
			assert_int_equal(parse(k, text, 0, 0), k == i);
	}
}

static void test_changed(void **state)
{
	static const uint8_t octets[] = {0, '"', '(', ')', '{', '\\', ' ', '*', '9', 0xff};
	static const char *const texts[GRAMMAR_COUNT] = {
		[FETCH] = "1:* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (a \"b\")]<5.10>)",
		[SEARCH] = "OR (FROM \"x\" SEEN) NOT (TEXT y 1:5,* SINCE 1-Jan-2020 LARGER 5)",
		[FLAGS] = "(\\Seen $a \\Deleted)",
		[MAILBOX] = "\"&U,BTFw-/x\"",
	};

	(void)state;
	for (enum grammar i = 0; i < GRAMMAR_COUNT; i++) {
		size_t size = strlen(texts[i]);

		for (size_t at = 0; at < size; at++) {
			struct buf changed = {0};

			buf_put_string(&changed, texts[i]);
			for (size_t k = 0; k < sizeof(octets); k++) {
				changed.data[at] = octets[k];
				/* NUL stands nowhere in a command. */
				assert_false(parse(i, bytes_of_buf(&changed), 0, 0) &&
					     octets[k] == 0);
			}
			buf_finish(&changed);
		}
	}
}

/* What a command may hold is bounded, however it is nested or repeated. */
static void test_bounds(void **state)
{
	static const char *const units[] = {"(", "NOT ", "OR ", "ALL ", "FROM x ", "((ALL) "};

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct buf text = {0};

		while (text.size < 200000)
			buf_put_string(&text, units[i]);
		buf_put_string(&text, "ALL");
		for (enum grammar k = 0; k < GRAMMAR_COUNT; k++)
			/* To STORE the words are keywords, which the folder limits. */
			assert_false(parse(k, bytes_of_buf(&text), 0, 0) && k != FLAGS);
		buf_finish(&text);
	}
}

/* The deepest nesting that is allowed, and one more. */
static void test_nesting(void **state)
{
	struct buf text = {0};

	(void)state;
	for (unsigned depth = 1; depth <= IMAP_NESTING_MAX + 1; depth++) {
		buf_clear(&text);
		for (unsigned i = 1; i < depth; i++)
			buf_put_string(&text, "NOT ");
		buf_put_string(&text, "ALL");
		assert_int_equal(parse(SEARCH, bytes_of_buf(&text), 0, 0),
				 depth <= IMAP_NESTING_MAX);
	}
	buf_finish(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),	  cmocka_unit_test(test_contains),
		cmocka_unit_test(test_put_set),	  cmocka_unit_test(test_strings),
		cmocka_unit_test(test_truncated), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_changed),	  cmocka_unit_test(test_nesting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
