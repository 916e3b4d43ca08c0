/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/handover.h"

#include <string.h>

#include "engine/base/memory.h"

bool handover_is_retired(const struct directory_record *record)
{
	return record->seals.count != 0 && record->placements.count == 0 &&
	       record->removed.count != 0;
}

/* ---- one column ---- */

static enum err remove_others(const struct directory_record *record, uint8_t column,
			      struct id128 staying, struct directory_record *change)
{
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < record->placements.count; i++) {
		struct directory_placement other;

		directory_get_placement(record, i, &other);
		if (other.column == column && !id128_equal(other.tag, staying))
			err = directory_remove_tag(change, other.tag);
	}
	return err;
}

static WAITS enum err place(struct blobs *blobs, uint64_t set,
			    const struct directory_placement *placement)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	struct directory_record change = {.set = set};
	enum err err;

	if (record == NULL || handover_is_retired(record) || record->successors.count != 0)
		return ERR_NOTFOUND;
	err = directory_add_placement(&change, placement);
	if (err == ERR_OK)
		err = remove_others(record, placement->column, placement->tag, &change);
	if (err == ERR_OK)
		err = directory_store_publish(blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

enum err handover_place(struct blobs *blobs, uint64_t set,
			const struct directory_placement *placement)
{
	enum err err = gate_enter(&blobs->handover, TASK_FOREVER);

	if (err != ERR_OK)
		return err;
	err = place(blobs, set, placement);
	gate_leave(&blobs->handover);
	return err;
}

/* ---- the whole set ---- */

/* If nothing but its headers says so, that goes with them. */
static WAITS enum err publish_heritage(struct blobs *blobs,
				       const struct handover_retirement *retirement)
{
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < retirement->predecessor_count; i++) {
		struct directory_record change = {.set = retirement->predecessors[i]};

		err = directory_add_successor(&change, retirement->set);
		if (err == ERR_OK)
			err = directory_store_publish(blobs->directory, &change);
		directory_record_finish(&change);
	}
	return err;
}

static WAITS enum err forget(struct blobs *blobs, const struct handover_retirement *retirement,
			     struct finish *finish)
{
	const uint64_t set = retirement->set;
	enum err err = publish_heritage(blobs, retirement);
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	struct directory_record change = {.set = set};

	if (err == ERR_OK && (record == NULL || record->successors.count != 0))
		err = ERR_STALE;
	if (err == ERR_OK)
		err = finish_load(blobs, set, finish);
	for (uint32_t i = 0; err == ERR_OK && i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		err = directory_remove_tag(&change, placement.tag);
	}
	if (err == ERR_OK && retirement->successor != 0)
		err = directory_add_successor(&change, retirement->successor);
	if (err == ERR_OK)
		err = directory_store_publish(blobs->directory, &change);
	directory_record_finish(&change);
	return err == ERR_NOTFOUND ? ERR_STALE : err;
}

enum err handover_retire(struct blobs *blobs, const struct handover_retirement *retirement)
{
	struct finish *finish = memory_allocate(sizeof(*finish));
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	err = gate_enter(&blobs->handover, TASK_FOREVER);
	if (err == ERR_OK) {
		err = forget(blobs, retirement, finish);
		gate_leave(&blobs->handover);
	}
	/* That they are removed was said already. */
	if (err == ERR_OK) {
		memset(finish->tags, 0, sizeof(finish->tags));
		err = finish_remove(finish);
	}
	memory_free(finish);
	return err;
}
