/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_growth - what a store of COUNT messages takes, and how long it takes to
 * start.
 *
 *   bench_growth DIR COUNT
 *
 * Delivers COUNT small messages, PER_ACCOUNT to each account, which drains them as
 * they come; seals; stops and starts again; reads READS messages of the first
 * account, then one of them over and over; then delivers TAIL more, copies the
 * volumes as a power cut would leave them, and starts from the copy. Prints one
 * JSON object: bytes are those of occupied blocks, of all volumes together; the
 * heap is what the engine holds after a start and before anybody logs in. The
 * first start, of an empty store, is subtracted from it.
 */
#include <malloc.h>
#include <stdio.h>

#include "bench/load/folder.h"
#include "bench/load/load.h"
#include "bench/load/mail_store.h"
#include "engine/set/blobs.h"

/* Delivered between two drains: an account that is read. */
#define STEP 5000u
#define PER_ACCOUNT 10000u
#define TAIL 500u
#define READS 500u

struct start {
	uint64_t us, reads, bytes_read, syncs, heap;
};

struct job {
	struct stage stage;
	struct mail_store store, copy;
	uint64_t count, deliver_us;
	uint64_t journal_size, columns_size;
	struct start empty, clean, crash;
	double calls_each, calls_again; /* system calls a message that is read */
};

/* ---- sizes ---- */

static uint64_t all_volumes(const struct mail_store *store, const char *folder)
{
	uint64_t size = 0;

	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++)
		size += folder_size(store->paths[i], folder);
	return size;
}

/* ---- a power cut ---- */

static void copy_store(struct job *job)
{
	mail_store_init(&job->copy, &job->stage, "copy");
	job->copy.admin = job->store.admin;
	job->copy.node = job->store.node;
	for (size_t i = 0; i < MAIL_STORE_VOLUMES; i++)
		folder_copy(job->store.paths[i], job->copy.paths[i]);
	folder_copy(job->store.index, job->copy.index);
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

static WAITS void fill_account(struct job *job, uint64_t count)
{
	struct mail_store *store = &job->store;
	const uint64_t first = store->sent;

	mail_store_make_account(store);
	while (store->sent < first + count) {
		uint64_t left = first + count - store->sent;

		mail_store_deliver(store, store->sent + (left < STEP ? left : STEP));
		mail_store_open_inbox(store, store->sent - first);
	}
	home_flush_cache(engine_home(store->engine));
}

static WAITS void fill(struct job *job)
{
	struct mail_store *store = &job->store;
	uint64_t start = load_now_us();

	for (; store->sent < job->count; store->account++) {
		uint64_t left = job->count - store->sent;

		fill_account(job, left < PER_ACCOUNT ? left : PER_ACCOUNT);
	}
	store->account = 0;
	job->deliver_us = load_now_us() - start;
}

/* Of messages first, first + step and so on; calls to read, a message. */
static WAITS double read_messages(struct job *job, struct view *view, uint32_t step)
{
	const uint64_t before = loop_counters(job->stage.loop).reads;
	uint32_t count = view_count(view);

	for (uint32_t i = 0; i < READS; i++) {
		struct buf message = {0};

		stage_check(view_read(view, i * step % count + 1, 0, UINT32_MAX, &message), "read");
		buf_finish(&message);
	}
	return (double)(loop_counters(job->stage.loop).reads - before) / READS;
}

static WAITS void read_bodies(struct job *job)
{
	struct mailbox *mailbox = mail_store_login(&job->store);
	struct folder_info info;
	struct view *view;

	stage_check(mailbox_folder(mailbox, bytes_string("INBOX"), &info), "folder");
	stage_check(view_open(mailbox, info.id, true, &view), "view");
	job->calls_each = read_messages(job, view, 7919);
	job->calls_again = read_messages(job, view, 0);
	view_close(&view);
	mailbox_release(&mailbox);
}

static WAITS void measure(void *argument)
{
	struct job *job = argument;
	struct mail_store *store = &job->store;

	mail_store_init(store, &job->stage, "store");
	mail_store_format(store);
	mail_store_open(store);
	mail_store_close(store);
	job->empty = start_of(job, store);
	fill(job);
	/* Snapshots that the fill has left under way end with it; then nothing comes any more. */
	mail_store_close(store);
	mail_store_open(store);
	stage_check(blobs_settle(engine_blobs(store->engine)), "seal");
	mail_store_close(store);
	/* A start makes a set for what is to come, with room for all of it. */
	job->columns_size = all_volumes(store, "columns");
	job->clean = start_of(job, store);
	job->journal_size = all_volumes(store, "journal");
	read_bodies(job);
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
	printf(", \"calls_each\": %.2f, \"calls_again\": %.1f", job.calls_each, job.calls_again);
	print_start("clean", &job.clean);
	print_start("crash", &job.crash);
	printf("}\n");
	return 0;
}
