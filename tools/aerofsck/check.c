/* SPDX-License-Identifier: MPL-2.0 */
#include "tools/aerofsck/aerofsck.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/io.h"

/* ---- the index ---- */

static WAITS enum err remove_folder(const char *folder)
{
	struct buf names = {0};
	char path[FSCK_PATH_SIZE];
	enum err err = io_list(folder, &names);

	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;

		at += strlen(name) + 1;
		snprintf(path, sizeof(path), "%.700s/%.255s", folder, name);
		err = io_unlink(path);
	}
	buf_finish(&names);
	return err == ERR_OK ? io_sync_directory(folder) : err;
}

/* An index can be removed at any time while the store is closed; an empty one is none. */
static WAITS enum err drop_index(struct invocation *invocation)
{
	const char *index = invocation->config.index;
	struct buf names = {0};
	char path[FSCK_PATH_SIZE];
	enum err err;

	overlay_through(invocation->overlay, true);
	err = io_list(index, &names);
	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *name = (const char *)names.data + at;

		at += strlen(name) + 1;
		snprintf(path, sizeof(path), "%.700s/%.255s", index, name);
		if (strncmp(name, "journal-", 8) == 0)
			err = remove_folder(path);
	}
	overlay_through(invocation->overlay, false);
	buf_finish(&names);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static WAITS void mend_index(struct invocation *invocation)
{
	enum err err;

	if (!invocation->has_config || !(invocation->rebuild_index || invocation->journal_replaced))
		return;
	err = drop_index(invocation);
	if (err != ERR_OK) {
		complain("%s: %s", invocation->config.index, err_text(err));
		invocation->exit |= FSCK_EXIT_FAILED;
	} else if (!invocation->json) {
		printf("dropped the index in %s: aerod makes it anew\n", invocation->config.index);
	}
}

/* ---- checking ---- */

static void refuse(struct invocation *invocation, enum err err, const char *why)
{
	output_progress_end(invocation);
	if (invocation->canceled)
		complain("interrupted; what was written is whole, what was replaced is kept");
	else if (*why != '\0')
		complain("%s", why);
	else
		complain("could not be finished: %s", err_text(err));
	if (!invocation->canceled)
		invocation->exit |= FSCK_EXIT_FAILED;
}

void run_check(struct invocation *invocation)
{
	const struct fsck_options options = {
		.overlay = invocation->overlay,
		.volumes = invocation->volumes,
		.volume_count = invocation->volume_count,
		.mode = invocation->rebuild_directory && !invocation->mode_given ? FSCK_SAFE
										 : invocation->mode,
		.cluster = invocation->has_config ? invocation->config.cluster : ID128_ZERO,
		.rebuild_directory = invocation->rebuild_directory,
		.found = output_found,
		.replaced = output_replaced,
		.progress = output_progress,
		.context = invocation,
	};
	char why[FSCK_DETAIL_SIZE];
	struct fsck_result result;
	enum err err = fsck_run(&options, &result, why);

	if (err == ERR_OK)
		mend_index(invocation);
	else
		refuse(invocation, err, why);
	if (err == ERR_OK || result.problem_count != 0)
		output_result(invocation, &result);
	fsck_result_finish(&result);
}

/* ---- salvaging ---- */

void run_salvage(struct invocation *invocation)
{
	uint64_t files = 0;
	enum err err;

	overlay_through(invocation->overlay, true);
	err = fsck_salvage(invocation->volumes, invocation->volume_count, invocation->salvage,
			   &files);
	overlay_through(invocation->overlay, false);
	if (err == ERR_OK) {
		printf("%" PRIu64 " records are in %s, listed in %s/manifest\n", files,
		       invocation->salvage, invocation->salvage);
	} else {
		complain("%s: %s", invocation->salvage,
			 err == ERR_EXISTS ? "exists already; give a new directory"
					   : err_text(err));
		invocation->exit |= FSCK_EXIT_FAILED;
	}
}
