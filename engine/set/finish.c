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
	out->all_placed =
		record->seals.count == 0 &&
		record->placements.count + record->removed.count == profile_members(out->profile);
	return ERR_OK;
}

/* ---- asking all members ---- */

static void release_all(void *const *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ask_release(calls[i]);
}

/* One call for each member. ERR_NOMEM: none. */
static enum err create_all(const struct finish *finish, size_t size, unsigned operation,
			   void (*drop)(struct wire_call *call), void **calls)
{
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		calls[i] = ask_create(size, operation, finish->volumes[i], drop);
		if (calls[i] == NULL) {
			release_all(calls, i);
			return ERR_NOMEM;
		}
	}
	return ERR_OK;
}

/* Never to answer again for this set, as opposed to silent. */
static bool is_absent(const struct finish *finish, unsigned member, enum err answer)
{
	if (id128_is_zero(finish->volumes[member]))
		return finish->all_placed;
	return answer == ERR_NOTFOUND ||
	       blobs_volume_is_gone(finish->blobs, finish->volumes[member]);
}

static void take_answer(struct finish *finish, unsigned member, const struct set_ask_call *call)
{
	enum err err = ask_err(call);
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

/* Each member is one of three; a sealed one is no witness against its own certificate. */
static void check(const struct finish *finish)
{
	unsigned silent = 0;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		silent += finish->silent >> i & 1;
		ASSERT(!finish->answers[i].answered || (finish->silent >> i & 1) == 0);
		ASSERT(!finish->answers[i].sealed || finish->answers[i].voted);
	}
	ASSERT(finish->answered + finish->absent + silent == profile_members(finish->profile));
}

enum err finish_ask(struct finish *finish, enum set_operation operation)
{
	unsigned count = profile_members(finish->profile);
	void *calls[PROFILE_MEMBER_MAX];
	enum err err = create_all(finish, sizeof(struct set_ask_call), operation, NULL, calls);

	if (err != ERR_OK)
		return err;
	for (unsigned i = 0; i < count; i++) {
		struct set_ask_call *call = calls[i];

		call->set = finish->set;
		call->uuid = finish->uuid;
	}
	ask_all(finish->blobs, calls, count, ask_patience_ms(finish->blobs));
	finish->answered = finish->absent = 0;
	finish->silent = 0;
	for (unsigned i = 0; i < count; i++)
		take_answer(finish, i, calls[i]);
	release_all(calls, count);
	check(finish);
	return task_canceled() ? ERR_CANCELED : ERR_OK;
}

bool finish_answers(struct finish *finish, unsigned member)
{
	struct set_ask_call *call =
		ask_create(sizeof(*call), SET_ASK, finish->volumes[member], NULL);
	enum err err;

	if (call == NULL)
		return false;
	call->set = finish->set;
	call->uuid = finish->uuid;
	err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	ask_release(call);
	return err == ERR_OK;
}

bool finish_all_known(const struct finish *finish)
{
	return finish->answered + finish->absent >= profile_members(finish->profile);
}

/* ---- sealing ---- */

/* What is read back, written, or both, for a set of this shape. */
static uint64_t volume_of_work(const struct set_descriptor *descriptor)
{
	uint64_t size = set_descriptor_longest(descriptor);

	return size * (descriptor->profile.k + 2u);
}

static WAITS enum err collect_votes(struct finish *finish, const struct set_descriptor *descriptor,
				    struct set_ballot *ballot)
{
	unsigned count = profile_members(finish->profile);
	void *calls[PROFILE_MEMBER_MAX];
	enum err err = create_all(finish, sizeof(struct set_vote_call), SET_VOTE, NULL, calls);

	if (err != ERR_OK)
		return err;
	set_ballot_start(ballot, finish->set, finish->uuid, descriptor);
	for (unsigned i = 0; i < count; i++) {
		struct set_vote_call *call = calls[i];

		call->set = finish->set;
		call->uuid = finish->uuid;
		call->descriptor = *descriptor;
	}
	ask_all(finish->blobs, calls, count,
		ask_patience_for_ms(finish->blobs, volume_of_work(descriptor)));
	for (unsigned i = 0; err == ERR_OK && i < count; i++) {
		const struct set_vote_call *call = calls[i];

		err = ask_err(call);
		if (err == ERR_OK)
			err = set_ballot_add(ballot, (uint8_t)i, &call->vote);
	}
	release_all(calls, count);
	if (err == ERR_OK)
		ASSERT(set_ballot_unanimous(ballot));
	return err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_STALE;
}

static void drop_index(struct wire_call *call)
{
	shared_release(&((struct set_index_call *)call)->index);
}

