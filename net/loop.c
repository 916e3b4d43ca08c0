/* SPDX-License-Identifier: MPL-2.0 */
/*
 * One turn: libev waits for descriptors, threads and signals; then what ended
 * (threads first, then what completed without one), what is due, and last what
 * was put off with env_soon(). Tasks run from env_soon(), so whatever a turn
 * completes is seen by its task in the same turn.
 *
 * INV: callbacks that a turn causes wait for the next turn: every queue is
 * taken as it is at the start of its step.
 */
#include "net/loop.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "net/files.h"
#include "net/index_lmdb.h"
#include "net/loop_io.h"
#include "net/pool.h"
#include "net/random.h"
#include "net/timers.h"

enum {
	IO_THREADS = 8,
	LINE_MAX_SIZE = 1200,
	/* Address space, not disk: the file is as long as its content. */
	INDEX_MAP_SIZE = 1 << 30,
};

struct soon {
	void (*run)(void *context);
	void *context;
};

/* First in, first out; entries[first] is the oldest of `count`, wrapping at the capacity. */
struct soon_queue {
	struct soon *entries;
	size_t first, count, capacity;
};

struct io_list {
	struct env_io *first, **end;
};

struct job_list {
	struct env_job *first, **end;
};

struct loop_signal {
	ev_signal watcher;
	void (*run)(void *context);
	void *context;
	struct loop_signal *next;
};

struct loop_watch {
	ev_io watcher;
	struct loop *loop;
	void (*ready)(void *context, unsigned events);
	void *context;
	struct loop_watch *previous, *next;
	unsigned events;
};

struct loop {
	struct env env;
	struct ev_loop *ev;
	ev_async pool_ended;
	ev_timer alarm; /* for the earliest of `timers` */
	struct timers timers;
	struct soon_queue soon;
	struct io_list io_ended;   /* without a thread: from the page cache, or canceled */
	struct job_list job_ended; /* canceled */
	struct pool *io_pool, *cpu_pool;
	size_t posted; /* on a pool */
	struct loop_watch *watches, *watch_cursor;
	struct loop_signal *signals;
	struct random_page *random;
	struct files_counters counters;
	int log_descriptor;
	bool stop_told;
};

static struct loop *loop_of(struct env *env)
{
	return (struct loop *)(void *)env;
}

/* ---- clock, random, log ---- */

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t loop_now_us(struct env *env)
{
	(void)env;
	return clock_us(CLOCK_MONOTONIC);
}

static uint64_t loop_now_ms(struct env *env)
{
	return loop_now_us(env) / 1000;
}

static uint64_t loop_wall_ms(struct env *env)
{
	(void)env;
	return clock_us(CLOCK_REALTIME) / 1000;
}

static void loop_random(struct env *env, void *out, size_t size)
{
	random_page_get(loop_of(env)->random, out, size);
}

/* One write a line, so that lines of several processes do not mix. */
static void loop_log(struct env *env, const char *line)
{
	uint64_t wall_ms = loop_wall_ms(env);
	time_t seconds = (time_t)(wall_ms / 1000);
	char out[LINE_MAX_SIZE], date[sizeof("9999-12-31T23:59:59")];
	struct tm utc;
	size_t size;
	int printed;

	if (loop_of(env)->log_descriptor < 0)
		return;
	gmtime_r(&seconds, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	printed = snprintf(out, sizeof(out), "time=%s.%03uZ %s", date, (unsigned)(wall_ms % 1000),
			   line);
	size = printed < 0 ? 0 : (size_t)printed;
	if (size > sizeof(out) - 1)
		size = sizeof(out) - 1;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)out[i] < ' ')
			out[i] = ' ';
	out[size++] = '\n';
	/* There is nobody left to tell when the log itself fails. */
	if (write(loop_of(env)->log_descriptor, out, size) < 0)
		return;
}

/* ---- soon ---- */

static void soon_grow(struct soon_queue *queue)
{
	size_t capacity = queue->capacity != 0 ? queue->capacity * 2 : 64;
	struct soon *entries = memory_array(capacity, sizeof(*entries));

	if (entries == NULL) {
		/* env_soon() cannot fail: to lose a wake-up would hang a task for ever. */
		fputs("event=out-of-memory where=soon\n", stderr);
		abort();
	}
	for (size_t i = 0; i < queue->count; i++)
		entries[i] = queue->entries[(queue->first + i) % queue->capacity];
	memory_free(queue->entries);
	*queue = (struct soon_queue){
		.entries = entries, .count = queue->count, .capacity = capacity};
}

