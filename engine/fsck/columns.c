/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Pass 1, columns: which files make a set, and what each of them says of itself.
 *
 * A first look at headers and trailers finds the set's certificate; the files
 * are then read whole with it in hand, so that a sealed column whose trailer is
 * damaged is not taken for one that was never sealed.
 */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"

/* What a fault means here, and whether it is the column itself that is bad. */
static const struct {
	enum fsck_code code;
	bool body;
} meanings[COLUMN_FAULT_COUNT] = {
	[COLUMN_FAULT_HEADER_COPY] = {FSCK_COLUMN_HEADER_COPY, false},
	[COLUMN_FAULT_HEADER] = {FSCK_COLUMN_HEADER, true},
	[COLUMN_FAULT_ROTTEN] = {FSCK_RECORD_ROTTEN, true},
	[COLUMN_FAULT_MISDIRECTED] = {FSCK_RECORD_MISDIRECTED, true},
	[COLUMN_FAULT_LOST_WRITE] = {FSCK_RECORD_LOST_WRITE, true},
	[COLUMN_FAULT_PADDING] = {FSCK_RECORD_PADDING, true},
	[COLUMN_FAULT_UNREADABLE] = {FSCK_COLUMN_UNREADABLE, true},
	[COLUMN_FAULT_TAIL] = {FSCK_COLUMN_TAIL, true},
	[COLUMN_FAULT_STRANGE] = {FSCK_RECORD_STRANGE, true},
	[COLUMN_FAULT_PARITY] = {FSCK_PARITY_DAMAGED, true},
	[COLUMN_FAULT_CERTIFICATE] = {FSCK_COLUMN_CERTIFICATE, true},
	[COLUMN_FAULT_INDEX_PAGE] = {FSCK_INDEX_PAGE, false},
	[COLUMN_FAULT_INDEX] = {FSCK_INDEX_DAMAGED, false},
	[COLUMN_FAULT_TRAILER] = {FSCK_TRAILER_DAMAGED, false},
	[COLUMN_FAULT_LENGTH] = {FSCK_COLUMN_SHORT, true},
	[COLUMN_FAULT_BEYOND] = {FSCK_COLUMN_BEYOND, false},
};

/* ---- sets ---- */

void fsck_set_destroy(struct fsck_set *set)
{
	struct fsck_copy *copy;
	size_t position = 0;

	while ((copy = map_next(&set->copies, &position, NULL)) != NULL)
		memory_free(copy);
	map_finish(&set->copies);
	for (size_t i = 0; i < set->file_count; i++)
		fsck_work_finish(&set->files[i].work);
	memory_free(set->files);
	memory_free(set);
}

static struct fsck_set *find_set(struct fsck *fsck, uint64_t id)
{
	size_t at = 0;
	struct fsck_set **sets, *set;

	while (at < fsck->set_count && fsck->sets[at]->set < id)
		at++;
	if (at < fsck->set_count && fsck->sets[at]->set == id)
		return fsck->sets[at];
	sets = memory_resize(fsck->sets, (fsck->set_count + 1) * sizeof(struct fsck_set *));
	if (sets == NULL)
		return NULL;
	fsck->sets = sets;
	set = memory_allocate(sizeof(*set));
	if (set == NULL)
		return NULL;
	set->set = id;
	map_init(&set->copies, 9);
	memmove(&sets[at + 1], &sets[at], (fsck->set_count - at) * sizeof(struct fsck_set *));
	sets[at] = set;
	fsck->set_count++;
	return set;
}

static struct fsck_file *add_file(struct fsck_set *set)
{
	struct fsck_file *files = memory_resize(set->files, (set->file_count + 1) * sizeof(*files));

	if (files == NULL)
		return NULL;
	set->files = files;
	files[set->file_count] = (struct fsck_file){0};
	return &files[set->file_count++];
}

/* ---- the first look ---- */

static WAITS enum err open_file(struct fsck *fsck, const struct fsck_file *file,
				struct env_file **out)
{
	char path[FSCK_PATH_SIZE];

	fsck_path(fsck, file->volume, file->name, path);
	return io_open(path, 0, out);
}

