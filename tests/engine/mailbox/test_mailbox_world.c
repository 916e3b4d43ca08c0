/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The workload of senders and devices against a whole store of one node, whose
 * power fails and whose process dies again and again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/engine.h"
#include "engine/volume/volume.h"
#include "tests/sim/allocate.h"
#include "tests/sim/plant.h"
#include "tests/sim/workload/workload.h"
#include "tests/support/mailbox_fixture.h"

#define CLUSTER ((struct id128){{1, 2, 3}})
#define NODE ((struct id128){{4, 5, 6}})
#define ADDRESS "alice@example.org"
#define PASSWORD "correct horse"

static const char *const volume_paths[] = {"/d0/v", "/d1/v", "/d2/v"};
#define VOLUMES (sizeof(volume_paths) / sizeof(volume_paths[0]))

struct system {
	struct key *admin, *signing, *master;
	struct engine *engine;
	uint64_t manifests; /* of all lives */
};

/* Logs in for each thing it does, so that snapshots are made when it leaves. */
struct visit {
	struct mailbox *mailbox;
	struct view *view;
};

/* ---- a life ---- */

static WAITS enum err format(void)
{
	for (size_t i = 0; i < VOLUMES; i++) {
		const struct volume_identity identity = {
			.cluster = CLUSTER, .node = NODE, .volume = {{7, (uint8_t)(i + 1)}}};
		struct volume_identity found;
		enum err err = volume_inspect(volume_paths[i], &found);

		if (err == ERR_NOTFOUND)
			err = volume_format(volume_paths[i], &identity);
		if (err)
			return err;
	}
	return ERR_OK;
}

static WAITS enum err open_engine(struct system *system)
{
	struct engine_options options = {
		.sched = task_sched(),
		.cluster = CLUSTER,
		.node = NODE,
		.node_signing = system->signing,
		.fake_salt = bytes_string("0123456789abcdef"),
		.volumes = volume_paths,
		.volume_count = VOLUMES,
		.index_directory = "/index",
		.summary = post_summary,
		.column_size = 256 * 1024,
		.segment_size = 256 * 1024,
		.unknown_user = {1, 8},
	};
	const char *why;

	sign_public(system->admin, options.admin_public);
	return engine_open(&options, &system->engine, &why);
}

static WAITS enum err publish(struct system *system, struct buf *record, enum err err)
{
	if (!err)
		err = accounts_publish(engine_accounts(system->engine), bytes_of_buf(record));
	buf_clear(record);
	return err;
}

static const struct account_record *find_account(const struct system *system)
{
	return accounts_find(engine_accounts(system->engine), bytes_string(ADDRESS));
}

/* The power may fail between the birth and the slot. */
static WAITS enum err make_account(struct system *system)
{
	struct env *env = sched_env(task_sched());
	const struct slot_info info = {
		.kind = SLOT_PASSWORD, .slot_id = 1, .parameters = {1, 8}, .created_ms = 1};
	struct account_keys keys;
	struct buf record = {0}, slot = {0};
	struct bytes slots[1];
	struct id128 id;
	enum err err = account_keys_derive(system->master, &keys);

	if (!err && !find_account(system))
		err = publish(system, &record,
			      account_make_birth(env, system->admin, CLUSTER, bytes_string(ADDRESS),
						 &keys, &id, &record));
	if (!err && !find_account(system)->slot_count) {
		id = find_account(system)->id;
		err = slot_create(env, &info, CLUSTER, id, bytes_string(PASSWORD), system->master,
				  &slot);
		slots[0] = bytes_of_buf(&slot);
		if (!err)
			err = publish(system, &record,
				      account_make_slots(keys.identity, CLUSTER, id,
							 find_account(system)->counter + 1, true,
							 slots, 1, &record));
	}
	buf_finish(&record);
	buf_finish(&slot);
	account_keys_release(&keys);
	return err;
}

static WAITS enum err start(void *context, struct sim_node *node)
{
	struct system *system = context;
	enum err err = format();

	(void)node;
	if (!err)
		err = open_engine(system);
	return err ? err : make_account(system);
}

