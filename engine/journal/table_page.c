/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/table_page.h"

#include <string.h>

#define TABLE_PAGE_VERSION 1u
#define LABEL_TABLE_SNAPSHOT "aerostore table snapshot"

/* ---- pages ---- */

static void begin(struct buf *out)
{
	buf_put_u8(out, TABLE_PAGE_VERSION);
	buf_put_zeros(out, 7);
}

static enum err decode_version(struct cursor *cursor)
{
	uint8_t version = cursor_u8(cursor);

	if (cursor->err == ERR_OK && version > TABLE_PAGE_VERSION)
		return ERR_NEWER;
	if (version != TABLE_PAGE_VERSION)
		cursor_fail(cursor);
	cursor_zeros(cursor, 7);
	return cursor->err;
}

void table_page_begin(struct buf *page)
{
	begin(page);
}

void table_page_add(struct buf *page, struct bytes record)
{
	buf_put_block(page, record);
}

static enum err check_records(struct cursor cursor)
{
	while (cursor.err == ERR_OK && cursor_left(&cursor) != 0)
		if (cursor_block(&cursor).size == 0)
			cursor_fail(&cursor);
	return cursor.err;
}

enum err table_page_decode(struct bytes page, enum err (*each)(void *context, struct bytes record),
			   void *context)
{
	struct cursor cursor = cursor_make(page);
	enum err err = decode_version(&cursor);

	if (err == ERR_OK)
		err = check_records(cursor);
	while (err == ERR_OK && cursor_left(&cursor) != 0)
		err = each(context, cursor_block(&cursor));
	return err;
}

/* ---- the root ---- */

static void put_signed(const struct table_root_place *place, struct bytes root, struct buf *out)
{
	buf_put_block(out, place->authority);
	buf_put_id(out, place->stream);
	buf_put_id(out, place->manifest);
	buf_put_bytes(out, root);
}

static enum err sign(const struct table_root_place *place, const struct key *signing, size_t start,
		     struct buf *out)
{
	struct buf message = {0};
	uint8_t signature[SIGNATURE_SIZE];
	enum err err;

	put_signed(place, bytes_slice(bytes_of_buf(out), start, SIZE_MAX), &message);
	err = message.err;
	if (err == ERR_OK) {
		sign_bytes(signing, LABEL_TABLE_SNAPSHOT, bytes_of_buf(&message), signature);
		buf_put(out, signature, sizeof(signature));
		err = out->err;
	}
	buf_finish(&message);
	return err;
}

enum err table_root_encode(const struct table_root_place *place, const struct manifest_page *pages,
			   size_t page_count, const struct key *signing, struct id128 voucher,
			   struct buf *out)
{
	size_t start = out->size;

	begin(out);
	buf_put_id(out, signing != NULL ? voucher : ID128_ZERO);
	for (size_t i = 0; i < page_count; i++) {
		uint8_t digest[DIGEST_SIZE];

		digest_256(pages[i].payload, digest);
		buf_put(out, digest, sizeof(digest));
	}
	if (out->err != ERR_OK)
		return out->err;
	return signing != NULL ? sign(place, signing, start, out) : ERR_OK;
}

enum err table_root_decode(struct bytes encoded, size_t page_count, struct table_root *out)
{
	struct cursor cursor = cursor_make(encoded);
	enum err err = decode_version(&cursor);

	if (err != ERR_OK)
		return err;
	if (page_count > cursor_left(&cursor) / DIGEST_SIZE)
		return ERR_CORRUPT;
	*out = (struct table_root){.voucher = cursor_id(&cursor)};
	out->digests = cursor_take(&cursor, page_count * DIGEST_SIZE).data;
	out->signed_part = bytes_slice(encoded, 0, cursor.offset);
	if (!id128_is_zero(out->voucher))
		out->signature = cursor_take(&cursor, SIGNATURE_SIZE).data;
	return cursor_end(&cursor);
}

enum err table_root_verify(const struct table_root *root, const struct table_root_place *place,
			   const uint8_t public_key[PUBLIC_SIZE])
{
	struct buf message = {0};
	enum err err;

	if (root->signature == NULL)
		return ERR_AUTH;
	put_signed(place, root->signed_part, &message);
	err = message.err;
	if (err == ERR_OK)
		err = sign_verify(public_key, LABEL_TABLE_SNAPSHOT, bytes_of_buf(&message),
				  root->signature);
	buf_finish(&message);
	return err;
}

bool table_root_names(const struct table_root *root, size_t index, struct bytes page)
{
	uint8_t digest[DIGEST_SIZE];

	digest_256(page, digest);
	return memcmp(digest, root->digests + index * DIGEST_SIZE, DIGEST_SIZE) == 0;
}
