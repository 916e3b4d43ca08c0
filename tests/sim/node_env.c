/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"
#include "tests/sim/internal.h"
#include "tests/sim/node_io.h"

/* 1 January 2026, 00:00 UTC. */
#define WALL_START_MS 1767225600000u

struct sim_env *sim_life(struct env *env)
{
	return (struct sim_env *)env;
}

static struct sim *sim_of(struct env *env)
{
	return sim_life(env)->node->sim;
}

/* ---- clocks, random, log ---- */

static uint64_t now_ms(struct env *env)
{
	return sim_of(env)->now_us / 1000;
}

static uint64_t now_us(struct env *env)
{
	return sim_of(env)->now_us;
}

static uint64_t wall_ms(struct env *env)
{
	return WALL_START_MS + now_ms(env) + (uint64_t)sim_life(env)->node->wall_offset_ms;
}

static void random_bytes(struct env *env, void *out, size_t size)
{
	sim_random_fill(&sim_life(env)->random, out, size);
}

static void log_line(struct env *env, const char *line)
{
	struct sim *sim = sim_of(env);

	sim_trace_mix(sim, line, strlen(line));
	sim_trace(sim, "node=%zu log %s", sim_life(env)->node->number, line);
}

/* ---- soon ---- */

struct soon_event {
	struct sim_event event;
	void (*run)(void *context);
	void *context;
};

static void run_soon(struct sim_event *event)
{
	struct soon_event soon = *(struct soon_event *)event;

	sim_free(event);
	soon.run(soon.context);
}

static void discard_plain(struct sim_event *event)
{
	sim_free(event);
}

static void post_soon(struct env *env, void (*run)(void *context), void *context)
{
	struct soon_event *soon = sim_allocate(sizeof(*soon));
	struct sim *sim = sim_of(env);

	soon->event = (struct sim_event){
		.owner = sim_life(env), .run = run_soon, .discard = discard_plain};
	soon->run = run;
	soon->context = context;
	sim_events_add(&sim->events, &soon->event, sim->now_us);
}

/* ---- jobs ---- */

struct job_event {
	struct sim_event event;
	struct env_job *job;
};

static void run_job(struct sim_event *event)
{
	struct env_job *job = ((struct job_event *)event)->job;

	job->canceled = event->owner->env.stopped;
	sim_free(event);
	if (!job->canceled)
		job->work(job);
	job->done(job);
}

static void post_job(struct env *env, struct env_job *job)
{
	struct job_event *posted = sim_allocate(sizeof(*posted));
	struct sim *sim = sim_of(env);
	uint64_t delay = sim_random_below(&sim->scheduling, sim->options.job_jitter_us + 1);

	posted->event = (struct sim_event){.owner = sim_life(env),
					   .run = run_job,
					   .discard = discard_plain,
					   .hurried_by_stop = true};
	posted->job = job;
	sim_events_add(&sim->events, &posted->event, sim->now_us + (env->stopped ? 0 : delay));
}

/* ---- timers ---- */

struct timer_event {
	struct sim_event event;
	struct env_timer *timer;
};

static struct timer_event *timer_take(struct env_timer *timer)
{
	struct timer_event *armed = timer->implementation[0];

	timer->implementation[0] = NULL;
	timer->armed = false;
	return armed;
}

static void run_timer(struct sim_event *event)
{
	struct env_timer *timer = ((struct timer_event *)event)->timer;

	sim_free(timer_take(timer));
	timer->fire(timer);
}

static void timer_stop(struct env *env, struct env_timer *timer)
{
	struct timer_event *armed = timer_take(timer);

	if (armed == NULL)
		return;
	sim_events_remove(&sim_of(env)->events, &armed->event);
	sim_free(armed);
}

