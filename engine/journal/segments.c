/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/segments.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/format/segment.h"

static_assert(SEGMENT_HEADER_SIZE == LOG_HEADER_SIZE, "a segment is a log");

#define NAME_SIZE 64u

static void segment_name(uint64_t number, char out[NAME_SIZE])
{
	snprintf(out, NAME_SIZE, "journal/%016" PRIx64 ".seg", number);
}

static struct env *env_of(const struct segments *segments)
{
	return sched_env(volume_sched(segments->volume));
}

static void change_live(struct ledger *ledger, uint64_t number, int64_t size)
{
	struct segment *segment = segments_find((struct segments *)ledger, number);

	if (segment != NULL)
		segment->live += size;
}

struct segment *segments_find(const struct segments *segments, uint64_t number)
{
	size_t low = 0, high = segments->count;

	/* Nearly always the active one. */
	if (segments->active != NULL && segments->active->number == number)
		return segments->active;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (segments->items[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == segments->count || segments->items[low]->number != number)
		return NULL;
	return segments->items[low];
}

/* Numbers only grow: the end is its place. */
static struct segment *add_segment(struct segments *segments, uint64_t number)
{
	struct segment *segment = memory_allocate(sizeof(*segment));
	struct segment **items =
		memory_resize(segments->items, (segments->count + 1) * sizeof(*items));

	if (items != NULL)
		segments->items = items;
	if (segment == NULL || items == NULL) {
		memory_free(segment);
		return NULL;
	}
	ASSERT(number > segments->last_number);
	segment->number = number;
	segments->last_number = number;
	items[segments->count++] = segment;
	return segment;
}

static void take_out(struct segments *segments, const struct segment *segment)
{
	size_t index = 0;

	while (segments->items[index] != segment)
		index++;
	segments->count--;
	memmove(&segments->items[index], &segments->items[index + 1],
		(segments->count - index) * sizeof(*segments->items));
}

static enum err check_header(const struct segments *segments, uint64_t number,
			     const struct buf *bytes)
{
	struct segment_header header;
	enum err err = segment_header_decode(bytes->data, &header);

	/* That of another file, by a write that went astray, is as good as a damaged one. */
	if (err == ERR_OK && header.number != number &&
	    id128_equal(header.volume, volume_id(segments->volume)))
		err = ERR_CORRUPT;
	/* Its records say themselves where they belong: a damaged header loses nothing. */
	if (err == ERR_CORRUPT) {
		env_log(env_of(segments), "event=journal-segment-header-damaged segment=%" PRIu64,
			number);
		return ERR_OK;
	}
	if (err != ERR_OK)
		return err;
	if (!id128_equal(header.volume, volume_id(segments->volume)))
		return ERR_FOREIGN;
	return header.read_only ? ERR_NEWER : ERR_OK;
}

static WAITS enum err open_segment(struct segments *segments, uint64_t number)
{
	char name[NAME_SIZE];
	const struct log_options options = {
		.name = name, .set = number, .column = RECORD_NO_COLUMN};
	struct buf header = {0};
	struct log *log = NULL;
	struct segment *segment;
	enum err err;

	segment_name(number, name);
	err = log_open(segments->volume, &options, &header, &log);
	if (err == ERR_TORN) {
		/* A crash while it was being made; no record can be in it. */
		segments->last_number = number;
		err = volume_remove_file(segments->volume, name);
		goto out;
	}
	if (err == ERR_OK)
		err = check_header(segments, number, &header);
	if (err != ERR_OK)
		goto out;
	segment = add_segment(segments, number);
	err = ERR_NOMEM;
	if (segment != NULL) {
		segment->log = log;
		log = NULL;
		err = ERR_OK;
	}
out:
	log_close(&log);
	buf_finish(&header);
	return err;
}

/* 0: not the name of a segment. */
static uint64_t number_of(const char *name)
{
	uint64_t number = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0)
		return 0;
	for (size_t i = 0; i < 16; i++) {
		const char *digit = memchr("0123456789abcdef", name[i], 16);

		if (digit == NULL)
			return 0;
		number = number << 4 | (uint64_t)(digit - "0123456789abcdef");
	}
	return number;
}

