/* SPDX-License-Identifier: MPL-2.0 */
#include "net/random.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "engine/base/memory.h"

enum { MAPPING_SIZE = 4096 };

struct random_page {
	size_t left; /* unused bytes, at the end; 0 after a fork */
	uint8_t bytes[MAPPING_SIZE - sizeof(size_t)];
};

enum err random_page_create(struct random_page **out)
{
	struct random_page *page = mmap(NULL, MAPPING_SIZE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return ERR_NOMEM;
	if (madvise(page, MAPPING_SIZE, MADV_WIPEONFORK) != 0 ||
	    madvise(page, MAPPING_SIZE, MADV_DONTDUMP) != 0) {
		munmap(page, MAPPING_SIZE);
		return ERR_UNAVAILABLE;
	}
	/* Keeps unused bytes out of swap; without the privilege they may go there. */
	(void)mlock(page, MAPPING_SIZE);
	*out = page;
	return ERR_OK;
}

void random_page_destroy(struct random_page **page)
{
	if (*page == NULL)
		return;
	memory_wipe(*page, MAPPING_SIZE);
	munmap(*page, MAPPING_SIZE);
	*page = NULL;
}

static void from_kernel(uint8_t *out, size_t size)
{
	while (size > 0) {
		ssize_t got = getrandom(out, size, 0);

		if (got > 0) {
			out += got;
			size -= (size_t)got;
		} else if (errno != EINTR) {
			/* To go on without would be to hand out guessable keys. */
			abort();
		}
	}
}

void random_page_get(struct random_page *page, void *out, size_t size)
{
	uint8_t *from;

	if (size > sizeof(page->bytes)) {
		from_kernel(out, size);
		return;
	}
	if (page->left < size) {
		from_kernel(page->bytes, sizeof(page->bytes));
		page->left = sizeof(page->bytes);
	}
	from = page->bytes + sizeof(page->bytes) - page->left;
	memcpy(out, from, size);
	memory_wipe(from, size);
	page->left -= size;
}
