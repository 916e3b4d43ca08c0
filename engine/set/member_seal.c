/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/member_private.h"
#include "engine/set/stripe.h"

/* Bytes of each column that are encoded at a time; a multiple of the parity block. */
#define WINDOW_SIZE (4u * COLUMN_PARITY_BLOCK)

/* ---- reading a column back, record by record ---- */

/* Walks the records of one data column, as they lie in the data file or wrapped in a mirror. */
struct walk {
	const struct member_column *column;
	uint8_t data_column;
	size_t next; /* item to look at */
	struct set_position position;
};

static bool padding_is_zero(struct bytes whole, const struct record *record)
{
	struct cursor cursor = cursor_make(
		bytes_slice(whole, RECORD_HEADER_SIZE + record->payload_size, SIZE_MAX));

	cursor_zeros(&cursor, cursor_left(&cursor));
	return cursor_end(&cursor) == ERR_OK;
}

static enum err check_record(struct walk *walk, struct bytes whole)
{
	struct record record;
	enum err err = record_decode(whole.data, &record);

	if (err != ERR_OK)
		return err;
	if (record.offset != walk->position.end || record.column != walk->data_column ||
	    record.set != walk->column->header.set ||
	    record_size(record.payload_size) != whole.size || !padding_is_zero(whole, &record) ||
	    !hash128_equal(record.running,
			   record_running(whole.data, walk->position.running)))
		return ERR_CORRUPT;
	err = record_check_payload(&record, bytes_slice(whole, RECORD_HEADER_SIZE,
							record.payload_size));
	if (err != ERR_OK)
		return err;
	walk->position.end += whole.size;
	walk->position.running = record.running;
	return ERR_OK;
}

/* Appends the next record, verbatim and verified. ERR_NOTFOUND at the end of the column. */
static WAITS enum err walk_next(struct walk *walk, struct buf *out)
{
	const struct records *records = &walk->column->records;
	const struct records_item *item;
	uint64_t place;
	size_t start = out->size, size;
	enum err err;

	while (walk->next < records->count &&
	       records->items[walk->next].entry.column != walk->data_column)
		walk->next++;
	if (walk->next == records->count)
		return ERR_NOTFOUND;
	item = &records->items[walk->next++];
	size = (size_t)record_size(item->entry.payload_size);
	place = item->place + (walk->column->header.kind == COLUMN_DATA ? 0 : RECORD_HEADER_SIZE);
	err = log_read(walk->column->log, place, size, out);
	if (err == ERR_OK)
		err = check_record(walk, bytes_make(out->data + start, size));
	return err == ERR_TORN ? ERR_CORRUPT : err;
}

static WAITS enum err check_data(const struct member_column *column, struct hash128 *file_hash)
{
	struct walk walk = {.column = column, .data_column = column->header.column};
	const struct set_position *expected = &column->machine.columns[walk.data_column];
	struct buf buf = {0};
	enum err err;

	do {
		buf_clear(&buf);
		err = walk_next(&walk, &buf);
	} while (err == ERR_OK);
	buf_finish(&buf);
	if (err != ERR_NOTFOUND)
		return err;
	if (walk.position.end != expected->end ||
	    !hash128_equal(walk.position.running, expected->running))
		return ERR_CORRUPT;
	*file_hash = expected->running;
	return ERR_OK;
}

/* ---- writing files that are no logs ---- */

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

/* ---- parity ---- */

struct encoder {
	struct member_column *column;
	struct env_file *file;
	struct walk walks[PROFILE_MEMBER_MAX];
	struct buf columns[PROFILE_MEMBER_MAX]; /* read, not yet encoded */
	bool ended[PROFILE_MEMBER_MAX];
	uint64_t offset, size;
	struct hash128 hash;
	struct shared *parity; /* of the window under way */
};

/* Has at least a window of column i, or all that is left of it, and zeros to fill. */
static WAITS enum err fill(struct encoder *encoder, size_t i)
{
	struct buf *buf = &encoder->columns[i];

	while (!encoder->ended[i] && buf->size < WINDOW_SIZE) {
		enum err err = walk_next(&encoder->walks[i], buf);

		if (err == ERR_NOTFOUND)
			encoder->ended[i] = true;
		else if (err != ERR_OK)
			return err;
	}
	if (buf->size < WINDOW_SIZE)
		buf_put_zeros(buf, WINDOW_SIZE - buf->size);
	return buf->err;
}

static struct hash128 chain_blocks(struct hash128 hash, struct bytes bytes)
{
	for (size_t at = 0; at < bytes.size; at += COLUMN_PARITY_BLOCK)
		hash = column_parity_hash(hash, bytes_slice(bytes, at, COLUMN_PARITY_BLOCK));
	return hash;
}

static void encode_window(void *argument)
{
	struct encoder *encoder = argument;
	const struct column_header *header = &encoder->column->header;
	const uint8_t *data[PROFILE_MEMBER_MAX];

	for (size_t i = 0; i < header->profile.k; i++)
		data[i] = encoder->columns[i].data;
	stripe_encode_row(header->profile, header->column, data, encoder->parity->size,
			  encoder->parity->data);
	encoder->hash = chain_blocks(encoder->hash, shared_bytes(encoder->parity));
}

