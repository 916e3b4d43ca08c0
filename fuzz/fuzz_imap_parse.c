/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The grammar of IMAP commands. Input: u8 number of literals (0 to 7), for each u8 its distance from
 * the one before and u8 its size; u8 number of productions (to 15), a byte for each; the text. A text
 * is read by one production after another until it ends or one fails.
 */
#include "fuzz/fuzz.h"
#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/search.h"

#define LITERALS_MAX 7u
#define ARENA_LIMIT (4u << 20)

static void parse_set(struct imap_parser *parser)
{
	struct imap_set set = imap_sequence_set(parser);

	if (imap_failed(parser))
		return;
	ASSERT(set.count != 0);
	imap_set_resolve(&set, 1000);
	for (size_t i = 0; i < set.count; i++) {
		ASSERT(set.ranges[i].first != 0 && set.ranges[i].first <= set.ranges[i].last);
		ASSERT(i == 0 || set.ranges[i - 1].last < set.ranges[i].first);
		ASSERT(imap_set_contains(&set, set.ranges[i].first));
		ASSERT(imap_set_contains(&set, set.ranges[i].last));
	}
}

static void parse_date_time(struct imap_parser *parser)
{
	int64_t seconds;
	int16_t zone;

	imap_date_time(parser, &seconds, &zone);
	ASSERT(imap_failed(parser) || (zone > -1440 && zone < 1440));
}

static void parse_flags(struct imap_parser *parser, bool optional)
{
	struct imap_flags flags = imap_flag_list(parser, optional);

	if (imap_failed(parser))
		return;
	for (size_t i = 0; i < flags.keyword_count; i++)
		ASSERT(flags.keywords[i].size != 0);
}

static void parse_fetch(struct imap_parser *parser, bool uid)
{
	struct fetch_request request;

	fetch_parse(parser, uid, &request);
	ASSERT(request.count <= FETCH_ITEMS_MAX && request.count <= request.capacity);
	for (size_t i = 0; i < request.count && !imap_failed(parser); i++) {
		const struct fetch_item *item = &request.items[i];

		ASSERT(item->label.size != 0);
		for (size_t j = 0; j < item->name_count; j++)
			ASSERT(item->names[j].data != NULL);
	}
}

static void parse_search(struct imap_parser *parser)
{
	struct search search = {0};

	search_parse(parser, &search);
	ASSERT(search.key_count <= SEARCH_KEYS_MAX && search.text_count <= SEARCH_TEXTS_MAX);
	/* Of what search_finish() frees only the matchers are there before a mailbox is searched. */
	for (size_t i = 0; i < search.text_count; i++)
		fold_matcher_destroy(&search.texts[i]->matcher);
}

static void parse_one(struct imap_parser *parser, uint8_t production)
{
	struct bytes taken = {0};

	switch (production % 18) {
	case 0:
		taken = imap_atom(parser);
		break;
	case 1:
		taken = imap_string(parser);
		break;
	case 2:
		taken = imap_astring(parser);
		break;
	case 3:
		taken = imap_nstring(parser);
		break;
	case 4:
		taken = imap_list_mailbox(parser);
		break;
	case 5:
	case 6: /* as the corpus numbers them */
		taken = imap_mailbox(parser);
		break;
	case 7:
		(void)imap_number(parser);
		break;
	case 8:
		(void)imap_nz_number(parser);
		break;
	case 9:
		ASSERT(imap_number64(parser) <= INT64_MAX);
		break;
	case 10:
		parse_set(parser);
		break;
	case 11:
		parse_flags(parser, (production & 128) != 0);
		break;
	case 12:
		parse_date_time(parser);
		break;
	case 13:
		(void)imap_date(parser);
		break;
	case 14:
		parse_fetch(parser, (production & 128) != 0);
		break;
	case 15:
		parse_search(parser);
		break;
	case 16:
		imap_space(parser);
		break;
	default:
		(void)imap_accept_word(parser, "BODY");
		break;
	}
	/* What was taken can be read, wherever it is. */
	for (size_t i = 0; i < taken.size; i++)
		ASSERT(taken.data[i] <= UINT8_MAX);
}

static size_t get_literals(struct cursor *input, struct imap_literal *literals)
{
	size_t count = cursor_u8(input) & LITERALS_MAX, at = 0;

	for (size_t i = 0; i < count; i++) {
		at += cursor_u8(input);
		literals[i] = (struct imap_literal){.offset = at, .size = cursor_u8(input)};
		literals[i].binary = (literals[i].size & 1) != 0;
		at += literals[i].size;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	struct imap_literal literals[LITERALS_MAX];
	size_t literal_count = get_literals(&input, literals);
	struct bytes productions = cursor_take(&input, cursor_u8(&input) & 15);
	struct bytes text = fuzz_rest(&input);
	struct arena arena = {.limit = ARENA_LIMIT};
	struct imap_parser parser;

	/* The session hands over literals that lie within the text. */
	while (literal_count != 0 &&
	       literals[literal_count - 1].offset + literals[literal_count - 1].size > text.size)
		literal_count--;
	imap_parser_init(&parser, text, literals, literal_count, &arena);
	for (size_t i = 0; i < productions.size && !imap_failed(&parser); i++) {
		parse_one(&parser, productions.data[i]);
		ASSERT(parser.offset <= text.size && parser.next_literal <= literal_count);
	}
	imap_end(&parser);
	ASSERT(imap_failed(&parser) || parser.offset == text.size);
	arena_finish(&arena);
	return 0;
}
