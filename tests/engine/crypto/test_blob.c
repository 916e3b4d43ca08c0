/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/crypto/blob_format.h"
#include "tests/support/unit_env.h"

static struct unit_env test;

static const struct sealed_name a_name = {
	.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
	.type = SEALED_MESSAGE,
	.account_tag = {{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
			 0x11, 0x11, 0x11, 0x11}},
	.epoch = 7,
	.blob = {{0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
		  0x22, 0x22, 0x22}},
};

static int setup(void **state)
{
	(void)state;
	unit_env_init(&test, 42);
	return key_library_init() == ERR_OK ? 0 : -1;
}

/* A sealed blob and how often its source was asked for how much. */
struct sealed {
	uint8_t key[KEY_SIZE];
	struct buf frames;
	size_t fetches;
	uint64_t fetched;
	enum err fail; /* what the source returns, after `fail_after` fetches */
	size_t fail_after;
};

static enum err fetch(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	struct sealed *sealed = context;

	assert_true(size > 0 && size <= PIECE_SIZE);
	assert_true(offset + size <= sealed->frames.size);
	if (sealed->fail != ERR_OK && sealed->fetches >= sealed->fail_after)
		return sealed->fail;
	sealed->fetches++;
	sealed->fetched += size;
	out->bytes = bytes_make(sealed->frames.data + offset, (size_t)size);
	return ERR_OK;
}

/* In steps of `step` bytes; 0: at once. */
static enum err seal_steps(const struct sealed_name *name, struct bytes plain, size_t step,
			   struct sealed *out)
{
	struct blob_sealer *sealer;
	uint64_t size = plain.size;
	enum err err;

	*out = (struct sealed){0};
	err = blob_sealer_create(&test.env, name, &sealer);
	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && plain.size != 0) {
		struct bytes part = bytes_slice(plain, 0, step != 0 ? step : plain.size);

		err = blob_sealer_update(sealer, part, &out->frames);
		plain = bytes_slice(plain, part.size, plain.size);
	}
	if (err == ERR_OK)
		err = blob_sealer_finish(sealer, &out->frames);
	if (err == ERR_OK) {
		memcpy(out->key, blob_sealer_key(sealer), KEY_SIZE);
		assert_true(blob_sealer_plain_size(sealer) == size);
	}
	blob_sealer_destroy(&sealer);
	return err;
}

static void seal(struct bytes plain, struct sealed *out)
{
	assert_ok(seal_steps(&a_name, plain, 0, out));
}

static enum err open_as(const struct sealed_name *name, struct sealed *sealed, uint64_t offset,
			uint64_t size, struct buf *out)
{
	sealed->fetches = 0;
	sealed->fetched = 0;
	return blob_open_range(name, sealed->key, sealed->frames.size, fetch, sealed, offset, size,
			       out);
}

static void assert_opens(struct sealed *sealed, struct bytes plain, uint64_t offset, uint64_t size)
{
	struct buf out = {0};

	buf_put_string(&out, "before");
	assert_ok(open_as(&a_name, sealed, offset, size, &out));
	plain = bytes_slice(plain, (size_t)offset, (size_t)size);
	assert_int_equal(out.size, 6 + plain.size);
	assert_true(bytes_equal(bytes_slice(bytes_of_buf(&out), 6, out.size), plain));
	buf_finish(&out);
}

static void assert_refused(const struct sealed_name *name, struct sealed *sealed, enum err expected)
{
	struct buf out = {0};

	buf_put_string(&out, "before");
	assert_int_equal(open_as(name, sealed, 0, UINT64_MAX, &out), expected);
	assert_true(bytes_equal(bytes_of_buf(&out), bytes_string("before")));
	buf_finish(&out);
}

static void fill_random(struct buf *buf, size_t size)
{
	uint8_t *at = buf_extend(buf, size);

	assert_non_null(at);
	env_random(&test.env, at, size);
}

