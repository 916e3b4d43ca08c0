/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/mail_store.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/load/load.h"
#include "engine/volume/volume.h"

#define SENDERS 512u
#define ADDRESS_SIZE 64u
#define PASSWORD "password"

static const struct id128 CLUSTER = {{0xbe}};
static const struct id128 NODE = {{0x0d}};

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

static struct bytes address_of(const struct mail_store *store, char out[ADDRESS_SIZE])
{
	(void)snprintf(out, ADDRESS_SIZE, "bench%u@example.org", store->account);
	return bytes_string(out);
}

static const struct account_record *record_of(const struct mail_store *store)
{
	char address[ADDRESS_SIZE];

	return accounts_find(engine_accounts(store->engine), address_of(store, address));
}

/* ---- the store ---- */

void mail_store_init(struct mail_store *store, struct stage *stage, const char *prefix)
{
	char name[64];

	*store = (struct mail_store){.stage = stage};
	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++) {
		(void)snprintf(name, sizeof(name), "%s-v%zu", prefix, i);
		stage_path(stage, name, store->paths[i]);
	}
	(void)snprintf(name, sizeof(name), "%s-index", prefix);
	stage_path(stage, name, store->index);
}

void mail_store_format(struct mail_store *store)
{
	struct env *env = sched_env(store->stage->sched);

	stage_check(key_random(env, &store->admin), "key");
	stage_check(key_random(env, &store->node), "key");
	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++) {
		const struct volume_identity identity = {
			.cluster = CLUSTER, .node = NODE, .volume = {{7, (uint8_t)(i + 1)}}};

		stage_check(volume_format(store->paths[i], &identity), "format");
	}
	if (mkdir(store->index, 0700))
		load_die("%s: cannot be made", store->index);
}

void mail_store_release_keys(struct mail_store *store)
{
	key_release(&store->admin);
	key_release(&store->node);
}

void mail_store_close(struct mail_store *store)
{
	engine_close(&store->engine);
}

void mail_store_open(struct mail_store *store)
{
	const char *volumes[MAIL_STORE_VOLUMES] = {store->paths[0], store->paths[1],
						   store->paths[2]};
	struct engine_options options = {
		.sched = store->stage->sched,
		.cluster = CLUSTER,
		.node = NODE,
		.node_signing = store->node,
		.fake_salt = bytes_string("0123456789abcdef"),
		.volumes = volumes,
		.volume_count = MAIL_STORE_VOLUMES,
		.index_directory = store->index,
		.summary = {summary_create, summary_feed, summary_finish, summary_destroy},
	};
	const char *why = "";

	sign_public(store->admin, options.admin_public);
	stage_check(engine_open(&options, &store->engine, &why), why);
}

static void publish(struct mail_store *store, struct buf *record)
{
	stage_check(accounts_publish(engine_accounts(store->engine), bytes_of_buf(record)),
		    "publish");
	buf_clear(record);
}

void mail_store_make_account(struct mail_store *store)
{
	struct env *env = sched_env(store->stage->sched);
	const struct slot_info info = {
		.kind = SLOT_PASSWORD, .slot_id = 1, .parameters = {1, 8}, .created_ms = 1};
	struct account_keys keys;
	struct key *master;
	struct buf record = {0}, slot = {0};
	struct bytes slots[1];
	struct id128 id;
	char address[ADDRESS_SIZE];

	stage_check(key_random(env, &master), "key");
	stage_check(account_keys_derive(master, &keys), "keys");
	stage_check(account_make_birth(env, store->admin, CLUSTER, address_of(store, address),
				       &keys, &id, &record),
		    "birth");
	publish(store, &record);
	stage_check(slot_create(env, &info, CLUSTER, id, bytes_string(PASSWORD), master, &slot),
		    "slot");
	slots[0] = bytes_of_buf(&slot);
	stage_check(account_make_slots(keys.identity, CLUSTER, id, record_of(store)->counter + 1,
				       true, slots, 1, &record),
		    "slots");
	publish(store, &record);
	buf_finish(&record);
	buf_finish(&slot);
	account_keys_release(&keys);
	key_release(&master);
}

/* ---- mail ---- */

static void deliver_one(struct mail_store *store, uint64_t number)
{
	struct delivery *delivery;
	size_t index;
	char text[128];

	snprintf(text, sizeof(text), "Subject: %llu\r\n\r\nbody\r\n", (unsigned long long)number);
	stage_check(delivery_begin(engine_delivery_agent(store->engine), bytes_string("s@s.org"),
				   &delivery),
		    "delivery");
	stage_check(delivery_recipient(delivery, record_of(store), bytes_string(""),
				       bytes_string(""), &index),
		    "recipient");
	stage_check(delivery_write(delivery, bytes_string(text)), "write");
	delivery_finish(delivery);
	stage_check(delivery_result(delivery, index), "delivery");
	delivery_end(&delivery);
}

static void send(void *argument)
{
	struct mail_store *store = argument;

	while (store->sent < store->wanted)
		deliver_one(store, store->sent++);
	group_leave(&store->senders);
}

void mail_store_deliver(struct mail_store *store, uint64_t wanted)
{
	store->wanted = wanted;
	for (unsigned i = 0; i < SENDERS; i++) {
		group_enter(&store->senders);
		stage_check(task_spawn(store->stage->sched, "sender", send, store, NULL), "spawn");
	}
	group_wait(&store->senders);
}

struct mailbox *mail_store_login(struct mail_store *store)
{
	struct mailbox *mailbox;
	char address[ADDRESS_SIZE];

	stage_check(home_login(engine_home(store->engine), address_of(store, address),
			       bytes_string(PASSWORD), "127.0.0.1", &mailbox),
		    "login");
	return mailbox;
}

void mail_store_open_inbox(struct mail_store *store, uint64_t expected)
{
	struct mailbox *mailbox = mail_store_login(store);
	struct folder_info info;
	struct folder_status status;

	stage_check(mailbox_folder(mailbox, bytes_string("INBOX"), &info), "folder");
	stage_check(mailbox_status(mailbox, info.id, &status), "status");
	if (status.messages != expected)
		load_die("%u messages of %llu", status.messages, (unsigned long long)expected);
	mailbox_release(&mailbox);
}
