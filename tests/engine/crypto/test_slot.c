/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/crypto/sealed.h"
#include "engine/crypto/slot.h"
#include "tests/sim/sim_task.h"
#include "tests/support/residue.h"
#include "tests/support/unit_env.h"

static struct unit_env test;
static struct key *master;
static struct id128 cluster, account;

static const struct slot_info password_slot = {
	.kind = SLOT_PASSWORD,
	.slot_id = 5,
	.parameters = {.operations = 2, .memory_kib = 64},
	.created_ms = 1700000000000,
};

static int setup(void **state)
{
	uint8_t octets[KEY_SIZE];

	(void)state;
	unit_env_init(&test, 42);
	for (size_t i = 0; i < KEY_SIZE; i++)
		octets[i] = (uint8_t)i;
	memset(cluster.octets, 0x55, 16);
	memset(account.octets, 0x33, 16);
	if (key_library_init() != ERR_OK)
		return -1;
	return key_import(octets, &master) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	key_release(&master);
	return key_count() == 0 ? 0 : -1;
}

static enum err create(const struct slot_info *info, struct bytes secret, struct buf *out)
{
	return slot_create(&test.env, info, cluster, account, secret, master, out);
}

static enum err open_with(const struct buf *slot, struct bytes secret)
{
	struct key *opened = NULL;
	enum err err = slot_open(bytes_of_buf(slot), cluster, account, secret, &opened);

	assert_true((err == ERR_OK) == (opened != NULL));
	if (opened != NULL)
		assert_true(key_equal(opened, master));
	key_release(&opened);
	return err;
}

static struct slot_info fast_slot(enum slot_kind kind)
{
	struct slot_info info = password_slot;

	info.kind = kind;
	info.parameters = (struct slot_parameters){0};
	return info;
}

#ifndef AEROSTORE_NULL_CIPHER
static void assert_digest(const struct buf *buf, const char *expected)
{
	uint8_t digest[DIGEST_SIZE];

	digest_256(bytes_of_buf(buf), digest);
	assert_hex(digest, DIGEST_SIZE, expected);
}

/* From an independent program: Python with argon2-cffi, PyCryptodome, PyNaCl. */
static void test_known_answers(void **state)
{
	struct buf slot = {0}, code = {0};
	struct slot_info info;
	uint8_t public_key[X25519_SIZE];

	(void)state;
	unit_env_init(&test, 42);
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	assert_digest(&slot, "9b429798f78f79d78eceac8303a16b61157c801ed63fe3ac37c32d6dcd25304b");
	unit_env_init(&test, 42);
	secret_generate_recovery(&test.env, &code);
	unit_env_init(&test, 42);
	buf_clear(&slot);
	info = fast_slot(SLOT_RECOVERY);
	assert_ok(create(&info, bytes_of_buf(&code), &slot));
	assert_digest(&slot, "bca476357a42d26fb12ab87dc2d2ae494c107a0c178e048fd2dee94a07bcac88");
	unit_env_init(&test, 42);
	buf_clear(&slot);
	info = fast_slot(SLOT_MEMBER);
	x25519_public(master, public_key);
	assert_ok(create(&info, bytes_make(public_key, sizeof(public_key)), &slot));
	assert_digest(&slot, "ea1a1e400c5f351c3c91739787f3f811f143b2c5e8890d15fab2e1ecb4e53cca");
	buf_finish(&slot);
	buf_finish(&code);
}
#endif

static void test_passwords(void **state)
{
	struct buf slot = {0};
	struct slot_info info;

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	assert_ok(slot_inspect(bytes_of_buf(&slot), &info));
	assert_int_equal(info.kind, SLOT_PASSWORD);
	assert_int_equal(info.slot_id, 5);
	assert_int_equal(info.parameters.operations, 2);
	assert_int_equal(info.parameters.memory_kib, 64);
	assert_true(info.created_ms == 1700000000000);
	assert_false(info.is_invitation);
	assert_ok(open_with(&slot, bytes_string("a password")));
	assert_int_equal(open_with(&slot, bytes_string("a passwore")), ERR_AUTH);
	assert_int_equal(open_with(&slot, bytes_string("")), ERR_AUTH);
	/* No trimming, no folding, and NUL is a character. */
	assert_int_equal(open_with(&slot, bytes_string("a password ")), ERR_AUTH);
	assert_int_equal(open_with(&slot, bytes_make("a password", 11)), ERR_AUTH);
	cluster.octets[0] ^= 1;
	assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_AUTH);
	cluster.octets[0] ^= 1;
	account.octets[15] ^= 1;
	assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_AUTH);
	account.octets[15] ^= 1;
	buf_finish(&slot);
}

