/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/manifest.h"

#include "engine/base/memory.h"

#define MANIFEST_VERSION 1u
/* An encoded blob reference, at least. */
#define BLOB_REF_SIZE_MIN 18u

static void put_blobs(const struct blob_ref *blobs, size_t count, struct buf *out)
{
	buf_put_varint(out, count);
	for (size_t i = 0; i < count; i++)
		blob_ref_encode(&blobs[i], out);
}

static enum err check_size(const struct buf *out, size_t start)
{
	if (out->err != ERR_OK)
		return out->err;
	return out->size - start > MANIFEST_SIZE_MAX ? ERR_LIMIT : ERR_OK;
}

enum err manifest_encode(const struct manifest *manifest, struct buf *out)
{
	size_t start = out->size;

	buf_put_u8(out, MANIFEST_VERSION);
	buf_put_zeros(out, 7);
	buf_put_id(out, manifest->stream);
	buf_put_id(out, manifest->id);
	buf_put_id(out, manifest->incarnation);
	buf_put_u64(out, manifest->epoch);
	buf_put_u64(out, manifest->floor);
	vector_encode(&manifest->vector, out);
	buf_put_varint(out, manifest->page_count);
	for (size_t i = 0; i < manifest->page_count; i++)
		buf_put_id(out, manifest->pages[i]);
	put_blobs(manifest->blobs, manifest->blob_count, out);
	buf_put_block(out, manifest->payload);
	return check_size(out, start);
}

enum err manifest_page_encode(const struct manifest_page *page, struct buf *out)
{
	size_t start = out->size;

	buf_put_u8(out, MANIFEST_VERSION);
	buf_put_zeros(out, 7);
	buf_put_id(out, page->id);
	put_blobs(page->blobs, page->blob_count, out);
	buf_put_block(out, page->payload);
	return check_size(out, start);
}

/* ERR_OK, or why the rest is not to be read. */
static enum err decode_version(struct cursor *cursor)
{
	uint8_t version = cursor_u8(cursor);

	if (cursor->err == ERR_OK && version > MANIFEST_VERSION)
		return ERR_NEWER;
	if (version != MANIFEST_VERSION)
		cursor_fail(cursor);
	cursor_zeros(cursor, 7);
	return cursor->err;
}

/* A count of items of `size_min` bytes at least each; 0 after a failure. */
static size_t decode_count(struct cursor *cursor, size_t size_min)
{
	uint64_t count = cursor_varint(cursor);

	if (count > cursor_left(cursor) / size_min)
		cursor_fail(cursor);
	return cursor->err == ERR_OK ? (size_t)count : 0;
}

static enum err decode_pages(struct cursor *cursor, struct manifest *out)
{
	out->page_count = decode_count(cursor, sizeof(struct id128));
	if (out->page_count == 0)
		return cursor->err;
	out->pages = memory_array(out->page_count, sizeof(*out->pages));
	if (out->pages == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < out->page_count; i++)
		out->pages[i] = cursor_id(cursor);
	return cursor->err;
}

static enum err decode_blobs(struct cursor *cursor, struct manifest *out)
{
	out->blob_count = decode_count(cursor, BLOB_REF_SIZE_MIN);
	if (out->blob_count == 0)
		return cursor->err;
	out->blobs = memory_array(out->blob_count, sizeof(*out->blobs));
	if (out->blobs == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < out->blob_count; i++)
		blob_ref_decode(cursor, &out->blobs[i]);
	return cursor->err;
}

static enum err decode_into(struct bytes encoded, struct manifest *out)
{
	struct cursor cursor = cursor_make(encoded);
	enum err err = decode_version(&cursor);

	if (err != ERR_OK)
		return err;
	out->stream = cursor_id(&cursor);
	out->id = cursor_id(&cursor);
	out->incarnation = cursor_id(&cursor);
	out->epoch = cursor_u64(&cursor);
	out->floor = cursor_u64(&cursor);
	err = vector_decode(&cursor, &out->vector);
	if (err == ERR_OK)
		err = decode_pages(&cursor, out);
	if (err == ERR_OK)
		err = decode_blobs(&cursor, out);
	if (err != ERR_OK)
		return err;
	out->payload = cursor_block(&cursor);
	return cursor_end(&cursor);
}

enum err manifest_decode(struct bytes encoded, struct manifest *out)
{
	struct manifest manifest = {0};
	enum err err = decode_into(encoded, &manifest);

	if (err == ERR_OK)
		*out = manifest;
	else
		manifest_finish(&manifest);
	return err;
}

void manifest_finish(struct manifest *manifest)
{
	vector_finish(&manifest->vector);
	memory_free(manifest->pages);
	memory_free(manifest->blobs);
	*manifest = (struct manifest){0};
}

static enum err decode_page(struct bytes encoded,
			    enum err (*each)(void *context, const struct blob_ref *blob),
			    void *context, struct id128 *id, struct bytes *payload)
{
	struct cursor cursor = cursor_make(encoded);
	size_t count;
	enum err err = decode_version(&cursor);

	if (err != ERR_OK)
		return err;
	*id = cursor_id(&cursor);
	count = decode_count(&cursor, BLOB_REF_SIZE_MIN);
	for (size_t i = 0; i < count && cursor.err == ERR_OK; i++) {
		struct blob_ref ref;

		blob_ref_decode(&cursor, &ref);
		if (cursor.err == ERR_OK && each != NULL)
			err = each(context, &ref);
		if (err != ERR_OK)
			return err;
	}
	*payload = cursor_block(&cursor);
	return cursor_end(&cursor);
}

enum err manifest_page_decode(struct bytes encoded, struct id128 *id, struct bytes *payload)
{
	struct id128 read_id;
	struct bytes read_payload;
	enum err err = decode_page(encoded, NULL, NULL, &read_id, &read_payload);

	if (err == ERR_OK) {
		*id = read_id;
		*payload = read_payload;
	}
	return err;
}

enum err manifest_page_blobs(struct bytes encoded, struct id128 id,
			     enum err (*each)(void *context, const struct blob_ref *blob),
			     void *context)
{
	struct id128 read_id;
	struct bytes payload;
	enum err err = decode_page(encoded, each, context, &read_id, &payload);

	return err == ERR_OK && !id128_equal(read_id, id) ? ERR_CORRUPT : err;
}
