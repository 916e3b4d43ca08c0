/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/blobs.h"

#include "engine/attempt.h"
#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"
#include "engine/set/handover.h"
#include "engine/set/repair.h"
#include "engine/set/scrub.h"

#define DEFAULT_COLUMN_SIZE (64u << 20)
#define DEFAULT_IDLE_MS (60u * 60 * 1000)
#define DEFAULT_HEDGE_MS 2000u
#define DEFAULT_READ_HEDGE_MS 500u
#define DEFAULT_HEDGE_FLOOR_MS 50u
#define DEFAULT_SCRUB_DAYS 14u
#define DEFAULT_SCRUB_RATE (32u << 20)
#define DEFAULT_REPAIR_AFTER_MS (10u * 60 * 1000)

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
	return value != 0 ? value : fallback;
}

/* ---- the directory from the columns ---- */

/* Sets that a born-sealed one took over whole: what its header says, once it is sealed. */
static enum err learn_predecessors(struct blobs *blobs, const struct column_header *header)
{
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < header->predecessor_count; i++) {
		struct directory_record record = {.set = header->predecessors[i]};

		err = directory_add_successor(&record, header->set);
		if (err == ERR_OK)
			err = directory_store_learn(blobs->directory, &record);
		directory_record_finish(&record);
	}
	return err;
}

enum err blobs_learn_column(struct blobs *blobs, const uint8_t *item)
{
	struct column_header header;
	struct hash128 seal = {load_u64(item + COLUMN_HEADER_SIZE),
			       load_u64(item + COLUMN_HEADER_SIZE + 8)};
	const struct directory_record *known;
	struct directory_record record;
	enum err err = column_header_decode(item, &header);

	if (err != ERR_OK)
		return err;
	/* Made of a set that is gone, by a process that ended before it heard of that. */
	known = directory_store_get(blobs->directory, header.set);
	if (known != NULL && handover_is_retired(known))
		return ERR_OK;
	record = (struct directory_record){.set = header.set};
	err = directory_record_learn(&record, &header, seal);
	if (err == ERR_OK)
		err = directory_store_learn(blobs->directory, &record);
	directory_record_finish(&record);
	if (err == ERR_OK && (seal.low | seal.high) != 0)
		err = learn_predecessors(blobs, &header);
	return err;
}

static void drop_items(struct wire_call *call)
{
	shared_release(&((struct set_enumerate_call *)call)->items);
}

/* One answer's worth of columns; *after moves on. */
static WAITS enum err learn_some(struct blobs *blobs, struct id128 volume, uint64_t *after,
				 bool resume, bool *more)
{
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

		err = blobs_learn_column(blobs, item);
		*after = load_u64(item + 24);
	}
	ask_release(call);
	return err;
}

static WAITS enum err learn_volume(struct blobs *blobs, struct id128 volume)
{
	uint64_t after = 0;
	bool more = true, resume = false;
	enum err err = ERR_OK;

	while (err == ERR_OK && more) {
		err = learn_some(blobs, volume, &after, resume, &more);
		resume = true;
	}
	return err;
}

static WAITS enum err load_directory(struct blobs *blobs)
{
	bool complete;
	enum err err = directory_store_refresh(blobs->directory, &complete);

	/* Without the journal the headers will do; with it they fill what it has not yet got. */
	if (err == ERR_UNAVAILABLE)
		err = ERR_OK;
	for (size_t i = 0; err == ERR_OK && i < blobs->options.volume_count; i++)
		if (volume_state(blobs->options.volumes[i]) != VOLUME_FAILED)
			err = learn_volume(blobs, volume_id(blobs->options.volumes[i]));
	return err;
}

/* ---- life ---- */

static void set_defaults(struct blobs_options *options)
{
	options->column_size = or_default(options->column_size, DEFAULT_COLUMN_SIZE);
	options->idle_ms = or_default(options->idle_ms, DEFAULT_IDLE_MS);
	options->hedge_ms = or_default(options->hedge_ms, DEFAULT_HEDGE_MS);
	options->hedge_floor_ms = or_default(options->hedge_floor_ms, DEFAULT_HEDGE_FLOOR_MS);
	options->read_hedge_ms = or_default(options->read_hedge_ms, DEFAULT_READ_HEDGE_MS);
	options->scrub_days = or_default(options->scrub_days, DEFAULT_SCRUB_DAYS);
	options->scrub_rate = or_default(options->scrub_rate, DEFAULT_SCRUB_RATE);
	options->repair_after_ms = or_default(options->repair_after_ms, DEFAULT_REPAIR_AFTER_MS);
}

/* A member that is being opened: its columns are read, and the disk may hang over that. */
struct joining {
	struct blobs *blobs;
	struct volume *volume;
	struct member *member;
};

static WAITS enum err join_run(void *argument)
{
	struct joining *joining = argument;

	return member_open(joining->volume, joining->blobs->wire, &joining->member);
}

