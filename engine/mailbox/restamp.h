/* SPDX-License-Identifier: MPL-2.0 */
/*
 * restamp - what R4 asks of a state: which messages get a new UID, which a new
 * modseq, so that whoever was told a UIDNEXT or a HIGHESTMODSEQ by any home
 * learns everything from any other (docs/decisions.md "Re-stamping").
 *
 * Pure: looks at the state alone. There is one rule:
 *
 *   A message gets a new UID, above all seen, when some horizon (horizon.h) of
 *   another writer does not cover the entry that gave its present one, and that
 *   entry's writer did not know that horizon to be over. It gets a new modseq
 *   when the same is so of the entry that touched it last. If it is so of the
 *   entry that took messages away last, HIGHESTMODSEQ rises and nothing else.
 *
 * Why that is enough, and each part of it needed: docs/decisions.md. That UIDs or
 * modseqs were told there which are higher than the message's need not be asked:
 * the writer of an entry that knows a horizon to be over knows all that was given
 * out under it, and gives out more.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_RESTAMP_H
#define AEROSTORE_ENGINE_MAILBOX_RESTAMP_H

#include "engine/mailbox/account_state.h"

enum restamp { RESTAMP_NOTHING, RESTAMP_MODSEQ, RESTAMP_UID };

enum restamp restamp_message(const struct account_state *state,
			     const struct message_state *message);
bool restamp_removals(const struct account_state *state, const struct collection *messages);
/* How many UIDs the folder's messages need. *any: something is asked there. */
uint32_t restamp_count(const struct account_state *state, const struct collection *messages,
		       bool *any);

/* Whether anything is asked, anywhere. */
bool restamp_any(const struct account_state *state);

/* Where what is asked goes: operations, of which UIDs come in ascending order. */
struct restamp_sink {
	uint32_t (*take_uid)(void *context, struct id128 folder);
	enum err (*put)(void *context, const struct operation *operation);
	void *context;
};

/* Says all that is asked in the folder. It takes restamp_count() UIDs. */
MUST_USE enum err restamp_put(const struct account_state *state, const struct folder *folder,
			      const struct restamp_sink *sink);

#endif
