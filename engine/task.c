/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A task is in exactly one of these states:
 *
 *   ready      in sched->ready or sched->yielded   task_spawn(), make_ready(), task_yield()
 *   running    == current                          run_task()
 *   suspended  in no queue; task->waiter says      suspend()
 *              for what, until make_ready()
 *
 * The result of a wait is decided at the moment its waiter leaves the cond,
 * not when the task runs again: a task that was signaled and then canceled has
 * been signaled. gate rests on that, since it hands its place over by a signal.
 */
#include "engine/task.h"

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/context.h"

enum {
	/* Frames under AddressSanitizer are several times larger. */
	STACK_SIZE = CONTEXT_ASAN ? 8 * TASK_STACK_SIZE : TASK_STACK_SIZE,
	/* Stacks kept for the next tasks: a few, each with the pages it once touched. */
	STACKS_KEPT = 32,
	/* Switches before the loop looks at the world again. */
	BURST = 128,
	/* See watch_fire(). */
	WATCH_MS = 60 * 60 * 1000,
};

struct task {
	struct task *next;		      /* in the queue it is in */
	struct task *all_next, *all_previous; /* every task of the scheduler, oldest first */
	struct sched *sched;
	const char *name; /* for whoever looks with a debugger */
	void (*run)(void *argument);
	void *argument;
	struct cond_waiter
		*waiter; /* of the cond it waits for; NULL when cancel cannot end its wait */
	struct context context;
	struct context_stack *stack;
	uint64_t turns;
	bool canceled, ended;
};

struct queue {
	struct task *first, *last;
};

struct sched {
	struct env *env;
	struct queue ready, yielded;
	struct task *all_first, *all_last;
	size_t count;
	struct context loop; /* the loop's own, while a task runs */
	struct context_stacks stacks;
	struct env_timer watch;
	bool scheduled; /* run_ready() was handed to env_soon(), or is running */
	bool stop_seen;
};

/* On the stack of the task that waits. */
struct cond_waiter {
	struct cond_waiter *previous, *next;
	struct cond *cond;
	struct task *task;
	struct env_timer timer;
	enum err result;
};

/*
 * The one mutable global of the engine, and not state: it says which stack the
 * processor is on, which is a fact about the thread, and is NULL between tasks.
 */
static _Thread_local struct task *current;

static void run_ready(void *context);

/* ---- queues ---- */

static void queue_append(struct queue *queue, struct task *task)
{
	task->next = NULL;
	if (queue->last != NULL)
		queue->last->next = task;
	else
		queue->first = task;
	queue->last = task;
}

static struct task *queue_take(struct queue *queue)
{
	struct task *task = queue->first;

	if (task == NULL)
		return NULL;
	queue->first = task->next;
	if (queue->first == NULL)
		queue->last = NULL;
	task->next = NULL;
	return task;
}

static void schedule(struct sched *sched)
{
	if (sched->scheduled)
		return;
	sched->scheduled = true;
	env_soon(sched->env, run_ready, sched);
}

static void make_ready(struct task *task)
{
	queue_append(&task->sched->ready, task);
	schedule(task->sched);
}

/* ---- scheduler ---- */

/*
 * Tasks that wait for a cond without a deadline have nothing posted, and would
 * not learn that the env stops. Timers all fire then; so there is always one.
 */
static void watch_fire(struct env_timer *timer)
{
	struct sched *sched = timer->context;

	if (sched->env->stopped)
		schedule(sched);
	else
		env_timer_start(sched->env, timer, WATCH_MS);
}

struct sched *sched_create(struct env *env)
{
	struct sched *sched = memory_allocate(sizeof(*sched));

	if (sched == NULL)
		return NULL;
	sched->env = env;
	sched->stacks.limit = STACKS_KEPT;
	sched->watch.fire = watch_fire;
	sched->watch.context = sched;
	return sched;
}

void sched_destroy(struct sched **sched)
{
	if (*sched == NULL)
		return;
	ASSERT((*sched)->count == 0 && !(*sched)->scheduled);
	env_timer_stop((*sched)->env, &(*sched)->watch);
	context_stacks_finish(&(*sched)->stacks);
	memory_free(*sched);
	*sched = NULL;
}

