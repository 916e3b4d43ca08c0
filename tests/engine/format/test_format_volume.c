/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The hexdumps of docs/format-volume.md, made again from the same values and
 * compared line by line. Lines of a dump that begin with ';' are the
 * document's words. Run from the top of the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/format/record.h"
#include "engine/format/superblock.h"

#define DOCUMENT "docs/format-volume.md"

static struct id128 id_of(uint8_t first)
{
	struct id128 id;

	for (size_t i = 0; i < sizeof(id.octets); i++)
		id.octets[i] = (uint8_t)(first + i);
	return id;
}

/* As hexdump -C, without its last column; runs of equal lines are one '*'. */
static void dump(struct bytes bytes, struct buf *out)
{
	bool starred = false;

	for (size_t at = 0; at < bytes.size; at += 16) {
		if (at >= 16 && at + 16 < bytes.size &&
		    memcmp(bytes.data + at, bytes.data + at - 16, 16) == 0) {
			if (!starred)
				buf_put_string(out, "*\n");
			starred = true;
			continue;
		}
		starred = false;
		buf_printf(out, "%08zx ", at);
		for (size_t i = 0; i < 16; i++)
			buf_printf(out, " %02x", bytes.data[at + i]);
		buf_put_string(out, "\n");
	}
}

/* The block that starts with "```hexdump <name>", without its comments. */
static void read_document(const char *name, struct buf *out)
{
	FILE *file = fopen(DOCUMENT, "r");
	char line[256], start[64];
	bool inside = false;

	assert_non_null(file);
	snprintf(start, sizeof(start), "```hexdump %s\n", name);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (inside && strncmp(line, "```", 3) == 0)
			break;
		if (inside && line[0] != ';')
			buf_put_string(out, line);
		if (strcmp(line, start) == 0)
			inside = true;
	}
	fclose(file);
}

static void compare(const char *name, struct bytes bytes)
{
	struct buf expected = {0}, found = {0};

	dump(bytes, &expected);
	read_document(name, &found);
	assert_int_equal(expected.err, ERR_OK);
	if (!bytes_equal(bytes_of_buf(&expected), bytes_of_buf(&found)))
		fprintf(stderr, "%s, %s: should be\n%.*s", DOCUMENT, name, (int)expected.size,
			(const char *)expected.data);
	assert_true(bytes_equal(bytes_of_buf(&expected), bytes_of_buf(&found)));
	buf_finish(&expected);
	buf_finish(&found);
}

static void test_superblock(void **state)
{
	const struct superblock superblock = {.identity = {.cluster = id_of(0x10),
							   .node = id_of(0x30),
							   .volume = id_of(0x50),
							   .created_ms = 1700000000000,
							   .zone = "cellar"},
					      .generation = 1};
	uint8_t both[SUPERBLOCK_SIZE];

	(void)state;
	superblock_encode(&superblock, both);
	compare("superblock", bytes_make(both, SUPERBLOCK_COPY_SIZE));
}

static void put_record(struct buf *log, struct record *record, const char *payload,
		       struct hash128 previous)
{
	uint8_t header[RECORD_HEADER_SIZE];
	size_t start = log->size;

	record->offset = start;
	record_hash_payload(record, bytes_string(payload));
	record_encode(record, previous, header);
	buf_put(log, header, sizeof(header));
	buf_put_string(log, payload);
	buf_put_zeros(log, (size_t)record_size(record->payload_size) - (log->size - start));
}

static void test_records(void **state)
{
	struct record blob = {.type = RECORD_BLOB,
			      .suite = 1,
			      .id = id_of(0xa0),
			      .tag = id_of(0xb0),
			      .birth_set = 0x1122334455667788u,
			      .incarnation = id_of(0xc0),
			      .number = 42,
			      .set = 0x1122334455667788u,
			      .column = 1};
	struct record last = blob;
	struct buf log = {0};

	(void)state;
	put_record(&log, &blob, "Forty-two bytes of ciphertext, were it one",
		   (struct hash128){0, 0});
	last.flags = RECORD_LAST_PIECE;
	last.piece = 1;
	last.durable = log.size;
	put_record(&log, &last, "and the rest", blob.running);
	assert_int_equal(log.err, ERR_OK);
	compare("records", bytes_of_buf(&log));
	buf_finish(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
