/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Every profile through the whole of engine/set, on simulated disks: sets that
 * are open, half-voted with each number of votes, and sealed; blobs of sizes around
 * every boundary; every loss of up to m columns, after which all is read byte for
 * byte, and of m + 1, after which those blobs fail that lay there, and no others.
 *
 *	PROFILES_SEED=n   the first of the random cases
 *	PROFILES_CASES=n  how many of them
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/crypto/sealed.h"
#include "engine/set/call.h"
#include "tests/sim/random.h"
#include "tests/support/blobs_fixture.h"
#include "tests/support/unit.h"

#define PROFILES_STREAM 810
#define SMALL_COLUMN (128u * 1024)
/* A record of one full piece fills it to the last byte. */
#define PIECE_COLUMN (PIECE_SIZE + 192u)
#define RECORD_HEADER 160u
#define INDEX_PAGE 4096u
#define HEADERS_MAX 1024u
#define PIECES_MAX 16u
#ifdef __SANITIZE_ADDRESS__
#define RANDOM_CASES 3u
#define LOSSES_MAX 8u
#define SEALED_LOSSES_MAX 16u
#else
#define RANDOM_CASES 20u
#define LOSSES_MAX 60u
#define SEALED_LOSSES_MAX 1000000u /* all */
#endif

enum set_state { STATE_UNSEALED, STATE_VOTED, STATE_SEALED };

static struct blobs_fixture fixture;
static struct sim_random randoms;

/* One store, in one state, and what is to be lost of it. */
static struct {
	struct profile profile;
	const size_t *sizes;
	size_t size_count;
	enum set_state state;
	unsigned votes;
	/* counted */
	size_t losses, reads, failures, unsealed;
} test;

static struct column_header headers[HEADERS_MAX];
static size_t header_count;

static unsigned members(void)
{
	return test.profile.k + test.profile.m;
}

/* ---- bringing sets into a state ---- */

/* The votes of the first of the members, in an order of its own for each set. */
static WAITS void vote(const struct column_header *header)
{
	static struct set_answer answers[PROFILE_MEMBER_MAX];
	struct set_descriptor target;
	enum set_plan plan;
	unsigned order[PROFILE_MEMBER_MAX];

	for (unsigned i = 0; i < members(); i++) {
		struct set_ask_call ask = {
			.wire = {.operation = SET_ASK, .volume = header->members[i]},
			.set = header->set,
			.uuid = header->uuid};

		assert_ok(wire_wait(fixture.wire, &ask.wire));
		answers[i] = ask.answer;
		order[i] = i;
	}
	plan = set_plan(test.profile, answers, &target);
	/* One that was made and not used. */
	if (plan == SET_PLAN_REMOVE)
		return;
	assert_int_equal(plan, SET_PLAN_SEAL);
	for (unsigned i = members(); i-- > 1;) {
		unsigned other = (unsigned)sim_random_below(&randoms, i + 1), kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
	for (unsigned i = 0; i < test.votes; i++) {
		struct set_vote_call call = {
			.wire = {.operation = SET_VOTE, .volume = header->members[order[i]]},
			.set = header->set,
			.uuid = header->uuid,
			.descriptor = target};

		assert_ok(wire_wait(fixture.wire, &call.wire));
	}
}

static void take_headers(const struct set_enumerate_call *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		assert_true(header_count < HEADERS_MAX);
		assert_ok(column_header_decode(shared_bytes(call->items).data +
						       (size_t)i * SET_ENUMERATE_ITEM,
					       &headers[header_count++]));
	}
}

/* Of all columns of the store. */
static WAITS void find_headers(void)
{
	header_count = 0;
	for (size_t i = 0; i < fixture.volume_count; i++) {
		struct set_enumerate_call call = {
			.wire = {.operation = SET_ENUMERATE, .volume = blobs_fixture_volume(i)}};

		assert_ok(wire_wait(fixture.wire, &call.wire));
		assert_false(call.more);
		take_headers(&call);
		shared_release(&call.items);
	}
}

static WAITS void vote_everywhere(void)
{
	find_headers();
	for (size_t i = 0; i < header_count; i++) {
		if (headers[i].column == 0)
			vote(&headers[i]);
	}
}

