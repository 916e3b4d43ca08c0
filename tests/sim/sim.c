/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "tests/sim/allocate.h"
#include "tests/sim/internal.h"
#include "tests/sim/node_io.h"

#define DEFAULT_EVENT_LIMIT 50000000u
/* A monotonic clock starts somewhere, never at zero. */
#define START_US 1000000000u
#define DEVICES_PER_NODE 256

/* ---- trace ---- */

void sim_trace_mix(struct sim *sim, const void *data, size_t size)
{
	uint64_t pair[2] = {sim->trace_hash, hash_64(data, size)};

	sim->trace_hash = hash_64(pair, sizeof(pair));
}

uint64_t sim_trace_hash(const struct sim *sim)
{
	return sim->trace_hash;
}

static void print(const struct sim *sim, FILE *to, const char *format, va_list arguments)
{
	fprintf(to, "%" PRIu64 ".%06" PRIu64 " ", sim->now_us / 1000000, sim->now_us % 1000000);
	vfprintf(to, format, arguments);
	fputc('\n', to);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (sim->options.trace == NULL)
		return;
	va_start(arguments, format);
	print(sim, sim->options.trace, format, arguments);
	va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (sim->failed)
		return;
	sim->failed = true;
	fprintf(stderr, "simulation failed, seed %" PRIu64 ", event %" PRIu64 ": ", sim->seed,
		sim->event_count);
	va_start(arguments, format);
	print(sim, stderr, format, arguments);
	va_end(arguments);
}

/* ---- the world ---- */

struct sim *sim_create(uint64_t seed, const struct sim_options *options)
{
	struct sim *sim = sim_allocate(sizeof(*sim));

	sim->seed = seed;
	if (options != NULL)
		sim->options = *options;
	if (sim->options.event_limit == 0)
		sim->options.event_limit = DEFAULT_EVENT_LIMIT;
	if (sim->options.trace == NULL && getenv("SIM_TRACE") != NULL)
		sim->options.trace = stderr;
	sim->now_us = START_US;
	sim_random_init(&sim->scheduling, seed, SIM_STREAM_SCHEDULING);
	sim_random_init(&sim->faults, seed, SIM_STREAM_FAULTS);
	return sim;
}

static void node_destroy(struct sim_node *node)
{
	struct sim_index *index;

	ASSERT(node->sim->failed || (node->life->file_count == 0 && node->life->index_count == 0));
	sim_node_io_detach(node);
	sim_tree_finish(&node->tree);
	while ((index = node->indexes) != NULL) {
		node->indexes = index->next;
		sim_index_destroy(index);
	}
	sim_free(node->life);
	sim_free(node);
}

void sim_destroy(struct sim **sim)
{
	struct sim *world = *sim;
	struct sim_event *event;

	if (world == NULL)
		return;
	while ((event = sim_events_first(&world->events)) != NULL) {
		sim_events_remove(&world->events, event);
		event->discard(event);
	}
	sim_events_finish(&world->events);
	for (size_t i = 0; i < world->node_count; i++)
		node_destroy(world->nodes[i]);
	sim_free(world);
	*sim = NULL;
}

struct sim *sim_simple(void)
{
	struct sim *sim = sim_create(1, NULL);

	sim_add_node(sim);
	return sim;
}

struct env *sim_simple_env(struct sim *sim)
{
	return sim_node_env(sim->nodes[0]);
}

/* ---- nodes ---- */

static void start_life(struct sim_node *node)
{
	struct sim_env *life = sim_allocate(sizeof(*life));

	life->env.ops = sim_node_ops();
	life->node = node;
	/* No two lives share a stream: what is random to the engine never repeats. */
	sim_random_init(&life->random, node->sim->seed,
			SIM_STREAM_NODES + node->life_count++ * SIM_NODE_LIMIT + node->number);
	node->life = life;
}

struct sim_node *sim_add_node(struct sim *sim)
{
	struct sim_node *node = sim_allocate(sizeof(*node));

	ASSERT(sim->node_count < SIM_NODE_LIMIT);
	node->sim = sim;
	node->number = sim->node_count;
	sim->nodes[sim->node_count++] = node;
	sim_tree_init(&node->tree, 1 + node->number * DEVICES_PER_NODE, &sim->options.disk);
	start_life(node);
	return node;
}

struct env *sim_node_env(struct sim_node *node)
{
	return &node->life->env;
}

struct sim_disk *sim_add_disk(struct sim_node *node, const char *path,
			      const struct sim_disk_options *options)
{
	ASSERT(node->tree.disk_count < DEVICES_PER_NODE);
	return sim_tree_add_disk(&node->tree, path,
				 options != NULL ? options : &node->sim->options.disk);
}

