/* SPDX-License-Identifier: MPL-2.0 */
/* SEARCH and UID SEARCH (RFC 3501, 6.4.4). */
#include "imap/search.h"

#include "imap/render.h"

/* Looked at without letting others run; those whose text is read let them run anyway. */
#define YIELD_AFTER 512u

struct hits {
	uint32_t *numbers;
	size_t count;
	bool missing;
	enum err failure; /* the first */
};

static enum err search_all(struct search *search, struct imap_command *command, struct hits *hits)
{
	struct view *view = search->session->view;
	uint32_t count = view_count(view);

	hits->numbers = arena_array(&command->arena, count, sizeof(*hits->numbers));
	if (hits->numbers == NULL)
		return ERR_NOMEM;
	for (uint32_t sequence = 1; sequence <= count; sequence++) {
		bool matches = false;
		enum err err = search_message(search, sequence, &matches);

		if (matches)
			hits->numbers[hits->count++] =
				command->by_uid ? view_uid(view, sequence) : sequence;
		else if (err == ERR_NOTFOUND)
			hits->missing = true;
		else if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		else if (err != ERR_OK && hits->failure == ERR_OK)
			hits->failure = err;
		if (sequence % YIELD_AFTER == 0)
			task_yield();
	}
	return ERR_OK;
}

static void put_hits(struct imap_session *session, const struct hits *hits)
{
	buf_put_string(&session->out, "* SEARCH");
	for (size_t i = 0; i < hits->count; i++) {
		buf_put_u8(&session->out, ' ');
		render_number(&session->out, hits->numbers[i]);
		imap_flush(session, false);
	}
	buf_put_string(&session->out, "\r\n");
}

static struct imap_reply run(struct search *search, struct imap_session *session,
			     struct imap_command *command)
{
	struct hits hits = {0};
	enum err err = ERR_OK;

	if (view_count(session->view) != 0) {
		err = search_begin(search, session);
		if (err != ERR_OK)
			return imap_reply_set_error(err);
		err = search_all(search, command, &hits);
	}
	if (err != ERR_OK)
		return imap_reply_error(err);
	put_hits(session, &hits);
	/* What could be searched is told; that it was not all must be, too. */
	if (hits.failure != ERR_OK)
		return imap_reply_error(hits.failure);
	return (struct imap_reply){IMAP_OK, hits.missing ? "[EXPUNGEISSUED]" : NULL, "Searched"};
}

struct imap_reply imap_cmd_search(struct imap_session *session, struct imap_command *command)
{
	struct search search;
	struct imap_reply reply;

	imap_space(&command->parser);
	search_parse(&command->parser, &search);
	if (imap_failed(&command->parser))
		reply = imap_reply_syntax(&command->parser);
	else if (search.unknown_charset)
		reply = imap_reply_no("[BADCHARSET (US-ASCII UTF-8)]", "Unknown charset");
	else
		reply = run(&search, session, command);
	search_finish(&search);
	return reply;
}