/* Too late: the volume has failed. */
static WAITS void join_late(void *argument, enum err err)
{
	struct joining *joining = argument;
	struct blobs *blobs = joining->blobs;

	if (err == ERR_OK)
		member_close(&joining->member);
	memory_free(joining);
	group_leave(&blobs->tasks);
}

/* member_open(), and ERR_TIMEOUT. */
static WAITS enum err open_member(struct blobs *blobs, struct volume *volume, struct member **out)
{
	struct joining *joining = memory_allocate(sizeof(*joining));
	const struct attempt attempt = {.name = "member-open",
					.run = join_run,
					.late = join_late,
					.argument = joining,
					.patience_ms = ask_patience_ms(blobs)};
	enum err err;

	if (joining == NULL)
		return ERR_NOMEM;
	*joining = (struct joining){.blobs = blobs, .volume = volume};
	group_enter(&blobs->tasks);
	err = attempt_run(blobs->sched, &attempt);
	if (err == ERR_TIMEOUT)
		return err;
	*out = joining->member;
	memory_free(joining);
	group_leave(&blobs->tasks);
	return err;
}

static WAITS enum err open_members(struct blobs *blobs)
{
	size_t count = blobs->options.volume_count;

	blobs->members = memory_array(count, sizeof(struct member *));
	if (blobs->members == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct volume *volume = blobs->options.volumes[i];
		enum err err = open_member(blobs, volume, &blobs->members[blobs->member_count]);

		/* One disk's trouble is what the others are for. */
		if (err == ERR_IO || err == ERR_CORRUPT || err == ERR_NOTFOUND ||
		    err == ERR_TIMEOUT)
			volume_fail(volume, err);
		else if (err != ERR_OK)
			return err;
		else
			blobs->member_count++;
	}
	return blobs->member_count != 0 ? ERR_OK : ERR_UNAVAILABLE;
}

/* Those of disks that hang come last: the others are not to wait for them. */
static WAITS void close_members(struct blobs *blobs)
{
	for (int hanging = 0; hanging < 2; hanging++)
		for (size_t i = 0; i < blobs->member_count; i++)
			if (blobs->members[i] != NULL &&
			    (hanging != 0 ||
			     !ask_is_hanging(blobs, member_volume(blobs->members[i]))))
				member_close(&blobs->members[i]);
}

/* Either may be missing when opening failed half-way. */
static void stop_background(struct blobs *blobs)
{
	if (blobs->repair != NULL)
		repair_stop(blobs->repair);
	if (blobs->scrub != NULL)
		scrub_stop(blobs->scrub);
}

static WAITS void destroy(struct blobs *blobs)
{
	close_members(blobs);
	while (blobs->open_sets != NULL)
		open_set_leave(blobs->open_sets);
	ask_forget_all(blobs);
	health_finish(&blobs->health);
	scrub_destroy(&blobs->scrub);
	repair_destroy(&blobs->repair);
	directory_store_destroy(&blobs->directory);
	memory_free(blobs->members);
	memory_free(blobs);
}

enum err blobs_open(const struct blobs_options *options, struct blobs **out)
{
	struct blobs *blobs = memory_allocate(sizeof(*blobs));
	struct directory_store_options directory = {.sched = options->sched,
						    .journal = options->journal,
						    .signing = options->signing,
						    .signer = options->node,
						    .snapshot_after = options->table_snapshot_after,
						    .passive = options->passive};
	enum err err;

	if (blobs == NULL)
		return ERR_NOMEM;
	blobs->options = *options;
	set_defaults(&blobs->options);
	blobs->sched = options->sched;
	blobs->env = sched_env(options->sched);
	blobs->wire = options->wire;
	health_init(&blobs->health, blobs->env, blobs->options.hedge_floor_ms);
	blobs->incarnation = env_random_id(blobs->env);
	blobs->next_number = 1;
	blobs->handover.limit = 1;
	err = directory_store_create(&directory, &blobs->directory);
	if (err == ERR_OK)
		err = open_members(blobs);
	if (err == ERR_OK)
		err = load_directory(blobs);
	if (err == ERR_OK)
		err = repair_create(blobs, &blobs->repair);
	if (err == ERR_OK)
		err = scrub_create(blobs, &blobs->scrub);
	if (err == ERR_OK && !options->passive)
		err = repair_start(blobs->repair);
	if (err == ERR_OK && !options->passive)
		err = scrub_start(blobs->scrub);
	if (err != ERR_OK) {
		stop_background(blobs);
		group_wait(&blobs->tasks);
		destroy(blobs);
		return err;
	}
	writer_start(blobs);
	if (!options->passive)
		recovery_kick(blobs);
	*out = blobs;
	return ERR_OK;
}

static struct open_set *set_in_flight(const struct blobs *blobs)
{
	struct open_set *set = blobs->open_sets;

	while (set != NULL && set->in_flight == 0)
		set = set->next;
	return set;
}

/*
 * They end by themselves: their volumes answer, if only that they have failed, or they hang. A set
 * that was given up goes with its last answer, so after each wait one looks anew.
 */
