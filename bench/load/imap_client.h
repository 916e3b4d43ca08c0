/* SPDX-License-Identifier: MPL-2.0 */
/*
 * imap_client - a blocking IMAP connection that reads answers and throws them away.
 *
 * It understands lines and literals, no more: enough to find the end of an
 * answer at next to no cost, and to count what came. Any failure ends the
 * process (load.h).
 */
#ifndef AEROSTORE_BENCH_LOAD_IMAP_CLIENT_H
#define AEROSTORE_BENCH_LOAD_IMAP_CLIENT_H

#include "engine/base/bytes.h"

struct imap_client;

struct imap_answer {
	uint64_t us; /* from the first byte of the command to the last of the answer */
	uint64_t size, literal_size;
	uint64_t fetch_count; /* untagged FETCH responses */
	uint64_t exists;      /* the last untagged EXISTS */
};

/* `address` as load_connect(), or "tls:" and that. The certificate is not checked. Greeted. */
struct imap_client *imap_client_open(const char *address);
void imap_client_close(struct imap_client **client);
int imap_client_descriptor(const struct imap_client *client);
void imap_client_login(struct imap_client *client, const char *user, const char *password);
/* Sends the command with a tag, and reads to its tagged OK. */
struct imap_answer imap_client_run(struct imap_client *client, const char *command);
/* IDLE up to the continuation, and DONE up to the tagged OK. */
void imap_client_idle(struct imap_client *client);
void imap_client_done(struct imap_client *client);
/* Reads one untagged answer; true when it is an EXISTS, which is then *exists. */
bool imap_client_untagged(struct imap_client *client, uint64_t *exists);
/* Whether imap_client_untagged() has something to read without asking the socket. */
bool imap_client_buffered(const struct imap_client *client);

#endif
