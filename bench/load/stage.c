/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/load/stage.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/load/load.h"

void stage_open(struct stage *stage, const char *directory)
{
	const struct loop_options options = {.log_descriptor = 2};

	stage->directory = directory;
	stage_check(loop_create(&options, &stage->loop), "loop");
	stage->sched = sched_create(loop_env(stage->loop));
	if (stage->sched == NULL)
		load_die("out of memory");
}

void stage_close(struct stage *stage)
{
	sched_destroy(&stage->sched);
	loop_destroy(&stage->loop);
}

void stage_run(struct stage *stage, void (*run)(void *argument), void *argument)
{
	stage_check(task_spawn(stage->sched, "bench", run, argument, NULL), "task");
	while (sched_task_count(stage->sched) != 0)
		loop_turn(stage->loop, true);
}

void stage_path(const struct stage *stage, const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/%s", stage->directory, name);
}

void stage_check(enum err err, const char *what)
{
	if (err != ERR_OK)
		load_die("%s: %s", what, err_text(err));
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double stage_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}
