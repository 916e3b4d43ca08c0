/* SPDX-License-Identifier: MPL-2.0 */
/*
 * space - how much a volume may still be given, between two looks at the file
 * system.
 *
 * The estimate is what the file system last reported as free, less everything
 * admitted since, less what was under way at that moment: it may not have been
 * counted. It errs to the careful side, by a few seconds of writing at most.
 *
 * A reserve stays free for compaction and deletion: below it only urgent
 * writes are admitted. Full is left again only well above it, so that a volume
 * at the edge does not flicker.
 *
 * Pure: no I/O.
 */
#ifndef AEROSTORE_ENGINE_VOLUME_SPACE_H
#define AEROSTORE_ENGINE_VOLUME_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes. */
struct space {
	uint64_t total, reported_free;
	uint64_t reserve;
	uint64_t spent;	      /* admitted, and perhaps not in reported_free */
	uint64_t under_way;   /* admitted, not yet settled */
	uint64_t begun_spent; /* what `spent` starts from when the running look ends */
	bool full;
};

/* max(64 MiB, 2 %), but at most 5 % of the whole: small disks exist. */
uint64_t space_default_reserve(uint64_t total);
/* Another reserve, from now on. */
void space_set_reserve(struct space *space, uint64_t size);
/* Around each look at the file system. */
void space_look_begin(struct space *space);
void space_look_end(struct space *space, uint64_t total, uint64_t reported_free);
uint64_t space_free(const struct space *space);
/* Whether so much fits above the reserve. */
bool space_fits(const struct space *space, uint64_t size);
/* Whether so much may be written; what does not fit makes it full. */
bool space_admits(struct space *space, uint64_t size, bool urgent);
/* It is being written: spent, and under way until space_settle(). */
void space_spend(struct space *space, uint64_t size);
void space_settle(struct space *space, uint64_t size);

#endif
