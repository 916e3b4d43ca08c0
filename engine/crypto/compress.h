/* SPDX-License-Identifier: MPL-2.0 */
/*
 * compress - one string in, one zstd frame (RFC 8878) out, and back.
 *
 * Level 1, no dictionary, no checksum (an AEAD is around it), windows of at most
 * 64 KiB. Both sides work in memory of ours, which is wiped before the call
 * returns, because zstd's contexts keep parts of what they saw. Safe on any
 * thread.
 */
#ifndef AEROSTORE_ENGINE_CRYPTO_COMPRESS_H
#define AEROSTORE_ENGINE_CRYPTO_COMPRESS_H

#include "engine/base/bytes.h"

/*
 * Writes at most plain.size - 1 bytes to `out`, which has room for plain.size, and sets *size; when
 * compression does not make it smaller, the string itself, and *size == plain.size: that equality
 * is how the formats tell the two apart. ERR_NOMEM.
 */
MUST_USE enum err compress_string(struct bytes plain, uint8_t *out, size_t *size);
/* Writes exactly plain_size bytes. ERR_CORRUPT: `packed` is not a string of that size; ERR_NOMEM.
 */
MUST_USE enum err decompress_string(struct bytes packed, uint8_t *out, size_t plain_size);

#endif
