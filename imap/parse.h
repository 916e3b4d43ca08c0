/* SPDX-License-Identifier: MPL-2.0 */
/*
 * parse - the grammar of IMAP commands (RFC 3501, section 9; RFC 9051), without I/O.
 *
 * A command arrives as one or more lines joined by literals. The session
 * collects it into one string in which each literal stands as its octets, and
 * notes where they lie (struct imap_literal); the parser reads that string with
 * a cursor. An error is sticky and carries a sentence for the BAD reply.
 *
 * Strings are borrowed from the command's text where they can be, else from
 * the arena (quoted strings with escapes). Nothing is expanded: "1:*" is one
 * range. Everything is bounded: nesting by IMAP_NESTING_MAX, the command's size by
 * the session.
 */
#ifndef AEROSTORE_IMAP_PARSE_H
#define AEROSTORE_IMAP_PARSE_H

#include "engine/base/arena.h"
#include "engine/base/bytes.h"

#define IMAP_NESTING_MAX 32u

struct imap_literal {
	size_t offset, size; /* in the text */
	bool binary;	     /* literal8, "~{n}" */
};

struct imap_parser {
	struct bytes text;
	const struct imap_literal *literals; /* ascending */
	size_t literal_count, next_literal;
	size_t offset;
	struct arena *arena;
	const char *error; /* NULL, or what is wrong, for "BAD ..." */
};

/* The text of one command behind its tag and verb. */
void imap_parser_init(struct imap_parser *parser, struct bytes text,
		      const struct imap_literal *literals, size_t literal_count,
		      struct arena *arena);
bool imap_failed(const struct imap_parser *parser);
/* Records the first error only. */
void imap_fail(struct imap_parser *parser, const char *what);
/* Nothing may be left: else fails with "unexpected text". */
void imap_end(struct imap_parser *parser);
bool imap_at_end(const struct imap_parser *parser);
/* The next octet, 0 at the end or at a literal. */
uint8_t imap_peek(const struct imap_parser *parser);
void imap_space(struct imap_parser *parser);
/* Consumes `octet` when it is next. */
bool imap_accept(struct imap_parser *parser, uint8_t octet);
void imap_expect(struct imap_parser *parser, uint8_t octet);
/* Consumes the word in any case of letters when a delimiter follows it. */
bool imap_accept_word(struct imap_parser *parser, const char *word);

struct bytes imap_atom(struct imap_parser *parser);
struct bytes imap_string(struct imap_parser *parser);
struct bytes imap_astring(struct imap_parser *parser);
/* data NULL for NIL. */
struct bytes imap_nstring(struct imap_parser *parser);
/* astring with the wildcards allowed: LIST patterns. */
struct bytes imap_list_mailbox(struct imap_parser *parser);
/* Mailbox name, modified UTF-7, to UTF-8 in NFC; "INBOX" in any case becomes INBOX. */
struct bytes imap_mailbox(struct imap_parser *parser);
uint32_t imap_number(struct imap_parser *parser);
uint32_t imap_nz_number(struct imap_parser *parser);
uint64_t imap_number64(struct imap_parser *parser);

/* ---- sets ---- */

/* No message has this number, so "*" is never mistaken for one. */
#define IMAP_STAR 0u

struct imap_range {
	uint32_t first, last; /* IMAP_STAR for "*"; first <= last after imap_set_resolve() */
};

struct imap_set {
	struct imap_range *ranges;
	size_t count;
};

struct imap_set imap_sequence_set(struct imap_parser *parser);
/* Puts `largest` for "*", orders, sorts, joins overlaps. In place. */
void imap_set_resolve(struct imap_set *set, uint32_t largest);
/* Resolved sets only. */
bool imap_set_contains(const struct imap_set *set, uint32_t number);
/* Appends "1:3,5" of ascending numbers. */
void imap_put_set(struct buf *out, const uint32_t *numbers, size_t count);

/* ---- flags, dates ---- */

struct imap_flags {
	uint8_t system; /* enum system_flag */
	struct bytes *keywords;
	size_t keyword_count;
};

/* With or without parentheses, as STORE allows; \Recent is refused. */
struct imap_flags imap_flag_list(struct imap_parser *parser, bool parentheses_optional);

/* Quoted date-time of APPEND to seconds since 1970, negative before, and the zone in minutes east. */
void imap_date_time(struct imap_parser *parser, int64_t *seconds, int16_t *zone_minutes);
/* dd-Mon-yyyy, quoted or not, as days since 1970. */
int64_t imap_date(struct imap_parser *parser);

#endif
