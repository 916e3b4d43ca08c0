/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/reclaim/reclaim.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/journal/closings.h"
#include "engine/reclaim/deleted.h"
#include "engine/reclaim/estimate.h"
#include "engine/reclaim/quarantine.h"

#define COMPACT_BELOW 70u
#define RETRY_MS 60000u
struct reclaim {
	struct reclaim_options options;
	struct env *env;
	struct liveness_judge judge;
	struct quarantine quarantine;
	struct estimate_memory inspected;
	struct reclaim_status status;
	struct gate gate; /* one pass at a time */
	struct cond wake;
	struct group tasks;
	bool kicked, closing, closed_earlier, loaded;
	enum err skipped; /* in this pass: why a set that is due stays */
};

/* From blob_read(). What was restored is written down at the pass that this calls for. */
static void blob_was_read(void *context, struct id128 id)
{
	struct reclaim *reclaim = context;

	if (quarantine_note_read(&reclaim->quarantine, id))
		reclaim_kick(reclaim);
}

static bool is_below(const struct reclaim *reclaim, uint64_t live, uint64_t size)
{
	return live < size / 100 * reclaim->options.compact_below +
			      size % 100 * reclaim->options.compact_below / 100;
}

/* ---- judging ---- */

/* Of what is dead, that which has waited. */
static WAITS enum err judge_waited(struct reclaim *reclaim, struct compact_record *records,
				   size_t count)
{
	enum err err = liveness_judge(&reclaim->judge, records, count);

	if (err == ERR_OK)
		quarantine_spare(&reclaim->quarantine, records, count);
	return err;
}

static void weigh(const struct compact_record *records, size_t count, uint64_t *live,
		  uint64_t *size)
{
	*live = *size = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t bytes = record_size(records[i].entry.payload_size);

		*size += bytes;
		*live += records[i].liveness != LIVENESS_DEAD ? bytes : 0;
	}
}

/* Puts a candidate into quarantine when it is one on closer inspection. */
static WAITS enum err inspect(struct reclaim *reclaim, const struct estimate_item *item)
{
	struct compaction *compaction = NULL;
	struct compact_record *records;
	uint64_t live, size;
	size_t count;
	enum err err = compaction_create(reclaim->options.blobs, &item->set.set, 1, &compaction);

	if (err != ERR_OK)
		return err;
	records = compaction_records(compaction, &count);
	err = liveness_judge(&reclaim->judge, records, count);
	weigh(records, count, &live, &size);
	if (err == ERR_OK && size > 0 && is_below(reclaim, live, size))
		err = quarantine_begin(&reclaim->quarantine, item->set.set, records, count);
	/* What could not be judged may be dead. */
	else if (err == ERR_OK && reclaim->judge.obstacle.err == ERR_OK)
		estimate_memory_note(&reclaim->inspected, item);
	compaction_destroy(&compaction);
	return err;
}

/* ---- compacting ---- */

struct confirmation {
	struct reclaim *reclaim;
	struct compaction *compaction;
};

/* All that is to go is dead still, and nobody has read any of it. */
static WAITS enum err confirm(void *context)
{
	const struct confirmation *confirmation = context;
	struct reclaim *reclaim = confirmation->reclaim;
	size_t count;
	struct compact_record *records = compaction_records(confirmation->compaction, &count);
	struct compact_record *again = memory_array(count, sizeof(*again));
	enum err err = again != NULL ? ERR_OK : ERR_NOMEM;

	if (err == ERR_OK)
		memcpy(again, records, count * sizeof(*again));
	/* Sorted in the same order as before. */
	if (err == ERR_OK)
		err = judge_waited(reclaim, again, count);
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		if (records[i].liveness == LIVENESS_DEAD && again[i].liveness != LIVENESS_DEAD)
			err = ERR_STALE;
	memory_free(again);
	return err;
}

static WAITS enum err keep_all(void *context)
{
	(void)context;
	return ERR_OK;
}

struct batch {
	uint64_t sets[COMPACT_SOURCE_MAX];
	size_t count;
	uint64_t live;
};

static void leave_quarantine(struct reclaim *reclaim, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		quarantine_leave(&reclaim->quarantine, batch->sets[i]);
}