static WAITS enum err look_at_ends(struct env_file *env_file, uint64_t set, struct fsck_file *file)
{
	uint8_t *bytes = memory_allocate(LOG_HEADER_SIZE);
	struct column_header other;
	struct env_stat stat;
	size_t size;
	enum err err = bytes != NULL ? ERR_OK : ERR_NOMEM;

	if (err == ERR_OK)
		err = io_stat_file(env_file, &stat);
	if (err == ERR_OK && io_read(env_file, 0, bytes, LOG_HEADER_SIZE, &size) == ERR_OK) {
		err = column_header_find(bytes_make(bytes, size), set, file->column, file->kind,
					 &file->header);
		file->has_header = err == ERR_OK;
		/* Either of the two: a later version may have been at work between them. */
		if (size == LOG_HEADER_SIZE &&
		    (column_header_decode(bytes, &other) == ERR_NEWER ||
		     column_header_decode(bytes + COLUMN_HEADER_COPY, &other) == ERR_NEWER))
			err = ERR_NEWER;
		if (err != ERR_NEWER)
			err = ERR_OK;
	}
	if (err == ERR_OK && stat.size >= LOG_HEADER_SIZE + COLUMN_TRAILER_SIZE &&
	    io_read_exact(env_file, stat.size - COLUMN_TRAILER_SIZE, bytes, COLUMN_TRAILER_SIZE) ==
		    ERR_OK) {
		err = column_trailer_decode(bytes, &file->trailer);
		file->has_trailer = err == ERR_OK && file->kind != COLUMN_MIRROR;
		if (err != ERR_NEWER)
			err = ERR_OK;
	}
	memory_free(bytes);
	return err;
}

static WAITS enum err look_at(struct fsck *fsck, size_t volume, const char *name)
{
	struct env_file *env_file = NULL;
	struct fsck_set *set;
	struct fsck_file *file;
	enum column_kind kind;
	uint64_t id;
	uint8_t column;
	enum err err;

	if (column_parse_name(name, &id, &column, &kind) != ERR_OK || column >= PROFILE_MEMBER_MAX)
		return ERR_OK;
	set = find_set(fsck, id);
	file = set != NULL ? add_file(set) : NULL;
	if (file == NULL)
		return ERR_NOMEM;
	file->volume = volume;
	file->column = column;
	file->kind = kind;
	column_name(id, column, kind, file->name);
	err = open_file(fsck, file, &env_file);
	if (err == ERR_OK)
		err = look_at_ends(env_file, id, file);
	io_close(&env_file);
	if (err == ERR_NEWER)
		snprintf(fsck->why, FSCK_DETAIL_SIZE,
			 "%.150s/%s: written by a newer version; use that version's aerofsck",
			 fsck->volumes[volume].directory, file->name);
	return err;
}

static WAITS enum err look_at_volume(struct fsck *fsck, size_t volume)
{
	char path[FSCK_PATH_SIZE];
	struct buf names = {0};
	enum err err;

	fsck_path(fsck, volume, "columns", path);
	err = io_list(path, &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;
		char full[FSCK_PATH_SIZE];

		at += strlen(name) + 1;
		snprintf(full, sizeof(full), "columns/%.255s", name);
		if (fsck_looks_at(fsck, volume, full))
			err = look_at(fsck, volume, name);
	}
	buf_finish(&names);
	return err;
}

/* ---- what the set is ---- */

static bool is_of(const struct fsck_set *set, const struct fsck_file *file)
{
	return file->has_header && file->header.set == set->set &&
	       file->header.column == file->column;
}

static size_t votes_for_header(const struct fsck_set *set, const struct fsck_file *file)
{
	size_t votes = 0;

	for (size_t i = 0; i < set->file_count; i++)
		votes += is_of(set, &set->files[i]) &&
			 id128_equal(set->files[i].header.uuid, file->header.uuid);
	return votes;
}

static bool trailer_fits(const struct fsck_set *set, const struct fsck_file *file)
{
	return file->has_trailer && file->trailer.set == set->set &&
	       file->trailer.column == file->column && file->trailer.kind == file->kind &&
	       (!set->has_header || id128_equal(file->trailer.uuid, set->header.uuid));
}

static bool same_certificate(const struct set_certificate *a, const struct set_certificate *b)
{
	unsigned members = profile_members(a->descriptor.profile);

	if (!hash128_equal(a->seal, b->seal))
		return false;
	for (unsigned i = 0; i < members; i++)
		if (!hash128_equal(a->file_hash[i], b->file_hash[i]))
			return false;
	return true;
}

static size_t votes_for_certificate(const struct fsck_set *set, const struct fsck_file *file)
{
	size_t votes = 0;

	for (size_t i = 0; i < set->file_count; i++)
		votes += trailer_fits(set, &set->files[i]) &&
			 same_certificate(&set->files[i].trailer.certificate,
					  &file->trailer.certificate);
	return votes;
}

