/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/node_io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "tests/sim/allocate.h"
#include "tests/sim/internal.h"
#include "tests/sim/node_fault.h"

/* What a buffer holds between a posted read and its completion. */
#define UNREAD 0xa5
/* SIM_FAULT_SLOW */
#define SLOWED 100

struct env_file {
	struct sim_env *life;
	struct sim_inode *inode; /* NULL once the node halted */
	unsigned flags;
	uint32_t posted; /* operations under way */
	struct env_file *next, **link;
};

struct operation {
	struct sim_event event;
	struct env_io *io;
	struct sim_env *life;
	size_t step; /* COMMIT: 0 the writes, then the syncs from 1, then the path's stat */
	uint64_t content;
	bool slowed;
	bool out_of_space; /* its next write stops short */
};

static const char *kind_name(enum env_io_kind kind)
{
	static const char *const names[] = {
		[ENV_IO_OPEN] = "open",
		[ENV_IO_CLOSE] = "close",
		[ENV_IO_READ] = "read",
		[ENV_IO_COMMIT] = "commit",
		[ENV_IO_STAT] = "stat",
		[ENV_IO_ALLOCATE] = "allocate",
		[ENV_IO_TRUNCATE] = "truncate",
		[ENV_IO_FORGET] = "forget",
		[ENV_IO_SYNC_DIRECTORY] = "sync_directory",
		[ENV_IO_MAKE_DIRECTORY] = "make_directory",
		[ENV_IO_RENAME] = "rename",
		[ENV_IO_UNLINK] = "unlink",
		[ENV_IO_LIST] = "list",
		[ENV_IO_SPACE] = "space",
	};

	return names[kind];
}

/* ---- handles ---- */

static struct env_file *file_create(struct sim_env *life, unsigned flags)
{
	struct env_file *file = sim_allocate(sizeof(*file));

	file->life = life;
	file->flags = flags;
	file->next = life->files;
	file->link = &life->files;
	if (file->next != NULL)
		file->next->link = &file->next;
	life->files = file;
	life->file_count++;
	return file;
}

static void file_detach(struct env_file *file)
{
	if (file->inode != NULL)
		sim_tree_close(&file->life->node->tree, file->inode, file);
	file->inode = NULL;
}

static void file_destroy(struct env_file *file)
{
	file_detach(file);
	*file->link = file->next;
	if (file->next != NULL)
		file->next->link = file->link;
	file->life->file_count--;
	sim_free(file);
}

void sim_node_io_detach(struct sim_node *node)
{
	for (struct env_file *file = node->life->files; file != NULL; file = file->next)
		file_detach(file);
}

/* Calls `each` for every handle that an operation names. */
static void each_file(const struct env_io *io, void (*each)(struct env_file *file))
{
	if (io->kind == ENV_IO_COMMIT) {
		for (size_t i = 0; i < io->write_count; i++)
			each(io->writes[i].file);
		for (size_t i = 0; i < io->sync_count; i++)
			each(io->syncs[i]);
	} else if (io->file != NULL && io->kind != ENV_IO_OPEN) {
		each(io->file);
	}
}

static void count_up(struct env_file *file)
{
	file->posted++;
}

static void count_down(struct env_file *file)
{
	file->posted--;
}

/* ---- single operations ---- */

static void fill_stat(const struct sim_inode *inode, struct env_stat *stat)
{
	*stat = (struct env_stat){.size = inode->size,
				  .allocated = sim_inode_allocated(inode),
				  .device = inode->disk->device,
				  .inode = inode->number,
				  .link_count = inode->link_count,
				  .is_directory = inode->is_directory};
}

static enum err do_open(struct sim_tree *tree, struct operation *operation)
{
	struct env_io *io = operation->io;
	struct env_file *file = file_create(operation->life, io->flags);
	enum err err = sim_tree_open(tree, io->path, io->flags, file, &file->inode);

	if (err != ERR_OK)
		file_destroy(file);
	else
		io->file = file;
	return err;
}

static enum err do_read(struct env_io *io)
{
	struct sim_disk *disk = io->file->inode->disk;
	enum err err = sim_inode_read(io->file->inode, io->offset, io->buffer, (size_t)io->size,
				      &io->done_size);

