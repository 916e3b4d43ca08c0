/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/pace.h"

/* How often, and how long each time, one step gives way to the foreground. */
enum { YIELD_MS = 5, YIELD_COUNT = PACE_YIELD_MAX_MS / YIELD_MS };

static WAITS enum err give_way(const struct pace *pace)
{
	enum err err = ERR_OK;

	for (int i = 0; err == ERR_OK && i < YIELD_COUNT && volume_is_busy(pace->volume); i++)
		err = task_sleep(YIELD_MS);
	return err;
}

enum err pace_wait(struct pace *pace, uint64_t size)
{
	struct env *env = sched_env(volume_sched(pace->volume));
	uint64_t now_us = env_now_us(env);
	enum err err = ERR_OK;

	if (pace->rate != 0) {
		/* What was not used while it paused is gone: no bursts to catch up. */
		if (pace->due_us < now_us)
			pace->due_us = now_us;
		else
			err = task_sleep((pace->due_us - now_us) / 1000);
		pace->due_us += size * 1000000 / pace->rate;
	}
	return err == ERR_OK ? give_way(pace) : err;
}