static WAITS enum err run(struct reclaim *reclaim, const struct batch *batch, bool reencode)
{
	struct compact_pace pace = {.rate = reclaim->options.rate, .urgent = !reencode};
	struct confirmation confirmation = {.reclaim = reclaim};
	struct compact_record *records;
	uint64_t live = 0, size = 0;
	size_t count;
	enum err err = compaction_create(reclaim->options.blobs, batch->sets, batch->count,
					 &confirmation.compaction);

	if (err != ERR_OK)
		return err;
	records = compaction_records(confirmation.compaction, &count);
	if (!reencode)
		err = judge_waited(reclaim, records, count);
	weigh(records, count, &live, &size);
	/* What was dead and is not any more may have made it not worth it. */
	if (err == ERR_OK && !reencode && !is_below(reclaim, live, size))
		err = ERR_STALE;
	if (err == ERR_OK)
		err = compaction_run(confirmation.compaction, &pace, reencode ? keep_all : confirm,
				     &confirmation);
	compaction_destroy(&confirmation.compaction);
	if (err != ERR_OK)
		return err;
	reclaim->status.compactions += !reencode;
	reclaim->status.reencodings += reencode;
	reclaim->status.sets_removed += batch->count;
	reclaim->status.bytes_reclaimed += size - live;
	reclaim->status.bytes_copied += live;
	env_log(reclaim->env, "event=%s sets=%zu live=%llu dead=%llu",
		reencode ? "sets-reencoded" : "sets-compacted", batch->count,
		(unsigned long long)live, (unsigned long long)(size - live));
	return ERR_OK;
}

/* Something changed meanwhile, or there is no room: the others may still go. */
static bool is_passing(enum err err)
{
	return err == ERR_STALE || err == ERR_UNAVAILABLE || err == ERR_NOSPACE ||
	       err == ERR_CORRUPT || err == ERR_IO || err == ERR_LIMIT || err == ERR_NOTFOUND ||
	       err == ERR_TIMEOUT;
}

/* What changed meanwhile is looked at again in the next pass; the rest the operator should know. */
static void note_skipped(struct reclaim *reclaim, enum err err)
{
	if (is_passing(err) && err != ERR_STALE && reclaim->skipped == ERR_OK)
		reclaim->skipped = err;
}

static WAITS enum err run_batch(struct reclaim *reclaim, struct batch *batch, bool *freed)
{
	enum err err = ERR_OK;

	if (batch->count == 0)
		return ERR_OK;
	err = run(reclaim, batch, false);
	/* Where the successor of all finds no room, those of one may. */
	if (err == ERR_NOSPACE && batch->count > 1)
		for (size_t i = 0; i < batch->count; i++) {
			const struct batch one = {.sets = {batch->sets[i]}, .count = 1};

			err = run(reclaim, &one, false);
			*freed |= err == ERR_OK;
			if (err != ERR_OK && !is_passing(err))
				break;
		}
	*freed |= err == ERR_OK;
	if (err == ERR_OK || err == ERR_STALE)
		leave_quarantine(reclaim, batch);
	*batch = (struct batch){.count = 0};
	note_skipped(reclaim, err);
	if (is_passing(err)) {
		env_log(reclaim->env, "event=sets-not-compacted err=%s", err_name(err));
		err = ERR_OK;
	}
	return err;
}

/* Whether the set is worth a look, or waits already. */
static bool is_candidate(const struct reclaim *reclaim, const struct estimate_item *item)
{
	if (item->set.size == 0)
		return false;
	if (is_below(reclaim, item->live, item->set.size))
		return true;
	return is_below(reclaim, item->certain, item->set.size) &&
	       (quarantine_has(&reclaim->quarantine, item->set.set) ||
		!estimate_memory_has(&reclaim->inspected, item));
}

static WAITS enum err compact_some(struct reclaim *reclaim, const struct estimate *estimate,
				   bool *freed)
{
	struct batch batch = {.count = 0};
	uint64_t capacity;
	enum err err = ERR_OK;

	(void)compact_profile(reclaim->options.blobs, &capacity);
	for (size_t i = 0; err == ERR_OK && i < estimate->count; i++) {
		const struct estimate_item *item = &estimate->items[i];
		uint64_t set = item->set.set;

		if (!is_candidate(reclaim, item))
			continue;
		if (!quarantine_has(&reclaim->quarantine, set))
			err = inspect(reclaim, item);
		note_skipped(reclaim, err);
		if (is_passing(err))
			err = ERR_OK;
		quarantine_confirm(&reclaim->quarantine, set);
		if (err != ERR_OK || !quarantine_is_ripe(&reclaim->quarantine, set))
			continue;
		if (batch.count == COMPACT_SOURCE_MAX ||
		    (batch.count > 0 && batch.live + item->live > capacity))
			err = run_batch(reclaim, &batch, freed);
		batch.sets[batch.count++] = set;
		batch.live += item->live;
	}
	if (err == ERR_OK)
		err = run_batch(reclaim, &batch, freed);
	return err;
}

/* ---- encoding anew ---- */

