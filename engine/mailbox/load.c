/* SPDX-License-Identifier: MPL-2.0 */
/* The stream's operations into the state. */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/mailbox/restamp.h"

#define READ_BATCH 256u
#define PLACE_VERSION 1u

void operation_place_encode(struct id128 account, struct id128 stream, struct id128 incarnation,
			    uint64_t seq, uint64_t epoch, uint64_t floor,
			    const struct blob_ref *blobs, size_t blob_count, struct buf *out)
{
	buf_put_u8(out, PLACE_VERSION);
	buf_put_id(out, account);
	buf_put_id(out, stream);
	buf_put_id(out, incarnation);
	buf_put_u64(out, seq);
	buf_put_u64(out, epoch);
	buf_put_u64(out, floor);
	buf_put_varint(out, blob_count);
	for (size_t i = 0; i < blob_count; i++)
		blob_ref_encode(&blobs[i], out);
}

/* An entry that no key opened so far: a keyring further on may have it. */
struct unopened {
	struct id128 incarnation;
	uint64_t seq;
	struct buf use, associated, sealed;
};

struct reading {
	struct mailbox *mailbox;
	struct vector seen;
	struct unopened *unopened;
	size_t unopened_count, unopened_capacity;
	/* The entry read last, for the chain. */
	struct id128 last_incarnation;
	uint64_t last_seq;
	uint8_t last_digest[32];
	enum err err;
};

static void unopened_finish(struct unopened *unopened)
{
	buf_finish(&unopened->use);
	buf_finish(&unopened->associated);
	buf_finish(&unopened->sealed);
}

static void reading_finish(struct reading *reading)
{
	for (size_t i = 0; i < reading->unopened_count; i++)
		unopened_finish(&reading->unopened[i]);
	memory_free(reading->unopened);
	vector_finish(&reading->seen);
}

static enum err report_broken(struct mailbox *mailbox, struct id128 incarnation, uint64_t seq,
			      enum err why)
{
	mailbox->home->counters.broken_entries++;
	env_log(mailbox->home->env, "event=mailbox-entry-broken kind=operation seq=%llu error=%s",
		(unsigned long long)seq, err_name(why));
	return account_state_skip(&mailbox->state, incarnation, seq);
}

/* Memory running out and a newer format are ours; anything else is the entry's fault. */
static bool is_entry_fault(enum err err)
{
	return err == ERR_AUTH || err == ERR_CORRUPT || err == ERR_LIMIT;
}

enum err mailbox_open_payload(const struct mailbox *mailbox, const char *label, struct bytes use,
			      struct bytes associated, struct bytes sealed, size_t limit,
			      struct buf *plain)
{
	const struct key *key;
	enum err err = ERR_AUTH;

	for (size_t i = 0; err == ERR_AUTH && (key = mailbox_directory_key(mailbox, i)); i++)
		err = payload_open(key, label, use, associated, sealed, limit, plain);
	return err;
}

static enum err read_keyring(struct mailbox *mailbox, const struct unopened *entry)
{
	struct buf plain = {0};
	struct cursor cursor;
	enum err err = payload_open(mailbox->keys.directory, LABEL_KEYRING,
				    bytes_of_buf(&entry->use), bytes_of_buf(&entry->associated),
				    bytes_of_buf(&entry->sealed), ENTRY_PAYLOAD_MAX, &plain);

	/* That of a rotation which was not completed, or of an earlier one: this one's has it all.
	 */
	if (err == ERR_AUTH)
		return ERR_OK;
	if (!err) {
		cursor = cursor_make(bytes_of_buf(&plain));
		err = keyring_decode(mailbox, &cursor);
	}
	buf_finish(&plain);
	return is_entry_fault(err) ? ERR_OK : err;
}

