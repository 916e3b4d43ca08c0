/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/poller.h"

#include "engine/base/assert.h"

void poller_finish(struct poller *poller)
{
	listing_finish(&poller->known);
	*poller = (struct poller){0};
}

/* What holds of any listing, and of the numbers told before it. */
static enum verdict judge_numbers(const struct poller *poller, const struct listing *full)
{
	if (!listing_ascends(full))
		return VERDICT_UID_DISORDER;
	for (size_t i = 0; i < full->count; i++) {
		if (full->items[i].uid >= full->uidnext)
			return VERDICT_UID_BELOW;
		if (full->items[i].modseq > full->highestmodseq)
			return VERDICT_MODSEQ_BELOW;
	}
	if (!poller->started)
		return VERDICT_FINE;
	if (full->uidvalidity != poller->known.uidvalidity)
		return VERDICT_VALIDITY_MOVED;
	if (full->highestmodseq < poller->known.highestmodseq)
		return VERDICT_MODSEQ_BELOW;
	return full->uidnext < poller->known.uidnext ? VERDICT_UID_BELOW : VERDICT_FINE;
}

/* All that a client that asks for UIDs from UIDNEXT would never hear of. */
static enum verdict judge_uids(const struct poller *poller, const struct listing *full)
{
	for (size_t i = 0; i < full->count && full->items[i].uid < poller->known.uidnext; i++) {
		const struct listed *item = &full->items[i];
		const struct listed *known = listing_find(&poller->known, item->uid);

		if (known == NULL)
			return VERDICT_UID_BELOW;
		if (!id128_equal(known->message, item->message))
			return VERDICT_UID_REUSED;
	}
	return VERDICT_FINE;
}

static enum verdict judge_changes(struct poller *poller, const struct listing *full,
				  const struct poll_changes *changes)
{
	for (size_t i = 0; i < changes->vanished_count; i++)
		listing_remove(&poller->known, changes->vanished[i]);
	for (size_t i = 0; i < changes->changed.count; i++)
		listing_set(&poller->known, changes->changed.items[i]);
	return listing_agrees(&poller->known, full) ? VERDICT_FINE : VERDICT_CHANGE_MISSED;
}

enum verdict poller_poll(struct poller *poller, const struct listing *full,
			 const struct poll_changes *changes)
{
	enum verdict verdict = judge_numbers(poller, full);

	ASSERT(!poller->started || changes != NULL);
	if (verdict == VERDICT_FINE && poller->started)
		verdict = judge_uids(poller, full);
	if (verdict == VERDICT_FINE && poller->started)
		verdict = judge_changes(poller, full, changes);
	listing_copy(&poller->known, full);
	poller->started = true;
	return verdict;
}
