/* SPDX-License-Identifier: MPL-2.0 */
/* The encodings of a stream's state in the node-local index. */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/stream.h"

#define LOCATION_SIZE 24u

static void put_location(const struct location *location, struct buf *out)
{
	buf_put_u64(out, location->segment);
	buf_put_u64(out, location->hash);
	buf_put_u32(out, location->offset);
	buf_put_u32(out, location->payload_size);
}

static struct location take_location(struct cursor *cursor)
{
	struct location location;

	location.segment = cursor_u64(cursor);
	location.hash = cursor_u64(cursor);
	location.offset = cursor_u32(cursor);
	location.payload_size = cursor_u32(cursor);
	return location;
}

static void put_manifest(const struct stream_manifest *manifest, struct buf *out)
{
	buf_put_id(out, manifest->id);
	buf_put_u64(out, manifest->epoch);
	buf_put_u8(out, manifest->complete);
	put_location(&manifest->location, out);
	vector_encode(&manifest->vector, out);
	buf_put_varint(out, manifest->page_count);
	for (size_t i = 0; i < manifest->page_count; i++)
		buf_put_id(out, manifest->pages[i]);
}

void stream_encode(const struct stream *stream, struct buf *out)
{
	buf_put_id(out, stream->id);
	buf_put_u64(out, stream->promise_epoch);
	buf_put_id(out, stream->promise_home);
	put_location(&stream->promise, out);
	buf_put_varint(out, stream->incarnation_count);
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		const struct stream_incarnation *incarnation = &stream->incarnations[i];

		buf_put_id(out, incarnation->id);
		buf_put_varint(out, incarnation->dropped);
		buf_put_varint(out, incarnation->contiguous);
	}
	buf_put_varint(out, stream->manifest_count);
	for (size_t i = 0; i < stream->manifest_count; i++)
		put_manifest(&stream->manifests[i], out);
	buf_put_varint(out, stream->page_count);
	for (size_t i = 0; i < stream->page_count; i++) {
		buf_put_id(out, stream->pages[i].id);
		buf_put_u64(out, stream->pages[i].epoch);
		put_location(&stream->pages[i].location, out);
	}
}

/* A count of items that take `size_min` bytes at least, with memory for them. */
static void *take_array(struct cursor *cursor, size_t size_min, size_t limit, size_t item_size,
			size_t *count)
{
	uint64_t read = cursor_varint(cursor);
	size_t capacity = 1;
	void *items;

	*count = 0;
	if (read > limit || read > cursor_left(cursor) / size_min)
		cursor_fail(cursor);
	if (cursor->err != ERR_OK || read == 0)
		return NULL;
	/* Arrays double when their count is a power of two. */
	while (capacity < read)
		capacity *= 2;
	items = memory_array(capacity, item_size);
	if (items == NULL)
		cursor->err = ERR_NOMEM;
	else
		*count = (size_t)read;
	return items;
}

static void take_manifest(struct cursor *cursor, struct stream_manifest *out)
{
	enum err err;

	out->id = cursor_id(cursor);
	out->epoch = cursor_u64(cursor);
	out->complete = cursor_u8(cursor) != 0;
	out->location = take_location(cursor);
	if (cursor->err != ERR_OK)
		return;
	err = vector_decode(cursor, &out->vector);
	if (err != ERR_OK)
		cursor->err = err;
	out->pages = take_array(cursor, sizeof(*out->pages), STREAM_PAGE_MAX, sizeof(*out->pages),
				&out->page_count);
	for (size_t i = 0; i < out->page_count; i++)
		out->pages[i] = cursor_id(cursor);
}

enum err stream_decode(struct stream *stream, struct bytes encoded)
{
	struct cursor cursor = cursor_make(encoded);

	if (!id128_equal(cursor_id(&cursor), stream->id))
		cursor_fail(&cursor);
	stream->promise_epoch = cursor_u64(&cursor);
	stream->promise_home = cursor_id(&cursor);
	stream->promise = take_location(&cursor);
	stream->incarnations =
		take_array(&cursor, 18, STREAM_INCARNATION_MAX, sizeof(*stream->incarnations),
			   &stream->incarnation_count);
	for (size_t i = 0; i < stream->incarnation_count; i++) {
		struct stream_incarnation *incarnation = &stream->incarnations[i];

		incarnation->id = cursor_id(&cursor);
		incarnation->dropped = cursor_varint(&cursor);
		incarnation->contiguous = cursor_varint(&cursor);
		incarnation->dirty_low = incarnation->indexed_low = UINT64_MAX;
	}
	stream->manifests = take_array(&cursor, 51, STREAM_MANIFEST_MAX, sizeof(*stream->manifests),
				       &stream->manifest_count);
	for (size_t i = 0; i < stream->manifest_count; i++)
		take_manifest(&cursor, &stream->manifests[i]);
	stream->pages = take_array(&cursor, 48, STREAM_PAGE_MAX, sizeof(*stream->pages),
				   &stream->page_count);
	for (size_t i = 0; i < stream->page_count; i++) {
		stream->pages[i].id = cursor_id(&cursor);
		stream->pages[i].epoch = cursor_u64(&cursor);
		stream->pages[i].location = take_location(&cursor);
	}
	return cursor_end(&cursor);
}

void stream_encode_chunk(const struct stream_incarnation *incarnation, uint64_t chunk,
			 struct buf *out)
{
	for (uint64_t slot = 0; slot < STREAM_CHUNK; slot++) {
		const struct location *location =
			stream_entry(incarnation, chunk * STREAM_CHUNK + slot);

		if (location == NULL)
			continue;
		buf_put_u8(out, (uint8_t)slot);
		put_location(location, out);
	}
}

enum err stream_decode_chunk(struct stream *stream, size_t incarnation_index, uint64_t chunk,
			     struct bytes encoded)
{
	struct cursor cursor = cursor_make(encoded);
	struct stream_incarnation *incarnation;
	uint64_t first = chunk * STREAM_CHUNK;

	if (incarnation_index >= stream->incarnation_count)
		return ERR_CORRUPT;
	incarnation = &stream->incarnations[incarnation_index];
	if (chunk < incarnation->indexed_low)
		incarnation->indexed_low = chunk;
	while (cursor_left(&cursor) != 0) {
		uint64_t seq = first + cursor_u8(&cursor);
		struct location location = take_location(&cursor);
		enum err err;

		if (cursor.err != ERR_OK || seq >= first + STREAM_CHUNK || seq == 0 ||
		    location.segment == 0)
			return ERR_CORRUPT;
		if (seq <= incarnation->dropped)
			continue;
		err = stream_load_entry(incarnation, seq, &location);
		if (err != ERR_OK)
			return err;
	}
	return cursor_end(&cursor);
}
