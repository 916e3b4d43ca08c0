/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/replica.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"
#include "engine/journal/replica_private.h"
#include "engine/journal/state.h"
#include "engine/plant.h"

static void give_up(struct replica *replica, enum err err)
{
	if (replica->failed != ERR_OK)
		return;
	replica->failed = err;
	env_log(replica->env, "event=journal-replica-failed error=%s", err_name(err));
	replica_pump(replica);
}

/* A damaged index serves nothing: emptied, it is rebuilt when the replica is opened again. */
static enum err find_stream(struct replica *replica, struct id128 id, struct stream **out)
{
	enum err err = catalog_stream(&replica->catalog, id, out);

	if (err == ERR_CORRUPT) {
		enum err cleared = env_index_clear(replica->env, replica->catalog.index);

		env_log(replica->env, "event=journal-index-damaged cleared=%s", err_name(cleared));
		give_up(replica, err);
	}
	return err;
}

/* ---- what is on its way ---- */

static struct busy *busy_find(const struct replica *replica, struct id128 stream)
{
	return map_get(&replica->busy, &stream);
}

static enum err busy_take(struct replica *replica, struct stream *stream, struct busy **out)
{
	struct busy *busy = busy_find(replica, stream->id);
	enum err err;

	if (busy == NULL) {
		busy = memory_allocate(sizeof(*busy));
		if (busy == NULL)
			return ERR_NOMEM;
		busy->stream = stream;
		err = map_put(&replica->busy, &stream->id, busy);
		if (err != ERR_OK) {
			memory_free(busy);
			return err;
		}
		stream->pins++;
	}
	*out = busy;
	return ERR_OK;
}

static void busy_leave(struct replica *replica, struct busy *busy)
{
	if (busy->ops != NULL || busy->first != NULL)
		return;
	(void)map_remove(&replica->busy, &busy->stream->id);
	busy->stream->pins--;
	memory_free(busy->writers);
	memory_free(busy);
}

static bool has_page(const struct busy *busy, struct id128 page)
{
	if (stream_page(busy->stream, page) != NULL)
		return true;
	/* What is on its way gets to the disk first. */
	for (const struct op *op = busy->ops; op != NULL; op = op->next)
		if (op->append.record.type == RECORD_PAGE &&
		    id128_equal(op->append.record.id, page))
			return true;
	return false;
}

static struct op *busy_op(const struct busy *busy, struct id128 incarnation, uint64_t seq)
{
	for (struct op *op = busy->ops; op != NULL; op = op->next)
		if (op->append.record.type == RECORD_ENTRY && op->append.record.number == seq &&
		    id128_equal(op->append.record.incarnation, incarnation))
			return op;
	return NULL;
}

static void busy_unlink(struct busy *busy, const struct op *gone)
{
	struct op **link = &busy->ops, *previous = NULL;

	while (*link != gone) {
		previous = *link;
		link = &previous->next;
	}
	*link = gone->next;
	if (busy->last_op == gone)
		busy->last_op = previous;
}

static const struct location *held_entry(const struct stream *stream, struct id128 incarnation,
					 uint64_t seq)
{
	const struct stream_incarnation *found = stream_find(stream, incarnation);

	return found != NULL ? stream_entry(found, seq) : NULL;
}

static uint64_t dropped_seq(const struct stream *stream, struct id128 incarnation)
{
	const struct stream_incarnation *found = stream_find(stream, incarnation);

	return found != NULL ? found->dropped : 0;
}

/* NULL: out of memory. */
static struct busy_writer *busy_writer(struct busy *busy, struct id128 incarnation)
{
	const struct stream_incarnation *found;
	struct busy_writer *writers;

	for (size_t i = 0; i < busy->writer_count; i++)
		if (id128_equal(busy->writers[i].incarnation, incarnation))
			return &busy->writers[i];
	writers = memory_resize(busy->writers, (busy->writer_count + 1) * sizeof(*writers));
	if (writers == NULL)
		return NULL;
	busy->writers = writers;
	found = stream_find(busy->stream, incarnation);
	writers[busy->writer_count] = (struct busy_writer){
		.incarnation = incarnation, .accepted = found != NULL ? found->contiguous : 0};
	return &writers[busy->writer_count++];
}

