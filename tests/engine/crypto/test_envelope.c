/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/crypto/payload.h"
#include "tests/support/unit_env.h"

#define HEADER_SIZE 40u

static struct unit_env test;
static struct key *secret;
static uint8_t public_key[X25519_SIZE];
static struct id128 account, use;

static int setup(void **state)
{
	uint8_t octets[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < KEY_SIZE; i++)
		octets[i] = (uint8_t)i;
	memset(account.octets, 0x33, 16);
	memset(use.octets, 0x44, 16);
	if (key_library_init() != ERR_OK || key_import(octets, &secret) != ERR_OK)
		return -1;
	x25519_public(secret, public_key);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	key_release(&secret);
	return key_count() == 0 ? 0 : -1;
}

static struct envelope_sender *a_sender(size_t cached)
{
	struct envelope_sender *sender;

	unit_env_init(&test, 42);
	assert_ok(envelope_sender_create(&test.env, cached, &sender));
	return sender;
}

static enum err seal(struct envelope_sender *sender, const char *plain, struct buf *out)
{
	return envelope_seal(sender, public_key, account, use, bytes_string("associated"),
			     bytes_string(plain), out);
}

static enum err open_one(struct envelope_opener *opener, struct bytes envelope, struct buf *out)
{
	return envelope_open(opener, account, use, bytes_string("associated"), envelope, out);
}

/* From an independent program (Python, PyCryptodome, PyNaCl) that follows docs/format.md. */
static void test_known_answer(void **state)
{
	struct envelope_sender *sender = a_sender(8);
	struct buf envelope = {0};

	(void)state;
	assert_ok(seal(sender, "Hello", &envelope));
	assert_int_equal(envelope.size, HEADER_SIZE + 512 + TAG_SIZE);
#ifndef AEROSTORE_NULL_CIPHER
	uint8_t digest[DIGEST_SIZE];

	digest_256(bytes_of_buf(&envelope), digest);
	assert_hex(digest, DIGEST_SIZE,
		   "3a08c0530f2af9ca60fa822d0756de6b67b09ab2f2ac1cb4e569582e6245017f");
#endif
	buf_finish(&envelope);
	envelope_sender_destroy(&sender);
	assert_null(sender);
}

static void test_round_trip_and_refusals(void **state)
{
	struct envelope_sender *sender = a_sender(8);
	struct envelope_opener *opener;
	struct buf envelope = {0}, plain = {0};
	struct id128 other = {{1}};
	struct bytes associated = bytes_string("associated");

	(void)state;
	assert_ok(envelope_opener_create(secret, &opener));
	assert_ok(seal(sender, "a summary", &envelope));
	for (size_t bit = 0; bit < envelope.size * 8; bit++) {
		envelope.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		/* X25519 ignores the last bit of a public key; the KDF's context does not. */
		assert_int_equal(open_one(opener, bytes_of_buf(&envelope), &plain),
				 bit < 8 ? ERR_NEWER : ERR_AUTH);
		envelope.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < envelope.size; size++)
		assert_int_equal(open_one(opener, bytes_make(envelope.data, size), &plain),
				 ERR_AUTH);
	assert_int_equal(
		envelope_open(opener, other, use, associated, bytes_of_buf(&envelope), &plain),
		ERR_AUTH);
	assert_int_equal(
		envelope_open(opener, account, other, associated, bytes_of_buf(&envelope), &plain),
		ERR_AUTH);
	assert_int_equal(envelope_open(opener, account, use, bytes_string("x"),
				       bytes_of_buf(&envelope), &plain),
			 ERR_AUTH);
	assert_int_equal(plain.size, 0);
	assert_ok(open_one(opener, bytes_of_buf(&envelope), &plain));
	assert_true(bytes_equal(bytes_of_buf(&plain), bytes_string("a summary")));
	buf_finish(&plain);
	buf_finish(&envelope);
	envelope_opener_destroy(&opener);
	assert_null(opener);
	envelope_sender_destroy(&sender);
}

static void test_another_delivery_key(void **state)
{
	struct envelope_sender *sender = a_sender(8);
	struct envelope_opener *opener;
	struct buf envelope = {0}, plain = {0};
	struct key *other;

	(void)state;
	assert_ok(key_random(&test.env, &other));
	assert_ok(envelope_opener_create(other, &opener));
	key_release(&other);
	assert_ok(seal(sender, "a summary", &envelope));
	assert_int_equal(open_one(opener, bytes_of_buf(&envelope), &plain), ERR_AUTH);
	buf_finish(&envelope);
	envelope_opener_destroy(&opener);
	envelope_sender_destroy(&sender);
}

