/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/volume/commit.h"

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/plant.h"

enum {
	PARTS_PER_WRITE = 4, /* head, shared[0], shared[1], zeros */
	/* Of one env_write; a bound on what an env must hand to one system call. */
	PARTS_MERGED = 256
};

static const uint8_t ZEROS[64];

static void start_soon(void *context);
static void start(struct commit *commit);

enum err commit_init(struct commit *commit)
{
	commit->writes = memory_array(VOLUME_BATCH_WRITES, sizeof(*commit->writes));
	commit->parts = memory_array(PARTS_PER_WRITE * VOLUME_BATCH_WRITES, sizeof(*commit->parts));
	commit->syncs = memory_array(VOLUME_BATCH_WRITES, sizeof(struct env_file *));
	if (commit->writes == NULL || commit->parts == NULL || commit->syncs == NULL) {
		commit_finish(commit);
		return ERR_NOMEM;
	}
	return ERR_OK;
}

void commit_finish(struct commit *commit)
{
	ASSERT(!commit->busy && commit->queue.first == NULL);
	memory_free(commit->writes);
	memory_free(commit->parts);
	memory_free(commit->syncs);
	commit->writes = NULL;
	commit->parts = NULL;
	commit->syncs = NULL;
}

uint64_t commit_write_size(const struct volume_write *write)
{
	uint64_t size = write->head_size + write->zeros;

	for (size_t i = 0; i < 2; i++)
		size += write->shared[i] != NULL ? write->shared[i]->size : 0;
	return size;
}

/* ---- queue ---- */

static void queue_append(struct commit_queue *queue, struct volume_write *write)
{
	write->next = NULL;
	if (queue->last != NULL)
		queue->last->next = write;
	else
		queue->first = write;
	queue->last = write;
}

static struct volume_write *queue_take(struct commit_queue *queue)
{
	struct volume_write *write = queue->first;

	if (write != NULL) {
		queue->first = write->next;
		if (queue->first == NULL)
			queue->last = NULL;
		write->next = NULL;
	}
	return write;
}

static void complete(struct commit *commit, struct volume_write *write, enum err err)
{
	if (write->refused == ERR_OK)
		commit->settled(commit->context, commit_write_size(write));
	else
		err = write->refused;
	if (err == ERR_OK) {
		commit->counters.writes++;
		commit->counters.bytes += commit_write_size(write);
	} else {
		commit->counters.write_errors++;
	}
	shared_release(&write->shared[0]);
	shared_release(&write->shared[1]);
	write->done(write, err);
}

/* ---- one batch ---- */

static size_t put_parts(const struct volume_write *write, struct bytes *parts)
{
	size_t count = 0;

	if (write->head_size != 0)
		parts[count++] = bytes_make(write->head, write->head_size);
	for (size_t i = 0; i < 2; i++)
		if (write->shared[i] != NULL)
			parts[count++] = shared_bytes(write->shared[i]);
	if (write->zeros != 0)
		parts[count++] = bytes_make(ZEROS, write->zeros);
	return count;
}

static void add_sync(struct commit *commit, struct env_file *file)
{
	for (size_t i = 0; i < commit->io.sync_count; i++)
		if (commit->syncs[i] == file)
			return;
	commit->syncs[commit->io.sync_count++] = file;
}

/* Moves the front of the queue to the batch and lays it out for the env; false when it is empty. */
static bool gather(struct commit *commit)
{
	uint64_t size = 0, end = 0;
	size_t part_count = 0, count = 0;
	struct env_write *last = NULL;
	struct volume_write *write;

	commit->io = (struct env_io){.kind = ENV_IO_COMMIT};
	while ((write = commit->queue.first) != NULL && count < VOLUME_BATCH_WRITES) {
		uint64_t write_size = commit_write_size(write);
		size_t added;

		if (count != 0 && size + write_size > VOLUME_BATCH_SIZE)
			break;
		queue_append(&commit->batch, queue_take(&commit->queue));
		count++;
		if (write->refused != ERR_OK)
			continue;
		added = put_parts(write, commit->parts + part_count);
		if (last != NULL && last->file == write->file && end == write->offset &&
		    last->part_count + added <= PARTS_MERGED) {
			last->part_count += added;
		} else {
			last = &commit->writes[commit->io.write_count++];
			*last = (struct env_write){.file = write->file,
						   .offset = write->offset,
						   .parts = commit->parts + part_count,
						   .part_count = added};
		}
		part_count += added;
		size += write_size;
		end = write->offset + write_size;
		add_sync(commit, write->file);
	}
	commit->io.writes = commit->writes;
	commit->io.syncs = commit->syncs;
	return count != 0;
}

