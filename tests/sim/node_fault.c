/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/node_fault.h"

#include <errno.h>

#include "engine/base/assert.h"

static bool has(unsigned struck, enum sim_fault fault)
{
	return (struck & 1u << fault) != 0;
}

static void rot(struct sim_node *node, struct sim_disk *disk)
{
	struct sim_random *random = &node->sim->faults;
	struct sim_inode *inode = sim_tree_pick_file(&node->tree, disk, random);

	if (inode != NULL)
		sim_inode_rot(inode,
			      (size_t)sim_random_below(random, sim_inode_durable_pages(inode)),
			      random);
}

static void damage_dirty_pages(struct sim_node *node, struct sim_disk *disk,
			       struct sim_inode *inode, unsigned struck)
{
	struct sim_random *random = &node->sim->faults;
	struct sim_inode *target;

	if (has(struck, SIM_FAULT_LOST_WRITE))
		sim_inode_lose_writes(inode, random);
	if (has(struck, SIM_FAULT_MISDIRECTED_WRITE)) {
		target = sim_tree_pick_file(&node->tree, disk, random);
		if (target != NULL)
			sim_inode_misdirect_write(inode, target, random);
	}
	if (has(struck, SIM_FAULT_SYNC_FAILURE))
		sim_inode_fail_sync(inode, random);
}

enum err sim_strike(struct sim_node *node, struct sim_disk *disk, struct sim_inode *inode,
		    const struct env_io *io, unsigned struck)
{
	if (has(struck, SIM_FAULT_UNLINKED) && !disk->dead)
		sim_lose_disk(node, disk, SIM_FAULT_UNLINKED);
	if (has(struck, SIM_FAULT_DEAD))
		sim_lose_disk(node, disk, SIM_FAULT_DEAD);
	if (disk->dead)
		return inode != NULL ? ERR_IO : err_from_errno(ENOENT);
	if (has(struck, SIM_FAULT_BIT_ROT))
		rot(node, disk);
	if (inode != NULL && !inode->is_directory)
		damage_dirty_pages(node, disk, inode, struck);
	if (inode != NULL && has(struck, SIM_FAULT_UNREADABLE))
		sim_inode_make_unreadable(inode, io->offset, io->size);
	return has(struck, SIM_FAULT_READ_ERROR) || has(struck, SIM_FAULT_SYNC_FAILURE) ? ERR_IO
											: ERR_OK;
}

void sim_lose_disk(struct sim_node *node, struct sim_disk *disk, enum sim_fault how)
{
	struct sim_inode *directory;

	ASSERT(how == SIM_FAULT_UNLINKED || how == SIM_FAULT_DEAD);
	sim_trace(node->sim, "node=%zu disk=%s lost=%s", node->number, disk->path,
		  sim_fault_name(how));
	/* A device that is gone keeps its files for those that have them open; a root never goes.
	 */
	if (disk != node->tree.disks[0] &&
	    sim_tree_find(&node->tree, disk->path, &directory) == ERR_OK) {
		enum err err = sim_tree_remove_all(&node->tree, disk->path);

		ASSERT(err == ERR_OK);
	}
	disk->dead = how == SIM_FAULT_DEAD;
	sim_damaged(disk);
	for (struct sim_index *index = node->indexes; index != NULL; index = index->next) {
		if (sim_tree_disk_of(&node->tree, index->path) == disk)
			sim_index_lose(index);
	}
}

void sim_replace_disk(struct sim_node *node, struct sim_disk *disk)
{
	disk->dead = false;
	disk->slow_factor = 1;
	sim_tree_replace_disk(&node->tree, disk);
}

bool sim_flip_bit(struct sim_node *node, const char *path, uint64_t offset)
{
	struct sim_inode *inode = NULL;
	size_t index = (size_t)(offset / SIM_PAGE_SIZE);

	if (sim_tree_find(&node->tree, path, &inode) != ERR_OK || offset >= inode->durable_size ||
	    index >= inode->page_count || inode->pages[index].durable == NULL)
		return false;
	inode->pages[index].durable[offset % SIM_PAGE_SIZE] ^= 1;
	return true;
}
