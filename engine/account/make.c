/* SPDX-License-Identifier: MPL-2.0 */
/* Making records, and the keys of an account. */
#include <string.h>

#include "engine/account/statement.h"
#include "engine/base/assert.h"

static const struct bytes no_context;

enum err account_keys_derive(struct key *master, struct account_keys *out)
{
	struct account_keys keys = {.master = key_reference(master)};
	enum err err;

	err = key_derive(master, "aerostore account directory", no_context, &keys.directory);
	if (err == ERR_OK)
		err = key_derive(master, "aerostore account identity", no_context, &keys.identity);
	if (err == ERR_OK)
		err = key_derive(master, "aerostore account delivery", no_context, &keys.delivery);
	if (err != ERR_OK) {
		account_keys_release(&keys);
		return err;
	}
	*out = keys;
	return ERR_OK;
}

void account_keys_release(struct account_keys *keys)
{
	key_release(&keys->master);
	key_release(&keys->directory);
	key_release(&keys->identity);
	key_release(&keys->delivery);
}

/* A record under way: built apart, so that a failure leaves nothing in the caller's buffer. */
static void begin(struct buf *draft, enum statement_type type, bool enrolled, uint64_t number,
		  struct id128 cluster, struct id128 account)
{
	buf_put_u8(draft, 1);
	buf_put_u8(draft, SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519);
	buf_put_u8(draft, (uint8_t)type);
	buf_put_u8(draft, enrolled ? STATEMENT_FLAG_ENROLLED : 0);
	buf_put_zeros(draft, 4);
	buf_put_u64(draft, number);
	buf_put_id(draft, cluster);
	buf_put_id(draft, account);
}

static void put_identity(struct buf *draft, const struct key *identity)
{
	uint8_t public_key[PUBLIC_SIZE];

	sign_public(identity, public_key);
	buf_put(draft, public_key, sizeof(public_key));
}

static void put_delivery(struct buf *draft, const struct key *delivery)
{
	uint8_t public_key[X25519_SIZE];

	x25519_public(delivery, public_key);
	buf_put(draft, public_key, sizeof(public_key));
}

static void put_slots(struct buf *draft, const struct bytes *slots, size_t slot_count)
{
	buf_put_u16(draft, (uint16_t)slot_count);
	for (size_t i = 0; i < slot_count; i++) {
		buf_put_u16(draft, (uint16_t)slots[i].size);
		buf_put_bytes(draft, slots[i]);
	}
}

/* Signs the first `signed_size` bytes. */
static void put_signature(struct buf *draft, size_t signed_size, const struct key *seed,
			  const char *label)
{
	uint8_t signature[SIGNATURE_SIZE];

	if (draft->err != ERR_OK)
		return;
	sign_bytes(seed, label, bytes_make(draft->data, signed_size), signature);
	buf_put(draft, signature, sizeof(signature));
}

static enum err finish(struct buf *draft, struct buf *record)
{
	enum err err = draft->err;

	if (err == ERR_OK) {
		buf_put_bytes(record, bytes_of_buf(draft));
		err = record->err;
	}
	buf_finish(draft);
	return err;
}

enum err account_make_birth(struct env *env, const struct key *admin, struct id128 cluster,
			    struct bytes normalised_address, const struct account_keys *keys,
			    struct id128 *account_id, struct buf *record)
{
	struct id128 id = env_random_id(env);
	struct buf draft = {0}, normal = {0};
	bool is_normal;
	enum err err;

	err = address_normalise(normalised_address, &normal);
	is_normal = bytes_equal(bytes_of_buf(&normal), normalised_address);
	buf_finish(&normal);
	if (err != ERR_OK || !is_normal)
		return err != ERR_OK ? err : ERR_INVALID;
	begin(&draft, STATEMENT_BIRTH, false, env_wall_ms(env), cluster, id);
	buf_put_id(&draft, env_random_id(env));
	buf_put_id(&draft, env_random_id(env));
	put_identity(&draft, keys->identity);
	put_delivery(&draft, keys->delivery);
	buf_put_u16(&draft, (uint16_t)normalised_address.size);
	buf_put_bytes(&draft, normalised_address);
	put_signature(&draft, draft.size, admin, LABEL_BIRTH);
	err = finish(&draft, record);
	if (err == ERR_OK)
		*account_id = id;
	return err;
}

enum err account_make_status(const struct key *admin, struct id128 cluster,
			     const struct account_record *account, enum account_status status,
			     uint64_t now_ms, struct buf *record)
{
	struct buf draft = {0};

	begin(&draft, STATEMENT_STATUS, false,
	      now_ms > account->status_ms ? now_ms : account->status_ms + 1, cluster, account->id);
	buf_put_u8(&draft, (uint8_t)status);
	buf_put_zeros(&draft, 7);
	put_signature(&draft, draft.size, admin, LABEL_STATUS);
	return finish(&draft, record);
}

enum err account_make_slots(const struct key *identity, struct id128 cluster, struct id128 account,
			    uint64_t counter, bool enrolled, const struct bytes *slots,
			    size_t slot_count, struct buf *record)
{
	struct buf draft = {0};
	enum err err;

	ASSERT(counter > 0);
	err = statement_check_slots(slots, slot_count);
	if (err != ERR_OK)
		return err;
	begin(&draft, STATEMENT_SLOTS, enrolled, counter, cluster, account);
	put_identity(&draft, identity);
	put_slots(&draft, slots, slot_count);
	put_signature(&draft, draft.size, identity, LABEL_SLOTS);
	return finish(&draft, record);
}

enum err account_make_keys(const struct key *old_identity, struct id128 cluster,
			   struct id128 account, uint64_t counter, const struct account_keys *next,
			   bool enrolled, const struct bytes *slots, size_t slot_count,
			   struct buf *record)
{
	struct buf draft = {0};
	size_t signed_size;
	enum err err;

	ASSERT(counter > 0);
	err = statement_check_slots(slots, slot_count);
	if (err != ERR_OK)
		return err;
	begin(&draft, STATEMENT_KEYS, enrolled, counter, cluster, account);
	put_identity(&draft, old_identity);
	put_identity(&draft, next->identity);
	put_delivery(&draft, next->delivery);
	put_slots(&draft, slots, slot_count);
	signed_size = draft.size;
	put_signature(&draft, signed_size, old_identity, LABEL_KEYS);
	put_signature(&draft, signed_size, next->identity, LABEL_NEXT_KEYS);
	return finish(&draft, record);
}
