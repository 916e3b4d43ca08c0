/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "tests/support/log_fixture.h"

#define SUPERBLOCK FIXTURE_VOLUME "/superblock"
#define WRITES 40

/* ---- making and opening ---- */

static enum err open_as(struct id128 cluster)
{
	struct volume *volume = NULL;
	enum err err = volume_open(task_sched(), FIXTURE_VOLUME, cluster, &volume);

	volume_close(&volume);
	return err;
}

static void make_and_open(void *argument)
{
	struct volume_identity identity = fixture_identity(), back = {0};
	struct volume *volume;

	(void)argument;
	assert_int_equal(volume_inspect(FIXTURE_VOLUME, &back), ERR_NOTFOUND);
	fixture_format();
	assert_int_equal(volume_format(FIXTURE_VOLUME, &identity), ERR_EXISTS);
	assert_int_equal(volume_inspect(FIXTURE_VOLUME, &back), ERR_OK);
	assert_memory_equal(&back, &identity, sizeof(back));
	volume = fixture_open();
	assert_true(id128_equal(volume_id(volume), identity.volume));
	assert_string_equal(volume_identity(volume)->zone, "cellar");
	assert_int_equal(volume_state(volume), VOLUME_ACTIVE);
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_UNAVAILABLE);
	volume_close(&volume);
	assert_null(volume);
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_OK);
}

/* What is no volume, or not ours, is told apart, and left alone. */
static void refuse(void *argument)
{
	struct buf raw = {0};
	struct hash128 hash;

	(void)argument;
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_NOTFOUND);
	assert_int_equal(io_make_directory(FIXTURE_VOLUME), ERR_OK);
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_NOTFOUND);
	fixture_format();
	assert_int_equal(open_as((struct id128){{9}}), ERR_FOREIGN);
	fixture_read(SUPERBLOCK, &raw);
	assert_int_equal(raw.size, SUPERBLOCK_SIZE);
	raw.data[32] = 1; /* ro-compat: this program opens for writing only */
	hash = hash_128(raw.data, 4080);
	store_u64(raw.data + 4080, hash.low);
	store_u64(raw.data + 4088, hash.high);
	fixture_write(SUPERBLOCK, bytes_of_buf(&raw));
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_NEWER);
	memset(raw.data, 0, raw.size);
	fixture_write(SUPERBLOCK, bytes_of_buf(&raw));
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_CORRUPT);
	buf_finish(&raw);
}

static void format_over_leftovers(void *argument)
{
	struct volume_identity identity = fixture_identity();

	(void)argument;
	assert_int_equal(io_make_directory(FIXTURE_VOLUME), ERR_OK);
	assert_int_equal(io_make_directory(FIXTURE_VOLUME "/lost+found"), ERR_OK);
	assert_int_equal(io_make_directory(FIXTURE_VOLUME "/columns"), ERR_OK);
	fixture_write(FIXTURE_VOLUME "/superblock.new", bytes_string("half"));
	fixture_write(FIXTURE_VOLUME "/columns/x", bytes_string("precious"));
	assert_int_equal(volume_format(FIXTURE_VOLUME, &identity), ERR_EXISTS);
	assert_int_equal(io_unlink(FIXTURE_VOLUME "/columns/x"), ERR_OK);
	fixture_write(FIXTURE_VOLUME "/stranger", bytes_string("precious"));
	assert_int_equal(volume_format(FIXTURE_VOLUME, &identity), ERR_EXISTS);
	assert_int_equal(io_unlink(FIXTURE_VOLUME "/stranger"), ERR_OK);
	assert_int_equal(volume_format(FIXTURE_VOLUME, &identity), ERR_OK);
	assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_OK);
}

static void mend_superblock(void *argument)
{
	struct buf raw = {0}, mended = {0};

	(void)argument;
	fixture_format();
	fixture_read(SUPERBLOCK, &raw);
	for (size_t at = 0; at < SUPERBLOCK_SIZE; at += at % 4096 < 140 ? 1 : 211) {
		raw.data[at] ^= 0x10;
		fixture_write(SUPERBLOCK, bytes_of_buf(&raw));
		raw.data[at] ^= 0x10;
		assert_int_equal(open_as(FIXTURE_CLUSTER), ERR_OK);
		buf_clear(&mended);
		fixture_read(SUPERBLOCK, &mended);
		assert_true(bytes_equal(bytes_of_buf(&mended), bytes_of_buf(&raw)));
	}
	buf_finish(&raw);
	buf_finish(&mended);
}

