/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A real home meets what another one wrote beside it, and mends before it shows
 * anything; a COPY of more than an entry holds. The power fails at every step
 * of both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/mailbox/internal.h"
#include "tests/sim/plant.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
#define OTHER_NODE ((struct id128){{4, 5, 7}})
#define MESSAGES_MAX 8u
/* More than two entries hold. */
#define DOUBLINGS 11u
#define COPIED (1u << DOUBLINGS)

/* ---- a home elsewhere ---- */

/* What it knew of the account when it lost sight of the others. */
struct stranger {
	struct journal_writer *writer;
	struct key *directory;
	struct id128 account, stream, inbox;
	struct vector seen;
	struct operation_add model; /* a message that it can copy */
	uint64_t epoch;		    /* 0: it is never fenced */
	bool told;		    /* its first entry says what it has seen */
	struct buf operations;
};

/* What the test remembers across restarts. */
struct scene {
	struct stranger stranger;
	struct id128 emails[MESSAGES_MAX];
	uint64_t modseq;
	uint64_t cut;	 /* step of the work at which the power fails; 0: never */
	unsigned logins; /* homes that mended, or found nothing to mend */
	bool acknowledged;
	bool in_parts; /* where that is what a planted bug does */
};

static struct scene *scene_of(struct post *post)
{
	return post->context;
}

static enum err seal(void *context, const struct entry_place *place, struct buf *payload)
{
	struct stranger *stranger = context;
	struct operation_head head = {.clock = 1ull << 50,
				      .context = stranger->told ? NULL : &stranger->seen,
				      .node = OTHER_NODE,
				      .mended = true};
	struct buf plain = {0}, use = {0}, associated = {0};
	enum err err;

	memcpy(head.previous, place->previous, sizeof(head.previous));
	operation_head_encode(&head, &plain);
	buf_put_bytes(&plain, bytes_of_buf(&stranger->operations));
	buf_put_id(&use, place->incarnation);
	buf_put_u64(&use, place->seq);
	operation_place_encode(stranger->account, place->stream, place->incarnation, place->seq,
			       stranger->epoch, 0, NULL, 0, &associated);
	buf_put_u8(payload, PAYLOAD_OPERATIONS);
	err = payload_seal(stranger->directory, LABEL_OPERATION, bytes_of_buf(&use),
			   bytes_of_buf(&associated), bytes_of_buf(&plain), payload);
	stranger->told = true;
	buf_finish(&plain);
	buf_finish(&use);
	buf_finish(&associated);
	return err;
}

static WAITS enum err stranger_tries(struct stranger *stranger)
{
	struct journal_append append = {
		.stream = stranger->stream,
		.kind = ENTRY_OPERATION,
		.epoch = stranger->epoch,
		.seal = seal,
		.context = stranger,
	};
	enum err err = journal_append(stranger->writer, &append);

	buf_clear(&stranger->operations);
	return err;
}

static WAITS void stranger_says(struct stranger *stranger)
{
	assert_int_equal(stranger_tries(stranger), ERR_OK);
}

/* It sees what is there now, and nothing that comes later. */
static void stranger_begins(struct mailbox *mailbox, struct stranger *stranger)
{
	const struct folder *inbox = account_state_folder(&mailbox->state, mailbox_inbox(mailbox));
	const struct message_state *message = collection_at(&inbox->messages, 0);

	*stranger = (struct stranger){.directory = key_reference(mailbox->keys.directory),
				      .account = mailbox->account,
				      .stream = mailbox->stream,
				      .inbox = inbox->id};
	stranger->model = (struct operation_add){
		.epoch = message->epoch, .size = message->size, .arrival_ms = message->arrival_ms};
	collection_blob(&inbox->messages, inbox->messages.order[0], &stranger->model.blob);
	memcpy(stranger->model.wrapped_key, message->wrapped_key, WRAPPED_KEY_SIZE);
	assert_int_equal(vector_copy(&mailbox->state.applied, &stranger->seen), ERR_OK);
}

static void stranger_ends(struct stranger *stranger)
{
	key_release(&stranger->directory);
	vector_finish(&stranger->seen);
	buf_finish(&stranger->operations);
}

