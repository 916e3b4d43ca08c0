/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/pages.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

#define ROOT_VERSION 2u
#define ROOT_VERSION_WITHOUT_NAMES 1u
#define PAGE_VERSION 1u
#define LIST_VERSION 1u
#define PAGE_SPLIT (PAGE_MESSAGES_MAX * 3 / 4)
#define PAGE_MERGE (PAGE_MESSAGES_MAX / 4)

enum message_flag { MESSAGE_DELIVERED = 1, MESSAGE_RESTAMPED = 2, MESSAGE_FLAGS_ALL = 3 };

/* ---- cutting a folder into pages ---- */

void pages_range(const struct collection *messages, size_t index, size_t *first, size_t *before)
{
	*first = index ? collection_position(messages, messages->pages[index].first_uid) : 0;
	*before = index + 1 < messages->page_count
			  ? collection_position(messages, messages->pages[index + 1].first_uid)
			  : messages->count;
}

static enum err put_range(struct page_range **ranges, size_t *count, size_t *capacity,
			  struct page_range range)
{
	enum err err = ARRAY_GROW(*ranges, *capacity, *count);

	if (!err)
		(*ranges)[(*count)++] = range;
	return err;
}

/* A page that is too full becomes several; one that is nearly empty joins the one before. */
static enum err cut(const struct collection *messages, size_t index, struct page_range **ranges,
		    size_t *count, size_t *capacity)
{
	struct page_range range = messages->pages[index];
	struct page_range *before = *count ? &(*ranges)[*count - 1] : NULL;
	size_t first, end, size;
	enum err err = ERR_OK;

	pages_range(messages, index, &first, &end);
	size = end - first;
	if (before && size < PAGE_MERGE) {
		size_t start = collection_position(messages, before->first_uid);

		if (end - start <= PAGE_MESSAGES_MAX) {
			before->dirty |= size || range.dirty;
			return ERR_OK;
		}
	}
	if (size <= PAGE_MESSAGES_MAX)
		return put_range(ranges, count, capacity, range);
	for (size_t at = first; at < end && !err; at += PAGE_SPLIT)
		err = put_range(ranges, count, capacity,
				(struct page_range){
					.first_uid = at == first ? range.first_uid
								 : collection_at(messages, at)->uid,
					.dirty = true,
				});
	return err;
}

enum err pages_partition(struct collection *messages)
{
	struct page_range *ranges = NULL;
	size_t count = 0, capacity = 0;
	enum err err = ERR_OK;

	if (!messages->page_count)
		err = put_range(&messages->pages, &messages->page_count, &messages->page_capacity,
				(struct page_range){.first_uid = 1, .dirty = true});
	for (size_t i = 0; i < messages->page_count && !err; i++)
		err = cut(messages, i, &ranges, &count, &capacity);
	if (err) {
		memory_free(ranges);
		return err;
	}
	memory_free(messages->pages);
	messages->pages = ranges;
	messages->page_count = count;
	messages->page_capacity = capacity;
	return ERR_OK;
}

/* ---- ids by small numbers ---- */

/* Ids in the order in which a page mentions them; written behind what mentions them. */
struct id_table {
	struct id128 *ids;
	size_t count, capacity;
};

static void put_id_number(struct id_table *table, struct id128 id, struct buf *out)
{
	size_t number = table->count;

	while (number && !id128_equal(table->ids[number - 1], id))
		number--;
	if (!number) {
		if (ARRAY_GROW(table->ids, table->capacity, table->count)) {
			out->err = ERR_NOMEM;
			return;
		}
		table->ids[table->count++] = id;
		number = table->count;
	}
	buf_put_varint(out, number - 1);
}

static void put_table(const struct id_table *table, struct buf *out)
{
	buf_put_varint(out, table->count);
	for (size_t i = 0; i < table->count; i++)
		buf_put_id(out, table->ids[i]);
}

/* A page is: version, table of writers, table of blocks, body: so the body is made first. */
static void put_page(uint8_t version, const struct id_table *writers, const struct id_table *blocks,
		     struct buf *body, struct buf *out)
{
	buf_put_u8(out, version);
	put_table(writers, out);
	if (blocks)
		put_table(blocks, out);
	buf_put_bytes(out, bytes_of_buf(body));
	if (body->err && !out->err)
		out->err = body->err;
	buf_finish(body);
}

