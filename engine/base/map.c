/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/map.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "engine/base/memory.h"

/* A slot is the value pointer followed by the key; an empty one has a NULL value. */
static size_t slot_size(const struct map *map)
{
	return sizeof(void *) + (map->key_size + 7) / 8 * 8;
}

static uint8_t *slot_at(const struct map *map, size_t index)
{
	return map->slots + index * slot_size(map);
}

static void *slot_value(const uint8_t *slot)
{
	void *value;

	memcpy(&value, slot, sizeof(value));
	return value;
}

static void slot_set(const struct map *map, uint8_t *slot, const void *key, void *value)
{
	memcpy(slot, &value, sizeof(value));
	memcpy(slot + sizeof(value), key, map->key_size);
}

static size_t home_of(const struct map *map, const void *key)
{
	return (size_t)hash_64(key, map->key_size) & (map->capacity - 1);
}

void map_init(struct map *map, size_t key_size)
{
	ASSERT(key_size >= 1 && key_size <= 64);
	*map = (struct map){.key_size = key_size};
}

void map_finish(struct map *map)
{
	memory_free(map->slots);
	map->slots = NULL;
	map->capacity = map->count = 0;
}

/* The slot that holds the key, or the empty one where it would go. */
static uint8_t *find(const struct map *map, const void *key)
{
	size_t index = home_of(map, key);

	for (;;) {
		uint8_t *slot = slot_at(map, index);

		if (slot_value(slot) == NULL ||
		    memcmp(slot + sizeof(void *), key, map->key_size) == 0)
			return slot;
		index = (index + 1) & (map->capacity - 1);
	}
}

void *map_get(const struct map *map, const void *key)
{
	return map->count == 0 ? NULL : slot_value(find(map, key));
}

static enum err grow(struct map *map)
{
	struct map bigger = {.key_size = map->key_size,
			     .capacity = map->capacity != 0 ? map->capacity * 2 : 16,
			     .count = map->count};

	bigger.slots = memory_array(bigger.capacity, slot_size(map));
	if (bigger.slots == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < map->capacity; i++) {
		const uint8_t *slot = slot_at(map, i);

		if (slot_value(slot) != NULL)
			slot_set(&bigger, find(&bigger, slot + sizeof(void *)),
				 slot + sizeof(void *), slot_value(slot));
	}
	memory_free(map->slots);
	*map = bigger;
	return ERR_OK;
}

enum err map_put(struct map *map, const void *key, void *value)
{
	uint8_t *slot;

	ASSERT(value != NULL);
	if (map->count + 1 > map->capacity / 4 * 3) {
		enum err err = grow(map);

		if (err != ERR_OK)
			return err;
	}
	slot = find(map, key);
	map->count += slot_value(slot) == NULL;
	slot_set(map, slot, key, value);
	return ERR_OK;
}

void *map_remove(struct map *map, const void *key)
{
	size_t hole, index;
	uint8_t *slot;
	void *value;

	if (map->count == 0)
		return NULL;
	slot = find(map, key);
	value = slot_value(slot);
	if (value == NULL)
		return NULL;
	map->count--;
	hole = (size_t)(slot - map->slots) / slot_size(map);
	for (index = hole;;) {
		size_t home;
		uint8_t *next;

		index = (index + 1) & (map->capacity - 1);
		next = slot_at(map, index);
		if (slot_value(next) == NULL)
			break;
		/* An entry may fill the hole only if its probe passes through it. */
		home = home_of(map, next + sizeof(void *));
		if (((index - home) & (map->capacity - 1)) < ((index - hole) & (map->capacity - 1)))
			continue;
		memcpy(slot_at(map, hole), next, slot_size(map));
		hole = index;
	}
	memset(slot_at(map, hole), 0, slot_size(map));
	return value;
}

void *map_next(const struct map *map, size_t *position, const void **key)
{
	while (*position < map->capacity) {
		const uint8_t *slot = slot_at(map, (*position)++);

		if (slot_value(slot) == NULL)
			continue;
		if (key != NULL)
			*key = slot + sizeof(void *);
		return slot_value(slot);
	}
	return NULL;
}
