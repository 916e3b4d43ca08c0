/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Writers that see each other only now and then make entries; whoever applies
 * all of them, in any order and any number of times, has one state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/mailbox/account_state.h"
#include "engine/mailbox/merge.h"
#include "engine/mailbox/pages.h"
#include "engine/mailbox/uid.h"
#include "tests/sim/plant.h"
#include "tests/sim/random.h"
#include "tests/support/unit_env.h"

#define WRITERS 3u
#define FOLDERS 3u
#define DELIVERIES 12u
#define ENTRIES_MAX 256u

struct made_entry {
	struct id128 incarnation;
	uint64_t seq;
	bool continues; /* the next one is of the same group, or gives it up */
	struct buf plain;
};

struct writer {
	struct id128 incarnation;
	struct account_state state;
	uint64_t seq;
	unsigned lane;
	bool merged;	       /* since its last entry: the next one carries a context */
	uint32_t top[FOLDERS]; /* highest UID given out */
};

struct world {
	struct sim_random random;
	struct writer writers[WRITERS];
	struct made_entry entries[ENTRIES_MAX];
	size_t entry_count;
	uint64_t next_id;
	unsigned life;
};

static uint32_t pick(struct world *world, uint32_t below)
{
	return (uint32_t)sim_random_below(&world->random, below);
}

static struct id128 number_id(uint8_t kind, uint64_t number)
{
	struct id128 id = {{0}};

	/* Spread, as random ids are. */
	store_u64(id.octets, number * 0x9e3779b97f4a7c15u);
	id.octets[8] = kind;
	store_u32(id.octets + 12, (uint32_t)number);
	return id;
}

static struct id128 folder_id(unsigned number)
{
	return number_id(1, number + 1);
}

/* ---- a state as text: equal texts, equal states ---- */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_stamp(const struct account_state *state, struct buf *out, uint64_t clock,
		      uint32_t writer)
{
	buf_printf(out, "%llu@%u ", (unsigned long long)clock,
		   clock ? load_u32(state->writers.ids[writer].octets) : 0);
}

static void dump_message(const struct account_state *state, const struct collection *messages,
			 const struct message_state *message, struct buf *out)
{
	buf_printf(out, " m %u %u %llu sys %x stamped ", message->uid,
		   load_u32(message->id.octets + 12), (unsigned long long)message->modseq,
		   message->system);
	put_stamp(state, out, message->stamped.seq, message->stamped.writer);
	put_stamp(state, out, message->touched.seq, message->touched.writer);
	for (uint8_t flag = 0; flag < FLAG_KEYWORD; flag++) {
		for (uint32_t at = message->registers; at != SLOT_NONE;
		     at = messages->registers[at].next) {
			const struct flag_register *stamp = &messages->registers[at];

			if (stamp->flag == flag)
				put_stamp(state, out, stamp->clock, stamp->writer);
		}
	}
	for (char name = 'a'; name < 'f'; name++) {
		char text[] = {'$', name, 0};
		size_t bit = collection_keyword(messages, bytes_string(text));

		if (bit != KEYWORD_MAX && message->keywords[bit / 64] >> (bit % 64) & 1)
			buf_printf(out, "%s ", text);
	}
	buf_put_u8(out, '\n');
}

static void dump_folder(const struct account_state *state, const struct folder *folder,
			struct buf *out)
{
	const struct collection *messages = &folder->messages;
	char *lines[DELIVERIES];
	size_t count = 0;

	collection_check(messages);
	buf_printf(out, "folder %s valid %u top %u reserve %u recent %u modseq %llu size %llu\n",
		   folder->name, folder->uidvalidity, messages->stamp_top, messages->reserve_top,
		   messages->recent_floor, (unsigned long long)messages->highest_modseq,
		   (unsigned long long)messages->size);
	for (size_t i = 0; i < messages->count; i++)
		dump_message(state, messages, collection_at(messages, i), out);
	for (size_t i = 0; i < messages->superseded_count; i++)
		buf_printf(out, " s %u %u\n", messages->superseded[i].uid,
			   messages->slots[messages->superseded[i].slot].uid);
	assert_true(messages->tombstone_count <= DELIVERIES);
	for (size_t i = 0; i < messages->tombstone_count; i++) {
		lines[count] = malloc(32);
		assert_non_null(lines[count]);
		snprintf(lines[count++], 32, " t %u\n",
			 load_u32(messages->tombstones[i].id.octets + 12));
	}
	qsort(lines, count, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < count; i++) {
		buf_put_string(out, lines[i]);
		free(lines[i]);
	}
}

