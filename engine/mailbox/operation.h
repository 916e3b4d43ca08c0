/* SPDX-License-Identifier: MPL-2.0 */
/*
 * operation - the codec of what an operation entry says (docs/format.md
 * "Operations").
 *
 * An entry's plaintext is a head and a list of operations that take effect
 * together or not at all: MOVE is an ADD in one folder and an EXPUNGE in the
 * other. The head carries the entry's clock, which is the modseq of all it
 * touches and, with the writer's incarnation, the stamp of every
 * last-writer-wins register it sets; and, on a writer's first entry and after
 * each merge, its causal context (horizon.h). What is too much for one entry is
 * said in several that follow each other, a *group*: all but the last are said
 * to be continued, and they take effect with the last one, or never.
 *
 * Messages are named by UIDs (any stamp they ever had): one (folder, UID) names
 * at most one message for all time, and runs keep an operation on a whole
 * folder small. INV: a run holds only UIDs that its writer had seen in use, so
 * that it never reaches a message that the writer did not know.
 *
 * Decoding checks shapes and limits; it borrows from its input.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_OPERATION_H
#define AEROSTORE_ENGINE_MAILBOX_OPERATION_H

#include "engine/blob.h"
#include "engine/journal/journal.h"

#define FOLDER_NAME_MAX 1024u
#define KEYWORD_NAME_MAX 255u
#define RUNS_MAX 65536u

enum operation_kind {
	OPERATION_FOLDER = 1, /* a folder is made */
	OPERATION_FOLDER_NAME = 2,
	OPERATION_FOLDER_DELETE = 3,
	OPERATION_FOLDER_KEY = 4, /* an epoch key, new or wrapped anew */
	OPERATION_SUBSCRIBE = 5,
	OPERATION_ADD = 6,
	OPERATION_EXPUNGE = 7,
	OPERATION_FLAGS = 8,
	OPERATION_STAMP = 9,	/* a further UID for a message (R4) */
	OPERATION_TOUCH = 10,	/* a new modseq for messages; without any: for what went (R4) */
	OPERATION_RESERVE = 11, /* UIDs up to here are somebody's (R1) */
	OPERATION_RECENT = 12,	/* below this UID nothing is \Recent */
	OPERATION_DRAINED = 13, /* deliveries up to here are in, or refused */
	OPERATION_DROPPED = 14, /* a delivery that is a repetition: its id is a tombstone */
	OPERATION_CACHE = 15	/* a block of summaries that ADDs of this entry point at */
};

struct uid_run {
	uint32_t first, count;
};

/* Encoded names: varint count, then blocks. */
struct name_list {
	struct bytes encoded;
	size_t count;
};

struct operation_folder {
	struct bytes name;
	uint8_t special_use;
	uint32_t uidvalidity;
	bool fixed; /* INBOX: neither renamed nor deleted */
};

struct operation_key {
	uint32_t epoch; /* random: names the key within the folder */
	uint8_t wrapped[WRAPPED_KEY_SIZE];
};

struct operation_add {
	struct id128 id;
	uint32_t uid;
	struct blob_ref blob;
	uint32_t epoch;
	uint8_t wrapped_key[WRAPPED_KEY_SIZE];
	uint64_t size, arrival_ms;
	int16_t zone_minutes;
	uint8_t system;
	struct name_list keywords;
	bool delivered;		      /* drained: may be added by another home, too */
	uint8_t transaction_hash[16]; /* of delivered ones */
	struct id128 cache;	      /* block that holds the summary; zero: none yet */
	struct bytes summary;	      /* empty when in a block, or with the message copied from */
};

struct operation_flags {
	uint8_t system_set, system_clear;
	struct name_list keywords_set, keywords_clear;
};

struct operation_drained {
	struct id128 incarnation;
	uint64_t seq;
	uint8_t digest[32]; /* of that entry's signed part: what the next one's chain must name */
};

struct operation {
	enum operation_kind kind;
	struct id128 folder;	    /* zero where there is none */
	const struct uid_run *runs; /* EXPUNGE, FLAGS, TOUCH */
	size_t run_count;
	union {
		struct operation_folder create;
		struct operation_key key;
		struct bytes name; /* FOLDER_NAME */
		struct {
			struct bytes name;
			bool subscribed;
		} subscribe;
		struct operation_add add;
		struct operation_flags flags;
		struct {
			uint32_t old_uid, new_uid;
		} stamp;
		uint32_t uid; /* RESERVE, RECENT */
		struct operation_drained drained;
		struct id128 dropped;
		struct {
			struct blob_ref blob;
			uint8_t wrapped_key[WRAPPED_KEY_SIZE];
		} cache;
	};
};

void operation_encode(const struct operation *operation, struct buf *out);
/* names[i] as blocks into `storage`, which the list borrows. */
void name_list_make(const struct bytes *names, size_t count, struct buf *storage,
		    struct name_list *out);
/* Read the names with cursor_block() while cursor_left(). */
struct cursor name_list_cursor(const struct name_list *list);

/* What stands before the operations of an entry. */
struct operation_head {
	uint64_t clock;
	uint8_t previous[32];	      /* chain: entry_place.previous */
	const struct vector *context; /* NULL: as before */
	struct id128 node;	      /* with a context: the home's */
	bool mended;		      /* with a context: R4 is done, and these writers have ended */
	const struct id128 *ended;
	size_t ended_count;
	bool continues; /* the next entry belongs to the same group */
	bool continued; /* this one belongs to the group of the one before */
};

void operation_head_encode(const struct operation_head *head, struct buf *out);

/* An entry being read. `context`, `ended` and `runs` are owned. */
struct operation_reader {
	struct cursor cursor;
	uint64_t clock;
	uint8_t previous[32];
	bool has_context;
	struct vector context;
	struct id128 node;
	bool mended;
	struct id128 *ended;
	size_t ended_count;
	bool continues, continued;
	struct uid_run *runs;
	size_t run_capacity;
};

/* ERR_CORRUPT, ERR_NEWER, ERR_NOMEM. Needs operation_reader_finish() also after an error. */
MUST_USE enum err operation_reader_begin(struct bytes plain, struct operation_reader *reader);
/* ERR_OK with *more false at the end. *out is valid until the next call. */
MUST_USE enum err operation_reader_next(struct operation_reader *reader, struct operation *out,
					bool *more);
void operation_reader_finish(struct operation_reader *reader);

#endif
