/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The transcripts over the engine: a store of three volumes in a directory, with one account. What
 * others do is done by a second session of the account, and by deliveries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "mail/summary.h"
#include "tests/support/mailbox_fixture.h"
#include "tests/support/transcript.h"

#define assert_good(call) assert_int_equal((call), ERR_OK)

static struct {
	struct post post;
	struct mailbox *mailbox; /* of the second session */
	char root[128];
	unsigned count; /* worlds made */
} world;

/* ---- the summary of mail/, as aerod has it ---- */

static enum err parser_create(void **parser)
{
	struct summary_parser *made;
	enum err err = summary_parser_create(&made);

	if (err == ERR_OK)
		*parser = made;
	return err;
}

static enum err parser_feed(void *parser, struct bytes message)
{
	return summary_parser_feed(parser, message);
}

static enum err parser_finish(void *parser, struct bytes prefix, struct buf *encoded)
{
	return summary_parser_finish(parser, prefix, encoded);
}

static void parser_destroy(void *parser)
{
	struct summary_parser *summary_parser = parser;

	summary_parser_destroy(&summary_parser);
}

static const struct summary_hook summary = {parser_create, parser_feed, parser_finish,
					    parser_destroy};

/* ---- the world ---- */

/* A new account has folders for special uses, all subscribed; the transcripts begin with INBOX. */
static void remove_folders(void)
{
	const struct folder_info *folders;
	size_t count;

	do {
		assert_good(mailbox_folders(world.mailbox, &folders, &count));
		if (count > 1) {
			const struct folder_info *last = &folders[count - 1];
			char name[256];

			snprintf(name, sizeof(name), "%s", last->name);
			if (last->subscribed)
				assert_good(mailbox_subscribe(world.mailbox, bytes_string(name),
							      false));
			assert_good(mailbox_delete_folder(world.mailbox, bytes_string(name)));
		}
	} while (count > 1);
	assert_good(mailbox_subscribe(world.mailbox, bytes_string("INBOX"), false));
}

static struct home *begin(struct loop_fixture *fixture)
{
	struct env *env = loop_env(fixture->loop);

	assert_good(key_library_init());
	snprintf(world.root, sizeof(world.root), "%s/%u", fixture->directory, world.count++);
	assert_int_equal(mkdir(world.root, 0700), 0);
	for (unsigned i = 0; i <= POST_VOLUMES; i++) {
		char path[160];

		snprintf(path, sizeof(path), i < POST_VOLUMES ? "%s/d%u" : "%s/index", world.root,
			 i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	world.post = (struct post){.root = world.root, .summary = &summary};
	assert_good(key_random(env, &world.post.admin));
	assert_good(key_random(env, &world.post.node));
	post_format(&world.post);
	post_open(&world.post);
	post_add_account(&world.post, TRANSCRIPT_USER, TRANSCRIPT_PASSWORD, true, false);
	world.mailbox = post_login(&world.post, TRANSCRIPT_USER, TRANSCRIPT_PASSWORD);
	remove_folders();
	return engine_home(world.post.engine);
}

static void end(void)
{
	mailbox_release(&world.mailbox);
	post_close(&world.post);
	key_release(&world.post.admin);
	key_release(&world.post.node);
	assert_int_equal(key_count(), 0);
}

static uint32_t uidvalidity(const char *folder)
{
	struct folder_info info;

	assert_good(mailbox_folder(world.mailbox, bytes_string(folder), &info));
	return info.uidvalidity;
}

/* It may be there, as the parent of another. */
static void create_folder(const char *name, enum special_use special_use)
{
	enum err err = mailbox_create_folder(world.mailbox, bytes_string(name), special_use);

	assert_true(err == ERR_OK || err == ERR_EXISTS);
}

static void add(const char *folder, struct bytes message, uint8_t flags, uint64_t arrival_ms,
		int16_t zone_minutes)
{
	struct appending *appending;
	uint32_t uidvalidity_of, uid;

	create_folder(folder, SPECIAL_NONE);
	assert_good(append_begin(world.mailbox, bytes_string(folder), &appending));
	assert_good(append_write(appending, message));
	assert_good(append_finish(appending, flags, NULL, 0, arrival_ms, zone_minutes,
				  &uidvalidity_of, &uid));
	append_end(&appending);
}

static void set_flags(const char *folder, unsigned uid, uint8_t flags, bool expunge)
{
	struct view *view = post_view(world.mailbox, folder);
	uint32_t sequence = view_find_uid(view, uid);
	size_t expunged;

	assert_true(sequence <= view_count(view) && view_uid(view, sequence) == uid);
	assert_good(view_store(view, &sequence, 1, STORE_REPLACE, flags, NULL, 0, true));
	if (expunge) {
		assert_good(view_expunge(view, &sequence, 1, &expunged));
		assert_int_equal(expunged, 1);
	}
	view_close(&view);
}

static uint32_t count_messages(const char *folder)
{
	struct folder_info info;
	struct folder_status status;

	assert_good(mailbox_folder(world.mailbox, bytes_string(folder), &info));
	assert_good(mailbox_status(world.mailbox, info.id, &status));
	return status.messages;
}

/* Until the open sessions may see it. */
static void deliver(const char *folder)
{
	uint32_t before = count_messages(folder);

	assert_good(post_deliver_to(&world.post, TRANSCRIPT_USER,
				    strcmp(folder, "INBOX") == 0 ? "" : folder,
				    "Subject: new\r\n\r\nnew\r\n"));
	for (unsigned tries = 0; count_messages(folder) == before; tries++) {
		assert_true(tries < 1000);
		assert_good(task_sleep(10));
	}
}

static bool act(const char *deed)
{
	char what[32] = "", folder[64] = "", letters[16] = "";
	unsigned number = 0;

	sscanf(deed, "%31s %63s %u %15s", what, folder, &number, letters);
	if (strcmp(what, "expunge") == 0)
		set_flags(folder, number, FLAG_DELETED, true);
	else if (strcmp(what, "flag") == 0)
		set_flags(folder, number, transcript_flags(letters), false);
	else if (strcmp(what, "deliver") == 0)
		deliver(folder);
	else if (strcmp(what, "folder") == 0)
		create_folder(folder, (enum special_use)number);
	else
		return false;
	return true;
}

static const struct transcript_world engine_world = {.begin = begin,
						     .add = add,
						     .act = act,
						     .uidvalidity = uidvalidity,
						     .chatty = true,
						     .dear = true,
						     .end = end};

static void test_transcripts(void **state)
{
	transcripts_replay(*state, &engine_world, "tests/imap/transcripts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transcripts, loop_fixture_setup,
						loop_fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
