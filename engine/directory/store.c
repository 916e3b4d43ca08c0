/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/directory/store.h"

#include <string.h>

#include "engine/base/map.h"
#include "engine/base/memory.h"
#include "engine/journal/table.h"

struct directory_store {
	struct env *env;
	struct journal_table *stream; /* NULL: without a journal */
	struct map records;	      /* set id to struct directory_record */
	uint64_t version;
};

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

static enum err apply_record(void *context, struct bytes encoded, bool vouched)
{
	struct directory_store *store = context;
	struct directory_record record;
	enum err err = directory_record_decode(encoded, &record);

	(void)vouched;
	/* One bad entry must not hide the others: the headers say the same. */
	if (err == ERR_CORRUPT || err == ERR_NEWER)
		env_log(store->env, "event=directory-entry-bad err=%s", err_name(err));
	if (err != ERR_OK)
		return err;
	err = directory_store_learn(store, &record);
	directory_record_finish(&record);
	return err;
}

/* What counts of a set is the join of all its records. */
static enum err each_record(void *context,
			    enum err (*visit)(void *visit_context, struct bytes record),
			    void *visit_context)
{
	const struct directory_store *store = context;
	const struct directory_record *record;
	struct buf encoded = {0};
	size_t position = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && (record = directory_store_next(store, &position)) != NULL) {
		buf_clear(&encoded);
		directory_record_encode(record, &encoded);
		err = encoded.err;
		if (err == ERR_OK)
			err = visit(visit_context, bytes_of_buf(&encoded));
	}
	buf_finish(&encoded);
	return err;
}

enum err directory_store_create(const struct directory_store_options *options,
				struct directory_store **out)
{
	struct directory_store *store = memory_allocate(sizeof(*store));
	const struct journal_table_options stream = {.sched = options->sched,
						     .journal = options->journal,
						     .table = TABLE_DIRECTORY,
						     .apply = apply_record,
						     .each = each_record,
						     .context = store,
						     .signing = options->signing,
						     .signer = options->signer,
						     .snapshot_after = options->snapshot_after,
						     .passive = options->passive};
	enum err err = ERR_OK;

	if (store == NULL)
		return ERR_NOMEM;
	store->env = sched_env(options->sched);
	map_init(&store->records, sizeof(uint64_t));
	if (options->journal != NULL)
		err = journal_table_create(&stream, &store->stream);
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
	journal_table_destroy(&(*store)->stream);
	while ((record = map_next(&(*store)->records, &position, NULL)) != NULL) {
		directory_record_finish(record);
		memory_free(record);
	}
	map_finish(&(*store)->records);
	memory_free(*store);
	*store = NULL;
}

enum err directory_store_refresh(struct directory_store *store, bool *complete)
{
	*complete = true;
	return store->stream != NULL ? journal_table_refresh(store->stream, complete) : ERR_OK;
}

enum err directory_store_publish(struct directory_store *store,
				 const struct directory_record *change)
{
	struct buf encoded = {0};
	enum err err;

	if (store->stream == NULL)
		return directory_store_learn(store, change);
	directory_record_encode(change, &encoded);
	err = encoded.err;
	if (err == ERR_OK)
		err = journal_table_append(store->stream, bytes_of_buf(&encoded));
	buf_finish(&encoded);
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
