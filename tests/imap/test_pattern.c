/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "imap/pattern.h"

static bool matches(const char *pattern_text, const char *name)
{
	struct arena arena = {0};
	struct pattern pattern;
	bool result;

	assert_ok(pattern_init(&pattern, bytes_string(pattern_text), &arena));
	result = pattern_matches(&pattern, bytes_string(name));
	arena_finish(&arena);
	return result;
}

/* The definition, which takes exponential time. */
static bool matches_slowly(const char *pattern, const char *name)
{
	if (*pattern == '\0')
		return *name == '\0';
	if (*pattern == '*' || *pattern == '%')
		return matches_slowly(pattern + 1, name) ||
		       (*name != '\0' && (*pattern == '*' || *name != '/') &&
			matches_slowly(pattern, name + 1));
	return *pattern == *name && matches_slowly(pattern + 1, name + 1);
}

static void test_cases(void **state)
{
	(void)state;
	assert_true(matches("", ""));
	assert_false(matches("", "a"));
	assert_true(matches("*", "a/b/c"));
	assert_false(matches("%", "a/b"));
	assert_true(matches("%/%", "a/b"));
	assert_true(matches("a%*c", "ab/b/c"));
	assert_true(matches("inbox", "INBOX"));
	assert_true(matches("Inb%", "INBOX"));
	assert_true(matches("inbox/s*", "INBOX/sub"));
	assert_false(matches("inbox/S*", "INBOX/sub"));
	assert_false(matches("work", "Work"));
	assert_false(matches("inboxes", "INBOXES"));
}

/* Every pattern of up to five signs against every name of up to five. */
static void test_all_small(void **state)
{
	static const char signs[] = "ab/*%";
	char pattern[6], name[6];

	(void)state;
	for (unsigned p = 0; p < 5u * 5 * 5 * 5 * 5; p++) {
		for (unsigned i = 0, rest = p; i < 5; i++, rest /= 5)
			pattern[i] = signs[rest % 5];
		pattern[5] = '\0';
		for (unsigned n = 0; n < 3u * 3 * 3 * 3 * 3; n++) {
			for (unsigned i = 0, rest = n; i < 5; i++, rest /= 3)
				name[i] = signs[rest % 3];
			name[5] = '\0';
			assert_int_equal(matches(pattern, name), matches_slowly(pattern, name));
		}
	}
}

/* Would outlast the test's time-out many times over if it backtracked. */
static void test_hostile(void **state)
{
	char pattern[2001], name[1001];

	(void)state;
	for (size_t i = 0; i < 2000; i += 2)
		memcpy(pattern + i, i % 4 == 0 ? "*a" : "%a", 2);
	pattern[2000] = '\0';
	memset(name, 'a', 1000);
	name[1000] = '\0';
	assert_true(matches(pattern, name));
	name[999] = 'b';
	assert_false(matches(pattern, name));
}

/* What froze a server: many names of many levels, each with many parents. */
static void test_hostile_parents(void **state)
{
	struct arena arena = {0};
	struct pattern pattern;
	char text[1001], name[1001];

	(void)state;
	for (size_t i = 0; i < 1000; i += 2) {
		memcpy(text + i, "*a", 2);
		memcpy(name + i, "a/", 2);
	}
	memcpy(text + 997, "%Q", 3);
	name[999] = '\0';
	assert_ok(pattern_init(&pattern, bytes_string(text), &arena));
	for (unsigned i = 0; i < 2400; i++) {
		assert_false(pattern_matches(&pattern, bytes_string(name)));
		assert_int_equal(pattern_parent(&pattern, bytes_string(name)), 0);
	}
	arena_finish(&arena);
}

static void test_parents(void **state)
{
	static const struct {
		const char *pattern, *name;
		size_t parent;
	} cases[] = {
		{"%", "a/b/c", 1},	   {"%/%", "a/b/c", 3},
		{"*", "a/b/c", 3},	   {"%", "a", 0},
		{"b%", "a/b", 0},	   {"a/%", "a/b", 0},
		{"inbox", "INBOX/a/b", 5}, {"a/b", "a/b/c", 3},
		{"%", "ab/c", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena arena = {0};
		struct pattern pattern;

		assert_ok(pattern_init(&pattern, bytes_string(cases[i].pattern), &arena));
		assert_int_equal(pattern_parent(&pattern, bytes_string(cases[i].name)),
				 cases[i].parent);
		arena_finish(&arena);
	}
}

/* More letters than any name has take no memory and match nothing. */
static void test_long(void **state)
{
	struct arena arena = {.limit = 100000};
	char text[60001];
	struct pattern pattern;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_ok(pattern_init(&pattern, bytes_string(text), &arena));
	text[1040] = '\0';
	assert_false(pattern_matches(&pattern, bytes_string(text)));
	arena_finish(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),	cmocka_unit_test(test_all_small),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_hostile_parents),
		cmocka_unit_test(test_parents), cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
