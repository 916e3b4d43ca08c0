/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mail_client - just enough LMTP and IMAP, from the client's side, to check a
 * server: one message in, the same one back.
 *
 * Errors: ERR_DENIED when the server refuses (its words are in `said`), ERR_CORRUPT
 * when it does not speak the protocol, those of net/stream.h otherwise.
 */
#ifndef AEROSTORE_TOOLS_AEROCTL_MAIL_CLIENT_H
#define AEROSTORE_TOOLS_AEROCTL_MAIL_CLIENT_H

#include "net/stream.h"

#define MAIL_CLIENT_SAID 256u

struct mail_client {
	struct env *env;
	struct stream *stream;
	char said[MAIL_CLIENT_SAID]; /* the last line that decided something */
	unsigned tag;
	struct buf untagged; /* lines of the last IMAP command, with LF */
	struct buf literal;  /* octets of its literals */
};

/*
 * Connects and reads the greeting, which begins with `greeting` ("220", "* OK"). trust: see
 * stream_connect(). After any result mail_client_close().
 */
WAITS MUST_USE enum err mail_client_open(struct sched *sched, const char *address,
					 const char *trust, const char *greeting,
					 struct mail_client *out);
WAITS void mail_client_close(struct mail_client *client);

/* A whole LMTP session with one recipient; an empty sender. `message` is sent with dots stuffed. */
WAITS MUST_USE enum err lmtp_client_deliver(struct mail_client *client, const char *recipient,
					    struct bytes message);

/* Sends "<tag> <command>" and reads up to its tagged reply. */
WAITS MUST_USE enum err imap_client_command(struct mail_client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* AUTHENTICATE PLAIN with an initial response. */
WAITS MUST_USE enum err imap_client_login(struct mail_client *client, const char *address,
					  struct bytes password);
/* The last number of "* SEARCH 3 4" in the untagged lines; 0: none. */
unsigned long imap_client_found(const struct mail_client *client);

#endif
