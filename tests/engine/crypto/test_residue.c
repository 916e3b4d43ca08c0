/* SPDX-License-Identifier: MPL-2.0 */
/*
 * After everything is closed, no plaintext and no key that went through this
 * folder is left anywhere in the process: heap, pools, zstd's tables, locked
 * pages, stacks.
 */
#include "tests/support/unit.h"

#include "engine/crypto/sealed.h"
#include "tests/support/residue.h"
#include "tests/support/unit_env.h"

#define CANARY_SIZE 24u

/* The null cipher leaves all of it, in what was sealed. */
#ifdef AEROSTORE_NULL_CIPHER
#define NEEDS_A_CIPHER() skip()
#else
#define NEEDS_A_CIPHER() (void)0
#endif

static struct unit_env test;
static uint8_t masked[CANARY_SIZE];

static int setup(void **state)
{
	(void)state;
	unit_env_init(&test, 77);
	env_random(&test.env, masked, sizeof(masked));
	return key_library_init() == ERR_OK ? 0 : -1;
}

static void put_canary(struct buf *buf)
{
	for (size_t i = 0; i < CANARY_SIZE; i++)
		buf_put_u8(buf, masked[i] ^ RESIDUE_MASK);
}

/* `size` bytes, reserved at once and strewn with the canary. */
static void fill(struct buf *plain, size_t size)
{
	assert_ok(buf_reserve(plain, size - plain->size));
	while (plain->size + 100 < size) {
		put_canary(plain);
		buf_printf(plain, " line %zu\r\n", plain->size);
	}
	buf_put_zeros(plain, size - plain->size);
}

static enum err fetch(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	out->bytes = bytes_slice(bytes_of_buf(context), (size_t)offset, (size_t)size);
	return ERR_OK;
}

static void test_the_search_finds(void **state)
{
	struct buf plain = {0};

	(void)state;
	assert_int_equal(residue_count(masked, CANARY_SIZE), 0);
	fill(&plain, 1000);
	assert_true(residue_count(masked, CANARY_SIZE) > 10);
	buf_finish(&plain);
	assert_int_equal(residue_count(masked, CANARY_SIZE), 0);
}

static void blob_there_and_back(size_t size, size_t step)
{
	struct sealed_name name = {.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
				   .type = SEALED_MESSAGE};
	struct buf plain = {0}, frames = {0}, opened = {0};
	struct blob_sealer *sealer;

	fill(&plain, size);
	assert_ok(blob_sealer_create(&test.env, &name, &sealer));
	for (size_t at = 0; at < size; at += step)
		assert_ok(blob_sealer_update(sealer, bytes_slice(bytes_of_buf(&plain), at, step),
					     &frames));
	assert_ok(blob_sealer_finish(sealer, &frames));
	assert_ok(blob_open_range(&name, blob_sealer_key(sealer), frames.size, fetch, &frames, 0,
				  UINT64_MAX, &opened));
	assert_int_equal(opened.size, size);
	buf_finish(&opened);
	assert_ok(blob_open_range(&name, blob_sealer_key(sealer), frames.size, fetch, &frames,
				  size / 3, size / 3, &opened));
	buf_finish(&opened);
	blob_sealer_destroy(&sealer);
	buf_finish(&plain);
	buf_finish(&frames);
}

static void test_blobs(void **state)
{
	static const size_t sizes[] = {300, 12288, 65536, 500000};

	(void)state;
	NEEDS_A_CIPHER();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		blob_there_and_back(sizes[i], 1000);
		blob_there_and_back(sizes[i], 65536);
		assert_int_equal(residue_count(masked, CANARY_SIZE), 0);
	}
}

static void payload_and_envelope_there_and_back(size_t size)
{
	struct buf plain = {0}, payload = {0}, envelope = {0}, opened = {0};
	const struct id128 id = {{1}};
	struct envelope_sender *sender;
	struct envelope_opener *opener;
	uint8_t public_key[X25519_SIZE];
	struct key *key;
	size_t held;

	/* Not at the front, where free() leaves marks of its own. */
	assert_ok(buf_reserve(&plain, size));
	env_random(&test.env, buf_extend(&plain, 64), 64);
	put_canary(&plain);
	fill(&plain, size);
	held = residue_count(masked, CANARY_SIZE);
	assert_ok(key_random(&test.env, &key));
	x25519_public(key, public_key);
	assert_ok(payload_seal(key, "aerostore test", bytes_string("use"), bytes_string(""),
			       bytes_of_buf(&plain), &payload));
	assert_ok(payload_open(key, "aerostore test", bytes_string("use"), bytes_string(""),
			       bytes_of_buf(&payload), size, &opened));
	buf_finish(&opened);
	/* At once: what follows would use the same memory again, and wipe it. */
	assert_int_equal(residue_count(masked, CANARY_SIZE), held);
	assert_ok(envelope_sender_create(&test.env, 4, &sender));
	assert_ok(envelope_opener_create(key, &opener));
	assert_ok(envelope_seal(sender, public_key, id, id, bytes_string(""), bytes_of_buf(&plain),
				&envelope));
	assert_ok(
		envelope_open(opener, id, id, bytes_string(""), bytes_of_buf(&envelope), &opened));
	buf_finish(&opened);
	envelope_sender_destroy(&sender);
	envelope_opener_destroy(&opener);
	key_release(&key);
	buf_finish(&plain);
	buf_finish(&payload);
	buf_finish(&envelope);
}

/* The smallest is stored as it is, the others compressed. */
static void test_payloads_and_envelopes(void **state)
{
	static const size_t sizes[] = {64 + CANARY_SIZE, 5000, 100000};

	(void)state;
	NEEDS_A_CIPHER();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		payload_and_envelope_there_and_back(sizes[i]);
		assert_int_equal(residue_count(masked, CANARY_SIZE), 0);
	}
}

/* The key itself: its pool, its stack copies, what was derived by way of it. */
static void test_keys(void **state)
{
	struct buf octets = {0};
	uint8_t signature[SIGNATURE_SIZE], wrapped[WRAPPED_KEY_SIZE], out[KEY_SIZE] = {0};
	struct key *key, *derived;

	(void)state;
	NEEDS_A_CIPHER();
	put_canary(&octets);
	buf_put_zeros(&octets, KEY_SIZE - CANARY_SIZE);
	assert_ok(key_import(octets.data, &key));
	buf_finish(&octets);
	assert_int_equal(residue_count(masked, CANARY_SIZE), 1);
	assert_ok(key_derive(key, "aerostore test", bytes_string(""), &derived));
	sign_bytes(key, "aerostore test", bytes_string("message"), signature);
	key_wrap(derived, "aerostore test", bytes_string(""), key_octets(key), wrapped);
	key_wrap(key, "aerostore test", bytes_string(""), key_octets(derived), wrapped);
	assert_ok(key_unwrap(key, "aerostore test", bytes_string(""), wrapped, out));
	key_release(&derived);
	key_release(&key);
	assert_int_equal(residue_count(masked, CANARY_SIZE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_search_finds),
		cmocka_unit_test(test_blobs),
		cmocka_unit_test(test_payloads_and_envelopes),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
