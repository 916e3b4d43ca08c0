/* SPDX-License-Identifier: MPL-2.0 */
/*
 * How UIDs are shared out: the lanes, the stock of what a home has reserved, and
 * reservations longer than a block of the UID space.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/mailbox/internal.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
/* Three reservations: each ends with its block. */
#define MANY (2 * UID_LANE_0_SIZE + 100)

static void test_lanes(void **state)
{
	struct uid_range range;
	uint32_t above = 0;

	(void)state;
	assert_int_equal(uid_lane(1), 0);
	assert_int_equal(uid_lane(UID_LANE_0_SIZE), 0);
	assert_int_equal(uid_lane(UID_LANE_0_SIZE + 1), 1);
	assert_int_equal(uid_lane(UID_SUPERBLOCK_SIZE), UID_LANES - 1);
	assert_int_equal(uid_lane(UID_SUPERBLOCK_SIZE + 1), 0);
	assert_true(uid_reserve(0, 0, 1024, &range));
	assert_int_equal(range.first, 1);
	assert_int_equal(range.last, 1024);
	/* Cut at the end of the block. */
	assert_true(uid_reserve(UID_LANE_0_SIZE - 10, 0, 1024, &range));
	assert_int_equal(range.first, UID_LANE_0_SIZE - 9);
	assert_int_equal(range.last, UID_LANE_0_SIZE);
	assert_true(uid_reserve(UID_LANE_0_SIZE, 0, 1024, &range));
	assert_int_equal(range.first, UID_SUPERBLOCK_SIZE + 1);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned lane = i % UID_LANES;

		assert_true(uid_reserve(above, lane, 1 + i % 700, &range));
		assert_true(range.first > above && range.first <= range.last);
		assert_int_equal(uid_lane(range.first), lane);
		assert_int_equal(uid_lane(range.last), lane);
		above = i % 3 ? range.last : range.first;
	}
	assert_false(uid_reserve(UINT32_MAX - 1, 0, 1, &range));
	assert_false(uid_reserve(UINT32_MAX - 1, 7, 1024, &range));
}

static void test_stock(void **state)
{
	struct uid_stock stock = {0};

	(void)state;
	assert_int_equal(uid_stock_left(&stock), 0);
	assert_int_equal(uid_stock_add(&stock, (struct uid_range){5, 6}), ERR_OK);
	assert_int_equal(uid_stock_add(&stock, (struct uid_range){9, 9}), ERR_OK);
	assert_int_equal(uid_stock_left(&stock), 3);
	assert_int_equal(uid_stock_take(&stock), 5);
	assert_int_equal(uid_stock_take(&stock), 6);
	assert_int_equal(uid_stock_add(&stock, (struct uid_range){20, 30}), ERR_OK);
	assert_int_equal(uid_stock_take(&stock), 9);
	assert_int_equal(uid_stock_take(&stock), 20);
	assert_int_equal(uid_stock_left(&stock), 10);
	uid_stock_finish(&stock);
	assert_int_equal(uid_stock_left(&stock), 0);
}

/* ---- in a mailbox ---- */

static struct mailbox *start(struct post *post)
{
	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	return post_login(post, ADDRESS, PASSWORD);
}

static void many_at_once(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox = start(post);
	struct id128 inbox = mailbox_inbox(mailbox);
	struct change *change = change_create();
	uint32_t last = post_append(mailbox, "INBOX", "one\r\n", 0);

	assert_non_null(change);
	assert_int_equal(mailbox_reserve(mailbox, inbox, MANY), ERR_OK);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t uid = mailbox_take_uid(mailbox, inbox, change);

		assert_true(uid > last);
		assert_int_equal(uid_lane(uid), 0);
		last = uid;
	}
	/* No more of the space was used than the blocks it takes. */
	assert_true(last < 3 * UID_SUPERBLOCK_SIZE);
	change_release(&change);
	assert_true(post_append(mailbox, "INBOX", "two\r\n", 0) > last);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_many_at_once(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, many_at_once);
	post_finish(&post);
}

/* ---- two mailboxes of one account ---- */

struct rival {
	struct mailbox *mailbox;
	uint32_t uid;
};

static void take_one(void *argument)
{
	struct rival *rival = argument;
	struct id128 inbox = mailbox_inbox(rival->mailbox);
	struct change *change = change_create();

	assert_non_null(change);
	if (mailbox_reserve(rival->mailbox, inbox, 1) == ERR_OK)
		rival->uid = mailbox_take_uid(rival->mailbox, inbox, change);
	change_release(&change);
}

/* One that was retired goes on until its sessions end; the next login makes another. */
static void retired_beside_new(void *argument)
{
	struct post *post = argument;
	struct rival rivals[2] = {{.mailbox = start(post)}};

	rivals[0].mailbox->retired = true;
	rivals[1].mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_ptr_not_equal(rivals[0].mailbox, rivals[1].mailbox);
	for (size_t i = 0; i < 2; i++) {
		rivals[i].mailbox->promised = false;
		assert_int_equal(
			mailbox_reserved(rivals[i].mailbox, mailbox_inbox(rivals[i].mailbox)), 0);
		assert_int_equal(task_spawn(task_sched(), "rival", take_one, &rivals[i], NULL),
				 ERR_OK);
	}
	for (unsigned i = 0; i < 20000 && sched_task_count(task_sched()) > 1; i++)
		assert_int_equal(task_sleep(1), ERR_OK);
	assert_true(rivals[0].uid != 0 || rivals[1].uid != 0);
	assert_int_not_equal(rivals[0].uid, rivals[1].uid);
	for (size_t i = 0; i < 2; i++)
		mailbox_release(&rivals[i].mailbox);
	post_close(post);
}

static void test_retired_beside_new(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, retired_beside_new);
	post_finish(&post);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_stock),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_retired_beside_new),
	};

	return cmocka_run_group_tests_name("mailbox/uid", tests, NULL, NULL);
}
