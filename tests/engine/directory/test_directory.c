/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/directory/directory.h"
#include "tests/sim/random.h"

#define CHANGES 8

/* One random change, as a record of its own. */
static void make_change(struct sim_random *random, struct directory_record *out)
{
	struct directory_birth birth = {.uuid = {{1}}, .profile = {2, 1}};
	struct directory_placement placement = {.tag = {{(uint8_t)sim_random_below(random, 4)}},
						.volume = {{(uint8_t)sim_random_below(random, 2)}},
						.column = (uint8_t)sim_random_below(random, 3),
						.seal = {sim_random_below(random, 2), 0}};

	*out = (struct directory_record){.set = 5};
	switch (sim_random_below(random, 5)) {
	case 0:
		birth.created_ms = sim_random_below(random, 3);
		directory_set_birth(out, &birth);
		break;
	case 1:
		assert_int_equal(directory_add_placement(out, &placement), ERR_OK);
		break;
	case 2:
		assert_int_equal(directory_remove_tag(out, placement.tag), ERR_OK);
		break;
	case 3:
		assert_int_equal(directory_add_seal(out, placement.seal), ERR_OK);
		break;
	default:
		assert_int_equal(directory_add_successor(out, sim_random_below(random, 6)), ERR_OK);
		break;
	}
}

static void encode(const struct directory_record *record, struct buf *out)
{
	buf_clear(out);
	directory_record_encode(record, out);
	assert_int_equal(out->err, ERR_OK);
}

/* Merges in a random order, with repetitions, and partly in groups that merge with each other. */
static void merge_somehow(struct sim_random *random, const struct directory_record *changes,
			  struct directory_record *out)
{
	struct directory_record groups[3] = {{.set = 5}, {.set = 5}, {.set = 5}};
	uint32_t done = 0;

	while (done != (1u << CHANGES) - 1) {
		size_t which = sim_random_below(random, CHANGES);

		assert_int_equal(directory_record_merge(&groups[sim_random_below(random, 3)],
							&changes[which]),
				 ERR_OK);
		done |= 1u << which;
	}
	*out = (struct directory_record){.set = 5};
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(directory_record_merge(out, &groups[(i + done) % 3]), ERR_OK);
	for (size_t i = 0; i < 3; i++)
		directory_record_finish(&groups[i]);
}

static void test_any_order_gives_one_state(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct directory_record changes[CHANGES], merged;
		struct buf first = {0}, other = {0};
		struct sim_random random;

		sim_random_init(&random, seed, 0);
		for (size_t i = 0; i < CHANGES; i++)
			make_change(&random, &changes[i]);
		for (int round = 0; round < 6; round++) {
			merge_somehow(&random, changes, &merged);
			encode(&merged, round == 0 ? &first : &other);
			if (round > 0)
				assert_true(
					bytes_equal(bytes_of_buf(&first), bytes_of_buf(&other)));
			directory_record_finish(&merged);
		}
		for (size_t i = 0; i < CHANGES; i++)
			directory_record_finish(&changes[i]);
		buf_finish(&first);
		buf_finish(&other);
	}
}

static void make_full(struct directory_record *record)
{
	const struct directory_birth birth = {.uuid = {{1}}, .profile = {2, 1}, .capacity = 9};

	*record = (struct directory_record){.set = 7};
	directory_set_birth(record, &birth);
	for (uint8_t i = 0; i < 3; i++) {
		const struct directory_placement placement = {
			.tag = {{i}}, .volume = {{i, 1}}, .column = i, .seal = {3, 4}};

		assert_int_equal(directory_add_placement(record, &placement), ERR_OK);
	}
	assert_int_equal(directory_remove_tag(record, (struct id128){{1}}), ERR_OK);
	assert_int_equal(directory_add_seal(record, (struct hash128){3, 4}), ERR_OK);
	assert_int_equal(directory_add_successor(record, 99), ERR_OK);
}

