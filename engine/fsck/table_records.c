/* SPDX-License-Identifier: MPL-2.0 */
/* What the records of the cluster's tables tell the passes, be they in entries or in snapshots. */
#include "engine/fsck/fsck_private.h"

#include <string.h>

#include "engine/base/memory.h"

/* The address, for people; whether its signature holds is not asked here. */
static enum err note_account(struct fsck *fsck, struct bytes record)
{
	struct cursor cursor = cursor_make(record);
	struct id128 stream;
	struct bytes address;
	char *text;

	cursor_take(&cursor, 2);
	if (cursor_u8(&cursor) != 1 /* birth */)
		return ERR_OK;
	cursor_take(&cursor, 61);
	stream = cursor_id(&cursor);
	cursor_take(&cursor, 64);
	address = cursor_take(&cursor, cursor_u16(&cursor));
	if (cursor.err != ERR_OK || map_get(&fsck->addresses, &stream) != NULL)
		return ERR_OK;
	text = memory_allocate(address.size + 1);
	if (text == NULL)
		return ERR_NOMEM;
	memcpy(text, address.data, address.size);
	if (map_put(&fsck->addresses, &stream, text) != ERR_OK) {
		memory_free(text);
		return ERR_NOMEM;
	}
	return ERR_OK;
}

static enum err merge_directory(struct fsck *fsck, const struct directory_record *record)
{
	struct directory_record *present = fsck_directory_record(&fsck->directory, record->set);

	return present != NULL ? directory_record_merge(present, record) : ERR_NOMEM;
}

static enum err note_directory(struct fsck *fsck, struct bytes record)
{
	struct directory_record decoded = {0};
	enum err err = directory_record_decode(record, &decoded);

	if (err == ERR_OK)
		err = merge_directory(fsck, &decoded);
	directory_record_finish(&decoded);
	return err;
}

bool fsck_is_table(struct id128 stream)
{
	return id128_equal(stream, table_stream(TABLE_ACCOUNTS)) ||
	       id128_equal(stream, table_stream(TABLE_DIRECTORY));
}

enum err fsck_note_table(struct fsck *fsck, struct id128 stream, struct bytes record)
{
	return id128_equal(stream, table_stream(TABLE_ACCOUNTS)) ? note_account(fsck, record)
								 : note_directory(fsck, record);
}
