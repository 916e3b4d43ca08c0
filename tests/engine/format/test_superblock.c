/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/hash.h"
#include "engine/format/superblock.h"

static struct superblock sample(uint64_t generation)
{
	return (struct superblock){.identity = {.cluster = {{1, 2, 3}},
						.node = {{4, 5, 6}},
						.volume = {{7, 8, 9}},
						.created_ms = 1700000000000,
						.zone = "cellar"},
				   .generation = generation};
}

static void seal(uint8_t *copy)
{
	struct hash128 hash = hash_128(copy, 4080);

	store_u64(copy + 4080, hash.low);
	store_u64(copy + 4088, hash.high);
}

static void test_round_trip(void **state)
{
	struct superblock superblock = sample(1), back;
	uint8_t both[SUPERBLOCK_SIZE];
	unsigned stale = 9;

	(void)state;
	superblock_encode(&superblock, both);
	assert_int_equal(superblock_choose(both, &back, &stale), ERR_OK);
	assert_int_equal(stale, 0);
	assert_memory_equal(&back.identity, &superblock.identity, sizeof(back.identity));
	assert_int_equal(back.generation, 1);
	assert_false(back.read_only);
}

static void test_every_flip_is_survived(void **state)
{
	struct superblock superblock = sample(1), back;
	uint8_t both[SUPERBLOCK_SIZE];
	unsigned stale;

	(void)state;
	superblock_encode(&superblock, both);
	for (size_t at = 0; at < SUPERBLOCK_SIZE; at++) {
		unsigned copy = (unsigned)(at / SUPERBLOCK_COPY_SIZE);

		both[at] ^= (uint8_t)(1u << at % 8);
		assert_int_equal(superblock_decode(both + copy * SUPERBLOCK_COPY_SIZE, copy, &back),
				 ERR_CORRUPT);
		assert_int_equal(superblock_choose(both, &back, &stale), ERR_OK);
		assert_int_equal(stale, 1u << copy);
		both[at] ^= (uint8_t)(1u << at % 8);
	}
}

/* A new generation is written to copy 0, then to copy 1: cut at any byte. */
static void test_torn_update(void **state)
{
	struct superblock old = sample(1), new = sample(2), back;
	uint8_t before[SUPERBLOCK_SIZE], after[SUPERBLOCK_SIZE], torn[SUPERBLOCK_SIZE];
	unsigned stale;

	(void)state;
	memcpy(new.identity.zone, "attic\0", 7);
	superblock_encode(&old, before);
	superblock_encode(&new, after);
	for (size_t cut = 0; cut <= SUPERBLOCK_SIZE; cut++) {
		memcpy(torn, after, cut);
		memcpy(torn + cut, before + cut, SUPERBLOCK_SIZE - cut);
		assert_int_equal(superblock_choose(torn, &back, &stale), ERR_OK);
		if (back.generation == 2) {
			assert_string_equal(back.identity.zone, "attic");
			assert_true(cut > 4000);
			assert_true(stale == 0 || stale == 2);
		} else {
			assert_string_equal(back.identity.zone, "cellar");
			assert_true(cut < SUPERBLOCK_COPY_SIZE);
		}
	}
	assert_int_equal(back.generation, 2);
}

static enum err choose_with(size_t offset, uint8_t value, struct superblock *out)
{
	struct superblock superblock = sample(1);
	uint8_t both[SUPERBLOCK_SIZE];

	superblock_encode(&superblock, both);
	both[offset] = both[SUPERBLOCK_COPY_SIZE + offset] = value;
	seal(both);
	seal(both + SUPERBLOCK_COPY_SIZE);
	return superblock_choose(both, out, NULL);
}

static void test_fields_are_checked(void **state)
{
	struct superblock back;

	(void)state;
	assert_int_equal(choose_with(8, 1, &back), ERR_OK);
	assert_int_equal(choose_with(0, 'B', &back), ERR_CORRUPT);
	assert_int_equal(choose_with(8, 0, &back), ERR_CORRUPT);
	assert_int_equal(choose_with(8, 2, &back), ERR_NEWER);
	assert_int_equal(choose_with(24, 1, &back), ERR_OK); /* compat */
	assert_false(back.read_only);
	assert_int_equal(choose_with(39, 1, &back), ERR_OK); /* ro-compat */
	assert_true(back.read_only);
	assert_int_equal(choose_with(47, 1, &back), ERR_NEWER);	     /* incompat */
	assert_int_equal(choose_with(16, 0, &back), ERR_CORRUPT);    /* generation 0 */
	assert_int_equal(choose_with(120, 'x', &back), ERR_CORRUPT); /* behind the label's NUL */
	assert_int_equal(choose_with(136, 1, &back), ERR_CORRUPT);
	assert_int_equal(choose_with(4079, 1, &back), ERR_CORRUPT);
}

/* An upgrade that was cut between the copies is not undone by who does not know it. */
static void test_one_newer_copy(void **state)
{
	struct superblock superblock = sample(1), back;
	uint8_t both[SUPERBLOCK_SIZE];

	(void)state;
	for (size_t copy = 0; copy < 2; copy++) {
		superblock_encode(&superblock, both);
		both[copy * SUPERBLOCK_COPY_SIZE + 8] = 2;
		seal(both + copy * SUPERBLOCK_COPY_SIZE);
		assert_int_equal(superblock_choose(both, &back, NULL), ERR_NEWER);
	}
	/* Two of the first copy: one went to the wrong place. */
	superblock_encode(&superblock, both);
	memcpy(both + SUPERBLOCK_COPY_SIZE, both, SUPERBLOCK_COPY_SIZE);
	assert_int_equal(superblock_decode(both + SUPERBLOCK_COPY_SIZE, 1, &back), ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_flip_is_survived),
		cmocka_unit_test(test_torn_update),
		cmocka_unit_test(test_fields_are_checked),
		cmocka_unit_test(test_one_newer_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