/* In lane 1, as a home without a majority: a copy, a flag on the first, the second expunged. */
static WAITS void stranger_works(struct post *post)
{
	struct stranger *stranger = &scene_of(post)->stranger;
	struct operation operation = {.kind = OPERATION_ADD, .folder = stranger->inbox};
	const struct uid_run first = {1, 1}, second = {2, 1};
	struct uid_range range;

	assert_int_equal(journal_writer_create(engine_journal(post->engine), NULL, OTHER_NODE,
					       &stranger->writer),
			 ERR_OK);
	assert_true(uid_reserve(2, 1, 1, &range));
	operation.add = stranger->model;
	operation.add.id = (struct id128){{77}};
	operation.add.uid = range.first;
	operation_encode(&operation, &stranger->operations);
	stranger_says(stranger);
	operation = (struct operation){.kind = OPERATION_FLAGS,
				       .folder = stranger->inbox,
				       .runs = &first,
				       .run_count = 1,
				       .flags.system_set = FLAG_FLAGGED};
	operation_encode(&operation, &stranger->operations);
	operation.kind = OPERATION_EXPUNGE;
	operation.runs = &second;
	operation_encode(&operation, &stranger->operations);
	stranger_says(stranger);
	journal_writer_destroy(&stranger->writer);
}

/* ---- two homes' work ---- */

static uint64_t restamps(struct post *post)
{
	return home_counters(engine_home(post->engine)).restamps;
}

static void leave(struct mailbox **mailbox, struct view **view)
{
	view_close(view);
	mailbox_release(mailbox);
}

/* UIDs 1 to 4 in INBOX, of which a stranger has seen 1 and 2. */
static WAITS void fill_inbox(struct post *post, struct mailbox **out_mailbox,
			     struct view **out_view)
{
	struct scene *scene = scene_of(post);
	struct mailbox *mailbox;
	struct view *view;
	struct message message;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", 0);
	post_append(mailbox, "INBOX", "two\r\n", 0);
	stranger_begins(mailbox, &scene->stranger);
	post_append(mailbox, "INBOX", "three\r\n", 0);
	post_append(mailbox, "INBOX", "four\r\n", 0);
	view = post_view(mailbox, "INBOX");
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(view_message(view, i, &message), ERR_OK);
		assert_int_equal(message.uid, i);
		scene->emails[i] = message.email_id;
	}
	scene->modseq = view_highest_modseq(view);
	*out_mailbox = mailbox;
	*out_view = view;
}

/* It works while nobody is there. */
static void prepare(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;

	fill_inbox(post, &mailbox, &view);
	leave(&mailbox, &view);
	post_close(post);
	post_open(post);
	stranger_works(post);
	post_close(post);
}

/* Whatever the home did: the four messages under UIDs that tell no client less than all. */
static void assert_mended(struct post *post, struct view *view)
{
	const struct scene *scene = scene_of(post);
	static const char *const texts[] = {"one\r\n", "three\r\n", "four\r\n"};
	uint32_t top = 0;
	unsigned found = 0;

	assert_int_equal(view_count(view), 4);
	for (uint32_t i = 1; i <= 4; i++) {
		struct message message;

		assert_int_equal(view_message(view, i, &message), ERR_OK);
		assert_true(message.uid > top);
		top = message.uid;
		if (message.uid == 1) {
			/* Both had it under this UID. What the stranger did has a modseq above all. */
			assert_true(id128_equal(message.email_id, scene->emails[1]));
			assert_int_equal(message.flags.system, FLAG_FLAGGED);
			assert_true(message.modseq > 1ull << 50);
			post_assert_message(view, i, texts[0]);
			found++;
			continue;
		}
		/* Above the highest that either gave out, in the majority's lane. */
		assert_int_equal(uid_lane(message.uid), 0);
		assert_true(message.uid > UID_SUPERBLOCK_SIZE);
		assert_true(message.modseq > 1ull << 50);
		for (unsigned j = 3; j <= 4; j++)
			found += id128_equal(message.email_id, scene->emails[j]);
		found += id128_equal(message.email_id, scene->emails[1]);
	}
	assert_int_equal(found, 4);
	assert_true(view_highest_modseq(view) > 1ull << 50);
	assert_true(view_uidnext(view) > top);
}

