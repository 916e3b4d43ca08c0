/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/set/column_check.h"
#include "engine/set/member_private.h"
#include "engine/set/pace.h"

struct look {
	const struct member *member;
	struct pace pace;
	struct buf faults; /* struct set_fault */
	uint32_t count;
};

static void take_fault(void *context, const struct column_fault_report *report)
{
	struct look *look = context;
	const struct set_fault fault = {
		.fault = (uint8_t)report->fault, .offset = report->offset, .size = report->size};

	buf_put(&look->faults, &fault, sizeof(fault));
	look->count++;
}

static WAITS enum err keep_pace(void *context, uint64_t size)
{
	struct look *look = context;

	return look->member->closing ? ERR_CANCELED : pace_wait(&look->pace, size);
}

static enum err give_faults(const struct look *look, struct set_check_call *call)
{
	if (look->faults.err != ERR_OK)
		return look->faults.err;
	call->count = look->count;
	if (look->count == 0)
		return ERR_OK;
	call->faults = shared_create(look->faults.size);
	if (call->faults == NULL)
		return ERR_NOMEM;
	memcpy(call->faults->data, look->faults.data, look->faults.size);
	return ERR_OK;
}

static WAITS enum err check_file(struct member *member, struct member_column *column,
				 const struct column_check_options *options,
				 struct column_check *out)
{
	struct env_file *file;
	enum err err;

	if (member_column_sealed(column)) {
		err = member_file(member, column, &file);
		return err != ERR_OK ? err : column_check(file, options, out);
	}
	/* The log's file goes when the column is sealed, but not under somebody who reads it. */
	column->log_readers++;
	err = column_check(log_file(column->log), options, out);
	column->log_readers--;
	cond_broadcast(&column->changed);
	return err;
}

enum err member_check(struct member *member, struct member_column *column,
		      struct set_check_call *call)
{
	struct look look = {.member = member,
			    .pace = {.volume = member->volume, .rate = call->rate}};
	struct column_check_options options = {.set = column->header.set,
					       .column = column->header.column,
					       .kind = column->header.kind,
					       .fault = take_fault,
					       .pace = keep_pace,
					       .context = &look};
	struct set_certificate certificate;
	struct column_check check = {0};
	enum err err = ERR_OK;

	call->faults = NULL;
	call->count = 0;
	if (member_column_sealed(column)) {
		certificate = column->trailer.certificate;
		options.kind = column->trailer.kind;
		options.certificate = &certificate;
	} else if (column->log == NULL || column->broken) {
		return ERR_UNAVAILABLE;
	} else if (log_durable(column->log) == 0) {
		return ERR_OK;
	} else {
		options.limit = log_durable(column->log);
	}
	err = check_file(member, column, &options, &check);
	call->bytes_read = check.bytes_read;
	/* It will not be voted for: the set is evacuated when its turn comes. */
	column->damaged |= err == ERR_OK && check.faults != 0 && !member_column_sealed(column);
	if (err == ERR_OK)
		err = give_faults(&look, call);
	buf_finish(&look.faults);
	return err;
}
