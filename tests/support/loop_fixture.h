/* SPDX-License-Identifier: MPL-2.0 */
/*
 * loop_fixture - a real loop with a scheduler and an empty directory, for cmocka
 * tests that need sockets or disks.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_LOOP_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_LOOP_FIXTURE_H

#include "engine/task.h"
#include "net/loop.h"

struct loop_fixture {
	struct loop *loop;
	struct sched *sched;
	char directory[64]; /* removed with its content at the end */
};

/* cmocka's setup and teardown: *state is a struct loop_fixture. */
int loop_fixture_setup(void **state);
int loop_fixture_teardown(void **state);
/* Runs run(argument) in a task, and the loop until no task is left. */
void loop_fixture_run(struct loop_fixture *fixture, void (*run)(void *argument), void *argument);
/* "<directory>/<name>", until the fourth call after. */
const char *loop_fixture_path(const struct loop_fixture *fixture, const char *name);

#endif
