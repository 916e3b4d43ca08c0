/* SPDX-License-Identifier: MPL-2.0 */
/*
 * R4 under attack: three sites, each with a replica and at times a home; cuts,
 * homes that die, homes wrongly taken for dead that go on, and clients that
 * roam. When all has healed, each client asks any home once, in its own way,
 * and must then have what the home has. The entries, and what is asked of the
 * state, are the real ones; what a home does around them is modelled:
 *
 *   open   promises an epoch at all sites that answer, takes in what they hold,
 *          mends (one entry), and says who has ended: homes at those sites
 *   write  with a majority in lane 0, else in its site's lane, at its own site;
 *          refused once a site that answers has promised a higher epoch
 *   show   asks the sites first: one has promised more, or knows more while all
 *          three answer: opens anew. When not all answer, an entry of this run
 *          says what it knows before it shows anything
 *
 * Each clause is switched off in turn, and the oracle must see that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mailbox/restamp.h"
#include "engine/mailbox/uid.h"
#include "tests/sim/plant.h"
#include "tests/sim/random.h"

#define SITES 3u
#define ALL ((1u << SITES) - 1)
#define CLIENTS 10u
#define STEPS 120u
#define ENTRIES_MAX 700u
#define MESSAGES_MAX 400u
#define DELIVERIES 24u
#define SEEDS 3000u
#define FOLDER ((struct id128){{7}})

/* ---- what can be switched off ---- */

enum clause {
	CLAUSE_NONE,
	CLAUSE_UID,
	CLAUSE_MODSEQ,
	CLAUSE_REMOVALS,
	CLAUSE_ROW,	  /* says what it knows before it shows, when not all answer */
	CLAUSE_ROW_LATER, /* also when they answered at its start */
	CLAUSE_READ,	  /* takes in what is new before it shows, when all answer */
	CLAUSE_ASK,	  /* asks whether it is still the one */
	CLAUSE_ENDED,	  /* only those have ended whose site has promised */
	CLAUSE_COUNT
};

static const struct {
	const char *name;
	enum plant plant; /* PLANT_COUNT: the model's own */
} clauses[CLAUSE_COUNT] = {
	{"all clauses hold", PLANT_COUNT},
	{"a UID outside a horizon is given anew", PLANT_restamp_uid_stays},
	{"a modseq outside a horizon is given anew", PLANT_restamp_modseq_stays},
	{"removals outside a horizon raise HIGHESTMODSEQ", PLANT_restamp_removals_stay},
	{"no showing of what may be incomplete without a horizon", PLANT_COUNT},
	{"... nor when it became so later", PLANT_COUNT},
	{"a complete showing takes in what is new", PLANT_COUNT},
	{"no showing after a higher promise", PLANT_COUNT},
	{"ended is only who cannot show any more", PLANT_COUNT},
};

/* ---- the world ---- */

struct made_entry {
	struct id128 incarnation;
	uint64_t seq;
	unsigned held; /* by these sites */
	struct buf plain;
};

struct home_model {
	bool open;
	struct id128 incarnation;
	struct account_state state;
	uint64_t seq, epoch;
	unsigned lane, ended_sites;
};

enum style { STYLE_DIFF, STYLE_UIDNEXT, STYLE_QRESYNC, STYLE_CONDSTORE, STYLE_COUNT };

struct client {
	enum style style;
	unsigned site;
	uint32_t uid_next;
	uint64_t modseq;
	uint32_t uids[MESSAGES_MAX];
	uint8_t flags[MESSAGES_MAX];
	size_t count;
};

struct name {
	uint32_t uid;
	struct id128 message;
};

struct world {
	struct sim_random random;
	enum clause off;
	struct home_model homes[SITES];
	uint64_t promised[SITES];
	unsigned side[SITES]; /* those with one number see each other */
	struct client clients[CLIENTS];
	struct made_entry entries[ENTRIES_MAX];
	size_t entry_count;
	struct name names[ENTRIES_MAX * 8];
	size_t name_count;
	uint32_t next_message, next_incarnation, busy;
	unsigned restamps, touches;
	bool broken;
};

static uint32_t pick(struct world *world, uint32_t below)
{
	return (uint32_t)sim_random_below(&world->random, below);
}

static unsigned answering(const struct world *world, unsigned site)
{
	unsigned sites = 0;

	for (unsigned i = 0; i < SITES; i++)
		sites |= world->side[i] == world->side[site] ? 1u << i : 0;
	return sites;
}

static bool is_majority(unsigned sites)
{
	return sites & (sites - 1);
}

