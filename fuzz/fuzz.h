/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fuzz - what the fuzz targets share. fuzz/README.md says how to run them.
 *
 * A target is one file fuzz_NAME.c that defines LLVMFuzzerTestOneInput(). `make
 * fuzz` links it to libFuzzer, `make check` to replay.c, which feeds it every
 * file of fuzz/corpus/NAME. A target is deterministic and keeps nothing between
 * inputs but keys and tables that it made once.
 *
 * What must hold is stated with ASSERT: beside "no crash", that a canonical
 * format has one encoding, that pieces give what the whole gives, that output
 * stays within its bounds. Hashes and tags in front of a decoder are made right
 * by the target, so that the fuzzer gets behind them.
 */
#ifndef AEROSTORE_FUZZ_FUZZ_H
#define AEROSTORE_FUZZ_FUZZ_H

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the cursor has not read yet. */
static inline struct bytes fuzz_rest(const struct cursor *input)
{
	return bytes_make(input->data + input->offset, cursor_left(input));
}

/* `size` bytes of the input, zeros where it has ended. */
static inline void fuzz_fill(struct cursor *input, uint8_t *out, size_t size)
{
	size_t have = cursor_left(input) < size ? cursor_left(input) : size;

	if (size != 0)
		memset(out, 0, size);
	if (have != 0)
		cursor_copy(input, out, have);
}

/* How much of `left` bytes comes next when a stream is cut as `seed` says: often very little. */
static inline size_t fuzz_piece(uint32_t *seed, size_t left)
{
	size_t size;

	*seed = *seed * 1664525u + 1013904223u;
	size = (*seed >> 24) < 224 ? 1 + (*seed >> 16 & 3) : 1 + (*seed >> 12 & 4095);
	return size < left ? size : left;
}

static inline void fuzz_assert_equal(struct bytes a, struct bytes b)
{
	ASSERT(bytes_equal(a, b));
}

#endif
