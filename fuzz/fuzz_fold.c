/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Comparing without regard to case: the matcher over a text in pieces finds what a plain search in
 * the folded text finds. Input: u32 how to cut it, u8 size of the needle, the needle, the text.
 */
#include "fuzz/fuzz.h"
#include "mail/charset.h"
#include "mail/fold.h"

static bool found_in_pieces(struct fold_matcher *matcher, struct bytes text, uint32_t *seed)
{
	fold_matcher_reset(matcher);
	for (size_t at = 0; at < text.size;) {
		size_t size = seed != NULL ? fuzz_piece(seed, text.size - at) : text.size;

		ASSERT(fold_matcher_feed(matcher, bytes_slice(text, at, size)) == ERR_OK);
		at += size;
	}
	ASSERT(fold_matcher_end(matcher) == ERR_OK);
	return fold_matcher_found(matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint32_t seed = cursor_u32(&input);
	struct bytes needle = cursor_take(&input, cursor_u8(&input)), text = fuzz_rest(&input);
	struct fold_matcher *matcher;
	struct buf folded_needle = {0}, folded = {0};
	bool found;

	if (fold_matcher_create(needle, &matcher) != ERR_OK) {
		ASSERT(!charset_utf8_valid(needle));
		return 0;
	}
	found = found_in_pieces(matcher, text, NULL);
	ASSERT(found_in_pieces(matcher, text, &seed) == found);
	ASSERT(found_in_pieces(matcher, needle, &seed));
	if (fold_text(text, &folded) == ERR_OK && fold_text(needle, &folded_needle) == ERR_OK) {
		ASSERT(charset_utf8_valid(bytes_of_buf(&folded)));
		ASSERT(found ==
		       (folded_needle.size == 0 ||
			(folded.size != 0 && memmem(folded.data, folded.size, folded_needle.data,
						    folded_needle.size) != NULL)));
	}
	buf_finish(&folded);
	buf_finish(&folded_needle);
	fold_matcher_destroy(&matcher);
	return 0;
}
