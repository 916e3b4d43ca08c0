/* SPDX-License-Identifier: MPL-2.0 */
/*
 * store_load - the workload of the store's simulations, and what must hold of it
 * at any moment: uploads that journal entries name, reads, listings, manifests,
 * on one node that is started again after each halt.
 *
 * Oracles:
 *   - a blob whose entry was acknowledged reads back byte for byte
 *   - a complete reading of a stream finds every acknowledged entry once, in
 *     the order of its writer, from its entries or the manifest that covers them
 *   - a promised epoch is never forgotten
 *
 * Whoever drives it owns the world's faults; store_run.c and mending_run.c do.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_STORE_LOAD_H
#define AEROSTORE_TESTS_SIM_WHOLE_STORE_LOAD_H

#include "tests/sim/lives.h"
#include "tests/sim/whole/parts.h"
#include "tests/sim/whole/report.h"

#define STORE_LOAD_STREAMS 4u
/* Tries, a second apart, of what the faults of the regimen may spoil once. */
#define STORE_LOAD_TRIES 20u

struct store_item;

/* One account's: manifests of it are written by one at a time. */
struct store_stream {
	struct id128 id;
	struct gate gate;
	uint64_t epoch;		/* promised in this life; 0: not yet */
	uint64_t highest_epoch; /* ever promised */
};

struct store_load {
	struct world world;
	struct parts parts;
	struct lives lives;
	struct report *report;
	struct sim_random random;
	struct journal_writer *writer; /* of this life */
	struct store_stream streams[STORE_LOAD_STREAMS];
	struct store_item *items;
	size_t item_count, item_capacity;
	uint64_t clock, reading;
	bool exam; /* faults have ended: everything must succeed */
	bool done; /* the task of store_load_do() */
};

/* `salt`: of the random numbers that are the load's own. */
void store_load_init(struct store_load *load, uint64_t seed, size_t volume_count, uint64_t salt,
		     struct report *report);
/* Ends all lives, and the world; says in the report what there was. The err of the whole run. */
MUST_USE enum err store_load_finish(struct store_load *load, enum err err);
/* One step, while the node serves: a halt at times, or a request. */
void store_load_act(struct store_load *load);
/* Runs run(load) as a task of the node until it has ended. */
MUST_USE enum err store_load_do(struct store_load *load, const char *name,
				void (*run)(struct store_load *load));

/* In tasks of the exam: what fails is reported. */
WAITS void store_load_read_all(struct store_load *load);
WAITS void store_load_settle(struct store_load *load);
/* As many uploads as tell that the store takes writes. */
WAITS void store_load_put_some(struct store_load *load);

#endif
