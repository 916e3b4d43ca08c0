/* SPDX-License-Identifier: MPL-2.0 */
/*
 * pool - threads that run items in the order they were posted, and hand them
 * back to the loop.
 *
 * Items are the caller's structs; the pool chains them through a pointer of
 * theirs at `next_offset`, so posting allocates nothing and cannot fail. Threads
 * block all signals. Only `run` and `notify` are called on them.
 */
#ifndef AEROSTORE_NET_POOL_H
#define AEROSTORE_NET_POOL_H

#include <stddef.h>

#include "engine/base/err.h"

struct pool;

struct pool_options {
	size_t thread_count;
	size_t next_offset; /* of the item's `next` */
	void (*run)(void *item, void *context);
	void (*notify)(void *context); /* something can be collected; on a pool thread */
	void *context;
};

MUST_USE enum err pool_create(const struct pool_options *options, struct pool **out);
/* Everything posted has been collected. Joins the threads. */
void pool_destroy(struct pool **pool);
void pool_post(struct pool *pool, void *item);
/* Items that have run, in the order in which they ended, chained; NULL when there are none. */
void *pool_collect(struct pool *pool);

#endif
