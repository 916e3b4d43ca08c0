/* SPDX-License-Identifier: MPL-2.0 */
/*
 * salvage - a sealed set of which more is damaged than its parity covers: every
 * record that can still be read, from its column or from any k others, goes into a
 * born-sealed successor, and what cannot is said there as an explicit loss. Then
 * the set is retired (engine/set/handover.h), and what is left of it is whole again.
 *
 * A loss is final only when nobody is silent: while a volume is away, or does not
 * answer, nothing is done. A crash costs a repetition, or leaves a sealed successor
 * that recovery puts in the set's place.
 */
#ifndef AEROSTORE_ENGINE_SET_SALVAGE_H
#define AEROSTORE_ENGINE_SET_SALVAGE_H

#include "engine/set/blobs_private.h"

/*
 * ERR_UNAVAILABLE: somebody is silent, or too few volumes live for a successor; ERR_CORRUPT: not
 * even an index is left, which is for aerofsck; ERR_NOSPACE; ERR_NOTFOUND: the set has gone.
 */
WAITS MUST_USE enum err salvage_set(struct blobs *blobs, uint64_t set);

#endif
