/* SPDX-License-Identifier: MPL-2.0 */
/*
 * volume - one directory on one disk: its identity, its life, and the group
 * commit through which every byte reaches it.
 *
 *   DIR/superblock        identity (engine/format/superblock.h), two copies
 *   DIR/lock              held while open
 *   DIR/columns/          <set, 16 hex>-<column, 2 hex>.{col,par,mir}
 *   DIR/journal/          <segment, 16 hex>.seg
 *
 * Group commit: volume_submit() queues; whatever is queued when the disk falls
 * idle is written and synced together in one env_io commit, and then every
 * write of it completes, in order. One commit is under way at a time; beside
 * it one of bulk, which has a queue of its own, so that nobody who waits for an
 * acknowledgement waits for megabytes of parity.
 *
 * INV 1  A write completes with ERR_OK only after the sync that covers it has
 *        returned, and after the checks that follow it: the file still has a
 *        link, the superblock is still the same file with this volume's id.
 *        An `unsynced` write promises neither: that it has completed says that
 *        later ones of its file stand behind it.
 * INV 2  After any failed write or sync the volume is VOLUME_FAILED for good:
 *        nothing is retried, every queued and later write completes ERR_IO.
 * INV 3  ERR_NOSPACE is given by accounting, before anything is written, and
 *        refuses that write only: a reserve stays free for compaction and
 *        deletion (`urgent` writes). Should the disk itself say so (a quota,
 *        another user of it), nothing of the commit nor of what is queued behind
 *        it is acknowledged, all of it completes ERR_NOSPACE, and the volume is
 *        VOLUME_FULL; it does not fail. What lies at those offsets is unknown.
 * INV 4  The writes of a file reach it in the order in which they were
 *        submitted, and complete in that order.
 */
#ifndef AEROSTORE_ENGINE_VOLUME_VOLUME_H
#define AEROSTORE_ENGINE_VOLUME_VOLUME_H

#include "engine/base/shared.h"
#include "engine/format/superblock.h"
#include "engine/io.h"

#define VOLUME_HEAD_MAX 320u

/* The most that one commit writes, and with it what a write may wait for. */
#define VOLUME_BATCH_WRITES 512u
#define VOLUME_BATCH_SIZE (32u * 1024 * 1024)

struct volume;

enum volume_state {
	VOLUME_ACTIVE = 1,
	VOLUME_FULL,   /* over the watermark: urgent writes only */
	VOLUME_FAILED, /* an error, or its files vanished; reading may still work, is not relied on */
};

/*
 * Creates DIR and its superblock, durably. ERR_EXISTS when DIR holds anything but lost+found and
 * what an attempt at this that was cut short has left.
 */
WAITS MUST_USE enum err volume_format(const char *directory,
				      const struct volume_identity *identity);
/* Reads only the identity. ERR_NOTFOUND, ERR_CORRUPT, ERR_NEWER. */
WAITS MUST_USE enum err volume_inspect(const char *directory, struct volume_identity *out);
/*
 * Opens and locks. ERR_NOTFOUND: the directory or its superblock is missing; ERR_FOREIGN: another
 * cluster's; ERR_NEWER: features this program lacks; ERR_UNAVAILABLE: locked by another process.
 */
WAITS MUST_USE enum err volume_open(struct sched *sched, const char *directory,
				    struct id128 cluster, struct volume **out);
/* Waits for what is queued, unlocks. */
WAITS void volume_close(struct volume **volume);

struct id128 volume_id(const struct volume *volume);
const struct volume_identity *volume_identity(const struct volume *volume);
const char *volume_directory(const struct volume *volume);
enum volume_state volume_state(const struct volume *volume);
/* Marks as failed (INV 2), logs event=volume-failed once, and tells the watcher. */
void volume_fail(struct volume *volume, enum err why);
/* Called from the loop when the state changes. One watcher. */
void volume_watch(struct volume *volume, void (*changed)(struct volume *volume, void *context),
		  void *context);
struct sched *volume_sched(struct volume *volume);
/* Bytes, from the file system, refreshed every few seconds, less what was written since. */
void volume_space(const struct volume *volume, uint64_t *total, uint64_t *free_space);
/*
 * Refreshes it now: after removals, which the estimate does not count. Not during volume_close().
 * ERR_IO: the volume has failed.
 */
WAITS MUST_USE enum err volume_look(struct volume *volume);
/* Whether so much would fit above the reserve now. Asking does not make it full. */
bool volume_has_room(const struct volume *volume, uint64_t size);
uint64_t volume_reserve(const struct volume *volume);
/* Bytes kept free for urgent writes; default max(64 MiB, 2 %), at most 5 %. */
void volume_set_reserve(struct volume *volume, uint64_t size);

struct volume_write {
	struct env_file *file;
	uint64_t offset;	  /* in the file */
	struct shared *shared[2]; /* references given to the volume; [1] may be NULL */
	uint8_t head[VOLUME_HEAD_MAX];
	size_t head_size; /* head, shared[0], shared[1], then `zeros` zero bytes, end to end */
	size_t zeros;	  /* 0..63 */
	bool urgent;	  /* may use the reserve */
	bool bulk;	  /* in the queue of bulk; all of a file under way are, or none */
	bool unsynced;	  /* bulk only: a later write of the file without it syncs both */
	void (*done)(struct volume_write *write, enum err err);
	void *context;
	struct volume_write *next; /* the volume's own, as the next */
	enum err refused;
};

/* The write belongs to the volume until done, which comes exactly once, from the loop. */
void volume_submit(struct volume *volume, struct volume_write *write);
/*
 * Whether volume_submit() would take a write of so many bytes now: ERR_NOSPACE, ERR_IO. For who
 * gives out offsets: a write that is refused must not have got one.
 */
MUST_USE enum err volume_admits(struct volume *volume, uint64_t size, bool urgent);
/*
 * For rare files (create, header): makes the file with this content durable, entry and all.
 * Preallocation is left out where it would eat the reserve. ERR_EXISTS.
 */
WAITS MUST_USE enum err volume_create_file(struct volume *volume, const char *name,
					   struct bytes header, uint64_t allocate_size,
					   struct env_file **out);
WAITS MUST_USE enum err volume_open_file(struct volume *volume, const char *name,
					 struct env_file **out);
/* Renames within one folder, replacing what bears the name, and syncs that folder. */
WAITS MUST_USE enum err volume_rename_file(struct volume *volume, const char *name,
					   const char *to_name);
/* Unlinks and syncs the directory. */
WAITS MUST_USE enum err volume_remove_file(struct volume *volume, const char *name);
WAITS MUST_USE enum err volume_list(struct volume *volume, const char *folder, struct buf *names);

/* Whether somebody waits for a commit now. */
bool volume_is_busy(const struct volume *volume);

struct volume_counters {
	uint64_t writes, bytes, write_errors;
	uint64_t commits; /* these and their times without those of bulk */
	uint64_t commit_us_total, commit_us_max;
};
struct volume_counters volume_counters(const struct volume *volume);

#endif
