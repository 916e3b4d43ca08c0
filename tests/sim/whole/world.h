/* SPDX-License-Identifier: MPL-2.0 */
/*
 * world - one simulated node with a volume on each of a few disks, and the
 * faults that its seed gives it.
 *
 * The volumes lie in /d0/v, /d1/v, ..., their indexes on a disk of their own
 * below /index, which loses what was not durable and at times all it held. The
 * seed picks a regimen, which faults may strike, and how often. INV: damage
 * stays within the atlas of the volumes' disks: one of them at a time, which is
 * what 2+1 over three volumes and journals on two of three replicas survive. So
 * any loss is a bug.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_WORLD_H
#define AEROSTORE_TESTS_SIM_WHOLE_WORLD_H

#include "tests/sim/sim_task.h"

#define WORLD_VOLUME_MAX 6u
#define WORLD_INDEX_DIRECTORY "/index"

/* X(name, which faults) */
#define REGIMEN_LIST(X)                                                                            \
	X(CRASHES, "power losses and killed processes alone")                                      \
	X(SILENT, "writes lost or misdirected, rotten bits, unreadable pages")                     \
	X(SYNC, "syncs that fail, pages that turn clean")                                          \
	X(LOSS, "a volume's directory or its disk goes")                                           \
	X(SPACE, "disks that are full, or slow")                                                   \
	X(READS, "reads that fail once, or take long")                                             \
	X(ALL, "all of them")

enum regimen {
#define X(name, text) REGIMEN_##name,
	REGIMEN_LIST(X)
#undef X
		REGIMEN_COUNT, /* how many: not one of them */
};

struct world {
	struct sim *sim;
	struct sim_node *node;
	uint64_t start_ms; /* the world's clock does not begin at zero */
	size_t volume_count;
	struct sim_disk *disks[WORLD_VOLUME_MAX];
	struct sim_atlas atlas;
	enum regimen regimen;
	bool spread; /* each volume counts as a node of its own: profiles beyond 2+1 */
	/* For the workload: chances, a step of its own. */
	uint32_t crash_per_million, kill_per_million;
	/* Reads may fail though the data is there, and come at a second try. */
	bool fickle;
};

/*
 * volume_count: 3 where nothing else is wanted; 5 are spread, and 2+2 and three replicas of which
 * all must answer tolerate the damage of two. The faults do not strike before world_unleash().
 */
void world_init(struct world *world, uint64_t seed, size_t volume_count);
void world_unleash(struct world *world);
/* Ends all faults; damage done stays. */
void world_calm(struct world *world);
/* Ends the world; its node has been unwound. */
void world_finish(struct world *world);
const char *world_path(size_t volume);
/* The damaged disks go, and others until as many are gone as the atlas tolerates. */
void world_lose_disks(struct world *world);
/* Adds how often each fault struck. */
void world_count_faults(const struct world *world, uint64_t counts[SIM_FAULT_COUNT]);
const char *regimen_name(enum regimen regimen);

#endif
