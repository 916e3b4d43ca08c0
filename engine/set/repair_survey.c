/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/repair_survey.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/handover.h"

/* What a map's values point to where only the keys count. */
static char whole_marker, damaged_marker;

/* ---- what the members hold ---- */

struct holdings {
	struct blobs *blobs;
	struct map tags;   /* of what live members hold: to one of the markers */
	struct buf strays; /* struct stray */
	struct buf silent; /* struct id128: live volumes that do not answer */
};

/* A file that the directory has given up. */
struct stray {
	uint64_t set;
	struct id128 uuid, tag, volume;
};

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

static bool is_zero(struct hash128 hash)
{
	return (hash.low | hash.high) == 0;
}

/* The directory has the placement as sealed. */
static bool is_placed_sealed(const struct directory_record *record, struct id128 tag)
{
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (id128_equal(placement.tag, tag))
			return !is_zero(placement.seal);
	}
	return false;
}

/*
 * A column that was sealed once and is not any more comes from before: its volume is an old copy,
 * put back. What the scan at the start has met is damage, too.
 */
static bool is_bad(const struct directory_record *record, struct id128 tag, const uint8_t *item)
{
	const struct hash128 seal = {load_u64(item + COLUMN_HEADER_SIZE),
				     load_u64(item + COLUMN_HEADER_SIZE + 8)};

	if ((item[COLUMN_HEADER_SIZE + 16] & SET_ENUMERATE_DAMAGED) != 0)
		return true;
	return record != NULL && is_zero(seal) && is_placed_sealed(record, tag) &&
	       !PLANTED(stale_volume_trusted);
}

static enum err take_item(struct holdings *holdings, struct id128 volume, const uint8_t *item)
{
	struct blobs *blobs = holdings->blobs;
	const struct directory_record *record;
	bool damaged;
	struct column_header header;
	enum err err = column_header_decode(item, &header);

	if (err != ERR_OK)
		return err;
	record = directory_store_get(blobs->directory, header.set);
	if (record != NULL && (directory_is_removed(record, header.tag) ||
			       (handover_is_retired(record) && !is_placed(record, header.tag)))) {
		const struct stray stray = {header.set, header.uuid, header.tag, volume};

		buf_put(&holdings->strays, &stray, sizeof(stray));
		return holdings->strays.err;
	}
	damaged = is_bad(record, header.tag, item);
	/* Made anew by a process that could not say so any more. */
	if (record == NULL || !is_placed(record, header.tag))
		err = blobs_learn_column(blobs, item);
	return err != ERR_OK ? err
			     : map_put(&holdings->tags, &header.tag,
				       damaged ? &damaged_marker : &whole_marker);
}

static void drop_items(struct wire_call *call)
{
	shared_release(&((struct set_enumerate_call *)call)->items);
}

/* One answer's worth; *after moves on. */
static WAITS enum err enumerate_some(struct holdings *holdings, struct id128 volume, bool resume,
				     uint64_t *after, bool *more)
{
	struct blobs *blobs = holdings->blobs;
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

		err = take_item(holdings, volume, item);
		*after = load_u64(item + 24);
	}
	ask_release(call);
	return err;
}

static WAITS enum err enumerate(struct holdings *holdings, struct id128 volume)
{
	uint64_t after = 0;
	bool more = true;
	enum err err = ERR_OK;

	for (bool resume = false; err == ERR_OK && more; resume = true)
		err = enumerate_some(holdings, volume, resume, &after, &more);
	if (err != ERR_IO && err != ERR_UNAVAILABLE)
		return err;
	if (blobs_volume_is_live(holdings->blobs, volume))
		buf_put_id(&holdings->silent, volume);
	return holdings->silent.err;
}

static WAITS enum err enumerate_all(struct holdings *holdings)
{
	const struct layout *layout = holdings->blobs->options.layout;
	struct id128 *volumes = memory_array(layout->volume_count, sizeof(*volumes));
	size_t count = 0;
	enum err err = volumes != NULL ? ERR_OK : ERR_NOMEM;

	/* A copy: the layout may change while somebody is asked. */
	for (size_t i = 0; err == ERR_OK && i < layout->volume_count; i++)
		if (!layout->volumes[i].failed)
			volumes[count++] = layout->volumes[i].volume;
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = enumerate(holdings, volumes[i]);
	memory_free(volumes);
	return err;
}

/* ---- what is missing ---- */

bool repair_survey_expects_volume(const struct blobs *blobs)
{
	const struct layout *layout = blobs->options.layout;

	for (size_t i = 0; i < layout->volume_count; i++)
		if (layout->volumes[i].failed && id128_is_zero(layout->volumes[i].node))
			return true;
	return false;
}

static uint64_t due_of(const struct repair_survey *survey, struct id128 volume)
{
	const struct blobs *blobs = survey->blobs;

	if (layout_find(blobs->options.layout, volume) != NULL ||
	    !repair_survey_expects_volume(blobs))
		return 0;
	return survey->started_ms + blobs->options.repair_after_ms;
}

