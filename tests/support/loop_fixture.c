/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/loop_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

int loop_fixture_setup(void **state)
{
	struct loop_options options = {.io_threads = 2, .cpu_threads = 2, .log_descriptor = -1};
	struct loop_fixture *fixture = memory_allocate(sizeof(*fixture));

	if (fixture == NULL || loop_create(&options, &fixture->loop) != ERR_OK)
		return -1;
	fixture->sched = sched_create(loop_env(fixture->loop));
	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/aerostore-test-XXXXXX");
	if (fixture->sched == NULL || mkdtemp(fixture->directory) == NULL)
		return -1;
	*state = fixture;
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

int loop_fixture_teardown(void **state)
{
	struct loop_fixture *fixture = *state;

	/* An assertion failed in a task and jumped out of it: cmocka says which, unless we abort.
	 */
	if (sched_task_count(fixture->sched) != 0)
		return -1;
	sched_destroy(&fixture->sched);
	loop_destroy(&fixture->loop);
	nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	memory_free(fixture);
	return 0;
}

void loop_fixture_run(struct loop_fixture *fixture, void (*run)(void *argument), void *argument)
{
	enum err err = task_spawn(fixture->sched, "test", run, argument, NULL);

	ASSERT(err == ERR_OK);
	while (sched_task_count(fixture->sched) != 0)
		loop_turn(fixture->loop, true);
}

const char *loop_fixture_path(const struct loop_fixture *fixture, const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture->directory, name);
	return path;
}
