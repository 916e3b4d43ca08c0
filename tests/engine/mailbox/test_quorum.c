/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What becomes of an append that has no quorum, or not yet: what sessions are
 * shown of it, and what the home does before it goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/journal/store.h"
#include "engine/mailbox/internal.h"
#include "tests/sim/plant.h"
#include "tests/support/cut.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
#define SHELF "Shelf"

struct scene {
	struct cut cut;
	struct mailbox *mailbox;
	struct view *view;
	struct group tasks;
	enum err err;
	bool wrong; /* where that is what a planted bug does */
};

static struct scene *scene_of(struct post *post)
{
	return post->context;
}

static bool goes_wrong(void (*run)(void *post))
{
	struct scene scene = {.wrong = false};
	struct post post;

	post_init(&post);
	post.context = &scene;
	post_run(&post, run);
	post_finish(&post);
	return scene.wrong;
}

/* Two messages in INBOX, an empty folder, and a session. */
static WAITS void begin(struct post *post)
{
	struct scene *scene = scene_of(post);

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	scene->mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(mailbox_create_folder(scene->mailbox, bytes_string(SHELF), SPECIAL_NONE),
			 ERR_OK);
	post_append(scene->mailbox, "INBOX", "one\r\n", 0);
	post_append(scene->mailbox, "INBOX", "two\r\n", 0);
	scene->view = post_view(scene->mailbox, "INBOX");
	cut_init(&scene->cut, engine_journal(post->engine));
}

static WAITS void leave(struct post *post)
{
	struct scene *scene = scene_of(post);

	view_close(&scene->view);
	mailbox_release(&scene->mailbox);
	cut_finish(&scene->cut);
	post_close(post);
}

static uint8_t flags_of(struct view *view, uint32_t sequence)
{
	struct message message;

	assert_int_equal(view_message(view, sequence, &message), ERR_OK);
	return message.flags.system;
}

static WAITS uint32_t count_in(struct mailbox *mailbox, const char *folder)
{
	struct view *view = post_view(mailbox, folder);
	uint32_t count = view_count(view);

	view_close(&view);
	return count;
}

static WAITS enum err move_first(struct view *view)
{
	struct copy_result result = {0};
	uint32_t sequence = 1;
	enum err err = view_copy(view, &sequence, 1, bytes_string(SHELF), true, &result);

	memory_free(result.from_uids);
	memory_free(result.to_uids);
	return err;
}

/* ---- under way ---- */

static void flag_first(void *argument)
{
	struct scene *scene = argument;
	uint32_t sequence = 1;

	scene->err = view_store(scene->view, &sequence, 1, STORE_ADD, FLAG_FLAGGED, NULL, 0, false);
	group_leave(&scene->tasks);
}

static void look_while_it_is_under_way(void *argument)
{
	struct post *post = argument;
	struct scene *scene = scene_of(post);

	begin(post);
	cut_all_but(&scene->cut, 0, CUT_MUTE);
	group_enter(&scene->tasks);
	assert_int_equal(task_spawn(task_sched(), "flag", flag_first, scene, NULL), ERR_OK);
	assert_int_equal(task_sleep(1000), ERR_OK);
	assert_int_equal(mailbox_catch_up(scene->mailbox, NULL), ERR_OK);
	scene->wrong = flags_of(scene->view, 1) != 0;
	cut_only(&scene->cut, 0, CUT_NOT);
	group_wait(&scene->tasks);
	assert_int_equal(scene->err, ERR_OK);
	assert_int_equal(flags_of(scene->view, 1), FLAG_FLAGGED);
	leave(post);
}

static void test_what_is_under_way_is_not_shown(void **state)
{
	(void)state;
	assert_false(goes_wrong(look_while_it_is_under_way));
	plant_set(PLANT_minority_shown, true);
	assert_true(goes_wrong(look_while_it_is_under_way));
	plant_reset();
}

/* ---- failed, and its writer gone ---- */

static WAITS struct mailbox *login_at(struct home *home)
{
	struct mailbox *mailbox = NULL;

	assert_int_equal(home_login(home, bytes_string(ADDRESS), bytes_string(PASSWORD),
				    "198.51.100.1", &mailbox),
			 ERR_OK);
	return mailbox;
}

/* A home that starts and ends: what its sessions see on the shelf. */
static WAITS uint32_t shelved_for_a_new_home(struct post *post)
{
	struct home *home = NULL;
	struct mailbox *mailbox;
	uint32_t count;

	assert_int_equal(home_create(&engine_home(post->engine)->options, &home), ERR_OK);
	mailbox = login_at(home);
	count = count_in(mailbox, SHELF);
	assert_int_equal(count + count_in(mailbox, "INBOX"), 2);
	mailbox_release(&mailbox);
	home_destroy(&home);
	return count;
}

/* A home tries to move a message, reaches one volume with it, and ends. */
static WAITS void move_in_vain(struct post *post)
{
	struct scene *scene = scene_of(post);
	struct home *home = NULL;
	struct mailbox *mailbox;
	struct view *view;

	assert_int_equal(home_create(&engine_home(post->engine)->options, &home), ERR_OK);
	mailbox = login_at(home);
	view = post_view(mailbox, "INBOX");
	/* It has promised, and reserved. */
	assert_int_equal(move_first(view), ERR_OK);
	view_close(&view);
	view = post_view(mailbox, "INBOX");
	cut_all_but(&scene->cut, 0, CUT_MUTE);
	assert_int_equal(move_first(view), ERR_UNAVAILABLE);
	view_close(&view);
	assert_int_equal(count_in(mailbox, SHELF), plant_is_on(PLANT_minority_shown) ? 2 : 1);
	mailbox_release(&mailbox);
	home_destroy(&home);
}