struct env *sched_env(struct sched *sched)
{
	return sched->env;
}

size_t sched_task_count(const struct sched *sched)
{
	return sched->count;
}

void sched_cancel_all(struct sched *sched)
{
	for (struct task *task = sched->all_first; task != NULL; task = task->all_next)
		task_cancel(task);
}

static void task_free(struct task *task)
{
	struct sched *sched = task->sched;

	if (task->all_previous != NULL)
		task->all_previous->all_next = task->all_next;
	else
		sched->all_first = task->all_next;
	if (task->all_next != NULL)
		task->all_next->all_previous = task->all_previous;
	else
		sched->all_last = task->all_previous;
	sched->count--;
	context_stack_give(&sched->stacks, task->stack);
	memory_free(task);
}

static void run_task(struct task *task)
{
	current = task;
	task->turns++;
	context_switch(&task->sched->loop, &task->context);
	current = NULL;
	if (task->ended)
		task_free(task);
}

/*
 * One turn: everything that is ready, also what becomes ready meanwhile, up to
 * a bound; who yielded waits for the next turn, so that the loop serves the
 * world between two slices of a long computation.
 */
static void run_ready(void *context)
{
	struct sched *sched = context;
	struct task *task;

	ASSERT(current == NULL);
	if (sched->env->stopped && !sched->stop_seen) {
		sched->stop_seen = true;
		sched_cancel_all(sched);
	}
	for (size_t i = 0; i < BURST && (task = queue_take(&sched->ready)) != NULL; i++)
		run_task(task);
	while ((task = queue_take(&sched->yielded)) != NULL)
		queue_append(&sched->ready, task);
	sched->scheduled = false;
	if (sched->ready.first != NULL)
		schedule(sched);
	else if (sched->count == 0)
		env_timer_stop(sched->env, &sched->watch);
}

/* ---- tasks ---- */

static void task_entry(void)
{
	struct task *task = current;

	context_entered(&task->sched->loop);
	task->run(task->argument);
	task->ended = true;
	context_leave(&task->context, &task->sched->loop);
}

enum err task_spawn(struct sched *sched, const char *name, void (*run)(void *argument),
		    void *argument, struct task **out)
{
	struct task *task = memory_allocate(sizeof(*task));
	enum err err;

	if (task == NULL)
		return ERR_NOMEM;
	err = context_stack_take(&sched->stacks, STACK_SIZE, &task->stack);
	if (err != ERR_OK) {
		memory_free(task);
		return err;
	}
	task->sched = sched;
	task->name = name;
	task->run = run;
	task->argument = argument;
	task->canceled = sched->stop_seen;
	task->all_previous = sched->all_last;
	if (sched->all_last != NULL)
		sched->all_last->all_next = task;
	else
		sched->all_first = task;
	sched->all_last = task;
	if (sched->count++ == 0 && !sched->watch.armed)
		env_timer_start(sched->env, &sched->watch, WATCH_MS);
	context_make(&task->context, task->stack, task_entry);
	make_ready(task);
	if (out != NULL)
		*out = task;
	return ERR_OK;
}

struct task *task_current(void)
{
	return current;
}

struct sched *task_sched(void)
{
	ASSERT(current != NULL);
	return current->sched;
}

uint64_t task_turns(const struct task *task)
{
	return task->turns;
}

bool task_canceled(void)
{
	ASSERT(current != NULL);
	return current->canceled || current->sched->env->stopped;
}

/* Back to the loop, until make_ready() and then this task's turn. */
static void suspend(void)
{
	struct task *task = current;

	context_switch(&task->context, &task->sched->loop);
}

void task_yield(void)
{
	ASSERT(current != NULL);
	queue_append(&current->sched->yielded, current);
	suspend();
}

/* ---- waiting ---- */

static void cond_remove(struct cond_waiter *waiter)
{
	struct cond *cond = waiter->cond;

	if (waiter->previous != NULL)
		waiter->previous->next = waiter->next;
	else
		cond->first = waiter->next;
	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	else
		cond->last = waiter->previous;
}