/* ---- group commit ---- */

struct writes {
	struct volume_write items[WRITES];
	enum err errs[WRITES];
	size_t count, done_count, order[WRITES];
	struct group ended;
};

static void write_done(struct volume_write *write, enum err err)
{
	struct writes *writes = write->context;
	size_t index = (size_t)(write - writes->items);

	writes->errs[index] = err;
	writes->order[writes->done_count++] = index;
	group_leave(&writes->ended);
}

/* head, two shared parts and zeros: 10 bytes in all, at 10 times its number in the file. */
static struct volume_write *prepare(struct writes *writes, struct env_file *file)
{
	size_t index = writes->count++;
	struct volume_write *write = &writes->items[index];

	assert_true(index < WRITES);
	*write = (struct volume_write){.file = file,
				       .offset = 10 * index,
				       .head_size = 3,
				       .zeros = 2,
				       .done = write_done,
				       .context = writes};
	memset(write->head, 'a' + (int)(index % 26), 3);
	for (size_t i = 0; i < 2; i++) {
		write->shared[i] = shared_create(2 + i);
		assert_non_null(write->shared[i]);
		memset(write->shared[i]->data, 'A' + (int)(index % 26), 2 + i);
	}
	group_enter(&writes->ended);
	return write;
}

static struct env_file *make_file(struct volume *volume, const char *name)
{
	struct env_file *file = NULL;

	assert_int_equal(volume_create_file(volume, name, bytes_string(""), 0, &file), ERR_OK);
	return file;
}

static void share_syncs(void *argument)
{
	struct fixture *fixture = argument;
	struct volume *volume;
	struct env_file *files[2];
	struct writes writes = {0};
	struct buf content = {0};
	uint64_t syncs;

	fixture_format();
	volume = fixture_open();
	files[0] = make_file(volume, "columns/0");
	files[1] = make_file(volume, "columns/1");
	syncs = fixture->disk->counters.syncs;
	for (size_t i = 0; i < 20; i++)
		volume_submit(volume, prepare(&writes, files[i / 3 % 2]));
	assert_int_equal(writes.done_count, 0);
	group_wait(&writes.ended);
	assert_int_equal(volume_counters(volume).commits, 1);
	assert_int_equal(volume_counters(volume).writes, 20);
	assert_int_equal(volume_counters(volume).bytes, 200);
	assert_int_equal(fixture->disk->counters.syncs - syncs, 2);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(writes.order[i], i);
		assert_int_equal(writes.errs[i], ERR_OK);
	}
	fixture_read(FIXTURE_VOLUME "/columns/0", &content);
	assert_memory_equal(content.data, "aaaAAAAA\0\0bbbBBBBB\0\0cccCCCCC\0\0\0\0", 32);
	io_close(&files[0]);
	io_close(&files[1]);
	volume_close(&volume);
	buf_finish(&content);
}

/* Later bytes of a place win, and what is submitted during a commit has a commit of its own. */
static void keep_order(void *argument)
{
	struct volume *volume;
	struct env_file *file;
	struct writes writes = {0};
	struct buf content = {0};

	(void)argument;
	fixture_format();
	volume = fixture_open();
	file = make_file(volume, "columns/0");
	for (size_t i = 0; i < 12; i++) {
		struct volume_write *write = prepare(&writes, file);

		write->offset = 0;
		volume_submit(volume, write);
		if (i == 3)
			task_yield();
		if (i == 7)
			assert_int_equal(task_sleep(1), ERR_OK);
	}
	group_wait(&writes.ended);
	fixture_read(FIXTURE_VOLUME "/columns/0", &content);
	assert_memory_equal(content.data, "lllLLLLL\0\0", 10);
	assert_true(volume_counters(volume).commits >= 2);
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(writes.order[i], i);
	io_close(&file);
	volume_close(&volume);
	buf_finish(&content);
}

