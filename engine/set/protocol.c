/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/protocol.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/plant.h"

static bool is_data(const struct set_member *member)
{
	return member->index < member->profile.k;
}

static bool is_closed(const struct set_member *member)
{
	return member->fence != SET_FENCE_NONE || member->voting != SET_VOTE_NONE;
}

/* ---- member ---- */

void set_member_init(struct set_member *member, struct profile profile, uint8_t index)
{
	ASSERT(profile_valid(profile) && index < profile_members(profile));
	*member = (struct set_member){.profile = profile, .index = index};
	member->has_mirror = !is_data(member);
}

bool set_member_holds(const struct set_member *member, uint8_t column)
{
	return is_data(member) ? column == member->index : column < member->profile.k;
}

enum err set_member_append(struct set_member *member, uint8_t column, uint64_t offset,
			   uint64_t size, struct hash128 expected, struct hash128 after)
{
	struct set_position *position;

	if (!set_member_holds(member, column))
		return ERR_INVALID;
	position = &member->columns[column];
	if (offset + size == position->end && hash128_equal(after, position->running))
		return ERR_EXISTS;
	if (is_closed(member) && !PLANTED(fence_ignored))
		return ERR_FENCED;
	if (offset != position->end || !hash128_equal(expected, after))
		return ERR_CONFLICT;
	position->end += size;
	position->running = after;
	return ERR_OK;
}

void set_member_synced(struct set_member *member, uint8_t column, uint64_t end)
{
	ASSERT(set_member_holds(member, column) && end <= member->columns[column].end);
	if (end > member->synced[column])
		member->synced[column] = end;
}

bool set_member_settled(const struct set_member *member)
{
	for (size_t i = 0; i < member->profile.k; i++)
		if (member->synced[i] != member->columns[i].end)
			return false;
	return true;
}

bool set_member_fence(struct set_member *member)
{
	if (member->fence != SET_FENCE_NONE || member->voting >= SET_VOTE_WRITING)
		return false;
	member->fence = SET_FENCE_ASKED;
	return true;
}

void set_member_fenced(struct set_member *member)
{
	ASSERT(member->fence == SET_FENCE_ASKED);
	member->fence = SET_FENCE_SYNCED;
}

bool set_member_is_fenced(const struct set_member *member)
{
	return (member->fence == SET_FENCE_SYNCED || member->voting >= SET_VOTE_CAST) &&
	       set_member_settled(member);
}

/* What this member holds is what the descriptor says, and nothing beyond. */
static bool is_exact(const struct set_member *member, const struct set_descriptor *descriptor)
{
	for (size_t i = 0; i < member->profile.k; i++) {
		const struct set_position *position = &member->columns[i];

		if (set_member_holds(member, (uint8_t)i) &&
		    (position->end != descriptor->length[i] ||
		     !hash128_equal(position->running, descriptor->hash[i])))
			return false;
	}
	return true;
}

enum err set_member_vote(struct set_member *member, struct hash128 seal,
			 const struct set_descriptor *descriptor)
{
	if (member->voting >= SET_VOTE_WRITING && !hash128_equal(seal, member->vote.seal))
		return ERR_CONFLICT;
	if (member->voting >= SET_VOTE_CAST)
		return ERR_EXISTS;
	if (member->voting != SET_VOTE_NONE || member->fence == SET_FENCE_ASKED)
		return ERR_UNAVAILABLE;
	if (descriptor->profile.k != member->profile.k ||
	    descriptor->profile.m != member->profile.m)
		return ERR_STALE;
	if (!is_exact(member, descriptor) &&
	    !(PLANTED(parity_over_stale_bytes) && !is_data(member)))
		return ERR_STALE;
	if (!set_member_settled(member))
		return ERR_UNAVAILABLE;
	member->voting = SET_VOTE_CHECKING;
	member->vote = (struct column_vote){.seal = seal, .descriptor = *descriptor};
	return ERR_OK;
}

void set_member_checked(struct set_member *member, bool ok, struct hash128 file_hash)
{
	ASSERT(member->voting == SET_VOTE_CHECKING);
	member->voting = ok ? SET_VOTE_WRITING : SET_VOTE_NONE;
	member->vote.file_hash = file_hash;
}

void set_member_voted(struct set_member *member)
{
	ASSERT(member->voting == SET_VOTE_WRITING);
	member->voting = SET_VOTE_CAST;
}

