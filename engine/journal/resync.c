/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The resync: makes every live designated replica hold what any live replica
 * holds, and decides whose answers count.
 *
 *   digests of all groups -> unequal ones: streams -> their states -> what is missing is shipped
 *
 * INV 1  A volume counts when it has been compared, group by group, with so many
 *        others that nothing acknowledged can have escaped: all of the layout's,
 *        or as many counted ones as a complete read needs. Until then its votes,
 *        promises and vectors do not count.
 * INV 2  A volume whose journal ends before what another one remembers of it
 *        has lost what it promised to keep. It does not count, whatever it says.
 * INV 3  What is shipped is what was accepted elsewhere, byte for byte. It is
 *        not fenced: the entries exist, and every replica must tell the same.
 *
 * Sources are all live volumes, not only the designated ones: after a change of
 * the layout the old replicas hold what the new ones need.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/journal_private.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"
#include "engine/journal/ship.h"
#include "engine/plant.h"

/* Rounds in a row while they bring damage to light: each mends what the one before found. */
#define ROUNDS_MAX 4u

/* A live volume, and what it says. */
struct peer {
	struct id128 volume;
	bool reachable;
	bool counted;	 /* before this round */
	bool confirmed;	 /* that it is not behind was found before */
	bool incomplete; /* something it should have could not be shipped to it */
	struct journal_position position;
	uint64_t digests[LAYOUT_GROUP_COUNT];
};

struct round {
	struct journal *journal;
	struct peer *peers;
	size_t count;
	struct marks remembered; /* what all of them remember of each other */
	bool failed;		 /* something could not be asked or shipped */
	bool found_damage;	 /* at a source, which does not hold it any more: ask again */
	uint64_t shipped;
};

static struct fanout *ask_one(struct round *round, struct id128 volume,
			      enum journal_operation operation)
{
	return fanout_create(round->journal, &volume, 1, operation);
}

/* ---- who is there ---- */

static WAITS enum err say_hello(struct round *round, struct peer *peer)
{
	struct fanout *fanout = ask_one(round, peer->volume, JOURNAL_HELLO);
	const struct journal_hello_call *call;
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	err = fanout_ask(fanout);
	if (err == ERR_OK) {
		call = &fanout->targets[0].call.hello;
		peer->reachable = true;
		peer->counted = call->counted;
		peer->confirmed = call->confirmed;
		peer->position = call->position;
		err = marks_merge_encoded(&round->remembered, shared_bytes(call->marks));
	}
	fanout_release(&fanout);
	return err;
}

static WAITS enum err meet_peers(struct round *round)
{
	const struct layout *layout = round->journal->layout;

	round->peers = memory_array(layout->volume_count, sizeof(*round->peers));
	if (round->peers == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < layout->volume_count; i++)
		if (!layout->volumes[i].failed)
			round->peers[round->count++].volume = layout->volumes[i].volume;
	for (size_t i = 0; i < round->count; i++) {
		enum err err = say_hello(round, &round->peers[i]);

		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
	}
	/* INV 2 */
	for (size_t i = 0; i < round->count; i++) {
		struct peer *peer = &round->peers[i];
		struct journal_position remembered = marks_get(&round->remembered, peer->volume);

		if (!peer->reachable || peer->confirmed || PLANTED(stale_volume_trusted) ||
		    journal_position_compare(peer->position, remembered) >= 0)
			continue;
		if (peer->counted)
			env_log(round->journal->env, "event=journal-volume-behind alarm=1");
		peer->counted = false;
	}
	return ERR_OK;
}

/* ---- what they hold ---- */

struct digests_wait {
	struct journal_digests_call call;
};

static WAITS enum err ask_digests(struct round *round, struct peer *peer)
{
	struct digests_wait *wait = memory_allocate(sizeof(*wait));
	enum err err;

	if (wait == NULL)
		return ERR_NOMEM;
	wait->call.wire.operation = JOURNAL_DIGESTS;
	wait->call.wire.volume = peer->volume;
	err = wire_wait(round->journal->wire, &wait->call.wire);
	if (err == ERR_OK)
		memcpy(peer->digests, wait->call.digests, sizeof(peer->digests));
	else
		peer->reachable = false;
	memory_free(wait);
	return err;
}

