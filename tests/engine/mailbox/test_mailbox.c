/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/mailbox/internal.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"

static void start(struct post *post)
{
	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
}

static void run(void (*test)(void *post))
{
	struct post post;

	post_init(&post);
	post_run(&post, test);
	post_finish(&post);
}

/* Takes in what is new. */
static void sync_quietly(struct view *view)
{
	struct buf text = {0};

	post_sync(view, true, &text);
	buf_finish(&text);
}

/* ---- a delivered message is read ---- */

static void deliver_and_read(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	struct message message;
	struct buf summary = {0};
	uint64_t reads;

	start(post);
	post_deliver(post, ADDRESS, "Subject: one\r\n\r\nbody\r\n");
	post_deliver(post, ADDRESS, "Subject: two\r\n\r\nbody\r\n");
	reads = blob_read_count(engine_blobs(post->engine));
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), 2);
	assert_int_equal(view_recent_count(view), 2);
	assert_int_equal(view_first_unseen(view), 1);
	assert_int_equal(view_message(view, 1, &message), ERR_OK);
	assert_int_equal(message.uid, 1);
	assert_int_equal(message.size, 28);
	assert_true(message.recent);
	assert_int_equal(view_summary(view, 2, &summary), ERR_OK);
	assert_non_null(memmem(summary.data, summary.size, "Subject: two", 12));
	/* Draining and listing open no blob. */
	assert_int_equal(blob_read_count(engine_blobs(post->engine)), reads);
	post_assert_message(view, 2, "P: p\r\nSubject: two\r\n\r\nbody\r\n");
	buf_finish(&summary);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_deliver_and_read(void **state)
{
	(void)state;
	run(deliver_and_read);
}

/* ---- restarts ---- */

static void restart(struct post *post, struct mailbox **mailbox, struct view **view)
{
	view_close(view);
	mailbox_release(mailbox);
	post_close(post);
	post_open(post);
	*mailbox = post_login(post, ADDRESS, PASSWORD);
	*view = post_view(*mailbox, "INBOX");
}

static uint32_t last_uid(struct view *view)
{
	return view_uid(view, view_count(view));
}

