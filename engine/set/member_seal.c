/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/member_readback.h"

/* ---- a data column ---- */

static WAITS enum err check_data(struct member *member, const struct member_column *column,
				 struct hash128 *file_hash)
{
	struct member_readback readback = {0};
	enum err err = member_readback_begin(&readback, sched_env(member->sched), column, NULL);

	while (err == ERR_OK && !member_readback_at_end(&readback))
		err = member_readback_next(&readback);
	if (err == ERR_OK)
		err = member_readback_result(&readback);
	if (err == ERR_OK)
		*file_hash = column->machine.columns[column->header.column].running;
	member_readback_finish(&readback);
	return err;
}

/* ---- voting ---- */

/* The log has served; reads that are under way in it end first. */
static WAITS enum err retire_log(struct member *member, struct member_column *column)
{
	char name[COLUMN_NAME_SIZE];

	while (column->log_readers > 0) {
		enum err err = cond_wait(&column->changed, TASK_FOREVER);

		if (err != ERR_OK)
			return err;
	}
	log_close(&column->log);
	records_finish(&column->records);
	if (!set_member_may_drop_mirror(&column->machine))
		return ERR_OK;
	column_name(column->header.set, column->header.column, COLUMN_MIRROR, name);
	set_member_drop_mirror(&column->machine);
	return volume_remove_file(member->volume, name);
}

static WAITS enum err write_vote(struct member_column *column)
{
	struct record record = {.type = RECORD_VOTE, .birth_set = column->header.set};
	struct buf payload = {0};
	enum err err;

	column_vote_encode(&column->machine.vote, &payload);
	err = payload.err;
	if (err == ERR_OK)
		err = log_append_wait(column->log, &record, bytes_of_buf(&payload), true);
	buf_finish(&payload);
	if (err == ERR_OK)
		set_member_voted(&column->machine);
	else
		column->broken = true;
	cond_broadcast(&column->changed);
	return err;
}

enum err member_vote(struct member *member, struct member_column *column,
		     struct set_vote_call *call)
{
	struct hash128 seal, file_hash = {0, 0};
	enum err err;

	if (!id128_equal(column->header.uuid, call->uuid))
		return ERR_CONFLICT;
	if (column->broken || column->torn || column->damaged)
		return ERR_UNAVAILABLE;
	seal = set_seal_id(call->set, call->uuid, &call->descriptor);
	err = set_member_vote(&column->machine, seal, &call->descriptor);
	if (err == ERR_EXISTS) {
		call->vote = column->machine.vote;
		return ERR_OK;
	}
	if (err != ERR_OK)
		return err;
	err = column->header.kind == COLUMN_DATA
		      ? check_data(member, column, &file_hash)
		      : member_encode(member, column, set_descriptor_longest(&call->descriptor),
				      &file_hash);
	/* What does not read back as it was synced is damaged, wherever that came from. */
	column->damaged |= err == ERR_CORRUPT;
	set_member_checked(&column->machine, err == ERR_OK, file_hash);
	if (err == ERR_OK)
		err = write_vote(column);
	if (err == ERR_OK)
		call->vote = column->machine.vote;
	set_member_check(&column->machine);
	if (err == ERR_OK && PLANTED(mirror_dropped_before_votes) &&
	    column->header.kind == COLUMN_MIRROR)
		err = retire_log(member, column);
	return err;
}

/* ---- footers ---- */

struct write_wait {
	struct group ended;
	enum err err;
};

static void write_ended(struct volume_write *write, enum err err)
{
	struct write_wait *wait = write->context;

	wait->err = err;
	group_leave(&wait->ended);
}

/* Takes the reference. Urgent: sealing frees more than it takes. */
static WAITS enum err write_wait(struct volume *volume, struct env_file *file, uint64_t offset,
				 struct shared *bytes)
{
	struct write_wait wait = {{0}, ERR_OK};
	struct volume_write write = {.file = file,
				     .offset = offset,
				     .shared = {bytes, NULL},
				     .urgent = true,
				     .done = write_ended,
				     .context = &wait};

	group_enter(&wait.ended);
	volume_submit(volume, &write);
	group_wait(&wait.ended);
	return wait.err;
}

static WAITS enum err write_trailer(struct member *member, struct env_file *file,
				    const struct column_trailer *trailer)
{
	struct shared *bytes = shared_create(COLUMN_TRAILER_SIZE);

	if (bytes == NULL)
		return ERR_NOMEM;
	column_trailer_encode(trailer, bytes->data);
	return write_wait(member->volume, file, column_trailer_offset(trailer), bytes);
}

/* Index, synced, then the trailer that vouches for it. Takes the reference. */
static WAITS enum err write_footer(struct member *member, struct env_file *file,
				   const struct column_trailer *trailer, struct shared *index)
{
	/* Zeros that a crash left behind the end, and what was preallocated, would hide the
	 * trailer from who looks for it at the end of the file. */
	enum err err = io_truncate(file, trailer->index_offset);

	if (err == ERR_OK && index->size > 0)
		err = write_wait(member->volume, file, trailer->index_offset,
				 shared_reference(index));
	shared_release(&index);
	return err == ERR_OK ? write_trailer(member, file, trailer) : err;
}

static void describe(const struct member_column *column, const struct set_certify_call *call,
		     struct column_trailer *out)
{
	const struct set_descriptor *descriptor = &call->certificate.descriptor;
	struct column_header header = column->header;
	uint64_t end;

	header.kind = header.kind == COLUMN_DATA ? COLUMN_DATA : COLUMN_PARITY;
	/* Behind a data column stand its fence and its vote. */
	end = header.kind == COLUMN_DATA ? log_end(column->log)
					 : column_body_size(descriptor, header.column);
	column_trailer_make(out, &header, &call->certificate, LOG_HEADER_SIZE + end,
			    shared_bytes(call->index), call->entries);
}

static WAITS enum err seal_column(struct member *member, struct member_column *column,
				  const struct column_trailer *trailer, struct shared *index)
{
	struct env_file *file = NULL;
	char name[COLUMN_NAME_SIZE];
	enum err err = ERR_OK;

	if (column->header.kind == COLUMN_DATA) {
		err = write_footer(member, log_file(column->log), trailer, index);
	} else {
		column_name(column->header.set, column->header.column, COLUMN_PARITY, name);
		err = volume_open_file(member->volume, name, &file);
		if (err == ERR_OK)
			err = write_footer(member, file, trailer, index);
		else
			shared_release(&index);
		io_close(&file);
	}
	if (err != ERR_OK) {
		set_member_not_sealed(&column->machine);
		return err;
	}
	column->trailer = *trailer;
	set_member_sealed(&column->machine);
	return retire_log(member, column);
}

enum err member_certify(struct member *member, struct member_column *column,
			struct set_certify_call *call)
{
	struct column_trailer trailer;
	struct hash128 seal;
	enum err err;

	seal = set_seal_id(call->set, column->header.uuid, &call->certificate.descriptor);
	if (!hash128_equal(seal, call->certificate.seal) ||
	    call->index->size != (size_t)column_index_pages(call->entries) * COLUMN_INDEX_PAGE)
		err = ERR_INVALID;
	else
		err = set_member_certify(&column->machine, &call->certificate);
	if (err != ERR_OK) {
		shared_release(&call->index);
		return err == ERR_EXISTS ? ERR_OK : err;
	}
	describe(column, call, &trailer);
	err = seal_column(member, column, &trailer, call->index);
	call->index = NULL;
	return err;
}
