/* SPDX-License-Identifier: MPL-2.0 */
/* aeroctl status. */
#include <stdio.h>
#include <string.h>

#include "tools/aeroctl/client.h"
#include "tools/aeroctl/output.h"

static void print_volumes(const json_t *volumes)
{
	struct output_table table = {.column_count = 5};
	const json_t *volume;
	size_t i;

	output_cell(&table, "VOLUME");
	output_cell(&table, "STATE");
	output_cell(&table, "SIZE");
	output_cell(&table, "FREE");
	output_cell(&table, "%s", "");
	json_array_foreach(volumes, i, volume)
	{
		const char *message = json_text(volume, "message");

		output_cell(&table, "%s", json_text(volume, "directory"));
		output_cell(&table, "%s", json_text(volume, "state"));
		output_cell(&table, "%s", output_size(json_number(volume, "total_bytes")));
		output_cell(&table, "%s", output_size(json_number(volume, "free_bytes")));
		output_cell(&table, "%s", message != NULL ? message : "");
	}
	output_table_print(&table);
}

static size_t count_serving(const json_t *volumes)
{
	const json_t *volume;
	size_t i, count = 0;

	json_array_foreach(volumes, i, volume) count += json_text(volume, "error") == NULL;
	return count;
}

static void print_room(const json_t *volumes, size_t serving)
{
	const json_t *volume;
	size_t i, full = 0;

	json_array_foreach(volumes, i, volume) full +=
		strcmp(json_text(volume, "state"), "full") == 0;
	if (full != 0)
		printf("%zu of %zu volumes are full: make room on their disks, or delete mail.\n",
		       full, json_array_size(volumes));
	if (serving < 2)
		printf("Fewer than two volumes serve: nothing can be stored.\n");
	else if (serving - full < 2)
		printf("Fewer than two volumes have room: new mail is deferred.\n");
}

/* What the loss of disks would cost now: never better than it is. */
static void print_exposure(const json_t *status)
{
	const json_t *exposure = json_object_get(status, "exposure");
	const json_t *volumes = json_object_get(status, "volumes");
	uint64_t tolerated = json_number(exposure, "volumes_tolerated");
	size_t serving = count_serving(volumes);

	printf("Can be lost now without losing mail: %llu of %zu serving volumes",
	       (unsigned long long)tolerated, serving);
	if (json_is_true(json_object_get(exposure, "shared_disk")))
		printf(".\nBut volumes share a disk: this store survives no disk.\n");
	else if (tolerated == 0)
		printf(".\nThis store survives no disk now.\n");
	else
		printf(".\n");
	if (serving < json_array_size(volumes))
		printf("%zu of %zu volumes do not serve: aeroctl volume replace makes an empty "
		       "one.\n",
		       json_array_size(volumes) - serving, json_array_size(volumes));
	if (json_number(json_object_get(status, "sets"), "records_lost") != 0)
		printf("%llu records are lost for good.\n",
		       (unsigned long long)json_number(json_object_get(status, "sets"),
						       "records_lost"));
	print_room(volumes, serving);
}

static void print_reclaim(const json_t *reclaim)
{
	const char *held_up_by = json_text(reclaim, "held_up_by");

	printf("Deleted mail: %s of %s sealed is alive; %s wait in quarantine, %s can go, "
	       "%s given back since start.\n",
	       output_size(json_number(reclaim, "live_bytes")),
	       output_size(json_number(reclaim, "sealed_bytes")),
	       output_size(json_number(reclaim, "quarantined_bytes")),
	       output_size(json_number(reclaim, "reclaimable_bytes")),
	       output_size(json_number(reclaim, "reclaimed_bytes")));
	if (json_number(reclaim, "quarantined_reads") != 0)
		printf("ALARM: %llu messages were read that counted as deleted; they were kept.\n",
		       (unsigned long long)json_number(reclaim, "quarantined_reads"));
	if (held_up_by != NULL && strcmp(held_up_by, "nothing") != 0)
		printf("Giving back is held up: %s (volume %s, account %s, %llu accounts).\n",
		       held_up_by, json_text(reclaim, "held_up_volume"),
		       json_text(reclaim, "held_up_account"),
		       (unsigned long long)json_number(reclaim, "held_up_accounts"));
}

/* What is being done about it, and what that waits for. */
static void print_repair(const json_t *status)
{
	const json_t *repair = json_object_get(status, "repair");
	uint64_t degraded = json_number(repair, "sets_degraded");
	uint64_t waiting = json_number(repair, "columns_waiting");
	uint64_t lost = json_number(repair, "sets_unrecoverable");

	if (degraded == 0)
		return;
	printf("%llu sets lack a column, %llu of them cannot lose another; up to %s are to be "
	       "written.\n",
	       (unsigned long long)degraded,
	       (unsigned long long)json_number(repair, "sets_exposed"),
	       output_size(json_number(repair, "bytes_left")));
	if (json_object_get(repair, "seconds_left") != NULL)
		printf("Repair is running, about %llu seconds are left.\n",
		       (unsigned long long)json_number(repair, "seconds_left"));
	else if (json_is_true(json_object_get(repair, "running")))
		printf("Repair is running.\n");
	if (waiting != 0)
		printf("%llu columns wait for a volume that takes them: aeroctl volume replace.\n",
		       (unsigned long long)waiting);
	if (lost != 0)
		printf("In %llu columns more is damaged than the others can make up for.\n",
		       (unsigned long long)lost);
}

