/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_append - a volume's group commit against the same bytes by pwritev and
 * fdatasync from one thread, which is all that a disk can give.
 *
 *   bench_append DIR BATCHES
 *
 * Records of 16 KiB, 1, 8 and 64 of them a batch, BATCHES batches, each with one
 * write and one sync. As under load, the engine's next batch is queued while one
 * is on its way to the disk. Both sides write new files preallocated alike, in
 * turn, nine times; medians are printed. The engine's side hashes and frames each
 * record, and checks after each sync that file and volume are still in their
 * places; the raw side does neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/stage.h"
#include "engine/base/memory.h"
#include "engine/volume/log.h"

#define RECORD_PAYLOAD (16u * 1024)
#define BATCH_MAX 64u
#define ROUNDS 9u

static const struct id128 CLUSTER = {{0xbe}};

struct side {
	double mb_per_s[ROUNDS];
	uint64_t syncs; /* of the last round */
};

struct job {
	struct stage stage;
	uint64_t batch_count, batch;
	uint8_t payload[RECORD_PAYLOAD];
	unsigned round;
	struct side engine, raw;
	struct load_samples sync_us;
	uint64_t next_segment;
};

static uint64_t total_size(const struct job *job)
{
	return job->batch_count * job->batch * RECORD_PAYLOAD;
}

/* ---- the engine ---- */

struct appender {
	struct job *job;
	struct log *log;
	struct log_append appends[2 * BATCH_MAX];
	uint64_t left;
	struct group ended;
};

static void append_one(struct appender *appender, struct log_append *append);

static void appended(struct log_append *append, enum err err)
{
	struct appender *appender = append->context;

	stage_check(err, "append");
	if (appender->left != 0)
		append_one(appender, append);
	else
		group_leave(&appender->ended);
}

static void append_one(struct appender *appender, struct log_append *append)
{
	struct shared *payload = shared_create(RECORD_PAYLOAD);

	if (payload == NULL)
		load_die("out of memory");
	memcpy(payload->data, appender->job->payload, RECORD_PAYLOAD);
	*append = (struct log_append){.done = appended, .context = appender};
	append->record = (struct record){.type = RECORD_ENTRY, .number = appender->left--};
	record_hash_payload(&append->record, shared_bytes(payload));
	log_append(appender->log, append, payload);
}

static void begin_batch(struct appender *appender, size_t first)
{
	for (size_t i = first; i < first + appender->job->batch && appender->left > 0; i++) {
		group_enter(&appender->ended);
		append_one(appender, &appender->appends[i]);
	}
}

static WAITS void append_all(struct job *job, struct volume *volume)
{
	static const uint8_t HEADER[LOG_HEADER_SIZE] = "bench";
	struct appender *appender = memory_allocate(sizeof(*appender));
	char name[64];
	const struct log_options options = {.name = name,
					    .set = ++job->next_segment,
					    .column = RECORD_NO_COLUMN,
					    .allocate_size = total_size(job) * 2};
	uint64_t begun_us, syncs;

	if (appender == NULL)
		load_die("out of memory");
	appender->job = job;
	appender->left = job->batch_count * job->batch;
	(void)snprintf(name, sizeof(name), "journal/%016llx.seg",
		       (unsigned long long)job->next_segment);
	stage_check(
		log_create(volume, &options, bytes_make(HEADER, sizeof(HEADER)), &appender->log),
		name);
	begun_us = load_now_us();
	syncs = loop_counters(job->stage.loop).syncs;
	begin_batch(appender, 0);
	/* Its commit is under way when the second one is queued. */
	task_yield();
	task_yield();
	begin_batch(appender, job->batch);
	group_wait(&appender->ended);
	job->engine.mb_per_s[job->round] =
		(double)total_size(job) / (double)(load_now_us() - begun_us);
	job->engine.syncs = loop_counters(job->stage.loop).syncs - syncs;
	log_close(&appender->log);
	stage_check(volume_remove_file(volume, name), name);
	memory_free(appender);
}

static WAITS void run_engine(void *argument)
{
	struct job *job = argument;
	struct volume *volume = NULL;
	char path[256];

	stage_path(&job->stage, "volume", path);
	stage_check(volume_open(task_sched(), path, CLUSTER, &volume), path);
	append_all(job, volume);
	volume_close(&volume);
}

static WAITS void run_format(void *argument)
{
	struct job *job = argument;
	const struct volume_identity identity = {.cluster = CLUSTER, .volume = {{1}}};
	char path[256];

	stage_path(&job->stage, "volume", path);
	stage_check(volume_format(path, &identity), path);
}

/* ---- the limit ---- */

static void run_raw(struct job *job)
{
	struct iovec parts[BATCH_MAX];
	uint64_t begun_us, batch_size = job->batch * RECORD_PAYLOAD;
	char path[256];
	int file;

	for (size_t i = 0; i < job->batch; i++)
		parts[i] = (struct iovec){job->payload, RECORD_PAYLOAD};
	stage_path(&job->stage, "raw", path);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || fallocate(file, FALLOC_FL_KEEP_SIZE, 0, (off_t)total_size(job) * 2) != 0 ||
	    fsync(file) != 0)
		load_die("%s: %s", path, strerror(errno));
	begun_us = load_now_us();
	for (uint64_t i = 0; i < job->batch_count; i++) {
		uint64_t written_us;

		if (pwritev(file, parts, (int)job->batch, (off_t)(i * batch_size)) !=
		    (ssize_t)batch_size)
			load_die("%s: %s", path, strerror(errno));
		written_us = load_now_us();
		if (fdatasync(file) != 0)
			load_die("%s: %s", path, strerror(errno));
		if (job->batch == 1)
			load_samples_add(&job->sync_us, load_now_us() - written_us);
	}
	job->raw.mb_per_s[job->round] =
		(double)total_size(job) / (double)(load_now_us() - begun_us);
	job->raw.syncs = job->batch_count;
	close(file);
	unlink(path);
}

static void measure(struct job *job, uint64_t batch)
{
	job->batch = batch;
	for (job->round = 0; job->round < ROUNDS; job->round++) {
		stage_run(&job->stage, run_engine, job);
		run_raw(job);
	}
	printf("%s{\"batch\": %llu, \"engine_mb_per_s\": %.3f, \"raw_mb_per_s\": %.3f, "
	       "\"engine_syncs\": %llu, \"raw_syncs\": %llu}",
	       batch == 1 ? "" : ", ", (unsigned long long)batch,
	       stage_median(job->engine.mb_per_s, ROUNDS), stage_median(job->raw.mb_per_s, ROUNDS),
	       (unsigned long long)job->engine.syncs, (unsigned long long)job->raw.syncs);
}

int main(int argc, char **argv)
{
	struct job *job = memory_allocate(sizeof(*job));

	if (argc != 3 || job == NULL)
		load_die("usage: bench_append DIR BATCHES");
	job->batch_count = load_number(argv[2], 1, 10000);
	for (size_t i = 0; i < RECORD_PAYLOAD; i++)
		job->payload[i] = (uint8_t)(i * 131);
	stage_open(&job->stage, argv[1]);
	stage_run(&job->stage, run_format, job);
	printf("{\"batches\": [");
	measure(job, 1);
	measure(job, 8);
	measure(job, 64);
	printf("], \"sync_p50_us\": %llu, \"sync_p99_us\": %llu}\n",
	       (unsigned long long)load_samples_at(&job->sync_us, 500),
	       (unsigned long long)load_samples_at(&job->sync_us, 990));
	stage_close(&job->stage);
	load_samples_finish(&job->sync_us);
	memory_free(job);
	return 0;
}
