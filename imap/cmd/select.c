/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/session.h"

struct imap_reply imap_cmd_select(struct imap_session *session, struct imap_command *command)
{
	return imap_select(session, command, false);
}

struct imap_reply imap_cmd_examine(struct imap_session *session, struct imap_command *command)
{
	return imap_select(session, command, true);
}
