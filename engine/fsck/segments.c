/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Pass 1, the journal: every record of every segment, into the streams of its
 * volume and of all together (engine/journal/stream.h: the very join that a
 * replica makes).
 *
 * A segment with damage is not patched: its good records are written forward
 * into a new one, which ends with a mark that says that the volume does not
 * count until it has been compared with the others, and the old file goes aside.
 */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/format/segment.h"
#include "engine/io.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"
#include "engine/journal/table_page.h"

#define SEGMENT_NAME_SIZE 64u

struct segment_scan {
	struct fsck *fsck;
	size_t volume;
	char name[SEGMENT_NAME_SIZE];
	uint64_t number;
	struct buf forward; /* good records: u64 offset, u64 size, in the file */
	struct fsck_work work;
	bool rewrite_header, move; /* what is to be done */
	struct entry_blobs blobs;
};

/* ---- streams ---- */

struct stream *fsck_stream(struct map *streams, struct id128 id, struct ledger *ledger)
{
	struct stream *stream = map_get(streams, &id);

	if (stream != NULL)
		return stream;
	stream = stream_create(id, ledger);
	if (stream != NULL && map_put(streams, &id, stream) != ERR_OK)
		stream_destroy(&stream);
	return stream;
}

void fsck_streams_finish(struct map *streams)
{
	struct stream *stream;
	size_t position = 0;

	while ((stream = map_next(streams, &position, NULL)) != NULL)
		stream_destroy(&stream);
	map_finish(streams);
}

static void ignore_change(struct ledger *ledger, uint64_t segment, int64_t size)
{
	(void)ledger;
	(void)segment;
	(void)size;
}

/* ---- what a record holds ---- */

static enum err add_use(struct fsck *fsck, const struct fsck_use *use, const struct blob_ref *ref)
{
	size_t capacity = fsck->use_capacity == 0 ? 256 : 2 * fsck->use_capacity;

	if (fsck->use_count == fsck->use_capacity) {
		struct fsck_use *uses = memory_resize(fsck->uses, capacity * sizeof(*uses));

		if (uses == NULL)
			return ERR_NOMEM;
		fsck->uses = uses;
		fsck->use_capacity = capacity;
	}
	fsck->uses[fsck->use_count] = *use;
	fsck->uses[fsck->use_count++].at = fsck->references.size;
	blob_ref_encode(ref, &fsck->references);
	return fsck->references.err;
}

static enum err add_uses(struct fsck *fsck, const struct fsck_use *use, const struct blob_ref *refs,
			 size_t count)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = add_use(fsck, use, &refs[i]);
	return err;
}

/* Whether the union has it already: then all that it says is known. */
static bool is_known(struct fsck *fsck, const struct record *record)
{
	const struct stream *stream = map_get(&fsck->streams, &record->tag);
	const struct stream_incarnation *incarnation;

	if (stream == NULL)
		return false;
	if (record->type == RECORD_PAGE)
		return stream_page(stream, record->id) != NULL;
	if (record->type == RECORD_MANIFEST)
		return stream_manifest(stream, record->id) != NULL;
	incarnation = stream_find(stream, record->incarnation);
	return incarnation != NULL && stream_entry(incarnation, record->number) != NULL;
}

/* A record of a table, within the journal's record. */
static enum err note_in_table(struct segment_scan *scan, const struct record *record,
			      struct bytes content)
{
	enum err err = fsck_note_table(scan->fsck, record->tag, content);

	if (err == ERR_CORRUPT || err == ERR_NEWER) {
		struct fsck_problem problem =
			fsck_problem_at(scan->fsck, FSCK_DIRECTORY_ENTRY, scan->volume, scan->name);

		fsck_problem_place(&problem, LOG_HEADER_SIZE + record->offset,
				   record_size(record->payload_size));
		(void)fsck_report(scan->fsck, &problem, NULL);
		err = ERR_OK;
	}
	return err;
}

static enum err take_entry(struct segment_scan *scan, const struct record *record,
			   struct bytes payload)
{
	struct fsck *fsck = scan->fsck;
	struct fsck_use use = {.stream = record->tag,
			       .by = record->incarnation,
			       .seq = record->number,
			       .kind = FSCK_USE_ENTRY};
	struct entry entry;
	enum err err = entry_decode(payload, &scan->blobs, &entry);

