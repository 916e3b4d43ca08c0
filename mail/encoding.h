/* SPDX-License-Identifier: MPL-2.0 */
/*
 * encoding - content transfer encodings (RFC 2045 section 6), as streams.
 *
 * The decoders take a message's bytes in chunks of any size and never fail on
 * input: what is not of the encoding is skipped (base64) or passed on as it
 * stands (quoted-printable), as mail readers do. The result does not depend on
 * how the input was cut. Output is at most as large as the input and what was held.
 * A decoder is a plain value without resources: ENCODING_DECODER(kind) starts
 * one, nothing ends it. Memory failures stick to the output buf.
 */
#ifndef AEROSTORE_MAIL_ENCODING_H
#define AEROSTORE_MAIL_ENCODING_H

#include "engine/base/bytes.h"

enum encoding_kind {
	/* 7bit, 8bit, binary, none: bytes stand for themselves. */
	ENCODING_IDENTITY,
	ENCODING_QUOTED_PRINTABLE,
	ENCODING_BASE64,
	/* A name nobody knows: decoded as identity; IMAP BINARY answers UNKNOWN-CTE. */
	ENCODING_UNKNOWN,
};

/* A run of white space longer than this is no padding that a line end would take off. */
#define ENCODING_HELD_MAX 80

struct encoding_decoder {
	enum encoding_kind kind;
	/* base64: bits gathered, their number; whether padding ended the data. */
	uint32_t bits;
	uint8_t bit_count;
	bool ended;
	/* quoted-printable: an escape or white space whose meaning is not known yet. */
	uint8_t held_size;
	uint8_t held[ENCODING_HELD_MAX];
};

#define ENCODING_DECODER(encoding) ((struct encoding_decoder){.kind = (encoding)})

/* The value of Content-Transfer-Encoding; empty means 7bit. */
enum encoding_kind encoding_named(struct bytes name);
/* Appends what `chunk` decodes to. */
void encoding_decode(struct encoding_decoder *decoder, struct bytes chunk, struct buf *out);
/* Appends what was still held back at the end of the input. */
void encoding_decode_end(struct encoding_decoder *decoder, struct buf *out);

/* Appends base64 with padding; line_size 0 for one line, else CRLF after that many characters. */
void encoding_put_base64(struct buf *out, struct bytes data, size_t line_size);

#endif
