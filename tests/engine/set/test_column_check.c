/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Column files of a store of three volumes, made by the engine itself, damaged
 * in one place each: every damage is found, called by its name and placed, and
 * nothing else is reported; undone, the file is clean again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/memory.h"
#include "engine/io.h"
#include "engine/set/column_check.h"
#include "engine/set/stripe.h"
#include "engine/volume/log.h"
#include "tests/sim/node_fault.h"
#include "tests/support/blobs_fixture.h"

#define FILES_MAX 64

static struct blobs_fixture fixture;

struct column_file {
	char path[96];
	uint64_t set;
	uint8_t column;
	enum column_kind kind;
	struct column_check clean;
};

static struct column_file files[FILES_MAX];
static size_t file_count;

/* ---- what a check reports ---- */

static struct column_fault_report first;
static uint64_t counts[COLUMN_FAULT_COUNT];

static void take_fault(void *context, const struct column_fault_report *report)
{
	(void)context;
	if (counts[report->fault]++ == 0)
		first = *report;
}

static WAITS void check_with(const struct column_file *file,
			     const struct set_certificate *certificate, struct column_check *out)
{
	const struct column_check_options options = {.set = file->set,
						     .column = file->column,
						     .kind = file->kind,
						     .certificate = certificate,
						     .fault = take_fault};
	struct env_file *handle = NULL;

	memset(counts, 0, sizeof(counts));
	assert_int_equal(io_open(file->path, 0, &handle), ERR_OK);
	assert_int_equal(column_check(handle, &options, out), ERR_OK);
	io_close(&handle);
}

static WAITS void check_clean(const struct column_file *file, struct column_check *out)
{
	check_with(file, NULL, out);
	for (int i = 0; i < COLUMN_FAULT_COUNT; i++)
		if (counts[i] != 0)
			print_error("%s: %s at %llu\n", file->path,
				    column_fault_name((enum column_fault)i),
				    (unsigned long long)first.offset);
	assert_int_equal(out->faults, 0);
}

static void expect(enum column_fault fault, uint64_t offset)
{
	for (int i = 0; i < COLUMN_FAULT_COUNT; i++) {
		if ((counts[i] != 0) != (i == (int)fault))
			print_error("expected %s at %llu, found %s at %llu\n",
				    column_fault_name(fault), (unsigned long long)offset,
				    column_fault_name((enum column_fault)i),
				    (unsigned long long)first.offset);
		assert_int_equal(counts[i] != 0, i == (int)fault);
	}
	assert_int_equal(first.offset, offset);
}

/* ---- damaging ---- */

/* Writes `bytes` over what is there; what was comes back in `old`. */
static WAITS void overwrite(const struct column_file *file, uint64_t offset, const void *bytes,
			    size_t size, void *old)
{
	struct env_file *handle = NULL;

	assert_int_equal(io_open(file->path, ENV_OPEN_WRITE, &handle), ERR_OK);
	if (old != NULL)
		assert_int_equal(io_read_exact(handle, offset, old, size), ERR_OK);
	assert_int_equal(io_write_sync(handle, offset, bytes_make(bytes, size)), ERR_OK);
	io_close(&handle);
}

/* Damages, expects, undoes, expects nothing. */
static WAITS void damage(const struct column_file *file, uint64_t offset, const void *bytes,
			 size_t size, enum column_fault fault, uint64_t reported)
{
	uint8_t *old = memory_allocate(size);
	struct column_check out;

	overwrite(file, offset, bytes, size, old);
	check_with(file, &file->clean.trailer.certificate, &out);
	expect(fault, reported);
	overwrite(file, offset, old, size, NULL);
	check_clean(file, &out);
	memory_free(old);
}

static WAITS void flip(const struct column_file *file, uint64_t offset, enum column_fault fault,
		       uint64_t reported)
{
	struct env_file *handle = NULL;
	uint8_t octet;

	assert_int_equal(io_open(file->path, 0, &handle), ERR_OK);
	assert_int_equal(io_read_exact(handle, offset, &octet, 1), ERR_OK);
	io_close(&handle);
	octet ^= 0x10;
	damage(file, offset, &octet, 1, fault, reported);
}

/* ---- the store ---- */