/* Tells the superseded UIDs from those that never were. */
static void assert_superseded(struct mailbox *mailbox)
{
	const struct folder *inbox = account_state_folder(&mailbox->state, mailbox_inbox(mailbox));

	assert_int_not_equal(collection_resolve(&inbox->messages, 3), SLOT_NONE);
	assert_int_not_equal(collection_resolve(&inbox->messages, 4), SLOT_NONE);
	assert_int_equal(collection_resolve(&inbox->messages, 2), SLOT_NONE);
	assert_int_equal(collection_resolve(&inbox->messages, 5), SLOT_NONE);
}

static void mend_and_look(void *argument)
{
	struct post *post = argument;
	uint32_t uids[MESSAGES_MAX];
	struct mailbox *mailbox;
	struct view *view;

	for (unsigned i = 0; i < 3; i++) {
		post_open(post);
		mailbox = post_login(post, ADDRESS, PASSWORD);
		/* Three UIDs at the first start; then never again. */
		assert_int_equal(restamps(post), i ? 0 : 3);
		view = post_view(mailbox, "INBOX");
		assert_mended(post, view);
		assert_superseded(mailbox);
		for (uint32_t j = 1; j <= 4; j++) {
			assert_true(!i || uids[j] == view_uid(view, j));
			uids[j] = view_uid(view, j);
		}
		if (i)
			post_append(mailbox, "Sent", "text\r\n", 0);
		assert_int_equal(mailbox->state.horizons.count, 1);
		leave(&mailbox, &view);
		post_close(post);
	}
}

static void test_a_home_mends(void **state)
{
	struct scene scene = {.cut = 0};
	struct post post;

	(void)state;
	post_init(&post);
	post.context = &scene;
	post_run(&post, prepare);
	post_run(&post, mend_and_look);
	stranger_ends(&scene.stranger);
	post_finish(&post);
}

/* ---- a home that is running ---- */

static void dismissed(void *context, enum err why)
{
	*(enum err *)context = why;
}

/* Nothing of it is shown; its sessions are told to come again, and find it mended. */
static void meet_while_running(void *argument)
{
	struct post *post = argument;
	enum err why = ERR_OK;
	struct mailbox_watch watch = {.dismissed = dismissed, .context = &why};
	struct mailbox *mailbox;
	struct view *view;
	struct message message;
	uint32_t sequence = 1;

	fill_inbox(post, &mailbox, &view);
	mailbox_watch_start(mailbox, &watch);
	stranger_works(post);
	assert_int_equal(task_sleep(1000), ERR_OK);
	assert_int_equal(why, ERR_UNAVAILABLE);
	post_assert_sync(view, true, "");
	assert_int_equal(view_count(view), 4);
	assert_int_equal(view_message(view, 1, &message), ERR_UNAVAILABLE);
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_SEEN, NULL, 0, false),
			 ERR_UNAVAILABLE);
	assert_int_equal(restamps(post), 0);
	mailbox_watch_stop(mailbox, &watch);
	leave(&mailbox, &view);
	assert_int_equal(home_unlocked_count(engine_home(post->engine)), 0);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(restamps(post), 3);
	view = post_view(mailbox, "INBOX");
	assert_mended(post, view);
	assert_superseded(mailbox);
	leave(&mailbox, &view);
	post_close(post);
}

static void test_a_running_home_starts_anew(void **state)
{
	struct scene scene = {.cut = 0};
	struct post post;

	(void)state;
	post_init(&post);
	post.context = &scene;
	post_run(&post, meet_while_running);
	stranger_ends(&scene.stranger);
	post_finish(&post);
}

/* ---- the power fails ---- */

static void arm(struct post *post)
{
	struct sim_node *node = post->sim->nodes[0];

	if (scene_of(post)->cut)
		node->crash_at = node->step_count + scene_of(post)->cut;
}

