/* SPDX-License-Identifier: MPL-2.0 */
/*
 * commit - a volume's group commit: a queue of writes, and the one commit that
 * is under way. A volume has two, one of them for bulk.
 *
 *   idle ──commit_submit()──▶ scheduled ──next turn──▶ writing ──▶ idle or writing
 *
 * Writing is one env_io COMMIT of what was queued, which says, too, whether the
 * synced bytes went where anybody will find them (the file has a link, the
 * witness, which is the superblock, is still the same file); then all of the
 * batch complete, in order. A batch of unsynced writes alone syncs nothing, and
 * does not ask.
 *
 * Arrays for a whole batch are allocated once: a write allocates nothing and
 * copies nothing. The owner decides about space and failure; it learns of both
 * through `disk_error`, before the writes complete. That ERR_NOSPACE takes with it
 * whatever is queued: no later write of a file may land behind a missing one.
 */
#ifndef AEROSTORE_ENGINE_VOLUME_COMMIT_H
#define AEROSTORE_ENGINE_VOLUME_COMMIT_H

#include "engine/volume/volume.h"

struct commit_queue {
	struct volume_write *first, *last;
};

struct commit {
	/* Set by the owner before commit_init(). */
	struct env *env;
	const char *witness_path; /* borrowed */
	uint64_t witness_device, witness_inode;
	struct group *pending; /* entered while anything is queued or under way */
	void (*disk_error)(void *context, enum err err);
	void (*settled)(void *context, uint64_t size); /* an admitted write is over */
	void *context;
	enum err failed; /* ERR_OK, or what every write completes with */

	struct commit_queue queue, batch;
	bool busy;
	struct env_io io;
	struct env_write *writes;
	struct bytes *parts;
	struct env_file **syncs;
	uint64_t started_us;
	struct volume_counters counters;
};

MUST_USE enum err commit_init(struct commit *commit);
void commit_finish(struct commit *commit);
/* write->refused: completes with it, at its turn, and is not written. */
void commit_submit(struct commit *commit, struct volume_write *write);
uint64_t commit_write_size(const struct volume_write *write);

#endif