static WAITS void list_files(size_t volume)
{
	char path[64];
	struct buf names = {0};

	(void)snprintf(path, sizeof(path), "/d%zu/v/columns", volume);
	assert_int_equal(io_list(path, &names), ERR_OK);
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		struct column_file *file = &files[file_count++];
		const char *name = (const char *)names.data + at;

		assert_true(file_count <= FILES_MAX);
		(void)snprintf(file->path, sizeof(file->path), "%s/%s", path, name);
		assert_int_equal(column_parse_name(name, &file->set, &file->column, &file->kind),
				 ERR_OK);
	}
	buf_finish(&names);
}

static WAITS void make_store(bool sealed)
{
	file_count = 0;
	blobs_fixture_format(&fixture);
	fixture.options.passive = true;
	assert_int_equal(blobs_fixture_open(&fixture), ERR_OK);
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(blobs_fixture_put(&fixture, 9000 + i * 64, 0), ERR_OK);
	if (sealed)
		assert_int_equal(blobs_settle(fixture.blobs), ERR_OK);
	blobs_fixture_close(&fixture);
	for (size_t i = 0; i < fixture.volume_count; i++)
		list_files(i);
	for (size_t i = 0; i < file_count; i++) {
		check_clean(&files[i], &files[i].clean);
		assert_int_equal(files[i].clean.sealed, sealed);
	}
}

static const struct column_file *find(enum column_kind kind)
{
	for (size_t i = 0; i < file_count; i++)
		if (files[i].kind == kind && (kind == COLUMN_PARITY || files[i].clean.records > 4))
			return &files[i];
	fail();
	return NULL;
}

static void run(void (*body)(void *argument))
{
	struct sim *sim = sim_create(11, NULL);

	memset(&fixture, 0, sizeof(fixture));
	(void)sim_add_node(sim);
	blobs_fixture_add_disks(&fixture, sim, 3);
	assert_int_equal(sim_run_task(sim, body, NULL), ERR_OK);
	sim_finish(&sim);
}

/* ---- cases ---- */

static const uint8_t ZEROS[16384];

static WAITS uint64_t record_at(const struct column_file *file, unsigned number)
{
	uint64_t at = LOG_HEADER_SIZE;
	struct env_file *handle = NULL;

	assert_int_equal(io_open(file->path, 0, &handle), ERR_OK);
	for (; number > 0; number--) {
		uint8_t header[RECORD_HEADER_SIZE];
		struct record record;

		assert_int_equal(io_read_exact(handle, at, header, sizeof(header)), ERR_OK);
		assert_int_equal(record_decode(header, &record), ERR_OK);
		at += record_size(record.payload_size);
	}
	io_close(&handle);
	return at;
}

static WAITS void sealed_data(void *argument)
{
	const struct column_file *file;
	uint64_t second, third, end;
	uint8_t *other;
	struct env_file *handle = NULL;
	struct column_check out;

	(void)argument;
	make_store(true);
	file = find(COLUMN_DATA);
	second = record_at(file, 1);
	third = record_at(file, 2);
	end = file->clean.file_size;
	flip(file, 100, COLUMN_FAULT_HEADER_COPY, 0);
	flip(file, COLUMN_HEADER_COPY + 100, COLUMN_FAULT_HEADER_COPY, COLUMN_HEADER_COPY);
	flip(file, 2000, COLUMN_FAULT_PADDING, COLUMN_HEADER_SIZE);
	flip(file, second + RECORD_HEADER_SIZE + 5, COLUMN_FAULT_ROTTEN, second);
	assert_true(first.named && first.size == third - second);
	flip(file, second + 20, COLUMN_FAULT_ROTTEN, second);
	assert_true(!first.named && first.size == third - second);
	flip(file, third - 1, COLUMN_FAULT_PADDING, second);
	damage(file, second, ZEROS, (size_t)(third - second), COLUMN_FAULT_LOST_WRITE, second);
	damage(file, (second / 4096 + 1) * 4096, ZEROS, 4096, COLUMN_FAULT_LOST_WRITE, second);
	/* The next record, intact, where this one belongs. */
	other = memory_allocate((size_t)(third - second));
	assert_int_equal(io_open(file->path, 0, &handle), ERR_OK);
	assert_int_equal(io_read_exact(handle, third, other, (size_t)(third - second)), ERR_OK);
	io_close(&handle);
	damage(file, second, other, (size_t)(third - second), COLUMN_FAULT_MISDIRECTED, second);
	assert_int_equal(first.foreign_set, file->set);
	assert_int_equal(first.foreign_offset, third - LOG_HEADER_SIZE);
	memory_free(other);
	flip(file, file->clean.trailer.index_offset + 50, COLUMN_FAULT_INDEX_PAGE,
	     file->clean.trailer.index_offset);
	flip(file, end - COLUMN_TRAILER_SIZE + 100, COLUMN_FAULT_TRAILER,
	     end - COLUMN_TRAILER_SIZE);
	overwrite(file, end, ZEROS, 1, NULL);
	check_with(file, &file->clean.trailer.certificate, &out);
	expect(COLUMN_FAULT_BEYOND, end);
}

