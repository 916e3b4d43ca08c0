/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

void set_members(const struct directory_record *record, struct id128 *volumes, struct id128 *tags)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		volumes[i] = tags[i] = ID128_ZERO;
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		volumes[placement.column] = placement.volume;
		tags[placement.column] = placement.tag;
	}
}

enum err finish_load(struct blobs *blobs, uint64_t set, struct finish *out)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);

	if (record == NULL || !record->born || record->placements.count == 0)
		return ERR_NOTFOUND;
	*out = (struct finish){.blobs = blobs,
			       .set = set,
			       .uuid = record->birth.uuid,
			       .profile = record->birth.profile};
	set_members(record, out->volumes, out->tags);
	/* A set that is not sealed has one placement a member, ever. */
	out->all_placed = record->seals.count == 0 &&
			  record->placements.count + record->removed.count ==
				  profile_members(out->profile);
	return ERR_OK;
}

/* Never to answer again for this set, as opposed to silent. */
static bool is_absent(const struct finish *finish, unsigned member, enum err answer)
{
	if (id128_is_zero(finish->volumes[member]))
		return finish->all_placed;
	return answer == ERR_NOTFOUND || blobs_volume_is_gone(finish->blobs, finish->volumes[member]);
}

static void take_answer(struct finish *finish, unsigned member, const struct set_ask_call *call)
{
	enum err err = call->wire.err;
	bool absent = is_absent(finish, member, err);

	finish->answers[member] = (struct set_answer){0};
	if (err == ERR_OK)
		finish->answers[member] = call->answer;
	if (finish->answers[member].answered) {
		finish->header = call->header;
		finish->answered++;
	} else {
		finish->absent += absent;
		finish->silent |= absent ? 0 : 1u << member;
	}
}

enum err finish_ask(struct finish *finish, enum set_operation operation)
{
	unsigned count = profile_members(finish->profile);
	struct set_ask_call *calls = memory_array(count, sizeof(*calls));

	if (calls == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < count; i++) {
		calls[i].wire.operation = (uint16_t)operation;
		calls[i].wire.volume = finish->volumes[i];
		calls[i].set = finish->set;
		calls[i].uuid = finish->uuid;
	}
	ask_all(finish->blobs, calls, sizeof(*calls), count);
	finish->answered = finish->absent = 0;
	finish->silent = 0;
	for (unsigned i = 0; i < count; i++)
		take_answer(finish, i, &calls[i]);
	memory_free(calls);
	return task_canceled() ? ERR_CANCELED : ERR_OK;
}

bool finish_answers(struct finish *finish, unsigned member)
{
	struct set_ask_call *call = memory_allocate(sizeof(*call));
	enum err err;

	if (call == NULL)
		return false;
	call->wire.operation = SET_ASK;
	call->wire.volume = finish->volumes[member];
	call->set = finish->set;
	call->uuid = finish->uuid;
	err = wire_wait(finish->blobs->wire, &call->wire);
	memory_free(call);
	return err == ERR_OK;
}

bool finish_all_known(const struct finish *finish)
{
	return finish->answered + finish->absent >= profile_members(finish->profile);
}

/* ---- sealing ---- */

static WAITS enum err collect_votes(struct finish *finish, const struct set_descriptor *descriptor,
				    struct set_ballot *ballot)
{
	unsigned count = profile_members(finish->profile);
	struct set_vote_call *calls = memory_array(count, sizeof(*calls));
	enum err err = ERR_OK;

	if (calls == NULL)
		return ERR_NOMEM;
	set_ballot_start(ballot, finish->set, finish->uuid, descriptor);
	for (unsigned i = 0; i < count; i++) {
		calls[i].wire.operation = SET_VOTE;
		calls[i].wire.volume = finish->volumes[i];
		calls[i].set = finish->set;
		calls[i].uuid = finish->uuid;
		calls[i].descriptor = *descriptor;
	}
	ask_all(finish->blobs, calls, sizeof(*calls), count);
	for (unsigned i = 0; err == ERR_OK && i < count; i++) {
		err = calls[i].wire.err;
		if (err == ERR_OK)
			err = set_ballot_add(ballot, (uint8_t)i, &calls[i].vote);
	}
	memory_free(calls);
	if (err == ERR_OK)
		ASSERT(set_ballot_unanimous(ballot));
	return err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_STALE;
}

/* From the first of the members in `wanted` that gives it. */
static WAITS enum err fetch_index(struct finish *finish, bool sealed, struct set_index_call *call)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned i = profile_members(finish->profile); i-- > 0;) {
		if (sealed ? !finish->answers[i].sealed : i < finish->profile.k)
			continue;
		*call = (struct set_index_call){
			.wire = {.operation = SET_INDEX, .volume = finish->volumes[i]},
			.set = finish->set};
		err = wire_wait(finish->blobs->wire, &call->wire);
		if (err == ERR_OK)
			return ERR_OK;
	}
	return err;
}