	disk->counters.reads++;
	if (err == ERR_OK)
		disk->counters.bytes_read += io->done_size;
	return err;
}

static enum err stat_path(struct sim_tree *tree, const char *path, struct env_stat *out)
{
	struct sim_inode *inode = NULL;
	enum err err = sim_tree_find(tree, path, &inode);

	if (err == ERR_OK)
		fill_stat(inode, out);
	return err;
}

static enum err do_stat(struct sim_tree *tree, struct env_io *io)
{
	if (io->file == NULL)
		return stat_path(tree, io->path, &io->stat);
	fill_stat(io->file->inode, &io->stat);
	return ERR_OK;
}

static enum err do_space(struct sim_tree *tree, struct env_io *io)
{
	struct sim_inode *inode = NULL;
	enum err err = sim_tree_find(tree, io->path, &inode);

	if (err == ERR_OK) {
		io->space_total = sim_disk_total(inode->disk);
		io->space_free = sim_disk_free(inode->disk);
	}
	return err;
}

static enum err must_be_writable(const struct env_file *file)
{
	return (file->flags & ENV_OPEN_WRITE) != 0 ? ERR_OK : err_from_errno(EBADF);
}

static enum err do_resize(struct env_io *io)
{
	enum err err = must_be_writable(io->file);

	if (err != ERR_OK)
		return err;
	if (io->kind == ENV_IO_ALLOCATE)
		return sim_inode_allocate(io->file->inode, io->offset, io->size);
	return sim_inode_truncate(io->file->inode, io->size);
}

/* Everything but a commit. */
static enum err do_operation(struct operation *operation)
{
	struct env_io *io = operation->io;
	struct sim_tree *tree = &operation->life->node->tree;

	switch (io->kind) {
	case ENV_IO_OPEN:
		return do_open(tree, operation);
	case ENV_IO_CLOSE:
		file_destroy(io->file);
		return ERR_OK;
	case ENV_IO_READ:
		return do_read(io);
	case ENV_IO_STAT:
		return do_stat(tree, io);
	case ENV_IO_ALLOCATE:
	case ENV_IO_TRUNCATE:
		return do_resize(io);
	case ENV_IO_FORGET:
		/* A read gives what a sync has left, and no more is to be had from memory. */
		return ERR_OK;
	case ENV_IO_SYNC_DIRECTORY:
		return sim_tree_sync_directory(tree, io->path);
	case ENV_IO_MAKE_DIRECTORY:
		return sim_tree_make_directory(tree, io->path);
	case ENV_IO_RENAME:
		return sim_tree_rename(tree, io->path, io->to_path);
	case ENV_IO_UNLINK:
		return sim_tree_unlink(tree, io->path);
	case ENV_IO_LIST:
		return sim_tree_list(tree, io->path, &io->names);
	case ENV_IO_SPACE:
		return do_space(tree, io);
	case ENV_IO_COMMIT:
	default:
		ASSERT(!"a commit is no single operation");
		return ERR_INVALID;
	}
}

/* ---- commits ---- */

/* The next bytes of a write, at most `limit` in all: how far a halted one came. */
static enum err apply_write(struct sim *sim, const struct env_write *write, uint64_t limit)
{
	struct sim_inode *inode = write->file->inode;
	uint64_t offset = write->offset;
	enum err err = must_be_writable(write->file);

	for (size_t i = 0; i < write->part_count && err == ERR_OK && limit != 0; i++) {
		struct bytes part = bytes_slice(write->parts[i], 0, (size_t)limit);

		err = sim_inode_write(inode, offset, part);
		offset += part.size;
		limit -= part.size;
	}
	inode->disk->counters.writes++;
	inode->disk->counters.bytes_written += offset - write->offset;
	if (sim_random_chance(&sim->faults, sim->options.write_back_per_million))
		sim_inode_write_back(inode, &sim->faults);
	return err;
}

static uint64_t write_size(const struct env_write *write)
{
	uint64_t size = 0;

	for (size_t i = 0; i < write->part_count; i++)
		size += write->parts[i].size;
	return size;
}