static void report_of_set(struct fsck *fsck, enum fsck_code code, struct fsck_set *set,
			  struct fsck_file *file, const char *detail)
{
	struct fsck_problem problem = fsck_problem_at(fsck, code, file->volume, file->name);

	fsck_problem_set(&problem, set->set, file->column);
	fsck_problem_detail(&problem, "%s", detail);
	(void)fsck_report(fsck, &problem, &file->work);
}

static void choose_header(struct fsck *fsck, struct fsck_set *set)
{
	size_t best = 0;

	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];
		size_t votes = is_of(set, file) ? votes_for_header(set, file) : 0;

		if (votes > best) {
			best = votes;
			set->header = file->header;
			set->has_header = true;
		}
	}
	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (is_of(set, file) && !id128_equal(file->header.uuid, set->header.uuid)) {
			file->ignored = true;
			report_of_set(fsck, FSCK_SET_TWICE, set, file, "");
		}
	}
}

static void choose_certificate(struct fsck *fsck, struct fsck_set *set)
{
	size_t best = 0;

	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];
		size_t votes = !file->ignored && trailer_fits(set, file)
				       ? votes_for_certificate(set, file)
				       : 0;

		if (votes > best) {
			best = votes;
			set->certificate = file->trailer.certificate;
			set->sealed = true;
		}
	}
	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		if (!file->ignored && trailer_fits(set, file) &&
		    !same_certificate(&file->trailer.certificate, &set->certificate))
			report_of_set(fsck, FSCK_CERTIFICATES_DIFFER, set, file, "");
	}
}

/* Leftovers of a seal, and second copies, are not members. */
static void choose_members(struct fsck *fsck, struct fsck_set *set)
{
	for (size_t i = 0; i < set->file_count; i++) {
		struct fsck_file *file = &set->files[i];

		for (size_t j = 0; j < set->file_count && !file->ignored; j++) {
			const struct fsck_file *other = &set->files[j];
			bool placed = id128_equal(set->header.members[file->column],
						  fsck->volumes[file->volume].identity.volume);

			if (i == j || other->ignored || other->column != file->column)
				continue;
			if (other->volume == file->volume && file->kind == COLUMN_MIRROR &&
			    trailer_fits(set, other)) {
				file->ignored = true;
				report_of_set(fsck, FSCK_LEFTOVER, set, file,
					      "The mirror of a column that is sealed");
			} else if (other->volume == file->volume && file->kind == COLUMN_PARITY &&
				   !trailer_fits(set, file)) {
				/* Made again from the mirror beside it. */
				file->ignored = true;
			} else if (other->volume != file->volume && other->kind == file->kind &&
				   set->has_header && !placed) {
				file->ignored = true;
				report_of_set(fsck, FSCK_COLUMN_TWICE, set, file, "");
			}
		}
	}
}

/* ---- the whole file ---- */

struct visit {
	struct fsck *fsck;
	struct fsck_set *set;
	struct fsck_file *file;
	bool quiet;
};

void fsck_note_piece(struct fsck *fsck, const struct record *record)
{
	uint8_t key[FSCK_PIECE_KEY];
	struct fsck_blob *blob;

	store_u64(key, record->birth_set);
	memcpy(key + 8, record->id.octets, 16);
	store_u32(key + 24, record->piece);
	if (record->type != RECORD_BLOB || map_get(&fsck->pieces, key) != NULL)
		return;
	blob = map_get(&fsck->blobs, &record->id);
	if (blob == NULL) {
		blob = memory_allocate(sizeof(*blob));
		if (blob == NULL || map_put(&fsck->blobs, &record->id, blob) != ERR_OK) {
			memory_free(blob);
			fsck->err = ERR_NOMEM;
			return;
		}
	}
	blob->bytes += record->payload_size;
	if (map_put(&fsck->pieces, key, blob) != ERR_OK)
		fsck->err = ERR_NOMEM;
}

static enum err note_copy(struct visit *visit, const struct record *record)
{
	uint8_t key[9];
	struct fsck_copy *copy;

	key[0] = record->column;
	store_u64(key + 1, record->offset);
	copy = map_get(&visit->set->copies, key);
	if (copy == NULL) {
		copy = memory_allocate(sizeof(*copy));
		if (copy == NULL || map_put(&visit->set->copies, key, copy) != ERR_OK) {
			memory_free(copy);
			return ERR_NOMEM;
		}
		copy->column = record->column;
		copy->offset = record->offset;
		copy->running = record->running;
	}
	if (hash128_equal(copy->running, record->running))
		copy->holders |= 1u << visit->file->column;
	return ERR_OK;
}