static void uids_across_restarts(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	uint32_t last = 0, uidnext;
	size_t expunged;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	for (unsigned i = 0; i < 6; i++) {
		uint32_t uid, one = 1;

		uidnext = view_uidnext(view);
		post_append(mailbox, "INBOX", "first\r\n", 0);
		uid = post_append(mailbox, "INBOX", "second\r\n", FLAG_DELETED);
		assert_true(uid > last && uid >= uidnext);
		last = uid;
		sync_quietly(view);
		assert_int_equal(last_uid(view), uid);
		/* The highest UID goes: it must not come again. */
		assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
		assert_int_equal(expunged, 1);
		one = view_uidvalidity(view);
		restart(post, &mailbox, &view);
		assert_int_equal(view_uidvalidity(view), one);
		assert_int_equal(view_count(view), i + 1);
		assert_true(view_uidnext(view) > uid);
	}
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_uids_across_restarts(void **state)
{
	(void)state;
	run(uids_across_restarts);
}

/* ---- what views say ---- */

static void views(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *one, *two;
	struct message message;
	uint32_t sequences[2] = {1, 2};
	struct bytes keyword = {(const uint8_t *)"$Work", 5};
	size_t expunged, count;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	for (unsigned i = 0; i < 4; i++)
		post_append(mailbox, "INBOX", "text\r\n", 0);
	one = post_view(mailbox, "INBOX");
	two = post_view(mailbox, "INBOX");
	assert_int_equal(view_recent_count(one), 4);
	assert_int_equal(view_recent_count(two), 0);
	assert_false(view_stale(one));

	assert_int_equal(view_store(one, sequences, 2, STORE_ADD, FLAG_SEEN, NULL, 0, true),
			 ERR_OK);
	post_assert_sync(one, true, "");
	post_assert_sync(two, true, "!1 !2 ");
	assert_int_equal(view_store(one, sequences, 1, STORE_ADD, 0, &keyword, 1, false), ERR_OK);
	assert_string_equal(view_keywords(one, &count)[0], "$Work");
	post_assert_sync(one, true, "!1 ");
	post_assert_sync(two, true, "!1 ");
	/* Nothing changes: nothing is said. */
	assert_int_equal(view_store(one, sequences, 1, STORE_ADD, FLAG_SEEN, NULL, 0, false),
			 ERR_OK);
	assert_false(view_stale(two));
	assert_int_equal(view_store(two, sequences, 1, STORE_REPLACE, FLAG_FLAGGED, NULL, 0, false),
			 ERR_OK);
	assert_int_equal(view_message(one, 1, &message), ERR_OK);
	assert_int_equal(message.flags.system, FLAG_FLAGGED);
	assert_int_equal(message.flags.keywords[0], 0);
	post_assert_sync(two, true, "!1 ");
	post_assert_sync(one, true, "!1 ");

	/* One session's own change is silent, the other's to the same message is not. */
	assert_int_equal(view_store(two, sequences, 1, STORE_ADD, FLAG_DRAFT, NULL, 0, false),
			 ERR_OK);
	assert_int_equal(view_store(one, sequences, 1, STORE_ADD, FLAG_SEEN, NULL, 0, true),
			 ERR_OK);
	post_assert_sync(one, true, "!1 ");
	post_assert_sync(two, true, "!1 ");

	/* An expunge is hidden until it may be shown; numbers stay until then. */
	assert_int_equal(view_store(one, sequences, 2, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	assert_int_equal(view_expunge(one, sequences + 1, 1, &expunged), ERR_OK);
	assert_int_equal(expunged, 1);
	post_append(mailbox, "INBOX", "five\r\n", 0);
	post_assert_sync(two, false, "*5/1 !1 ");
	assert_true(view_stale(two));
	assert_int_equal(view_message(two, 2, &message), ERR_NOTFOUND);
	post_assert_message(two, 5, "five\r\n");
	post_assert_sync(two, true, "-2 ");
	assert_int_equal(view_count(two), 4);
	assert_false(view_stale(two));
	post_assert_sync(one, true, "-2 *4/3 ");
	post_assert_message(two, 4, "five\r\n");
	view_close(&one);
	view_close(&two);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_views(void **state)
{
	(void)state;
	run(views);
}

/* ---- \Recent, examined and selected ---- */

static struct view *examine(struct mailbox *mailbox)
{
	struct folder_info inbox;
	struct view *view;

	assert_int_equal(mailbox_folder(mailbox, bytes_string("INBOX"), &inbox), ERR_OK);
	assert_int_equal(view_open(mailbox, inbox.id, true, &view), ERR_OK);
	return view;
}

static void examined_recent(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *examined, *selected;
	struct message message;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", 0);
	post_append(mailbox, "INBOX", "two\r\n", 0);
	examined = examine(mailbox);
	assert_int_equal(view_recent_count(examined), 2);
	assert_int_equal(view_message(examined, 1, &message), ERR_OK);
	assert_true(message.recent);
	/* What comes is recent as well, and each message counts once. */
	post_append(mailbox, "INBOX", "three\r\n", 0);
	post_assert_sync(examined, true, "*3/3 ");
	/* It took nothing: not from who examines next, nor from who selects. */
	view_close(&examined);
	examined = examine(mailbox);
	assert_int_equal(view_recent_count(examined), 3);
	selected = post_view(mailbox, "INBOX");
	assert_int_equal(view_recent_count(selected), 3);
	assert_int_equal(view_recent_count(examined), 3);
	view_close(&examined);
	examined = examine(mailbox);
	assert_int_equal(view_recent_count(examined), 0);
	post_append(mailbox, "INBOX", "four\r\n", 0);
	post_assert_sync(selected, true, "*4/4 ");
	post_assert_sync(examined, true, "*4/0 ");
	view_close(&examined);
	view_close(&selected);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_examined_recent(void **state)
{
	(void)state;
	run(examined_recent);
}

/* ---- copy, move, folders ---- */

static void copies(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *inbox, *archive;
	struct message a, b;
	struct copy_result result;
	uint32_t first = 1;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", FLAG_SEEN);
	post_append(mailbox, "INBOX", "two\r\n", 0);
	inbox = post_view(mailbox, "inbox");
	assert_int_equal(view_copy(inbox, &first, 1, bytes_string("Archive"), false, &result),
			 ERR_OK);
	assert_int_equal(result.count, 1);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	archive = post_view(mailbox, "Archive");
	post_assert_message(archive, 1, "one\r\n");
	assert_int_equal(view_message(inbox, 1, &a), ERR_OK);
	assert_int_equal(view_message(archive, 1, &b), ERR_OK);
	assert_true(id128_equal(a.email_id, b.email_id));
	assert_int_equal(b.flags.system, FLAG_SEEN);
	assert_int_equal(view_copy(inbox, NULL, 0, bytes_string("Archive"), true, &result), ERR_OK);
	assert_int_equal(result.count, 2);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	post_assert_sync(inbox, true, "-2 -1 ");
	post_assert_sync(archive, true, "*3/3 ");
	assert_int_equal(view_copy(archive, &first, 1, bytes_string("None"), false, &result),
			 ERR_NOTFOUND);
	view_close(&archive);
	/* A copy keeps its summary. */
	view_close(&inbox);
	mailbox_release(&mailbox);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	archive = post_view(mailbox, "Archive");
	assert_int_equal(view_count(archive), 3);
	post_assert_message(archive, 3, "two\r\n");
	view_close(&archive);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_copies(void **state)
{
	(void)state;
	run(copies);
}

static void assert_names(struct mailbox *mailbox, const char *expected)
{
	const struct folder_info *folders;
	size_t count;
	struct buf text = {0};

	assert_int_equal(mailbox_folders(mailbox, &folders, &count), ERR_OK);
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%s%s%s%s ", folders[i].name, folders[i].exists ? "" : "?",
			   folders[i].subscribed ? "+" : "", folders[i].has_children ? "/" : "");
	buf_put_u8(&text, 0);
	assert_string_equal((const char *)text.data, expected);
	buf_finish(&text);
}

static void folders(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct folder_info info;
	uint32_t before;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_names(mailbox, "INBOX+ Archive+ Drafts+ Junk+ Sent+ Trash+ ");
	assert_int_equal(mailbox_create_folder(mailbox, bytes_string("a/b/c"), SPECIAL_NONE),
			 ERR_OK);
	assert_int_equal(mailbox_create_folder(mailbox, bytes_string("a/b"), SPECIAL_NONE),
			 ERR_EXISTS);
	assert_int_equal(mailbox_create_folder(mailbox, bytes_string("a//b"), SPECIAL_NONE),
			 ERR_INVALID);
	assert_int_equal(mailbox_create_folder(mailbox, bytes_string("iNbOx"), SPECIAL_NONE),
			 ERR_EXISTS);
	assert_int_equal(mailbox_subscribe(mailbox, bytes_string("nowhere"), true), ERR_OK);
	assert_names(mailbox, "INBOX+ Archive+ Drafts+ Junk+ Sent+ Trash+ a/ a/b/ a/b/c "
			      "nowhere?+ ");
	assert_int_equal(mailbox_delete_folder(mailbox, bytes_string("a/b")), ERR_OK);
	assert_int_equal(mailbox_delete_folder(mailbox, bytes_string("a/b")), ERR_NOTFOUND);
	assert_int_equal(mailbox_delete_folder(mailbox, bytes_string("INBOX")), ERR_DENIED);
	assert_names(mailbox, "INBOX+ Archive+ Drafts+ Junk+ Sent+ Trash+ a/ a/b?/ a/b/c "
			      "nowhere?+ ");
	assert_int_equal(mailbox_rename_folder(mailbox, bytes_string("a"), bytes_string("a/x")),
			 ERR_INVALID);
	assert_int_equal(mailbox_rename_folder(mailbox, bytes_string("a"), bytes_string("z/y")),
			 ERR_OK);
	assert_names(mailbox, "INBOX+ Archive+ Drafts+ Junk+ Sent+ Trash+ nowhere?+ z/ z/y/ "
			      "z/y/b?/ z/y/b/c ");
	/* A folder made anew is another one. */
	assert_int_equal(mailbox_folder(mailbox, bytes_string("z/y/b/c"), &info), ERR_OK);
	before = info.uidvalidity;
	assert_int_equal(mailbox_delete_folder(mailbox, bytes_string("z/y/b/c")), ERR_OK);
	assert_int_equal(mailbox_create_folder(mailbox, bytes_string("z/y/b/c"), SPECIAL_NONE),
			 ERR_OK);
	assert_int_equal(mailbox_folder(mailbox, bytes_string("z/y/b/c"), &info), ERR_OK);
	assert_true(info.uidvalidity > before);
	/* INBOX's messages go, INBOX stays. */
	post_append(mailbox, "INBOX", "one\r\n", 0);
	assert_int_equal(mailbox_rename_folder(mailbox, bytes_string("INBOX"), bytes_string("old")),
			 ERR_OK);
	for (unsigned i = 0; i < 2; i++) {
		struct folder_status status;

		assert_int_equal(mailbox_folder(mailbox, bytes_string(i ? "old" : "INBOX"), &info),
				 ERR_OK);
		assert_int_equal(mailbox_status(mailbox, info.id, &status), ERR_OK);
		assert_int_equal(status.messages, i);
	}
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_folders(void **state)
{
	(void)state;
	run(folders);
}

/* ---- draining ---- */

static void drains(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	struct folder_info info;
	struct folder_status status;
	char text[64];
	uint64_t reads;

	start(post);
	for (unsigned i = 0; i < 700; i++) {
		snprintf(text, sizeof(text), "Subject: %u\r\n\r\n", i);
		post_deliver(post, ADDRESS, text);
	}
	/* Repeated after a lost reply. */
	post_deliver(post, ADDRESS, "Subject: 3\r\n\r\n");
	assert_int_equal(post_deliver_to(post, ADDRESS, "archive", "Subject: 3\r\n\r\n"), ERR_OK);
	assert_int_equal(post_deliver_to(post, ADDRESS, "Archive", "Subject: 3\r\n\r\n"), ERR_OK);
	reads = blob_read_count(engine_blobs(post->engine));
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(mailbox_folder(mailbox, bytes_string("INBOX"), &info), ERR_OK);
	assert_int_equal(mailbox_status(mailbox, info.id, &status), ERR_OK);
	assert_int_equal(status.messages, 701);
	assert_int_equal(blob_read_count(engine_blobs(post->engine)), reads);
	assert_int_equal(home_counters(engine_home(post->engine)).duplicates_dropped, 1);
	assert_int_equal(home_counters(engine_home(post->engine)).broken_entries, 0);
	view = post_view(mailbox, "INBOX");
	for (uint32_t i = 1; i <= 700; i += 13) {
		struct buf summary = {0};

		snprintf(text, sizeof(text), "Subject: %u\r", i - 1);
		assert_int_equal(view_summary(view, i, &summary), ERR_OK);
		assert_non_null(memmem(summary.data, summary.size, text, strlen(text)));
		buf_finish(&summary);
	}
	/* Two blocks, one read each. */
	assert_true(blob_read_count(engine_blobs(post->engine)) <= reads + 2);
	/* One that is delivered now is seen now. */
	post_deliver(post, ADDRESS, "Subject: now\r\n\r\n");
	for (unsigned i = 0; i < 50 && !view_stale(view); i++)
		assert_int_equal(task_sleep(1), ERR_OK);
	post_assert_sync(view, true, "*702/702 ");
	restart(post, &mailbox, &view);
	assert_int_equal(view_count(view), 702);
	assert_int_equal(home_counters(engine_home(post->engine)).deliveries_drained, 0);
	post_assert_message(view, 702, "P: p\r\nSubject: now\r\n\r\n");
	view_close(&view);
	view = post_view(mailbox, "Archive");
	assert_int_equal(view_count(view), 1);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_drains(void **state)
{
	(void)state;
	run(drains);
}

/* ---- deliveries that nobody sent ---- */

struct forged {
	struct buf payload;
	struct blob_ref blob;
	struct id128 incarnation;
};

static enum err put_payload(void *context, const struct entry_place *place, struct buf *payload)
{
	struct forged *forged = context;

	(void)place;
	buf_put_bytes(payload, bytes_of_buf(&forged->payload));
	return payload->err;
}

/* The delivery that is there, to be said again elsewhere. */
static enum err take_delivery(void *context, const struct entry *entry)
{
	struct forged *forged = context;

	if (entry->kind != ENTRY_DELIVERY)
		return ERR_OK;
	buf_clear(&forged->payload);
	buf_put_bytes(&forged->payload, entry->payload);
	forged->blob = entry->blobs[0];
	return ERR_OK;
}

static WAITS void forge(struct post *post, struct forged *forged, const struct key *signing)
{
	const struct account_record *account =
		accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS));
	struct journal_writer *writer;
	struct journal_append append = {
		.stream = account->stream,
		.kind = ENTRY_DELIVERY,
		.blob_incarnation = blob_incarnation(engine_blobs(post->engine)),
		.blobs = &forged->blob,
		.blob_count = 1,
		.seal = put_payload,
		.context = forged,
	};

	assert_int_equal(journal_writer_create(engine_journal(post->engine), signing,
					       (struct id128){{4, 5, 6}}, &writer),
			 ERR_OK);
	assert_int_equal(journal_append(writer, &append), ERR_OK);
	journal_writer_destroy(&writer);
}

static void forgeries(void *argument)
{
	struct post *post = argument;
	const struct account_record *account;
	struct forged forged = {.payload = {0}};
	struct mailbox *mailbox;
	struct view *view;
	bool complete, more;

	start(post);
	post_deliver(post, ADDRESS, "Subject: true\r\n\r\n");
	account = accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS));
	assert_int_equal(journal_read(engine_journal(post->engine), account->stream, NULL, 10,
				      take_delivery, &forged, NULL, &complete, &more),
			 ERR_OK);
	/* Said again by a writer that may: what it seals belongs elsewhere. */
	forge(post, &forged, post->node);
	/* By one that signs with another key: it waits for the right one. */
	forge(post, &forged, post->admin);
	/* Not signed: it waits for a signature that never comes. */
	forge(post, &forged, NULL);
	/* Noise, signed. */
	buf_clear(&forged.payload);
	buf_put_zeros(&forged.payload, 300);
	forge(post, &forged, post->node);
	post_deliver(post, ADDRESS, "Subject: too\r\n\r\n");
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), 2);
	post_assert_message(view, 1, "P: p\r\nSubject: true\r\n\r\n");
	post_assert_message(view, 2, "P: p\r\nSubject: too\r\n\r\n");
	assert_int_equal(home_counters(engine_home(post->engine)).broken_entries, 3);
	/* They are passed, and nobody looks at them again, but what waits. */
	restart(post, &mailbox, &view);
	assert_int_equal(view_count(view), 2);
	assert_int_equal(home_counters(engine_home(post->engine)).broken_entries, 1);
	buf_finish(&forged.payload);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_forgeries(void **state)
{
	(void)state;
	run(forgeries);
}

/* More than one reading holds. */
#define WAITING (DRAIN_BATCH + 20u)

/*
 * A node whose key is another one cannot judge what it signed before. That waits, hides nothing
 * that comes later, and is there when the key is back.
 */
static void exchanged_key(void *argument)
{
	struct post *post = argument;
	struct key *own;
	struct mailbox *mailbox;
	struct view *view;

	start(post);
	for (unsigned i = 0; i < WAITING; i++) {
		char text[64];

		snprintf(text, sizeof(text), "Subject: before, %u\r\n\r\n", i);
		post_deliver(post, ADDRESS, text);
	}
	post_close(post);
	own = post->node;
	post->node = post->admin;
	post_open(post);
	post_deliver(post, ADDRESS, "Subject: meanwhile\r\n\r\n");
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	post_deliver(post, ADDRESS, "Subject: later\r\n\r\n");
	for (unsigned i = 0; i < 1000 && view_count(view) < 2; i++) {
		assert_int_equal(task_sleep(10), ERR_OK);
		sync_quietly(view);
	}
	assert_int_equal(view_count(view), 2);
	post->node = own;
	restart(post, &mailbox, &view);
	for (unsigned i = 0; i < 1000 && view_count(view) < WAITING + 2; i++) {
		assert_int_equal(task_sleep(10), ERR_OK);
		sync_quietly(view);
	}
	assert_int_equal(view_count(view), WAITING + 2);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_exchanged_key(void **state)
{
	(void)state;
	run(exchanged_key);
}

/* ---- snapshots ---- */

static void snapshots(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	struct bytes keyword = {(const uint8_t *)"$Work", 5};
	uint32_t sequence;
	uint64_t modseq, before;
	struct message message;
	size_t expunged;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	for (unsigned i = 0; i < 600; i++) {
		char text[64];

		snprintf(text, sizeof(text), "Subject: %u\r\n\r\n", i);
		post_append(mailbox, "INBOX", text, 0);
	}
	sync_quietly(view);
	for (sequence = 1; sequence <= 600; sequence += 3)
		assert_int_equal(view_store(view, &sequence, 1, STORE_ADD,
					    sequence % 2 ? FLAG_SEEN : FLAG_DELETED, &keyword, 1,
					    true),
				 ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	assert_int_equal(expunged, 100);
	for (unsigned i = 0; i < 300; i++) {
		sequence = 1;
		assert_int_equal(view_store(view, &sequence, 1, i % 2 ? STORE_ADD : STORE_REMOVE,
					    FLAG_FLAGGED, NULL, 0, true),
				 ERR_OK);
	}
	modseq = view_highest_modseq(view);
	for (unsigned i = 0; i < 100 && !home_counters(engine_home(post->engine)).manifests; i++)
		assert_int_equal(task_sleep(10), ERR_OK);
	assert_int_equal(home_counters(engine_home(post->engine)).manifests, 1);
	restart(post, &mailbox, &view);
	before = home_counters(engine_home(post->engine)).entries_read;
	assert_true(before < 200);
	assert_int_equal(view_count(view), 500);
	assert_int_equal(view_highest_modseq(view), modseq);
	assert_int_equal(view_first_unseen(view), 2);
	assert_int_equal(view_message(view, 1, &message), ERR_OK);
	assert_int_equal(message.flags.system, FLAG_SEEN | FLAG_FLAGGED);
	assert_int_equal(message.flags.keywords[0], 1);
	for (sequence = 1; sequence <= 500; sequence += 31) {
		struct buf summary = {0};

		assert_int_equal(view_message(view, sequence, &message), ERR_OK);
		assert_int_equal(message.uid, view_uid(view, sequence));
		assert_int_equal(view_summary(view, sequence, &summary), ERR_OK);
		assert_non_null(memmem(summary.data, summary.size, "Subject", 7));
		buf_finish(&summary);
	}
	assert_true(blob_read_count(engine_blobs(post->engine)) <= 4);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_snapshots(void **state)
{
	(void)state;
	run(snapshots);
}

/* ---- siblings ---- */

#define STRANGER ((struct id128){{99}})

static enum err count_manifest(void *context, const struct manifest *manifest)
{
	size_t *count = context;

	(void)manifest;
	++*count;
	return ERR_OK;
}

static WAITS size_t manifest_count(struct post *post)
{
	const struct account_record *record =
		accounts_find(engine_accounts(post->engine), bytes_string(ADDRESS));
	size_t count = 0;

	assert_int_equal(journal_manifests(engine_journal(post->engine), record->stream,
					   count_manifest, &count),
			 ERR_OK);
	return count;
}

/* As if another home had written what was written so far, and seen an entry that this one has not. */
static void unsee_stranger(struct vector *applied)
{
	size_t at = 0;

	while (!id128_equal(applied->items[at].incarnation, STRANGER))
		at++;
	applied->count--;
	memmove(&applied->items[at], &applied->items[at + 1],
		(applied->count - at) * sizeof(applied->items[0]));
}

static WAITS void leave_with_manifest(struct post *post, struct mailbox **mailbox,
				      struct view **view, uint64_t manifests)
{
	struct home *home = engine_home(post->engine);

	view_close(view);
	mailbox_release(mailbox);
	for (unsigned i = 0; i < 100 && home_counters(home).manifests < manifests; i++)
		assert_int_equal(task_sleep(10), ERR_OK);
	assert_int_equal(home_counters(home).manifests, manifests);
}

static WAITS void append_twenty(struct mailbox *mailbox)
{
	for (unsigned i = 0; i < 20; i++)
		post_append(mailbox, "INBOX", "text\r\n", 0);
}

static void siblings(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	struct message message;
	uint32_t sequence = 3;
	size_t expunged;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	append_twenty(mailbox);
	assert_int_equal(account_state_skip(&mailbox->state, STRANGER, 1), ERR_OK);
	leave_with_manifest(post, &mailbox, &view, 1);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	unsee_stranger(&mailbox->state.applied);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	sequence = 1;
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_FLAGGED, NULL, 0, true),
			 ERR_OK);
	append_twenty(mailbox);
	leave_with_manifest(post, &mailbox, &view, 2);
	assert_int_equal(manifest_count(post), 2);
	post_close(post);
	for (unsigned i = 0; i < 2; i++) {
		post_open(post);
		mailbox = post_login(post, ADDRESS, PASSWORD);
		view = post_view(mailbox, "INBOX");
		assert_int_equal(view_count(view), 39 + i);
		assert_int_equal(view_uid(view, 2), 2);
		assert_int_equal(view_uid(view, 3), 4);
		assert_int_equal(view_message(view, 1, &message), ERR_OK);
		assert_int_equal(message.flags.system, FLAG_FLAGGED);
		post_assert_message(view, 39, "text\r\n");
		assert_true(post_append(mailbox, "INBOX", "next\r\n", 0) > 40);
		/* A manifest of both was due at once; then all is as ever. */
		leave_with_manifest(post, &mailbox, &view, i ? 0 : 1);
		assert_int_equal(manifest_count(post), 1);
		post_close(post);
	}
}

static void test_siblings(void **state)
{
	(void)state;
	run(siblings);
}

/* ---- logging in ---- */

static enum err try_login(struct post *post, const char *address, const char *password)
{
	struct mailbox *mailbox = NULL;
	enum err err = home_login(engine_home(post->engine), bytes_string(address),
				  bytes_string(password), "198.51.100.9", &mailbox);

	mailbox_release(&mailbox);
	return err;
}

static void logins(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	uint64_t before;

	start(post);
	assert_int_equal(try_login(post, ADDRESS, "wrong"), ERR_AUTH);
	assert_int_equal(try_login(post, "nobody@example.org", PASSWORD), ERR_AUTH);
	assert_int_equal(try_login(post, "no address", PASSWORD), ERR_AUTH);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_string_equal(mailbox_address(mailbox), ADDRESS);
	before = slot_argon2_count();
	assert_int_equal(try_login(post, "Alice@EXAMPLE.org", PASSWORD), ERR_OK);
	assert_int_equal(slot_argon2_count(), before);
	assert_int_equal(home_unlocked_count(engine_home(post->engine)), 1);
	/* The old password ends when it is changed, also for the cache. */
	assert_int_equal(home_change_password(engine_home(post->engine), bytes_string(ADDRESS),
					      bytes_string(PASSWORD), bytes_string("next")),
			 ERR_OK);
	assert_int_equal(try_login(post, ADDRESS, PASSWORD), ERR_AUTH);
	assert_int_equal(try_login(post, ADDRESS, "next"), ERR_OK);
	mailbox_release(&mailbox);
	home_flush_cache(engine_home(post->engine));
	assert_int_equal(home_unlocked_count(engine_home(post->engine)), 0);
	post_close(post);
}

static void test_logins(void **state)
{
	(void)state;
	run(logins);
}

static void app_passwords(void *argument)
{
	struct post *post = argument;
	struct home *home;
	struct buf secret = {0};
	uint64_t before;
	uint32_t slot;

	start(post);
	home = engine_home(post->engine);
	assert_int_equal(home_add_slot(home, bytes_string(ADDRESS), bytes_string("wrong"), SLOT_APP,
				       &secret),
			 ERR_AUTH);
	assert_int_equal(home_add_slot(home, bytes_string(ADDRESS), bytes_string(PASSWORD),
				       SLOT_APP, &secret),
			 ERR_OK);
	buf_put_u8(&secret, 0);
	before = slot_argon2_count();
	assert_int_equal(try_login(post, ADDRESS, (const char *)secret.data), ERR_OK);
	assert_int_equal(slot_argon2_count(), before);
	assert_int_equal(secret_app_slot(bytes_string((const char *)secret.data), &slot), ERR_OK);
	assert_int_equal(home_remove_slot(home, bytes_string(ADDRESS), bytes_string(PASSWORD), 1),
			 ERR_DENIED);
	assert_int_equal(
		home_remove_slot(home, bytes_string(ADDRESS), bytes_string(PASSWORD), slot),
		ERR_OK);
	home_flush_cache(home);
	assert_int_equal(try_login(post, ADDRESS, (const char *)secret.data), ERR_AUTH);
	buf_clear(&secret);
	assert_int_equal(home_add_slot(home, bytes_string(ADDRESS), bytes_string(PASSWORD),
				       SLOT_RECOVERY, &secret),
			 ERR_OK);
	assert_int_equal(home_change_password(home, bytes_string(ADDRESS), bytes_of_buf(&secret),
					      bytes_string("found")),
			 ERR_OK);
	assert_int_equal(try_login(post, ADDRESS, "found"), ERR_OK);
	buf_finish(&secret);
	post_close(post);
}

static void test_app_passwords(void **state)
{
	(void)state;
	run(app_passwords);
}

/* ---- the first login ---- */

#define BOB "bob@example.org"

static void first_login(void *argument)
{
	struct post *post = argument;
	const struct account_record *record;
	uint8_t delivery_before[X25519_SIZE];
	struct mailbox *mailbox;
	struct view *view;
	uint32_t uids[2];

	start(post);
	post_add_account(post, BOB, "given", false, false);
	post_deliver(post, BOB, "Subject: before\r\n\r\n");
	record = accounts_find(engine_accounts(post->engine), bytes_string(BOB));
	assert_false(record->enrolled);
	memcpy(delivery_before, record->delivery_public, X25519_SIZE);
	mailbox = post_login(post, BOB, "given");
	record = accounts_find(engine_accounts(post->engine), bytes_string(BOB));
	assert_true(record->enrolled);
	assert_int_equal(record->slot_count, 1);
	assert_int_equal(record->slots[0].info.kind, SLOT_PASSWORD);
	assert_memory_not_equal(record->delivery_public, delivery_before, X25519_SIZE);
	post_deliver(post, BOB, "Subject: after\r\n\r\n");
	view = post_view(mailbox, "INBOX");
	for (unsigned i = 0; i < 50 && view_count(view) < 2; i++) {
		assert_int_equal(task_sleep(1), ERR_OK);
		sync_quietly(view);
	}
	assert_int_equal(view_count(view), 2);
	uids[0] = view_uid(view, 1);
	uids[1] = view_uid(view, 2);
	view_close(&view);
	mailbox_release(&mailbox);
	/* Another session of the process that changed the keys: old and new mail opens. */
	mailbox = post_login(post, BOB, "given");
	view = post_view(mailbox, "INBOX");
	post_assert_message(view, 1, "P: p\r\nSubject: before\r\n\r\n");
	post_assert_message(view, 2, "P: p\r\nSubject: after\r\n\r\n");
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, BOB, "given");
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), 2);
	assert_int_equal(view_uid(view, 1), uids[0]);
	assert_int_equal(view_uid(view, 2), uids[1]);
	assert_int_equal(home_counters(engine_home(post->engine)).broken_entries, 0);
	post_assert_message(view, 1, "P: p\r\nSubject: before\r\n\r\n");
	post_assert_message(view, 2, "P: p\r\nSubject: after\r\n\r\n");
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_first_login(void **state)
{
	(void)state;
	run(first_login);
}

/* ---- two devices log in for the first time at once ---- */

struct device {
	struct post *post;
	struct mailbox *mailbox;
};

static void log_in(void *argument)
{
	struct device *device = argument;

	device->mailbox = post_login(device->post, BOB, "given");
	post_append(device->mailbox, "INBOX", "text\r\n", 0);
}

static void first_logins(void *argument)
{
	struct post *post = argument;
	struct device devices[2] = {{.post = post}, {.post = post}};
	struct mailbox *mailbox;
	struct view *view;

	start(post);
	post_add_account(post, BOB, "given", false, false);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(task_spawn(task_sched(), "device", log_in, &devices[i], NULL),
				 ERR_OK);
	for (unsigned i = 0; i < 2000 && sched_task_count(task_sched()) > 1; i++)
		assert_int_equal(task_sleep(1), ERR_OK);
	assert_ptr_equal(devices[0].mailbox, devices[1].mailbox);
	for (size_t i = 0; i < 2; i++)
		mailbox_release(&devices[i].mailbox);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, BOB, "given");
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), 2);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_first_logins(void **state)
{
	(void)state;
	run(first_logins);
}