enum err segments_open(struct segments *segments, struct volume *volume, uint64_t size)
{
	struct buf names = {0};
	enum err err;

	*segments = (struct segments){.ledger = {change_live}, .volume = volume, .size = size};
	/* Sorted by name, and so by number. */
	err = volume_list(volume, "journal", &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;

		if (number_of(name) != 0)
			err = open_segment(segments, number_of(name));
		at += strlen(name) + 1;
	}
	buf_finish(&names);
	if (err != ERR_OK)
		segments_close(segments);
	return err;
}

void segments_close(struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++) {
		log_close(&segments->items[i]->log);
		memory_free(segments->items[i]);
	}
	memory_free(segments->items);
	segments->items = NULL;
	segments->count = 0;
	segments->active = segments->spare = NULL;
}

/* How far blocks should reach when they reach to `reserved`. */
static uint64_t next_step(const struct segments *segments, uint64_t reserved)
{
	uint64_t left = segments->size - reserved;

	return reserved + (left < SEGMENTS_STEP ? left : SEGMENTS_STEP);
}

enum err segments_prepare(struct segments *segments)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	char name[NAME_SIZE];
	struct segment_header header = {
		.number = segments->last_number + 1,
		.cluster = volume_identity(segments->volume)->cluster,
		.volume = volume_id(segments->volume),
		.created_ms = env_wall_ms(env_of(segments)),
	};
	const struct log_options options = {.name = name,
					    .set = header.number,
					    .column = RECORD_NO_COLUMN,
					    .allocate_size = next_step(segments, 0)};
	struct log *log = NULL;
	struct segment *segment;
	enum err err;

	if (segments->spare != NULL)
		return ERR_OK;
	segment_header_encode(&header, bytes);
	segment_name(header.number, name);
	/* Before the wait: the name is used up whatever comes of it. */
	segment = add_segment(segments, header.number);
	if (segment == NULL)
		return ERR_NOMEM;
	err = log_create(segments->volume, &options, bytes_make(bytes, sizeof(bytes)), &log);
	if (err != ERR_OK) {
		take_out(segments, segment);
		memory_free(segment);
		return err;
	}
	segment->log = log;
	segment->reserved = options.allocate_size;
	segments->spare = segment;
	return ERR_OK;
}

bool segments_ready(struct segments *segments)
{
	if (segments->active != NULL && segments->active->end < segments->size)
		return true;
	if (segments->spare == NULL)
		return false;
	segments->active = segments->spare;
	segments->spare = NULL;
	return true;
}

static uint64_t waste_of(const struct segment *segment)
{
	uint64_t live = segment->live > 0 ? (uint64_t)segment->live : 0;

	return segment->end > live ? segment->end - live : 0;
}

/* Whether the active segment should be left before it is full. */
static bool is_wasteful(const struct segments *segments)
{
	const struct segment *active = segments->active;

	return active != NULL && active->end >= segments->size / SEGMENTS_EARLY &&
	       waste_of(active) * 2 >= active->end;
}

bool segments_wants_spare(const struct segments *segments)
{
	return segments->spare == NULL &&
	       (segments->active == NULL || segments->active->end >= segments->size / 4 * 3 ||
		is_wasteful(segments));
}

bool segments_wants_to_leave(const struct segments *segments)
{
	return is_wasteful(segments);
}

void segments_leave_early(struct segments *segments)
{
	if (segments->spare == NULL || !is_wasteful(segments))
		return;
	segments->active = segments->spare;
	segments->spare = NULL;
}

/* ---- blocks ---- */

static bool wants_blocks(const struct segments *segments)
{
	const struct segment *active = segments->active;

	return active != NULL && active->reserved != 0 && active->reserved < segments->size &&
	       active->end + SEGMENTS_STEP / 2 > active->reserved;
}

/* One that takes no more records, and all that it took are on the disk. */
static struct segment *find_overlong(const struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++) {
		struct segment *segment = segments->items[i];

		if (segment != segments->active && segment != segments->spare &&
		    segment->log != NULL && segment->reserved != 0 && segment->readers == 0 &&
		    log_durable(segment->log) == segment->end)
			return segment;
	}
	return NULL;
}