static WAITS void stop(void *context, struct sim_node *node)
{
	struct system *system = context;

	(void)node;
	if (!system->engine)
		return;
	system->manifests += home_counters(engine_home(system->engine)).manifests;
	engine_close(&system->engine);
}

/* ---- what is asked of it ---- */

static WAITS enum err deliver(void *context, struct sim_node *node, uint32_t account,
			      struct bytes message)
{
	struct system *system = context;
	struct delivery *delivery;
	size_t index;
	enum err err = delivery_begin(engine_delivery_agent(system->engine),
				      bytes_string("s@s.org"), &delivery);

	(void)node;
	(void)account;
	if (err)
		return err;
	err = delivery_recipient(delivery, find_account(system), bytes_string(""), bytes_string(""),
				 &index);
	if (!err)
		err = delivery_write(delivery, message);
	if (!err) {
		delivery_finish(delivery);
		err = delivery_result(delivery, index);
	}
	delivery_end(&delivery);
	return err;
}

static void leave(struct visit *visit)
{
	view_close(&visit->view);
	mailbox_release(&visit->mailbox);
}

static WAITS enum err enter(struct system *system, struct visit *visit)
{
	struct folder_info info;
	enum err err;

	*visit = (struct visit){NULL, NULL};
	err = home_login(engine_home(system->engine), bytes_string(ADDRESS), bytes_string(PASSWORD),
			 "198.51.100.1", &visit->mailbox);
	if (!err)
		err = mailbox_folder(visit->mailbox, bytes_string("INBOX"), &info);
	if (!err)
		err = view_open(visit->mailbox, info.id, false, &visit->view);
	if (err)
		leave(visit);
	return err;
}

static void add_vanished(struct poll_changes *changes, uint32_t first, uint32_t before)
{
	for (uint32_t uid = first; uid < before; uid++) {
		changes->vanished = sim_resize(changes->vanished,
					       (changes->vanished_count + 1) * sizeof(uint32_t));
		changes->vanished[changes->vanished_count++] = uid;
	}
}

/* As QRESYNC answers below its floor: every UID that is not there has vanished. */
static WAITS enum err poll(void *context, struct sim_node *node, uint32_t account, uint64_t since,
			   struct listing *full, struct poll_changes *changes)
{
	uint32_t after_last = 1;
	struct visit visit;
	struct view *view;
	enum err err = enter(context, &visit);

	(void)node;
	(void)account;
	if (err)
		return err;
	view = visit.view;
	full->uidvalidity = view_uidvalidity(view);
	full->uidnext = view_uidnext(view);
	full->highestmodseq = view_highest_modseq(view);
	for (uint32_t i = 1; i <= view_count(view) && !err; i++) {
		struct message message;
		struct listed listed;

		err = view_message(view, i, &message);
		if (err)
			break;
		listed = (struct listed){message.uid, message.email_id, message.flags.system,
					 message.modseq};
		listing_add(full, listed);
		if (listed.modseq > since)
			listing_add(&changes->changed, listed);
		add_vanished(changes, after_last, message.uid);
		after_last = message.uid + 1;
	}
	add_vanished(changes, after_last, full->uidnext);
	leave(&visit);
	return err;
}

/* The view's number of the UID; ERR_NOTFOUND. */
static WAITS enum err open_at(struct system *system, uint32_t uid, struct visit *visit,
			      uint32_t *sequence)
{
	enum err err = enter(system, visit);

	if (err)
		return err;
	*sequence = view_find_uid(visit->view, uid);
	if (*sequence <= view_count(visit->view) && view_uid(visit->view, *sequence) == uid)
		return ERR_OK;
	leave(visit);
	return ERR_NOTFOUND;
}

static WAITS enum err fetch(void *context, struct sim_node *node, uint32_t account, uint32_t uid,
			    struct buf *message)
{
	struct visit visit;
	uint32_t sequence;
	enum err err = open_at(context, uid, &visit, &sequence);

	(void)node;
	(void)account;
	if (err)
		return err;
	err = view_read(visit.view, sequence, 0, UINT32_MAX, message);
	leave(&visit);
	return err;
}

