/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The file: magic, u64 sets; for each its id, the milliseconds it has waited,
 * the bytes that are dead, counts of dead and of restored records, the first
 * octets of the ids of the dead, the ids of the restored; u64 streams; for each
 * id and milliseconds. At the end XXH3-64 of all before it.
 */
#include "engine/reclaim/quarantine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/io.h"

#define STATE_MAGIC 0x51555241u
#define STATE_SIZE_MAX ((size_t)64 * 1024 * 1024)

struct quarantined_set {
	uint64_t set, before_ms, since_ms; /* waited in earlier processes; and in this one since */
	uint64_t dead_size;
	uint64_t *dead; /* first octets of the ids, sorted */
	size_t dead_count;
	struct id128 *restored; /* read meanwhile */
	size_t restored_count;
	uint64_t round; /* in which it was confirmed last */
};

struct quarantined_stream {
	uint64_t before_ms, since_ms;
};

void quarantine_init(struct quarantine *quarantine, struct env *env, const char *path,
		     uint64_t wait_ms)
{
	*quarantine = (struct quarantine){.env = env, .path = path, .wait_ms = wait_ms};
	map_init(&quarantine->sets, sizeof(uint64_t));
	map_init(&quarantine->streams, sizeof(struct id128));
}

static uint64_t key_of(struct id128 id)
{
	return load_u64(id.octets);
}

static int compare_keys(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void item_free(struct quarantined_set *item)
{
	if (item == NULL)
		return;
	memory_free(item->dead);
	memory_free(item->restored);
	memory_free(item);
}

static struct quarantined_set *find(const struct quarantine *quarantine, uint64_t set)
{
	return map_get(&quarantine->sets, &set);
}

void quarantine_leave(struct quarantine *quarantine, uint64_t set)
{
	struct quarantined_set *item = map_remove(&quarantine->sets, &set);

	if (item == NULL)
		return;
	quarantine->record_count -= item->dead_count;
	quarantine->changed = true;
	item_free(item);
}

void quarantine_finish(struct quarantine *quarantine)
{
	struct quarantined_set *item;
	void *stream;
	size_t position = 0;

	while ((item = map_next(&quarantine->sets, &position, NULL)) != NULL)
		item_free(item);
	position = 0;
	while ((stream = map_next(&quarantine->streams, &position, NULL)) != NULL)
		memory_free(stream);
	map_finish(&quarantine->sets);
	map_finish(&quarantine->streams);
}

/* ---- coming ---- */

/* Takes the item over, in any case. */
static enum err add(struct quarantine *quarantine, struct quarantined_set *item)
{
	enum err err = quarantine->record_count + item->dead_count > QUARANTINE_RECORDS_MAX
			       ? ERR_LIMIT
			       : map_put(&quarantine->sets, &item->set, item);

	if (err != ERR_OK) {
		item_free(item);
		return err;
	}
	quarantine->record_count += item->dead_count;
	quarantine->changed = true;
	return ERR_OK;
}

enum err quarantine_begin(struct quarantine *quarantine, uint64_t set,
			  const struct compact_record *records, size_t count)
{
	struct quarantined_set *item = memory_allocate(sizeof(*item));

	if (item == NULL)
		return ERR_NOMEM;
	item->set = set;
	item->since_ms = env_now_ms(quarantine->env);
	item->round = quarantine->round;
	item->dead = memory_array(count, sizeof(*item->dead));
	if (item->dead == NULL) {
		memory_free(item);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		if (records[i].liveness != LIVENESS_DEAD)
			continue;
		item->dead[item->dead_count++] = key_of(records[i].entry.id);
		item->dead_size += record_size(records[i].entry.payload_size);
	}
	qsort(item->dead, item->dead_count, sizeof(*item->dead), compare_keys);
	return add(quarantine, item);
}

/* ---- waiting ---- */

static uint64_t waited_ms(const struct quarantine *quarantine, uint64_t before_ms,
			  uint64_t since_ms)
{
	return before_ms + (env_now_ms(quarantine->env) - since_ms);
}

static bool is_ripe(const struct quarantine *quarantine, const struct quarantined_set *item)
{
	return waited_ms(quarantine, item->before_ms, item->since_ms) >= quarantine->wait_ms;
}

bool quarantine_has(const struct quarantine *quarantine, uint64_t set)
{
	return find(quarantine, set) != NULL;
}

bool quarantine_is_ripe(const struct quarantine *quarantine, uint64_t set)
{
	const struct quarantined_set *item = find(quarantine, set);

	return item != NULL && is_ripe(quarantine, item);
}

bool quarantine_stream_is_ripe(struct quarantine *quarantine, struct id128 stream)
{
	struct quarantined_stream *item = map_get(&quarantine->streams, &stream);

	if (item == NULL) {
		item = memory_allocate(sizeof(*item));
		if (item == NULL)
			return false;
		item->since_ms = env_now_ms(quarantine->env);
		if (map_put(&quarantine->streams, &stream, item) != ERR_OK) {
			memory_free(item);
			return false;
		}
		quarantine->changed = true;
	}
	return waited_ms(quarantine, item->before_ms, item->since_ms) >= quarantine->wait_ms;
}

/* ---- reading ---- */

static bool is_dead(const struct quarantined_set *item, struct id128 id)
{
	const uint64_t key = key_of(id);

	return item->dead_count != 0 &&
	       bsearch(&key, item->dead, item->dead_count, sizeof(key), compare_keys) != NULL;
}

static bool is_restored(const struct quarantined_set *item, struct id128 id)
{
	for (size_t i = 0; i < item->restored_count; i++)
		if (id128_equal(item->restored[i], id))
			return true;
	return false;
}

static void restore(struct quarantine *quarantine, struct quarantined_set *item, struct id128 id)
{
	struct id128 *restored =
		memory_resize(item->restored, (item->restored_count + 1) * sizeof(*restored));

	quarantine->restored++;
	quarantine->changed = true;
	env_log(quarantine->env, "event=quarantined-blob-read alarm=1 set=%016llx",
		(unsigned long long)item->set);
	/* Without memory the whole set is taken out of danger. */
	if (restored == NULL) {
		quarantine_leave(quarantine, item->set);
		return;
	}
	item->restored = restored;
	restored[item->restored_count++] = id;
}

bool quarantine_note_read(struct quarantine *quarantine, struct id128 id)
{
	struct quarantined_set *item;
	size_t position = 0;

	while ((item = map_next(&quarantine->sets, &position, NULL)) != NULL) {
		if (!is_dead(item, id) || is_restored(item, id))
			continue;
		restore(quarantine, item, id);
		return true;
	}
	return false;
}

void quarantine_spare(const struct quarantine *quarantine, struct compact_record *records,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct quarantined_set *item;

		if (records[i].liveness != LIVENESS_DEAD)
			continue;
		item = find(quarantine, records[i].set);
		if (item == NULL || !is_dead(item, records[i].entry.id) ||
		    is_restored(item, records[i].entry.id))
			records[i].liveness = LIVENESS_LIVE;
	}
}

