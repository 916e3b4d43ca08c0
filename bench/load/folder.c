/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load/load.h"

static void each_file(const char *volume, const char *folder,
		      void (*visit)(const char *path, void *context), void *context)
{
	char path[600];
	struct dirent *entry;
	DIR *directory;

	(void)snprintf(path, sizeof(path), "%s/%s", volume, folder);
	directory = opendir(path);
	if (directory == NULL)
		load_die("%s: cannot be listed", path);
	while ((entry = readdir(directory)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", volume, folder, entry->d_name);
		visit(path, context);
	}
	closedir(directory);
}

static void add_size(const char *path, void *context)
{
	uint64_t *size = context;
	struct stat stat_of;

	if (stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode))
		*size += (uint64_t)stat_of.st_blocks * 512;
}

uint64_t folder_size(const char *volume, const char *folder)
{
	uint64_t size = 0;

	each_file(volume, folder, add_size, &size);
	return size;
}

static void forget(const char *path, void *context)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);

	(void)context;
	if (file < 0)
		return;
	/* What is not on the disk yet cannot be forgotten. */
	if (fdatasync(file) != 0 || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0)
		load_die("%s: cannot be dropped from memory", path);
	close(file);
}

void folder_forget(const char *volume, const char *folder)
{
	each_file(volume, folder, forget, NULL);
}

static void run_command(char *const *arguments)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		load_die("%s failed", arguments[0]);
}

/* exec's arguments are not const for reasons of history; nobody writes to them. */
static void run_on(const char *command, const char *option, const char *first, const char *second)
{
	char texts[4][600];
	char *arguments[5] = {NULL};
	const char *given[4] = {command, option, first, second};

	for (unsigned i = 0; i < 4 && given[i] != NULL; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "%s", given[i]);
		arguments[i] = texts[i];
	}
	run_command(arguments);
}

void folder_remove(const char *directory)
{
	run_on("rm", "-rf", directory, NULL);
}

void folder_copy(const char *from, const char *to)
{
	run_on("cp", "-a", from, to);
}
