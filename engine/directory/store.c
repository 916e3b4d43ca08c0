/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/directory/store.h"

#include <string.h>

#include "engine/base/map.h"
#include "engine/base/memory.h"

#define READ_BATCH 1024u

struct directory_store {
	struct env *env;
	struct journal *journal;
	struct journal_writer *writer;
	struct map records; /* set id to struct directory_record */
	struct vector seen;
	uint64_t version;
};

enum err directory_store_create(const struct directory_store_options *options,
				struct directory_store **out)
{
	struct directory_store *store = memory_allocate(sizeof(*store));
	enum err err = ERR_OK;

	if (store == NULL)
		return ERR_NOMEM;
	store->env = sched_env(options->sched);
	store->journal = options->journal;
	map_init(&store->records, sizeof(uint64_t));
	if (store->journal != NULL)
		err = journal_writer_create(store->journal, options->signing, options->signer,
					    &store->writer);
	if (err != ERR_OK)
		memory_free(store);
	else
		*out = store;
	return err;
}

void directory_store_destroy(struct directory_store **store)
{
	struct directory_record *record;
	size_t position = 0;

	if (*store == NULL)
		return;
	while ((record = map_next(&(*store)->records, &position, NULL)) != NULL) {
		directory_record_finish(record);
		memory_free(record);
	}
	map_finish(&(*store)->records);
	if ((*store)->writer != NULL)
		journal_writer_destroy(&(*store)->writer);
	vector_finish(&(*store)->seen);
	memory_free(*store);
	*store = NULL;
}

enum err directory_store_learn(struct directory_store *store, const struct directory_record *record)
{
	struct directory_record *present = map_get(&store->records, &record->set);
	bool alarming;
	enum err err;

	if (present == NULL) {
		present = memory_allocate(sizeof(*present));
		if (present == NULL)
			return ERR_NOMEM;
		present->set = record->set;
		err = map_put(&store->records, &record->set, present);
		if (err != ERR_OK) {
			memory_free(present);
			return err;
		}
	}
	alarming = directory_is_alarming(present);
	err = directory_record_merge(present, record);
	store->version++;
	if (!alarming && directory_is_alarming(present))
		env_log(store->env, "event=set-conflict set=%016llx births=%s seals=%u",
			(unsigned long long)present->set, present->conflict ? "differ" : "one",
			present->seals.count);
	return err;
}

static enum err take_entry(void *context, const struct entry *entry)
{
	struct directory_store *store = context;
	struct directory_record record;
	enum err err;

	if (entry->kind != ENTRY_TABLE)
		return ERR_OK;
	err = directory_record_decode(entry->payload, &record);
	/* One bad entry must not hide the others: the headers say the same. */
	if (err == ERR_CORRUPT || err == ERR_NEWER) {
		env_log(store->env, "event=directory-entry-bad err=%s", err_name(err));
		return ERR_OK;
	}
	if (err != ERR_OK)
		return err;
	err = directory_store_learn(store, &record);
	directory_record_finish(&record);
	return err;
}

enum err directory_store_refresh(struct directory_store *store, bool *complete)
{
	bool more = true;
	enum err err = ERR_OK;

	*complete = true;
	if (store->journal == NULL)
		return ERR_OK;
	while (err == ERR_OK && more) {
		struct vector after = {0};

		err = vector_copy(&store->seen, &after);
		if (err == ERR_OK)
			err = journal_read(store->journal, table_stream(TABLE_DIRECTORY), &after,
					   READ_BATCH, take_entry, store, &store->seen, complete,
					   &more);
		vector_finish(&after);
	}
	return err;
}

static enum err seal_change(void *context, const struct entry_place *place, struct buf *payload)
{
	(void)place;
	directory_record_encode(context, payload);
	return payload->err;
}

enum err directory_store_publish(struct directory_store *store,
				 const struct directory_record *change)
{
	struct directory_record copy = *change;
	struct journal_append append = {.stream = table_stream(TABLE_DIRECTORY),
					.kind = ENTRY_TABLE,
					.seal = seal_change,
					.context = &copy};
	enum err err = ERR_OK;

	if (store->journal != NULL)
		err = journal_append(store->writer, &append);
	return err == ERR_OK ? directory_store_learn(store, change) : err;
}

const struct directory_record *directory_store_get(const struct directory_store *store,
						   uint64_t set)
{
	return map_get(&store->records, &set);
}

const struct directory_record *directory_store_next(const struct directory_store *store,
						    size_t *position)
{
	return map_next(&store->records, position, NULL);
}

uint64_t directory_store_version(const struct directory_store *store)
{
	return store->version;
}
