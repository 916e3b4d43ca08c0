/* SPDX-License-Identifier: MPL-2.0 */
/*
 * tree - the simulated directories of one node: paths, names, and which of
 * them would survive a power loss.
 *
 * Names made, renamed and unlinked are seen at once, and durable only after a
 * sync of their directory (or after one that they depend on). A sync of a file
 * does not make its name durable. A crash keeps either a first part of the
 * operations in their order, or, worse, any of them alone; a rename is atomic.
 *
 * Synchronous, and without latencies: node_io.c adds those. Errors are those
 * that the real env gives for the errno of the same system call.
 */
#ifndef AEROSTORE_TESTS_SIM_TREE_H
#define AEROSTORE_TESTS_SIM_TREE_H

#include "engine/env.h"
#include "tests/sim/inode.h"

struct sim_tree_change;

struct sim_tree {
	struct sim_inode *root;
	struct sim_inode *inodes; /* all, linked */
	uint64_t next_number;
	struct sim_disk **disks; /* the first is that of the root */
	size_t disk_count, disk_capacity;
	/* Changes of names that are not durable yet, oldest first. */
	struct sim_tree_change *changes;
	size_t change_count, change_capacity;
};

/* first_device: the device numbers of its disks count from there. */
void sim_tree_init(struct sim_tree *tree, uint64_t first_device,
		   const struct sim_disk_options *root_options);
/* No handle may be open. */
void sim_tree_finish(struct sim_tree *tree);
/* Makes the directories of `path`, durably, and a disk at its end. */
struct sim_disk *sim_tree_add_disk(struct sim_tree *tree, const char *path,
				   const struct sim_disk_options *options);
/* The disk that a path lies on, whether or not anything is there. */
struct sim_disk *sim_tree_disk_of(const struct sim_tree *tree, const char *path);

/* Opens: counts a handle, given back by sim_tree_close(). `holder` owns the lock, if any. */
MUST_USE enum err sim_tree_open(struct sim_tree *tree, const char *path, unsigned flags,
				const void *holder, struct sim_inode **out);
void sim_tree_close(struct sim_tree *tree, struct sim_inode *inode, const void *holder);
MUST_USE enum err sim_tree_find(struct sim_tree *tree, const char *path, struct sim_inode **out);
MUST_USE enum err sim_tree_sync_directory(struct sim_tree *tree, const char *path);
MUST_USE enum err sim_tree_make_directory(struct sim_tree *tree, const char *path);
MUST_USE enum err sim_tree_rename(struct sim_tree *tree, const char *path, const char *to_path);
MUST_USE enum err sim_tree_unlink(struct sim_tree *tree, const char *path);
MUST_USE enum err sim_tree_list(struct sim_tree *tree, const char *path, struct buf *names);
/* As rm -rf on a path below the root, and durable at once: somebody else did it long ago. */
MUST_USE enum err sim_tree_remove_all(struct sim_tree *tree, const char *path);

/* A lost disk's directory again, durably, and without files; the directory above exists. */
void sim_tree_replace_disk(struct sim_tree *tree, struct sim_disk *disk);
/* A file of the disk with durable pages, the likelier the more it has; NULL when there is none. */
struct sim_inode *sim_tree_pick_file(struct sim_tree *tree, const struct sim_disk *disk,
				     struct sim_random *random);

/* A power loss. Every handle must have been closed before: the node is dead. */
void sim_tree_crash(struct sim_tree *tree, enum sim_crash_outcome outcome,
		    struct sim_random *random);

#endif
