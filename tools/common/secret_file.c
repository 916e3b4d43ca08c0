/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/common/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(char why[SECRET_FILE_WHY], const char *path, int failure)
{
	snprintf(why, SECRET_FILE_WHY, "%s: %s", path, strerror(failure));
	return err_from_errno(failure);
}

static int write_whole(int descriptor, struct bytes content)
{
	while (content.size != 0) {
		ssize_t written = write(descriptor, content.data, content.size);

		if (written < 0 && errno != EINTR)
			return errno;
		if (written > 0)
			content = bytes_slice(content, (size_t)written, content.size);
	}
	return 0;
}

/* So that the name is as durable as the content. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];
	int descriptor, failure;

	if (slash == NULL)
		snprintf(parent, sizeof(parent), ".");
	else
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
	descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return errno;
	failure = fsync(descriptor) == 0 ? 0 : errno;
	close(descriptor);
	return failure;
}

enum err secret_file_create(const char *path, unsigned mode, struct bytes content,
			    char why[SECRET_FILE_WHY])
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int failure;

	if (descriptor < 0)
		return fail(why, path, errno);
	failure = write_whole(descriptor, content);
	if (failure == 0 && (fchmod(descriptor, mode) != 0 || fsync(descriptor) != 0))
		failure = errno;
	close(descriptor);
	if (failure == 0)
		failure = sync_parent(path);
	if (failure == 0)
		return ERR_OK;
	unlink(path);
	return fail(why, path, failure);
}

static enum err check_private(int descriptor, const char *path, char why[SECRET_FILE_WHY])
{
	struct stat stat_of_file;

	if (fstat(descriptor, &stat_of_file) != 0)
		return fail(why, path, errno);
	if (!S_ISREG(stat_of_file.st_mode)) {
		snprintf(why, SECRET_FILE_WHY, "%s: not a file", path);
		return ERR_INVALID;
	}
	if ((stat_of_file.st_mode & 077) != 0) {
		snprintf(why, SECRET_FILE_WHY,
			 "%s: others may read this secret; if none has: chmod 600", path);
		return ERR_DENIED;
	}
	return ERR_OK;
}

static enum err read_whole(int descriptor, const char *path, struct buf *out,
			   char why[SECRET_FILE_WHY])
{
	uint8_t *room = buf_extend(out, SECRET_FILE_MAX + 1);
	size_t size = 0;
	ssize_t got = 1;

	if (room == NULL) {
		snprintf(why, SECRET_FILE_WHY, "%s: out of memory", path);
		return ERR_NOMEM;
	}
	while (got != 0 && size <= SECRET_FILE_MAX) {
		got = read(descriptor, room + size, SECRET_FILE_MAX + 1 - size);
		if (got < 0 && errno != EINTR)
			return fail(why, path, errno);
		if (got > 0)
			size += (size_t)got;
	}
	if (size > SECRET_FILE_MAX) {
		snprintf(why, SECRET_FILE_WHY, "%s: too long to be a key", path);
		return ERR_LIMIT;
	}
	out->size -= SECRET_FILE_MAX + 1 - size;
	return ERR_OK;
}

enum err secret_file_read(const char *path, struct buf *out, char why[SECRET_FILE_WHY])
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	enum err err;

	if (descriptor < 0)
		return fail(why, path, errno);
	err = check_private(descriptor, path, why);
	if (err == ERR_OK)
		err = read_whole(descriptor, path, out, why);
	close(descriptor);
	return err;
}
