/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Deliveries out of the inbox stream into operations, up to DRAIN_BATCH at a
 * time: verify, open, drop repetitions, wrap the keys anew, give UIDs in
 * arrival order. One entry a batch. Opens no message blob.
 *
 * Trust: a writer signs the last entry of each of its batches; the digest of
 * the entry before is inside each envelope. So of each writer's run the last
 * signed entry is verified, and those before it by the chain. An entry before
 * it that cannot be opened, or is not the one that the chain names, is reported
 * and passed; the others stay readable.
 *
 * Entries behind the last signature that holds wait, and are never passed: the
 * rest of their batch may come, or the node's right key. Meanwhile they are not
 * read again, so that they hide nothing; a signature of their writer's that
 * holds has them read again from the first.
 */
#include "engine/mailbox/internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/entry.h"
#include "engine/mailbox/delivery_place.h"

/* From here on a batch's summaries go into a cache block of their own, not into its entry. */
#define INLINE_COUNT_MAX 32u
#define INLINE_BYTES_MAX (128u * 1024)
#define DIGEST_BYTES 32u

enum verdict { VERDICT_ACCEPT, VERDICT_REPETITION, VERDICT_BROKEN, VERDICT_WAIT };

struct pending {
	struct id128 incarnation, blob_incarnation;
	uint64_t seq, floor;
	struct blob_ref blob;
	bool is_signed;
	uint8_t signature[SIGNATURE_SIZE];
	uint8_t digest[DIGEST_BYTES];
	struct buf signed_part;
	size_t payload_offset, payload_size;
	enum verdict verdict;
	struct buf plain;
	struct delivery_content content; /* borrows from plain */
	struct id128 folder;
	size_t number; /* as read: keeps the sorting stable */
};

struct drain {
	struct mailbox *mailbox;
	struct pending *items;
	size_t count;
	bool met_operations;	/* of another home: ours are in the state */
	bool resumed;		/* some that waited are to be read again */
	bool without_summaries; /* there is no room for their block */
};

/* ---- collecting ---- */

static enum err collect(void *context, const struct entry *entry)
{
	static const uint8_t unsigned_entry[SIGNATURE_SIZE];
	struct drain *drain = context;
	struct pending *pending = &drain->items[drain->count];

	if (entry->kind != ENTRY_DELIVERY) {
		drain->met_operations = true;
		return ERR_OK;
	}
	ASSERT(drain->count < DRAIN_BATCH);
	*pending = (struct pending){
		.incarnation = entry->incarnation,
		.blob_incarnation = entry->blob_incarnation,
		.seq = entry->seq,
		.floor = entry->floor,
		.is_signed = memcmp(entry->signature, unsigned_entry, SIGNATURE_SIZE) != 0,
		.payload_offset = (size_t)(entry->payload.data - entry->signed_part.data),
		.payload_size = entry->payload.size,
		.verdict = entry->blob_count == 1 ? VERDICT_ACCEPT : VERDICT_BROKEN,
		.number = drain->count,
	};
	if (entry->blob_count)
		pending->blob = entry->blobs[0];
	memcpy(pending->signature, entry->signature, SIGNATURE_SIZE);
	digest_256(entry->signed_part, pending->digest);
	buf_put_bytes(&pending->signed_part, entry->signed_part);
	drain->count++;
	return pending->signed_part.err;
}

static void drain_finish(struct drain *drain)
{
	for (size_t i = 0; i < drain->count; i++) {
		buf_finish(&drain->items[i].signed_part);
		buf_finish(&drain->items[i].plain);
	}
	if (drain->items)
		memory_free(drain->items);
}

static WAITS enum err read_deliveries(struct drain *drain, bool *more)
{
	struct mailbox *mailbox = drain->mailbox;
	struct vector after = {0};
	bool complete;
	enum err err = account_state_vector(&mailbox->state, &after);

	if (!err)
		err = vector_merge(&after, &mailbox->unvouched);
	if (!err)
		err = journal_read(mailbox->home->options.journal, mailbox->stream, &after,
				   DRAIN_BATCH, collect, drain, NULL, &complete, more);
	vector_finish(&after);
	return err;
}

/* ---- judging ---- */

