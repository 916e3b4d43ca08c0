/* SPDX-License-Identifier: MPL-2.0 */
/* Reading a replica: entries in long runs, manifests and pages one by one. */
#include <inttypes.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/replica_private.h"

/* One answer carries at least one entry, and about this much. */
#define READ_BATCH_SIZE (1024u * 1024)
/* Entries that lie this close are read together, with what is between them. */
#define READ_GAP_MAX (32u * 1024)
#define READ_RUN_MAX (4u * 1024 * 1024)

/* A record to be read, and what it must turn out to be. */
struct wanted {
	struct location location;
	struct id128 id, incarnation;
	uint64_t number;
};

struct read_job {
	bool impatient; /* a record did not come, however often it was asked for */
	struct replica *replica;
	struct wire_call *call;
	enum record_type type;
	struct id128 stream_id;
	struct wanted *wanted;
	size_t wanted_count, wanted_capacity;
	uint64_t size; /* of all payloads */
	bool more;
	struct buf out;
};

static void job_free(struct read_job *job)
{
	memory_free(job->wanted);
	buf_finish(&job->out);
	memory_free(job);
}

/* Its segment stays until the job ends. */
static enum err want(struct read_job *job, const struct location *location, struct id128 id,
		     struct id128 incarnation, uint64_t number)
{
	struct segment *segment = segments_find(&job->replica->segments, location->segment);

	if (segment == NULL)
		return ERR_CORRUPT;
	if (job->wanted_count == job->wanted_capacity) {
		size_t capacity = job->wanted_capacity != 0 ? job->wanted_capacity * 2 : 16;
		struct wanted *wanted = memory_resize(job->wanted, capacity * sizeof(*wanted));

		if (wanted == NULL)
			return ERR_NOMEM;
		job->wanted = wanted;
		job->wanted_capacity = capacity;
	}
	job->wanted[job->wanted_count++] = (struct wanted){*location, id, incarnation, number};
	job->size += location->payload_size;
	segment->readers++;
	return ERR_OK;
}

static void release_segments(struct read_job *job)
{
	for (size_t i = 0; i < job->wanted_count; i++)
		segments_find(&job->replica->segments, job->wanted[i].location.segment)->readers--;
}

/* ---- reading ---- */

static enum err check_record(const struct read_job *job, const struct wanted *wanted,
			     struct bytes bytes, struct bytes *payload)
{
	struct record record;
	enum err err = record_decode(bytes.data, &record);

	if (err != ERR_OK)
		return err;
	if (record.type != job->type || record.set != wanted->location.segment ||
	    record.offset != wanted->location.offset ||
	    record.payload_size != wanted->location.payload_size ||
	    record.payload_hash.low != wanted->location.hash ||
	    !id128_equal(record.id, wanted->id) || !id128_equal(record.tag, job->stream_id) ||
	    (record.type == RECORD_ENTRY &&
	     (record.number != wanted->number ||
	      !id128_equal(record.incarnation, wanted->incarnation))))
		return ERR_CORRUPT;
	*payload = bytes_slice(bytes, RECORD_HEADER_SIZE, record.payload_size);
	return record_check_payload(&record, *payload);
}

static uint64_t end_of(const struct location *location)
{
	return location->offset + record_size(location->payload_size);
}

/* How many of wanted[from...] lie so that one read takes them. */
static size_t run_length(const struct read_job *job, size_t from)
{
	const struct location *first = &job->wanted[from].location;
	size_t count = 1;

	while (from + count < job->wanted_count) {
		const struct location *previous = &job->wanted[from + count - 1].location;
		const struct location *next = &job->wanted[from + count].location;

		if (next->segment != previous->segment || next->offset < end_of(previous) ||
		    next->offset - end_of(previous) > READ_GAP_MAX ||
		    end_of(next) - first->offset > READ_RUN_MAX)
			break;
		count++;
	}
	return count;
}

