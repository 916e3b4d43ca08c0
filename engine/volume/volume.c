/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/volume/volume.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/plant.h"
#include "engine/volume/commit.h"
#include "engine/volume/space.h"

enum { LOOK_INTERVAL_MS = 5000 };

struct volume {
	struct sched *sched;
	struct env *env;
	char *directory;
	struct buf witness_path; /* of the superblock */
	struct volume_identity identity;
	/* Open all the time, so that no other file can get its inode number. */
	struct env_file *superblock;
	struct env_file *lock;
	enum volume_state state;
	struct commit commit, bulk;
	struct space space;
	struct env_timer look_timer;
	struct env_io look;
	bool looking;
	uint64_t looks; /* ended */
	struct cond look_ended;
	struct group pending; /* commits, looks and notifications under way */
	void (*changed)(struct volume *volume, void *context);
	void *changed_context;
	bool notifying, closing;
};

/* ---- state ---- */

static void notify(void *context)
{
	struct volume *volume = context;

	volume->notifying = false;
	if (volume->changed != NULL)
		volume->changed(volume, volume->changed_context);
	group_leave(&volume->pending);
}

static void set_state(struct volume *volume, enum volume_state state)
{
	if (volume->state == state)
		return;
	volume->state = state;
	if (volume->notifying)
		return;
	volume->notifying = true;
	group_enter(&volume->pending);
	env_soon(volume->env, notify, volume);
}

static void apply_space(struct volume *volume)
{
	enum volume_state state = volume->space.full ? VOLUME_FULL : VOLUME_ACTIVE;

	if (volume->state == VOLUME_FAILED || volume->state == state)
		return;
	env_log(volume->env, "event=%s path=\"%s\" free=%llu reserve=%llu",
		state == VOLUME_FULL ? "volume-full" : "volume-has-room", volume->directory,
		(unsigned long long)space_free(&volume->space),
		(unsigned long long)volume->space.reserve);
	set_state(volume, state);
}

void volume_fail(struct volume *volume, enum err why)
{
	if (volume->state == VOLUME_FAILED)
		return;
	env_log(volume->env, "event=volume-failed path=\"%s\" error=%s", volume->directory,
		err_name(why));
	volume->commit.failed = volume->bulk.failed = ERR_IO;
	set_state(volume, VOLUME_FAILED);
}

static void disk_error(void *context, enum err err)
{
	struct volume *volume = context;

	if (err != ERR_NOSPACE) {
		volume_fail(volume, err);
		return;
	}
	volume->space.full = true;
	apply_space(volume);
}

static void settled(void *context, uint64_t size)
{
	struct volume *volume = context;

	space_settle(&volume->space, size);
}

/* ---- free space ---- */

static void looked(struct env_io *io)
{
	struct volume *volume = io->context;

	if (io->err == ERR_OK) {
		space_look_end(&volume->space, io->space_total, io->space_free);
		apply_space(volume);
	} else if (io->err != ERR_CANCELED) {
		volume_fail(volume, io->err);
	}
	if (!volume->closing && volume->state != VOLUME_FAILED && io->err != ERR_CANCELED)
		env_timer_start(volume->env, &volume->look_timer, LOOK_INTERVAL_MS);
	volume->looking = false;
	volume->looks++;
	cond_broadcast(&volume->look_ended);
	group_leave(&volume->pending);
}

static void look(struct env_timer *timer)
{
	struct volume *volume = timer->context;

	volume->looking = true;
	space_look_begin(&volume->space);
	volume->look = (struct env_io){
		.kind = ENV_IO_SPACE, .path = volume->directory, .done = looked, .context = volume};
	group_enter(&volume->pending);
	env_io(volume->env, &volume->look);
}

enum err volume_look(struct volume *volume)
{
	/* One under way may have been answered before what the caller wants to see. */
	const uint64_t wanted = volume->looks + (volume->looking ? 2 : 1);
	enum err err = ERR_OK;

	while (err == ERR_OK && volume->looks < wanted) {
		ASSERT(!volume->closing);
		if (volume->state == VOLUME_FAILED)
			return ERR_IO;
		if (!volume->looking)
			env_timer_start(volume->env, &volume->look_timer, 0);
		err = cond_wait(&volume->look_ended, TASK_FOREVER);
	}
	return err;
}