static enum err publish_seal(struct finish *finish, struct hash128 seal, uint32_t certified)
{
	struct directory_record change = {.set = finish->set};
	enum err err = directory_add_seal(&change, seal);

	for (uint8_t i = 0; err == ERR_OK && i < profile_members(finish->profile); i++) {
		const struct directory_placement placement = {.tag = finish->tags[i],
							      .volume = finish->volumes[i],
							      .column = i,
							      .seal = seal};

		if ((certified >> i & 1) != 0)
			err = directory_add_placement(&change, &placement);
	}
	if (err == ERR_OK)
		err = directory_store_publish(finish->blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

static WAITS enum err certify(struct finish *finish, const struct set_certificate *certificate,
			      struct shared *index, uint32_t entries)
{
	unsigned count = profile_members(finish->profile);
	struct set_certify_call *calls = memory_array(count, sizeof(*calls));
	uint32_t certified = 0;

	if (calls == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < count; i++) {
		calls[i].wire.operation = SET_CERTIFY;
		calls[i].wire.volume = finish->volumes[i];
		calls[i].set = finish->set;
		calls[i].certificate = *certificate;
		calls[i].index = shared_reference(index);
		calls[i].entries = entries;
	}
	ask_all(finish->blobs, calls, sizeof(*calls), count);
	for (unsigned i = 0; i < count; i++) {
		if (calls[i].wire.err == ERR_OK)
			certified |= 1u << i;
		/* Nobody served it, so nobody took it. */
		shared_release(&calls[i].index);
	}
	memory_free(calls);
	finish->certified = certified;
	if (certified == 0)
		return task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
	finish->blobs->seals++;
	return publish_seal(finish, certificate->seal, certified);
}

enum err finish_seal(struct finish *finish, const struct set_descriptor *descriptor)
{
	struct set_ballot *ballot = memory_allocate(sizeof(*ballot));
	struct set_index_call *index = memory_allocate(sizeof(*index));
	enum err err = ballot != NULL && index != NULL ? ERR_OK : ERR_NOMEM;

	if (err == ERR_OK)
		err = collect_votes(finish, descriptor, ballot);
	if (err == ERR_OK)
		err = fetch_index(finish, false, index);
	if (err == ERR_OK) {
		err = certify(finish, &ballot->certificate, index->index, index->entries);
		shared_release(&index->index);
	}
	memory_free(ballot);
	memory_free(index);
	return err;
}

enum err finish_certify(struct finish *finish)
{
	struct set_index_call *index = memory_allocate(sizeof(*index));
	enum err err;

	if (index == NULL)
		return ERR_NOMEM;
	err = fetch_index(finish, true, index);
	if (err == ERR_OK) {
		err = certify(finish, &index->certificate, index->index, index->entries);
		shared_release(&index->index);
	}
	memory_free(index);
	return err;
}

/* ---- removing ---- */

enum err finish_remove(struct finish *finish)
{
	unsigned count = profile_members(finish->profile);
	struct set_simple_call *calls = memory_array(count, sizeof(*calls));
	struct directory_record change = {.set = finish->set};
	enum err err = ERR_OK;

	if (calls == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < count; i++) {
		calls[i].wire.operation = SET_REMOVE;
		/* Nobody serves the volume without an id. */
		calls[i].wire.volume = (finish->silent >> i & 1) == 0 ? finish->volumes[i]
								       : ID128_ZERO;
		calls[i].set = finish->set;
		calls[i].uuid = finish->uuid;
	}
	ask_all(finish->blobs, calls, sizeof(*calls), count);
	for (unsigned i = 0; err == ERR_OK && i < count; i++)
		if (calls[i].wire.err == ERR_OK && !id128_is_zero(finish->tags[i]))
			err = directory_remove_tag(&change, finish->tags[i]);
	memory_free(calls);
	if (err == ERR_OK && change.removed.count != 0)
		err = directory_store_publish(finish->blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

/* ---- the whole ---- */

bool finish_is_complete(const struct finish *finish)
{
	return finish->certified == (1u << profile_members(finish->profile)) - 1;
}

/* What a complete born-sealed set took over is there, and nowhere else any more. */
static WAITS enum err publish_succession(struct finish *finish)
{
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && i < finish->header.predecessor_count; i++) {
		struct directory_record change = {.set = finish->header.predecessors[i]};

		err = directory_add_successor(&change, finish->set);
		if (err == ERR_OK)
			err = directory_store_publish(finish->blobs->directory, &change);
		directory_record_finish(&change);
	}
	return err;
}

/*
 * One that an evacuation was filling when it was cut off, and of which nobody here holds the
 * certificate. What it copies is still where it was if there is none at all: that is so when
 * everybody has answered, or somebody has not voted. Otherwise a silent member may hold it, and
 * then nothing else has these records: they are copied like those of any other set.
 */
static enum set_plan plan_born_sealed(const struct finish *finish)
{
	unsigned members = profile_members(finish->profile);

	if (finish_all_known(finish))
		return SET_PLAN_REMOVE;
	for (unsigned i = 0; i < members; i++)
		if (finish->answers[i].answered && !finish->answers[i].voted)
			return SET_PLAN_REMOVE;
	return SET_PLAN_EVACUATE;
}

static WAITS enum err follow_plan(struct finish *finish)
{
	struct set_descriptor *target = memory_allocate(sizeof(*target));
	enum set_plan plan;
	enum err err;

	if (target == NULL)
		return ERR_NOMEM;
	plan = set_plan(finish->profile, finish->answers, target);
	/* One that lost its last records while a member was away: the rest is long removed. */
	if (plan == SET_PLAN_WAIT && finish->answered > 0 && finish_all_known(finish))
		plan = SET_PLAN_EVACUATE;
	if ((plan == SET_PLAN_SEAL || plan == SET_PLAN_EVACUATE) && finish->header.born_sealed)
		plan = plan_born_sealed(finish);
	switch (plan) {
	case SET_PLAN_CERTIFY:
		err = finish_certify(finish);
		if (err == ERR_OK && finish_is_complete(finish))
			err = publish_succession(finish);
		break;
	case SET_PLAN_SEAL:
		err = catch_up_set(finish, target);
		if (err == ERR_OK)
			err = finish_seal(finish, target);
		if (err == ERR_STALE)
			err = evacuate_set(finish);
		break;
	case SET_PLAN_EVACUATE:
		/* The names that lead here must lead on to where it goes. */
		err = publish_succession(finish);
		if (err == ERR_OK)
			err = evacuate_set(finish);
		break;
	case SET_PLAN_REMOVE:
		err = finish_remove(finish);
		break;
	case SET_PLAN_WAIT:
	default:
		err = ERR_UNAVAILABLE;
		break;
	}
	memory_free(target);
	return err;
}

/* Every member answers, and those that have a column at all have an empty one. */
static bool was_never_written(const struct finish *finish)
{
	if (!finish_all_known(finish))
		return false;
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		for (unsigned j = 0; j < finish->profile.k; j++)
			if (finish->answers[i].columns[j].end != 0 || finish->answers[i].torn ||
			    finish->answers[i].damaged)
				return false;
	return true;
}

/* Those of whom the directory has not heard: every header names them all. */
static bool fill_members(struct finish *finish)
{
	bool filled = false;

	/* Those without a volume are removed. */
	if (finish->all_placed)
		return false;
	for (unsigned i = 0; finish->answered > 0 && i < profile_members(finish->profile); i++)
		if (id128_is_zero(finish->volumes[i])) {
			finish->volumes[i] = finish->header.members[i];
			filled = true;
		}
	return filled;
}

/* Every column is sealed, or what was in it has gone on to a set of which that is true. */
bool set_is_whole(const struct blobs *blobs, uint64_t set)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	uint32_t sealed = 0;

	if (record == NULL || !record->born)
		return false;
	for (uint32_t i = 0; i < record->placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(record, i, &placement);
		if ((placement.seal.low | placement.seal.high) != 0)
			sealed |= 1u << placement.column;
	}
	return record->successors.count != 0 ||
	       sealed == (1u << profile_members(record->birth.profile)) - 1;
}

/*
 * Whether one of the successors stands for the set, and says so in the directory and not only in
 * a header. One that a crash left unfinished is finished first.
 */
static WAITS enum err is_succeeded(struct blobs *blobs, uint64_t set, bool *out)
{
	enum err err = ERR_OK;

	*out = false;
	for (uint32_t i = 0; err == ERR_OK; i++) {
		const struct directory_record *record = directory_store_get(blobs->directory, set);
		uint64_t successor;

		if (record == NULL || i >= record->successors.count)
			break;
		successor = directory_get_successor(record, i);
		if (!set_is_whole(blobs, successor))
			err = finish_set(blobs, successor);
		if (err != ERR_CANCELED && err != ERR_NOMEM)
			err = ERR_OK;
		*out |= err == ERR_OK && set_is_whole(blobs, successor);
	}
	return err;
}

enum err finish_set(struct blobs *blobs, uint64_t set)
{
	struct finish *finish = memory_allocate(sizeof(*finish));
	bool succeeded = false;
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	err = is_succeeded(blobs, set, &succeeded);
	if (err == ERR_OK)
		err = finish_load(blobs, set, finish);
	if (err == ERR_OK)
		err = finish_ask(finish, SET_ASK);
	if (err == ERR_OK && fill_members(finish))
		err = finish_ask(finish, SET_ASK);
	if (err == ERR_OK && was_never_written(finish))
		err = finish_remove(finish);
	else if (err == ERR_OK)
		err = succeeded ? evacuate_set(finish) : follow_plan(finish);
	memory_free(finish);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}
