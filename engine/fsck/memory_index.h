/* SPDX-License-Identifier: MPL-2.0 */
/*
 * memory_index - an env's node-local index, in memory: what a journal that is
 * opened for a look keeps its places in. Starts empty; the functions are those
 * of struct env_ops.
 */
#ifndef AEROSTORE_ENGINE_FSCK_MEMORY_INDEX_H
#define AEROSTORE_ENGINE_FSCK_MEMORY_INDEX_H

#include "engine/env.h"

MUST_USE enum err memory_index_create(struct env_index **out);
void memory_index_destroy(struct env_index *index);
MUST_USE enum err memory_index_commit(struct env_index *index,
				      const struct env_index_change *changes, size_t change_count,
				      bool durable);
MUST_USE enum err memory_index_get(struct env_index *index, struct bytes key, struct buf *value);
MUST_USE enum err
memory_index_scan(struct env_index *index, struct bytes from, struct bytes before,
		  bool (*each)(void *context, struct bytes key, struct bytes value), void *context);
MUST_USE enum err memory_index_clear(struct env_index *index);

#endif
