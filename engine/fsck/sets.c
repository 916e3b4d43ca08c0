/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Pass 2: the members of each set against each other. A sealed set is mended
 * here, column by column; an unsealed one is left to the engine (settle.c),
 * whose rules say what may become of it.
 */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"

static struct fsck_problem problem_of(const struct fsck *fsck, enum fsck_code code,
				      const struct fsck_set *set, const struct fsck_file *file)
{
	struct fsck_problem problem = fsck_problem_at(fsck, code, file->volume, file->name);

	fsck_problem_set(&problem, set->set, file->column);
	return problem;
}

/* ---- members that are not there ---- */

static bool has_column(const struct fsck_set *set, unsigned column)
{
	for (size_t i = 0; i < set->file_count; i++)
		if (!set->files[i].ignored && set->files[i].column == column)
			return true;
	return false;
}

static enum err add_absent(struct fsck *fsck, struct fsck_set *set)
{
	struct profile profile = set->header.profile;

	for (uint8_t i = 0; set->has_header && i < profile_members(profile); i++) {
		size_t volume = fsck_volume_index(fsck, set->header.members[i]);
		struct fsck_file *files, *file;
		struct fsck_problem problem;

		if (volume == fsck->volume_count || has_column(set, i))
			continue;
		files = memory_resize(set->files, (set->file_count + 1) * sizeof(*files));
		if (files == NULL)
			return ERR_NOMEM;
		set->files = files;
		file = &files[set->file_count++];
		*file = (struct fsck_file){.volume = volume,
					   .column = i,
					   .kind = i < profile.k ? COLUMN_DATA
						   : set->sealed ? COLUMN_PARITY
								 : COLUMN_MIRROR,
					   .absent = true,
					   .body_bad = true};
		column_name(set->set, i, file->kind, file->name);
		problem = problem_of(fsck, FSCK_COLUMN_MISSING, set, file);
		set->settle |= !set->sealed;
		(void)fsck_report(fsck, &problem, set->sealed ? &file->work : &fsck->settle);
	}
	return ERR_OK;
}

/* ---- arithmetic ---- */

struct arithmetic {
	struct fsck *fsck;
	struct fsck_set *set;
	struct fsck_file *files[PROFILE_MEMBER_MAX];
	struct env_file *open[PROFILE_MEMBER_MAX];
};

static WAITS enum err read_range(void *context, uint8_t column, uint64_t offset, size_t size,
				 uint8_t *out)
{
	const struct arithmetic *arithmetic = context;
	const struct set_descriptor *descriptor = &arithmetic->set->certificate.descriptor;
	uint64_t length = column < descriptor->profile.k ? descriptor->length[column]
							 : set_descriptor_longest(descriptor);

	return set_check_read(arithmetic->open[column], length, offset, size, out);
}

static bool has_suspects(const struct arithmetic *arithmetic)
{
	for (unsigned i = 0; i < PROFILE_MEMBER_MAX; i++)
		if (arithmetic->files[i] != NULL && arithmetic->files[i]->body_bad)
			return true;
	return false;
}

static void deviation(void *context, uint64_t offset, size_t size, uint32_t columns,
		      uint32_t unread)
{
	struct arithmetic *arithmetic = context;
	unsigned k = arithmetic->set->certificate.descriptor.profile.k;
	bool named = columns != 0;
	struct fsck_problem problem;

	(void)unread;
	/* Data has checksums of its own, record by record; parity has what somebody voted for. */
	if (!named && !has_suspects(arithmetic))
		columns = UINT32_MAX << k;
	for (unsigned i = 0; i < PROFILE_MEMBER_MAX; i++) {
		struct fsck_file *file = arithmetic->files[i];

		/* What its own checksums have said already is no news. */
		if ((columns & 1u << i) == 0 || file == NULL || file->body_bad)
			continue;
		file->body_bad = true;
		problem = problem_of(arithmetic->fsck, FSCK_SET_ARITHMETIC, arithmetic->set, file);
		fsck_problem_place(&problem, LOG_HEADER_SIZE + offset, size);
		fsck_problem_detail(&problem, "%s",
				    named ? "This column is the odd one"
					  : "The data is what its checksums say, so that parity is "
					    "wrong");
		(void)fsck_report(arithmetic->fsck, &problem, &file->work);
	}
}