static void print_counts(const json_t *status)
{
	const json_t *sets = json_object_get(status, "sets");
	const json_t *journal = json_object_get(status, "journal");
	const json_t *lmtp = json_object_get(status, "lmtp");
	struct output_table table = {.column_count = 2};
	char profile[32] = "no new one possible";

	if (json_number(sets, "profile_data") != 0)
		snprintf(profile, sizeof(profile), "profile %llu+%llu",
			 (unsigned long long)json_number(sets, "profile_data"),
			 (unsigned long long)json_number(sets, "profile_parity"));
	output_cell(&table, "sets");
	output_cell(&table, "%s, %llu open, %llu sealed, %llu to evacuate, %s stored", profile,
		    (unsigned long long)json_number(sets, "open"),
		    (unsigned long long)json_number(sets, "sealed"),
		    (unsigned long long)json_number(sets, "waiting_for_evacuation"),
		    output_size(json_number(sets, "bytes_stored")));
	output_cell(&table, "scrub");
	output_cell(
		&table, "%s, %llu of %llu columns in this round, %s",
		json_text(json_object_get(status, "scrub"), "state"),
		(unsigned long long)json_number(json_object_get(status, "scrub"),
						"columns_checked"),
		(unsigned long long)json_number(json_object_get(status, "scrub"), "columns_total"),
		json_object_size(json_object_get(json_object_get(status, "scrub"), "faults")) == 0
			? "no faults ever"
			: "faults were found");
	output_cell(&table, "journal");
	output_cell(&table,
		    "%llu entries in %llu segments, written to %llu of %llu replicas, "
		    "%llu lagging",
		    (unsigned long long)json_number(journal, "entries"),
		    (unsigned long long)json_number(journal, "segments"),
		    (unsigned long long)json_number(journal, "write_quorum"),
		    (unsigned long long)json_number(journal, "replicas_live"),
		    (unsigned long long)json_number(journal, "lagging"));
	output_cell(&table, "accounts");
	output_cell(&table, "%llu, %llu unlocked",
		    (unsigned long long)json_number(status, "accounts"),
		    (unsigned long long)json_number(status, "accounts_unlocked"));
	output_cell(&table, "since start");
	output_cell(&table, "%llu delivered, %llu refused, %llu IMAP sessions open",
		    (unsigned long long)json_number(lmtp, "delivered"),
		    (unsigned long long)json_number(lmtp, "refused"),
		    (unsigned long long)json_number(json_object_get(status, "imap"), "sessions"));
	output_table_print(&table);
}

enum program_exit command_status(struct control *control)
{
	struct answer answer;
	enum program_exit status = client_must(control, request_make("status"), &answer);

	if (status == PROGRAM_OK && control->options.json) {
		json_object_del(answer.reply, "ok");
		status = output_json(json_incref(answer.reply));
	} else if (status == PROGRAM_OK) {
		print_exposure(answer.reply);
		print_repair(answer.reply);
		putchar('\n');
		print_volumes(json_object_get(answer.reply, "volumes"));
		putchar('\n');
		print_counts(answer.reply);
		putchar('\n');
		print_reclaim(json_object_get(answer.reply, "reclaim"));
	}
	answer_finish(&answer);
	return status;
}

enum program_exit command_reclaim(struct control *control)
{
	struct answer answer;
	enum program_exit status = client_must(control, request_make("reclaim"), &answer);

	if (status == PROGRAM_OK && control->options.json) {
		json_object_del(answer.reply, "ok");
		status = output_json(json_incref(answer.reply));
	} else if (status == PROGRAM_OK) {
		print_reclaim(json_object_get(answer.reply, "reclaim"));
	}
	answer_finish(&answer);
	return status;
}

static void print_usage(const json_t *volumes)
{
	static const char *const kinds[] = {"data", "mirror", "parity", "journal", "other"};
	struct output_table table = {.column_count = 7};
	const json_t *volume;
	size_t i;

	for (size_t column = 0; column < 7; column++)
		output_cell(&table, "%s",
			    (const char *const[]){"VOLUME", "DATA", "MIRROR", "PARITY", "JOURNAL",
						  "OTHER", "TOTAL"}[column]);
	json_array_foreach(volumes, i, volume)
	{
		const json_t *bytes = json_object_get(volume, "bytes");

		output_cell(&table, "%s", json_text(volume, "directory"));
		for (size_t kind = 0; kind < 5; kind++)
			output_cell(&table, "%s",
				    bytes != NULL ? output_size(json_number(bytes, kinds[kind]))
						  : "-");
		output_cell(&table, "%s",
			    bytes != NULL ? output_size(json_number(volume, "total_bytes"))
					  : json_text(volume, "message"));
	}
	output_table_print(&table);
}

enum program_exit command_volume_usage(struct control *control)
{
	struct answer answer;
	enum program_exit status = client_must(control, request_make("usage"), &answer);

	if (status == PROGRAM_OK && control->options.json) {
		json_object_del(answer.reply, "ok");
		status = output_json(json_incref(answer.reply));
	} else if (status == PROGRAM_OK) {
		print_usage(json_object_get(answer.reply, "volumes"));
	}
	answer_finish(&answer);
	return status;
}
