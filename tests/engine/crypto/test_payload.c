/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/crypto/payload.h"
#include "tests/support/unit_env.h"

#define LABEL "aerostore test"

static struct unit_env test;
static struct key *key;

static int setup(void **state)
{
	uint8_t octets[KEY_SIZE];

	(void)state;
	unit_env_init(&test, 42);
	for (size_t i = 0; i < KEY_SIZE; i++)
		octets[i] = (uint8_t)i;
	if (key_library_init() != ERR_OK)
		return -1;
	return key_import(octets, &key) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	key_release(&key);
	return key_count() == 0 ? 0 : -1;
}

static enum err seal(struct bytes plain, struct buf *out)
{
	return payload_seal(key, LABEL, bytes_string("use"), bytes_string("associated"), plain,
			    out);
}

static enum err open_limit(struct bytes sealed, size_t limit, struct buf *out)
{
	return payload_open(key, LABEL, bytes_string("use"), bytes_string("associated"), sealed,
			    limit, out);
}

static void test_known_answer(void **state)
{
	struct buf sealed = {0};

	(void)state;
	assert_ok(seal(bytes_string("Hello"), &sealed));
	assert_int_equal(sealed.size, 1 + 512 + TAG_SIZE);
#ifndef AEROSTORE_NULL_CIPHER
	uint8_t digest[DIGEST_SIZE];

	digest_256(bytes_of_buf(&sealed), digest);
	assert_hex(digest, DIGEST_SIZE,
		   "6510ffc52954b98c52ae8958a933786e0838a7b46d1179c24236a9ddb6142e57");
#endif
	buf_finish(&sealed);
}

static void test_padding(void **state)
{
	static const size_t expected[][2] = {
		{0, 512},	 {504, 512},	   {505, 1024},	     {1016, 1024},
		{1017, 2048},	 {32760, 32768},   {32761, 65536},   {65528, 65536},
		{65529, 131072}, {131064, 131072}, {131065, 196608}, {1000000, 1048576},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(payload_padded_size(expected[i][0]), expected[i][1]);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 504, 505, 5000, 65528, 65529, 300000};
	struct buf plain = {0}, sealed = {0}, opened = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t kind = 0; kind < 2; kind++) {
			buf_clear(&plain);
			buf_clear(&sealed);
			buf_clear(&opened);
			buf_put_zeros(&plain, sizes[i]);
			if (kind == 0)
				env_random(&test.env, plain.data, sizes[i]);
			buf_put_string(&sealed, "x");
			buf_put_string(&opened, "y");
			assert_ok(seal(bytes_of_buf(&plain), &sealed));
			if (kind == 0)
				assert_int_equal(sealed.size,
						 2 + payload_padded_size(sizes[i]) + TAG_SIZE);
			else
				assert_int_equal(sealed.size, 2 + 512 + TAG_SIZE);
			assert_ok(open_limit(bytes_slice(bytes_of_buf(&sealed), 1, SIZE_MAX),
					     sizes[i], &opened));
			assert_true(bytes_equal(bytes_slice(bytes_of_buf(&opened), 1, SIZE_MAX),
						bytes_of_buf(&plain)));
			if (sizes[i] > 0)
				assert_int_equal(
					open_limit(bytes_slice(bytes_of_buf(&sealed), 1, SIZE_MAX),
						   sizes[i] - 1, &opened),
					ERR_LIMIT);
			assert_int_equal(opened.size, 1 + sizes[i]);
		}
	buf_finish(&plain);
	buf_finish(&sealed);
	buf_finish(&opened);
}

/* Too long for the limit is refused before memory is asked for. */
static void test_limit_comes_first(void **state)
{
	struct buf sealed = {0}, opened = {0};
	uint64_t before;

	(void)state;
	buf_put_u8(&sealed, SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519);
	buf_put_zeros(&sealed, 1 << 20);
	before = memory_allocations();
	assert_int_equal(open_limit(bytes_of_buf(&sealed), 1000, &opened), ERR_LIMIT);
	assert_true(memory_allocations() == before);
	buf_finish(&sealed);
}

static void test_refused(void **state)
{
	struct buf sealed = {0}, opened = {0};
	struct bytes associated = bytes_string("associated"), use = bytes_string("use");

	(void)state;
	assert_ok(seal(bytes_string("some state of a mailbox"), &sealed));
	for (size_t bit = 0; bit < sealed.size * 8; bit++) {
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(open_limit(bytes_of_buf(&sealed), 100, &opened),
				 bit < 8 ? ERR_NEWER : ERR_AUTH);
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < sealed.size; size++)
		assert_int_equal(open_limit(bytes_make(sealed.data, size), 100, &opened), ERR_AUTH);
	assert_int_equal(
		payload_open(key, LABEL "2", use, associated, bytes_of_buf(&sealed), 100, &opened),
		ERR_AUTH);
	assert_int_equal(payload_open(key, LABEL, bytes_string("usf"), associated,
				      bytes_of_buf(&sealed), 100, &opened),
			 ERR_AUTH);
	assert_int_equal(payload_open(key, LABEL, use, bytes_string("associatee"),
				      bytes_of_buf(&sealed), 100, &opened),
			 ERR_AUTH);
	assert_int_equal(opened.size, 0);
	assert_ok(open_limit(bytes_of_buf(&sealed), 100, &opened));
	buf_finish(&sealed);
	buf_finish(&opened);
}

