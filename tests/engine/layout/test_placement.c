/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Properties of placement over random topologies: zones and nodes are not asked
 * for more than their part while others have room, nothing failed or full is
 * picked for a column, and a newcomer takes its share and nothing else moves.
 */
#include "engine/layout/layout.h"
#include "tests/sim/random.h"
#include "tests/support/unit.h"

#define PLACEMENT_STREAM 820
#define TOPOLOGIES 400u
#define KEYS 20u
#define ZONES_MAX 5u
#define NODES_MAX 20u

static struct sim_random randoms;

static struct id128 number_id(unsigned kind, unsigned number)
{
	struct id128 id = {{(uint8_t)kind}};

	store_u32(id.octets + 12, number);
	return id;
}

static unsigned draw(unsigned least, unsigned most)
{
	return least + (unsigned)sim_random_below(&randoms, most - least + 1);
}

static struct layout random_layout(void)
{
	struct layout layout = {0};
	unsigned zones = draw(1, ZONES_MAX), node = 0, volume = 0;

	for (unsigned zone = 0; zone < zones; zone++) {
		for (unsigned last = node + draw(1, NODES_MAX / ZONES_MAX); node < last; node++) {
			for (unsigned i = draw(1, 4); i > 0; i--) {
				struct layout_volume item = {.volume = number_id(1, volume++),
							     .node = number_id(2, node),
							     .weight = draw(1, 8),
							     .failed = draw(0, 9) == 0,
							     .full = draw(0, 9) == 0};

				(void)snprintf(item.zone, sizeof(item.zone), "z%u", zone);
				assert_ok(layout_put(&layout, &item));
			}
		}
	}
	return layout;
}

/* How much there is of it for columns, or how much was picked. */
struct tally {
	unsigned volumes, nodes, zone_volumes[ZONES_MAX], zone_nodes[ZONES_MAX],
		node_volumes[NODES_MAX];
};

static void tally_add(struct tally *tally, const struct layout_volume *volume)
{
	unsigned zone = (unsigned)(volume->zone[1] - '0');
	unsigned node = load_u32(volume->node.octets + 12);

	tally->volumes++;
	tally->zone_volumes[zone]++;
	if (tally->node_volumes[node]++ == 0) {
		tally->nodes++;
		tally->zone_nodes[zone]++;
	}
}

/* What there is when no zone gives more than `cap`. */
static unsigned capped(const unsigned counts[ZONES_MAX], unsigned cap)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < ZONES_MAX; i++)
		sum += counts[i] < cap ? counts[i] : cap;
	return sum;
}

static void check_picks(const struct layout *layout, const struct tally *usable, unsigned count,
			unsigned cap, const struct id128 *picks, size_t picked)
{
	struct tally taken = {0};

	assert_int_equal(picked, count < usable->volumes ? count : usable->volumes);
	for (size_t i = 0; i < picked; i++) {
		const struct layout_volume *volume = layout_find(layout, picks[i]);

		assert_non_null(volume);
		assert_false(volume->failed || volume->full);
		for (size_t j = 0; j < i; j++)
			assert_false(id128_equal(picks[i], picks[j]));
		tally_add(&taken, volume);
	}
	for (unsigned i = 0; i < ZONES_MAX && capped(usable->zone_volumes, cap) >= count; i++)
		assert_true(taken.zone_volumes[i] <= cap);
	if (capped(usable->zone_nodes, cap) >= count)
		assert_int_equal(taken.nodes, count);
}

static void test_caps_hold_where_they_can(void **state)
{
	(void)state;
	sim_random_init(&randoms, 1, PLACEMENT_STREAM);
	for (unsigned i = 0; i < TOPOLOGIES; i++) {
		struct layout layout = random_layout();
		struct tally usable = {0};

		for (size_t j = 0; j < layout.volume_count; j++) {
			if (!layout.volumes[j].failed && !layout.volumes[j].full)
				tally_add(&usable, &layout.volumes[j]);
		}
		for (unsigned key = 0; key < KEYS; key++) {
			unsigned m = draw(1, 4), count = m + draw(1, 8);
			struct id128 picks[PROFILE_MEMBER_MAX];
			size_t picked = layout_pick(&layout, bytes_make(&key, sizeof(key)), count,
						    m, true, picks);

			check_picks(&layout, &usable, count, m, picks, picked);
		}
		layout_finish(&layout);
	}
}

/* Of sets of four on volumes of different weight: one member at most makes
 * room. */
static void test_a_newcomer_takes_its_share(void **state)
{
	struct layout layout = {0};
	unsigned hits = 0, keys = 8000;
	static struct id128 before[8000][4];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		struct layout_volume item = {
			.volume = number_id(1, i), .node = number_id(2, i), .weight = 1 + i % 4};

		assert_ok(layout_put(&layout, &item));
	}
	for (unsigned key = 0; key < keys; key++)
		assert_int_equal(layout_pick(&layout, bytes_make(&key, sizeof(key)), 4, 4, true,
					     before[key]),
				 4);
	assert_ok(layout_put(&layout, &(struct layout_volume){.volume = number_id(1, 99),
							      .node = number_id(2, 99),
							      .weight = 2}));
	for (unsigned key = 0; key < keys; key++) {
		struct id128 after[4];
		unsigned kept = 0, newcomer = 0;

		assert_int_equal(
			layout_pick(&layout, bytes_make(&key, sizeof(key)), 4, 4, true, after), 4);
		for (unsigned i = 0; i < 4; i++) {
			newcomer += id128_equal(after[i], number_id(1, 99));
			for (unsigned j = 0; j < 4; j++)
				kept += id128_equal(after[i], before[key][j]);
		}
		assert_int_equal(kept + newcomer, 4);
		hits += newcomer;
	}
	/* Weight 2 of 52, four times; a set has a volume once, which favours the
   * light ones. */
	assert_true(hits > keys * 4 * 2 / 52 * 9 / 10 && hits < keys * 4 * 2 / 52 * 12 / 10);
	layout_finish(&layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps_hold_where_they_can),
		cmocka_unit_test(test_a_newcomer_takes_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
