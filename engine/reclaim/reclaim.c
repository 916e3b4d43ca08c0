/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/reclaim/reclaim.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/journal/closings.h"

#define COMPACT_BELOW 70u
#define RETRY_MS 60000u
/* Sets that one birth set's records may have gone to. */
#define HOLDER_MAX 16u

/* A set in quarantine. */
struct pending {
	uint64_t set, since_ms;
	uint64_t dead_size;
	uint64_t *dead; /* first octets of the ids, sorted */
	size_t dead_count;
	struct id128 *restored; /* read meanwhile */
	size_t restored_count;
	uint64_t pass; /* in which it was a candidate last */
};

struct reclaim {
	struct reclaim_options options;
	struct env *env;
	struct liveness_judge judge;
	struct map pending; /* set to struct pending */
	size_t quarantined_records;
	struct reclaim_status status;
	struct gate gate; /* one pass at a time */
	struct cond wake;
	struct group tasks;
	bool kicked, closing, closed_earlier;
};

/* ---- quarantine ---- */

static uint64_t key_of(struct id128 id)
{
	return load_u64(id.octets);
}

static int compare_keys(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void pending_destroy(struct reclaim *reclaim, struct pending *pending)
{
	(void)map_remove(&reclaim->pending, &pending->set);
	reclaim->quarantined_records -= pending->dead_count;
	memory_free(pending->dead);
	memory_free(pending->restored);
	memory_free(pending);
}

static bool is_restored(const struct pending *pending, struct id128 id)
{
	for (size_t i = 0; pending != NULL && i < pending->restored_count; i++)
		if (id128_equal(pending->restored[i], id))
			return true;
	return false;
}

static void restore(struct reclaim *reclaim, struct pending *pending, struct id128 id)
{
	struct id128 *restored =
		memory_resize(pending->restored, (pending->restored_count + 1) * sizeof(*restored));

	reclaim->status.restored++;
	env_log(reclaim->env, "event=quarantined-blob-read alarm=1 set=%016llx",
		(unsigned long long)pending->set);
	/* Without memory the whole set is taken out of danger. */
	if (restored == NULL) {
		pending_destroy(reclaim, pending);
		return;
	}
	pending->restored = restored;
	restored[pending->restored_count++] = id;
}

/* From blob_read(). */
static void blob_was_read(void *context, struct id128 id)
{
	struct reclaim *reclaim = context;
	const uint64_t key = key_of(id);
	struct pending *pending;
	size_t position = 0;

	while ((pending = map_next(&reclaim->pending, &position, NULL)) != NULL) {
		if (pending->dead_count == 0 ||
		    bsearch(&key, pending->dead, pending->dead_count, sizeof(key), compare_keys) ==
			    NULL ||
		    is_restored(pending, id))
			continue;
		restore(reclaim, pending, id);
		return;
	}
}

static enum err fill_dead(struct pending *pending, const struct compact_record *records,
			  size_t count)
{
	pending->dead = memory_array(count, sizeof(*pending->dead));
	if (pending->dead == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		if (records[i].liveness != LIVENESS_DEAD)
			continue;
		pending->dead[pending->dead_count++] = key_of(records[i].entry.id);
		pending->dead_size += record_size(records[i].entry.payload_size);
	}
	qsort(pending->dead, pending->dead_count, sizeof(*pending->dead), compare_keys);
	return ERR_OK;
}

/* ERR_LIMIT: too much is in quarantine already. */
static enum err begin_quarantine(struct reclaim *reclaim, uint64_t set,
				 const struct compact_record *records, size_t count)
{
	struct pending *pending;
	enum err err;

	if (reclaim->quarantined_records + count > RECLAIM_QUARANTINE_MAX)
		return ERR_LIMIT;
	pending = memory_allocate(sizeof(*pending));
	if (pending == NULL)
		return ERR_NOMEM;
	pending->set = set;
	pending->since_ms = env_now_ms(reclaim->env);
	pending->pass = reclaim->status.passes;
	err = fill_dead(pending, records, count);
	if (err == ERR_OK)
		err = map_put(&reclaim->pending, &set, pending);
	if (err != ERR_OK) {
		memory_free(pending->dead);
		memory_free(pending);
		return err;
	}
	reclaim->quarantined_records += pending->dead_count;
	return ERR_OK;
}

/* ---- estimating ---- */

struct candidate {
	struct compact_set set;
	uint64_t live;
};

struct estimate {
	struct reclaim *reclaim;
	struct map live; /* set to bytes */
	struct candidate *candidates;
	size_t count, capacity;
};

static enum err credit(void *context, uint64_t set, uint64_t size)
{
	struct estimate *estimate = context;
	uint64_t holders[HOLDER_MAX];
	size_t count = compact_holders(estimate->reclaim->options.blobs, set, holders, HOLDER_MAX);
	enum err err = ERR_OK;

	if (size == 0)
		return ERR_OK;
	estimate->reclaim->status.live += size;
	/* It is in one of them: which one nobody knows without asking, so all keep it. */
	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		uintptr_t live = (uintptr_t)map_get(&estimate->live, &holders[i]);

		err = map_put(&estimate->live, &holders[i], (void *)(live + (uintptr_t)size));
	}
	return err;
}

