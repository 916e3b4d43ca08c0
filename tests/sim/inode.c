/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/inode.h"

#include <errno.h>
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/allocate.h"

struct sim_inode *sim_inode_create(struct sim_disk *disk, uint64_t number, bool is_directory)
{
	struct sim_inode *inode = sim_allocate(sizeof(*inode));

	inode->disk = disk;
	inode->number = number;
	inode->is_directory = is_directory;
	inode->charged = true;
	return inode;
}

static bool page_occupies(const struct sim_page *page)
{
	return page->durable != NULL || page->cached != NULL || page->reserved;
}

static uint64_t occupied_pages(const struct sim_inode *inode)
{
	uint64_t count = 0;

	for (size_t i = 0; i < inode->page_count; i++)
		count += page_occupies(&inode->pages[i]);
	return count;
}

uint64_t sim_inode_allocated(const struct sim_inode *inode)
{
	return occupied_pages(inode) * SIM_PAGE_SIZE;
}

void sim_inode_set_charged(struct sim_inode *inode, bool charged)
{
	if (inode->charged == charged)
		return;
	if (charged)
		inode->disk->used_pages += occupied_pages(inode);
	else
		inode->disk->used_pages -= occupied_pages(inode);
	inode->charged = charged;
}

/* Frees a page's block when nothing occupies it any more; `before` as page_occupies() was. */
static void settle(struct sim_inode *inode, const struct sim_page *page, bool before)
{
	if (!inode->charged || before == page_occupies(page))
		return;
	if (before)
		inode->disk->used_pages--;
	else
		inode->disk->used_pages++;
}

static void page_drop_cached(struct sim_page *page)
{
	sim_free(page->cached);
	page->cached = NULL;
	page->stale = false;
}

static bool page_is_dirty(const struct sim_page *page)
{
	return page->cached != NULL && !page->stale;
}

static void page_clear(struct sim_inode *inode, struct sim_page *page)
{
	bool before = page_occupies(page);

	page_drop_cached(page);
	sim_free(page->durable);
	*page = (struct sim_page){0};
	settle(inode, page, before);
}

void sim_inode_destroy(struct sim_inode *inode)
{
	for (size_t i = 0; i < inode->page_count; i++)
		page_clear(inode, &inode->pages[i]);
	sim_free(inode->pages);
	ASSERT(inode->live.count == 0 && inode->durable.count == 0);
	sim_free(inode->live.items);
	sim_free(inode->durable.items);
	sim_free(inode);
}

