/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Operations into the stream. Several changes that wait go as one entry; each
 * is durable and applied before its caller goes on.
 */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/mailbox/restamp.h"
#include "engine/plant.h"

#define PROMISE_ATTEMPTS 8u
#define FENCED_ATTEMPTS 3u
/* A majority of three replicas; of two it is both. The journal takes the higher of this and W. */
#define STAMP_QUORUM (LAYOUT_REPLICAS / 2 + 1)

/* ---- changes ---- */

struct change *change_create(void)
{
	struct change *change = memory_allocate(sizeof(*change));

	if (change)
		change->references = 1;
	return change;
}

void change_release(struct change **change)
{
	struct change *released = *change;

	*change = NULL;
	if (!released || --released->references)
		return;
	buf_finish(&released->operations);
	memory_free(released->blobs);
	memory_free(released);
}

enum err change_name_blob(struct change *change, const struct blob_ref *blob)
{
	enum err err = ARRAY_GROW(change->blobs, change->blob_capacity, change->blob_count);

	if (!err)
		change->blobs[change->blob_count++] = *blob;
	return err;
}

void change_put(struct change *change, const struct operation *operation)
{
	operation_encode(operation, &change->operations);
}

void mailbox_enqueue(struct mailbox *mailbox, struct change *change)
{
	change->references++;
	*mailbox->queue_end = change;
	mailbox->queue_end = &change->next;
}

void mailbox_enqueue_group(struct mailbox *mailbox, struct change **changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		changes[i]->continued = i != 0;
		changes[i]->continues = i + 1 != count;
		mailbox_enqueue(mailbox, changes[i]);
	}
}

enum err mailbox_await_group(struct mailbox *mailbox, struct change **changes, size_t count)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < count; i++) {
		enum err failed = mailbox_await(mailbox, changes[i]);

		if (!err)
			err = failed;
	}
	return err;
}

/* ---- terms ---- */

/* What this term's predecessor had reserved is not ours any more (INV 3). */
static void forget_reservations(struct mailbox *mailbox)
{
	struct folder_home *folder;
	size_t position = 0;

	while ((folder = map_next(&mailbox->folder_homes, &position, NULL)))
		uid_stock_finish(&folder->own);
}

static void end_term(struct mailbox *mailbox)
{
	mailbox->promised = false;
	forget_reservations(mailbox);
}

static WAITS enum err promise(struct mailbox *mailbox)
{
	struct journal *journal = mailbox->home->options.journal;
	uint64_t seen = 0;
	enum err err = journal_epoch(journal, mailbox->stream, &seen);

	for (unsigned i = 0; i < PROMISE_ATTEMPTS && !err; i++) {
		mailbox->epoch = (seen > mailbox->epoch ? seen : mailbox->epoch) + 1;
		err = journal_promise(journal, mailbox->stream, mailbox->epoch, mailbox->id,
				      &mailbox->promise);
		if (err != ERR_FENCED)
			return err;
		seen = mailbox->promise.promised;
		err = ERR_OK;
	}
	return err ? err : ERR_UNAVAILABLE;
}

/* What failed comes first (internal.h, INV 5). */
static WAITS enum err resolve(const struct mailbox *mailbox)
{
	if (PLANTED(failure_left_open))
		return ERR_OK;
	return journal_resolve(mailbox->home->options.journal, mailbox->stream);
}

static WAITS enum err start_term(struct mailbox *mailbox)
{
	bool complete = false;
	enum err err = resolve(mailbox);

	if (!err)
		err = promise(mailbox);
	if (!err)
		err = mailbox_catch_up(mailbox, &complete);
	/* What is missing may have been acknowledged: UIDs reserved, say. */
	if (!err && !complete)
		err = ERR_UNAVAILABLE;
	if (err)
		return err;
	mailbox->term++;
	mailbox->context_of = ID128_ZERO;
	mailbox->promised = true;
	mailbox->unresolved = false;
	return ERR_OK;
}