static void dump(const struct account_state *state, struct buf *out)
{
	buf_clear(out);
	buf_printf(out, "clock %llu held %zu deleted %zu\n", (unsigned long long)state->clock,
		   state->held_count, state->deleted_count);
	for (size_t i = 0; i < state->folder_count; i++)
		dump_folder(state, state->folders[i], out);
	for (size_t i = 0; i < state->subscription_count; i++)
		buf_printf(out, "sub %s %d\n", state->subscriptions[i].name,
			   state->subscriptions[i].subscribed);
	for (size_t i = 0; i < state->past_names.count; i++)
		buf_printf(out, "name %u %u\n", load_u32(state->past_names.items[i].name.octets),
			   state->past_names.items[i].uidvalidity);
	for (size_t i = 0; i < state->drained_count; i++)
		buf_printf(out, "drained %llu\n", (unsigned long long)state->drained[i].seq);
	for (size_t i = 0; i < state->applied.count; i++)
		buf_printf(out, "applied %llu\n", (unsigned long long)state->applied.items[i].seq);
	buf_put_u8(out, 0);
	assert_int_equal(out->err, ERR_OK);
}

/* ---- entries ---- */

static void put_folder(struct world *world, unsigned number, struct buf *out)
{
	char name[16];
	struct operation operation = {.kind = OPERATION_FOLDER,
				      .folder = folder_id(number),
				      .create = {.uidvalidity = 7 + pick(world, 3)}};

	snprintf(name, sizeof(name), "f%u", number);
	operation.create.name = bytes_string(name);
	operation_encode(&operation, out);
}

static uint32_t take_uid(struct world *world, struct writer *writer, unsigned number,
			 struct buf *out)
{
	const struct folder *folder = account_state_folder(&writer->state, folder_id(number));
	struct operation operation = {.kind = OPERATION_RESERVE, .folder = folder_id(number)};
	uint32_t above = writer->top[number];
	struct uid_range range;

	(void)world;
	if (folder && folder->messages.reserve_top > above && !uid_lane(above ? above : 1))
		above = folder->messages.reserve_top;
	if (folder && folder->messages.stamp_top > above)
		above = folder->messages.stamp_top;
	assert_true(uid_reserve(above, writer->lane, 1, &range));
	writer->top[number] = range.first;
	operation.uid = range.last;
	operation_encode(&operation, out);
	return range.first;
}

/* A message of its own, or a delivery that every writer may drain. */
static void put_add(struct world *world, struct writer *writer, struct buf *out)
{
	unsigned number = pick(world, FOLDERS);
	bool delivered = pick(world, 2);
	struct operation operation = {
		.kind = OPERATION_ADD,
		.folder = folder_id(delivered ? 0 : number),
		.add = {.size = 10, .arrival_ms = 1000, .epoch = 1, .delivered = delivered},
	};
	uint64_t id = delivered ? 1 + pick(world, DELIVERIES) : 1000 + world->next_id++;

	operation.add.id = operation.add.blob.id = number_id(2, id);
	memcpy(operation.add.transaction_hash, operation.add.id.octets, 16);
	operation.add.blob.extent_count = 1;
	operation.add.blob.extents[0].piece_count = 1;
	operation.add.uid = take_uid(world, writer, delivered ? 0 : number, out);
	operation_encode(&operation, out);
}

static bool pick_message(struct world *world, struct writer *writer, struct id128 *folder,
			 struct uid_run *run)
{
	const struct folder *in;

	if (!writer->state.folder_count)
		return false;
	in = writer->state.folders[pick(world, (uint32_t)writer->state.folder_count)];
	if (!in->messages.count)
		return false;
	*folder = in->id;
	*run = (struct uid_run){
		collection_at(&in->messages, pick(world, (uint32_t)in->messages.count))->uid, 1};
	/* A superseded one is as good. */
	if (in->messages.superseded_count && !pick(world, 3))
		run->first =
			in->messages
				.superseded[pick(world, (uint32_t)in->messages.superseded_count)]
				.uid;
	return true;
}

static void put_flags(struct world *world, struct writer *writer, struct buf *out)
{
	struct operation operation = {.kind = OPERATION_FLAGS, .run_count = 1};
	char name[] = {'$', (char)('a' + pick(world, 5)), 0};
	struct bytes names[1] = {bytes_string(name)};
	struct buf storage = {0};
	struct uid_run run;

	if (!pick_message(world, writer, &operation.folder, &run))
		return;
	operation.runs = &run;
	operation.flags.system_set = (uint8_t)(1u << pick(world, 5));
	operation.flags.system_clear = (uint8_t)(1u << pick(world, 5));
	name_list_make(names, 1, &storage,
		       pick(world, 2) ? &operation.flags.keywords_set
				      : &operation.flags.keywords_clear);
	operation_encode(&operation, out);
	buf_finish(&storage);
}

static void put_on_message(struct world *world, struct writer *writer, enum operation_kind kind,
			   struct buf *out)
{
	struct operation operation = {.kind = kind, .run_count = 1};
	struct uid_run run;

	if (!pick_message(world, writer, &operation.folder, &run))
		return;
	operation.runs = &run;
	if (kind == OPERATION_STAMP) {
		for (unsigned i = 0; i < FOLDERS; i++) {
			if (id128_equal(folder_id(i), operation.folder))
				operation.stamp.new_uid = take_uid(world, writer, i, out);
		}
		operation.stamp.old_uid = run.first;
	}
	operation_encode(&operation, out);
}

