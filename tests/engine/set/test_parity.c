/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/set/parity.h"

#define SIZE_MAX_COLUMN (3u * PARITY_CHUNK_SIZE)

struct data {
	struct profile profile;
	uint8_t *columns[PROFILE_MEMBER_MAX];
	uint64_t length[PROFILE_MEMBER_MAX], added[PROFILE_MEMBER_MAX];
	uint64_t longest;
	uint32_t state;
};

static uint32_t draw(struct data *data)
{
	data->state = data->state * 1664525u + 1013904223u;
	return data->state >> 8;
}

/* Columns of various lengths, one of them empty when there are more than two. */
static void make(struct data *data, struct profile profile)
{
	*data = (struct data){.profile = profile, .state = profile.k * 31u + profile.m};
	for (size_t i = 0; i < profile.k; i++) {
		data->columns[i] = memory_allocate(SIZE_MAX_COLUMN);
		assert_non_null(data->columns[i]);
		data->length[i] = i == 2 ? 0 : draw(data) % (SIZE_MAX_COLUMN / 64) * 64;
		for (size_t at = 0; at < data->length[i]; at++)
			data->columns[i][at] = (uint8_t)draw(data);
		if (data->length[i] > data->longest)
			data->longest = data->length[i];
	}
}

static uint64_t least_far(const struct data *data)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < data->profile.k; i++)
		if (data->added[i] < data->length[i] && data->added[i] < least)
			least = data->added[i];
	return least;
}

/* Everything that is settled, end to end; the chunks are used again. */
static void take_all(struct parity *parity, uint8_t *out, uint64_t *taken)
{
	struct shared *chunk;
	uint64_t offset;

	while ((chunk = parity_take(parity, &offset)) != NULL) {
		assert_int_equal(offset, *taken);
		memcpy(out + offset, chunk->data, chunk->size);
		*taken += chunk->size;
		parity_give_back(parity, &chunk);
		assert_null(chunk);
	}
}

/* Records of all columns in any order, each column's own in order. */
static void add_in_any_order(struct data *data, struct parity *parity, uint8_t *out,
			     uint64_t *taken)
{
	while (least_far(data) != UINT64_MAX) {
		uint8_t column = (uint8_t)(draw(data) % data->profile.k);
		uint64_t left = data->length[column] - data->added[column];
		uint64_t size = (draw(data) % 20000 + 1) * 64;

		if (left == 0)
			continue;
		size = size < left ? size : left;
		assert_int_equal(parity_add(parity, column, data->added[column],
					    bytes_make(data->columns[column] + data->added[column],
						       (size_t)size)),
				 ERR_OK);
		data->added[column] += size;
		assert_int_equal(parity_settle(parity, least_far(data)), ERR_OK);
		take_all(parity, out, taken);
	}
}

static void check(struct profile profile, uint8_t column)
{
	const uint8_t *columns[PROFILE_MEMBER_MAX];
	uint8_t *expected = memory_allocate(SIZE_MAX_COLUMN);
	uint8_t *out = memory_allocate(SIZE_MAX_COLUMN);
	struct parity parity;
	struct data data;
	uint64_t taken = 0;

	assert_true(expected != NULL && out != NULL);
	make(&data, profile);
	assert_int_equal(parity_init(&parity, profile, column, data.longest), ERR_OK);
	add_in_any_order(&data, &parity, out, &taken);
	assert_int_equal(taken, data.longest);
	for (size_t i = 0; i < profile.k; i++)
		columns[i] = data.columns[i];
	stripe_encode_row(profile, column, columns, (size_t)data.longest, expected);
	assert_memory_equal(out, expected, data.longest);
	assert_true(hash128_equal(
		parity.hash,
		parity_chain((struct hash128){0, 0}, bytes_make(expected, (size_t)data.longest))));
	parity_finish(&parity);
	for (size_t i = 0; i < profile.k; i++)
		memory_free(data.columns[i]);
	memory_free(expected);
	memory_free(out);
}

static void test_any_order_gives_the_encoding(void **state)
{
	static const struct profile profiles[] = {{1, 1}, {2, 1}, {2, 2}, {4, 2}, {6, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		for (uint8_t j = 0; j < profiles[i].m; j++)
			check(profiles[i], (uint8_t)(profiles[i].k + j));
}

/* What one column has not reached is kept back, however far the others are. */
static void test_nothing_is_settled_early(void **state)
{
	static const uint8_t zeros[PARITY_CHUNK_SIZE];
	const struct bytes chunk = bytes_make(zeros, sizeof(zeros));
	struct parity parity;
	struct shared *taken;
	uint64_t offset;

	(void)state;
	assert_int_equal(parity_init(&parity, (struct profile){2, 1}, 2, SIZE_MAX_COLUMN), ERR_OK);
	assert_int_equal(parity_add(&parity, 0, 0, chunk), ERR_OK);
	assert_int_equal(parity_add(&parity, 0, PARITY_CHUNK_SIZE, chunk), ERR_OK);
	assert_int_equal(parity_settle(&parity, 0), ERR_OK);
	assert_null(parity_take(&parity, &offset));
	assert_int_equal(parity_add(&parity, 1, 0, bytes_make(zeros, PARITY_CHUNK_SIZE - 64)),
			 ERR_OK);
	assert_int_equal(parity_settle(&parity, PARITY_CHUNK_SIZE - 64), ERR_OK);
	assert_null(parity_take(&parity, &offset));
	assert_int_equal(parity_settle(&parity, PARITY_CHUNK_SIZE), ERR_OK);
	taken = parity_take(&parity, &offset);
	assert_non_null(taken);
	assert_null(parity_take(&parity, &offset));
	shared_release(&taken);
	parity_finish(&parity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order_gives_the_encoding),
		cmocka_unit_test(test_nothing_is_settled_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
