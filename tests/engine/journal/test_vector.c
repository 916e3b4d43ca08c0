/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/journal/journal.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % bound;
}

static struct id128 writer(uint64_t number)
{
	struct id128 id = {{0}};

	id.octets[0] = (uint8_t)(number * 37);
	return id;
}

/* A vector, and the same as a plain array: the model. */
static struct vector random_vector(uint64_t model[16])
{
	struct vector vector = {0};

	memset(model, 0, 16 * sizeof(model[0]));
	for (uint64_t i = random_below(24); i > 0; i--) {
		uint64_t index = random_below(16), seq = random_below(6);

		assert_int_equal(vector_raise(&vector, writer(index), seq), ERR_OK);
		if (model[index] < seq)
			model[index] = seq;
	}
	return vector;
}

static bool model_covers(const uint64_t *a, const uint64_t *b)
{
	for (unsigned i = 0; i < 16; i++)
		if (a[i] < b[i])
			return false;
	return true;
}

static void assert_is(const struct vector *vector, const uint64_t *model)
{
	size_t count = 0;

	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(vector_get(vector, writer(i)), model[i]);
		count += model[i] != 0;
	}
	assert_int_equal(vector->count, count);
	for (size_t i = 1; i < count; i++)
		assert_true(id128_compare(vector->items[i - 1].incarnation,
					  vector->items[i].incarnation) < 0);
}

static void test_against_a_model(void **state)
{
	unsigned covered = 0;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		uint64_t model_a[16], model_b[16];
		struct vector a = random_vector(model_a), b = random_vector(model_b);
		struct vector copy = {0}, decoded = {0};
		struct buf encoded = {0};
		struct cursor cursor;

		assert_is(&a, model_a);
		assert_int_equal(vector_covers(&a, &b), model_covers(model_a, model_b));
		covered += vector_covers(&a, &b);
		assert_int_equal(vector_copy(&a, &copy), ERR_OK);
		assert_int_equal(vector_merge(&copy, &b), ERR_OK);
		assert_true(vector_covers(&copy, &a) && vector_covers(&copy, &b));
		for (unsigned i = 0; i < 16; i++)
			if (model_a[i] < model_b[i])
				model_a[i] = model_b[i];
		assert_is(&copy, model_a);
		vector_encode(&copy, &encoded);
		assert_int_equal(encoded.err, ERR_OK);
		cursor = cursor_make(bytes_of_buf(&encoded));
		assert_int_equal(vector_decode(&cursor, &decoded), ERR_OK);
		assert_int_equal(cursor_end(&cursor), ERR_OK);
		assert_is(&decoded, model_a);
		vector_finish(&a);
		vector_finish(&b);
		vector_finish(&copy);
		vector_finish(&decoded);
		buf_finish(&encoded);
	}
	assert_true(covered > 10 && covered < 2990);
}

static void test_decoding_is_strict(void **state)
{
	uint64_t model[16];
	struct vector vector = random_vector(model), out = {0};
	struct buf encoded = {0};

	(void)state;
	assert_int_equal(vector_raise(&vector, writer(1), 9), ERR_OK);
	assert_int_equal(vector_raise(&vector, writer(2), 9), ERR_OK);
	vector_encode(&vector, &encoded);
	for (size_t size = 0; size < encoded.size; size++) {
		struct cursor cursor = cursor_make(bytes_make(encoded.data, size));

		assert_int_equal(vector_decode(&cursor, &out), ERR_CORRUPT);
		assert_int_equal(out.count, 0);
	}
	/* A count beyond what the input can hold must not be allocated for. */
	buf_clear(&encoded);
	buf_put_varint(&encoded, UINT64_MAX);
	{
		struct cursor cursor = cursor_make(bytes_of_buf(&encoded));
		uint64_t before = memory_allocations();

		assert_int_equal(vector_decode(&cursor, &out), ERR_CORRUPT);
		assert_int_equal(memory_allocations(), before);
	}
	/* Unsorted. */
	buf_clear(&encoded);
	buf_put_varint(&encoded, 2);
	buf_put_id(&encoded, writer(2));
	buf_put_varint(&encoded, 1);
	buf_put_id(&encoded, writer(1));
	buf_put_varint(&encoded, 1);
	{
		struct cursor cursor = cursor_make(bytes_of_buf(&encoded));

		assert_int_equal(vector_decode(&cursor, &out), ERR_CORRUPT);
	}
	vector_finish(&vector);
	buf_finish(&encoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_model),
		cmocka_unit_test(test_decoding_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
