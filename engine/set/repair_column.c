/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/repair_column.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/set/handover.h"
#include "engine/set/repair.h"
#include "engine/set/repair_survey.h"

/* ---- calls that may be left to themselves when the store closes ---- */

/* ERR_UNAVAILABLE: a disk hangs, which asks nothing of anybody until it answers. */
static WAITS enum err await(struct repair_effort *effort, void *call, uint64_t patience_ms)
{
	uint64_t deadline_ms = env_now_ms(effort->blobs->env) + patience_ms;
	enum err err = ERR_OK;

	ask_post(effort->blobs, call, patience_ms, effort->changed);
	while (err == ERR_OK && !ask_is_answered(call))
		err = *effort->stopping ? ERR_CANCELED : cond_wait(effort->changed, deadline_ms);
	if (!ask_is_answered(call) && err == ERR_CANCELED)
		return err;
	return ask_err(call);
}

static void drop_check(struct wire_call *call)
{
	shared_release(&((struct set_check_call *)call)->faults);
}

/* *faults is NULL when the column is whole. */
enum err repair_check_column(struct repair_effort *effort, struct id128 volume, uint64_t set,
			     struct shared **faults)
{
	struct set_check_call *check = ask_create(sizeof(*check), SET_CHECK, volume, drop_check);
	enum err err;

	*faults = NULL;
	if (check == NULL)
		return ERR_NOMEM;
	check->set = set;
	check->rate = effort->blobs->options.repair_rate;
	err = await(effort, check, ask_patience_paced_ms(effort->blobs, set, check->rate));
	if (err == ERR_OK) {
		*faults = check->faults;
		check->faults = NULL;
	}
	ask_release(check);
	return err;
}

/* Given references that nobody took: a volume that is not served. */
static void drop_rebuild(struct wire_call *call)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		shared_release(&((struct set_rebuild_call *)call)->faults[i]);
}

/* ---- one column ---- */

/* The placement of each column that answers is the one that counts. */
static void choose_members(struct finish *finish)
{
	const struct blobs *blobs = finish->blobs;
	const struct directory_record *record = directory_store_get(blobs->directory, finish->set);

	for (uint32_t i = 0; record != NULL && i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if (!blobs_volume_is_live(blobs, finish->volumes[placement.column]) &&
		    blobs_volume_is_live(blobs, placement.volume)) {
			finish->volumes[placement.column] = placement.volume;
			finish->tags[placement.column] = placement.tag;
		}
	}
}

static bool holds_other(const struct finish *finish, struct id128 volume, uint8_t column)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (i != column && id128_equal(finish->volumes[i], volume) &&
		    blobs_volume_is_live(finish->blobs, volume))
			return true;
	return false;
}

/* How many columns of the set lie in the same node, and in the same zone, as that volume. */
static void count_neighbours(const struct finish *finish, const struct layout_volume *volume,
			     size_t *node, size_t *zone)
{
	const struct layout *layout = finish->blobs->options.layout;

	*node = *zone = 0;
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		const struct layout_volume *other = layout_find(layout, finish->volumes[i]);

		if (other == NULL || other->failed)
			continue;
		*node += id128_equal(other->node, volume->node);
		*zone += strncmp(other->zone, volume->zone, sizeof(other->zone)) == 0;
	}
}

/*
 * The volume that is to take the column: without another one of the set, in the node and zone with
 * the fewest; among equals rendezvous decides. ERR_UNAVAILABLE.
 */
static enum err pick_target(const struct finish *finish, uint8_t column, struct id128 *out)
{
	const struct layout *layout = finish->blobs->options.layout;
	struct id128 *order = memory_array(layout->volume_count, sizeof(*order));
	size_t best_node = SIZE_MAX, best_zone = SIZE_MAX, count;
	uint8_t key[16 + 9];

	if (order == NULL)
		return ERR_NOMEM;
	memcpy(key, "rebuilt column: ", 16);
	store_u64(key + 16, finish->set);
	key[24] = column;
	*out = ID128_ZERO;
	count = layout_pick(layout, bytes_make(key, sizeof(key)), layout->volume_count, SIZE_MAX,
			    true, order);
	for (size_t i = 0; i < count; i++) {
		size_t node, zone;

		if (holds_other(finish, order[i], column))
			continue;
		count_neighbours(finish, layout_find(layout, order[i]), &node, &zone);
		if (zone > best_zone || (zone == best_zone && node >= best_node))
			continue;
		best_node = node;
		best_zone = zone;
		*out = order[i];
	}
	memory_free(order);
	return id128_is_zero(*out) ? ERR_UNAVAILABLE : ERR_OK;
}

static const struct set_certificate *find_certificate(const struct finish *finish)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (finish->answers[i].sealed)
			return &finish->answers[i].certificate;
	return NULL;
}

static void describe(const struct finish *finish, uint8_t column, struct id128 target,
		     struct set_rebuild_call *call)
{
	struct column_header *header = &call->header;

	*header = finish->header;
	header->column = column;
	header->kind = column < finish->profile.k ? COLUMN_DATA : COLUMN_PARITY;
	header->tag = env_random_id(finish->blobs->env);
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		header->members[i] = finish->volumes[i];
		if (finish->answers[i].sealed || finish->answers[i].voted)
			call->volumes[i] = finish->volumes[i];
	}
	header->members[column] = target;
}