static WAITS enum err set_flags(void *context, struct sim_node *node, uint32_t account,
				uint32_t uid, uint32_t flags)
{
	struct visit visit;
	uint32_t sequence;
	enum err err = open_at(context, uid, &visit, &sequence);

	(void)node;
	(void)account;
	if (err)
		return err;
	err = view_store(visit.view, &sequence, 1, STORE_REPLACE, (uint8_t)flags, NULL, 0, false);
	leave(&visit);
	return err;
}

static WAITS enum err expunge(void *context, struct sim_node *node, uint32_t account, uint32_t uid)
{
	struct visit visit;
	uint32_t sequence;
	size_t expunged;
	enum err err = open_at(context, uid, &visit, &sequence);

	(void)node;
	(void)account;
	if (err)
		return err;
	err = view_store(visit.view, &sequence, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true);
	if (!err)
		err = view_expunge(visit.view, &sequence, 1, &expunged);
	leave(&visit);
	return err;
}

static const struct target target = {.start = start,
				     .stop = stop,
				     .deliver = deliver,
				     .poll = poll,
				     .fetch = fetch,
				     .set_flags = set_flags,
				     .expunge = expunge};

/* ---- runs ---- */

static bool passes(uint64_t seed, struct workload_counters *counters, uint64_t *manifests)
{
	const struct sim_options world = {
		.disk = {.latency_us = 100, .jitter_us = 400, .sync_us = 2000},
		.timer_jitter_us = 500,
		.write_back_per_million = 50000};
	const struct workload_options options = {.busy_ms = 6000,
						 .quiet_ms = 2000,
						 .crash_per_million = 5000,
						 .kill_per_million = 5000};
	struct sim *sim = sim_create(seed, &world);
	struct sim_node *node = sim_add_node(sim);
	struct system system = {.engine = NULL};
	struct env *env = sim_node_env(node);
	enum err err;

	assert_int_equal(key_library_init(), ERR_OK);
	assert_int_equal(key_random(env, &system.admin), ERR_OK);
	assert_int_equal(key_random(env, &system.signing), ERR_OK);
	assert_int_equal(key_random(env, &system.master), ERR_OK);
	sim_add_disk(node, "/index", NULL);
	sim_add_disk(node, "/d0", NULL);
	sim_add_disk(node, "/d1", NULL);
	sim_add_disk(node, "/d2", NULL);
	err = workload_run(sim, &target, &system, &options, counters);
	*manifests = system.manifests;
	key_release(&system.admin);
	key_release(&system.signing);
	key_release(&system.master);
	assert_int_equal(key_count(), 0);
	sim_finish(&sim);
	return err == ERR_OK;
}

static void test_crashes(void **state)
{
	struct workload_counters all = {0}, one;
	uint64_t manifests = 0, made;

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		assert_true(passes(seed, &one, &made));
		manifests += made;
		all.acknowledged += one.acknowledged;
		all.expunges += one.expunges;
		all.flag_changes += one.flag_changes;
		all.crashes += one.crashes;
		all.restarts += one.restarts;
	}
	print_message("acknowledged %llu expunged %llu flags %llu crashes %llu restarts %llu "
		      "manifests %llu\n",
		      (unsigned long long)all.acknowledged, (unsigned long long)all.expunges,
		      (unsigned long long)all.flag_changes, (unsigned long long)all.crashes,
		      (unsigned long long)all.restarts, (unsigned long long)manifests);
	/* It did happen. */
	assert_true(all.acknowledged > 100 && all.expunges > 10 && all.flag_changes > 20);
	assert_true(all.restarts > 10 && manifests > 10);
}

/* The oracle sees UIDs that are given out again. */
static void test_planted_reuse(void **state)
{
	struct workload_counters one;
	uint64_t made;
	unsigned found = 0;

	(void)state;
	plant_set(PLANT_uid_reused_after_restart, true);
	for (uint64_t seed = 1; seed <= 100 && !found; seed++)
		found += !passes(seed, &one, &made) &&
			 (one.broken == VERDICT_UID_REUSED || one.broken == VERDICT_UID_BELOW);
	plant_set(PLANT_uid_reused_after_restart, false);
	assert_true(found > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_planted_reuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
