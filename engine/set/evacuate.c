/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Evacuation: fence, copy the union of what the members hold to a new set, seal
 * that, publish it as successor, remove the old columns. The old set stays whole
 * until the new one is certified, so being cut off costs a repetition only: the
 * new set names its predecessor and was born sealed, and unless it is complete
 * the next start removes it.
 *
 * A record of which no member that answers has a valid copy is an explicit loss
 * in the new set. When a member was silent meanwhile that is no last word: its
 * column stays in the directory, and when it answers again the same steps are
 * taken once more for what it holds and no successor does, in a further
 * successor. Only then does its column go.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"
#include "engine/set/inheritance.h"
#include "engine/set/successor.h"

/* A page that cannot be read so often is damaged, as far as anybody can tell. */
#define FETCH_ATTEMPTS 3

/* A record of the old set, and the members that list it. */
struct item {
	struct column_entry entry;
	uint32_t holders;
};

struct evacuation {
	struct finish *finish;
	struct inheritance inheritance;
	struct item *items;
	size_t count, copies, gaps;
	uint64_t size; /* of all records */
	struct successor successor;
};

/* ---- the union ---- */

static int compare_items(const void *left, const void *right)
{
	const struct column_entry *a = &((const struct item *)left)->entry;
	const struct column_entry *b = &((const struct item *)right)->entry;

	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return column_entry_compare(a->id, a->piece, b);
}

static enum err add_list(struct evacuation *evacuation, unsigned member,
			 const struct column_entry *entries, uint32_t count)
{
	bool sealed = evacuation->finish->answers[member].sealed;
	struct item *items =
		memory_resize(evacuation->items, (evacuation->count + count) * sizeof(*items));

	if (items == NULL)
		return ERR_NOMEM;
	evacuation->items = items;
	for (uint32_t i = 0; i < count; i++) {
		/* The index of a sealed member is that of the whole set. */
		bool holds = !sealed || entries[i].column == member;

		items[evacuation->count++] =
			(struct item){.entry = entries[i], .holders = holds ? 1u << member : 0};
	}
	return ERR_OK;
}

static void unite(struct evacuation *evacuation)
{
	struct item *items = evacuation->items;
	size_t kept = 0;

	if (evacuation->count > 1)
		qsort(items, evacuation->count, sizeof(*items), compare_items);
	for (size_t i = 0; i < evacuation->count; i++) {
		if (kept > 0 && compare_items(&items[kept - 1], &items[i]) == 0) {
			items[kept - 1].holders |= items[i].holders;
			continue;
		}
		items[kept++] = items[i];
	}
	evacuation->count = kept;
}

/* What lies between two records of a column, and is in no list, was a record once. */
static void count_gaps(struct evacuation *evacuation)
{
	uint64_t end = 0;

	for (size_t i = 0; i < evacuation->count; i++) {
		const struct column_entry *entry = &evacuation->items[i].entry;

		if (i > 0 && entry->column != evacuation->items[i - 1].entry.column)
			end = 0;
		evacuation->gaps += entry->offset > end;
		end = entry->offset + record_size(entry->payload_size);
	}
}

static bool is_inherited(const struct evacuation *evacuation, const struct column_entry *entry)
{
	const struct inheritance *inheritance = &evacuation->inheritance;

	return inheritance_holds(inheritance, entry->id, entry->piece) ||
	       (entry->type == RECORD_LOST &&
		inheritance_knows_lost(inheritance, entry->id, entry->piece));
}

static void forget_inherited(struct evacuation *evacuation)
{
	size_t kept = 0;

	for (size_t i = 0; i < evacuation->count; i++) {
		if (is_inherited(evacuation, &evacuation->items[i].entry))
			continue;
		evacuation->items[kept++] = evacuation->items[i];
		evacuation->size += record_size(evacuation->items[i].entry.payload_size);
	}
	evacuation->count = kept;
}

static WAITS enum err list_member(struct finish *finish, unsigned member,
				  struct column_entry **entries, uint32_t *count)
{
	/* Sealed while nobody else answered: its index is that of the whole set. */
	if (finish->answers[member].sealed)
		return fetch_index_entries(finish->blobs, finish->volumes[member], finish->set,
					   entries, count);
	return fetch_list(finish, member, entries, count);
}

