/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

struct bytes bytes_make(const void *data, size_t size)
{
	return (struct bytes){data, size};
}

struct bytes bytes_string(const char *text)
{
	return bytes_make(text, strlen(text));
}

struct bytes bytes_of_buf(const struct buf *buf)
{
	return bytes_make(buf->data, buf->size);
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static uint8_t ascii_lower(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet | 0x20) : octet;
}

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
	if (a.size != b.size)
		return false;
	for (size_t i = 0; i < a.size; i++)
		if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
			return false;
	return true;
}

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t common = a.size < b.size ? a.size : b.size;
	int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

	if (order != 0)
		return order;
	return (a.size > b.size) - (a.size < b.size);
}

struct bytes bytes_slice(struct bytes bytes, size_t offset, size_t size)
{
	if (offset > bytes.size)
		offset = bytes.size;
	if (size > bytes.size - offset)
		size = bytes.size - offset;
	return bytes_make(size == 0 ? NULL : bytes.data + offset, size);
}

bool id128_equal(struct id128 a, struct id128 b)
{
	return memcmp(a.octets, b.octets, sizeof(a.octets)) == 0;
}

int id128_compare(struct id128 a, struct id128 b)
{
	return memcmp(a.octets, b.octets, sizeof(a.octets));
}

bool id128_is_zero(struct id128 id)
{
	return id128_equal(id, ID128_ZERO);
}

void buf_finish(struct buf *buf)
{
	memory_free(buf->data);
	*buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
	buf->size = 0;
	buf->err = ERR_OK;
}

enum err buf_reserve(struct buf *buf, size_t size)
{
	size_t need, capacity;
	uint8_t *data;

	if (buf->err != ERR_OK)
		return buf->err;
	if (size <= buf->capacity - buf->size)
		return ERR_OK;
	if (size > SIZE_MAX / 2 - buf->size)
		return buf->err = ERR_NOMEM;
	need = buf->size + size;
	capacity = buf->capacity != 0 ? buf->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	data = memory_resize(buf->data, capacity);
	if (data == NULL)
		return buf->err = ERR_NOMEM;
	buf->data = data;
	buf->capacity = capacity;
	return ERR_OK;
}

uint8_t *buf_extend(struct buf *buf, size_t size)
{
	uint8_t *at;

	if (buf_reserve(buf, size != 0 ? size : 1) != ERR_OK)
		return NULL;
	at = buf->data + buf->size;
	buf->size += size;
	return at;
}

void buf_put(struct buf *buf, const void *data, size_t size)
{
	uint8_t *at;

	if (size == 0)
		return;
	at = buf_extend(buf, size);
	if (at != NULL)
		memcpy(at, data, size);
}

void buf_put_bytes(struct buf *buf, struct bytes bytes)
{
	buf_put(buf, bytes.data, bytes.size);
}

