/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/layout/layout.h"

static struct id128 number_id(unsigned kind, unsigned number)
{
	struct id128 id = {{0}};

	id.octets[0] = (uint8_t)kind;
	store_u32(id.octets + 12, number);
	return id;
}

static void add(struct layout *layout, unsigned zone, unsigned node, unsigned volume,
		uint32_t weight)
{
	struct layout_volume item = {.volume = number_id(1, node * 100 + volume),
				     .node = number_id(2, node),
				     .weight = weight};

	snprintf(item.zone, sizeof(item.zone), "z%u", zone);
	assert_int_equal(layout_put(layout, &item), ERR_OK);
}

/* `zones` zones of `nodes` nodes of `volumes` volumes. */
static struct layout grid(unsigned zones, unsigned nodes, unsigned volumes)
{
	struct layout layout = {0};

	for (unsigned zone = 0; zone < zones; zone++)
		for (unsigned node = 0; node < nodes; node++)
			for (unsigned volume = 0; volume < volumes; volume++)
				add(&layout, zone, zone * nodes + node, volume, 1);
	return layout;
}

static void assert_profile(struct layout layout, unsigned k, unsigned m, size_t quorum)
{
	struct profile profile = layout_profile(&layout);

	assert_int_equal(profile.k, k);
	assert_int_equal(profile.m, m);
	assert_int_equal(layout_write_quorum(&layout), quorum);
	layout_finish(&layout);
}

static void test_profiles(void **state)
{
	(void)state;
	assert_profile(grid(1, 0, 0), 0, 0, 2);
	assert_profile(grid(1, 1, 1), 0, 0, 2);
	assert_profile(grid(1, 1, 2), 1, 1, 2);
	assert_profile(grid(1, 1, 3), 2, 1, 2);
	assert_profile(grid(1, 1, 9), 2, 1, 2);
	assert_profile(grid(1, 2, 4), 1, 1, 2);
	assert_profile(grid(1, 3, 1), 2, 1, 2);
	assert_profile(grid(1, 4, 1), 2, 2, 3);
	assert_profile(grid(1, 5, 2), 2, 2, 3);
	assert_profile(grid(1, 6, 1), 4, 2, 3);
	assert_profile(grid(1, 20, 1), 4, 2, 3);
	assert_profile(grid(3, 2, 1), 4, 2, 3);
	assert_profile(grid(3, 3, 1), 6, 3, 3);
	assert_profile(grid(2, 9, 1), 4, 2, 3);
}

/* What gives way is the width. */
static void test_profile_like(void **state)
{
	struct layout layout = grid(1, 1, 5);
	struct profile profile;

	(void)state;
	for (unsigned live = 5; live > 0; live--) {
		profile = layout_profile_like(&layout, (struct profile){2, 2});
		assert_int_equal(profile.k, live >= 4 ? 2 : live == 3 ? 1 : 0);
		assert_int_equal(profile.m, live >= 3 ? 2 : 0);
		layout.volumes[live - 1].failed = true;
	}
	layout_finish(&layout);
	/* Where there are several nodes, two columns in one are lost with it. */
	layout = grid(1, 3, 4);
	profile = layout_profile_like(&layout, (struct profile){4, 2});
	assert_int_equal(profile.k, 1);
	assert_int_equal(profile.m, 2);
	layout_finish(&layout);
}

static void test_failed_and_full_volumes(void **state)
{
	struct layout layout = grid(1, 1, 3);
	struct id128 out[3];

	(void)state;
	layout.volumes[1].full = true;
	assert_int_equal(layout_profile(&layout).k, 1);
	assert_int_equal(layout_write_quorum(&layout), 2);
	assert_int_equal(layout_replicas(&layout, 7, out), 3);
	assert_int_equal(layout_pick(&layout, bytes_string("x"), 3, 1, true, out), 2);
	layout.volumes[1].failed = true;
	assert_int_equal(layout_replicas(&layout, 7, out), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_false(id128_equal(out[i], layout.volumes[1].volume));
	layout.volumes[0].failed = true;
	assert_int_equal(layout_profile(&layout).k, 0);
	assert_int_equal(layout_write_quorum(&layout), 2);
	layout_finish(&layout);
}

static void test_put_and_find(void **state)
{
	struct layout layout = {0};
	struct layout_volume changed;

	(void)state;
	for (unsigned i = 0; i < LAYOUT_VOLUME_MAX; i++)
		add(&layout, 0, (i * 7) % LAYOUT_VOLUME_MAX, 0, 1);
	for (size_t i = 1; i < layout.volume_count; i++)
		assert_true(id128_compare(layout.volumes[i - 1].volume, layout.volumes[i].volume) <
			    0);
	changed = layout.volumes[3];
	changed.weight = 9;
	assert_int_equal(layout_put(&layout, &changed), ERR_OK);
	assert_int_equal(layout.volume_count, LAYOUT_VOLUME_MAX);
	assert_int_equal(layout_find(&layout, changed.volume)->weight, 9);
	assert_null(layout_find(&layout, number_id(3, 1)));
	changed.volume = number_id(3, 1);
	assert_int_equal(layout_put(&layout, &changed), ERR_LIMIT);
	layout_finish(&layout);
}

static size_t distinct(const struct layout *layout, const struct id128 *picks, size_t count,
		       bool zones)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		struct layout_volume *a = layout_find(layout, picks[i]);
		bool seen = false;

		for (size_t j = 0; j < i; j++) {
			struct layout_volume *b = layout_find(layout, picks[j]);

			seen |= zones ? strcmp(a->zone, b->zone) == 0
				      : id128_equal(a->node, b->node);
		}
		found += !seen;
	}
	return found;
}

