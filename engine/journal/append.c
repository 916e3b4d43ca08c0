/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Appending: one lane for each stream that a writer writes to.
 *
 *   waiting -> (no batch in flight) -> sealed into a batch -> on its way -> quorum -> acknowledged
 *                                                               |  ^
 *                                                   no quorum:  +--+ the same bytes again, later
 *
 * INV 1  At most one batch of a lane is not acknowledged; a seq is given to one
 *        byte string only. So a batch that finds no quorum blocks its lane, and
 *        is sent again, unchanged, until it does. Its callers are told
 *        ERR_UNAVAILABLE when their time is over; the entries may appear later,
 *        once. Callers that were still waiting behind it know that theirs never
 *        will: they were not sealed.
 * INV 2  A lane that was fenced, or met a conflict, is dead: its seq may be in
 *        use. Every later append gives the same error; a home that gets a new
 *        epoch takes a new writer.
 */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/audit.h"
#include "engine/journal/entry.h"
#include "engine/journal/journal_private.h"
#include "engine/plant.h"

#define BATCH_ENTRY_MAX 64u
#define BATCH_SIZE_MAX (1024u * 1024)
#define RETRY_FIRST_MS 50u
#define RETRY_LAST_MS 2000u

struct journal_writer {
	struct journal *journal;
	struct id128 incarnation, signer;
	const struct key *signing;
	struct map lanes; /* stream to struct lane */
};

/* An append whose caller waits; on the caller's stack. */
struct waiter {
	struct journal_append *append;
	struct cond changed;
	struct batch *batch; /* NULL: not sealed yet */
	bool ended;
	enum err err;
	struct waiter *next;
};

struct waiters {
	struct waiter *first, *last;
};

struct lane {
	struct journal_writer *writer;
	struct id128 stream;
	uint64_t next_seq;
	uint8_t previous[32];
	struct waiters waiting;
	struct batch *batch;
	enum err dead;
};

enum target_state { TARGET_IDLE, TARGET_PENDING, TARGET_STORED, TARGET_FAILED };

struct target {
	struct id128 volume, node;
	enum target_state state;
	enum err err;
};

/* References: one of the lane until it is acknowledged, one of each call on its way. */
struct batch {
	struct journal *journal;
	struct batch *next, **link; /* in journal->batches */
	struct lane *lane;	    /* NULL: acknowledged, or its writer is gone */
	size_t references;
	struct id128 stream, incarnation;
	uint64_t first_seq;
	bool by_home; /* under an epoch: not deliveries, nor a table's */
	size_t quorum_wanted;
	size_t size; /* bytes of all entries */
	struct waiters waiters;
	struct target targets[LAYOUT_REPLICAS];
	size_t target_count;
	struct env_timer retry;
	uint64_t retry_ms;
	size_t count;
	struct journal_item items[BATCH_ENTRY_MAX];
};

struct post {
	struct batch *batch;
	struct member *member;
	size_t size;
	struct journal_append_call call; /* last: its items follow */
};

/* ---- waiters ---- */

static void waiters_push(struct waiters *waiters, struct waiter *waiter)
{
	waiter->next = NULL;
	if (waiters->first == NULL)
		waiters->first = waiter;
	else
		waiters->last->next = waiter;
	waiters->last = waiter;
}

static struct waiter *waiters_pop(struct waiters *waiters)
{
	struct waiter *waiter = waiters->first;

	if (waiter != NULL)
		waiters->first = waiter->next;
	return waiter;
}

static void waiters_remove(struct waiters *waiters, const struct waiter *gone)
{
	struct waiters kept = {NULL, NULL};
	struct waiter *waiter;

	while ((waiter = waiters_pop(waiters)) != NULL)
		if (waiter != gone)
			waiters_push(&kept, waiter);
	*waiters = kept;
}

static void waiter_end(struct waiter *waiter, enum err err)
{
	waiter->ended = true;
	waiter->err = err;
	cond_broadcast(&waiter->changed);
}

static void waiters_end(struct waiters *waiters, enum err err)
{
	struct waiter *waiter;

	while ((waiter = waiters_pop(waiters)) != NULL)
		waiter_end(waiter, err);
}

/* ---- sealing ---- */

