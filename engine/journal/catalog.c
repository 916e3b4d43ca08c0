/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/catalog.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define CATALOG_VERSION 2u
#define KEY_STREAM_SIZE 18u
#define KEY_CHUNK_SIZE 29u

static const char checkpoint_key[] = "P";

static struct bytes key_checkpoint(void)
{
	return bytes_string(checkpoint_key);
}

static void key_stream(struct id128 id, uint8_t out[KEY_STREAM_SIZE])
{
	out[0] = 'S';
	out[1] = layout_group(id);
	memcpy(out + 2, id.octets, 16);
}

static void store_big_endian(uint8_t *to, uint64_t value, size_t size)
{
	for (size_t i = size; i-- > 0; value >>= 8)
		to[i] = (uint8_t)value;
}

static uint64_t load_big_endian(const uint8_t *from, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | from[i];
	return value;
}

static void key_chunk(struct id128 id, size_t incarnation_index, uint64_t chunk,
		      uint8_t out[KEY_CHUNK_SIZE])
{
	out[0] = 'E';
	memcpy(out + 1, id.octets, 16);
	store_big_endian(out + 17, incarnation_index, 4);
	store_big_endian(out + 21, chunk, 8);
}

enum err catalog_open(struct catalog *catalog, struct env *env, const char *path,
		      struct id128 volume, struct ledger *ledger)
{
	*catalog = (struct catalog){.env = env, .volume = volume, .ledger = ledger};
	map_init(&catalog->streams, sizeof(struct id128));
	return env_index_open(env, path, &catalog->index);
}

static void forget_streams(struct catalog *catalog)
{
	struct stream *stream;
	size_t position = 0;

	while ((stream = map_next(&catalog->streams, &position, NULL)) != NULL)
		stream_destroy(&stream);
	map_finish(&catalog->streams);
	map_init(&catalog->streams, sizeof(struct id128));
}

void catalog_close(struct catalog *catalog)
{
	forget_streams(catalog);
	map_finish(&catalog->streams);
	if (catalog->index != NULL)
		env_index_close(catalog->env, catalog->index);
	catalog->index = NULL;
}

enum err catalog_load(struct catalog *catalog, struct buf *owner_part)
{
	struct buf value = {0};
	struct cursor cursor;
	uint64_t digests[LAYOUT_GROUP_COUNT];
	enum err err = env_index_get(catalog->env, catalog->index, key_checkpoint(), &value);

	if (err != ERR_OK)
		goto out;
	cursor = cursor_make(bytes_of_buf(&value));
	if (cursor_u8(&cursor) != CATALOG_VERSION ||
	    !id128_equal(cursor_id(&cursor), catalog->volume)) {
		err = ERR_NOTFOUND;
		goto out;
	}
	for (size_t i = 0; i < LAYOUT_GROUP_COUNT; i++)
		digests[i] = cursor_u64(&cursor);
	if (cursor.err != ERR_OK) {
		err = ERR_NOTFOUND;
		goto out;
	}
	memcpy(catalog->digests, digests, sizeof(digests));
	buf_put_bytes(owner_part, cursor_take(&cursor, cursor_left(&cursor)));
	err = owner_part->err;
out:
	buf_finish(&value);
	return err;
}

enum err catalog_reset(struct catalog *catalog)
{
	forget_streams(catalog);
	memset(catalog->digests, 0, sizeof(catalog->digests));
	return env_index_clear(catalog->env, catalog->index);
}

/* ---- loading ---- */

struct chunk_load {
	struct stream *stream;
	enum err err;
};

static bool load_chunk(void *context, struct bytes key, struct bytes value)
{
	struct chunk_load *load = context;

	if (key.size != KEY_CHUNK_SIZE)
		load->err = ERR_CORRUPT;
	else
		load->err =
			stream_decode_chunk(load->stream, (size_t)load_big_endian(key.data + 17, 4),
					    load_big_endian(key.data + 21, 8), value);
	return load->err == ERR_OK;
}

static enum err load_stream(struct catalog *catalog, struct stream *stream)
{
	struct chunk_load load = {stream, ERR_OK};
	struct buf value = {0};
	uint8_t key[KEY_STREAM_SIZE], from[KEY_CHUNK_SIZE], before[KEY_CHUNK_SIZE];
	enum err err;

