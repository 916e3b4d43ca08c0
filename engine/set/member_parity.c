/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Three things go on at once, so that the disk is what a seal waits for: the
 * mirror is read and encoded, what is settled is written and synced in steps,
 * and what is synced is read back.
 */
#include "engine/base/memory.h"
#include "engine/set/member_readback.h"

/* Bytes from one sync to the next: what the disk is given at once beside other work. */
#define SYNC_SIZE (8u * PARITY_CHUNK_SIZE)

/* Bytes that are read back at a time; a multiple of the parity block. */
#define WINDOW_SIZE (4u * PARITY_CHUNK_SIZE)

/* Chunks on their way to the disk; with those that wait for a sync to end. */
#define WRITES_MAX 8u

struct encoder;

struct chunk_write {
	struct volume_write write;
	struct encoder *encoder;
	struct shared *chunk; /* NULL: free */
	uint64_t end;
	struct group ended;
	enum err err;
};

struct encoder {
	struct volume *volume;
	struct env_file *file;
	struct parity parity;
	struct member_readback readback;

	struct chunk_write writes[WRITES_MAX];
	size_t write_count; /* begun since the start; they take turns */
	uint64_t unsynced_size;
	uint64_t synced; /* bytes of parity */
	bool over;	 /* no more will be */
	struct cond changed;

	struct group reader;
	struct read_ahead ahead;
	struct bytes window;
	struct hash128 read_hash;
	enum err read_err;
};

/* ---- writing ---- */

static void chunk_written(struct volume_write *write, enum err err)
{
	struct chunk_write *posted = write->context;
	struct encoder *encoder = posted->encoder;

	posted->err = err;
	if (err == ERR_OK && !write->unsynced)
		encoder->synced = posted->end;
	cond_broadcast(&encoder->changed);
	group_leave(&posted->ended);
}

static WAITS enum err end_write(struct encoder *encoder, struct chunk_write *posted)
{
	group_wait(&posted->ended);
	parity_give_back(&encoder->parity, &posted->chunk);
	return posted->err;
}

/* Each sync covers everything since the last one; the end has one. */
static void begin_write(struct encoder *encoder, struct chunk_write *posted, struct shared *chunk,
			uint64_t offset)
{
	posted->encoder = encoder;
	posted->chunk = chunk;
	posted->end = offset + chunk->size;
	encoder->unsynced_size += chunk->size;
	/* Urgent: sealing frees more than it takes. */
	posted->write = (struct volume_write){
		.file = encoder->file,
		.offset = LOG_HEADER_SIZE + offset,
		.shared = {shared_reference(chunk), NULL},
		.urgent = true,
		.bulk = true,
		.unsynced =
			posted->end < encoder->parity.size && encoder->unsynced_size < SYNC_SIZE,
		.done = chunk_written,
		.context = posted,
	};
	if (!posted->write.unsynced)
		encoder->unsynced_size = 0;
	group_enter(&posted->ended);
	volume_submit(encoder->volume, &posted->write);
}

static WAITS enum err write_settled(struct encoder *encoder)
{
	struct shared *chunk;
	uint64_t offset;

	while ((chunk = parity_take(&encoder->parity, &offset)) != NULL) {
		struct chunk_write *posted = &encoder->writes[encoder->write_count++ % WRITES_MAX];
		enum err err = end_write(encoder, posted);

		if (err != ERR_OK) {
			shared_release(&chunk);
			return err;
		}
		begin_write(encoder, posted, chunk, offset);
	}
	return ERR_OK;
}

static WAITS enum err end_writes(struct encoder *encoder)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < WRITES_MAX; i++) {
		enum err ended = end_write(encoder, &encoder->writes[i]);

		err = err == ERR_OK ? ended : err;
	}
	encoder->over = true;
	cond_broadcast(&encoder->changed);
	return err;
}

/* ---- reading back ---- */

static void hash_window(void *argument)
{
	struct encoder *encoder = argument;

	encoder->read_hash = parity_chain(encoder->read_hash, encoder->window);
}

