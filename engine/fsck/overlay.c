/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/fsck/overlay_private.h"

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/fsck/memory_index.h"

static struct overlay *of_env(struct env *env)
{
	struct overlay *overlay = (struct overlay *)env;

	overlay->env.stopped = overlay->base->stopped;
	return overlay;
}

static void overlay_io(struct env *env, struct env_io *io)
{
	struct overlay *overlay = of_env(env);

	switch (io->kind) {
	case ENV_IO_OPEN:
		overlay_open(overlay, io);
		return;
	case ENV_IO_CLOSE:
		overlay_close(overlay, io);
		return;
	case ENV_IO_READ:
		overlay_read(overlay, io);
		return;
	case ENV_IO_COMMIT:
	case ENV_IO_TRUNCATE:
		overlay_change(overlay, io);
		return;
	case ENV_IO_STAT:
		overlay_stat(overlay, io);
		return;
	case ENV_IO_SPACE:
		overlay_pass(overlay, io);
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
		overlay_pass(overlay, io);
	else if (io->kind == ENV_IO_MAKE_DIRECTORY)
		overlay_make_directory(overlay, io);
	else if (io->kind == ENV_IO_RENAME)
		overlay_rename(overlay, io);
	else if (io->kind == ENV_IO_UNLINK)
		overlay_unlink(overlay, io);
	else if (io->kind == ENV_IO_LIST)
		overlay_list(overlay, io);
	else
		op_answer(overlay, io, ERR_OK);
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
		overlay_free(node);
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

bool overlay_is_through(const struct overlay *overlay)
{
	return overlay->through;
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
	struct node *node = overlay_find(overlay, path);

	if (node == NULL || node->handles != 0)
		return;
	overlay_take_out(overlay, node);
	overlay_free(node);
}