	key_stream(stream->id, key);
	err = env_index_get(catalog->env, catalog->index, bytes_make(key, sizeof(key)), &value);
	if (err == ERR_NOTFOUND) {
		err = ERR_OK;
		goto out;
	}
	if (err == ERR_OK)
		err = stream_decode(stream, bytes_of_buf(&value));
	if (err != ERR_OK)
		goto out;
	key_chunk(stream->id, 0, 0, from);
	key_chunk(stream->id, STREAM_INCARNATION_MAX, 0, before);
	err = env_index_scan(catalog->env, catalog->index, bytes_make(from, sizeof(from)),
			     bytes_make(before, sizeof(before)), load_chunk, &load);
	if (err == ERR_OK)
		err = load.err;
out:
	buf_finish(&value);
	return err;
}

enum err catalog_stream(struct catalog *catalog, struct id128 id, struct stream **out)
{
	struct stream *stream = map_get(&catalog->streams, &id);
	enum err err;

	catalog->clock++;
	if (stream == NULL) {
		stream = stream_create(id, catalog->ledger);
		if (stream == NULL)
			return ERR_NOMEM;
		err = load_stream(catalog, stream);
		if (err == ERR_OK)
			err = map_put(&catalog->streams, &id, stream);
		if (err != ERR_OK) {
			stream_destroy(&stream);
			return err;
		}
		stream->digest = stream_digest(stream);
		stream->digest_stale = false;
	}
	stream->used = catalog->clock;
	*out = stream;
	return ERR_OK;
}

/* ---- digests ---- */

static void refresh_digest(struct catalog *catalog, struct stream *stream)
{
	uint64_t *group = &catalog->digests[layout_group(stream->id)];

	*group -= stream->digest;
	stream->digest = stream_digest(stream);
	*group += stream->digest;
	stream->digest_stale = false;
}

const uint64_t *catalog_digests(struct catalog *catalog)
{
	struct stream *stream;
	size_t position = 0;

	while ((stream = map_next(&catalog->streams, &position, NULL)) != NULL)
		if (stream->digest_stale)
			refresh_digest(catalog, stream);
	return catalog->digests;
}

/* ---- checkpoints ---- */

/* Changes whose keys and values lie in one buffer, as offsets until it stops growing. */
struct batch {
	struct buf bytes, spans;
};

struct span {
	size_t key, key_size, value, value_size;
	bool deletes;
};

static void batch_add(struct batch *batch, const uint8_t *key, size_t key_size, size_t value_start,
		      bool deletes)
{
	struct span span = {.value = value_start,
			    .value_size = batch->bytes.size - value_start,
			    .key = batch->bytes.size,
			    .key_size = key_size,
			    .deletes = deletes};

	buf_put(&batch->bytes, key, key_size);
	buf_put(&batch->spans, &span, sizeof(span));
}

static void add_chunk(struct batch *batch, const struct stream *stream, size_t index,
		      uint64_t chunk)
{
	size_t start = batch->bytes.size;
	uint8_t key[KEY_CHUNK_SIZE];

	key_chunk(stream->id, index, chunk, key);
	stream_encode_chunk(&stream->incarnations[index], chunk, &batch->bytes);
	batch_add(batch, key, sizeof(key), start, batch->bytes.size == start);
}

static void add_incarnation(struct batch *batch, const struct stream *stream, size_t index)
{
	const struct stream_incarnation *incarnation = &stream->incarnations[index];
	uint64_t low = incarnation->dirty_low / STREAM_CHUNK;
	uint64_t high = incarnation->dirty_high / STREAM_CHUNK;
	uint64_t kept = (incarnation->dropped + 1) / STREAM_CHUNK;

	if (incarnation->dirty_low > incarnation->dirty_high)
		return;
	/* Chunks that are dropped whole and were never written need no deletion. */
	for (uint64_t chunk = incarnation->indexed_low; chunk < kept && chunk <= high; chunk++)
		add_chunk(batch, stream, index, chunk);
	for (uint64_t chunk = low > kept ? low : kept; chunk <= high; chunk++)
		add_chunk(batch, stream, index, chunk);
}

/* What the commit wrote needs no writing any more. */
static void clean_incarnation(struct stream_incarnation *incarnation)
{
	uint64_t low = incarnation->dirty_low / STREAM_CHUNK;
	uint64_t kept = (incarnation->dropped + 1) / STREAM_CHUNK;

	if (incarnation->dirty_low > incarnation->dirty_high)
		return;
	if (low < incarnation->indexed_low)
		incarnation->indexed_low = low;
	if (incarnation->indexed_low < kept)
		incarnation->indexed_low = kept;
	incarnation->dirty_low = UINT64_MAX;
	incarnation->dirty_high = 0;
}