static uint64_t begin_read(struct encoder *encoder, uint64_t at, uint64_t end)
{
	size_t part = end - at < WINDOW_SIZE ? (size_t)(end - at) : WINDOW_SIZE;

	if (part > 0)
		read_ahead_begin(&encoder->ahead, LOG_HEADER_SIZE + at, part);
	return at + part;
}

/* [from, end) is synced. */
static WAITS enum err read_range(struct encoder *encoder, uint64_t from, uint64_t end)
{
	uint64_t begun, done = from;
	enum err err = io_forget(encoder->file, LOG_HEADER_SIZE + from, end - from);

	if (err != ERR_OK)
		return err;
	begun = begin_read(encoder, from, end);
	while (done < end) {
		err = read_ahead_end(&encoder->ahead, &encoder->window);
		if (err != ERR_OK)
			return err;
		done += encoder->window.size;
		begun = begin_read(encoder, begun, end);
		err = task_offload(hash_window, encoder);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

static WAITS enum err read_synced(struct encoder *encoder)
{
	uint64_t done = 0, size = encoder->parity.size;
	enum err err = read_ahead_init(&encoder->ahead, sched_env(task_sched()), encoder->file,
				       size < WINDOW_SIZE ? (size_t)size : WINDOW_SIZE);

	while (err == ERR_OK) {
		uint64_t synced = encoder->synced;

		if (done < synced)
			err = read_range(encoder, done, synced);
		else if (encoder->over)
			break;
		else
			err = cond_wait(&encoder->changed, TASK_FOREVER);
		done = synced;
	}
	return err;
}

static void run_reader(void *argument)
{
	struct encoder *encoder = argument;

	encoder->read_err = read_synced(encoder);
	read_ahead_finish(&encoder->ahead);
	group_leave(&encoder->reader);
}

/* ---- the whole ---- */

/* A parity file that an earlier attempt has left was never voted for: it goes. */
static WAITS enum err create_file(struct member *member, const struct member_column *column,
				  uint64_t size, struct env_file **out)
{
	struct column_header header = column->header;
	char name[COLUMN_NAME_SIZE];
	struct buf encoded = {0};
	enum err err;

	header.kind = COLUMN_PARITY;
	column_name(header.set, header.column, header.kind, name);
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

static WAITS enum err begin(struct encoder *encoder, struct member *member,
			    const struct member_column *column, uint64_t size)
{
	const struct column_header *header = &column->header;
	enum err err = parity_init(&encoder->parity, header->profile, header->column, size);

	encoder->volume = member->volume;
	if (err == ERR_OK)
		err = member_readback_begin(&encoder->readback, sched_env(member->sched), column,
					    &encoder->parity);
	if (err == ERR_OK)
		err = create_file(member, column, size, &encoder->file);
	if (err != ERR_OK)
		return err;
	group_enter(&encoder->reader);
	err = task_spawn(member->sched, "set-parity-reader", run_reader, encoder, NULL);
	if (err != ERR_OK)
		group_leave(&encoder->reader);
	return err;
}

static WAITS enum err write_all(struct encoder *encoder)
{
	enum err err = ERR_OK, ended;

	while (err == ERR_OK && !member_readback_at_end(&encoder->readback)) {
		err = member_readback_next(&encoder->readback);
		if (err == ERR_OK)
			err = write_settled(encoder);
	}
	if (err == ERR_OK)
		err = member_readback_result(&encoder->readback);
	ended = end_writes(encoder);
	return err == ERR_OK ? ended : err;
}

enum err member_encode(struct member *member, const struct member_column *column, uint64_t size,
		       struct hash128 *file_hash)
{
	struct encoder *encoder = memory_allocate(sizeof(*encoder));
	enum err err;

	if (encoder == NULL)
		return ERR_NOMEM;
	err = begin(encoder, member, column, size);
	if (err == ERR_OK)
		err = write_all(encoder);
	group_wait(&encoder->reader);
	if (err == ERR_OK)
		err = encoder->read_err;
	if (err == ERR_OK && !hash128_equal(encoder->read_hash, encoder->parity.hash))
		err = ERR_CORRUPT;
	if (err == ERR_OK)
		*file_hash = encoder->parity.hash;
	member_readback_finish(&encoder->readback);
	parity_finish(&encoder->parity);
	io_close(&encoder->file);
	memory_free(encoder);
	return err;
}
