/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/search.h"

#include "mail/charset.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What search_parse() hands down. */
struct context {
	struct imap_parser *parser;
	struct search *search;
	struct bytes charset;
	unsigned depth;
	struct search_key spare; /* stands in where there is no memory; the parser has failed */
};

static struct search_key *parse_key(struct context *context);

/* Never NULL. */
static struct search_key *make(struct context *context, enum search_kind kind)
{
	struct search_key *key = NULL;

	if (context->search->key_count == SEARCH_KEYS_MAX)
		imap_fail(context->parser, "Too many criteria");
	else
		key = arena_allocate(context->parser->arena, sizeof(*key));
	if (key != NULL) {
		context->search->key_count++;
	} else {
		imap_fail(context->parser, "The command needs too much memory");
		context->spare = (struct search_key){0};
		return &context->spare;
	}
	key->kind = kind;
	return key;
}

static struct search_key *negate(struct context *context, struct search_key *child)
{
	struct search_key *key = make(context, SEARCH_NOT);

	key->child = child;
	return key;
}

static struct search_key *make_flag(struct context *context, uint8_t flag)
{
	struct search_key *key = make(context, SEARCH_FLAG);

	key->flag = flag;
	return key;
}

/* ---- texts ---- */

static void remember_text(struct context *context, struct search_key *key)
{
	struct search *search = context->search;

	if (search->text_count == SEARCH_TEXTS_MAX)
		imap_fail(context->parser, "Too many texts to look for");
	if (imap_failed(context->parser))
		return;
	if (search->text_count == search->text_capacity) {
		size_t capacity = search->text_capacity != 0 ? search->text_capacity * 2 : 4;
		struct search_key **texts =
			arena_array(context->parser->arena, capacity, sizeof(struct search_key *));

		if (texts == NULL) {
			imap_fail(context->parser, "The command needs too much memory");
			return;
		}
		for (size_t i = 0; i < search->text_count; i++)
			texts[i] = search->texts[i];
		search->texts = texts;
		search->text_capacity = capacity;
	}
	search->texts[search->text_count++] = key;
}

static struct bytes parse_needle(struct context *context)
{
	struct bytes typed = imap_astring(context->parser), needle = {0};
	struct buf utf8 = {0};

	if (imap_failed(context->parser) || typed.size == 0)
		return bytes_string("");
	if (charset_to_utf8(context->charset, typed, &utf8) == ERR_OK && utf8.err == ERR_OK)
		needle = arena_copy(context->parser->arena, bytes_of_buf(&utf8));
	buf_finish(&utf8);
	if (needle.data == NULL)
		imap_fail(context->parser, "The command needs too much memory");
	return needle;
}

static struct search_key *make_text(struct context *context, enum search_kind kind,
				    struct bytes field)
{
	struct search_key *key;
	struct bytes needle = parse_needle(context);

	/* Any body holds the empty text; a field has at least to be there. */
	if (needle.size == 0 && kind != SEARCH_HEADER)
		return make(context, SEARCH_ALL);
	key = make(context, kind);
	key->name = field;
	key->needle = needle;
	remember_text(context, key);
	if (imap_failed(context->parser) || needle.size == 0)
		return key;
	switch ((unsigned)fold_matcher_create(needle, &key->matcher)) {
	case ERR_OK:
		break;
	case ERR_LIMIT:
		imap_fail(context->parser, "The text to look for is too long");
		break;
	default:
		imap_fail(context->parser, "The command needs too much memory");
		break;
	}
	return key;
}

/* ---- words ---- */

static const struct {
	const char *word;
	uint8_t flag;
	bool negated;
} flag_words[] = {
	{"ANSWERED", FLAG_ANSWERED, false}, {"DELETED", FLAG_DELETED, false},
	{"DRAFT", FLAG_DRAFT, false},	    {"FLAGGED", FLAG_FLAGGED, false},
	{"SEEN", FLAG_SEEN, false},	    {"UNANSWERED", FLAG_ANSWERED, true},
	{"UNDELETED", FLAG_DELETED, true},  {"UNDRAFT", FLAG_DRAFT, true},
	{"UNFLAGGED", FLAG_FLAGGED, true},  {"UNSEEN", FLAG_SEEN, true},
};

static struct search_key *parse_flag_word(struct context *context)
{
	struct search_key *key;

	for (size_t i = 0; i < COUNT(flag_words); i++)
		if (imap_accept_word(context->parser, flag_words[i].word)) {
			key = make_flag(context, flag_words[i].flag);
			return flag_words[i].negated ? negate(context, key) : key;
		}
	if (imap_accept_word(context->parser, "ALL"))
		return make(context, SEARCH_ALL);
	if (imap_accept_word(context->parser, "RECENT"))
		return make(context, SEARCH_RECENT);
	if (imap_accept_word(context->parser, "OLD"))
		return negate(context, make(context, SEARCH_RECENT));
	if (!imap_accept_word(context->parser, "NEW"))
		return NULL;
	key = make(context, SEARCH_AND);
	key->child = make(context, SEARCH_RECENT);
	key->child->next = negate(context, make_flag(context, FLAG_SEEN));
	return key;
}

static const struct {
	const char *word;
	enum search_kind kind;
	bool before, since;
} date_words[] = {
	{"BEFORE", SEARCH_ARRIVAL, true, false}, {"ON", SEARCH_ARRIVAL, false, false},
	{"SINCE", SEARCH_ARRIVAL, false, true},	 {"SENTBEFORE", SEARCH_SENT, true, false},
	{"SENTON", SEARCH_SENT, false, false},	 {"SENTSINCE", SEARCH_SENT, false, true},
};

