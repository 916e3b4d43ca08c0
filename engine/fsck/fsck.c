/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/fsck_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/io.h"

#define PROBLEM_MAX 100000u
#define FILE_SIZE_MAX ((uint64_t)4 << 30)

static const struct fsck_code_info infos[] = {
#define X(code, name, severity, safe, message, question)                                           \
	{#code, #name, FSCK_##severity, safe, message, question},
	FSCK_PROBLEMS(X)
#undef X
};

const struct fsck_code_info *fsck_code_info(enum fsck_code code)
{
	return &infos[code];
}

const char *fsck_severity_name(enum fsck_severity severity)
{
	static const char *const names[] = {
		[FSCK_NOTE] = "note", [FSCK_ERROR] = "error", [FSCK_LOSS] = "loss"};

	return names[severity];
}

/* ---- problems ---- */

void fsck_path(const struct fsck *fsck, size_t volume, const char *name, char out[FSCK_PATH_SIZE])
{
	const char *directory = fsck->volumes[volume].directory;

	if (*name == '\0')
		snprintf(out, FSCK_PATH_SIZE, "%s", directory);
	else
		snprintf(out, FSCK_PATH_SIZE, "%s/%s", directory, name);
}

struct fsck_problem fsck_problem_at(const struct fsck *fsck, enum fsck_code code, size_t volume,
				    const char *name)
{
	struct fsck_problem problem = {.code = code};

	if (name != NULL)
		fsck_path(fsck, volume, name, problem.file);
	return problem;
}

void fsck_problem_place(struct fsck_problem *problem, uint64_t offset, uint64_t size)
{
	problem->placed = true;
	problem->offset = offset;
	problem->size = size;
}

void fsck_problem_set(struct fsck_problem *problem, uint64_t set, uint8_t column)
{
	problem->has_set = true;
	problem->set = set;
	problem->column = column;
}

void fsck_problem_detail(struct fsck_problem *problem, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, arguments);
	va_end(arguments);
}

static bool default_answer(const struct fsck *fsck, enum fsck_code code)
{
	switch (fsck->options->mode) {
	case FSCK_NO:
		return false;
	case FSCK_SAFE:
	case FSCK_ASK:
		return infos[code].safe;
	case FSCK_YES:
		break;
	}
	return true;
}

/* The problem that this memory is too small for is the last one that is told. */
static struct fsck_problem *keep(struct fsck *fsck, const struct fsck_problem *problem)
{
	struct fsck_result *result = fsck->result;
	size_t capacity = fsck->problem_capacity == 0 ? 16 : 2 * fsck->problem_capacity;

	if (result->problem_count == fsck->problem_capacity) {
		struct fsck_problem *problems =
			capacity > PROBLEM_MAX
				? NULL
				: memory_resize(result->problems, capacity * sizeof(*problems));

		if (problems == NULL) {
			fsck->err = ERR_NOMEM;
			return NULL;
		}
		result->problems = problems;
		fsck->problem_capacity = capacity;
	}
	result->problems[result->problem_count] = *problem;
	return &result->problems[result->problem_count++];
}

static void attach(struct fsck *fsck, struct fsck_work *work, size_t problem)
{
	size_t *problems =
		memory_resize(work->problems, (work->problem_count + 1) * sizeof(*problems));

	if (problems == NULL) {
		fsck->err = ERR_NOMEM;
		return;
	}
	work->problems = problems;
	problems[work->problem_count++] = problem;
}