static void put_other(struct world *world, struct buf *out)
{
	unsigned number = pick(world, FOLDERS);
	char name[16];
	struct operation operation = {.folder = folder_id(number)};

	snprintf(name, sizeof(name), "n%u", pick(world, 4));
	switch (pick(world, 5)) {
	case 0:
		operation.kind = OPERATION_FOLDER;
		operation.create.name = bytes_string(name);
		operation.create.uidvalidity = 7 + pick(world, 3);
		break;
	case 1:
		operation.kind = OPERATION_SUBSCRIBE;
		operation.folder = ID128_ZERO;
		operation.subscribe.name = bytes_string(name);
		operation.subscribe.subscribed = pick(world, 2);
		break;
	case 2:
		operation.kind = OPERATION_DRAINED;
		operation.folder = ID128_ZERO;
		operation.drained.incarnation = number_id(3, pick(world, 2));
		operation.drained.seq = 1 + pick(world, 9);
		break;
	case 3:
		operation.kind = OPERATION_DROPPED;
		operation.folder = folder_id(0);
		operation.dropped = number_id(2, 1 + pick(world, DELIVERIES));
		break;
	default:
		/* Rarely: it takes everything with it. */
		if (pick(world, 8))
			return;
		operation.kind = OPERATION_FOLDER_DELETE;
		operation.folder = folder_id(1);
		break;
	}
	operation_encode(&operation, out);
}

static void put_operations(struct world *world, struct writer *writer, struct buf *out)
{
	for (unsigned i = 0; i < FOLDERS; i++) {
		if (!account_state_folder(&writer->state, folder_id(i)))
			put_folder(world, i, out);
	}
	for (unsigned i = 0, count = 1 + pick(world, 4); i < count; i++) {
		uint32_t what = pick(world, 12);

		if (what < 4)
			put_add(world, writer, out);
		else if (what < 7)
			put_flags(world, writer, out);
		else if (what < 9)
			put_on_message(world, writer, OPERATION_EXPUNGE, out);
		else if (what < 10)
			put_on_message(world, writer, OPERATION_STAMP, out);
		else if (what < 11)
			put_on_message(world, writer, OPERATION_TOUCH, out);
		else
			put_other(world, out);
	}
}

static void write_part(struct world *world, struct writer *writer, bool continues, bool continued)
{
	struct made_entry *entry = &world->entries[world->entry_count++];
	struct operation_head head = {
		.clock = account_state_clock(&writer->state, 100 + pick(world, 50)),
		.context = writer->merged ? &writer->state.applied : NULL,
		.mended = pick(world, 2),
		.continues = continues,
		.continued = continued,
	};

	*entry = (struct made_entry){
		.incarnation = writer->incarnation, .seq = ++writer->seq, .continues = continues};
	operation_head_encode(&head, &entry->plain);
	put_operations(world, writer, &entry->plain);
	assert_int_equal(entry->plain.err, ERR_OK);
	writer->merged = false;
	assert_int_equal(account_state_apply(&writer->state, entry->incarnation, entry->seq,
					     bytes_of_buf(&entry->plain)),
			 ERR_OK);
	assert_int_equal(account_state_reached(&writer->state, writer->incarnation), writer->seq);
}

/* One entry, or a group, or one that is given up. */
static void write_entry(struct world *world, struct writer *writer)
{
	unsigned parts =
		writer->state.folder_count < FOLDERS || pick(world, 6) ? 1 : 2 + pick(world, 2);
	bool given_up = parts > 1 && !pick(world, 3);

	if (world->entry_count + parts + 1 > ENTRIES_MAX)
		return;
	for (unsigned i = 0; i < parts; i++)
		write_part(world, writer, i + 1 < parts || given_up, i != 0);
	if (given_up)
		write_part(world, writer, false, false);
	assert_int_equal(writer->state.held_count, 0);
}

static void merge_some(struct world *world, struct writer *writer)
{
	uint32_t until = pick(world, (uint32_t)world->entry_count + 1);

	while (until && world->entries[until - 1].continues)
		until--;
	for (size_t i = 0; i < until; i++)
		assert_int_equal(account_state_apply(&writer->state, world->entries[i].incarnation,
						     world->entries[i].seq,
						     bytes_of_buf(&world->entries[i].plain)),
				 ERR_OK);
	assert_int_equal(writer->state.held_count, 0);
	writer->merged = true;
}

static void start_world(struct world *world, uint64_t seed)
{
	*world = (struct world){.next_id = 1};
	sim_random_init(&world->random, seed, 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		world->writers[i].incarnation = number_id(9, i + 1);
		world->writers[i].lane = i;
		world->writers[i].merged = true;
		account_state_init(&world->writers[i].state, NULL);
	}
	for (unsigned i = 0; i < 60; i++) {
		struct writer *writer = &world->writers[pick(world, WRITERS)];

		if (pick(world, 4))
			write_entry(world, writer);
		else
			merge_some(world, writer);
	}
}

static void end_world(struct world *world)
{
	for (size_t i = 0; i < world->entry_count; i++)
		buf_finish(&world->entries[i].plain);
	for (unsigned i = 0; i < WRITERS; i++)
		account_state_finish(&world->writers[i].state);
}

