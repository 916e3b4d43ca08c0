/* SPDX-License-Identifier: MPL-2.0 */
/* The power fails at every step: what was acknowledged is there, even with one volume less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/enumerate.h"
#include "tests/sim/plant.h"
#include "tests/support/journal_fixture.h"

#define ENTRIES 12
#define STREAMS 2

struct crash {
	struct sim *sim;
	struct store store;
	struct store_read read;
	bool acknowledged[ENTRIES], covered[ENTRIES];
	bool manifest_acknowledged;
	bool opened; /* once: before that no volume counts, and all must be there */
	uint64_t promised;
	unsigned run;
	unsigned lost; /* acknowledged entries that were not found */
	bool tolerant; /* counts them instead of failing: a bug is planted */
};

static void format_all(void *argument)
{
	struct crash *crash = argument;

	for (size_t i = 0; i < crash->store.volume_count; i++)
		store_format(&crash->store, i);
}

static void begin(struct sim *sim, void *context)
{
	struct crash *crash = context;

	vector_finish(&crash->read.seen);
	crash->sim = sim;
	memset(crash->acknowledged, 0, sizeof(crash->acknowledged));
	memset(crash->covered, 0, sizeof(crash->covered));
	crash->manifest_acknowledged = crash->opened = false;
	crash->promised = 0;
	crash->run++;
	store_init(&crash->store, sim, 3);
	/* Small, so that segments are changed and reclaimed within the work. */
	crash->store.segment_size = 4096;
	assert_int_equal(sim_run_task(sim, format_all, crash), ERR_OK);
}

static void append(struct crash *crash, unsigned number)
{
	crash->acknowledged[number] =
		store_append(&crash->store, store_stream(number % STREAMS), number, 900) == ERR_OK;
}

/* Over the entries of stream 0 that are read now. */
static void put_manifest(struct crash *crash)
{
	struct id128 page_id = {{1, 1}};
	struct manifest_page page = {.id = page_id, .payload = bytes_string("page")};
	struct manifest manifest = {.stream = store_stream(0),
				    .id = {{1, 2}},
				    .incarnation = {{3}},
				    .epoch = 1,
				    .pages = &page_id,
				    .page_count = 1};

	if (store_read(&crash->store, store_stream(0), NULL, &crash->read) != ERR_OK)
		return;
	for (unsigned i = 0; i < ENTRIES; i += STREAMS)
		crash->covered[i] = store_read_has(&crash->read, i);
	manifest.vector = crash->read.seen;
	crash->manifest_acknowledged =
		journal_put_manifest(crash->store.journal, &manifest, &page, 1) == ERR_OK;
}

static void work(void *argument)
{
	struct crash *crash = argument;
	struct id128 home = {{5}};
	struct promise_result result;

	if (store_open(&crash->store) != ERR_OK)
		return;
	crash->opened = true;
	for (unsigned i = 0; i < ENTRIES - 4; i++)
		append(crash, i);
	if (journal_promise(crash->store.journal, store_stream(1), 7, home, &result) == ERR_OK)
		crash->promised = 7;
	put_manifest(crash);
	for (unsigned i = ENTRIES - 4; i < ENTRIES; i++)
		append(crash, i);
	/* Lets the keepers reclaim. */
	(void)!task_sleep(2000);
	store_close(&crash->store);
}

static enum err saw_manifest(void *context, const struct manifest *manifest)
{
	struct vector *vector = context;

	return vector_copy(&manifest->vector, vector);
}

/* Entries of stream 0 are there, or a manifest stands for them. */
static void check_streams(struct crash *crash)
{
	struct store *store = &crash->store;
	struct vector covered = {0};

	assert_int_equal(journal_manifests(store->journal, store_stream(0), saw_manifest, &covered),
			 ERR_OK);
	if (crash->manifest_acknowledged)
		assert_int_not_equal(covered.count, 0);
	for (unsigned stream = 0; stream < STREAMS; stream++) {
		const struct vector *after = stream == 0 && covered.count != 0 ? &covered : NULL;

		assert_int_equal(store_read(store, store_stream(stream), after, &crash->read),
				 ERR_OK);
		assert_true(crash->read.complete || crash->tolerant);
		for (unsigned i = stream; i < ENTRIES; i += STREAMS) {
			bool found = store_read_has(&crash->read, i) ||
				     (after != NULL && crash->covered[i]);

			crash->lost += crash->acknowledged[i] && !found;
			assert_true(crash->tolerant || !crash->acknowledged[i] || found);
		}
		for (size_t i = 1; i < crash->read.count; i++)
			assert_true(crash->read.numbers[i - 1] < crash->read.numbers[i]);
	}
	vector_finish(&covered);
}

static void check(void *argument)
{
	struct crash *crash = argument;
	struct store *store = &crash->store;
	uint64_t epoch;

	store->node = crash->sim->nodes[0];
	if (crash->opened) {
		store->absent[crash->run % 3] = true;
		assert_int_equal(store_open(store), ERR_OK);
		check_streams(crash);
		assert_int_equal(journal_epoch(store->journal, store_stream(1), &epoch), ERR_OK);
		assert_true(epoch >= crash->promised);
		store_close(store);
		store->absent[crash->run % 3] = false;
	}
	assert_int_equal(store_open(store), ERR_OK);
	check_streams(crash);
	assert_int_equal(store_append(store, store_stream(1), 99, 100), ERR_OK);
	store_close(store);
}

static void test_power_fails_at_every_step(void **state)
{
	struct crash *crash = calloc(1, sizeof(*crash));
	struct sim_crash_report report;
	const struct sim_crash_case test = {.seed = 1,
					    .random_count = 2,
					    .begin = begin,
					    .work = work,
					    .check = check,
					    .context = crash};

	(void)state;
	assert_non_null(crash);
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	assert_true(report.step_count > 100);
	print_message("%llu steps, %llu states\n", (unsigned long long)report.step_count,
		      (unsigned long long)report.state_count);
	vector_finish(&crash->read.seen);
	free(crash);
}

/* The oracle above must see an acknowledgement by one volume. */
static void test_the_oracle_sees_a_planted_bug(void **state)
{
	struct crash *crash = calloc(1, sizeof(*crash));
	struct sim_crash_report report;
	const struct sim_crash_case test = {.seed = 1,
					    .random_count = 2,
					    .begin = begin,
					    .work = work,
					    .check = check,
					    .context = crash};

	(void)state;
	assert_non_null(crash);
	crash->tolerant = true;
	plant_reset();
	plant_set(PLANT_journal_ack_one_replica, true);
	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	assert_true(plant_hits(PLANT_journal_ack_one_replica) > 0);
	plant_reset();
	assert_true(crash->lost > 0);
	vector_finish(&crash->read.seen);
	free(crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_fails_at_every_step),
		cmocka_unit_test(test_the_oracle_sees_a_planted_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
