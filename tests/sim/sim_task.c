/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/sim_task.h"

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

/* Virtual time within which whatever a unit test starts has ended. */
#define TASK_LIMIT_MS (365ull * 24 * 3600 * 1000)
/* Virtual time within which a halted node has unwound: nothing is left to wait for. */
#define UNWIND_LIMIT_MS 60000

static void cancel_tasks(struct sim_node *node)
{
	if (node->life->sched != NULL)
		sched_cancel_all(node->life->sched);
}

struct sched *sim_sched(struct sim_node *node)
{
	if (node->life->sched == NULL) {
		node->life->sched = sched_create(&node->life->env);
		ASSERT(node->life->sched != NULL);
		node->on_halt = cancel_tasks;
	}
	return node->life->sched;
}

void sim_spawn(struct sim_node *node, const char *name, void (*run)(void *argument), void *argument)
{
	enum err err = task_spawn(sim_sched(node), name, run, argument, NULL);

	ASSERT(err == ERR_OK);
}

static bool has_no_tasks(void *context)
{
	const struct sim_node *node = context;

	return node->life->sched == NULL || sched_task_count(node->life->sched) == 0;
}

static bool is_at_rest(void *context)
{
	struct sim_event **events;
	const struct sim_node *node = context;
	size_t count = sim_events_of(&node->sim->events, node->life, &events);

	sim_free(events);
	return count == 0 && has_no_tasks(context);
}

bool sim_is_at_rest(struct sim_node *node)
{
	return is_at_rest(node);
}

enum err sim_run_task(struct sim *sim, void (*run)(void *argument), void *argument)
{
	struct sim_node *node = sim->nodes[0];
	enum err err;

	sim_spawn(node, "test", run, argument);
	err = sim_run_until(sim, has_no_tasks, node, TASK_LIMIT_MS);
	return err == ERR_OK ? ERR_OK : ERR_LIMIT;
}

void sim_end_tasks(struct sim_node *node)
{
	if (node->life->sched != NULL)
		sched_destroy(&node->life->sched);
}

enum err sim_unwind(struct sim_node *node)
{
	enum err err = sim_run_until(node->sim, is_at_rest, node, UNWIND_LIMIT_MS);

	if (err == ERR_OK)
		sim_end_tasks(node);
	return err;
}

void sim_finish(struct sim **sim)
{
	for (size_t i = 0; *sim != NULL && i < (*sim)->node_count; i++)
		sim_end_tasks((*sim)->nodes[i]);
	sim_destroy(sim);
}
