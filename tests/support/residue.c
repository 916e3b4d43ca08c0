/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/residue.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/assert.h"

#define WINDOW_SIZE 65536u
#define OVERLAP 64u

/* Apart from everything else, so that the search can leave it out. */
static uint8_t *window;

static size_t count_in(size_t window_size, const uint8_t *masked, size_t size)
{
	size_t found = 0;

	for (size_t i = 0; i + size <= window_size; i++) {
		size_t equal = 0;

		while (equal < size && (window[i + equal] ^ RESIDUE_MASK) == masked[equal])
			equal++;
		found += equal == size;
	}
	return found;
}

/* The kernel copies, so that neither guard pages nor red zones are in the way. */
static size_t count_range(uintptr_t from, uintptr_t to, const uint8_t *masked, size_t size)
{
	size_t found = 0;

	while (from < to) {
		size_t part = to - from < WINDOW_SIZE ? to - from : WINDOW_SIZE;
		struct iovec local = {window, part}, remote = {(void *)from, part};
		ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

		if (got <= 0)
			break;
		found += count_in((size_t)got, masked, size);
		if ((size_t)got < WINDOW_SIZE)
			break;
		from += WINDOW_SIZE - (size - 1);
	}
	return found;
}

size_t residue_count(const uint8_t *masked, size_t size)
{
	unsigned long from, to;
	char line[512], rights[8];
	size_t found = 0;
	FILE *maps;

	ASSERT(size >= 8 && size <= OVERLAP);
	if (window == NULL)
		window = mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT(window != MAP_FAILED);
	maps = fopen("/proc/self/maps", "r");
	ASSERT(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[0] != 'r' ||
		    rights[1] != 'w' || to - from > (1ul << 32))
			continue;
		/* The kernel may have merged the window with its neighbours. */
		if ((uintptr_t)window >= from && (uintptr_t)window < to) {
			found += count_range(from, (uintptr_t)window, masked, size);
			from = (uintptr_t)window + WINDOW_SIZE;
		}
		found += count_range(from, to, masked, size);
	}
	fclose(maps);
	return found;
}
