/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/net/stream_pair.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/certificate.h"

struct tls_pair {
	struct stream_pair pair;
	struct tls_context *tls;
	char certificate[128], key[128], other_certificate[128], other_key[128];
	char why[256];
};

static void make_files(struct tls_pair *tls_pair, void **state)
{
	snprintf(tls_pair->certificate, 128, "%s", loop_fixture_path(*state, "cert.pem"));
	snprintf(tls_pair->key, 128, "%s", loop_fixture_path(*state, "key.pem"));
	snprintf(tls_pair->other_certificate, 128, "%s", loop_fixture_path(*state, "cert2.pem"));
	snprintf(tls_pair->other_key, 128, "%s", loop_fixture_path(*state, "key2.pem"));
	certificate_make(tls_pair->certificate, tls_pair->key, "one.example");
	certificate_make(tls_pair->other_certificate, tls_pair->other_key, "two.example");
	assert_int_equal(tls_context_load(tls_pair->certificate, tls_pair->key, tls_pair->why,
					  &tls_pair->tls),
			 ERR_OK);
	tls_pair->pair.trust = tls_pair->certificate;
}

static void run(struct tls_pair *tls_pair, void **state)
{
	make_files(tls_pair, state);
	tls_pair->pair.options.tls = tls_pair->tls;
	stream_pair_run(&tls_pair->pair, state);
	tls_context_destroy(&tls_pair->tls);
	assert_null(tls_pair->tls);
}

/* ---- transfer ---- */

enum { LARGE_SIZE = 3 << 20 };

static void echo_all(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	assert_true(stream_is_tls(stream));
	while (stream_fill(stream, in_ms(20000)) == ERR_OK) {
		assert_int_equal(stream_write(stream, stream_input(stream)), ERR_OK);
		stream_consume(stream, stream_input(stream).size);
	}
	stream_close(&stream);
}

static void write_pattern(void *argument)
{
	static uint8_t block[LARGE_SIZE];
	struct stream *stream = argument;

	for (size_t i = 0; i < LARGE_SIZE; i++)
		block[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(stream_write(stream, bytes_make(block, LARGE_SIZE)), ERR_OK);
	assert_int_equal(stream_flush(stream), ERR_OK);
}

/* One task writes while another reads. */
static void read_pattern(struct stream *stream, struct stream_pair *pair)
{
	size_t offset = 0;

	(void)pair;
	assert_int_equal(task_spawn(task_sched(), "writer", write_pattern, stream, NULL), ERR_OK);
	task_yield();
	while (offset < LARGE_SIZE) {
		struct bytes input;

		assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
		input = stream_input(stream);
		for (size_t i = 0; i < input.size; i++)
			if (input.data[i] != (uint8_t)((offset + i) * 2654435761u >> 13))
				fail_msg("octet %zu differs", offset + i);
		offset += input.size;
		stream_consume(stream, input.size);
	}
	stream_close(&stream);
}

static void test_large_transfer_both_ways(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = echo_all, .connect = read_pattern}};

	run(&tls_pair, state);
}

static struct stream *parked;
static unsigned wakes;

static void resume(void *argument)
{
	(void)argument;
	expect_line(parked, "two\r\n");
	must_send(parked, "done\r\n");
	stream_close(&parked);
}

static void on_wake(struct stream *stream, void *context)
{
	struct stream_pair *pair = context;

	assert_ptr_equal(stream, parked);
	wakes++;
	assert_int_equal(task_spawn(pair->fixture->sched, "wake", resume, NULL, NULL), ERR_OK);
}

static void park_between_lines(struct stream *stream, struct stream_pair *pair)
{
	expect_line(stream, "one\r\n");
	parked = stream;
	stream_park(stream, TASK_FOREVER, on_wake, pair);
}

