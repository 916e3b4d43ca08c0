/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/encoding.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BASE64_SKIP 0xff
#define BASE64_PAD 0xfe

/* What each octet means in base64: 0..63, padding, or nothing. */
/* clang-format off */
#define S BASE64_SKIP
#define P BASE64_PAD
static const uint8_t base64_values[256] = {
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* 00 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* 10 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  62, S,  S,  S,  63, /* 20 */
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, S,  S,  S,  P,  S,  S,  /* 30 */
	S,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, /* 40 */
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, S,  S,  S,  S,  S,  /* 50 */
	S,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* 60 */
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, S,  S,  S,  S,  S,  /* 70 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* 80 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* 90 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* a0 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* b0 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* c0 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* d0 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* e0 */
	S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  S,  /* f0 */
};
#undef S
#undef P
/* clang-format on */

static struct bytes trim(struct bytes text)
{
	while (text.size != 0 && strchr(" \t\r\n", text.data[0]) != NULL)
		text = bytes_slice(text, 1, text.size - 1);
	while (text.size != 0 && strchr(" \t\r\n;", text.data[text.size - 1]) != NULL)
		text.size--;
	return text;
}

enum encoding_kind encoding_named(struct bytes name)
{
	static const struct {
		const char *name;
		enum encoding_kind kind;
	} table[] = {
		{"", ENCODING_IDENTITY},
		{"7bit", ENCODING_IDENTITY},
		{"8bit", ENCODING_IDENTITY},
		{"binary", ENCODING_IDENTITY},
		{"quoted-printable", ENCODING_QUOTED_PRINTABLE},
		{"base64", ENCODING_BASE64},
	};

	name = trim(name);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (bytes_equal_nocase(name, bytes_string(table[i].name)))
			return table[i].kind;
	return ENCODING_UNKNOWN;
}

/* Four characters that stand at a quantum's start, when none is to be skipped. */
static bool base64_quantum(const uint8_t in[4], uint8_t out[3])
{
	uint8_t a = base64_values[in[0]], b = base64_values[in[1]];
	uint8_t c = base64_values[in[2]], d = base64_values[in[3]];
	uint32_t bits;

	if ((a | b | c | d) >= 64)
		return false;
	bits = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | d;
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return true;
}

static void base64_decode(struct encoding_decoder *decoder, struct bytes chunk, struct buf *out)
{
	uint8_t *to;

	/* An octet of output takes more than one of input, save for what was gathered before. */
	if (decoder->ended || buf_reserve(out, chunk.size + 1) != ERR_OK)
		return;
	to = out->data + out->size;
	for (size_t i = 0; i < chunk.size && !decoder->ended; i++) {
		uint8_t value;

		while (decoder->bit_count == 0 && chunk.size - i > 4 &&
		       base64_quantum(chunk.data + i, to)) {
			to += 3;
			i += 4;
		}
		value = base64_values[chunk.data[i]];
		if (value < 64) {
			decoder->bits = decoder->bits << 6 | value;
			decoder->bit_count = (uint8_t)(decoder->bit_count + 6);
			if (decoder->bit_count >= 8) {
				decoder->bit_count = (uint8_t)(decoder->bit_count - 8);
				*to++ = (uint8_t)(decoder->bits >> decoder->bit_count);
			}
		} else if (value == BASE64_PAD) {
			/* What follows the padding (a list's footer) is not of the data. */
			decoder->ended = true;
		}
	}
	out->size = (size_t)(to - out->data);
}

static int hex_value(uint8_t octet)
{
	if (octet >= '0' && octet <= '9')
		return octet - '0';
	if (octet >= 'A' && octet <= 'F')
		return octet - 'A' + 10;
	if (octet >= 'a' && octet <= 'f')
		return octet - 'a' + 10;
	return -1;
}

static bool is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

static void hold(struct encoding_decoder *decoder, uint8_t octet)
{
	decoder->held[decoder->held_size++] = octet;
}

static void release(struct encoding_decoder *decoder, struct buf *out)
{
	buf_put(out, decoder->held, decoder->held_size);
	decoder->held_size = 0;
}

/* Something is held; takes the octet, or releases what is held and returns false. */
static bool quoted_printable_step(struct encoding_decoder *decoder, uint8_t octet, struct buf *out)
{
	uint8_t first = decoder->held[0], last = decoder->held[decoder->held_size - 1];
	int high = decoder->held_size == 2 && first == '=' ? hex_value(last) : -1;

	if (high >= 0) {
		int low = hex_value(octet);

		if (low >= 0) {
			buf_put_u8(out, (uint8_t)(high << 4 | low));
			decoder->held_size = 0;
			return true;
		}
	} else if (octet == '\n') {
		if (first != '=') {
			if (last == '\r')
				buf_put_u8(out, '\r');
			buf_put_u8(out, '\n');
		}
		decoder->held_size = 0;
		return true;
	} else if (last != '\r' && decoder->held_size < ENCODING_HELD_MAX &&
		   (octet == '\r' || is_blank(octet) ||
		    (decoder->held_size == 1 && first == '=' && hex_value(octet) >= 0))) {
		hold(decoder, octet);
		return true;
	}
	release(decoder, out);
	return false;
}

static void quoted_printable_decode(struct encoding_decoder *decoder, struct bytes chunk,
				    struct buf *out)
{
	size_t i = 0;

	while (i < chunk.size) {
		size_t start = i;

		if (decoder->held_size != 0) {
			if (quoted_printable_step(decoder, chunk.data[i], out))
				i++;
			continue;
		}
		while (i < chunk.size && chunk.data[i] != '=' && !is_blank(chunk.data[i]))
			i++;
		buf_put(out, chunk.data + start, i - start);
		if (i < chunk.size)
			hold(decoder, chunk.data[i++]);
	}
}

void encoding_decode(struct encoding_decoder *decoder, struct bytes chunk, struct buf *out)
{
	switch (decoder->kind) {
	case ENCODING_BASE64:
		base64_decode(decoder, chunk, out);
		break;
	case ENCODING_QUOTED_PRINTABLE:
		quoted_printable_decode(decoder, chunk, out);
		break;
	case ENCODING_IDENTITY:
	case ENCODING_UNKNOWN:
		buf_put_bytes(out, chunk);
		break;
	}
}

void encoding_decode_end(struct encoding_decoder *decoder, struct buf *out)
{
	/* White space and a soft break at the very end vanish as before a line end. */
	if (decoder->held_size == 2 && hex_value(decoder->held[1]) >= 0)
		release(decoder, out);
	*decoder = ENCODING_DECODER(decoder->kind);
}

void encoding_put_base64(struct buf *out, struct bytes data, size_t line_size)
{
	size_t column = 0;

	for (size_t i = 0; i < data.size; i += 3) {
		size_t count = data.size - i < 3 ? data.size - i : 3;
		uint32_t bits = (uint32_t)data.data[i] << 16;
		uint8_t quantum[4];

		bits |= count > 1 ? (uint32_t)data.data[i + 1] << 8 : 0;
		bits |= count > 2 ? data.data[i + 2] : 0;
		for (size_t j = 0; j < 4; j++)
			quantum[j] =
				j <= count ? (uint8_t)alphabet[bits >> (18 - 6 * j) & 63] : '=';
		for (size_t j = 0; j < 4; j++, column++) {
			if (line_size != 0 && column == line_size) {
				buf_put_string(out, "\r\n");
				column = 0;
			}
			buf_put_u8(out, quantum[j]);
		}
	}
}
