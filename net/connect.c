/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <unistd.h>

#include "net/stream_internal.h"

/* A refused connection is a server that is not there (yet); so is a missing socket file. */
static enum err begin_connect(int descriptor, const struct socket_address *address,
			      bool *in_progress)
{
	*in_progress = false;
	if (connect(descriptor, (const struct sockaddr *)&address->socket, address->size) == 0)
		return ERR_OK;
	*in_progress = errno == EINPROGRESS;
	if (*in_progress)
		return ERR_OK;
	return errno == ECONNREFUSED || errno == ENOENT ? ERR_UNAVAILABLE : err_from_errno(errno);
}

enum err stream_connect(struct sched *sched, const char *address_string,
			const char *tls_verify_path, uint64_t deadline_ms, struct stream **out)
{
	struct stream *stream = NULL;
	struct socket_address address;
	bool in_progress;
	int descriptor;
	enum err err = socket_address_parse(address_string, &address);

	if (err != ERR_OK)
		return err;
	descriptor =
		socket(address.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return err_from_errno(errno);
	stream_tune_socket(descriptor, &address);
	err = begin_connect(descriptor, &address, &in_progress);
	if (err == ERR_OK)
		err = stream_of_socket(sched, descriptor, &address, NULL, NULL, &stream);
	if (err != ERR_OK) {
		close(descriptor);
		return err;
	}
	if (in_progress)
		err = stream_wait_connected(stream, deadline_ms);
	if (err == ERR_OK && tls_verify_path != NULL)
		err = stream_start_tls_client(stream, tls_verify_path, deadline_ms);
	if (err == ERR_OK)
		*out = stream;
	else
		stream_close(&stream);
	return err;
}
