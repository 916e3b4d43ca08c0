/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The LMTP server over a loopback stream, with a delivery agent in memory behind it.
 *
 * tests/lmtp/transcripts/ are replayed whole, octet by octet, in random chunks, and, where no
 * failure is ordered, pipelined; the answers are the same every time.
 *
 *   # comment
 *   C: LHLO mx            a line of the client
 *   S: 250 ...            a line of the server, exactly
 *   ! result ann IO       a failure: begin, recipient, write ERROR; result ACCOUNT ERROR
 *   ! stored ann          what ann has got in all, header and message, is the lines:
 *   | Return-Path: <>
 *   ! folder ann lists    the +detail that went with it
 *
 * <<41>> stands for an octet. The server closes at the end.
 */
#include "tests/net/stream_pair.h"

#include <dirent.h>
#include <stdlib.h>

#include "engine/base/memory.h"
#include "lmtp/server.h"
#include "tests/lmtp/fake_delivery.h"

#define ITEMS_MAX 400u
#define DIRECTORY "tests/lmtp/transcripts"

enum mode { WHOLE, OCTETS, CHUNKS, PIPELINED };

struct item {
	char kind; /* the sign it starts with */
	unsigned line;
	struct buf text;
};

/* Ids are the index; the first is nobody. */
enum account { ANN = 1, JOE, OFF, GONE, WIDE, ACCOUNT_COUNT };
static const struct account_record accounts[ACCOUNT_COUNT] = {
	[ANN] = {.id = {{ANN}}, .address = "ann@example.org", .status = ACCOUNT_ACTIVE},
	[JOE] = {.id = {{JOE}}, .address = "joe@example.org", .status = ACCOUNT_ACTIVE},
	[OFF] = {.id = {{OFF}}, .address = "off@example.org", .status = ACCOUNT_DISABLED},
	[GONE] = {.id = {{GONE}}, .address = "gone@example.org", .status = ACCOUNT_DELETED},
	[WIDE] = {.id = {{WIDE}}, .address = "j\xc3\xb6rg@example.org", .status = ACCOUNT_ACTIVE},
};

static struct {
	struct item items[ITEMS_MAX];
	size_t count;
	const char *name;
	bool alone; /* no failure is ordered: the client need not wait */
	enum mode mode;
	uint32_t seed;
	struct lmtp_server server;
	struct delivery_agent agent;
	struct listener *listener;
	uint64_t fail_after; /* for the next memory_fail_after() from within the server */
} run;

/* ---- the world behind the server ---- */

static const struct account_record *find(void *context, struct bytes address)
{
	(void)context;
	for (size_t i = 1; i < ACCOUNT_COUNT; i++)
		if (bytes_equal(bytes_string(accounts[i].address), address))
			return &accounts[i];
	return NULL;
}

static void begin(struct loop_fixture *fixture)
{
	fake_delivery_init(&run.agent);
	lmtp_server_init(&run.server);
	run.server.hostname = "mx.example.org";
	run.server.agent = &run.agent;
	run.server.accounts.find = find;
	run.server.env = loop_env(fixture->loop);
	run.server.size_limit = 1000;
	run.server.recipient_limit = 4;
}

/* Serves one connection of connect(). */
static void serve(void **state, void (*connect)(struct stream *stream, struct stream_pair *pair))
{
	struct stream_pair pair = {.fixture = *state, .connect = connect};

	pair.options = (struct listener_options){
		.address = "127.0.0.1:0", .serve = lmtp_serve, .context = &run.server};
	assert_int_equal(listener_open(pair.fixture->sched, &pair.options, &pair.listener), ERR_OK);
	snprintf(pair.address, sizeof(pair.address), "127.0.0.1:%u", listener_port(pair.listener));
	run.listener = pair.listener;
	loop_fixture_run(pair.fixture, stream_pair_client, &pair);
	while (listener_connections(pair.listener) != 0)
		loop_turn(pair.fixture->loop, true);
	listener_close(&pair.listener);
	fake_delivery_finish(&run.agent);
}