/* Survives less than it could, or costs more for the same. */
static bool is_weaker(struct profile profile, struct profile possible)
{
	if (profile.m != possible.m)
		return profile.m < possible.m;
	return profile.k < possible.k;
}

static WAITS enum err reencode_batch(struct reclaim *reclaim, struct batch *batch)
{
	enum err err = batch->count != 0 ? run(reclaim, batch, true) : ERR_OK;

	*batch = (struct batch){.count = 0};
	return is_passing(err) ? ERR_OK : err;
}

static WAITS enum err reencode_some(struct reclaim *reclaim, const struct estimate *estimate)
{
	struct batch batch = {.count = 0};
	uint64_t capacity;
	struct profile possible = compact_profile(reclaim->options.blobs, &capacity);
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < estimate->count; i++) {
		const struct compact_set *set = &estimate->items[i].set;

		if (set->size == 0 || !is_weaker(set->profile, possible) ||
		    quarantine_has(&reclaim->quarantine, set->set))
			continue;
		if (batch.count == COMPACT_SOURCE_MAX || batch.live + set->size > capacity)
			err = reencode_batch(reclaim, &batch);
		batch.sets[batch.count++] = set->set;
		batch.live += set->size;
	}
	return err == ERR_OK ? reencode_batch(reclaim, &batch) : err;
}

/* ---- a pass ---- */

/* Once a process: what its node's earlier ones left unnamed is named by nobody from now on. */
static WAITS enum err close_earlier(struct reclaim *reclaim)
{
	struct journal *journal = reclaim->options.journal;
	struct buf known = {0}, open = {0};
	enum err err;

	if (reclaim->closed_earlier)
		return ERR_OK;
	err = journal_read_closings(journal);
	if (err == ERR_OK)
		err = compact_incarnations(reclaim->options.blobs, &known);
	for (size_t at = 0; err == ERR_OK && at < known.size; at += sizeof(struct id128)) {
		struct id128 id;
		bool repeated = false;

		memcpy(id.octets, known.data + at, sizeof(id.octets));
		for (size_t i = 0; i < open.size && !repeated; i += sizeof(id))
			repeated = memcmp(open.data + i, id.octets, sizeof(id.octets)) == 0;
		if (!repeated && !journal_incarnation_is_closed(journal, id))
			buf_put_id(&open, id);
		err = open.err;
	}
	if (err == ERR_OK && open.size != 0)
		err = journal_close_incarnations(journal, reclaim->options.signing,
						 reclaim->options.node,
						 (const struct id128 *)(const void *)open.data,
						 open.size / sizeof(struct id128));
	reclaim->closed_earlier = err == ERR_OK;
	buf_finish(&known);
	buf_finish(&open);
	return err;
}

static void note_obstacle(struct reclaim *reclaim, const struct reclaim_obstacle *obstacle)
{
	struct reclaim_status *status = &reclaim->status;

	status->obstacle = *obstacle;
	if (status->obstacle.err == ERR_OK)
		status->obstacle.err = reclaim->skipped;
	if (status->obstacle.err == ERR_OK)
		status->obstacle_since_ms = 0;
	else if (status->obstacle_since_ms == 0)
		status->obstacle_since_ms = env_wall_ms(reclaim->env);
}

static WAITS enum err pass(struct reclaim *reclaim, bool *freed)
{
	struct estimate estimate;
	struct reclaim_obstacle obstacle;
	enum err err;

	reclaim->skipped = ERR_OK;
	reclaim->judge.obstacle = (struct reclaim_obstacle){.err = ERR_OK};
	if (liveness_is_held_up(&reclaim->judge)) {
		note_obstacle(reclaim, &reclaim->judge.obstacle);
		return ERR_UNAVAILABLE;
	}
	reclaim->status.passes++;
	err = compact_sweep(reclaim->options.blobs);
	if (err == ERR_OK)
		err = close_earlier(reclaim);
	if (err != ERR_OK)
		return err;
	quarantine_round_begin(&reclaim->quarantine);
	err = estimate_make(&reclaim->judge, &estimate);
	reclaim->status.sealed = estimate.sealed;
	reclaim->status.live = estimate.live;
	if (err == ERR_OK)
		err = deleted_empty(&reclaim->judge, &reclaim->quarantine,
				    &reclaim->status.streams_emptied);
	/* Judging the records of a set begins another one. */
	obstacle = reclaim->judge.obstacle;
	if (err == ERR_OK)
		err = compact_some(reclaim, &estimate, freed);
	if (err == ERR_OK)
		err = reencode_some(reclaim, &estimate);
	if (err == ERR_OK) {
		quarantine_round_end(&reclaim->quarantine);
		reclaim->status.last_pass_ms = env_wall_ms(reclaim->env);
	}
	note_obstacle(reclaim, &obstacle);
	estimate_finish(&estimate);
	return err == ERR_OK && reclaim->status.obstacle.err != ERR_OK ? ERR_UNAVAILABLE : err;
}

