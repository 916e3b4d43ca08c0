/* SPDX-License-Identifier: MPL-2.0 */
/* Pass 3: the set directory that the journal holds against what the columns say. */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>

static bool report(struct fsck *fsck, enum fsck_code code, uint64_t set, const char *detail)
{
	struct fsck_problem problem = {.code = code, .has_set = true, .set = set};

	fsck_problem_detail(&problem, "%s", detail);
	return fsck_report(fsck, &problem, code == FSCK_DIRECTORY_SET ? &fsck->settle : NULL);
}

static enum err enter_all(struct fsck *fsck, const struct fsck_set *set)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++)
		if (set->files[i].has_header && !set->files[i].ignored && !set->files[i].absent)
			err = fsck_enter(fsck, set, &set->files[i].header);
	return err;
}

static bool has_placement(const struct directory_record *record, const struct fsck_file *file)
{
	struct directory_placement placement;

	for (uint32_t i = 0; i < record->placements.count; i++) {
		directory_get_placement(record, i, &placement);
		if (id128_equal(placement.tag, file->header.tag))
			return true;
	}
	return directory_is_removed(record, file->header.tag);
}

/* Made by this run. */
static bool is_entering(const struct fsck *fsck, const struct fsck_file *file)
{
	const struct directory_record *record = map_get(&fsck->entering, &file->header.set);

	return record != NULL && has_placement(record, file);
}

static enum err check_set(struct fsck *fsck, const struct fsck_set *set)
{
	const struct directory_record *record = map_get(&fsck->directory, &set->set);

	if (!set->has_header || (!set->sealed && set->header.born_sealed))
		return ERR_OK;
	if (record == NULL || !record->born)
		return report(fsck, FSCK_DIRECTORY_SET, set->set, "It does not know the set")
			       ? enter_all(fsck, set)
			       : ERR_OK;
	if (!id128_equal(record->birth.uuid, set->header.uuid))
		(void)report(fsck, FSCK_DIRECTORY_CONFLICT, set->set, "");
	for (size_t i = 0; i < set->file_count; i++) {
		const struct fsck_file *file = &set->files[i];
		char detail[64];

		if (file->ignored || file->absent || !file->has_header ||
		    has_placement(record, file) || is_entering(fsck, file))
			continue;
		snprintf(detail, sizeof(detail), "It does not know column %u", file->column);
		return report(fsck, FSCK_DIRECTORY_SET, set->set, detail) ? enter_all(fsck, set)
									  : ERR_OK;
	}
	return ERR_OK;
}

static bool has_files(const struct fsck *fsck, uint64_t set)
{
	for (size_t i = 0; i < fsck->set_count; i++)
		if (fsck->sets[i]->set == set)
			return true;
	return false;
}

/* A placement that nobody took back, on a volume that is here, and no file of the set anywhere. */
static bool is_gone(const struct fsck *fsck, const struct directory_record *record)
{
	struct directory_placement placement;

	if (record->successors.count != 0 || map_get(&fsck->entering, &record->set) != NULL ||
	    has_files(fsck, record->set))
		return false;
	for (uint32_t i = 0; i < record->placements.count; i++) {
		directory_get_placement(record, i, &placement);
		if (fsck_volume_index(fsck, placement.volume) == fsck->volume_count)
			return false;
	}
	return record->placements.count != 0;
}

enum err fsck_tables(struct fsck *fsck)
{
	const struct directory_record *record;
	size_t position = 0;
	enum err err = ERR_OK;

	if (fsck->options->only != NULL)
		return ERR_OK;
	for (size_t i = 0; err == ERR_OK && i < fsck->set_count; i++)
		err = fsck->options->rebuild_directory && fsck->options->mode != FSCK_NO
			      ? enter_all(fsck, fsck->sets[i])
			      : check_set(fsck, fsck->sets[i]);
	while ((record = map_next(&fsck->directory, &position, NULL)) != NULL) {
		if (directory_is_alarming(record))
			(void)report(fsck, FSCK_DIRECTORY_CONFLICT, record->set, "");
		if (is_gone(fsck, record))
			(void)report(fsck, FSCK_SET_GONE, record->set, "");
	}
	return err;
}
