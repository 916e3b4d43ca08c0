/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/io.h"
#include "net/loop_io.h"
#include "tests/support/loop_fixture.h"

static struct buf trace;

static void trace_is(const char *expected)
{
	buf_put_u8(&trace, '\0');
	assert_string_equal((char *)trace.data, expected);
	buf_finish(&trace);
}

static void say(void *context)
{
	buf_put_string(&trace, context);
}

/* ---- soon, timers ---- */

static struct env *say_again_env;

static void say_again(void *context)
{
	say(context);
	env_soon(say_again_env, say, context);
}

static void test_soon_keeps_its_order_and_takes_a_turn(void **state)
{
	struct loop_fixture *fixture = *state;
	struct env *env = say_again_env = loop_env(fixture->loop);
	static char a[] = "a ", b[] = "b ", many[] = ".";

	env_soon(env, say_again, a);
	env_soon(env, say, b);
	assert_null(trace.data);
	loop_turn(fixture->loop, true);
	trace_is("a b ");
	loop_turn(fixture->loop, true);
	trace_is("a ");
	for (int i = 0; i < 1000; i++)
		env_soon(env, say, many);
	loop_turn(fixture->loop, false);
	assert_int_equal(trace.size, 1000);
	buf_finish(&trace);
}

static void fire(struct env_timer *timer)
{
	say(timer->context);
}

static void test_timers(void **state)
{
	struct loop_fixture *fixture = *state;
	struct env *env = loop_env(fixture->loop);
	static char a[] = "a ", b[] = "b ", c[] = "c ";
	struct env_timer timers[] = {{.fire = fire, .context = a},
				     {.fire = fire, .context = b},
				     {.fire = fire, .context = c}};
	uint64_t start_ms = env_now_ms(env);

	env_timer_start(env, &timers[0], 30);
	env_timer_start(env, &timers[1], 10);
	env_timer_start(env, &timers[2], 20);
	env_timer_stop(env, &timers[2]);
	env_timer_start(env, &timers[1], 15);
	while (timers[0].armed)
		loop_turn(fixture->loop, true);
	trace_is("b a ");
	assert_in_range(env_now_ms(env) - start_ms, 30, 2000);
	env_timer_start(env, &timers[2], 0);
	assert_true(timers[2].armed);
	loop_turn(fixture->loop, true);
	trace_is("c ");
	/* No overflow at the end of time. */
	env_timer_start(env, &timers[2], UINT64_MAX);
	loop_turn(fixture->loop, false);
	assert_true(timers[2].armed);
	env_timer_stop(env, &timers[2]);
}

/* ---- jobs ---- */

struct job {
	pthread_t ran_on;
	enum err err;
	int result;
};

static void work(void *argument)
{
	struct job *job = argument;

	job->ran_on = pthread_self();
	job->result = 42;
}

static void offload(void *argument)
{
	struct job *job = argument;

	job->err = task_offload(work, job);
}

static void test_job_runs_on_another_thread(void **state)
{
	struct job job = {0};

	loop_fixture_run(*state, offload, &job);
	assert_int_equal(job.err, ERR_OK);
	assert_int_equal(job.result, 42);
	assert_false(pthread_equal(job.ran_on, pthread_self()));
}

static void test_many_jobs(void **state)
{
	struct loop_fixture *fixture = *state;
	struct job jobs[500] = {{0}};

	for (size_t i = 0; i < 500; i++)
		assert_int_equal(task_spawn(fixture->sched, "job", offload, &jobs[i], NULL),
				 ERR_OK);
	while (sched_task_count(fixture->sched) != 0)
		loop_turn(fixture->loop, true);
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(jobs[i].result, 42);
}

/* ---- random, log ---- */

