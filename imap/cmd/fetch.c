/* SPDX-License-Identifier: MPL-2.0 */
/* FETCH and UID FETCH (RFC 3501, 6.4.5 and 6.4.8). */
#include "imap/fetch.h"

/* Messages that get \Seen by one change, hence with one sync. */
#define SEEN_BATCH 64u
/* One message that cannot be read does not keep the others; a store that is gone does. */
#define FAILURES_MAX 16u

struct progress {
	const uint32_t *sequences;
	size_t count;
	/* Shown with \Seen, and not yet marked. */
	uint32_t shown[SEEN_BATCH];
	size_t shown_count;
	size_t missing, failures;
	enum err failure; /* the first */
};

/*
 * Marks what has been put out, and only when the connection has taken it: mail that its reader did
 * not get stays unread. A folder that cannot be changed now can still be read; then the client is
 * told that what it was shown with \Seen is not.
 */
static void mark_shown(struct fetch *fetch, struct progress *progress)
{
	struct imap_session *session = fetch->session;
	size_t count = progress->shown_count;

	progress->shown_count = 0;
	if (count == 0)
		return;
	imap_flush(session, true);
	if (session->over || view_store(session->view, progress->shown, count, STORE_ADD, FLAG_SEEN,
					NULL, 0, true) == ERR_OK)
		return;
	fetch->marks = false;
	for (size_t i = 0; i < count; i++)
		imap_put_message_flags(session, progress->shown[i]);
}

/* False when there is no sense in going on. */
static bool fetch_one(struct fetch *fetch, struct progress *progress, uint32_t sequence)
{
	enum err err = fetch_message(fetch, sequence);

	if (err == ERR_OK && fetch->marked)
		progress->shown[progress->shown_count++] = sequence;
	if (err == ERR_NOTFOUND) {
		progress->missing++;
	} else if (err != ERR_OK) {
		progress->failures++;
		if (progress->failure == ERR_OK)
			progress->failure = err;
	}
	return !fetch->session->over && progress->failures < FAILURES_MAX && err != ERR_CANCELED &&
	       err != ERR_NOMEM;
}

static void fetch_all(struct fetch *fetch, struct progress *progress)
{
	bool going = true;

	for (size_t i = 0; i < progress->count && going; i++) {
		going = fetch_one(fetch, progress, progress->sequences[i]);
		if (progress->shown_count == SEEN_BATCH)
			mark_shown(fetch, progress);
	}
	mark_shown(fetch, progress);
}

static struct imap_reply result_of(const struct imap_command *command,
				   const struct progress *progress)
{
	if (progress->failure != ERR_OK)
		return imap_reply_error(progress->failure);
	if (progress->missing == 0)
		return imap_reply_ok("Fetched");
	/* A UID that is gone is no error (RFC 3501, 6.4.8), and its EXPUNGE has just been told. */
	return (struct imap_reply){command->by_uid ? IMAP_OK : IMAP_NO, "[EXPUNGEISSUED]",
				   "Some messages were expunged meanwhile"};
}

struct imap_reply imap_cmd_fetch(struct imap_session *session, struct imap_command *command)
{
	struct imap_parser *parser = &command->parser;
	struct fetch_request request;
	struct fetch fetch = {.session = session, .request = &request};
	struct progress progress = {0};
	struct imap_set set;
	enum err err;

	imap_space(parser);
	set = imap_sequence_set(parser);
	imap_space(parser);
	fetch_parse(parser, command->by_uid, &request);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	err = imap_resolve(session, command, &set, &progress.sequences, &progress.count);
	if (err != ERR_OK)
		return imap_reply_set_error(err);
	fetch.marks = request.sets_seen && !view_read_only(session->view);
	fetch_all(&fetch, &progress);
	fetch_finish(&fetch);
	if (session->over)
		return (struct imap_reply){.result = IMAP_NO_REPLY};
	return result_of(command, &progress);
}
