/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "tests/support/log_fixture.h"

#define APPENDS_MAX 64

/* ---- the plain way ---- */

static void append_and_scan(void *argument)
{
	struct volume *volume;
	struct visits visits;
	struct log *log;
	struct hash128 running;
	struct buf raw = {0};
	uint64_t end;

	(void)argument;
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(fixture_put(log, i, (size_t)i * 100), ERR_OK);
	end = log_end(log);
	running = log_running(log);
	assert_int_equal(log_durable(log), end);
	log_close(&log);
	volume_close(&volume);
	volume = fixture_open();
	log = fixture_open_log(volume);
	assert_int_equal(fixture_put(log, 9, 1), ERR_INVALID);
	fixture_scan(log, end, &visits);
	assert_int_equal(visits.count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(visits.items[i].event, LOG_RECORD);
		assert_int_equal(visits.items[i].number, i);
		assert_int_equal(visits.items[i].size, record_size((uint32_t)i * 100));
	}
	assert_int_equal(log_end(log), end);
	assert_true(hash128_equal(log_running(log), running));
	assert_int_equal(fixture_put(log, 5, 1), ERR_OK);
	fixture_scan(log, 0, &visits);
	assert_int_equal(visits.count, 6);
	assert_int_equal(log_read(log, visits.items[2].offset, visits.items[2].size, &raw), ERR_OK);
	assert_int_equal(raw.size, record_size(200));
	assert_int_equal(log_read(log, log_end(log), 64, &raw), ERR_TORN);
	assert_int_equal(raw.size, record_size(200));
	buf_finish(&raw);
	log_close(&log);
	volume_close(&volume);
}

/* Larger than the scan's window, with records across its edges. */
static void scan_large(void *argument)
{
	static uint8_t payload[RECORD_PAYLOAD_MAX];
	const uint32_t sizes[] = {700000, RECORD_PAYLOAD_MAX, 900001, 0, 1048576, 3000000};
	struct volume *volume;
	struct log *log;
	struct visits visits;

	(void)argument;
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	for (size_t i = 0; i < 6; i++) {
		struct record record = {.type = RECORD_ENTRY, .number = i};

		memset(payload, (uint8_t)(i + 1), sizes[i]);
		assert_int_equal(
			log_append_wait(log, &record, bytes_make(payload, sizes[i]), false),
			ERR_OK);
	}
	fixture_scan(log, log_end(log), &visits);
	assert_int_equal(visits.count, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(visits.items[i].event, LOG_RECORD);
		assert_int_equal(visits.items[i].size, record_size(sizes[i]));
	}
	/* One byte near the end of the largest. */
	assert_int_equal(io_write_sync(log_file(log),
				       LOG_HEADER_SIZE + visits.items[2].offset - 1000,
				       bytes_string("x")),
			 ERR_OK);
	fixture_scan(log, 0, &visits);
	assert_int_equal(visits.count, 6);
	assert_int_equal(visits.items[1].event, LOG_CORRUPT);
	assert_int_equal(visits.items[1].size, record_size(RECORD_PAYLOAD_MAX));
	assert_int_equal(visits.items[2].event, LOG_RECORD);
	log_close(&log);
	volume_close(&volume);
}

