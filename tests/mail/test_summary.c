/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Messages in tests/mail/data, each with what its summary must say beside it.
 * A part's line gives type, sizes, and the first and last octets of header and body,
 * read from the message at the summary's offsets: so offsets are checked, not only kept.
 * AEROSTORE_UPDATE=1 in the environment writes the expectations anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "mail/charset.h"
#include "mail/summary.h"

#define DATA "tests/mail/data/"

static const char *const messages[] = {
	"plain", "mixed", "broken", "header_only", "empty", "blank", "message_root",
};
#define MESSAGE_COUNT (sizeof(messages) / sizeof(messages[0]))

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static struct buf read_file(const char *name, const char *suffix)
{
	struct buf path = {0}, content = {0};
	FILE *file;
	int octet;

	buf_printf(&path, DATA "%s%s", name, suffix);
	buf_put_u8(&path, 0);
	file = fopen((const char *)path.data, "rb");
	if (file == NULL)
		fail_msg("%s: cannot be opened; run tests at the top of the tree",
			 (const char *)path.data);
	while ((octet = getc(file)) != EOF)
		buf_put_u8(&content, (uint8_t)octet);
	fclose(file);
	buf_finish(&path);
	assert_int_equal(content.err, ERR_OK);
	return content;
}

static void write_file(const char *name, const char *suffix, struct bytes content)
{
	struct buf path = {0};
	FILE *file;

	buf_printf(&path, DATA "%s%s", name, suffix);
	buf_put_u8(&path, 0);
	file = fopen((const char *)path.data, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(content.data, 1, content.size, file), content.size);
	fclose(file);
	buf_finish(&path);
}

static void put_quoted(struct buf *out, struct bytes text)
{
	if (text.data == NULL) {
		buf_put_string(out, "NIL");
		return;
	}
	buf_put_u8(out, '"');
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '\r')
			buf_put_string(out, "\\r");
		else if (text.data[i] == '\n')
			buf_put_string(out, "\\n");
		else if (text.data[i] < ' ' || text.data[i] == 0x7f)
			buf_printf(out, "\\x%02x", text.data[i]);
		else
			buf_put_u8(out, text.data[i]);
	}
	buf_put_u8(out, '"');
}

static void put_named(struct buf *out, size_t depth, const char *name, struct bytes text)
{
	if (text.data == NULL)
		return;
	buf_printf(out, "%*s%s ", (int)depth * 2 + 2, "", name);
	put_quoted(out, text);
	buf_put_string(out, "\n");
}

static void put_parameters(struct buf *out, size_t depth, const struct header_parameter *parameters,
			   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%*s; ", (int)depth * 2 + 2, "");
		put_quoted(out, parameters[i].name);
		buf_put_string(out, " ");
		put_quoted(out, parameters[i].value);
		buf_put_string(out, "\n");
	}
}

static void put_range(struct buf *out, size_t depth, const char *name, struct bytes message,
		      uint64_t offset, uint64_t size)
{
	struct bytes range = bytes_slice(message, (size_t)offset, (size_t)size);

	assert_int_equal(range.size, size);
	buf_printf(out, "%*s%s %zu+%zu ", (int)depth * 2 + 2, "", name, (size_t)offset,
		   (size_t)size);
	put_quoted(out, bytes_make(message.data + offset, range.size < 24 ? range.size : 24));
	if (range.size > 24) {
		buf_put_string(out, " ... ");
		put_quoted(out, bytes_slice(range, range.size - 12, 12));
	}
	buf_put_string(out, "\n");
}

static void put_envelope(struct buf *out, size_t depth, const struct summary_envelope *envelope)
{
	put_named(out, depth, "date", envelope->date);
	put_named(out, depth, "subject", envelope->subject);
	put_named(out, depth, "from", envelope->from);
	put_named(out, depth, "sender", envelope->sender);
	put_named(out, depth, "reply-to", envelope->reply_to);
	put_named(out, depth, "to", envelope->to);
	put_named(out, depth, "cc", envelope->cc);
	put_named(out, depth, "bcc", envelope->bcc);
	put_named(out, depth, "in-reply-to", envelope->in_reply_to);
	put_named(out, depth, "message-id", envelope->message_id);
}

