/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The parser goes through the message line by line:
 *
 *   LINE_START      nothing of the line was seen
 *   LINE_HELD       it begins with "-" and a boundary is open: its first bytes are
 *                   held until they say whether it is a delimiter
 *   LINE_INSIDE     it is not; its bytes belong to the header or body at hand
 *   LINE_DELIMITER  it is; the rest of it is skipped
 *
 * path[] is the open parts from the root to the innermost. Only the innermost can
 * be in its header. A part's header is parsed when it ends, into the part's text block.
 *
 * Invariants:
 *   I1  node_count <= SUMMARY_PARTS_MAX, depth <= SUMMARY_DEPTH_MAX
 *   I2  `boundaries` holds the open boundaries of path[], outermost first
 *   I3  no buffer grows beyond the constant that stands with it
 */
#include "mail/summary.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "mail/preview.h"
#include "mail/summary_part.h"

/* A header field, and a line of one. What is longer loses its last lines. */
#define FIELD_MAX 8192
/* The Content-* fields of one part; the envelope fields of one nested message. */
#define MIME_MAX 16384
#define ENVELOPE_MAX 8192
/* Fields that are in no envelope leave this much of SUMMARY_FIELDS_MAX to those that are. */
#define ENVELOPE_RESERVE 7168
/* The beginning of a text that may become the preview; texts that are tried. */
#define CAPTURE_MAX 16384
#define CAPTURE_TRIES 4
/* "--", boundary, "--" */
#define HELD_MAX (SUMMARY_BOUNDARY_MAX + 4)

enum line_state { LINE_START, LINE_HELD, LINE_INSIDE, LINE_DELIMITER };

struct node {
	enum part_kind kind;
	uint8_t type, depth;
	bool has_child;
	uint64_t header_offset, header_size, body_offset, body_size, body_lines;
	/* In `text`. */
	uint32_t text_offset, text_size, parameter_count;
};

struct level {
	uint32_t node;
	/* LF before the body. */
	uint64_t lines_before;
	/* In `boundaries`; size 0: none, or its end was seen. */
	uint32_t boundary_offset, boundary_size;
	bool digest;
};

struct summary_parser {
	enum err err;
	bool finished;
	uint32_t flags;
	uint64_t offset, lines, header_lines, cr_count, crlf_count;
	uint8_t first_octet, last_octet;
	/* The line end before the current line. */
	uint8_t line_end_size;

	enum line_state line_state;
	uint64_t line_offset, lines_before_line;
	uint8_t held[HELD_MAX];
	size_t held_size;
	/* The delimiter at hand starts a part. */
	bool opens_part;

	struct node *nodes;
	size_t node_count, node_capacity;
	struct level path[SUMMARY_DEPTH_MAX];
	size_t depth;
	struct buf boundaries, text;

	bool in_header;
	/* The current line of a header; its true size; the field before it, without it. */
	struct buf line, field;
	uint64_t line_size;
	bool field_cut;
	/* Of the header at hand: its Content-* fields, its envelope when it is nested. */
	struct buf mime, envelope;
	struct summary_part part;
	/* The kept fields of the message. */
	struct buf fields;

	bool capturing;
	size_t capture_tries;
	struct buf capture, preview;
	/* How to read what is captured. */
	bool capture_html;
	enum encoding_kind capture_encoding;
	struct buf capture_charset;
};

static void fail(struct summary_parser *parser, enum err err)
{
	if (parser->err == ERR_OK)
		parser->err = err;
}

static struct node *innermost(struct summary_parser *parser)
{
	return &parser->nodes[parser->path[parser->depth - 1].node];
}

/* Whether the innermost part is a message: the root, or what a message part holds. */
static bool is_message_root(const struct summary_parser *parser)
{
	return parser->depth == 1 ||
	       parser->nodes[parser->path[parser->depth - 2].node].kind == PART_MESSAGE;
}

