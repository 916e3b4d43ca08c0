/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/net/stream_pair.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/memory.h"

/* ---- limits ---- */

static size_t inside, most_inside;

static void greet(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	inside++;
	most_inside = inside > most_inside ? inside : most_inside;
	/* Who only asks whether somebody listens here is gone before. */
	must_write(stream, "HELLO\r\n");
	expect_end(stream);
	inside--;
	stream_close(&stream);
}

struct crowd {
	struct stream_pair pair;
	size_t greeted, refused;
	struct group ended;
};

/* Says which of the two first lines it got. */
static bool is_greeted(struct stream *stream)
{
	struct bytes line;

	assert_int_equal(stream_line(stream, 100, in_ms(60000), &line), ERR_OK);
	if (bytes_equal(line, bytes_string("HELLO\r\n")))
		return true;
	assert_true(bytes_equal(line, bytes_string("BUSY\r\n")));
	return false;
}

static void one_of_the_crowd(void *argument)
{
	struct crowd *crowd = argument;
	struct stream *stream = stream_pair_connect(&crowd->pair);

	if (is_greeted(stream))
		crowd->greeted++;
	else
		crowd->refused++;
	stream_close(&stream);
	group_leave(&crowd->ended);
}

enum { CROWD = 1000, LIMIT = 50 };

static void come_all(void *argument)
{
	struct crowd *crowd = argument;

	for (int i = 0; i < CROWD; i++) {
		group_enter(&crowd->ended);
		assert_int_equal(task_spawn(task_sched(), "one", one_of_the_crowd, crowd, NULL),
				 ERR_OK);
	}
	group_wait(&crowd->ended);
}

static void come_against(struct crowd *crowd, void **state)
{
	inside = most_inside = 0;
	crowd->pair.serve = greet;
	stream_pair_listen(&crowd->pair, state);
	loop_fixture_run(*state, come_all, crowd);
	assert_int_equal(inside, 0);
	assert_in_range(most_inside, 1, LIMIT);
	assert_int_equal(crowd->greeted + crowd->refused, CROWD);
	assert_int_equal(listener_connections(crowd->pair.listener), 0);
	listener_close(&crowd->pair.listener);
}

static void test_a_thousand_wait_in_the_queue(void **state)
{
	struct crowd crowd = {.pair.options.connection_limit = LIMIT};

	come_against(&crowd, state);
	assert_int_equal(crowd.greeted, CROWD);
	assert_int_equal(most_inside, LIMIT);
}

static void test_a_thousand_against_a_limit_with_a_line(void **state)
{
	struct crowd crowd = {.pair.options = {.connection_limit = LIMIT, .busy = "BUSY"}};

	come_against(&crowd, state);
	assert_true(crowd.greeted >= LIMIT);
	assert_true(crowd.refused > 0);
}

static void come_twice(void *argument)
{
	struct crowd *crowd = argument;
	struct stream *first = stream_pair_connect(&crowd->pair), *second;

	assert_true(is_greeted(first));
	second = stream_pair_connect(&crowd->pair);
	assert_false(is_greeted(second));
	expect_end(second);
	stream_close(&second);
	stream_close(&first);
	/* The place is free as soon as the server has seen the end. */
	while (listener_connections(crowd->pair.listener) != 0)
		task_yield();
	first = stream_pair_connect(&crowd->pair);
	assert_true(is_greeted(first));
	stream_close(&first);
}

static void test_limit_per_peer(void **state)
{
	struct crowd crowd = {.pair.options = {.connection_limit_per_peer = 1, .busy = "BUSY\r\n"}};

	crowd.pair.serve = greet;
	stream_pair_listen(&crowd.pair, state);
	loop_fixture_run(*state, come_twice, &crowd);
	listener_close(&crowd.pair.listener);
}

/* ---- descriptors run out ---- */

static unsigned turns;
static bool client_ended;

static void count_turns(void *argument)
{
	(void)argument;
	while (!client_ended) {
		turns++;
		assert_int_equal(task_sleep(1), ERR_OK);
	}
}