/* Text that compresses about as mail does, each line another. */
static void fill_text(struct buf *buf, size_t size)
{
	size_t start = buf->size;

	while (buf->size - start < size)
		buf_printf(buf, "line %llu of a message that is like others %llx\r\n",
			   (unsigned long long)buf->size,
			   (unsigned long long)unit_env_below(&test, 1u << 30));
	buf->size = start + size;
}

static const size_t sizes[] = {0,      1,      100,	     4000,    4076,   4077,   12288,
			       65535,  65536,  65537,	     70000,   131071, 131072, 131073,
			       196608, 524288, 524288 + 123, 1048576, 2500000};

/* ---- the format ---- */

#ifndef AEROSTORE_NULL_CIPHER
static void assert_digest(const struct buf *buf, const char *expected)
{
	uint8_t digest[DIGEST_SIZE];

	digest_256(bytes_of_buf(buf), digest);
	assert_hex(digest, DIGEST_SIZE, expected);
}
#endif

/* Digests of what an independent program makes of docs/format.md (Python, PyCryptodome). */
static void test_known_answers(void **state)
{
	struct sealed sealed;
	struct buf plain = {0};

	(void)state;
	unit_env_init(&test, 42);
	seal(bytes_string("Hello, blob.\n"), &sealed);
	assert_int_equal(sealed.frames.size, 4096 + TAG_SIZE);
#ifndef AEROSTORE_NULL_CIPHER
	assert_digest(&sealed.frames,
		      "aeb2df517b807b39fbfc5e9bfe6145956d2fa55295f214b4af33c0a655666bcd");
#endif
	buf_finish(&sealed.frames);
	unit_env_init(&test, 99);
	fill_random(&plain, 70000);
	unit_env_init(&test, 42);
	seal(bytes_of_buf(&plain), &sealed);
	assert_int_equal(sealed.frames.size, 71680 + 2 * TAG_SIZE);
#ifndef AEROSTORE_NULL_CIPHER
	assert_digest(&sealed.frames,
		      "2e68554af47073d4325707d4b265083a32491085767a02fb388cc8e87e306ef2");
#endif
	buf_finish(&sealed.frames);
	buf_finish(&plain);
}

static void test_padded_size(void **state)
{
	uint64_t before = 0;

	(void)state;
	assert_true(padded_size(0) == 4096);
	assert_true(padded_size(4096) == 4096);
	assert_true(padded_size(4097) == 4352);
	assert_true(padded_size(70024) == 71680);
	for (uint64_t size = 1; size < 300000; size += 1 + size / 100) {
		uint64_t padded = padded_size(size);

		assert_true(padded >= size && padded >= before);
		assert_true(padded_size(padded) == padded);
		assert_true(size <= 4096 || padded - size <= size * 12 / 100);
		before = padded;
	}
	for (unsigned bit = 20; bit < 61; bit++) {
		uint64_t size = (UINT64_C(1) << bit) + 1, padded = padded_size(size);

		assert_true(padded >= size && padded - size < size / 16);
	}
}

/* ---- reading what was written ---- */

static void test_round_trip_of_sizes(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < 2; kind++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct buf plain = {0};
			struct sealed sealed;

			if (kind == 0)
				fill_random(&plain, sizes[i]);
			else
				fill_text(&plain, sizes[i]);
			seal(bytes_of_buf(&plain), &sealed);
			assert_opens(&sealed, bytes_of_buf(&plain), 0, UINT64_MAX);
			assert_opens(&sealed, bytes_of_buf(&plain), 0, sizes[i]);
			for (size_t n = 0; n < 20; n++)
				assert_opens(&sealed, bytes_of_buf(&plain),
					     unit_env_below(&test, sizes[i] + 10),
					     unit_env_below(&test, sizes[i] + 10));
			buf_finish(&sealed.frames);
			buf_finish(&plain);
		}
}