/* Numbers in the input -> numbers in memory. */
struct number_table {
	uint32_t *numbers;
	size_t count;
};

static enum err take_table(struct cursor *cursor, struct number_table *table,
			   enum err (*intern)(void *context, struct id128 id, uint32_t *number),
			   void *context)
{
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	if (count > cursor_left(cursor) / sizeof(struct id128))
		cursor_fail(cursor);
	if (cursor->err)
		return cursor->err;
	table->numbers = memory_array((size_t)count, sizeof(*table->numbers));
	if (!table->numbers)
		return ERR_NOMEM;
	for (table->count = 0; table->count < count && !err; table->count++)
		err = intern(context, cursor_id(cursor), &table->numbers[table->count]);
	return err;
}

static uint32_t take_number(struct cursor *cursor, const struct number_table *table)
{
	uint64_t at = cursor_varint(cursor);

	if (at >= table->count)
		cursor_fail(cursor);
	return cursor->err ? 0 : table->numbers[at];
}

static uint32_t take_u32(struct cursor *cursor)
{
	uint64_t value = cursor_varint(cursor);

	if (value > UINT32_MAX)
		cursor_fail(cursor);
	return (uint32_t)value;
}

static enum err intern_writer(void *context, struct id128 id, uint32_t *number)
{
	return account_state_writer(context, id, number);
}

static enum err intern_block(void *context, struct id128 id, uint32_t *number)
{
	*number = summaries_find_block(context, id);
	return ERR_OK;
}

static void put_mark(struct id_table *writers, const struct writers *known, struct entry_mark mark,
		     struct buf *out)
{
	put_id_number(writers, known->ids[mark.writer], out);
	buf_put_varint(out, mark.seq);
}

static struct entry_mark take_mark(struct cursor *cursor, const struct number_table *writers)
{
	struct entry_mark mark = {.writer = take_number(cursor, writers)};
	uint64_t seq = cursor_varint(cursor);

	if (seq > UINT32_MAX)
		cursor_fail(cursor);
	mark.seq = (uint32_t)seq;
	return mark;
}

/* ---- message pages ---- */

struct page_writer {
	const struct folder *folder;
	const struct summary_block *blocks;
	struct id_table writers, block_ids;
	struct buf body;
};

static void put_registers(struct page_writer *page, const struct message_state *message)
{
	const struct collection *messages = &page->folder->messages;
	size_t count = 0;

	for (uint32_t at = message->registers; at != SLOT_NONE; at = messages->registers[at].next)
		count++;
	buf_put_varint(&page->body, count);
	for (uint32_t at = message->registers; at != SLOT_NONE; at = messages->registers[at].next) {
		const struct flag_register *stamp = &messages->registers[at];

		buf_put_u8(&page->body, stamp->flag);
		buf_put_varint(&page->body, stamp->clock);
		put_id_number(&page->writers, messages->writers->ids[stamp->writer], &page->body);
	}
}

/* Who added a message tells whether another state saw it go; of deliveries tombstones tell that. */
static bool is_restamped(const struct message_state *message)
{
	return !message->delivered && (message->created.writer != message->stamped.writer ||
				       message->created.seq != message->stamped.seq);
}

static void put_message(struct page_writer *page, size_t position)
{
	const struct collection *messages = &page->folder->messages;
	const struct message_state *message = collection_at(messages, position);
	struct buf *body = &page->body;
	struct blob_ref blob;

	collection_blob(messages, messages->order[position], &blob);
	buf_put_u8(body, (uint8_t)((message->delivered ? MESSAGE_DELIVERED : 0) |
				   (is_restamped(message) ? MESSAGE_RESTAMPED : 0)));
	buf_put_id(body, message->id);
	buf_put_varint(body, message->uid);
	blob_ref_encode(&blob, body);
	buf_put_u32(body, message->epoch);
	buf_put(body, message->wrapped_key, WRAPPED_KEY_SIZE);
	buf_put_varint(body, message->size);
	buf_put_varint(body, message->arrival_ms);
	buf_put_u16(body, (uint16_t)message->zone_minutes);
	buf_put_varint(body, message->modseq);
	buf_put_u8(body, message->system);
	buf_put_varint(body, message->keywords[0]);
	buf_put_varint(body, message->keywords[1]);
	put_mark(&page->writers, messages->writers, message->stamped, body);
	put_mark(&page->writers, messages->writers, message->touched, body);
	if (is_restamped(message))
		put_mark(&page->writers, messages->writers, message->created, body);
	buf_put_u8(body, message->cache != 0);
	if (message->cache)
		put_id_number(&page->block_ids, page->blocks[message->cache - 1].blob.id, body);
	put_registers(page, message);
}

