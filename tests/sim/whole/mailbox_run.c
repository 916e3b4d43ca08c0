/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/mailbox_run.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "tests/sim/allocate.h"
#include "tests/sim/whole/mailbox_private.h"
#include "tests/sim/whole/parts.h"
#include "tests/sim/whole/people.h"

#define MAILBOX_STREAM 704
#define OTHER_PAUSE_MS 150u
/* Nobody logs in to some accounts for a part of the time. */
#define HOLIDAY_MS 3000u
#define HOLIDAY_OF 3u
/* Of messages that come, so many are appended by a session. */
#define APPEND_OF 10u
/* Tries, a second apart, of a start that the faults of the regimen may spoil once. */
#define TRIES 20u
#define SHELF "Shelf"

/* ---- lives ---- */

static WAITS enum err open_engine(struct system *system)
{
	struct engine_options options = {.sched = task_sched(),
					 .cluster = PARTS_CLUSTER,
					 .node = PARTS_NODE,
					 .node_signing = system->node_key,
					 .fake_salt = bytes_string("0123456789abcdef"),
					 .volumes = system->paths,
					 .volume_count = system->world.volume_count,
					 .index_directory = WORLD_INDEX_DIRECTORY,
					 .summary = people_summary,
					 .column_size = system->column_size,
					 .segment_size = system->segment_size,
					 /* What the last manifest does not know of stays. */
					 .snapshot_entries =
						 system->examined ? 1 : system->snapshot_entries,
					 .table_snapshot_after = system->snapshot_entries / 4,
					 /* As often as it may, and without mercy. */
					 .reclaim_interval_ms = system->quiet ? 0 : 700,
					 .compact_below = COMPACT_BELOW,
					 .quarantine_ms = system->quarantine_ms,
					 .unknown_user = people_slot};
	const char *why;

	sign_public(system->admin, options.admin_public);
	return engine_open(&options, &system->engine, &why);
}

static bool is_passing(const struct system *system, enum err err)
{
	return !system->quiet && system->world.fickle &&
	       (err == ERR_IO || err == ERR_UNAVAILABLE || err == ERR_CORRUPT);
}

static WAITS void live_elsewhere(void *argument)
{
	struct system *system = argument;

	while (!system->quiet &&
	       task_sleep(sim_random_below(&system->random, OTHER_PAUSE_MS)) == ERR_OK)
		other_side_act(&system->other);
}

static WAITS enum err start(void *context, struct sim_node *node)
{
	struct system *system = context;
	enum err err = open_engine(system);

	for (unsigned tries = 1; tries < TRIES && is_passing(system, err); tries++) {
		if (task_sleep(1000) != ERR_OK)
			return ERR_CANCELED;
		err = open_engine(system);
	}
	if (err == ERR_OK) {
		const struct account_record *other = people_find(system->engine, OTHER_ACCOUNT);

		ASSERT(other != NULL);
		other_side_start(&system->other, engine_journal(system->engine),
				 engine_blobs(system->engine), other->stream, other->tag);
		sim_spawn(node, "other side", live_elsewhere, system);
	}
	return err;
}

static void count(struct system *system)
{
	struct mailbox_counters counters = home_counters(engine_home(system->engine));
	struct engine_status *status = sim_allocate(sizeof(*status));

	engine_get_status(system->engine, status);
	system->report->manifests += counters.manifests;
	system->report->seals += status->blobs.seals;
	system->report->evacuations += status->blobs.evacuations;
	system->report->compactions += status->reclaim.compactions;
	system->report->reencodings += status->reclaim.reencodings;
	system->report->degraded_reads += status->blobs.degraded_reads;
	system->report->mirror_reads += status->blobs.mirror_reads;
	system->report->truncated += status->journal.truncated;
	if (counters.uidvalidity_bumps != 0)
		report_broken(system->report, system->world.sim, "validity",
			      "UIDVALIDITY was moved %llu times",
			      (unsigned long long)counters.uidvalidity_bumps);
	if (counters.broken_entries != 0)
		report_broken(system->report, system->world.sim, "entries",
			      "%llu entries of the journal were broken",
			      (unsigned long long)counters.broken_entries);
	/* Where a volume fails for one bad read, a record may be given up that only it holds. */
	if (status->blobs.records_lost != 0 && !system->world.fickle)
		report_broken(system->report, system->world.sim, "records lost",
			      "%llu records were given up",
			      (unsigned long long)status->blobs.records_lost);
	sim_free(status);
}