/* Nothing is remembered about the entries of this process itself: their digests were not seen. */
static void check_chain(struct reading *reading, const struct entry *entry, struct bytes plain)
{
	struct operation_reader reader;

	if (id128_equal(reading->last_incarnation, entry->incarnation) &&
	    reading->last_seq + 1 == entry->seq && !operation_reader_begin(plain, &reader)) {
		if (memcmp(reader.previous, reading->last_digest, sizeof(reader.previous))) {
			reading->mailbox->home->counters.broken_entries++;
			env_log(reading->mailbox->home->env,
				"event=mailbox-chain-broken kind=operation seq=%llu",
				(unsigned long long)entry->seq);
		}
		operation_reader_finish(&reader);
	}
}

static enum err apply_opened(struct reading *reading, const struct unopened *opened,
			     const struct entry *entry)
{
	struct mailbox *mailbox = reading->mailbox;
	struct buf plain = {0};
	enum err err =
		mailbox_open_payload(mailbox, LABEL_OPERATION, bytes_of_buf(&opened->use),
				     bytes_of_buf(&opened->associated),
				     bytes_of_buf(&opened->sealed), ENTRY_PAYLOAD_MAX, &plain);

	if (!err && entry)
		check_chain(reading, entry, bytes_of_buf(&plain));
	if (!err)
		err = account_state_apply(&mailbox->state, opened->incarnation, opened->seq,
					  bytes_of_buf(&plain));
	if (!err) {
		mailbox->entries_since++;
		mailbox->bytes_since += plain.size;
	}
	buf_finish(&plain);
	return err;
}

static enum err read_operations(struct reading *reading, struct unopened *opened,
				const struct entry *entry)
{
	enum err err = apply_opened(reading, opened, entry);

	if (err == ERR_AUTH) {
		err = ARRAY_GROW(reading->unopened, reading->unopened_capacity,
				 reading->unopened_count);
		if (!err) {
			reading->unopened[reading->unopened_count++] = *opened;
			*opened = (struct unopened){0};
		}
		return err;
	}
	if (is_entry_fault(err))
		return report_broken(reading->mailbox, entry->incarnation, entry->seq, err);
	return err;
}

static enum err take_entry(const struct mailbox *mailbox, const struct entry *entry,
			   struct unopened *out)
{
	*out = (struct unopened){.incarnation = entry->incarnation, .seq = entry->seq};
	buf_put_id(&out->use, entry->incarnation);
	buf_put_u64(&out->use, entry->seq);
	operation_place_encode(mailbox->account, entry->stream, entry->incarnation, entry->seq,
			       entry->epoch, entry->floor, entry->blobs, entry->blob_count,
			       &out->associated);
	buf_put_bytes(&out->sealed, bytes_slice(entry->payload, 1, SIZE_MAX));
	return out->use.err	     ? out->use.err
	       : out->associated.err ? out->associated.err
				     : out->sealed.err;
}

static enum err read_operation_entry(struct reading *reading, const struct entry *entry)
{
	struct mailbox *mailbox = reading->mailbox;
	struct unopened opened;
	uint8_t type = entry->payload.size ? entry->payload.data[0] : 0;
	enum err err = take_entry(mailbox, entry, &opened);

	if (!err && type == PAYLOAD_KEYRING) {
		err = read_keyring(mailbox, &opened);
		if (!err)
			err = account_state_skip(&mailbox->state, entry->incarnation, entry->seq);
	} else if (!err && type == PAYLOAD_OPERATIONS) {
		err = read_operations(reading, &opened, entry);
	} else if (!err) {
		err = ERR_NEWER;
	}
	unopened_finish(&opened);
	return err;
}

static enum err read_entry(void *context, const struct entry *entry)
{
	struct reading *reading = context;
	struct mailbox *mailbox = reading->mailbox;

	if (entry->kind == ENTRY_DELIVERY)
		return vector_raise(&mailbox->skip, entry->incarnation, UINT64_MAX);
	if (vector_get(&mailbox->state.applied, entry->incarnation) >= entry->seq)
		return ERR_OK;
	mailbox->home->counters.entries_read++;
	reading->err = read_operation_entry(reading, entry);
	digest_256(entry->signed_part, reading->last_digest);
	reading->last_incarnation = entry->incarnation;
	reading->last_seq = entry->seq;
	return reading->err;
}

