/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A sealed blob. The AEAD would stop a fuzzer at the first frame, so the target seals the frames
 * itself around a padded plaintext that is the input's; or seals the input as a message and reads a
 * range back.
 * Input: mode, u64 range offset, u64 range size; then for a forged blob u32 P, u8 length of the table
 * (without its top bit P and the table are made likely),
 * u32 padded size at least, the table, the chunks; else u32 seed, u8 repetitions, the message.
 */
#include "engine/crypto/blob_format.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

#define PADDED_MAX (5u << 16)

static const struct sealed_name name = {.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
					.type = SEALED_MESSAGE,
					.epoch = 7,
					.blob = {{1}}};

static enum err source(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	const struct buf *sealed = context;

	ASSERT(offset <= sealed->size && size <= sealed->size - offset);
	out->bytes = bytes_make(sealed->data + offset, (size_t)size);
	return ERR_OK;
}

/* Frames around `padded`. */
static void seal(struct bytes padded, const uint8_t key[KEY_SIZE], struct buf *sealed)
{
	uint8_t associated[BLOB_ASSOCIATED_SIZE], nonce[NONCE_SIZE];

	blob_associated(&name, associated);
	for (size_t at = 0; at < padded.size; at += FRAME_PLAIN_SIZE) {
		struct bytes frame = bytes_slice(padded, at, FRAME_PLAIN_SIZE);

		blob_nonce(at / FRAME_PLAIN_SIZE, at + frame.size == padded.size, nonce);
		ASSERT(aead_seal(key, nonce, bytes_make(associated, sizeof(associated)), frame,
				 sealed) == ERR_OK);
	}
}

static void forge(struct cursor *input, uint64_t offset, uint64_t size)
{
	static const uint8_t key[KEY_SIZE] = {9};
	uint64_t plain_size = cursor_u32(input);
	uint8_t options = cursor_u8(input);
	bool is_likely = (options & 128) == 0;
	size_t table_count = options & 7;
	size_t padded_wish = cursor_u32(input) % PADDED_MAX;
	size_t trailer_size;
	uint8_t table[28], *padded;
	struct buf plain = {0}, sealed = {0}, out = {0};
	enum err err;

	if (is_likely) {
		plain_size %= 4 * CHUNK_SIZE;
		table_count = (size_t)blob_chunk_count(plain_size);
	}
	trailer_size = BLOB_TRAILER_SIZE + table_count * 4;
	fuzz_fill(input, table, table_count * 4);
	for (size_t i = 0; is_likely && i < table_count; i++)
		store_u32(table + 4 * i, load_u32(table + 4 * i) % (CHUNK_SIZE + 2));
	buf_put_bytes(&plain, bytes_slice(fuzz_rest(input), 0, PADDED_MAX / 2));
	if (plain.size + trailer_size > padded_wish)
		padded_wish = plain.size + trailer_size;
	buf_put_zeros(&plain, (size_t)padded_size(padded_wish) - plain.size);
	padded = plain.data + plain.size - trailer_size;
	memcpy(padded, table, table_count * 4);
	store_u64(padded + table_count * 4, plain_size);
	padded[table_count * 4 + 8] = BLOB_LAYOUT;
	padded[table_count * 4 + 9] = BLOB_COMPRESSION_ZSTD;
	seal(bytes_of_buf(&plain), key, &sealed);
	buf_put_string(&out, "x");
	err = blob_open_range(&name, key, sealed.size, source, &sealed, offset, size, &out);
	ASSERT(err == ERR_OK ? out.size - 1 <= size && out.size - 1 <= plain_size : out.size == 1);
	buf_finish(&plain);
	buf_finish(&sealed);
	buf_finish(&out);
}

static void round_trip(struct cursor *input, uint64_t offset, uint64_t size)
{
	static struct unit_env env;
	uint32_t seed = cursor_u32(input);
	size_t repeat = 1 + cursor_u8(input);
	struct blob_sealer *sealer;
	struct buf plain = {0}, sealed = {0}, out = {0};

	for (size_t i = 0; i < repeat && plain.size < PADDED_MAX; i++)
		buf_put_bytes(&plain, fuzz_rest(input));
	unit_env_init(&env, seed);
	ASSERT(blob_sealer_create(&env.env, &name, &sealer) == ERR_OK);
	for (size_t at = 0; at < plain.size;) {
		struct bytes rest = bytes_slice(bytes_of_buf(&plain), at, plain.size);
		struct bytes piece = bytes_slice(rest, 0, fuzz_piece(&seed, rest.size) * 97);

		ASSERT(blob_sealer_update(sealer, piece, &sealed) == ERR_OK);
		at += piece.size;
	}
	ASSERT(blob_sealer_finish(sealer, &sealed) == ERR_OK);
	ASSERT(blob_sealer_plain_size(sealer) == plain.size);
	offset %= plain.size + 2;
	ASSERT(blob_open_range(&name, blob_sealer_key(sealer), sealed.size, source, &sealed, offset,
			       size, &out) == ERR_OK);
	fuzz_assert_equal(bytes_of_buf(&out),
			  bytes_slice(bytes_of_buf(&plain), (size_t)offset, (size_t)size));
	blob_sealer_destroy(&sealer);
	buf_finish(&plain);
	buf_finish(&sealed);
	buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	bool is_round_trip = (cursor_u8(&input) & 1) != 0;
	uint64_t range_offset = cursor_u64(&input), range_size = cursor_u64(&input);

	ASSERT(key_library_init() == ERR_OK);
	if (input.err != ERR_OK)
		return 0;
	if (is_round_trip)
		round_trip(&input, range_offset, range_size);
	else
		forge(&input, range_offset, range_size);
	return 0;
}
