/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/assert.h"
#include "engine/base/bytes.h"
#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/task.h"

/*
 * An env of nothing but a clock that moves when nothing else is left to do, a
 * soon-queue, timers in order of their deadline, and jobs that run late.
 */
struct soon {
	void (*run)(void *context);
	void *context;
};

struct fake {
	struct env env;
	uint64_t now_ms;
	struct soon soon[8192];
	size_t soon_count;
	struct env_timer *timers[4096];
	uint64_t deadlines[4096];
	size_t timer_count;
	struct env_job *jobs;
	struct env_io *ios;
	struct sched *sched;
	struct buf trace;
	bool job_fails;
};

static uint64_t fake_now_ms(struct env *env)
{
	return ((struct fake *)env)->now_ms;
}

static void fake_soon(struct env *env, void (*run)(void *context), void *context)
{
	struct fake *fake = (struct fake *)env;

	ASSERT(fake->soon_count < sizeof(fake->soon) / sizeof(fake->soon[0]));
	fake->soon[fake->soon_count++] = (struct soon){run, context};
}

static void fake_timer_stop(struct env *env, struct env_timer *timer)
{
	struct fake *fake = (struct fake *)env;

	timer->armed = false;
	for (size_t i = 0; i < fake->timer_count; i++) {
		if (fake->timers[i] != timer)
			continue;
		fake->timer_count--;
		for (size_t j = i; j < fake->timer_count; j++) {
			fake->timers[j] = fake->timers[j + 1];
			fake->deadlines[j] = fake->deadlines[j + 1];
		}
		return;
	}
}

static void fake_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	struct fake *fake = (struct fake *)env;

	fake_timer_stop(env, timer);
	ASSERT(fake->timer_count < sizeof(fake->timers) / sizeof(fake->timers[0]));
	timer->armed = true;
	fake->deadlines[fake->timer_count] = env->stopped ? 0 : fake->now_ms + delay_ms;
	fake->timers[fake->timer_count++] = timer;
}

static void fake_job(struct env *env, struct env_job *job)
{
	struct fake *fake = (struct fake *)env;

	job->next = fake->jobs;
	fake->jobs = job;
}

static void fake_io(struct env *env, struct env_io *io)
{
	struct fake *fake = (struct fake *)env;

	io->next = fake->ios;
	fake->ios = io;
}

static const struct env_ops fake_ops = {
	.now_ms = fake_now_ms,
	.io = fake_io,
	.job = fake_job,
	.timer_start = fake_timer_start,
	.timer_stop = fake_timer_stop,
	.soon = fake_soon,
};

static void fake_run_soon(struct fake *fake)
{
	struct soon batch[64];
	size_t count = fake->soon_count < 64 ? fake->soon_count : 64;

	memcpy(batch, fake->soon, count * sizeof(batch[0]));
	fake->soon_count -= count;
	memmove(fake->soon, fake->soon + count, fake->soon_count * sizeof(batch[0]));
	for (size_t i = 0; i < count; i++)
		batch[i].run(batch[i].context);
}

static bool fake_complete(struct fake *fake)
{
	if (fake->jobs != NULL) {
		struct env_job *job = fake->jobs;

		fake->jobs = job->next;
		job->canceled = fake->job_fails;
		if (!job->canceled)
			job->work(job);
		job->done(job);
		return true;
	}
	if (fake->ios != NULL) {
		struct env_io *io = fake->ios;

		fake->ios = io->next;
		io->done_size = io->size;
		io->file = (struct env_file *)fake;
		io->err = ERR_OK;
		io->done(io);
		return true;
	}
	return false;
}

static bool fake_fire(struct fake *fake, uint64_t until_ms)
{
	struct env_timer *timer;
	size_t first = 0;

	for (size_t i = 1; i < fake->timer_count; i++)
		if (fake->deadlines[i] < fake->deadlines[first])
			first = i;
	if (fake->timer_count == 0 || fake->deadlines[first] > until_ms)
		return false;
	if (fake->deadlines[first] > fake->now_ms)
		fake->now_ms = fake->deadlines[first];
	timer = fake->timers[first];
	fake_timer_stop(&fake->env, timer);
	timer->fire(timer);
	return true;
}

