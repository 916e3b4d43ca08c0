/* SPDX-License-Identifier: MPL-2.0 */
/* IDLE (RFC 2177): the session's loop serves it from here on, parked. */
#include <string.h>

#include "imap/session.h"

struct imap_reply imap_cmd_idle(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	memcpy(session->idle_tag, command->tag.data, command->tag.size);
	session->idle_tag[command->tag.size] = '\0';
	session->idling = true;
	buf_put_string(&session->out, "+ idling\r\n");
	if (session->view != NULL)
		imap_sync(session, true);
	return (struct imap_reply){.result = IMAP_NO_REPLY};
}