static void send_two_lines(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "one\r\n");
	assert_int_equal(task_sleep(20), ERR_OK);
	assert_non_null(parked);
	must_send(stream, "two\r\n");
	expect_line(stream, "done\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_park(void **state)
{
	struct tls_pair tls_pair = {
		.pair = {.serve = park_between_lines, .connect = send_two_lines}};

	wakes = 0;
	run(&tls_pair, state);
	assert_int_equal(wakes, 1);
}

enum { RECORD_SIZE = 9000 };

static void send_long_line(struct stream *stream, struct stream_pair *pair)
{
	static char block[RECORD_SIZE];

	(void)pair;
	memset(block, '\n', sizeof(block));
	memcpy(block + sizeof(block) - 5, "two\r\n", 5);
	assert_int_equal(stream_write(stream, bytes_make(block, sizeof(block))), ERR_OK);
	assert_int_equal(stream_flush(stream), ERR_OK);
	assert_int_equal(task_sleep(50), ERR_OK);
	assert_int_equal(wakes, 1);
	stream_close(&stream);
}

static void resume_to_end(void *argument)
{
	(void)argument;
	while (stream_fill(parked, in_ms(20000)) == ERR_OK)
		stream_consume(parked, stream_input(parked).size);
	stream_close(&parked);
}

static void on_wake_to_end(struct stream *stream, void *context)
{
	struct stream_pair *pair = context;

	assert_ptr_equal(stream, parked);
	wakes++;
	assert_int_equal(task_spawn(pair->fixture->sched, "wake", resume_to_end, NULL, NULL),
			 ERR_OK);
}

/* The first fill takes 4096 of the 9000 bytes of a record, which the socket announces no more. */
static void park_within_a_record(struct stream *stream, struct stream_pair *pair)
{
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_OK);
	assert_true(stream_input(stream).size < RECORD_SIZE);
	stream_consume(stream, stream_input(stream).size);
	parked = stream;
	stream_park(stream, TASK_FOREVER, on_wake_to_end, pair);
}

static void test_park_with_input_inside_tls(void **state)
{
	struct tls_pair tls_pair = {
		.pair = {.serve = park_within_a_record, .connect = send_long_line}};

	wakes = 0;
	run(&tls_pair, state);
}

/* ---- STARTTLS ---- */

static void offer_starttls(struct stream *stream, struct stream_pair *pair)
{
	struct tls_pair *tls_pair = (struct tls_pair *)pair;

	expect_line(stream, "STARTTLS\r\n");
	must_write(stream, "OK\r\n");
	assert_int_equal(stream_start_tls(stream, tls_pair->tls, in_ms(20000)), ERR_OK);
	assert_true(stream_is_tls(stream));
	must_send(stream, "inside\r\n");
	stream_close(&stream);
}

static void refuse_injection(struct stream *stream, struct stream_pair *pair)
{
	struct tls_pair *tls_pair = (struct tls_pair *)pair;

	expect_line(stream, "STARTTLS\r\n");
	assert_int_equal(stream_start_tls(stream, tls_pair->tls, in_ms(20000)), ERR_INVALID);
	assert_false(stream_is_tls(stream));
	/* Nothing of what came in clear is ever served. */
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_INVALID);
	stream_close(&stream);
}

/* OpenSSL by hand: the stream interface offers clients no STARTTLS. */
static void *starttls_client(void *argument)
{
	struct tls_pair *tls_pair = argument;
	static const char answer[] = "OK\r\n";
	char got[16] = {0};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	struct stream_pair *pair = &tls_pair->pair;
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_port = htons((uint16_t)listener_port(pair->listener)),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	bool good = connect(descriptor, (struct sockaddr *)&server, sizeof(server)) == 0 &&
		    send(descriptor, "STARTTLS\r\n", 10, 0) == 10 &&
		    recv(descriptor, got, sizeof(answer) - 1, MSG_WAITALL) == sizeof(answer) - 1 &&
		    SSL_set_fd(ssl, descriptor) == 1 && SSL_connect(ssl) == 1 &&
		    SSL_read(ssl, got, sizeof(got)) == 8 && memcmp(got, "inside\r\n", 8) == 0 &&
		    SSL_read(ssl, got, sizeof(got)) == 0 &&
		    SSL_get_error(ssl, 0) == SSL_ERROR_ZERO_RETURN;

	SSL_free(ssl);
	SSL_CTX_free(context);
	close(descriptor);
	return good ? tls_pair : NULL;
}

static void test_starttls(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = offer_starttls}};
	pthread_t thread;
	void *good = NULL;

	make_files(&tls_pair, state);
	stream_pair_listen(&tls_pair.pair, state);
	assert_int_equal(pthread_create(&thread, NULL, starttls_client, &tls_pair), 0);
	while (!tls_pair.pair.served)
		loop_turn(tls_pair.pair.fixture->loop, true);
	while (sched_task_count(tls_pair.pair.fixture->sched) != 0)
		loop_turn(tls_pair.pair.fixture->loop, true);
	pthread_join(thread, &good);
	assert_non_null(good);
	listener_close(&tls_pair.pair.listener);
	tls_context_destroy(&tls_pair.tls);
}

static void inject(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "STARTTLS\r\nINJECTED\r\n");
	expect_end(stream);
	stream_close(&stream);
}

static void test_starttls_injection(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = refuse_injection, .connect = inject}};

	make_files(&tls_pair, state);
	tls_pair.pair.trust = NULL;
	stream_pair_run(&tls_pair.pair, state);
	tls_context_destroy(&tls_pair.tls);
}

