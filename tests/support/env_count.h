/* SPDX-License-Identifier: MPL-2.0 */
/*
 * env_count - counts what the engine asks of an env's files: each posted
 * operation is one system call of the real env, and a commit is one a file.
 *
 * One env at a time. It stays counted until env_count_stop(), or until the env
 * is gone; a node that starts again has a new env.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_ENV_COUNT_H
#define AEROSTORE_TESTS_SUPPORT_ENV_COUNT_H

#include "engine/env.h"

struct env_count {
	uint64_t calls[ENV_IO_SPACE + 1]; /* by enum env_io_kind */
	uint64_t bytes_read;		  /* asked for, and not behind the end */
};

/* From zero. */
void env_count_start(struct env *env);
struct env_count env_count_now(void);
struct env_count env_count_stop(struct env *env);

#endif