static void test_low_order_points_are_refused(void **state)
{
	/* 0, 1, and a point of order 8 (RFC 7748, section 6.1; Bernstein, "Curve25519"). */
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	};
	struct envelope_sender *sender = a_sender(8);
	struct envelope_opener *opener;
	struct buf envelope = {0}, plain = {0};

	(void)state;
	assert_ok(envelope_opener_create(secret, &opener));
	for (size_t i = 0; i < 3; i++) {
		uint8_t point[X25519_SIZE];

		unhex(points[i], point, sizeof(point));
		assert_int_equal(envelope_seal(sender, point, account, use, bytes_string(""),
					       bytes_string("text"), &envelope),
				 ERR_INVALID);
		assert_int_equal(envelope.size, 0);
		assert_ok(seal(sender, "text", &envelope));
		memcpy(envelope.data + 8, point, X25519_SIZE);
		assert_int_equal(open_one(opener, bytes_of_buf(&envelope), &plain), ERR_AUTH);
		buf_clear(&envelope);
	}
	buf_finish(&envelope);
	envelope_opener_destroy(&opener);
	envelope_sender_destroy(&sender);
}

static struct bytes ephemeral_of(const struct buf *envelope)
{
	return bytes_slice(bytes_of_buf(envelope), 8, X25519_SIZE);
}

/* Same use, same everything: the window still makes another ciphertext each time. */
static void test_window(void **state)
{
	struct envelope_sender *sender = a_sender(8);
	struct buf first = {0}, next = {0};

	(void)state;
	assert_ok(seal(sender, "text", &first));
	for (uint32_t i = 1; i < ENVELOPE_WINDOW_USES; i++) {
		buf_clear(&next);
		assert_ok(seal(sender, "text", &next));
		assert_true(bytes_equal(ephemeral_of(&first), ephemeral_of(&next)));
		assert_int_equal(load_u32(next.data + 4), i);
		assert_memory_not_equal(first.data + HEADER_SIZE, next.data + HEADER_SIZE,
					16 + 512);
	}
	buf_clear(&next);
	assert_ok(seal(sender, "text", &next));
	assert_false(bytes_equal(ephemeral_of(&first), ephemeral_of(&next)));
	assert_int_equal(load_u32(next.data + 4), 0);
	/* By time. */
	unit_env_advance(&test, ENVELOPE_WINDOW_MS - 1);
	buf_clear(&first);
	assert_ok(seal(sender, "text", &first));
	assert_true(bytes_equal(ephemeral_of(&first), ephemeral_of(&next)));
	unit_env_advance(&test, 1);
	buf_clear(&next);
	assert_ok(seal(sender, "text", &next));
	assert_false(bytes_equal(ephemeral_of(&first), ephemeral_of(&next)));
	buf_finish(&first);
	buf_finish(&next);
	envelope_sender_destroy(&sender);
}

/* The timer goes on while windows are open, and rests when none is. */
static void test_windows_are_closed_by_the_timer(void **state)
{
	struct envelope_sender *sender = a_sender(8);
	struct buf envelope = {0};

	(void)state;
	assert_null(test.timers[0].timer);
	assert_ok(seal(sender, "text", &envelope));
	assert_non_null(test.timers[0].timer);
	unit_env_advance(&test, 1000);
	account.octets[0] ^= 1;
	assert_ok(seal(sender, "text", &envelope));
	account.octets[0] ^= 1;
	unit_env_advance(&test, ENVELOPE_WINDOW_MS - 1);
	assert_non_null(test.timers[0].timer);
	unit_env_advance(&test, 1);
	assert_null(test.timers[0].timer);
	buf_finish(&envelope);
	envelope_sender_destroy(&sender);
}

