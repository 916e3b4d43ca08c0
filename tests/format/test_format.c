/* SPDX-License-Identifier: MPL-2.0 */
/* The examples of docs/format.md for what is in clear: volumes, logs, sets, journal. */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/crypto/key.h"
#include "engine/directory/directory.h"
#include "engine/format/column.h"
#include "engine/format/segment.h"
#include "engine/format/superblock.h"
#include "engine/journal/entry.h"
#include "engine/journal/manifest.h"
#include "engine/journal/table_page.h"
#include "engine/journal/protocol.h"
#include "engine/format/record.h"
#include "tests/support/format_example.h"

#define CLUSTER format_example_id(0x10)
#define NODE format_example_id(0x30)
#define VOLUME format_example_id(0x50)
#define BLOB format_example_id(0xa0)
#define TAG format_example_id(0xb0)
#define INCARNATION format_example_id(0xc0)
#define UUID format_example_id(0xd0)
#define STREAM format_example_id(0xe0)
#define SET 0x1122334455667788u
#define CREATED_MS 1700000000000u

/* ---- volumes ---- */

static void make_superblock(struct buf *out)
{
	const struct superblock superblock = {.identity = {.cluster = CLUSTER,
							   .node = NODE,
							   .volume = VOLUME,
							   .created_ms = CREATED_MS,
							   .zone = "cellar"},
					      .generation = 1};
	uint8_t both[SUPERBLOCK_SIZE];

	superblock_encode(&superblock, both);
	buf_put(out, both, SUPERBLOCK_COPY_SIZE);
}

/* Appends a record as a log does. */
static void put_record(struct buf *log, struct record *record, struct bytes payload,
		       struct hash128 previous)
{
	uint8_t header[RECORD_HEADER_SIZE];
	size_t start = log->size;

	record->offset = start;
	record_hash_payload(record, payload);
	record_encode(record, previous, header);
	buf_put(log, header, sizeof(header));
	buf_put_bytes(log, payload);
	buf_put_zeros(log, (size_t)record_size(record->payload_size) - (log->size - start));
}

static struct record blob_record(void)
{
	return (struct record){.type = RECORD_BLOB,
			       .suite = 1,
			       .id = BLOB,
			       .tag = TAG,
			       .birth_set = SET,
			       .incarnation = INCARNATION,
			       .number = 42,
			       .set = SET,
			       .column = 1};
}

/* A column of two records, and its position behind them. */
static struct record put_column(struct buf *out)
{
	struct record first = blob_record(), last = first;

	put_record(out, &first, bytes_string("Forty-two bytes of ciphertext, were it one"),
		   (struct hash128){0, 0});
	last.flags = RECORD_LAST_PIECE;
	last.piece = 1;
	last.durable = out->size;
	put_record(out, &last, bytes_string("and the rest"), first.running);
	return last;
}

static void make_records(struct buf *out)
{
	put_column(out);
}

/* ---- sets ---- */

static void make_header(struct buf *out)
{
	const struct column_header header = {.kind = COLUMN_DATA,
					     .set = SET,
					     .uuid = UUID,
					     .cluster = CLUSTER,
					     .node = NODE,
					     .incarnation = INCARNATION,
					     .tag = TAG,
					     .created_ms = CREATED_MS,
					     .capacity = 64u << 20,
					     .column = 1,
					     .profile = {2, 1},
					     .members = {format_example_id(0x50),
							 format_example_id(0x60),
							 format_example_id(0x70)}};
	uint8_t encoded[COLUMN_HEADER_SIZE];

	column_header_encode(&header, encoded);
	buf_put(out, encoded, sizeof(encoded));
}

static void make_mirror(struct buf *out)
{
	struct record within = blob_record(), mirror;
	struct buf column = {0};

	within.flags = RECORD_LAST_PIECE;
	put_record(&column, &within, bytes_string("a short blob"), (struct hash128){0, 0});
	mirror = within;
	mirror.type = RECORD_MIRROR;
	mirror.flags = 0;
	mirror.column = RECORD_NO_COLUMN;
	put_record(out, &mirror, bytes_of_buf(&column), (struct hash128){0, 0});
	buf_finish(&column);
}

