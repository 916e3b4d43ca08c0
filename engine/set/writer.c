/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

#define OPEN_ATTEMPTS 3
#define HEDGE_STEPS 4u
/* How often one looks whether a paused set may go on. */
#define RESUME_MS 1000u

static void kick_opener(struct blobs *blobs);
static void arm(struct blobs *blobs);

struct profile writer_profile(const struct blobs *blobs)
{
	struct layout usable;
	struct profile profile = {0, 0};

	if (open_set_usable_layout(blobs, true, &usable) == ERR_OK)
		profile = open_set_profile(blobs, &usable);
	layout_finish(&usable);
	if (profile.k == 0 && open_set_usable_layout(blobs, false, &usable) == ERR_OK)
		profile = open_set_profile(blobs, &usable);
	layout_finish(&usable);
	return profile;
}

enum err writer_shortage(const struct blobs *blobs)
{
	return layout_is_full(blobs->options.layout) ? ERR_NOSPACE : ERR_UNAVAILABLE;
}

/* ---- which set ---- */

bool writer_uses(const struct blobs *blobs, const struct open_set *set)
{
	return set == blobs->writer.current || set == blobs->writer.spare;
}

/* The set serves no longer; the spare steps in. */
static void leave_set(struct blobs *blobs, struct open_set *set)
{
	struct writer *writer = &blobs->writer;

	if (writer->current == set) {
		writer->current = writer->spare;
		writer->spare = NULL;
	} else if (writer->spare == set) {
		writer->spare = NULL;
	}
}

void writer_set_broken(struct blobs *blobs, struct open_set *set)
{
	leave_set(blobs, set);
	recovery_kick(blobs);
}

static bool is_paused(const struct open_set *set)
{
	return set->machine.state == SET_WRITER_PAUSED && !set->finishing && !set->abandoned;
}

void writer_retire(struct blobs *blobs)
{
	struct writer *writer = &blobs->writer;

	for (struct open_set *set = blobs->open_sets; set != NULL; set = set->next)
		if (is_paused(set))
			open_set_close(set);
	while (writer->current != NULL) {
		struct open_set *set = writer->current;

		leave_set(blobs, set);
		open_set_close(set);
	}
}

static bool has_lost_member(const struct blobs *blobs, const struct open_set *set)
{
	for (unsigned i = 0; i < profile_members(set->header.profile); i++) {
		const struct layout_volume *volume =
			layout_find(blobs->options.layout, set->header.members[i]);

		if (volume == NULL || volume->failed)
			return true;
	}
	return false;
}

void writer_layout_changed(struct blobs *blobs)
{
	struct writer *writer = &blobs->writer;
	struct open_set *sets[] = {writer->spare, writer->current};

	for (size_t i = 0; i < 2; i++) {
		if (sets[i] == NULL || !has_lost_member(blobs, sets[i]))
			continue;
		leave_set(blobs, sets[i]);
		open_set_close(sets[i]);
	}
	for (struct open_set *set = blobs->open_sets; set != NULL; set = set->next)
		if (is_paused(set) && has_lost_member(blobs, set))
			open_set_close(set);
}

static void enqueue(struct writer *writer, struct put *put)
{
	put->next = NULL;
	if (writer->waiting_first == NULL)
		writer->waiting_first = put;
	else
		writer->waiting_last->next = put;
	writer->waiting_last = put;
}

static struct put *dequeue(struct writer *writer)
{
	struct put *put = writer->waiting_first;

	if (put != NULL)
		writer->waiting_first = put->next;
	return put;
}

void writer_cancel(struct blobs *blobs, struct put *put)
{
	struct writer *writer = &blobs->writer;
	struct put *before = NULL;

	for (struct put *at = writer->waiting_first; at != NULL; before = at, at = at->next) {
		if (at != put)
			continue;
		if (before == NULL)
			writer->waiting_first = put->next;
		else
			before->next = put->next;
		if (writer->waiting_last == put)
			writer->waiting_last = before;
		return;
	}
}

static bool wants_spare(const struct writer *writer)
{
	const struct open_set *set = writer->current;
	uint64_t most = 0;

	if (set == NULL || writer->spare != NULL)
		return false;
	for (size_t i = 0; i < set->header.profile.k; i++)
		if (set->machine.columns[i].end > most)
			most = set->machine.columns[i].end;
	return most >= set->header.capacity / 2;
}

