/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/reclaim/estimate.h"

#include <stdlib.h>

#include "engine/base/memory.h"

/* Sets that one birth set's records may have gone to. */
#define HOLDER_MAX 16u

struct share {
	uint64_t live, certain;
};

static enum err credit_set(struct estimate *estimate, uint64_t set, uint64_t size, bool certain)
{
	struct share *share = map_get(&estimate->shares, &set);
	enum err err = ERR_OK;

	if (share == NULL) {
		share = memory_allocate(sizeof(*share));
		if (share == NULL)
			return ERR_NOMEM;
		err = map_put(&estimate->shares, &set, share);
	}
	if (err != ERR_OK) {
		memory_free(share);
		return err;
	}
	share->live += size;
	share->certain += certain ? size : 0;
	return ERR_OK;
}

static enum err credit(void *context, uint64_t set, uint64_t size)
{
	struct estimate *estimate = context;
	uint64_t holders[HOLDER_MAX];
	size_t count;
	enum err err = ERR_OK;

	if (size == 0)
		return ERR_OK;
	count = compact_holders(estimate->blobs, set, holders, HOLDER_MAX);
	estimate->live += size;
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = credit_set(estimate, holders[i], size, count == 1);
	return err;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static enum err add_set(void *context, const struct compact_set *set)
{
	struct estimate *estimate = context;
	const struct share *share = map_get(&estimate->shares, &set->set);
	struct share none = {0};

	if (share == NULL)
		share = &none;
	estimate->sealed += set->size;
	if (estimate->count == estimate->capacity) {
		size_t capacity = estimate->capacity != 0 ? estimate->capacity * 2 : 64;
		struct estimate_item *items =
			memory_resize(estimate->items, capacity * sizeof(*items));

		if (items == NULL)
			return ERR_NOMEM;
		estimate->items = items;
		estimate->capacity = capacity;
	}
	estimate->items[estimate->count++] =
		(struct estimate_item){.set = *set,
				       .credited = share->live,
				       .live = min_u64(share->live, set->size),
				       .certain = min_u64(share->certain, set->size)};
	return ERR_OK;
}

static int compare_items(const void *left, const void *right)
{
	const struct estimate_item *a = left, *b = right;
	double x = (double)a->live * (double)b->set.size, y = (double)b->live * (double)a->set.size;

	if (x != y)
		return x < y ? -1 : 1;
	return a->set.set < b->set.set ? -1 : a->set.set > b->set.set;
}

enum err estimate_make(struct liveness_judge *judge, struct estimate *out)
{
	enum err err;

	*out = (struct estimate){.blobs = judge->blobs};
	map_init(&out->shares, sizeof(uint64_t));
	err = liveness_walk(judge, credit, out);
	if (err == ERR_OK)
		err = compact_sets(judge->blobs, add_set, out);
	if (err == ERR_OK && out->count > 1)
		qsort(out->items, out->count, sizeof(*out->items), compare_items);
	return err;
}

void estimate_finish(struct estimate *estimate)
{
	struct share *share;
	size_t position = 0;

	while ((share = map_next(&estimate->shares, &position, NULL)) != NULL)
		memory_free(share);
	map_finish(&estimate->shares);
	memory_free(estimate->items);
}

/* ---- what was inspected ---- */

void estimate_memory_init(struct estimate_memory *memory)
{
	map_init(&memory->seen, sizeof(uint64_t));
}

void estimate_memory_finish(struct estimate_memory *memory)
{
	map_finish(&memory->seen);
}

/* A value is the bytes plus one: NULL means that it was not. */
void estimate_memory_note(struct estimate_memory *memory, const struct estimate_item *item)
{
	/* Without memory it is inspected once more. */
	(void)!map_put(&memory->seen, &item->set.set, (void *)(uintptr_t)(item->credited + 1));
}

bool estimate_memory_has(const struct estimate_memory *memory, const struct estimate_item *item)
{
	uintptr_t seen = (uintptr_t)map_get(&memory->seen, &item->set.set);

	return seen != 0 && item->credited >= seen - 1;
}
