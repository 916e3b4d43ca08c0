/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/address.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

/* Of an encoded word that may hold what would end an atom; RFC 2047 allows 75. */
#define ENCODED_WORD_MAX 128

struct parser {
	struct bytes rest;
	struct address_list *list;
	size_t capacity;
	bool in_group;
	enum err err;
	/* Of the entry that is being read; has_* tell absent from empty. */
	struct buf phrase, local, host, route, comment;
	bool has_local, has_host, has_route, has_comment, has_angle;
	/* Where in the phrase the last word begins, which is also in `local`. */
	size_t phrase_end;
	/* White space or a comment came since the last word; the last token was a dot. */
	bool spaced, dotted;
};

static bool is_space(uint8_t octet)
{
	return octet <= ' ' || octet == 0x7f;
}

static void skip(struct parser *parser, size_t size)
{
	parser->rest = bytes_slice(parser->rest, size, parser->rest.size);
}

static bool at(const struct parser *parser, char octet)
{
	return parser->rest.size != 0 && parser->rest.data[0] == (uint8_t)octet;
}

static void clear_entry(struct parser *parser)
{
	buf_clear(&parser->phrase);
	buf_clear(&parser->local);
	buf_clear(&parser->host);
	buf_clear(&parser->route);
	buf_clear(&parser->comment);
	parser->has_local = parser->has_host = parser->has_route = false;
	parser->has_comment = parser->has_angle = false;
	parser->spaced = parser->dotted = false;
	parser->phrase_end = 0;
}

/* Copies into the list's text, where room for all was made at the start. */
static struct bytes keep(struct parser *parser, struct bytes text, bool present)
{
	struct buf *to = &parser->list->text;
	size_t offset = to->size;

	if (!present)
		return bytes_make(NULL, 0);
	ASSERT(text.size <= to->capacity - to->size);
	buf_put_bytes(to, text);
	return bytes_make(to->data + offset, text.size);
}

static void append(struct parser *parser, struct address address)
{
	struct address_list *list = parser->list;

	if (list->count == parser->capacity) {
		size_t capacity = parser->capacity != 0 ? parser->capacity * 2 : 4;
		struct address *items = memory_resize(list->items, capacity * sizeof(*items));

		if (items == NULL) {
			parser->err = ERR_NOMEM;
			return;
		}
		list->items = items;
		parser->capacity = capacity;
	}
	list->items[list->count++] = address;
}

/* A place is kept for the end of an open group. */
static bool is_full(const struct parser *parser)
{
	return parser->list->count + 2 > ADDRESS_COUNT_MAX;
}

static void check_memory(struct parser *parser)
{
	const struct buf *const used[] = {&parser->phrase, &parser->local, &parser->host,
					  &parser->route, &parser->comment};

	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		if (used[i]->err != ERR_OK)
			parser->err = used[i]->err;
}

/* "(a (b) \) c)": what is between the outer brackets, without backslashes. */
static void take_comment(struct parser *parser)
{
	size_t depth = 1;

	buf_clear(&parser->comment);
	skip(parser, 1);
	while (parser->rest.size != 0) {
		uint8_t octet = parser->rest.data[0];

		skip(parser, 1);
		if (octet == '\\' && parser->rest.size != 0) {
			octet = parser->rest.data[0];
			skip(parser, 1);
		} else if (octet == '(') {
			depth++;
		} else if (octet == ')' && --depth == 0) {
			break;
		}
		if (octet != '\r' && octet != '\n' && octet != 0)
			buf_put_u8(&parser->comment, octet);
	}
	parser->has_comment = true;
	parser->spaced = true;
}

/* "a \" b" or, for a domain literal, [..] with its brackets. */
static void take_quoted(struct parser *parser, uint8_t close, struct buf *out)
{
	bool literal = close == ']';

	if (literal)
		buf_put_u8(out, '[');
	skip(parser, 1);
	while (parser->rest.size != 0) {
		uint8_t octet = parser->rest.data[0];

		skip(parser, 1);
		if (octet == close)
			break;
		if (octet == '\\' && parser->rest.size != 0) {
			octet = parser->rest.data[0];
			skip(parser, 1);
		}
		if (octet != '\r' && octet != '\n' && octet != 0)
			buf_put_u8(out, octet);
	}
	if (literal)
		buf_put_u8(out, ']');
}

