/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/fetch.h"

#include "imap/header_stream.h"
#include "imap/render.h"

static const struct {
	const char *word;
	enum fetch_kind kind;
} simple_items[] = {
	{"FLAGS", FETCH_FLAGS},
	{"UID", FETCH_UID},
	{"INTERNALDATE", FETCH_INTERNALDATE},
	{"RFC822.SIZE", FETCH_SIZE},
	{"ENVELOPE", FETCH_ENVELOPE},
	{"BODYSTRUCTURE", FETCH_BODYSTRUCTURE},
};

static const struct {
	const char *word;
	enum section_kind kind;
	bool sets_seen;
} whole_items[] = {
	{"RFC822", SECTION_ALL, true},
	{"RFC822.HEADER", SECTION_HEADER, false},
	{"RFC822.TEXT", SECTION_TEXT, true},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct fetch_item *add(struct imap_parser *parser, struct fetch_request *request)
{
	if (imap_failed(parser))
		return NULL;
	if (request->count == FETCH_ITEMS_MAX) {
		imap_fail(parser, "Too many items");
		return NULL;
	}
	if (request->count == request->capacity) {
		size_t capacity = request->capacity != 0 ? request->capacity * 2 : 8;
		struct fetch_item *items = arena_array(parser->arena, capacity, sizeof(*items));

		if (items == NULL) {
			imap_fail(parser, "The command needs too much memory");
			return NULL;
		}
		for (size_t i = 0; i < request->count; i++)
			items[i] = request->items[i];
		request->items = items;
		request->capacity = capacity;
	}
	return &request->items[request->count++];
}

/* Asking twice shows it once. */
static void add_simple(struct imap_parser *parser, struct fetch_request *request,
		       enum fetch_kind kind, const char *label)
{
	struct fetch_item *item;

	if ((request->kinds >> kind & 1) != 0)
		return;
	item = add(parser, request);
	if (item == NULL)
		return;
	request->kinds |= 1u << kind;
	request->needs_summary |=
		kind == FETCH_ENVELOPE || kind == FETCH_BODY || kind == FETCH_BODYSTRUCTURE;
	item->kind = kind;
	item->label = bytes_string(label);
}

static void add_section(struct imap_parser *parser, struct fetch_request *request,
			const struct fetch_item *section, bool sets_seen)
{
	struct fetch_item *item = add(parser, request);

	if (item == NULL)
		return;
	*item = *section;
	request->sets_seen |= sets_seen;
	/* All of a message is as long as it is; where anything else lies the summary says. */
	request->needs_summary |=
		section->section.kind != SECTION_ALL || section->section.number_count != 0;
}

/* ---- BODY[section]<partial> ---- */

static bool is_section_octet(uint8_t octet)
{
	return (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') ||
	       (octet >= 'A' && octet <= 'Z') || octet == '.';
}

static struct bytes section_text(struct imap_parser *parser)
{
	size_t start = parser->offset;

	while (is_section_octet(imap_peek(parser)))
		parser->offset++;
	return bytes_slice(parser->text, start, parser->offset - start);
}

static void parse_names(struct imap_parser *parser, struct fetch_item *item)
{
	size_t capacity = 0;
	struct bytes *names = NULL;

	imap_space(parser);
	imap_expect(parser, '(');
	do {
		struct bytes name = imap_astring(parser);

		if (name.size > HEADER_NAME_MAX)
			imap_fail(parser, "A field name is too long");
		if (item->name_count == capacity && !imap_failed(parser)) {
			struct bytes *more;

			capacity = capacity != 0 ? capacity * 2 : 16;
			more = arena_array(parser->arena, capacity, sizeof(*more));
			if (more == NULL)
				imap_fail(parser, "The command needs too much memory");
			for (size_t i = 0; i < item->name_count && more != NULL; i++)
				more[i] = names[i];
			names = more;
		}
		if (!imap_failed(parser))
			names[item->name_count++] = name;
	} while (imap_accept(parser, ' '));
	imap_expect(parser, ')');
	item->names = names;
}

static void parse_partial(struct imap_parser *parser, struct fetch_item *item)
{
	item->partial_offset = imap_number64(parser);
	imap_expect(parser, '.');
	item->partial_size = imap_number64(parser);
	if (item->partial_size == 0)
		imap_fail(parser, "A part of no size is asked for");
	imap_expect(parser, '>');
}

/* The client's own names, the keywords in upper case. */
static void make_label(struct imap_parser *parser, struct bytes text, bool partial,
		       struct fetch_item *item)
{
	struct buf label = {0};

	buf_put_string(&label, "BODY[");
	for (size_t i = 0; i < text.size; i++)
		buf_put_u8(&label, text.data[i] >= 'a' && text.data[i] <= 'z' ? text.data[i] & 0xdf
									      : text.data[i]);
	for (size_t i = 0; i < item->name_count; i++) {
		buf_put_string(&label, i == 0 ? " (" : " ");
		render_astring(&label, item->names[i]);
	}
	buf_put_string(&label, item->name_count != 0 ? ")]" : "]");
	if (partial) {
		buf_put_u8(&label, '<');
		render_number(&label, item->partial_offset);
		buf_put_u8(&label, '>');
	}
	if (label.err == ERR_OK)
		item->label = arena_copy(parser->arena, bytes_of_buf(&label));
	if (item->label.data == NULL)
		imap_fail(parser, "The command needs too much memory");
	buf_finish(&label);
}

static void parse_section(struct imap_parser *parser, struct fetch_request *request, bool peek)
{
	struct fetch_item item = {.kind = FETCH_SECTION, .partial_size = UINT64_MAX};
	struct bytes text;
	bool partial;

	imap_expect(parser, '[');
	text = section_text(parser);
	if (!imap_failed(parser) && section_parse(text, &item.section) != ERR_OK)
		imap_fail(parser, "The section is wrong");
	if (item.section.kind == SECTION_HEADER_FIELDS ||
	    item.section.kind == SECTION_HEADER_FIELDS_NOT)
		parse_names(parser, &item);
	imap_expect(parser, ']');
	partial = imap_accept(parser, '<');
	if (partial)
		parse_partial(parser, &item);
	if (imap_failed(parser))
		return;
	make_label(parser, text, partial, &item);
	add_section(parser, request, &item, !peek);
}

/* ---- items ---- */

static void parse_item(struct imap_parser *parser, struct fetch_request *request)
{
	for (size_t i = 0; i < COUNT(simple_items); i++)
		if (imap_accept_word(parser, simple_items[i].word)) {
			add_simple(parser, request, simple_items[i].kind, simple_items[i].word);
			return;
		}
	for (size_t i = 0; i < COUNT(whole_items); i++)
		if (imap_accept_word(parser, whole_items[i].word)) {
			struct fetch_item item = {.kind = FETCH_SECTION,
						  .label = bytes_string(whole_items[i].word),
						  .section.kind = whole_items[i].kind,
						  .partial_size = UINT64_MAX};

			add_section(parser, request, &item, whole_items[i].sets_seen);
			return;
		}
	if (imap_accept_word(parser, "BODY.PEEK"))
		parse_section(parser, request, true);
	else if (!imap_accept_word(parser, "BODY"))
		imap_fail(parser, "Unknown item");
	else if (imap_peek(parser) == '[')
		parse_section(parser, request, false);
	else
		add_simple(parser, request, FETCH_BODY, "BODY");
}

static bool parse_macro(struct imap_parser *parser, struct fetch_request *request)
{
	bool full = imap_accept_word(parser, "FULL"), all = full || imap_accept_word(parser, "ALL");

	if (!all && !imap_accept_word(parser, "FAST"))
		return false;
	add_simple(parser, request, FETCH_FLAGS, "FLAGS");
	add_simple(parser, request, FETCH_INTERNALDATE, "INTERNALDATE");
	add_simple(parser, request, FETCH_SIZE, "RFC822.SIZE");
	if (all)
		add_simple(parser, request, FETCH_ENVELOPE, "ENVELOPE");
	if (full)
		add_simple(parser, request, FETCH_BODY, "BODY");
	return true;
}

void fetch_parse(struct imap_parser *parser, bool uid, struct fetch_request *out)
{
	*out = (struct fetch_request){0};
	if (uid)
		add_simple(parser, out, FETCH_UID, "UID");
	if (parse_macro(parser, out))
		return;
	if (!imap_accept(parser, '(')) {
		parse_item(parser, out);
		return;
	}
	do
		parse_item(parser, out);
	while (imap_accept(parser, ' '));
	imap_expect(parser, ')');
}
