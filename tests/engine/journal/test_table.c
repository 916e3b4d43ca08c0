/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Tables of the cluster as streams with snapshots. The table here is a row of
 * numbers, of which the greatest of each place counts; a record is a place and a
 * number, 4 octets each.
 */
#include <stdlib.h>

#include "engine/base/memory.h"
#include "engine/journal/table.h"
#include "engine/journal/table_page.h"
#include "tests/sim/enumerate.h"
#include "tests/sim/plant.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/unit.h"

#define PLACES 12
#define MANY 100000
#define RECORD 8u
#define SEEDS 60

static const struct id128 nodes[] = {{{4, 5, 6}}, {{4, 5, 7}}};
static const char authority[] = "who says so";

struct row {
	uint32_t *numbers;
	size_t count;
};

/* One process of a node: a table that follows the stream. */
struct process {
	struct row row;
	uint32_t numbers[PLACES];
	struct journal_table *table;
};

struct world {
	struct sim *sim;
	struct store store;
	struct key *keys[2];
	struct process process[2];
	uint32_t model[PLACES]; /* acknowledged */
	uint64_t random;
	/* crashes */
	unsigned run, lost; /* reads that lacked something */
	bool opened, tolerant;
};

static uint32_t draw(struct world *world, uint32_t below)
{
	world->random = world->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(world->random >> 33) % below;
}

/* ---- the table's owner ---- */

static enum err apply(void *context, struct bytes record, bool vouched)
{
	struct row *row = context;
	uint32_t place, number;

	(void)vouched;
	if (record.size != RECORD && record.size > 0 && record.data[0] == 0xff)
		return ERR_NEWER;
	if (record.size != RECORD)
		return ERR_CORRUPT;
	place = load_u32(record.data);
	number = load_u32(record.data + 4);
	if (place >= row->count)
		return ERR_CORRUPT;
	if (number > row->numbers[place])
		row->numbers[place] = number;
	return ERR_OK;
}

static void make_record(uint32_t place, uint32_t number, uint8_t out[RECORD])
{
	store_u32(out, place);
	store_u32(out + 4, number);
}

static enum err each(void *context, enum err (*visit)(void *visit_context, struct bytes record),
		     void *visit_context)
{
	const struct row *row = context;
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < row->count; i++) {
		uint8_t record[RECORD];

		make_record(i, row->numbers[i], record);
		if (row->numbers[i] != 0)
			err = visit(visit_context, bytes_make(record, sizeof(record)));
	}
	return err;
}

static void create_table(struct world *world, unsigned node, struct row *row,
			 uint64_t snapshot_after, struct journal_table **out)
{
	const struct journal_table_options options = {
		.sched = task_sched(),
		.journal = world->store.journal,
		.table = TABLE_ACCOUNTS,
		.apply = apply,
		.each = each,
		.context = row,
		.signing = world->keys[node],
		.signer = nodes[node],
		.vouches = true,
		.authority = bytes_string(authority),
		.snapshot_after = snapshot_after,
	};

	assert_ok(journal_table_create(&options, out));
}

static WAITS void start(struct world *world, unsigned node, uint64_t snapshot_after)
{
	struct process *process = &world->process[node];

	memset(process->numbers, 0, sizeof(process->numbers));
	process->row = (struct row){process->numbers, PLACES};
	create_table(world, node, &process->row, snapshot_after, &process->table);
}

static WAITS void refresh(struct process *process)
{
	bool complete;

	assert_ok(journal_table_refresh(process->table, &complete));
	assert_true(complete);
}

static WAITS void stop(struct process *process)
{
	journal_table_destroy(&process->table);
}

static WAITS enum err publish(struct world *world, struct process *process, uint32_t place,
			      uint32_t number)
{
	uint8_t record[RECORD];
	enum err err;

	make_record(place, number, record);
	err = journal_table_append(process->table, bytes_make(record, sizeof(record)));
	if (err != ERR_OK)
		return err;
	if (number > process->numbers[place])
		process->numbers[place] = number;
	if (number > world->model[place])
		world->model[place] = number;
	return ERR_OK;
}

static struct world *world_start(void)
{
	struct world *world = calloc(1, sizeof(*world));
	uint8_t seed[KEY_SIZE] = {1};

	assert_non_null(world);
	world->sim = sim_simple();
	store_init(&world->store, world->sim, 3);
	for (size_t i = 0; i < 2; i++) {
		seed[0]++;
		assert_ok(key_import(seed, &world->keys[i]));
	}
	return world;
}