enum err set_member_certify(struct set_member *member, const struct set_certificate *certificate)
{
	if (member->voting < SET_VOTE_CAST ||
	    !hash128_equal(certificate->seal, member->vote.seal) ||
	    !hash128_equal(certificate->file_hash[member->index], member->vote.file_hash))
		return ERR_CONFLICT;
	if (member->voting == SET_VOTE_SEALED)
		return ERR_EXISTS;
	if (member->voting == SET_VOTE_CERTIFYING)
		return ERR_UNAVAILABLE;
	member->voting = SET_VOTE_CERTIFYING;
	return ERR_OK;
}

void set_member_sealed(struct set_member *member)
{
	ASSERT(member->voting == SET_VOTE_CERTIFYING);
	member->voting = SET_VOTE_SEALED;
}

void set_member_not_sealed(struct set_member *member)
{
	ASSERT(member->voting == SET_VOTE_CERTIFYING);
	member->voting = SET_VOTE_CAST;
}

bool set_member_may_drop_mirror(const struct set_member *member)
{
	if (PLANTED(mirror_dropped_before_votes) && member->voting >= SET_VOTE_CAST)
		return member->has_mirror;
	return member->has_mirror && member->voting == SET_VOTE_SEALED;
}

void set_member_drop_mirror(struct set_member *member)
{
	ASSERT(set_member_may_drop_mirror(member));
	member->has_mirror = false;
}

void set_member_recover(struct set_member *member, bool fenced, const struct column_vote *vote)
{
	for (size_t i = 0; i < member->profile.k; i++)
		member->synced[i] = member->columns[i].end;
	member->fence = fenced ? SET_FENCE_SYNCED : SET_FENCE_NONE;
	member->voting = vote != NULL ? SET_VOTE_CAST : SET_VOTE_NONE;
	if (vote != NULL)
		member->vote = *vote;
}

void set_member_check(const struct set_member *member)
{
	ASSERT(profile_valid(member->profile));
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		ASSERT(member->synced[i] <= member->columns[i].end);
		ASSERT(set_member_holds(member, (uint8_t)i) || member->columns[i].end == 0 ||
		       i >= member->profile.k);
	}
	/* INV 4: whoever has voted, or is about to, holds exactly what the vote says, synced. */
	if (member->voting >= SET_VOTE_CHECKING && member->has_mirror == !is_data(member)) {
		ASSERT(is_exact(member, &member->vote.descriptor));
		ASSERT(set_member_settled(member));
	}
	/* INV 5 */
	ASSERT(is_data(member) || member->has_mirror || member->voting == SET_VOTE_SEALED);
}

/* ---- votes ---- */

void set_ballot_start(struct set_ballot *ballot, uint64_t set, struct id128 uuid,
		      const struct set_descriptor *descriptor)
{
	*ballot = (struct set_ballot){.certificate.descriptor = *descriptor};
	ballot->certificate.seal = set_seal_id(set, uuid, descriptor);
}

enum err set_ballot_add(struct set_ballot *ballot, uint8_t member, const struct column_vote *vote)
{
	struct set_certificate *certificate = &ballot->certificate;

	ASSERT(member < profile_members(certificate->descriptor.profile));
	if (!hash128_equal(vote->seal, certificate->seal))
		return ERR_CONFLICT;
	if ((ballot->voted >> member & 1) != 0)
		return hash128_equal(certificate->file_hash[member], vote->file_hash)
			       ? ERR_OK
			       : ERR_CONFLICT;
	ballot->voted |= 1u << member;
	certificate->file_hash[member] = vote->file_hash;
	return ERR_OK;
}

bool set_ballot_unanimous(const struct set_ballot *ballot)
{
	return ballot->voted == (1u << profile_members(ballot->certificate.descriptor.profile)) - 1;
}

/* ---- writer ---- */

void set_writer_init(struct set_writer *writer, struct profile profile)
{
	ASSERT(profile_valid(profile));
	*writer = (struct set_writer){.profile = profile};
}

void set_writer_born(struct set_writer *writer)
{
	writer->born = true;
}

void set_writer_appended(struct set_writer *writer, uint8_t column, uint64_t size,
			 struct hash128 running)
{
	ASSERT(writer->state == SET_WRITER_OPEN && column < writer->profile.k);
	writer->columns[column].end += size;
	writer->columns[column].running = running;
}

void set_writer_synced(struct set_writer *writer, uint8_t member, uint8_t column, uint64_t end)
{
	ASSERT(end <= writer->columns[column].end);
	/* One whose append failed has a hole: what it says of later ones counts no more. */
	if ((writer->lost >> member & 1) == 0 && end > writer->synced[member][column])
		writer->synced[member][column] = end;
}

