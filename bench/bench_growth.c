/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_growth - what a store of COUNT messages takes, and how long it takes to
 * start.
 *
 *   bench_growth DIR COUNT
 *
 * Delivers COUNT small messages to one account, which drains them as they come;
 * seals; stops and starts again; then delivers TAIL more, copies the volumes as a
 * power cut would leave them, and starts from the copy. Prints one JSON object:
 * bytes are those of occupied blocks, of all volumes together; the heap is what
 * the engine holds after a start and before anybody logs in.
 */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load/load.h"
#include "bench/load/mail_store.h"
#include "engine/set/blobs.h"

/* Delivered between two drains: an account that is read. */
#define STEP 5000u
#define TAIL 500u

struct start {
	uint64_t us, reads, bytes_read, syncs, heap;
};

struct job {
	struct stage stage;
	struct mail_store store, copy;
	uint64_t count, deliver_us;
	uint64_t journal_size, columns_size;
	struct start empty, clean, crash;
};

/* ---- sizes ---- */

static uint64_t folder_size(const char *volume, const char *folder)
{
	char path[600];
	struct dirent *entry;
	struct stat stat_of;
	uint64_t size = 0;
	DIR *directory;

	(void)snprintf(path, sizeof(path), "%s/%s", volume, folder);
	directory = opendir(path);
	if (directory == NULL)
		load_die("%s: cannot be listed", path);
	while ((entry = readdir(directory)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", volume, folder, entry->d_name);
		if (stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode))
			size += (uint64_t)stat_of.st_blocks * 512;
	}
	closedir(directory);
	return size;
}

static uint64_t all_volumes(const struct mail_store *store, const char *folder)
{
	uint64_t size = 0;

	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++)
		size += folder_size(store->paths[i], folder);
	return size;
}

/* ---- a power cut ---- */

static void copy_tree(const char *from, const char *to)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execlp("cp", "cp", "-a", from, to, (char *)NULL);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		load_die("%s: cannot be copied", from);
}

static void copy_store(struct job *job)
{
	mail_store_init(&job->copy, &job->stage, "copy");
	job->copy.admin = job->store.admin;
	job->copy.node = job->store.node;
	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++)
		copy_tree(job->store.paths[i], job->copy.paths[i]);
	copy_tree(job->store.index, job->copy.index);
}

/* ---- measuring ---- */

static WAITS struct start start_of(struct job *job, struct mail_store *store)
{
	struct loop_counters before = loop_counters(job->stage.loop), after;
	size_t heap = mallinfo2().uordblks;
	struct start start = {.us = load_now_us()};

	mail_store_open(store);
	start.us = load_now_us() - start.us;
	after = loop_counters(job->stage.loop);
	start.heap = mallinfo2().uordblks - heap;
	start.reads = after.reads - before.reads;
	start.bytes_read = after.bytes_read - before.bytes_read;
	start.syncs = after.syncs - before.syncs;
	return start;
}

static WAITS void fill(struct job *job)
{
	struct mail_store *store = &job->store;
	uint64_t start = load_now_us();

	for (uint64_t sent = 0; sent < job->count; sent = store->sent) {
		uint64_t left = job->count - sent;

		mail_store_deliver(store, sent + (left < STEP ? left : STEP));
		mail_store_open_inbox(store, store->sent);
	}
	job->deliver_us = load_now_us() - start;
	stage_check(blobs_settle(engine_blobs(store->engine)), "seal");
}

static WAITS void measure(void *argument)
{
	struct job *job = argument;
	struct mail_store *store = &job->store;

	mail_store_init(store, &job->stage, "store");
	mail_store_format(store);
	mail_store_open(store);
	mail_store_make_account(store);
	mail_store_close(store);
	job->empty = start_of(job, store);
	fill(job);
	mail_store_close(store);
	job->clean = start_of(job, store);
	job->journal_size = all_volumes(store, "journal");
	job->columns_size = all_volumes(store, "columns");
	mail_store_deliver(store, store->sent + TAIL);
	copy_store(job);
	mail_store_close(store);
	job->crash = start_of(job, &job->copy);
	mail_store_close(&job->copy);
	mail_store_release_keys(store);
}

static void print_start(const char *name, const struct start *start)
{
	printf(", \"%s_ms\": %.2f, \"%s_reads\": %llu, \"%s_mb_read\": %.3f, \"%s_syncs\": %llu",
	       name, (double)start->us / 1e3, name, (unsigned long long)start->reads, name,
	       (double)start->bytes_read / 1e6, name, (unsigned long long)start->syncs);
}

int main(int argc, char **argv)
{
	static struct job job;

	if (argc != 3)
		load_die("usage: bench_growth DIR COUNT");
	job.count = load_number(argv[2], 1, 10000000);
	stage_check(key_library_init(), "keys");
	stage_open(&job.stage, argv[1]);
	stage_run(&job.stage, measure, &job);
	stage_close(&job.stage);
	printf("{\"messages\": %llu, \"deliver_s\": %.1f, \"journal_bytes_each\": %.1f, "
	       "\"columns_bytes_each\": %.1f, \"heap_bytes\": %lld, \"heap_bytes_each\": %.3f",
	       (unsigned long long)job.count, (double)job.deliver_us / 1e6,
	       (double)job.journal_size / (double)job.count,
	       (double)job.columns_size / (double)job.count,
	       (long long)(job.clean.heap - job.empty.heap),
	       ((double)job.clean.heap - (double)job.empty.heap) / (double)job.count);
	print_start("clean", &job.clean);
	print_start("crash", &job.crash);
	printf("}\n");
	return 0;
}
