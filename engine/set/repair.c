/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/repair.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"

/* Between what asks for a survey and the survey; then, while something is left, ever later. */
#define PAUSE_MS 200u
#define RETRY_FIRST_MS 5000u
#define RETRY_LAST_MS (5u * 60 * 1000)
#define SUSPECT_LIMIT 64u
/* What a throttled call may take. */
#define LONG_MS (7u * 24 * 60 * 60 * 1000)

/* A column, as a key of a map. */
struct column_key {
	uint64_t set;
	uint64_t column;
};

/* A column that is to be made anew. */
struct job {
	uint64_t set;
	uint8_t column, spare; /* how many more of the set's columns may go */
	bool damaged;          /* there, but not whole */
	uint64_t due_ms, size;
};

struct repair {
	struct blobs *blobs;
	struct cond changed;
	bool wanted, running, stopping;
	uint64_t started_ms, wake_ms, backoff_ms;
	struct column_key suspects[SUSPECT_LIMIT];
	size_t suspect_count;
	struct map damaged; /* struct column_key */
	struct map missing; /* set to its mask of columns, as a pointer */
	struct buf jobs;    /* struct job */
	struct repair_status status;
};

/* What a map's values point to where only the keys count. */
static char whole_marker, damaged_marker;

/* ---- what the members hold ---- */

struct survey {
	struct repair *repair;
	struct map tags; /* of what live members hold: to one of the markers */
	struct buf strays; /* struct stray */
	enum err err;
};

/* A file that the directory has given up. */
struct stray {
	uint64_t set;
	struct id128 uuid, tag, volume;
};

static bool is_live(const struct blobs *blobs, struct id128 volume)
{
	const struct layout_volume *found = layout_find(blobs->options.layout, volume);

	return found != NULL && !found->failed;
}

static bool is_placed(const struct directory_record *record, struct id128 tag)
{
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (id128_equal(placement.tag, tag))
			return true;
	}
	return false;
}

static enum err take_item(struct survey *survey, struct id128 volume, const uint8_t *item)
{
	struct blobs *blobs = survey->repair->blobs;
	const struct directory_record *record;
	bool damaged = (item[COLUMN_HEADER_SIZE + 16] & SET_ENUMERATE_DAMAGED) != 0;
	struct column_header header;
	enum err err = column_header_decode(item, &header);

	if (err != ERR_OK)
		return err;
	record = directory_store_get(blobs->directory, header.set);
	if (record != NULL && directory_is_removed(record, header.tag)) {
		const struct stray stray = {header.set, header.uuid, header.tag, volume};

		buf_put(&survey->strays, &stray, sizeof(stray));
		return survey->strays.err;
	}
	/* Made anew by a process that could not say so any more. */
	if (record == NULL || !is_placed(record, header.tag))
		err = blobs_learn_column(blobs, item);
	return err != ERR_OK ? err
			     : map_put(&survey->tags, &header.tag,
				       damaged ? &damaged_marker : &whole_marker);
}

static void drop_items(struct wire_call *call)
{
	shared_release(&((struct set_enumerate_call *)call)->items);
}

/* One answer's worth; *after moves on. */
static WAITS enum err enumerate_some(struct survey *survey, struct id128 volume, bool resume,
				     uint64_t *after, bool *more)
{
	struct blobs *blobs = survey->repair->blobs;
	struct set_enumerate_call *call =
		ask_create(sizeof(*call), SET_ENUMERATE, volume, drop_items);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->resume = resume;
	call->after = *after;
	err = ask(blobs, call, ask_patience_ms(blobs));
	*more = err == ERR_OK && call->more;
	for (uint32_t i = 0; err == ERR_OK && i < call->count; i++) {
		const uint8_t *item = call->items->data + i * (size_t)SET_ENUMERATE_ITEM;

		err = take_item(survey, volume, item);
		*after = load_u64(item + 24);
	}
	ask_release(call);
	return err;
}

/* INV 2: of a volume that lives and is silent nobody knows what it holds. ERR_UNAVAILABLE. */
static WAITS enum err enumerate(struct survey *survey, struct id128 volume)
{
	uint64_t after = 0;
	bool more = true;
	enum err err = ERR_OK;

	for (bool resume = false; err == ERR_OK && more; resume = true)
		err = enumerate_some(survey, volume, resume, &after, &more);
	if (err == ERR_IO || err == ERR_UNAVAILABLE)
		err = is_live(survey->repair->blobs, volume) ? ERR_UNAVAILABLE : ERR_OK;
	return err;
}

