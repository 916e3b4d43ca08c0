/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Promises: an epoch counts when max(majority, W) of the designated replicas
 * have it on their disks. Any two such sets meet, and any of them meets every
 * quorum of an append: a home that reads after its promise misses nothing that
 * a fenced one was acknowledged.
 */
#include "engine/journal/journal_private.h"

static size_t promise_quorum(const struct journal *journal, const struct replica_set *set)
{
	size_t quorum = journal_quorum(journal, set), majority = set->count / 2 + 1;

	return quorum > majority ? quorum : majority;
}

/* Counted ones only: one that lost its promises must not vote. */
static size_t count_votes(struct journal *journal, const struct fanout *fanout)
{
	size_t votes = 0;

	for (size_t i = 0; i < fanout->count; i++)
		votes += fanout_succeeded(&fanout->targets[i]) &&
			 journal_is_counted(journal, fanout->targets[i].call.wire.volume);
	return votes;
}

enum err journal_promise(struct journal *journal, struct id128 stream, uint64_t epoch,
			 struct id128 home, struct promise_result *result)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	struct fanout *fanout = fanout_create(journal, set.volumes, set.count, JOURNAL_PROMISE);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	*result = (struct promise_result){.promised = epoch};
	for (size_t i = 0; i < fanout->count; i++) {
		fanout->targets[i].call.promise.stream = stream;
		fanout->targets[i].call.promise.home = home;
		fanout->targets[i].call.promise.epoch = epoch;
	}
	fanout_post(fanout);
	err = fanout_wait(fanout, fanout->count, env_now_ms(journal->env) + JOURNAL_APPEND_MS);
	if (err != ERR_OK)
		goto out;
	err = count_votes(journal, fanout) >= promise_quorum(journal, &set) ? ERR_OK
									    : ERR_UNAVAILABLE;
	for (size_t i = 0; i < fanout->count; i++) {
		const struct journal_promise_call *call = &fanout->targets[i].call.promise;

		if (!fanout_succeeded(&fanout->targets[i]))
			result->silent[result->silent_count++] = set.nodes[i];
		if (!fanout->targets[i].answered || call->wire.err != ERR_FENCED)
			continue;
		err = ERR_FENCED;
		if (call->promised > result->promised)
			result->promised = call->promised;
	}
out:
	fanout_release(&fanout);
	return err;
}

enum err journal_epoch(struct journal *journal, struct id128 stream, uint64_t *epoch)
{
	const struct replica_set set = *journal_replicas(journal, stream);
	struct fanout *fanout = fanout_create(journal, set.volumes, set.count, JOURNAL_STATE);
	uint64_t highest = 0;
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < fanout->count; i++)
		fanout->targets[i].call.state.stream = stream;
	fanout_post(fanout);
	err = fanout_wait(fanout, fanout->count, env_now_ms(journal->env) + JOURNAL_ANSWER_MS);
	if (err == ERR_OK && count_votes(journal, fanout) < set.count / 2 + 1)
		err = ERR_UNAVAILABLE;
	for (size_t i = 0; err == ERR_OK && i < fanout->count; i++) {
		struct stream_state state;

		if (!fanout_succeeded(&fanout->targets[i]))
			continue;
		err = state_decode(shared_bytes(fanout->targets[i].call.state.state), &state);
		if (err != ERR_OK)
			break;
		if (state.promise_epoch > highest)
			highest = state.promise_epoch;
		state_finish(&state);
	}
	if (err == ERR_OK)
		*epoch = highest;
	fanout_release(&fanout);
	return err;
}
