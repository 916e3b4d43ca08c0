/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/table.h"

#include <string.h>

#include "engine/base/map.h"
#include "engine/base/memory.h"
#include "engine/journal/stream.h"
#include "engine/journal/table_page.h"
#include "engine/plant.h"

/* Entries read in one go: bounds what a load holds in memory. */
#define READ_BATCH 4096u
/* A manifest may be replaced while its pages are read: then the new one is. */
#define LOAD_ATTEMPTS 4u
/* Entries that come before a snapshot that failed is tried again. */
#define RETRY_AFTER 100u
/* What counts is counted again when so much of it has come as entries since. */
#define COUNT_AGAIN 8u

struct refused {
	struct buf record;
	enum err why;
};

struct journal_table {
	struct journal_table_options options;
	struct journal_writer *writer;
	struct vector seen;
	struct id128 known[STREAM_MANIFEST_MAX]; /* manifests in the journal that were read */
	size_t known_count;
	uint64_t epoch;	     /* the highest of them */
	bool loaded, joined; /* several manifests stand side by side: one is to cover them */
	bool damaged;	     /* something was not read that a snapshot would do away with */
	bool busy;	     /* one reads at a time */
	struct cond idle;
	struct map refused; /* digest to struct refused */
	size_t refused_size;
	uint64_t since, due; /* entries beyond the snapshot; when to count what is live */
	struct group tasks;
	bool writing, closing;
	struct journal_table_status status;
};

static struct id128 stream_of(const struct journal_table *table)
{
	return table_stream(table->options.table);
}

static void log_event(const struct journal_table *table, const char *event, enum err err)
{
	env_log(sched_env(table->options.sched), "event=%s table=%d error=%s", event,
		(int)table->options.table, err_name(err));
}

/* ---- records ---- */

static void refused_destroy(struct refused *refused)
{
	buf_finish(&refused->record);
	memory_free(refused);
}

static enum err refuse(struct journal_table *table, struct bytes record, enum err why)
{
	uint8_t digest[DIGEST_SIZE];
	struct refused *kept;
	enum err err;

	digest_256(record, digest);
	if (map_get(&table->refused, digest) != NULL)
		return ERR_OK;
	log_event(table, "table-record-refused", why);
	if (record.size == 0 || table->refused_size + record.size > TABLE_REFUSED_MAX) {
		table->damaged = true;
		return ERR_OK;
	}
	kept = memory_allocate(sizeof(*kept));
	if (kept == NULL)
		return ERR_NOMEM;
	kept->why = why;
	buf_put_bytes(&kept->record, record);
	err = kept->record.err != ERR_OK ? kept->record.err
					 : map_put(&table->refused, digest, kept);
	if (err != ERR_OK) {
		refused_destroy(kept);
		return err;
	}
	table->refused_size += record.size;
	table->status.refused = table->refused.count;
	return ERR_OK;
}

static void forget_refused(struct journal_table *table, struct refused *refused)
{
	uint8_t digest[DIGEST_SIZE];

	digest_256(bytes_of_buf(&refused->record), digest);
	(void)map_remove(&table->refused, digest);
	table->refused_size -= refused->record.size;
	table->status.refused = table->refused.count;
	refused_destroy(refused);
}

/* Too much at once may be right when something else has come: as long as that helps. */
static enum err retry_refused(struct journal_table *table)
{
	struct refused *refused;
	size_t position = 0;
	enum err err = ERR_OK;

	while (err != ERR_NOMEM && (refused = map_next(&table->refused, &position, NULL)) != NULL) {
		if (refused->why != ERR_LIMIT)
			continue;
		err = table->options.apply(table->options.context, bytes_of_buf(&refused->record),
					   false);
		if (err != ERR_OK)
			continue;
		forget_refused(table, refused);
		position = 0;
	}
	return err == ERR_NOMEM ? err : ERR_OK;
}

static enum err apply(struct journal_table *table, struct bytes record, bool vouched)
{
	enum err err = table->options.apply(table->options.context, record, vouched);

