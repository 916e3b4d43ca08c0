/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_seal - what sealing costs beyond the arithmetic.
 *
 *   bench_seal DIR COLUMN_MIB
 *
 * Over three volumes (2+1) fills two data columns of COLUMN_MIB and seals the
 * set: every member reads its columns back from the disk and checks them, the
 * parity member encodes, writes, syncs and reads back its parity. Against it:
 * ISA-L's own ec_encode_data over as many bytes, in memory and not in a cache;
 * stripe.h above it, encoding and decoding; and what the disk gives, one thread
 * that reads as many bytes as the seal, encodes by ISA-L, writes as many, syncs
 * once, and reads those back. All in MB of data columns a second, in turn,
 * medians of five.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <isa-l.h>

#include "bench/load/load.h"
#include "bench/load/stage.h"
#include "engine/base/memory.h"
#include "engine/set/blobs.h"
#include "engine/set/stripe.h"
#include "engine/volume/volume.h"

#define VOLUMES 3u
#define DATA_COLUMNS 2u
#define ROUNDS 5u
#define WINDOW_SIZE (1024u * 1024)
#define BLOB_SIZE (900u * 1024) /* one piece */

static const struct id128 CLUSTER = {{0xbe}}, NODE = {{0x0d}};
static const struct profile PROFILE = {DATA_COLUMNS, 1};

struct job {
	struct stage stage;
	size_t column_size;
	uint8_t *columns[DATA_COLUMNS], *parity;
	uint8_t window[DATA_COLUMNS * WINDOW_SIZE];
	unsigned round;
	double seal[ROUNDS], isal[ROUNDS], disk[ROUNDS], encode[ROUNDS], decode[ROUNDS];
	uint64_t seal_syncs, seal_bytes_read, seal_bytes_written; /* of the last round */
};

static double mb_per_s(const struct job *job, uint64_t begun_us)
{
	return (double)(DATA_COLUMNS * job->column_size) / (double)(load_now_us() - begun_us);
}

/* ---- arithmetic ---- */

static void make_tables(uint8_t tables[32 * DATA_COLUMNS])
{
	uint8_t matrix[(DATA_COLUMNS + 1) * DATA_COLUMNS];

	gf_gen_cauchy1_matrix(matrix, DATA_COLUMNS + 1, DATA_COLUMNS);
	ec_init_tables(DATA_COLUMNS, 1, matrix + DATA_COLUMNS * DATA_COLUMNS, tables);
}

static void run_isal(struct job *job)
{
	uint8_t tables[32 * DATA_COLUMNS];
	uint64_t begun_us = load_now_us();

	make_tables(tables);
	ec_encode_data((int)job->column_size, DATA_COLUMNS, 1, tables, job->columns, &job->parity);
	job->isal[job->round] = mb_per_s(job, begun_us);
}

/* ---- the same bytes, unchecked ---- */

static int make_file(const struct job *job, const char *name, size_t allocate_size)
{
	char path[256];
	int file;

	stage_path(&job->stage, name, path);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || fallocate(file, FALLOC_FL_KEEP_SIZE, 0, (off_t)allocate_size) != 0)
		load_die("%s: %s", path, strerror(errno));
	unlink(path);
	return file;
}

static void write_all(int file, const uint8_t *bytes, size_t size, size_t at)
{
	if (pwrite(file, bytes, size, (off_t)at) != (ssize_t)size)
		load_die("write: %s", strerror(errno));
}

static void read_all(int file, uint8_t *bytes, size_t size, size_t at)
{
	if (pread(file, bytes, size, (off_t)at) != (ssize_t)size)
		load_die("read: %s", strerror(errno));
}

static void sync_file(int file)
{
	if (fdatasync(file) != 0)
		load_die("fdatasync: %s", strerror(errno));
}

static void forget(int file)
{
	int failure = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);

	if (failure != 0)
		load_die("posix_fadvise: %s", strerror(failure));
}

