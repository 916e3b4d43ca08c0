/* SPDX-License-Identifier: MPL-2.0 */
/*
 * transcript - dialogues with the IMAP server, replayed over a loopback stream against the world
 * that a test puts behind the server: each whole, octet by octet, in random chunks, and, where
 * nothing happens behind the client's back, pipelined; the answers are the same every time.
 *
 *   # comment
 *   > INBOX SF 09-Sep-2001 01:46:40 +0000    a message, flags by letter (- for none); its lines:
 *   | Subject: x
 *   @login                the greeting and a LOGIN of TRANSCRIPT_USER
 *   C: a NOOP             a line of the client
 *   S: a OK ...           a line of the server, exactly
 *   ! expunge INBOX 2     what others do: see the world
 *
 * <<41>> stands for an octet, <<uidvalidity INBOX>> for what the world gave that folder. The server
 * closes at the end.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_TRANSCRIPT_H
#define AEROSTORE_TESTS_SUPPORT_TRANSCRIPT_H

#include "engine/mailbox/mailbox.h"
#include "tests/support/loop_fixture.h"

#define TRANSCRIPT_USER "joe@example.org"
#define TRANSCRIPT_PASSWORD "secret"

/* Functions marked WAITS run in a task; failures are cmocka's. */
struct transcript_world {
	/* A world with TRANSCRIPT_USER and an empty INBOX. */
	WAITS struct home *(*begin)(struct loop_fixture *fixture);
	/* Makes the folder if there is none of that name, and puts the message last in it. */
	WAITS void (*add)(const char *folder, struct bytes message, uint8_t flags,
			  uint64_t arrival_ms, int16_t zone_minutes);
	/* False: it cannot do that. */
	WAITS bool (*act)(const char *deed);
	uint32_t (*uidvalidity)(const char *folder);
	/*
	 * It may tell of \Deleted before the message goes, where the transcript has both at once.
	 * RFC 3501, 7: a client takes it any time.
	 */
	bool chatty;
	/* It is dear to make: only whole and in chunks, once each. */
	bool dear;
	/* No session is left. */
	WAITS void (*end)(void);
};

/* Every .txt in the directory, or the one that the environment's TRANSCRIPT names. */
void transcripts_replay(struct loop_fixture *fixture, const struct transcript_world *world,
			const char *directory);
/* "SF" -> FLAG_SEEN | FLAG_FLAGGED. */
uint8_t transcript_flags(const char *letters);

#endif
