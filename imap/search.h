/* SPDX-License-Identifier: MPL-2.0 */
/*
 * search - SEARCH (RFC 3501, 6.4.4): the criteria as a tree, and whether a
 * message meets them.
 *
 * The answer has three values: as long as something is not known, the cheapest
 * source that could settle the whole is asked next: first what the folder's list
 * holds (flags, numbers, dates, sizes), then the summary (sent date, common
 * header fields), at last the blob, read through once for all texts looked for
 * and no further than needed.
 *
 * Texts are compared as mail/fold.h says: decoded, converted, case-folded. BODY
 * is the text and message parts, their MIME headers, and the headers of nested
 * messages; TEXT is that and the message's header. Memory: the needles and a few
 * chunks, whatever the message is.
 */
#ifndef AEROSTORE_IMAP_SEARCH_H
#define AEROSTORE_IMAP_SEARCH_H

#include "imap/session.h"
#include "mail/fold.h"
#include "mail/summary.h"

#define SEARCH_KEYS_MAX 16384u
#define SEARCH_TEXTS_MAX 1024u

enum search_kind {
	SEARCH_AND,
	SEARCH_OR,
	SEARCH_NOT,
	SEARCH_ALL,
	SEARCH_NUMBERS,
	SEARCH_UIDS,
	SEARCH_FLAG,
	SEARCH_RECENT,
	SEARCH_KEYWORD,
	SEARCH_ARRIVAL,
	SEARCH_LARGER,
	SEARCH_SMALLER,
	SEARCH_SENT,
	SEARCH_HEADER,
	SEARCH_BODY,
	SEARCH_TEXT
};

enum search_answer { SEARCH_UNKNOWN, SEARCH_FALSE, SEARCH_TRUE };

/* In the command's arena. */
struct search_key {
	enum search_kind kind;
	struct search_key *child, *next; /* AND, OR, NOT: its first one; the one beside it */
	struct imap_set set;
	uint8_t flag;		     /* enum system_flag */
	struct bytes name;	     /* of a keyword, of a header field */
	size_t keyword;		     /* its index, SIZE_MAX: no message has it */
	int64_t first_day, last_day; /* inclusive */
	uint64_t size;
	struct bytes needle; /* UTF-8; empty: the field need only be there */
	struct fold_matcher *matcher;
	enum search_answer answer; /* of a text, for the message in progress */
};

struct search {
	struct imap_session *session;
	struct search_key *root;
	struct search_key **texts; /* HEADER, BODY, TEXT */
	size_t text_count, text_capacity, key_count;
	bool unknown_charset; /* "NO [BADCHARSET (...)]" */
	/* Of the message in progress. */
	uint32_t sequence;
	struct message message;
	const struct summary *summary; /* NULL: not asked for yet */
	struct buf encoded, chunk, decoded, text;
};

/* The criteria, with CHARSET before them. Needles that are too long fail the parser. */
void search_parse(struct imap_parser *parser, struct search *out);
/*
 * Binds a parsed search to the session's view, which is not empty: numbers, keywords. ERR_INVALID:
 * a number beyond the last; ERR_NOMEM.
 */
MUST_USE enum err search_begin(struct search *search, struct imap_session *session);
/* ERR_NOTFOUND: expunged meanwhile. */
WAITS MUST_USE enum err search_message(struct search *search, uint32_t sequence, bool *matches);
void search_finish(struct search *search);

/* ---- between search_*.c ---- */

/* What is known so far. */
enum search_answer search_evaluate(struct search *search, struct search_key *key);
/* Reads the message until the criteria are decided. */
WAITS MUST_USE enum err search_blob(struct search *search);
/* Gives a key a piece of text; `end`: the text ends with it. */
MUST_USE enum err search_offer(struct search_key *key, struct bytes utf8, bool end);

#endif
