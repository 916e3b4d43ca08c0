/* SPDX-License-Identifier: MPL-2.0 */
/*
 * repair_survey - what is missing of the sealed sets, and how exposed that makes
 * them: computed from the directory, the layout, what the live members say they
 * hold, and the columns that somebody found damaged. Nothing of it is kept on disk.
 *
 * A survey also learns columns that were made anew by a process that could not
 * say so any more, finds those that are there twice, and removes files that the
 * directory has given up.
 *
 * INV  Of a live volume that is silent nobody knows what it holds: its columns count
 *      as missing, for how exposed a set is, but nobody makes them anew.
 */
#ifndef AEROSTORE_ENGINE_SET_REPAIR_SURVEY_H
#define AEROSTORE_ENGINE_SET_REPAIR_SURVEY_H

#include "engine/set/blobs_private.h"

/* A column, as a key of a map: no padding. */
struct repair_column_key {
	uint64_t set;
	uint64_t column;
};

/* A column that is to be made anew. */
struct repair_job {
	uint64_t set;
	uint8_t column, spare; /* how many more of the set's columns may go */
	uint8_t parity;	       /* the set's m */
	bool damaged;	       /* there, but not whole */
	uint64_t due_ms, size; /* size: of the column, at most */
};

/*
 * A column with several placements, one of which is on a live volume and not known to be bad: that
 * one stays once it has been read whole, the others go. Among those that may stay the one that
 * rendezvous ranks first, so whoever looks, chooses alike.
 */
struct repair_twin {
	uint64_t set;
	struct directory_placement staying;
};

struct repair_survey {
	struct blobs *blobs;
	struct map damaged;  /* struct repair_column_key: found by somebody who looked */
	uint64_t started_ms; /* from when on absent volumes are waited for */
	/* the last survey's */
	struct map missing; /* set to its mask of columns, as a pointer */
	struct buf jobs;    /* struct repair_job: the most exposed sets first */
	struct buf twins;   /* struct repair_twin */
	uint64_t sets_degraded, sets_exposed;
	bool silent; /* volumes that live did not answer: theirs is neither missing nor whole */
};

void repair_survey_init(struct repair_survey *survey, struct blobs *blobs);
void repair_survey_finish(struct repair_survey *survey);
/* ERR_NOMEM, ERR_CANCELED: half of it is in the tables. */
WAITS MUST_USE enum err repair_survey_take(struct repair_survey *survey);
size_t repair_survey_job_count(const struct repair_survey *survey);
struct repair_job repair_survey_job(const struct repair_survey *survey, size_t index);
size_t repair_survey_twin_count(const struct repair_survey *survey);
struct repair_twin repair_survey_twin(const struct repair_survey *survey, size_t index);
/* The job's column is whole again. */
void repair_survey_job_done(struct repair_survey *survey, const struct repair_job *job);
/* As of the last survey, less the jobs that are done: bit i, column i is not whole anywhere. */
uint32_t repair_survey_missing(const struct repair_survey *survey, uint64_t set);
/* A check has found faults. False: that was known, or there is no memory to know it. */
bool repair_survey_damaged(struct repair_survey *survey, uint64_t set, uint8_t column);
bool repair_survey_is_damaged(const struct repair_survey *survey, uint64_t set, uint8_t column);
/* Somewhere in the configuration there is a directory of which nobody knows whose it is. */
bool repair_survey_expects_volume(const struct blobs *blobs);

#endif