static enum err seal(struct lane *lane, struct journal_append *append, struct buf *out)
{
	const struct journal_writer *writer = lane->writer;
	const struct entry entry = {.group = layout_group(lane->stream),
				    .stream = lane->stream,
				    .kind = append->kind,
				    .epoch = append->epoch,
				    .incarnation = writer->incarnation,
				    .seq = lane->next_seq,
				    .floor = append->floor,
				    .blob_incarnation = append->blob_incarnation,
				    .blobs = append->blobs,
				    .blob_count = append->blob_count,
				    .signer =
					    writer->signing != NULL ? writer->signer : ID128_ZERO};
	struct entry_place place = {.group = entry.group,
				    .stream = entry.stream,
				    .incarnation = entry.incarnation,
				    .seq = entry.seq};
	enum err err;

	memcpy(place.previous, lane->previous, sizeof(place.previous));
	entry_begin(&entry, out);
	err = append->seal(append->context, &place, out);
	return err != ERR_OK ? err : entry_end(out, 0);
}

/* Makes an item of the bytes; from here on the seq is used. */
static enum err keep_item(struct lane *lane, struct batch *batch, const struct buf *encoded)
{
	struct shared *shared = shared_create(encoded->size);

	if (shared == NULL)
		return ERR_NOMEM;
	memcpy(shared->data, encoded->data, encoded->size);
	batch->items[batch->count++] =
		(struct journal_item){shared, hash_128(shared->data, shared->size)};
	batch->size += shared->size;
	entry_digest(shared_bytes(shared), lane->previous);
	lane->next_seq++;
	return ERR_OK;
}

/* The chain of digests makes the last signature vouch for the entries before it. */
static enum err sign_last(struct lane *lane, struct batch *batch)
{
	struct journal_item *item = &batch->items[batch->count - 1];
	struct buf encoded = {0};
	enum err err;

	if (lane->writer->signing == NULL)
		return ERR_OK;
	buf_put_bytes(&encoded, shared_bytes(item->bytes));
	err = entry_sign(&encoded, 0, lane->writer->signing);
	if (err == ERR_OK) {
		batch->size -= item->bytes->size;
		shared_release(&item->bytes);
		batch->count--;
		lane->next_seq--;
		err = keep_item(lane, batch, &encoded);
	}
	buf_finish(&encoded);
	return err;
}

/* As if nothing had been sealed: nothing of it has been sent. */
static void unseal(struct lane *lane, struct batch *batch, const uint8_t previous[32])
{
	for (size_t i = 0; i < batch->count; i++)
		shared_release(&batch->items[i].bytes);
	batch->count = 0;
	lane->next_seq = batch->first_seq;
	memcpy(lane->previous, previous, sizeof(lane->previous));
	waiters_end(&batch->waiters, ERR_NOMEM);
}

static void fill_batch(struct lane *lane, struct batch *batch)
{
	struct buf encoded = {0};
	struct waiter *waiter;
	uint8_t previous[32];

	memcpy(previous, lane->previous, sizeof(previous));
	while (batch->count < BATCH_ENTRY_MAX && batch->size < BATCH_SIZE_MAX &&
	       (waiter = waiters_pop(&lane->waiting)) != NULL) {
		enum err err;

		buf_clear(&encoded);
		err = seal(lane, waiter->append, &encoded);
		if (err == ERR_OK)
			err = keep_item(lane, batch, &encoded);
		if (err != ERR_OK) {
			waiter_end(waiter, err);
			continue;
		}
		waiter->append->seq = lane->next_seq - 1;
		waiter->batch = batch;
		batch->by_home |= waiter->append->epoch != 0;
		if (batch->quorum_wanted < waiter->append->quorum)
			batch->quorum_wanted = waiter->append->quorum;
		waiters_push(&batch->waiters, waiter);
	}
	buf_finish(&encoded);
	if (batch->count != 0 && sign_last(lane, batch) != ERR_OK)
		unseal(lane, batch, previous);
}

/* ---- batches ---- */

static void batch_release(struct batch *batch)
{
	if (--batch->references != 0)
		return;
	for (size_t i = 0; i < batch->count; i++)
		shared_release(&batch->items[i].bytes);
	*batch->link = batch->next;
	if (batch->next != NULL)
		batch->next->link = batch->link;
	memory_free(batch);
}