static struct folder *folder_of(const struct home_model *home)
{
	return account_state_folder(&home->state, FOLDER);
}

static struct collection *inbox(const struct home_model *home)
{
	struct folder *folder = folder_of(home);

	return folder ? &folder->messages : NULL;
}

static struct id128 node_of(unsigned site)
{
	return (struct id128){{3, (uint8_t)site}};
}

/* ---- homes ---- */

static uint64_t highest_promise(const struct world *world, unsigned sites)
{
	uint64_t highest = 0;

	for (unsigned i = 0; i < SITES; i++) {
		if (sites >> i & 1 && world->promised[i] > highest)
			highest = world->promised[i];
	}
	return highest;
}

static void close_home(struct home_model *home)
{
	if (home->open)
		account_state_finish(&home->state);
	home->open = false;
}

static bool apply(struct account_state *state, const struct made_entry *entry)
{
	return account_state_apply(state, entry->incarnation, entry->seq,
				   bytes_of_buf(&entry->plain)) == ERR_OK;
}

static size_t list_ended(const struct world *world, const struct home_model *home,
			 struct id128 *ended)
{
	const struct horizons *horizons = &home->state.horizons;
	size_t count = 0;

	for (size_t i = 0; i < horizons->count; i++) {
		struct id128 writer = home->state.writers.ids[horizons->items[i].from.writer];
		unsigned site = horizons->items[i].node.octets[1];

		if (id128_equal(writer, home->incarnation))
			continue;
		if (home->ended_sites >> site & 1 || world->off == CLAUSE_ENDED)
			ended[count++] = writer;
	}
	return count;
}

/* False: it is not the one any more. */
static bool say(struct world *world, unsigned site, const struct buf *operations)
{
	struct home_model *home = &world->homes[site];
	unsigned sites = answering(world, site);
	struct id128 ended[ENTRIES_MAX];
	struct operation_head head = {
		.clock = account_state_clock(&home->state, 1 + pick(world, 300)),
		.context = home->seq ? NULL : &home->state.applied,
		.node = node_of(site),
		.mended = true,
		.ended = ended};
	struct made_entry *entry = &world->entries[world->entry_count];

	if (highest_promise(world, sites) > home->epoch || (!home->lane && !is_majority(sites)))
		return false;
	assert_true(++world->entry_count < ENTRIES_MAX);
	head.ended_count = list_ended(world, home, ended);
	*entry = (struct made_entry){.incarnation = home->incarnation,
				     .seq = ++home->seq,
				     .held = home->lane ? 1u << site : sites};
	operation_head_encode(&head, &entry->plain);
	buf_put_bytes(&entry->plain, bytes_of_buf(operations));
	assert_true(apply(&home->state, entry));
	return true;
}

/* What a home is about to say. */
struct emission {
	struct world *world;
	struct home_model *home;
	struct buf operations;
	uint32_t above;
	struct name names[MESSAGES_MAX];
	size_t name_count;
};

/* One UID, one message. */
static void name_messages(struct world *world, const struct emission *emission)
{
	for (size_t i = 0; i < emission->name_count; i++) {
		const struct name *name = &emission->names[i];

		for (size_t j = 0; j < world->name_count; j++)
			assert_true(world->names[j].uid != name->uid ||
				    id128_equal(world->names[j].message, name->message));
		assert_true(world->name_count < sizeof(world->names) / sizeof(world->names[0]));
		world->names[world->name_count++] = *name;
	}
}

static uint32_t take_uid(void *context, struct id128 folder)
{
	struct emission *emission = context;
	const struct collection *messages = inbox(emission->home);
	struct uid_range range;

	(void)folder;
	if (messages && messages->stamp_top > emission->above)
		emission->above = messages->stamp_top;
	assert_true(uid_reserve(emission->above, emission->home->lane, 1, &range));
	emission->above = range.first;
	return range.first;
}

static enum err put(void *context, const struct operation *operation)
{
	struct emission *emission = context;
	const struct collection *messages = inbox(emission->home);

	if (operation->kind == OPERATION_STAMP) {
		uint32_t slot = collection_resolve(messages, operation->stamp.old_uid);

		emission->names[emission->name_count++] =
			(struct name){operation->stamp.new_uid, messages->slots[slot].id};
		emission->world->restamps++;
	} else {
		emission->world->touches++;
	}
	operation_encode(operation, &emission->operations);
	return emission->operations.err;
}

