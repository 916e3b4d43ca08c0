/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/attempt.h"

#include "engine/base/memory.h"

/* Shared by who waits and who works; the last one frees it. */
struct state {
	struct attempt attempt;
	struct cond ended;
	struct group working; /* for who is canceled, and can wait for nothing else */
	struct task *task;
	bool done, given_up;
	enum err err;
};

static void work(void *argument)
{
	struct state *state = argument;
	enum err err = state->attempt.run(state->attempt.argument);

	if (state->given_up) {
		state->attempt.late(state->attempt.argument, err);
		memory_free(state);
		return;
	}
	state->err = err;
	state->done = true;
	cond_broadcast(&state->ended);
	group_leave(&state->working);
}

/* ERR_TIMEOUT: it did not move. */
static WAITS enum err wait_while_moving(struct state *state, struct env *env)
{
	enum err err = ERR_OK;

	while (!state->done && err == ERR_OK) {
		uint64_t turns = task_turns(state->task);

		err = cond_wait(&state->ended, env_now_ms(env) + state->attempt.patience_ms);
		if (err == ERR_TIMEOUT && !state->done && task_turns(state->task) != turns)
			err = ERR_OK;
	}
	return state->done ? ERR_OK : err;
}

enum err attempt_run(struct sched *sched, const struct attempt *attempt)
{
	struct state *state = memory_allocate(sizeof(*state));
	enum err err;

	if (state == NULL)
		return ERR_NOMEM;
	state->attempt = *attempt;
	group_enter(&state->working);
	err = task_spawn(sched, attempt->name, work, state, &state->task);
	if (err != ERR_OK) {
		memory_free(state);
		return err;
	}
	err = wait_while_moving(state, sched_env(sched));
	if (err == ERR_TIMEOUT) {
		state->given_up = true;
		return err;
	}
	if (!state->done)
		task_cancel(state->task);
	group_wait(&state->working);
	err = state->err;
	memory_free(state);
	return err;
}
