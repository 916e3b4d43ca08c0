/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/journal/closings.h"

#include "engine/base/memory.h"
#include "engine/journal/journal_private.h"

#define CLOSING_VERSION 1u
#define READ_BATCH 256u

enum err closing_decode(struct bytes payload,
			enum err (*each)(void *context, struct id128 incarnation), void *context)
{
	struct cursor cursor = cursor_make(payload);
	uint64_t count;
	enum err err = ERR_OK;

	if (cursor_u8(&cursor) != CLOSING_VERSION)
		return ERR_NEWER;
	cursor_zeros(&cursor, 7);
	(void)cursor_id(&cursor);
	count = cursor_varint(&cursor);
	if (cursor.err != ERR_OK || cursor_left(&cursor) / sizeof(struct id128) != count ||
	    cursor_left(&cursor) % sizeof(struct id128) != 0)
		return ERR_CORRUPT;
	while (err == ERR_OK && count-- > 0)
		err = each(context, cursor_id(&cursor));
	return err;
}

static enum err learn(void *context, struct id128 incarnation)
{
	struct journal *journal = context;

	return map_put(&journal->closed, &incarnation, journal);
}

/* One bad entry closes nothing, which is the careful side. */
static enum err take_entry(void *context, const struct entry *entry)
{
	enum err err = ERR_OK;

	if (entry->kind == ENTRY_TABLE)
		err = closing_decode(entry->payload, learn, context);
	return err == ERR_NOMEM ? err : ERR_OK;
}

enum err journal_read_closings(struct journal *journal)
{
	bool more = true, complete;
	enum err err = ERR_OK;

	while (err == ERR_OK && more) {
		struct vector after = {0};

		err = vector_copy(&journal->closings_seen, &after);
		if (err == ERR_OK)
			err = journal_read(journal, table_stream(TABLE_NODES), &after, READ_BATCH,
					   take_entry, journal, &journal->closings_seen, &complete,
					   &more);
		vector_finish(&after);
	}
	return err;
}

struct closing {
	struct id128 node;
	const struct id128 *incarnations;
	size_t count;
};

static enum err seal_closing(void *context, const struct entry_place *place, struct buf *payload)
{
	const struct closing *closing = context;

	(void)place;
	buf_put_u8(payload, CLOSING_VERSION);
	buf_put_zeros(payload, 7);
	buf_put_id(payload, closing->node);
	buf_put_varint(payload, closing->count);
	for (size_t i = 0; i < closing->count; i++)
		buf_put_id(payload, closing->incarnations[i]);
	return payload->err;
}

enum err journal_close_incarnations(struct journal *journal, const struct key *signing,
				    struct id128 node, const struct id128 *incarnations,
				    size_t count)
{
	struct journal_writer *writer = NULL;
	enum err err = journal_writer_create(journal, signing, node, &writer);

	for (size_t i = 0; err == ERR_OK && i < count; i += CLOSINGS_MAX) {
		struct closing closing = {node, incarnations + i,
					  count - i < CLOSINGS_MAX ? count - i : CLOSINGS_MAX};
		struct journal_append append = {.stream = table_stream(TABLE_NODES),
						.kind = ENTRY_TABLE,
						.seal = seal_closing,
						.context = &closing};

		err = journal_append(writer, &append);
	}
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = learn(journal, incarnations[i]);
	journal_writer_destroy(&writer);
	return err;
}

bool journal_incarnation_is_closed(const struct journal *journal, struct id128 incarnation)
{
	return map_get(&journal->closed, &incarnation) != NULL;
}
