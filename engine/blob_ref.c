/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/blob.h"

void blob_ref_encode(const struct blob_ref *ref, struct buf *out)
{
	buf_put_id(out, ref->id);
	buf_put_varint(out, ref->size);
	buf_put_varint(out, ref->extent_count);
	for (uint32_t i = 0; i < ref->extent_count; i++) {
		buf_put_u64(out, ref->extents[i].set);
		buf_put_varint(out, ref->extents[i].first_piece);
		buf_put_varint(out, ref->extents[i].piece_count);
	}
}

static uint32_t decode_u32(struct cursor *cursor)
{
	uint64_t value = cursor_varint(cursor);

	if (value > UINT32_MAX)
		cursor_fail(cursor);
	return (uint32_t)value;
}

void blob_ref_decode(struct cursor *cursor, struct blob_ref *out)
{
	struct blob_ref ref = {.id = cursor_id(cursor), .size = cursor_varint(cursor)};

	ref.extent_count = decode_u32(cursor);
	if (ref.extent_count > BLOB_EXTENT_MAX || ref.size > BLOB_SIZE_MAX)
		cursor_fail(cursor);
	for (uint32_t i = 0; cursor->err == ERR_OK && i < ref.extent_count; i++) {
		struct blob_extent *extent = &ref.extents[i];

		extent->set = cursor_u64(cursor);
		extent->first_piece = decode_u32(cursor);
		extent->piece_count = decode_u32(cursor);
		if (extent->piece_count == 0)
			cursor_fail(cursor);
	}
	if (cursor->err == ERR_OK)
		*out = ref;
}
