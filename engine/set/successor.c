/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/set/successor.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define COPY_WINDOW (4u << 20)

struct copy {
	struct put put; /* first: what done() is given */
	struct successor *successor;
};

void successor_init(struct successor *successor, struct blobs *blobs,
		    const struct open_set_order *order)
{
	*successor = (struct successor){.blobs = blobs, .order = *order};
}

static WAITS enum err open_target(struct successor *successor)
{
	struct blobs *blobs = successor->blobs;
	struct open_set_order *order = &successor->order;
	uint8_t k = open_set_best_profile(blobs, order->urgent).k;
	enum err err;

	if (k == 0)
		return writer_shortage(blobs);
	/* It holds what the old ones held, though they may have had more columns. */
	order->capacity = blobs->options.column_size;
	if (order->content / k > order->capacity)
		order->capacity = order->content / k + PIECE_SIZE;
	err = open_set_create(blobs, order, &successor->target);
	if (err == ERR_OK)
		successor->target->finishing = true;
	return err;
}

static void copied(struct put *put, enum err err)
{
	struct copy *copy = (struct copy *)put;
	struct successor *successor = copy->successor;

	successor->in_flight -= put->bytes->size;
	if (successor->err == ERR_OK)
		successor->err = err == ERR_STALE ? ERR_UNAVAILABLE : err;
	shared_release(&put->bytes);
	memory_free(copy);
	cond_broadcast(&successor->changed);
}

/* Takes back what the members of the new set do not answer. */
static void give_up_target(struct successor *successor)
{
	struct open_set *target = successor->target;
	uint32_t slow = writer_slow_members(target);

	for (unsigned i = 0; i < profile_members(target->header.profile); i++)
		if ((slow >> i & 1) != 0)
			health_suspect(&successor->blobs->health, target->header.members[i]);
	open_set_pause(target, slow);
	/* Paused gives back; closed, nobody resumes it. */
	open_set_close(target);
}

/*
 * Not cut short while anything is under way: the copies point back here. What a disk that hangs has
 * got is taken back.
 */
static WAITS void drain(struct successor *successor, uint64_t left)
{
	struct blobs *blobs = successor->blobs;
	uint64_t deadline_ms = env_now_ms(blobs->env) + ask_patience_for_ms(blobs, COPY_WINDOW);

	while (successor->in_flight > left) {
		enum err err = cond_wait(&successor->changed, deadline_ms);

		if (err == ERR_TIMEOUT)
			give_up_target(successor);
		else if (err != ERR_OK)
			task_yield();
	}
}

static WAITS enum err put_record(struct successor *successor, const struct record *record,
				 struct shared *bytes)
{
	struct copy *copy = memory_allocate(sizeof(*copy));
	enum err err = copy != NULL ? ERR_OK : ERR_NOMEM;

	if (err == ERR_OK && successor->target == NULL)
		err = open_target(successor);
	if (err == ERR_OK && successor->target->machine.state != SET_WRITER_OPEN)
		err = ERR_UNAVAILABLE;
	if (err != ERR_OK) {
		shared_release(&bytes);
		memory_free(copy);
		return err;
	}
	copy->successor = successor;
	copy->put = (struct put){.record = *record, .bytes = bytes, .done = copied};
	successor->in_flight += bytes->size;
	err = open_set_put(successor->target, open_set_column(successor->target, &copy->put),
			   &copy->put);
	if (err != ERR_OK) {
		successor->in_flight -= copy->put.bytes->size;
		shared_release(&copy->put.bytes);
		memory_free(copy);
		return err;
	}
	drain(successor, COPY_WINDOW);
	return successor->err;
}

enum err successor_put(struct successor *successor, struct shared *bytes)
{
	struct record record;
	enum err err = record_decode(bytes->data, &record);

	ASSERT(err == ERR_OK);
	return put_record(successor, &record, bytes);
}

enum err successor_put_lost(struct successor *successor, uint64_t birth_set,
			    const struct column_entry *entry)
{
	struct shared *bytes = shared_create((size_t)record_size(0));
	struct record record = {.type = RECORD_LOST,
				.id = entry->id,
				.piece = entry->piece,
				.birth_set = birth_set};

	if (bytes == NULL)
		return ERR_NOMEM;
	memset(bytes->data, 0, bytes->size);
	record_hash_payload(&record, bytes_make(NULL, 0));
	return put_record(successor, &record, bytes);
}

enum err successor_drain(struct successor *successor, enum err err)
{
	drain(successor, 0);
	return err == ERR_OK ? successor->err : err;
}

enum err successor_seal(struct successor *successor)
{
	struct open_set *target = successor->target;
	struct set_descriptor descriptor;
	struct finish *finish = memory_allocate(sizeof(*finish));
	enum err err;

	if (finish == NULL)
		return ERR_NOMEM;
	open_set_close(target);
	set_writer_descriptor(&target->machine, &descriptor);
	err = finish_load(successor->blobs, target->header.set, finish);
	if (err == ERR_OK)
		err = finish_seal(finish, &descriptor);
	/* The old columns go next: any one certificate might be on the volume that fails then. */
	if (err == ERR_OK && !finish_is_complete(finish))
		err = ERR_UNAVAILABLE;
	memory_free(finish);
	return err == ERR_STALE || err == ERR_NOTFOUND ? ERR_UNAVAILABLE : err;
}

enum err successor_publish(struct successor *successor, uint64_t predecessor)
{
	struct directory_record change = {.set = predecessor};
	enum err err = directory_add_successor(&change, successor->target->header.set);

	if (err == ERR_OK)
		err = directory_store_publish(successor->blobs->directory, &change);
	directory_record_finish(&change);
	return err;
}

void successor_close(struct successor *successor)
{
	/* Calls still under way to a slow member hold on to the set. */
	open_set_abandon(&successor->target);
}
