/* SPDX-License-Identifier: MPL-2.0 */
/*
 * node_fault - what the faults of fault.h do to a node's disks, and the same
 * on request.
 */
#ifndef AEROSTORE_TESTS_SIM_NODE_FAULT_H
#define AEROSTORE_TESTS_SIM_NODE_FAULT_H

#include "tests/sim/sim.h"

/*
 * Does what the faults that struck do before, or instead of, one step; `inode` is the file of the
 * step, or NULL. The error is what the step gives instead of happening; ERR_OK: it happens.
 * CRASH, SLOW and NO_SPACE are the business of node_io.c.
 */
MUST_USE enum err sim_strike(struct sim_node *node, struct sim_disk *disk, struct sim_inode *inode,
			     const struct env_io *io, unsigned struck);

/* The disk goes, as SIM_FAULT_UNLINKED or SIM_FAULT_DEAD says, and its indexes with it. */
void sim_lose_disk(struct sim_node *node, struct sim_disk *disk, enum sim_fault how);
/* An empty disk in the place of one that was lost: a directory without files. */
void sim_replace_disk(struct sim_node *node, struct sim_disk *disk);
/* Flips the low bit of one durable byte of a clean page; false when there is no such byte. */
bool sim_flip_bit(struct sim_node *node, const char *path, uint64_t offset);

#endif
