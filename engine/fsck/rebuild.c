/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A sealed set's columns in memory, and each computed from the others.
 *
 * Record by record: the index says where each lies, and its checksums say when a
 * combination of other columns gives it back. So what is damaged in different
 * places of more columns than the set can lose is still found, as long as there
 * are k columns that are good in the very range of one record.
 */
#include "engine/fsck/fsck_private.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/set/stripe.h"

static struct profile profile_of(const struct rebuild *rebuild)
{
	return rebuild->set->certificate.descriptor.profile;
}

/* ---- loading ---- */

static void pick_files(struct rebuild *rebuild)
{
	struct fsck_set *set = rebuild->set;
	struct profile profile = profile_of(rebuild);

	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];
		enum column_kind kind = file->column < profile.k ? COLUMN_DATA : COLUMN_PARITY;

		if (!file->ignored && file->kind == kind && file->column < profile_members(profile))
			rebuild->files[file->column] = file;
	}
}

/* The first index that is what its trailer says. */
static void take_index(struct rebuild *rebuild, struct bytes whole)
{
	struct column_trailer trailer;
	struct bytes index;

	if (rebuild->index.size != 0 || whole.size < LOG_HEADER_SIZE + COLUMN_TRAILER_SIZE ||
	    column_trailer_decode(whole.data + whole.size - COLUMN_TRAILER_SIZE, &trailer) !=
		    ERR_OK ||
	    !hash128_equal(trailer.certificate.seal, rebuild->set->certificate.seal))
		return;
	index = bytes_slice(whole, (size_t)trailer.index_offset,
			    (size_t)trailer.index_pages * COLUMN_INDEX_PAGE);
	if (!hash128_equal(hash_128(index.data, index.size), trailer.index_hash))
		return;
	buf_put_bytes(&rebuild->index, index);
	rebuild->entries = trailer.index_entries;
}

static WAITS enum err load_column(struct rebuild *rebuild, unsigned column, uint64_t longest)
{
	const struct set_descriptor *descriptor = &rebuild->set->certificate.descriptor;
	uint64_t length = column_body_size(descriptor, (uint8_t)column);
	struct fsck_file *file = rebuild->files[column];
	struct buf *body = &rebuild->bodies[column], whole = {0};
	enum err err;

	if (file != NULL && !file->absent) {
		err = fsck_read(rebuild->fsck, file->volume, file->name, &whole);
		if (err == ERR_OK) {
			take_index(rebuild, bytes_of_buf(&whole));
			buf_put_bytes(body, bytes_slice(bytes_of_buf(&whole), LOG_HEADER_SIZE,
							(size_t)length));
			rebuild->good[column] = !file->body_bad;
		}
		buf_finish(&whole);
		if (err != ERR_OK && err != ERR_IO)
			return err;
	}
	if (body->size < longest)
		buf_put_zeros(body, (size_t)longest - body->size);
	return body->err;
}

static enum err decode_index(struct rebuild *rebuild)
{
	size_t count = 0, at = 0;
	struct column_entry page[COLUMN_INDEX_PER_PAGE];
	enum err err = rebuild->index.err;

	rebuild->items = memory_array(rebuild->entries, sizeof(*rebuild->items));
	if (rebuild->items == NULL)
		return ERR_NOMEM;
	while (err == ERR_OK && at < rebuild->index.size) {
		err = column_index_page_decode(rebuild->index.data + at, page, &count);
		for (size_t i = 0; err == ERR_OK && i < count; i++) {
			size_t item = at / COLUMN_INDEX_PAGE * COLUMN_INDEX_PER_PAGE + i;

			if (item < rebuild->entries)
				rebuild->items[item] = page[i];
		}
		at += COLUMN_INDEX_PAGE;
	}
	return err;
}

enum err rebuild_load(struct rebuild *rebuild)
{
	const struct set_descriptor *descriptor = &rebuild->set->certificate.descriptor;
	uint64_t longest = set_descriptor_longest(descriptor);
	enum err err = ERR_OK;

	pick_files(rebuild);
	for (unsigned i = 0; err == ERR_OK && i < profile_members(descriptor->profile); i++)
		err = load_column(rebuild, i, longest);
	return err == ERR_OK ? decode_index(rebuild) : err;
}

void rebuild_finish(struct rebuild *rebuild)
{
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		buf_finish(&rebuild->bodies[i]);
	buf_finish(&rebuild->index);
	memory_free(rebuild->items);
}

/* ---- computing ---- */

/* Whether these bytes are the record that belongs at the entry's place. */
static bool is_record(const struct rebuild *rebuild, const struct column_entry *entry,
		      struct bytes whole, struct record *record)
{
	struct cursor padding;

