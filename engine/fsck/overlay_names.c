/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/overlay_private.h"

#include <string.h>

#include "engine/base/memory.h"

void overlay_stat(struct overlay *overlay, struct env_io *io)
{
	struct node *node = io->file != NULL ? io->file->node : NULL;
	struct op *op;

	if (io->file == NULL && !overlay->through)
		node = overlay_find(overlay, io->path);
	if (node != NULL) {
		overlay_stat_node(node, &io->stat);
		op_answer(overlay, io, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_OK);
		return;
	}
	op = op_create(overlay, io);
	if (op == NULL)
		return;
	if (io->file != NULL)
		op->base.file = io->file->through;
	op_post(op, op_passed);
}

static void made_directory(struct op *op)
{
	enum err err = op->base.err == ERR_OK ? ERR_EXISTS : op->base.err;

	if (err == ERR_NOTFOUND)
		err = overlay_add(op->overlay, op->io->path, NODE_DIRECTORY) != NULL ? ERR_OK
										     : ERR_NOMEM;
	op_end(op, err);
}

void overlay_make_directory(struct overlay *overlay, struct env_io *io)
{
	struct op *op;

	if (overlay_find(overlay, io->path) != NULL) {
		op_answer(overlay, io, ERR_EXISTS);
		return;
	}
	op = op_create(overlay, io);
	if (op == NULL)
		return;
	op->base.kind = ENV_IO_STAT;
	op->base.file = NULL;
	op_post(op, made_directory);
}

/* The name is gone; whoever has the file open keeps it. */
static enum err drop_name(struct overlay *overlay, struct node *node)
{
	struct node *gone;

	overlay_take_out(overlay, node);
	gone = overlay_add(overlay, node->path, NODE_GONE);
	if (gone == NULL) {
		overlay_insert(overlay, node);
		return ERR_NOMEM;
	}
	if (node->handles == 0)
		overlay_free(node);
	else
		node->unlinked = true;
	return ERR_OK;
}

static void unlinked(struct op *op)
{
	if (op->base.err == ERR_OK && overlay_add(op->overlay, op->io->path, NODE_GONE) == NULL)
		op->base.err = ERR_NOMEM;
	op_end(op, op->base.err);
}

void overlay_unlink(struct overlay *overlay, struct env_io *io)
{
	struct node *node = overlay_find(overlay, io->path);
	struct op *op;

	if (node != NULL) {
		op_answer(overlay, io,
			  node->kind == NODE_GONE ? ERR_NOTFOUND : drop_name(overlay, node));
		return;
	}
	op = op_create(overlay, io);
	if (op == NULL)
		return;
	op->base.kind = ENV_IO_STAT;
	op->base.file = NULL;
	op_post(op, unlinked);
}

/* Only of what was written here: nothing in the engine renames a file that it did not just make. */
void overlay_rename(struct overlay *overlay, struct env_io *io)
{
	struct node *node = overlay_find(overlay, io->path), *target;
	char *path;
	enum err err = ERR_OK;

	if (node == NULL || node->kind != NODE_FILE || !node->loaded) {
		op_answer(overlay, io, ERR_NOTFOUND);
		return;
	}
	target = overlay_find(overlay, io->to_path);
	path = overlay_copy_text(io->to_path);
	if (path == NULL)
		err = ERR_NOMEM;
	if (err == ERR_OK && target != NULL) {
		overlay_take_out(overlay, target);
		target->unlinked = true;
		if (target->handles == 0)
			overlay_free(target);
	}
	if (err == ERR_OK) {
		overlay_take_out(overlay, node);
		memory_free(node->path);
		node->path = path;
		overlay_insert(overlay, node);
	}
	op_answer(overlay, io, err);
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
	const struct node *directory = overlay_find(op->overlay, op->io->path);
	enum err err = op->base.err;

	if (err == ERR_NOTFOUND && directory != NULL && directory->kind == NODE_DIRECTORY)
		err = ERR_OK;
	if (err == ERR_OK) {
		merge_names(op->overlay, op->io->path, &op->base.names, &op->io->names);
		err = op->io->names.err;
	}
	buf_finish(&op->base.names);
	op_end(op, err);
}

void overlay_list(struct overlay *overlay, struct env_io *io)
{
	struct op *op = op_create(overlay, io);

	if (op == NULL)
		return;
	op->base.names = (struct buf){0};
	op_post(op, listed);
}
