/* SPDX-License-Identifier: MPL-2.0 */
/* EXPUNGE (RFC 3501, 6.4.3) and UID EXPUNGE (RFC 4315, 2.1). The dispatcher tells what went. */
#include "imap/session.h"

struct imap_reply imap_cmd_expunge(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	const uint32_t *sequences = NULL;
	struct imap_set set = {0};
	size_t count = 0, expunged;
	enum err err = ERR_OK;

	if (command->by_uid) {
		imap_space(parser);
		set = imap_sequence_set(parser);
	}
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (view_read_only(session->view))
		return imap_reply_read_only();
	if (command->by_uid) {
		err = imap_resolve(session, command, &set, &sequences, &count);
		if (err != ERR_OK)
			return imap_reply_set_error(err);
		/* No sequences at all would mean the whole folder. */
		if (count == 0)
			return imap_reply_ok("Nothing to expunge");
	}
	err = view_expunge(session->view, sequences, count, &expunged);
	return err != ERR_OK ? imap_reply_error(err) : imap_reply_ok("Expunged");
}