/* Halted, all its tasks ended: the next life. */
static void recover(struct post *post)
{
	struct sim_node *node = post->sim->nodes[0];

	node->crash_at = 0;
	if (sim_is_running(node))
		return;
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
}

/* Prepares, then works, cut at every step, then checks. *steps: how many there were. False: some
 * check found a group in parts. */
static bool cut_everywhere(void (*prepare_post)(void *post), void (*work)(void *post),
			   void (*check)(void *post), uint64_t *steps)
{
	static const enum sim_crash_outcome fates[] = {SIM_CRASH_DROP_ALL, SIM_CRASH_KEEP_ALL,
						       SIM_CRASH_RANDOM};
	bool cut = true, whole = true;

	for (*steps = 0; cut && whole; ++*steps) {
		for (size_t i = 0; i < sizeof(fates) / sizeof(fates[0]) && cut && whole; i++) {
			struct scene scene = {.cut = *steps + 1};
			struct post post;

			post_init(&post);
			post.context = &scene;
			post_run(&post, prepare_post);
			post.sim->nodes[0]->crash_outcome = fates[i];
			post_run(&post, work);
			cut = !sim_is_running(post.sim->nodes[0]);
			recover(&post);
			post_run(&post, check);
			stranger_ends(&scene.stranger);
			post_finish(&post);
			whole = !scene.in_parts;
		}
	}
	return whole;
}

static void mend_until_cut(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox = NULL;

	post_open(post);
	arm(post);
	if (home_login(engine_home(post->engine), bytes_string(ADDRESS), bytes_string(PASSWORD),
		       "198.51.100.1", &mailbox) == ERR_OK)
		mailbox_release(&mailbox);
	post->sim->nodes[0]->crash_at = 0;
	post_close(post);
}

static void look_twice(void *argument)
{
	struct post *post = argument;

	for (unsigned i = 0; i < 2; i++) {
		struct mailbox *mailbox;
		struct view *view;

		post_open(post);
		mailbox = post_login(post, ADDRESS, PASSWORD);
		assert_true(!i || !restamps(post));
		view = post_view(mailbox, "INBOX");
		assert_mended(post, view);
		leave(&mailbox, &view);
		post_close(post);
	}
}

static void test_power_fails_while_mending(void **state)
{
	uint64_t steps;

	(void)state;
	assert_true(cut_everywhere(prepare, mend_until_cut, look_twice, &steps));
	print_message("%llu steps\n", (unsigned long long)steps);
	assert_true(steps > 4);
}

static WAITS enum err copy_all(struct mailbox *mailbox, const char *to)
{
	struct view *view = post_view(mailbox, "INBOX");
	uint32_t *sequences = memory_array(view_count(view), sizeof(*sequences));
	struct copy_result result = {0};
	enum err err;

	assert_non_null(sequences);
	for (uint32_t i = 0; i < view_count(view); i++)
		sequences[i] = i + 1;
	err = view_copy(view, sequences, view_count(view), bytes_string(to), false, &result);
	assert_true(err || result.count == view_count(view));
	memory_free(sequences);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	view_close(&view);
	return err;
}

static void fill(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "text\r\n", 0);
	for (unsigned i = 0; i < DOUBLINGS; i++)
		assert_int_equal(copy_all(mailbox, "INBOX"), ERR_OK);
	mailbox_release(&mailbox);
	post_close(post);
}

static void copy_until_cut(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;

	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	arm(post);
	scene_of(post)->acknowledged = copy_all(mailbox, "Archive") == ERR_OK;
	post->sim->nodes[0]->crash_at = 0;
	mailbox_release(&mailbox);
	post_close(post);
}

static uint32_t count_in(struct mailbox *mailbox, const char *folder, uint32_t *uidnext)
{
	struct view *view = post_view(mailbox, folder);
	uint32_t count = view_count(view);

	*uidnext = view_uidnext(view);
	view_close(&view);
	return count;
}

