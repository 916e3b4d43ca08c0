/* SPDX-License-Identifier: MPL-2.0 */
/*
 * attempt - work with a disk that may hang: it is waited for as long as it moves.
 *
 * The work is a task of its own. One that has not run for `patience_ms` waits for
 * something that does not come; then whoever asked goes on without it. Nothing
 * can end it: it ends by itself when the disk answers, or never. What it works
 * with must last until then; `late` says that it has.
 */
#ifndef AEROSTORE_ENGINE_ATTEMPT_H
#define AEROSTORE_ENGINE_ATTEMPT_H

#include "engine/task.h"

struct attempt {
	const char *name; /* static */
	/* Does not give ERR_TIMEOUT. */
	enum err (*run)(void *argument);
	/* The work that was given up has ended, with this result; in its task. */
	void (*late)(void *argument, enum err err);
	void *argument;
	uint64_t patience_ms;
};

/*
 * What run() gives; ERR_TIMEOUT: it was given up, and late() will be called. When the caller is
 * canceled it waits for the work, which is canceled with it.
 */
WAITS MUST_USE enum err attempt_run(struct sched *sched, const struct attempt *attempt);

#endif
