/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/journal_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/journal/entry.h"
#include "engine/journal/protocol.h"

#define CLUSTER ((struct id128){{1, 2, 3}})
#define NODE ((struct id128){{4, 5, 6}})

struct id128 store_volume(size_t index)
{
	return (struct id128){{7, (uint8_t)(index + 1)}};
}

struct id128 store_stream(unsigned number)
{
	struct id128 id = {{9}};

	store_u32(id.octets + 4, number);
	return id;
}

static const char *volume_path(size_t index)
{
	static const char *const paths[STORE_VOLUME_MAX] = {"/d0/v", "/d1/v", "/d2/v", "/d3/v"};

	return paths[index];
}

struct sim_disk *store_disk(struct store *store, size_t index)
{
	return sim_tree_disk_of(&store->node->tree, volume_path(index));
}

void store_init(struct store *store, struct sim *sim, size_t volume_count)
{

	*store = (struct store){.sim = sim,
				.node = sim->nodes[0],
				.volume_count = volume_count,
				.segment_size = 64 * 1024};
	sim_add_disk(store->node, "/index", NULL);
	for (size_t i = 0; i < volume_count; i++) {
		/* Different ones, so that they are not always done at the same instant. */
		const struct sim_disk_options disk = {.latency_us = 50, .sync_us = 300 + 200 * i};
		char path[32];

		snprintf(path, sizeof(path), "/d%zu", i);
		sim_add_disk(store->node, path, &disk);
	}
}

void store_format(struct store *store, size_t index)
{
	const struct volume_identity identity = {
		.cluster = CLUSTER, .node = NODE, .volume = store_volume(index)};

	(void)store;
	assert_int_equal(volume_format(volume_path(index), &identity), ERR_OK);
}

static void volume_changed(struct volume *volume, void *context)
{
	struct store *store = context;
	struct layout_volume *item = layout_find(&store->layout, volume_id(volume));

	item->failed = volume_state(volume) == VOLUME_FAILED;
	item->full = volume_state(volume) == VOLUME_FULL;
	if (store->journal != NULL)
		journal_layout_changed(store->journal);
}

static WAITS enum err open_volumes(struct store *store)
{
	for (size_t i = 0; i < store->volume_count; i++) {
		struct layout_volume item = {.volume = store_volume(i), .node = NODE, .weight = 1};
		enum err err = ERR_NOTFOUND;

		if (!store->absent[i])
			err = volume_open(task_sched(), volume_path(i), CLUSTER,
					  &store->volumes[store->opened]);
		if (err == ERR_CANCELED)
			return err;
		item.failed = err != ERR_OK;
		assert_int_equal(layout_put(&store->layout, &item), ERR_OK);
		if (err == ERR_OK)
			volume_watch(store->volumes[store->opened++], volume_changed, store);
	}
	return ERR_OK;
}

enum err store_open(struct store *store)
{
	enum err err;

	assert_int_equal(wire_create(task_sched(), &store->wire), ERR_OK);
	err = open_volumes(store);
	if (err == ERR_OK) {
		const struct journal_options options = {.sched = task_sched(),
							.wire = store->wire,
							.layout = &store->layout,
							.volumes = store->volumes,
							.volume_count = store->opened,
							.index_directory = "/index",
							.segment_size = store->segment_size};

		err = journal_open(&options, &store->journal);
	}
	if (err == ERR_OK)
		err = journal_writer_create(store->journal, NULL, NODE, &store->writer);
	if (err != ERR_OK)
		store_close(store);
	return err;
}

void store_close(struct store *store)
{
	struct journal *journal = store->journal;

	journal_writer_destroy(&store->writer);
	store->journal = NULL;
	journal_close(&journal);
	while (store->opened > 0)
		volume_close(&store->volumes[--store->opened]);
	wire_destroy(&store->wire);
	layout_finish(&store->layout);
}

