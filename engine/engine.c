/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/engine.h"

#include <string.h>

#include "engine/attempt.h"
#include "engine/base/hash.h"
#include "engine/base/memory.h"
#include "engine/journal/store.h"
#include "engine/set/blobs.h"
#include "engine/volume/volume.h"

#define UNLOCKED_CACHE_MS (30u * 60 * 1000)
#define SNAPSHOT_ENTRIES 1000u
#define ARGON2_PARALLEL 2u
/* Between two looks at whether the volumes are still who they were, and those missing are back. */
#define WATCH_MS 2000u
/* Volumes that failed and were replaced since the start: they stay until the end. */
#define RETIRED_MAX 64u
/* A disk that has not moved for so long hangs: the store is opened, and goes on, without it. */
#define VISIT_PATIENCE_MS 10000u
/* Logins that wait for an Argon2 beyond those that run; further ones are told to come back. */
#define ARGON2_QUEUE 256u

struct slot {
	char *directory;
	struct volume *volume; /* NULL when missing */
	struct env_stat stat;  /* of the directory, at the start */
	enum err err;
	bool hangs; /* a visit was given up, and has not ended */
};

struct engine {
	struct sched *sched;
	struct slot slots[ENGINE_VOLUME_MAX];
	size_t slot_count;
	struct volume *volumes[ENGINE_VOLUME_MAX]; /* those that opened at the start */
	size_t volume_count;
	struct volume *retired[RETIRED_MAX];
	size_t retired_count;
	struct id128 cluster;
	uint64_t volume_reserve;
	struct buf scrub_state, quarantine_state; /* paths */
	struct cond stopped;
	struct group tasks;
	bool stopping;
	struct layout layout;
	struct wire *wire;
	struct journal *journal;
	struct blobs *blobs;
	struct accounts *accounts;
	struct delivery_agent *agent;
	struct home *home;
	struct reclaim *reclaim;
};

/* ---- volumes ---- */

static void volume_changed(struct volume *volume, void *context)
{
	struct engine *engine = context;
	struct layout_volume *entry = layout_find(&engine->layout, volume_id(volume));

	if (entry == NULL)
		return;
	entry->failed = volume_state(volume) == VOLUME_FAILED;
	entry->full = volume_state(volume) == VOLUME_FULL;
	if (engine->journal != NULL)
		journal_layout_changed(engine->journal);
	if (engine->blobs != NULL)
		blobs_layout_changed(engine->blobs);
	if (engine->reclaim != NULL)
		reclaim_kick(engine->reclaim);
}

static const char *refusal(enum err err)
{
	switch ((unsigned)err) {
	case ERR_FOREIGN:
		return "a volume belongs to another store; check the list of volumes";
	case ERR_NEWER:
		return "a volume was written by a newer version; install that version";
	case ERR_UNAVAILABLE:
		return "a volume is in use by another process; is aerod running already?";
	case ERR_EXISTS:
		return "two of the volumes listed are the same one";
	case ERR_NOMEM:
		return "out of memory";
	default:
		return NULL;
	}
}

static struct id128 missing_id(const struct slot *slot)
{
	struct hash128 hash = hash_128(slot->directory, strlen(slot->directory));
	struct id128 id;

	store_u64(id.octets, hash.low);
	store_u64(id.octets + 8, hash.high);
	return id;
}

/*
 * What only a missing volume can tell is missing, too: readers must know that there is one. Who it
 * is nobody here knows, so it goes by its directory.
 */
static enum err put_missing(struct engine *engine, const struct slot *slot)
{
	const struct layout_volume entry = {
		.volume = missing_id(slot), .weight = 1, .failed = true};

	return layout_put(&engine->layout, &entry);
}

/* Into the layout; from now on its changes are heard of. */
static enum err place_volume(struct engine *engine, struct volume *volume)
{
	struct layout_volume entry = {
		.volume = volume_id(volume), .node = volume_identity(volume)->node, .weight = 1};
	enum err err;

