/* SPDX-License-Identifier: MPL-2.0 */
/* CLOSE (RFC 3501, 6.4.2) expunges silently; UNSELECT (RFC 3691) does not. */
#include "imap/session.h"

struct imap_reply imap_cmd_close(struct imap_session *session, struct imap_command *command)
{
	size_t expunged;
	enum err err = ERR_OK;

	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	if (!view_read_only(session->view))
		err = view_expunge(session->view, NULL, 0, &expunged);
	if (err != ERR_OK)
		return imap_reply_error(err);
	imap_unselect(session);
	return imap_reply_ok("Folder closed");
}

struct imap_reply imap_cmd_unselect(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	imap_unselect(session);
	return imap_reply_ok("Folder unselected");
}
