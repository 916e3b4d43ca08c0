/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/engine.h"

#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/memory.h"
#include "engine/journal/store.h"
#include "engine/set/blobs.h"
#include "engine/volume/volume.h"

#define UNLOCKED_CACHE_MS (30u * 60 * 1000)
#define SNAPSHOT_ENTRIES 1000u
#define ARGON2_PARALLEL 2u
/* Logins that wait for an Argon2 beyond those that run; further ones are told to come back. */
#define ARGON2_QUEUE 256u

struct slot {
	char *directory;
	struct volume *volume; /* NULL when missing */
	struct env_stat stat;  /* of the directory, at the start */
	enum err err;
};

struct engine {
	struct sched *sched;
	struct slot slots[ENGINE_VOLUME_MAX];
	size_t slot_count;
	struct volume *volumes[ENGINE_VOLUME_MAX]; /* those that opened */
	size_t volume_count;
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

/*
 * What only a missing volume can tell is missing, too: readers must know that there is one. Who it
 * is nobody here knows, so it goes by its directory.
 */
static enum err put_missing(struct engine *engine, const struct slot *slot)
{
	struct hash128 hash = hash_128(slot->directory, strlen(slot->directory));
	struct layout_volume entry = {.weight = 1, .failed = true};

	store_u64(entry.volume.octets, hash.low);
	store_u64(entry.volume.octets + 8, hash.high);
	return layout_put(&engine->layout, &entry);
}

/* A volume that is missing or damaged leaves the store degraded; one that is not ours refuses it. */
static enum err open_volume(struct engine *engine, struct slot *slot,
			    const struct engine_options *options)
{
	struct layout_volume entry = {.weight = 1};
	enum err err = io_stat(slot->directory, &slot->stat);

	if (err == ERR_OK)
		err = volume_open(engine->sched, slot->directory, options->cluster,
				  &slot->volume);
	slot->err = err;
	if (err != ERR_OK) {
		env_log(sched_env(engine->sched), "event=volume-not-opened path=\"%s\" error=%s",
			slot->directory, err_name(err));
		return refusal(err) != NULL || err == ERR_CANCELED ? err : put_missing(engine, slot);
	}
	if (options->volume_reserve != 0)
		volume_set_reserve(slot->volume, options->volume_reserve);
	entry.volume = volume_id(slot->volume);
	entry.node = volume_identity(slot->volume)->node;
	memcpy(entry.zone, volume_identity(slot->volume)->zone, sizeof(entry.zone));
	entry.full = volume_state(slot->volume) == VOLUME_FULL;
	if (layout_find(&engine->layout, entry.volume) != NULL)
		return ERR_EXISTS;
	err = layout_put(&engine->layout, &entry);
	if (err != ERR_OK)
		return err;
	volume_watch(slot->volume, volume_changed, engine);
	engine->volumes[engine->volume_count++] = slot->volume;
	return ERR_OK;
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
		err = open_volume(engine, slot, options);
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
		.argon2_parallel = options->argon2_parallel != 0 ? options->argon2_parallel
								 : ARGON2_PARALLEL,
		.argon2_queue = ARGON2_QUEUE,
		.unknown_user = options->unknown_user,
		.fake_salt = options->fake_salt,
	};
	enum err err;

	if (home_options.unknown_user.operations == 0)
		home_options.unknown_user = (struct slot_parameters){
			ARGON2_OPERATIONS_DEFAULT, ARGON2_MEMORY_DEFAULT / 1024};
	err = accounts_open(engine->sched, engine->journal, options->cluster,
			    options->admin_public, &engine->accounts);
	if (err != ERR_OK) {
		*why = "the account table cannot be read";
		return err;
	}
	home_options.accounts = (struct account_source){accounts_find, accounts_publish,
							engine->accounts};
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
	const struct account_table *table =
		accounts_table(((struct engine *)context)->accounts);
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
		.interval_ms = options->reclaim_interval_ms,
		.rate = options->reclaim_rate,
	};

	return reclaim_create(&reclaim, &engine->reclaim);
}

enum err engine_open(const struct engine_options *options, struct engine **out, const char **why)
{
	struct engine *engine = memory_allocate(sizeof(*engine));
	enum err err;

	*why = "out of memory";
	if (engine == NULL)
		return ERR_NOMEM;
	engine->sched = options->sched;
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
	}
	if (err != ERR_OK)
		engine_close(&engine);
	else
		*out = engine;
	return err;
}

void engine_close(struct engine **engine_pointer)
{
	struct engine *engine = *engine_pointer;

	if (engine == NULL)
		return;
	*engine_pointer = NULL;
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
	layout_finish(&engine->layout);
	memory_free(engine);
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
		out->err = ERR_IO;
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

void engine_get_status(struct engine *engine, struct engine_status *out)
{
	*out = (struct engine_status){.volume_count = engine->slot_count,
				      .shared_device = share_a_device(engine),
				      .account_count =
					      account_table_count(accounts_table(engine->accounts)),
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