/* What was posted may have happened in part; then everything of the life comes to its end. */
static void halt(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct sim_event **events;
	size_t count = sim_events_of(&sim->events, node->life, &events);

	for (size_t i = 0; i < count; i++)
		sim_node_io_interrupt(node, events[i]);
	node->life->env.stopped = true;
	for (size_t i = 0; i < count; i++) {
		if (events[i]->hurried_by_stop)
			sim_events_add(&sim->events, events[i], sim->now_us);
	}
	sim_free(events);
	sim_node_io_detach(node);
	if (node->on_halt != NULL)
		node->on_halt(node);
}

void sim_crash(struct sim_node *node, enum sim_crash_outcome outcome)
{
	ASSERT(sim_is_running(node));
	sim_trace(node->sim, "node=%zu crash", node->number);
	halt(node);
	sim_tree_crash(&node->tree, outcome, &node->sim->faults);
	for (struct sim_index *index = node->indexes; index != NULL; index = index->next)
		sim_index_crash(index, outcome, &node->sim->faults);
}

void sim_kill(struct sim_node *node)
{
	ASSERT(sim_is_running(node));
	sim_trace(node->sim, "node=%zu kill", node->number);
	halt(node);
}

bool sim_is_running(const struct sim_node *node)
{
	return !node->life->env.stopped;
}

bool sim_is_unwound(const struct sim_node *node)
{
	struct sim_event **events;
	size_t count = sim_events_of(&node->sim->events, node->life, &events);

	sim_free(events);
	return count == 0 && node->life->file_count == 0 && node->life->index_count == 0;
}

void sim_restart(struct sim_node *node)
{
	ASSERT(!sim_is_running(node) && sim_is_unwound(node));
	sim_trace(node->sim, "node=%zu restart", node->number);
	sim_free(node->life);
	start_life(node);
}

/* ---- time ---- */

uint64_t sim_now_ms(const struct sim *sim)
{
	return sim->now_us / 1000;
}

void sim_jump_clock(struct sim_node *node, int64_t delta_ms)
{
	node->wall_offset_ms += delta_ms;
}

struct world_event {
	struct sim_event event;
	void (*run)(void *context);
	void *context;
};

static void run_world_event(struct sim_event *event)
{
	struct world_event happening = *(struct world_event *)event;

	sim_free(event);
	happening.run(happening.context);
}

static void discard_world_event(struct sim_event *event)
{
	sim_free(event);
}

void sim_at(struct sim *sim, uint64_t delay_us, void (*run)(void *context), void *context)
{
	struct world_event *happening = sim_allocate(sizeof(*happening));

	happening->event =
		(struct sim_event){.run = run_world_event, .discard = discard_world_event};
	happening->run = run;
	happening->context = context;
	sim_events_add(&sim->events, &happening->event, sim->now_us + delay_us);
}

static void step(struct sim *sim)
{
	struct sim_event *event = sim_events_first(&sim->events);
	uint64_t facts[3];

	sim_events_remove(&sim->events, event);
	ASSERT(event->time_us >= sim->now_us);
	sim->now_us = event->time_us;
	sim->event_count++;
	facts[0] = event->time_us;
	facts[1] = event->sequence;
	facts[2] = event->owner != NULL ? event->owner->node->number : SIM_NODE_LIMIT;
	sim_trace_mix(sim, facts, sizeof(facts));
	event->run(event);
	if (sim->event_count >= sim->options.event_limit)
		sim_fail(sim, "no end after %" PRIu64 " events", sim->event_count);
}

static bool never(void *context)
{
	(void)context;
	return false;
}

/* Until is_done, or the end of time, or nothing is left; *dry tells the last. */
static enum err run(struct sim *sim, bool (*is_done)(void *context), void *context, uint64_t end_us,
		    bool *dry)
{
	*dry = false;
	while (!sim->failed) {
		const struct sim_event *next = sim_events_first(&sim->events);

		if (is_done(context))
			return ERR_OK;
		if (next == NULL || next->time_us > end_us) {
			*dry = next == NULL;
			if (end_us != UINT64_MAX)
				sim->now_us = end_us;
			return ERR_TIMEOUT;
		}
		step(sim);
	}
	return ERR_LIMIT;
}

enum err sim_run(struct sim *sim)
{
	bool dry;
	enum err err = run(sim, never, NULL, UINT64_MAX, &dry);

	return dry ? ERR_OK : err;
}

enum err sim_run_for(struct sim *sim, uint64_t duration_ms)
{
	bool dry;
	enum err err = run(sim, never, NULL, sim->now_us + duration_ms * 1000, &dry);

	return err == ERR_TIMEOUT ? ERR_OK : err;
}

enum err sim_run_until(struct sim *sim, bool (*is_done)(void *context), void *context,
		       uint64_t timeout_ms)
{
	bool dry;

	return run(sim, is_done, context, sim->now_us + timeout_ms * 1000, &dry);
}
