/* SPDX-License-Identifier: MPL-2.0 */
/*
 * disk - an env with a few files in memory, for targets whose decoder reads a
 * file itself and waits for it.
 *
 * What was put there is what the decoder sees; it may write, and the target can
 * look at the result. Pages of 4096 octets can be made unreadable (ERR_IO).
 * The node-local index is that of engine/fsck/memory_index.h. Nothing fails
 * otherwise, and nothing is random: one input, one run.
 */
#ifndef AEROSTORE_FUZZ_DISK_H
#define AEROSTORE_FUZZ_DISK_H

#include "engine/env.h"
#include "engine/task.h"
#include "tests/support/unit_env.h"

#define DISK_FILE_MAX 8u
#define DISK_SOON_MAX 64u
#define DISK_PAGE_SIZE 4096u

/* What a decoder holds open is the file itself. */
struct env_file {
	const char *path; /* borrowed; NULL: none */
	struct buf content;
	uint64_t unreadable; /* bit i: page i; of pages behind the 64th none is */
	uint64_t number;
	size_t opened;
};

struct disk {
	struct unit_env unit;
	struct env_ops ops;
	struct sched *sched;
	struct env_file files[DISK_FILE_MAX];
	struct {
		void (*run)(void *context);
		void *context;
	} soon[DISK_SOON_MAX]; /* a ring */
	size_t first, count;
};

/* Once. */
void disk_init(struct disk *disk);
/* Makes the file, or empties it. Its content is the caller's to fill, while it is not open. */
struct env_file *disk_put(struct disk *disk, const char *path);
/* Runs it as a task until it has ended. All files must be closed then. */
void disk_run(struct disk *disk, void (*run)(void *argument), void *argument);
/* Forgets the files. */
void disk_clear(struct disk *disk);

#endif
