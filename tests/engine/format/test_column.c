/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/format/column.h"

static struct column_header sample_header(void)
{
	struct column_header header = {.kind = COLUMN_DATA,
				       .born_sealed = true,
				       .set = 0x0123456789abcdef,
				       .uuid = {{1}},
				       .cluster = {{2}},
				       .node = {{3}},
				       .incarnation = {{4}},
				       .tag = {{5}},
				       .created_ms = 1700000000000,
				       .capacity = 64u << 20,
				       .column = 1,
				       .profile = {2, 1},
				       .predecessor_count = 2,
				       .predecessors = {7, 8}};

	for (uint8_t i = 0; i < 3; i++)
		header.members[i].octets[15] = (uint8_t)(i + 1);
	return header;
}

static void test_header_round_trip(void **state)
{
	struct column_header header = sample_header(), decoded;
	uint8_t encoded[COLUMN_HEADER_SIZE];

	(void)state;
	memset(&decoded, 0, sizeof(decoded));
	column_header_encode(&header, encoded);
	assert_int_equal(column_header_decode(encoded, &decoded), ERR_OK);
	assert_int_equal(decoded.set, header.set);
	assert_int_equal(decoded.column, 1);
	assert_true(decoded.born_sealed);
	assert_int_equal(decoded.predecessor_count, 2);
	assert_int_equal(decoded.predecessors[1], 8);
	assert_memory_equal(decoded.members, header.members, sizeof(header.members));
	assert_true(id128_equal(decoded.tag, header.tag));
	/* Fixed places. */
	assert_memory_equal(encoded, "AEROCOLU", 8);
	assert_int_equal(load_u64(encoded + 24), header.set);
	assert_int_equal(encoded[128], 1);
	assert_int_equal(encoded[200 + 15], 1);
}

