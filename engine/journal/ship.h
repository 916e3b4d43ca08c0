/* SPDX-License-Identifier: MPL-2.0 */
/*
 * ship - what one volume holds of a stream, to another that lacks it, byte for
 * byte as it was accepted. The resync makes replicas equal with it, and readers
 * what they show durable (settle.c).
 *
 * It is not fenced: the records exist, and every replica must tell the same.
 * What the target has already is not written again.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_SHIP_H
#define AEROSTORE_ENGINE_JOURNAL_SHIP_H

#include "engine/journal/journal_private.h"

struct shipment {
	struct journal *journal;
	struct id128 stream, source, target;
	uint64_t shipped; /* records, up to now */
};

/*
 * Every entry of the source outside `have`, synced at the target. ERR_STALE: some are covered by a
 * manifest that `have` does not know; ERR_CORRUPT, ERR_IO: the source cannot read them.
 */
WAITS MUST_USE enum err ship_suffixes(struct shipment *shipment, const struct vector *have);
/* The pages that the target (its state) lacks, then the manifest. */
WAITS MUST_USE enum err ship_manifest(struct shipment *shipment, struct id128 id,
				      const struct stream_state *target);

#endif