static WAITS enum err add_member(struct evacuation *evacuation, unsigned member)
{
	struct finish *finish = evacuation->finish;
	struct set_answer *answer = &finish->answers[member];
	struct column_entry *entries;
	uint32_t count, kept = 0;
	enum err err = list_member(finish, member, &entries, &count);

	if (err != ERR_OK)
		return err;
	/* What a column lists beyond what it had synced, when its writing failed, never was. */
	for (uint32_t i = 0; i < count; i++)
		if (answer->answered ||
		    (entries[i].column < PROFILE_MEMBER_MAX &&
		     entries[i].offset < answer->columns[entries[i].column].end))
			entries[kept++] = entries[i];
	err = add_list(evacuation, member, entries, kept);
	memory_free(entries);
	return err;
}

static WAITS enum err list_all(struct evacuation *evacuation)
{
	struct finish *finish = evacuation->finish;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		struct set_answer *answer = &finish->answers[i];
		enum err err;

		if (!answer->answered && !answer->readable)
			continue;
		err = add_member(evacuation, i);
		if (err != ERR_OK)
			return err;
		/* With what it holds it has said all that it knows. */
		finish->answered += !answer->answered;
		answer->answered = true;
		finish->silent &= ~(1u << i);
	}
	unite(evacuation);
	count_gaps(evacuation);
	forget_inherited(evacuation);
	return ERR_OK;
}

/* ---- copying ---- */

/* No member that answers has a copy that is valid: that is said where the record would be. */
static WAITS enum err put_lost(struct evacuation *evacuation, const struct column_entry *entry)
{
	struct finish *finish = evacuation->finish;
	const struct column_entry loss = {
		.id = entry->id, .piece = entry->piece, .type = RECORD_LOST};
	enum err err;

	env_log(finish->blobs->env, "event=%s set=%016llx column=%u offset=%llu",
		finish_all_known(finish) ? "record-lost" : "record-missing",
		(unsigned long long)finish->set, entry->column, (unsigned long long)entry->offset);
	if (inheritance_knows_lost(&evacuation->inheritance, entry->id, entry->piece))
		return ERR_OK;
	err = successor_put_lost(&evacuation->successor, finish->set, entry);
	return err == ERR_OK ? inheritance_add(&evacuation->inheritance, &loss) : err;
}

