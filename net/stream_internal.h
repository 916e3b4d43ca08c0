/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stream_internal - how the listener and the client make streams. For net/ only.
 */
#ifndef AEROSTORE_NET_STREAM_INTERNAL_H
#define AEROSTORE_NET_STREAM_INTERNAL_H

#include "net/socket_address.h"
#include "net/stream.h"

/*
 * Takes the descriptor over, non-blocking, on success only. closed(context),
 * which may be NULL, runs at the end of stream_close().
 */
MUST_USE enum err stream_of_socket(struct sched *sched, int descriptor,
				   const struct socket_address *peer, void (*closed)(void *context),
				   void *context, struct stream **out);
/* Waits until a connect(2) in progress has ended, and gives its result. */
WAITS MUST_USE enum err stream_wait_connected(struct stream *stream, uint64_t deadline_ms);
/* The client's side of a handshake on a plain stream. */
WAITS MUST_USE enum err stream_start_tls_client(struct stream *stream, const char *verify_path,
						uint64_t deadline_ms);
/* TCP_NODELAY: output leaves at a flush, whole, so there is nothing to wait for. */
void stream_tune_socket(int descriptor, const struct socket_address *address);

#endif
