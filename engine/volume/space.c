/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/volume/space.h"

#include "engine/base/assert.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t space_default_reserve(uint64_t total)
{
	uint64_t floor = 64u * 1024 * 1024;
	uint64_t share = total / 50;

	return min_u64(share > floor ? share : floor, total / 20);
}

void space_look_begin(struct space *space)
{
	space->begun_spent = space->under_way;
}

static void judge(struct space *space)
{
	if (space_free(space) <= space->reserve)
		space->full = true;
	else if (space_free(space) > space->reserve + space->reserve / 8)
		space->full = false;
}

void space_set_reserve(struct space *space, uint64_t size)
{
	space->reserve = size;
	judge(space);
}

void space_look_end(struct space *space, uint64_t total, uint64_t reported_free)
{
	space->total = total;
	space->reported_free = reported_free;
	space->spent = space->begun_spent;
	judge(space);
}

uint64_t space_free(const struct space *space)
{
	return space->reported_free - min_u64(space->spent, space->reported_free);
}

bool space_fits(const struct space *space, uint64_t size)
{
	uint64_t available = space_free(space);

	return size <= available && available - size >= space->reserve;
}

bool space_admits(struct space *space, uint64_t size, bool urgent)
{
	if (urgent)
		return true;
	if (!space_fits(space, size))
		space->full = true;
	return !space->full;
}

void space_spend(struct space *space, uint64_t size)
{
	space->spent += size;
	space->begun_spent += size;
	space->under_way += size;
}

void space_settle(struct space *space, uint64_t size)
{
	ASSERT(size <= space->under_way);
	space->under_way -= size;
}
