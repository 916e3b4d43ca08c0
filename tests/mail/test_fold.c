/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/fold.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *needle, *text;
	bool found;
} cases[] = {
	{"", "", true},
	{"", "x", true},
	{"x", "", false},
	{"hello", "well, HELLO there", true},
	{"aab", "aaab", true},
	{"ababac", "abababac", true},
	{"ababac", "abababab", false},
	{"straße", "STRASSE", true},
	{"STRASSE", "in der Straße", true},
	{"ΣΊΣΥΦΟΣ", "Σίσυφος", true},
	{"grüße", "GRU\xcc\x88SSE", true},
	{"e", "é", true},
	{"é", "e", false},
	{"fi", "ﬁsh", true},
	{"ＡＢＣ", "abc", true},
	{"日本", "これは日本語です", true},
	{"語日", "これは日本語です", false},
	/* marks are put in order, wherever the text is cut */
	{"a\xcc\xa3\xcc\x88", "xa\xcc\x88\xcc\xa3y", true},
	{"x", "a\xcc", false},
	{"b",
	 "\xff\xfe"
	 "b",
	 true},
	{"ab",
	 "a\xff"
	 "b",
	 false},
};

static void test_matching_in_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bytes text = bytes_string(cases[i].text);
		struct fold_matcher *matcher;

		assert_int_equal(fold_matcher_create(bytes_string(cases[i].needle), &matcher),
				 ERR_OK);
		for (size_t step = 1; step <= text.size + 1; step++) {
			fold_matcher_reset(matcher);
			for (size_t j = 0; j < text.size; j += step)
				assert_int_equal(
					fold_matcher_feed(matcher, bytes_slice(text, j, step)),
					ERR_OK);
			assert_int_equal(fold_matcher_end(matcher), ERR_OK);
			if (fold_matcher_found(matcher) != cases[i].found)
				fail_msg("%s in %s, step %zu", cases[i].needle, cases[i].text,
					 step);
		}
		fold_matcher_destroy(&matcher);
		assert_null(matcher);
	}
}

static void test_no_match_across_texts(void **state)
{
	struct fold_matcher *matcher;

	(void)state;
	assert_int_equal(fold_matcher_create(bytes_string("ab"), &matcher), ERR_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fold_matcher_feed(matcher, bytes_string(i == 0 ? "a" : "b")),
				 ERR_OK);
		assert_int_equal(fold_matcher_end(matcher), ERR_OK);
	}
	assert_false(fold_matcher_found(matcher));
	fold_matcher_destroy(&matcher);
}

/* A text without ASCII is cut inside, which must not show; marks without end are bounded. */
static void test_long_runs(void **state)
{
	struct fold_matcher *matcher;
	struct buf text = {0}, needle = {0};
	uint64_t allocations;

	(void)state;
	for (int i = 0; i < 10000; i++)
		buf_put_string(&text, "語\xcc\x88\xcc\xa3");
	buf_put_string(&text, "日本");
	/* So long that cuts fall into it, at all distances from a 語. */
	for (int i = 0; i < 500; i++)
		buf_put_string(&needle, "語\xcc\xa3\xcc\x88");
	buf_put_string(&needle, "日本");
	assert_int_equal(fold_matcher_create(bytes_of_buf(&needle), &matcher), ERR_OK);
	for (size_t step = 1; step < 5000; step = step * 3 + 1) {
		fold_matcher_reset(matcher);
		for (size_t i = 0; i < text.size; i += step)
			assert_int_equal(fold_matcher_feed(matcher, bytes_slice(bytes_of_buf(&text),
										i, step)),
					 ERR_OK);
		assert_int_equal(fold_matcher_end(matcher), ERR_OK);
		assert_true(fold_matcher_found(matcher));
	}
	fold_matcher_reset(matcher);
	buf_clear(&text);
	for (int i = 0; i < 100000; i++)
		buf_put_string(&text, "\xcc\x88");
	allocations = memory_allocations();
	assert_int_equal(fold_matcher_feed(matcher, bytes_of_buf(&text)), ERR_OK);
	assert_true(memory_allocations() - allocations < 20);
	fold_matcher_destroy(&matcher);
	buf_finish(&needle);
	buf_finish(&text);
}

static void test_refusals(void **state)
{
	struct fold_matcher *matcher = NULL;
	struct buf text = {0};

	(void)state;
	assert_int_equal(fold_matcher_create(bytes_string("a\xff"), &matcher), ERR_INVALID);
	buf_put_zeros(&text, FOLD_NEEDLE_MAX + 1);
	assert_int_equal(fold_matcher_create(bytes_of_buf(&text), &matcher), ERR_LIMIT);
	buf_clear(&text);
	assert_int_equal(fold_text(bytes_string("ok \xed\xa0\x80"), &text), ERR_INVALID);
	for (uint64_t n = 0; n < 3; n++) {
		memory_fail_after(n);
		assert_int_equal(fold_matcher_create(bytes_string("abc"), &matcher), ERR_NOMEM);
	}
	memory_fail_after(UINT64_MAX);
	assert_null(matcher);
	fold_matcher_destroy(&matcher);
	buf_finish(&text);
}

static void test_folding(void **state)
{
	struct buf a = {0}, b = {0};

	(void)state;
	assert_int_equal(fold_text(bytes_string("Ärger ＩＮ Straße"), &a), ERR_OK);
	assert_int_equal(fold_text(bytes_string("ÄRGER in STRASSE"), &b), ERR_OK);
	assert_true(bytes_equal(bytes_of_buf(&a), bytes_of_buf(&b)));
	buf_finish(&a);
	buf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matching_in_pieces_of_every_size),
		cmocka_unit_test(test_no_match_across_texts),
		cmocka_unit_test(test_long_runs),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_folding),
	};

	return cmocka_run_group_tests_name("mail/fold", tests, NULL, NULL);
}
