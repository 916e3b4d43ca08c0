/* SPDX-License-Identifier: MPL-2.0 */
/*
 * LMTP: a line as a command; or DATA in pieces against a model that sees all of it. Input: mode; for
 * DATA u32 how to cut it.
 */
#include "fuzz/fuzz.h"
#include "lmtp/command.h"
#include "lmtp/dot.h"

static void check_path(const struct lmtp_path *path)
{
	struct buf base = {0};
	struct bytes detail;

	ASSERT(path->path.size <= 320 && path->size <= INT64_MAX);
	/* It goes into a header field: nothing in it may end one. */
	for (size_t i = 0; i < path->path.size; i++)
		ASSERT(path->path.data[i] >= 0x20 && path->path.data[i] != 0x7f);
	lmtp_split_detail(path->path, &base, &detail);
	ASSERT(base.err == ERR_OK);
	ASSERT(base.size + detail.size <= path->path.size);
	ASSERT(base.size + detail.size + 1 >= path->path.size);
	buf_finish(&base);
}

static void check_command(struct bytes line)
{
	struct lmtp_command command = lmtp_command_parse(line);
	struct lmtp_path path;

	ASSERT(command.argument.size <= line.size);
	if (lmtp_parse_from(command.argument, &path) == ERR_OK)
		check_path(&path);
	if (lmtp_parse_to(command.argument, &path) == ERR_OK) {
		ASSERT(path.path.size != 0);
		check_path(&path);
	}
}

/* RFC 5321, 4.5.2, over the whole. Returns where the next command begins, or SIZE_MAX. */
static size_t model(struct bytes data, struct buf *out)
{
	bool at_start = true;
	size_t i = 0;

	while (i < data.size) {
		if (at_start && data.data[i] == '.') {
			if (data.size - i >= 3 && memcmp(data.data + i, ".\r\n", 3) == 0)
				return i + 3;
			i++;
			at_start = false;
			continue;
		}
		at_start = i != 0 && data.data[i] == '\n' && data.data[i - 1] == '\r';
		buf_put_u8(out, data.data[i++]);
	}
	return SIZE_MAX;
}

static void check_dot(struct bytes data, uint32_t seed)
{
	struct buf expected = {0}, content = {0};
	size_t expected_end = model(data, &expected), at = 0;
	bool end = false;
	struct dot dot;

	dot_init(&dot);
	while (at < data.size && !end) {
		struct bytes piece = bytes_slice(data, at, fuzz_piece(&seed, data.size - at));
		struct bytes part;
		size_t consumed;

		dot_next(&dot, piece, &part, &consumed, &end);
		ASSERT(consumed <= piece.size);
		buf_put_bytes(&content, part);
		at += consumed;
	}
	ASSERT(end == (expected_end != SIZE_MAX));
	if (end) {
		ASSERT(at == expected_end);
		fuzz_assert_equal(bytes_of_buf(&content), bytes_of_buf(&expected));
	} else {
		/* A dot, or a dot and CR, whose meaning is not known yet may be held back. */
		ASSERT(content.size <= expected.size && content.size + 2 >= expected.size);
		fuzz_assert_equal(bytes_of_buf(&content),
				  bytes_slice(bytes_of_buf(&expected), 0, content.size));
	}
	buf_finish(&expected);
	buf_finish(&content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	bool is_data = (cursor_u8(&input) & 1) != 0;

	if (is_data) {
		uint32_t seed = cursor_u32(&input);

		check_dot(fuzz_rest(&input), seed);
	} else {
		check_command(fuzz_rest(&input));
	}
	return 0;
}