static WAITS void sealed_parity(void *argument)
{
	const struct column_file *file;

	(void)argument;
	make_store(true);
	file = find(COLUMN_PARITY);
	flip(file, LOG_HEADER_SIZE + 70000, COLUMN_FAULT_PARITY, LOG_HEADER_SIZE);
	flip(file, file->clean.file_size - 1, COLUMN_FAULT_TRAILER,
	     file->clean.file_size - COLUMN_TRAILER_SIZE);
}

static WAITS void short_file(void *argument)
{
	const struct column_file *file;
	struct env_file *handle = NULL;
	struct column_check out;
	uint64_t size;

	(void)argument;
	make_store(true);
	file = find(COLUMN_DATA);
	size = record_at(file, 3);
	assert_int_equal(io_open(file->path, ENV_OPEN_WRITE, &handle), ERR_OK);
	assert_int_equal(io_truncate(handle, size), ERR_OK);
	io_close(&handle);
	check_with(file, &file->clean.trailer.certificate, &out);
	assert_int_equal(counts[COLUMN_FAULT_LENGTH], 1);
	assert_int_equal(counts[COLUMN_FAULT_TRAILER], 1);
	assert_int_equal(out.faults, 2);
	assert_int_equal(out.end, size - LOG_HEADER_SIZE);
}

/* The same bytes unwritten are an unfinished tail at the end, and damage in the middle. */
static WAITS void unsealed(void *argument)
{
	static const enum column_kind kinds[] = {COLUMN_DATA, COLUMN_MIRROR};

	(void)argument;
	make_store(false);
	for (size_t i = 0; i < 2; i++) {
		const struct column_file *file = find(kinds[i]);
		uint64_t second = record_at(file, 1), last = 0;
		uint8_t old[4096];
		struct column_check out;

		overwrite(file, second + 400, "rot", 3, old);
		check_with(file, NULL, &out);
		expect(COLUMN_FAULT_ROTTEN, second);
		assert_true(first.named && first.data_column < 2);
		overwrite(file, second + 400, old, 3, NULL);
		last = record_at(file, (unsigned)(file->clean.records - 1));
		overwrite(file, last + 400, "rot", 3, old);
		check_with(file, NULL, &out);
		expect(COLUMN_FAULT_TAIL, last);
		overwrite(file, last + 400, old, 3, NULL);
		check_clean(file, &out);
	}
}

static WAITS void unreadable(void *argument)
{
	const struct column_file *file;
	struct env_file *handle = NULL;
	struct column_check out;
	uint8_t page[4096];
	uint64_t second;

	(void)argument;
	make_store(true);
	file = find(COLUMN_DATA);
	second = record_at(file, 1);
	for (size_t i = 0; i < fixture.volume_count; i++)
		sim_plan_fault(fixture.disks[i], SIM_STEP_READ, 1, SIM_FAULT_UNREADABLE);
	/* A page in the midst of the second record is gone from now on. */
	assert_int_equal(io_open(file->path, 0, &handle), ERR_OK);
	assert_int_equal(io_read_exact(handle, (second / 4096 + 1) * 4096, page, sizeof(page)),
			 ERR_IO);
	io_close(&handle);
	for (size_t i = 0; i < fixture.volume_count; i++)
		sim_stop_faults(fixture.disks[i]);
	check_with(file, &file->clean.trailer.certificate, &out);
	expect(COLUMN_FAULT_UNREADABLE, second);
	assert_int_equal(out.faults, 1);
}

