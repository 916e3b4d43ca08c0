/* SPDX-License-Identifier: MPL-2.0 */
/*
 * column_check() over a whole column file on a disk in memory. Input: what it is (enum shape);
 * k and m; how much of it is in use, in 255ths (0: no limit); a page that cannot be read; u16
 * octets that are missing at the end; the script of its records (fuzz/records.h), or parity; what
 * is xored.
 *
 * It hands out nothing but what lies there intact, counts what it reports, places it within what
 * the file is or must be; finds no fault in a file that has none, and one in a sealed file that
 * differs in any octet.
 */
#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/set/column_check.h"
#include "fuzz/disk.h"
#include "fuzz/records.h"

#define SET 7u
#define PATH "/column"

enum shape { KIND = 3, SEALED = 4, CERTIFIED = 8, VOTED = 16, FENCED = 32, ALL_SHAPES = 63 };

static struct disk disk;

struct run {
	struct records records;
	struct column_header header;
	struct set_certificate certificate;
	struct column_check_options options;
	struct env_file *file;
	struct column_check out;
	uint64_t reports, visits;
	enum err err;
};

static void count_fault(void *context, const struct column_fault_report *report)
{
	struct run *run = context;

	run->reports++;
	ASSERT(report->fault < COLUMN_FAULT_COUNT);
	ASSERT(strcmp(column_fault_name(report->fault), "unknown") != 0);
	ASSERT(report->offset <= run->file->content.size || report->offset <= LOG_HEADER_SIZE);
}

static enum err visit(void *context, const struct record *record, uint64_t offset,
		      struct bytes whole)
{
	struct run *run = context;
	struct record decoded;

	run->visits++;
	fuzz_assert_equal(
		bytes_slice(bytes_of_buf(&run->file->content), (size_t)offset, whole.size), whole);
	ASSERT(record_decode(whole.data, &decoded) == ERR_OK);
	ASSERT(record_same(&decoded, record) && decoded.set == SET);
	ASSERT(record_check_payload(&decoded, bytes_slice(whole, RECORD_HEADER_SIZE,
							  decoded.payload_size)) == ERR_OK);
	return ERR_OK;
}

static WAITS void check(void *argument)
{
	struct run *run = argument;
	struct env_file *file = NULL;

	ASSERT(io_open(PATH, 0, &file) == ERR_OK);
	run->err = column_check(file, &run->options, &run->out);
	io_close(&file);
}

/* ---- the file ---- */

static void put_header(struct run *run, uint8_t shape, uint8_t profile)
{
	struct column_header *header = &run->header;
	enum column_kind kind = (enum column_kind)((shape & KIND) % 3 + 1);

	*header = (struct column_header){.kind = kind,
					 .set = SET,
					 .uuid = {{1}},
					 .cluster = {{2}},
					 .node = {{3}},
					 .incarnation = {{4}},
					 .tag = {{5}},
					 .capacity = 1u << 20};
	header->profile.k = (uint8_t)(1 + profile % 8);
	header->profile.m = (uint8_t)(1 + (profile >> 3) % 4);
	header->column = kind == COLUMN_DATA ? 0 : header->profile.k;
	for (unsigned i = 0; i < profile_members(header->profile); i++)
		header->members[i].octets[0] = (uint8_t)(i + 1);
	column_header_put(header, &run->file->content);
}

static uint64_t records_size(const struct run *run)
{
	return run->records.body.size;
}

/* What the set agreed on, if this file's part of it is as it is here. */
static void make_certificate(struct run *run)
{
	struct set_certificate *certificate = &run->certificate;
	uint8_t column = run->header.column;
	uint64_t size = records_size(run);

	certificate->descriptor.profile = run->header.profile;
	certificate->descriptor.length[0] = size;
	certificate->descriptor.hash[0] = run->records.running;
	certificate->file_hash[column] = run->records.running;
	if (run->header.kind == COLUMN_PARITY) {
		struct hash128 hash = {0};

		for (uint64_t at = 0; at < size; at += COLUMN_PARITY_BLOCK)
			hash = column_parity_hash(hash,
						  bytes_slice(bytes_of_buf(&run->records.body),
							      (size_t)at, COLUMN_PARITY_BLOCK));
		certificate->file_hash[column] = hash;
	}
	certificate->seal = set_seal_id(SET, run->header.uuid, &certificate->descriptor);
}

static void put_mark(struct run *run, enum record_type type)
{
	struct column_vote vote = {.seal = run->certificate.seal,
				   .file_hash = run->certificate.file_hash[run->header.column],
				   .descriptor = run->certificate.descriptor};
	struct record record = {.type = (uint8_t)type,
				.set = SET,
				.column = run->records.column,
				.offset = run->records.body.size};
	struct buf payload = {0};

	if (run->records.count == RECORDS_MAX)
		return;
	if (type == RECORD_VOTE)
		column_vote_encode(&vote, &payload);
	records_put(&run->records, &record, bytes_of_buf(&payload), run->records.running);
	buf_finish(&payload);
}

