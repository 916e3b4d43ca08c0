/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/blobs_private.h"

static void one_answered(struct wire_call *call)
{
	group_leave(call->context);
}

void ask_all(struct blobs *blobs, void *calls, size_t stride, size_t count)
{
	struct group group = {0};

	for (size_t i = 0; i < count; i++) {
		struct wire_call *call = (struct wire_call *)(void *)((uint8_t *)calls + i * stride);

		call->done = one_answered;
		call->context = &group;
		group_enter(&group);
		wire_post(blobs->wire, call);
	}
	group_wait(&group);
}

static void question_answered(struct wire_call *call)
{
	struct question *question = call->context;

	question->answered = true;
	if (question->asker != NULL)
		cond_broadcast(question->asker);
	else
		question->drop(question);
}

void question_post(struct blobs *blobs, struct question *question, struct cond *asker)
{
	question->asker = asker;
	question->call->done = question_answered;
	question->call->context = question;
	wire_post(blobs->wire, question->call);
}

void question_release(struct question *question)
{
	question->asker = NULL;
	if (question->answered)
		question->drop(question);
}