static WAITS void make_store(void)
{
	struct blobs_status status;

	fixture.options.profile = test.profile;
	fixture.options.passive = true;
	blobs_fixture_format(&fixture);
	assert_ok(blobs_fixture_open(&fixture));
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.profile.k, test.profile.k);
	assert_int_equal(status.profile.m, test.profile.m);
	for (size_t i = 0; i < test.size_count; i++)
		assert_ok(blobs_fixture_put(&fixture, test.sizes[i], 0));
	if (test.state == STATE_SEALED)
		assert_ok(blobs_settle(fixture.blobs));
	blobs_fixture_close(&fixture);
	assert_ok(blobs_fixture_open(&fixture));
	if (test.state == STATE_VOTED)
		vote_everywhere();
	blobs_get_status(fixture.blobs, &status);
	assert_int_equal(status.volumes_tolerated, test.profile.m);
	assert_int_equal(status.evacuations, 0);
	test.unsealed += status.sets_unsealed_old;
	blobs_fixture_close(&fixture);
}

/* ---- where a blob lies ---- */

struct piece_place {
	uint32_t data;	   /* bit i: volume i has it in a data column */
	uint32_t parities; /* bit i: volume i has parity or a mirror of its set */
	bool sealed;
};

struct place {
	struct piece_place pieces[PIECES_MAX];
	size_t piece_count;
};

static size_t volume_index(struct id128 volume)
{
	for (size_t i = 0; i < fixture.volume_count; i++) {
		if (id128_equal(blobs_fixture_volume(i), volume))
			return i;
	}
	fail();
	return 0;
}

static WAITS bool has_own(size_t volume, uint64_t set, struct id128 id, uint32_t piece)
{
	struct set_read_call call = {
		.wire = {.operation = SET_READ, .volume = blobs_fixture_volume(volume)},
		.set = set,
		.id = id,
		.piece = piece};
	bool has = wire_wait(fixture.wire, &call.wire) == ERR_OK && call.record != NULL;

	shared_release(&call.record);
	return has;
}

static uint32_t find_parities(uint64_t set)
{
	uint32_t parities = 0;

	for (size_t i = 0; i < header_count; i++) {
		const struct column_header *header = &headers[i];

		if (header->set == set && header->column >= test.profile.k)
			parities |= 1u << volume_index(header->members[header->column]);
	}
	return parities;
}

static WAITS bool is_sealed(uint64_t set)
{
	for (size_t i = 0; i < header_count; i++) {
		struct set_ask_call ask = {
			.wire = {.operation = SET_ASK,
				 .volume = headers[i].members[headers[i].column]},
			.set = headers[i].set,
			.uuid = headers[i].uuid};

		if (headers[i].set != set)
			continue;
		assert_ok(wire_wait(fixture.wire, &ask.wire));
		return ask.answer.sealed;
	}
	return false;
}

static WAITS uint32_t find_data(uint64_t set, struct id128 id, uint32_t piece)
{
	uint32_t data = 0;

	for (size_t volume = 0; volume < fixture.volume_count; volume++) {
		if (has_own(volume, set, id, piece))
			data |= 1u << volume;
	}
	return data;
}

static WAITS void find_place(const struct blob_ref *ref, struct place *out)
{
	out->piece_count = 0;
	for (uint32_t i = 0; i < ref->extent_count; i++) {
		const struct blob_extent *extent = &ref->extents[i];

		for (uint32_t j = 0; j < extent->piece_count; j++) {
			assert_true(out->piece_count < PIECES_MAX);
			/* A full set is sealed in any case, and one is always ready for the next.
			 */
			assert_true(test.state != STATE_SEALED || is_sealed(extent->set));
			out->pieces[out->piece_count++] = (struct piece_place){
				find_data(extent->set, ref->id, extent->first_piece + j),
				find_parities(extent->set), is_sealed(extent->set)};
		}
	}
}

/* ---- losing and reading ---- */

static unsigned bits(uint32_t set)
{
	return (unsigned)__builtin_popcount(set);
}

/* The bytes that all disks gave. */
static uint64_t bytes_read(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < fixture.volume_count; i++)
		sum += fixture.disks[i]->counters.bytes_read;
	return sum;
}

/* Some piece of it is not where it was put. */
static bool is_hit(const struct place *place, uint32_t lost)
{
	for (size_t i = 0; i < place->piece_count; i++) {
		if ((place->pieces[i].data & lost) != 0)
			return true;
	}
	return false;
}