static void all_or_nothing(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	uint32_t count, before, after;

	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(count_in(mailbox, "INBOX", &before), COPIED);
	count = count_in(mailbox, "Archive", &before);
	scene_of(post)->in_parts =
		count != 0 && count != COPIED && plant_is_on(PLANT_group_in_parts);
	assert_true(count == COPIED || (count == 0 && !scene_of(post)->acknowledged) ||
		    scene_of(post)->in_parts);
	/* What was given up stays so when its writer's successor goes on. */
	assert_true(post_append(mailbox, "Archive", "text\r\n", 0) >= before);
	mailbox_release(&mailbox);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	assert_int_equal(count_in(mailbox, "Archive", &after), count + 1);
	assert_true(after > before);
	mailbox_release(&mailbox);
	post_close(post);
}

static void test_power_fails_while_copying(void **state)
{
	uint64_t steps;

	(void)state;
	assert_true(cut_everywhere(fill, copy_until_cut, all_or_nothing, &steps));
	print_message("%llu steps\n", (unsigned long long)steps);
	assert_true(steps > 6);
	plant_set(PLANT_group_in_parts, true);
	assert_false(cut_everywhere(fill, copy_until_cut, all_or_nothing, &steps));
	plant_reset();
}

/* ---- what was expunged stays so ---- */

struct burial {
	struct stranger stranger;
	struct id128 delivered;
	bool wakes_late; /* the stranger says it after everybody has forgotten the tombstone */
	bool came_back;
};

static WAITS void expunge_all(struct mailbox *mailbox)
{
	struct view *view = post_view(mailbox, "INBOX");
	uint32_t sequence = view_count(view);
	struct message message;
	size_t expunged;

	assert_int_equal(view_message(view, sequence, &message), ERR_OK);
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	assert_int_equal(view_expunge(view, NULL, 0, &expunged), ERR_OK);
	assert_int_equal(expunged, 1);
	view_close(&view);
}

/* A manifest is written when the last session leaves after so many entries. */
static WAITS void write_manifest(struct post *post, struct mailbox *mailbox)
{
	struct home *home = engine_home(post->engine);
	uint64_t manifests = home_counters(home).manifests;

	for (unsigned i = 0; i < 20; i++)
		post_append(mailbox, "Sent", "text\r\n", 0);
	mailbox_release(&mailbox);
	for (unsigned i = 0; i < 100 && home_counters(home).manifests == manifests; i++)
		assert_int_equal(task_sleep(10), ERR_OK);
	assert_int_equal(home_counters(home).manifests, manifests + 1);
}

static size_t tombstones(struct mailbox *mailbox)
{
	return account_state_folder(&mailbox->state, mailbox_inbox(mailbox))
		->messages.tombstone_count;
}

/* It drains the delivery, too: it had been promised the stream, and was paused since. */
static WAITS void stranger_drains(struct post *post, struct burial *burial)
{
	struct stranger *stranger = &burial->stranger;
	struct operation operation = {.kind = OPERATION_ADD, .folder = stranger->inbox};
	struct uid_range range;
	enum err err;

	assert_int_equal(journal_writer_create(engine_journal(post->engine), NULL, OTHER_NODE,
					       &stranger->writer),
			 ERR_OK);
	assert_true(uid_reserve(1, 1, 1, &range));
	operation.add = stranger->model;
	operation.add.id = burial->delivered;
	operation.add.uid = range.first;
	operation.add.delivered = true;
	operation_encode(&operation, &stranger->operations);
	err = stranger_tries(stranger);
	if (burial->wakes_late && !plant_is_on(PLANT_fence_ignored))
		assert_int_equal(err, ERR_FENCED);
	else
		assert_int_equal(err, ERR_OK);
	journal_writer_destroy(&stranger->writer);
}

