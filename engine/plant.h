/* SPDX-License-Identifier: MPL-2.0 */
/*
 * plant - bugs that tests switch on, to prove that their oracles find them.
 *
 *	if (!PLANTED(ack_before_sync))
 *		err = wait_for_sync(batch);
 *
 * PLANTED() is the constant 0 unless AEROSTORE_PLANT is defined, which only the
 * engine archive linked to tests does: production objects hold no switch. A bug
 * stands where a real one would, one line at the place, and does what the real
 * one would do.
 */
#ifndef AEROSTORE_ENGINE_PLANT_H
#define AEROSTORE_ENGINE_PLANT_H

/* X(name, what the bug does) */
#define PLANT_LIST(X)                                                                              \
	X(ack_before_sync, "a batch is acknowledged before its sync has ended")                    \
	X(reclaim_ignores_writers, "a blob is dead though a paused writer is about to name it")    \
	X(reclaim_ignores_unseen, "a blob is dead though an entry outside the manifest names it")  \
	X(reclaim_ignores_siblings, "a blob is dead though a sibling manifest refers to it")       \
	X(orphans_kept, "what an earlier process uploaded and nobody names is kept for ever")      \
	X(removed_column_stays, "the file of a column that was removed stays on the disk")         \
	X(deleted_stream_stays, "the journal keeps what a deleted account had there")              \
	X(successor_unfinished, "a successor takes over before all its columns are durable")       \
	X(closed_reused, "replicas accept entries of an incarnation that is closed")               \
	X(mirror_dropped_before_votes, "a parity volume drops its mirror before the certificate")  \
	X(parity_over_stale_bytes, "parity is computed over bytes that are not the column's")      \
	X(torn_tail_as_corruption, "a record never finished is reported as damage")                \
	X(corruption_as_torn_tail, "a damaged record ends the file as if it were torn")            \
	X(fsync_retried, "a failed sync is repeated, and its success believed")                    \
	X(failed_sync_forgotten, "after a restart what a failed sync left in memory is believed")  \
	X(directory_entry_unsynced, "a new file is used before its directory is synced")           \
	X(uid_reused_after_restart, "UIDs reserved but not stamped are given out again")           \
	X(tombstone_forgotten, "an expunged id is forgotten before every replica knows")           \
	X(journal_ack_one_replica, "one replica's sync acknowledges an append")                    \
	X(minority_shown, "readers visit what no quorum holds, and write nothing back")            \
	X(failure_left_open, "a home goes on before it knows what came of an append that failed")  \
	X(orphans_wait, "summaries of messages that are gone wait to be packed")                   \
	X(fence_ignored, "a replica accepts a write under a lower epoch")                          \
	X(restamp_uid_stays, "a UID that some home's clients may miss stays what it is")           \
	X(restamp_modseq_stays, "a modseq that some home's clients may miss stays what it is")     \
	X(restamp_removals_stay, "removals on one side do not raise HIGHESTMODSEQ")                \
	X(table_record_left_out, "a snapshot of a table leaves out a record that counts")          \
	X(group_in_parts, "each entry of a group takes effect as it comes")                        \
	X(repair_from_rotten, "a column is made anew from bytes known to be bad, unchecked")       \
	X(rebuild_wrong_row, "a column is made anew with another's row of the matrix")             \
	X(stale_volume_trusted, "an old copy of a disk that was put back is taken at its word")    \
	X(wrong_matrix_row, "one parity column is computed with another's row of the matrix")

enum plant {
#define X(name, text) PLANT_##name,
	PLANT_LIST(X)
#undef X
		PLANT_COUNT, /* how many: not one of them */
};

#ifdef AEROSTORE_PLANT
#include <stdbool.h>

/* tests/sim/plant.c: whether the bug is switched on; counts the question. */
bool plant_is_on(enum plant plant);
#define PLANTED(name) plant_is_on(PLANT_##name)
#else
#define PLANTED(name) 0
#endif

#endif