void session_leave(struct system *system, uint32_t account)
{
	struct idle *idle = &system->idle[account];

	if (idle->view != NULL)
		view_close(&idle->view);
	if (idle->mailbox != NULL)
		mailbox_release(&idle->mailbox);
	sim_free(idle->uids);
	*idle = (struct idle){0};
}

static WAITS void stop(void *context, struct sim_node *node)
{
	struct system *system = context;

	(void)node;
	for (uint32_t i = 0; i < ACCOUNTS; i++)
		session_leave(system, i);
	other_side_stop(&system->other);
	if (system->engine != NULL)
		count(system);
	engine_close(&system->engine);
}

/* ---- sessions ---- */

static WAITS enum err open_folder(struct mailbox *mailbox, const char *name, struct view **out)
{
	struct folder_info info;
	enum err err = mailbox_folder(mailbox, bytes_string(name), &info);

	return err == ERR_OK ? view_open(mailbox, info.id, false, out) : err;
}

/* While nobody is logged in, what comes waits in the journal. */
static bool is_away(const struct system *system, uint32_t account)
{
	uint64_t period = sim_now_ms(system->world.sim) / HOLIDAY_MS;

	return !system->quiet && account == 1 && period % HOLIDAY_OF == 0;
}

static WAITS enum err come(struct system *system, uint32_t account, struct mailbox **out)
{
	if (!is_away(system, account))
		return people_login(system->engine, account, out);
	session_leave(system, account);
	home_flush_cache(engine_home(system->engine));
	return ERR_UNAVAILABLE;
}

/* One session's visit to one folder. */
struct visit {
	struct mailbox *mailbox;
	struct view *view;
};

static WAITS enum err visit_begin(struct system *system, uint32_t account, const char *folder,
				  struct visit *out)
{
	enum err err = come(system, account, &out->mailbox);

	return err == ERR_OK ? open_folder(out->mailbox, folder, &out->view) : err;
}

static void visit_end(struct visit *visit)
{
	if (visit->view != NULL)
		view_close(&visit->view);
	if (visit->mailbox != NULL)
		mailbox_release(&visit->mailbox);
}

/* 0: it names nothing any more. */
static uint32_t sequence_of(const struct view *view, uint32_t uid)
{
	uint32_t sequence = view_find_uid(view, uid);

	return sequence <= view_count(view) && view_uid(view, sequence) == uid ? sequence : 0;
}

/* ---- deliveries ---- */

static WAITS enum err hand_over(struct system *system, uint32_t account, struct bytes message)
{
	const struct account_record *record = people_find(system->engine, account);
	struct delivery *delivery = NULL;
	size_t index = 0;
	enum err err = delivery_begin(engine_delivery_agent(system->engine),
				      bytes_string("s@example.org"), &delivery);

	if (err != ERR_OK)
		return err;
	err = record != NULL ? delivery_recipient(delivery, record, bytes_string(""),
						  bytes_string(""), &index)
			     : ERR_NOTFOUND;
	if (record == NULL)
		report_broken(system->report, system->world.sim, "missing", "account %u", account);
	if (err == ERR_OK)
		err = delivery_write(delivery, message);
	if (err == ERR_OK) {
		delivery_finish(delivery);
		err = delivery_result(delivery, index);
	}
	delivery_end(&delivery);
	return err;
}

static WAITS enum err append(struct system *system, uint32_t account, struct bytes message)
{
	struct mailbox *mailbox = NULL;
	struct appending *appending = NULL;
	uint32_t uidvalidity, uid;
	enum err err = people_login(system->engine, account, &mailbox);

	if (err == ERR_OK)
		err = append_begin(mailbox, bytes_string("INBOX"), &appending);
	if (err == ERR_OK)
		err = append_write(appending, message);
	if (err == ERR_OK)
		err = append_finish(appending, 0, NULL, 0, 0, 0, &uidvalidity, &uid);
	append_end(&appending);
	if (mailbox != NULL)
		mailbox_release(&mailbox);
	return err;
}

static WAITS enum err deliver(void *context, struct sim_node *node, uint32_t account,
			      struct bytes message)
{
	struct system *system = context;
	enum err err;

