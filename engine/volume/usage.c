/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/volume/usage.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/format/column.h"
#include "engine/io.h"

#define JOURNAL_FOLDER "journal/"
#define COLUMN_FOLDER "columns/"

static enum usage_kind kind_of(const char *name)
{
	enum column_kind kind;
	uint64_t set;
	uint8_t column;

	if (strncmp(name, JOURNAL_FOLDER, strlen(JOURNAL_FOLDER)) == 0)
		return USAGE_JOURNAL;
	if (strncmp(name, COLUMN_FOLDER, strlen(COLUMN_FOLDER)) != 0 ||
	    column_parse_name(name + strlen(COLUMN_FOLDER), &set, &column, &kind) != ERR_OK)
		return USAGE_OTHER;
	switch (kind) {
	case COLUMN_DATA:
		return USAGE_DATA;
	case COLUMN_MIRROR:
		return USAGE_MIRROR;
	case COLUMN_PARITY:
		return USAGE_PARITY;
	default:
		return USAGE_OTHER;
	}
}

static WAITS enum err measure_file(const char *directory, const char *name, struct env_stat *stat)
{
	struct buf path = {0};
	enum err err;

	buf_put_string(&path, directory);
	buf_put_u8(&path, '/');
	buf_put(&path, name, strlen(name) + 1);
	err = path.err != ERR_OK ? path.err : io_stat((const char *)path.data, stat);
	buf_finish(&path);
	return err;
}

static WAITS enum err list_folder(const char *directory, const char *folder, struct buf *names)
{
	struct buf path = {0};
	enum err err;

	buf_put_string(&path, directory);
	buf_put_u8(&path, '/');
	buf_put(&path, folder, strlen(folder) + 1);
	err = path.err != ERR_OK ? path.err : io_list((const char *)path.data, names);
	buf_finish(&path);
	return err;
}

/* `folder` is "" or ends in a slash. Folders found in the uppermost are gone into. */
static WAITS enum err measure_folder(const char *directory, const char *folder, struct usage *out)
{
	struct buf names = {0}, name = {0};
	enum err err = list_folder(directory, folder, &names);

	for (size_t at = 0; err == ERR_OK && at < names.size;) {
		const char *entry = (const char *)names.data + at;
		struct env_stat stat;

		at += strlen(entry) + 1;
		buf_clear(&name);
		buf_put_string(&name, folder);
		buf_put(&name, entry, strlen(entry) + 1);
		err = name.err != ERR_OK ? name.err
					 : measure_file(directory, (const char *)name.data, &stat);
		if (err == ERR_OK)
			out->bytes[kind_of((const char *)name.data)] += stat.allocated;
		if (err == ERR_OK && stat.is_directory && folder[0] == '\0') {
			name.data[name.size - 1] = '/';
			buf_put_u8(&name, '\0');
			err = name.err != ERR_OK
				      ? name.err
				      : measure_folder(directory, (const char *)name.data, out);
		}
		/* It went since it was listed; or it is none of ours, such as lost+found. */
		if (err == ERR_NOTFOUND || err == ERR_DENIED)
			err = ERR_OK;
	}
	buf_finish(&names);
	buf_finish(&name);
	return err;
}

enum err usage_measure(const char *directory, struct usage *out)
{
	struct env_stat stat;
	enum err err = io_stat(directory, &stat);

	*out = (struct usage){{0}};
	if (err != ERR_OK)
		return err;
	out->bytes[USAGE_OTHER] = stat.allocated;
	return measure_folder(directory, "", out);
}

uint64_t usage_total(const struct usage *usage)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < USAGE_KINDS; i++)
		total += usage->bytes[i];
	return total;
}

const char *usage_kind_name(enum usage_kind kind)
{
	static const char *const names[USAGE_KINDS] = {"data", "mirror", "parity", "journal",
						       "other"};

	ASSERT(kind < USAGE_KINDS);
	return names[kind];
}