static enum err error_of(const char *name)
{
	static const enum err all[] = {
#define X(name, text) ERR_##name,
		ERR_LIST(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(err_name(all[i]), name) == 0)
			return all[i];
	fail_msg("%s: no error is called %s", run.name, name);
	return ERR_OK;
}

static size_t account_of(const char *name)
{
	char address[100];
	const struct account_record *account;

	snprintf(address, sizeof(address), "%s@example.org", name);
	account = find(NULL, bytes_string(address));
	assert_non_null(account);
	return account->id.octets[0];
}

static void check_bytes(const struct item *item, struct bytes got, struct bytes expected)
{
	if (bytes_equal(got, expected))
		return;
	fail_msg("%s:%u: stored is\n%.*s", run.name, item->line, (int)got.size,
		 (const char *)got.data);
}

static void check_stored(size_t at, size_t account)
{
	struct buf expected = {0};

	for (size_t i = at + 1; i < run.count && run.items[i].kind == '|'; i++)
		buf_put_bytes(&expected, bytes_of_buf(&run.items[i].text));
	check_bytes(&run.items[at], bytes_of_buf(&run.agent.stored[account]),
		    bytes_of_buf(&expected));
	buf_finish(&expected);
}

static void act(size_t at)
{
	const struct item *item = &run.items[at];
	char what[16] = "", first[32] = "", second[32] = "";

	sscanf((const char *)item->text.data, "%15s %31s %31s", what, first, second);
	if (strcmp(what, "begin") == 0)
		run.agent.begin_error = error_of(first);
	else if (strcmp(what, "recipient") == 0)
		run.agent.recipient_error = error_of(first);
	else if (strcmp(what, "write") == 0)
		run.agent.write_error = error_of(first);
	else if (strcmp(what, "result") == 0)
		run.agent.results[account_of(first)] = error_of(second);
	else if (strcmp(what, "stored") == 0)
		check_stored(at, account_of(first));
	else if (strcmp(what, "folder") == 0)
		check_bytes(item, bytes_of_buf(&run.agent.folders[account_of(first)]),
			    bytes_string(second));
	else
		fail_msg("%s:%u: unknown deed", run.name, item->line);
}

/* ---- transcripts ---- */

static void add_item(char kind, unsigned line, const char *text)
{
	struct item *item = &run.items[run.count++];

	assert_true(run.count < ITEMS_MAX);
	*item = (struct item){.kind = kind, .line = line};
	for (const char *at = text; *at != '\0'; at++) {
		unsigned octet;
		char end[3];

		if (sscanf(at, "<<%2x%2[>]", &octet, end) == 2 && strcmp(end, ">>") == 0) {
			buf_put_u8(&item->text, (uint8_t)octet);
			at += 5;
		} else {
			buf_put_u8(&item->text, (uint8_t)*at);
		}
	}
	if (kind == '!')
		buf_put_u8(&item->text, '\0');
	else
		buf_put_string(&item->text, "\r\n");
}

static void parse_line(const char *line, unsigned number)
{
	if (line[0] == '\0' || line[0] == '#')
		return;
	if (strncmp(line, "C: ", 3) == 0 || strncmp(line, "S: ", 3) == 0)
		add_item(line[0], number, line + 3);
	else if (strncmp(line, "! ", 2) == 0)
		add_item('!', number, line + 2);
	else if (line[0] == '|')
		add_item('|', number, line[1] != '\0' ? line + 2 : "");
	else
		fail_msg("%s:%u: what is this?", run.name, number);
	run.alone &= line[0] != '!' || strncmp(line + 2, "stored", 6) == 0 ||
		     strncmp(line + 2, "folder", 6) == 0;
}

static void read_transcript(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[6000];
	unsigned number = 0;

	assert_non_null(file);
	run.name = path;
	run.count = 0;
	run.alone = true;
	while (fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		parse_line(line, ++number);
	}
	fclose(file);
}

static uint32_t random_below(uint32_t limit)
{
	run.seed = run.seed * 1664525u + 1013904223u;
	return (run.seed >> 8) % limit;
}

static void send_bytes(struct stream *stream, struct bytes bytes)
{
	while (bytes.size != 0) {
		size_t size = run.mode == OCTETS   ? 1
			      : run.mode == CHUNKS ? 1 + random_below(40)
						   : bytes.size;

		assert_int_equal(stream_write(stream, bytes_slice(bytes, 0, size)), ERR_OK);
		assert_int_equal(stream_flush(stream), ERR_OK);
		if (run.mode != WHOLE)
			task_yield();
		bytes = bytes_slice(bytes, size, bytes.size);
	}
}

static void expect_item(struct stream *stream, const struct item *item)
{
	struct bytes line = {0};
	enum err err = stream_line(stream, 6000, in_ms(10000), &line);

	if (err == ERR_OK && bytes_equal(line, bytes_of_buf(&item->text)))
		return;
	fail_msg("%s:%u (mode %d, %s): got %.*s", run.name, item->line, (int)run.mode,
		 err_name(err), (int)line.size, (const char *)line.data);
}

static void talk(struct stream *stream, struct stream_pair *pair)
{
	struct buf all = {0};

	(void)pair;
	for (size_t i = 0; i < run.count && run.mode == PIPELINED; i++)
		if (run.items[i].kind == 'C')
			buf_put_bytes(&all, bytes_of_buf(&run.items[i].text));
	send_bytes(stream, bytes_of_buf(&all));
	buf_finish(&all);
	for (size_t i = 0; i < run.count; i++) {
		if (run.items[i].kind == 'C' && run.mode != PIPELINED)
			send_bytes(stream, bytes_of_buf(&run.items[i].text));
		else if (run.items[i].kind == 'S')
			expect_item(stream, &run.items[i]);
		else if (run.items[i].kind == '!')
			act(i);
	}
	expect_end(stream);
	assert_int_equal(stream_input(stream).size, 0);
	stream_close(&stream);
}

static void replay(void **state, const char *path)
{
	static const enum mode modes[] = {WHOLE, OCTETS, CHUNKS, CHUNKS, PIPELINED};

	read_transcript(path);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (modes[i] == PIPELINED && !run.alone)
			continue;
		run.mode = modes[i];
		run.seed = (uint32_t)i;
		begin(*state);
		serve(state, talk);
	}
	for (size_t i = 0; i < run.count; i++)
		buf_finish(&run.items[i].text);
}