void message_page_encode(const struct folder *folder, size_t index,
			 const struct summaries *summaries, struct buf *out)
{
	struct page_writer page = {.folder = folder};
	size_t first, before, block_count;

	page.blocks = summaries_blocks(summaries, &block_count);
	pages_range(&folder->messages, index, &first, &before);
	buf_put_varint(&page.body, before - first);
	for (size_t i = first; i < before; i++)
		put_message(&page, i);
	put_page(PAGE_VERSION, &page.writers, &page.block_ids, &page.body, out);
	memory_free(page.writers.ids);
	memory_free(page.block_ids.ids);
}

struct page_reader {
	struct cursor cursor;
	struct folder *folder;
	struct summaries *summaries;
	struct number_table writers, blocks;
};

static enum err take_registers(struct page_reader *page, struct flag_register *registers,
			       size_t *count)
{
	struct cursor *cursor = &page->cursor;
	uint64_t wanted = cursor_varint(cursor);

	if (wanted > FLAG_KEYWORD + KEYWORD_MAX)
		cursor_fail(cursor);
	for (*count = 0; *count < wanted && !cursor->err; ++*count) {
		struct flag_register *stamp = &registers[*count];

		*stamp = (struct flag_register){.flag = cursor_u8(cursor)};
		stamp->clock = cursor_varint(cursor);
		stamp->writer = take_number(cursor, &page->writers);
		if (stamp->flag >= FLAG_KEYWORD + KEYWORD_MAX || !stamp->clock)
			cursor_fail(cursor);
	}
	return cursor->err;
}

static void take_message_fields(struct page_reader *page, struct message_state *message,
				struct blob_ref *blob)
{
	struct cursor *cursor = &page->cursor;
	uint8_t flags = cursor_u8(cursor);
	uint64_t uid;

	if (flags & ~MESSAGE_FLAGS_ALL)
		cursor_fail(cursor);
	message->delivered = flags & MESSAGE_DELIVERED;
	message->id = cursor_id(cursor);
	uid = cursor_varint(cursor);
	if (!uid || uid > page->folder->messages.stamp_top)
		cursor_fail(cursor);
	message->uid = (uint32_t)uid;
	blob_ref_decode(cursor, blob);
	message->epoch = cursor_u32(cursor);
	cursor_copy(cursor, message->wrapped_key, WRAPPED_KEY_SIZE);
	message->size = cursor_varint(cursor);
	message->arrival_ms = cursor_varint(cursor);
	message->zone_minutes = (int16_t)cursor_u16(cursor);
	message->modseq = cursor_varint(cursor);
	message->system = cursor_u8(cursor);
	message->keywords[0] = cursor_varint(cursor);
	message->keywords[1] = cursor_varint(cursor);
	message->stamped = take_mark(cursor, &page->writers);
	message->touched = take_mark(cursor, &page->writers);
	message->created =
		flags & MESSAGE_RESTAMPED ? take_mark(cursor, &page->writers) : message->stamped;
	if (cursor_u8(cursor))
		message->cache = take_number(cursor, &page->blocks);
}

static enum err take_message(struct page_reader *page)
{
	struct flag_register registers[FLAG_KEYWORD + KEYWORD_MAX];
	struct message_state message = {.registers = SLOT_NONE};
	struct blob_ref blob;
	size_t register_count;
	enum err err;

	take_message_fields(page, &message, &blob);
	err = page->cursor.err;
	if (!err)
		err = take_registers(page, registers, &register_count);
	if (!err && collection_find(&page->folder->messages, message.id) != SLOT_NONE)
		err = ERR_CORRUPT;
	if (!err)
		err = collection_restore(&page->folder->messages, &message, &blob, registers,
					 register_count);
	if (!err && message.cache)
		summaries_count_block(page->summaries, message.cache);
	return err;
}

enum err message_page_decode(struct account_state *state, struct folder *folder,
			     struct summaries *summaries, struct bytes plain)
{
	struct page_reader page = {
		.cursor = cursor_make(plain), .folder = folder, .summaries = summaries};
	uint64_t count;
	enum err err;