	if (err == ERR_OK || err == ERR_NOMEM)
		return err;
	return refuse(table, record, err);
}

/* ---- snapshots into the table ---- */

struct found_manifest {
	struct id128 id;
	uint64_t epoch;
	struct vector vector;
	struct id128 *pages;
	size_t page_count;
	struct buf root;
};

struct found {
	struct found_manifest items[STREAM_MANIFEST_MAX];
	size_t count;
};

static void found_finish(struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		vector_finish(&found->items[i].vector);
		memory_free(found->items[i].pages);
		buf_finish(&found->items[i].root);
	}
}

static enum err take_manifest(void *context, const struct manifest *manifest)
{
	struct found *found = context;
	struct found_manifest *taken = &found->items[found->count];
	enum err err;

	if (found->count == STREAM_MANIFEST_MAX)
		return ERR_LIMIT;
	*taken = (struct found_manifest){.id = manifest->id, .epoch = manifest->epoch};
	taken->pages = memory_array(manifest->page_count, sizeof(*taken->pages));
	if (taken->pages == NULL)
		return ERR_NOMEM;
	found->count++;
	taken->page_count = manifest->page_count;
	if (manifest->page_count != 0)
		memcpy(taken->pages, manifest->pages, manifest->page_count * sizeof(*taken->pages));
	buf_put_bytes(&taken->root, manifest->payload);
	err = vector_copy(&manifest->vector, &taken->vector);
	return err != ERR_OK ? err : taken->root.err;
}

static struct table_root_place place_of(const struct journal_table *table, struct id128 manifest)
{
	return (struct table_root_place){table->options.authority, stream_of(table), manifest};
}

/* Whether this node has verified what the root names. */
static bool is_vouched(const struct journal_table *table, const struct table_root *root,
		       struct id128 manifest)
{
	const struct table_root_place place = place_of(table, manifest);
	uint8_t public_key[PUBLIC_SIZE];

	if (!table->options.vouches || table->options.signing == NULL ||
	    !id128_equal(root->voucher, table->options.signer))
		return false;
	sign_public(table->options.signing, public_key);
	return table_root_verify(root, &place, public_key) == ERR_OK;
}

struct loading {
	struct journal_table *table;
	bool vouched;
};

static enum err load_record(void *context, struct bytes record)
{
	struct loading *loading = context;

	loading->table->status.records_loaded++;
	loading->table->status.records_vouched += loading->vouched;
	return apply(loading->table, record, loading->vouched);
}

/* A damaged page must not hide the others; but nothing is written that would replace it. */
static WAITS enum err load_page(struct journal_table *table, const struct table_root *root,
				bool vouched, size_t index, struct id128 id)
{
	struct loading loading = {.table = table};
	struct buf page = {0};
	enum err err = journal_read_page(table->options.journal, stream_of(table), id, &page);

	if (err == ERR_OK) {
		loading.vouched = vouched && table_root_names(root, index, bytes_of_buf(&page));
		err = table_page_decode(bytes_of_buf(&page), load_record, &loading);
	}
	buf_finish(&page);
	if (err != ERR_CORRUPT)
		return err;
	log_event(table, "table-page-damaged", err);
	table->damaged = true;
	return ERR_OK;
}

static WAITS enum err load_manifest(struct journal_table *table,
				    const struct found_manifest *manifest)
{
	struct table_root root = {.voucher = ID128_ZERO};
	enum err err =
		table_root_decode(bytes_of_buf(&manifest->root), manifest->page_count, &root);
	bool vouched = err == ERR_OK && is_vouched(table, &root, manifest->id);

	/* Its records speak for themselves. */
	if (err == ERR_CORRUPT)
		err = ERR_OK;
	for (size_t i = 0; err == ERR_OK && i < manifest->page_count; i++)
		err = load_page(table, &root, vouched, i, manifest->pages[i]);
	return err == ERR_OK ? vector_merge(&table->seen, &manifest->vector) : err;
}

