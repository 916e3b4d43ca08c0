/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Every way to cut a small log, and every byte of it flipped: what a scan must
 * say follows from where the records and their durable marks lie, which this
 * file works out by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/log_fixture.h"

#define RECORDS 6

struct sample {
	struct volume *volume;
	struct log *log;
	struct buf original; /* of the whole file */
	struct buf changed;
	uint64_t offset[RECORDS + 1]; /* the last: the end */
	uint64_t durable[RECORDS];
};

struct batch {
	struct log_append appends[3];
	struct group ended;
};

static void batch_ended(struct log_append *append, enum err err)
{
	struct batch *batch = append->context;

	assert_int_equal(err, ERR_OK);
	group_leave(&batch->ended);
}

/* Records 3, 4 and 5 in one commit: their marks all say where record 3 begins. */
static void put_batch(struct log *log)
{
	struct batch batch = {.ended = {0}};
	uint8_t payload[LOG_PAYLOAD_MAX];

	for (size_t i = 0; i < 3; i++) {
		size_t size = 20 + 70 * i;
		struct shared *shared = shared_create(size);

		assert_non_null(shared);
		batch.appends[i].record = fixture_entry(3 + i, size, payload);
		memcpy(shared->data, payload, size);
		batch.appends[i].done = batch_ended;
		batch.appends[i].context = &batch;
		group_enter(&batch.ended);
		log_append(log, &batch.appends[i], shared);
	}
	group_wait(&batch.ended);
}

static void sample_make(struct sample *sample)
{
	struct visits visits;

	*sample = (struct sample){0};
	fixture_format();
	sample->volume = fixture_open();
	sample->log = fixture_create_log(sample->volume);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(fixture_put(sample->log, i, 10 + 50 * (size_t)i), ERR_OK);
	put_batch(sample->log);
	fixture_scan(sample->log, 0, &visits);
	assert_int_equal(visits.count, RECORDS);
	for (size_t i = 0; i < RECORDS; i++) {
		sample->offset[i] = visits.items[i].offset;
		sample->durable[i] = visits.items[i].durable;
	}
	sample->offset[RECORDS] = log_end(sample->log);
	assert_int_equal(sample->durable[2], sample->offset[2]);
	assert_int_equal(sample->durable[5], sample->offset[3]);
	fixture_read(LOG_PATH, &sample->original);
	assert_int_equal(sample->original.size, LOG_HEADER_SIZE + sample->offset[RECORDS]);
	buf_put_bytes(&sample->changed, bytes_of_buf(&sample->original));
}

