/* SPDX-License-Identifier: MPL-2.0 */
/*
 * image - what a disk held at one moment, put back later: the old copy of a disk
 * that an operator finds in a drawer, or a snapshot that was rolled back.
 */
#ifndef AEROSTORE_TESTS_SIM_IMAGE_H
#define AEROSTORE_TESTS_SIM_IMAGE_H

#include "tests/sim/sim.h"

struct sim_image;

/* What is durable of it now: what a power loss would leave at the least. */
struct sim_image *sim_image_take(struct sim_node *node, const struct sim_disk *disk);
/* In the place of all that the disk holds; while nothing runs on the node. It is damaged then. */
void sim_image_put_back(struct sim_node *node, struct sim_disk *disk,
			const struct sim_image *image);
/* NULL does nothing. */
void sim_image_destroy(struct sim_image **image);

#endif
