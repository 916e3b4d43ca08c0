/* SPDX-License-Identifier: MPL-2.0 */
/*
 * gather - a range of one column of a sealed set, computed from the same range of
 * k others, wherever these are: asks as many siblings as are needed, others for
 * those that fail, and decodes on a thread.
 *
 * A sibling that does not answer within `patience_ms` hangs: it is not asked again
 * by this gathering, and its answer, however late, is thrown away. One that gives
 * an error for a range is asked for the next; what is known to be damaged of it is
 * not asked for at all.
 *
 * It does not judge what it computes: who writes it checks it against the certificate.
 */
#ifndef AEROSTORE_ENGINE_SET_GATHER_H
#define AEROSTORE_ENGINE_SET_GATHER_H

#include "engine/set/call.h"
#include "engine/task.h"

/* Filled in by the caller; what is borrowed stays until the last call has returned. */
struct gather {
	struct wire *wire;
	struct sched *sched;
	uint64_t set;
	uint8_t column; /* that is computed */
	const struct set_certificate *certificate;
	const struct id128 *volumes;  /* PROFILE_MEMBER_MAX; zero: not to be asked */
	struct shared *const *faults; /* likewise: as in struct set_rebuild_call */
	uint64_t patience_ms;
	uint32_t unusable; /* its own; bit i: column i gives nothing any more */
};

/* The reference is the caller's. ERR_UNAVAILABLE: fewer than k siblings give theirs. */
WAITS MUST_USE enum err gather_range(struct gather *gather, uint64_t offset, size_t size,
				     struct shared **out);
/* The set's index, from the first sibling that gives it under the same seal. ERR_UNAVAILABLE. */
WAITS MUST_USE enum err gather_index(struct gather *gather, struct shared **index,
				     uint32_t *entries);

#endif