void volume_space(const struct volume *volume, uint64_t *total, uint64_t *free_space)
{
	*total = volume->space.total;
	*free_space = space_free(&volume->space);
}

bool volume_has_room(const struct volume *volume, uint64_t size)
{
	return space_fits(&volume->space, size);
}

uint64_t volume_reserve(const struct volume *volume)
{
	return volume->space.reserve;
}

void volume_set_reserve(struct volume *volume, uint64_t size)
{
	space_set_reserve(&volume->space, size);
	apply_space(volume);
}

/* ---- writes ---- */

enum err volume_admits(struct volume *volume, uint64_t size, bool urgent)
{
	bool admitted;

	if (volume->state == VOLUME_FAILED)
		return ERR_IO;
	admitted = space_admits(&volume->space, size, urgent);
	apply_space(volume);
	return admitted ? ERR_OK : ERR_NOSPACE;
}

void volume_submit(struct volume *volume, struct volume_write *write)
{
	uint64_t size = commit_write_size(write);

	ASSERT(!volume->closing);
	write->refused = volume_admits(volume, size, write->urgent);
	if (write->refused == ERR_OK)
		space_spend(&volume->space, size);
	commit_submit(write->bulk ? &volume->bulk : &volume->commit, write);
}

/* ---- opening ---- */

static enum err join_path(const char *directory, const char *name, struct buf *out)
{
	buf_put_string(out, directory);
	buf_put_u8(out, '/');
	buf_put(out, name, strlen(name) + 1);
	return out->err;
}

static const char *path_of(const struct buf *path)
{
	return (const char *)path->data;
}

/* A copy that cannot be read is a damaged copy. */
static WAITS enum err read_superblock(struct env_file *file, struct superblock *out,
				      unsigned *stale)
{
	uint8_t *both = memory_allocate(SUPERBLOCK_SIZE);
	unsigned unreadable = 0;
	enum err err = ERR_NOMEM;

	if (both == NULL)
		return ERR_NOMEM;
	for (unsigned i = 0; i < SUPERBLOCK_COPY_COUNT; i++) {
		size_t read_size;

		err = io_read(file, i * SUPERBLOCK_COPY_SIZE, both + i * SUPERBLOCK_COPY_SIZE,
			      SUPERBLOCK_COPY_SIZE, &read_size);
		if (err == ERR_IO)
			unreadable++;
		else if (err != ERR_OK)
			goto out;
	}
	err = unreadable == SUPERBLOCK_COPY_COUNT ? ERR_IO : superblock_choose(both, out, stale);
out:
	memory_free(both);
	return err;
}

static WAITS enum err repair_superblock(struct env_file *file, const struct superblock *superblock,
					unsigned stale)
{
	uint8_t *both = memory_allocate(SUPERBLOCK_SIZE);
	enum err err = ERR_OK;

	if (both == NULL)
		return ERR_NOMEM;
	superblock_encode(superblock, both);
	for (unsigned i = 0; i < SUPERBLOCK_COPY_COUNT && err == ERR_OK; i++)
		if ((stale & 1u << i) != 0)
			err = io_write_sync(
				file, i * SUPERBLOCK_COPY_SIZE,
				bytes_make(both + i * SUPERBLOCK_COPY_SIZE, SUPERBLOCK_COPY_SIZE));
	memory_free(both);
	return err;
}

enum err volume_inspect(const char *directory, struct volume_identity *out)
{
	struct buf path = {0};
	struct env_file *file = NULL;
	struct superblock superblock;
	enum err err;

	err = join_path(directory, "superblock", &path);
	if (err == ERR_OK)
		err = io_open(path_of(&path), 0, &file);
	if (err == ERR_OK)
		err = read_superblock(file, &superblock, NULL);
	if (err == ERR_OK)
		*out = superblock.identity;
	io_close(&file);
	buf_finish(&path);
	return err;
}

/* Reads the identity through the open, locked volume, and mends the copy that is behind. */
static WAITS enum err identify(struct volume *volume, struct id128 cluster)
{
	struct superblock superblock;
	unsigned stale;
	enum err err;

	err = read_superblock(volume->superblock, &superblock, &stale);
	if (err != ERR_OK)
		return err;
	if (superblock.read_only)
		return ERR_NEWER;
	if (!id128_equal(superblock.identity.cluster, cluster))
		return ERR_FOREIGN;
	volume->identity = superblock.identity;
	if (stale == 0)
		return ERR_OK;
	env_log(volume->env, "event=superblock-copy-mended path=\"%s\"", volume->directory);
	return repair_superblock(volume->superblock, &superblock, stale);
}