	if (engine->volume_reserve != 0)
		volume_set_reserve(volume, engine->volume_reserve);
	memcpy(entry.zone, volume_identity(volume)->zone, sizeof(entry.zone));
	entry.full = volume_state(volume) == VOLUME_FULL;
	if (layout_find(&engine->layout, entry.volume) != NULL)
		return ERR_EXISTS;
	err = layout_put(&engine->layout, &entry);
	if (err == ERR_OK)
		volume_watch(volume, volume_changed, engine);
	return err;
}

/* ---- visits: what a disk is asked that may hang ---- */

struct visit {
	struct engine *engine;
	struct slot *slot;
	bool opens;			 /* else it only looks who is there */
	struct volume *volume;		 /* opens */
	struct env_stat stat;		 /* opens */
	struct volume_identity identity; /* looks */
};

static WAITS enum err visit_run(void *argument)
{
	struct visit *visit = argument;
	const char *directory = visit->slot->directory;
	enum err err;

	if (!visit->opens)
		return volume_inspect(directory, &visit->identity);
	err = io_stat(directory, &visit->stat);
	if (err != ERR_OK)
		return err;
	return volume_open(visit->engine->sched, directory, visit->engine->cluster, &visit->volume);
}

/* It answers again: the next look takes it in, as any volume that returns. */
static WAITS void visit_late(void *argument, enum err err)
{
	struct visit *visit = argument;
	struct engine *engine = visit->engine;

	if (visit->volume != NULL)
		volume_close(&visit->volume);
	env_log(sched_env(engine->sched), "event=volume-answers path=\"%s\" error=%s",
		visit->slot->directory, err_name(err));
	visit->slot->hangs = false;
	memory_free(visit);
	group_leave(&engine->tasks);
}

/* ERR_TIMEOUT: the disk hangs, and *out is NULL; else the caller's, with what came of it. */
static WAITS enum err visit_slot(struct engine *engine, struct slot *slot, bool opens,
				 struct visit **out)
{
	struct visit *visit;
	struct attempt attempt = {.name = "volume-visit",
				  .run = visit_run,
				  .late = visit_late,
				  .patience_ms = VISIT_PATIENCE_MS};
	enum err err;

	*out = NULL;
	if (slot->hangs)
		return ERR_TIMEOUT;
	visit = memory_allocate(sizeof(*visit));
	if (visit == NULL)
		return ERR_NOMEM;
	*visit = (struct visit){.engine = engine, .slot = slot, .opens = opens};
	attempt.argument = visit;
	group_enter(&engine->tasks);
	err = attempt_run(engine->sched, &attempt);
	if (err == ERR_TIMEOUT) {
		slot->hangs = true;
		return err;
	}
	group_leave(&engine->tasks);
	*out = visit;
	return err;
}

static WAITS enum err open_slot(struct engine *engine, struct slot *slot, struct volume **volume,
				struct env_stat *stat)
{
	struct visit *visit;
	enum err err = visit_slot(engine, slot, true, &visit);

	if (err == ERR_OK) {
		*volume = visit->volume;
		*stat = visit->stat;
	}
	memory_free(visit);
	return err;
}

static WAITS enum err inspect_slot(struct engine *engine, struct slot *slot,
				   struct volume_identity *out)
{
	struct visit *visit;
	enum err err = visit_slot(engine, slot, false, &visit);

	if (err == ERR_OK)
		*out = visit->identity;
	memory_free(visit);
	return err;
}

/*
 * A volume that is missing, damaged or hangs leaves the store degraded; one that is not ours
 * refuses it.
 */
static WAITS enum err open_volume(struct engine *engine, struct slot *slot)
{
	enum err err = open_slot(engine, slot, &slot->volume, &slot->stat);

	slot->err = err;
	if (err != ERR_OK) {
		env_log(sched_env(engine->sched), "event=volume-not-opened path=\"%s\" error=%s",
			slot->directory, err_name(err));
		return refusal(err) != NULL || err == ERR_CANCELED ? err
								   : put_missing(engine, slot);
	}
	err = place_volume(engine, slot->volume);
	if (err == ERR_OK)
		engine->volumes[engine->volume_count++] = slot->volume;
	return err;
}