	if (cursor_u8(&page.cursor) != PAGE_VERSION)
		return ERR_NEWER;
	err = take_table(&page.cursor, &page.writers, intern_writer, state);
	if (!err)
		err = take_table(&page.cursor, &page.blocks, intern_block, summaries);
	count = cursor_varint(&page.cursor);
	for (uint64_t i = 0; i < count && !err; i++)
		err = take_message(&page);
	if (!err)
		err = cursor_end(&page.cursor);
	memory_free(page.writers.numbers);
	memory_free(page.blocks.numbers);
	return err;
}

/* ---- list pages ---- */

enum list_kind { LIST_TRANSACTION = 1, LIST_TOMBSTONE = 2, LIST_SUPERSEDED = 3 };

static void put_tombstone(const struct account_state *state, const struct folder *folder,
			  size_t index, struct id_table *writers, struct buf *body)
{
	const struct tombstone *tombstone = &folder->messages.tombstones[index];

	buf_put_u8(body, LIST_TOMBSTONE);
	buf_put_id(body, folder->id);
	buf_put_id(body, tombstone->id);
	put_mark(writers, &state->writers, tombstone->expunged, body);
}

static void put_superseded(const struct folder *folder, size_t index, struct buf *body)
{
	const struct superseded *old = &folder->messages.superseded[index];

	buf_put_u8(body, LIST_SUPERSEDED);
	buf_put_id(body, folder->id);
	buf_put_varint(body, old->uid);
	buf_put_varint(body, folder->messages.slots[old->slot].uid);
}

/* Items are numbered: transactions first, then what each folder has. */
static bool put_list_item(const struct account_state *state, size_t item, struct id_table *writers,
			  struct buf *body)
{
	if (item < state->transaction_count) {
		buf_put_u8(body, LIST_TRANSACTION);
		buf_put_id(body, state->transactions[item].hash);
		buf_put_varint(body, state->transactions[item].arrival_ms);
		return true;
	}
	item -= state->transaction_count;
	for (size_t i = 0; i < state->folder_count; i++) {
		const struct folder *folder = state->folders[i];

		if (item < folder->messages.tombstone_count) {
			put_tombstone(state, folder, item, writers, body);
			return true;
		}
		item -= folder->messages.tombstone_count;
		if (item < folder->messages.superseded_count) {
			put_superseded(folder, item, body);
			return true;
		}
		item -= folder->messages.superseded_count;
	}
	return false;
}

void list_page_encode(const struct account_state *state, size_t *item, struct buf *out)
{
	struct id_table writers = {0};
	struct buf body = {0};

	for (size_t i = 0; i < LIST_ITEMS_MAX; i++) {
		if (!put_list_item(state, *item, &writers, &body)) {
			*item = SIZE_MAX;
			break;
		}
		++*item;
	}
	put_page(LIST_VERSION, &writers, NULL, &body, out);
	memory_free(writers.ids);
}

static enum err take_tombstone(struct cursor *cursor, struct folder *folder,
			       const struct number_table *writers)
{
	struct id128 message = cursor_id(cursor);
	struct entry_mark mark = take_mark(cursor, writers);

	return cursor->err ? cursor->err
			   : collection_restore_tombstone(&folder->messages, message, mark);
}

static enum err take_superseded(struct cursor *cursor, struct folder *folder)
{
	uint32_t uid = take_u32(cursor), current = take_u32(cursor);

	return cursor->err ? cursor->err
			   : collection_restore_superseded(&folder->messages, uid, current);
}

static enum err take_list_item(struct account_state *state, struct cursor *cursor,
			       const struct number_table *writers)
{
	uint8_t kind = cursor_u8(cursor);
	struct id128 id = cursor_id(cursor);
	struct folder *folder = kind == LIST_TRANSACTION ? NULL : account_state_folder(state, id);
	uint64_t arrival_ms;

	if (kind == LIST_TRANSACTION) {
		arrival_ms = cursor_varint(cursor);
		return cursor->err ? cursor->err
				   : account_state_put_transaction(state, id.octets, arrival_ms);
	}
	if (kind == LIST_TOMBSTONE && folder)
		return take_tombstone(cursor, folder, writers);
	if (kind == LIST_SUPERSEDED && folder)
		return take_superseded(cursor, folder);
	cursor_fail(cursor);
	return cursor->err;
}