static int is_transcript(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

static void test_transcripts(void **state)
{
	struct dirent **entries;
	int count = scandir(DIRECTORY, &entries, is_transcript, alphasort);

	assert_true(count > 0);
	for (int i = 0; i < count; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", DIRECTORY, entries[i]->d_name);
		replay(state, path);
		free(entries[i]);
	}
	free(entries);
}

/* ---- every error has its reply ---- */

static const char *reply_for(enum err err)
{
	switch ((unsigned)err) {
	case ERR_OK:
		return "250 2.0.0 Delivered id-2\r\n";
	case ERR_NOSPACE:
		return "452 4.3.1 Mail system full\r\n";
	case ERR_NOMEM:
		return "452 4.3.0 Out of memory, try again later\r\n";
	case ERR_TIMEOUT:
		return "451 4.4.2 Took too long, try again later\r\n";
	case ERR_CANCELED:
		return "451 4.3.2 Shutting down\r\n";
	default:
		return "451 4.3.0 Storage is temporarily unavailable, try again later\r\n";
	}
}

static void greet(struct stream *stream)
{
	expect_line(stream, "220 mx.example.org LMTP Aerostore\r\n");
	must_send(stream, "LHLO x\r\n");
	for (unsigned i = 0; i < 6; i++) {
		struct bytes line;

		assert_int_equal(stream_line(stream, 1000, in_ms(20000), &line), ERR_OK);
	}
}

/* The one recipient fails with the error, the other one's copy is delivered. */
static void fail_with(struct stream *stream, enum err err)
{
	run.agent.results[JOE] = err;
	must_send(stream, "MAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\n"
			  "RCPT TO:<ann@example.org>\r\nDATA\r\n.\r\n");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	expect_line(stream, "354 Send the message, end with <CRLF>.<CRLF>\r\n");
	expect_line(stream, reply_for(err));
	expect_line(stream, "250 2.0.0 Delivered id-1\r\n");
}

static void fail_with_each(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
#define X(name, text) fail_with(stream, ERR_##name);
	ERR_LIST(X)
#undef X
	must_send(stream, "QUIT\r\n");
	expect_line(stream, "221 2.0.0 Bye\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_every_error(void **state)
{
	begin(*state);
	serve(state, fail_with_each);
#define X(name, text) +1
	assert_int_equal(run.server.transactions, 0 ERR_LIST(X));
	assert_int_equal(run.server.delivered, (0 ERR_LIST(X)) + 1);
	assert_int_equal(run.server.refused, (0 ERR_LIST(X)) - 1);
#undef X
}

/* ---- memory that is out is no "no such user" ---- */

static void starve(void *context)
{
	(void)context;
	memory_fail_after(run.fail_after);
}

static const struct account_record *find_starving(void *context, struct bytes address)
{
	const struct account_record *account = find(context, address);

	if (account == NULL)
		starve(NULL);
	return account;
}

/* One line; what it starts with decides. */
static void read_code(struct stream *stream, char code[4])
{
	struct bytes line;

	assert_int_equal(stream_line(stream, 1000, in_ms(20000), &line), ERR_OK);
	assert_true(line.size > 3);
	memcpy(code, line.data, 3);
	code[3] = '\0';
}

/* How often the third recipient was put off; it is never refused for good. */
static unsigned put_off;

static void ask_starving(struct stream *stream, const char *address)
{
	char code[4];

	must_write(stream, "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\nRCPT TO:<");
	must_write(stream, address);
	must_send(stream, ">\r\n");
	expect_line(stream, "250 2.0.0 Reset\r\n");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	read_code(stream, code);
	memory_fail_after(UINT64_MAX);
	if (strcmp(code, "452") == 0)
		put_off++;
	else
		assert_string_equal(code, "250");
}

static void ask_with_little_memory(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
	put_off = 0;
	/* From the first recipient on: the second one's address cannot be normalised. */
	run.agent.added = starve;
	for (run.fail_after = 0; run.fail_after < 6; run.fail_after++)
		ask_starving(stream, "ann@example.org");
	assert_true(put_off >= 3);
	/* From the moment on when the whole address was not found: nor can the one without +detail. */
	run.agent.added = NULL;
	run.server.accounts.find = find_starving;
	put_off = 0;
	for (run.fail_after = 0; run.fail_after < 6; run.fail_after++)
		ask_starving(stream, "ann+lists@example.org");
	assert_true(put_off >= 4);
	stream_close(&stream);
}

static void test_little_memory(void **state)
{
	begin(*state);
	serve(state, ask_with_little_memory);
	assert_int_equal(run.server.refused, 0);
}

/* ---- the channel closes ---- */

static void stay_silent(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
	must_send(stream, "MAIL FROM:<a@b>\r\n");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	expect_line(stream, "421 4.4.2 Timed out\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_silent_client(void **state)
{
	begin(*state);
	run.server.command_timeout_ms = 50;
	serve(state, stay_silent);
}

static void stall(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
	must_send(stream, "MAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\nhalf a mess");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	expect_line(stream, "354 Send the message, end with <CRLF>.<CRLF>\r\n");
	expect_line(stream, "421 4.4.2 Timed out\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_stalled_message(void **state)
{
	begin(*state);
	run.server.data_timeout_ms = 50;
	serve(state, stall);
	assert_int_equal(run.agent.begun, 1);
	assert_int_equal(run.agent.finished, 0);
}

/* Each recipient gets its own reply, and only the end of the channel is a 421. */
static void be_shut_down(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
	run.agent.results[JOE] = ERR_CANCELED;
	must_send(stream, "MAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\n"
			  "RCPT TO:<ann@example.org>\r\nDATA\r\n.\r\n");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	expect_line(stream, "250 2.1.5 Recipient accepted\r\n");
	expect_line(stream, "354 Send the message, end with <CRLF>.<CRLF>\r\n");
	expect_line(stream, "451 4.3.2 Shutting down\r\n");
	expect_line(stream, "250 2.0.0 Delivered id-1\r\n");
	listener_drain(run.listener);
	expect_line(stream, "421 4.3.2 Shutting down\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_shut_down(void **state)
{
	begin(*state);
	serve(state, be_shut_down);
}

/* ---- whoever only makes errors ---- */

static void only_err(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	greet(stream);
	/* What the sender's users get wrong is no error of the sender. */
	must_send(stream, "MAIL FROM:<a@b>\r\n");
	expect_line(stream, "250 2.1.0 Sender accepted\r\n");
	for (unsigned i = 0; i < 60; i++) {
		must_send(stream, "RCPT TO:<nobody@example.org>\r\n");
		expect_line(stream, "550 5.1.1 No such user here\r\n");
	}
	for (unsigned i = 0; i <= 50; i++) {
		must_send(stream, "WHAT\r\n");
		expect_line(stream, "500 5.5.2 Unknown command\r\n");
	}
	expect_line(stream, "421 4.7.0 Too many errors\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_error_limit(void **state)
{
	begin(*state);
	serve(state, only_err);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_transcripts),	  TEST(test_every_error),     TEST(test_little_memory),
		TEST(test_silent_client), TEST(test_stalled_message), TEST(test_shut_down),
		TEST(test_error_limit),
	};

	return cmocka_run_group_tests_name("lmtp/server", tests, NULL, NULL);
}
