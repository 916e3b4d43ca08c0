/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/net/stream_pair.h"

#include "engine/base/memory.h"

/* ---- input ---- */

static void echo_lines(struct stream *stream, struct stream_pair *pair)
{
	struct bytes line;

	(void)pair;
	while (stream_line(stream, 1000, in_ms(20000), &line) == ERR_OK)
		assert_int_equal(stream_write(stream, line), ERR_OK);
	stream_close(&stream);
}

static void talk(struct stream *stream, struct stream_pair *pair)
{
	static const char chunked[] = "a rather long line\r\n";

	(void)pair;
	/* The echo is not flushed by hand: waiting for the next line sends it. */
	must_send(stream, "one\r\ntwo\n\nthree");
	expect_line(stream, "one\r\n");
	expect_line(stream, "two\n");
	expect_line(stream, "\n");
	must_send(stream, "!\r\n");
	expect_line(stream, "three!\r\n");
	for (const char *at = chunked; *at != '\0'; at++) {
		assert_int_equal(stream_write(stream, bytes_make(at, 1)), ERR_OK);
		assert_int_equal(stream_flush(stream), ERR_OK);
		assert_int_equal(task_sleep(1), ERR_OK);
	}
	expect_line(stream, chunked);
	assert_string_equal(stream_peer(stream), "127.0.0.1");
	assert_true(stream_is_local(stream));
	assert_false(stream_is_tls(stream));
	stream_close(&stream);
	assert_null(stream);
}

static void test_lines(void **state)
{
	struct stream_pair pair = {.serve = echo_lines, .connect = talk};

	stream_pair_run(&pair, state);
}

static void read_limited(struct stream *stream, struct stream_pair *pair)
{
	struct bytes line;

	(void)pair;
	assert_int_equal(stream_line(stream, 4, in_ms(20000), &line), ERR_OK);
	assert_memory_equal(line.data, "abc\n", 4);
	assert_int_equal(stream_line(stream, 4, in_ms(20000), &line), ERR_LIMIT);
	/* Nothing was consumed, and the same line fits into a wider limit. */
	assert_memory_equal(stream_input(stream).data, "abcd", 4);
	assert_int_equal(stream_line(stream, 5, in_ms(20000), &line), ERR_OK);
	assert_memory_equal(line.data, "abcd\n", 5);
	/* The line is not part of the input any more, though it still stands. */
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	while (stream_input(stream).size < 8)
		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	assert_memory_equal(stream_input(stream).data, "literal.", 8);
	stream_consume(stream, 7);
	assert_memory_equal(stream_input(stream).data, ".", 1);
	stream_consume(stream, 1);
	assert_int_equal(stream_input(stream).size, 0);
	stream_close(&stream);
}

static void write_for_limits(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "abc\nabcd\n");
	assert_int_equal(task_sleep(20), ERR_OK);
	must_send(stream, "literal.");
	expect_end(stream);
	stream_close(&stream);
}

static void test_line_limits(void **state)
{
	struct stream_pair pair = {.serve = read_limited, .connect = write_for_limits};

	stream_pair_run(&pair, state);
}

static void fill_to_the_brim(struct stream *stream, struct stream_pair *pair)
{
	struct bytes line;
	enum err err;

	(void)pair;
	do
		err = stream_fill(stream, in_ms(20000));
	while (err == ERR_OK);
	assert_int_equal(err, ERR_LIMIT);
	assert_int_equal(stream_input(stream).size, STREAM_INPUT_MAX);
	assert_int_equal(stream_line(stream, 1 << 20, in_ms(20000), &line), ERR_LIMIT);
	stream_consume(stream, STREAM_INPUT_MAX);
	expect_line(stream, "end\n");
	stream_close(&stream);
}

