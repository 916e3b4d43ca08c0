/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/format/record.h"

#include <string.h>

#include "engine/base/assert.h"

enum {
	OFFSET_MAGIC = 0,
	OFFSET_VERSION = 4,
	OFFSET_TYPE = 5,
	OFFSET_FLAGS = 6,
	OFFSET_SUITE = 7,
	OFFSET_PAYLOAD_SIZE = 8,
	OFFSET_PIECE = 12,
	OFFSET_ID = 16,
	OFFSET_TAG = 32,
	OFFSET_BIRTH_SET = 48,
	OFFSET_INCARNATION = 56,
	OFFSET_NUMBER = 72,
	OFFSET_PAYLOAD_HASH = 80,
	OFFSET_SET = 96,
	OFFSET_OFFSET = 104,
	OFFSET_DURABLE = 112,
	OFFSET_COLUMN = 120,
	OFFSET_ZERO_A = 121,
	OFFSET_RUNNING = 128,
	OFFSET_ZERO_B = 144,
	OFFSET_HEADER_HASH = 152,
	RUNNING_INPUT = 128 /* bytes of the header in the running hash */
};

static_assert(OFFSET_HEADER_HASH + 8 == RECORD_HEADER_SIZE, "the header ends with its hash");
static_assert(OFFSET_PAYLOAD_HASH + 16 == OFFSET_SET, "the immutable part is 96 bytes");
static_assert(OFFSET_RUNNING == RUNNING_INPUT, "a running hash covers what stands before it");
static_assert((RECORD_ALIGN & (RECORD_ALIGN - 1)) == 0, "a power of two");