static void open_part(struct summary_parser *parser, uint64_t offset)
{
	ASSERT(parser->depth < SUMMARY_DEPTH_MAX && parser->node_count < SUMMARY_PARTS_MAX);
	if (parser->node_count == parser->node_capacity) {
		size_t capacity = parser->node_capacity * 2;
		struct node *nodes = memory_resize(parser->nodes, capacity * sizeof(*nodes));

		if (nodes == NULL) {
			fail(parser, ERR_NOMEM);
			return;
		}
		parser->nodes = nodes;
		parser->node_capacity = capacity;
	}
	if (parser->depth != 0)
		innermost(parser)->has_child = true;
	parser->path[parser->depth] = (struct level){
		.node = (uint32_t)parser->node_count,
		.boundary_offset = (uint32_t)parser->boundaries.size,
	};
	parser->depth++;
	parser->nodes[parser->node_count++] = (struct node){
		.header_offset = offset,
		.depth = (uint8_t)parser->depth,
	};
	parser->in_header = true;
	buf_clear(&parser->line);
	buf_clear(&parser->field);
	buf_clear(&parser->mime);
	buf_clear(&parser->envelope);
	parser->line_size = 0;
	parser->field_cut = false;
}

/* Appends at most what fits; true when all did. */
static bool put_bounded(struct summary_parser *parser, struct buf *to, struct bytes bytes,
			size_t limit)
{
	size_t room = limit - to->size;
	bool fits = bytes.size <= room;

	buf_put_bytes(to, fits ? bytes : bytes_slice(bytes, 0, room));
	if (to->err != ERR_OK)
		fail(parser, to->err);
	return fits;
}

/* The longest beginning of a raw field that is whole lines and fits. */
static struct bytes whole_lines(struct bytes raw, size_t limit)
{
	const uint8_t *end;

	raw = bytes_slice(raw, 0, limit);
	end = raw.size != 0 ? memrchr(raw.data, '\n', raw.size) : NULL;
	return bytes_slice(raw, 0, end != NULL ? (size_t)(end - raw.data) + 1 : 0);
}

/* Keeps a field, or its first lines; returns whether that was all of it. */
static bool keep_field(struct summary_parser *parser, struct bytes raw, bool cut, size_t limit,
		       struct buf *to)
{
	size_t room = to->size < limit ? limit - to->size : 0;
	struct bytes kept = raw;

	/* A field that fits stays as it is, be it without a line end at the message's end. */
	if (cut || raw.size > room)
		kept = whole_lines(raw, room);
	(void)put_bounded(parser, to, kept, to->size + kept.size);
	return !cut && kept.size == raw.size;
}

static size_t fields_limit(struct bytes name)
{
	size_t limit = SUMMARY_FIELDS_MAX - SUMMARY_PREFIX_MAX;

	return summary_is_envelope_field(name) ? limit : limit - ENVELOPE_RESERVE;
}

static bool is_content_field(struct bytes name)
{
	return bytes_equal_nocase(bytes_slice(name, 0, 8), bytes_string("content-"));
}

/* The field in `field` is complete. */
static void end_field(struct summary_parser *parser)
{
	struct bytes block = bytes_of_buf(&parser->field);
	struct header_field field;
	bool all = true;

	if (header_next(&block, &field) && field.name.size != 0) {
		if (parser->depth == 1 && summary_keeps_field(field.name) &&
		    !keep_field(parser, field.raw, parser->field_cut, fields_limit(field.name),
				&parser->fields))
			parser->flags |= SUMMARY_FIELDS_CUT;
		if (parser->depth > 1 && is_message_root(parser) &&
		    summary_is_envelope_field(field.name))
			all = keep_field(parser, field.raw, parser->field_cut, ENVELOPE_MAX,
					 &parser->envelope);
		if (is_content_field(field.name))
			all = keep_field(parser, field.raw, parser->field_cut, MIME_MAX,
					 &parser->mime);
		if (!all)
			parser->flags |= SUMMARY_STRUCTURE_CUT;
	}
	buf_clear(&parser->field);
	parser->field_cut = false;
}

static void start_capture(struct summary_parser *parser)
{
	if (!parser->part.previewable || parser->preview.size != 0 ||
	    parser->capture_tries == CAPTURE_TRIES)
		return;
	parser->capture_tries++;
	parser->capturing = true;
	buf_clear(&parser->capture);
	parser->capture_html = parser->part.html;
	parser->capture_encoding = parser->part.encoding;
	buf_clear(&parser->capture_charset);
	buf_put_bytes(&parser->capture_charset, bytes_of_buf(&parser->part.charset));
	if (parser->capture_charset.err != ERR_OK)
		fail(parser, ERR_NOMEM);
}