static void sample_finish(struct sample *sample)
{
	log_close(&sample->log);
	volume_close(&sample->volume);
	buf_finish(&sample->original);
	buf_finish(&sample->changed);
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void assert_record(const struct sample *sample, const struct visits *visits, size_t at,
			  size_t number)
{
	assert_true(at < visits->count);
	assert_int_equal(visits->items[at].event, LOG_RECORD);
	assert_int_equal(visits->items[at].number, number);
	assert_int_equal(visits->items[at].offset, sample->offset[number]);
}

/* ---- one byte flipped ---- */

/* Record `bad` is damaged; its header, and with it its mark, perhaps not. */
static void assert_flip(struct sample *sample, size_t bad, bool header_intact, uint64_t hint)
{
	struct visits visits;
	uint64_t mark = hint;
	size_t at = 0;

	for (size_t i = 0; i < RECORDS; i++)
		if (i != bad || header_intact)
			mark = max_u64(mark, sample->durable[i]);
	fixture_scan(sample->log, hint, &visits);
	for (; at < bad; at++)
		assert_record(sample, &visits, at, at);
	assert_true(at < visits.count);
	assert_int_equal(visits.items[at].offset, sample->offset[bad]);
	if (sample->offset[bad] >= mark) {
		assert_int_equal(visits.items[at].event, LOG_TAIL);
		assert_int_equal(visits.items[at].size,
				 sample->offset[RECORDS] - sample->offset[bad]);
		assert_int_equal(visits.count, at + 1);
		assert_int_equal(log_end(sample->log), sample->offset[bad]);
		assert_int_equal(fixture_put(sample->log, 9, 1), ERR_TORN);
		return;
	}
	assert_int_equal(visits.items[at].event, LOG_CORRUPT);
	assert_int_equal(visits.items[at].size, sample->offset[bad + 1] - sample->offset[bad]);
	for (at++; at < RECORDS; at++)
		assert_record(sample, &visits, at, at);
	assert_int_equal(visits.count, RECORDS);
	assert_int_equal(log_end(sample->log), sample->offset[RECORDS]);
	if (bad == RECORDS - 1)
		assert_int_equal(fixture_put(sample->log, 9, 1), ERR_CORRUPT);
}

static void flip_all(void *argument)
{
	struct sample sample;

	(void)argument;
	sample_make(&sample);
	for (size_t bad = 0; bad < RECORDS; bad++) {
		for (uint64_t at = sample.offset[bad]; at < sample.offset[bad + 1]; at++) {
			uint8_t *octet = sample.changed.data + LOG_HEADER_SIZE + at;
			bool header_intact = at - sample.offset[bad] >= RECORD_HEADER_SIZE;
			const uint8_t masks[] = {0x01, 0x80, 0xff};

			*octet ^= masks[at % 3];
			assert_int_equal(io_write_sync(log_file(sample.log), LOG_HEADER_SIZE + at,
						       bytes_make(octet, 1)),
					 ERR_OK);
			assert_flip(&sample, bad, header_intact, 0);
			assert_flip(&sample, bad, header_intact, sample.offset[RECORDS]);
			assert_flip(&sample, bad, header_intact, sample.offset[4]);
			*octet ^= masks[at % 3];
			assert_int_equal(io_write_sync(log_file(sample.log), LOG_HEADER_SIZE + at,
						       bytes_make(octet, 1)),
					 ERR_OK);
		}
	}
	sample_finish(&sample);
}

/* ---- cut ---- */

/* [0, size) of the records are left; behind them `zeros` zero bytes. */
static void assert_cut(struct sample *sample, uint64_t size, uint64_t zeros, uint64_t hint)
{
	struct visits visits;
	uint64_t corrupt_to, rest;
	size_t whole = 0, at;

	/* Zeros in the place of zeros: not cut at all. */
	while (zeros > 0 && size < sample->offset[RECORDS] &&
	       sample->original.data[LOG_HEADER_SIZE + size] == 0) {
		size++;
		zeros--;
	}
	while (whole < RECORDS && sample->offset[whole + 1] <= size)
		whole++;
	rest = size - sample->offset[whole];
	fixture_scan(sample->log, hint, &visits);
	for (at = 0; at < whole; at++)
		assert_record(sample, &visits, at, at);
	if (hint > sample->offset[whole]) {
		/* Known to have been durable: all of it is reported, in one extent or two. */
		for (corrupt_to = sample->offset[whole]; at < visits.count; at++) {
			if (visits.items[at].event == LOG_TAIL)
				break;
			assert_int_equal(visits.items[at].event, LOG_CORRUPT);
			assert_int_equal(visits.items[at].offset, corrupt_to);
			corrupt_to += visits.items[at].size;
		}
		assert_int_equal(corrupt_to, hint);
		rest = size > hint ? size - hint : 0;
	}
	if (rest != 0) {
		assert_int_equal(visits.items[at].event, LOG_TAIL);
		assert_int_equal(visits.items[at].size, rest + zeros);
		at++;
	}
	assert_int_equal(visits.count, at);
	assert_int_equal(log_end(sample->log), max_u64(hint, sample->offset[whole]));
	if (rest == 0 && hint <= sample->offset[whole])
		assert_int_equal(log_end(sample->log), sample->offset[whole]);
}

static void cut_all(void *argument)
{
	struct sample sample;

	(void)argument;
	sample_make(&sample);
	for (uint64_t size = sample.offset[RECORDS] + 1; size-- > 0;) {
		uint64_t hint = sample.offset[RECORDS];

		assert_int_equal(io_truncate(log_file(sample.log), LOG_HEADER_SIZE + size), ERR_OK);
		assert_cut(&sample, size, 0, 0);
		assert_cut(&sample, size, 0, hint);
		assert_int_equal(io_truncate(log_file(sample.log),
					     LOG_HEADER_SIZE + sample.offset[RECORDS] + 5000),
				 ERR_OK);
		assert_cut(&sample, size, sample.offset[RECORDS] + 5000 - size, 0);
		assert_cut(&sample, size, sample.offset[RECORDS] + 5000 - size, hint);
		assert_int_equal(io_truncate(log_file(sample.log), LOG_HEADER_SIZE + size), ERR_OK);
	}
	sample_finish(&sample);
}

/* ---- whole records in the wrong place ---- */

static void overwrite(struct sample *sample, uint64_t offset, struct bytes bytes)
{
	assert_int_equal(io_write_sync(log_file(sample->log), LOG_HEADER_SIZE + offset, bytes),
			 ERR_OK);
}

static void restore(struct sample *sample)
{
	overwrite(sample, 0,
		  bytes_slice(bytes_of_buf(&sample->original), LOG_HEADER_SIZE, SIZE_MAX));
}

/* A record encoded anew as it stood, with one change of its place part. */
static void misplace(struct sample *sample, size_t number, uint64_t set_delta, uint8_t column,
		     struct hash128 previous)
{
	struct record record;
	uint8_t header[RECORD_HEADER_SIZE];

	assert_int_equal(
		record_decode(sample->original.data + LOG_HEADER_SIZE + sample->offset[number],
			      &record),
		ERR_OK);
	record.set += set_delta;
	record.column = column;
	record_encode(&record, previous, header);
	overwrite(sample, sample->offset[number], bytes_make(header, sizeof(header)));
}

static struct hash128 running_before(const struct sample *sample, size_t number)
{
	struct record record;

	assert_int_equal(
		record_decode(sample->original.data + LOG_HEADER_SIZE + sample->offset[number - 1],
			      &record),
		ERR_OK);
	return record.running;
}

static void misdirect(void *argument)
{
	struct sample sample;
	struct bytes first;
	struct visits visits;

	(void)argument;
	sample_make(&sample);
	/* Record 0 intact, where record 2 was. */
	first = bytes_slice(bytes_of_buf(&sample.original), LOG_HEADER_SIZE,
			    (size_t)sample.offset[1]);
	overwrite(&sample, sample.offset[2], first);
	assert_flip(&sample, 2, false, 0);
	restore(&sample);
	misplace(&sample, 2, 1, RECORD_NO_COLUMN, running_before(&sample, 2));
	assert_flip(&sample, 2, false, 0);
	restore(&sample);
	misplace(&sample, 2, 0, 3, running_before(&sample, 2));
	assert_flip(&sample, 2, false, 0);
	restore(&sample);
	/* As it was: the way of doing it is not what is found. */
	misplace(&sample, 2, 0, RECORD_NO_COLUMN, running_before(&sample, 2));
	fixture_scan(sample.log, 0, &visits);
	assert_int_equal(visits.count, RECORDS);
	/* Right in all but what was before it: a lost write of an earlier life. */
	misplace(&sample, 2, 0, RECORD_NO_COLUMN, (struct hash128){1, 1});
	assert_flip(&sample, 2, true, 0);
	restore(&sample);
	fixture_scan(sample.log, 0, &visits);
	assert_int_equal(visits.count, RECORDS);
	sample_finish(&sample);
}

/* A record that later programs write: intact, so it is neither damage nor an end. */
static enum err ignore_visit(void *context, const struct log_visit *visit)
{
	(void)visit;
	++*(size_t *)context;
	return ERR_OK;
}

static void meet_newer(void *argument)
{
	struct sample sample;
	uint8_t *header;
	size_t count = 0;

	(void)argument;
	sample_make(&sample);
	header = sample.changed.data + LOG_HEADER_SIZE + sample.offset[2];
	header[5] = RECORD_MARK + 1;
	store_u64(header + 152, hash_64(header, 152));
	overwrite(&sample, sample.offset[2], bytes_make(header, RECORD_HEADER_SIZE));
	assert_int_equal(log_scan(sample.log, 0, 0, false, ignore_visit, &count, NULL), ERR_NEWER);
	assert_int_equal(count, 2);
	assert_int_equal(fixture_put(sample.log, 9, 1), ERR_INVALID);
	sample_finish(&sample);
}

/* A lost write in the middle leaves zeros; the same at the end of a batch is a torn one. */
static void lose_writes(void *argument)
{
	static const uint8_t zeros[1024];
	struct sample sample;

	(void)argument;
	sample_make(&sample);
	for (size_t i = 0; i < RECORDS - 1; i++) {
		size_t size = (size_t)(sample.offset[i + 1] - sample.offset[i]);

		overwrite(&sample, sample.offset[i], bytes_make(zeros, size));
		assert_flip(&sample, i, false, 0);
		assert_flip(&sample, i, false, sample.offset[RECORDS]);
		restore(&sample);
	}
	sample_finish(&sample);
}

/* ---- mending ---- */

static struct bytes original_record(const struct sample *sample, size_t number)
{
	return bytes_slice(bytes_of_buf(&sample->original),
			   (size_t)(LOG_HEADER_SIZE + sample->offset[number]),
			   (size_t)(sample->offset[number + 1] - sample->offset[number]));
}

static void repair(void *argument)
{
	static const uint8_t garbage[512] = {1, 2, 3};
	struct sample sample;
	struct visits visits;

	(void)argument;
	sample_make(&sample);
	for (size_t i = 0; i < RECORDS; i++) {
		struct bytes record = original_record(&sample, i);

		overwrite(&sample, sample.offset[i], bytes_make(garbage, record.size));
		assert_int_equal(log_repair(sample.log, sample.offset[i], record), ERR_OK);
		/* Again: it is there already. */
		assert_int_equal(log_repair(sample.log, sample.offset[i], record), ERR_OK);
		fixture_scan(sample.log, 0, &visits);
		assert_int_equal(visits.count, RECORDS);
	}
	assert_int_equal(log_repair(sample.log, sample.offset[1], original_record(&sample, 2)),
			 ERR_INVALID);
	assert_int_equal(log_repair(sample.log, sample.offset[1], bytes_make(garbage, 300)),
			 ERR_INVALID);
	assert_int_equal(log_repair(sample.log, sample.offset[1], bytes_make(garbage, 3)),
			 ERR_INVALID);
	fixture_scan(sample.log, 0, &visits);
	assert_int_equal(visits.count, RECORDS);
	assert_int_equal(fixture_put(sample.log, 9, 1), ERR_OK);
	sample_finish(&sample);
}

static void make_record(const struct sample *sample, size_t number, uint8_t type,
			uint32_t payload_size, struct buf *out)
{
	struct record record = {.type = type,
				.set = LOG_SET,
				.column = RECORD_NO_COLUMN,
				.offset = sample->offset[number],
				.durable = sample->offset[number]};
	uint8_t *at;

	buf_clear(out);
	at = buf_extend(out, (size_t)record_size(payload_size));
	assert_non_null(at);
	memset(at, 0, out->size);
	record_hash_payload(&record, bytes_make(at, payload_size));
	record_encode(&record, running_before(sample, number), at);
}

/* No copy has it: the place is filled, and everything behind it stays what it was. */
static void write_off(void *argument)
{
	static const uint8_t garbage[512] = {1, 2, 3};
	struct sample sample;
	struct visits visits;
	struct buf lost = {0};
	uint32_t room;

	(void)argument;
	sample_make(&sample);
	room = (uint32_t)(sample.offset[3] - sample.offset[2]) - RECORD_HEADER_SIZE;
	make_record(&sample, 2, RECORD_LOST, room, &lost);
	/* Not over a good record, and not over the one behind. */
	assert_int_equal(log_repair(sample.log, sample.offset[2], bytes_of_buf(&lost)),
			 ERR_CONFLICT);
	overwrite(&sample, sample.offset[2], bytes_make(garbage, lost.size));
	make_record(&sample, 2, RECORD_LOST, room + RECORD_ALIGN, &lost);
	assert_int_equal(log_repair(sample.log, sample.offset[2], bytes_of_buf(&lost)),
			 ERR_CONFLICT);
	make_record(&sample, 2, RECORD_LOST, room, &lost);
	assert_int_equal(log_repair(sample.log, sample.offset[2], bytes_of_buf(&lost)), ERR_OK);
	fixture_scan(sample.log, sample.offset[RECORDS], &visits);
	assert_int_equal(visits.count, RECORDS);
	for (size_t i = 0; i < RECORDS; i++)
		if (i != 2)
			assert_record(&sample, &visits, i, i);
	assert_int_equal(visits.items[2].event, LOG_RECORD);
	assert_int_equal(fixture_put(sample.log, 6, 1), ERR_OK);
	buf_finish(&lost);
	sample_finish(&sample);
}

static void truncate_tail(void *argument)
{
	struct sample sample;
	struct visits visits;

	(void)argument;
	sample_make(&sample);
	assert_int_equal(log_truncate(sample.log, sample.offset[RECORDS]), ERR_INVALID);
	overwrite(&sample, sample.offset[4] + 10, bytes_string("x"));
	fixture_scan(sample.log, 0, &visits);
	assert_int_equal(visits.items[visits.count - 1].event, LOG_TAIL);
	assert_int_equal(log_truncate(sample.log, sample.offset[3]), ERR_INVALID);
	assert_int_equal(log_truncate(sample.log, sample.offset[5]), ERR_INVALID);
	assert_int_equal(log_truncate(sample.log, sample.offset[4]), ERR_OK);
	assert_int_equal(fixture_put(sample.log, 4, 5), ERR_OK);
	fixture_scan(sample.log, 0, &visits);
	assert_int_equal(visits.count, 5);
	assert_int_equal(visits.items[4].event, LOG_RECORD);
	assert_int_equal(visits.items[4].offset, sample.offset[4]);
	sample_finish(&sample);
}

static void run(void (*task)(void *argument))
{
	struct fixture fixture;

	fixture_start(&fixture, 1, 0);
	fixture_run(&fixture, task, NULL);
	fixture_finish(&fixture);
}

#define TEST(name, task)                                                                           \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		run(task);                                                                         \
	}

TEST(test_every_flip, flip_all)
TEST(test_every_cut, cut_all)
TEST(test_misdirected, misdirect)
TEST(test_newer, meet_newer)
TEST(test_lost_writes, lose_writes)
TEST(test_repair, repair)
TEST(test_write_off, write_off)
TEST(test_truncate, truncate_tail)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_flip),  cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_misdirected), cmocka_unit_test(test_newer),
		cmocka_unit_test(test_lost_writes), cmocka_unit_test(test_repair),
		cmocka_unit_test(test_write_off),   cmocka_unit_test(test_truncate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
