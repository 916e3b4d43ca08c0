/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A disk that hangs when a store is opened or closed: the store serves without
 * it, says so, takes it in when it answers, and closing ends.
 */
#include "engine/attempt.h"
#include "tests/support/mailbox_fixture.h"
#include "tests/support/unit.h"

#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"
/* Of each operation; and what makes a minute of that, or a year. */
#define LATENCY_US 100u
#define A_MINUTE 600000u
#define FOR_EVER 300000000000u
#define MINUTE_MS 60000u
#define LIVES 48u

static size_t hung;

/* ---- attempts ---- */

struct work {
	uint64_t step_ms;
	unsigned steps;
	enum err err, late_err;
	bool was_late, ended;
};

static WAITS enum err step(void *argument)
{
	struct work *work = argument;

	for (unsigned i = 0; i < work->steps; i++)
		if (task_sleep(work->step_ms) != ERR_OK)
			return ERR_CANCELED;
	work->ended = true;
	return work->err;
}

static WAITS void late(void *argument, enum err err)
{
	struct work *work = argument;

	work->was_late = true;
	work->late_err = err;
}

static WAITS enum err attempt_steps(struct work *work)
{
	const struct attempt attempt = {
		.name = "steps", .run = step, .late = late, .argument = work, .patience_ms = 1000};

	return attempt_run(task_sched(), &attempt);
}

static void attempts(void *argument)
{
	struct work moves = {.step_ms = 900, .steps = 20, .err = ERR_NOTFOUND};
	struct work hangs = {.step_ms = 2500, .steps = 1, .err = ERR_IO};

	(void)argument;
	/* Long, but it moves. */
	assert_int_equal(attempt_steps(&moves), ERR_NOTFOUND);
	assert_true(moves.ended && !moves.was_late);
	assert_int_equal(attempt_steps(&hangs), ERR_TIMEOUT);
	assert_false(hangs.ended);
	assert_ok(task_sleep(2000));
	assert_true(hangs.ended && hangs.was_late);
	assert_int_equal(hangs.late_err, ERR_IO);
}

static void test_work_is_waited_for_while_it_moves(void **state)
{
	struct post post;

	(void)state;
	post_init(&post);
	post_run(&post, attempts);
	post_finish(&post);
}

/* ---- a store ---- */

/* No two are the same: what a sender repeats is delivered once. */
static WAITS void deliver(struct post *post, unsigned number)
{
	char text[64];

	snprintf(text, sizeof(text), "Subject: %u\r\n\r\nbody\r\n", number);
	post_deliver(post, ADDRESS, text);
}

static WAITS void fill(void *argument)
{
	struct post *post = argument;

	for (size_t i = 0; i < POST_VOLUMES; i++)
		post->disks[i]->options.latency_us = LATENCY_US;
	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, PASSWORD, true, false);
	for (unsigned i = 0; i < 5; i++)
		deliver(post, i);
	post_close(post);
}

static WAITS uint32_t count_mail(struct post *post)
{
	struct mailbox *mailbox = post_login(post, ADDRESS, PASSWORD);
	struct folder_status status;
	struct folder_info inbox;

	assert_ok(mailbox_folder(mailbox, bytes_string("INBOX"), &inbox));
	assert_ok(mailbox_status(mailbox, inbox.id, &status));
	mailbox_release(&mailbox);
	return status.messages;
}

static size_t slots_with(const struct post *post, enum err err)
{
	struct engine_status status;
	size_t count = 0;

	engine_get_status(post->engine, &status);
	for (size_t i = 0; i < status.volume_count; i++)
		count += status.volumes[i].err == err;
	return count;
}

