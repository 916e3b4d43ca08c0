/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/account/statement.h"
#include "tests/support/unit_env.h"

#define RECORDS_MAX 64u

static struct unit_env test;
static struct key *admin;
static uint8_t admin_public[PUBLIC_SIZE];
static const struct id128 cluster = {{0x55}};

static int setup(void **state)
{
	(void)state;
	unit_env_init(&test, 42);
	if (key_library_init() != ERR_OK || key_random(&test.env, &admin) != ERR_OK)
		return -1;
	sign_public(admin, admin_public);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	key_release(&admin);
	return key_count() == 0 ? 0 : -1;
}

/* Records of a test, owned. */
struct records {
	struct buf list[RECORDS_MAX];
	size_t count;
};

static struct buf *next_record(struct records *records)
{
	assert_true(records->count < RECORDS_MAX);
	return &records->list[records->count++];
}

static void records_finish(struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		buf_finish(&records->list[i]);
	records->count = 0;
}

static struct account_keys fresh_keys(void)
{
	struct account_keys keys;
	struct key *master;

	assert_ok(key_random(&test.env, &master));
	assert_ok(account_keys_derive(master, &keys));
	key_release(&master);
	return keys;
}

static struct id128 birth_of(const char *address, const struct account_keys *keys,
			     struct records *records)
{
	struct id128 id;

	assert_ok(account_make_birth(&test.env, admin, cluster, bytes_string(address), keys, &id,
				     next_record(records)));
	return id;
}

/* An app slot: quick to make. */
static struct buf a_slot(struct id128 account, uint32_t slot_id, const struct key *master)
{
	struct slot_info info = {.kind = SLOT_APP, .slot_id = slot_id};
	struct buf secret = {0}, slot = {0};

	secret_generate_app(&test.env, slot_id, &secret);
	assert_ok(slot_create(&test.env, &info, cluster, account, bytes_of_buf(&secret), master,
			      &slot));
	buf_finish(&secret);
	return slot;
}

static void slots_of(struct id128 account, const struct account_keys *keys, uint64_t counter,
		     uint32_t slot_id, struct records *records)
{
	struct buf slot = a_slot(account, slot_id, keys->master);
	struct bytes bytes = bytes_of_buf(&slot);

	assert_ok(account_make_slots(keys->identity, cluster, account, counter, false, &bytes, 1,
				     next_record(records)));
	buf_finish(&slot);
}

static void rotation_of(struct id128 account, const struct account_keys *old,
			const struct account_keys *next, uint64_t counter, uint32_t slot_id,
			struct records *records)
{
	struct buf slot = a_slot(account, slot_id, next->master);
	struct bytes bytes = bytes_of_buf(&slot);

	assert_ok(account_make_keys(old->identity, cluster, account, counter, next, true, &bytes, 1,
				    next_record(records)));
	buf_finish(&slot);
}

static void status_of(struct id128 account, enum account_status status, uint64_t now_ms,
		      struct records *records)
{
	const struct account_record record = {.id = account};

	assert_ok(
		account_make_status(admin, cluster, &record, status, now_ms, next_record(records)));
}

static struct account_table *a_table(void)
{
	struct account_table *table;

	assert_ok(account_table_create(cluster, admin_public, &table));
	return table;
}

static enum err apply(struct account_table *table, const struct buf *record)
{
	return account_table_apply(table, bytes_of_buf(record));
}

static void assert_identity(const struct account_record *record, const struct account_keys *keys)
{
	uint8_t public_key[PUBLIC_SIZE];

	sign_public(keys->identity, public_key);
	assert_memory_equal(record->identity_public, public_key, PUBLIC_SIZE);
	x25519_public(keys->delivery, public_key);
	assert_memory_equal(record->delivery_public, public_key, X25519_SIZE);
}

/* ---- the life of an account ---- */