	(void)node;
	if (sim_random_below(&system->random, APPEND_OF) == 0 && !is_away(system, account))
		err = append(system, account, message);
	else
		err = hand_over(system, account, message);
	system->report->refused += err != ERR_OK && err != ERR_CANCELED;
	return err;
}

/* ---- copies and moves ---- */

static void tell(struct system *system, struct id128 folder, uint32_t uidvalidity, uint32_t uid,
		 struct id128 message)
{
	const struct uid_name name = {folder, uidvalidity, uid, message};

	if (uid_ledger_tell(&system->told, &name, NULL) != VERDICT_FINE)
		report_broken(system->report, system->world.sim, "UID_REUSED",
			      "COPYUID gave %u to another message", uid);
}

static WAITS enum err carry(struct system *system, struct visit *visit, uint32_t sequence,
			    const char *to, bool move)
{
	struct copy_result result = {0};
	struct folder_info target;
	struct message message;
	enum err err = view_message(visit->view, sequence, &message);

	if (err == ERR_OK)
		err = view_copy(visit->view, &sequence, 1, bytes_string(to), move, &result);
	if (err == ERR_OK && mailbox_folder(visit->mailbox, bytes_string(to), &target) == ERR_OK &&
	    result.count == 1)
		tell(system, target.id, result.uidvalidity, result.to_uids[0], message.email_id);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	system->report->copies += err == ERR_OK;
	return err;
}

/* Copies come to the shelf flagged, so that one tells them from what was moved there. */
static WAITS enum err shuffle(void *context, struct sim_node *node, uint32_t account, uint32_t uid)
{
	struct system *system = context;
	struct visit visit = {NULL, NULL};
	uint32_t sequence = 0;
	enum err err = visit_begin(system, account, "INBOX", &visit);

	(void)node;
	if (err == ERR_OK)
		sequence = sequence_of(visit.view, uid);
	if (err == ERR_OK && sequence == 0)
		err = ERR_NOTFOUND;
	if (err == ERR_OK && sim_random_below(&system->random, 2) == 0)
		err = carry(system, &visit, sequence, SHELF, true);
	else if (err == ERR_OK)
		err = carry(system, &visit, sequence, "Copies", false);
	visit_end(&visit);
	return err;
}

/* Everything that was moved away comes back: the ledger looks in the INBOX alone. */
static WAITS enum err bring_back(struct system *system, struct mailbox *mailbox)
{
	struct visit visit = {.mailbox = mailbox};
	enum err err = open_folder(mailbox, SHELF, &visit.view);

	for (uint32_t i = 1; err == ERR_OK && i <= view_count(visit.view); i++) {
		err = carry(system, &visit, i, "INBOX", true);
		/* Another device was faster. */
		if (err == ERR_NOTFOUND)
			err = ERR_OK;
	}
	if (visit.view != NULL)
		view_close(&visit.view);
	return err;
}

/* ---- polling ---- */

static enum err list(struct view *view, struct listing *out)
{
	out->uidvalidity = view_uidvalidity(view);
	out->uidnext = view_uidnext(view);
	out->highestmodseq = view_highest_modseq(view);
	for (uint32_t i = 1; i <= view_count(view); i++) {
		struct message message;
		enum err err = view_message(view, i, &message);

		if (err == ERR_NOTFOUND)
			continue;
		if (err != ERR_OK)
			return err;
		listing_add(out, (struct listed){.uid = message.uid,
						 .message = message.email_id,
						 .flags = message.flags.system,
						 .modseq = message.modseq});
	}
	return ERR_OK;
}

/* What changed since, and, as RFC 7162 allows, every UID that is not there. */
static void find_changes(const struct listing *full, uint64_t since, struct poll_changes *out)
{
	size_t capacity = 0, at = 0;

	for (size_t i = 0; i < full->count; i++) {
		if (full->items[i].modseq > since)
			listing_add(&out->changed, full->items[i]);
	}
	for (uint32_t uid = 1; uid < full->uidnext; uid++) {
		if (at < full->count && full->items[at].uid == uid) {
			at++;
			continue;
		}
		out->vanished = sim_grow(out->vanished, out->vanished_count, &capacity,
					 sizeof(*out->vanished));
		out->vanished[out->vanished_count++] = uid;
	}
}