static void batch_target(struct batch *batch)
{
	const struct replica_set *set = journal_replicas(batch->journal, batch->stream);
	struct target targets[LAYOUT_REPLICAS];

	for (size_t i = 0; i < set->count; i++) {
		targets[i] = (struct target){.volume = set->volumes[i], .node = set->nodes[i]};
		for (size_t j = 0; j < batch->target_count; j++)
			if (id128_equal(batch->targets[j].volume, set->volumes[i]))
				targets[i] = batch->targets[j];
	}
	memcpy(batch->targets, targets, set->count * sizeof(targets[0]));
	batch->target_count = set->count;
}

static size_t count_targets(const struct batch *batch, enum target_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < batch->target_count; i++)
		count += batch->targets[i].state == state;
	return count;
}

/* Whether those in one of the states lie on two nodes, as far as there are two. */
static bool spans_nodes(const struct batch *batch, bool with_pending)
{
	bool several = false, spans = false;
	const struct target *first = NULL;

	for (size_t i = 0; i < batch->target_count; i++) {
		const struct target *target = &batch->targets[i];

		several |= !id128_equal(target->node, batch->targets[0].node);
		if (target->state != TARGET_STORED &&
		    !(with_pending && target->state == TARGET_PENDING))
			continue;
		if (first == NULL)
			first = target;
		spans |= !id128_equal(target->node, first->node);
	}
	return spans || !several;
}

static size_t batch_quorum(const struct batch *batch)
{
	const struct replica_set *set = journal_replicas(batch->journal, batch->stream);
	size_t quorum = journal_quorum(batch->journal, set);

	if (PLANTED(journal_ack_one_replica))
		return 1;
	if (quorum < batch->quorum_wanted)
		quorum = batch->quorum_wanted < set->count ? batch->quorum_wanted : set->count;
	return quorum < 2 ? 2 : quorum;
}

static void lane_start(struct lane *lane);

static void batch_acknowledge(struct batch *batch)
{
	struct lane *lane = batch->lane;

	env_timer_stop(batch->journal->env, &batch->retry);
	batch->lane = NULL;
	lane->batch = NULL;
	waiters_end(&batch->waiters, ERR_OK);
	journal_notify(batch->journal, batch->stream);
	lane_start(lane);
	batch_release(batch);
}

static void lane_kill(struct lane *lane, enum err err)
{
	struct batch *batch = lane->batch;

	lane->dead = err;
	waiters_end(&lane->waiting, err);
	if (batch == NULL)
		return;
	env_timer_stop(batch->journal->env, &batch->retry);
	waiters_end(&batch->waiters, err);
	batch->lane = NULL;
	lane->batch = NULL;
	batch_release(batch);
}

static bool has_failed_with(const struct batch *batch, enum err err)
{
	for (size_t i = 0; i < batch->target_count; i++)
		if (batch->targets[i].state == TARGET_FAILED && batch->targets[i].err == err)
			return true;
	return false;
}

/* No quorum any more in this round. */
static void batch_fail(struct batch *batch)
{
	if (has_failed_with(batch, ERR_FENCED)) {
		lane_kill(batch->lane, ERR_FENCED);
		return;
	}
	if (has_failed_with(batch, ERR_CONFLICT)) {
		lane_kill(batch->lane, ERR_CONFLICT);
		return;
	}
	/* A full disk will not empty within a caller's patience. */
	if (has_failed_with(batch, ERR_NOSPACE))
		waiters_end(&batch->waiters, ERR_NOSPACE);
	if (!batch->retry.armed)
		env_timer_start(batch->journal->env, &batch->retry, batch->retry_ms);
	batch->retry_ms = batch->retry_ms * 2 < RETRY_LAST_MS ? batch->retry_ms * 2 : RETRY_LAST_MS;
}

static void batch_judge(struct batch *batch)
{
	size_t stored = count_targets(batch, TARGET_STORED);
	size_t quorum = batch_quorum(batch);

	if (batch->lane == NULL)
		return;
	if (stored >= quorum && (spans_nodes(batch, false) || PLANTED(journal_ack_one_replica)))
		batch_acknowledge(batch);
	else if (stored + count_targets(batch, TARGET_PENDING) < quorum ||
		 !spans_nodes(batch, true))
		batch_fail(batch);
}

