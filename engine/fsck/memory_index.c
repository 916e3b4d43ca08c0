/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/memory_index.h"

#include <string.h>

#include "engine/base/memory.h"

/* One block: the key, then the value. */
struct pair {
	uint8_t *data;
	size_t key_size, value_size;
};

/* Sorted by key. */
struct env_index {
	struct pair *pairs;
	size_t count, capacity;
};

static struct bytes key_of(const struct pair *pair)
{
	return bytes_make(pair->data, pair->key_size);
}

static struct bytes value_of(const struct pair *pair)
{
	return bytes_make(pair->data + pair->key_size, pair->value_size);
}

/* The first whose key is not below. */
static size_t lower_bound(const struct env_index *index, struct bytes key)
{
	size_t low = 0, high = index->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bytes_compare(key_of(&index->pairs[middle]), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct env_index *index, size_t at, struct bytes key)
{
	return at < index->count && bytes_equal(key_of(&index->pairs[at]), key);
}

enum err memory_index_create(struct env_index **out)
{
	*out = memory_allocate(sizeof(**out));
	return *out != NULL ? ERR_OK : ERR_NOMEM;
}

void memory_index_destroy(struct env_index *index)
{
	(void)!memory_index_clear(index);
	memory_free(index->pairs);
	memory_free(index);
}

enum err memory_index_clear(struct env_index *index)
{
	for (size_t i = 0; i < index->count; i++)
		memory_free(index->pairs[i].data);
	index->count = 0;
	return ERR_OK;
}

static enum err grow(struct env_index *index)
{
	size_t capacity = index->capacity == 0 ? 64 : 2 * index->capacity;
	struct pair *pairs;

	if (index->count < index->capacity)
		return ERR_OK;
	pairs = memory_resize(index->pairs, capacity * sizeof(*pairs));
	if (pairs == NULL)
		return ERR_NOMEM;
	index->pairs = pairs;
	index->capacity = capacity;
	return ERR_OK;
}

static enum err put(struct env_index *index, size_t at, const struct env_index_change *change)
{
	struct pair pair = {memory_allocate(change->key.size + change->value.size),
			    change->key.size, change->value.size};
	bool present = is_at(index, at, change->key);

	if (pair.data == NULL || (!present && grow(index) != ERR_OK)) {
		memory_free(pair.data);
		return ERR_NOMEM;
	}
	memcpy(pair.data, change->key.data, change->key.size);
	if (change->value.size != 0)
		memcpy(pair.data + pair.key_size, change->value.data, change->value.size);
	if (present) {
		memory_free(index->pairs[at].data);
	} else {
		memmove(&index->pairs[at + 1], &index->pairs[at],
			(index->count - at) * sizeof(pair));
		index->count++;
	}
	index->pairs[at] = pair;
	return ERR_OK;
}

static void drop(struct env_index *index, size_t at)
{
	memory_free(index->pairs[at].data);
	index->count--;
	memmove(&index->pairs[at], &index->pairs[at + 1],
		(index->count - at) * sizeof(*index->pairs));
}

enum err memory_index_commit(struct env_index *index, const struct env_index_change *changes,
			     size_t change_count, bool durable)
{
	enum err err = ERR_OK;

	(void)durable;
	for (size_t i = 0; err == ERR_OK && i < change_count; i++) {
		size_t at = lower_bound(index, changes[i].key);

		if (changes[i].value.data != NULL)
			err = put(index, at, &changes[i]);
		else if (is_at(index, at, changes[i].key))
			drop(index, at);
	}
	return err;
}

enum err memory_index_get(struct env_index *index, struct bytes key, struct buf *value)
{
	size_t at = lower_bound(index, key);

	if (!is_at(index, at, key))
		return ERR_NOTFOUND;
	buf_put_bytes(value, value_of(&index->pairs[at]));
	return value->err;
}

enum err memory_index_scan(struct env_index *index, struct bytes from, struct bytes before,
			   bool (*each)(void *context, struct bytes key, struct bytes value),
			   void *context)
{
	for (size_t at = lower_bound(index, from); at < index->count; at++) {
		const struct pair *pair = &index->pairs[at];

		if (before.size != 0 && bytes_compare(key_of(pair), before) >= 0)
			break;
		if (!each(context, key_of(pair), value_of(pair)))
			break;
	}
	return ERR_OK;
}
