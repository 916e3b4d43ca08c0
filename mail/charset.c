/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <unistr.h>

#include "engine/base/memory.h"

/* Longer names are unknown. */
#define NAME_MAX_SIZE 40
/* An unfinished character of any charset, with its shift sequences. */
#define CARRY_MAX 16

static const uint8_t replacement[] = {0xef, 0xbf, 0xbd};

/* 0x80..0x9f; the rest of windows-1252 is ISO-8859-1. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
	0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

enum method { METHOD_UTF8, METHOD_WINDOWS_1252, METHOD_ICONV };

struct charset_decoder {
	enum method method;
	iconv_t iconv;
	uint8_t carry[CARRY_MAX];
	size_t carry_size;
};

/*
 * Names as mail has them. A browser reads ISO-8859-1 as windows-1252, whose
 * 0x80..0x9f are never meant as control characters; the Asian ones are declared
 * by the name of a subset of what is sent.
 */
static const struct {
	const char *name;
	enum method method;
	const char *iconv_name;
} aliases[] = {
	{"", METHOD_UTF8, NULL},
	{"us-ascii", METHOD_UTF8, NULL},
	{"ascii", METHOD_UTF8, NULL},
	{"ansi_x3.4-1968", METHOD_UTF8, NULL},
	{"utf-8", METHOD_UTF8, NULL},
	{"utf8", METHOD_UTF8, NULL},
	{"iso-8859-1", METHOD_WINDOWS_1252, NULL},
	{"latin1", METHOD_WINDOWS_1252, NULL},
	{"windows-1252", METHOD_WINDOWS_1252, NULL},
	{"cp1252", METHOD_WINDOWS_1252, NULL},
	{"iso-8859-8-i", METHOD_ICONV, "ISO-8859-8"},
	{"gb2312", METHOD_ICONV, "GB18030"},
	{"gbk", METHOD_ICONV, "GB18030"},
	{"ks_c_5601-1987", METHOD_ICONV, "CP949"},
	{"euc-kr", METHOD_ICONV, "CP949"},
	{"shift_jis", METHOD_ICONV, "CP932"},
	{"x-sjis", METHOD_ICONV, "CP932"},
	{"big5", METHOD_ICONV, "BIG5-HKSCS"},
	{"unicode-1-1-utf-7", METHOD_ICONV, "UTF-7"},
};

/* Only names: iconv_open() would take "//TRANSLIT" and other words for itself. */
static bool iconv_name(struct bytes name, char out[static NAME_MAX_SIZE + 1])
{
	if (name.size > NAME_MAX_SIZE)
		return false;
	for (size_t i = 0; i < name.size; i++) {
		uint8_t c = name.data[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      (c != 0 && strchr("-_.:+()", c) != NULL)))
			return false;
		out[i] = (char)c;
	}
	out[name.size] = 0;
	return true;
}

static enum err open_method(struct bytes name, enum method *method, iconv_t *iconv)
{
	char known[NAME_MAX_SIZE + 1];
	const char *from = known;

	if (!iconv_name(name, known))
		return ERR_NOTFOUND;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (!bytes_equal_nocase(name, bytes_string(aliases[i].name)))
			continue;
		*method = aliases[i].method;
		if (*method != METHOD_ICONV)
			return ERR_OK;
		from = aliases[i].iconv_name;
	}
	*method = METHOD_ICONV;
	*iconv = iconv_open("UTF-8", from);
	if (*iconv != (iconv_t)-1)
		return ERR_OK;
	return errno == ENOMEM ? ERR_NOMEM : ERR_NOTFOUND;
}

bool charset_known(struct bytes name)
{
	enum method method;
	iconv_t iconv;

	if (open_method(name, &method, &iconv) != ERR_OK)
		return false;
	if (method == METHOD_ICONV)
		iconv_close(iconv);
	return true;
}

enum err charset_decoder_create(struct bytes name, struct charset_decoder **out)
{
	struct charset_decoder *decoder = memory_allocate(sizeof(*decoder));
	enum err err;

	if (decoder == NULL)
		return ERR_NOMEM;
	err = open_method(name, &decoder->method, &decoder->iconv);
	if (err != ERR_OK) {
		memory_free(decoder);
		return err;
	}
	*out = decoder;
	return ERR_OK;
}

void charset_decoder_destroy(struct charset_decoder **decoder)
{
	if (*decoder == NULL)
		return;
	if ((*decoder)->method == METHOD_ICONV)
		iconv_close((*decoder)->iconv);
	memory_free(*decoder);
	*decoder = NULL;
}

static size_t ascii_size(struct bytes text)
{
	size_t i = 0;

	for (; i + 8 <= text.size; i += 8)
		if ((load_u64(text.data + i) & 0x8080808080808080u) != 0)
			break;
	while (i < text.size && text.data[i] < 0x80)
		i++;
	return i;
}

