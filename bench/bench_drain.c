/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_drain - how long an account that was away takes to open.
 *
 *   bench_drain DIR COUNT
 *
 * Delivers COUNT small messages to one account, logs in, and has INBOX's status,
 * which drains them all; then logs in again from the snapshot. Prints one JSON
 * object. DIR must be empty.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/load/load.h"
#include "bench/load/stage.h"
#include "engine/engine.h"
#include "engine/volume/volume.h"

#define VOLUMES 3u
#define SENDERS 64u
#define ADDRESS "bench@example.org"
#define PASSWORD "password"

static const struct id128 CLUSTER = {{0xbe}};
static const struct id128 NODE = {{0x0d}};

struct job {
	struct stage stage;
	uint64_t count, sent;
	char paths[VOLUMES][256], index[256];
	struct key *admin, *node;
	struct engine *engine;
	struct group senders;
	uint64_t deliver_us, drain_us, login_us;
};

/* A summary as large as a common one. */
static enum err summary_create(void **out)
{
	static int nothing;

	*out = &nothing;
	return ERR_OK;
}

static enum err summary_feed(void *parser, struct bytes message)
{
	(void)parser;
	(void)message;
	return ERR_OK;
}

static enum err summary_finish(void *parser, struct bytes prefix, struct buf *out)
{
	(void)parser;
	(void)prefix;
	for (unsigned i = 0; i < 40; i++)
		buf_printf(out, "Header-%u: value of a header field\r\n", i);
	return out->err;
}

static void summary_destroy(void *parser)
{
	(void)parser;
}

/* ---- the store ---- */

static void format(struct job *job)
{
	for (size_t i = 0; i < VOLUMES; i++) {
		const struct volume_identity identity = {
			.cluster = CLUSTER, .node = NODE, .volume = {{7, (uint8_t)(i + 1)}}};
		char name[16];

		snprintf(name, sizeof(name), "v%zu", i);
		stage_path(&job->stage, name, job->paths[i]);
		stage_check(volume_format(job->paths[i], &identity), "format");
	}
	stage_path(&job->stage, "index", job->index);
	if (mkdir(job->index, 0700))
		load_die("%s: cannot be made", job->index);
}

static void open_engine(struct job *job)
{
	const char *volumes[VOLUMES] = {job->paths[0], job->paths[1], job->paths[2]};
	struct engine_options options = {
		.sched = job->stage.sched,
		.cluster = CLUSTER,
		.node = NODE,
		.node_signing = job->node,
		.fake_salt = bytes_string("0123456789abcdef"),
		.volumes = volumes,
		.volume_count = VOLUMES,
		.index_directory = job->index,
		.summary = {summary_create, summary_feed, summary_finish, summary_destroy},
	};
	const char *why = "";

	sign_public(job->admin, options.admin_public);
	stage_check(engine_open(&options, &job->engine, &why), why);
}

static void publish(struct job *job, struct buf *record)
{
	stage_check(accounts_publish(engine_accounts(job->engine), bytes_of_buf(record)),
		    "publish");
	buf_clear(record);
}

static void make_account(struct job *job)
{
	struct env *env = sched_env(job->stage.sched);
	const struct slot_info info = {
		.kind = SLOT_PASSWORD, .slot_id = 1, .parameters = {1, 8}, .created_ms = 1};
	struct account_keys keys;
	struct key *master;
	struct buf record = {0}, slot = {0};
	struct bytes slots[1];
	struct id128 id;

	stage_check(key_random(env, &master), "key");
	stage_check(account_keys_derive(master, &keys), "keys");
	stage_check(account_make_birth(env, job->admin, CLUSTER, bytes_string(ADDRESS), &keys, &id,
				       &record),
		    "birth");
	publish(job, &record);
	stage_check(slot_create(env, &info, CLUSTER, id, bytes_string(PASSWORD), master, &slot),
		    "slot");
	slots[0] = bytes_of_buf(&slot);
	stage_check(account_make_slots(keys.identity, CLUSTER, id,
				       accounts_find(engine_accounts(job->engine),
						     bytes_string(ADDRESS))
						       ->counter + 1,
				       true, slots, 1, &record),
		    "slots");
	publish(job, &record);
	buf_finish(&record);
	buf_finish(&slot);
	account_keys_release(&keys);
	key_release(&master);
}

/* ---- what is measured ---- */

static void deliver_one(struct job *job, uint64_t number)
{
	struct delivery *delivery;
	size_t index;
	char text[128];

	snprintf(text, sizeof(text), "Subject: %llu\r\n\r\nbody\r\n", (unsigned long long)number);
	stage_check(delivery_begin(engine_delivery_agent(job->engine), bytes_string("s@s.org"),
				   &delivery),
		    "delivery");
	stage_check(delivery_recipient(delivery,
				       accounts_find(engine_accounts(job->engine),
						     bytes_string(ADDRESS)),
				       bytes_string(""), bytes_string(""), &index),
		    "recipient");
	stage_check(delivery_write(delivery, bytes_string(text)), "write");
	delivery_finish(delivery);
	stage_check(delivery_result(delivery, index), "delivery");
	delivery_end(&delivery);
}

static void send(void *argument)
{
	struct job *job = argument;

	while (job->sent < job->count)
		deliver_one(job, job->sent++);
	group_leave(&job->senders);
}

static void deliver_all(struct job *job)
{
	for (unsigned i = 0; i < SENDERS; i++) {
		group_enter(&job->senders);
		stage_check(task_spawn(job->stage.sched, "sender", send, job, NULL), "spawn");
	}
	group_wait(&job->senders);
}

static void open_inbox(struct job *job)
{
	struct mailbox *mailbox;
	struct folder_info info;
	struct folder_status status;

	stage_check(home_login(engine_home(job->engine), bytes_string(ADDRESS),
			       bytes_string(PASSWORD), "127.0.0.1", &mailbox),
		    "login");
	stage_check(mailbox_folder(mailbox, bytes_string("INBOX"), &info), "folder");
	stage_check(mailbox_status(mailbox, info.id, &status), "status");
	if (status.messages != job->count)
		load_die("%u messages of %llu", status.messages, (unsigned long long)job->count);
	mailbox_release(&mailbox);
}

static void measure(void *argument)
{
	struct job *job = argument;
	uint64_t start;

	stage_check(key_random(sched_env(job->stage.sched), &job->admin), "key");
	stage_check(key_random(sched_env(job->stage.sched), &job->node), "key");
	format(job);
	open_engine(job);
	make_account(job);
	start = load_now_us();
	deliver_all(job);
	job->deliver_us = load_now_us() - start;
	start = load_now_us();
	open_inbox(job);
	job->drain_us = load_now_us() - start;
	engine_close(&job->engine);
	open_engine(job);
	start = load_now_us();
	open_inbox(job);
	job->login_us = load_now_us() - start;
	engine_close(&job->engine);
	key_release(&job->admin);
	key_release(&job->node);
}

int main(int argc, char **argv)
{
	static struct job job;

	if (argc != 3)
		load_die("usage: bench_drain DIR COUNT");
	job.count = load_number(argv[2], 1, 10000000);
	stage_check(key_library_init(), "keys");
	stage_open(&job.stage, argv[1]);
	stage_run(&job.stage, measure, &job);
	stage_close(&job.stage);
	printf("{\"messages\": %llu, \"deliver_s\": %.3f, \"drain_s\": %.3f, \"login_s\": %.3f}\n",
	       (unsigned long long)job.count, (double)job.deliver_us / 1e6,
	       (double)job.drain_us / 1e6, (double)job.login_us / 1e6);
	return 0;
}
