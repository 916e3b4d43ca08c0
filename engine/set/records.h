/* SPDX-License-Identifier: MPL-2.0 */
/*
 * records - the index in memory of an unsealed column or mirror: which record
 * lies where. A sealed column has its index on disk and none of this.
 */
#ifndef AEROSTORE_ENGINE_SET_RECORDS_H
#define AEROSTORE_ENGINE_SET_RECORDS_H

#include "engine/base/map.h"
#include "engine/format/column.h"

struct records_item {
	struct column_entry entry;
	uint64_t place; /* offset in the log that holds it: of the record, or of its wrapping */
};

/* Items in the order of arrival, which is column order within each column. */
struct records {
	struct records_item *items;
	size_t count, capacity;
	struct map by_name;
};

void records_init(struct records *records);
void records_finish(struct records *records);
/* Room for one more, so that the next records_add() of that name cannot fail. */
MUST_USE enum err records_reserve(struct records *records, struct id128 id, uint32_t piece);
void records_add(struct records *records, const struct column_entry *entry, uint64_t place);
/* NULL when unknown; valid until the next change. */
const struct records_item *records_find(const struct records *records, struct id128 id,
					uint32_t piece);

#endif