	if (whole.size < RECORD_HEADER_SIZE || record_decode(whole.data, record) != ERR_OK ||
	    record->set != rebuild->set->set || record->column != entry->column ||
	    record->offset != entry->offset || !id128_equal(record->id, entry->id) ||
	    record->payload_size != entry->payload_size ||
	    record_check_payload(
		    record, bytes_slice(whole, RECORD_HEADER_SIZE, record->payload_size)) != ERR_OK)
		return false;
	padding = cursor_make(
		bytes_slice(whole, RECORD_HEADER_SIZE + record->payload_size, SIZE_MAX));
	cursor_zeros(&padding, padding.size);
	return padding.err == ERR_OK;
}

static struct bytes range_of(const struct rebuild *rebuild, const struct column_entry *entry)
{
	return bytes_slice(bytes_of_buf(&rebuild->bodies[entry->column]), (size_t)entry->offset,
			   (size_t)record_size(entry->payload_size));
}

/* Tries k of the members in `mask` (bit i: column i); true: the body now has the record. */
static bool try_columns(struct rebuild *rebuild, const struct column_entry *entry, uint32_t mask,
			struct buf *scratch)
{
	size_t size = (size_t)record_size(entry->payload_size);
	const uint8_t *sources[PROFILE_MEMBER_MAX];
	uint8_t from[PROFILE_MEMBER_MAX];
	struct record record;
	uint8_t *out;
	unsigned k = 0;

	buf_clear(scratch);
	out = buf_extend(scratch, size);
	if (out == NULL) {
		rebuild->fsck->err = ERR_NOMEM;
		return false;
	}
	for (unsigned i = 0; i < PROFILE_MEMBER_MAX; i++)
		if ((mask & 1u << i) != 0) {
			from[k] = (uint8_t)i;
			sources[k++] = rebuild->bodies[i].data + entry->offset;
		}
	if (stripe_decode(profile_of(rebuild), entry->column, from, sources, size, out) != ERR_OK ||
	    !is_record(rebuild, entry, bytes_make(out, size), &record))
		return false;
	memcpy(rebuild->bodies[entry->column].data + entry->offset, out, size);
	return true;
}

/* Every k of those that are there; those that are good as a whole come first. */
static bool recompute(struct rebuild *rebuild, const struct column_entry *entry,
		      struct buf *scratch)
{
	unsigned members = profile_members(profile_of(rebuild));
	uint32_t present = 0, good = 0;

	for (unsigned i = 0; i < members; i++) {
		if (i == entry->column || rebuild->files[i] == NULL || rebuild->files[i]->absent)
			continue;
		present |= 1u << i;
		good |= rebuild->good[i] ? 1u << i : 0;
	}
	for (unsigned pass = 0; pass < 2; pass++)
		for (uint32_t mask = 1; mask < 1u << members; mask++) {
			bool all_good = (mask & ~good) == 0;

			if ((mask & ~present) == 0 && all_good == (pass == 0) &&
			    (unsigned)__builtin_popcount(mask) == profile_of(rebuild).k &&
			    try_columns(rebuild, entry, mask, scratch))
				return true;
		}
	return false;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct column_entry *left = a, *right = b;

	if (left->column != right->column)
		return left->column < right->column ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* The chain of running hashes over a whole column, against the certificate. */
static bool check_chain(const struct rebuild *rebuild, const struct column_entry *entries,
			size_t count, unsigned column)
{
	const struct set_descriptor *descriptor = &rebuild->set->certificate.descriptor;
	struct hash128 running = {0, 0};
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		struct record record;

		if (entries[i].column != column)
			continue;
		if (entries[i].offset != end ||
		    !is_record(rebuild, &entries[i], range_of(rebuild, &entries[i]), &record))
			return false;
		end += record_size(record.payload_size);
		running = record.running;
	}
	return end == descriptor->length[column] &&
	       hash128_equal(running, descriptor->hash[column]);
}

static void clear_beyond(struct rebuild *rebuild, unsigned column)
{
	uint64_t length = rebuild->set->certificate.descriptor.length[column];
	struct buf *body = &rebuild->bodies[column];

	if (body->size > length)
		memset(body->data + length, 0, (size_t)(body->size - length));
}

/* A column that got one more record may give back what another lacks. */
static void compute_data(struct rebuild *rebuild, const struct column_entry *entries)
{
	struct buf scratch = {0};
	bool progress = true;

	while (progress) {
		progress = false;
		rebuild->lost = 0;
		for (size_t i = 0; i < rebuild->entries; i++) {
			struct record record;

			if (rebuild->good[entries[i].column] ||
			    is_record(rebuild, &entries[i], range_of(rebuild, &entries[i]),
				      &record))
				continue;
			if (recompute(rebuild, &entries[i], &scratch))
				progress = true;
			else
				rebuild->lost++;
		}
	}
	buf_finish(&scratch);
}

