/* SPDX-License-Identifier: MPL-2.0 */
/*
 * io - the env's file operations for tasks: post, wait, give the result.
 *
 * Thin on purpose. A wait here is not cut short by cancellation, because the
 * operation borrows the caller's memory; its result is the operation's own. In a
 * canceled task, or with a stopped env, they return ERR_CANCELED without touching
 * the disk; io_close() always closes. Paths are NUL-terminated.
 */
#ifndef AEROSTORE_ENGINE_IO_H
#define AEROSTORE_ENGINE_IO_H

#include "engine/task.h"

/* flags: enum env_open_flags. The handle is closed with io_close(). */
WAITS MUST_USE enum err io_open(const char *path, unsigned flags, struct env_file **out);
/* Closes and sets *file to NULL; harmless on NULL. */
WAITS void io_close(struct env_file **file);
/* Up to `size` bytes; *read_size is short only at the end of the file. */
WAITS MUST_USE enum err io_read(struct env_file *file, uint64_t offset, void *buffer, size_t size,
				size_t *read_size);
/* Exactly `size` bytes; ERR_TORN when the file ends before. */
WAITS MUST_USE enum err io_read_exact(struct env_file *file, uint64_t offset, void *buffer,
				      size_t size);
/* All writes, then a data sync of every file named in syncs. `stat` may be NULL. */
WAITS MUST_USE enum err io_commit(const struct env_write *writes, size_t write_count,
				  struct env_file *const *syncs, size_t sync_count,
				  struct env_stat *stat);
/* One write and its sync. */
WAITS MUST_USE enum err io_write_sync(struct env_file *file, uint64_t offset, struct bytes bytes);
WAITS MUST_USE enum err io_stat(const char *path, struct env_stat *out);
WAITS MUST_USE enum err io_stat_file(struct env_file *file, struct env_stat *out);
WAITS MUST_USE enum err io_allocate(struct env_file *file, uint64_t offset, uint64_t size);
WAITS MUST_USE enum err io_truncate(struct env_file *file, uint64_t size);
/* So that the next reads of that range say what the disk has, not what was once written to it. */
WAITS MUST_USE enum err io_forget(struct env_file *file, uint64_t offset, uint64_t size);
WAITS MUST_USE enum err io_sync_directory(const char *path);
WAITS MUST_USE enum err io_make_directory(const char *path);
WAITS MUST_USE enum err io_rename(const char *path, const char *to_path);
WAITS MUST_USE enum err io_unlink(const char *path);
/* Appends the names, each NUL-terminated, sorted, to `names`. */
WAITS MUST_USE enum err io_list(const char *path, struct buf *names);
WAITS MUST_USE enum err io_space(const char *path, uint64_t *total, uint64_t *free_space);
/* A whole small file, at most `limit` bytes (ERR_LIMIT). */
WAITS MUST_USE enum err io_read_file(const char *path, size_t limit, struct buf *out);
/*
 * Creates or replaces `path` atomically and durably: writes and syncs "<path>.new", renames it,
 * syncs the directory. One at a time for one path. After an error the old or the new file is there.
 */
WAITS MUST_USE enum err io_replace_file(const char *path, struct bytes content);

#endif
