/* SPDX-License-Identifier: MPL-2.0 */
/* Summaries that wait to be packed: whose, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mailbox/internal.h"
#include "tests/sim/plant.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
/* More than may wait without a snapshot. */
#define LARGE (3u << 20)
#define APPENDS 5u

struct scene {
	uint64_t manifests;
	bool kept; /* of the message that was expunged */
};

/* As if the message had come with so long a summary. */
static struct id128 lengthen(struct mailbox *mailbox, struct view *view, uint32_t sequence,
			     size_t size)
{
	struct message message;
	struct buf summary = {0};

	assert_int_equal(view_message(view, sequence, &message), ERR_OK);
	assert_non_null(buf_extend(&summary, size));
	memset(summary.data, 'x', size);
	summaries_drop_waiting(mailbox->summaries, message.email_id);
	assert_int_equal(
		summaries_put(mailbox->summaries, message.email_id, bytes_of_buf(&summary)),
		ERR_OK);
	buf_finish(&summary);
	return message.email_id;
}

static void expunge_before_packing(void *argument)
{
	struct post *post = argument;
	struct scene *scene = post->context;
	struct mailbox *mailbox;
	struct view *view;
	struct id128 gone, kept;
	uint32_t sequence = 1;
	size_t expunged;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", 0);
	post_append(mailbox, "INBOX", "two\r\n", 0);
	view = post_view(mailbox, "INBOX");
	kept = lengthen(mailbox, view, 2, 100);
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	gone = lengthen(mailbox, view, 1, LARGE);
	assert_int_equal(view_expunge(view, &sequence, 1, &expunged), ERR_OK);
	assert_int_equal(expunged, 1);
	for (unsigned i = 0; i < APPENDS; i++) {
		post_append(mailbox, "Sent", "text\r\n", 0);
		assert_int_equal(task_sleep(1000), ERR_OK);
	}
	scene->manifests = home_counters(engine_home(post->engine)).manifests;
	scene->kept = summaries_waiting(mailbox->summaries, gone).size != 0;
	/* That of the other one went into a block. */
	assert_int_equal(summaries_waiting(mailbox->summaries, kept).size, 0);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static struct scene run(void)
{
	struct scene scene = {.manifests = 0};
	struct post post;

	post_init(&post);
	post.context = &scene;
	post_run(&post, expunge_before_packing);
	post_finish(&post);
	return scene;
}

static void test_what_is_expunged_does_not_wait(void **state)
{
	struct scene scene = run();

	(void)state;
	assert_int_equal(scene.manifests, 1);
	assert_false(scene.kept);
	plant_set(PLANT_orphans_wait, true);
	scene = run();
	assert_true(scene.manifests >= APPENDS);
	assert_true(scene.kept);
	plant_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_expunged_does_not_wait),
	};

	return cmocka_run_group_tests_name("mailbox/summaries", tests, NULL, NULL);
}
