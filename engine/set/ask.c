/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"
#include "engine/set/pace.h"

/* Times the hedging: a disk that needs longer is not slow, it hangs. */
#define PATIENCE_FACTOR 5u
/* Bytes a millisecond that the slowest disk manages that is still worth waiting for. */
#define SLOWEST_SPEED 1000u

/* What paced work reads or writes before it gives way again. */
#define STEP_SIZE (64u * 1024)

/* In front of each call. */
union question {
	struct {
		struct blobs *blobs; /* NULL: nobody is left to be told how long it took */
		struct cond *asker;  /* NULL: nobody waits */
		bool posted, answered, released;
		uint64_t posted_us, patience_ms;
		void (*drop)(struct wire_call *call);
		union question *next, **link; /* in blobs->questions, while not answered */
	};
	max_align_t alignment;
};

static union question *question_of(const void *call)
{
	return (union question *)(uintptr_t)call - 1;
}

static struct wire_call *call_of(union question *question)
{
	return (struct wire_call *)(void *)(question + 1);
}

void *ask_create(size_t size, unsigned operation, struct id128 volume,
		 void (*drop)(struct wire_call *call))
{
	union question *question = memory_allocate(sizeof(*question) + size);
	struct wire_call *call;

	if (question == NULL)
		return NULL;
	call = call_of(question);
	question->drop = drop;
	call->operation = (uint16_t)operation;
	call->volume = volume;
	return call;
}

static void destroy(union question *question)
{
	if (question->drop != NULL)
		question->drop(call_of(question));
	memory_free(question);
}

static void unlink_question(union question *question)
{
	if (question->link == NULL)
		return;
	*question->link = question->next;
	if (question->next != NULL)
		question->next->link = question->link;
	question->link = NULL;
}

static void note_answer(union question *question)
{
	struct wire_call *call = call_of(question);
	struct health *health = &question->blobs->health;
	uint64_t took_us = env_now_us(question->blobs->env) - question->posted_us;

	if (call->operation == SET_READ && call->err == ERR_OK)
		health_took(health, call->volume, HEALTH_READ, took_us);
}

static void question_answered(struct wire_call *call)
{
	union question *question = question_of(call);

	question->answered = true;
	if (question->blobs != NULL)
		note_answer(question);
	unlink_question(question);
	if (question->asker != NULL)
		cond_broadcast(question->asker);
	if (question->released)
		destroy(question);
}

uint64_t ask_patience_ms(const struct blobs *blobs)
{
	return PATIENCE_FACTOR * blobs->options.hedge_ms;
}

uint64_t ask_patience_for_ms(const struct blobs *blobs, uint64_t size)
{
	return ask_patience_ms(blobs) + size / SLOWEST_SPEED;
}

uint64_t ask_patience_paced_ms(const struct blobs *blobs, uint64_t set, uint64_t rate)
{
	const struct directory_record *record = directory_store_get(blobs->directory, set);
	/* A mirror holds what all the data columns do; a footer is small beside them. */
	uint64_t size = record != NULL && record->born
				? record->birth.capacity * (record->birth.profile.k + 1u)
				: blobs->options.column_size * PROFILE_MEMBER_MAX;
	uint64_t steps = size / STEP_SIZE + 2, patience_ms;

	/* It is done twice at most: written, and read back. */
	patience_ms = 2 * (ask_patience_for_ms(blobs, size) + steps * PACE_YIELD_MAX_MS);
	return rate != 0 ? patience_ms + 2 * (size / rate + 1) * 1000 : patience_ms;
}

bool ask_is_hanging(const struct blobs *blobs, struct id128 volume)
{
	uint64_t now_us = env_now_us(blobs->env);

	for (union question *at = blobs->questions; at != NULL; at = at->next)
		if (id128_equal(call_of(at)->volume, volume) &&
		    now_us - at->posted_us >= at->patience_ms * 1000)
			return true;
	return false;
}

void ask_post(struct blobs *blobs, void *call, uint64_t patience_ms, struct cond *asker)
{
	union question *question = question_of(call);

	/* Nobody serves the volume without an id. */
	if (ask_is_hanging(blobs, call_of(question)->volume))
		call_of(question)->volume = ID128_ZERO;
	question->patience_ms = patience_ms;

	question->blobs = blobs;
	question->asker = asker;
	question->posted = true;
	question->posted_us = env_now_us(blobs->env);
	question->next = blobs->questions;
	question->link = &blobs->questions;
	if (question->next != NULL)
		question->next->link = &question->next;
	blobs->questions = question;
	call_of(question)->done = question_answered;
	wire_post(blobs->wire, call_of(question));
}

enum err ask_err(const void *call)
{
	const union question *question = question_of(call);

	if (question->answered)
		return ((const struct wire_call *)call)->err;
	return task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
}

bool ask_is_answered(const void *call)
{
	return question_of(call)->answered;
}

void ask_release(void *call)
{
	union question *question;

	if (call == NULL)
		return;
	question = question_of(call);
	if (question->answered || !question->posted) {
		destroy(question);
		return;
	}
	question->asker = NULL;
	question->released = true;
}

void ask_forget_all(struct blobs *blobs)
{
	while (blobs->questions != NULL) {
		union question *question = blobs->questions;

		unlink_question(question);
		question->blobs = NULL;
	}
}

static bool all_answered(void *const *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!ask_is_answered(calls[i]))
			return false;
	return true;
}

/* In turns, so that who waits long hears that the store is to be closed. */
static WAITS enum err wait_a_while(struct blobs *blobs, struct cond *changed, uint64_t deadline_ms)
{
	uint64_t turn_ms = env_now_ms(blobs->env) + ask_patience_ms(blobs);
	enum err err = cond_wait(changed, turn_ms < deadline_ms ? turn_ms : deadline_ms);

	return err == ERR_TIMEOUT && turn_ms < deadline_ms && !blobs->closing ? ERR_OK : err;
}

void ask_all(struct blobs *blobs, void *const *calls, size_t count, uint64_t patience_ms)
{
	uint64_t deadline_ms = env_now_ms(blobs->env) + patience_ms;
	struct cond changed = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; i < count; i++)
		ask_post(blobs, calls[i], patience_ms, &changed);
	while (err == ERR_OK && !all_answered(calls, count))
		err = wait_a_while(blobs, &changed, deadline_ms);
	for (size_t i = 0; i < count; i++)
		question_of(calls[i])->asker = NULL;
}

enum err ask(struct blobs *blobs, void *call, uint64_t patience_ms)
{
	ask_all(blobs, &call, 1, patience_ms);
	return ask_err(call);
}