static bool is_gone(const struct blob_ref *ref, const struct place *place, uint32_t lost)
{
	/* Nothing can be read without a read. */
	if (ref->size == 0 || bits(lost) <= test.profile.m)
		return false;
	for (size_t i = 0; i < place->piece_count; i++) {
		const struct piece_place *piece = &place->pieces[i];

		if ((piece->data & lost) != 0 && (piece->sealed || (piece->parities & ~lost) == 0))
			return true;
	}
	return false;
}

/*
 * A record, or its range of k siblings, for each piece; and a page of an index for each member that
 * is asked where the piece lies.
 */
static void check_bytes(const struct blob_ref *ref, const struct place *place, uint64_t before,
			uint32_t lost)
{
	uint64_t records = ref->size + place->piece_count * (RECORD_HEADER + 64);
	uint64_t limit = records * (is_hit(place, lost) ? test.profile.k : 1u) +
			 place->piece_count * members() * INDEX_PAGE;
	uint64_t was = bytes_read() - before;

	if (was > limit)
		print_error("%u+%u, lost %03" PRIx32 ": %" PRIu64 " bytes read for %" PRIu64
			    ", at most %" PRIu64 "\n",
			    test.profile.k, test.profile.m, lost, was, ref->size, limit);
	assert_true(was <= limit);
}

static WAITS void read_blob(size_t index, const struct place *place, uint32_t lost)
{
	const struct blob_ref *ref = &fixture.known[index].ref;
	uint64_t before = bytes_read();
	enum err err = blobs_fixture_get(&fixture, index);
	bool gone = is_gone(ref, place, lost);

	test.reads++;
	if (gone ? err != ERR_UNAVAILABLE && err != ERR_CORRUPT : err != ERR_OK)
		print_error("%u+%u, state %d, %u votes, lost %03" PRIx32 ": blob %zu of %" PRIu64
			    " bytes: %s\n",
			    test.profile.k, test.profile.m, test.state, test.votes, lost, index,
			    ref->size, err_name(err));
	if (gone) {
		test.failures++;
		assert_true(err == ERR_UNAVAILABLE || err == ERR_CORRUPT);
	} else {
		assert_ok(err);
		if (bits(lost) <= test.profile.m)
			check_bytes(ref, place, before, lost);
	}
}

static WAITS void lose(uint32_t lost, const struct place *places)
{
	fixture.away = lost;
	assert_ok(blobs_fixture_open(&fixture));
	/* The first read of a set fetches what is kept of it from then on. */
	for (size_t i = 0; i < fixture.known_count; i++)
		(void)!blobs_fixture_get(&fixture, i);
	for (size_t i = 0; i < fixture.known_count; i++)
		read_blob(i, &places[i], lost);
	blobs_fixture_close(&fixture);
	fixture.away = 0;
	test.losses++;
}

/* Each loss of 1 to m + 1 volumes; where there are more than can be paid for, so many of them. */
static WAITS void lose_all_ways(const struct place *places)
{
	uint32_t all = (1u << fixture.volume_count) - 1, count = 0;
	uint64_t share, most;

	for (uint32_t lost = 0; lost <= all; lost++)
		count += bits(lost) <= test.profile.m + 1u;
	most = test.state == STATE_SEALED ? SEALED_LOSSES_MAX : LOSSES_MAX;
	share = (uint64_t)most * SIM_MILLION / count;
	for (uint32_t lost = 0; lost <= all; lost++) {
		/* Two volumes at least: the store opens with no fewer. */
		if (bits(lost) > test.profile.m + 1u || bits(lost) + 1 > fixture.volume_count ||
		    sim_random_below(&randoms, SIM_MILLION) >= share)
			continue;
		lose(lost, places);
	}
}

static WAITS void body(void *argument)
{
	static struct place places[BLOBS_FIXTURE_BLOBS];

	(void)argument;
	make_store();
	assert_ok(blobs_fixture_open(&fixture));
	find_headers();
	for (size_t i = 0; i < fixture.known_count; i++)
		find_place(&fixture.known[i].ref, &places[i]);
	blobs_fixture_close(&fixture);
	lose_all_ways(places);
}

