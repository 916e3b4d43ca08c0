/* SPDX-License-Identifier: MPL-2.0 */
/* How fast a compaction copies: no faster than it may, and slower while messages come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/format/record.h"
#include "engine/set/compact.h"
#include "tests/support/blobs_fixture.h"

#define BLOB_SIZE 50000u
#define BLOBS 10u
#define RATE 100000u /* bytes a second */

static struct blobs_fixture fixture;

static WAITS enum err nothing_died(void *context)
{
	(void)context;
	return ERR_OK;
}

static enum err take_set(void *context, const struct compact_set *set)
{
	struct buf *sets = context;

	buf_put_u64(sets, set->set);
	return sets->err;
}

/* Takes all sealed sets apart, everything in them living; gives how long it took. */
static WAITS uint64_t copy_all_ms(uint64_t rate, uint64_t *size)
{
	const struct compact_pace pace = {.rate = rate};
	struct env *env = sched_env(task_sched());
	struct compaction *compaction = NULL;
	struct compact_record *records;
	struct buf sets = {0};
	uint64_t start_ms;
	size_t count;

	assert_int_equal(compact_sets(fixture.blobs, take_set, &sets), ERR_OK);
	assert_int_equal(sets.size, sizeof(uint64_t));
	start_ms = env_now_ms(env);
	assert_int_equal(compaction_create(fixture.blobs, (const uint64_t *)(const void *)sets.data,
					   1, &compaction),
			 ERR_OK);
	records = compaction_records(compaction, &count);
	assert_int_equal(count, BLOBS);
	for (size_t i = 0; i < count; i++)
		*size += record_size(records[i].entry.payload_size);
	assert_int_equal(compaction_run(compaction, &pace, nothing_died, NULL), ERR_OK);
	compaction_destroy(&compaction);
	buf_finish(&sets);
	return env_now_ms(env) - start_ms;
}

static WAITS void copies_keep_the_pace(void *argument)
{
	struct blob_upload *upload = NULL;
	uint64_t size = 0, ignored = 0, fast, paced, polite;

	(void)argument;
	fixture.journaled = true;
	fixture.options.column_size = 1 << 20;
	blobs_fixture_format(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < BLOBS; i++)
		assert_int_equal(blobs_fixture_put(&fixture, BLOB_SIZE, 0), ERR_OK);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	fast = copy_all_ms(0, &ignored);
	paced = copy_all_ms(RATE, &size);
	assert_true(paced >= size * 1000 / RATE);
	assert_true(paced < size * 1100 / RATE + fast);
	/* A message that comes in: a quarter of the rate is left. */
	assert_int_equal(
		blob_upload_open(fixture.blobs, (struct id128){{7}}, (struct id128){{8}}, &upload),
		ERR_OK);
	polite = copy_all_ms(RATE, &ignored);
	assert_true(polite >= 4 * (size * 1000 / RATE));
	assert_true(polite < 4 * (size * 1100 / RATE) + fast);
	blob_upload_release(&upload);
	assert_true(fast < paced / 2);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void test_copies_keep_the_pace(void **state)
{
	struct sim *sim = sim_create(1, NULL);

	(void)state;
	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	assert_int_equal(sim_run_task(sim, copies_keep_the_pace, NULL), ERR_OK);
	sim_finish(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies_keep_the_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
