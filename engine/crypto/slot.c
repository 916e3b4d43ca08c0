/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/crypto/slot.h"

#include <stdatomic.h>
#include <string.h>

#include <sodium.h>

#include "engine/base/assert.h"
#include "engine/crypto/sealed.h"

#define SLOT_VERSION 1u
#define FLAG_INVITATION 1u
#define SALT_SIZE 32u
#define ARGON2_SALT_SIZE 16u
#define ARGON2_OPERATIONS_MAX 16u
#define ARGON2_MEMORY_KIB_MIN 8u
#define ARGON2_MEMORY_KIB_MAX 1048576u

enum offsets {
	AT_KIND = 2,
	AT_KDF = 3,
	AT_ID = 4,
	AT_OPERATIONS = 8,
	AT_MEMORY = 12,
	AT_FLAGS = 16,
	AT_CREATED = 24,
	AT_SALT = 32,
	AT_COMMITMENT = 64,
	AT_NONCE = 96,
	AT_SEALED = 120,
	SLOT_SIZE = 168,
};

#define BOUND_SIZE ((size_t)AT_COMMITMENT)
#define ASSOCIATED_SIZE (32u + BOUND_SIZE)

enum slot_kdf { KDF_ARGON2ID = 1, KDF_BLAKE2B = 2, KDF_X25519 = 3 };

static_assert(AT_SALT + SALT_SIZE == AT_COMMITMENT, "salt");
static_assert(AT_COMMITMENT + KEY_SIZE == AT_NONCE, "commitment");
static_assert(AT_NONCE + NONCE_SIZE == AT_SEALED, "nonce");
static_assert(AT_SEALED + KEY_SIZE + TAG_SIZE == SLOT_SIZE, "sealed master key");
static_assert((size_t)SLOT_SIZE <= SLOT_ENCODED_MAX, "a slot fits");
static_assert(ARGON2_SALT_SIZE == crypto_pwhash_argon2id_SALTBYTES, "Argon2 salt");

/* Only counts, for tests; jobs on other threads add to it. */
static atomic_uint_fast64_t argon2_runs;

uint64_t slot_argon2_count(void)
{
	return atomic_load(&argon2_runs);
}

static enum slot_kdf kdf_of(enum slot_kind kind)
{
	switch (kind) {
	case SLOT_RECOVERY:
	case SLOT_APP:
		return KDF_BLAKE2B;
	case SLOT_MEMBER:
		return KDF_X25519;
	case SLOT_PASSWORD:
	case SLOT_ENROLMENT:
		break;
	}
	return KDF_ARGON2ID;
}

static bool parameters_allowed(enum slot_kdf kdf, const struct slot_parameters *parameters)
{
	if (kdf != KDF_ARGON2ID)
		return parameters->operations == 0 && parameters->memory_kib == 0;
	return parameters->operations >= 1 && parameters->operations <= ARGON2_OPERATIONS_MAX &&
	       parameters->memory_kib >= ARGON2_MEMORY_KIB_MIN &&
	       parameters->memory_kib <= ARGON2_MEMORY_KIB_MAX;
}

enum err slot_inspect(struct bytes slot, struct slot_info *out)
{
	struct cursor cursor = cursor_make(slot);
	struct slot_info info = {0};
	uint8_t version, suite, kind, kdf, flags;