static void end_capture(struct summary_parser *parser)
{
	const struct preview_text text = {
		.body = bytes_of_buf(&parser->capture),
		.encoding = parser->capture_encoding,
		.charset = bytes_of_buf(&parser->capture_charset),
		.html = parser->capture_html,
	};
	enum err err;

	if (!parser->capturing)
		return;
	parser->capturing = false;
	err = preview_make(&text, SUMMARY_PREVIEW_CHARACTERS, &parser->preview);
	if (err != ERR_OK)
		fail(parser, err);
}

/* Takes the text of the part over; without it when there is too much of that already. */
static void store_text(struct summary_parser *parser, struct node *node)
{
	static const uint8_t bare_types[] = {
		[PART_LEAF] = SUMMARY_TYPE_OPAQUE,
		[PART_MULTIPART] = SUMMARY_TYPE_MULTIPART,
		[PART_MESSAGE] = SUMMARY_TYPE_MESSAGE,
	};
	const struct summary_part *part = &parser->part;

	node->kind = part->kind;
	node->type = part->type;
	if (part->text.size > SUMMARY_TEXT_MAX - parser->text.size) {
		parser->flags |= SUMMARY_STRUCTURE_CUT;
		if (node->type == SUMMARY_TYPE_CUSTOM)
			node->type = bare_types[node->kind];
		return;
	}
	node->text_offset = (uint32_t)parser->text.size;
	node->text_size = (uint32_t)part->text.size;
	node->parameter_count = (uint32_t)part->parameter_count;
	buf_put_bytes(&parser->text, bytes_of_buf(&part->text));
	if (parser->text.err != ERR_OK)
		fail(parser, ERR_NOMEM);
}

/* The innermost part's header ends before `offset`, which `lines` LF precede. */
static void end_header(struct summary_parser *parser, uint64_t offset, uint64_t lines)
{
	struct level *level = &parser->path[parser->depth - 1];
	struct node *node = innermost(parser);
	struct summary_part_source source = {
		.mime = bytes_of_buf(&parser->mime),
		.in_digest = parser->depth > 1 && level[-1].digest,
		.may_nest =
			parser->depth < SUMMARY_DEPTH_MAX && parser->node_count < SUMMARY_PARTS_MAX,
	};
	enum err err;

	end_field(parser);
	source.mime = bytes_of_buf(&parser->mime);
	source.envelope = bytes_of_buf(&parser->envelope);
	if (parser->err == ERR_OK) {
		err = summary_part_describe(&source, &parser->part);
		if (err != ERR_OK)
			fail(parser, err);
	}
	if (parser->err != ERR_OK)
		return;
	parser->in_header = false;
	node->header_size = offset - node->header_offset;
	node->body_offset = offset;
	level->lines_before = lines;
	if (parser->depth == 1)
		parser->header_lines = lines;
	if (parser->part.cut)
		parser->flags |= SUMMARY_STRUCTURE_CUT;
	store_text(parser, node);
	start_capture(parser);
	if (node->kind == PART_MULTIPART) {
		level->digest = parser->part.digest;
		level->boundary_size = (uint32_t)parser->part.boundary.size;
		buf_put_bytes(&parser->boundaries, bytes_of_buf(&parser->part.boundary));
		if (parser->boundaries.err != ERR_OK)
			fail(parser, ERR_NOMEM);
	} else if (node->kind == PART_MESSAGE) {
		open_part(parser, offset);
	}
}

/* Where parts end that end together. */
struct ending {
	/* Before the line that ends them, and before the line end before it. */
	uint64_t line_offset, offset;
	/* LF before each. */
	uint64_t line_lines, lines;
};

