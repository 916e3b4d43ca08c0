/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/pattern.h"

#include <string.h>

#define WORD_BITS 64u
#define OCTET_COUNT 256u

static bool is_wildcard(uint8_t octet)
{
	return octet == '*' || octet == '%';
}

static void put_place(uint64_t *set, size_t place)
{
	set[place / WORD_BITS] |= UINT64_C(1) << (place % WORD_BITS);
}

static bool has_place(const uint64_t *set, size_t place)
{
	return set[place / WORD_BITS] >> (place % WORD_BITS) & 1;
}

/* Two wildcards are one: "*" if either is. */
static size_t join_wildcards(struct bytes text, uint8_t *joined, size_t *literal_count)
{
	size_t size = 0;

	*literal_count = 0;
	for (size_t i = 0; i < text.size; i++) {
		bool wildcard = is_wildcard(text.data[i]);

		if (wildcard && size != 0 && is_wildcard(joined[size - 1])) {
			if (text.data[i] == '*')
				joined[size - 1] = '*';
			continue;
		}
		joined[size++] = text.data[i];
		*literal_count += !wildcard;
	}
	return size;
}

enum err pattern_init(struct pattern *pattern, struct bytes text, struct arena *arena)
{
	uint8_t *joined = arena_allocate(arena, text.size + 1);
	size_t words;

	*pattern = (struct pattern){0};
	if (joined == NULL)
		return ERR_NOMEM;
	pattern->size = join_wildcards(text, joined, &pattern->literal_count);
	if (pattern->literal_count > PATTERN_NAME_MAX)
		return ERR_OK;
	words = pattern->word_count = pattern->size / WORD_BITS + 1;
	pattern->stars = arena_array(arena, words, sizeof(uint64_t));
	pattern->percents = arena_array(arena, words, sizeof(uint64_t));
	pattern->reached = arena_array(arena, words, sizeof(uint64_t));
	pattern->literals = arena_array(arena, words * OCTET_COUNT, sizeof(uint64_t));
	if (pattern->stars == NULL || pattern->percents == NULL || pattern->reached == NULL ||
	    pattern->literals == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < pattern->size; i++) {
		put_place(joined[i] == '*'   ? pattern->stars
			  : joined[i] == '%' ? pattern->percents
					     : &pattern->literals[joined[i] * words],
			  i);
		pattern->has_percent |= joined[i] == '%';
	}
	return ERR_OK;
}

/* From every place that is reached, past the wildcard there, which may stand for nothing. */
static void pass_wildcards(const struct pattern *pattern)
{
	uint64_t carry = 0;

	for (size_t i = 0; i < pattern->word_count; i++) {
		uint64_t before = pattern->reached[i] & (pattern->stars[i] | pattern->percents[i]);

		pattern->reached[i] |= before << 1 | carry;
		carry = before >> (WORD_BITS - 1);
	}
}

/* Whether any place is reached. */
static bool take_octet(const struct pattern *pattern, uint8_t octet, bool any_case)
{
	const uint64_t *literals = &pattern->literals[octet * pattern->word_count];
	const uint64_t *lower = &pattern->literals[(octet | 0x20) * pattern->word_count];
	uint64_t carry = 0, any = 0;

	for (size_t i = 0; i < pattern->word_count; i++) {
		uint64_t before = pattern->reached[i];
		uint64_t moves = before & (any_case ? literals[i] | lower[i] : literals[i]);
		uint64_t stays =
			before & (pattern->stars[i] | (octet != '/' ? pattern->percents[i] : 0));

		pattern->reached[i] = stays | moves << 1 | carry;
		carry = moves >> (WORD_BITS - 1);
		any |= pattern->reached[i];
	}
	return any != 0;
}

static bool run(const struct pattern *pattern, struct bytes name, size_t *parent)
{
	static const char inbox[] = "INBOX";
	size_t inbox_size = sizeof(inbox) - 1;
	bool in_inbox = name.size >= inbox_size && memcmp(name.data, inbox, inbox_size) == 0 &&
			(name.size == inbox_size || name.data[inbox_size] == '/');

	*parent = 0;
	if (pattern->literal_count > name.size || name.size > PATTERN_NAME_MAX)
		return false;
	memset(pattern->reached, 0, pattern->word_count * sizeof(*pattern->reached));
	pattern->reached[0] = 1;
	pass_wildcards(pattern);
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] == '/' && has_place(pattern->reached, pattern->size))
			*parent = i;
		if (!take_octet(pattern, name.data[i], in_inbox && i < inbox_size))
			return false;
		pass_wildcards(pattern);
	}
	return has_place(pattern->reached, pattern->size);
}

bool pattern_matches(const struct pattern *pattern, struct bytes name)
{
	size_t parent;

	return run(pattern, name, &parent);
}

size_t pattern_parent(const struct pattern *pattern, struct bytes name)
{
	size_t parent;

	(void)run(pattern, name, &parent);
	return parent;
}
