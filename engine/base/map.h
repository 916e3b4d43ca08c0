/* SPDX-License-Identifier: MPL-2.0 */
/*
 * map - a hash table from fixed-size keys to pointers.
 *
 * Open addressing with linear probing and backward-shift deletion, so there
 * are no tombstones and a lookup touches one or two cache lines. Keys are
 * copied in; values are the caller's. Not ordered: nothing that must be
 * deterministic may depend on the order of map_next() (it depends only on the
 * operations done and the seed, hence is the same on replay, but not sorted).
 */
#ifndef AEROSTORE_ENGINE_BASE_MAP_H
#define AEROSTORE_ENGINE_BASE_MAP_H

#include "engine/base/bytes.h"

struct map {
	uint8_t *slots;
	size_t key_size, capacity, count;
};

/* key_size in bytes, 1..64. Allocates nothing until the first insertion. */
void map_init(struct map *map, size_t key_size);
void map_finish(struct map *map);
/* NULL when absent. */
void *map_get(const struct map *map, const void *key);
/* Inserts or replaces; value is not NULL. ERR_NOMEM leaves the map as it was. */
MUST_USE enum err map_put(struct map *map, const void *key, void *value);
/* Removes and returns the value, NULL when absent. */
void *map_remove(struct map *map, const void *key);
/* Iterates: start with *position = 0; NULL at the end. No change meanwhile. */
void *map_next(const struct map *map, size_t *position, const void **key);

#endif
