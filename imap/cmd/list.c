/* SPDX-License-Identifier: MPL-2.0 */
/* LIST and LSUB (RFC 3501, 6.3.8 and 6.3.9) with the attributes of RFC 3348 and RFC 6154. */
#include <string.h>

#include "imap/session.h"

/*
 * "*" matches anything, "%" anything but the separator. The place to fall back to is the last
 * wildcard alone, so the time is bounded by the product of both lengths; "%" falls back to a
 * "*" before it when it meets a separator.
 */
static bool matches(struct bytes pattern, struct bytes name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, star_at = 0, percent = SIZE_MAX, percent_at = 0;

	for (;;) {
		if (p < pattern.size && pattern.data[p] == '*') {
			star = p++;
			star_at = n;
			percent = SIZE_MAX;
		} else if (p < pattern.size && pattern.data[p] == '%') {
			percent = p++;
			percent_at = n;
		} else if (n == name.size && p == pattern.size) {
			return true;
		} else if (n < name.size && p < pattern.size && pattern.data[p] == name.data[n]) {
			p++;
			n++;
		} else if (percent != SIZE_MAX && percent_at < name.size &&
			   name.data[percent_at] != '/') {
			n = ++percent_at;
			p = percent + 1;
		} else if (star != SIZE_MAX && star_at < name.size) {
			n = ++star_at;
			p = star + 1;
			percent = SIZE_MAX;
		} else {
			return false;
		}
	}
}

/* Reference and pattern are joined; INBOX matches in any case, alone or as the first level. */
static bool folder_matches(struct bytes pattern, struct bytes name)
{
	static const char inbox[] = "INBOX";
	size_t size = sizeof(inbox) - 1;
	uint8_t first[sizeof(inbox) - 1];

	if (matches(pattern, name))
		return true;
	if (name.size != size || memcmp(name.data, inbox, size) != 0)
		return false;
	/* The name in the pattern's own case, as far as they agree but for case. */
	memcpy(first, name.data, size);
	for (size_t i = 0; i < size && i < pattern.size; i++)
		if ((pattern.data[i] | 0x20) == (first[i] | 0x20))
			first[i] = pattern.data[i];
	return matches(pattern, bytes_make(first, size));
}

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

/* A pattern as typed, to the form that names have: only modified UTF-7 runs have to be decoded. */
static struct bytes parse_pattern(struct imap_parser *parser, struct bytes reference)
{
	struct bytes typed = imap_list_mailbox(parser);
	struct imap_parser name_parser;
	struct buf joined = {0};
	struct bytes quoted;
	struct imap_literal whole = {0};

	if (imap_failed(parser))
		return typed;
	buf_put_bytes(&joined, reference);
	buf_put_bytes(&joined, typed);
	quoted = arena_copy(parser->arena, bytes_of_buf(&joined));
	buf_finish(&joined);
	if (quoted.data == NULL) {
		imap_fail(parser, "The command needs too much memory");
		return quoted;
	}
	whole.size = quoted.size;
	imap_parser_init(&name_parser, quoted, &whole, 1, parser->arena);
	return imap_mailbox(&name_parser, false);
}

static bool lsub_parent(struct bytes pattern, const struct folder_info *folder, struct bytes *parent)
{
	struct bytes name = bytes_string(folder->name);

	/* "%" hides a subscribed child: its parent is told instead (RFC 3501, 6.3.9). */
	for (size_t i = name.size; i > 0; i--)
		if (name.data[i - 1] == '/') {
			*parent = bytes_slice(name, 0, i - 1);
			if (folder_matches(pattern, *parent))
				return true;
		}
	return false;
}

static void lsub(struct imap_session *session, struct bytes pattern,
		 const struct folder_info *folders, size_t count)
{
	struct bytes told = {0};

	for (size_t i = 0; i < count; i++) {
		struct bytes parent;

		if (!folders[i].subscribed)
			continue;
		if (folder_matches(pattern, bytes_string(folders[i].name))) {
			put_folder(session, "LSUB", &folders[i]);
			told = bytes_string(folders[i].name);
		} else if (pattern.size != 0 && memchr(pattern.data, '%', pattern.size) != NULL &&
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
	struct bytes reference, pattern;
	size_t count;
	enum err err;

	imap_space(parser);
	reference = imap_astring(parser);
	imap_space(parser);
	pattern = parse_pattern(parser, reference);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	if (pattern.size == 0 && !subscribed) {
		/* Asks for the separator only. */
		imap_untagged(session, "LIST (\\Noselect) \"/\" \"\"");
		return imap_reply_ok("Separator given");
	}
	err = mailbox_folders(session->mailbox, &folders, &count);
	if (err != ERR_OK)
		return imap_reply_error(err);
	if (subscribed)
		lsub(session, pattern, folders, count);
	for (size_t i = 0; i < count && !subscribed; i++)
		if ((folders[i].exists || folders[i].has_children) &&
		    folder_matches(pattern, bytes_string(folders[i].name)))
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
