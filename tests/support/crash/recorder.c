/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/crash/recorder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/assert.h"
#include "net/files.h"
#include "net/index_lmdb.h"
#include "tests/sim/allocate.h"

#define RANDOM_STREAM 801
#define SCHEDULING_STREAM 802
#define WALL_START_MS 1767225600000u
#define OPERATION_US 100u
#define INDEX_MAP_SIZE (64u << 20)
#define PATH_SIZE 320u
/* Callbacks of one turn. */
#define SOON_MAX 256u

/* What is there now, as the running process sees it. */
struct recorder_entry {
	char *path;
	uint32_t file;
	bool is_directory;
};

/* An operation or a job under way. */
struct recorder_posted {
	struct env_io *io;
	struct env_job *job;
	uint64_t event;
	size_t first_effect, effect_count;
};

struct recorder_soon {
	void (*run)(void *context);
	void *context;
};

struct recorder_timer {
	struct env_timer *timer;
	uint64_t deadline_us, order;
};

/* The handle that the engine gets. */
struct env_file {
	struct env_file *inner;
	uint32_t file;
};

/* The same for an index. */
struct env_index {
	struct recorder *recorder;
	struct env_index *inner;
	char *path;
};

static struct recorder *recorder_of(struct env *env)
{
	return (struct recorder *)(void *)env;
}

/* ---- names ---- */

static struct recorder_entry *find_entry(const struct recorder *recorder, const char *path)
{
	for (size_t i = 0; i < recorder->entry_count; i++) {
		if (strcmp(recorder->entries[i].path, path) == 0)
			return &recorder->entries[i];
	}
	return NULL;
}

static void remove_entry(struct recorder *recorder, const char *path)
{
	struct recorder_entry *entry = find_entry(recorder, path);

	ASSERT(entry != NULL);
	sim_free(entry->path);
	*entry = recorder->entries[--recorder->entry_count];
}

static void add_entry(struct recorder *recorder, const char *path, uint32_t file, bool is_directory)
{
	recorder->entries = sim_grow(recorder->entries, recorder->entry_count,
				     &recorder->entry_capacity, sizeof(*recorder->entries));
	recorder->entries[recorder->entry_count++] =
		(struct recorder_entry){sim_copy_string(path), file, is_directory};
}

static bool lies_in(const char *path, const char *directory)
{
	size_t size = strlen(directory);

	return strncmp(path, directory, size) == 0 && path[size] == '/' &&
	       strchr(path + size + 1, '/') == NULL;
}

const char *recorder_file_path(const struct recorder *recorder, uint32_t file)
{
	for (size_t i = 0; i < recorder->effect_count; i++) {
		const struct effect *effect = &recorder->effects[i];

		if (effect->kind == EFFECT_CREATE && effect->file == file)
			return effect->path;
	}
	return NULL;
}

/* ---- effects ---- */

static struct effect *add_effect(struct recorder *recorder, enum effect_kind kind, uint32_t file)
{
	struct effect *effect;

	recorder->effects = sim_grow(recorder->effects, recorder->effect_count,
				     &recorder->effect_capacity, sizeof(*recorder->effects));
	effect = &recorder->effects[recorder->effect_count++];
	*effect = (struct effect){.kind = kind,
				  .file = file,
				  .posted = recorder->event,
				  .ended = RECORDER_NEVER,
				  .durable = RECORDER_NEVER,
				  .withdrawn = RECORDER_NEVER};
	return effect;
}

static void add_name_effect(struct recorder *recorder, enum effect_kind kind, uint32_t file,
			    const char *path, const char *to_path)
{
	struct effect *effect = add_effect(recorder, kind, file);

	effect->path = sim_copy_string(path);
	effect->to_path = to_path != NULL ? sim_copy_string(to_path) : NULL;
}

