/* SPDX-License-Identifier: MPL-2.0 */
/*
 * What cannot be mended is told once. Whoever has taken note of it finds one
 * line in each volume's "known-losses": 16 hex digits, the hash of what is
 * behind them: code, set, account and detail.
 */
#include "engine/fsck/fsck_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/io.h"

#define NAME "known-losses"
#define SIZE_LIMIT (64u * 1024 * 1024)

static void describe(const struct fsck_problem *problem, struct buf *out)
{
	buf_printf(out, "%s %016" PRIx64 " %s %s", fsck_code_info(problem->code)->code,
		   problem->set, problem->account, problem->detail);
}

static uint64_t identify(const struct fsck_problem *problem)
{
	struct buf text = {0};
	uint64_t hash;

	describe(problem, &text);
	hash = hash_64(text.data, text.size);
	buf_finish(&text);
	return hash;
}

bool fsck_is_known(struct fsck *fsck, const struct fsck_problem *problem)
{
	uint64_t hash = identify(problem);

	return map_get(&fsck->known, &hash) != NULL;
}

enum err fsck_load_known(struct fsck *fsck, size_t volume)
{
	struct buf text = {0};
	char path[FSCK_PATH_SIZE];
	enum err err;

	fsck_path(fsck, volume, NAME, path);
	err = io_read_file(path, SIZE_LIMIT, &text);
	buf_put_u8(&text, '\0');
	if (err == ERR_OK)
		err = text.err;
	for (size_t at = 0; err == ERR_OK && at + 17 < text.size;) {
		const char *line = (const char *)text.data + at;
		const char *end = strchr(line, '\n');
		uint64_t hash;

		if (sscanf(line, "%16" SCNx64, &hash) == 1)
			err = map_put(&fsck->known, &hash, fsck);
		at = end != NULL ? (size_t)(end - (const char *)text.data) + 1 : text.size;
	}
	buf_finish(&text);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

static WAITS enum err write_down(struct fsck *fsck, size_t volume, const struct buf *lines)
{
	struct buf text = {0};
	char path[FSCK_PATH_SIZE];
	enum err err;

	fsck_path(fsck, volume, NAME, path);
	err = io_read_file(path, SIZE_LIMIT, &text);
	if (err == ERR_OK || err == ERR_NOTFOUND) {
		buf_put_bytes(&text, bytes_of_buf(lines));
		err = text.err;
	}
	if (err == ERR_OK)
		err = io_replace_file(path, bytes_of_buf(&text));
	buf_finish(&text);
	return err;
}

enum err fsck_keep_known(struct fsck *fsck)
{
	const struct fsck_result *result = fsck->result;
	struct buf lines = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; i < result->problem_count; i++) {
		const struct fsck_problem *problem = &result->problems[i];
		const char *question = fsck_code_info(problem->code)->question;

		if (!problem->decided || question == NULL || strcmp(question, FSCK_TAKE_NOTE) != 0)
			continue;
		buf_printf(&lines, "%016" PRIx64 " ", identify(problem));
		describe(problem, &lines);
		buf_put_u8(&lines, '\n');
	}
	err = lines.err;
	overlay_through(fsck->options->overlay, true);
	for (size_t i = 0; err == ERR_OK && lines.size != 0 && i < fsck->volume_count; i++)
		if (fsck->volumes[i].usable)
			err = write_down(fsck, i, &lines);
	overlay_through(fsck->options->overlay, false);
	buf_finish(&lines);
	return err;
}
