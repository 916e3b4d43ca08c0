/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"
#include "engine/journal/journal_private.h"

struct fanout *fanout_create(struct journal *journal, const struct id128 *volumes, size_t count,
			     enum journal_operation operation)
{
	struct fanout *fanout =
		memory_allocate(sizeof(*fanout) + count * sizeof(fanout->targets[0]));

	if (fanout == NULL)
		return NULL;
	fanout->journal = journal;
	fanout->references = 1;
	fanout->count = count;
	for (size_t i = 0; i < count; i++) {
		fanout->targets[i].fanout = fanout;
		fanout->targets[i].call.wire.operation = (uint16_t)operation;
		fanout->targets[i].call.wire.volume = volumes[i];
	}
	return fanout;
}

static void release_references(union fanout_call *call)
{
	switch ((enum journal_operation)call->wire.operation) {
	case JOURNAL_STATE:
		shared_release(&call->state.state);
		return;
	case JOURNAL_PUT:
		shared_release(&call->put.item.bytes);
		return;
	case JOURNAL_GET:
		shared_release(&call->get.bytes);
		return;
	case JOURNAL_HELLO:
		shared_release(&call->hello.marks);
		return;
	case JOURNAL_MARK:
		shared_release(&call->mark.marks);
		return;
	case JOURNAL_LIST:
		shared_release(&call->list.streams);
		return;
	case JOURNAL_READ:
		shared_release(&call->read.after);
		shared_release(&call->read.entries);
		return;
	case JOURNAL_APPEND:
	case JOURNAL_PROMISE:
	case JOURNAL_DIGESTS:
	default:
		return;
	}
}

void fanout_release(struct fanout **out)
{
	struct fanout *fanout = *out;

	*out = NULL;
	if (fanout == NULL || --fanout->references != 0)
		return;
	for (size_t i = 0; i < fanout->count; i++)
		release_references(&fanout->targets[i].call);
	memory_free(fanout);
}

static void answered(struct wire_call *call)
{
	struct fanout_target *target = call->context;
	struct fanout *fanout = target->fanout;
	struct journal *journal = fanout->journal;

	target->answered = true;
	fanout->answered++;
	fanout->succeeded += call->err == ERR_OK;
	cond_broadcast(&fanout->changed);
	fanout_release(&fanout);
	group_leave(&journal->calls);
}

void fanout_post(struct fanout *fanout)
{
	for (size_t i = 0; i < fanout->count; i++) {
		struct wire_call *call = &fanout->targets[i].call.wire;

		call->done = answered;
		call->context = &fanout->targets[i];
		fanout->references++;
		group_enter(&fanout->journal->calls);
		wire_post(fanout->journal->wire, call);
	}
}

enum err fanout_wait(struct fanout *fanout, size_t enough, uint64_t deadline_ms)
{
	while (fanout->answered < fanout->count && fanout->succeeded < enough) {
		enum err err = cond_wait(&fanout->changed, deadline_ms);

		if (err == ERR_CANCELED)
			return err;
		if (err == ERR_TIMEOUT)
			break;
	}
	return ERR_OK;
}

bool fanout_succeeded(const struct fanout_target *target)
{
	return target->answered && target->call.wire.err == ERR_OK;
}

enum err fanout_ask(struct fanout *fanout)
{
	uint64_t deadline_ms = env_now_ms(fanout->journal->env) + JOURNAL_ANSWER_MS;
	enum err err;

	fanout_post(fanout);
	err = fanout_wait(fanout, 1, deadline_ms);
	if (err != ERR_OK)
		return err;
	return fanout->targets[0].answered ? fanout->targets[0].call.wire.err : ERR_TIMEOUT;
}