static WAITS enum err take_lock(struct volume *volume)
{
	struct buf path = {0};
	enum err err = join_path(volume->directory, "lock", &path);

	if (err == ERR_OK)
		err = io_open(path_of(&path), ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_LOCK,
			      &volume->lock);
	buf_finish(&path);
	return err;
}

static WAITS enum err open_files(struct volume *volume, struct id128 cluster)
{
	uint64_t total, free_space;
	struct env_stat stat;
	enum err err;

	err = io_open(path_of(&volume->witness_path), ENV_OPEN_WRITE, &volume->superblock);
	if (err == ERR_OK)
		err = take_lock(volume);
	if (err == ERR_OK)
		err = identify(volume, cluster);
	if (err == ERR_OK)
		err = io_stat_file(volume->superblock, &stat);
	if (err == ERR_OK)
		err = io_space(volume->directory, &total, &free_space);
	if (err != ERR_OK)
		return err;
	volume->commit.witness_device = volume->bulk.witness_device = stat.device;
	volume->commit.witness_inode = volume->bulk.witness_inode = stat.inode;
	space_look_begin(&volume->space);
	volume->space.reserve = space_default_reserve(total);
	space_look_end(&volume->space, total, free_space);
	return ERR_OK;
}

static void log_refusal(struct env *env, const char *directory, enum err err)
{
	const char *event = "volume-unusable";

	if (err == ERR_CANCELED)
		return;
	if (err == ERR_NOTFOUND)
		event = "volume-missing";
	else if (err == ERR_FOREIGN)
		event = "volume-foreign";
	else if (err == ERR_NEWER)
		event = "volume-newer";
	else if (err == ERR_UNAVAILABLE)
		event = "volume-locked";
	else if (err == ERR_CORRUPT)
		event = "volume-damaged";
	env_log(env, "event=%s path=\"%s\" error=%s", event, directory, err_name(err));
}

static WAITS void destroy(struct volume *volume)
{
	commit_finish(&volume->commit);
	commit_finish(&volume->bulk);
	io_close(&volume->superblock);
	/* Last: it is what keeps another process away from the rest. */
	io_close(&volume->lock);
	buf_finish(&volume->witness_path);
	memory_free(volume->directory);
	memory_free(volume);
}

static enum err create(struct sched *sched, const char *directory, struct volume **out)
{
	size_t size = strlen(directory) + 1;
	struct volume *volume = memory_allocate(sizeof(*volume));

	if (volume == NULL)
		return ERR_NOMEM;
	volume->sched = sched;
	volume->env = sched_env(sched);
	volume->state = VOLUME_ACTIVE;
	volume->look_timer.fire = look;
	volume->look_timer.context = volume;
	volume->directory = memory_allocate(size);
	if (volume->directory == NULL) {
		memory_free(volume);
		return ERR_NOMEM;
	}
	memcpy(volume->directory, directory, size);
	*out = volume;
	return ERR_OK;
}

static enum err init_commit(struct volume *volume, struct commit *commit)
{
	commit->env = volume->env;
	commit->witness_path = path_of(&volume->witness_path);
	commit->pending = &volume->pending;
	commit->disk_error = disk_error;
	commit->settled = settled;
	commit->context = volume;
	return commit_init(commit);
}

enum err volume_open(struct sched *sched, const char *directory, struct id128 cluster,
		     struct volume **out)
{
	struct volume *volume = NULL;
	enum err err;

	err = create(sched, directory, &volume);
	if (err != ERR_OK)
		return err;
	err = join_path(directory, "superblock", &volume->witness_path);
	if (err == ERR_OK)
		err = init_commit(volume, &volume->commit);
	if (err == ERR_OK)
		err = init_commit(volume, &volume->bulk);
	if (err == ERR_OK)
		err = open_files(volume, cluster);
	if (err != ERR_OK) {
		log_refusal(volume->env, directory, err);
		destroy(volume);
		return err;
	}
	volume->state = volume->space.full ? VOLUME_FULL : VOLUME_ACTIVE;
	env_timer_start(volume->env, &volume->look_timer, LOOK_INTERVAL_MS);
	*out = volume;
	return ERR_OK;
}

