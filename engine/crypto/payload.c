/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A sealed payload:
 *
 *	offset	size	field
 *	0	1	suite, 1
 *	1	b	ciphertext of the body (payload.h)
 *	1+b	16	tag
 *
 * XChaCha20-Poly1305 with nonce zero under kdf(key, label, use), a key that seals
 * nothing else; associated data is the caller's.
 *
 * A wrapped key:
 *
 *	offset	size	field
 *	0	16	v = first 16 bytes of kdf(kdf(wrapping, label, use), LABEL_MAC, plain)
 *	16	32	plain xor kdf(kdf(wrapping, label, use), LABEL_STREAM, v)
 */
#include "engine/crypto/payload.h"

#include <string.h>

#include <sodium.h>

#include "engine/base/memory.h"
#include "engine/crypto/compress.h"

#define LABEL_MAC "aerostore wrap mac"
#define LABEL_STREAM "aerostore wrap stream"
#define PADDED_MIN 512u
#define PADDED_STEP 65536u

static const uint8_t nonce_zero[NONCE_SIZE];

size_t payload_padded_size(size_t size)
{
	size_t padded = PADDED_MIN;

	size += PAYLOAD_HEADER_SIZE;
	if (size > PADDED_STEP)
		return (size + PADDED_STEP - 1) / PADDED_STEP * PADDED_STEP;
	while (padded < size)
		padded *= 2;
	return padded;
}

enum err payload_pack(struct bytes plain, struct buf *body)
{
	size_t size;
	enum err err;

	if (plain.size > PAYLOAD_PLAIN_MAX)
		return ERR_LIMIT;
	err = buf_reserve(body, payload_padded_size(plain.size));
	if (err == ERR_OK)
		err = compress_string(plain, body->data + PAYLOAD_HEADER_SIZE, &size);
	if (err != ERR_OK)
		return err;
	store_u32(body->data, (uint32_t)plain.size);
	store_u32(body->data + 4, (uint32_t)size);
	body->size = payload_padded_size(size);
	memset(body->data + PAYLOAD_HEADER_SIZE + size, 0, body->size - PAYLOAD_HEADER_SIZE - size);
	return ERR_OK;
}

enum err payload_unpack(struct bytes body, size_t limit, struct buf *plain)
{
	struct cursor cursor = cursor_make(body);
	uint32_t plain_size = cursor_u32(&cursor), stored_size = cursor_u32(&cursor);
	struct bytes stored = cursor_take(&cursor, stored_size);
	uint8_t *at;
	enum err err;

	cursor_zeros(&cursor, cursor_left(&cursor));
	if (stored_size > plain_size || body.size != payload_padded_size(stored_size))
		cursor_fail(&cursor);
	err = cursor_end(&cursor);
	if (err != ERR_OK)
		return err;
	if (plain_size > limit)
		return ERR_LIMIT;
	at = buf_extend(plain, plain_size);
	if (at == NULL)
		return plain->err;
	err = decompress_string(stored, at, plain_size);
	if (err != ERR_OK) {
		memory_wipe(at, plain_size);
		plain->size -= plain_size;
	}
	return err;
}

enum err payload_seal(const struct key *key, const char *label, struct bytes use,
		      struct bytes associated, struct bytes plain, struct buf *out)
{
	uint8_t sub_key[KEY_SIZE];
	struct buf body = {0};
	uint8_t *at;
	enum err err;

	err = payload_pack(plain, &body);
	if (err != ERR_OK)
		goto out;
	at = buf_extend(out, 1 + body.size + TAG_SIZE);
	if (at == NULL) {
		err = out->err;
		goto out;
	}
	at[0] = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519;
	key_derive_octets(key, label, use, sub_key);
	aead_seal_to(sub_key, nonce_zero, associated, bytes_of_buf(&body), at + 1);
	sodium_memzero(sub_key, sizeof(sub_key));
out:
	buf_finish(&body);
	return err;
}

enum err payload_open(const struct key *key, const char *label, struct bytes use,
		      struct bytes associated, struct bytes sealed, size_t limit, struct buf *plain)
{
	uint8_t sub_key[KEY_SIZE];
	struct buf body = {0};
	enum err err;

	if (sealed.size < 1 + PADDED_MIN + TAG_SIZE)
		return ERR_AUTH;
	if (sealed.data[0] != SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519)
		return ERR_NEWER;
	if (limit > PAYLOAD_PLAIN_MAX)
		limit = PAYLOAD_PLAIN_MAX;
	if (sealed.size > 1 + payload_padded_size(limit) + TAG_SIZE)
		return ERR_LIMIT;
	key_derive_octets(key, label, use, sub_key);
	err = aead_open(sub_key, nonce_zero, associated, bytes_slice(sealed, 1, sealed.size),
			&body);
	sodium_memzero(sub_key, sizeof(sub_key));
	if (err == ERR_OK)
		err = payload_unpack(bytes_of_buf(&body), limit, plain);
	buf_finish(&body);
	return err;
}

/* The two sub-keys' outputs: v over the plain key, and the stream that v selects. */
static void wrap_vector(const uint8_t sub_key[KEY_SIZE], const uint8_t plain[KEY_SIZE],
			uint8_t vector[TAG_SIZE])
{
	uint8_t full[KEY_SIZE];

	kdf_octets(sub_key, LABEL_MAC, bytes_make(plain, KEY_SIZE), full);
	memcpy(vector, full, TAG_SIZE);
	sodium_memzero(full, sizeof(full));
}

static void wrap_stream(const uint8_t sub_key[KEY_SIZE], const uint8_t vector[TAG_SIZE],
			const uint8_t from[KEY_SIZE], uint8_t to[KEY_SIZE])
{
	uint8_t stream[KEY_SIZE];

	kdf_octets(sub_key, LABEL_STREAM, bytes_make(vector, TAG_SIZE), stream);
	for (size_t i = 0; i < KEY_SIZE; i++)
		to[i] = from[i] ^ stream[i];
	sodium_memzero(stream, sizeof(stream));
}

void key_wrap(const struct key *wrapping, const char *label, struct bytes use,
	      const uint8_t plain[KEY_SIZE], uint8_t out[WRAPPED_KEY_SIZE])
{
	uint8_t sub_key[KEY_SIZE];

	key_derive_octets(wrapping, label, use, sub_key);
	wrap_vector(sub_key, plain, out);
	wrap_stream(sub_key, out, plain, out + TAG_SIZE);
	sodium_memzero(sub_key, sizeof(sub_key));
}

enum err key_unwrap(const struct key *wrapping, const char *label, struct bytes use,
		    const uint8_t wrapped[WRAPPED_KEY_SIZE], uint8_t plain[KEY_SIZE])
{
	uint8_t sub_key[KEY_SIZE], opened[KEY_SIZE], vector[TAG_SIZE];
	enum err err = ERR_AUTH;

	key_derive_octets(wrapping, label, use, sub_key);
	wrap_stream(sub_key, wrapped, wrapped + TAG_SIZE, opened);
	wrap_vector(sub_key, opened, vector);
	if (sodium_memcmp(vector, wrapped, TAG_SIZE) == 0) {
		memcpy(plain, opened, KEY_SIZE);
		err = ERR_OK;
	}
	sodium_memzero(sub_key, sizeof(sub_key));
	sodium_memzero(opened, sizeof(opened));
	return err;
}
