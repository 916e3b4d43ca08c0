/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t FILE_HEADER[LOG_HEADER_SIZE] = "header";

struct log_options fixture_log_options(void)
{
	return (struct log_options){.name = LOG_NAME, .set = LOG_SET, .column = RECORD_NO_COLUMN};
}

struct log *fixture_create_log(struct volume *volume)
{
	const struct log_options options = fixture_log_options();
	struct log *log = NULL;

	assert_int_equal(
		log_create(volume, &options, bytes_make(FILE_HEADER, LOG_HEADER_SIZE), &log),
		ERR_OK);
	return log;
}

struct log *fixture_open_log(struct volume *volume)
{
	const struct log_options options = fixture_log_options();
	struct log *log = NULL;
	struct buf header = {0};

	assert_int_equal(log_open(volume, &options, &header, &log), ERR_OK);
	assert_int_equal(header.size, LOG_HEADER_SIZE);
	assert_memory_equal(header.data, FILE_HEADER, LOG_HEADER_SIZE);
	buf_finish(&header);
	return log;
}

struct record fixture_entry(uint64_t number, size_t size, uint8_t payload[LOG_PAYLOAD_MAX])
{
	struct record record = {.type = RECORD_ENTRY, .number = number};

	memset(payload, (uint8_t)(number + 1), size);
	record_hash_payload(&record, bytes_make(payload, size));
	return record;
}

enum err fixture_put(struct log *log, uint64_t number, size_t size)
{
	uint8_t payload[LOG_PAYLOAD_MAX];
	struct record record = fixture_entry(number, size, payload);

	return log_append_wait(log, &record, bytes_make(payload, size), false);
}

static enum err note(void *context, const struct log_visit *visit)
{
	struct visits *visits = context;
	size_t i = visits->count++;

	assert_true(i < VISITS_MAX);
	visits->items[i].event = visit->event;
	visits->items[i].offset = visit->offset;
	visits->items[i].size = visit->size;
	visits->items[i].number = UINT64_MAX;
	if (visit->event != LOG_RECORD)
		return ERR_OK;
	visits->items[i].number = visit->record->number;
	visits->items[i].durable = visit->record->durable;
	assert_int_equal(visit->payload.size, visit->record->payload_size);
	if (visit->record->type == RECORD_ENTRY)
		for (size_t at = 0; at < visit->payload.size; at++)
			assert_int_equal(visit->payload.data[at],
					 (uint8_t)(visit->record->number + 1));
	return ERR_OK;
}

void fixture_scan(struct log *log, uint64_t hint, struct visits *visits)
{
	visits->count = 0;
	assert_int_equal(log_scan(log, 0, hint, true, note, visits, NULL), ERR_OK);
}
