/* SPDX-License-Identifier: MPL-2.0 */
/*
 * key - 256-bit secrets in locked memory, and what is derived from them.
 *
 * The only place where key bytes live for longer than a call. Keys come from a
 * locked pool (mlock, MADV_DONTDUMP, guard pages); when the memory cannot be
 * locked the creation fails with ERR_LIMIT rather than hand out pages that may
 * be swapped. Destroying wipes. Reference-counted, so that a session and the
 * cache of unlocked accounts can hold one copy.
 *
 * Derivation is keyed BLAKE2b-256 (RFC 7693) over a label and a context, both
 * with their lengths: labels are constants of this program, listed in
 * docs/format.md, and no two uses share one. The input is
 *
 *	offset	size	field
 *	0	1	n, size of the label, 1..255
 *	1	n	label, ASCII without NUL
 *	1+n	8	c, size of the context
 *	9+n	c	context
 *
 * Threads: the pool and struct key belong to the thread of the loop. What takes
 * and gives octets only (kdf_octets, aead_*, digest_256, sign_verify) is pure
 * and may run in a job that owns its memory.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_KEY_H
#define AEROSTORE_ENGINE_CRYPTO_KEY_H

#include "engine/env.h"

#define KEY_SIZE 32u
#define TAG_SIZE 16u
#define NONCE_SIZE 24u
#define DIGEST_SIZE 32u

struct key;

/* Once a process, before anything else here: libsodium, core dumps off, the locked pool. */
MUST_USE enum err key_library_init(void);
MUST_USE enum err key_random(struct env *env, struct key **out);
/* Copies `octets`; the caller wipes its own copy. */
MUST_USE enum err key_import(const uint8_t octets[KEY_SIZE], struct key **out);
MUST_USE enum err key_derive(const struct key *from, const char *label, struct bytes context,
			     struct key **out);
/* Into the caller's memory, which it wipes: for short-lived sub-keys such as one blob's. */
void key_derive_octets(const struct key *from, const char *label, struct bytes context,
		       uint8_t out[KEY_SIZE]);
/* The same under octets that are not in the pool: a shared secret, a stretched password. */
void kdf_octets(const uint8_t from[KEY_SIZE], const char *label, struct bytes context,
		uint8_t out[KEY_SIZE]);
struct key *key_reference(struct key *key);
/* Drops one reference and sets *key to NULL; the last one wipes. Harmless on NULL. */
void key_release(struct key **key);
/* Borrowed, for the primitives in this folder only. */
const uint8_t *key_octets(const struct key *key);
/* Constant time. */
bool key_equal(const struct key *a, const struct key *b);
/* How many keys exist: 0 after everything logged out and its caches expired. */
size_t key_count(void);

/*
 * XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha) over whole strings.
 * seal appends ciphertext and tag, plain.size + TAG_SIZE bytes; open appends
 * the plaintext, or fails with ERR_AUTH and appends nothing. INV: a (key, nonce)
 * pair seals one (plaintext, associated data) only.
 */
MUST_USE enum err aead_seal(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
			    struct bytes associated, struct bytes plain, struct buf *out);
MUST_USE enum err aead_open(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
			    struct bytes associated, struct bytes sealed, struct buf *out);
/* The same into the caller's memory: plain.size + TAG_SIZE and sealed.size - TAG_SIZE bytes. */
void aead_seal_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		  struct bytes associated, struct bytes plain, uint8_t *out);
/* On ERR_AUTH `out` holds nothing of the plaintext. */
MUST_USE enum err aead_open_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
			       struct bytes associated, struct bytes sealed, uint8_t *out);

/* BLAKE2b-256, unkeyed: hash chains, signatures' inputs. */
void digest_256(struct bytes input, uint8_t out[DIGEST_SIZE]);

/*
 * Ed25519 (RFC 8032). The secret is a key (the seed). What is signed is the 32-byte BLAKE2b-256 of
 * label and message, laid out as label and context are for derivation.
 */
#define SIGNATURE_SIZE 64u
#define PUBLIC_SIZE 32u
void sign_public(const struct key *seed, uint8_t public_key[PUBLIC_SIZE]);
void sign_bytes(const struct key *seed, const char *label, struct bytes message,
		uint8_t signature[SIGNATURE_SIZE]);
/* ERR_AUTH when it does not verify. `label` separates uses, as in key_derive(). */
MUST_USE enum err sign_verify(const uint8_t public_key[PUBLIC_SIZE], const char *label,
			      struct bytes message, const uint8_t signature[SIGNATURE_SIZE]);

#endif