static bool is_known(const struct journal_table *table, struct id128 manifest)
{
	for (size_t i = 0; i < table->known_count; i++)
		if (id128_equal(table->known[i], manifest))
			return true;
	return false;
}

static WAITS enum err load_snapshots(struct journal_table *table)
{
	struct found *found = memory_allocate(sizeof(*found));
	enum err err;

	if (found == NULL)
		return ERR_NOMEM;
	err = journal_manifests(table->options.journal, stream_of(table), take_manifest, found);
	for (size_t i = 0; err == ERR_OK && i < found->count; i++)
		if (!is_known(table, found->items[i].id))
			err = load_manifest(table, &found->items[i]);
	for (size_t i = 0; err == ERR_OK && i < found->count; i++) {
		table->known[i] = found->items[i].id;
		if (found->items[i].epoch > table->epoch)
			table->epoch = found->items[i].epoch;
	}
	if (err == ERR_OK) {
		table->known_count = found->count;
		table->joined = found->count > 1;
		table->loaded = true;
		table->since = 0;
	}
	found_finish(found);
	memory_free(found);
	return err;
}

/* ---- entries ---- */

static enum err take_entry(void *context, const struct entry *entry)
{
	struct journal_table *table = context;
	enum err err = ERR_OK;

	/* Its own were counted when they were appended. */
	table->since += !id128_equal(entry->incarnation, journal_writer_incarnation(table->writer));
	table->status.entries_read++;
	if (entry->kind == ENTRY_TABLE)
		err = apply(table, entry->payload, false);
	else
		table->damaged = true;
	/* Only now: a snapshot stands for what is seen. */
	return err == ERR_OK ? vector_raise(&table->seen, entry->incarnation, entry->seq) : err;
}

static WAITS enum err read_entries(struct journal_table *table, bool *complete)
{
	bool more = true;
	enum err err = ERR_OK;

	while (err == ERR_OK && more)
		err = journal_read(table->options.journal, stream_of(table), &table->seen,
				   READ_BATCH, take_entry, table, NULL, complete, &more);
	return err;
}

static WAITS enum err read_all(struct journal_table *table, bool *complete)
{
	enum err err = ERR_STALE;

	for (unsigned i = 0; i < LOAD_ATTEMPTS && (err == ERR_STALE || err == ERR_NOTFOUND); i++) {
		bool replaced = i != 0 || !table->loaded;

		err = replaced ? load_snapshots(table) : ERR_OK;
		if (err == ERR_OK)
			err = read_entries(table, complete);
	}
	if (err == ERR_OK)
		err = retry_refused(table);
	return err == ERR_STALE || err == ERR_NOTFOUND ? ERR_UNAVAILABLE : err;
}

static WAITS enum err refresh(struct journal_table *table, bool *complete)
{
	enum err err = ERR_OK;

	while (table->busy && err == ERR_OK)
		err = cond_wait(&table->idle, TASK_FOREVER);
	if (err != ERR_OK)
		return err;
	table->busy = true;
	err = read_all(table, complete);
	table->busy = false;
	cond_broadcast(&table->idle);
	return err;
}

/* ---- the table into a snapshot ---- */

struct snapshot {
	struct journal_table *table;
	struct manifest_page *pages;
	struct buf *bodies; /* of the pages */
	struct id128 *ids;
	size_t count, capacity;
	uint64_t records;
};

static void snapshot_finish(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->count; i++)
		buf_finish(&snapshot->bodies[i]);
	memory_free(snapshot->bodies);
	memory_free(snapshot->pages);
	memory_free(snapshot->ids);
}

static enum err grow(struct snapshot *snapshot)
{
	size_t capacity = snapshot->capacity == 0 ? 4 : 2 * snapshot->capacity;
	struct buf *bodies = memory_resize(snapshot->bodies, capacity * sizeof(*bodies));

	if (bodies == NULL)
		return ERR_NOMEM;
	snapshot->bodies = bodies;
	snapshot->capacity = capacity;
	return ERR_OK;
}

