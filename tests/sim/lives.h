/* SPDX-License-Identifier: MPL-2.0 */
/*
 * lives - keeps a system running on the nodes of a world: starts it, and after
 * each halt of a node stops what was left of it and starts it again.
 *
 *	up ──halt──▶ tasks unwind ──▶ stop ──▶ gone ──▶ restart, start ──▶ up
 *
 * `start` and `stop` run as tasks of the node. A start that fails for another
 * reason than a halt ends the run by sim_fail(): recovery knows no manual step.
 */
#ifndef AEROSTORE_TESTS_SIM_LIVES_H
#define AEROSTORE_TESTS_SIM_LIVES_H

#include "tests/sim/sim_task.h"

/* How often the world looks after its nodes. */
#define LIVES_TURN_MS 5u

enum life_phase {
	LIFE_UP,
	LIFE_STOPPING, /* halted; `stop` is running, or has run */
	LIFE_GONE,     /* nothing is left of its last life, and no other follows */
};

struct lives {
	struct sim *sim;
	WAITS enum err (*start)(void *context, struct sim_node *node);
	/* On a halted node, and after any start: closes and frees what the life held. */
	WAITS void (*stop)(void *context, struct sim_node *node);
	void *context;
	/* its own */
	enum life_phase phases[SIM_NODE_LIMIT];
	bool serving[SIM_NODE_LIMIT]; /* started, and not halted since */
	bool ended;		      /* no node is started again */
	uint64_t restarts;
};

/* Spawns the first start on every node of the world. */
void lives_begin(struct lives *lives);
/* Runs the world for LIVES_TURN_MS, and brings halted nodes forward. */
MUST_USE enum err lives_turn(struct lives *lives);
bool lives_serves(const struct lives *lives, const struct sim_node *node);
/* Turns until all nodes serve; that they do not come back is a failure. */
MUST_USE enum err lives_settle(struct lives *lives);
/*
 * Runs run(argument) as a task of the node and waits for its end, which the caller marks by setting
 * *done. That it does not end is a failure.
 */
MUST_USE enum err lives_run(struct lives *lives, struct sim_node *node, const char *name,
			    void (*run)(void *argument), void *argument, const bool *done);
/*
 * Halts all nodes and waits until nothing is left of them; also after a failure, so that nothing
 * leaks from one seed to the next.
 */
void lives_end(struct lives *lives);

#endif