void volume_close(struct volume **volume)
{
	struct volume *closed = *volume;

	if (closed == NULL)
		return;
	*volume = NULL;
	closed->closing = true;
	env_timer_stop(closed->env, &closed->look_timer);
	group_wait(&closed->pending);
	destroy(closed);
}

/* ---- making ---- */

static WAITS enum err sync_parent(const char *path)
{
	struct buf parent = {0};
	const char *slash = strrchr(path, '/');
	enum err err;

	if (slash == NULL)
		buf_put_string(&parent, ".");
	else
		buf_put(&parent, path, slash == path ? 1 : (size_t)(slash - path));
	buf_put_u8(&parent, '\0');
	err = parent.err;
	if (err == ERR_OK)
		err = io_sync_directory(path_of(&parent));
	buf_finish(&parent);
	return err;
}

static WAITS enum err require_empty(const char *directory, const char *name)
{
	struct buf path = {0}, names = {0};
	enum err err = join_path(directory, name, &path);

	if (err == ERR_OK)
		err = io_list(path_of(&path), &names);
	if (err == ERR_OK && names.size != 0)
		err = ERR_EXISTS;
	buf_finish(&names);
	buf_finish(&path);
	return err;
}

/* ERR_EXISTS unless there is nothing but what volume_format() itself makes before the superblock.
 */
static WAITS enum err require_unused(const char *directory)
{
	struct buf names = {0};
	size_t position = 0;
	enum err err = io_list(directory, &names);

	while (err == ERR_OK && position < names.size) {
		const char *name = (const char *)names.data + position;

		position += strlen(name) + 1;
		if (strcmp(name, "columns") == 0 || strcmp(name, "journal") == 0)
			err = require_empty(directory, name);
		else if (strcmp(name, "lost+found") != 0 && strcmp(name, "superblock.new") != 0)
			err = ERR_EXISTS;
	}
	buf_finish(&names);
	return err;
}

static WAITS enum err make_folder(const char *directory, const char *name)
{
	struct buf path = {0};
	enum err err = join_path(directory, name, &path);

	if (err == ERR_OK)
		err = io_make_directory(path_of(&path));
	buf_finish(&path);
	return err == ERR_EXISTS ? ERR_OK : err;
}

/* Its rename into place is the moment from which the directory is a volume. */
static WAITS enum err put_superblock(const char *directory, const struct volume_identity *identity)
{
	const struct superblock superblock = {.identity = *identity, .generation = 1};
	uint8_t *both = memory_allocate(SUPERBLOCK_SIZE);
	struct buf path = {0};
	enum err err = ERR_NOMEM;

	if (both != NULL)
		err = join_path(directory, "superblock", &path);
	if (err == ERR_OK) {
		superblock_encode(&superblock, both);
		err = io_replace_file(path_of(&path), bytes_make(both, SUPERBLOCK_SIZE));
	}
	buf_finish(&path);
	memory_free(both);
	return err;
}

enum err volume_format(const char *directory, const struct volume_identity *identity)
{
	enum err err;

	if (id128_is_zero(identity->volume) ||
	    memchr(identity->zone, '\0', sizeof(identity->zone)) == NULL)
		return ERR_INVALID;
	err = io_make_directory(directory);
	if (err == ERR_OK)
		err = sync_parent(directory);
	else if (err == ERR_EXISTS)
		err = require_unused(directory);
	if (err == ERR_OK)
		err = make_folder(directory, "columns");
	if (err == ERR_OK)
		err = make_folder(directory, "journal");
	/* A superblock promises its folders: a crash must not keep it and lose them. */
	if (err == ERR_OK)
		err = io_sync_directory(directory);
	if (err == ERR_OK)
		err = put_superblock(directory, identity);
	return err;
}

/* ---- files ---- */

/* The caller's own troubles do not say anything about the disk. */
static enum err judge(struct volume *volume, enum err err)
{
	if (err == ERR_IO)
		volume_fail(volume, err);
	return err;
}

static WAITS enum err fill_new_file(struct volume *volume, struct env_file *file,
				    struct bytes header, uint64_t allocate_size)
{
	enum err err = ERR_OK;