/* After a failure what was accepted is not known: it is worked out anew. */
static void busy_forget_writers(struct busy *busy)
{
	busy->writer_count = 0;
}

/* ---- records on their way to the disk ---- */

enum err replica_parse_manifest(struct bytes encoded, struct stream_manifest *out)
{
	struct manifest manifest;
	enum err err = manifest_decode(encoded, &manifest);

	if (err != ERR_OK)
		return err;
	*out = (struct stream_manifest){.id = manifest.id,
					.epoch = manifest.epoch,
					.vector = manifest.vector,
					.pages = manifest.pages,
					.page_count = manifest.page_count};
	manifest.vector = (struct vector){0};
	manifest.pages = NULL;
	manifest_finish(&manifest);
	return ERR_OK;
}

enum err replica_apply(struct replica *replica, const struct record *record, uint64_t segment,
		       struct stream_manifest *manifest)
{
	struct stream *stream;
	enum err err;

	if (record->type == RECORD_MARK)
		return ERR_OK;
	err = find_stream(replica, record->tag, &stream);
	if (err != ERR_OK)
		return err;
	replica->catalog.changes++;
	return stream_put_record(stream, record, segment, manifest);
}

void replica_set_applied(struct replica *replica, const struct record *record, uint64_t segment)
{
	replica->applied = (struct journal_position){
		segment, record->offset + record_size(record->payload_size)};
	replica->applied_start = record->offset;
	replica->applied_running = record->running;
}

static bool call_has(const struct journal_append_call *call, const struct record *record)
{
	return record->type == RECORD_ENTRY &&
	       id128_equal(call->incarnation, record->incarnation) &&
	       record->number >= call->first_seq && record->number - call->first_seq < call->count;
}

static bool is_settled(const struct stream *stream, const struct journal_append_call *call)
{
	uint64_t dropped = dropped_seq(stream, call->incarnation);

	for (size_t i = 0; i < call->count; i++)
		if (call->first_seq + i > dropped &&
		    held_entry(stream, call->incarnation, call->first_seq + i) == NULL)
			return false;
	return true;
}

static void answer_append(struct replica *replica, struct journal_append_call *call, enum err err)
{
	call->position = replica->applied;
	wire_reply(&call->wire, err);
}

/* Answers the appends that a record's end settles, or fails. */
static void answer_waiting(struct replica *replica, struct busy *busy, const struct record *record,
			   enum err err)
{
	struct wire_call *call = busy->first, *kept = NULL, **tail = &kept;

	busy->first = busy->last = NULL;
	while (call != NULL) {
		struct wire_call *next = call->next;
		struct journal_append_call *append = (struct journal_append_call *)call;

		call->next = NULL;
		if (call_has(append, record) &&
		    (err != ERR_OK || is_settled(busy->stream, append))) {
			answer_append(replica, append, err);
		} else {
			*tail = call;
			tail = &call->next;
			busy->last = call;
		}
		call = next;
	}
	busy->first = kept;
}

/* What an append that failed leaves behind. */
static void take_failure(struct replica *replica, const struct op *op, enum err err)
{
	if (err != ERR_NOSPACE && err != ERR_CANCELED) {
		give_up(replica, err);
	} else if (op->append.refused != ERR_OK) {
		/* It got no place; the segment is as it was. */
		op->segment->end -= op->append.size;
	} else if (replica->segments.active == op->segment) {
		/* There is a hole: nothing goes behind it. */
		replica->segments.active = NULL;
		cond_signal(&replica->work);
	}
}

static bool is_incomplete(const struct stream *stream, const struct record *record)
{
	const struct stream_manifest *manifest =
		record->type == RECORD_MANIFEST ? stream_manifest(stream, record->id) : NULL;

	return manifest != NULL && !manifest->complete;
}

