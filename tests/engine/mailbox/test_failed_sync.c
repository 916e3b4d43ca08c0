/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A disk whose sync fails, through the whole engine: its volume is out of use at once; the next
 * process takes it back only for what is on the disk, whatever the page cache shows; and then any
 * other volume may go. (That such bugs are found: failed_sync_forgotten in tests/sim/whole.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/node_fault.h"
#include "tests/support/mailbox_fixture.h"

#define ADDRESS "anna@example.org"
#define MESSAGES 200u
#define SENDERS 5u
#define WATCH_US 20u
#define MESSAGE_SIZE 30000u

/* Of different speeds: what one has synced another is still writing. */
static const struct sim_disk_options disk_speed = {
	.capacity = 1ull << 40, .latency_us = 50, .jitter_us = 400, .sync_us = 500};

struct trial {
	struct post post;
	uint64_t nth; /* sync that fails */
	unsigned sent, delivered;
	struct group senders;
	bool power_fails, intact;
};

static struct sim_disk *failing_disk(struct trial *trial)
{
	return trial->post.sim->nodes[0]->tree.disks[4];
}

/* Of several pages: what is written behind it must not bring all of it to the disk. */
static void message_text(unsigned number, char out[MESSAGE_SIZE])
{
	int size = snprintf(out, MESSAGE_SIZE, "Subject: number %u\r\n\r\n", number);
	uint64_t noise = number;

	for (; size < (int)MESSAGE_SIZE - 1; size++) {
		noise = noise * 6364136223846793005u + 1442695040888963407u;
		out[size] = (char)('a' + (noise >> 60));
	}
	out[size] = '\0';
}

/* Process or power end at the failure, before it can bring anything to the other volumes. */
static void end_at_failure(void *context)
{
	struct trial *trial = context;
	struct sim_node *node = trial->post.sim->nodes[0];

	if (!sim_is_running(node))
		return;
	if (failing_disk(trial)->faults.counts[SIM_FAULT_SYNC_FAILURE] == 0)
		sim_at(trial->post.sim, WATCH_US, end_at_failure, trial);
	else if (trial->power_fails)
		sim_crash(node, SIM_CRASH_DROP_ALL);
	else
		sim_kill(node);
}

/* One of several senders at once: columns do not end where the one that fails does. */
static WAITS void send(void *argument)
{
	struct trial *trial = argument;
	enum err err = ERR_OK;

	while (err == ERR_OK && trial->sent < MESSAGES && !task_canceled()) {
		char text[MESSAGE_SIZE];

		message_text(trial->sent++, text);
		err = post_deliver_to(&trial->post, ADDRESS, "", text);
		trial->delivered += err == ERR_OK;
	}
	group_leave(&trial->senders);
}

static WAITS void first_life(void *argument)
{
	struct trial *trial = argument;
	struct post *post = &trial->post;

	post_format(post);
	post_open(post);
	post_add_account(post, ADDRESS, "secret", true, false);
	sim_plan_fault(failing_disk(trial), SIM_STEP_SYNC, trial->nth, SIM_FAULT_SYNC_FAILURE);
	sim_at(post->sim, WATCH_US, end_at_failure, trial);
	for (unsigned i = 0; i < SENDERS; i++) {
		group_enter(&trial->senders);
		sim_spawn(post->sim->nodes[0], "sender", send, trial);
	}
	group_wait(&trial->senders);
	post_close(post);
}

/* Long enough for what the store mends by itself. */
static WAITS void second_life(void *argument)
{
	struct trial *trial = argument;

	post_open(&trial->post);
	assert_int_equal(task_sleep(60000), ERR_OK);
	post_close(&trial->post);
}

static WAITS void third_life(void *argument)
{
	struct trial *trial = argument;
	struct post *post = &trial->post;
	struct mailbox *mailbox = NULL;
	struct view *view;

	post_open(post);
	trial->intact = home_login(engine_home(post->engine), bytes_string(ADDRESS),
				   bytes_string("secret"), "198.51.100.1", &mailbox) == ERR_OK;
	if (trial->intact) {
		view = post_view(mailbox, "INBOX");
		trial->intact = view_count(view) >= trial->delivered;
		for (uint32_t i = 1; trial->intact && i <= view_count(view); i++) {
			struct buf message = {0};

			trial->intact = view_read(view, i, 0, UINT32_MAX, &message) == ERR_OK;
			buf_finish(&message);
		}
		view_close(&view);
		mailbox_release(&mailbox);
	}
	post_close(post);
}

static void next_life(struct sim_node *node)
{
	assert_int_equal(sim_unwind(node), ERR_OK);
	sim_restart(node);
}

/* Whether everything acknowledged is there in the end, when one of the other two volumes goes. */
static bool survives(uint64_t nth, size_t other, bool power_fails)
{
	struct trial trial = {.nth = nth, .power_fails = power_fails};
	struct sim_node *node;

	post_init(&trial.post);
	node = trial.post.sim->nodes[0];
	for (size_t i = 0; i < node->tree.disk_count; i++)
		node->tree.disks[i]->options = disk_speed;
	assert_int_equal(sim_run_task(trial.post.sim, first_life, &trial), ERR_OK);
	if (sim_is_running(node))
		sim_crash(node, SIM_CRASH_DROP_ALL);
	next_life(node);
	assert_int_equal(sim_run_task(trial.post.sim, second_life, &trial), ERR_OK);
	sim_crash(node, SIM_CRASH_DROP_ALL);
	next_life(node);
	sim_lose_disk(node, node->tree.disks[2 + other], SIM_FAULT_UNLINKED);
	assert_int_equal(sim_run_task(trial.post.sim, third_life, &trial), ERR_OK);
	post_finish(&trial.post);
	return trial.intact;
}

#define SYNCS 30u

static void test_nothing_rests_on_a_failed_sync(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth <= SYNCS; nth++)
		for (unsigned i = 0; i < 4; i++)
			assert_true(survives(nth, i % 2, i / 2 != 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_rests_on_a_failed_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