static void wake(struct cond_waiter *waiter, enum err result)
{
	struct task *task = waiter->task;

	cond_remove(waiter);
	env_timer_stop(task->sched->env, &waiter->timer);
	waiter->result = result;
	task->waiter = NULL;
	make_ready(task);
}

static void deadline_fire(struct env_timer *timer)
{
	struct cond_waiter *waiter = timer->context;

	wake(waiter, waiter->task->sched->env->stopped ? ERR_CANCELED : ERR_TIMEOUT);
}

/* delay_ms: TASK_FOREVER for no time-out. */
static enum err wait_for(struct cond *cond, uint64_t delay_ms, bool cancelable)
{
	struct cond_waiter waiter = {
		.previous = cond->last,
		.cond = cond,
		.task = current,
		.timer = {.fire = deadline_fire, .context = &waiter},
	};

	if (cond->last != NULL)
		cond->last->next = &waiter;
	else
		cond->first = &waiter;
	cond->last = &waiter;
	if (cancelable)
		current->waiter = &waiter;
	if (delay_ms != TASK_FOREVER)
		env_timer_start(current->sched->env, &waiter.timer, delay_ms);
	suspend();
	return waiter.result;
}

void task_cancel(struct task *task)
{
	task->canceled = true;
	if (task->waiter != NULL)
		wake(task->waiter, ERR_CANCELED);
}

enum err task_sleep(uint64_t delay_ms)
{
	struct cond nobody = {0};
	enum err err;

	if (task_canceled())
		return ERR_CANCELED;
	err = wait_for(&nobody, delay_ms, true);
	return err == ERR_TIMEOUT ? ERR_OK : err;
}

enum err cond_wait(struct cond *cond, uint64_t deadline_ms)
{
	uint64_t now_ms;

	if (task_canceled())
		return ERR_CANCELED;
	if (deadline_ms == TASK_FOREVER)
		return wait_for(cond, TASK_FOREVER, true);
	now_ms = env_now_ms(current->sched->env);
	if (deadline_ms <= now_ms)
		return ERR_TIMEOUT;
	return wait_for(cond, deadline_ms - now_ms, true);
}

void cond_signal(struct cond *cond)
{
	if (cond->first != NULL)
		wake(cond->first, ERR_OK);
}

void cond_broadcast(struct cond *cond)
{
	while (cond->first != NULL)
		wake(cond->first, ERR_OK);
}

/* INV: nobody waits while a place is free; who leaves hands the place to the first who waits. */
enum err gate_enter(struct gate *gate, uint64_t deadline_ms)
{
	if (task_canceled())
		return ERR_CANCELED;
	if (gate->held < gate->limit) {
		gate->held++;
		return ERR_OK;
	}
	return cond_wait(&gate->waiting, deadline_ms);
}

void gate_leave(struct gate *gate)
{
	ASSERT(gate->held > 0);
	if (gate->waiting.first != NULL)
		cond_signal(&gate->waiting);
	else
		gate->held--;
}

void group_enter(struct group *group)
{
	group->pending++;
}

void group_leave(struct group *group)
{
	ASSERT(group->pending > 0);
	if (--group->pending == 0)
		cond_broadcast(&group->changed);
}

void group_wait(struct group *group)
{
	ASSERT(current != NULL);
	while (group->pending != 0)
		(void)wait_for(&group->changed, TASK_FOREVER, false);
}

/* ---- offload ---- */

struct offload {
	struct env_job job;
	struct group ended;
	void (*work)(void *argument);
	void *argument;
};

static void offload_work(struct env_job *job)
{
	struct offload *offload = job->context;

	offload->work(offload->argument);
}

static void offload_done(struct env_job *job)
{
	struct offload *offload = job->context;

	group_leave(&offload->ended);
}

enum err task_offload(void (*work)(void *argument), void *argument)
{
	struct offload offload = {
		.job = {.work = offload_work, .done = offload_done, .context = &offload},
		.work = work,
		.argument = argument,
	};

	if (task_canceled())
		return ERR_CANCELED;
	group_enter(&offload.ended);
	env_job(current->sched->env, &offload.job);
	group_wait(&offload.ended);
	return offload.job.canceled ? ERR_CANCELED : ERR_OK;
}