static void finish_op(struct replica *replica, struct op *op, enum err err)
{
	const struct record *record = &op->append.record;
	struct busy *busy = op->busy;

	/* A page that was on its way in front of it was refused. */
	if (err == ERR_OK && busy != NULL && is_incomplete(busy->stream, record))
		err = ERR_STALE;

	if (busy == NULL) {
		if (op->call != NULL)
			wire_reply(op->call, err);
		return;
	}
	busy_unlink(busy, op);
	if (err != ERR_OK)
		busy_forget_writers(busy);
	if (record->type == RECORD_PROMISE && busy->promise_epoch == record->number)
		busy->promise_epoch = 0;
	if (op->call != NULL)
		wire_reply(op->call, err);
	answer_waiting(replica, busy, record, err);
	if (err == ERR_OK && busy->ops == NULL)
		replica->changed(replica->context, busy->stream->id);
	busy_leave(replica, busy);
}

static void op_done(struct log_append *append, enum err err)
{
	struct op *op = append->context;
	struct replica *replica = op->replica;

	if (err == ERR_OK) {
		err = replica_apply(replica, &append->record, op->segment->number, &op->manifest);
		replica_set_applied(replica, &append->record, op->segment->number);
		/* It is on the disk, but not in the catalog: only a new start can join it. */
		if (err != ERR_OK && err != ERR_CONFLICT)
			give_up(replica, err);
		replica->counters.appended += append->record.type == RECORD_ENTRY;
	} else {
		take_failure(replica, op, err);
	}
	finish_op(replica, op, err);
	/* A manifest lets entries go: there may be something to clean up. */
	if (replica->catalog.changes >= REPLICA_CHECKPOINT_CHANGES ||
	    append->record.type == RECORD_MANIFEST)
		cond_signal(&replica->work);
	op->segment->readers--;
	if (op->group != NULL)
		group_leave(op->group);
	group_leave(&replica->ops);
	stream_manifest_finish(&op->manifest);
	memory_free(op);
}

void replica_submit(struct replica *replica, struct op *op, struct shared *payload)
{
	struct segment *segment = replica->segments.active;
	struct busy *busy = op->busy;

	op->replica = replica;
	op->segment = segment;
	op->append.done = op_done;
	op->append.context = op;
	if (busy != NULL) {
		if (busy->ops == NULL)
			busy->ops = op;
		else
			busy->last_op->next = op;
		busy->last_op = op;
	}
	segment->readers++;
	segment->end += record_size(op->append.record.payload_size);
	group_enter(&replica->ops);
	log_append(segment->log, &op->append, payload);
	if (segments_wants_spare(&replica->segments))
		cond_signal(&replica->work);
}

/* ---- marks ---- */

static void end_turn(void *context)
{
	struct replica *replica = context;

	replica->marked = false;
	group_leave(&replica->ops);
}

void replica_submit_mark(struct replica *replica, struct wire_call *call)
{
	struct buf encoded = {0};
	struct shared *payload = NULL;
	struct op *op = memory_allocate(sizeof(*op));

	marks_encode(&replica->marks, &encoded);
	if (encoded.err == ERR_OK)
		payload = shared_create(encoded.size);
	if (op == NULL || payload == NULL) {
		memory_free(op);
		shared_release(&payload);
		if (call != NULL)
			wire_reply(call, ERR_NOMEM);
	} else {
		memcpy(payload->data, encoded.data, encoded.size);
		op->call = call;
		op->append.write.urgent = true;
		op->append.record = (struct record){.type = RECORD_MARK,
						    .id = volume_id(replica->volume),
						    .payload_size = (uint32_t)encoded.size};
		record_hash_payload(&op->append.record, shared_bytes(payload));
		replica_submit(replica, op, payload);
		replica->marks_raised = false;
	}
	buf_finish(&encoded);
}

static void take_marks(struct replica *replica, const struct shared *marks)
{
	bool counted = replica->marks.counted;

	/* Hints: what cannot be read or kept is not worth failing an append. */
	if (marks != NULL && marks_merge_encoded(&replica->marks, shared_bytes(marks)) == ERR_OK)
		replica->marks_raised = true;
	replica->marks.counted = counted;
}

