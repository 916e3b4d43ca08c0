/* SPDX-License-Identifier: MPL-2.0 */
/*
 * response - whether rendered IMAP data is what a client can read: strings ended, literals as long as
 * they say, parentheses in pairs, no bare line end, no NUL.
 */
#ifndef AEROSTORE_FUZZ_RESPONSE_H
#define AEROSTORE_FUZZ_RESPONSE_H

#include "fuzz/fuzz.h"

/* Takes a quoted string behind its opening quote. */
static inline void response_take_quoted(struct cursor *cursor)
{
	for (;;) {
		uint8_t octet = cursor_u8(cursor);

		ASSERT(cursor->err == ERR_OK && octet != 0 && octet != '\r' && octet != '\n');
		if (octet == '"')
			return;
		if (octet == '\\') {
			octet = cursor_u8(cursor);
			ASSERT(octet == '"' || octet == '\\');
		}
	}
}

/* Takes a literal behind its opening brace. */
static inline void response_take_literal(struct cursor *cursor)
{
	size_t size = 0;
	uint8_t octet;
	struct bytes content;

	while ((octet = cursor_u8(cursor)) != '}') {
		ASSERT(octet >= '0' && octet <= '9');
		size = size * 10 + (size_t)(octet - '0');
	}
	ASSERT(cursor_u8(cursor) == '\r' && cursor_u8(cursor) == '\n');
	content = cursor_take(cursor, size);
	ASSERT(cursor->err == ERR_OK);
	ASSERT(size == 0 || memchr(content.data, 0, size) == NULL);
}

static inline void response_check(const struct buf *response)
{
	struct cursor cursor = cursor_make(bytes_of_buf(response));
	size_t depth = 0;

	ASSERT(response->err == ERR_OK);
	while (cursor_left(&cursor) != 0) {
		uint8_t octet = cursor_u8(&cursor);

		ASSERT(octet >= 0x20 && octet < 0x7f);
		if (octet == '"')
			response_take_quoted(&cursor);
		else if (octet == '{')
			response_take_literal(&cursor);
		else if (octet == '(')
			depth++;
		else if (octet == ')') {
			ASSERT(depth != 0);
			depth--;
		}
	}
	ASSERT(depth == 0);
}

#endif
