/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/volume/log.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/volume/log_private.h"

static_assert(RECORD_HEADER_SIZE <= VOLUME_HEAD_MAX, "a record's header is the head of its write");

/* ---- opening ---- */

static struct log *create(struct volume *volume, const struct log_options *options)
{
	struct log *log = memory_allocate(sizeof(*log));

	if (log == NULL)
		return NULL;
	log->volume = volume;
	log->set = options->set;
	log->column = options->column;
	log->allocate_size = options->allocate_size;
	return log;
}

enum err log_create(struct volume *volume, const struct log_options *options, struct bytes header,
		    struct log **out)
{
	struct log *log = create(volume, options);
	enum err err;

	ASSERT(header.size == LOG_HEADER_SIZE);
	if (log == NULL)
		return ERR_NOMEM;
	err = volume_create_file(volume, options->name, header, options->allocate_size, &log->file);
	if (err != ERR_OK) {
		memory_free(log);
		return err;
	}
	log->running_known = true;
	*out = log;
	return ERR_OK;
}

enum err log_read_header(struct env_file *file, uint8_t out[LOG_HEADER_SIZE])
{
	const size_t copy_size = LOG_HEADER_SIZE / 2;
	enum err err = io_read_exact(file, 0, out, LOG_HEADER_SIZE);
	unsigned unreadable = 0;

	if (err != ERR_IO)
		return err;
	for (size_t at = 0; at < LOG_HEADER_SIZE; at += copy_size) {
		err = io_read_exact(file, at, out + at, copy_size);
		if (err != ERR_OK && err != ERR_IO)
			return err;
		if (err == ERR_IO) {
			memset(out + at, 0, copy_size);
			unreadable++;
		}
	}
	return unreadable < 2 ? ERR_OK : ERR_IO;
}

enum err log_open(struct volume *volume, const struct log_options *options, struct buf *header,
		  struct log **out)
{
	struct log *log = create(volume, options);
	size_t start = header->size;
	uint8_t *at = buf_extend(header, LOG_HEADER_SIZE);
	enum err err = ERR_NOMEM;

	if (log != NULL && at != NULL)
		err = volume_open_file(volume, options->name, &log->file);
	if (err == ERR_OK)
		err = log_read_header(log->file, at);
	if (err == ERR_OK) {
		log->refusal = ERR_INVALID;
		*out = log;
		return ERR_OK;
	}
	if (at != NULL)
		header->size = start;
	if (log != NULL)
		io_close(&log->file);
	memory_free(log);
	return err;
}

void log_close(struct log **log)
{
	if (*log == NULL)
		return;
	group_wait(&(*log)->appends);
	io_close(&(*log)->file);
	memory_free(*log);
	*log = NULL;
}

/* ---- appending ---- */

/* An append that got no offset: the log is as it was. */
static void refused(void *context)
{
	struct log_append *append = context;
	struct log *log = append->log;

	append->done(append, append->refused);
	group_leave(&log->appends);
}

static void refuse(struct log_append *append, struct shared *content, enum err err)
{
	append->refused = err;
	shared_release(&content);
	env_soon(sched_env(volume_sched(append->log->volume)), refused, append);
}

static void written(struct volume_write *write, enum err err)
{
	struct log_append *append = write->context;
	struct log *log = append->log;

	/* Behind a hole nothing counts, even what the disk has taken. */
	if (log->broken != ERR_OK)
		err = log->broken;
	if (err == ERR_OK) {
		log->durable = append->record.offset + append->size;
		log->durable_running = append->record.running;
	} else if (log->broken == ERR_OK) {
		log->broken = log->refusal = err;
		log->end = log->durable;
		log->running = log->durable_running;
	}
	append->done(append, err);
	group_leave(&log->appends);
}

static void begin(struct log *log, struct log_append *append, uint64_t size)
{
	append->log = log;
	append->size = size;
	group_enter(&log->appends);
}