/* The size of an encoded word, whatever is in it but blanks; 0 when none begins here. */
static size_t encoded_word_size(struct bytes text)
{
	size_t marks = 0;

	if (text.size < 2 || text.data[0] != '=' || text.data[1] != '?')
		return 0;
	for (size_t i = 2; i < text.size && i < ENCODED_WORD_MAX; i++) {
		if (is_space(text.data[i]))
			return 0;
		if (text.data[i] == '?' && ++marks == 3)
			return i + 1 < text.size && text.data[i + 1] == '=' ? i + 2 : 0;
	}
	return 0;
}

static void take_atom(struct parser *parser, const char *stops, struct buf *out)
{
	size_t size = encoded_word_size(parser->rest);

	while (size < parser->rest.size && !is_space(parser->rest.data[size]) &&
	       strchr(stops, parser->rest.data[size]) == NULL)
		size++;
	/* Whatever no rule wants is text. */
	if (size == 0)
		size = 1;
	buf_put(out, parser->rest.data, size);
	skip(parser, size);
}

static void skip_blank(struct parser *parser)
{
	while (parser->rest.size != 0) {
		if (at(parser, '(')) {
			take_comment(parser);
		} else if (is_space(parser->rest.data[0])) {
			skip(parser, 1);
			parser->spaced = true;
		} else {
			break;
		}
	}
}

/* A word of a phrase, which may turn out to be a local part, or a part of one. */
static void take_word(struct parser *parser)
{
	bool joined = parser->dotted || at(parser, '.');
	struct buf *local = &parser->local;
	size_t start;

	if (!joined && parser->spaced) {
		buf_clear(local);
		parser->phrase_end = parser->phrase.size;
	}
	if (parser->spaced && parser->phrase.size != 0)
		buf_put_u8(&parser->phrase, ' ');
	parser->spaced = false;
	start = local->size;
	if (at(parser, '.')) {
		buf_put_u8(local, '.');
		skip(parser, 1);
		parser->dotted = true;
	} else {
		if (at(parser, '"'))
			take_quoted(parser, '"', local);
		else
			take_atom(parser, parser->in_group ? "(<@,;\"." : "(<@,;:\".", local);
		parser->dotted = false;
	}
	if (local->err == ERR_OK && local->size != start)
		buf_put(&parser->phrase, local->data + start, local->size - start);
	parser->has_local = true;
}

/* After "@": up to something that cannot be of a domain. */
static void take_host(struct parser *parser, const char *stops)
{
	bool dotted = true;

	parser->has_host = true;
	for (;;) {
		size_t before;

		parser->spaced = false;
		skip_blank(parser);
		if (parser->rest.size == 0 || strchr(stops, parser->rest.data[0]) != NULL)
			return;
		/* Two words with only a blank between are not one domain. */
		if (parser->spaced && !dotted && !at(parser, '.'))
			return;
		before = parser->host.size;
		if (at(parser, '['))
			take_quoted(parser, ']', &parser->host);
		else if (at(parser, '"'))
			take_quoted(parser, '"', &parser->host);
		else
			take_atom(parser, stops, &parser->host);
		if (parser->host.err != ERR_OK)
			return;
		dotted = parser->host.size == before ||
			 parser->host.data[parser->host.size - 1] == '.';
	}
}

/* "@a,@b:" of an obsolete route, without the colon. */
static void take_route(struct parser *parser)
{
	parser->has_route = true;
	while (parser->rest.size != 0 && !at(parser, ':') && !at(parser, '>')) {
		if (!is_space(parser->rest.data[0]))
			buf_put_u8(&parser->route, parser->rest.data[0]);
		skip(parser, 1);
	}
	if (at(parser, ':'))
		skip(parser, 1);
}