static struct hash128 hash_parity(const struct buf *body)
{
	struct hash128 hash = {0, 0};

	for (size_t at = 0; at < body->size; at += COLUMN_PARITY_BLOCK)
		hash = column_parity_hash(hash,
					  bytes_slice(bytes_of_buf(body), at, COLUMN_PARITY_BLOCK));
	return hash;
}

static void encode_parity(struct rebuild *rebuild, unsigned column)
{
	const uint8_t *data[PROFILE_MEMBER_MAX];
	struct buf *body = &rebuild->bodies[column];

	for (unsigned i = 0; i < profile_of(rebuild).k; i++)
		data[i] = rebuild->bodies[i].data;
	if (body->size != 0)
		stripe_encode_row(profile_of(rebuild), (uint8_t)column, data, body->size,
				  body->data);
}

static void note_pieces(struct rebuild *rebuild)
{
	for (size_t i = 0; i < rebuild->entries; i++) {
		struct record record;

		if (is_record(rebuild, &rebuild->items[i], range_of(rebuild, &rebuild->items[i]),
			      &record))
			fsck_note_piece(rebuild->fsck, &record);
	}
}

enum err rebuild_compute(struct rebuild *rebuild)
{
	struct profile profile = profile_of(rebuild);
	const struct set_certificate *certificate = &rebuild->set->certificate;
	bool all = true;

	for (unsigned i = 0; i < profile.k; i++)
		if (!rebuild->good[i])
			clear_beyond(rebuild, i);
	qsort(rebuild->items, rebuild->entries, sizeof(*rebuild->items), compare_offsets);
	compute_data(rebuild, rebuild->items);
	for (unsigned i = 0; i < profile.k; i++) {
		if (!rebuild->good[i])
			rebuild->good[i] =
				check_chain(rebuild, rebuild->items, rebuild->entries, i);
		all = all && rebuild->good[i];
	}
	note_pieces(rebuild);
	for (unsigned i = profile.k; all && i < profile_members(profile); i++)
		if (!rebuild->good[i]) {
			encode_parity(rebuild, i);
			rebuild->good[i] = hash128_equal(hash_parity(&rebuild->bodies[i]),
							 certificate->file_hash[i]);
		}
	return rebuild->fsck->err;
}

/* ---- writing ---- */

/* Header, column, index, trailer. What stood behind a data column, its vote, has served. */
static WAITS enum err write_column(struct rebuild *rebuild, const struct column_header *header,
				   size_t volume)
{
	struct column_trailer trailer;
	char name[COLUMN_NAME_SIZE];
	struct buf content = {0};
	uint8_t *at;
	enum err err;

	column_header_put(header, &content);
	buf_put_bytes(&content,
		      bytes_slice(bytes_of_buf(&rebuild->bodies[header->column]), 0,
				  (size_t)column_body_size(&rebuild->set->certificate.descriptor,
							   header->column)));
	column_trailer_make(&trailer, header, &rebuild->set->certificate, content.size,
			    bytes_of_buf(&rebuild->index), rebuild->entries);
	buf_put_bytes(&content, bytes_of_buf(&rebuild->index));
	at = buf_extend(&content, COLUMN_TRAILER_SIZE);
	if (at != NULL)
		column_trailer_encode(&trailer, at);
	column_name(header->set, header->column, header->kind, name);
	err = content.err;
	if (err == ERR_OK)
		err = fsck_write(rebuild->fsck, volume, name, bytes_of_buf(&content));
	buf_finish(&content);
	return err;
}

enum err rebuild_write(struct rebuild *rebuild, uint8_t column, size_t volume)
{
	const struct fsck_file *file = rebuild->files[column];
	struct column_header header = rebuild->set->header;

	if (file != NULL && file->has_header && id128_equal(file->header.uuid, header.uuid) &&
	    file->header.column == column)
		header = file->header;
	else
		header.tag = env_random_id(rebuild->fsck->env);
	header.column = column;
	header.kind = column < header.profile.k ? COLUMN_DATA : COLUMN_PARITY;
	return write_column(rebuild, &header, volume);
}

/* ---- what is left, as a set of its own ---- */

