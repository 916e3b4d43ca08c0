/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The workload against a small mailbox of one node, made for this test: right,
 * it passes under crashes of every kind; with each of its bugs some oracle finds
 * it within a few seeds.
 *
 * The mailbox is one log, /v/log, of records with a checksum; the end of the
 * log is the first record that does not hold. It is read whole at the start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/hash.h"
#include "engine/io.h"
#include "tests/sim/allocate.h"
#include "tests/sim/workload/workload.h"

#define LOG_LIMIT (64u << 20)
#define HEADER_SIZE 32

enum bug {
	BUG_NONE,
	BUG_ACK_BEFORE_SYNC,
	BUG_NAME_UNSYNCED,
	BUG_UID_FROM_LIVE,  /* UIDNEXT is one above the highest UID that is left */
	BUG_EXPUNGE_FORGOT, /* expunges are not written */
	BUG_MODSEQ_STILL,   /* a change of flags keeps the modseq */
	BUG_WRONG_BYTES,    /* a fetch of a long message loses its last byte */
	BUG_DELIVER_TWICE,  /* a delivery that takes long is done again */
	BUG_LOST,	    /* a restart takes some messages for expunged */
};

enum record_kind { RECORD_MESSAGE = 1, RECORD_FLAGS, RECORD_EXPUNGE };

struct stored {
	struct listed listed;
	struct buf bytes;
	bool gone;
	uint64_t gone_modseq;
};

struct mailbox {
	enum bug bug;
	struct env_file *file;
	uint64_t end;
	struct gate gate; /* one change at a time */
	struct stored *messages;
	size_t count, capacity;
	uint64_t modseq;
	uint32_t uidnext;
};

/* Each node has one of its own: no system under test is simpler, and with two nodes none worse. */
static struct mailbox *at_node(void *system, const struct sim_node *node)
{
	return (struct mailbox *)system + node->number;
}

static struct stored *find(struct mailbox *mailbox, uint32_t uid)
{
	for (size_t i = 0; i < mailbox->count; i++) {
		if (mailbox->messages[i].listed.uid == uid && !mailbox->messages[i].gone)
			return &mailbox->messages[i];
	}
	return NULL;
}

static void clear(struct mailbox *mailbox)
{
	for (size_t i = 0; i < mailbox->count; i++)
		buf_finish(&mailbox->messages[i].bytes);
	sim_free(mailbox->messages);
	*mailbox = (struct mailbox){.bug = mailbox->bug, .gate = {.limit = 1}, .uidnext = 1};
}

/* Applies one record, as just written or as found at the start. */
static void apply(struct mailbox *mailbox, uint8_t kind, uint32_t uid, uint32_t flags,
		  uint64_t modseq, struct bytes payload)
{
	struct stored *stored = find(mailbox, uid);

	if (mailbox->modseq < modseq)
		mailbox->modseq = modseq;
	if (kind == RECORD_MESSAGE) {
		struct hash128 hash = hash_128(payload.data, payload.size);

		mailbox->messages = sim_grow(mailbox->messages, mailbox->count, &mailbox->capacity,
					     sizeof(*mailbox->messages));
		stored = &mailbox->messages[mailbox->count++];
		*stored = (struct stored){.listed = {.uid = uid, .modseq = modseq}};
		memcpy(stored->listed.message.octets, &hash, sizeof(hash));
		buf_put_bytes(&stored->bytes, payload);
		if (mailbox->uidnext <= uid)
			mailbox->uidnext = uid + 1;
	} else if (stored != NULL && kind == RECORD_FLAGS) {
		stored->listed.flags = flags;
		stored->listed.modseq = modseq;
	} else if (stored != NULL && kind == RECORD_EXPUNGE) {
		stored->gone = true;
		stored->gone_modseq = modseq;
	}
}

