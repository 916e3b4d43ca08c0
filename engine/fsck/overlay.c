/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A node is a path that is open, or differs from the base. It reads from the
 * base until it is loaded: then `content` is all of it.
 */
#include "engine/fsck/overlay.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/fsck/memory_index.h"

enum node_kind { NODE_FILE, NODE_DIRECTORY, NODE_GONE };

struct node {
	struct node *next; /* by path; those without a name are in no list */
	char *path;
	enum node_kind kind;
	struct env_file *base; /* NULL: made here */
	struct env_stat stat;  /* of the base, when it was opened */
	bool loaded, unlinked;
	struct buf content;
	size_t handles;
};

struct env_file {
	struct overlay *overlay;
	struct env_file *through; /* of the base; node is NULL then */
	struct node *node;
};

struct overlay {
	struct env env; /* first */
	struct env *base;
	struct node *nodes;
	uint64_t next_inode;
	bool through;
};

/* One operation of the overlay's user, and the base's that it takes. */
struct op {
	struct overlay *overlay;
	struct env_io *io;
	struct env_io base;
	struct env_file *file; /* to be opened */
	struct node *loading;
	struct env_write write; /* passed through */
	struct env_file *sync;
	void (*next)(struct op *op);
};

static struct overlay *of_env(struct env *env)
{
	struct overlay *overlay = (struct overlay *)env;

	overlay->env.stopped = overlay->base->stopped;
	return overlay;
}

/* ---- nodes ---- */

static struct node *find_node(const struct overlay *overlay, const char *path)
{
	struct node *node = overlay->nodes;

	while (node != NULL && strcmp(node->path, path) < 0)
		node = node->next;
	return node != NULL && strcmp(node->path, path) == 0 ? node : NULL;
}

static void insert_node(struct overlay *overlay, struct node *node)
{
	struct node **link = &overlay->nodes;

	while (*link != NULL && strcmp((*link)->path, node->path) < 0)
		link = &(*link)->next;
	node->next = *link;
	*link = node;
}

static void take_out(struct overlay *overlay, struct node *node)
{
	struct node **link = &overlay->nodes;

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
}

static char *copy_text(const char *text)
{
	char *copy = memory_allocate(strlen(text) + 1);

	return copy != NULL ? memcpy(copy, text, strlen(text) + 1) : NULL;
}

static struct node *add_node(struct overlay *overlay, const char *path, enum node_kind kind)
{
	struct node *node = memory_allocate(sizeof(*node));

	if (node == NULL)
		return NULL;
	node->path = copy_text(path);
	if (node->path == NULL) {
		memory_free(node);
		return NULL;
	}
	node->kind = kind;
	node->loaded = true;
	node->stat = (struct env_stat){.inode = ++overlay->next_inode, .link_count = 1};
	insert_node(overlay, node);
	return node;
}

static void free_node(struct node *node)
{
	ASSERT(node->base == NULL);
	buf_finish(&node->content);
	memory_free(node->path);
	memory_free(node);
}

/* ---- completing ---- */

static void complete_later(void *context)
{
	struct env_io *io = context;

	io->done(io);
}

/* `done` never comes from inside the call that posted. */
static void answer(struct overlay *overlay, struct env_io *io, enum err err)
{
	io->err = err;
	env_soon(overlay->base, complete_later, io);
}

/* From a completion of the base. */
static void end(struct op *op, enum err err)
{
	struct env_io *io = op->io;

	io->err = err;
	memory_free(op);
	io->done(io);
}

static void base_done(struct env_io *base)
{
	struct op *op = base->context;

	op->next(op);
}

static void post_base(struct op *op, void (*next)(struct op *op))
{
	op->next = next;
	op->base.done = base_done;
	op->base.context = op;
	env_io(op->overlay->base, &op->base);
}

static struct op *make_op(struct overlay *overlay, struct env_io *io)
{
	struct op *op = memory_allocate(sizeof(*op));

	if (op == NULL) {
		answer(overlay, io, ERR_NOMEM);
		return NULL;
	}
	op->overlay = overlay;
	op->io = io;
	op->base = *io;
	return op;
}

