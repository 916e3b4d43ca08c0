/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Text in a charset, whole and in pieces; and the preview that is made of it.
 * Input: u32 how to cut it, u8 options of the preview, u8 size of the charset's name, the name, the text.
 */
#include "fuzz/fuzz.h"
#include "mail/charset.h"
#include "mail/preview.h"

#define CHARACTERS 40u

static void check_pieces(struct bytes name, struct bytes text, uint32_t seed, struct bytes whole)
{
	struct charset_decoder *decoder;
	struct buf pieces = {0};

	ASSERT(charset_decoder_create(name, &decoder) == ERR_OK);
	for (size_t at = 0; at < text.size;) {
		size_t size = fuzz_piece(&seed, text.size - at), before = pieces.size;

		charset_decoder_feed(decoder, bytes_slice(text, at, size), &pieces);
		ASSERT(pieces.size - before <= 4 * size + 8);
		at += size;
	}
	charset_decoder_end(decoder, &pieces);
	ASSERT(pieces.err == ERR_OK);
	fuzz_assert_equal(bytes_of_buf(&pieces), whole);
	buf_finish(&pieces);
	charset_decoder_destroy(&decoder);
}

static void check_preview(struct bytes name, struct bytes text, uint8_t options)
{
	const struct preview_text preview = {.body = text,
					     .encoding = (enum encoding_kind)(options & 3),
					     .charset = name,
					     .html = (options & 4) != 0};
	struct buf out = {0};

	ASSERT(preview_make(&preview, CHARACTERS, &out) == ERR_OK);
	ASSERT(charset_utf8_valid(bytes_of_buf(&out)));
	ASSERT(charset_utf8_prefix(bytes_of_buf(&out), CHARACTERS) == out.size);
	for (size_t i = 0; i < out.size; i++)
		ASSERT(out.data[i] >= 0x20 && out.data[i] != 0x7f);
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint32_t seed = cursor_u32(&input);
	uint8_t options = cursor_u8(&input);
	struct bytes name = cursor_take(&input, cursor_u8(&input)), text = fuzz_rest(&input);
	struct buf whole = {0};

	if (charset_to_utf8(name, text, &whole) == ERR_OK) {
		ASSERT(charset_known(name));
		ASSERT(charset_utf8_valid(bytes_of_buf(&whole)));
		check_pieces(name, text, seed, bytes_of_buf(&whole));
	} else {
		ASSERT(!charset_known(name) && whole.size == 0);
	}
	check_preview(name, text, options);
	buf_finish(&whole);
	return 0;
}
