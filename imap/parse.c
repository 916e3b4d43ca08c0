/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/parse.h"

#include <stdlib.h>
#include <string.h>

#include <uninorm.h>

#include "engine/mailbox/mailbox.h"
#include "imap/render.h"
#include "mail/date.h"
#include "mail/utf7.h"

/* ---- the cursor ---- */

void imap_parser_init(struct imap_parser *parser, struct bytes text,
		      const struct imap_literal *literals, size_t literal_count,
		      struct arena *arena)
{
	*parser = (struct imap_parser){
		.text = text, .literals = literals, .literal_count = literal_count, .arena = arena};
}

bool imap_failed(const struct imap_parser *parser)
{
	return parser->error != NULL;
}

void imap_fail(struct imap_parser *parser, const char *what)
{
	if (parser->error == NULL)
		parser->error = what;
}

static bool at_literal(const struct imap_parser *parser)
{
	return parser->next_literal < parser->literal_count &&
	       parser->literals[parser->next_literal].offset == parser->offset;
}

/* An empty literal at the very end of the text is not its end. */
bool imap_at_end(const struct imap_parser *parser)
{
	return parser->offset == parser->text.size && !at_literal(parser);
}

void imap_end(struct imap_parser *parser)
{
	if (!imap_at_end(parser))
		imap_fail(parser, "Unexpected text at the end of the command");
}

uint8_t imap_peek(const struct imap_parser *parser)
{
	if (imap_failed(parser) || at_literal(parser) || parser->offset == parser->text.size)
		return 0;
	return parser->text.data[parser->offset];
}

bool imap_accept(struct imap_parser *parser, uint8_t octet)
{
	if (imap_peek(parser) != octet || octet == 0)
		return false;
	parser->offset++;
	return true;
}

void imap_expect(struct imap_parser *parser, uint8_t octet)
{
	if (imap_accept(parser, octet))
		return;
	switch (octet) {
	case ' ':
		imap_fail(parser, "A space is missing");
		break;
	case '(':
		imap_fail(parser, "An opening parenthesis is missing");
		break;
	case ')':
		imap_fail(parser, "A closing parenthesis is missing");
		break;
	default:
		imap_fail(parser, "A delimiter is missing");
		break;
	}
}

void imap_space(struct imap_parser *parser)
{
	imap_expect(parser, ' ');
}

/* ---- atoms and strings (RFC 3501, section 9) ---- */

enum { ATOM = 1, ASTRING = 2, LIST = 4 };

static unsigned class_of(uint8_t octet)
{
	if (octet <= 0x20 || octet >= 0x7f)
		return 0;
	switch (octet) {
	case '(':
	case ')':
	case '{':
	case '"':
	case '\\':
		return 0;
	case '%':
	case '*':
		return LIST;
	case ']':
		return ASTRING | LIST;
	default:
		return ATOM | ASTRING | LIST;
	}
}

/* Where the next literal or the end stops a run. */
static size_t run_limit(const struct imap_parser *parser)
{
	return parser->next_literal < parser->literal_count
		       ? parser->literals[parser->next_literal].offset
		       : parser->text.size;
}

static struct bytes run_of(struct imap_parser *parser, unsigned classes)
{
	size_t start = parser->offset, limit = run_limit(parser);

	if (imap_failed(parser))
		return bytes_make(NULL, 0);
	while (parser->offset < limit &&
	       (class_of(parser->text.data[parser->offset]) & classes) != 0)
		parser->offset++;
	return bytes_slice(parser->text, start, parser->offset - start);
}

struct bytes imap_atom(struct imap_parser *parser)
{
	struct bytes atom = run_of(parser, ATOM);

	if (atom.size == 0)
		imap_fail(parser, "An atom is missing");
	return atom;
}

bool imap_accept_word(struct imap_parser *parser, const char *word)
{
	size_t size = strlen(word), start = parser->offset;
	struct bytes found;

	if (imap_failed(parser) || run_limit(parser) - start < size)
		return false;
	found = bytes_slice(parser->text, start, size);
	if (!bytes_equal_nocase(found, bytes_string(word)))
		return false;
	if (start + size < run_limit(parser) &&
	    (class_of(parser->text.data[start + size]) & ATOM) != 0 &&
	    parser->text.data[start + size] != '[')
		return false;
	parser->offset += size;
	return true;
}

static struct bytes take_literal(struct imap_parser *parser)
{
	const struct imap_literal *literal = &parser->literals[parser->next_literal++];
	struct bytes text = bytes_slice(parser->text, literal->offset, literal->size);

	parser->offset += literal->size;
	if (literal->binary)
		imap_fail(parser, "A binary literal is not allowed here");
	if (text.size != 0 && memchr(text.data, '\0', text.size) != NULL)
		imap_fail(parser, "NUL in a literal");
	return text.data != NULL ? text : bytes_string("");
}

