/* SPDX-License-Identifier: MPL-2.0 */
/*
 * poller - one device that keeps a mailbox in sync by what the server tells it,
 * and then looks whether it was told everything.
 *
 * Two kinds of clients live in one poller, since both must be right:
 *   - the UID poller asks for UIDs from the UIDNEXT that it was told last, and
 *     for which of the known ones are left: what appears below is lost to it;
 *   - the CHANGEDSINCE poller asks for what changed since the HIGHESTMODSEQ
 *     that it was told last, and what vanished (RFC 7162).
 * Each poll hands in the answers of one moment: the full listing, and what the
 * server gave for the poller's own modseq. A poller survives crashes and cuts,
 * and may poll another node each time; then listings may be older than what it
 * knows: poller_poll() is for a server that must know all (the same home, or
 * after the merge).
 */
#ifndef AEROSTORE_TESTS_SIM_WORKLOAD_POLLER_H
#define AEROSTORE_TESTS_SIM_WORKLOAD_POLLER_H

#include "tests/sim/workload/listing.h"
#include "tests/sim/workload/verdict.h"

struct poller {
	bool started;
	struct listing known; /* with the numbers told last */
};

/* CHANGEDSINCE known.highestmodseq: what was changed or came, and which UIDs went. */
struct poll_changes {
	struct listing changed;
	uint32_t *vanished;
	size_t vanished_count;
};

/* Starts as {0}. */
void poller_finish(struct poller *poller);
/*
 * `full` is the mailbox now. The first poll takes it as it is and needs no changes (NULL). After
 * a verdict other than FINE the poller takes the full listing as its state.
 */
enum verdict poller_poll(struct poller *poller, const struct listing *full,
			 const struct poll_changes *changes);

#endif
