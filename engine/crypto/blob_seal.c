/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Writing a blob. Three stages, each with a bounded store: plaintext gathers to
 * a chunk, chunks are packed to the end of `pending`, and what fills a frame
 * leaves. A full frame can leave at once, as something always follows it: the
 * trailer at least. Only the table grows, by 4 bytes for 64 KiB.
 */
#include "engine/crypto/blob_format.h"

#include <string.h>

#include <sodium.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/crypto/compress.h"
#include "engine/crypto/scratch.h"

static_assert(CHUNK_SIZE == FRAME_PLAIN_SIZE, "pending holds less than a frame plus a chunk");

struct blob_sealer {
	uint8_t key[KEY_SIZE];
	uint8_t associated[BLOB_ASSOCIATED_SIZE];
	struct buf table;
	uint64_t plain_size;  /* all that was given */
	uint64_t stored_size; /* all chunks, as stored */
	uint64_t frame_index; /* of the next frame */
	bool is_finished;
	enum err err; /* sticky */
	size_t chunk_size, pending_size;
	/* How much of the two stores held plaintext: what destroy must wipe. */
	size_t chunk_used, pending_used;
	uint8_t chunk[CHUNK_SIZE];
	uint8_t pending[FRAME_PLAIN_SIZE + CHUNK_SIZE];
};

static struct scratch_pool sealers;

uint64_t padded_size(uint64_t size)
{
	unsigned exponent, significant;
	uint64_t mask;

	if (size <= BLOB_PADDED_MIN)
		return BLOB_PADDED_MIN;
	ASSERT(size < UINT64_C(1) << 62);
	exponent = 63 - (unsigned)__builtin_clzll(size);
	significant = 32 - (unsigned)__builtin_clz(exponent);
	mask = (UINT64_C(1) << (exponent - significant)) - 1;
	return (size + mask) & ~mask;
}

void blob_associated(const struct sealed_name *name, uint8_t out[BLOB_ASSOCIATED_SIZE])
{
	memset(out, 0, BLOB_ASSOCIATED_SIZE);
	out[0] = name->suite;
	out[1] = name->type;
	memcpy(out + 8, name->account_tag.octets, 16);
	store_u64(out + 24, name->epoch);
	memcpy(out + 32, name->blob.octets, 16);
}

void blob_nonce(uint64_t frame_index, bool is_last, uint8_t out[NONCE_SIZE])
{
	static const char prefix[] = "aerostore frame";

	static_assert(sizeof(prefix) - 1 + 8 + 1 == NONCE_SIZE, "prefix, index, last");
	memcpy(out, prefix, sizeof(prefix) - 1);
	store_u64(out + 15, frame_index);
	out[23] = is_last;
}

uint64_t blob_chunk_count(uint64_t plain_size)
{
	return plain_size / CHUNK_SIZE + (plain_size % CHUNK_SIZE != 0);
}

enum err blob_sealer_create(struct env *env, const struct sealed_name *name,
			    struct blob_sealer **out)
{
	struct blob_sealer *sealer;

	if (name->suite != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519)
		return ERR_INVALID;
	sealer = scratch_take(&sealers, sizeof(*sealer));
	if (sealer == NULL)
		return ERR_NOMEM;
	memset(sealer, 0, offsetof(struct blob_sealer, chunk));
	env_random(env, sealer->key, KEY_SIZE);
	blob_associated(name, sealer->associated);
	*out = sealer;
	return ERR_OK;
}

static enum err emit_frame(struct blob_sealer *sealer, size_t size, bool is_last,
			   struct buf *frames)
{
	uint8_t nonce[NONCE_SIZE];
	enum err err;

	blob_nonce(sealer->frame_index, is_last, nonce);
	err = aead_seal(sealer->key, nonce, bytes_make(sealer->associated, BLOB_ASSOCIATED_SIZE),
			bytes_make(sealer->pending, size), frames);
	if (err != ERR_OK)
		return err;
	sealer->frame_index++;
	sealer->pending_size -= size;
	memmove(sealer->pending, sealer->pending + size, sealer->pending_size);
	return ERR_OK;
}

static enum err add_chunk(struct blob_sealer *sealer, struct bytes chunk, struct buf *frames)
{
	enum err err;
	size_t size;

	ASSERT(sealer->pending_size < FRAME_PLAIN_SIZE);
	err = compress_string(chunk, sealer->pending + sealer->pending_size, &size);
	if (err != ERR_OK)
		return err;
	/* Compression may have tried more bytes than it kept. */
	if (sealer->pending_size + chunk.size > sealer->pending_used)
		sealer->pending_used = sealer->pending_size + chunk.size;
	buf_put_u32(&sealer->table, (uint32_t)size);
	if (sealer->table.err != ERR_OK)
		return sealer->table.err;
	sealer->stored_size += size;
	sealer->pending_size += size;
	if (sealer->pending_size < FRAME_PLAIN_SIZE)
		return ERR_OK;
	return emit_frame(sealer, FRAME_PLAIN_SIZE, false, frames);
}