enum err mailbox_begin_term(struct mailbox *mailbox)
{
	enum err err = gate_enter(&mailbox->term_gate, TASK_FOREVER);

	if (err)
		return err;
	if (!mailbox->promised) {
		forget_reservations(mailbox);
		err = start_term(mailbox);
	}
	gate_leave(&mailbox->term_gate);
	return err;
}

enum err mailbox_settle_failure(struct mailbox *mailbox)
{
	if (!mailbox->unresolved || PLANTED(failure_left_open))
		return ERR_OK;
	return mailbox_begin_term(mailbox);
}

/* ---- one entry ---- */

struct batch {
	struct mailbox *mailbox;
	struct change *first; /* taken off the queue */
	struct buf operations;
	struct blob_ref *blobs;
	size_t blob_count, blob_capacity;
	uint64_t clock;
	struct buf plain; /* the entry as sealed, for applying it */
	struct journal_append append;
	const struct key *keyring_key; /* not NULL: a keyring entry */
	struct journal_writer *writer;
};

static void batch_finish(struct batch *batch)
{
	buf_finish(&batch->operations);
	buf_finish(&batch->plain);
	memory_free(batch->blobs);
}

/*
 * Earlier homes of this node: one process at a time has its volumes. Homes of others, when no
 * replica of theirs would still let them show or write anything.
 */
static bool has_ended(const struct mailbox *mailbox, struct id128 node)
{
	const struct promise_result *promise = &mailbox->promise;

	if (id128_equal(node, mailbox->home->options.node))
		return true;
	for (size_t i = 0; i < promise->silent_count; i++) {
		if (id128_equal(promise->silent[i], node))
			return false;
	}
	return true;
}