static void add_write_effect(struct recorder *recorder, const struct env_write *write)
{
	struct effect *effect = add_effect(recorder, EFFECT_WRITE, write->file->file);

	effect->offset = write->offset;
	for (size_t i = 0; i < write->part_count; i++)
		effect->size += write->parts[i].size;
	effect->data = sim_allocate(effect->size + 1);
	for (size_t i = 0, at = 0; i < write->part_count; at += write->parts[i++].size) {
		if (write->parts[i].size != 0)
			memcpy(effect->data + at, write->parts[i].data, write->parts[i].size);
	}
}

static void add_effects(struct recorder *recorder, const struct env_io *io)
{
	const struct recorder_entry *entry;

	switch (io->kind) {
	case ENV_IO_OPEN:
		if (io->flags & ENV_OPEN_CREATE && find_entry(recorder, io->path) == NULL)
			add_name_effect(recorder, EFFECT_CREATE, recorder->file_count++, io->path,
					NULL);
		break;
	case ENV_IO_COMMIT:
		for (size_t i = 0; i < io->write_count; i++)
			add_write_effect(recorder, &io->writes[i]);
		break;
	case ENV_IO_TRUNCATE:
		add_effect(recorder, EFFECT_TRUNCATE, io->file->file)->size = io->size;
		break;
	case ENV_IO_MAKE_DIRECTORY:
		if (find_entry(recorder, io->path) == NULL)
			add_name_effect(recorder, EFFECT_MAKE_DIRECTORY, 0, io->path, NULL);
		break;
	case ENV_IO_RENAME:
		entry = find_entry(recorder, io->path);
		if (entry != NULL)
			add_name_effect(recorder, EFFECT_RENAME, entry->file, io->path,
					io->to_path);
		break;
	case ENV_IO_UNLINK:
		if (find_entry(recorder, io->path) != NULL)
			add_name_effect(recorder, EFFECT_UNLINK, 0, io->path, NULL);
		break;
	case ENV_IO_CLOSE:
	case ENV_IO_READ:
	case ENV_IO_STAT:
	case ENV_IO_ALLOCATE:
	case ENV_IO_FORGET:
	case ENV_IO_SYNC_DIRECTORY:
	case ENV_IO_LIST:
	case ENV_IO_SPACE:
		break;
	}
}

/* ---- what is durable ---- */

static bool syncs_file(const struct env_io *io, uint32_t file)
{
	for (size_t i = 0; i < io->sync_count; i++) {
		if (io->syncs[i]->file == file)
			return true;
	}
	return false;
}

static bool covers(const struct env_io *io, const struct effect *effect)
{
	if (effect->kind == EFFECT_WRITE || effect->kind == EFFECT_TRUNCATE)
		return io->kind == ENV_IO_COMMIT && syncs_file(io, effect->file);
	/* Nobody renames from one directory to another: one sync covers both names. */
	return io->kind == ENV_IO_SYNC_DIRECTORY && lies_in(effect->path, io->path) &&
	       (effect->to_path == NULL || lies_in(effect->to_path, io->path));
}

static void mark_durable(struct recorder *recorder, const struct recorder_posted *posted)
{
	for (size_t i = 0; i < recorder->effect_count; i++) {
		struct effect *effect = &recorder->effects[i];
		bool own = i >= posted->first_effect &&
			   i < posted->first_effect + posted->effect_count;

		if (effect->durable == RECORDER_NEVER && !effect->lost &&
		    (own || effect->ended < posted->event) && covers(posted->io, effect))
			effect->durable = recorder->event;
	}
}

static void apply_to_entries(struct recorder *recorder, const struct effect *effect)
{
	if (effect->kind == EFFECT_CREATE || effect->kind == EFFECT_MAKE_DIRECTORY)
		add_entry(recorder, effect->path, effect->file,
			  effect->kind == EFFECT_MAKE_DIRECTORY);
	if (effect->kind == EFFECT_UNLINK || effect->kind == EFFECT_RENAME)
		remove_entry(recorder, effect->path);
	if (effect->kind == EFFECT_RENAME) {
		if (find_entry(recorder, effect->to_path) != NULL)
			remove_entry(recorder, effect->to_path);
		add_entry(recorder, effect->to_path, effect->file, false);
	}
}