/* A sector that cannot be read costs its record only. */
static void scan_bad_sector(void *argument)
{
	const struct fixture_fault once = {.kind = ENV_IO_READ, .err = ERR_IO};
	const struct fixture_fault always = {.kind = ENV_IO_READ, .err = ERR_IO, .forever = true};
	struct fixture *fixture = argument;
	struct volume *volume;
	struct log *log;
	struct visits visits;

	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(fixture_put(log, i, 1000), ERR_OK);
	fixture_inject(fixture, &once);
	fixture_scan(log, 0, &visits);
	assert_int_equal(visits.count, 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(visits.items[i].event, LOG_RECORD);
	assert_true(fixture_logged(fixture, "event=log-unreadable"));
	fixture_inject(fixture, &always);
	visits.count = 0;
	assert_int_equal(log_scan(log, 0, 0, false, NULL, NULL, NULL), ERR_IO);
	assert_int_equal(fixture_put(log, 9, 1), ERR_INVALID);
	log_close(&log);
	volume_close(&volume);
}

/* ---- verbatim ---- */

struct outcome {
	struct log_append append;
	struct group ended;
	enum err err;
};

static void appended(struct log_append *append, enum err err)
{
	struct outcome *outcome = append->context;

	outcome->err = err;
	group_leave(&outcome->ended);
}

static enum err put_verbatim(struct log *log, struct bytes bytes)
{
	struct outcome outcome = {.ended = {0}};
	struct shared *shared = shared_create(bytes.size);

	assert_non_null(shared);
	memcpy(shared->data, bytes.data, bytes.size);
	outcome.append.done = appended;
	outcome.append.context = &outcome;
	group_enter(&outcome.ended);
	log_append_verbatim(log, &outcome.append, shared);
	group_wait(&outcome.ended);
	return outcome.err;
}

static struct bytes part_of(const struct buf *raw, const struct visits *visits, size_t i)
{
	return bytes_slice(bytes_of_buf(raw), (size_t)(LOG_HEADER_SIZE + visits->items[i].offset),
			   (size_t)visits->items[i].size);
}

static void copy_verbatim(void *argument)
{
	struct log_options options = fixture_log_options();
	struct volume *volume;
	struct log *log, *copy = NULL;
	struct visits visits;
	struct buf raw = {0}, copied = {0}, changed = {0};

	(void)argument;
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(fixture_put(log, i, 100), ERR_OK);
	fixture_scan(log, 0, &visits);
	fixture_read(LOG_PATH, &raw);
	options.name = "journal/copy";
	assert_int_equal(
		log_create(volume, &options, bytes_slice(bytes_of_buf(&raw), 0, 8192), &copy),
		ERR_OK);
	assert_int_equal(put_verbatim(copy, part_of(&raw, &visits, 1)), ERR_CONFLICT);
	buf_put_bytes(&changed, part_of(&raw, &visits, 0));
	changed.data[200] ^= 1; /* payload */
	assert_int_equal(put_verbatim(copy, bytes_of_buf(&changed)), ERR_CORRUPT);
	changed.data[200] ^= 1;
	changed.data[300] ^= 1; /* padding */
	assert_int_equal(put_verbatim(copy, bytes_of_buf(&changed)), ERR_CORRUPT);
	changed.data[300] ^= 1;
	changed.data[20] ^= 1; /* header */
	assert_int_equal(put_verbatim(copy, bytes_of_buf(&changed)), ERR_CORRUPT);
	assert_int_equal(put_verbatim(copy, bytes_slice(part_of(&raw, &visits, 0), 0, 256)),
			 ERR_CORRUPT);
	assert_int_equal(put_verbatim(copy, bytes_slice(part_of(&raw, &visits, 0), 0, 100)),
			 ERR_CORRUPT);
	/* None of these was an append: the log goes on. */
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(put_verbatim(copy, part_of(&raw, &visits, i)), ERR_OK);
		assert_int_equal(put_verbatim(copy, part_of(&raw, &visits, i)), ERR_CONFLICT);
	}
	assert_true(hash128_equal(log_running(log), log_running(copy)));
	fixture_read(FIXTURE_VOLUME "/journal/copy", &copied);
	assert_true(bytes_equal(bytes_of_buf(&raw), bytes_of_buf(&copied)));
	buf_finish(&raw);
	buf_finish(&copied);
	buf_finish(&changed);
	log_close(&log);
	log_close(&copy);
	volume_close(&volume);
}

/* ---- failure of one append ---- */

struct flight {
	struct log_append appends[APPENDS_MAX];
	enum err errs[APPENDS_MAX];
	size_t count, done_count;
	struct group ended;
};

static void landed(struct log_append *append, enum err err)
{
	struct flight *flight = append->context;
	size_t index = (size_t)(append - flight->appends);

	assert_true(flight->errs[index] == ERR_STALE);
	flight->errs[index] = err;
	flight->done_count++;
	group_leave(&flight->ended);
}

static bool launch(struct flight *flight, struct log *log, size_t size)
{
	size_t index = flight->count;
	uint8_t payload[LOG_PAYLOAD_MAX];
	struct shared *shared = shared_create(size);

	if (shared == NULL)
		return false;
	flight->count++;
	assert_true(index < APPENDS_MAX);
	flight->errs[index] = ERR_STALE;
	flight->appends[index].record = fixture_entry(index, size, payload);
	memcpy(shared->data, payload, size);
	flight->appends[index].done = landed;
	flight->appends[index].context = flight;
	group_enter(&flight->ended);
	log_append(log, &flight->appends[index], shared);
	return true;
}

