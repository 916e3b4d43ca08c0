/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/session.h"

#define HANDSHAKE_MS 30000u

struct imap_reply imap_cmd_starttls(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	if (session->server->tls == NULL || stream_is_tls(session->stream))
		return imap_reply_bad("TLS cannot be started here");
	buf_put_bytes(&session->out, command->tag);
	buf_put_string(&session->out, " OK Begin TLS negotiation now\r\n");
	imap_flush(session, true);
	/* What a man in the middle put behind the command in clear is refused in there. */
	if (session->over ||
	    stream_start_tls(session->stream, session->server->tls,
			     env_now_ms(session->server->env) + HANDSHAKE_MS) != ERR_OK)
		session->over = true;
	return (struct imap_reply){.result = IMAP_NO_REPLY};
}