/* Until nothing is left to do before that time. */
static void fake_run(struct fake *fake, uint64_t until_ms)
{
	for (;;) {
		if (fake->soon_count != 0)
			fake_run_soon(fake);
		else if (!fake_complete(fake) && !fake_fire(fake, until_ms))
			break;
	}
	if (fake->now_ms < until_ms)
		fake->now_ms = until_ms;
}

static void fake_stop(struct fake *fake)
{
	fake->env.stopped = true;
	memset(fake->deadlines, 0, sizeof(fake->deadlines));
}

static struct fake *fake;

static int setup(void **state)
{
	(void)state;
	fake = memory_allocate(sizeof(*fake));
	assert_non_null(fake);
	fake->env.ops = &fake_ops;
	fake->sched = sched_create(&fake->env);
	assert_non_null(fake->sched);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(sched_task_count(fake->sched), 0);
	sched_destroy(&fake->sched);
	assert_null(fake->sched);
	assert_int_equal(fake->timer_count, 0);
	buf_finish(&fake->trace);
	memory_free(fake);
	return 0;
}

static struct task *spawn(void (*run)(void *argument), void *argument)
{
	struct task *task;

	assert_int_equal(task_spawn(fake->sched, "test", run, argument, &task), ERR_OK);
	return task;
}

static void trace_is(const char *expected)
{
	buf_put_u8(&fake->trace, '\0');
	assert_string_equal((char *)fake->trace.data, expected);
	buf_clear(&fake->trace);
}

/* ---- order ---- */

static void say_thrice(void *argument)
{
	for (int i = 0; i < 3; i++) {
		buf_printf(&fake->trace, "%s%d ", (char *)argument, i);
		task_yield();
	}
}

static void test_ready_tasks_take_turns_in_order(void **state)
{
	static char a[] = "a", b[] = "b", c[] = "c";

	(void)state;
	spawn(say_thrice, a);
	spawn(say_thrice, b);
	spawn(say_thrice, c);
	assert_int_equal(sched_task_count(fake->sched), 3);
	assert_null(task_current());
	assert_int_equal(fake->trace.size, 0);
	fake_run(fake, 0);
	trace_is("a0 b0 c0 a1 b1 c1 a2 b2 c2 ");
	assert_int_equal(sched_task_count(fake->sched), 0);
}

static void sleep_and_say(void *argument)
{
	uint64_t delay_ms = *(uint64_t *)argument;

	assert_int_equal(task_sleep(delay_ms), ERR_OK);
	buf_printf(&fake->trace, "%u@%u ", (unsigned)delay_ms,
		   (unsigned)env_now_ms(sched_env(task_sched())));
}

static void test_sleepers_wake_in_order_of_time(void **state)
{
	uint64_t delays[] = {30, 10, 20, 0};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		spawn(sleep_and_say, &delays[i]);
	fake_run(fake, 100);
	trace_is("0@0 10@10 20@20 30@30 ");
}

/* Each switches to the next, so that registers and floating point must survive. */
static void count_down(void *argument)
{
	uint64_t *sum = argument;
	volatile double scale = 0.5;

	for (uint64_t i = 0; i < 10; i++) {
		double before = scale * (double)i;

		task_yield();
		assert_true(before == scale * (double)i);
		*sum += i;
	}
}

static void test_thousands_of_tasks(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		spawn(count_down, &sum);
	assert_int_equal(sched_task_count(fake->sched), 5000);
	fake_run(fake, 0);
	assert_int_equal(sum, 5000 * 45);
	assert_int_equal(sched_task_count(fake->sched), 0);
}

static void spawn_from_task(void *argument)
{
	static char child[] = "child";

	(void)argument;
	buf_put_string(&fake->trace, "parent ");
	spawn(say_thrice, child);
	task_yield();
	buf_put_string(&fake->trace, "end ");
}