static WAITS enum err check_arithmetic(struct fsck *fsck, struct fsck_set *set)
{
	struct arithmetic arithmetic = {.fsck = fsck, .set = set};
	const struct set_descriptor *descriptor = &set->certificate.descriptor;
	struct set_check_options options = {.profile = descriptor->profile,
					    .size = set_descriptor_longest(descriptor),
					    .range = read_range,
					    .deviation = deviation,
					    .context = &arithmetic};
	unsigned members = profile_members(descriptor->profile), present = 0;
	char path[FSCK_PATH_SIZE];
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];
		uint8_t column = file->column;

		if (file->ignored || file->absent || column >= members ||
		    arithmetic.files[column] != NULL || file->kind == COLUMN_MIRROR)
			continue;
		fsck_path(fsck, file->volume, file->name, path);
		err = io_open(path, 0, &arithmetic.open[column]);
		arithmetic.files[column] = file;
		options.present |= 1u << column;
		options.suspects |= file->body_bad ? 1u << column : 0;
		present++;
	}
	if (err == ERR_OK && present > descriptor->profile.k)
		err = set_check(&options);
	for (unsigned i = 0; i < PROFILE_MEMBER_MAX; i++)
		io_close(&arithmetic.open[i]);
	return err;
}

/* ---- mending a sealed set ---- */

static bool wants_any(const struct fsck_set *set)
{
	for (size_t i = 0; i < set->file_count; i++)
		if (set->files[i].work.wanted && !set->files[i].work.done)
			return true;
	return false;
}

/* Whether every record is good where it lies: else it has to be computed to be told. */
static bool is_whole(const struct fsck_set *set)
{
	unsigned found = 0;

	for (size_t i = 0; i < set->file_count; i++)
		if (!set->files[i].ignored && set->files[i].kind != COLUMN_MIRROR) {
			if (set->files[i].body_bad)
				return false;
			found += set->files[i].column < set->certificate.descriptor.profile.k;
		}
	return found == set->certificate.descriptor.profile.k;
}

/* A column that got another tag is another placement. */
static enum err take_header(struct fsck *fsck, const struct fsck_set *set, struct fsck_file *file,
			    const struct column_header *header)
{
	bool fresh = !file->has_header || !id128_equal(file->header.tag, header->tag);

	file->header = *header;
	file->has_header = true;
	return fresh ? fsck_enter(fsck, set, header) : ERR_OK;
}

/* Writes one column anew, and believes it only when it reads without a fault. */
static WAITS enum err mend_column(struct rebuild *rebuild, struct fsck_file *file)
{
	struct fsck *fsck = rebuild->fsck;
	char name[COLUMN_NAME_SIZE];
	struct fsck_file fresh = *file;
	enum err err = rebuild_write(rebuild, file->column, file->volume);

	column_name(rebuild->set->set, file->column,
		    file->column < rebuild->set->header.profile.k ? COLUMN_DATA : COLUMN_PARITY,
		    name);
	memcpy(fresh.name, name, sizeof(name));
	fresh.kind = file->column < rebuild->set->header.profile.k ? COLUMN_DATA : COLUMN_PARITY;
	fresh.work = (struct fsck_work){0};
	if (err == ERR_OK)
		err = fsck_check_column(fsck, rebuild->set, &fresh, true);
	if (err != ERR_OK)
		return err;
	if (fresh.faults != 0)
		return ERR_OK;
	err = fsck_publish(fsck, file->volume, name, false);
	if (err == ERR_OK && file->kind == COLUMN_MIRROR)
		err = fsck_publish(fsck, file->volume, file->name, true);
	if (err == ERR_OK) {
		fsck_done(fsck, &file->work);
		err = take_header(fsck, rebuild->set, file, &fresh.check.header);
		memcpy(file->name, name, sizeof(name));
		file->kind = fresh.kind;
		file->absent = false;
	}
	return err;
}