static bool is_designated(const struct round *round, uint8_t group, struct id128 volume)
{
	struct id128 replicas[LAYOUT_REPLICAS];
	size_t count = layout_replicas(round->journal->layout, group, replicas);

	for (size_t i = 0; i < count; i++)
		if (id128_equal(replicas[i], volume))
			return true;
	return false;
}

/*
 * Whether somebody holds what a designated replica may lack. A volume that is not designated and
 * holds nothing, or less, does not matter; one that differs might hold more.
 */
static bool is_unequal(const struct round *round, uint8_t group)
{
	const struct peer *first = NULL;

	for (size_t i = 0; i < round->count && first == NULL; i++)
		if (round->peers[i].reachable &&
		    is_designated(round, group, round->peers[i].volume))
			first = &round->peers[i];
	for (size_t i = 0; first != NULL && i < round->count; i++) {
		const struct peer *peer = &round->peers[i];

		if (!peer->reachable || peer->digests[group] == first->digests[group])
			continue;
		if (peer->digests[group] != 0 || is_designated(round, group, peer->volume))
			return true;
	}
	return false;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id128));
}

/* The streams of a group that anybody holds, sorted, each once. */
static WAITS enum err list_streams(struct round *round, uint8_t group, struct buf *ids)
{
	size_t count, kept = 0;
	struct id128 *all;

	for (size_t i = 0; i < round->count; i++) {
		struct fanout *fanout;
		enum err err;

		if (!round->peers[i].reachable)
			continue;
		fanout = ask_one(round, round->peers[i].volume, JOURNAL_LIST);
		if (fanout == NULL)
			return ERR_NOMEM;
		fanout->targets[0].call.list.group = group;
		err = fanout_ask(fanout);
		if (err == ERR_OK)
			buf_put_bytes(ids, shared_bytes(fanout->targets[0].call.list.streams));
		else
			round->failed = true;
		fanout_release(&fanout);
		if (err == ERR_CANCELED || err == ERR_NOMEM)
			return err;
	}
	if (ids->err != ERR_OK)
		return ids->err;
	if (ids->size == 0)
		return ERR_OK;
	count = ids->size / sizeof(struct id128);
	all = (struct id128 *)(void *)ids->data;
	qsort(all, count, sizeof(*all), compare_ids);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || !id128_equal(all[kept - 1], all[i]))
			all[kept++] = all[i];
	ids->size = kept * sizeof(*all);
	return ERR_OK;
}

static WAITS enum err ask_state(struct round *round, struct id128 volume, struct id128 stream,
				struct stream_state *out)
{
	struct fanout *fanout = ask_one(round, volume, JOURNAL_STATE);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	fanout->targets[0].call.state.stream = stream;
	err = fanout_ask(fanout);
	if (err == ERR_OK)
		err = state_decode(shared_bytes(fanout->targets[0].call.state.state), out);
	fanout_release(&fanout);
	return err;
}

/* ---- one stream, from one to another ---- */

static WAITS enum err ship_promise(struct round *round, const struct shipment *shipment,
				   const struct stream_state *source)
{
	struct fanout *fanout = ask_one(round, shipment->target, JOURNAL_PROMISE);
	struct journal_promise_call *call;
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	call = &fanout->targets[0].call.promise;
	call->stream = shipment->stream;
	call->epoch = source->promise_epoch;
	call->home = source->promise_home;
	err = fanout_ask(fanout);
	fanout_release(&fanout);
	/* It has promised more meanwhile. */
	return err == ERR_FENCED ? ERR_OK : err;
}

static bool promises_more(const struct stream_state *a, const struct stream_state *b)
{
	if (a->promise_epoch != b->promise_epoch)
		return a->promise_epoch > b->promise_epoch;
	return false;
}