static bool is_sync(const struct env_io *io)
{
	return (io->kind == ENV_IO_COMMIT && io->sync_count != 0) ||
	       io->kind == ENV_IO_SYNC_DIRECTORY;
}

static void add_cut(struct recorder *recorder, bool is_note)
{
	if (recorder->cut_count != 0 &&
	    recorder->cuts[recorder->cut_count - 1].event == recorder->event)
		return;
	recorder->cuts = sim_grow(recorder->cuts, recorder->cut_count, &recorder->cut_capacity,
				  sizeof(*recorder->cuts));
	recorder->cuts[recorder->cut_count++] = (struct recorder_cut){recorder->event, is_note};
}

static void settle(struct recorder *recorder, const struct recorder_posted *posted, bool withdrawn)
{
	const struct env_io *io = posted->io;

	/* The most that a power loss may undo: just before a sync returns. */
	if (is_sync(io) && !withdrawn)
		add_cut(recorder, false);
	recorder->event++;
	for (size_t i = 0; i < posted->effect_count; i++) {
		struct effect *effect = &recorder->effects[posted->first_effect + i];

		effect->ended = recorder->event;
		if (withdrawn || (io->err != ERR_OK && effect->path != NULL))
			effect->withdrawn = recorder->event;
		else if (io->err != ERR_OK)
			effect->lost = true;
		else
			apply_to_entries(recorder, effect);
	}
	if (io->err == ERR_OK && is_sync(io))
		mark_durable(recorder, posted);
	recorder->operation_count += posted->effect_count != 0 || is_sync(io);
}

/* ---- performing ---- */

static const char *real_path(const struct recorder *recorder, const char *path, char *out)
{
	int size;

	if (path == NULL)
		return NULL;
	size = snprintf(out, PATH_SIZE, "%s%s", recorder->directory, path);
	ASSERT(size > 0 && (size_t)size < PATH_SIZE);
	return out;
}

static struct env_file *inner_of(struct env_file *file)
{
	return file != NULL ? file->inner : NULL;
}

/* The commit's writes reach the page cache, its sync fails: its pages are clean, and not on disk.
 */
static bool sync_is_to_fail(struct recorder *recorder, const struct env_io *io)
{
	if (io->kind != ENV_IO_COMMIT || io->write_count == 0 || recorder->fail_commit_in == 0 ||
	    --recorder->fail_commit_in != 0)
		return false;
	recorder->failed_file = io->writes[0].file->file;
	return true;
}

static void perform_real(struct recorder *recorder, struct env_io *io)
{
	char path[PATH_SIZE], to_path[PATH_SIZE];
	struct files_counters counters = {0};
	struct env_io real = *io;
	struct env_write *writes = sim_allocate((io->write_count + 1) * sizeof(*writes));
	struct env_file **syncs = sim_allocate((io->sync_count + 1) * sizeof(struct env_file *));
	bool fails = sync_is_to_fail(recorder, io);

	real.path = real_path(recorder, io->path, path);
	real.to_path = real_path(recorder, io->to_path, to_path);
	real.file = inner_of(io->file);
	for (size_t i = 0; i < io->write_count; i++) {
		writes[i] = io->writes[i];
		writes[i].file = inner_of(io->writes[i].file);
	}
	for (size_t i = 0; i < io->sync_count; i++)
		syncs[i] = inner_of(io->syncs[i]);
	real.writes = writes;
	real.syncs = syncs;
	real.sync_count = fails ? 0 : io->sync_count;
	files_perform(&real, &counters);
	io->err = fails ? ERR_IO : real.err;
	io->done_size = real.done_size;
	io->stat = real.stat;
	io->path_stat = real.path_stat;
	io->space_total = real.space_total;
	io->space_free = real.space_free;
	io->names = real.names;
	if (io->kind == ENV_IO_OPEN)
		io->file = real.file;
	sim_free(writes);
	sim_free(syncs);
}

static void give_handle(struct recorder *recorder, struct env_io *io)
{
	struct env_file *handle = sim_allocate(sizeof(*handle));
	const struct recorder_entry *entry = find_entry(recorder, io->path);

	ASSERT(entry != NULL);
	handle->inner = io->file;
	handle->file = entry->file;
	io->file = handle;
}

