/* SPDX-License-Identifier: MPL-2.0 */
/*
 * read_ahead - reads a file part by part, one part ahead of who works on it.
 *
 * Begin a read, then, in turn: end it, begin the next, work on what came. One
 * read is under way at a time. Two buffers of `capacity` bytes, allocated once.
 */
#ifndef AEROSTORE_ENGINE_SET_READ_AHEAD_H
#define AEROSTORE_ENGINE_SET_READ_AHEAD_H

#include "engine/task.h"

struct read_ahead {
	struct env *env;
	struct env_file *file; /* borrowed */
	uint8_t *buffers[2];
	size_t turn; /* of the read that was begun last */
	struct env_io io;
	struct group ended;
};

MUST_USE enum err read_ahead_init(struct read_ahead *ahead, struct env *env, struct env_file *file,
				  size_t capacity);
/* Waits for a read that is under way. Harmless on zeros. */
WAITS void read_ahead_finish(struct read_ahead *ahead);
/* size: at most the capacity. None may be under way. */
void read_ahead_begin(struct read_ahead *ahead, uint64_t offset, size_t size);
/*
 * What was begun last. The bytes stay until the next but one is begun. ERR_CORRUPT: the file ends
 * before.
 */
WAITS MUST_USE enum err read_ahead_end(struct read_ahead *ahead, struct bytes *out);

#endif