/* From here on the offset is the record's, whatever happens. */
static void submit(struct log *log, struct log_append *append, struct shared *content)
{
	append->write.file = log->file;
	append->write.offset = LOG_HEADER_SIZE + append->record.offset;
	append->write.shared[0] = content;
	append->write.shared[1] = NULL;
	append->write.bulk = append->write.unsynced = false;
	append->write.done = written;
	append->write.context = append;
	log->end += append->size;
	log->running = append->record.running;
	volume_submit(log->volume, &append->write);
}

static enum err admit(struct log *log, const struct log_append *append)
{
	if (log->refusal != ERR_OK)
		return log->refusal;
	return volume_admits(log->volume, append->size, append->write.urgent);
}

void log_append(struct log *log, struct log_append *append, struct shared *payload)
{
	struct record *record = &append->record;
	enum err err;

	ASSERT((payload != NULL ? payload->size : 0) == record->payload_size);
	begin(log, append, record_size(record->payload_size));
	err = admit(log, append);
	if (err != ERR_OK) {
		refuse(append, payload, err);
		return;
	}
	record->set = log->set;
	record->column = log->column;
	record->offset = log->end;
	record->durable = log->durable;
	record_encode(record, log->running, append->write.head);
	append->write.head_size = RECORD_HEADER_SIZE;
	append->write.zeros = (size_t)(append->size - RECORD_HEADER_SIZE - record->payload_size);
	submit(log, append, payload);
}

static enum err check_verbatim(const struct log *log, struct bytes verbatim, struct record *out)
{
	enum err err;

	if (verbatim.size < RECORD_HEADER_SIZE)
		return ERR_CORRUPT;
	err = record_decode(verbatim.data, out);
	if (err == ERR_OK)
		err = log_check_body(out, verbatim);
	if (err != ERR_OK)
		return err;
	/* A mark beyond what is synced here would turn a torn tail into corruption. */
	if (out->set != log->set || out->column != log->column || out->offset != log->end ||
	    out->durable > log->durable ||
	    !hash128_equal(out->running, record_running(verbatim.data, log->running)))
		return ERR_CONFLICT;
	return ERR_OK;
}

void log_append_verbatim(struct log *log, struct log_append *append, struct shared *verbatim)
{
	enum err err;

	begin(log, append, verbatim->size);
	err = admit(log, append);
	if (err == ERR_OK)
		err = check_verbatim(log, shared_bytes(verbatim), &append->record);
	if (err != ERR_OK) {
		refuse(append, verbatim, err);
		return;
	}
	append->write.head_size = 0;
	append->write.zeros = 0;
	submit(log, append, verbatim);
}

/* A wait for one write that its task does not leave early: the write is on its stack. */
struct write_wait {
	struct group ended;
	enum err err;
};

static void append_ended(struct log_append *append, enum err err)
{
	struct write_wait *wait = append->context;

	wait->err = err;
	group_leave(&wait->ended);
}

enum err log_append_wait(struct log *log, struct record *record, struct bytes payload, bool urgent)
{
	struct write_wait wait = {{0}, ERR_OK};
	struct log_append append = {
		.record = *record, .write.urgent = urgent, .done = append_ended, .context = &wait};
	struct shared *shared = shared_create(payload.size);

	if (shared == NULL)
		return ERR_NOMEM;
	if (payload.size != 0)
		memcpy(shared->data, payload.data, payload.size);
	record_hash_payload(&append.record, payload);
	group_enter(&wait.ended);
	log_append(log, &append, shared);
	group_wait(&wait.ended);
	if (wait.err == ERR_OK)
		*record = append.record;
	return wait.err;
}

/* ---- mending ---- */

static void write_ended(struct volume_write *write, enum err err)
{
	struct write_wait *wait = write->context;

	wait->err = err;
	group_leave(&wait->ended);
}

