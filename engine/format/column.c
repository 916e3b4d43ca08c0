/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/format/column.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

#define HEADER_MAGIC "AEROCOLU"
#define TRAILER_MAGIC "AEROSEAL"
#define MAGIC_SIZE 8u
#define HASH_OFFSET 1016u
#define FLAG_BORN_SEALED 1u

static_assert(COLUMN_HEADER_SIZE == HASH_OFFSET + 8, "the hash ends the header");
static_assert(COLUMN_TRAILER_SIZE == HASH_OFFSET + 8, "the hash ends the trailer");
static_assert(COLUMN_INDEX_PER_PAGE * COLUMN_INDEX_ENTRY + 16 == COLUMN_INDEX_PAGE,
	      "count, zeros and hash end an index page");
static_assert(PROFILE_MEMBER_MAX * 16 == 256, "members and votes fill their fields");

static const char *const SUFFIXES[] = {
	[COLUMN_DATA] = "col", [COLUMN_MIRROR] = "mir", [COLUMN_PARITY] = "par"};

bool profile_valid(struct profile profile)
{
	return profile.k >= 1 && profile.m >= 1 && profile.k + profile.m <= (int)PROFILE_MEMBER_MAX;
}

unsigned profile_members(struct profile profile)
{
	return (unsigned)profile.k + profile.m;
}

/* ---- names ---- */

void column_name(uint64_t set, uint8_t column, enum column_kind kind, char out[COLUMN_NAME_SIZE])
{
	(void)snprintf(out, COLUMN_NAME_SIZE, "columns/%016llx-%02x.%s", (unsigned long long)set,
		       column, SUFFIXES[kind]);
}

static bool parse_hex(const char *text, size_t size, uint64_t *out)
{
	static const char digits[] = "0123456789abcdef";

	*out = 0;
	for (size_t i = 0; i < size; i++) {
		const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;

		if (digit == NULL)
			return false;
		*out = *out << 4 | (uint64_t)(digit - digits);
	}
	return true;
}

enum err column_parse_name(const char *name, uint64_t *set, uint8_t *column, enum column_kind *kind)
{
	uint64_t number, index;

	if (strlen(name) != 23 || !parse_hex(name, 16, &number) || name[16] != '-' ||
	    !parse_hex(name + 17, 2, &index) || name[19] != '.')
		return ERR_INVALID;
	for (int i = COLUMN_DATA; i <= COLUMN_PARITY; i++)
		if (strcmp(name + 20, SUFFIXES[i]) == 0) {
			*set = number;
			*column = (uint8_t)index;
			*kind = (enum column_kind)i;
			return ERR_OK;
		}
	return ERR_INVALID;
}

/* ---- header ---- */

/* Ends a block of 1024 bytes: zeros, then the hash. */
static void close_block(struct buf *block, uint8_t out[COLUMN_HEADER_SIZE])
{
	ASSERT(block->size <= HASH_OFFSET);
	memset(out, 0, COLUMN_HEADER_SIZE);
	memcpy(out, block->data, block->size);
	store_u64(out + HASH_OFFSET, hash_64(out, HASH_OFFSET));
}

/* A buf over memory that is large enough never allocates. */
static struct buf block_over(uint8_t *memory)
{
	return (struct buf){.data = memory, .capacity = COLUMN_HEADER_SIZE};
}

void column_header_encode(const struct column_header *header, uint8_t out[COLUMN_HEADER_SIZE])
{
	uint8_t memory[COLUMN_HEADER_SIZE];
	struct buf block = block_over(memory);

	buf_put(&block, HEADER_MAGIC, MAGIC_SIZE);
	buf_put_u16(&block, COLUMN_VERSION);
	buf_put_u8(&block, (uint8_t)header->kind);
	buf_put_u8(&block, header->born_sealed ? FLAG_BORN_SEALED : 0);
	buf_put_zeros(&block, 12);
	buf_put_u64(&block, header->set);
	buf_put_id(&block, header->uuid);
	buf_put_id(&block, header->cluster);
	buf_put_id(&block, header->node);
	buf_put_id(&block, header->incarnation);
	buf_put_id(&block, header->tag);
	buf_put_u64(&block, header->created_ms);
	buf_put_u64(&block, header->capacity);
	buf_put_u8(&block, header->column);
	buf_put_u8(&block, header->profile.k);
	buf_put_u8(&block, header->profile.m);
	buf_put_u8(&block, COLUMN_MATRIX_CAUCHY1);
	buf_put_u32(&block, header->predecessor_count);
	for (size_t i = 0; i < COLUMN_PREDECESSOR_MAX; i++)
		buf_put_u64(&block, i < header->predecessor_count ? header->predecessors[i] : 0);
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++)
		buf_put_id(&block,
			   i < profile_members(header->profile) ? header->members[i] : ID128_ZERO);
	close_block(&block, out);
}