/* Hangs before the first octet of it is read. */
static WAITS void open_without(void *argument)
{
	struct post *post = argument;
	uint64_t start_ms = sim_now_ms(post->sim);
	struct engine_status status;

	post->disks[hung]->slow_factor = A_MINUTE;
	post_open(post);
	assert_true(sim_now_ms(post->sim) - start_ms < MINUTE_MS / 2);
	engine_get_status(post->engine, &status);
	assert_int_equal(status.volumes[hung].err, ERR_TIMEOUT);
	assert_int_equal(slots_with(post, ERR_OK), 2);
	assert_int_equal(status.volumes_tolerated, 0);
	deliver(post, 5);
	assert_int_equal(count_mail(post), 6);
	/* It answers: taken in, as one that was away. */
	post->disks[hung]->slow_factor = 1;
	assert_ok(task_sleep(10 * MINUTE_MS));
	assert_int_equal(slots_with(post, ERR_OK), 3);
	deliver(post, 6);
	assert_int_equal(count_mail(post), 7);
	post_close(post);
}

static void test_a_disk_that_hangs_at_the_start_returns(void **state)
{
	(void)state;
	for (hung = 0; hung < POST_VOLUMES; hung++) {
		struct post post;

		post_init(&post);
		post_run(&post, fill);
		post_run(&post, open_without);
		post_finish(&post);
	}
}

/* ---- at any moment ---- */

struct life {
	struct post post;
	uint64_t hangs_at_us; /* after opening began */
	bool done;
	/* What became of it: its volume was not opened, or not its journal or columns; closing. */
	bool was_missing, has_failed, was_left;
};

static WAITS void hang_later(void *argument)
{
	struct life *life = argument;

	if (task_sleep(life->hangs_at_us / 1000) == ERR_OK)
		life->post.disks[hung]->slow_factor = FOR_EVER;
}

static WAITS void open_and_close(void *argument)
{
	struct life *life = argument;
	uint64_t start_ms = sim_now_ms(life->post.sim);
	enum err err;

	assert_ok(task_spawn(task_sched(), "hang", hang_later, life, NULL));
	post_open(&life->post);
	assert_true(sim_now_ms(life->post.sim) - start_ms < MINUTE_MS);
	life->was_missing = slots_with(&life->post, ERR_TIMEOUT) != 0;
	life->has_failed = slots_with(&life->post, ERR_IO) != 0;
	assert_int_equal(count_mail(&life->post), 5);
	start_ms = sim_now_ms(life->post.sim);
	err = engine_close_within(&life->post.engine, MINUTE_MS / 2);
	assert_true(err == ERR_OK || err == ERR_TIMEOUT);
	life->was_left = err == ERR_TIMEOUT;
	assert_true(sim_now_ms(life->post.sim) - start_ms < 3 * MINUTE_MS);
	life->done = true;
}

static bool is_done(void *context)
{
	return ((const struct life *)context)->done;
}

static void test_a_disk_that_hangs_at_any_moment(void **state)
{
	unsigned missing = 0, failed = 0, left = 0;

	(void)state;
	for (unsigned i = 0; i < LIVES; i++) {
		struct life life = {.hangs_at_us = i * 1000};

		hung = i % POST_VOLUMES;
		post_init(&life.post);
		post_run(&life.post, fill);
		sim_spawn(life.post.sim->nodes[0], "life", open_and_close, &life);
		assert_ok(sim_run_until(life.post.sim, is_done, &life, 60u * MINUTE_MS));
		/* Only the death of the process frees what such a disk has got. */
		sim_kill(life.post.sim->nodes[0]);
		assert_ok(sim_unwind(life.post.sim->nodes[0]));
		post_finish(&life.post);
		missing += life.was_missing;
		failed += life.has_failed;
		left += life.was_left;
	}
	print_message("of %u: %u not opened, %u not read, %u left at the end\n", LIVES, missing,
		      failed, left);
	assert_true(missing != 0 && failed != 0 && left != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_is_waited_for_while_it_moves),
		cmocka_unit_test(test_a_disk_that_hangs_at_the_start_returns),
		cmocka_unit_test(test_a_disk_that_hangs_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
