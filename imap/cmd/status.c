/* SPDX-License-Identifier: MPL-2.0 */
/* STATUS (RFC 3501, 6.3.10). */
#include "imap/session.h"

enum { MESSAGES = 1, RECENT = 2, UIDNEXT = 4, UIDVALIDITY = 8, UNSEEN = 16 };

static const struct {
	const char *name;
	unsigned item;
} items[] = {
	{"MESSAGES", MESSAGES},	      {"RECENT", RECENT}, {"UIDNEXT", UIDNEXT},
	{"UIDVALIDITY", UIDVALIDITY}, {"UNSEEN", UNSEEN},
};

#define ITEM_COUNT (sizeof(items) / sizeof(items[0]))

static unsigned parse_items(struct imap_parser *parser)
{
	unsigned wanted = 0;

	imap_space(parser);
	imap_expect(parser, '(');
	do {
		size_t i = 0;

		while (i < ITEM_COUNT && !imap_accept_word(parser, items[i].name))
			i++;
		if (i == ITEM_COUNT)
			imap_fail(parser, "Unknown status item");
		else
			wanted |= items[i].item;
	} while (imap_accept(parser, ' '));
	imap_expect(parser, ')');
	return wanted;
}

static uint32_t value_of(const struct folder_status *status, unsigned item)
{
	switch (item) {
	case MESSAGES:
		return status->messages;
	case RECENT:
		return status->recent;
	case UIDNEXT:
		return status->uidnext;
	case UIDVALIDITY:
		return status->uidvalidity;
	default:
		return status->unseen;
	}
}

struct imap_reply imap_cmd_status(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	struct folder_status status;
	struct folder_info folder;
	const char *separator = "";
	struct bytes name;
	unsigned wanted;
	enum err err;

	imap_space(parser);
	name = imap_mailbox(parser);
	wanted = parse_items(parser);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	err = mailbox_folder(session->mailbox, name, &folder);
	if (err == ERR_OK && !folder.exists)
		err = ERR_NOTFOUND;
	if (err == ERR_OK)
		err = mailbox_status(session->mailbox, folder.id, &status);
	if (err != ERR_OK)
		return imap_reply_error(err);
	buf_put_string(&session->out, "* STATUS ");
	imap_put_mailbox(session, name);
	buf_put_string(&session->out, " (");
	for (size_t i = 0; i < ITEM_COUNT; i++)
		if ((wanted & items[i].item) != 0) {
			buf_printf(&session->out, "%s%s %u", separator, items[i].name,
				   (unsigned)value_of(&status, items[i].item));
			separator = " ";
		}
	buf_put_string(&session->out, ")\r\n");
	return imap_reply_ok("Status given");
}
