/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/journal/entry.h"
#include "engine/journal/protocol.h"
#include "tests/support/journal_fixture.h"

struct world {
	struct sim *sim;
	struct store store;
	struct store_read read;
};

static struct world *world_start(size_t volume_count)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->sim = sim_simple();
	store_init(&world->store, world->sim, volume_count);
	return world;
}

static void world_run(struct world *world, void (*run)(void *argument))
{
	assert_int_equal(sim_run_task(world->sim, run, world), ERR_OK);
}

static void world_finish(struct world *world)
{
	vector_finish(&world->read.seen);
	sim_finish(&world->sim);
	free(world);
}

static void world_format(struct world *world)
{
	for (size_t i = 0; i < world->store.volume_count; i++)
		store_format(&world->store, i);
}

/* ---- the plain way ---- */

static void assert_sequence(struct world *world, struct id128 stream, unsigned count)
{
	assert_int_equal(store_read(&world->store, stream, NULL, &world->read), ERR_OK);
	assert_true(world->read.complete);
	assert_int_equal(world->read.count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(world->read.numbers[i], i);
}

static void append_and_read(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(store_append(store, store_stream(1), i, i * 100), ERR_OK);
	assert_sequence(world, store_stream(1), 20);
	assert_sequence(world, store_stream(2), 0);
	store_close(store);
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 20);
	store_close(store);
}

static void test_append_and_read(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, append_and_read);
	world_finish(world);
}

/* ---- many at once ---- */

struct deliverer {
	struct world *world;
	unsigned stream, first, count;
	struct group *group;
};

static void deliver(void *argument)
{
	struct deliverer *deliverer = argument;

	for (unsigned i = 0; i < deliverer->count; i++)
		assert_int_equal(store_append(&deliverer->world->store,
					      store_stream(deliverer->stream), deliverer->first + i,
					      900),
				 ERR_OK);
	group_leave(deliverer->group);
}

static void spawn_deliverers(struct world *world, struct deliverer *deliverers, unsigned count)
{
	struct group group = {0};

	for (unsigned i = 0; i < count; i++) {
		deliverers[i].world = world;
		deliverers[i].group = &group;
		group_enter(&group);
		assert_int_equal(task_spawn(task_sched(), "deliver", deliver, &deliverers[i], NULL),
				 ERR_OK);
	}
	group_wait(&group);
}

static uint64_t sync_count(struct world *world)
{
	uint64_t count = 0;

	for (size_t i = 0; i < world->store.volume_count; i++)
		count += store_disk(&world->store, i)->counters.syncs;
	return count;
}

static void deliver_to_many(void *argument)
{
	static struct deliverer deliverers[64];
	struct world *world = argument;
	uint64_t syncs;

	world_format(world);
	world->store.segment_size = 16u << 20;
	assert_int_equal(store_open(&world->store), ERR_OK);
	for (unsigned i = 0; i < 64; i++)
		deliverers[i] = (struct deliverer){.stream = i, .count = 10};
	syncs = sync_count(world);
	spawn_deliverers(world, deliverers, 64);
	syncs = sync_count(world) - syncs;
	/* 640 deliveries in rounds of 64, each one sync a volume; the slower volume lags by one. */
	assert_true(syncs <= 640 / 4);
	for (unsigned i = 0; i < 64; i++)
		assert_sequence(world, store_stream(i), 10);
	store_close(&world->store);
}

static void test_deliveries_share_their_syncs(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, deliver_to_many);
	world_finish(world);
}

static void deliver_to_one(void *argument)
{
	static struct deliverer deliverers[100];
	struct world *world = argument;
	uint64_t syncs;

	world_format(world);
	assert_int_equal(store_open(&world->store), ERR_OK);
	for (unsigned i = 0; i < 100; i++)
		deliverers[i] = (struct deliverer){.stream = 1, .first = i * 5, .count = 5};
	syncs = sync_count(world);
	spawn_deliverers(world, deliverers, 100);
	assert_true(sync_count(world) - syncs <= 500 / 2);
	assert_int_equal(store_read(&world->store, store_stream(1), NULL, &world->read), ERR_OK);
	assert_int_equal(world->read.count, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_true(store_read_has(&world->read, i));
	store_close(&world->store);
}

static void test_one_stream_is_batched(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, deliver_to_one);
	world_finish(world);
}