static void put_part(struct buf *out, const struct part *part, size_t depth, struct bytes message)
{
	static const char *const kinds[] = {"leaf", "multipart", "message"};

	buf_printf(out, "%*s%s ", (int)depth * 2, "", kinds[part->kind]);
	buf_put_bytes(out, part->type);
	buf_put_string(out, "/");
	buf_put_bytes(out, part->subtype);
	buf_printf(out, ", %zu lines\n", (size_t)part->body_lines);
	put_parameters(out, depth, part->parameters, part->parameter_count);
	put_range(out, depth, "header", message, part->header_offset, part->header_size);
	put_range(out, depth, "body", message, part->body_offset, part->body_size);
	put_named(out, depth, "id", part->id);
	put_named(out, depth, "description", part->description);
	put_named(out, depth, "encoding", part->encoding);
	put_named(out, depth, "md5", part->md5);
	put_named(out, depth, "disposition", part->disposition);
	put_parameters(out, depth, part->disposition_parameters, part->disposition_parameter_count);
	put_named(out, depth, "language", part->language);
	put_named(out, depth, "location", part->location);
	if (part->envelope != NULL)
		put_envelope(out, depth, part->envelope);
	for (const struct part *child = part->child; child != NULL; child = child->next) {
		assert_ptr_equal(child->parent, part);
		put_part(out, child, depth + 1, message);
	}
}

static struct buf describe(const struct summary *summary, struct bytes message)
{
	struct buf out = {0};

	buf_printf(&out, "size %zu, header %zu, lines %zu, header lines %zu, flags %x, parts %zu\n",
		   (size_t)summary->size, (size_t)summary->header_size, (size_t)summary->lines,
		   (size_t)summary->header_lines, summary->flags, summary->part_count);
	if (summary->has_sent)
		buf_printf(&out, "sent %lld, zone %d\n", (long long)summary->sent.seconds,
			   summary->sent.zone_minutes);
	buf_put_string(&out, "preview ");
	put_quoted(&out, summary->preview);
	buf_put_string(&out, "\nfields ");
	put_quoted(&out, summary->fields);
	buf_put_string(&out, "\n");
	put_part(&out, summary->root, 0, message);
	assert_int_equal(out.err, ERR_OK);
	return out;
}

static struct buf summarise(struct bytes message)
{
	struct buf encoded = {0};

	assert_int_equal(summary_of_message(message, &encoded), ERR_OK);
	assert_true(encoded.size <= SUMMARY_SIZE_MAX);
	return encoded;
}

static void test_expectations(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESSAGE_COUNT; i++) {
		struct buf message = read_file(messages[i], ".eml");
		struct buf encoded = summarise(bytes_of_buf(&message));
		struct buf found, expected;
		struct summary summary;

		assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_OK);
		found = describe(&summary, bytes_of_buf(&message));
		if (getenv("AEROSTORE_UPDATE") != NULL)
			write_file(messages[i], ".summary", bytes_of_buf(&found));
		expected = read_file(messages[i], ".summary");
		if (!bytes_equal(bytes_of_buf(&found), bytes_of_buf(&expected)))
			fail_msg("%s: found\n%.*s", messages[i], (int)found.size, found.data);
		summary_finish(&summary);
		buf_finish(&found);
		buf_finish(&expected);
		buf_finish(&encoded);
		buf_finish(&message);
	}
}

/* Feeds the message in pieces of 1 to `most` octets. */
static struct buf summarise_in_pieces(struct bytes message, size_t most)
{
	struct summary_parser *parser;
	struct buf encoded = {0};

	assert_int_equal(summary_parser_create(&parser), ERR_OK);
	while (message.size != 0) {
		size_t size = most == 1 ? 1 : 1 + (size_t)(next_random() % most);
		struct bytes piece = bytes_slice(message, 0, size);
		/* A copy of its own, so that a read beyond it is seen. */
		struct buf copy = {0};

		buf_put_bytes(&copy, piece);
		assert_int_equal(summary_parser_feed(parser, bytes_of_buf(&copy)), ERR_OK);
		buf_finish(&copy);
		message = bytes_slice(message, piece.size, message.size);
	}
	assert_int_equal(summary_parser_finish(parser, bytes_make(NULL, 0), &encoded), ERR_OK);
	summary_parser_destroy(&parser);
	assert_null(parser);
	return encoded;
}

