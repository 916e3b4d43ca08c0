/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/format/segment.h"

#include <string.h>

#include "engine/base/hash.h"

static const uint8_t MAGIC[8] = {'A', 'E', 'R', 'O', 'S', 'E', 'G', 'M'};

enum {
	SEGMENT_VERSION = 1,
	OFFSET_VERSION = 8,
	OFFSET_NUMBER = 24,
	OFFSET_CLUSTER = 32,
	OFFSET_VOLUME = 48,
	OFFSET_CREATED = 64,
	OFFSET_ZERO = 72,
	OFFSET_HASH = 4088
};

void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE])
{
	memset(out, 0, SEGMENT_HEADER_SIZE);
	memcpy(out, MAGIC, sizeof(MAGIC));
	store_u32(out + OFFSET_VERSION, SEGMENT_VERSION);
	store_u64(out + OFFSET_NUMBER, header->number);
	memcpy(out + OFFSET_CLUSTER, header->cluster.octets, 16);
	memcpy(out + OFFSET_VOLUME, header->volume.octets, 16);
	store_u64(out + OFFSET_CREATED, header->created_ms);
	store_u64(out + OFFSET_HASH, hash_64(out, OFFSET_HASH));
	memcpy(out + SEGMENT_COPY_SIZE, out, SEGMENT_COPY_SIZE);
}

static enum err decode_copy(const uint8_t *copy, struct segment_header *out)
{
	struct cursor cursor = cursor_make(bytes_make(copy, OFFSET_HASH));
	struct segment_header header = {0};
	uint32_t version, incompatible;

	if (memcmp(cursor_take(&cursor, sizeof(MAGIC)).data, MAGIC, sizeof(MAGIC)) != 0 ||
	    load_u64(copy + OFFSET_HASH) != hash_64(copy, OFFSET_HASH))
		return ERR_CORRUPT;
	version = cursor_u32(&cursor);
	(void)cursor_u32(&cursor); /* compat */
	header.read_only = cursor_u32(&cursor) != 0;
	incompatible = cursor_u32(&cursor);
	if (version > SEGMENT_VERSION || incompatible != 0)
		return ERR_NEWER;
	header.number = cursor_u64(&cursor);
	header.cluster = cursor_id(&cursor);
	header.volume = cursor_id(&cursor);
	header.created_ms = cursor_u64(&cursor);
	cursor_zeros(&cursor, OFFSET_HASH - OFFSET_ZERO);
	if (cursor_end(&cursor) != ERR_OK || version == 0 || header.number == 0)
		return ERR_CORRUPT;
	*out = header;
	return ERR_OK;
}

enum err segment_header_decode(const uint8_t both[SEGMENT_HEADER_SIZE], struct segment_header *out)
{
	enum err err = decode_copy(both, out);

	return err == ERR_CORRUPT ? decode_copy(both + SEGMENT_COPY_SIZE, out) : err;
}