	version = cursor_u8(&cursor);
	suite = cursor_u8(&cursor);
	if (cursor.err == ERR_OK &&
	    (version > SLOT_VERSION || suite > SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519))
		return ERR_NEWER;
	kind = cursor_u8(&cursor);
	kdf = cursor_u8(&cursor);
	info.slot_id = cursor_u32(&cursor);
	info.parameters.operations = cursor_u32(&cursor);
	info.parameters.memory_kib = cursor_u32(&cursor);
	flags = cursor_u8(&cursor);
	cursor_zeros(&cursor, AT_CREATED - AT_FLAGS - 1);
	info.created_ms = cursor_u64(&cursor);
	cursor_take(&cursor, kdf == KDF_ARGON2ID ? ARGON2_SALT_SIZE : SALT_SIZE);
	cursor_zeros(&cursor, kdf == KDF_ARGON2ID ? SALT_SIZE - ARGON2_SALT_SIZE : 0);
	cursor_take(&cursor, SLOT_SIZE - AT_COMMITMENT);
	if (version != SLOT_VERSION || suite != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519 ||
	    kind < SLOT_PASSWORD || kind > SLOT_MEMBER ||
	    (flags & ~(kind == SLOT_ENROLMENT ? FLAG_INVITATION : 0u)) != 0)
		cursor_fail(&cursor);
	if (cursor_end(&cursor) != ERR_OK || kdf != kdf_of(kind))
		return ERR_CORRUPT;
	info.kind = kind;
	info.is_invitation = flags & FLAG_INVITATION;
	if (!parameters_allowed(kdf, &info.parameters))
		return ERR_INVALID;
	*out = info;
	return ERR_OK;
}

/* ---- from a secret to a root ---- */

/* What the other thread touches; it belongs to a caller who waits. */
struct argon2_job {
	struct bytes secret;
	const uint8_t *salt;
	struct slot_parameters parameters;
	uint8_t *root;
	bool failed;
};

