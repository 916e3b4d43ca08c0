/* SPDX-License-Identifier: MPL-2.0 */
/*
 * member - the store's side of the sets: serves the WIRE_SET operations
 * (engine/set/call.h) of one volume over the columns that lie on it.
 *
 * All state comes from the files alone: member_open() reads every header, the
 * trailers of sealed columns, and every record of unsealed ones. It knows no
 * other volume and decides nothing alone: an unfinished tail stays until
 * somebody who has asked the copies orders SET_TRUNCATE. One exception: what
 * follows a vote can only be an unfinished footer, which is dropped at once.
 *
 * INV 1  What set_member (engine/set/protocol.h) forbids is not done.
 * INV 2  Memory: O(columns), an index per unsealed column, a bounded number of
 *        open files and cached index pages.
 * INV 3  A column whose write failed takes no more writes until the next start.
 */
#ifndef AEROSTORE_ENGINE_SET_MEMBER_H
#define AEROSTORE_ENGINE_SET_MEMBER_H

#include "engine/volume/volume.h"
#include "engine/wire.h"

struct member;

/* Reads what is there and serves it. Borrows volume and wire, which outlive it. */
WAITS MUST_USE enum err member_open(struct volume *volume, struct wire *wire, struct member **out);
struct id128 member_volume(const struct member *member);
/* Stops serving, waits for what is under way. */
WAITS void member_close(struct member **member);
/* Bytes of records in the data columns that are here. */
uint64_t member_stored(const struct member *member);

#endif
