/* SPDX-License-Identifier: MPL-2.0 */
/*
 * protocol - the rules by which a set is written, sealed and given up, as pure
 * state machines: no I/O, no env, no memory of their own. The code around them
 * (engine/set/writer.c, member.c, finish.c) does what they say, and nothing else
 * decides. Design section 3; tests/engine/set/test_protocol.c runs them against
 * crashes, losses, reordering and duplicates.
 *
 * A set has k data members (member i holds data column i) and m parity members
 * (each holds a mirror of all k columns).
 *
 * INV 1  One writer incarnation, never reopened. A member accepts a record only
 *        at its own end of that column, and only when the running hash goes on
 *        from there: an offset is never reused for other bytes.
 * INV 2  A record is acknowledged when its data member and all m parity members
 *        have synced it and the set's birth is durable.
 * INV 3  A fence is answered when it and everything accepted before it are
 *        synced; a fenced member accepts nothing more. Any k members cover every
 *        column.
 * INV 4  A member votes for at most one descriptor, ever. A vote forbids appends
 *        as a fence does. A data member votes when its column, read back, is
 *        exactly the descriptor's; a parity member when its mirror is exactly
 *        all k columns and its parity is written, synced and read back. All k+m
 *        votes for one seal id are the certificate, nothing less.
 * INV 5  A parity member drops its mirror only when it holds the certificate,
 *        synced.
 * INV 6  Evacuation (fence k or more, copy the union) is allowed at any time. An
 *        unsealed set never changes members.
 *
 * Member: two small machines side by side. It accepts appends only while both
 * are in their first state.
 *
 *   fence:  NONE --set_member_fence--> ASKED --set_member_fenced--> SYNCED
 *
 *   vote:   NONE --set_member_vote--> CHECKING --set_member_checked(ok)--> WRITING
 *             ^                           |                                   |
 *             +--set_member_checked(no)---+                   set_member_voted|
 *                                                                             v
 *           SEALED <--set_member_sealed-- CERTIFYING <--set_member_certify-- CAST
 *
 * The life of a set, and who moves it on:
 *
 *   born ──writer──▶ OPEN ◀──slow, recovered──▶ PAUSED
 *                     │ full, old                │ another is paused, old, stuck
 *                     ▼                          ▼
 *                   CLOSED ◀──────────────────────      BROKEN: a member failed an append
 *                     │ finish.c: ask, even out, vote     │
 *          unanimous  │  not, or somebody is silent       │
 *        ┌────────────┴───────────────┐                   │
 *        ▼                            ▼                   │
 *     SEALED: certificate in       FENCED: k or more ◀────┘
 *     every footer, mirrors gone      │ evacuate.c: copy the union, seal the copy
 *        │                            ▼
 *        │                         SUCCEEDED: published; columns of who answers go
 *        │                            │ a member that was silent is compared first
 *        ▼                            ▼
 *     serves                       gone: every placement is removed
 *
 * Writer:
 *
 *   OPEN <--pause/resume--> PAUSED       a slow member; acknowledging goes on
 *     |                        |
 *     +-----set_writer_close---+--> CLOSED --all copies synced--> ask for votes
 *     any state --set_writer_lose--> BROKEN                      --> evacuate
 */
#ifndef AEROSTORE_ENGINE_SET_PROTOCOL_H
#define AEROSTORE_ENGINE_SET_PROTOCOL_H

#include "engine/format/column.h"

/* End of what is held of one column, and the running hash there. */
struct set_position {
	uint64_t end;
	struct hash128 running;
};

/* ---- member ---- */

enum set_fence { SET_FENCE_NONE, SET_FENCE_ASKED, SET_FENCE_SYNCED };
enum set_voting {
	SET_VOTE_NONE,
	SET_VOTE_CHECKING,
	SET_VOTE_WRITING,
	SET_VOTE_CAST,
	SET_VOTE_CERTIFYING,
	SET_VOTE_SEALED
};

struct set_member {
	struct profile profile;
	uint8_t index;
	enum set_fence fence;
	enum set_voting voting;
	bool has_mirror;				 /* parity only */
	struct set_position columns[PROFILE_MEMBER_MAX]; /* accepted; data: only its own */
	uint64_t synced[PROFILE_MEMBER_MAX];
	struct column_vote vote; /* from WRITING on */
};

void set_member_init(struct set_member *member, struct profile profile, uint8_t index);
/* Whether this member keeps records of that data column. */
bool set_member_holds(const struct set_member *member, uint8_t column);
/*
 * A record of `column` at `offset`, `size` bytes on disk, that carries the running hash `after`;
 * `expected` is what this member's own running hash becomes by it. ERR_OK: accepted, write it.
 * ERR_FENCED; ERR_CONFLICT: not at the end, or other bytes before it; ERR_INVALID: not a column of
 * this member; ERR_EXISTS: the last one accepted was exactly this.
 */
MUST_USE enum err set_member_append(struct set_member *member, uint8_t column, uint64_t offset,
				    uint64_t size, struct hash128 expected, struct hash128 after);