/* Data columns and, interleaved, their mirror: on the disk, not in memory. */
static void make_files(struct job *job, int data[DATA_COLUMNS], int *mirror)
{
	*mirror = make_file(job, "mirror", DATA_COLUMNS * job->column_size);
	for (size_t i = 0; i < DATA_COLUMNS; i++) {
		data[i] = make_file(job, "data", job->column_size);
		for (size_t at = 0; at < job->column_size; at += WINDOW_SIZE) {
			write_all(data[i], job->columns[i] + at, WINDOW_SIZE, at);
			write_all(*mirror, job->columns[i] + at, WINDOW_SIZE,
				  DATA_COLUMNS * at + i * WINDOW_SIZE);
		}
		sync_file(data[i]);
		forget(data[i]);
	}
	sync_file(*mirror);
	forget(*mirror);
}

static void run_disk(struct job *job)
{
	uint8_t tables[32 * DATA_COLUMNS];
	int data[DATA_COLUMNS], mirror, parity;
	uint64_t begun_us;

	make_tables(tables);
	make_files(job, data, &mirror);
	begun_us = load_now_us();
	parity = make_file(job, "parity", job->column_size);
	for (size_t i = 0; i < DATA_COLUMNS; i++)
		for (size_t at = 0; at < job->column_size; at += WINDOW_SIZE)
			read_all(data[i], job->parity + at, WINDOW_SIZE, at);
	for (size_t at = 0; at < job->column_size; at += WINDOW_SIZE) {
		uint8_t *read = job->window, *out = job->parity + at;
		uint8_t *columns[DATA_COLUMNS] = {read, read + WINDOW_SIZE};

		read_all(mirror, read, DATA_COLUMNS * WINDOW_SIZE, DATA_COLUMNS * at);
		ec_encode_data((int)WINDOW_SIZE, DATA_COLUMNS, 1, tables, columns, &out);
		write_all(parity, out, WINDOW_SIZE, at);
	}
	sync_file(parity);
	forget(parity);
	for (size_t at = 0; at < job->column_size; at += WINDOW_SIZE)
		read_all(parity, job->parity + at, WINDOW_SIZE, at);
	job->disk[job->round] = mb_per_s(job, begun_us);
	for (size_t i = 0; i < DATA_COLUMNS; i++)
		close(data[i]);
	close(mirror);
	close(parity);
}

/* ---- stripe.h ---- */

static void run_stripe(struct job *job)
{
	const uint8_t *data[DATA_COLUMNS] = {job->columns[0], job->columns[1]};
	const uint8_t *source[DATA_COLUMNS] = {job->columns[1], job->parity};
	const uint8_t from[DATA_COLUMNS] = {1, 2};
	uint64_t begun_us;
	uint8_t *decoded = memory_allocate(job->column_size);

	if (decoded == NULL)
		load_die("out of memory");
	memset(decoded, 1, job->column_size);
	begun_us = load_now_us();
	stripe_encode_row(PROFILE, DATA_COLUMNS, data, job->column_size, job->parity);
	job->encode[job->round] = mb_per_s(job, begun_us);
	begun_us = load_now_us();
	stage_check(stripe_decode(PROFILE, 0, from, source, job->column_size, decoded), "decode");
	job->decode[job->round] = mb_per_s(job, begun_us);
	if (memcmp(decoded, job->columns[0], job->column_size) != 0)
		load_die("decoded other bytes");
	memory_free(decoded);
}

/* ---- the whole seal ---- */

struct store {
	struct wire *wire;
	struct layout layout;
	struct volume *volumes[VOLUMES];
	struct blobs *blobs;
};

static WAITS void store_open(struct job *job, struct store *store)
{
	struct blobs_options options = {.sched = task_sched(),
					.layout = &store->layout,
					.volumes = store->volumes,
					.volume_count = VOLUMES,
					.cluster = CLUSTER,
					.node = NODE,
					.column_size = job->column_size,
					.passive = true};

	stage_check(wire_create(task_sched(), &store->wire), "wire");
	for (size_t i = 0; i < VOLUMES; i++) {
		struct id128 id = {{0x70, (uint8_t)(job->round + 1), (uint8_t)(i + 1)}};
		const struct volume_identity identity = {
			.cluster = CLUSTER, .node = NODE, .volume = id};
		const struct layout_volume volume = {.volume = id, .node = NODE, .weight = 1};
		char name[32], path[256];

		(void)snprintf(name, sizeof(name), "seal%u-%zu", job->round, i);
		stage_path(&job->stage, name, path);
		stage_check(volume_format(path, &identity), path);
		stage_check(volume_open(task_sched(), path, CLUSTER, &store->volumes[i]), path);
		stage_check(layout_put(&store->layout, &volume), "layout");
	}
	options.wire = store->wire;
	stage_check(blobs_open(&options, &store->blobs), "blobs");
}

