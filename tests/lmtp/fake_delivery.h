/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fake_delivery - engine/mailbox/delivery.h in memory, for tests of the LMTP
 * server alone: what it was given is kept, and it fails where it is told to.
 *
 * Linked into the tests that the Makefile names, in front of the engine's.
 */
#ifndef AEROSTORE_TESTS_LMTP_FAKE_DELIVERY_H
#define AEROSTORE_TESTS_LMTP_FAKE_DELIVERY_H

#include "engine/mailbox/delivery.h"

/* An account is known by the first octet of its id, below this. */
#define FAKE_ACCOUNTS 8u
#define FAKE_RECIPIENTS 8u

struct delivery_agent {
	/* The next call fails so, then none. */
	enum err begin_error, recipient_error;
	/* Every write fails so, as when all recipients have failed, and they have. */
	enum err write_error;
	/* What becomes of each account's copy. */
	enum err results[FAKE_ACCOUNTS];
	/* Called when a recipient was added; may be NULL. */
	void (*added)(void *context);
	void *context;
	/* Per account: the copies that were delivered one behind the other, and +detail of the last. */
	struct buf stored[FAKE_ACCOUNTS], folders[FAKE_ACCOUNTS];
	size_t open, begun, recipients, finished; /* transactions; counted */
};

void fake_delivery_init(struct delivery_agent *agent);
/* No transaction may be open. */
void fake_delivery_finish(struct delivery_agent *agent);

#endif