/* ---- volumes that go and come ---- */

static void lose_one(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(store_append(store, store_stream(1), i, 500), ERR_OK);
	store_close(store);
	for (size_t gone = 0; gone < 3; gone++) {
		struct store_read *read = &world->read;

		memset(store->absent, 0, sizeof(store->absent));
		store->absent[gone] = true;
		assert_int_equal(store_open(store), ERR_OK);
		assert_int_equal(store_read(store, store_stream(1), NULL, read), ERR_OK);
		assert_true(read->complete);
		assert_int_equal(read->count, 5 + gone);
		assert_int_equal(store_append(store, store_stream(1), 5 + (unsigned)gone, 500),
				 ERR_OK);
		store_close(store);
	}
	/* With one volume there is reading, possibly incomplete, and no appending. */
	store->absent[0] = store->absent[1] = true;
	store->absent[2] = false;
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(store_read(store, store_stream(1), NULL, &world->read), ERR_OK);
	assert_false(world->read.complete);
	assert_int_equal(store_append(store, store_stream(1), 9, 500), ERR_UNAVAILABLE);
	store_close(store);
	/* All back: whoever lacks something gets it. */
	memset(store->absent, 0, sizeof(store->absent));
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(journal_resync(store->journal), ERR_OK);
	store_close(store);
	for (size_t only = 0; only < 3; only++) {
		for (size_t i = 0; i < 3; i++)
			store->absent[i] = i != only;
		assert_int_equal(store_open(store), ERR_OK);
		assert_int_equal(store_read(store, store_stream(1), NULL, &world->read), ERR_OK);
		for (unsigned i = 0; i < 8; i++)
			assert_true(store_read_has(&world->read, i));
		store_close(store);
	}
}

static void test_volumes_go_and_come_back(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, lose_one);
	world_finish(world);
}

static void replace_one(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(store_append(store, store_stream(i % 5), i, 300), ERR_OK);
	store_close(store);
	/* The same id on an empty disk: the others remember that it held more. */
	assert_int_equal(sim_tree_remove_all(&store->node->tree, "/d1/v"), ERR_OK);
	store_format(store, 1);
	store->absent[0] = true;
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(store_read(store, store_stream(1), NULL, &world->read), ERR_OK);
	assert_false(world->read.complete);
	store_close(store);
	store->absent[0] = false;
	assert_int_equal(store_open(store), ERR_OK);
	store_close(store);
	/* Now it has been filled and counts: another may go. */
	store->absent[2] = true;
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(store_read(store, store_stream(i), NULL, &world->read), ERR_OK);
		assert_true(world->read.complete);
		assert_int_equal(world->read.count, 10);
	}
	store_close(store);
}

static void test_an_emptied_volume_does_not_count(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, replace_one);
	world_finish(world);
}

/* ---- what all hold ---- */

