/* SPDX-License-Identifier: MPL-2.0 */
/*
 * accounts - the account table as it lives on this node: loaded from its
 * journal stream, kept up to date by a watch, extended by publishing.
 *
 * What is in the stream is trusted for nothing but being there: each record is
 * verified by account_table_apply(), once a node: snapshots that this node has
 * signed are of records that it had verified (engine/journal/table.h). So a load
 * verifies the entries since this node's last snapshot; or, when the snapshot is
 * another node's, of each account that was ever made what counts still: its
 * birth, its status, and a keys and a slots record for each identity it has had.
 */
#ifndef AEROSTORE_ENGINE_ACCOUNT_ACCOUNTS_H
#define AEROSTORE_ENGINE_ACCOUNT_ACCOUNTS_H

#include "engine/account/account.h"
#include "engine/journal/table.h"

struct accounts;

struct accounts_options {
	struct sched *sched;
	struct journal *journal;
	struct id128 cluster, node;
	const uint8_t *admin_public; /* PUBLIC_SIZE */
	const struct key *signing;   /* the node's; NULL: it verifies everything at each load */
	uint64_t snapshot_after;     /* engine/journal/table.h */
	bool passive;		     /* writes no snapshots */
};

/* Reads the whole stream. ERR_UNAVAILABLE when the journal cannot be read. */
WAITS MUST_USE enum err accounts_open(const struct accounts_options *options,
				      struct accounts **out);
WAITS void accounts_close(struct accounts **accounts);
const struct account_table *accounts_table(const struct accounts *accounts);
void accounts_get_status(const struct accounts *accounts, struct journal_table_status *out);

/* The two functions of struct account_source (engine/mailbox/mailbox.h); context: struct accounts. */
const struct account_record *accounts_find(void *context, struct bytes normalised_address);
/* Verifies the record against the table first: nothing that would be ignored is appended. */
WAITS MUST_USE enum err accounts_publish(void *context, struct bytes record);

/*
 * Whether the table has all that any volume has of it, and nothing that is not durable: what is not
 * in it does not exist. ERR_UNAVAILABLE (*silent says which volume), ERR_STALE: not now.
 */
WAITS MUST_USE enum err accounts_verify(struct accounts *accounts, struct id128 *silent);

#endif