/* Returns how many octets were used: all but an unfinished character at the end. */
static size_t decode_utf8(struct bytes text, struct buf *out)
{
	size_t i = 0, start = 0;

	while (i < text.size) {
		ucs4_t character;
		int size;

		i += ascii_size(bytes_slice(text, i, text.size - i));
		if (i == text.size)
			break;
		size = u8_mbtoucr(&character, text.data + i, text.size - i);
		if (size == -2)
			break;
		if (size > 0) {
			i += (size_t)size;
			continue;
		}
		buf_put(out, text.data + start, i - start);
		buf_put(out, replacement, sizeof(replacement));
		start = ++i;
	}
	buf_put(out, text.data + start, i - start);
	return i;
}

static size_t decode_windows_1252(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.size; i++) {
		size_t size = ascii_size(bytes_slice(text, i, text.size - i));
		uint8_t utf8[6];
		ucs4_t character;
		int utf8_size;

		buf_put(out, text.data + i, size);
		i += size;
		if (i == text.size)
			break;
		character = text.data[i];
		if (character < 0xa0)
			character = windows_1252[character - 0x80];
		utf8_size = u8_uctomb(utf8, character, sizeof(utf8));
		buf_put(out, utf8, (size_t)utf8_size);
	}
	return text.size;
}

static size_t decode_iconv(struct charset_decoder *decoder, struct bytes text, struct buf *out)
{
	uint8_t room[512];
	/* iconv() does not write to its input, whatever its type says. */
	union {
		const uint8_t *borrowed;
		char *passed;
	} in = {.borrowed = text.data};
	size_t left = text.size;

	while (left != 0 && out->err == ERR_OK) {
		char *to = (char *)room;
		size_t room_left = sizeof(room);
		size_t result = iconv(decoder->iconv, &in.passed, &left, &to, &room_left);
		int error = errno;

		buf_put(out, room, sizeof(room) - room_left);
		if (result != (size_t)-1 || error == E2BIG)
			continue;
		if (error == EINVAL && left < CARRY_MAX)
			break;
		buf_put(out, replacement, sizeof(replacement));
		in.passed++;
		left--;
	}
	return text.size - left;
}

static size_t decode(struct charset_decoder *decoder, struct bytes text, struct buf *out)
{
	switch (decoder->method) {
	case METHOD_UTF8:
		return decode_utf8(text, out);
	case METHOD_WINDOWS_1252:
		return decode_windows_1252(text, out);
	case METHOD_ICONV:
		break;
	}
	return decode_iconv(decoder, text, out);
}

void charset_decoder_feed(struct charset_decoder *decoder, struct bytes chunk, struct buf *out)
{
	while (decoder->carry_size != 0 && chunk.size != 0 && out->err == ERR_OK) {
		size_t used;

		decoder->carry[decoder->carry_size++] = chunk.data[0];
		chunk = bytes_slice(chunk, 1, chunk.size - 1);
		used = decode(decoder, bytes_make(decoder->carry, decoder->carry_size), out);
		decoder->carry_size -= used;
		memmove(decoder->carry, decoder->carry + used, decoder->carry_size);
	}
	if (chunk.size != 0 && out->err == ERR_OK) {
		size_t used = decode(decoder, chunk, out);

		decoder->carry_size = chunk.size - used;
		if (decoder->carry_size <= CARRY_MAX)
			memcpy(decoder->carry, chunk.data + used, decoder->carry_size);
		else
			decoder->carry_size = 0; /* only when memory ran out */
	}
}

void charset_decoder_end(struct charset_decoder *decoder, struct buf *out)
{
	if (decoder->carry_size != 0)
		buf_put(out, replacement, sizeof(replacement));
	decoder->carry_size = 0;
	if (decoder->method == METHOD_ICONV) {
		uint8_t room[64];
		char *to = (char *)room;
		size_t room_left = sizeof(room);

		(void)iconv(decoder->iconv, NULL, NULL, &to, &room_left);
		buf_put(out, room, sizeof(room) - room_left);
	}
}

enum err charset_to_utf8(struct bytes name, struct bytes text, struct buf *out)
{
	struct charset_decoder decoder = {0};
	enum err err = open_method(name, &decoder.method, &decoder.iconv);

	if (err != ERR_OK)
		return err;
	charset_decoder_feed(&decoder, text, out);
	charset_decoder_end(&decoder, out);
	if (decoder.method == METHOD_ICONV)
		iconv_close(decoder.iconv);
	return out->err;
}

bool charset_utf8_valid(struct bytes text)
{
	size_t ascii = ascii_size(text);

	return ascii == text.size || u8_check(text.data + ascii, text.size - ascii) == NULL;
}

size_t charset_utf8_prefix(struct bytes text, size_t character_count)
{
	for (size_t i = 0; i < text.size; i++)
		if ((text.data[i] & 0xc0) != 0x80 && character_count-- == 0)
			return i;
	return text.size;
}