static void put_footer(struct run *run)
{
	struct column_trailer trailer = {.kind = run->header.kind,
					 .column = run->header.column,
					 .set = SET,
					 .uuid = run->header.uuid,
					 .index_entries = (uint32_t)run->records.entry_count,
					 .index_pages =
						 column_index_pages(run->records.entry_count),
					 .certificate = run->certificate};
	struct buf *content = &run->file->content;
	uint8_t encoded[COLUMN_TRAILER_SIZE];

	trailer.body_size = content->size - LOG_HEADER_SIZE;
	trailer.index_offset = content->size;
	column_index_build(run->records.entries, run->records.entry_count, content);
	trailer.index_hash = hash_128(content->data + trailer.index_offset,
				      content->size - (size_t)trailer.index_offset);
	column_trailer_encode(&trailer, encoded);
	buf_put(content, encoded, sizeof(encoded));
}

static void put_parity(struct run *run, struct cursor *script)
{
	uint8_t parity[1024] = {0};

	fuzz_fill(script, parity, cursor_u8(script));
	buf_put(&run->records.body, parity, sizeof(parity));
	run->records.clean = true;
}

/* Only what a data column or a mirror may hold makes it clean. */
static bool belongs(const struct run *run)
{
	const struct records *records = &run->records;
	bool good = true;

	if (run->header.kind == COLUMN_MIRROR) {
		for (size_t i = 0; i < records->entry_count; i++)
			good &= records->entries[i].column < run->header.profile.k;
		return good && records->entry_count == records->count;
	}
	for (size_t i = 0; i < records->count; i++) {
		uint8_t type = records->body.data[records->offsets[i] + 5];

		good &= type == RECORD_BLOB || type == RECORD_LOST;
	}
	return good;
}

/* True: nothing is wrong with it. */
static bool put_column(struct run *run, uint8_t shape, struct cursor *input)
{
	bool clean;

	run->records.set = SET;
	run->records.column = run->header.kind == COLUMN_DATA ? 0 : RECORD_NO_COLUMN;
	if (run->header.kind == COLUMN_PARITY)
		put_parity(run, input);
	else
		records_run(&run->records, input);
	make_certificate(run);
	clean = run->records.clean && (run->header.kind == COLUMN_PARITY || belongs(run));
	if ((shape & FENCED) != 0 && run->header.kind != COLUMN_PARITY)
		put_mark(run, RECORD_FENCE);
	if ((shape & VOTED) != 0 && run->header.kind != COLUMN_PARITY)
		put_mark(run, RECORD_VOTE);
	buf_put_bytes(&run->file->content, bytes_of_buf(&run->records.body));
	if ((shape & SEALED) != 0)
		put_footer(run);
	ASSERT(run->file->content.err == ERR_OK);
	return clean;
}

static void set_options(struct run *run, uint8_t shape, uint8_t limit)
{
	run->options = (struct column_check_options){
		.set = SET,
		.column = run->header.column,
		.kind = run->header.kind,
		.certificate = (shape & CERTIFIED) != 0 ? &run->certificate : NULL,
		.limit = records_size(run) * limit / 255,
		.fault = count_fault,
		.record = visit,
		.context = run};
}

static void judge(const struct run *run, uint8_t shape, bool clean, bool changed, bool whole)
{
	bool sealed = (shape & SEALED) != 0;

	ASSERT(run->err == ERR_OK);
	ASSERT(run->out.faults == run->reports);
	ASSERT(run->out.file_size == run->file->content.size);
	ASSERT(run->out.end <= run->out.file_size && run->visits <= run->out.records);
	/* A mirror is not sealed: parity takes its place. */
	if (!clean || !whole || run->header.kind == COLUMN_MIRROR ||
	    sealed != ((shape & CERTIFIED) != 0) || (!sealed && run->options.limit != 0) ||
	    (!sealed && run->header.kind == COLUMN_PARITY))
		return;
	if (!changed)
		ASSERT(run->reports == 0);
	else if (sealed)
		ASSERT(run->reports != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	uint8_t shape = cursor_u8(&input) & ALL_SHAPES, profile = cursor_u8(&input);
	uint8_t limit = cursor_u8(&input), page = cursor_u8(&input) & 31;
	size_t missing = cursor_u16(&input);
	struct run *run = memory_allocate(sizeof(*run));
	bool clean, changed;

	if (disk.sched == NULL)
		disk_init(&disk);
	ASSERT(run != NULL);
	run->file = disk_put(&disk, PATH);
	put_header(run, shape, profile);
	clean = put_column(run, shape, &input);
	set_options(run, shape, limit);
	changed = records_poke(&input, &run->file->content);
	missing %= run->file->content.size;
	run->file->content.size -= missing;
	run->file->unreadable = page != 0 ? 1ull << page : 0;
	disk_run(&disk, check, run);
	judge(run, shape, clean, changed, missing == 0 && page == 0);
	buf_finish(&run->records.body);
	memory_free(run);
	disk_clear(&disk);
	return 0;
}
