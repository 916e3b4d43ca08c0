/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The rest of the journal's formats. The first byte chooses: manifest, page, a replica's state,
 * marks, two vectors that are merged, or a closing.
 */
#include "engine/journal/closings.h"
#include "engine/journal/manifest.h"
#include "engine/journal/protocol.h"
#include "engine/journal/state.h"
#include "fuzz/fuzz.h"

static void check_manifest(struct bytes encoded)
{
	struct manifest manifest;
	struct buf again = {0};

	if (manifest_decode(encoded, &manifest) != ERR_OK)
		return;
	ASSERT(vector_covers(&manifest.vector, &manifest.vector));
	ASSERT(manifest_encode(&manifest, &again) == ERR_OK);
	fuzz_assert_equal(bytes_of_buf(&again), encoded);
	buf_finish(&again);
	manifest_finish(&manifest);
}

static enum err count_blob(void *context, const struct blob_ref *blob)
{
	size_t *count = context;

	ASSERT(blob != NULL);
	++*count;
	return ERR_OK;
}

static void check_page(struct bytes encoded)
{
	struct id128 id, other;
	struct bytes payload;
	size_t count = 0;

	if (manifest_page_decode(encoded, &id, &payload) != ERR_OK) {
		ASSERT(manifest_page_blobs(encoded, ID128_ZERO, count_blob, &count) != ERR_OK);
		return;
	}
	ASSERT(payload.size < encoded.size);
	ASSERT(memcmp(encoded.data + 8, id.octets, 16) == 0);
	ASSERT(manifest_page_blobs(encoded, id, count_blob, &count) == ERR_OK);
	ASSERT(count <= encoded.size / sizeof(struct id128));
	other = id;
	other.octets[0]++;
	ASSERT(manifest_page_blobs(encoded, other, count_blob, &count) == ERR_CORRUPT);
}

static void check_state(struct bytes encoded)
{
	struct stream_state state;

	if (state_decode(encoded, &state) != ERR_OK)
		return;
	for (size_t i = 0; i < state.manifest_count; i++)
		ASSERT(state_has_manifest(&state, state.manifests[i].id));
	(void)state_has_page(&state, ID128_ZERO);
	state_finish(&state);
}

static void check_marks(struct bytes encoded)
{
	struct marks marks = {0}, decoded = {0};
	struct buf again = {0}, third = {0};

	if (marks_merge_encoded(&marks, encoded) == ERR_OK) {
		ASSERT(marks.count <= LAYOUT_VOLUME_MAX);
		marks_encode(&marks, &again);
		ASSERT(again.size <= encoded.size);
		ASSERT(marks_merge_encoded(&decoded, bytes_of_buf(&again)) == ERR_OK);
		marks_encode(&decoded, &third);
		fuzz_assert_equal(bytes_of_buf(&third), bytes_of_buf(&again));
	}
	buf_finish(&again);
	buf_finish(&third);
	marks_finish(&marks);
	marks_finish(&decoded);
}

static void check_merge(const struct vector *a, const struct vector *b)
{
	struct vector ab = {0}, ba = {0};
	struct buf one = {0}, other = {0};

	ASSERT(vector_copy(a, &ab) == ERR_OK && vector_merge(&ab, b) == ERR_OK);
	ASSERT(vector_copy(b, &ba) == ERR_OK && vector_merge(&ba, a) == ERR_OK);
	vector_encode(&ab, &one);
	vector_encode(&ba, &other);
	fuzz_assert_equal(bytes_of_buf(&one), bytes_of_buf(&other));
	ASSERT(vector_covers(&ab, a) && vector_covers(&ab, b));
	buf_finish(&one);
	buf_finish(&other);
	vector_finish(&ab);
	vector_finish(&ba);
}

static void check_vectors(struct bytes encoded)
{
	struct cursor cursor = cursor_make(encoded);
	struct vector a = {0}, b = {0};
	struct buf again = {0};

	if (vector_decode(&cursor, &a) == ERR_OK) {
		vector_encode(&a, &again);
		fuzz_assert_equal(bytes_of_buf(&again), bytes_slice(encoded, 0, cursor.offset));
		if (vector_decode(&cursor, &b) == ERR_OK)
			check_merge(&a, &b);
	}
	buf_finish(&again);
	vector_finish(&a);
	vector_finish(&b);
}

static enum err put_incarnation(void *context, struct id128 incarnation)
{
	buf_put_id(context, incarnation);
	return ERR_OK;
}

static void check_closing(struct bytes encoded)
{
	struct buf found = {0};

	if (closing_decode(encoded, put_incarnation, &found) == ERR_OK)
		fuzz_assert_equal(bytes_of_buf(&found),
				  bytes_slice(encoded, encoded.size - found.size, SIZE_MAX));
	else
		ASSERT(found.size == 0);
	buf_finish(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct bytes) = {
		check_manifest, check_page, check_state, check_marks, check_vectors, check_closing};

	if (size != 0)
		checks[data[0] % (sizeof(checks) / sizeof(checks[0]))](
			bytes_make(data + 1, size - 1));
	return 0;
}
