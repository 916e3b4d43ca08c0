/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Every octet of a small store at rest is flipped in turn, in one process, on
 * simulated disks; aerofsck's passes must say that something is wrong, or the
 * octet must lie where docs/format.md says "unused": `unused` below is the list.
 * What is unused is shown to be irrelevant: the whole check, every pass, says
 * clean and the engine's journal and sets read the same.
 *
 * Then it is mended, with -y: the file is what it was octet for octet, or, where
 * records were written elsewhere (journals are written forward, unsealed sets
 * are sealed or evacuated), everything that the store held is there; and a second
 * check says clean. Mending is slower: it is done for every AEROSTORE_FLIPS_HEAD-th
 * octet of the structures, once for each kind of them (superblock, headers of files,
 * the header of a record of each type in each kind of file, trailer), and for every
 * AEROSTORE_FLIPS_MEND-th elsewhere; both are primes, so that they wander through
 * all fields. AEROSTORE_FLIPS_HEAD=1 mends each octet of the structures.
 *
 *   AEROSTORE_FLIPS_STEP=1   how many octets to go on: 1 is each
 */
#include <stdlib.h>

#include "engine/fsck/fsck.h"
#include "engine/format/column.h"
#include "engine/format/record.h"
#include "engine/io.h"
#include "engine/volume/log.h"
#include "tests/sim/inode.h"
#include "tests/sim/tree.h"
#include "tests/support/fsck_fixture.h"
#include "tests/support/unit.h"

#define FILES 64

/* Sanitizers make it ten times as slow: every octet is for the build without. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 23
#define MEND_STEP 97
#define HEAD_STEP 211
#else
#define STEP 1
#define MEND_STEP 499
#define HEAD_STEP 37
#endif

struct file {
	char path[128];
	struct buf pristine;
};

static const char *const volumes[] = {"/d0/v", "/d1/v", "/d2/v"};

static struct post world;
static struct file files[FILES];
static size_t file_count;

struct counts {
	uint64_t flips, detected, unused, mended, restored;
};

static struct counts counts;

/* ---- what the document calls unused ---- */

/*
 * Column header: "Two copies, at 0 and at 4096, of 1024 bytes each; unused up to 4096 and up to
 * 8192." Nothing else: blobs have such bytes, but these are under their record's checksum.
 */
static bool is_unused(const struct file *file, size_t at)
{
	bool column = strstr(file->path, "/columns/") != NULL;

	return column && at < 8192 && at % COLUMN_HEADER_COPY >= COLUMN_HEADER_SIZE;
}

/* ---- the disks ---- */

static struct sim_inode *inode_of(const char *path)
{
	struct sim_inode *inode = NULL;

	assert_ok(sim_tree_find(&world.sim->nodes[0]->tree, path, &inode));
	return inode;
}

static void flip(const struct file *file, size_t at)
{
	struct sim_inode *inode = inode_of(file->path);
	struct sim_page *page = &inode->pages[at / SIM_PAGE_SIZE];
	uint8_t *octets = page->cached != NULL ? page->cached : page->durable;

	assert_non_null(octets);
	octets[at % SIM_PAGE_SIZE] ^= (uint8_t)(1u << at % 8);
}

static WAITS void remember(const char *path)
{
	struct buf names = {0};
	struct env_stat stat;

	assert_ok(io_stat(path, &stat));
	if (!stat.is_directory) {
		assert_true(file_count < FILES);
		snprintf(files[file_count].path, sizeof(files->path), "%s", path);
		assert_ok(io_read_file(path, 1u << 24, &files[file_count].pristine));
		file_count++;
		return;
	}
	assert_ok(io_list(path, &names));
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		char below[128];

		snprintf(below, sizeof(below), "%.80s/%.40s", path, (char *)names.data + at);
		remember(below);
	}
	buf_finish(&names);
}

static WAITS void remove_all(const char *path)
{
	struct buf names = {0};
	char below[128];

	assert_ok(io_list(path, &names));
	for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
		struct env_stat stat;

		snprintf(below, sizeof(below), "%.80s/%.40s", path, (char *)names.data + at);
		assert_ok(io_stat(below, &stat));
		if (stat.is_directory)
			remove_all(below);
		else
			assert_ok(io_unlink(below));
	}
	buf_finish(&names);
}

static WAITS void restore(void)
{
	for (size_t i = 0; i < 3; i++)
		remove_all(volumes[i]);
	for (size_t i = 0; i < file_count; i++) {
		struct env_file *file = NULL;

		assert_ok(io_open(files[i].path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file));
		if (files[i].pristine.size != 0)
			assert_ok(io_write_sync(file, 0, bytes_of_buf(&files[i].pristine)));
		io_close(&file);
	}
}

/* ---- runs of the passes, each above an overlay of its own ---- */

