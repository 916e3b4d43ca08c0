/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/summaries.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/map.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

#define BLOCK_VERSION 1u
#define BLOCK_SIZE_MAX (64u * 1024 * 1024)

/* A block in memory: its plaintext, and where each summary is in it. */
struct decoded {
	uint32_t number; /* 0: empty */
	uint64_t used;
	struct buf plain;
	struct map offsets; /* blob id -> offset of its block in plain, plus 1 */
};

struct summaries {
	struct env *env;
	struct blobs *blobs;
	struct id128 tag;
	struct summary_block *blocks;
	size_t block_count, block_capacity;
	struct map waiting; /* blob id -> struct buf */
	size_t waiting_bytes;
	struct decoded lru[SUMMARY_LRU_BLOCKS];
	uint64_t use;
};

enum err summaries_create(struct env *env, struct blobs *blobs, struct id128 tag,
			  struct summaries **out)
{
	struct summaries *summaries = memory_allocate(sizeof(*summaries));

	if (!summaries)
		return ERR_NOMEM;
	summaries->env = env;
	summaries->blobs = blobs;
	summaries->tag = tag;
	map_init(&summaries->waiting, sizeof(struct id128));
	for (size_t i = 0; i < SUMMARY_LRU_BLOCKS; i++)
		map_init(&summaries->lru[i].offsets, sizeof(struct id128));
	*out = summaries;
	return ERR_OK;
}

static void forget_decoded(struct decoded *decoded)
{
	buf_finish(&decoded->plain);
	map_finish(&decoded->offsets);
	decoded->number = 0;
}

void summaries_destroy(struct summaries **summaries)
{
	size_t position = 0;
	struct buf *waiting;

	if (!*summaries)
		return;
	while ((waiting = map_next(&(*summaries)->waiting, &position, NULL))) {
		buf_finish(waiting);
		memory_free(waiting);
	}
	map_finish(&(*summaries)->waiting);
	for (size_t i = 0; i < SUMMARY_LRU_BLOCKS; i++)
		forget_decoded(&(*summaries)->lru[i]);
	memory_free((*summaries)->blocks);
	memory_free(*summaries);
	*summaries = NULL;
}

/* ---- blocks ---- */

const struct summary_block *summaries_blocks(const struct summaries *summaries, size_t *count)
{
	*count = summaries->block_count;
	return summaries->blocks;
}

uint32_t summaries_find_block(const struct summaries *summaries, struct id128 block)
{
	for (size_t i = summaries->block_count; i; i--) {
		if (id128_equal(summaries->blocks[i - 1].blob.id, block))
			return (uint32_t)i;
	}
	return 0;
}

enum err summaries_add_block(struct summaries *summaries, const struct summary_block *block,
			     uint32_t *number)
{
	enum err err;

	*number = summaries_find_block(summaries, block->blob.id);
	if (*number)
		return ERR_OK;
	err = ARRAY_GROW(summaries->blocks, summaries->block_capacity, summaries->block_count);
	if (err)
		return err;
	summaries->blocks[summaries->block_count] = *block;
	summaries->blocks[summaries->block_count].live = 0;
	*number = (uint32_t)++summaries->block_count;
	return ERR_OK;
}

void summaries_count_block(struct summaries *summaries, uint32_t number)
{
	ASSERT(number && number <= summaries->block_count);
	summaries->blocks[number - 1].live++;
}

/* ---- what waits ---- */

size_t summaries_pending(const struct summaries *summaries)
{
	return summaries->waiting_bytes;
}

struct bytes summaries_waiting(const struct summaries *summaries, struct id128 blob)
{
	const struct buf *waiting = map_get(&summaries->waiting, &blob);

	return waiting ? bytes_of_buf(waiting) : (struct bytes){NULL, 0};
}

enum err summaries_put(struct summaries *summaries, struct id128 blob, struct bytes encoded)
{
	struct buf *copy;
	enum err err;

	/* Beyond the limit it is computed from the message when it is asked for. */
	if (map_get(&summaries->waiting, &blob) || summaries->waiting_bytes > SUMMARY_PENDING_MAX)
		return ERR_OK;
	copy = memory_allocate(sizeof(*copy));
	if (!copy)
		return ERR_NOMEM;
	buf_put_bytes(copy, encoded);
	err = copy->err ? copy->err : map_put(&summaries->waiting, &blob, copy);
	if (err) {
		buf_finish(copy);
		memory_free(copy);
		return err;
	}
	summaries->waiting_bytes += encoded.size;
	return ERR_OK;
}

