/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aerod/status.h"

#include "engine/volume/usage.h"

static void put_volumes(const struct engine_status *status, json_t *reply)
{
	json_t *volumes = json_array();

	for (size_t i = 0; i < status->volume_count; i++) {
		const struct engine_volume_status *volume = &status->volumes[i];
		json_t *entry = json_object();

		json_put_text(entry, "directory", volume->directory);
		json_put_id(entry, "volume", volume->volume);
		json_put_text(entry, "state",
			      volume->err == ERR_NOTFOUND ? "missing"
			      : volume->err != ERR_OK	  ? "failed"
			      : volume->full		  ? "full"
			      : volume->slow		  ? "slow"
							  : "serving");
		if (volume->err != ERR_OK) {
			json_put_text(entry, "error", err_name(volume->err));
			json_put_text(entry, "message", err_text(volume->err));
		}
		json_put_number(entry, "total_bytes", volume->total);
		json_put_number(entry, "free_bytes", volume->free);
		json_add(volumes, entry);
	}
	json_put(reply, "volumes", volumes);
}

/*
 * The weaker of blobs and journal. Volumes that share a disk die together: a store on one disk
 * survives the loss of none, whatever its arithmetic says.
 */
static void put_exposure(const struct engine_status *status, json_t *reply)
{
	json_t *exposure = json_object();

	json_put_number(exposure, "volumes_tolerated", status->volumes_tolerated);
	json_put_number(exposure, "blobs_volumes_tolerated", status->blobs.volumes_tolerated);
	json_put_number(exposure, "journal_volumes_tolerated", status->journal.volumes_tolerated);
	json_put_bool(exposure, "shared_disk", status->shared_device);
	json_put_bool(exposure, "survives_a_disk",
		      !status->shared_device && status->volumes_tolerated > 0);
	json_put(reply, "exposure", exposure);
}

static void put_sets(const struct blobs_status *blobs, json_t *reply)
{
	json_t *sets = json_object();

	json_put_number(sets, "profile_data", blobs->profile.k);
	json_put_number(sets, "profile_parity", blobs->profile.m);
	json_put_number(sets, "open", blobs->sets_open);
	json_put_number(sets, "sealed", blobs->sets_sealed);
	json_put_number(sets, "waiting_for_evacuation", blobs->sets_unsealed_old);
	json_put_number(sets, "bytes_stored", blobs->bytes_stored);
	json_put_number(sets, "hedged_reads", blobs->hedged_reads);
	json_put_number(sets, "records_lost", blobs->records_lost);
	json_put_number(sets, "seals", blobs->seals);
	json_put_number(sets, "evacuations", blobs->evacuations);
	json_put_number(sets, "degraded_reads", blobs->degraded_reads);
	json_put_number(sets, "mirror_reads", blobs->mirror_reads);
	json_put(reply, "sets", sets);
}

static void put_repair(const struct repair_status *repair, json_t *reply)
{
	json_t *object = json_object();

	json_put_bool(object, "running", repair->running);
	json_put_number(object, "sets_degraded", repair->sets_degraded);
	json_put_number(object, "sets_exposed", repair->sets_exposed);
	json_put_number(object, "sets_unrecoverable", repair->sets_unrecoverable);
	json_put_number(object, "columns_missing", repair->columns_missing);
	json_put_number(object, "columns_damaged", repair->columns_damaged);
	json_put_number(object, "columns_waiting", repair->columns_waiting);
	json_put_number(object, "bytes_left", repair->bytes_left);
	json_put_number(object, "columns_rebuilt", repair->columns_rebuilt);
	json_put_number(object, "bytes_written", repair->bytes_written);
	if (repair->running && repair->bytes_per_second != 0)
		json_put_number(object, "seconds_left",
				repair->bytes_left / repair->bytes_per_second);
	json_put(reply, "repair", object);
}

static void put_scrub(const struct scrub_status *scrub, json_t *reply)
{
	json_t *object = json_object(), *faults = json_object();

	json_put_text(object, "state",
		      scrub->paused    ? "paused"
		      : scrub->running ? "running"
				       : "waiting");
	json_put_number(object, "columns_checked", scrub->columns_checked);
	json_put_number(object, "columns_total", scrub->columns_total);
	json_put_number(object, "bytes_checked", scrub->bytes_checked);
	json_put_number(object, "rounds", scrub->rounds);
	json_put_number(object, "round_started", scrub->round_started_ms / 1000);
	json_put_number(object, "last_finished", scrub->last_finished_ms / 1000);
	for (unsigned i = 0; i < SCRUB_FAULT_KINDS; i++)
		if (scrub->faults[i] != 0)
			json_put_number(faults, scrub_fault_name(i), scrub->faults[i]);
	json_put(object, "faults", faults);
	json_put(reply, "scrub", object);
}

static void put_journal(const struct journal_status *journal, json_t *reply)
{
	json_t *object = json_object();

	json_put_number(object, "entries", journal->entries);
	json_put_number(object, "segments", journal->segments);
	json_put_number(object, "bytes", journal->bytes);
	json_put_number(object, "replicas_live", journal->replicas_live);
	json_put_number(object, "write_quorum", journal->write_quorum);
	json_put_number(object, "lagging", journal->lagging);
	json_put(reply, "journal", object);
}

