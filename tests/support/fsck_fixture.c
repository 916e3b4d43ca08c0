/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/fsck_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base/memory.h"

static WAITS void deliver(struct post *post, unsigned first, unsigned count)
{
	char text[64];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(text, sizeof(text), "Subject: %u\r\n\r\nbody %u\r\n", i, i);
		post_deliver(post, FSCK_FIXTURE_ADDRESS, text);
	}
}

/* Sets are sealed when they are old. */
static WAITS void wait_for_seal(struct post *post)
{
	struct blobs_status status = {0};

	for (unsigned i = 0; i < 10000 && status.sets_sealed == 0; i++) {
		assert_int_equal(task_sleep(1000), ERR_OK);
		blobs_get_status(engine_blobs(post->engine), &status);
	}
	assert_true(status.sets_sealed != 0);
}

static WAITS void use(struct post *post)
{
	struct mailbox *mailbox = post_login(post, FSCK_FIXTURE_ADDRESS, FSCK_FIXTURE_PASSWORD);
	struct view *view = post_view(mailbox, "INBOX");
	uint32_t first = 1;

	assert_int_equal(view_store(view, &first, 1, STORE_ADD, FLAG_SEEN, NULL, 0, true), ERR_OK);
	view_close(&view);
	mailbox_release(&mailbox);
	for (unsigned i = 0; i < 1000 && home_counters(engine_home(post->engine)).manifests == 0;
	     i++)
		assert_int_equal(task_sleep(1000), ERR_OK);
	assert_true(home_counters(engine_home(post->engine)).manifests != 0);
}

void fsck_fixture_fill(struct post *post, const struct fsck_fixture_size *size)
{
	post_format(post);
	post_open(post);
	post_add_account(post, FSCK_FIXTURE_ADDRESS, FSCK_FIXTURE_PASSWORD, true, false);
	deliver(post, 0, size->sealed);
	if (size->session)
		use(post);
	if (size->sealed != 0)
		wait_for_seal(post);
	post_close(post);
	if (size->open == 0)
		return;
	post_open(post);
	deliver(post, size->sealed, size->open);
	post_close(post);
}
