/* SPDX-License-Identifier: MPL-2.0 */
/*
 * preview - the beginning of a text as one line, for PREVIEW (RFC 8970).
 *
 * White space and control characters collapse to one space; of HTML only the text
 * is left. It is for a human's eye: nothing is an error, broken markup gives what it gives.
 */
#ifndef AEROSTORE_MAIL_PREVIEW_H
#define AEROSTORE_MAIL_PREVIEW_H

#include "mail/encoding.h"

struct preview_text {
	/* The beginning of a part's body, as it stands in the message. */
	struct bytes body;
	enum encoding_kind encoding;
	/* An unknown charset gives no preview. */
	struct bytes charset;
	bool html;
};

/* Appends valid UTF-8, `characters` at most; perhaps nothing. ERR_NOMEM. */
MUST_USE enum err preview_make(const struct preview_text *text, size_t characters, struct buf *out);

#endif