static WAITS enum err enumerate_all(struct survey *survey)
{
	const struct layout *layout = survey->repair->blobs->options.layout;
	struct id128 *volumes = memory_array(layout->volume_count, sizeof(*volumes));
	size_t count = 0;
	enum err err = volumes != NULL ? ERR_OK : ERR_NOMEM;

	/* A copy: the layout may change while somebody is asked. */
	for (size_t i = 0; err == ERR_OK && i < layout->volume_count; i++)
		if (!layout->volumes[i].failed)
			volumes[count++] = layout->volumes[i].volume;
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = enumerate(survey, volumes[i]);
	memory_free(volumes);
	return err;
}

/* ---- what is missing ---- */

/* Somewhere in the configuration there is a directory of which nobody knows whose it is. */
static bool is_someone_expected(const struct blobs *blobs)
{
	const struct layout *layout = blobs->options.layout;

	for (size_t i = 0; i < layout->volume_count; i++)
		if (layout->volumes[i].failed && id128_is_zero(layout->volumes[i].node))
			return true;
	return false;
}

static uint64_t due_of(const struct repair *repair, struct id128 volume)
{
	const struct blobs *blobs = repair->blobs;

	if (layout_find(blobs->options.layout, volume) != NULL || !is_someone_expected(blobs))
		return 0;
	return repair->started_ms + blobs->options.repair_after_ms;
}

static bool is_damaged(const struct repair *repair, uint64_t set, uint8_t column)
{
	const struct column_key key = {set, column};

	return map_get(&repair->damaged, &key) != NULL;
}

/* What there is of one column, over all its placements. */
struct presence {
	bool placed, held, whole;
	uint64_t due_ms;
};

static struct presence look_for(const struct survey *survey,
				const struct directory_record *record, uint8_t column)
{
	const struct repair *repair = survey->repair;
	struct presence presence = {0};

	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;
		const char *marker;
		uint64_t due_ms;

		directory_get_placement(record, i, &placement);
		if (placement.column != column)
			continue;
		presence.placed = true;
		marker = is_live(repair->blobs, placement.volume)
				 ? map_get(&survey->tags, &placement.tag)
				 : NULL;
		presence.held |= marker != NULL;
		presence.whole |= marker == &whole_marker;
		due_ms = due_of(repair, placement.volume);
		presence.due_ms = due_ms > presence.due_ms ? due_ms : presence.due_ms;
	}
	presence.whole &= !is_damaged(repair, record->set, column);
	if (presence.held)
		presence.due_ms = 0;
	return presence;
}

static bool is_ours(const struct directory_record *record)
{
	return record->born && record->seals.count == 1 && record->successors.count == 0 &&
	       !directory_is_alarming(record);
}

/* One whose tags are all removed was given up, not lost; without a journal nobody can tell. */
static bool is_wanted(const struct repair *repair, const struct presence *presence)
{
	return presence->placed || repair->blobs->options.journal == NULL;
}

static enum err survey_set(struct survey *survey, const struct directory_record *record)
{
	struct repair *repair = survey->repair;
	unsigned members = profile_members(record->birth.profile), missing_count;
	struct presence presences[PROFILE_MEMBER_MAX];
	uintptr_t missing = 0;
	enum err err = ERR_OK;

	for (uint8_t i = 0; i < members; i++) {
		presences[i] = look_for(survey, record, i);
		if (is_wanted(repair, &presences[i]) && !presences[i].whole)
			missing |= (uintptr_t)1 << i;
	}
	if (missing == 0)
		return ERR_OK;
	missing_count = (unsigned)__builtin_popcountll(missing);
	for (uint8_t i = 0; i < members; i++) {
		const struct job job = {
			.set = record->set,
			.column = i,
			.spare = (uint8_t)(missing_count < record->birth.profile.m
						   ? record->birth.profile.m - missing_count
						   : 0),
			.damaged = presences[i].held,
			.due_ms = presences[i].due_ms,
			.size = record->birth.capacity};

		if ((missing >> i & 1) != 0)
			buf_put(&repair->jobs, &job, sizeof(job));
	}
	err = repair->jobs.err;
	repair->status.sets_degraded++;
	repair->status.sets_exposed += missing_count >= record->birth.profile.m;
	return err == ERR_OK ? map_put(&repair->missing, &record->set, (void *)missing) : err;
}

