/* SPDX-License-Identifier: MPL-2.0 */
/*
 * command - LMTP command lines (RFC 2033 over RFC 5321), without I/O.
 *
 * A line comes without its CRLF. Syntax is that of RFC 5321, section 4.1, with
 * what mail servers send in practice: blanks after "FROM:" and "TO:" are
 * tolerated, bare addresses without angle brackets are not. Source routes are
 * read and dropped (RFC 5321, appendix C). Paths are ASCII or UTF-8; whether the
 * transaction allows UTF-8 (SMTPUTF8, RFC 6531) is the caller's to check.
 */
#ifndef AEROSTORE_LMTP_COMMAND_H
#define AEROSTORE_LMTP_COMMAND_H

#include "engine/base/bytes.h"

enum lmtp_verb {
	LMTP_UNKNOWN,
	LMTP_LHLO,
	LMTP_HELO, /* HELO and EHLO: refused by RFC 2033, 4.1 */
	LMTP_MAIL,
	LMTP_RCPT,
	LMTP_DATA,
	LMTP_RSET,
	LMTP_NOOP,
	LMTP_QUIT,
	LMTP_VRFY,
	LMTP_HELP
};

struct lmtp_command {
	enum lmtp_verb verb;
	struct bytes argument; /* what follows the verb, without surrounding blanks */
};

/* The verb in any case of letters. Never fails: what is not known is LMTP_UNKNOWN. */
struct lmtp_command lmtp_command_parse(struct bytes line);

struct lmtp_path {
	struct bytes path; /* mailbox without brackets or route; empty for <> */
	uint64_t size;	   /* SIZE=, 0 when absent; of FROM, as is the next */
	bool smtputf8;	   /* SMTPUTF8 was given */
};

/*
 * "FROM:<path> parameters" and "TO:<path> parameters". ERR_INVALID: not of this form;
 * ERR_NOTFOUND: a parameter this server does not know (555); ERR_LIMIT: a path over 320 octets
 * or a SIZE over 2^63. For TO the empty path is invalid.
 */
MUST_USE enum err lmtp_parse_from(struct bytes argument, struct lmtp_path *out);
MUST_USE enum err lmtp_parse_to(struct bytes argument, struct lmtp_path *out);

/* Whether the path has octets that only SMTPUTF8 allows. */
bool lmtp_path_is_utf8(struct bytes path);

/* Splits local+detail@domain: *detail is empty when there is none; base is appended to `base`. */
void lmtp_split_detail(struct bytes address, struct buf *base, struct bytes *detail);

#endif
