/* SPDX-License-Identifier: MPL-2.0 */
/*
 * image - the files that a power loss may leave of a record: built from those
 * effects that reached the disk, compared by a hash, put on a simulated disk or
 * into a real directory.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_CRASH_IMAGE_H
#define AEROSTORE_TESTS_SUPPORT_CRASH_IMAGE_H

#include "engine/base/hash.h"
#include "tests/sim/sim.h"
#include "tests/support/crash/recorder.h"

/* What became of one effect. */
enum fate_kind {
	FATE_KEPT,
	FATE_DROPPED,
	/* Of writes only. */
	FATE_HEAD,  /* the first `size` bytes were written */
	FATE_TAIL,  /* all but the first `size` bytes; the file is as long as it would be */
	FATE_ZEROS, /* the file grew, the bytes did not come: zeros, where it was shorter */
};

struct fate {
	enum fate_kind kind;
	uint64_t size;
};

struct image_entry {
	const char *path; /* the record's */
	uint32_t file;
	bool is_directory;
};

struct image_content {
	uint8_t *data;
	uint64_t size, capacity;
};

struct image {
	struct image_entry *entries; /* after image_build(): sorted by path, all reachable */
	size_t entry_count, entry_capacity;
	struct image_content *contents; /* by file */
	size_t content_count;
};

/*
 * Replaces what `image` (starts as {0}) holds. fates[i] is of effect i; `cut`: later effects and
 * withdrawn ones did not happen. Names in directories that are not there are not there.
 */
void image_build(struct image *image, const struct recorder *recorder, uint64_t cut,
		 const struct fate *fates);
void image_finish(struct image *image);
struct hash128 image_hash(const struct image *image);
/* Takes away what lies below `path`, and itself. */
void image_remove(struct image *image, const char *path);
/* Durably; the disks are those of the recorder and exist. */
void image_put_sim(const struct image *image, struct sim_node *node);
/* Below `directory`, where the disks' directories exist. */
void image_put_real(const struct image *image, const char *directory);
/* Whether the directory holds these files and no others, below `path` in both. */
bool image_equals_real(const struct image *image, const char *directory, const char *path);

#endif
