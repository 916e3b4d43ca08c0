/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Two states of one account become one (engine/mailbox/merge.h), and what re-stamping asks of it
 * (restamp.h). The first byte chooses: states made of entries, of which one is known to both sides;
 * or two roots of snapshots, as hostile as they come. Then u16 sizes, and the parts.
 *
 * Entries: both ways of merging give as much. Both: merging again changes nothing, and what is
 * asked can be written as operations. (That all entries in one state give the same holds for
 * writers that keep to the rules; tests/engine/mailbox has those.)
 */
#include "engine/mailbox/merge.h"
#include "engine/mailbox/pages.h"
#include "engine/mailbox/restamp.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

#define PARTS 3u

static struct unit_env env;
static const struct id128 writers[PARTS] = {{{1}}, {{2}}, {{3}}};

struct input {
	struct bytes parts[PARTS];
};

/* The bytes of a root say how much there is; in which order does not count. */
static size_t size_of(const struct account_state *state, const struct summaries *summaries)
{
	struct buf root = {0}, lists = {0};
	size_t size, item = 0;

	root_encode(state, summaries, NULL, 0, &root);
	while (item != SIZE_MAX)
		list_page_encode(state, &item, &lists);
	ASSERT(root.err == ERR_OK && lists.err == ERR_OK);
	size = root.size + lists.size;
	buf_finish(&root);
	buf_finish(&lists);
	return size;
}

static void check_collections(const struct account_state *state)
{
	for (size_t i = 0; i < state->folder_count; i++)
		collection_check(&state->folders[i]->messages);
}

/* ---- re-stamping ---- */

struct asked {
	uint32_t uid, taken;
	struct buf operations;
};

static uint32_t take_uid(void *context, struct id128 folder)
{
	struct asked *asked = context;

	(void)folder;
	asked->taken++;
	return ++asked->uid;
}

static enum err put_operation(void *context, const struct operation *operation)
{
	struct asked *asked = context;

	operation_encode(operation, &asked->operations);
	return asked->operations.err;
}

static void check_restamp(const struct account_state *state)
{
	bool any = false;

	for (size_t i = 0; i < state->folder_count; i++) {
		const struct folder *folder = state->folders[i];
		struct asked asked = {.uid = 0};
		const struct restamp_sink sink = {take_uid, put_operation, &asked};
		bool here;
		uint32_t count = restamp_count(state, &folder->messages, &here);

		ASSERT(restamp_put(state, folder, &sink) == ERR_OK);
		ASSERT(asked.taken == count && (asked.operations.size != 0) == here);
		any |= here;
		buf_finish(&asked.operations);
	}
	ASSERT(restamp_any(state) == any);
}

/* ---- states ---- */

struct state {
	struct account_state state;
	bool good;
};

static void make(struct state *state, struct summaries *summaries)
{
	const struct account_listener listener = {.added = summaries_added,
						  .removed = summaries_removed,
						  .block = summaries_block,
						  .context = summaries};

	account_state_init(&state->state, &listener);
	state->good = true;
}

static void apply(struct state *state, const struct input *input, size_t part)
{
	state->good = state->good && account_state_apply(&state->state, writers[part], 1,
							 input->parts[part]) == ERR_OK;
}

static void read_root(struct state *state, struct summaries *summaries, struct bytes plain)
{
	struct cursor cursor = cursor_make(plain);
	struct root root = {0};

	state->good = root_decode(&cursor, &state->state, summaries, &root) == ERR_OK;
	root_finish(&root);
}

/* False: one of them is none. */
static bool merge(struct state *into, const struct state *from)
{
	if (!into->good || !from->good || into->state.held_count != 0 ||
	    from->state.held_count != 0)
		return false;
	ASSERT(account_state_merge(&into->state, &from->state) == ERR_OK);
	return true;
}

static void check_merged(struct state *merged, const struct state *from,
			 const struct summaries *summaries)
{
	size_t size = size_of(&merged->state, summaries);

	check_collections(&merged->state);
	check_restamp(&merged->state);
	ASSERT(merge(merged, from));
	ASSERT(size_of(&merged->state, summaries) == size);
}

static void check_entries(const struct input *input, struct summaries *summaries)
{
	struct state a, b, b_into, a_from;

	make(&a, summaries);
	make(&b, summaries);
	make(&a_from, summaries);
	make(&b_into, summaries);
	for (size_t i = 0; i < PARTS; i++) {
		if (i != 2) {
			apply(&a, input, i);
			apply(&a_from, input, i);
		}
		if (i != 1) {
			apply(&b, input, i);
			apply(&b_into, input, i);
		}
	}
	if (merge(&a, &b) && merge(&b_into, &a_from)) {
		size_t size = size_of(&a.state, summaries);

		ASSERT(size_of(&b_into.state, summaries) == size);
		ASSERT(a.state.clock >= b.state.clock && a.state.clock >= a_from.state.clock);
		ASSERT(vector_covers(&a.state.applied, &b.state.applied));
		check_merged(&a, &b, summaries);
	}
	account_state_finish(&a.state);
	account_state_finish(&b.state);
	account_state_finish(&a_from.state);
	account_state_finish(&b_into.state);
}

static void check_roots(const struct input *input, struct summaries *summaries)
{
	struct state a, b;

	make(&a, summaries);
	make(&b, summaries);
	read_root(&a, summaries, input->parts[0]);
	read_root(&b, summaries, input->parts[1]);
	if (merge(&a, &b))
		check_merged(&a, &b, summaries);
	account_state_finish(&a.state);
	account_state_finish(&b.state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor cursor = cursor_make(bytes_make(data, size));
	bool roots = (cursor_u8(&cursor) & 1) != 0;
	size_t sizes[PARTS] = {cursor_u16(&cursor), cursor_u16(&cursor), SIZE_MAX};
	struct summaries *summaries;
	struct input input;

	for (size_t i = 0; i < PARTS; i++)
		input.parts[i] = cursor_take(
			&cursor, sizes[i] < cursor_left(&cursor) ? sizes[i] : cursor_left(&cursor));
	unit_env_init(&env, 1);
	ASSERT(summaries_create(&env.env, NULL, ID128_ZERO, &summaries) == ERR_OK);
	if (roots)
		check_roots(&input, summaries);
	else
		check_entries(&input, summaries);
	summaries_destroy(&summaries);
	return 0;
}