/* ---- opening, closing ---- */

static void end_open(struct op *op, struct node *node)
{
	if (node == NULL) {
		memory_free(op->file);
		end(op, ERR_NOMEM);
		return;
	}
	op->file->node = node;
	node->handles++;
	op->io->file = op->file;
	end(op, ERR_OK);
}

static void opened_stat(struct op *op)
{
	struct node *node = find_node(op->overlay, op->io->path);

	ASSERT(op->base.err == ERR_OK);
	/* Somebody else opened it meanwhile: one node a path. The second handle of the base goes.
	 */
	if (node == NULL)
		node = add_node(op->overlay, op->io->path, NODE_FILE);
	if (node != NULL && node->base == NULL) {
		node->base = op->base.file;
		node->stat = op->base.stat;
		node->loaded = false;
		op->base.file = NULL;
	}
	end_open(op, node);
}

static void opened(struct op *op)
{
	unsigned flags = op->io->flags;

	if (op->base.err == ERR_NOTFOUND && (flags & ENV_OPEN_CREATE) != 0) {
		end_open(op, add_node(op->overlay, op->io->path, NODE_FILE));
		return;
	}
	if (op->base.err != ERR_OK || op->overlay->through) {
		op->file->through = op->base.file;
		op->io->file = op->file;
		if (op->base.err != ERR_OK)
			memory_free(op->file);
		end(op, op->base.err);
		return;
	}
	op->base.kind = ENV_IO_STAT;
	post_base(op, opened_stat);
}

static void do_open(struct overlay *overlay, struct env_io *io)
{
	struct node *node = overlay->through ? NULL : find_node(overlay, io->path);
	struct op *op = make_op(overlay, io);

	if (op == NULL)
		return;
	op->file = memory_allocate(sizeof(*op->file));
	if (op->file == NULL) {
		memory_free(op);
		answer(overlay, io, ERR_NOMEM);
		return;
	}
	op->file->overlay = overlay;
	if (node == NULL) {
		if (!overlay->through)
			op->base.flags = io->flags & ENV_OPEN_LOCK;
		post_base(op, opened);
		return;
	}
	if (node->kind == NODE_GONE && (io->flags & ENV_OPEN_CREATE) != 0) {
		node->kind = NODE_FILE;
		node->loaded = true;
	} else if (node->kind != NODE_FILE || (io->flags & ENV_OPEN_EXCLUSIVE) != 0) {
		answer(overlay, io, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_EXISTS);
		memory_free(op->file);
		memory_free(op);
		return;
	}
	op->file->node = node;
	node->handles++;
	io->file = op->file;
	memory_free(op);
	answer(overlay, io, ERR_OK);
}

static void closed(struct op *op)
{
	end(op, ERR_OK);
}

static void do_close(struct overlay *overlay, struct env_io *io)
{
	struct env_file *file = io->file, *base = file->through;
	struct node *node = file->node;
	struct op *op;

	io->file = NULL;
	memory_free(file);
	if (node != NULL && --node->handles == 0) {
		if (node->unlinked || !node->loaded) {
			base = node->base;
			node->base = NULL;
			if (!node->unlinked)
				take_out(overlay, node);
			free_node(node);
		} else if (node->base != NULL) {
			base = node->base;
			node->base = NULL;
		}
	}
	op = base != NULL ? make_op(overlay, io) : NULL;
	if (base == NULL) {
		answer(overlay, io, ERR_OK);
	} else if (op != NULL) {
		op->base.file = base;
		post_base(op, closed);
	}
}

/* ---- reading, writing ---- */

static void base_read(struct op *op)
{
	op->io->done_size = op->base.done_size;
	end(op, op->base.err);
}

static void do_read(struct overlay *overlay, struct env_io *io)
{
	struct node *node = io->file->node;
	struct bytes part;
	struct op *op;

	if (node != NULL && node->loaded) {
		part = bytes_slice(bytes_of_buf(&node->content), (size_t)io->offset,
				   (size_t)io->size);
		if (part.size != 0)
			memcpy(io->buffer, part.data, part.size);
		io->done_size = part.size;
		answer(overlay, io, ERR_OK);
		return;
	}
	op = make_op(overlay, io);
	if (op == NULL)
		return;
	op->base.file = node != NULL ? node->base : io->file->through;
	post_base(op, base_read);
}

