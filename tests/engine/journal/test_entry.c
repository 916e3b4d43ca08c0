/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/format/segment.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"
#include "engine/journal/protocol.h"

static struct key *signing_key(void)
{
	const uint8_t octets[KEY_SIZE] = {1, 2, 3};
	struct key *key = NULL;

	assert_int_equal(key_library_init(), ERR_OK);
	assert_int_equal(key_import(octets, &key), ERR_OK);
	return key;
}

static const struct blob_ref example_blobs[2] = {
	{.id = {{1}}, .size = 5000, .extents = {{7, 1, 2}, {8, 0, 300}}, .extent_count = 2},
	{.id = {{2}}, .size = 0, .extent_count = 0}};

static const struct entry example = {.group = 9,
				     .stream = {{3}},
				     .kind = ENTRY_OPERATION,
				     .epoch = 11,
				     .incarnation = {{4}},
				     .seq = 12,
				     .floor = 13,
				     .blob_incarnation = {{5}},
				     .blobs = example_blobs,
				     .blob_count = 2,
				     .signer = {{6}}};

static void encode(struct buf *out, const struct key *signing)
{
	entry_begin(&example, out);
	buf_put_string(out, "payload");
	assert_int_equal(entry_end(out, 0), ERR_OK);
	if (signing != NULL)
		assert_int_equal(entry_sign(out, 0, signing), ERR_OK);
}

static void assert_example(const struct entry *entry)
{
	assert_int_equal(entry->group, 9);
	assert_true(id128_equal(entry->stream, example.stream));
	assert_int_equal(entry->kind, ENTRY_OPERATION);
	assert_int_equal(entry->epoch, 11);
	assert_true(id128_equal(entry->incarnation, example.incarnation));
	assert_int_equal(entry->seq, 12);
	assert_int_equal(entry->floor, 13);
	assert_true(id128_equal(entry->blob_incarnation, example.blob_incarnation));
	assert_int_equal(entry->blob_count, 2);
	assert_int_equal(entry->blobs[0].size, 5000);
	assert_int_equal(entry->blobs[0].extent_count, 2);
	assert_int_equal(entry->blobs[0].extents[1].set, 8);
	assert_int_equal(entry->blobs[0].extents[1].piece_count, 300);
	assert_int_equal(entry->blobs[1].extent_count, 0);
	assert_true(id128_equal(entry->signer, example.signer));
	assert_true(bytes_equal(entry->payload, bytes_string("payload")));
}

static void test_round_trip(void **state)
{
	struct key *key = signing_key();
	uint8_t public_key[PUBLIC_SIZE], other_key[PUBLIC_SIZE] = {1};
	struct entry_blobs blobs = {0};
	struct buf encoded = {0};
	struct entry entry;
	enum entry_kind kind;
	uint64_t epoch;

	(void)state;
	sign_public(key, public_key);
	encode(&encoded, NULL);
	assert_int_equal(entry_decode(bytes_of_buf(&encoded), &blobs, &entry), ERR_OK);
	assert_example(&entry);
	assert_int_equal(entry_verify(&entry, public_key), ERR_AUTH);
	assert_int_equal(entry.signed_part.size, encoded.size);
	buf_clear(&encoded);
	encode(&encoded, key);
	assert_int_equal(entry_decode(bytes_of_buf(&encoded), &blobs, &entry), ERR_OK);
	assert_example(&entry);
	assert_int_equal(entry.signed_part.size + SIGNATURE_SIZE, encoded.size);
	assert_int_equal(entry_verify(&entry, public_key), ERR_OK);
	assert_int_equal(entry_verify(&entry, other_key), ERR_AUTH);
	assert_int_equal(entry_inspect(bytes_of_buf(&encoded), example.stream, example.incarnation,
				       12, &epoch, &kind),
			 ERR_OK);
	assert_int_equal(epoch, 11);
	assert_int_equal(kind, ENTRY_OPERATION);
	assert_int_equal(entry_inspect(bytes_of_buf(&encoded), example.stream, example.incarnation,
				       13, &epoch, &kind),
			 ERR_CORRUPT);
	buf_finish(&encoded);
	entry_blobs_finish(&blobs);
	key_release(&key);
}

