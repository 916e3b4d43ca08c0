/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Evacuation: fence, copy the union of what the members hold to a new set, seal
 * that, publish it as successor, remove the old columns. The old set stays whole
 * until the new one is certified, so being cut off costs a repetition only: the
 * new set names its predecessor and was born sealed, and unless it is complete
 * the next start removes it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

#define COPY_WINDOW (4u << 20)

/* A record of the old set, and the members that list it. */
struct item {
	struct column_entry entry;
	uint32_t holders;
};

struct evacuation {
	struct finish *finish;
	struct item *items;
	size_t count;
	uint64_t size; /* of all records */
	struct open_set *target;
	uint64_t in_flight; /* bytes */
	enum err err;
	struct cond changed;
};

/* ---- the union ---- */

static int compare_items(const void *left, const void *right)
{
	const struct column_entry *a = &((const struct item *)left)->entry;
	const struct column_entry *b = &((const struct item *)right)->entry;

	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return column_entry_compare(a->id, a->piece, b);
}

static enum err add_list(struct evacuation *evacuation, unsigned member,
			 const struct column_entry *entries, uint32_t count)
{
	struct item *items = memory_resize(evacuation->items,
					   (evacuation->count + count) * sizeof(*items));

	if (items == NULL)
		return ERR_NOMEM;
	evacuation->items = items;
	for (uint32_t i = 0; i < count; i++)
		items[evacuation->count++] =
			(struct item){.entry = entries[i], .holders = 1u << member};
	return ERR_OK;
}

static void unite(struct evacuation *evacuation)
{
	struct item *items = evacuation->items;
	size_t kept = 0;

	if (evacuation->count > 1)
		qsort(items, evacuation->count, sizeof(*items), compare_items);
	for (size_t i = 0; i < evacuation->count; i++) {
		if (kept > 0 && compare_items(&items[kept - 1], &items[i]) == 0) {
			items[kept - 1].holders |= items[i].holders;
			continue;
		}
		items[kept++] = items[i];
		evacuation->size += record_size(items[kept - 1].entry.payload_size);
	}
	evacuation->count = kept;
}

static WAITS enum err list_all(struct evacuation *evacuation)
{
	struct finish *finish = evacuation->finish;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		struct column_entry *entries;
		uint32_t count;
		enum err err;

		if (!finish->answers[i].answered)
			continue;
		err = fetch_list(finish, i, &entries, &count);
		if (err != ERR_OK)
			return err;
		err = add_list(evacuation, i, entries, count);
		memory_free(entries);
		if (err != ERR_OK)
			return err;
	}
	unite(evacuation);
	return ERR_OK;
}

/* ---- copying ---- */

struct copy {
	struct put put; /* first: what done() is given */
	struct evacuation *evacuation;
};

static void copied(struct put *put, enum err err)
{
	struct copy *copy = (struct copy *)put;
	struct evacuation *evacuation = copy->evacuation;

	evacuation->in_flight -= put->bytes->size;
	if (evacuation->err == ERR_OK)
		evacuation->err = err == ERR_STALE ? ERR_UNAVAILABLE : err;
	shared_release(&put->bytes);
	memory_free(copy);
	cond_broadcast(&evacuation->changed);
}

/* Not cut short while anything is under way: the copies point back here. */
static WAITS void drain(struct evacuation *evacuation, uint64_t left)
{
	while (evacuation->in_flight > left)
		if (cond_wait(&evacuation->changed, TASK_FOREVER) != ERR_OK)
			task_yield();
}

static WAITS enum err put_copy(struct evacuation *evacuation, const struct record *record,
			       struct shared *bytes)
{
	struct copy *copy = memory_allocate(sizeof(*copy));
	enum err err;

	if (copy == NULL) {
		shared_release(&bytes);
		return ERR_NOMEM;
	}
	copy->evacuation = evacuation;
	copy->put.record = *record;
	copy->put.bytes = bytes;
	copy->put.done = copied;
	if (evacuation->target->machine.state != SET_WRITER_OPEN) {
		err = ERR_UNAVAILABLE;
	} else {
		evacuation->in_flight += bytes->size;
		err = open_set_put(evacuation->target,
				   open_set_column(evacuation->target, &copy->put), &copy->put);
		if (err != ERR_OK)
			evacuation->in_flight -= bytes->size;
	}
	if (err != ERR_OK) {
		shared_release(&copy->put.bytes);
		memory_free(copy);
		return err;
	}
	drain(evacuation, COPY_WINDOW);
	return evacuation->err;
}

/* No copy is left that is valid: that is said where the record would be. */
static WAITS enum err put_lost(struct evacuation *evacuation, const struct column_entry *entry)
{
	struct finish *finish = evacuation->finish;
	struct shared *bytes = shared_create((size_t)record_size(0));
	struct record record = {.type = RECORD_LOST,
				.id = entry->id,
				.piece = entry->piece,
				.birth_set = finish->set};

	if (bytes == NULL)
		return ERR_NOMEM;
	memset(bytes->data, 0, bytes->size);
	record_hash_payload(&record, bytes_make(NULL, 0));
	finish->blobs->records_lost++;
	env_log(finish->blobs->env, "event=record-lost set=%016llx column=%u offset=%llu",
		(unsigned long long)finish->set, entry->column,
		(unsigned long long)entry->offset);
	return put_copy(evacuation, &record, bytes);
}

