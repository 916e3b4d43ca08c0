/* SPDX-License-Identifier: MPL-2.0 */
/*
 * tls_io - one TLS connection over a non-blocking socket, for stream.c.
 *
 * Calls that would block return ERR_UNAVAILABLE and say in *want which
 * loop_event to wait for before the call is repeated. ERR_CLOSED: the peer
 * ended, cleanly or not; ERR_IO: it broke the protocol.
 */
#ifndef AEROSTORE_NET_TLS_IO_H
#define AEROSTORE_NET_TLS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

struct tls_context;
struct ssl_st;

/* A context lives until its last holder has let it go. */
struct tls_context *tls_context_hold(struct tls_context *tls);

/* Borrows the socket. */
MUST_USE enum err tls_server_create(struct tls_context *tls, int descriptor, struct ssl_st **out);
/* Trusts what the file holds, a CA or the server's own certificate; checks no name. */
MUST_USE enum err tls_client_create(const char *verify_path, int descriptor, struct ssl_st **out);
void tls_destroy(struct ssl_st **ssl);
/* On any thread, as long as no other call on this connection runs. */
MUST_USE enum err tls_handshake(struct ssl_st *ssl, unsigned *want);
MUST_USE enum err tls_read(struct ssl_st *ssl, void *to, size_t size, size_t *done_size,
			   unsigned *want);
/* A repeated call starts with the same bytes; they may have moved, and more may follow. */
MUST_USE enum err tls_write(struct ssl_st *ssl, const void *from, size_t size, size_t *done_size,
			    unsigned *want);
/* Input that the socket will not announce again. */
bool tls_has_input(struct ssl_st *ssl);
/* Sends close_notify if that is possible without waiting. */
void tls_notify_close(struct ssl_st *ssl);

#endif