static void what_all_hold(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	struct vector stable = {0}, known = {0};
	struct id128 first;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	first = journal_writer_incarnation(store->writer);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(store_append(store, store_stream(1), i, 500), ERR_OK);
	assert_int_equal(journal_resync(store->journal), ERR_OK);
	assert_int_equal(journal_stable(store->journal, store_stream(1), &stable, &known), ERR_OK);
	assert_int_equal(vector_get(&stable, first), 3);
	assert_int_equal(vector_get(&known, first), 3);
	store_close(store);
	vector_finish(&stable);
	vector_finish(&known);
	/* With a volume away nobody knows what it has. */
	store->absent[1] = true;
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(store_append(store, store_stream(1), 3, 500), ERR_OK);
	assert_int_equal(journal_stable(store->journal, store_stream(1), &stable, &known),
			 ERR_UNAVAILABLE);
	store_close(store);
	vector_finish(&stable);
	vector_finish(&known);
	/* It is back, and has been told. */
	store->absent[1] = false;
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(journal_resync(store->journal), ERR_OK);
	assert_int_equal(journal_stable(store->journal, store_stream(1), &stable, &known), ERR_OK);
	assert_int_equal(vector_get(&stable, first), 3);
	assert_true(vector_covers(&stable, &known));
	assert_int_equal(known.count, 2);
	store_close(store);
	vector_finish(&stable);
	vector_finish(&known);
}

static void test_what_all_hold(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, what_all_hold);
	world_finish(world);
}

/* ---- epochs ---- */

static void fence(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	struct id128 first_home = {{1}}, second_home = {{2}};
	struct journal_writer *second;
	struct promise_result result;
	uint64_t epoch;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(journal_epoch(store->journal, store_stream(1), &epoch), ERR_OK);
	assert_int_equal(epoch, 0);
	assert_int_equal(journal_promise(store->journal, store_stream(1), 5, first_home, &result),
			 ERR_OK);
	assert_int_equal(result.promised, 5);
	assert_int_equal(store_append_at(store, store->writer, store_stream(1), 5, 0, 100), ERR_OK);
	/* Another home needs a higher one. */
	assert_int_equal(journal_promise(store->journal, store_stream(1), 5, second_home, &result),
			 ERR_FENCED);
	assert_int_equal(result.promised, 5);
	assert_int_equal(journal_promise(store->journal, store_stream(1), 5, first_home, &result),
			 ERR_OK);
	assert_int_equal(journal_promise(store->journal, store_stream(1), 6, second_home, &result),
			 ERR_OK);
	assert_int_equal(store_append_at(store, store->writer, store_stream(1), 5, 1, 100),
			 ERR_FENCED);
	/* Its lane is dead, other streams are not. */
	assert_int_equal(store_append_at(store, store->writer, store_stream(1), 6, 1, 100),
			 ERR_FENCED);
	assert_int_equal(store_append_at(store, store->writer, store_stream(2), 5, 2, 100), ERR_OK);
	assert_int_equal(journal_writer_create(store->journal, NULL, second_home, &second), ERR_OK);
	assert_int_equal(store_append_at(store, second, store_stream(1), 6, 3, 100), ERR_OK);
	/* Deliveries are never fenced. */
	assert_int_equal(store_append_at(store, second, store_stream(1), 0, 4, 100), ERR_OK);
	journal_writer_destroy(&second);
	store_close(store);
	/* A promise is durable. */
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(journal_epoch(store->journal, store_stream(1), &epoch), ERR_OK);
	assert_int_equal(epoch, 6);
	assert_int_equal(store_append_at(store, store->writer, store_stream(1), 5, 5, 100),
			 ERR_FENCED);
	assert_int_equal(store_read(store, store_stream(1), NULL, &world->read), ERR_OK);
	assert_int_equal(world->read.count, 3);
	assert_false(store_read_has(&world->read, 1));
	assert_false(store_read_has(&world->read, 5));
	store_close(store);
}

static void test_lower_epochs_are_fenced(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, fence);
	world_finish(world);
}

/* ---- manifests ---- */

struct found {
	struct id128 ids[4];
	struct vector vectors[4];
	size_t count;
};

static enum err find_manifest(void *context, const struct manifest *manifest)
{
	struct found *found = context;

	assert_true(found->count < 4);
	found->ids[found->count] = manifest->id;
	assert_int_equal(vector_copy(&manifest->vector, &found->vectors[found->count]), ERR_OK);
	found->count++;
	return ERR_OK;
}

static void found_finish(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		vector_finish(&found->vectors[i]);
	*found = (struct found){.count = 0};
}

