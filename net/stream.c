/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Input is buffer[start..end) of `input`, the first line_size bytes of which
 * were handed out by stream_line() and go at the next call. Output is
 * output[sent..size).
 *
 * The descriptor is watched only while somebody waits. Each direction says what
 * it waits for (a TLS read may have to wait until the socket can be written);
 * the loop's callback clears that and wakes it. When it waits again in the same
 * turn, the kernel is not asked anew.
 *
 * Parked: no task waits, the watch asks for LOOP_READ, and the first of input,
 * timer, unpark, abort or stop calls leave_park(), which alone calls `wake`.
 */
#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "net/loop_io.h"
#include "net/stream_internal.h"
#include "net/tls_io.h"

enum {
	INPUT_START = 4096,	/* first allocation; doubles up to STREAM_INPUT_MAX */
	DIRECT_MIN = 16 * 1024, /* larger writes skip the buffer when it is empty */
	STREAK_MAX = 16,	/* transfers without a wait before other tasks get their turn */
	CLOSE_GRACE_MS = 1000,
	WRITE_TIMEOUT_MS = 5 * 60 * 1000,
	DISCARD_MAX = 64 * 1024, /* unread input taken from the kernel before a close */
};

struct direction {
	struct cond changed;
	unsigned wants; /* enum loop_event */
	enum err err;	/* sticky */
};

struct input {
	uint8_t *buffer;
	size_t start, end, capacity;
	size_t line_size; /* handed out, still at `start` */
	size_t searched;  /* bytes after `start` known to hold no LF */
	bool filled;	  /* the last transfer took all the room there was */
};

struct park {
	void (*wake)(struct stream *stream, void *context); /* NULL: not parked */
	void *context;
	struct env_timer timer;
	bool leaving; /* leave_park() is with env_soon() */
};

struct stream {
	struct sched *sched;
	struct env *env;
	int descriptor;
	struct loop_watch *watch;
	struct ssl_st *ssl;
	struct direction reading, writing;
	struct input input;
	struct buf output;
	size_t sent;
	uint64_t write_timeout_ms;
	unsigned streak;
	bool secret, local;
	struct park park;
	void (*closed)(void *context);
	void *closed_context;
	char peer[SOCKET_ADDRESS_TEXT_SIZE];
};

/* ---- waiting ---- */

static void watch_wanted(struct stream *stream)
{
	loop_watch_set(stream->watch, stream->reading.wants | stream->writing.wants);
}

static void park_end_soon(struct stream *stream);
static void leave_park(void *context);

static void direction_ready(struct direction *direction, unsigned events)
{
	if ((direction->wants & events) == 0)
		return;
	direction->wants = 0;
	cond_broadcast(&direction->changed);
}

static void on_ready(void *context, unsigned events)
{
	struct stream *stream = context;

	if (stream->park.wake != NULL) {
		if (!stream->park.leaving)
			leave_park(stream);
		return;
	}
	direction_ready(&stream->reading, events);
	direction_ready(&stream->writing, events);
	watch_wanted(stream);
}

static WAITS enum err wait_for(struct stream *stream, struct direction *direction, unsigned wants,
			       uint64_t deadline_ms)
{
	enum err err;

	stream->streak = 0;
	direction->wants = wants;
	watch_wanted(stream);
	err = cond_wait(&direction->changed, deadline_ms);
	direction->wants = 0;
	if (direction->err != ERR_OK)
		return direction->err;
	if (err != ERR_OK)
		watch_wanted(stream);
	return err;
}

/* A peer that is always ready must not keep the loop to itself. */
static WAITS void take_turns(struct stream *stream)
{
	if (++stream->streak < STREAK_MAX)
		return;
	stream->streak = 0;
	task_yield();
}

static uint64_t write_deadline(const struct stream *stream)
{
	return stream->write_timeout_ms == TASK_FOREVER
		       ? TASK_FOREVER
		       : env_now_ms(stream->env) + stream->write_timeout_ms;
}

/* ---- the socket ---- */

static enum err socket_error(unsigned event, unsigned *want)
{
	if (errno == EAGAIN || errno == EINTR) {
		*want = event;
		return ERR_UNAVAILABLE;
	}
	return errno == ECONNRESET || errno == EPIPE || errno == ENOTCONN ? ERR_CLOSED : ERR_IO;
}