/* Once a turn of the loop, in front of what it sends to the disk: so it costs no sync. */
static void send_marks(struct replica *replica)
{
	if (!replica->marks_raised || replica->marked)
		return;
	replica->marked = true;
	group_enter(&replica->ops);
	env_soon(replica->env, end_turn, replica);
	replica_submit_mark(replica, NULL);
}

/* ---- appends ---- */

/* Of a process whose node has started anew since: what it names may have been reclaimed. */
static bool is_closed(const struct replica *replica, const struct journal_append_call *call,
		      struct bytes encoded)
{
	const struct id128 incarnation = entry_blob_incarnation(encoded);

	return replica->closed != NULL && !call->resync && !PLANTED(closed_reused) &&
	       map_get(replica->closed, &incarnation) != NULL;
}

/* ERR_FENCED, ERR_CORRUPT. *urgent: not mail, so it may use the reserve. */
static enum err check_entries(const struct replica *replica, const struct busy *busy,
			      struct journal_append_call *call, bool *urgent)
{
	const struct stream *stream = busy->stream;
	uint64_t promised = stream->promise_epoch > busy->promise_epoch ? stream->promise_epoch
									: busy->promise_epoch;

	*urgent = true;
	for (size_t i = 0; i < call->count; i++) {
		enum entry_kind kind;
		uint64_t epoch;
		enum err err = entry_inspect(shared_bytes(call->items[i].bytes), call->stream,
					     call->incarnation, call->first_seq + i, &epoch, &kind);

		if (err != ERR_OK)
			return err;
		/*
		 * What one replica has the others must get, full or not: as long as they differ
		 * nothing of the account is reclaimed.
		 */
		*urgent &= kind != ENTRY_DELIVERY || call->resync || call->again;
		if (epoch != 0 && epoch < promised && !call->resync && !PLANTED(fence_ignored)) {
			call->promised = promised;
			return ERR_FENCED;
		}
		if (is_closed(replica, call, shared_bytes(call->items[i].bytes)))
			return ERR_FENCED;
	}
	return ERR_OK;
}

/* Whether the entry is new here. ERR_CONFLICT, ERR_STALE. */
static enum err check_seq(const struct busy *busy, const struct journal_append_call *call,
			  size_t index, uint64_t accepted, bool *is_new)
{
	const struct journal_item *item = &call->items[index];
	const uint64_t seq = call->first_seq + index;
	const struct location *held = held_entry(busy->stream, call->incarnation, seq);
	const struct op *op;

	*is_new = false;
	if (seq <= dropped_seq(busy->stream, call->incarnation))
		return ERR_OK;
	if (held != NULL)
		return held->hash == item->hash.low && held->payload_size == item->bytes->size
			       ? ERR_OK
			       : ERR_CONFLICT;
	if (seq <= accepted || call->resync) {
		op = busy_op(busy, call->incarnation, seq);
		if (op != NULL)
			return hash128_equal(op->append.record.payload_hash, item->hash)
				       ? ERR_OK
				       : ERR_CONFLICT;
	}
	*is_new = true;
	return seq <= accepted + 1 || call->resync ? ERR_OK : ERR_STALE;
}

static enum err submit_entry(struct replica *replica, struct busy *busy,
			     const struct journal_append_call *call, size_t index, bool urgent)
{
	const struct journal_item *item = &call->items[index];
	struct op *op = memory_allocate(sizeof(*op));

	if (op == NULL)
		return ERR_NOMEM;
	op->busy = busy;
	op->append.write.urgent = urgent;
	op->append.record = (struct record){.type = RECORD_ENTRY,
					    .id = call->stream,
					    .tag = call->stream,
					    .incarnation = call->incarnation,
					    .number = call->first_seq + index,
					    .payload_size = (uint32_t)item->bytes->size,
					    .payload_hash = item->hash};
	replica_submit(replica, op, shared_reference(item->bytes));
	return ERR_OK;
}

static enum err submit_entries(struct replica *replica, struct busy *busy,
			       struct journal_append_call *call)
{
	struct busy_writer *writer;
	bool urgent;
	enum err err = check_entries(replica, busy, call, &urgent);