static struct volume_write *prepare_bulk(struct writes *writes, struct env_file *file,
					 bool unsynced)
{
	struct volume_write *write = prepare(writes, file);

	write->bulk = true;
	write->unsynced = unsynced;
	return write;
}

/* Three unsynced writes, each complete before the next; the synced one behind them covers all. */
static void write_unsynced(void *argument)
{
	struct fixture *fixture = argument;
	struct volume *volume;
	struct env_file *files[2];
	struct writes writes = {0};
	uint64_t syncs;

	fixture_format();
	volume = fixture_open();
	files[0] = make_file(volume, "columns/0");
	files[1] = make_file(volume, "columns/1");
	syncs = fixture->disk->counters.syncs;
	for (size_t i = 0; i < 3; i++) {
		volume_submit(volume, prepare_bulk(&writes, files[0], true));
		group_wait(&writes.ended);
		assert_int_equal(writes.errs[i], ERR_OK);
	}
	assert_int_equal(fixture->disk->counters.syncs, syncs);
	/* A commit with others in it syncs their file alone. */
	volume_submit(volume, prepare_bulk(&writes, files[0], true));
	volume_submit(volume, prepare_bulk(&writes, files[1], false));
	group_wait(&writes.ended);
	assert_int_equal(fixture->disk->counters.syncs, syncs + 1);
	volume_submit(volume, prepare_bulk(&writes, files[0], false));
	group_wait(&writes.ended);
	assert_int_equal(fixture->disk->counters.syncs, syncs + 2);
	for (size_t i = 0; i < writes.count; i++)
		assert_int_equal(writes.errs[i], ERR_OK);
	assert_int_equal(volume_counters(volume).writes, writes.count);
	/* Nothing tells that the place is gone, until something is to be durable. */
	assert_int_equal(io_unlink(FIXTURE_VOLUME "/columns/0"), ERR_OK);
	volume_submit(volume, prepare_bulk(&writes, files[0], true));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[6], ERR_OK);
	volume_submit(volume, prepare_bulk(&writes, files[0], false));
	volume_submit(volume, prepare_bulk(&writes, files[0], true));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[7], ERR_IO);
	assert_int_equal(writes.errs[8], ERR_IO);
	assert_int_equal(volume_state(volume), VOLUME_FAILED);
	/* The volume has failed, not its bulk alone. */
	volume_submit(volume, prepare(&writes, files[1]));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[9], ERR_IO);
	io_close(&files[0]);
	io_close(&files[1]);
	volume_close(&volume);
}

#define BULK_WRITES (4 * VOLUME_BATCH_WRITES)

struct bulk {
	struct volume_write *items; /* BULK_WRITES */
	size_t done_count;
	struct group ended;
};

static void bulk_done(struct volume_write *write, enum err err)
{
	struct bulk *bulk = write->context;

	assert_int_equal(err, ERR_OK);
	bulk->done_count++;
	group_leave(&bulk->ended);
}

/* A write is over before the bulk of several commits that was submitted before it. */
static void overtake_bulk(void *argument)
{
	struct volume *volume;
	struct env_file *files[2];
	struct writes writes = {0};
	struct bulk bulk = {.items = memory_array(BULK_WRITES, sizeof(*bulk.items))};

	(void)argument;
	assert_non_null(bulk.items);
	fixture_format();
	volume = fixture_open();
	files[0] = make_file(volume, "columns/0");
	files[1] = make_file(volume, "columns/1");
	for (size_t i = 0; i < BULK_WRITES; i++) {
		bulk.items[i] = (struct volume_write){.file = files[0],
						      .offset = i,
						      .head_size = 1,
						      .bulk = true,
						      .done = bulk_done,
						      .context = &bulk};
		group_enter(&bulk.ended);
		volume_submit(volume, &bulk.items[i]);
	}
	volume_submit(volume, prepare(&writes, files[1]));
	group_wait(&writes.ended);
	assert_true(bulk.done_count < BULK_WRITES);
	group_wait(&bulk.ended);
	assert_int_equal(bulk.done_count, BULK_WRITES);
	assert_int_equal(volume_counters(volume).commits, 1);
	io_close(&files[0]);
	io_close(&files[1]);
	volume_close(&volume);
	memory_free(bulk.items);
}