/* Once; within the gate. */
static WAITS void load(struct reclaim *reclaim)
{
	if (!reclaim->loaded)
		quarantine_load(&reclaim->quarantine);
	reclaim->loaded = true;
}

enum err reclaim_run(struct reclaim *reclaim, bool *freed)
{
	enum err err = gate_enter(&reclaim->gate, TASK_FOREVER);

	*freed = false;
	if (err != ERR_OK)
		return err;
	reclaim->status.running = true;
	load(reclaim);
	err = reclaim->closing ? ERR_CANCELED : pass(reclaim, freed);
	quarantine_save(&reclaim->quarantine);
	reclaim->status.running = false;
	gate_leave(&reclaim->gate);
	return err;
}

/* ---- life ---- */

static void work(void *argument)
{
	struct reclaim *reclaim = argument;
	uint64_t pause_ms =
		RETRY_MS < reclaim->options.interval_ms ? RETRY_MS : reclaim->options.interval_ms;

	/* Before anybody reads what waits. */
	if (gate_enter(&reclaim->gate, TASK_FOREVER) == ERR_OK) {
		load(reclaim);
		gate_leave(&reclaim->gate);
	}
	while (!reclaim->closing) {
		enum err err = ERR_OK;
		bool freed;

		if (!reclaim->kicked)
			err = cond_wait(&reclaim->wake, env_now_ms(reclaim->env) + pause_ms);
		if (err == ERR_CANCELED || reclaim->closing)
			break;
		reclaim->kicked = false;
		err = reclaim_run(reclaim, &freed);
		if (err == ERR_CANCELED)
			break;
		if (err != ERR_OK)
			env_log(reclaim->env, "event=reclaiming-held-up err=%s", err_name(err));
		pause_ms = reclaim->options.interval_ms;
		if (err != ERR_OK && pause_ms > RETRY_MS)
			pause_ms = RETRY_MS;
	}
	group_leave(&reclaim->tasks);
}

void reclaim_kick(struct reclaim *reclaim)
{
	reclaim->kicked = true;
	cond_broadcast(&reclaim->wake);
}

static void release(struct reclaim *reclaim)
{
	quarantine_finish(&reclaim->quarantine);
	estimate_memory_finish(&reclaim->inspected);
	memory_free(reclaim);
}

enum err reclaim_create(const struct reclaim_options *options, struct reclaim **out)
{
	struct reclaim *reclaim = memory_allocate(sizeof(*reclaim));
	enum err err = ERR_OK;

	if (reclaim == NULL)
		return ERR_NOMEM;
	reclaim->options = *options;
	if (reclaim->options.compact_below == 0)
		reclaim->options.compact_below = COMPACT_BELOW;
	reclaim->env = sched_env(options->sched);
	reclaim->judge = (struct liveness_judge){.journal = options->journal,
						 .blobs = options->blobs,
						 .layout = options->layout,
						 .source = options->source};
	reclaim->gate.limit = 1;
	quarantine_init(&reclaim->quarantine, reclaim->env, options->quarantine_state,
			options->quarantine_ms);
	estimate_memory_init(&reclaim->inspected);
	if (options->interval_ms != 0) {
		group_enter(&reclaim->tasks);
		err = task_spawn(options->sched, "reclaim", work, reclaim, NULL);
		if (err != ERR_OK) {
			group_leave(&reclaim->tasks);
			release(reclaim);
			return err;
		}
	}
	blobs_watch_reads(options->blobs, blob_was_read, reclaim);
	*out = reclaim;
	return ERR_OK;
}

void reclaim_destroy(struct reclaim **out)
{
	struct reclaim *reclaim = *out;

	if (reclaim == NULL)
		return;
	*out = NULL;
	reclaim->closing = true;
	cond_broadcast(&reclaim->wake);
	group_wait(&reclaim->tasks);
	blobs_watch_reads(reclaim->options.blobs, NULL, NULL);
	if (reclaim->loaded)
		quarantine_save(&reclaim->quarantine);
	release(reclaim);
}

void reclaim_get_status(const struct reclaim *reclaim, struct reclaim_status *out)
{
	struct quarantine_sum sum;

	*out = reclaim->status;
	quarantine_get_sum(&reclaim->quarantine, &sum);
	out->sets_quarantined = sum.sets;
	out->quarantined = sum.waiting;
	out->reclaimable = sum.ripe;
	out->restored = reclaim->quarantine.restored;
}