	if (err != ERR_OK)
		return err;
	for (size_t i = 0; err == ERR_OK && i < call->count; i++) {
		bool is_new;

		writer = busy_writer(busy, call->incarnation);
		if (writer == NULL)
			return ERR_NOMEM;
		err = check_seq(busy, call, i, writer->accepted, &is_new);
		if (err == ERR_OK && is_new) {
			send_marks(replica);
			err = submit_entry(replica, busy, call, i, urgent);
		}
		if (err == ERR_OK && writer->accepted + 1 == call->first_seq + i)
			writer->accepted++;
	}
	if (err == ERR_CONFLICT)
		env_log(replica->env, "event=journal-conflict alarm=1 seq=%" PRIu64 " count=%zu",
			call->first_seq, call->count);
	return err;
}

static void serve_append(struct replica *replica, struct journal_append_call *call)
{
	struct stream *stream;
	struct busy *busy;
	enum err err = find_stream(replica, call->stream, &stream);

	if (err == ERR_OK)
		err = busy_take(replica, stream, &busy);
	if (err != ERR_OK) {
		wire_reply(&call->wire, err);
		return;
	}
	take_marks(replica, call->marks);
	err = submit_entries(replica, busy, call);
	if (err != ERR_OK || is_settled(stream, call)) {
		answer_append(replica, call, err);
		busy_leave(replica, busy);
		return;
	}
	call->wire.next = NULL;
	if (busy->first == NULL)
		busy->first = &call->wire;
	else
		busy->last->next = &call->wire;
	busy->last = &call->wire;
}

/* ---- promises, manifests, pages ---- */

static bool is_lower(uint64_t epoch, struct id128 home, uint64_t other_epoch,
		     struct id128 other_home)
{
	return epoch < other_epoch || (epoch == other_epoch && !id128_equal(home, other_home));
}

static enum err submit_promise(struct replica *replica, struct busy *busy,
			       struct journal_promise_call *call)
{
	struct shared *payload = shared_create(0);
	struct op *op = memory_allocate(sizeof(*op));

	if (op == NULL || payload == NULL) {
		memory_free(op);
		shared_release(&payload);
		return ERR_NOMEM;
	}
	op->busy = busy;
	op->call = &call->wire;
	op->append.write.urgent = true;
	op->append.record = (struct record){.type = RECORD_PROMISE,
					    .id = call->stream,
					    .tag = call->stream,
					    .incarnation = call->home,
					    .number = call->epoch};
	record_hash_payload(&op->append.record, shared_bytes(payload));
	busy->promise_epoch = call->epoch;
	busy->promise_home = call->home;
	replica_submit(replica, op, payload);
	return ERR_OK;
}

static void serve_promise(struct replica *replica, struct journal_promise_call *call)
{
	struct stream *stream;
	struct busy *busy;
	enum err err = find_stream(replica, call->stream, &stream);

	if (err == ERR_OK)
		err = busy_take(replica, stream, &busy);
	if (err != ERR_OK) {
		wire_reply(&call->wire, err);
		return;
	}
	call->promised = call->epoch;
	if (is_lower(call->epoch, call->home, stream->promise_epoch, stream->promise_home)) {
		call->promised = stream->promise_epoch;
		err = ERR_FENCED;
	} else if (is_lower(call->epoch, call->home, busy->promise_epoch, busy->promise_home)) {
		call->promised = busy->promise_epoch;
		err = ERR_FENCED;
	} else if (call->epoch != stream->promise_epoch) {
		err = submit_promise(replica, busy, call);
		if (err == ERR_OK)
			return;
	}
	wire_reply(&call->wire, err);
	busy_leave(replica, busy);
}

/* ERR_STALE: pages are missing; ERR_EXISTS: there is nothing to do. */
static enum err check_put(const struct busy *busy, const struct journal_put_call *call,
			  struct stream_manifest *manifest)
{
	const struct stream *stream = busy->stream;
	const struct stream_manifest *held;
	enum err err;