static enum err append(struct mailbox *mailbox, uint8_t kind, uint32_t uid, uint32_t flags,
		       uint64_t modseq, struct bytes payload)
{
	struct buf record = {0};
	struct bytes part;
	const struct env_write write = {
		.file = mailbox->file, .offset = mailbox->end, .parts = &part, .part_count = 1};
	bool sync = mailbox->bug != BUG_ACK_BEFORE_SYNC;
	enum err err;

	buf_put_u64(&record, payload.size);
	buf_put_u64(&record, modseq);
	buf_put_u32(&record, uid);
	buf_put_u32(&record, flags << 8 | kind);
	buf_put_u64(&record,
		    hash_64(payload.data, payload.size) ^ hash_64(record.data, record.size));
	buf_put_bytes(&record, payload);
	part = bytes_of_buf(&record);
	err = io_commit(&write, 1, &mailbox->file, sync, NULL);
	if (err == ERR_OK) {
		mailbox->end += record.size;
		apply(mailbox, kind, uid, flags, modseq, payload);
	}
	buf_finish(&record);
	return err;
}

static void replay_records(struct mailbox *mailbox, struct bytes log)
{
	struct cursor cursor = cursor_make(log);

	for (;;) {
		struct bytes header = bytes_slice(log, cursor.offset, HEADER_SIZE - 8), payload;
		uint64_t size = cursor_u64(&cursor), modseq = cursor_u64(&cursor), hash;
		uint32_t uid = cursor_u32(&cursor), word = cursor_u32(&cursor);

		hash = cursor_u64(&cursor);
		if (cursor.err != ERR_OK || size > cursor_left(&cursor))
			return;
		payload = cursor_take(&cursor, (size_t)size);
		if (hash !=
		    (hash_64(payload.data, payload.size) ^ hash_64(header.data, header.size)))
			return;
		apply(mailbox, (uint8_t)word, uid, word >> 8, modseq, payload);
		mailbox->end = cursor.offset;
	}
}

static void replay(struct mailbox *mailbox, struct bytes log)
{
	replay_records(mailbox, log);
	for (size_t i = 0; i < mailbox->count && mailbox->bug == BUG_LOST; i++) {
		struct stored *stored = &mailbox->messages[i];

		if (stored->listed.uid % 20 == 0 && !stored->gone) {
			stored->gone = true;
			stored->gone_modseq = ++mailbox->modseq;
		}
	}
}

static WAITS enum err start(void *system, struct sim_node *node)
{
	struct mailbox *mailbox = at_node(system, node);
	struct buf log = {0};
	enum err err = io_open("/v/log", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &mailbox->file);

	if (err == ERR_OK && mailbox->bug != BUG_NAME_UNSYNCED)
		err = io_sync_directory("/v");
	if (err == ERR_OK)
		err = io_read_file("/v/log", LOG_LIMIT, &log);
	if (err == ERR_OK)
		replay(mailbox, bytes_of_buf(&log));
	/* Nothing of what was never finished may look like a record later. */
	if (err == ERR_OK)
		err = io_truncate(mailbox->file, mailbox->end);
	if (err == ERR_OK)
		err = io_commit(NULL, 0, &mailbox->file, 1, NULL);
	buf_finish(&log);
	return err;
}

static WAITS void stop(void *system, struct sim_node *node)
{
	struct mailbox *mailbox = at_node(system, node);

	io_close(&mailbox->file);
	clear(mailbox);
}

static uint32_t next_uid(const struct mailbox *mailbox)
{
	uint32_t highest = 0;

	if (mailbox->bug != BUG_UID_FROM_LIVE)
		return mailbox->uidnext;
	for (size_t i = 0; i < mailbox->count; i++) {
		if (!mailbox->messages[i].gone && mailbox->messages[i].listed.uid > highest)
			highest = mailbox->messages[i].listed.uid;
	}
	return highest + 1;
}

static WAITS enum err deliver(void *system, struct sim_node *node, uint32_t account,
			      struct bytes message)
{
	struct mailbox *mailbox = at_node(system, node);
	enum err err = gate_enter(&mailbox->gate, TASK_FOREVER);

