/* SPDX-License-Identifier: MPL-2.0 */
/*
 * blobs - opens the store of blobs: the members of this process's volumes, the
 * set directory, the writer, the readers, and what finishes sets in the
 * background. What one does with it is engine/blob.h.
 *
 * A start reads headers and unsealed columns, then serves; sets that earlier
 * incarnations of this node left unsealed are sealed or evacuated meanwhile.
 */
#ifndef AEROSTORE_ENGINE_SET_BLOBS_H
#define AEROSTORE_ENGINE_SET_BLOBS_H

#include "engine/blob.h"
#include "engine/journal/journal.h"

/* Zero: the default. */
struct blobs_options {
	struct sched *sched;
	struct wire *wire;
	const struct layout *layout;   /* borrowed; blobs_layout_changed() after each change */
	struct journal *journal;       /* NULL: the directory lives from column headers alone */
	struct volume *const *volumes; /* of this process; borrowed, open until blobs_close() */
	size_t volume_count;
	struct id128 cluster, node;
	const struct key *signing; /* the node's, for directory entries; may be NULL */
	/* Of new sets, where so many volumes take columns; default and else layout_profile(). */
	struct profile profile;
	uint64_t column_size; /* a data column is full; default 64 MiB */
	uint64_t idle_ms;     /* an open set is sealed when so old; default 1 h */
	/*
	 * A member is slow when it needs a few times what the best of them needs of late: at the
	 * least the floor (default 50 ms), at the most so long (default 2 s; for reads 500 ms).
	 */
	uint64_t hedge_floor_ms, hedge_ms, read_hedge_ms;
	uint64_t repair_after_ms; /* until a volume that is not there is given up; default 10 min */
	uint64_t repair_rate;	  /* bytes a second; default: as fast as the foreground lets it */
	uint64_t scrub_days;	  /* a round over every byte; default 14 */
	uint64_t scrub_rate;	  /* bytes a second at most; default 32 MiB */
	const char *scrub_state;  /* a file that keeps how far it is; NULL: begins at each start */
	uint64_t table_snapshot_after; /* of the set directory: engine/journal/table.h */
	/* No background work but what blobs_settle() does: for tools and tests. */
	bool passive;
};

WAITS MUST_USE enum err blobs_open(const struct blobs_options *options, struct blobs **out);
/*
 * Waits for appends under way; leaves open sets to the next start. No upload may be open and no
 * read under way.
 */
WAITS void blobs_close(struct blobs **blobs);
/*
 * A volume that came while the store is open, and is in the layout: serves its columns. ERR_IO,
 * ERR_CORRUPT: it is of no use; ERR_NOMEM.
 */
WAITS MUST_USE enum err blobs_add_volume(struct blobs *blobs, struct volume *volume);
/* A volume came, went, or failed. */
void blobs_layout_changed(struct blobs *blobs);
/*
 * Seals the open sets and finishes all others as far as that is possible now. ERR_UNAVAILABLE:
 * something is left that needs volumes which do not answer.
 */
WAITS MUST_USE enum err blobs_settle(struct blobs *blobs);
/* One whole round of the scrub, at once; what it finds is for blobs_repair(). */
WAITS MUST_USE enum err blobs_scrub_run(struct blobs *blobs);
/*
 * Makes everything anew that is missing or damaged and can be made anew now, without waiting for
 * volumes that may come back. ERR_UNAVAILABLE: something is left.
 */
WAITS MUST_USE enum err blobs_repair(struct blobs *blobs);

#endif
