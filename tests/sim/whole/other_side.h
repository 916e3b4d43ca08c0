/* SPDX-License-Identifier: MPL-2.0 */
/*
 * other_side - an account whose homes are elsewhere: what two of them, which do
 * not see each other, leave in the journal that is here.
 *
 * Each names blobs in entries of its own, writes manifests that cover nothing
 * but those, and so siblings of the other's, and now and then one merges both
 * and drops some of the references. Blobs are uploaded at one time and named at
 * another; what a process that has ended had uploaded is named by a later one,
 * as if the old one had been paused and woke up, until the store refuses it. No
 * home of this node has the account loaded, so that all that keeps its blobs is
 * the rule of reclaiming.
 *
 * Oracle: what an accepted entry named, and no manifest has dropped, is readable,
 * byte for byte, at any moment and at rest.
 */
#ifndef AEROSTORE_TESTS_SIM_WHOLE_OTHER_SIDE_H
#define AEROSTORE_TESTS_SIM_WHOLE_OTHER_SIDE_H

#include "engine/blob.h"
#include "engine/journal/journal.h"
#include "tests/sim/whole/report.h"

#define OTHER_SIDES 2u

enum other_state {
	OTHER_UPLOADED, /* nothing names it */
	OTHER_NAMED,
	OTHER_GIVEN_UP /* dropped; or whether it is named is not known */
};

struct other_blob {
	struct blob_ref ref;
	struct id128 uploader; /* its incarnation */
	struct id128 writer;   /* of the entry that names it, */
	uint64_t seq;	       /* and the entry's number */
	uint64_t number;       /* its content */
	enum other_state state;
};

struct other_side {
	struct sim *sim;
	struct report *report;
	struct sim_random random;
	struct other_blob *blobs;
	size_t count, capacity;
	struct vector vectors[OTHER_SIDES]; /* what each side has seen */
	uint64_t epoch, numbers;
	bool fickle; /* reads may fail though the data is there */
	/* in one life */
	struct journal *journal;
	struct blobs *store;
	struct id128 stream, tag;
	struct journal_writer *writers[OTHER_SIDES];
	struct blob_upload *upload; /* of the last blob, while it may be named */
};

void other_side_init(struct other_side *other, struct sim *sim, struct report *report, bool fickle);
void other_side_finish(struct other_side *other);
/* Of the node's present life; both stay until other_side_stop(). */
void other_side_start(struct other_side *other, struct journal *journal, struct blobs *store,
		      struct id128 stream, struct id128 tag);
/* Harmless when it was not started. */
void other_side_stop(struct other_side *other);
/* Does one thing. */
WAITS void other_side_act(struct other_side *other);
/* One manifest that covers all there is and refers to what must stay. ERR_UNAVAILABLE: later. */
WAITS MUST_USE enum err other_side_settle(struct other_side *other);
/* The account is to be deleted: nothing of it must stay. */
void other_side_give_up(struct other_side *other);
/* Reads all that must be there. */
WAITS void other_side_check(struct other_side *other);

#endif