/* From the first member that gives it: sealed ones, or parity members with their mirrors. */
static WAITS enum err fetch_index(struct finish *finish, bool sealed, struct set_index_call **out)
{
	enum err err = ERR_UNAVAILABLE;

	for (unsigned i = profile_members(finish->profile); i-- > 0;) {
		struct set_index_call *call;

		if (sealed ? !finish->answers[i].sealed : i < finish->profile.k)
			continue;
		call = ask_create(sizeof(*call), SET_INDEX, finish->volumes[i], drop_index);
		if (call == NULL)
			return ERR_NOMEM;
		call->set = finish->set;
		err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
		if (err == ERR_OK) {
			*out = call;
			return ERR_OK;
		}
		ask_release(call);
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

/* Nobody served it, so nobody took it. */
static void drop_certify(struct wire_call *call)
{
	shared_release(&((struct set_certify_call *)call)->index);
}

static WAITS enum err certify(struct finish *finish, const struct set_certificate *certificate,
			      const struct set_index_call *index)
{
	unsigned count = profile_members(finish->profile);
	uint64_t work = volume_of_work(&certificate->descriptor);
	void *calls[PROFILE_MEMBER_MAX];
	enum err err = create_all(finish, sizeof(struct set_certify_call), SET_CERTIFY,
				  drop_certify, calls);

	if (err != ERR_OK)
		return err;
	finish->certified = 0;
	for (unsigned i = 0; i < count; i++) {
		struct set_certify_call *call = calls[i];

		call->set = finish->set;
		call->certificate = *certificate;
		call->index = shared_reference(index->index);
		call->entries = index->entries;
	}
	ask_all(finish->blobs, calls, count, ask_patience_for_ms(finish->blobs, work));
	for (unsigned i = 0; i < count; i++)
		if (ask_err(calls[i]) == ERR_OK)
			finish->certified |= 1u << i;
	release_all(calls, count);
	if (finish->certified == 0)
		return task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
	finish->blobs->seals++;
	return publish_seal(finish, certificate->seal, finish->certified);
}

enum err finish_seal(struct finish *finish, const struct set_descriptor *descriptor)
{
	struct set_ballot *ballot = memory_allocate(sizeof(*ballot));
	struct set_index_call *index = NULL;
	enum err err = ballot != NULL ? ERR_OK : ERR_NOMEM;

	if (err == ERR_OK)
		err = collect_votes(finish, descriptor, ballot);
	if (err == ERR_OK)
		err = fetch_index(finish, false, &index);
	if (err == ERR_OK)
		err = certify(finish, &ballot->certificate, index);
	ask_release(index);
	memory_free(ballot);
	return err;
}

enum err finish_certify(struct finish *finish)
{
	struct set_index_call *index = NULL;
	enum err err = fetch_index(finish, true, &index);

	if (err == ERR_OK)
		err = certify(finish, &index->certificate, index);
	ask_release(index);
	return err;
}

/* ---- removing ---- */

enum err finish_remove(struct finish *finish)
{
	unsigned count = profile_members(finish->profile);
	void *calls[PROFILE_MEMBER_MAX];
	struct directory_record change = {.set = finish->set};
	enum err err = create_all(finish, sizeof(struct set_simple_call), SET_REMOVE, NULL, calls);

	if (err != ERR_OK)
		return err;
	for (unsigned i = 0; i < count; i++) {
		struct set_simple_call *call = calls[i];

		/* Nobody serves the volume without an id. */
		if ((finish->silent >> i & 1) != 0)
			call->wire.volume = ID128_ZERO;
		call->set = finish->set;
		call->uuid = finish->uuid;
	}
	ask_all(finish->blobs, calls, count, ask_patience_ms(finish->blobs));
	for (unsigned i = 0; err == ERR_OK && i < count; i++)
		if (ask_err(calls[i]) == ERR_OK && !id128_is_zero(finish->tags[i]))
			err = directory_remove_tag(&change, finish->tags[i]);
	release_all(calls, count);
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
		/* Who did not answer may have been given no time to. */
		if (err == ERR_STALE && finish->blobs->closing)
			err = ERR_CANCELED;
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
 * Before the set's last columns go: what leads on from it may be known from a header alone, which
 * goes with its column when that successor is taken over in its turn.
 */
static WAITS enum err publish_successors(struct blobs *blobs, uint64_t set)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	struct directory_record change = {.set = set};
	enum err err = ERR_OK;

	for (uint32_t i = 0; err == ERR_OK && record != NULL && i < record->successors.count; i++)
		err = directory_add_successor(&change, directory_get_successor(record, i));
	if (err == ERR_OK)
		err = directory_store_publish(blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

/*
 * Whether one of the successors stands for the set. One that a crash left unfinished is finished
 * first.
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

static WAITS enum err evacuate_succeeded(struct finish *finish)
{
	enum err err = publish_successors(finish->blobs, finish->set);

	return err == ERR_OK ? evacuate_set(finish) : err;
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
	else if (err == ERR_OK && succeeded)
		err = evacuate_succeeded(finish);
	else if (err == ERR_OK)
		err = follow_plan(finish);
	memory_free(finish);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}