static enum err open_volumes(struct engine *engine, const struct engine_options *options)
{
	if (options->volume_count > ENGINE_VOLUME_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < options->volume_count; i++) {
		struct slot *slot = &engine->slots[engine->slot_count];
		size_t size = strlen(options->volumes[i]) + 1;
		enum err err;

		slot->directory = memory_allocate(size);
		if (slot->directory == NULL)
			return ERR_NOMEM;
		memcpy(slot->directory, options->volumes[i], size);
		engine->slot_count++;
		err = open_volume(engine, slot);
		if (err != ERR_OK)
			return err;
	}
	return engine->volume_count == 0 ? ERR_NOTFOUND : ERR_OK;
}

/* ---- parts ---- */

static enum err open_store(struct engine *engine, const struct engine_options *options,
			   const char **why)
{
	const struct journal_options journal_options = {
		.sched = engine->sched,
		.wire = engine->wire,
		.layout = &engine->layout,
		.volumes = engine->volumes,
		.volume_count = engine->volume_count,
		.index_directory = options->index_directory,
		.segment_size = options->segment_size,
	};
	enum err err = journal_open(&journal_options, &engine->journal);

	if (err != ERR_OK) {
		*why = "the journal cannot be opened";
		return err;
	}
	buf_printf(&engine->scrub_state, "%s/scrub", options->index_directory);
	buf_put_u8(&engine->scrub_state, '\0');
	buf_printf(&engine->quarantine_state, "%s/quarantine", options->index_directory);
	buf_put_u8(&engine->quarantine_state, '\0');
	if (engine->scrub_state.err != ERR_OK || engine->quarantine_state.err != ERR_OK)
		return ERR_NOMEM;
	const struct blobs_options blobs_options = {
		.sched = engine->sched,
		.wire = engine->wire,
		.layout = &engine->layout,
		.journal = engine->journal,
		.volumes = engine->volumes,
		.volume_count = engine->volume_count,
		.cluster = options->cluster,
		.node = options->node,
		.signing = options->node_signing,
		.column_size = options->column_size,
		.passive = options->passive,
		.repair_after_ms = options->repair_after_ms,
		.repair_rate = options->repair_rate,
		.scrub_days = options->scrub_days,
		.scrub_rate = options->scrub_rate,
		.scrub_state = (const char *)engine->scrub_state.data,
		.table_snapshot_after = options->table_snapshot_after,
	};
	err = blobs_open(&blobs_options, &engine->blobs);
	if (err != ERR_OK)
		*why = "the sets of blobs cannot be opened";
	return err;
}

static enum err open_mail(struct engine *engine, const struct engine_options *options,
			  const char **why)
{
	const struct delivery_agent_options agent_options = {
		.sched = engine->sched,
		.blobs = engine->blobs,
		.journal = engine->journal,
		.node_signing = options->node_signing,
		.node = options->node,
		.cluster = options->cluster,
		.summary = options->summary,
	};
	struct home_options home_options = {
		.sched = engine->sched,
		.blobs = engine->blobs,
		.journal = engine->journal,
		.cluster = options->cluster,
		.node = options->node,
		.node_signing = options->node_signing,
		.summary = options->summary,
		.cache_ms = options->unlocked_cache_ms != 0 ? options->unlocked_cache_ms
							    : UNLOCKED_CACHE_MS,
		.snapshot_entries = options->snapshot_entries != 0 ? options->snapshot_entries
								   : SNAPSHOT_ENTRIES,
		.argon2_parallel =
			options->argon2_parallel != 0 ? options->argon2_parallel : ARGON2_PARALLEL,
		.argon2_queue = ARGON2_QUEUE,
		.unknown_user = options->unknown_user,
		.fake_salt = options->fake_salt,
	};
	const struct accounts_options accounts = {.sched = engine->sched,
						  .journal = engine->journal,
						  .cluster = options->cluster,
						  .node = options->node,
						  .admin_public = options->admin_public,
						  .signing = options->node_signing,
						  .snapshot_after = options->table_snapshot_after,
						  .passive = options->passive};
	enum err err;

	if (home_options.unknown_user.operations == 0)
		home_options.unknown_user = (struct slot_parameters){ARGON2_OPERATIONS_DEFAULT,
								     ARGON2_MEMORY_DEFAULT / 1024};
	err = accounts_open(&accounts, &engine->accounts);
	if (err != ERR_OK) {
		*why = "the account table cannot be read";
		return err;
	}
	home_options.accounts =
		(struct account_source){accounts_find, accounts_publish, engine->accounts};
	*why = "out of memory";
	err = delivery_agent_create(&agent_options, &engine->agent);
	return err != ERR_OK ? err : home_create(&home_options, &engine->home);
}