static void run_store(struct profile profile, enum set_state state, unsigned votes,
		      const size_t *sizes, size_t size_count, uint64_t column_size)
{
	struct sim *sim = sim_create(1, NULL);

	memset(&fixture, 0, sizeof(fixture));
	fixture.spread = true;
	fixture.options.column_size = column_size;
	test.profile = profile;
	test.state = state;
	test.votes = votes;
	test.sizes = sizes;
	test.size_count = size_count;
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, members());
	assert_ok(sim_run_task(sim, body, NULL));
	sim_finish(&sim);
}

/* ---- tests ---- */

static const struct profile profiles[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {4, 2}, {5, 4}, {6, 3}};

#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

/* Frames, and records that fill a column to its last byte, or miss it by one. */
static const size_t small_sizes[] = {
	0,
	1,
	FRAME_SIZE - 1,
	FRAME_SIZE,
	FRAME_SIZE + 1,
	SMALL_COLUMN - RECORD_HEADER - 1,
	SMALL_COLUMN - RECORD_HEADER,
	SMALL_COLUMN - RECORD_HEADER + 1,
	4096,
	100,
};

static void print_counts(const char *what)
{
	print_message("%s: %zu sets not sealed, %zu losses, %zu reads, %zu of lost blobs\n", what,
		      test.unsealed, test.losses, test.reads, test.failures);
	assert_true(test.reads > test.failures && test.failures > 0);
	test.losses = test.reads = test.failures = test.unsealed = 0;
}

static void test_unsealed(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROFILE_COUNT; i++)
		run_store(profiles[i], STATE_UNSEALED, 0, small_sizes,
			  sizeof(small_sizes) / sizeof(small_sizes[0]), SMALL_COLUMN);
	print_counts("unsealed");
}

static void test_half_voted(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROFILE_COUNT; i++) {
		for (unsigned votes = 1; votes <= (unsigned)profiles[i].k + profiles[i].m; votes++)
			run_store(profiles[i], STATE_VOTED, votes, small_sizes,
				  sizeof(small_sizes) / sizeof(small_sizes[0]), SMALL_COLUMN);
	}
	print_counts("half-voted");
}

static void test_sealed(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROFILE_COUNT; i++)
		run_store(profiles[i], STATE_SEALED, 0, small_sizes,
			  sizeof(small_sizes) / sizeof(small_sizes[0]), SMALL_COLUMN);
	print_counts("sealed");
}

/* Pieces, and blobs of several over several columns and two sets. */
static void test_pieces(void **state)
{
	static const size_t sizes[] = {PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1,
				       5 * PIECE_SIZE + 12345};
	static const struct profile some[] = {{2, 1}, {4, 2}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		run_store(some[i], STATE_UNSEALED, 0, sizes, 4, PIECE_COLUMN);
		run_store(some[i], STATE_SEALED, 0, sizes, 4, PIECE_COLUMN);
	}
	print_counts("pieces");
}

static void run_random(uint64_t seed)
{
	size_t sizes[12];
	struct profile profile;
	size_t count;

	sim_random_init(&randoms, seed, PROFILES_STREAM);
	profile.k = (uint8_t)(1 + sim_random_below(&randoms, 8));
	profile.m = (uint8_t)(1 + sim_random_below(&randoms, 4));
	count = 1 + sim_random_below(&randoms, 12);
	for (size_t i = 0; i < count; i++)
		sizes[i] = sim_random_below(&randoms, 1 + sim_random_below(&randoms, 300000));
	run_store(profile, STATE_UNSEALED + (enum set_state)sim_random_below(&randoms, 3),
		  (unsigned)sim_random_below(&randoms, profile.k + profile.m + 1u), sizes, count,
		  (64 + sim_random_below(&randoms, 512)) * 1024);
}

static uint64_t setting(const char *name, uint64_t value)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : value;
}

static void test_random(void **state)
{
	uint64_t first = setting("PROFILES_SEED", 1);

	(void)state;
	for (uint64_t seed = first; seed < first + setting("PROFILES_CASES", RANDOM_CASES);
	     seed++) {
		print_message("PROFILES_SEED=%" PRIu64 "\n", seed);
		run_random(seed);
	}
	print_counts("random");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unsealed), cmocka_unit_test(test_half_voted),
		cmocka_unit_test(test_sealed),	 cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_random),
	};

	sim_random_init(&randoms, 1, PROFILES_STREAM);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
