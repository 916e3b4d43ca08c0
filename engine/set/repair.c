/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/repair.h"

#include "engine/base/memory.h"
#include "engine/set/handover.h"
#include "engine/set/repair_column.h"
#include "engine/set/repair_survey.h"
#include "engine/set/salvage.h"

/* Between what asks for a survey and the survey; then, while something is left, ever later. */
#define PAUSE_MS 200u
#define RETRY_FIRST_MS 5000u
#define RETRY_LAST_MS (5u * 60 * 1000)
#define SUSPECT_LIMIT 64u

struct repair {
	struct blobs *blobs;
	struct cond changed;
	bool wanted, running, stopping;
	uint64_t wake_ms, backoff_ms;
	struct repair_column_key suspects[SUSPECT_LIMIT];
	size_t suspect_count;
	struct repair_survey survey;
	struct repair_effort effort;
	struct repair_status status; /* what survey and effort do not know */
};

/* ---- passes ---- */

/* What a read has met is looked at in full before it costs a rebuild. */
static WAITS enum err check_suspects(struct repair *repair)
{
	struct blobs *blobs = repair->blobs;
	enum err err = ERR_OK;

	while (repair->suspect_count > 0 && err != ERR_CANCELED && err != ERR_NOMEM) {
		struct repair_column_key key = repair->suspects[--repair->suspect_count];
		const struct directory_record *record =
			directory_store_get(blobs->directory, key.set);
		struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX];
		struct shared *faults;

		if (record == NULL)
			continue;
		set_members(record, volumes, tags);
		err = repair_check_column(&repair->effort, volumes[key.column], key.set, &faults);
		if (faults != NULL)
			repair_damaged(repair, key.set, (uint8_t)key.column);
		shared_release(&faults);
	}
	return err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_OK;
}

static void count_jobs(struct repair *repair)
{
	struct repair_status *status = &repair->status;

	status->columns_missing = status->columns_damaged = status->bytes_left = 0;
	for (size_t i = 0; i < repair_survey_job_count(&repair->survey); i++) {
		struct repair_job job = repair_survey_job(&repair->survey, i);

		status->columns_missing += !job.damaged;
		status->columns_damaged += job.damaged;
		status->bytes_left += job.size;
	}
}

static WAITS enum err take_survey(struct repair *repair)
{
	enum err err = repair_survey_take(&repair->survey);

	count_jobs(repair);
	return err;
}

static void job_done(struct repair *repair, const struct repair_job *job, bool rebuilt)
{
	struct repair_status *status = &repair->status;

	status->columns_missing -= !job->damaged;
	status->columns_damaged -= job->damaged;
	status->bytes_left -= job->size;
	status->columns_rebuilt += rebuilt;
	repair_survey_job_done(&repair->survey, job);
}

/* What cannot be made anew, with everybody asked, is given up for what can be read of its set. */
static WAITS enum err mend_column(struct repair *repair, const struct repair_job *job)
{
	enum err err = repair_column(&repair->effort, job->set, job->column);

	if (err != ERR_CORRUPT)
		return err;
	err = salvage_set(repair->blobs, job->set);
	repair->status.sets_salvaged += err == ERR_OK;
	/* The jobs of its other columns end likewise. */
	return err == ERR_OK ? ERR_NOTFOUND : err;
}

/* *left: some could not be done now. *next_ms: when the first of those is due that are not yet. */
static WAITS enum err work(struct repair *repair, bool at_once, bool *left, uint64_t *next_ms)
{
	uint64_t unrecoverable = 0, waiting = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < repair_survey_job_count(&repair->survey); i++) {
		struct repair_job job = repair_survey_job(&repair->survey, i);

		if (!at_once && job.due_ms > env_now_ms(repair->blobs->env)) {
			*next_ms = job.due_ms < *next_ms ? job.due_ms : *next_ms;
			waiting++;
			continue;
		}
		if (repair->stopping)
			return ERR_CANCELED;
		err = mend_column(repair, &job);
		if (err == ERR_OK || err == ERR_NOTFOUND) {
			job_done(repair, &job, err == ERR_OK);
		} else if (err != ERR_CANCELED && err != ERR_NOMEM) {
			*left = true;
			unrecoverable += err == ERR_CORRUPT;
			waiting += err != ERR_CORRUPT;
		}
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	repair->status.sets_unrecoverable = unrecoverable;
	repair->status.columns_waiting = waiting;
	return err;
}

/*
 * The one that stays is read whole before the others go, and said again with them: a header may
 * be all that has told of it.
 */
static WAITS enum err part_twins(struct repair *repair, size_t *parted)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < repair_survey_twin_count(&repair->survey); i++) {
		struct repair_twin twin = repair_survey_twin(&repair->survey, i);
		struct shared *faults = NULL;

		err = repair_check_column(&repair->effort, twin.staying.volume, twin.set, &faults);
		if (err == ERR_OK && faults == NULL)
			err = handover_place(repair->blobs, twin.set, &twin.staying);
		else if (faults != NULL)
			repair_damaged(repair, twin.set, twin.staying.column);
		*parted += err == ERR_OK && faults == NULL;
		shared_release(&faults);
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	return err;
}

static uint64_t work_done(const struct repair *repair)
{
	return repair->status.columns_rebuilt + repair->status.sets_salvaged;
}

static WAITS enum err pass(struct repair *repair, bool at_once, bool *left, uint64_t *next_ms)
{
	uint64_t done = work_done(repair);
	size_t parted = 0;
	enum err err;

	*left = false;
	*next_ms = UINT64_MAX;
	repair->status.running = true;
	err = check_suspects(repair);
	if (err == ERR_OK)
		err = take_survey(repair);
	if (err == ERR_OK)
		err = work(repair, at_once, left, next_ms);
	if (err == ERR_OK)
		err = part_twins(repair, &parted);
	/* Faults met on the way are jobs of their own. */
	if (err == ERR_OK && (work_done(repair) != done || parted != 0))
		err = take_survey(repair);
	*left |= repair->survey.silent;
	repair->status.running = false;
	return err;
}

