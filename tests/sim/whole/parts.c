/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/whole/parts.h"

#include "engine/base/assert.h"

#define PARTS_STREAM 701
#define COLUMN_SIZE_MIN (64u * 1024)
#define SEGMENT_SIZE_MIN (32u * 1024)

static struct id128 volume_at(const struct parts *parts, size_t index)
{
	return (struct id128){{0x70, (uint8_t)(index + 1), (uint8_t)parts->generations[index]}};
}

void parts_init(struct parts *parts, struct world *world)
{
	struct sim_random random;

	sim_random_init(&random, world->sim->seed, PARTS_STREAM);
	*parts = (struct parts){.world = world};
	parts->column_size = COLUMN_SIZE_MIN << sim_random_below(&random, 3);
	parts->segment_size = SEGMENT_SIZE_MIN << sim_random_below(&random, 3);
}

bool parts_lack_volume(const struct parts *parts)
{
	for (size_t i = 0; i < parts->layout.volume_count; i++) {
		if (parts->layout.volumes[i].failed)
			return true;
	}
	return false;
}

static WAITS enum err format_one(struct parts *parts, size_t index)
{
	const struct volume_identity identity = {.cluster = PARTS_CLUSTER,
						 .node = PARTS_NODE,
						 .volume = volume_at(parts, index),
						 .created_ms = 1700000000000};

	return volume_format(world_path(index), &identity);
}

void parts_replace(struct parts *parts, size_t index)
{
	parts->generations[index]++;
	parts->blank[index] = true;
}

static void format(void *argument)
{
	struct parts *parts = argument;

	for (size_t i = 0; i < parts->world->volume_count; i++) {
		enum err err = format_one(parts, i);

		if (err != ERR_OK)
			sim_fail(parts->world->sim, "volume %zu is not formatted: %s", i,
				 err_name(err));
	}
}

enum err parts_format(struct parts *parts)
{
	return sim_run_task(parts->world->sim, format, parts);
}

static void volume_changed(struct volume *volume, void *context)
{
	struct parts *parts = context;
	struct layout_volume *item = layout_find(&parts->layout, volume_id(volume));

	item->failed = volume_state(volume) == VOLUME_FAILED;
	item->full = volume_state(volume) == VOLUME_FULL;
	if (parts->journal != NULL)
		journal_layout_changed(parts->journal);
	if (parts->blobs != NULL)
		blobs_layout_changed(parts->blobs);
}

static WAITS enum err open_volume(struct parts *parts, size_t index, struct volume **out)
{
	enum err err = ERR_OK;

	/* One that a crash kept from saying so is formatted already. */
	if (parts->blank[index])
		err = format_one(parts, index);
	parts->blank[index] &= err != ERR_OK && err != ERR_EXISTS;
	if (err != ERR_OK && err != ERR_EXISTS)
		return err;
	return volume_open(task_sched(), world_path(index), PARTS_CLUSTER, out);
}

static WAITS enum err open_volumes(struct parts *parts)
{
	for (size_t i = 0; i < parts->world->volume_count; i++) {
		struct layout_volume item = {
			.volume = volume_at(parts, i), .node = PARTS_NODE, .weight = 1};
		struct volume *volume = NULL;
		enum err err = open_volume(parts, i, &volume);

		if (parts->world->spread)
			item.node.octets[2] = (uint8_t)(i + 1);
		if (err == ERR_CANCELED)
			return err;
		item.failed = err != ERR_OK;
		item.full = err == ERR_OK && volume_state(volume) == VOLUME_FULL;
		if (err == ERR_OK)
			parts->volumes[parts->open_count++] = volume;
		err = layout_put(&parts->layout, &item);
		if (err != ERR_OK)
			return err;
		if (volume != NULL)
			volume_watch(volume, volume_changed, parts);
	}
	return parts->open_count >= 2 ? ERR_OK : ERR_UNAVAILABLE;
}

static WAITS enum err open_journal(struct parts *parts)
{
	const struct journal_options options = {.sched = task_sched(),
						.wire = parts->wire,
						.layout = &parts->layout,
						.volumes = parts->volumes,
						.volume_count = parts->open_count,
						.index_directory = WORLD_INDEX_DIRECTORY,
						.segment_size = parts->segment_size};

	return journal_open(&options, &parts->journal);
}

static WAITS enum err open_blobs(struct parts *parts)
{
	const struct blobs_options options = {.sched = task_sched(),
					      .wire = parts->wire,
					      .layout = &parts->layout,
					      .journal = parts->journal,
					      .volumes = parts->volumes,
					      .volume_count = parts->open_count,
					      .cluster = PARTS_CLUSTER,
					      .node = PARTS_NODE,
					      .signing = parts->signing,
					      .column_size = parts->column_size};

	return blobs_open(&options, &parts->blobs);
}

enum err parts_open(struct parts *parts)
{
	enum err err = wire_create(task_sched(), &parts->wire);

	if (err == ERR_OK)
		err = open_volumes(parts);
	if (err == ERR_OK)
		err = open_journal(parts);
	if (err == ERR_OK)
		err = open_blobs(parts);
	return err;
}

void parts_close(struct parts *parts)
{
	struct blobs *blobs = parts->blobs;
	struct journal *journal = parts->journal;

	parts->blobs = NULL;
	blobs_close(&blobs);
	parts->journal = NULL;
	journal_close(&journal);
	while (parts->open_count > 0)
		volume_close(&parts->volumes[--parts->open_count]);
	/* What was posted and not waited for: answered within a turn of the loop. */
	task_yield();
	task_yield();
	if (parts->wire != NULL)
		wire_destroy(&parts->wire);
	layout_finish(&parts->layout);
}