static enum err open_pending(struct drain *drain, struct pending *pending)
{
	struct mailbox *mailbox = drain->mailbox;
	struct delivery_place place = {
		.account = mailbox->account,
		.stream = mailbox->stream,
		.incarnation = pending->incarnation,
		.blob_incarnation = pending->blob_incarnation,
		.seq = pending->seq,
		.floor = pending->floor,
		.blob = &pending->blob,
	};
	struct bytes envelope = bytes_slice(bytes_of_buf(&pending->signed_part),
					    pending->payload_offset, pending->payload_size);
	struct envelope_opener *opener;
	struct buf associated = {0};
	enum err err = ERR_AUTH;

	delivery_place_encode(&place, &associated);
	for (size_t i = 0; err == ERR_AUTH && (opener = mailbox_opener(mailbox, i)); i++)
		err = associated.err
			      ? associated.err
			      : envelope_open(opener, mailbox->account, pending->blob.id,
					      bytes_of_buf(&associated), envelope, &pending->plain);
	if (!err)
		err = delivery_content_decode(bytes_of_buf(&pending->plain), &pending->content);
	if (!err && !id128_equal(pending->content.blob.id, pending->blob.id))
		err = ERR_CORRUPT;
	buf_finish(&associated);
	return err;
}

static bool signature_holds(const struct drain *drain, const struct pending *pending)
{
	struct entry entry = {
		.signer = drain->mailbox->home->options.node,
		.signed_part = bytes_of_buf(&pending->signed_part),
	};

	memcpy(entry.signature, pending->signature, SIGNATURE_SIZE);
	return pending->is_signed && !entry_verify(&entry, drain->mailbox->home->node_public);
}

/* Nothing is missing between what was drained before and this. */
static bool follows_drained(const struct drain *drain, const struct pending *first)
{
	const struct operation_drained *head =
		account_state_drained(&drain->mailbox->state, first->incarnation);

	if (!head)
		return first->seq == 1;
	return head->seq + 1 == first->seq &&
	       !memcmp(head->digest, first->content.previous, DIGEST_BYTES);
}

static void report(struct drain *drain, const struct pending *pending, const char *what)
{
	drain->mailbox->home->counters.broken_entries++;
	env_log(drain->mailbox->home->env, "event=delivery-entry-broken why=%s seq=%llu", what,
		(unsigned long long)pending->seq);
}

static enum err put_off(struct drain *drain, size_t from, size_t to)
{
	const struct pending *last = &drain->items[to - 1];

	for (size_t i = from; i < to; i++)
		drain->items[i].verdict = VERDICT_WAIT;
	return vector_raise(&drain->mailbox->unvouched, last->incarnation, last->seq);
}

static uint64_t drained_to(const struct drain *drain, struct id128 incarnation)
{
	const struct operation_drained *head =
		account_state_drained(&drain->mailbox->state, incarnation);

	return head ? head->seq : 0;
}

/* Whether its writer's entries before it wait already. */
static bool is_behind_others(const struct drain *drain, const struct pending *first)
{
	return vector_get(&drain->mailbox->unvouched, first->incarnation) >
	       drained_to(drain, first->incarnation);
}

/* items[from .. to) of a writer whose entries before them wait. */
static enum err judge_behind_others(struct drain *drain, size_t from, size_t to)
{
	uint64_t before = drained_to(drain, drain->items[from].incarnation);
	bool vouched = false;

	for (size_t i = from; i < to && !vouched; i++) {
		/* A batch is shorter; what one reading cannot hold can be judged by none. */
		if (drain->items[i].seq - before > DRAIN_BATCH)
			break;
		vouched = signature_holds(drain, &drain->items[i]);
	}
	if (!vouched)
		return put_off(drain, from, to);
	for (size_t i = from; i < to; i++)
		drain->items[i].verdict = VERDICT_WAIT;
	vector_forget(&drain->mailbox->unvouched, drain->items[from].incarnation);
	drain->resumed = true;
	return ERR_OK;
}

/* items[from .. to) of one writer. The chain is followed backwards from the last signature. */
static enum err judge_run(struct drain *drain, size_t from, size_t to)
{
	struct pending *items = drain->items;
	size_t last = to;
	bool vouched = false;