/* A manifest over all that the stream holds now, of one new page and one reused (may be zero). */
static enum err put_manifest(struct world *world, struct id128 stream, unsigned number,
			     struct id128 reused)
{
	struct id128 pages[2] = {{{number & 0xff, 1}}, reused};
	struct manifest_page page = {.id = pages[0], .payload = bytes_string("page of state")};
	struct manifest manifest = {.stream = stream,
				    .id = {{number & 0xff, 2}},
				    .incarnation = {{3}},
				    .epoch = number,
				    .pages = pages,
				    .page_count = id128_is_zero(reused) ? 1 : 2,
				    .payload = bytes_string("roots")};
	struct vector after = {0};
	struct found found = {.count = 0};
	enum err err;

	assert_int_equal(journal_manifests(world->store.journal, stream, find_manifest, &found),
			 ERR_OK);
	for (size_t i = 0; i < found.count; i++)
		assert_int_equal(vector_merge(&after, &found.vectors[i]), ERR_OK);
	assert_int_equal(store_read(&world->store, stream, &after, &world->read), ERR_OK);
	manifest.vector = world->read.seen;
	err = journal_put_manifest(world->store.journal, &manifest, &page, 1);
	found_finish(&found);
	vector_finish(&after);
	return err;
}

static uint64_t stored_bytes(struct world *world)
{
	struct journal_status status;

	journal_get_status(world->store.journal, &status);
	return status.bytes;
}

static void assert_page(struct world *world, struct id128 stream, struct id128 page,
			enum err expected)
{
	struct buf payload = {0};

	assert_int_equal(journal_read_page(world->store.journal, stream, page, &payload), expected);
	if (expected == ERR_OK)
		assert_true(bytes_equal(bytes_of_buf(&payload), bytes_string("page of state")));
	buf_finish(&payload);
}

static void assert_manifest(struct world *world, struct id128 stream, unsigned number)
{
	struct found found = {.count = 0};
	struct id128 id = {{number & 0xff, 2}};

	assert_int_equal(journal_manifests(world->store.journal, stream, find_manifest, &found),
			 ERR_OK);
	assert_int_equal(found.count, 1);
	assert_true(id128_equal(found.ids[0], id));
	assert_int_equal(store_read(&world->store, stream, &found.vectors[0], &world->read),
			 ERR_OK);
	found_finish(&found);
}

static void truncate(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	struct id128 stream = store_stream(1), kept = store_stream(2);
	struct vector nothing = {0};
	struct id128 page1 = {{1, 1}}, page2 = {{2, 1}};
	uint64_t before;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(store_append(store, kept, i, 1000), ERR_OK);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(store_append(store, stream, i, 2000), ERR_OK);
	before = stored_bytes(world);
	assert_int_equal(put_manifest(world, stream, 1, ID128_ZERO), ERR_OK);
	assert_manifest(world, stream, 1);
	assert_int_equal(world->read.count, 0);
	/* Who starts from before it must load it first. */
	assert_int_equal(store_read(store, stream, &nothing, &world->read), ERR_STALE);
	assert_int_equal(store_append(store, stream, 400, 100), ERR_OK);
	assert_int_equal(put_manifest(world, stream, 2, page1), ERR_OK);
	assert_int_equal(store_append(store, stream, 401, 100), ERR_OK);
	assert_manifest(world, stream, 2);
	assert_int_equal(world->read.count, 1);
	assert_int_equal(world->read.numbers[0], 401);
	assert_page(world, stream, page1, ERR_OK);
	/* A page that is not named any more goes, on the slowest volume a little later. */
	assert_int_equal(put_manifest(world, stream, 3, page2), ERR_OK);
	assert_int_equal(task_sleep(100), ERR_OK);
	assert_page(world, stream, page1, ERR_NOTFOUND);
	assert_page(world, stream, page2, ERR_OK);
	{
		struct journal_status status;

		journal_get_status(store->journal, &status);
		assert_int_equal(status.truncated, 3 * 402);
		assert_int_equal(status.entries, 3 * 10);
	}
	/* The space comes back, and what is live was written forward. */
	assert_int_equal(task_sleep(100000), ERR_OK);
	assert_true(stored_bytes(world) < before / 4);
	assert_sequence(world, kept, 10);
	store_close(store);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(store_open(store), ERR_OK);
		assert_manifest(world, stream, 3);
		assert_int_equal(world->read.count, 0);
		assert_page(world, stream, page2, ERR_OK);
		assert_sequence(world, kept, 10);
		store_close(store);
		/* The same again from the segments alone. */
		store_forget_indexes(store);
	}
}