/* ---- rounds ---- */

void quarantine_round_begin(struct quarantine *quarantine)
{
	quarantine->round++;
}

void quarantine_confirm(struct quarantine *quarantine, uint64_t set)
{
	struct quarantined_set *item = find(quarantine, set);

	if (item != NULL)
		item->round = quarantine->round;
}

void quarantine_round_end(struct quarantine *quarantine)
{
	struct quarantined_set *item;
	size_t position = 0;

	while ((item = map_next(&quarantine->sets, &position, NULL)) != NULL) {
		if (item->round == quarantine->round)
			continue;
		quarantine_leave(quarantine, item->set);
		position = 0;
	}
}

void quarantine_get_sum(const struct quarantine *quarantine, struct quarantine_sum *out)
{
	const struct quarantined_set *item;
	size_t position = 0;

	*out = (struct quarantine_sum){.sets = quarantine->sets.count};
	while ((item = map_next(&quarantine->sets, &position, NULL)) != NULL) {
		if (is_ripe(quarantine, item))
			out->ripe += item->dead_size;
		else
			out->waiting += item->dead_size;
	}
}

/* ---- the file ---- */

static void put_set(const struct quarantine *quarantine, const struct quarantined_set *item,
		    struct buf *out)
{
	buf_put_u64(out, item->set);
	buf_put_u64(out, waited_ms(quarantine, item->before_ms, item->since_ms));
	buf_put_u64(out, item->dead_size);
	buf_put_u64(out, item->dead_count);
	buf_put_u64(out, item->restored_count);
	for (size_t i = 0; i < item->dead_count; i++)
		buf_put_u64(out, item->dead[i]);
	for (size_t i = 0; i < item->restored_count; i++)
		buf_put_id(out, item->restored[i]);
}