static void loop_soon(struct env *env, void (*run)(void *context), void *context)
{
	struct soon_queue *queue = &loop_of(env)->soon;

	if (queue->count == queue->capacity)
		soon_grow(queue);
	queue->entries[(queue->first + queue->count++) % queue->capacity] =
		(struct soon){run, context};
}

static void run_soon(struct loop *loop)
{
	struct soon_queue *queue = &loop->soon;

	for (size_t left = queue->count; left > 0; left--) {
		struct soon soon = queue->entries[queue->first];

		queue->first = (queue->first + 1) % queue->capacity;
		queue->count--;
		soon.run(soon.context);
	}
}

/* ---- files and jobs ---- */

static void io_end_later(struct loop *loop, struct env_io *io)
{
	io->next = NULL;
	*loop->io_ended.end = io;
	loop->io_ended.end = &io->next;
}

static void loop_io(struct env *env, struct env_io *io)
{
	struct loop *loop = loop_of(env);

	io->err = ERR_OK;
	io->done_size = 0;
	if (env->stopped) {
		/* The handle goes whatever happens. */
		if (io->kind == ENV_IO_CLOSE)
			files_perform(io, &loop->counters);
		io->err = ERR_CANCELED;
		io_end_later(loop, io);
	} else if (io->kind == ENV_IO_READ && files_read_cached(io, &loop->counters)) {
		io_end_later(loop, io);
	} else {
		loop->posted++;
		pool_post(loop->io_pool, io);
	}
}

static void loop_job(struct env *env, struct env_job *job)
{
	struct loop *loop = loop_of(env);

	job->canceled = env->stopped;
	if (env->stopped) {
		job->next = NULL;
		*loop->job_ended.end = job;
		loop->job_ended.end = &job->next;
		return;
	}
	loop->posted++;
	pool_post(loop->cpu_pool, job);
}

/* Both on a thread of a pool. */
static void run_io(void *item, void *context)
{
	struct loop *loop = context;

	files_perform(item, &loop->counters);
}

static void run_job(void *item, void *context)
{
	struct env_job *job = item;

	(void)context;
	job->work(job);
}

static void pool_notify(void *context)
{
	struct loop *loop = context;

	ev_async_send(loop->ev, &loop->pool_ended);
}

static struct env_io *take_io_ended(struct loop *loop)
{
	struct env_io *first = loop->io_ended.first;

	loop->io_ended.first = NULL;
	loop->io_ended.end = &loop->io_ended.first;
	return first;
}

static struct env_job *take_job_ended(struct loop *loop)
{
	struct env_job *first = loop->job_ended.first;

	loop->job_ended.first = NULL;
	loop->job_ended.end = &loop->job_ended.first;
	return first;
}

static void finish_ios(struct loop *loop, struct env_io *io, bool from_pool)
{
	while (io != NULL) {
		struct env_io *next = io->next;

		if (from_pool)
			loop->posted--;
		io->done(io);
		io = next;
	}
}

static void finish_jobs(struct loop *loop, struct env_job *job, bool from_pool)
{
	while (job != NULL) {
		struct env_job *next = job->next;

		if (from_pool)
			loop->posted--;
		job->done(job);
		job = next;
	}
}

static void finish_ended(struct loop *loop)
{
	struct env_io *ios = take_io_ended(loop);
	struct env_job *jobs = take_job_ended(loop);

	finish_ios(loop, pool_collect(loop->io_pool), true);
	finish_jobs(loop, pool_collect(loop->cpu_pool), true);
	finish_ios(loop, ios, false);
	finish_jobs(loop, jobs, false);
}

/* ---- timers ---- */

static void loop_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	uint64_t now_us = loop_now_us(env);
	uint64_t deadline_us = delay_ms > (UINT64_MAX - 1 - now_us) / 1000
				       ? UINT64_MAX - 1
				       : now_us + delay_ms * 1000;

	timers_arm(&loop_of(env)->timers, timer, deadline_us);
}

static void loop_timer_stop(struct env *env, struct env_timer *timer)
{
	timers_disarm(&loop_of(env)->timers, timer);
}

static void set_alarm(struct loop *loop)
{
	uint64_t earliest_us = timers_earliest_us(&loop->timers);
	uint64_t now_us;

	ev_timer_stop(loop->ev, &loop->alarm);
	if (earliest_us == UINT64_MAX)
		return;
	ev_now_update(loop->ev);
	now_us = loop_now_us(&loop->env);
	ev_timer_set(&loop->alarm, earliest_us > now_us ? (double)(earliest_us - now_us) / 1e6 : 0.,
		     0.);
	ev_timer_start(loop->ev, &loop->alarm);
}

/* ---- the index ---- */