static void show_what_failed(void *argument)
{
	struct post *post = argument;
	struct scene *scene = scene_of(post);
	uint32_t shown;

	begin(post);
	move_in_vain(post);
	/* The one that has it is away: nobody knows of it. */
	cut_only(&scene->cut, 0, CUT_SILENT);
	assert_int_equal(shelved_for_a_new_home(post), 1);
	/* It is back, and others take what is written back. */
	cut_only(&scene->cut, 0, CUT_NOT);
	shown = shelved_for_a_new_home(post);
	assert_int_equal(shown, 2);
	/* Gone again, before anything was resynced: what was shown stays. */
	cut_only(&scene->cut, 0, CUT_SILENT);
	scene->wrong = shelved_for_a_new_home(post) != shown;
	cut_only(&scene->cut, 0, CUT_NOT);
	leave(post);
}

static void test_what_failed_stays_once_it_was_shown(void **state)
{
	(void)state;
	assert_false(goes_wrong(show_what_failed));
	plant_set(PLANT_minority_shown, true);
	assert_true(goes_wrong(show_what_failed));
	plant_reset();
}

/* What cannot be written back keeps a new home from starting, rather than showing less. */
static void refuse_to_start(void *argument)
{
	struct post *post = argument;
	struct scene *scene = scene_of(post);
	struct home *home = NULL;
	struct mailbox *mailbox = NULL;

	begin(post);
	move_in_vain(post);
	assert_int_equal(home_create(&engine_home(post->engine)->options, &home), ERR_OK);
	cut_all_but(&scene->cut, 0, CUT_MUTE);
	assert_int_equal(home_login(home, bytes_string(ADDRESS), bytes_string(PASSWORD),
				    "198.51.100.1", &mailbox),
			 ERR_UNAVAILABLE);
	cut_only(&scene->cut, 0, CUT_NOT);
	mailbox = login_at(home);
	assert_int_equal(count_in(mailbox, SHELF), 2);
	mailbox_release(&mailbox);
	home_destroy(&home);
	leave(post);
}

static void test_what_cannot_be_written_back_is_not_left_out(void **state)
{
	(void)state;
	assert_false(goes_wrong(refuse_to_start));
}

/* ---- failed, and the same session goes on ---- */

static WAITS enum err expunge_first(struct view *view, size_t *expunged)
{
	uint32_t sequence = 1;
	enum err err = view_store(view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, false);

	*expunged = 0;
	return err ? err : view_expunge(view, &sequence, 1, expunged);
}

static void expunge_after_a_failed_move(void *argument)
{
	struct post *post = argument;
	struct scene *scene = scene_of(post);
	struct folder_info shelf;
	size_t expunged;
	uint32_t left;

	begin(post);
	/* So that moving is the one entry that fails. */
	assert_int_equal(mailbox_folder(scene->mailbox, bytes_string(SHELF), &shelf), ERR_OK);
	assert_int_equal(mailbox_reserve(scene->mailbox, shelf.id, 1), ERR_OK);
	cut_all_but(&scene->cut, 0, CUT_MUTE);
	assert_int_equal(move_first(scene->view), ERR_UNAVAILABLE);
	/* As long as nobody knows what came of it nothing else is done. */
	if (!plant_is_on(PLANT_failure_left_open))
		assert_int_equal(expunge_first(scene->view, &expunged), ERR_UNAVAILABLE);
	/* The only one that has it falls silent; the others would do. */
	cut_only(&scene->cut, 0, CUT_SILENT);
	assert_int_equal(expunge_first(scene->view, &expunged), ERR_OK);
	left = count_in(scene->mailbox, "INBOX") + count_in(scene->mailbox, SHELF);
	assert_int_equal(left, 2 - expunged);
	/* It is back, and the replicas become equal: whatever was sent anywhere has arrived. */
	cut_only(&scene->cut, 0, CUT_NOT);
	assert_int_equal(journal_resync(engine_journal(post->engine)), ERR_OK);
	view_close(&scene->view);
	mailbox_release(&scene->mailbox);
	home_flush_cache(engine_home(post->engine));
	scene->mailbox = post_login(post, ADDRESS, PASSWORD);
	scene->wrong = count_in(scene->mailbox, "INBOX") + count_in(scene->mailbox, SHELF) != left;
	leave(post);
}

static void test_a_failed_move_comes_before_what_follows(void **state)
{
	(void)state;
	assert_false(goes_wrong(expunge_after_a_failed_move));
	plant_set(PLANT_failure_left_open, true);
	assert_true(goes_wrong(expunge_after_a_failed_move));
	plant_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_under_way_is_not_shown),
		cmocka_unit_test(test_what_failed_stays_once_it_was_shown),
		cmocka_unit_test(test_what_cannot_be_written_back_is_not_left_out),
		cmocka_unit_test(test_a_failed_move_comes_before_what_follows),
	};

	return cmocka_run_group_tests_name("mailbox/quorum", tests, NULL, NULL);
}