/* "<...>": what came before is the name. */
static void take_angle(struct parser *parser)
{
	parser->has_angle = true;
	/* "a@b <a@b>": what looked like an address is the name. */
	if (parser->has_host) {
		buf_put_u8(&parser->phrase, '@');
		buf_put_bytes(&parser->phrase, bytes_of_buf(&parser->host));
	}
	buf_clear(&parser->local);
	parser->has_local = parser->has_host = false;
	buf_clear(&parser->host);
	skip(parser, 1);
	skip_blank(parser);
	if (at(parser, '@'))
		take_route(parser);
	for (;;) {
		skip_blank(parser);
		if (parser->rest.size == 0 || at(parser, '>') || at(parser, ','))
			break;
		if (at(parser, '@')) {
			skip(parser, 1);
			take_host(parser, "(>,");
			break;
		}
		if (at(parser, '"'))
			take_quoted(parser, '"', &parser->local);
		else
			take_atom(parser, "(>@,\"", &parser->local);
		check_memory(parser);
		if (parser->err != ERR_OK)
			return;
	}
	while (parser->rest.size != 0 && !at(parser, '>') && !at(parser, ','))
		skip(parser, 1);
	if (at(parser, '>'))
		skip(parser, 1);
}

static void finish_entry(struct parser *parser)
{
	struct bytes name = bytes_of_buf(&parser->phrase);
	struct address address = {0};

	check_memory(parser);
	if (parser->err != ERR_OK ||
	    (!parser->has_local && !parser->has_angle && !parser->has_host) || is_full(parser))
		return;
	if (parser->has_angle) {
		address.name = keep(parser, name, name.size != 0);
	} else if (parser->has_host) {
		name.size = parser->phrase_end;
		address.name = keep(parser, name, name.size != 0);
	} else {
		/* No "@" anywhere: all the words are the mailbox. */
		parser->local.size = 0;
		buf_put_bytes(&parser->local, name);
		check_memory(parser);
		if (parser->err != ERR_OK)
			return;
	}
	if (address.name.data == NULL && parser->comment.size != 0)
		address.name = keep(parser, bytes_of_buf(&parser->comment), true);
	address.route = keep(parser, bytes_of_buf(&parser->route), parser->has_route);
	address.mailbox = keep(parser, bytes_of_buf(&parser->local), true);
	address.host = keep(parser, bytes_of_buf(&parser->host), true);
	append(parser, address);
}

static void start_group(struct parser *parser)
{
	check_memory(parser);
	if (parser->err == ERR_OK && !is_full(parser)) {
		append(parser, (struct address){
				       .mailbox = keep(parser, bytes_of_buf(&parser->phrase), true),
			       });
		parser->in_group = true;
	}
}

static void end_group(struct parser *parser)
{
	if (parser->in_group && parser->err == ERR_OK)
		append(parser, (struct address){0});
	parser->in_group = false;
}

/* One entry up to and over its separator. */
static void take_entry(struct parser *parser)
{
	clear_entry(parser);
	for (;;) {
		skip_blank(parser);
		if (parser->rest.size == 0 || at(parser, ',') || at(parser, ';') ||
		    parser->err != ERR_OK)
			break;
		if (at(parser, ':') && !parser->in_group && !parser->has_angle &&
		    !parser->has_host) {
			skip(parser, 1);
			start_group(parser);
			return;
		}
		if (at(parser, '<') && !parser->has_angle) {
			take_angle(parser);
		} else if (parser->has_angle || parser->has_host) {
			/* Words after a complete address belong to nothing. */
			skip(parser, 1);
		} else if (at(parser, '@')) {
			skip(parser, 1);
			take_host(parser, "(<,;");
		} else {
			take_word(parser);
		}
		check_memory(parser);
	}
	finish_entry(parser);
	if (at(parser, ';'))
		end_group(parser);
	skip(parser, 1);
}

enum err address_parse(struct bytes value, struct address_list *out)
{
	struct parser parser = {.rest = value, .list = out};

	*out = (struct address_list){0};
	/* One octet is kept at most for each that was read, and a blank before a word. */
	parser.err = buf_reserve(&out->text, value.size * 2 + 8);
	while (parser.rest.size != 0 && parser.err == ERR_OK)
		take_entry(&parser);
	end_group(&parser);
	buf_finish(&parser.phrase);
	buf_finish(&parser.local);
	buf_finish(&parser.host);
	buf_finish(&parser.route);
	buf_finish(&parser.comment);
	if (parser.err != ERR_OK)
		address_list_finish(out);
	return parser.err;
}

void address_list_finish(struct address_list *list)
{
	memory_free(list->items);
	buf_finish(&list->text);
	*list = (struct address_list){0};
}
