/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/disk.h"

#include "tests/sim/allocate.h"
#include "tests/sim/inode.h"

#define DEFAULT_CAPACITY ((uint64_t)1 << 40)

struct sim_disk *sim_disk_create(const char *path, uint64_t device,
				 const struct sim_disk_options *options)
{
	struct sim_disk *disk = sim_allocate(sizeof(*disk));

	disk->path = sim_copy_string(path);
	disk->device = device;
	if (options != NULL)
		disk->options = *options;
	if (disk->options.capacity == 0)
		disk->options.capacity = DEFAULT_CAPACITY;
	disk->slow_factor = 1;
	return disk;
}

void sim_disk_destroy(struct sim_disk *disk)
{
	sim_free(disk->path);
	sim_free(disk);
}

uint64_t sim_disk_total(const struct sim_disk *disk)
{
	return disk->options.capacity;
}

uint64_t sim_disk_free(const struct sim_disk *disk)
{
	uint64_t used = disk->used_pages * SIM_PAGE_SIZE;

	return used < disk->options.capacity ? disk->options.capacity - used : 0;
}

bool sim_disk_has_room(const struct sim_disk *disk, uint64_t page_count)
{
	return page_count <= sim_disk_free(disk) / SIM_PAGE_SIZE;
}

uint64_t sim_disk_latency(const struct sim_disk *disk, bool is_sync, struct sim_random *random)
{
	uint64_t latency = disk->options.latency_us + (is_sync ? disk->options.sync_us : 0);

	return (latency + sim_random_below(random, disk->options.jitter_us + 1)) *
	       disk->slow_factor;
}
