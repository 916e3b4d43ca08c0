/* SPDX-License-Identifier: MPL-2.0 */
/*
 * merge - the join of two states of one account.
 *
 * Two homes that did not see each other may each have written a manifest; the
 * entries behind them are gone. What is made of the two states is what all
 * entries that either has seen would have made:
 *
 * INV 1  A message that only one side has stays, unless the other side has its
 *        tombstone, or has seen the entry that added it: then it saw it go.
 * INV 2  Registers, UIDs, modseqs and marks take what account_state.h says
 *        they take; sets are united.
 *
 * Pure. It is commutative, associative and idempotent but for what does not
 * count: in which order tables lie, and which of several entries that expunged
 * a message its tombstone names.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_MERGE_H
#define AEROSTORE_ENGINE_MAILBOX_MERGE_H

#include "engine/mailbox/account_state.h"

/*
 * `from` becomes part of `into`; it is only read, and can be finished afterwards. Neither holds
 * entries back. Their cache blocks have the same numbers; `into`'s listener is told of messages of
 * either that point at a block no longer. ERR_NOMEM: `into` is not defined any more.
 */
MUST_USE enum err account_state_merge(struct account_state *into, const struct account_state *from);

#endif