/* Closes the innermost part, which has its header. `*child_end`: where its last child ended. */
static void close_part(struct summary_parser *parser, const struct ending *ending,
		       uint64_t *child_end)
{
	const struct level *level = &parser->path[parser->depth - 1];
	struct node *node = innermost(parser);
	uint64_t end = ending->offset;

	end_capture(parser);
	/* An empty body may begin after the line end that belongs to the delimiter. */
	if (node->body_offset > end || *child_end > end)
		end = ending->line_offset;
	node->body_size = end - node->body_offset;
	node->body_lines =
		(end == ending->offset ? ending->lines : ending->line_lines) - level->lines_before;
	*child_end = end;
	if (node->kind == PART_MULTIPART && !node->has_child) {
		node->kind = PART_LEAF;
		node->type = SUMMARY_TYPE_DEFAULT;
		node->text_size = node->parameter_count = 0;
	}
	parser->boundaries.size = level->boundary_offset;
	parser->depth--;
}

/* Closes all parts that are deeper than `depth`. */
static void close_parts(struct summary_parser *parser, size_t depth, const struct ending *ending)
{
	uint64_t child_end = 0;

	while (parser->depth > depth && parser->err == ERR_OK) {
		if (parser->in_header)
			end_header(parser, ending->line_offset, ending->line_lines);
		else
			close_part(parser, ending, &child_end);
	}
}

/* The level whose delimiter the held bytes are, or `depth` when they are none. */
static size_t match_delimiter(const struct summary_parser *parser, bool *final)
{
	size_t best = parser->depth, best_size = 0;

	if (parser->held_size < 3 || parser->held[1] != '-')
		return best;
	for (size_t i = parser->depth; i-- > 0;) {
		const struct level *level = &parser->path[i];
		size_t size = level->boundary_size;

		if (size > best_size && size <= parser->held_size - 2 &&
		    memcmp(parser->boundaries.data + level->boundary_offset, parser->held + 2,
			   size) == 0) {
			best = i;
			best_size = size;
		}
	}
	*final = parser->held_size - 2 - best_size >= 2 &&
		 memcmp(parser->held + 2 + best_size, "--", 2) == 0;
	return best;
}

static void put_header_octets(struct summary_parser *parser, struct bytes bytes)
{
	parser->line_size += bytes.size;
	(void)put_bounded(parser, &parser->line, bytes, FIELD_MAX);
}

/* A line of the header is complete, with its line end unless the message ended. */
static void end_header_line(struct summary_parser *parser)
{
	struct bytes line = bytes_of_buf(&parser->line);
	bool cut = parser->line_size > line.size;
	bool goes_on = line.size != 0 && (line.data[0] == ' ' || line.data[0] == '\t');
	struct buf field;

	parser->line_size = 0;
	if (bytes_equal(line, bytes_string("\n")) || bytes_equal(line, bytes_string("\r\n"))) {
		buf_clear(&parser->line);
		end_header(parser, parser->offset, parser->lines);
		return;
	}
	if (goes_on && parser->field.size != 0) {
		if (!put_bounded(parser, &parser->field, line, FIELD_MAX) || cut)
			parser->field_cut = true;
	} else {
		end_field(parser);
		field = parser->field;
		parser->field = parser->line;
		parser->line = field;
		parser->field_cut = cut;
	}
	buf_clear(&parser->line);
}

static void put_body_octets(struct summary_parser *parser, struct bytes bytes)
{
	if (parser->capturing)
		(void)put_bounded(parser, &parser->capture, bytes, CAPTURE_MAX);
}

/* Goes over octets of one line, of which only the last may be LF; returns whether it is. */
static bool advance(struct summary_parser *parser, struct bytes bytes)
{
	uint8_t last = bytes.data[bytes.size - 1];
	uint8_t before = bytes.size > 1 ? bytes.data[bytes.size - 2] : parser->last_octet;

	parser->offset += bytes.size;
	parser->last_octet = last;
	if (last != '\n')
		return false;
	parser->lines++;
	parser->line_end_size = before == '\r' ? 2 : 1;
	if (before == '\r')
		parser->crlf_count++;
	else
		parser->flags |= SUMMARY_HAS_BARE_LF;
	return true;
}

/* The first line of the bytes with its line end, or all of them. */
static struct bytes first_line(struct bytes bytes)
{
	const uint8_t *end = memchr(bytes.data, '\n', bytes.size);

	return end != NULL ? bytes_slice(bytes, 0, (size_t)(end - bytes.data) + 1) : bytes;
}

