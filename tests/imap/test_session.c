/* SPDX-License-Identifier: MPL-2.0 */
/* What transcripts cannot show: memory, writes, broken reads of large messages, time-outs. */
#include "tests/net/stream_pair.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/memory.h"
#include "imap/session.h"
#include "tests/imap/fake_mailbox.h"

#define LARGE_SIZE (1024u * 1024)
#define FETCH_PIECE_SIZE (256u * 1024)

static struct {
	struct home home;
	struct imap_server server;
} world;

/* In place of the library's: writes to sockets are counted, the client's too. */
static size_t sends;

ssize_t send(int descriptor, const void *from, size_t size, int flags)
{
	sends++;
	return syscall(SYS_sendto, descriptor, from, size, flags, NULL, 0);
}

static void serve_world(void **state, struct stream_pair *pair)
{
	struct loop_fixture *fixture = *state;

	pair->fixture = fixture;
	pair->options = (struct listener_options){
		.address = "127.0.0.1:0", .serve = imap_serve, .context = &world.server};
	assert_int_equal(listener_open(fixture->sched, &pair->options, &pair->listener), ERR_OK);
	snprintf(pair->address, sizeof(pair->address), "127.0.0.1:%u",
		 listener_port(pair->listener));
	loop_fixture_run(fixture, stream_pair_client, pair);
	while (listener_connections(pair->listener) != 0)
		loop_turn(fixture->loop, true);
	listener_close(&pair->listener);
	fake_finish(&world.home);
}

static void start(void **state)
{
	struct loop_fixture *fixture = *state;

	fake_init(&world.home, loop_env(fixture->loop));
	imap_server_init(&world.server);
	world.server.home = &world.home;
	world.server.env = loop_env(fixture->loop);
	world.server.sched = fixture->sched;
}

/* Reads up to the tagged reply; returns the octets before it. */
static size_t read_reply(struct stream *stream, const char *tag)
{
	size_t size = 0;
	struct bytes line;

	for (;;) {
		assert_int_equal(stream_line(stream, 65536, in_ms(20000), &line), ERR_OK);
		if (line.size > strlen(tag) && memcmp(line.data, tag, strlen(tag)) == 0)
			return size;
		size += line.size;
	}
}

static void log_in_and_select(struct stream *stream)
{
	must_send(stream, "l LOGIN joe@example.org secret\r\ns SELECT INBOX\r\n");
	(void)read_reply(stream, "l OK");
	(void)read_reply(stream, "s OK");
}

/* ---- no allocation per message ---- */

static uint64_t allocations_of(struct stream *stream, const char *command)
{
	uint64_t before;

	/* Once before, so that buffers have grown. */
	must_send(stream, command);
	(void)read_reply(stream, "f OK");
	before = memory_allocations();
	must_send(stream, command);
	(void)read_reply(stream, "f OK");
	return memory_allocations() - before;
}

static void fetch_many(struct stream *stream, struct stream_pair *pair)
{
	uint64_t few, many;

	(void)pair;
	log_in_and_select(stream);
	few = allocations_of(stream, "f FETCH 1:10 (UID FLAGS INTERNALDATE RFC822.SIZE)\r\n");
	many = allocations_of(stream, "f FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)\r\n");
	assert_true(many < few + 200);
	stream_close(&stream);
}

static void test_allocations(void **state)
{
	struct stream_pair pair = {.connect = fetch_many};

	start(state);
	for (unsigned i = 0; i < 3000; i++)
		(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"),
			       bytes_string("Subject: x\r\n\r\n"), (uint8_t)(i % 2),
			       FAKE_ARRIVAL_MS, 0);
	serve_world(state, &pair);
}

/* ---- large messages ---- */

static void add_large(void)
{
	struct buf data = {0};

	buf_put_string(&data, "Subject: large\r\n\r\n");
	while (data.size < LARGE_SIZE)
		buf_put_string(&data,
			       "seventy-two octets of nothing in particular, and a line end\r\n");
	(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"), bytes_of_buf(&data), 0,
		       FAKE_ARRIVAL_MS, 0);
	buf_finish(&data);
}