/* Magic, hash and version of a block that ends in its hash. */
static enum err check_block(const uint8_t *in, const char *magic)
{
	if (memcmp(in, magic, MAGIC_SIZE) != 0 ||
	    load_u64(in + HASH_OFFSET) != hash_64(in, HASH_OFFSET))
		return ERR_CORRUPT;
	return load_u16(in + MAGIC_SIZE) == COLUMN_VERSION ? ERR_OK : ERR_NEWER;
}

static void get_members(struct cursor *cursor, struct column_header *out)
{
	for (size_t i = 0; i < COLUMN_PREDECESSOR_MAX; i++) {
		out->predecessors[i] = cursor_u64(cursor);
		if (i >= out->predecessor_count && out->predecessors[i] != 0)
			cursor_fail(cursor);
	}
	for (size_t i = 0; i < PROFILE_MEMBER_MAX; i++) {
		out->members[i] = cursor_id(cursor);
		if (i >= profile_members(out->profile) && !id128_is_zero(out->members[i]))
			cursor_fail(cursor);
	}
}

static bool header_plausible(const struct column_header *header, uint8_t flags, uint8_t matrix)
{
	return header->kind >= COLUMN_DATA && header->kind <= COLUMN_PARITY &&
	       (flags & ~FLAG_BORN_SEALED) == 0 && matrix == COLUMN_MATRIX_CAUCHY1 &&
	       profile_valid(header->profile) &&
	       header->column < profile_members(header->profile) &&
	       (header->kind == COLUMN_DATA) == (header->column < header->profile.k) &&
	       header->predecessor_count <= COLUMN_PREDECESSOR_MAX;
}

enum err column_header_decode(const uint8_t in[COLUMN_HEADER_SIZE], struct column_header *out)
{
	struct cursor cursor = cursor_make(bytes_make(in, HASH_OFFSET));
	struct column_header header = {0};
	enum err err = check_block(in, HEADER_MAGIC);
	uint8_t flags, matrix;

	if (err != ERR_OK)
		return err;
	(void)cursor_take(&cursor, MAGIC_SIZE + 2);
	header.kind = (enum column_kind)cursor_u8(&cursor);
	flags = cursor_u8(&cursor);
	header.born_sealed = (flags & FLAG_BORN_SEALED) != 0;
	(void)cursor_u32(&cursor);
	if ((cursor_u32(&cursor) | cursor_u32(&cursor)) != 0)
		return ERR_NEWER;
	header.set = cursor_u64(&cursor);
	header.uuid = cursor_id(&cursor);
	header.cluster = cursor_id(&cursor);
	header.node = cursor_id(&cursor);
	header.incarnation = cursor_id(&cursor);
	header.tag = cursor_id(&cursor);
	header.created_ms = cursor_u64(&cursor);
	header.capacity = cursor_u64(&cursor);
	header.column = cursor_u8(&cursor);
	header.profile.k = cursor_u8(&cursor);
	header.profile.m = cursor_u8(&cursor);
	matrix = cursor_u8(&cursor);
	header.predecessor_count = cursor_u32(&cursor);
	if (!header_plausible(&header, flags, matrix))
		return ERR_CORRUPT;
	get_members(&cursor, &header);
	cursor_zeros(&cursor, cursor_left(&cursor));
	err = cursor_end(&cursor);
	if (err == ERR_OK)
		*out = header;
	return err;
}