static void test_encoding(void **state)
{
	struct directory_record record, decoded;
	struct buf encoded = {0}, again = {0};

	(void)state;
	make_full(&record);
	encode(&record, &encoded);
	assert_int_equal(directory_record_decode(bytes_of_buf(&encoded), &decoded), ERR_OK);
	encode(&decoded, &again);
	assert_true(bytes_equal(bytes_of_buf(&encoded), bytes_of_buf(&again)));
	assert_int_equal(decoded.placements.count, 2);
	assert_int_equal(directory_get_successor(&decoded, 0), 99);
	directory_record_finish(&decoded);
	for (size_t size = 0; size < encoded.size; size++)
		assert_int_equal(directory_record_decode(bytes_make(encoded.data, size), &decoded),
				 ERR_CORRUPT);
	encoded.data[0] = 2;
	assert_int_equal(directory_record_decode(bytes_of_buf(&encoded), &decoded), ERR_NEWER);
	directory_record_finish(&record);
	buf_finish(&encoded);
	buf_finish(&again);
}

/* Octets changed at random either decode to something that encodes to them, or are refused. */
static void test_decoding_is_canonical(void **state)
{
	struct directory_record record, decoded;
	struct buf encoded = {0}, again = {0};
	struct sim_random random;

	(void)state;
	make_full(&record);
	encode(&record, &encoded);
	sim_random_init(&random, 1, 0);
	for (int i = 0; i < 20000; i++) {
		size_t at = sim_random_below(&random, encoded.size);
		uint8_t before = encoded.data[at];

		encoded.data[at] = (uint8_t)sim_random_u64(&random);
		if (directory_record_decode(bytes_of_buf(&encoded), &decoded) == ERR_OK) {
			encode(&decoded, &again);
			assert_true(bytes_equal(bytes_of_buf(&encoded), bytes_of_buf(&again)));
			directory_record_finish(&decoded);
		}
		encoded.data[at] = before;
	}
	directory_record_finish(&record);
	buf_finish(&encoded);
	buf_finish(&again);
}

static void test_alarms(void **state)
{
	struct directory_record record = {.set = 1};
	struct directory_birth birth = {.uuid = {{1}}, .profile = {2, 1}};

	(void)state;
	directory_set_birth(&record, &birth);
	directory_set_birth(&record, &birth);
	assert_int_equal(directory_add_seal(&record, (struct hash128){1, 1}), ERR_OK);
	assert_int_equal(directory_add_seal(&record, (struct hash128){1, 1}), ERR_OK);
	assert_false(directory_is_alarming(&record));
	assert_int_equal(directory_add_seal(&record, (struct hash128){2, 1}), ERR_OK);
	assert_true(directory_is_alarming(&record));
	directory_record_finish(&record);
	record = (struct directory_record){.set = 1};
	directory_set_birth(&record, &birth);
	birth.uuid.octets[0] = 2;
	directory_set_birth(&record, &birth);
	assert_true(directory_is_alarming(&record));
	assert_int_equal(record.birth.uuid.octets[0], 1);
	directory_record_finish(&record);
}

/* A column that comes back with a tag that was removed stays out. */
static void test_removed_stays_removed(void **state)
{
	struct column_header header = {.kind = COLUMN_DATA,
				       .set = 3,
				       .tag = {{8}},
				       .profile = {1, 1},
				       .members = {{{1}}, {{2}}}};
	struct directory_record record = {.set = 3};

	(void)state;
	assert_int_equal(directory_record_learn(&record, &header, (struct hash128){0, 0}), ERR_OK);
	assert_int_equal(record.placements.count, 1);
	assert_int_equal(directory_remove_tag(&record, header.tag), ERR_OK);
	assert_int_equal(directory_record_learn(&record, &header, (struct hash128){0, 0}), ERR_OK);
	assert_int_equal(record.placements.count, 0);
	assert_true(directory_is_removed(&record, header.tag));
	directory_record_finish(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order_gives_one_state), cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_decoding_is_canonical),	  cmocka_unit_test(test_alarms),
		cmocka_unit_test(test_removed_stays_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
