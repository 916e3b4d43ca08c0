/* SPDX-License-Identifier: MPL-2.0 */
/*
 * index - the simulated node-local index: an ordered map in memory that a
 * power loss brings back stale, or empty.
 *
 * INV: what comes back is the state after some commit that is not older than
 * the last durable one, or nothing at all; never half a commit.
 */
#ifndef AEROSTORE_TESTS_SIM_INDEX_H
#define AEROSTORE_TESTS_SIM_INDEX_H

#include "engine/env.h"
#include "tests/sim/inode.h"

struct sim_index_pair {
	struct bytes key, value; /* owned */
};

struct sim_index_map {
	struct sim_index_pair *items; /* sorted by key */
	size_t count, capacity;
};

/* A change that is not durable yet; an empty key clears the map. */
struct sim_index_change {
	struct sim_index_pair pair;
	uint64_t commit;
};

struct sim_index {
	char *path;
	bool is_open, is_scanned;
	bool is_lost; /* with its disk; until it is opened again */
	struct sim_index_map live, durable;
	struct sim_index_change *changes;
	size_t change_count, change_capacity;
	uint64_t commit_count;
	struct sim_index *next;
};

struct sim_index *sim_index_create(const char *path);
void sim_index_destroy(struct sim_index *index);
MUST_USE enum err sim_index_commit(struct sim_index *index, const struct env_index_change *changes,
				   size_t change_count, bool durable);
MUST_USE enum err sim_index_get(const struct sim_index *index, struct bytes key, struct buf *value);
void sim_index_scan(const struct sim_index *index, struct bytes from, struct bytes before,
		    bool (*each)(void *context, struct bytes key, struct bytes value),
		    void *context);
/* A commit of its own, not durable. */
void sim_index_clear(struct sim_index *index);
/* Its disk is gone, and all it held. */
void sim_index_lose(struct sim_index *index);
/* May also come back empty, in one case of eight, when the outcome is random. */
void sim_index_crash(struct sim_index *index, enum sim_crash_outcome outcome,
		     struct sim_random *random);

#endif
