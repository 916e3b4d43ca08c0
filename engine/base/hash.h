/* SPDX-License-Identifier: MPL-2.0 */
/*
 * hash - XXH3 (xxHash 0.8), the checksum of every structure on disk.
 *
 * It finds accidents, not attackers: what must withstand forgery is under an
 * AEAD or a signature. Values are stored little-endian, low half first; seed 0.
 */
#ifndef AEROSTORE_ENGINE_BASE_HASH_H
#define AEROSTORE_ENGINE_BASE_HASH_H

#include "engine/base/bytes.h"

struct hash128 {
	uint64_t low, high;
};

uint64_t hash_64(const void *data, size_t size);
struct hash128 hash_128(const void *data, size_t size);
bool hash128_equal(struct hash128 a, struct hash128 b);
void buf_put_hash128(struct buf *buf, struct hash128 hash);
struct hash128 cursor_hash128(struct cursor *cursor);

#endif
