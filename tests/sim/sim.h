/* SPDX-License-Identifier: MPL-2.0 */
/*
 * sim - a deterministic world: nodes, their disks and the clock in one process.
 *
 * A world has one seed, one virtual clock and one heap of events. Each node has
 * an env (engine/env.h) of its own over disks of its own. Time moves only from
 * event to event; the same seed and the same program give the same events, and
 * hence the same sim_trace_hash().
 *
 * Life of a node: it runs from the start; sim_crash() is the loss of power,
 * sim_kill() the death of its process alone. Both stop its env: what was posted
 * completes with ERR_CANCELED as the world runs on, and nothing touches its
 * disks. When its tasks have unwound and their objects are destroyed,
 * sim_restart() gives it a new env over the same disks.
 *
 * What the world finds wrong (a buffer changed while it was posted, a handle
 * closed under an operation, no end in sight) it prints with the seed; from
 * then on every run returns ERR_LIMIT.
 *
 * Not here: the wire between nodes.
 */
#ifndef AEROSTORE_TESTS_SIM_SIM_H
#define AEROSTORE_TESTS_SIM_SIM_H

#include <stdio.h>

#include "engine/env.h"
#include "tests/sim/disk.h"
#include "tests/sim/event.h"
#include "tests/sim/index.h"
#include "tests/sim/random.h"
#include "tests/sim/tree.h"

#define SIM_NODE_LIMIT 64

struct sched;
struct sim_node;

/* Zero means the default. */
struct sim_options {
	struct sim_disk_options disk; /* of the roots, and default of others */
	uint64_t event_limit;	      /* 0: 50 million in all */
	uint64_t job_jitter_us;	      /* how long offloaded work may take */
	uint64_t timer_jitter_us;     /* how late timers may fire */
	/* The chance, a write, that the kernel writes some dirty page back unasked. */
	uint32_t write_back_per_million;
	/* Every operation as a line; NULL: none, or stderr where SIM_TRACE is in the environment.
	 */
	FILE *trace;
};

struct sim {
	uint64_t seed;
	struct sim_options options;
	struct sim_events events;
	uint64_t now_us, event_count;
	uint64_t trace_hash;
	struct sim_random scheduling, faults;
	struct sim_node *nodes[SIM_NODE_LIMIT];
	size_t node_count;
	bool failed;
};

/* One life of a node: from a start to a halt. */
struct sim_env {
	struct env env; /* first: env.h */
	struct sim_node *node;
	struct sim_random random;
	struct env_file *files;		/* open handles */
	size_t file_count, index_count; /* open */
	struct sched *sched;		/* task.h here: NULL until wanted */
};

struct sim_node {
	struct sim *sim;
	size_t number;
	struct sim_env *life;
	uint64_t life_count;
	int64_t wall_offset_ms;
	/* Steps of operations so far in all lives; the power fails at number crash_at, from 1. */
	uint64_t step_count, crash_at;
	enum sim_crash_outcome crash_outcome;
	struct sim_tree tree;
	struct sim_index *indexes;
	/* Wakes the node's tasks when its env stops; set by whoever made them. */
	void (*on_halt)(struct sim_node *node);
};

/* options may be NULL. */
struct sim *sim_create(uint64_t seed, const struct sim_options *options);
/* Files and indexes must be closed; events left are dropped. */
void sim_destroy(struct sim **sim);

/* A world of one node, without faults or jitter: for the unit tests of the engine. */
struct sim *sim_simple(void);
/* The env of the first node. */
struct env *sim_simple_env(struct sim *sim);

struct sim_node *sim_add_node(struct sim *sim);
/* Of the life that runs now. */
struct env *sim_node_env(struct sim_node *node);
/* Makes the directories of `path`, durably, with a disk at the end; options may be NULL. */
struct sim_disk *sim_add_disk(struct sim_node *node, const char *path,
			      const struct sim_disk_options *options);

/* The power fails. Never from inside the node's own calls: from an event of the world, or a test.
 */
void sim_crash(struct sim_node *node, enum sim_crash_outcome outcome);
/* The process ends; the kernel and its page cache live on. */
void sim_kill(struct sim_node *node);
bool sim_is_running(const struct sim_node *node);
/* Whether nothing of the halted life is left: no operation, handle or index. */
bool sim_is_unwound(const struct sim_node *node);
/* After it has unwound. */
void sim_restart(struct sim_node *node);

uint64_t sim_now_ms(const struct sim *sim);
/* The node's wall clock steps. */
void sim_jump_clock(struct sim_node *node, int64_t delta_ms);
/* Calls run(context) after the delay: faults, workload, whatever is of the world's own. */
void sim_at(struct sim *sim, uint64_t delay_us, void (*run)(void *context), void *context);

/* Until nothing is left to happen. ERR_LIMIT: something is wrong, and was printed. */
MUST_USE enum err sim_run(struct sim *sim);
MUST_USE enum err sim_run_for(struct sim *sim, uint64_t duration_ms);
/*
 * Until is_done(context). ERR_TIMEOUT after timeout_ms of virtual time, or when nothing is left
 * to happen.
 */
MUST_USE enum err sim_run_until(struct sim *sim, bool (*is_done)(void *context), void *context,
				uint64_t timeout_ms);

/* Over every event, every operation with its result, every log line. */
uint64_t sim_trace_hash(const struct sim *sim);
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says what is wrong and how to repeat it, once, and ends all runs. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