/* Index of the closing quote; *escapes counts backslashes. False when there is none. */
static bool quoted_end(const struct imap_parser *parser, size_t *end, size_t *escapes)
{
	size_t limit = run_limit(parser);

	*escapes = 0;
	for (size_t i = parser->offset; i < limit; i++) {
		uint8_t octet = parser->text.data[i];

		if (octet == '"') {
			*end = i;
			return true;
		}
		if (octet == '\r' || octet == '\n' || octet == '\0')
			return false;
		if (octet == '\\') {
			if (i + 1 == limit ||
			    (parser->text.data[i + 1] != '"' && parser->text.data[i + 1] != '\\'))
				return false;
			++*escapes;
			i++;
		}
	}
	return false;
}

static struct bytes take_quoted(struct imap_parser *parser)
{
	size_t start, end, escapes, size = 0;
	uint8_t *copy;

	imap_expect(parser, '"');
	if (imap_failed(parser) || !quoted_end(parser, &end, &escapes)) {
		imap_fail(parser, "A quoted string is not ended, or has a wrong escape");
		return bytes_make(NULL, 0);
	}
	start = parser->offset;
	parser->offset = end + 1;
	if (escapes == 0)
		return end == start ? bytes_string("")
				    : bytes_slice(parser->text, start, end - start);
	copy = arena_allocate(parser->arena, end - start);
	if (copy == NULL) {
		imap_fail(parser, "The command needs too much memory");
		return bytes_make(NULL, 0);
	}
	for (size_t i = start; i < end; i++) {
		if (parser->text.data[i] == '\\')
			i++;
		copy[size++] = parser->text.data[i];
	}
	return bytes_make(copy, size);
}

struct bytes imap_string(struct imap_parser *parser)
{
	if (!imap_failed(parser) && at_literal(parser))
		return take_literal(parser);
	if (imap_peek(parser) != '"')
		imap_fail(parser, "A string is missing");
	return take_quoted(parser);
}

static struct bytes string_or_run(struct imap_parser *parser, unsigned classes, const char *missing)
{
	struct bytes run;

	if (!imap_failed(parser) && (at_literal(parser) || imap_peek(parser) == '"'))
		return imap_string(parser);
	run = run_of(parser, classes);
	if (run.size == 0)
		imap_fail(parser, missing);
	return run;
}

struct bytes imap_astring(struct imap_parser *parser)
{
	return string_or_run(parser, ASTRING, "A string is missing");
}

struct bytes imap_nstring(struct imap_parser *parser)
{
	if (imap_accept_word(parser, "NIL"))
		return bytes_make(NULL, 0);
	return imap_string(parser);
}

struct bytes imap_list_mailbox(struct imap_parser *parser)
{
	return string_or_run(parser, LIST | ASTRING | ATOM, "A mailbox pattern is missing");
}

/* ---- mailbox names ---- */

/* NFC in the arena; what is not UTF-8 is refused. */
static struct bytes normalise(struct imap_parser *parser, struct bytes name)
{
	size_t size = 0;
	uint8_t *composed;
	struct bytes copy;

	if (name.size == 0)
		return bytes_string("");
	composed = u8_normalize(UNINORM_NFC, name.data, name.size, NULL, &size);
	if (composed == NULL) {
		imap_fail(parser, "The mailbox name is not valid UTF-8");
		return bytes_make(NULL, 0);
	}
	copy = arena_copy(parser->arena, bytes_make(composed, size));
	free(composed);
	if (copy.data == NULL)
		imap_fail(parser, "The command needs too much memory");
	return copy;
}

struct bytes imap_mailbox(struct imap_parser *parser)
{
	struct bytes raw = imap_astring(parser), name;
	struct buf decoded = {0};

	if (imap_failed(parser))
		return bytes_make(NULL, 0);
	if (bytes_equal_nocase(raw, bytes_string("INBOX")))
		return bytes_string("INBOX");
	if (utf7_decode(raw, &decoded) != ERR_OK) {
		imap_fail(parser, "The mailbox name is not valid modified UTF-7");
		name = bytes_make(NULL, 0);
	} else {
		name = normalise(parser, bytes_of_buf(&decoded));
	}
	buf_finish(&decoded);
	return name;
}

/* ---- numbers and sets ---- */

uint64_t imap_number64(struct imap_parser *parser)
{
	uint64_t value = 0;
	bool any = false;

	for (;;) {
		uint8_t octet = imap_peek(parser);

		if (octet < '0' || octet > '9')
			break;
		if (value > ((uint64_t)INT64_MAX - (octet - '0')) / 10) {
			imap_fail(parser, "A number is too large");
			return 0;
		}
		value = value * 10 + (uint64_t)(octet - '0');
		any = true;
		parser->offset++;
	}
	if (!any)
		imap_fail(parser, "A number is missing");
	return imap_failed(parser) ? 0 : value;
}

uint32_t imap_number(struct imap_parser *parser)
{
	uint64_t value = imap_number64(parser);

	if (value > UINT32_MAX) {
		imap_fail(parser, "A number is too large");
		return 0;
	}
	return (uint32_t)value;
}

uint32_t imap_nz_number(struct imap_parser *parser)
{
	uint32_t value = imap_number(parser);

	if (value == 0)
		imap_fail(parser, "A number must not be zero");
	return value;
}