/* What is reserved is there, whatever else the disk is short of. */
static bool needs_blocks(const struct env_io *io)
{
	if (io->kind == ENV_IO_ALLOCATE)
		return sim_inode_needs_blocks(io->file->inode, io->offset, io->size);
	for (size_t i = 0; io->kind == ENV_IO_COMMIT && i < io->write_count; i++) {
		const struct env_write *write = &io->writes[i];

		if (sim_inode_needs_blocks(write->file->inode, write->offset, write_size(write)))
			return true;
	}
	return false;
}

static uint64_t content_hash(const struct env_io *io)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < io->write_count; i++) {
		for (size_t j = 0; j < io->writes[i].part_count; j++) {
			const struct bytes *part = &io->writes[i].parts[j];
			uint64_t pair[2] = {hash, hash_64(part->data, part->size)};

			hash = hash_64(pair, sizeof(pair));
		}
	}
	return hash;
}

/* A first part of the bytes of a commit, cut anywhere, also inside a write. */
static void apply_some_writes(struct operation *operation)
{
	struct sim *sim = operation->life->node->sim;
	const struct env_io *io = operation->io;
	size_t whole = (size_t)sim_random_below(&sim->faults, io->write_count + 1);
	enum err err = ERR_OK;

	for (size_t i = 0; i < whole && err == ERR_OK; i++)
		err = apply_write(sim, &io->writes[i], UINT64_MAX);
	if (err == ERR_OK && whole < io->write_count) {
		uint64_t size = write_size(&io->writes[whole]);

		err = apply_write(sim, &io->writes[whole], sim_random_below(&sim->faults, size));
	}
	/* Whoever waits learns only why the rest is missing. */
	(void)err;
}

static enum err do_writes(struct operation *operation)
{
	const struct env_io *io = operation->io;
	enum err err = ERR_OK;

	if (operation->out_of_space) {
		apply_some_writes(operation);
		return ERR_NOSPACE;
	}
	for (size_t i = 0; i < io->write_count && err == ERR_OK; i++)
		err = apply_write(operation->life->node->sim, &io->writes[i], UINT64_MAX);
	return err;
}

static enum err do_sync(struct operation *operation, size_t index)
{
	struct env_io *io = operation->io;
	struct sim_inode *inode = io->syncs[index]->inode;
	struct env_stat stat;

	sim_inode_sync(inode);
	inode->disk->counters.syncs++;
	fill_stat(inode, &stat);
	if (index == 0 || stat.link_count < io->stat.link_count)
		io->stat = stat;
	return ERR_OK;
}

static size_t last_step(const struct env_io *io)
{
	return io->sync_count + (io->path != NULL ? 1 : 0);
}

/* The step of a commit that looks at its path. */
static bool is_path_step(const struct operation *operation)
{
	return operation->step > operation->io->sync_count;
}

static enum err do_commit_step(struct operation *operation)
{
	struct env_io *io = operation->io;

	if (operation->step == 0)
		return do_writes(operation);
	if (is_path_step(operation))
		return stat_path(&operation->life->node->tree, io->path, &io->path_stat);
	return do_sync(operation, operation->step - 1);
}

/* ---- the course of an operation ---- */

/* The file of the next step of an operation; NULL when it is about a path. */
static struct sim_inode *inode_of(const struct operation *operation)
{
	const struct env_io *io = operation->io;

	if (io->kind == ENV_IO_OPEN || is_path_step(operation))
		return NULL;
	if (io->kind != ENV_IO_COMMIT)
		return io->file != NULL ? io->file->inode : NULL;
	if (operation->step != 0)
		return io->syncs[operation->step - 1]->inode;
	return io->write_count != 0 ? io->writes[0].file->inode : NULL;
}

/* The disk that it keeps busy. */
static struct sim_disk *disk_of(const struct operation *operation)
{
	const struct env_io *io = operation->io;
	const struct sim_inode *inode = inode_of(operation);

	if (inode != NULL)
		return inode->disk;
	if (io->path != NULL && (io->kind != ENV_IO_COMMIT || is_path_step(operation)))
		return sim_tree_disk_of(&operation->life->node->tree, io->path);
	return operation->life->node->tree.disks[0];
}