/* ---- reclaiming: what it asks of accounts and homes ---- */

static enum err visit_accounts(void *context,
			       enum err (*each)(void *each_context,
						const struct reclaim_account *account),
			       void *each_context)
{
	const struct account_table *table = accounts_table(((struct engine *)context)->accounts);
	const struct account_record *record = account_table_next(table, NULL);
	enum err err = ERR_OK;

	for (; err == ERR_OK && record != NULL; record = account_table_next(table, record)) {
		const struct reclaim_account account = {
			.id = record->id,
			.tag = record->tag,
			.stream = record->stream,
			.deleted = record->status == ACCOUNT_DELETED,
		};

		err = each(each_context, &account);
	}
	return err;
}

static WAITS enum err verify_accounts(void *context, struct id128 *silent)
{
	return accounts_verify(((struct engine *)context)->accounts, silent);
}

static enum err visit_references(void *context, struct id128 account,
				 enum err (*each)(void *each_context, const struct blob_ref *blob),
				 void *each_context)
{
	return home_references(((struct engine *)context)->home, account, each, each_context);
}

static enum err open_reclaim(struct engine *engine, const struct engine_options *options)
{
	const struct reclaim_options reclaim = {
		.sched = engine->sched,
		.journal = engine->journal,
		.blobs = engine->blobs,
		.layout = &engine->layout,
		.source = {visit_accounts, verify_accounts, visit_references, engine},
		.node = options->node,
		.signing = options->node_signing,
		.compact_below = options->compact_below,
		.quarantine_ms = options->quarantine_ms,
		.quarantine_state = (const char *)engine->quarantine_state.data,
		.interval_ms = options->reclaim_interval_ms,
		.rate = options->reclaim_rate,
	};

	return reclaim_create(&reclaim, &engine->reclaim);
}

/* ---- volumes that go and come while the store serves ---- */

static bool is_serving(const struct slot *slot)
{
	return slot->volume != NULL && volume_state(slot->volume) != VOLUME_FAILED;
}

/* What the old one was known by goes out of the layout: nobody waits for it any more. */
static void retire(struct engine *engine, struct slot *slot)
{
	if (slot->volume == NULL) {
		layout_remove(&engine->layout, missing_id(slot));
		return;
	}
	layout_remove(&engine->layout, volume_id(slot->volume));
	engine->retired[engine->retired_count++] = slot->volume;
	slot->volume = NULL;
}

/*
 * Takes the volume that is in the directory now into service. One that has failed in this process
 * does not come back to it: what its disk holds is unknown, and the next start reads it anew.
 */
