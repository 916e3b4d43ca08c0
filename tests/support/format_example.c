/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/format_example.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "engine/base/memory.h"
#include "tests/support/unit.h"

#define DOCUMENT "docs/format.md"
#define BLOCK_START "```hexdump "
#define BLOCK_END "```"
#define LINE_SIZE 2048
#define ROW 16u
#define SHOWN 8u
#define REMARK_COLUMN 60u

enum form { FORM_BYTES, FORM_RUN, FORM_SHORT };

/* What a line of a block says about its bytes. */
struct line {
	enum form form;
	size_t size;
	char remark[LINE_SIZE];
};

static const struct format_example *all_examples;
static size_t example_count;
static const char *const *all_groups;
static const char *program;

struct id128 format_example_id(uint8_t first)
{
	struct id128 id;

	format_example_octets(first, id.octets, sizeof(id.octets));
	return id;
}

void format_example_octets(uint8_t first, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(first + i);
}

/* ---- lines ---- */

static void parse_open_line(const char *text, struct line *out)
{
	char *end;

	out->size = strtoul(text, &end, 10);
	if (*end == '*')
		out->form = FORM_RUN;
	else if (*end == '.')
		out->form = FORM_SHORT;
	end += strspn(end, "*. ");
	snprintf(out->remark, sizeof(out->remark), "%s", end);
}

static void parse_line(const char *text, struct line *out)
{
	const char *values = text + strcspn(text, " "), *remark = strstr(text, "; ");
	const char *run = strstr(values, " * "), *shortened = strstr(values, " .. ");

	*out = (struct line){.form = FORM_BYTES};
	if (text[0] == '?') {
		parse_open_line(text + 1, out);
		return;
	}
	if (remark != NULL)
		snprintf(out->remark, sizeof(out->remark), "%s", remark + 2);
	if (remark == NULL)
		remark = text + strlen(text);
	if (run != NULL && run < remark) {
		out->form = FORM_RUN;
		out->size = strtoul(run + 3, NULL, 10);
	} else if (shortened != NULL && shortened < remark) {
		out->form = FORM_SHORT;
		out->size = strtoul(shortened + 4, NULL, 10);
	} else {
		for (const char *at = values; at < remark; at++)
			out->size += at[0] != ' ' && at[-1] == ' ';
	}
}

static bool is_run(struct bytes bytes)
{
	for (size_t i = 1; i < bytes.size; i++)
		if (bytes.data[i] != bytes.data[0])
			return false;
	return true;
}

static void put_hex(struct bytes bytes, struct buf *out)
{
	for (size_t i = 0; i < bytes.size; i++)
		buf_printf(out, "%s%02x", i != 0 ? " " : "", bytes.data[i]);
}

/* Takes what is in `values`, and leaves it empty. */
static void put_line(size_t offset, struct buf *values, const char *remark, struct buf *out)
{
	size_t start = out->size;

	buf_printf(out, "%08zx  ", offset);
	buf_put_bytes(out, bytes_of_buf(values));
	if (remark[0] != '\0') {
		while (out->err == ERR_OK && out->size - start < REMARK_COLUMN)
			buf_put_u8(out, ' ');
		buf_printf(out, "; %s", remark);
	}
	buf_put_u8(out, '\n');
	buf_clear(values);
}

static void fill_line(const struct line *line, struct bytes example, size_t at, struct buf *out)
{
	struct bytes part = bytes_slice(example, at, line->size);
	struct buf values = {0};

	if (line->form == FORM_RUN && is_run(part)) {
		buf_printf(&values, "%02x * %zu", part.data[0], part.size);
		put_line(at, &values, line->remark, out);
	} else if (line->form == FORM_SHORT) {
		put_hex(bytes_slice(part, 0, SHOWN), &values);
		buf_printf(&values, " .. %zu #%016" PRIx64, part.size,
			   hash_64(part.data, part.size));
		put_line(at, &values, line->remark, out);
	} else {
		for (size_t row = 0; row < part.size; row += ROW) {
			put_hex(bytes_slice(part, row, ROW), &values);
			put_line(at + row, &values, row == 0 ? line->remark : "", out);
		}
	}
	buf_finish(&values);
}

/* ---- blocks ---- */

/* A file's lines, as one line after the other is asked for. */
static bool next_line(struct bytes *text, char line[LINE_SIZE])
{
	const uint8_t *end;
	size_t size;

	if (text->size == 0)
		return false;
	end = memchr(text->data, '\n', text->size);
	size = end != NULL ? (size_t)(end - text->data) : text->size;
	ASSERT(size < LINE_SIZE);
	snprintf(line, LINE_SIZE, "%.*s", (int)size, (const char *)text->data);
	*text = bytes_slice(*text, size + 1, text->size);
	return true;
}

/* The lines up to the block's end, which is taken, too, filled in from the example. */
static void fill_block(struct bytes *text, struct bytes example, struct buf *out)
{
	struct line rest = {.form = FORM_BYTES}, line;
	char source[LINE_SIZE];
	size_t at = 0;

	while (next_line(text, source) && strcmp(source, BLOCK_END) != 0) {
		parse_line(source, &line);
		if (line.size == 0 || at >= example.size)
			continue;
		fill_line(&line, example, at, out);
		at += line.size;
	}
	rest.size = SIZE_MAX;
	if (at < example.size)
		fill_line(&rest, example, at, out);
}