static enum sim_step step_of(const struct operation *operation)
{
	switch (operation->io->kind) {
	case ENV_IO_COMMIT:
		if (is_path_step(operation))
			return SIM_STEP_NAME;
		return operation->step == 0 ? SIM_STEP_WRITE : SIM_STEP_SYNC;
	case ENV_IO_READ:
		return SIM_STEP_READ;
	case ENV_IO_ALLOCATE:
	case ENV_IO_TRUNCATE:
		return SIM_STEP_WRITE;
	case ENV_IO_SYNC_DIRECTORY:
		return SIM_STEP_SYNC;
	case ENV_IO_OPEN:
	case ENV_IO_CLOSE:
	case ENV_IO_STAT:
	case ENV_IO_FORGET:
	case ENV_IO_MAKE_DIRECTORY:
	case ENV_IO_RENAME:
	case ENV_IO_UNLINK:
	case ENV_IO_LIST:
	case ENV_IO_SPACE:
	default:
		return SIM_STEP_NAME;
	}
}

static void schedule(struct operation *operation)
{
	struct sim *sim = operation->life->node->sim;
	bool is_sync = step_of(operation) == SIM_STEP_SYNC;
	uint64_t delay = 0;

	if (!operation->life->env.stopped)
		delay = sim_disk_latency(disk_of(operation), is_sync, &sim->scheduling);
	sim_events_add(&sim->events, &operation->event, sim->now_us + delay);
}

static void trace_operation(struct operation *operation)
{
	struct sim *sim = operation->life->node->sim;
	const struct env_io *io = operation->io;
	uint64_t content[] = {(uint64_t)io->kind, (uint64_t)io->err, io->offset,
			      io->size,		  io->done_size,     operation->content};

	if (io->path != NULL)
		sim_trace_mix(sim, io->path, strlen(io->path));
	if (io->kind == ENV_IO_READ && io->err == ERR_OK)
		sim_trace_mix(sim, io->buffer, io->done_size);
	sim_trace_mix(sim, content, sizeof(content));
	sim_trace(sim, "node=%zu io=%s path=%s offset=%" PRIu64 " size=%" PRIu64 " err=%s",
		  operation->life->node->number, kind_name(io->kind),
		  io->path != NULL ? io->path : "-", io->offset, io->size, err_name(io->err));
}

static void complete(struct operation *operation, enum err err)
{
	struct env_io *io = operation->io;

	io->err = err;
	trace_operation(operation);
	if (io->kind != ENV_IO_CLOSE)
		each_file(io, count_down);
	sim_free(operation);
	io->done(io);
}

static struct operation *operation_of(struct sim_event *event)
{
	return (struct operation *)event;
}

/*
 * Whether the step may go on. Else it was put off, or the node crashed under it, and the event
 * is posted again; or *err says how it failed.
 */
static bool survive_faults(struct operation *operation, enum err *err)
{
	struct sim_node *node = operation->life->node;
	struct sim *sim = node->sim;
	struct sim_disk *disk = disk_of(operation);
	unsigned struck = 0;

	*err = ERR_OK;
	if (!operation->slowed) {
		struck = sim_roll_faults(disk, step_of(operation), &sim->faults);
		node->step_count++;
	}
	for (int fault = 0; struck >> fault != 0; fault++) {
		if ((struck >> fault & 1) != 0)
			sim_trace(sim, "node=%zu disk=%s fault=%s", node->number, disk->path,
				  sim_fault_name((enum sim_fault)fault));
	}
	if ((struck & 1u << SIM_FAULT_CRASH) != 0 ||
	    (node->step_count == node->crash_at && !operation->slowed)) {
		bool chosen = node->step_count == node->crash_at;

		sim_events_add(&sim->events, &operation->event, sim->now_us);
		sim_crash(node, chosen ? node->crash_outcome : SIM_CRASH_RANDOM);
		return false;
	}
	*err = sim_strike(node, disk, inode_of(operation), operation->io, struck);
	operation->out_of_space =
		(struck & 1u << SIM_FAULT_NO_SPACE) != 0 && needs_blocks(operation->io);
	if (*err == ERR_OK && operation->out_of_space && operation->io->kind == ENV_IO_ALLOCATE)
		*err = ERR_NOSPACE;
	operation->slowed = (struck & 1u << SIM_FAULT_SLOW) != 0 && *err == ERR_OK;
	if (!operation->slowed)
		return true;
	sim_events_add(&sim->events, &operation->event,
		       sim->now_us + SLOWED * sim_disk_latency(disk, true, &sim->scheduling));
	return false;
}