static enum err add_candidate(void *context, const struct compact_set *set)
{
	struct estimate *estimate = context;
	uint64_t live = (uint64_t)(uintptr_t)map_get(&estimate->live, &set->set);

	estimate->reclaim->status.sealed += set->size;
	if (estimate->count == estimate->capacity) {
		size_t capacity = estimate->capacity != 0 ? estimate->capacity * 2 : 64;
		struct candidate *candidates =
			memory_resize(estimate->candidates, capacity * sizeof(*candidates));

		if (candidates == NULL)
			return ERR_NOMEM;
		estimate->candidates = candidates;
		estimate->capacity = capacity;
	}
	estimate->candidates[estimate->count++] =
		(struct candidate){*set, live < set->size ? live : set->size};
	return ERR_OK;
}

/* By live share, the least first. */
static int compare_candidates(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	double x = (double)a->live * (double)b->set.size, y = (double)b->live * (double)a->set.size;

	if (x != y)
		return x < y ? -1 : 1;
	return a->set.set < b->set.set ? -1 : a->set.set > b->set.set;
}

static WAITS enum err make_estimate(struct reclaim *reclaim, struct estimate *estimate)
{
	enum err err;

	*estimate = (struct estimate){.reclaim = reclaim};
	map_init(&estimate->live, sizeof(uint64_t));
	reclaim->status.live = reclaim->status.sealed = 0;
	err = liveness_walk(&reclaim->judge, credit, estimate);
	if (err == ERR_OK)
		err = compact_sets(reclaim->options.blobs, add_candidate, estimate);
	if (err == ERR_OK && estimate->count > 1)
		qsort(estimate->candidates, estimate->count, sizeof(*estimate->candidates),
		      compare_candidates);
	return err;
}

static void estimate_finish(struct estimate *estimate)
{
	map_finish(&estimate->live);
	memory_free(estimate->candidates);
}

static bool is_below(const struct reclaim *reclaim, uint64_t live, uint64_t size)
{
	return live < size / 100 * reclaim->options.compact_below +
			      size % 100 * reclaim->options.compact_below / 100;
}

/* ---- judging ---- */

static struct pending *pending_of(const struct reclaim *reclaim, uint64_t set)
{
	return map_get(&reclaim->pending, &set);
}

/* What was read while it counted as dead lives. */
static void apply_restored(const struct reclaim *reclaim, struct compact_record *records,
			   size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (records[i].liveness == LIVENESS_DEAD &&
		    is_restored(pending_of(reclaim, records[i].set), records[i].entry.id))
			records[i].liveness = LIVENESS_LIVE;
}