static int compare_jobs(const void *left, const void *right)
{
	const struct job *a = left, *b = right;

	if (a->spare != b->spare)
		return a->spare < b->spare ? -1 : 1;
	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

static size_t job_count(const struct repair *repair)
{
	return repair->jobs.size / sizeof(struct job);
}

static struct job job_at(const struct repair *repair, size_t index)
{
	struct job job;

	memcpy(&job, repair->jobs.data + index * sizeof(job), sizeof(job));
	return job;
}

static void count_jobs(struct repair *repair)
{
	struct repair_status *status = &repair->status;

	status->columns_missing = status->columns_damaged = status->bytes_left = 0;
	for (size_t i = 0; i < job_count(repair); i++) {
		struct job job = job_at(repair, i);

		status->columns_missing += !job.damaged;
		status->columns_damaged += job.damaged;
		status->bytes_left += job.size;
	}
}

static WAITS enum err remove_strays(struct survey *survey)
{
	struct blobs *blobs = survey->repair->blobs;
	enum err err = ERR_OK;

	for (size_t at = 0; err == ERR_OK && at < survey->strays.size; at += sizeof(struct stray)) {
		struct set_simple_call *call;
		struct stray stray;

		memcpy(&stray, survey->strays.data + at, sizeof(stray));
		call = ask_create(sizeof(*call), SET_REMOVE, stray.volume, NULL);
		if (call == NULL)
			return ERR_NOMEM;
		call->set = stray.set;
		call->uuid = stray.uuid;
		call->tag = stray.tag;
		env_log(blobs->env, "event=column-given-up-removed set=%016llx",
			(unsigned long long)stray.set);
		err = ask(blobs, call, ask_patience_ms(blobs));
		ask_release(call);
		if (err == ERR_IO || err == ERR_UNAVAILABLE)
			err = ERR_OK;
	}
	return err;
}

static void forget_survey(struct repair *repair)
{
	map_finish(&repair->missing);
	map_init(&repair->missing, sizeof(uint64_t));
	buf_clear(&repair->jobs);
	repair->status.sets_degraded = repair->status.sets_exposed = 0;
}

static WAITS enum err take_survey(struct repair *repair)
{
	struct survey survey = {.repair = repair};
	const struct directory_record *record;
	size_t position = 0;
	enum err err;

	map_init(&survey.tags, sizeof(struct id128));
	err = enumerate_all(&survey);
	if (err == ERR_OK) {
		forget_survey(repair);
		while (err == ERR_OK &&
		       (record = directory_store_next(repair->blobs->directory, &position)) != NULL)
			if (is_ours(record))
				err = survey_set(&survey, record);
		if (job_count(repair) > 1)
			qsort(repair->jobs.data, job_count(repair), sizeof(struct job),
			      compare_jobs);
		count_jobs(repair);
	}
	if (err == ERR_OK)
		err = remove_strays(&survey);
	map_finish(&survey.tags);
	buf_finish(&survey.strays);
	return err;
}

/* ---- calls that may be left to themselves when the store closes ---- */

/* However long it takes: the member goes at the pace that it was given, and has its own way out. */
static WAITS enum err await(struct repair *repair, void *call)
{
	ask_post(repair->blobs, call, LONG_MS, &repair->changed);
	while (!ask_is_answered(call)) {
		enum err err = repair->stopping ? ERR_CANCELED
						: cond_wait(&repair->changed, TASK_FOREVER);

		if (err != ERR_OK && !ask_is_answered(call))
			return err;
	}
	return ask_err(call);
}

static void drop_check(struct wire_call *call)
{
	shared_release(&((struct set_check_call *)call)->faults);
}

/* *faults is NULL when the column is whole. */
static WAITS enum err check_column(struct repair *repair, struct id128 volume, uint64_t set,
				   struct shared **faults)
{
	struct set_check_call *check = ask_create(sizeof(*check), SET_CHECK, volume, drop_check);
	enum err err;

	*faults = NULL;
	if (check == NULL)
		return ERR_NOMEM;
	check->set = set;
	check->rate = repair->blobs->options.repair_rate;
	err = await(repair, check);
	if (err == ERR_OK) {
		*faults = check->faults;
		check->faults = NULL;
	}
	ask_release(check);
	return err;
}

/* Given references that nobody took: a volume that is not served. */
static void drop_rebuild(struct wire_call *call)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		shared_release(&((struct set_rebuild_call *)call)->faults[i]);
}

/* ---- one column ---- */

