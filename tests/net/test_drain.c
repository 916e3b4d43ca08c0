/* SPDX-License-Identifier: MPL-2.0 */
/* How a server ends: listener_drain(), stream_end_input(), listener_abort(); and who a peer is. */
#include "tests/net/stream_pair.h"

#include <unistd.h>

struct draining {
	struct stream_pair pair;
	struct stream *parked;
	unsigned wakes;
};

/* Answers what was asked before the drain, says goodbye at its end. */
static void answer_until_drained(struct stream *stream, struct stream_pair *pair)
{
	expect_line(stream, "one\r\n");
	listener_drain(pair->listener);
	expect_line(stream, "two\r\n");
	must_send(stream, "answers\r\n");
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_CANCELED);
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_CANCELED);
	must_send(stream, "BYE\r\n");
	stream_close(&stream);
}

static void ask_twice(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "one\r\ntwo\r\n");
	expect_line(stream, "answers\r\n");
	expect_line(stream, "BYE\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_what_was_asked_is_answered(void **state)
{
	struct stream_pair pair = {.serve = answer_until_drained, .connect = ask_twice};

	stream_pair_run(&pair, state);
}

static void wait_for_line(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	assert_int_equal(stream_fill(stream, TASK_FOREVER), ERR_CANCELED);
	must_send(stream, "BYE\r\n");
	stream_close(&stream);
}

static void drain_and_listen(struct stream *stream, struct stream_pair *pair)
{
	assert_int_equal(task_sleep(20), ERR_OK);
	listener_drain(pair->listener);
	expect_line(stream, "BYE\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_who_waits_is_woken(void **state)
{
	struct stream_pair pair = {.serve = wait_for_line, .connect = drain_and_listen};

	stream_pair_run(&pair, state);
}

static void close_parked(void *argument)
{
	struct draining *draining = argument;

	assert_int_equal(stream_fill(draining->parked, TASK_FOREVER), ERR_CANCELED);
	must_send(draining->parked, "BYE\r\n");
	stream_close(&draining->parked);
}

static void on_wake(struct stream *stream, void *context)
{
	struct draining *draining = context;

	(void)stream;
	draining->wakes++;
	assert_int_equal(
		task_spawn(draining->pair.fixture->sched, "wake", close_parked, draining, NULL),
		ERR_OK);
}

static void park(struct stream *stream, struct stream_pair *pair)
{
	struct draining *draining = (struct draining *)pair;

	draining->parked = stream;
	stream_park(stream, TASK_FOREVER, on_wake, draining);
}

static void test_parked_ones_are_woken_once(void **state)
{
	struct draining draining = {.pair = {.serve = park, .connect = drain_and_listen}};

	stream_pair_run(&draining.pair, state);
	assert_int_equal(draining.wakes, 1);
}

static void wait_for_abort(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	assert_int_equal(stream_fill(stream, TASK_FOREVER), ERR_CLOSED);
	assert_int_equal(stream_write(stream, bytes_string("x")), ERR_CLOSED);
	stream_close(&stream);
}

static void abort_all(struct stream *stream, struct stream_pair *pair)
{
	assert_int_equal(task_sleep(20), ERR_OK);
	listener_abort(pair->listener);
	expect_end(stream);
	stream_close(&stream);
}

static void test_abort_ends_all(void **state)
{
	struct stream_pair pair = {.serve = wait_for_abort, .connect = abort_all};

	stream_pair_run(&pair, state);
}

/* ---- who the peer is ---- */

static void expect_our_user(struct stream *stream, struct stream_pair *pair)
{
	uint32_t user = 0xffffffff;

	(void)pair;
	assert_int_equal(stream_peer_user(stream, &user), ERR_OK);
	assert_int_equal(user, geteuid());
	stream_close(&stream);
}

static void expect_no_user(struct stream *stream, struct stream_pair *pair)
{
	uint32_t user = 0;

	(void)pair;
	assert_int_equal(stream_peer_user(stream, &user), ERR_NOTFOUND);
	stream_close(&stream);
}

static void only_connect(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	expect_end(stream);
	stream_close(&stream);
}

static void test_peer_user(void **state)
{
	char address[100];
	struct stream_pair over_unix = {.serve = expect_our_user, .connect = only_connect};
	struct stream_pair over_tcp = {.serve = expect_no_user, .connect = only_connect};

	snprintf(address, sizeof(address), "unix:%s", loop_fixture_path(*state, "socket"));
	over_unix.options.address = address;
	stream_pair_run(&over_unix, state);
	stream_pair_run(&over_tcp, state);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_asked_is_answered),
		TEST(test_who_waits_is_woken),
		TEST(test_parked_ones_are_woken_once),
		TEST(test_abort_ends_all),
		TEST(test_peer_user),
	};

	return cmocka_run_group_tests_name("net/drain", tests, NULL, NULL);
}
