/* SPDX-License-Identifier: MPL-2.0 */
/*
 * slot - the ways into an account: each slot holds the account's master key
 * under one secret. Opening a slot is the password check; there is no other hash.
 *
 * Encoded slot (integers little-endian):
 *
 *	offset	size	field
 *	0	1	version, 1
 *	1	1	suite, 1
 *	2	1	kind, enum slot_kind
 *	3	1	KDF: 1 Argon2id, 2 BLAKE2b, 3 X25519; fixed by the kind
 *	4	4	slot id
 *	8	4	Argon2id passes; 0 for the other KDFs
 *	12	4	Argon2id memory in KiB; 0 for the other KDFs
 *	16	1	flags: bit 0, is an invitation (ENROLMENT only)
 *	17	7	zeros
 *	24	8	created, milliseconds since 1970
 *	32	32	salt: Argon2id 16 random bytes, 16 zeros; BLAKE2b 32 random bytes;
 *			X25519 the ephemeral public key
 *	64	32	commitment
 *	96	24	nonce, random
 *	120	48	master key under XChaCha20-Poly1305, tag
 *
 * Associated data (96 bytes): cluster id, account id, bytes 0..63. The secret
 * gives a root of 32 bytes:
 *
 *	Argon2id (RFC 9106, version 0x13, 1 lane) of the secret and 16 bytes of salt;
 *	kdf(salt, "aerostore slot secret", secret);
 *	kdf(X25519(ephemeral, member), "aerostore slot member", ephemeral public ||
 *	    member's public);
 *
 * and the root two values:
 *
 *	kdf(root, "aerostore slot encryption", associated data), the AEAD's key;
 *	kdf(root, "aerostore slot commitment", associated data), the commitment.
 *
 * The commitment is compared first, in constant time: XChaCha20-Poly1305 alone
 * has ciphertexts that open under many keys. Parameters out of range are
 * refused (ERR_INVALID) before any work is done on them.
 *
 * What `secret` is: PASSWORD, and ENROLMENT by password, the octets as typed;
 * RECOVERY, APP and invitations, the code, which is normalised here; MEMBER, the
 * member's X25519 public key to make the slot and its secret to open it, 32
 * octets. The secret is the caller's to wipe.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_SLOT_H
#define AEROSTORE_ENGINE_CRYPTO_SLOT_H

#include "engine/crypto/key.h"
#include "engine/task.h"

enum slot_kind {
	SLOT_PASSWORD = 1,
	SLOT_RECOVERY = 2,  /* 160 random bits and a checksum, grouped base32 */
	SLOT_APP = 3,	    /* 128 random bits and more, prefixed with the slot id: fast */
	SLOT_ENROLMENT = 4, /* an invitation or a first password; gone after the first login */
	SLOT_MEMBER = 5	    /* sealed to another account's X25519 key */
};

#define SLOT_ENCODED_MAX 512u
#define SLOT_SECRET_MAX 1024u /* a longer password opens nothing, and costs nothing */
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
 * Appends the encoded slot. ERR_INVALID: parameters, or a secret that this kind cannot have.
 */
WAITS MUST_USE enum err slot_create(struct env *env, const struct slot_info *info,
				    struct id128 cluster, struct id128 account, struct bytes secret,
				    const struct key *master, struct buf *out);
/*
 * ERR_AUTH: wrong secret, or not this account's slot; a code with a wrong checksum costs no work.
 * ERR_UNAVAILABLE: no memory for Argon2. ERR_CORRUPT, ERR_NEWER, ERR_INVALID as slot_inspect().
 */
WAITS MUST_USE enum err slot_open(struct bytes slot, struct id128 cluster, struct id128 account,
				  struct bytes secret, struct key **master);
/* The same work as slot_open() on a password slot that does not exist; returns ERR_AUTH. */
WAITS MUST_USE enum err slot_open_nothing(const struct slot_parameters *parameters,
					  struct bytes secret, struct bytes fake_salt);

/* Argon2 runs since the start: what tests count. */
uint64_t slot_argon2_count(void);

/*
 * Generated secrets, as people type them; `out` receives text without NUL, is the caller's to wipe,
 * and says ERR_NOMEM. Digits have 5 bits: 0-9 and A-Z without I, L, O and U (Crockford's base32).
 *
 *	password	20 digits in lower case
 *	code		prefix "-" 5 digits, and so on in groups; the last 3 digits are a checksum
 *	prefix		digits	random bits
 *	RC		35	160
 *	INV		25	110
 *	APP n		30	135	n: slot id in decimal without leading zeros; "app" when shown
 *
 * The normal form of a code is its prefix and digits in upper case, nothing between them. Its
 * checksum is the first 15 bits of BLAKE2b-256 over the normal form without the checksum, most
 * significant bit of the first byte first.
 */
void secret_generate_password(struct env *env, struct buf *out);   /* 20 characters, >= 100 bits */
void secret_generate_recovery(struct env *env, struct buf *out);   /* RC-xxxxx-... */
void secret_generate_invitation(struct env *env, struct buf *out); /* INV-xxxxx-... */
void secret_generate_app(struct env *env, uint32_t slot_id, struct buf *out); /* app<slot>-... */
/*
 * The normal form of a typed code; tolerates lower case, spaces, dashes, O for 0 and I or L for 1
 * among the digits. ERR_INVALID: not a code, or the checksum is wrong.
 */
MUST_USE enum err secret_normalise_code(struct bytes typed, struct buf *out);
/* The slot id that an app password names. ERR_INVALID: not an app password. */
MUST_USE enum err secret_app_slot(struct bytes secret, uint32_t *slot_id);

#endif
