/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The engine's own recovery, over the overlay: replicas are compared and filled
 * up, unsealed sets are sealed or evacuated, the directory gets what it lacks.
 * What came of it is then published, file by file: first what is new, then what
 * went away, so that there is no moment at which anything is nowhere.
 */
#include "engine/fsck/fsck_private.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/directory/store.h"
#include "engine/io.h"
#include "engine/journal/store.h"
#include "engine/set/blobs.h"

struct settle {
	struct fsck *fsck;
	struct layout layout;
	struct volume *volumes[FSCK_VOLUME_MAX];
	size_t volume_count;
	struct wire *wire;
	struct journal *journal;
	struct blobs *blobs;
};

/* ---- the store, opened ---- */

static enum err make_layout(struct settle *settle)
{
	struct fsck *fsck = settle->fsck;
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < fsck->volume_count; i++) {
		const struct fsck_volume *volume = &fsck->volumes[i];
		struct layout_volume entry = {.volume = volume->identity.volume,
					      .node = volume->identity.node,
					      .weight = 1};

		if (!volume->usable) {
			/* Not known by name, but there is one. */
			struct hash128 hash =
				hash_128(volume->directory, strlen(volume->directory));

			store_u64(entry.volume.octets, hash.low);
			store_u64(entry.volume.octets + 8, hash.high);
			entry.failed = true;
		} else {
			memcpy(entry.zone, volume->identity.zone, sizeof(entry.zone));
			settle->volumes[settle->volume_count++] = volume->volume;
		}
		err = layout_put(&settle->layout, &entry);
	}
	return err;
}

static WAITS enum err open_store(struct settle *settle)
{
	const struct journal_options journal_options = {
		.sched = task_sched(),
		.layout = &settle->layout,
		.volumes = settle->volumes,
		.volume_count = settle->volume_count,
		.index_directory = "",
	};
	struct blobs_options blobs_options = {
		.sched = task_sched(),
		.layout = &settle->layout,
		.volumes = settle->volumes,
		.volume_count = settle->volume_count,
		.cluster = settle->fsck->cluster,
		.node = volume_identity(settle->volumes[0])->node,
		.passive = true,
	};
	struct journal_options journal = journal_options;
	enum err err = wire_create(task_sched(), &settle->wire);

	journal.wire = blobs_options.wire = settle->wire;
	if (err == ERR_OK)
		err = journal_open(&journal, &settle->journal);
	blobs_options.journal = settle->journal;
	return err == ERR_OK ? blobs_open(&blobs_options, &settle->blobs) : err;
}

static WAITS void close_store(struct settle *settle)
{
	if (settle->blobs != NULL)
		blobs_close(&settle->blobs);
	if (settle->journal != NULL)
		journal_close(&settle->journal);
	if (settle->wire != NULL)
		wire_destroy(&settle->wire);
	layout_finish(&settle->layout);
}

/* ---- the directory ---- */

static WAITS enum err enter_sets(struct settle *settle)
{
	struct fsck *fsck = settle->fsck;
	const struct directory_store_options options = {.sched = task_sched(),
							.journal = settle->journal};
	const struct directory_record *record;
	struct directory_store *store = NULL;
	size_t position = 0;
	enum err err;

	if (fsck->entering.count == 0)
		return ERR_OK;
	err = directory_store_create(&options, &store);
	while (err == ERR_OK && (record = map_next(&fsck->entering, &position, NULL)) != NULL)
		err = directory_store_publish(store, record);
	directory_store_destroy(&store);
	return err;
}

static bool needs_settling(const struct fsck *fsck)
{
	for (size_t i = 0; i < fsck->set_count; i++)
		if (fsck->sets[i]->settle)
			return true;
	return false;
}

static WAITS enum err recover(struct settle *settle)
{
	enum err err = make_layout(settle), settled = ERR_OK;

	if (err == ERR_OK)
		err = open_store(settle);
	if (err == ERR_OK)
		err = enter_sets(settle);
	if (err == ERR_OK && needs_settling(settle->fsck))
		settled = blobs_settle(settle->blobs);
	if (err == ERR_OK)
		err = journal_resync(settle->journal);
	close_store(settle);
	return err == ERR_OK ? settled : err;
}

/* ---- publishing ---- */

struct change {
	size_t volume;
	char name[128];
	bool gone;
};

struct changes {
	struct fsck *fsck;
	struct change *items;
	size_t count;
	enum err err;
};

static void take_change(void *context, const char *path, const struct buf *content)
{
	struct changes *changes = context;
	struct fsck *fsck = changes->fsck;

	for (size_t i = 0; i < fsck->volume_count; i++) {
		const char *directory = fsck->volumes[i].directory;
		size_t size = strlen(directory);
		struct change *items;

		if (strncmp(path, directory, size) != 0 || path[size] != '/' ||
		    (strncmp(path + size, "/columns/", 9) != 0 &&
		     strncmp(path + size, "/journal/", 9) != 0))
			continue;
		items = memory_resize(changes->items, (changes->count + 1) * sizeof(*items));
		if (items == NULL) {
			changes->err = ERR_NOMEM;
			return;
		}
		changes->items = items;
		items[changes->count].volume = i;
		items[changes->count].gone = content == NULL;
		snprintf(items[changes->count].name, sizeof(items->name), "%s", path + size + 1);
		changes->count++;
		return;
	}
}

static WAITS enum err publish_changes(struct fsck *fsck)
{
	struct changes changes = {.fsck = fsck};
	enum err err;

	overlay_changes(fsck->options->overlay, take_change, &changes);
	err = changes.err;
	for (int gone = 0; gone < 2; gone++)
		for (size_t i = 0; err == ERR_OK && i < changes.count; i++)
			if (changes.items[i].gone == (gone == 1))
				err = fsck_publish(fsck, changes.items[i].volume,
						   changes.items[i].name, gone == 1);
	memory_free(changes.items);
	return err;
}

enum err fsck_settle(struct fsck *fsck)
{
	struct settle settle = {.fsck = fsck};
	enum err err = recover(&settle);

	if (err == ERR_UNAVAILABLE)
		return ERR_OK; /* it takes volumes that are not here: nothing of it is published */
	if (err == ERR_OK)
		err = publish_changes(fsck);
	if (err == ERR_OK)
		fsck_done(fsck, &fsck->settle);
	return err;
}
