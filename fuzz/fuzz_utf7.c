/* SPDX-License-Identifier: MPL-2.0 */
/* Modified UTF-7: one name, one encoding. */
#include "fuzz/fuzz.h"
#include "mail/charset.h"
#include "mail/utf7.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes text = bytes_make(data, size);
	struct buf other = {0}, again = {0};

	if (utf7_decode(text, &other) == ERR_OK) {
		ASSERT(charset_utf8_valid(bytes_of_buf(&other)));
		ASSERT(utf7_encode(bytes_of_buf(&other), &again) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&again), text);
	}
	buf_clear(&other);
	buf_clear(&again);
	if (utf7_encode(text, &other) == ERR_OK) {
		ASSERT(charset_utf8_valid(text));
		ASSERT(utf7_decode(bytes_of_buf(&other), &again) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&again), text);
	}
	buf_finish(&other);
	buf_finish(&again);
	return 0;
}
