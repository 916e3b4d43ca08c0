/* SPDX-License-Identifier: MPL-2.0 */
/*
 * argon - who may stretch a password now.
 *
 * Argon2 takes a core and 64 MiB for a tenth of a second and more, so a home
 * runs only so many at once, and lets only so many wait. Two queues: pairs of
 * account and network address that opened the account before go first, so that
 * somebody who guesses passwords does not keep the users out.
 *
 * Everything that stretches goes through here, for addresses that nobody has,
 * too: only secrets that were generated are tried before, as they cost nothing.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_ARGON_H
#define AEROSTORE_ENGINE_MAILBOX_ARGON_H

#include "engine/task.h"

struct argon_gate {
	size_t parallel, queue; /* limits: running, waiting */
	size_t running, waiting_known, waiting_other;
	struct cond known, other;
};

/* ERR_UNAVAILABLE: the queue is full; ERR_CANCELED. */
WAITS MUST_USE enum err argon_enter(struct argon_gate *gate, bool known);
void argon_leave(struct argon_gate *gate);

#endif