static bool is_dominated(const struct stream_state *state, const struct state_manifest *manifest)
{
	for (size_t i = 0; i < state->manifest_count; i++)
		if (manifest_dominates(&state->manifests[i].vector, state->manifests[i].epoch,
				       state->manifests[i].id, &manifest->vector, manifest->epoch,
				       manifest->id))
			return true;
	return false;
}

/* Everything that the source has and the target has not. *have is the target's state before. */
static WAITS enum err ship(struct round *round, struct shipment *shipment,
			   const struct stream_state *source, struct stream_state *have)
{
	enum err err = ERR_OK;
	bool changed = false;

	for (size_t i = 0; err == ERR_OK && i < source->manifest_count; i++) {
		const struct state_manifest *manifest = &source->manifests[i];

		if (state_has_manifest(have, manifest->id) || is_dominated(have, manifest))
			continue;
		err = ship_manifest(shipment, manifest->id, have);
		changed = true;
	}
	if (err == ERR_OK && changed) {
		state_finish(have);
		err = ask_state(round, shipment->target, shipment->stream, have);
	}
	if (err == ERR_OK && !vector_covers(&have->vector, &source->vector))
		err = ship_suffixes(shipment, &have->vector);
	if (err == ERR_OK && promises_more(source, have))
		err = ship_promise(round, shipment, source);
	return err;
}

/* ---- rounds ---- */

static WAITS enum err sync_pair(struct round *round, struct id128 stream, struct peer *source,
				struct peer *target)
{
	struct shipment shipment = {.journal = round->journal,
				    .stream = stream,
				    .source = source->volume,
				    .target = target->volume};
	struct stream_state has = {0}, lacks = {0};
	enum err err = ask_state(round, source->volume, stream, &has);

	if (err == ERR_OK)
		err = ask_state(round, target->volume, stream, &lacks);
	if (err == ERR_OK)
		err = ship(round, &shipment, &has, &lacks);
	round->shipped += shipment.shipped;
	state_finish(&has);
	state_finish(&lacks);
	if (err != ERR_OK && err != ERR_CANCELED && err != ERR_NOMEM) {
		env_log(round->journal->env, "event=journal-resync-failed error=%s", err_name(err));
		round->failed = target->incomplete = true;
		round->found_damage |= err == ERR_CORRUPT;
		err = ERR_OK;
	}
	return err;
}

static WAITS enum err sync_stream(struct round *round, uint8_t group, struct id128 stream)
{
	uint64_t before = round->shipped;
	enum err err = ERR_OK;

	for (size_t i = 0; i < round->count && err == ERR_OK; i++) {
		struct peer *target = &round->peers[i];

		if (!target->reachable || !is_designated(round, group, target->volume))
			continue;
		for (size_t j = 0; j < round->count && err == ERR_OK; j++)
			if (j != i && round->peers[j].reachable)
				err = sync_pair(round, stream, &round->peers[j], target);
	}
	if (round->shipped != before)
		journal_notify(round->journal, stream);
	return err;
}

static WAITS enum err sync_group(struct round *round, uint8_t group)
{
	struct buf ids = {0};
	enum err err = list_streams(round, group, &ids);

	for (size_t at = 0; err == ERR_OK && at < ids.size; at += sizeof(struct id128)) {
		struct id128 stream;

		memcpy(stream.octets, ids.data + at, sizeof(stream.octets));
		err = sync_stream(round, group, stream);
	}
	buf_finish(&ids);
	return err;
}

/* INV 1 */
static bool may_count(const struct round *round, const struct peer *peer)
{
	size_t reached = 0, counted = 0;

	for (size_t i = 0; i < round->count; i++) {
		const struct peer *other = &round->peers[i];

		if (other == peer || !other->reachable)
			continue;
		reached++;
		counted += other->counted;
	}
	return reached + 1 == round->journal->layout->volume_count ||
	       counted >= journal_read_quorum(round->journal);
}