static void end_io(struct recorder *recorder, const struct recorder_posted *posted)
{
	struct env_io *io = posted->io;
	bool withdrawn = recorder->env.stopped;
	struct env_file *closing = io->kind == ENV_IO_CLOSE ? io->file : NULL;

	if (!withdrawn || closing != NULL)
		perform_real(recorder, io);
	if (withdrawn)
		io->err = ERR_CANCELED;
	settle(recorder, posted, withdrawn);
	if (io->kind == ENV_IO_OPEN && io->err == ERR_OK)
		give_handle(recorder, io);
	if (closing != NULL) {
		sim_free(closing);
		io->file = NULL;
	}
	io->done(io);
}

static void end_job(const struct recorder *recorder, struct env_job *job)
{
	job->canceled = recorder->env.stopped;
	if (!job->canceled)
		job->work(job);
	job->done(job);
}

static void end_one(struct recorder *recorder)
{
	size_t index = sim_random_below(&recorder->scheduling, recorder->posted_count);
	struct recorder_posted posted = recorder->posted[index];

	recorder->posted_count--;
	memmove(recorder->posted + index, recorder->posted + index + 1,
		(recorder->posted_count - index) * sizeof(*recorder->posted));
	recorder->now_us += OPERATION_US;
	if (recorder->kill_after != 0 && posted.io != NULL && --recorder->kill_after == 0)
		recorder_kill(recorder);
	if (posted.io != NULL)
		end_io(recorder, &posted);
	else
		end_job(recorder, posted.job);
}

static void post(struct recorder *recorder, struct env_io *io, struct env_job *job)
{
	struct recorder_posted posted = {
		.io = io, .job = job, .first_effect = recorder->effect_count};

	posted.event = ++recorder->event;
	if (io != NULL && !recorder->env.stopped)
		add_effects(recorder, io);
	posted.effect_count = recorder->effect_count - posted.first_effect;
	recorder->posted = sim_grow(recorder->posted, recorder->posted_count,
				    &recorder->posted_capacity, sizeof(*recorder->posted));
	recorder->posted[recorder->posted_count++] = posted;
}

/* ---- the env ---- */

static uint64_t now_ms(struct env *env)
{
	return recorder_of(env)->now_us / 1000;
}

static uint64_t now_us(struct env *env)
{
	return recorder_of(env)->now_us;
}

static uint64_t wall_ms(struct env *env)
{
	return WALL_START_MS + now_ms(env);
}

static void random_bytes(struct env *env, void *out, size_t size)
{
	sim_random_fill(&recorder_of(env)->random, out, size);
}

static void post_io(struct env *env, struct env_io *io)
{
	io->err = ERR_OK;
	io->done_size = 0;
	post(recorder_of(env), io, NULL);
}

static void post_job(struct env *env, struct env_job *job)
{
	post(recorder_of(env), NULL, job);
}

static void post_soon(struct env *env, void (*run)(void *context), void *context)
{
	struct recorder *recorder = recorder_of(env);

	recorder->soon = sim_grow(recorder->soon, recorder->soon_count, &recorder->soon_capacity,
				  sizeof(*recorder->soon));
	recorder->soon[recorder->soon_count++] = (struct recorder_soon){run, context};
}

static void log_line(struct env *env, const char *line)
{
	(void)env;
	if (getenv("CRASH_LOG") != NULL)
		fprintf(stderr, "%s\n", line);
}

static void timer_stop(struct env *env, struct env_timer *timer)
{
	struct recorder *recorder = recorder_of(env);

	timer->armed = false;
	for (size_t i = 0; i < recorder->timer_count; i++) {
		if (recorder->timers[i].timer == timer) {
			recorder->timers[i] = recorder->timers[--recorder->timer_count];
			return;
		}
	}
}

