/* SPDX-License-Identifier: MPL-2.0 */
/*
 * journal_fixture - a node with a journal on a few volumes, each on a simulated
 * disk of its own: /d0/v, /d1/v ... The indexes lie below /index.
 *
 * A payload is "<number>." repeated up to its length, so that an entry says
 * which append it was.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_JOURNAL_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_JOURNAL_FIXTURE_H

#include "engine/journal/store.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_task.h"

#define STORE_VOLUME_MAX 4
#define STORE_ENTRY_MAX 4096

struct store {
	struct sim *sim;
	struct sim_node *node;
	size_t volume_count; /* that the layout names */
	uint64_t segment_size;
	bool absent[STORE_VOLUME_MAX]; /* not opened, as if its disk were gone */
	/* while open */
	struct layout layout;
	struct wire *wire;
	struct volume *volumes[STORE_VOLUME_MAX];
	size_t opened;
	struct journal *journal;
	struct journal_writer *writer;
};

/* Adds the disks to the first node; nothing is formatted yet. */
void store_init(struct store *store, struct sim *sim, size_t volume_count);
struct sim_disk *store_disk(struct store *store, size_t index);
struct id128 store_volume(size_t index);
struct id128 store_stream(unsigned number);

/* In tasks. */
WAITS void store_format(struct store *store, size_t index);
WAITS MUST_USE enum err store_open(struct store *store);
WAITS void store_close(struct store *store);
/* Empties the indexes; the store is closed. */
void store_forget_indexes(struct store *store);
WAITS MUST_USE enum err store_append(struct store *store, struct id128 stream, unsigned number,
				     size_t size);
WAITS MUST_USE enum err store_append_at(struct store *store, struct journal_writer *writer,
					struct id128 stream, uint64_t epoch, unsigned number,
					size_t size);

/* Straight to one replica, behind the journal's back: entry `seq` of a writer, with this text. */
WAITS MUST_USE enum err store_append_to(struct store *store, size_t volume, struct id128 stream,
					uint64_t seq, const char *text);

/* What a stream reads as: numbers of the entries in the order of the visits. */
struct store_read {
	unsigned numbers[STORE_ENTRY_MAX];
	size_t count;
	bool complete;
	struct vector seen;
};

WAITS MUST_USE enum err store_read(struct store *store, struct id128 stream,
				   const struct vector *after, struct store_read *out);
bool store_read_has(const struct store_read *read, unsigned number);

#endif
