/* SPDX-License-Identifier: MPL-2.0 */
/*
 * replay - runs a fuzz target over every file of a folder, without a fuzzer.
 *
 * usage: replay_NAME FOLDER   Prints "N passed". A target that fails aborts the program; the
 * name of the input is the last thing printed before.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/memory.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In a block of its exact size, so that a sanitizer sees reads behind it. */
static int run(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *all = memory_allocate(INPUT_MAX), *exact = NULL;
	size_t size = 0;
	int failed = -1;

	if (file == NULL || all == NULL)
		goto out;
	size = fread(all, 1, INPUT_MAX, file);
	if (ferror(file) || size == INPUT_MAX)
		goto out;
	exact = memory_allocate(size);
	if (exact == NULL)
		goto out;
	if (size != 0)
		memcpy(exact, all, size);
	failed = LLVMFuzzerTestOneInput(exact, size);
out:
	memory_free(exact);
	memory_free(all);
	if (file != NULL)
		(void)fclose(file);
	return failed;
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;
	int passed = 0;

	if (count < 0) {
		(void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < count; i++) {
		char path[4096];

		(void)snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		(void)fprintf(stderr, "%s\n", path);
		if (run(path) == 0)
			passed++;
		free(entries[i]);
	}
	free(entries);
	printf("%d passed\n", passed);
	return passed == count && passed != 0 ? 0 : 1;
}
