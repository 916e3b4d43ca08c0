/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A message becomes a summary, whole and in pieces; what was encoded is decoded and checked against
 * the message. Input: u32 how to cut it, u8 size of a section and the section, the message.
 */
#include "fuzz/parts.h"
#include "mail/charset.h"

static uint64_t count_lf(struct bytes bytes)
{
	uint64_t count = 0;

	for (size_t i = 0; i < bytes.size; i++)
		count += bytes.data[i] == '\n';
	return count;
}

static void summarise_pieces(struct bytes message, uint32_t seed, struct bytes prefix,
			     struct buf *whole, struct buf *with_prefix)
{
	struct summary_parser *parser;

	ASSERT(summary_parser_create(&parser) == ERR_OK);
	for (size_t at = 0; at < message.size;) {
		size_t size = fuzz_piece(&seed, message.size - at);

		ASSERT(summary_parser_feed(parser, bytes_slice(message, at, size)) == ERR_OK);
		at += size;
	}
	ASSERT(summary_parser_finish(parser, prefix, with_prefix) == ERR_OK);
	ASSERT(summary_parser_finish(parser, bytes_make(NULL, 0), whole) == ERR_OK);
	summary_parser_destroy(&parser);
}

static void check_message(const struct summary *summary, struct bytes message)
{
	ASSERT(summary->size == message.size && summary->lines == count_lf(message));
	ASSERT(summary->header_size <= message.size);
	ASSERT(summary->header_lines ==
	       count_lf(bytes_slice(message, 0, (size_t)summary->header_size)));
	ASSERT(((summary->flags & SUMMARY_HAS_NUL) != 0) ==
	       (message.size != 0 && memchr(message.data, 0, message.size) != NULL));
	ASSERT(charset_utf8_valid(summary->preview));
	ASSERT(charset_utf8_prefix(summary->preview, SUMMARY_PREVIEW_CHARACTERS) ==
	       summary->preview.size);
	for (const struct part *part = summary->root; part != NULL; part = parts_next(part))
		ASSERT(part->body_lines == count_lf(bytes_slice(message, (size_t)part->body_offset,
								(size_t)part->body_size)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint32_t seed = cursor_u32(&input);
	struct bytes section = cursor_take(&input, cursor_u8(&input));
	struct bytes prefix = bytes_string("Return-Path: <a@example.org>\r\nDelivered-To: b\r\n");
	struct bytes message = fuzz_rest(&input);
	struct buf whole = {0}, pieces = {0}, with_prefix = {0};
	struct summary summary;

	if (input.err != ERR_OK)
		return 0;
	ASSERT(summary_of_message(message, &whole) == ERR_OK);
	summarise_pieces(message, seed, prefix, &pieces, &with_prefix);
	fuzz_assert_equal(bytes_of_buf(&whole), bytes_of_buf(&pieces));
	ASSERT(whole.size <= SUMMARY_SIZE_MAX && with_prefix.size <= SUMMARY_SIZE_MAX);
	ASSERT(summary_decode(bytes_of_buf(&whole), &summary) == ERR_OK);
	check_message(&summary, message);
	parts_check(&summary);
	parts_check_section(&summary, section);
	summary_finish(&summary);
	ASSERT(summary_decode(bytes_of_buf(&with_prefix), &summary) == ERR_OK);
	ASSERT(summary.size == message.size + prefix.size);
	parts_check(&summary);
	summary_finish(&summary);
	buf_finish(&whole);
	buf_finish(&pieces);
	buf_finish(&with_prefix);
	return 0;
}