void summaries_drop_waiting(struct summaries *summaries, struct id128 blob)
{
	struct buf *waiting = map_remove(&summaries->waiting, &blob);

	if (!waiting)
		return;
	summaries->waiting_bytes -= waiting->size;
	buf_finish(waiting);
	memory_free(waiting);
}

enum err summaries_keep_waiting(struct summaries *summaries, const struct map *named)
{
	struct buf orphans = {0};
	size_t position = 0;
	const void *blob;
	enum err err;

	while (map_next(&summaries->waiting, &position, &blob)) {
		if (!map_get(named, blob))
			buf_put(&orphans, blob, sizeof(struct id128));
	}
	err = orphans.err;
	for (size_t at = 0; !err && at < orphans.size; at += sizeof(struct id128)) {
		struct id128 orphan;

		memcpy(&orphan, orphans.data + at, sizeof(orphan));
		summaries_drop_waiting(summaries, orphan);
	}
	buf_finish(&orphans);
	return err;
}

enum err summaries_added(void *context, const struct operation_add *add, uint32_t *cache)
{
	struct summaries *summaries = context;

	*cache = id128_is_zero(add->cache) ? 0 : summaries_find_block(summaries, add->cache);
	if (*cache) {
		summaries_count_block(summaries, *cache);
		return ERR_OK;
	}
	if (!add->summary.size)
		return ERR_OK;
	return summaries_put(summaries, add->blob.id, add->summary);
}

enum err summaries_block(void *context, const struct operation *operation)
{
	struct summary_block block = {.blob = operation->cache.blob};
	uint32_t number;

	memcpy(block.wrapped_key, operation->cache.wrapped_key, WRAPPED_KEY_SIZE);
	return summaries_add_block(context, &block, &number);
}

/* A waiting summary stays: a copy may want it. The next snapshot drops what nobody has. */
void summaries_removed(void *context, const struct message_state *message)
{
	struct summaries *summaries = context;

	if (message->cache)
		summaries->blocks[message->cache - 1].live--;
}

/* ---- writing a block ---- */

static struct sealed_name name_of(const struct summaries *summaries, struct id128 blob)
{
	return (struct sealed_name){
		.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
		.type = SEALED_CACHE,
		.account_tag = summaries->tag,
		.blob = blob,
	};
}

static WAITS enum err seal_and_upload(struct blob_sealer *sealer, struct blob_upload *upload,
				      struct bytes plain, struct blob_ref *ref)
{
	struct buf frames = {0};
	enum err err = blob_sealer_update(sealer, plain, &frames);

	if (!err)
		err = blob_sealer_finish(sealer, &frames);
	if (!err)
		err = blob_upload_write(upload, bytes_of_buf(&frames));
	if (!err)
		err = blob_upload_finish(upload, ref);
	buf_finish(&frames);
	return err;
}

void summaries_block_encode(const struct summary_item *items, size_t count, struct buf *out)
{
	buf_put_u8(out, BLOCK_VERSION);
	buf_put_varint(out, count);
	for (size_t i = 0; i < count; i++) {
		buf_put_id(out, items[i].blob);
		buf_put_block(out, items[i].encoded);
	}
}

enum err summaries_write_block(struct summaries *summaries, const struct key *directory,
			       const struct summary_item *items, size_t count,
			       struct summary_block *out)
{
	struct id128 id = env_random_id(summaries->env);
	struct sealed_name name = name_of(summaries, id);
	struct blob_sealer *sealer = NULL;
	struct blob_upload *upload = NULL;
	struct buf plain = {0};
	enum err err;

	summaries_block_encode(items, count, &plain);
	err = plain.err;
	if (!err)
		err = blob_sealer_create(summaries->env, &name, &sealer);
	/* Before anything waits: `directory` may go when the account's keys change. */
	if (!err)
		key_wrap(directory, LABEL_CACHE_KEY, bytes_make(id.octets, sizeof(id.octets)),
			 blob_sealer_key(sealer), out->wrapped_key);
	if (!err)
		err = blob_upload_open(summaries->blobs, id, summaries->tag, &upload);
	if (!err)
		err = seal_and_upload(sealer, upload, bytes_of_buf(&plain), &out->blob);
	out->live = 0;
	buf_finish(&plain);
	blob_sealer_destroy(&sealer);
	blob_upload_release(&upload);
	return err;
}

