/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/support/blobs_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/io.h"

static const struct id128 CLUSTER = {{0xc1}}, NODE = {{0x0d}};

struct id128 blobs_fixture_volume(size_t index)
{
	return (struct id128){{0x70, (uint8_t)(index + 1)}};
}

void blobs_fixture_path(size_t index, char out[32])
{
	(void)snprintf(out, 32, "/d%zu/v", index);
}

void blobs_fixture_add_disks(struct blobs_fixture *fixture, struct sim *sim, size_t volume_count)
{
	const struct sim_disk_options disk = {.latency_us = 20, .sync_us = 200, .jitter_us = 100};

	fixture->sim = sim;
	fixture->volume_count = volume_count;
	fixture->known_count = 0;
	for (size_t i = 0; i < volume_count; i++) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/d%zu", i);
		fixture->disks[i] = sim_add_disk(sim->nodes[0], path, &disk);
	}
}

static WAITS enum err format_one(size_t index, struct id128 id)
{
	const struct volume_identity identity = {
		.cluster = CLUSTER, .node = NODE, .volume = id, .created_ms = 1700000000000};
	char path[32];

	blobs_fixture_path(index, path);
	return volume_format(path, &identity);
}

void blobs_fixture_format(struct blobs_fixture *fixture)
{
	for (size_t i = 0; i < fixture->volume_count; i++) {
		enum err err = format_one(i, blobs_fixture_volume(i));

		assert_true(err == ERR_OK || err == ERR_EXISTS || err == ERR_CANCELED);
	}
}

void blobs_fixture_replace(struct blobs_fixture *fixture, size_t index, uint8_t generation)
{
	struct id128 id = blobs_fixture_volume(index);
	enum err err;

	(void)fixture;
	id.octets[2] = generation;
	err = format_one(index, id);
	assert_true(err == ERR_OK || err == ERR_CANCELED);
}

static WAITS void open_volumes(struct blobs_fixture *fixture)
{
	fixture->open_count = 0;
	for (size_t i = 0; i < fixture->volume_count; i++) {
		struct layout_volume volume = {
			.volume = blobs_fixture_volume(i), .node = NODE, .weight = 1};
		char path[32];

		if (fixture->spread)
			volume.node.octets[1] = (uint8_t)(i + 1);
		blobs_fixture_path(i, path);
		if ((fixture->away >> i & 1) == 0 &&
		    volume_open(task_sched(), path, CLUSTER,
				&fixture->volumes[fixture->open_count]) == ERR_OK)
			volume.volume = volume_id(fixture->volumes[fixture->open_count++]);
		else
			volume.failed = true;
		assert_int_equal(layout_put(&fixture->layout, &volume), ERR_OK);
	}
}

static WAITS enum err open_journal(struct blobs_fixture *fixture)
{
	const struct journal_options options = {.sched = task_sched(),
						.wire = fixture->wire,
						.layout = &fixture->layout,
						.volumes = fixture->volumes,
						.volume_count = fixture->open_count,
						.index_directory = "/index",
						.segment_size = 1 << 20};

	return journal_open(&options, &fixture->journal);
}

enum err blobs_fixture_open(struct blobs_fixture *fixture)
{
	struct blobs_options options = fixture->options;
	enum err err;

	assert_int_equal(wire_create(task_sched(), &fixture->wire), ERR_OK);
	open_volumes(fixture);
	options.sched = task_sched();
	options.wire = fixture->wire;
	options.layout = &fixture->layout;
	options.volumes = fixture->volumes;
	options.volume_count = fixture->open_count;
	options.cluster = CLUSTER;
	options.node = NODE;
	if (options.column_size == 0)
		options.column_size = 256 * 1024;
	err = fixture->journaled ? open_journal(fixture) : ERR_OK;
	options.journal = fixture->journal;
	if (err == ERR_OK)
		err = blobs_open(&options, &fixture->blobs);
	if (err != ERR_OK)
		blobs_fixture_close(fixture);
	return err;
}