static void test_codes(void **state)
{
	struct buf slot = {0}, code = {0}, typed = {0};
	struct slot_info info = fast_slot(SLOT_RECOVERY);
	uint64_t runs = slot_argon2_count();

	(void)state;
	secret_generate_recovery(&test.env, &code);
	assert_ok(create(&info, bytes_of_buf(&code), &slot));
	assert_ok(open_with(&slot, bytes_of_buf(&code)));
	for (size_t i = 0; i < code.size; i++) {
		uint8_t at = code.data[i];

		if (at >= 'A' && at <= 'Z')
			at = (uint8_t)(at - 'A' + 'a');
		if (at != '-')
			buf_put_u8(&typed, at);
	}
	assert_ok(open_with(&slot, bytes_of_buf(&typed)));
	typed.data[10] = typed.data[10] == 'x' ? 'y' : 'x';
	assert_int_equal(open_with(&slot, bytes_of_buf(&typed)), ERR_AUTH);
	assert_int_equal(create(&info, bytes_of_buf(&typed), &slot), ERR_INVALID);
	assert_true(slot_argon2_count() == runs);
	buf_finish(&slot);
	buf_finish(&code);
	buf_finish(&typed);
}

static void test_app_passwords(void **state)
{
	struct buf slot = {0}, secret = {0}, other = {0};
	struct slot_info info = fast_slot(SLOT_APP);
	uint64_t runs = slot_argon2_count();

	(void)state;
	secret_generate_app(&test.env, 5, &secret);
	secret_generate_app(&test.env, 6, &other);
	assert_ok(create(&info, bytes_of_buf(&secret), &slot));
	assert_ok(open_with(&slot, bytes_of_buf(&secret)));
	assert_int_equal(open_with(&slot, bytes_of_buf(&other)), ERR_AUTH);
	/* A slot opens only for the app password that names it. */
	assert_int_equal(create(&info, bytes_of_buf(&other), &slot), ERR_INVALID);
	assert_int_equal(create(&info, bytes_string("a password"), &slot), ERR_INVALID);
	assert_true(slot_argon2_count() == runs);
	buf_finish(&slot);
	buf_finish(&secret);
	buf_finish(&other);
}

static void test_invitations(void **state)
{
	struct buf slot = {0}, code = {0};
	struct slot_info info = password_slot;

	(void)state;
	info.kind = SLOT_ENROLMENT;
	info.is_invitation = true;
	secret_generate_invitation(&test.env, &code);
	assert_ok(create(&info, bytes_of_buf(&code), &slot));
	assert_ok(open_with(&slot, bytes_of_buf(&code)));
	assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_AUTH);
	assert_ok(slot_inspect(bytes_of_buf(&slot), &info));
	assert_true(info.is_invitation);
	/* With a first password instead. */
	buf_clear(&slot);
	info.is_invitation = false;
	assert_ok(create(&info, bytes_string("legacy"), &slot));
	assert_ok(open_with(&slot, bytes_string("legacy")));
	buf_finish(&slot);
	buf_finish(&code);
}

static void test_members(void **state)
{
	struct buf slot = {0};
	struct slot_info info = fast_slot(SLOT_MEMBER);
	struct key *member, *other;
	uint8_t public_key[X25519_SIZE], zeros[X25519_SIZE] = {0};

	(void)state;
	assert_ok(key_random(&test.env, &member));
	assert_ok(key_random(&test.env, &other));
	x25519_public(member, public_key);
	assert_ok(create(&info, bytes_make(public_key, sizeof(public_key)), &slot));
	assert_ok(open_with(&slot, bytes_make(key_octets(member), KEY_SIZE)));
	assert_int_equal(open_with(&slot, bytes_make(key_octets(other), KEY_SIZE)), ERR_AUTH);
	assert_int_equal(open_with(&slot, bytes_make(public_key, sizeof(public_key))), ERR_AUTH);
	assert_int_equal(open_with(&slot, bytes_string("short")), ERR_AUTH);
	assert_int_equal(create(&info, bytes_string("short"), &slot), ERR_INVALID);
	assert_int_equal(create(&info, bytes_make(zeros, sizeof(zeros)), &slot), ERR_INVALID);
	key_release(&member);
	key_release(&other);
	buf_finish(&slot);
}

