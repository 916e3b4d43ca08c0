/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/index.h"

#include <string.h>

#include "tests/sim/allocate.h"

#define KEY_SIZE_LIMIT 511

static struct bytes copy_bytes(struct bytes bytes)
{
	return bytes_make(sim_copy(bytes.data, bytes.size), bytes.size);
}

static void free_bytes(struct bytes *bytes)
{
	void *data;

	/* Owned, hence ours to free, though struct bytes promises not to write. */
	memcpy(&data, &bytes->data, sizeof(data));
	sim_free(data);
	*bytes = (struct bytes){0};
}

static void free_pair(struct sim_index_pair *pair)
{
	free_bytes(&pair->key);
	free_bytes(&pair->value);
}

static void map_clear(struct sim_index_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free_pair(&map->items[i]);
	map->count = 0;
}

/* The first item whose key is not below `key`. */
static size_t lower_bound(const struct sim_index_map *map, struct bytes key)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bytes_compare(map->items[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_at(const struct sim_index_map *map, size_t at, struct bytes key)
{
	return at < map->count && bytes_equal(map->items[at].key, key);
}

static void map_remove_at(struct sim_index_map *map, size_t at)
{
	free_pair(&map->items[at]);
	map->count--;
	memmove(map->items + at, map->items + at + 1, (map->count - at) * sizeof(*map->items));
}

/* An empty key clears, a NULL value deletes. */
static void map_apply(struct sim_index_map *map, struct bytes key, struct bytes value)
{
	size_t at;

	if (key.size == 0) {
		map_clear(map);
		return;
	}
	at = lower_bound(map, key);
	if (value.data == NULL) {
		if (has_at(map, at, key))
			map_remove_at(map, at);
		return;
	}
	if (has_at(map, at, key)) {
		free_bytes(&map->items[at].value);
	} else {
		map->items = sim_grow(map->items, map->count, &map->capacity, sizeof(*map->items));
		memmove(map->items + at + 1, map->items + at,
			(map->count - at) * sizeof(*map->items));
		map->items[at].key = copy_bytes(key);
		map->count++;
	}
	map->items[at].value = copy_bytes(value);
}

struct sim_index *sim_index_create(const char *path)
{
	struct sim_index *index = sim_allocate(sizeof(*index));

	index->path = sim_copy_string(path);
	return index;
}

static void drop_changes(struct sim_index *index)
{
	for (size_t i = 0; i < index->change_count; i++)
		free_pair(&index->changes[i].pair);
	index->change_count = 0;
}

void sim_index_destroy(struct sim_index *index)
{
	map_clear(&index->live);
	map_clear(&index->durable);
	drop_changes(index);
	sim_free(index->live.items);
	sim_free(index->durable.items);
	sim_free(index->changes);
	sim_free(index->path);
	sim_free(index);
}

static void add_change(struct sim_index *index, struct bytes key, struct bytes value)
{
	struct sim_index_change *change;

	index->changes = sim_grow(index->changes, index->change_count, &index->change_capacity,
				  sizeof(*index->changes));
	change = &index->changes[index->change_count++];
	*change = (struct sim_index_change){.commit = index->commit_count};
	if (key.size != 0)
		change->pair.key = copy_bytes(key);
	if (value.data != NULL)
		change->pair.value = copy_bytes(value);
	map_apply(&index->live, key, value);
}

static void make_durable(struct sim_index *index, uint64_t commit_count)
{
	for (size_t i = 0; i < index->change_count; i++) {
		const struct sim_index_change *change = &index->changes[i];

		if (change->commit < commit_count)
			map_apply(&index->durable, change->pair.key, change->pair.value);
	}
	drop_changes(index);
	index->commit_count = 0;
}

enum err sim_index_commit(struct sim_index *index, const struct env_index_change *changes,
			  size_t change_count, bool durable)
{
	for (size_t i = 0; i < change_count; i++) {
		if (changes[i].key.size == 0 || changes[i].key.size > KEY_SIZE_LIMIT)
			return ERR_INVALID;
	}
	for (size_t i = 0; i < change_count; i++)
		add_change(index, changes[i].key, changes[i].value);
	index->commit_count++;
	if (durable)
		make_durable(index, index->commit_count);
	return ERR_OK;
}

enum err sim_index_get(const struct sim_index *index, struct bytes key, struct buf *value)
{
	size_t at = lower_bound(&index->live, key);

	if (!has_at(&index->live, at, key))
		return ERR_NOTFOUND;
	buf_put_bytes(value, index->live.items[at].value);
	return value->err;
}

void sim_index_scan(const struct sim_index *index, struct bytes from, struct bytes before,
		    bool (*each)(void *context, struct bytes key, struct bytes value),
		    void *context)
{
	const struct sim_index_map *map = &index->live;

	for (size_t i = lower_bound(map, from); i < map->count; i++) {
		if (before.size != 0 && bytes_compare(map->items[i].key, before) >= 0)
			return;
		if (!each(context, map->items[i].key, map->items[i].value))
			return;
	}
}

void sim_index_clear(struct sim_index *index)
{
	add_change(index, (struct bytes){0}, (struct bytes){0});
	index->commit_count++;
}

void sim_index_lose(struct sim_index *index)
{
	drop_changes(index);
	index->commit_count = 0;
	map_clear(&index->live);
	map_clear(&index->durable);
	index->is_lost = true;
}

void sim_index_crash(struct sim_index *index, enum sim_crash_outcome outcome,
		     struct sim_random *random)
{
	uint64_t kept = outcome == SIM_CRASH_KEEP_ALL ? index->commit_count
			: outcome == SIM_CRASH_DROP_ALL
				? 0
				: sim_random_below(random, index->commit_count + 1);

	make_durable(index, kept);
	if (outcome == SIM_CRASH_RANDOM && sim_random_below(random, 8) == 0)
		map_clear(&index->durable);
	map_clear(&index->live);
	for (size_t i = 0; i < index->durable.count; i++)
		map_apply(&index->live, index->durable.items[i].key, index->durable.items[i].value);
}
