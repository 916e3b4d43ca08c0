/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "engine/base/memory.h"

#define KEYS 512u

/* A small generator of its own: the test must give the same operations everywhere. */
static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void test_against_an_array(void **state)
{
	static uint32_t values[KEYS];
	const void *model[KEYS] = {0};
	struct map map;
	uint32_t seed = 1;
	size_t count = 0, position = 0;

	(void)state;
	map_init(&map, sizeof(uint64_t));
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t key = next(&seed) % KEYS;

		if (next(&seed) % 2 != 0) {
			assert_int_equal(map_put(&map, &key, &values[i % KEYS]), ERR_OK);
			model[key] = &values[i % KEYS];
		} else {
			assert_ptr_equal(map_remove(&map, &key), model[key]);
			model[key] = NULL;
		}
		key = next(&seed) % KEYS;
		assert_ptr_equal(map_get(&map, &key), model[key]);
	}
	for (uint64_t key = 0; key < KEYS; key++)
		count += model[key] != NULL;
	assert_int_equal(map.count, count);
	for (const void *key; map_next(&map, &position, &key) != NULL; count--) {
		uint64_t number;

		memcpy(&number, key, sizeof(number));
		assert_non_null(model[number]);
	}
	assert_int_equal(count, 0);
	map_finish(&map);
}

static void test_failed_growth_changes_nothing(void **state)
{
	struct map map;
	int value;
	uint64_t key;

	(void)state;
	map_init(&map, sizeof(key));
	for (key = 0; key < 12; key++)
		assert_int_equal(map_put(&map, &key, &value), ERR_OK);
	memory_fail_after(0);
	assert_int_equal(map_put(&map, &key, &value), ERR_NOMEM);
	memory_fail_after(UINT64_MAX);
	assert_null(map_get(&map, &key));
	for (key = 0; key < 12; key++)
		assert_ptr_equal(map_get(&map, &key), &value);
	map_finish(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
		cmocka_unit_test(test_failed_growth_changes_nothing),
	};

	return cmocka_run_group_tests_name("base/map", tests, NULL, NULL);
}
