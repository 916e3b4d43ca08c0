/* SPDX-License-Identifier: MPL-2.0 */
/*
 * overlay_private - what the files of the overlay share:
 *   overlay.c        the env, its life, which operation goes where
 *   overlay_nodes.c  what is known of a path; an operation's way to the base and back
 *   overlay_files.c  opening, reading, writing
 *   overlay_names.c  what changes or asks names
 *
 * A node is a path that is open, or differs from the base. It reads from the
 * base until it is loaded: then `content` is all of it.
 */
#ifndef AEROSTORE_ENGINE_FSCK_OVERLAY_PRIVATE_H
#define AEROSTORE_ENGINE_FSCK_OVERLAY_PRIVATE_H

#include "engine/fsck/overlay.h"

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

/* ---- overlay_nodes.c ---- */

/* NULL: the base has it as it is, or not at all. */
struct node *overlay_find(const struct overlay *overlay, const char *path);
void overlay_insert(struct overlay *overlay, struct node *node);
void overlay_take_out(struct overlay *overlay, struct node *node);
/* Empty, loaded, and in the list. NULL: no memory, here and below. */
struct node *overlay_add(struct overlay *overlay, const char *path, enum node_kind kind);
/* Not in the list; without a file of the base. */
void overlay_free(struct node *node);
void overlay_stat_node(const struct node *node, struct env_stat *out);
char *overlay_copy_text(const char *text);

/* Completes the user's operation, later: `done` never comes from inside the call that posted. */
void op_answer(struct overlay *overlay, struct env_io *io, enum err err);
/* A copy of `io` for the base. NULL: no memory, which is answered. */
struct op *op_create(struct overlay *overlay, struct env_io *io);
/* Has the base do op->base; then next(op), who ends or goes on. */
void op_post(struct op *op, void (*next)(struct op *op));
/* From a completion of the base: the operation is over. */
void op_end(struct op *op, enum err err);
/* A `next` that hands the base's results on. */
void op_passed(struct op *op);
/* The base does it. */
void overlay_pass(struct overlay *overlay, struct env_io *io);

/* ---- overlay_files.c ---- */

void overlay_open(struct overlay *overlay, struct env_io *io);
void overlay_close(struct overlay *overlay, struct env_io *io);
void overlay_read(struct overlay *overlay, struct env_io *io);
void overlay_change(struct overlay *overlay, struct env_io *io); /* commit, truncate */

/* ---- overlay_names.c ---- */

void overlay_stat(struct overlay *overlay, struct env_io *io);
void overlay_make_directory(struct overlay *overlay, struct env_io *io);
void overlay_unlink(struct overlay *overlay, struct env_io *io);
void overlay_rename(struct overlay *overlay, struct env_io *io);
void overlay_list(struct overlay *overlay, struct env_io *io);

#endif
