/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/read_ahead.h"

#include "engine/base/assert.h"
#include "engine/base/memory.h"

enum err read_ahead_init(struct read_ahead *ahead, struct env *env, struct env_file *file,
			 size_t capacity)
{
	*ahead = (struct read_ahead){.env = env, .file = file};
	for (size_t i = 0; i < 2; i++) {
		ahead->buffers[i] = memory_allocate(capacity);
		if (ahead->buffers[i] == NULL)
			return ERR_NOMEM;
	}
	return ERR_OK;
}

void read_ahead_finish(struct read_ahead *ahead)
{
	group_wait(&ahead->ended);
	for (size_t i = 0; i < 2; i++)
		memory_free(ahead->buffers[i]);
}

static void ended(struct env_io *io)
{
	struct read_ahead *ahead = io->context;

	group_leave(&ahead->ended);
}

void read_ahead_begin(struct read_ahead *ahead, uint64_t offset, size_t size)
{
	ASSERT(ahead->ended.pending == 0);
	ahead->turn = 1 - ahead->turn;
	ahead->io = (struct env_io){.kind = ENV_IO_READ,
				    .file = ahead->file,
				    .offset = offset,
				    .buffer = ahead->buffers[ahead->turn],
				    .size = size,
				    .done = ended,
				    .context = ahead};
	group_enter(&ahead->ended);
	env_io(ahead->env, &ahead->io);
}

enum err read_ahead_end(struct read_ahead *ahead, struct bytes *out)
{
	group_wait(&ahead->ended);
	if (ahead->io.err != ERR_OK)
		return ahead->io.err;
	if (ahead->io.done_size != ahead->io.size)
		return ERR_CORRUPT;
	*out = bytes_make(ahead->io.buffer, ahead->io.done_size);
	return ERR_OK;
}