/* Column 0 holds a record of 192 bytes, column 1 the two above. */
static struct set_descriptor example_descriptor(void)
{
	struct set_descriptor descriptor = {.profile = {2, 1}, .length = {192, 448}};
	struct record other = blob_record();
	struct buf column = {0};

	other.column = 0;
	other.flags = RECORD_LAST_PIECE;
	put_record(&column, &other, bytes_string("a short blob"), (struct hash128){0, 0});
	descriptor.hash[0] = other.running;
	buf_clear(&column);
	descriptor.hash[1] = put_column(&column).running;
	buf_finish(&column);
	return descriptor;
}

static void make_vote(struct buf *out)
{
	struct column_vote vote = {.descriptor = example_descriptor()};

	vote.seal = set_seal_id(SET, UUID, &vote.descriptor);
	vote.file_hash = vote.descriptor.hash[1];
	column_vote_encode(&vote, out);
}

static void make_index(struct buf *out)
{
	struct column_entry entries[] = {
		{.id = BLOB,
		 .piece = 1,
		 .column = 1,
		 .type = RECORD_BLOB,
		 .offset = 256,
		 .payload_size = 12},
		{.id = BLOB, .column = 1, .type = RECORD_BLOB, .payload_size = 42}};

	column_index_build(entries, 2, out);
}

static void make_trailer(struct buf *out)
{
	struct column_trailer trailer = {.kind = COLUMN_DATA,
					 .column = 1,
					 .set = SET,
					 .uuid = UUID,
					 .body_size = 448,
					 .index_offset = 8192 + 448,
					 .index_pages = 1,
					 .index_entries = 2};
	struct set_certificate *certificate = &trailer.certificate;
	uint8_t encoded[COLUMN_TRAILER_SIZE];
	struct buf index = {0};

	make_index(&index);
	trailer.index_hash = hash_128(index.data, index.size);
	buf_finish(&index);
	certificate->descriptor = example_descriptor();
	certificate->seal = set_seal_id(SET, UUID, &certificate->descriptor);
	certificate->file_hash[0] = certificate->descriptor.hash[0];
	certificate->file_hash[1] = certificate->descriptor.hash[1];
	certificate->file_hash[2] =
		column_parity_hash((struct hash128){0, 0}, bytes_string("the parity"));
	column_trailer_encode(&trailer, encoded);
	buf_put(out, encoded, sizeof(encoded));
}

/* ---- the journal ---- */

static void make_segment(struct buf *out)
{
	const struct segment_header header = {
		.number = 1, .cluster = CLUSTER, .volume = VOLUME, .created_ms = CREATED_MS};
	uint8_t both[SEGMENT_HEADER_SIZE];

	segment_header_encode(&header, both);
	buf_put(out, both, SEGMENT_COPY_SIZE);
}

static void make_blob_reference(struct buf *out)
{
	const struct blob_ref ref = {.id = BLOB,
				     .size = 1000000,
				     .extents = {{SET, 0, 1}, {SET + 0x11, 1, 1}},
				     .extent_count = 2};

	blob_ref_encode(&ref, out);
}

static struct blob_ref small_blob(void)
{
	return (struct blob_ref){
		.id = BLOB, .size = 4112, .extents = {{SET, 0, 1}}, .extent_count = 1};
}

static void make_entry(struct buf *out)
{
	const struct blob_ref blob = small_blob();
	const struct entry entry = {.group = layout_group(table_stream(TABLE_ACCOUNTS)),
				    .stream = table_stream(TABLE_ACCOUNTS),
				    .kind = ENTRY_TABLE,
				    .incarnation = INCARNATION,
				    .seq = 1,
				    .floor = 43,
				    .blob_incarnation = format_example_id(0x70),
				    .blobs = &blob,
				    .blob_count = 1,
				    .signer = NODE};
	uint8_t seed[KEY_SIZE];
	struct key *signing;

	format_example_octets(0x10, seed, sizeof(seed));
	ASSERT(key_import(seed, &signing) == ERR_OK);
	entry_begin(&entry, out);
	buf_put_string(out, "(the payload.)");
	ASSERT(entry_end(out, 0) == ERR_OK && entry_sign(out, 0, signing) == ERR_OK);
	key_release(&signing);
}