static void test_life(void **state)
{
	struct account_table *table = a_table();
	struct account_keys first = fresh_keys(), second = fresh_keys();
	const struct account_record *record;
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &first, &records);

	(void)state;
	slots_of(id, &first, 1, 11, &records);
	rotation_of(id, &first, &second, 2, 12, &records);
	slots_of(id, &second, 3, 13, &records);
	status_of(id, ACCOUNT_DISABLED, 100, &records);
	status_of(id, ACCOUNT_ACTIVE, 200, &records);
	status_of(id, ACCOUNT_DELETED, 300, &records);
	status_of(id, ACCOUNT_ACTIVE, 400, &records);

	assert_null(account_table_find(table, bytes_string("alice@example.org")));
	assert_ok(apply(table, &records.list[0]));
	record = account_table_find(table, bytes_string("alice@example.org"));
	assert_non_null(record);
	assert_true(id128_equal(record->id, id));
	assert_string_equal(record->address, "alice@example.org");
	assert_int_equal(record->status, ACCOUNT_ACTIVE);
	assert_false(id128_is_zero(record->tag) || id128_is_zero(record->stream));
	assert_true(record->created_ms == env_wall_ms(&test.env));
	assert_int_equal(record->slot_count, 0);
	assert_identity(record, &first);
	assert_ptr_equal(account_table_by_id(table, id), record);
	assert_null(account_table_find(table, bytes_string("alice@example.or")));
	assert_null(account_table_find(table, bytes_string("alice@example.orgx")));

	assert_ok(apply(table, &records.list[1]));
	assert_int_equal(record->slot_count, 1);
	assert_int_equal(record->slots[0].info.slot_id, 11);
	assert_true(record->counter == 1 && !record->enrolled);
	assert_ok(apply(table, &records.list[2]));
	assert_identity(record, &second);
	assert_int_equal(record->slots[0].info.slot_id, 12);
	assert_true(record->counter == 2 && record->enrolled);
	assert_ok(apply(table, &records.list[3]));
	assert_int_equal(record->slots[0].info.slot_id, 13);
	assert_true(record->counter == 3 && record->enrolled);
	/* Old news changes nothing. */
	assert_ok(apply(table, &records.list[1]));
	assert_ok(apply(table, &records.list[2]));
	assert_int_equal(record->slots[0].info.slot_id, 13);

	assert_ok(apply(table, &records.list[4]));
	assert_int_equal(record->status, ACCOUNT_DISABLED);
	assert_ok(apply(table, &records.list[5]));
	assert_int_equal(record->status, ACCOUNT_ACTIVE);
	assert_ok(apply(table, &records.list[6]));
	assert_ok(apply(table, &records.list[7]));
	assert_null(account_table_find(table, bytes_string("alice@example.org")));
	record = account_table_by_id(table, id);
	assert_int_equal(record->status, ACCOUNT_DELETED);
	assert_int_equal(account_table_count(table), 1);
	records_finish(&records);
	account_keys_release(&first);
	account_keys_release(&second);
	account_table_destroy(&table);
	assert_null(table);
}

/* A status follows what it replaces even when the clock went back. */
static void test_clock_goes_back(void **state)
{
	struct account_table *table = a_table();
	struct account_keys keys = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &keys, &records);

	(void)state;
	status_of(id, ACCOUNT_DISABLED, 5000, &records);
	assert_ok(apply(table, &records.list[0]));
	assert_ok(apply(table, &records.list[1]));
	assert_ok(account_make_status(admin, cluster, account_table_by_id(table, id),
				      ACCOUNT_ACTIVE, 10, next_record(&records)));
	assert_ok(apply(table, &records.list[2]));
	assert_int_equal(account_table_by_id(table, id)->status, ACCOUNT_ACTIVE);
	records_finish(&records);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

/* ---- who may sign ---- */

