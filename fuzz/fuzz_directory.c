/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Records of the set directory: decoded, written again, and merged, which must not depend on the
 * order. Input: u16 size of the first record; the record; the second record.
 */
#include "engine/directory/directory.h"
#include "fuzz/fuzz.h"

static void encode(const struct directory_record *record, struct buf *out)
{
	directory_record_encode(record, out);
	ASSERT(out->err == ERR_OK);
}

static enum err merged(struct bytes first, struct bytes second, struct buf *out)
{
	struct directory_record into, from;
	enum err err = ERR_OK;

	ASSERT(directory_record_decode(first, &into) == ERR_OK);
	ASSERT(directory_record_decode(second, &from) == ERR_OK);
	from.set = into.set;
	err = directory_record_merge(&into, &from);
	if (err == ERR_OK)
		encode(&into, out);
	directory_record_finish(&into);
	directory_record_finish(&from);
	return err;
}

static void check_merge(struct bytes a, struct bytes b)
{
	struct buf ab = {0}, ba = {0}, twice = {0};

	if (merged(a, b, &ab) == ERR_OK && merged(b, a, &ba) == ERR_OK) {
		/* The set is the caller's to match: that of the first. */
		memcpy(ba.data + 1, ab.data + 1, 8);
		fuzz_assert_equal(bytes_of_buf(&ab), bytes_of_buf(&ba));
		ASSERT(merged(bytes_of_buf(&ab), b, &twice) == ERR_OK);
		fuzz_assert_equal(bytes_of_buf(&ab), bytes_of_buf(&twice));
	}
	buf_finish(&ab);
	buf_finish(&ba);
	buf_finish(&twice);
}

static bool check_record(struct bytes encoded)
{
	struct directory_record record;
	struct id128 last = ID128_ZERO;
	struct buf again = {0};

	if (directory_record_decode(encoded, &record) != ERR_OK)
		return false;
	encode(&record, &again);
	fuzz_assert_equal(bytes_of_buf(&again), encoded);
	for (uint32_t i = 0; i < record.placements.count; i++) {
		struct directory_placement placement;

		directory_get_placement(&record, i, &placement);
		ASSERT(placement.column < PROFILE_MEMBER_MAX);
		ASSERT(!directory_is_removed(&record, placement.tag));
		ASSERT(i == 0 || id128_compare(last, placement.tag) < 0);
		last = placement.tag;
	}
	buf_finish(&again);
	directory_record_finish(&record);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	size_t first_size = cursor_u16(&input);
	struct bytes first = bytes_slice(fuzz_rest(&input), 0, first_size);
	struct bytes second = bytes_slice(fuzz_rest(&input), first.size, size);
	bool both = check_record(first);

	both &= check_record(second);
	if (both)
		check_merge(first, second);
	return 0;
}
