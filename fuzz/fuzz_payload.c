/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The padded body of journal payloads and envelopes. The first byte chooses: bytes as a body; bytes
 * as the stored string of a body whose sizes and padding are made right; bytes as a plaintext that is
 * packed and unpacked.
 */
#include "engine/crypto/payload.h"
#include "fuzz/fuzz.h"

#define LIMIT (1u << 20)

static void unpack(struct bytes body)
{
	struct buf plain = {0};
	enum err err;

	buf_put_string(&plain, "before");
	err = payload_unpack(body, LIMIT, &plain);
	ASSERT(plain.size >= 6 && memcmp(plain.data, "before", 6) == 0);
	ASSERT(err == ERR_OK ? plain.size - 6 == load_u32(body.data) : plain.size == 6);
	ASSERT(plain.size <= LIMIT + 6);
	buf_finish(&plain);
}

static void unpack_stored(struct bytes input)
{
	struct cursor cursor = cursor_make(input);
	uint32_t plain_size = cursor_u32(&cursor) % (2 * LIMIT);
	struct bytes stored = fuzz_rest(&cursor);
	struct buf body = {0};

	buf_put_u32(&body, plain_size);
	buf_put_u32(&body, (uint32_t)stored.size);
	buf_put_bytes(&body, stored);
	buf_put_zeros(&body, payload_padded_size(stored.size) - body.size);
	unpack(bytes_of_buf(&body));
	buf_finish(&body);
}

static void pack(struct bytes plain)
{
	struct buf body = {0}, again = {0};

	ASSERT(payload_pack(plain, &body) == ERR_OK);
	ASSERT(body.size <= payload_padded_size(plain.size));
	ASSERT(payload_unpack(bytes_of_buf(&body), plain.size, &again) == ERR_OK);
	fuzz_assert_equal(bytes_of_buf(&again), plain);
	if (plain.size != 0)
		ASSERT(payload_unpack(bytes_of_buf(&body), plain.size - 1, &again) == ERR_LIMIT);
	buf_finish(&body);
	buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct bytes) = {unpack, unpack_stored, pack};

	if (size != 0)
		checks[data[0] % 3](bytes_make(data + 1, size - 1));
	return 0;
}