void blobs_fixture_close(struct blobs_fixture *fixture)
{
	blobs_close(&fixture->blobs);
	if (fixture->journal != NULL)
		journal_close(&fixture->journal);
	while (fixture->open_count > 0)
		volume_close(&fixture->volumes[--fixture->open_count]);
	/* What was posted and not waited for: answered within a turn of the loop. */
	task_yield();
	task_yield();
	wire_destroy(&fixture->wire);
	layout_finish(&fixture->layout);
}

/* ---- blobs ---- */

static void fill(uint32_t content, size_t offset, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t x = ((uint64_t)content << 32) + (offset + i) / 8;

		x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
		x ^= x >> 29;
		out[i] = (uint8_t)(x >> (offset + i) % 8 * 8);
	}
}

enum err blobs_fixture_put(struct blobs_fixture *fixture, size_t size, size_t part)
{
	struct blob_upload *upload = NULL;
	struct blobs_fixture_blob *blob;
	struct blob_ref ref;
	uint32_t content = fixture->next_content++;
	uint8_t *bytes;
	enum err err = blob_upload_open(fixture->blobs, env_random_id(sched_env(task_sched())),
					(struct id128){{0xac}}, &upload);

	if (err != ERR_OK)
		return err;
	part = part != 0 ? part : size;
	bytes = malloc(part + 1);
	assert_non_null(bytes);
	for (size_t at = 0; err == ERR_OK && at < size; at += part) {
		size_t now = size - at < part ? size - at : part;

		fill(content, at, bytes, now);
		err = blob_upload_write(upload, bytes_make(bytes, now));
	}
	free(bytes);
	if (err == ERR_OK)
		err = blob_upload_finish(upload, &ref);
	if (err == ERR_OK) {
		assert_int_equal(ref.size, size);
		assert_true(fixture->known_count < BLOBS_FIXTURE_BLOBS);
		blob = &fixture->known[fixture->known_count++];
		*blob = (struct blobs_fixture_blob){ref, content};
	}
	blob_upload_release(&upload);
	return err;
}

enum err blobs_fixture_get(struct blobs_fixture *fixture, size_t index)
{
	const struct blobs_fixture_blob *blob = &fixture->known[index];
	struct buf out = {0};
	uint8_t *expected = malloc((size_t)blob->ref.size + 1);
	enum err err = blob_read(fixture->blobs, &blob->ref, 0, blob->ref.size, &out);

	assert_non_null(expected);
	fill(blob->content, 0, expected, (size_t)blob->ref.size);
	if (err == ERR_OK &&
	    !bytes_equal(bytes_of_buf(&out), bytes_make(expected, (size_t)blob->ref.size)))
		err = ERR_CONFLICT;
	free(expected);
	buf_finish(&out);
	return err;
}

void blobs_fixture_check(struct blobs_fixture *fixture)
{
	for (size_t i = 0; i < fixture->known_count; i++) {
		enum err err = blobs_fixture_get(fixture, i);

		if (err != ERR_OK)
			print_error("blob %zu of %zu, set %016llx: %s\n", i, fixture->known_count,
				    (unsigned long long)fixture->known[i].ref.extents[0].set,
				    err_name(err));
		assert_int_equal(err, ERR_OK);
	}
}

/* ---- losing a volume ---- */

static WAITS void remove_all(const char *folder)
{
	struct buf names = {0};

	if (io_list(folder, &names) == ERR_OK)
		for (size_t at = 0; at < names.size;) {
			const char *name = (const char *)names.data + at;
			char path[256];

			at += strlen(name) + 1;
			(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
			if (io_unlink(path) != ERR_OK)
				remove_all(path);
		}
	buf_finish(&names);
	(void)!io_unlink(folder);
}

void blobs_fixture_lose(struct blobs_fixture *fixture, size_t volume)
{
	struct layout_volume *found;
	char path[32];

	blobs_fixture_path(volume, path);
	remove_all(path);
	found = layout_find(&fixture->layout, blobs_fixture_volume(volume));
	assert_non_null(found);
	found->failed = true;
	if (fixture->journal != NULL)
		journal_layout_changed(fixture->journal);
	blobs_layout_changed(fixture->blobs);
}