/* ---- what must not be acknowledged ---- */

static void count_change(struct volume *volume, void *context)
{
	(void)volume;
	++*(size_t *)context;
}

enum vandal {
	UNLINK_FILE,
	REPLACE_SUPERBLOCK,
	REMOVE_ALL,
	FAIL_SYNC,
	REMOVE_SUPERBLOCK,
	SAY_FAILED
};

static void vandalise(struct fixture *fixture, struct volume *volume, enum vandal vandal)
{
	const struct fixture_fault sync = {
		.kind = ENV_IO_COMMIT, .done_anyway = true, .err = ERR_IO};
	struct buf raw = {0};

	if (vandal == UNLINK_FILE || vandal == REMOVE_ALL)
		assert_int_equal(io_unlink(FIXTURE_VOLUME "/columns/0"), ERR_OK);
	if (vandal == REPLACE_SUPERBLOCK) {
		fixture_read(SUPERBLOCK, &raw);
		assert_int_equal(io_replace_file(SUPERBLOCK, bytes_of_buf(&raw)), ERR_OK);
		buf_finish(&raw);
	}
	if (vandal == REMOVE_ALL || vandal == REMOVE_SUPERBLOCK)
		assert_int_equal(io_unlink(SUPERBLOCK), ERR_OK);
	if (vandal == FAIL_SYNC)
		fixture_inject(fixture, &sync);
	if (vandal == SAY_FAILED)
		volume_fail(volume, ERR_CORRUPT);
}

struct loss {
	struct fixture *fixture;
	enum vandal vandal;
};

static void lose_volume(void *argument)
{
	const struct loss *loss = argument;
	struct volume *volume;
	struct env_file *file = NULL;
	struct writes writes = {0};
	size_t changes = 0;
	uint64_t disk_writes;

	fixture_format();
	volume = fixture_open();
	volume_watch(volume, count_change, &changes);
	file = make_file(volume, "columns/0");
	volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[0], ERR_OK);
	vandalise(loss->fixture, volume, loss->vandal);
	for (size_t i = 0; i < 5; i++)
		volume_submit(volume, prepare(&writes, file));
	task_yield(); /* the commit of these is under way; the next wait in the queue */
	for (size_t i = 0; i < 5; i++)
		volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	disk_writes = loss->fixture->disk->counters.writes;
	for (size_t i = 0; i < 5; i++)
		volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	/* Nothing was tried again. */
	assert_int_equal(loss->fixture->disk->counters.writes, disk_writes);
	for (size_t i = 1; i < 16; i++)
		assert_int_equal(writes.errs[i], ERR_IO);
	assert_int_equal(volume_state(volume), VOLUME_FAILED);
	assert_int_equal(changes, 1);
	assert_int_equal(volume_counters(volume).commits, 1);
	io_close(&file);
	assert_int_equal(volume_create_file(volume, "columns/1", bytes_string(""), 0, &file),
			 ERR_IO);
	volume_close(&volume);
}

static void test_failures(void **state)
{
	(void)state;
	for (enum vandal vandal = UNLINK_FILE; vandal <= SAY_FAILED; vandal++) {
		struct fixture fixture;
		struct loss loss = {&fixture, vandal};

		fixture_start(&fixture, vandal, 0);
		fixture_run(&fixture, lose_volume, &loss);
		assert_true(fixture_logged(&fixture, "event=volume-failed"));
		fixture_finish(&fixture);
	}
}

/* Nobody writes, and still somebody notices. */
static void vanish_idle(void *argument)
{
	const struct fixture_fault fault = {.kind = ENV_IO_SPACE, .err = ERR_NOTFOUND};
	struct volume *volume;

	fixture_format();
	volume = fixture_open();
	fixture_inject(argument, &fault);
	assert_int_equal(task_sleep(6000), ERR_OK);
	assert_int_equal(volume_state(volume), VOLUME_FAILED);
	volume_close(&volume);
}

/* ---- space ---- */