static enum err extend_to(struct buf *content, uint64_t size)
{
	if (size > content->size)
		buf_put_zeros(content, (size_t)(size - content->size));
	return content->err;
}

static enum err apply_write(const struct env_write *write)
{
	struct buf *content = &write->file->node->content;
	uint64_t offset = write->offset;

	for (size_t i = 0; i < write->part_count; i++) {
		struct bytes part = write->parts[i];

		if (part.size == 0)
			continue;
		if (extend_to(content, offset + part.size) != ERR_OK)
			return ERR_NOMEM;
		memcpy(content->data + offset, part.data, part.size);
		offset += part.size;
	}
	return ERR_OK;
}

static void stat_node(const struct node *node, struct env_stat *out)
{
	*out = node->stat;
	out->size = node->loaded ? node->content.size : node->stat.size;
	out->link_count = node->unlinked ? 0 : 1;
	out->is_directory = node->kind == NODE_DIRECTORY;
}

static void change_files(struct op *op);

static void file_loaded(struct op *op)
{
	struct node *node = op->loading;

	if (op->base.err == ERR_OK && op->base.done_size != node->content.size)
		op->base.err = ERR_TORN;
	if (op->base.err != ERR_OK) {
		buf_finish(&node->content);
		end(op, op->base.err);
		return;
	}
	node->loaded = true;
	change_files(op);
}

/* False: the node is being loaded, and change_files() comes again. */
static bool load(struct op *op, struct node *node)
{
	uint8_t *data;

	if (node->loaded)
		return true;
	buf_clear(&node->content);
	data = buf_extend(&node->content, (size_t)node->stat.size);
	if (data == NULL) {
		end(op, ERR_NOMEM);
		return false;
	}
	op->loading = node;
	op->base = (struct env_io){
		.kind = ENV_IO_READ, .file = node->base, .buffer = data, .size = node->stat.size};
	post_base(op, file_loaded);
	return false;
}

static void looked(struct op *op)
{
	op->io->path_stat = op->base.stat;
	end(op, op->base.err);
}

/* What a commit looks at when it is done. */
static void look_at_path(struct op *op)
{
	const struct node *node = find_node(op->overlay, op->io->path);

	if (node != NULL) {
		stat_node(node, &op->io->path_stat);
		end(op, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_OK);
		return;
	}
	op->base = (struct env_io){.kind = ENV_IO_STAT, .path = op->io->path};
	post_base(op, looked);
}

static void finish_commit(struct op *op)
{
	struct env_io *io = op->io;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < io->write_count; i++)
		err = apply_write(&io->writes[i]);
	for (size_t i = 0; i < io->sync_count; i++) {
		struct env_stat stat;

		stat_node(io->syncs[i]->node, &stat);
		if (i == 0 || stat.link_count < io->stat.link_count)
			io->stat = stat;
	}
	if (err == ERR_OK && io->path != NULL)
		look_at_path(op);
	else
		end(op, err);
}

static void finish_truncate(struct op *op)
{
	struct buf *content = &op->io->file->node->content;
	enum err err = extend_to(content, op->io->size);

	if (err == ERR_OK)
		content->size = (size_t)op->io->size;
	end(op, err);
}

static void change_files(struct op *op)
{
	struct env_io *io = op->io;

	if (io->kind == ENV_IO_TRUNCATE) {
		if (load(op, io->file->node))
			finish_truncate(op);
		return;
	}
	for (size_t i = 0; i < io->write_count; i++)
		if (!load(op, io->writes[i].file->node))
			return;
	finish_commit(op);
}

static void start_change(void *context)
{
	change_files(context);
}

static void passed(struct op *op)
{
	struct env_io *io = op->io;

	io->stat = op->base.stat;
	io->path_stat = op->base.path_stat;
	io->space_total = op->base.space_total;
	io->space_free = op->base.space_free;
	io->names = op->base.names;
	end(op, op->base.err);
}

