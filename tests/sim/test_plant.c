/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/plant.h"

static void test_switches(void **state)
{
	(void)state;
	plant_reset();
	assert_false(PLANTED(fence_ignored));
	assert_int_equal(plant_hits(PLANT_fence_ignored), 0);
	plant_set(PLANT_fence_ignored, true);
	assert_true(PLANTED(fence_ignored));
	assert_false(PLANTED(fsync_retried));
	assert_int_equal(plant_hits(PLANT_fence_ignored), 1);
	plant_set(PLANT_fence_ignored, false);
	assert_false(PLANTED(fence_ignored));
	assert_int_equal(plant_hits(PLANT_fence_ignored), 1);
	plant_reset();
	assert_int_equal(plant_hits(PLANT_fence_ignored), 0);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(plant_name(PLANT_ack_before_sync), "ack_before_sync");
	for (int i = 0; i < PLANT_COUNT; i++)
		assert_true(strlen(plant_text((enum plant)i)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
