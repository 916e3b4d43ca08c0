/* SPDX-License-Identifier: MPL-2.0 */
#include "net/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/memory.h"

struct env_file {
	int descriptor;
};

enum {
	/* Above it even a copy from the page cache is long enough to hold up the loop. */
	CACHED_READ_MAX = 256 * 1024,
	/* Parts handed to one pwritev(); the kernel's own limit is 1024. */
	VECTOR_MAX = 256,
};

static void count(atomic_uint_fast64_t *counter, uint64_t add)
{
	atomic_fetch_add_explicit(counter, add, memory_order_relaxed);
}

static enum err last_error(void)
{
	return err_from_errno(errno);
}

static void stat_convert(const struct stat *from, struct env_stat *to)
{
	*to = (struct env_stat){
		.size = (uint64_t)from->st_size,
		.allocated = (uint64_t)from->st_blocks * 512,
		.device = from->st_dev,
		.inode = from->st_ino,
		.link_count = (uint32_t)from->st_nlink,
		.is_directory = S_ISDIR(from->st_mode),
	};
}

/* ---- open, close ---- */

static enum err perform_open(struct env_io *io)
{
	int flags = O_CLOEXEC | (io->flags & ENV_OPEN_WRITE ? O_RDWR : O_RDONLY);
	struct env_file *file = memory_allocate(sizeof(*file));
	enum err err;

	if (file == NULL)
		return ERR_NOMEM;
	if (io->flags & ENV_OPEN_CREATE)
		flags |= O_CREAT;
	if (io->flags & ENV_OPEN_EXCLUSIVE)
		flags |= O_EXCL;
	file->descriptor = open(io->path, flags, 0600);
	if (file->descriptor < 0) {
		err = last_error();
		memory_free(file);
		return err;
	}
	if (io->flags & ENV_OPEN_LOCK && flock(file->descriptor, LOCK_EX | LOCK_NB) != 0) {
		err = last_error();
		close(file->descriptor);
		memory_free(file);
		return err;
	}
	io->file = file;
	return ERR_OK;
}

static enum err perform_close(struct env_io *io)
{
	int result = close(io->file->descriptor);

	memory_free(io->file);
	io->file = NULL;
	return result == 0 ? ERR_OK : last_error();
}

/* ---- read ---- */

/* ERR_UNAVAILABLE: RWF_NOWAIT was asked for and the rest is not in memory. */
static enum err read_some(struct env_io *io, int flags, size_t *done_size)
{
	while (*done_size < io->size) {
		struct iovec part = {io->buffer + *done_size, io->size - *done_size};
		ssize_t got = preadv2(io->file->descriptor, &part, 1,
				      (off_t)(io->offset + *done_size), flags);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return last_error();
		if (got == 0)
			break;
		*done_size += (size_t)got;
	}
	return ERR_OK;
}

static void read_succeeded(struct env_io *io, size_t done_size, struct files_counters *counters)
{
	io->err = ERR_OK;
	io->done_size = done_size;
	count(&counters->reads, 1);
	count(&counters->bytes_read, done_size);
}

static enum err perform_read(struct env_io *io, struct files_counters *counters)
{
	size_t done_size = 0;
	enum err err = read_some(io, 0, &done_size);

	if (err == ERR_OK)
		read_succeeded(io, done_size, counters);
	return err;
}

bool files_read_cached(struct env_io *io, struct files_counters *counters)
{
	size_t done_size = 0;

	/* Whatever the reason, the blocking read finds and reports it again. */
	if (io->size > CACHED_READ_MAX || read_some(io, RWF_NOWAIT, &done_size) != ERR_OK)
		return false;
	read_succeeded(io, done_size, counters);
	count(&counters->reads_cached, 1);
	return true;
}

/* ---- commit ---- */

static enum err write_vector(int descriptor, uint64_t offset, struct iovec *vector, int part_count,
			     struct files_counters *counters)
{
	while (part_count > 0) {
		ssize_t written;

		if (vector->iov_len == 0) {
			vector++;
			part_count--;
			continue;
		}
		written = pwritev(descriptor, vector, part_count, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? last_error() : ERR_IO;
		count(&counters->writes, 1);
		count(&counters->bytes_written, (uint64_t)written);
		offset += (uint64_t)written;
		for (size_t left = (size_t)written; left > 0;) {
			size_t step = left < vector->iov_len ? left : vector->iov_len;

			vector->iov_base = (uint8_t *)vector->iov_base + step;
			vector->iov_len -= step;
			left -= step;
			if (vector->iov_len == 0) {
				vector++;
				part_count--;
			}
		}
	}
	return ERR_OK;
}

/* pwritev() takes parts it never writes to as plain pointers. */
static void *without_const(const uint8_t *data)
{
	void *plain;

	memcpy(&plain, &data, sizeof(plain));
	return plain;
}

static enum err perform_write(const struct env_write *write, struct files_counters *counters)
{
	struct iovec vector[VECTOR_MAX];
	uint64_t offset = write->offset;

	for (size_t i = 0; i < write->part_count;) {
		uint64_t size = 0;
		int filled = 0;
		enum err err;

		for (; filled < VECTOR_MAX && i < write->part_count; filled++, i++) {
			const struct bytes *part = &write->parts[i];

			vector[filled] = (struct iovec){without_const(part->data), part->size};
			size += part->size;
		}
		err = write_vector(write->file->descriptor, offset, vector, filled, counters);
		if (err != ERR_OK)
			return err;
		offset += size;
	}
	return ERR_OK;
}

static enum err stat_path(const char *path, struct env_stat *out)
{
	struct stat result;

	if (stat(path, &result) != 0)
		return last_error();
	stat_convert(&result, out);
	return ERR_OK;
}

static enum err stat_file(const struct env_file *file, struct env_stat *out)
{
	struct stat result;