void set_member_synced(struct set_member *member, uint8_t column, uint64_t end);
/* Everything accepted is synced. */
bool set_member_settled(const struct set_member *member);
/* Refuses appends from now on. True: write a fence record now. */
MUST_USE bool set_member_fence(struct set_member *member);
/* The fence record and all before it are synced. */
void set_member_fenced(struct set_member *member);
/* Whether a fence may be answered now. */
bool set_member_is_fenced(const struct set_member *member);
/*
 * A request for a vote. ERR_OK: check the column (data) or make parity, then set_member_checked().
 * ERR_EXISTS: this very vote is cast, answer it again. ERR_CONFLICT: voted for another descriptor.
 * ERR_STALE: what is held is not the descriptor's. ERR_UNAVAILABLE: not yet synced, or busy.
 */
MUST_USE enum err set_member_vote(struct set_member *member, struct hash128 seal,
				  const struct set_descriptor *descriptor);
/* ok: write the vote now. file_hash: what the certificate will say of this member's file. */
void set_member_checked(struct set_member *member, bool ok, struct hash128 file_hash);
void set_member_voted(struct set_member *member);
/*
 * ERR_OK: write index and trailer, then set_member_sealed(). ERR_EXISTS: sealed so already.
 * ERR_CONFLICT: not the descriptor that it voted for, or its vote is quoted wrongly.
 */
MUST_USE enum err set_member_certify(struct set_member *member,
				     const struct set_certificate *certificate);
void set_member_sealed(struct set_member *member);
/* The trailer could not be written; the volume has failed. */
void set_member_not_sealed(struct set_member *member);
bool set_member_may_drop_mirror(const struct set_member *member);
void set_member_drop_mirror(struct set_member *member);
/* After a restart, from what the disk holds: positions are filled in, all of it synced. */
void set_member_recover(struct set_member *member, bool fenced, const struct column_vote *vote);
/* ASSERTs what must hold in every state. */
void set_member_check(const struct set_member *member);

/* ---- votes ---- */

/* The votes for one descriptor, as the writer or a recoverer collects them. */
struct set_ballot {
	struct set_certificate certificate;
	uint32_t voted; /* bit i: member i */
};

void set_ballot_start(struct set_ballot *ballot, uint64_t set, struct id128 uuid,
		      const struct set_descriptor *descriptor);
/* ERR_CONFLICT: a vote for something else, or a second one that differs. */
MUST_USE enum err set_ballot_add(struct set_ballot *ballot, uint8_t member,
				 const struct column_vote *vote);
bool set_ballot_unanimous(const struct set_ballot *ballot);

/* ---- writer ---- */

enum set_writer_state { SET_WRITER_OPEN, SET_WRITER_PAUSED, SET_WRITER_CLOSED, SET_WRITER_BROKEN };

struct set_writer {
	struct profile profile;
	enum set_writer_state state;
	bool born;     /* the birth is durable in the directory */
	uint32_t lost; /* bit i: member i failed an append */
	struct set_position columns[PROFILE_MEMBER_MAX];
	uint64_t synced[PROFILE_MEMBER_MAX][PROFILE_MEMBER_MAX]; /* [member][column] */
};

void set_writer_init(struct set_writer *writer, struct profile profile);
void set_writer_born(struct set_writer *writer);
/* The end moves by `size`; the writer must be open. */
void set_writer_appended(struct set_writer *writer, uint8_t column, uint64_t size,
			 struct hash128 running);
void set_writer_synced(struct set_writer *writer, uint8_t member, uint8_t column, uint64_t end);
/* Up to there every record of the column is acknowledged. */
uint64_t set_writer_acknowledged(const struct set_writer *writer, uint8_t column);
/* What the record's `durable` field may say. */
uint64_t set_writer_durable(const struct set_writer *writer, uint8_t column);
void set_writer_pause(struct set_writer *writer);
void set_writer_resume(struct set_writer *writer);
void set_writer_close(struct set_writer *writer);
void set_writer_lose(struct set_writer *writer, uint8_t member);
/* Every copy of everything is synced: votes may be asked for. */
bool set_writer_settled(const struct set_writer *writer);
void set_writer_descriptor(const struct set_writer *writer, struct set_descriptor *out);
void set_writer_check(const struct set_writer *writer);

/* ---- finishing a set that somebody else left ---- */

/* What a member says of itself, when asked or fenced. */
struct set_answer {
	bool answered;
	bool readable; /* not answered, because its writing failed; this is what it had synced */
	bool sealed, fenced, voted;
	bool damaged; /* corruption below the durable mark */
	bool torn;    /* an unfinished tail behind what it holds */
	struct set_position columns[PROFILE_MEMBER_MAX];
	struct column_vote vote;	    /* when voted */
	struct set_certificate certificate; /* when sealed */
};

enum set_plan {
	SET_PLAN_WAIT,	   /* fewer than k answered, nothing can be done */
	SET_PLAN_CERTIFY,  /* a member holds the certificate: hand it to the others */
	SET_PLAN_SEAL,	   /* bring all to `target`, then ask for votes */
	SET_PLAN_EVACUATE, /* fence, copy the union to a new set */
	SET_PLAN_REMOVE	   /* all answered, nothing was ever written */
};

/* answers[k+m]. For SEAL *target is the longest of every column; for CERTIFY the certificate's. */
enum set_plan set_plan(struct profile profile, const struct set_answer *answers,
		       struct set_descriptor *target);

#endif