/* Continues the place, but not the content, or claims more to be synced than is. */
static void refuse_other_history(void *argument)
{
	struct volume *volume;
	struct log *log;
	struct record record;
	uint8_t payload[LOG_PAYLOAD_MAX], raw[192] = {0};
	static struct flight flight;

	(void)argument;
	flight = (struct flight){.count = 0};
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	assert_int_equal(fixture_put(log, 0, 10), ERR_OK);
	record = fixture_entry(1, 0, payload);
	record.set = LOG_SET;
	record.column = RECORD_NO_COLUMN;
	record.offset = log_end(log);
	record_encode(&record, (struct hash128){1, 2}, raw);
	assert_int_equal(put_verbatim(log, bytes_make(raw, sizeof(raw))), ERR_CONFLICT);
	record.set++;
	record_encode(&record, log_running(log), raw);
	assert_int_equal(put_verbatim(log, bytes_make(raw, sizeof(raw))), ERR_CONFLICT);
	record.set--;
	record_encode(&record, log_running(log), raw);
	assert_int_equal(put_verbatim(log, bytes_make(raw, sizeof(raw))), ERR_OK);
	/* It fits behind an append that is under way, but that is not synced. */
	assert_true(launch(&flight, log, 10));
	record.offset = record.durable = log_end(log);
	record_encode(&record, log_running(log), raw);
	assert_int_equal(put_verbatim(log, bytes_make(raw, sizeof(raw))), ERR_CONFLICT);
	group_wait(&flight.ended);
	assert_int_equal(put_verbatim(log, bytes_make(raw, sizeof(raw))), ERR_OK);
	log_close(&log);
	volume_close(&volume);
}

static void break_log(void *argument)
{
	const struct fixture_fault full = {.kind = ENV_IO_COMMIT, .after = 1, .err = ERR_NOSPACE};
	static struct flight flight;
	struct volume *volume;
	struct log *log;
	uint64_t end;

	flight = (struct flight){.count = 0};
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	fixture_inject(argument, &full);
	assert_true(launch(&flight, log, 10));
	group_wait(&flight.ended);
	end = log_end(log);
	for (size_t i = 0; i < 4; i++)
		assert_true(launch(&flight, log, 10));
	assert_true(log_end(log) > end);
	group_wait(&flight.ended);
	assert_int_equal(flight.errs[0], ERR_OK);
	for (size_t i = 1; i < 5; i++)
		assert_int_equal(flight.errs[i], ERR_NOSPACE);
	assert_int_equal(log_end(log), end);
	assert_int_equal(log_durable(log), end);
	/* There is room again, but nobody knows what lies behind the end. */
	assert_int_equal(task_sleep(6000), ERR_OK);
	assert_int_equal(volume_state(volume), VOLUME_ACTIVE);
	assert_int_equal(fixture_put(log, 9, 1), ERR_NOSPACE);
	assert_int_equal(log_end(log), end);
	log_close(&log);
	volume_close(&volume);
}

/* Refused by accounting: no offset was given out, and the log goes on. */
static void refuse_for_space(void *argument)
{
	struct volume *volume;
	struct log *log;
	struct visits visits;
	uint64_t total, free_space;

	(void)argument;
	fixture_format();
	volume = fixture_open();
	log = fixture_create_log(volume);
	assert_int_equal(fixture_put(log, 0, 10), ERR_OK);
	volume_space(volume, &total, &free_space);
	volume_set_reserve(volume, free_space);
	assert_int_equal(fixture_put(log, 1, 10), ERR_NOSPACE);
	volume_set_reserve(volume, 1);
	assert_int_equal(task_sleep(6000), ERR_OK);
	assert_int_equal(fixture_put(log, 2, 10), ERR_OK);
	fixture_scan(log, 0, &visits);
	assert_int_equal(visits.count, 2);
	assert_int_equal(visits.items[1].number, 2);
	log_close(&log);
	volume_close(&volume);
}

/* ---- crashes and failures everywhere ---- */

/* What was acknowledged, over the lives of a node. */
struct life {
	struct fixture *fixture;
	bool made; /* log_create() returned ERR_OK */
	uint64_t acknowledged[APPENDS_MAX], count;
	bool over;
};

static void keep_account(struct life *life, const struct flight *flight)
{
	for (size_t i = 0; i < flight->count; i++) {
		assert_true(flight->errs[i] != ERR_STALE);
		/* A failed append ends it: nothing behind it is acknowledged. */
		if (i > 0 && flight->errs[i - 1] != ERR_OK)
			assert_true(flight->errs[i] != ERR_OK);
		if (flight->errs[i] == ERR_OK)
			life->acknowledged[life->count++] = i;
	}
}

static void work(void *argument)
{
	static struct flight flight;
	const struct log_options base = fixture_log_options();
	struct log_options options = base;
	static const uint8_t header[LOG_HEADER_SIZE] = "header";
	struct life *life = argument;
	struct volume *volume = NULL;
	struct volume_identity identity = fixture_identity();
	struct log *log = NULL;

	flight = (struct flight){.count = 0};
	options.allocate_size = 32768;
	if (volume_format(FIXTURE_VOLUME, &identity) != ERR_OK)
		return;
	if (volume_open(task_sched(), FIXTURE_VOLUME, FIXTURE_CLUSTER, &volume) != ERR_OK)
		return;
	if (log_create(volume, &options, bytes_make(header, sizeof(header)), &log) == ERR_OK) {
		life->made = true;
		for (size_t i = 0; i < 12; i++) {
			if (!launch(&flight, log, 100 * i))
				break;
			if (i % 3 == 2)
				task_yield();
			if (i % 5 == 4)
				group_wait(&flight.ended);
		}
		group_wait(&flight.ended);
		keep_account(life, &flight);
		life->over = flight.count == 12 && life->count == 12;
	}
	log_close(&log);
	volume_close(&volume);
}

