/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/workload/uid_ledger.h"

#include <string.h>

#include "tests/sim/allocate.h"

void uid_ledger_finish(struct uid_ledger *ledger)
{
	sim_free(ledger->names);
	*ledger = (struct uid_ledger){0};
}

static int compare(const struct uid_name *a, const struct uid_name *b)
{
	int order = id128_compare(a->mailbox, b->mailbox);

	if (order == 0)
		order = (a->uidvalidity > b->uidvalidity) - (a->uidvalidity < b->uidvalidity);
	if (order == 0)
		order = (a->uid > b->uid) - (a->uid < b->uid);
	return order;
}

enum verdict uid_ledger_tell(struct uid_ledger *ledger, const struct uid_name *name,
			     struct id128 *before)
{
	size_t low = 0, high = ledger->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&ledger->names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < ledger->count && compare(&ledger->names[low], name) == 0) {
		if (id128_equal(ledger->names[low].message, name->message))
			return VERDICT_FINE;
		if (before != NULL)
			*before = ledger->names[low].message;
		return VERDICT_UID_REUSED;
	}
	ledger->names =
		sim_grow(ledger->names, ledger->count, &ledger->capacity, sizeof(*ledger->names));
	memmove(ledger->names + low + 1, ledger->names + low,
		(ledger->count - low) * sizeof(*ledger->names));
	ledger->names[low] = *name;
	ledger->count++;
	return VERDICT_FINE;
}

enum verdict uid_ledger_tell_listing(struct uid_ledger *ledger, struct id128 mailbox,
				     const struct listing *listing)
{
	if (!listing_ascends(listing))
		return VERDICT_UID_DISORDER;
	for (size_t i = 0; i < listing->count; i++) {
		const struct uid_name name = {.mailbox = mailbox,
					      .uidvalidity = listing->uidvalidity,
					      .uid = listing->items[i].uid,
					      .message = listing->items[i].message};
		enum verdict verdict = uid_ledger_tell(ledger, &name, NULL);

		if (verdict != VERDICT_FINE)
			return verdict;
	}
	return VERDICT_FINE;
}
