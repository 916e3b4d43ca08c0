/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mail - a short life of a small store, over a recorder, and what must hold of
 * it after a loss of power at any event: the workload and the oracle of the crash
 * states.
 *
 * The life: three volumes are formatted and opened, an account is made, messages
 * come in one by one and at once, a session reads, flags, appends, moves and
 * expunges, sets are sealed; the process is killed half-way in deliveries, starts
 * again, finishes the sets it finds, writes manifests, truncates journals, and
 * closes. Where a sync is to fail, its volume fails, and its sets are evacuated.
 *
 * The oracle knows the facts that were told before the cut: acknowledged messages
 * are there once and byte for byte, deleted ones stay away, \Seen stays, and no
 * UID that a client was told ever names another message.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CRASH_MAIL_H
#define AEROSTORE_TESTS_SUPPORT_CRASH_MAIL_H

#include "tests/support/crash/recorder.h"
#include "tests/support/mailbox_fixture.h"

#define MAIL_MESSAGES 32u

enum fact_kind {
	FACT_FORMATTED,
	FACT_ACCOUNT,
	FACT_SENT,
	FACT_ACKNOWLEDGED,
	FACT_DELETING,
	FACT_DELETED,
	FACT_SEEN,
	FACT_TOLD,
	FACT_TOLERATED,
};

struct fact {
	uint64_t event;
	enum fact_kind kind;
	size_t message;
	/* TOLD */
	struct id128 folder, email;
	uint32_t uidvalidity, uid;
	/* TOLERATED: losses of volumes, as the status says */
	unsigned count;
};

/* What a life did, for tests that want to be sure of it. */
struct mail_did {
	uint64_t seals, evacuations, manifests, truncated, acknowledged;
};

struct mail {
	struct post post;
	struct recorder *recorder; /* while it is recorded */
	struct sim_random random;
	struct buf messages[MAIL_MESSAGES];
	size_t message_count;
	struct fact *facts;
	size_t fact_count, fact_capacity;
	struct mail_did did;
	size_t fail_commit_in; /* of the second life: that commit's sync fails; 0: none */
	/* the next check's */
	uint64_t cut;
	bool again;	 /* closes, opens and looks once more */
	char wrong[200]; /* empty: all is as promised */
};

void mail_init(struct mail *mail, uint64_t seed);
void mail_finish(struct mail *mail);
/* Runs the whole life on the recorder. */
void mail_live(struct mail *mail, struct recorder *recorder);
/* A task: opens what mail->post.root holds, and sets mail->wrong by the facts up to mail->cut. */
WAITS void mail_check(void *mail);
/* The event from which on the volumes are formatted: a cut before it needs no recovery. */
uint64_t mail_formatted(const struct mail *mail);
/* How many volumes could be lost, as the engine told last before the cut. */
unsigned mail_tolerated(const struct mail *mail, uint64_t cut);

#endif
