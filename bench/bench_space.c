/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_space - what mail occupies once it is coded 4+2, and how long it takes
 * to make a lost volume anew.
 *
 *   bench_space DIR MIB
 *
 * Over six volumes that count as nodes of their own: seals the mails of the real
 * mix (bench/load/corpus.h), stores them over and over as different blobs until
 * there are MIB of ciphertext, and seals all sets. Bytes on disk are those of
 * occupied blocks below columns/, footers and indexes included.
 *
 * Then one volume goes and an empty one comes. Against the rebuild: a copy of as
 * many bytes as it wrote, read and written by one thread and synced at the end;
 * and the same of k columns read for each one written, which is what the
 * arithmetic needs when all columns lie on one disk. Files that are read are
 * dropped from memory first, on all sides.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/corpus.h"
#include "bench/load/folder.h"
#include "bench/load/load.h"
#include "bench/load/stage.h"
#include "engine/base/memory.h"
#include "engine/crypto/key.h"
#include "engine/crypto/sealed.h"
#include "engine/set/blobs.h"
#include "engine/volume/volume.h"

#define VOLUMES 6u
#define DATA_COLUMNS 4u
#define UPLOADERS 16u
#define COPY_SIZE (1024u * 1024)

static const struct id128 CLUSTER = {{0xbe}}, NODE = {{0x0d}};

struct job {
	struct stage stage;
	struct buf sealed[CORPUS_COUNT];
	uint64_t wanted, sent, next_mail; /* bytes, bytes, mails */
	struct group uploaders;
	unsigned generation; /* of the volume at the first place */
	struct wire *wire;
	struct layout layout;
	struct volume *volumes[VOLUMES];
	struct blobs *blobs;
	uint64_t store_us, seal_us, rebuild_us;
	uint64_t disk_size, rebuilt_size;
	struct loop_counters rebuild;
};

/* ---- mails, sealed ---- */

static void seal_mails(struct job *job)
{
	const struct sealed_name name = {.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
					 .type = SEALED_MESSAGE};
	struct corpus corpus;

	corpus_make(&corpus, CORPUS_REAL);
	for (uint64_t i = 0; i < CORPUS_COUNT; i++) {
		struct blob_sealer *sealer;

		stage_check(blob_sealer_create(loop_env(job->stage.loop), &name, &sealer), "seal");
		stage_check(blob_sealer_update(sealer, corpus_mail(&corpus, i), &job->sealed[i]),
			    "seal");
		stage_check(blob_sealer_finish(sealer, &job->sealed[i]), "seal");
		blob_sealer_destroy(&sealer);
	}
	corpus_finish(&corpus);
}

/* ---- the store ---- */

static void volume_path(const struct job *job, size_t index, char out[256])
{
	char name[32];

	(void)snprintf(name, sizeof(name), "space-v%zu-%u", index,
		       index == 0 ? job->generation : 0);
	stage_path(&job->stage, name, out);
}

static WAITS void open_volume(struct job *job, size_t index)
{
	struct id128 id = {{0x70, (uint8_t)(index + 1)}};
	struct layout_volume place = {.node = {{0x80, (uint8_t)(index + 1)}}, .weight = 1};
	struct volume_identity identity = {.cluster = CLUSTER, .node = place.node};
	enum err err;
	char path[256];

	id.octets[2] = index == 0 ? (uint8_t)job->generation : 0;
	identity.volume = place.volume = id;
	volume_path(job, index, path);
	err = volume_format(path, &identity);
	stage_check(err == ERR_EXISTS ? ERR_OK : err, path);
	stage_check(volume_open(task_sched(), path, CLUSTER, &job->volumes[index]), path);
	stage_check(layout_put(&job->layout, &place), "layout");
}