static void test_task_spawns_task(void **state)
{
	(void)state;
	spawn(spawn_from_task, NULL);
	fake_run(fake, 0);
	trace_is("parent child0 end child1 child2 ");
}

static void test_spawn_without_memory(void **state)
{
	struct task *task = NULL;

	(void)state;
	memory_fail_after(0);
	assert_int_equal(task_spawn(fake->sched, "test", say_thrice, NULL, &task), ERR_NOMEM);
	memory_fail_after(UINT64_MAX);
	assert_null(task);
	assert_int_equal(sched_task_count(fake->sched), 0);
}

/* ---- cond ---- */

struct waiting {
	struct cond *cond;
	uint64_t deadline_ms;
	char name;
};

static void wait_and_say(void *argument)
{
	struct waiting *waiting = argument;
	enum err err = cond_wait(waiting->cond, waiting->deadline_ms);

	buf_printf(&fake->trace, "%c:%s ", waiting->name, err_name(err));
}

static void test_cond_wakes_the_longest_waiting(void **state)
{
	struct cond cond = {0};
	struct waiting waiting[] = {
		{&cond, TASK_FOREVER, 'a'}, {&cond, TASK_FOREVER, 'b'}, {&cond, TASK_FOREVER, 'c'}};

	(void)state;
	cond_signal(&cond); /* nobody there: lost */
	for (size_t i = 0; i < 3; i++)
		spawn(wait_and_say, &waiting[i]);
	fake_run(fake, 1);
	trace_is("");
	cond_signal(&cond);
	fake_run(fake, 2);
	trace_is("a:OK ");
	cond_broadcast(&cond);
	fake_run(fake, 3);
	trace_is("b:OK c:OK ");
}

static void test_cond_deadlines(void **state)
{
	struct cond cond = {0};
	struct waiting waiting[] = {
		{&cond, 50, 'a'}, {&cond, 20, 'b'}, {&cond, 90, 'c'}, {&cond, 0, 'd'}};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		spawn(wait_and_say, &waiting[i]);
	fake_run(fake, 19);
	trace_is("d:TIMEOUT ");
	fake_run(fake, 60);
	trace_is("b:TIMEOUT a:TIMEOUT ");
	cond_signal(&cond);
	fake_run(fake, 200);
	trace_is("c:OK ");
	assert_null(cond.first);
}

/* ---- cancellation ---- */

static void wait_twice(void *argument)
{
	struct waiting *waiting = argument;
	struct gate gate = {.limit = 1};

	wait_and_say(waiting);
	wait_and_say(waiting);
	assert_int_equal(task_sleep(1), ERR_CANCELED);
	assert_int_equal(gate_enter(&gate, TASK_FOREVER), ERR_CANCELED);
	assert_true(task_canceled());
	task_yield();
	buf_put_string(&fake->trace, "end ");
}

static void test_cancel_is_sticky(void **state)
{
	struct cond cond = {0};
	struct waiting waiting = {&cond, 1000, 'a'};
	struct task *task;

	(void)state;
	task = spawn(wait_twice, &waiting);
	fake_run(fake, 5);
	task_cancel(task);
	task_cancel(task);
	fake_run(fake, 5);
	trace_is("a:CANCELED a:CANCELED end ");
	assert_null(cond.first);
}

static void test_cancel_before_the_first_run(void **state)
{
	struct cond cond = {0};
	struct waiting waiting = {&cond, TASK_FOREVER, 'a'};

	(void)state;
	task_cancel(spawn(wait_twice, &waiting));
	fake_run(fake, 5);
	trace_is("a:CANCELED a:CANCELED end ");
}

static void test_signaled_then_canceled_was_signaled(void **state)
{
	struct cond cond = {0};
	struct waiting waiting = {&cond, TASK_FOREVER, 'a'};
	struct task *task;

	(void)state;
	task = spawn(wait_twice, &waiting);
	fake_run(fake, 5);
	cond_signal(&cond);
	task_cancel(task);
	fake_run(fake, 5);
	trace_is("a:OK a:CANCELED end ");
}