/* The delimiter's line is complete. */
static void end_delimiter(struct summary_parser *parser)
{
	parser->line_state = LINE_START;
	if (parser->opens_part)
		open_part(parser, parser->offset);
	parser->opens_part = false;
}

/* Enough of the line is held to say what it is. */
static void decide(struct summary_parser *parser, bool line_ended)
{
	const struct ending ending = {
		.line_offset = parser->line_offset,
		.offset = parser->line_offset - parser->line_end_size,
		.line_lines = parser->lines_before_line,
		.lines = parser->lines_before_line - 1,
	};
	struct bytes held = bytes_make(parser->held, parser->held_size);
	bool final = false;
	size_t level = match_delimiter(parser, &final);

	if (level < parser->depth && !final && parser->node_count == SUMMARY_PARTS_MAX) {
		parser->flags |= SUMMARY_STRUCTURE_CUT;
		level = parser->depth;
	}
	if (level < parser->depth) {
		parser->line_state = LINE_DELIMITER;
		close_parts(parser, level + 1, &ending);
		parser->opens_part = !final;
		if (final && parser->err == ERR_OK) {
			parser->path[level].boundary_size = 0;
			parser->boundaries.size = parser->path[level].boundary_offset;
		}
		if (line_ended && parser->err == ERR_OK)
			end_delimiter(parser);
		return;
	}
	parser->line_state = line_ended ? LINE_START : LINE_INSIDE;
	if (!parser->in_header) {
		put_body_octets(parser, held);
		return;
	}
	put_header_octets(parser, held);
	if (line_ended)
		end_header_line(parser);
}

static size_t take_held(struct summary_parser *parser, struct bytes chunk)
{
	struct bytes taken = first_line(bytes_slice(chunk, 0, HELD_MAX - parser->held_size));
	bool line_ended;

	memcpy(parser->held + parser->held_size, taken.data, taken.size);
	parser->held_size += taken.size;
	line_ended = advance(parser, taken);
	/* Without "--" it is none, however it goes on. */
	if (line_ended || parser->held_size == HELD_MAX ||
	    (parser->held_size >= 2 && parser->held[1] != '-'))
		decide(parser, line_ended);
	return taken.size;
}

static size_t take_header(struct summary_parser *parser, struct bytes chunk)
{
	struct bytes taken = first_line(chunk);

	put_header_octets(parser, taken);
	if (advance(parser, taken)) {
		parser->line_state = LINE_START;
		end_header_line(parser);
	}
	return taken.size;
}

/* As many lines of the body as cannot be delimiters. */
static size_t take_body(struct summary_parser *parser, struct bytes chunk)
{
	bool candidates = parser->boundaries.size != 0;
	size_t used = 0;

	while (used < chunk.size) {
		struct bytes line = first_line(bytes_make(chunk.data + used, chunk.size - used));
		bool line_ended = advance(parser, line);

		used += line.size;
		parser->line_state = line_ended ? LINE_START : LINE_INSIDE;
		if (candidates && line_ended && used < chunk.size && chunk.data[used] == '-')
			break;
	}
	put_body_octets(parser, bytes_slice(chunk, 0, used));
	return used;
}

static size_t take(struct summary_parser *parser, struct bytes chunk)
{
	struct bytes line;

	switch (parser->line_state) {
	case LINE_START:
		parser->line_offset = parser->offset;
		parser->lines_before_line = parser->lines;
		parser->held_size = 0;
		parser->line_state = chunk.data[0] == '-' && parser->boundaries.size != 0
					     ? LINE_HELD
					     : LINE_INSIDE;
		return 0;
	case LINE_HELD:
		return take_held(parser, chunk);
	case LINE_INSIDE:
		return parser->in_header ? take_header(parser, chunk) : take_body(parser, chunk);
	case LINE_DELIMITER:
		break;
	}
	line = first_line(chunk);
	if (advance(parser, line))
		end_delimiter(parser);
	return line.size;
}

/* Blocks of a fixed size, so that the compiler makes vector instructions of the loop. */
#define SCAN_SIZE 128

