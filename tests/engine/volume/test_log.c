/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "tests/support/volume_fixture.h"

#define NAME "journal/0000000000000001.seg"
#define PATH FIXTURE_VOLUME "/" NAME
#define VISITS_MAX 64

static const struct log_options OPTIONS = {.name = NAME, .set = 1, .column = RECORD_NO_COLUMN};
static const uint8_t FILE_HEADER[LOG_HEADER_SIZE] = "header";

static struct log *create_log(struct volume *volume)
{
	struct log *log = NULL;

	assert_int_equal(
		log_create(volume, &OPTIONS, bytes_make(FILE_HEADER, LOG_HEADER_SIZE), &log),
		ERR_OK);
	return log;
}

static struct log *open_log(struct volume *volume)
{
	struct log *log = NULL;
	struct buf header = {0};

	assert_int_equal(log_open(volume, &OPTIONS, &header, &log), ERR_OK);
	assert_int_equal(header.size, LOG_HEADER_SIZE);
	assert_memory_equal(header.data, FILE_HEADER, LOG_HEADER_SIZE);
	buf_finish(&header);
	return log;
}

static struct record entry(uint64_t number)
{
	return (struct record){.type = RECORD_ENTRY, .number = number};
}

static enum err put(struct log *log, uint64_t number, size_t size)
{
	uint8_t payload[4096];
	struct record record = entry(number);

	memset(payload, (int)(number + 1), size);
	return log_append_wait(log, &record, bytes_make(payload, size));
}

/* What a scan reported, in order. */
struct visits {
	size_t count;
	struct {
		enum log_event event;
		uint64_t offset, size, number;
	} items[VISITS_MAX];
};

static enum err note(void *context, const struct log_visit *visit)
{
	struct visits *visits = context;

	assert_true(visits->count < VISITS_MAX);
	visits->items[visits->count].event = visit->event;
	visits->items[visits->count].offset = visit->offset;
	visits->items[visits->count].size = visit->size;
	visits->items[visits->count].number =
		visit->event == LOG_RECORD ? visit->record->number : UINT64_MAX;
	visits->count++;
	return ERR_OK;
}

static void scan(struct log *log, uint64_t hint, struct visits *visits)
{
	visits->count = 0;
	assert_int_equal(log_scan(log, 0, hint, false, note, visits, NULL), ERR_OK);
}

static void append_and_scan(void *argument)
{
	struct volume *volume;
	struct visits visits;
	struct log *log;
	struct hash128 running;
	uint64_t end;

	(void)argument;
	fixture_format();
	volume = fixture_open();
	log = create_log(volume);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(put(log, i, (size_t)i * 100), ERR_OK);
	end = log_end(log);
	running = log_running(log);
	assert_int_equal(log_durable(log), end);
	log_close(&log);
	volume_close(&volume);
	volume = fixture_open();
	log = open_log(volume);
	assert_int_equal(put(log, 9, 1), ERR_INVALID);
	scan(log, end, &visits);
	assert_int_equal(visits.count, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(visits.items[i].event, LOG_RECORD);
		assert_int_equal(visits.items[i].number, i);
		assert_int_equal(visits.items[i].size, record_size((uint32_t)i * 100));
	}
	assert_int_equal(log_end(log), end);
	assert_true(hash128_equal(log_running(log), running));
	assert_int_equal(put(log, 5, 1), ERR_OK);
	scan(log, 0, &visits);
	assert_int_equal(visits.count, 6);
	log_close(&log);
	volume_close(&volume);
}

static void test_append_and_scan(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_start(&fixture, 1, 0);
	fixture_run(&fixture, append_and_scan, NULL);
	fixture_finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