bool repair_survey_is_damaged(const struct repair_survey *survey, uint64_t set, uint8_t column)
{
	const struct repair_column_key key = {set, column};

	return map_get(&survey->damaged, &key) != NULL;
}

bool repair_survey_damaged(struct repair_survey *survey, uint64_t set, uint8_t column)
{
	const struct repair_column_key key = {set, column};

	return !repair_survey_is_damaged(survey, set, column) &&
	       map_put(&survey->damaged, &key, &damaged_marker) == ERR_OK;
}

/* What there is of one column, over all its placements. */
struct presence {
	bool placed, held, whole, silent;
	unsigned count; /* placements */
	uint64_t due_ms;
};

static bool is_silent(const struct holdings *holdings, struct id128 volume)
{
	for (size_t at = 0; at < holdings->silent.size; at += sizeof(volume))
		if (memcmp(holdings->silent.data + at, volume.octets, sizeof(volume)) == 0)
			return true;
	return false;
}

static struct presence look_for(const struct repair_survey *survey, const struct holdings *holdings,
				const struct directory_record *record, uint8_t column)
{
	struct presence presence = {0};

	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;
		const char *marker;
		uint64_t due_ms;

		directory_get_placement(record, i, &placement);
		if (placement.column != column)
			continue;
		presence.placed = true;
		presence.count++;
		presence.silent |= is_silent(holdings, placement.volume);
		marker = blobs_volume_is_live(survey->blobs, placement.volume)
				 ? map_get(&holdings->tags, &placement.tag)
				 : NULL;
		presence.held |= marker != NULL;
		presence.whole |= marker == &whole_marker;
		due_ms = due_of(survey, placement.volume);
		presence.due_ms = due_ms > presence.due_ms ? due_ms : presence.due_ms;
	}
	presence.whole &= !repair_survey_is_damaged(survey, record->set, column);
	if (presence.held)
		presence.due_ms = 0;
	return presence;
}

/* ---- what is there twice ---- */

static uint64_t rank_of(struct id128 volume, uint64_t set, uint8_t column)
{
	uint8_t key[sizeof(volume) + 9];

	memcpy(key, volume.octets, sizeof(volume));
	store_u64(key + sizeof(volume), set);
	key[sizeof(volume) + 8] = column;
	return hash_64(key, sizeof(key));
}

static bool may_stay(const struct repair_survey *survey, const struct holdings *holdings,
		     const struct directory_placement *placement)
{
	return blobs_volume_is_live(survey->blobs, placement->volume) &&
	       map_get(&holdings->tags, &placement->tag) == &whole_marker;
}

/* A placement's tag decides between two that rank alike: two files of one volume. */
static bool ranks_before(uint64_t set, const struct directory_placement *a,
			 const struct directory_placement *b)
{
	uint64_t first = rank_of(a->volume, set, a->column),
		 second = rank_of(b->volume, set, b->column);

	return first != second ? first > second : id128_compare(a->tag, b->tag) < 0;
}

/* There is one that may stay. */
static void find_twins(struct repair_survey *survey, const struct holdings *holdings,
		       const struct directory_record *record, uint8_t column)
{
	struct repair_twin twin = {.set = record->set};

	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (placement.column == column && may_stay(survey, holdings, &placement) &&
		    (id128_is_zero(twin.staying.tag) ||
		     ranks_before(record->set, &placement, &twin.staying)))
			twin.staying = placement;
	}
	buf_put(&survey->twins, &twin, sizeof(twin));
}

static bool is_ours(const struct directory_record *record)
{
	return record->born && record->seals.count == 1 && record->successors.count == 0 &&
	       !directory_is_alarming(record);
}

/* With fewer columns than it takes to read it, it was given up and not lost. */
static bool is_readable(const struct directory_record *record)
{
	uint32_t columns = 0;

	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		columns |= 1u << placement.column;
	}
	return (unsigned)__builtin_popcount(columns) >= record->birth.profile.k;
}

static enum err survey_set(struct repair_survey *survey, const struct holdings *holdings,
			   const struct directory_record *record)
{
	unsigned members = profile_members(record->birth.profile), missing_count;
	/* Without a journal nobody remembers what was given up. */
	bool readable = survey->blobs->options.journal == NULL || is_readable(record);
	struct presence presences[PROFILE_MEMBER_MAX];
	uintptr_t missing = 0;
	enum err err = ERR_OK;

	for (uint8_t i = 0; i < members; i++) {
		presences[i] = look_for(survey, holdings, record, i);
		if (!presences[i].whole && (presences[i].placed || readable))
			missing |= (uintptr_t)1 << i;
		else if (presences[i].whole && presences[i].count > 1 && !presences[i].silent)
			find_twins(survey, holdings, record, i);
	}
	if (missing == 0)
		return survey->twins.err;
	missing_count = (unsigned)__builtin_popcountll(missing);
	for (uint8_t i = 0; i < members; i++) {
		const struct repair_job job = {
			.set = record->set,
			.column = i,
			.parity = record->birth.profile.m,
			.spare = (uint8_t)(missing_count < record->birth.profile.m
						   ? record->birth.profile.m - missing_count
						   : 0),
			.damaged = presences[i].held,
			.due_ms = presences[i].due_ms,
			.size = record->birth.capacity};

		if ((missing >> i & 1) != 0 && !presences[i].silent)
			buf_put(&survey->jobs, &job, sizeof(job));
	}
	err = survey->jobs.err;
	survey->sets_degraded++;
	survey->sets_exposed += missing_count >= record->birth.profile.m;
	return err == ERR_OK ? map_put(&survey->missing, &record->set, (void *)missing) : err;
}

