/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/operation.h"

#include <string.h>

#include "engine/base/memory.h"

#define ENTRY_VERSION 1u

enum head_flag {
	HEAD_HAS_CONTEXT = 1,
	HEAD_MENDED = 2,
	HEAD_CONTINUES = 4,
	HEAD_CONTINUED = 8,
	HEAD_FLAGS_ALL = 15
};

enum add_flag { ADD_DELIVERED = 1, ADD_FLAGS_ALL = 1 };
enum folder_flag { FOLDER_FIXED = 1, FOLDER_FLAGS_ALL = 1 };

/* ---- encoding ---- */

static void runs_encode(const struct operation *operation, struct buf *out)
{
	uint32_t end = 0;

	buf_put_varint(out, operation->run_count);
	for (size_t i = 0; i < operation->run_count; i++) {
		buf_put_varint(out, operation->runs[i].first - end);
		buf_put_varint(out, operation->runs[i].count);
		end = operation->runs[i].first + operation->runs[i].count;
	}
}

static void names_encode(const struct name_list *list, struct buf *out)
{
	buf_put_varint(out, list->count);
	buf_put_bytes(out, list->encoded);
}

static void add_encode(const struct operation_add *add, struct buf *out)
{
	buf_put_u8(out, add->delivered ? ADD_DELIVERED : 0);
	buf_put_id(out, add->id);
	buf_put_varint(out, add->uid);
	blob_ref_encode(&add->blob, out);
	buf_put_u32(out, add->epoch);
	buf_put(out, add->wrapped_key, WRAPPED_KEY_SIZE);
	buf_put_varint(out, add->size);
	buf_put_varint(out, add->arrival_ms);
	buf_put_u16(out, (uint16_t)add->zone_minutes);
	buf_put_u8(out, add->system);
	names_encode(&add->keywords, out);
	if (add->delivered)
		buf_put(out, add->transaction_hash, sizeof(add->transaction_hash));
	buf_put_id(out, add->cache);
	buf_put_block(out, add->summary);
}

void operation_encode(const struct operation *operation, struct buf *out)
{
	buf_put_u8(out, (uint8_t)operation->kind);
	buf_put_id(out, operation->folder);
	switch (operation->kind) {
	case OPERATION_FOLDER:
		buf_put_u8(out, operation->create.fixed ? FOLDER_FIXED : 0);
		buf_put_u8(out, operation->create.special_use);
		buf_put_u32(out, operation->create.uidvalidity);
		buf_put_block(out, operation->create.name);
		break;
	case OPERATION_FOLDER_NAME:
		buf_put_block(out, operation->name);
		break;
	case OPERATION_FOLDER_DELETE:
		break;
	case OPERATION_FOLDER_KEY:
		buf_put_u32(out, operation->key.epoch);
		buf_put(out, operation->key.wrapped, WRAPPED_KEY_SIZE);
		break;
	case OPERATION_SUBSCRIBE:
		buf_put_u8(out, operation->subscribe.subscribed);
		buf_put_block(out, operation->subscribe.name);
		break;
	case OPERATION_ADD:
		add_encode(&operation->add, out);
		break;
	case OPERATION_EXPUNGE:
	case OPERATION_TOUCH:
		runs_encode(operation, out);
		break;
	case OPERATION_FLAGS:
		runs_encode(operation, out);
		buf_put_u8(out, operation->flags.system_set);
		buf_put_u8(out, operation->flags.system_clear);
		names_encode(&operation->flags.keywords_set, out);
		names_encode(&operation->flags.keywords_clear, out);
		break;
	case OPERATION_STAMP:
		buf_put_varint(out, operation->stamp.old_uid);
		buf_put_varint(out, operation->stamp.new_uid);
		break;
	case OPERATION_RESERVE:
	case OPERATION_RECENT:
		buf_put_varint(out, operation->uid);
		break;
	case OPERATION_DRAINED:
		buf_put_id(out, operation->drained.incarnation);
		buf_put_varint(out, operation->drained.seq);
		buf_put(out, operation->drained.digest, sizeof(operation->drained.digest));
		break;
	case OPERATION_DROPPED:
		buf_put_id(out, operation->dropped);
		break;
	case OPERATION_CACHE:
		blob_ref_encode(&operation->cache.blob, out);
		buf_put(out, operation->cache.wrapped_key, WRAPPED_KEY_SIZE);
		break;
	}
}

void name_list_make(const struct bytes *names, size_t count, struct buf *storage,
		    struct name_list *out)
{
	size_t start = storage->size;

	for (size_t i = 0; i < count; i++)
		buf_put_block(storage, names[i]);
	*out = (struct name_list){
		.encoded = bytes_slice(bytes_of_buf(storage), start, SIZE_MAX),
		.count = storage->err ? 0 : count,
	};
}

struct cursor name_list_cursor(const struct name_list *list)
{
	return cursor_make(list->encoded);
}

