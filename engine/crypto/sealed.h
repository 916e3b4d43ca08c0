/* SPDX-License-Identifier: MPL-2.0 */
/*
 * sealed - the three ciphertexts of the store: blobs, envelopes, journal payloads.
 *
 * Blob (docs/format.md "Blob"): plaintext is cut into chunks of 64 KiB, each
 * compressed with zstd on its own (or kept, when that is not smaller). The
 * chunks, padding up to max(4 KiB, Padme), the chunk table and a fixed trailer
 * are laid end to end and cut into frames of 64 KiB, each sealed with
 * XChaCha20-Poly1305 under the blob's own random key; nonce = prefix, frame
 * index, last-frame flag; associated data = suite, type, account tag, epoch,
 * blob id. Only the padded total shows. A swapped, cut, reordered or foreign
 * frame does not open.
 *
 * INV: a key seals one byte string once. A retry that changes any byte or any
 * associated data takes a fresh key: a sealer makes its own and is used once.
 *
 * Envelope: the small secret string (blob key, summary, dates) of a delivery,
 * sealed to an account's X25519 delivery key by somebody who holds no secret.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_SEALED_H
#define AEROSTORE_ENGINE_CRYPTO_SEALED_H

#include "engine/base/shared.h"
#include "engine/crypto/key.h"
#include "engine/task.h"

#define SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519 1u

enum sealed_type { SEALED_MESSAGE = 1, SEALED_CACHE = 2, SEALED_EVENT = 3, SEALED_CONTACT = 4 };

#define FRAME_PLAIN_SIZE 65536u
#define FRAME_SIZE (FRAME_PLAIN_SIZE + TAG_SIZE)
#define PIECE_FRAME_COUNT 15u
/* The longest payload of one record of a set: just under 1 MiB. */
#define PIECE_SIZE (PIECE_FRAME_COUNT * FRAME_SIZE)
#define CHUNK_SIZE 65536u

/* What is bound into every frame. */
struct sealed_name {
	uint8_t suite;
	uint8_t type; /* enum sealed_type */
	struct id128 account_tag;
	uint64_t epoch; /* of the collection key that wraps the blob's key; 0 for deliveries */
	struct id128 blob;
};

/* ---- writing: a stream of plaintext in, frames out, bounded memory ---- */

struct blob_sealer;

/* Makes the blob's key from env. Memory: about 200 KiB until it is destroyed. ERR_INVALID: suite. */
MUST_USE enum err blob_sealer_create(struct env *env, const struct sealed_name *name,
				     struct blob_sealer **out);
/*
 * Takes any amount of plaintext, up to 1 TiB in all (ERR_LIMIT), and appends the complete frames it
 * gives to `frames`. After an error the sealer can only be destroyed.
 */
MUST_USE enum err blob_sealer_update(struct blob_sealer *sealer, struct bytes plain,
				     struct buf *frames);
/* Pads, appends the last frames. No update after it. */
MUST_USE enum err blob_sealer_finish(struct blob_sealer *sealer, struct buf *frames);
/* The key, valid until destroy; copied by the caller into what it seals next, and wiped there. */
const uint8_t *blob_sealer_key(const struct blob_sealer *sealer);
uint64_t blob_sealer_plain_size(const struct blob_sealer *sealer);
void blob_sealer_destroy(struct blob_sealer **sealer);

/* Padded size of `size` bytes: max(4096, Padme(size)) (Nikitin et al., PETS 2019). */
uint64_t padded_size(uint64_t size);

/* ---- reading ---- */

/*
 * Reads ciphertext [offset, offset + size) of the blob and lends exactly that, until the reader
 * returns it; `out` is empty before. It is a WAITS call of the caller's. What is lent is opened
 * where it lies: no copy is made of it.
 */
typedef enum err blob_source(void *context, uint64_t offset, uint64_t size, struct lent *out);

/*
 * Appends plaintext [offset, offset + size), clamped to what there is, to `out`. Fetches only the
 * frames it needs (the chunk table first, when the range is a part of a blob of several chunks); one
 * fetch for a blob of one frame, and for one up to a piece that is wanted whole. sealed_size: bytes
 * of ciphertext. ERR_AUTH: not this blob, or changed; ERR_CORRUPT, ERR_NEWER: sealed like that;
 * errors of `source` pass. On failure `out` is as it was.
 */