static void add_stream(struct batch *batch, const struct stream *stream)
{
	size_t start = batch->bytes.size;
	uint8_t key[KEY_STREAM_SIZE];

	key_stream(stream->id, key);
	stream_encode(stream, &batch->bytes);
	batch_add(batch, key, sizeof(key), start, false);
	for (size_t i = 0; i < stream->incarnation_count; i++)
		add_incarnation(batch, stream, i);
}

static void clean_streams(struct catalog *catalog)
{
	struct stream *stream;
	size_t position = 0;

	while ((stream = map_next(&catalog->streams, &position, NULL)) != NULL) {
		if (!stream->dirty)
			continue;
		for (size_t i = 0; i < stream->incarnation_count; i++)
			clean_incarnation(&stream->incarnations[i]);
		stream->dirty = false;
	}
	catalog->changes = 0;
}

static void add_checkpoint(struct batch *batch, struct catalog *catalog, struct bytes owner_part)
{
	size_t start = batch->bytes.size;

	buf_put_u8(&batch->bytes, CATALOG_VERSION);
	buf_put_id(&batch->bytes, catalog->volume);
	for (size_t i = 0; i < LAYOUT_GROUP_COUNT; i++)
		buf_put_u64(&batch->bytes, catalog->digests[i]);
	buf_put_bytes(&batch->bytes, owner_part);
	batch_add(batch, key_checkpoint().data, key_checkpoint().size, start, false);
}

static enum err commit(struct catalog *catalog, const struct batch *batch, bool durable)
{
	size_t count = batch->spans.size / sizeof(struct span);
	struct env_index_change *changes;
	enum err err;

	if (batch->bytes.err != ERR_OK || batch->spans.err != ERR_OK)
		return ERR_NOMEM;
	changes = memory_array(count, sizeof(*changes));
	if (changes == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		struct span span;

		memcpy(&span, batch->spans.data + i * sizeof(span), sizeof(span));
		changes[i].key = bytes_make(batch->bytes.data + span.key, span.key_size);
		changes[i].value = bytes_make(span.deletes ? NULL : batch->bytes.data + span.value,
					      span.value_size);
	}
	err = env_index_commit(catalog->env, catalog->index, changes, count, durable);
	memory_free(changes);
	return err;
}

/* Half of them at once, so that it is rare; the map must not change while it is walked. */
static void evict(struct catalog *catalog)
{
	uint64_t oldest = catalog->clock - CATALOG_STREAM_MAX / 2;
	struct buf ids = {0};
	struct stream *stream;
	size_t position = 0;

	if (catalog->streams.count <= CATALOG_STREAM_MAX)
		return;
	while ((stream = map_next(&catalog->streams, &position, NULL)) != NULL)
		if (stream->pins == 0 && !stream->dirty && stream->used < oldest)
			buf_put_id(&ids, stream->id);
	for (size_t i = 0; i < ids.size; i += sizeof(struct id128)) {
		stream = map_remove(&catalog->streams, ids.data + i);
		stream_destroy(&stream);
	}
	buf_finish(&ids);
}

enum err catalog_checkpoint(struct catalog *catalog, struct bytes owner_part, bool durable)
{
	struct batch batch = {{0}, {0}};
	struct stream *stream;
	size_t position = 0;
	enum err err;

	(void)catalog_digests(catalog);
	while ((stream = map_next(&catalog->streams, &position, NULL)) != NULL)
		if (stream->dirty)
			add_stream(&batch, stream);
	add_checkpoint(&batch, catalog, owner_part);
	err = commit(catalog, &batch, durable);
	buf_finish(&batch.bytes);
	buf_finish(&batch.spans);
	if (err != ERR_OK)
		return err;
	clean_streams(catalog);
	evict(catalog);
	return ERR_OK;
}

struct id_list {
	struct buf *ids;
};

static bool list_id(void *context, struct bytes key, struct bytes value)
{
	struct id_list *list = context;

	(void)value;
	if (key.size == KEY_STREAM_SIZE)
		buf_put(list->ids, key.data + 2, 16);
	return list->ids->err == ERR_OK;
}

enum err catalog_list(struct catalog *catalog, uint8_t group, struct buf *ids)
{
	struct id_list list = {ids};
	const uint8_t from[2] = {'S', group};
	/* Behind the last id of the group there is only "S", group, 16 times 0xff. */
	uint8_t before[KEY_STREAM_SIZE + 1];
	enum err err;

	memset(before, 0xff, sizeof(before));
	before[0] = 'S';
	before[1] = group;
	err = env_index_scan(catalog->env, catalog->index, bytes_make(from, sizeof(from)),
			     bytes_make(before, sizeof(before)), list_id, &list);
	return err != ERR_OK ? err : ids->err;
}