static void connect_without_descriptors(void *argument)
{
	struct crowd *crowd = argument;
	struct stream *stream = stream_pair_connect(&crowd->pair);

	assert_true(is_greeted(stream));
	stream_close(&stream);
	client_ended = true;
}

static rlim_t next_descriptor(void)
{
	int probe = dup(STDERR_FILENO);

	close(probe);
	return (rlim_t)probe;
}

static void test_out_of_descriptors_does_not_spin(void **state)
{
	struct crowd crowd = {.pair.serve = greet};
	struct loop_fixture *fixture = *state;
	struct rlimit before, tight;
	unsigned loop_turns = 0;
	uint64_t end_ms;

	inside = turns = 0;
	client_ended = false;
	stream_pair_listen(&crowd.pair, state);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	/* Room for the client's end of the connection, and no more. */
	tight.rlim_cur = next_descriptor() + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_int_equal(
		task_spawn(fixture->sched, "client", connect_without_descriptors, &crowd, NULL),
		ERR_OK);
	end_ms = env_now_ms(loop_env(fixture->loop)) + 300;
	while (env_now_ms(loop_env(fixture->loop)) < end_ms) {
		loop_turn(fixture->loop, true);
		loop_turns++;
	}
	assert_int_equal(listener_connections(crowd.pair.listener), 0);
	assert_in_range(loop_turns, 1, 50);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	/* With room again it goes on by itself. */
	loop_fixture_run(fixture, count_turns, NULL);
	assert_true(turns > 0);
	listener_close(&crowd.pair.listener);
}

/* ---- addresses ---- */

static void test_addresses(void **state)
{
	struct stream_pair pair = {.serve = greet}, second = {.serve = greet};
	struct listener_options bad = {.address = "localhost:imap"};
	struct listener *listener = NULL;
	char taken[sizeof(pair.address)];

	stream_pair_listen(&pair, state);
	assert_int_not_equal(listener_port(pair.listener), 0);
	second.options = pair.options;
	second.options.address = strcpy(taken, pair.address);
	assert_int_equal(listener_open(pair.fixture->sched, &second.options, &listener),
			 ERR_UNAVAILABLE);
	assert_int_equal(listener_open(pair.fixture->sched, &bad, &listener), ERR_INVALID);
	assert_null(listener);
	listener_close(&pair.listener);
	/* Free at once for the next start. */
	assert_int_equal(listener_open(pair.fixture->sched, &second.options, &listener), ERR_OK);
	listener_close(&listener);
}

static void connect_in_vain(void *argument)
{
	struct stream *stream = NULL;

	assert_int_equal(stream_connect(task_sched(), argument, NULL, in_ms(20000), &stream),
			 ERR_UNAVAILABLE);
	assert_null(stream);
}

static void test_nobody_listens(void **state)
{
	struct stream_pair pair = {.serve = greet};
	char unix_address[128];

	stream_pair_listen(&pair, state);
	listener_close(&pair.listener);
	loop_fixture_run(*state, connect_in_vain, pair.address);
	snprintf(unix_address, sizeof(unix_address), "unix:%s", loop_fixture_path(*state, "none"));
	loop_fixture_run(*state, connect_in_vain, unix_address);
}

static void check_unix(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	expect_line(stream, "HELLO\r\n");
	assert_true(stream_is_local(stream));
	assert_string_equal(stream_peer(stream), "unix");
	stream_close(&stream);
}

static bool exists(const char *path)
{
	struct stat stat;

	return lstat(path, &stat) == 0;
}

static void test_unix_socket(void **state)
{
	struct stream_pair pair = {.serve = greet, .connect = check_unix};
	struct listener *listener = NULL;
	char path[128], address[136];
	struct stat stat;

	snprintf(path, sizeof(path), "%s", loop_fixture_path(*state, "socket"));
	snprintf(address, sizeof(address), "unix:%s", path);
	pair.options.address = address;
	pair.options.unix_mode = 0660;
	/* Not for unix sockets, where all peers are one. */
	pair.options.connection_limit_per_peer = 1;
	stream_pair_listen(&pair, state);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0660);
	assert_int_equal(listener_open(pair.fixture->sched, &pair.options, &listener),
			 ERR_UNAVAILABLE);
	loop_fixture_run(*state, stream_pair_client, &pair);
	assert_true(pair.served);
	listener_close(&pair.listener);
	assert_false(exists(path));
}

