/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The power fails at every step of small workloads; whatever was acknowledged
 * must come back, before and after the sets are finished, and with any one
 * volume gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/enumerate.h"
#include "tests/support/blobs_fixture.h"

static struct blobs_fixture fixture;
static size_t volume_count;
static bool formatted;
static size_t lost_volume; /* in the check; volume_count: none */

static void begin(struct sim *sim, void *context)
{
	struct blobs_options options = fixture.options;
	bool journaled = fixture.journaled;

	(void)context;
	memset(&fixture, 0, sizeof(fixture));
	fixture.options = options;
	fixture.journaled = journaled;
	blobs_fixture_add_disks(&fixture, sim, volume_count);
	formatted = false;
}

static WAITS enum err put(size_t count)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = blobs_fixture_put(&fixture, 4096 + i * 1000, 0);
	return err;
}

static WAITS void work(void *context)
{
	enum err err;

	(void)context;
	blobs_fixture_format(&fixture);
	if (task_canceled())
		return;
	formatted = true;
	err = blobs_fixture_open(&fixture);
	if (err != ERR_OK)
		return;
	err = put(3);
	if (err == ERR_OK)
		err = blobs_settle(fixture.blobs);
	if (err == ERR_OK)
		err = put(2);
	blobs_fixture_close(&fixture);
	/* A second start, which finishes what the first has left. */
	if (err == ERR_OK && blobs_fixture_open(&fixture) == ERR_OK) {
		err = blobs_settle(fixture.blobs);
		blobs_fixture_close(&fixture);
	}
}

static WAITS void check(void *context)
{
	struct blobs_status status;

	(void)context;
	/* Formatting is the volume's own matter, and its own tests'. */
	if (!formatted)
		return;
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	if (lost_volume < volume_count) {
		blobs_fixture_lose(&fixture, lost_volume);
		blobs_fixture_check(&fixture);
	}
	assert_int_equal(put(1), ERR_OK);
	assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.sets_unsealed_old, 0);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	blobs_fixture_check(&fixture);
	blobs_fixture_close(&fixture);
}

static void enumerate(uint64_t seed)
{
	struct sim_crash_case test = {
		.seed = seed, .random_count = 2, .begin = begin, .work = work, .check = check};
	struct sim_crash_report report;

	assert_int_equal(sim_enumerate_crashes(&test, &report), ERR_OK);
	print_message("%llu steps, %llu states\n", (unsigned long long)report.step_count,
		      (unsigned long long)report.state_count);
	assert_true(report.step_count > 100);
}

static void test_crash_at_every_step(void **state)
{
	(void)state;
	fixture.options = (struct blobs_options){.passive = true, .column_size = 64 * 1024};
	volume_count = 3;
	lost_volume = volume_count;
	enumerate(1);
}

static void test_crash_then_loss(void **state)
{
	(void)state;
	fixture.options = (struct blobs_options){.passive = true, .column_size = 64 * 1024};
	volume_count = 3;
	for (lost_volume = 0; lost_volume < volume_count; lost_volume++)
		enumerate(10 + lost_volume);
}

static void test_crash_with_journal(void **state)
{
	(void)state;
	fixture.options = (struct blobs_options){.column_size = 64 * 1024};
	fixture.journaled = true;
	volume_count = 3;
	lost_volume = volume_count;
	enumerate(20);
	fixture.journaled = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_at_every_step),
		cmocka_unit_test(test_crash_then_loss),
		cmocka_unit_test(test_crash_with_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
