/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deliver_and_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
