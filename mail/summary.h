/* SPDX-License-Identifier: MPL-2.0 */
/*
 * summary - all that IMAP's FETCH and SEARCH ask about a message without its
 * body: sizes, ENVELOPE, BODYSTRUCTURE with the offset of every part, common
 * header fields, preview, sent date. Computed once, while the message streams
 * in; kept as a byte string; decoded when asked.
 *
 * The parser takes a message in chunks of any size and never fails on input:
 * the result does not depend on how it was cut. Its memory is bounded whatever
 * the message is (about 256 KiB at the very most, some 30 KiB for an ordinary mail), its
 * time linear in the message. The encoded form has at most SUMMARY_SIZE_MAX bytes.
 *
 * How broken mail is read (as Dovecot and Cyrus do, within the RFCs' freedom):
 *   - lines end with CRLF or LF; a bare CR is a byte like others;
 *   - a header ends at the first empty line; lines without colon are skipped;
 *     a header without an empty line has no body;
 *   - a line that starts with "--" and an open boundary is a delimiter whatever
 *     follows; the longest boundary counts, of equals the innermost; the line end
 *     before it belongs to it; an enclosing delimiter ends all parts within,
 *     also inside a part's header; a missing end is made up at the message's end;
 *   - no or an unreadable Content-Type is text/plain; charset=us-ascii, in a
 *     multipart/digest message/rfc822; a multipart without boundary, or in which
 *     no delimiter was found, is a text/plain leaf;
 *   - an encoded message/rfc822 (base64, quoted-printable) is an
 *     application/octet-stream leaf, since its insides cannot be addressed;
 *   - of fields that may occur once the first one counts;
 *   - a part at the limits below is an application/octet-stream leaf that holds
 *     everything up to the next enclosing delimiter.
 *
 * Offsets and sizes are octets of the message as stored, which is as IMAP sends
 * it (BODY[] shows a NUL as 0x80: one octet for another). Lines are counted by LF.
 */
#ifndef AEROSTORE_MAIL_SUMMARY_H
#define AEROSTORE_MAIL_SUMMARY_H

#include "engine/base/bytes.h"
#include "mail/date.h"
#include "mail/header.h"

/* Parts of all kinds, nested ones included; nesting, the root being 1. */
#define SUMMARY_PARTS_MAX 1000
#define SUMMARY_DEPTH_MAX 64
/* Kept raw header fields of the message, those of a prefix included. */
#define SUMMARY_FIELDS_MAX 16384
/* Header fields that finish() puts before the message. */
#define SUMMARY_PREFIX_MAX 4096
/* All text of all parts: types, parameters, ids, envelopes of nested messages. */
#define SUMMARY_TEXT_MAX 16384
#define SUMMARY_PREVIEW_CHARACTERS 200
/* The encoded form of any message, prefix included. */
#define SUMMARY_SIZE_MAX 61440

enum summary_flag {
	SUMMARY_HAS_NUL = 1 << 0,
	SUMMARY_HAS_8BIT = 1 << 1,
	SUMMARY_HAS_BARE_CR = 1 << 2,
	SUMMARY_HAS_BARE_LF = 1 << 3,
	/*
	 * A field of the kept set is missing or shortened: what `fields` and the
	 * root's envelope say is not all; exact answers need the message.
	 */
	SUMMARY_FIELDS_CUT = 1 << 4,
	/* Parts, or text of parts (parameters, nested envelopes), were left out. */
	SUMMARY_STRUCTURE_CUT = 1 << 5,
};

/* Raw field values, folded as they are; absent (NIL) has data NULL, empty has not. */
struct summary_envelope {
	struct bytes date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id;
};

enum part_kind {
	PART_LEAF,
	/* One child at least. */
	PART_MULTIPART,
	/* message/rfc822 or message/global: exactly one child, the root of the nested message. */
	PART_MESSAGE,
};

struct part {
	/* NULL: the message itself; a leaf; the last one. */
	const struct part *parent, *child, *next;
	enum part_kind kind;
	/* The part's MIME header with its empty line; of a message's root, the message's header. */
	uint64_t header_offset, header_size;
	/* Without the line end that belongs to the delimiter after it. */
	uint64_t body_offset, body_size, body_lines;
	/*
	 * Never empty; letters as sent. With kind PART_MULTIPART type is "multipart" in some
	 * case of letters, with PART_MESSAGE "message"; a leaf never has type "multipart", nor is
	 * it message/rfc822.
	 */
	struct bytes type, subtype;
	/* As header_structured_parse() gives them. */
	const struct header_parameter *parameters;
	size_t parameter_count;
	/* Values unfolded, comments kept; data NULL when the field is absent. */
	struct bytes id, description, encoding, md5, language, location;
	/* The disposition's type, and its parameters. */
	struct bytes disposition;
	const struct header_parameter *disposition_parameters;
	size_t disposition_parameter_count;
	/* Present for a root: the message's own and those of nested messages. */
	const struct summary_envelope *envelope;
};

struct summary {
	uint64_t size, header_size;
	/* LF in the whole message, in its header. */
	uint64_t lines, header_lines;
	/* enum summary_flag */
	uint32_t flags;
	bool has_sent;
	/* The Date field, when it could be read. */
	struct date sent;
	/* The kept fields, raw, in the message's order, without an empty line at the end. */
	struct bytes fields;
	/* Valid UTF-8 on one line, at most SUMMARY_PREVIEW_CHARACTERS characters; may be empty. */
	struct bytes preview;
	const struct part *root;
	size_t part_count;
	/* Owns the parts. */
	void *memory;
};

struct summary_parser;

MUST_USE enum err summary_parser_create(struct summary_parser **out);
/* NULL is allowed; sets it to NULL. */
void summary_parser_destroy(struct summary_parser **parser);
/* ERR_NOMEM, which sticks. */
MUST_USE enum err summary_parser_feed(struct summary_parser *parser, struct bytes chunk);
/*
 * The end of the message: appends its encoded summary. `prefix` is what will be
 * stored before the bytes that were fed: whole header fields that end with a line
 * end, such as Return-Path and Delivered-To, none of Content-*, at most
 * SUMMARY_PREFIX_MAX; or nothing. May be called once for each of several prefixes (a message for
 * many recipients is parsed once), but nothing can be fed after the first call. ERR_NOMEM;
 * ERR_LIMIT: prefix too long, or a message of 32 GiB and more.
 */
MUST_USE enum err summary_parser_finish(struct summary_parser *parser, struct bytes prefix,
					struct buf *out);

/* create, feed, finish, destroy in one: for APPEND from memory, and for tests. */
MUST_USE enum err summary_of_message(struct bytes message, struct buf *out);

/*
 * Reads an encoded summary, which must outlive *out. Any input is safe: limits,
 * tree, ranges are checked, so that whoever uses *out need not. One allocation.
 * ERR_CORRUPT, ERR_NEWER (a version of later software), ERR_NOMEM.
 */
MUST_USE enum err summary_decode(struct bytes encoded, struct summary *out);
/* Frees and zeroes; the parts are gone, the encoded bytes are not touched. */
void summary_finish(struct summary *summary);

/*
 * Whether the field is of the kept set: then, unless SUMMARY_FIELDS_CUT, all its
 * occurrences are in `fields`. The set is what clients list a folder with:
 * Thunderbird, Apple Mail, K-9, mutt, mbsync, Evolution, Roundcube, Alpine; see summary.c.
 */
bool summary_keeps_field(struct bytes name);

#endif
