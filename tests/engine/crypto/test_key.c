/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/crypto/sealed.h"
#include "tests/support/unit_env.h"

static struct unit_env test;

static int setup(void **state)
{
	(void)state;
	unit_env_init(&test, 1);
	return key_library_init() == ERR_OK ? 0 : -1;
}

static void counting(uint8_t first, uint8_t out[KEY_SIZE])
{
	for (size_t i = 0; i < KEY_SIZE; i++)
		out[i] = (uint8_t)(first + i);
}

static void test_no_core_dumps(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
	assert_int_equal(limit.rlim_max, 0);
}

static void test_references(void **state)
{
	struct key *key, *other, *same;

	(void)state;
	assert_int_equal(key_count(), 0);
	assert_ok(key_random(&test.env, &key));
	assert_ok(key_import(key_octets(key), &other));
	assert_true(key_equal(key, other));
	assert_ptr_not_equal(key_octets(key), key_octets(other));
	same = key_reference(key);
	assert_int_equal(key_count(), 2);
	key_release(&key);
	assert_null(key);
	assert_true(key_equal(same, other));
	key_release(&other);
	key_release(&same);
	key_release(&same);
	assert_int_equal(key_count(), 0);
}

/* Many more than one slab holds; all distinct, all wiped when they go. */
static void test_many_keys_are_wiped(void **state)
{
	enum { COUNT = 1500 };
	static struct key *keys[COUNT];
	static const uint8_t *places[COUNT];
	static const uint8_t zeros[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		assert_ok(key_random(&test.env, &keys[i]));
		places[i] = key_octets(keys[i]);
		assert_true(i == 0 || !key_equal(keys[i], keys[i - 1]));
	}
	assert_int_equal(key_count(), COUNT);
	for (size_t i = 0; i < COUNT; i++)
		key_release(&keys[i]);
	/* The slabs stay mapped, so what the places hold now can be read. */
	for (size_t i = 0; i < COUNT; i++)
		assert_memory_equal(places[i], zeros, KEY_SIZE);
	assert_int_equal(key_count(), 0);
}

#ifndef __SANITIZE_ADDRESS__ /* which makes mlock() do nothing */
/* In a child, which gives up the right to lock more than it may. Its exit status is the error. */
static int keys_without_locking(void)
{
	const struct rlimit none = {0, 0};
	struct key *key;

	if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && seteuid(65534) != 0))
		return -1;
	/* The slabs are not in the child: only a new one can serve it. */
	for (;;) {
		enum err err = key_random(&test.env, &key);

		if (err != ERR_OK)
			return (int)err;
		if (key_count() > 100000)
			return -1;
	}
}

static void test_unlockable_memory_is_refused(void **state)
{
	pid_t child;
	int status;

	(void)state;
	/* The parent's slabs are not inherited, so the child runs where none exists yet. */
	assert_int_equal(key_count(), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(keys_without_locking());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ERR_LIMIT);
}
#endif

