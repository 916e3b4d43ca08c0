/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/member_readback.h"

#include "engine/plant.h"

/* Several of the longest records: a window's way to a thread and back costs what reading it does.
 */
#define WINDOW_SIZE (4u * MEMBER_RECORD_MAX)

/* ---- windows ---- */

static bool is_mirror(const struct member_readback *readback)
{
	return readback->column->header.kind != COLUMN_DATA;
}

/* What an item's record occupies in the log. */
static uint64_t size_in_log(const struct member_readback *readback, const struct records_item *item)
{
	uint64_t size = record_size(item->entry.payload_size);

	return is_mirror(readback) ? record_size((uint32_t)size) : size;
}

static void begin_window(struct member_readback *readback)
{
	const struct records *records = &readback->column->records;
	struct member_readback_window window = {.first = readback->coming.end,
						.end = readback->coming.end};

	while (window.end < records->count) {
		const struct records_item *item = &records->items[window.end];
		uint64_t size = size_in_log(readback, item);

		if (window.size == 0)
			window.place = item->place;
		else if (item->place != window.place + window.size ||
			 size > WINDOW_SIZE - window.size)
			break;
		window.size += size;
		window.end++;
	}
	readback->coming = window;
	if (window.size > 0)
		read_ahead_begin(&readback->ahead, LOG_HEADER_SIZE + window.place,
				 (size_t)window.size);
}

bool member_readback_at_end(const struct member_readback *readback)
{
	return readback->coming.size == 0;
}

enum err member_readback_begin(struct member_readback *readback, struct env *env,
			       const struct member_column *column, struct parity *parity)
{
	struct env_file *file = log_file(column->log);
	uint64_t end = log_end(column->log);
	enum err err;

	*readback = (struct member_readback){.column = column, .parity = parity};
	err = io_forget(file, 0, LOG_HEADER_SIZE + end);
	if (err == ERR_OK)
		err = read_ahead_init(&readback->ahead, env, file,
				      end < WINDOW_SIZE ? (size_t)end : WINDOW_SIZE);
	if (err == ERR_OK)
		begin_window(readback);
	return err;
}

void member_readback_finish(struct member_readback *readback)
{
	read_ahead_finish(&readback->ahead);
}

/* ---- verifying, in jobs ---- */

static bool padding_is_zero(struct bytes whole, const struct record *record)
{
	struct cursor cursor = cursor_make(
		bytes_slice(whole, RECORD_HEADER_SIZE + record->payload_size, SIZE_MAX));

	cursor_zeros(&cursor, cursor_left(&cursor));
	return cursor_end(&cursor) == ERR_OK;
}

static enum err add_record(struct member_readback *readback, const struct record *record,
			   struct bytes whole)
{
	uint64_t offset = record->offset;

	if (readback->parity == NULL)
		return ERR_OK;
	if (PLANTED(parity_over_stale_bytes) &&
	    record->column + 1 == readback->column->header.profile.k) {
		whole = bytes_slice(whole, RECORD_ALIGN, SIZE_MAX);
		offset += RECORD_ALIGN;
	}
	return parity_add(readback->parity, record->column, offset, whole);
}

static enum err check_record(struct member_readback *readback, uint8_t data_column,
			     struct bytes whole)
{
	const struct member_column *column = readback->column;
	struct set_position *position = &readback->positions[data_column];
	struct record record;
	enum err err = record_decode(whole.data, &record);

	if (err != ERR_OK)
		return err;
	if (record.offset != position->end || record.column != data_column ||
	    record.set != column->header.set || record_size(record.payload_size) != whole.size ||
	    whole.size > column->machine.columns[data_column].end - position->end ||
	    !padding_is_zero(whole, &record) ||
	    !hash128_equal(record.running, record_running(whole.data, position->running)))
		return ERR_CORRUPT;
	err = record_check_payload(&record,
				   bytes_slice(whole, RECORD_HEADER_SIZE, record.payload_size));
	if (err == ERR_OK)
		err = add_record(readback, &record, whole);
	position->end += whole.size;
	position->running = record.running;
	return err;
}

/* Where the column that is least far is; UINT64_MAX: all are complete. */
static uint64_t least_far(const struct member_readback *readback)
{
	const struct member_column *column = readback->column;
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < column->header.profile.k; i++) {
		uint64_t end = readback->positions[i].end;

		if (end < column->machine.columns[i].end && end < least)
			least = end;
	}
	return least;
}

static void check_window(void *argument)
{
	struct member_readback *readback = argument;
	const struct member_readback_window *window = &readback->window;
	const struct records_item *items = readback->column->records.items;

	readback->err = ERR_OK;
	for (size_t i = window->first; i < window->end && readback->err == ERR_OK; i++) {
		size_t size = (size_t)record_size(items[i].entry.payload_size);
		size_t at = (size_t)(items[i].place - window->place);

		if (is_mirror(readback))
			at += RECORD_HEADER_SIZE;
		readback->err = check_record(readback, items[i].entry.column,
					     bytes_slice(readback->bytes, at, size));
	}
	if (readback->err == ERR_OK && readback->parity != NULL)
		readback->err = parity_settle(readback->parity, least_far(readback));
}

enum err member_readback_next(struct member_readback *readback)
{
	enum err err = read_ahead_end(&readback->ahead, &readback->bytes);

	if (err != ERR_OK)
		return err;
	readback->window = readback->coming;
	begin_window(readback);
	err = task_offload(check_window, readback);
	return err == ERR_OK ? readback->err : err;
}

enum err member_readback_result(const struct member_readback *readback)
{
	const struct member_column *column = readback->column;

	for (size_t i = 0; i < column->header.profile.k; i++) {
		const struct set_position *expected = &column->machine.columns[i];

		if ((is_mirror(readback) || i == column->header.column) &&
		    (readback->positions[i].end != expected->end ||
		     !hash128_equal(readback->positions[i].running, expected->running)))
			return ERR_CORRUPT;
	}
	return ERR_OK;
}