static WAITS enum err mend_columns(struct rebuild *rebuild)
{
	struct fsck_set *set = rebuild->set;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (file->work.wanted && !file->work.done && !file->ignored &&
		    rebuild->good[file->column])
			err = mend_column(rebuild, file);
	}
	return err;
}

/* The successor's columns lie where the old ones did; false: not all of those volumes are here. */
static bool place_members(const struct rebuild *rebuild, size_t *volumes)
{
	const struct fsck *fsck = rebuild->fsck;

	for (unsigned i = 0; i < profile_members(rebuild->set->header.profile); i++) {
		volumes[i] = fsck_volume_index(fsck, rebuild->set->header.members[i]);
		if (volumes[i] == fsck->volume_count)
			return false;
	}
	return true;
}

static WAITS enum err put_set_aside(struct fsck *fsck, struct fsck_set *set)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (!file->absent)
			err = fsck_publish(fsck, file->volume, file->name, true);
		if (err == ERR_OK && file->work.wanted)
			fsck_done(fsck, &file->work);
	}
	return err;
}

static WAITS enum err mend_beyond(struct rebuild *rebuild)
{
	struct fsck *fsck = rebuild->fsck;
	struct fsck_set *set = rebuild->set;
	struct fsck_work work = {0};
	size_t volumes[PROFILE_MEMBER_MAX];
	struct fsck_problem problem = problem_of(fsck, FSCK_SET_BEYOND_REPAIR, set, &set->files[0]);
	enum err err = ERR_OK;

	fsck_problem_detail(&problem, "%" PRIu64 " of %" PRIu32 " records are lost", rebuild->lost,
			    rebuild->entries);
	if (fsck_report(fsck, &problem, &work) && place_members(rebuild, volumes)) {
		err = rebuild_write_successor(rebuild, volumes);
		if (err == ERR_OK)
			err = put_set_aside(fsck, set);
		if (err == ERR_OK)
			fsck_done(fsck, &work);
	}
	fsck_work_finish(&work);
	return err;
}

static bool all_data_good(const struct rebuild *rebuild)
{
	for (unsigned i = 0; i < rebuild->set->certificate.descriptor.profile.k; i++)
		if (!rebuild->good[i])
			return false;
	return true;
}

static bool parity_disagrees(const struct rebuild *rebuild)
{
	struct profile profile = rebuild->set->certificate.descriptor.profile;

	for (unsigned i = profile.k; i < profile_members(profile); i++)
		if (!rebuild->good[i])
			return true;
	return false;
}

/* Every file of the set gets the certificate that its columns agree on. */
static WAITS enum err mend_certificate(struct rebuild *rebuild)
{
	struct fsck *fsck = rebuild->fsck;
	struct fsck_set *set = rebuild->set;
	struct fsck_work work = {0};
	struct fsck_problem problem = problem_of(fsck, FSCK_SET_CHECKSUMS, set, &set->files[0]);
	enum err err = ERR_OK;

	if (fsck_report(fsck, &problem, &work)) {
		err = rebuild_recertify(rebuild);
		for (size_t i = 0; i < set->file_count; i++)
			set->files[i].work.wanted = !set->files[i].ignored;
		if (err == ERR_OK)
			err = mend_columns(rebuild);
		if (err == ERR_OK)
			fsck_done(fsck, &work);
	}
	fsck_work_finish(&work);
	return err;
}

static WAITS enum err mend_sealed(struct fsck *fsck, struct fsck_set *set)
{
	struct rebuild rebuild = {.fsck = fsck, .set = set};
	enum err err;

	if (!set->has_header || (is_whole(set) && !wants_any(set)))
		return ERR_OK;
	err = rebuild_load(&rebuild);
	if (err == ERR_OK &&
	    (rebuild.entries != 0 || set_descriptor_longest(&set->certificate.descriptor) == 0))
		err = rebuild_compute(&rebuild);
	if (err == ERR_OK && rebuild.lost != 0)
		err = mend_beyond(&rebuild);
	else if (err == ERR_OK && all_data_good(&rebuild) && parity_disagrees(&rebuild))
		err = mend_certificate(&rebuild);
	else if (err == ERR_OK)
		err = mend_columns(&rebuild);
	rebuild_finish(&rebuild);
	return err;
}

