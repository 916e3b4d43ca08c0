/* SPDX-License-Identifier: MPL-2.0 */
/*
 * stage - a real loop, a scheduler and a directory for benchmarks of engine
 * modules. Any failure ends the process (load.h).
 */
#ifndef AEROSTORE_BENCH_LOAD_STAGE_H
#define AEROSTORE_BENCH_LOAD_STAGE_H

#include "engine/task.h"
#include "net/loop.h"

struct stage {
	struct loop *loop;
	struct sched *sched;
	const char *directory; /* borrowed; must exist */
};

void stage_open(struct stage *stage, const char *directory);
void stage_close(struct stage *stage);
/* Runs run(argument) as a task, and the loop until no task is left. */
void stage_run(struct stage *stage, void (*run)(void *argument), void *argument);
/* "<directory>/<name>", cut off beyond the size of `out`. */
void stage_path(const struct stage *stage, const char *name, char out[256]);
/* Ends the process unless err is ERR_OK. */
void stage_check(enum err err, const char *what);
/* The middle of an odd number of values; sorts them. */
double stage_median(double *values, size_t count);

#endif