	if (call->type == RECORD_PAGE)
		return stream_page(stream, call->id) != NULL ? ERR_EXISTS : ERR_OK;
	err = replica_parse_manifest(shared_bytes(call->item.bytes), manifest);
	if (err != ERR_OK)
		return err;
	if (!id128_equal(manifest->id, call->id))
		return ERR_CORRUPT;
	held = stream_manifest(stream, call->id);
	if ((held != NULL && held->complete) ||
	    stream_dominates(stream, &manifest->vector, manifest->epoch, manifest->id))
		return ERR_EXISTS;
	for (size_t i = 0; i < manifest->page_count; i++)
		if (!has_page(busy, manifest->pages[i]))
			return ERR_STALE;
	return ERR_OK;
}

static enum err submit_put(struct replica *replica, struct busy *busy,
			   struct journal_put_call *call)
{
	struct op *op = memory_allocate(sizeof(*op));
	enum err err;

	if (op == NULL)
		return ERR_NOMEM;
	err = check_put(busy, call, &op->manifest);
	if (err != ERR_OK) {
		stream_manifest_finish(&op->manifest);
		memory_free(op);
		return err;
	}
	op->busy = busy;
	op->call = &call->wire;
	/* A manifest lets entries go: it must be possible when the volume is full. */
	op->append.write.urgent = true;
	op->append.record = (struct record){.type = (uint8_t)call->type,
					    .id = call->id,
					    .tag = call->stream,
					    .incarnation = call->incarnation,
					    .number = call->epoch,
					    .payload_size = (uint32_t)call->item.bytes->size,
					    .payload_hash = call->item.hash};
	replica_submit(replica, op, shared_reference(call->item.bytes));
	return ERR_OK;
}

static void serve_put(struct replica *replica, struct journal_put_call *call)
{
	struct stream *stream;
	struct busy *busy;
	enum err err = find_stream(replica, call->stream, &stream);

	if (err == ERR_OK)
		err = busy_take(replica, stream, &busy);
	if (err != ERR_OK) {
		wire_reply(&call->wire, err);
		return;
	}
	err = submit_put(replica, busy, call);
	if (err == ERR_OK)
		return;
	wire_reply(&call->wire, err == ERR_EXISTS ? ERR_OK : err);
	busy_leave(replica, busy);
}

static void queue_write(struct replica *replica, struct wire_call *call)
{
	call->next = NULL;
	if (replica->first == NULL)
		replica->first = call;
	else
		replica->last->next = call;
	replica->last = call;
	replica_pump(replica);
}

static void serve_mark(struct replica *replica, struct journal_mark_call *call)
{
	struct segments *segments = &replica->segments;
	uint64_t remembered;

	take_marks(replica, call->marks);
	replica->marks.counted = call->counted;
	replica->confirmed = true;
	remembered = marks_get(&replica->marks, volume_id(replica->volume)).segment;
	if (remembered > segments->last_number) {
		/*
		 * The volume lost segments that others remember. Only a number above those makes
		 * it whole again in their eyes.
		 */
		segments->last_number = remembered;
		segments->active = segments->spare = NULL;
		queue_write(replica, &call->wire);
		return;
	}
	replica_submit_mark(replica, &call->wire);
}

/* ---- questions ---- */

/* A buffer as a reference for the caller. */
static enum err share(struct buf *buf, struct shared **out)
{
	struct shared *shared;
	enum err err = buf->err;

	if (err == ERR_OK) {
		shared = shared_create(buf->size);
		if (shared == NULL) {
			err = ERR_NOMEM;
		} else {
			if (buf->size != 0)
				memcpy(shared->data, buf->data, buf->size);
			*out = shared;
		}
	}
	buf_finish(buf);
	return err;
}

static void serve_state(struct replica *replica, struct journal_state_call *call)
{
	struct stream *stream;
	struct buf encoded = {0};
	enum err err = find_stream(replica, call->stream, &stream);

	if (err == ERR_OK)
		err = state_encode(stream, &encoded);
	if (err == ERR_OK)
		err = share(&encoded, &call->state);
	buf_finish(&encoded);
	wire_reply(&call->wire, err);
}

