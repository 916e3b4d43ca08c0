/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stream - what one replica holds of one stream, and where it lies: entries,
 * manifests, pages, the promised epoch. Pure memory.
 *
 * INV 1  A stream's state is the join of the records that were put into it, in
 *        any order, any number of times: scanning segments anew, records that
 *        were written forward, and an index that is behind all give one state.
 * INV 2  Of an incarnation, `contiguous` is the highest seq up to which every
 *        entry is held, or is covered by a complete manifest held here. Entries
 *        above a gap may be held; they are in no vector.
 * INV 3  An entry is let go only when a complete manifest held here covers it
 *        (`dropped`), or when its bytes were found damaged.
 * INV 4  A manifest is complete when all its pages are held. It goes only when
 *        a complete one dominates it: covers its vector, and has the higher
 *        (epoch, id) when the vectors are equal.
 * INV 5  A page goes when no manifest held names it and a complete manifest of
 *        at least its epoch is there: pages that wait for their manifest stay.
 *
 * Every change of what is held tells the ledger, so that it knows how many live
 * bytes each segment has.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_STREAM_H
#define AEROSTORE_ENGINE_JOURNAL_STREAM_H

#include "engine/base/hash.h"
#include "engine/format/record.h"
#include "engine/journal/journal.h"

/* A record: segment 0 means none. `hash`: the low half of its payload's. */
struct location {
	uint64_t segment, hash;
	uint32_t offset, payload_size;
};

struct ledger {
	/* `size` bytes of records became live (positive) or dead (negative) in a segment. */
	void (*change)(struct ledger *ledger, uint64_t segment, int64_t size);
	uint64_t entries;   /* held */
	uint64_t truncated; /* let go because a manifest covers them */
};

/* A gap wider than this is refused: memory is bounded whatever a peer sends. */
#define STREAM_GAP_MAX (4u * 1024 * 1024)
#define STREAM_INCARNATION_MAX 65536u
#define STREAM_MANIFEST_MAX 64u
#define STREAM_PAGE_MAX 65536u
/* Entries whose locations share one value of the index. */
#define STREAM_CHUNK 64u

struct stream_incarnation {
	struct id128 id;
	uint64_t dropped;    /* entries up to here are covered, and gone */
	uint64_t contiguous; /* >= dropped */
	uint64_t first;	     /* seq of locations[0] */
	struct location *locations;
	size_t count, capacity;
	/* The catalog's: seqs whose locations the index lacks; dirty_low > dirty_high: none. */
	uint64_t dirty_low, dirty_high;
	uint64_t indexed_low; /* the lowest chunk in the index; UINT64_MAX: none */
};

struct stream_manifest {
	struct id128 id;
	uint64_t epoch;
	struct vector vector;
	struct id128 *pages;
	size_t page_count;
	struct location location;
	bool complete;
};

struct stream_page {
	struct id128 id;
	uint64_t epoch;
	struct location location;
};

struct stream {
	struct id128 id;
	uint64_t promise_epoch;
	struct id128 promise_home;
	struct location promise;
	struct stream_incarnation
		*incarnations; /* by first arrival; never removed: indices are stable */
	size_t incarnation_count;
	struct stream_manifest *manifests;
	size_t manifest_count;
	struct stream_page *pages;
	size_t page_count;
	struct ledger *ledger;
	uint64_t digest; /* as last given to the catalog's group digest */
	bool dirty, digest_stale;
	size_t pins;   /* users across waits: not evicted */
	uint64_t used; /* the catalog's clock, for eviction */
};

struct stream *stream_create(struct id128 id, struct ledger *ledger);
void stream_destroy(struct stream **stream);
void stream_manifest_finish(struct stream_manifest *manifest);

/* NULL when it has none yet. */
struct stream_incarnation *stream_find(const struct stream *stream, struct id128 incarnation);
/* Adds it when absent; *index stays valid, pointers only until the next addition. ERR_LIMIT. */
MUST_USE enum err stream_incarnation(struct stream *stream, struct id128 incarnation,
				     size_t *index);
/* NULL when the entry is not held. */
const struct location *stream_entry(const struct stream_incarnation *incarnation, uint64_t seq);

/* Joins. What is held already, with the same bytes, moves to the new location. ERR_CONFLICT: other
 * bytes. */
MUST_USE enum err stream_put_entry(struct stream *stream, struct id128 incarnation, uint64_t seq,
				   const struct location *location);
/* Takes over vector and pages of `manifest` where it keeps them, and leaves it empty then. */
MUST_USE enum err stream_put_manifest(struct stream *stream, struct stream_manifest *manifest);
MUST_USE enum err stream_put_page(struct stream *stream, const struct stream_page *page);
/* Keeps the highest (epoch, home). */
void stream_put_promise(struct stream *stream, uint64_t epoch, struct id128 home,
			const struct location *location);
/*
 * Whatever the record is, as it lies in that segment. `manifest`: what a RECORD_MANIFEST says,
 * taken over as by stream_put_manifest(). Types that no stream keeps change nothing.
 */
MUST_USE enum err stream_put_record(struct stream *stream, const struct record *record,
				    uint64_t segment, struct stream_manifest *manifest);

/* The bytes at the location were found damaged: whatever lies there is not held any more. */
void stream_lose(struct stream *stream, const struct location *location);
const struct stream_manifest *stream_manifest(const struct stream *stream, struct id128 id);
const struct stream_page *stream_page(const struct stream *stream, struct id128 id);
/* INV 4: whether a manifest (vector, epoch, id) dominates another. */
bool manifest_dominates(const struct vector *vector, uint64_t epoch, struct id128 id,
			const struct vector *other_vector, uint64_t other_epoch,
			struct id128 other_id);
/* Whether a complete manifest held dominates one with this vector, epoch and id. */
bool stream_dominates(const struct stream *stream, const struct vector *vector, uint64_t epoch,
		      struct id128 id);
/* Entries held, of all incarnations. */
uint64_t stream_entry_count(const struct stream *stream);
MUST_USE enum err stream_vector(const struct stream *stream, struct vector *out);
/* The same for two replicas that hold the same: vector, promise, complete manifests. */
uint64_t stream_digest(const struct stream *stream);

/* ---- encodings for the index ---- */

void stream_encode(const struct stream *stream, struct buf *out);
/* Into a fresh stream, without locations of entries. ERR_CORRUPT: the index is to be rebuilt. */
MUST_USE enum err stream_decode(struct stream *stream, struct bytes encoded);
/* The locations of seqs [chunk * STREAM_CHUNK, + STREAM_CHUNK); appends nothing when there are
 * none. */
void stream_encode_chunk(const struct stream_incarnation *incarnation, uint64_t chunk,
			 struct buf *out);
/* Does not tell the ledger: what the index holds is counted in it. */
MUST_USE enum err stream_decode_chunk(struct stream *stream, size_t incarnation_index,
				      uint64_t chunk, struct bytes encoded);
/* One location of a chunk. */
MUST_USE enum err stream_load_entry(struct stream_incarnation *incarnation, uint64_t seq,
				    const struct location *location);

#endif
