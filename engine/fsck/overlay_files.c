/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/overlay_private.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

/* ---- opening, closing ---- */

static void end_open(struct op *op, struct node *node)
{
	if (node == NULL) {
		memory_free(op->file);
		op_end(op, ERR_NOMEM);
		return;
	}
	op->file->node = node;
	node->handles++;
	op->io->file = op->file;
	op_end(op, ERR_OK);
}

static void opened_stat(struct op *op)
{
	struct node *node = overlay_find(op->overlay, op->io->path);

	ASSERT(op->base.err == ERR_OK);
	/* Somebody else opened it meanwhile: one node a path. The second handle of the base goes.
	 */
	if (node == NULL)
		node = overlay_add(op->overlay, op->io->path, NODE_FILE);
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
		end_open(op, overlay_add(op->overlay, op->io->path, NODE_FILE));
		return;
	}
	if (op->base.err != ERR_OK || op->overlay->through) {
		op->file->through = op->base.file;
		op->io->file = op->file;
		if (op->base.err != ERR_OK)
			memory_free(op->file);
		op_end(op, op->base.err);
		return;
	}
	op->base.kind = ENV_IO_STAT;
	op_post(op, opened_stat);
}

void overlay_open(struct overlay *overlay, struct env_io *io)
{
	struct node *node = overlay->through ? NULL : overlay_find(overlay, io->path);
	struct op *op = op_create(overlay, io);

	if (op == NULL)
		return;
	op->file = memory_allocate(sizeof(*op->file));
	if (op->file == NULL) {
		memory_free(op);
		op_answer(overlay, io, ERR_NOMEM);
		return;
	}
	op->file->overlay = overlay;
	if (node == NULL) {
		if (!overlay->through)
			op->base.flags = io->flags & ENV_OPEN_LOCK;
		op_post(op, opened);
		return;
	}
	if (node->kind == NODE_GONE && (io->flags & ENV_OPEN_CREATE) != 0) {
		node->kind = NODE_FILE;
		node->loaded = true;
	} else if (node->kind != NODE_FILE || (io->flags & ENV_OPEN_EXCLUSIVE) != 0) {
		op_answer(overlay, io, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_EXISTS);
		memory_free(op->file);
		memory_free(op);
		return;
	}
	op->file->node = node;
	node->handles++;
	io->file = op->file;
	memory_free(op);
	op_answer(overlay, io, ERR_OK);
}

static void closed(struct op *op)
{
	op_end(op, ERR_OK);
}

void overlay_close(struct overlay *overlay, struct env_io *io)
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
				overlay_take_out(overlay, node);
			overlay_free(node);
		} else if (node->base != NULL) {
			base = node->base;
			node->base = NULL;
		}
	}
	op = base != NULL ? op_create(overlay, io) : NULL;
	if (base == NULL) {
		op_answer(overlay, io, ERR_OK);
	} else if (op != NULL) {
		op->base.file = base;
		op_post(op, closed);
	}
}

/* ---- reading, writing ---- */

static void base_read(struct op *op)
{
	op->io->done_size = op->base.done_size;
	op_end(op, op->base.err);
}

void overlay_read(struct overlay *overlay, struct env_io *io)
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
		op_answer(overlay, io, ERR_OK);
		return;
	}
	op = op_create(overlay, io);
	if (op == NULL)
		return;
	op->base.file = node != NULL ? node->base : io->file->through;
	op_post(op, base_read);
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

static void change_files(struct op *op);

static void file_loaded(struct op *op)
{
	struct node *node = op->loading;

	if (op->base.err == ERR_OK && op->base.done_size != node->content.size)
		op->base.err = ERR_TORN;
	if (op->base.err != ERR_OK) {
		buf_finish(&node->content);
		op_end(op, op->base.err);
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
		op_end(op, ERR_NOMEM);
		return false;
	}
	op->loading = node;
	op->base = (struct env_io){
		.kind = ENV_IO_READ, .file = node->base, .buffer = data, .size = node->stat.size};
	op_post(op, file_loaded);
	return false;
}

static void looked(struct op *op)
{
	op->io->path_stat = op->base.stat;
	op_end(op, op->base.err);
}

/* What a commit looks at when it is done. */
static void look_at_path(struct op *op)
{
	const struct node *node = overlay_find(op->overlay, op->io->path);

	if (node != NULL) {
		overlay_stat_node(node, &op->io->path_stat);
		op_end(op, node->kind == NODE_GONE ? ERR_NOTFOUND : ERR_OK);
		return;
	}
	op->base = (struct env_io){.kind = ENV_IO_STAT, .path = op->io->path};
	op_post(op, looked);
}

static void finish_commit(struct op *op)
{
	struct env_io *io = op->io;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < io->write_count; i++)
		err = apply_write(&io->writes[i]);
	for (size_t i = 0; i < io->sync_count; i++) {
		struct env_stat stat;

		overlay_stat_node(io->syncs[i]->node, &stat);
		if (i == 0 || stat.link_count < io->stat.link_count)
			io->stat = stat;
	}
	if (err == ERR_OK && io->path != NULL)
		look_at_path(op);
	else
		op_end(op, err);
}

static void finish_truncate(struct op *op)
{
	struct buf *content = &op->io->file->node->content;
	enum err err = extend_to(content, op->io->size);

	if (err == ERR_OK)
		content->size = (size_t)op->io->size;
	op_end(op, err);
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
	op_post(op, op_passed);
}

static bool is_through(const struct env_io *io)
{
	if (io->kind == ENV_IO_COMMIT)
		return io->sync_count != 0 && io->syncs[0]->through != NULL;
	return io->file->through != NULL;
}

void overlay_change(struct overlay *overlay, struct env_io *io)
{
	struct node *node = io->file != NULL ? io->file->node : NULL;
	struct op *op;

	/* To cut a file where it ends anyway is no change. */
	if (io->kind == ENV_IO_TRUNCATE && node != NULL && !node->loaded &&
	    node->stat.size == io->size) {
		op_answer(overlay, io, ERR_OK);
		return;
	}
	/* Nothing of the old is needed, which may not even be readable. */
	if (io->kind == ENV_IO_TRUNCATE && node != NULL && io->size == 0)
		node->loaded = true;
	op = op_create(overlay, io);
	if (op == NULL)
		return;
	if (!is_through(io))
		env_soon(overlay->base, start_change, op);
	else if (io->kind == ENV_IO_COMMIT)
		pass_commit(op);
	else {
		op->base.file = io->file->through;
		op_post(op, op_passed);
	}
}
