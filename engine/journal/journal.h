/* SPDX-License-Identifier: MPL-2.0 */
/*
 * journal - the client of the replicated metadata log: append, read, promise,
 * manifests, watch. Design section 4.
 *
 * A stream is the entries of one account, or of one table of the cluster's.
 * Each writer (struct journal_writer) has an incarnation of 128 random bits and
 * numbers its entries in each stream from 1. An entry is durable when `quorum`
 * of the group's designated replicas have synced it. Replicas are volumes.
 *
 * INV 1  One append in flight per stream and writer; what comes meanwhile waits
 *        and goes with the next one as a batch. A failed append is retried
 *        unchanged; the same (incarnation, seq) with other bytes is refused by
 *        every replica with ERR_CONFLICT and an alarm.
 * INV 2  A vector says, per incarnation, the highest seq up to which a replica
 *        holds every entry. Reading is complete when at most W-1 designated
 *        replicas are silent.
 * INV 3  Entries with an epoch below what a replica has promised are refused
 *        (ERR_FENCED). Epoch 0 (deliveries) is never fenced.
 * INV 4  A replica drops an entry only when it holds, synced, a complete
 *        manifest whose vector covers it.
 * INV 5  A read visits what a quorum holds. What fewer hold is written back to
 *        a quorum first, or is an append of this process that is still under
 *        way and left out until it is acknowledged. Only where fewer replicas
 *        answer than an append needs, what they hold is visited as it is.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_JOURNAL_H
#define AEROSTORE_ENGINE_JOURNAL_JOURNAL_H

#include "engine/blob.h"
#include "engine/layout/layout.h"
#include "engine/wire.h"

struct journal;
struct journal_writer;

enum entry_kind {
	ENTRY_DELIVERY = 1,  /* sealed to the account's delivery key, by a delivering node */
	ENTRY_OPERATION = 2, /* sealed under the account's directory key, by its home */
	ENTRY_TABLE = 3	     /* clear, signed: one of the cluster's tables */
};

#define ENTRY_PAYLOAD_MAX (1024u * 1024)
#define ENTRY_BLOB_MAX 1024u

/* Vector: incarnation -> highest contiguous seq. Sorted by incarnation. */
struct vector_item {
	struct id128 incarnation;
	uint64_t seq;
};

struct vector {
	struct vector_item *items;
	size_t count, capacity;
};

void vector_finish(struct vector *vector);
uint64_t vector_get(const struct vector *vector, struct id128 incarnation);
/* Raises to `seq` when higher. */
MUST_USE enum err vector_raise(struct vector *vector, struct id128 incarnation, uint64_t seq);
/* As if it had never been raised for it. */
void vector_forget(struct vector *vector, struct id128 incarnation);
MUST_USE enum err vector_merge(struct vector *vector, const struct vector *other);
/* a covers all of b. */
bool vector_covers(const struct vector *a, const struct vector *b);
MUST_USE enum err vector_copy(const struct vector *from, struct vector *to);
void vector_encode(const struct vector *vector, struct buf *out);
MUST_USE enum err vector_decode(struct cursor *cursor, struct vector *out);

/* The clear part of an entry, as read. Borrowed while the callback runs. */
struct entry {
	uint8_t group;
	struct id128 stream;
	enum entry_kind kind;
	uint64_t epoch;
	struct id128 incarnation;
	uint64_t seq;
	uint64_t floor;		       /* oldest open upload of the blob writer below */
	struct id128 blob_incarnation; /* zero when no blob is named */
	const struct blob_ref *blobs;  /* named in clear: ids and extents */
	size_t blob_count;
	struct id128 signer;		   /* the writer's node; zero: its entries are not signed */
	uint8_t signature[SIGNATURE_SIZE]; /* zeros: a later one of its batch vouches for it */
	struct bytes payload;
	struct bytes signed_part; /* what the signature covers: clear part and payload */
};

/* Where an entry will stand: known only when its turn comes, and sealed into it. */
struct entry_place {
	uint8_t group;
	struct id128 stream, incarnation;
	uint64_t seq;
	/* digest_256 of the writer's previous entry's signed part in this stream; zeros: the first */
	uint8_t previous[32];
};

struct journal_append {
	struct id128 stream;
	enum entry_kind kind;
	uint64_t epoch;
	uint64_t floor;
	struct id128 blob_incarnation;
	const struct blob_ref *blobs;
	size_t blob_count;
	size_t quorum; /* 0: W; else at least this many replicas, max(W, quorum) */
	/*
	 * Appends the payload, knowing the place. Must not wait. An error fails this append only and
	 * uses up no seq. Called exactly once.
	 */
	enum err (*seal)(void *context, const struct entry_place *place, struct buf *payload);
	void *context;
	uint64_t seq; /* out */
};

/*
 * A writer of this process: `signing` (may be NULL) signs the last entry of each batch in a
 * stream, which by the chain of digests inside vouches for those before it; `signer` names the node.
 */
MUST_USE enum err journal_writer_create(struct journal *journal, const struct key *signing,
					struct id128 signer, struct journal_writer **out);
void journal_writer_destroy(struct journal_writer **writer);
struct id128 journal_writer_incarnation(const struct journal_writer *writer);
/*
 * Durable on the quorum when it returns ERR_OK. ERR_UNAVAILABLE, ERR_NOSPACE, ERR_CANCELED: not
 * acknowledged; the entry may still appear, once, as its bytes are sent again until they find their
 * quorum. ERR_FENCED, ERR_CONFLICT: the writer is of no more use in this stream; a home that gets a
 * new epoch takes a new writer.
 */
