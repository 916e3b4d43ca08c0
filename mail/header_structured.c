/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Structured values (RFC 2045 section 5.1, RFC 2183) and their parameters
 * (RFC 2231), as header.h describes them.
 */
#include "mail/header.h"

#include <string.h>

#include "engine/base/memory.h"
#include "mail/charset.h"

/* Pieces of one parameter: name*0 to name*99. */
#define SECTION_MAX 99

/* A parameter as it is written: "name", "name*", "name*3", "name*3*". */
struct piece {
	struct bytes name;
	/* -1: not a continuation. */
	int section;
	bool extended;
	/* In the scratch buffer. */
	size_t offset, size;
};

struct pieces {
	struct piece items[HEADER_PARAMETERS_MAX];
	size_t count;
	struct buf values;
	bool cut;
};

static bool is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n' || octet == 0;
}

static struct bytes trim(struct bytes text)
{
	while (text.size != 0 && is_space(text.data[0]))
		text = bytes_slice(text, 1, text.size);
	while (text.size != 0 && is_space(text.data[text.size - 1]))
		text.size--;
	return text;
}

static void skip(struct bytes *text, size_t size)
{
	*text = bytes_slice(*text, size, text->size);
}

static void skip_comment(struct bytes *text)
{
	size_t depth = 0, i = 0;

	do {
		uint8_t octet = text->data[i];

		if (octet == '\\')
			i++;
		else if (octet == '(')
			depth++;
		else if (octet == ')')
			depth--;
		i++;
	} while (depth != 0 && i < text->size);
	skip(text, i);
}

/* Skips white space and comments. */
static void skip_blank(struct bytes *text)
{
	while (text->size != 0) {
		if (text->data[0] == '(')
			skip_comment(text);
		else if (is_space(text->data[0]))
			skip(text, 1);
		else
			break;
	}
}

/* Up to and over the next ";". */
static void skip_to_next(struct bytes *text)
{
	const uint8_t *mark = text->size != 0 ? memchr(text->data, ';', text->size) : NULL;

	skip(text, mark != NULL ? (size_t)(mark - text->data) + 1 : text->size);
}

static void take_quoted(struct bytes *text, struct buf *out)
{
	size_t i = 1;

	for (; i < text->size && text->data[i] != '"'; i++) {
		uint8_t octet = text->data[i];

		if (octet == '\\' && i + 1 < text->size)
			octet = text->data[++i];
		if (octet != '\r' && octet != '\n' && octet != 0)
			buf_put_u8(out, octet);
	}
	skip(text, i + 1);
	skip_to_next(text);
}

/* Without quotes everything up to ";" counts: file names with blanks are often sent so. */
static void take_bare(struct bytes *text, struct buf *out)
{
	const uint8_t *mark = text->size != 0 ? memchr(text->data, ';', text->size) : NULL;
	struct bytes value =
		bytes_slice(*text, 0, mark != NULL ? (size_t)(mark - text->data) : text->size);

	skip_to_next(text);
	value = trim(value);
	/* A comment at the end, "us-ascii (plain text)", but not a bracket within a name. */
	if (value.size != 0 && value.data[value.size - 1] == ')') {
		const uint8_t *open = memmem(value.data, value.size, " (", 2);

		if (open != NULL)
			value = trim(bytes_slice(value, 0, (size_t)(open - value.data)));
	}
	for (size_t i = 0; i < value.size; i++)
		if (value.data[i] != '\r' && value.data[i] != '\n' && value.data[i] != 0)
			buf_put_u8(out, value.data[i]);
}

/* Splits "name*3*" into its name, section and whether it is extended. */
static void classify(struct piece *piece)
{
	struct bytes name = piece->name;
	size_t digits = 0;
	int section = 0;

	piece->section = -1;
	if (name.size > 1 && name.data[name.size - 1] == '*') {
		piece->extended = true;
		name.size--;
	}
	while (digits < name.size && digits < 3 && name.data[name.size - 1 - digits] >= '0' &&
	       name.data[name.size - 1 - digits] <= '9')
		digits++;
	if (digits != 0 && digits + 1 < name.size && name.data[name.size - 1 - digits] == '*') {
		for (size_t i = name.size - digits; i < name.size; i++)
			section = section * 10 + (name.data[i] - '0');
		if (section <= SECTION_MAX) {
			piece->section = section;
			name.size -= digits + 1;
		}
	}
	piece->name = name;
}