	if (fstat(file->descriptor, &result) != 0)
		return last_error();
	stat_convert(&result, out);
	return ERR_OK;
}

static enum err perform_commit(struct env_io *io, struct files_counters *counters)
{
	for (size_t i = 0; i < io->write_count; i++) {
		enum err err = perform_write(&io->writes[i], counters);

		if (err != ERR_OK)
			return err;
	}
	for (size_t i = 0; i < io->sync_count; i++) {
		count(&counters->syncs, 1);
		if (fdatasync(io->syncs[i]->descriptor) != 0)
			return last_error();
	}
	for (size_t i = 0; i < io->sync_count; i++) {
		struct env_stat stat;
		enum err err = stat_file(io->syncs[i], &stat);

		if (err != ERR_OK)
			return err;
		if (i == 0 || stat.link_count < io->stat.link_count)
			io->stat = stat;
	}
	return io->path != NULL ? stat_path(io->path, &io->path_stat) : ERR_OK;
}

/* ---- the rest ---- */

static enum err perform_stat(struct env_io *io)
{
	return io->file != NULL ? stat_file(io->file, &io->stat) : stat_path(io->path, &io->stat);
}

static enum err perform_allocate(struct env_io *io)
{
	int failure;

	if (io->size == 0)
		return ERR_OK;
	do
		failure = fallocate(io->file->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)io->offset,
				    (off_t)io->size);
	while (failure != 0 && errno == EINTR);
	/* A reservation that the file system does not know is an optimisation lost, no error. */
	return failure == 0 || errno == EOPNOTSUPP ? ERR_OK : last_error();
}

static enum err perform_truncate(struct env_io *io)
{
	int failure;

	do
		failure = ftruncate(io->file->descriptor, (off_t)io->size);
	while (failure != 0 && errno == EINTR);
	return failure == 0 ? ERR_OK : last_error();
}

/* A hint: whatever stays in memory is read from there. */
static enum err perform_forget(struct env_io *io)
{
	int failure = posix_fadvise(io->file->descriptor, (off_t)io->offset, (off_t)io->size,
				    POSIX_FADV_DONTNEED);

	return failure == 0 ? ERR_OK : err_from_errno(failure);
}

static enum err perform_sync_directory(struct env_io *io, struct files_counters *counters)
{
	int descriptor = open(io->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err err = ERR_OK;

	if (descriptor < 0)
		return last_error();
	count(&counters->syncs, 1);
	if (fsync(descriptor) != 0)
		err = last_error();
	close(descriptor);
	return err;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum err read_names(DIR *directory, struct buf *names, size_t *name_count)
{
	const struct dirent *entry;

	for (;;) {
		errno = 0;
		entry = readdir(directory);
		if (entry == NULL)
			break;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		buf_put(names, entry->d_name, strlen(entry->d_name) + 1);
		++*name_count;
	}
	return errno != 0 ? last_error() : names->err;
}

static enum err sort_names(struct buf *unsorted, size_t name_count, struct buf *sorted)
{
	char **order = memory_array(name_count, sizeof(*order));
	char *name = (char *)unsorted->data;

	if (order == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < name_count; i++) {
		order[i] = name;
		name += strlen(name) + 1;
	}
	qsort(order, name_count, sizeof(*order), compare_names);
	for (size_t i = 0; i < name_count; i++)
		buf_put(sorted, order[i], strlen(order[i]) + 1);
	memory_free(order);
	return sorted->err;
}

static enum err perform_list(struct env_io *io)
{
	struct buf unsorted = {0}, sorted = {0};
	size_t name_count = 0;
	DIR *directory = opendir(io->path);
	enum err err;

	if (directory == NULL)
		return last_error();
	err = read_names(directory, &unsorted, &name_count);
	if (err == ERR_OK && name_count != 0)
		err = sort_names(&unsorted, name_count, &sorted);
	if (err == ERR_OK)
		io->names = sorted;
	else
		buf_finish(&sorted);
	buf_finish(&unsorted);
	closedir(directory);
	return err;
}

static enum err perform_space(struct env_io *io)
{
	struct statvfs space;

	if (statvfs(io->path, &space) != 0)
		return last_error();
	io->space_total = (uint64_t)space.f_blocks * space.f_frsize;
	io->space_free = (uint64_t)space.f_bavail * space.f_frsize;
	return ERR_OK;
}

static enum err of_call(int result)
{
	return result == 0 ? ERR_OK : last_error();
}

static enum err perform(struct env_io *io, struct files_counters *counters)
{
	switch (io->kind) {
	case ENV_IO_OPEN:
		return perform_open(io);
	case ENV_IO_CLOSE:
		return perform_close(io);
	case ENV_IO_READ:
		return perform_read(io, counters);
	case ENV_IO_COMMIT:
		return perform_commit(io, counters);
	case ENV_IO_STAT:
		return perform_stat(io);
	case ENV_IO_ALLOCATE:
		return perform_allocate(io);
	case ENV_IO_TRUNCATE:
		return perform_truncate(io);
	case ENV_IO_FORGET:
		return perform_forget(io);
	case ENV_IO_SYNC_DIRECTORY:
		return perform_sync_directory(io, counters);
	case ENV_IO_MAKE_DIRECTORY:
		return of_call(mkdir(io->path, 0700));
	case ENV_IO_RENAME:
		return of_call(rename(io->path, io->to_path));
	case ENV_IO_UNLINK:
		return of_call(unlink(io->path));
	case ENV_IO_LIST:
		return perform_list(io);
	case ENV_IO_SPACE:
		return perform_space(io);
	}
	return ERR_INVALID;
}

void files_perform(struct env_io *io, struct files_counters *counters)
{
	io->err = perform(io, counters);
}