	(void)account;
	if (err != ERR_OK)
		return err;
	err = append(mailbox, RECORD_MESSAGE, next_uid(mailbox), 0, mailbox->modseq + 1, message);
	if (err == ERR_OK && mailbox->bug == BUG_DELIVER_TWICE && node->sim->now_us % 16 == 0)
		err = append(mailbox, RECORD_MESSAGE, next_uid(mailbox), 0, mailbox->modseq + 1,
			     message);
	gate_leave(&mailbox->gate);
	return err;
}

static void add_vanished(struct poll_changes *changes, uint32_t uid)
{
	changes->vanished =
		sim_resize(changes->vanished, (changes->vanished_count + 1) * sizeof(uint32_t));
	changes->vanished[changes->vanished_count++] = uid;
}

static WAITS enum err poll(void *system, struct sim_node *node, uint32_t account, uint64_t since,
			   struct listing *full, struct poll_changes *changes)
{
	struct mailbox *mailbox = at_node(system, node);

	(void)account;
	full->uidvalidity = 1;
	full->uidnext = next_uid(mailbox);
	full->highestmodseq = mailbox->modseq;
	for (size_t i = 0; i < mailbox->count; i++) {
		const struct stored *stored = &mailbox->messages[i];

		if (!stored->gone)
			listing_add(full, stored->listed);
		if (!stored->gone && stored->listed.modseq > since)
			listing_add(&changes->changed, stored->listed);
		if (stored->gone && stored->gone_modseq > since)
			add_vanished(changes, stored->listed.uid);
	}
	return ERR_OK;
}

static WAITS enum err fetch(void *system, struct sim_node *node, uint32_t account, uint32_t uid,
			    struct buf *message)
{
	struct mailbox *mailbox = at_node(system, node);
	const struct stored *stored = find(mailbox, uid);

	(void)account;
	if (stored == NULL)
		return ERR_NOTFOUND;
	buf_put_bytes(message, bytes_of_buf(&stored->bytes));
	if (mailbox->bug == BUG_WRONG_BYTES && message->size > 10000)
		message->size--;
	return ERR_OK;
}

static WAITS enum err change(struct mailbox *mailbox, enum record_kind kind, uint32_t uid,
			     uint32_t flags)
{
	enum err err = gate_enter(&mailbox->gate, TASK_FOREVER);
	const struct stored *stored;
	uint64_t modseq;

	if (err != ERR_OK)
		return err;
	stored = find(mailbox, uid);
	modseq = mailbox->modseq + 1;
	if (stored != NULL && kind == RECORD_FLAGS && mailbox->bug == BUG_MODSEQ_STILL)
		modseq = stored->listed.modseq;
	if (stored == NULL)
		err = ERR_NOTFOUND;
	else if (kind == RECORD_EXPUNGE && mailbox->bug == BUG_EXPUNGE_FORGOT)
		apply(mailbox, RECORD_EXPUNGE, uid, 0, modseq, bytes_string(""));
	else
		err = append(mailbox, (uint8_t)kind, uid, flags, modseq, bytes_string(""));
	gate_leave(&mailbox->gate);
	return err;
}

static WAITS enum err set_flags(void *system, struct sim_node *node, uint32_t account, uint32_t uid,
				uint32_t flags)
{
	(void)account;
	return change(at_node(system, node), RECORD_FLAGS, uid, flags);
}

static WAITS enum err expunge(void *system, struct sim_node *node, uint32_t account, uint32_t uid)
{
	(void)account;
	return change(at_node(system, node), RECORD_EXPUNGE, uid, 0);
}

static const struct target target = {.start = start,
				     .stop = stop,
				     .deliver = deliver,
				     .poll = poll,
				     .fetch = fetch,
				     .set_flags = set_flags,
				     .expunge = expunge};

/* ---- runs ---- */