static void shuffle(struct world *world, size_t *order, size_t count)
{
	for (size_t i = 0; i < count; i++)
		order[i] = i % world->entry_count;
	for (size_t i = count; i > 1; i--) {
		size_t j = pick(world, (uint32_t)i), kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}

/* Every entry at least once, some twice, in any order. */
static void apply_shuffled(struct world *world, struct buf *text)
{
	size_t order[2 * ENTRIES_MAX], count = world->entry_count + pick(world, 30);
	struct account_state state;

	account_state_init(&state, NULL);
	shuffle(world, order, count);
	for (size_t i = 0; i < count; i++) {
		const struct made_entry *entry = &world->entries[order[i]];

		assert_int_equal(account_state_apply(&state, entry->incarnation, entry->seq,
						     bytes_of_buf(&entry->plain)),
				 ERR_OK);
	}
	dump(&state, text);
	account_state_finish(&state);
}

/* Whether all orders give one state. */
static bool converges(uint64_t seed, unsigned orders)
{
	struct world world;
	struct buf first = {0}, other = {0};
	bool same = true;

	start_world(&world, seed);
	apply_shuffled(&world, &first);
	assert_non_null(strstr((const char *)first.data, "held 0"));
	for (unsigned i = 0; i < orders && same; i++) {
		apply_shuffled(&world, &other);
		same = !strcmp((const char *)first.data, (const char *)other.data);
		if (!same && !plant_is_on(PLANT_tombstone_forgotten))
			print_error("seed %llu:\n%s\n%s\n", (unsigned long long)seed,
				    (const char *)first.data, (const char *)other.data);
	}
	/* The writers, too, once they have seen it all. */
	for (unsigned i = 0; i < WRITERS && same; i++) {
		for (size_t j = 0; j < world.entry_count; j++)
			assert_int_equal(account_state_apply(&world.writers[i].state,
							     world.entries[j].incarnation,
							     world.entries[j].seq,
							     bytes_of_buf(&world.entries[j].plain)),
					 ERR_OK);
		dump(&world.writers[i].state, &other);
		same = !strcmp((const char *)first.data, (const char *)other.data);
	}
	buf_finish(&first);
	buf_finish(&other);
	end_world(&world);
	return same;
}

/* ---- snapshots and joins ---- */

/* Summaries are not the matter here; pages need a table of their blocks. */
struct store {
	struct unit_env env;
	struct summaries *summaries;
};

static void save_and_load(struct store *store, struct account_state *state,
			  struct account_state *out)
{
	struct buf plain = {0};
	struct root root = {0};
	struct cursor cursor;
	size_t item = 0;

	for (size_t i = 0; i < state->folder_count; i++)
		assert_int_equal(pages_partition(&state->folders[i]->messages), ERR_OK);
	root_encode(state, store->summaries, NULL, 0, &plain);
	account_state_init(out, NULL);
	cursor = cursor_make(bytes_of_buf(&plain));
	assert_int_equal(root_decode(&cursor, out, store->summaries, &root), ERR_OK);
	root_finish(&root);
	for (size_t i = 0; i < state->folder_count; i++) {
		struct folder *to = account_state_folder(out, state->folders[i]->id);

		for (size_t j = 0; j < state->folders[i]->messages.page_count; j++) {
			buf_clear(&plain);
			message_page_encode(state->folders[i], j, store->summaries, &plain);
			assert_int_equal(message_page_decode(out, to, store->summaries,
							     bytes_of_buf(&plain)),
					 ERR_OK);
		}
	}
	while (item != SIZE_MAX) {
		buf_clear(&plain);
		list_page_encode(state, &item, &plain);
		assert_int_equal(list_page_decode(out, bytes_of_buf(&plain)), ERR_OK);
	}
	buf_finish(&plain);
}

/* Two homes' states, each out of a snapshot of its own, are joined. */
static void join(struct store *store, struct account_state *a, struct account_state *b,
		 struct account_state *out)
{
	struct account_state other;

	save_and_load(store, a, out);
	save_and_load(store, b, &other);
	assert_int_equal(account_state_merge(out, &other), ERR_OK);
	account_state_finish(&other);
}

static bool is_in(const struct writer *writer, const struct made_entry *entry)
{
	return vector_get(&writer->state.applied, entry->incarnation) >= entry->seq;
}

/* What all entries that either writer has seen make. */
static void apply_seen(struct world *world, const struct writer *a, const struct writer *b,
		       struct buf *text)
{
	struct account_state whole;

	account_state_init(&whole, NULL);
	for (size_t i = 0; i < world->entry_count; i++) {
		const struct made_entry *entry = &world->entries[i];

		if (is_in(a, entry) || is_in(b, entry))
			assert_int_equal(account_state_apply(&whole, entry->incarnation, entry->seq,
							     bytes_of_buf(&entry->plain)),
					 ERR_OK);
	}
	dump(&whole, text);
	account_state_finish(&whole);
}

/* The rest of the history goes on top of a joined state as on top of any other. */
static void apply_rest(struct world *world, struct account_state *state)
{
	for (size_t i = 0; i < world->entry_count; i++)
		assert_int_equal(account_state_apply(state, world->entries[i].incarnation,
						     world->entries[i].seq,
						     bytes_of_buf(&world->entries[i].plain)),
				 ERR_OK);
}

static bool same_text(const struct buf *expected, const struct buf *found, uint64_t seed)
{
	bool same = !strcmp((const char *)expected->data, (const char *)found->data);

	if (!same && !plant_is_on(PLANT_tombstone_forgotten))
		print_error("seed %llu:\n%s\n%s\n", (unsigned long long)seed,
			    (const char *)expected->data, (const char *)found->data);
	return same;
}

/* *apart: the two had each seen something that the other had not. */
static bool joins(struct store *store, uint64_t seed, bool *apart)
{
	struct world world;
	struct buf expected = {0}, found = {0};
	struct account_state joined;
	struct writer *a, *b;
	bool same = true;

	start_world(&world, seed);
	a = &world.writers[0];
	b = &world.writers[1];
	*apart = !vector_covers(&a->state.applied, &b->state.applied) &&
		 !vector_covers(&b->state.applied, &a->state.applied);
	apply_seen(&world, a, b, &expected);
	for (unsigned i = 0; i < 2 && same; i++) {
		join(store, i ? &b->state : &a->state, i ? &a->state : &b->state, &joined);
		dump(&joined, &found);
		same = same_text(&expected, &found, seed);
		/* Once more changes nothing. */
		if (same) {
			assert_int_equal(account_state_merge(&joined, &a->state), ERR_OK);
			dump(&joined, &found);
			same = same_text(&expected, &found, seed);
		}
		if (same && i) {
			apply_rest(&world, &joined);
			dump(&joined, &found);
			apply_shuffled(&world, &expected);
			same = same_text(&expected, &found, seed);
		}
		account_state_finish(&joined);
	}
	buf_finish(&expected);
	buf_finish(&found);
	end_world(&world);
	return same;
}

static void store_init(struct store *store)
{
	unit_env_init(&store->env, 1);
	assert_int_equal(summaries_create(&store->env.env, NULL, ID128_ZERO, &store->summaries),
			 ERR_OK);
}

static void test_joins(void **state)
{
	struct store store;
	unsigned apart_count = 0;
	bool apart;

	(void)state;
	store_init(&store);
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		assert_true(joins(&store, seed, &apart));
		apart_count += apart;
	}
	assert_true(apart_count > 500);
	summaries_destroy(&store.summaries);
}

