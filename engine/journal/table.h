/* SPDX-License-Identifier: MPL-2.0 */
/*
 * table - one of the cluster's tables as a stream: entries that carry a record
 * each, and snapshots of them, so that what does not count any more goes.
 *
 * A snapshot is an ordinary manifest of the table's stream. Its pages
 * (engine/journal/table_page.h) hold, byte for byte, the records that still
 * count. Loading is the manifest's pages, of siblings' too, then the entries
 * outside its vector. One is written in the background when the entries since
 * the last are more than the records that count, and more than `snapshot_after`:
 * so that each entry costs the writing of one record at most, and the stream
 * holds twice what counts at most. Replicas let the entries go by the journal's
 * ordinary rule.
 *
 * Signatures: records that carry their own are verified by the owner in apply().
 * A snapshot that this very node wrote says so by its signature, and apply() is
 * told (`vouched`): the records in it were verified once already, by this node,
 * against the same authority. What another node wrote is verified record by record,
 * and so is a snapshot that carries refused records along (INV 2).
 *
 * INV 1  The table is a join: what the owner holds after reading does not depend
 *        on which snapshots there were.
 * INV 2  A snapshot stands for an entry only when its record was applied, or is
 *        in the snapshot as it is: a record that the owner refuses (a later
 *        version's; of another authority; too much at once) is carried along
 *        unread. When these are more than TABLE_REFUSED_MAX octets, or a page
 *        was damaged, no snapshot is written.
 *
 * The owner provides apply() and each(), which do not wait.
 *
 * Memory: while a snapshot is written, the records that count once more.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_TABLE_H
#define AEROSTORE_ENGINE_JOURNAL_TABLE_H

#include "engine/journal/journal.h"

#define TABLE_REFUSED_MAX (1024u * 1024)
#define TABLE_SNAPSHOT_AFTER 1000u

struct journal_table;

struct journal_table_options {
	struct sched *sched;
	struct journal *journal;
	enum table table;
	/*
	 * Merges one record. ERR_NOMEM ends the reading; other errors: it was not taken, and is
	 * kept as it is.
	 */
	enum err (*apply)(void *context, struct bytes record, bool vouched);
	/* Visits the records that count, which applied in this order give the table again. */
	enum err (*each)(void *context, enum err (*visit)(void *visit_context, struct bytes record),
			 void *visit_context);
	void *context;
	const struct key *signing; /* the node's; may be NULL */
	struct id128 signer;	   /* the node */
	bool vouches;		   /* apply() verifies: snapshots are signed, entries are not */
	struct bytes authority;	   /* what it verifies against; borrowed */
	uint64_t snapshot_after;   /* entries; 0: TABLE_SNAPSHOT_AFTER; small in tests */
	bool passive;		   /* writes no snapshots */
};

struct journal_table_status {
	uint64_t entries_read, records_loaded, records_vouched; /* loaded: from snapshots */
	uint64_t snapshots;					/* written */
	size_t refused;						/* records carried along */
};

MUST_USE enum err journal_table_create(const struct journal_table_options *options,
				       struct journal_table **out);
/* Waits for a snapshot that is being written. Harmless on NULL. */
WAITS void journal_table_destroy(struct journal_table **table);
/*
 * Applies everything that the journal has beyond what was read before. *complete as journal_read().
 * ERR_UNAVAILABLE: it cannot be read now; what was applied stays.
 */
WAITS MUST_USE enum err journal_table_refresh(struct journal_table *table, bool *complete);
/* As journal_append(). Does not apply. */
WAITS MUST_USE enum err journal_table_append(struct journal_table *table, struct bytes record);
/* Which entries were read, or are covered by what was. Valid until the next wait. */
const struct vector *journal_table_seen(const struct journal_table *table);
/* Writes a snapshot now; ERR_STALE: one of another node came first; ERR_LIMIT: INV 2 forbids it. */
WAITS MUST_USE enum err journal_table_snapshot(struct journal_table *table);
void journal_table_get_status(const struct journal_table *table, struct journal_table_status *out);

#endif
