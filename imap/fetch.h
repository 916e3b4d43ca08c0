/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fetch - FETCH (RFC 3501, 6.4.5): what was asked, and the answer for one message.
 *
 * A message costs one decoding of its summary at most, and its blob is read only
 * for sections whose octets the summary does not hold. Octets go to the client in
 * pieces of FETCH_PIECE, so memory does not depend on the message. What could
 * not be read whole is taken back while nothing of it has been sent; afterwards
 * only the end of the connection is honest.
 */
#ifndef AEROSTORE_IMAP_FETCH_H
#define AEROSTORE_IMAP_FETCH_H

#include "imap/session.h"
#include "mail/section.h"

#define FETCH_PIECE (256u * 1024)
#define FETCH_ITEMS_MAX 2048u

enum fetch_kind {
	FETCH_FLAGS,
	FETCH_UID,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY,
	FETCH_BODYSTRUCTURE,
	FETCH_SECTION
};

struct fetch_item {
	enum fetch_kind kind;
	struct bytes label; /* as the response names it, "BODY[HEADER]<0>" */
	/* FETCH_SECTION */
	struct section section;
	const struct bytes *names; /* of HEADER.FIELDS and .NOT */
	size_t name_count;
	uint64_t partial_offset, partial_size; /* UINT64_MAX: all */
};

struct fetch_request {
	struct fetch_item *items; /* in the order asked for */
	size_t count, capacity;
	unsigned kinds; /* bit per enum fetch_kind, FETCH_SECTION excepted */
	bool needs_summary;
	bool sets_seen;
};

/* The items behind the set, into the parser's arena. `uid`: UID FETCH, which always shows it. */
void fetch_parse(struct imap_parser *parser, bool uid, struct fetch_request *out);

/* One command's work; fetch_finish() frees. Zero but for the first three before the first message. */
struct fetch {
	struct imap_session *session;
	const struct fetch_request *request;
	bool marks; /* a message that is not \Seen is shown as if it were: the caller makes it so */
	/* Of the message in progress. */
	uint32_t sequence;
	struct message message;
	struct summary summary;
	struct buf encoded, scratch;
	bool marked; /* shown \Seen, and is not yet */
	bool sent;   /* part of its response is on the way */
	/* FLAGS as text, most messages have those of the one before. */
	struct buf flags_text;
	struct flags flags;
	bool flags_recent;
};

/*
 * Answers for one message. ERR_NOTFOUND: expunged meanwhile, nothing said. When session->over is set
 * the response is in pieces.
 */
WAITS MUST_USE enum err fetch_message(struct fetch *fetch, uint32_t sequence);
/* Sends what has gathered of the response in progress once it is a piece. ERR_CLOSED. */
WAITS MUST_USE enum err fetch_send_piece(struct fetch *fetch);
/* One section as nstring (fetch_section.c). */
WAITS MUST_USE enum err fetch_put_section(struct fetch *fetch, const struct fetch_item *item);
void fetch_finish(struct fetch *fetch);

#endif