static void fetch_large(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	must_send(stream, "f FETCH 1 BODY.PEEK[]\r\n");
	assert_true(read_reply(stream, "f OK") > LARGE_SIZE);
	/* In pieces, each read once. */
	assert_int_equal(world.home.reads, LARGE_SIZE / FETCH_PIECE_SIZE + 1);
	/* The first piece fails: nothing was said, another message could be fetched. */
	world.home.failing_read = 1;
	world.home.read_error = ERR_CORRUPT;
	must_send(stream, "f FETCH 1 BODY.PEEK[]\r\n");
	assert_int_equal(read_reply(stream, "f NO [CORRUPTION]"), 0);
	/* A later piece fails: the literal cannot be made whole, so the connection ends. */
	world.home.failing_read = 3;
	must_send(stream, "f FETCH 1 BODY.PEEK[]\r\n");
	for (;;) {
		struct bytes input = stream_input(stream);
		enum err err;

		assert_null(input.size != 0 ? memmem(input.data, input.size, "f OK", 4) : NULL);
		assert_null(input.size != 0 ? memmem(input.data, input.size, "f NO", 4) : NULL);
		stream_consume(stream, input.size);
		err = stream_fill(stream, in_ms(20000));
		if (err == ERR_OK)
			continue;
		assert_int_equal(err, ERR_CLOSED);
		break;
	}
	stream_close(&stream);
}

static void test_large(void **state)
{
	struct stream_pair pair = {.connect = fetch_large};

	start(state);
	add_large();
	serve_world(state, &pair);
}

/* ---- huge headers ---- */

static void fetch_header(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	/* Selected small, selected huge, and what a search has to read. */
	must_send(stream, "f FETCH 1 BODY.PEEK[HEADER.FIELDS (X-SMALL)]\r\n");
	assert_true(read_reply(stream, "f OK") < 200);
	must_send(stream, "f FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (X-SMALL)]\r\n");
	assert_true(read_reply(stream, "f OK") > LARGE_SIZE);
	must_send(stream, "f FETCH 1 BODY.PEEK[HEADER.FIELDS (X-HUGE)]<500000.100>\r\n");
	assert_in_range(read_reply(stream, "f OK"), 150, 250);
	must_send(stream, "f SEARCH HEADER X-Huge needle HEADER X-Small tiny\r\n");
	expect_line(stream, "* SEARCH 1\r\n");
	expect_line(stream, "f OK Searched\r\n");
	stream_close(&stream);
}

static void test_huge_header(void **state)
{
	struct stream_pair pair = {.connect = fetch_header};
	struct buf data = {0};

	start(state);
	buf_put_string(&data, "Subject: large\r\nX-Huge: start\r\n");
	while (data.size < LARGE_SIZE)
		buf_put_string(&data, " folded line of a header field that does not end\r\n");
	buf_put_string(&data, " a needle in it\r\nX-Small: tiny\r\n\r\nbody\r\n");
	(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"), bytes_of_buf(&data), 0,
		       FAKE_ARRIVAL_MS, 0);
	buf_finish(&data);
	serve_world(state, &pair);
}

/* ---- time ---- */