static struct search_key *parse_date_word(struct context *context)
{
	for (size_t i = 0; i < COUNT(date_words); i++)
		if (imap_accept_word(context->parser, date_words[i].word)) {
			struct search_key *key = make(context, date_words[i].kind);
			int64_t day;

			imap_space(context->parser);
			day = imap_date(context->parser);
			key->first_day = date_words[i].before ? INT64_MIN : day;
			key->last_day = date_words[i].before  ? day - 1
					: date_words[i].since ? INT64_MAX
							      : day;
			return key;
		}
	return NULL;
}

static const struct {
	const char *word;
	enum search_kind kind;
	const char *field;
} text_words[] = {
	{"BCC", SEARCH_HEADER, "Bcc"},
	{"CC", SEARCH_HEADER, "Cc"},
	{"FROM", SEARCH_HEADER, "From"},
	{"TO", SEARCH_HEADER, "To"},
	{"SUBJECT", SEARCH_HEADER, "Subject"},
	{"HEADER", SEARCH_HEADER, NULL},
	{"BODY", SEARCH_BODY, ""},
	{"TEXT", SEARCH_TEXT, ""},
};

static struct search_key *parse_text_word(struct context *context)
{
	for (size_t i = 0; i < COUNT(text_words); i++)
		if (imap_accept_word(context->parser, text_words[i].word)) {
			struct bytes field;

			imap_space(context->parser);
			if (text_words[i].field != NULL) {
				field = bytes_string(text_words[i].field);
			} else {
				field = imap_astring(context->parser);
				imap_space(context->parser);
			}
			return make_text(context, text_words[i].kind, field);
		}
	return NULL;
}

static struct search_key *parse_keyword(struct context *context, bool negated)
{
	struct search_key *key = make(context, SEARCH_KEYWORD);

	imap_space(context->parser);
	key->name = imap_atom(context->parser);
	return negated ? negate(context, key) : key;
}

static struct search_key *parse_size(struct context *context, enum search_kind kind)
{
	struct search_key *key = make(context, kind);

	imap_space(context->parser);
	key->size = imap_number64(context->parser);
	return key;
}

static struct search_key *parse_set(struct context *context, enum search_kind kind)
{
	struct search_key *key = make(context, kind);

	key->set = imap_sequence_set(context->parser);
	return key;
}

static struct search_key *parse_other_word(struct context *context)
{
	struct imap_parser *parser = context->parser;

	if (imap_accept_word(parser, "KEYWORD"))
		return parse_keyword(context, false);
	if (imap_accept_word(parser, "UNKEYWORD"))
		return parse_keyword(context, true);
	if (imap_accept_word(parser, "LARGER"))
		return parse_size(context, SEARCH_LARGER);
	if (imap_accept_word(parser, "SMALLER"))
		return parse_size(context, SEARCH_SMALLER);
	if (imap_accept_word(parser, "UID")) {
		imap_space(parser);
		return parse_set(context, SEARCH_UIDS);
	}
	return NULL;
}

/* ---- the tree ---- */

/* Keys with spaces between them, all of which have to be met. */
static struct search_key *parse_list(struct context *context)
{
	struct search_key *first = parse_key(context), *last = first, *all;

	if (imap_peek(context->parser) != ' ')
		return first;
	all = make(context, SEARCH_AND);
	all->child = first;
	while (imap_accept(context->parser, ' ')) {
		last->next = parse_key(context);
		last = last->next;
	}
	return all;
}

static struct search_key *parse_or(struct context *context)
{
	struct search_key *key = make(context, SEARCH_OR);

	imap_space(context->parser);
	key->child = parse_key(context);
	imap_space(context->parser);
	key->child->next = parse_key(context);
	return key;
}

static struct search_key *parse_nested(struct context *context)
{
	struct imap_parser *parser = context->parser;
	struct search_key *key;

	if (imap_accept(parser, '(')) {
		key = parse_list(context);
		imap_expect(parser, ')');
		return key;
	}
	if (imap_accept_word(parser, "OR"))
		return parse_or(context);
	if (imap_accept_word(parser, "NOT")) {
		imap_space(parser);
		return negate(context, parse_key(context));
	}
	return NULL;
}

static struct search_key *parse_key(struct context *context)
{
	struct imap_parser *parser = context->parser;
	uint8_t next = imap_peek(parser);
	struct search_key *key = NULL;

	if (context->depth == IMAP_NESTING_MAX)
		imap_fail(parser, "The criteria are nested too deeply");
	context->depth++;
	if (imap_failed(parser))
		key = make(context, SEARCH_ALL);
	else if ((next >= '0' && next <= '9') || next == '*')
		key = parse_set(context, SEARCH_NUMBERS);
	if (key == NULL)
		key = parse_nested(context);
	if (key == NULL)
		key = parse_flag_word(context);
	if (key == NULL)
		key = parse_date_word(context);
	if (key == NULL)
		key = parse_text_word(context);
	if (key == NULL)
		key = parse_other_word(context);
	if (key == NULL) {
		imap_fail(parser, "Unknown search criterion");
		key = make(context, SEARCH_ALL);
	}
	context->depth--;
	return key;
}

void search_parse(struct imap_parser *parser, struct search *out)
{
	struct context context = {.parser = parser, .search = out};

	*out = (struct search){0};
	if (imap_accept_word(parser, "CHARSET")) {
		imap_space(parser);
		context.charset = imap_astring(parser);
		imap_space(parser);
		/* What stands behind it cannot be read then. */
		out->unknown_charset = !imap_failed(parser) && !charset_known(context.charset);
		if (out->unknown_charset)
			return;
	}
	out->root = parse_list(&context);
	imap_end(parser);
}
