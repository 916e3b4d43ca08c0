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

/* Others have their turn, and the client takes what there is, after so many names. */
#define NAMES_A_TURN 64u

static WAITS void take_turns(struct imap_session *session, size_t i)
{
	if (i % NAMES_A_TURN != NAMES_A_TURN - 1)
		return;
	imap_flush(session, false);
	task_yield();
}

static WAITS void tell_list(struct imap_session *session, const struct pattern *pattern,
			    const struct folder_list *folders)
{
	for (size_t i = 0; i < folders->count && !session->over; i++) {
		const struct folder_info *folder = &folders->items[i];

		if ((folder->exists || folder->has_children) &&
		    pattern_matches(pattern, bytes_string(folder->name)))
			put_folder(session, "LIST", folder);
		take_turns(session, i);
	}
}

/* Which parents of the present name were told, by their size; it, too. */
struct told {
	struct bytes name;
	uint8_t sizes[PATTERN_NAME_MAX + 1];
};

/* What the next name shares with the last one stays told: those below one folder follow each other. */
static void told_next(struct told *told, struct bytes name)
{
	size_t shared = 0;

	while (shared < name.size && shared < told->name.size &&
	       name.data[shared] == told->name.data[shared])
		shared++;
	for (size_t i = shared + 1; i <= told->name.size; i++)
		told->sizes[i] = 0;
	told->name = name;
}

static void tell_subscribed(struct imap_session *session, const struct pattern *pattern,
			    const struct folder_info *folder, struct told *told)
{
	struct bytes name = bytes_string(folder->name);
	size_t parent;

	if (name.size > PATTERN_NAME_MAX)
		return;
	told_next(told, name);
	if (pattern_matches(pattern, name)) {
		put_folder(session, "LSUB", folder);
		told->sizes[name.size] = 1;
		return;
	}
	/* "%" hides a subscribed child: its parent is told instead (RFC 3501, 6.3.9). */
	parent = pattern->has_percent ? pattern_parent(pattern, name) : 0;
	if (parent == 0 || told->sizes[parent])
		return;
	buf_put_string(&session->out, "* LSUB (\\Noselect \\HasChildren) \"/\" ");
	imap_put_mailbox(session, bytes_slice(name, 0, parent));
	buf_put_string(&session->out, "\r\n");
	told->sizes[parent] = 1;
}

static WAITS void tell_lsub(struct imap_session *session, const struct pattern *pattern,
			    const struct folder_list *folders)
{
	struct told told = {.sizes = {0}};

	for (size_t i = 0; i < folders->count && !session->over; i++) {
		if (folders->items[i].subscribed)
			tell_subscribed(session, pattern, &folders->items[i], &told);
		take_turns(session, i);
	}
}

static struct imap_reply list(struct imap_session *session, struct imap_command *command,
			      bool subscribed)
{
	struct imap_parser *parser = &command->parser;
	struct folder_list *folders;
	struct pattern pattern;
	enum err err;

	parse_pattern(parser, &pattern);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (pattern.size == 0 && !subscribed) {
		/* Asks for the separator only. */
		imap_untagged(session, "LIST (\\Noselect) \"/\" \"\"");
		return imap_reply_ok("Separator given");
	}
	err = mailbox_folder_list(session->mailbox, &folders);
	if (err != ERR_OK)
		return imap_reply_error(err);
	if (subscribed)
		tell_lsub(session, &pattern, folders);
	else
		tell_list(session, &pattern, folders);
	folder_list_release(&folders);
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
