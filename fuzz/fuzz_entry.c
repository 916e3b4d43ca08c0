/* SPDX-License-Identifier: MPL-2.0 */
/* A journal entry: decoded, looked at, written again from what was read. */
#include "engine/journal/entry.h"
#include "fuzz/fuzz.h"

static void check_again(const struct entry *entry, struct bytes encoded)
{
	struct buf again = {0};
	bool is_signed = entry->signed_part.size != encoded.size;

	entry_begin(entry, &again);
	buf_put_bytes(&again, entry->payload);
	ASSERT(entry_end(&again, 0) == ERR_OK);
	if (is_signed) {
		again.data[3] |= 1;
		buf_put(&again, entry->signature, SIGNATURE_SIZE);
	}
	fuzz_assert_equal(bytes_of_buf(&again), encoded);
	buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes encoded = bytes_make(data, size);
	struct entry_blobs blobs = {0};
	struct entry entry;
	enum entry_kind kind;
	uint64_t epoch;
	uint8_t digest[32];

	if (entry_decode(encoded, &blobs, &entry) == ERR_OK) {
		ASSERT(entry.blob_count <= ENTRY_BLOB_MAX &&
		       entry.payload.size <= ENTRY_PAYLOAD_MAX);
		ASSERT(entry_inspect(encoded, entry.stream, entry.incarnation, entry.seq, &epoch,
				     &kind) == ERR_OK);
		ASSERT(epoch == entry.epoch && kind == entry.kind);
		ASSERT(entry_inspect(encoded, entry.stream, entry.incarnation, entry.seq + 1,
				     &epoch, &kind) == ERR_CORRUPT);
		entry_digest(encoded, digest);
		check_again(&entry, encoded);
	}
	(void)!entry_inspect(encoded, ID128_ZERO, ID128_ZERO, 1, &epoch, &kind);
	entry_blobs_finish(&blobs);
	return 0;
}