/* A writer delivers or operates, never both: of those that deliver only the first entries are met.
 */
static WAITS enum err read_batch(struct reading *reading, bool *complete, bool *more)
{
	struct mailbox *mailbox = reading->mailbox;
	struct vector after = {0};
	enum err err = vector_copy(&mailbox->state.applied, &after);

	if (!err)
		err = vector_merge(&after, &mailbox->skip);
	if (!err)
		err = vector_merge(&after, &reading->seen);
	if (!err)
		err = journal_read(mailbox->home->options.journal, mailbox->stream, &after,
				   READ_BATCH, read_entry, reading, &reading->seen, complete, more);
	vector_finish(&after);
	return err;
}

static enum err retry_unopened(struct reading *reading)
{
	for (size_t i = 0; i < reading->unopened_count; i++) {
		struct unopened *opened = &reading->unopened[i];
		enum err err = apply_opened(reading, opened, NULL);

		if (is_entry_fault(err))
			err = report_broken(reading->mailbox, opened->incarnation, opened->seq,
					    err);
		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err skip_deliveries(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.drained_count && !err; i++)
		err = vector_raise(&mailbox->skip, mailbox->state.drained[i].incarnation,
				   UINT64_MAX);
	return err;
}

enum err mailbox_catch_up(struct mailbox *mailbox, bool *complete)
{
	struct reading reading = {.mailbox = mailbox};
	uint64_t read_before = mailbox->home->counters.entries_read;
	bool all_complete = true, more = true;
	enum err err = skip_deliveries(mailbox);

	while (!err && more) {
		bool batch_complete = false;

		err = read_batch(&reading, &batch_complete, &more);
		all_complete &= batch_complete;
	}
	if (complete)
		*complete = all_complete;
	if (!err)
		err = retry_unopened(&reading);
	/* Half of an entry may be in the state; or another home's manifest has replaced entries. */
	if (reading.err || err == ERR_STALE)
		mailbox_break(mailbox);
	/* Another home has been here, and its messages cannot be shown as they are: start anew. */
	if (!err && mailbox->ready && mailbox->home->counters.entries_read != read_before &&
	    restamp_any(&mailbox->state)) {
		mailbox_break(mailbox);
		err = ERR_UNAVAILABLE;
	}
	reading_finish(&reading);
	return err;
}

static enum err look_for_keyring(void *context, const struct entry *entry)
{
	struct reading *reading = context;
	struct unopened opened;
	enum err err = ERR_OK;

	if (entry->kind == ENTRY_DELIVERY)
		return vector_raise(&reading->mailbox->skip, entry->incarnation, UINT64_MAX);
	if (!entry->payload.size || entry->payload.data[0] != PAYLOAD_KEYRING)
		return ERR_OK;
	err = take_entry(reading->mailbox, entry, &opened);
	if (!err)
		err = read_keyring(reading->mailbox, &opened);
	unopened_finish(&opened);
	return err;
}

enum err mailbox_find_keyring(struct mailbox *mailbox, const struct vector *after)
{
	struct reading reading = {.mailbox = mailbox};
	bool more = true, complete;
	enum err err = vector_copy(after, &reading.seen);

	while (!err && more) {
		struct vector skipping = {0};

		err = vector_copy(&reading.seen, &skipping);
		if (!err)
			err = vector_merge(&skipping, &mailbox->skip);
		if (!err)
			err = journal_read(mailbox->home->options.journal, mailbox->stream,
					   &skipping, READ_BATCH, look_for_keyring, &reading,
					   &reading.seen, &complete, &more);
		vector_finish(&skipping);
	}
	reading_finish(&reading);
	return err;
}

enum err mailbox_load(struct mailbox *mailbox)
{
	enum err err = mailbox_load_snapshot(mailbox);

	if (!err)
		err = mailbox_catch_up(mailbox, NULL);
	/* Another home's manifest has taken the place of the one that was being read. */
	return err == ERR_STALE || err == ERR_NOTFOUND ? ERR_UNAVAILABLE : err;
}