/* ---- one device moves a message away, another expunges it ---- */

struct rival {
	struct view *view;
	bool moves;
	size_t took; /* how many it was told that it has moved or expunged */
};

static void take_first(void *argument)
{
	struct rival *rival = argument;
	struct copy_result copies = {0};
	uint32_t sequence = 1;

	if (!rival->moves) {
		assert_int_equal(view_expunge(rival->view, &sequence, 1, &rival->took), ERR_OK);
		return;
	}
	assert_int_equal(
		view_copy(rival->view, &sequence, 1, bytes_string("Archive"), true, &copies),
		ERR_OK);
	rival->took = copies.count;
	memory_free(copies.from_uids);
	memory_free(copies.to_uids);
}

/* Whoever comes first has it: the message does not come back from where it was moved to. */
static void race(struct mailbox *mailbox, bool mover_first)
{
	struct view *view = post_view(mailbox, "INBOX"), *archive;
	struct rival rivals[2] = {{.view = view, .moves = mover_first},
				  {.view = view, .moves = !mover_first}};
	const struct rival *mover = &rivals[mover_first ? 0 : 1];
	uint32_t archived;

	archive = post_view(mailbox, "Archive");
	archived = view_count(archive);
	view_close(&archive);
	post_append(mailbox, "INBOX", "text\r\n", FLAG_DELETED);
	sync_quietly(view);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(task_spawn(task_sched(), "rival", take_first, &rivals[i], NULL),
				 ERR_OK);
	for (unsigned i = 0; i < 2000 && sched_task_count(task_sched()) > 1; i++)
		assert_int_equal(task_sleep(1), ERR_OK);
	assert_int_equal(rivals[0].took, 1);
	assert_int_equal(rivals[1].took, 0);
	sync_quietly(view);
	assert_int_equal(view_count(view), 0);
	view_close(&view);
	archive = post_view(mailbox, "Archive");
	assert_int_equal(view_count(archive), archived + mover->took);
	view_close(&archive);
}