void operation_head_encode(const struct operation_head *head, struct buf *out)
{
	bool mended = head->context && head->mended;

	buf_put_u8(out, ENTRY_VERSION);
	buf_put_u8(out,
		   (uint8_t)((head->context ? HEAD_HAS_CONTEXT : 0) | (mended ? HEAD_MENDED : 0) |
			     (head->continues ? HEAD_CONTINUES : 0) |
			     (head->continued ? HEAD_CONTINUED : 0)));
	buf_put_u64(out, head->clock);
	buf_put(out, head->previous, sizeof(head->previous));
	if (head->context) {
		buf_put_id(out, head->node);
		vector_encode(head->context, out);
	}
	if (mended) {
		buf_put_varint(out, head->ended_count);
		for (size_t i = 0; i < head->ended_count; i++)
			buf_put_id(out, head->ended[i]);
	}
}

/* ---- decoding ---- */

static enum err ended_decode(struct operation_reader *reader)
{
	struct cursor *cursor = &reader->cursor;
	uint64_t count = cursor_varint(cursor);

	if (count > cursor_left(cursor) / sizeof(struct id128))
		cursor_fail(cursor);
	reader->mended = true;
	if (cursor->err || !count)
		return cursor->err;
	reader->ended = memory_array((size_t)count, sizeof(*reader->ended));
	if (!reader->ended)
		return ERR_NOMEM;
	while (reader->ended_count < count)
		reader->ended[reader->ended_count++] = cursor_id(cursor);
	return cursor->err;
}

static enum err context_decode(struct operation_reader *reader, uint8_t flags)
{
	enum err err;

	reader->node = cursor_id(&reader->cursor);
	err = vector_decode(&reader->cursor, &reader->context);
	reader->has_context = !err;
	return err || !(flags & HEAD_MENDED) ? err : ended_decode(reader);
}

enum err operation_reader_begin(struct bytes plain, struct operation_reader *reader)
{
	uint8_t version, flags;

	*reader = (struct operation_reader){.cursor = cursor_make(plain)};
	version = cursor_u8(&reader->cursor);
	if (version > ENTRY_VERSION)
		return ERR_NEWER;
	flags = cursor_u8(&reader->cursor);
	reader->clock = cursor_u64(&reader->cursor);
	cursor_copy(&reader->cursor, reader->previous, sizeof(reader->previous));
	if (version != ENTRY_VERSION || flags & ~HEAD_FLAGS_ALL || !reader->clock ||
	    reader->clock > INT64_MAX || (flags & HEAD_MENDED && !(flags & HEAD_HAS_CONTEXT)))
		cursor_fail(&reader->cursor);
	reader->continues = flags & HEAD_CONTINUES;
	reader->continued = flags & HEAD_CONTINUED;
	if (!reader->cursor.err && flags & HEAD_HAS_CONTEXT)
		return context_decode(reader, flags);
	return reader->cursor.err;
}

static uint32_t uid_decode(struct cursor *cursor)
{
	uint64_t uid = cursor_varint(cursor);

	if (!uid || uid > UINT32_MAX)
		cursor_fail(cursor);
	return cursor->err ? 0 : (uint32_t)uid;
}

static enum err runs_reserve(struct operation_reader *reader, size_t count)
{
	struct uid_run *grown;

	if (count <= reader->run_capacity)
		return ERR_OK;
	grown = memory_array(count, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	memory_free(reader->runs);
	reader->runs = grown;
	reader->run_capacity = count;
	return ERR_OK;
}

static enum err runs_decode(struct operation_reader *reader, struct operation *out)
{
	struct cursor *cursor = &reader->cursor;
	uint64_t count = cursor_varint(cursor), end = 0;
	enum err err;

	/* A run takes two bytes at least: no count makes us allocate more than the input allows. */
	if (count > RUNS_MAX || count > cursor_left(cursor) / 2)
		cursor_fail(cursor);
	if (cursor->err)
		return cursor->err;
	err = runs_reserve(reader, (size_t)count);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		uint64_t gap = cursor_varint(cursor), length = cursor_varint(cursor);

		if (gap > UINT32_MAX || !length || length > UINT32_MAX ||
		    end + gap + length > UINT32_MAX || !(end + gap))
			cursor_fail(cursor);
		if (cursor->err)
			return cursor->err;
		reader->runs[i] = (struct uid_run){(uint32_t)(end + gap), (uint32_t)length};
		end += gap + length;
	}
	out->runs = reader->runs;
	out->run_count = (size_t)count;
	return ERR_OK;
}

static void names_decode(struct cursor *cursor, struct name_list *out)
{
	uint64_t count = cursor_varint(cursor);
	size_t start = cursor->offset;

	if (count > cursor_left(cursor))
		cursor_fail(cursor);
	for (uint64_t i = 0; i < count && !cursor->err; i++) {
		struct bytes name = cursor_block(cursor);

		if (!name.size || name.size > KEYWORD_NAME_MAX)
			cursor_fail(cursor);
	}
	if (cursor->err)
		return;
	*out = (struct name_list){{cursor->data + start, cursor->offset - start}, (size_t)count};
}

