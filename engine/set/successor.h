/* SPDX-License-Identifier: MPL-2.0 */
/*
 * successor - a born-sealed set that takes over records of others: opened,
 * filled with copies, sealed with every member's certificate, published.
 *
 *   successor_init -> successor_put* -> successor_drain -> successor_seal
 *                  -> successor_publish (for each predecessor) -> successor_close
 *
 * The set is opened with the first record. Without one there is none, and
 * nothing to seal.
 *
 * Left off before the seal it is void: recovery removes it. The predecessors
 * stay whole until it is published, so being cut off costs a repetition only.
 */
#ifndef AEROSTORE_ENGINE_SET_SUCCESSOR_H
#define AEROSTORE_ENGINE_SET_SUCCESSOR_H

#include "engine/set/blobs_private.h"

struct successor {
	struct blobs *blobs;
	struct open_set_order order;
	struct open_set *target; /* NULL: no record so far */
	uint64_t in_flight;	 /* bytes */
	enum err err;
	struct cond changed;
};

/* order->predecessors and ->content (of all records to come) are the caller's; capacity is not. */
void successor_init(struct successor *successor, struct blobs *blobs,
		    const struct open_set_order *order);
/* A whole record, valid; its reference is given, in any case. Waits while 4 MiB are under way. */
WAITS MUST_USE enum err successor_put(struct successor *successor, struct shared *record);
/* Says where the record would be that there is none. */
WAITS MUST_USE enum err successor_put_lost(struct successor *successor, uint64_t birth_set,
					   const struct column_entry *entry);
/* Waits for what is under way; gives `err`, or else what went wrong with a copy. */
WAITS MUST_USE enum err successor_drain(struct successor *successor, enum err err);
/* These two when there is a target. ERR_UNAVAILABLE: not every member holds the certificate. */
WAITS MUST_USE enum err successor_seal(struct successor *successor);
WAITS MUST_USE enum err successor_publish(struct successor *successor, uint64_t predecessor);
/* Harmless without a target. */
void successor_close(struct successor *successor);

#endif