static void test_every_truncation_is_refused(void **state)
{
	struct key *key = signing_key();
	struct entry_blobs blobs = {0};
	struct buf encoded = {0};
	struct entry entry;

	(void)state;
	for (unsigned is_signed = 0; is_signed < 2; is_signed++) {
		buf_clear(&encoded);
		encode(&encoded, is_signed ? key : NULL);
		for (size_t size = 0; size < encoded.size; size++) {
			/* On its own, so that reading beyond the end is seen. */
			uint8_t *copy = memory_allocate(size);

			assert_non_null(copy);
			memcpy(copy, encoded.data, size);
			assert_int_equal(entry_decode(bytes_make(copy, size), &blobs, &entry),
					 ERR_CORRUPT);
			memory_free(copy);
		}
		buf_put_u8(&encoded, 0);
		assert_int_equal(entry_decode(bytes_of_buf(&encoded), &blobs, &entry), ERR_CORRUPT);
	}
	buf_finish(&encoded);
	entry_blobs_finish(&blobs);
	key_release(&key);
}

/* A flip is refused by the decoder, or by the signature; none passes both. */
static void test_every_flip_is_noticed(void **state)
{
	struct key *key = signing_key();
	uint8_t public_key[PUBLIC_SIZE];
	struct entry_blobs blobs = {0};
	struct buf encoded = {0};
	struct entry entry;
	unsigned refused = 0;

	(void)state;
	sign_public(key, public_key);
	encode(&encoded, key);
	for (size_t bit = 0; bit < encoded.size * 8; bit++) {
		enum err err;

		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		err = entry_decode(bytes_of_buf(&encoded), &blobs, &entry);
		refused += err != ERR_OK;
		if (err == ERR_OK)
			assert_int_equal(entry_verify(&entry, public_key), ERR_AUTH);
		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(refused > 100);
	assert_int_equal(entry_decode(bytes_of_buf(&encoded), &blobs, &entry), ERR_OK);
	assert_int_equal(entry_verify(&entry, public_key), ERR_OK);
	buf_finish(&encoded);
	entry_blobs_finish(&blobs);
	key_release(&key);
}

static void test_limits(void **state)
{
	struct buf encoded = {0};

	(void)state;
	entry_begin(&example, &encoded);
	buf_put_zeros(&encoded, ENTRY_PAYLOAD_MAX);
	assert_int_equal(entry_end(&encoded, 0), ERR_OK);
	buf_clear(&encoded);
	entry_begin(&example, &encoded);
	buf_put_zeros(&encoded, ENTRY_PAYLOAD_MAX + 1);
	assert_int_equal(entry_end(&encoded, 0), ERR_LIMIT);
	buf_finish(&encoded);
}

/* ---- manifests, pages, marks, segment headers ---- */

static void make_manifest(struct buf *out)
{
	struct id128 pages[2] = {{{1}}, {{2}}};
	struct blob_ref blobs[2];
	struct manifest manifest = {.stream = {{3}},
				    .id = {{4}},
				    .incarnation = {{5}},
				    .epoch = 6,
				    .floor = 7,
				    .pages = pages,
				    .page_count = 2,
				    .blobs = blobs,
				    .blob_count = 2,
				    .payload = bytes_string("roots")};

	memcpy(blobs, example_blobs, sizeof(blobs));
	assert_int_equal(vector_raise(&manifest.vector, (struct id128){{8}}, 9), ERR_OK);
	assert_int_equal(manifest_encode(&manifest, out), ERR_OK);
	vector_finish(&manifest.vector);
}

static void test_manifests(void **state)
{
	struct buf encoded = {0};
	struct manifest manifest;

	(void)state;
	make_manifest(&encoded);
	assert_int_equal(manifest_decode(bytes_of_buf(&encoded), &manifest), ERR_OK);
	assert_int_equal(manifest.epoch, 6);
	assert_int_equal(manifest.floor, 7);
	assert_int_equal(manifest.page_count, 2);
	assert_int_equal(manifest.blob_count, 2);
	assert_int_equal(manifest.blobs[0].extent_count, 2);
	assert_int_equal(vector_get(&manifest.vector, (struct id128){{8}}), 9);
	assert_true(bytes_equal(manifest.payload, bytes_string("roots")));
	manifest_finish(&manifest);
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(manifest_decode(bytes_make(encoded.data, size), &manifest),
				 ERR_CORRUPT);
	/* Whatever a flip makes of it, it is decoded or refused, and nothing leaks. */
	for (size_t bit = 0; bit < encoded.size * 8; bit++) {
		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (manifest_decode(bytes_of_buf(&encoded), &manifest) == ERR_OK)
			manifest_finish(&manifest);
		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_finish(&encoded);
}

static void test_pages(void **state)
{
	struct manifest_page page = {.id = {{1}},
				     .blobs = example_blobs,
				     .blob_count = 2,
				     .payload = bytes_string("state")};
	struct buf encoded = {0};
	struct bytes payload;
	struct id128 id;

	(void)state;
	assert_int_equal(manifest_page_encode(&page, &encoded), ERR_OK);
	assert_int_equal(manifest_page_decode(bytes_of_buf(&encoded), &id, &payload), ERR_OK);
	assert_true(id128_equal(id, page.id));
	assert_true(bytes_equal(payload, page.payload));
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(
			manifest_page_decode(bytes_make(encoded.data, size), &id, &payload),
			ERR_CORRUPT);
	buf_finish(&encoded);
}

static void test_marks(void **state)
{
	struct marks marks = {.counted = true}, read = {0};
	struct buf encoded = {0};

	(void)state;
	assert_true(marks_raise(&marks, (struct id128){{1}}, (struct journal_position){2, 100}));
	assert_true(marks_raise(&marks, (struct id128){{2}}, (struct journal_position){5, 0}));
	assert_false(marks_raise(&marks, (struct id128){{1}}, (struct journal_position){1, 900}));
	assert_true(marks_raise(&marks, (struct id128){{1}}, (struct journal_position){2, 101}));
	marks_encode(&marks, &encoded);
	assert_true(marks_raise(&read, (struct id128){{1}}, (struct journal_position){9, 9}));
	assert_int_equal(marks_merge_encoded(&read, bytes_of_buf(&encoded)), ERR_OK);
	assert_true(read.counted);
	assert_int_equal(marks_get(&read, (struct id128){{1}}).segment, 9);
	assert_int_equal(marks_get(&read, (struct id128){{2}}).segment, 5);
	assert_int_equal(marks_get(&read, (struct id128){{3}}).segment, 0);
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(marks_merge_encoded(&read, bytes_make(encoded.data, size)),
				 ERR_CORRUPT);
	marks_finish(&marks);
	marks_finish(&read);
	buf_finish(&encoded);
}

static void test_segment_headers(void **state)
{
	static uint8_t bytes[SEGMENT_HEADER_SIZE];
	const struct segment_header header = {
		.number = 7, .cluster = {{1}}, .volume = {{2}}, .created_ms = 3};
	struct segment_header read;

	(void)state;
	segment_header_encode(&header, bytes);
	assert_int_equal(segment_header_decode(bytes, &read), ERR_OK);
	assert_int_equal(read.number, 7);
	assert_true(id128_equal(read.volume, header.volume));
	/* One copy may be damaged anywhere. */
	for (size_t bit = 0; bit < SEGMENT_COPY_SIZE * 8; bit += 37) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(segment_header_decode(bytes, &read), ERR_OK);
		bytes[SEGMENT_COPY_SIZE + bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(segment_header_decode(bytes, &read), ERR_CORRUPT);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		bytes[SEGMENT_COPY_SIZE + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	store_u32(bytes + 20, 1);
	store_u64(bytes + 4088, hash_64(bytes, 4088));
	assert_int_equal(segment_header_decode(bytes, &read), ERR_NEWER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_flip_is_noticed),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_segment_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
