/* SPDX-License-Identifier: MPL-2.0 */
/* Pass 5: every blob that somebody names, against every piece that can be read. */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"

/* Who names it counts still: its entry is not covered, its page is in a manifest that counts. */
static bool is_live(const struct fsck *fsck, const struct fsck_use *use)
{
	const struct stream *stream = map_get(&fsck->streams, &use->stream);
	const struct stream_incarnation *incarnation;

	if (stream == NULL)
		return false;
	if (use->kind == FSCK_USE_PAGE)
		return stream_page(stream, use->by) != NULL;
	if (use->kind == FSCK_USE_MANIFEST)
		return stream_manifest(stream, use->by) != NULL;
	incarnation = stream_find(stream, use->by);
	return incarnation != NULL && stream_entry(incarnation, use->seq) != NULL;
}

static bool has_piece(const struct fsck *fsck, const struct blob_ref *ref, uint64_t set,
		      uint32_t piece)
{
	uint8_t key[FSCK_PIECE_KEY];

	store_u64(key, set);
	memcpy(key + 8, ref->id.octets, 16);
	store_u32(key + 24, piece);
	return map_get(&fsck->pieces, key) != NULL;
}

static uint64_t missing_pieces(const struct fsck *fsck, const struct blob_ref *ref, uint64_t *all)
{
	uint64_t missing = 0;

	*all = 0;
	for (uint32_t i = 0; i < ref->extent_count; i++) {
		const struct blob_extent *extent = &ref->extents[i];

		for (uint32_t j = 0; j < extent->piece_count; j++, (*all)++)
			missing += !has_piece(fsck, ref, extent->set, extent->first_piece + j);
	}
	return missing;
}

static void report_lost(struct fsck *fsck, const struct fsck_use *use, const struct blob_ref *ref,
			uint64_t missing, uint64_t all)
{
	struct fsck_problem problem = {.code = FSCK_MESSAGE_LOST};
	const char *address = map_get(&fsck->addresses, &use->stream);
	char id[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", ref->id.octets[i]);
	if (address != NULL)
		snprintf(problem.account, sizeof(problem.account), "%s", address);
	else
		snprintf(problem.account, sizeof(problem.account), "an unknown account");
	fsck_problem_detail(
		&problem, "Blob %s of %" PRIu64 " bytes lacks %" PRIu64 " of %" PRIu64 " pieces%s",
		id, ref->size, missing, all,
		use->kind == FSCK_USE_MANIFEST ? "; it is a cache that is made again, no message"
					       : "");
	fsck->result->blobs_lost++;
	(void)fsck_report(fsck, &problem, NULL);
}

static enum err check_use(struct fsck *fsck, const struct fsck_use *use, struct map *seen)
{
	struct cursor cursor =
		cursor_make(bytes_slice(bytes_of_buf(&fsck->references), use->at, SIZE_MAX));
	struct fsck_blob *blob;
	struct blob_ref ref;
	uint64_t missing, all;

	if (!is_live(fsck, use))
		return ERR_OK;
	blob_ref_decode(&cursor, &ref);
	if (cursor.err != ERR_OK || map_get(seen, &ref.id) != NULL)
		return cursor.err;
	if (map_put(seen, &ref.id, fsck) != ERR_OK)
		return ERR_NOMEM;
	blob = map_get(&fsck->blobs, &ref.id);
	if (blob != NULL)
		blob->named = true;
	missing = missing_pieces(fsck, &ref, &all);
	if (missing != 0)
		report_lost(fsck, use, &ref, missing, all);
	return ERR_OK;
}

enum err fsck_reach(struct fsck *fsck)
{
	const struct fsck_blob *blob;
	struct map seen;
	size_t position = 0;
	enum err err = ERR_OK;

	if (fsck->options->only != NULL)
		return ERR_OK;
	map_init(&seen, sizeof(struct id128));
	for (size_t i = 0; err == ERR_OK && i < fsck->use_count; i++)
		err = check_use(fsck, &fsck->uses[i], &seen);
	fsck->result->blobs_named = seen.count;
	fsck->result->streams = fsck->streams.count;
	map_finish(&seen);
	while ((blob = map_next(&fsck->blobs, &position, NULL)) != NULL)
		if (!blob->named) {
			fsck->result->blobs_unnamed++;
			fsck->result->bytes_unnamed += blob->bytes;
		}
	return err;
}