	while (last > from && !signature_holds(drain, &items[last - 1])) {
		if (items[last - 1].is_signed)
			report(drain, &items[last - 1], "signature");
		last--;
	}
	if (last < to) {
		enum err err = put_off(drain, last, to);

		if (err)
			return err;
	}
	for (size_t i = last; i > from; i--) {
		struct pending *pending = &items[i - 1];
		enum err err = ERR_AUTH;

		/* One that does not open hides whom it names: what is before it is not its fault.
		 */
		if (i == last)
			vouched = true;
		else if (vouched && items[i].plain.size)
			vouched = !memcmp(items[i].content.previous, pending->digest, DIGEST_BYTES);
		if (!vouched)
			vouched = signature_holds(drain, pending);
		if (vouched && pending->verdict == VERDICT_ACCEPT)
			err = open_pending(drain, pending);
		if (err == ERR_NOMEM)
			return err;
		if (err) {
			pending->verdict = VERDICT_BROKEN;
			report(drain, pending, vouched ? "sealed" : "chain");
		}
	}
	if (last > from && items[from].verdict == VERDICT_ACCEPT &&
	    !follows_drained(drain, &items[from]))
		report(drain, &items[from], "gap");
	return ERR_OK;
}

static enum err judge(struct drain *drain)
{
	enum err err = ERR_OK;

	for (size_t from = 0, to; from < drain->count && !err; from = to) {
		for (to = from + 1; to < drain->count; to++) {
			if (!id128_equal(drain->items[to].incarnation,
					 drain->items[from].incarnation) ||
			    drain->items[to].seq != drain->items[to - 1].seq + 1)
				break;
		}
		err = is_behind_others(drain, &drain->items[from])
			      ? judge_behind_others(drain, from, to)
			      : judge_run(drain, from, to);
	}
	return err;
}

static int by_arrival(const void *a, const void *b)
{
	const struct pending *left = a, *right = b;

	if (left->content.arrival_ms != right->content.arrival_ms)
		return left->content.arrival_ms < right->content.arrival_ms ? -1 : 1;
	return left->number < right->number ? -1 : 1;
}

/* Against what is in the state, and against those before it in this batch. */
static bool is_repetition(const struct drain *drain, const struct map *batch,
			  const struct pending *pending)
{
	return map_get(batch, pending->content.transaction_hash) ||
	       account_state_repeats(&drain->mailbox->state, pending->content.transaction_hash,
				     pending->content.arrival_ms);
}

static enum err find_repetitions(struct drain *drain)
{
	struct map batch;
	enum err err = ERR_OK;

	map_init(&batch, sizeof(drain->items[0].content.transaction_hash));
	for (size_t i = 0; i < drain->count && !err; i++) {
		struct pending *pending = &drain->items[i];

		if (pending->verdict != VERDICT_ACCEPT)
			continue;
		if (is_repetition(drain, &batch, pending)) {
			pending->verdict = VERDICT_REPETITION;
			drain->mailbox->home->counters.duplicates_dropped++;
		} else {
			err = map_put(&batch, pending->content.transaction_hash, pending);
		}
	}
	map_finish(&batch);
	return err;
}

static void choose_folders(struct drain *drain)
{
	for (size_t i = 0; i < drain->count; i++) {
		struct pending *pending = &drain->items[i];
		const struct folder *folder =
			mailbox_folder_named(drain->mailbox, pending->content.folder);

		pending->folder = folder ? folder->id : mailbox_inbox(drain->mailbox);
	}
}

/* ---- writing ---- */

/* Which deliveries are done with, writer by writer, in the order as read. */
static void put_drained(struct drain *drain, struct change *change)
{
	for (size_t i = 0; i < drain->count; i++) {
		const struct pending *pending = &drain->items[i];
		bool last = i + 1 == drain->count ||
			    !id128_equal(drain->items[i + 1].incarnation, pending->incarnation) ||
			    drain->items[i + 1].verdict == VERDICT_WAIT;
		struct operation operation = {
			.kind = OPERATION_DRAINED,
			.drained = {.incarnation = pending->incarnation, .seq = pending->seq},
		};

		if (pending->verdict == VERDICT_WAIT || !last)
			continue;
		memcpy(operation.drained.digest, pending->digest, DIGEST_BYTES);
		change_put(change, &operation);
	}
}

static bool goes_into_block(const struct drain *drain)
{
	size_t count = 0, bytes = 0;

	for (size_t i = 0; i < drain->count; i++) {
		if (drain->items[i].verdict != VERDICT_ACCEPT)
			continue;
		count++;
		bytes += drain->items[i].content.summary.size;
	}
	return count > INLINE_COUNT_MAX || bytes > INLINE_BYTES_MAX;
}

