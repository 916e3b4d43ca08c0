/* SPDX-License-Identifier: MPL-2.0 */
/* What a delivery's envelope holds, with the blob reference in it. */
#include "engine/mailbox/delivery.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes encoded = bytes_make(data, size);
	struct delivery_content content;
	struct buf again = {0};

	if (delivery_content_decode(encoded, &content) != ERR_OK)
		return 0;
	ASSERT(content.blob.extent_count <= BLOB_EXTENT_MAX && content.blob.size <= BLOB_SIZE_MAX);
	delivery_content_encode(&content, &again);
	fuzz_assert_equal(bytes_of_buf(&again), encoded);
	buf_finish(&again);
	return 0;
}