static void check_pieces(struct bytes message)
{
	static const size_t sizes[] = {1, 3, 40, 500};
	struct buf whole = summarise(message);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf pieces = summarise_in_pieces(message, sizes[i]);

		assert_true(bytes_equal(bytes_of_buf(&whole), bytes_of_buf(&pieces)));
		buf_finish(&pieces);
	}
	buf_finish(&whole);
}

static void test_chunks_do_not_matter(void **state)
{
	(void)state;
	random_state = 42;
	for (size_t i = 0; i < MESSAGE_COUNT; i++) {
		struct buf message = read_file(messages[i], ".eml");

		check_pieces(bytes_of_buf(&message));
		buf_finish(&message);
	}
}

/* Pieces of the messages' own grammar in any order: the likeliest to confuse the parser. */
static struct buf random_message(void)
{
	static const char *const pieces[] = {
		"\r\n",
		"\n",
		"\r",
		"--",
		"--a",
		"--ab",
		"--a--",
		"-",
		" ",
		"\t",
		":",
		";",
		"\"",
		"Content-Type: multipart/mixed; boundary=a\r\n",
		"x\r\n\r\n--a\r\n",
		"\r\n--ab\r\n",
		"Content-Type: multipart/digest; boundary=\"ab\"\n",
		"Content-Type: message/rfc822\r\n\r\n",
		"Content-Type: text/html\r\n\r\n<p>&eu",
		"Content-Transfer-Encoding: base64\r\n",
		"Subject: =?utf-8?Q?=C3=A4?=\r\n",
		"Content-Disposition: inline; filename*1=b; filename*0*=utf-8''%20\r\n",
		"Date: 1 Jan 2020 00:00 +0000\r\n",
		"\xc3\xa4",
		"=C3",
		"=\r\n",
		"text ",
	};
	struct buf message = {0};
	size_t count = (size_t)(next_random() % 60);

	for (size_t i = 0; i < count; i++)
		buf_put_string(&message,
			       pieces[next_random() % (sizeof(pieces) / sizeof(pieces[0]))]);
	if (next_random() % 4 == 0)
		buf_put_u8(&message, (uint8_t)next_random());
	assert_int_equal(message.err, ERR_OK);
	return message;
}

static void test_random_messages(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		struct buf message, encoded, shown;
		struct summary summary;

		random_state = seed * 0x9e3779b97f4a7c15u;
		message = random_message();
		encoded = summarise(bytes_of_buf(&message));
		if (summary_decode(bytes_of_buf(&encoded), &summary) != ERR_OK)
			fail_msg("seed %llu: own summary is refused", (unsigned long long)seed);
		assert_int_equal(summary.size, message.size);
		assert_int_equal(summary.root->body_offset + summary.root->body_size, message.size);
		shown = describe(&summary, bytes_of_buf(&message));
		summary_finish(&summary);
		check_pieces(bytes_of_buf(&message));
		buf_finish(&shown);
		buf_finish(&encoded);
		buf_finish(&message);
	}
}

static void test_prefix_is_as_if_it_had_been_fed(void **state)
{
	static const char prefix[] = "Return-Path: <a@b>\r\nDelivered-To: c@d\r\n";

	(void)state;
	for (size_t i = 0; i < MESSAGE_COUNT; i++) {
		struct buf message = read_file(messages[i], ".eml");
		struct buf with = {0}, fed, prefixed = {0}, plain;
		struct summary_parser *parser;

		buf_put_string(&with, prefix);
		buf_put_bytes(&with, bytes_of_buf(&message));
		fed = summarise(bytes_of_buf(&with));
		plain = summarise(bytes_of_buf(&message));
		assert_int_equal(summary_parser_create(&parser), ERR_OK);
		assert_int_equal(summary_parser_feed(parser, bytes_of_buf(&message)), ERR_OK);
		for (int time = 0; time < 2; time++) {
			buf_clear(&prefixed);
			assert_int_equal(
				summary_parser_finish(parser, bytes_string(prefix), &prefixed),
				ERR_OK);
			assert_true(bytes_equal(bytes_of_buf(&prefixed), bytes_of_buf(&fed)));
		}
		buf_clear(&prefixed);
		assert_int_equal(summary_parser_finish(parser, bytes_make(NULL, 0), &prefixed),
				 ERR_OK);
		assert_true(bytes_equal(bytes_of_buf(&prefixed), bytes_of_buf(&plain)));
		summary_parser_destroy(&parser);
		buf_finish(&with);
		buf_finish(&fed);
		buf_finish(&plain);
		buf_finish(&prefixed);
		buf_finish(&message);
	}
}

