/* SPDX-License-Identifier: MPL-2.0 */
/* mailbox_private - what the parts of a mailbox run share. */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_MAILBOX_PRIVATE_H
#define AEROSTORE_TESTS_SIM_WHOLE_MAILBOX_PRIVATE_H

#include "engine/engine.h"
#include "tests/sim/whole/other_side.h"
#include "tests/sim/workload/workload.h"

#define ACCOUNTS 2u
/* Whose homes are elsewhere. */
#define OTHER_ACCOUNT ACCOUNTS
/* Per cent: so much of each set lives, or it is taken apart. Without mercy. */
#define COMPACT_BELOW 95u

/* One life of an account's idle session, and what its client knows by the numbers it was told. */
struct idle {
	struct mailbox *mailbox;
	struct view *view;
	uint32_t *uids; /* by sequence number, from 0 */
	size_t count, capacity;
	bool confused; /* it was told of a message that it does not have there */
};

struct system {
	struct world world;
	struct report *report;
	struct sim_random random;
	uint64_t column_size, segment_size, snapshot_entries;
	const char *paths[WORLD_VOLUME_MAX];
	struct key *admin, *node_key;
	struct engine *engine;
	struct idle idle[ACCOUNTS];
	struct uid_ledger told; /* COPYUID */
	struct other_side other;
	uint64_t quarantine_ms;
	bool quiet;
	bool examined; /* no volume is missing at the end, and reclaiming is put to the test */
};

/* Ends the session of the account that stays. */
void session_leave(struct system *system, uint32_t account);
/* struct target: at_rest. */
WAITS void session_at_rest(void *system, struct sim_node *node);

#endif