/* ---- handshakes ---- */

enum { STALLED = 20 };

static void hello_inside(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	must_send(stream, "HELLO\r\n");
	stream_close(&stream);
}

static void stall_and_connect(void *argument)
{
	struct tls_pair *tls_pair = argument;
	struct stream *stalled[STALLED], *stream;
	uint64_t start_ms = in_ms(0);

	tls_pair->pair.trust = NULL;
	for (size_t i = 0; i < STALLED; i++) {
		stalled[i] = stream_pair_connect(&tls_pair->pair);
		/* The start of a handshake record, so that the server waits for its rest. */
		assert_int_equal(stream_write(stalled[i], bytes_make("\x16\x03\x01\x02", 4)),
				 ERR_OK);
		assert_int_equal(stream_flush(stalled[i]), ERR_OK);
	}
	tls_pair->pair.trust = tls_pair->certificate;
	stream = stream_pair_connect(&tls_pair->pair);
	expect_line(stream, "HELLO\r\n");
	stream_close(&stream);
	assert_true(in_ms(0) - start_ms < 1000);
	assert_int_equal(listener_connections(tls_pair->pair.listener), STALLED);
	for (size_t i = 0; i < STALLED; i++) {
		assert_int_equal(stream_fill(stalled[i], in_ms(20000)), ERR_CLOSED);
		stream_close(&stalled[i]);
	}
	assert_in_range(in_ms(0) - start_ms, 1000, 10000);
}

static void test_stalled_handshakes_time_out_and_block_nobody(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside}};

	make_files(&tls_pair, state);
	tls_pair.pair.options.tls = tls_pair.tls;
	tls_pair.pair.options.handshake_timeout_ms = 1000;
	stream_pair_listen(&tls_pair.pair, state);
	loop_fixture_run(*state, stall_and_connect, &tls_pair);
	assert_int_equal(listener_connections(tls_pair.pair.listener), 0);
	listener_close(&tls_pair.pair.listener);
	tls_context_destroy(&tls_pair.tls);
}

static void speak_plain(void *argument)
{
	struct tls_pair *tls_pair = argument;
	struct stream *stream;
	enum err err;

	tls_pair->pair.trust = NULL;
	stream = stream_pair_connect(&tls_pair->pair);
	must_send(stream, "a1 LOGIN user password\r\n");
	do
		err = stream_fill(stream, in_ms(20000));
	while (err == ERR_OK);
	assert_int_equal(err, ERR_CLOSED);
	stream_close(&stream);
	/* A client that does not trust the certificate ends with an error of its own. */
	tls_pair->pair.trust = tls_pair->other_certificate;
	assert_int_equal(stream_connect(task_sched(), tls_pair->pair.address, tls_pair->pair.trust,
					in_ms(20000), &stream),
			 ERR_IO);
}

static void test_handshakes_that_fail(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside}};

	make_files(&tls_pair, state);
	tls_pair.pair.options.tls = tls_pair.tls;
	stream_pair_listen(&tls_pair.pair, state);
	loop_fixture_run(*state, speak_plain, &tls_pair);
	assert_false(tls_pair.pair.served);
	listener_close(&tls_pair.pair.listener);
	tls_context_destroy(&tls_pair.tls);
}

/* The context goes while a connection still shakes hands. */
static void destroy_early(struct stream *stream, struct stream_pair *pair)
{
	(void)pair;
	expect_line(stream, "HELLO\r\n");
	stream_close(&stream);
}

static void test_context_lives_until_its_last_connection(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside, .connect = destroy_early}};
	struct loop_fixture *fixture = *state;

	make_files(&tls_pair, state);
	tls_pair.pair.options.tls = tls_pair.tls;
	stream_pair_listen(&tls_pair.pair, state);
	assert_int_equal(
		task_spawn(fixture->sched, "client", stream_pair_client, &tls_pair.pair, NULL),
		ERR_OK);
	while (listener_connections(tls_pair.pair.listener) == 0)
		loop_turn(fixture->loop, true);
	tls_context_destroy(&tls_pair.tls);
	listener_close(&tls_pair.pair.listener);
	while (sched_task_count(fixture->sched) != 0)
		loop_turn(fixture->loop, true);
	assert_true(tls_pair.pair.served);
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void connect_trusting(struct tls_pair *tls_pair, const char *trust)
{
	tls_pair->pair.trust = trust;
	loop_fixture_run(tls_pair->pair.fixture, stream_pair_client, &tls_pair->pair);
}