static void on_expunged(void *context, uint32_t sequence, uint32_t uid)
{
	struct idle *idle = context;

	if (sequence == 0 || sequence > idle->count || idle->uids[sequence - 1] != uid) {
		idle->confused = true;
		return;
	}
	idle->count--;
	memmove(idle->uids + sequence - 1, idle->uids + sequence,
		(idle->count - (sequence - 1)) * sizeof(*idle->uids));
}

static void on_exists(void *context, uint32_t count, uint32_t recent)
{
	struct idle *idle = context;

	(void)recent;
	idle->confused |= count < idle->count;
	while (idle->count < count) {
		idle->uids =
			sim_grow(idle->uids, idle->count, &idle->capacity, sizeof(*idle->uids));
		idle->uids[idle->count] = view_uid(idle->view, (uint32_t)idle->count + 1);
		idle->count++;
	}
}

static void on_flags(void *context, uint32_t sequence, uint32_t uid, uint64_t modseq)
{
	struct idle *idle = context;

	(void)modseq;
	idle->confused |=
		sequence == 0 || sequence > idle->count || idle->uids[sequence - 1] != uid;
}

static bool knows(const struct idle *idle, const struct listing *full)
{
	if (idle->confused || idle->count != full->count)
		return false;
	for (size_t i = 0; i < full->count; i++) {
		if (idle->uids[i] != full->items[i].uid)
			return false;
	}
	return true;
}

/* The session that stays, brought up to date: it must show what a new one shows. */
static void compare_idle(struct system *system, uint32_t account, const struct listing *full)
{
	struct idle *idle = &system->idle[account];
	const struct view_events events = {on_expunged, on_exists, on_flags, idle};
	struct listing seen = {0};

	view_sync(idle->view, true, &events);
	if (list(idle->view, &seen) != ERR_OK || !listing_agrees(&seen, full) || !knows(idle, full))
		report_broken(system->report, system->world.sim, "DIVERGED",
			      "a session that stayed shows %zu messages, its client %zu, a new "
			      "one %zu",
			      seen.count, idle->count, full->count);
	listing_finish(&seen);
}

static WAITS enum err stay(struct system *system, uint32_t account)
{
	struct idle opened = {0};
	struct idle *idle = &system->idle[account];
	enum err err = people_login(system->engine, account, &opened.mailbox);

	if (err == ERR_OK)
		err = open_folder(opened.mailbox, "INBOX", &opened.view);
	/* Somebody else may have opened it meanwhile. */
	if (err == ERR_OK && idle->view == NULL) {
		*idle = opened;
		on_exists(idle, view_count(idle->view), 0);
		return ERR_OK;
	}
	if (opened.view != NULL)
		view_close(&opened.view);
	if (opened.mailbox != NULL)
		mailbox_release(&opened.mailbox);
	return err;
}

static WAITS enum err look(struct system *system, uint32_t account, struct visit *visit)
{
	struct folder_info inbox;
	struct folder_status status;
	enum err err = come(system, account, &visit->mailbox);

	if (err == ERR_OK)
		err = bring_back(system, visit->mailbox);
	if (err == ERR_OK && system->idle[account].view == NULL)
		err = stay(system, account);
	if (err == ERR_OK)
		err = mailbox_folder(visit->mailbox, bytes_string("INBOX"), &inbox);
	/* Drains all that was delivered. */
	if (err == ERR_OK)
		err = mailbox_status(visit->mailbox, inbox.id, &status);
	if (err == ERR_OK)
		err = view_open(visit->mailbox, inbox.id, false, &visit->view);
	return err;
}

static WAITS enum err poll(void *context, struct sim_node *node, uint32_t account, uint64_t since,
			   struct listing *full, struct poll_changes *changes)
{
	struct system *system = context;
	struct visit visit = {NULL, NULL};
	enum err err = look(system, account, &visit);

	(void)node;
	/* From here on without a wait: one moment. */
	if (err == ERR_OK)
		err = list(visit.view, full);
	if (err == ERR_OK) {
		find_changes(full, since, changes);
		/* Another poll may have ended it meanwhile. */
		if (system->idle[account].view != NULL)
			compare_idle(system, account, full);
		/* An account that nobody uses is written down and dropped. */
		if (sim_random_below(&system->random, 16) == 0)
			session_leave(system, account);
	}
	visit_end(&visit);
	return err;
}

