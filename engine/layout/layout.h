/* SPDX-License-Identifier: MPL-2.0 */
/*
 * layout - which volumes there are, in which nodes and zones, and who of them
 * is responsible for what.
 *
 * Responsibility is weighted rendezvous hashing (Thaler, Ravishankar 1998; the
 * weighted form by logarithm): adding a volume moves only its share. Picks are
 * spread over zones, then nodes, then volumes: a second pick in a node is made
 * only when every node has one, and no zone takes more than `zone_cap` picks
 * while the topology allows. A failed volume is left out; it is not a change of
 * the layout. Pure; a few hundred volumes are scanned linearly.
 */
#ifndef AEROSTORE_ENGINE_LAYOUT_LAYOUT_H
#define AEROSTORE_ENGINE_LAYOUT_LAYOUT_H

#include "engine/base/bytes.h"

#define LAYOUT_VOLUME_MAX 1024u
#define LAYOUT_GROUP_COUNT 256u
#define LAYOUT_REPLICAS 3u

struct layout_volume {
	struct id128 volume, node;
	char zone[32];
	uint32_t weight; /* relative capacity, >= 1 */
	bool failed;
	bool full; /* no new columns */
};

struct layout {
	struct layout_volume *volumes; /* sorted by volume id */
	size_t volume_count;
};

void layout_finish(struct layout *layout);
/* Adds, or updates the one with this id. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err layout_put(struct layout *layout, const struct layout_volume *volume);
/* Harmless when it is not there. */
void layout_remove(struct layout *layout, struct id128 volume);
struct layout_volume *layout_find(const struct layout *layout, struct id128 volume);
/*
 * The `count` best volumes for `key`, best first, not failed (nor full when `for_columns`). Fewer
 * when there are not so many. Returns how many.
 */
size_t layout_pick(const struct layout *layout, struct bytes key, size_t count, size_t zone_cap,
		   bool for_columns, struct id128 *out);
/* Journal group of a stream: the first octet of XXH3-64 over its id. */
uint8_t layout_group(struct id128 stream);
/* The designated replicas of a group: the best min(LAYOUT_REPLICAS, live) volumes. */
size_t layout_replicas(const struct layout *layout, uint8_t group, struct id128 *out);

/* k data and m parity columns. */
struct profile {
	uint8_t k, m;
};

#define PROFILE_MEMBER_MAX 16u

/* What the live failure domains allow (docs/decisions.md "Profiles"); {0, 0}: fewer than two live volumes. */
struct profile layout_profile(const struct layout *layout);
/*
 * One that survives as many losses as `wanted`, and is as wide as the live failure domains allow, at
 * most as wide as that. {0, 0}: there are not enough of them.
 */
struct profile layout_profile_like(const struct layout *layout, struct profile wanted);
/* Whether there would be a profile if no volume were full: what is missing is space, not volumes. */
bool layout_is_full(const struct layout *layout);
/* How many copies of a journal entry must be synced: min(R, m + 1), never below two. */
size_t layout_write_quorum(const struct layout *layout);

#endif
