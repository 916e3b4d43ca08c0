/* SPDX-License-Identifier: MPL-2.0 */
/*
 * uid_ledger - which message each UID ever named, over all clients, nodes and
 * lives: the oracle of "for all time one (UIDVALIDITY, UID) names at most one
 * message".
 *
 * Whatever any client is told goes in: listings, APPENDUID, COPYUID. A message
 * may get a new UID, a UID never a new message.
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_UID_LEDGER_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_UID_LEDGER_H

#include "tests/sim/workload/listing.h"
#include "tests/sim/workload/verdict.h"

struct uid_name {
	struct id128 mailbox;
	uint32_t uidvalidity, uid;
	struct id128 message;
};

struct uid_ledger {
	struct uid_name *names; /* sorted by mailbox, UIDVALIDITY, UID */
	size_t count, capacity;
};

/* Starts as {0}. */
void uid_ledger_finish(struct uid_ledger *ledger);
/* FINE or UID_REUSED; *before, when it is not NULL, is then what the UID named first. */
enum verdict uid_ledger_tell(struct uid_ledger *ledger, const struct uid_name *name,
			     struct id128 *before);
/* Tells every item; also checks their order. */
enum verdict uid_ledger_tell_listing(struct uid_ledger *ledger, struct id128 mailbox,
				     const struct listing *listing);

#endif