static void test_strangers(void **state)
{
	struct account_table *table = a_table(), *elsewhere;
	struct account_keys keys = fresh_keys(), stranger = fresh_keys();
	struct key *false_admin = stranger.master;
	struct account_record forged;
	struct records records = {.count = 0}, bad = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &keys, &records), other;
	const struct account_record *record;

	(void)state;
	assert_ok(apply(table, &records.list[0]));
	record = account_table_by_id(table, id);
	forged = *record;
	/* Not the admin. */
	assert_ok(account_make_birth(&test.env, false_admin, cluster, bytes_string("b@example.org"),
				     &stranger, &other, next_record(&bad)));
	assert_ok(account_make_status(false_admin, cluster, &forged, ACCOUNT_DELETED, 1,
				      next_record(&bad)));
	/* Not the identity: its own slots, its own keys, itself as successor. */
	slots_of(id, &stranger, 5, 66, &bad);
	rotation_of(id, &stranger, &stranger, 6, 67, &bad);
	for (size_t i = 0; i < bad.count; i++)
		assert_int_equal(apply(table, &bad.list[i]), ERR_AUTH);
	assert_identity(record, &keys);
	assert_int_equal(record->slot_count, 0);
	assert_int_equal(account_table_count(table), 1);
	/* Another cluster's records, though its admin has the same key. */
	assert_ok(account_table_create((struct id128){{0x56}}, admin_public, &elsewhere));
	assert_int_equal(apply(elsewhere, &records.list[0]), ERR_AUTH);
	account_table_destroy(&elsewhere);
	records_finish(&records);
	records_finish(&bad);
	account_keys_release(&keys);
	account_keys_release(&stranger);
	account_table_destroy(&table);
}

static void test_old_identities_sign_nothing_more(void **state)
{
	struct account_table *table = a_table();
	struct account_keys first = fresh_keys(), second = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &first, &records);

	(void)state;
	rotation_of(id, &first, &second, 1, 12, &records);
	slots_of(id, &first, 9, 66, &records);
	for (size_t i = 0; i < records.count; i++)
		assert_ok(apply(table, &records.list[i]));
	assert_int_equal(account_table_by_id(table, id)->slots[0].info.slot_id, 12);
	records_finish(&records);
	account_keys_release(&first);
	account_keys_release(&second);
	account_table_destroy(&table);
}

/* Two identities that name each other do not make a circle. */
static void test_circles_end(void **state)
{
	struct account_table *table = a_table();
	struct account_keys first = fresh_keys(), second = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &first, &records);

	(void)state;
	rotation_of(id, &first, &second, 1, 12, &records);
	rotation_of(id, &second, &first, 2, 13, &records);
	for (size_t i = 0; i < records.count; i++)
		assert_ok(apply(table, &records.list[i]));
	assert_identity(account_table_by_id(table, id), &first);
	assert_int_equal(account_table_by_id(table, id)->slots[0].info.slot_id, 13);
	records_finish(&records);
	account_keys_release(&first);
	account_keys_release(&second);
	account_table_destroy(&table);
}

/* ---- any order, any number of times ---- */

/* Everything a table says, as text. */
static void describe(const struct account_table *table, struct buf *out)
{
	const struct account_record *record = NULL;

	buf_clear(out);
	while ((record = account_table_next(table, record)) != NULL) {
		uint8_t digest[DIGEST_SIZE];

		digest_256(bytes_make(record->identity_public, PUBLIC_SIZE), digest);
		buf_printf(out, "%s %d %d %d %llu %llu %02x%02x", record->address,
			   record->id.octets[0], (int)record->status, record->enrolled,
			   (unsigned long long)record->counter,
			   (unsigned long long)record->status_ms, digest[0], digest[1]);
		for (size_t i = 0; i < record->slot_count; i++)
			buf_printf(out, " %u:%zu", record->slots[i].info.slot_id,
				   record->slots[i].encoded.size);
		buf_put_string(out,
			       account_table_find(table, bytes_string(record->address)) == record
				       ? " found\n"
				       : "\n");
	}
	assert_int_equal(out->err, ERR_OK);
}

