/* SPDX-License-Identifier: MPL-2.0 */
#include "lmtp/dot.h"

#include <string.h>

/*
 * TEXT      anywhere in a line
 * CR        after a CR that has been handed out
 * LINE      at the start of a line
 * DOT       after a dot at the start of a line, not handed out
 * DOT_CR    after that dot and a CR, neither handed out
 */
enum { TEXT, CR, LINE, DOT, DOT_CR };

void dot_init(struct dot *dot)
{
	dot->state = LINE;
}

/* Content up to where a line that starts with a dot begins, or to the end of the input. */
static size_t plain_run(struct dot *dot, struct bytes input)
{
	const uint8_t *found = memmem(input.data, input.size, "\r\n.", 3);

	if (found != NULL) {
		dot->state = LINE;
		return (size_t)(found - input.data) + 2;
	}
	if (input.data[input.size - 1] == '\r')
		dot->state = CR;
	else if (input.size >= 2 && memcmp(input.data + input.size - 2, "\r\n", 2) == 0)
		dot->state = LINE;
	else
		dot->state = TEXT;
	return input.size;
}

void dot_next(struct dot *dot, struct bytes input, struct bytes *content, size_t *consumed,
	      bool *end)
{
	uint8_t octet = input.data[0];

	*content = bytes_make(NULL, 0);
	*consumed = 1;
	*end = false;
	switch (dot->state) {
	case CR:
		/* One octet decides; the run that follows starts afresh. */
		*content = bytes_make(input.data, 1);
		dot->state = octet == '\n' ? LINE : octet == '\r' ? CR : TEXT;
		return;
	case LINE:
		if (octet == '.') {
			dot->state = DOT;
			return;
		}
		break;
	case DOT:
		if (octet == '\r') {
			dot->state = DOT_CR;
			return;
		}
		/* A stuffed dot: dropped, the line goes on. */
		break;
	case DOT_CR:
		if (octet == '\n') {
			*end = true;
			return;
		}
		/* ".\rx" was a stuffed dot, then a bare CR, which is content. */
		*content = bytes_string("\r");
		*consumed = 0;
		dot->state = CR;
		return;
	default:
		break;
	}
	*consumed = plain_run(dot, input);
	*content = bytes_make(input.data, *consumed);
}