static enum err add_record(void *context, struct bytes record)
{
	struct snapshot *snapshot = context;
	struct buf *body;

	if (PLANTED(table_record_left_out) && snapshot->records++ == 1)
		return ERR_OK;
	if (snapshot->count == 0 || snapshot->bodies[snapshot->count - 1].size >= TABLE_PAGE_FULL) {
		enum err err = snapshot->count == snapshot->capacity ? grow(snapshot) : ERR_OK;

		if (err != ERR_OK)
			return err;
		snapshot->bodies[snapshot->count] = (struct buf){0};
		table_page_begin(&snapshot->bodies[snapshot->count++]);
	}
	body = &snapshot->bodies[snapshot->count - 1];
	table_page_add(body, record);
	return body->err;
}

/* Does not wait: what the pages hold is one moment's state, that of `seen` at the least. */
static enum err collect(struct snapshot *snapshot)
{
	struct journal_table *table = snapshot->table;
	const struct refused *refused;
	size_t position = 0;
	enum err err = table->options.each(table->options.context, add_record, snapshot);

	while (err == ERR_OK && (refused = map_next(&table->refused, &position, NULL)) != NULL)
		err = add_record(snapshot, bytes_of_buf(&refused->record));
	return err;
}

static enum err name_pages(struct snapshot *snapshot)
{
	struct env *env = sched_env(snapshot->table->options.sched);

	snapshot->pages = memory_array(snapshot->count, sizeof(*snapshot->pages));
	snapshot->ids = memory_array(snapshot->count, sizeof(*snapshot->ids));
	if (snapshot->pages == NULL || snapshot->ids == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < snapshot->count; i++) {
		snapshot->ids[i] = env_random_id(env);
		snapshot->pages[i] = (struct manifest_page){
			.id = snapshot->ids[i], .payload = bytes_of_buf(&snapshot->bodies[i])};
	}
	return ERR_OK;
}

/* With an epoch above all others: replicas keep pages without a manifest for such only. */
static WAITS enum err put_snapshot(struct journal_table *table, struct snapshot *snapshot,
				   struct manifest *manifest)
{
	const struct table_root_place place = place_of(table, manifest->id);
	/* Nobody vouches for what was refused. */
	const struct key *signing =
		table->options.vouches && table->refused.count == 0 ? table->options.signing : NULL;
	struct buf root = {0};
	enum err err = name_pages(snapshot);

	if (err == ERR_OK)
		err = table_root_encode(&place, snapshot->pages, snapshot->count, signing,
					table->options.signer, &root);
	manifest->pages = snapshot->ids;
	manifest->page_count = snapshot->count;
	manifest->payload = bytes_of_buf(&root);
	if (err == ERR_OK)
		err = journal_put_manifest(table->options.journal, manifest, snapshot->pages,
					   snapshot->count);
	buf_finish(&root);
	return err;
}

static void note_snapshot(struct journal_table *table, const struct manifest *manifest,
			  uint64_t covered)
{
	table->known[0] = manifest->id;
	table->known_count = 1;
	table->epoch = manifest->epoch;
	table->joined = false;
	table->since -= covered;
	table->due = 0;
	table->status.snapshots++;
}

enum err journal_table_snapshot(struct journal_table *table)
{
	struct snapshot snapshot = {.table = table};
	struct manifest manifest = {
		.stream = stream_of(table),
		.id = env_random_id(sched_env(table->options.sched)),
		.incarnation = journal_writer_incarnation(table->writer),
	};
	uint64_t covered;
	bool complete;
	enum err err = refresh(table, &complete);

	if (err == ERR_OK && table->damaged)
		err = ERR_LIMIT;
	covered = table->since;
	manifest.epoch = table->epoch + 1;
	if (err == ERR_OK)
		err = vector_copy(&table->seen, &manifest.vector);
	if (err == ERR_OK)
		err = collect(&snapshot);
	if (err == ERR_OK)
		err = put_snapshot(table, &snapshot, &manifest);
	if (err == ERR_OK)
		note_snapshot(table, &manifest, covered);
	snapshot_finish(&snapshot);
	vector_finish(&manifest.vector);
	return err;
}

