/* SPDX-License-Identifier: MPL-2.0 */
/* NAMESPACE (RFC 2342): one personal namespace, no others. */
#include "imap/session.h"

struct imap_reply imap_cmd_namespace(struct imap_session *session, struct imap_command *command)
{
	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	imap_untagged(session, "NAMESPACE ((\"\" \"/\")) NIL NIL");
	return imap_reply_ok("Namespaces listed");
}
