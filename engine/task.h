/* SPDX-License-Identifier: MPL-2.0 */
/*
 * task - stackful coroutines over an env: code that waits and still reads from
 * top to bottom.
 *
 * One scheduler a node (an env). Tasks run on the loop's thread, one at a time,
 * until they wait; ready tasks run in the order in which they became ready, so
 * a run is deterministic when its env is. There is no preemption and hence no
 * locking; what a task read from engine state before a WAITS call may be stale
 * after it.
 *
 * WAITS marks every function that may suspend its caller: such a function is
 * called from a task only. Across a wait nobody holds a borrowed pointer into
 * engine state that another task may free, nor an open index scan.
 *
 * Stacks are TASK_STACK_SIZE bytes with a guard page, from a small pool; what
 * a task needs while it is idle for long belongs on the heap, and the task ends
 * (an idle session has no stack).
 *
 * Cancellation is cooperative and sticky: after task_cancel(), or when the env
 * stops, the wait in progress and every later one of that task return
 * ERR_CANCELED at once. An offload or an io already under way borrows the task's
 * memory, so it is waited for and gives its own result; later ones are not begun.
 */
#ifndef AEROSTORE_ENGINE_TASK_H
#define AEROSTORE_ENGINE_TASK_H

#include "engine/env.h"

#define WAITS /* may suspend the calling task */
#define TASK_FOREVER UINT64_MAX
#define TASK_STACK_SIZE (64u * 1024)

struct sched;
struct task;

/* Borrows env, which outlives it. NULL when out of memory. */
struct sched *sched_create(struct env *env);
/* All tasks must have ended. */
void sched_destroy(struct sched **sched);
struct env *sched_env(struct sched *sched);
/* Tasks alive: 0 before sched_destroy(). */
size_t sched_task_count(const struct sched *sched);
/* Cancels every task; they end as the loop runs on. */
void sched_cancel_all(struct sched *sched);

/*
 * Makes run(argument) ready. `name` is static, for logs. The task frees itself
 * when run returns; *out (may be NULL) is then dangling, unless it is joined.
 */
MUST_USE enum err task_spawn(struct sched *sched, const char *name, void (*run)(void *argument),
			     void *argument, struct task **out);
/* The running task; NULL outside of any. */
struct task *task_current(void);
struct sched *task_sched(void);
void task_cancel(struct task *task);
/* How often it has run so far: one that waits for a disk that hangs stays where it is. */
uint64_t task_turns(const struct task *task);
bool task_canceled(void);

/* Lets every other ready task run. */
WAITS void task_yield(void);
WAITS MUST_USE enum err task_sleep(uint64_t delay_ms);
/* Runs work(argument) on another thread: CPU work only. ERR_CANCELED: it may not have run. */
WAITS MUST_USE enum err task_offload(void (*work)(void *argument), void *argument);

/*
 * cond: tasks that wait for something to change. Zero before first use. A
 * signal with no waiter is lost: check the state, then wait, in a loop.
 */
struct cond {
	struct cond_waiter *first, *last;
};

/* deadline_ms on env_now_ms()'s clock, or TASK_FOREVER. ERR_OK, ERR_TIMEOUT or ERR_CANCELED. */
WAITS MUST_USE enum err cond_wait(struct cond *cond, uint64_t deadline_ms);
/* Wakes the longest waiting task, or all. Callable outside of tasks, too. */
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

/* semaphore-like gate: at most `limit` holders, first come first served. */
struct gate {
	size_t limit, held;
	struct cond waiting;
};

WAITS MUST_USE enum err gate_enter(struct gate *gate, uint64_t deadline_ms);
void gate_leave(struct gate *gate);

/*
 * group: waits for tasks spawned into it. Zero before first use; `pending`
 * counts those that have not called group_leave().
 */
struct group {
	size_t pending;
	struct cond changed;
};

void group_enter(struct group *group);
void group_leave(struct group *group);
/* Waits for all, not interruptible: members must end when canceled. */
WAITS void group_wait(struct group *group);

#endif
