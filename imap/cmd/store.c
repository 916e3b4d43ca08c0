/* SPDX-License-Identifier: MPL-2.0 */
/* STORE and UID STORE (RFC 3501, 6.4.6). The dispatcher tells what changed. */
#include "imap/session.h"

struct change {
	struct imap_set set;
	enum store_mode mode;
	bool silent;
	struct imap_flags flags;
};

static void parse_change(struct imap_parser *parser, struct change *out)
{
	imap_space(parser);
	out->set = imap_sequence_set(parser);
	imap_space(parser);
	out->mode = imap_accept(parser, '+')   ? STORE_ADD
		    : imap_accept(parser, '-') ? STORE_REMOVE
					       : STORE_REPLACE;
	out->silent = imap_accept_word(parser, "FLAGS.SILENT");
	if (!out->silent && !imap_accept_word(parser, "FLAGS"))
		imap_fail(parser, "Only FLAGS can be stored");
	imap_space(parser);
	out->flags = imap_flag_list(parser, true);
	imap_end(parser);
}

static bool any_expunged(struct view *view, const uint32_t *sequences, size_t count)
{
	struct message message;

	for (size_t i = 0; i < count; i++)
		if (view_message(view, sequences[i], &message) == ERR_NOTFOUND)
			return true;
	return false;
}

struct imap_reply imap_cmd_store(struct imap_session *session, struct imap_command *command)
{
	const uint32_t *sequences;
	struct change change;
	size_t count;
	enum err err;

	parse_change(&command->parser, &change);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	if (view_read_only(session->view))
		return imap_reply_read_only();
	err = imap_resolve(session, command, &change.set, &sequences, &count);
	if (err != ERR_OK)
		return imap_reply_set_error(err);
	if (count == 0)
		return imap_reply_ok("Nothing to store");
	err = view_store(session->view, sequences, count, change.mode, change.flags.system,
			 change.flags.keywords, change.flags.keyword_count, change.silent);
	if (err == ERR_LIMIT)
		return imap_reply_no("[LIMIT]", "Too many different keywords in this mailbox");
	if (err == ERR_INVALID)
		return imap_reply_no("[LIMIT]", "A keyword is too long");
	if (err != ERR_OK)
		return imap_reply_error(err);
	if (any_expunged(session->view, sequences, count))
		return (struct imap_reply){command->by_uid ? IMAP_OK : IMAP_NO, "[EXPUNGEISSUED]",
					   "Some messages were expunged meanwhile"};
	return imap_reply_ok("Stored");
}
