/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Reading a range of a blob. The reader holds a window: the plaintext of
 * consecutive frames. It begins with the frames of the trailer (or with all
 * frames, when a small blob is wanted whole), reads the chunk table, then moves
 * forward over the frames of the chunks that are wanted, at most a piece a time.
 */
#include "engine/crypto/blob_format.h"

#include <string.h>

#include <sodium.h>

#include "engine/base/memory.h"
#include "engine/crypto/compress.h"

struct reader {
	const uint8_t *key;
	blob_source *source;
	void *context;
	uint8_t associated[BLOB_ASSOCIATED_SIZE];
	uint64_t padded, frame_count;
	/* The window: plaintext of frames [first, end) at the front of `plain`. */
	uint64_t first, end;
	struct buf plain;
	struct lent sealed;
	/* From the trailer and the table. */
	uint64_t plain_size, chunk_count;
	struct buf table;
};

static uint64_t minimum(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Offset in the padded plaintext where frame `index` begins, or the end. */
static uint64_t frame_start(const struct reader *reader, uint64_t index)
{
	return minimum(index * FRAME_PLAIN_SIZE, reader->padded);
}

/* Opens the frames that were lent behind the window. */
static enum err open_frames(struct reader *reader, uint64_t end)
{
	struct bytes rest = reader->sealed.bytes;

	for (; reader->end < end; reader->end++) {
		uint64_t size = frame_start(reader, reader->end + 1) -
				frame_start(reader, reader->end) + TAG_SIZE;
		uint8_t nonce[NONCE_SIZE];
		enum err err;

		blob_nonce(reader->end, reader->end + 1 == reader->frame_count, nonce);
		err = aead_open(reader->key, nonce,
				bytes_make(reader->associated, BLOB_ASSOCIATED_SIZE),
				bytes_slice(rest, 0, (size_t)size), &reader->plain);
		if (err != ERR_OK)
			return err;
		rest = bytes_slice(rest, (size_t)size, rest.size);
	}
	return ERR_OK;
}

/* As buf_reserve(), but what moves is wiped where it was. */
static enum err reserve_window(struct reader *reader, size_t capacity)
{
	struct buf larger = {0};
	enum err err;

	if (capacity <= reader->plain.capacity)
		return ERR_OK;
	err = buf_reserve(&larger, capacity);
	if (err != ERR_OK)
		return err;
	buf_put_bytes(&larger, bytes_of_buf(&reader->plain));
	buf_finish(&reader->plain);
	reader->plain = larger;
	return ERR_OK;
}

/* Moves the window to frames [first, end), keeping what it already has at its front. */
WAITS static enum err move_window(struct reader *reader, uint64_t first, uint64_t end)
{
	uint64_t offset, size, kept;
	enum err err;

	if (first >= reader->first && first < reader->end && end > reader->end) {
		kept = reader->end;
		size = frame_start(reader, first) - frame_start(reader, reader->first);
		memmove(reader->plain.data, reader->plain.data + size, reader->plain.size - size);
		reader->plain.size -= (size_t)size;
	} else {
		kept = first;
		reader->plain.size = 0;
	}
	reader->first = first;
	reader->end = kept;
	err = reserve_window(reader,
			     (size_t)(frame_start(reader, end) - frame_start(reader, first)));
	if (err != ERR_OK)
		return err;
	offset = frame_start(reader, kept) + kept * TAG_SIZE;
	size = frame_start(reader, end) - frame_start(reader, kept) + (end - kept) * TAG_SIZE;
	err = reader->source(reader->context, offset, size, &reader->sealed);
	if (err == ERR_OK && reader->sealed.bytes.size != size)
		err = ERR_AUTH;
	if (err == ERR_OK)
		err = open_frames(reader, end);
	lent_return(&reader->sealed);
	return err;
}

/*
 * Plaintext [from, to) of the padded string, borrowed until the next move. What is fetched with it
 * goes on to `until` where that fits: the caller will ask for it next.
 */
WAITS static enum err view(struct reader *reader, uint64_t from, uint64_t to, uint64_t until,
			   struct bytes *out)
{
	uint64_t first = from / FRAME_PLAIN_SIZE, end = (to - 1) / FRAME_PLAIN_SIZE + 1;
	enum err err;

	if (first < reader->first || end > reader->end) {
		uint64_t farther =
			minimum((until - 1) / FRAME_PLAIN_SIZE + 1, first + PIECE_FRAME_COUNT);

		err = move_window(reader, first, farther > end ? farther : end);
		if (err != ERR_OK)
			return err;
	}
	from -= frame_start(reader, reader->first);
	to -= frame_start(reader, reader->first);
	*out = bytes_make(reader->plain.data + from, (size_t)(to - from));
	return ERR_OK;
}

static enum err parse_trailer(struct reader *reader, struct bytes trailer)
{
	struct cursor cursor = cursor_make(trailer);
	uint64_t plain_size = cursor_u64(&cursor);
	uint8_t layout = cursor_u8(&cursor), compression = cursor_u8(&cursor);

	if (layout > BLOB_LAYOUT || compression > BLOB_COMPRESSION_ZSTD)
		return ERR_NEWER;
	cursor_zeros(&cursor, 6);
	if (layout != BLOB_LAYOUT || compression != BLOB_COMPRESSION_ZSTD ||
	    plain_size > BLOB_PLAIN_MAX)
		cursor_fail(&cursor);
	reader->plain_size = plain_size;
	reader->chunk_count = blob_chunk_count(plain_size);
	if (reader->chunk_count > (reader->padded - BLOB_TRAILER_SIZE) / BLOB_TABLE_ENTRY_SIZE)
		cursor_fail(&cursor);
	return cursor_end(&cursor);
}

static uint64_t chunk_plain_size(const struct reader *reader, uint64_t chunk)
{
	return minimum(CHUNK_SIZE, reader->plain_size - chunk * CHUNK_SIZE);
}

static uint64_t chunk_stored_size(const struct reader *reader, uint64_t chunk)
{
	return load_u32(reader->table.data + chunk * BLOB_TABLE_ENTRY_SIZE);
}

/* Each entry is possible, and all chunks together are what the padded size was computed from. */
static enum err check_table(const struct reader *reader)
{
	uint64_t total = reader->table.size + BLOB_TRAILER_SIZE;

	for (uint64_t i = 0; i < reader->chunk_count; i++) {
		uint64_t size = chunk_stored_size(reader, i);

		if (size == 0 || size > chunk_plain_size(reader, i))
			return ERR_CORRUPT;
		total += size;
	}
	return padded_size(total) == reader->padded ? ERR_OK : ERR_CORRUPT;
}

/* `whole`: the caller wants everything, so one fetch should do where that is not much. */
WAITS static enum err read_table(struct reader *reader, bool whole)
{
	uint64_t trailer_at = reader->padded - BLOB_TRAILER_SIZE, table_size, at;
	struct bytes part;
	enum err err;

	if (whole && reader->frame_count <= PIECE_FRAME_COUNT) {
		err = move_window(reader, 0, reader->frame_count);
		if (err != ERR_OK)
			return err;
	}
	err = view(reader, trailer_at, reader->padded, reader->padded, &part);
	if (err == ERR_OK)
		err = parse_trailer(reader, part);
	if (err != ERR_OK)
		return err;
	table_size = reader->chunk_count * BLOB_TABLE_ENTRY_SIZE;
	err = buf_reserve(&reader->table, (size_t)table_size);
	/* By frames, so that the window stays small however long the table is. */
	for (at = trailer_at - table_size; err == ERR_OK && at < trailer_at; at += part.size) {
		uint64_t end = minimum(trailer_at, (at / FRAME_PLAIN_SIZE + 1) * FRAME_PLAIN_SIZE);

		err = view(reader, at, end, trailer_at, &part);
		if (err == ERR_OK)
			buf_put_bytes(&reader->table, part);
	}
	return err == ERR_OK ? check_table(reader) : err;
}

/* Appends the plaintext of one chunk that lies in [from, to) of the blob's. */
static enum err append_chunk(struct reader *reader, uint64_t chunk, struct bytes stored,
			     uint64_t from, uint64_t to, struct buf *out)
{
	uint64_t start = chunk * CHUNK_SIZE;
	size_t size = (size_t)chunk_plain_size(reader, chunk);
	uint8_t *plain;
	enum err err;

	from = from > start ? from - start : 0;
	to = minimum(to - start, size);
	if (from == 0 && to == size)
		return decompress_string(stored, out->data + out->size, size);
	plain = memory_allocate(size);
	if (plain == NULL)
		return ERR_NOMEM;
	err = decompress_string(stored, plain, size);
	if (err == ERR_OK)
		memcpy(out->data + out->size, plain + from, (size_t)(to - from));
	memory_free(plain);
	return err;
}

/* INV: `out` has room for the range, so that plaintext is never left behind by its moving. */
WAITS static enum err read_chunks(struct reader *reader, uint64_t from, uint64_t to,
				  struct buf *out)
{
	uint64_t at = 0, until = 0, first = from / CHUNK_SIZE, end = blob_chunk_count(to);

	for (uint64_t i = 0; i < end; i++) {
		if (i < first)
			at += chunk_stored_size(reader, i);
		until += chunk_stored_size(reader, i);
	}
	for (uint64_t i = first; i < end; i++) {
		uint64_t size = chunk_stored_size(reader, i);
		uint64_t start = i * CHUNK_SIZE;
		struct bytes stored;
		enum err err;

		err = view(reader, at, at + size, until, &stored);
		if (err == ERR_OK)
			err = append_chunk(reader, i, stored, from, to, out);
		if (err != ERR_OK)
			return err;
		out->size += (size_t)(minimum(to, start + chunk_plain_size(reader, i)) -
				      (from > start ? from : start));
		at += size;
	}
	return ERR_OK;
}

static enum err reader_init(struct reader *reader, const struct sealed_name *name,
			    uint64_t sealed_size)
{
	uint64_t frames = sealed_size / FRAME_SIZE + (sealed_size % FRAME_SIZE != 0);

	if (name->suite != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519)
		return ERR_NEWER;
	/* The padded size is its own padded size, or it is not one that a writer makes. */
	if (sealed_size > 2 * BLOB_PLAIN_MAX || sealed_size < BLOB_PADDED_MIN + TAG_SIZE ||
	    padded_size(sealed_size - frames * TAG_SIZE) != sealed_size - frames * TAG_SIZE)
		return ERR_AUTH;
	reader->padded = sealed_size - frames * TAG_SIZE;
	reader->frame_count = frames;
	blob_associated(name, reader->associated);
	return ERR_OK;
}

/* Could the wanted bytes be the whole blob, as far as its padded size tells? */
static bool may_be_whole(const struct reader *reader, uint64_t offset, uint64_t size)
{
	if (offset != 0 || size >= BLOB_PLAIN_MAX)
		return offset == 0;
	return padded_size(size + blob_chunk_count(size) * BLOB_TABLE_ENTRY_SIZE +
			   BLOB_TRAILER_SIZE) >= reader->padded;
}

enum err blob_open_range(const struct sealed_name *name, const uint8_t key[KEY_SIZE],
			 uint64_t sealed_size, blob_source *source, void *context, uint64_t offset,
			 uint64_t size, struct buf *out)
{
	struct reader reader = {.key = key, .source = source, .context = context};
	size_t out_size = out->size;
	enum err err;

	err = reader_init(&reader, name, sealed_size);
	if (err != ERR_OK)
		return err;
	err = read_table(&reader, may_be_whole(&reader, offset, size));
	if (err != ERR_OK)
		goto out;
	offset = minimum(offset, reader.plain_size);
	size = minimum(size, reader.plain_size - offset);
	err = buf_reserve(out, (size_t)size);
	if (err != ERR_OK || size == 0)
		goto out;
	err = read_chunks(&reader, offset, offset + size, out);
	if (err != ERR_OK) {
		memory_wipe(out->data + out_size, (size_t)size);
		out->size = out_size;
	}
out:
	buf_finish(&reader.plain);
	buf_finish(&reader.table);
	return err;
}