static void world_finish(struct world *world)
{
	for (size_t i = 0; i < 2; i++)
		key_release(&world->keys[i]);
	sim_finish(&world->sim);
	free(world);
}

static WAITS void open_store(struct world *world)
{
	for (size_t i = 0; i < 3; i++)
		store_format(&world->store, i);
	assert_ok(store_open(&world->store));
}

static void run_world(void (*run)(void *argument))
{
	struct world *world = world_start();

	assert_int_equal(sim_run_task(world->sim, run, world), ERR_OK);
	world_finish(world);
}

/* ---- any interleaving ---- */

/* What a process without a past reads. False: not what was acknowledged. */
static WAITS bool reads_as_acknowledged(struct world *world)
{
	uint32_t numbers[PLACES] = {0};
	struct row row = {numbers, PLACES};
	struct journal_table *table;
	bool complete;

	create_table(world, 0, &row, 1000, &table);
	assert_ok(journal_table_refresh(table, &complete));
	assert_true(complete);
	journal_table_destroy(&table);
	return memcmp(numbers, world->model, sizeof(numbers)) == 0;
}

static WAITS void one_step(struct world *world)
{
	unsigned node = draw(world, 2);
	struct process *process = &world->process[node];
	enum err err;

	switch (draw(world, 7)) {
	case 0:
		err = journal_table_snapshot(process->table);
		assert_true(err == ERR_OK || err == ERR_STALE);
		break;
	case 1:
		refresh(process);
		world->lost += memcmp(process->numbers, world->model, sizeof(world->model)) != 0;
		break;
	case 2:
		stop(process);
		start(world, node, 5);
		break;
	default:
		assert_ok(publish(world, process, draw(world, PLACES), 1 + draw(world, 50)));
	}
}

static WAITS void live_once(struct world *world)
{
	for (unsigned i = 0; i < 40; i++) {
		/* A store that is closed takes its processes with it. */
		bool closes = draw(world, 10) == 0;

		if (closes || i == 0) {
			for (unsigned j = 0; i != 0 && j < 2; j++)
				stop(&world->process[j]);
			if (i != 0)
				store_close(&world->store);
			assert_ok(store_open(&world->store));
			for (unsigned j = 0; j < 2; j++)
				start(world, j, 5);
		}
		one_step(world);
	}
}

struct hunt {
	struct world *world;
	bool wrong;
};

static void live(void *argument)
{
	struct hunt *hunt = argument;
	struct world *world = hunt->world;

	for (size_t i = 0; i < 3; i++)
		store_format(&world->store, i);
	live_once(world);
	for (unsigned j = 0; j < 2; j++)
		stop(&world->process[j]);
	hunt->wrong = world->lost != 0 || !reads_as_acknowledged(world);
	store_close(&world->store);
}

static bool seed_is_wrong(uint64_t seed)
{
	struct hunt hunt = {.world = world_start()};

	hunt.world->random = seed;
	assert_int_equal(sim_run_task(hunt.world->sim, live, &hunt), ERR_OK);
	world_finish(hunt.world);
	return hunt.wrong;
}

static void test_any_interleaving_gives_one_table(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		if (seed_is_wrong(seed))
			fail_msg("seed %llu: the table is not what was acknowledged",
				 (unsigned long long)seed);
}

static void test_a_record_left_out_is_found(void **state)
{
	uint64_t seed = 1;

	(void)state;
	plant_reset();
	plant_set(PLANT_table_record_left_out, true);
	while (seed <= SEEDS && !seed_is_wrong(seed))
		seed++;
	assert_true(plant_hits(PLANT_table_record_left_out) > 0);
	plant_reset();
	assert_true(seed <= SEEDS);
}

/* ---- what goes, and when ---- */

static uint64_t entries_held(const struct world *world)
{
	struct journal_status status;

	journal_get_status(world->store.journal, &status);
	return status.entries;
}

