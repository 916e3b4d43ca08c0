/* SPDX-License-Identifier: MPL-2.0 */
/*
 * liveness - who is dead: the one place that decides that a blob may go.
 *
 * It needs no key and knows no mailbox: references are what manifests, their
 * pages and journal entries say in clear, and what a home says of its memory.
 *
 * A blob of account A, uploaded as number n of incarnation I, is dead when all of
 * this holds at once, and once it holds it holds for ever:
 *
 *  (a) every replica of A's stream holds the same manifest M, and no sibling of
 *      it; or none holds any: then M stands for nothing and refers to nothing.
 *  (b) neither M, nor one of its pages, nor an entry outside its vector names it.
 *  (c) its upload is over: I is this process's incarnation and n is below its
 *      floor, or I is closed (engine/journal/closings.h). An upload is held open
 *      until its entry is acknowledged or given up.
 *  (d) every volume of the layout has answered: that it counts, that it has
 *      nothing of the stream beyond what the others have, and what lies outside
 *      M's vector. No entry of this process for A is under way that nobody
 *      holds yet; and the home of A, where A is loaded, is not about to name
 *      anything, and does not have the blob in its state.
 *
 * Why that is for ever: whatever is named later is named by an entry or manifest
 * made later, by a home. A home names blobs that it uploads then (c), and
 * blobs in its state: which is asked (d), or will be loaded from M and the
 * entries outside it (b).
 *
 * An account that was deleted (a tombstone signed by the administrator, and
 * durable) refers to nothing; (c) holds as for others, and no session may have
 * it loaded. A tag that no account has counts as deleted when the account table
 * is the same on every volume. One silent volume, and nothing is dead.
 *
 * In a cluster (c) and (d) are questions to every node of the active layouts.
 *
 * Memory: the references of one account at a time, 16 bytes each, 32 in a walk.
 * Cost of judging n records of a accounts: reading the manifests, pages and recent
 * entries of a accounts, and sorting n records.
 */
#ifndef AEROSTORE_ENGINE_RECLAIM_LIVENESS_H
#define AEROSTORE_ENGINE_RECLAIM_LIVENESS_H

#include "engine/base/map.h"
#include "engine/journal/journal.h"
#include "engine/set/compact.h"

struct reclaim_account {
	struct id128 id, tag, stream;
	bool deleted; /* for good */
};

/* Accounts and homes: what is above this layer, and is asked through these. */
struct reclaim_source {
	/* Every account that this process knows of. Does not wait. */
	enum err (*accounts)(void *context,
			     enum err (*each)(void *each_context,
					      const struct reclaim_account *account),
			     void *each_context);
	/* As accounts_verify() (engine/account/accounts.h). */
	WAITS enum err (*verify)(void *context, struct id128 *silent);
	/* As home_references() (engine/mailbox/mailbox.h). */
	enum err (*references)(void *context, struct id128 account,
			       enum err (*each)(void *each_context, const struct blob_ref *blob),
			       void *each_context);
	void *context;
};

/* What keeps something from being judged. */
struct reclaim_obstacle {
	enum err err;	     /* ERR_OK: none */
	struct id128 volume; /* that is silent; zero: none in particular */
	struct id128 tag;    /* of the account; zero: all of them */
	size_t accounts;     /* so many cannot be judged now */
};

struct liveness_judge {
	struct journal *journal;
	struct blobs *blobs;
	const struct layout *layout;
	struct reclaim_source source;
	struct reclaim_obstacle obstacle;
};

/* One volume of the layout does not serve: nothing will be found dead, so do not begin. */
bool liveness_is_held_up(struct liveness_judge *judge);
/* An error that says: not now, as against no memory and being canceled. */
bool liveness_is_passing(enum err err);
/* Something cannot be judged; `volume` and `tag` as in the obstacle. */
void liveness_note_obstacle(struct liveness_judge *judge, enum err err, struct id128 volume,
			    struct id128 tag);
/*
 * Sets the liveness of each record, and sorts them by account. ERR_OK also when some stay UNKNOWN;
 * then the obstacle says why. ERR_NOMEM, ERR_CANCELED.
 */
WAITS MUST_USE enum err liveness_judge(struct liveness_judge *judge, struct compact_record *records,
				       size_t count);
/*
 * Visits what all accounts refer to, an account after the other: what an estimate is made of. Each
 * blob once, in each set where it was born: with the bytes of its records there. Of accounts that
 * cannot be asked now only what was found; they are counted in the obstacle.
 */
WAITS MUST_USE enum err liveness_walk(struct liveness_judge *judge,
				      enum err (*each)(void *context, uint64_t set, uint64_t size),
				      void *context);

#endif
