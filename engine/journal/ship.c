/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/ship.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"

static WAITS enum err ship_record(struct shipment *shipment, enum record_type type, struct id128 id,
				  struct id128 incarnation, uint64_t epoch,
				  const struct shared *bytes)
{
	struct fanout *put = fanout_create(shipment->journal, &shipment->target, 1, JOURNAL_PUT);
	struct shared *copy = shared_create(bytes->size);
	struct journal_put_call *call;
	enum err err;

	if (put == NULL || copy == NULL) {
		fanout_release(&put);
		shared_release(&copy);
		return ERR_NOMEM;
	}
	memcpy(copy->data, bytes->data, bytes->size);
	call = &put->targets[0].call.put;
	call->type = type;
	call->stream = shipment->stream;
	call->id = id;
	call->incarnation = incarnation;
	call->epoch = epoch;
	call->item = (struct journal_item){copy, hash_128(copy->data, copy->size)};
	err = fanout_ask(put);
	fanout_release(&put);
	shipment->shipped += err == ERR_OK;
	return err;
}

static WAITS enum err fetch(const struct shipment *shipment, enum record_type type, struct id128 id,
			    struct fanout **out)
{
	struct fanout *get = fanout_create(shipment->journal, &shipment->source, 1, JOURNAL_GET);
	enum err err;

	if (get == NULL)
		return ERR_NOMEM;
	get->targets[0].call.get.type = type;
	get->targets[0].call.get.stream = shipment->stream;
	get->targets[0].call.get.id = id;
	err = fanout_ask(get);
	if (err == ERR_OK)
		*out = get;
	else
		fanout_release(&get);
	return err;
}

static WAITS enum err ship_page(struct shipment *shipment, struct id128 page,
				const struct manifest *manifest)
{
	struct fanout *get = NULL;
	enum err err = fetch(shipment, RECORD_PAGE, page, &get);

	if (err == ERR_OK)
		err = ship_record(shipment, RECORD_PAGE, page, manifest->incarnation,
				  manifest->epoch, get->targets[0].call.get.bytes);
	fanout_release(&get);
	return err;
}

enum err ship_manifest(struct shipment *shipment, struct id128 id,
		       const struct stream_state *target)
{
	struct fanout *get = NULL;
	struct manifest manifest = {0};
	enum err err = fetch(shipment, RECORD_MANIFEST, id, &get);

	if (err == ERR_OK)
		err = manifest_decode(shared_bytes(get->targets[0].call.get.bytes), &manifest);
	for (size_t i = 0; err == ERR_OK && i < manifest.page_count; i++)
		if (!state_has_page(target, manifest.pages[i]))
			err = ship_page(shipment, manifest.pages[i], &manifest);
	if (err == ERR_OK)
		err = ship_record(shipment, RECORD_MANIFEST, id, manifest.incarnation,
				  manifest.epoch, get->targets[0].call.get.bytes);
	manifest_finish(&manifest);
	fanout_release(&get);
	return err;
}

/* On the heap, because the answer may come after nobody waits for it any more. */
struct parcel {
	struct journal *journal;
	size_t references;
	bool answered;
	struct cond changed;
	struct journal_append_call call; /* last: its items follow */
};

static void parcel_release(struct parcel *parcel)
{
	if (--parcel->references != 0)
		return;
	for (size_t i = 0; i < parcel->call.count; i++)
		shared_release(&parcel->call.items[i].bytes);
	memory_free(parcel);
}

static void parcel_answered(struct wire_call *call)
{
	struct parcel *parcel = call->context;
	struct journal *journal = parcel->journal;

	parcel->answered = true;
	cond_broadcast(&parcel->changed);
	parcel_release(parcel);
	group_leave(&journal->calls);
}

