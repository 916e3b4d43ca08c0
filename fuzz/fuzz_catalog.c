/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What a replica keeps in the node-local index (engine/journal/catalog.h). The first byte chooses:
 * the checkpoint; or a stream, u16 size of its state, then chunks of locations, each u8
 * incarnation, u8 chunk, u8 size.
 *
 * What was read says the same when it is written and read again.
 */
#include "engine/journal/catalog.h"
#include "engine/journal/segments.h"
#include "engine/journal/state.h"
#include "fuzz/disk.h"
#include "fuzz/fuzz.h"

#define CHUNKS 256u

static struct disk disk;
static const struct id128 volume = {{1}}, stream_id = {{2}};

static void ignore_change(struct ledger *ledger, uint64_t segment, int64_t size)
{
	(void)ledger;
	(void)segment;
	(void)size;
}

static struct ledger ledger = {.change = ignore_change};

static void put(struct catalog *catalog, struct bytes key, struct bytes value)
{
	const struct env_index_change change = {key, value};

	/* A value without octets would delete. */
	if (value.size != 0)
		ASSERT(env_index_commit(catalog->env, catalog->index, &change, 1, true) == ERR_OK);
}

/* ---- the checkpoint ---- */

static void check_segments(struct cursor *owner_part)
{
	struct segment one = {.number = 1}, two = {.number = 2};
	struct segment *items[] = {&one, &two};
	struct segments segments = {.items = items, .count = 2};
	struct buf encoded = {0}, again = {0};
	struct cursor cursor;

	if (segments_decode(&segments, owner_part) == ERR_OK) {
		segments_encode(&segments, &encoded);
		cursor = cursor_make(bytes_of_buf(&encoded));
		ASSERT(segments_decode(&segments, &cursor) == ERR_OK);
		ASSERT(cursor_end(&cursor) == ERR_OK);
		segments_encode(&segments, &again);
		fuzz_assert_equal(bytes_of_buf(&again), bytes_of_buf(&encoded));
	}
	buf_finish(&encoded);
	buf_finish(&again);
}

static void check_checkpoint(struct catalog *catalog, struct cursor *input)
{
	struct buf owner_part = {0};
	struct bytes value = fuzz_rest(input);
	struct cursor cursor;
	enum err err;

	put(catalog, bytes_string("P"), value);
	err = catalog_load(catalog, &owner_part);
	ASSERT(err == ERR_OK || (err == ERR_NOTFOUND && owner_part.size == 0));
	if (err == ERR_OK) {
		ASSERT(memcmp(value.data + 1, volume.octets, sizeof(volume.octets)) == 0);
		fuzz_assert_equal(bytes_of_buf(&owner_part),
				  bytes_slice(value, value.size - owner_part.size, SIZE_MAX));
		cursor = cursor_make(bytes_of_buf(&owner_part));
		(void)cursor_u64(&cursor);
		(void)cursor_u64(&cursor);
		check_segments(&cursor);
	}
	buf_finish(&owner_part);
}

/* ---- a stream ---- */

static void put_stream(struct catalog *catalog, struct bytes state)
{
	uint8_t key[18] = {'S', layout_group(stream_id)};

	memcpy(key + 2, stream_id.octets, sizeof(stream_id.octets));
	put(catalog, bytes_make(key, sizeof(key)), state);
}

static void put_chunk(struct catalog *catalog, struct cursor *input)
{
	uint8_t key[29] = {'E'};
	size_t size;

	memcpy(key + 1, stream_id.octets, sizeof(stream_id.octets));
	key[20] = cursor_u8(input);
	key[28] = cursor_u8(input);
	size = cursor_u8(input);
	size = size < cursor_left(input) ? size : cursor_left(input);
	put(catalog, bytes_make(key, sizeof(key)), cursor_take(input, size));
}

/* The state, then all chunks, as they would be written. */
static void encode(const struct stream *stream, struct buf *out)
{
	stream_encode(stream, out);
	for (size_t i = 0; i < stream->incarnation_count; i++)
		for (uint64_t chunk = 0; chunk < CHUNKS; chunk++)
			stream_encode_chunk(&stream->incarnations[i], chunk, out);
	ASSERT(out->err == ERR_OK);
}

static void look_at(const struct stream *stream)
{
	struct buf state = {0};
	struct stream_state decoded;
	uint64_t entries = 0;

	for (size_t i = 0; i < stream->incarnation_count; i++)
		for (uint64_t seq = 0; seq < CHUNKS * STREAM_CHUNK; seq++)
			entries += stream_entry(&stream->incarnations[i], seq) != NULL;
	ASSERT(stream_entry_count(stream) == entries);
	if (state_encode(stream, &state) == ERR_OK &&
	    state_decode(bytes_of_buf(&state), &decoded) == ERR_OK) {
		ASSERT(decoded.page_count == stream->page_count);
		state_finish(&decoded);
	}
	buf_finish(&state);
}

static void check_again(const struct stream *stream)
{
	struct stream *other = stream_create(stream_id, &ledger);
	struct buf state = {0}, all = {0}, again = {0};

	ASSERT(other != NULL);
	stream_encode(stream, &state);
	ASSERT(stream_decode(other, bytes_of_buf(&state)) == ERR_OK);
	for (size_t i = 0; i < stream->incarnation_count; i++)
		for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
			struct buf one = {0};

			stream_encode_chunk(&stream->incarnations[i], chunk, &one);
			ASSERT(one.size == 0 ||
			       stream_decode_chunk(other, i, chunk, bytes_of_buf(&one)) == ERR_OK);
			buf_finish(&one);
		}
	encode(stream, &all);
	encode(other, &again);
	fuzz_assert_equal(bytes_of_buf(&all), bytes_of_buf(&again));
	ASSERT(stream_digest(stream) == stream_digest(other));
	buf_finish(&state);
	buf_finish(&all);
	buf_finish(&again);
	stream_destroy(&other);
}

static void check_stream(struct catalog *catalog, struct cursor *input)
{
	size_t state_size = cursor_u16(input);
	struct stream *stream;

	state_size = state_size < cursor_left(input) ? state_size : cursor_left(input);
	put_stream(catalog, cursor_take(input, state_size));
	while (cursor_left(input) >= 3)
		put_chunk(catalog, input);
	if (catalog_stream(catalog, stream_id, &stream) != ERR_OK)
		return;
	look_at(stream);
	check_again(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	bool is_stream = (cursor_u8(&input) & 1) != 0;
	struct catalog catalog;

	if (disk.sched == NULL)
		disk_init(&disk);
	ASSERT(catalog_open(&catalog, &disk.unit.env, "index", volume, &ledger) == ERR_OK);
	if (is_stream)
		check_stream(&catalog, &input);
	else
		check_checkpoint(&catalog, &input);
	catalog_close(&catalog);
	return 0;
}
