/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/io.h"

#include <string.h>

static void finished(struct env_io *io)
{
	group_leave(io->context);
}

/* Waits in a group because that wait is the one that nothing cuts short. */
static WAITS enum err perform(struct env_io *io)
{
	struct group ended = {0};

	/* A handle must go even when its owner was canceled. */
	if (io->kind != ENV_IO_CLOSE && task_canceled())
		return ERR_CANCELED;
	io->done = finished;
	io->context = &ended;
	group_enter(&ended);
	env_io(sched_env(task_sched()), io);
	group_wait(&ended);
	return io->err;
}

enum err io_open(const char *path, unsigned flags, struct env_file **out)
{
	struct env_io io = {.kind = ENV_IO_OPEN, .path = path, .flags = flags};
	enum err err = perform(&io);

	if (err == ERR_OK)
		*out = io.file;
	return err;
}

void io_close(struct env_file **file)
{
	struct env_io io = {.kind = ENV_IO_CLOSE, .file = *file};

	if (*file == NULL)
		return;
	*file = NULL;
	/* What matters was synced before; a failing close tells nothing more. */
	(void)perform(&io);
}

enum err io_read(struct env_file *file, uint64_t offset, void *buffer, size_t size,
		 size_t *read_size)
{
	struct env_io io = {.kind = ENV_IO_READ,
			    .file = file,
			    .offset = offset,
			    .buffer = buffer,
			    .size = size};
	enum err err = perform(&io);

	if (err == ERR_OK)
		*read_size = io.done_size;
	return err;
}

enum err io_read_exact(struct env_file *file, uint64_t offset, void *buffer, size_t size)
{
	size_t read_size;
	enum err err = io_read(file, offset, buffer, size, &read_size);

	if (err != ERR_OK)
		return err;
	return read_size == size ? ERR_OK : ERR_TORN;
}

enum err io_commit(const struct env_write *writes, size_t write_count,
		   struct env_file *const *syncs, size_t sync_count, struct env_stat *stat)
{
	struct env_io io = {.kind = ENV_IO_COMMIT,
			    .writes = writes,
			    .write_count = write_count,
			    .syncs = syncs,
			    .sync_count = sync_count};
	enum err err = perform(&io);

	if (err == ERR_OK && stat != NULL)
		*stat = io.stat;
	return err;
}

enum err io_write_sync(struct env_file *file, uint64_t offset, struct bytes bytes)
{
	const struct env_write write = {
		.file = file, .offset = offset, .parts = &bytes, .part_count = 1};

	return io_commit(&write, 1, &file, 1, NULL);
}

static WAITS enum err stat_of(const char *path, struct env_file *file, struct env_stat *out)
{
	struct env_io io = {.kind = ENV_IO_STAT, .path = path, .file = file};
	enum err err = perform(&io);

	if (err == ERR_OK)
		*out = io.stat;
	return err;
}

enum err io_stat(const char *path, struct env_stat *out)
{
	return stat_of(path, NULL, out);
}

enum err io_stat_file(struct env_file *file, struct env_stat *out)
{
	return stat_of(NULL, file, out);
}

enum err io_allocate(struct env_file *file, uint64_t offset, uint64_t size)
{
	struct env_io io = {.kind = ENV_IO_ALLOCATE, .file = file, .offset = offset, .size = size};

	return perform(&io);
}

enum err io_truncate(struct env_file *file, uint64_t size)
{
	struct env_io io = {.kind = ENV_IO_TRUNCATE, .file = file, .size = size};

	return perform(&io);
}

enum err io_forget(struct env_file *file, uint64_t offset, uint64_t size)
{
	struct env_io io = {.kind = ENV_IO_FORGET, .file = file, .offset = offset, .size = size};

	return perform(&io);
}

static WAITS enum err perform_path(enum env_io_kind kind, const char *path, const char *to_path)
{
	struct env_io io = {.kind = kind, .path = path, .to_path = to_path};

	return perform(&io);
}

enum err io_sync_directory(const char *path)
{
	return perform_path(ENV_IO_SYNC_DIRECTORY, path, NULL);
}

enum err io_make_directory(const char *path)
{
	return perform_path(ENV_IO_MAKE_DIRECTORY, path, NULL);
}

enum err io_rename(const char *path, const char *to_path)
{
	return perform_path(ENV_IO_RENAME, path, to_path);
}

enum err io_unlink(const char *path)
{
	return perform_path(ENV_IO_UNLINK, path, NULL);
}

enum err io_list(const char *path, struct buf *names)
{
	struct env_io io = {.kind = ENV_IO_LIST, .path = path};
	enum err err = perform(&io);

	if (err == ERR_OK) {
		buf_put_bytes(names, bytes_of_buf(&io.names));
		err = names->err;
	}
	buf_finish(&io.names);
	return err;
}

enum err io_space(const char *path, uint64_t *total, uint64_t *free_space)
{
	struct env_io io = {.kind = ENV_IO_SPACE, .path = path};
	enum err err = perform(&io);

	if (err == ERR_OK) {
		*total = io.space_total;
		*free_space = io.space_free;
	}
	return err;
}

enum err io_read_file(const char *path, size_t limit, struct buf *out)
{
	struct env_file *file = NULL;
	struct env_stat stat;
	size_t start = out->size, read_size;
	uint8_t *at;
	enum err err;

	err = io_open(path, 0, &file);
	if (err != ERR_OK)
		return err;
	err = io_stat_file(file, &stat);
	if (err != ERR_OK)
		goto out;
	if (stat.size > limit) {
		err = ERR_LIMIT;
		goto out;
	}
	at = buf_extend(out, (size_t)stat.size);
	if (at == NULL) {
		err = out->err;
		goto out;
	}
	err = io_read(file, 0, at, (size_t)stat.size, &read_size);
	out->size = err == ERR_OK ? start + read_size : start;
out:
	io_close(&file);
	return err;
}

static WAITS enum err write_new_file(const char *path, struct bytes content)
{
	struct env_file *file = NULL;
	enum err err;

	err = io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
	if (err != ERR_OK)
		return err;
	/* A crash may have left one under this name. */
	err = io_truncate(file, 0);
	if (err == ERR_OK)
		err = io_write_sync(file, 0, content);
	io_close(&file);
	return err;
}

static void put_directory(struct buf *out, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		buf_put_string(out, ".");
	else
		buf_put(out, path, slash == path ? 1 : (size_t)(slash - path));
	buf_put_u8(out, '\0');
}

enum err io_replace_file(const char *path, struct bytes content)
{
	struct buf temporary = {0}, directory = {0};
	enum err err;

	buf_put_string(&temporary, path);
	buf_put(&temporary, ".new", sizeof(".new"));
	put_directory(&directory, path);
	err = temporary.err != ERR_OK ? temporary.err : directory.err;
	if (err != ERR_OK)
		goto out;
	err = write_new_file((const char *)temporary.data, content);
	if (err == ERR_OK)
		err = io_rename((const char *)temporary.data, path);
	if (err != ERR_OK) {
		/* Best effort: the next attempt starts by emptying it anyway. */
		enum err ignored = io_unlink((const char *)temporary.data);

		(void)ignored;
		goto out;
	}
	err = io_sync_directory((const char *)directory.data);
out:
	buf_finish(&temporary);
	buf_finish(&directory);
	return err;
}
