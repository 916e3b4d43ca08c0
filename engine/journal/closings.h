/* SPDX-License-Identifier: MPL-2.0 */
/*
 * closings - the incarnations of blob writers that are over for good.
 *
 * A process that has ended may have uploaded blobs that no entry names yet. Its
 * node's next process closes its incarnation: a record of TABLE_NODES, durable
 * on the quorum, from which every store refuses entries that carry it. What no
 * entry has named by then is named by none ever, which is what reclaiming waits
 * for.
 *
 * Payload of the entry: u8 version 1, 7 zero, the node, a varint count, the
 * incarnations. The table only grows, by 16 bytes for each start of a node.
 *
 * INV: once closed in the table, closed in every process that has read it;
 * replicas refuse with ERR_FENCED. A resync brings what was accepted before.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_CLOSINGS_H
#define AEROSTORE_ENGINE_JOURNAL_CLOSINGS_H

#include "engine/journal/journal.h"

#define CLOSINGS_MAX 4096u /* in one entry */

/* Visits the incarnations that an entry's payload names. ERR_CORRUPT, ERR_NEWER: before any. */
MUST_USE enum err closing_decode(struct bytes payload,
				 enum err (*each)(void *context, struct id128 incarnation),
				 void *context);
/* Reads what is new in the table. */
WAITS MUST_USE enum err journal_read_closings(struct journal *journal);
/* Durable, and refused here, when it returns ERR_OK. `signing` may be NULL. */
WAITS MUST_USE enum err journal_close_incarnations(struct journal *journal,
						   const struct key *signing, struct id128 node,
						   const struct id128 *incarnations, size_t count);
bool journal_incarnation_is_closed(const struct journal *journal, struct id128 incarnation);

#endif