void column_header_put(const struct column_header *header, struct buf *out)
{
	uint8_t encoded[COLUMN_HEADER_SIZE];

	column_header_encode(header, encoded);
	for (int copy = 0; copy < 2; copy++) {
		buf_put(out, encoded, sizeof(encoded));
		buf_put_zeros(out, COLUMN_HEADER_COPY - sizeof(encoded));
	}
}

enum err column_header_find(struct bytes both, uint64_t set, uint8_t column, enum column_kind kind,
			    struct column_header *out)
{
	enum err err = ERR_CORRUPT;

	for (size_t at = 0; at + COLUMN_HEADER_SIZE <= both.size; at += COLUMN_HEADER_COPY) {
		enum err copy = column_header_decode(both.data + at, out);

		/* One that a write for another file has put here is no better than a damaged one. */
		if (copy == ERR_OK && out->set == set && out->column == column && out->kind == kind)
			return ERR_OK;
		if (copy == ERR_NEWER)
			err = copy;
	}
	return err;
}

/* ---- descriptor, votes ---- */

static void put_descriptor(struct buf *out, const struct set_descriptor *descriptor)
{
	for (size_t i = 0; i < descriptor->profile.k; i++) {
		buf_put_u64(out, descriptor->length[i]);
		buf_put_hash128(out, descriptor->hash[i]);
	}
}

static void get_descriptor(struct cursor *cursor, struct set_descriptor *out)
{
	for (size_t i = 0; i < out->profile.k; i++) {
		out->length[i] = cursor_u64(cursor);
		out->hash[i] = cursor_hash128(cursor);
	}
}

static void put_shape(struct buf *out, struct profile profile)
{
	buf_put_u8(out, profile.k);
	buf_put_u8(out, profile.m);
	buf_put_u8(out, COLUMN_MATRIX_CAUCHY1);
}

static void get_shape(struct cursor *cursor, struct profile *out)
{
	out->k = cursor_u8(cursor);
	out->m = cursor_u8(cursor);
	if (cursor_u8(cursor) != COLUMN_MATRIX_CAUCHY1 || !profile_valid(*out)) {
		cursor_fail(cursor);
		*out = (struct profile){1, 1};
	}
}

struct hash128 set_seal_id(uint64_t set, struct id128 uuid, const struct set_descriptor *descriptor)
{
	uint8_t memory[COLUMN_HEADER_SIZE];
	struct buf block = block_over(memory);

	buf_put_u64(&block, set);
	buf_put_id(&block, uuid);
	put_shape(&block, descriptor->profile);
	put_descriptor(&block, descriptor);
	return hash_128(block.data, block.size);
}

uint64_t set_descriptor_longest(const struct set_descriptor *descriptor)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < descriptor->profile.k; i++)
		if (descriptor->length[i] > longest)
			longest = descriptor->length[i];
	return longest;
}

void column_vote_encode(const struct column_vote *vote, struct buf *out)
{
	buf_put_hash128(out, vote->seal);
	buf_put_hash128(out, vote->file_hash);
	put_shape(out, vote->descriptor.profile);
	buf_put_zeros(out, 5);
	put_descriptor(out, &vote->descriptor);
}

enum err column_vote_decode(struct bytes in, struct column_vote *out)
{
	struct cursor cursor = cursor_make(in);

	*out = (struct column_vote){0};
	out->seal = cursor_hash128(&cursor);
	out->file_hash = cursor_hash128(&cursor);
	get_shape(&cursor, &out->descriptor.profile);
	cursor_zeros(&cursor, 5);
	get_descriptor(&cursor, &out->descriptor);
	return cursor_end(&cursor);
}

/* ---- trailer ---- */

uint64_t column_body_size(const struct set_descriptor *descriptor, uint8_t column)
{
	return column < descriptor->profile.k ? descriptor->length[column]
					      : set_descriptor_longest(descriptor);
}

void column_trailer_make(struct column_trailer *out, const struct column_header *header,
			 const struct set_certificate *certificate, uint64_t index_offset,
			 struct bytes index, uint32_t index_entries)
{
	*out = (struct column_trailer){
		.kind = header->kind,
		.column = header->column,
		.set = header->set,
		.uuid = header->uuid,
		.body_size = column_body_size(&certificate->descriptor, header->column),
		.index_offset = index_offset,
		.index_pages = column_index_pages(index_entries),
		.index_entries = index_entries,
		.index_hash = hash_128(index.data, index.size),
		.certificate = *certificate};
}

