/* SPDX-License-Identifier: MPL-2.0 */
#include "mail/utf7.h"

#include <unistr.h>

#include "mail/charset.h"
#include "mail/encoding.h"

static bool is_direct(uint8_t octet)
{
	return octet >= 0x20 && octet <= 0x7e;
}

/* Appends UTF-16BE as base64 with "," for "/", without padding. */
static void put_shifted(struct bytes utf16, struct buf *out)
{
	size_t start = out->size;

	buf_put_u8(out, '&');
	encoding_put_base64(out, utf16, 0);
	while (out->err == ERR_OK && out->data[out->size - 1] == '=')
		out->size--;
	for (size_t i = start; i < out->size; i++)
		if (out->data[i] == '/')
			out->data[i] = ',';
	buf_put_u8(out, '-');
}

static void put_utf16(ucs4_t character, struct buf *out)
{
	uint16_t units[2];
	int count = u16_uctomb(units, character, 2);

	for (int i = 0; i < count; i++) {
		buf_put_u8(out, (uint8_t)(units[i] >> 8));
		buf_put_u8(out, (uint8_t)units[i]);
	}
}

enum err utf7_encode(struct bytes utf8, struct buf *out)
{
	struct buf run = {0};
	size_t start = out->size;
	enum err err;

	if (!charset_utf8_valid(utf8))
		return ERR_INVALID;
	for (size_t i = 0; i < utf8.size;) {
		buf_clear(&run);
		while (i < utf8.size && !is_direct(utf8.data[i]) && run.err == ERR_OK) {
			ucs4_t character;

			i += (size_t)u8_mbtoucr(&character, utf8.data + i, utf8.size - i);
			put_utf16(character, &run);
		}
		if (run.err != ERR_OK)
			break;
		if (run.size != 0)
			put_shifted(bytes_of_buf(&run), out);
		if (i < utf8.size) {
			buf_put_u8(out, utf8.data[i]);
			if (utf8.data[i++] == '&')
				buf_put_u8(out, '-');
		}
	}
	err = run.err != ERR_OK ? run.err : out->err;
	if (err != ERR_OK)
		out->size = start;
	buf_finish(&run);
	return err;
}

/* Appends UTF-16BE as UTF-8; what is not well-formed the comparison in utf7_decode() finds. */
static void put_utf8(struct bytes utf16, struct buf *out)
{
	for (size_t i = 0; i + 1 < utf16.size; i += 2) {
		ucs4_t unit = (ucs4_t)(utf16.data[i] << 8 | utf16.data[i + 1]);
		uint8_t utf8[6];
		int size;

		if (unit >= 0xd800 && unit < 0xdc00 && i + 3 < utf16.size) {
			ucs4_t low = (ucs4_t)(utf16.data[i + 2] << 8 | utf16.data[i + 3]);

			if (low >= 0xdc00 && low < 0xe000) {
				unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
				i += 2;
			}
		}
		size = u8_uctomb(utf8, unit, sizeof(utf8));
		if (size > 0)
			buf_put(out, utf8, (size_t)size);
	}
}

static void put_unshifted(struct bytes text, struct buf *out)
{
	struct encoding_decoder decoder = ENCODING_DECODER(ENCODING_BASE64);
	struct buf utf16 = {0};

	for (size_t i = 0; i < text.size; i++) {
		uint8_t octet = text.data[i] == ',' ? '/' : text.data[i];

		encoding_decode(&decoder, bytes_make(&octet, 1), &utf16);
	}
	if (utf16.err != ERR_OK)
		out->err = utf16.err;
	put_utf8(bytes_of_buf(&utf16), out);
	buf_finish(&utf16);
}

enum err utf7_decode(struct bytes utf7, struct buf *out)
{
	struct buf decoded = {0}, again = {0};
	enum err err;

	for (size_t i = 0; i < utf7.size; i++) {
		size_t start = i + 1;

		if (utf7.data[i] != '&') {
			buf_put_u8(&decoded, utf7.data[i]);
			continue;
		}
		for (i = start; i < utf7.size && utf7.data[i] != '-';)
			i++;
		if (i == start)
			buf_put_u8(&decoded, '&');
		else
			put_unshifted(bytes_slice(utf7, start, i - start), &decoded);
	}
	err = decoded.err;
	/* Whatever is not the one encoding of a name does not come back the same. */
	if (err == ERR_OK)
		err = utf7_encode(bytes_of_buf(&decoded), &again);
	if (err == ERR_OK && !bytes_equal(bytes_of_buf(&again), utf7))
		err = ERR_INVALID;
	if (err == ERR_OK) {
		buf_put_bytes(out, bytes_of_buf(&decoded));
		err = out->err;
	}
	buf_finish(&again);
	buf_finish(&decoded);
	return err;
}