static WAITS void store_close(struct store *store)
{
	blobs_close(&store->blobs);
	for (size_t i = 0; i < VOLUMES; i++)
		volume_close(&store->volumes[i]);
	/* What was posted and not waited for is answered within a turn of the loop. */
	task_yield();
	task_yield();
	wire_destroy(&store->wire);
	layout_finish(&store->layout);
}

static WAITS void put_blob(struct store *store, struct bytes ciphertext)
{
	struct blob_upload *upload = NULL;
	struct blob_ref ref;

	stage_check(blob_upload_open(store->blobs, env_random_id(sched_env(task_sched())),
				     (struct id128){{0xac}}, &upload),
		    "upload");
	stage_check(blob_upload_write(upload, ciphertext), "upload");
	stage_check(blob_upload_finish(upload, &ref), "upload");
	blob_upload_release(&upload);
}

static WAITS void run_seal(void *argument)
{
	struct job *job = argument;
	struct store store = {0};
	struct loop_counters before, after;
	struct blobs_status status;
	uint64_t begun_us, size = 0;

	store_open(job, &store);
	while (size + BLOB_SIZE < job->column_size * DATA_COLUMNS * 9 / 10) {
		size_t at = size % (job->column_size - BLOB_SIZE);

		put_blob(&store, bytes_make(job->columns[0] + at, BLOB_SIZE));
		size += BLOB_SIZE;
	}
	before = loop_counters(job->stage.loop);
	begun_us = load_now_us();
	stage_check(blobs_settle(store.blobs), "seal");
	job->seal[job->round] = (double)size / (double)(load_now_us() - begun_us);
	after = loop_counters(job->stage.loop);
	job->seal_syncs = after.syncs - before.syncs;
	job->seal_bytes_read = after.bytes_read - before.bytes_read;
	job->seal_bytes_written = after.bytes_written - before.bytes_written;
	blobs_get_status(store.blobs, &status);
	if (status.sets_sealed == 0 || status.sets_open != 0)
		load_die("nothing was sealed");
	store_close(&store);
}

int main(int argc, char **argv)
{
	struct job *job = memory_allocate(sizeof(*job));

	if (argc != 3 || job == NULL)
		load_die("usage: bench_seal DIR COLUMN_MIB");
	job->column_size = load_number(argv[2], 4, 1024) << 20;
	for (size_t i = 0; i <= DATA_COLUMNS; i++) {
		uint8_t **column = i < DATA_COLUMNS ? &job->columns[i] : &job->parity;

		*column = memory_allocate(job->column_size);
		if (*column == NULL)
			load_die("out of memory");
		for (size_t at = 0; at < job->column_size; at++)
			(*column)[at] = (uint8_t)((at * 2654435761u) >> (8 + i));
	}
	stage_open(&job->stage, argv[1]);
	for (job->round = 0; job->round < ROUNDS; job->round++) {
		run_isal(job);
		run_disk(job);
		run_stripe(job);
		stage_run(&job->stage, run_seal, job);
	}
	printf("{\"isal_mb_per_s\": %.1f, \"disk_mb_per_s\": %.1f, \"encode_mb_per_s\": %.1f, "
	       "\"decode_mb_per_s\": %.1f, "
	       "\"seal_mb_per_s\": %.2f, \"seal_syncs\": %llu, \"seal_mb_read\": %.1f, "
	       "\"seal_mb_written\": %.1f}\n",
	       stage_median(job->isal, ROUNDS), stage_median(job->disk, ROUNDS),
	       stage_median(job->encode, ROUNDS), stage_median(job->decode, ROUNDS),
	       stage_median(job->seal, ROUNDS), (unsigned long long)job->seal_syncs,
	       (double)job->seal_bytes_read / 1e6, (double)job->seal_bytes_written / 1e6);
	stage_close(&job->stage);
	for (size_t i = 0; i < DATA_COLUMNS; i++)
		memory_free(job->columns[i]);
	memory_free(job->parity);
	memory_free(job);
	return 0;
}