void buf_put_string(struct buf *buf, const char *text)
{
	buf_put(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	ASSERT(size >= 0);
	if (buf_reserve(buf, (size_t)size + 1) != ERR_OK)
		return;
	va_start(arguments, format);
	vsnprintf((char *)buf->data + buf->size, (size_t)size + 1, format, arguments);
	va_end(arguments);
	buf->size += (size_t)size;
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
	buf_put(buf, &value, 1);
}

void buf_put_u16(struct buf *buf, uint16_t value)
{
	uint8_t *at = buf_extend(buf, 2);

	if (at != NULL)
		store_u16(at, value);
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
	uint8_t *at = buf_extend(buf, 4);

	if (at != NULL)
		store_u32(at, value);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
	uint8_t *at = buf_extend(buf, 8);

	if (at != NULL)
		store_u64(at, value);
}

void buf_put_id(struct buf *buf, struct id128 id)
{
	buf_put(buf, id.octets, sizeof(id.octets));
}

void buf_put_zeros(struct buf *buf, size_t size)
{
	uint8_t *at = buf_extend(buf, size);

	if (at != NULL)
		memset(at, 0, size);
}

void buf_put_varint(struct buf *buf, uint64_t value)
{
	while (value >= 0x80) {
		buf_put_u8(buf, (uint8_t)(value | 0x80));
		value >>= 7;
	}
	buf_put_u8(buf, (uint8_t)value);
}

void buf_put_block(struct buf *buf, struct bytes bytes)
{
	buf_put_varint(buf, bytes.size);
	buf_put_bytes(buf, bytes);
}

void buf_drop_front(struct buf *buf, size_t size)
{
	ASSERT(size <= buf->size);
	if (size != 0 && size < buf->size)
		memmove(buf->data, buf->data + size, buf->size - size);
	buf->size -= size;
}

struct cursor cursor_make(struct bytes bytes)
{
	return (struct cursor){.data = bytes.data, .size = bytes.size};
}

size_t cursor_left(const struct cursor *cursor)
{
	return cursor->err == ERR_OK ? cursor->size - cursor->offset : 0;
}

enum err cursor_end(const struct cursor *cursor)
{
	if (cursor->err != ERR_OK)
		return cursor->err;
	return cursor->offset == cursor->size ? ERR_OK : ERR_CORRUPT;
}

void cursor_fail(struct cursor *cursor)
{
	cursor->err = ERR_CORRUPT;
}

struct bytes cursor_take(struct cursor *cursor, size_t size)
{
	struct bytes part;

	if (cursor->err != ERR_OK || size > cursor->size - cursor->offset) {
		cursor->err = ERR_CORRUPT;
		return (struct bytes){NULL, 0};
	}
	part = (struct bytes){cursor->data == NULL ? NULL : cursor->data + cursor->offset, size};
	cursor->offset += size;
	return part;
}

void cursor_copy(struct cursor *cursor, void *out, size_t size)
{
	struct bytes part = cursor_take(cursor, size);

	if (size == 0)
		return;
	if (part.data != NULL)
		memcpy(out, part.data, size);
	else
		memset(out, 0, size);
}

uint8_t cursor_u8(struct cursor *cursor)
{
	uint8_t value;

	cursor_copy(cursor, &value, 1);
	return value;
}

uint16_t cursor_u16(struct cursor *cursor)
{
	uint8_t raw[2];

	cursor_copy(cursor, raw, sizeof(raw));
	return load_u16(raw);
}

uint32_t cursor_u32(struct cursor *cursor)
{
	uint8_t raw[4];

	cursor_copy(cursor, raw, sizeof(raw));
	return load_u32(raw);
}

uint64_t cursor_u64(struct cursor *cursor)
{
	uint8_t raw[8];

	cursor_copy(cursor, raw, sizeof(raw));
	return load_u64(raw);
}

struct id128 cursor_id(struct cursor *cursor)
{
	struct id128 id;

	cursor_copy(cursor, id.octets, sizeof(id.octets));
	return id;
}

uint64_t cursor_varint(struct cursor *cursor)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t octet = cursor_u8(cursor);

		if (cursor->err != ERR_OK)
			return 0;
		if (shift == 63 && octet > 1)
			break;
		value |= (uint64_t)(octet & 0x7f) << shift;
		if ((octet & 0x80) == 0) {
			if (octet == 0 && shift != 0)
				break;
			return value;
		}
	}
	cursor_fail(cursor);
	return 0;
}

struct bytes cursor_block(struct cursor *cursor)
{
	uint64_t size = cursor_varint(cursor);

	if (size > SIZE_MAX)
		cursor_fail(cursor);
	return cursor_take(cursor, (size_t)size);
}

void cursor_zeros(struct cursor *cursor, size_t size)
{
	struct bytes part = cursor_take(cursor, size);

	for (size_t i = 0; i < part.size; i++)
		if (part.data[i] != 0)
			cursor_fail(cursor);
}

uint16_t load_u16(const uint8_t *from)
{
	return (uint16_t)(from[0] | from[1] << 8);
}

uint32_t load_u32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

uint64_t load_u64(const uint8_t *from)
{
	return (uint64_t)load_u32(from) | (uint64_t)load_u32(from + 4) << 32;
}

void store_u16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

void store_u32(uint8_t *to, uint32_t value)
{
	store_u16(to, (uint16_t)value);
	store_u16(to + 2, (uint16_t)(value >> 16));
}

void store_u64(uint8_t *to, uint64_t value)
{
	store_u32(to, (uint32_t)value);
	store_u32(to + 4, (uint32_t)(value >> 32));
}