/* Everything acknowledged is there, in order, before the end or the tail. */
static void look_again(void *argument)
{
	static struct visits visits;
	struct life *life = argument;
	struct volume *volume = NULL;
	struct log *log;
	size_t good = 0;

	if (!life->made)
		return;
	volume = fixture_open();
	log = fixture_open_log(volume);
	fixture_scan(log, 0, &visits);
	for (size_t i = 0; i < visits.count; i++) {
		assert_int_not_equal(visits.items[i].event, LOG_CORRUPT);
		if (visits.items[i].event == LOG_RECORD)
			assert_int_equal(visits.items[i].number, good++);
	}
	assert_true(good >= life->count);
	if (visits.count != good)
		assert_int_equal(log_truncate(log, log_end(log)), ERR_OK);
	assert_int_equal(fixture_put(log, good, 7), ERR_OK);
	fixture_scan(log, log_durable(log), &visits);
	assert_int_equal(visits.count, good + 1);
	log_close(&log);
	volume_close(&volume);
}

/* Whether the power failed before all was done. */
static bool crash_at(uint64_t step, uint64_t seed, enum sim_crash_outcome outcome)
{
	struct fixture fixture;
	struct life life = {.fixture = &fixture};
	bool crashed;

	fixture_start(&fixture, seed, 0);
	fixture.node->crash_at = step;
	fixture.node->crash_outcome = outcome;
	fixture_run(&fixture, work, &life);
	fixture.node->crash_at = 0;
	crashed = !sim_is_running(fixture.node);
	if (crashed) {
		assert_int_equal(sim_unwind(fixture.node), ERR_OK);
		sim_restart(fixture.node);
	}
	fixture_run(&fixture, look_again, &life);
	fixture_finish(&fixture);
	return crashed;
}

static void test_crash_everywhere(void **state)
{
	uint64_t step = 1;
	size_t crashes = 0;

	(void)state;
	for (bool crashed = true; crashed; step++) {
		crashed = false;
		for (uint64_t seed = 0; seed < 8; seed++)
			if (crash_at(step, seed,
				     (enum sim_crash_outcome)(seed % SIM_CRASH_OUTCOMES)))
				crashed = true;
		crashes += crashed;
	}
	assert_true(crashes > 30);
}

/* The n-th operation fails, for every n, in each of two ways. */
static void test_every_operation_fails(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 2; way++) {
		bool over = false;

		for (uint64_t n = 0; !over; n++) {
			const struct fixture_fault fault = {.any_kind = true,
							    .after = n,
							    .done_anyway = way == 1,
							    .err = ERR_IO};
			struct fixture fixture;
			struct life life = {.fixture = &fixture};

			fixture_start(&fixture, n, 0);
			fixture_inject(&fixture, &fault);
			fixture_run(&fixture, work, &life);
			over = fixture_io_count() <= n;
			assert_true(!over || life.over);
			fixture_inject(&fixture, NULL);
			fixture_run(&fixture, look_again, &life);
			fixture_finish(&fixture);
		}
	}
}

static void test_every_allocation_fails(void **state)
{
	bool over = false;

	(void)state;
	for (uint64_t n = 0; !over; n++) {
		struct fixture fixture;
		struct life life = {.fixture = &fixture};
		uint64_t before;

		fixture_start(&fixture, n, 0);
		/* The task itself is the test's. */
		sim_spawn(fixture.node, "work", work, &life);
		before = memory_allocations();
		memory_fail_after(n);
		assert_int_equal(sim_run_for(fixture.sim, 1000), ERR_OK);
		over = memory_allocations() - before <= n;
		memory_fail_after(UINT64_MAX);
		assert_true(!over || life.over);
		fixture_run(&fixture, look_again, &life);
		fixture_finish(&fixture);
	}
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

TEST(test_append_and_scan, append_and_scan)
TEST(test_large, scan_large)
TEST(test_bad_sector, scan_bad_sector)
TEST(test_verbatim, copy_verbatim)
TEST(test_other_history, refuse_other_history)
TEST(test_broken_log, break_log)
TEST(test_refused_for_space, refuse_for_space)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_scan),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_bad_sector),
		cmocka_unit_test(test_verbatim),
		cmocka_unit_test(test_other_history),
		cmocka_unit_test(test_broken_log),
		cmocka_unit_test(test_refused_for_space),
		cmocka_unit_test(test_crash_everywhere),
		cmocka_unit_test(test_every_operation_fails),
		cmocka_unit_test(test_every_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