static WAITS enum err take_volume(struct engine *engine, struct slot *slot)
{
	struct volume *volume = NULL;
	struct env_stat stat;
	enum err err;

	if (engine->retired_count == RETIRED_MAX)
		return ERR_LIMIT;
	err = open_slot(engine, slot, &volume, &stat);
	if (err != ERR_OK)
		return err;
	if (layout_find(&engine->layout, volume_id(volume)) != NULL) {
		volume_close(&volume);
		return ERR_EXISTS;
	}
	retire(engine, slot);
	slot->volume = volume;
	slot->stat = stat;
	slot->err = ERR_OK;
	err = place_volume(engine, volume);
	if (err == ERR_OK)
		err = journal_add_volume(engine->journal, volume);
	if (err == ERR_OK)
		err = blobs_add_volume(engine->blobs, volume);
	if (err != ERR_OK)
		volume_fail(volume, err);
	else
		env_log(sched_env(engine->sched), "event=volume-taken-into-service path=\"%s\"",
			slot->directory);
	return err;
}

/* A directory that is gone, or another volume's now, is noticed before somebody writes to it. */
static WAITS void look_at(struct engine *engine, struct slot *slot)
{
	struct volume_identity identity;
	enum err err = inspect_slot(engine, slot, &identity);

	if (is_serving(slot)) {
		if (err == ERR_NOTFOUND ||
		    (err == ERR_OK && !id128_equal(identity.volume, volume_id(slot->volume))))
			volume_fail(slot->volume, ERR_NOTFOUND);
		return;
	}
	if (err == ERR_OK && id128_equal(identity.cluster, engine->cluster) &&
	    layout_find(&engine->layout, identity.volume) == NULL)
		err = take_volume(engine, slot);
	if (err != ERR_OK && err != slot->err && err != ERR_CANCELED) {
		slot->err = err;
		env_log(sched_env(engine->sched), "event=volume-not-taken path=\"%s\" error=%s",
			slot->directory, err_name(err));
	}
}

static void watch_volumes(void *argument)
{
	struct engine *engine = argument;

	while (!engine->stopping &&
	       cond_wait(&engine->stopped, env_now_ms(sched_env(engine->sched)) + WATCH_MS) ==
		       ERR_TIMEOUT)
		for (size_t i = 0; i < engine->slot_count && !engine->stopping; i++)
			look_at(engine, &engine->slots[i]);
	group_leave(&engine->tasks);
}

static enum err start_watching(struct engine *engine)
{
	enum err err;

	group_enter(&engine->tasks);
	err = task_spawn(engine->sched, "volume-watch", watch_volumes, engine, NULL);
	if (err != ERR_OK)
		group_leave(&engine->tasks);
	return err;
}

enum err engine_open(const struct engine_options *options, struct engine **out, const char **why)
{
	struct engine *engine = memory_allocate(sizeof(*engine));
	enum err err;

	*why = "out of memory";
	if (engine == NULL)
		return ERR_NOMEM;
	engine->sched = options->sched;
	engine->cluster = options->cluster;
	engine->volume_reserve = options->volume_reserve;
	err = open_volumes(engine, options);
	if (err != ERR_OK) {
		*why = refusal(err) != NULL ? refusal(err) : "no volume can be opened";
	} else {
		err = wire_create(engine->sched, &engine->wire);
		if (err == ERR_OK)
			err = open_store(engine, options, why);
		if (err == ERR_OK)
			err = open_mail(engine, options, why);
		if (err == ERR_OK)
			err = open_reclaim(engine, options);
		if (err == ERR_OK)
			err = start_watching(engine);
	}
	if (err != ERR_OK)
		engine_close(&engine);
	else
		*out = engine;
	return err;
}

