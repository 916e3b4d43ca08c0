/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/entry.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define ENTRY_VERSION 1u
#define ENTRY_SIGNED 1u
#define AT_FLAGS 3u
#define AT_PAYLOAD_SIZE 4u
#define AT_SEQ 8u
#define AT_EPOCH 48u
#define AT_BLOB_INCARNATION 64u
/* An encoded blob reference, at least. */
#define BLOB_REF_SIZE_MIN 18u

static const char signature_label[] = "aerostore journal entry 1";

void entry_blobs_finish(struct entry_blobs *blobs)
{
	memory_free(blobs->items);
	*blobs = (struct entry_blobs){0};
}

void entry_begin(const struct entry *entry, struct buf *out)
{
	size_t start = out->size;

	ASSERT(entry->blob_count <= ENTRY_BLOB_MAX);
	buf_put_u8(out, ENTRY_VERSION);
	buf_put_u8(out, entry->group);
	buf_put_u8(out, (uint8_t)entry->kind);
	buf_put_u8(out, 0);
	buf_put_u32(out, 0);
	buf_put_u64(out, entry->seq);
	buf_put_id(out, entry->stream);
	buf_put_id(out, entry->incarnation);
	buf_put_u64(out, entry->epoch);
	buf_put_u64(out, entry->floor);
	buf_put_id(out, entry->blob_incarnation);
	buf_put_id(out, entry->signer);
	buf_put_u16(out, (uint16_t)entry->blob_count);
	buf_put_zeros(out, 6);
	for (size_t i = 0; i < entry->blob_count; i++)
		blob_ref_encode(&entry->blobs[i], out);
	/* The clear part's, until entry_end() makes it the payload's. */
	if (out->err == ERR_OK)
		store_u32(out->data + start + AT_PAYLOAD_SIZE, (uint32_t)(out->size - start));
}

enum err entry_end(struct buf *out, size_t start)
{
	size_t clear, payload_size;

	if (out->err != ERR_OK)
		return out->err;
	clear = load_u32(out->data + start + AT_PAYLOAD_SIZE);
	payload_size = out->size - start - clear;
	if (payload_size > ENTRY_PAYLOAD_MAX || out->size - start > ENTRY_SIZE_MAX)
		return ERR_LIMIT;
	store_u32(out->data + start + AT_PAYLOAD_SIZE, (uint32_t)payload_size);
	return ERR_OK;
}

enum err entry_sign(struct buf *out, size_t start, const struct key *signing)
{
	uint8_t signature[SIGNATURE_SIZE];

	if (buf_reserve(out, SIGNATURE_SIZE) != ERR_OK)
		return out->err;
	out->data[start + AT_FLAGS] |= ENTRY_SIGNED;
	sign_bytes(signing, signature_label, bytes_make(out->data + start, out->size - start),
		   signature);
	buf_put(out, signature, sizeof(signature));
	return out->err;
}

enum err entry_verify(const struct entry *entry, const uint8_t public_key[PUBLIC_SIZE])
{
	if ((entry->signed_part.data[AT_FLAGS] & ENTRY_SIGNED) == 0)
		return ERR_AUTH;
	return sign_verify(public_key, signature_label, entry->signed_part, entry->signature);
}

static enum err make_room(struct entry_blobs *blobs, size_t count)
{
	struct blob_ref *items;

	if (count <= blobs->capacity)
		return ERR_OK;
	items = memory_resize(blobs->items, count * sizeof(*items));
	if (items == NULL)
		return ERR_NOMEM;
	blobs->items = items;
	blobs->capacity = count;
	return ERR_OK;
}

static bool is_kind(uint8_t kind)
{
	return kind == ENTRY_DELIVERY || kind == ENTRY_OPERATION || kind == ENTRY_TABLE;
}

