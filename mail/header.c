/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/header.h"

#include <string.h>

#include "engine/base/memory.h"
#include "mail/charset.h"
#include "mail/encoding.h"

/* Of an encoded word; RFC 2047 allows 75 for all of it. */
#define CHARSET_NAME_MAX 64

static bool is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

static bool is_space(uint8_t octet)
{
	return is_blank(octet) || octet == '\r' || octet == '\n';
}

/* Unlike bytes_slice(), an empty result still points into the text: present, but empty. */
static struct bytes trim(struct bytes text)
{
	while (text.size != 0 && is_space(text.data[0])) {
		text.data++;
		text.size--;
	}
	while (text.size != 0 && is_space(text.data[text.size - 1]))
		text.size--;
	return text;
}

/* The size of the first line with its line end. */
static size_t line_size(struct bytes text)
{
	const uint8_t *end = text.size != 0 ? memchr(text.data, '\n', text.size) : NULL;

	return end != NULL ? (size_t)(end - text.data) + 1 : text.size;
}

static size_t empty_line_size(struct bytes text)
{
	if (text.size >= 1 && text.data[0] == '\n')
		return 1;
	return text.size >= 2 && text.data[0] == '\r' && text.data[1] == '\n' ? 2 : 0;
}

static void skip(struct bytes *text, size_t size)
{
	text->data += size;
	text->size -= size;
}

bool header_next(struct bytes *block, struct header_field *out)
{
	size_t empty = empty_line_size(*block), first, size;
	const uint8_t *colon;

	if (block->size == 0 || empty != 0) {
		if (empty != 0)
			skip(block, empty);
		return false;
	}
	first = size = line_size(*block);
	while (size < block->size && is_blank(block->data[size]))
		size += line_size(bytes_make(block->data + size, block->size - size));
	out->raw = bytes_make(block->data, size);
	out->name = bytes_make(block->data, 0);
	out->value = out->raw;
	colon = is_blank(block->data[0]) ? NULL : memchr(block->data, ':', first);
	if (colon != NULL) {
		out->name = trim(bytes_make(block->data, (size_t)(colon - block->data)));
		out->value = out->raw;
		skip(&out->value, (size_t)(colon - block->data) + 1);
	}
	out->value = trim(out->value);
	skip(block, size);
	return true;
}

bool header_find(struct bytes block, struct bytes name, struct header_field *out)
{
	struct header_field field;

	while (header_next(&block, &field)) {
		if (bytes_equal_nocase(field.name, name)) {
			*out = field;
			return true;
		}
	}
	return false;
}

void header_unfold(struct bytes value, struct buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < value.size; i++) {
		if (value.data[i] != '\r' && value.data[i] != '\n' && value.data[i] != 0)
			continue;
		buf_put(out, value.data + start, i - start);
		start = i + 1;
	}
	if (value.size != 0)
		buf_put(out, value.data + start, value.size - start);
}

struct encoded_word {
	struct bytes charset, text;
	bool base64;
	/* Of the whole word, from "=?" to "?=". */
	size_t size;
};

/*
 * Reads the encoded word that `text`, which starts with "=?", starts with.
 * *no_end is set when no "?=" follows anywhere, so that nobody looks for one again.
 */
static bool parse_encoded_word(struct bytes text, struct encoded_word *out, bool *no_end)
{
	struct bytes head = bytes_slice(text, 2, CHARSET_NAME_MAX);
	const uint8_t *mark = head.size != 0 ? memchr(head.data, '?', head.size) : NULL;
	const uint8_t *star, *end;
	size_t start;

	if (mark == NULL || *no_end)
		return false;
	out->charset = bytes_make(head.data, (size_t)(mark - head.data));
	for (size_t i = 0; i < out->charset.size; i++)
		if (out->charset.data[i] <= ' ')
			return false;
	/* RFC 2231 section 5: a language may follow. */
	star = out->charset.size != 0 ? memchr(out->charset.data, '*', out->charset.size) : NULL;
	if (star != NULL)
		out->charset.size = (size_t)(star - out->charset.data);
	start = (size_t)(mark - text.data) + 3;
	if (start > text.size || text.data[start - 1] != '?' || out->charset.size == 0)
		return false;
	out->base64 = (text.data[start - 2] | 0x20) == 'b';
	if (!out->base64 && (text.data[start - 2] | 0x20) != 'q')
		return false;
	end = memmem(text.data + start, text.size - start, "?=", 2);
	if (end == NULL) {
		*no_end = true;
		return false;
	}
	out->text = bytes_make(text.data + start, (size_t)(end - text.data) - start);
	out->size = (size_t)(end - text.data) + 2;
	return true;
}