static void take_over(struct rebuild *from, struct rebuild *to, struct fsck_set *set)
{
	struct set_descriptor *descriptor = &set->certificate.descriptor;
	struct hash128 running[PROFILE_MEMBER_MAX] = {{0, 0}};

	for (size_t i = 0; i < from->entries; i++) {
		const struct column_entry *entry = &from->items[i];
		struct buf *body = &to->bodies[entry->column];
		struct bytes whole = range_of(from, entry);
		uint8_t header[RECORD_HEADER_SIZE];
		struct record record;

		if (!is_record(from, entry, whole, &record))
			continue;
		record.set = set->set;
		record.offset = record.durable = body->size;
		record_encode(&record, running[entry->column], header);
		running[entry->column] = record.running;
		to->items[to->entries] = *entry;
		to->items[to->entries++].offset = record.offset;
		buf_put(body, header, sizeof(header));
		buf_put_bytes(body, bytes_slice(whole, RECORD_HEADER_SIZE, SIZE_MAX));
	}
	for (unsigned i = 0; i < descriptor->profile.k; i++) {
		descriptor->length[i] = to->bodies[i].size;
		descriptor->hash[i] = running[i];
	}
}

static enum err certify(struct rebuild *rebuild, struct fsck_set *set)
{
	struct set_certificate *certificate = &set->certificate;
	struct profile profile = certificate->descriptor.profile;
	uint64_t longest = set_descriptor_longest(&certificate->descriptor);

	for (unsigned i = 0; i < profile_members(profile); i++) {
		struct buf *body = &rebuild->bodies[i];

		if (body->size < longest)
			buf_put_zeros(body, (size_t)longest - body->size);
		if (body->err != ERR_OK)
			return body->err;
	}
	certificate->seal = set_seal_id(set->set, set->header.uuid, &certificate->descriptor);
	for (unsigned i = 0; i < profile_members(profile); i++) {
		if (i >= profile.k)
			encode_parity(rebuild, i);
		certificate->file_hash[i] = i < profile.k ? certificate->descriptor.hash[i]
							  : hash_parity(&rebuild->bodies[i]);
	}
	column_index_build(rebuild->items, rebuild->entries, &rebuild->index);
	return rebuild->index.err;
}

/* The old set's columns are gone for good, and the new one holds what they held. */
static enum err enter_succession(const struct rebuild *old, uint64_t successor)
{
	struct fsck *fsck = old->fsck;
	struct directory_record *record = fsck_directory_record(&fsck->entering, old->set->set);
	enum err err = record != NULL ? directory_add_successor(record, successor) : ERR_NOMEM;

	for (size_t i = 0; err == ERR_OK && i < old->set->file_count; i++)
		if (old->set->files[i].has_header)
			err = directory_remove_tag(record, old->set->files[i].header.tag);
	return err;
}

enum err rebuild_write_successor(struct rebuild *old, const size_t *volumes)
{
	struct fsck *fsck = old->fsck;
	struct fsck_set set = {.header = old->set->header, .sealed = true};
	struct rebuild fresh = {.fsck = fsck, .set = &set};
	struct profile profile = set.header.profile;
	char name[COLUMN_NAME_SIZE];
	enum err err = ERR_OK;

	env_random(fsck->env, &set.set, sizeof(set.set));
	set.header.set = set.set;
	set.header.uuid = env_random_id(fsck->env);
	set.header.incarnation = env_random_id(fsck->env);
	set.header.born_sealed = true;
	set.header.predecessor_count = 1;
	set.header.predecessors[0] = old->set->set;
	set.certificate.descriptor.profile = profile;
	fresh.items = memory_array(old->entries, sizeof(*fresh.items));
	if (fresh.items == NULL)
		return ERR_NOMEM;
	take_over(old, &fresh, &set);
	err = certify(&fresh, &set);
	for (unsigned i = 0; i < profile_members(profile); i++)
		set.header.members[i] = fsck->volumes[volumes[i]].identity.volume;
	for (uint8_t i = 0; err == ERR_OK && i < profile_members(profile); i++) {
		set.header.column = i;
		set.header.kind = i < profile.k ? COLUMN_DATA : COLUMN_PARITY;
		set.header.tag = env_random_id(fsck->env);
		err = write_column(&fresh, &set.header, volumes[i]);
		if (err == ERR_OK)
			err = fsck_enter(fsck, &set, &set.header);
		column_name(set.set, i, i < profile.k ? COLUMN_DATA : COLUMN_PARITY, name);
		if (err == ERR_OK)
			err = fsck_publish(fsck, volumes[i], name, false);
	}
	rebuild_finish(&fresh);
	return err == ERR_OK ? enter_succession(old, set.set) : err;
}

enum err rebuild_recertify(struct rebuild *rebuild)
{
	struct set_certificate *certificate = &rebuild->set->certificate;
	struct profile profile = profile_of(rebuild);

	for (unsigned i = profile.k; i < profile_members(profile); i++) {
		encode_parity(rebuild, i);
		certificate->file_hash[i] = hash_parity(&rebuild->bodies[i]);
		rebuild->good[i] = true;
	}
	return ERR_OK;
}