static bool mend(struct world *world, unsigned site)
{
	struct home_model *home = &world->homes[site];
	struct emission emission = {.world = world, .home = home};
	const struct restamp_sink sink = {take_uid, put, &emission};
	bool any = false;

	if (folder_of(home)) {
		(void)restamp_count(&home->state, inbox(home), &any);
		assert_int_equal(restamp_put(&home->state, folder_of(home), &sink), ERR_OK);
		assert_int_equal(any, emission.operations.size != 0);
	}
	if (any)
		assert_true(say(world, site, &emission.operations));
	name_messages(world, &emission);
	buf_finish(&emission.operations);
	return any;
}

/* True: it had something to mend. */
static bool open_home(struct world *world, unsigned site)
{
	struct home_model *home = &world->homes[site];
	unsigned sites = answering(world, site);

	close_home(home);
	*home = (struct home_model){.open = true,
				    .incarnation = {{9}},
				    .epoch = highest_promise(world, sites) + 1,
				    .lane = is_majority(sites) ? 0 : 1 + site,
				    .ended_sites = sites};
	store_u32(home->incarnation.octets + 1, ++world->next_incarnation);
	account_state_init(&home->state, NULL);
	for (unsigned i = 0; i < SITES; i++) {
		if (sites >> i & 1)
			world->promised[i] = home->epoch;
	}
	for (size_t i = 0; i < world->entry_count; i++) {
		if (!(world->entries[i].held & sites))
			continue;
		assert_true(apply(&home->state, &world->entries[i]));
		/* R3: what is merged is written back. */
		world->entries[i].held |= sites;
	}
	return mend(world, site);
}

static bool knows_what_they_hold(const struct world *world, const struct home_model *home,
				 unsigned sites)
{
	for (size_t i = 0; i < world->entry_count; i++) {
		const struct made_entry *entry = &world->entries[i];

		if (entry->held & sites &&
		    vector_get(&home->state.applied, entry->incarnation) < entry->seq)
			return false;
	}
	return true;
}

/* The home of the site, fit to show what it knows. */
static const struct home_model *show(struct world *world, unsigned site, bool started)
{
	struct home_model *home = &world->homes[site];
	unsigned sites = answering(world, site);
	const struct buf nothing = {0};

	if (!home->open) {
		open_home(world, site);
		started = true;
	}
	if (world->off != CLAUSE_ASK && highest_promise(world, sites) > home->epoch) {
		open_home(world, site);
		started = true;
	}
	if (sites == ALL && world->off != CLAUSE_READ && !knows_what_they_hold(world, home, sites))
		open_home(world, site);
	if (sites == ALL || home->seq || world->off == CLAUSE_ROW ||
	    (world->off == CLAUSE_ROW_LATER && !started))
		return home;
	/* Its lane is another's, now. */
	if (!say(world, site, &nothing)) {
		open_home(world, site);
		if (!home->seq)
			assert_true(say(world, site, &nothing) || world->off == CLAUSE_ASK);
	}
	return home;
}

/* ---- what is written ---- */

static void put_folder(struct buf *out)
{
	const struct operation operation = {
		.kind = OPERATION_FOLDER,
		.folder = FOLDER,
		.create = {.name = bytes_string("INBOX"), .uidvalidity = 7}};

	operation_encode(&operation, out);
}

static void put_add(struct world *world, struct emission *emission)
{
	struct operation operation = {.kind = OPERATION_ADD, .folder = FOLDER};
	const struct collection *messages = inbox(emission->home);
	uint32_t number = pick(world, 2) ? 1 + pick(world, DELIVERIES) : 0;

	operation.add.delivered = number;
	store_u32(operation.add.id.octets, number ? number : 1000 + ++world->next_message);
	/* Drained already. */
	if (messages && (collection_find(messages, operation.add.id) != SLOT_NONE ||
			 collection_buried(messages, operation.add.id)))
		return;
	operation.add.blob.id = operation.add.id;
	operation.add.blob.extent_count = 1;
	operation.add.blob.extents[0].piece_count = 1;
	memcpy(operation.add.transaction_hash, operation.add.id.octets, 16);
	operation.add.uid = take_uid(emission, FOLDER);
	emission->names[emission->name_count++] =
		(struct name){operation.add.uid, operation.add.id};
	operation_encode(&operation, &emission->operations);
}