static void parse_pieces(struct bytes text, struct pieces *out)
{
	while (text.size != 0 && out->values.err == ERR_OK) {
		struct piece piece = {0};
		size_t size = 0;

		skip_blank(&text);
		while (size < text.size && text.data[size] != '=' && text.data[size] != ';')
			size++;
		piece.name = trim(bytes_slice(text, 0, size));
		if (size == text.size || text.data[size] == ';' || piece.name.size == 0) {
			skip_to_next(&text);
			continue;
		}
		skip(&text, size + 1);
		skip_blank(&text);
		piece.offset = out->values.size;
		if (text.size != 0 && text.data[0] == '"')
			take_quoted(&text, &out->values);
		else
			take_bare(&text, &out->values);
		piece.size = out->values.size - piece.offset;
		classify(&piece);
		if (out->count < HEADER_PARAMETERS_MAX)
			out->items[out->count++] = piece;
		else
			out->cut = true;
	}
}

static const struct piece *find_piece(const struct pieces *pieces, struct bytes name, int section)
{
	for (size_t i = 0; i < pieces->count; i++)
		if (pieces->items[i].section == section &&
		    bytes_equal_nocase(pieces->items[i].name, name))
			return &pieces->items[i];
	return NULL;
}

static bool is_attribute_character(uint8_t octet)
{
	return octet > ' ' && octet < 0x7f && strchr("*'%()<>@,;:\\\"/[]?=", octet) == NULL;
}

static void put_percent(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.size; i++) {
		if (is_attribute_character(text.data[i]))
			buf_put_u8(out, text.data[i]);
		else
			buf_printf(out, "%%%02X", text.data[i]);
	}
}

/* Appends all sections of a continued parameter, percent-encoded where any of them is. */
static void join_sections(const struct pieces *pieces, struct bytes name, bool extended,
			  struct buf *out)
{
	const struct piece *piece = find_piece(pieces, name, 0);

	if (extended && !piece->extended)
		buf_put_string(out, "''");
	for (int section = 0; piece != NULL; piece = find_piece(pieces, name, ++section)) {
		struct bytes value =
			bytes_slice(bytes_of_buf(&pieces->values), piece->offset, piece->size);

		if (extended && !piece->extended)
			put_percent(value, out);
		else
			buf_put_bytes(out, value);
	}
}

static bool any_extended(const struct pieces *pieces, struct bytes name)
{
	const struct piece *piece;

	for (int section = 0; (piece = find_piece(pieces, name, section)) != NULL; section++)
		if (piece->extended)
			return true;
	return false;
}

/* Where a parameter's name and value lie in the text that is still growing. */
struct span {
	size_t offset, name_size, value_size;
};

/* Of equal names, a "*" at their end included, the first counts, however its value was written. */
static bool is_known(const struct buf *text, const struct span *spans, size_t count,
		     struct bytes name, bool extended)
{
	for (size_t i = 0; i < count; i++) {
		const uint8_t *known = text->data + spans[i].offset;

		if (spans[i].name_size == name.size + extended &&
		    bytes_equal_nocase(bytes_make(known, name.size), name) &&
		    (!extended || known[name.size] == '*'))
			return true;
	}
	return false;
}

static size_t join(const struct pieces *pieces, struct buf *text, struct span *spans)
{
	size_t count = 0;

	for (size_t i = 0; i < pieces->count; i++) {
		const struct piece *piece = &pieces->items[i];
		bool extended = piece->extended;
		struct span *span = &spans[count];

		if (piece->section > 0)
			continue;
		if (piece->section == 0)
			extended = any_extended(pieces, piece->name);
		if (is_known(text, spans, count, piece->name, extended))
			continue;
		span->offset = text->size;
		buf_put_bytes(text, piece->name);
		if (extended)
			buf_put_u8(text, '*');
		span->name_size = text->size - span->offset;
		if (piece->section == 0)
			join_sections(pieces, piece->name, extended, text);
		else
			buf_put_bytes(text, bytes_slice(bytes_of_buf(&pieces->values),
							piece->offset, piece->size));
		span->value_size = text->size - span->offset - span->name_size;
		count++;
	}
	return count;
}