static void read_document(struct buf *out)
{
	FILE *file = fopen(DOCUMENT, "r");
	uint8_t part[4096];
	size_t size;

	if (file == NULL)
		fail_msg("%s: run from the top of the tree", DOCUMENT);
	while ((size = fread(part, 1, sizeof(part), file)) != 0)
		buf_put(out, part, size);
	fclose(file);
	ASSERT(out->err == ERR_OK);
}

/* NULL: none of ours. */
static const struct format_example *find_example(const char *name)
{
	for (size_t i = 0; i < example_count; i++)
		if (strcmp(all_examples[i].name, name) == 0)
			return &all_examples[i];
	return NULL;
}

/* The next block's example, with the text behind its first line; false at the end of the document.
 */
static bool next_block(struct bytes *text, char name[LINE_SIZE], struct buf *skipped)
{
	char line[LINE_SIZE];

	while (next_line(text, line)) {
		if (skipped != NULL)
			buf_printf(skipped, "%s\n", line);
		if (strncmp(line, BLOCK_START, strlen(BLOCK_START)) == 0) {
			snprintf(name, LINE_SIZE, "%s", line + strlen(BLOCK_START));
			return true;
		}
	}
	return false;
}

static void print_filled(void)
{
	struct buf document = {0}, out = {0}, example = {0};
	struct bytes text;
	char name[LINE_SIZE];

	read_document(&document);
	text = bytes_of_buf(&document);
	while (next_block(&text, name, &out)) {
		const struct format_example *found = find_example(name);

		/* Another program's: its lines go by as text. */
		if (found == NULL)
			continue;
		buf_clear(&example);
		found->make(&example);
		fill_block(&text, bytes_of_buf(&example), &out);
		buf_put_string(&out, BLOCK_END "\n");
	}
	ASSERT(out.err == ERR_OK);
	fwrite(out.data, 1, out.size, stdout);
	buf_finish(&document);
	buf_finish(&out);
	buf_finish(&example);
}

/* ---- tests ---- */

/* The lines that are only in one of two texts of lines, as diff has them. */
static void print_difference(struct bytes document, struct bytes right)
{
	char ours[LINE_SIZE] = "", theirs[LINE_SIZE] = "";

	while (document.size != 0 || right.size != 0) {
		bool is_theirs = next_line(&document, theirs), is_ours = next_line(&right, ours);

		if (is_theirs && is_ours && strcmp(theirs, ours) == 0)
			continue;
		if (is_theirs)
			print_error("-%s\n", theirs);
		if (is_ours)
			print_error("+%s\n", ours);
	}
}

static bool is_right(const char *name, struct bytes block, struct bytes example)
{
	struct bytes rest = block;
	struct buf right = {0};
	char line[LINE_SIZE];
	size_t size = 0;
	bool equal;

	while (next_line(&rest, line) && strcmp(line, BLOCK_END) != 0)
		size += strlen(line) + 1;
	block = bytes_slice(block, 0, size);
	rest = block;
	fill_block(&rest, example, &right);
	assert_int_equal(right.err, ERR_OK);
	equal = bytes_equal(block, bytes_of_buf(&right));
	if (!equal) {
		print_error("%s, %s:\n", DOCUMENT, name);
		print_difference(block, bytes_of_buf(&right));
	}
	buf_finish(&right);
	return equal;
}

static void test_examples_are_in_the_document(void **state)
{
	struct buf document = {0}, example = {0};
	struct bytes text;
	char name[LINE_SIZE];
	size_t found_count = 0;
	bool right = true;

	(void)state;
	read_document(&document);
	text = bytes_of_buf(&document);
	while (next_block(&text, name, NULL)) {
		const struct format_example *found = find_example(name);

		if (found == NULL)
			continue;
		found_count++;
		buf_clear(&example);
		found->make(&example);
		assert_int_equal(example.err, ERR_OK);
		right &= is_right(name, text, bytes_of_buf(&example));
	}
	buf_finish(&document);
	buf_finish(&example);
	if (!right)
		print_error("with its examples made anew, the document is: %s --rewrite\n",
			    program);
	assert_true(right);
	assert_int_equal(found_count, example_count);
}

static bool is_in_our_groups(const char *name)
{
	for (size_t i = 0; all_groups[i] != NULL; i++) {
		size_t size = strlen(all_groups[i]);

		if (strncmp(name, all_groups[i], size) == 0 && name[size] == '/')
			return true;
	}
	return false;
}

static void test_blocks_have_examples(void **state)
{
	struct buf document = {0};
	struct bytes text;
	char name[LINE_SIZE];

	(void)state;
	read_document(&document);
	text = bytes_of_buf(&document);
	while (next_block(&text, name, NULL))
		if (is_in_our_groups(name) && find_example(name) == NULL)
			fail_msg("%s: no example %s", DOCUMENT, name);
	buf_finish(&document);
}

int format_example_main(int argc, char **argv, const struct format_example *examples, size_t count,
			const char *const *groups)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_are_in_the_document),
		cmocka_unit_test(test_blocks_have_examples),
	};

	all_examples = examples;
	example_count = count;
	all_groups = groups;
	program = argv[0];
	if (argc > 1 && strcmp(argv[1], "--rewrite") == 0) {
		print_filled();
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