/* ---- unsealed sets ---- */

static bool keeps_copies_of(const struct fsck_set *set, const struct fsck_file *file,
			    uint8_t column)
{
	if (file->ignored || file->absent)
		return false;
	return file->kind == COLUMN_MIRROR ||
	       (file->kind == COLUMN_DATA && file->column == column && !set->sealed);
}

static void compare_copies(struct fsck *fsck, struct fsck_set *set)
{
	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];
		const struct fsck_copy *copy;
		size_t position = 0, lacking = 0;
		struct fsck_problem problem;

		while ((copy = map_next(&set->copies, &position, NULL)) != NULL)
			lacking += keeps_copies_of(set, file, copy->column) &&
				   (copy->holders & 1u << file->column) == 0;
		if (lacking == 0)
			continue;
		set->settle = true;
		problem = problem_of(fsck, FSCK_COPY_MISSING, set, file);
		fsck_problem_detail(&problem, "It lacks %zu records", lacking);
		(void)fsck_report(fsck, &problem, &fsck->settle);
	}
}

/* Only the header is written anew; what is behind it is as good as it was. */
static WAITS enum err mend_header(struct fsck *fsck, struct fsck_set *set, struct fsck_file *file)
{
	struct column_header header = set->header;
	struct buf old = {0}, fresh = {0};
	enum err err = fsck_read(fsck, file->volume, file->name, &old);

	if (file->has_header)
		header = file->header;
	else
		header.tag = env_random_id(fsck->env);
	header.kind = file->kind;
	header.column = file->column;
	column_header_put(&header, &fresh);
	if (err == ERR_OK) {
		buf_put_bytes(&fresh, bytes_slice(bytes_of_buf(&old), LOG_HEADER_SIZE, SIZE_MAX));
		err = fresh.err;
	}
	if (err == ERR_OK)
		err = fsck_write(fsck, file->volume, file->name, bytes_of_buf(&fresh));
	if (err == ERR_OK)
		err = fsck_publish(fsck, file->volume, file->name, false);
	if (err == ERR_OK) {
		fsck_done(fsck, &file->work);
		err = take_header(fsck, set, file, &header);
	}
	buf_finish(&old);
	buf_finish(&fresh);
	return err;
}

static void check_unfinished(struct fsck *fsck, struct fsck_set *set)
{
	set->settle = true;
	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_problem problem =
			problem_of(fsck, FSCK_SET_UNFINISHED, set, &set->files[i]);

		(void)fsck_report(fsck, &problem, &fsck->settle);
	}
}

static WAITS enum err check_unsealed(struct fsck *fsck, struct fsck_set *set)
{
	enum err err = ERR_OK;

	compare_copies(fsck, set);
	for (size_t i = 0; err == ERR_OK && set->has_header && i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (file->work.wanted && !file->ignored && !file->absent)
			err = mend_header(fsck, set, file);
	}
	return err;
}

/* ---- leftovers ---- */

static WAITS enum err put_ignored_aside(struct fsck *fsck, struct fsck_set *set)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (!file->ignored || !file->work.wanted || file->work.done)
			continue;
		err = fsck_publish(fsck, file->volume, file->name, true);
		if (err == ERR_OK)
			fsck_done(fsck, &file->work);
	}
	return err;
}

static WAITS enum err check_set(struct fsck *fsck, struct fsck_set *set)
{
	enum err err = put_ignored_aside(fsck, set);

	if (err == ERR_OK && !set->sealed && set->has_header && set->header.born_sealed) {
		check_unfinished(fsck, set);
		return ERR_OK;
	}
	if (err == ERR_OK)
		err = add_absent(fsck, set);
	if (err == ERR_OK && set->sealed)
		err = check_arithmetic(fsck, set);
	if (err == ERR_OK)
		err = set->sealed ? mend_sealed(fsck, set) : check_unsealed(fsck, set);
	return err;
}

enum err fsck_sets(struct fsck *fsck)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < fsck->set_count; i++)
		err = check_set(fsck, fsck->sets[i]);
	return err;
}