static enum err list_ended(const struct mailbox *mailbox, struct id128 own, struct id128 **out,
			   size_t *count)
{
	const struct account_state *state = &mailbox->state;
	const struct horizons *horizons = &state->horizons;

	*count = 0;
	*out = memory_array(horizons->count, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	for (size_t i = 0; i < horizons->count; i++) {
		struct id128 writer = state->writers.ids[horizons->items[i].from.writer];

		if (!id128_equal(writer, own) && has_ended(mailbox, horizons->items[i].node))
			(*out)[(*count)++] = writer;
	}
	return ERR_OK;
}

static enum err batch_plain(struct batch *batch, const struct entry_place *place)
{
	struct mailbox *mailbox = batch->mailbox;
	const struct change *change = batch->first;
	bool mends = change && change->mends;
	struct operation_head head = {
		.clock = batch->clock,
		.node = mailbox->home->options.node,
		.continues = change && change->continues,
		.continued = change && change->continued,
	};
	struct id128 *ended = NULL;
	enum err err = ERR_OK;

	if ((mends && !head.continued) || !id128_equal(mailbox->context_of, place->incarnation)) {
		head.context = &mailbox->state.applied;
		head.mended = mends || !restamp_any(&mailbox->state);
		err = list_ended(mailbox, place->incarnation, &ended, &head.ended_count);
		head.ended = ended;
	}
	memcpy(head.previous, place->previous, sizeof(head.previous));
	buf_clear(&batch->plain);
	operation_head_encode(&head, &batch->plain);
	buf_put_bytes(&batch->plain, bytes_of_buf(&batch->operations));
	memory_free(ended);
	return err ? err : batch->plain.err;
}

/* journal_append.seal */
static enum err seal_batch(void *context, const struct entry_place *place, struct buf *payload)
{
	struct batch *batch = context;
	struct mailbox *mailbox = batch->mailbox;
	struct buf use = {0}, associated = {0};
	bool keyring = batch->keyring_key != NULL;
	enum err err = keyring ? ERR_OK : batch_plain(batch, place);

	buf_put_id(&use, place->incarnation);
	buf_put_u64(&use, place->seq);
	operation_place_encode(mailbox->account, place->stream, place->incarnation, place->seq,
			       batch->append.epoch, batch->append.floor, batch->blobs,
			       batch->blob_count, &associated);
	buf_put_u8(payload, keyring ? PAYLOAD_KEYRING : PAYLOAD_OPERATIONS);
	if (!err)
		err = use.err ? use.err : associated.err ? associated.err : payload->err;
	if (!err)
		err = payload_seal(keyring ? batch->keyring_key : mailbox->keys.directory,
				   keyring ? LABEL_KEYRING : LABEL_OPERATION, bytes_of_buf(&use),
				   bytes_of_buf(&associated), bytes_of_buf(&batch->plain), payload);
	buf_finish(&use);
	buf_finish(&associated);
	return err;
}

/* Applies what has just become durable. */
static WAITS enum err apply_batch(struct batch *batch)
{
	struct mailbox *mailbox = batch->mailbox;
	struct id128 incarnation = journal_writer_incarnation(batch->writer);
	struct view *silent;
	enum err err;

	mailbox->entries_since++;
	mailbox->bytes_since += batch->plain.size;
	/* An append that failed before may turn out to be there: what it said comes first. */
	if (account_state_reached(&mailbox->state, incarnation) + 1 != batch->append.seq)
		return mailbox_catch_up(mailbox, NULL);
	if (batch->keyring_key)
		return account_state_skip(&mailbox->state, incarnation, batch->append.seq);
	mailbox->context_of = incarnation;
	silent = batch->first ? batch->first->silent : NULL;
	if (silent)
		view_silent_begin(silent);
	err = account_state_apply(&mailbox->state, incarnation, batch->append.seq,
				  bytes_of_buf(&batch->plain));
	if (silent)
		view_silent_end(silent);
	if (err)
		mailbox_break(mailbox);
	return err;
}

static WAITS enum err append_batch(struct batch *batch)
{
	struct mailbox *mailbox = batch->mailbox;
	struct home *home = mailbox->home;
	enum err err;

	batch->clock = account_state_clock(&mailbox->state, env_wall_ms(home->env));
	batch->append = (struct journal_append){
		.stream = mailbox->stream,
		.kind = ENTRY_OPERATION,
		.epoch = mailbox->epoch,
		.floor = blob_floor(home->options.blobs),
		.blob_incarnation = blob_incarnation(home->options.blobs),
		.blobs = batch->blobs,
		.blob_count = batch->blob_count,
		.quorum = STAMP_QUORUM,
		.seal = seal_batch,
		.context = batch,
	};
	batch->writer = home->writer;
	err = journal_append(batch->writer, &batch->append);
	if (!err)
		return apply_batch(batch);
	end_term(mailbox);
	mailbox->unresolved = true;
	if (err == ERR_FENCED || err == ERR_CONFLICT) {
		enum err renewed = home_renew_writer(home, batch->writer);

		return renewed ? renewed : ERR_FENCED;
	}
	return err;
}

/* ---- the queue ---- */

static bool fits(const struct batch *batch, const struct change *change)
{
	if (!batch->first)
		return true;
	if (batch->first->silent || change->silent)
		return false;
	/* Each part of a group is an entry of its own. */
	if (batch->first->continues || batch->first->continued || change->continues ||
	    change->continued || batch->first->mends || change->mends)
		return false;
	return batch->operations.size + change->operations.size <= OPERATION_PLAIN_MAX &&
	       batch->blob_count + change->blob_count <= OPERATION_BLOBS_MAX;
}

static void settle(struct change *change, enum err err)
{
	change->result = err;
	change->done = true;
	change_release(&change);
}

static enum err batch_add(struct batch *batch, const struct change *change)
{
	buf_put_bytes(&batch->operations, bytes_of_buf(&change->operations));
	for (size_t i = 0; i < change->blob_count; i++) {
		enum err err = ARRAY_GROW(batch->blobs, batch->blob_capacity, batch->blob_count);

		if (err)
			return err;
		batch->blobs[batch->blob_count++] = change->blobs[i];
	}
	return batch->operations.err ? batch->operations.err : change->operations.err;
}

/*
 * UIDs of an ended term are somebody else's by now (INV 3). A group of which a part failed is never
 * ended: the next entry that is none of its parts says so.
 */
static bool is_stale(const struct mailbox *mailbox, const struct change *change)
{
	return (change->term && change->term != mailbox->term) ||
	       (change->continued && mailbox->group_broken);
}

static enum err take_batch(struct mailbox *mailbox, struct batch *batch)
{
	struct change **end = &batch->first;
	enum err err = ERR_OK;

	while (mailbox->queue && fits(batch, mailbox->queue) && !err) {
		struct change *change = mailbox->queue;

		mailbox->queue = change->next;
		if (!mailbox->queue)
			mailbox->queue_end = &mailbox->queue;
		change->next = NULL;
		if (!change->continued)
			mailbox->group_broken = false;
		if (is_stale(mailbox, change)) {
			mailbox->group_broken |= change->continues;
			settle(change, ERR_UNAVAILABLE);
			continue;
		}
		*end = change;
		end = &change->next;
		err = batch_add(batch, change);
	}
	return err;
}

/* \Recent taken since: it goes with whatever is said next. */
static void put_recents(struct batch *batch)
{
	const struct folder_home *folder_home;
	size_t position = 0;

	while ((folder_home = map_next(&batch->mailbox->folder_homes, &position, NULL))) {
		const struct folder *folder = mailbox_folder_state(batch->mailbox, folder_home->id);
		struct operation operation = {.kind = OPERATION_RECENT,
					      .folder = folder_home->id,
					      .uid = folder_home->recent_wanted};

		if (folder && folder->messages.recent_floor < folder_home->recent_wanted)
			operation_encode(&operation, &batch->operations);
	}
}

static void settle_batch(struct batch *batch, enum err err)
{
	if (batch->first && batch->first->continues && err)
		batch->mailbox->group_broken = true;
	while (batch->first) {
		struct change *change = batch->first;

		batch->first = change->next;
		settle(change, err);
	}
}

/* The writer was fenced: another home has been here. What stamps no UIDs is said once more. */
static WAITS enum err write_batch(struct batch *batch)
{
	bool stamps = false;
	enum err err;

	for (const struct change *change = batch->first; change; change = change->next)
		stamps |= change->term != 0 || change->continued;
	for (unsigned i = 0;; i++) {
		err = append_batch(batch);
		if (err != ERR_FENCED || stamps || i == FENCED_ATTEMPTS)
			break;
		err = mailbox_begin_term(batch->mailbox);
		if (err)
			break;
	}
	return err == ERR_FENCED ? ERR_UNAVAILABLE : err;
}

static WAITS void flush(struct mailbox *mailbox)
{
	mailbox->flushing = true;
	while (mailbox->queue) {
		struct batch batch = {.mailbox = mailbox};
		enum err term = mailbox_begin_term(mailbox);
		enum err err = take_batch(mailbox, &batch);

		if (!err)
			err = term;
		if (!err && mailbox->broken)
			err = ERR_UNAVAILABLE;
		if (batch.first)
			put_recents(&batch);
		if (!err)
			err = batch.operations.err;
		if (!err && batch.first)
			err = write_batch(&batch);
		settle_batch(&batch, err);
		batch_finish(&batch);
		cond_broadcast(&mailbox->flushed);
		mailbox_tell_views(mailbox);
	}
	mailbox->flushing = false;
	mailbox_consider_snapshot(mailbox);
}

enum err mailbox_await(struct mailbox *mailbox, struct change *change)
{
	while (!change->done) {
		enum err err = ERR_OK;

		if (mailbox->flushing)
			err = cond_wait(&mailbox->flushed, TASK_FOREVER);
		else
			flush(mailbox);
		if (err) {
			/* It goes on without its caller. */
			change->silent = NULL;
			return err;
		}
	}
	return change->result;
}

enum err mailbox_commit(struct mailbox *mailbox, struct change *change)
{
	if (mailbox->broken)
		return ERR_UNAVAILABLE;
	if (change->operations.err)
		return change->operations.err;
	mailbox_enqueue(mailbox, change);
	return mailbox_await(mailbox, change);
}

enum err mailbox_append_keyring(struct mailbox *mailbox, const struct key *key, struct bytes plain)
{
	struct batch batch = {.mailbox = mailbox, .keyring_key = key};
	enum err err;

	while (mailbox->flushing) {
		err = cond_wait(&mailbox->flushed, TASK_FOREVER);
		if (err)
			return err;
	}
	mailbox->flushing = true;
	err = mailbox_begin_term(mailbox);
	buf_put_bytes(&batch.plain, plain);
	if (!err)
		err = batch.plain.err;
	if (!err)
		err = append_batch(&batch);
	mailbox->flushing = false;
	cond_broadcast(&mailbox->flushed);
	batch_finish(&batch);
	return err;
}

/* ---- UIDs ---- */

/* Above this nothing was ever given out, or set aside, that the state knows of (R1). */
static uint32_t highest_known(const struct collection *messages)
{
	if (PLANTED(uid_reused_after_restart))
		return messages->count ? collection_at(messages, messages->count - 1)->uid : 0;
	return messages->reserve_top > messages->stamp_top ? messages->reserve_top
							   : messages->stamp_top;
}

static WAITS enum err reserve_more(struct mailbox *mailbox, struct id128 id, uint32_t count)
{
	struct folder *folder = mailbox_folder_state(mailbox, id);
	struct operation operation = {.kind = OPERATION_RESERVE, .folder = id};
	struct uid_range range;
	struct folder_home *folder_home;
	struct change *change;
	uint32_t above;
	enum err err;

	if (!folder)
		return ERR_NOTFOUND;
	above = highest_known(&folder->messages);
	if (!uid_reserve(above, 0, count > UID_RESERVATION ? count : UID_RESERVATION, &range))
		return ERR_LIMIT;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	change->term = mailbox->term;
	operation.uid = range.last;
	change_put(change, &operation);
	err = mailbox_commit(mailbox, change);
	/* The term may have ended while this was written: then it is not ours. */
	if (!err && (change->term != mailbox->term || !mailbox->promised))
		err = ERR_UNAVAILABLE;
	change_release(&change);
	if (!err)
		err = mailbox_folder_home(mailbox, id, &folder_home);
	if (!err)
		err = uid_stock_add(&folder_home->own, range);
	return err;
}

enum err mailbox_uids_enter(struct mailbox *mailbox)
{
	enum err err = gate_enter(&mailbox->uid_gate, TASK_FOREVER);

	if (err)
		return err;
	err = mailbox_settle_failure(mailbox);
	if (err)
		gate_leave(&mailbox->uid_gate);
	return err;
}

void mailbox_uids_leave(struct mailbox *mailbox)
{
	gate_leave(&mailbox->uid_gate);
}

uint32_t mailbox_reserved(const struct mailbox *mailbox, struct id128 folder)
{
	const struct folder_home *folder_home = map_get(&mailbox->folder_homes, &folder);

	uint64_t left = folder_home && mailbox->promised ? uid_stock_left(&folder_home->own) : 0;

	return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

enum err mailbox_reserve(struct mailbox *mailbox, struct id128 folder, uint32_t count)
{
	enum err err = mailbox_begin_term(mailbox);

	while (!err && mailbox_reserved(mailbox, folder) < count)
		err = reserve_more(mailbox, folder, count - mailbox_reserved(mailbox, folder));
	return err;
}

uint32_t mailbox_take_uid(struct mailbox *mailbox, struct id128 folder, struct change *change)
{
	struct folder_home *folder_home = map_get(&mailbox->folder_homes, &folder);

	ASSERT(folder_home);
	change->term = mailbox->term;
	return uid_stock_take(&folder_home->own);
}
