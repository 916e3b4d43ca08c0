/* SPDX-License-Identifier: MPL-2.0 */
/*
 * arena - memory that is freed all at once: one a command or request.
 *
 * Zero before first use. Grows by blocks of 4 KiB and more up to `limit` bytes
 * in all (0: no limit); beyond, or when memory is out, gives NULL. Content is
 * zeroed. arena_finish() frees all; with `secret` it wipes first.
 */
#ifndef AEROSTORE_ENGINE_BASE_ARENA_H
#define AEROSTORE_ENGINE_BASE_ARENA_H

#include "engine/base/bytes.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used, limit;
	bool secret;
};

/* Aligned for any type. */
void *arena_allocate(struct arena *arena, size_t size);
/* NULL also when count * size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A copy with a terminating NUL behind it; data NULL when memory is out. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);
void arena_finish(struct arena *arena);

#endif
