/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What a parked connection costs in heap, all in all: stream, listener's record,
 * watch, libev and OpenSSL. The clients are another process.
 */
#include "tests/net/stream_pair.h"

#include <malloc.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/context.h"
#include "tests/support/certificate.h"

enum { CONNECTIONS = 200, PLAIN_MAX = 4 * 1024, TLS_MAX = 24 * 1024 };

static struct stream *parked[CONNECTIONS];
static size_t parked_count, ended_count;

static void close_one(void *argument)
{
	struct stream *stream = argument;

	stream_close(&stream);
	ended_count++;
}

static void on_wake(struct stream *stream, void *context)
{
	struct stream_pair *pair = context;

	assert_int_equal(task_spawn(pair->fixture->sched, "close", close_one, stream, NULL),
			 ERR_OK);
}

/* Used before it idles, as a session is: a command longer than any first buffer, and an answer. */
static void use_and_park(struct stream *stream, struct stream_pair *pair)
{
	size_t taken = 0;

	while (taken < 10000) {
		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
		taken += stream_input(stream).size;
		stream_consume(stream, stream_input(stream).size);
	}
	must_send(stream, "OK\r\n");
	parked[parked_count++] = stream;
	stream_park(stream, TASK_FOREVER, on_wake, pair);
}

static bool client_exchange(int descriptor, SSL *ssl)
{
	char block[10000] = {0}, answer[4];

	if (ssl == NULL)
		return send(descriptor, block, sizeof(block), 0) == sizeof(block) &&
		       recv(descriptor, answer, 4, MSG_WAITALL) == 4;
	return SSL_set_fd(ssl, descriptor) == 1 && SSL_connect(ssl) == 1 &&
	       SSL_write(ssl, block, sizeof(block)) == sizeof(block) &&
	       SSL_read(ssl, answer, 4) == 4;
}

/* Opens all, and holds them until the pipe is closed. */
static void client_process(unsigned port, bool tls, int hold)
{
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SSL_CTX *context = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	char nothing;

	for (int i = 0; i < CONNECTIONS; i++) {
		int descriptor = socket(AF_INET, SOCK_STREAM, 0);
		SSL *ssl = tls ? SSL_new(context) : NULL;

		if (connect(descriptor, (struct sockaddr *)&server, sizeof(server)) != 0 ||
		    !client_exchange(descriptor, ssl))
			_exit(1);
	}
	_exit(read(hold, &nothing, 1) == 0 ? 0 : 1);
}

static size_t heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void measure(void **state, struct tls_context *tls, size_t limit)
{
	struct stream_pair pair = {.serve = use_and_park, .options.tls = tls};
	struct loop_fixture *fixture = *state;
	size_t before, each;
	int hold[2], status;
	pid_t child;

	parked_count = ended_count = 0;
	stream_pair_listen(&pair, state);
	assert_int_equal(pipe(hold), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(hold[1]);
		client_process(listener_port(pair.listener), tls != NULL, hold[0]);
	}
	close(hold[0]);
	before = heap_in_use();
	while (parked_count < CONNECTIONS || sched_task_count(fixture->sched) != 0)
		loop_turn(fixture->loop, true);
	each = (heap_in_use() - before) / CONNECTIONS;
	print_message("%zu bytes for each idle connection\n", each);
	close(hold[1]);
	while (ended_count < CONNECTIONS)
		loop_turn(fixture->loop, true);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	listener_close(&pair.listener);
	/* AddressSanitizer's allocator counts nothing. */
	if (!CONTEXT_ASAN)
		assert_in_range(each, 100, limit);
}

static void test_plain(void **state)
{
	measure(state, NULL, PLAIN_MAX);
}

static void test_tls(void **state)
{
	struct tls_context *tls = NULL;
	char certificate[128], key[128], why[256];

	snprintf(certificate, sizeof(certificate), "%s", loop_fixture_path(*state, "cert.pem"));
	snprintf(key, sizeof(key), "%s", loop_fixture_path(*state, "key.pem"));
	certificate_make(certificate, key, "one.example");
	assert_int_equal(tls_context_load(certificate, key, why, &tls), ERR_OK);
	measure(state, tls, TLS_MAX);
	tls_context_destroy(&tls);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_tls),
	};

	return cmocka_run_group_tests_name("net/idle_memory", tests, NULL, NULL);
}
