/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/salvage.h"

#include "engine/base/memory.h"
#include "engine/set/handover.h"
#include "engine/set/successor.h"

/* A record that cannot be read so often, a while apart, is damaged as far as anybody can tell. */
#define FETCH_ATTEMPTS 3
#define ATTEMPT_PAUSE_MS 500u

struct salvage {
	struct blobs *blobs;
	struct finish finish;
	struct column_entry *entries;
	uint32_t count;
	uint64_t size, lost; /* bytes of records; records */
	struct successor successor;
};

/* From the first sealed member that gives its index. */
static WAITS enum err load_entries(struct salvage *salvage)
{
	const struct finish *finish = &salvage->finish;
	enum err err = ERR_CORRUPT;

	for (unsigned i = 0; err != ERR_OK && i < profile_members(finish->profile); i++) {
		if (!finish->answers[i].sealed)
			continue;
		err = fetch_index_entries(salvage->blobs, finish->volumes[i], finish->set,
					  &salvage->entries, &salvage->count);
		if (err == ERR_NOMEM || err == ERR_CANCELED)
			return err;
	}
	for (uint32_t i = 0; err == ERR_OK && i < salvage->count; i++)
		salvage->size += record_size(salvage->entries[i].payload_size);
	return err == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

/* Those that were there at the beginning still are: what they could not give is damaged. */
static WAITS bool all_answer(struct salvage *salvage)
{
	struct finish *finish = &salvage->finish;

	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (finish->answers[i].answered && !finish_answers(finish, i))
			return false;
	return true;
}

static WAITS enum err put_lost(struct salvage *salvage, const struct column_entry *entry)
{
	if (!all_answer(salvage))
		return task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
	env_log(salvage->blobs->env, "event=record-lost set=%016llx column=%u offset=%llu",
		(unsigned long long)salvage->finish.set, entry->column,
		(unsigned long long)entry->offset);
	salvage->lost++;
	return successor_put_lost(&salvage->successor, salvage->finish.set, entry);
}

static WAITS enum err copy_record(struct salvage *salvage, const struct column_entry *entry)
{
	struct shared *bytes = NULL;
	enum err err = ERR_CORRUPT;

	if (entry->type == RECORD_LOST)
		return successor_put_lost(&salvage->successor, salvage->finish.set, entry);
	for (int i = 0; i < FETCH_ATTEMPTS; i++) {
		err = reader_fetch(salvage->blobs, salvage->finish.set, entry->id, entry->piece,
				   &bytes);
		if (err == ERR_OK)
			return successor_put(&salvage->successor, bytes);
		if (err == ERR_NOMEM || err == ERR_CANCELED)
			return err;
		err = task_sleep(ATTEMPT_PAUSE_MS);
		if (err != ERR_OK)
			return err;
	}
	return put_lost(salvage, entry);
}

static WAITS enum err copy_all(struct salvage *salvage)
{
	const uint64_t set = salvage->finish.set;
	enum err err = ERR_OK;

	successor_init(&salvage->successor, salvage->blobs,
		       &(struct open_set_order){.predecessors = &set,
						.predecessor_count = 1,
						.content = salvage->size});
	for (uint32_t i = 0; err == ERR_OK && i < salvage->count; i++)
		err = copy_record(salvage, &salvage->entries[i]);
	err = successor_drain(&salvage->successor, err);
	if (err == ERR_OK && salvage->successor.target != NULL)
		err = successor_seal(&salvage->successor);
	return err;
}

static WAITS enum err retire(struct salvage *salvage)
{
	const struct open_set *target = salvage->successor.target;
	const struct handover_retirement retirement = {
		.set = salvage->finish.set,
		.successor = target != NULL ? target->header.set : 0,
		.predecessors = salvage->finish.header.predecessors,
		.predecessor_count = salvage->finish.header.predecessor_count};
	enum err err = handover_retire(salvage->blobs, &retirement);

	if (err != ERR_OK)
		return err == ERR_STALE ? ERR_NOTFOUND : err;
	salvage->blobs->records_lost += salvage->lost;
	env_log(salvage->blobs->env, "event=set-salvaged set=%016llx records=%llu lost=%llu",
		(unsigned long long)salvage->finish.set,
		(unsigned long long)(salvage->count - salvage->lost),
		(unsigned long long)salvage->lost);
	return ERR_OK;
}

enum err salvage_set(struct blobs *blobs, uint64_t set)
{
	struct salvage *salvage = memory_allocate(sizeof(*salvage));
	enum err err;

	if (salvage == NULL)
		return ERR_NOMEM;
	salvage->blobs = blobs;
	err = finish_load(blobs, set, &salvage->finish);
	if (err == ERR_OK)
		err = finish_ask(&salvage->finish, SET_ASK);
	if (err == ERR_OK && (!finish_all_known(&salvage->finish) || blobs_someone_is_away(blobs)))
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = load_entries(salvage);
	if (err == ERR_OK) {
		err = copy_all(salvage);
		if (err == ERR_OK)
			err = retire(salvage);
		successor_close(&salvage->successor);
	}
	memory_free(salvage->entries);
	memory_free(salvage);
	return err;
}