static void make_table_page(struct buf *out)
{
	table_page_begin(out);
	table_page_add(out, bytes_string("(a record)"));
	table_page_add(out, bytes_string("(other)"));
}

static void make_table_root(struct buf *out)
{
	const struct table_root_place place = {bytes_string("(the authority)"),
					       table_stream(TABLE_ACCOUNTS),
					       format_example_id(0x80)};
	struct buf payload = {0};
	struct manifest_page page = {.id = format_example_id(0x90)};
	uint8_t seed[KEY_SIZE];
	struct key *signing;

	make_table_page(&payload);
	page.payload = bytes_of_buf(&payload);
	format_example_octets(0x10, seed, sizeof(seed));
	ASSERT(key_import(seed, &signing) == ERR_OK);
	ASSERT(table_root_encode(&place, &page, 1, signing, NODE, out) == ERR_OK);
	key_release(&signing);
	buf_finish(&payload);
}

static void make_manifest(struct buf *out)
{
	struct vector_item items[] = {{format_example_id(0x20), 7}, {format_example_id(0x40), 300}};
	struct id128 pages[] = {format_example_id(0x90)};
	const struct manifest manifest = {.stream = STREAM,
					  .id = format_example_id(0x80),
					  .incarnation = INCARNATION,
					  .epoch = 3,
					  .floor = 43,
					  .vector = {items, 2, 2},
					  .pages = pages,
					  .page_count = 1,
					  .payload = bytes_string("(payload)")};

	ASSERT(manifest_encode(&manifest, out) == ERR_OK);
}

static void make_page(struct buf *out)
{
	const struct blob_ref blob = small_blob();
	const struct manifest_page page = {format_example_id(0x90), &blob, 1,
					   bytes_string("(page)")};

	ASSERT(manifest_page_encode(&page, out) == ERR_OK);
}

static void make_promise(struct buf *out)
{
	struct record record = {.type = RECORD_PROMISE,
				.id = STREAM,
				.tag = STREAM,
				.incarnation = NODE,
				.number = 3,
				.set = 1,
				.column = RECORD_NO_COLUMN};

	put_record(out, &record, bytes_make(NULL, 0), (struct hash128){0, 0});
}

static void make_mark(struct buf *out)
{
	struct mark item = {VOLUME, {2, 4096}};
	const struct marks marks = {&item, 1, true};

	marks_encode(&marks, out);
}

static void make_directory(struct buf *out)
{
	const struct directory_birth birth = {.uuid = UUID,
					      .node = NODE,
					      .incarnation = INCARNATION,
					      .created_ms = CREATED_MS,
					      .capacity = 64u << 20,
					      .profile = {2, 1}};
	const struct directory_placement placement = {.tag = TAG, .volume = VOLUME, .column = 1};
	struct directory_record record = {.set = SET};

	directory_set_birth(&record, &birth);
	ASSERT(directory_add_placement(&record, &placement) == ERR_OK);
	directory_record_encode(&record, out);
	directory_record_finish(&record);
}

static const struct format_example examples[] = {
	{"volume/superblock", make_superblock},
	{"volume/records", make_records},
	{"set/header", make_header},
	{"set/mirror", make_mirror},
	{"set/vote", make_vote},
	{"set/index", make_index},
	{"set/trailer", make_trailer},
	{"journal/segment", make_segment},
	{"journal/blob-reference", make_blob_reference},
	{"journal/entry", make_entry},
	{"journal/manifest", make_manifest},
	{"journal/page", make_page},
	{"journal/table-page", make_table_page},
	{"journal/table-root", make_table_root},
	{"journal/promise", make_promise},
	{"journal/mark", make_mark},
	{"journal/directory", make_directory},
};

int main(int argc, char **argv)
{
	static const char *const groups[] = {"volume", "set", "journal", NULL};

	if (key_library_init() != ERR_OK)
		return 1;
	return format_example_main(argc, argv, examples, sizeof(examples) / sizeof(examples[0]),
				   groups);
}
