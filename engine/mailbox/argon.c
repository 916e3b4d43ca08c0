/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/argon.h"

static bool may_run(const struct argon_gate *gate, bool known)
{
	return gate->running < gate->parallel && (known || !gate->waiting_known);
}

static void wake_next(struct argon_gate *gate)
{
	if (gate->waiting_known)
		cond_signal(&gate->known);
	else
		cond_signal(&gate->other);
}

enum err argon_enter(struct argon_gate *gate, bool known)
{
	size_t *waiting = known ? &gate->waiting_known : &gate->waiting_other;
	enum err err = ERR_OK;

	if (!may_run(gate, known) && gate->waiting_known + gate->waiting_other >= gate->queue)
		return ERR_UNAVAILABLE;
	++*waiting;
	while (!err && !may_run(gate, known))
		err = cond_wait(known ? &gate->known : &gate->other, TASK_FOREVER);
	--*waiting;
	if (err)
		wake_next(gate);
	else
		gate->running++;
	return err;
}

void argon_leave(struct argon_gate *gate)
{
	gate->running--;
	wake_next(gate);
}
