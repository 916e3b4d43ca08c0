/* SPDX-License-Identifier: MPL-2.0 */
/*
 * From the overlay to the disks. The old file is renamed into "replaced", then
 * the new one into its place. A crash in between leaves the place empty, which
 * the next run finds as any missing file, with the old bytes still there.
 */
#include "engine/fsck/fsck_private.h"

#include <stdio.h>
#include <string.h>

#include "engine/io.h"

/* A name in the folder that nobody has yet. */
static WAITS enum err choose_name(const char *directory, const char *name, char out[FSCK_PATH_SIZE])
{
	const char *base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
	struct env_stat stat;
	enum err err = ERR_OK;

	for (unsigned i = 1; err == ERR_OK; i++) {
		snprintf(out, FSCK_PATH_SIZE, "%s/replaced/%u-%s", directory, i, base);
		err = io_stat(out, &stat);
	}
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static WAITS enum err sync_folder_of(const char *path)
{
	char folder[FSCK_PATH_SIZE];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash != NULL)
		*slash = '\0';
	return io_sync_directory(folder);
}

static WAITS enum err write_new(const char *path, struct bytes content)
{
	struct env_file *file = NULL;
	enum err err = io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);

	if (err == ERR_OK)
		err = io_truncate(file, 0);
	if (err == ERR_OK)
		err = io_write_sync(file, 0, content);
	io_close(&file);
	return err;
}

/* ERR_NOTFOUND: there is no old one. */
static WAITS enum err put_aside(const char *directory, const char *name, const char *path,
				char kept[FSCK_PATH_SIZE])
{
	char folder[FSCK_PATH_SIZE];
	struct env_stat stat;
	enum err err = io_stat(path, &stat);

	if (err != ERR_OK)
		return err;
	snprintf(folder, sizeof(folder), "%s/replaced", directory);
	err = io_make_directory(folder);
	if (err == ERR_OK)
		err = io_sync_directory(directory);
	else if (err == ERR_EXISTS)
		err = ERR_OK;
	if (err == ERR_OK)
		err = choose_name(directory, name, kept);
	if (err == ERR_OK)
		err = io_rename(path, kept);
	return err == ERR_OK ? io_sync_directory(folder) : err;
}

/* What was written as it was is no change. */
static WAITS bool is_same(const char *path, const struct buf *content)
{
	struct buf old = {0};
	bool same = io_read_file(path, content->size, &old) == ERR_OK &&
		    bytes_equal(bytes_of_buf(&old), bytes_of_buf(content));

	buf_finish(&old);
	return same;
}

static WAITS enum err exchange(struct fsck *fsck, size_t volume, const char *name,
			       const struct buf *content)
{
	const struct fsck_options *options = fsck->options;
	const char *directory = fsck->volumes[volume].directory;
	char path[FSCK_PATH_SIZE], fresh[FSCK_PATH_SIZE], kept[FSCK_PATH_SIZE] = "";
	enum err err = ERR_OK;

	fsck_path(fsck, volume, name, path);
	if (content != NULL && is_same(path, content))
		return ERR_OK;
	snprintf(fresh, sizeof(fresh), "%s/%s.new", directory, name);
	if (content != NULL)
		err = write_new(fresh, bytes_of_buf(content));
	if (err == ERR_OK)
		err = put_aside(directory, name, path, kept);
	if (err == ERR_NOTFOUND && content == NULL)
		return ERR_OK; /* made and removed within the overlay */
	if (err == ERR_NOTFOUND)
		err = ERR_OK;
	if (err == ERR_OK && content != NULL)
		err = io_rename(fresh, path);
	if (err == ERR_OK)
		err = sync_folder_of(path);
	if (err == ERR_OK && options->replaced != NULL)
		options->replaced(options->context, path, kept, content != NULL);
	return err;
}

enum err fsck_publish(struct fsck *fsck, size_t volume, const char *name, bool aside)
{
	struct overlay *overlay = fsck->options->overlay;
	struct buf content = {0};
	char path[FSCK_PATH_SIZE];
	enum err err = aside ? ERR_OK : fsck_read(fsck, volume, name, &content);

	if (err == ERR_OK) {
		overlay_through(overlay, true);
		err = exchange(fsck, volume, name, aside ? NULL : &content);
		overlay_through(overlay, false);
		fsck_path(fsck, volume, name, path);
		overlay_forget(overlay, path);
	}
	buf_finish(&content);
	return err;
}