static void test_manifests_truncate(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, truncate);
	world_finish(world);
}

/* ---- what goes wrong ---- */

static enum err append_raw(struct world *world, size_t volume, uint64_t seq, const char *text)
{
	return store_append_to(&world->store, volume, store_stream(1), seq, text);
}

static void conflict(void *argument)
{
	struct world *world = argument;

	world_format(world);
	assert_int_equal(store_open(&world->store), ERR_OK);
	assert_int_equal(append_raw(world, 0, 1, "1.one"), ERR_OK);
	assert_int_equal(append_raw(world, 0, 1, "1.one"), ERR_OK);
	assert_int_equal(append_raw(world, 0, 1, "1.two"), ERR_CONFLICT);
	/* One behind a gap is refused, and not kept. */
	assert_int_equal(append_raw(world, 0, 3, "3"), ERR_STALE);
	assert_int_equal(append_raw(world, 0, 2, "2"), ERR_OK);
	assert_int_equal(append_raw(world, 0, 3, "3.other"), ERR_OK);
	store_close(&world->store);
	assert_int_equal(store_open(&world->store), ERR_OK);
	assert_int_equal(append_raw(world, 0, 1, "1.two"), ERR_CONFLICT);
	/* By now it is on the others, too. */
	assert_int_equal(append_raw(world, 1, 3, "3.another"), ERR_CONFLICT);
	assert_int_equal(store_read(&world->store, store_stream(1), NULL, &world->read), ERR_OK);
	assert_int_equal(world->read.count, 3);
	store_close(&world->store);
}

static void test_other_bytes_are_refused(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, conflict);
	world_finish(world);
}

/* Flips a bit in the middle of each of the segments of a volume, on the disk. */
static void damage_segments(struct world *world, size_t volume)
{
	char folder[32], path[64];
	struct buf names = {0};

	(void)world;
	snprintf(folder, sizeof(folder), "/d%zu/v/journal", volume % 10);
	assert_int_equal(io_list(folder, &names), ERR_OK);
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		struct env_file *file = NULL;
		struct env_stat stat;
		uint8_t octet;

		snprintf(path, sizeof(path), "%s/%.20s", folder, (char *)names.data + at);
		assert_int_equal(io_open(path, ENV_OPEN_WRITE, &file), ERR_OK);
		assert_int_equal(io_stat_file(file, &stat), ERR_OK);
		if (stat.size > 16384) {
			assert_int_equal(io_read_exact(file, stat.size / 2, &octet, 1), ERR_OK);
			octet ^= 4;
			assert_int_equal(io_write_sync(file, stat.size / 2, bytes_make(&octet, 1)),
					 ERR_OK);
		}
		io_close(&file);
	}
	buf_finish(&names);
}

static void rot(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(store_append(store, store_stream(1), i, 1000), ERR_OK);
	for (size_t volume = 0; volume < 3; volume++) {
		/*
		 * Found when it is read, and mended from the others. Nothing is missing, but who
		 * has lost something does not vouch for that until it is mended.
		 */
		damage_segments(world, volume);
		assert_int_equal(store_read(store, store_stream(1), NULL, &world->read), ERR_OK);
		assert_int_equal(world->read.count, 200);
		if (volume == 1) {
			store_close(store);
			assert_int_equal(store_open(store), ERR_OK);
		}
		assert_int_equal(journal_resync(store->journal), ERR_OK);
		assert_sequence(world, store_stream(1), 200);
	}
	store_close(store);
	store_forget_indexes(store);
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 200);
	store_close(store);
}