static enum err loop_index_open(struct env *env, const char *path, struct env_index **out)
{
	(void)env;
	return index_lmdb_open(path, INDEX_MAP_SIZE, out);
}

static const struct env_ops loop_ops = {
	.now_ms = loop_now_ms,
	.now_us = loop_now_us,
	.wall_ms = loop_wall_ms,
	.random = loop_random,
	.io = loop_io,
	.job = loop_job,
	.timer_start = loop_timer_start,
	.timer_stop = loop_timer_stop,
	.soon = loop_soon,
	.log = loop_log,
	.index_open = loop_index_open,
	.index_close = index_lmdb_close,
	.index_commit = index_lmdb_commit,
	.index_get = index_lmdb_get,
	.index_scan = index_lmdb_scan,
	.index_clear = index_lmdb_clear,
};

/* ---- descriptors ---- */

static void watch_event(struct ev_loop *ev, ev_io *watcher, int revents)
{
	struct loop_watch *watch = watcher->data;
	unsigned events = 0;

	(void)ev;
	if (revents & EV_READ)
		events |= LOOP_READ;
	if (revents & EV_WRITE)
		events |= LOOP_WRITE;
	/* EV_ERROR: libev gave the descriptor up; a read or write will tell why. */
	if (revents & EV_ERROR)
		events = LOOP_READ | LOOP_WRITE;
	watch->ready(watch->context, events);
}

enum err loop_watch_create(struct env *env, int descriptor,
			   void (*ready)(void *context, unsigned events), void *context,
			   struct loop_watch **out)
{
	struct loop_watch *watch = memory_allocate(sizeof(*watch));
	struct loop *loop = loop_of(env);

	ASSERT(env->ops == &loop_ops);
	if (watch == NULL)
		return ERR_NOMEM;
	ev_io_init(&watch->watcher, watch_event, descriptor, 0);
	watch->watcher.data = watch;
	watch->loop = loop;
	watch->ready = ready;
	watch->context = context;
	watch->next = loop->watches;
	if (loop->watches != NULL)
		loop->watches->previous = watch;
	loop->watches = watch;
	*out = watch;
	return ERR_OK;
}

void loop_watch_destroy(struct loop_watch **watch_pointer)
{
	struct loop_watch *watch = *watch_pointer;
	struct loop *loop;

	if (watch == NULL)
		return;
	loop = watch->loop;
	ev_io_stop(loop->ev, &watch->watcher);
	if (loop->watch_cursor == watch)
		loop->watch_cursor = watch->next;
	if (watch->previous != NULL)
		watch->previous->next = watch->next;
	else
		loop->watches = watch->next;
	if (watch->next != NULL)
		watch->next->previous = watch->previous;
	memory_free(watch);
	*watch_pointer = NULL;
}

void loop_watch_set(struct loop_watch *watch, unsigned events)
{
	struct ev_loop *ev = watch->loop->ev;

	if (ev_is_active(&watch->watcher)) {
		if (watch->events == events)
			return;
		ev_io_stop(ev, &watch->watcher);
	}
	/* A set makes libev ask the kernel anew, a stop and start before its next wait does not. */
	if (events != 0 && events != watch->events) {
		ev_io_set(&watch->watcher, watch->watcher.fd,
			  (events & LOOP_READ ? EV_READ : 0) |
				  (events & LOOP_WRITE ? EV_WRITE : 0));
		watch->events = events;
	}
	if (events != 0)
		ev_io_start(ev, &watch->watcher);
}

/* ---- the loop ---- */

static void on_async(struct ev_loop *ev, ev_async *watcher, int revents)
{
	/* Only ends the wait; finish_ended() follows in every turn. */
	(void)ev;
	(void)watcher;
	(void)revents;
}

static void on_alarm(struct ev_loop *ev, ev_timer *watcher, int revents)
{
	(void)ev;
	(void)watcher;
	(void)revents;
}

static size_t core_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (size_t)count : 1;
}

static enum err create_pools(struct loop *loop, const struct loop_options *options)
{
	struct pool_options io = {
		.thread_count = options->io_threads != 0 ? options->io_threads : IO_THREADS,
		.next_offset = offsetof(struct env_io, next),
		.run = run_io,
		.notify = pool_notify,
		.context = loop,
	};
	struct pool_options cpu = {
		.thread_count = options->cpu_threads != 0 ? options->cpu_threads : core_count(),
		.next_offset = offsetof(struct env_job, next),
		.run = run_job,
		.notify = pool_notify,
		.context = loop,
	};
	enum err err = pool_create(&io, &loop->io_pool);

	return err == ERR_OK ? pool_create(&cpu, &loop->cpu_pool) : err;
}

