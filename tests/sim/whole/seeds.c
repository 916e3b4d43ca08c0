/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/seeds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/assert.h"

#define PARALLEL 2u

/* What a child hands back. */
struct outcome {
	bool passed;
	struct report report;
};

struct child {
	pid_t pid;
	int pipe;
	uint64_t seed;
};

static _Noreturn void be_child(seed_run *run, uint64_t seed, bool silent, int out)
{
	struct outcome *outcome = calloc(1, sizeof(*outcome));
	ssize_t written;

	ASSERT(outcome != NULL);
	if (silent && (freopen("/dev/null", "w", stderr) == NULL))
		_exit(2);
	outcome->passed = run(seed, &outcome->report) == ERR_OK;
	written = write(out, outcome, sizeof(*outcome));
	free(outcome);
	/* Not _exit(): leaks are looked for at the end. */
	exit(written == (ssize_t)sizeof(*outcome) ? 0 : 2);
}

static void start(struct child *child, seed_run *run, uint64_t seed, bool silent)
{
	int ends[2];

	ASSERT(pipe(ends) == 0);
	fflush(NULL);
	*child = (struct child){.pid = fork(), .pipe = ends[0], .seed = seed};
	ASSERT(child->pid >= 0);
	if (child->pid == 0) {
		close(ends[0]);
		be_child(run, seed, silent, ends[1]);
	}
	close(ends[1]);
}

/* Whatever ended the child: *out is complete, and says so in its oracle. */
static void await(const struct child *child, struct outcome *out)
{
	size_t have = 0;
	ssize_t got;
	int status = 0;

	memset(out, 0, sizeof(*out));
	while (have < sizeof(*out) &&
	       (got = read(child->pipe, (char *)out + have, sizeof(*out) - have)) > 0)
		have += (size_t)got;
	close(child->pipe);
	ASSERT(waitpid(child->pid, &status, 0) == child->pid);
	if (have == sizeof(*out) && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	out->passed = false;
	(void)snprintf(out->report.oracle, sizeof(out->report.oracle), "%s",
		       have == sizeof(*out) ? "leak" : "assertion");
}

size_t seeds_run(const char *name, seed_run *run, uint64_t first, uint64_t count,
		 struct report *sum)
{
	struct child children[PARALLEL];
	struct outcome outcome;
	size_t failures = 0;

	for (uint64_t i = 0; i < count + PARALLEL; i++) {
		struct child *child = &children[i % PARALLEL];

		if (i >= PARALLEL && i - PARALLEL < count) {
			await(child, &outcome);
			report_add(sum, &outcome.report);
			failures += !outcome.passed;
			if (!outcome.passed)
				fprintf(stderr,
					"seed %" PRIu64 " failed (%s); repeat with: "
					"SIM_TRACE=1 tests/sim/whole/test_%s_run %" PRIu64 "\n",
					child->seed, outcome.report.oracle, name, child->seed);
		}
		if (i < count)
			start(child, run, first + i, false);
	}
	return failures;
}

bool seeds_replay(seed_run *run, uint64_t seed)
{
	struct child children[2];
	struct outcome outcomes[2];

	for (size_t i = 0; i < 2; i++)
		start(&children[i], run, seed, false);
	for (size_t i = 0; i < 2; i++)
		await(&children[i], &outcomes[i]);
	return outcomes[0].passed && outcomes[1].passed &&
	       outcomes[0].report.trace_hash == outcomes[1].report.trace_hash;
}

int seeds_repeat(const char *name, seed_run *run, uint64_t seed)
{
	struct report report;
	enum err err = run(seed, &report);

	report_print(&report);
	printf("%s, seed %" PRIu64 ", regimen %s: %s %s, trace %016" PRIx64 "\n", name, seed,
	       regimen_name((enum regimen)(seed % REGIMEN_COUNT)), err_name(err), report.oracle,
	       report.trace_hash);
	return err != ERR_OK;
}

void seeds_hunt(seed_run *run, uint64_t limit, uint64_t *needed, struct report *sum)
{
	struct child children[PARALLEL];
	struct outcome outcome;
	uint64_t started = 0, awaited = 0;

	*needed = 0;
	while (awaited < started || (*needed == 0 && started < limit)) {
		while (*needed == 0 && started < limit && started - awaited < PARALLEL) {
			start(&children[started % PARALLEL], run, started + 1, true);
			started++;
		}
		await(&children[awaited % PARALLEL], &outcome);
		awaited++;
		/* Seeds behind the first that found it do not count. */
		if (*needed != 0)
			continue;
		report_add(sum, &outcome.report);
		if (!outcome.passed)
			*needed = awaited;
	}
}
