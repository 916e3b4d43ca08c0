/* SPDX-License-Identifier: MPL-2.0 */
#include "net/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

/* Jobs allocate what they need; this is for calls only. Argon2 and zstd use the heap. */
enum { THREAD_STACK_SIZE = 512 * 1024 };

struct chain {
	void *first, *last;
};

struct pool {
	struct pool_options options;
	pthread_mutex_t mutex;
	pthread_cond_t posted;
	struct chain waiting, ended;
	bool stopping;
	size_t thread_count;
	pthread_t threads[];
};

static void set_next(const struct pool *pool, void *item, void *next)
{
	memcpy((char *)item + pool->options.next_offset, &next, sizeof(next));
}

static void *get_next(const struct pool *pool, const void *item)
{
	void *next;

	memcpy(&next, (const char *)item + pool->options.next_offset, sizeof(next));
	return next;
}

static void chain_append(const struct pool *pool, struct chain *chain, void *item)
{
	set_next(pool, item, NULL);
	if (chain->last != NULL)
		set_next(pool, chain->last, item);
	else
		chain->first = item;
	chain->last = item;
}

static void *chain_take(const struct pool *pool, struct chain *chain)
{
	void *item = chain->first;

	chain->first = get_next(pool, item);
	if (chain->first == NULL)
		chain->last = NULL;
	return item;
}

static void *thread_main(void *argument)
{
	struct pool *pool = argument;

	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		bool was_empty;
		void *item;

		while (pool->waiting.first == NULL && !pool->stopping)
			pthread_cond_wait(&pool->posted, &pool->mutex);
		if (pool->waiting.first == NULL)
			break;
		item = chain_take(pool, &pool->waiting);
		pthread_mutex_unlock(&pool->mutex);
		pool->options.run(item, pool->options.context);
		pthread_mutex_lock(&pool->mutex);
		was_empty = pool->ended.first == NULL;
		chain_append(pool, &pool->ended, item);
		if (was_empty)
			pool->options.notify(pool->options.context);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

static enum err start_thread(struct pool *pool)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int failure;

	if (pthread_attr_init(&attributes) != 0)
		return ERR_NOMEM;
	pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure =
		pthread_create(&pool->threads[pool->thread_count], &attributes, thread_main, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (failure != 0)
		return err_from_errno(failure);
	pool->thread_count++;
	return ERR_OK;
}

enum err pool_create(const struct pool_options *options, struct pool **out)
{
	struct pool *pool;

	ASSERT(options->thread_count > 0);
	pool = memory_allocate(sizeof(*pool) + options->thread_count * sizeof(pool->threads[0]));
	if (pool == NULL)
		return ERR_NOMEM;
	pool->options = *options;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->posted, NULL);
	for (size_t i = 0; i < options->thread_count; i++) {
		enum err err = start_thread(pool);

		if (err != ERR_OK) {
			pool_destroy(&pool);
			return err;
		}
	}
	*out = pool;
	return ERR_OK;
}

void pool_destroy(struct pool **pool_pointer)
{
	struct pool *pool = *pool_pointer;

	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->posted);
	pthread_mutex_unlock(&pool->mutex);
	for (size_t i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	ASSERT(pool->waiting.first == NULL && pool->ended.first == NULL);
	pthread_cond_destroy(&pool->posted);
	pthread_mutex_destroy(&pool->mutex);
	memory_free(pool);
	*pool_pointer = NULL;
}

void pool_post(struct pool *pool, void *item)
{
	pthread_mutex_lock(&pool->mutex);
	chain_append(pool, &pool->waiting, item);
	pthread_cond_signal(&pool->posted);
	pthread_mutex_unlock(&pool->mutex);
}

void *pool_collect(struct pool *pool)
{
	void *first;

	pthread_mutex_lock(&pool->mutex);
	first = pool->ended.first;
	pool->ended = (struct chain){0};
	pthread_mutex_unlock(&pool->mutex);
	return first;
}
