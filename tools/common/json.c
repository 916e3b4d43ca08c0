/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/json.h"

#include <stddef.h>
#include <string.h>

#include "engine/base/memory.h"
#include "tools/common/hex.h"

/* In front of each block, as jansson does not say how large what it frees is. */
union block {
	size_t size;
	max_align_t alignment;
};

static bool put_failed;

static void *allocate(size_t size)
{
	union block *block = memory_allocate(sizeof(*block) + size);

	if (block == NULL)
		return NULL;
	block->size = size;
	return block + 1;
}

static void wipe_and_free(void *memory)
{
	union block *block = memory;

	if (block == NULL)
		return;
	block--;
	memory_free(block);
}

void json_setup(void)
{
	json_set_alloc_funcs(allocate, wipe_and_free);
}

const char *json_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

uint64_t json_number(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

void json_put(json_t *object, const char *name, json_t *value)
{
	if (value == NULL || json_object_set_new(object, name, value) != 0)
		put_failed = true;
}

void json_add(json_t *array, json_t *value)
{
	if (value == NULL || json_array_append_new(array, value) != 0)
		put_failed = true;
}

void json_put_text(json_t *object, const char *name, const char *text)
{
	json_put(object, name, json_string(text));
}

void json_put_number(json_t *object, const char *name, uint64_t number)
{
	json_put(object, name, json_integer((json_int_t)number));
}

void json_put_bool(json_t *object, const char *name, bool value)
{
	json_put(object, name, json_boolean(value));
}

void json_put_id(json_t *object, const char *name, struct id128 id)
{
	char text[HEX_ID_SIZE];

	hex_id(id, text);
	json_put_text(object, name, text);
}

static int append(const char *text, size_t size, void *context)
{
	struct buf *out = context;

	buf_put(out, text, size);
	return out->err == ERR_OK ? 0 : -1;
}

enum err json_line(const json_t *value, struct buf *out)
{
	bool failed = put_failed || value == NULL ||
		      json_dump_callback(value, append, out, JSON_COMPACT) != 0;

	put_failed = false;
	buf_put_u8(out, '\n');
	return failed || out->err != ERR_OK ? ERR_NOMEM : ERR_OK;
}