static WAITS enum err close_all(void *argument)
{
	struct engine *engine = argument;

	engine->stopping = true;
	cond_broadcast(&engine->stopped);
	group_wait(&engine->tasks);
	reclaim_destroy(&engine->reclaim);
	if (engine->home != NULL)
		home_destroy(&engine->home);
	if (engine->agent != NULL)
		delivery_agent_destroy(&engine->agent);
	accounts_close(&engine->accounts);
	if (engine->blobs != NULL)
		blobs_close(&engine->blobs);
	if (engine->journal != NULL)
		journal_close(&engine->journal);
	wire_destroy(&engine->wire);
	for (size_t i = 0; i < engine->slot_count; i++) {
		if (engine->slots[i].volume != NULL)
			volume_close(&engine->slots[i].volume);
		memory_free(engine->slots[i].directory);
	}
	for (size_t i = 0; i < engine->retired_count; i++)
		volume_close(&engine->retired[i]);
	layout_finish(&engine->layout);
	buf_finish(&engine->scrub_state);
	buf_finish(&engine->quarantine_state);
	memory_free(engine);
	return ERR_OK;
}

void engine_close(struct engine **engine)
{
	struct engine *closing = *engine;

	*engine = NULL;
	if (closing != NULL)
		(void)close_all(closing);
}

static void closed_late(void *argument, enum err err)
{
	(void)argument;
	(void)err;
}

enum err engine_close_within(struct engine **engine, uint64_t patience_ms)
{
	struct engine *closing = *engine;
	struct attempt attempt = {.name = "engine-close",
				  .run = close_all,
				  .late = closed_late,
				  .argument = closing,
				  .patience_ms = patience_ms};

	*engine = NULL;
	return closing != NULL ? attempt_run(closing->sched, &attempt) : ERR_OK;
}

struct blobs *engine_blobs(struct engine *engine)
{
	return engine->blobs;
}

struct journal *engine_journal(struct engine *engine)
{
	return engine->journal;
}

struct accounts *engine_accounts(struct engine *engine)
{
	return engine->accounts;
}

struct delivery_agent *engine_delivery_agent(struct engine *engine)
{
	return engine->agent;
}

struct home *engine_home(struct engine *engine)
{
	return engine->home;
}

struct reclaim *engine_reclaim(struct engine *engine)
{
	return engine->reclaim;
}

/* ---- status ---- */

static void get_volume_status(const struct slot *slot, struct engine_volume_status *out)
{
	*out = (struct engine_volume_status){.directory = slot->directory, .err = slot->err};
	if (slot->volume == NULL)
		return;
	out->volume = volume_id(slot->volume);
	out->full = volume_state(slot->volume) == VOLUME_FULL;
	if (volume_state(slot->volume) == VOLUME_FAILED)
		out->err = slot->err != ERR_OK ? slot->err : ERR_IO;
	volume_space(slot->volume, &out->total, &out->free);
}

static bool share_a_device(const struct engine *engine)
{
	for (size_t i = 0; i < engine->slot_count; i++)
		for (size_t j = 0; j < i; j++)
			if (engine->slots[i].volume != NULL && engine->slots[j].volume != NULL &&
			    engine->slots[i].stat.device == engine->slots[j].stat.device)
				return true;
	return false;
}

static size_t count_accounts(const struct account_table *table)
{
	const struct account_record *account = NULL;
	size_t count = 0;

	while ((account = account_table_next(table, account)) != NULL)
		count += account->status != ACCOUNT_DELETED;
	return count;
}

void engine_get_status(struct engine *engine, struct engine_status *out)
{
	*out = (struct engine_status){.volume_count = engine->slot_count,
				      .shared_device = share_a_device(engine),
				      .account_count =
					      count_accounts(accounts_table(engine->accounts)),
				      .unlocked_count = home_unlocked_count(engine->home)};
	for (size_t i = 0; i < engine->slot_count; i++) {
		get_volume_status(&engine->slots[i], &out->volumes[i]);
		out->volumes[i].slow = blobs_is_slow(engine->blobs, out->volumes[i].volume);
	}
	blobs_get_status(engine->blobs, &out->blobs);
	journal_get_status(engine->journal, &out->journal);
	reclaim_get_status(engine->reclaim, &out->reclaim);
	out->volumes_tolerated = out->blobs.volumes_tolerated < out->journal.volumes_tolerated
					 ? out->blobs.volumes_tolerated
					 : out->journal.volumes_tolerated;
}
