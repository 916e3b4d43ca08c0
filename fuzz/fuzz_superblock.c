/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Superblocks and segment headers, both copies, hashes made right.
 * Input: mode; the fields of copy 0; those of copy 1; then pokes into the zeros of either copy,
 * u16 offset (its top bit: the copy) and the value.
 */
#include "engine/base/hash.h"
#include "engine/format/segment.h"
#include "engine/format/superblock.h"
#include "fuzz/fuzz.h"

#define COPY 4096u

static void fill_copies(struct cursor *input, size_t field_size, uint8_t both[2 * COPY])
{
	memset(both, 0, 2 * COPY);
	fuzz_fill(input, both, field_size);
	fuzz_fill(input, both + COPY, field_size);
	while (cursor_left(input) >= 3) {
		uint16_t at = cursor_u16(input);

		both[(at >> 15) * COPY + at % COPY] = cursor_u8(input);
	}
}

static void check_superblock(struct cursor *input)
{
	uint8_t both[SUPERBLOCK_SIZE], again[SUPERBLOCK_SIZE];
	struct superblock chosen, copy;
	unsigned stale;

	fill_copies(input, 136, both);
	for (unsigned i = 0; i < 2; i++) {
		struct hash128 hash = hash_128(both + i * COPY, COPY - 16);

		store_u64(both + i * COPY + COPY - 16, hash.low);
		store_u64(both + i * COPY + COPY - 8, hash.high);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (superblock_decode(both + i * COPY, i, &copy) != ERR_OK)
			continue;
		superblock_encode(&copy, again);
		/* Features that this program lacks are not written again. */
		memcpy(again + i * COPY + 24, both + i * COPY + 24, 16);
		ASSERT(memcmp(again + i * COPY, both + i * COPY, COPY - 16) == 0);
	}
	if (superblock_choose(both, &chosen, &stale) != ERR_OK)
		return;
	ASSERT(stale < 3);
	for (unsigned i = 0; i < 2; i++)
		if (superblock_decode(both + i * COPY, i, &copy) == ERR_OK)
			ASSERT(copy.generation <= chosen.generation);
}

static void check_segment(struct cursor *input)
{
	uint8_t both[SEGMENT_HEADER_SIZE], again[SEGMENT_HEADER_SIZE];
	struct segment_header header;

	fill_copies(input, 72, both);
	for (unsigned i = 0; i < 2; i++)
		store_u64(both + i * COPY + COPY - 8, hash_64(both + i * COPY, COPY - 8));
	if (segment_header_decode(both, &header) != ERR_OK)
		return;
	segment_header_encode(&header, again);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(again + 12, both + i * COPY + 12, 8); /* features */
		if (memcmp(again, both + i * COPY, COPY - 8) == 0)
			return;
	}
	ASSERT(!"one of the copies is what was read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));

	if ((cursor_u8(&input) & 1) != 0)
		check_segment(&input);
	else
		check_superblock(&input);
	return 0;
}