/* The fixed part; *flags, *payload_size and *out->blob_count say what follows. */
static void decode_header(struct cursor *cursor, struct entry *out, uint8_t *flags,
			  uint32_t *payload_size)
{
	uint8_t kind;

	out->group = cursor_u8(cursor);
	kind = cursor_u8(cursor);
	*flags = cursor_u8(cursor);
	*payload_size = cursor_u32(cursor);
	out->seq = cursor_u64(cursor);
	out->stream = cursor_id(cursor);
	out->incarnation = cursor_id(cursor);
	out->epoch = cursor_u64(cursor);
	out->floor = cursor_u64(cursor);
	out->blob_incarnation = cursor_id(cursor);
	out->signer = cursor_id(cursor);
	out->blob_count = cursor_u16(cursor);
	cursor_zeros(cursor, 6);
	if (!is_kind(kind) || (*flags & ~ENTRY_SIGNED) != 0 || out->seq == 0 ||
	    *payload_size > ENTRY_PAYLOAD_MAX || out->blob_count > ENTRY_BLOB_MAX ||
	    out->blob_count > cursor_left(cursor) / BLOB_REF_SIZE_MIN)
		cursor_fail(cursor);
	/* Checked just now; a value outside is never used. */
	out->kind = is_kind(kind) ? (enum entry_kind)kind : ENTRY_DELIVERY;
}

enum err entry_decode(struct bytes encoded, struct entry_blobs *blobs, struct entry *out)
{
	struct cursor cursor = cursor_make(encoded);
	struct entry entry = {0};
	uint8_t flags, version = cursor_u8(&cursor);
	uint32_t payload_size;
	enum err err;

	if (cursor.err == ERR_OK && version != ENTRY_VERSION)
		return version == 0 ? ERR_CORRUPT : ERR_NEWER;
	decode_header(&cursor, &entry, &flags, &payload_size);
	if (cursor.err != ERR_OK)
		return cursor.err;
	err = make_room(blobs, entry.blob_count);
	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < entry.blob_count; i++)
		blob_ref_decode(&cursor, &blobs->items[i]);
	entry.blobs = blobs->items;
	entry.payload = cursor_take(&cursor, payload_size);
	entry.signed_part = bytes_slice(encoded, 0, cursor.offset);
	if ((flags & ENTRY_SIGNED) != 0)
		cursor_copy(&cursor, entry.signature, sizeof(entry.signature));
	err = cursor_end(&cursor);
	if (err == ERR_OK)
		*out = entry;
	return err;
}

enum err entry_inspect(struct bytes encoded, struct id128 stream, struct id128 incarnation,
		       uint64_t seq, uint64_t *epoch, enum entry_kind *kind)
{
	struct cursor cursor = cursor_make(encoded);
	uint8_t version = cursor_u8(&cursor), read_kind;

	(void)cursor_u8(&cursor); /* group */
	read_kind = cursor_u8(&cursor);
	(void)cursor_take(&cursor, AT_SEQ - 3);
	if (cursor_u64(&cursor) != seq || !id128_equal(cursor_id(&cursor), stream) ||
	    !id128_equal(cursor_id(&cursor), incarnation) || version != ENTRY_VERSION ||
	    !is_kind(read_kind) || encoded.size < ENTRY_HEADER_SIZE)
		return ERR_CORRUPT;
	*epoch = load_u64(encoded.data + AT_EPOCH);
	*kind = (enum entry_kind)read_kind;
	return ERR_OK;
}

struct id128 entry_blob_incarnation(struct bytes encoded)
{
	struct id128 incarnation;

	ASSERT(encoded.size >= ENTRY_HEADER_SIZE);
	memcpy(incarnation.octets, encoded.data + AT_BLOB_INCARNATION, sizeof(incarnation.octets));
	return incarnation;
}

void entry_digest(struct bytes encoded, uint8_t out[32])
{
	size_t size = encoded.size;

	ASSERT(encoded.size >= ENTRY_HEADER_SIZE);
	if ((encoded.data[AT_FLAGS] & ENTRY_SIGNED) != 0)
		size -= SIGNATURE_SIZE;
	digest_256(bytes_slice(encoded, 0, size), out);
}
