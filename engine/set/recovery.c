/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

#define RETRY_MS 5000u

/* ---- what has to be finished ---- */

bool blobs_volume_is_live(const struct blobs *blobs, struct id128 volume)
{
	const struct layout_volume *found = layout_find(blobs->options.layout, volume);

	return found != NULL && !found->failed;
}

/* Absence is never loss: one that is away may have what is looked for. */
bool blobs_someone_is_away(const struct blobs *blobs)
{
	for (size_t i = 0; i < blobs->options.layout->volume_count; i++)
		if (blobs->options.layout->volumes[i].failed)
			return true;
	return false;
}

bool blobs_volume_is_gone(const struct blobs *blobs, struct id128 volume)
{
	return layout_find(blobs->options.layout, volume) == NULL && !blobs_someone_is_away(blobs);
}

/* Sealed, but a member that lives has not heard of it; or removed, but not everywhere. */
static bool has_unfinished_member(const struct blobs *blobs, const struct directory_record *record)
{
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (blobs_volume_is_live(blobs, placement.volume) &&
		    ((placement.seal.low | placement.seal.high) == 0 ||
		     record->successors.count != 0))
			return true;
	}
	return false;
}

bool recovery_is_away(const struct blobs *blobs, const struct directory_record *record)
{
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (blobs_volume_is_live(blobs, placement.volume))
			return false;
	}
	return true;
}

static bool is_finished(const struct blobs *blobs, const struct directory_record *record)
{
	if (!record->born || recovery_is_away(blobs, record) ||
	    !id128_equal(record->birth.node, blobs->options.node))
		return true;
	if (record->seals.count == 0 && record->successors.count == 0)
		return false;
	return !has_unfinished_member(blobs, record);
}

static struct open_set *find_open(const struct blobs *blobs, uint64_t set)
{
	struct open_set *open = blobs->open_sets;

	while (open != NULL && open->header.set != set)
		open = open->next;
	return open;
}

static bool is_being_made(const struct blobs *blobs, uint64_t set)
{
	const struct set_birth *birth = blobs->births;

	while (birth != NULL && birth->set != set)
		birth = birth->next;
	return birth != NULL;
}

static bool is_in_use(const struct blobs *blobs, uint64_t set)
{
	const struct open_set *open = find_open(blobs, set);

	if (open == NULL || open->abandoned)
		return false;
	return writer_uses(blobs, open) || open->finishing ||
	       open->machine.state == SET_WRITER_PAUSED ||
	       (open->in_flight > 0 && !open_set_is_stuck(open));
}

static enum err collect(const struct blobs *blobs, struct buf *out, bool *waiting)
{
	const struct directory_record *record;
	size_t position = 0;

	while ((record = directory_store_next(blobs->directory, &position)) != NULL) {
		const struct open_set *open;

		if (is_finished(blobs, record) || is_being_made(blobs, record->set))
			continue;
		open = find_open(blobs, record->set);
		if (!is_in_use(blobs, record->set))
			buf_put_u64(out, record->set);
		else if (!writer_uses(blobs, open) && open->machine.state != SET_WRITER_PAUSED)
			*waiting = true;
	}
	return out->err;
}

/* ---- finishing ---- */

static WAITS enum err finish_one(struct blobs *blobs, uint64_t set)
{
	struct open_set *open = find_open(blobs, set);
	enum err err;

	if (is_in_use(blobs, set))
		return ERR_OK;
	if (open != NULL && open->abandoned)
		open = NULL;
	if (open != NULL)
		open->finishing = true;
	err = finish_set(blobs, set);
	open_set_abandon(&open);
	return err;
}

/* A full disk stays full for days, and a pass comes every few seconds. */
static void tell_unfinished(struct blobs *blobs, uint64_t count, uint64_t first, enum err err)
{
	if (count == blobs->unfinished_count && err == blobs->unfinished_err)
		return;
	blobs->unfinished_count = count;
	blobs->unfinished_err = err;
	if (count == 0)
		env_log(blobs->env, "event=sets-finished");
	else
		env_log(blobs->env, "event=sets-not-finished count=%llu first=%016llx err=%s",
			(unsigned long long)count, (unsigned long long)first, err_name(err));
}

/* One pass over all. *left: some could not be finished now. */
static WAITS enum err pass(struct blobs *blobs, bool *left)
{
	struct buf sets = {0};
	uint64_t failed = 0, first = 0;
	enum err err, first_err = ERR_OK;

	*left = false;
	err = collect(blobs, &sets, left);
	for (size_t at = 0; err == ERR_OK && at < sets.size; at += 8) {
		uint64_t set = load_u64(sets.data + at);

		err = finish_one(blobs, set);
		if (err != ERR_OK && err != ERR_CANCELED) {
			if (failed++ == 0) {
				first = set;
				first_err = err;
			}
			*left = true;
			err = ERR_OK;
		}
		if (blobs->closing)
			err = ERR_CANCELED;
	}
	if (err == ERR_OK)
		tell_unfinished(blobs, failed, first, first_err);
	buf_finish(&sets);
	return err;
}

enum err recovery_run(struct blobs *blobs)
{
	bool left = true;
	enum err err = ERR_OK;

	while (blobs->recovering) {
		err = cond_wait(&blobs->recovered, TASK_FOREVER);
		if (err != ERR_OK)
			return err;
	}
	blobs->recovering = true;
	do {
		blobs->recover_again = false;
		err = pass(blobs, &left);
	} while (err == ERR_OK && blobs->recover_again);
	blobs->recovering = false;
	cond_broadcast(&blobs->recovered);
	return err == ERR_OK && left ? ERR_UNAVAILABLE : err;
}

static void run_recovery(void *argument)
{
	struct blobs *blobs = argument;
	enum err err = recovery_run(blobs);

	if (err != ERR_OK && err != ERR_CANCELED && !blobs->closing)
		recovery_kick_later(blobs, RETRY_MS);
	group_leave(&blobs->tasks);
}

void recovery_kick(struct blobs *blobs)
{
	if (blobs->closing)
		return;
	blobs->recover_again = true;
	if (blobs->recovering || blobs->options.passive)
		return;
	group_enter(&blobs->tasks);
	if (task_spawn(blobs->sched, "set-recovery", run_recovery, blobs, NULL) != ERR_OK) {
		group_leave(&blobs->tasks);
		recovery_kick_later(blobs, RETRY_MS);
	}
}

static void kick_again(struct env_timer *timer)
{
	recovery_kick(timer->context);
}

void recovery_kick_later(struct blobs *blobs, uint64_t delay_ms)
{
	blobs->recovery_timer.fire = kick_again;
	blobs->recovery_timer.context = blobs;
	env_timer_start(blobs->env, &blobs->recovery_timer, delay_ms);
}
