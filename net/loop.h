/* SPDX-License-Identifier: MPL-2.0 */
/*
 * loop - the real env: libev, a pool of threads, the file system, LMDB.
 *
 * One loop a process, run by its main thread. net/loop.c is the only file that
 * includes <ev.h>; what streams need of it is in net/loop_io.h. Reads are tried
 * without waiting first (preadv2 RWF_NOWAIT): what the page cache holds costs no
 * thread. Commits, opens and the rest run on the pool; each commit is one job.
 * Creating one makes the process ignore SIGPIPE.
 */
#ifndef AEROSTORE_NET_LOOP_H
#define AEROSTORE_NET_LOOP_H

#include "engine/env.h"

struct loop;

struct loop_options {
	size_t io_threads;  /* 0: 8; mostly asleep in the kernel */
	size_t cpu_threads; /* 0: one a core */
	int log_descriptor; /* logfmt lines go there; -1: nowhere */
};

MUST_USE enum err loop_create(const struct loop_options *options, struct loop **out);
/* After the loop has run dry: nothing posted, no timer, no stream. */
void loop_destroy(struct loop **loop);
struct env *loop_env(struct loop *loop);
/* Runs until loop_stop() was called and all that is posted has completed. */
void loop_run(struct loop *loop);
/* Runs once over what is ready, waiting for it when `wait`. For tests. */
void loop_turn(struct loop *loop, bool wait);
/*
 * Marks the env stopped: later operations are canceled, those under way finish. Safe from a
 * callback of loop_on_signal().
 */
void loop_stop(struct loop *loop);
/* `on_signal` runs from the loop, not in signal context. */
MUST_USE enum err loop_on_signal(struct loop *loop, int number, void (*on_signal)(void *context),
				 void *context);
/* System calls that reached the disk since the start: for benches and tests. */
struct loop_counters {
	uint64_t syncs, writes, reads, reads_cached, bytes_written, bytes_read;
};
struct loop_counters loop_counters(const struct loop *loop);

#endif