/* ---- reading ---- */

struct source {
	struct blobs *blobs;
	const struct blob_ref *ref;
};

static WAITS enum err read_source(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	const struct source *source = context;
	enum err err = blob_lend(source->blobs, source->ref, offset, size, out);

	/* The message is here; what is not there any more is its text. */
	return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
}

enum err summaries_block_decode(struct bytes plain, struct map *offsets)
{
	struct cursor cursor = cursor_make(plain);
	uint64_t count;
	enum err err = ERR_OK;

	if (cursor_u8(&cursor) != BLOCK_VERSION)
		return ERR_NEWER;
	count = cursor_varint(&cursor);
	for (uint64_t i = 0; i < count && !err && !cursor.err; i++) {
		struct id128 blob = cursor_id(&cursor);
		size_t offset = cursor.offset;

		cursor_block(&cursor);
		if (!cursor.err)
			err = map_put(offsets, &blob, (void *)(uintptr_t)(offset + 1));
	}
	return err ? err : cursor_end(&cursor);
}

static struct decoded *find_decoded(struct summaries *summaries, uint32_t number)
{
	for (size_t i = 0; i < SUMMARY_LRU_BLOCKS; i++) {
		if (summaries->lru[i].number == number)
			return &summaries->lru[i];
	}
	return NULL;
}

static struct decoded *oldest_decoded(struct summaries *summaries)
{
	struct decoded *oldest = &summaries->lru[0];

	for (size_t i = 1; i < SUMMARY_LRU_BLOCKS; i++) {
		if (summaries->lru[i].used < oldest->used)
			oldest = &summaries->lru[i];
	}
	return oldest;
}

static WAITS enum err open_block(struct summaries *summaries, const struct summary_block *block,
				 const uint8_t key[KEY_SIZE], struct buf *plain)
{
	struct sealed_name name = name_of(summaries, block->blob.id);
	struct source source = {summaries->blobs, &block->blob};

	return blob_open_range(&name, key, block->blob.size, read_source, &source, 0,
			       BLOCK_SIZE_MAX, plain);
}

static WAITS enum err decode_block(struct summaries *summaries, uint32_t number,
				   const uint8_t key[KEY_SIZE], struct decoded **out)
{
	struct summary_block block = summaries->blocks[number - 1];
	struct buf plain = {0};
	enum err err = open_block(summaries, &block, key, &plain);

	if (err) {
		buf_finish(&plain);
		return err;
	}
	/* Somebody else may have read it while this waited. */
	*out = find_decoded(summaries, number);
	if (*out) {
		buf_finish(&plain);
		return ERR_OK;
	}
	*out = oldest_decoded(summaries);
	forget_decoded(*out);
	(*out)->plain = plain;
	map_init(&(*out)->offsets, sizeof(struct id128));
	err = summaries_block_decode(bytes_of_buf(&(*out)->plain), &(*out)->offsets);
	if (err)
		forget_decoded(*out);
	else
		(*out)->number = number;
	return err;
}

enum err summaries_read(struct summaries *summaries, uint32_t number, struct id128 blob,
			enum err (*unwrap)(void *context, const struct summary_block *block,
					   uint8_t key[KEY_SIZE]),
			void *context, struct buf *out)
{
	struct decoded *decoded = find_decoded(summaries, number);
	uint8_t key[KEY_SIZE];
	uintptr_t offset;
	struct cursor cursor;
	enum err err = ERR_OK;

	ASSERT(number && number <= summaries->block_count);
	if (!decoded) {
		err = unwrap(context, &summaries->blocks[number - 1], key);
		if (!err)
			err = decode_block(summaries, number, key, &decoded);
		memory_wipe(key, sizeof(key));
	}
	if (err)
		return err;
	decoded->used = ++summaries->use;
	offset = (uintptr_t)map_get(&decoded->offsets, &blob);
	if (!offset)
		return ERR_NOTFOUND;
	cursor = cursor_make(bytes_slice(bytes_of_buf(&decoded->plain), offset - 1, SIZE_MAX));
	buf_put_bytes(out, cursor_block(&cursor));
	return out->err;
}