static void run_argon2(void *argument)
{
	struct argon2_job *job = argument;

	atomic_fetch_add(&argon2_runs, 1);
	job->failed =
		crypto_pwhash_argon2id(job->root, KEY_SIZE,
				       job->secret.size != 0 ? (const char *)job->secret.data : "",
				       job->secret.size, job->salt, job->parameters.operations,
				       (size_t)job->parameters.memory_kib * 1024,
				       crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0;
}

WAITS static enum err stretch(const struct slot_parameters *parameters, const uint8_t *salt,
			      struct bytes secret, uint8_t root[KEY_SIZE])
{
	struct argon2_job job = {
		.secret = secret, .salt = salt, .parameters = *parameters, .root = root};
	enum err err = ERR_OK;

	if (secret.size > SLOT_SECRET_MAX)
		return ERR_AUTH;
	if (task_current() != NULL)
		err = task_offload(run_argon2, &job);
	else
		run_argon2(&job);
	if (err == ERR_OK && job.failed)
		err = ERR_UNAVAILABLE;
	return err;
}

/* A code in its normal form, or the secret itself where it is not one. ERR_AUTH: a wrong code. */
static enum err normalise(const struct slot_info *info, struct bytes secret, struct buf *normal,
			  struct bytes *out)
{
	bool is_code = info->kind == SLOT_RECOVERY || info->kind == SLOT_APP || info->is_invitation;
	uint32_t slot_id;
	enum err err;

	*out = secret;
	if (!is_code)
		return ERR_OK;
	if (info->kind == SLOT_APP &&
	    (secret_app_slot(secret, &slot_id) != ERR_OK || slot_id != info->slot_id))
		return ERR_AUTH;
	err = secret_normalise_code(secret, normal);
	*out = bytes_of_buf(normal);
	return err == ERR_INVALID ? ERR_AUTH : err;
}

WAITS static enum err root_of_secret(const struct slot_info *info, const uint8_t salt[SALT_SIZE],
				     struct bytes secret, uint8_t root[KEY_SIZE])
{
	struct buf normal = {0};
	enum err err;

	err = normalise(info, secret, &normal, &secret);
	if (err != ERR_OK)
		goto out;
	if (kdf_of(info->kind) == KDF_ARGON2ID)
		err = stretch(&info->parameters, salt, secret, root);
	else
		kdf_octets(salt, "aerostore slot secret", secret, root);
out:
	buf_finish(&normal);
	return err;
}

/* `scalar` is one side's secret, `point` the other's public key. */
static enum err root_of_agreement(const uint8_t *scalar, const uint8_t *point,
				  const uint8_t *ephemeral_public, const uint8_t *member_public,
				  uint8_t root[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE], context[2 * X25519_SIZE];

	if (crypto_scalarmult(shared, scalar, point) != 0)
		return ERR_AUTH;
	memcpy(context, ephemeral_public, X25519_SIZE);
	memcpy(context + X25519_SIZE, member_public, X25519_SIZE);
	kdf_octets(shared, "aerostore slot member", bytes_make(context, sizeof(context)), root);
	sodium_memzero(shared, sizeof(shared));
	return ERR_OK;
}

static enum err root_for_member(struct env *env, struct bytes member_public,
				uint8_t ephemeral_public[X25519_SIZE], uint8_t root[KEY_SIZE])
{
	uint8_t secret[X25519_SIZE];
	enum err err;

	if (member_public.size != X25519_SIZE)
		return ERR_INVALID;
	env_random(env, secret, sizeof(secret));
	crypto_scalarmult_base(ephemeral_public, secret);
	err = root_of_agreement(secret, member_public.data, ephemeral_public, member_public.data,
				root);
	sodium_memzero(secret, sizeof(secret));
	return err;
}

static enum err root_as_member(struct bytes member_secret, const uint8_t *ephemeral_public,
			       uint8_t root[KEY_SIZE])
{
	uint8_t member_public[X25519_SIZE];

	if (member_secret.size != X25519_SIZE)
		return ERR_AUTH;
	crypto_scalarmult_base(member_public, member_secret.data);
	return root_of_agreement(member_secret.data, ephemeral_public, ephemeral_public,
				 member_public, root);
}

/* ---- from a root to the slot's two values ---- */

struct slot_keys {
	uint8_t associated[ASSOCIATED_SIZE];
	uint8_t encryption[KEY_SIZE];
	uint8_t commitment[KEY_SIZE];
};

static void slot_keys_derive(const uint8_t *slot, struct id128 cluster, struct id128 account,
			     const uint8_t root[KEY_SIZE], struct slot_keys *out)
{
	struct bytes associated;

	memcpy(out->associated, cluster.octets, 16);
	memcpy(out->associated + 16, account.octets, 16);
	memcpy(out->associated + 32, slot, BOUND_SIZE);
	associated = bytes_make(out->associated, ASSOCIATED_SIZE);
	kdf_octets(root, "aerostore slot encryption", associated, out->encryption);
	kdf_octets(root, "aerostore slot commitment", associated, out->commitment);
}

static void encode_clear(const struct slot_info *info, uint8_t slot[SLOT_SIZE])
{
	memset(slot, 0, SLOT_SIZE);
	slot[0] = SLOT_VERSION;
	slot[1] = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519;
	slot[AT_KIND] = (uint8_t)info->kind;
	slot[AT_KDF] = (uint8_t)kdf_of(info->kind);
	store_u32(slot + AT_ID, info->slot_id);
	store_u32(slot + AT_OPERATIONS, info->parameters.operations);
	store_u32(slot + AT_MEMORY, info->parameters.memory_kib);
	slot[AT_FLAGS] = info->is_invitation ? FLAG_INVITATION : 0;
	store_u64(slot + AT_CREATED, info->created_ms);
}

enum err slot_create(struct env *env, const struct slot_info *info, struct id128 cluster,
		     struct id128 account, struct bytes secret, const struct key *master,
		     struct buf *out)
{
	uint8_t slot[SLOT_SIZE], root[KEY_SIZE];
	enum slot_kdf kdf = kdf_of(info->kind);
	struct slot_keys keys;
	enum err err;

	if (!parameters_allowed(kdf, &info->parameters) ||
	    (info->is_invitation && info->kind != SLOT_ENROLMENT))
		return ERR_INVALID;
	encode_clear(info, slot);
	env_random(env, slot + AT_NONCE, NONCE_SIZE);
	if (kdf == KDF_X25519) {
		err = root_for_member(env, secret, slot + AT_SALT, root);
	} else {
		env_random(env, slot + AT_SALT, kdf == KDF_ARGON2ID ? ARGON2_SALT_SIZE : SALT_SIZE);
		err = root_of_secret(info, slot + AT_SALT, secret, root);
	}
	if (err != ERR_OK)
		return err == ERR_AUTH ? ERR_INVALID : err;
	slot_keys_derive(slot, cluster, account, root, &keys);
	memcpy(slot + AT_COMMITMENT, keys.commitment, KEY_SIZE);
	aead_seal_to(keys.encryption, slot + AT_NONCE, bytes_make(keys.associated, ASSOCIATED_SIZE),
		     bytes_make(key_octets(master), KEY_SIZE), slot + AT_SEALED);
	sodium_memzero(root, sizeof(root));
	sodium_memzero(&keys, sizeof(keys));
	buf_put(out, slot, sizeof(slot));
	return out->err;
}

/* With the root at hand: the commitment, then the key. */
static enum err open_with_root(const uint8_t *slot, struct id128 cluster, struct id128 account,
			       const uint8_t root[KEY_SIZE], struct key **master)
{
	uint8_t octets[KEY_SIZE];
	struct slot_keys keys;
	enum err err = ERR_AUTH;

	slot_keys_derive(slot, cluster, account, root, &keys);
	if (sodium_memcmp(keys.commitment, slot + AT_COMMITMENT, KEY_SIZE) == 0)
		err = aead_open_to(keys.encryption, slot + AT_NONCE,
				   bytes_make(keys.associated, ASSOCIATED_SIZE),
				   bytes_make(slot + AT_SEALED, KEY_SIZE + TAG_SIZE), octets);
	if (err == ERR_OK)
		err = key_import(octets, master);
	sodium_memzero(octets, sizeof(octets));
	sodium_memzero(&keys, sizeof(keys));
	return err;
}

enum err slot_open(struct bytes slot, struct id128 cluster, struct id128 account,
		   struct bytes secret, struct key **master)
{
	uint8_t copy[SLOT_SIZE], root[KEY_SIZE];
	struct slot_info info;
	enum err err;

	err = slot_inspect(slot, &info);
	if (err != ERR_OK)
		return err;
	/* The slot is borrowed from a table that may change while Argon2 runs elsewhere. */
	memcpy(copy, slot.data, sizeof(copy));
	if (info.kind == SLOT_MEMBER)
		err = root_as_member(secret, copy + AT_SALT, root);
	else
		err = root_of_secret(&info, copy + AT_SALT, secret, root);
	if (err == ERR_OK)
		err = open_with_root(copy, cluster, account, root, master);
	sodium_memzero(root, sizeof(root));
	return err;
}

enum err slot_open_nothing(const struct slot_parameters *parameters, struct bytes secret,
			   struct bytes fake_salt)
{
	struct slot_info info = {.kind = SLOT_PASSWORD, .parameters = *parameters};
	uint8_t slot[SLOT_SIZE], digest[DIGEST_SIZE], root[KEY_SIZE];
	struct key *master = NULL;
	enum err err;

	if (!parameters_allowed(KDF_ARGON2ID, parameters))
		return ERR_INVALID;
	encode_clear(&info, slot);
	digest_256(fake_salt, digest);
	memcpy(slot + AT_SALT, digest, ARGON2_SALT_SIZE);
	err = stretch(parameters, slot + AT_SALT, secret, root);
	if (err == ERR_OK)
		err = open_with_root(slot, ID128_ZERO, ID128_ZERO, root, &master);
	sodium_memzero(root, sizeof(root));
	/* A commitment of zeros is one that no secret is known for. */
	key_release(&master);
	return err == ERR_OK ? ERR_AUTH : err;
}
