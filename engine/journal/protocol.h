/* SPDX-License-Identifier: MPL-2.0 */
/*
 * protocol - the journal's calls on the wire: what its client asks of the
 * volumes that hold replicas.
 *
 * Inputs are values and references; a call is freed by who made it, after
 * `done`. Outputs that are `struct shared` belong to the caller afterwards.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_PROTOCOL_H
#define AEROSTORE_ENGINE_JOURNAL_PROTOCOL_H

#include "engine/format/record.h"
#include "engine/journal/journal.h"

enum journal_operation {
	JOURNAL_APPEND = WIRE_JOURNAL + 1,
	JOURNAL_READ,
	JOURNAL_STATE,
	JOURNAL_PROMISE,
	JOURNAL_PUT,
	JOURNAL_GET,
	JOURNAL_DIGESTS,
	JOURNAL_LIST,
	JOURNAL_HELLO,
	JOURNAL_MARK
};

/* Up to where a volume's journal is synced. */
struct journal_position {
	uint64_t segment, offset;
};

/* a < b: -1, 0, 1. */
int journal_position_compare(struct journal_position a, struct journal_position b);

/* What is known of how far the volumes were synced: the payload of a RECORD_MARK. */
struct mark {
	struct id128 volume;
	struct journal_position position;
};

struct marks {
	struct mark *items;
	size_t count;
	bool counted; /* the volume that this lies on has all that it should have */
};

void marks_finish(struct marks *marks);
/* Raises the position of a volume; false: it was there already, or further. ERR_NOMEM keeps the
 * old. */
bool marks_raise(struct marks *marks, struct id128 volume, struct journal_position position);
struct journal_position marks_get(const struct marks *marks, struct id128 volume);
void marks_encode(const struct marks *marks, struct buf *out);
/* Merges into *marks, and takes over `counted`. ERR_CORRUPT, ERR_NEWER, ERR_NOMEM. */
MUST_USE enum err marks_merge_encoded(struct marks *marks, struct bytes encoded);

/* One entry or page on its way: its bytes and their hash, computed once for all replicas. */
struct journal_item {
	struct shared *bytes;
	struct hash128 hash;
};

/*
 * Entries [first_seq, first_seq + count) of one writer in one stream. Answered when all are synced.
 * ERR_STALE: the replica lacks entries before them, and has none of them stored; ERR_FENCED;
 * ERR_CONFLICT; ERR_NOSPACE.
 */
struct journal_append_call {
	struct wire_call wire;
	struct id128 stream, incarnation;
	uint64_t first_seq;
	bool resync;			  /* they were accepted elsewhere: no fence, gaps allowed */
	bool again;			  /* sent before: some replica may have them already */
	struct shared *marks;		  /* what the sender knows; may be NULL */
	struct journal_position position; /* out */
	uint64_t promised;		  /* out, when ERR_FENCED */
	size_t count;
	struct journal_item items[];
};

/*
 * Entries outside `after` (an encoded vector; NULL: all that is held), up to a gap in each
 * incarnation. *entries: u32 size and entry, end to end. ERR_STALE: some of them are covered by a
 * manifest that the reader does not know.
 */
struct journal_read_call {
	struct wire_call wire;
	struct id128 stream;
	struct shared *after;
	size_t limit;
	struct shared *entries; /* out */
	bool more;		/* out */
};

/* What the replica holds of a stream: encoded, engine/journal/state.h. */
struct journal_state_call {
	struct wire_call wire;
	struct id128 stream;
	struct shared *state; /* out */
};

struct journal_promise_call {
	struct wire_call wire;
	struct id128 stream, home;
	uint64_t epoch;
	uint64_t promised; /* out, also when ERR_FENCED */
};

/* A page or a manifest. ERR_STALE: a manifest whose pages are not all held. */
struct journal_put_call {
	struct wire_call wire;
	enum record_type type; /* RECORD_PAGE, RECORD_MANIFEST */
	struct id128 stream, id, incarnation;
	uint64_t epoch;
	struct journal_item item;
};

struct journal_get_call {
	struct wire_call wire;
	enum record_type type;
	struct id128 stream, id;
	struct shared *bytes; /* out */
};

struct journal_digests_call {
	struct wire_call wire;
	uint64_t digests[LAYOUT_GROUP_COUNT]; /* out */
};

struct journal_list_call {
	struct wire_call wire;
	uint8_t group;
	struct shared *streams; /* out: ids, end to end */
};

struct journal_hello_call {
	struct wire_call wire;
	bool confirmed; /* out: it was sent a mark since it was opened */
	struct journal_position
		position;     /* out: until then, where its records ended when it was opened */
	bool counted;	      /* out */
	struct shared *marks; /* out: what it remembers of the others */
};

/* Durably: from now on the volume counts, or does not; and what is known of the others. */
struct journal_mark_call {
	struct wire_call wire;
	bool counted;
	struct shared *marks; /* may be NULL */
};

#endif