/* However the plaintext is dealt out, the same ciphertext comes (with the same key). */
static void test_steps_do_not_matter(void **state)
{
	static const size_t steps[] = {1, 977, 65535, 65536, 65537, 100000};
	struct buf plain = {0};
	struct sealed whole, stepped;

	(void)state;
	fill_text(&plain, 200000);
	unit_env_init(&test, 5);
	seal(bytes_of_buf(&plain), &whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		unit_env_init(&test, 5);
		assert_ok(seal_steps(&a_name, bytes_of_buf(&plain), steps[i], &stepped));
		assert_true(
			bytes_equal(bytes_of_buf(&whole.frames), bytes_of_buf(&stepped.frames)));
		buf_finish(&stepped.frames);
	}
	buf_finish(&whole.frames);
	buf_finish(&plain);
}

static void test_frames_leave_early(void **state)
{
	struct blob_sealer *sealer;
	struct buf plain = {0}, frames = {0};

	(void)state;
	fill_random(&plain, CHUNK_SIZE);
	assert_ok(blob_sealer_create(&test.env, &a_name, &sealer));
	for (size_t i = 1; i <= 50; i++) {
		assert_ok(blob_sealer_update(sealer, bytes_of_buf(&plain), &frames));
		assert_int_equal(frames.size, i * FRAME_SIZE);
	}
	blob_sealer_destroy(&sealer);
	assert_null(sealer);
	blob_sealer_destroy(&sealer);
	buf_finish(&plain);
	buf_finish(&frames);
}

static void test_text_shrinks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf plain = {0};
		struct sealed sealed;

		fill_text(&plain, sizes[i]);
		seal(bytes_of_buf(&plain), &sealed);
		assert_true(sizes[i] <= 12000 || sealed.frames.size < sizes[i] * 3 / 4);
		buf_finish(&sealed.frames);
		buf_finish(&plain);
	}
}

/* Zeros: the table of the chunks is longer than the chunks, and spans frames. */
static void test_table_longer_than_a_frame(void **state)
{
	enum { SIZE = 64 * 1024 * 1024 };
	uint8_t *zeros = memory_allocate(SIZE);
	struct bytes plain = bytes_make(zeros, SIZE);
	struct sealed sealed;
	struct blob_sealer *sealer;
	struct buf out = {0};

	(void)state;
	assert_non_null(zeros);
	zeros[SIZE - 1] = 9;
	sealed = (struct sealed){0};
	assert_ok(blob_sealer_create(&test.env, &a_name, &sealer));
	for (size_t i = 0; i < 20; i++)
		assert_ok(blob_sealer_update(sealer, plain, &sealed.frames));
	assert_ok(blob_sealer_finish(sealer, &sealed.frames));
	memcpy(sealed.key, blob_sealer_key(sealer), KEY_SIZE);
	blob_sealer_destroy(&sealer);
	assert_true(sealed.frames.size < SIZE / 10);
	assert_ok(open_as(&a_name, &sealed, 20ull * SIZE - 1, 5, &out));
	assert_int_equal(out.size, 1);
	assert_int_equal(out.data[0], 9);
	assert_ok(open_as(&a_name, &sealed, 3ull * SIZE - 1, 2, &out));
	assert_int_equal(out.size, 3);
	assert_int_equal(out.data[1], 9);
	assert_int_equal(out.data[2], 0);
	buf_finish(&out);
	buf_finish(&sealed.frames);
	memory_free(zeros);
}