static WAITS enum err copy_item(struct evacuation *evacuation, const struct item *item)
{
	struct finish *finish = evacuation->finish;
	struct shared *bytes = NULL;
	struct record record;
	enum err err = ERR_NOTFOUND;

	for (unsigned i = 0; err != ERR_OK && i < profile_members(finish->profile); i++) {
		if ((item->holders >> i & 1) == 0)
			continue;
		err = fetch_record(finish, i, &item->entry, &bytes);
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		/* What does not answer may still have it. */
		if (err == ERR_IO || err == ERR_UNAVAILABLE)
			return ERR_UNAVAILABLE;
	}
	if (err != ERR_OK)
		return put_lost(evacuation, &item->entry);
	err = record_decode(bytes->data, &record);
	ASSERT(err == ERR_OK);
	return put_copy(evacuation, &record, bytes);
}

/* What lies between two records of a column, and is in no copy, was a record once. */
static WAITS enum err note_gap(struct evacuation *evacuation, size_t index)
{
	const struct item *item = &evacuation->items[index], *before = item - 1;
	struct column_entry gap = {.column = item->entry.column};

	if (index > 0 && before->entry.column == item->entry.column)
		gap.offset = before->entry.offset + record_size(before->entry.payload_size);
	if (item->entry.offset <= gap.offset)
		return ERR_OK;
	return put_lost(evacuation, &gap);
}

static WAITS enum err copy_all(struct evacuation *evacuation)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < evacuation->count; i++) {
		err = note_gap(evacuation, i);
		if (err == ERR_OK)
			err = copy_item(evacuation, &evacuation->items[i]);
	}
	drain(evacuation, 0);
	return err == ERR_OK ? evacuation->err : err;
}

/* ---- the new set ---- */

static WAITS enum err open_target(struct evacuation *evacuation)
{
	struct blobs *blobs = evacuation->finish->blobs;
	uint64_t capacity = blobs->options.column_size;
	uint8_t k = writer_profile(blobs).k;

	if (k == 0)
		return writer_shortage(blobs);
	/* It holds what the old one held, though that may have had more columns. */
	if (evacuation->size / k > capacity)
		capacity = evacuation->size / k + PIECE_SIZE;
	return open_set_create(blobs, &evacuation->finish->set, 1, capacity,
			       evacuation->size, &evacuation->target);
}

static WAITS enum err seal_target(struct evacuation *evacuation)
{
	struct open_set *target = evacuation->target;
	struct set_descriptor descriptor;
	struct finish *finish = memory_allocate(sizeof(*finish));
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	open_set_close(target);
	set_writer_descriptor(&target->machine, &descriptor);
	err = finish_load(evacuation->finish->blobs, target->header.set, finish);
	if (err == ERR_OK)
		err = finish_seal(finish, &descriptor);
	/* The old columns go next: any one certificate might be on the volume that fails then. */
	if (err == ERR_OK && !finish_is_complete(finish))
		err = ERR_UNAVAILABLE;
	memory_free(finish);
	return err == ERR_STALE || err == ERR_NOTFOUND ? ERR_UNAVAILABLE : err;
}

static WAITS enum err publish_successor(struct evacuation *evacuation)
{
	struct directory_record change = {.set = evacuation->finish->set};
	enum err err = directory_add_successor(&change, evacuation->target->header.set);

	if (err == ERR_OK)
		err = directory_store_publish(evacuation->finish->blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

/* Calls still under way to a slow member hold on to the set. */
static WAITS void release_target(struct evacuation *evacuation)
{
	while (evacuation->target->in_flight > 0)
		if (cond_wait(&evacuation->target->changed, TASK_FOREVER) != ERR_OK)
			task_yield();
	open_set_destroy(&evacuation->target);
}

static WAITS enum err copy_to_target(struct evacuation *evacuation)
{
	enum err err = open_target(evacuation);

	if (err != ERR_OK)
		return err;
	evacuation->target->finishing = true;
	err = copy_all(evacuation);
	if (err == ERR_OK)
		err = seal_target(evacuation);
	if (err == ERR_OK)
		err = publish_successor(evacuation);
	release_target(evacuation);
	return err;
}

/*
 * k fenced members cover every column, unless one has been sealed meanwhile: it may have given up
 * its mirror, and the set needs no evacuation any more.
 */
static bool is_covered(const struct finish *finish)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (finish->answers[i].sealed)
			return false;
	return finish->answered >= finish->profile.k || finish_all_known(finish);
}

enum err evacuate_set(struct finish *finish)
{
	struct evacuation evacuation = {.finish = finish};
	enum err err = finish_ask(finish, SET_FENCE);

	if (err == ERR_OK && !is_covered(finish))
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = list_all(&evacuation);
	if (err == ERR_OK && evacuation.count > 0)
		err = copy_to_target(&evacuation);
	if (err == ERR_OK)
		err = finish_remove(finish);
	if (err == ERR_OK) {
		finish->blobs->evacuations++;
		env_log(finish->blobs->env, "event=set-evacuated set=%016llx records=%zu",
			(unsigned long long)finish->set, evacuation.count);
	}
	memory_free(evacuation.items);
	return err;
}