static void post_done(struct wire_call *call)
{
	struct post *post = call->context;
	struct batch *batch = post->batch;
	struct journal *journal = batch->journal;

	post->member->outstanding -= post->size;
	for (size_t i = 0; i < batch->target_count; i++) {
		struct target *target = &batch->targets[i];

		if (!id128_equal(target->volume, call->volume))
			continue;
		target->state = call->err == ERR_OK ? TARGET_STORED : TARGET_FAILED;
		target->err = call->err;
	}
	if (call->err == ERR_OK)
		journal_learn_position(journal, call->volume, post->call.position);
	else if (call->err != ERR_FENCED && call->err != ERR_CONFLICT)
		journal_want_resync(journal);
	for (size_t i = 0; i < post->call.count; i++)
		shared_release(&post->call.items[i].bytes);
	shared_release(&post->call.marks);
	memory_free(post);
	batch_judge(batch);
	batch_release(batch);
	group_leave(&journal->calls);
}

static enum err post_to(struct batch *batch, struct target *target)
{
	struct journal *journal = batch->journal;
	struct member *member = journal_member(journal, target->volume);
	struct post *post;

	if (member == NULL)
		return ERR_NOMEM;
	if (member->outstanding != 0 && member->outstanding + batch->size > JOURNAL_LAG_MAX) {
		journal_want_resync(journal);
		return ERR_STALE;
	}
	post = memory_allocate(sizeof(*post) + batch->count * sizeof(batch->items[0]));
	if (post == NULL)
		return ERR_NOMEM;
	post->batch = batch;
	post->member = member;
	post->size = batch->size;
	post->call.wire.operation = JOURNAL_APPEND;
	post->call.wire.volume = target->volume;
	post->call.wire.done = post_done;
	post->call.wire.context = post;
	post->call.stream = batch->stream;
	post->call.incarnation = batch->incarnation;
	post->call.first_seq = batch->first_seq;
	post->call.marks = journal_marks(journal);
	post->call.again = batch->retry_ms != RETRY_FIRST_MS;
	post->call.count = batch->count;
	for (size_t i = 0; i < batch->count; i++)
		post->call.items[i] = (struct journal_item){shared_reference(batch->items[i].bytes),
							    batch->items[i].hash};
	member->outstanding += post->size;
	batch->references++;
	group_enter(&journal->calls);
	wire_post(journal->wire, &post->call.wire);
	return ERR_OK;
}

/* Sends it to whoever does not have it, and is not being sent it. */
static void batch_send(struct batch *batch)
{
	batch_target(batch);
	for (size_t i = 0; i < batch->target_count; i++) {
		struct target *target = &batch->targets[i];

		if (target->state == TARGET_STORED || target->state == TARGET_PENDING)
			continue;
		target->err = post_to(batch, target);
		target->state = target->err == ERR_OK ? TARGET_PENDING : TARGET_FAILED;
	}
	batch_judge(batch);
}

static void retry(struct env_timer *timer)
{
	struct batch *batch = timer->context;

	if (batch->journal->env->stopped || batch->journal->stopping)
		lane_kill(batch->lane, ERR_CANCELED);
	else
		batch_send(batch);
}

static struct batch *batch_create(struct lane *lane)
{
	struct batch *batch = memory_allocate(sizeof(*batch));

	if (batch == NULL)
		return NULL;
	batch->journal = lane->writer->journal;
	batch->references = 1;
	batch->stream = lane->stream;
	batch->incarnation = lane->writer->incarnation;
	batch->first_seq = lane->next_seq;
	batch->retry.fire = retry;
	batch->retry.context = batch;
	batch->retry_ms = RETRY_FIRST_MS;
	batch->next = batch->journal->batches;
	batch->link = &batch->journal->batches;
	if (batch->next != NULL)
		batch->next->link = &batch->next;
	batch->journal->batches = batch;
	return batch;
}

bool journal_is_settled(const struct journal *journal, struct id128 stream)
{
	if (PLANTED(reclaim_ignores_writers))
		return true;
	for (const struct batch *batch = journal->batches; batch != NULL; batch = batch->next)
		if (id128_equal(batch->stream, stream))
			return false;
	return true;
}

uint64_t journal_under_way(const struct journal *journal, struct id128 stream,
			   struct id128 incarnation)
{
	for (const struct batch *batch = journal->batches; batch != NULL; batch = batch->next)
		if (batch->lane != NULL && id128_equal(batch->stream, stream) &&
		    id128_equal(batch->incarnation, incarnation))
			return batch->first_seq;
	return 0;
}

