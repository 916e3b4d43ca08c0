/* SPDX-License-Identifier: MPL-2.0 */
/* CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501, 6.3.3 to 6.3.7). */
#include "imap/session.h"

static struct bytes parse_name(struct imap_parser *parser)
{
	imap_space(parser);
	return imap_mailbox(parser);
}

/* A trailing separator says that names below are to come: it is no part of the name. */
static struct bytes without_separator(struct bytes name)
{
	if (name.size > 1 && name.data[name.size - 1] == '/')
		name.size--;
	return name;
}

static struct imap_reply answer(enum err err, const char *text)
{
	if (err == ERR_INVALID)
		return imap_reply_no("[CANNOT]", "The mailbox name is not allowed");
	return err == ERR_OK ? imap_reply_ok(text) : imap_reply_error(err);
}

struct imap_reply imap_cmd_create(struct imap_session *session, struct imap_command *command)
{
	struct bytes name = parse_name(&command->parser);

	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	return answer(
		mailbox_create_folder(session->mailbox, without_separator(name), SPECIAL_NONE),
		"Mailbox created");
}

struct imap_reply imap_cmd_delete(struct imap_session *session, struct imap_command *command)
{
	struct bytes name = parse_name(&command->parser);
	struct folder_info folder;

	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	if (mailbox_folder(session->mailbox, name, &folder) == ERR_OK && !folder.exists &&
	    folder.has_children)
		return imap_reply_no("[CANNOT]", "The mailbox has children and no mail of its own");
	return answer(mailbox_delete_folder(session->mailbox, name), "Mailbox deleted");
}

struct imap_reply imap_cmd_rename(struct imap_session *session, struct imap_command *command)
{
	struct bytes from = parse_name(&command->parser);
	struct bytes to = parse_name(&command->parser);

	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	return answer(mailbox_rename_folder(session->mailbox, from, without_separator(to)),
		      "Mailbox renamed");
}

static struct imap_reply subscribe(struct imap_session *session, struct imap_command *command,
				   bool subscribed)
{
	struct bytes name = parse_name(&command->parser);

	imap_end(&command->parser);
	if (imap_failed(&command->parser))
		return imap_reply_syntax(&command->parser);
	return answer(mailbox_subscribe(session->mailbox, without_separator(name), subscribed),
		      subscribed ? "Subscribed" : "Unsubscribed");
}

struct imap_reply imap_cmd_subscribe(struct imap_session *session, struct imap_command *command)
{
	return subscribe(session, command, true);
}

struct imap_reply imap_cmd_unsubscribe(struct imap_session *session, struct imap_command *command)
{
	return subscribe(session, command, false);
}