static void move_against_expunge(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	for (unsigned i = 0; i < 4; i++)
		race(mailbox, i % 2 == 0);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_move_against_expunge(void **state)
{
	(void)state;
	run(move_against_expunge);
}

static void invitation(void *argument)
{
	struct post *post = argument;
	struct buf code = {0};

	start(post);
	secret_generate_invitation(sched_env(task_sched()), &code);
	buf_put_u8(&code, 0);
	post_add_account(post, BOB, (const char *)code.data, false, true);
	assert_int_equal(try_login(post, BOB, (const char *)code.data), ERR_DENIED);
	assert_int_equal(home_change_password(engine_home(post->engine), bytes_string(BOB),
					      bytes_string((const char *)code.data),
					      bytes_string("mine")),
			 ERR_OK);
	assert_int_equal(try_login(post, BOB, (const char *)code.data), ERR_AUTH);
	assert_int_equal(try_login(post, BOB, "mine"), ERR_OK);
	buf_finish(&code);
	post_close(post);
}

static void test_invitation(void **state)
{
	(void)state;
	run(invitation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deliver_and_read),
		cmocka_unit_test(test_uids_across_restarts),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_examined_recent),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_drains),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_exchanged_key),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_app_passwords),
		cmocka_unit_test(test_first_login),
		cmocka_unit_test(test_first_logins),
		cmocka_unit_test(test_move_against_expunge),
		cmocka_unit_test(test_invitation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