static WAITS enum err encode_next(struct encoder *encoder, struct volume *volume)
{
	uint8_t k = encoder->column->header.profile.k;
	uint64_t left = encoder->size - encoder->offset;
	size_t window = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;
	enum err err;

	for (size_t i = 0; i < k; i++) {
		err = fill(encoder, i);
		if (err != ERR_OK)
			return err;
	}
	encoder->parity = shared_create(window);
	if (encoder->parity == NULL)
		return ERR_NOMEM;
	if (PLANTED(parity_over_stale_bytes))
		memset(encoder->columns[k - 1].data, 0, RECORD_ALIGN);
	err = task_offload(encode_window, encoder);
	if (err != ERR_OK) {
		shared_release(&encoder->parity);
		return err;
	}
	for (size_t i = 0; i < k; i++)
		buf_drop_front(&encoder->columns[i], WINDOW_SIZE);
	err = write_wait(volume, encoder->file, LOG_HEADER_SIZE + encoder->offset,
			 encoder->parity);
	encoder->parity = NULL;
	encoder->offset += window;
	return err;
}

/* All columns must have come out exactly as the member holds them. */
static enum err check_walks(const struct encoder *encoder)
{
	const struct set_member *machine = &encoder->column->machine;

	for (size_t i = 0; i < machine->profile.k; i++)
		if (encoder->walks[i].position.end != machine->columns[i].end ||
		    !hash128_equal(encoder->walks[i].position.running,
				   machine->columns[i].running))
			return ERR_CORRUPT;
	return ERR_OK;
}

static WAITS enum err read_back(struct env_file *file, uint64_t size, struct hash128 expected)
{
	uint8_t *window = memory_allocate(WINDOW_SIZE);
	struct hash128 hash = {0, 0};
	enum err err = window != NULL ? ERR_OK : ERR_NOMEM;

	for (uint64_t at = 0; err == ERR_OK && at < size; at += WINDOW_SIZE) {
		size_t part = size - at < WINDOW_SIZE ? (size_t)(size - at) : WINDOW_SIZE;

		err = io_read_exact(file, LOG_HEADER_SIZE + at, window, part);
		if (err == ERR_OK)
			hash = chain_blocks(hash, bytes_make(window, part));
	}
	memory_free(window);
	if (err == ERR_OK && !hash128_equal(hash, expected))
		err = ERR_CORRUPT;
	return err == ERR_TORN ? ERR_CORRUPT : err;
}

static void parity_name(const struct member_column *column, char out[COLUMN_NAME_SIZE])
{
	column_name(column->header.set, column->header.column, COLUMN_PARITY, out);
}

/* A parity file that an earlier attempt has left was never voted for: it goes. */
static WAITS enum err create_parity(struct member *member, const struct member_column *column,
				    uint64_t size, struct env_file **out)
{
	struct column_header header = column->header;
	char name[COLUMN_NAME_SIZE];
	struct buf encoded = {0};
	enum err err;

	header.kind = COLUMN_PARITY;
	parity_name(column, name);
	column_header_put(&header, &encoded);
	err = encoded.err != ERR_OK ? encoded.err : volume_remove_file(member->volume, name);
	if (err == ERR_NOTFOUND)
		err = ERR_OK;
	if (err == ERR_OK)
		err = volume_create_file(member->volume, name, bytes_of_buf(&encoded),
					 LOG_HEADER_SIZE + size, out);
	buf_finish(&encoded);
	return err;
}

static WAITS enum err encode(struct member *member, struct member_column *column,
			     const struct set_descriptor *descriptor, struct hash128 *file_hash)
{
	struct encoder *encoder = memory_allocate(sizeof(*encoder));
	enum err err;

	if (encoder == NULL)
		return ERR_NOMEM;
	encoder->column = column;
	encoder->size = set_descriptor_longest(descriptor);
	for (uint8_t i = 0; i < descriptor->profile.k; i++)
		encoder->walks[i] = (struct walk){.column = column, .data_column = i};
	err = create_parity(member, column, encoder->size, &encoder->file);
	while (err == ERR_OK && encoder->offset < encoder->size)
		err = encode_next(encoder, member->volume);
	if (err == ERR_OK)
		err = check_walks(encoder);
	if (err == ERR_OK)
		err = read_back(encoder->file, encoder->size, encoder->hash);
	if (err == ERR_OK)
		*file_hash = encoder->hash;
	for (uint8_t i = 0; i < descriptor->profile.k; i++)
		buf_finish(&encoder->columns[i]);
	io_close(&encoder->file);
	memory_free(encoder);
	return err;
}

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

/* ---- voting ---- */

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
		      ? check_data(column, &file_hash)
		      : encode(member, column, &call->descriptor, &file_hash);
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

static WAITS enum err write_trailer(struct member *member, struct env_file *file,
				    const struct column_trailer *trailer)
{
	struct shared *bytes = shared_create(COLUMN_TRAILER_SIZE);
	uint64_t offset =
		trailer->index_offset + (uint64_t)trailer->index_pages * COLUMN_INDEX_PAGE;

	if (bytes == NULL)
		return ERR_NOMEM;
	column_trailer_encode(trailer, bytes->data);
	return write_wait(member->volume, file, offset, bytes);
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
	bool data = column->header.kind == COLUMN_DATA;
	const struct set_descriptor *descriptor = &call->certificate.descriptor;
	uint64_t end;

	*out = (struct column_trailer){.kind = data ? COLUMN_DATA : COLUMN_PARITY,
				       .column = column->header.column,
				       .set = column->header.set,
				       .uuid = column->header.uuid,
				       .index_entries = call->entries,
				       .index_pages = column_index_pages(call->entries),
				       .certificate = call->certificate};
	out->index_hash = hash_128(call->index->data, call->index->size);
	out->body_size = data ? descriptor->length[column->header.column]
			      : set_descriptor_longest(descriptor);
	/* Behind a data column stand its fence and its vote. */
	end = data ? log_end(column->log) : out->body_size;
	out->index_offset = LOG_HEADER_SIZE + end;
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
		parity_name(column, name);
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
