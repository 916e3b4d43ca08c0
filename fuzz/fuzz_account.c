/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The account table. The input is a list of records in short; the target writes them out, signs them
 * with the keys that they name, and applies them forwards, backwards, and from an export: one state.
 * A record in short: kind, account, signer, next identity, number, slots or status or address; kind 4
 * takes a length and the body of a record as it stands.
 */
#include "engine/account/statement.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

#define RECORDS_MAX 24u
#define SEEDS 4u
#define ACCOUNTS 3u

static struct unit_env env;
static const struct id128 cluster = {{0x55}};
static struct key *admin, *seeds[SEEDS];
static uint8_t admin_public[PUBLIC_SIZE], publics[SEEDS][PUBLIC_SIZE];
static struct buf slot;

static const char *const addresses[] = {"a@example.org", "b@example.org", "straße@example.org",
					"\"a b\"@example.org"};

static void prepare(void)
{
	static const struct slot_info info = {.kind = SLOT_APP, .slot_id = 1};
	static const struct id128 account = {{1}};
	struct buf secret = {0};

	if (admin != NULL)
		return;
	unit_env_init(&env, 1);
	ASSERT(key_library_init() == ERR_OK);
	ASSERT(key_random(&env.env, &admin) == ERR_OK);
	sign_public(admin, admin_public);
	for (unsigned i = 0; i < SEEDS; i++) {
		ASSERT(key_random(&env.env, &seeds[i]) == ERR_OK);
		sign_public(seeds[i], publics[i]);
	}
	secret_generate_app(&env.env, 1, &secret);
	ASSERT(slot_create(&env.env, &info, cluster, account, bytes_of_buf(&secret), admin,
			   &slot) == ERR_OK);
	buf_finish(&secret);
}

static void sign(const struct key *key, const char *label, struct bytes message, struct buf *record)
{
	uint8_t signature[SIGNATURE_SIZE];

	sign_bytes(key, label, message, signature);
	buf_put(record, signature, sizeof(signature));
}

static void put_slots(unsigned count, struct buf *record)
{
	buf_put_u16(record, (uint16_t)count);
	for (unsigned i = 0; i < count; i++) {
		buf_put_u16(record, (uint16_t)slot.size);
		buf_put_bytes(record, bytes_of_buf(&slot));
		if (record->err == ERR_OK)
			record->data[record->size - slot.size + 4] = (uint8_t)i;
	}
}

static void put_signatures(uint8_t type, unsigned signer, unsigned next, struct buf *record)
{
	struct buf message = {0};

	buf_put_bytes(&message, bytes_of_buf(record));
	if (type == STATEMENT_BIRTH) {
		sign(admin, LABEL_BIRTH, bytes_of_buf(&message), record);
	} else if (type == STATEMENT_STATUS) {
		sign(admin, LABEL_STATUS, bytes_of_buf(&message), record);
	} else if (type == STATEMENT_SLOTS) {
		sign(seeds[signer], LABEL_SLOTS, bytes_of_buf(&message), record);
	} else {
		sign(seeds[signer], LABEL_KEYS, bytes_of_buf(&message), record);
		sign(seeds[next], LABEL_NEXT_KEYS, bytes_of_buf(&message), record);
	}
	buf_finish(&message);
}

static void put_body(uint8_t type, unsigned signer, unsigned next, uint8_t extra,
		     struct buf *record)
{
	switch (type) {
	case STATEMENT_BIRTH:
		buf_put_zeros(record, 32);
		buf_put(record, publics[signer], PUBLIC_SIZE);
		buf_put(record, publics[next], X25519_SIZE);
		buf_put_u16(record, (uint16_t)strlen(addresses[extra % 4]));
		buf_put_string(record, addresses[extra % 4]);
		break;
	case STATEMENT_STATUS:
		buf_put_u8(record, extra % 5);
		buf_put_zeros(record, 7);
		break;
	default:
		buf_put(record, publics[signer], PUBLIC_SIZE);
		if (type == STATEMENT_KEYS) {
			buf_put(record, publics[next], PUBLIC_SIZE);
			buf_put(record, publics[next], X25519_SIZE);
		}
		put_slots(extra % 4, record);
		break;
	}
}

