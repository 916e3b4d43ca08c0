/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/unit.h"

#include "imap/header_stream.h"
#include "mail/header.h"

struct gathered {
	struct buf raw, text; /* text: a line "name=raw size" a field */
	size_t largest, field_size;
	bool inside;
};

static void gather(void *context, const struct header_piece *piece)
{
	struct gathered *gathered = context;

	assert_int_equal(piece->first, !gathered->inside);
	assert_true(piece->raw.size != 0);
	gathered->inside = !piece->last;
	gathered->field_size = (piece->first ? 0 : gathered->field_size) + piece->raw.size;
	buf_put_bytes(&gathered->raw, piece->raw);
	if (piece->raw.size > gathered->largest)
		gathered->largest = piece->raw.size;
	if (!piece->last)
		return;
	buf_put_bytes(&gathered->text, piece->name);
	buf_printf(&gathered->text, "=%zu\n", gathered->field_size);
}

/* What mail/header.h makes of the whole. */
static void expect_of(struct bytes header, struct gathered *expected)
{
	struct header_field field;

	while (header_next(&header, &field)) {
		buf_put_bytes(&expected->raw, field.raw);
		if (field.name.size <= HEADER_NAME_MAX)
			buf_put_bytes(&expected->text, field.name);
		buf_printf(&expected->text, "=%zu\n", field.raw.size);
	}
}

static void check(struct bytes header, size_t chunk)
{
	struct gathered gathered = {0}, expected = {0};
	struct header_stream stream = HEADER_STREAM(gather, &gathered);

	expect_of(header, &expected);
	for (size_t at = 0; at < header.size; at += chunk)
		header_stream_feed(&stream, bytes_slice(header, at, chunk));
	assert_ok(header_stream_end(&stream));
	assert_false(gathered.inside);
	assert_true(gathered.largest <= HEADER_PIECE_MAX);
	assert_true(bytes_equal(bytes_of_buf(&gathered.raw), bytes_of_buf(&expected.raw)));
	assert_true(bytes_equal(bytes_of_buf(&gathered.text), bytes_of_buf(&expected.text)));
	header_stream_finish(&stream);
	buf_finish(&gathered.raw);
	buf_finish(&gathered.text);
	buf_finish(&expected.raw);
	buf_finish(&expected.text);
}

static void test_cut_anywhere(void **state)
{
	static const char *const headers[] = {
		"",
		"\r\n",
		"\n",
		"A: b\r\n\r\n",
		"A: b\nC: d\n e\n\tf\r\nG:\r\n\r\nH: body\r\n",
		" starts with a blank\r\nA: b\r\n",
		"no colon\r\nA : spaced\r\n\rbare: cr\r\nB: x",
		"A: ends with cr\r",
		"A: b\r\n\r",
		"A: b\r\n \r\n\t\r\nC: d\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		for (size_t size = 0; size <= strlen(headers[i]); size++)
			for (size_t chunk = 1; chunk <= size + 1; chunk++)
				check(bytes_slice(bytes_string(headers[i]), 0, size), chunk);
}

static void test_huge(void **state)
{
	static const size_t sizes[] = {HEADER_PIECE_MAX - 8, HEADER_PIECE_MAX - 1, HEADER_PIECE_MAX,
				       HEADER_PIECE_MAX + 1, 3 * HEADER_PIECE_MAX + 5};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned blanks = 0; blanks < 3; blanks++) {
			struct buf header = {0};

			buf_put_string(&header, "First: x\r\nHuge: ");
			for (size_t k = 0; k < sizes[i]; k++)
				buf_put_string(&header, blanks == 1 && k % 70 == 69   ? " "
							: blanks == 2 && k % 70 == 69 ? "\r\n\t"
										      : "y");
			buf_put_string(&header, "\r\nLast: z\r\n\r\n");
			check(bytes_of_buf(&header), 1000);
			check(bytes_of_buf(&header), SIZE_MAX / 2);
			buf_finish(&header);
		}
}

/* A long name is no name that anybody asks for. */
static void test_long_name(void **state)
{
	struct buf header = {0};

	(void)state;
	for (size_t i = 0; i <= HEADER_NAME_MAX; i++)
		buf_put_u8(&header, 'n');
	buf_put_string(&header, ": v\r\nB: c\r\n\r\n");
	check(bytes_of_buf(&header), 7);
	buf_finish(&header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_long_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