static const char *obstacle_text(const struct reclaim_obstacle *obstacle)
{
	if (obstacle->err == ERR_OK)
		return "nothing";
	if (!id128_is_zero(obstacle->volume))
		return "a volume does not answer, or is not up to date";
	if (obstacle->err == ERR_STALE)
		return "accounts that are being changed, or replicas that differ";
	if (obstacle->err == ERR_NOSPACE)
		return "no room for what lives, which has to be copied first";
	if (obstacle->err == ERR_LIMIT)
		return "as much waits in quarantine as is remembered";
	if (obstacle->err == ERR_CORRUPT || obstacle->err == ERR_IO)
		return "records that cannot be read, and have to be repaired first";
	return err_text(obstacle->err);
}

void status_put_reclaim(const struct reclaim_status *reclaim, json_t *reply)
{
	json_t *object = json_object();

	json_put_number(object, "sealed_bytes", reclaim->sealed);
	json_put_number(object, "live_bytes", reclaim->live);
	json_put_number(object, "quarantined_bytes", reclaim->quarantined);
	json_put_number(object, "reclaimable_bytes", reclaim->reclaimable);
	json_put_number(object, "reclaimed_bytes", reclaim->bytes_reclaimed);
	json_put_number(object, "copied_bytes", reclaim->bytes_copied);
	json_put_number(object, "sets_removed", reclaim->sets_removed);
	json_put_number(object, "quarantined_reads", reclaim->restored);
	json_put_bool(object, "running", reclaim->running);
	json_put_number(object, "passes", reclaim->passes);
	json_put_number(object, "last_pass_ms", reclaim->last_pass_ms);
	json_put_text(object, "held_up_by", obstacle_text(&reclaim->obstacle));
	if (reclaim->obstacle.err != ERR_OK) {
		json_put_number(object, "held_up_since_ms", reclaim->obstacle_since_ms);
		json_put_number(object, "held_up_accounts", reclaim->obstacle.accounts);
		json_put_id(object, "held_up_volume", reclaim->obstacle.volume);
		json_put_id(object, "held_up_account", reclaim->obstacle.tag);
	}
	json_put(reply, "reclaim", object);
}

static WAITS void put_usage(const struct engine_volume_status *volume, json_t *volumes)
{
	json_t *entry = json_object();
	struct usage usage;
	enum err err = volume->err;

	if (err == ERR_OK)
		err = volume->slow ? ERR_TIMEOUT : usage_measure(volume->directory, &usage);
	json_put_text(entry, "directory", volume->directory);
	json_put_id(entry, "volume", volume->volume);
	if (err != ERR_OK) {
		json_put_text(entry, "error", err_name(err));
		json_put_text(entry, "message", err_text(err));
	} else {
		json_t *bytes = json_object();

		for (unsigned i = 0; i < USAGE_KINDS; i++)
			json_put_number(bytes, usage_kind_name(i), usage.bytes[i]);
		json_put(entry, "bytes", bytes);
		json_put_number(entry, "total_bytes", usage_total(&usage));
	}
	json_add(volumes, entry);
}

void status_put_usage(struct engine *engine, json_t *reply)
{
	json_t *volumes = json_array();
	struct engine_status status;

	engine_get_status(engine, &status);
	for (size_t i = 0; i < status.volume_count; i++)
		put_usage(&status.volumes[i], volumes);
	json_put(reply, "volumes", volumes);
}

static void put_service(const struct admin_server *server, json_t *reply)
{
	json_t *lmtp = json_object(), *imap = json_object();

	json_put_number(lmtp, "transactions", server->lmtp->transactions);
	json_put_number(lmtp, "delivered", server->lmtp->delivered);
	json_put_number(lmtp, "refused", server->lmtp->refused);
	json_put(reply, "lmtp", lmtp);
	json_put_number(imap, "sessions", server->imap->sessions);
	json_put_number(imap, "commands", server->imap->commands);
	json_put(reply, "imap", imap);
}

void status_put(const struct admin_server *server, json_t *reply)
{
	struct engine_status status;

	engine_get_status(server->engine, &status);
	json_put_text(reply, "version", PROGRAM_VERSION);
	json_put_id(reply, "cluster", server->config->cluster);
	json_put_id(reply, "node", server->config->node);
	json_put_number(reply, "uptime_seconds",
			(env_now_ms(server->env) - server->started_ms) / 1000);
	put_exposure(&status, reply);
	put_volumes(&status, reply);
	put_sets(&status.blobs, reply);
	put_repair(&status.blobs.repair, reply);
	put_scrub(&status.blobs.scrub, reply);
	put_journal(&status.journal, reply);
	status_put_reclaim(&status.reclaim, reply);
	json_put_number(reply, "accounts", status.account_count);
	json_put_number(reply, "accounts_unlocked", status.unlocked_count);
	put_service(server, reply);
}
