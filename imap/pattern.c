/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/pattern.h"

#include <string.h>

static bool is_wildcard(uint8_t octet)
{
	return octet == '*' || octet == '%';
}

enum err pattern_init(struct pattern *pattern, struct bytes text, struct arena *arena)
{
	uint8_t *joined = arena_allocate(arena, text.size + 1);
	size_t size = 0;

	*pattern = (struct pattern){.reached = arena_allocate(arena, text.size + 1)};
	if (joined == NULL || pattern->reached == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < text.size; i++) {
		bool wildcard = is_wildcard(text.data[i]);

		if (wildcard && size != 0 && is_wildcard(joined[size - 1])) {
			if (text.data[i] == '*')
				joined[size - 1] = '*';
			continue;
		}
		joined[size++] = text.data[i];
		pattern->literal_count += !wildcard;
	}
	pattern->text = bytes_make(joined, size);
	return ERR_OK;
}

/* From every place that is reached, past the wildcard there, which may stand for nothing. */
static void pass_wildcards(const struct pattern *pattern)
{
	for (size_t at = 0; at < pattern->text.size; at++)
		if (pattern->reached[at] && is_wildcard(pattern->text.data[at]))
			pattern->reached[at + 1] = 1;
}

static void take_octet(const struct pattern *pattern, uint8_t octet, bool any_case)
{
	const uint8_t *text = pattern->text.data;
	uint8_t *reached = pattern->reached;

	for (size_t at = pattern->text.size + 1; at-- > 0;) {
		uint8_t now = 0;

		if (at != 0 && reached[at - 1] && !is_wildcard(text[at - 1]))
			now = text[at - 1] == octet || (any_case && (text[at - 1] & 0xdf) == octet);
		if (at < pattern->text.size && reached[at] && is_wildcard(text[at]))
			now |= text[at] == '*' || octet != '/';
		reached[at] = now;
	}
}

bool pattern_matches(const struct pattern *pattern, struct bytes name)
{
	static const char inbox[] = "INBOX";
	size_t inbox_size = sizeof(inbox) - 1;
	bool in_inbox = name.size >= inbox_size && memcmp(name.data, inbox, inbox_size) == 0 &&
			(name.size == inbox_size || name.data[inbox_size] == '/');

	if (pattern->literal_count > name.size)
		return false;
	memset(pattern->reached, 0, pattern->text.size + 1);
	pattern->reached[0] = 1;
	pass_wildcards(pattern);
	for (size_t i = 0; i < name.size; i++) {
		take_octet(pattern, name.data[i], in_inbox && i < inbox_size);
		pass_wildcards(pattern);
	}
	return pattern->reached[pattern->text.size] != 0;
}

bool pattern_has_percent(const struct pattern *pattern)
{
	return memchr(pattern->text.data, '%', pattern->text.size) != NULL;
}