WAITS MUST_USE enum err blob_open_range(const struct sealed_name *name, const uint8_t key[KEY_SIZE],
					uint64_t sealed_size, blob_source *source, void *context,
					uint64_t offset, uint64_t size, struct buf *out);

/* ---- envelopes: sealing to a delivery key ---- */

#define X25519_SIZE 32u

void x25519_public(const struct key *secret, uint8_t public_key[X25519_SIZE]);

/*
 * Keeps the shared secret of one ephemeral key pair per recipient for a short window (60 s or
 * 1024 uses, then wiped by a timer), at most recipients_cached of them, with a fresh KDF context
 * each use: ephemeral key, sequence number, delivery key, account, use id.
 */
struct envelope_sender;

#define ENVELOPE_WINDOW_MS 60000u
#define ENVELOPE_WINDOW_USES 1024u
/* The largest plaintext of an envelope: a summary, not a message. */
#define ENVELOPE_PLAIN_MAX (1024u * 1024)

MUST_USE enum err envelope_sender_create(struct env *env, size_t recipients_cached,
					 struct envelope_sender **out);
void envelope_sender_destroy(struct envelope_sender **sender);
/*
 * Appends the envelope: suite, sequence number, ephemeral public key, ciphertext, tag; what is
 * encrypted is compressed and padded as a journal payload is. `use` is unique for the account (the
 * blob id); `associated` is authenticated, not stored. ERR_INVALID: a delivery key of low order.
 */
MUST_USE enum err envelope_seal(struct envelope_sender *sender,
				const uint8_t delivery_public[X25519_SIZE], struct id128 account,
				struct id128 use, struct bytes associated, struct bytes plain,
				struct buf *out);

/*
 * Opens; caches the shared secrets of the last ephemeral keys seen, as keys in the locked pool. Lives
 * with the unlocked account; holds a reference to its delivery key. ERR_AUTH: changed, or for
 * another account, use or delivery key. On failure `plain` is as it was.
 */
struct envelope_opener;
MUST_USE enum err envelope_opener_create(struct key *delivery_secret, struct envelope_opener **out);
void envelope_opener_destroy(struct envelope_opener **opener);
MUST_USE enum err envelope_open(struct envelope_opener *opener, struct id128 account,
				struct id128 use, struct bytes associated, struct bytes envelope,
				struct buf *plain);

/* ---- journal payloads and pages: sealed under a key that is held ---- */

/*
 * zstd, then zero padding to a power of two from 512 B to 64 KiB (above: a multiple of 64 KiB), then
 * XChaCha20-Poly1305 under a sub-key derived for `use` (unique per call under one key: random, or
 * incarnation and seq). Appends suite, nonce-free ciphertext and tag.
 */
MUST_USE enum err payload_seal(const struct key *key, const char *label, struct bytes use,
			       struct bytes associated, struct bytes plain, struct buf *out);
/* `limit`: the largest plaintext accepted, checked before anything is allocated (ERR_LIMIT). */
MUST_USE enum err payload_open(const struct key *key, const char *label, struct bytes use,
			       struct bytes associated, struct bytes sealed, size_t limit,
			       struct buf *plain);

/*
 * A 32-byte key under another: sub-keys derived from `wrapping` and `use`, no stored nonce. 48 bytes.
 * Deterministic, with a synthetic initialisation vector (SIV, Rogaway and Shrimpton 2006, its
 * two functions being BLAKE2b): two keys wrapped for one `use`, as two sides of a cut may do, reveal only whether they
 * are equal.
 */
#define WRAPPED_KEY_SIZE (KEY_SIZE + TAG_SIZE)
void key_wrap(const struct key *wrapping, const char *label, struct bytes use,
	      const uint8_t plain[KEY_SIZE], uint8_t out[WRAPPED_KEY_SIZE]);
MUST_USE enum err key_unwrap(const struct key *wrapping, const char *label, struct bytes use,
			     const uint8_t wrapped[WRAPPED_KEY_SIZE], uint8_t plain[KEY_SIZE]);

#endif