static void test_fetches_are_few(void **state)
{
	struct buf plain = {0}, out = {0};
	struct sealed sealed;

	(void)state;
	fill_random(&plain, 12288);
	seal(bytes_of_buf(&plain), &sealed);
	assert_ok(open_as(&a_name, &sealed, 5, 10, &out));
	assert_int_equal(sealed.fetches, 1);
	buf_finish(&sealed.frames);

	/* Up to a piece, wanted whole: one; of a larger one what is needed only. */
	buf_clear(&plain);
	fill_random(&plain, 900000);
	seal(bytes_of_buf(&plain), &sealed);
	assert_ok(open_as(&a_name, &sealed, 0, 900000, &out));
	assert_int_equal(sealed.fetches, 1);
	assert_ok(open_as(&a_name, &sealed, 0, UINT64_MAX, &out));
	assert_int_equal(sealed.fetches, 1);
	assert_ok(open_as(&a_name, &sealed, 0, 1000, &out));
	assert_int_equal(sealed.fetches, 2);
	assert_true(sealed.fetched <= 3 * FRAME_SIZE);
	buf_finish(&sealed.frames);

	buf_clear(&plain);
	fill_random(&plain, 10000000);
	seal(bytes_of_buf(&plain), &sealed);
	buf_clear(&out);
	assert_ok(open_as(&a_name, &sealed, 5000000, 1000, &out));
	assert_true(sealed.fetches <= 3);
	assert_true(sealed.fetched <= 4 * FRAME_SIZE);
	assert_ok(open_as(&a_name, &sealed, 0, UINT64_MAX, &out));
	assert_true(sealed.fetched <= sealed.frames.size + 3 * FRAME_SIZE);
	assert_true(sealed.fetches <= 10000000 / PIECE_SIZE + 4);
	buf_finish(&sealed.frames);
	buf_finish(&plain);
	buf_finish(&out);
}

/* ---- what shows ---- */

/* Equal padded content, equal size of ciphertext; never anything finer. */
static void test_only_the_padded_size_shows(void **state)
{
	struct buf plain = {0};
	size_t before = 0, steps = 0;

	(void)state;
	fill_random(&plain, 80000);
	for (size_t size = 0; size <= plain.size; size += 61) {
		uint64_t content = size + 4 * blob_chunk_count(size) + 16;
		uint64_t padded = padded_size(content);
		uint64_t frames = (padded + FRAME_PLAIN_SIZE - 1) / FRAME_PLAIN_SIZE;
		struct sealed sealed;

		seal(bytes_slice(bytes_of_buf(&plain), 0, size), &sealed);
		assert_true(sealed.frames.size == padded + frames * TAG_SIZE);
		steps += sealed.frames.size != before;
		before = sealed.frames.size;
		buf_finish(&sealed.frames);
	}
	assert_true(steps < 80);
	buf_finish(&plain);
}

/* A retry is another sealer, and another sealer has another key: nothing can be sealed twice. */
static void test_every_sealer_has_its_own_key(void **state)
{
	struct sealed_name other = a_name;
	struct sealed first, again, elsewhere;

	(void)state;
	other.epoch++;
	seal(bytes_string("the same message"), &first);
	seal(bytes_string("the same message"), &again);
	assert_ok(seal_steps(&other, bytes_string("the same message"), 0, &elsewhere));
	assert_memory_not_equal(first.key, again.key, KEY_SIZE);
	assert_memory_not_equal(first.key, elsewhere.key, KEY_SIZE);
	assert_memory_not_equal(again.key, elsewhere.key, KEY_SIZE);
	buf_finish(&first.frames);
	buf_finish(&again.frames);
	buf_finish(&elsewhere.frames);
}

static void use_after_finish(void)
{
	struct blob_sealer *sealer;
	struct buf frames = {0};

	if (blob_sealer_create(&test.env, &a_name, &sealer) != ERR_OK ||
	    blob_sealer_finish(sealer, &frames) != ERR_OK)
		_exit(1);
	(void)!freopen("/dev/null", "w", stderr);
	if (blob_sealer_update(sealer, bytes_string("more"), &frames) != ERR_OK)
		_exit(2);
	_exit(3);
}

