/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/crash/trace.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/format/record.h"

/* Bits of the volumes /d0, /d1, ... */
typedef uint32_t volume_set;

struct walk {
	const struct recorder *recorder;
	uint64_t replied;
};

static size_t count_bits(volume_set volumes)
{
	return (size_t)__builtin_popcount(volumes);
}

static volume_set volume_of(const char *path)
{
	ASSERT(path != NULL && path[0] == '/' && path[1] == 'd');
	return (volume_set)1 << (path[2] - '0');
}

/* Whether the file has a name that a power loss leaves. */
static bool is_named(const struct walk *walk, uint32_t file)
{
	for (size_t i = 0; i < walk->recorder->effect_count; i++) {
		const struct effect *effect = &walk->recorder->effects[i];

		if ((effect->kind == EFFECT_CREATE || effect->kind == EFFECT_RENAME) &&
		    effect->file == file && effect->durable <= walk->replied)
			return true;
	}
	return false;
}

static volume_set durable_on(const struct walk *walk, const struct effect *write)
{
	if (write->durable > walk->replied || !is_named(walk, write->file))
		return 0;
	return volume_of(recorder_file_path(walk->recorder, write->file));
}

/*
 * The next record of a written range, whose records are end to end; false at its end. Headers of
 * files and other bytes are no records.
 */
static bool next_record(const struct effect *write, size_t *at, struct record *record,
			struct bytes *payload)
{
	struct bytes all = bytes_make(write->data, write->size);

	if (write->kind != EFFECT_WRITE || *at + RECORD_HEADER_SIZE > all.size ||
	    record_decode(all.data + *at, record) != ERR_OK)
		return false;
	*payload = bytes_slice(all, *at + RECORD_HEADER_SIZE, record->payload_size);
	*at += record_size(record->payload_size);
	return record_check_payload(record, *payload) == ERR_OK;
}

/* ---- pieces of blobs ---- */

static bool is_piece(const struct record *record, struct bytes payload, struct id128 blob,
		     uint64_t set, uint32_t piece)
{
	struct record inner;

	if (record->type == RECORD_MIRROR && payload.size >= RECORD_HEADER_SIZE &&
	    record_decode(payload.data, &inner) == ERR_OK)
		return is_piece(&inner,
				bytes_slice(payload, RECORD_HEADER_SIZE, inner.payload_size), blob,
				set, piece);
	return record->type == RECORD_BLOB && id128_equal(record->id, blob) &&
	       record->birth_set == set && record->piece == piece;
}

static volume_set volumes_of_piece(const struct walk *walk, struct id128 blob, uint64_t set,
				   uint32_t piece)
{
	volume_set volumes = 0;

	for (size_t i = 0; i < walk->recorder->effect_count; i++) {
		const struct effect *write = &walk->recorder->effects[i];
		struct record record;
		struct bytes payload;
		size_t at = 0;

		while (next_record(write, &at, &record, &payload)) {
			if (is_piece(&record, payload, blob, set, piece))
				volumes |= durable_on(walk, write);
		}
	}
	return volumes;
}

static void look_at_blob(const struct walk *walk, const struct blob_ref *blob,
			 struct trace_finding *out)
{
	for (uint32_t i = 0; i < blob->extent_count; i++) {
		const struct blob_extent *extent = &blob->extents[i];

		for (uint32_t j = 0; j < extent->piece_count; j++) {
			size_t count = count_bits(volumes_of_piece(walk, blob->id, extent->set,
								   extent->first_piece + j));

			out->pieces++;
			if (count < out->piece_volumes)
				out->piece_volumes = count;
		}
	}
}

/* ---- entries ---- */

static volume_set volumes_of_entry(const struct walk *walk, const struct record *entry)
{
	volume_set volumes = 0;

	for (size_t i = 0; i < walk->recorder->effect_count; i++) {
		const struct effect *write = &walk->recorder->effects[i];
		struct record record;
		struct bytes payload;
		size_t at = 0;

		while (next_record(write, &at, &record, &payload)) {
			if (record.type == RECORD_ENTRY && record_same(&record, entry))
				volumes |= durable_on(walk, write);
		}
	}
	return volumes;
}

static void look_at_entry(const struct walk *walk, const struct record *record,
			  struct bytes payload, struct trace_finding *out)
{
	struct entry_blobs blobs = {0};
	struct entry entry;
	enum err err = entry_decode(payload, &blobs, &entry);
	size_t count = count_bits(volumes_of_entry(walk, record));

	ASSERT(err == ERR_OK);
	out->entries++;
	if (count < out->entry_volumes)
		out->entry_volumes = count;
	for (size_t i = 0; i < entry.blob_count; i++)
		look_at_blob(walk, &entry.blobs[i], out);
	entry_blobs_finish(&blobs);
}

/* Each entry is written several times; it is looked at where it came first. */
static bool is_first(const struct recorder *recorder, const struct record *entry, size_t effect)
{
	for (size_t i = 0; i < effect; i++) {
		struct record record;
		struct bytes payload;
		size_t at = 0;

		while (next_record(&recorder->effects[i], &at, &record, &payload)) {
			if (record.type == RECORD_ENTRY && record_same(&record, entry))
				return false;
		}
	}
	return true;
}

void trace_reply(const struct recorder *recorder, struct id128 stream, uint64_t begun,
		 uint64_t replied, struct trace_finding *out)
{
	const struct walk walk = {recorder, replied};

	*out = (struct trace_finding){.entry_volumes = SIZE_MAX, .piece_volumes = SIZE_MAX};
	for (size_t i = 0; i < recorder->effect_count; i++) {
		const struct effect *write = &recorder->effects[i];
		struct record record;
		struct bytes payload;
		size_t at = 0;

		if (write->posted <= begun || write->posted > replied)
			continue;
		while (next_record(write, &at, &record, &payload)) {
			if (record.type == RECORD_ENTRY && id128_equal(record.id, stream) &&
			    is_first(recorder, &record, i))
				look_at_entry(&walk, &record, payload, out);
		}
	}
	if (out->entries == 0)
		out->entry_volumes = 0;
}