static void ensure_pages(struct sim_inode *inode, uint64_t end)
{
	size_t needed = (size_t)((end + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE);
	size_t capacity = inode->page_count;

	if (needed <= inode->page_count)
		return;
	capacity = capacity * 2 > needed ? capacity * 2 : needed;
	inode->pages = sim_resize(inode->pages, capacity * sizeof(*inode->pages));
	memset(inode->pages + inode->page_count, 0,
	       (capacity - inode->page_count) * sizeof(*inode->pages));
	inode->page_count = capacity;
}

static const uint8_t *page_bytes(const struct sim_page *page)
{
	static const uint8_t zeros[SIM_PAGE_SIZE];

	if (page->cached != NULL)
		return page->cached;
	return page->durable != NULL ? page->durable : zeros;
}

enum err sim_inode_read(const struct sim_inode *inode, uint64_t offset, uint8_t *out, size_t size,
			size_t *read_size)
{
	static const struct sim_page hole;
	size_t done = 0;

	if (offset >= inode->size)
		size = 0;
	else if (size > inode->size - offset)
		size = (size_t)(inode->size - offset);
	while (done < size) {
		size_t index = (size_t)((offset + done) / SIM_PAGE_SIZE);
		size_t start = (size_t)((offset + done) % SIM_PAGE_SIZE);
		size_t part = SIM_PAGE_SIZE - start;
		const struct sim_page *page =
			index < inode->page_count ? &inode->pages[index] : &hole;

		if (page->unreadable && page->cached == NULL)
			return ERR_IO;
		if (part > size - done)
			part = size - done;
		memcpy(out + done, page_bytes(page) + start, part);
		done += part;
	}
	*read_size = done;
	return ERR_OK;
}

/* The page's cached bytes for writing; NULL when the disk is full. */
static uint8_t *page_make_dirty(struct sim_inode *inode, struct sim_page *page)
{
	bool before = page_occupies(page);

	page->stale = false;
	if (page->cached != NULL)
		return page->cached;
	if (!before && inode->charged && !sim_disk_has_room(inode->disk, 1))
		return NULL;
	page->cached = sim_copy(page_bytes(page), SIM_PAGE_SIZE);
	settle(inode, page, before);
	return page->cached;
}

enum err sim_inode_write(struct sim_inode *inode, uint64_t offset, struct bytes bytes)
{
	size_t done = 0;

	if (offset > SIM_FILE_SIZE_LIMIT || bytes.size > SIM_FILE_SIZE_LIMIT - offset)
		return err_from_errno(EFBIG);
	ensure_pages(inode, offset + bytes.size);
	while (done < bytes.size) {
		struct sim_page *page = &inode->pages[(offset + done) / SIM_PAGE_SIZE];
		size_t start = (size_t)((offset + done) % SIM_PAGE_SIZE);
		size_t part = SIM_PAGE_SIZE - start;
		uint8_t *to = page_make_dirty(inode, page);

		if (to == NULL)
			return ERR_NOSPACE;
		if (part > bytes.size - done)
			part = bytes.size - done;
		memcpy(to + start, bytes.data + done, part);
		done += part;
		if (inode->size < offset + done)
			inode->size = offset + done;
	}
	return ERR_OK;
}

bool sim_inode_needs_blocks(const struct sim_inode *inode, uint64_t offset, uint64_t size)
{
	for (uint64_t i = offset / SIM_PAGE_SIZE; i * SIM_PAGE_SIZE < offset + size; i++) {
		if (i >= inode->page_count || !page_occupies(&inode->pages[i]))
			return true;
	}
	return false;
}

enum err sim_inode_allocate(struct sim_inode *inode, uint64_t offset, uint64_t size)
{
	uint64_t needed = 0;
	size_t first = (size_t)(offset / SIM_PAGE_SIZE), end;

	if (size == 0)
		return ERR_INVALID;
	if (offset > SIM_FILE_SIZE_LIMIT || size > SIM_FILE_SIZE_LIMIT - offset)
		return err_from_errno(EFBIG);
	ensure_pages(inode, offset + size);
	end = (size_t)((offset + size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE);
	for (size_t i = first; i < end; i++)
		needed += !page_occupies(&inode->pages[i]);
	if (inode->charged && !sim_disk_has_room(inode->disk, needed))
		return ERR_NOSPACE;
	for (size_t i = first; i < end; i++) {
		bool before = page_occupies(&inode->pages[i]);

		inode->pages[i].reserved = true;
		settle(inode, &inode->pages[i], before);
	}
	return ERR_OK;
}

/*
 * Cuts what the cache shows; the disk keeps its bytes until a sync, hence a
 * cached page of zeros stands before each durable one.
 */
static enum err cut_cached(struct sim_inode *inode, uint64_t size)
{
	size_t start = (size_t)(size % SIM_PAGE_SIZE);
	size_t index = (size_t)(size / SIM_PAGE_SIZE);

	if (start != 0 && index < inode->page_count && page_occupies(&inode->pages[index])) {
		uint8_t *bytes = page_make_dirty(inode, &inode->pages[index]);

		memset(bytes + start, 0, SIM_PAGE_SIZE - start);
		index++;
	} else if (start != 0) {
		index++;
	}
	for (; index < inode->page_count; index++) {
		struct sim_page *page = &inode->pages[index];
		bool before = page_occupies(page);

		page_drop_cached(page);
		page->reserved = false;
		if (page->durable != NULL)
			page->cached = sim_allocate(SIM_PAGE_SIZE);
		settle(inode, page, before);
	}
	return ERR_OK;
}

enum err sim_inode_truncate(struct sim_inode *inode, uint64_t size)
{
	enum err err = ERR_OK;

	if (size > SIM_FILE_SIZE_LIMIT)
		return err_from_errno(EFBIG);
	if (size <= inode->size)
		err = cut_cached(inode, size);
	if (err == ERR_OK)
		inode->size = size;
	return err;
}

/* The page in which the durable size lies shows nothing beyond it. */
static void zero_beyond_end(struct sim_inode *inode)
{
	size_t start = (size_t)(inode->durable_size % SIM_PAGE_SIZE);
	size_t index = (size_t)(inode->durable_size / SIM_PAGE_SIZE);

	if (start != 0 && index < inode->page_count && inode->pages[index].durable != NULL)
		memset(inode->pages[index].durable + start, 0, SIM_PAGE_SIZE - start);
}

/* After the cache's size became the disk's: frees all pages beyond it. */
static void trim(struct sim_inode *inode)
{
	size_t index = (size_t)((inode->durable_size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE);

	zero_beyond_end(inode);
	for (; index < inode->page_count; index++) {
		struct sim_page *page = &inode->pages[index];
		bool before = page_occupies(page);

		sim_free(page->durable);
		page->durable = NULL;
		page->unreadable = false;
		page_drop_cached(page);
		settle(inode, page, before);
	}
}

static void page_replace_durable(struct sim_page *page, const uint8_t *bytes)
{
	if (page->durable == NULL)
		page->durable = sim_allocate(SIM_PAGE_SIZE);
	memcpy(page->durable, bytes, SIM_PAGE_SIZE);
	page->unreadable = false;
}

static void page_flush(struct sim_inode *inode, struct sim_page *page)
{
	bool before = page_occupies(page);

	page_replace_durable(page, page->cached);
	page_drop_cached(page);
	settle(inode, page, before);
}

void sim_inode_sync(struct sim_inode *inode)
{
	for (size_t i = 0; i < inode->page_count; i++) {
		struct sim_page *page = &inode->pages[i];

		if (page_is_dirty(page))
			page_flush(inode, page);
		page->reserved_durable = page->reserved;
	}
	inode->durable_size = inode->size;
	trim(inode);
}

void sim_inode_write_back(struct sim_inode *inode, struct sim_random *random)
{
	size_t dirty = 0, chosen;

	for (size_t i = 0; i < inode->page_count; i++)
		dirty += page_is_dirty(&inode->pages[i]);
	chosen = (size_t)sim_random_below(random, dirty);
	for (size_t i = 0; i < inode->page_count; i++) {
		if (page_is_dirty(&inode->pages[i]) && chosen-- == 0) {
			page_flush(inode, &inode->pages[i]);
			return;
		}
	}
}

/* One side of the tear from the cache, the other as it was. */
static void page_tear(struct sim_inode *inode, struct sim_page *page, struct sim_random *random)
{
	uint8_t mixed[SIM_PAGE_SIZE];
	bool before = page_occupies(page);
	size_t at = (1 + (size_t)sim_random_below(random, SIM_PAGE_SIZE / SIM_SECTOR_SIZE - 1)) *
		    SIM_SECTOR_SIZE;

	memset(mixed, 0, sizeof(mixed));
	if (page->durable != NULL)
		memcpy(mixed, page->durable, SIM_PAGE_SIZE);
	if (sim_random_below(random, 4) != 0)
		memcpy(mixed, page->cached, at);
	else
		memcpy(mixed + at, page->cached + at, SIM_PAGE_SIZE - at);
	page_replace_durable(page, mixed);
	page_drop_cached(page);
	settle(inode, page, before);
}

static void page_crash(struct sim_inode *inode, struct sim_page *page,
		       enum sim_crash_outcome outcome, struct sim_random *random)
{
	uint64_t fate = outcome == SIM_CRASH_KEEP_ALL	? 0
			: outcome == SIM_CRASH_DROP_ALL ? 1
							: sim_random_below(random, 3);
	bool before = page_occupies(page);

	if (page->stale)
		fate = 1;
	if (fate == 0) {
		page_flush(inode, page);
	} else if (fate == 1) {
		page_drop_cached(page);
		settle(inode, page, before);
	} else {
		page_tear(inode, page, random);
	}
}

/* The size that a crash leaves: the old one, the new one, or a page's end on the way. */
static uint64_t size_after_crash(const struct sim_inode *inode, enum sim_crash_outcome outcome,
				 struct sim_random *random)
{
	uint64_t pages;

	if (outcome == SIM_CRASH_DROP_ALL)
		return inode->durable_size;
	if (outcome == SIM_CRASH_KEEP_ALL || inode->size == inode->durable_size)
		return inode->size;
	switch (sim_random_below(random, 3)) {
	case 0:
		return inode->durable_size;
	case 1:
		return inode->size;
	default:
		if (inode->size < inode->durable_size)
			return inode->durable_size;
		pages = inode->size / SIM_PAGE_SIZE - inode->durable_size / SIM_PAGE_SIZE;
		if (pages == 0)
			return inode->size;
		return (inode->durable_size / SIM_PAGE_SIZE + 1 + sim_random_below(random, pages)) *
		       SIM_PAGE_SIZE;
	}
}

void sim_inode_crash(struct sim_inode *inode, enum sim_crash_outcome outcome,
		     struct sim_random *random)
{
	uint64_t size = size_after_crash(inode, outcome, random);

	for (size_t i = 0; i < inode->page_count; i++) {
		struct sim_page *page = &inode->pages[i];
		bool before = page_occupies(page);

		page->reserved =
			page->reserved_durable || (page->reserved && outcome == SIM_CRASH_KEEP_ALL);
		page->reserved_durable = page->reserved;
		settle(inode, page, before);
		if (page->cached != NULL)
			page_crash(inode, page, outcome, random);
	}
	inode->size = inode->durable_size = size;
	trim(inode);
}

/* ---- faults ---- */

static size_t dirty_pages(const struct sim_inode *inode)
{
	size_t count = 0;

	for (size_t i = 0; i < inode->page_count; i++)
		count += page_is_dirty(&inode->pages[i]);
	return count;
}

void sim_inode_lose_writes(struct sim_inode *inode, struct sim_random *random)
{
	size_t dirty = dirty_pages(inode);
	size_t first = (size_t)sim_random_below(random, dirty);
	size_t end = first + 1 + (size_t)sim_random_below(random, dirty - first);

	for (size_t i = 0, seen = 0; i < inode->page_count; i++) {
		struct sim_page *page = &inode->pages[i];
		bool before = page_occupies(page);

		if (!page_is_dirty(page))
			continue;
		if (seen >= first && seen < end)
			page_drop_cached(page);
		seen++;
		settle(inode, page, before);
	}
}

/* The n-th page that is not NULL in the chosen respect. */
static struct sim_page *nth_page(struct sim_inode *inode, bool dirty, size_t n)
{
	for (size_t i = 0; i < inode->page_count; i++) {
		struct sim_page *page = &inode->pages[i];

		if ((dirty ? page_is_dirty(page) : page->durable != NULL) && n-- == 0)
			return page;
	}
	return NULL;
}

void sim_inode_misdirect_write(struct sim_inode *inode, struct sim_inode *target,
			       struct sim_random *random)
{
	struct sim_page *page =
		nth_page(inode, true, (size_t)sim_random_below(random, dirty_pages(inode)));
	struct sim_page *hit = nth_page(
		target, false, (size_t)sim_random_below(random, sim_inode_durable_pages(target)));
	bool before;

	if (page == NULL)
		return;
	before = page_occupies(page);
	if (hit != NULL && hit != page)
		page_replace_durable(hit, page->cached);
	zero_beyond_end(target);
	page_drop_cached(page);
	settle(inode, page, before);
}

void sim_inode_fail_sync(struct sim_inode *inode, struct sim_random *random)
{
	bool shown = sim_random_below(random, 2) != 0;

	for (size_t i = 0; i < inode->page_count; i++) {
		struct sim_page *page = &inode->pages[i];
		uint8_t *written;

		if (!page_is_dirty(page))
			continue;
		written = sim_copy(page->cached, SIM_PAGE_SIZE);
		page_crash(inode, page, SIM_CRASH_RANDOM, random);
		if (shown) {
			bool before = page_occupies(page);

			page->cached = written;
			page->stale = true;
			settle(inode, page, before);
		} else {
			sim_free(written);
		}
	}
}

void sim_inode_make_unreadable(struct sim_inode *inode, uint64_t offset, uint64_t size)
{
	for (size_t i = (size_t)(offset / SIM_PAGE_SIZE);
	     i < inode->page_count && i * SIM_PAGE_SIZE < offset + size; i++)
		inode->pages[i].unreadable = inode->pages[i].durable != NULL;
}

size_t sim_inode_durable_pages(const struct sim_inode *inode)
{
	size_t count = 0;

	for (size_t i = 0; i < inode->page_count; i++)
		count += inode->pages[i].durable != NULL;
	return count;
}

void sim_inode_rot(struct sim_inode *inode, size_t n, struct sim_random *random)
{
	struct sim_page *page = nth_page(inode, false, n);
	uint64_t offset = (uint64_t)(page - inode->pages) * SIM_PAGE_SIZE;
	uint64_t flips = 1 + sim_random_below(random, 8), size;

	if (offset >= inode->durable_size)
		return;
	size = inode->durable_size - offset;
	if (size > SIM_PAGE_SIZE)
		size = SIM_PAGE_SIZE;
	while (flips-- != 0) {
		uint64_t bit = sim_random_below(random, size * 8);

		page->durable[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