/* What only a holder of the key could write. */
static void test_forged_bodies(void **state)
{
	struct buf body = {0}, plain = {0};

	(void)state;
	assert_ok(payload_pack(bytes_string("text"), &body));
	assert_ok(payload_unpack(bytes_of_buf(&body), 100, &plain));
	assert_true(bytes_equal(bytes_of_buf(&plain), bytes_string("text")));
	buf_clear(&plain);
	for (size_t i = 12; i < body.size; i++) {
		body.data[i] = 1;
		assert_int_equal(payload_unpack(bytes_of_buf(&body), 100, &plain), ERR_CORRUPT);
		body.data[i] = 0;
	}
	/* Sizes that cannot be: stored above plain, beyond the body, not a zstd frame. */
	body.data[0] = 3;
	assert_int_equal(payload_unpack(bytes_of_buf(&body), 100, &plain), ERR_CORRUPT);
	body.data[0] = 5;
	assert_int_equal(payload_unpack(bytes_of_buf(&body), 100, &plain), ERR_CORRUPT);
	store_u32(body.data, 600);
	store_u32(body.data + 4, 600);
	assert_int_equal(payload_unpack(bytes_of_buf(&body), 1000, &plain), ERR_CORRUPT);
	/* More padding than needed would be a second encoding. */
	store_u32(body.data, 4);
	store_u32(body.data + 4, 4);
	assert_ok(payload_unpack(bytes_of_buf(&body), 100, &plain));
	buf_put_zeros(&body, 512);
	buf_clear(&plain);
	assert_int_equal(payload_unpack(bytes_of_buf(&body), 100, &plain), ERR_CORRUPT);
	for (size_t size = 0; size < 512; size++)
		assert_int_equal(payload_unpack(bytes_make(body.data, size), 100, &plain),
				 ERR_CORRUPT);
	assert_int_equal(plain.size, 0);
	buf_finish(&body);
	buf_finish(&plain);
}

static void test_wrapped_keys(void **state)
{
	uint8_t plain[KEY_SIZE], wrapped[WRAPPED_KEY_SIZE], opened[KEY_SIZE] = {0};
	const uint8_t zeros[KEY_SIZE] = {0};
	struct bytes use = bytes_string("use");

	(void)state;
	for (size_t i = 0; i < KEY_SIZE; i++)
		plain[i] = (uint8_t)(100 + i);
	key_wrap(key, LABEL, use, plain, wrapped);
	/* From an independent program (Python, hashlib). */
	assert_hex(wrapped, sizeof(wrapped),
		   "6e1db208d8bd825a5970e1cbef3e8e307a12424fa0077e5077e98f4d791e3526"
		   "59653296e927a1f151c12e5a39ddca5d");
	for (size_t bit = 0; bit < sizeof(wrapped) * 8; bit++) {
		wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(key_unwrap(key, LABEL, use, wrapped, opened), ERR_AUTH);
		wrapped[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(key_unwrap(key, LABEL "2", use, wrapped, opened), ERR_AUTH);
	assert_int_equal(key_unwrap(key, LABEL, bytes_string("usf"), wrapped, opened), ERR_AUTH);
	assert_memory_equal(opened, zeros, KEY_SIZE);
	assert_ok(key_unwrap(key, LABEL, use, wrapped, opened));
	assert_memory_equal(opened, plain, KEY_SIZE);
}

/* Two keys under one use: their ciphertexts differ by more than the keys do. */
static void test_wrapping_twice_for_one_use(void **state)
{
	uint8_t first[KEY_SIZE] = {1}, second[KEY_SIZE] = {2}, a[WRAPPED_KEY_SIZE],
		b[WRAPPED_KEY_SIZE];
	size_t equal = 0;

	(void)state;
	key_wrap(key, LABEL, bytes_string("use"), first, a);
	key_wrap(key, LABEL, bytes_string("use"), second, b);
	for (size_t i = TAG_SIZE; i < WRAPPED_KEY_SIZE; i++)
		equal += a[i] == b[i];
	assert_true(equal < 8);
}

static void test_every_allocation_may_fail(void **state)
{
	struct buf plain = {0}, sealed = {0}, opened = {0};
	bool failed;

	(void)state;
	buf_put_zeros(&plain, 20000);
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err;

		buf_finish(&sealed);
		err = seal(bytes_of_buf(&plain), &sealed);
		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
	}
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err;

		buf_finish(&opened);
		err = open_limit(bytes_of_buf(&sealed), 20000, &opened);
		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
	}
	assert_true(bytes_equal(bytes_of_buf(&plain), bytes_of_buf(&opened)));
	buf_finish(&plain);
	buf_finish(&sealed);
	buf_finish(&opened);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_limit_comes_first),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_forged_bodies),
		cmocka_unit_test(test_wrapped_keys),
		cmocka_unit_test(test_wrapping_twice_for_one_use),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
