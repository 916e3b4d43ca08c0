/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A listener lives until it was closed and its last connection has ended: each
 * connection holds it, for the counts and for what it was made from.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/map.h"
#include "engine/base/memory.h"
#include "net/loop_io.h"
#include "net/stream_internal.h"
#include "net/tls_io.h"

enum {
	BACKLOG = 1024,
	ACCEPT_BURST = 64,     /* connections taken before other descriptors get their turn */
	ACCEPT_RETRY_MS = 200, /* after the process or the system ran out of something */
	HANDSHAKE_TIMEOUT_MS = 30 * 1000,
};

struct listener {
	struct sched *sched;
	struct env *env;
	struct listener_options options; /* strings are ours, tls is held */
	struct socket_address address;	 /* as bound */
	int descriptor;			 /* -1: closed */
	struct loop_watch *watch;
	struct env_timer retry;
	bool draining;
	size_t connection_count;
	struct connection *connections;
	struct map peers; /* socket_address_peer_key() -> struct peer */
	dev_t device;	  /* of the unix socket's file, to remove no other */
	ino_t inode;
};

/* Who has connections now; kept only where they are limited. */
struct peer {
	struct id128 key;
	size_t connection_count;
};

struct connection {
	struct listener *listener;
	struct stream *stream;
	struct peer *peer; /* NULL: not counted */
	struct connection *previous, *next;
};

/* ---- limits ---- */

static bool is_full(const struct listener *listener)
{
	return listener->options.connection_limit != 0 &&
	       listener->connection_count >= listener->options.connection_limit;
}

static bool counts_peer(const struct listener *listener, const struct socket_address *address)
{
	return listener->options.connection_limit_per_peer != 0 && !socket_address_is_unix(address);
}

static enum err peer_enter(struct listener *listener, struct id128 key, struct peer **out)
{
	struct peer *peer = map_get(&listener->peers, &key);
	enum err err;

	if (peer == NULL) {
		peer = memory_allocate(sizeof(*peer));
		if (peer == NULL)
			return ERR_NOMEM;
		peer->key = key;
		err = map_put(&listener->peers, &key, peer);
		if (err != ERR_OK) {
			memory_free(peer);
			return err;
		}
	}
	if (peer->connection_count >= listener->options.connection_limit_per_peer)
		return ERR_LIMIT;
	peer->connection_count++;
	*out = peer;
	return ERR_OK;
}

static void peer_leave(struct listener *listener, struct peer *peer)
{
	if (peer == NULL || --peer->connection_count != 0)
		return;
	map_remove(&listener->peers, &peer->key);
	memory_free(peer);
}

/* Waiting in the kernel's queue is better than a refusal that nobody can word. */
static void watch_if_wanted(struct listener *listener)
{
	bool wait_in_queue = is_full(listener) && listener->options.busy == NULL;

	if (listener->watch == NULL)
		return;
	loop_watch_set(listener->watch, wait_in_queue || listener->retry.armed ||
							listener->draining || listener->env->stopped
						? 0
						: LOOP_READ);
}

/* ---- life ---- */

static void free_if_unused(struct listener *listener)
{
	if (listener->descriptor >= 0 || listener->connection_count != 0)
		return;
	tls_context_destroy(&listener->options.tls);
	map_finish(&listener->peers);
	memory_free(listener);
}

static void connection_ended(void *context)
{
	struct connection *connection = context;
	struct listener *listener = connection->listener;

	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		listener->connections = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	listener->connection_count--;
	peer_leave(listener, connection->peer);
	memory_free(connection);
	watch_if_wanted(listener);
	free_if_unused(listener);
}

static void serve_connection(void *argument)
{
	struct connection *connection = argument;
	struct listener *listener = connection->listener;
	struct stream *stream = connection->stream;
	enum err err = ERR_OK;

	if (listener->options.tls != NULL)
		err = stream_start_tls(stream, listener->options.tls,
				       env_now_ms(listener->env) +
					       listener->options.handshake_timeout_ms);
	if (err == ERR_OK)
		listener->options.serve(stream, listener->options.context);
	else
		stream_close(&stream);
}

/* ---- accepting ---- */