/* ERR_UNAVAILABLE: nothing now, *want says what to wait for. */
static enum err receive(struct stream *stream, void *to, size_t size, size_t *done_size,
			unsigned *want)
{
	ssize_t got;

	if (stream->ssl != NULL)
		return tls_read(stream->ssl, to, size, done_size, want);
	got = recv(stream->descriptor, to, size, MSG_DONTWAIT);
	if (got < 0)
		return socket_error(LOOP_READ, want);
	*done_size = (size_t)got;
	return got == 0 ? ERR_CLOSED : ERR_OK;
}

static enum err transmit(struct stream *stream, const void *from, size_t size, size_t *done_size,
			 unsigned *want)
{
	ssize_t sent;

	if (stream->ssl != NULL)
		return tls_write(stream->ssl, from, size, done_size, want);
	sent = send(stream->descriptor, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return socket_error(LOOP_WRITE, want);
	*done_size = (size_t)sent;
	return ERR_OK;
}

void stream_tune_socket(int descriptor, const struct socket_address *address)
{
	int on = 1;

	/* An optimisation: without it output is late, not wrong. */
	if (!socket_address_is_unix(address))
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- making and ending ---- */

static void on_park_deadline(struct env_timer *timer)
{
	leave_park(timer->context);
}

enum err stream_of_socket(struct sched *sched, int descriptor, const struct socket_address *peer,
			  void (*closed)(void *context), void *context, struct stream **out)
{
	struct stream *stream = memory_allocate(sizeof(*stream));
	enum err err;

	if (stream == NULL)
		return ERR_NOMEM;
	stream->sched = sched;
	stream->env = sched_env(sched);
	stream->descriptor = descriptor;
	stream->write_timeout_ms = WRITE_TIMEOUT_MS;
	stream->local = socket_address_is_local(peer);
	stream->closed = closed;
	stream->closed_context = context;
	stream->park.timer.fire = on_park_deadline;
	stream->park.timer.context = stream;
	socket_address_text(peer, stream->peer);
	err = loop_watch_create(stream->env, descriptor, on_ready, stream, &stream->watch);
	if (err != ERR_OK) {
		memory_free(stream);
		return err;
	}
	*out = stream;
	return ERR_OK;
}

static void input_release(struct stream *stream)
{
	struct input *input = &stream->input;

	memory_free(input->buffer);
	*input = (struct input){0};
}

/*
 * Closing a socket with unread input makes the kernel send a reset, which can
 * overtake and destroy what was sent last.
 */
static void discard_input(const struct stream *stream)
{
	uint8_t scrap[4096];

	for (size_t total = 0; total < DISCARD_MAX;) {
		ssize_t got = recv(stream->descriptor, scrap, sizeof(scrap), MSG_DONTWAIT);

		if (got <= 0)
			return;
		total += (size_t)got;
	}
}

void stream_close(struct stream **stream_pointer)
{
	struct stream *stream = *stream_pointer;

	if (stream == NULL)
		return;
	*stream_pointer = NULL;
	ASSERT(stream->park.wake == NULL);
	if (stream->write_timeout_ms > CLOSE_GRACE_MS)
		stream->write_timeout_ms = CLOSE_GRACE_MS;
	if (stream_flush(stream) == ERR_OK && stream->ssl != NULL)
		tls_notify_close(stream->ssl);
	(void)shutdown(stream->descriptor, SHUT_WR);
	discard_input(stream);
	loop_watch_destroy(&stream->watch);
	tls_destroy(&stream->ssl);
	close(stream->descriptor);
	input_release(stream);
	buf_finish(&stream->output);
	if (stream->closed != NULL)
		stream->closed(stream->closed_context);
	memory_free(stream);
}

void stream_abort(struct stream *stream)
{
	(void)shutdown(stream->descriptor, SHUT_RDWR);
	stream->reading.err = stream->writing.err = ERR_CLOSED;
	if (stream->park.wake != NULL) {
		park_end_soon(stream);
		return;
	}
	cond_broadcast(&stream->reading.changed);
	cond_broadcast(&stream->writing.changed);
}

void stream_end_input(struct stream *stream)
{
	if (stream->reading.err == ERR_OK)
		stream->reading.err = ERR_CANCELED;
	if (stream->park.wake != NULL)
		park_end_soon(stream);
	else
		cond_broadcast(&stream->reading.changed);
}

/* ---- input ---- */

static size_t unread(const struct stream *stream)
{
	return stream->input.end - stream->input.start;
}

static void consume(struct stream *stream, size_t size)
{
	struct input *input = &stream->input;

	if (stream->secret)
		memory_wipe(input->buffer + input->start, size);
	input->start += size;
	input->searched = 0;
	if (input->start == input->end)
		input->start = input->end = 0;
}

static void consume_line(struct stream *stream)
{
	size_t size = stream->input.line_size;

	stream->input.line_size = 0;
	if (size != 0)
		consume(stream, size);
}

struct bytes stream_input(const struct stream *stream)
{
	const struct input *input = &stream->input;

	if (unread(stream) == input->line_size)
		return bytes_make(NULL, 0);
	return bytes_make(input->buffer + input->start + input->line_size,
			  unread(stream) - input->line_size);
}

void stream_consume(struct stream *stream, size_t size)
{
	consume_line(stream);
	ASSERT(size <= unread(stream));
	if (size != 0)
		consume(stream, size);
}

/* Moved by hand rather than by realloc(3), which would leave a copy of a secret behind. */
static enum err input_grow(struct stream *stream)
{
	struct input *input = &stream->input;
	size_t capacity = input->capacity != 0 ? input->capacity * 2 : INPUT_START;
	struct input grown = {
		.end = unread(stream), .capacity = capacity, .searched = input->searched};

	grown.buffer = memory_allocate(capacity);
	if (grown.buffer == NULL)
		return ERR_NOMEM;
	if (grown.end != 0)
		memcpy(grown.buffer, input->buffer + input->start, grown.end);
	input_release(stream);
	*input = grown;
	return ERR_OK;
}

/* Room for at least a byte after `end`; ERR_LIMIT when all of it is unread. */
static enum err input_make_room(struct stream *stream)
{
	struct input *input = &stream->input;

	/* A peer that sends more than fits is worth a larger buffer. */
	if (input->filled && unread(stream) == 0 && input->capacity < STREAM_INPUT_MAX)
		return input_grow(stream);
	if (input->end < input->capacity)
		return ERR_OK;
	if (input->start > 0) {
		size_t size = unread(stream), gap = input->start;

		memmove(input->buffer, input->buffer + input->start, size);
		input->start = 0;
		input->end = size;
		if (stream->secret)
			memory_wipe(input->buffer + size, gap);
		return ERR_OK;
	}
	return input->capacity == STREAM_INPUT_MAX ? ERR_LIMIT : input_grow(stream);
}

static WAITS enum err fill(struct stream *stream, uint64_t deadline_ms)
{
	struct input *input = &stream->input;

	for (;;) {
		size_t done_size = 0;
		unsigned want = 0;
		enum err err;

		if (stream->reading.err != ERR_OK)
			return stream->reading.err;
		err = input_make_room(stream);
		if (err != ERR_OK)
			return err;
		err = receive(stream, input->buffer + input->end, input->capacity - input->end,
			      &done_size, &want);
		if (err == ERR_OK) {
			input->end += done_size;
			input->filled = input->end == input->capacity;
			return ERR_OK;
		}
		/* Whoever waits long holds no buffer. */
		if (unread(stream) == 0)
			input_release(stream);
		if (err != ERR_UNAVAILABLE)
			return stream->reading.err = err;
		err = wait_for(stream, &stream->reading, want, deadline_ms);
		if (err == ERR_TIMEOUT)
			stream->reading.err = err;
		if (err != ERR_OK)
			return err;
	}
}

enum err stream_fill(struct stream *stream, uint64_t deadline_ms)
{
	enum err err;

	consume_line(stream);
	if (unread(stream) == STREAM_INPUT_MAX)
		return ERR_LIMIT;
	if (task_canceled())
		return ERR_CANCELED;
	/* The peer may be waiting for just that before it says more. */
	err = stream_flush(stream);
	if (err != ERR_OK)
		return err;
	take_turns(stream);
	return fill(stream, deadline_ms);
}

enum err stream_line(struct stream *stream, size_t limit, uint64_t deadline_ms, struct bytes *line)
{
	struct input *input = &stream->input;

	consume_line(stream);
	for (;;) {
		size_t size = unread(stream) < limit ? unread(stream) : limit;
		const uint8_t *from = input->buffer + input->start, *end = NULL;
		enum err err;

		if (size > input->searched)
			end = memchr(from + input->searched, '\n', size - input->searched);
		if (end != NULL) {
			input->line_size = (size_t)(end - from) + 1;
			*line = bytes_make(from, input->line_size);
			return ERR_OK;
		}
		if (size == limit)
			return ERR_LIMIT;
		input->searched = size;
		err = stream_fill(stream, deadline_ms);
		if (err != ERR_OK)
			return err;
	}
}

void stream_set_secret(struct stream *stream, bool secret)
{
	stream->secret = secret;
}

/* ---- output ---- */

static size_t unsent(const struct stream *stream)
{
	return stream->output.size - stream->sent;
}

/* Hands the kernel what it takes of `bytes`, which gets shorter. */
static enum err send_some(struct stream *stream, struct bytes *bytes, unsigned *want)
{
	size_t done_size = 0;
	enum err err = transmit(stream, bytes->data, bytes->size, &done_size, want);

	if (err == ERR_OK)
		*bytes = bytes_make(bytes->data + done_size, bytes->size - done_size);
	else if (err != ERR_UNAVAILABLE)
		stream->writing.err = err;
	return err;
}

static WAITS enum err wait_writable(struct stream *stream, unsigned want)
{
	enum err err = wait_for(stream, &stream->writing, want, write_deadline(stream));

	if (err == ERR_TIMEOUT)
		stream->writing.err = err;
	return err;
}

/* Sends a part of the buffer; waits when the kernel takes none. */
static WAITS enum err flush_some(struct stream *stream)
{
	struct bytes left = bytes_make(stream->output.data + stream->sent, unsent(stream));
	unsigned want = 0;
	enum err err;

	if (stream->writing.err != ERR_OK)
		return stream->writing.err;
	err = send_some(stream, &left, &want);
	if (err == ERR_UNAVAILABLE)
		return wait_writable(stream, want);
	if (err != ERR_OK)
		return err;
	stream->sent = stream->output.size - left.size;
	if (left.size == 0) {
		buf_clear(&stream->output);
		stream->sent = 0;
	} else {
		take_turns(stream);
	}
	return ERR_OK;
}

enum err stream_flush(struct stream *stream)
{
	if (stream->writing.err != ERR_OK)
		return stream->writing.err;
	while (unsent(stream) != 0) {
		enum err err = flush_some(stream);

		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

/* Large and nothing before it: from the caller's memory into the kernel. */
static WAITS enum err write_direct(struct stream *stream, struct bytes *bytes)
{
	while (unsent(stream) == 0 && bytes->size >= DIRECT_MIN) {
		unsigned want = 0;
		enum err err = send_some(stream, bytes, &want);

		if (err == ERR_UNAVAILABLE)
			return ERR_OK;
		if (err != ERR_OK)
			return err;
		take_turns(stream);
	}
	return ERR_OK;
}

static enum err write_buffered(struct stream *stream, struct bytes *bytes)
{
	size_t room = STREAM_OUTPUT_MAX - unsent(stream);
	size_t size = bytes->size < room ? bytes->size : room;

	if (stream->output.capacity - stream->output.size < size && stream->sent != 0) {
		buf_drop_front(&stream->output, stream->sent);
		stream->sent = 0;
	}
	buf_put(&stream->output, bytes->data, size);
	if (stream->output.err != ERR_OK)
		return stream->writing.err = stream->output.err;
	*bytes = bytes_make(bytes->data + size, bytes->size - size);
	return ERR_OK;
}

enum err stream_write(struct stream *stream, struct bytes bytes)
{
	while (bytes.size != 0) {
		enum err err = stream->writing.err;

		if (err == ERR_OK)
			err = write_direct(stream, &bytes);
		if (err == ERR_OK && bytes.size != 0)
			err = write_buffered(stream, &bytes);
		if (err == ERR_OK && bytes.size != 0)
			err = flush_some(stream);
		if (err != ERR_OK)
			return err;
	}
	return stream->writing.err;
}

void stream_set_write_timeout(struct stream *stream, uint64_t timeout_ms)
{
	stream->write_timeout_ms = timeout_ms;
}

/* ---- parking ---- */

static void leave_park(void *context)
{
	struct stream *stream = context;
	void (*wake)(struct stream * stream, void *context) = stream->park.wake;

	env_timer_stop(stream->env, &stream->park.timer);
	stream->park.wake = NULL;
	stream->park.leaving = false;
	watch_wanted(stream);
	wake(stream, stream->park.context);
}

static void park_end_soon(struct stream *stream)
{
	if (stream->park.leaving)
		return;
	stream->park.leaving = true;
	env_timer_stop(stream->env, &stream->park.timer);
	loop_watch_set(stream->watch, 0);
	env_soon(stream->env, leave_park, stream);
}

void stream_park(struct stream *stream, uint64_t deadline_ms,
		 void (*wake)(struct stream *stream, void *context), void *context)
{
	uint64_t now_ms = env_now_ms(stream->env);

	consume_line(stream);
	ASSERT(stream->park.wake == NULL && unread(stream) == 0 && unsent(stream) == 0);
	input_release(stream);
	buf_finish(&stream->output);
	stream->park.wake = wake;
	stream->park.context = context;
	/* Neither the socket nor the loop would tell a second time. */
	if (stream->reading.err != ERR_OK || stream->env->stopped ||
	    (stream->ssl != NULL && tls_has_input(stream->ssl))) {
		park_end_soon(stream);
		return;
	}
	loop_watch_set(stream->watch, LOOP_READ);
	if (deadline_ms != TASK_FOREVER)
		env_timer_start(stream->env, &stream->park.timer,
				deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

void stream_unpark(struct stream *stream)
{
	if (stream->park.wake != NULL)
		park_end_soon(stream);
}

/* ---- handshakes ---- */

struct handshake {
	struct ssl_st *ssl;
	unsigned want;
	enum err err;
};

static void handshake_step(void *argument)
{
	struct handshake *handshake = argument;

	handshake->err = tls_handshake(handshake->ssl, &handshake->want);
}

/* On threads: a signature takes longer than anything else the loop does. */
static WAITS enum err perform_handshake(struct stream *stream, struct ssl_st *ssl,
					uint64_t deadline_ms)
{
	struct handshake handshake = {.ssl = ssl};

	for (;;) {
		enum err err = stream->reading.err;

		if (err == ERR_OK)
			err = task_offload(handshake_step, &handshake);
		if (err == ERR_OK)
			err = handshake.err;
		if (err != ERR_UNAVAILABLE)
			return err;
		err = wait_for(stream, &stream->reading, handshake.want, deadline_ms);
		if (err != ERR_OK)
			return err;
	}
}

/* Takes the connection over. */
static WAITS enum err start_tls(struct stream *stream, struct ssl_st *ssl, uint64_t deadline_ms)
{
	enum err err;

	ASSERT(stream->ssl == NULL);
	consume_line(stream);
	/* Sent before the handshake, it would be taken for sent after it (RFC 3207, section 5). */
	err = unread(stream) != 0 ? ERR_INVALID : stream_flush(stream);
	if (err == ERR_OK) {
		input_release(stream);
		buf_finish(&stream->output);
		err = perform_handshake(stream, ssl, deadline_ms);
	}
	if (err == ERR_OK) {
		stream->ssl = ssl;
		return ERR_OK;
	}
	tls_destroy(&ssl);
	/* Nothing that follows could be understood by either side. */
	if (stream->reading.err == ERR_OK)
		stream->reading.err = err;
	if (stream->writing.err == ERR_OK)
		stream->writing.err = err;
	return err;
}

enum err stream_start_tls(struct stream *stream, struct tls_context *tls, uint64_t deadline_ms)
{
	struct ssl_st *ssl = NULL;
	enum err err = tls_server_create(tls, stream->descriptor, &ssl);

	return err == ERR_OK ? start_tls(stream, ssl, deadline_ms) : err;
}

enum err stream_start_tls_client(struct stream *stream, const char *verify_path,
				 uint64_t deadline_ms)
{
	struct ssl_st *ssl = NULL;
	enum err err = tls_client_create(verify_path, stream->descriptor, &ssl);

	return err == ERR_OK ? start_tls(stream, ssl, deadline_ms) : err;
}

enum err stream_wait_connected(struct stream *stream, uint64_t deadline_ms)
{
	enum err err = wait_for(stream, &stream->writing, LOOP_WRITE, deadline_ms);
	int error_number = 0;
	socklen_t size = sizeof(error_number);

	if (err != ERR_OK)
		return err;
	if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error_number, &size) != 0)
		return ERR_IO;
	if (error_number == ECONNREFUSED)
		return ERR_UNAVAILABLE;
	return err_from_errno(error_number);
}

/* ---- about ---- */

bool stream_is_tls(const struct stream *stream)
{
	return stream->ssl != NULL;
}

bool stream_is_local(const struct stream *stream)
{
	return stream->local;
}

const char *stream_peer(const struct stream *stream)
{
	return stream->peer;
}

enum err stream_peer_user(const struct stream *stream, uint32_t *user_id)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	struct sockaddr_storage own;
	socklen_t own_size = sizeof(own);

	if (getsockname(stream->descriptor, (struct sockaddr *)&own, &own_size) != 0)
		return err_from_errno(errno);
	if (own.ss_family != AF_UNIX)
		return ERR_NOTFOUND;
	if (getsockopt(stream->descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return err_from_errno(errno);
	*user_id = credentials.uid;
	return ERR_OK;
}