static void write_much(struct stream *stream, struct stream_pair *pair)
{
	static char block[STREAM_INPUT_MAX + 1];

	(void)pair;
	memset(block, 'x', sizeof(block) - 1);
	must_write(stream, block);
	must_send(stream, "end\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_input_is_bounded(void **state)
{
	struct stream_pair pair = {.serve = fill_to_the_brim, .connect = write_much};

	stream_pair_run(&pair, state);
}

static void wait_in_vain(struct stream *stream, struct stream_pair *pair)
{
	struct bytes line;
	uint64_t start_ms = in_ms(0);

	(void)pair;
	assert_int_equal(stream_line(stream, 100, in_ms(50), &line), ERR_TIMEOUT);
	assert_in_range(in_ms(0) - start_ms, 50, 5000);
	assert_int_equal(stream_fill(stream, in_ms(1000)), ERR_TIMEOUT);
	/* Only that direction. */
	must_send(stream, "BYE\r\n");
	stream_close(&stream);
}

static void say_half(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "half a li");
	expect_line(stream, "BYE\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_deadline(void **state)
{
	struct stream_pair pair = {.serve = wait_in_vain, .connect = say_half};

	stream_pair_run(&pair, state);
}

static void expect_secret_wiped(struct stream *stream, struct stream_pair *pair)
{
	struct bytes input;

	(void)pair;
	stream_set_secret(stream, true);
	while (stream_input(stream).size < 8)
		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	input = stream_input(stream);
	assert_memory_equal(input.data, "password", 8);
	stream_consume(stream, 7);
	assert_memory_equal(input.data, "\0\0\0\0\0\0\0d", 8);
	stream_consume(stream, 1);
	stream_close(&stream);
}

static void say_password(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "password");
	expect_end(stream);
	stream_close(&stream);
}

static void test_secrets_are_wiped_as_they_are_consumed(void **state)
{
	struct stream_pair pair = {.serve = expect_secret_wiped, .connect = say_password};

	stream_pair_run(&pair, state);
}

/* ---- output ---- */

enum { LARGE_SIZE = 8 << 20 };

static uint8_t octet_at(size_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 13);
}

/* In pieces of all sizes, so that buffered and direct writes mix. */
static void write_large(struct stream *stream, struct stream_pair *pair)
{
	uint8_t *block = memory_allocate(LARGE_SIZE);
	size_t sizes[] = {1, 100, 70000, 16384, 5, 400000, 16383, 65536};

	(void)pair;
	for (size_t i = 0; i < LARGE_SIZE; i++)
		block[i] = octet_at(i);
	for (size_t offset = 0, i = 0; offset < LARGE_SIZE; i++) {
		size_t size =
			sizes[i % 8] < LARGE_SIZE - offset ? sizes[i % 8] : LARGE_SIZE - offset;

		assert_int_equal(stream_write(stream, bytes_make(block + offset, size)), ERR_OK);
		offset += size;
	}
	memory_free(block);
	stream_close(&stream);
}

static void read_large(struct stream *stream, struct stream_pair *pair)
{
	size_t offset = 0;
	enum err err;

	(void)pair;
	while ((err = stream_fill(stream, in_ms(20000))) == ERR_OK) {
		struct bytes input = stream_input(stream);

		for (size_t i = 0; i < input.size; i++)
			if (input.data[i] != octet_at(offset + i))
				fail_msg("octet %zu differs", offset + i);
		offset += input.size;
		stream_consume(stream, input.size);
	}
	assert_int_equal(err, ERR_CLOSED);
	assert_int_equal(offset, LARGE_SIZE);
	stream_close(&stream);
}

static void test_large_transfer(void **state)
{
	struct stream_pair pair = {.serve = write_large, .connect = read_large};

	stream_pair_run(&pair, state);
}

static bool peer_reads;

static void write_against_pressure(struct stream *stream, struct stream_pair *pair)
{
	static uint8_t block[64 * 1024];
	uint64_t allocations = memory_allocations();
	enum err err = ERR_OK;
	int written = 0;

	(void)pair;
	stream_set_write_timeout(stream, 100);
	while (err == ERR_OK && written < 10000) {
		err = stream_write(stream, bytes_make(block, sizeof(block)));
		written++;
	}
	/* The kernel's buffers are full, ours too, and it did not grow. */
	assert_int_equal(err, ERR_TIMEOUT);
	assert_in_range(memory_allocations() - allocations, 0, 100);
	assert_int_equal(stream_write(stream, bytes_string("x")), ERR_TIMEOUT);
	peer_reads = true;
	stream_close(&stream);
}

static void read_late(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	while (!peer_reads)
		assert_int_equal(task_sleep(5), ERR_OK);
	stream_close(&stream);
}

static void test_back_pressure(void **state)
{
	struct stream_pair pair = {.serve = write_against_pressure, .connect = read_late};

	peer_reads = false;
	stream_pair_run(&pair, state);
}

static void bye_with_unread_input(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	assert_int_equal(task_sleep(20), ERR_OK);
	must_write(stream, "BYE\r\n");
	stream_close(&stream);
}

static void pipeline(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "one\r\n");
	assert_int_equal(task_sleep(5), ERR_OK);
	must_send(stream, "two\r\nthree\r\n");
	assert_int_equal(task_sleep(50), ERR_OK);
	expect_line(stream, "BYE\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_last_words_arrive_despite_unread_input(void **state)
{
	struct stream_pair pair = {.serve = bye_with_unread_input, .connect = pipeline};

	stream_pair_run(&pair, state);
}

static void expect_broken_pipe(struct stream *stream, struct stream_pair *pair)
{
	enum err err = ERR_OK;

	(void)pair;
	expect_end(stream);
	for (int i = 0; i < 100 && err == ERR_OK; i++) {
		err = stream_write(stream, bytes_string("x"));
		if (err == ERR_OK)
			err = stream_flush(stream);
		if (err == ERR_OK)
			err = task_sleep(1);
	}
	assert_int_equal(err, ERR_CLOSED);
	stream_close(&stream);
}

static void close_at_once(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	stream_close(&stream);
}

static void test_writing_to_who_is_gone(void **state)
{
	struct stream_pair pair = {.serve = expect_broken_pipe, .connect = close_at_once};

	stream_pair_run(&pair, state);
}

/* ---- abort, cancel ---- */

static struct stream *served_stream;

static void wait_for_abort(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	served_stream = stream;
	assert_int_equal(stream_fill(stream, TASK_FOREVER), ERR_CLOSED);
	assert_int_equal(stream_write(stream, bytes_string("x")), ERR_CLOSED);
	stream_close(&stream);
}

static void abort_server(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	while (served_stream == NULL)
		assert_int_equal(task_sleep(1), ERR_OK);
	stream_abort(served_stream);
	expect_end(stream);
	stream_close(&stream);
}

static void test_abort(void **state)
{
	struct stream_pair pair = {.serve = wait_for_abort, .connect = abort_server};

	served_stream = NULL;
	stream_pair_run(&pair, state);
}

static struct task *serving;

static void wait_for_cancel(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	serving = task_current();
	assert_int_equal(stream_fill(stream, TASK_FOREVER), ERR_CANCELED);
	/* Last words are still possible as long as they need no wait. */
	must_send(stream, "BYE\r\n");
	stream_close(&stream);
}

static void cancel_server(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	while (serving == NULL)
		assert_int_equal(task_sleep(1), ERR_OK);
	task_cancel(serving);
	expect_line(stream, "BYE\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_cancel(void **state)
{
	struct stream_pair pair = {.serve = wait_for_cancel, .connect = cancel_server};

	serving = NULL;
	stream_pair_run(&pair, state);
}

static unsigned ticks;
static bool ticking;

static void tick(void *argument)
{
	(void)argument;
	while (ticking) {
		ticks++;
		task_yield();
	}
}

/* With so much unread that a fill brings little, from a socket that always has more. */
static void sip_from_the_flood(struct stream *stream, struct stream_pair *pair)
{
	ticking = true;
	ticks = 0;
	assert_int_equal(task_spawn(pair->fixture->sched, "tick", tick, NULL, NULL), ERR_OK);
	while (stream_input(stream).size < STREAM_INPUT_MAX - 1024)
		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	assert_int_equal(task_sleep(50), ERR_OK);
	ticks = 0;
	for (int i = 0; i < 160; i++) {
		stream_consume(stream, stream_input(stream).size - (STREAM_INPUT_MAX - 1024));
		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	}
	ticking = false;
	assert_true(ticks >= 10);
	stream_close(&stream);
}

static void flood(struct stream *stream, struct stream_pair *pair)
{
	static uint8_t block[64 * 1024];
	enum err err = ERR_OK;

	(void)pair;
	while (err == ERR_OK)
		err = stream_write(stream, bytes_make(block, sizeof(block)));
	stream_close(&stream);
}

static void test_a_flood_does_not_keep_the_loop(void **state)
{
	struct stream_pair pair = {.serve = sip_from_the_flood, .connect = flood};

	stream_pair_run(&pair, state);
}

/* ---- parking ---- */

struct parking {
	struct stream_pair pair;
	struct stream *parked;
	uint64_t deadline_ms;
	unsigned wakes;
	bool stopped;
};

static void close_parked(void *argument)
{
	struct parking *parking = argument;

	stream_close(&parking->parked);
}

static void answer_parked(void *argument)
{
	struct parking *parking = argument;

	expect_line(parking->parked, "ping\r\n");
	must_send(parking->parked, "pong\r\n");
	close_parked(parking);
}

static void on_wake(struct stream *stream, void *context)
{
	struct parking *parking = context;

	assert_ptr_equal(stream, parking->parked);
	assert_null(task_current());
	parking->wakes++;
}

static void on_wake_answer(struct stream *stream, void *context)
{
	struct parking *parking = context;

	on_wake(stream, context);
	assert_int_equal(
		task_spawn(parking->pair.fixture->sched, "wake", answer_parked, parking, NULL),
		ERR_OK);
}

static void park_for_input(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	expect_line(stream, "hello\r\n");
	parking->parked = stream;
	stream_park(stream, TASK_FOREVER, on_wake_answer, parking);
}

static void ping(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	must_send(stream, "hello\r\n");
	assert_int_equal(task_sleep(20), ERR_OK);
	assert_int_equal(parking->wakes, 0);
	must_send(stream, "ping\r\n");
	expect_line(stream, "pong\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_park_until_input(void **state)
{
	struct parking parking = {.pair = {.serve = park_for_input, .connect = ping}};

	stream_pair_run(&parking.pair, state);
	assert_int_equal(parking.wakes, 1);
	assert_null(parking.parked);
}

static void park_only(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	parking->parked = stream;
	stream_park(stream, parking->deadline_ms == 0 ? TASK_FOREVER : in_ms(parking->deadline_ms),
		    on_wake, parking);
}

static void until_woken(struct parking *parking)
{
	while (parking->wakes == 0)
		assert_int_equal(task_sleep(1), ERR_OK);
	/* Once, whatever else happens. */
	assert_int_equal(task_sleep(20), ERR_OK);
	assert_int_equal(parking->wakes, 1);
	close_parked(parking);
}

static void unpark(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	while (parking->parked == NULL)
		assert_int_equal(task_sleep(1), ERR_OK);
	stream_unpark(parking->parked);
	stream_unpark(parking->parked);
	must_send(stream, "input meanwhile");
	assert_int_equal(parking->wakes, 0);
	until_woken(parking);
	stream_close(&stream);
}

static void test_unpark(void **state)
{
	struct parking parking = {.pair = {.serve = park_only, .connect = unpark}};

	stream_pair_run(&parking.pair, state);
}

static void wait_for_park_deadline(struct stream *stream, struct stream_pair *pair)
{
	until_woken((struct parking *)pair);
	stream_close(&stream);
}

static void test_park_deadline(void **state)
{
	struct parking parking = {.pair = {.serve = park_only, .connect = wait_for_park_deadline},
				  .deadline_ms = 30};

	stream_pair_run(&parking.pair, state);
}

static void leave_parked(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	while (parking->parked == NULL)
		assert_int_equal(task_sleep(1), ERR_OK);
	stream_close(&stream);
	until_woken(parking);
}

static void test_park_until_the_peer_leaves(void **state)
{
	struct parking parking = {.pair = {.serve = park_only, .connect = leave_parked}};

	stream_pair_run(&parking.pair, state);
}

static void abort_parked(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	while (parking->parked == NULL)
		assert_int_equal(task_sleep(1), ERR_OK);
	stream_abort(parking->parked);
	until_woken(parking);
	stream_close(&stream);
}

static void test_abort_of_a_parked_stream(void **state)
{
	struct parking parking = {.pair = {.serve = park_only, .connect = abort_parked}};

	stream_pair_run(&parking.pair, state);
}

static void on_wake_close(struct stream *stream, void *context)
{
	struct parking *parking = context;

	on_wake(stream, context);
	assert_int_equal(
		task_spawn(parking->pair.fixture->sched, "wake", close_parked, parking, NULL),
		ERR_OK);
}

static void park_until_stop(struct stream *stream, struct stream_pair *pair)
{
	struct parking *parking = (struct parking *)pair;

	parking->parked = stream;
	stream_park(stream, TASK_FOREVER, on_wake_close, parking);
	loop_stop(pair->fixture->loop);
}

static void expect_cancel(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	assert_int_equal(stream_fill(stream, TASK_FOREVER), ERR_CANCELED);
	stream_close(&stream);
}

static void test_stop_wakes_who_is_parked(void **state)
{
	struct parking parking = {.pair = {.serve = park_until_stop, .connect = expect_cancel}};

	stream_pair_run(&parking.pair, state);
	assert_int_equal(parking.wakes, 1);
	loop_run(parking.pair.fixture->loop);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_lines),
		TEST(test_line_limits),
		TEST(test_input_is_bounded),
		TEST(test_deadline),
		TEST(test_secrets_are_wiped_as_they_are_consumed),
		TEST(test_large_transfer),
		TEST(test_back_pressure),
		TEST(test_last_words_arrive_despite_unread_input),
		TEST(test_writing_to_who_is_gone),
		TEST(test_abort),
		TEST(test_cancel),
		TEST(test_a_flood_does_not_keep_the_loop),
		TEST(test_park_until_input),
		TEST(test_unpark),
		TEST(test_park_deadline),
		TEST(test_park_until_the_peer_leaves),
		TEST(test_abort_of_a_parked_stream),
		TEST(test_stop_wakes_who_is_parked),
	};

	return cmocka_run_group_tests_name("net/stream", tests, NULL, NULL);
}