struct run {
	enum fsck_mode mode;
	const char *only;
	struct overlay *overlay;
	struct sched *sched;
	struct fsck_result result;
	enum err err;
	bool done;
};

static void run_passes(void *argument)
{
	struct run *run = argument;
	const struct fsck_options options = {.overlay = run->overlay,
					     .volumes = volumes,
					     .volume_count = 3,
					     .mode = run->mode,
					     .only = run->only};
	char why[FSCK_DETAIL_SIZE];

	run->err = fsck_run(&options, &run->result, why);
	run->done = true;
}

static bool is_done(void *context)
{
	const struct run *run = context;

	return run->done && sched_task_count(run->sched) == 0;
}

static void run_fsck(struct run *run)
{
	assert_ok(overlay_create(sim_simple_env(world.sim), &run->overlay));
	run->sched = sched_create(overlay_env(run->overlay));
	assert_non_null(run->sched);
	assert_ok(task_spawn(run->sched, "fsck", run_passes, run, NULL));
	assert_ok(sim_run_until(world.sim, is_done, run, 3600000));
	sched_destroy(&run->sched);
	overlay_destroy(&run->overlay);
}

static size_t problems_with(enum fsck_mode mode, const char *only)
{
	struct run run = {.mode = mode, .only = only};
	size_t count;

	run_fsck(&run);
	/* A structure that says it is newer is refused: that is an answer, too. */
	if (run.err != ERR_NEWER && run.err != ERR_FOREIGN)
		assert_ok(run.err);
	count = run.result.problem_count + (run.err != ERR_OK);
	fsck_result_finish(&run.result);
	return count;
}

/* ---- mending ---- */

static uint64_t named, unnamed_streams;

static void assert_clean(const struct file *file, size_t at)
{
	struct run run = {.mode = FSCK_NO};

	run_fsck(&run);
	assert_ok(run.err);
	if (run.result.problem_count != 0)
		fail_msg("%s: octet %zu: mended, and yet %s %s %s", file->path, at,
			 fsck_code_info(run.result.problems[0].code)->code,
			 run.result.problems[0].file, run.result.problems[0].detail);
	/* Every blob that is named is there, and no stream has lost one. */
	assert_int_equal(run.result.blobs_named, named);
	assert_int_equal(run.result.blobs_lost, 0);
	assert_int_equal(run.result.streams, unnamed_streams);
	fsck_result_finish(&run.result);
}

static WAITS void count_restored(void *argument)
{
	const struct file *file = argument;
	struct buf content = {0};

	if (io_read_file(file->path, 1u << 24, &content) == ERR_OK)
		counts.restored +=
			bytes_equal(bytes_of_buf(&content), bytes_of_buf(&file->pristine));
	buf_finish(&content);
}

static WAITS void restore_all(void *argument)
{
	(void)argument;
	restore();
}

static void mend(const struct file *file, size_t at)
{
	struct run run = {.mode = FSCK_YES};

	run_fsck(&run);
	assert_ok(run.err);
	assert_true(run.result.problem_count != 0);
	for (size_t i = 0; i < run.result.problem_count; i++)
		if (!run.result.problems[i].fixed)
			fail_msg("%s: octet %zu: %s is left", file->path, at,
				 fsck_code_info(run.result.problems[i].code)->code);
	fsck_result_finish(&run.result);
	assert_clean(file, at);
	counts.mended++;
	assert_ok(sim_run_task(world.sim, count_restored, &files[file - files]));
	assert_ok(sim_run_task(world.sim, restore_all, NULL));
}

/* ---- all octets ---- */

static size_t from_environment(const char *name, size_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? (size_t)strtoul(text, NULL, 10) : otherwise;
}

static void try_octet(const struct file *file, size_t at, bool mending)
{
	size_t problems;

	flip(file, at);
	counts.flips++;
	problems = problems_with(FSCK_NO, file->path);
	if (problems == 0 && !is_unused(file, at))
		fail_msg("%s: a flip of octet %zu is not seen", file->path, at);
	counts.detected += problems != 0;
	counts.unused += problems == 0;
	if (mending && problems != 0) {
		mend(file, at);
		return;
	}
	/* Irrelevant: nothing anywhere says otherwise. */
	if (problems == 0 && mending)
		assert_clean(file, at);
	flip(file, at);
}

/* Kinds of files. */
static const char *const kinds[] = {"superblock", ".seg", ".col", ".par", ".mir"};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define TYPES 64u

/* Structures met so far: what is mended of one need not be of the next. */
struct met {
	bool header[KINDS], trailer[KINDS], record[KINDS][TYPES];
};

static size_t kind_of(const struct file *file)
{
	size_t kind = 0;

	while (kind < KINDS && strstr(file->path, kinds[kind]) == NULL)
		kind++;
	return kind;
}

static void mark(const struct file *file, uint8_t *marks, size_t from, size_t size)
{
	for (size_t at = from; at < from + size && at < file->pristine.size; at++)
		marks[at] = 1;
}