/* The placement of each column that answers is the one that counts. */
static void choose_members(struct finish *finish)
{
	const struct blobs *blobs = finish->blobs;
	const struct directory_record *record = directory_store_get(blobs->directory, finish->set);

	for (uint32_t i = 0; record != NULL && i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (!is_live(blobs, finish->volumes[placement.column]) &&
		    is_live(blobs, placement.volume)) {
			finish->volumes[placement.column] = placement.volume;
			finish->tags[placement.column] = placement.tag;
		}
	}
}

static bool holds_other(const struct finish *finish, struct id128 volume, uint8_t column)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (i != column && id128_equal(finish->volumes[i], volume) &&
		    is_live(finish->blobs, volume))
			return true;
	return false;
}

/* How many columns of the set lie in the same node, and in the same zone, as that volume. */
static void count_neighbours(const struct finish *finish, const struct layout_volume *volume,
			     size_t *node, size_t *zone)
{
	const struct layout *layout = finish->blobs->options.layout;

	*node = *zone = 0;
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		const struct layout_volume *other = layout_find(layout, finish->volumes[i]);

		if (other == NULL || other->failed)
			continue;
		*node += id128_equal(other->node, volume->node);
		*zone += strncmp(other->zone, volume->zone, sizeof(other->zone)) == 0;
	}
}

/*
 * The volume that is to take the column: without another one of the set, in the node and zone with
 * the fewest; among equals rendezvous decides. ERR_UNAVAILABLE.
 */
static enum err pick_target(const struct finish *finish, uint8_t column, struct id128 *out)
{
	const struct layout *layout = finish->blobs->options.layout;
	struct id128 *order = memory_array(layout->volume_count, sizeof(*order));
	size_t best_node = SIZE_MAX, best_zone = SIZE_MAX, count;
	uint8_t key[16 + 9];

	if (order == NULL)
		return ERR_NOMEM;
	memcpy(key, "rebuilt column: ", 16);
	store_u64(key + 16, finish->set);
	key[24] = column;
	*out = ID128_ZERO;
	count = layout_pick(layout, bytes_make(key, sizeof(key)), layout->volume_count, SIZE_MAX,
			    true, order);
	for (size_t i = 0; i < count; i++) {
		size_t node, zone;

		if (holds_other(finish, order[i], column))
			continue;
		count_neighbours(finish, layout_find(layout, order[i]), &node, &zone);
		if (zone > best_zone || (zone == best_zone && node >= best_node))
			continue;
		best_node = node;
		best_zone = zone;
		*out = order[i];
	}
	memory_free(order);
	return id128_is_zero(*out) ? ERR_UNAVAILABLE : ERR_OK;
}

static const struct set_certificate *find_certificate(const struct finish *finish)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (finish->answers[i].sealed)
			return &finish->answers[i].certificate;
	return NULL;
}

static void describe(const struct finish *finish, uint8_t column, struct id128 target,
		     struct set_rebuild_call *call)
{
	struct column_header *header = &call->header;

	*header = finish->header;
	header->column = column;
	header->kind = column < finish->profile.k ? COLUMN_DATA : COLUMN_PARITY;
	header->tag = env_random_id(finish->blobs->env);
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		header->members[i] = finish->volumes[i];
		if (finish->answers[i].sealed || finish->answers[i].voted)
			call->volumes[i] = finish->volumes[i];
	}
	header->members[column] = target;
}

/* One attempt; the references to the faults are given. */
static WAITS enum err attempt(struct repair *repair, const struct finish *finish, uint8_t column,
			      struct id128 target, struct shared **faults, struct id128 *tag)
{
	struct set_rebuild_call *rebuild =
		ask_create(sizeof(*rebuild), SET_REBUILD, target, drop_rebuild);
	uint64_t started_ms = env_now_ms(repair->blobs->env), took_ms;
	enum err err;

	if (rebuild == NULL)
		return ERR_NOMEM;
	rebuild->set = finish->set;
	rebuild->replace = true;
	rebuild->certificate = *find_certificate(finish);
	rebuild->rate = repair->blobs->options.repair_rate;
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		rebuild->faults[i] = faults[i];
		faults[i] = NULL;
	}
	describe(finish, column, target, rebuild);
	*tag = rebuild->header.tag;
	err = await(repair, rebuild);
	if (err == ERR_OK) {
		took_ms = env_now_ms(repair->blobs->env) - started_ms;
		repair->status.bytes_written += rebuild->bytes_done;
		repair->status.bytes_per_second =
			rebuild->bytes_done * 1000 / (took_ms != 0 ? took_ms : 1);
	}
	ask_release(rebuild);
	return err;
}

