/* SPDX-License-Identifier: MPL-2.0 */
/*
 * header_stream - a header of any size, field by field, in bounded memory.
 *
 * The header comes in chunks of any size and goes out in pieces of whole lines:
 * a field of up to HEADER_PIECE_MAX octets is one piece, a longer one is several,
 * cut after a line or a blank where there is one. What a field is, mail/header.h
 * says; the pieces' `raw` end to end are the header up to its empty line.
 */
#ifndef AEROSTORE_IMAP_HEADER_STREAM_H
#define AEROSTORE_IMAP_HEADER_STREAM_H

#include "engine/base/bytes.h"

#define HEADER_PIECE_MAX (32u * 1024)
/* Longer names are those of no field that anybody asks for. */
#define HEADER_NAME_MAX 255u

struct header_piece {
	struct bytes name;  /* of the field; size 0 when it has none, or a longer one */
	struct bytes value; /* this piece of it, folded as it is */
	struct bytes raw;
	bool first, last; /* of the field */
};

struct header_stream {
	void (*each)(void *context, const struct header_piece *piece);
	void *context;
	/* Its own. */
	struct buf pending;
	size_t scanned;
	bool inside, ended;
	uint8_t name[HEADER_NAME_MAX];
	size_t name_size;
};

#define HEADER_STREAM(function, argument)                                                          \
	((struct header_stream){.each = (function), .context = (argument)})

/* Failures (ERR_NOMEM) stick to `pending`; header_stream_end() tells. */
void header_stream_feed(struct header_stream *stream, struct bytes chunk);
/* The header's end: the last piece. Can then be fed another header. */
MUST_USE enum err header_stream_end(struct header_stream *stream);
void header_stream_finish(struct header_stream *stream);

#endif