static void timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	struct recorder *recorder = recorder_of(env);
	uint64_t delay_us = delay_ms < UINT64_MAX / 4000 ? delay_ms * 1000 : UINT64_MAX / 4;

	timer_stop(env, timer);
	timer->armed = true;
	recorder->timers = sim_grow(recorder->timers, recorder->timer_count,
				    &recorder->timer_capacity, sizeof(*recorder->timers));
	recorder->timers[recorder->timer_count++] = (struct recorder_timer){
		timer, recorder->now_us + delay_us, recorder->timer_order++};
}

/* ---- the index ---- */

static enum err index_open(struct env *env, const char *path, struct env_index **out)
{
	struct recorder *recorder = recorder_of(env);
	char real[PATH_SIZE];
	struct env_index *index, *inner;
	enum err err;

	if (env->stopped)
		return ERR_CANCELED;
	err = index_lmdb_open(real_path(recorder, path, real), INDEX_MAP_SIZE, &inner);
	if (err != ERR_OK)
		return err;
	index = sim_allocate(sizeof(*index));
	index->recorder = recorder;
	index->inner = inner;
	index->path = sim_copy_string(path);
	*out = index;
	return ERR_OK;
}

static void index_close(struct env_index *index)
{
	index_lmdb_close(index->inner);
	sim_free(index->path);
	sim_free(index);
}

static void record_index(const struct env_index *index, const struct env_index_change *changes,
			 size_t change_count, bool durable)
{
	struct recorder *recorder = index->recorder;
	struct index_commit *commit;

	recorder->index_commits =
		sim_grow(recorder->index_commits, recorder->index_commit_count,
			 &recorder->index_commit_capacity, sizeof(*recorder->index_commits));
	commit = &recorder->index_commits[recorder->index_commit_count++];
	*commit = (struct index_commit){.path = sim_copy_string(index->path),
					.event = ++recorder->event,
					.durable = durable};
	for (size_t i = 0; i < change_count; i++) {
		buf_put_block(&commit->changes, changes[i].key);
		buf_put_u8(&commit->changes, changes[i].value.data != NULL);
		buf_put_block(&commit->changes, changes[i].value);
	}
	ASSERT(commit->changes.err == ERR_OK);
}

static enum err index_commit(struct env_index *index, const struct env_index_change *changes,
			     size_t change_count, bool durable)
{
	enum err err;

	if (index->recorder->env.stopped)
		return ERR_CANCELED;
	err = index_lmdb_commit(index->inner, changes, change_count, durable);
	if (err == ERR_OK)
		record_index(index, changes, change_count, durable);
	return err;
}

static enum err index_get(struct env_index *index, struct bytes key, struct buf *value)
{
	if (index->recorder->env.stopped)
		return ERR_CANCELED;
	return index_lmdb_get(index->inner, key, value);
}

static enum err index_scan(struct env_index *index, struct bytes from, struct bytes before,
			   bool (*each)(void *context, struct bytes key, struct bytes value),
			   void *context)
{
	if (index->recorder->env.stopped)
		return ERR_CANCELED;
	return index_lmdb_scan(index->inner, from, before, each, context);
}

/* One change without a key stands for a cleared index. */
static enum err index_clear(struct env_index *index)
{
	const struct env_index_change cleared = {0};
	enum err err;

	if (index->recorder->env.stopped)
		return ERR_CANCELED;
	err = index_lmdb_clear(index->inner);
	if (err == ERR_OK)
		record_index(index, &cleared, 1, false);
	return err;
}

static const struct env_ops ops = {
	.now_ms = now_ms,
	.now_us = now_us,
	.wall_ms = wall_ms,
	.random = random_bytes,
	.io = post_io,
	.job = post_job,
	.timer_start = timer_start,
	.timer_stop = timer_stop,
	.soon = post_soon,
	.log = log_line,
	.index_open = index_open,
	.index_close = index_close,
	.index_commit = index_commit,
	.index_get = index_get,
	.index_scan = index_scan,
	.index_clear = index_clear,
};

/* ---- running ---- */

static bool run_soon(struct recorder *recorder)
{
	struct recorder_soon soon;

	if (recorder->soon_count == 0)
		return false;
	soon = recorder->soon[0];
	recorder->soon_count--;
	memmove(recorder->soon, recorder->soon + 1, recorder->soon_count * sizeof(soon));
	soon.run(soon.context);
	return true;
}

