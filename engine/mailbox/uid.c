/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/uid.h"

#include "engine/base/assert.h"

static uint32_t lane_start(unsigned lane)
{
	return lane ? UID_LANE_0_SIZE + (lane - 1) * UID_LANE_SIZE : 0;
}

static uint32_t lane_size(unsigned lane)
{
	return lane ? UID_LANE_SIZE : UID_LANE_0_SIZE;
}

unsigned uid_lane(uint32_t uid)
{
	uint32_t within;

	ASSERT(uid);
	within = (uid - 1) % UID_SUPERBLOCK_SIZE;
	return within < UID_LANE_0_SIZE ? 0 : 1 + (within - UID_LANE_0_SIZE) / UID_LANE_SIZE;
}

bool uid_reserve(uint32_t above, unsigned lane, uint32_t count, struct uid_range *out)
{
	/* Counted from zero: the offset of the UID after `above` is `above` itself. */
	uint64_t superblock = above / UID_SUPERBLOCK_SIZE;
	uint64_t start, end, first = above;

	ASSERT(lane < UID_LANES && count);
	start = superblock * UID_SUPERBLOCK_SIZE + lane_start(lane);
	if (first >= start + lane_size(lane))
		start += UID_SUPERBLOCK_SIZE;
	end = start + lane_size(lane);
	if (first < start)
		first = start;
	if (first + count < end)
		end = first + count;
	if (end > UID_MAX)
		return false;
	*out = (struct uid_range){(uint32_t)(first + 1), (uint32_t)end};
	return true;
}