static void test_random_does_not_repeat_after_a_fork(void **state)
{
	struct loop_fixture *fixture = *state;
	struct env *env = loop_env(fixture->loop);
	struct id128 ours, theirs = {{0}}, zero = {{0}};
	int ends[2], status;
	pid_t child;
	uint8_t large[10000];

	ours = env_random_id(env);
	assert_false(id128_equal(ours, zero));
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		theirs = env_random_id(env);
		_exit(write(ends[1], &theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 1);
	}
	assert_int_equal(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
	assert_int_equal(waitpid(child, &status, 0), child);
	ours = env_random_id(env);
	assert_false(id128_equal(ours, theirs));
	assert_false(id128_equal(theirs, zero));
	close(ends[0]);
	close(ends[1]);

	/* Across the end of the page, and more than a page. */
	memset(large, 0, sizeof(large));
	for (size_t i = 0; i < 1000; i++) {
		struct id128 next = env_random_id(env);

		assert_false(id128_equal(next, ours));
		ours = next;
	}
	env_random(env, large, sizeof(large));
	assert_int_not_equal(load_u64(large + sizeof(large) - 8), 0);
}

static void test_log_line(void **state)
{
	struct loop_options options = {.io_threads = 1, .cpu_threads = 1};
	struct loop *loop = NULL;
	int ends[2];
	char line[2048];
	ssize_t size;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	options.log_descriptor = ends[1];
	assert_int_equal(loop_create(&options, &loop), ERR_OK);
	env_log(loop_env(loop), "event=test value=%d", 7);
	size = read(ends[0], line, sizeof(line) - 1);
	assert_true(size > 0);
	line[size] = '\0';
	assert_memory_equal(line, "time=20", 7);
	assert_string_equal(line + strlen("time=2026-01-01T00:00:00.000"),
			    "Z event=test value=7\n");
	env_log(loop_env(loop), "event=test forged=%s", "a\nevent=other");
	size = read(ends[0], line, sizeof(line) - 1);
	assert_true(size > 0 && memchr(line, '\n', (size_t)size) == line + size - 1);
	loop_destroy(&loop);
	close(ends[0]);
	close(ends[1]);
}

/* ---- descriptors, signals ---- */

struct watched {
	struct loop_watch *watch;
	unsigned events;
	int count;
};

static void ready(void *context, unsigned events)
{
	struct watched *watched = context;

	watched->events = events;
	watched->count++;
}

static void test_watch(void **state)
{
	struct loop_fixture *fixture = *state;
	struct watched watched = {0};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(loop_watch_create(loop_env(fixture->loop), ends[0], ready, &watched,
					   &watched.watch),
			 ERR_OK);
	assert_int_equal(write(ends[1], "x", 1), 1);
	loop_turn(fixture->loop, false);
	assert_int_equal(watched.count, 0);
	for (int i = 1; i <= 3; i++) {
		loop_watch_set(watched.watch, LOOP_READ);
		loop_turn(fixture->loop, true);
		assert_int_equal(watched.count, i);
		assert_int_equal(watched.events, LOOP_READ);
		loop_watch_set(watched.watch, 0);
		loop_turn(fixture->loop, false);
		assert_int_equal(watched.count, i);
	}
	loop_stop(fixture->loop);
	loop_run(fixture->loop);
	assert_int_equal(watched.events, 0);
	assert_int_equal(watched.count, 4);
	loop_watch_destroy(&watched.watch);
	assert_null(watched.watch);
	close(ends[0]);
	close(ends[1]);
}

static void stop_on_signal(void *context)
{
	loop_stop(context);
}

static void wait_for_ever(void *argument)
{
	struct cond never = {0};

	*(enum err *)argument = cond_wait(&never, TASK_FOREVER);
}

static void test_signal_stops_the_loop_and_every_wait(void **state)
{
	struct loop_fixture *fixture = *state;
	enum err err = ERR_OK;

	assert_int_equal(loop_on_signal(fixture->loop, SIGUSR1, stop_on_signal, fixture->loop),
			 ERR_OK);
	assert_int_equal(task_spawn(fixture->sched, "wait", wait_for_ever, &err, NULL), ERR_OK);
	loop_turn(fixture->loop, false);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	loop_run(fixture->loop);
	assert_int_equal(err, ERR_CANCELED);
	assert_int_equal(sched_task_count(fixture->sched), 0);
}

/* ---- files ---- */

static struct loop_fixture *fixture_of_task;

static const char *path_of(const char *name)
{
	return loop_fixture_path(fixture_of_task, name);
}

static void in_task(void **state, void (*run)(void *argument))
{
	fixture_of_task = *state;
	loop_fixture_run(*state, run, NULL);
}

static struct env_file *must_open(const char *name, unsigned flags)
{
	struct env_file *file = NULL;

	assert_int_equal(io_open(path_of(name), flags, &file), ERR_OK);
	return file;
}

static void read_and_write(void *argument)
{
	struct env_file *file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE);
	struct bytes parts[] = {bytes_string("one "), bytes_string(""), bytes_string("two")};
	struct env_write writes[] = {
		{file, 0, parts, 3}, {file, 3, parts, 1}, {file, 99, parts, 0}};
	struct env_stat stat;
	char buffer[64] = {0};
	size_t size;

	(void)argument;
	assert_int_equal(io_commit(writes, 3, &file, 1, &stat), ERR_OK);
	assert_int_equal(stat.size, 7);
	assert_int_equal(stat.link_count, 1);
	assert_false(stat.is_directory);
	assert_int_equal(io_read(file, 0, buffer, sizeof(buffer), &size), ERR_OK);
	assert_int_equal(size, 7);
	assert_string_equal(buffer, "oneone ");
	assert_int_equal(io_read(file, 7, buffer, 1, &size), ERR_OK);
	assert_int_equal(size, 0);
	assert_int_equal(io_read_exact(file, 4, buffer, 3), ERR_OK);
	assert_memory_equal(buffer, "ne ", 3);
	assert_int_equal(io_read_exact(file, 4, buffer, 4), ERR_TORN);
	assert_int_equal(io_unlink(path_of("f")), ERR_OK);
	assert_int_equal(io_commit(NULL, 0, &file, 1, &stat), ERR_OK);
	assert_int_equal(stat.link_count, 0);
	io_close(&file);
	assert_null(file);
	io_close(&file);
}