static void report_damage(struct read_job *job, const struct wanted *wanted)
{
	struct replica *replica = job->replica;
	struct stream *stream;

	env_log(replica->env,
		"event=journal-record-damaged segment=%" PRIu64 " offset=%" PRIu32 " type=%u",
		wanted->location.segment, wanted->location.offset, (unsigned)job->type);
	if (catalog_stream(&replica->catalog, job->stream_id, &stream) == ERR_OK)
		stream_lose(stream, &wanted->location);
	replica->marks.counted = false;
	replica->damaged(replica->context, volume_id(replica->volume));
}

/* Appends it to the answer. ERR_CORRUPT: it was damaged, and is not held any more. */
static enum err take_record(struct read_job *job, const struct wanted *wanted, struct bytes bytes,
			    enum err err)
{
	struct bytes payload;

	if (err == ERR_OK)
		err = check_record(job, wanted, bytes, &payload);
	if (err != ERR_OK) {
		report_damage(job, wanted);
		return ERR_CORRUPT;
	}
	if (job->type == RECORD_ENTRY)
		buf_put_u32(&job->out, (uint32_t)payload.size);
	buf_put_bytes(&job->out, payload);
	return job->out.err;
}

/*
 * Not every error comes from damage, and what counts as damaged is forgotten here. So a record that
 * cannot be read is asked for again, ever later; once one has not come at all, the disk is taken at
 * its word for the rest of the job.
 */
static WAITS enum err read_patiently(struct read_job *job, struct env_file *file, uint64_t offset,
				     uint8_t *at, size_t size)
{
	static const uint64_t pauses_ms[] = {0, 20, 200, 1000};
	enum err err = ERR_IO;

	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(pauses_ms[0]); i++) {
		if (i > 0 && (job->impatient || task_sleep(pauses_ms[i]) != ERR_OK))
			break;
		err = io_read_exact(file, offset, at, size);
		if (err != ERR_IO)
			return err;
	}
	job->impatient = true;
	return task_canceled() ? ERR_CANCELED : err;
}

/* Goes on behind a damaged record: all damage is found at once, and mended at once. */
static WAITS enum err read_run(struct read_job *job, size_t from, size_t count, struct buf *run)
{
	const struct wanted *first = &job->wanted[from];
	struct segment *segment = segments_find(&job->replica->segments, first->location.segment);
	uint64_t start = LOG_HEADER_SIZE + first->location.offset;
	uint64_t size = end_of(&job->wanted[from + count - 1].location) - first->location.offset;
	uint8_t *at;
	enum err err, result = ERR_OK;

	buf_clear(run);
	at = buf_extend(run, (size_t)size);
	if (at == NULL)
		return run->err;
	err = io_read_exact(log_file(segment->log), start, at, (size_t)size);
	if (err == ERR_CANCELED)
		return err;
	for (size_t i = 0; i < count; i++) {
		const struct location *location = &job->wanted[from + i].location;
		const uint64_t distance = location->offset - first->location.offset;
		const size_t part = (size_t)(end_of(location) - location->offset);
		enum err taken = err;

		/* A bad sector costs the records on it, not all of the run. */
		if (err == ERR_IO)
			taken = read_patiently(job, log_file(segment->log), start + distance,
					       at + distance, part);
		if (taken == ERR_CANCELED)
			return taken;
		taken = take_record(job, &job->wanted[from + i], bytes_make(at + distance, part),
				    taken);
		if (taken != ERR_OK)
			result = taken;
	}
	return result;
}

static WAITS enum err read_all(struct read_job *job)
{
	struct buf run = {0};
	enum err err = buf_reserve(&job->out, job->size + 4 * job->wanted_count), result = err;

	for (size_t from = 0; (err == ERR_OK || err == ERR_CORRUPT) && from < job->wanted_count;) {
		size_t count = run_length(job, from);

		err = read_run(job, from, count, &run);
		if (err != ERR_OK)
			result = err;
		from += count;
	}
	buf_finish(&run);
	return result;
}

static enum err share_out(struct read_job *job, struct shared **out)
{
	struct shared *shared = shared_create(job->out.size);

	if (shared == NULL)
		return ERR_NOMEM;
	if (job->out.size != 0)
		memcpy(shared->data, job->out.data, job->out.size);
	*out = shared;
	return ERR_OK;
}