/* Seals and sends what waits, when nothing is on its way. */
static void lane_start(struct lane *lane)
{
	while (lane->batch == NULL && lane->waiting.first != NULL) {
		struct batch *batch = batch_create(lane);

		if (batch == NULL) {
			waiters_end(&lane->waiting, ERR_NOMEM);
			return;
		}
		fill_batch(lane, batch);
		if (batch->count == 0) {
			batch_release(batch);
			continue;
		}
		batch->lane = lane;
		lane->batch = batch;
		batch_send(batch);
	}
}

/* ---- writers ---- */

enum err journal_writer_create(struct journal *journal, const struct key *signing,
			       struct id128 signer, struct journal_writer **out)
{
	struct journal_writer *writer = memory_allocate(sizeof(*writer));

	if (writer == NULL)
		return ERR_NOMEM;
	writer->journal = journal;
	writer->incarnation = env_random_id(journal->env);
	writer->signing = signing;
	writer->signer = signer;
	map_init(&writer->lanes, sizeof(struct id128));
	journal->writer_count++;
	*out = writer;
	return ERR_OK;
}

void journal_writer_destroy(struct journal_writer **out)
{
	struct journal_writer *writer = *out;
	struct lane *lane;
	size_t position = 0;

	if (writer == NULL)
		return;
	*out = NULL;
	while ((lane = map_next(&writer->lanes, &position, NULL)) != NULL) {
		ASSERT(lane->waiting.first == NULL);
		lane_kill(lane, ERR_CANCELED);
		memory_free(lane);
	}
	map_finish(&writer->lanes);
	writer->journal->writer_count--;
	memory_free(writer);
}

struct id128 journal_writer_incarnation(const struct journal_writer *writer)
{
	return writer->incarnation;
}

static enum err lane_of(struct journal_writer *writer, struct id128 stream, struct lane **out)
{
	struct lane *lane = map_get(&writer->lanes, &stream);
	enum err err;

	if (lane == NULL) {
		lane = memory_allocate(sizeof(*lane));
		if (lane == NULL)
			return ERR_NOMEM;
		lane->writer = writer;
		lane->stream = stream;
		lane->next_seq = 1;
		err = map_put(&writer->lanes, &stream, lane);
		if (err != ERR_OK) {
			memory_free(lane);
			return err;
		}
	}
	*out = lane;
	return lane->dead;
}

static struct batch *batch_of_home(const struct journal *journal, struct id128 stream)
{
	struct batch *batch = journal->batches;

	while (batch != NULL &&
	       !(batch->lane != NULL && batch->by_home && id128_equal(batch->stream, stream)))
		batch = batch->next;
	return batch;
}

enum err journal_resolve(struct journal *journal, struct id128 stream)
{
	uint64_t deadline_ms = env_now_ms(journal->env) + JOURNAL_APPEND_MS;
	struct batch *batch;
	enum err err = ERR_OK;

	while (err == ERR_OK && (batch = batch_of_home(journal, stream)) != NULL) {
		struct waiter waiter = {.batch = batch};

		waiters_push(&batch->waiters, &waiter);
		while (!waiter.ended && err == ERR_OK)
			err = cond_wait(&waiter.changed, deadline_ms);
		if (!waiter.ended)
			waiters_remove(&batch->waiters, &waiter);
		else if (waiter.err != ERR_FENCED && waiter.err != ERR_CONFLICT)
			err = waiter.err;
	}
	return err == ERR_TIMEOUT ? ERR_UNAVAILABLE : err;
}

enum err journal_append(struct journal_writer *writer, struct journal_append *append)
{
	struct waiter waiter = {.append = append};
	uint64_t deadline_ms = env_now_ms(writer->journal->env) + JOURNAL_APPEND_MS;
	struct lane *lane;
	enum err err;

	ASSERT(append->blob_count <= ENTRY_BLOB_MAX);
	if (task_canceled() || writer->journal->stopping)
		return ERR_CANCELED;
	err = lane_of(writer, append->stream, &lane);
	if (err != ERR_OK)
		return err;
	waiters_push(&lane->waiting, &waiter);
	lane_start(lane);
	while (!waiter.ended && err == ERR_OK)
		err = cond_wait(&waiter.changed, deadline_ms);
	if (waiter.ended)
		return waiter.err;
	waiters_remove(waiter.batch != NULL ? &waiter.batch->waiters : &lane->waiting, &waiter);
	return err == ERR_TIMEOUT ? ERR_UNAVAILABLE : err;
}