/* To the base goes one write with its sync at a time, as io_write_sync() has it. */
static void pass_commit(struct op *op)
{
	const struct env_io *io = op->io;

	ASSERT(io->write_count <= 1 && io->sync_count == 1);
	if (io->write_count == 1) {
		op->write = io->writes[0];
		op->write.file = io->writes[0].file->through;
		op->base.writes = &op->write;
	}
	op->sync = io->syncs[0]->through;
	op->base.syncs = &op->sync;
	post_base(op, passed);
}

static bool is_through(const struct env_io *io)
{
	if (io->kind == ENV_IO_COMMIT)
		return io->sync_count != 0 && io->syncs[0]->through != NULL;
	return io->file->through != NULL;
}

static void do_change(struct overlay *overlay, struct env_io *io)
{
	struct node *node = io->file != NULL ? io->file->node : NULL;
	struct op *op;

	/* To cut a file where it ends anyway is no change. */
	if (io->kind == ENV_IO_TRUNCATE && node != NULL && !node->loaded &&
	    node->stat.size == io->size) {
		answer(overlay, io, ERR_OK);
		return;
	}
	/* Nothing of the old is needed, which may not even be readable. */
	if (io->kind == ENV_IO_TRUNCATE && node != NULL && io->size == 0)
		node->loaded = true;
	op = make_op(overlay, io);
	if (op == NULL)
		return;
	if (!is_through(io))
		env_soon(overlay->base, start_change, op);
	else if (io->kind == ENV_IO_COMMIT)
		pass_commit(op);
	else {
		op->base.file = io->file->through;
		post_base(op, passed);
	}
}

/* ---- names ---- */

static void pass(struct overlay *overlay, struct env_io *io)
{
	struct op *op = make_op(overlay, io);

	if (op != NULL)
		post_base(op, passed);
}

static void do_stat(struct overlay *overlay, struct env_io *io)
{
	struct node *node = io->file != NULL ? io->file->node : NULL;
	struct op *op;

	if (io->file == NULL && !overlay->through)
		node = find_node(overlay, io->path);
	if (node != NULL) {
		stat_node(node, &io->stat);
		answer(overlay, io, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_OK);
		return;
	}
	op = make_op(overlay, io);
	if (op == NULL)
		return;
	if (io->file != NULL)
		op->base.file = io->file->through;
	post_base(op, passed);
}

static void made_directory(struct op *op)
{
	enum err err = op->base.err == ERR_OK ? ERR_EXISTS : op->base.err;

	if (err == ERR_NOTFOUND)
		err = add_node(op->overlay, op->io->path, NODE_DIRECTORY) != NULL ? ERR_OK
										  : ERR_NOMEM;
	end(op, err);
}

static void do_make_directory(struct overlay *overlay, struct env_io *io)
{
	struct op *op;

	if (find_node(overlay, io->path) != NULL) {
		answer(overlay, io, ERR_EXISTS);
		return;
	}
	op = make_op(overlay, io);
	if (op == NULL)
		return;
	op->base.kind = ENV_IO_STAT;
	op->base.file = NULL;
	post_base(op, made_directory);
}

/* The name is gone; whoever has the file open keeps it. */
static enum err drop_name(struct overlay *overlay, struct node *node)
{
	struct node *gone;

	take_out(overlay, node);
	gone = add_node(overlay, node->path, NODE_GONE);
	if (gone == NULL) {
		insert_node(overlay, node);
		return ERR_NOMEM;
	}
	if (node->handles == 0)
		free_node(node);
	else
		node->unlinked = true;
	return ERR_OK;
}

static void unlinked(struct op *op)
{
	if (op->base.err == ERR_OK && add_node(op->overlay, op->io->path, NODE_GONE) == NULL)
		op->base.err = ERR_NOMEM;
	end(op, op->base.err);
}

static void do_unlink(struct overlay *overlay, struct env_io *io)
{
	struct node *node = find_node(overlay, io->path);
	struct op *op;

	if (node != NULL) {
		answer(overlay, io,
		       node->kind == NODE_GONE ? ERR_NOTFOUND : drop_name(overlay, node));
		return;
	}
	op = make_op(overlay, io);
	if (op == NULL)
		return;
	op->base.kind = ENV_IO_STAT;
	op->base.file = NULL;
	post_base(op, unlinked);
}