/* ERR_NOTFOUND: no copy is valid; ERR_UNAVAILABLE: or one that is could not be read. */
static WAITS enum err fetch_copy(const struct evacuation *evacuation, const struct item *item,
				 struct shared **bytes)
{
	struct finish *finish = evacuation->finish;
	bool sealed = false, unread = false;
	enum err err = ERR_NOTFOUND;

	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		sealed |= finish->answers[i].sealed;
		if ((item->holders >> i & 1) == 0)
			continue;
		err = fetch_record(finish, i, &item->entry, bytes);
		if (err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		unread |= err != ERR_NOTFOUND && err != ERR_CORRUPT;
	}
	/* With one certificate the columns of those that voted may be combined. */
	if (sealed) {
		err = reader_fetch(finish->blobs, finish->set, item->entry.id, item->entry.piece,
				   bytes);
		if (err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
		unread |= err == ERR_UNAVAILABLE;
	}
	return unread ? ERR_UNAVAILABLE : ERR_NOTFOUND;
}

/* Whether all that list it still answer: then what they could not read is damaged. */
static WAITS bool holders_answer(struct evacuation *evacuation, const struct item *item)
{
	struct finish *finish = evacuation->finish;

	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if ((item->holders >> i & 1) != 0 && !finish_answers(finish, i))
			return false;
	return true;
}

static WAITS enum err copy_item(struct evacuation *evacuation, const struct item *item)
{
	struct shared *bytes = NULL;
	enum err err = ERR_UNAVAILABLE;

	for (int i = 0; err == ERR_UNAVAILABLE && i < FETCH_ATTEMPTS; i++)
		err = fetch_copy(evacuation, item, &bytes);
	if (err == ERR_UNAVAILABLE && holders_answer(evacuation, item))
		err = ERR_NOTFOUND;
	if (err == ERR_NOTFOUND)
		return put_lost(evacuation, &item->entry);
	if (err != ERR_OK)
		return err;
	err = successor_put(&evacuation->successor, bytes);
	evacuation->copies += err == ERR_OK;
	return err == ERR_OK ? inheritance_add(&evacuation->inheritance, &item->entry) : err;
}

/* Of what lay in a gap not even the name is left: one loss without a name stands for all of them. */
static const struct column_entry nameless = {.column = RECORD_NO_COLUMN};

static bool is_nameless_known(const struct evacuation *evacuation)
{
	return inheritance_knows_lost(&evacuation->inheritance, nameless.id, nameless.piece);
}

static WAITS enum err copy_all(struct evacuation *evacuation)
{
	enum err err = ERR_OK;

	/* A column that was away may have gaps of its own, which the others filled. */
	if (evacuation->inheritance.heirs > 0 && !is_nameless_known(evacuation))
		evacuation->gaps = 0;
	if (evacuation->gaps > 0)
		err = put_lost(evacuation, &nameless);
	for (size_t i = 0; err == ERR_OK && i < evacuation->count; i++)
		err = copy_item(evacuation, &evacuation->items[i]);
	return successor_drain(&evacuation->successor, err);
}

/* ---- the new set ---- */

static WAITS enum err hand_over(struct evacuation *evacuation)
{
	const struct finish *finish = evacuation->finish;
	struct successor *successor = &evacuation->successor;
	enum err err;

	successor_init(successor, finish->blobs,
		       &(struct open_set_order){.predecessors = &finish->set,
						.predecessor_count = 1,
						.content = evacuation->size});
	err = copy_all(evacuation);
	if (successor->target == NULL)
		return err;
	if (err == ERR_OK)
		err = successor_seal(successor);
	if (err == ERR_OK)
		err = successor_publish(successor, finish->set);
	successor_close(successor);
	return err;
}

/* ---- the whole ---- */

/*
 * k fenced members cover every column, unless one has been sealed meanwhile: it may have given up
 * its mirror, and the set needs no evacuation any more. With a successor all columns were covered
 * once, and whoever answers now has only to add what that one lacks.
 */
static bool is_covered(const struct evacuation *evacuation)
{
	const struct finish *finish = evacuation->finish;

	if (evacuation->inheritance.heirs > 0)
		return true;
	for (unsigned i = 0; i < profile_members(finish->profile); i++)
		if (finish->answers[i].sealed)
			return false;
	return finish->answered >= finish->profile.k || finish_all_known(finish);
}

/*
 * Something is missing, and a silent member may be sealed: with its parity and the columns of those
 * that have voted it could still be decoded. One that is not sealed needs no help for what it has.
 */
static bool may_be_decoded_later(const struct evacuation *evacuation)
{
	const struct finish *finish = evacuation->finish;
	bool damaged = evacuation->inheritance.lost > 0;

	if (finish_all_known(finish))
		return false;
	for (unsigned i = 0; i < profile_members(finish->profile); i++) {
		const struct set_answer *answer = &finish->answers[i];

		if (answer->answered && !answer->voted)
			return false;
		damaged |= answer->damaged;
	}
	return damaged;
}

/* Once everybody has answered, what is missing is lost. */
static void count_losses(const struct evacuation *evacuation)
{
	const struct finish *finish = evacuation->finish;
	uint64_t lost = evacuation->inheritance.lost;

	if (is_nameless_known(evacuation) && evacuation->gaps == 0)
		lost--;
	if (!finish_all_known(finish) || lost == 0)
		return;
	finish->blobs->records_lost += lost;
	env_log(finish->blobs->env, "event=set-lost-records set=%016llx records=%llu",
		(unsigned long long)finish->set, (unsigned long long)lost);
}

static void count_evacuation(const struct evacuation *evacuation)
{
	const struct finish *finish = evacuation->finish;
	bool first = evacuation->inheritance.heirs == 0;

	finish->blobs->evacuations += first;
	if (first || evacuation->copies > 0)
		env_log(finish->blobs->env, "event=%s set=%016llx records=%zu",
			first ? "set-evacuated" : "set-taken-over", (unsigned long long)finish->set,
			evacuation->copies);
}

static WAITS enum err give_up_columns(struct evacuation *evacuation)
{
	struct finish *finish = evacuation->finish;
	enum err err;

	if (may_be_decoded_later(evacuation)) {
		env_log(finish->blobs->env, "event=set-kept set=%016llx",
			(unsigned long long)finish->set);
		return ERR_OK;
	}
	err = finish_remove(finish);
	if (err == ERR_OK)
		count_losses(evacuation);
	return err;
}

enum err evacuate_set(struct finish *finish)
{
	struct evacuation evacuation = {.finish = finish};
	enum err err = finish_ask(finish, SET_FENCE);

	if (err == ERR_OK)
		err = inheritance_load(finish->blobs, finish->set, &evacuation.inheritance);
	if (err == ERR_OK && !is_covered(&evacuation))
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		err = list_all(&evacuation);
	if (err == ERR_OK)
		err = hand_over(&evacuation);
	if (err == ERR_OK)
		err = give_up_columns(&evacuation);
	if (err == ERR_OK)
		count_evacuation(&evacuation);
	memory_free(evacuation.items);
	inheritance_finish(&evacuation.inheritance);
	return err;
}