/* A child that touches an inherited key dies rather than compute with something else. */
static void test_keys_are_not_inherited(void **state)
{
	struct key *key;
	pid_t child;
	int status;

	(void)state;
	assert_ok(key_random(&test.env, &key));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(key_octets(key)[0] == 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	key_release(&key);
}

/* Vectors from Python's hashlib.blake2b over the documented input. */
static void test_derivation(void **state)
{
	uint8_t octets[KEY_SIZE], out[KEY_SIZE];
	struct key *key, *derived;

	(void)state;
	counting(0, octets);
	kdf_octets(octets, "aerostore test", bytes_string("context"), out);
	assert_hex(out, KEY_SIZE,
		   "c6c6cab40c556eff56b9a5221a5f693c37cc390340896d75488f39047917f11d");
	kdf_octets(octets, "a", bytes_make(NULL, 0), out);
	assert_hex(out, KEY_SIZE,
		   "238e4c6d398989e7870c386515f7bf11413eab43dcc800269f926eb8c89d40a4");
	assert_ok(key_import(octets, &key));
	assert_ok(key_derive(key, "a", bytes_make(NULL, 0), &derived));
	assert_memory_equal(key_octets(derived), out, KEY_SIZE);
	/* The lengths separate label from context. */
	key_derive_octets(key, "ab", bytes_string("c"), octets);
	key_derive_octets(key, "a", bytes_string("bc"), out);
	assert_memory_not_equal(octets, out, KEY_SIZE);
	key_release(&key);
	key_release(&derived);
}

static void test_digest(void **state)
{
	uint8_t out[DIGEST_SIZE];

	(void)state;
	digest_256(bytes_string("abc"), out);
	assert_hex(out, DIGEST_SIZE,
		   "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

#ifndef AEROSTORE_NULL_CIPHER
/* draft-irtf-cfrg-xchacha-03, A.3.1. */
static void test_xchacha20_poly1305(void **state)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	uint8_t key[KEY_SIZE], nonce[KEY_SIZE], associated[12];
	struct buf sealed = {0}, opened = {0};

	(void)state;
	counting(0x80, key);
	counting(0x40, nonce);
	unhex("50515253c0c1c2c3c4c5c6c7", associated, sizeof(associated));
	assert_ok(aead_seal(key, nonce, bytes_make(associated, 12), bytes_string(text), &sealed));
	assert_hex(sealed.data, sealed.size,
		   "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
		   "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
		   "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		   "21f9664c97637da9768812f615c68b13b52e"
		   "c0875924c1c7987947deafd8780acf49");
	assert_ok(
		aead_open(key, nonce, bytes_make(associated, 12), bytes_of_buf(&sealed), &opened));
	assert_true(bytes_equal(bytes_of_buf(&opened), bytes_string(text)));
	buf_finish(&sealed);
	buf_finish(&opened);
}
#endif

static void test_aead_refuses(void **state)
{
	uint8_t key[KEY_SIZE], nonce[KEY_SIZE];
	struct bytes associated = bytes_string("associated");
	struct buf sealed = {0}, opened = {0};

	(void)state;
	counting(1, key);
	counting(2, nonce);
	buf_put_string(&opened, "before");
	assert_ok(aead_seal(key, nonce, associated, bytes_string("plain text"), &sealed));
	assert_int_equal(sealed.size, 10 + TAG_SIZE);
	for (size_t bit = 0; bit < sealed.size * 8; bit++) {
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(aead_open(key, nonce, associated, bytes_of_buf(&sealed), &opened),
				 ERR_AUTH);
		sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < sealed.size; size++)
		assert_int_equal(
			aead_open(key, nonce, associated, bytes_make(sealed.data, size), &opened),
			ERR_AUTH);
	assert_int_equal(
		aead_open(key, nonce, bytes_string("another"), bytes_of_buf(&sealed), &opened),
		ERR_AUTH);
	assert_true(bytes_equal(bytes_of_buf(&opened), bytes_string("before")));
	assert_ok(aead_open(key, nonce, associated, bytes_of_buf(&sealed), &opened));
	assert_true(bytes_equal(bytes_of_buf(&opened), bytes_string("beforeplain text")));
	buf_finish(&sealed);
	buf_finish(&opened);
}

/* Vectors from PyNaCl over the documented input; the public key is RFC 8032's algorithm. */
static void test_signatures(void **state)
{
	uint8_t octets[KEY_SIZE], public_key[PUBLIC_SIZE], signature[SIGNATURE_SIZE];
	struct key *seed;

	(void)state;
	counting(0, octets);
	assert_ok(key_import(octets, &seed));
	sign_public(seed, public_key);
	assert_hex(public_key, PUBLIC_SIZE,
		   "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
	sign_bytes(seed, "aerostore test", bytes_string("message"), signature);
	assert_hex(signature, SIGNATURE_SIZE,
		   "42a86b2fd8f459c5dd6d26861ee99a87efa1541f7d3156898db3b63187187f45"
		   "a523fc13a17e832e20bb2acc804b5443eb87bdab70e1037684b8e7dcc2471c04");
	assert_ok(sign_verify(public_key, "aerostore test", bytes_string("message"), signature));
	assert_int_equal(
		sign_verify(public_key, "aerostore tesT", bytes_string("message"), signature),
		ERR_AUTH);
	assert_int_equal(
		sign_verify(public_key, "aerostore test", bytes_string("messagE"), signature),
		ERR_AUTH);
	for (size_t bit = 0; bit < SIGNATURE_SIZE * 8; bit++) {
		signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(sign_verify(public_key, "aerostore test", bytes_string("message"),
					     signature),
				 ERR_AUTH);
		signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	key_release(&seed);
}

/* RFC 8032, 7.1, test 1; RFC 7748, 6.1. */
static void test_public_keys(void **state)
{
	uint8_t octets[KEY_SIZE], public_key[PUBLIC_SIZE];
	struct key *key;

	(void)state;
	unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", octets, KEY_SIZE);
	assert_ok(key_import(octets, &key));
	sign_public(key, public_key);
	assert_hex(public_key, PUBLIC_SIZE,
		   "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
	key_release(&key);
	unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", octets, KEY_SIZE);
	assert_ok(key_import(octets, &key));
	x25519_public(key, public_key);
	assert_hex(public_key, PUBLIC_SIZE,
		   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	key_release(&key);
}

static void test_every_allocation_may_fail(void **state)
{
	uint8_t octets[KEY_SIZE] = {7};
	struct key *held[600];
	size_t count = 0;
	bool failed;

	(void)state;
	FOR_EACH_ALLOCATION(failed)
	{
		struct key *key;
		enum err err = key_import(octets, &key);

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		if (!failed)
			key_release(&key);
	}
	/* Also those of a new slab. */
	for (count = 0; count < 600; count++) {
		FOR_EACH_ALLOCATION(failed)
		{
			enum err err = key_import(octets, &held[count]);

			failed = err == ERR_NOMEM;
			assert_true(failed || err == ERR_OK);
		}
	}
	while (count > 0)
		key_release(&held[--count]);
	assert_int_equal(key_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_core_dumps),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_unlockable_memory_is_refused),
#endif
		cmocka_unit_test(test_keys_are_not_inherited),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_many_keys_are_wiped),
		cmocka_unit_test(test_derivation),
		cmocka_unit_test(test_digest),
#ifndef AEROSTORE_NULL_CIPHER
		cmocka_unit_test(test_xchacha20_poly1305),
#endif
		cmocka_unit_test(test_aead_refuses),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_public_keys),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
