/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Two passes at most: one that visits and, from the first bad record on, one
 * ahead to the end of the file for the marks, without which the bad record has
 * no name. INV: what comes after a mark is known is judged by the highest.
 */
#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/volume/log_private.h"

enum { WINDOW_SIZE = 1024 * 1024, READ_BLOCK_SIZE = 4096 };

/* A part of the file in memory; offsets count from the end of the header. */
struct window {
	const struct log *log;
	uint8_t *data;
	size_t capacity, size;
	uint64_t start, file_end;
};

struct scan {
	struct log *log;
	struct window window;
	bool payloads;
	enum err (*visit)(void *context, const struct log_visit *visit);
	void *context;
	uint64_t from;
	uint64_t offset; /* everything before it has been visited */
	uint64_t mark;	 /* durable up to there, by the hint and all headers seen */
	uint64_t seen_mark;
	bool looked_ahead;
	struct hash128 running; /* at `offset`, when known */
	bool running_known;
	bool after_lost; /* known, but what follows continues what was lost */
	bool torn;
};

enum place_kind {
	PLACE_GOOD,
	PLACE_DAMAGED, /* an intact header that belongs there, over a bad body */
	PLACE_NOTHING,
	PLACE_NEWER
};

struct place {
	enum place_kind kind;
	struct record record;
	uint64_t size;
	struct bytes whole; /* borrowed from the window until the next look; may be empty if bad */
};

/* ---- reading ---- */

static enum err window_grow(struct window *window, size_t capacity)
{
	uint8_t *data;

	if (capacity <= window->capacity)
		return ERR_OK;
	data = memory_resize(window->data, capacity);
	if (data == NULL)
		return ERR_NOMEM;
	window->data = data;
	window->capacity = capacity;
	return ERR_OK;
}

/*
 * Block by block, so that one bad sector costs the records that lie on it and
 * no others. What cannot be read becomes ones: neither a header nor a clean end.
 */
static WAITS enum err window_salvage(struct window *window, size_t size)
{
	size_t readable = 0, read_size;

	for (size_t at = 0; at < size; at += READ_BLOCK_SIZE) {
		size_t part = size - at < READ_BLOCK_SIZE ? size - at : READ_BLOCK_SIZE;
		enum err err = io_read(window->log->file, LOG_HEADER_SIZE + window->start + at,
				       window->data + at, part, &read_size);

		if (err == ERR_OK && read_size == part) {
			readable++;
			continue;
		}
		if (err != ERR_OK && err != ERR_IO)
			return err;
		for (size_t i = 0; i < part; i++)
			window->data[at + i] = 0xff;
	}
	env_log(sched_env(volume_sched(window->log->volume)),
		"event=log-unreadable set=%016llx column=%02x offset=%llu size=%zu",
		(unsigned long long)window->log->set, window->log->column,
		(unsigned long long)window->start, size);
	/* Not one block: that is no bad sector, that is no disk. */
	return readable != 0 ? ERR_OK : ERR_IO;
}

/* [offset, offset + size) lies within the file. */
static WAITS enum err window_look(struct window *window, uint64_t offset, size_t size,
				  const uint8_t **out)
{
	size_t want = size > WINDOW_SIZE ? size : WINDOW_SIZE, read_size;
	enum err err;

	ASSERT(offset + size <= window->file_end);
	if (offset < window->start || offset + size > window->start + window->size) {
		if (want > window->file_end - offset)
			want = (size_t)(window->file_end - offset);
		err = window_grow(window, want);
		if (err != ERR_OK)
			return err;
		window->start = offset;
		window->size = 0;
		err = io_read(window->log->file, LOG_HEADER_SIZE + offset, window->data, want,
			      &read_size);
		if (err == ERR_IO || (err == ERR_OK && read_size != want))
			err = window_salvage(window, want);
		if (err != ERR_OK)
			return err;
		window->size = want;
	}
	*out = window->data + (offset - window->start);
	return ERR_OK;
}

static WAITS enum err look_at_header(struct scan *scan, uint64_t offset, struct place *place)
{
	const uint8_t *header;
	enum err err;

	place->kind = PLACE_NOTHING;
	if (offset > scan->window.file_end || scan->window.file_end - offset < RECORD_HEADER_SIZE)
		return ERR_OK;
	err = window_look(&scan->window, offset, RECORD_HEADER_SIZE, &header);
	if (err != ERR_OK)
		return err;
	err = log_decode(scan->log, offset, header, &place->record);
	if (err == ERR_NEWER)
		place->kind = PLACE_NEWER;
	if (err != ERR_OK)
		return ERR_OK;
	place->kind = PLACE_DAMAGED;
	place->size = record_size(place->record.payload_size);
	if (place->record.durable > scan->seen_mark)
		scan->seen_mark = place->record.durable;
	if (scan->seen_mark > scan->mark)
		scan->mark = scan->seen_mark;
	return ERR_OK;
}

