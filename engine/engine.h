/* SPDX-License-Identifier: MPL-2.0 */
/*
 * engine - a store, opened: its volumes, journal, sets, accounts, delivery
 * agent and home, wired in the order in which they need each other.
 *
 * The one place that knows all parts. Programs (tools/) and whole-system tests
 * open an engine and hand its parts to the servers.
 *
 * Opening works with volumes missing, as long as two are there (design: start
 * with a volume missing is degraded; a foreign or newer one is refused).
 *
 * A disk that hangs when its volume is to be opened counts as missing (ERR_TIMEOUT
 * in the status); when it answers, its volume is taken into service as one that
 * returns. One that hangs later, while its columns or its journal are read at the
 * start, has failed for this process, as any volume that fails: the next start
 * reads it anew.
 */
#ifndef AEROSTORE_ENGINE_ENGINE_H
#define AEROSTORE_ENGINE_ENGINE_H

#include "engine/account/accounts.h"
#include "engine/mailbox/mailbox.h"
#include "engine/reclaim/reclaim.h"

struct engine;

#define ENGINE_VOLUME_MAX 64u

struct engine_options {
	struct sched *sched;
	struct id128 cluster, node;
	uint8_t admin_public[PUBLIC_SIZE];
	const struct key *node_signing;
	struct bytes fake_salt;	    /* 16 bytes or more, secret of this node's */
	const char *const *volumes; /* directories */
	size_t volume_count;
	const char *index_directory; /* of the node-local index */
	struct summary_hook summary;
	uint64_t column_size;	 /* 0: 64 MiB; small in tests */
	uint64_t segment_size;	 /* 0: 64 MiB; small in tests */
	uint64_t volume_reserve; /* bytes kept free on each volume; 0: engine/volume/volume.h's */
	/* As in engine/set/blobs.h. */
	uint64_t repair_after_ms, repair_rate, scrub_days, scrub_rate;
	struct slot_parameters unknown_user; /* zero: the defaults */
	uint64_t unlocked_cache_ms;	     /* 0: 30 minutes */
	uint64_t snapshot_entries;	     /* 0: 1000; small in tests */
	uint64_t table_snapshot_after;	     /* engine/journal/table.h; small in tests */
	size_t argon2_parallel;		     /* 0: 2 */
	bool passive;			     /* sets are left as they are: for who only reads */
	unsigned compact_below;		     /* per cent; 0: 70 */
	uint64_t quarantine_ms;		     /* 0: none */
	uint64_t reclaim_interval_ms;	     /* 0: only by reclaim_run() */
	uint64_t reclaim_rate;		     /* bytes a second; 0: no limit */
};

/*
 * Recovers whatever a crash left and opens. *why (static) says in words what is wrong and what to
 * do about it when it fails; details are in the log.
 */
WAITS MUST_USE enum err engine_open(const struct engine_options *options, struct engine **out,
				    const char **why);
/* The servers have stopped and every mailbox is released. */
WAITS void engine_close(struct engine **engine);
/*
 * The same for who ends the process anyway. ERR_TIMEOUT: a disk hangs, and nothing has moved for so
 * long; closing goes on by itself when it answers. All that was acknowledged is durable: the process
 * may end. What the engine borrowed must last until it has.
 */
WAITS MUST_USE enum err engine_close_within(struct engine **engine, uint64_t patience_ms);

struct blobs *engine_blobs(struct engine *engine);
struct journal *engine_journal(struct engine *engine);
struct accounts *engine_accounts(struct engine *engine);
struct delivery_agent *engine_delivery_agent(struct engine *engine);
struct home *engine_home(struct engine *engine);
struct reclaim *engine_reclaim(struct engine *engine);

struct engine_volume_status {
	const char *directory;
	struct id128 volume;  /* zero when it could not be opened */
	enum err err;	      /* why it is missing or failed; ERR_OK when it serves */
	uint64_t total, free; /* bytes */
	bool full;
	bool slow; /* answers far later than the best do: nothing waits for it that need not */
};

struct engine_status {
	struct engine_volume_status volumes[ENGINE_VOLUME_MAX];
	size_t volume_count;
	bool shared_device; /* two volumes lie on one disk: survives no disk */
	struct blobs_status blobs;
	struct journal_status journal;
	struct reclaim_status reclaim;
	size_t account_count, unlocked_count;
	unsigned volumes_tolerated; /* the weaker of blobs and journal */
};

void engine_get_status(struct engine *engine, struct engine_status *out);

#endif