/* As a crash leaves it: bound, and nobody there. */
static void leave_socket_file(const char *path)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&local, sizeof(local)), 0);
	close(descriptor);
}

static void test_stale_unix_socket(void **state)
{
	struct stream_pair pair = {.serve = greet, .connect = check_unix};
	char path[128], address[136];
	int file;

	snprintf(path, sizeof(path), "%s", loop_fixture_path(*state, "socket"));
	snprintf(address, sizeof(address), "unix:%s", path);
	pair.options.address = address;
	leave_socket_file(path);
	stream_pair_run(&pair, state);

	/* A successor's file is not removed by who closes later. */
	stream_pair_listen(&pair, state);
	assert_int_equal(unlink(path), 0);
	leave_socket_file(path);
	listener_close(&pair.listener);
	assert_true(exists(path));
	assert_int_equal(unlink(path), 0);

	/* Nor is a file that is no socket. */
	file = open(path, O_CREAT | O_WRONLY, 0600);
	close(file);
	assert_int_equal(listener_open(pair.fixture->sched, &pair.options, &pair.listener),
			 ERR_UNAVAILABLE);
	assert_true(exists(path));
}

/* ---- life ---- */

static void close_listener_first(struct stream *stream, struct stream_pair *pair)
{
	listener_close(&pair->listener);
	expect_line(stream, "HELLO\r\n");
	stream_close(&stream);
}

static void test_connections_outlive_the_listener(void **state)
{
	struct stream_pair pair = {.serve = greet, .connect = close_listener_first};

	stream_pair_listen(&pair, state);
	loop_fixture_run(*state, stream_pair_client, &pair);
	assert_true(pair.served);
}

/* Whichever allocation fails, the listener goes on. */
static void connect_with_failures(void *argument)
{
	struct crowd *crowd = argument;

	for (uint64_t n = 0; n < 40; n++) {
		struct stream *stream = NULL;
		struct bytes line;
		enum err err;

		memory_fail_after(n);
		err = stream_connect(task_sched(), crowd->pair.address, NULL, in_ms(20000),
				     &stream);
		if (err == ERR_OK)
			err = stream_line(stream, 100, in_ms(2000), &line);
		memory_fail_after(UINT64_MAX);
		crowd->greeted += err == ERR_OK;
		crowd->refused += err != ERR_OK;
		stream_close(&stream);
		while (listener_connections(crowd->pair.listener) != 0)
			task_yield();
	}
}

static void serve_carefully(struct stream *stream, struct stream_pair *pair)
{
	enum err err = stream_write(stream, bytes_string("HELLO\r\n"));

	(void)pair;
	if (err == ERR_OK)
		err = stream_fill(stream, in_ms(2000));
	stream_close(&stream);
}

static void test_failing_allocations(void **state)
{
	struct crowd crowd = {.pair.serve = serve_carefully,
			      .pair.options.connection_limit_per_peer = 1};

	stream_pair_listen(&crowd.pair, state);
	loop_fixture_run(*state, connect_with_failures, &crowd);
	/* Each failed for its own allocation, and only for that. */
	assert_true(crowd.refused >= 5);
	assert_true(crowd.greeted >= 20);
	listener_close(&crowd.pair.listener);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_thousand_wait_in_the_queue),
		TEST(test_a_thousand_against_a_limit_with_a_line),
		TEST(test_limit_per_peer),
		TEST(test_out_of_descriptors_does_not_spin),
		TEST(test_addresses),
		TEST(test_nobody_listens),
		TEST(test_unix_socket),
		TEST(test_stale_unix_socket),
		TEST(test_connections_outlive_the_listener),
		TEST(test_failing_allocations),
	};

	return cmocka_run_group_tests_name("net/listener", tests, NULL, NULL);
}
