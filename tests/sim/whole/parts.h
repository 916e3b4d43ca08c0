/* SPDX-License-Identifier: MPL-2.0 */
/*
 * parts - the store of one life of a world's node: its volumes, its layout,
 * the journal, the blobs, opened in the order in which they need each other.
 *
 * A volume that does not open, or fails, is failed in the layout of this life;
 * the next one tries again.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_PARTS_H
#define AEROSTORE_TESTS_SIM_WHOLE_PARTS_H

#include "engine/journal/store.h"
#include "engine/set/blobs.h"
#include "engine/volume/volume.h"
#include "tests/sim/whole/world.h"

#define PARTS_CLUSTER ((struct id128){{0xc1, 0x05}})
#define PARTS_NODE ((struct id128){{0x0d, 0xe5}})

struct parts {
	struct world *world;
	uint64_t column_size, segment_size;
	const struct key *signing;		/* may be NULL */
	unsigned generations[WORLD_VOLUME_MAX]; /* how often the volume was replaced */
	bool blank[WORLD_VOLUME_MAX];		/* to be formatted at the next opening */
	/* while open */
	struct layout layout;
	struct wire *wire;
	struct volume *volumes[WORLD_VOLUME_MAX];
	size_t open_count;
	struct journal *journal;
	struct blobs *blobs;
};

/* The sizes are so small that seals, rotations and truncations happen all the time. */
void parts_init(struct parts *parts, struct world *world);
/* Runs the world until its volumes are formatted: before any fault. */
MUST_USE enum err parts_format(struct parts *parts);
/* In tasks. After an error parts_close() is still due. */
WAITS MUST_USE enum err parts_open(struct parts *parts);
/* Harmless on what is not open. Uploads, journal writers and watches are gone. */
WAITS void parts_close(struct parts *parts);
/* One did not open, or has failed. */
bool parts_lack_volume(const struct parts *parts);
/* What lies at that place is an empty volume with an id of its own from the next opening on. */
void parts_replace(struct parts *parts, size_t index);

#endif