static void test_a_finished_sealer_takes_nothing(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		use_after_finish();
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- what is refused ---- */

static void test_other_names(void **state)
{
	struct sealed sealed;
	struct sealed_name name;

	(void)state;
	seal(bytes_string("a message"), &sealed);
	name = a_name;
	name.suite = 2;
	assert_refused(&name, &sealed, ERR_NEWER);
	assert_int_equal(blob_sealer_create(&test.env, &name, &(struct blob_sealer *){NULL}),
			 ERR_INVALID);
	name = a_name;
	name.type = SEALED_CACHE;
	assert_refused(&name, &sealed, ERR_AUTH);
	name = a_name;
	name.account_tag.octets[15] ^= 1;
	assert_refused(&name, &sealed, ERR_AUTH);
	name = a_name;
	name.epoch++;
	assert_refused(&name, &sealed, ERR_AUTH);
	name = a_name;
	name.blob.octets[0] ^= 0x80;
	assert_refused(&name, &sealed, ERR_AUTH);
	assert_opens(&sealed, bytes_string("a message"), 0, UINT64_MAX);
	sealed.key[3] ^= 1;
	assert_refused(&a_name, &sealed, ERR_AUTH);
	buf_finish(&sealed.frames);
}

static void test_bit_flips(void **state)
{
	struct buf plain = {0};
	struct sealed sealed;

	(void)state;
	fill_random(&plain, 140000);
	seal(bytes_of_buf(&plain), &sealed);
	for (size_t i = 0; i < 2000; i++) {
		size_t bit = (size_t)unit_env_below(&test, sealed.frames.size * 8);

		if (i < 128) /* the first tag's, and the last's */
			bit = (i % 2 == 0 ? FRAME_SIZE * 8 : sealed.frames.size * 8) - 1 - i / 2;
		sealed.frames.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_refused(&a_name, &sealed, ERR_AUTH);
		sealed.frames.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_opens(&sealed, bytes_of_buf(&plain), 0, UINT64_MAX);
	buf_finish(&sealed.frames);
	seal(bytes_string("small"), &sealed);
	for (size_t bit = 0; bit < sealed.frames.size * 8; bit++) {
		sealed.frames.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_refused(&a_name, &sealed, ERR_AUTH);
		sealed.frames.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_finish(&sealed.frames);
	buf_finish(&plain);
}

static void test_truncations(void **state)
{
	struct buf plain = {0};
	struct sealed sealed;
	size_t size;

	(void)state;
	seal(bytes_string("small"), &sealed);
	for (size = sealed.frames.size; size > 0; size--) {
		sealed.frames.size = size - 1;
		assert_refused(&a_name, &sealed, ERR_AUTH);
	}
	buf_finish(&sealed.frames);
	fill_random(&plain, 300000);
	seal(bytes_of_buf(&plain), &sealed);
	size = sealed.frames.size;
	for (size_t i = 0; i < 300; i++) {
		sealed.frames.size =
			i < 5 ? i * FRAME_SIZE : (size_t)unit_env_below(&test, sealed.frames.size);
		assert_refused(&a_name, &sealed, ERR_AUTH);
		sealed.frames.size = size;
	}
	/* Longer is wrong, too: whole frames, and bytes. */
	buf_put(&sealed.frames, plain.data, 4096);
	assert_refused(&a_name, &sealed, ERR_AUTH);
	buf_finish(&sealed.frames);
	buf_finish(&plain);
}

static void swap_frames(struct sealed *sealed, size_t a, size_t b)
{
	uint8_t *frame = memory_allocate(FRAME_SIZE), *data = sealed->frames.data;

	assert_non_null(frame);
	memcpy(frame, data + a * FRAME_SIZE, FRAME_SIZE);
	memcpy(data + a * FRAME_SIZE, data + b * FRAME_SIZE, FRAME_SIZE);
	memcpy(data + b * FRAME_SIZE, frame, FRAME_SIZE);
	memory_free(frame);
}

static void test_frames_swapped_cut_and_foreign(void **state)
{
	struct buf plain = {0};
	struct sealed sealed, other;

	(void)state;
	fill_random(&plain, 65536 * 5);
	seal(bytes_of_buf(&plain), &sealed);
	seal(bytes_of_buf(&plain), &other);
	for (size_t a = 0; a < 5; a++)
		for (size_t b = 0; b < a; b++) {
			swap_frames(&sealed, a, b);
			assert_refused(&a_name, &sealed, ERR_AUTH);
			swap_frames(&sealed, a, b);
		}
	/* Another blob's frame in the same place. */
	for (size_t a = 0; a < 5; a++) {
		memcpy(sealed.frames.data + a * FRAME_SIZE, other.frames.data + a * FRAME_SIZE,
		       FRAME_SIZE);
		assert_refused(&a_name, &sealed, ERR_AUTH);
		buf_finish(&sealed.frames);
		seal(bytes_of_buf(&plain), &sealed);
	}
	/* One frame cut from the middle, the sizes staying possible. */
	memmove(sealed.frames.data + FRAME_SIZE, sealed.frames.data + 2 * FRAME_SIZE,
		sealed.frames.size - 2 * FRAME_SIZE);
	sealed.frames.size -= FRAME_SIZE;
	assert_refused(&a_name, &sealed, ERR_AUTH);
	buf_finish(&sealed.frames);
	buf_finish(&other.frames);
	buf_finish(&plain);
}

static void test_errors_of_the_source_pass(void **state)
{
	struct buf plain = {0};
	struct sealed sealed;

	(void)state;
	fill_random(&plain, 3000000);
	seal(bytes_of_buf(&plain), &sealed);
	for (size_t n = 0; n < 4; n++) {
		sealed.fail = ERR_UNAVAILABLE;
		sealed.fail_after = n;
		assert_refused(&a_name, &sealed, ERR_UNAVAILABLE);
	}
	buf_finish(&sealed.frames);
	buf_finish(&plain);
}

/* ---- what only somebody with the key could have made ---- */

/* One frame with the given end, sealed as the format says. */
static void forge(struct sealed *sealed, struct bytes content, struct bytes end)
{
	uint8_t plain[4096] = {0}, associated[BLOB_ASSOCIATED_SIZE], nonce[NONCE_SIZE];

	*sealed = (struct sealed){0};
	env_random(&test.env, sealed->key, KEY_SIZE);
	if (content.size != 0)
		memcpy(plain, content.data, content.size);
	memcpy(plain + sizeof(plain) - end.size, end.data, end.size);
	blob_associated(&a_name, associated);
	blob_nonce(0, true, nonce);
	assert_ok(aead_seal(sealed->key, nonce, bytes_make(associated, sizeof(associated)),
			    bytes_make(plain, sizeof(plain)), &sealed->frames));
}

struct forged_end {
	const char *end; /* the last entry of the table and the trailer, in hex */
	enum err expected;
};

static void test_forged_tables(void **state)
{
	/* Content is 100 zeros: "stored as it is" with entry 0x64, P = 0x64. */
	static const struct forged_end cases[] = {
		{"64000000"
		 "6400000000000000"
		 "0101"
		 "000000000000",
		 ERR_OK},
		{"64000000"
		 "6400000000000000"
		 "0201"
		 "000000000000",
		 ERR_NEWER},
		{"64000000"
		 "6400000000000000"
		 "0102"
		 "000000000000",
		 ERR_NEWER},
		{"64000000"
		 "6400000000000000"
		 "0001"
		 "000000000000",
		 ERR_CORRUPT},
		{"64000000"
		 "6400000000000000"
		 "0100"
		 "000000000000",
		 ERR_CORRUPT},
		{"64000000"
		 "6400000000000000"
		 "0101"
		 "000000000001",
		 ERR_CORRUPT},
		{"64000000"
		 "6400000000000000"
		 "0101"
		 "800000000000",
		 ERR_CORRUPT},
		{"65000000"
		 "6400000000000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		{"00000000"
		 "6400000000000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		{"ffffffff"
		 "6400000000000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		/* Not a zstd frame. */
		{"63000000"
		 "6400000000000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		/* More chunks than the blob has room for; sizes that overflow. */
		{"64000000"
		 "0000000400000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		{"64000000"
		 "ffffffffffffffff"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		{"64000000"
		 "0000000000010000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
		/* Chunks that need more than the padded size. */
		{"00200000"
		 "0020000000000000"
		 "0101"
		 "000000000000",
		 ERR_CORRUPT},
	};
	uint8_t zeros[100] = {0}, end[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sealed sealed;
		size_t size = unhex(cases[i].end, end, sizeof(end));

		forge(&sealed, bytes_make(zeros, sizeof(zeros)), bytes_make(end, size));
		if (cases[i].expected == ERR_OK)
			assert_opens(&sealed, bytes_make(zeros, sizeof(zeros)), 0, UINT64_MAX);
		else
			assert_refused(&a_name, &sealed, cases[i].expected);
		buf_finish(&sealed.frames);
	}
}

/* A zstd frame of 64 KiB of zeros in a place for 100 bytes: refused, and no more than 100 written.
 */
static void test_bomb(void **state)
{
	/* 64 KiB of zeros as one RLE block: magic, header (single segment, size 2 bytes), block. */
	static const uint8_t bomb[] = {0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00,
				       0xff, 0x03, 0x00, 0x08, 0x00};
	uint8_t end[20] = {sizeof(bomb), 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 1};
	uint8_t zeros[65536] = {0};
	struct sealed sealed;

	(void)state;
	forge(&sealed, bytes_make(bomb, sizeof(bomb)), bytes_make(end, sizeof(end)));
	assert_refused(&a_name, &sealed, ERR_CORRUPT);
	buf_finish(&sealed.frames);
	/* That it is one: with its true size it opens. */
	end[4] = 0;
	end[6] = 1;
	forge(&sealed, bytes_make(bomb, sizeof(bomb)), bytes_make(end, sizeof(end)));
	assert_opens(&sealed, bytes_make(zeros, sizeof(zeros)), 0, UINT64_MAX);
	buf_finish(&sealed.frames);
}

static void test_every_allocation_may_fail(void **state)
{
	struct buf plain = {0};
	struct sealed sealed;
	bool failed;

	(void)state;
	fill_text(&plain, 400000);
	FOR_EACH_ALLOCATION(failed)
	{
		enum err err = seal_steps(&a_name, bytes_of_buf(&plain), 10000, &sealed);

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		if (failed)
			buf_finish(&sealed.frames);
	}
	FOR_EACH_ALLOCATION(failed)
	{
		struct buf out = {0};
		enum err err = open_as(&a_name, &sealed, 50000, 200000, &out);

		failed = err == ERR_NOMEM;
		assert_true(failed || err == ERR_OK);
		assert_int_equal(out.size, failed ? 0 : 200000);
		buf_finish(&out);
	}
	assert_opens(&sealed, bytes_of_buf(&plain), 0, UINT64_MAX);
	buf_finish(&sealed.frames);
	buf_finish(&plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_padded_size),
		cmocka_unit_test(test_round_trip_of_sizes),
		cmocka_unit_test(test_steps_do_not_matter),
		cmocka_unit_test(test_frames_leave_early),
		cmocka_unit_test(test_text_shrinks),
		cmocka_unit_test(test_table_longer_than_a_frame),
		cmocka_unit_test(test_fetches_are_few),
		cmocka_unit_test(test_only_the_padded_size_shows),
		cmocka_unit_test(test_every_sealer_has_its_own_key),
		cmocka_unit_test(test_a_finished_sealer_takes_nothing),
		cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_frames_swapped_cut_and_foreign),
		cmocka_unit_test(test_errors_of_the_source_pass),
		cmocka_unit_test(test_forged_tables),
		cmocka_unit_test(test_bomb),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
