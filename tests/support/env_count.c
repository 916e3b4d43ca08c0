/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/env_count.h"

#include <stdlib.h>

#include "engine/base/assert.h"

static struct env_count counted;
static const struct env_ops *counted_ops;
static struct env_ops counting_ops;

/* A read says how much it got only when it ends. */
struct read_end {
	void (*done)(struct env_io *io);
	void *context;
};

static void read_ended(struct env_io *io)
{
	struct read_end *end = io->context;

	counted.bytes_read += io->done_size;
	io->done = end->done;
	io->context = end->context;
	free(end);
	io->done(io);
}

static void count_io(struct env *env, struct env_io *io)
{
	counted.calls[io->kind]++;
	if (io->kind == ENV_IO_READ) {
		struct read_end *end = malloc(sizeof(*end));

		ASSERT(end != NULL);
		*end = (struct read_end){io->done, io->context};
		io->done = read_ended;
		io->context = end;
	}
	counted_ops->io(env, io);
}

void env_count_start(struct env *env)
{
	ASSERT(env->ops != &counting_ops);
	counted = (struct env_count){.bytes_read = 0};
	counted_ops = env->ops;
	counting_ops = *env->ops;
	counting_ops.io = count_io;
	env->ops = &counting_ops;
}

struct env_count env_count_now(void)
{
	return counted;
}

struct env_count env_count_stop(struct env *env)
{
	ASSERT(env->ops == &counting_ops);
	env->ops = counted_ops;
	return counted;
}