/* Takes from *plain what completes a chunk, or all of it; whole chunks are not copied first. */
static enum err take_some(struct blob_sealer *sealer, struct bytes *plain, struct buf *frames)
{
	size_t take = CHUNK_SIZE - sealer->chunk_size;
	struct bytes chunk;

	if (sealer->chunk_size == 0 && plain->size >= CHUNK_SIZE) {
		chunk = bytes_slice(*plain, 0, CHUNK_SIZE);
		*plain = bytes_slice(*plain, CHUNK_SIZE, plain->size);
		return add_chunk(sealer, chunk, frames);
	}
	if (take > plain->size)
		take = plain->size;
	memcpy(sealer->chunk + sealer->chunk_size, plain->data, take);
	*plain = bytes_slice(*plain, take, plain->size);
	sealer->chunk_size += take;
	if (sealer->chunk_size > sealer->chunk_used)
		sealer->chunk_used = sealer->chunk_size;
	if (sealer->chunk_size < CHUNK_SIZE)
		return ERR_OK;
	sealer->chunk_size = 0;
	return add_chunk(sealer, bytes_make(sealer->chunk, CHUNK_SIZE), frames);
}

enum err blob_sealer_update(struct blob_sealer *sealer, struct bytes plain, struct buf *frames)
{
	ASSERT(!sealer->is_finished);
	if (sealer->err == ERR_OK && plain.size > BLOB_PLAIN_MAX - sealer->plain_size)
		sealer->err = ERR_LIMIT;
	if (sealer->err == ERR_OK)
		sealer->plain_size += plain.size;
	while (sealer->err == ERR_OK && plain.size != 0)
		sealer->err = take_some(sealer, &plain, frames);
	return sealer->err;
}

/* As `size` bytes of `tail`, or zeros when it is NULL. A full frame leaves once more is to come. */
static enum err append_plain(struct blob_sealer *sealer, const uint8_t *tail, uint64_t size,
			     struct buf *frames)
{
	while (size != 0) {
		size_t part = FRAME_PLAIN_SIZE - sealer->pending_size;
		enum err err;

		if (part == 0) {
			err = emit_frame(sealer, FRAME_PLAIN_SIZE, false, frames);
			if (err != ERR_OK)
				return err;
			continue;
		}
		if (part > size)
			part = (size_t)size;
		if (tail != NULL) {
			memcpy(sealer->pending + sealer->pending_size, tail, part);
			tail += part;
		} else {
			memset(sealer->pending + sealer->pending_size, 0, part);
		}
		sealer->pending_size += part;
		if (sealer->pending_size > sealer->pending_used)
			sealer->pending_used = sealer->pending_size;
		size -= part;
	}
	return ERR_OK;
}

static enum err append_end(struct blob_sealer *sealer, struct buf *frames)
{
	uint64_t content = sealer->stored_size + sealer->table.size + BLOB_TRAILER_SIZE;
	uint8_t trailer[BLOB_TRAILER_SIZE] = {0};
	enum err err;

	store_u64(trailer, sealer->plain_size);
	trailer[8] = BLOB_LAYOUT;
	trailer[9] = BLOB_COMPRESSION_ZSTD;
	buf_put(&sealer->table, trailer, sizeof(trailer));
	if (sealer->table.err != ERR_OK)
		return sealer->table.err;
	err = append_plain(sealer, NULL, padded_size(content) - content, frames);
	if (err == ERR_OK)
		err = append_plain(sealer, sealer->table.data, sealer->table.size, frames);
	if (err == ERR_OK)
		err = emit_frame(sealer, sealer->pending_size, true, frames);
	return err;
}

enum err blob_sealer_finish(struct blob_sealer *sealer, struct buf *frames)
{
	ASSERT(!sealer->is_finished);
	if (sealer->err == ERR_OK && sealer->chunk_size != 0)
		sealer->err =
			add_chunk(sealer, bytes_make(sealer->chunk, sealer->chunk_size), frames);
	if (sealer->err == ERR_OK)
		sealer->err = append_end(sealer, frames);
	sealer->is_finished = true;
	return sealer->err;
}

const uint8_t *blob_sealer_key(const struct blob_sealer *sealer)
{
	return sealer->key;
}

uint64_t blob_sealer_plain_size(const struct blob_sealer *sealer)
{
	return sealer->plain_size;
}

void blob_sealer_destroy(struct blob_sealer **sealer)
{
	struct blob_sealer *destroyed = *sealer;

	*sealer = NULL;
	if (destroyed == NULL)
		return;
	buf_finish(&destroyed->table);
	memory_wipe(destroyed->chunk, destroyed->chunk_used);
	memory_wipe(destroyed->pending, destroyed->pending_used);
	memory_wipe(destroyed, offsetof(struct blob_sealer, chunk));
	scratch_give(&sealers, destroyed);
}