/* ---- when ---- */

static void write_snapshot(void *argument)
{
	struct journal_table *table = argument;
	enum err err = journal_table_snapshot(table);

	table->writing = false;
	if (err != ERR_OK) {
		table->due = table->since + RETRY_AFTER;
		if (err != ERR_CANCELED)
			log_event(table, "table-snapshot-failed", err);
	}
	group_leave(&table->tasks);
}

static enum err count_record(void *context, struct bytes record)
{
	uint64_t *count = context;

	(void)record;
	++*count;
	return ERR_OK;
}

static bool is_due(struct journal_table *table)
{
	uint64_t live = 0;

	if (table->joined && table->due == 0)
		return true;
	if (table->due < table->options.snapshot_after)
		table->due = table->options.snapshot_after;
	if (table->since <= table->due ||
	    table->options.each(table->options.context, count_record, &live) != ERR_OK)
		return false;
	if (table->since > live)
		return true;
	/* Counting costs as much as what counts: not after each entry. */
	table->due = live + live / COUNT_AGAIN;
	return false;
}

static void consider_snapshot(struct journal_table *table)
{
	if (table->options.passive || table->writing || table->closing || table->damaged ||
	    !table->loaded || !is_due(table))
		return;
	table->writing = true;
	group_enter(&table->tasks);
	if (task_spawn(table->options.sched, "table-snapshot", write_snapshot, table, NULL) ==
	    ERR_OK)
		return;
	table->writing = false;
	group_leave(&table->tasks);
}

enum err journal_table_refresh(struct journal_table *table, bool *complete)
{
	enum err err = refresh(table, complete);

	if (err == ERR_OK)
		consider_snapshot(table);
	return err;
}

/* ---- appending ---- */

static enum err seal_clear(void *context, const struct entry_place *place, struct buf *payload)
{
	const struct bytes *record = context;

	(void)place;
	buf_put_bytes(payload, *record);
	return payload->err;
}

enum err journal_table_append(struct journal_table *table, struct bytes record)
{
	struct journal_append append = {.stream = stream_of(table),
					.kind = ENTRY_TABLE,
					.seal = seal_clear,
					.context = &record};
	enum err err = journal_append(table->writer, &append);

	if (err == ERR_OK) {
		table->since++;
		consider_snapshot(table);
	}
	return err;
}

/* ---- life ---- */

enum err journal_table_create(const struct journal_table_options *options,
			      struct journal_table **out)
{
	struct journal_table *table = memory_allocate(sizeof(*table));
	enum err err;

	if (table == NULL)
		return ERR_NOMEM;
	table->options = *options;
	if (table->options.snapshot_after == 0)
		table->options.snapshot_after = TABLE_SNAPSHOT_AFTER;
	map_init(&table->refused, DIGEST_SIZE);
	/* Records that speak for themselves need no signature on the entry. */
	err = journal_writer_create(options->journal, options->vouches ? NULL : options->signing,
				    options->vouches ? ID128_ZERO : options->signer,
				    &table->writer);
	if (err != ERR_OK)
		memory_free(table);
	else
		*out = table;
	return err;
}

void journal_table_destroy(struct journal_table **table)
{
	struct journal_table *gone = *table;
	struct refused *refused;
	size_t position = 0;

	if (gone == NULL)
		return;
	*table = NULL;
	gone->closing = true;
	group_wait(&gone->tasks);
	journal_writer_destroy(&gone->writer);
	while ((refused = map_next(&gone->refused, &position, NULL)) != NULL)
		refused_destroy(refused);
	map_finish(&gone->refused);
	vector_finish(&gone->seen);
	memory_free(gone);
}

const struct vector *journal_table_seen(const struct journal_table *table)
{
	return &table->seen;
}

void journal_table_get_status(const struct journal_table *table, struct journal_table_status *out)
{
	*out = table->status;
}