	if (err == ERR_OK &&
	    !(id128_equal(entry.stream, record->tag) &&
	      id128_equal(entry.incarnation, record->incarnation) && entry.seq == record->number))
		err = ERR_CORRUPT;
	if (err != ERR_OK || is_known(fsck, record))
		return err;
	if (fsck_is_table(entry.stream))
		err = note_in_table(scan, record, entry.payload);
	return err == ERR_OK ? add_uses(fsck, &use, entry.blobs, entry.blob_count) : err;
}

struct table_noting {
	struct segment_scan *scan;
	const struct record *record;
};

static enum err note_from_page(void *context, struct bytes content)
{
	const struct table_noting *noting = context;

	return note_in_table(noting->scan, noting->record, content);
}

static enum err take_page(struct segment_scan *scan, const struct record *record,
			  struct bytes payload)
{
	struct fsck_use use = {.stream = record->tag, .by = record->id, .kind = FSCK_USE_PAGE};
	struct cursor cursor = cursor_make(payload);
	struct bytes sealed;
	struct id128 id;
	uint64_t count;
	enum err err = manifest_page_decode(payload, &id, &sealed);

	if (err == ERR_OK && !id128_equal(id, record->id))
		err = ERR_CORRUPT;
	if (err != ERR_OK || is_known(scan->fsck, record))
		return err;
	if (fsck_is_table(record->tag))
		return table_page_decode(sealed, note_from_page,
					 &(struct table_noting){scan, record});
	cursor_take(&cursor, 24);
	count = cursor_varint(&cursor);
	while (err == ERR_OK && count-- > 0) {
		struct blob_ref ref;

		blob_ref_decode(&cursor, &ref);
		err = cursor.err != ERR_OK ? cursor.err : add_use(scan->fsck, &use, &ref);
	}
	return err;
}

static enum err take_manifest(struct segment_scan *scan, const struct record *record,
			      struct bytes payload, struct stream_manifest *out)
{
	struct fsck_use use = {.stream = record->tag, .by = record->id, .kind = FSCK_USE_MANIFEST};
	struct manifest manifest;
	enum err err = manifest_decode(payload, &manifest);

	if (err != ERR_OK)
		return err;
	if (!id128_equal(manifest.id, record->id) || !id128_equal(manifest.stream, record->tag))
		err = ERR_CORRUPT;
	if (err == ERR_OK && !is_known(scan->fsck, record))
		err = add_uses(scan->fsck, &use, manifest.blobs, manifest.blob_count);
	if (err == ERR_OK) {
		*out = (struct stream_manifest){.id = manifest.id,
						.epoch = manifest.epoch,
						.vector = manifest.vector,
						.pages = manifest.pages,
						.page_count = manifest.page_count};
		manifest.vector = (struct vector){0};
		manifest.pages = NULL;
	}
	manifest_finish(&manifest);
	return err;
}

/* ---- into the streams ---- */

static enum err join(struct map *streams, struct ledger *ledger, const struct record *record,
		     uint64_t segment, struct stream_manifest *manifest)
{
	struct stream *stream = fsck_stream(streams, record->tag, ledger);

	return stream != NULL ? stream_put_record(stream, record, segment, manifest) : ERR_NOMEM;
}

static enum err report_conflict(struct segment_scan *scan, const struct record *record)
{
	struct fsck_problem problem =
		fsck_problem_at(scan->fsck, FSCK_REPLICA_CONFLICT, scan->volume, scan->name);

	fsck_problem_place(&problem, LOG_HEADER_SIZE + record->offset,
			   record_size(record->payload_size));
	fsck_problem_detail(&problem, "It is number %" PRIu64 " of a writer", record->number);
	(void)fsck_report(scan->fsck, &problem, NULL);
	return ERR_OK;
}

static enum err copy_manifest(const struct stream_manifest *from, struct stream_manifest *to)
{
	size_t size = from->page_count * sizeof(*from->pages);
	enum err err;

	*to = *from;
	to->vector = (struct vector){0};
	to->pages = memory_array(from->page_count, sizeof(*to->pages));
	if (to->pages == NULL)
		return ERR_NOMEM;
	if (size != 0)
		memcpy(to->pages, from->pages, size);
	err = vector_copy(&from->vector, &to->vector);
	if (err != ERR_OK)
		stream_manifest_finish(to);
	return err;
}

static enum err join_both(struct segment_scan *scan, const struct record *record,
			  struct stream_manifest *manifest)
{
	struct fsck *fsck = scan->fsck;
	struct fsck_volume *volume = &fsck->volumes[scan->volume];
	struct stream_manifest copy = {0};
	enum err err = ERR_OK;

