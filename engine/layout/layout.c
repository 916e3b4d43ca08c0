/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/layout/layout.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "engine/base/memory.h"

void layout_finish(struct layout *layout)
{
	memory_free(layout->volumes);
	*layout = (struct layout){0};
}

/* Where the id is, or would go. */
static size_t position_of(const struct layout *layout, struct id128 volume)
{
	size_t low = 0, high = layout->volume_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (id128_compare(layout->volumes[middle].volume, volume) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct layout_volume *layout_find(const struct layout *layout, struct id128 volume)
{
	size_t position = position_of(layout, volume);

	if (position == layout->volume_count ||
	    !id128_equal(layout->volumes[position].volume, volume))
		return NULL;
	return &layout->volumes[position];
}

enum err layout_put(struct layout *layout, const struct layout_volume *volume)
{
	struct layout_volume *found = layout_find(layout, volume->volume), *volumes;
	size_t position;

	if (found != NULL) {
		*found = *volume;
		return ERR_OK;
	}
	if (layout->volume_count >= LAYOUT_VOLUME_MAX)
		return ERR_LIMIT;
	volumes = memory_resize(layout->volumes, (layout->volume_count + 1) * sizeof(*volumes));
	if (volumes == NULL)
		return ERR_NOMEM;
	layout->volumes = volumes;
	position = position_of(layout, volume->volume);
	memmove(&volumes[position + 1], &volumes[position],
		(layout->volume_count - position) * sizeof(*volumes));
	volumes[position] = *volume;
	layout->volume_count++;
	return ERR_OK;
}

void layout_remove(struct layout *layout, struct id128 volume)
{
	size_t position = position_of(layout, volume);

	if (layout_find(layout, volume) == NULL)
		return;
	memmove(&layout->volumes[position], &layout->volumes[position + 1],
		(--layout->volume_count - position) * sizeof(*layout->volumes));
}

/* ---- rendezvous ---- */

/*
 * -log2((hash + 1) / 2^64) with 32 binary places, by squaring. Integers only: every machine must
 * come to the same picks, and libm's logarithms differ in their last bits.
 */
static uint64_t negative_log2(uint64_t hash)
{
	uint64_t mantissa, result;
	unsigned exponent;

	if (hash == UINT64_MAX)
		return 0;
	hash++;
	exponent = 63u - (unsigned)__builtin_clzll(hash);
	mantissa = hash << (63u - exponent); /* [1, 2) with 63 binary places */
	result = (uint64_t)exponent << 32;
	for (unsigned place = 32; place-- > 0;) {
		unsigned __int128 square = (unsigned __int128)mantissa * mantissa;

		if ((square >> 127) != 0) {
			result |= (uint64_t)1 << place;
			mantissa = (uint64_t)(square >> 64);
		} else {
			mantissa = (uint64_t)(square >> 63);
		}
	}
	return ((uint64_t)64 << 32) - result;
}

struct candidate {
	const struct layout_volume *volume;
	uint64_t cost; /* of weight 1; divided by the weight when compared */
	size_t node_picks, zone_picks;
	bool picked;
};

static uint64_t volume_cost(const struct layout_volume *volume, struct hash128 key)
{
	uint8_t input[32];

	memcpy(input, volume->volume.octets, 16);
	store_u64(input + 16, key.low);
	store_u64(input + 24, key.high);
	return negative_log2(hash_64(input, sizeof(input)));
}

static bool is_cheaper(const struct candidate *a, const struct candidate *b)
{
	unsigned __int128 left = (unsigned __int128)a->cost * b->volume->weight;
	unsigned __int128 right = (unsigned __int128)b->cost * a->volume->weight;

	if (left != right)
		return left < right;
	return id128_compare(a->volume->volume, b->volume->volume) < 0;
}

/* Spread first, then the hash decides. */
static bool is_better(const struct candidate *a, const struct candidate *b, size_t zone_cap)
{
	bool a_over = a->zone_picks >= zone_cap, b_over = b->zone_picks >= zone_cap;

	if (a_over != b_over)
		return b_over;
	if (a->node_picks != b->node_picks)
		return a->node_picks < b->node_picks;
	if (a->zone_picks != b->zone_picks)
		return a->zone_picks < b->zone_picks;
	return is_cheaper(a, b);
}

static bool is_same_zone(const struct layout_volume *a, const struct layout_volume *b)
{
	return strncmp(a->zone, b->zone, sizeof(a->zone)) == 0;
}

static size_t pick_best(struct candidate *candidates, size_t candidate_count, size_t count,
			size_t zone_cap, struct id128 *out)
{
	size_t picked = 0;

	for (; picked < count && picked < candidate_count; picked++) {
		struct candidate *best = NULL;

		for (size_t i = 0; i < candidate_count; i++)
			if (!candidates[i].picked &&
			    (best == NULL || is_better(&candidates[i], best, zone_cap)))
				best = &candidates[i];
		best->picked = true;
		out[picked] = best->volume->volume;
		for (size_t i = 0; i < candidate_count; i++) {
			struct candidate *other = &candidates[i];

			other->node_picks += id128_equal(other->volume->node, best->volume->node);
			other->zone_picks += is_same_zone(other->volume, best->volume);
		}
	}
	return picked;
}

size_t layout_pick(const struct layout *layout, struct bytes key, size_t count, size_t zone_cap,
		   bool for_columns, struct id128 *out)
{
	/* 40 KiB at most would be too much for a task's stack. */
	struct candidate few[16], *candidates = few;
	struct hash128 key_hash = hash_128(key.data, key.size);
	size_t candidate_count = 0, picked;

	if (layout->volume_count > sizeof(few) / sizeof(few[0])) {
		candidates = memory_array(layout->volume_count, sizeof(*candidates));
		if (candidates == NULL)
			return 0;
	}
	for (size_t i = 0; i < layout->volume_count; i++) {
		const struct layout_volume *volume = &layout->volumes[i];

		if (volume->failed || (for_columns && volume->full))
			continue;
		ASSERT(volume->weight >= 1);
		candidates[candidate_count++] =
			(struct candidate){.volume = volume, .cost = volume_cost(volume, key_hash)};
	}
	picked = pick_best(candidates, candidate_count, count, zone_cap, out);
	if (candidates != few)
		memory_free(candidates);
	return picked;
}

uint8_t layout_group(struct id128 stream)
{
	return (uint8_t)hash_64(stream.octets, sizeof(stream.octets));
}

size_t layout_replicas(const struct layout *layout, uint8_t group, struct id128 *out)
{
	static const char label[] = "journal group";
	uint8_t key[sizeof(label)];

	/* The group's number in place of the terminating zero. */
	memcpy(key, label, sizeof(label) - 1);
	key[sizeof(label) - 1] = group;
	return layout_pick(layout, bytes_make(key, sizeof(key)), LAYOUT_REPLICAS, 1, false, out);
}

/* ---- profiles ---- */

struct domains {
	size_t volumes, nodes, wide_zones;
};

/* Zones with at least this many nodes hold their third of a 6+3 set. */
#define WIDE_ZONE_NODES 3u

static bool is_usable(const struct layout_volume *volume, bool with_full)
{
	return !volume->failed && (with_full || !volume->full);
}

/* Whether it is the first usable volume of its node. */
static bool leads_node(const struct layout *layout, size_t index, bool with_full)
{
	for (size_t i = 0; i < index; i++)
		if (is_usable(&layout->volumes[i], with_full) &&
		    id128_equal(layout->volumes[i].node, layout->volumes[index].node))
			return false;
	return is_usable(&layout->volumes[index], with_full);
}

/* Quadratic in the number of volumes, which is small, and asked only when a set opens. */
static struct domains count_domains(const struct layout *layout, bool with_full)
{
	struct domains domains = {0};

	for (size_t i = 0; i < layout->volume_count; i++) {
		size_t rank_in_zone = 1;

		domains.volumes += is_usable(&layout->volumes[i], with_full);
		if (!leads_node(layout, i, with_full))
			continue;
		domains.nodes++;
		for (size_t j = 0; j < i; j++)
			rank_in_zone += leads_node(layout, j, with_full) &&
					is_same_zone(&layout->volumes[i], &layout->volumes[j]);
		domains.wide_zones += rank_in_zone == WIDE_ZONE_NODES;
	}
	return domains;
}

/*
 * Three zones: 6+3, not 5+4. Three columns a zone are what either puts there, and m = 3 survives a
 * zone or any three nodes. 5+4 would survive one node more beside a lost zone, for 1.8 bytes
 * instead of 1.5 of each byte stored; the journal's three replicas would not survive that either.
 */
static struct profile profile_of(const struct domains *domains)
{
	if (domains->volumes < 2)
		return (struct profile){0, 0};
	if (domains->wide_zones >= 3)
		return (struct profile){6, 3};
	if (domains->nodes >= 6)
		return (struct profile){4, 2};
	if (domains->nodes >= 4)
		return (struct profile){2, 2};
	if (domains->nodes == 3 || (domains->nodes == 1 && domains->volumes >= 3))
		return (struct profile){2, 1};
	return (struct profile){1, 1};
}

struct profile layout_profile(const struct layout *layout)
{
	/* A full volume takes no column, so it is no domain for a new set. */
	const struct domains domains = count_domains(layout, false);

	return profile_of(&domains);
}

struct profile layout_profile_like(const struct layout *layout, struct profile wanted)
{
	const struct domains domains = count_domains(layout, false);
	const size_t count = domains.nodes > 1 ? domains.nodes : domains.volumes;

	if (wanted.m == 0 || count <= wanted.m)
		return (struct profile){0, 0};
	if (count - wanted.m < wanted.k)
		wanted.k = (uint8_t)(count - wanted.m);
	return wanted;
}

bool layout_is_full(const struct layout *layout)
{
	const struct domains domains = count_domains(layout, true);

	return layout_profile(layout).k == 0 && profile_of(&domains).k != 0;
}

size_t layout_write_quorum(const struct layout *layout)
{
	/* A full volume still holds entries: filling up must not lower what an append promises. */
	const struct domains domains = count_domains(layout, true);
	const size_t replicas =
		domains.volumes < LAYOUT_REPLICAS ? domains.volumes : LAYOUT_REPLICAS;
	const size_t wanted = profile_of(&domains).m + 1u;
	const size_t quorum = wanted < replicas ? wanted : replicas;

	return quorum < 2 ? 2 : quorum;
}
