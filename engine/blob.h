/* SPDX-License-Identifier: MPL-2.0 */
/*
 * blob - the store of immutable ciphertexts: put one, get a range of one.
 *
 * The client of the sets. It knows no keys. A blob is named by a random id and
 * its extents: the set of birth, first piece, count; where a piece lies now is
 * the set directory's and the set index's business, so sealing, evacuation and
 * compaction change no name.
 *
 * Life of an upload:  open -> write* -> finish (durable: 1+m synced copies of every
 * piece, birth records durable) -> the caller's journal entry names it -> release.
 * Until the release the upload holds down blob_floor(), which journal entries
 * carry so that nothing in flight is taken for garbage. An upload released
 * without finish leaves dead records for compaction.
 *
 * INV: a reference is handed out by finish only, when all it names is durable.
 * Memory: an upload holds at most two pieces (2 MiB) that are not yet synced.
 */
#ifndef AEROSTORE_ENGINE_BLOB_H
#define AEROSTORE_ENGINE_BLOB_H

#include "engine/crypto/sealed.h"
#include "engine/task.h"

#define BLOB_EXTENT_MAX 64u
#define BLOB_SIZE_MAX (1ull << 32)

struct blob_extent {
	uint64_t set; /* of birth */
	uint32_t first_piece, piece_count;
};

struct blob_ref {
	struct id128 id;
	uint64_t size; /* ciphertext, all pieces */
	struct blob_extent extents[BLOB_EXTENT_MAX];
	uint32_t extent_count;
};

void blob_ref_encode(const struct blob_ref *ref, struct buf *out);
void blob_ref_decode(struct cursor *cursor, struct blob_ref *out);

struct blobs;
struct blob_upload;

/*
 * Starts an upload under the writer's incarnation and the next upload number. The id comes from
 * the sealer's name (random). ERR_UNAVAILABLE: fewer than two volumes live; ERR_NOSPACE: fewer
 * than two of those that live have room.
 */
MUST_USE enum err blob_upload_open(struct blobs *blobs, struct id128 id, struct id128 account_tag,
				   struct blob_upload **out);
/* Copies; waits for room. */
WAITS MUST_USE enum err blob_upload_write(struct blob_upload *upload, struct bytes ciphertext);
/* Durable when it returns ERR_OK. Errors: ERR_UNAVAILABLE, ERR_NOSPACE, ERR_CANCELED. */
WAITS MUST_USE enum err blob_upload_finish(struct blob_upload *upload, struct blob_ref *ref);
/* Ends it, whatever its state; sets *upload to NULL. Does not wait. */
void blob_upload_release(struct blob_upload **upload);
/* The writer's incarnation, and the oldest of its uploads not yet released (else the next number). */
struct id128 blob_incarnation(const struct blobs *blobs);
uint64_t blob_floor(const struct blobs *blobs);

/*
 * Appends ciphertext [offset, offset + size) to `out`. One read on one volume for a blob of one
 * piece; mirrors, then decoding, when that volume is slow or gone. ERR_CORRUPT: more is damaged
 * than the redundancy covers; ERR_UNAVAILABLE: not enough volumes answer now; ERR_NOTFOUND: the
 * set or the blob is unknown everywhere, though no volume is away that might know it.
 */
WAITS MUST_USE enum err blob_read(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset,
				  uint64_t size, struct buf *out);
/* As blob_read(); lends what is in memory already instead of copying it, where it is one piece's. */
WAITS MUST_USE enum err blob_lend(struct blobs *blobs, const struct blob_ref *ref, uint64_t offset,
				  uint64_t size, struct lent *out);
/* Called for each blob that is read; one watcher, NULL: none. */
void blobs_watch_reads(struct blobs *blobs, void (*read)(void *context, struct id128 blob),
		       void *context);
/* Blobs opened for reading since the start: what tests count. */
uint64_t blob_read_count(const struct blobs *blobs);

/* What is not as redundant as it should be, as of the last survey, and what was done about it. */
struct repair_status {
	uint64_t sets_degraded;	     /* sealed ones that lack a column */
	uint64_t sets_exposed;	     /* of these: another loss would lose blobs */
	uint64_t sets_unrecoverable; /* of these: too much is damaged to make a column anew */
	uint64_t columns_missing, columns_damaged;
	uint64_t columns_waiting; /* of these: for a volume to take them, or to come back */
	uint64_t bytes_left;	  /* at most: to be written */
	uint64_t columns_rebuilt, bytes_written; /* since the start */
	uint64_t sets_salvaged;	   /* since the start: beyond repair, what could be read went on */
	uint64_t bytes_per_second; /* lately; 0: none */
	bool running;
};

/* Kinds of faults that a check tells apart: enum column_fault of engine/set/column_check.h. */
#define SCRUB_FAULT_KINDS 16u

struct scrub_status {
	bool running, paused;
	uint64_t columns_checked;		     /* of the round under way */
	uint64_t columns_total;			     /* an estimate */
	uint64_t bytes_checked;			     /* in it */
	uint64_t rounds;			     /* whole ones, ever */
	uint64_t round_started_ms, last_finished_ms; /* wall clock; 0: never */
	uint64_t faults[SCRUB_FAULT_KINDS];	     /* ever, by kind */
};

/* "rotten", "lost-write": the name of a kind. */
const char *scrub_fault_name(unsigned kind);

enum scrub_order { SCRUB_START, SCRUB_PAUSE, SCRUB_RESUME };
/* Begins a round at once, from the beginning; stops; goes on where it stopped. */
void blobs_scrub(struct blobs *blobs, enum scrub_order order);

/* What `status` shows. */
struct blobs_status {
	uint64_t sets_open, sets_sealed, sets_unsealed_old; /* old: waiting for evacuation */
	uint64_t seals, evacuations, degraded_reads, mirror_reads;
	uint64_t hedged_reads; /* that went elsewhere because an answer was late */
	uint64_t records_lost; /* of which an evacuation found no valid copy */
	uint64_t bytes_stored; /* of records in data columns that are there */
	struct profile_status {
		uint8_t k, m;
	} profile; /* of the foreground writer's set now; {0,0}: none possible */
	/* How many more volume losses lose no blob, now, from what is. */
	unsigned volumes_tolerated;
	struct repair_status repair;
	struct scrub_status scrub;
};
void blobs_get_status(const struct blobs *blobs, struct blobs_status *out);
/* Answers far later than the best volumes do, or not at all: others are used where one can. */
bool blobs_is_slow(const struct blobs *blobs, struct id128 volume);

#endif
