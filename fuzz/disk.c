/* SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/disk.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/fsck/memory_index.h"

#define SPACE (1ull << 40)

static struct disk *disk_of(struct env *env)
{
	return (struct disk *)env;
}

static void put_soon(struct env *env, void (*run)(void *context), void *context)
{
	struct disk *disk = disk_of(env);
	size_t at = (disk->first + disk->count++) % DISK_SOON_MAX;

	ASSERT(disk->count <= DISK_SOON_MAX);
	disk->soon[at].run = run;
	disk->soon[at].context = context;
}

static struct env_file *find(struct disk *disk, const char *path)
{
	for (size_t i = 0; i < DISK_FILE_MAX; i++)
		if (disk->files[i].path != NULL && strcmp(disk->files[i].path, path) == 0)
			return &disk->files[i];
	return NULL;
}

/* ---- operations ---- */

static enum err open_file(struct disk *disk, struct env_io *io)
{
	io->file = find(disk, io->path);
	if (io->file == NULL)
		return ERR_NOTFOUND;
	io->file->opened++;
	return ERR_OK;
}

static bool is_readable(const struct env_file *file, uint64_t offset, uint64_t size)
{
	for (uint64_t page = offset / DISK_PAGE_SIZE; page * DISK_PAGE_SIZE < offset + size; page++)
		if (page < 64 && (file->unreadable >> page & 1) != 0)
			return false;
	return true;
}

static enum err read_file(struct env_io *io)
{
	struct bytes part;

	if (!is_readable(io->file, io->offset, io->size))
		return ERR_IO;
	part = bytes_slice(bytes_of_buf(&io->file->content), (size_t)io->offset, (size_t)io->size);
	if (part.size != 0)
		memcpy(io->buffer, part.data, part.size);
	io->done_size = part.size;
	return ERR_OK;
}

static void write_part(struct env_file *file, uint64_t offset, struct bytes part)
{
	if (file->content.size < offset + part.size)
		buf_put_zeros(&file->content, (size_t)(offset + part.size) - file->content.size);
	ASSERT(file->content.err == ERR_OK);
	if (part.size != 0)
		memcpy(file->content.data + offset, part.data, part.size);
}

static enum err commit(struct env_io *io)
{
	for (size_t i = 0; i < io->write_count; i++) {
		const struct env_write *write = &io->writes[i];
		uint64_t offset = write->offset;

		for (size_t j = 0; j < write->part_count; j++) {
			write_part(write->file, offset, write->parts[j]);
			offset += write->parts[j].size;
		}
	}
	io->stat.link_count = 1;
	return ERR_OK;
}

static enum err stat_file(struct disk *disk, struct env_io *io)
{
	const struct env_file *file = io->file != NULL ? io->file : find(disk, io->path);

	if (file == NULL)
		return ERR_NOTFOUND;
	io->stat = (struct env_stat){.size = file->content.size,
				     .allocated = file->content.size,
				     .device = 1,
				     .inode = file->number,
				     .link_count = 1};
	return ERR_OK;
}

static enum err perform(struct disk *disk, struct env_io *io)
{
	switch (io->kind) {
	case ENV_IO_OPEN:
		return open_file(disk, io);
	case ENV_IO_CLOSE:
		ASSERT(io->file->opened-- != 0);
		return ERR_OK;
	case ENV_IO_READ:
		return read_file(io);
	case ENV_IO_COMMIT:
		return commit(io);
	case ENV_IO_STAT:
		return stat_file(disk, io);
	case ENV_IO_SPACE:
		io->space_total = io->space_free = SPACE;
		return ERR_OK;
	case ENV_IO_FORGET:
		return ERR_OK;
	case ENV_IO_ALLOCATE:
	case ENV_IO_TRUNCATE:
	case ENV_IO_SYNC_DIRECTORY:
	case ENV_IO_MAKE_DIRECTORY:
	case ENV_IO_RENAME:
	case ENV_IO_UNLINK:
	case ENV_IO_LIST:
		break;
	}
	ASSERT(!"no decoder does this");
	return ERR_IO;
}

static void complete(void *context)
{
	struct env_io *io = context;

	io->done(io);
}

static void submit(struct env *env, struct env_io *io)
{
	io->err = perform(disk_of(env), io);
	put_soon(env, complete, io);
}

/* ---- the index ---- */

static enum err open_index(struct env *env, const char *path, struct env_index **out)
{
	(void)env;
	(void)path;
	return memory_index_create(out);
}

/* ---- the whole ---- */

void disk_init(struct disk *disk)
{
	unit_env_init(&disk->unit, 1);
	disk->ops = *disk->unit.env.ops;
	disk->ops.io = submit;
	disk->ops.soon = put_soon;
	disk->ops.index_open = open_index;
	disk->ops.index_close = memory_index_destroy;
	disk->ops.index_commit = memory_index_commit;
	disk->ops.index_get = memory_index_get;
	disk->ops.index_scan = memory_index_scan;
	disk->ops.index_clear = memory_index_clear;
	disk->unit.env.ops = &disk->ops;
	disk->sched = sched_create(&disk->unit.env);
	ASSERT(disk->sched != NULL);
}

struct env_file *disk_put(struct disk *disk, const char *path)
{
	struct env_file *file = find(disk, path);

	for (size_t i = 0; file == NULL && i < DISK_FILE_MAX; i++)
		if (disk->files[i].path == NULL)
			file = &disk->files[i];
	ASSERT(file != NULL && file->opened == 0);
	buf_clear(&file->content);
	file->path = path;
	file->unreadable = 0;
	file->number = (uint64_t)(file - disk->files) + 1;
	return file;
}

void disk_run(struct disk *disk, void (*run)(void *argument), void *argument)
{
	ASSERT(task_spawn(disk->sched, "target", run, argument, NULL) == ERR_OK);
	while (disk->count != 0) {
		size_t at = disk->first;

		disk->first = (disk->first + 1) % DISK_SOON_MAX;
		disk->count--;
		disk->soon[at].run(disk->soon[at].context);
	}
	ASSERT(sched_task_count(disk->sched) == 0);
	for (size_t i = 0; i < DISK_FILE_MAX; i++)
		ASSERT(disk->files[i].opened == 0);
}

void disk_clear(struct disk *disk)
{
	for (size_t i = 0; i < DISK_FILE_MAX; i++) {
		buf_finish(&disk->files[i].content);
		disk->files[i] = (struct env_file){0};
	}
}
