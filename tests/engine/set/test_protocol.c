/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The protocol's machines in a world without bytes: one writer, k+m members with
 * disks, recoverers that come and go, and a network that loses, repeats and
 * reorders. A record is its number in its column; a copy of a column is how
 * many of them it has. After every step the oracles ask, for every further loss
 * that the profile tolerates, whether each acknowledged record could be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/set/protocol.h"
#include "tests/sim/plant.h"

#define MEMBERS 9
#define RECORDS 24
#define MESSAGES 256
#define PENDING 128
#define SET_ID 77u
#define RECORD_BYTES 256u

static const struct id128 UUID = {{9}};

enum message_kind { APPEND, APPENDED, ASK, FENCE, ANSWER, VOTE, VOTED, CERTIFY, CERTIFIED };

struct message {
	enum message_kind kind;
	unsigned member, round; /* round: of the recoverer that sent or gets it; 0: the writer */
	uint8_t column;
	unsigned record;
	enum err err;
	struct set_descriptor descriptor;
	struct set_answer answer;
	struct column_vote vote;
	struct set_certificate certificate;
};

/* What waits for a member's next sync, in order. */
struct pending {
	struct message message;
};

struct disk {
	unsigned counts[MEMBERS]; /* records of each column */
	bool fenced, voted, certified, has_mirror;
	struct column_vote vote;
	struct set_certificate certificate;
	unsigned parity[MEMBERS]; /* what parity was made of */
};

struct node {
	struct set_member machine;
	struct disk disk;
	struct pending pending[PENDING];
	size_t pending_count;
	bool lost, removed;
	bool fence_answered;
	unsigned fenced_counts[MEMBERS];
};

/* The writer's sealing, or a recoverer: collects answers, then votes, then certifies. */
struct actor {
	unsigned round;
	enum { IDLE, ASKING, CATCHING, VOTING, CERTIFYING, FENCING, OVER } phase;
	struct set_answer answers[MEMBERS];
	struct set_descriptor target;
	struct set_ballot ballot;
};

static struct world {
	uint64_t random;
	struct profile profile;
	unsigned members;
	struct set_position ends[MEMBERS][RECORDS + 1]; /* [column][count] */
	unsigned written[MEMBERS], acknowledged[MEMBERS];
	struct set_writer writer;
	bool writer_alive;
	struct node nodes[MEMBERS];
	struct message messages[MESSAGES];
	size_t message_count;
	struct actor actor;
	unsigned losses;
	bool planted;
	bool calm; /* the network keeps what it is given, and its order */
	bool has_certificate, evacuated;
	struct set_certificate certificate;
	unsigned successor[MEMBERS];
	const char *violation;
	struct {
		unsigned sealed, evacuated, catch_ups, losses;
	} marks;
} world;

/* ---- chance ---- */

