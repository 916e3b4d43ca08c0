/* SPDX-License-Identifier: MPL-2.0 */
/*
 * loop_io - what streams and listeners need of the loop: to learn when a
 * descriptor can be read or written. For net/ only.
 */
#ifndef AEROSTORE_NET_LOOP_IO_H
#define AEROSTORE_NET_LOOP_IO_H

#include "engine/env.h"

struct loop_watch;

enum loop_event { LOOP_READ = 1, LOOP_WRITE = 2 };

/*
 * Watches a descriptor of an env made by net/loop.h; at first for nothing.
 * `ready` runs from the loop with the events that hold, as long as they hold and
 * are asked for; once with 0 when the loop stops. The descriptor stays the
 * caller's and is open until the watch is destroyed.
 */
MUST_USE enum err loop_watch_create(struct env *env, int descriptor,
				    void (*ready)(void *context, unsigned events), void *context,
				    struct loop_watch **out);
/* Also from inside `ready`. */
void loop_watch_destroy(struct loop_watch **watch);
/* Replaces what is asked for: LOOP_READ, LOOP_WRITE, both or 0. */
void loop_watch_set(struct loop_watch *watch, unsigned events);

#endif