static void test_damage_is_mended_from_the_others(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, rot);
	world_finish(world);
}

/* Errors that pass are no damage: what is damaged is forgotten, and does not count for a while. */
static void hiccup(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(store_append(store, store_stream(1), i, 1000), ERR_OK);
	for (size_t volume = 0; volume < 3; volume++)
		for (uint64_t nth = 1; nth <= 4; nth++)
			sim_plan_fault(store_disk(store, volume), SIM_STEP_READ, nth,
				       SIM_FAULT_READ_ERROR);
	assert_sequence(world, store_stream(1), 50);
	assert_sequence(world, store_stream(1), 50);
	for (size_t volume = 0; volume < 3; volume++)
		sim_stop_faults(store_disk(store, volume));
	store_close(store);
}

static void test_a_passing_read_error_is_no_damage(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, hiccup);
	world_finish(world);
}

static void fail_a_sync(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	unsigned number = 0;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (; number < 10; number++)
		assert_int_equal(store_append(store, store_stream(1), number, 300), ERR_OK);
	sim_plan_fault(store_disk(store, 2), SIM_STEP_SYNC, 3, SIM_FAULT_SYNC_FAILURE);
	for (; number < 30; number++)
		assert_int_equal(store_append(store, store_stream(1), number, 300), ERR_OK);
	assert_sequence(world, store_stream(1), 30);
	store_close(store);
	assert_int_equal(store_open(store), ERR_OK);
	assert_int_equal(journal_resync(store->journal), ERR_OK);
	assert_sequence(world, store_stream(1), 30);
	store_close(store);
	/* It was brought up to date: it may stand in for another. */
	store->absent[0] = true;
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 30);
	store_close(store);
}

static void test_a_failed_sync_fails_the_volume(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, fail_a_sync);
	world_finish(world);
}

static void lag(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	struct journal_status status;

	world_format(world);
	store->segment_size = 4u << 20;
	assert_int_equal(store_open(store), ERR_OK);
	store_disk(store, 1)->slow_factor = 1000;
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(store_append(store, store_stream(1), i, 1000), ERR_OK);
	store_disk(store, 1)->slow_factor = 1;
	assert_int_equal(task_sleep(5000), ERR_OK);
	assert_int_equal(journal_resync(store->journal), ERR_OK);
	journal_get_status(store->journal, &status);
	assert_int_equal(status.lagging, 0);
	assert_int_equal(status.volumes_tolerated, 1);
	store_close(store);
	store->absent[0] = true;
	assert_int_equal(store_open(store), ERR_OK);
	assert_sequence(world, store_stream(1), 300);
	store_close(store);
}

static void test_a_slow_volume_catches_up(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, lag);
	world_finish(world);
}

/* ---- no memory, no space ---- */

static void starve(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	bool acknowledged[600] = {false};
	unsigned number = 0, failures = 0;
	uint64_t limit = 0;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	/* The first allocation fails, the second, and so on, until an append needs fewer. */
	for (; number < 600 && limit < 300; number++, limit++) {
		enum err err;

		memory_fail_after(limit);
		err = store_append(store, store_stream(number % 3), number, 200);
		memory_fail_after(UINT64_MAX);
		acknowledged[number] = err == ERR_OK;
		failures += err != ERR_OK;
	}
	assert_true(failures > 3);
	store_close(store);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned stream = 0; stream < 3; stream++) {
		assert_int_equal(store_read(store, store_stream(stream), NULL, &world->read),
				 ERR_OK);
		for (unsigned i = stream; i < number; i += 3)
			assert_true(!acknowledged[i] || store_read_has(&world->read, i));
	}
	store_close(store);
}