bool fsck_report(struct fsck *fsck, const struct fsck_problem *problem, struct fsck_work *work)
{
	const struct fsck_options *options = fsck->options;
	bool note = infos[problem->code].question != NULL &&
		    strcmp(infos[problem->code].question, FSCK_TAKE_NOTE) == 0;
	struct fsck_problem *kept;
	bool wanted;

	if (note && fsck_is_known(fsck, problem)) {
		fsck->result->known++;
		return false;
	}
	kept = keep(fsck, problem);
	if (kept == NULL)
		return false;
	if (note) {
		wanted = default_answer(fsck, problem->code);
		if (options->found != NULL)
			wanted = options->found(options->context, kept, wanted);
		kept->decided = wanted;
		return false;
	}
	if (work == NULL || infos[problem->code].question == NULL) {
		if (options->found != NULL)
			(void)options->found(options->context, kept, false);
		return false;
	}
	wanted = work->asked ? work->wanted : default_answer(fsck, problem->code);
	kept->decided = work->asked;
	if (options->found != NULL && !work->asked)
		wanted = options->found(options->context, kept, wanted);
	else if (options->found != NULL)
		(void)options->found(options->context, kept, wanted);
	kept->decided = wanted;
	/* What is not safe is not done in passing, because of something safe in the same file. */
	if (options->mode == FSCK_SAFE && !infos[problem->code].safe)
		work->wanted = false;
	else if (!work->asked)
		work->wanted = wanted;
	work->asked = true;
	attach(fsck, work, (size_t)(kept - fsck->result->problems));
	return work->wanted;
}

void fsck_done(struct fsck *fsck, struct fsck_work *work)
{
	work->done = true;
	for (size_t i = 0; i < work->problem_count; i++)
		fsck->result->problems[work->problems[i]].fixed = true;
}

void fsck_work_finish(struct fsck_work *work)
{
	memory_free(work->problems);
	*work = (struct fsck_work){0};
}

void fsck_progress(struct fsck *fsck, const char *what, uint64_t add)
{
	const struct fsck_options *options = fsck->options;

	fsck->progress_done += add;
	fsck->result->bytes += add;
	if (options->progress != NULL)
		options->progress(options->context, what, fsck->progress_done,
				  fsck->progress_total);
}

/* ---- files ---- */

bool fsck_looks_at(const struct fsck *fsck, size_t volume, const char *name)
{
	char path[FSCK_PATH_SIZE];
	const char *only = fsck->options->only;
	const char *column = only != NULL ? strstr(only, "/columns/") : NULL;

	if (only == NULL)
		return true;
	if (strncmp(name, "columns/", 8) == 0)
		return column != NULL && strncmp(name + 8, column + 9, 16) == 0;
	if (strncmp(name, "journal", 7) == 0)
		return strstr(only, "/journal/") != NULL;
	fsck_path(fsck, volume, name, path);
	return strcmp(path, only) == 0;
}

enum err fsck_read(const struct fsck *fsck, size_t volume, const char *name, struct buf *out)
{
	char path[FSCK_PATH_SIZE];

	fsck_path(fsck, volume, name, path);
	return io_read_file(path, FILE_SIZE_MAX, out);
}

enum err fsck_write(const struct fsck *fsck, size_t volume, const char *name, struct bytes content)
{
	char path[FSCK_PATH_SIZE];
	struct env_file *file = NULL;
	enum err err;

	fsck_path(fsck, volume, name, path);
	err = io_open(path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file);
	if (err == ERR_OK)
		err = io_truncate(file, 0);
	if (err == ERR_OK)
		err = io_write_sync(file, 0, content);
	io_close(&file);
	return err;
}

size_t fsck_volume_index(const struct fsck *fsck, struct id128 volume)
{
	size_t index = 0;

	while (index < fsck->volume_count &&
	       !(fsck->volumes[index].usable &&
		 id128_equal(fsck->volumes[index].identity.volume, volume)))
		index++;
	return index;
}

/* ---- life ---- */

static void free_all(struct map *map)
{
	size_t position = 0;
	void *value;

	while ((value = map_next(map, &position, NULL)) != NULL)
		memory_free(value);
	map_finish(map);
}

