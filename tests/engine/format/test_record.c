/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/format/record.h"

static struct id128 id_of(uint8_t first)
{
	struct id128 id;

	for (size_t i = 0; i < sizeof(id.octets); i++)
		id.octets[i] = (uint8_t)(first + i);
	return id;
}

static struct record sample(void)
{
	struct record record = {
		.type = RECORD_BLOB,
		.flags = RECORD_LAST_PIECE,
		.suite = 1,
		.piece = 7,
		.id = id_of(0x10),
		.tag = id_of(0x30),
		.birth_set = 0x0102030405060708u,
		.incarnation = id_of(0x50),
		.number = 0x1112131415161718u,
		.set = 0x2122232425262728u,
		.offset = 6400,
		.durable = 640,
		.column = 3,
	};

	record_hash_payload(&record, bytes_string("payload"));
	return record;
}

static void seal(uint8_t *header)
{
	store_u64(header + 152, hash_64(header, 152));
}

static void test_round_trip(void **state)
{
	struct record record = sample(), back;
	struct hash128 previous = {1, 2};
	uint8_t header[RECORD_HEADER_SIZE];

	(void)state;
	record_encode(&record, previous, header);
	assert_int_equal(record_decode(header, &back), ERR_OK);
	assert_true(record_same(&record, &back));
	assert_true(back.set == record.set && back.offset == 6400 && back.durable == 640);
	assert_int_equal(back.column, 3);
	assert_true(hash128_equal(back.running, record.running));
	assert_true(hash128_equal(record_running(header, previous), back.running));
	previous.high++;
	assert_false(hash128_equal(record_running(header, previous), back.running));
	assert_int_equal(record_check_payload(&back, bytes_string("payload")), ERR_OK);
	assert_int_equal(record_check_payload(&back, bytes_string("pAyload")), ERR_CORRUPT);
	assert_int_equal(record_check_payload(&back, bytes_string("payloa")), ERR_CORRUPT);
}

/* The document's offsets, independent of the encoder's own names for them. */
static void test_layout(void **state)
{
	struct record record = sample();
	uint8_t header[RECORD_HEADER_SIZE], input[144];
	struct hash128 running;

	(void)state;
	record_encode(&record, (struct hash128){0, 0}, header);
	assert_memory_equal(header, "AERO", 4);
	assert_int_equal(header[4], 1);
	assert_int_equal(header[5], RECORD_BLOB);
	assert_int_equal(header[6], 1);
	assert_int_equal(header[7], 1);
	assert_int_equal(load_u32(header + 8), 7);
	assert_int_equal(load_u32(header + 12), 7);
	assert_memory_equal(header + 16, record.id.octets, 16);
	assert_memory_equal(header + 32, record.tag.octets, 16);
	assert_true(load_u64(header + 48) == record.birth_set);
	assert_memory_equal(header + 56, record.incarnation.octets, 16);
	assert_true(load_u64(header + 72) == record.number);
	assert_true(load_u64(header + 80) == hash_128("payload", 7).low);
	assert_true(load_u64(header + 88) == hash_128("payload", 7).high);
	assert_true(load_u64(header + 96) == record.set);
	assert_true(load_u64(header + 104) == 6400);
	assert_true(load_u64(header + 112) == 640);
	assert_int_equal(header[120], 3);
	memset(input, 0, 16);
	memcpy(input + 16, header, 128);
	running = hash_128(input, sizeof(input));
	assert_true(load_u64(header + 128) == running.low);
	assert_true(load_u64(header + 136) == running.high);
	assert_true(load_u64(header + 152) == hash_64(header, 152));
}

static void test_every_flip_is_found(void **state)
{
	struct record record = sample(), back;
	uint8_t header[RECORD_HEADER_SIZE];

	(void)state;
	record_encode(&record, (struct hash128){0, 0}, header);
	for (size_t bit = 0; bit < 8 * sizeof(header); bit++) {
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(record_decode(header, &back), ERR_CORRUPT);
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(record_decode(header, &back), ERR_OK);
}

static enum err decode_with(size_t offset, uint8_t value)
{
	struct record record = sample(), back;
	uint8_t header[RECORD_HEADER_SIZE];

	record_encode(&record, (struct hash128){0, 0}, header);
	header[offset] = value;
	seal(header);
	return record_decode(header, &back);
}

/* With a valid hash: what an encoder with a bug, or a later one, could have written. */
static void test_fields_are_checked(void **state)
{
	(void)state;
	assert_int_equal(decode_with(5, RECORD_BLOB), ERR_OK);
	assert_int_equal(decode_with(4, 0), ERR_CORRUPT);
	assert_int_equal(decode_with(4, 2), ERR_NEWER);
	assert_int_equal(decode_with(5, 0), ERR_CORRUPT);
	assert_int_equal(decode_with(5, RECORD_MARK), ERR_OK);
	assert_int_equal(decode_with(5, RECORD_MARK + 1), ERR_NEWER);
	assert_int_equal(decode_with(6, 2), ERR_CORRUPT);
	assert_int_equal(decode_with(10, 0x41), ERR_CORRUPT); /* payload over 4 MiB */
	assert_int_equal(decode_with(104, 1), ERR_CORRUPT);   /* unaligned */
	assert_int_equal(decode_with(112, 1), ERR_CORRUPT);
	assert_int_equal(decode_with(114, 1), ERR_CORRUPT); /* durable beyond itself */
	for (size_t i = 121; i < 128; i++)
		assert_int_equal(decode_with(i, 1), ERR_CORRUPT);
	for (size_t i = 144; i < 152; i++)
		assert_int_equal(decode_with(i, 1), ERR_CORRUPT);
}

static void test_same_ignores_the_place_only(void **state)
{
	struct record a = sample(), b = sample();

	(void)state;
	b.set++;
	b.offset += 64;
	b.durable += 64;
	b.column = RECORD_NO_COLUMN;
	b.running.low++;
	assert_true(record_same(&a, &b));
	for (size_t i = 0; i < 96; i++) {
		uint8_t header[RECORD_HEADER_SIZE];
		struct record changed;

		if (i < 6 || i == 10 || i == 11)
			continue; /* magic, version, type; payload over its limit */
		record_encode(&a, (struct hash128){0, 0}, header);
		header[i] ^= 1;
		seal(header);
		assert_int_equal(record_decode(header, &changed), ERR_OK);
		assert_false(record_same(&a, &changed));
	}
}

static void test_size(void **state)
{
	(void)state;
	assert_int_equal(record_size(0), 192);
	assert_int_equal(record_size(32), 192);
	assert_int_equal(record_size(33), 256);
	assert_int_equal(record_size(RECORD_PAYLOAD_MAX), RECORD_PAYLOAD_MAX + 192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_every_flip_is_found),
		cmocka_unit_test(test_fields_are_checked),
		cmocka_unit_test(test_same_ignores_the_place_only),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