static void test_every_flipped_bit_of_a_header_is_seen(void **state)
{
	struct column_header header = sample_header(), decoded;
	uint8_t encoded[COLUMN_HEADER_SIZE];

	(void)state;
	column_header_encode(&header, encoded);
	for (size_t bit = 0; bit < sizeof(encoded) * 8; bit++) {
		encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(column_header_decode(encoded, &decoded), ERR_CORRUPT);
		encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void rehash(uint8_t block[1024])
{
	store_u64(block + 1016, hash_64(block, 1016));
}

static void test_reserved_and_new(void **state)
{
	struct column_header header = sample_header(), decoded;
	uint8_t encoded[COLUMN_HEADER_SIZE];

	(void)state;
	column_header_encode(&header, encoded);
	encoded[8] = 2;
	rehash(encoded);
	assert_int_equal(column_header_decode(encoded, &decoded), ERR_NEWER);
	column_header_encode(&header, encoded);
	encoded[20] = 1;
	rehash(encoded);
	assert_int_equal(column_header_decode(encoded, &decoded), ERR_NEWER);
	/* Compatible features are none of our business. */
	column_header_encode(&header, encoded);
	encoded[12] = 1;
	rehash(encoded);
	assert_int_equal(column_header_decode(encoded, &decoded), ERR_OK);
	for (size_t at = 456; at < 1016; at += 40) {
		column_header_encode(&header, encoded);
		encoded[at] = 1;
		rehash(encoded);
		assert_int_equal(column_header_decode(encoded, &decoded), ERR_CORRUPT);
	}
}

static enum err find_header(const struct buf *both, const struct column_header *header)
{
	struct column_header found;

	return column_header_find(bytes_of_buf(both), header->set, header->column, header->kind,
				  &found);
}

static void test_either_header_copy_serves(void **state)
{
	struct column_header header = sample_header(), other;
	struct buf both = {0};

	(void)state;
	column_header_put(&header, &both);
	assert_int_equal(both.size, 2 * COLUMN_HEADER_COPY);
	both.data[100] ^= 1;
	assert_int_equal(find_header(&both, &header), ERR_OK);
	both.data[COLUMN_HEADER_COPY + 100] ^= 1;
	assert_int_equal(find_header(&both, &header), ERR_CORRUPT);
	both.data[100] ^= 1;
	assert_int_equal(find_header(&both, &header), ERR_OK);
	other = header;
	other.set++;
	assert_int_equal(find_header(&both, &other), ERR_CORRUPT);
	buf_finish(&both);
}

/* The first page of another file was written over the first of this one. */
static void test_a_header_that_went_astray(void **state)
{
	struct column_header header = sample_header(), other = header;
	struct buf both = {0}, strange = {0};

	(void)state;
	other.set++;
	column_header_put(&header, &both);
	column_header_put(&other, &strange);
	memcpy(both.data, strange.data, COLUMN_HEADER_COPY);
	assert_int_equal(find_header(&both, &header), ERR_OK);
	buf_finish(&both);
	buf_finish(&strange);
}

static void test_names(void **state)
{
	char name[COLUMN_NAME_SIZE];
	enum column_kind kind;
	uint64_t set;
	uint8_t column;

	(void)state;
	column_name(0xabc, 2, COLUMN_PARITY, name);
	assert_string_equal(name, "columns/0000000000000abc-02.par");
	assert_int_equal(column_parse_name(name + 8, &set, &column, &kind), ERR_OK);
	assert_int_equal(set, 0xabc);
	assert_int_equal(column, 2);
	assert_int_equal(kind, COLUMN_PARITY);
	assert_int_equal(column_parse_name("0000000000000abc-02.pas", &set, &column, &kind),
			 ERR_INVALID);
	assert_int_equal(column_parse_name("0000000000000ABC-02.par", &set, &column, &kind),
			 ERR_INVALID);
	assert_int_equal(column_parse_name("000000000000abc-002.par", &set, &column, &kind),
			 ERR_INVALID);
	assert_int_equal(column_parse_name("", &set, &column, &kind), ERR_INVALID);
}

static struct set_descriptor sample_descriptor(void)
{
	return (struct set_descriptor){
		.profile = {2, 1}, .length = {640, 1280}, .hash = {{1, 2}, {3, 4}}};
}

static void test_trailer(void **state)
{
	struct column_trailer trailer = {.kind = COLUMN_PARITY,
					 .column = 2,
					 .set = 42,
					 .uuid = {{9}},
					 .body_size = 1280,
					 .index_offset = 8192 + 1280,
					 .index_pages = 1,
					 .index_entries = 3,
					 .index_hash = {5, 6}},
			      decoded;
	uint8_t encoded[COLUMN_TRAILER_SIZE];

	(void)state;
	trailer.certificate.descriptor = sample_descriptor();
	trailer.certificate.seal = set_seal_id(42, trailer.uuid, &trailer.certificate.descriptor);
	trailer.certificate.file_hash[2] = (struct hash128){7, 8};
	column_trailer_encode(&trailer, encoded);
	assert_int_equal(column_trailer_decode(encoded, &decoded), ERR_OK);
	assert_int_equal(decoded.body_size, 1280);
	assert_int_equal(decoded.certificate.descriptor.length[1], 1280);
	assert_true(hash128_equal(decoded.certificate.file_hash[2], (struct hash128){7, 8}));
	assert_true(hash128_equal(decoded.certificate.seal, trailer.certificate.seal));
	for (size_t bit = 0; bit < sizeof(encoded) * 8; bit++) {
		encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(column_trailer_decode(encoded, &decoded), ERR_CORRUPT);
		encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* A seal that is not the descriptor's is refused though the block is intact. */
	encoded[96] ^= 1;
	rehash(encoded);
	assert_int_equal(column_trailer_decode(encoded, &decoded), ERR_CORRUPT);
}

static void test_seal_id_depends_on_everything(void **state)
{
	const struct set_descriptor descriptor = sample_descriptor();
	struct set_descriptor other = descriptor;
	const struct id128 uuid = {{1}};
	struct hash128 seal = set_seal_id(1, uuid, &descriptor);

	(void)state;
	assert_false(hash128_equal(seal, set_seal_id(2, uuid, &descriptor)));
	assert_false(hash128_equal(seal, set_seal_id(1, ID128_ZERO, &descriptor)));
	other.length[1] += 64;
	assert_false(hash128_equal(seal, set_seal_id(1, uuid, &other)));
	other = descriptor;
	other.hash[0].high++;
	assert_false(hash128_equal(seal, set_seal_id(1, uuid, &other)));
	other = descriptor;
	other.profile.m = 2;
	assert_false(hash128_equal(seal, set_seal_id(1, uuid, &other)));
	assert_int_equal(set_descriptor_longest(&descriptor), 1280);
}

static void test_vote(void **state)
{
	struct column_vote vote = {.seal = {1, 2}, .file_hash = {3, 4}}, decoded;
	struct buf buf = {0};

	(void)state;
	vote.descriptor = sample_descriptor();
	column_vote_encode(&vote, &buf);
	assert_int_equal(buf.size, 40 + 2 * 24);
	assert_int_equal(column_vote_decode(bytes_of_buf(&buf), &decoded), ERR_OK);
	assert_true(hash128_equal(decoded.file_hash, vote.file_hash));
	assert_int_equal(decoded.descriptor.length[1], 1280);
	for (size_t size = 0; size < buf.size; size++)
		assert_int_equal(column_vote_decode(bytes_make(buf.data, size), &decoded),
				 ERR_CORRUPT);
	buf.data[36] = 1;
	assert_int_equal(column_vote_decode(bytes_of_buf(&buf), &decoded), ERR_CORRUPT);
	buf_finish(&buf);
}

static void test_index(void **state)
{
	enum { COUNT = 250 };
	struct column_entry *entries = calloc(COUNT, sizeof(*entries));
	struct column_entry page[COLUMN_INDEX_PER_PAGE], before = {0};
	struct buf index = {0};
	size_t count, total = 0;

	(void)state;
	assert_non_null(entries);
	for (uint32_t i = 0; i < COUNT; i++)
		entries[i] = (struct column_entry){.id = {{(uint8_t)(i * 37), (uint8_t)(i / 3)}},
						   .piece = i % 3,
						   .column = (uint8_t)(i % 2),
						   .type = 1,
						   .offset = i * 64u,
						   .payload_size = i};
	column_index_build(entries, COUNT, &index);
	assert_int_equal(index.size, column_index_pages(COUNT) * COLUMN_INDEX_PAGE);
	for (size_t at = 0; at < index.size; at += COLUMN_INDEX_PAGE) {
		assert_int_equal(column_index_page_decode(index.data + at, page, &count), ERR_OK);
		for (size_t i = 0; i < count; i++) {
			assert_true(total + i == 0 ||
				    column_entry_compare(page[i].id, page[i].piece, &before) > 0);
			before = page[i];
		}
		total += count;
	}
	assert_int_equal(total, COUNT);
	for (size_t at = 0; at < COLUMN_INDEX_PAGE; at++) {
		index.data[at] ^= 0x40;
		assert_int_equal(column_index_page_decode(index.data, page, &count), ERR_CORRUPT);
		index.data[at] ^= 0x40;
	}
	free(entries);
	buf_finish(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_round_trip),
		cmocka_unit_test(test_every_flipped_bit_of_a_header_is_seen),
		cmocka_unit_test(test_reserved_and_new),
		cmocka_unit_test(test_either_header_copy_serves),
		cmocka_unit_test(test_a_header_that_went_astray),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_trailer),
		cmocka_unit_test(test_seal_id_depends_on_everything),
		cmocka_unit_test(test_vote),
		cmocka_unit_test(test_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
