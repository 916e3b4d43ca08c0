/* SPDX-License-Identifier: MPL-2.0 */
/*
 * reclaim - gives back the space of what nobody refers to any more: decides
 * which sets to take apart, when, and watches over those about to go.
 *
 * A pass: walk the references of all accounts, which gives an estimate of how
 * much lives in each set; of the sealed sets with a live share below the limit
 * take the least live first; judge their records (engine/reclaim/liveness.h);
 * keep them in quarantine; then compact them (engine/set/compact.h), a batch at
 * a time. Sets whose profile is weaker than what the live volumes allow are
 * encoded anew by the same machinery, all of their records counting as live.
 *
 * Quarantine (engine/reclaim/quarantine.h): a set waits for `quarantine_ms` from
 * when its records were judged dead, over restarts. Everything is judged again,
 * from fresh manifests, before anything goes and once more when the copies are
 * made; what died meanwhile has not waited, and is copied. Reading a record that
 * was judged dead is an alarm: it counts as live from then on, and is copied.
 *
 * INV 1  Nothing goes that liveness.h has not judged dead twice, `quarantine_ms`
 *        apart, the second time after all copies of what lives are synced.
 * INV 2  While any volume of the layout is silent nothing goes.
 *
 * Memory: 32 bytes a set in the estimate, 8 bytes a record in quarantine (at
 * most QUARANTINE_RECORDS_MAX; further sets wait), the records of one batch.
 * Disk: reads of a pass are the manifests and pages of all accounts, and of the
 * candidates their indexes and record headers; copies are throttled.
 */
#ifndef AEROSTORE_ENGINE_RECLAIM_RECLAIM_H
#define AEROSTORE_ENGINE_RECLAIM_RECLAIM_H

#include "engine/reclaim/liveness.h"

struct reclaim;

/* Zero: the default. */
struct reclaim_options {
	struct sched *sched;
	struct journal *journal;
	struct blobs *blobs;
	const struct layout *layout; /* borrowed */
	struct reclaim_source source;
	struct id128 node;
	const struct key *signing;    /* the node's, for closings; may be NULL */
	unsigned compact_below;	      /* per cent of live bytes; 70 */
	uint64_t quarantine_ms;	      /* 0 is no quarantine; the caller has the default */
	const char *quarantine_state; /* a file, borrowed; NULL: a restart begins the wait anew */
	uint64_t interval_ms;	      /* between passes; 0: only reclaim_run() makes one */
	uint64_t rate;		      /* bytes copied a second; 0: no limit */
};

struct reclaim_status {
	uint64_t passes, compactions, reencodings, sets_removed;
	uint64_t streams_emptied;		/* of deleted accounts, since the start */
	uint64_t bytes_reclaimed, bytes_copied; /* since the start, records without redundancy */
	/* As of the last pass; bytes of records without redundancy. */
	uint64_t sealed, live, reclaimable; /* reclaimable: beyond the quarantine */
	uint64_t quarantined;
	size_t sets_quarantined;
	uint64_t restored; /* records read while in quarantine: an alarm */
	struct reclaim_obstacle obstacle;
	uint64_t obstacle_since_ms; /* wall clock; 0: none */
	uint64_t last_pass_ms;	    /* wall clock; 0: none yet */
	bool running;
};

/* Closes this node's earlier incarnations, then works in the background. */
MUST_USE enum err reclaim_create(const struct reclaim_options *options, struct reclaim **out);
WAITS void reclaim_destroy(struct reclaim **reclaim);
/*
 * A pass now, or after the one under way; *freed: whether it has removed a set. ERR_UNAVAILABLE:
 * something holds it up, see the status.
 */
WAITS MUST_USE enum err reclaim_run(struct reclaim *reclaim, bool *freed);
/* Makes the background's next pass come now: a volume is full, or came back. */
void reclaim_kick(struct reclaim *reclaim);
void reclaim_get_status(const struct reclaim *reclaim, struct reclaim_status *out);

#endif