enum err repair_run(struct repair *repair)
{
	bool left = true;
	uint64_t next_ms;
	enum err err = ERR_OK;

	while (repair->running) {
		err = cond_wait(&repair->changed, TASK_FOREVER);
		if (err != ERR_OK)
			return err;
	}
	repair->running = true;
	do {
		uint64_t done = work_done(repair);

		err = pass(repair, true, &left, &next_ms);
		if (err == ERR_OK && work_done(repair) == done)
			break;
	} while (err == ERR_OK && repair_survey_job_count(&repair->survey) != 0);
	repair->running = false;
	cond_broadcast(&repair->changed);
	if (err == ERR_OK &&
	    (repair_survey_job_count(&repair->survey) != 0 || repair->survey.silent))
		err = ERR_UNAVAILABLE;
	return err;
}

/* ---- the task ---- */

static void set_alarm(struct repair *repair, enum err err, bool left, uint64_t next_ms)
{
	uint64_t now_ms = env_now_ms(repair->blobs->env);

	repair->wake_ms = next_ms;
	if (err == ERR_OK && !left) {
		repair->backoff_ms = 0;
		return;
	}
	repair->backoff_ms = repair->backoff_ms == 0 ? RETRY_FIRST_MS : 2 * repair->backoff_ms;
	if (repair->backoff_ms > RETRY_LAST_MS)
		repair->backoff_ms = RETRY_LAST_MS;
	if (now_ms + repair->backoff_ms < repair->wake_ms)
		repair->wake_ms = now_ms + repair->backoff_ms;
}

static WAITS enum err wait_for_work(struct repair *repair)
{
	while (!repair->stopping && (repair->running || !repair->wanted)) {
		enum err err = cond_wait(&repair->changed, repair->wake_ms);

		if (err == ERR_TIMEOUT && !repair->running)
			return ERR_OK;
		if (err == ERR_CANCELED)
			return err;
	}
	return repair->stopping ? ERR_CANCELED : ERR_OK;
}

static void run_task(void *argument)
{
	struct repair *repair = argument;
	enum err err = ERR_OK;

	while (err != ERR_CANCELED && !task_canceled() && wait_for_work(repair) == ERR_OK) {
		bool left;
		uint64_t next_ms;

		/* What comes together is one survey. */
		if (task_sleep(PAUSE_MS) != ERR_OK || repair->stopping)
			break;
		if (repair->running)
			continue;
		repair->wanted = false;
		repair->running = true;
		err = pass(repair, false, &left, &next_ms);
		repair->running = false;
		set_alarm(repair, err, left, next_ms);
		cond_broadcast(&repair->changed);
	}
	group_leave(&repair->blobs->tasks);
}

/* ---- life ---- */

enum err repair_create(struct blobs *blobs, struct repair **out)
{
	struct repair *repair = memory_allocate(sizeof(*repair));

	if (repair == NULL)
		return ERR_NOMEM;
	repair->blobs = blobs;
	repair_survey_init(&repair->survey, blobs);
	repair->effort = (struct repair_effort){
		.blobs = blobs, .changed = &repair->changed, .stopping = &repair->stopping};
	repair->wake_ms = TASK_FOREVER;
	*out = repair;
	return ERR_OK;
}

enum err repair_start(struct repair *repair)
{
	enum err err;

	repair->wanted = true;
	group_enter(&repair->blobs->tasks);
	err = task_spawn(repair->blobs->sched, "set-repair", run_task, repair, NULL);
	if (err != ERR_OK)
		group_leave(&repair->blobs->tasks);
	return err;
}

void repair_stop(struct repair *repair)
{
	repair->stopping = true;
	cond_broadcast(&repair->changed);
}

void repair_destroy(struct repair **repair)
{
	if (*repair == NULL)
		return;
	repair_survey_finish(&(*repair)->survey);
	memory_free(*repair);
	*repair = NULL;
}

void repair_kick(struct repair *repair)
{
	repair->wanted = true;
	repair->backoff_ms = 0;
	cond_broadcast(&repair->changed);
}

void repair_suspect(struct repair *repair, uint64_t set, uint8_t column)
{
	for (size_t i = 0; i < repair->suspect_count; i++)
		if (repair->suspects[i].set == set && repair->suspects[i].column == column)
			return;
	/* What finds no room here is met again. */
	if (repair_survey_is_damaged(&repair->survey, set, column) ||
	    repair->suspect_count == SUSPECT_LIMIT)
		return;
	repair->suspects[repair->suspect_count++] = (struct repair_column_key){set, column};
	repair_kick(repair);
}

void repair_damaged(struct repair *repair, uint64_t set, uint8_t column)
{
	if (repair_survey_damaged(&repair->survey, set, column))
		repair_kick(repair);
}

uint32_t repair_missing(const struct repair *repair, uint64_t set)
{
	return repair_survey_missing(&repair->survey, set);
}

void repair_get_status(const struct repair *repair, struct repair_status *out)
{
	*out = repair->status;
	out->sets_degraded = repair->survey.sets_degraded;
	out->sets_exposed = repair->survey.sets_exposed;
	out->bytes_written = repair->effort.bytes_written;
	out->bytes_per_second = repair->effort.bytes_per_second;
	out->running = repair->running && (repair_survey_job_count(&repair->survey) != 0 ||
					   repair->suspect_count != 0);
}