uint64_t set_writer_acknowledged(const struct set_writer *writer, uint8_t column)
{
	uint64_t end = writer->synced[column][column];
	unsigned members = profile_members(writer->profile);

	if (!writer->born)
		return 0;
	for (unsigned i = writer->profile.k; i < members; i++) {
		if (PLANTED(ack_before_sync) && i + 1 == members)
			continue;
		if (writer->synced[i][column] < end)
			end = writer->synced[i][column];
	}
	return end;
}

uint64_t set_writer_durable(const struct set_writer *writer, uint8_t column)
{
	return writer->synced[column][column];
}

void set_writer_pause(struct set_writer *writer)
{
	if (writer->state == SET_WRITER_OPEN)
		writer->state = SET_WRITER_PAUSED;
}

void set_writer_resume(struct set_writer *writer)
{
	if (writer->state == SET_WRITER_PAUSED)
		writer->state = SET_WRITER_OPEN;
}

void set_writer_close(struct set_writer *writer)
{
	if (writer->state != SET_WRITER_BROKEN)
		writer->state = SET_WRITER_CLOSED;
}

void set_writer_lose(struct set_writer *writer, uint8_t member)
{
	writer->lost |= 1u << member;
	writer->state = SET_WRITER_BROKEN;
}

bool set_writer_settled(const struct set_writer *writer)
{
	for (uint8_t i = 0; i < writer->profile.k; i++) {
		if (writer->synced[i][i] != writer->columns[i].end)
			return false;
		for (unsigned j = writer->profile.k; j < profile_members(writer->profile); j++)
			if (writer->synced[j][i] != writer->columns[i].end)
				return false;
	}
	return true;
}

void set_writer_descriptor(const struct set_writer *writer, struct set_descriptor *out)
{
	*out = (struct set_descriptor){.profile = writer->profile};
	for (size_t i = 0; i < writer->profile.k; i++) {
		out->length[i] = writer->columns[i].end;
		out->hash[i] = writer->columns[i].running;
	}
}

void set_writer_check(const struct set_writer *writer)
{
	ASSERT(profile_valid(writer->profile));
	ASSERT((writer->lost != 0) == (writer->state == SET_WRITER_BROKEN));
	for (uint8_t i = 0; i < writer->profile.k; i++)
		ASSERT(set_writer_acknowledged(writer, i) <= writer->columns[i].end);
}

/* ---- finishing ---- */

static bool answer_holds(struct profile profile, unsigned member, unsigned column)
{
	return member < profile.k ? member == column : column < profile.k;
}

static void longest(struct profile profile, const struct set_answer *answers,
		    struct set_descriptor *out)
{
	*out = (struct set_descriptor){.profile = profile};
	for (unsigned i = 0; i < profile_members(profile); i++)
		for (unsigned column = 0; answers[i].answered && column < profile.k; column++) {
			const struct set_position *position = &answers[i].columns[column];

			if (answer_holds(profile, i, column) &&
			    position->end > out->length[column]) {
				out->length[column] = position->end;
				out->hash[column] = position->running;
			}
		}
}

/* Whether this member can still come to hold exactly the target. */
static bool can_reach(struct profile profile, unsigned member, const struct set_answer *answer,
		      const struct set_descriptor *target)
{
	bool closed = answer->fenced || answer->voted;

	if (answer->damaged)
		return false;
	for (unsigned i = 0; i < profile.k; i++) {
		const struct set_position *position = &answer->columns[i];

		if (!answer_holds(profile, member, i))
			continue;
		if (position->end == target->length[i]
			    ? !hash128_equal(position->running, target->hash[i])
			    : closed)
			return false;
	}
	return true;
}

enum set_plan set_plan(struct profile profile, const struct set_answer *answers,
		       struct set_descriptor *target)
{
	unsigned members = profile_members(profile), answered = 0, reachable = 0;

	for (unsigned i = 0; i < members; i++) {
		answered += answers[i].answered;
		if (answers[i].answered && answers[i].sealed) {
			*target = answers[i].certificate.descriptor;
			return SET_PLAN_CERTIFY;
		}
	}
	if (answered < profile.k)
		return SET_PLAN_WAIT;
	longest(profile, answers, target);
	for (unsigned i = 0; i < members; i++)
		reachable += answers[i].answered && can_reach(profile, i, &answers[i], target);
	if (reachable < members)
		return SET_PLAN_EVACUATE;
	return set_descriptor_longest(target) == 0 ? SET_PLAN_REMOVE : SET_PLAN_SEAL;
}
