/* SPDX-License-Identifier: MPL-2.0 */
/*
 * shared - reference-counted, immutable byte strings.
 *
 * What travels to several volumes at once: one record, several writes, each
 * holding a reference until its own disk is done, however slow that is. The
 * bytes may be filled in by the creator while it holds the only reference.
 * Counted without atomics: loop thread only; a job may read what a reference
 * held elsewhere keeps alive.
 */
#ifndef AEROSTORE_ENGINE_BASE_SHARED_H
#define AEROSTORE_ENGINE_BASE_SHARED_H

#include "engine/base/bytes.h"

struct shared {
	uint32_t references;
	size_t size;
	uint8_t data[];
};

/* One reference, content undefined. NULL when out of memory. */
struct shared *shared_create(size_t size);
struct shared *shared_reference(struct shared *shared);
/* Drops one and sets *shared to NULL; harmless on NULL. */
void shared_release(struct shared **shared);
struct bytes shared_bytes(const struct shared *shared);

/* Bytes for reading, and what keeps them: `holder`, or `own`, or neither (they are somebody's). */
struct lent {
	struct bytes bytes;
	struct shared *holder;
	struct buf own;
};

/* Gives up what keeps the bytes; zero afterwards. */
void lent_return(struct lent *lent);

#endif
