/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What stands around the records of a column (engine/format/column.h). The first byte chooses:
 * header, trailer, vote, index page, file name, or an index built from the input.
 */
#include "engine/format/column.h"
#include "fuzz/fuzz.h"

#define ENTRIES_MAX 256u

static void check_header(struct cursor *input)
{
	uint8_t encoded[COLUMN_HEADER_SIZE], again[COLUMN_HEADER_SIZE];
	struct column_header header, found;
	struct buf both = {0};

	fuzz_fill(input, encoded, sizeof(encoded));
	store_u64(encoded + 1016, hash_64(encoded, 1016));
	if (column_header_decode(encoded, &header) != ERR_OK)
		return;
	column_header_encode(&header, again);
	memcpy(again + 12, encoded + 12, 4); /* unknown compatible features are not kept */
	ASSERT(memcmp(again, encoded, 1016) == 0);
	column_header_put(&header, &both);
	ASSERT(column_header_find(bytes_of_buf(&both), header.set, header.column, header.kind,
				  &found) == ERR_OK);
	ASSERT(found.set == header.set && id128_equal(found.tag, header.tag));
	buf_finish(&both);
}

/* The seal id of the descriptor that stands in a trailer, where it must say so. */
static void make_seal(uint8_t trailer[COLUMN_TRAILER_SIZE])
{
	struct column_vote vote;
	struct hash128 seal;
	struct id128 uuid;
	struct buf encoded = {0};

	buf_put_zeros(&encoded, 32);
	buf_put(&encoded, trailer + 12, 3);
	buf_put_zeros(&encoded, 5);
	buf_put(&encoded, trailer + 96, (trailer[12] & 15) * (size_t)24);
	if (column_vote_decode(bytes_of_buf(&encoded), &vote) == ERR_OK) {
		memcpy(uuid.octets, trailer + 24, 16);
		seal = set_seal_id(load_u64(trailer + 16), uuid, &vote.descriptor);
		store_u64(trailer + 40, seal.low);
		store_u64(trailer + 48, seal.high);
	}
	buf_finish(&encoded);
}

static void check_trailer(struct cursor *input)
{
	uint8_t encoded[COLUMN_TRAILER_SIZE], again[COLUMN_TRAILER_SIZE];
	struct column_trailer trailer;

	fuzz_fill(input, encoded, sizeof(encoded));
	make_seal(encoded);
	store_u64(encoded + 1016, hash_64(encoded, 1016));
	if (column_trailer_decode(encoded, &trailer) != ERR_OK)
		return;
	ASSERT(profile_valid(trailer.certificate.descriptor.profile));
	column_trailer_encode(&trailer, again);
	ASSERT(memcmp(again, encoded, sizeof(again)) == 0);
}

static void check_vote(struct cursor *input)
{
	struct column_vote vote;
	struct buf again = {0};

	if (column_vote_decode(fuzz_rest(input), &vote) != ERR_OK)
		return;
	column_vote_encode(&vote, &again);
	fuzz_assert_equal(bytes_of_buf(&again), fuzz_rest(input));
	buf_finish(&again);
}

static void check_page(struct cursor *input)
{
	uint8_t page[COLUMN_INDEX_PAGE];
	struct column_entry entries[COLUMN_INDEX_PER_PAGE];
	struct buf again = {0};
	size_t count;

	store_u16(page + 4080, cursor_u16(input));
	memset(page + 4082, 0, 6);
	fuzz_fill(input, page, 4080);
	store_u64(page + 4088, hash_64(page, 4088));
	if (column_index_page_decode(page, entries, &count) != ERR_OK)
		return;
	ASSERT(count <= COLUMN_INDEX_PER_PAGE);
	for (size_t i = 0; i < count; i++)
		column_entry_put(&entries[i], &again);
	ASSERT(again.err == ERR_OK && again.size == count * COLUMN_INDEX_ENTRY);
	ASSERT(count == 0 || memcmp(again.data, page, again.size) == 0);
	buf_finish(&again);
}

static void check_name(struct cursor *input)
{
	char name[COLUMN_NAME_SIZE] = "", again[COLUMN_NAME_SIZE];
	enum column_kind kind;
	uint64_t set;
	uint8_t column;

	fuzz_fill(input, (uint8_t *)name, sizeof(name) - 1);
	if (column_parse_name(name, &set, &column, &kind) != ERR_OK)
		return;
	column_name(set, column, kind, again);
	ASSERT(strcmp(again + strlen("columns/"), name) == 0);
}

static void check_index(struct cursor *input)
{
	struct column_entry entries[ENTRIES_MAX], page[COLUMN_INDEX_PER_PAGE], last = {0};
	struct buf pages = {0};
	size_t count = 0, seen = 0, on_page;

	for (; count < ENTRIES_MAX && cursor_left(input) != 0; count++) {
		entries[count] = (struct column_entry){.piece = cursor_u8(input) & 3};
		entries[count].id.octets[0] = cursor_u8(input);
		entries[count].offset = cursor_u8(input);
		entries[count].type = 1;
	}
	column_index_build(entries, count, &pages);
	ASSERT(pages.err == ERR_OK);
	ASSERT(pages.size == column_index_pages(count) * (size_t)COLUMN_INDEX_PAGE);
	for (size_t at = 0; at < pages.size; at += COLUMN_INDEX_PAGE) {
		ASSERT(column_index_page_decode(pages.data + at, page, &on_page) == ERR_OK);
		for (size_t i = 0; i < on_page; i++, last = page[i - 1])
			ASSERT(seen + i == 0 ||
			       column_entry_compare(last.id, last.piece, &page[i]) <= 0);
		seen += on_page;
	}
	ASSERT(seen == count);
	buf_finish(&pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct cursor *) = {check_header, check_trailer, check_vote,
							  check_page,	check_name,    check_index};
	struct cursor input = cursor_make(bytes_make(data, size));

	checks[cursor_u8(&input) % (sizeof(checks) / sizeof(checks[0]))](&input);
	return 0;
}
