/* SPDX-License-Identifier: MPL-2.0 */
/*
 * bench_drain - how long an account that was away takes to open.
 *
 *   bench_drain DIR COUNT
 *
 * Delivers COUNT small messages to one account, logs in, and has INBOX's status,
 * which drains them all; then logs in again from the snapshot. Prints one JSON
 * object. DIR must be empty.
 */
#include <stdio.h>

#include "bench/load/load.h"
#include "bench/load/mail_store.h"

struct job {
	struct stage stage;
	struct mail_store store;
	uint64_t count;
	uint64_t deliver_us, drain_us, login_us;
};

static WAITS uint64_t time_inbox(struct job *job)
{
	uint64_t start = load_now_us();

	mail_store_open_inbox(&job->store, job->count);
	return load_now_us() - start;
}

static WAITS void measure(void *argument)
{
	struct job *job = argument;
	struct mail_store *store = &job->store;
	uint64_t start;

	mail_store_init(store, &job->stage, "drain");
	mail_store_format(store);
	mail_store_open(store);
	mail_store_make_account(store);
	start = load_now_us();
	mail_store_deliver(store, job->count);
	job->deliver_us = load_now_us() - start;
	job->drain_us = time_inbox(job);
	mail_store_close(store);
	mail_store_open(store);
	job->login_us = time_inbox(job);
	mail_store_close(store);
	mail_store_release_keys(store);
}

int main(int argc, char **argv)
{
	static struct job job;

	if (argc != 3)
		load_die("usage: bench_drain DIR COUNT");
	job.count = load_number(argv[2], 1, 10000000);
	stage_check(key_library_init(), "keys");
	stage_open(&job.stage, argv[1]);
	stage_run(&job.stage, measure, &job);
	stage_close(&job.stage);
	printf("{\"messages\": %llu, \"deliver_s\": %.3f, \"drain_s\": %.3f, \"login_s\": %.3f}\n",
	       (unsigned long long)job.count, (double)job.deliver_us / 1e6,
	       (double)job.drain_us / 1e6, (double)job.login_us / 1e6);
	return 0;
}
