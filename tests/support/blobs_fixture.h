/* SPDX-License-Identifier: MPL-2.0 */
/*
 * blobs_fixture - a simulated node with a volume on each of n disks, blobs over
 * them, and the memory of what was acknowledged.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_BLOBS_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_BLOBS_FIXTURE_H

#include "engine/journal/store.h"
#include "engine/set/blobs.h"
#include "engine/volume/volume.h"
#include "engine/wire.h"
#include "tests/sim/sim_task.h"

#define BLOBS_FIXTURE_VOLUMES 12
#define BLOBS_FIXTURE_BLOBS 4096

struct blobs_fixture_blob {
	struct blob_ref ref;
	uint32_t content; /* what fixture bytes are made from */
};

struct blobs_fixture {
	struct sim *sim;
	struct sim_disk *disks[BLOBS_FIXTURE_VOLUMES];
	size_t volume_count;
	bool journaled; /* the directory is in a journal on the same volumes */
	bool spread;	/* each volume counts as a node of its own: profiles beyond 2+1 */
	uint32_t away;	/* bit i: volume i is missing at the next open */
	struct blobs_options options;
	/* of the present life */
	struct layout layout;
	struct wire *wire;
	struct volume *volumes[BLOBS_FIXTURE_VOLUMES];
	size_t open_count;
	struct journal *journal;
	struct blobs *blobs;
	/* acknowledged, ever */
	struct blobs_fixture_blob known[BLOBS_FIXTURE_BLOBS];
	size_t known_count;
	uint32_t next_content;
};

/* Column size and whatever else is set in fixture->options is used at each start. */
void blobs_fixture_add_disks(struct blobs_fixture *fixture, struct sim *sim, size_t volume_count);
/* In tasks. Formats the volumes that are not there yet. */
WAITS void blobs_fixture_format(struct blobs_fixture *fixture);
/* Opens what can be opened; volumes that cannot are failed in the layout. */
WAITS MUST_USE enum err blobs_fixture_open(struct blobs_fixture *fixture);
/* Also after a crash: leaves nothing open. */
WAITS void blobs_fixture_close(struct blobs_fixture *fixture);
/* Uploads `size` bytes in parts of `part` (0: at once) and remembers them when acknowledged. */
WAITS MUST_USE enum err blobs_fixture_put(struct blobs_fixture *fixture, size_t size, size_t part);
/* ERR_OK when it comes back byte for byte; ERR_CONFLICT: other bytes. */
WAITS MUST_USE enum err blobs_fixture_get(struct blobs_fixture *fixture, size_t index);
/* Asserts that all that was acknowledged comes back. */
WAITS void blobs_fixture_check(struct blobs_fixture *fixture);
/* The volume's directory goes, as by rm -rf, and the layout learns that it failed. */
WAITS void blobs_fixture_lose(struct blobs_fixture *fixture, size_t volume);
/* An empty volume with an id of its own in the place of one that is lost. Not open yet. */
WAITS void blobs_fixture_replace(struct blobs_fixture *fixture, size_t index, uint8_t generation);
/* Of the first one at that place. */
struct id128 blobs_fixture_volume(size_t index);
void blobs_fixture_path(size_t index, char out[32]);

#endif
