/* SPDX-License-Identifier: MPL-2.0 */
/*
 * member_readback - reads a column's log back from the disk for a vote, front to
 * back and a window ahead, and verifies it record by record: places, running
 * hashes, payloads, padding. Of a mirror, the records in it.
 *
 * The work is done by jobs, so that no reply waits for it. The column takes no
 * appends meanwhile: it has a vote under way.
 */
#ifndef AEROSTORE_ENGINE_SET_MEMBER_READBACK_H
#define AEROSTORE_ENGINE_SET_MEMBER_READBACK_H

#include "engine/set/member_private.h"
#include "engine/set/parity.h"
#include "engine/set/read_ahead.h"

/* Records that lie end to end in the log: items [first, end). */
struct member_readback_window {
	size_t first, end;
	uint64_t place, size;
};

struct member_readback {
	const struct member_column *column;
	struct parity *parity; /* what verified records are added to; NULL: nothing */
	struct set_position positions[PROFILE_MEMBER_MAX];
	struct read_ahead ahead;
	struct member_readback_window coming, window;
	struct bytes bytes; /* of `window` */
	enum err err;	    /* of the job */
};

/* Borrows both. What memory holds of the log is forgotten first: the disk is asked. */
WAITS MUST_USE enum err member_readback_begin(struct member_readback *readback, struct env *env,
					      const struct member_column *column,
					      struct parity *parity);
/* Verifies a window and adds it to the parity, which has settled what it can. */
WAITS MUST_USE enum err member_readback_next(struct member_readback *readback);
bool member_readback_at_end(const struct member_readback *readback);
/* ERR_CORRUPT: it is not exactly what the member holds. */
MUST_USE enum err member_readback_result(const struct member_readback *readback);
/* Harmless on zeros. */
WAITS void member_readback_finish(struct member_readback *readback);

#endif