/* Only of what was written here: nothing in the engine renames a file that it did not just make. */
static void do_rename(struct overlay *overlay, struct env_io *io)
{
	struct node *node = find_node(overlay, io->path), *target;
	char *path;
	enum err err = ERR_OK;

	if (node == NULL || node->kind != NODE_FILE || !node->loaded) {
		answer(overlay, io, ERR_NOTFOUND);
		return;
	}
	target = find_node(overlay, io->to_path);
	path = copy_text(io->to_path);
	if (path == NULL)
		err = ERR_NOMEM;
	if (err == ERR_OK && target != NULL) {
		take_out(overlay, target);
		target->unlinked = true;
		if (target->handles == 0)
			free_node(target);
	}
	if (err == ERR_OK) {
		take_out(overlay, node);
		memory_free(node->path);
		node->path = path;
		insert_node(overlay, node);
	}
	answer(overlay, io, err);
}

/* The name of a node directly within the directory; NULL: it is not. */
static const char *name_within(const struct node *node, const char *directory)
{
	size_t size = strlen(directory);
	const char *name;

	if (strncmp(node->path, directory, size) != 0 || node->path[size] != '/')
		return NULL;
	name = node->path + size + 1;
	return *name != '\0' && strchr(name, '/') == NULL ? name : NULL;
}

/* Merges two sorted lists: the base's names without what is gone, and those made here. */
static void merge_names(const struct overlay *overlay, const char *directory,
			const struct buf *base, struct buf *out)
{
	const struct node *node = overlay->nodes;
	size_t at = 0;

	while (at < base->size || node != NULL) {
		const char *theirs = at < base->size ? (const char *)base->data + at : NULL;
		const char *ours = node != NULL ? name_within(node, directory) : NULL;
		int order;

		if (node != NULL && ours == NULL) {
			node = node->next;
			continue;
		}
		order = ours == NULL ? -1 : theirs == NULL ? 1 : strcmp(theirs, ours);
		if (order < 0) {
			buf_put(out, theirs, strlen(theirs) + 1);
		} else if (node->kind != NODE_GONE) {
			buf_put(out, ours, strlen(ours) + 1);
		}
		if (order <= 0)
			at += strlen(theirs) + 1;
		if (order >= 0)
			node = node->next;
	}
}

static void listed(struct op *op)
{
	const struct node *directory = find_node(op->overlay, op->io->path);
	enum err err = op->base.err;

	if (err == ERR_NOTFOUND && directory != NULL && directory->kind == NODE_DIRECTORY)
		err = ERR_OK;
	if (err == ERR_OK) {
		merge_names(op->overlay, op->io->path, &op->base.names, &op->io->names);
		err = op->io->names.err;
	}
	buf_finish(&op->base.names);
	end(op, err);
}

static void do_list(struct overlay *overlay, struct env_io *io)
{
	struct op *op = make_op(overlay, io);

	if (op == NULL)
		return;
	op->base.names = (struct buf){0};
	post_base(op, listed);
}

static void overlay_io(struct env *env, struct env_io *io)
{
	struct overlay *overlay = of_env(env);

	switch (io->kind) {
	case ENV_IO_OPEN:
		do_open(overlay, io);
		return;
	case ENV_IO_CLOSE:
		do_close(overlay, io);
		return;
	case ENV_IO_READ:
		do_read(overlay, io);
		return;
	case ENV_IO_COMMIT:
	case ENV_IO_TRUNCATE:
		do_change(overlay, io);
		return;
	case ENV_IO_STAT:
		do_stat(overlay, io);
		return;
	case ENV_IO_SPACE:
		pass(overlay, io);
		return;
	case ENV_IO_ALLOCATE:
	case ENV_IO_FORGET:
	case ENV_IO_SYNC_DIRECTORY:
	case ENV_IO_MAKE_DIRECTORY:
	case ENV_IO_RENAME:
	case ENV_IO_UNLINK:
	case ENV_IO_LIST:
		break;
	}
	if (overlay->through && io->kind != ENV_IO_ALLOCATE && io->kind != ENV_IO_FORGET)
		pass(overlay, io);
	else if (io->kind == ENV_IO_MAKE_DIRECTORY)
		do_make_directory(overlay, io);
	else if (io->kind == ENV_IO_RENAME)
		do_rename(overlay, io);
	else if (io->kind == ENV_IO_UNLINK)
		do_unlink(overlay, io);
	else if (io->kind == ENV_IO_LIST)
		do_list(overlay, io);
	else
		answer(overlay, io, ERR_OK);
}