/* ---- arithmetic ---- */

struct columns {
	uint8_t *bytes[PROFILE_MEMBER_MAX];
	uint64_t at;
	uint32_t named, unread, calls;
};

static enum err column_range(void *context, uint8_t column, uint64_t offset, size_t size,
			     uint8_t *out)
{
	const struct columns *columns = context;

	if (columns->bytes[column] == NULL)
		return ERR_IO;
	memcpy(out, columns->bytes[column] + offset, size);
	return ERR_OK;
}

static void take_deviation(void *context, uint64_t offset, size_t size, uint32_t wrong,
			   uint32_t unread)
{
	struct columns *columns = context;

	(void)size;
	columns->at = offset;
	columns->named = wrong;
	columns->unread = unread;
	columns->calls++;
}

#define ARITHMETIC_SIZE (3u * SET_CHECK_WINDOW + 640)

static WAITS void compare(struct columns *columns, struct profile profile, uint32_t suspects)
{
	const struct set_check_options options = {.profile = profile,
						  .size = ARITHMETIC_SIZE,
						  .present = (1u << profile_members(profile)) - 1,
						  .suspects = suspects,
						  .range = column_range,
						  .deviation = take_deviation,
						  .context = columns};

	columns->calls = columns->named = 0;
	assert_int_equal(set_check(&options), ERR_OK);
}

static WAITS void arithmetic_of(struct profile profile)
{
	struct columns columns = {0};
	unsigned members = profile_members(profile);

	for (unsigned i = 0; i < members; i++)
		columns.bytes[i] = memory_allocate(ARITHMETIC_SIZE);
	for (unsigned i = 0; i < profile.k; i++)
		for (size_t j = 0; j < ARITHMETIC_SIZE; j++)
			columns.bytes[i][j] = (uint8_t)(j * 7 + i * 31 + (j >> 8));
	for (unsigned i = profile.k; i < members; i++)
		stripe_encode_row(profile, (uint8_t)i, (const uint8_t *const *)columns.bytes,
				  ARITHMETIC_SIZE, columns.bytes[i]);
	compare(&columns, profile, 0);
	assert_int_equal(columns.calls, 0);
	for (unsigned i = 0; i < members; i++) {
		columns.bytes[i][SET_CHECK_WINDOW + 17] ^= 4;
		compare(&columns, profile, 0);
		assert_int_equal(columns.calls, 1);
		assert_int_equal(columns.at, SET_CHECK_WINDOW);
		/* One parity column shows that something is wrong, two show what. */
		assert_int_equal(columns.named, profile.m > 1 ? 1u << i : 0);
		compare(&columns, profile, 1u << i);
		assert_int_equal(columns.named, 1u << i);
		/* Suspicion alone convicts nobody whom the others acquit. */
		if (profile.m > 1) {
			compare(&columns, profile, 1u << ((i + 1) % members));
			assert_int_equal(columns.named, 1u << i);
		}
		columns.bytes[i][SET_CHECK_WINDOW + 17] ^= 4;
	}
	for (unsigned i = 0; i < members; i++)
		memory_free(columns.bytes[i]);
}

static WAITS void arithmetic(void *argument)
{
	(void)argument;
	arithmetic_of((struct profile){2, 1});
	arithmetic_of((struct profile){1, 2});
	arithmetic_of((struct profile){4, 2});
	arithmetic_of((struct profile){5, 4});
}

static void test_sealed_data(void **state)
{
	(void)state;
	run(sealed_data);
}

static void test_sealed_parity(void **state)
{
	(void)state;
	run(sealed_parity);
}

static void test_short_file(void **state)
{
	(void)state;
	run(short_file);
}

static void test_unsealed(void **state)
{
	(void)state;
	run(unsealed);
}

static void test_unreadable(void **state)
{
	(void)state;
	run(unreadable);
}

static void test_arithmetic(void **state)
{
	(void)state;
	run(arithmetic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed_data), cmocka_unit_test(test_sealed_parity),
		cmocka_unit_test(test_short_file),  cmocka_unit_test(test_unsealed),
		cmocka_unit_test(test_unreadable),  cmocka_unit_test(test_arithmetic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
