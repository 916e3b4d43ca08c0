/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Looks for records at every place where one could begin, in every file there
 * is: no superblock, header, index or name is needed to find what is intact.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/map.h"
#include "engine/format/record.h"
#include "engine/fsck/fsck.h"
#include "engine/io.h"

#define FILE_SIZE_MAX ((uint64_t)4 << 30)

struct salvage {
	const char *target;
	struct map seen; /* hash of the immutable part */
	struct buf manifest;
	uint64_t files;
};

static void put_hex(struct id128 id, char out[33])
{
	for (size_t i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", id.octets[i]);
}

/* Within the target; false: nothing to keep. */
static bool name_record(const struct record *record, char out[128])
{
	char id[33], tag[33], incarnation[33];

	put_hex(record->id, id);
	put_hex(record->tag, tag);
	put_hex(record->incarnation, incarnation);
	switch (record->type) {
	case RECORD_BLOB:
		if (record->piece == 0 && (record->flags & RECORD_LAST_PIECE) != 0)
			snprintf(out, 128, "blobs/%s", id);
		else
			snprintf(out, 128, "blobs/%s.%06" PRIu32 "%s", id, record->piece,
				 (record->flags & RECORD_LAST_PIECE) != 0 ? ".last" : "");
		return true;
	case RECORD_ENTRY:
		snprintf(out, 128, "journal/%s.%s.%" PRIu64, tag, incarnation, record->number);
		return true;
	case RECORD_MANIFEST:
		snprintf(out, 128, "journal/%s.%s.manifest", tag, id);
		return true;
	case RECORD_PAGE:
		snprintf(out, 128, "journal/%s.%s.page", tag, id);
		return true;
	default:
		return false;
	}
}

static WAITS enum err write_file(const char *path, struct bytes content)
{
	struct env_file *file = NULL;
	enum err err = io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);

	if (err == ERR_OK)
		err = io_write_sync(file, 0, content);
	io_close(&file);
	return err;
}

static WAITS enum err keep(struct salvage *salvage, const struct record *record, struct bytes whole,
			   const char *from, size_t at)
{
	struct hash128 name_hash = hash_128(whole.data, 96);
	char name[128], path[FSCK_PATH_SIZE];
	enum err err;

	if (!name_record(record, name) || map_get(&salvage->seen, &name_hash) != NULL)
		return ERR_OK;
	err = map_put(&salvage->seen, &name_hash, salvage);
	if (err != ERR_OK)
		return err;
	snprintf(path, sizeof(path), "%.800s/%s", salvage->target, name);
	err = write_file(path, bytes_slice(whole, RECORD_HEADER_SIZE, record->payload_size));
	buf_printf(&salvage->manifest,
		   "%s bytes=%" PRIu32 " birth-set=%016" PRIx64 " from=%s offset=%zu\n", name,
		   record->payload_size, record->birth_set, from, at);
	salvage->files++;
	return err == ERR_OK ? salvage->manifest.err : err;
}

/* A mirror's records are found within its own: the search does not step over what it finds. */
static WAITS enum err search(struct salvage *salvage, struct bytes file, const char *from)
{
	enum err err = ERR_OK;

	for (size_t at = 0; err == ERR_OK && at + RECORD_HEADER_SIZE <= file.size;
	     at += RECORD_ALIGN / 2) {
		struct bytes rest = bytes_slice(file, at, SIZE_MAX);
		struct record record;

		if (load_u32(rest.data) != RECORD_MAGIC ||
		    record_decode(rest.data, &record) != ERR_OK ||
		    record_check_payload(&record, bytes_slice(rest, RECORD_HEADER_SIZE,
							      record.payload_size)) != ERR_OK)
			continue;
		err = keep(salvage, &record,
			   bytes_slice(rest, 0, RECORD_HEADER_SIZE + (size_t)record.payload_size),
			   from, at);
	}
	return err;
}

static WAITS enum err salvage_folder(struct salvage *salvage, const char *directory,
				     const char *folder)
{
	char path[FSCK_PATH_SIZE], name[FSCK_PATH_SIZE];
	struct buf names = {0}, content = {0};
	enum err err;

	snprintf(path, sizeof(path), "%.800s/%s", directory, folder);
	err = io_list(path, &names);
	if (err == ERR_NOTFOUND)
		err = ERR_OK;
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *file = (const char *)names.data + at;

		at += strlen(file) + 1;
		snprintf(name, sizeof(name), "%.760s/%.255s", path, file);
		buf_clear(&content);
		/* What cannot be read is passed over: this is for disks that are dying. */
		if (io_read_file(name, FILE_SIZE_MAX, &content) == ERR_OK)
			err = search(salvage, bytes_of_buf(&content), name);
	}
	buf_finish(&names);
	buf_finish(&content);
	return err;
}

static WAITS enum err make_target(const char *target)
{
	static const char *const folders[] = {"blobs", "journal"};
	char path[FSCK_PATH_SIZE];
	enum err err = io_make_directory(target);

	for (size_t i = 0; err == ERR_OK && i < 2; i++) {
		snprintf(path, sizeof(path), "%.800s/%s", target, folders[i]);
		err = io_make_directory(path);
	}
	return err;
}

enum err fsck_salvage(const char *const *directories, size_t directory_count, const char *target,
		      uint64_t *files)
{
	struct salvage salvage = {.target = target};
	char path[FSCK_PATH_SIZE];
	enum err err = make_target(target);

	map_init(&salvage.seen, sizeof(struct hash128));
	for (size_t i = 0; err == ERR_OK && i < directory_count; i++) {
		err = salvage_folder(&salvage, directories[i], "columns");
		if (err == ERR_OK)
			err = salvage_folder(&salvage, directories[i], "journal");
	}
	snprintf(path, sizeof(path), "%.800s/manifest", target);
	if (err == ERR_OK)
		err = write_file(path, bytes_of_buf(&salvage.manifest));
	*files = salvage.files;
	map_finish(&salvage.seen);
	buf_finish(&salvage.manifest);
	return err;
}
