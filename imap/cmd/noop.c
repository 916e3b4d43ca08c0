/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/session.h"

/* What changed is told by the dispatcher, as after every command. */
static struct imap_reply nothing(struct imap_command *command, const char *text)
{
	imap_end(&command->parser);
	return imap_failed(&command->parser) ? imap_reply_syntax(&command->parser)
					     : imap_reply_ok(text);
}

struct imap_reply imap_cmd_noop(struct imap_session *session, struct imap_command *command)
{
	(void)session;
	return nothing(command, "Nothing done");
}

/* Every change is durable before its own OK: there is nothing to check-point. */
struct imap_reply imap_cmd_check(struct imap_session *session, struct imap_command *command)
{
	(void)session;
	return nothing(command, "Everything is stored");
}