static void timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	struct sim *sim = sim_of(env);
	uint64_t delay = delay_ms < UINT64_MAX / 2000 ? delay_ms * 1000 : UINT64_MAX / 2;
	struct timer_event *armed;

	timer_stop(env, timer);
	armed = sim_allocate(sizeof(*armed));
	armed->event = (struct sim_event){.owner = sim_life(env),
					  .run = run_timer,
					  .discard = discard_plain,
					  .hurried_by_stop = true};
	armed->timer = timer;
	timer->implementation[0] = armed;
	timer->armed = true;
	delay += sim_random_below(&sim->scheduling, sim->options.timer_jitter_us + 1);
	sim_events_add(&sim->events, &armed->event, sim->now_us + (env->stopped ? 0 : delay));
}

/* ---- index ---- */

/* A handle on the node's index, of one life. */
struct env_index {
	struct sim_env *life;
	struct sim_index *index;
};

static enum err index_open(struct env *env, const char *path, struct env_index **out)
{
	struct sim_env *life = sim_life(env);
	struct sim_index *index = life->node->indexes;
	struct env_index *handle;

	if (env->stopped)
		return ERR_CANCELED;
	if (sim_tree_disk_of(&life->node->tree, path)->dead)
		return ERR_NOTFOUND;
	while (index != NULL && strcmp(index->path, path) != 0)
		index = index->next;
	if (index != NULL && index->is_open)
		return ERR_UNAVAILABLE;
	if (index == NULL) {
		index = sim_index_create(path);
		index->next = life->node->indexes;
		life->node->indexes = index;
	}
	index->is_open = true;
	index->is_lost = false;
	handle = sim_allocate(sizeof(*handle));
	handle->life = life;
	handle->index = index;
	life->index_count++;
	*out = handle;
	return ERR_OK;
}

static void index_close(struct env_index *handle)
{
	handle->index->is_open = false;
	handle->life->index_count--;
	sim_free(handle);
}

static enum err index_usable(const struct env_index *handle)
{
	if (handle->life->env.stopped)
		return ERR_CANCELED;
	return handle->index->is_lost ? ERR_IO : ERR_OK;
}

static enum err index_may_change(struct env_index *handle)
{
	if (handle->index->is_scanned)
		sim_fail(handle->life->node->sim, "the index was changed from inside a scan");
	return index_usable(handle);
}

static enum err index_commit(struct env_index *handle, const struct env_index_change *changes,
			     size_t change_count, bool durable)
{
	enum err err = index_may_change(handle);

	if (err != ERR_OK)
		return err;
	return sim_index_commit(handle->index, changes, change_count, durable);
}

static enum err index_get(struct env_index *handle, struct bytes key, struct buf *value)
{
	enum err err = index_usable(handle);

	if (err != ERR_OK)
		return err;
	return sim_index_get(handle->index, key, value);
}

static enum err index_scan(struct env_index *handle, struct bytes from, struct bytes before,
			   bool (*each)(void *context, struct bytes key, struct bytes value),
			   void *context)
{
	enum err err = index_usable(handle);

	if (err != ERR_OK)
		return err;
	handle->index->is_scanned = true;
	sim_index_scan(handle->index, from, before, each, context);
	handle->index->is_scanned = false;
	return ERR_OK;
}

static enum err index_clear(struct env_index *handle)
{
	enum err err = index_may_change(handle);

	if (err == ERR_OK)
		sim_index_clear(handle->index);
	return err;
}

const struct env_ops *sim_node_ops(void)
{
	static const struct env_ops ops = {.now_ms = now_ms,
					   .now_us = now_us,
					   .wall_ms = wall_ms,
					   .random = random_bytes,
					   .io = sim_node_io,
					   .job = post_job,
					   .timer_start = timer_start,
					   .timer_stop = timer_stop,
					   .soon = post_soon,
					   .log = log_line,
					   .index_open = index_open,
					   .index_close = index_close,
					   .index_commit = index_commit,
					   .index_get = index_get,
					   .index_scan = index_scan,
					   .index_clear = index_clear};

	return &ops;
}