static void refuse(const struct listener *listener, int descriptor)
{
	const char *busy = listener->options.busy;

	/* Before a handshake a line in clear would be noise. */
	if (busy != NULL && listener->options.tls == NULL) {
		struct bytes line = bytes_string(busy);

		(void)!send(descriptor, line.data, line.size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (line.size == 0 || line.data[line.size - 1] != '\n')
			(void)!send(descriptor, "\r\n", 2, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)shutdown(descriptor, SHUT_WR);
	}
	close(descriptor);
}

static enum err spawn_connection(struct listener *listener, struct connection *connection,
				 int descriptor, const struct socket_address *peer)
{
	enum err err = stream_of_socket(listener->sched, descriptor, peer, connection_ended,
					connection, &connection->stream);

	if (err != ERR_OK) {
		close(descriptor);
		connection_ended(connection);
		return err;
	}
	err = task_spawn(listener->sched, "connection", serve_connection, connection, NULL);
	/* Nothing was sent, so this close does not wait, in a task or not. */
	if (err != ERR_OK)
		stream_close(&connection->stream);
	return err;
}

static enum err take_connection(struct listener *listener, int descriptor,
				const struct socket_address *address)
{
	struct connection *connection;
	struct peer *peer = NULL;
	enum err err = is_full(listener) ? ERR_LIMIT : ERR_OK;

	if (err == ERR_OK && counts_peer(listener, address))
		err = peer_enter(listener, socket_address_peer_key(address), &peer);
	if (err != ERR_OK) {
		refuse(listener, descriptor);
		return err;
	}
	connection = memory_allocate(sizeof(*connection));
	if (connection == NULL) {
		peer_leave(listener, peer);
		close(descriptor);
		return ERR_NOMEM;
	}
	*connection = (struct connection){
		.listener = listener, .peer = peer, .next = listener->connections};
	if (connection->next != NULL)
		connection->next->previous = connection;
	listener->connections = connection;
	listener->connection_count++;
	stream_tune_socket(descriptor, address);
	return spawn_connection(listener, connection, descriptor, address);
}

static void on_retry(struct env_timer *timer)
{
	watch_if_wanted(timer->context);
}

static void pause_accepting(struct listener *listener, enum err err)
{
	env_log(listener->env, "event=accept-failed address=%s error=%s retry_ms=%d",
		listener->options.address, err_name(err), ACCEPT_RETRY_MS);
	loop_watch_set(listener->watch, 0);
	env_timer_start(listener->env, &listener->retry, ACCEPT_RETRY_MS);
}

/* True: that connection is gone, the next may be fine. */
static bool is_about_one_connection(int error_number)
{
	return error_number == ECONNABORTED || error_number == EINTR || error_number == EPROTO ||
	       error_number == EPERM || error_number == ENETDOWN || error_number == EHOSTUNREACH ||
	       error_number == ENETUNREACH || error_number == EHOSTDOWN;
}

static void on_acceptable(void *context, unsigned events)
{
	struct listener *listener = context;

	/* The loop stops; its owner closes the listener. */
	if (events == 0) {
		watch_if_wanted(listener);
		return;
	}
	for (int i = 0; i < ACCEPT_BURST; i++) {
		struct socket_address peer = {.size = sizeof(peer.socket)};
		enum err err;
		int descriptor = accept4(listener->descriptor, (struct sockaddr *)&peer.socket,
					 &peer.size, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (descriptor >= 0)
			err = take_connection(listener, descriptor, &peer);
		else if (is_about_one_connection(errno))
			continue;
		else if (errno == EAGAIN)
			return;
		else
			err = err_from_errno(errno);
		if (err != ERR_OK && (descriptor < 0 || err == ERR_NOMEM)) {
			pause_accepting(listener, err);
			return;
		}
		watch_if_wanted(listener);
		if (is_full(listener) && listener->options.busy == NULL)
			return;
	}
}

/* ---- opening and closing ---- */

static const char *unix_path(const struct socket_address *address)
{
	return ((const struct sockaddr_un *)(const void *)&address->socket)->sun_path;
}

/* A socket file that nobody answers on is what a crash left. */
static bool is_stale(const struct socket_address *address)
{
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat stat;
	bool stale;

	if (descriptor < 0)
		return false;
	stale = lstat(unix_path(address), &stat) == 0 && S_ISSOCK(stat.st_mode) &&
		connect(descriptor, (const struct sockaddr *)&address->socket, address->size) !=
			0 &&
		errno == ECONNREFUSED;
	close(descriptor);
	return stale;
}

static int bind_address(int descriptor, const struct socket_address *address)
{
	return bind(descriptor, (const struct sockaddr *)&address->socket, address->size);
}

static enum err bind_unix(struct listener *listener)
{
	const char *path = unix_path(&listener->address);
	unsigned mode = listener->options.unix_mode != 0 ? listener->options.unix_mode : 0600;
	struct stat stat;
	int failure;

	/* Closed to others from its first moment; opened below. */
	if (fchmod(listener->descriptor, 0600) != 0)
		return err_from_errno(errno);
	failure = bind_address(listener->descriptor, &listener->address);
	if (failure != 0 && errno == EADDRINUSE) {
		if (!is_stale(&listener->address))
			return ERR_UNAVAILABLE;
		if (unlink(path) == 0)
			failure = bind_address(listener->descriptor, &listener->address);
	}
	if (failure != 0 || lstat(path, &stat) != 0)
		return err_from_errno(errno);
	listener->device = stat.st_dev;
	listener->inode = stat.st_ino;
	if (listener->options.unix_group != NULL &&
	    chown(path, (uid_t)-1, *listener->options.unix_group) != 0)
		return err_from_errno(errno);
	return chmod(path, mode) == 0 ? ERR_OK : err_from_errno(errno);
}

static enum err bind_network(struct listener *listener)
{
	int on = 1;

	if (setsockopt(listener->descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return err_from_errno(errno);
	/* So that "0.0.0.0:993" and "[::]:993" can both be listed. */
	if (listener->address.socket.ss_family == AF_INET6 &&
	    setsockopt(listener->descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		return err_from_errno(errno);
	if (bind_address(listener->descriptor, &listener->address) != 0)
		return err_from_errno(errno);
	listener->address.size = sizeof(listener->address.socket);
	if (getsockname(listener->descriptor, (struct sockaddr *)&listener->address.socket,
			&listener->address.size) != 0)
		return err_from_errno(errno);
	return ERR_OK;
}

static enum err open_socket(struct listener *listener)
{
	enum err err;

	listener->descriptor = socket(listener->address.socket.ss_family,
				      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->descriptor < 0)
		return err_from_errno(errno);
	err = socket_address_is_unix(&listener->address) ? bind_unix(listener)
							 : bind_network(listener);
	if (err != ERR_OK)
		return err;
	if (listen(listener->descriptor, BACKLOG) != 0)
		return err_from_errno(errno);
	err = loop_watch_create(listener->env, listener->descriptor, on_acceptable, listener,
				&listener->watch);
	if (err == ERR_OK)
		loop_watch_set(listener->watch, LOOP_READ);
	return err;
}

/* One block for the listener and the two strings after it. */
static struct listener *allocate(const struct listener_options *options)
{
	size_t address_size = strlen(options->address) + 1;
	size_t busy_size = options->busy != NULL ? strlen(options->busy) + 1 : 0;
	struct listener *listener = memory_allocate(sizeof(*listener) + address_size + busy_size);
	char *strings;

	if (listener == NULL)
		return NULL;
	strings = (char *)(listener + 1);
	listener->options = *options;
	listener->options.address = memcpy(strings, options->address, address_size);
	if (busy_size != 0)
		listener->options.busy = memcpy(strings + address_size, options->busy, busy_size);
	if (listener->options.handshake_timeout_ms == 0)
		listener->options.handshake_timeout_ms = HANDSHAKE_TIMEOUT_MS;
	tls_context_hold(listener->options.tls);
	return listener;
}

enum err listener_open(struct sched *sched, const struct listener_options *options,
		       struct listener **out)
{
	struct listener *listener = allocate(options);
	enum err err;

	if (listener == NULL)
		return ERR_NOMEM;
	listener->sched = sched;
	listener->env = sched_env(sched);
	listener->descriptor = -1;
	listener->retry.fire = on_retry;
	listener->retry.context = listener;
	map_init(&listener->peers, sizeof(struct id128));
	err = socket_address_parse(options->address, &listener->address);
	if (err == ERR_OK)
		err = open_socket(listener);
	if (err == ERR_OK)
		*out = listener;
	else
		listener_close(&listener);
	return err;
}

void listener_close(struct listener **listener_pointer)
{
	struct listener *listener = *listener_pointer;
	struct stat stat;

	if (listener == NULL)
		return;
	*listener_pointer = NULL;
	env_timer_stop(listener->env, &listener->retry);
	loop_watch_destroy(&listener->watch);
	/* Still ours, and not that of a successor. */
	if (listener->inode != 0 && lstat(unix_path(&listener->address), &stat) == 0 &&
	    stat.st_dev == listener->device && stat.st_ino == listener->inode)
		unlink(unix_path(&listener->address));
	if (listener->descriptor >= 0)
		close(listener->descriptor);
	listener->descriptor = -1;
	free_if_unused(listener);
}

size_t listener_connections(const struct listener *listener)
{
	return listener->connection_count;
}

void listener_drain(struct listener *listener)
{
	listener->draining = true;
	watch_if_wanted(listener);
	for (struct connection *connection = listener->connections; connection != NULL;
	     connection = connection->next)
		stream_end_input(connection->stream);
}

void listener_abort(struct listener *listener)
{
	for (struct connection *connection = listener->connections; connection != NULL;
	     connection = connection->next)
		stream_abort(connection->stream);
}

unsigned listener_port(const struct listener *listener)
{
	return socket_address_port(&listener->address);
}
