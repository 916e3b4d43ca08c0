/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fake_mailbox - engine/mailbox/mailbox.h in memory, for tests of the IMAP
 * server alone: what it shows is decided by the test, what it is asked for is
 * counted, and it fails on demand. One home at a time.
 *
 * Linked into the tests that the Makefile names, in front of the engine's.
 */
#ifndef AEROSTORE_TESTS_IMAP_FAKE_MAILBOX_H
#define AEROSTORE_TESTS_IMAP_FAKE_MAILBOX_H

#include "engine/mailbox/mailbox.h"

#define FAKE_FOLDERS_MAX 32u
#define FAKE_VIEWS_MAX 8u
#define FAKE_ARRIVAL_MS 1000000000000u /* 09-Sep-2001 01:46:40 +0000 */
#define FAKE_NAME_MAX 256u

struct fake_message {
	uint32_t uid;
	struct flags flags;
	bool expunged, recent;
	uint64_t arrival_ms;
	int16_t zone_minutes;
	struct buf data, summary;
};

struct fake_folder {
	char name[FAKE_NAME_MAX];
	bool exists, subscribed;
	enum special_use special_use;
	uint32_t uidnext, uidvalidity;
	struct fake_message **messages;
	size_t count, capacity;
	const char *keywords[KEYWORD_MAX];
	char keyword_text[KEYWORD_MAX][64];
	size_t keyword_count, keyword_max;
};

struct mailbox {
	struct home *home;
	size_t users;
};

struct home {
	struct env *env;
	struct mailbox mailbox;
	struct fake_folder folders[FAKE_FOLDERS_MAX];
	size_t folder_count;
	struct folder_info infos[FAKE_FOLDERS_MAX];
	struct folder_list list;
	struct view *views[FAKE_VIEWS_MAX];
	bool telling;
	/* Counted. */
	uint64_t reads, summaries, stores;
	/* The n-th read fails from now on (1: the next); 0: none. */
	uint64_t failing_read;
	enum err read_error, store_error;
	uint64_t read_delay_ms; /* of every read */
	/* Expunges this message of the first folder in the middle of the next summary. */
	struct fake_message *vanishing;
};

void fake_init(struct home *home, struct env *env);
/* Nobody may be logged in. */
void fake_finish(struct home *home);
/* The folder of that name; made when there is none, not yet existing to clients. */
struct fake_folder *fake_folder(struct home *home, const char *name);
/* Puts a message last in the folder. */
struct fake_message *fake_add(struct home *home, struct fake_folder *folder, struct bytes data,
			      uint8_t system, uint64_t arrival_ms, int16_t zone_minutes);
/* After a test has changed something by itself: sessions in IDLE are told. */
void fake_changed(struct home *home);

#endif
