/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/preview.h"

#include <string.h>
#include <unistr.h>

#include "mail/charset.h"

/* Most previews are complete after one such step. */
#define STEP_SIZE 1024
/* Longer names of tags and entities are none that we know. */
#define WORD_MAX 12

enum html_state {
	HTML_TEXT,
	/* After "<"; the tag's name is gathered in `word`. */
	HTML_TAG_NAME,
	HTML_TAG,
	/* "<!--" until "-->" */
	HTML_COMMENT,
	/* After "&"; gathered in `word`. */
	HTML_ENTITY,
};

struct writer {
	struct buf *out;
	size_t characters_left;
	/* A space goes before the next character; nothing was written yet. */
	bool spaced, empty;
	/* HTML only. */
	enum html_state state;
	char word[WORD_MAX + 1];
	size_t word_size, dashes;
	/* The element whose text is not shown, "" when none. */
	char hidden[WORD_MAX + 1];
};

static bool is_space(ucs4_t c)
{
	return c <= ' ' || (c >= 0x7f && c <= 0xa0) || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x3000;
}

/* What newsletters fill their first lines with so that nothing else is previewed. */
static bool is_invisible(ucs4_t c)
{
	return c == 0x00ad || c == 0x034f || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2060 && c <= 0x2064) || c == 0xfeff;
}

static void put_character(struct writer *writer, ucs4_t character)
{
	uint8_t utf8[6];
	int size;

	if (is_invisible(character) || writer->characters_left == 0)
		return;
	if (is_space(character)) {
		writer->spaced = true;
		return;
	}
	if (writer->spaced && !writer->empty) {
		buf_put_u8(writer->out, ' ');
		if (--writer->characters_left == 0)
			return;
	}
	writer->spaced = writer->empty = false;
	size = u8_uctomb(utf8, character, sizeof(utf8));
	if (size > 0) {
		buf_put(writer->out, utf8, (size_t)size);
		writer->characters_left--;
	}
}

static void put_text(struct writer *writer, const char *text)
{
	for (; *text != 0; text++)
		put_character(writer, (ucs4_t)*text);
}

static ucs4_t numeric_entity(const char *digits)
{
	bool hexadecimal = *digits == 'x' || *digits == 'X';
	ucs4_t value = 0;

	for (digits += hexadecimal; *digits != 0 && value < 0x110000; digits++) {
		unsigned digit;

		if (*digits >= '0' && *digits <= '9')
			digit = (unsigned)(*digits - '0');
		else if (hexadecimal && (*digits | 0x20) >= 'a' && (*digits | 0x20) <= 'f')
			digit = (unsigned)((*digits | 0x20) - 'a' + 10);
		else
			return 0;
		value = value * (hexadecimal ? 16 : 10) + digit;
	}
	return value < 0x110000 && (value < 0xd800 || value > 0xdfff) ? value : 0;
}

