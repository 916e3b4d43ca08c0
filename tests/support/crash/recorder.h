/* SPDX-License-Identifier: MPL-2.0 */
/*
 * recorder - an env over real files that writes down everything that reaches
 * them: what a power loss may undo, and when it no longer may.
 *
 * Files are those of net/files.c and the index that of net/index_lmdb.c, below
 * a directory of the host; paths of the engine are taken as relative to it. Time
 * is virtual, random comes from the seed, and everything happens on one thread:
 * of the operations under way the seed draws the one that ends next. So the same
 * seed and the same program give the same record, in an order that any number of
 * threads may have had.
 *
 * The record is a sequence of numbered events. Each operation that changes a
 * disk leaves effects (a name made, a range written, ...) with the event at
 * which it was posted, ended, and became durable:
 *
 *   - a write or truncation by a data sync of its file that was posted after the
 *     write had ended, or belongs to the same commit, when that sync has returned;
 *   - a name made, renamed or unlinked by a sync of its directory likewise.
 *
 * Nothing else makes anything durable: not a sync of another file, not time, not
 * the sync of a file for the name of that file.
 *
 * Lives: recorder_kill() ends a process, not the machine. What was posted and has
 * not ended is withdrawn: the kernel never heard of it.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CRASH_RECORDER_H
#define AEROSTORE_TESTS_SUPPORT_CRASH_RECORDER_H

#include "engine/task.h"
#include "tests/sim/random.h"

#define RECORDER_NEVER UINT64_MAX

enum effect_kind {
	EFFECT_CREATE,
	EFFECT_MAKE_DIRECTORY,
	EFFECT_RENAME,
	EFFECT_UNLINK,
	EFFECT_WRITE,
	EFFECT_TRUNCATE,
};

struct effect {
	enum effect_kind kind;
	char *path, *to_path; /* of names; to_path: RENAME */
	uint32_t file;	      /* which one: CREATE, RENAME, WRITE, TRUNCATE */
	uint64_t offset;      /* WRITE */
	uint8_t *data;	      /* WRITE: `size` bytes */
	uint64_t size;	      /* WRITE; TRUNCATE: the new size */
	/* Events; RECORDER_NEVER: not yet, or never. */
	uint64_t posted, ended, durable;
	uint64_t withdrawn; /* from then on it did not happen */
	bool lost;	    /* its sync failed: no later one makes it durable */
};

/* A commit of the node-local index. */
struct index_commit {
	char *path; /* of the index */
	uint64_t event;
	bool durable;
	struct buf changes; /* each: block key, u8 has value, block value */
};

/* An event after which a power loss is worth looking at: each before a sync returns, and notes. */
struct recorder_cut {
	uint64_t event;
	bool is_note;
};

struct recorder_entry;
struct recorder_timer;

struct recorder {
	struct env env; /* first: env.h */
	struct sched *sched;
	char directory[64];
	struct sim_random random, scheduling;
	uint64_t now_us;
	/* the record */
	uint64_t event; /* the last one */
	struct effect *effects;
	size_t effect_count, effect_capacity;
	struct index_commit *index_commits;
	size_t index_commit_count, index_commit_capacity;
	struct recorder_cut *cuts; /* ascending */
	size_t cut_count, cut_capacity;
	size_t operation_count; /* that changed or synced something */
	/* What the next life is to meet; 0: nothing. */
	size_t kill_after;     /* so many operations later */
	size_t fail_commit_in; /* the so-manieth commit from now fails in its sync */
	uint32_t failed_file;  /* that it wrote to first */
	/* its own */
	struct recorder_entry *entries;
	size_t entry_count, entry_capacity;
	uint32_t file_count;
	struct recorder_posted *posted;
	size_t posted_count, posted_capacity;
	struct recorder_soon *soon;
	size_t soon_count, soon_capacity;
	struct recorder_timer *timers;
	size_t timer_count, timer_capacity;
	uint64_t timer_order;
};

/* A new directory below /tmp; the index's LMDB file lies in "<directory>/index". */
void recorder_init(struct recorder *recorder, uint64_t seed);
/* Removes the directory. */
void recorder_finish(struct recorder *recorder);
/* Makes a directory that counts as having been there for ever: the mount point of a disk. */
void recorder_add_disk(struct recorder *recorder, const char *path);
/* Runs run(argument) as a task of a new life, until all tasks of it have ended. */
void recorder_run(struct recorder *recorder, void (*run)(void *argument), void *argument);
/* From a task of the life. */
void recorder_kill(struct recorder *recorder);
/* Something of the test's own happened: gives its event, which is a cut as well. */
uint64_t recorder_note(struct recorder *recorder);
/* The path that a file of an effect was made under; for who looks at the record. */
const char *recorder_file_path(const struct recorder *recorder, uint32_t file);

#endif