/* Whatever is accepted must be as safe to use as what the parser wrote. */
static void check_damaged(struct bytes damaged)
{
	struct summary summary;
	uint64_t sum = 0;

	if (summary_decode(damaged, &summary) != ERR_OK)
		return;
	for (const struct part *part = summary.root; part < summary.root + summary.part_count;
	     part++) {
		assert_true(part->body_offset + part->body_size <= summary.size);
		assert_true(part->body_lines <= part->body_size);
		assert_int_equal(part->header_offset + part->header_size, part->body_offset);
		assert_true((part->child != NULL) == (part->kind != PART_LEAF));
		assert_true(part->type.size != 0 && part->subtype.size != 0);
		for (size_t i = 0; i < part->parameter_count; i++)
			for (size_t j = 0; j < part->parameters[i].value.size; j++)
				sum += part->parameters[i].value.data[j];
	}
	for (size_t i = 0; i < summary.fields.size; i++)
		sum += summary.fields.data[i];
	assert_true(charset_utf8_valid(summary.preview));
	assert_true(sum < UINT64_MAX);
	summary_finish(&summary);
}

static void test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESSAGE_COUNT; i++) {
		struct buf message = read_file(messages[i], ".eml");
		struct buf encoded = summarise(bytes_of_buf(&message));
		struct summary summary;

		for (size_t cut = 0; cut < encoded.size; cut++) {
			uint8_t *copy = memory_allocate(cut);

			assert_non_null(copy);
			memcpy(copy, encoded.data, cut);
			assert_int_equal(summary_decode(bytes_make(copy, cut), &summary),
					 ERR_CORRUPT);
			memory_free(copy);
		}
		for (size_t bit = 0; bit < encoded.size * 8; bit++) {
			encoded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			check_damaged(bytes_of_buf(&encoded));
			encoded.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		buf_put_u8(&encoded, 0);
		assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_CORRUPT);
		encoded.data[0] = 2;
		assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_NEWER);
		buf_finish(&encoded);
		buf_finish(&message);
	}
}

static void test_memory_failures(void **state)
{
	(void)state;
	for (size_t i = 0; i < MESSAGE_COUNT; i++) {
		struct buf message = read_file(messages[i], ".eml");
		struct buf whole = summarise(bytes_of_buf(&message));
		struct buf encoded = {0};
		struct summary summary;
		enum err err = ERR_NOMEM;

		for (uint64_t n = 0; err != ERR_OK; n++) {
			buf_finish(&encoded);
			memory_fail_after(n);
			err = summary_of_message(bytes_of_buf(&message), &encoded);
			memory_fail_after(UINT64_MAX);
			assert_true(err == ERR_OK || err == ERR_NOMEM);
			assert_true(n < 10000);
		}
		assert_true(bytes_equal(bytes_of_buf(&whole), bytes_of_buf(&encoded)));
		memory_fail_after(0);
		assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_NOMEM);
		memory_fail_after(UINT64_MAX);
		buf_finish(&encoded);
		buf_finish(&whole);
		buf_finish(&message);
	}
}

/* The summary of a message made of `head`, then `count` times `repeated`. */
static void check_bounded(const char *head, const char *repeated, size_t count, uint32_t flag,
			  struct summary *out, struct buf *encoded)
{
	struct summary_parser *parser;
	uint64_t allocations = memory_allocations();