static void test_spread(void **state)
{
	struct layout layout = grid(3, 3, 2);
	struct id128 out[18];

	(void)state;
	for (unsigned group = 0; group < LAYOUT_GROUP_COUNT; group++) {
		assert_int_equal(layout_replicas(&layout, (uint8_t)group, out), 3);
		assert_int_equal(distinct(&layout, out, 3, true), 3);
	}
	for (unsigned key = 0; key < 100; key++) {
		struct bytes bytes = bytes_make(&key, sizeof(key));

		assert_int_equal(layout_pick(&layout, bytes, 9, 3, true, out), 9);
		assert_int_equal(distinct(&layout, out, 9, false), 9);
		assert_int_equal(distinct(&layout, out, 3, true), 3);
		assert_int_equal(layout_pick(&layout, bytes, 100, 3, true, out), 18);
	}
	layout_finish(&layout);
	/* A small zone takes no more than its cap while others have room. */
	layout = grid(1, 4, 2);
	add(&layout, 9, 50, 0, 1);
	for (unsigned key = 0; key < 100; key++) {
		struct bytes bytes = bytes_make(&key, sizeof(key));

		assert_int_equal(layout_pick(&layout, bytes, 2, 1, true, out), 2);
		assert_int_equal(distinct(&layout, out, 2, true), 2);
	}
	layout_finish(&layout);
}

static void test_share_follows_weight(void **state)
{
	struct layout layout = {0};
	unsigned hits[4] = {0};

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		add(&layout, 0, 0, i, i + 1);
	for (unsigned key = 0; key < 20000; key++) {
		struct id128 out;

		assert_int_equal(
			layout_pick(&layout, bytes_make(&key, sizeof(key)), 1, 9, false, &out), 1);
		hits[load_u32(out.octets + 12)]++;
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_true(hits[i] > 2000 * (i + 1) * 9 / 10);
		assert_true(hits[i] < 2000 * (i + 1) * 11 / 10);
	}
	layout_finish(&layout);
}

static void test_adding_moves_only_a_share(void **state)
{
	struct layout layout = grid(1, 1, 9);
	struct id128 before[2000], after;
	unsigned moved = 0;

	(void)state;
	for (unsigned key = 0; key < 2000; key++)
		layout_pick(&layout, bytes_make(&key, sizeof(key)), 1, 9, false, &before[key]);
	add(&layout, 0, 0, 77, 1);
	for (unsigned key = 0; key < 2000; key++) {
		layout_pick(&layout, bytes_make(&key, sizeof(key)), 1, 9, false, &after);
		if (id128_equal(after, before[key]))
			continue;
		/* Whatever moves, moves to the newcomer. */
		assert_true(id128_equal(after, number_id(1, 77)));
		moved++;
	}
	assert_true(moved > 150 && moved < 250);
	layout_finish(&layout);
}

/* Picks are part of the format: another machine, another compiler, the same replicas. */
static void test_picks_are_fixed(void **state)
{
	struct layout layout = grid(1, 5, 1);
	struct id128 out[3];
	uint64_t digest = 0;

	(void)state;
	for (unsigned group = 0; group < LAYOUT_GROUP_COUNT; group++) {
		assert_int_equal(layout_replicas(&layout, (uint8_t)group, out), 3);
		for (unsigned i = 0; i < 3; i++)
			digest = digest * 1000003u + load_u32(out[i].octets + 12);
	}
	assert_int_equal(layout_group(ID128_ZERO), 0x68);
	assert_int_equal(digest, 0x1f5e55dcf47479f8u);
	layout_finish(&layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profiles),
		cmocka_unit_test(test_profile_like),
		cmocka_unit_test(test_failed_and_full_volumes),
		cmocka_unit_test(test_put_and_find),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_share_follows_weight),
		cmocka_unit_test(test_adding_moves_only_a_share),
		cmocka_unit_test(test_picks_are_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