static WAITS enum err mark_counted(struct round *round, struct peer *peer)
{
	struct fanout *fanout = ask_one(round, peer->volume, JOURNAL_MARK);
	struct buf encoded = {0};
	struct journal_mark_call *call;
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	call = &fanout->targets[0].call.mark;
	call->counted = true;
	marks_encode(&round->remembered, &encoded);
	call->marks = encoded.err == ERR_OK ? shared_create(encoded.size) : NULL;
	if (call->marks != NULL)
		memcpy(call->marks->data, encoded.data, encoded.size);
	buf_finish(&encoded);
	err = fanout_ask(fanout);
	fanout_release(&fanout);
	return err;
}

/* Who counts from now on; said durably where it is news, and once in the life of a replica. */
static WAITS enum err judge_peer(struct round *round, struct peer *peer)
{
	struct member *member = journal_member(round->journal, peer->volume);
	bool counts =
		peer->counted || (!peer->incomplete && !round->failed && may_count(round, peer));
	enum err err = ERR_OK;

	if (member == NULL)
		return ERR_NOMEM;
	/* A silence is no loss: what it holds it still holds. */
	if (!peer->reachable)
		return ERR_OK;
	if (counts && !(peer->counted && peer->confirmed))
		err = mark_counted(round, peer);
	member->counted = counts && err == ERR_OK;
	return err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_OK;
}

static WAITS enum err judge(struct round *round)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < round->count && err == ERR_OK; i++)
		err = judge_peer(round, &round->peers[i]);
	return err;
}

static WAITS enum err run_round(struct round *round)
{
	enum err err = meet_peers(round);

	for (size_t i = 0; i < round->count && err == ERR_OK; i++)
		if (round->peers[i].reachable) {
			err = ask_digests(round, &round->peers[i]);
			if (err != ERR_CANCELED && err != ERR_NOMEM)
				err = ERR_OK;
		}
	for (unsigned group = 0; group < LAYOUT_GROUP_COUNT && err == ERR_OK; group++)
		if (is_unequal(round, (uint8_t)group))
			err = sync_group(round, (uint8_t)group);
	return err == ERR_OK ? judge(round) : err;
}

static WAITS enum err resync_once(struct journal *journal, bool *found_damage)
{
	struct round round = {.journal = journal};
	enum err err = run_round(&round);

	*found_damage = round.found_damage;
	for (size_t i = 0; i < round.count; i++)
		round.failed |= !round.peers[i].reachable;
	memory_free(round.peers);
	marks_finish(&round.remembered);
	if (err == ERR_OK && round.failed)
		err = ERR_UNAVAILABLE;
	if (err == ERR_OK)
		journal->lagging = 0;
	if (round.shipped != 0)
		env_log(journal->env, "event=journal-resynced records=%llu",
			(unsigned long long)round.shipped);
	return err;
}

enum err journal_resync(struct journal *journal)
{
	bool found_damage = true;
	enum err err = ERR_OK;

	for (unsigned i = 0; i < ROUNDS_MAX && found_damage; i++)
		err = resync_once(journal, &found_damage);
	return err;
}

void journal_want_resync(struct journal *journal)
{
	journal->lagging++;
	journal->resync_due = true;
	cond_signal(&journal->resync_wanted);
}

void journal_resync_task(void *argument)
{
	struct journal *journal = argument;

	while (!journal->stopping && !task_canceled()) {
		if (!journal->resync_due &&
		    cond_wait(&journal->resync_wanted,
			      env_now_ms(journal->env) + JOURNAL_RESYNC_MS) == ERR_CANCELED)
			break;
		if (journal->stopping)
			break;
		/* Several failures in a row make one round; one that fails must not spin. */
		if (task_sleep(JOURNAL_PAUSE_MS) != ERR_OK || journal->stopping)
			break;
		journal->resync_due = false;
		if (journal_resync(journal) != ERR_OK)
			env_log(journal->env, "event=journal-resync-incomplete");
	}
	group_leave(&journal->tasks);
}