static void test_planted_tombstone_join(void **state)
{
	struct store store;
	unsigned found = 0;
	bool apart;

	(void)state;
	store_init(&store);
	plant_set(PLANT_tombstone_forgotten, true);
	for (uint64_t seed = 1; seed <= 100; seed++)
		found += !joins(&store, seed, &apart);
	plant_set(PLANT_tombstone_forgotten, false);
	summaries_destroy(&store.summaries);
	assert_true(found > 0);
}

/* Every allocation of a join fails once. */
static void test_join_out_of_memory(void **state)
{
	struct world world;
	struct store store;

	(void)state;
	store_init(&store);
	start_world(&world, 3);
	for (uint64_t i = 0;; i++) {
		struct account_state joined;
		enum err err;

		save_and_load(&store, &world.writers[0].state, &joined);
		memory_fail_after(i);
		err = account_state_merge(&joined, &world.writers[1].state);
		memory_fail_after(UINT64_MAX);
		account_state_finish(&joined);
		if (!err)
			break;
		assert_int_equal(err, ERR_NOMEM);
	}
	end_world(&world);
	summaries_destroy(&store.summaries);
}

static void test_any_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++)
		assert_true(converges(seed, 5));
}

/* The oracle sees a state that forgets what was expunged. */
static void test_planted_tombstone(void **state)
{
	unsigned found = 0;

	(void)state;
	plant_set(PLANT_tombstone_forgotten, true);
	for (uint64_t seed = 1; seed <= 100; seed++)
		found += !converges(seed, 3);
	plant_set(PLANT_tombstone_forgotten, false);
	assert_true(found > 0);
}

/* Remove wins, whichever comes first. */
static void test_remove_wins(void **state)
{
	struct account_state one;
	struct buf a = {0}, b = {0}, head = {0};
	struct id128 left = number_id(9, 1), right = number_id(9, 2);
	struct world world = {.life = 0};
	struct operation add = {
		.kind = OPERATION_ADD,
		.folder = folder_id(0),
		.add = {.id = number_id(2, 1), .uid = 1, .delivered = true},
	};
	struct uid_run run = {1, 1};
	struct operation expunge = {
		.kind = OPERATION_EXPUNGE, .folder = folder_id(0), .runs = &run, .run_count = 1};

	(void)state;
	operation_head_encode(&(struct operation_head){.clock = 5}, &head);
	buf_put_bytes(&a, bytes_of_buf(&head));
	put_folder(&world, 0, &a);
	operation_encode(&add, &a);
	operation_encode(&expunge, &a);
	buf_put_bytes(&b, bytes_of_buf(&head));
	put_folder(&world, 0, &b);
	add.add.uid = 70000;
	operation_encode(&add, &b);
	for (unsigned i = 0; i < 2; i++) {
		account_state_init(&one, NULL);
		assert_int_equal(
			account_state_apply(&one, i ? right : left, 1, bytes_of_buf(i ? &b : &a)),
			ERR_OK);
		assert_int_equal(
			account_state_apply(&one, i ? left : right, 1, bytes_of_buf(i ? &a : &b)),
			ERR_OK);
		assert_int_equal(account_state_folder(&one, folder_id(0))->messages.count, 0);
		account_state_finish(&one);
	}
	buf_finish(&a);
	buf_finish(&b);
	buf_finish(&head);
}