	if (allocate_size != 0 && space_fits(&volume->space, allocate_size)) {
		space_spend(&volume->space, allocate_size);
		err = io_allocate(file, 0, allocate_size);
		space_settle(&volume->space, allocate_size);
	}
	/* Without the blocks every append has to find its own. */
	if (err == ERR_OK || err == ERR_NOSPACE)
		err = io_write_sync(file, 0, header);
	return err;
}

enum err volume_create_file(struct volume *volume, const char *name, struct bytes header,
			    uint64_t allocate_size, struct env_file **out)
{
	struct buf path = {0};
	struct env_file *file = NULL;
	enum err err;

	if (volume->state == VOLUME_FAILED)
		return ERR_IO;
	err = join_path(volume->directory, name, &path);
	if (err != ERR_OK)
		goto out;
	err = io_open(path_of(&path), ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCLUSIVE, &file);
	if (err != ERR_OK)
		goto out;
	err = fill_new_file(volume, file, header, allocate_size);
	if (err == ERR_OK && !PLANTED(directory_entry_unsynced))
		err = sync_parent(path_of(&path));
	if (err == ERR_OK) {
		*out = file;
	} else {
		/* Best effort: a file without a whole header is recognised and dropped. */
		enum err ignored = io_unlink(path_of(&path));

		(void)ignored;
		io_close(&file);
	}
out:
	buf_finish(&path);
	return judge(volume, err);
}

enum err volume_open_file(struct volume *volume, const char *name, struct env_file **out)
{
	struct buf path = {0};
	enum err err = join_path(volume->directory, name, &path);

	if (err == ERR_OK)
		err = io_open(path_of(&path), ENV_OPEN_WRITE, out);
	buf_finish(&path);
	return err;
}

enum err volume_rename_file(struct volume *volume, const char *name, const char *to_name)
{
	struct buf path = {0}, to_path = {0};
	enum err err;

	if (volume->state == VOLUME_FAILED)
		return ERR_IO;
	err = join_path(volume->directory, name, &path);
	if (err == ERR_OK)
		err = join_path(volume->directory, to_name, &to_path);
	if (err == ERR_OK)
		err = io_rename(path_of(&path), path_of(&to_path));
	if (err == ERR_OK)
		err = sync_parent(path_of(&to_path));
	buf_finish(&path);
	buf_finish(&to_path);
	return judge(volume, err);
}

enum err volume_remove_file(struct volume *volume, const char *name)
{
	struct buf path = {0};
	enum err err;

	if (volume->state == VOLUME_FAILED)
		return ERR_IO;
	err = join_path(volume->directory, name, &path);
	if (err == ERR_OK)
		err = io_unlink(path_of(&path));
	if (err == ERR_OK)
		err = sync_parent(path_of(&path));
	buf_finish(&path);
	/* Whoever waits for room need not wait for the next look. */
	if (err == ERR_OK && volume->state == VOLUME_FULL && !volume->looking && !volume->closing)
		env_timer_start(volume->env, &volume->look_timer, 0);
	return judge(volume, err);
}

enum err volume_list(struct volume *volume, const char *folder, struct buf *names)
{
	struct buf path = {0};
	enum err err = join_path(volume->directory, folder, &path);

	if (err == ERR_OK)
		err = io_list(path_of(&path), names);
	buf_finish(&path);
	return err;
}

/* ---- asking ---- */

struct id128 volume_id(const struct volume *volume)
{
	return volume->identity.volume;
}

const struct volume_identity *volume_identity(const struct volume *volume)
{
	return &volume->identity;
}

const char *volume_directory(const struct volume *volume)
{
	return volume->directory;
}

enum volume_state volume_state(const struct volume *volume)
{
	return volume->state;
}

void volume_watch(struct volume *volume, void (*changed)(struct volume *volume, void *context),
		  void *context)
{
	volume->changed = changed;
	volume->changed_context = context;
}

struct sched *volume_sched(struct volume *volume)
{
	return volume->sched;
}

bool volume_is_busy(const struct volume *volume)
{
	return volume->commit.busy || volume->commit.queue.first != NULL;
}

struct volume_counters volume_counters(const struct volume *volume)
{
	struct volume_counters counters = volume->commit.counters;
	const struct volume_counters *bulk = &volume->bulk.counters;

	counters.writes += bulk->writes;
	counters.bytes += bulk->bytes;
	counters.write_errors += bulk->write_errors;
	return counters;
}