void writer_put(struct blobs *blobs, struct put *put)
{
	struct writer *writer = &blobs->writer;
	enum err err;

	if (blobs->closing) {
		put->done(put, ERR_CANCELED);
		return;
	}
	while (writer->current != NULL && !open_set_takes(writer->current, put)) {
		struct open_set *full = writer->current;

		leave_set(blobs, full);
		open_set_close(full);
		if (full->in_flight == 0)
			recovery_kick(blobs);
	}
	if (writer->current == NULL) {
		enqueue(writer, put);
		kick_opener(blobs);
		return;
	}
	err = open_set_put(writer->current, open_set_column(writer->current, put), put);
	if (err != ERR_OK) {
		put->done(put, err);
		return;
	}
	if (wants_spare(writer))
		kick_opener(blobs);
	arm(blobs);
}

/* ---- opening ---- */

/* A volume that fails is suspect after the first attempt, so that the next one does without. */
static WAITS enum err open_one(struct blobs *blobs, struct open_set **out)
{
	const struct open_set_order order = {.capacity = blobs->options.column_size};
	enum err err = ERR_UNAVAILABLE;

	for (int i = 0; i < OPEN_ATTEMPTS; i++) {
		err = open_set_create(blobs, &order, out);
		if (err == ERR_OK || err == ERR_CANCELED)
			break;
	}
	return err;
}

static void fail_waiting(struct blobs *blobs, enum err err)
{
	struct put *put;

	while ((put = dequeue(&blobs->writer)) != NULL)
		put->done(put, err);
}

static void flush_waiting(struct blobs *blobs)
{
	struct writer *writer = &blobs->writer;
	struct put *last = writer->waiting_last, *put;

	/* What comes back into the queue meanwhile waits for the next set. */
	while (writer->current != NULL && (put = dequeue(writer)) != NULL) {
		writer_put(blobs, put);
		if (put == last)
			break;
	}
}

static void take_opened(struct blobs *blobs, struct open_set *set)
{
	struct writer *writer = &blobs->writer;

	if (writer->current == NULL)
		writer->current = set;
	else if (writer->spare == NULL)
		writer->spare = set;
	else
		open_set_close(set);
}

/* ---- resuming ---- */

/* Whether what it was paused for is over, as far as one can tell without trying. */
static bool may_resume(const struct blobs *blobs, const struct open_set *set)
{
	if (!is_paused(set) || set->in_flight > 0)
		return false;
	for (unsigned i = 0; i < profile_members(set->header.profile); i++) {
		struct id128 member = set->header.members[i];
		const struct layout_volume *volume = layout_find(blobs->options.layout, member);

		if (volume == NULL || volume->failed || volume->full ||
		    health_is_suspect(&blobs->health, member) || ask_is_hanging(blobs, member))
			return false;
	}
	return true;
}

static struct open_set *find_resumable(const struct blobs *blobs)
{
	for (struct open_set *set = blobs->open_sets; set != NULL; set = set->next)
		if (may_resume(blobs, set))
			return set;
	return NULL;
}

/* It goes first, before the one that stood in for it: so one learns soonest whether it can. */
static void resume(struct blobs *blobs)
{
	struct writer *writer = &blobs->writer;
	struct open_set *set = writer->spare == NULL ? find_resumable(blobs) : NULL;

	if (set == NULL)
		return;
	env_log(blobs->env, "event=set-resumed set=%016llx", (unsigned long long)set->header.set);
	open_set_resume(set);
	writer->spare = writer->current;
	writer->current = set;
}

void writer_set_drained(struct blobs *blobs)
{
	arm(blobs);
}

static void run_opener(void *argument)
{
	struct blobs *blobs = argument;
	struct writer *writer = &blobs->writer;

	while (!blobs->closing && (writer->current == NULL || wants_spare(writer))) {
		struct open_set *set = NULL;
		enum err err = open_one(blobs, &set);

		if (err != ERR_OK) {
			env_log(blobs->env, "event=set-not-opened err=%s", err_name(err));
			if (writer->current == NULL)
				fail_waiting(blobs, err == ERR_NOSPACE || err == ERR_CANCELED
							    ? err
							    : ERR_UNAVAILABLE);
			break;
		}
		take_opened(blobs, set);
		flush_waiting(blobs);
	}
	writer->opening = false;
	if (blobs->closing)
		fail_waiting(blobs, ERR_CANCELED);
	/* A set that was resumed meanwhile serves who waits as well as a new one. */
	else
		flush_waiting(blobs);
	/* Somebody may have come to wait after the last look. */
	if (writer->waiting_first != NULL)
		kick_opener(blobs);
	group_leave(&blobs->tasks);
}