/* NUL, 8-bit octets and CR of the message, wherever they are. */
static void scan(struct bytes chunk, uint32_t *flags, uint64_t *cr_count)
{
	while (chunk.size != 0) {
		uint8_t block[SCAN_SIZE];
		size_t size = chunk.size < SCAN_SIZE ? chunk.size : SCAN_SIZE;
		const uint8_t *at = chunk.data;
		uint8_t nul = 0, high = 0, cr = 0;

		if (size < SCAN_SIZE) {
			memset(block, ' ', sizeof(block));
			memcpy(block, chunk.data, size);
			at = block;
		}
		for (size_t i = 0; i < SCAN_SIZE; i++) {
			nul |= (uint8_t)(at[i] == 0);
			high |= at[i];
			cr = (uint8_t)(cr + (at[i] == '\r'));
		}
		*flags |= nul != 0 ? (uint32_t)SUMMARY_HAS_NUL : 0;
		*flags |= (high & 0x80) != 0 ? (uint32_t)SUMMARY_HAS_8BIT : 0;
		*cr_count += cr;
		chunk = bytes_make(chunk.data + size, chunk.size - size);
	}
}

enum err summary_parser_create(struct summary_parser **out)
{
	struct summary_parser *parser = memory_allocate(sizeof(*parser));

	if (parser == NULL)
		return ERR_NOMEM;
	parser->node_capacity = 4;
	parser->nodes = memory_array(parser->node_capacity, sizeof(*parser->nodes));
	if (parser->nodes == NULL) {
		summary_parser_destroy(&parser);
		return ERR_NOMEM;
	}
	open_part(parser, 0);
	*out = parser;
	return ERR_OK;
}

void summary_parser_destroy(struct summary_parser **parser)
{
	struct summary_parser *dead = *parser;

	if (dead == NULL)
		return;
	memory_free(dead->nodes);
	buf_finish(&dead->boundaries);
	buf_finish(&dead->text);
	buf_finish(&dead->line);
	buf_finish(&dead->field);
	buf_finish(&dead->mime);
	buf_finish(&dead->envelope);
	buf_finish(&dead->fields);
	buf_finish(&dead->capture);
	buf_finish(&dead->preview);
	buf_finish(&dead->capture_charset);
	summary_part_finish(&dead->part);
	memory_free(dead);
	*parser = NULL;
}

enum err summary_parser_feed(struct summary_parser *parser, struct bytes chunk)
{
	ASSERT(!parser->finished);
	if (parser->offset == 0 && chunk.size != 0)
		parser->first_octet = chunk.data[0];
	scan(chunk, &parser->flags, &parser->cr_count);
	while (chunk.size != 0 && parser->err == ERR_OK) {
		size_t used = take(parser, chunk);

		chunk = bytes_make(chunk.data + used, chunk.size - used);
	}
	return parser->err;
}

/* The message ends here: in the middle of a line, of a header, of any number of parts. */
static void end_message(struct summary_parser *parser)
{
	struct ending ending;

	if (parser->line_state == LINE_HELD)
		decide(parser, false);
	if (parser->line_state == LINE_DELIMITER && parser->err == ERR_OK)
		end_delimiter(parser);
	if (parser->in_header && parser->line_size != 0 && parser->err == ERR_OK)
		end_header_line(parser);
	ending = (struct ending){parser->offset, parser->offset, parser->lines, parser->lines};
	close_parts(parser, 0, &ending);
	if (parser->cr_count != parser->crlf_count)
		parser->flags |= SUMMARY_HAS_BARE_CR;
	buf_clear(&parser->capture);
	parser->finished = true;
}

/* What a prefix adds to the summary. */
struct prefix {
	uint64_t size, lines;
	uint32_t flags;
	struct buf fields;
};

static void read_prefix(struct bytes bytes, struct prefix *out)
{
	struct header_field field;
	uint64_t cr_count = 0;

	out->size = bytes.size;
	scan(bytes, &out->flags, &cr_count);
	for (size_t i = 0; i < bytes.size; i++) {
		if (bytes.data[i] != '\n')
			continue;
		out->lines++;
		if (i == 0 || bytes.data[i - 1] != '\r')
			out->flags |= SUMMARY_HAS_BARE_LF;
		else
			cr_count--;
	}
	if (cr_count != 0)
		out->flags |= SUMMARY_HAS_BARE_CR;
	while (header_next(&bytes, &field))
		if (summary_keeps_field(field.name))
			buf_put_bytes(&out->fields, field.raw);
}