static void run_operation(struct sim_event *event)
{
	struct operation *operation = operation_of(event);
	struct env_io *io = operation->io;
	enum err err;

	if (operation->life->env.stopped) {
		if (io->kind == ENV_IO_CLOSE)
			file_destroy(io->file);
		complete(operation, ERR_CANCELED);
		return;
	}
	if (!survive_faults(operation, &err))
		return;
	if (err != ERR_OK) {
		/* A handle is gone whatever its close gives. */
		if (io->kind == ENV_IO_CLOSE)
			file_destroy(io->file);
		complete(operation, err);
		return;
	}
	if (io->kind != ENV_IO_COMMIT) {
		complete(operation, do_operation(operation));
		return;
	}
	if (operation->step == 0 && content_hash(io) != operation->content)
		sim_fail(operation->life->node->sim, "a buffer changed while its write was posted");
	err = do_commit_step(operation);
	if (err != ERR_OK || operation->step == last_step(io)) {
		complete(operation, err);
		return;
	}
	operation->step++;
	schedule(operation);
}

static void discard_operation(struct sim_event *event)
{
	sim_free(operation_of(event));
}

void sim_node_io(struct env *env, struct env_io *io)
{
	struct operation *operation = sim_allocate(sizeof(*operation));
	struct sim_env *life = sim_life(env);

	operation->event = (struct sim_event){.owner = life,
					      .run = run_operation,
					      .discard = discard_operation,
					      .hurried_by_stop = true};
	operation->io = io;
	operation->life = life;
	if (io->kind == ENV_IO_COMMIT) {
		operation->content = content_hash(io);
		if (io->write_count == 0 && io->sync_count != 0)
			operation->step = 1;
	}
	if (io->kind == ENV_IO_READ && io->size != 0)
		memset(io->buffer, UNREAD, (size_t)io->size);
	if (io->kind == ENV_IO_CLOSE && io->file->posted != 0)
		sim_fail(life->node->sim, "a file was closed under its operations");
	if (io->kind != ENV_IO_CLOSE)
		each_file(io, count_up);
	schedule(operation);
}

/* ---- halting ---- */

/* Whether half of these operations, done without their caller knowing, is a state of its own. */
static bool changes_disk(enum env_io_kind kind)
{
	return kind == ENV_IO_ALLOCATE || kind == ENV_IO_TRUNCATE ||
	       kind == ENV_IO_SYNC_DIRECTORY || kind == ENV_IO_MAKE_DIRECTORY ||
	       kind == ENV_IO_RENAME || kind == ENV_IO_UNLINK;
}

void sim_node_io_interrupt(struct sim_node *node, struct sim_event *event)
{
	struct operation *operation = operation_of(event);
	struct env_io *io;
	struct sim_inode *inode = NULL;

	if (event->run != run_operation)
		return;
	io = operation->io;
	if (io->kind == ENV_IO_COMMIT && operation->step == 0) {
		apply_some_writes(operation);
		return;
	}
	if (is_path_step(operation) || sim_random_below(&node->sim->faults, 2) == 0)
		return;
	if (io->kind == ENV_IO_COMMIT) {
		sim_inode_sync(io->syncs[operation->step - 1]->inode);
	} else if (changes_disk(io->kind)) {
		enum err err = do_operation(operation);

		(void)err;
	} else if (io->kind == ENV_IO_OPEN && (io->flags & ENV_OPEN_CREATE) != 0) {
		if (sim_tree_open(&node->tree, io->path, io->flags, operation, &inode) == ERR_OK)
			sim_tree_close(&node->tree, inode, operation);
	}
}
