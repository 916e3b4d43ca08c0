/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stream_pair - a server stream served by the test's function, and the client's
 * end of it, each in a task of its own, over TCP on the loopback address.
 */
#ifndef AEROSTORE_TESTS_NET_STREAM_PAIR_H
#define AEROSTORE_TESTS_NET_STREAM_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/stream.h"
#include "tests/support/loop_fixture.h"

/* Given to both functions as their context. */
struct stream_pair {
	struct loop_fixture *fixture;
	struct listener *listener;
	struct listener_options options; /* set what differs before stream_pair_run() */
	char address[160];		 /* as the client connects to it */
	const char *trust;		 /* tls_verify_path of the client */
	void (*serve)(struct stream *stream, struct stream_pair *pair);
	void (*connect)(struct stream *stream, struct stream_pair *pair);
	bool served;
};

static inline void stream_pair_serve(struct stream *stream, void *context)
{
	struct stream_pair *pair = context;

	pair->serve(stream, pair);
	pair->served = true;
}

static inline void stream_pair_listen(struct stream_pair *pair, void **state)
{
	pair->fixture = *state;
	if (pair->options.address == NULL)
		pair->options.address = "127.0.0.1:0";
	pair->options.serve = stream_pair_serve;
	pair->options.context = pair;
	assert_int_equal(listener_open(pair->fixture->sched, &pair->options, &pair->listener),
			 ERR_OK);
	if (strncmp(pair->options.address, "unix:", 5) == 0)
		snprintf(pair->address, sizeof(pair->address), "%s", pair->options.address);
	else
		snprintf(pair->address, sizeof(pair->address), "127.0.0.1:%u",
			 listener_port(pair->listener));
}

static inline struct stream *stream_pair_connect(struct stream_pair *pair)
{
	struct stream *stream = NULL;

	assert_int_equal(stream_connect(task_sched(), pair->address, pair->trust,
					env_now_ms(sched_env(task_sched())) + 20000, &stream),
			 ERR_OK);
	return stream;
}

static inline void stream_pair_client(void *argument)
{
	struct stream_pair *pair = argument;

	pair->connect(stream_pair_connect(pair), pair);
}

/* Until both have ended. Both close their stream. */
static inline void stream_pair_run(struct stream_pair *pair, void **state)
{
	stream_pair_listen(pair, state);
	loop_fixture_run(pair->fixture, stream_pair_client, pair);
	assert_true(pair->served);
	assert_int_equal(listener_connections(pair->listener), 0);
	listener_close(&pair->listener);
	assert_null(pair->listener);
}

/* A deadline so many milliseconds from now. */
static inline uint64_t in_ms(uint64_t delay_ms)
{
	return env_now_ms(sched_env(task_sched())) + delay_ms;
}

static inline void must_write(struct stream *stream, const char *text)
{
	assert_int_equal(stream_write(stream, bytes_string(text)), ERR_OK);
}

static inline void must_send(struct stream *stream, const char *text)
{
	must_write(stream, text);
	assert_int_equal(stream_flush(stream), ERR_OK);
}

static inline void expect_line(struct stream *stream, const char *text)
{
	struct bytes line;

	assert_int_equal(stream_line(stream, 1000, in_ms(20000), &line), ERR_OK);
	assert_int_equal(line.size, strlen(text));
	assert_memory_equal(line.data, text, line.size);
}

static inline void expect_end(struct stream *stream)
{
	assert_int_equal(stream_fill(stream, in_ms(20000)), ERR_CLOSED);
}

#endif