/* The record of an intact header with all of its body, unless it goes on behind the file's end. */
static WAITS enum err look_at_body(struct scan *scan, struct place *place)
{
	const uint8_t *data;
	enum err err;

	place->whole = bytes_make(NULL, 0);
	if (place->size > scan->window.file_end - scan->offset)
		return ERR_OK;
	err = window_look(&scan->window, scan->offset, (size_t)place->size, &data);
	if (err == ERR_OK)
		place->whole = bytes_make(data, (size_t)place->size);
	return err;
}

/* Header, body and the chain of running hashes. */
static WAITS enum err look_at_record(struct scan *scan, struct place *place)
{
	const uint8_t *data;
	enum err err = look_at_header(scan, scan->offset, place);

	if (err != ERR_OK || place->kind != PLACE_DAMAGED)
		return err;
	err = look_at_body(scan, place);
	if (err != ERR_OK || place->whole.size == 0)
		return err;
	data = place->whole.data;
	if (log_check_body(&place->record, place->whole) != ERR_OK)
		return ERR_OK;
	if (scan->running_known && !scan->after_lost &&
	    !hash128_equal(place->record.running, record_running(data, scan->running)))
		return ERR_OK;
	place->kind = PLACE_GOOD;
	return ERR_OK;
}

/* The next intact header behind a place that has none; the end of the file when there is none. */
static WAITS enum err find_header(struct scan *scan, uint64_t offset, uint64_t *found)
{
	struct place place = {.kind = PLACE_NOTHING};
	enum err err = ERR_OK;

	while (err == ERR_OK && place.kind != PLACE_DAMAGED && offset < scan->window.file_end) {
		offset += RECORD_ALIGN;
		err = look_at_header(scan, offset, &place);
	}
	*found = offset < scan->window.file_end ? offset : scan->window.file_end;
	return err;
}

/* Collects the marks of all intact headers from the scan's offset to the end. */
static WAITS enum err look_ahead(struct scan *scan)
{
	uint64_t offset = scan->offset;
	struct place place;
	enum err err = ERR_OK;

	if (scan->looked_ahead)
		return ERR_OK;
	while (err == ERR_OK && offset < scan->window.file_end) {
		err = look_at_header(scan, offset, &place);
		if (err == ERR_OK && place.kind == PLACE_DAMAGED)
			offset += place.size;
		else if (err == ERR_OK)
			err = find_header(scan, offset, &offset);
	}
	scan->looked_ahead = err == ERR_OK;
	return err;
}

static WAITS enum err is_zero_to_the_end(struct scan *scan, bool *out)
{
	uint64_t offset = scan->offset;

	while (offset < scan->window.file_end) {
		uint64_t left = scan->window.file_end - offset;
		size_t part = left < READ_BLOCK_SIZE ? (size_t)left : READ_BLOCK_SIZE;
		const uint8_t *data;
		enum err err = window_look(&scan->window, offset, part, &data);

		if (err != ERR_OK)
			return err;
		for (size_t i = 0; i < part; i++) {
			if (data[i] != 0) {
				*out = false;
				return ERR_OK;
			}
		}
		offset += part;
	}
	*out = true;
	return ERR_OK;
}

/* ---- judging ---- */

static WAITS enum err report(struct scan *scan, enum log_event event, uint64_t size,
			     const struct place *place)
{
	struct log_visit visit = {.event = event, .offset = scan->offset, .size = size};

	if (place != NULL) {
		visit.record = &place->record;
		if (scan->payloads && place->whole.size > 0)
			visit.payload = bytes_slice(place->whole, RECORD_HEADER_SIZE,
						    place->record.payload_size);
	}
	return scan->visit(scan->context, &visit);
}

static WAITS enum err accept(struct scan *scan, const struct place *place)
{
	enum err err = report(scan, LOG_RECORD, place->size, place);

	scan->offset += place->size;
	scan->running = place->record.running;
	scan->running_known = true;
	scan->after_lost = place->record.type == RECORD_LOST;
	return err;
}

/* Above all marks: the end, clean or not. */
static WAITS enum err judge_end(struct scan *scan, bool *over)
{
	bool clean;
	enum err err = is_zero_to_the_end(scan, &clean);

	*over = true;
	if (err != ERR_OK || clean)
		return err;
	scan->torn = true;
	return report(scan, PLANTED(torn_tail_as_corruption) ? LOG_CORRUPT : LOG_TAIL,
		      scan->window.file_end - scan->offset, NULL);
}

