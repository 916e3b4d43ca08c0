/* SPDX-License-Identifier: MPL-2.0 */
/*
 * state - a replica's answer to "what do you hold of this stream": what readers
 * and the resync compare.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_STATE_H
#define AEROSTORE_ENGINE_JOURNAL_STATE_H

#include "engine/journal/stream.h"

struct state_manifest {
	struct id128 id;
	uint64_t epoch;
	struct vector vector;
};

struct stream_state {
	uint64_t promise_epoch;
	struct id128 promise_home;
	struct vector vector;
	struct vector covered;		  /* what complete manifests stand for */
	struct state_manifest *manifests; /* complete ones */
	size_t manifest_count;
	struct id128 *pages; /* sorted */
	size_t page_count;
};

MUST_USE enum err state_encode(const struct stream *stream, struct buf *out);
/* ERR_CORRUPT, ERR_NOMEM. */
MUST_USE enum err state_decode(struct bytes encoded, struct stream_state *out);
void state_finish(struct stream_state *state);
bool state_has_manifest(const struct stream_state *state, struct id128 id);
bool state_has_page(const struct stream_state *state, struct id128 id);

#endif
