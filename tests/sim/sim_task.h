/* SPDX-License-Identifier: MPL-2.0 */
/*
 * sim_task - tasks (engine/task.h) on simulated nodes.
 */
#ifndef AEROSTORE_TESTS_SIM_SIM_TASK_H
#define AEROSTORE_TESTS_SIM_SIM_TASK_H

#include "engine/task.h"
#include "tests/sim/sim.h"

/* The scheduler of the node's present life; made when first asked for. */
struct sched *sim_sched(struct sim_node *node);
/* Makes run(argument) ready on the node; `name` is static. */
void sim_spawn(struct sim_node *node, const char *name, void (*run)(void *argument),
	       void *argument);
/*
 * For unit tests: spawns on the first node, and runs the world until that task and all that it
 * spawned have ended. ERR_LIMIT: they do not end, or the world found something wrong.
 */
MUST_USE enum err sim_run_task(struct sim *sim, void (*run)(void *argument), void *argument);
/*
 * Runs the world until a halted node has no tasks and no operations, and destroys its scheduler.
 * What else the life owns (open handles, indexes) must have been given up before sim_restart().
 */
MUST_USE enum err sim_unwind(struct sim_node *node);
/* Whether the node has no tasks and no operations left. */
bool sim_is_at_rest(struct sim_node *node);
/* Destroys the scheduler of a node at rest. */
void sim_end_tasks(struct sim_node *node);
/* For the end of a test: destroys the schedulers, whose tasks have ended, and the world. */
void sim_finish(struct sim **sim);

#endif