/* The part before the first ";", without comments and white space. */
static void take_value(struct bytes *text, struct buf *out)
{
	while (text->size != 0 && text->data[0] != ';') {
		skip_blank(text);
		if (text->size != 0 && text->data[0] != ';') {
			buf_put_u8(out, text->data[0]);
			skip(text, 1);
		}
	}
	skip_to_next(text);
}

enum err header_structured_parse(struct bytes value, struct header_structured *out)
{
	struct span spans[HEADER_PARAMETERS_MAX];
	struct pieces pieces = {0};
	size_t value_size;
	enum err err;

	*out = (struct header_structured){0};
	take_value(&value, &out->text);
	value_size = out->text.size;
	parse_pieces(value, &pieces);
	out->parameter_count = join(&pieces, &out->text, spans);
	out->cut = pieces.cut;
	err = pieces.values.err != ERR_OK ? pieces.values.err : out->text.err;
	buf_finish(&pieces.values);
	if (err == ERR_OK && out->parameter_count != 0) {
		out->parameters = memory_array(out->parameter_count, sizeof(*out->parameters));
		if (out->parameters == NULL)
			err = ERR_NOMEM;
	}
	if (err != ERR_OK) {
		header_structured_finish(out);
		return err;
	}
	out->value = bytes_make(out->text.data, value_size);
	for (size_t i = 0; i < out->parameter_count; i++) {
		const uint8_t *at = out->text.data + spans[i].offset;

		out->parameters[i].name = bytes_make(at, spans[i].name_size);
		out->parameters[i].value = bytes_make(at + spans[i].name_size, spans[i].value_size);
	}
	return ERR_OK;
}

void header_structured_finish(struct header_structured *structured)
{
	memory_free(structured->parameters);
	buf_finish(&structured->text);
	*structured = (struct header_structured){0};
}

static int hex_value(uint8_t octet)
{
	const char *digits = "0123456789abcdef";
	const char *at = octet != 0 ? strchr(digits, octet | (octet >= 'A' ? 0x20 : 0)) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static void decode_percent(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.size; i++) {
		int high = -1, low = -1;

		if (text.data[i] == '%' && text.size - i > 2) {
			high = hex_value(text.data[i + 1]);
			low = hex_value(text.data[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			buf_put_u8(out, (uint8_t)(high << 4 | low));
			i += 2;
		} else {
			buf_put_u8(out, text.data[i]);
		}
	}
}

/* charset'language'percent-encoded; without its two quotes all of it is the text. */
static void decode_extended(struct bytes value, struct buf *out)
{
	struct bytes charset = {NULL, 0};
	struct buf octets = {0};
	enum err err = ERR_OK;
	const uint8_t *first, *second = NULL;

	first = value.size != 0 ? memchr(value.data, '\'', value.size) : NULL;
	if (first != NULL)
		second = memchr(first + 1, '\'', value.size - (size_t)(first + 1 - value.data));
	if (second != NULL) {
		charset = bytes_slice(value, 0, (size_t)(first - value.data));
		skip(&value, (size_t)(second + 1 - value.data));
	}
	decode_percent(value, &octets);
	if (octets.err != ERR_OK)
		out->err = octets.err;
	else
		err = charset_to_utf8(charset, bytes_of_buf(&octets), out);
	if (err == ERR_NOTFOUND)
		err = charset_to_utf8(bytes_make(NULL, 0), bytes_of_buf(&octets), out);
	if (err != ERR_OK)
		out->err = err;
	buf_finish(&octets);
}

bool header_parameter_decode(const struct header_parameter *parameters, size_t count,
			     struct bytes name, struct buf *out)
{
	const struct header_parameter *plain = NULL;

	for (size_t i = 0; i < count; i++) {
		struct bytes other = parameters[i].name;

		if (bytes_equal_nocase(other, name) && plain == NULL)
			plain = &parameters[i];
		if (other.size != name.size + 1 || other.data[name.size] != '*')
			continue;
		other.size--;
		if (bytes_equal_nocase(other, name)) {
			decode_extended(parameters[i].value, out);
			return true;
		}
	}
	if (plain == NULL)
		return false;
	header_decode(plain->value, out);
	return true;
}