static bool fire_timer(struct recorder *recorder)
{
	struct recorder_timer *earliest = NULL;
	struct env_timer *timer;

	for (size_t i = 0; i < recorder->timer_count; i++) {
		struct recorder_timer *each = &recorder->timers[i];

		if (earliest == NULL || each->deadline_us < earliest->deadline_us ||
		    (each->deadline_us == earliest->deadline_us && each->order < earliest->order))
			earliest = each;
	}
	if (earliest == NULL)
		return false;
	if (!recorder->env.stopped && earliest->deadline_us > recorder->now_us)
		recorder->now_us = earliest->deadline_us;
	timer = earliest->timer;
	timer_stop(&recorder->env, timer);
	timer->fire(timer);
	return true;
}

/* All that is ready, then one operation: but a task that yields until one has ended does not starve
 * it. */
static bool turn(struct recorder *recorder)
{
	size_t left = SOON_MAX;

	while (left != 0 && run_soon(recorder))
		left--;
	if (recorder->posted_count != 0) {
		end_one(recorder);
		return true;
	}
	return left != SOON_MAX || fire_timer(recorder);
}

void recorder_run(struct recorder *recorder, void (*run)(void *argument), void *argument)
{
	enum err err;

	recorder->env.stopped = false;
	recorder->sched = sched_create(&recorder->env);
	ASSERT(recorder->sched != NULL);
	err = task_spawn(recorder->sched, "test", run, argument, NULL);
	ASSERT(err == ERR_OK);
	while (sched_task_count(recorder->sched) != 0 && turn(recorder))
		;
	ASSERT(sched_task_count(recorder->sched) == 0);
	while (recorder->posted_count != 0 || recorder->soon_count != 0)
		(void)turn(recorder);
	sched_destroy(&recorder->sched);
	recorder->kill_after = 0;
	recorder->event++;
	ASSERT(recorder->timer_count == 0);
}

void recorder_kill(struct recorder *recorder)
{
	if (recorder->env.stopped)
		return;
	recorder->env.stopped = true;
	sched_cancel_all(recorder->sched);
}

uint64_t recorder_note(struct recorder *recorder)
{
	recorder->event++;
	add_cut(recorder, true);
	return recorder->event;
}

/* ---- the directory ---- */

void recorder_init(struct recorder *recorder, uint64_t seed)
{
	*recorder = (struct recorder){.env = {.ops = &ops}, .now_us = 1000000};
	sim_random_init(&recorder->random, seed, RANDOM_STREAM);
	sim_random_init(&recorder->scheduling, seed, SCHEDULING_STREAM);
	(void)snprintf(recorder->directory, sizeof(recorder->directory),
		       "/tmp/aerostore-crash-XXXXXX");
	ASSERT(mkdtemp(recorder->directory) != NULL);
}

void recorder_add_disk(struct recorder *recorder, const char *path)
{
	char real[PATH_SIZE];

	ASSERT(mkdir(real_path(recorder, path, real), 0700) == 0);
	add_entry(recorder, path, 0, true);
}

static int remove_path(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

void recorder_finish(struct recorder *recorder)
{
	(void)nftw(recorder->directory, remove_path, 8, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < recorder->effect_count; i++) {
		sim_free(recorder->effects[i].path);
		sim_free(recorder->effects[i].to_path);
		sim_free(recorder->effects[i].data);
	}
	for (size_t i = 0; i < recorder->index_commit_count; i++) {
		sim_free(recorder->index_commits[i].path);
		buf_finish(&recorder->index_commits[i].changes);
	}
	for (size_t i = 0; i < recorder->entry_count; i++)
		sim_free(recorder->entries[i].path);
	sim_free(recorder->effects);
	sim_free(recorder->index_commits);
	sim_free(recorder->entries);
	sim_free(recorder->cuts);
	sim_free(recorder->posted);
	sim_free(recorder->soon);
	sim_free(recorder->timers);
	*recorder = (struct recorder){0};
}