/* Three accounts, two with one address, with forks and rotations, deletions and strangers. */
static void make_history(struct records *records, struct account_keys keys[6])
{
	struct id128 alice, bob, twin;

	for (size_t i = 0; i < 6; i++)
		keys[i] = fresh_keys();
	alice = birth_of("alice@example.org", &keys[0], records);
	bob = birth_of("bob@example.org", &keys[3], records);
	test.now_ms++;
	twin = birth_of("alice@example.org", &keys[5], records);
	slots_of(alice, &keys[0], 1, 1, records);
	slots_of(alice, &keys[0], 2, 2, records);
	slots_of(alice, &keys[0], 2, 3, records);
	/* Both sides of a cut rotate. */
	rotation_of(alice, &keys[0], &keys[1], 3, 4, records);
	rotation_of(alice, &keys[0], &keys[2], 3, 5, records);
	slots_of(alice, &keys[1], 4, 6, records);
	slots_of(alice, &keys[2], 4, 7, records);
	rotation_of(alice, &keys[1], &keys[4], 5, 8, records);
	rotation_of(alice, &keys[2], &keys[4], 6, 9, records);
	slots_of(alice, &keys[4], 6, 10, records);
	slots_of(alice, &keys[4], 7, 11, records);
	slots_of(bob, &keys[3], 1, 1, records);
	slots_of(bob, &keys[0], 9, 2, records);
	status_of(bob, ACCOUNT_DISABLED, 50, records);
	status_of(bob, ACCOUNT_ACTIVE, 50, records);
	status_of(alice, ACCOUNT_ACTIVE, 80, records);
	status_of(alice, ACCOUNT_DELETED, 70, records);
	slots_of(twin, &keys[5], 1, 1, records);
}

static void shuffle(size_t *order, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)unit_env_below(&test, i), swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
}

static enum err copy_into(void *context, struct bytes record)
{
	enum err err = account_table_apply(context, record);

	return err == ERR_AUTH ? ERR_OK : err;
}

static void test_any_order(void **state)
{
	struct records records = {.count = 0};
	struct account_keys keys[6];
	struct buf expected = {0}, got = {0};
	size_t order[2 * RECORDS_MAX];

	(void)state;
	make_history(&records, keys);
	for (size_t round = 0; round < 400; round++) {
		struct account_table *table = a_table(), *other = a_table();
		size_t count = 2 * records.count, half = unit_env_below(&test, count);

		for (size_t i = 0; i < count; i++)
			order[i] = i % records.count;
		if (round > 0)
			shuffle(order, count);
		/* Grouped: a part is merged elsewhere first, and comes as an export. */
		for (size_t i = 0; i < half; i++)
			assert_ok(copy_into(other, bytes_of_buf(&records.list[order[i]])));
		for (size_t i = half; i < count; i++)
			assert_ok(copy_into(table, bytes_of_buf(&records.list[order[i]])));
		assert_ok(account_table_export(other, copy_into, table));
		describe(table, round == 0 ? &expected : &got);
		if (round > 0 && !bytes_equal(bytes_of_buf(&expected), bytes_of_buf(&got)))
			fail_msg("round %zu:\n%.*s\nexpected:\n%.*s", round, (int)got.size,
				 (const char *)got.data, (int)expected.size,
				 (const char *)expected.data);
		account_table_destroy(&table);
		account_table_destroy(&other);
	}
	assert_true(expected.size > 100);
	for (size_t i = 0; i < 6; i++)
		account_keys_release(&keys[i]);
	records_finish(&records);
	buf_finish(&expected);
	buf_finish(&got);
}

