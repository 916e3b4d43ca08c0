/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/format/superblock.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"

static const uint8_t MAGIC[8] = "AEROVOL";

enum {
	OFFSET_VERSION = 8,
	OFFSET_COPY = 12,
	OFFSET_GENERATION = 16,
	OFFSET_COMPAT = 24,
	OFFSET_RO_COMPAT = 32,
	OFFSET_INCOMPAT = 40,
	OFFSET_CLUSTER = 48,
	OFFSET_NODE = 64,
	OFFSET_VOLUME = 80,
	OFFSET_CREATED = 96,
	OFFSET_ZONE = 104,
	OFFSET_ZERO = 136,
	OFFSET_HASH = 4080
};

static_assert(OFFSET_HASH + 16 == SUPERBLOCK_COPY_SIZE, "a copy ends with its hash");
static_assert(OFFSET_ZONE + sizeof(((struct volume_identity *)NULL)->zone) == OFFSET_ZERO,
	      "the label fills its field");

static void encode_copy(const struct superblock *superblock, uint32_t copy_index, uint8_t *out)
{
	const struct volume_identity *identity = &superblock->identity;
	struct hash128 hash;

	memset(out, 0, SUPERBLOCK_COPY_SIZE);
	memcpy(out, MAGIC, sizeof(MAGIC));
	store_u32(out + OFFSET_VERSION, SUPERBLOCK_VERSION);
	store_u32(out + OFFSET_COPY, copy_index);
	store_u64(out + OFFSET_GENERATION, superblock->generation);
	memcpy(out + OFFSET_CLUSTER, identity->cluster.octets, 16);
	memcpy(out + OFFSET_NODE, identity->node.octets, 16);
	memcpy(out + OFFSET_VOLUME, identity->volume.octets, 16);
	store_u64(out + OFFSET_CREATED, identity->created_ms);
	memcpy(out + OFFSET_ZONE, identity->zone, strlen(identity->zone));
	hash = hash_128(out, OFFSET_HASH);
	store_u64(out + OFFSET_HASH, hash.low);
	store_u64(out + OFFSET_HASH + 8, hash.high);
}

void superblock_encode(const struct superblock *superblock, uint8_t out[SUPERBLOCK_SIZE])
{
	const char *zone = superblock->identity.zone;

	ASSERT(memchr(zone, '\0', sizeof(superblock->identity.zone)) != NULL);
	ASSERT(superblock->generation > 0);
	for (uint32_t i = 0; i < SUPERBLOCK_COPY_COUNT; i++)
		encode_copy(superblock, i, out + i * SUPERBLOCK_COPY_SIZE);
}

/* One label, one byte string: nothing may hide behind the NUL. */
static void decode_zone(struct cursor *cursor, char zone[32])
{
	cursor_copy(cursor, zone, 32);
	for (size_t i = strnlen(zone, 32); i < 32; i++)
		if (zone[i] != '\0')
			cursor_fail(cursor);
	if (zone[31] != '\0')
		cursor_fail(cursor);
}

enum err superblock_decode(const uint8_t copy[SUPERBLOCK_COPY_SIZE], unsigned copy_index,
			   struct superblock *out)
{
	struct superblock superblock = {0};
	struct cursor cursor = cursor_make(bytes_make(copy, OFFSET_HASH));
	struct hash128 hash = {load_u64(copy + OFFSET_HASH), load_u64(copy + OFFSET_HASH + 8)};
	uint32_t version;

	if (memcmp(cursor_take(&cursor, sizeof(MAGIC)).data, MAGIC, sizeof(MAGIC)) != 0 ||
	    !hash128_equal(hash, hash_128(copy, OFFSET_HASH)))
		return ERR_CORRUPT;
	version = cursor_u32(&cursor);
	if (version == 0 || cursor_u32(&cursor) != copy_index)
		return ERR_CORRUPT;
	superblock.generation = cursor_u64(&cursor);
	(void)cursor_u64(&cursor); /* compat */
	superblock.read_only = cursor_u64(&cursor) != 0;
	if (version > SUPERBLOCK_VERSION || cursor_u64(&cursor) != 0)
		return ERR_NEWER;
	superblock.identity.cluster = cursor_id(&cursor);
	superblock.identity.node = cursor_id(&cursor);
	superblock.identity.volume = cursor_id(&cursor);
	superblock.identity.created_ms = cursor_u64(&cursor);
	decode_zone(&cursor, superblock.identity.zone);
	cursor_zeros(&cursor, OFFSET_HASH - OFFSET_ZERO);
	if (cursor_end(&cursor) != ERR_OK || superblock.generation == 0 ||
	    id128_is_zero(superblock.identity.volume))
		return ERR_CORRUPT;
	*out = superblock;
	return ERR_OK;
}

enum err superblock_choose(const uint8_t both[SUPERBLOCK_SIZE], struct superblock *out,
			   unsigned *stale)
{
	struct superblock copies[SUPERBLOCK_COPY_COUNT] = {0};
	enum err errs[SUPERBLOCK_COPY_COUNT];
	unsigned best, worse = 0;

	for (unsigned i = 0; i < SUPERBLOCK_COPY_COUNT; i++) {
		errs[i] = superblock_decode(both + i * SUPERBLOCK_COPY_SIZE, i, &copies[i]);
		if (errs[i] == ERR_NEWER)
			return ERR_NEWER;
	}
	if (errs[0] != ERR_OK && errs[1] != ERR_OK)
		return ERR_CORRUPT;
	/* A damaged copy has generation 0. */
	best = copies[1].generation > copies[0].generation ? 1 : 0;
	for (unsigned i = 0; i < SUPERBLOCK_COPY_COUNT; i++)
		if (copies[i].generation != copies[best].generation)
			worse |= 1u << i;
	*out = copies[best];
	if (stale != NULL)
		*stale = worse;
	return ERR_OK;
}