/* ---- reading and changing ---- */

static WAITS enum err fetch(void *context, struct sim_node *node, uint32_t account, uint32_t uid,
			    struct buf *message)
{
	struct system *system = context;
	struct visit visit = {NULL, NULL};
	struct message state;
	uint32_t sequence = 0;
	enum err err = visit_begin(system, account, "INBOX", &visit);
	bool opened = err == ERR_OK;

	(void)node;
	if (opened)
		sequence = sequence_of(visit.view, uid);
	if (opened)
		err = sequence == 0 ? ERR_NOTFOUND
				    : view_read(visit.view, sequence, 0, UINT32_MAX, message);
	/* Whatever was reclaimed, this was not. */
	if (opened && sequence != 0 && err == ERR_NOTFOUND && !task_canceled() &&
	    view_message(visit.view, sequence, &state) == ERR_OK)
		report_broken(system->report, system->world.sim, "reclaimed",
			      "UID %u is there, and its blob is not", uid);
	if (opened && err != ERR_OK && err != ERR_NOTFOUND && err != ERR_CANCELED &&
	    !task_canceled() && !is_passing(system, err))
		report_broken(system->report, system->world.sim, "readable", "UID %u: %s", uid,
			      err_name(err));
	visit_end(&visit);
	return err;
}

static WAITS enum err set_flags(void *context, struct sim_node *node, uint32_t account,
				uint32_t uid, uint32_t flags)
{
	struct system *system = context;
	struct visit visit = {NULL, NULL};
	uint32_t sequence = 0;
	enum err err = visit_begin(system, account, "INBOX", &visit);

	(void)node;
	if (err == ERR_OK)
		sequence = sequence_of(visit.view, uid);
	if (err == ERR_OK)
		err = sequence == 0 ? ERR_NOTFOUND
				    : view_store(visit.view, &sequence, 1, STORE_REPLACE,
						 (uint8_t)flags, NULL, 0, false);
	visit_end(&visit);
	return err;
}

static WAITS enum err expunge(void *context, struct sim_node *node, uint32_t account, uint32_t uid)
{
	struct system *system = context;
	struct visit visit = {NULL, NULL};
	uint32_t sequence = 0;
	size_t expunged = 0;
	enum err err = visit_begin(system, account, "INBOX", &visit);

	(void)node;
	if (err == ERR_OK)
		sequence = sequence_of(visit.view, uid);
	if (err == ERR_OK)
		err = sequence == 0 ? ERR_NOTFOUND
				    : view_store(visit.view, &sequence, 1, STORE_ADD, FLAG_DELETED,
						 NULL, 0, false);
	if (err == ERR_OK)
		err = view_expunge(visit.view, &sequence, 1, &expunged);
	/* Another device took \Deleted away, or was faster. */
	if (err == ERR_OK && expunged != 1)
		err = ERR_NOTFOUND;
	visit_end(&visit);
	return err;
}

/* Half of the seeds lose the volume under the running node, half while it is down. */
static void before_quiet(void *context)
{
	struct system *system = context;
	struct sim_node *node = system->world.node;
	bool first = sim_random_below(&system->random, 2) == 0;

	system->examined = sim_random_below(&system->random, 2) == 0 &&
			   sim_atlas_damaged(&system->world.atlas) == 0;
	if (system->examined)
		first = false;
	if (first)
		world_lose_disks(&system->world);
	/* A volume that failed for one bad read serves again in the next life. */
	if ((!first || system->world.fickle || system->examined) && sim_is_running(node))
		sim_kill(node);
	if (!first && !system->examined)
		world_lose_disks(&system->world);
	system->quiet = true;
}

static const struct target target = {.start = start,
				     .stop = stop,
				     .deliver = deliver,
				     .poll = poll,
				     .fetch = fetch,
				     .set_flags = set_flags,
				     .expunge = expunge,
				     .shuffle = shuffle,
				     .before_quiet = before_quiet,
				     .at_rest = session_at_rest};

