/* SPDX-License-Identifier: MPL-2.0 */
/*
 * disk - a directory prefix of a node that stands for one device: its speed,
 * its capacity, and what is counted of it.
 *
 * Files belong to the disk below whose directory they were made; a rename
 * across disks is refused, as between devices.
 */
#ifndef AEROSTORE_TESTS_SIM_DISK_H
#define AEROSTORE_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/fault.h"
#include "tests/sim/random.h"

struct sim_disk_options {
	uint64_t capacity;   /* bytes; 0: 1 TiB */
	uint64_t latency_us; /* of every operation */
	uint64_t jitter_us;  /* uniform on top */
	uint64_t sync_us;    /* on top, of each sync */
};

/* Operations that reached the disk. */
struct sim_disk_counters {
	uint64_t reads, writes, syncs, directory_operations, bytes_read, bytes_written;
};

struct sim_disk {
	char *path;
	uint64_t device; /* as in struct env_stat */
	struct sim_disk_options options;
	uint64_t slow_factor; /* latencies are multiplied by it; 1: healthy */
	uint64_t used_pages;
	struct sim_disk_counters counters;
	struct sim_faults faults;
	struct sim_atlas *atlas; /* NULL: none */
	bool damaged;		 /* holds less than it should, as fault.h means it */
	bool dead;
};

struct sim_disk *sim_disk_create(const char *path, uint64_t device,
				 const struct sim_disk_options *options);
void sim_disk_destroy(struct sim_disk *disk);
bool sim_disk_has_room(const struct sim_disk *disk, uint64_t page_count);
uint64_t sim_disk_total(const struct sim_disk *disk); /* bytes */
uint64_t sim_disk_free(const struct sim_disk *disk);  /* bytes */
/* How long one operation takes. */
uint64_t sim_disk_latency(const struct sim_disk *disk, bool is_sync, struct sim_random *random);

#endif