static void kick_opener(struct blobs *blobs)
{
	enum err err;

	if (blobs->writer.opening || blobs->closing)
		return;
	group_enter(&blobs->tasks);
	blobs->writer.opening = true;
	err = task_spawn(blobs->sched, "set-opener", run_opener, blobs, NULL);
	if (err != ERR_OK) {
		blobs->writer.opening = false;
		group_leave(&blobs->tasks);
		fail_waiting(blobs, err);
	}
}

/* ---- time ---- */

/* The members that have not synced what the others have. */
uint32_t writer_slow_members(const struct open_set *set)
{
	const struct set_writer *machine = &set->machine;
	uint32_t slow = 0;

	for (uint8_t column = 0; column < set->header.profile.k; column++) {
		if (set->first[column] == NULL)
			continue;
		for (unsigned i = 0; i < profile_members(set->header.profile); i++) {
			bool holds = i == column || i >= set->header.profile.k;

			if (holds && machine->synced[i][column] < set->first[column]->end)
				slow |= 1u << i;
		}
	}
	return slow;
}

/* Whether a set could be opened without these members. */
static bool can_avoid(struct blobs *blobs, const struct open_set *set, uint32_t slow)
{
	struct layout usable;
	bool possible = false;

	if (open_set_usable_layout(blobs, true, &usable) == ERR_OK) {
		for (unsigned i = 0; i < profile_members(set->header.profile); i++) {
			struct layout_volume *volume = layout_find(&usable, set->header.members[i]);

			if (volume != NULL && (slow >> i & 1) != 0)
				volume->failed = true;
		}
		possible = open_set_profile(blobs, &usable).k != 0;
	}
	layout_finish(&usable);
	return possible;
}

/* At most one paused set a volume: what an earlier one holds is sealed or copied. */
static void close_paused(struct blobs *blobs, struct id128 volume)
{
	for (struct open_set *set = blobs->open_sets; set != NULL; set = set->next) {
		bool found = false;

		for (unsigned i = 0; i < profile_members(set->header.profile); i++)
			found |= (set->slow >> i & 1) != 0 &&
				 id128_equal(set->header.members[i], volume);
		if (!found || !is_paused(set))
			continue;
		open_set_close(set);
		recovery_kick(blobs);
	}
}

static bool has_member(const struct open_set *set, struct id128 volume)
{
	for (unsigned i = 0; i < profile_members(set->header.profile); i++)
		if (id128_equal(set->header.members[i], volume))
			return true;
	return false;
}

/* The volume is slow: the sets of this writer keep off it for a while. */
static void blame(struct blobs *blobs, struct id128 volume)
{
	struct open_set *spare = blobs->writer.spare;

	health_slow(&blobs->health, volume, HEALTH_APPEND);
	health_suspect(&blobs->health, volume);
	close_paused(blobs, volume);
	if (spare == NULL || !has_member(spare, volume))
		return;
	leave_set(blobs, spare);
	open_set_close(spare);
	recovery_kick(blobs);
}

static void blame_all(struct blobs *blobs, const struct open_set *set, uint32_t slow)
{
	for (unsigned i = 0; i < profile_members(set->header.profile); i++)
		if ((slow >> i & 1) != 0)
			blame(blobs, set->header.members[i]);
}

static void hedge(struct blobs *blobs, struct open_set *set)
{
	uint32_t slow = writer_slow_members(set);

	blame_all(blobs, set, slow);
	env_log(blobs->env, "event=set-paused set=%016llx slow=%x",
		(unsigned long long)set->header.set, slow);
	leave_set(blobs, set);
	open_set_pause(set, slow);
}

static uint64_t hedge_after_ms(const struct blobs *blobs)
{
	return health_hedge_ms(&blobs->health, HEALTH_APPEND, blobs->options.hedge_ms);
}

