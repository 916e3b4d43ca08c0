/* SPDX-License-Identifier: MPL-2.0 */
/*
 * store - the set directory as this process sees it: the records of all sets in
 * memory, fed from the journal's TABLE_DIRECTORY stream (engine/journal/table.h)
 * and from column headers. A snapshot of the stream holds of each set one record,
 * the join of all.
 *
 * Without a journal (aerofsck, tests) it lives from the headers alone, and
 * publishing changes only what is in memory: the headers already say it.
 */
#ifndef AEROSTORE_ENGINE_DIRECTORY_STORE_H
#define AEROSTORE_ENGINE_DIRECTORY_STORE_H

#include "engine/directory/directory.h"
#include "engine/journal/journal.h"

struct directory_store_options {
	struct sched *sched;
	struct journal *journal;   /* may be NULL */
	const struct key *signing; /* as journal_writer_create(); may be NULL */
	struct id128 signer;
	uint64_t snapshot_after; /* engine/journal/table.h */
	bool passive;		 /* writes no snapshots */
};

struct directory_store;

MUST_USE enum err directory_store_create(const struct directory_store_options *options,
					 struct directory_store **out);
WAITS void directory_store_destroy(struct directory_store **store);
/* Merges what the journal holds beyond what was read before. *complete as journal_read(). */
WAITS MUST_USE enum err directory_store_refresh(struct directory_store *store, bool *complete);
/* Appends to the journal, durable when it returns ERR_OK, and merges. */
WAITS MUST_USE enum err directory_store_publish(struct directory_store *store,
						const struct directory_record *change);
/* Merges without publishing: what a column's header says. */
MUST_USE enum err directory_store_learn(struct directory_store *store,
					const struct directory_record *record);
/* NULL when unknown. Valid until the next wait. */
const struct directory_record *directory_store_get(const struct directory_store *store,
						   uint64_t set);
/* Visits all, in no order. Start with *position = 0; NULL at the end. No wait meanwhile. */
const struct directory_record *directory_store_next(const struct directory_store *store,
						    size_t *position);
/* Counts changes: who waits across one looks anew when it has moved. */
uint64_t directory_store_version(const struct directory_store *store);

#endif