static void add_decode(struct cursor *cursor, struct operation_add *add)
{
	uint8_t flags = cursor_u8(cursor);

	if (flags & ~ADD_FLAGS_ALL)
		cursor_fail(cursor);
	add->delivered = flags & ADD_DELIVERED;
	add->id = cursor_id(cursor);
	add->uid = uid_decode(cursor);
	blob_ref_decode(cursor, &add->blob);
	add->epoch = cursor_u32(cursor);
	cursor_copy(cursor, add->wrapped_key, WRAPPED_KEY_SIZE);
	add->size = cursor_varint(cursor);
	add->arrival_ms = cursor_varint(cursor);
	add->zone_minutes = (int16_t)cursor_u16(cursor);
	add->system = cursor_u8(cursor);
	names_decode(cursor, &add->keywords);
	if (add->delivered)
		cursor_copy(cursor, add->transaction_hash, sizeof(add->transaction_hash));
	add->cache = cursor_id(cursor);
	add->summary = cursor_block(cursor);
}

static struct bytes folder_name_decode(struct cursor *cursor)
{
	struct bytes name = cursor_block(cursor);

	if (!name.size || name.size > FOLDER_NAME_MAX || memchr(name.data, 0, name.size))
		cursor_fail(cursor);
	return name;
}

static void create_decode(struct cursor *cursor, struct operation_folder *create)
{
	uint8_t flags = cursor_u8(cursor);

	if (flags & ~FOLDER_FLAGS_ALL)
		cursor_fail(cursor);
	create->fixed = flags & FOLDER_FIXED;
	create->special_use = cursor_u8(cursor);
	create->uidvalidity = cursor_u32(cursor);
	create->name = folder_name_decode(cursor);
	if (!create->uidvalidity)
		cursor_fail(cursor);
}

/* One value, one byte string: nothing but 0 and 1. */
static bool decode_bool(struct cursor *cursor)
{
	uint8_t value = cursor_u8(cursor);

	if (value > 1)
		cursor_fail(cursor);
	return value == 1;
}

static enum err body_decode(struct operation_reader *reader, struct operation *out)
{
	struct cursor *cursor = &reader->cursor;
	enum err err = ERR_OK;

	switch (out->kind) {
	case OPERATION_FOLDER:
		create_decode(cursor, &out->create);
		break;
	case OPERATION_FOLDER_NAME:
		out->name = folder_name_decode(cursor);
		break;
	case OPERATION_FOLDER_DELETE:
		break;
	case OPERATION_FOLDER_KEY:
		out->key.epoch = cursor_u32(cursor);
		cursor_copy(cursor, out->key.wrapped, WRAPPED_KEY_SIZE);
		break;
	case OPERATION_SUBSCRIBE:
		out->subscribe.subscribed = decode_bool(cursor);
		out->subscribe.name = folder_name_decode(cursor);
		break;
	case OPERATION_ADD:
		add_decode(cursor, &out->add);
		break;
	case OPERATION_EXPUNGE:
	case OPERATION_TOUCH:
		err = runs_decode(reader, out);
		break;
	case OPERATION_FLAGS:
		err = runs_decode(reader, out);
		out->flags.system_set = cursor_u8(cursor);
		out->flags.system_clear = cursor_u8(cursor);
		names_decode(cursor, &out->flags.keywords_set);
		names_decode(cursor, &out->flags.keywords_clear);
		break;
	case OPERATION_STAMP:
		out->stamp.old_uid = uid_decode(cursor);
		out->stamp.new_uid = uid_decode(cursor);
		break;
	case OPERATION_RESERVE:
	case OPERATION_RECENT:
		out->uid = uid_decode(cursor);
		break;
	case OPERATION_DRAINED:
		out->drained.incarnation = cursor_id(cursor);
		out->drained.seq = cursor_varint(cursor);
		cursor_copy(cursor, out->drained.digest, sizeof(out->drained.digest));
		break;
	case OPERATION_DROPPED:
		out->dropped = cursor_id(cursor);
		break;
	case OPERATION_CACHE:
		blob_ref_decode(cursor, &out->cache.blob);
		cursor_copy(cursor, out->cache.wrapped_key, WRAPPED_KEY_SIZE);
		break;
	default:
		/* Not known to this version: without it the state would be another. */
		return ERR_NEWER;
	}
	return err;
}

enum err operation_reader_next(struct operation_reader *reader, struct operation *out, bool *more)
{
	enum err err;

	*more = false;
	if (reader->cursor.err)
		return reader->cursor.err;
	if (!cursor_left(&reader->cursor))
		return ERR_OK;
	*out = (struct operation){.kind = (enum operation_kind)cursor_u8(&reader->cursor)};
	out->folder = cursor_id(&reader->cursor);
	err = body_decode(reader, out);
	if (!err)
		err = reader->cursor.err;
	if (!err)
		*more = true;
	return err;
}

void operation_reader_finish(struct operation_reader *reader)
{
	vector_finish(&reader->context);
	memory_free(reader->ended);
	memory_free(reader->runs);
	*reader = (struct operation_reader){0};
}