static void mark_records(const struct file *file, bool *met, uint8_t *marks)
{
	struct record record;

	for (size_t at = LOG_HEADER_SIZE;
	     at + RECORD_HEADER_SIZE <= file->pristine.size &&
	     record_decode(file->pristine.data + at, &record) == ERR_OK;
	     at += (size_t)record_size(record.payload_size)) {
		if (record.type >= TYPES || met[record.type])
			continue;
		met[record.type] = true;
		mark(file, marks, at, RECORD_HEADER_SIZE);
	}
}

/* Which octets belong to the first of their kind of structure; to be freed. */
static uint8_t *structures_of(const struct file *file, struct met *met)
{
	size_t kind = kind_of(file), size = file->pristine.size;
	uint8_t *marks = calloc(1, size + 1);

	assert_non_null(marks);
	if (kind == KINDS)
		return marks;
	if (!met->header[kind])
		mark(file, marks, 0, COLUMN_HEADER_SIZE);
	met->header[kind] = true;
	if (kind == 0)
		return marks;
	mark_records(file, met->record[kind], marks);
	if (size > COLUMN_TRAILER_SIZE && !met->trailer[kind] &&
	    memcmp(file->pristine.data + size - COLUMN_TRAILER_SIZE, "AEROSEAL", 8) == 0) {
		mark(file, marks, size - COLUMN_TRAILER_SIZE, COLUMN_TRAILER_SIZE);
		met->trailer[kind] = true;
	}
	return marks;
}

static void test_every_octet(void **state)
{
	size_t step = from_environment("AEROSTORE_FLIPS_STEP", STEP);
	size_t mend_step = from_environment("AEROSTORE_FLIPS_MEND", MEND_STEP);
	size_t head_step = from_environment("AEROSTORE_FLIPS_HEAD", HEAD_STEP);
	uint64_t octets = 0, heads = 0;
	struct met met = {.header = {false}};

	(void)state;
	for (size_t i = 0; i < file_count; i++) {
		uint8_t *marks = structures_of(&files[i], &met);

		for (size_t at = 0; at < files[i].pristine.size; at += step)
			try_octet(&files[i], at,
				  marks[at] != 0 ? heads++ % head_step == 0
						 : octets++ % mend_step == 0);
		free(marks);
	}
	assert_true(heads != 0);
	print_message("%llu flips: %llu seen, %llu in unused bytes; %llu mended, %llu of them to "
		      "the very octets\n",
		      (unsigned long long)counts.flips, (unsigned long long)counts.detected,
		      (unsigned long long)counts.unused, (unsigned long long)counts.mended,
		      (unsigned long long)counts.restored);
	assert_int_equal(counts.flips, counts.detected + counts.unused);
	assert_true(counts.mended > 0);
}

/* A disk that gives errors for one block: the code that no directory of files can show. */
static void test_unreadable_block(void **state)
{
	struct run run = {.mode = FSCK_YES};
	const struct file *sealed = NULL;
	bool seen = false;

	(void)state;
	for (size_t i = 0; i < file_count && sealed == NULL; i++)
		if (strstr(files[i].path, ".col") != NULL &&
		    memcmp(files[i].pristine.data + files[i].pristine.size - COLUMN_TRAILER_SIZE,
			   "AEROSEAL", 8) == 0)
			sealed = &files[i];
	assert_non_null(sealed);
	sim_inode_make_unreadable(inode_of(sealed->path), 8192, 1);
	run_fsck(&run);
	assert_ok(run.err);
	for (size_t i = 0; i < run.result.problem_count; i++) {
		seen |= run.result.problems[i].code == FSCK_COLUMN_UNREADABLE;
		assert_true(run.result.problems[i].fixed);
	}
	assert_true(seen);
	fsck_result_finish(&run.result);
	assert_clean(sealed, 8192);
	assert_ok(sim_run_task(world.sim, restore_all, NULL));
}

/* ---- the store ---- */

static void make(void *argument)
{
	const struct fsck_fixture_size size = {.sealed = 2, .open = 1, .session = false};

	fsck_fixture_fill(argument, &size);
	for (size_t i = 0; i < 3; i++)
		remember(volumes[i]);
	restore();
}

static int setup(void **state)
{
	struct run run = {.mode = FSCK_NO};

	(void)state;
	post_init(&world);
	world.table_snapshot_after = 2;
	post_run(&world, make);
	run_fsck(&run);
	assert_ok(run.err);
	assert_int_equal(run.result.problem_count, 0);
	named = run.result.blobs_named;
	unnamed_streams = run.result.streams;
	fsck_result_finish(&run.result);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < file_count; i++)
		buf_finish(&files[i].pristine);
	post_finish(&world);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unreadable_block),
		cmocka_unit_test(test_every_octet),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