enum err list_page_decode(struct account_state *state, struct bytes plain)
{
	struct cursor cursor = cursor_make(plain);
	struct number_table writers = {0};
	enum err err;

	if (cursor_u8(&cursor) != LIST_VERSION)
		return ERR_NEWER;
	err = take_table(&cursor, &writers, intern_writer, state);
	while (!err && cursor_left(&cursor))
		err = take_list_item(state, &cursor, &writers);
	memory_free(writers.numbers);
	return err ? err : cursor.err;
}

/* ---- the root ---- */

static void put_stamp(struct id_table *writers, const struct account_state *state,
		      struct stamp stamp, struct buf *body)
{
	buf_put_varint(body, stamp.clock);
	if (stamp.clock)
		put_id_number(writers, state->writers.ids[stamp.writer], body);
}

static struct stamp take_stamp(struct cursor *cursor, const struct number_table *writers)
{
	struct stamp stamp = {.clock = cursor_varint(cursor)};

	if (stamp.clock)
		stamp.writer = take_number(cursor, writers);
	return stamp;
}

static void put_removals(const struct collection *messages, struct id_table *writers,
			 struct buf *body)
{
	buf_put_varint(body, messages->removals.modseq);
	if (messages->removals.modseq)
		put_mark(writers, messages->writers, messages->removals.touched, body);
}

static void put_folder_messages(const struct collection *messages, struct id_table *writers,
				struct buf *body)
{
	buf_put_varint(body, messages->stamp_top);
	buf_put_varint(body, messages->reserve_top);
	buf_put_varint(body, messages->recent_floor);
	buf_put_varint(body, messages->highest_modseq);
	put_removals(messages, writers, body);
	buf_put_varint(body, messages->keyword_count);
	for (size_t i = 0; i < messages->keyword_count; i++)
		buf_put_block(body, bytes_string(messages->keywords[i]));
	buf_put_varint(body, messages->page_count);
	for (size_t i = 0; i < messages->page_count; i++) {
		buf_put_varint(body, messages->pages[i].first_uid);
		buf_put_id(body, messages->pages[i].page);
	}
}

static void put_folder(const struct account_state *state, const struct folder *folder,
		       struct id_table *writers, struct buf *body)
{
	buf_put_id(body, folder->id);
	buf_put_block(body, bytes_string(folder->name));
	put_stamp(writers, state, folder->name_stamp, body);
	buf_put_u8(body, (uint8_t)folder->special_use);
	buf_put_u8(body, folder->fixed);
	buf_put_u32(body, folder->uidvalidity);
	buf_put_varint(body, folder->key_count);
	for (size_t i = 0; i < folder->key_count; i++) {
		buf_put_u32(body, folder->keys[i].epoch);
		put_stamp(writers, state, folder->keys[i].stamp, body);
		buf_put(body, folder->keys[i].wrapped, WRAPPED_KEY_SIZE);
	}
	put_folder_messages(&folder->messages, writers, body);
}

static void put_blocks(const struct summaries *summaries, struct buf *body)
{
	size_t count, live = 0;
	const struct summary_block *blocks = summaries_blocks(summaries, &count);

	for (size_t i = 0; i < count; i++)
		live += blocks[i].live != 0;
	buf_put_varint(body, live);
	for (size_t i = 0; i < count; i++) {
		if (!blocks[i].live)
			continue;
		blob_ref_encode(&blocks[i].blob, body);
		buf_put(body, blocks[i].wrapped_key, WRAPPED_KEY_SIZE);
	}
}

static void put_horizons(const struct account_state *state, struct id_table *writers,
			 struct buf *body)
{
	buf_put_varint(body, state->horizons.count);
	for (size_t i = 0; i < state->horizons.count; i++) {
		const struct horizon *horizon = &state->horizons.items[i];

		put_mark(writers, &state->writers, horizon->from, body);
		buf_put_id(body, horizon->node);
		buf_put_u8(body, horizon->mended);
		vector_encode(&horizon->seen, body);
	}
}