static uint64_t next_random(void)
{
	uint64_t x = world.random += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static unsigned below(unsigned limit)
{
	return (unsigned)(next_random() % limit);
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

static void violated(const char *what)
{
	if (world.violation == NULL)
		world.violation = what;
}

/* ---- the network ---- */

static void post(const struct message *message)
{
	if (!world.calm && chance(3))
		return;
	for (int copies = !world.calm && chance(3) ? 2 : 1;
	     copies > 0 && world.message_count < MESSAGES; copies--)
		world.messages[world.message_count++] = *message;
}

static void ask_everybody(enum message_kind kind)
{
	for (unsigned i = 0; i < world.members; i++) {
		struct message message = {.kind = kind,
					  .member = i,
					  .round = world.actor.round,
					  .descriptor = world.actor.target};

		if (kind == CERTIFY)
			message.certificate = world.actor.ballot.certificate;
		post(&message);
	}
}

/* ---- members ---- */

static bool holds(unsigned member, unsigned column)
{
	return member < world.profile.k ? member == column : column < world.profile.k;
}

static unsigned count_of(uint64_t end)
{
	return (unsigned)(end / RECORD_BYTES);
}

static void answer_from(const struct node *node, struct set_answer *out)
{
	*out = (struct set_answer){.answered = true,
				   .sealed = node->machine.voting == SET_VOTE_SEALED,
				   .fenced = node->machine.fence != SET_FENCE_NONE,
				   .voted = node->machine.voting >= SET_VOTE_WRITING};
	memcpy(out->columns, node->machine.columns, sizeof(out->columns));
	out->vote = node->machine.vote;
	out->certificate = node->disk.certificate;
}

static void reply(const struct message *request, enum message_kind kind, enum err err)
{
	struct node *node = &world.nodes[request->member];
	struct message message = *request;

	message.kind = kind;
	message.err = err;
	answer_from(node, &message.answer);
	if (kind == VOTED)
		message.vote = node->machine.vote;
	post(&message);
}

static void later(struct node *node, const struct message *message)
{
	if (node->pending_count < PENDING)
		node->pending[node->pending_count++].message = *message;
}

static void member_append(struct node *node, const struct message *message)
{
	const struct set_position *before = &world.ends[message->column][message->record];
	struct set_position *own = &node->machine.columns[message->column];
	/* What the running hash becomes is right only when this member stands where the record does. */
	bool continues = own->end == before->end && hash128_equal(own->running, before->running);
	struct hash128 after = before[1].running, expected = after;
	enum err err;

	expected.low += !continues;
	err = set_member_append(&node->machine, message->column, before->end, RECORD_BYTES,
				expected, after);
	if (err == ERR_OK)
		later(node, message);
	else if (err == ERR_EXISTS && set_member_settled(&node->machine))
		reply(message, APPENDED, ERR_OK);
	else if (err != ERR_EXISTS)
		reply(message, APPENDED, err);
}

static void member_fence(struct node *node, const struct message *message)
{
	if (set_member_fence(&node->machine) || !set_member_is_fenced(&node->machine))
		later(node, message);
	else
		reply(message, ANSWER, ERR_OK);
}

static void member_vote(struct node *node, const struct message *message)
{
	struct hash128 seal = set_seal_id(SET_ID, UUID, &message->descriptor);
	enum err err = set_member_vote(&node->machine, seal, &message->descriptor);
	struct hash128 file_hash = {message->member, 1};

	if (err == ERR_EXISTS) {
		reply(message, VOTED, ERR_OK);
	} else if (err != ERR_OK) {
		reply(message, VOTED, err);
	} else {
		/* Parity is made of what the mirror has, now. */
		memcpy(node->disk.parity, node->disk.counts, sizeof(node->disk.parity));
		set_member_checked(&node->machine, !chance(2), file_hash);
		if (node->machine.voting == SET_VOTE_WRITING)
			later(node, message);
	}
}

static void member_certify(struct node *node, const struct message *message)
{
	enum err err = set_member_certify(&node->machine, &message->certificate);

	if (err == ERR_OK)
		later(node, message);
	else
		reply(message, CERTIFIED, err == ERR_EXISTS ? ERR_OK : err);
}

static void member_receive(const struct message *message)
{
	struct node *node = &world.nodes[message->member];

	if (node->lost || node->removed)
		return;
	if (message->kind == APPEND)
		member_append(node, message);
	else if (message->kind == ASK)
		reply(message, ANSWER, ERR_OK);
	else if (message->kind == FENCE)
		member_fence(node, message);
	else if (message->kind == VOTE)
		member_vote(node, message);
	else
		member_certify(node, message);
}

/* One write reaches the disk for good. */
static void persist(struct node *node, const struct message *message)
{
	struct disk *disk = &node->disk;

	if (message->kind == APPEND && disk->counts[message->column] == message->record)
		disk->counts[message->column]++;
	if (message->kind == FENCE)
		disk->fenced = true;
	if (message->kind == VOTE) {
		disk->voted = true;
		disk->vote = node->machine.vote;
	}
	if (message->kind == CERTIFY) {
		disk->certified = true;
		disk->certificate = message->certificate;
	}
}

static void complete(struct node *node, const struct message *message)
{
	struct set_member *machine = &node->machine;

	if (message->kind == APPEND) {
		set_member_synced(machine, message->column,
				  world.ends[message->column][message->record + 1].end);
		reply(message, APPENDED, ERR_OK);
	} else if (message->kind == FENCE) {
		if (machine->fence == SET_FENCE_ASKED)
			set_member_fenced(machine);
		if (set_member_is_fenced(machine)) {
			reply(message, ANSWER, ERR_OK);
			node->fence_answered = true;
			memcpy(node->fenced_counts, node->disk.counts, sizeof(node->fenced_counts));
		}
	} else if (message->kind == VOTE) {
		if (machine->voting == SET_VOTE_WRITING)
			set_member_voted(machine);
		reply(message, VOTED, ERR_OK);
	} else {
		if (machine->voting == SET_VOTE_CERTIFYING)
			set_member_sealed(machine);
		reply(message, CERTIFIED, ERR_OK);
	}
}

static void member_sync(struct node *node)
{
	size_t count = node->pending_count;
	struct pending batch[PENDING];

	memcpy(batch, node->pending, count * sizeof(batch[0]));
	node->pending_count = 0;
	for (size_t i = 0; i < count; i++)
		persist(node, &batch[i].message);
	for (size_t i = 0; i < count; i++)
		complete(node, &batch[i].message);
	if (set_member_may_drop_mirror(&node->machine)) {
		if (!node->disk.certified)
			violated("a mirror was dropped without a certificate");
		set_member_drop_mirror(&node->machine);
		node->disk.has_mirror = false;
	}
}

static void member_restart(struct node *node, unsigned index)
{
	set_member_init(&node->machine, world.profile, (uint8_t)index);
	for (unsigned i = 0; i < world.profile.k; i++)
		if (holds(index, i))
			node->machine.columns[i] = world.ends[i][node->disk.counts[i]];
	set_member_recover(&node->machine, node->disk.fenced,
			   node->disk.voted ? &node->disk.vote : NULL);
	if (node->disk.certified)
		node->machine.voting = SET_VOTE_SEALED;
	node->machine.has_mirror = node->disk.has_mirror;
}

/* Some first part of what was not synced is on the disk all the same. */
static void member_crash(unsigned index)
{
	struct node *node = &world.nodes[index];
	size_t kept = node->pending_count > 0 ? below((unsigned)node->pending_count + 1) : 0;

	for (size_t i = 0; i < kept; i++)
		persist(node, &node->pending[i].message);
	node->pending_count = 0;
	member_restart(node, index);
}

/* ---- the writer ---- */

static void writer_write(void)
{
	uint8_t column = (uint8_t)below(world.profile.k);
	unsigned record = world.written[column];
	struct set_position *ends = world.ends[column];

	if (!world.writer_alive || world.writer.state != SET_WRITER_OPEN || record == RECORDS)
		return;
	ends[record + 1].end = ends[record].end + RECORD_BYTES;
	ends[record + 1].running = (struct hash128){next_random(), column};
	world.written[column]++;
	set_writer_appended(&world.writer, column, RECORD_BYTES, ends[record + 1].running);
	for (unsigned i = 0; i < world.members; i++) {
		const struct message message = {
			.kind = APPEND, .member = i, .column = column, .record = record};

		if (holds(i, column))
			post(&message);
	}
}

static void writer_receive(const struct message *message)
{
	if (!world.writer_alive || message->kind != APPENDED)
		return;
	if (message->err != ERR_OK) {
		set_writer_lose(&world.writer, (uint8_t)message->member);
		return;
	}
	set_writer_synced(&world.writer, (uint8_t)message->member, message->column,
			  world.ends[message->column][message->record + 1].end);
	/* A broken writer gives its records to another set: later copies count for nothing. */
	for (uint8_t i = 0; world.writer.state != SET_WRITER_BROKEN && i < world.profile.k; i++)
		world.acknowledged[i] = count_of(set_writer_acknowledged(&world.writer, i));
	set_writer_check(&world.writer);
}

/* ---- who finishes the set ---- */

static void actor_start(void)
{
	struct actor *actor = &world.actor;
	unsigned round = actor->round + 1;

	*actor = (struct actor){.round = round, .phase = ASKING};
	ask_everybody(ASK);
}

static bool anyone_sealed(void)
{
	for (unsigned i = 0; i < world.members; i++)
		if (world.actor.answers[i].answered && world.actor.answers[i].sealed)
			return true;
	return false;
}

/* The union of what fenced members hold is copied, and they are emptied. */
static void evacuate(void)
{
	struct actor *actor = &world.actor;

	memset(world.successor, 0, sizeof(world.successor));
	for (unsigned i = 0; i < world.members; i++)
		for (unsigned j = 0; actor->answers[i].answered && j < world.profile.k; j++) {
			unsigned count = count_of(actor->answers[i].columns[j].end);

			if (holds(i, j) && count > world.successor[j])
				world.successor[j] = count;
		}
	for (unsigned i = 0; i < world.members; i++)
		world.nodes[i].removed = true;
	world.evacuated = true;
	world.marks.evacuated++;
	actor->phase = OVER;
}

static void catch_up(void)
{
	for (unsigned i = 0; i < world.members; i++)
		for (uint8_t j = 0; j < world.profile.k; j++) {
			unsigned have = count_of(world.actor.answers[i].columns[j].end);

			for (; holds(i, j) && have < count_of(world.actor.target.length[j]);
			     have++) {
				const struct message message = {.kind = APPEND,
								.member = i,
								.round = world.actor.round,
								.column = j,
								.record = have};

				post(&message);
				world.marks.catch_ups++;
			}
		}
}

static void actor_plan(void)
{
	struct actor *actor = &world.actor;

	switch (set_plan(world.profile, actor->answers, &actor->target)) {
	case SET_PLAN_CERTIFY:
		for (unsigned i = 0; i < world.members; i++)
			if (actor->answers[i].sealed)
				actor->ballot.certificate = actor->answers[i].certificate;
		actor->phase = CERTIFYING;
		ask_everybody(CERTIFY);
		break;
	case SET_PLAN_SEAL:
		actor->phase = CATCHING;
		catch_up();
		break;
	case SET_PLAN_EVACUATE:
		memset(actor->answers, 0, sizeof(actor->answers));
		actor->phase = FENCING;
		ask_everybody(FENCE);
		break;
	case SET_PLAN_WAIT:
	case SET_PLAN_REMOVE:
	default:
		actor->phase = IDLE;
		break;
	}
}

static void actor_certificate(void)
{
	struct set_certificate *certificate = &world.actor.ballot.certificate;

	if (world.has_certificate && !hash128_equal(certificate->seal, world.certificate.seal))
		violated("two descriptors are certified");
	world.certificate = *certificate;
	world.has_certificate = true;
	world.marks.sealed++;
	world.actor.phase = CERTIFYING;
	ask_everybody(CERTIFY);
}

/* Has waited long enough for whoever has not answered. */
static void actor_step(void)
{
	struct actor *actor = &world.actor;
	unsigned answered = 0;

	for (unsigned i = 0; i < world.members; i++)
		answered += actor->answers[i].answered;
	switch (actor->phase) {
	case ASKING:
		actor_plan();
		break;
	case CATCHING:
		actor->phase = VOTING;
		set_ballot_start(&actor->ballot, SET_ID, UUID, &actor->target);
		ask_everybody(VOTE);
		break;
	case VOTING:
		memset(actor->answers, 0, sizeof(actor->answers));
		actor->phase = FENCING;
		ask_everybody(FENCE);
		break;
	case FENCING:
		if (answered >= world.profile.k && !anyone_sealed())
			evacuate();
		else
			actor->phase = IDLE;
		break;
	case CERTIFYING:
		actor->phase = IDLE;
		break;
	case IDLE:
	case OVER:
		break;
	}
}

static void actor_receive(const struct message *message)
{
	struct actor *actor = &world.actor;

	if (message->round != actor->round)
		return;
	if (message->kind == ANSWER && (actor->phase == ASKING || actor->phase == FENCING))
		actor->answers[message->member] = message->answer;
	if (message->kind != VOTED || actor->phase != VOTING || message->err != ERR_OK)
		return;
	if (set_ballot_add(&actor->ballot, (uint8_t)message->member, &message->vote) != ERR_OK)
		return;
	if (set_ballot_unanimous(&actor->ballot))
		actor_certificate();
}

/* ---- oracles ---- */

static bool has_copy(unsigned member, unsigned column, unsigned record)
{
	const struct disk *disk = &world.nodes[member].disk;

	return holds(member, column) && disk->counts[column] > record &&
	       (member < world.profile.k || disk->has_mirror);
}

/* Holds a column that counts when the certified descriptor's are combined. */
static bool is_exact_column(unsigned member)
{
	const struct disk *disk = &world.nodes[member].disk;
	const struct set_descriptor *descriptor = &world.certificate.descriptor;

	if (!disk->voted || !hash128_equal(disk->vote.seal, world.certificate.seal))
		return false;
	for (unsigned i = 0; member >= world.profile.k && i < world.profile.k; i++)
		if (disk->parity[i] != count_of(descriptor->length[i]))
			return false;
	return true;
}

static bool recoverable(unsigned column, unsigned record, uint32_t lost)
{
	unsigned exact = 0;

	if (world.evacuated)
		return record < world.successor[column];
	for (unsigned i = 0; i < world.members; i++) {
		if ((lost >> i & 1) != 0)
			continue;
		if (has_copy(i, column, record))
			return true;
		exact += world.has_certificate && is_exact_column(i);
	}
	return world.has_certificate && exact >= world.profile.k &&
	       record < count_of(world.certificate.descriptor.length[column]);
}

static void check_loss(uint32_t lost)
{
	for (unsigned i = 0; i < world.profile.k; i++)
		for (unsigned j = 0; j < world.acknowledged[i]; j++)
			if (!recoverable(i, j, lost))
				violated("an acknowledged record cannot be had");
}

static void check_losses(uint32_t lost, unsigned from, unsigned left)
{
	if (left == 0) {
		check_loss(lost);
		return;
	}
	for (unsigned i = from; i < world.members; i++)
		if ((lost >> i & 1) == 0)
			check_losses(lost | 1u << i, i + 1, left - 1);
}

static void check_world(void)
{
	uint32_t lost = 0;

	for (unsigned i = 0; i < world.members; i++) {
		struct node *node = &world.nodes[i];

		lost |= node->lost ? 1u << i : 0;
		if (!world.planted && !node->lost)
			set_member_check(&node->machine);
		if (node->fence_answered && !node->lost &&
		    memcmp(node->fenced_counts, node->disk.counts, sizeof(node->fenced_counts)) !=
			    0)
			violated("a fenced member took a record");
		if (!node->lost && world.has_certificate && !node->disk.voted && !world.evacuated)
			violated("a certificate without every vote");
	}
	check_losses(lost, 0, world.profile.m - world.losses);
}

/* ---- steps ---- */

static void deliver(void)
{
	size_t index;
	struct message message;

	if (world.message_count == 0)
		return;
	/* Mostly in order, as the wire does it; sometimes not. */
	index = !world.calm && chance(10) ? below((unsigned)world.message_count) : 0;
	message = world.messages[index];
	world.message_count--;
	memmove(&world.messages[index], &world.messages[index + 1],
		(world.message_count - index) * sizeof(message));
	switch (message.kind) {
	case APPEND:
	case ASK:
	case FENCE:
	case VOTE:
	case CERTIFY:
		member_receive(&message);
		break;
	case APPENDED:
	case ANSWER:
	case VOTED:
	case CERTIFIED:
		if (message.round == 0)
			writer_receive(&message);
		else
			actor_receive(&message);
		break;
	}
}

static void lose_member(void)
{
	struct node *node = &world.nodes[below(world.members)];

	if (world.losses == world.profile.m || node->lost)
		return;
	node->lost = true;
	node->disk = (struct disk){0};
	node->pending_count = 0;
	world.losses++;
	world.marks.losses++;
}

static void step(void)
{
	unsigned what = below(1000);
	struct node *node = &world.nodes[below(world.members)];

	if (what < 550)
		deliver();
	else if (what < 800)
		member_sync(node);
	else if (what < 900)
		writer_write();
	else if (what < (world.calm ? 902u : 910u) && !node->lost)
		member_crash((unsigned)(node - world.nodes));
	else if (what < 913 && chance(world.calm ? 20 : 100))
		lose_member();
	else if (what < 920)
		world.writer_alive = false;
	else if (what < 925)
		set_writer_close(&world.writer);
	else if (what < 928 && world.actor.phase == IDLE)
		actor_start();
	else if (what >= 960 && world.message_count < 4)
		actor_step();
	else if (what >= 957 && what < 960)
		actor_step();
}

static void start_world(uint64_t seed, struct profile profile, bool planted)
{
	struct profile fixed = profile;

	memset(&world, 0, sizeof(world));
	world.random = seed;
	world.profile = fixed;
	world.members = profile_members(fixed);
	world.planted = planted;
	world.calm = chance(50);
	world.writer_alive = true;
	set_writer_init(&world.writer, fixed);
	set_writer_born(&world.writer);
	for (unsigned i = 0; i < world.members; i++) {
		world.nodes[i].disk.has_mirror = i >= fixed.k;
		member_restart(&world.nodes[i], i);
	}
}

static const struct profile PROFILES[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 2}, {6, 3}};

static const char *run_seed(uint64_t seed, bool planted)
{
	start_world(seed, PROFILES[seed % (sizeof(PROFILES) / sizeof(PROFILES[0]))], planted);
	for (unsigned i = 0; i < 1500 && world.violation == NULL; i++) {
		step();
		if (i % (world.members > 4 ? 8 : 2) == 0)
			check_world();
	}
	return world.violation;
}

/* ---- tests ---- */

static void test_nothing_is_violated(void **state)
{
	unsigned sealed = 0, evacuated = 0, catch_ups = 0, losses = 0, acknowledged = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 6000; seed++) {
		const char *violation = run_seed(seed, false);

		if (violation != NULL)
			print_error("seed %llu: %s\n", (unsigned long long)seed, violation);
		assert_null(violation);
		sealed += world.marks.sealed;
		evacuated += world.marks.evacuated;
		catch_ups += world.marks.catch_ups;
		losses += world.marks.losses;
		for (unsigned i = 0; i < world.profile.k; i++)
			acknowledged += world.acknowledged[i];
	}
	print_message("acknowledged %u, seals %u, evacuations %u, catch-ups %u, losses %u\n",
		      acknowledged, sealed, evacuated, catch_ups, losses);
	/* The oracles have seen what they are for. */
	assert_true(acknowledged > 10000);
	assert_true(sealed > 300);
	assert_true(evacuated > 300);
	assert_true(catch_ups > 100);
	assert_true(losses > 1000);
}

static void expect_found(enum plant plant)
{
	const char *violation = NULL;
	uint64_t seed;

	plant_reset();
	plant_set(plant, true);
	for (seed = 1; seed <= 6000 && violation == NULL; seed++)
		violation = run_seed(seed, true);
	print_message("%s: seed %llu: %s\n", plant_name(plant), (unsigned long long)seed - 1,
		      violation != NULL ? violation : "not found");
	assert_true(plant_hits(plant) > 0);
	plant_reset();
	assert_non_null(violation);
}

static void test_planted_bugs_are_found(void **state)
{
	(void)state;
	expect_found(PLANT_ack_before_sync);
	expect_found(PLANT_mirror_dropped_before_votes);
	expect_found(PLANT_parity_over_stale_bytes);
	expect_found(PLANT_fence_ignored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_violated),
		cmocka_unit_test(test_planted_bugs_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