static void serve_list(struct replica *replica, struct journal_list_call *call)
{
	struct buf ids = {0};
	enum err err = replica_checkpoint(replica, false);

	if (err == ERR_OK)
		err = catalog_list(&replica->catalog, call->group, &ids);
	if (err == ERR_OK)
		err = share(&ids, &call->streams);
	buf_finish(&ids);
	wire_reply(&call->wire, err);
}

static void serve_hello(struct replica *replica, struct journal_hello_call *call)
{
	struct buf encoded = {0};
	enum err err;

	marks_encode(&replica->marks, &encoded);
	err = share(&encoded, &call->marks);
	call->confirmed = replica->confirmed;
	call->position = replica->confirmed ? replica->applied : replica->recovered;
	call->counted = replica->marks.counted;
	wire_reply(&call->wire, err);
}

static void serve_digests(struct replica *replica, struct journal_digests_call *call)
{
	memcpy(call->digests, catalog_digests(&replica->catalog), sizeof(call->digests));
	wire_reply(&call->wire, ERR_OK);
}

/* ---- serving ---- */

/* The ones that write: in order, and only when there is a segment to write to. */
static void serve_write(struct replica *replica, struct wire_call *call)
{
	switch ((enum journal_operation)call->operation) {
	case JOURNAL_APPEND:
		serve_append(replica, (struct journal_append_call *)call);
		return;
	case JOURNAL_PROMISE:
		serve_promise(replica, (struct journal_promise_call *)call);
		return;
	case JOURNAL_PUT:
		serve_put(replica, (struct journal_put_call *)call);
		return;
	case JOURNAL_MARK:
		serve_mark(replica, (struct journal_mark_call *)call);
		return;
	case JOURNAL_READ:
	case JOURNAL_STATE:
	case JOURNAL_GET:
	case JOURNAL_DIGESTS:
	case JOURNAL_LIST:
	case JOURNAL_HELLO:
	default:
		wire_reply(call, ERR_INVALID);
	}
}

void replica_pump(struct replica *replica)
{
	while (replica->first != NULL) {
		struct wire_call *call = replica->first;

		if (replica->failed == ERR_OK && !replica->stopping &&
		    !segments_ready(&replica->segments)) {
			cond_signal(&replica->work);
			return;
		}
		replica->first = call->next;
		call->next = NULL;
		if (replica->failed != ERR_OK || replica->stopping)
			wire_reply(call, ERR_UNAVAILABLE);
		else
			serve_write(replica, call);
	}
}

void replica_serve(void *context, struct wire_call *call)
{
	struct replica *replica = context;

	if (replica->failed != ERR_OK || replica->stopping) {
		wire_reply(call, ERR_UNAVAILABLE);
		return;
	}
	switch ((enum journal_operation)call->operation) {
	case JOURNAL_READ:
		replica_serve_read(replica, (struct journal_read_call *)call);
		return;
	case JOURNAL_STATE:
		serve_state(replica, (struct journal_state_call *)call);
		return;
	case JOURNAL_GET:
		replica_serve_get(replica, (struct journal_get_call *)call);
		return;
	case JOURNAL_DIGESTS:
		serve_digests(replica, (struct journal_digests_call *)call);
		return;
	case JOURNAL_LIST:
		serve_list(replica, (struct journal_list_call *)call);
		return;
	case JOURNAL_HELLO:
		serve_hello(replica, (struct journal_hello_call *)call);
		return;
	case JOURNAL_APPEND:
	case JOURNAL_PROMISE:
	case JOURNAL_PUT:
	case JOURNAL_MARK:
	default:
		queue_write(replica, call);
	}
}

struct id128 replica_volume(const struct replica *replica)
{
	return volume_id(replica->volume);
}

struct replica_counters replica_get_counters(const struct replica *replica)
{
	struct replica_counters counters = replica->counters;

	counters.entries = replica->segments.ledger.entries;
	counters.truncated = replica->segments.ledger.truncated;
	counters.segments = replica->segments.count;
	for (size_t i = 0; i < replica->segments.count; i++)
		counters.bytes += replica->segments.items[i]->end;
	return counters;
}