static WAITS void wait_for_appends(struct blobs *blobs)
{
	uint64_t end_ms = env_now_ms(blobs->env) + ask_patience_ms(blobs);
	struct open_set *set;

	while ((set = set_in_flight(blobs)) != NULL && env_now_ms(blobs->env) < end_ms &&
	       cond_wait(&set->changed, end_ms) != ERR_TIMEOUT)
		task_yield();
}

void blobs_close(struct blobs **blobs)
{
	struct blobs *closing = *blobs;

	if (closing == NULL)
		return;
	ASSERT(closing->uploads == NULL);
	*blobs = NULL;
	closing->closing = true;
	writer_stop(closing);
	env_timer_stop(closing->env, &closing->recovery_timer);
	stop_background(closing);
	group_wait(&closing->tasks);
	wait_for_appends(closing);
	destroy(closing);
}

enum err blobs_add_volume(struct blobs *blobs, struct volume *volume)
{
	struct member **members =
		memory_resize(blobs->members, (blobs->member_count + 1) * sizeof(struct member *));
	struct member *member;
	enum err err;

	if (members == NULL)
		return ERR_NOMEM;
	blobs->members = members;
	err = open_member(blobs, volume, &member);
	if (err != ERR_OK)
		return err;
	blobs->members[blobs->member_count++] = member;
	err = learn_volume(blobs, volume_id(volume));
	blobs_layout_changed(blobs);
	return err;
}

void blobs_layout_changed(struct blobs *blobs)
{
	writer_layout_changed(blobs);
	recovery_kick(blobs);
	repair_kick(blobs->repair);
}

void blobs_scrub(struct blobs *blobs, enum scrub_order order)
{
	scrub_order(blobs->scrub, order);
}

enum err blobs_scrub_run(struct blobs *blobs)
{
	return scrub_run(blobs->scrub);
}

enum err blobs_repair(struct blobs *blobs)
{
	return repair_run(blobs->repair);
}

enum err blobs_settle(struct blobs *blobs)
{
	writer_retire(blobs);
	return recovery_run(blobs);
}

/* ---- status ---- */

/* How many more members the set may lose; unreachable and damaged ones are lost already. */
static int tolerates(const struct blobs *blobs, const struct directory_record *record)
{
	struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX];
	uint32_t missing = repair_missing(blobs->repair, record->set);
	int tolerated = record->birth.profile.m;

	set_members(record, volumes, tags);
	for (unsigned i = 0; i < profile_members(record->birth.profile); i++) {
		const struct layout_volume *volume = layout_find(blobs->options.layout, volumes[i]);

		tolerated -= volume == NULL || volume->failed || (missing >> i & 1) != 0;
	}
	return tolerated;
}

bool blobs_is_slow(const struct blobs *blobs, struct id128 volume)
{
	return health_is_slow(&blobs->health, volume) || ask_is_hanging(blobs, volume);
}

/* Removed everywhere but on volumes that are away, which hear of it when they come. */
static bool is_given_up(const struct blobs *blobs, const struct directory_record *record)
{
	return record->removed.count != 0 && record->seals.count == 0 &&
	       recovery_is_away(blobs, record);
}

void blobs_get_status(const struct blobs *blobs, struct blobs_status *out)
{
	const struct directory_record *record;
	int tolerated = INT32_MAX;
	size_t position = 0;

	*out = (struct blobs_status){.seals = blobs->seals,
				     .evacuations = blobs->evacuations,
				     .degraded_reads = blobs->degraded_reads,
				     .mirror_reads = blobs->mirror_reads,
				     .hedged_reads = blobs->hedged_reads,
				     .records_lost = blobs->records_lost};
	for (size_t j = 0; j < blobs->member_count; j++)
		out->bytes_stored += member_stored(blobs->members[j]);
	for (const struct open_set *set = blobs->open_sets; set != NULL; set = set->next)
		out->sets_open += writer_uses(blobs, set);
	while ((record = directory_store_next(blobs->directory, &position)) != NULL) {
		if (!record->born || record->placements.count == 0 ||
		    record->successors.count != 0 || is_given_up(blobs, record))
			continue;
		if (record->seals.count != 0)
			out->sets_sealed++;
		else if (!recovery_is_away(blobs, record))
			out->sets_unsealed_old++;
		if (tolerates(blobs, record) < tolerated)
			tolerated = tolerates(blobs, record);
	}
	out->sets_unsealed_old -=
		out->sets_open < out->sets_unsealed_old ? out->sets_open : out->sets_unsealed_old;
	out->profile.k = writer_profile(blobs).k;
	out->profile.m = writer_profile(blobs).m;
	if (tolerated == INT32_MAX)
		tolerated = out->profile.m;
	out->volumes_tolerated = tolerated > 0 ? (unsigned)tolerated : 0;
	repair_get_status(blobs->repair, &out->repair);
	scrub_get_status(blobs->scrub, &out->scrub);
}
