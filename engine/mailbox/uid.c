/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/uid.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

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

/* ---- the stock ---- */

void uid_stock_finish(struct uid_stock *stock)
{
	memory_free(stock->ranges);
	*stock = (struct uid_stock){0};
}

uint64_t uid_stock_left(const struct uid_stock *stock)
{
	uint64_t left = 0;

	for (size_t i = 0; i < stock->count; i++)
		left += (uint64_t)stock->ranges[i].last - stock->ranges[i].first + 1;
	return left;
}

enum err uid_stock_add(struct uid_stock *stock, struct uid_range range)
{
	enum err err = ARRAY_GROW(stock->ranges, stock->capacity, stock->count);

	ASSERT(range.first <= range.last);
	ASSERT(stock->count == 0 || stock->ranges[stock->count - 1].last < range.first);
	if (!err)
		stock->ranges[stock->count++] = range;
	return err;
}

uint32_t uid_stock_take(struct uid_stock *stock)
{
	uint32_t uid;

	ASSERT(stock->count > 0);
	uid = stock->ranges[0].first++;
	if (uid == stock->ranges[0].last) {
		stock->count--;
		memmove(stock->ranges, stock->ranges + 1, stock->count * sizeof(*stock->ranges));
	}
	return uid;
}
