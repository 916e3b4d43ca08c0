/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/lives.h"

#include "tests/sim/allocate.h"

/* Virtual time in which halted nodes come back, and what is waited for ends. */
#define SETTLE_LIMIT_MS 600000u

struct birth {
	struct lives *lives;
	struct sim_node *node;
};

static void spawn(struct lives *lives, const char *name, struct sim_node *node,
		  void (*run)(void *argument))
{
	struct birth *birth = sim_allocate(sizeof(*birth));

	*birth = (struct birth){lives, node};
	sim_spawn(node, name, run, birth);
}

static void start_system(void *argument)
{
	struct birth *birth = argument;
	struct lives *lives = birth->lives;
	enum err err = lives->start(lives->context, birth->node);

	if (err == ERR_OK)
		lives->serving[birth->node->number] = true;
	else if (err != ERR_CANCELED)
		sim_fail(lives->sim, "node %zu does not start: %s", birth->node->number,
			 err_name(err));
	sim_free(birth);
}

static void stop_system(void *argument)
{
	struct birth *birth = argument;

	birth->lives->stop(birth->lives->context, birth->node);
	sim_free(birth);
}

/* Brings a halted node forward: its tasks unwound, its system stopped, a new life. */
static void revive(struct lives *lives, struct sim_node *node)
{
	enum life_phase *phase = &lives->phases[node->number];

	lives->serving[node->number] = false;
	if (*phase == LIFE_GONE || !sim_is_at_rest(node))
		return;
	if (*phase == LIFE_UP) {
		*phase = LIFE_STOPPING;
		spawn(lives, "stop", node, stop_system);
		return;
	}
	sim_end_tasks(node);
	*phase = LIFE_GONE;
	if (lives->ended)
		return;
	if (!sim_is_unwound(node)) {
		sim_fail(lives->sim, "node %zu left files or indexes open", node->number);
		return;
	}
	sim_restart(node);
	*phase = LIFE_UP;
	lives->restarts++;
	spawn(lives, "start", node, start_system);
}

void lives_begin(struct lives *lives)
{
	for (size_t i = 0; i < lives->sim->node_count; i++)
		spawn(lives, "start", lives->sim->nodes[i], start_system);
}

enum err lives_turn(struct lives *lives)
{
	enum err err = sim_run_for(lives->sim, LIVES_TURN_MS);

	for (size_t i = 0; i < lives->sim->node_count && err == ERR_OK; i++) {
		struct sim_node *node = lives->sim->nodes[i];

		if (!sim_is_running(node))
			revive(lives, node);
	}
	return err;
}

bool lives_serves(const struct lives *lives, const struct sim_node *node)
{
	return lives->serving[node->number] && sim_is_running(node);
}

static bool all_serve(const struct lives *lives)
{
	for (size_t i = 0; i < lives->sim->node_count; i++) {
		if (!lives_serves(lives, lives->sim->nodes[i]))
			return false;
	}
	return true;
}

enum err lives_settle(struct lives *lives)
{
	uint64_t limit = sim_now_ms(lives->sim) + SETTLE_LIMIT_MS;
	enum err err = ERR_OK;

	while (err == ERR_OK && !all_serve(lives)) {
		err = lives_turn(lives);
		if (sim_now_ms(lives->sim) > limit)
			sim_fail(lives->sim, "nodes do not come back");
	}
	return err;
}

enum err lives_run(struct lives *lives, struct sim_node *node, const char *name,
		   void (*run)(void *argument), void *argument, const bool *done)
{
	uint64_t limit = sim_now_ms(lives->sim) + SETTLE_LIMIT_MS;
	enum err err = ERR_OK;

	sim_spawn(node, name, run, argument);
	while (err == ERR_OK && !*done) {
		err = lives_turn(lives);
		if (sim_now_ms(lives->sim) > limit)
			sim_fail(lives->sim, "the task \"%s\" does not end", name);
	}
	return err;
}

void lives_end(struct lives *lives)
{
	struct sim *sim = lives->sim;
	uint64_t limit = sim_now_ms(sim) + SETTLE_LIMIT_MS;
	bool failed = sim->failed, gone = false;

	lives->ended = true;
	sim->failed = false;
	for (size_t i = 0; i < sim->node_count; i++) {
		if (sim_is_running(sim->nodes[i]))
			sim_kill(sim->nodes[i]);
	}
	while (!gone && sim_now_ms(sim) < limit && lives_turn(lives) == ERR_OK) {
		gone = true;
		for (size_t i = 0; i < sim->node_count; i++)
			gone = gone && lives->phases[i] == LIFE_GONE;
	}
	if (!gone)
		sim_fail(sim, "nodes do not unwind");
	sim->failed |= failed;
}