static void start(struct fsck *fsck)
{
	map_init(&fsck->pieces, FSCK_PIECE_KEY);
	map_init(&fsck->streams, sizeof(struct id128));
	map_init(&fsck->directory, sizeof(uint64_t));
	map_init(&fsck->entering, sizeof(uint64_t));
	map_init(&fsck->known, sizeof(uint64_t));
	map_init(&fsck->addresses, sizeof(struct id128));
	map_init(&fsck->blobs, sizeof(struct id128));
	for (size_t i = 0; i < fsck->options->volume_count; i++) {
		fsck->volumes[i].directory = fsck->options->volumes[i];
		map_init(&fsck->volumes[i].streams, sizeof(struct id128));
	}
	fsck->volume_count = fsck->options->volume_count;
}

struct directory_record *fsck_directory_record(struct map *map, uint64_t set)
{
	struct directory_record *record = map_get(map, &set);

	if (record != NULL)
		return record;
	record = memory_allocate(sizeof(*record));
	if (record == NULL)
		return NULL;
	record->set = set;
	if (map_put(map, &set, record) == ERR_OK)
		return record;
	memory_free(record);
	return NULL;
}

enum err fsck_enter(struct fsck *fsck, const struct fsck_set *set,
		    const struct column_header *header)
{
	struct hash128 seal = set->sealed ? set->certificate.seal : (struct hash128){0, 0};
	struct directory_record *record = fsck_directory_record(&fsck->entering, header->set);

	fsck->settle.asked = fsck->settle.wanted = true;
	return record != NULL ? directory_record_learn(record, header, seal) : ERR_NOMEM;
}

static void finish_directory(struct map *map)
{
	struct directory_record *record;
	size_t position = 0;

	while ((record = map_next(map, &position, NULL)) != NULL) {
		directory_record_finish(record);
		memory_free(record);
	}
	map_finish(map);
}

static WAITS void finish(struct fsck *fsck)
{
	for (size_t i = 0; i < fsck->set_count; i++)
		fsck_set_destroy(fsck->sets[i]);
	memory_free(fsck->sets);
	for (size_t i = 0; i < fsck->volume_count; i++) {
		fsck_streams_finish(&fsck->volumes[i].streams);
		marks_finish(&fsck->volumes[i].marks);
		fsck_work_finish(&fsck->volumes[i].superblock);
	}
	fsck_streams_finish(&fsck->streams);
	finish_directory(&fsck->directory);
	finish_directory(&fsck->entering);
	map_finish(&fsck->known);
	map_finish(&fsck->pieces);
	free_all(&fsck->addresses);
	free_all(&fsck->blobs);
	memory_free(fsck->uses);
	buf_finish(&fsck->references);
	fsck_work_finish(&fsck->settle);
	fsck_close_volumes(fsck);
}

static WAITS enum err run_passes(struct fsck *fsck)
{
	enum err err = fsck_volumes(fsck);

	if (err == ERR_OK)
		err = fsck_columns(fsck);
	if (err == ERR_OK)
		err = fsck_segments(fsck);
	if (err == ERR_OK)
		err = fsck_sets(fsck);
	if (err == ERR_OK)
		err = fsck_tables(fsck);
	if (err == ERR_OK)
		err = fsck_replicas(fsck);
	if (err == ERR_OK)
		err = fsck_reach(fsck);
	if (err == ERR_OK && fsck->settle.wanted)
		err = fsck_settle(fsck);
	if (err == ERR_OK)
		err = fsck_keep_known(fsck);
	return err == ERR_OK ? fsck->err : err;
}

enum err fsck_run(const struct fsck_options *options, struct fsck_result *result, char *why)
{
	struct fsck *fsck;
	enum err err;

	*why = '\0';
	*result = (struct fsck_result){0};
	if (options->volume_count > FSCK_VOLUME_MAX)
		return ERR_LIMIT;
	fsck = memory_allocate(sizeof(*fsck));
	if (fsck == NULL)
		return ERR_NOMEM;
	fsck->options = options;
	fsck->result = result;
	fsck->why = why;
	fsck->env = sched_env(task_sched());
	start(fsck);
	err = run_passes(fsck);
	finish(fsck);
	memory_free(fsck);
	return err;
}

void fsck_result_finish(struct fsck_result *result)
{
	memory_free(result->problems);
	*result = (struct fsck_result){0};
}
