/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/listing.h"

#include <string.h>

#include "tests/sim/allocate.h"

void listing_finish(struct listing *listing)
{
	sim_free(listing->items);
	*listing = (struct listing){0};
}

void listing_clear(struct listing *listing)
{
	listing->uidvalidity = listing->uidnext = 0;
	listing->highestmodseq = 0;
	listing->count = 0;
}

void listing_add(struct listing *listing, struct listed item)
{
	listing->items = sim_grow(listing->items, listing->count, &listing->capacity,
				  sizeof(*listing->items));
	listing->items[listing->count++] = item;
}

/* The first item whose UID is not below. */
static size_t lower_bound(const struct listing *listing, uint32_t uid)
{
	size_t low = 0, high = listing->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (listing->items[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_at(const struct listing *listing, size_t at, uint32_t uid)
{
	return at < listing->count && listing->items[at].uid == uid;
}

void listing_set(struct listing *listing, struct listed item)
{
	size_t at = lower_bound(listing, item.uid);

	if (!has_at(listing, at, item.uid)) {
		listing_add(listing, item);
		memmove(listing->items + at + 1, listing->items + at,
			(listing->count - 1 - at) * sizeof(*listing->items));
	}
	listing->items[at] = item;
}

void listing_remove(struct listing *listing, uint32_t uid)
{
	size_t at = lower_bound(listing, uid);

	if (!has_at(listing, at, uid))
		return;
	listing->count--;
	memmove(listing->items + at, listing->items + at + 1,
		(listing->count - at) * sizeof(*listing->items));
}

const struct listed *listing_find(const struct listing *listing, uint32_t uid)
{
	size_t at = lower_bound(listing, uid);

	return has_at(listing, at, uid) ? &listing->items[at] : NULL;
}

void listing_copy(struct listing *to, const struct listing *from)
{
	listing_clear(to);
	to->uidvalidity = from->uidvalidity;
	to->uidnext = from->uidnext;
	to->highestmodseq = from->highestmodseq;
	for (size_t i = 0; i < from->count; i++)
		listing_add(to, from->items[i]);
}

bool listing_ascends(const struct listing *listing)
{
	for (size_t i = 1; i < listing->count; i++) {
		if (listing->items[i - 1].uid >= listing->items[i].uid)
			return false;
	}
	return true;
}

bool listing_agrees(const struct listing *a, const struct listing *b)
{
	if (a->count != b->count || a->uidvalidity != b->uidvalidity)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct listed *left = &a->items[i], *right = &b->items[i];

		if (left->uid != right->uid || left->flags != right->flags ||
		    !id128_equal(left->message, right->message))
			return false;
	}
	return true;
}