WAITS MUST_USE enum err journal_append(struct journal_writer *writer,
				       struct journal_append *append);
/*
 * Waits until no append with an epoch is under way in the stream by any writer of this process: what
 * failed has found its quorum, or its writer was fenced and does not send it any more. A home does
 * this before it promises anew: its own promise would fence what it had failed to append, whose
 * outcome nobody would know then. ERR_UNAVAILABLE, ERR_NOSPACE: it is still under way.
 */
WAITS MUST_USE enum err journal_resolve(struct journal *journal, struct id128 stream);

/*
 * Visits entries outside `after` (may be NULL: all), each incarnation in seq order, incarnations by
 * first arrival at the replica read; every entry once. *complete says whether enough replicas
 * answered. `seen` (may be NULL) is raised over what was visited. Reads in batches of at most
 * `limit` entries: returns ERR_OK with *more set when there are further ones. ERR_STALE: entries
 * outside `after` are covered by a manifest that `after` does not know: load the manifests again.
 * With `after` NULL those are left out. ERR_UNAVAILABLE: no replica answered, or what must be
 * written back (INV 5) could not be.
 */
WAITS MUST_USE enum err journal_read(struct journal *journal, struct id128 stream,
				     const struct vector *after, size_t limit,
				     enum err (*each)(void *context, const struct entry *entry),
				     void *context, struct vector *seen, bool *complete,
				     bool *more);

/* What came of a promise. */
struct promise_result {
	uint64_t promised; /* the highest met */
	/* Nodes with a designated replica that did not promise: homes there may go on. */
	struct id128 silent[LAYOUT_REPLICAS];
	size_t silent_count;
};

/* Raises the promised epoch of a stream on a majority. ERR_FENCED when one is higher. */
WAITS MUST_USE enum err journal_promise(struct journal *journal, struct id128 stream,
					uint64_t epoch, struct id128 home,
					struct promise_result *result);
/* The highest epoch promised by any of a majority of replicas; 0 when none. */
WAITS MUST_USE enum err journal_epoch(struct journal *journal, struct id128 stream,
				      uint64_t *epoch);

/*
 * What every designated replica of the stream holds, or let go because a manifest covers it
 * (*stable), and what any of them holds (*known); both empty before. ERR_UNAVAILABLE: one is silent
 * or does not count, or some volume is away, so that nobody knows.
 */
WAITS MUST_USE enum err journal_stable(struct journal *journal, struct id128 stream,
				       struct vector *stable, struct vector *known);

/* ---- manifests and pages ---- */

struct manifest_page {
	struct id128 id;	      /* random, fresh for each content */
	const struct blob_ref *blobs; /* what the page's messages refer to: clear, authenticated */
	size_t blob_count;
	struct bytes payload; /* sealed */
};

struct manifest {
	struct id128 stream;
	struct id128 id;	  /* random */
	struct id128 incarnation; /* of the home that wrote it */
	uint64_t epoch, floor;
	struct vector vector; /* entries that it stands for */
	struct id128 *pages;  /* all pages, new and reused */
	size_t page_count;
	struct blob_ref *blobs; /* FETCH cache blobs */
	size_t blob_count;
	struct bytes payload; /* sealed: the roots of the state */
};

/*
 * Pages first, synced on the quorum, then the manifest. Afterwards replicas truncate as INV 4
 * allows. ERR_STALE: pages that are to be reused are not held any more, because another home's
 * manifest was stored meanwhile; write all pages anew.
 */
WAITS MUST_USE enum err journal_put_manifest(struct journal *journal,
					     const struct manifest *manifest,
					     const struct manifest_page *new_pages,
					     size_t new_page_count);
/* Every manifest that no other one held dominates: none, one, or siblings. */
WAITS MUST_USE enum err
journal_manifests(struct journal *journal, struct id128 stream,
		  enum err (*each)(void *context, const struct manifest *manifest), void *context);
/* Appends the page's payload. */
WAITS MUST_USE enum err journal_read_page(struct journal *journal, struct id128 stream,
					  struct id128 page, struct buf *payload);

/* ---- watching ---- */

struct journal_watch {
	struct id128 stream;
	/* From the loop, after something new in the stream became durable here; no waiting inside. */
	void (*notify)(struct journal_watch *watch);
	void *context;
	struct journal_watch *next; /* the journal's own */
};

void journal_watch_start(struct journal *journal, struct journal_watch *watch);
void journal_watch_stop(struct journal *journal, struct journal_watch *watch);

/* ---- the cluster's tables ---- */

/* Streams with fixed ids: octets 0..14 zero, then the number. On min(R, its volumes) volumes of every node. */
enum table { TABLE_ACCOUNTS = 1, TABLE_DIRECTORY = 2, TABLE_NODES = 3, TABLE_DOMAINS = 4 };
struct id128 table_stream(enum table table);

/* What `status` shows. */
struct journal_status {
	uint64_t entries, appended, segments, bytes, truncated;
	unsigned replicas_live, write_quorum;
	unsigned volumes_tolerated; /* volume losses that lose no entry, now */
	uint64_t lagging;	    /* entries that some live designated replica lacks */
};
void journal_get_status(const struct journal *journal, struct journal_status *out);

#endif