static void keep_reserve(void *argument)
{
	struct volume *volume;
	struct env_file *file;
	struct writes writes = {0};
	uint64_t total, free_space;
	size_t changes = 0;

	(void)argument;
	fixture_format();
	volume = fixture_open();
	volume_watch(volume, count_change, &changes);
	file = make_file(volume, "columns/0");
	volume_space(volume, &total, &free_space);
	volume_set_reserve(volume, free_space - 15);
	volume_submit(volume, prepare(&writes, file)); /* 10 bytes: fits */
	volume_submit(volume, prepare(&writes, file)); /* 10 more do not */
	prepare(&writes, file)->urgent = true;
	volume_submit(volume, &writes.items[2]);
	volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[0], ERR_OK);
	assert_int_equal(writes.errs[1], ERR_NOSPACE);
	assert_int_equal(writes.errs[2], ERR_OK);
	assert_int_equal(writes.errs[3], ERR_NOSPACE);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(writes.order[i], i);
	assert_int_equal(volume_state(volume), VOLUME_FULL);
	assert_int_equal(volume_counters(volume).writes, 2);
	volume_set_reserve(volume, 1024);
	assert_int_equal(task_sleep(6000), ERR_OK);
	assert_int_equal(volume_state(volume), VOLUME_ACTIVE);
	assert_int_equal(changes, 2);
	volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[4], ERR_OK);
	io_close(&file);
	volume_close(&volume);
}

/* The disk itself says no: nothing of that commit counts, nor what was queued behind it. */
static void fill_disk(void *argument)
{
	const struct fixture_fault fault = {.kind = ENV_IO_COMMIT, .err = ERR_NOSPACE};
	struct fixture *fixture = argument;
	struct volume *volume;
	struct env_file *file;
	struct writes writes = {0};

	fixture_format();
	volume = fixture_open();
	file = make_file(volume, "columns/0");
	fixture_inject(fixture, &fault);
	for (size_t i = 0; i < 5; i++)
		volume_submit(volume, prepare(&writes, file));
	task_yield();
	for (size_t i = 0; i < 5; i++)
		volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(writes.errs[i], ERR_NOSPACE);
	assert_int_equal(volume_state(volume), VOLUME_FULL);
	assert_int_equal(task_sleep(6000), ERR_OK);
	assert_int_equal(volume_state(volume), VOLUME_ACTIVE);
	volume_submit(volume, prepare(&writes, file));
	group_wait(&writes.ended);
	assert_int_equal(writes.errs[10], ERR_OK);
	io_close(&file);
	volume_close(&volume);
}

static void run(void (*task)(void *argument))
{
	struct fixture fixture;

	fixture_start(&fixture, 1, 0);
	fixture_run(&fixture, task, &fixture);
	fixture_finish(&fixture);
}

#define TEST(name, task)                                                                           \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		run(task);                                                                         \
	}

TEST(test_make_and_open, make_and_open)
TEST(test_leftovers, format_over_leftovers)
TEST(test_mend_superblock, mend_superblock)
TEST(test_share_syncs, share_syncs)
TEST(test_order, keep_order)
TEST(test_unsynced, write_unsynced)
TEST(test_bulk, overtake_bulk)
TEST(test_vanish_idle, vanish_idle)
TEST(test_reserve, keep_reserve)
TEST(test_disk_full, fill_disk)

static void test_refusals(void **state)
{
	static const char *const events[] = {"event=volume-missing", "event=volume-foreign",
					     "event=volume-newer", "event=volume-damaged"};
	struct fixture fixture;

	(void)state;
	fixture_start(&fixture, 1, 0);
	fixture_run(&fixture, refuse, NULL);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		assert_true(fixture_logged(&fixture, events[i]));
	assert_false(fixture_logged(&fixture, "event=volume-locked"));
	fixture_finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_and_open), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_leftovers),     cmocka_unit_test(test_mend_superblock),
		cmocka_unit_test(test_share_syncs),   cmocka_unit_test(test_order),
		cmocka_unit_test(test_unsynced),      cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_failures),      cmocka_unit_test(test_vanish_idle),
		cmocka_unit_test(test_reserve),	      cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