static void put_account(const struct account_state *state, struct id_table *writers,
			struct buf *body)
{
	buf_put_varint(body, state->clock);
	buf_put_u32(body, state->uidvalidity_top);
	vector_encode(&state->applied, body);
	put_horizons(state, writers, body);
	buf_put_varint(body, state->drained_count);
	for (size_t i = 0; i < state->drained_count; i++) {
		buf_put_id(body, state->drained[i].incarnation);
		buf_put_varint(body, state->drained[i].seq);
		buf_put(body, state->drained[i].digest, sizeof(state->drained[i].digest));
	}
	buf_put_varint(body, state->deleted_count);
	for (size_t i = 0; i < state->deleted_count; i++)
		buf_put_id(body, state->deleted_folders[i]);
	buf_put_varint(body, state->subscription_count);
	for (size_t i = 0; i < state->subscription_count; i++) {
		buf_put_block(body, bytes_string(state->subscriptions[i].name));
		buf_put_u8(body, state->subscriptions[i].subscribed);
		put_stamp(writers, state, state->subscriptions[i].stamp, body);
	}
}

static void put_past_names(const struct past_names *names, struct buf *body)
{
	buf_put_u32(body, names->floor);
	buf_put_varint(body, names->count);
	for (size_t i = 0; i < names->count; i++) {
		buf_put_id(body, names->items[i].name);
		buf_put_id(body, names->items[i].folder);
		buf_put_u32(body, names->items[i].uidvalidity);
	}
}

void root_encode(const struct account_state *state, const struct summaries *summaries,
		 const struct id128 *list_pages, size_t list_page_count, struct buf *out)
{
	struct id_table writers = {0};
	struct buf body = {0};

	put_account(state, &writers, &body);
	put_blocks(summaries, &body);
	buf_put_varint(&body, list_page_count);
	for (size_t i = 0; i < list_page_count; i++)
		buf_put_id(&body, list_pages[i]);
	buf_put_varint(&body, state->folder_count);
	for (size_t i = 0; i < state->folder_count; i++)
		put_folder(state, state->folders[i], &writers, &body);
	put_past_names(&state->past_names, &body);
	put_page(ROOT_VERSION, &writers, NULL, &body, out);
	memory_free(writers.ids);
}

struct root_reader {
	struct cursor *cursor;
	struct account_state *state;
	struct summaries *summaries;
	struct root *root;
	struct number_table writers;
};

void root_finish(struct root *root)
{
	memory_free(root->pages);
	*root = (struct root){0};
}

static enum err root_put_page(struct root *root, struct id128 folder, struct id128 page)
{
	enum err err = ARRAY_GROW(root->pages, root->page_capacity, root->page_count);

	if (!err)
		root->pages[root->page_count++] = (struct root_page){folder, page};
	return err;
}

static enum err take_horizons(struct root_reader *reader)
{
	struct cursor *cursor = reader->cursor;
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct horizon horizon = {.from = take_mark(cursor, &reader->writers)};

		horizon.node = cursor_id(cursor);
		horizon.mended = cursor_u8(cursor);
		err = vector_decode(cursor, &horizon.seen);
		if (!err)
			err = horizons_add(&reader->state->horizons, &horizon);
		if (err)
			vector_finish(&horizon.seen);
	}
	return err ? err : cursor->err;
}

static enum err take_account(struct root_reader *reader)
{
	struct cursor *cursor = reader->cursor;
	struct account_state *state = reader->state;
	uint64_t count;
	enum err err;

	state->clock = cursor_varint(cursor);
	state->uidvalidity_top = cursor_u32(cursor);
	err = vector_decode(cursor, &state->applied);
	if (!err)
		err = take_horizons(reader);
	count = cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct operation_drained drained = {.incarnation = cursor_id(cursor)};

		drained.seq = cursor_varint(cursor);
		cursor_copy(cursor, drained.digest, sizeof(drained.digest));
		err = cursor->err ? cursor->err : account_state_put_drained(state, &drained);
	}
	count = cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++)
		err = account_state_put_deleted(state, cursor_id(cursor));
	count = cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct bytes name = cursor_block(cursor);
		bool subscribed = cursor_u8(cursor);
		struct stamp stamp = take_stamp(cursor, &reader->writers);

		err = cursor->err ? cursor->err
				  : account_state_put_subscription(state, name, subscribed, stamp);
	}
	return err ? err : cursor->err;
}

static enum err take_blocks(struct root_reader *reader)
{
	struct cursor *cursor = reader->cursor;
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct summary_block block = {.live = 0};
		uint32_t number;

		blob_ref_decode(cursor, &block.blob);
		cursor_copy(cursor, block.wrapped_key, WRAPPED_KEY_SIZE);
		if (!cursor->err)
			err = summaries_add_block(reader->summaries, &block, &number);
	}
	return err ? err : cursor->err;
}