static void bury(void *argument)
{
	struct post *post = argument;
	struct burial *burial = post->context;
	struct mailbox *mailbox;
	struct view *view;
	struct message message;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", 0);
	stranger_begins(mailbox, &burial->stranger);
	if (burial->wakes_late)
		burial->stranger.epoch = mailbox->epoch;
	mailbox_release(&mailbox);
	post_close(post);
	/* The next process has a higher epoch. */
	post_open(post);
	post_deliver(post, ADDRESS, "Subject: two\r\n\r\n");
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_count(view), 2);
	assert_int_equal(view_message(view, 2, &message), ERR_OK);
	burial->delivered = message.email_id;
	view_close(&view);
	expunge_all(mailbox);
	assert_int_equal(tombstones(mailbox), 1);
	if (burial->wakes_late) {
		write_manifest(post, mailbox);
		mailbox = post_login(post, ADDRESS, PASSWORD);
		assert_int_equal(tombstones(mailbox), 0);
	}
	mailbox_release(&mailbox);
	stranger_drains(post, burial);
	post_close(post);
	post_open(post);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	view = post_view(mailbox, "INBOX");
	burial->came_back = view_count(view) != 1;
	view_close(&view);
	mailbox_release(&mailbox);
	post_close(post);
}

static bool comes_back(bool wakes_late)
{
	struct burial burial = {.wakes_late = wakes_late};
	struct post post;

	post_init(&post);
	post.context = &burial;
	post_run(&post, bury);
	stranger_ends(&burial.stranger);
	post_finish(&post);
	return burial.came_back;
}

static void test_nothing_comes_back(void **state)
{
	(void)state;
	assert_false(comes_back(false));
	assert_false(comes_back(true));
	plant_set(PLANT_tombstone_forgotten, true);
	assert_true(comes_back(false));
	plant_reset();
	plant_set(PLANT_fence_ignored, true);
	assert_true(comes_back(true));
	plant_reset();
}

/* ---- what a session that stays is told (R6) ---- */

static void stamp_under_a_view(void *argument)
{
	struct post *post = argument;
	struct mailbox *mailbox;
	struct view *view;
	struct message message;
	struct change *change = change_create();
	struct operation stamp = {.kind = OPERATION_STAMP, .stamp.old_uid = 1};
	uint32_t sequence = 1;
	struct id128 email;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	mailbox = post_login(post, ADDRESS, PASSWORD);
	post_append(mailbox, "INBOX", "one\r\n", 0);
	post_append(mailbox, "INBOX", "two\r\n", 0);
	view = post_view(mailbox, "INBOX");
	assert_int_equal(view_message(view, 1, &message), ERR_OK);
	email = message.email_id;
	assert_non_null(change);
	stamp.folder = mailbox_inbox(mailbox);
	assert_int_equal(mailbox_reserve(mailbox, stamp.folder, 1), ERR_OK);
	stamp.stamp.new_uid = mailbox_take_uid(mailbox, stamp.folder, change);
	change_put(change, &stamp);
	assert_int_equal(mailbox_commit(mailbox, change), ERR_OK);
	change_release(&change);
	/* Until it has been told, the old UID acts on the message. */
	assert_int_equal(view_message(view, 1, &message), ERR_OK);
	assert_int_equal(message.uid, 1);
	assert_true(id128_equal(message.email_id, email));
	assert_int_equal(view_store(view, &sequence, 1, STORE_ADD, FLAG_SEEN, NULL, 0, true),
			 ERR_OK);
	post_assert_sync(view, true, "-1 *2/2 ");
	assert_int_equal(view_uid(view, 1), 2);
	assert_int_equal(view_uid(view, 2), 3);
	assert_int_equal(view_message(view, 2, &message), ERR_OK);
	assert_int_equal(message.flags.system, FLAG_SEEN);
	assert_true(id128_equal(message.email_id, email));
	/* Then on nothing. */
	assert_int_equal(view_find_uid(view, 1), 1);
	leave(&mailbox, &view);
	post_close(post);
}

static void test_stamp_under_a_view(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, stamp_under_a_view);
	post_finish(&post);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_home_mends),
		cmocka_unit_test(test_a_running_home_starts_anew),
		cmocka_unit_test(test_power_fails_while_mending),
		cmocka_unit_test(test_power_fails_while_copying),
		cmocka_unit_test(test_nothing_comes_back),
		cmocka_unit_test(test_stamp_under_a_view),
	};

	return cmocka_run_group_tests_name("mailbox/mend", tests, NULL, NULL);
}
