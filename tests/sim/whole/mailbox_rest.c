/* SPDX-License-Identifier: MPL-2.0 */
/* The end of a mailbox run: everybody leaves, and what stays is what is needed. */
#include "engine/journal/audit.h"
#include "tests/sim/whole/mailbox_private.h"
#include "tests/sim/whole/people.h"
#include "tests/sim/whole/reclaim_exam.h"

/* Questions, 100 ms apart, of which one meets an account with nothing under way. */
#define REFER_TRIES 20u

/* What its manifest, and the entries that it does not cover, refer to. */
static WAITS enum err refer(struct system *system, uint32_t account, struct reclaim_exam *exam)
{
	struct id128 stream = people_find(system->engine, account)->stream, silent;
	size_t before = exam->referred.size;
	enum err err = ERR_STALE;

	for (unsigned i = 0; err == ERR_STALE && i < REFER_TRIES; i++) {
		exam->referred.size = before;
		err = journal_references(engine_journal(system->engine), stream, reclaim_exam_refer,
					 exam, &silent);
		if (err == ERR_STALE && task_sleep(100) != ERR_OK)
			err = ERR_CANCELED;
	}
	return err;
}

/* And the other side's. */
static WAITS enum err refer_to_all(void *context, struct reclaim_exam *exam)
{
	struct system *system = context;
	enum err err = ERR_OK;

	for (uint32_t i = 0; i < ACCOUNTS && err == ERR_OK; i++)
		err = refer(system, i, exam);
	for (size_t i = 0; i < system->other.count && err == ERR_OK; i++)
		if (system->other.blobs[i].state == OTHER_NAMED)
			err = reclaim_exam_refer(exam, &system->other.blobs[i].ref);
	return err;
}

/* Ids that the journal names, to where they were met last. */
static enum err meet_in_journal(void *context, const struct blob_ref *blob)
{
	return map_put(context, &blob->id, context);
}

static enum err meet_in_mailbox(void *context, const struct blob_ref *blob)
{
	(void)map_remove(context, &blob->id);
	return ERR_OK;
}

/* The journal keeps nothing that the mailbox does not need. */
static WAITS enum err compare_references(struct system *system, uint32_t account)
{
	const struct account_record *record = people_find(system->engine, account);
	struct id128 stream = record->stream, id = record->id, silent;
	struct mailbox *mailbox = NULL;
	struct map named;
	enum err err;

	map_init(&named, sizeof(struct id128));
	err = journal_references(engine_journal(system->engine), stream, meet_in_journal, &named,
				 &silent);
	if (err == ERR_OK)
		err = people_login(system->engine, account, &mailbox);
	if (err == ERR_OK)
		err = home_references(engine_home(system->engine), id, meet_in_mailbox, &named);
	if (err == ERR_OK && named.count != 0)
		report_broken(system->report, system->world.sim, "space",
			      "the journal names %zu blobs that account %u does not refer to",
			      named.count, account);
	map_finish(&named);
	if (mailbox != NULL)
		mailbox_release(&mailbox);
	return err;
}

static enum err count_entry(void *context, const struct entry *entry)
{
	(void)entry;
	(*(size_t *)context)++;
	return ERR_OK;
}

static enum err count_pages(void *context, const struct manifest *manifest)
{
	*(size_t *)context += manifest->page_count;
	return ERR_OK;
}

/* Of an account that is gone. */
static WAITS enum err look_at_stream(struct system *system, struct id128 stream)
{
	struct journal *journal = engine_journal(system->engine);
	bool complete, more;
	size_t entries = 0, pages = 0;
	enum err err = journal_read(journal, stream, NULL, 1, count_entry, &entries, NULL,
				    &complete, &more);

	if (err == ERR_OK)
		err = journal_manifests(journal, stream, count_pages, &pages);
	if (err == ERR_OK && entries + pages != 0)
		report_broken(system->report, system->world.sim, "space",
			      "%zu entries and %zu pages of a deleted account are kept", entries,
			      pages);
	return err;
}

/* A home writes a manifest after it has changed something, and not for reading alone. */
static WAITS enum err write_down(struct system *system, uint32_t account)
{
	struct mailbox *mailbox = NULL;
	enum err err;

	session_leave(system, account);
	err = people_login(system->engine, account, &mailbox);
	if (err == ERR_OK)
		err = mailbox_create_folder(mailbox, bytes_string("Last"), SPECIAL_NONE);
	if (mailbox != NULL)
		mailbox_release(&mailbox);
	if (err == ERR_OK)
		err = task_sleep(1000);
	home_flush_cache(engine_home(system->engine));
	return err;
}

void session_at_rest(void *context, struct sim_node *node)
{
	struct system *system = context;
	struct reclaim_exam exam = {.engine = system->engine,
				    .sim = system->world.sim,
				    .report = system->report,
				    .paths = system->paths,
				    .volume_count = system->world.volume_count,
				    .live_percent = COMPACT_BELOW,
				    .quarantine_ms = system->quarantine_ms,
				    .refer = refer_to_all,
				    .context = system};
	struct id128 stream = system->other.stream;
	bool deleted = false;
	enum err err = ERR_OK;

	(void)node;
	other_side_check(&system->other);
	if (!system->examined || system->world.sim->failed)
		return;
	for (uint32_t i = 0; i < ACCOUNTS && err == ERR_OK; i++)
		err = write_down(system, i);
	if (err == ERR_OK && sim_random_below(&system->random, 2) == 0) {
		deleted = true;
		err = people_delete(system->engine, system->admin, OTHER_ACCOUNT);
		other_side_give_up(&system->other);
	} else if (err == ERR_OK) {
		err = other_side_settle(&system->other);
	}
	if (err == ERR_OK)
		err = reclaim_exam_run(&exam);
	if (err == ERR_OK && deleted)
		err = look_at_stream(system, stream);
	for (uint32_t i = 0; i < ACCOUNTS && err == ERR_OK; i++)
		err = compare_references(system, i);
	if (err != ERR_OK && err != ERR_CANCELED && !system->world.sim->failed)
		report_broken(system->report, system->world.sim, "exam", "it ends with %s",
			      err_name(err));
	other_side_check(&system->other);
	system->report->exams++;
}