/* Goes elsewhere when it can; from a disk that hangs also when it cannot, and so says no. */
static bool hedge_current(struct blobs *blobs, uint64_t now)
{
	struct open_set *set = blobs->writer.current;
	uint64_t oldest = set != NULL ? open_set_oldest_ms(set) : UINT64_MAX;

	if (oldest == UINT64_MAX || now - oldest < hedge_after_ms(blobs))
		return false;
	if (now - oldest < ask_patience_ms(blobs) &&
	    !can_avoid(blobs, set, writer_slow_members(set)))
		return false;
	hedge(blobs, set);
	return true;
}

/*
 * A set that was left because it is full may have records under way at a slow volume, and nobody
 * gives it up for that: they go elsewhere like those of the set that is written.
 */
static bool hedge_closed(struct blobs *blobs, uint64_t now)
{
	for (struct open_set *set = blobs->open_sets; set != NULL; set = set->next) {
		uint64_t oldest = open_set_oldest_ms(set);

		if (set->machine.state != SET_WRITER_CLOSED || oldest == UINT64_MAX ||
		    now - oldest < hedge_after_ms(blobs) ||
		    (now - oldest < ask_patience_ms(blobs) &&
		     !can_avoid(blobs, set, writer_slow_members(set))))
			continue;
		blame_all(blobs, set, writer_slow_members(set));
		open_set_give_back(set);
		return true;
	}
	return false;
}

static void close_old(struct blobs *blobs, uint64_t now)
{
	struct open_set *set = blobs->writer.current;

	if (set != NULL && !open_set_is_empty(set) && open_set_oldest_ms(set) == UINT64_MAX &&
	    now - set->opened_ms >= blobs->options.idle_ms) {
		leave_set(blobs, set);
		open_set_close(set);
		recovery_kick(blobs);
	}
	for (set = blobs->open_sets; set != NULL; set = set->next) {
		if (!is_paused(set) ||
		    (now - set->opened_ms < blobs->options.idle_ms && !open_set_is_stuck(set)))
			continue;
		open_set_close(set);
		recovery_kick(blobs);
	}
}

static void tick(struct env_timer *timer)
{
	struct blobs *blobs = timer->context;
	uint64_t now = env_now_ms(blobs->env);

	if (blobs->closing)
		return;
	if (!hedge_current(blobs, now) && !hedge_closed(blobs, now))
		close_old(blobs, now);
	resume(blobs);
	arm(blobs);
}

/* UINT64_MAX: nothing to look after. */
static uint64_t next_tick_ms(const struct blobs *blobs, uint64_t now)
{
	const struct open_set *set = blobs->writer.current;
	uint64_t at = UINT64_MAX;

	if (set != NULL && open_set_oldest_ms(set) != UINT64_MAX)
		at = now + hedge_after_ms(blobs) / HEDGE_STEPS + 1;
	else if (set != NULL && !open_set_is_empty(set))
		at = set->opened_ms + blobs->options.idle_ms;
	for (set = blobs->open_sets; set != NULL; set = set->next)
		if (is_paused(set) && at > now + RESUME_MS)
			at = now + RESUME_MS;
		else if (set->machine.state == SET_WRITER_CLOSED &&
			 open_set_oldest_ms(set) != UINT64_MAX &&
			 at > now + hedge_after_ms(blobs) / HEDGE_STEPS + 1)
			at = now + hedge_after_ms(blobs) / HEDGE_STEPS + 1;
	return at;
}

static void arm(struct blobs *blobs)
{
	struct writer *writer = &blobs->writer;
	uint64_t now = env_now_ms(blobs->env), at = next_tick_ms(blobs, now);

	/* In an env that has stopped timers fire at once, and nothing is waited for any more. */
	if (at == UINT64_MAX || blobs->closing || blobs->env->stopped)
		return;
	if (writer->timer.armed) {
		if (writer->fires_ms <= at)
			return;
		env_timer_stop(blobs->env, &writer->timer);
	}
	writer->fires_ms = at;
	env_timer_start(blobs->env, &writer->timer, at > now ? at - now : 1);
}

/* ---- life ---- */

void writer_start(struct blobs *blobs)
{
	blobs->writer.timer.fire = tick;
	blobs->writer.timer.context = blobs;
	if (!blobs->options.passive)
		kick_opener(blobs);
}

void writer_stop(struct blobs *blobs)
{
	env_timer_stop(blobs->env, &blobs->writer.timer);
	fail_waiting(blobs, ERR_CANCELED);
}