static void test_cancel_all(void **state)
{
	struct cond cond = {0};
	struct waiting waiting[] = {{&cond, TASK_FOREVER, 'a'}, {&cond, 9999, 'b'}};

	(void)state;
	spawn(wait_twice, &waiting[0]);
	spawn(wait_twice, &waiting[1]);
	fake_run(fake, 5);
	sched_cancel_all(fake->sched);
	fake_run(fake, 6);
	trace_is("a:CANCELED a:CANCELED b:CANCELED b:CANCELED end end ");
}

static void test_stop_of_the_env_ends_every_wait(void **state)
{
	struct cond cond = {0};
	struct waiting waiting[] = {{&cond, TASK_FOREVER, 'a'}, {&cond, 9999, 'b'}};

	(void)state;
	spawn(wait_twice, &waiting[0]);
	spawn(wait_twice, &waiting[1]);
	fake_run(fake, 5);
	fake_stop(fake);
	fake_run(fake, 6);
	assert_int_equal(sched_task_count(fake->sched), 0);
	/* Spawned late, it runs, and every wait tells it to end. */
	buf_clear(&fake->trace);
	spawn(wait_twice, &waiting[0]);
	fake_run(fake, 7);
	trace_is("a:CANCELED a:CANCELED end ");
}

/* ---- gate, group ---- */

static size_t inside, most_inside;

static void pass_gate(void *argument)
{
	struct gate *gate = argument;

	assert_int_equal(gate_enter(gate, TASK_FOREVER), ERR_OK);
	inside++;
	most_inside = inside > most_inside ? inside : most_inside;
	assert_int_equal(task_sleep(1), ERR_OK);
	inside--;
	gate_leave(gate);
}

static void test_gate_limits(void **state)
{
	struct gate gate = {.limit = 3};

	(void)state;
	inside = most_inside = 0;
	for (int i = 0; i < 100; i++)
		spawn(pass_gate, &gate);
	fake_run(fake, 1000);
	assert_int_equal(most_inside, 3);
	assert_int_equal(gate.held, 0);
}

static void enter_and_say(void *argument)
{
	struct gate *gate = argument;
	enum err err = gate_enter(gate, 100);

	buf_printf(&fake->trace, "%s ", err_name(err));
	if (err == ERR_OK)
		gate_leave(gate);
}

static void test_gate_place_is_not_lost_to_a_canceled_waiter(void **state)
{
	struct gate gate = {.limit = 1};
	struct task *second;

	(void)state;
	spawn(pass_gate, &gate); /* holds it for a millisecond */
	second = spawn(enter_and_say, &gate);
	spawn(enter_and_say, &gate);
	fake_run(fake, 0);
	task_cancel(second);
	fake_run(fake, 10);
	trace_is("CANCELED OK ");
	gate.held = 1; /* and never left: time out */
	spawn(enter_and_say, &gate);
	fake_run(fake, 200);
	trace_is("TIMEOUT ");
	gate_leave(&gate);
	assert_int_equal(gate.held, 0);
}

static void member(void *argument)
{
	struct group *group = argument;

	(void)!task_sleep(10);
	buf_put_string(&fake->trace, "member ");
	group_leave(group);
}

static void wait_group(void *argument)
{
	group_wait(argument);
	buf_put_string(&fake->trace, "all ");
}

static void test_group_waits_even_when_canceled(void **state)
{
	struct group group = {0};
	struct task *waiter;

	(void)state;
	for (int i = 0; i < 2; i++) {
		group_enter(&group);
		spawn(member, &group);
	}
	waiter = spawn(wait_group, &group);
	fake_run(fake, 5);
	task_cancel(waiter);
	fake_run(fake, 6);
	trace_is("");
	fake_run(fake, 20);
	trace_is("member member all ");
}

/* ---- offload, io ---- */

static void compute(void *argument)
{
	*(int *)argument = 42;
}