static void grow(void *argument)
{
	struct world *world = argument;
	struct process *process = &world->process[0];
	struct journal_table_status status;

	open_store(world);
	start(world, 0, 20);
	refresh(process);
	for (uint32_t i = 1; i <= 20; i++)
		assert_ok(publish(world, process, i % PLACES, i));
	(void)!task_sleep(1000);
	journal_table_get_status(process->table, &status);
	assert_int_equal(status.snapshots, 0);
	for (uint32_t i = 21; i <= 105; i++) {
		assert_ok(publish(world, process, i % PLACES, i));
		(void)!task_sleep(50);
	}
	(void)!task_sleep(1000);
	journal_table_get_status(process->table, &status);
	/* After 21 entries each time; on three replicas at most 21 stay of the 105. */
	assert_int_equal(status.snapshots, 5);
	assert_true(entries_held(world) <= 3 * 21);
	stop(process);
	/* As long as the records that count are more than the entries, none is written. */
	start(world, 0, 2);
	refresh(process);
	for (uint32_t i = 1; i <= PLACES - 1; i++)
		assert_ok(publish(world, process, i, 1000 + i));
	(void)!task_sleep(1000);
	journal_table_get_status(process->table, &status);
	assert_int_equal(status.snapshots, 0);
	stop(process);
	assert_true(reads_as_acknowledged(world));
	store_close(&world->store);
}

static void test_snapshots_come_when_they_pay(void **state)
{
	(void)state;
	run_world(grow);
}

/* ---- many records ---- */

static WAITS void load_many(struct world *world, unsigned node, bool vouched, uint32_t *expected)
{
	struct row row = {calloc(MANY, sizeof(*row.numbers)), MANY};
	struct journal_table_status status;
	struct journal_table *table;
	bool complete;

	assert_non_null(row.numbers);
	create_table(world, node, &row, 0, &table);
	assert_ok(journal_table_refresh(table, &complete));
	journal_table_get_status(table, &status);
	assert_int_equal(status.entries_read, 0);
	assert_int_equal(status.records_loaded, MANY);
	assert_int_equal(status.records_vouched, vouched ? MANY : 0);
	assert_memory_equal(row.numbers, expected, MANY * sizeof(*expected));
	journal_table_destroy(&table);
	free(row.numbers);
}

static void hold_many(void *argument)
{
	struct world *world = argument;
	struct row row = {calloc(MANY, sizeof(*row.numbers)), MANY};
	struct journal_table *table;

	assert_non_null(row.numbers);
	open_store(world);
	for (uint32_t i = 0; i < MANY; i++)
		row.numbers[i] = i + 1;
	create_table(world, 0, &row, 0, &table);
	assert_ok(journal_table_snapshot(table));
	journal_table_destroy(&table);
	/* Who wrote it need not verify it again; for another node it proves nothing. */
	load_many(world, 0, true, row.numbers);
	load_many(world, 1, false, row.numbers);
	free(row.numbers);
	store_close(&world->store);
}

static void test_many_records(void **state)
{
	(void)state;
	run_world(hold_many);
}

/* ---- what is not understood ---- */

static WAITS void append_raw(struct process *process, const char *record)
{
	assert_ok(journal_table_append(process->table, bytes_string(record)));
}

static enum err count_kept(void *context, struct bytes record)
{
	size_t *count = context;

	*count += bytes_equal(record, bytes_string("\xff later")) ||
		  bytes_equal(record, bytes_string("odd"));
	return ERR_OK;
}

static enum err search_manifest(void *context, const struct manifest *manifest)
{
	struct id128 *page = context;

	assert_int_equal(manifest->page_count, 1);
	*page = manifest->pages[0];
	return ERR_OK;
}

static void carry(void *argument)
{
	struct world *world = argument;
	struct process *process = &world->process[0];
	struct journal *journal;
	struct buf page = {0};
	struct id128 id;
	size_t kept = 0;

	open_store(world);
	journal = world->store.journal;
	start(world, 0, 0);
	assert_ok(publish(world, process, 1, 7));
	append_raw(process, "\xff later");
	append_raw(process, "odd");
	for (unsigned i = 0; i < 3; i++) {
		assert_ok(journal_table_snapshot(process->table));
		stop(process);
		start(world, 0, 0);
		refresh(process);
		assert_int_equal(process->numbers[1], 7);
	}
	assert_int_equal(entries_held(world), 0);
	assert_ok(journal_manifests(journal, table_stream(TABLE_ACCOUNTS), search_manifest, &id));
	assert_ok(journal_read_page(journal, table_stream(TABLE_ACCOUNTS), id, &page));
	assert_ok(table_page_decode(bytes_of_buf(&page), count_kept, &kept));
	assert_int_equal(kept, 2);
	buf_finish(&page);
	stop(process);
	store_close(&world->store);
}

static void test_what_is_refused_is_carried_along(void **state)
{
	(void)state;
	run_world(carry);
}