static void put_record(struct cursor *input, struct buf *record)
{
	uint8_t kind = cursor_u8(input), account = cursor_u8(input) % ACCOUNTS;
	unsigned signer = cursor_u8(input) % SEEDS, next = cursor_u8(input) % SEEDS;
	uint8_t number = cursor_u8(input), extra = cursor_u8(input);
	uint8_t type = (uint8_t)(1 + (kind & 3));

	buf_put_u8(record, 1);
	buf_put_u8(record, SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519);
	buf_put_u8(record, type);
	buf_put_u8(record, kind >> 3 & 1);
	buf_put_zeros(record, 4);
	buf_put_u64(record, number);
	buf_put_id(record, cluster);
	buf_put_u8(record, (uint8_t)(account + 1));
	buf_put_zeros(record, 15);
	if ((kind & 4) != 0) {
		if (type >= STATEMENT_KEYS)
			buf_put(record, publics[signer], PUBLIC_SIZE);
		if (type == STATEMENT_KEYS)
			buf_put(record, publics[next], PUBLIC_SIZE);
		buf_put_bytes(record,
			      cursor_take(input,
					  extra < cursor_left(input) ? extra : cursor_left(input)));
	} else {
		put_body(type, signer, next, extra, record);
	}
	put_signatures(type, signer, next, record);
	ASSERT(record->err == ERR_OK);
}

static enum err apply_exported(void *context, struct bytes record)
{
	enum err err = account_table_apply(context, record);

	return err == ERR_AUTH ? ERR_OK : err; /* kept aside, as it was */
}

static void assert_same(const struct account_table *a, const struct account_table *b)
{
	const struct account_record *x = NULL, *y = NULL;

	ASSERT(account_table_count(a) == account_table_count(b));
	for (;;) {
		x = account_table_next(a, x);
		y = account_table_next(b, y);
		ASSERT((x == NULL) == (y == NULL));
		if (x == NULL)
			return;
		ASSERT(id128_equal(x->id, y->id) && x->status == y->status);
		ASSERT(strcmp(x->address, y->address) == 0 && x->counter == y->counter);
		ASSERT(x->status_ms == y->status_ms && x->enrolled == y->enrolled);
		ASSERT(memcmp(x->identity_public, y->identity_public, PUBLIC_SIZE) == 0);
		ASSERT(memcmp(x->delivery_public, y->delivery_public, X25519_SIZE) == 0);
		ASSERT(x->slot_count == y->slot_count && x->slot_count <= ACCOUNT_SLOT_MAX);
		for (size_t i = 0; i < x->slot_count; i++)
			fuzz_assert_equal(x->slots[i].encoded, y->slots[i].encoded);
		ASSERT(account_table_by_id(a, x->id) == x);
		if (x->status != ACCOUNT_DELETED)
			ASSERT(account_table_find(a, bytes_string(x->address)) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	struct buf records[RECORDS_MAX] = {{0}};
	struct account_table *forwards, *backwards, *exported;
	size_t count = 0;

	prepare();
	while (count < RECORDS_MAX && cursor_left(&input) != 0)
		put_record(&input, &records[count++]);
	ASSERT(account_table_create(cluster, admin_public, &forwards) == ERR_OK);
	ASSERT(account_table_create(cluster, admin_public, &backwards) == ERR_OK);
	ASSERT(account_table_create(cluster, admin_public, &exported) == ERR_OK);
	for (size_t i = 0; i < count; i++) {
		(void)!account_table_apply(forwards, bytes_of_buf(&records[i]));
		(void)!account_table_apply(backwards, bytes_of_buf(&records[count - 1 - i]));
	}
	assert_same(forwards, backwards);
	ASSERT(account_table_export(forwards, apply_exported, exported) == ERR_OK);
	assert_same(forwards, exported);
	account_table_destroy(&forwards);
	account_table_destroy(&backwards);
	account_table_destroy(&exported);
	for (size_t i = 0; i < count; i++)
		buf_finish(&records[i]);
	return 0;
}
