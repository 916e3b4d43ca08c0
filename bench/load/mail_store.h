/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mail_store - a store of three volumes with accounts, below a stage's
 * directory, for benchmarks that deliver without a server. Any failure ends the
 * process (load.h).
 *
 * Message n is the same in every run: a few octets of text, with a summary as
 * large as a common one.
 */
#ifndef AEROSTORE_BENCH_LOAD_MAIL_STORE_H
#define AEROSTORE_BENCH_LOAD_MAIL_STORE_H

#include "bench/load/stage.h"
#include "engine/engine.h"

#define MAIL_STORE_VOLUMES 3u

struct mail_store {
	struct stage *stage;
	char paths[MAIL_STORE_VOLUMES][256], index[256];
	struct key *admin, *node;
	struct engine *engine;
	unsigned account; /* the number of the one that the functions below are about */
	uint64_t sent, wanted;
	struct group senders;
};

/* Volumes and index are "<prefix>-v0" and so on. */
void mail_store_init(struct mail_store *store, struct stage *stage, const char *prefix);
/* Makes volumes, index and the keys that mail_store_open() needs. */
WAITS void mail_store_format(struct mail_store *store);
void mail_store_release_keys(struct mail_store *store);
WAITS void mail_store_open(struct mail_store *store);
WAITS void mail_store_close(struct mail_store *store);
WAITS void mail_store_make_account(struct mail_store *store);
WAITS struct mailbox *mail_store_login(struct mail_store *store);
/* Delivers until so many were delivered since the start, to whomever, 512 at a time. */
WAITS void mail_store_deliver(struct mail_store *store, uint64_t wanted);
/* Logs in and asks for INBOX's status, which drains it; it must have `expected` messages. */
WAITS void mail_store_open_inbox(struct mail_store *store, uint64_t expected);

#endif