static int compare_jobs(const void *left, const void *right)
{
	const struct repair_job *a = left, *b = right;

	if (a->spare != b->spare)
		return a->spare < b->spare ? -1 : 1;
	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

size_t repair_survey_job_count(const struct repair_survey *survey)
{
	return survey->jobs.size / sizeof(struct repair_job);
}

struct repair_job repair_survey_job(const struct repair_survey *survey, size_t index)
{
	struct repair_job job;

	memcpy(&job, survey->jobs.data + index * sizeof(job), sizeof(job));
	return job;
}

size_t repair_survey_twin_count(const struct repair_survey *survey)
{
	return survey->twins.size / sizeof(struct repair_twin);
}

struct repair_twin repair_survey_twin(const struct repair_survey *survey, size_t index)
{
	struct repair_twin twin;

	memcpy(&twin, survey->twins.data + index * sizeof(twin), sizeof(twin));
	return twin;
}

static WAITS enum err remove_strays(struct holdings *holdings)
{
	struct blobs *blobs = holdings->blobs;
	enum err err = ERR_OK;

	for (size_t at = 0; err == ERR_OK && at < holdings->strays.size;
	     at += sizeof(struct stray)) {
		struct set_simple_call *call;
		struct stray stray;

		memcpy(&stray, holdings->strays.data + at, sizeof(stray));
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

static void forget_survey(struct repair_survey *survey)
{
	map_finish(&survey->missing);
	map_init(&survey->missing, sizeof(uint64_t));
	buf_clear(&survey->jobs);
	buf_clear(&survey->twins);
	survey->sets_degraded = survey->sets_exposed = 0;
}

static enum err survey_all(struct repair_survey *survey, const struct holdings *holdings)
{
	const struct directory_record *record;
	size_t position = 0, count;
	enum err err = ERR_OK;

	forget_survey(survey);
	while (err == ERR_OK &&
	       (record = directory_store_next(survey->blobs->directory, &position)) != NULL)
		if (is_ours(record))
			err = survey_set(survey, holdings, record);
	count = repair_survey_job_count(survey);
	if (count > 1)
		qsort(survey->jobs.data, count, sizeof(struct repair_job), compare_jobs);
	return err;
}

enum err repair_survey_take(struct repair_survey *survey)
{
	struct holdings holdings = {.blobs = survey->blobs};
	enum err err;

	map_init(&holdings.tags, sizeof(struct id128));
	err = enumerate_all(&holdings);
	if (err == ERR_OK)
		err = survey_all(survey, &holdings);
	if (err == ERR_OK)
		err = remove_strays(&holdings);
	survey->silent = holdings.silent.size != 0;
	buf_finish(&holdings.silent);
	map_finish(&holdings.tags);
	buf_finish(&holdings.strays);
	return err;
}

/* ---- what becomes of it ---- */

void repair_survey_job_done(struct repair_survey *survey, const struct repair_job *job)
{
	const struct repair_column_key key = {job->set, job->column};
	uintptr_t missing = (uintptr_t)map_get(&survey->missing, &job->set);

	(void)map_remove(&survey->damaged, &key);
	survey->sets_exposed -= (unsigned)__builtin_popcountll(missing) == job->parity;
	missing &= ~((uintptr_t)1 << job->column);
	/* There is an entry, so replacing it cannot fail. */
	if (missing != 0)
		(void)!map_put(&survey->missing, &job->set, (void *)missing);
	else if (map_remove(&survey->missing, &job->set) != NULL)
		survey->sets_degraded--;
}

uint32_t repair_survey_missing(const struct repair_survey *survey, uint64_t set)
{
	return (uint32_t)(uintptr_t)map_get(&survey->missing, &set);
}

void repair_survey_init(struct repair_survey *survey, struct blobs *blobs)
{
	*survey = (struct repair_survey){.blobs = blobs, .started_ms = env_now_ms(blobs->env)};
	map_init(&survey->damaged, sizeof(struct repair_column_key));
	map_init(&survey->missing, sizeof(uint64_t));
}

void repair_survey_finish(struct repair_survey *survey)
{
	map_finish(&survey->damaged);
	map_finish(&survey->missing);
	buf_finish(&survey->jobs);
	buf_finish(&survey->twins);
}