uint64_t record_size(uint32_t payload_size)
{
	uint64_t size = RECORD_HEADER_SIZE + (uint64_t)payload_size;

	return (size + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

static void store_hash128(uint8_t *to, struct hash128 hash)
{
	store_u64(to, hash.low);
	store_u64(to + 8, hash.high);
}

static struct hash128 load_hash128(const uint8_t *from)
{
	return (struct hash128){load_u64(from), load_u64(from + 8)};
}

static struct id128 load_id(const uint8_t *from)
{
	struct id128 id;

	memcpy(id.octets, from, sizeof(id.octets));
	return id;
}

void record_encode(struct record *record, struct hash128 previous,
		   uint8_t header[RECORD_HEADER_SIZE])
{
	ASSERT(record->payload_size <= RECORD_PAYLOAD_MAX);
	ASSERT(record->offset % RECORD_ALIGN == 0 && record->durable % RECORD_ALIGN == 0);
	ASSERT(record->durable <= record->offset);
	ASSERT(record->type >= RECORD_BLOB && record->type <= RECORD_MARK);
	ASSERT((record->flags & ~RECORD_LAST_PIECE) == 0);
	memset(header, 0, RECORD_HEADER_SIZE);
	store_u32(header + OFFSET_MAGIC, RECORD_MAGIC);
	header[OFFSET_VERSION] = RECORD_VERSION;
	header[OFFSET_TYPE] = record->type;
	header[OFFSET_FLAGS] = record->flags;
	header[OFFSET_SUITE] = record->suite;
	store_u32(header + OFFSET_PAYLOAD_SIZE, record->payload_size);
	store_u32(header + OFFSET_PIECE, record->piece);
	memcpy(header + OFFSET_ID, record->id.octets, 16);
	memcpy(header + OFFSET_TAG, record->tag.octets, 16);
	store_u64(header + OFFSET_BIRTH_SET, record->birth_set);
	memcpy(header + OFFSET_INCARNATION, record->incarnation.octets, 16);
	store_u64(header + OFFSET_NUMBER, record->number);
	store_hash128(header + OFFSET_PAYLOAD_HASH, record->payload_hash);
	store_u64(header + OFFSET_SET, record->set);
	store_u64(header + OFFSET_OFFSET, record->offset);
	store_u64(header + OFFSET_DURABLE, record->durable);
	header[OFFSET_COLUMN] = record->column;
	record->running = record_running(header, previous);
	store_hash128(header + OFFSET_RUNNING, record->running);
	store_u64(header + OFFSET_HEADER_HASH, hash_64(header, OFFSET_HEADER_HASH));
}

void record_hash_payload(struct record *record, struct bytes payload)
{
	ASSERT(payload.size <= RECORD_PAYLOAD_MAX);
	record->payload_size = (uint32_t)payload.size;
	record->payload_hash = hash_128(payload.data, payload.size);
}

static bool is_zero(const uint8_t *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (from[i] != 0)
			return false;
	return true;
}

static bool limits_hold(const struct record *record)
{
	return record->payload_size <= RECORD_PAYLOAD_MAX &&
	       (record->flags & ~RECORD_LAST_PIECE) == 0 && record->offset % RECORD_ALIGN == 0 &&
	       record->durable % RECORD_ALIGN == 0 && record->durable <= record->offset;
}

enum err record_decode(const uint8_t header[RECORD_HEADER_SIZE], struct record *out)
{
	struct record record;

	if (load_u32(header + OFFSET_MAGIC) != RECORD_MAGIC ||
	    load_u64(header + OFFSET_HEADER_HASH) != hash_64(header, OFFSET_HEADER_HASH))
		return ERR_CORRUPT;
	if (header[OFFSET_VERSION] == 0 || header[OFFSET_TYPE] == 0)
		return ERR_CORRUPT;
	if (header[OFFSET_VERSION] > RECORD_VERSION || header[OFFSET_TYPE] > RECORD_MARK)
		return ERR_NEWER;
	if (!is_zero(header + OFFSET_ZERO_A, OFFSET_RUNNING - OFFSET_ZERO_A) ||
	    !is_zero(header + OFFSET_ZERO_B, OFFSET_HEADER_HASH - OFFSET_ZERO_B))
		return ERR_CORRUPT;
	record = (struct record){
		.type = header[OFFSET_TYPE],
		.flags = header[OFFSET_FLAGS],
		.suite = header[OFFSET_SUITE],
		.payload_size = load_u32(header + OFFSET_PAYLOAD_SIZE),
		.piece = load_u32(header + OFFSET_PIECE),
		.id = load_id(header + OFFSET_ID),
		.tag = load_id(header + OFFSET_TAG),
		.birth_set = load_u64(header + OFFSET_BIRTH_SET),
		.incarnation = load_id(header + OFFSET_INCARNATION),
		.number = load_u64(header + OFFSET_NUMBER),
		.payload_hash = load_hash128(header + OFFSET_PAYLOAD_HASH),
		.set = load_u64(header + OFFSET_SET),
		.offset = load_u64(header + OFFSET_OFFSET),
		.durable = load_u64(header + OFFSET_DURABLE),
		.column = header[OFFSET_COLUMN],
		.running = load_hash128(header + OFFSET_RUNNING),
	};
	if (!limits_hold(&record))
		return ERR_CORRUPT;
	*out = record;
	return ERR_OK;
}

enum err record_check_payload(const struct record *record, struct bytes payload)
{
	if (payload.size != record->payload_size ||
	    !hash128_equal(hash_128(payload.data, payload.size), record->payload_hash))
		return ERR_CORRUPT;
	return ERR_OK;
}

struct hash128 record_running(const uint8_t header[RECORD_HEADER_SIZE], struct hash128 previous)
{
	uint8_t input[16 + RUNNING_INPUT];

	store_hash128(input, previous);
	memcpy(input + 16, header, RUNNING_INPUT);
	return hash_128(input, sizeof(input));
}

bool record_same(const struct record *a, const struct record *b)
{
	return a->type == b->type && a->flags == b->flags && a->suite == b->suite &&
	       a->payload_size == b->payload_size && a->piece == b->piece &&
	       id128_equal(a->id, b->id) && id128_equal(a->tag, b->tag) &&
	       a->birth_set == b->birth_set && id128_equal(a->incarnation, b->incarnation) &&
	       a->number == b->number && hash128_equal(a->payload_hash, b->payload_hash);
}
