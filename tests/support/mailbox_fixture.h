/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mailbox_fixture - a store of three volumes in a simulated node, with accounts,
 * for the tests of mailboxes and deliveries.
 *
 * Everything below runs in a task of the node (sim_run_task). Failures are
 * cmocka's.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_MAILBOX_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_MAILBOX_FIXTURE_H

#include "engine/engine.h"
#include "tests/sim/sim_task.h"

#define POST_VOLUMES 3u
#define POST_CLUSTER ((struct id128){{1, 2, 3}})

struct post {
	struct sim *sim;
	struct sim_disk *disks[POST_VOLUMES];
	struct engine *engine;
	struct key *admin, *node;
	uint64_t cache_ms;
	/* Zero: 4 MiB, 4 MiB, the engine's. */
	uint64_t column_size, segment_size, snapshot_entries, table_snapshot_after;
	const char *root; /* put before every path; NULL: nothing */
	uint64_t quarantine_ms;
	const struct summary_hook *summary; /* NULL: post_summary */
	void *context;			    /* the test's */
};

/* A world of one node; the node is formatted by post_format(). */
void post_init(struct post *post);
void post_finish(struct post *post);
/* Runs run(post) as a task until it and all it started have ended. */
void post_run(struct post *post, void (*run)(void *post));

WAITS void post_format(struct post *post);
WAITS void post_open(struct post *post);
/* The same, where a failure is the test's business. */
WAITS MUST_USE enum err post_try_open(struct post *post, const char **why);
WAITS void post_close(struct post *post);

/* An account with a password slot of the user's own, or with an enrolment slot. */
WAITS void post_add_account(struct post *post, const char *address, const char *password,
			    bool enrolled, bool invitation);
/* A delivery; ERR_OK when it is durable. */
WAITS enum err post_deliver_to(struct post *post, const char *address, const char *folder,
			       const char *message);
WAITS void post_deliver(struct post *post, const char *address, const char *message);
WAITS struct mailbox *post_login(struct post *post, const char *address, const char *password);
/* Opens a folder by name. */
WAITS struct view *post_view(struct mailbox *mailbox, const char *folder);
/* Compares a message with text. */
WAITS void post_assert_message(struct view *view, uint32_t sequence, const char *text);
WAITS uint32_t post_append(struct mailbox *mailbox, const char *folder, const char *message,
			   uint8_t system);

/* What view_sync() says, as text: "-3 " expunged, "*5/1 " exists and recent, "!2 " flags. */
void post_sync(struct view *view, bool expunges, struct buf *out);
void post_assert_sync(struct view *view, bool expunges, const char *expected);

extern const struct summary_hook post_summary;

#endif