static ucs4_t entity(const char *name)
{
	/* clang-format off */
	static const struct {
		const char *name;
		ucs4_t character;
	} table[] = {
		{"amp", '&'},	   {"lt", '<'},	      {"gt", '>'},	 {"quot", '"'},
		{"apos", '\''},	   {"nbsp", 0xa0},    {"copy", 0xa9},	 {"reg", 0xae},
		{"laquo", 0xab},   {"raquo", 0xbb},   {"shy", 0xad},	 {"auml", 0xe4},
		{"ouml", 0xf6},	   {"uuml", 0xfc},    {"Auml", 0xc4},	 {"Ouml", 0xd6},
		{"Uuml", 0xdc},	   {"szlig", 0xdf},   {"agrave", 0xe0},	 {"aacute", 0xe1},
		{"acirc", 0xe2},   {"aring", 0xe5},   {"ccedil", 0xe7},	 {"egrave", 0xe8},
		{"eacute", 0xe9},  {"Eacute", 0xc9},  {"ecirc", 0xea},	 {"euml", 0xeb},
		{"icirc", 0xee},   {"iacute", 0xed},  {"ntilde", 0xf1},	 {"oacute", 0xf3},
		{"ocirc", 0xf4},   {"oslash", 0xf8},  {"ugrave", 0xf9},	 {"uacute", 0xfa},
		{"ucirc", 0xfb},   {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018},
		{"rsquo", 0x2019}, {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bull", 0x2022},
		{"hellip", 0x2026}, {"euro", 0x20ac}, {"zwnj", 0x200c},	 {"zwj", 0x200d},
	};
	/* clang-format on */

	if (name[0] == '#')
		return numeric_entity(name + 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(name, table[i].name) == 0)
			return table[i].character;
	return 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static void end_tag_name(struct writer *writer)
{
	static const char *const hiding[] = {"head", "style", "script", "title", "noscript", NULL};
	static const char *const inlined[] = {"a",    "abbr", "b",   "big", "code", "em",
					      "font", "i",    "ins", "s",   "span", "strong",
					      "sub",  "sup",  "tt",  "u",   NULL};
	const char *name = writer->word + (writer->word[0] == '/');

	if (writer->word[0] == '/') {
		if (strcmp(writer->hidden, name) == 0)
			writer->hidden[0] = 0;
	} else if (writer->hidden[0] == 0 && is_one_of(name, hiding)) {
		memcpy(writer->hidden, name, strlen(name) + 1);
	} else if (strcmp(name, "body") == 0) {
		/* A head that nobody closed. */
		writer->hidden[0] = 0;
	}
	if (!is_one_of(name, inlined))
		writer->spaced = true;
}

static void start_word(struct writer *writer, enum html_state state)
{
	writer->state = state;
	writer->word_size = 0;
	writer->word[0] = 0;
}

static void add_to_word(struct writer *writer, ucs4_t character)
{
	writer->word[writer->word_size++] = (char)character;
	writer->word[writer->word_size] = 0;
}

static void tag_name_character(struct writer *writer, ucs4_t c)
{
	bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '!' || c == '-' || (c == '/' && writer->word_size == 0);

	if (letter && writer->word_size < WORD_MAX) {
		add_to_word(writer, c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		if (strcmp(writer->word, "!--") == 0) {
			writer->state = HTML_COMMENT;
			writer->dashes = 0;
		}
		return;
	}
	if (writer->word_size == 0) {
		/* A "<" of the text, as in "a < b". */
		writer->state = HTML_TEXT;
		if (writer->hidden[0] == 0) {
			put_character(writer, '<');
			put_character(writer, c);
		}
		return;
	}
	end_tag_name(writer);
	writer->state = c == '>' ? HTML_TEXT : HTML_TAG;
}

static void end_entity(struct writer *writer, ucs4_t c)
{
	ucs4_t character = entity(writer->word);

	writer->state = HTML_TEXT;
	if (writer->hidden[0] != 0)
		return;
	if (character != 0) {
		put_character(writer, character);
	} else {
		put_character(writer, '&');
		put_text(writer, writer->word);
	}
	if (c != ';' || character == 0)
		put_character(writer, c);
}

static void html_character(struct writer *writer, ucs4_t c)
{
	switch (writer->state) {
	case HTML_TEXT:
		if (c == '<')
			start_word(writer, HTML_TAG_NAME);
		else if (c == '&')
			start_word(writer, HTML_ENTITY);
		else if (writer->hidden[0] == 0)
			put_character(writer, c);
		break;
	case HTML_TAG_NAME:
		tag_name_character(writer, c);
		break;
	case HTML_TAG:
		if (c == '>')
			writer->state = HTML_TEXT;
		break;
	case HTML_COMMENT:
		if (c == '>' && writer->dashes >= 2)
			writer->state = HTML_TEXT;
		writer->dashes = c == '-' ? writer->dashes + 1 : 0;
		break;
	case HTML_ENTITY:
		if (c > ' ' && c < 0x7f && strchr(";<&>\"'", (int)c) == NULL &&
		    writer->word_size < WORD_MAX)
			add_to_word(writer, c);
		else if (c == '<') {
			end_entity(writer, ';');
			start_word(writer, HTML_TAG_NAME);
		} else {
			end_entity(writer, c);
		}
		break;
	}
}

static void write_text(struct writer *writer, struct bytes utf8, bool html)
{
	for (size_t i = 0; i < utf8.size && writer->characters_left != 0;) {
		ucs4_t character;

		i += (size_t)u8_mbtoucr(&character, utf8.data + i, utf8.size - i);
		if (html)
			html_character(writer, character);
		else
			put_character(writer, character);
	}
}

enum err preview_make(const struct preview_text *text, size_t characters, struct buf *out)
{
	struct encoding_decoder encoding = ENCODING_DECODER(text->encoding);
	struct writer writer = {.out = out, .characters_left = characters, .empty = true};
	struct buf decoded = {0}, utf8 = {0};
	struct charset_decoder *charset;
	enum err err = charset_decoder_create(text->charset, &charset);

	if (err != ERR_OK)
		return err == ERR_NOTFOUND ? ERR_OK : err;
	for (size_t i = 0; i < text->body.size && writer.characters_left != 0; i += STEP_SIZE) {
		buf_clear(&decoded);
		buf_clear(&utf8);
		encoding_decode(&encoding, bytes_slice(text->body, i, STEP_SIZE), &decoded);
		charset_decoder_feed(charset, bytes_of_buf(&decoded), &utf8);
		if (decoded.err != ERR_OK || utf8.err != ERR_OK)
			break;
		write_text(&writer, bytes_of_buf(&utf8), text->html);
	}
	err = decoded.err != ERR_OK ? decoded.err : utf8.err != ERR_OK ? utf8.err : out->err;
	charset_decoder_destroy(&charset);
	buf_finish(&decoded);
	buf_finish(&utf8);
	return err;
}
