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
	bool marks; /* sets \Seen */
	size_t missing, failures;
	enum err failure; /* the first */
};

/*
 * Sets \Seen where it is missing, durably, before any of it is shown; fills `changed`. A folder
 * that cannot be changed now can still be read.
 */
static void mark_seen(struct imap_session *session, struct progress *progress,
		      const uint32_t *sequences, size_t count, bool changed[SEEN_BATCH])
{
	uint32_t unseen[SEEN_BATCH];
	size_t unseen_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct message message;

		changed[i] = view_message(session->view, sequences[i], &message) == ERR_OK &&
			     (message.flags.system & FLAG_SEEN) == 0;
		if (changed[i])
			unseen[unseen_count++] = sequences[i];
	}
	if (unseen_count != 0 && view_store(session->view, unseen, unseen_count, STORE_ADD,
					    FLAG_SEEN, NULL, 0, true) != ERR_OK) {
		progress->marks = false;
		for (size_t i = 0; i < count; i++)
			changed[i] = false;
	}
}

/* False when there is no sense in going on. */
static bool fetch_one(struct fetch *fetch, struct progress *progress, uint32_t sequence,
		      bool show_flags)
{
	enum err err = fetch_message(fetch, sequence, show_flags);

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
	bool changed[SEEN_BATCH] = {0}, going = true;

	for (size_t i = 0; i < progress->count && going; i++) {
		size_t left = progress->count - i;

		if (i % SEEN_BATCH == 0 && progress->marks)
			mark_seen(fetch->session, progress, progress->sequences + i,
				  left < SEEN_BATCH ? left : SEEN_BATCH, changed);
		going = fetch_one(fetch, progress, progress->sequences[i],
				  progress->marks && changed[i % SEEN_BATCH]);
	}
}

static struct imap_reply result_of(const struct imap_command *command,
				   const struct progress *progress)
{
	if (progress->failure != ERR_OK)
		return imap_reply_error(progress->failure);
	if (progress->missing == 0)
		return imap_reply_ok("Fetched");
	/* A UID that is gone is no error (RFC 3501, 6.4.8), and its EXPUNGE has just been told. */
	return (struct imap_reply){command->uid ? IMAP_OK : IMAP_NO, "[EXPUNGEISSUED]",
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
	fetch_parse(parser, command->uid, &request);
	imap_end(parser);
	if (imap_failed(parser))
		return imap_reply_syntax(parser);
	err = imap_resolve(session, command, &set, &progress.sequences, &progress.count);
	if (err != ERR_OK)
		return imap_reply_unresolved(err);
	progress.marks = request.sets_seen && !view_read_only(session->view);
	fetch_all(&fetch, &progress);
	fetch_finish(&fetch);
	if (session->over)
		return (struct imap_reply){.result = IMAP_NO_REPLY};
	return result_of(command, &progress);
}