/* Whatever bytes come: an error, and no harm. */
static void test_damaged_entries(void **state)
{
	struct world world;
	struct sim_random random;

	(void)state;
	start_world(&world, 77);
	sim_random_init(&random, 5, 0);
	for (unsigned i = 0; i < 4000; i++) {
		const struct made_entry *entry =
			&world.entries[sim_random_below(&random, world.entry_count)];
		struct account_state one;
		struct buf damaged = {0};

		buf_put_bytes(&damaged, bytes_of_buf(&entry->plain));
		damaged.data[sim_random_below(&random, damaged.size)] ^=
			(uint8_t)(1u << sim_random_below(&random, 8));
		if (!(i % 3))
			damaged.size = sim_random_below(&random, damaged.size);
		account_state_init(&one, NULL);
		enum err err =
			account_state_apply(&one, entry->incarnation, 1, bytes_of_buf(&damaged));

		assert_true(err == ERR_OK || err == ERR_CORRUPT || err == ERR_NEWER);
		account_state_finish(&one);
		buf_finish(&damaged);
	}
	end_world(&world);
}

/* Every allocation fails once: an error, no leak. */
static void test_out_of_memory(void **state)
{
	struct world world;

	(void)state;
	start_world(&world, 3);
	for (uint64_t i = 0;; i++) {
		struct account_state one;
		enum err err = ERR_OK;

		account_state_init(&one, NULL);
		memory_fail_after(i);
		for (size_t j = 0; j < world.entry_count && !err; j++)
			err = account_state_apply(&one, world.entries[j].incarnation,
						  world.entries[j].seq,
						  bytes_of_buf(&world.entries[j].plain));
		memory_fail_after(UINT64_MAX);
		account_state_finish(&one);
		if (!err)
			break;
		assert_int_equal(err, ERR_NOMEM);
	}
	end_world(&world);
}

/* What 50 000 messages of one folder take, half of them read. */
static void test_memory_of_messages(void **state)
{
	struct account_state one;
	struct world world = {.life = 0};
	size_t bytes;
	const struct collection *messages;

	(void)state;
	account_state_init(&one, NULL);
	for (unsigned i = 0; i < 100; i++) {
		struct operation_head head = {.clock = 5 + i};
		struct buf plain = {0};
		struct uid_run run = {1 + i * 500, 250};
		struct operation flags = {.kind = OPERATION_FLAGS,
					  .folder = folder_id(0),
					  .runs = &run,
					  .run_count = 1,
					  .flags = {.system_set = FLAG_SEEN}};

		operation_head_encode(&head, &plain);
		if (!i)
			put_folder(&world, 0, &plain);
		for (unsigned j = 0; j < 500; j++) {
			struct operation add = {
				.kind = OPERATION_ADD,
				.folder = folder_id(0),
				.add = {.id = number_id(2, 1 + i * 500 + j),
					.uid = 1 + i * 500 + j,
					.blob = {.extent_count = 1, .extents[0].piece_count = 1}},
			};

			operation_encode(&add, &plain);
		}
		operation_encode(&flags, &plain);
		assert_int_equal(
			account_state_apply(&one, number_id(9, 1), 1 + i, bytes_of_buf(&plain)),
			ERR_OK);
		buf_finish(&plain);
	}
	messages = &account_state_folder(&one, folder_id(0))->messages;
	assert_int_equal(messages->count, 50000);
	assert_int_equal(messages->unseen, 25000);
	collection_check(messages);
	bytes = messages->slot_count * sizeof(*messages->slots) +
		messages->count * sizeof(*messages->order) +
		messages->ids.capacity * sizeof(*messages->ids.places) +
		messages->register_count * sizeof(*messages->registers);
	print_message("%zu bytes a message\n", bytes / messages->count);
	assert_true(bytes / messages->count <= 232);
	account_state_finish(&one);
}

/* ---- what is forgotten (R7) ---- */

#define CHURN 100000u
#define CHURN_BATCH 100u
#define CHURN_LIVE 500u

struct churn {
	struct account_state state;
	uint64_t seq;
	struct buf plain;
};