	if (record->type == RECORD_MANIFEST)
		err = copy_manifest(manifest, &copy);
	if (err == ERR_OK)
		err = join(&volume->streams, &volume->ledger, record, scan->number, manifest);
	if (err == ERR_OK)
		err = join(&fsck->streams, &fsck->ledger, record, scan->number, &copy);
	stream_manifest_finish(&copy);
	return err == ERR_CONFLICT ? report_conflict(scan, record) : err;
}

static enum err take_record(struct segment_scan *scan, const struct record *record,
			    struct bytes payload)
{
	struct fsck_volume *volume = &scan->fsck->volumes[scan->volume];
	struct stream_manifest manifest = {0};
	enum err err = ERR_OK;

	switch (record->type) {
	case RECORD_MARK:
		volume->marked = true;
		return marks_merge_encoded(&volume->marks, payload);
	case RECORD_ENTRY:
		err = take_entry(scan, record, payload);
		break;
	case RECORD_PAGE:
		err = take_page(scan, record, payload);
		break;
	case RECORD_MANIFEST:
		err = take_manifest(scan, record, payload, &manifest);
		break;
	case RECORD_PROMISE:
		break;
	default:
		return ERR_CORRUPT;
	}
	if (err == ERR_OK)
		err = join_both(scan, record, &manifest);
	stream_manifest_finish(&manifest);
	return err;
}

static void report(struct segment_scan *scan, enum fsck_code code, uint64_t offset, uint64_t size)
{
	struct fsck_problem problem = fsck_problem_at(scan->fsck, code, scan->volume, scan->name);

	fsck_problem_place(&problem, offset, size);
	(void)fsck_report(scan->fsck, &problem, &scan->work);
}

static enum err visit(void *context, const struct log_visit *visit)
{
	struct segment_scan *scan = context;
	uint64_t at = LOG_HEADER_SIZE + visit->offset;
	enum err err;

	fsck_progress(scan->fsck, "journal", visit->size);
	if (visit->event != LOG_RECORD) {
		scan->move = true;
		report(scan, visit->event == LOG_CORRUPT ? FSCK_SEGMENT_DAMAGED : FSCK_SEGMENT_TAIL,
		       at, visit->size);
		return ERR_OK;
	}
	scan->fsck->result->records++;
	err = take_record(scan, visit->record, visit->payload);
	if (err == ERR_CORRUPT) {
		scan->move = true;
		report(scan, FSCK_SEGMENT_RECORD, at, visit->size);
		return ERR_OK;
	}
	if (err == ERR_OK && visit->record->type != RECORD_MARK) {
		buf_put_u64(&scan->forward, at);
		buf_put_u64(&scan->forward, visit->size);
		err = scan->forward.err;
	}
	return err;
}

/* ---- mending ---- */

static void segment_name(uint64_t number, char out[SEGMENT_NAME_SIZE])
{
	snprintf(out, SEGMENT_NAME_SIZE, "journal/%016" PRIx64 ".seg", number);
}

static void put_header(const struct fsck *fsck, size_t volume, uint64_t number, struct buf *out)
{
	const struct volume_identity *identity = &fsck->volumes[volume].identity;
	const struct segment_header header = {.number = number,
					      .cluster = identity->cluster,
					      .volume = identity->volume,
					      .created_ms = identity->created_ms};
	uint8_t *at = buf_extend(out, SEGMENT_HEADER_SIZE);

	if (at != NULL)
		segment_header_encode(&header, at);
}

/* All of the file is synced before it appears: each record may say so of what is before it. */
static void put_record(struct record *record, struct bytes payload, uint64_t number,
		       struct hash128 *running, struct buf *out)
{
	uint8_t header[RECORD_HEADER_SIZE];

	record->set = number;
	record->offset = record->durable = out->size - LOG_HEADER_SIZE;
	record->column = RECORD_NO_COLUMN;
	record_encode(record, *running, header);
	*running = record->running;
	buf_put(out, header, sizeof(header));
	buf_put_bytes(out, payload);
	buf_put_zeros(out,
		      (size_t)record_size(record->payload_size) - sizeof(header) - payload.size);
}

static enum err put_mark(struct fsck *fsck, size_t index, uint64_t number, struct hash128 *running,
			 struct buf *out)
{
	struct fsck_volume *volume = &fsck->volumes[index];
	struct record record = {.type = RECORD_MARK, .id = volume->identity.volume};
	struct buf payload = {0};

