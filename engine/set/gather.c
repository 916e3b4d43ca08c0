/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/gather.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/set/stripe.h"

/* A call that may outlive who asks: freed when it is both answered and left. */
struct question {
	union {
		struct wire_call wire;
		struct set_range_call range;
		struct set_index_call index;
	};
	struct cond *asker;
	bool answered, left;
};

static void destroy(struct question *question)
{
	if (question->wire.err == ERR_OK && question->wire.operation == SET_RANGE)
		shared_release(&question->range.bytes);
	if (question->wire.err == ERR_OK && question->wire.operation == SET_INDEX)
		shared_release(&question->index.index);
	memory_free(question);
}

static void answered(struct wire_call *call)
{
	struct question *question = call->context;

	question->answered = true;
	if (question->left)
		destroy(question);
	else
		cond_broadcast(question->asker);
}

static struct question *create(const struct gather *gather, uint8_t sibling,
			       enum set_operation operation, struct cond *asker)
{
	struct question *question = memory_allocate(sizeof(*question));

	if (question == NULL)
		return NULL;
	question->wire.operation = (uint16_t)operation;
	question->wire.volume = gather->volumes[sibling];
	question->wire.done = answered;
	question->wire.context = question;
	question->asker = asker;
	return question;
}

static void leave(struct question *question)
{
	if (question == NULL)
		return;
	question->left = true;
	if (question->answered)
		destroy(question);
}

static enum err result(const struct question *question)
{
	if (question->answered)
		return question->wire.err;
	return task_canceled() ? ERR_CANCELED : ERR_UNAVAILABLE;
}

/* ---- a range ---- */

struct asking {
	struct gather *gather;
	uint64_t offset;
	size_t size;
	struct cond changed;
	struct question *questions[PROFILE_MEMBER_MAX]; /* by sibling */
	uint8_t from[PROFILE_MEMBER_MAX];
	size_t from_count;
	struct shared *out;
	enum err combined;
};

static struct profile profile_of(const struct gather *gather)
{
	return gather->certificate->descriptor.profile;
}

static bool is_known_bad(const struct shared *faults, uint64_t offset, uint64_t size)
{
	uint64_t from = LOG_HEADER_SIZE + offset;

	for (size_t at = 0; faults != NULL && at < faults->size; at += sizeof(struct set_fault)) {
		struct set_fault fault;

		memcpy(&fault, faults->data + at, sizeof(fault));
		if (fault.offset < from + size && from < fault.offset + fault.size)
			return true;
	}
	return false;
}

static bool may_ask(const struct asking *asking, uint8_t sibling)
{
	const struct gather *gather = asking->gather;

	return sibling != gather->column && asking->questions[sibling] == NULL &&
	       (gather->unusable >> sibling & 1) == 0 && !id128_is_zero(gather->volumes[sibling]) &&
	       (PLANTED(repair_from_rotten) ||
		!is_known_bad(gather->faults[sibling], asking->offset, asking->size));
}

static enum err ask_sibling(struct asking *asking, uint8_t sibling)
{
	struct gather *gather = asking->gather;
	struct question *question = create(gather, sibling, SET_RANGE, &asking->changed);

	if (question == NULL)
		return ERR_NOMEM;
	question->range.set = gather->set;
	question->range.seal = gather->certificate->seal;
	question->range.offset = asking->offset;
	question->range.size = (uint32_t)asking->size;
	asking->questions[sibling] = question;
	wire_post(gather->wire, &question->wire);
	return ERR_OK;
}

static bool all_answered(const struct asking *asking)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		if (asking->questions[i] != NULL && !asking->questions[i]->answered)
			return false;
	return true;
}

/* A rotten record is a matter of its range; whoever refuses, or is silent, is out of it. */
static void take_answers(struct asking *asking)
{
	asking->from_count = 0;
	for (uint8_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		enum err err;

		if (asking->questions[i] == NULL)
			continue;
		err = result(asking->questions[i]);
		if (err == ERR_OK && asking->from_count < profile_of(asking->gather).k)
			asking->from[asking->from_count++] = i;
		else if (err != ERR_OK && err != ERR_IO && err != ERR_CORRUPT)
			asking->gather->unusable |= 1u << i;
	}
}

