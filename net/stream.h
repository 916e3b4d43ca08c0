/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stream - a byte stream to one peer: TCP or unix socket, plain or TLS, read
 * and written by tasks, with bounded buffers.
 *
 * Reading: stream_fill() waits for more input; what has arrived and was not
 * consumed is stream_input(). Writing: stream_write() copies into the output
 * buffer and waits only while that is over its high-water mark; stream_flush()
 * waits until the kernel has it all. One task reads and one writes at a time.
 *
 * Fairness: a peer that never lets a task wait does not keep the loop: reading
 * and writing yield from time to time.
 *
 * Idle: stream_park() frees the input and output buffers when they are empty
 * and calls `wake` once, from the loop, when input, the end or an error
 * arrives or the deadline passes; the task that served the stream may then end.
 * A parked stream costs its struct and, with TLS, OpenSSL's idle state.
 *
 * Errors: ERR_CLOSED when the peer ended (cleanly or not), ERR_TIMEOUT at the
 * deadline, ERR_CANCELED, ERR_IO; sticky for the direction they struck.
 * Deadlines are on env_now_ms()'s clock.
 */
#ifndef AEROSTORE_NET_STREAM_H
#define AEROSTORE_NET_STREAM_H

#include "engine/task.h"

struct stream;
struct tls_context;

enum stream_limit {
	STREAM_INPUT_MAX = 64 * 1024,  /* bytes buffered unread */
	STREAM_OUTPUT_MAX = 64 * 1024, /* high-water mark of unsent bytes */
};

/*
 * Sends what is buffered within a grace of one second (TLS: close_notify), closes, sets *stream
 * to NULL.
 */
WAITS void stream_close(struct stream **stream);
/*
 * Closes at once, from anywhere; waits in progress return ERR_CLOSED, a parked stream wakes. The
 * owner still calls stream_close().
 */
void stream_abort(struct stream *stream);
/*
 * Ends the reading side, from anywhere: what has arrived can still be consumed, further fills
 * return ERR_CANCELED, a parked stream wakes. Writing goes on.
 */
void stream_end_input(struct stream *stream);

/* Unconsumed input; borrowed until the next fill, consume or park. */
struct bytes stream_input(const struct stream *stream);
void stream_consume(struct stream *stream, size_t size);
/* Waits until there is more input than before; ERR_LIMIT when STREAM_INPUT_MAX bytes are unread. */
WAITS MUST_USE enum err stream_fill(struct stream *stream, uint64_t deadline_ms);
/*
 * The next line including its LF, at most `limit` bytes, consumed at the next call on the input;
 * ERR_LIMIT when longer (nothing consumed).
 */
WAITS MUST_USE enum err stream_line(struct stream *stream, size_t limit, uint64_t deadline_ms,
				    struct bytes *line);
WAITS MUST_USE enum err stream_write(struct stream *stream, struct bytes bytes);
WAITS MUST_USE enum err stream_flush(struct stream *stream);
/* Time allowed for the peer to take output before ERR_TIMEOUT; default 5 minutes. */
void stream_set_write_timeout(struct stream *stream, uint64_t timeout_ms);

/* Requires empty input and output. The caller must not use the stream until `wake`. */
void stream_park(struct stream *stream, uint64_t deadline_ms,
		 void (*wake)(struct stream *stream, void *context), void *context);
/* From the loop or a task: makes a parked stream call `wake` soon (to push to an idle client). */
void stream_unpark(struct stream *stream);

/*
 * Server handshake on a plain stream. ERR_INVALID: plaintext input is unread (STARTTLS injection).
 * After a failure the stream is only good for stream_close().
 */
WAITS MUST_USE enum err stream_start_tls(struct stream *stream, struct tls_context *tls,
					 uint64_t deadline_ms);
bool stream_is_tls(const struct stream *stream);
/* Loopback address or unix socket. */
bool stream_is_local(const struct stream *stream);
/* "127.0.0.1" or "unix"; for logs and limits. Static with the stream. */
const char *stream_peer(const struct stream *stream);
/* Who connected to a unix socket, as the kernel knows it. ERR_NOTFOUND: not a unix socket. */
MUST_USE enum err stream_peer_user(const struct stream *stream, uint32_t *user_id);
/* Wipes buffered plaintext as it is consumed from now on (passwords). */
void stream_set_secret(struct stream *stream, bool secret);

/* ---- listening ---- */

struct listener;

struct listener_options {
	const char *address; /* "127.0.0.1:1143", "[::1]:1993" (IPv6 only) or "unix:/path" */
	/* Implicit TLS when not NULL; held until the last connection ends. */
	struct tls_context *tls;
	/* 0: none. Further ones wait in the kernel's queue, or get `busy` and are closed. */
	size_t connection_limit;
	/* By address, IPv6 by /64; not on unix sockets. 0: none. Further ones are closed. */
	size_t connection_limit_per_peer;
	/* Protocol line for a refused connection, CRLF optional; never sent before TLS; or NULL. */
	const char *busy;
	uint64_t handshake_timeout_ms; /* 0: 30 seconds */
	unsigned unix_mode;	       /* permissions of a unix socket, e.g. 0660; 0: 0600 */
	const uint32_t *unix_group;    /* of a unix socket; NULL: the process's own */
	/* Runs in a task of its own and owns the stream. */
	void (*serve)(struct stream *stream, void *context);
	void *context;
};

/*
 * `options` are copied, strings and all. ERR_UNAVAILABLE: the port is taken; ERR_INVALID: no such
 * address form.
 */
MUST_USE enum err listener_open(struct sched *sched, const struct listener_options *options,
				struct listener **out);
/* Stops accepting; connections live on. */
void listener_close(struct listener **listener);
size_t listener_connections(const struct listener *listener);
/* Accepts no more, and ends the input of every connection: what was asked is still answered. */
void listener_drain(struct listener *listener);
/* Aborts every connection. */
void listener_abort(struct listener *listener);
/* The port bound, for port 0 in tests. */
unsigned listener_port(const struct listener *listener);

/* ---- TLS ---- */

/*
 * PEM files, the key without a passphrase; TLS 1.2 and 1.3 only. On failure `why` says in words
 * what is wrong.
 */
MUST_USE enum err tls_context_load(const char *certificate_path, const char *key_path,
				   char why[256], struct tls_context **out);
/* Reads the same files again; on failure the old ones stay in use. */
MUST_USE enum err tls_context_reload(struct tls_context *tls, char why[256]);
void tls_context_destroy(struct tls_context **tls);

/* ---- clients (tools, tests) ---- */

/*
 * Connects, TCP or unix; tls_verify_path: CA or certificate to trust, NULL for plain. Addresses are
 * numbers, so no name is checked: trust the server's own certificate, or a CA of its own.
 * ERR_UNAVAILABLE: nobody listens there.
 */
WAITS MUST_USE enum err stream_connect(struct sched *sched, const char *address,
				       const char *tls_verify_path, uint64_t deadline_ms,
				       struct stream **out);

#endif
