/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bytes - byte strings, and the little-endian encoder and decoder of every
 * format on disk and on the wire.
 *
 *   struct bytes   borrowed: somebody else owns the memory and must outlive it
 *   struct buf     owned, growing; starts as {0}; buf_finish() frees
 *   struct cursor  a bounds-checked reader over borrowed bytes
 *
 * buf and cursor errors are sticky: after the first failure every later call
 * does nothing (getters give zero), so a decoder reads straight through and
 * asks once, at the end. buf: ERR_NOMEM. cursor: ERR_CORRUPT.
 */
#ifndef AEROSTORE_ENGINE_BASE_BYTES_H
#define AEROSTORE_ENGINE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct bytes {
	const uint8_t *data;
	size_t size;
};

struct buf {
	uint8_t *data;
	size_t size, capacity;
	enum err err;
};

struct cursor {
	const uint8_t *data;
	size_t size, offset;
	enum err err;
};

/* 128 random bits that name something: a volume, a blob, an account, a writer. */
struct id128 {
	uint8_t octets[16];
};

#define ID128_ZERO ((struct id128){{0}})

struct bytes bytes_make(const void *data, size_t size);
/* Without the terminating NUL. */
struct bytes bytes_string(const char *text);
struct bytes bytes_of_buf(const struct buf *buf);
bool bytes_equal(struct bytes a, struct bytes b);
/* ASCII letters compare without case, all else exactly. */
bool bytes_equal_nocase(struct bytes a, struct bytes b);
/* memcmp order, the shorter first when one starts the other. */
int bytes_compare(struct bytes a, struct bytes b);
/* A part; offset and size are clamped to what there is. */
struct bytes bytes_slice(struct bytes bytes, size_t offset, size_t size);

bool id128_equal(struct id128 a, struct id128 b);
int id128_compare(struct id128 a, struct id128 b);
bool id128_is_zero(struct id128 id);

void buf_finish(struct buf *buf);
/* Empties, keeps the memory and clears the error. */
void buf_clear(struct buf *buf);
/* Room for `size` more bytes without a further allocation. */
MUST_USE enum err buf_reserve(struct buf *buf, size_t size);
/* `size` undefined bytes at the end, for the caller to fill; NULL when memory is out. */
uint8_t *buf_extend(struct buf *buf, size_t size);
void buf_put(struct buf *buf, const void *data, size_t size);
void buf_put_bytes(struct buf *buf, struct bytes bytes);
void buf_put_string(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_id(struct buf *buf, struct id128 id);
void buf_put_zeros(struct buf *buf, size_t size);
/* Unsigned LEB128: 7 bits a byte, least significant first, at most 10 bytes. */
void buf_put_varint(struct buf *buf, uint64_t value);
/* varint length, then the bytes. */
void buf_put_block(struct buf *buf, struct bytes bytes);
/* Drops `size` bytes from the front; size <= buf->size. */
void buf_drop_front(struct buf *buf, size_t size);

struct cursor cursor_make(struct bytes bytes);
size_t cursor_left(const struct cursor *cursor);
/* ERR_OK only when nothing failed and nothing is left: trailing bytes are damage. */
MUST_USE enum err cursor_end(const struct cursor *cursor);
/* Marks the input as damaged: for values that are readable but not allowed. */
void cursor_fail(struct cursor *cursor);
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
struct id128 cursor_id(struct cursor *cursor);
/* Only the shortest encoding is accepted: one value, one byte string. */
uint64_t cursor_varint(struct cursor *cursor);
/* Borrowed from the input; {NULL, 0} on failure. */
struct bytes cursor_take(struct cursor *cursor, size_t size);
struct bytes cursor_block(struct cursor *cursor);
void cursor_copy(struct cursor *cursor, void *out, size_t size);
/* `size` bytes that must all be zero (reserved fields). */
void cursor_zeros(struct cursor *cursor, size_t size);

uint16_t load_u16(const uint8_t *from);
uint32_t load_u32(const uint8_t *from);
uint64_t load_u64(const uint8_t *from);
void store_u16(uint8_t *to, uint16_t value);
void store_u32(uint8_t *to, uint32_t value);
void store_u64(uint8_t *to, uint64_t value);

#endif
