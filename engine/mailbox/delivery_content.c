/* SPDX-License-Identifier: MPL-2.0 */
/* The plaintext of a delivery's envelope, and what its associated data is: docs/format.md. */
#include "engine/mailbox/delivery.h"

#include "engine/base/memory.h"
#include "engine/mailbox/delivery_place.h"

#define CONTENT_VERSION 1u
#define PLACE_VERSION 1u

void delivery_content_encode(const struct delivery_content *content, struct buf *out)
{
	buf_put_u8(out, CONTENT_VERSION);
	blob_ref_encode(&content->blob, out);
	buf_put(out, content->blob_key, KEY_SIZE);
	buf_put_u64(out, content->arrival_ms);
	buf_put_u64(out, content->plain_size);
	buf_put(out, content->transaction_hash, sizeof(content->transaction_hash));
	buf_put(out, content->previous, sizeof(content->previous));
	buf_put_block(out, content->folder);
	buf_put_block(out, content->summary);
}

enum err delivery_content_decode(struct bytes encoded, struct delivery_content *out)
{
	struct cursor cursor = cursor_make(encoded);
	struct delivery_content content = {0};
	uint8_t version = cursor_u8(&cursor);

	if (version > CONTENT_VERSION)
		return ERR_NEWER;
	if (version != CONTENT_VERSION)
		return ERR_CORRUPT;
	blob_ref_decode(&cursor, &content.blob);
	cursor_copy(&cursor, content.blob_key, KEY_SIZE);
	content.arrival_ms = cursor_u64(&cursor);
	content.plain_size = cursor_u64(&cursor);
	cursor_copy(&cursor, content.transaction_hash, sizeof(content.transaction_hash));
	cursor_copy(&cursor, content.previous, sizeof(content.previous));
	content.folder = cursor_block(&cursor);
	content.summary = cursor_block(&cursor);
	if (cursor_end(&cursor)) {
		memory_wipe(content.blob_key, KEY_SIZE);
		return ERR_CORRUPT;
	}
	*out = content;
	memory_wipe(content.blob_key, KEY_SIZE);
	return ERR_OK;
}

void delivery_place_encode(const struct delivery_place *place, struct buf *out)
{
	buf_put_u8(out, PLACE_VERSION);
	buf_put_id(out, place->account);
	buf_put_id(out, place->stream);
	buf_put_id(out, place->incarnation);
	buf_put_u64(out, place->seq);
	buf_put_u64(out, place->floor);
	buf_put_id(out, place->blob_incarnation);
	blob_ref_encode(place->blob, out);
}