static void test_reload(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside, .connect = destroy_early}};

	make_files(&tls_pair, state);
	tls_pair.pair.options.tls = tls_pair.tls;
	stream_pair_listen(&tls_pair.pair, state);
	connect_trusting(&tls_pair, tls_pair.certificate);

	/* Unusable files leave the old certificate in use. */
	assert_int_equal(rename(tls_pair.certificate, loop_fixture_path(*state, "old.pem")), 0);
	write_file(tls_pair.certificate, "not a certificate\n");
	assert_int_equal(tls_context_reload(tls_pair.tls, tls_pair.why), ERR_INVALID);
	assert_non_null(strstr(tls_pair.why, tls_pair.certificate));
	connect_trusting(&tls_pair, loop_fixture_path(*state, "old.pem"));

	assert_int_equal(rename(tls_pair.other_certificate, tls_pair.certificate), 0);
	assert_int_equal(tls_context_reload(tls_pair.tls, tls_pair.why), ERR_INVALID);
	assert_non_null(strstr(tls_pair.why, tls_pair.key));
	connect_trusting(&tls_pair, loop_fixture_path(*state, "old.pem"));

	assert_int_equal(rename(tls_pair.other_key, tls_pair.key), 0);
	assert_int_equal(tls_context_reload(tls_pair.tls, tls_pair.why), ERR_OK);
	connect_trusting(&tls_pair, tls_pair.certificate);
	listener_close(&tls_pair.pair.listener);
	tls_context_destroy(&tls_pair.tls);
}

static void test_files_that_cannot_be_loaded(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside}};
	struct tls_context *tls = NULL;
	const char *absent;

	make_files(&tls_pair, state);
	absent = loop_fixture_path(*state, "absent.pem");
	assert_int_equal(tls_context_load(absent, tls_pair.key, tls_pair.why, &tls), ERR_NOTFOUND);
	assert_non_null(strstr(tls_pair.why, "absent.pem: No such file"));
	assert_int_equal(
		tls_context_load(tls_pair.certificate, tls_pair.certificate, tls_pair.why, &tls),
		ERR_INVALID);
	assert_int_equal(
		tls_context_load(tls_pair.certificate, tls_pair.other_key, tls_pair.why, &tls),
		ERR_INVALID);
	assert_null(tls);
	tls_context_destroy(&tls_pair.tls);
}

/* ---- versions ---- */

static void *old_client(void *argument)
{
	struct tls_pair *tls_pair = argument;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct sockaddr_in server = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)listener_port(tls_pair->pair.listener)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
	bool good = true;

	/* Else OpenSSL would not even offer the old version. */
	SSL_CTX_set_security_level(context, 0);
	for (size_t i = 0; i < 3; i++) {
		SSL *ssl = SSL_new(context);
		int descriptor = socket(AF_INET, SOCK_STREAM, 0);

		SSL_set_min_proto_version(ssl, versions[i]);
		SSL_set_max_proto_version(ssl, versions[i]);
		good = good && SSL_set_fd(ssl, descriptor) == 1 &&
		       connect(descriptor, (struct sockaddr *)&server, sizeof(server)) == 0 &&
		       (SSL_connect(ssl) == 1) == (versions[i] != TLS1_1_VERSION);
		SSL_free(ssl);
		close(descriptor);
	}
	SSL_CTX_free(context);
	return good ? tls_pair : NULL;
}

static void test_versions(void **state)
{
	struct tls_pair tls_pair = {.pair = {.serve = hello_inside}};
	pthread_t thread;
	void *good = NULL;
	struct timespec soon = {0};

	make_files(&tls_pair, state);
	tls_pair.pair.options.tls = tls_pair.tls;
	stream_pair_listen(&tls_pair.pair, state);
	assert_int_equal(pthread_create(&thread, NULL, old_client, &tls_pair), 0);
	while (pthread_timedjoin_np(thread, &good, &soon) != 0)
		loop_turn(tls_pair.pair.fixture->loop, false);
	assert_non_null(good);
	while (sched_task_count(tls_pair.pair.fixture->sched) != 0)
		loop_turn(tls_pair.pair.fixture->loop, true);
	listener_close(&tls_pair.pair.listener);
	tls_context_destroy(&tls_pair.tls);
}

int main(void)
{
#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_large_transfer_both_ways),
		TEST(test_park),
		TEST(test_park_with_input_inside_tls),
		TEST(test_starttls),
		TEST(test_starttls_injection),
		TEST(test_stalled_handshakes_time_out_and_block_nobody),
		TEST(test_handshakes_that_fail),
		TEST(test_context_lives_until_its_last_connection),
		TEST(test_reload),
		TEST(test_files_that_cannot_be_loaded),
		TEST(test_versions),
	};

	return cmocka_run_group_tests_name("net/tls", tests, NULL, NULL);
}
