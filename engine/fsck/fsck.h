/* SPDX-License-Identifier: MPL-2.0 */
/*
 * fsck - checks a node's volumes that nothing has open, and mends them: what
 * aerofsck(8) is a command line for. Without the network, without keys.
 *
 *   pass 0  volumes: superblocks, folders
 *   pass 1  records: every byte of every column, mirror and journal segment
 *   pass 2  columns against siblings: what can be computed from what, with the
 *           arithmetic as the arbiter; what cannot is a loss
 *   pass 3  the set directory in the journal against the headers of columns
 *   pass 4  the journal's replicas against each other
 *   pass 5  which messages are lost, by blob
 *
 * INV 1  Nothing is written before the problem that asks for it was decided.
 * INV 2  Nothing is edited in place. A file is written anew beside the old one,
 *        synced, and then exchanged by renaming; what was replaced, or put aside,
 *        is kept in the volume's folder "replaced".
 * INV 3  It runs in a task above an overlay (engine/fsck/overlay.h): all work
 *        happens in memory first, with the engine's own code (recovery, resync,
 *        evacuation); what was decided is then published.
 * INV 4  What cannot be mended (mail that is lost) can be taken note of, in the
 *        volumes' file "known-losses"; it is counted then, and not reported again.
 * INV 5  No content of mail is read or shown: blobs are named by id.
 *
 * Memory: the records of the journal (some hundred octets each), 64 octets a
 * piece of a blob, and the files of one set that is being mended.
 */
#ifndef AEROSTORE_ENGINE_FSCK_FSCK_H
#define AEROSTORE_ENGINE_FSCK_FSCK_H

#include "engine/fsck/overlay.h"
#include "engine/fsck/problem.h"
#include "engine/task.h"

#define FSCK_VOLUME_MAX 64u
#define FSCK_DETAIL_SIZE 320u
#define FSCK_PATH_SIZE 1024u

struct fsck_problem {
	enum fsck_code code;
	char file[FSCK_PATH_SIZE];     /* what it is about: a file or a directory; may be empty */
	char detail[FSCK_DETAIL_SIZE]; /* a sentence without a full stop; may be empty */
	bool placed;
	uint64_t offset, size; /* within the file, when `placed` */
	bool has_set;
	uint64_t set;
	uint8_t column;
	char account[FSCK_DETAIL_SIZE]; /* whose mail: address or stream; may be empty */
	bool decided, fixed;
};

enum fsck_mode {
	FSCK_NO,   /* look only */
	FSCK_SAFE, /* what the table calls safe */
	FSCK_YES,
	FSCK_ASK
};

struct fsck_options {
	struct overlay *overlay;
	const char *const *volumes; /* directories */
	size_t volume_count;
	enum fsck_mode mode;
	struct id128 cluster;	/* zero: that of most superblocks */
	bool rebuild_directory; /* the directory is written anew from headers */
	/*
	 * Zero: look at all. Else the path of one file: only what its bytes concern is looked at
	 * (its volume's superblock; its set; the journal). For tests.
	 */
	const char *only;
	/* Shows the problem; FSCK_ASK: and asks whether to mend it. */
	bool (*found)(void *context, const struct fsck_problem *problem, bool default_answer);
	/* A file was replaced (or put aside, `written` false); `kept` is where the old one is. */
	void (*replaced)(void *context, const char *file, const char *kept, bool written);
	void (*progress)(void *context, const char *what, uint64_t done, uint64_t total);
	void *context;
};

struct fsck_result {
	struct fsck_problem *problems; /* in the order in which they were found */
	size_t problem_count;
	uint64_t volumes, columns, sets, segments, records, bytes;
	uint64_t known; /* problems that an earlier run was told to take note of */
	uint64_t streams, blobs_named, blobs_lost, blobs_unnamed, bytes_unnamed;
};

/*
 * ERR_OK: looked at everything, whatever was found. ERR_UNAVAILABLE: a volume is in use;
 * ERR_FOREIGN, ERR_NEWER, ERR_EXISTS (one volume twice), ERR_NOTFOUND (no volume at all): refused,
 * nothing was changed; `why` (FSCK_DETAIL_SIZE) names the directory. Other errors: it could not be
 * finished.
 */
WAITS MUST_USE enum err fsck_run(const struct fsck_options *options, struct fsck_result *result,
				 char *why);
void fsck_result_finish(struct fsck_result *result);

/*
 * Copies every intact record of every column and segment below the directories into `target`, be
 * there a superblock or not: blobs as "<blob id>.<first piece>" when all their pieces are there,
 * else pieces; journal records as files; and "manifest", a line a file.
 */
WAITS MUST_USE enum err fsck_salvage(const char *const *directories, size_t directory_count,
				     const char *target, uint64_t *files);

#endif