static void stall(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	must_send(stream, "a APPEND INBOX {100+}\r\nSubject: st");
	expect_line(stream, "* BYE Autologout; idle for too long\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_stalled_literal(void **state)
{
	struct stream_pair pair = {.connect = stall};

	start(state);
	world.server.literal_timeout_ms = 50;
	serve_world(state, &pair);
	assert_int_equal(world.home.folders[0].count, 0);
}

static void wait_for_bye(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "l LOGIN joe@example.org secret\r\n");
	(void)read_reply(stream, "l OK");
	expect_line(stream, "* BYE Autologout; idle for too long\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_idle_timeout(void **state)
{
	struct stream_pair pair = {.connect = wait_for_bye};

	start(state);
	world.server.idle_timeout_ms = 50;
	serve_world(state, &pair);
}

/* Longer than the client may be silent. */
#define LONG_MS 600u
#define IDLE_MS 400u

static void fetch_slowly(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	must_send(stream, "f FETCH 1 BODY.PEEK[]\r\n");
	(void)read_reply(stream, "f OK");
	/* Thinks a little. */
	assert_int_equal(task_sleep(IDLE_MS / 4), ERR_OK);
	must_send(stream, "n NOOP\r\n");
	(void)read_reply(stream, "n OK");
	must_send(stream, "b LOGOUT\r\n");
	(void)read_reply(stream, "b OK");
	stream_close(&stream);
}

static void test_long_command(void **state)
{
	struct stream_pair pair = {.connect = fetch_slowly};

	start(state);
	(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"),
		       bytes_string("Subject: x\r\n\r\n"), 0, FAKE_ARRIVAL_MS, 0);
	world.home.read_delay_ms = LONG_MS;
	world.server.idle_timeout_ms = IDLE_MS;
	serve_world(state, &pair);
}

static void append_slowly(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "l LOGIN joe@example.org secret\r\n");
	(void)read_reply(stream, "l OK");
	must_send(stream, "a APPEND INBOX {30+}\r\n");
	for (unsigned i = 0; i < 3; i++) {
		must_send(stream, "X: 567890\n");
		assert_int_equal(task_sleep(LONG_MS / 3), ERR_OK);
	}
	must_send(stream, "\r\n");
	(void)read_reply(stream, "a OK");
	stream_close(&stream);
}

static void test_slow_literal(void **state)
{
	struct stream_pair pair = {.connect = append_slowly};

	start(state);
	world.server.idle_timeout_ms = IDLE_MS;
	serve_world(state, &pair);
	assert_int_equal(world.home.folders[0].count, 1);
}

/* ---- what is said at the end, and of what cannot be ---- */

static void overlong_response(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "a AUTHENTICATE PLAIN\r\n");
	(void)read_reply(stream, "+ ");
	for (unsigned i = 0; i < 50; i++)
		must_write(stream,
			   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	must_send(stream, "\r\n");
	expect_line(stream, "* BYE [TOOBIG] Line or literal is too large\r\n");
	stream_close(&stream);
}

static void test_overlong_response(void **state)
{
	struct stream_pair pair = {.connect = overlong_response};

	start(state);
	serve_world(state, &pair);
}

static void append_dated(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	must_send(stream, "a APPEND INBOX \"31-Dec-1969 23:59:59 +0000\" {2+}\r\nx\n\r\n");
	expect_line(stream, "a NO [CANNOT] A date before 1970 cannot be kept\r\n");
	must_send(stream, "b APPEND INBOX \"01-Jan-1970 00:00:00 +0000\" {2+}\r\nx\n\r\n");
	(void)read_reply(stream, "b OK");
	must_send(stream, "f FETCH * INTERNALDATE\r\n");
	expect_line(stream, "* 1 FETCH (INTERNALDATE \"01-Jan-1970 00:00:00 +0000\")\r\n");
	(void)read_reply(stream, "f OK");
	stream_close(&stream);
}

static void test_old_dates(void **state)
{
	struct stream_pair pair = {.connect = append_dated};

	start(state);
	serve_world(state, &pair);
}

/* ---- writes ---- */

static void send_together(struct stream *stream, struct stream_pair *pair)
{
	struct buf commands = {0};
	size_t before;

	(void)pair;
	log_in_and_select(stream);
	for (unsigned i = 0; i < 50; i++)
		buf_put_string(&commands, "n NOOP\r\n");
	before = sends;
	assert_int_equal(stream_write(stream, bytes_of_buf(&commands)), ERR_OK);
	assert_int_equal(stream_flush(stream), ERR_OK);
	buf_finish(&commands);
	for (unsigned i = 0; i < 50; i++)
		expect_line(stream, "n OK Nothing done\r\n");
	/* The client's and the server's. */
	assert_int_equal(sends - before, 2);
	/* What is answered does not wait for the rest of a line, nor of a literal. */
	must_send(stream, "1 NOOP\r\n2 NO");
	expect_line(stream, "1 OK Nothing done\r\n");
	must_send(stream, "OP\r\n3 NOOP\r\n4 SEARCH SUBJECT {5+}\r\nhe");
	expect_line(stream, "2 OK Nothing done\r\n");
	expect_line(stream, "3 OK Nothing done\r\n");
	must_send(stream, "llo\r\n");
	expect_line(stream, "* SEARCH\r\n");
	expect_line(stream, "4 OK Searched\r\n");
	stream_close(&stream);
}

static void test_writes(void **state)
{
	struct stream_pair pair = {.connect = send_together};

	start(state);
	serve_world(state, &pair);
}

/* ---- much in one response ---- */

static void fetch_fields(struct stream *stream, struct stream_pair *pair)
{
	static const char item[] = "BODY.PEEK[HEADER.FIELDS (X-LONG)]";
	enum err err;

	(void)pair;
	log_in_and_select(stream);
	/* The last of twenty cannot be read: by then the first are on the way, so no NO can follow. */
	world.home.failing_read = 20;
	world.home.read_error = ERR_CORRUPT;
	must_write(stream, "f FETCH 1 (");
	for (unsigned i = 0; i < 20; i++) {
		must_write(stream, i != 0 ? " " : "");
		must_write(stream, item);
	}
	must_send(stream, ")\r\n");
	do {
		struct bytes input = stream_input(stream);

		assert_null(input.size != 0 ? memmem(input.data, input.size, "f NO", 4) : NULL);
		stream_consume(stream, input.size);
		err = stream_fill(stream, in_ms(20000));
	} while (err == ERR_OK);
	assert_int_equal(err, ERR_CLOSED);
	stream_close(&stream);
}

static void test_many_fields(void **state)
{
	struct stream_pair pair = {.connect = fetch_fields};
	struct buf data = {0};

	start(state);
	buf_put_string(&data, "X-Long: start\r\n");
	while (data.size < 60000)
		buf_put_string(&data, " folded line of a header field that does not end\r\n");
	buf_put_string(&data, "\r\nbody\r\n");
	(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"), bytes_of_buf(&data), 0,
		       FAKE_ARRIVAL_MS, 0);
	buf_finish(&data);
	serve_world(state, &pair);
}

/* ---- what nobody has got stays unread ---- */

static void hang_up(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	must_send(stream, "f FETCH 1:* BODY[]\r\n");
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	stream_abort(stream);
	stream_close(&stream);
}

static void test_hung_up(void **state)
{
	struct stream_pair pair = {.connect = hang_up};

	start(state);
	/* More than the sockets take without a reader. */
	for (unsigned i = 0; i < 40; i++)
		add_large();
	serve_world(state, &pair);
	assert_in_range(world.home.reads, 1, 39 * (LARGE_SIZE / FETCH_PIECE_SIZE));
	assert_int_equal(world.home.stores, 0);
}

static void fetch_unreadable(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	log_in_and_select(stream);
	world.home.failing_read = 2;
	world.home.read_error = ERR_CORRUPT;
	must_send(stream, "f FETCH 1:* BODY[TEXT]\r\n");
	expect_line(stream, "* 1 FETCH (BODY[TEXT] {3}\r\n");
	expect_line(stream, "x\r\n");
	expect_line(stream, " FLAGS (\\Seen \\Recent))\r\n");
	expect_line(stream, "* 3 FETCH (BODY[TEXT] {3}\r\n");
	(void)read_reply(stream, "f NO [CORRUPTION]");
	must_send(stream, "s SEARCH UNSEEN\r\n");
	expect_line(stream, "* SEARCH 2\r\n");
	(void)read_reply(stream, "s OK");
	/* In one change. */
	assert_int_equal(world.home.stores, 1);
	stream_close(&stream);
}

static void test_unreadable_stays_unread(void **state)
{
	struct stream_pair pair = {.connect = fetch_unreadable};

	start(state);
	for (unsigned i = 0; i < 3; i++)
		(void)fake_add(&world.home, fake_folder(&world.home, "INBOX"),
			       bytes_string("Subject: x\r\n\r\nx\r\n"), 0, FAKE_ARRIVAL_MS, 0);
	serve_world(state, &pair);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_allocations),
		TEST(test_large),
		TEST(test_huge_header),
		TEST(test_stalled_literal),
		TEST(test_idle_timeout),
		TEST(test_long_command),
		TEST(test_slow_literal),
		TEST(test_overlong_response),
		TEST(test_old_dates),
		TEST(test_writes),
		TEST(test_many_fields),
		TEST(test_hung_up),
		TEST(test_unreadable_stays_unread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