static void put_change(struct world *world, struct emission *emission, bool expunge)
{
	const struct collection *messages = inbox(emission->home);
	struct operation operation = {.kind = expunge ? OPERATION_EXPUNGE : OPERATION_FLAGS,
				      .folder = FOLDER,
				      .run_count = 1};
	struct uid_run run = {1, 1};
	uint8_t bit = (uint8_t)(1u << pick(world, 5));

	operation.runs = &run;
	run.first = collection_at(messages, pick(world, (uint32_t)messages->count))->uid;
	if (!expunge) {
		operation.flags.system_set = pick(world, 2) ? bit : 0;
		operation.flags.system_clear = (uint8_t)(bit & ~operation.flags.system_set);
	}
	operation_encode(&operation, &emission->operations);
}

static void write_something(struct world *world, unsigned site)
{
	struct home_model *home = &world->homes[site];
	struct emission emission = {.world = world, .home = home};
	uint32_t what = pick(world, 10);

	if (!home->open)
		return;
	if (!inbox(home))
		put_folder(&emission.operations);
	if (!inbox(home) || !inbox(home)->count || what < 4)
		put_add(world, &emission);
	else
		put_change(world, &emission, what == 9 || what == 8);
	if (emission.operations.size) {
		if (say(world, site, &emission.operations))
			name_messages(world, &emission);
		else
			open_home(world, site);
	}
	buf_finish(&emission.operations);
}

/* ---- clients ---- */

static size_t find_uid(const struct client *client, uint32_t uid)
{
	size_t i = 0;

	while (i < client->count && client->uids[i] != uid)
		i++;
	return i;
}

static void take(struct client *client, const struct message_state *message)
{
	size_t at = find_uid(client, message->uid);

	assert_true(at < MESSAGES_MAX);
	if (at == client->count)
		client->count++;
	client->uids[at] = message->uid;
	client->flags[at] = message->system;
}

static void drop_absent(struct client *client, const struct collection *messages)
{
	size_t kept = 0;

	for (size_t i = 0; i < client->count; i++) {
		size_t at = collection_position(messages, client->uids[i]);

		if (at == messages->count || collection_at(messages, at)->uid != client->uids[i])
			continue;
		client->uids[kept] = client->uids[i];
		client->flags[kept++] = client->flags[i];
	}
	client->count = kept;
}

static bool takes(const struct client *client, const struct collection *messages,
		  const struct message_state *message)
{
	switch (client->style) {
	case STYLE_UIDNEXT: /* all flags; messages from UIDNEXT on */
		return message->uid >= client->uid_next ||
		       find_uid(client, message->uid) < client->count;
	case STYLE_QRESYNC: /* starts over where the server is behind */
		return message->modseq > client->modseq ||
		       messages->highest_modseq < client->modseq;
	case STYLE_CONDSTORE:
		return message->modseq > client->modseq;
	case STYLE_DIFF:
	case STYLE_COUNT:
		break;
	}
	return true;
}

static void poll(struct client *client, const struct collection *messages)
{
	bool by_modseq = client->style == STYLE_QRESYNC || client->style == STYLE_CONDSTORE;

	/* Nothing happened. */
	if (by_modseq && messages->highest_modseq == client->modseq)
		return;
	drop_absent(client, messages);
	for (size_t i = 0; i < messages->count; i++) {
		const struct message_state *message = collection_at(messages, i);

		if (takes(client, messages, message))
			take(client, message);
	}
	if (messages->stamp_top >= client->uid_next)
		client->uid_next = messages->stamp_top + 1;
	if (messages->highest_modseq > client->modseq)
		client->modseq = messages->highest_modseq;
}

static bool knows_all(const struct client *client, const struct collection *messages)
{
	bool all = client->count == messages->count;

	for (size_t i = 0; i < messages->count && all; i++) {
		size_t at = find_uid(client, collection_at(messages, i)->uid);

		all = at < client->count && client->flags[at] == collection_at(messages, i)->system;
	}
	return all;
}

static void visit(struct world *world, struct client *client)
{
	const struct home_model *home;

	if (!pick(world, 3))
		client->site = pick(world, SITES);
	home = show(world, client->site, false);
	if (inbox(home))
		poll(client, inbox(home));
}

/* ---- a life ---- */

static void cut(struct world *world)
{
	for (unsigned i = 0; i < SITES; i++)
		world->side[i] = pick(world, 2);
}

static void heal(struct world *world)
{
	for (unsigned i = 0; i < SITES; i++)
		world->side[i] = 0;
}

/* One site tells another some of what it holds. */
static void gossip(struct world *world)
{
	unsigned from = pick(world, SITES), to = pick(world, SITES);

	for (size_t i = 0; i < world->entry_count && world->side[from] == world->side[to]; i++) {
		if (world->entries[i].held >> from & 1 && pick(world, 4))
			world->entries[i].held |= 1u << to;
	}
}