	assert_int_equal(summary_parser_create(&parser), ERR_OK);
	assert_int_equal(summary_parser_feed(parser, bytes_string(head)), ERR_OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(summary_parser_feed(parser, bytes_string(repeated)), ERR_OK);
	assert_int_equal(summary_parser_finish(parser, bytes_make(NULL, 0), encoded), ERR_OK);
	summary_parser_destroy(&parser);
	/* A few for each part that is kept, none for what is not. */
	assert_true(memory_allocations() - allocations < 20 * SUMMARY_PARTS_MAX);
	assert_true(encoded->size <= SUMMARY_SIZE_MAX);
	assert_int_equal(summary_decode(bytes_of_buf(encoded), out), ERR_OK);
	assert_int_equal(out->flags & flag, flag);
	assert_int_equal(out->size, strlen(head) + count * strlen(repeated));
	assert_true(out->part_count <= SUMMARY_PARTS_MAX);
}

static void test_bounds(void **state)
{
	static const struct {
		const char *head, *repeated;
		size_t count;
		uint32_t flag;
	} cases[] = {
		/* one field, one line, of 10 MiB; one field of many lines; many fields */
		{"Subject: ", "0123456789abcdef", 655360, SUMMARY_FIELDS_CUT},
		{"To: a@b", ",\r\n someone@example.org", 400000, SUMMARY_FIELDS_CUT},
		{"From: a@b\r\n", "References: <0123456789@example.org>\r\n", 280000,
		 SUMMARY_FIELDS_CUT},
		{"From: a@b\r\n", "X-Unknown: 0123456789@example.org\r\n", 280000, 0},
		{"From: a@b\r\n", "a line without a colon, and another\r\n", 280000, 0},
		{"Content-Type: text/plain", "; name=0123456789", 100000, SUMMARY_STRUCTURE_CUT},
		{"Content-Type: text/plain", ";\r\n a=\"", 100000, SUMMARY_STRUCTURE_CUT},
		/* 10 000 parts, small and with much to say about each */
		{"Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\nx\r\n", 10000,
		 SUMMARY_STRUCTURE_CUT},
		{"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
		 "--b\r\nContent-Type: application/x-very-long-name; name=0123456789abcdef\r\n"
		 "Content-Description: 0123456789abcdef0123456789abcdef\r\n\r\nx\r\n",
		 10000, SUMMARY_STRUCTURE_CUT},
		/* 1000 levels and more, of both kinds */
		{"", "Content-Type: message/rfc822\r\n\r\n", 1000, SUMMARY_STRUCTURE_CUT},
		{"Subject: x\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 1000,
		 SUMMARY_STRUCTURE_CUT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf encoded = {0};
		struct summary summary;

		check_bounded(cases[i].head, cases[i].repeated, cases[i].count, cases[i].flag,
			      &summary, &encoded);
		summary_finish(&summary);
		buf_finish(&encoded);
	}
}

/* What a long list of recipients must not push out. */
static void test_long_fields_leave_room_for_the_envelope(void **state)
{
	struct buf message = {0}, encoded;
	struct summary summary;

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_printf(&message, "DKIM-Signature: v=1; b=%0300d\r\n", i);
	buf_put_string(&message, "Date: 1 Jan 2020 00:00:00 +0100\r\nFrom: f@example.org\r\n");
	buf_printf(&message, "Subject: %0990d\r\n\r\n", 7);
	encoded = summarise(bytes_of_buf(&message));
	assert_int_equal(summary_decode(bytes_of_buf(&encoded), &summary), ERR_OK);
	assert_int_equal(summary.flags, SUMMARY_FIELDS_CUT);
	assert_int_equal(summary.root->envelope->subject.size, 990);
	assert_true(bytes_equal(summary.root->envelope->from, bytes_string("f@example.org")));
	assert_true(summary.has_sent);
	assert_int_equal(summary.sent.zone_minutes, 60);
	summary_finish(&summary);
	buf_finish(&encoded);
	buf_finish(&message);
}

static void test_prefix_limit(void **state)
{
	struct summary_parser *parser;
	struct buf prefix = {0}, encoded = {0};

	(void)state;
	buf_put_zeros(&prefix, SUMMARY_PREFIX_MAX + 1);
	assert_int_equal(summary_parser_create(&parser), ERR_OK);
	assert_int_equal(summary_parser_finish(parser, bytes_of_buf(&prefix), &encoded), ERR_LIMIT);
	assert_int_equal(encoded.size, 0);
	summary_parser_destroy(&parser);
	buf_finish(&prefix);
	buf_finish(&encoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expectations),
		cmocka_unit_test(test_chunks_do_not_matter),
		cmocka_unit_test(test_random_messages),
		cmocka_unit_test(test_prefix_is_as_if_it_had_been_fed),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_memory_failures),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_long_fields_leave_room_for_the_envelope),
		cmocka_unit_test(test_prefix_limit),
	};

	return cmocka_run_group_tests_name("mail/summary", tests, NULL, NULL);
}
