/* SPDX-License-Identifier: MPL-2.0 */
/*
 * digest - BLAKE2b-256 (RFC 7693), unkeyed, over a string that comes in pieces.
 *
 * The result equals digest_256() (engine/crypto/key.h) over the whole, however
 * it was cut. Holds plaintext state: destroying wipes.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_DIGEST_H
#define AEROSTORE_ENGINE_CRYPTO_DIGEST_H

#include "engine/base/bytes.h"

#define DIGEST_SIZE 32u

struct digest;

/* ERR_NOMEM. */
MUST_USE enum err digest_create(struct digest **out);
void digest_update(struct digest *digest, struct bytes piece);
/* Once, as the last call before destroy. */
void digest_finish(struct digest *digest, uint8_t out[DIGEST_SIZE]);
/* Harmless on NULL; sets *digest to NULL. */
void digest_destroy(struct digest **digest);

#endif
