/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Content transfer encodings, whole and in pieces. Input: u32 how to cut it, u8 encoding and line
 * size, the text.
 */
#include "fuzz/fuzz.h"
#include "mail/encoding.h"

static void decode(enum encoding_kind kind, struct bytes text, uint32_t *seed, struct buf *out)
{
	struct encoding_decoder decoder = ENCODING_DECODER(kind);

	for (size_t at = 0; at < text.size;) {
		size_t size = seed != NULL ? fuzz_piece(seed, text.size - at) : text.size;

		encoding_decode(&decoder, bytes_slice(text, at, size), out);
		at += size;
		ASSERT(decoder.held_size <= ENCODING_HELD_MAX && out->size <= at);
	}
	encoding_decode_end(&decoder, out);
	ASSERT(out->err == ERR_OK && out->size <= text.size);
}

static void check_base64(struct bytes data, size_t line_size)
{
	struct buf encoded = {0}, again = {0};

	encoding_put_base64(&encoded, data, line_size);
	decode(ENCODING_BASE64, bytes_of_buf(&encoded), NULL, &again);
	fuzz_assert_equal(bytes_of_buf(&again), data);
	buf_finish(&encoded);
	buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint32_t seed = cursor_u32(&input);
	uint8_t options = cursor_u8(&input);
	struct bytes text = fuzz_rest(&input);
	struct buf whole = {0}, pieces = {0};

	decode((enum encoding_kind)(options & 3), text, NULL, &whole);
	decode((enum encoding_kind)(options & 3), text, &seed, &pieces);
	fuzz_assert_equal(bytes_of_buf(&whole), bytes_of_buf(&pieces));
	check_base64(text, (options >> 2) * (size_t)4);
	(void)encoding_named(text);
	buf_finish(&whole);
	buf_finish(&pieces);
	return 0;
}