static WAITS void store_open(struct job *job)
{
	struct blobs_options options = {
		.sched = task_sched(),
		.layout = &job->layout,
		.volumes = job->volumes,
		.volume_count = VOLUMES,
		.cluster = CLUSTER,
		.node = NODE,
		.profile = {DATA_COLUMNS, VOLUMES - DATA_COLUMNS},
		/* A busy machine is no slow disk: nothing is stored twice. */
		.hedge_floor_ms = 60000,
		.hedge_ms = 60000,
		.passive = true};

	stage_check(wire_create(task_sched(), &job->wire), "wire");
	for (size_t i = 0; i < VOLUMES; i++)
		open_volume(job, i);
	options.wire = job->wire;
	stage_check(blobs_open(&options, &job->blobs), "blobs");
}

static WAITS void store_close(struct job *job)
{
	blobs_close(&job->blobs);
	for (size_t i = 0; i < VOLUMES; i++)
		volume_close(&job->volumes[i]);
	/* What was posted and not waited for is answered within a turn of the loop. */
	task_yield();
	task_yield();
	wire_destroy(&job->wire);
	layout_finish(&job->layout);
}

static uint64_t columns_size(const struct job *job, size_t index)
{
	char path[256];

	volume_path(job, index, path);
	return folder_size(path, "columns");
}

/* ---- filling ---- */

static void upload(void *argument)
{
	struct job *job = argument;

	while (job->sent < job->wanted) {
		struct bytes sealed = bytes_of_buf(&job->sealed[job->next_mail++ % CORPUS_COUNT]);
		struct blob_upload *upload = NULL;
		struct blob_ref ref;

		job->sent += sealed.size;
		stage_check(blob_upload_open(job->blobs, env_random_id(sched_env(task_sched())),
					     (struct id128){{0xac}}, &upload),
			    "upload");
		stage_check(blob_upload_write(upload, sealed), "upload");
		stage_check(blob_upload_finish(upload, &ref), "upload");
		blob_upload_release(&upload);
	}
	group_leave(&job->uploaders);
}

static WAITS void fill(struct job *job)
{
	uint64_t begun_us = load_now_us();

	for (unsigned i = 0; i < UPLOADERS; i++) {
		group_enter(&job->uploaders);
		stage_check(task_spawn(job->stage.sched, "uploader", upload, job, NULL), "spawn");
	}
	group_wait(&job->uploaders);
	job->store_us = load_now_us() - begun_us;
	begun_us = load_now_us();
	stage_check(blobs_settle(job->blobs), "seal");
	job->seal_us = load_now_us() - begun_us;
}

/* ---- a volume less ---- */

static void lose_volume(struct job *job)
{
	char path[256];

	volume_path(job, 0, path);
	folder_remove(path);
	job->generation++;
}

static void drop_all(const struct job *job)
{
	for (size_t i = 0; i < VOLUMES; i++) {
		char path[256];

		volume_path(job, i, path);
		folder_forget(path, "columns");
	}
}

static WAITS void rebuild(struct job *job)
{
	struct loop_counters before, after;
	struct blobs_status status;
	uint64_t begun_us;

	store_open(job);
	drop_all(job);
	before = loop_counters(job->stage.loop);
	begun_us = load_now_us();
	stage_check(blobs_repair(job->blobs), "rebuild");
	job->rebuild_us = load_now_us() - begun_us;
	after = loop_counters(job->stage.loop);
	job->rebuild.bytes_read = after.bytes_read - before.bytes_read;
	job->rebuild.bytes_written = after.bytes_written - before.bytes_written;
	job->rebuild.syncs = after.syncs - before.syncs;
	blobs_get_status(job->blobs, &status);
	if (status.repair.columns_missing != 0 || status.repair.columns_rebuilt == 0)
		load_die("nothing was rebuilt, or not all");
	job->rebuilt_size = columns_size(job, 0);
	store_close(job);
}

static void measure(void *argument)
{
	struct job *job = argument;

	store_open(job);
	fill(job);
	store_close(job);
	for (size_t i = 0; i < VOLUMES; i++)
		job->disk_size += columns_size(job, i);
	lose_volume(job);
	rebuild(job);
}

/* ---- the limits ---- */

