/* SPDX-License-Identifier: MPL-2.0 */
/* ID (RFC 2971). What the client says of itself is checked and forgotten. */
#include "imap/session.h"

#define PAIRS_MAX 30u

struct imap_reply imap_cmd_id(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	unsigned pairs = 0;

	imap_space(parser);
	if (!imap_accept_word(parser, "NIL")) {
		imap_expect(parser, '(');
		while (!imap_failed(parser) && !imap_accept(parser, ')')) {
			if (pairs != 0)
				imap_space(parser);
			(void)imap_string(parser);
			imap_space(parser);
			(void)imap_nstring(parser);
			if (++pairs > PAIRS_MAX)
				imap_fail(parser, "Too many pairs");
		}
	}
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	imap_untagged(session, "ID (\"name\" \"Aerostore\")");
	return imap_reply_ok("Pleased to meet you");
}