/* Every bit is bound; none makes it crash, and none that is out of range makes it work. */
static void test_bit_flips_and_truncations(void **state)
{
	struct buf slot = {0};

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	for (size_t bit = 0; bit < slot.size * 8; bit++) {
		/* More memory and more passes only cost time here: the value is bound either way.
		 */
		if (bit >= 8 * 12 + 12 && bit < 8 * 12 + 21)
			continue;
		slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(open_with(&slot, bytes_string("a password")), ERR_OK);
		slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t size = 0; size < slot.size; size++) {
		struct slot_info info;
		struct buf part = {.data = slot.data, .size = size};

		assert_int_equal(open_with(&part, bytes_string("a password")), ERR_CORRUPT);
		assert_int_equal(slot_inspect(bytes_of_buf(&part), &info), ERR_CORRUPT);
	}
	buf_put_u8(&slot, 0);
	assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_CORRUPT);
	buf_finish(&slot);
}

static void test_what_is_not_a_slot(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
		enum err expected;
	} cases[] = {
		{0, 0, ERR_CORRUPT},  {0, 2, ERR_NEWER},    {1, 0, ERR_CORRUPT},
		{1, 2, ERR_NEWER},    {2, 0, ERR_CORRUPT},  {2, 6, ERR_CORRUPT},
		{2, 2, ERR_CORRUPT},  {3, 2, ERR_CORRUPT},  {3, 0, ERR_CORRUPT},
		{16, 1, ERR_CORRUPT}, {16, 2, ERR_CORRUPT}, {17, 1, ERR_CORRUPT},
		{23, 1, ERR_CORRUPT}, {48, 1, ERR_CORRUPT}, {63, 128, ERR_CORRUPT},
	};
	struct buf slot = {0};
	uint64_t runs;

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	runs = slot_argon2_count();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t before = slot.data[cases[i].offset];

		slot.data[cases[i].offset] = cases[i].value;
		assert_int_equal(open_with(&slot, bytes_string("a password")), cases[i].expected);
		slot.data[cases[i].offset] = before;
	}
	assert_true(slot_argon2_count() == runs);
	buf_finish(&slot);
}

static void test_parameters_out_of_range_do_no_work(void **state)
{
	static const struct slot_parameters refused[] = {
		{0, 64}, {17, 64}, {UINT32_MAX, 64}, {2, 0}, {2, 7}, {2, 1048577}, {2, UINT32_MAX},
	};
	struct buf slot = {0}, none = {0};
	struct slot_info info;
	uint64_t runs;

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	runs = slot_argon2_count();
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		info = password_slot;
		info.parameters = refused[i];
		assert_int_equal(create(&info, bytes_string("a password"), &none), ERR_INVALID);
		store_u32(slot.data + 8, refused[i].operations);
		store_u32(slot.data + 12, refused[i].memory_kib);
		assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_INVALID);
		assert_int_equal(slot_open_nothing(&refused[i], bytes_string("a password"),
						   bytes_string("salt")),
				 ERR_INVALID);
	}
	/* Fast kinds have none; only enrolment has invitations. */
	info = fast_slot(SLOT_APP);
	info.parameters.operations = 1;
	assert_int_equal(create(&info, bytes_string("x"), &none), ERR_INVALID);
	info = password_slot;
	info.is_invitation = true;
	assert_int_equal(create(&info, bytes_string("x"), &none), ERR_INVALID);
	assert_true(slot_argon2_count() == runs);
	assert_int_equal(none.size, 0);
	buf_finish(&slot);
}

/* The same work, the same words: for a wrong password, and for nobody. */
static void test_nobody_costs_the_same(void **state)
{
	struct buf slot = {0}, secret = {0};
	uint64_t runs;

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	runs = slot_argon2_count();
	assert_int_equal(open_with(&slot, bytes_string("wrong")), ERR_AUTH);
	assert_true(slot_argon2_count() == runs + 1);
	assert_int_equal(slot_open_nothing(&password_slot.parameters, bytes_string("wrong"),
					   bytes_string("salt")),
			 ERR_AUTH);
	assert_true(slot_argon2_count() == runs + 2);
	buf_put_zeros(&secret, SLOT_SECRET_MAX + 1);
	assert_int_equal(open_with(&slot, bytes_of_buf(&secret)), ERR_AUTH);
	assert_int_equal(slot_open_nothing(&password_slot.parameters, bytes_of_buf(&secret),
					   bytes_string("salt")),
			 ERR_AUTH);
	assert_true(slot_argon2_count() == runs + 2);
	assert_int_equal(create(&password_slot, bytes_of_buf(&secret), &slot), ERR_INVALID);
	buf_finish(&slot);
	buf_finish(&secret);
}