static WAITS enum err judge(struct reclaim *reclaim, struct compact_record *records, size_t count)
{
	enum err err = liveness_judge(&reclaim->judge, records, count);

	if (err == ERR_OK)
		apply_restored(reclaim, records, count);
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
static WAITS enum err inspect(struct reclaim *reclaim, uint64_t set)
{
	struct compaction *compaction = NULL;
	struct compact_record *records;
	uint64_t live, size;
	size_t count;
	enum err err = compaction_create(reclaim->options.blobs, &set, 1, &compaction);

	if (err != ERR_OK)
		return err;
	records = compaction_records(compaction, &count);
	err = judge(reclaim, records, count);
	weigh(records, count, &live, &size);
	if (err == ERR_OK && size > 0 && is_below(reclaim, live, size))
		err = begin_quarantine(reclaim, set, records, count);
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
		err = judge(reclaim, again, count);
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
	for (size_t i = 0; i < batch->count; i++) {
		struct pending *pending = pending_of(reclaim, batch->sets[i]);

		if (pending != NULL)
			pending_destroy(reclaim, pending);
	}
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
		err = judge(reclaim, records, count);
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
	if (is_passing(err)) {
		env_log(reclaim->env, "event=sets-not-compacted err=%s", err_name(err));
		err = ERR_OK;
	}
	return err;
}

static void forget_others(struct reclaim *reclaim)
{
	struct pending *pending;
	size_t position = 0;

	while ((pending = map_next(&reclaim->pending, &position, NULL)) != NULL) {
		if (pending->pass == reclaim->status.passes)
			continue;
		pending_destroy(reclaim, pending);
		position = 0;
	}
}

static bool is_ripe(const struct reclaim *reclaim, const struct pending *pending)
{
	return pending != NULL &&
	       env_now_ms(reclaim->env) - pending->since_ms >= reclaim->options.quarantine_ms;
}

static WAITS enum err compact_some(struct reclaim *reclaim, const struct estimate *estimate,
				   bool *freed)
{
	struct batch batch = {.count = 0};
	uint64_t capacity;
	enum err err = ERR_OK;

	(void)compact_profile(reclaim->options.blobs, &capacity);
	for (size_t i = 0; err == ERR_OK && i < estimate->count; i++) {
		const struct candidate *candidate = &estimate->candidates[i];
		uint64_t set = candidate->set.set;

		if (candidate->set.size == 0 ||
		    !is_below(reclaim, candidate->live, candidate->set.size))
			continue;
		if (pending_of(reclaim, set) == NULL)
			err = inspect(reclaim, set);
		if (is_passing(err))
			err = ERR_OK;
		if (pending_of(reclaim, set) != NULL)
			pending_of(reclaim, set)->pass = reclaim->status.passes;
		if (err != ERR_OK || !is_ripe(reclaim, pending_of(reclaim, set)))
			continue;
		if (batch.count == COMPACT_SOURCE_MAX ||
		    (batch.count > 0 && batch.live + candidate->live > capacity))
			err = run_batch(reclaim, &batch, freed);
		batch.sets[batch.count++] = set;
		batch.live += candidate->live;
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
		const struct compact_set *set = &estimate->candidates[i].set;

		if (set->size == 0 || !is_weaker(set->profile, possible) ||
		    pending_of(reclaim, set->set) != NULL)
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

static void sum_quarantine(const struct reclaim *reclaim, struct reclaim_status *status)
{
	const struct pending *pending;
	size_t position = 0;

	while ((pending = map_next(&reclaim->pending, &position, NULL)) != NULL) {
		if (is_ripe(reclaim, pending))
			status->reclaimable += pending->dead_size;
		else
			status->quarantined += pending->dead_size;
		status->sets_quarantined++;
	}
}

static void note_obstacle(struct reclaim *reclaim)
{
	struct reclaim_status *status = &reclaim->status;

	status->obstacle = reclaim->judge.obstacle;
	if (status->obstacle.err == ERR_OK)
		status->obstacle_since_ms = 0;
	else if (status->obstacle_since_ms == 0)
		status->obstacle_since_ms = env_wall_ms(reclaim->env);
}

static WAITS enum err pass(struct reclaim *reclaim, bool *freed)
{
	struct estimate estimate;
	enum err err;

	reclaim->judge.obstacle = (struct reclaim_obstacle){.err = ERR_OK};
	if (liveness_is_held_up(&reclaim->judge)) {
		note_obstacle(reclaim);
		return ERR_UNAVAILABLE;
	}
	reclaim->status.passes++;
	err = compact_sweep(reclaim->options.blobs);
	if (err == ERR_OK)
		err = close_earlier(reclaim);
	if (err != ERR_OK)
		return err;
	err = make_estimate(reclaim, &estimate);
	note_obstacle(reclaim);
	if (err == ERR_OK)
		err = compact_some(reclaim, &estimate, freed);
	if (err == ERR_OK)
		err = reencode_some(reclaim, &estimate);
	if (err == ERR_OK) {
		forget_others(reclaim);
		reclaim->status.last_pass_ms = env_wall_ms(reclaim->env);
	}
	estimate_finish(&estimate);
	return err == ERR_OK && reclaim->status.obstacle.err != ERR_OK ? ERR_UNAVAILABLE : err;
}

enum err reclaim_run(struct reclaim *reclaim, bool *freed)
{
	enum err err = gate_enter(&reclaim->gate, TASK_FOREVER);

	*freed = false;
	if (err != ERR_OK)
		return err;
	reclaim->status.running = true;
	err = reclaim->closing ? ERR_CANCELED : pass(reclaim, freed);
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
	map_init(&reclaim->pending, sizeof(uint64_t));
	if (options->interval_ms != 0) {
		group_enter(&reclaim->tasks);
		err = task_spawn(options->sched, "reclaim", work, reclaim, NULL);
		if (err != ERR_OK) {
			group_leave(&reclaim->tasks);
			map_finish(&reclaim->pending);
			memory_free(reclaim);
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
	struct pending *pending;
	size_t position = 0;

	if (reclaim == NULL)
		return;
	*out = NULL;
	reclaim->closing = true;
	cond_broadcast(&reclaim->wake);
	group_wait(&reclaim->tasks);
	blobs_watch_reads(reclaim->options.blobs, NULL, NULL);
	while ((pending = map_next(&reclaim->pending, &position, NULL)) != NULL) {
		pending_destroy(reclaim, pending);
		position = 0;
	}
	map_finish(&reclaim->pending);
	memory_free(reclaim);
}

void reclaim_get_status(const struct reclaim *reclaim, struct reclaim_status *out)
{
	*out = reclaim->status;
	sum_quarantine(reclaim, out);
}
