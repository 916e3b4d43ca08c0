/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/settle.h"

#include "engine/journal/ship.h"
#include "engine/plant.h"

struct settling {
	struct journal *journal;
	struct id128 stream;
	struct states *states;
	const struct vector *seen;
	struct vector held;   /* by any */
	struct vector wanted; /* held, and not left to an append that is under way */
	struct vector *settled;
	bool alone; /* no quorum answers */
};

/* Whether those that hold the incarnation up to `seq` could have acknowledged it. */
static bool is_quorum(const struct settling *settling, struct id128 incarnation, uint64_t seq)
{
	const struct replica_set *set = journal_replicas(settling->journal, settling->stream);
	const struct states *states = settling->states;
	const struct id128 *first = NULL;
	bool several = false, spans = false;
	size_t holders = 0;

	for (size_t i = 0; i < set->count; i++)
		several |= !id128_equal(set->nodes[i], set->nodes[0]);
	for (size_t i = 0; i < states->count; i++) {
		if (vector_get(&states->items[i].vector, incarnation) < seq)
			continue;
		first = first != NULL ? first : &states->nodes[i];
		spans |= !id128_equal(*first, states->nodes[i]);
		holders++;
	}
	return holders >= journal_quorum(settling->journal, set) && (spans || !several);
}

static bool can_be_quorum(const struct settling *settling)
{
	const struct id128 anything = ID128_ZERO;

	return is_quorum(settling, anything, 0);
}

/* The highest seq that a quorum holds: it is one of those that the replicas say. */
static uint64_t settled_seq(const struct settling *settling, struct id128 incarnation)
{
	const struct states *states = settling->states;
	uint64_t highest = 0;

	for (size_t i = 0; i < states->count; i++) {
		uint64_t seq = vector_get(&states->items[i].vector, incarnation);

		if (seq > highest && is_quorum(settling, incarnation, seq))
			highest = seq;
	}
	return highest;
}

static enum err find_wanted(struct settling *settling)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < settling->states->count && err == ERR_OK; i++)
		err = vector_merge(&settling->held, &settling->states->items[i].vector);
	for (size_t i = 0; i < settling->held.count && err == ERR_OK; i++) {
		const struct vector_item *item = &settling->held.items[i];
		uint64_t under_way =
			journal_under_way(settling->journal, settling->stream, item->incarnation);
		uint64_t wanted =
			under_way != 0 && under_way <= item->seq ? under_way - 1 : item->seq;

		err = vector_raise(&settling->wanted, item->incarnation, wanted);
	}
	return err;
}

static enum err find_settled(struct settling *settling)
{
	enum err err = ERR_OK;

	if (settling->alone)
		return vector_merge(settling->settled, &settling->wanted);
	for (size_t i = 0; i < settling->held.count && err == ERR_OK; i++) {
		struct id128 incarnation = settling->held.items[i].incarnation;

		err = vector_raise(settling->settled, incarnation,
				   settled_seq(settling, incarnation));
	}
	return err;
}

/* Wanted, new to the reader, and not settled. */
static bool is_open(const struct settling *settling, const struct vector_item *wanted)
{
	return wanted->seq > vector_get(settling->settled, wanted->incarnation) &&
	       wanted->seq > vector_get(settling->seen, wanted->incarnation);
}

static bool is_any_open(const struct settling *settling)
{
	for (size_t i = 0; i < settling->wanted.count; i++)
		if (is_open(settling, &settling->wanted.items[i]))
			return true;
	return false;
}

static bool has_to_give(const struct settling *settling, const struct vector *source,
			const struct vector *target)
{
	for (size_t i = 0; i < settling->wanted.count; i++) {
		const struct vector_item *wanted = &settling->wanted.items[i];

		if (is_open(settling, wanted) && vector_get(source, wanted->incarnation) >
							 vector_get(target, wanted->incarnation))
			return true;
	}
	return false;
}

/* From one replica to another. Some other one may do as well: what fails is judged at the end. */
static WAITS enum err write_back(struct settling *settling, size_t source, size_t target)
{
	struct states *states = settling->states;
	struct vector *from = &states->items[source].vector, *to = &states->items[target].vector;
	struct shipment shipment = {.journal = settling->journal,
				    .stream = settling->stream,
				    .source = states->volumes[source],
				    .target = states->volumes[target]};
	struct vector have = {0};
	enum err err;

	if (!has_to_give(settling, from, to))
		return ERR_OK;
	err = vector_copy(to, &have);
	if (err == ERR_OK)
		err = vector_merge(&have, settling->seen);
	if (err == ERR_OK)
		err = ship_suffixes(&shipment, &have);
	if (err == ERR_OK)
		err = vector_merge(to, from);
	if (err == ERR_OK)
		err = find_settled(settling);
	vector_finish(&have);
	if (err == ERR_OK || err == ERR_NOMEM || err == ERR_CANCELED || err == ERR_STALE)
		return err;
	env_log(settling->journal->env, "event=journal-not-written-back error=%s", err_name(err));
	journal_want_resync(settling->journal);
	return ERR_OK;
}

static WAITS enum err settle_open(struct settling *settling)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < settling->states->count; i++)
		for (size_t j = 0; j < settling->states->count && err == ERR_OK; j++)
			if (i != j && is_any_open(settling))
				err = write_back(settling, i, j);
	if (err == ERR_OK && is_any_open(settling))
		err = ERR_UNAVAILABLE;
	return err;
}

enum err settle(struct journal *journal, struct id128 stream, struct states *states,
		const struct vector *seen, struct vector *settled)
{
	struct settling settling = {.journal = journal,
				    .stream = stream,
				    .states = states,
				    .seen = seen,
				    .settled = settled};
	enum err err;

	settling.alone = !can_be_quorum(&settling);
	err = find_wanted(&settling);
	if (err == ERR_OK && PLANTED(minority_shown))
		err = vector_merge(settled, &settling.held);
	if (err == ERR_OK)
		err = find_settled(&settling);
	if (err == ERR_OK)
		err = settle_open(&settling);
	vector_finish(&settling.held);
	vector_finish(&settling.wanted);
	return err;
}
