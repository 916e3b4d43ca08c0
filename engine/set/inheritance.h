/* SPDX-License-Identifier: MPL-2.0 */
/*
 * inheritance - what the successors of a set hold between them, by name: what an
 * evacuation need not copy again, and what it is to be compared with before the
 * columns of a member that was away are deleted.
 *
 * Only successors that are whole count, and what went on from these to their own
 * successors. A name of which there is a record is held; one of which there is
 * nothing but an explicit loss is lost, until a record of it turns up.
 */
#ifndef AEROSTORE_ENGINE_SET_INHERITANCE_H
#define AEROSTORE_ENGINE_SET_INHERITANCE_H

#include "engine/base/map.h"
#include "engine/format/column.h"
#include "engine/task.h"

struct blobs;

struct inheritance {
	struct map names; /* (id, piece) to how it is held */
	size_t lost;	  /* names that are lost */
	size_t heirs;	  /* successors that were looked into */
};

/* ERR_UNAVAILABLE: none of the columns of one of them answers. Finish it in any case. */
WAITS MUST_USE enum err inheritance_load(struct blobs *blobs, uint64_t set,
					 struct inheritance *out);
void inheritance_finish(struct inheritance *inheritance);
bool inheritance_holds(const struct inheritance *inheritance, struct id128 id, uint32_t piece);
bool inheritance_knows_lost(const struct inheritance *inheritance, struct id128 id, uint32_t piece);
/* The entry's record, or explicit loss, is in a successor now. */
MUST_USE enum err inheritance_add(struct inheritance *inheritance,
				  const struct column_entry *entry);

#endif
