/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Two homes of one account over the same volumes, in turns and at once, as if
 * a front had sent sessions to both: each takes the account over from the other
 * with its next write. No UID names two messages, nothing acknowledged is lost,
 * and both show the same in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mailbox/internal.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
#define OTHER_NODE ((struct id128){{4, 5, 7}})
#define HOMES 2u
#define ROUNDS 12u
#define NAMED_MAX (2 * UID_RESERVATION * (HOMES * ROUNDS + 2))

struct rivals {
	struct home *homes[HOMES];
	struct id128 named[NAMED_MAX]; /* by UID: the message it named first */
	unsigned acknowledged, taken_over;
	struct group tasks;
	bool reused;
};

struct rival {
	struct rivals *rivals;
	struct home *home;
};

static void tell(struct rivals *rivals, uint32_t uid, struct id128 message)
{
	assert_true(uid && uid < NAMED_MAX);
	if (id128_is_zero(rivals->named[uid]))
		rivals->named[uid] = message;
	rivals->reused |= !id128_equal(rivals->named[uid], message);
}

static void tell_all(struct rivals *rivals, struct view *view)
{
	for (uint32_t i = 1; i <= view_count(view); i++) {
		struct message message;

		if (view_message(view, i, &message) == ERR_OK)
			tell(rivals, message.uid, message.email_id);
	}
}

static WAITS enum err login(struct home *home, struct mailbox **out)
{
	return home_login(home, bytes_string(ADDRESS), bytes_string(PASSWORD), "198.51.100.1", out);
}

static WAITS enum err append(struct mailbox *mailbox)
{
	struct appending *appending = NULL;
	uint32_t uidvalidity, uid;
	enum err err = append_begin(mailbox, bytes_string("INBOX"), &appending);

	if (!err)
		err = append_write(appending, bytes_string("text\r\n"));
	if (!err)
		err = append_finish(appending, 0, NULL, 0, 0, 0, &uidvalidity, &uid);
	append_end(&appending);
	return err;
}

/* Logs in, writes, looks. What the other one took over meanwhile is tried again. */
static WAITS void visit(struct rivals *rivals, struct home *home)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned i = 0; err == ERR_UNAVAILABLE && i < 20; i++) {
		struct mailbox *mailbox = NULL;
		struct folder_info inbox;
		struct view *view = NULL;

		err = login(home, &mailbox);
		if (!err)
			err = append(mailbox);
		rivals->acknowledged += !err;
		rivals->taken_over += err == ERR_UNAVAILABLE;
		if (mailbox && !mailbox_folder(mailbox, bytes_string("INBOX"), &inbox) &&
		    !view_open(mailbox, inbox.id, false, &view))
			tell_all(rivals, view);
		if (view)
			view_close(&view);
		if (mailbox)
			mailbox_release(&mailbox);
	}
	assert_int_equal(err, ERR_OK);
}

static WAITS void begin(struct post *post, struct rivals *rivals)
{
	struct home_options options;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	options = engine_home(post->engine)->options;
	for (size_t i = 0; i < HOMES; i++) {
		assert_int_equal(home_create(&options, &rivals->homes[i]), ERR_OK);
		options.node = OTHER_NODE;
	}
}

/* Each shows all that was acknowledged, under the same UIDs; so does a home that starts. */
static WAITS void end(struct post *post, struct rivals *rivals)
{
	for (size_t i = 0; i < HOMES; i++)
		home_destroy(&rivals->homes[i]);
	for (unsigned i = 0; i < 2; i++) {
		struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
		struct view *view = post_view(mailbox, "INBOX");

		/* An append that failed may be there, once. */
		assert_true(view_count(view) >= rivals->acknowledged);
		assert_true(view_count(view) <= rivals->acknowledged + rivals->taken_over);
		tell_all(rivals, view);
		view_close(&view);
		mailbox_release(&mailbox);
		home_flush_cache(engine_home(post->engine));
	}
	post_close(post);
}

static void in_turns(void *argument)
{
	struct post *post = argument;
	struct rivals *rivals = post->context;

	begin(post, rivals);
	for (unsigned i = 0; i < ROUNDS; i++)
		visit(rivals, rivals->homes[i % HOMES]);
	end(post, rivals);
}

static void compete(void *argument)
{
	struct rival *rival = argument;

	for (unsigned i = 0; i < ROUNDS; i++)
		visit(rival->rivals, rival->home);
	group_leave(&rival->rivals->tasks);
}

static void at_once(void *argument)
{
	struct post *post = argument;
	struct rivals *rivals = post->context;
	struct rival rival[HOMES];

	begin(post, rivals);
	for (size_t i = 0; i < HOMES; i++) {
		rival[i] = (struct rival){rivals, rivals->homes[i]};
		group_enter(&rivals->tasks);
		assert_int_equal(task_spawn(task_sched(), "rival", compete, &rival[i], NULL),
				 ERR_OK);
	}
	group_wait(&rivals->tasks);
	end(post, rivals);
}

static bool reuses_uids(void (*run)(void *post), unsigned acknowledged)
{
	static struct rivals rivals;
	struct post post;

	rivals = (struct rivals){.acknowledged = 0};
	post_init(&post);
	post.context = &rivals;
	post_run(&post, run);
	post_finish(&post);
	assert_int_equal(rivals.acknowledged, acknowledged);
	return rivals.reused;
}

static void test_homes_in_turns(void **state)
{
	(void)state;
	assert_false(reuses_uids(in_turns, ROUNDS));
}

static void test_homes_at_once(void **state)
{
	(void)state;
	assert_false(reuses_uids(at_once, HOMES * ROUNDS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_homes_in_turns),
		cmocka_unit_test(test_homes_at_once),
	};

	return cmocka_run_group_tests_name("mailbox/homes", tests, NULL, NULL);
}
