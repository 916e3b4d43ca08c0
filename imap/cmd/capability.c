/* SPDX-License-Identifier: MPL-2.0 */
#include "imap/capability.h"

struct imap_reply imap_cmd_capability(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	imap_untagged(session, "CAPABILITY %s", imap_capabilities(session));
	return imap_reply_ok("Capabilities listed");
}