/* Reads all siblings whole; those that are damaged are to be made anew as well. */
static WAITS enum err check_siblings(struct repair *repair, const struct finish *finish,
				     uint8_t column, struct shared **faults)
{
	enum err err = ERR_OK;

	for (uint8_t i = 0; err == ERR_OK && i < profile_members(finish->profile); i++) {
		if (i == column || !finish->answers[i].sealed)
			continue;
		err = check_column(repair, finish->volumes[i], finish->set, &faults[i]);
		if (faults[i] != NULL)
			repair_damaged(repair, finish->set, i);
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	return err;
}

/*
 * The new placement in, those that it stands for out. In one change: nobody must see the column
 * without a placement.
 */
static WAITS enum err publish(struct repair *repair, const struct finish *finish, uint8_t column,
			      struct id128 target, struct id128 tag)
{
	struct directory_store *directory = repair->blobs->directory;
	const struct directory_record *record = directory_store_get(directory, finish->set);
	struct directory_record change = {.set = finish->set};
	const struct directory_placement placement = {.tag = tag,
						      .volume = target,
						      .column = column,
						      .seal = find_certificate(finish)->seal};
	enum err err = directory_add_placement(&change, &placement);

	for (uint32_t i = 0; err == ERR_OK && record != NULL && i < record->placements.count; i++) {
		struct directory_placement old;

		directory_get_placement(record, i, &old);
		if (old.column == column && !id128_equal(old.tag, tag))
			err = directory_remove_tag(&change, old.tag);
	}
	if (err == ERR_OK)
		err = directory_store_publish(directory, &change);
	directory_record_finish(&change);
	return err;
}

/* Whether every other column has been asked, or is known never to come back. */
static bool has_asked_all(const struct finish *finish, uint8_t column)
{
	const struct blobs *blobs = finish->blobs;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		bool gone = layout_find(blobs->options.layout, finish->volumes[i]) == NULL &&
			    !is_someone_expected(blobs);

		if (i != column && !finish->answers[i].sealed && !gone)
			return false;
	}
	return true;
}

static WAITS enum err rebuild_at(struct repair *repair, struct finish *finish, uint8_t column,
				 struct id128 target)
{
	const struct column_key key = {finish->set, column};
	struct shared *faults[PROFILE_MEMBER_MAX] = {NULL};
	struct id128 tag;
	enum err err = attempt(repair, finish, column, target, faults, &tag);

	/* Somebody's bytes are not what they were: whose, and where? */
	if (err == ERR_CORRUPT || err == ERR_UNAVAILABLE) {
		err = check_siblings(repair, finish, column, faults);
		if (err == ERR_OK)
			err = attempt(repair, finish, column, target, faults, &tag);
		/* Not who is silent is in the way, but what is damaged. */
		if (err == ERR_UNAVAILABLE && has_asked_all(finish, column))
			err = ERR_CORRUPT;
		for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
			shared_release(&faults[i]);
	}
	if (err == ERR_OK)
		err = publish(repair, finish, column, target, tag);
	if (err != ERR_OK)
		return err;
	(void)map_remove(&repair->damaged, &key);
	repair->status.columns_rebuilt++;
	env_log(repair->blobs->env, "event=column-rebuilt set=%016llx column=%u",
		(unsigned long long)finish->set, column);
	return ERR_OK;
}

/* ERR_NOTFOUND: there is nothing to do any more. */
static WAITS enum err rebuild(struct repair *repair, const struct job *job)
{
	struct blobs *blobs = repair->blobs;
	struct finish *finish = memory_allocate(sizeof(*finish));
	struct id128 target;
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	err = finish_load(blobs, job->set, finish);
	if (err == ERR_OK) {
		choose_members(finish);
		err = finish_ask(finish, SET_ASK);
	}
	if (err == ERR_OK && find_certificate(finish) == NULL)
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK) {
		target = finish->volumes[job->column];
		/* Its own volume when that lives: nothing moves, and the damaged file goes. */
		if (!is_live(blobs, target) || holds_other(finish, target, job->column))
			err = pick_target(finish, job->column, &target);
	}
	if (err == ERR_OK)
		err = rebuild_at(repair, finish, job->column, target);
	memory_free(finish);
	return err;
}

/* ---- passes ---- */