static uint32_t set_number(struct imap_parser *parser)
{
	return imap_accept(parser, '*') ? IMAP_STAR : imap_nz_number(parser);
}

struct imap_set imap_sequence_set(struct imap_parser *parser)
{
	struct imap_set set = {0};
	size_t capacity = 1, start = parser->offset;

	for (size_t i = start; i < run_limit(parser) && parser->text.data[i] != ' '; i++)
		capacity += parser->text.data[i] == ',';
	set.ranges = arena_array(parser->arena, capacity, sizeof(*set.ranges));
	if (set.ranges == NULL) {
		imap_fail(parser, "The command needs too much memory");
		return set;
	}
	do {
		struct imap_range range;

		range.first = set_number(parser);
		range.last = imap_accept(parser, ':') ? set_number(parser) : range.first;
		if (imap_failed(parser))
			break;
		set.ranges[set.count++] = range;
	} while (imap_accept(parser, ','));
	return set;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

void imap_set_resolve(struct imap_set *set, uint32_t largest)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct imap_range *range = &set->ranges[i];
		uint32_t first = range->first == IMAP_STAR ? largest : range->first;
		uint32_t last = range->last == IMAP_STAR ? largest : range->last;

		range->first = first < last ? first : last;
		range->last = first < last ? last : first;
	}
	if (set->count != 0)
		qsort(set->ranges, set->count, sizeof(*set->ranges), compare_ranges);
	for (size_t i = 0; i < set->count; i++) {
		struct imap_range range = set->ranges[i];

		if (kept != 0 && range.first <= set->ranges[kept - 1].last) {
			if (range.last > set->ranges[kept - 1].last)
				set->ranges[kept - 1].last = range.last;
		} else {
			set->ranges[kept++] = range;
		}
	}
	set->count = kept;
}

bool imap_set_contains(const struct imap_set *set, uint32_t number)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->ranges[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->count && set->ranges[low].first <= number;
}

void imap_put_set(struct buf *out, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0, next; i < count; i = next) {
		next = i + 1;
		while (next < count && numbers[next] == numbers[next - 1] + 1)
			next++;
		if (i != 0)
			buf_put_u8(out, ',');
		render_number(out, numbers[i]);
		if (next > i + 1) {
			buf_put_u8(out, ':');
			render_number(out, numbers[next - 1]);
		}
	}
}

/* ---- flags ---- */

static const struct {
	const char *name;
	uint8_t flag;
} system_flags[] = {
	{"Seen", FLAG_SEEN},	   {"Answered", FLAG_ANSWERED}, {"Flagged", FLAG_FLAGGED},
	{"Deleted", FLAG_DELETED}, {"Draft", FLAG_DRAFT},
};

static void parse_flag(struct imap_parser *parser, struct imap_flags *flags)
{
	struct bytes name;

	if (!imap_accept(parser, '\\')) {
		name = imap_atom(parser);
		if (!imap_failed(parser))
			flags->keywords[flags->keyword_count++] = name;
		return;
	}
	name = imap_atom(parser);
	for (size_t i = 0; i < sizeof(system_flags) / sizeof(system_flags[0]); i++)
		if (bytes_equal_nocase(name, bytes_string(system_flags[i].name))) {
			flags->system |= system_flags[i].flag;
			return;
		}
	imap_fail(parser, "A system flag is unknown or cannot be set");
}

struct imap_flags imap_flag_list(struct imap_parser *parser, bool parentheses_optional)
{
	struct imap_flags flags = {0};
	size_t capacity = 1;
	bool parentheses = imap_accept(parser, '(');

	if (!parentheses && !parentheses_optional)
		imap_fail(parser, "A list of flags is missing");
	for (size_t i = parser->offset; i < run_limit(parser); i++)
		capacity += parser->text.data[i] == ' ';
	flags.keywords = arena_array(parser->arena, capacity, sizeof(*flags.keywords));
	if (flags.keywords == NULL)
		imap_fail(parser, "The command needs too much memory");
	if (parentheses && imap_accept(parser, ')'))
		return flags;
	do {
		if (!imap_failed(parser))
			parse_flag(parser, &flags);
	} while (imap_accept(parser, ' '));
	if (parentheses)
		imap_expect(parser, ')');
	return flags;
}

/* ---- dates ---- */

void imap_date_time(struct imap_parser *parser, int64_t *seconds, int16_t *zone_minutes)
{
	struct bytes text = imap_string(parser);
	struct date date;

	*seconds = 0;
	*zone_minutes = 0;
	if (imap_failed(parser))
		return;
	if (date_parse_imap(text, &date) != ERR_OK) {
		imap_fail(parser, "The date and time is invalid");
		return;
	}
	*seconds = date.seconds;
	*zone_minutes = date.zone_minutes;
}

int64_t imap_date(struct imap_parser *parser)
{
	struct bytes text = imap_astring(parser);
	int64_t day = 0;

	if (!imap_failed(parser) && date_parse_imap_day(text, &day) != ERR_OK)
		imap_fail(parser, "The date is invalid");
	return day;
}