static WAITS enum err judge_bad(struct scan *scan, struct place *place, bool *over)
{
	uint64_t end;
	enum err err;

	if (place->kind == PLACE_NEWER)
		return ERR_NEWER;
	err = look_ahead(scan);
	if (err != ERR_OK)
		return err;
	if (scan->offset >= scan->mark || PLANTED(corruption_as_torn_tail))
		return judge_end(scan, over);
	if (place->kind == PLACE_DAMAGED) {
		end = scan->offset + place->size;
	} else {
		err = find_header(scan, scan->offset, &end);
		if (err != ERR_OK)
			return err;
		/* The rest of the extent is above the mark, or missing from the file. */
		if (end > scan->mark || end == scan->window.file_end)
			end = scan->mark;
	}
	if (place->kind == PLACE_DAMAGED) {
		err = look_at_body(scan, place);
		if (err != ERR_OK)
			return err;
	}
	err = report(scan, LOG_CORRUPT, end - scan->offset,
		     place->kind == PLACE_DAMAGED ? place : NULL);
	scan->offset = end;
	scan->running_known = false;
	return err;
}

static WAITS enum err run(struct scan *scan)
{
	struct place place;
	bool over = false;
	enum err err = ERR_OK;

	while (err == ERR_OK && !over &&
	       (scan->offset < scan->window.file_end || scan->offset < scan->mark)) {
		err = look_at_record(scan, &place);
		if (err != ERR_OK)
			break;
		if (place.kind == PLACE_GOOD)
			err = accept(scan, &place);
		else
			err = judge_bad(scan, &place, &over);
	}
	return err;
}

static WAITS enum err write_again(struct log *log, uint64_t offset, uint8_t *data, size_t size)
{
	size_t read_size = 0;
	enum err err = io_read(log->file, LOG_HEADER_SIZE + offset, data, size, &read_size);
	const struct bytes bytes = bytes_make(data, read_size);
	const struct env_write write = {.file = log->file,
					.offset = LOG_HEADER_SIZE + offset,
					.parts = &bytes,
					.part_count = 1};

	/* What cannot be read, or is not there, is no part of a record that was reported. */
	if (err == ERR_IO || (err == ERR_OK && read_size == 0))
		return ERR_OK;
	return err != ERR_OK ? err : io_commit(&write, 1, NULL, 0, NULL);
}

/*
 * What was read may be in memory only, and a sync alone does not change that: after one that failed
 * the system takes its pages for clean, in every later process. So what no mark vouches for is
 * written once more before it is synced.
 */
static WAITS enum err make_durable(const struct scan *scan)
{
	struct log *log = scan->log;
	uint64_t at = scan->seen_mark > scan->from ? scan->seen_mark : scan->from;
	uint8_t *block = NULL;
	enum err err = ERR_OK;

	if (at < scan->offset && !PLANTED(failed_sync_forgotten)) {
		block = memory_allocate(READ_BLOCK_SIZE);
		err = block != NULL ? ERR_OK : ERR_NOMEM;
	}
	for (; block != NULL && err == ERR_OK && at < scan->offset; at += READ_BLOCK_SIZE) {
		uint64_t left = scan->offset - at;

		err = write_again(log, at, block,
				  left < READ_BLOCK_SIZE ? (size_t)left : READ_BLOCK_SIZE);
	}
	memory_free(block);
	return err == ERR_OK ? io_commit(NULL, 0, &log->file, 1, NULL) : err;
}

static WAITS enum err settle(struct scan *scan)
{
	struct log *log = scan->log;
	enum err err = make_durable(scan);

	if (err != ERR_OK)
		return log_judge_write(log, err);
	log->end = log->durable = scan->offset;
	log->running = log->durable_running = scan->running;
	log->running_known = scan->running_known;
	if (log->broken != ERR_OK)
		log->refusal = log->broken;
	else if (scan->torn)
		log->refusal = ERR_TORN;
	else
		log->refusal = scan->running_known ? ERR_OK : ERR_CORRUPT;
	return ERR_OK;
}

enum err log_scan(struct log *log, uint64_t from, uint64_t durable_hint, bool payloads,
		  enum err (*visit)(void *context, const struct log_visit *visit), void *context,
		  uint64_t *known_durable)
{
	struct scan scan = {
		.log = log,
		.window = {.log = log},
		.payloads = payloads,
		.visit = visit,
		.context = context,
		.from = from,
		.offset = from,
		.mark = durable_hint - durable_hint % RECORD_ALIGN,
		.running_known = from == 0,
	};
	struct env_stat stat;
	enum err err;

	ASSERT(log->appends.pending == 0 && from % RECORD_ALIGN == 0);
	log->refusal = ERR_INVALID;
	err = io_stat_file(log->file, &stat);
	if (err != ERR_OK)
		return err;
	if (stat.size > LOG_HEADER_SIZE)
		scan.window.file_end = stat.size - LOG_HEADER_SIZE;
	err = run(&scan);
	memory_free(scan.window.data);
	if (err == ERR_OK)
		err = settle(&scan);
	if (err == ERR_OK && known_durable != NULL)
		*known_durable = scan.seen_mark;
	return err;
}
