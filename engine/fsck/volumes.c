/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Pass 0: which volumes there are. Afterwards every usable one is locked and
 * open over the overlay, where its superblock is whole.
 */
#include "engine/fsck/fsck_private.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/format/segment.h"
#include "engine/io.h"

static enum err refuse(struct fsck *fsck, const char *directory, enum err err, const char *what)
{
	snprintf(fsck->why, FSCK_DETAIL_SIZE, "%.200s: %s", directory, what);
	return err;
}

/* ---- who it is ---- */

/* What one file's header says. Fields that are not known stay. */
static WAITS void learn_from_segment(struct fsck *fsck, size_t volume, const char *name,
				     struct volume_identity *identity)
{
	struct segment_header header;
	struct buf bytes = {0};

	if (fsck_read(fsck, volume, name, &bytes) == ERR_OK && bytes.size >= SEGMENT_HEADER_SIZE &&
	    segment_header_decode(bytes.data, &header) == ERR_OK) {
		identity->cluster = header.cluster;
		identity->volume = header.volume;
		if (identity->created_ms == 0 || header.created_ms < identity->created_ms)
			identity->created_ms = header.created_ms;
	}
	buf_finish(&bytes);
}

static WAITS void learn_from_column(struct fsck *fsck, size_t volume, const char *name,
				    struct volume_identity *identity)
{
	struct column_header header;
	struct buf bytes = {0};
	enum column_kind kind;
	uint64_t set;
	uint8_t column;

	if (column_parse_name(strrchr(name, '/') + 1, &set, &column, &kind) == ERR_OK &&
	    fsck_read(fsck, volume, name, &bytes) == ERR_OK &&
	    column_header_find(bytes_slice(bytes_of_buf(&bytes), 0, LOG_HEADER_SIZE), set, column,
			       kind, &header) == ERR_OK) {
		identity->cluster = header.cluster;
		identity->node = header.node;
		if (id128_is_zero(identity->volume))
			identity->volume = header.members[header.column];
	}
	buf_finish(&bytes);
}

static WAITS enum err learn_from_files(struct fsck *fsck, size_t volume, const char *folder,
				       struct volume_identity *identity)
{
	char path[FSCK_PATH_SIZE];
	struct buf names = {0};
	enum err err;

	fsck_path(fsck, volume, folder, path);
	err = io_list(path, &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;
	     at += strlen((const char *)names.data + at) + 1) {
		snprintf(path, sizeof(path), "%s/%.200s", folder, (const char *)names.data + at);
		if (strcmp(folder, "journal") == 0)
			learn_from_segment(fsck, volume, path, identity);
		else
			learn_from_column(fsck, volume, path, identity);
	}
	buf_finish(&names);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* A column does not always say which node holds it: of a store of one node, any volume does. */
static void learn_node(const struct fsck *fsck, struct volume_identity *identity)
{
	for (size_t i = 0; i < fsck->volume_count && id128_is_zero(identity->node); i++)
		if (fsck->volumes[i].usable)
			identity->node = fsck->volumes[i].identity.node;
}

static WAITS enum err rebuild_superblock(struct fsck *fsck, size_t index)
{
	struct fsck_volume *volume = &fsck->volumes[index];
	struct superblock superblock = {.generation = 1};
	struct fsck_problem problem = fsck_problem_at(fsck, FSCK_SUPERBLOCK, index, "superblock");
	uint8_t both[SUPERBLOCK_SIZE];
	enum err err;

	err = learn_from_files(fsck, index, "journal", &superblock.identity);
	if (err == ERR_OK)
		err = learn_from_files(fsck, index, "columns", &superblock.identity);
	if (err != ERR_OK)
		return err;
	learn_node(fsck, &superblock.identity);
	if (id128_is_zero(superblock.identity.volume) || id128_is_zero(superblock.identity.node)) {
		problem.code = FSCK_SUPERBLOCK_UNKNOWN;
		(void)fsck_report(fsck, &problem, NULL);
		return ERR_OK;
	}
	fsck_problem_detail(&problem, "The zone label is forgotten");
	(void)fsck_report(fsck, &problem, &volume->superblock);
	superblock_encode(&superblock, both);
	volume->identity = superblock.identity;
	volume->generation = superblock.generation;
	volume->usable = true;
	return fsck_write(fsck, index, "superblock", bytes_make(both, sizeof(both)));
}

static WAITS enum err look_at_superblock(struct fsck *fsck, size_t index)
{
	struct fsck_volume *volume = &fsck->volumes[index];
	struct superblock superblock;
	struct buf bytes = {0};
	unsigned stale = 0;
	enum err err = fsck_read(fsck, index, "superblock", &bytes);

	if (err == ERR_OK && bytes.size < SUPERBLOCK_SIZE)
		buf_put_zeros(&bytes, SUPERBLOCK_SIZE - bytes.size);
	if (err == ERR_OK)
		err = bytes.err != ERR_OK ? bytes.err
					  : superblock_choose(bytes.data, &superblock, &stale);
	fsck_progress(fsck, "volumes", bytes.size);
	if (err == ERR_OK && bytes.size > SUPERBLOCK_SIZE)
		stale |= 1;
	buf_finish(&bytes);
	if (err == ERR_NEWER || (err == ERR_OK && superblock.read_only))
		return refuse(fsck, volume->directory, ERR_NEWER,
			      "written by a newer version; use that version's aerofsck");
	if (err != ERR_OK && err != ERR_CORRUPT && err != ERR_NOTFOUND && err != ERR_IO)
		return err;
	if (err != ERR_OK)
		return ERR_CORRUPT; /* once the others are known */
	volume->identity = superblock.identity;
	volume->generation = superblock.generation;
	volume->usable = true;
	if (stale != 0) {
		struct fsck_problem problem =
			fsck_problem_at(fsck, FSCK_SUPERBLOCK_COPY, index, "superblock");

		fsck_problem_place(&problem, (stale & 1) != 0 ? 0 : SUPERBLOCK_COPY_SIZE,
				   SUPERBLOCK_COPY_SIZE);
		(void)fsck_report(fsck, &problem, &volume->superblock);
	}
	return ERR_OK;
}

/* ---- which belong together ---- */

static enum err choose_cluster(struct fsck *fsck)
{
	size_t best = 0;

