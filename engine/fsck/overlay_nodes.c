/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/overlay_private.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

/* ---- nodes ---- */

struct node *overlay_find(const struct overlay *overlay, const char *path)
{
	struct node *node = overlay->nodes;

	while (node != NULL && strcmp(node->path, path) < 0)
		node = node->next;
	return node != NULL && strcmp(node->path, path) == 0 ? node : NULL;
}

void overlay_insert(struct overlay *overlay, struct node *node)
{
	struct node **link = &overlay->nodes;

	while (*link != NULL && strcmp((*link)->path, node->path) < 0)
		link = &(*link)->next;
	node->next = *link;
	*link = node;
}

void overlay_take_out(struct overlay *overlay, struct node *node)
{
	struct node **link = &overlay->nodes;

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
}

char *overlay_copy_text(const char *text)
{
	char *copy = memory_allocate(strlen(text) + 1);

	return copy != NULL ? memcpy(copy, text, strlen(text) + 1) : NULL;
}

struct node *overlay_add(struct overlay *overlay, const char *path, enum node_kind kind)
{
	struct node *node = memory_allocate(sizeof(*node));

	if (node == NULL)
		return NULL;
	node->path = overlay_copy_text(path);
	if (node->path == NULL) {
		memory_free(node);
		return NULL;
	}
	node->kind = kind;
	node->loaded = true;
	node->stat = (struct env_stat){.inode = ++overlay->next_inode, .link_count = 1};
	overlay_insert(overlay, node);
	return node;
}

void overlay_free(struct node *node)
{
	ASSERT(node->base == NULL);
	buf_finish(&node->content);
	memory_free(node->path);
	memory_free(node);
}

void overlay_stat_node(const struct node *node, struct env_stat *out)
{
	*out = node->stat;
	out->size = node->loaded ? node->content.size : node->stat.size;
	out->link_count = node->unlinked ? 0 : 1;
	out->is_directory = node->kind == NODE_DIRECTORY;
}

/* ---- operations ---- */

static void complete_later(void *context)
{
	struct env_io *io = context;

	io->done(io);
}

void op_answer(struct overlay *overlay, struct env_io *io, enum err err)
{
	io->err = err;
	env_soon(overlay->base, complete_later, io);
}

void op_end(struct op *op, enum err err)
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

void op_post(struct op *op, void (*next)(struct op *op))
{
	op->next = next;
	op->base.done = base_done;
	op->base.context = op;
	env_io(op->overlay->base, &op->base);
}

struct op *op_create(struct overlay *overlay, struct env_io *io)
{
	struct op *op = memory_allocate(sizeof(*op));

	if (op == NULL) {
		op_answer(overlay, io, ERR_NOMEM);
		return NULL;
	}
	op->overlay = overlay;
	op->io = io;
	op->base = *io;
	return op;
}

void op_passed(struct op *op)
{
	struct env_io *io = op->io;

	io->stat = op->base.stat;
	io->path_stat = op->base.path_stat;
	io->space_total = op->base.space_total;
	io->space_free = op->base.space_free;
	io->names = op->base.names;
	op_end(op, op->base.err);
}

void overlay_pass(struct overlay *overlay, struct env_io *io)
{
	struct op *op = op_create(overlay, io);

	if (op != NULL)
		op_post(op, op_passed);
}