static void churn_say(struct churn *churn, const struct operation_head *head, uint32_t first)
{
	struct world world = {.life = 0};
	struct uid_run run = {first > CHURN_LIVE ? first - CHURN_LIVE : 1, CHURN_BATCH};
	struct operation expunge = {
		.kind = OPERATION_EXPUNGE, .folder = folder_id(0), .runs = &run, .run_count = 1};

	buf_clear(&churn->plain);
	operation_head_encode(head, &churn->plain);
	if (!churn->state.folder_count)
		put_folder(&world, 0, &churn->plain);
	for (uint32_t i = 0; i < CHURN_BATCH; i++) {
		struct operation add = {
			.kind = OPERATION_ADD,
			.folder = folder_id(0),
			.add = {.id = number_id(2, first + i), .uid = first + i, .delivered = true},
		};

		operation_encode(&add, &churn->plain);
	}
	if (first > CHURN_LIVE)
		operation_encode(&expunge, &churn->plain);
	assert_int_equal(account_state_apply(&churn->state, number_id(9, 1), ++churn->seq,
					     bytes_of_buf(&churn->plain)),
			 ERR_OK);
}

static size_t list_page_bytes(const struct account_state *state)
{
	struct buf page = {0};
	size_t item = 0, bytes = 0;

	while (item != SIZE_MAX) {
		buf_clear(&page);
		list_page_encode(state, &item, &page);
		bytes += page.size;
	}
	buf_finish(&page);
	return bytes;
}

/* What a hundred thousand messages leave behind that came and went. */
static void test_churn_is_bounded(void **state)
{
	struct churn churn = {.seq = 0};
	const struct vector nothing = {NULL, 0, 0};
	const struct collection *messages;

	(void)state;
	account_state_init(&churn.state, NULL);
	for (uint32_t first = 1; first < CHURN; first += CHURN_BATCH) {
		struct operation_head head = {.clock = 5 + first,
					      .context = first == 1 ? &nothing : NULL,
					      .mended = true};

		churn_say(&churn, &head, first);
		/* As a snapshot does every ten entries, when all replicas answer. */
		if (churn.seq % 10 == 0) {
			account_state_forget(&churn.state, &churn.state.applied);
			account_state_prune(&churn.state);
		}
	}
	account_state_forget(&churn.state, &churn.state.applied);
	messages = &account_state_folder(&churn.state, folder_id(0))->messages;
	collection_check(messages);
	assert_int_equal(messages->count, CHURN_LIVE);
	assert_int_equal(messages->tombstone_count, 0);
	assert_int_equal(messages->superseded_count, 0);
	assert_true(messages->slot_capacity < 2 * (CHURN_LIVE + CHURN_BATCH));
	assert_true(messages->tombstone_capacity < 20 * CHURN_BATCH);
	assert_int_equal(churn.state.horizons.count, 1);
	/* Of a list page a transaction is left for each delivery of the last week, no more. */
	assert_true(list_page_bytes(&churn.state) <= 64 + churn.state.transaction_count * 24);
	account_state_finish(&churn.state);
	buf_finish(&churn.plain);
}

static void say_at(struct account_state *state, struct id128 writer, uint64_t seq,
		   const struct operation_head *head, const struct operation *operations,
		   size_t count)
{
	struct world world = {.life = 0};
	struct buf plain = {0};

	operation_head_encode(head, &plain);
	if (!state->folder_count)
		put_folder(&world, 0, &plain);
	for (size_t i = 0; i < count; i++)
		operation_encode(&operations[i], &plain);
	assert_int_equal(account_state_apply(state, writer, seq, bytes_of_buf(&plain)), ERR_OK);
	buf_finish(&plain);
}

/* Kept while a replica lacks the expunge, and while a home may be at work that has not seen it. */
static void test_tombstones_wait(void **state)
{
	struct id128 ours = number_id(9, 1), other = number_id(9, 2);
	struct id128 message = number_id(2, 1);
	struct uid_run run = {1, 1};
	const struct operation come_and_go[] = {
		{.kind = OPERATION_ADD,
		 .folder = folder_id(0),
		 .add = {.id = number_id(2, 1), .uid = 1, .delivered = true}},
		{.kind = OPERATION_EXPUNGE, .folder = folder_id(0), .runs = &run, .run_count = 1}};
	struct account_state one;
	struct vector seen = {0}, behind = {0};
	struct operation_head head = {.clock = 5, .context = &seen, .mended = true};
	const struct collection *messages;

	(void)state;
	account_state_init(&one, NULL);
	say_at(&one, other, 1, &head, NULL, 0);
	say_at(&one, ours, 1, &head, come_and_go, 2);
	messages = &account_state_folder(&one, folder_id(0))->messages;
	assert_true(collection_buried(messages, message));
	account_state_forget(&one, &behind);
	assert_true(collection_buried(messages, message));
	/* All replicas have it; the other home's horizon does not. */
	account_state_forget(&one, &one.applied);
	assert_true(collection_buried(messages, message));
	assert_int_equal(vector_copy(&one.applied, &seen), ERR_OK);
	head = (struct operation_head){
		.clock = 6, .context = &seen, .mended = true, .ended = &other, .ended_count = 1};
	say_at(&one, ours, 2, &head, NULL, 0);
	account_state_forget(&one, &behind);
	assert_true(collection_buried(messages, message));
	account_state_forget(&one, &one.applied);
	assert_false(collection_buried(messages, message));
	account_state_finish(&one);
	vector_finish(&seen);
}