static int open_copy(const struct job *job, const char *name, unsigned number)
{
	char path[256], whole[300];
	int file;

	stage_path(&job->stage, name, path);
	(void)snprintf(whole, sizeof(whole), "%s%u", path, number);
	file = open(whole, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || unlink(whole) != 0)
		load_die("%s: %s", whole, strerror(errno));
	return file;
}

static void write_all(int file, const uint8_t *bytes, size_t size, uint64_t at)
{
	if (pwrite(file, bytes, size, (off_t)at) != (ssize_t)size)
		load_die("write: %s", strerror(errno));
}

static void sync_and_forget(int file)
{
	if (fdatasync(file) != 0 || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0)
		load_die("fdatasync: %s", strerror(errno));
}

/* Reads `sources` times as much as it writes, and syncs that; the time it takes. */
static uint64_t raw_copy(const struct job *job, unsigned sources)
{
	uint8_t *bytes = memory_allocate(COPY_SIZE);
	int files[DATA_COLUMNS], out = open_copy(job, "copy", 0);
	uint64_t size = job->rebuilt_size / COPY_SIZE * COPY_SIZE, begun_us;

	if (bytes == NULL)
		load_die("out of memory");
	memset(bytes, 0x5a, COPY_SIZE);
	for (unsigned i = 0; i < sources; i++) {
		files[i] = open_copy(job, "source", i);
		for (uint64_t at = 0; at < size; at += COPY_SIZE)
			write_all(files[i], bytes, COPY_SIZE, at);
		sync_and_forget(files[i]);
	}
	begun_us = load_now_us();
	for (uint64_t at = 0; at < size; at += COPY_SIZE) {
		for (unsigned i = 0; i < sources; i++)
			if (pread(files[i], bytes, COPY_SIZE, (off_t)at) != (ssize_t)COPY_SIZE)
				load_die("read: %s", strerror(errno));
		write_all(out, bytes, COPY_SIZE, at);
	}
	if (fdatasync(out) != 0)
		load_die("fdatasync: %s", strerror(errno));
	begun_us = load_now_us() - begun_us;
	for (unsigned i = 0; i < sources; i++)
		close(files[i]);
	close(out);
	memory_free(bytes);
	return begun_us;
}

static double mb_per_s(const struct job *job, uint64_t us)
{
	return (double)job->rebuilt_size / (double)us;
}

int main(int argc, char **argv)
{
	static struct job job;

	if (argc != 3)
		load_die("usage: bench_space DIR MIB");
	job.wanted = load_number(argv[2], 1, 1024 * 1024) << 20;
	stage_check(key_library_init(), "keys");
	stage_open(&job.stage, argv[1]);
	seal_mails(&job);
	stage_run(&job.stage, measure, &job);
	printf("{\"ciphertext_mb\": %.1f, \"disk_mb\": %.1f, \"disk_per_ciphertext\": %.4f, "
	       "\"store_s\": %.2f, \"seal_s\": %.2f, \"rebuilt_mb\": %.1f, "
	       "\"rebuild_mb_read\": %.1f, \"rebuild_mb_written\": %.1f, "
	       "\"rebuild_syncs\": %llu, \"rebuild_mb_per_s\": %.1f, "
	       "\"copy_mb_per_s\": %.1f, \"same_reads_mb_per_s\": %.1f}\n",
	       (double)job.sent / 1e6, (double)job.disk_size / 1e6,
	       (double)job.disk_size / (double)job.sent, (double)job.store_us / 1e6,
	       (double)job.seal_us / 1e6, (double)job.rebuilt_size / 1e6,
	       (double)job.rebuild.bytes_read / 1e6, (double)job.rebuild.bytes_written / 1e6,
	       (unsigned long long)job.rebuild.syncs, mb_per_s(&job, job.rebuild_us),
	       mb_per_s(&job, raw_copy(&job, 1)), mb_per_s(&job, raw_copy(&job, DATA_COLUMNS)));
	for (size_t i = 0; i < CORPUS_COUNT; i++)
		buf_finish(&job.sealed[i]);
	stage_close(&job.stage);
	return 0;
}
