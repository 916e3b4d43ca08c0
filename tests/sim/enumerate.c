/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/enumerate.h"

#include <inttypes.h>

/* Also lets the random mixtures of one cut differ from each other. */
static void draw_fate(struct sim *sim, uint64_t fate)
{
	while (fate-- != 0)
		(void)sim_random_u64(&sim->faults);
}

static enum err check_after_restart(const struct sim_crash_case *test, struct sim *sim)
{
	struct sim_node *node = sim->nodes[0];
	enum err err;

	node->crash_at = 0;
	if (sim_is_running(node))
		sim_crash(node, node->crash_outcome);
	err = sim_unwind(node);
	if (err != ERR_OK)
		return err;
	sim_restart(node);
	err = sim_run_task(sim, test->check, test->context);
	return sim->failed ? ERR_LIMIT : err;
}

/* One run, cut at `step`; *cut tells whether it came so far. */
static enum err run_once(const struct sim_crash_case *test, uint64_t step, uint64_t fate, bool *cut)
{
	struct sim *sim = sim_create(test->seed, test->options);
	struct sim_node *node = sim_add_node(sim);
	enum err err;

	if (test->begin != NULL)
		test->begin(sim, test->context);
	/* What begin() did is not cut. */
	node->crash_at = node->step_count + step;
	node->crash_outcome = fate == 0	  ? SIM_CRASH_DROP_ALL
			      : fate == 1 ? SIM_CRASH_KEEP_ALL
					  : SIM_CRASH_RANDOM;
	draw_fate(sim, fate);
	err = sim_run_task(sim, test->work, test->context);
	*cut = !sim_is_running(node);
	if (err == ERR_OK)
		err = check_after_restart(test, sim);
	if (err != ERR_OK)
		fprintf(stderr, "power failed at step %" PRIu64 ", fate %" PRIu64 ": %s\n", step,
			fate, err_name(err));
	sim_finish(&sim);
	return err;
}

enum err sim_enumerate_crashes(const struct sim_crash_case *test, struct sim_crash_report *report)
{
	bool cut = true;

	*report = (struct sim_crash_report){0};
	for (uint64_t step = 1; cut; step++) {
		for (uint64_t fate = 0; cut && fate < 2 + test->random_count; fate++) {
			enum err err = run_once(test, step, fate, &cut);

			if (err != ERR_OK)
				return err;
			report->state_count++;
		}
		report->step_count = step - 1;
	}
	return ERR_OK;
}
