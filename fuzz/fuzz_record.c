/* SPDX-License-Identifier: MPL-2.0 */
/* A record's header (engine/format/record.h), its hash made right; then a payload against it. */
#include "engine/format/record.h"
#include "fuzz/fuzz.h"

#define HASH_OFFSET 152u
#define RUNNING_OFFSET 128u

static void check_encoding(const uint8_t *header, struct record record)
{
	uint8_t again[RECORD_HEADER_SIZE];
	struct record decoded;
	struct hash128 previous = record.running;

	record_encode(&record, previous, again);
	/* The running hash is the encoder's to compute; all before it is as it was. */
	ASSERT(memcmp(again, header, RUNNING_OFFSET) == 0);
	ASSERT(hash128_equal(record.running, record_running(again, previous)));
	ASSERT(record_decode(again, &decoded) == ERR_OK);
	ASSERT(record_same(&decoded, &record));
	ASSERT(decoded.offset == record.offset && decoded.durable == record.durable);
	ASSERT(hash128_equal(decoded.running, record.running));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint8_t header[RECORD_HEADER_SIZE];
	struct record record;
	struct bytes payload;

	fuzz_fill(&input, header, sizeof(header));
	store_u64(header + HASH_OFFSET, hash_64(header, HASH_OFFSET));
	if (record_decode(header, &record) != ERR_OK)
		return 0;
	ASSERT(record_size(record.payload_size) >= RECORD_HEADER_SIZE + record.payload_size);
	ASSERT(record_size(record.payload_size) % RECORD_ALIGN == 0);
	check_encoding(header, record);
	payload = fuzz_rest(&input);
	record_hash_payload(&record, payload);
	ASSERT(record_check_payload(&record, payload) == ERR_OK);
	record.payload_size++;
	ASSERT(record_check_payload(&record, payload) == ERR_CORRUPT);
	return 0;
}