/* Two accounts, even with one delivery key, never see one ephemeral key; the cache is bounded. */
static void test_recipients(void **state)
{
	struct envelope_sender *sender = a_sender(2);
	struct buf envelopes[4] = {{0}};
	struct id128 original = account;

	(void)state;
	for (uint8_t i = 0; i < 4; i++) {
		account.octets[0] = (uint8_t)(i % 3);
		assert_ok(seal(sender, "text", &envelopes[i]));
	}
	/* Accounts 0 1 2 0: the fourth finds the first's window gone. */
	for (size_t a = 0; a < 4; a++)
		for (size_t b = 0; b < a; b++)
			assert_false(bytes_equal(ephemeral_of(&envelopes[a]),
						 ephemeral_of(&envelopes[b])));
	/* Used last, 2 and 0 are still there. */
	account.octets[0] = 2;
	buf_clear(&envelopes[0]);
	assert_ok(seal(sender, "text", &envelopes[0]));
	assert_true(bytes_equal(ephemeral_of(&envelopes[0]), ephemeral_of(&envelopes[2])));
	for (size_t i = 0; i < 4; i++)
		buf_finish(&envelopes[i]);
	account = original;
	envelope_sender_destroy(&sender);
}

/* More senders than an opener caches, in turn; its cache is keys, and bounded. */
static void test_opener_cache(void **state)
{
	struct envelope_opener *opener;
	struct buf envelopes[10] = {{0}};

	(void)state;
	assert_ok(envelope_opener_create(secret, &opener));
	for (size_t i = 0; i < 10; i++) {
		struct envelope_sender *sender = a_sender(1);

		unit_env_init(&test, i);
		assert_ok(seal(sender, "text", &envelopes[i]));
		envelope_sender_destroy(&sender);
	}
	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < 10; i++) {
			struct buf plain = {0};

			assert_ok(open_one(opener, bytes_of_buf(&envelopes[i]), &plain));
			assert_true(bytes_equal(bytes_of_buf(&plain), bytes_string("text")));
			assert_true(key_count() <= 1 + 4);
			buf_finish(&plain);
		}
	for (size_t i = 0; i < 10; i++)
		buf_finish(&envelopes[i]);
	envelope_opener_destroy(&opener);
	assert_int_equal(key_count(), 1);
}

static void test_limits(void **state)
{
	struct envelope_sender *sender = a_sender(1);
	struct envelope_opener *opener;
	struct buf large = {0}, envelope = {0}, plain = {0};

	(void)state;
	assert_ok(envelope_opener_create(secret, &opener));
	buf_put_zeros(&large, ENVELOPE_PLAIN_MAX + 1);
	assert_int_equal(envelope_seal(sender, public_key, account, use, bytes_string("associated"),
				       bytes_of_buf(&large), &envelope),
			 ERR_LIMIT);
	large.size--;
	assert_ok(envelope_seal(sender, public_key, account, use, bytes_string("associated"),
				bytes_of_buf(&large), &envelope));
	assert_ok(open_one(opener, bytes_of_buf(&envelope), &plain));
	assert_true(bytes_equal(bytes_of_buf(&large), bytes_of_buf(&plain)));
	buf_put_zeros(&envelope, 2 * ENVELOPE_PLAIN_MAX);
	assert_int_equal(open_one(opener, bytes_of_buf(&envelope), &plain), ERR_LIMIT);
	buf_finish(&large);
	buf_finish(&envelope);
	buf_finish(&plain);
	envelope_opener_destroy(&opener);
	envelope_sender_destroy(&sender);
}

static enum err there_and_back(struct buf *plain)
{
	struct envelope_sender *sender = NULL;
	struct envelope_opener *opener = NULL;
	struct buf envelope = {0};
	enum err err;

	unit_env_init(&test, 1);
	err = envelope_sender_create(&test.env, 1, &sender);
	if (err == ERR_OK)
		err = seal(sender, "text", &envelope);
	if (err == ERR_OK)
		err = envelope_opener_create(secret, &opener);
	if (err == ERR_OK)
		err = open_one(opener, bytes_of_buf(&envelope), plain);
	envelope_opener_destroy(&opener);
	envelope_sender_destroy(&sender);
	buf_finish(&envelope);
	return err;
}

static void test_every_allocation_may_fail(void **state)
{
	bool failed;

	(void)state;
	FOR_EACH_ALLOCATION(failed)
	{
		struct buf plain = {0};
		enum err err = there_and_back(&plain);

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		assert_int_equal(plain.size, failed ? 0 : 4);
		buf_finish(&plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_round_trip_and_refusals),
		cmocka_unit_test(test_another_delivery_key),
		cmocka_unit_test(test_low_order_points_are_refused),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_windows_are_closed_by_the_timer),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_opener_cache),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
