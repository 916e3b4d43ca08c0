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
static bool begin(struct commit *commit);
static void go_on(struct commit *commit);

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
		if (!write->unsynced)
			add_sync(commit, write->file);
	}
	if (commit->io.sync_count != 0)
		commit->io.path = commit->witness_path;
	commit->io.writes = commit->writes;
	commit->io.syncs = commit->syncs;
	return count != 0;
}

static struct commit_queue take_all(struct commit_queue *queue)
{
	struct commit_queue taken = *queue;

	*queue = (struct commit_queue){0};
	return taken;
}

/* Callbacks may submit: into the commit's own queue, hence `queue` is none of its. */
static void complete_all(struct commit *commit, struct commit_queue queue, enum err err)
{
	struct volume_write *write;

	while ((write = queue_take(&queue)) != NULL)
		complete(commit, write, err);
}

static void count_commit(struct commit *commit)
{
	uint64_t took_us = env_now_us(commit->env) - commit->started_us;

	commit->counters.commits++;
	commit->counters.commit_us_total += took_us;
	if (took_us > commit->counters.commit_us_max)
		commit->counters.commit_us_max = took_us;
}

static void batch_over(struct commit *commit, enum err err)
{
	struct commit_queue over = take_all(&commit->batch);
	struct volume_write *write;
	bool begun;

	if (err == ERR_OK)
		count_commit(commit);
	else if (err != ERR_CANCELED)
		commit->disk_error(commit->context, err);
	if (err == ERR_NOSPACE)
		while ((write = queue_take(&commit->queue)) != NULL)
			queue_append(&over, write);
	/* The owner may have failed the volume meanwhile: then nothing is acknowledged. */
	if (commit->failed != ERR_OK)
		err = commit->failed;
	/* The disk goes on with what waits while those of this batch are told. */
	begun = err == ERR_OK && begin(commit);
	complete_all(commit, over, err);
	if (!begun)
		go_on(commit);
}

/* ---- the disk ---- */

/* Whether the synced bytes went where anybody will find them. */
static enum err check_place(const struct commit *commit, const struct env_io *io)
{
	if (io->stat.link_count == 0)
		return ERR_GONE;
	if (io->path_stat.device != commit->witness_device ||
	    io->path_stat.inode != commit->witness_inode)
		return ERR_FOREIGN;
	return ERR_OK;
}

static void written(struct env_io *io)
{
	struct commit *commit = io->context;
	enum err err = io->err;

	if (PLANTED(fsync_retried) && err == ERR_IO && io->write_count != 0) {
		io->err = ERR_OK;
		io->write_count = 0;
		env_io(commit->env, io);
		return;
	}
	if (err == ERR_OK && io->sync_count != 0)
		err = check_place(commit, io);
	batch_over(commit, err);
}

/* Posts the front of the queue. False: nothing in `batch` is to be written. */
static bool begin(struct commit *commit)
{
	if (commit->failed != ERR_OK || !gather(commit) || commit->io.write_count == 0)
		return false;
	if (PLANTED(ack_before_sync))
		commit->io.sync_count = 0;
	commit->io.done = written;
	commit->io.context = commit;
	commit->started_us = env_now_us(commit->env);
	env_io(commit->env, &commit->io);
	return true;
}

/* Nothing is under way: completes what was refused, and comes back when more is queued. */
static void go_on(struct commit *commit)
{
	complete_all(commit, take_all(&commit->batch), ERR_OK);
	if (commit->failed != ERR_OK)
		complete_all(commit, take_all(&commit->queue), commit->failed);
	if (commit->queue.first != NULL) {
		env_soon(commit->env, start_soon, commit);
	} else {
		commit->busy = false;
		group_leave(commit->pending);
	}
}

static void start_soon(void *context)
{
	struct commit *commit = context;

	if (!begin(commit))
		go_on(commit);
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
