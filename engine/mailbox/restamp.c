/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/restamp.h"

#include "engine/plant.h"

/* Of one operation: what one entry holds easily. */
#define TOUCH_RUNS_MAX 256u

static bool may_be_dropped(const struct account_state *state, struct entry_mark entry)
{
	for (size_t i = 0; i < state->horizons.count; i++) {
		if (horizons_may_drop(&state->horizons, &state->writers, &state->horizons.items[i],
				      entry))
			return true;
	}
	return false;
}

enum restamp restamp_message(const struct account_state *state, const struct message_state *message)
{
	if (!PLANTED(restamp_uid_stays) && may_be_dropped(state, message->stamped))
		return RESTAMP_UID;
	if (!PLANTED(restamp_modseq_stays) && may_be_dropped(state, message->touched))
		return RESTAMP_MODSEQ;
	return RESTAMP_NOTHING;
}

bool restamp_removals(const struct account_state *state, const struct collection *messages)
{
	return messages->removals.modseq && !PLANTED(restamp_removals_stay) &&
	       may_be_dropped(state, messages->removals.touched);
}

uint32_t restamp_count(const struct account_state *state, const struct collection *messages,
		       bool *any)
{
	uint32_t count = 0;

	*any = restamp_removals(state, messages);
	for (size_t i = 0; i < messages->count; i++) {
		enum restamp asked = restamp_message(state, collection_at(messages, i));

		*any |= asked != RESTAMP_NOTHING;
		count += asked == RESTAMP_UID;
	}
	return count;
}

bool restamp_any(const struct account_state *state)
{
	bool any = false;

	for (size_t i = 0; i < state->folder_count && !any; i++)
		(void)restamp_count(state, &state->folders[i]->messages, &any);
	return any;
}

/* UIDs to be touched, not put yet: they ascend. */
struct touches {
	struct id128 folder;
	const struct restamp_sink *sink;
	struct uid_run runs[TOUCH_RUNS_MAX];
	size_t count;
};

static enum err flush_touches(struct touches *touches)
{
	const struct operation operation = {.kind = OPERATION_TOUCH,
					    .folder = touches->folder,
					    .runs = touches->runs,
					    .run_count = touches->count};

	if (!touches->count)
		return ERR_OK;
	touches->count = 0;
	return touches->sink->put(touches->sink->context, &operation);
}

static enum err put_touch(struct touches *touches, uint32_t uid)
{
	struct uid_run *last = touches->count ? &touches->runs[touches->count - 1] : NULL;
	enum err err = ERR_OK;

	if (last && last->first + last->count == uid) {
		last->count++;
		return ERR_OK;
	}
	if (touches->count == TOUCH_RUNS_MAX)
		err = flush_touches(touches);
	if (!err)
		touches->runs[touches->count++] = (struct uid_run){uid, 1};
	return err;
}

static enum err put_stamp(struct id128 folder, uint32_t uid, const struct restamp_sink *sink)
{
	const struct operation operation = {
		.kind = OPERATION_STAMP,
		.folder = folder,
		.stamp = {.old_uid = uid, .new_uid = sink->take_uid(sink->context, folder)}};

	return sink->put(sink->context, &operation);
}

enum err restamp_put(const struct account_state *state, const struct folder *folder,
		     const struct restamp_sink *sink)
{
	const struct operation removals = {.kind = OPERATION_TOUCH, .folder = folder->id};
	const struct collection *messages = &folder->messages;
	struct touches touches = {.folder = folder->id, .sink = sink};
	enum err err = ERR_OK;

	for (size_t i = 0; i < messages->count && !err; i++) {
		const struct message_state *message = collection_at(messages, i);
		enum restamp asked = restamp_message(state, message);

		if (asked == RESTAMP_UID)
			err = put_stamp(folder->id, message->uid, sink);
		else if (asked == RESTAMP_MODSEQ)
			err = put_touch(&touches, message->uid);
	}
	if (!err)
		err = flush_touches(&touches);
	if (!err && restamp_removals(state, messages))
		err = sink->put(sink->context, &removals);
	return err;
}
