/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/account/accounts.h"

#include "engine/base/memory.h"
#include "engine/journal/audit.h"

/* Entries read in one go: bounds what a load holds in memory. */
#define READ_LIMIT 4096u

struct accounts {
	struct sched *sched;
	struct journal *journal;
	struct journal_writer *writer;
	struct account_table *table;
	struct vector seen;
	struct journal_watch watch;
	struct cond changed; /* the watch fired, or closing */
	struct group reader;
	bool stale, closing;
	bool unpublished; /* the table has what the stream may never get */
};

static enum err apply_entry(void *context, const struct entry *entry)
{
	struct accounts *accounts = context;
	enum err err = account_table_apply(accounts->table, entry->payload);

	/* A record that does not verify is the table's to log; the rest stays usable. */
	return err == ERR_NOMEM ? err : ERR_OK;
}

static enum err read_new(struct accounts *accounts)
{
	bool complete = false, more = true;
	enum err err = ERR_OK;

	accounts->stale = false;
	while (err == ERR_OK && more)
		err = journal_read(accounts->journal, table_stream(TABLE_ACCOUNTS), &accounts->seen,
				   READ_LIMIT, apply_entry, accounts, &accounts->seen, &complete,
				   &more);
	return err;
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

static void destroy(struct accounts *accounts)
{
	journal_writer_destroy(&accounts->writer);
	account_table_destroy(&accounts->table);
	vector_finish(&accounts->seen);
	memory_free(accounts);
}

enum err accounts_open(struct sched *sched, struct journal *journal, struct id128 cluster,
		       const uint8_t admin_public[PUBLIC_SIZE], struct accounts **out)
{
	struct accounts *accounts = memory_allocate(sizeof(*accounts));
	enum err err;

	if (accounts == NULL)
		return ERR_NOMEM;
	accounts->sched = sched;
	accounts->journal = journal;
	accounts->watch = (struct journal_watch){
		.stream = table_stream(TABLE_ACCOUNTS), .notify = notify, .context = accounts};
	err = account_table_create(cluster, admin_public, &accounts->table);
	if (err == ERR_OK)
		err = journal_writer_create(journal, NULL, ID128_ZERO, &accounts->writer);
	if (err != ERR_OK) {
		destroy(accounts);
		return err;
	}
	/* Watch before reading: what arrives in between is read twice rather than never. */
	journal_watch_start(journal, &accounts->watch);
	err = read_new(accounts);
	if (err == ERR_OK) {
		group_enter(&accounts->reader);
		err = task_spawn(sched, "accounts", follow, accounts, NULL);
		if (err != ERR_OK)
			group_leave(&accounts->reader);
	}
	if (err != ERR_OK) {
		journal_watch_stop(journal, &accounts->watch);
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

static enum err seal_clear(void *context, const struct entry_place *place, struct buf *payload)
{
	const struct bytes *record = context;

	(void)place;
	buf_put_bytes(payload, *record);
	return payload->err;
}

enum err accounts_publish(void *context, struct bytes record)
{
	struct accounts *accounts = context;
	struct journal_append append = {.stream = table_stream(TABLE_ACCOUNTS),
					.kind = ENTRY_TABLE,
					.seal = seal_clear,
					.context = &record};
	enum err err = account_table_apply(accounts->table, record);

	/*
	 * Applied before it is durable: an address that is refused by a moment's failure is shown
	 * until the restart at worst, and the caller repeats the very same record.
	 */
	if (err == ERR_OK) {
		err = journal_append(accounts->writer, &append);
		accounts->unpublished |= err != ERR_OK;
	}
	return err;
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
	if (err == ERR_OK && (accounts->stale || accounts->unpublished ||
			      !vector_covers(&accounts->seen, &agreement.vector)))
		err = ERR_STALE;
	journal_agreement_finish(&agreement);
	return err;
}