static void run_read(void *argument)
{
	struct read_job *job = argument;
	struct replica *replica = job->replica;
	struct wire_call *call = job->call;
	struct shared *bytes = NULL;
	enum err err = read_all(job);

	release_segments(job);
	if (err == ERR_OK)
		err = share_out(job, &bytes);
	if (job->type == RECORD_ENTRY) {
		((struct journal_read_call *)call)->entries = bytes;
		((struct journal_read_call *)call)->more = job->more;
	} else {
		((struct journal_get_call *)call)->bytes = bytes;
	}
	job_free(job);
	wire_reply(call, err);
	group_leave(&replica->tasks);
}

/* Starts the job, or answers with why not. */
static void start(struct read_job *job, enum err err)
{
	struct replica *replica = job->replica;
	struct wire_call *call = job->call;

	if (err == ERR_OK) {
		group_enter(&replica->tasks);
		err = task_spawn(replica->sched, "journal-read", run_read, job, NULL);
		if (err == ERR_OK)
			return;
		group_leave(&replica->tasks);
	}
	release_segments(job);
	job_free(job);
	wire_reply(call, err);
}

static struct read_job *job_create(struct replica *replica, struct wire_call *call,
				   enum record_type type, struct id128 stream)
{
	struct read_job *job = memory_allocate(sizeof(*job));

	if (job == NULL) {
		wire_reply(call, ERR_NOMEM);
		return NULL;
	}
	job->replica = replica;
	job->call = call;
	job->type = type;
	job->stream_id = stream;
	return job;
}

/* ---- entries ---- */

static enum err want_entries(struct read_job *job, const struct stream *stream,
			     const struct vector *after, size_t limit)
{
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		const struct stream_incarnation *incarnation = &stream->incarnations[i];
		uint64_t seq = incarnation->dropped;

		if (after != NULL) {
			uint64_t seen = vector_get(after, incarnation->id);

			if (seen < incarnation->dropped)
				return ERR_STALE;
			seq = seen;
		}
		while (seq < incarnation->contiguous) {
			enum err err;

			if (job->wanted_count >= limit || job->size >= READ_BATCH_SIZE) {
				job->more = true;
				return ERR_OK;
			}
			seq++;
			err = want(job, stream_entry(incarnation, seq), stream->id, incarnation->id,
				   seq);
			if (err != ERR_OK)
				return err;
		}
	}
	return ERR_OK;
}

void replica_serve_read(struct replica *replica, struct journal_read_call *call)
{
	struct read_job *job = job_create(replica, &call->wire, RECORD_ENTRY, call->stream);
	struct vector after = {0};
	struct stream *stream;
	enum err err = ERR_OK;

	if (job == NULL)
		return;
	if (call->after != NULL) {
		struct cursor cursor = cursor_make(shared_bytes(call->after));

		err = vector_decode(&cursor, &after);
	}
	if (err == ERR_OK)
		err = catalog_stream(&replica->catalog, call->stream, &stream);
	if (err == ERR_OK)
		err = want_entries(job, stream, call->after != NULL ? &after : NULL, call->limit);
	vector_finish(&after);
	start(job, err);
}

/* ---- manifests and pages ---- */

void replica_serve_get(struct replica *replica, struct journal_get_call *call)
{
	struct read_job *job = job_create(replica, &call->wire, call->type, call->stream);
	const struct location *location = NULL;
	struct stream *stream;
	enum err err;

	if (job == NULL)
		return;
	err = catalog_stream(&replica->catalog, call->stream, &stream);
	if (err == ERR_OK && call->type == RECORD_PAGE) {
		const struct stream_page *page = stream_page(stream, call->id);

		location = page != NULL ? &page->location : NULL;
	} else if (err == ERR_OK) {
		const struct stream_manifest *manifest = stream_manifest(stream, call->id);

		location = manifest != NULL && manifest->complete ? &manifest->location : NULL;
	}
	if (err == ERR_OK)
		err = location != NULL ? want(job, location, call->id, ID128_ZERO, 0)
				       : ERR_NOTFOUND;
	start(job, err);
}
