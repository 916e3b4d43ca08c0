/* SPDX-License-Identifier: MPL-2.0 */
/*
 * dot - takes the transparency of DATA away (RFC 5321, 4.5.2), incrementally.
 *
 * Only CRLF.CRLF ends the data: a dot on a line of its own that follows a bare
 * LF, or is followed by one, is content (otherwise two servers could disagree
 * where a message ends). NUL, bare CR and bare LF pass unchanged. The CRLF in
 * front of the final dot belongs to the message.
 */
#ifndef AEROSTORE_LMTP_DOT_H
#define AEROSTORE_LMTP_DOT_H

#include "engine/base/bytes.h"

struct dot {
	int state; /* where in CR LF . CR LF the input so far has ended */
};

/* At the start of DATA, which is the start of a line. */
void dot_init(struct dot *dot);
/*
 * Takes from the front of `input` and hands out content: *content, borrowed from `input` or a
 * constant, is next (may be empty); *consumed octets are done with; *end: the message is over
 * and what is behind *consumed is the next command. Call again while input is left.
 */
void dot_next(struct dot *dot, struct bytes input, struct bytes *content, size_t *consumed,
	      bool *end);

#endif
