/* SPDX-License-Identifier: MPL-2.0 */
/*
 * log_scan() over a file of records (fuzz/records.h) on a disk in memory. Input: how far the owner
 * knows the file durable, in 128ths of it; flags; a page that cannot be read; u16 octets that are
 * missing at the end; the script; what is xored.
 *
 * It visits everything in order, without gaps, hands out nothing but what lies there intact, calls
 * nothing above all marks corrupt and nothing below them unfinished, changes no octet, and says the
 * same again.
 */
#include "engine/base/memory.h"
#include "engine/format/superblock.h"
#include "engine/io.h"
#include "fuzz/disk.h"
#include "fuzz/records.h"

#define VOLUME "/v"
#define SET 7u
#define CLUSTER ((struct id128){{1}})

enum flags { WITH_PAYLOADS = 1, FROM_A_RECORD = 2, IS_MIRROR = 4 };

static struct disk disk;

struct run {
	struct records records;
	struct bytes body; /* as it lies there */
	uint8_t flags;
	uint64_t from, hint, known;
	bool readable;
	/* what a scan said */
	uint64_t at;
	uint64_t highest_corrupt, tail; /* where the last LOG_CORRUPT begins, and LOG_TAIL */
	size_t good;
	bool ended;
	enum err err;
	struct hash128 said;
};

static void check_record(const struct run *run, const struct log_visit *visit)
{
	struct bytes whole = bytes_slice(run->body, (size_t)visit->offset, (size_t)visit->size);
	struct record record;

	ASSERT(whole.size == visit->size && whole.size >= RECORD_HEADER_SIZE);
	ASSERT(record_decode(whole.data, &record) == ERR_OK);
	ASSERT(record_same(&record, visit->record) && record.offset == visit->offset);
	ASSERT(record.set == SET && record.column == run->records.column);
	whole = bytes_slice(whole, RECORD_HEADER_SIZE, record.payload_size);
	ASSERT(record_check_payload(&record, whole) == ERR_OK);
	if ((run->flags & WITH_PAYLOADS) != 0)
		fuzz_assert_equal(visit->payload, whole);
}

static enum err visit(void *context, const struct log_visit *visit)
{
	struct run *run = context;
	const uint64_t words[] = {visit->event, visit->offset, visit->size, run->said.low};

	ASSERT(!run->ended && visit->offset == run->at && visit->size != 0);
	run->at += visit->size;
	run->said = hash_128(words, sizeof(words));
	if (visit->event == LOG_RECORD) {
		check_record(run, visit);
		run->good++;
	} else if (visit->event == LOG_CORRUPT) {
		run->highest_corrupt = visit->offset;
	} else {
		ASSERT(visit->event == LOG_TAIL && run->at == run->body.size);
		run->ended = true;
		run->tail = visit->offset;
	}
	return ERR_OK;
}

static WAITS void scan(struct run *run, struct log *log)
{
	run->at = run->from;
	run->ended = false;
	run->good = 0;
	run->highest_corrupt = UINT64_MAX;
	run->tail = UINT64_MAX;
	run->said = (struct hash128){0};
	run->err = log_scan(log, run->from, run->hint, (run->flags & WITH_PAYLOADS) != 0, visit,
			    run, &run->known);
	if (run->err != ERR_OK)
		return;
	ASSERT(log_end(log) == (run->ended ? run->tail : run->at));
	ASSERT(log_durable(log) == log_end(log));
	if (run->ended)
		ASSERT(run->tail >= run->known && run->tail + RECORD_ALIGN > run->hint);
	if (run->highest_corrupt != UINT64_MAX)
		ASSERT(run->highest_corrupt < run->known || run->highest_corrupt < run->hint);
}

static WAITS void run_scans(void *argument)
{
	const struct log_options options = {
		.name = "log", .set = SET, .column = ((struct run *)argument)->records.column};
	struct run *run = argument;
	struct volume *volume = NULL;
	struct log *log = NULL;
	struct buf header = {0};
	struct hash128 said;

	ASSERT(volume_open(task_sched(), VOLUME, CLUSTER, &volume) == ERR_OK);
	ASSERT(log_open(volume, &options, &header, &log) == ERR_OK);
	scan(run, log);
	said = run->said;
	if (run->err == ERR_OK) {
		scan(run, log);
		ASSERT(run->err == ERR_OK && hash128_equal(run->said, said));
	} else {
		ASSERT(run->err == ERR_NEWER || (run->err == ERR_IO && !run->readable));
	}
	buf_finish(&header);
	log_close(&log);
	volume_close(&volume);
}

static void put_volume(void)
{
	const struct superblock superblock = {
		.generation = 1,
		.identity = {.cluster = CLUSTER, .node = {{2}}, .volume = {{3}}, .zone = "a"}};
	uint8_t both[SUPERBLOCK_SIZE];

	superblock_encode(&superblock, both);
	buf_put(&disk_put(&disk, VOLUME "/superblock")->content, both, sizeof(both));
	(void)disk_put(&disk, VOLUME "/lock");
}

static void prepare(struct run *run, struct cursor *input, struct env_file *file, bool *clean)
{
	uint8_t hint = cursor_u8(input), page;
	size_t missing;

	run->flags = cursor_u8(input);
	page = cursor_u8(input) & 63;
	missing = cursor_u16(input);
	run->records.set = SET;
	run->records.column = (run->flags & IS_MIRROR) != 0 ? RECORD_NO_COLUMN : 0;
	records_run(&run->records, input);
	*clean = run->records.clean;
	*clean &= !records_poke(input, &run->records.body);
	run->body = bytes_of_buf(&run->records.body);
	if (missing != 0 && run->body.size != 0) {
		run->body.size -= missing % run->body.size;
		*clean = false;
	}
	run->hint = run->body.size * hint / 128;
	if ((run->flags & FROM_A_RECORD) != 0 && run->records.count != 0) {
		run->from = run->records.offsets[(run->flags >> 3) % run->records.count];
		if (run->from > run->body.size)
			run->from = 0;
	}
	buf_put_zeros(&file->content, LOG_HEADER_SIZE);
	buf_put_bytes(&file->content, run->body);
	ASSERT(file->content.err == ERR_OK);
	run->readable = page < LOG_HEADER_SIZE / DISK_PAGE_SIZE;
	file->unreadable = run->readable ? 0 : 1ull << page;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_make(bytes_make(data, size));
	struct run *run = memory_allocate(sizeof(*run));
	struct env_file *file;
	bool clean;

	if (disk.sched == NULL)
		disk_init(&disk);
	ASSERT(run != NULL);
	put_volume();
	file = disk_put(&disk, VOLUME "/log");
	prepare(run, &input, file, &clean);
	disk_run(&disk, run_scans, run);
	fuzz_assert_equal(bytes_slice(bytes_of_buf(&file->content), LOG_HEADER_SIZE, SIZE_MAX),
			  run->body);
	if (clean && run->readable && run->from == 0 && run->hint <= run->body.size)
		ASSERT(run->err == ERR_OK && run->good == run->records.count && !run->ended);
	buf_finish(&run->records.body);
	memory_free(run);
	disk_clear(&disk);
	return 0;
}