static void step(struct world *world)
{
	uint32_t what = pick(world, 40);

	/* Where nobody writes homes leave no trace but what they must. */
	if (what < 16) {
		if (pick(world, 8) < world->busy)
			write_something(world, pick(world, SITES));
	} else if (what < 31)
		visit(world, &world->clients[pick(world, CLIENTS)]);
	else if (what < 34)
		gossip(world);
	else if (what < 36)
		cut(world);
	else if (what < 37)
		heal(world);
	else if (what < 38)
		close_home(&world->homes[pick(world, SITES)]);
	else
		open_home(world, pick(world, SITES));
}

static void start_world(struct world *world, uint64_t seed, enum clause off)
{
	memset(world, 0, sizeof(*world));
	world->off = off;
	sim_random_init(&world->random, seed, 0);
	world->busy = 1 + pick(world, 8);
	for (unsigned i = 0; i < CLIENTS; i++)
		world->clients[i] = (struct client){
			.style = (enum style)(i % STYLE_COUNT), .site = i % SITES, .uid_next = 1};
	open_home(world, 0);
}

static void end_world(struct world *world)
{
	for (size_t i = 0; i < world->entry_count; i++)
		buf_finish(&world->entries[i].plain);
	for (unsigned i = 0; i < SITES; i++)
		close_home(&world->homes[i]);
}

/* Everybody asks one home, once. False: somebody does not learn all. */
static bool everybody_learns(struct world *world)
{
	unsigned site = pick(world, SITES);
	const struct home_model *home;

	heal(world);
	home = show(world, site, false);
	for (unsigned i = 0; i < CLIENTS && inbox(home); i++) {
		poll(&world->clients[i], inbox(home));
		if (!knows_all(&world->clients[i], inbox(home)))
			return false;
	}
	return true;
}

/* Whoever comes next has nothing to mend, and once it writes it has the one horizon there is. */
static bool comes_to_rest(struct world *world)
{
	const struct buf nothing = {0};
	bool rest = true;

	for (unsigned i = 0; i < 3; i++) {
		unsigned site = pick(world, SITES);

		rest &= !open_home(world, site) || !i;
		assert_true(say(world, site, &nothing));
		rest &= world->homes[site].state.horizons.count == 1;
	}
	return rest;
}

static bool holds(uint64_t seed, enum clause off, unsigned *restamps, unsigned *touches)
{
	static struct world world;
	bool good;

	start_world(&world, seed, off);
	for (unsigned i = 0; i < STEPS; i++)
		step(&world);
	good = everybody_learns(&world) && comes_to_rest(&world);
	*restamps += world.restamps;
	*touches += world.touches;
	end_world(&world);
	return good;
}

static void test_everybody_learns(void **state)
{
	unsigned restamps = 0, touches = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		if (!holds(seed, CLAUSE_NONE, &restamps, &touches)) {
			print_error("seed %llu\n", (unsigned long long)seed);
			fail();
		}
	}
	print_message("%u seeds, %u restamps, %u touches\n", SEEDS, restamps, touches);
	assert_true(restamps > SEEDS && touches > SEEDS);
}

static void test_each_clause_is_needed(void **state)
{
	unsigned ignored = 0;

	(void)state;
	for (unsigned i = 1; i < CLAUSE_COUNT; i++) {
		uint64_t seed = 1;

		plant_reset();
		if (clauses[i].plant != PLANT_COUNT)
			plant_set(clauses[i].plant, true);
		while (seed <= SEEDS && holds(seed, (enum clause)i, &ignored, &ignored))
			seed++;
		plant_reset();
		print_message("without \"%s\": seed %llu\n", clauses[i].name,
			      (unsigned long long)seed);
		assert_true(seed <= SEEDS);
	}
}

/* One home at a time that all sites answer, as on one node: nothing to mend, ever. */
static void test_restarts_do_not_restamp(void **state)
{
	static struct world world;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		start_world(&world, seed, CLAUSE_NONE);
		for (unsigned i = 0; i < 300; i++) {
			unsigned site = pick(&world, SITES);

			if (pick(&world, 10))
				write_something(&world, site);
			else
				assert_false(open_home(&world, site));
			if (pick(&world, 8) == 0)
				visit(&world, &world.clients[pick(&world, CLIENTS)]);
			assert_true(world.homes[site].state.horizons.count <= 2);
		}
		assert_int_equal(world.restamps + world.touches, 0);
		end_world(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everybody_learns),
		cmocka_unit_test(test_each_clause_is_needed),
		cmocka_unit_test(test_restarts_do_not_restamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
