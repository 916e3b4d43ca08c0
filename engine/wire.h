/* SPDX-License-Identifier: MPL-2.0 */
/*
 * wire - messages from the engine's clients (writers, readers, the journal's
 * client) to the volumes that serve them.
 *
 * INV: nothing above the wire knows whether a volume is in this process, behind
 * a unix socket or on another node. A request struct embeds struct wire_call
 * first; its fields are values, or references (struct shared) that travel with
 * it: never pointers into the sender's state that the receiver keeps.
 *
 * wire_post() hands the call over; `done` comes exactly once, from the loop,
 * never from inside wire_post(). The call belongs to the wire until then, and
 * it may take as long as the slowest disk: who cannot wait posts a call that it
 * does not own on its stack. A call to a volume that nobody serves completes
 * with ERR_UNAVAILABLE.
 */
#ifndef AEROSTORE_ENGINE_WIRE_H
#define AEROSTORE_ENGINE_WIRE_H

#include "engine/base/shared.h"
#include "engine/task.h"

/* Ranges of operation numbers: who defines and serves them. */
enum wire_service { WIRE_SET = 0x100, WIRE_JOURNAL = 0x200 };

struct wire_call {
	uint16_t operation;  /* service + number */
	struct id128 volume; /* addressee */
	void (*done)(struct wire_call *call);
	void *context;
	enum err err;		/* out */
	struct wire_call *next; /* the wire's own */
};

struct wire;

MUST_USE enum err wire_create(struct sched *sched, struct wire **out);
void wire_destroy(struct wire **wire);
/*
 * Serves one service of a volume in this process. `serve` runs from the loop in the order of the
 * posts; it answers, now or later, with wire_reply().
 */
MUST_USE enum err wire_serve(struct wire *wire, struct id128 volume, enum wire_service service,
			     void (*serve)(void *context, struct wire_call *call), void *context);
void wire_unserve(struct wire *wire, struct id128 volume, enum wire_service service);
void wire_reply(struct wire_call *call, enum err err);

void wire_post(struct wire *wire, struct wire_call *call);
/* Posts and waits for the answer, whatever it takes; not cut short by cancellation. */
WAITS MUST_USE enum err wire_wait(struct wire *wire, struct wire_call *call);

#endif