static void decode_word_octets(const struct encoded_word *word, struct buf *out)
{
	struct encoding_decoder decoder =
		ENCODING_DECODER(word->base64 ? ENCODING_BASE64 : ENCODING_QUOTED_PRINTABLE);

	if (word->base64) {
		encoding_decode(&decoder, word->text, out);
		encoding_decode_end(&decoder, out);
		return;
	}
	for (size_t i = 0; i < word->text.size; i++) {
		uint8_t octet = word->text.data[i];

		/* A blank that is held back would be dropped at the end. */
		if (octet == '_' || is_blank(octet)) {
			encoding_decode_end(&decoder, out);
			buf_put_u8(out, ' ');
		} else {
			encoding_decode(&decoder, bytes_make(&octet, 1), out);
		}
	}
	encoding_decode_end(&decoder, out);
}

/* Failures stick to `out`, that of opening a charset included. */
static void put_utf8(struct bytes charset, struct bytes text, struct buf *out)
{
	enum err err = charset_to_utf8(charset, text, out);

	if (err != ERR_OK)
		out->err = err;
}

/* What header_decode() has gathered of adjacent words that share a charset. */
struct word_run {
	struct bytes charset;
	/* The words as they stand, for an unknown charset. */
	struct bytes raw;
	struct buf octets;
};

/*
 * Characters may be split between words, against RFC 2047 section 5, so adjacent
 * words are converted together.
 */
static void flush_run(struct word_run *run, struct buf *out)
{
	if (run->raw.size == 0)
		return;
	if (run->octets.err != ERR_OK)
		out->err = run->octets.err;
	else if (charset_known(run->charset))
		put_utf8(run->charset, bytes_of_buf(&run->octets), out);
	else
		put_utf8(bytes_make(NULL, 0), run->raw, out);
	run->raw = bytes_make(NULL, 0);
	buf_clear(&run->octets);
}

static void decode_words(struct bytes text, const char *raw_charset, struct buf *out)
{
	struct word_run run = {0};
	bool no_end = false;

	while (text.size != 0 && out->err == ERR_OK) {
		const uint8_t *mark = memmem(text.data, text.size, "=?", 2);
		size_t gap = mark != NULL ? (size_t)(mark - text.data) : text.size;
		struct encoded_word word;
		bool blank = true, found;

		for (size_t i = 0; i < gap; i++)
			blank = blank && is_blank(text.data[i]);
		found = mark != NULL &&
			parse_encoded_word(bytes_make(mark, text.size - gap), &word, &no_end);
		if (!found && mark != NULL)
			gap += 2;
		if (!found || !blank || run.raw.size == 0) {
			flush_run(&run, out);
			put_utf8(bytes_string(raw_charset), bytes_make(text.data, gap), out);
		}
		skip(&text, gap);
		if (!found)
			continue;
		if (run.raw.size != 0 && !bytes_equal_nocase(run.charset, word.charset))
			flush_run(&run, out);
		if (run.raw.size == 0)
			run.raw.data = text.data;
		run.raw.size = (size_t)(text.data - run.raw.data) + word.size;
		run.charset = word.charset;
		decode_word_octets(&word, &run.octets);
		skip(&text, word.size);
	}
	flush_run(&run, out);
	buf_finish(&run.octets);
}

void header_decode(struct bytes value, struct buf *out)
{
	struct buf unfolded = {0};
	size_t start = out->size;

	for (size_t i = 0; i < value.size; i++)
		if (value.data[i] != '\r' && value.data[i] != '\n')
			buf_put_u8(&unfolded, value.data[i]);
	if (unfolded.err != ERR_OK)
		out->err = unfolded.err;
	else
		decode_words(bytes_of_buf(&unfolded),
			     charset_utf8_valid(bytes_of_buf(&unfolded)) ? "" : "windows-1252",
			     out);
	for (size_t i = start; i < out->size; i++)
		if (out->data[i] < ' ' || out->data[i] == 0x7f)
			out->data[i] = ' ';
	buf_finish(&unfolded);
}

void header_select(struct bytes block, const struct bytes *names, size_t name_count, bool negate,
		   bool terminate, struct buf *out)
{
	struct header_field field;

	while (header_next(&block, &field)) {
		bool named = false;

		for (size_t i = 0; i < name_count && !named; i++)
			named = field.name.size != 0 && bytes_equal_nocase(field.name, names[i]);
		if (named != negate)
			buf_put_bytes(out, field.raw);
	}
	if (terminate)
		buf_put_string(out, "\r\n");
}
