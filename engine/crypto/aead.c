/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The only place where plaintext turns into ciphertext and back, except for
 * single keys (key_wrap).
 *
 * AEROSTORE_NULL_CIPHER makes a build that proves the confidentiality scanner:
 * everything is left readable, everything else stays as it is. The tag is a
 * keyed hash, so that wrong keys and damage are refused as always.
 */
#include "engine/crypto/key.h"

#include <string.h>

#include <sodium.h>

#include "engine/base/assert.h"

static_assert(KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
static_assert(NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

#ifdef AEROSTORE_NULL_CIPHER
#ifndef AEROSTORE_TEST_BUILD
#error "AEROSTORE_NULL_CIPHER stores mail in clear: it is for AEROSTORE_TEST_BUILD only"
#endif

static void null_tag(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		     struct bytes associated, struct bytes plain, uint8_t tag[TAG_SIZE])
{
	crypto_generichash_state state;
	uint8_t size[8];

	store_u64(size, associated.size);
	crypto_generichash_init(&state, key, KEY_SIZE, TAG_SIZE);
	crypto_generichash_update(&state, nonce, NONCE_SIZE);
	crypto_generichash_update(&state, size, sizeof(size));
	crypto_generichash_update(&state, associated.data, associated.size);
	crypto_generichash_update(&state, plain.data, plain.size);
	crypto_generichash_final(&state, tag, TAG_SIZE);
}

void aead_seal_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		  struct bytes associated, struct bytes plain, uint8_t *out)
{
	if (plain.size != 0)
		memmove(out, plain.data, plain.size);
	null_tag(key, nonce, associated, bytes_make(out, plain.size), out + plain.size);
}

enum err aead_open_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		      struct bytes associated, struct bytes sealed, uint8_t *out)
{
	struct bytes plain;
	uint8_t tag[TAG_SIZE];

	if (sealed.size < TAG_SIZE)
		return ERR_AUTH;
	plain = bytes_make(sealed.data, sealed.size - TAG_SIZE);
	null_tag(key, nonce, associated, plain, tag);
	if (sodium_memcmp(tag, sealed.data + plain.size, TAG_SIZE) != 0)
		return ERR_AUTH;
	if (plain.size != 0)
		memmove(out, plain.data, plain.size);
	return ERR_OK;
}

#else

void aead_seal_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		  struct bytes associated, struct bytes plain, uint8_t *out)
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.data, plain.size,
						   associated.data, associated.size, NULL, nonce,
						   key);
}

enum err aead_open_to(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		      struct bytes associated, struct bytes sealed, uint8_t *out)
{
	if (sealed.size < TAG_SIZE)
		return ERR_AUTH;
	return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.data, sealed.size,
							  associated.data, associated.size, nonce,
							  key) == 0
		       ? ERR_OK
		       : ERR_AUTH;
}

#endif

enum err aead_seal(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		   struct bytes associated, struct bytes plain, struct buf *out)
{
	uint8_t *at = buf_extend(out, plain.size + TAG_SIZE);

	if (at == NULL)
		return out->err;
	aead_seal_to(key, nonce, associated, plain, at);
	return ERR_OK;
}

enum err aead_open(const uint8_t key[KEY_SIZE], const uint8_t nonce[NONCE_SIZE],
		   struct bytes associated, struct bytes sealed, struct buf *out)
{
	uint8_t *at;
	enum err err;

	if (sealed.size < TAG_SIZE)
		return ERR_AUTH;
	at = buf_extend(out, sealed.size - TAG_SIZE);
	if (at == NULL)
		return out->err;
	err = aead_open_to(key, nonce, associated, sealed, at);
	if (err != ERR_OK)
		out->size -= sealed.size - TAG_SIZE;
	return err;
}