static WAITS enum err put_block(struct drain *drain, struct change *change, struct id128 *block)
{
	struct mailbox *mailbox = drain->mailbox;
	struct summary_item *items = memory_array(drain->count, sizeof(*items));
	struct operation operation = {.kind = OPERATION_CACHE};
	struct summary_block made = {.live = 0};
	size_t count = 0;
	enum err err = items ? ERR_OK : ERR_NOMEM;

	for (size_t i = 0; i < drain->count && !err; i++) {
		const struct delivery_content *content = &drain->items[i].content;

		if (drain->items[i].verdict == VERDICT_ACCEPT)
			items[count++] = (struct summary_item){content->blob.id, content->summary};
	}
	if (!err)
		err = summaries_write_block(mailbox->summaries, mailbox->keys.directory, items,
					    count, &made);
	memory_free(items);
	if (!err)
		err = change_name_blob(change, &made.blob);
	if (err)
		return err;
	operation.cache.blob = made.blob;
	memcpy(operation.cache.wrapped_key, made.wrapped_key, WRAPPED_KEY_SIZE);
	change_put(change, &operation);
	*block = made.blob.id;
	return ERR_OK;
}

static enum err put_add(struct drain *drain, const struct pending *pending, struct id128 block,
			struct change *change)
{
	struct mailbox *mailbox = drain->mailbox;
	const struct folder *folder = mailbox_folder_state(mailbox, pending->folder);
	struct operation operation = {
		.kind = OPERATION_ADD,
		.folder = pending->folder,
		.add =
			{
				.id = pending->blob.id,
				.blob = pending->blob,
				.size = pending->content.plain_size,
				.arrival_ms = pending->content.arrival_ms,
				.delivered = true,
				.cache = block,
			},
	};
	enum err err;

	if (!folder)
		return ERR_UNAVAILABLE;
	if (id128_is_zero(block) && !drain->without_summaries)
		operation.add.summary = pending->content.summary;
	memcpy(operation.add.transaction_hash, pending->content.transaction_hash,
	       sizeof(operation.add.transaction_hash));
	err = message_key_wrap(mailbox, folder, pending->content.blob_key, &operation.add);
	if (!err)
		err = change_name_blob(change, &pending->blob);
	if (err)
		return err;
	operation.add.uid = mailbox_take_uid(mailbox, pending->folder, change);
	change_put(change, &operation);
	return ERR_OK;
}

static uint32_t wanted_in(const struct drain *drain, struct id128 folder)
{
	uint32_t count = 0;

	for (size_t i = 0; i < drain->count; i++)
		count += drain->items[i].verdict == VERDICT_ACCEPT &&
			 id128_equal(drain->items[i].folder, folder);
	return count;
}

static bool all_reserved(const struct drain *drain)
{
	for (size_t i = 0; i < drain->count; i++) {
		const struct pending *pending = &drain->items[i];

		if (pending->verdict == VERDICT_ACCEPT &&
		    mailbox_reserved(drain->mailbox, pending->folder) <
			    wanted_in(drain, pending->folder))
			return false;
	}
	return true;
}

/* Reserving for one folder waits, and may end the term that reserved for another. */
static WAITS enum err reserve_all(struct drain *drain)
{
	while (!all_reserved(drain)) {
		choose_folders(drain);
		for (size_t i = 0; i < drain->count; i++) {
			const struct pending *pending = &drain->items[i];
			enum err err;

			if (pending->verdict != VERDICT_ACCEPT)
				continue;
			err = mailbox_reserve(drain->mailbox, pending->folder,
					      wanted_in(drain, pending->folder));
			if (err)
				return err;
		}
	}
	return ERR_OK;
}

static WAITS enum err write_adds(struct drain *drain, struct id128 block, struct change *change)
{
	enum err err = mailbox_uids_enter(drain->mailbox);

	if (err)
		return err;
	err = reserve_all(drain);
	qsort(drain->items, drain->count, sizeof(*drain->items), by_arrival);
	for (size_t i = 0; i < drain->count && !err; i++) {
		const struct pending *pending = &drain->items[i];
		struct operation dropped = {.kind = OPERATION_DROPPED,
					    .folder = pending->folder,
					    .dropped = pending->blob.id};

		if (pending->verdict == VERDICT_ACCEPT)
			err = put_add(drain, pending, block, change);
		else if (pending->verdict == VERDICT_REPETITION)
			change_put(change, &dropped);
	}
	if (!err)
		err = change->operations.err;
	if (!err)
		mailbox_enqueue(drain->mailbox, change);
	mailbox_uids_leave(drain->mailbox);
	return err ? err : mailbox_await(drain->mailbox, change);
}