/* The commitment is looked at first: with it wrong, a ciphertext that would open does not. */
static void test_commitment(void **state)
{
	struct buf slot = {0};

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	slot.data[64] ^= 1;
	assert_int_equal(open_with(&slot, bytes_string("a password")), ERR_AUTH);
	slot.data[64] ^= 1;
	assert_ok(open_with(&slot, bytes_string("a password")));
	buf_finish(&slot);
}

/* In a task, Argon2 is a job; a task that is canceled does not take it for a wrong password. */
static void open_in_task(void *argument)
{
	const struct buf *slot = argument;
	uint64_t runs = slot_argon2_count();
	struct key *opened;

	assert_ok(open_with(slot, bytes_string("a password")));
	assert_int_equal(open_with(slot, bytes_string("wrong")), ERR_AUTH);
	assert_true(slot_argon2_count() == runs + 2);
	task_cancel(task_current());
	assert_int_equal(slot_open(bytes_of_buf(slot), cluster, account, bytes_string("a password"),
				   &opened),
			 ERR_CANCELED);
	assert_int_equal(slot_open_nothing(&password_slot.parameters, bytes_string("wrong"),
					   bytes_string("salt")),
			 ERR_CANCELED);
}

static void test_in_a_task(void **state)
{
	struct sim *sim = sim_simple();
	struct buf slot = {0};

	(void)state;
	assert_ok(create(&password_slot, bytes_string("a password"), &slot));
	assert_ok(sim_run_task(sim, open_in_task, &slot));
	sim_finish(&sim);
	buf_finish(&slot);
}

/* ---- text forms ---- */

static void assert_normal(const char *typed, const char *expected)
{
	struct buf out = {0};

	if (expected == NULL) {
		assert_int_equal(secret_normalise_code(bytes_string(typed), &out), ERR_INVALID);
		assert_int_equal(out.size, 0);
	} else {
		assert_ok(secret_normalise_code(bytes_string(typed), &out));
		assert_true(bytes_equal(bytes_of_buf(&out), bytes_string(expected)));
	}
	buf_finish(&out);
}

static void test_normal_forms(void **state)
{
	static const char recovery[] = "RCN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7C";
	static const char app[] = "APP12N3JMJ6X4NEZY6QWJNX708SNHGHN34A";
	uint32_t slot_id;

	(void)state;
	assert_normal(recovery, recovery);
	assert_normal("RC-N3JMJ-6X4NE-ZY6QW-JNX70-8SNHG-HNZ73-NYE7C", recovery);
	assert_normal(" rc n3jmj 6x4ne zy6qw jnx7o 8snhg hnz73 nye7c\r\n", recovery);
	assert_normal("app12-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a", app);
	assert_normal("app12 n3jmj6x4nezy6qwjnx7O8snhghn34a", app);
	assert_ok(secret_app_slot(bytes_string("app12-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a"),
				  &slot_id));
	assert_int_equal(slot_id, 12);
	/* The slot id is under the checksum, without leading zeros, and 32 bits. */
	assert_normal("app13-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a", NULL);
	assert_normal("app012-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a", NULL);
	assert_normal("app-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a", NULL);
	assert_normal("app4294967308-n3jmj-6x4ne-zy6qw-jnx70-8snhg-hn34a", NULL);
	assert_int_equal(secret_app_slot(bytes_string(recovery), &slot_id), ERR_INVALID);
	assert_normal("", NULL);
	assert_normal("RC", NULL);
	assert_normal("a password", NULL);
	assert_normal("RCN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7", NULL);
	assert_normal("RCN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7CC", NULL);
	assert_normal("RCN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7U", NULL);
	assert_normal("INVN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7C", NULL);
}