/* ---- groups ---- */

/* A group that its writer did not live to end goes when no replica has more of it. */
static void test_group_without_an_end(void **state)
{
	struct id128 dead = number_id(9, 1), own = number_id(9, 2);
	struct operation add = {.kind = OPERATION_ADD, .folder = folder_id(0), .add = {.uid = 1}};
	struct operation_head head = {.clock = 5};
	struct vector known = {0};
	struct account_state one;
	const struct collection *messages;

	(void)state;
	account_state_init(&one, NULL);
	say_at(&one, dead, 1, &head, NULL, 0);
	for (uint32_t i = 2; i <= 3; i++) {
		add.add.id = number_id(2, i);
		add.add.uid = i;
		head.continues = true;
		head.continued = i > 2;
		say_at(&one, dead, i, &head, &add, 1);
	}
	messages = &account_state_folder(&one, folder_id(0))->messages;
	assert_int_equal(one.held_count, 2);
	assert_int_equal(vector_get(&one.applied, dead), 1);
	assert_int_equal(account_state_reached(&one, dead), 3);
	/* Its UIDs are given out all the same. */
	assert_int_equal(messages->reserve_top, 3);
	assert_int_equal(vector_raise(&known, dead, 3), ERR_OK);
	assert_int_equal(account_state_end_groups(&one, dead, &known), ERR_OK);
	assert_int_equal(one.held_count, 2);
	assert_int_equal(vector_raise(&known, dead, 4), ERR_OK);
	assert_int_equal(account_state_end_groups(&one, own, &known), ERR_OK);
	assert_int_equal(one.held_count, 2);
	vector_finish(&known);
	assert_int_equal(vector_raise(&known, dead, 3), ERR_OK);
	assert_int_equal(account_state_end_groups(&one, own, &known), ERR_OK);
	assert_int_equal(one.held_count, 0);
	assert_int_equal(vector_get(&one.applied, dead), 3);
	assert_int_equal(messages->count, 0);
	account_state_finish(&one);
	vector_finish(&known);
}

/* ---- what earlier versions wrote ---- */

static void apply_plain(struct account_state *state, uint64_t seq,
			const struct operation *operation)
{
	const struct operation_head head = {.clock = seq};
	struct buf plain = {0};

	operation_head_encode(&head, &plain);
	operation_encode(operation, &plain);
	assert_int_equal(account_state_apply(state, number_id(9, 1), seq, bytes_of_buf(&plain)),
			 ERR_OK);
	buf_finish(&plain);
}

static void test_earlier_versions(void **unused)
{
	const struct operation create = {
		.kind = OPERATION_FOLDER,
		.folder = folder_id(1),
		.create = {.name = bytes_string("Sent"), .uidvalidity = 7}};
	const struct operation name = {
		.kind = OPERATION_FOLDER_NAME, .folder = folder_id(1), .name = bytes_string("Old")};
	struct account_state state, loaded;
	struct buf plain = {0};
	struct store store;
	struct root root = {0};
	struct cursor cursor;

	(void)unused;
	store_init(&store);
	account_state_init(&state, NULL);
	account_state_init(&loaded, NULL);
	apply_plain(&state, 1, &create);
	apply_plain(&state, 2, &name);
	assert_string_equal(state.folders[0]->name, "Old");
	assert_false(past_names_allow(&state.past_names, bytes_string("Old"), folder_id(2), 7));
	assert_true(past_names_allow(&state.past_names, bytes_string("Old"), folder_id(2), 8));
	/* A root that says nothing of names: any may have had any UIDVALIDITY that was given. */
	root_encode(&state, store.summaries, NULL, 0, &plain);
	plain.data[0] = 1;
	plain.size -= 4 + 1 + 2 * 36;
	cursor = cursor_make(bytes_of_buf(&plain));
	assert_int_equal(root_decode(&cursor, &loaded, store.summaries, &root), ERR_OK);
	assert_int_equal(cursor_left(&cursor), 0);
	assert_false(past_names_allow(&loaded.past_names, bytes_string("Any"), folder_id(2), 7));
	assert_true(past_names_allow(&loaded.past_names, bytes_string("Any"), folder_id(2), 8));
	root_finish(&root);
	buf_finish(&plain);
	account_state_finish(&state);
	account_state_finish(&loaded);
	summaries_destroy(&store.summaries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_planted_tombstone),
		cmocka_unit_test(test_remove_wins),
		cmocka_unit_test(test_damaged_entries),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_memory_of_messages),
		cmocka_unit_test(test_joins),
		cmocka_unit_test(test_planted_tombstone_join),
		cmocka_unit_test(test_join_out_of_memory),
		cmocka_unit_test(test_churn_is_bounded),
		cmocka_unit_test(test_tombstones_wait),
		cmocka_unit_test(test_group_without_an_end),
		cmocka_unit_test(test_earlier_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