/* Asks as many of those not yet asked as are missing. ERR_UNAVAILABLE: there are no more. */
static WAITS enum err ask_more(struct asking *asking)
{
	struct gather *gather = asking->gather;
	size_t missing = profile_of(gather).k - asking->from_count, asked = 0;
	uint64_t deadline_ms = env_now_ms(sched_env(gather->sched)) + gather->patience_ms;
	enum err err = ERR_OK;

	for (uint8_t i = 0; err == ERR_OK && i < profile_members(profile_of(gather)); i++) {
		if (asked == missing || !may_ask(asking, i))
			continue;
		err = ask_sibling(asking, i);
		asked++;
	}
	if (err == ERR_OK && asked == 0)
		err = ERR_UNAVAILABLE;
	while (err == ERR_OK && !all_answered(asking))
		err = cond_wait(&asking->changed, deadline_ms);
	take_answers(asking);
	return err == ERR_TIMEOUT ? ERR_OK : err;
}

static void combine(void *argument)
{
	struct asking *asking = argument;
	struct profile profile = profile_of(asking->gather);
	uint8_t wanted = asking->gather->column;
	const uint8_t *source[PROFILE_MEMBER_MAX];

	for (size_t i = 0; i < asking->from_count; i++)
		source[i] = asking->questions[asking->from[i]]->range.bytes->data;
	if (PLANTED(rebuild_wrong_row))
		wanted = (uint8_t)((wanted + 1) % profile_members(profile));
	asking->combined = stripe_decode(profile, wanted, asking->from, source, asking->size,
					 asking->out->data);
}

enum err gather_range(struct gather *gather, uint64_t offset, size_t size, struct shared **out)
{
	struct asking asking = {.gather = gather, .offset = offset, .size = size};
	enum err err = ERR_OK;

	while (err == ERR_OK && asking.from_count < profile_of(gather).k)
		err = ask_more(&asking);
	if (err == ERR_OK) {
		asking.out = shared_create(size);
		err = asking.out != NULL ? task_offload(combine, &asking) : ERR_NOMEM;
	}
	if (err == ERR_OK)
		err = asking.combined;
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		leave(asking.questions[i]);
	if (err != ERR_OK)
		shared_release(&asking.out);
	*out = asking.out;
	return err;
}

/* ---- the index ---- */

static WAITS enum err ask_index(struct gather *gather, uint8_t sibling, struct shared **index,
				uint32_t *entries)
{
	uint64_t deadline_ms = env_now_ms(sched_env(gather->sched)) + gather->patience_ms;
	struct cond changed = {0};
	struct question *question = create(gather, sibling, SET_INDEX, &changed);
	enum err err = ERR_OK;

	if (question == NULL)
		return ERR_NOMEM;
	question->index.set = gather->set;
	wire_post(gather->wire, &question->wire);
	while (err == ERR_OK && !question->answered)
		err = cond_wait(&changed, deadline_ms);
	err = result(question);
	if (err == ERR_OK &&
	    !hash128_equal(question->index.certificate.seal, gather->certificate->seal))
		err = ERR_STALE;
	if (err == ERR_OK) {
		*index = shared_reference(question->index.index);
		*entries = question->index.entries;
	}
	leave(question);
	return err;
}

enum err gather_index(struct gather *gather, struct shared **index, uint32_t *entries)
{
	for (uint8_t i = 0; i < profile_members(profile_of(gather)); i++) {
		enum err err;

		if (i == gather->column || id128_is_zero(gather->volumes[i]) ||
		    (gather->unusable >> i & 1) != 0)
			continue;
		err = ask_index(gather, i, index, entries);
		if (err == ERR_OK || err == ERR_NOMEM || err == ERR_CANCELED)
			return err;
	}
	return ERR_UNAVAILABLE;
}
