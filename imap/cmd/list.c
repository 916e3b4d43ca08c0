/* SPDX-License-Identifier: MPL-2.0 */
/* LIST and LSUB (RFC 3501, 6.3.8 and 6.3.9) with the attributes of RFC 3348 and RFC 6154. */
#include "imap/pattern.h"
#include "imap/session.h"

static const char *special_attribute(enum special_use special_use)
{
	switch (special_use) {
	case SPECIAL_ALL:
		return " \\All";
	case SPECIAL_ARCHIVE:
		return " \\Archive";
	case SPECIAL_DRAFTS:
		return " \\Drafts";
	case SPECIAL_FLAGGED:
		return " \\Flagged";
	case SPECIAL_JUNK:
		return " \\Junk";
	case SPECIAL_SENT:
		return " \\Sent";
	case SPECIAL_TRASH:
		return " \\Trash";
	case SPECIAL_NONE:
		break;
	}
	return "";
}

static void put_folder(struct imap_session *session, const char *verb,
		       const struct folder_info *folder)
{
	buf_printf(&session->out, "* %s (%s%s%s) \"/\" ", verb,
		   folder->has_children ? "\\HasChildren" : "\\HasNoChildren",
		   folder->exists ? "" : " \\Noselect", special_attribute(folder->special_use));
	imap_put_mailbox(session, bytes_string(folder->name));
	buf_put_string(&session->out, "\r\n");
}

/*
 * Reference and pattern are joined, then brought to the form that names have: only runs of modified
 * UTF-7 have to be decoded. An empty pattern stays empty: it asks for the separator alone.
 */
static void parse_pattern(struct imap_parser *parser, struct pattern *out)
{
	struct bytes reference, typed, text;
	struct imap_parser name_parser;
	struct buf joined = {0};
	struct imap_literal whole = {0};

	imap_space(parser);
	reference = imap_astring(parser);
	imap_space(parser);
	typed = imap_list_mailbox(parser);
	if (imap_failed(parser))
		return;
	if (typed.size != 0)
		buf_put_bytes(&joined, reference);
	buf_put_bytes(&joined, typed);
	text = arena_copy(parser->arena, bytes_of_buf(&joined));
	whole.size = text.size;
	imap_parser_init(&name_parser, text, &whole, 1, parser->arena);
	if (text.data != NULL)
		text = imap_mailbox(&name_parser);
	if (joined.err != ERR_OK || text.data == NULL)
		imap_fail(parser, imap_failed(&name_parser) ? name_parser.error
							    : "The command needs too much memory");
	else if (pattern_init(out, text, parser->arena) != ERR_OK)
		imap_fail(parser, "The command needs too much memory");
	buf_finish(&joined);
}

static bool lsub_parent(const struct pattern *pattern, const struct folder_info *folder,
			struct bytes *parent)
{
	struct bytes name = bytes_string(folder->name);

	/* "%" hides a subscribed child: its parent is told instead (RFC 3501, 6.3.9). */
	for (size_t i = name.size; i > 0; i--)
		if (name.data[i - 1] == '/') {
			*parent = bytes_slice(name, 0, i - 1);
			if (pattern_matches(pattern, *parent))
				return true;
		}
	return false;
}

static void lsub(struct imap_session *session, const struct pattern *pattern,
		 const struct folder_info *folders, size_t count)
{
	struct bytes told = {0};

	for (size_t i = 0; i < count; i++) {
		struct bytes parent;

		if (!folders[i].subscribed)
			continue;
		if (pattern_matches(pattern, bytes_string(folders[i].name))) {
			put_folder(session, "LSUB", &folders[i]);
			told = bytes_string(folders[i].name);
		} else if (pattern_has_percent(pattern) &&
			   lsub_parent(pattern, &folders[i], &parent) &&
			   !bytes_equal(parent, told)) {
			buf_put_string(&session->out, "* LSUB (\\Noselect \\HasChildren) \"/\" ");
			imap_put_mailbox(session, parent);
			buf_put_string(&session->out, "\r\n");
			told = parent;
		}
	}
}

static struct imap_reply list(struct imap_session *session, struct imap_command *command,
			      bool subscribed)
{
	struct imap_parser *parser = &command->parser;
	const struct folder_info *folders;
	struct pattern pattern;
	size_t count;
	enum err err;

	parse_pattern(parser, &pattern);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (pattern.text.size == 0 && !subscribed) {
		/* Asks for the separator only. */
		imap_untagged(session, "LIST (\\Noselect) \"/\" \"\"");
		return imap_reply_ok("Separator given");
	}
	err = mailbox_folders(session->mailbox, &folders, &count);
	if (err != ERR_OK)
		return imap_reply_error(err);
	if (subscribed)
		lsub(session, &pattern, folders, count);
	for (size_t i = 0; i < count && !subscribed; i++)
		if ((folders[i].exists || folders[i].has_children) &&
		    pattern_matches(&pattern, bytes_string(folders[i].name)))
			put_folder(session, "LIST", &folders[i]);
	return imap_reply_ok("Mailboxes listed");
}

struct imap_reply imap_cmd_list(struct imap_session *session, struct imap_command *command)
{
	return list(session, command, false);
}

struct imap_reply imap_cmd_lsub(struct imap_session *session, struct imap_command *command)
{
	return list(session, command, true);
}
