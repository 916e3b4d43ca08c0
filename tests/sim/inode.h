/* SPDX-License-Identifier: MPL-2.0 */
/*
 * inode - the content of one simulated file: what is on the disk, and what is
 * only in the page cache above it.
 *
 * Each 4 KiB page has durable bytes, and cached bytes while it is dirty. Reads
 * see the cache first. After a failed sync a page may be stale: it still reads
 * as it was written, and is clean, so no later sync writes it. A sync makes pages and size durable; a crash decides for
 * each dirty page alone whether it is kept, dropped, or torn at a sector of
 * 512 B, and for the size likewise. Blocks are accounted a page at a time,
 * against the capacity of the disk.
 *
 * INV: what lies at or above the size reads as zeros when the file grows over
 * it, now and after a crash: old bytes never show.
 */
#ifndef AEROSTORE_TESTS_SIM_INODE_H
#define AEROSTORE_TESTS_SIM_INODE_H

#include "engine/base/bytes.h"
#include "engine/base/err.h"
#include "tests/sim/disk.h"
#include "tests/sim/random.h"

#define SIM_PAGE_SIZE 4096u
#define SIM_SECTOR_SIZE 512u
/* Larger offsets are a bug of the code under test, not a wish to hold that much memory. */
#define SIM_FILE_SIZE_LIMIT ((uint64_t)4 << 30)

struct sim_page {
	uint8_t *durable; /* NULL: zeros */
	uint8_t *cached;  /* NULL: clean */
	bool stale;	  /* cached, and yet clean */
	bool reserved, reserved_durable;
	bool unreadable; /* reads fail until the page is written to the disk again */
};

/* One name in a directory; the array is sorted by name. */
struct sim_entry {
	char *name;
	struct sim_inode *inode;
};

struct sim_entries {
	struct sim_entry *items;
	size_t count, capacity;
};

struct sim_inode {
	uint64_t number;
	struct sim_disk *disk;
	bool is_directory;
	uint32_t link_count, handle_count;
	const void *lock; /* the handle that holds it */
	/* files */
	uint64_t size, durable_size;
	struct sim_page *pages;
	size_t page_count;
	bool charged; /* its blocks count as used: false once unlinked and closed */
	/* directories */
	struct sim_entries live, durable;
	/* tree.c's own */
	bool reachable;
	struct sim_inode *next;
};

enum sim_crash_outcome {
	SIM_CRASH_RANDOM,   /* every page, size and entry for itself */
	SIM_CRASH_DROP_ALL, /* only what was synced is left */
	SIM_CRASH_KEEP_ALL, /* everything written is left */
	SIM_CRASH_OUTCOMES, /* how many: not one of them */
};

struct sim_inode *sim_inode_create(struct sim_disk *disk, uint64_t number, bool is_directory);
void sim_inode_destroy(struct sim_inode *inode);
/* Bytes that occupy blocks. */
uint64_t sim_inode_allocated(const struct sim_inode *inode);
/* What was read: less than size only at the end. ERR_IO on an unreadable page. */
MUST_USE enum err sim_inode_read(const struct sim_inode *inode, uint64_t offset, uint8_t *out,
				 size_t size, size_t *read_size);
/* ERR_NOSPACE may leave a first part written, as write(2) may. */
MUST_USE enum err sim_inode_write(struct sim_inode *inode, uint64_t offset, struct bytes bytes);
/* Whether a write there takes blocks that the file does not have yet. */
bool sim_inode_needs_blocks(const struct sim_inode *inode, uint64_t offset, uint64_t size);
MUST_USE enum err sim_inode_allocate(struct sim_inode *inode, uint64_t offset, uint64_t size);
/* Also gives reserved blocks beyond the new end back. */
MUST_USE enum err sim_inode_truncate(struct sim_inode *inode, uint64_t size);
/* Pages, size and reservations become durable. */
void sim_inode_sync(struct sim_inode *inode);
/* The kernel writes one dirty page, chosen at random, of its own accord. */
void sim_inode_write_back(struct sim_inode *inode, struct sim_random *random);
/* What a power loss leaves; no page is dirty afterwards. */
void sim_inode_crash(struct sim_inode *inode, enum sim_crash_outcome outcome,
		     struct sim_random *random);
/* Gives its blocks back to the disk, or takes them again. */
void sim_inode_set_charged(struct sim_inode *inode, bool charged);
/* Some dirty pages, a run of them, turn clean and never reach the disk. */
void sim_inode_lose_writes(struct sim_inode *inode, struct sim_random *random);
/* One dirty page reaches the disk in the place of a page of `target`. */
void sim_inode_misdirect_write(struct sim_inode *inode, struct sim_inode *target,
			       struct sim_random *random);
/*
 * Each dirty page turns clean; the disk has what a crash would have left of it. Some file systems
 * read that back at once, others go on to show what was written. The size stays.
 */
void sim_inode_fail_sync(struct sim_inode *inode, struct sim_random *random);
/* The durable pages that a range touches are unreadable until they are written again. */
void sim_inode_make_unreadable(struct sim_inode *inode, uint64_t offset, uint64_t size);
size_t sim_inode_durable_pages(const struct sim_inode *inode);
/* Flips one to eight bits of the n-th durable page, within the file's durable size. */
void sim_inode_rot(struct sim_inode *inode, size_t n, struct sim_random *random);

#endif