static enum err take_record(void *context, const struct record *record, uint64_t offset,
			    struct bytes whole)
{
	struct visit *visit = context;

	(void)offset;
	(void)whole;
	visit->fsck->result->records++;
	/* What was not finished does not count: its predecessor is whole. */
	if (visit->set->sealed || !visit->set->has_header || !visit->set->header.born_sealed)
		fsck_note_piece(visit->fsck, record);
	if (!visit->set->sealed && (record->type == RECORD_BLOB || record->type == RECORD_LOST))
		return note_copy(visit, record);
	return ERR_OK;
}

static void describe(struct fsck_problem *problem, const struct column_fault_report *report)
{
	char id[33];

	if (report->named) {
		for (size_t i = 0; i < 16; i++)
			snprintf(id + 2 * i, 3, "%02x", report->id.octets[i]);
		fsck_problem_detail(problem, "It is piece %" PRIu32 " of blob %s in column %u",
				    report->piece, id, report->data_column);
	} else if (report->fault == COLUMN_FAULT_MISDIRECTED) {
		fsck_problem_detail(
			problem, "It belongs to set %016" PRIx64 ", column %u, offset %" PRIu64,
			report->foreign_set, report->foreign_column, report->foreign_offset);
	}
}

static void take_fault(void *context, const struct column_fault_report *report)
{
	struct visit *visit = context;
	struct fsck_file *file = visit->file;
	struct fsck_set *set = visit->set;
	struct fsck_problem problem = fsck_problem_at(visit->fsck, meanings[report->fault].code,
						      file->volume, file->name);

	bool header = report->fault == COLUMN_FAULT_HEADER_COPY ||
		      report->fault == COLUMN_FAULT_HEADER ||
		      (report->fault == COLUMN_FAULT_PADDING && report->offset < LOG_HEADER_SIZE);

	file->faults |= 1u << report->fault;
	file->body_bad |=
		meanings[report->fault].body && (!header || report->fault == COLUMN_FAULT_HEADER);
	if (visit->quiet)
		return;
	fsck_problem_set(&problem, set->set, file->column);
	fsck_problem_place(&problem, report->offset, report->size);
	describe(&problem, report);
	/* The copies of an unsealed set are evened out by the engine's own recovery. */
	if (set->sealed || header) {
		(void)fsck_report(visit->fsck, &problem, &file->work);
	} else {
		set->settle = true;
		(void)fsck_report(visit->fsck, &problem, &visit->fsck->settle);
	}
}

static enum err pace(void *context, uint64_t size)
{
	struct visit *visit = context;

	if (!visit->quiet)
		fsck_progress(visit->fsck, "columns", size);
	return visit->fsck->err;
}

enum err fsck_check_column(struct fsck *fsck, struct fsck_set *set, struct fsck_file *file,
			   bool quiet)
{
	struct visit visit = {fsck, set, file, quiet};
	struct env_file *env_file = NULL;
	const struct column_check_options options = {
		.set = set->set,
		.column = file->column,
		.kind = file->kind,
		.certificate =
			set->sealed && file->kind != COLUMN_MIRROR ? &set->certificate : NULL,
		.fault = take_fault,
		.record = take_record,
		.pace = pace,
		.context = &visit,
	};
	enum err err = open_file(fsck, file, &env_file);

	file->faults = 0;
	file->body_bad = false;
	if (err == ERR_OK)
		err = column_check(env_file, &options, &file->check);
	io_close(&env_file);
	return err;
}

static WAITS enum err check_set(struct fsck *fsck, struct fsck_set *set)
{
	enum err err = ERR_OK;

	choose_header(fsck, set);
	choose_certificate(fsck, set);
	choose_members(fsck, set);
	fsck->result->sets++;
	for (size_t i = 0; err == ERR_OK && i < set->file_count; i++) {
		fsck->result->columns++;
		if (!set->files[i].ignored)
			err = fsck_check_column(fsck, set, &set->files[i], false);
	}
	return err;
}

enum err fsck_columns(struct fsck *fsck)
{
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++)
		if (fsck->volumes[i].usable)
			err = look_at_volume(fsck, i);
	for (size_t i = 0; err == ERR_OK && i < fsck->set_count; i++)
		err = check_set(fsck, fsck->sets[i]);
	return err;
}