/* To be computed, with every sibling hanging in turn, written, and read back. */
static uint64_t patience_of(const struct finish *finish, const struct set_rebuild_call *rebuild)
{
	const struct blobs *blobs = finish->blobs;

	return ask_patience_paced_ms(blobs, finish->set, rebuild->rate) +
	       profile_members(finish->profile) * (ask_patience_ms(blobs) + rebuild->patience_ms);
}

/* One attempt; the references to the faults are given. */
static WAITS enum err attempt(struct repair_effort *effort, const struct finish *finish,
			      uint8_t column, struct id128 target, struct shared **faults,
			      struct id128 *tag)
{
	struct set_rebuild_call *rebuild =
		ask_create(sizeof(*rebuild), SET_REBUILD, target, drop_rebuild);
	uint64_t started_ms = env_now_ms(effort->blobs->env), took_ms;
	enum err err;

	if (rebuild == NULL)
		return ERR_NOMEM;
	rebuild->set = finish->set;
	rebuild->replace = true;
	rebuild->certificate = *find_certificate(finish);
	rebuild->rate = effort->blobs->options.repair_rate;
	rebuild->patience_ms = ask_patience_ms(effort->blobs);
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		rebuild->faults[i] = faults[i];
		faults[i] = NULL;
	}
	describe(finish, column, target, rebuild);
	*tag = rebuild->header.tag;
	err = await(effort, rebuild, patience_of(finish, rebuild));
	if (err == ERR_OK) {
		took_ms = env_now_ms(effort->blobs->env) - started_ms;
		effort->bytes_written += rebuild->bytes_done;
		effort->bytes_per_second =
			rebuild->bytes_done * 1000 / (took_ms != 0 ? took_ms : 1);
	}
	ask_release(rebuild);
	return err;
}

/* Reads all siblings whole; those that are damaged are to be made anew as well. */
static WAITS enum err check_siblings(struct repair_effort *effort, const struct finish *finish,
				     uint8_t column, struct shared **faults)
{
	enum err err = ERR_OK;

	for (uint8_t i = 0; err == ERR_OK && i < profile_members(finish->profile); i++) {
		if (i == column || !finish->answers[i].sealed)
			continue;
		err = repair_check_column(effort, finish->volumes[i], finish->set, &faults[i]);
		if (faults[i] != NULL)
			repair_damaged(finish->blobs->repair, finish->set, i);
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
	}
	return err;
}

/* The set is gone, and so goes what was made of it. */
static WAITS void remove_made(const struct finish *finish, struct id128 target, struct id128 tag)
{
	struct set_simple_call *call = ask_create(sizeof(*call), SET_REMOVE, target, NULL);

	if (call == NULL)
		return;
	call->set = finish->set;
	call->uuid = finish->uuid;
	call->tag = tag;
	/* Best effort: the next survey removes what is left. */
	(void)!ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	ask_release(call);
}

static WAITS enum err publish(const struct finish *finish, uint8_t column, struct id128 target,
			      struct id128 tag)
{
	const struct directory_placement placement = {.tag = tag,
						      .volume = target,
						      .column = column,
						      .seal = find_certificate(finish)->seal};
	enum err err = handover_place(finish->blobs, finish->set, &placement);

	if (err == ERR_NOTFOUND)
		remove_made(finish, target, tag);
	return err;
}

/* Whether every other column has been asked, or is known never to come back. */
static bool has_asked_all(const struct finish *finish, uint8_t column)
{
	const struct blobs *blobs = finish->blobs;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		bool gone = layout_find(blobs->options.layout, finish->volumes[i]) == NULL &&
			    !repair_survey_expects_volume(blobs);

		if (i != column && !finish->answers[i].sealed && !gone)
			return false;
	}
	return true;
}

static WAITS enum err rebuild_at(struct repair_effort *effort, struct finish *finish,
				 uint8_t column, struct id128 target)
{
	struct shared *faults[PROFILE_MEMBER_MAX] = {NULL};
	struct id128 tag;
	enum err err = attempt(effort, finish, column, target, faults, &tag);

	/* Somebody's bytes are not what they were: whose, and where? */
	if (err == ERR_CORRUPT || err == ERR_UNAVAILABLE) {
		err = check_siblings(effort, finish, column, faults);
		if (err == ERR_OK)
			err = attempt(effort, finish, column, target, faults, &tag);
		/* Not who is silent is in the way, but what is damaged. */
		if (err == ERR_UNAVAILABLE && has_asked_all(finish, column))
			err = ERR_CORRUPT;
		for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
			shared_release(&faults[i]);
	}
	if (err == ERR_OK)
		err = publish(finish, column, target, tag);
	if (err != ERR_OK)
		return err;
	env_log(effort->blobs->env, "event=column-rebuilt set=%016llx column=%u",
		(unsigned long long)finish->set, column);
	return ERR_OK;
}

enum err repair_column(struct repair_effort *effort, uint64_t set, uint8_t column)
{
	struct blobs *blobs = effort->blobs;
	struct finish *finish = memory_allocate(sizeof(*finish));
	struct id128 target;
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	err = finish_load(blobs, set, finish);
	if (err == ERR_OK) {
		choose_members(finish);
		err = finish_ask(finish, SET_ASK);
	}
	if (err == ERR_OK && find_certificate(finish) == NULL)
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK) {
		target = finish->volumes[column];
		/* Its own volume when that lives: nothing moves, and the damaged file goes. */
		if (!blobs_volume_is_live(blobs, target) || holds_other(finish, target, column))
			err = pick_target(finish, column, &target);
	}
	if (err == ERR_OK)
		err = rebuild_at(effort, finish, column, target);
	memory_free(finish);
	return err;
}