static void put_part(const struct summary_parser *parser, size_t index, uint64_t prefix_size,
		     struct buf *out)
{
	const struct node *node = &parser->nodes[index];
	uint64_t distance = index != 0 ? node->header_offset - node[-1].body_offset : 0;

	buf_put_u8(out, (uint8_t)node->kind);
	buf_put_varint(out, node->depth);
	buf_put_varint(out, distance);
	buf_put_varint(out, node->header_size + (index == 0 ? prefix_size : 0));
	buf_put_varint(out, node->body_size);
	buf_put_varint(out, node->body_lines);
	buf_put_u8(out, node->type);
	buf_put_block(out,
		      bytes_slice(bytes_of_buf(&parser->text), node->text_offset, node->text_size));
}

static void put_sent(struct bytes fields, struct buf *out)
{
	struct header_field field;
	struct date sent;

	if (!header_find(fields, bytes_string("Date"), &field) ||
	    date_parse(field.value, &sent) != ERR_OK) {
		buf_put_u8(out, 0);
		return;
	}
	buf_put_u8(out, 1);
	buf_put_u64(out, (uint64_t)sent.seconds);
	buf_put_u16(out, (uint16_t)sent.zone_minutes);
}

static void put_summary(const struct summary_parser *parser, const struct prefix *prefix,
			struct buf *out)
{
	struct bytes fields = bytes_of_buf(&parser->fields);
	size_t parameter_count = 0, nested_count = 0;

	for (size_t i = 0; i < parser->node_count; i++) {
		parameter_count += parser->nodes[i].parameter_count;
		nested_count += parser->nodes[i].kind == PART_MESSAGE;
	}
	buf_put_u8(out, SUMMARY_VERSION);
	buf_put_varint(out, parser->flags | prefix->flags);
	buf_put_varint(out, parser->offset + prefix->size);
	buf_put_varint(out, parser->lines + prefix->lines);
	buf_put_varint(out, parser->header_lines + prefix->lines);
	put_sent(fields, out);
	buf_put_varint(out, prefix->fields.size + fields.size);
	buf_put_bytes(out, bytes_of_buf(&prefix->fields));
	buf_put_bytes(out, fields);
	buf_put_block(out, bytes_of_buf(&parser->preview));
	buf_put_varint(out, parser->node_count);
	buf_put_varint(out, parameter_count);
	buf_put_varint(out, nested_count);
	for (size_t i = 0; i < parser->node_count; i++)
		put_part(parser, i, prefix->size, out);
}

enum err summary_parser_finish(struct summary_parser *parser, struct bytes prefix, struct buf *out)
{
	struct prefix read = {0};
	size_t start = out->size;
	enum err err;

	if (prefix.size > SUMMARY_PREFIX_MAX)
		return ERR_LIMIT;
	if (!parser->finished && parser->err == ERR_OK)
		end_message(parser);
	if (parser->err != ERR_OK)
		return parser->err;
	read_prefix(prefix, &read);
	/* The message's first line would go on with the prefix's last field. */
	if (prefix.size != 0 && (parser->first_octet == ' ' || parser->first_octet == '\t'))
		read.flags |= SUMMARY_FIELDS_CUT;
	put_summary(parser, &read, out);
	err = read.fields.err != ERR_OK ? read.fields.err : out->err;
	buf_finish(&read.fields);
	if (err == ERR_OK && out->size - start > SUMMARY_SIZE_MAX)
		err = ERR_LIMIT;
	if (err != ERR_OK)
		out->size = start;
	return err;
}

enum err summary_of_message(struct bytes message, struct buf *out)
{
	struct summary_parser *parser;
	enum err err = summary_parser_create(&parser);

	if (err != ERR_OK)
		return err;
	err = summary_parser_feed(parser, message);
	if (err == ERR_OK)
		err = summary_parser_finish(parser, bytes_make(NULL, 0), out);
	summary_parser_destroy(&parser);
	return err;
}