static WAITS enum err write_wait(struct log *log, uint64_t offset, struct bytes bytes)
{
	struct write_wait wait = {{0}, ERR_OK};
	struct shared *shared = shared_create(bytes.size);
	struct volume_write write = {.file = log->file,
				     .offset = LOG_HEADER_SIZE + offset,
				     .shared = {shared, NULL},
				     .urgent = true,
				     .done = write_ended,
				     .context = &wait};

	if (shared == NULL)
		return ERR_NOMEM;
	memcpy(shared->data, bytes.data, bytes.size);
	group_enter(&wait.ended);
	volume_submit(log->volume, &write);
	group_wait(&wait.ended);
	return wait.err;
}

/* Whether `verbatim` may be written over what lies at its place now, and a header beyond. */
static enum err check_overwrite(const struct log *log, uint64_t offset, struct bytes verbatim,
				struct bytes present)
{
	struct bytes replaced = bytes_slice(present, 0, verbatim.size);
	struct record record;

	for (size_t at = 0; at < verbatim.size && at + RECORD_HEADER_SIZE <= present.size;
	     at += RECORD_ALIGN) {
		if (log_decode(log, offset + at, present.data + at, &record) != ERR_OK)
			continue;
		/* Another record, or one of another extent. */
		if (at != 0 || record_size(record.payload_size) != verbatim.size)
			return ERR_CONFLICT;
		if (log_check_body(&record, replaced) == ERR_OK && !bytes_equal(replaced, verbatim))
			return ERR_CONFLICT;
	}
	return ERR_OK;
}

enum err log_repair(struct log *log, uint64_t offset, struct bytes verbatim)
{
	struct record record;
	struct buf present = {0};
	uint8_t *at;
	size_t size = verbatim.size + RECORD_HEADER_SIZE, read_size = 0;
	enum err err;

	if (verbatim.size < RECORD_HEADER_SIZE ||
	    log_decode(log, offset, verbatim.data, &record) != ERR_OK ||
	    log_check_body(&record, verbatim) != ERR_OK)
		return ERR_INVALID;
	at = buf_extend(&present, size);
	if (at == NULL)
		return ERR_NOMEM;
	err = io_read(log->file, LOG_HEADER_SIZE + offset, at, size, &read_size);
	/* What cannot be read is what is being mended. */
	if (err == ERR_OK || err == ERR_IO)
		err = check_overwrite(log, offset, verbatim, bytes_make(at, read_size));
	if (err == ERR_OK)
		err = write_wait(log, offset, verbatim);
	buf_finish(&present);
	return err;
}

enum err log_truncate(struct log *log, uint64_t offset)
{
	enum err err;

	if (log->refusal != ERR_TORN || offset != log->end)
		return ERR_INVALID;
	err = io_truncate(log->file, LOG_HEADER_SIZE + offset);
	if (err == ERR_OK)
		err = io_commit(NULL, 0, &log->file, 1, NULL);
	if (err != ERR_OK)
		return log_judge_write(log, err);
	log->refusal = log->running_known ? ERR_OK : ERR_CORRUPT;
	if (log->allocate_size > offset) {
		/* Only to be fast: what fails here, the appends will report. */
		err = io_allocate(log->file, LOG_HEADER_SIZE + offset, log->allocate_size - offset);
	}
	return err == ERR_CANCELED ? err : ERR_OK;
}

/* ---- asking ---- */

enum err log_read(struct log *log, uint64_t offset, uint64_t size, struct buf *out)
{
	size_t start = out->size;
	uint8_t *at;
	enum err err;

	if (size > record_size(RECORD_PAYLOAD_MAX))
		return ERR_LIMIT;
	at = buf_extend(out, (size_t)size);
	if (at == NULL)
		return out->err;
	err = io_read_exact(log->file, LOG_HEADER_SIZE + offset, at, (size_t)size);
	if (err != ERR_OK)
		out->size = start;
	return err;
}

uint64_t log_end(const struct log *log)
{
	return log->end;
}

uint64_t log_durable(const struct log *log)
{
	return log->durable;
}

struct hash128 log_running(const struct log *log)
{
	return log->running;
}

struct env_file *log_file(struct log *log)
{
	return log->file;
}

struct volume *log_volume(struct log *log)
{
	return log->volume;
}
