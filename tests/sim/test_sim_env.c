/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/io.h"
#include "tests/sim/sim_task.h"

static void write_file(const char *path, const char *text)
{
	struct env_file *file = NULL;

	assert_int_equal(io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(io_write_sync(file, 0, bytes_string(text)), ERR_OK);
	io_close(&file);
}

static void assert_file(const char *path, const char *text)
{
	struct buf content = {0};

	assert_int_equal(io_read_file(path, 1 << 20, &content), ERR_OK);
	assert_int_equal(content.size, strlen(text));
	assert_memory_equal(content.data, text, content.size);
	buf_finish(&content);
}

/* Runs a task in a simple world of its own. */
static void in_simple_world(void (*run)(void *argument))
{
	struct sim *sim = sim_simple();

	assert_int_equal(sim_run_task(sim, run, sim), ERR_OK);
	sim_finish(&sim);
	assert_null(sim);
}

/* ---- files ---- */

static void use_names(void *argument)
{
	struct buf names = {0};
	struct env_stat stat;

	(void)argument;
	assert_int_equal(io_make_directory("/a"), ERR_OK);
	assert_int_equal(io_make_directory("/a"), ERR_EXISTS);
	assert_int_equal(io_make_directory("/no/a"), ERR_NOTFOUND);
	write_file("/a/x", "hello");
	assert_file("/a/x", "hello");
	assert_int_equal(io_replace_file("/a/x", bytes_string("new")), ERR_OK);
	assert_file("/a/x", "new");
	assert_int_equal(io_stat("/a/x", &stat), ERR_OK);
	assert_int_equal(stat.size, 3);
	assert_int_equal(stat.allocated, 4096);
	assert_int_equal(stat.link_count, 1);
	assert_false(stat.is_directory);
	write_file("/a/b", "");
	assert_int_equal(io_list("/a", &names), ERR_OK);
	assert_int_equal(names.size, 4);
	assert_memory_equal(names.data, "b\0x\0", 4);
	assert_int_equal(io_unlink("/a/b"), ERR_OK);
	assert_int_equal(io_unlink("/a/b"), ERR_NOTFOUND);
	assert_int_equal(io_rename("/a/x", "/a/y"), ERR_OK);
	assert_int_equal(io_stat("/a/x", &stat), ERR_NOTFOUND);
	assert_file("/a/y", "new");
	assert_int_equal(io_rename("/a/none", "/a/z"), ERR_NOTFOUND);
	assert_int_equal(io_rename("/a", "/a/inside"), ERR_INVALID);
	buf_finish(&names);
}

static void test_names(void **state)
{
	(void)state;
	in_simple_world(use_names);
}

static void use_handles(void *argument)
{
	struct env_file *file = NULL, *second = NULL;
	struct env_stat stat;
	uint8_t bytes[8];
	size_t size = 9;

	(void)argument;
	assert_int_equal(io_open("/f", ENV_OPEN_WRITE, &file), ERR_NOTFOUND);
	assert_int_equal(io_open("/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK, &file),
			 ERR_OK);
	assert_int_equal(io_open("/f", ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &second), ERR_EXISTS);
	assert_int_equal(io_open("/f", ENV_OPEN_LOCK, &second), ERR_UNAVAILABLE);
	assert_int_equal(io_write_sync(file, 0, bytes_string("abcdef")), ERR_OK);
	assert_int_equal(io_open("/f", 0, &second), ERR_OK);
	assert_int_not_equal(io_write_sync(second, 0, bytes_string("x")), ERR_OK);
	assert_int_equal(io_read(second, 4, bytes, 8, &size), ERR_OK);
	assert_int_equal(size, 2);
	assert_int_equal(io_read(second, 6, bytes, 8, &size), ERR_OK);
	assert_int_equal(size, 0);
	assert_int_equal(io_read_exact(second, 4, bytes, 3), ERR_TORN);
	/* What was cut off never shows again. */
	assert_int_equal(io_truncate(file, 2), ERR_OK);
	assert_int_equal(io_truncate(file, 8), ERR_OK);
	assert_int_equal(io_read_exact(second, 0, bytes, 8), ERR_OK);
	assert_memory_equal(bytes, "ab\0\0\0\0\0\0", 8);
	assert_int_equal(io_unlink("/f"), ERR_OK);
	assert_int_equal(io_commit(NULL, 0, &file, 1, &stat), ERR_OK);
	assert_int_equal(stat.link_count, 0);
	io_close(&second);
	io_close(&file);
}

static void test_handles(void **state)
{
	(void)state;
	in_simple_world(use_handles);
}

static void commit_done(struct env_io *io)
{
	group_leave(io->context);
}

static WAITS enum err commit_and_look(struct env_io *io, struct env_file *const *file)
{
	struct group ended = {0};

	*io = (struct env_io){.kind = ENV_IO_COMMIT,
			      .path = "/w",
			      .syncs = file,
			      .sync_count = 1,
			      .done = commit_done,
			      .context = &ended};
	group_enter(&ended);
	env_io(sched_env(task_sched()), io);
	group_wait(&ended);
	return io->err;
}

static void look_at_path(void *argument)
{
	struct env_file *file = NULL, *witness = NULL;
	struct env_stat stat;
	struct env_io io;

	(void)argument;
	assert_int_equal(io_open("/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(io_open("/w", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &witness), ERR_OK);
	assert_int_equal(io_stat_file(witness, &stat), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file), ERR_OK);
	assert_int_equal(io.path_stat.inode, stat.inode);
	assert_int_not_equal(io.stat.inode, stat.inode);
	assert_int_equal(io.stat.link_count, 1);
	assert_int_equal(io_rename("/f", "/w"), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file), ERR_OK);
	assert_int_equal(io.path_stat.inode, io.stat.inode);
	assert_int_equal(io_unlink("/w"), ERR_OK);
	assert_int_equal(commit_and_look(&io, &file), ERR_NOTFOUND);
	io_close(&witness);
	io_close(&file);
}

static void test_commit_looks_at_a_path(void **state)
{
	(void)state;
	in_simple_world(look_at_path);
}

static void fill_disk(void *argument)
{
	struct env_file *file = NULL;
	uint8_t page[4096] = {1};
	uint64_t total = 0, space = 0;

	(void)argument;
	assert_int_equal(io_open("/v/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	assert_int_equal(io_allocate(file, 0, 3 * 4096), ERR_OK);
	assert_int_equal(io_space("/v", &total, &space), ERR_OK);
	assert_int_equal(total, 4 * 4096);
	assert_int_equal(space, 4096);
	assert_int_equal(io_allocate(file, 0, 5 * 4096), ERR_NOSPACE);
	assert_int_equal(io_write_sync(file, 3 * 4096, bytes_make(page, 4096)), ERR_OK);
	assert_int_equal(io_write_sync(file, 4 * 4096, bytes_make(page, 1)), ERR_NOSPACE);
	/* What was reserved is there to write. */
	assert_int_equal(io_write_sync(file, 0, bytes_make(page, 4096)), ERR_OK);
	assert_int_equal(io_truncate(file, 4096), ERR_OK);
	assert_int_equal(io_commit(NULL, 0, &file, 1, NULL), ERR_OK);
	assert_int_equal(io_space("/v", &total, &space), ERR_OK);
	assert_int_equal(space, 3 * 4096);
	assert_int_equal(io_unlink("/v/f"), ERR_OK);
	assert_int_equal(io_space("/v", &total, &space), ERR_OK);
	assert_int_equal(space, 3 * 4096);
	io_close(&file);
	assert_int_equal(io_space("/v", &total, &space), ERR_OK);
	assert_int_equal(space, 4 * 4096);
}

static void test_space(void **state)
{
	const struct sim_disk_options small = {.capacity = 4 * 4096};
	struct sim *sim = sim_simple();

	(void)state;
	sim_add_disk(sim->nodes[0], "/v", &small);
	assert_int_equal(sim_run_task(sim, fill_disk, NULL), ERR_OK);
	sim_finish(&sim);
}

static void rename_between_disks(void *argument)
{
	(void)argument;
	write_file("/v/f", "x");
	assert_int_not_equal(io_rename("/v/f", "/w/f"), ERR_OK);
	assert_file("/v/f", "x");
}

static void test_disks(void **state)
{
	struct sim *sim = sim_simple();
	struct sim_disk *first = sim_add_disk(sim->nodes[0], "/v", NULL);
	struct sim_disk *second = sim_add_disk(sim->nodes[0], "/w", NULL);

	(void)state;
	assert_int_equal(sim_run_task(sim, rename_between_disks, NULL), ERR_OK);
	assert_int_equal(first->counters.syncs, 1);
	assert_int_equal(first->counters.bytes_written, 1);
	assert_int_equal(second->counters.syncs, 0);
	sim_finish(&sim);
}

/* ---- time ---- */

static char order[16];

static void note(void *context)
{
	strncat(order, context, sizeof(order) - strlen(order) - 1);
}

static void fire(struct env_timer *timer)
{
	note(timer->context);
}

static void test_order(void **state)
{
	struct sim *sim = sim_simple();
	struct env *env = sim_simple_env(sim);
	struct env_timer late = {.fire = fire}, early = {.fire = fire}, stopped = {.fire = fire};
	uint64_t start = env_now_ms(env);
	char a[] = "a", b[] = "b", l[] = "l", e[] = "e", s[] = "s";

	(void)state;
	order[0] = '\0';
	late.context = l;
	early.context = e;
	stopped.context = s;
	env_timer_start(env, &late, 50);
	env_timer_start(env, &stopped, 20);
	env_timer_start(env, &early, 99);
	env_timer_start(env, &early, 10);
	env_soon(env, note, a);
	env_soon(env, note, b);
	assert_string_equal(order, "");
	env_timer_stop(env, &stopped);
	env_timer_stop(env, &stopped);
	assert_int_equal(sim_run(sim), ERR_OK);
	assert_string_equal(order, "abel");
	assert_int_equal(env_now_ms(env) - start, 50);
	assert_false(late.armed);
	sim_finish(&sim);
}

static void test_world_events(void **state)
{
	struct sim *sim = sim_simple();
	uint64_t start = sim_now_ms(sim);
	char a[] = "a", b[] = "b", never[] = "n";

	(void)state;
	order[0] = '\0';
	sim_at(sim, 2000, note, b);
	sim_at(sim, 1000, note, a);
	sim_at(sim, 3001, note, never);
	assert_int_equal(sim_run_for(sim, 3), ERR_OK);
	assert_string_equal(order, "ab");
	assert_int_equal(sim_now_ms(sim) - start, 3);
	sim_finish(&sim);
}

static void test_clock_jumps(void **state)
{
	struct sim *sim = sim_simple();
	struct env *env = sim_simple_env(sim);
	uint64_t wall = env_wall_ms(env), now = env_now_ms(env);

	(void)state;
	sim_jump_clock(sim->nodes[0], -5000);
	assert_true(env_wall_ms(env) == wall - 5000);
	assert_true(env_now_ms(env) == now);
	assert_int_equal(sim_run_for(sim, 7), ERR_OK);
	assert_true(env_wall_ms(env) == wall - 4993);
	sim_finish(&sim);
}

/* ---- halting ---- */

static struct {
	int canceled_jobs, fired;
	enum err io_err, sleep_err;
	bool worked;
} halted;

static void do_work(struct env_job *job)
{
	(void)job;
	halted.worked = true;
}

static void job_done(struct env_job *job)
{
	halted.canceled_jobs += job->canceled;
}

static void count_fire(struct env_timer *timer)
{
	(void)timer;
	halted.fired++;
}

static void wait_and_write(void *argument)
{
	struct env_file *file = NULL;

	(void)argument;
	assert_int_equal(io_open("/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), ERR_OK);
	halted.sleep_err = task_sleep(1000000);
	halted.io_err = io_write_sync(file, 0, bytes_string("too late"));
	io_close(&file);
}

static void test_halt(void **state)
{
	struct sim *sim = sim_simple();
	struct sim_node *node = sim->nodes[0];
	struct env_job job = {.work = do_work, .done = job_done};
	struct env_timer timer = {.fire = count_fire};
	struct env *first = sim_node_env(node);

	(void)state;
	memset(&halted, 0, sizeof(halted));
	sim_spawn(node, "waits", wait_and_write, NULL);
	assert_int_equal(sim_run_for(sim, 100), ERR_OK);
	env_job(first, &job);
	env_timer_start(first, &timer, 5000);
	sim_crash(node, SIM_CRASH_KEEP_ALL);
	assert_false(sim_is_running(node));
	assert_false(sim_is_unwound(node));
	assert_int_equal(halted.canceled_jobs, 0);
	assert_int_equal(sim_unwind(node), ERR_OK);
	assert_int_equal(halted.canceled_jobs, 1);
	assert_false(halted.worked);
	assert_int_equal(halted.fired, 1);
	assert_int_equal(halted.sleep_err, ERR_CANCELED);
	assert_int_equal(halted.io_err, ERR_CANCELED);
	sim_restart(node);
	assert_true(sim_is_running(node));
	assert_int_equal(node->life_count, 2);
	sim_finish(&sim);
}

static void assert_unsynced_is_there(void *argument)
{
	(void)argument;
	assert_file("/f", "unsynced");
}

static void write_unsynced(void *argument)
{
	const struct bytes part = bytes_string("unsynced");
	struct env_write write = {.part_count = 1, .parts = &part};

	(void)argument;
	assert_int_equal(io_open("/f", ENV_OPEN_WRITE | ENV_OPEN_CREATE, &write.file), ERR_OK);
	assert_int_equal(io_commit(&write, 1, NULL, 0, NULL), ERR_OK);
	io_close(&write.file);
}

/* The death of the process alone loses nothing that the kernel has. */
static void test_kill(void **state)
{
	struct sim *sim = sim_simple();

	(void)state;
	assert_int_equal(sim_run_task(sim, write_unsynced, NULL), ERR_OK);
	sim_kill(sim->nodes[0]);
	assert_int_equal(sim_unwind(sim->nodes[0]), ERR_OK);
	sim_restart(sim->nodes[0]);
	assert_int_equal(sim_run_task(sim, assert_unsynced_is_there, NULL), ERR_OK);
	sim_finish(&sim);
}

/* ---- index ---- */

static enum err put(struct env *env, struct env_index *index, const char *key, const char *value,
		    bool durable)
{
	struct env_index_change change = {.key = bytes_string(key)};

	if (value != NULL)
		change.value = bytes_string(value);
	return env_index_commit(env, index, &change, 1, durable);
}

static bool collect_key(void *context, struct bytes key, struct bytes value)
{
	buf_put_bytes(context, key);
	buf_put_bytes(context, value);
	return true;
}

static void assert_index(struct env *env, struct env_index *index, const char *from,
			 const char *before, const char *all)
{
	struct buf found = {0};

	assert_int_equal(env_index_scan(env, index, bytes_string(from), bytes_string(before),
					collect_key, &found),
			 ERR_OK);
	assert_int_equal(found.size, strlen(all));
	if (found.size != 0)
		assert_memory_equal(found.data, all, found.size);
	buf_finish(&found);
}

static void test_index(void **state)
{
	struct sim *sim = sim_simple();
	struct env *env = sim_simple_env(sim);
	struct env_index *index = NULL, *again = NULL;
	struct buf value = {0};

	(void)state;
	assert_int_equal(env_index_open(env, "/i", &index), ERR_OK);
	assert_int_equal(env_index_open(env, "/i", &again), ERR_UNAVAILABLE);
	assert_int_equal(put(env, index, "b", "2", false), ERR_OK);
	assert_int_equal(put(env, index, "a", "1", false), ERR_OK);
	assert_int_equal(put(env, index, "c", "", false), ERR_OK);
	assert_int_equal(put(env, index, "", "3", false), ERR_INVALID);
	assert_index(env, index, "", "", "a1b2c");
	assert_index(env, index, "b", "c", "b2");
	assert_int_equal(env_index_get(env, index, bytes_string("a"), &value), ERR_OK);
	assert_int_equal(value.size, 1);
	assert_int_equal(put(env, index, "a", NULL, false), ERR_OK);
	assert_int_equal(env_index_get(env, index, bytes_string("a"), &value), ERR_NOTFOUND);
	assert_int_equal(env_index_clear(env, index), ERR_OK);
	assert_index(env, index, "", "", "");
	env_index_close(env, index);
	buf_finish(&value);
	sim_finish(&sim);
}

/* Returns how many of the three commits that followed a durable one came back. */
static int index_after_crash(uint64_t seed)
{
	static const char *const states[] = {"d0", "a1d0", "a1b2d0", "a1b2c3d0"};
	struct sim *sim = sim_create(seed, NULL);
	struct sim_node *node = sim_add_node(sim);
	struct env *env = sim_node_env(node);
	struct env_index *index = NULL;
	struct buf found = {0};
	int result = -1;

	assert_int_equal(env_index_open(env, "/i", &index), ERR_OK);
	assert_int_equal(put(env, index, "d", "0", true), ERR_OK);
	assert_int_equal(put(env, index, "a", "1", false), ERR_OK);
	assert_int_equal(put(env, index, "b", "2", false), ERR_OK);
	assert_int_equal(put(env, index, "c", "3", false), ERR_OK);
	sim_crash(node, SIM_CRASH_RANDOM);
	assert_int_equal(put(env, index, "e", "4", false), ERR_CANCELED);
	env_index_close(env, index);
	sim_restart(node);
	env = sim_node_env(node);
	assert_int_equal(env_index_open(env, "/i", &index), ERR_OK);
	assert_int_equal(
		env_index_scan(env, index, bytes_string(""), bytes_string(""), collect_key, &found),
		ERR_OK);
	for (int i = 0; i < 4; i++) {
		if (bytes_equal(bytes_of_buf(&found), bytes_string(states[i])))
			result = i;
	}
	if (found.size == 0)
		result = 4;
	assert_int_not_equal(result, -1);
	env_index_close(env, index);
	buf_finish(&found);
	sim_finish(&sim);
	return result;
}

static void test_index_crash(void **state)
{
	int seen[5] = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++)
		seen[index_after_crash(seed)]++;
	for (int i = 0; i < 5; i++)
		assert_true(seen[i] > 0);
}

/* ---- determinism ---- */

static void churn(void *argument)
{
	const char *path = argument;
	struct env *env = sched_env(task_sched());

	for (int i = 0; i < 20; i++) {
		char text[17] = "0123456789abcdef";

		env_random(env, text, 4);
		if (io_replace_file(path, bytes_make(text, 16)) != ERR_OK)
			return;
		if (task_sleep(text[0] & 7) != ERR_OK)
			return;
	}
	env_log(env, "event=churned path=%s", path);
}

static uint64_t hash_of_run(uint64_t seed)
{
	const struct sim_options options = {
		.disk = {.latency_us = 50, .jitter_us = 200, .sync_us = 500},
		.timer_jitter_us = 300,
		.write_back_per_million = 100000};
	struct sim *sim = sim_create(seed, &options);
	char paths[2][3] = {"/a", "/b"};
	uint64_t hash;

	for (int i = 0; i < 2; i++) {
		struct sim_node *node = sim_add_node(sim);

		sim_spawn(node, "churn", churn, paths[0]);
		sim_spawn(node, "churn", churn, paths[1]);
	}
	assert_int_equal(sim_run_for(sim, 10), ERR_OK);
	sim_crash(sim->nodes[0], SIM_CRASH_RANDOM);
	assert_int_equal(sim_unwind(sim->nodes[0]), ERR_OK);
	assert_int_equal(sim_run_for(sim, 10000), ERR_OK);
	hash = sim_trace_hash(sim);
	sim_finish(&sim);
	return hash;
}

static uint64_t hash_in_child(uint64_t seed)
{
	uint64_t hash = 0;
	int ends[2], status = -1;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* Another heap than the parent's: no address may count. */
		void *shift = malloc(12345);

		hash = hash_of_run(seed);
		free(shift);
		_exit(write(ends[1], &hash, sizeof(hash)) == (ssize_t)sizeof(hash) ? 0 : 1);
	}
	assert_int_equal(read(ends[0], &hash, sizeof(hash)), sizeof(hash));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
	return hash;
}

static void test_same_seed_same_trace(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		uint64_t hash = hash_of_run(seed);

		assert_true(hash == hash_of_run(seed));
		assert_true(hash == hash_in_child(seed));
		assert_true(hash != hash_of_run(seed + 1));
	}
}

/* ---- what the world finds wrong ---- */

static void io_done(struct env_io *io)
{
	(void)io;
}

static void test_changed_buffer_is_found(void **state)
{
	struct sim *sim = sim_simple();
	struct env *env = sim_simple_env(sim);
	struct env_io open = {.kind = ENV_IO_OPEN,
			      .path = "/f",
			      .flags = ENV_OPEN_WRITE | ENV_OPEN_CREATE,
			      .done = io_done};
	char text[] = "text";
	struct bytes part = bytes_make(text, 4);
	struct env_write write = {.parts = &part, .part_count = 1};
	struct env_io commit = {
		.kind = ENV_IO_COMMIT, .writes = &write, .write_count = 1, .done = io_done};
	struct env_io close_file = {.kind = ENV_IO_CLOSE, .done = io_done};

	(void)state;
	env_io(env, &open);
	assert_int_equal(sim_run(sim), ERR_OK);
	write.file = close_file.file = open.file;
	env_io(env, &commit);
	text[0] = 'n';
	assert_int_equal(sim_run(sim), ERR_LIMIT);
	assert_true(sim->failed);
	sim->failed = false;
	env_io(env, &close_file);
	assert_int_equal(sim_run(sim), ERR_OK);
	sim_finish(&sim);
}

static void rearm(struct env_timer *timer)
{
	env_timer_start(timer->context, timer, 1);
}

static void test_no_end_is_found(void **state)
{
	const struct sim_options options = {.event_limit = 1000};
	struct sim *sim = sim_create(7, &options);
	struct env *env = sim_node_env(sim_add_node(sim));
	struct env_timer timer = {.fire = rearm, .context = env};

	(void)state;
	env_timer_start(env, &timer, 1);
	assert_int_equal(sim_run(sim), ERR_LIMIT);
	assert_true(sim->failed);
	env_timer_stop(env, &timer);
	sim_finish(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_commit_looks_at_a_path),
		cmocka_unit_test(test_space),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_world_events),
		cmocka_unit_test(test_clock_jumps),
		cmocka_unit_test(test_halt),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_crash),
		cmocka_unit_test(test_same_seed_same_trace),
		cmocka_unit_test(test_changed_buffer_is_found),
		cmocka_unit_test(test_no_end_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