uint64_t column_trailer_offset(const struct column_trailer *trailer)
{
	return trailer->index_offset + (uint64_t)trailer->index_pages * COLUMN_INDEX_PAGE;
}

void column_trailer_encode(const struct column_trailer *trailer, uint8_t out[COLUMN_TRAILER_SIZE])
{
	const struct set_certificate *certificate = &trailer->certificate;
	struct profile profile = certificate->descriptor.profile;
	uint8_t memory[COLUMN_TRAILER_SIZE];
	struct buf block = block_over(memory);

	buf_put(&block, TRAILER_MAGIC, MAGIC_SIZE);
	buf_put_u16(&block, COLUMN_VERSION);
	buf_put_u8(&block, (uint8_t)trailer->kind);
	buf_put_u8(&block, trailer->column);
	put_shape(&block, profile);
	buf_put_u8(&block, 0);
	buf_put_u64(&block, trailer->set);
	buf_put_id(&block, trailer->uuid);
	buf_put_hash128(&block, certificate->seal);
	buf_put_u64(&block, trailer->body_size);
	buf_put_u64(&block, trailer->index_offset);
	buf_put_u32(&block, trailer->index_pages);
	buf_put_u32(&block, trailer->index_entries);
	buf_put_hash128(&block, trailer->index_hash);
	put_descriptor(&block, &certificate->descriptor);
	buf_put_zeros(&block, (PROFILE_MEMBER_MAX - profile.k) * (size_t)24);
	for (size_t i = 0; i < profile_members(profile); i++)
		buf_put_hash128(&block, certificate->file_hash[i]);
	close_block(&block, out);
}

static void get_certificate(struct cursor *cursor, struct set_certificate *out)
{
	struct profile profile = out->descriptor.profile;

	get_descriptor(cursor, &out->descriptor);
	cursor_zeros(cursor, (PROFILE_MEMBER_MAX - profile.k) * (size_t)24);
	for (size_t i = 0; i < profile_members(profile); i++)
		out->file_hash[i] = cursor_hash128(cursor);
	cursor_zeros(cursor, cursor_left(cursor));
}

static bool trailer_plausible(const struct column_trailer *trailer)
{
	const struct set_certificate *certificate = &trailer->certificate;
	struct hash128 seal = set_seal_id(trailer->set, trailer->uuid, &certificate->descriptor);

	return (trailer->kind == COLUMN_DATA || trailer->kind == COLUMN_PARITY) &&
	       trailer->column < profile_members(certificate->descriptor.profile) &&
	       trailer->index_pages == column_index_pages(trailer->index_entries) &&
	       hash128_equal(seal, certificate->seal);
}

enum err column_trailer_decode(const uint8_t in[COLUMN_TRAILER_SIZE], struct column_trailer *out)
{
	struct cursor cursor = cursor_make(bytes_make(in, HASH_OFFSET));
	struct column_trailer trailer = {0};
	enum err err = check_block(in, TRAILER_MAGIC);

	if (err != ERR_OK)
		return err;
	(void)cursor_take(&cursor, MAGIC_SIZE + 2);
	trailer.kind = (enum column_kind)cursor_u8(&cursor);
	trailer.column = cursor_u8(&cursor);
	get_shape(&cursor, &trailer.certificate.descriptor.profile);
	cursor_zeros(&cursor, 1);
	trailer.set = cursor_u64(&cursor);
	trailer.uuid = cursor_id(&cursor);
	trailer.certificate.seal = cursor_hash128(&cursor);
	trailer.body_size = cursor_u64(&cursor);
	trailer.index_offset = cursor_u64(&cursor);
	trailer.index_pages = cursor_u32(&cursor);
	trailer.index_entries = cursor_u32(&cursor);
	trailer.index_hash = cursor_hash128(&cursor);
	get_certificate(&cursor, &trailer.certificate);
	err = cursor_end(&cursor);
	if (err == ERR_OK && !trailer_plausible(&trailer))
		err = ERR_CORRUPT;
	if (err == ERR_OK)
		*out = trailer;
	return err;
}

