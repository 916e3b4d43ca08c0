/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/state.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"

/* An encoded manifest, at least. */
#define MANIFEST_SIZE_MIN 25u

enum err state_encode(const struct stream *stream, struct buf *out)
{
	struct vector vector = {0}, covered = {0};
	size_t complete_count = 0;
	enum err err = stream_vector(stream, &vector);

	for (size_t i = 0; err == ERR_OK && i < stream->incarnation_count; i++)
		err = vector_raise(&covered, stream->incarnations[i].id,
				   stream->incarnations[i].dropped);

	buf_put_u64(out, stream->promise_epoch);
	buf_put_id(out, stream->promise_home);
	vector_encode(&vector, out);
	vector_encode(&covered, out);
	vector_finish(&vector);
	vector_finish(&covered);
	for (size_t i = 0; i < stream->manifest_count; i++)
		complete_count += stream->manifests[i].complete;
	buf_put_varint(out, complete_count);
	for (size_t i = 0; i < stream->manifest_count; i++) {
		const struct stream_manifest *manifest = &stream->manifests[i];

		if (!manifest->complete)
			continue;
		buf_put_id(out, manifest->id);
		buf_put_u64(out, manifest->epoch);
		vector_encode(&manifest->vector, out);
	}
	buf_put_varint(out, stream->page_count);
	for (size_t i = 0; i < stream->page_count; i++)
		buf_put_id(out, stream->pages[i].id);
	return err != ERR_OK ? err : out->err;
}

static enum err decode_manifests(struct cursor *cursor, struct stream_state *out)
{
	uint64_t count = cursor_varint(cursor);
	enum err err = ERR_OK;

	if (count > cursor_left(cursor) / MANIFEST_SIZE_MIN)
		cursor_fail(cursor);
	if (cursor->err != ERR_OK || count == 0)
		return cursor->err;
	out->manifests = memory_array((size_t)count, sizeof(*out->manifests));
	if (out->manifests == NULL)
		return ERR_NOMEM;
	for (; out->manifest_count < count && err == ERR_OK; out->manifest_count++) {
		struct state_manifest *manifest = &out->manifests[out->manifest_count];

		manifest->id = cursor_id(cursor);
		manifest->epoch = cursor_u64(cursor);
		err = vector_decode(cursor, &manifest->vector);
	}
	return err;
}

static enum err decode_pages(struct cursor *cursor, struct stream_state *out)
{
	uint64_t count = cursor_varint(cursor);

	if (count > cursor_left(cursor) / sizeof(struct id128))
		cursor_fail(cursor);
	if (cursor->err != ERR_OK || count == 0)
		return cursor->err;
	out->pages = memory_array((size_t)count, sizeof(*out->pages));
	if (out->pages == NULL)
		return ERR_NOMEM;
	for (; out->page_count < count; out->page_count++)
		out->pages[out->page_count] = cursor_id(cursor);
	return ERR_OK;
}

enum err state_decode(struct bytes encoded, struct stream_state *out)
{
	struct cursor cursor = cursor_make(encoded);
	struct stream_state state = {0};
	enum err err;

	state.promise_epoch = cursor_u64(&cursor);
	state.promise_home = cursor_id(&cursor);
	err = vector_decode(&cursor, &state.vector);
	if (err == ERR_OK)
		err = vector_decode(&cursor, &state.covered);
	if (err == ERR_OK)
		err = decode_manifests(&cursor, &state);
	if (err == ERR_OK)
		err = decode_pages(&cursor, &state);
	if (err == ERR_OK)
		err = cursor_end(&cursor);
	if (err == ERR_OK)
		*out = state;
	else
		state_finish(&state);
	return err;
}

void state_finish(struct stream_state *state)
{
	vector_finish(&state->vector);
	vector_finish(&state->covered);
	for (size_t i = 0; i < state->manifest_count; i++)
		vector_finish(&state->manifests[i].vector);
	memory_free(state->manifests);
	memory_free(state->pages);
	*state = (struct stream_state){0};
}

bool state_has_manifest(const struct stream_state *state, struct id128 id)
{
	for (size_t i = 0; i < state->manifest_count; i++)
		if (id128_equal(state->manifests[i].id, id))
			return true;
	return false;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct id128));
}

bool state_has_page(const struct stream_state *state, struct id128 id)
{
	return state->page_count != 0 && bsearch(&id, state->pages, state->page_count,
						 sizeof(*state->pages), compare_ids) != NULL;
}