bool segments_wants_reserve(const struct segments *segments)
{
	return wants_blocks(segments) || find_overlong(segments) != NULL;
}

/* Only to be fast: what fails here for want of space the appends will report. */
static WAITS enum err reserve_more(struct segments *segments)
{
	struct segment *segment = segments->active;
	uint64_t from = segment->reserved, to = next_step(segments, from);
	enum err err = ERR_NOSPACE;

	segment->reserved = to;
	/* A reader, so that the file is there until the wait is over. */
	segment->readers++;
	if (volume_has_room(segments->volume, to - from))
		err = io_allocate(log_file(segment->log), LOG_HEADER_SIZE + from, to - from);
	segment->readers--;
	return err == ERR_NOSPACE ? ERR_OK : err;
}

enum err segments_reserve(struct segments *segments)
{
	struct segment *overlong;
	enum err err = ERR_OK;

	if (wants_blocks(segments))
		err = reserve_more(segments);
	overlong = find_overlong(segments);
	if (err != ERR_OK || overlong == NULL)
		return err;
	overlong->reserved = 0;
	overlong->readers++;
	err = io_truncate(log_file(overlong->log), LOG_HEADER_SIZE + overlong->end);
	overlong->readers--;
	return err;
}

enum err segments_remove(struct segments *segments, struct segment *segment)
{
	char name[NAME_SIZE];
	enum err err;

	ASSERT(segment->readers == 0);
	segment_name(segment->number, name);
	take_out(segments, segment);
	log_close(&segment->log);
	memory_free(segment);
	err = volume_remove_file(segments->volume, name);
	return err;
}

static bool is_reclaimable(const struct segments *segments, const struct segment *segment,
			   bool with_damaged)
{
	return segment != segments->active && segment != segments->spare && segment->readers == 0 &&
	       segment->log != NULL && (with_damaged || !segment->damaged);
}

struct segment *segments_wasteful(const struct segments *segments, bool with_damaged)
{
	struct segment *worst = NULL, *smallest = NULL;

	for (size_t i = 0; i < segments->count; i++) {
		struct segment *segment = segments->items[i];

		if (!is_reclaimable(segments, segment, with_damaged))
			continue;
		if (waste_of(segment) * 2 >= segment->end &&
		    (worst == NULL || waste_of(segment) > waste_of(worst)))
			worst = segment;
		if (segment->end < segments->size / 4 &&
		    (smallest == NULL || segment->end < smallest->end))
			smallest = segment;
	}
	if (worst == NULL && segments->count > SEGMENTS_MANY)
		return smallest;
	return worst;
}

void segments_encode(const struct segments *segments, struct buf *out)
{
	buf_put_u64(out, segments->ledger.entries);
	buf_put_u64(out, segments->ledger.truncated);
	buf_put_varint(out, segments->count);
	for (size_t i = 0; i < segments->count; i++) {
		buf_put_u64(out, segments->items[i]->number);
		buf_put_u64(out, segments->items[i]->end);
		buf_put_u64(out, (uint64_t)segments->items[i]->live);
	}
}

enum err segments_decode(struct segments *segments, struct cursor *cursor)
{
	uint64_t count;

	segments->ledger.entries = cursor_u64(cursor);
	segments->ledger.truncated = cursor_u64(cursor);
	count = cursor_varint(cursor);
	for (uint64_t i = 0; i < count && cursor->err == ERR_OK; i++) {
		struct segment *segment = segments_find(segments, cursor_u64(cursor));
		uint64_t end = cursor_u64(cursor), live = cursor_u64(cursor);

		/* One that was removed since has nothing live in it. */
		if (segment == NULL)
			continue;
		segment->end = end;
		segment->live = (int64_t)live;
	}
	return cursor->err;
}

void segments_reset(struct segments *segments)
{
	segments->ledger.entries = segments->ledger.truncated = 0;
	for (size_t i = 0; i < segments->count; i++) {
		segments->items[i]->end = 0;
		segments->items[i]->live = 0;
	}
}