/*
 * On full disks mail must be seen to be deleted, and what can be computed again does not take the
 * reserve: no block, and no entry that is long instead. This process has the summaries; the next
 * snapshot that finds room packs them.
 */
static void keep_summaries(const struct drain *drain)
{
	for (size_t i = 0; i < drain->count; i++) {
		const struct delivery_content *content = &drain->items[i].content;

		if (drain->items[i].verdict == VERDICT_ACCEPT &&
		    summaries_put(drain->mailbox->summaries, content->blob.id, content->summary))
			return;
	}
}

static WAITS enum err write_batch(struct drain *drain)
{
	struct change *change = change_create();
	struct id128 block = ID128_ZERO;
	enum err err = change ? ERR_OK : ERR_NOMEM;

	if (!err && goes_into_block(drain))
		err = put_block(drain, change, &block);
	if (err == ERR_NOSPACE) {
		drain->without_summaries = true;
		err = ERR_OK;
	}
	if (!err)
		put_drained(drain, change);
	/* A writer whose entries all wait has said nothing yet. */
	if (!err && change->operations.size)
		err = write_adds(drain, block, change);
	if (!err && drain->without_summaries)
		keep_summaries(drain);
	change_release(&change);
	return err;
}

static uint64_t accepted(const struct drain *drain)
{
	uint64_t count = 0;

	for (size_t i = 0; i < drain->count; i++)
		count += drain->items[i].verdict == VERDICT_ACCEPT;
	return count;
}

/*
 * What was met may have been drained by an operation that was met, too: this home's own, whose
 * append had failed here and yet reached a replica.
 */
static void forget_drained(struct drain *drain)
{
	size_t kept = 0;

	for (size_t i = 0; i < drain->count; i++) {
		struct pending *pending = &drain->items[i];
		const struct operation_drained *head =
			account_state_drained(&drain->mailbox->state, pending->incarnation);

		if (!head || pending->seq > head->seq) {
			struct pending moved = *pending;

			moved.number = kept;
			drain->items[kept++] = moved;
		} else {
			buf_finish(&pending->signed_part);
		}
	}
	drain->count = kept;
}

static WAITS enum err drain_batch(struct mailbox *mailbox, bool *more)
{
	struct drain drain = {.mailbox = mailbox};
	enum err err;

	drain.items = memory_array(DRAIN_BATCH, sizeof(*drain.items));
	if (!drain.items)
		return ERR_NOMEM;
	err = read_deliveries(&drain, more);
	if (!err && drain.met_operations)
		err = mailbox_catch_up(mailbox, NULL);
	forget_drained(&drain);
	if (!err)
		err = judge(&drain);
	if (!err)
		err = find_repetitions(&drain);
	if (!err && drain.count) {
		choose_folders(&drain);
		err = write_batch(&drain);
	}
	if (!err)
		mailbox->home->counters.deliveries_drained += accepted(&drain);
	/* Each one met is drained now, or read no more, or read again once. */
	*more = !err && (drain.resumed || (*more && (drain.count || drain.met_operations)));
	drain_finish(&drain);
	return err;
}

enum err mailbox_drain(struct mailbox *mailbox, size_t batches, bool *more)
{
	enum err err = gate_enter(&mailbox->drain_gate, TASK_FOREVER);

	if (err)
		return err;
	*more = true;
	for (size_t i = 0; i < batches && *more && !err; i++)
		err = mailbox->broken ? ERR_UNAVAILABLE : drain_batch(mailbox, more);
	gate_leave(&mailbox->drain_gate);
	return err;
}

/* ---- pushed ---- */

static WAITS void pull(void *argument)
{
	struct mailbox *mailbox = argument;
	bool more = false;
	enum err err;

	do {
		mailbox->pull_again = false;
		err = mailbox_drain(mailbox, 1, &more);
	} while (!err && (more || mailbox->pull_again));
	mailbox->pull_running = false;
	if (err && err != ERR_CANCELED)
		env_log(mailbox->home->env, "event=drain-failed error=%s", err_name(err));
}

void mailbox_pull(struct mailbox *mailbox)
{
	if (!mailbox->sessions || mailbox->broken || mailbox->home->closing)
		return;
	mailbox->pull_again = true;
	if (mailbox->pull_running)
		return;
	mailbox->pull_running = true;
	if (mailbox_spawn(mailbox, "drain", pull))
		mailbox->pull_running = false;
}