/* ---- the rest of the env is the base's ---- */

static uint64_t overlay_now_ms(struct env *env)
{
	return env_now_ms(of_env(env)->base);
}

static uint64_t overlay_now_us(struct env *env)
{
	return env_now_us(of_env(env)->base);
}

static uint64_t overlay_wall_ms(struct env *env)
{
	return env_wall_ms(of_env(env)->base);
}

static void overlay_random(struct env *env, void *out, size_t size)
{
	env_random(of_env(env)->base, out, size);
}

static void overlay_job(struct env *env, struct env_job *job)
{
	env_job(of_env(env)->base, job);
}

static void overlay_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ms)
{
	env_timer_start(of_env(env)->base, timer, delay_ms);
}

static void overlay_timer_stop(struct env *env, struct env_timer *timer)
{
	env_timer_stop(of_env(env)->base, timer);
}

static void overlay_soon(struct env *env, void (*run)(void *context), void *context)
{
	env_soon(of_env(env)->base, run, context);
}

static void overlay_log(struct env *env, const char *line)
{
	struct env *base = of_env(env)->base;

	base->ops->log(base, line);
}

static enum err index_open(struct env *env, const char *path, struct env_index **out)
{
	(void)env;
	(void)path;
	return memory_index_create(out);
}

static const struct env_ops ops = {
	.now_ms = overlay_now_ms,
	.now_us = overlay_now_us,
	.wall_ms = overlay_wall_ms,
	.random = overlay_random,
	.io = overlay_io,
	.job = overlay_job,
	.timer_start = overlay_timer_start,
	.timer_stop = overlay_timer_stop,
	.soon = overlay_soon,
	.log = overlay_log,
	.index_open = index_open,
	.index_close = memory_index_destroy,
	.index_commit = memory_index_commit,
	.index_get = memory_index_get,
	.index_scan = memory_index_scan,
	.index_clear = memory_index_clear,
};

/* ---- life ---- */

enum err overlay_create(struct env *base, struct overlay **out)
{
	struct overlay *overlay = memory_allocate(sizeof(*overlay));

	if (overlay == NULL)
		return ERR_NOMEM;
	overlay->env.ops = &ops;
	overlay->base = base;
	*out = overlay;
	return ERR_OK;
}

void overlay_destroy(struct overlay **overlay_pointer)
{
	struct overlay *overlay = *overlay_pointer;

	if (overlay == NULL)
		return;
	*overlay_pointer = NULL;
	while (overlay->nodes != NULL) {
		struct node *node = overlay->nodes;

		ASSERT(node->handles == 0);
		overlay->nodes = node->next;
		free_node(node);
	}
	memory_free(overlay);
}

struct env *overlay_env(struct overlay *overlay)
{
	return &overlay->env;
}

void overlay_through(struct overlay *overlay, bool through)
{
	overlay->through = through;
}

void overlay_changes(const struct overlay *overlay,
		     void (*each)(void *context, const char *path, const struct buf *content),
		     void *context)
{
	for (const struct node *node = overlay->nodes; node != NULL; node = node->next) {
		if (node->kind == NODE_GONE)
			each(context, node->path, NULL);
		else if (node->kind == NODE_FILE && node->loaded)
			each(context, node->path, &node->content);
	}
}

void overlay_forget(struct overlay *overlay, const char *path)
{
	struct node *node = find_node(overlay, path);

	if (node == NULL || node->handles != 0)
		return;
	take_out(overlay, node);
	free_node(node);
}
