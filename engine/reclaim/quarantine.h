/* SPDX-License-Identifier: MPL-2.0 */
/*
 * quarantine - what was judged dead, and how long it has waited since.
 *
 * A set waits with the records that were dead when it came; a deleted account
 * waits with its stream. Who reads a record that waits restores it: it counts as
 * live from then on, and that is an alarm.
 *
 * The wait is kept in a file, so that a node which starts anew each day gives
 * space back, too. What counts is the time that passed while a process served,
 * as the monotonic clock has it: no wall clock, and none of the hours in which
 * nobody could have read anything. Lost or damaged, the file costs the wait again.
 * What is in it decides nothing: all is judged anew before it goes.
 *
 * INV  quarantine_spare() leaves nothing DEAD that has not waited as a record of
 *      its set, or was read since.
 *
 * Memory and file: 8 bytes a record that waits, at most QUARANTINE_RECORDS_MAX
 * in all; further sets are refused.
 */
#ifndef AEROSTORE_ENGINE_RECLAIM_QUARANTINE_H
#define AEROSTORE_ENGINE_RECLAIM_QUARANTINE_H

#include "engine/base/map.h"
#include "engine/env.h"
#include "engine/set/compact.h"

#define QUARANTINE_RECORDS_MAX (4u * 1024 * 1024)

struct quarantine {
	struct env *env;
	const char *path; /* borrowed; NULL: it is not kept */
	uint64_t wait_ms;
	struct map sets;    /* to struct quarantined_set */
	struct map streams; /* to struct quarantined_stream */
	size_t record_count;
	uint64_t round;	   /* of quarantine_round() */
	uint64_t restored; /* records read while they waited */
	bool changed;	   /* since it was saved, otherwise than by time */
};

struct quarantine_sum {
	size_t sets;
	uint64_t waiting, ripe; /* bytes of records */
};

void quarantine_init(struct quarantine *quarantine, struct env *env, const char *path,
		     uint64_t wait_ms);
void quarantine_finish(struct quarantine *quarantine);
/* What an earlier process saved; nothing, where that cannot be read. */
WAITS void quarantine_load(struct quarantine *quarantine);
WAITS void quarantine_save(struct quarantine *quarantine);

/* Those of the records that are DEAD wait from now on. ERR_LIMIT: too many do. ERR_NOMEM. */
MUST_USE enum err quarantine_begin(struct quarantine *quarantine, uint64_t set,
				   const struct compact_record *records, size_t count);
bool quarantine_has(const struct quarantine *quarantine, uint64_t set);
bool quarantine_is_ripe(const struct quarantine *quarantine, uint64_t set);
void quarantine_leave(struct quarantine *quarantine, uint64_t set);
/* DEAD records that have not waited become LIVE. */
void quarantine_spare(const struct quarantine *quarantine, struct compact_record *records,
		      size_t count);
/* Somebody reads a blob; true when one that waits was restored. */
bool quarantine_note_read(struct quarantine *quarantine, struct id128 id);

/* What is not confirmed between a begin and its end leaves: nobody would take it apart any more. */
void quarantine_round_begin(struct quarantine *quarantine);
void quarantine_confirm(struct quarantine *quarantine, uint64_t set);
void quarantine_round_end(struct quarantine *quarantine);

/* Whether the stream has waited; it does from the first question on. */
bool quarantine_stream_is_ripe(struct quarantine *quarantine, struct id128 stream);

void quarantine_get_sum(const struct quarantine *quarantine, struct quarantine_sum *out);

#endif