void store_forget_indexes(struct store *store)
{
	struct env *env = sched_env(task_sched());

	for (size_t i = 0; i < store->volume_count; i++) {
		struct id128 id = store_volume(i);
		struct env_index *index = NULL;
		struct buf path = {0};

		buf_put_string(&path, "/index/journal-");
		for (size_t j = 0; j < sizeof(id.octets); j++)
			buf_printf(&path, "%02x", id.octets[j]);
		buf_put_u8(&path, '\0');
		assert_int_equal(env_index_open(env, (const char *)path.data, &index), ERR_OK);
		assert_int_equal(env_index_clear(env, index), ERR_OK);
		env_index_close(env, index);
		buf_finish(&path);
	}
}

struct payload {
	unsigned number;
	size_t size;
};

static enum err seal(void *context, const struct entry_place *place, struct buf *out)
{
	const struct payload *payload = context;
	size_t start = out->size;

	(void)place;
	do
		buf_printf(out, "%u.", payload->number);
	while (out->size - start < payload->size && out->err == ERR_OK);
	return out->err;
}

enum err store_append_at(struct store *store, struct journal_writer *writer, struct id128 stream,
			 uint64_t epoch, unsigned number, size_t size)
{
	struct payload payload = {number, size};
	struct journal_append append = {.stream = stream,
					.kind = epoch != 0 ? ENTRY_OPERATION : ENTRY_DELIVERY,
					.epoch = epoch,
					.seal = seal,
					.context = &payload};

	(void)store;
	return journal_append(writer, &append);
}

enum err store_append(struct store *store, struct id128 stream, unsigned number, size_t size)
{
	return store_append_at(store, store->writer, stream, 0, number, size);
}

struct raw_append {
	struct journal_append_call call;
	struct journal_item item;
};

enum err store_append_to(struct store *store, size_t volume, struct id128 stream, uint64_t seq,
			 const char *text)
{
	const struct entry entry = {.stream = stream,
				    .kind = ENTRY_DELIVERY,
				    .incarnation = {{77}},
				    .seq = seq,
				    .group = layout_group(stream)};
	struct raw_append *raw = calloc(1, sizeof(*raw));
	struct buf encoded = {0};
	struct shared *bytes;
	enum err err;

	assert_non_null(raw);
	entry_begin(&entry, &encoded);
	buf_put_string(&encoded, text);
	assert_int_equal(entry_end(&encoded, 0), ERR_OK);
	bytes = shared_create(encoded.size);
	assert_non_null(bytes);
	memcpy(bytes->data, encoded.data, encoded.size);
	raw->call.wire.operation = JOURNAL_APPEND;
	raw->call.wire.volume = store_volume(volume);
	raw->call.stream = entry.stream;
	raw->call.incarnation = entry.incarnation;
	raw->call.first_seq = seq;
	raw->call.count = 1;
	raw->call.items[0] = (struct journal_item){bytes, hash_128(bytes->data, bytes->size)};
	err = wire_wait(store->wire, &raw->call.wire);
	shared_release(&bytes);
	buf_finish(&encoded);
	free(raw);
	return err;
}

static enum err visit(void *context, const struct entry *entry)
{
	struct store_read *read = context;
	char text[16] = {0};

	memcpy(text, entry->payload.data,
	       entry->payload.size < sizeof(text) - 1 ? entry->payload.size : sizeof(text) - 1);
	assert_true(read->count < STORE_ENTRY_MAX);
	read->numbers[read->count++] = (unsigned)strtoul(text, NULL, 10);
	return ERR_OK;
}

enum err store_read(struct store *store, struct id128 stream, const struct vector *after,
		    struct store_read *out)
{
	bool more = true;
	enum err err = ERR_OK;

	out->count = 0;
	vector_finish(&out->seen);
	if (after != NULL)
		err = vector_copy(after, &out->seen);
	/* Small batches, so that going on is tried, too. */
	while (err == ERR_OK && more)
		err = journal_read(store->journal, stream,
				   after == NULL && out->seen.count == 0 ? NULL : &out->seen, 7,
				   visit, out, &out->seen, &out->complete, &more);
	return err;
}

bool store_read_has(const struct store_read *read, unsigned number)
{
	for (size_t i = 0; i < read->count; i++)
		if (read->numbers[i] == number)
			return true;
	return false;
}