static void test_out_of_memory(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, starve);
	world_finish(world);
}

static void fill(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	unsigned number = 0;
	enum err err = ERR_OK;

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (; number < 3000 && err == ERR_OK; number++)
		err = store_append(store, store_stream(1), number, 30000);
	assert_int_equal(err, ERR_NOSPACE);
	/* What frees space still works: an operation, a manifest. */
	assert_int_equal(store_append_at(store, store->writer, store_stream(2), 1, 1, 100), ERR_OK);
	assert_int_equal(put_manifest(world, store_stream(1), 1, ID128_ZERO), ERR_OK);
	assert_int_equal(task_sleep(120000), ERR_OK);
	assert_int_equal(store_append(store, store_stream(3), 2, 30000), ERR_OK);
	store_close(store);
	assert_int_equal(store_open(store), ERR_OK);
	assert_manifest(world, store_stream(1), 1);
	assert_int_equal(store_read(store, store_stream(2), NULL, &world->read), ERR_OK);
	assert_int_equal(world->read.count, 1);
	assert_int_equal(store_read(store, store_stream(3), NULL, &world->read), ERR_OK);
	assert_int_equal(world->read.count, 1);
	store_close(store);
}

static void test_a_full_disk(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		store_disk(&world->store, i)->options.capacity = 32u << 20;
	world->store.segment_size = 256 * 1024;
	world_run(world, fill);
	world_finish(world);
}

struct watcher {
	struct journal_watch watch;
	unsigned notices;
};

static void noticed(struct journal_watch *watch)
{
	((struct watcher *)watch->context)->notices++;
}

static void watch(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;
	struct watcher watchers[3] = {{.notices = 0}};

	world_format(world);
	assert_int_equal(store_open(store), ERR_OK);
	for (unsigned i = 0; i < 3; i++) {
		watchers[i].watch.stream = store_stream(i / 2);
		watchers[i].watch.notify = noticed;
		watchers[i].watch.context = &watchers[i];
		journal_watch_start(store->journal, &watchers[i].watch);
	}
	assert_int_equal(store_append(store, store_stream(0), 0, 10), ERR_OK);
	assert_true(watchers[0].notices > 0 && watchers[1].notices > 0);
	assert_int_equal(watchers[2].notices, 0);
	assert_int_equal(task_sleep(10), ERR_OK);
	journal_watch_stop(store->journal, &watchers[0].watch);
	watchers[0].notices = watchers[1].notices = 0;
	assert_int_equal(store_append(store, store_stream(0), 1, 10), ERR_OK);
	assert_int_equal(watchers[0].notices, 0);
	assert_true(watchers[1].notices > 0);
	journal_watch_stop(store->journal, &watchers[1].watch);
	journal_watch_stop(store->journal, &watchers[2].watch);
	store_close(store);
}

static void test_watchers_are_told(void **state)
{
	struct world *world = world_start(3);

	(void)state;
	world_run(world, watch);
	world_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_read),
		cmocka_unit_test(test_deliveries_share_their_syncs),
		cmocka_unit_test(test_one_stream_is_batched),
		cmocka_unit_test(test_volumes_go_and_come_back),
		cmocka_unit_test(test_an_emptied_volume_does_not_count),
		cmocka_unit_test(test_what_all_hold),
		cmocka_unit_test(test_lower_epochs_are_fenced),
		cmocka_unit_test(test_manifests_truncate),
		cmocka_unit_test(test_other_bytes_are_refused),
		cmocka_unit_test(test_damage_is_mended_from_the_others),
		cmocka_unit_test(test_a_passing_read_error_is_no_damage),
		cmocka_unit_test(test_a_failed_sync_fails_the_volume),
		cmocka_unit_test(test_a_slow_volume_catches_up),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_a_full_disk),
		cmocka_unit_test(test_watchers_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