static void commit_done(struct env_io *io)
{
	group_leave(io->context);
}

static WAITS enum err commit_and_look(struct env_io *io, struct env_file *const *file,
				      const char *path)
{
	struct group ended = {0};

	*io = (struct env_io){.kind = ENV_IO_COMMIT,
			      .path = path,
			      .syncs = file,
			      .sync_count = 1,
			      .done = commit_done,
			      .context = &ended};
	group_enter(&ended);
	env_io(sched_env(task_sched()), io);
	group_wait(&ended);
	return io->err;
}

/* A commit's two looks: at what it has synced, and at what a path names by then. */
static void look_at_path(void *argument)
{
	struct env_file *file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE);
	struct env_file *witness = must_open("w", ENV_OPEN_WRITE | ENV_OPEN_CREATE);
	struct env_stat stat;
	struct env_io io;

	(void)argument;
	assert_int_equal(io_write_sync(witness, 0, bytes_string("witness")), ERR_OK);
	assert_int_equal(io_stat_file(witness, &stat), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file, path_of("w")), ERR_OK);
	assert_int_equal(io.path_stat.inode, stat.inode);
	assert_int_equal(io.path_stat.device, stat.device);
	assert_int_equal(io.path_stat.size, 7);
	assert_int_equal(io.stat.size, 0);
	assert_int_equal(io.stat.link_count, 1);
	assert_int_equal(io_rename(path_of("f"), path_of("w")), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file, path_of("w")), ERR_OK);
	assert_int_equal(io.path_stat.inode, io.stat.inode);
	assert_int_not_equal(io.path_stat.inode, stat.inode);
	assert_int_equal(io_unlink(path_of("w")), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file, path_of("w")), ERR_NOTFOUND);
	io_close(&file);
	io_close(&witness);
}

static void test_commit_looks_at_a_path(void **state)
{
	in_task(state, look_at_path);
}

static void test_read_and_write(void **state)
{
	in_task(state, read_and_write);
}

enum { LARGE_PARTS = 3000, LARGE_PART_SIZE = 700 };

static void write_many_parts(void *argument)
{
	static uint8_t block[LARGE_PARTS * LARGE_PART_SIZE], back[sizeof(block)];
	static struct bytes parts[LARGE_PARTS];
	struct env_file *file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE);
	struct env_write write = {file, 10, parts, LARGE_PARTS};

	(void)argument;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 31 >> 3);
	for (size_t i = 0; i < LARGE_PARTS; i++)
		parts[i] = bytes_make(block + i * LARGE_PART_SIZE, LARGE_PART_SIZE);
	assert_int_equal(io_commit(&write, 1, &file, 1, NULL), ERR_OK);
	assert_int_equal(io_read_exact(file, 10, back, sizeof(back)), ERR_OK);
	assert_memory_equal(block, back, sizeof(block));
	io_close(&file);
}

static void test_write_of_many_parts(void **state)
{
	in_task(state, write_many_parts);
}

static void opens(void *argument)
{
	struct env_file *file = NULL, *second = NULL;
	uint8_t octet;
	size_t size;

	(void)argument;
	assert_int_equal(io_open(path_of("f"), 0, &file), ERR_NOTFOUND);
	assert_int_equal(io_open(path_of("f"), ENV_OPEN_WRITE, &file), ERR_NOTFOUND);
	assert_null(file);
	file = must_open("f",
			 ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE | ENV_OPEN_LOCK);
	assert_int_equal(io_open(path_of("f"),
				 ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &second),
			 ERR_EXISTS);
	assert_int_equal(io_open(path_of("f"), ENV_OPEN_WRITE | ENV_OPEN_LOCK, &second),
			 ERR_UNAVAILABLE);
	assert_null(second);
	io_close(&file);
	file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_LOCK);
	/* Read-only handles do not write; the lock is advisory. */
	second = must_open("f", 0);
	assert_int_equal(io_write_sync(second, 0, bytes_string("x")), ERR_IO);
	io_close(&second);
	io_close(&file);
	file = must_open(".", 0);
	assert_int_equal(io_read(file, 0, &octet, 1, &size), ERR_IO);
	io_close(&file);
}