/* More than can be carried: the entries stay. */
static void carry_too_much(void *argument)
{
	struct world *world = argument;
	struct process *process = &world->process[0];
	static uint8_t record[300000];

	open_store(world);
	start(world, 0, 0);
	for (unsigned i = 0; i < 4; i++) {
		record[0] = 0xff;
		record[1] = (uint8_t)i;
		assert_ok(journal_table_append(process->table, bytes_make(record, sizeof(record))));
	}
	assert_int_equal(journal_table_snapshot(process->table), ERR_LIMIT);
	(void)!task_sleep(1000);
	assert_int_equal(entries_held(world), 3 * 4);
	stop(process);
	store_close(&world->store);
}

static void test_too_much_is_left_alone(void **state)
{
	(void)state;
	run_world(carry_too_much);
}

/* ---- siblings, forgeries ---- */

/* As a node writes it that has seen only `count` entries of one incarnation. */
static WAITS void put_snapshot(struct world *world, uint8_t number, struct id128 incarnation,
			       uint64_t seq, uint32_t place, uint32_t value,
			       const struct key *signing, struct id128 voucher, bool right_digest)
{
	const struct table_root_place where = {
		bytes_string(authority), table_stream(TABLE_ACCOUNTS), {{9, number}}};
	struct buf body = {0}, root = {0}, other = {0};
	struct vector_item item = {incarnation, seq};
	struct id128 id = {{8, number}};
	struct manifest_page page = {.id = id};
	struct manifest manifest = {.stream = table_stream(TABLE_ACCOUNTS),
				    .id = where.manifest,
				    .incarnation = incarnation,
				    .epoch = 1,
				    .vector = {&item, 1, 1},
				    .pages = &id,
				    .page_count = 1};
	uint8_t record[RECORD];

	make_record(place, value, record);
	table_page_begin(&body);
	table_page_add(&body, bytes_make(record, sizeof(record)));
	table_page_begin(&other);
	page.payload = right_digest ? bytes_of_buf(&body) : bytes_of_buf(&other);
	assert_ok(table_root_encode(&where, &page, 1, signing, voucher, &root));
	page.payload = bytes_of_buf(&body);
	manifest.payload = bytes_of_buf(&root);
	assert_ok(journal_put_manifest(world->store.journal, &manifest, &page, 1));
	buf_finish(&body);
	buf_finish(&other);
	buf_finish(&root);
}

static enum err count_manifest(void *context, const struct manifest *manifest)
{
	(void)manifest;
	++*(size_t *)context;
	return ERR_OK;
}

static void join(void *argument)
{
	struct world *world = argument;
	struct process *process = &world->process[0];
	struct journal_table_status status;
	size_t count = 0;

	open_store(world);
	put_snapshot(world, 1, (struct id128){{1}}, 3, 2, 20, world->keys[1], nodes[1], true);
	put_snapshot(world, 2, (struct id128){{2}}, 5, 3, 30, world->keys[0], nodes[0], true);
	start(world, 0, 0);
	refresh(process);
	assert_int_equal(process->numbers[2], 20);
	assert_int_equal(process->numbers[3], 30);
	journal_table_get_status(process->table, &status);
	assert_int_equal(status.records_vouched, 1);
	/* One that stands for both comes by itself. */
	(void)!task_sleep(2000);
	assert_ok(journal_manifests(world->store.journal, table_stream(TABLE_ACCOUNTS),
				    count_manifest, &count));
	assert_int_equal(count, 1);
	stop(process);
	world->model[2] = 20;
	world->model[3] = 30;
	assert_true(reads_as_acknowledged(world));
	store_close(&world->store);
}

static void test_siblings_are_joined(void **state)
{
	(void)state;
	run_world(join);
}

static WAITS void assert_not_vouched(struct world *world, uint8_t number, const struct key *signing,
				     struct id128 voucher, bool right_digest)
{
	struct process *process = &world->process[0];
	struct journal_table_status status;

	put_snapshot(world, number, (struct id128){{1}}, number, 2, number, signing, voucher,
		     right_digest);
	start(world, 0, 0);
	refresh(process);
	journal_table_get_status(process->table, &status);
	assert_int_equal(status.records_loaded, 1);
	assert_int_equal(status.records_vouched, 0);
	stop(process);
}

static void forge(void *argument)
{
	struct world *world = argument;

	open_store(world);
	/* Not by this node; by another key in its name; of another page; by nobody. */
	assert_not_vouched(world, 1, world->keys[1], nodes[1], true);
	assert_not_vouched(world, 2, world->keys[1], nodes[0], true);
	assert_not_vouched(world, 3, world->keys[0], nodes[0], false);
	assert_not_vouched(world, 4, NULL, nodes[0], true);
	store_close(&world->store);
}