/* What a read has met is looked at in full before it costs a rebuild. */
static WAITS enum err check_suspects(struct repair *repair)
{
	struct blobs *blobs = repair->blobs;
	enum err err = ERR_OK;

	while (repair->suspect_count > 0 && err != ERR_CANCELED && err != ERR_NOMEM) {
		struct column_key key = repair->suspects[--repair->suspect_count];
		const struct directory_record *record =
			directory_store_get(blobs->directory, key.set);
		struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX];
		struct shared *faults;

		if (record == NULL)
			continue;
		set_members(record, volumes, tags);
		err = check_column(repair, volumes[key.column], key.set, &faults);
		if (faults != NULL)
			repair_damaged(repair, key.set, (uint8_t)key.column);
		shared_release(&faults);
	}
	return err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_OK;
}

static void job_done(struct repair *repair, const struct job *job)
{
	struct repair_status *status = &repair->status;
	uintptr_t missing = (uintptr_t)map_get(&repair->missing, &job->set);

	missing &= ~((uintptr_t)1 << job->column);
	status->columns_missing -= !job->damaged;
	status->columns_damaged -= job->damaged;
	status->bytes_left -= job->size;
	/* There is an entry, so replacing it cannot fail. */
	if (missing != 0)
		(void)!map_put(&repair->missing, &job->set, (void *)missing);
	else if (map_remove(&repair->missing, &job->set) != NULL)
		status->sets_degraded--;
}

/* *left: some could not be done now. *next_ms: when the first of those is due that are not yet. */
static WAITS enum err work(struct repair *repair, bool at_once, bool *left, uint64_t *next_ms)
{
	uint64_t unrecoverable = 0, waiting = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < job_count(repair); i++) {
		struct job job = job_at(repair, i);

		if (!at_once && job.due_ms > env_now_ms(repair->blobs->env)) {
			*next_ms = job.due_ms < *next_ms ? job.due_ms : *next_ms;
			waiting++;
			continue;
		}
		if (repair->stopping)
			return ERR_CANCELED;
		err = rebuild(repair, &job);
		if (err == ERR_OK || err == ERR_NOTFOUND) {
			job_done(repair, &job);
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

static WAITS enum err pass(struct repair *repair, bool at_once, bool *left, uint64_t *next_ms)
{
	uint64_t rebuilt = repair->status.columns_rebuilt;
	enum err err;

	*left = false;
	*next_ms = UINT64_MAX;
	repair->status.running = true;
	err = check_suspects(repair);
	if (err == ERR_OK)
		err = take_survey(repair);
	if (err == ERR_OK)
		err = work(repair, at_once, left, next_ms);
	/* Faults met on the way are jobs of their own. */
	if (err == ERR_OK && repair->status.columns_rebuilt != rebuilt)
		err = take_survey(repair);
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
		uint64_t rebuilt = repair->status.columns_rebuilt;

		err = pass(repair, true, &left, &next_ms);
		if (err == ERR_OK && repair->status.columns_rebuilt == rebuilt)
			break;
	} while (err == ERR_OK && job_count(repair) != 0);
	repair->running = false;
	cond_broadcast(&repair->changed);
	return err == ERR_OK && job_count(repair) != 0 ? ERR_UNAVAILABLE : err;
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
	repair->started_ms = env_now_ms(blobs->env);
	repair->wake_ms = TASK_FOREVER;
	map_init(&repair->damaged, sizeof(struct column_key));
	map_init(&repair->missing, sizeof(uint64_t));
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
	map_finish(&(*repair)->damaged);
	map_finish(&(*repair)->missing);
	buf_finish(&(*repair)->jobs);
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
	if (is_damaged(repair, set, column) || repair->suspect_count == SUSPECT_LIMIT)
		return;
	repair->suspects[repair->suspect_count++] = (struct column_key){set, column};
	repair_kick(repair);
}

void repair_damaged(struct repair *repair, uint64_t set, uint8_t column)
{
	const struct column_key key = {set, column};

	if (!is_damaged(repair, set, column) &&
	    map_put(&repair->damaged, &key, &damaged_marker) == ERR_OK)
		repair_kick(repair);
}

uint32_t repair_missing(const struct repair *repair, uint64_t set)
{
	return (uint32_t)(uintptr_t)map_get(&repair->missing, &set);
}

void repair_get_status(const struct repair *repair, struct repair_status *out)
{
	*out = repair->status;
	out->running = repair->running && (repair->jobs.size != 0 || repair->suspect_count != 0);
}
