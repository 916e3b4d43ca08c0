/* SPDX-License-Identifier: MPL-2.0 */
/*
 * slot - the ways into an account: each slot holds the account's master key
 * under one secret. Opening a slot is the password check; there is no other hash.
 *
 * Encoded slot: version, kind, slot id, KDF, its parameters, salt, 32-byte key
 * commitment (compared first, in constant time), nonce, sealed master key. The
 * associated data binds cluster, account, slot id, kind and KDF parameters.
 * A password or invitation is stretched with Argon2id (RFC 9106); secrets of
 * 128 random bits and more with keyed BLAKE2b. Parameters out of range are
 * refused (ERR_INVALID) before any work is done on them.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_SLOT_H
#define AEROSTORE_ENGINE_CRYPTO_SLOT_H

#include "engine/crypto/key.h"
#include "engine/task.h"

enum slot_kind {
	SLOT_PASSWORD = 1,
	SLOT_RECOVERY = 2,   /* 160 random bits and a checksum, grouped base32 */
	SLOT_APP = 3,        /* 128 random bits and more, prefixed with the slot id: fast */
	SLOT_ENROLMENT = 4,  /* opened by an invitation or a first password; gone after the first login */
	SLOT_MEMBER = 5      /* sealed to another account's X25519 key */
};

#define SLOT_ENCODED_MAX 512u
#define ARGON2_OPERATIONS_DEFAULT 3u
#define ARGON2_MEMORY_DEFAULT (64u * 1024 * 1024)

struct slot_parameters {
	uint32_t operations; /* Argon2id passes, 1..16 */
	uint32_t memory_kib; /* 8..1048576; tests use little */
};

struct slot_info {
	enum slot_kind kind;
	uint32_t slot_id;
	struct slot_parameters parameters; /* zero for the fast kinds */
	uint64_t created_ms;
	bool is_invitation; /* ENROLMENT by one-time code: not a password for a mail client */
};

/* Reads what is in clear. ERR_CORRUPT, ERR_NEWER, ERR_INVALID (parameters). */
MUST_USE enum err slot_inspect(struct bytes slot, struct slot_info *out);
/*
 * Makes a slot. CPU work (Argon2): WAITS through task_offload when in a task, else inline.
 * Appends the encoded slot. The secret is the caller's to wipe.
 */
WAITS MUST_USE enum err slot_create(struct env *env, const struct slot_info *info,
				    struct id128 cluster, struct id128 account,
				    struct bytes secret, const struct key *master,
				    struct buf *out);
/* ERR_AUTH: wrong secret, or not this account's slot. */
WAITS MUST_USE enum err slot_open(struct bytes slot, struct id128 cluster, struct id128 account,
				  struct bytes secret, struct key **master);
/* The same work as slot_open() on a password slot that does not exist; returns ERR_AUTH. */
WAITS MUST_USE enum err slot_open_nothing(const struct slot_parameters *parameters,
					  struct bytes secret, struct bytes fake_salt);

/* Argon2 runs since the start: what tests count. */
uint64_t slot_argon2_count(void);

/* Generated secrets, as people type them; `out` receives text without NUL. */
void secret_generate_password(struct env *env, struct buf *out);   /* 20 characters, >= 100 bits */
void secret_generate_recovery(struct env *env, struct buf *out);   /* RC-xxxxx-... */
void secret_generate_invitation(struct env *env, struct buf *out); /* INV-xxxxx-... */
void secret_generate_app(struct env *env, uint32_t slot_id, struct buf *out); /* app<slot>-... */
/* Tolerates lower case, spaces, dashes; ERR_INVALID when the checksum is wrong. */
MUST_USE enum err secret_normalise_code(struct bytes typed, struct buf *out);
/* The slot id that an app password names. ERR_INVALID: not an app password. */
MUST_USE enum err secret_app_slot(struct bytes secret, uint32_t *slot_id);

#endif