static void test_only_its_own_word_is_taken(void **state)
{
	(void)state;
	run_world(forge);
}

/* ---- the power fails ---- */

static void format_all(void *argument)
{
	struct world *world = argument;

	for (size_t i = 0; i < 3; i++)
		store_format(&world->store, i);
}

static void begin(struct sim *sim, void *context)
{
	struct world *world = context;

	world->sim = sim;
	memset(world->model, 0, sizeof(world->model));
	world->opened = false;
	world->run++;
	store_init(&world->store, sim, 3);
	world->store.segment_size = 4096;
	assert_int_equal(sim_run_task(sim, format_all, world), ERR_OK);
}

static void work(void *argument)
{
	struct world *world = argument;

	if (store_open(&world->store) != ERR_OK)
		return;
	world->opened = true;
	start(world, 0, 1000);
	for (uint32_t i = 1; i <= 9; i++) {
		if (publish(world, &world->process[0], i % 4, i) != ERR_OK)
			break;
		if (i % 4 == 0 && journal_table_snapshot(world->process[0].table) == ERR_CANCELED)
			break;
	}
	/* Lets the keepers reclaim. */
	(void)!task_sleep(1000);
	stop(&world->process[0]);
	store_close(&world->store);
}

/* All that was acknowledged; what was not may be there, too. */
static WAITS void check_table(struct world *world)
{
	struct process *process = &world->process[1];

	start(world, 1, 1000);
	refresh(process);
	for (size_t i = 0; i < PLACES; i++) {
		world->lost += process->numbers[i] < world->model[i];
		assert_true(world->tolerant || process->numbers[i] >= world->model[i]);
		assert_true(process->numbers[i] <= 9);
	}
	stop(process);
}

static void check(void *argument)
{
	struct world *world = argument;
	struct store *store = &world->store;

	store->node = world->sim->nodes[0];
	if (world->opened) {
		store->absent[world->run % 3] = true;
		assert_ok(store_open(store));
		check_table(world);
		store_close(store);
		store->absent[world->run % 3] = false;
	}
	assert_ok(store_open(store));
	check_table(world);
	store_close(store);
}

static void crash_everywhere(bool tolerant, struct world *world)
{
	struct sim_crash_report report;
	const struct sim_crash_case test = {.seed = 1,
					    .random_count = 1,
					    .begin = begin,
					    .work = work,
					    .check = check,
					    .context = world};

	world->tolerant = tolerant;
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	assert_true(report.step_count > 100);
	print_message("%llu steps, %llu states\n", (unsigned long long)report.step_count,
		      (unsigned long long)report.state_count);
}

static void test_power_fails_at_every_step(void **state)
{
	struct world *world = world_start();

	(void)state;
	sim_finish(&world->sim);
	crash_everywhere(false, world);
	assert_int_equal(world->lost, 0);
	world->sim = sim_simple();
	world_finish(world);
}

static void test_the_oracle_sees_a_record_left_out(void **state)
{
	struct world *world = world_start();

	(void)state;
	sim_finish(&world->sim);
	plant_reset();
	plant_set(PLANT_table_record_left_out, true);
	crash_everywhere(true, world);
	plant_reset();
	assert_true(world->lost > 0);
	world->sim = sim_simple();
	world_finish(world);
}

/* ---- memory ---- */

static void run_out(void *argument)
{
	struct world *world = argument;
	struct process *process = &world->process[0];
	bool failed;

	open_store(world);
	start(world, 0, 1000);
	refresh(process);
	for (uint32_t i = 1; i <= 5; i++)
		assert_ok(publish(world, process, i, i));
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err = journal_table_snapshot(process->table);

		failed = err != ERR_OK;
	}
	assert_true(reads_as_acknowledged(world));
	stop(process);
	store_close(&world->store);
}

static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	run_world(run_out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_interleaving_gives_one_table),
		cmocka_unit_test(test_a_record_left_out_is_found),
		cmocka_unit_test(test_snapshots_come_when_they_pay),
		cmocka_unit_test(test_many_records),
		cmocka_unit_test(test_what_is_refused_is_carried_along),
		cmocka_unit_test(test_too_much_is_left_alone),
		cmocka_unit_test(test_siblings_are_joined),
		cmocka_unit_test(test_only_its_own_word_is_taken),
		cmocka_unit_test(test_power_fails_at_every_step),
		cmocka_unit_test(test_the_oracle_sees_a_record_left_out),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	if (key_library_init() != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
