/* SPDX-License-Identifier: MPL-2.0 */
/* Folders and their names, over a whole store: what a client that knows them by name may rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/mailbox/internal.h"
#include "tests/sim/random.h"
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

static void restart(struct post *post, struct mailbox **mailbox)
{
	mailbox_release(mailbox);
	post_close(post);
	post_open(post);
	*mailbox = post_login(post, ADDRESS, PASSWORD);
}

static enum err make(struct mailbox *mailbox, const char *name)
{
	return mailbox_create_folder(mailbox, bytes_string(name), SPECIAL_NONE);
}

static enum err drop(struct mailbox *mailbox, const char *name)
{
	return mailbox_delete_folder(mailbox, bytes_string(name));
}

static enum err rename_to(struct mailbox *mailbox, const char *from, const char *to)
{
	return mailbox_rename_folder(mailbox, bytes_string(from), bytes_string(to));
}

static uint32_t uidvalidity_of(struct mailbox *mailbox, const char *name)
{
	struct folder_info info;

	assert_int_equal(mailbox_folder(mailbox, bytes_string(name), &info), ERR_OK);
	assert_true(info.exists);
	return info.uidvalidity;
}

/* ---- UIDVALIDITY ---- */

static void first_folders(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	const struct folder_info *folders;
	size_t count;
	uint32_t sent, trash;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(mailbox_folders(mailbox, &folders, &count), ERR_OK);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(folders[i].uidvalidity, folders[j].uidvalidity);
	/* Another message under UID 1 of the same name: with another UIDVALIDITY, a higher one. */
	sent = uidvalidity_of(mailbox, "Sent");
	assert_int_equal(post_append(mailbox, "Sent", "one\r\n", 0), 1);
	assert_int_equal(post_append(mailbox, "Drafts", "two\r\n", 0), 1);
	assert_int_equal(drop(mailbox, "Sent"), ERR_OK);
	assert_true(uidvalidity_of(mailbox, "Drafts") < sent);
	assert_int_equal(rename_to(mailbox, "Drafts", "Sent"), ERR_OK);
	assert_true(uidvalidity_of(mailbox, "Sent") > sent);
	/* To a name that nothing had before, and back: its own UIDs hold. */
	trash = uidvalidity_of(mailbox, "Trash");
	assert_int_equal(rename_to(mailbox, "Trash", "Bin"), ERR_OK);
	assert_int_equal(uidvalidity_of(mailbox, "Bin"), trash);
	assert_int_equal(rename_to(mailbox, "Bin", "Trash"), ERR_OK);
	assert_int_equal(uidvalidity_of(mailbox, "Trash"), trash);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_first_folders(void **state)
{
	(void)state;
	run(first_folders);
}

static const char *const names[] = {"a", "b", "a/b", "b/a", "Sent", "Trash"};
#define NAMES (sizeof(names) / sizeof(names[0]))

/* What a client may remember of each name. */
struct remembered {
	struct id128 folder;
	uint32_t uidvalidity;
};

static void remember(struct mailbox *mailbox, struct remembered ledger[NAMES])
{
	for (size_t i = 0; i < NAMES; i++) {
		struct folder_info info;

		if (mailbox_folder(mailbox, bytes_string(names[i]), &info) || !info.exists)
			continue;
		if (!id128_equal(info.id, ledger[i].folder))
			assert_true(info.uidvalidity > ledger[i].uidvalidity);
		else
			assert_true(info.uidvalidity >= ledger[i].uidvalidity);
		ledger[i] = (struct remembered){info.id, info.uidvalidity};
	}
}

static void change_one(struct mailbox *mailbox, struct sim_random *random)
{
	const char *name = names[sim_random_below(random, NAMES)];
	const char *to = names[sim_random_below(random, NAMES)];
	uint64_t what = sim_random_below(random, 4);
	enum err err = what == 0   ? make(mailbox, name)
		       : what == 1 ? drop(mailbox, name)
				   : rename_to(mailbox, name, to);

	assert_true(err == ERR_OK || err == ERR_EXISTS || err == ERR_NOTFOUND ||
		    err == ERR_INVALID);
}

static void names_and_clocks(void *argument)
{
	struct post *post = argument;
	struct sim_random random;
	struct remembered ledger[NAMES] = {{.uidvalidity = 0}};
	struct mailbox *mailbox;

	sim_random_init(&random, 7, 1);
	post->snapshot_entries = 20;
	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	for (unsigned i = 0; i < 600; i++) {
		change_one(mailbox, &random);
		remember(mailbox, ledger);
		if (sim_random_below(&random, 10) == 0)
			sim_jump_clock(post->sim->nodes[0],
				       (int64_t)sim_random_below(&random, 7200000) - 3600000);
		if (i % 60 == 59)
			restart(post, &mailbox);
		remember(mailbox, ledger);
	}
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_names_and_clocks(void **state)
{
	(void)state;
	run(names_and_clocks);
}

static void far_clock(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	uint32_t before;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(make(mailbox, "a"), ERR_OK);
	before = uidvalidity_of(mailbox, "a");
	/* A thousand years on: the numbers are not used up, and do not begin again. */
	sim_jump_clock(post->sim->nodes[0], (int64_t)1000 * 365 * 24 * 3600 * 1000);
	assert_int_equal(drop(mailbox, "a"), ERR_OK);
	assert_int_equal(make(mailbox, "a"), ERR_OK);
	assert_int_equal(uidvalidity_of(mailbox, "a"), before + 1);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_far_clock(void **state)
{
	(void)state;
	run(far_clock);
}

/* ---- two sessions at once ---- */

struct making {
	struct mailbox *mailbox;
	struct group *group;
	const char *name;
	enum err err;
};

static void make_in_task(void *argument)
{
	struct making *making = argument;

	making->err = make(making->mailbox, making->name);
	group_leave(making->group);
}

static void make_both(struct mailbox *mailbox, struct making *first, struct making *second)
{
	struct group group = {0};
	struct making *both[] = {first, second};

	for (size_t i = 0; i < 2; i++) {
		both[i]->mailbox = mailbox;
		both[i]->group = &group;
		group_enter(&group);
		assert_int_equal(task_spawn(task_sched(), "make", make_in_task, both[i], NULL),
				 ERR_OK);
	}
	group_wait(&group);
}

static void at_once(void *argument)
{
	struct post *post = argument;
	struct making first = {.name = "a/x"}, second = {.name = "a/x"};
	const struct folder_info *folders;
	size_t count;
	struct mailbox *mailbox;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	make_both(mailbox, &first, &second);
	assert_int_equal(first.err, ERR_OK);
	assert_int_equal(second.err, ERR_EXISTS);
	first.name = "b";
	second.name = "c";
	make_both(mailbox, &first, &second);
	assert_int_equal(first.err, ERR_OK);
	assert_int_equal(second.err, ERR_OK);
	assert_int_not_equal(uidvalidity_of(mailbox, "b"), uidvalidity_of(mailbox, "c"));
	assert_int_equal(mailbox_folders(mailbox, &folders, &count), ERR_OK);
	assert_int_equal(count, 6 + 4);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_at_once(void **state)
{
	(void)state;
	run(at_once);
}

/* ---- a rename that others are in the way of ---- */

static void rename_onto_others(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(make(mailbox, "A/x"), ERR_OK);
	assert_int_equal(make(mailbox, "B/x"), ERR_OK);
	assert_int_equal(drop(mailbox, "B"), ERR_OK);
	assert_int_equal(rename_to(mailbox, "A", "B"), ERR_EXISTS);
	/* All or nothing. */
	assert_int_not_equal(uidvalidity_of(mailbox, "A"), 0);
	assert_int_not_equal(uidvalidity_of(mailbox, "A/x"), uidvalidity_of(mailbox, "B/x"));
	assert_int_equal(drop(mailbox, "B/x"), ERR_OK);
	assert_int_equal(rename_to(mailbox, "A", "B"), ERR_OK);
	assert_int_not_equal(uidvalidity_of(mailbox, "B/x"), 0);
	/* A name that one of those moved has is free. */
	assert_int_equal(make(mailbox, "C/d/d"), ERR_OK);
	assert_int_equal(drop(mailbox, "C"), ERR_OK);
	assert_int_equal(rename_to(mailbox, "C/d", "C"), ERR_OK);
	assert_int_not_equal(uidvalidity_of(mailbox, "C"), 0);
	assert_int_not_equal(uidvalidity_of(mailbox, "C/d"), 0);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_rename_onto_others(void **state)
{
	(void)state;
	run(rename_onto_others);
}

/* ---- the list ---- */

static void order(void *argument)
{
	static const char *const made[] = {"Work",     "Work 2020/x", "Work-b",
					   "Work/a/b", "INBOX/z",     "Aa"};
	static const char *const expected[] = {
		"INBOX", "INBOX/z", "Aa",     "Archive",  "Drafts",    "Junk",	      "Sent",
		"Trash", "Work",    "Work/a", "Work/a/b", "Work 2020", "Work 2020/x", "Work-b"};
	struct post *post = argument;
	struct folder_list *list, *before;
	struct mailbox *mailbox;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(mailbox_folder_list(mailbox, &before), ERR_OK);
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		assert_int_equal(make(mailbox, made[i]), ERR_OK);
	/* Parents, one of them gone: each is there once. */
	assert_int_equal(drop(mailbox, "Work/a"), ERR_OK);
	assert_int_equal(drop(mailbox, "Work"), ERR_OK);
	assert_int_equal(mailbox_folder_list(mailbox, &list), ERR_OK);
	assert_int_equal(list->count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < list->count; i++) {
		struct folder_info info;

		assert_string_equal(list->items[i].name, expected[i]);
		assert_int_equal(mailbox_folder(mailbox, bytes_string(expected[i]), &info), ERR_OK);
		assert_int_equal(info.exists, list->items[i].exists);
	}
	assert_false(list->items[8].exists);
	assert_true(list->items[8].has_children);
	/* A list that is held stays as it was, whatever becomes of the mailbox. */
	mailbox_release(&mailbox);
	post_close(post);
	assert_int_equal(before->count, 6);
	assert_string_equal(before->items[5].name, "Trash");
	folder_list_release(&before);
	assert_string_equal(list->items[13].name, "Work-b");
	folder_list_release(&list);
}

static void test_order(void **state)
{
	(void)state;
	run(order);
}

static void put_levels(char *name, unsigned first, unsigned levels)
{
	size_t size = (size_t)snprintf(name, 16, "n%u", first);

	for (unsigned i = 1; i < levels; i++) {
		memcpy(name + size, "/a", 2);
		size += 2;
	}
	name[size] = '\0';
}

static void limits(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	const struct folder_info *folders;
	char name[256];
	size_t count;
	enum err err = ERR_OK;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	put_levels(name, 0, LEVELS_MAX + 1);
	assert_int_equal(make(mailbox, name), ERR_LIMIT);
	assert_int_equal(rename_to(mailbox, "Sent", name), ERR_LIMIT);
	assert_int_equal(mailbox_subscribe(mailbox, bytes_string(name), true), ERR_LIMIT);
	/* Parents that were deleted are names all the same. */
	for (unsigned i = 0; !err; i++) {
		put_levels(name, i, LEVELS_MAX);
		err = make(mailbox, name);
		if (!err && i % 16 == 0) {
			put_levels(name, i, LEVELS_MAX - 1);
			assert_int_equal(drop(mailbox, name), ERR_OK);
		}
		assert_true(i <= FOLDER_NAMES_MAX / LEVELS_MAX);
	}
	assert_int_equal(err, ERR_LIMIT);
	assert_int_equal(mailbox_folders(mailbox, &folders, &count), ERR_OK);
	assert_true(count <= FOLDER_NAMES_MAX && count > FOLDER_NAMES_MAX - 2 * LEVELS_MAX);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_limits(void **state)
{
	(void)state;
	run(limits);
}

static void subscriptions(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	char name[32];
	enum err err = ERR_OK;
	unsigned made = 0;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	while (!err) {
		snprintf(name, sizeof(name), "s%u", made);
		err = mailbox_subscribe(mailbox, bytes_string(name), true);
		if (!err && made % 2 == 0)
			err = mailbox_subscribe(mailbox, bytes_string(name), false);
		made += !err;
		assert_true(made <= SUBSCRIPTIONS_MAX);
	}
	/* The first folders are subscribed, too. */
	assert_int_equal(err, ERR_LIMIT);
	assert_int_equal(made, SUBSCRIPTIONS_MAX - 6);
	/* What is known goes on. */
	assert_int_equal(mailbox_subscribe(mailbox, bytes_string("s0"), true), ERR_OK);
	assert_int_equal(mailbox_subscribe(mailbox, bytes_string("s1"), false), ERR_OK);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_subscriptions(void **state)
{
	(void)state;
	run(subscriptions);
}

/* ---- more runs of UIDs than an operation holds ---- */

#define DOUBLINGS 17u

static WAITS void fill(struct mailbox *mailbox)
{
	struct view *view;

	post_append(mailbox, "INBOX", "one\r\n", 0);
	view = post_view(mailbox, "INBOX");
	for (unsigned i = 0; i <= DOUBLINGS; i++) {
		uint32_t *all = memory_array(view_count(view), sizeof(*all));
		struct copy_result copied;

		assert_non_null(all);
		for (uint32_t j = 0; j < view_count(view); j++)
			all[j] = j + 1;
		/* Two more than a power of two, at last. */
		assert_int_equal(view_copy(view, all, i < DOUBLINGS ? view_count(view) : 4,
					   bytes_string("INBOX"), false, &copied),
				 ERR_OK);
		memory_free(copied.from_uids);
		memory_free(copied.to_uids);
		memory_free(all);
		view_close(&view);
		view = post_view(mailbox, "INBOX");
	}
	view_close(&view);
}

static void many_runs(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	uint32_t *every_other;
	size_t count, expunged;

	start(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	fill(mailbox);
	view = post_view(mailbox, "INBOX");
	count = view_count(view) / 2;
	assert_true(count > RUNS_MAX);
	every_other = memory_array(count, sizeof(*every_other));
	assert_non_null(every_other);
	for (size_t i = 0; i < count; i++)
		every_other[i] = 2 * (uint32_t)i + 1;
	assert_int_equal(
		view_store(view, every_other, count, STORE_ADD, FLAG_DELETED, NULL, 0, true),
		ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	assert_int_equal(expunged, count);
	view_close(&view);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), count);
	memory_free(every_other);
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_many_runs(void **state)
{
	(void)state;
	run(many_runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_folders),
		cmocka_unit_test(test_names_and_clocks),
		cmocka_unit_test(test_far_clock),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_rename_onto_others),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_subscriptions),
		cmocka_unit_test(test_many_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