static void complete_all(struct commit *commit, struct commit_queue *queue, enum err err)
{
	struct volume_write *write;

	/* Callbacks may submit: into the queue proper, so take this one away first. */
	struct commit_queue taken = *queue;

	*queue = (struct commit_queue){0};
	while ((write = queue_take(&taken)) != NULL)
		complete(commit, write, err);
}

static void batch_over(struct commit *commit, enum err err)
{
	uint64_t took_us = env_now_us(commit->env) - commit->started_us;

	if (err == ERR_OK) {
		commit->counters.commits++;
		commit->counters.commit_us_total += took_us;
		if (took_us > commit->counters.commit_us_max)
			commit->counters.commit_us_max = took_us;
	} else if (err != ERR_CANCELED) {
		commit->disk_error(commit->context, err);
	}
	if (err == ERR_NOSPACE) {
		struct volume_write *write;

		while ((write = queue_take(&commit->queue)) != NULL)
			queue_append(&commit->batch, write);
	}
	/* The owner may have failed the volume meanwhile: then nothing is acknowledged. */
	complete_all(commit, &commit->batch, commit->failed != ERR_OK ? commit->failed : err);
	start(commit);
}

/* ---- the disk ---- */

static void checked(struct env_io *io)
{
	struct commit *commit = io->context;
	enum err err = io->err;

	if (err == ERR_OK &&
	    (io->stat.device != commit->witness_device || io->stat.inode != commit->witness_inode))
		err = ERR_FOREIGN;
	batch_over(commit, err);
}

static void written(struct env_io *io)
{
	struct commit *commit = io->context;

	if (PLANTED(fsync_retried) && io->err == ERR_IO && io->write_count != 0) {
		io->err = ERR_OK;
		io->write_count = 0;
		env_io(commit->env, io);
	} else if (io->err != ERR_OK) {
		batch_over(commit, io->err);
	} else if (io->sync_count != 0 && io->stat.link_count == 0) {
		batch_over(commit, ERR_GONE);
	} else {
		commit->io = (struct env_io){.kind = ENV_IO_STAT,
					     .path = commit->witness_path,
					     .done = checked,
					     .context = commit};
		env_io(commit->env, &commit->io);
	}
}

static void start(struct commit *commit)
{
	if (commit->failed != ERR_OK) {
		complete_all(commit, &commit->queue, commit->failed);
	} else if (gather(commit)) {
		if (commit->io.write_count != 0) {
			if (PLANTED(ack_before_sync))
				commit->io.sync_count = 0;
			commit->io.done = written;
			commit->io.context = commit;
			commit->started_us = env_now_us(commit->env);
			env_io(commit->env, &commit->io);
			return;
		}
		complete_all(commit, &commit->batch, ERR_OK);
	}
	if (commit->queue.first != NULL) {
		env_soon(commit->env, start_soon, commit);
	} else {
		commit->busy = false;
		group_leave(commit->pending);
	}
}

static void start_soon(void *context)
{
	start(context);
}

void commit_submit(struct commit *commit, struct volume_write *write)
{
	ASSERT(write->head_size <= VOLUME_HEAD_MAX && write->zeros < sizeof(ZEROS));
	queue_append(&commit->queue, write);
	if (commit->busy)
		return;
	/* The next turn, so that whatever this turn submits shares one sync. */
	commit->busy = true;
	group_enter(commit->pending);
	env_soon(commit->env, start_soon, commit);
}
