/* SPDX-License-Identifier: MPL-2.0 */
/*
 * store - opening and closing the journal of a node: the replicas on its
 * volumes, the client that appends and reads, and the resync between them.
 *
 * The layout is the caller's, and says which volumes there are and which have
 * failed; after a change of it the caller calls journal_layout_changed().
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_STORE_H
#define AEROSTORE_ENGINE_JOURNAL_STORE_H

#include "engine/journal/journal.h"
#include "engine/volume/volume.h"

#define JOURNAL_SEGMENT_SIZE (64u * 1024 * 1024)

struct journal_options {
	struct sched *sched;
	struct wire *wire;
	const struct layout *layout;   /* borrowed, outlives the journal */
	struct volume *const *volumes; /* of this process, open; outlive the journal */
	size_t volume_count;
	const char *index_directory; /* one index a volume below it: journal-<volume> */
	uint64_t segment_size;	     /* 0: JOURNAL_SEGMENT_SIZE */
};

/*
 * Opens the replicas and compares them with each other before it returns, so that every live one is
 * complete as far as the others allow. A volume whose journal cannot be opened is marked as failed
 * (volume_fail) and left out. ERR_UNAVAILABLE: none is left; ERR_FOREIGN, ERR_NEWER: refused.
 */
WAITS MUST_USE enum err journal_open(const struct journal_options *options, struct journal **out);
/* Writers must be destroyed and watches stopped before. */
WAITS void journal_close(struct journal **journal);
/*
 * A volume that came while the journal is open, and is in the layout: serves its replica, which
 * counts when it has been brought up to date. Errors as journal_open(); it is then not served.
 */
WAITS MUST_USE enum err journal_add_volume(struct journal *journal, struct volume *volume);
/* The layout was changed: a volume failed, came, is full. */
void journal_layout_changed(struct journal *journal);
/*
 * Compares all replicas now and brings those behind up to date. ERR_OK: every live designated
 * replica holds everything that any live one holds. ERR_UNAVAILABLE: some could not be asked.
 */
WAITS MUST_USE enum err journal_resync(struct journal *journal);

#endif