static enum err take_keys(struct root_reader *reader, struct folder *folder)
{
	struct cursor *cursor = reader->cursor;
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct folder_key key = {.epoch = cursor_u32(cursor)};

		key.stamp = take_stamp(cursor, &reader->writers);
		cursor_copy(cursor, key.wrapped, WRAPPED_KEY_SIZE);
		err = cursor->err ? cursor->err : folder_put_key(folder, &key);
	}
	return err ? err : cursor->err;
}

static enum err take_pages(struct root_reader *reader, struct folder *folder)
{
	struct cursor *cursor = reader->cursor;
	struct collection *messages = &folder->messages;
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct page_range range = {.first_uid = take_u32(cursor)};

		range.page = cursor_id(cursor);
		err = cursor->err ? cursor->err
				  : put_range(&messages->pages, &messages->page_count,
					      &messages->page_capacity, range);
		if (!err)
			err = root_put_page(reader->root, folder->id, range.page);
	}
	return err ? err : cursor->err;
}

static enum err take_folder(struct root_reader *reader)
{
	struct cursor *cursor = reader->cursor;
	struct id128 id = cursor_id(cursor);
	struct bytes name = cursor_block(cursor);
	struct folder *folder;
	uint64_t keywords;
	enum err err = cursor->err;

	if (!err)
		err = account_state_make_folder(reader->state, id, &folder);
	if (!err)
		err = folder_set_name(folder, name);
	if (err)
		return err == ERR_EXISTS ? ERR_CORRUPT : err;
	folder->name_stamp = take_stamp(cursor, &reader->writers);
	folder->special_use = (enum special_use)cursor_u8(cursor);
	folder->fixed = cursor_u8(cursor);
	folder->uidvalidity = cursor_u32(cursor);
	err = take_keys(reader, folder);
	folder->messages.stamp_top = take_u32(cursor);
	folder->messages.reserve_top = take_u32(cursor);
	folder->messages.recent_floor = take_u32(cursor);
	folder->messages.highest_modseq = cursor_varint(cursor);
	folder->messages.removals.modseq = cursor_varint(cursor);
	if (folder->messages.removals.modseq)
		folder->messages.removals.touched = take_mark(cursor, &reader->writers);
	keywords = cursor_varint(cursor);
	for (uint64_t i = 0; i < keywords && !err && !cursor->err; i++) {
		struct bytes keyword = cursor_block(cursor);
		size_t bit;

		err = cursor->err ? cursor->err
				  : collection_make_keyword(&folder->messages, keyword, &bit);
	}
	if (!err)
		err = take_pages(reader, folder);
	return err ? err : cursor->err;
}

static enum err take_past_names(struct cursor *cursor, struct past_names *out)
{
	uint64_t count;
	enum err err = ERR_OK;

	past_names_raise_floor(out, cursor_u32(cursor));
	count = cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct past_name item = {.name = cursor_id(cursor)};

		item.folder = cursor_id(cursor);
		item.uidvalidity = cursor_u32(cursor);
		err = cursor->err ? cursor->err : past_names_join(out, &item);
	}
	return err ? err : cursor->err;
}

enum err root_decode(struct cursor *cursor, struct account_state *state,
		     struct summaries *summaries, struct root *out)
{
	struct root_reader reader = {
		.cursor = cursor, .state = state, .summaries = summaries, .root = out};
	uint8_t version = cursor_u8(cursor);
	uint64_t count;
	enum err err;

	if (version != ROOT_VERSION && version != ROOT_VERSION_WITHOUT_NAMES)
		return ERR_NEWER;
	err = take_table(cursor, &reader.writers, intern_writer, state);
	if (!err)
		err = take_account(&reader);
	if (!err)
		err = take_blocks(&reader);
	count = err ? 0 : cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++)
		err = root_put_page(out, ID128_ZERO, cursor_id(cursor));
	count = err ? 0 : cursor_varint(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++)
		err = take_folder(&reader);
	if (version == ROOT_VERSION_WITHOUT_NAMES)
		past_names_raise_floor(&state->past_names, state->uidvalidity_top);
	else if (!err)
		err = take_past_names(cursor, &state->past_names);
	memory_free(reader.writers.numbers);
	return err ? err : cursor->err;
}