/* ---- index ---- */

void column_entry_put(const struct column_entry *entry, struct buf *out)
{
	buf_put_id(out, entry->id);
	buf_put_u32(out, entry->piece);
	buf_put_u8(out, entry->column);
	buf_put_u8(out, entry->type);
	buf_put_u16(out, 0);
	buf_put_u64(out, entry->offset);
	buf_put_u32(out, entry->payload_size);
	buf_put_u32(out, 0);
}

void column_entry_get(struct cursor *cursor, struct column_entry *out)
{
	out->id = cursor_id(cursor);
	out->piece = cursor_u32(cursor);
	out->column = cursor_u8(cursor);
	out->type = cursor_u8(cursor);
	cursor_zeros(cursor, 2);
	out->offset = cursor_u64(cursor);
	out->payload_size = cursor_u32(cursor);
	cursor_zeros(cursor, 4);
}

int column_entry_compare(struct id128 id, uint32_t piece, const struct column_entry *entry)
{
	int order = id128_compare(id, entry->id);

	if (order != 0)
		return order;
	return piece < entry->piece ? -1 : piece > entry->piece;
}

/* By place within one name, so that every member builds the same bytes. */
static int compare_entries(const void *left, const void *right)
{
	const struct column_entry *a = left, *b = right;
	int order = column_entry_compare(a->id, a->piece, b);

	if (order != 0)
		return order;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

uint32_t column_index_pages(size_t entry_count)
{
	return (uint32_t)((entry_count + COLUMN_INDEX_PER_PAGE - 1) / COLUMN_INDEX_PER_PAGE);
}

static void put_page(const struct column_entry *entries, size_t count, struct buf *out)
{
	size_t start = out->size;

	if (buf_reserve(out, COLUMN_INDEX_PAGE) != ERR_OK)
		return;
	for (size_t i = 0; i < count; i++)
		column_entry_put(&entries[i], out);
	buf_put_zeros(out, (COLUMN_INDEX_PER_PAGE - count) * COLUMN_INDEX_ENTRY);
	buf_put_u16(out, (uint16_t)count);
	buf_put_zeros(out, 6);
	buf_put_u64(out, hash_64(out->data + start, COLUMN_INDEX_PAGE - 8));
}

void column_index_build(struct column_entry *entries, size_t count, struct buf *out)
{
	if (count > 1)
		qsort(entries, count, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < count; i += COLUMN_INDEX_PER_PAGE)
		put_page(entries + i,
			 count - i < COLUMN_INDEX_PER_PAGE ? count - i : COLUMN_INDEX_PER_PAGE,
			 out);
}

enum err column_index_page_decode(const uint8_t page[COLUMN_INDEX_PAGE], struct column_entry *out,
				  size_t *count)
{
	struct cursor cursor = cursor_make(bytes_make(page, COLUMN_INDEX_PAGE - 8));
	size_t entry_count = load_u16(page + COLUMN_INDEX_PAGE - 16);

	if (load_u64(page + COLUMN_INDEX_PAGE - 8) != hash_64(page, COLUMN_INDEX_PAGE - 8) ||
	    entry_count == 0 || entry_count > COLUMN_INDEX_PER_PAGE)
		return ERR_CORRUPT;
	for (size_t i = 0; i < entry_count; i++)
		column_entry_get(&cursor, &out[i]);
	cursor_zeros(&cursor, (COLUMN_INDEX_PER_PAGE - entry_count) * COLUMN_INDEX_ENTRY);
	(void)cursor_u16(&cursor);
	cursor_zeros(&cursor, 6);
	*count = entry_count;
	return cursor_end(&cursor);
}

struct hash128 column_parity_hash(struct hash128 previous, struct bytes block)
{
	struct hash128 own = hash_128(block.data, block.size);
	uint8_t both[32];

	store_u64(both, previous.low);
	store_u64(both + 8, previous.high);
	store_u64(both + 16, own.low);
	store_u64(both + 24, own.high);
	return hash_128(both, sizeof(both));
}
