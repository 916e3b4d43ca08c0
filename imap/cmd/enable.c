/* SPDX-License-Identifier: MPL-2.0 */
/* ENABLE (RFC 5161): no extension offered so far needs it; unknown ones are ignored. */
#include "imap/session.h"

struct imap_reply imap_cmd_enable(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;

	do {
		imap_space(parser);
		(void)imap_atom(parser);
	} while (!imap_failed(parser) && !imap_at_end(parser));
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	imap_untagged(session, "ENABLED");
	return imap_reply_ok("Enabled what there is");
}
