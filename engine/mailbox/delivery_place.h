/* SPDX-License-Identifier: MPL-2.0 */
/*
 * delivery_place - what of a delivery entry is in clear, bound to its envelope.
 *
 * The associated data of the envelope: whoever moves a sealed delivery to
 * another account, place in the stream, or blob, changes these and it does not
 * open. Made by the delivering agent from where its entry will stand, and by
 * the drain from the entry as read.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_DELIVERY_PLACE_H
#define AEROSTORE_ENGINE_MAILBOX_DELIVERY_PLACE_H

#include "engine/blob.h"

struct delivery_place {
	struct id128 account, stream, incarnation, blob_incarnation;
	uint64_t seq, floor;
	const struct blob_ref *blob;
};

void delivery_place_encode(const struct delivery_place *place, struct buf *out);

#endif