/* What is kept aside takes effect as soon as its predecessor comes. */
static void test_out_of_chain_order(void **state)
{
	struct account_table *table = a_table();
	struct account_keys first = fresh_keys(), second = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &first, &records);

	(void)state;
	rotation_of(id, &first, &second, 1, 12, &records);
	slots_of(id, &second, 2, 13, &records);
	status_of(id, ACCOUNT_DISABLED, 10, &records);
	assert_int_equal(apply(table, &records.list[2]), ERR_AUTH);
	assert_int_equal(apply(table, &records.list[2]), ERR_AUTH);
	assert_ok(apply(table, &records.list[3]));
	assert_null(account_table_by_id(table, id));
	assert_int_equal(account_table_count(table), 0);
	assert_ok(apply(table, &records.list[0]));
	assert_identity(account_table_by_id(table, id), &first);
	assert_int_equal(account_table_by_id(table, id)->status, ACCOUNT_DISABLED);
	assert_ok(apply(table, &records.list[1]));
	assert_identity(account_table_by_id(table, id), &second);
	assert_int_equal(account_table_by_id(table, id)->slots[0].info.slot_id, 13);
	records_finish(&records);
	account_keys_release(&first);
	account_keys_release(&second);
	account_table_destroy(&table);
}

/* ---- bounds ---- */

/* Strangers fill what is kept aside for an account, and no more; the true chain goes on. */
static void test_parked_are_bounded(void **state)
{
	struct account_table *table = a_table();
	struct account_keys keys = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &keys, &records);

	(void)state;
	assert_ok(apply(table, &records.list[0]));
	for (size_t i = 0; i < ACCOUNT_PARKED_MAX + 5; i++) {
		struct account_keys stranger = fresh_keys();
		struct records bad = {.count = 0};

		slots_of(id, &stranger, 1, 1, &bad);
		assert_int_equal(apply(table, &bad.list[0]),
				 i < ACCOUNT_PARKED_MAX ? ERR_AUTH : ERR_LIMIT);
		records_finish(&bad);
		account_keys_release(&stranger);
	}
	slots_of(id, &keys, 1, 12, &records);
	assert_ok(apply(table, &records.list[1]));
	assert_int_equal(account_table_by_id(table, id)->slot_count, 1);
	records_finish(&records);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

