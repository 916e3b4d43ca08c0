/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/wire.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/map.h"
#include "engine/base/memory.h"

/*
 * The in-process transport. A call crosses the loop once on its way to the
 * volume and once on its way back, as it would on a socket, so that no caller
 * can come to rely on being answered before it looks away.
 */
struct wire {
	struct env *env;
	struct map endpoints; /* struct endpoint_key to struct endpoint */
	struct wire_call *first, *last;
	bool draining;
};

struct endpoint_key {
	struct id128 volume;
	uint64_t service;
};

struct endpoint {
	void (*serve)(void *context, struct wire_call *call);
	void *context;
};

static struct endpoint_key endpoint_key(struct id128 volume, unsigned service)
{
	return (struct endpoint_key){volume, service};
}

enum err wire_create(struct sched *sched, struct wire **out)
{
	struct wire *wire = memory_allocate(sizeof(*wire));

	if (wire == NULL)
		return ERR_NOMEM;
	wire->env = sched_env(sched);
	map_init(&wire->endpoints, sizeof(struct endpoint_key));
	*out = wire;
	return ERR_OK;
}

void wire_destroy(struct wire **wire)
{
	struct endpoint *endpoint;
	size_t position = 0;

	if (*wire == NULL)
		return;
	ASSERT((*wire)->first == NULL && !(*wire)->draining);
	while ((endpoint = map_next(&(*wire)->endpoints, &position, NULL)) != NULL)
		memory_free(endpoint);
	map_finish(&(*wire)->endpoints);
	memory_free(*wire);
	*wire = NULL;
}

enum err wire_serve(struct wire *wire, struct id128 volume, enum wire_service service,
		    void (*serve)(void *context, struct wire_call *call), void *context)
{
	struct endpoint_key key = endpoint_key(volume, service);
	struct endpoint *endpoint;
	enum err err;

	if (map_get(&wire->endpoints, &key) != NULL)
		return ERR_EXISTS;
	endpoint = memory_allocate(sizeof(*endpoint));
	if (endpoint == NULL)
		return ERR_NOMEM;
	*endpoint = (struct endpoint){serve, context};
	err = map_put(&wire->endpoints, &key, endpoint);
	if (err != ERR_OK)
		memory_free(endpoint);
	return err;
}

void wire_unserve(struct wire *wire, struct id128 volume, enum wire_service service)
{
	struct endpoint_key key = endpoint_key(volume, service);

	memory_free(map_remove(&wire->endpoints, &key));
}

static void answer(void *context)
{
	struct wire_call *call = context;

	call->done(call);
}

static void deliver(void *context)
{
	struct wire *wire = context;
	struct wire_call *call = wire->first;

	/* Only what was posted before this turn: a server that posts must not starve the loop. */
	wire->first = wire->last = NULL;
	wire->draining = false;
	while (call != NULL) {
		struct wire_call *next = call->next;
		struct endpoint_key key = endpoint_key(call->volume, call->operation & 0xff00u);
		struct endpoint *endpoint = map_get(&wire->endpoints, &key);

		call->next = NULL;
		if (endpoint != NULL) {
			endpoint->serve(endpoint->context, call);
		} else {
			call->err = ERR_UNAVAILABLE;
			env_soon(wire->env, answer, call);
		}
		call = next;
	}
}

void wire_post(struct wire *wire, struct wire_call *call)
{
	call->next = NULL;
	if (wire->first == NULL)
		wire->first = call;
	else
		wire->last->next = call;
	wire->last = call;
	if (!wire->draining) {
		wire->draining = true;
		env_soon(wire->env, deliver, wire);
	}
}

/* A server answers from a completion of its own, so the loop has been crossed already. */
void wire_reply(struct wire_call *call, enum err err)
{
	call->err = err;
	call->done(call);
}

static void answered(struct wire_call *call)
{
	group_leave(call->context);
}

enum err wire_wait(struct wire *wire, struct wire_call *call)
{
	struct group group = {0};

	call->done = answered;
	call->context = &group;
	group_enter(&group);
	wire_post(wire, call);
	group_wait(&group);
	return call->err;
}
