/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/set/stripe.h"
#include "tests/sim/plant.h"

#define SIZE 333u

static const struct profile PROFILES[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 2}, {5, 4}, {6, 3}};

static uint8_t columns[PROFILE_MEMBER_MAX][SIZE];

static void encode(struct profile profile)
{
	const uint8_t *data[PROFILE_MEMBER_MAX];

	for (unsigned i = 0; i < profile.k; i++) {
		data[i] = columns[i];
		for (unsigned j = 0; j < SIZE; j++)
			columns[i][j] = (uint8_t)(i * 91 + j * 7 + j / 13 + 1);
	}
	for (unsigned i = profile.k; i < (unsigned)profile.k + profile.m; i++)
		stripe_encode_row(profile, (uint8_t)i, data, SIZE, columns[i]);
}

/* Every column from every choice of k of the others, over an odd range. Counts what is wrong. */
static unsigned decode_all(struct profile profile, unsigned *tried)
{
	unsigned members = (unsigned)profile.k + profile.m, wrong = 0;

	for (uint32_t chosen = 0; chosen < 1u << members; chosen++) {
		const uint8_t *source[PROFILE_MEMBER_MAX];
		uint8_t from[PROFILE_MEMBER_MAX], out[SIZE];
		unsigned count = 0;

		for (uint8_t i = 0; i < members; i++)
			if ((chosen >> i & 1) != 0 && count < PROFILE_MEMBER_MAX) {
				source[count] = columns[i] + 5;
				from[count++] = i;
			}
		if (count != profile.k)
			continue;
		for (uint8_t wanted = 0; wanted < members; wanted++) {
			assert_int_equal(
				stripe_decode(profile, wanted, from, source, SIZE - 5, out),
				ERR_OK);
			wrong += memcmp(out, columns[wanted] + 5, SIZE - 5) != 0;
			(*tried)++;
		}
	}
	return wrong;
}

static void test_every_column_from_every_choice(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(PROFILES) / sizeof(PROFILES[0]); i++) {
		encode(PROFILES[i]);
		assert_int_equal(decode_all(PROFILES[i], &tried), 0);
	}
	/* C(k+m, k) choices of k+m columns each. */
	assert_int_equal(tried, 2 * 2 + 3 * 3 + 3 * 3 + 6 * 4 + 15 * 6 + 126 * 9 + 84 * 9);
}

static void test_one_and_one_is_a_copy(void **state)
{
	(void)state;
	encode((struct profile){1, 1});
	assert_memory_equal(columns[0], columns[1], SIZE);
}

/* Fixed octets: what another reader of the format must come to. */
static void test_known_parity(void **state)
{
	const uint8_t one = 1, zero = 0;
	const uint8_t *data[2] = {&one, &zero};
	const struct profile profile = {2, 2};
	uint8_t parity;

	(void)state;
	/* The Cauchy matrix: row i, column j is the inverse of i xor j. */
	stripe_encode_row(profile, 2, data, 1, &parity);
	assert_int_equal(parity, 0x8e);
	stripe_encode_row(profile, 3, data, 1, &parity);
	assert_int_equal(parity, 0xf4);
}

static void test_bad_choices_are_refused(void **state)
{
	const uint8_t *source[2] = {columns[0], columns[1]};
	uint8_t out[SIZE];

	(void)state;
	assert_int_equal(
		stripe_decode((struct profile){2, 1}, 0, (uint8_t[]){1, 1}, source, SIZE, out),
		ERR_INVALID);
	assert_int_equal(
		stripe_decode((struct profile){2, 1}, 0, (uint8_t[]){1, 3}, source, SIZE, out),
		ERR_INVALID);
	assert_int_equal(
		stripe_decode((struct profile){2, 1}, 3, (uint8_t[]){1, 2}, source, SIZE, out),
		ERR_INVALID);
}

static void test_planted_wrong_row_is_found(void **state)
{
	const struct profile profile = {4, 2};
	unsigned tried = 0;

	(void)state;
	plant_reset();
	plant_set(PLANT_wrong_matrix_row, true);
	encode(profile);
	assert_true(plant_hits(PLANT_wrong_matrix_row) > 0);
	plant_reset();
	assert_true(decode_all(profile, &tried) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_column_from_every_choice),
		cmocka_unit_test(test_one_and_one_is_a_copy),
		cmocka_unit_test(test_known_parity),
		cmocka_unit_test(test_bad_choices_are_refused),
		cmocka_unit_test(test_planted_wrong_row_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
