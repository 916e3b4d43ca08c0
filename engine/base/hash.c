/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/hash.h"

/* The library's choice by what the processor has is twice as fast as what any x86-64 has. */
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

uint64_t hash_64(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

struct hash128 hash_128(const void *data, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits(data, size);

	return (struct hash128){hash.low64, hash.high64};
}

bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

void buf_put_hash128(struct buf *buf, struct hash128 hash)
{
	buf_put_u64(buf, hash.low);
	buf_put_u64(buf, hash.high);
}

struct hash128 cursor_hash128(struct cursor *cursor)
{
	struct hash128 hash;

	hash.low = cursor_u64(cursor);
	hash.high = cursor_u64(cursor);
	return hash;
}