static void encode(const struct quarantine *quarantine, struct buf *out)
{
	const struct quarantined_set *item;
	const struct quarantined_stream *stream;
	const void *id;
	size_t position = 0;

	buf_put_u32(out, STATE_MAGIC);
	buf_put_u64(out, quarantine->sets.count);
	while ((item = map_next(&quarantine->sets, &position, NULL)) != NULL)
		put_set(quarantine, item, out);
	buf_put_u64(out, quarantine->streams.count);
	position = 0;
	while ((stream = map_next(&quarantine->streams, &position, &id)) != NULL) {
		buf_put(out, id, sizeof(struct id128));
		buf_put_u64(out, waited_ms(quarantine, stream->before_ms, stream->since_ms));
	}
	if (out->err == ERR_OK)
		buf_put_u64(out, hash_64(out->data, out->size));
}

/* Counts are checked against the bytes that are there before anything is allocated. */
static enum err take_set(struct quarantine *quarantine, struct cursor *cursor)
{
	struct quarantined_set *item = memory_allocate(sizeof(*item));

	if (item == NULL)
		return ERR_NOMEM;
	item->set = cursor_u64(cursor);
	item->before_ms = cursor_u64(cursor);
	item->since_ms = env_now_ms(quarantine->env);
	item->dead_size = cursor_u64(cursor);
	item->dead_count = (size_t)cursor_u64(cursor);
	item->restored_count = (size_t)cursor_u64(cursor);
	if (cursor->err != ERR_OK || find(quarantine, item->set) != NULL ||
	    item->dead_count > cursor_left(cursor) / sizeof(uint64_t) ||
	    item->restored_count > cursor_left(cursor) / sizeof(struct id128)) {
		memory_free(item);
		return ERR_CORRUPT;
	}
	item->dead = memory_array(item->dead_count + 1, sizeof(*item->dead));
	item->restored = memory_array(item->restored_count + 1, sizeof(*item->restored));
	if (item->dead == NULL || item->restored == NULL) {
		item_free(item);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < item->dead_count; i++)
		item->dead[i] = cursor_u64(cursor);
	for (size_t i = 0; i < item->restored_count; i++)
		item->restored[i] = cursor_id(cursor);
	return add(quarantine, item);
}

static enum err take_stream(struct quarantine *quarantine, struct cursor *cursor)
{
	struct id128 id = cursor_id(cursor);
	struct quarantined_stream *item;
	enum err err;

	if (cursor->err != ERR_OK || map_get(&quarantine->streams, &id) != NULL)
		return ERR_CORRUPT;
	item = memory_allocate(sizeof(*item));
	if (item == NULL)
		return ERR_NOMEM;
	item->before_ms = cursor_u64(cursor);
	item->since_ms = env_now_ms(quarantine->env);
	err = map_put(&quarantine->streams, &id, item);
	if (err != ERR_OK)
		memory_free(item);
	return err;
}

/* Whatever is taken before an error is as good as the rest. */
static void decode(struct quarantine *quarantine, struct bytes bytes)
{
	struct cursor cursor;
	enum err err = ERR_OK;

	if (bytes.size < 8 ||
	    load_u64(bytes.data + bytes.size - 8) != hash_64(bytes.data, bytes.size - 8))
		return;
	cursor = cursor_make(bytes_slice(bytes, 0, bytes.size - 8));
	if (cursor_u32(&cursor) != STATE_MAGIC)
		return;
	for (uint64_t left = cursor_u64(&cursor); err == ERR_OK && left > 0; left--)
		err = cursor.err != ERR_OK ? cursor.err : take_set(quarantine, &cursor);
	for (uint64_t left = cursor_u64(&cursor); err == ERR_OK && left > 0; left--)
		err = cursor.err != ERR_OK ? cursor.err : take_stream(quarantine, &cursor);
}

void quarantine_load(struct quarantine *quarantine)
{
	struct buf bytes = {0};

	/* Without a wait there is nothing to keep. */
	if (quarantine->path == NULL || quarantine->wait_ms == 0)
		return;
	if (io_read_file(quarantine->path, STATE_SIZE_MAX, &bytes) == ERR_OK)
		decode(quarantine, bytes_of_buf(&bytes));
	buf_finish(&bytes);
	quarantine->changed = false;
}

void quarantine_save(struct quarantine *quarantine)
{
	struct buf bytes = {0};
	enum err err;

	if (quarantine->path == NULL || quarantine->wait_ms == 0 ||
	    (!quarantine->changed && quarantine->sets.count == 0 && quarantine->streams.count == 0))
		return;
	quarantine->changed = false;
	encode(quarantine, &bytes);
	err = bytes.err;
	if (err == ERR_OK)
		err = io_replace_file(quarantine->path, bytes_of_buf(&bytes));
	/* What is not kept costs the wait once more. */
	if (err != ERR_OK && err != ERR_CANCELED)
		env_log(quarantine->env, "event=quarantine-not-kept err=%s", err_name(err));
	buf_finish(&bytes);
}
