/* SPDX-License-Identifier: MPL-2.0 */
/*
 * aerofsck - what its files share: main.c reads the command line, check.c runs
 * the passes, output.c shows what they find, export.c writes a Maildir.
 */
#ifndef AEROSTORE_TOOLS_AEROFSCK_AEROFSCK_H
#define AEROSTORE_TOOLS_AEROFSCK_AEROFSCK_H

#include "engine/fsck/fsck.h"
#include "tools/common/config.h"

/* As fsck(8) has it; bits. */
enum fsck_exit {
	FSCK_EXIT_CLEAN = 0,
	FSCK_EXIT_CORRECTED = 1,
	FSCK_EXIT_UNCORRECTED = 4,
	FSCK_EXIT_FAILED = 8,
	FSCK_EXIT_USAGE = 16,
	FSCK_EXIT_CANCELED = 32,
};

struct invocation {
	/* the command line */
	const char *config_path, *salvage, *export_to, *account, *password_file;
	bool json, rebuild_index, rebuild_directory, mode_given;
	enum fsck_mode mode; /* on a terminal FSCK_ASK, until an answer is for all that follow */
	bool asks;
	const char *volumes[FSCK_VOLUME_MAX];
	size_t volume_count;
	/* the run */
	struct config config; /* with config_path */
	bool has_config;
	struct overlay *overlay;
	struct sched *sched;
	bool canceled;
	struct env_timer cancel;       /* when nothing is being put into place */
	bool journal_replaced;	       /* the index is of another journal now */
	uint64_t shown_ms, started_ms; /* progress */
	bool progress_shown;
	unsigned exit; /* bits of enum fsck_exit */
};

/* One line to stderr: "aerofsck: ...". */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* check.c */
WAITS void run_check(struct invocation *invocation);
WAITS void run_salvage(struct invocation *invocation);
/* export.c */
WAITS void run_export(struct invocation *invocation);

/* output.c: the callbacks of struct fsck_options (context: the invocation), and the end. */
bool output_found(void *context, const struct fsck_problem *problem, bool default_answer);
void output_replaced(void *context, const char *file, const char *kept, bool written);
void output_progress(void *context, const char *what, uint64_t done, uint64_t total);
void output_progress_end(struct invocation *invocation);
void output_result(struct invocation *invocation, const struct fsck_result *result);

#endif