static void test_opens_and_locks(void **state)
{
	in_task(state, opens);
}

static void sizes(void *argument)
{
	struct env_file *file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE);
	struct env_stat stat, by_path;
	uint64_t total = 0, free_space = 0;

	(void)argument;
	assert_int_equal(io_allocate(file, 0, 1 << 20), ERR_OK);
	assert_int_equal(io_allocate(file, 0, 0), ERR_OK);
	assert_int_equal(io_stat_file(file, &stat), ERR_OK);
	assert_int_equal(stat.size, 0);
	assert_true(stat.allocated >= 1 << 20);
	assert_int_equal(io_truncate(file, 12345), ERR_OK);
	assert_int_equal(io_stat_file(file, &stat), ERR_OK);
	assert_int_equal(stat.size, 12345);
	assert_int_equal(io_stat(path_of("f"), &by_path), ERR_OK);
	assert_int_equal(by_path.inode, stat.inode);
	assert_int_equal(by_path.device, stat.device);
	assert_int_equal(io_stat(path_of("."), &by_path), ERR_OK);
	assert_true(by_path.is_directory);
	assert_int_equal(io_stat(path_of("absent"), &by_path), ERR_NOTFOUND);
	io_close(&file);
	assert_int_equal(io_space(path_of("."), &total, &free_space), ERR_OK);
	assert_true(free_space > 0 && free_space <= total);
	assert_int_equal(io_space(path_of("absent"), &total, &free_space), ERR_NOTFOUND);
}

static void test_sizes(void **state)
{
	in_task(state, sizes);
}

static void directories(void *argument)
{
	struct buf names = {0};
	struct env_file *file;

	(void)argument;
	assert_int_equal(io_make_directory(path_of("d")), ERR_OK);
	assert_int_equal(io_make_directory(path_of("d")), ERR_EXISTS);
	assert_int_equal(io_list(path_of("d"), &names), ERR_OK);
	assert_int_equal(names.size, 0);
	for (const char *name = "cab"; *name != '\0'; name++) {
		char path[] = "d/?";

		path[2] = *name;
		file = must_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE);
		io_close(&file);
	}
	assert_int_equal(io_rename(path_of("d/c"), path_of("d/cc")), ERR_OK);
	assert_int_equal(io_rename(path_of("d/c"), path_of("d/x")), ERR_NOTFOUND);
	assert_int_equal(io_list(path_of("d"), &names), ERR_OK);
	assert_int_equal(names.size, 7);
	assert_memory_equal(names.data, "a\0b\0cc\0", 7);
	buf_finish(&names);
	assert_int_equal(io_list(path_of("absent"), &names), ERR_NOTFOUND);
	assert_int_equal(io_sync_directory(path_of("d")), ERR_OK);
	assert_int_equal(io_sync_directory(path_of("absent")), ERR_NOTFOUND);
	assert_int_equal(io_unlink(path_of("absent")), ERR_NOTFOUND);
}

static void test_directories(void **state)
{
	in_task(state, directories);
}

static void whole_files(void *argument)
{
	struct buf content = {0}, names = {0};

	(void)argument;
	assert_int_equal(io_replace_file(path_of("f"), bytes_string("a longer one")), ERR_OK);
	/* What a crash in the middle left must not shine through. */
	assert_int_equal(io_replace_file(path_of("f.new"), bytes_string("0123456789")), ERR_OK);
	assert_int_equal(io_replace_file(path_of("f"), bytes_string("short")), ERR_OK);
	buf_put_string(&content, "> ");
	assert_int_equal(io_read_file(path_of("f"), 4, &content), ERR_LIMIT);
	assert_int_equal(io_read_file(path_of("absent"), 4, &content), ERR_NOTFOUND);
	assert_int_equal(io_read_file(path_of("f"), 5, &content), ERR_OK);
	assert_true(bytes_equal(bytes_of_buf(&content), bytes_string("> short")));
	buf_finish(&content);
	assert_int_equal(io_list(path_of("."), &names), ERR_OK);
	assert_int_equal(names.size, 2);
	buf_finish(&names);
	assert_int_equal(io_replace_file(path_of("absent/f"), bytes_string("x")), ERR_NOTFOUND);
	/* The name is a directory: the rename fails, and no temporary file stays. */
	assert_int_equal(io_make_directory(path_of("d")), ERR_OK);
	assert_int_not_equal(io_replace_file(path_of("d"), bytes_string("x")), ERR_OK);
	assert_int_equal(access(path_of("d.new"), F_OK), -1);
}

