/* SPDX-License-Identifier: MPL-2.0 */
/*
 * uid - how the UID space of a folder is shared out between homes that cannot
 * see each other (docs/decisions.md "UIDs between homes", R1, R2).
 *
 * UIDs 1, 2, ... are cut into superblocks: 2^16 UIDs of lane 0, then 2^10 for
 * each of lanes 1 to 7. Lane 0 belongs to the home that a majority of the
 * account's replicas has promised; lane 1 + r is set aside for the replica of
 * rank r when it is cut off from the majority, which no home of this version
 * serves in. Pure arithmetic.
 *
 * INV 1  Every UID is in exactly one lane.
 * INV 2  A reservation lies in one lane, in one piece, above `above`.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_UID_H
#define AEROSTORE_ENGINE_MAILBOX_UID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define UID_LANES 8u
#define UID_LANE_0_SIZE 65536u
#define UID_LANE_SIZE 1024u
#define UID_SUPERBLOCK_SIZE (UID_LANE_0_SIZE + (UID_LANES - 1) * UID_LANE_SIZE)
/* What a home reserves at a time. */
#define UID_RESERVATION 1024u
/* No UID is given out above it: clients use 32 bits, and 2^32 - 1 is "*" in some. */
#define UID_MAX (UINT32_MAX - UID_SUPERBLOCK_SIZE)

/* UIDs first .. last, to be given out in order. */
struct uid_range {
	uint32_t first, last;
};

/*
 * What a home has reserved of a folder and not given out: ranges that ascend, because each is above
 * all that was known. Several, because a reservation ends with its lane's block. {0} is empty.
 */
struct uid_stock {
	struct uid_range *ranges;
	size_t count, capacity;
};

void uid_stock_finish(struct uid_stock *stock);
uint64_t uid_stock_left(const struct uid_stock *stock);
/* The range is not empty, and above all that were added before. ERR_NOMEM. */
MUST_USE enum err uid_stock_add(struct uid_stock *stock, struct uid_range range);
/* The lowest; there is one. */
uint32_t uid_stock_take(struct uid_stock *stock);

unsigned uid_lane(uint32_t uid);
/*
 * The next up to `count` UIDs of the lane above `above`, cut at the end of the lane's block. False
 * when the space is used up.
 */
bool uid_reserve(uint32_t above, unsigned lane, uint32_t count, struct uid_range *out);

#endif
