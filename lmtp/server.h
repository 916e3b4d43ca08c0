/* SPDX-License-Identifier: MPL-2.0 */
/*
 * server - LMTP (RFC 2033): takes messages from an MTA, one true reply per
 * recipient, and says 250 only for what is durable.
 *
 * Offers PIPELINING, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES (RFC 2034), SIZE
 * (RFC 1870). Messages stream through: no spool, memory bounded per recipient.
 * Stored is what was sent, octet for octet, with Return-Path and Delivered-To
 * put before it. Permanent failures (5xx) are the sender's: no such user, too
 * big, bad syntax. Our own trouble is 4xx, and the MTA keeps the mail.
 */
#ifndef AEROSTORE_LMTP_SERVER_H
#define AEROSTORE_LMTP_SERVER_H

#include "engine/mailbox/mailbox.h"
#include "net/stream.h"

struct lmtp_server {
	const char *hostname; /* in the greeting */
	struct delivery_agent *agent;
	struct account_source accounts; /* `find` only */
	struct env *env;
	uint64_t size_limit;	     /* octets of a message; default 64 MiB */
	size_t recipient_limit;	     /* a transaction; default 100 */
	uint64_t command_timeout_ms; /* default 5 minutes */
	uint64_t data_timeout_ms;    /* between two reads of DATA; default 3 minutes */
	uint64_t transactions, delivered, refused; /* counted */
};

/* Limits and time-outs at their defaults. */
void lmtp_server_init(struct lmtp_server *server);
/* listener_options.serve with a struct lmtp_server as context. */
WAITS void lmtp_serve(struct stream *stream, void *context);

#endif