static bool passes(uint64_t seed, enum bug bug, struct workload_counters *counters, uint64_t *hash)
{
	const struct sim_options world = {
		.disk = {.latency_us = 100, .jitter_us = 400, .sync_us = 2000},
		.timer_jitter_us = 500,
		.write_back_per_million = 50000};
	const struct workload_options options = {.busy_ms = 10000,
						 .quiet_ms = 1000,
						 .crash_per_million = 5000,
						 .kill_per_million = 5000};
	struct sim *sim = sim_create(seed, &world);
	struct sim_node *node = sim_add_node(sim);
	struct mailbox mailbox = {.bug = bug};
	struct sim_disk *disk = sim_add_disk(node, "/v", NULL);
	enum err err;

	clear(&mailbox);
	disk->faults.per_million[SIM_FAULT_CRASH] = 2000;
	err = workload_run(sim, &target, &mailbox, &options, counters);
	counters->crashes += disk->faults.counts[SIM_FAULT_CRASH];
	*hash = sim_trace_hash(sim);
	sim_finish(&sim);
	return err == ERR_OK;
}

static void test_right_mailbox_passes(void **state)
{
	struct workload_counters all = {0}, one;
	uint64_t hash, again;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		assert_true(passes(seed, BUG_NONE, &one, &hash));
		all.acknowledged += one.acknowledged;
		all.expunges += one.expunges;
		all.flag_changes += one.flag_changes;
		all.crashes += one.crashes;
	}
	/* It did happen. */
	assert_true(all.acknowledged > 500 && all.expunges > 50 && all.flag_changes > 100);
	assert_true(all.crashes > 20);
	assert_true(passes(20, BUG_NONE, &one, &again));
	assert_true(hash == again);
}

/* What 20 seeds find of a bug, as a set of bits 1u << enum verdict. */
static unsigned verdicts_on(enum bug bug)
{
	struct workload_counters counters;
	unsigned found = 0;
	uint64_t hash;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		if (!passes(seed, bug, &counters, &hash))
			found |= 1u << counters.broken;
	}
	return found;
}

static void test_each_bug_is_found(void **state)
{
	static const struct {
		enum bug bug;
		enum verdict verdict;
	} cases[] = {
		{BUG_ACK_BEFORE_SYNC, VERDICT_UID_REUSED}, {BUG_NAME_UNSYNCED, VERDICT_UID_REUSED},
		{BUG_UID_FROM_LIVE, VERDICT_UID_REUSED},   {BUG_EXPUNGE_FORGOT, VERDICT_UID_BELOW},
		{BUG_MODSEQ_STILL, VERDICT_CHANGE_MISSED}, {BUG_WRONG_BYTES, VERDICT_WRONG_BYTES},
		{BUG_DELIVER_TWICE, VERDICT_TWICE},	   {BUG_LOST, VERDICT_MISSING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned found = verdicts_on(cases[i].bug);

		print_message("bug %d: verdicts %x\n", (int)cases[i].bug, found);
		assert_true((found & 1u << cases[i].verdict) != 0);
	}
}

/* Two nodes that know nothing of each other. */
static void test_divergence_is_found(void **state)
{
	const struct workload_options options = {
		.busy_ms = 100, .step_ms = 5, .quiet_ms = 100, .device_count = 1};
	struct workload_counters counters;
	unsigned found = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct sim *sim = sim_create(seed, NULL);
		struct mailbox mailboxes[2] = {{.bug = BUG_NONE}};

		for (size_t i = 0; i < 2; i++) {
			sim_add_disk(sim_add_node(sim), "/v", NULL);
			clear(&mailboxes[i]);
		}
		found += workload_run(sim, &target, mailboxes, &options, &counters) == ERR_LIMIT;
		sim_finish(&sim);
	}
	assert_int_equal(found, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right_mailbox_passes),
		cmocka_unit_test(test_each_bug_is_found),
		cmocka_unit_test(test_divergence_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