	fsck->cluster = fsck->options->cluster;
	for (size_t i = 0; id128_is_zero(fsck->options->cluster) && i < fsck->volume_count; i++) {
		size_t same = 0;

		for (size_t j = 0; j < fsck->volume_count; j++)
			same += fsck->volumes[i].usable && fsck->volumes[j].usable &&
				id128_equal(fsck->volumes[i].identity.cluster,
					    fsck->volumes[j].identity.cluster);
		if (same > best) {
			best = same;
			fsck->cluster = fsck->volumes[i].identity.cluster;
		}
	}
	for (size_t i = 0; i < fsck->volume_count; i++) {
		const struct fsck_volume *volume = &fsck->volumes[i];

		if (!volume->usable)
			continue;
		if (!id128_equal(volume->identity.cluster, fsck->cluster))
			return refuse(fsck, volume->directory, ERR_FOREIGN,
				      "belongs to another store than the other volumes");
		if (fsck_volume_index(fsck, volume->identity.volume) != i)
			return refuse(fsck, volume->directory, ERR_EXISTS,
				      "is a copy of another volume in the list");
	}
	return ERR_OK;
}

/* ---- folders, opening ---- */

static WAITS enum err require_folder(struct fsck *fsck, size_t index, const char *name)
{
	struct fsck_work work = {0};
	char path[FSCK_PATH_SIZE];
	struct env_stat stat;
	enum err err;

	fsck_path(fsck, index, name, path);
	err = io_stat(path, &stat);
	if (err != ERR_NOTFOUND)
		return err;
	struct fsck_problem problem = fsck_problem_at(fsck, FSCK_FOLDER_MISSING, index, name);

	if (fsck_report(fsck, &problem, &work)) {
		overlay_through(fsck->options->overlay, true);
		err = io_make_directory(path);
		if (err == ERR_OK)
			err = io_sync_directory(fsck->volumes[index].directory);
		overlay_through(fsck->options->overlay, false);
		if (err == ERR_OK)
			fsck_done(fsck, &work);
	} else {
		err = io_make_directory(path);
	}
	fsck_work_finish(&work);
	return err;
}

static WAITS enum err look_for_unfinished(struct fsck *fsck, size_t index)
{
	struct fsck_work work = {0};
	struct env_stat stat;
	char path[FSCK_PATH_SIZE];
	enum err err = ERR_OK;

	fsck_path(fsck, index, "superblock.new", path);
	if (io_stat(path, &stat) == ERR_OK) {
		struct fsck_problem problem =
			fsck_problem_at(fsck, FSCK_UNFINISHED_FILE, index, "superblock.new");

		if (fsck_report(fsck, &problem, &work)) {
			err = fsck_publish(fsck, index, "superblock.new", true);
			if (err == ERR_OK)
				fsck_done(fsck, &work);
		}
	}
	fsck_work_finish(&work);
	return err;
}

static WAITS enum err publish_superblock(struct fsck *fsck, size_t index)
{
	struct fsck_volume *volume = &fsck->volumes[index];
	struct superblock superblock = {.identity = volume->identity,
					.generation = volume->generation};
	uint8_t both[SUPERBLOCK_SIZE];
	enum err err;

	superblock_encode(&superblock, both);
	err = fsck_write(fsck, index, "superblock", bytes_make(both, sizeof(both)));
	if (err == ERR_OK && volume->superblock.wanted) {
		err = fsck_publish(fsck, index, "superblock", false);
		if (err == ERR_OK)
			fsck_done(fsck, &volume->superblock);
	}
	return err;
}

static WAITS enum err open_volume(struct fsck *fsck, size_t index)
{
	struct fsck_volume *volume = &fsck->volumes[index];
	char path[FSCK_PATH_SIZE];
	enum err err;

	if (!volume->usable) {
		fsck_path(fsck, index, "lock", path);
		err = io_open(path, ENV_OPEN_LOCK, &volume->lock);
		err = err == ERR_NOTFOUND ? ERR_OK : err;
	} else {
		err = volume_open(task_sched(), volume->directory, fsck->cluster, &volume->volume);
	}
	if (err == ERR_UNAVAILABLE)
		return refuse(fsck, volume->directory, err,
			      "in use by another process; stop aerod first");
	return err;
}

static WAITS enum err find_volume(struct fsck *fsck, size_t index)
{
	struct env_stat stat;
	struct fsck_problem problem = fsck_problem_at(fsck, FSCK_VOLUME_MISSING, index, "");
	enum err err = io_stat(fsck->volumes[index].directory, &stat);

	if (err == ERR_NOTFOUND || (err == ERR_OK && !stat.is_directory)) {
		(void)fsck_report(fsck, &problem, NULL);
		return ERR_OK;
	}
	fsck->volumes[index].present = err == ERR_OK;
	fsck->result->volumes += err == ERR_OK;
	return err;
}

static WAITS enum err add_up(struct fsck *fsck, size_t index, const char *folder)
{
	char path[FSCK_PATH_SIZE], name[FSCK_PATH_SIZE];
	struct buf names = {0};
	enum err err;

	fsck_path(fsck, index, folder, path);
	err = io_list(path, &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;
	     at += strlen((const char *)names.data + at) + 1) {
		struct env_stat stat;

		snprintf(name, sizeof(name), "%.700s/%.255s", path, (const char *)names.data + at);
		if (io_stat(name, &stat) == ERR_OK && !stat.is_directory)
			fsck->progress_total += stat.size;
	}
	buf_finish(&names);
	return ERR_OK;
}

static WAITS enum err prepare(struct fsck *fsck, size_t index)
{
	const struct fsck_volume *volume = &fsck->volumes[index];
	enum err err = open_volume(fsck, index);

	/* Written only now that the lock is held. */
	if (err == ERR_OK && volume->superblock.asked && !volume->superblock.done)
		err = publish_superblock(fsck, index);
	if (err == ERR_OK && volume->usable)
		err = require_folder(fsck, index, "columns");
	if (err == ERR_OK && volume->usable)
		err = require_folder(fsck, index, "journal");
	if (err == ERR_OK && volume->usable)
		err = look_for_unfinished(fsck, index);
	if (err == ERR_OK && volume->usable)
		err = fsck_load_known(fsck, index);
	if (err == ERR_OK && volume->usable && fsck->options->only == NULL) {
		err = add_up(fsck, index, "columns");
		if (err == ERR_OK)
			err = add_up(fsck, index, "journal");
	}
	return err;
}

enum err fsck_volumes(struct fsck *fsck)
{
	bool broken[FSCK_VOLUME_MAX] = {false};
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++) {
		err = find_volume(fsck, i);
		if (err == ERR_OK && fsck->volumes[i].present)
			err = look_at_superblock(fsck, i);
		broken[i] = err == ERR_CORRUPT;
		err = broken[i] ? ERR_OK : err;
	}
	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++)
		if (broken[i])
			err = rebuild_superblock(fsck, i);
	if (err == ERR_OK)
		err = choose_cluster(fsck);
	if (err == ERR_OK && fsck->result->volumes == 0)
		err = refuse(fsck, fsck->volume_count > 0 ? fsck->volumes[0].directory : "",
			     ERR_NOTFOUND, "not there, nor is any other volume");
	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++)
		if (fsck->volumes[i].present)
			err = prepare(fsck, i);
	return err;
}

void fsck_close_volumes(struct fsck *fsck)
{
	for (size_t i = 0; i < fsck->volume_count; i++) {
		if (fsck->volumes[i].volume != NULL)
			volume_close(&fsck->volumes[i].volume);
		io_close(&fsck->volumes[i].lock);
	}
}