static WAITS enum err add_folders(struct system *system, uint32_t account)
{
	struct mailbox *mailbox = NULL;
	enum err err = people_login(system->engine, account, &mailbox);

	if (err == ERR_OK)
		err = mailbox_create_folder(mailbox, bytes_string(SHELF), SPECIAL_NONE);
	if (err == ERR_OK)
		err = mailbox_create_folder(mailbox, bytes_string("Copies"), SPECIAL_NONE);
	if (mailbox != NULL)
		mailbox_release(&mailbox);
	return err;
}

/* Before any fault: the accounts and their folders are there. */
static void found(void *context)
{
	struct system *system = context;
	enum err err = open_engine(system);

	for (uint32_t i = 0; i < ACCOUNTS && err == ERR_OK; i++) {
		err = people_add(system->engine, system->admin, i);
		if (err == ERR_OK)
			err = add_folders(system, i);
	}
	if (err == ERR_OK)
		err = people_add(system->engine, system->admin, OTHER_ACCOUNT);
	if (err != ERR_OK)
		sim_fail(system->world.sim, "the store is not founded: %s", err_name(err));
	engine_close(&system->engine);
}

/* ---- a run ---- */

static enum err init(struct system *system, uint64_t seed, struct report *report)
{
	struct parts parts;
	enum err err;

	*system = (struct system){.report = report};
	world_init(&system->world, seed, 3);
	parts_init(&parts, &system->world);
	sim_random_init(&system->random, seed, MAILBOX_STREAM);
	other_side_init(&system->other, system->world.sim, report, system->world.fickle);
	system->quarantine_ms = sim_random_below(&system->random, 2) * 1500;
	system->column_size = parts.column_size;
	system->segment_size = parts.segment_size;
	system->snapshot_entries = 10 + sim_random_below(&system->random, 100);
	for (size_t i = 0; i < system->world.volume_count; i++)
		system->paths[i] = world_path(i);
	err = key_library_init();
	if (err == ERR_OK)
		err = key_random(sim_node_env(system->world.node), &system->admin);
	if (err == ERR_OK)
		err = key_random(sim_node_env(system->world.node), &system->node_key);
	ASSERT(err == ERR_OK);
	err = parts_format(&parts);
	return err == ERR_OK ? sim_run_task(system->world.sim, found, system) : err;
}

static void finish(struct system *system)
{
	key_release(&system->admin);
	key_release(&system->node_key);
	if (key_count() != 0)
		report_broken(system->report, system->world.sim, "keys", "%zu keys are left",
			      key_count());
	uid_ledger_finish(&system->told);
	other_side_finish(&system->other);
	world_finish(&system->world);
}

static void take_counters(const struct workload_counters *counters, struct report *report)
{
	report->sent = counters->sent;
	report->acknowledged = counters->acknowledged;
	report->reads = counters->fetches;
	report->listings = counters->polls;
	report->flag_changes = counters->flag_changes;
	report->expunges = counters->expunges;
	report->crashes = counters->crashes;
	report->restarts = counters->restarts;
	if (counters->broken != VERDICT_FINE && report->oracle[0] == '\0')
		(void)snprintf(report->oracle, sizeof(report->oracle), "%s",
			       verdict_name(counters->broken));
}

enum err mailbox_run(uint64_t seed, struct report *report)
{
	struct system *system = sim_allocate(sizeof(*system));
	struct workload_options options = {
		.account_count = ACCOUNTS, .device_count = 4, .busy_ms = 20000, .quiet_ms = 10000};
	struct workload_counters counters = {0};
	struct sim *sim;
	enum err err;

	*report = (struct report){0};
	err = init(system, seed, report);
	sim = system->world.sim;
	options.crash_per_million = system->world.crash_per_million;
	options.kill_per_million = system->world.kill_per_million;
	if (err == ERR_OK) {
		world_unleash(&system->world);
		err = workload_run(sim, &target, system, &options, &counters);
	}
	take_counters(&counters, report);
	report->events = sim->event_count;
	report->virtual_ms = sim_now_ms(sim) - system->world.start_ms;
	report->trace_hash = sim_trace_hash(sim);
	world_count_faults(&system->world, report->faults);
	report->crashes += report->faults[SIM_FAULT_CRASH];
	if (sim->failed) {
		err = ERR_LIMIT;
		if (report->oracle[0] == '\0')
			(void)snprintf(report->oracle, sizeof(report->oracle), "recovery");
	}
	finish(system);
	sim_free(system);
	return err;
}