static void offload(void *argument)
{
	enum err err = task_offload(compute, argument);

	buf_printf(&fake->trace, "%s %d ", err_name(err), *(int *)argument);
}

static void test_offload(void **state)
{
	int result = 0;
	struct task *task;

	(void)state;
	spawn(offload, &result);
	fake_run(fake, 0);
	trace_is("OK 42 ");

	/* Under way when canceled: waited for, since it writes to the task's memory. */
	result = 0;
	task = spawn(offload, &result);
	fake_run_soon(fake);
	assert_non_null(fake->jobs);
	task_cancel(task);
	fake_run_soon(fake);
	trace_is("");
	fake_run(fake, 0);
	trace_is("OK 42 ");

	result = 0;
	task_cancel(spawn(offload, &result));
	fake_run(fake, 0);
	trace_is("CANCELED 0 ");

	fake->job_fails = true;
	spawn(offload, &result);
	fake_run(fake, 0);
	trace_is("CANCELED 0 ");
}

static void open_and_close(void *argument)
{
	struct env_file *file = NULL;
	enum err err = io_open("x", 0, &file);

	(void)argument;
	buf_printf(&fake->trace, "open:%s ", err_name(err));
	if (err != ERR_OK)
		return;
	err = io_truncate(file, 0);
	buf_printf(&fake->trace, "truncate:%s ", err_name(err));
	io_close(&file);
	assert_null(file);
}

static void test_io_of_a_canceled_task(void **state)
{
	struct task *task;

	(void)state;
	task = spawn(open_and_close, NULL);
	fake_run_soon(fake);
	assert_non_null(fake->ios);
	task_cancel(task);
	/* The handle that was being opened is not lost, and still gets closed. */
	fake_run(fake, 0);
	trace_is("open:OK truncate:CANCELED ");
	task_cancel(spawn(open_and_close, NULL));
	fake_run(fake, 0);
	trace_is("open:CANCELED ");
}

/* ---- stacks ---- */

static int dive(volatile char *above)
{
	volatile char frame[512];

	frame[0] = above[0];
	return frame[0] == 1 ? 0 : dive(frame) + 1;
}

static void overflow(void *argument)
{
	volatile char start[1] = {0};

	(void)argument;
	(void)dive(start);
}

static void test_stack_has_a_guard(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		/* The report of a sanitizer is not what is being tested. */
		close(STDERR_FILENO);
		spawn(overflow, NULL);
		fake_run(fake, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use_most_of_the_stack(void *argument)
{
	volatile char block[TASK_STACK_SIZE - 4096];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = 1;
	task_yield();
	for (size_t i = 0; i < sizeof(block); i++)
		*(size_t *)argument += (size_t)block[i];
}

static void test_stack_is_as_large_as_promised(void **state)
{
	size_t sum = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		spawn(use_most_of_the_stack, &sum);
	fake_run(fake, 0);
	assert_int_equal(sum, 3 * (TASK_STACK_SIZE - 4096));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_ready_tasks_take_turns_in_order),
		TEST(test_sleepers_wake_in_order_of_time),
		TEST(test_thousands_of_tasks),
		TEST(test_task_spawns_task),
		TEST(test_spawn_without_memory),
		TEST(test_cond_wakes_the_longest_waiting),
		TEST(test_cond_deadlines),
		TEST(test_cancel_is_sticky),
		TEST(test_cancel_before_the_first_run),
		TEST(test_signaled_then_canceled_was_signaled),
		TEST(test_cancel_all),
		TEST(test_stop_of_the_env_ends_every_wait),
		TEST(test_gate_limits),
		TEST(test_gate_place_is_not_lost_to_a_canceled_waiter),
		TEST(test_group_waits_even_when_canceled),
		TEST(test_offload),
		TEST(test_io_of_a_canceled_task),
		TEST(test_stack_has_a_guard),
		TEST(test_stack_is_as_large_as_promised),
	};

	return cmocka_run_group_tests_name("engine/task", tests, NULL, NULL);
}
