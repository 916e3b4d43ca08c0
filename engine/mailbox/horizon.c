/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/horizon.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

void horizons_finish(struct horizons *horizons)
{
	for (size_t i = 0; i < horizons->count; i++)
		vector_finish(&horizons->items[i].seen);
	memory_free(horizons->items);
	*horizons = (struct horizons){0};
}

enum err horizons_add(struct horizons *horizons, const struct horizon *horizon)
{
	enum err err = ARRAY_GROW(horizons->items, horizons->capacity, horizons->count);

	if (!err)
		horizons->items[horizons->count++] = *horizon;
	return err;
}

void horizons_remove(struct horizons *horizons, size_t index)
{
	vector_finish(&horizons->items[index].seen);
	horizons->count--;
	memmove(&horizons->items[index], &horizons->items[index + 1],
		(horizons->count - index) * sizeof(*horizons->items));
}

struct horizon *horizons_named(const struct horizons *horizons, struct entry_mark from)
{
	for (size_t i = 0; i < horizons->count; i++) {
		struct horizon *at = &horizons->items[i];

		if (at->from.writer == from.writer && at->from.seq == from.seq)
			return at;
	}
	return NULL;
}

const struct horizon *horizons_of(const struct horizons *horizons, struct entry_mark entry)
{
	const struct horizon *found = NULL;

	for (size_t i = 0; i < horizons->count; i++) {
		const struct horizon *at = &horizons->items[i];

		if (at->from.writer == entry.writer && at->from.seq <= entry.seq &&
		    (!found || at->from.seq > found->from.seq))
			found = at;
	}
	return found;
}

/* The one that its writer said after it. */
static const struct horizon *next_of(const struct horizons *horizons, const struct horizon *horizon)
{
	const struct horizon *found = NULL;

	for (size_t i = 0; i < horizons->count; i++) {
		const struct horizon *at = &horizons->items[i];

		if (at->from.writer == horizon->from.writer && at->from.seq > horizon->from.seq &&
		    (!found || at->from.seq < found->from.seq))
			found = at;
	}
	return found;
}

bool horizon_covers(const struct horizon *horizon, const struct writers *writers,
		    struct entry_mark entry)
{
	return horizon->from.writer == entry.writer ||
	       vector_get(&horizon->seen, writers->ids[entry.writer]) >= entry.seq;
}

/* The entry's own horizon was taken out by a mended one: was this one judged with it? */
static bool judged_together(const struct horizons *horizons, const struct writers *writers,
			    const struct horizon *horizon, struct entry_mark entry)
{
	for (size_t i = 0; i < horizons->count; i++) {
		const struct horizon *at = &horizons->items[i];

		if (at->mended && horizon_covers(at, writers, entry) &&
		    horizon_covers(at, writers, horizon->from))
			return true;
	}
	return false;
}

bool horizons_may_drop(const struct horizons *horizons, const struct writers *writers,
		       const struct horizon *horizon, struct entry_mark entry)
{
	const struct horizon *own = horizons_of(horizons, entry);
	const struct horizon *next = next_of(horizons, horizon);

	if (horizon_covers(horizon, writers, entry))
		return false;
	if (!own)
		return !judged_together(horizons, writers, horizon, entry);
	return !next || !horizon_covers(own, writers, next->from);
}