/* Each single wrong digit, and each swap of neighbours, is noticed but for one in 2^15. */
static void test_checksum(void **state)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	char code[] = "RCN3JMJ6X4NEZY6QWJNX708SNHGHNZ73NYE7C";
	struct buf out = {0};

	(void)state;
	for (size_t i = 2; code[i] != 0; i++)
		for (size_t digit = 0; digit < 32; digit++) {
			char before = code[i];

			code[i] = alphabet[digit];
			assert_int_equal(secret_normalise_code(bytes_string(code), &out),
					 before == alphabet[digit] ? ERR_OK : ERR_INVALID);
			code[i] = before;
		}
	for (size_t i = 2; code[i + 1] != 0; i++) {
		char first = code[i], second = code[i + 1];

		code[i] = second;
		code[i + 1] = first;
		assert_int_equal(secret_normalise_code(bytes_string(code), &out),
				 first == second ? ERR_OK : ERR_INVALID);
		code[i] = first;
		code[i + 1] = second;
	}
	buf_finish(&out);
}

static void test_generated_secrets(void **state)
{
	static const uint32_t slots[] = {0, 1, 12, UINT32_MAX};
	struct buf first = {0}, second = {0}, normal = {0}, again = {0};
	uint32_t slot_id;

	(void)state;
	secret_generate_password(&test.env, &first);
	secret_generate_password(&test.env, &second);
	assert_int_equal(first.size, 20);
	assert_false(bytes_equal(bytes_of_buf(&first), bytes_of_buf(&second)));
	for (size_t i = 0; i < first.size; i++)
		assert_non_null(memchr("0123456789abcdefghjkmnpqrstvwxyz", first.data[i], 32));
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		buf_clear(&first);
		secret_generate_app(&test.env, slots[i], &first);
		assert_ok(secret_app_slot(bytes_of_buf(&first), &slot_id));
		assert_true(slot_id == slots[i]);
	}
	buf_clear(&first);
	secret_generate_invitation(&test.env, &first);
	assert_int_equal(first.size, 3 + 25 + 5);
	assert_memory_equal(first.data, "INV-", 4);
	assert_ok(secret_normalise_code(bytes_of_buf(&first), &normal));
	assert_ok(secret_normalise_code(bytes_of_buf(&normal), &again));
	assert_true(bytes_equal(bytes_of_buf(&normal), bytes_of_buf(&again)));
	buf_finish(&first);
	buf_finish(&second);
	buf_finish(&normal);
	buf_finish(&again);
}

/* ---- memory ---- */

static void test_every_allocation_may_fail(void **state)
{
	struct buf secret = {0}, slot = {0};
	struct slot_info info = fast_slot(SLOT_APP);
	bool failed;

	(void)state;
	FOR_EACH_ALLOCATION(failed)
	{
		buf_finish(&secret);
		secret_generate_app(&test.env, 5, &secret);
		failed = secret.err == ERR_NOMEM;
	}
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err;

		buf_finish(&slot);
		err = create(&info, bytes_of_buf(&secret), &slot);
		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		assert_true(!failed || slot.size == 0);
	}
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err = open_with(&slot, bytes_of_buf(&secret));

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
	}
	buf_finish(&secret);
	buf_finish(&slot);
}

static void test_no_residue(void **state)
{
	uint8_t masked[20];
	struct buf secret = {0}, slot = {0};

	(void)state;
	secret_generate_password(&test.env, &secret);
	for (size_t i = 0; i < sizeof(masked); i++)
		masked[i] = secret.data[i] ^ RESIDUE_MASK;
	assert_int_equal(residue_count(masked, sizeof(masked)), 1);
	assert_ok(create(&password_slot, bytes_of_buf(&secret), &slot));
	assert_ok(open_with(&slot, bytes_of_buf(&secret)));
	buf_finish(&secret);
	assert_int_equal(residue_count(masked, sizeof(masked)), 0);
	buf_finish(&slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef AEROSTORE_NULL_CIPHER
		cmocka_unit_test(test_known_answers),
#endif
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_app_passwords),
		cmocka_unit_test(test_invitations),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_bit_flips_and_truncations),
		cmocka_unit_test(test_what_is_not_a_slot),
		cmocka_unit_test(test_parameters_out_of_range_do_no_work),
		cmocka_unit_test(test_nobody_costs_the_same),
		cmocka_unit_test(test_commitment),
		cmocka_unit_test(test_in_a_task),
		cmocka_unit_test(test_normal_forms),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_generated_secrets),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_no_residue),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
