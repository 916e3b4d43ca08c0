/* SPDX-License-Identifier: MPL-2.0 */
/*
 * volume_fixture - a simulated node with one disk at /d, a volume in /d/v, and
 * file operations that fail on demand.
 */
#ifndef AEROSTORE_TESTS_SUPPORT_VOLUME_FIXTURE_H
#define AEROSTORE_TESTS_SUPPORT_VOLUME_FIXTURE_H

#include "engine/volume/log.h"
#include "tests/sim/sim_task.h"

#define FIXTURE_VOLUME "/d/v"
#define FIXTURE_CLUSTER ((struct id128){{1, 2, 3}})

/* Which operation fails; closes are never counted. */
struct fixture_fault {
	uint64_t after; /* so many (matching) operations succeed first */
	bool any_kind;	/* else only `kind` */
	enum env_io_kind kind;
	bool done_anyway; /* the operation is carried out, and still reported as failed */
	enum err err;
	bool forever; /* all later ones, too */
};

struct fixture {
	struct sim *sim;
	struct sim_node *node;
	struct sim_disk *disk;
	FILE *trace;
	char *trace_text; /* of the world, all log lines in it */
	size_t trace_size;
};

/* capacity of the disk in bytes, 0: plenty. */
void fixture_start(struct fixture *fixture, uint64_t seed, uint64_t capacity);
void fixture_finish(struct fixture *fixture);
/* Runs it as a task until it and its children have ended, and asserts that they do. */
void fixture_run(struct fixture *fixture, void (*run)(void *argument), void *argument);
bool fixture_logged(struct fixture *fixture, const char *text);

/* Of the node's present life; NULL removes it. Operations counted since are in fixture_io_count().
 */
void fixture_inject(struct fixture *fixture, const struct fixture_fault *fault);
uint64_t fixture_io_count(void);

/* In tasks. */
struct volume_identity fixture_identity(void);
WAITS void fixture_format(void);
WAITS struct volume *fixture_open(void);
/* The raw bytes of a file, and back. */
WAITS void fixture_read(const char *path, struct buf *out);
WAITS void fixture_write(const char *path, struct bytes content);

#endif
