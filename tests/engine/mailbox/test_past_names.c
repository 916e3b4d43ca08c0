/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "engine/base/memory.h"
#include "engine/mailbox/past_names.h"
#include "tests/sim/random.h"

#define NAMES (2 * PAST_NAMES_MAX)
#define PUTS 40000u

static struct id128 folder(uint32_t number)
{
	struct id128 id = {{1}};

	store_u32(id.octets + 12, number);
	return id;
}

static enum err put(struct past_names *names, uint32_t name, uint32_t owner, uint32_t uidvalidity)
{
	uint8_t text[4];

	store_u32(text, name);
	return past_names_put(names, bytes_make(text, 4), folder(owner), uidvalidity);
}

static bool allow(const struct past_names *names, uint32_t name, uint32_t owner,
		  uint32_t uidvalidity)
{
	uint8_t text[4];

	store_u32(text, name);
	return past_names_allow(names, bytes_make(text, 4), folder(owner), uidvalidity);
}

static void test_allow(void **state)
{
	struct past_names names = {0};

	(void)state;
	assert_true(allow(&names, 1, 1, 5));
	assert_int_equal(put(&names, 1, 1, 5), ERR_OK);
	assert_int_equal(put(&names, 1, 2, 3), ERR_OK);
	assert_true(allow(&names, 1, 1, 5));
	assert_false(allow(&names, 1, 2, 3));
	assert_false(allow(&names, 1, 2, 5));
	assert_true(allow(&names, 1, 2, 6));
	assert_true(allow(&names, 2, 2, 3));
	/* Two that had the same: neither. */
	assert_int_equal(put(&names, 1, 2, 5), ERR_OK);
	assert_int_equal(put(&names, 1, 1, 5), ERR_OK);
	assert_false(allow(&names, 1, 1, 5));
	past_names_raise_floor(&names, 9);
	assert_int_equal(names.count, 0);
	assert_false(allow(&names, 2, 2, 9));
	assert_true(allow(&names, 2, 2, 10));
	past_names_finish(&names);
}

struct given {
	uint32_t name, owner, uidvalidity;
};

static void shuffle(struct given *given, struct sim_random *random)
{
	for (size_t i = PUTS; i > 1; i--) {
		size_t j = sim_random_below(random, i);
		struct given swapped = given[i - 1];

		given[i - 1] = given[j];
		given[j] = swapped;
	}
}

/* More names than are kept: in any order the same are, and no name is allowed what it had. */
static void test_bound(void **state)
{
	struct given *given = memory_array(PUTS, sizeof(*given));
	struct past_names first = {0}, second = {0};
	struct sim_random random;

	(void)state;
	assert_non_null(given);
	sim_random_init(&random, 3, 1);
	for (uint32_t i = 0; i < PUTS; i++)
		given[i] = (struct given){(uint32_t)sim_random_below(&random, NAMES), i, i + 1};
	shuffle(given, &random);
	for (uint32_t i = 0; i < PUTS; i++)
		assert_int_equal(put(&first, given[i].name, given[i].owner, given[i].uidvalidity),
				 ERR_OK);
	shuffle(given, &random);
	for (uint32_t i = 0; i < PUTS; i++)
		assert_int_equal(put(&second, given[i].name, given[i].owner, given[i].uidvalidity),
				 ERR_OK);
	assert_true(first.floor != 0);
	assert_int_equal(first.count, second.count);
	assert_int_equal(first.floor, second.floor);
	assert_memory_equal(first.items, second.items, first.count * sizeof(*first.items));
	assert_true(first.count <= PAST_NAMES_MAX);
	for (uint32_t i = 0; i < PUTS; i++)
		assert_false(allow(&first, given[i].name, UINT32_MAX, given[i].uidvalidity));
	past_names_finish(&first);
	past_names_finish(&second);
	memory_free(given);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