/* Entries [first, first + count) of one incarnation, as they came from the source. */
static struct parcel *parcel_create(const struct shipment *shipment, const struct entry *first,
				    const struct bytes *entries, size_t count)
{
	struct parcel *parcel =
		memory_allocate(sizeof(*parcel) + count * sizeof(parcel->call.items[0]));

	if (parcel == NULL)
		return NULL;
	parcel->journal = shipment->journal;
	parcel->references = 1;
	parcel->call.wire.operation = JOURNAL_APPEND;
	parcel->call.wire.volume = shipment->target;
	parcel->call.wire.done = parcel_answered;
	parcel->call.wire.context = parcel;
	parcel->call.stream = shipment->stream;
	parcel->call.incarnation = first->incarnation;
	parcel->call.first_seq = first->seq;
	parcel->call.resync = true;
	for (size_t i = 0; i < count; i++) {
		struct shared *bytes = shared_create(entries[i].size);

		if (bytes == NULL) {
			parcel_release(parcel);
			return NULL;
		}
		memcpy(bytes->data, entries[i].data, entries[i].size);
		parcel->call.items[parcel->call.count++] =
			(struct journal_item){bytes, hash_128(bytes->data, bytes->size)};
	}
	return parcel;
}

static WAITS enum err ship_entries(struct shipment *shipment, const struct entry *first,
				   const struct bytes *entries, size_t count)
{
	struct parcel *parcel = parcel_create(shipment, first, entries, count);
	uint64_t deadline_ms = env_now_ms(shipment->journal->env) + JOURNAL_APPEND_MS;
	enum err err = ERR_OK;

	if (parcel == NULL)
		return ERR_NOMEM;
	parcel->references++;
	group_enter(&parcel->journal->calls);
	wire_post(parcel->journal->wire, &parcel->call.wire);
	while (!parcel->answered && err == ERR_OK)
		err = cond_wait(&parcel->changed, deadline_ms);
	if (parcel->answered)
		err = parcel->call.wire.err;
	if (err == ERR_OK)
		shipment->shipped += count;
	parcel_release(parcel);
	return err;
}

#define SHIP_ENTRY_MAX 64u

/* Cuts an answer of JOURNAL_READ into runs of one incarnation. */
static WAITS enum err ship_batch(struct shipment *shipment, struct bytes answer, struct vector *at)
{
	struct cursor cursor = cursor_make(answer);
	struct entry_blobs blobs = {0};
	struct bytes entries[SHIP_ENTRY_MAX];
	struct entry first = {0}, entry;
	size_t count = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && cursor_left(&cursor) != 0) {
		struct bytes encoded = cursor_take(&cursor, cursor_u32(&cursor));

		err = cursor.err != ERR_OK ? cursor.err : entry_decode(encoded, &blobs, &entry);
		if (err != ERR_OK)
			break;
		if (count == SHIP_ENTRY_MAX ||
		    (count != 0 && !(id128_equal(entry.incarnation, first.incarnation) &&
				     entry.seq == first.seq + count))) {
			err = ship_entries(shipment, &first, entries, count);
			count = 0;
		}
		if (count == 0)
			first = entry;
		entries[count++] = encoded;
		if (err == ERR_OK)
			err = vector_raise(at, entry.incarnation, entry.seq);
	}
	if (err == ERR_OK && count != 0)
		err = ship_entries(shipment, &first, entries, count);
	entry_blobs_finish(&blobs);
	return err;
}

static WAITS enum err read_source(const struct shipment *shipment, const struct vector *at,
				  struct fanout **out)
{
	struct fanout *read = fanout_create(shipment->journal, &shipment->source, 1, JOURNAL_READ);
	struct journal_read_call *call;
	struct buf encoded = {0};
	enum err err;

	if (read == NULL)
		return ERR_NOMEM;
	call = &read->targets[0].call.read;
	call->stream = shipment->stream;
	call->limit = 1024;
	vector_encode(at, &encoded);
	err = encoded.err;
	if (err == ERR_OK) {
		call->after = shared_create(encoded.size);
		err = call->after != NULL ? ERR_OK : ERR_NOMEM;
	}
	if (err == ERR_OK) {
		memcpy(call->after->data, encoded.data, encoded.size);
		err = fanout_ask(read);
	}
	buf_finish(&encoded);
	if (err == ERR_OK)
		*out = read;
	else
		fanout_release(&read);
	return err;
}

enum err ship_suffixes(struct shipment *shipment, const struct vector *have)
{
	struct vector at = {0};
	bool more = true;
	enum err err = vector_copy(have, &at);

	while (err == ERR_OK && more) {
		struct fanout *read = NULL;

		err = read_source(shipment, &at, &read);
		if (err != ERR_OK)
			break;
		more = read->targets[0].call.read.more;
		err = ship_batch(shipment, shared_bytes(read->targets[0].call.read.entries), &at);
		fanout_release(&read);
	}
	vector_finish(&at);
	return err;
}