static void test_unborn_are_bounded(void **state)
{
	struct account_table *table = a_table();
	struct account_keys keys = fresh_keys();
	struct records records = {.count = 0};

	(void)state;
	for (size_t i = 0; i < TABLE_PARKED_MAX + 5; i++) {
		struct id128 id = env_random_id(&test.env);

		assert_ok(account_make_slots(keys.identity, cluster, id, 1, false, NULL, 0,
					     next_record(&records)));
		assert_int_equal(apply(table, &records.list[0]),
				 i < TABLE_PARKED_MAX ? ERR_AUTH : ERR_LIMIT);
		records_finish(&records);
	}
	assert_int_equal(account_table_count(table), 0);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

static void test_slots_are_bounded(void **state)
{
	struct account_keys keys = fresh_keys();
	struct bytes slots[ACCOUNT_SLOT_MAX + 1];
	struct buf encoded[ACCOUNT_SLOT_MAX + 1], record = {0};
	struct account_table *table = a_table();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &keys, &records);

	(void)state;
	for (uint32_t i = 0; i <= ACCOUNT_SLOT_MAX; i++) {
		encoded[i] = a_slot(id, i, keys.master);
		slots[i] = bytes_of_buf(&encoded[i]);
	}
	assert_int_equal(account_make_slots(keys.identity, cluster, id, 1, false, slots,
					    ACCOUNT_SLOT_MAX + 1, &record),
			 ERR_LIMIT);
	assert_ok(account_make_slots(keys.identity, cluster, id, 1, false, slots, ACCOUNT_SLOT_MAX,
				     &record));
	assert_ok(apply(table, &records.list[0]));
	assert_ok(apply(table, &record));
	assert_int_equal(account_table_by_id(table, id)->slot_count, ACCOUNT_SLOT_MAX);
	buf_clear(&record);
	slots[1] = slots[0];
	assert_int_equal(
		account_make_slots(keys.identity, cluster, id, 1, false, slots, 2, &record),
		ERR_INVALID);
	slots[1] = bytes_string("");
	assert_int_equal(
		account_make_keys(keys.identity, cluster, id, 1, &keys, false, slots, 2, &record),
		ERR_CORRUPT);
	assert_int_equal(record.size, 0);
	for (size_t i = 0; i <= ACCOUNT_SLOT_MAX; i++)
		buf_finish(&encoded[i]);
	buf_finish(&record);
	records_finish(&records);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

/* ---- bytes ---- */

static void test_damage(void **state)
{
	struct account_table *table = a_table();
	struct account_keys first = fresh_keys(), second = fresh_keys();
	struct records records = {.count = 0};
	struct id128 id = birth_of("alice@example.org", &first, &records);

	(void)state;
	slots_of(id, &first, 1, 1, &records);
	rotation_of(id, &first, &second, 2, 2, &records);
	status_of(id, ACCOUNT_DISABLED, 9, &records);
	for (size_t n = 0; n < records.count; n++) {
		struct buf *record = &records.list[n];

		for (size_t bit = 0; bit < record->size * 8; bit++) {
			enum err err;

			record->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = apply(table, record);
			assert_true(err == ERR_AUTH || err == ERR_CORRUPT || err == ERR_NEWER);
			record->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t size = 0; size < record->size; size++) {
			enum err err = account_table_apply(table, bytes_make(record->data, size));

			assert_true(err == ERR_AUTH || err == ERR_CORRUPT);
		}
		buf_put_u8(record, 0);
		assert_int_equal(apply(table, record), ERR_CORRUPT);
	}
	assert_int_equal(account_table_count(table), 0);
	records_finish(&records);
	account_keys_release(&first);
	account_keys_release(&second);
	account_table_destroy(&table);
}

/* Signed well, but not what a record may say. */
static void test_signed_nonsense(void **state)
{
	static const struct {
		size_t offset;
		uint8_t value;
		enum err expected;
	} cases[] = {
		{0, 0, ERR_CORRUPT},  {0, 2, ERR_NEWER},     {1, 0, ERR_CORRUPT},
		{1, 2, ERR_NEWER},    {2, 0, ERR_CORRUPT},   {2, 5, ERR_CORRUPT},
		{3, 1, ERR_CORRUPT},  {3, 128, ERR_CORRUPT}, {4, 1, ERR_CORRUPT},
		{7, 1, ERR_CORRUPT},  {48, 0, ERR_CORRUPT},  {48, 4, ERR_CORRUPT},
		{49, 1, ERR_CORRUPT}, {55, 1, ERR_CORRUPT},
	};
	struct account_table *table = a_table();
	struct records records = {.count = 0};
	struct buf *record;

	(void)state;
	status_of((struct id128){{7}}, ACCOUNT_DISABLED, 9, &records);
	record = &records.list[0];
	assert_int_equal(record->size, 56 + SIGNATURE_SIZE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t before = record->data[cases[i].offset];

		record->data[cases[i].offset] = cases[i].value;
		sign_bytes(admin, LABEL_STATUS, bytes_make(record->data, 56), record->data + 56);
		assert_int_equal(apply(table, record), cases[i].expected);
		record->data[cases[i].offset] = before;
	}
	/* No account has the id zero. */
	record->data[32] = 0;
	sign_bytes(admin, LABEL_STATUS, bytes_make(record->data, 56), record->data + 56);
	assert_int_equal(apply(table, record), ERR_CORRUPT);
	record->data[32] = 7;
	sign_bytes(admin, LABEL_STATUS, bytes_make(record->data, 56), record->data + 56);
	assert_ok(apply(table, record));
	records_finish(&records);
	account_table_destroy(&table);
}

static void test_birth_wants_a_normal_address(void **state)
{
	struct account_table *table = a_table();
	struct account_keys keys = fresh_keys();
	struct records records = {.count = 0};
	struct buf record = {0};
	struct id128 id;

	(void)state;
	assert_int_equal(account_make_birth(&test.env, admin, cluster,
					    bytes_string("Alice@example.org"), &keys, &id, &record),
			 ERR_INVALID);
	assert_int_equal(account_make_birth(&test.env, admin, cluster, bytes_string("alice"), &keys,
					    &id, &record),
			 ERR_INVALID);
	birth_of("alice@example.org", &keys, &records);
	records.list[0].data[146] = 'A';
	sign_bytes(admin, LABEL_BIRTH, bytes_make(records.list[0].data, 146 + 17),
		   records.list[0].data + 146 + 17);
	assert_int_equal(apply(table, &records.list[0]), ERR_CORRUPT);
	records_finish(&records);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

/* ---- many ---- */

static void test_address_order(void **state)
{
	struct account_table *table = a_table();
	struct account_keys keys = fresh_keys();
	const struct account_record *record = NULL, *before = NULL;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		struct records records = {.count = 0};
		char address[64];
		struct id128 id;

		snprintf(address, sizeof(address), "user%llu@example.org",
			 (unsigned long long)unit_env_below(&test, 200));
		id = birth_of(address, &keys, &records);
		if (i % 3 == 0)
			status_of(id, ACCOUNT_DELETED, 1, &records);
		for (size_t n = 0; n < records.count; n++)
			assert_ok(apply(table, &records.list[n]));
		records_finish(&records);
	}
	while ((record = account_table_next(table, record)) != NULL) {
		assert_true(before == NULL || strcmp(before->address, record->address) <= 0);
		assert_true(before == NULL || strcmp(before->address, record->address) < 0 ||
			    record->status == ACCOUNT_DELETED || before->status != ACCOUNT_DELETED);
		if (before == NULL || strcmp(before->address, record->address) != 0)
			assert_ptr_equal(account_table_find(table, bytes_string(record->address)),
					 record->status == ACCOUNT_DELETED ? NULL : record);
		before = record;
		count++;
	}
	assert_int_equal(count, 300);
	assert_int_equal(account_table_count(table), 300);
	account_keys_release(&keys);
	account_table_destroy(&table);
}

/* After each failure the same record is applied again, and the end is as without any. */
static void test_every_allocation_may_fail(void **state)
{
	struct records records = {.count = 0};
	struct account_keys keys[6];
	struct account_table *table = a_table(), *undisturbed = a_table();
	struct buf expected = {0}, got = {0};
	bool failed;

	(void)state;
	make_history(&records, keys);
	for (size_t i = 0; i < records.count; i++) {
		assert_ok(copy_into(undisturbed, bytes_of_buf(&records.list[i])));
		FOR_EACH_ALLOCATION(failed)
		{
			enum err err = copy_into(table, bytes_of_buf(&records.list[i]));

			failed = err == ERR_NOMEM;
			assert_true(failed || err == ERR_OK);
		}
	}
	describe(undisturbed, &expected);
	describe(table, &got);
	assert_true(bytes_equal(bytes_of_buf(&expected), bytes_of_buf(&got)));
	for (size_t i = 0; i < 6; i++)
		account_keys_release(&keys[i]);
	FOR_EACH_ALLOCATION(failed)
	{
		struct account_table *one;
		enum err err = account_table_create(cluster, admin_public, &one);

		failed = err == ERR_NOMEM;
		if (!failed)
			account_table_destroy(&one);
	}
	records_finish(&records);
	buf_finish(&expected);
	buf_finish(&got);
	account_table_destroy(&table);
	account_table_destroy(&undisturbed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_old_identities_sign_nothing_more),
		cmocka_unit_test(test_circles_end),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_out_of_chain_order),
		cmocka_unit_test(test_parked_are_bounded),
		cmocka_unit_test(test_unborn_are_bounded),
		cmocka_unit_test(test_slots_are_bounded),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_signed_nonsense),
		cmocka_unit_test(test_birth_wants_a_normal_address),
		cmocka_unit_test(test_address_order),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