	volume->marks.counted = false;
	marks_encode(&volume->marks, &payload);
	record.payload_size = (uint32_t)payload.size;
	record_hash_payload(&record, bytes_of_buf(&payload));
	if (payload.err == ERR_OK)
		put_record(&record, bytes_of_buf(&payload), number, running, out);
	buf_finish(&payload);
	return out->err;
}

static enum err build_forward(struct segment_scan *scan, const struct buf *old, uint64_t number,
			      struct buf *out)
{
	struct cursor places = cursor_make(bytes_of_buf(&scan->forward));
	struct hash128 running = {0, 0};
	enum err err = ERR_OK;

	put_header(scan->fsck, scan->volume, number, out);
	while (err == ERR_OK && cursor_left(&places) > 0) {
		uint64_t at = cursor_u64(&places), size = cursor_u64(&places);
		struct bytes whole = bytes_slice(bytes_of_buf(old), (size_t)at, (size_t)size);
		struct record record;

		err = whole.size == size ? record_decode(whole.data, &record) : ERR_TORN;
		if (err == ERR_OK)
			put_record(&record,
				   bytes_slice(whole, RECORD_HEADER_SIZE, record.payload_size),
				   number, &running, out);
	}
	return err == ERR_OK ? put_mark(scan->fsck, scan->volume, number, &running, out) : err;
}

/* First the new one, then the old one goes: whoever looks in between has both. */
static WAITS enum err write_forward(struct segment_scan *scan)
{
	struct fsck *fsck = scan->fsck;
	struct fsck_volume *volume = &fsck->volumes[scan->volume];
	uint64_t number = volume->last_segment + 1;
	char name[SEGMENT_NAME_SIZE];
	struct buf old = {0}, fresh = {0};
	enum err err = fsck_read(fsck, scan->volume, scan->name, &old);

	segment_name(number, name);
	if (err == ERR_OK)
		err = build_forward(scan, &old, number, &fresh);
	if (err == ERR_OK)
		err = fresh.err;
	if (err == ERR_OK)
		err = fsck_write(fsck, scan->volume, name, bytes_of_buf(&fresh));
	if (err == ERR_OK)
		err = fsck_publish(fsck, scan->volume, name, false);
	if (err == ERR_OK) {
		volume->last_segment = number;
		err = fsck_publish(fsck, scan->volume, scan->name, true);
	}
	buf_finish(&old);
	buf_finish(&fresh);
	return err;
}

static WAITS enum err write_header(struct segment_scan *scan)
{
	struct fsck *fsck = scan->fsck;
	struct buf old = {0}, fresh = {0};
	enum err err = fsck_read(fsck, scan->volume, scan->name, &old);

	put_header(fsck, scan->volume, scan->number, &fresh);
	if (err == ERR_OK)
		buf_put_bytes(&fresh, bytes_slice(bytes_of_buf(&old), LOG_HEADER_SIZE, SIZE_MAX));
	if (err == ERR_OK)
		err = fresh.err;
	if (err == ERR_OK)
		err = fsck_write(fsck, scan->volume, scan->name, bytes_of_buf(&fresh));
	if (err == ERR_OK)
		err = fsck_publish(fsck, scan->volume, scan->name, false);
	buf_finish(&old);
	buf_finish(&fresh);
	return err;
}

static WAITS enum err mend(struct segment_scan *scan)
{
	struct fsck *fsck = scan->fsck;
	enum err err;

	if (!scan->work.wanted)
		return ERR_OK;
	if (!scan->move) {
		err = scan->rewrite_header ? write_header(scan)
					   : fsck_publish(fsck, scan->volume, scan->name, true);
	} else {
		err = write_forward(scan);
		/* What was damaged here is fetched from the others, and the volume counts again. */
		fsck->settle.asked = fsck->settle.wanted = true;
	}
	if (err == ERR_OK)
		fsck_done(fsck, &scan->work);
	return err;
}

/* ---- one file ---- */

