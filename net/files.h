/* SPDX-License-Identifier: MPL-2.0 */
/*
 * files - the file operations of engine/env.h as plain, blocking calls.
 *
 * files_perform() runs one of them to its end, on any thread, and fills the
 * results in; it calls no `done`. Handles are shared between threads without a
 * lock: they are a descriptor and never change.
 */
#ifndef AEROSTORE_NET_FILES_H
#define AEROSTORE_NET_FILES_H

#include <stdatomic.h>

#include "engine/env.h"

/* What reached the file system; relaxed, for benches and tests. */
struct files_counters {
	atomic_uint_fast64_t syncs, writes, reads, reads_cached, bytes_written, bytes_read;
};

void files_perform(struct env_io *io, struct files_counters *counters);

/*
 * Tries an ENV_IO_READ without waiting for a disk. True: it is complete, with
 * its results filled in. False: untouched, it needs files_perform().
 */
bool files_read_cached(struct env_io *io, struct files_counters *counters);

#endif