enum err loop_create(const struct loop_options *options, struct loop **out)
{
	struct loop *loop = memory_allocate(sizeof(*loop));
	enum err err;

	if (loop == NULL)
		return ERR_NOMEM;
	loop->env.ops = &loop_ops;
	loop->log_descriptor = options->log_descriptor;
	loop->io_ended.end = &loop->io_ended.first;
	loop->job_ended.end = &loop->job_ended.first;
	/* A peer that closed is an error of that stream, not the end of the process. */
	signal(SIGPIPE, SIG_IGN);
	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	err = loop->ev == NULL ? ERR_UNAVAILABLE : random_page_create(&loop->random);
	if (err != ERR_OK)
		goto out;
	ev_async_init(&loop->pool_ended, on_async);
	ev_async_start(loop->ev, &loop->pool_ended);
	ev_timer_init(&loop->alarm, on_alarm, 0., 0.);
	err = create_pools(loop, options);
out:
	if (err == ERR_OK)
		*out = loop;
	else
		loop_destroy(&loop);
	return err;
}

void loop_destroy(struct loop **loop_pointer)
{
	struct loop *loop = *loop_pointer;

	if (loop == NULL)
		return;
	ASSERT(loop->posted == 0 && loop->soon.count == 0 && loop->timers.first == NULL);
	ASSERT(loop->io_ended.first == NULL && loop->job_ended.first == NULL);
	ASSERT(loop->watches == NULL);
	pool_destroy(&loop->io_pool);
	pool_destroy(&loop->cpu_pool);
	while (loop->signals != NULL) {
		struct loop_signal *signal = loop->signals;

		loop->signals = signal->next;
		ev_signal_stop(loop->ev, &signal->watcher);
		memory_free(signal);
	}
	if (loop->ev != NULL)
		ev_loop_destroy(loop->ev);
	random_page_destroy(&loop->random);
	memory_free(loop->soon.entries);
	memory_free(loop);
	*loop_pointer = NULL;
}

struct env *loop_env(struct loop *loop)
{
	return &loop->env;
}

/* Watches may be destroyed, this one or others, from inside `ready`. */
static void tell_stop(struct loop *loop)
{
	loop->stop_told = true;
	for (struct loop_watch *watch = loop->watches; watch != NULL; watch = loop->watch_cursor) {
		loop->watch_cursor = watch->next;
		watch->ready(watch->context, 0);
	}
	loop->watch_cursor = NULL;
}

static bool work_left(const struct loop *loop)
{
	if (loop->env.stopped && (!loop->stop_told || loop->timers.first != NULL))
		return true;
	return loop->soon.count != 0 || loop->io_ended.first != NULL ||
	       loop->job_ended.first != NULL;
}

void loop_turn(struct loop *loop, bool wait)
{
	wait = wait && !work_left(loop);
	if (wait)
		set_alarm(loop);
	ev_run(loop->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
	if (loop->env.stopped && !loop->stop_told)
		tell_stop(loop);
	finish_ended(loop);
	/* With a stopped env nothing is waited for any more. */
	timers_expire(&loop->timers, loop->env.stopped ? UINT64_MAX : loop_now_us(&loop->env));
	run_soon(loop);
}

void loop_run(struct loop *loop)
{
	while (!loop->env.stopped || loop->posted != 0 || work_left(loop))
		loop_turn(loop, true);
}

void loop_stop(struct loop *loop)
{
	loop->env.stopped = true;
}

static void on_signal_event(struct ev_loop *ev, ev_signal *watcher, int revents)
{
	struct loop_signal *signal = watcher->data;

	(void)ev;
	(void)revents;
	signal->run(signal->context);
}

enum err loop_on_signal(struct loop *loop, int number, void (*on_signal)(void *context),
			void *context)
{
	struct loop_signal *signal = memory_allocate(sizeof(*signal));

	if (signal == NULL)
		return ERR_NOMEM;
	ev_signal_init(&signal->watcher, on_signal_event, number);
	signal->watcher.data = signal;
	signal->run = on_signal;
	signal->context = context;
	ev_signal_start(loop->ev, &signal->watcher);
	signal->next = loop->signals;
	loop->signals = signal;
	return ERR_OK;
}

struct loop_counters loop_counters(const struct loop *loop)
{
	const struct files_counters *from = &loop->counters;
#define COUNTER(name) .name = atomic_load_explicit(&from->name, memory_order_relaxed)
	return (struct loop_counters){
		COUNTER(syncs),	       COUNTER(writes),	       COUNTER(reads),
		COUNTER(reads_cached), COUNTER(bytes_written), COUNTER(bytes_read),
	};
#undef COUNTER
}