/* False: nothing more is to be read in it. */
static bool check_header(struct segment_scan *scan, const struct buf *header)
{
	struct segment_header decoded;
	uint8_t both[SEGMENT_HEADER_SIZE];
	enum err err = segment_header_decode(header->data, &decoded);

	if (err == ERR_CORRUPT) {
		scan->rewrite_header = true;
		report(scan, FSCK_SEGMENT_HEADER, 0, SEGMENT_HEADER_SIZE);
		return true;
	}
	if (decoded.number != scan->number ||
	    !id128_equal(decoded.volume, scan->fsck->volumes[scan->volume].identity.volume)) {
		report(scan, FSCK_SEGMENT_FOREIGN, 0, SEGMENT_HEADER_SIZE);
		return false;
	}
	segment_header_encode(&decoded, both);
	for (unsigned i = 0; i < 2; i++)
		if (memcmp(both, header->data + i * SEGMENT_COPY_SIZE, SEGMENT_COPY_SIZE) != 0) {
			scan->rewrite_header = true;
			report(scan, FSCK_SEGMENT_HEADER_COPY, i * SEGMENT_COPY_SIZE,
			       SEGMENT_COPY_SIZE);
		}
	return true;
}

static WAITS enum err scan_log(struct segment_scan *scan)
{
	struct fsck *fsck = scan->fsck;
	const struct log_options options = {
		.name = scan->name, .set = scan->number, .column = RECORD_NO_COLUMN};
	struct segment_header decoded;
	struct buf header = {0};
	struct log *log = NULL;
	enum err err = log_open(fsck->volumes[scan->volume].volume, &options, &header, &log);

	if (err == ERR_TORN) {
		report(scan, FSCK_SEGMENT_SHORT, 0, 0);
		buf_finish(&header);
		return ERR_OK;
	}
	if (err == ERR_OK && segment_header_decode(header.data, &decoded) == ERR_NEWER)
		err = ERR_NEWER;
	fsck_progress(fsck, "journal", LOG_HEADER_SIZE);
	if (err == ERR_OK && check_header(scan, &header))
		err = log_scan(log, 0, 0, true, visit, scan, NULL);
	log_close(&log);
	buf_finish(&header);
	if (err == ERR_NEWER)
		snprintf(fsck->why, FSCK_DETAIL_SIZE,
			 "%.150s/%s: written by a newer version; use that version's aerofsck",
			 fsck->volumes[scan->volume].directory, scan->name);
	return err;
}

static bool parse_name(const char *name, uint64_t *number)
{
	char again[SEGMENT_NAME_SIZE];

	if (sscanf(name, "%16" SCNx64, number) != 1)
		return false;
	segment_name(*number, again);
	return strcmp(again + strlen("journal/"), name) == 0;
}

static WAITS enum err scan_segment(struct fsck *fsck, size_t volume, uint64_t number,
				   struct segment_scan **list)
{
	struct segment_scan *scan = memory_allocate(sizeof(*scan));
	enum err err;

	if (scan == NULL)
		return ERR_NOMEM;
	*scan = (struct segment_scan){.fsck = fsck, .volume = volume, .number = number};
	*list = scan;
	segment_name(number, scan->name);
	err = scan_log(scan);
	entry_blobs_finish(&scan->blobs);
	fsck->result->segments++;
	return err;
}

static void scan_free(struct segment_scan *scan)
{
	if (scan == NULL)
		return;
	buf_finish(&scan->forward);
	fsck_work_finish(&scan->work);
	memory_free(scan);
}

/* Mending comes when all is read: new segments have numbers above all there are. */
static WAITS enum err scan_volume(struct fsck *fsck, size_t volume)
{
	struct segment_scan **scans = NULL;
	size_t count = 0, capacity = 0;
	char path[FSCK_PATH_SIZE];
	struct buf names = {0};
	enum err err;

	fsck->volumes[volume].ledger.change = ignore_change;
	fsck_path(fsck, volume, "journal", path);
	err = io_list(path, &names);
	for (size_t at = 0; at < names.size; at += strlen((const char *)names.data + at) + 1)
		capacity++;
	scans = memory_array(capacity, sizeof(struct segment_scan *));
	if (scans == NULL)
		err = ERR_NOMEM;
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;
		uint64_t number;

		at += strlen(name) + 1;
		if (!parse_name(name, &number))
			continue;
		fsck->volumes[volume].last_segment = number;
		err = scan_segment(fsck, volume, number, &scans[count++]);
	}
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = mend(scans[i]);
	for (size_t i = 0; i < count; i++)
		scan_free(scans[i]);
	memory_free(scans);
	buf_finish(&names);
	return err;
}

enum err fsck_segments(struct fsck *fsck)
{
	enum err err = ERR_OK;

	fsck->ledger.change = ignore_change;
	if (!fsck_looks_at(fsck, 0, "journal"))
		return ERR_OK;
	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++)
		if (fsck->volumes[i].usable)
			err = scan_volume(fsck, i);
	return err;
}
