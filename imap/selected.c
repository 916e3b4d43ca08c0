/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The selected folder as the client sees it: selecting, telling changes,
 * resolving the numbers of a command.
 */
#include "imap/session.h"

#include <string.h>

/* ---- telling changes ---- */

static void put_folder_flags(struct imap_session *session)
{
	static const char all[] = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
	const char *const *keywords;
	size_t count;

	keywords = view_keywords(session->view, &count);
	buf_printf(&session->out, "* FLAGS (%s", all);
	for (size_t i = 0; i < count; i++)
		buf_printf(&session->out, " %s", keywords[i]);
	buf_put_string(&session->out, ")\r\n* OK [PERMANENTFLAGS (");
	if (!view_read_only(session->view)) {
		buf_put_string(&session->out, all);
		for (size_t i = 0; i < count; i++)
			buf_printf(&session->out, " %s", keywords[i]);
		if (count < KEYWORD_MAX)
			buf_put_string(&session->out, " \\*");
	}
	buf_put_string(&session->out, ")] Flags that stay\r\n");
	session->keywords_announced = count;
}

void imap_announce_keywords(struct imap_session *session)
{
	size_t count;

	(void)view_keywords(session->view, &count);
	if (count != session->keywords_announced)
		put_folder_flags(session);
}

static void on_expunged(void *context, uint32_t sequence, uint32_t uid)
{
	(void)uid;
	imap_untagged(context, "%u EXPUNGE", (unsigned)sequence);
}

static void on_exists(void *context, uint32_t count, uint32_t recent)
{
	imap_untagged(context, "%u EXISTS", (unsigned)count);
	imap_untagged(context, "%u RECENT", (unsigned)recent);
}

void imap_put_message_flags(struct imap_session *session, uint32_t sequence)
{
	struct message message;

	if (view_message(session->view, sequence, &message) != ERR_OK)
		return;
	imap_announce_keywords(session);
	buf_printf(&session->out, "* %u FETCH (", (unsigned)sequence);
	if (session->command != NULL && session->command->by_uid)
		buf_printf(&session->out, "UID %u ", (unsigned)message.uid);
	buf_put_string(&session->out, "FLAGS ");
	imap_put_flags(session, &message.flags, message.recent);
	buf_put_string(&session->out, ")\r\n");
}

static void on_flags(void *context, uint32_t sequence, uint32_t uid, uint64_t modseq)
{
	(void)uid;
	(void)modseq;
	imap_put_message_flags(context, sequence);
}

void imap_sync(struct imap_session *session, bool expunges)
{
	const struct view_events events = {.expunged = on_expunged,
					   .exists = on_exists,
					   .flags = on_flags,
					   .context = session};

	view_sync(session->view, expunges, &events);
	imap_announce_keywords(session);
	imap_flush(session, false);
}

/* ---- selecting ---- */

void imap_unselect(struct imap_session *session)
{
	if (session->view == NULL)
		return;
	view_notify(session->view, NULL, NULL);
	view_close(&session->view);
	if (session->state == IMAP_SELECTED)
		session->state = IMAP_AUTHENTICATED;
}

struct imap_reply imap_select(struct imap_session *session, struct imap_command *command,
			      bool read_only)
{
	struct imap_parser *parser = &command->parser;
	struct folder_info folder;
	struct bytes name;
	uint32_t unseen;
	enum err err;

	imap_space(parser);
	name = imap_mailbox(parser);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	/* Whatever comes of it, what was selected is not any more (RFC 3501, 6.3.1). */
	imap_unselect(session);
	err = mailbox_folder(session->mailbox, name, &folder);
	if (err == ERR_OK && !folder.exists)
		err = ERR_NOTFOUND;
	if (err == ERR_OK)
		err = view_open(session->mailbox, folder.id, read_only, &session->view);
	if (err != ERR_OK)
		return imap_reply_error(err);
	session->state = IMAP_SELECTED;
	put_folder_flags(session);
	imap_untagged(session, "%u EXISTS", (unsigned)view_count(session->view));
	imap_untagged(session, "%u RECENT", (unsigned)view_recent_count(session->view));
	unseen = view_first_unseen(session->view);
	if (unseen != 0)
		imap_untagged(session, "OK [UNSEEN %u] First unseen message", (unsigned)unseen);
	imap_untagged(session, "OK [UIDVALIDITY %u] UIDs are valid",
		      (unsigned)view_uidvalidity(session->view));
	imap_untagged(session, "OK [UIDNEXT %u] Predicted next UID",
		      (unsigned)view_uidnext(session->view));
	return (struct imap_reply){IMAP_OK, read_only ? "[READ-ONLY]" : "[READ-WRITE]",
				   read_only ? "Folder examined" : "Folder selected"};
}

/* ---- numbers ---- */

/* Sequence numbers of a resolved set, by number or by UID; returns how many, stores them when asked to. */
static size_t list_sequences(const struct view *view, const struct imap_set *set, bool uid,
			     uint32_t *out)
{
	uint32_t count = view_count(view);
	size_t found = 0;

	for (size_t i = 0; i < set->count; i++) {
		uint32_t first = set->ranges[i].first, last = set->ranges[i].last;

		if (uid) {
			first = view_find_uid(view, first);
			last = last == UINT32_MAX ? count : view_find_uid(view, last + 1) - 1;
		}
		for (uint32_t sequence = first; sequence <= last && sequence <= count; sequence++) {
			if (out != NULL)
				out[found] = sequence;
			found++;
		}
	}
	return found;
}

enum err imap_resolve(struct imap_session *session, struct imap_command *command,
		      struct imap_set *set, const uint32_t **sequences, size_t *count)
{
	uint32_t messages = view_count(session->view);
	uint32_t *list;

	*sequences = NULL;
	*count = 0;
	if (messages == 0) {
		/* "*" of nothing is nothing; a number is wrong all the same. */
		for (size_t i = 0; i < set->count && !command->by_uid; i++)
			if (set->ranges[i].first != IMAP_STAR && set->ranges[i].last != IMAP_STAR)
				return ERR_INVALID;
		return ERR_OK;
	}
	imap_set_resolve(set, command->by_uid ? view_uid(session->view, messages) : messages);
	if (!command->by_uid && set->count != 0 && set->ranges[set->count - 1].last > messages)
		return ERR_INVALID;
	*count = list_sequences(session->view, set, command->by_uid, NULL);
	list = arena_array(&command->arena, *count, sizeof(*list));
	if (list == NULL)
		return ERR_NOMEM;
	(void)list_sequences(session->view, set, command->by_uid, list);
	*sequences = list;
	return ERR_OK;
}
