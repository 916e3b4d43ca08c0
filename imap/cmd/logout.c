/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/session.h"

struct imap_reply imap_cmd_logout(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	imap_unselect(session);
	imap_untagged(session, "BYE Logging out");
	buf_put_bytes(&session->out, command->tag);
	buf_put_string(&session->out, " OK Logged out\r\n");
	imap_flush(session, true);
	session->state = IMAP_LOGOUT;
	session->over = true;
	return (struct imap_reply){.result = IMAP_NO_REPLY};
}