static void test_whole_files(void **state)
{
	in_task(state, whole_files);
}

static void read_cached(void *argument)
{
	struct env_file *file;
	char buffer[5];

	(void)argument;
	assert_int_equal(io_replace_file(path_of("f"), bytes_string("12345")), ERR_OK);
	file = must_open("f", 0);
	assert_int_equal(io_read_exact(file, 0, buffer, 5), ERR_OK);
	io_close(&file);
}

static void test_cached_read_takes_no_thread(void **state)
{
	struct loop_fixture *fixture = *state;
	struct loop_counters counters;

	in_task(state, read_cached);
	counters = loop_counters(fixture->loop);
	assert_int_equal(counters.reads, 1);
	assert_int_equal(counters.bytes_read, 5);
	assert_int_equal(counters.writes, 1);
	assert_int_equal(counters.bytes_written, 5);
	assert_int_equal(counters.syncs, 2);
	/* A file system without RWF_NOWAIT reads on a thread, with the same result. */
	assert_in_range(counters.reads_cached, 0, 1);
}

static void stopped_env(void *argument)
{
	struct env_file *file = must_open("f", ENV_OPEN_WRITE | ENV_OPEN_CREATE), *second = NULL;
	int result = 0;

	(void)argument;
	loop_stop(fixture_of_task->loop);
	assert_int_equal(io_truncate(file, 5), ERR_CANCELED);
	assert_int_equal(io_open(path_of("g"), ENV_OPEN_WRITE | ENV_OPEN_CREATE, &second),
			 ERR_CANCELED);
	assert_int_equal(task_sleep(60000), ERR_CANCELED);
	assert_int_equal(task_offload(work, &result), ERR_CANCELED);
	io_close(&file);
	assert_null(file);
	assert_int_equal(access(path_of("g"), F_OK), -1);
}

static void test_stopped_env_touches_no_disk(void **state)
{
	struct loop_fixture *fixture = *state;

	in_task(state, stopped_env);
	loop_run(fixture->loop);
}

struct posted {
	struct env_io io;
	struct env_job job;
	bool io_done, job_done;
};

static void posted_io_done(struct env_io *io)
{
	((struct posted *)io->context)->io_done = true;
}

static void posted_job_done(struct env_job *job)
{
	((struct posted *)job->context)->job_done = true;
}

static void no_work(struct env_job *job)
{
	(void)job;
}

static void test_posted_to_a_stopped_env_completes_later_and_canceled(void **state)
{
	struct loop_fixture *fixture = *state;
	struct env *env = loop_env(fixture->loop);
	struct posted posted = {
		.io = {.kind = ENV_IO_STAT,
		       .path = "/",
		       .done = posted_io_done,
		       .context = &posted},
		.job = {.work = no_work, .done = posted_job_done, .context = &posted},
	};

	loop_stop(fixture->loop);
	env_io(env, &posted.io);
	env_job(env, &posted.job);
	assert_false(posted.io_done || posted.job_done);
	loop_run(fixture->loop);
	assert_true(posted.io_done && posted.job_done);
	assert_int_equal(posted.io.err, ERR_CANCELED);
	assert_true(posted.job.canceled);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_soon_keeps_its_order_and_takes_a_turn),
		TEST(test_timers),
		TEST(test_job_runs_on_another_thread),
		TEST(test_many_jobs),
		TEST(test_random_does_not_repeat_after_a_fork),
		TEST(test_log_line),
		TEST(test_watch),
		TEST(test_signal_stops_the_loop_and_every_wait),
		TEST(test_read_and_write),
		TEST(test_commit_looks_at_a_path),
		TEST(test_write_of_many_parts),
		TEST(test_opens_and_locks),
		TEST(test_sizes),
		TEST(test_directories),
		TEST(test_whole_files),
		TEST(test_cached_read_takes_no_thread),
		TEST(test_stopped_env_touches_no_disk),
		TEST(test_posted_to_a_stopped_env_completes_later_and_canceled),
	};

	return cmocka_run_group_tests_name("net/loop", tests, NULL, NULL);
}
