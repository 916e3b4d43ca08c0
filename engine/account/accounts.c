/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/account/accounts.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/audit.h"
#include "engine/journal/table.h"

struct accounts {
	struct sched *sched;
	struct journal *journal;
	struct journal_table *stream;
	struct account_table *table;
	/* The cluster and its admin key: what records are verified against. */
	uint8_t authority[sizeof(struct id128) + PUBLIC_SIZE];
	struct journal_watch watch;
	struct cond changed; /* the watch fired, or closing */
	struct group reader;
	bool stale, closing;
	bool unpublished; /* the table has what the stream may never get */
};

static enum err apply_record(void *context, struct bytes record, bool vouched)
{
	struct accounts *accounts = context;
	enum err err = vouched ? account_table_apply_verified(accounts->table, record)
			       : account_table_apply(accounts->table, record);

	/* What only waits for its predecessor is the table's to keep. */
	return err == ERR_AUTH && account_table_keeps(accounts->table, record) ? ERR_OK : err;
}

static enum err each_record(void *context,
			    enum err (*visit)(void *visit_context, struct bytes record),
			    void *visit_context)
{
	return account_table_export(((struct accounts *)context)->table, visit, visit_context);
}

static WAITS enum err read_new(struct accounts *accounts)
{
	bool complete;

	accounts->stale = false;
	return journal_table_refresh(accounts->stream, &complete);
}

static void follow(void *context)
{
	struct accounts *accounts = context;

	while (!accounts->closing) {
		if (accounts->stale) {
			enum err err = read_new(accounts);

			if (err != ERR_OK) {
				env_log(sched_env(accounts->sched),
					"event=accounts-unreadable error=%s", err_name(err));
				accounts->stale = true;
				if (task_sleep(1000) != ERR_OK)
					break;
			}
		} else if (cond_wait(&accounts->changed, TASK_FOREVER) == ERR_CANCELED) {
			break;
		}
	}
	group_leave(&accounts->reader);
}

static void notify(struct journal_watch *watch)
{
	struct accounts *accounts = watch->context;

	accounts->stale = true;
	cond_broadcast(&accounts->changed);
}

static WAITS void destroy(struct accounts *accounts)
{
	journal_table_destroy(&accounts->stream);
	account_table_destroy(&accounts->table);
	memory_free(accounts);
}

static enum err create(const struct accounts_options *options, struct accounts **out)
{
	struct accounts *accounts = memory_allocate(sizeof(*accounts));
	const struct journal_table_options stream = {
		.sched = options->sched,
		.journal = options->journal,
		.table = TABLE_ACCOUNTS,
		.apply = apply_record,
		.each = each_record,
		.context = accounts,
		.signing = options->signing,
		.signer = options->node,
		.vouches = true,
		.authority = bytes_make(accounts != NULL ? accounts->authority : NULL,
					sizeof(accounts->authority)),
		.snapshot_after = options->snapshot_after,
		.passive = options->passive,
	};
	enum err err;

	if (accounts == NULL)
		return ERR_NOMEM;
	accounts->sched = options->sched;
	accounts->journal = options->journal;
	memcpy(accounts->authority, options->cluster.octets, sizeof(options->cluster.octets));
	memcpy(accounts->authority + sizeof(options->cluster.octets), options->admin_public,
	       PUBLIC_SIZE);
	accounts->watch = (struct journal_watch){
		.stream = table_stream(TABLE_ACCOUNTS), .notify = notify, .context = accounts};
	err = account_table_create(options->cluster, options->admin_public, &accounts->table);
	if (err == ERR_OK)
		err = journal_table_create(&stream, &accounts->stream);
	if (err != ERR_OK) {
		account_table_destroy(&accounts->table);
		memory_free(accounts);
		return err;
	}
	*out = accounts;
	return ERR_OK;
}

enum err accounts_open(const struct accounts_options *options, struct accounts **out)
{
	struct accounts *accounts;
	enum err err = create(options, &accounts);

	if (err != ERR_OK)
		return err;
	/* Watch before reading: what arrives in between is read twice rather than never. */
	journal_watch_start(options->journal, &accounts->watch);
	err = read_new(accounts);
	if (err == ERR_OK) {
		group_enter(&accounts->reader);
		err = task_spawn(options->sched, "accounts", follow, accounts, NULL);
		if (err != ERR_OK)
			group_leave(&accounts->reader);
	}
	if (err != ERR_OK) {
		journal_watch_stop(options->journal, &accounts->watch);
		destroy(accounts);
		return err;
	}
	*out = accounts;
	return ERR_OK;
}

void accounts_close(struct accounts **accounts)
{
	struct accounts *closing = *accounts;

	if (closing == NULL)
		return;
	*accounts = NULL;
	journal_watch_stop(closing->journal, &closing->watch);
	closing->closing = true;
	cond_broadcast(&closing->changed);
	group_wait(&closing->reader);
	destroy(closing);
}

const struct account_table *accounts_table(const struct accounts *accounts)
{
	return accounts->table;
}

const struct account_record *accounts_find(void *context, struct bytes normalised_address)
{
	const struct accounts *accounts = context;

	return account_table_find(accounts->table, normalised_address);
}

enum err accounts_publish(void *context, struct bytes record)
{
	struct accounts *accounts = context;
	enum err err = account_table_apply(accounts->table, record);

	/*
	 * Applied before it is durable: an address that is refused by a moment's failure is shown
	 * until the restart at worst, and the caller repeats the very same record.
	 */
	if (err == ERR_OK) {
		err = journal_table_append(accounts->stream, record);
		accounts->unpublished |= err != ERR_OK;
	}
	return err;
}

void accounts_get_status(const struct accounts *accounts, struct journal_table_status *out)
{
	journal_table_get_status(accounts->stream, out);
}

enum err accounts_verify(struct accounts *accounts, struct id128 *silent)
{
	struct journal_agreement agreement = {.manifest = ID128_ZERO};
	enum err err = ERR_STALE;

	*silent = ID128_ZERO;
	if (accounts->unpublished || accounts->stale)
		return ERR_STALE;
	err = journal_agree(accounts->journal, table_stream(TABLE_ACCOUNTS), &agreement);
	*silent = agreement.silent;
	if (err == ERR_OK &&
	    (accounts->stale || accounts->unpublished ||
	     !vector_covers(journal_table_seen(accounts->stream), &agreement.vector)))
		err = ERR_STALE;
	journal_agreement_finish(&agreement);
	return err;
}
