/* SPDX-License-Identifier: MPL-2.0 */
/*
 * After a crash the copies of an open set end at different records: what one
 * disk had synced another had not. Nothing of it was acknowledged where a copy
 * is missing, but a seal needs equal columns, so every member gets what the
 * longest copy holds. Only then, when all copies have been asked, an unfinished
 * tail is dropped: what it was, if any copy has it, is appended again.
 */
#include "engine/base/memory.h"
#include "engine/set/blobs_private.h"

static void drop_read(struct wire_call *call)
{
	shared_release(&((struct set_read_call *)call)->record);
}

enum err fetch_record(struct finish *finish, unsigned member, const struct column_entry *entry,
		      struct shared **out)
{
	struct set_read_call *call =
		ask_create(sizeof(*call), SET_READ, finish->volumes[member], drop_read);
	struct record record;
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = finish->set;
	call->id = entry->id;
	call->piece = entry->piece;
	call->from_mirror = true;
	err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	if (err == ERR_OK && call->record == NULL)
		err = ERR_NOTFOUND;
	if (err == ERR_OK)
		err = reader_check(shared_bytes(call->record), finish->set, entry->id, entry->piece,
				   &record);
	if (err == ERR_OK && (record.offset != entry->offset || record.column != entry->column))
		err = ERR_CORRUPT;
	if (err == ERR_OK) {
		*out = call->record;
		call->record = NULL;
	}
	ask_release(call);
	return err;
}

static void drop_list(struct wire_call *call)
{
	shared_release(&((struct set_list_call *)call)->entries);
}

static enum err decode_list(const struct set_list_call *call, struct column_entry **out)
{
	struct cursor cursor = cursor_make(shared_bytes(call->entries));
	struct column_entry *entries;
	enum err err;

	/* What a member says of its list bounds the memory only when the list is there. */
	if (cursor_left(&cursor) != call->count * (uint64_t)COLUMN_INDEX_ENTRY)
		return ERR_CORRUPT;
	entries = memory_array(call->count, sizeof(*entries));
	if (entries == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < call->count; i++)
		column_entry_get(&cursor, &entries[i]);
	err = cursor_end(&cursor);
	if (err != ERR_OK)
		memory_free(entries);
	else
		*out = entries;
	return err;
}

enum err fetch_list(struct finish *finish, unsigned member, struct column_entry **out,
		    uint32_t *count)
{
	struct set_list_call *call =
		ask_create(sizeof(*call), SET_LIST, finish->volumes[member], drop_list);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = finish->set;
	err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	if (err == ERR_OK)
		err = decode_list(call, out);
	*count = err == ERR_OK ? call->count : 0;
	ask_release(call);
	return err;
}

static WAITS enum err drop_tail(struct finish *finish, unsigned member)
{
	struct set_simple_call *call =
		ask_create(sizeof(*call), SET_TRUNCATE, finish->volumes[member], NULL);
	enum err err;

	if (call == NULL)
		return ERR_NOMEM;
	call->set = finish->set;
	call->uuid = finish->uuid;
	err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	ask_release(call);
	if (err == ERR_OK)
		env_log(finish->blobs->env, "event=tail-dropped set=%016llx member=%u",
			(unsigned long long)finish->set, member);
	return err;
}

static WAITS enum err drop_tails(struct finish *finish)
{
	enum err err = ERR_OK;

	for (unsigned i = 0; err == ERR_OK && i < profile_members(finish->profile); i++)
		if (finish->answers[i].torn)
			err = drop_tail(finish, i);
	return err;
}

/* Nobody served it, so nobody took it. */
static void drop_append(struct wire_call *call)
{
	shared_release(&((struct set_append_call *)call)->record);
}

/* One at a time: what a record says of durability must be true of the member that takes it. */
static WAITS enum err give_record(struct finish *finish, unsigned member, struct shared *record)
{
	struct set_append_call *call =
		ask_create(sizeof(*call), SET_APPEND, finish->volumes[member], drop_append);
	enum err err;

	if (call == NULL) {
		shared_release(&record);
		return ERR_NOMEM;
	}
	call->set = finish->set;
	call->record = record;
	err = ask(finish->blobs, call, ask_patience_ms(finish->blobs));
	ask_release(call);
	return err;
}

static unsigned longest_holder(const struct finish *finish, unsigned column, uint64_t length)
{
	if (finish->answers[column].columns[column].end == length)
		return column;
	for (unsigned i = finish->profile.k; i < profile_members(finish->profile); i++)
		if (finish->answers[i].columns[column].end == length)
			return i;
	return column;
}

/* Brings one member's copy of one column to the end of the source's. */
static WAITS enum err extend_copy(struct finish *finish, unsigned member, unsigned column,
				  unsigned source, const struct column_entry *entries,
				  uint32_t count)
{
	uint64_t end = finish->answers[member].columns[column].end;

	for (uint32_t i = 0; i < count; i++) {
		struct shared *record;
		enum err err;

		if (entries[i].column != column || entries[i].offset < end)
			continue;
		err = fetch_record(finish, source, &entries[i], &record);
		if (err == ERR_OK)
			err = give_record(finish, member, record);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

static bool keeps(const struct finish *finish, unsigned member, unsigned column)
{
	return member == column || member >= finish->profile.k;
}

static WAITS enum err even_column(struct finish *finish, unsigned column, uint64_t length)
{
	unsigned source = longest_holder(finish, column, length);
	struct column_entry *entries = NULL;
	uint32_t count = 0;
	enum err err = ERR_OK;

	for (unsigned i = 0; err == ERR_OK && i < profile_members(finish->profile); i++) {
		if (!keeps(finish, i, column) || finish->answers[i].columns[column].end == length)
			continue;
		if (entries == NULL)
			err = fetch_list(finish, source, &entries, &count);
		if (err == ERR_OK)
			err = extend_copy(finish, i, column, source, entries, count);
	}
	memory_free(entries);
	return err;
}

enum err catch_up_set(struct finish *finish, const struct set_descriptor *target)
{
	enum err err = drop_tails(finish);

	for (unsigned i = 0; err == ERR_OK && i < finish->profile.k; i++)
		err = even_column(finish, i, target->length[i]);
	/* Copies that differ, or a disk that fails meanwhile: there is always evacuation. */
	return err == ERR_OK || err == ERR_CANCELED || err == ERR_NOMEM ? err : ERR_STALE;
}
