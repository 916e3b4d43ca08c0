/* SPDX-License-Identifier: MPL-2.0 */
/* What a session changes in a folder: flags, expunge, copy, move. */
#include "engine/mailbox/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

#define SYSTEM_FLAGS 0x1fu
/* So many fit in an entry whatever they are, with all keywords that a folder may have. */
#define RUNS_A_PART 32768u
static_assert(OPERATION_BLOBS_MAX <= RUNS_A_PART, "one operation expunges what one copies");

/* UIDs that ascend, as runs without gaps (operation.h, INV). */
struct runs {
	struct uid_run *items;
	size_t count, capacity;
};

/* *full: there is no room for this one. */
static enum err runs_add(struct runs *runs, uint32_t uid, bool *full)
{
	struct uid_run *last = runs->count ? &runs->items[runs->count - 1] : NULL;
	enum err err;

	if (last && uid >= last->first && uid - last->first < last->count)
		return ERR_OK;
	if (last && last->first + last->count == uid) {
		last->count++;
		return ERR_OK;
	}
	*full = runs->count == RUNS_A_PART;
	if (*full)
		return ERR_OK;
	err = ARRAY_GROW(runs->items, runs->capacity, runs->count);
	if (!err)
		runs->items[runs->count++] = (struct uid_run){uid, 1};
	return err;
}

/* The messages of a command, as UIDs they have now. */
struct selection {
	uint32_t *uids;
	size_t count;
};

static int by_uid(const void *a, const void *b)
{
	uint32_t left, right;

	memcpy(&left, a, sizeof(left));
	memcpy(&right, b, sizeof(right));
	return left < right ? -1 : left > right;
}

/* Those of the view's numbers (all when NULL) that still exist and pass `wanted`. */
static enum err select_messages(const struct view *view, const uint32_t *sequences, size_t count,
				bool (*wanted)(const struct message_state *message, void *context),
				void *context, struct selection *out)
{
	size_t total = sequences ? count : view_count(view);
	bool sorted = true;
	enum err err = ERR_OK;

	*out = (struct selection){.uids = memory_array(total, sizeof(*out->uids))};
	if (!out->uids)
		return ERR_NOMEM;
	for (size_t i = 0; i < total && (!err || err == ERR_NOTFOUND); i++) {
		uint32_t sequence = sequences ? sequences[i] : (uint32_t)i + 1, slot;
		const struct message_state *message;
		struct folder *folder;

		err = view_resolve(view, sequence, &folder, &slot);
		if (err)
			continue;
		message = &folder->messages.slots[slot];
		if (wanted && !wanted(message, context))
			continue;
		sorted &= !out->count || out->uids[out->count - 1] < message->uid;
		out->uids[out->count++] = message->uid;
	}
	/* A superseded UID stands where its message no longer is. */
	if (!sorted)
		qsort(out->uids, out->count, sizeof(*out->uids), by_uid);
	return err == ERR_NOTFOUND ? ERR_OK : err;
}

/* From *next on, as many as one operation takes; *next is then the first that is left. */
static enum err put_runs(struct change *change, struct operation *operation,
			 const struct selection *selection, size_t *next)
{
	struct runs runs = {0};
	bool full = false;
	enum err err = ERR_OK;

	while (*next < selection->count && !full && !err) {
		err = runs_add(&runs, selection->uids[*next], &full);
		*next += !full && !err;
	}
	operation->runs = runs.items;
	operation->run_count = runs.count;
	if (!err) {
		change_put(change, operation);
		err = change->operations.err;
	}
	operation->runs = NULL;
	memory_free(runs.items);
	return err;
}

/* A command that is more than one entry holds: a group, all or nothing. */
struct parts {
	struct change **changes;
	size_t count, capacity;
};

static enum err parts_add(struct parts *parts, struct change **out)
{
	enum err err = ARRAY_GROW(parts->changes, parts->capacity, parts->count);

	if (err)
		return err;
	*out = change_create();
	if (!*out)
		return ERR_NOMEM;
	parts->changes[parts->count++] = *out;
	return ERR_OK;
}

static enum err parts_put(struct parts *parts, struct operation *operation,
			  const struct selection *selection, struct view *silent)
{
	size_t next = 0;
	enum err err = ERR_OK;

	while (next < selection->count && !err) {
		struct change *change;

		err = parts_add(parts, &change);
		if (err)
			break;
		change->silent = silent;
		err = put_runs(change, operation, selection, &next);
	}
	return err;
}

static WAITS enum err parts_commit(struct mailbox *mailbox, const struct parts *parts)
{
	if (mailbox->broken)
		return ERR_UNAVAILABLE;
	mailbox_enqueue_group(mailbox, parts->changes, parts->count);
	return mailbox_await_group(mailbox, parts->changes, parts->count);
}

static void parts_finish(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		change_release(&parts->changes[i]);
	memory_free(parts->changes);
	*parts = (struct parts){0};
}

/* ---- flags ---- */

enum err mailbox_check_keywords(const struct folder *folder, const struct bytes *keywords,
				size_t keyword_count)
{
	size_t fresh = 0;

	for (size_t i = 0; i < keyword_count; i++) {
		if (!keywords[i].size || keywords[i].size > KEYWORD_NAME_MAX)
			return ERR_INVALID;
		fresh += collection_keyword(&folder->messages, keywords[i]) == KEYWORD_MAX;
	}
	return folder->messages.keyword_count + fresh > KEYWORD_MAX ? ERR_LIMIT : ERR_OK;
}

struct store {
	const struct collection *messages;
	uint8_t system_set, system_clear;
	uint64_t keywords_set[2], keywords_clear[2];
	bool makes_keywords;
};

static void mark_bit(uint64_t words[2], size_t bit)
{
	words[bit / 64] |= 1ull << (bit % 64);
}

static void store_prepare(struct store *store, enum store_mode mode, uint8_t system,
			  const struct bytes *keywords, size_t keyword_count)
{
	uint64_t named[2] = {0};

	for (size_t i = 0; i < keyword_count; i++) {
		size_t bit = collection_keyword(store->messages, keywords[i]);

		if (bit == KEYWORD_MAX)
			store->makes_keywords |= mode != STORE_REMOVE;
		else
			mark_bit(named, bit);
	}
	system &= SYSTEM_FLAGS;
	if (mode == STORE_REMOVE) {
		store->system_clear = system;
		memcpy(store->keywords_clear, named, sizeof(named));
		return;
	}
	store->system_set = system;
	memcpy(store->keywords_set, named, sizeof(named));
	if (mode == STORE_ADD)
		return;
	store->system_clear = (uint8_t)(~system & SYSTEM_FLAGS);
	for (size_t i = 0; i < store->messages->keyword_count; i++) {
		if (!(named[i / 64] >> (i % 64) & 1))
			mark_bit(store->keywords_clear, i);
	}
}

/* A message that has it all already keeps its modseq. */
static bool store_changes(const struct message_state *message, void *context)
{
	const struct store *store = context;

	if (store->makes_keywords || (store->system_set & ~message->system) ||
	    (store->system_clear & message->system))
		return true;
	for (size_t i = 0; i < 2; i++) {
		if ((store->keywords_set[i] & ~message->keywords[i]) ||
		    (store->keywords_clear[i] & message->keywords[i]))
			return true;
	}
	return false;
}

static size_t cleared_names(const struct store *store, struct bytes out[KEYWORD_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < store->messages->keyword_count; i++) {
		if (store->keywords_clear[i / 64] >> (i % 64) & 1)
			out[count++] = bytes_string(store->messages->keywords[i]);
	}
	return count;
}

static enum err put_store(struct parts *parts, struct view *view, const struct store *store,
			  const struct bytes *keywords, size_t keyword_count,
			  const struct selection *selection, bool silent)
{
	struct bytes cleared[KEYWORD_MAX];
	size_t cleared_count = cleared_names(store, cleared);
	struct operation operation = {
		.kind = OPERATION_FLAGS,
		.folder = view_folder(view),
		.flags = {.system_set = store->system_set, .system_clear = store->system_clear},
	};
	struct buf set = {0}, clear = {0};
	enum err err;

	name_list_make(keywords, keyword_count, &set, &operation.flags.keywords_set);
	name_list_make(cleared, cleared_count, &clear, &operation.flags.keywords_clear);
	err = set.err ? set.err : clear.err;
	if (!err)
		err = parts_put(parts, &operation, selection, silent ? view : NULL);
	buf_finish(&set);
	buf_finish(&clear);
	return err;
}

enum err view_store(struct view *view, const uint32_t *sequences, size_t count,
		    enum store_mode mode, uint8_t system, const struct bytes *keywords,
		    size_t keyword_count, bool silent)
{
	struct mailbox *mailbox = view_mailbox(view);
	const struct folder *folder;
	struct selection selection = {0};
	struct store store = {0};
	struct parts parts = {0};
	enum err err;

	if (view_read_only(view))
		return ERR_DENIED;
	err = mailbox_settle_failure(mailbox);
	if (err)
		return err;
	folder = mailbox_folder_state(mailbox, view_folder(view));
	if (!folder)
		return ERR_NOTFOUND;
	err = mode == STORE_REMOVE ? ERR_OK
				   : mailbox_check_keywords(folder, keywords, keyword_count);
	if (err)
		return err;
	store.messages = &folder->messages;
	store_prepare(&store, mode, system, keywords, keyword_count);
	err = select_messages(view, sequences, count, store_changes, &store, &selection);
	if (err || !selection.count)
		goto out;
	err = put_store(&parts, view, &store, keywords, mode == STORE_REMOVE ? 0 : keyword_count,
			&selection, silent);
	if (!err)
		err = parts_commit(mailbox, &parts);
out:
	parts_finish(&parts);
	memory_free(selection.uids);
	return err;
}

/* ---- expunge ---- */

static bool is_deleted(const struct message_state *message, void *context)
{
	(void)context;
	return message->system & FLAG_DELETED;
}

static WAITS enum err expunge_in_gate(struct view *view, const uint32_t *sequences, size_t count,
				      size_t *expunged)
{
	struct operation operation = {.kind = OPERATION_EXPUNGE, .folder = view_folder(view)};
	struct selection selection = {0};
	struct parts parts = {0};
	enum err err = select_messages(view, sequences, count, is_deleted, NULL, &selection);

	if (err || !selection.count)
		goto out;
	err = parts_put(&parts, &operation, &selection, NULL);
	if (!err)
		err = parts_commit(view_mailbox(view), &parts);
	if (!err)
		*expunged = selection.count;
out:
	parts_finish(&parts);
	memory_free(selection.uids);
	return err;
}

/*
 * In the gate until they are gone, as a move is: what another session moves meanwhile would be told
 * to be expunged here, and be in the other folder.
 */
enum err view_expunge(struct view *view, const uint32_t *sequences, size_t count, size_t *expunged)
{
	struct mailbox *mailbox = view_mailbox(view);
	enum err err;

	*expunged = 0;
	if (view_read_only(view))
		return ERR_DENIED;
	err = mailbox_uids_enter(mailbox);
	if (err)
		return err;
	err = expunge_in_gate(view, sequences, count, expunged);
	mailbox_uids_leave(mailbox);
	return err;
}

/* ---- copy and move ---- */

struct copying {
	struct mailbox *mailbox;
	struct id128 from, to;
	bool move;
	struct selection selection;
	uint32_t *to_uids;
	struct change **changes; /* a group: one for each OPERATION_BLOBS_MAX messages */
	size_t change_count;
};

static enum err copy_names(const struct collection *messages, const struct message_state *message,
			   struct buf *storage, struct name_list *out)
{
	struct bytes names[KEYWORD_MAX];
	size_t count = 0;

	for (size_t i = 0; i < messages->keyword_count; i++) {
		if (message->keywords[i / 64] >> (i % 64) & 1)
			names[count++] = bytes_string(messages->keywords[i]);
	}
	name_list_make(names, count, storage, out);
	return storage->err;
}

/* The blob is shared, its key is wrapped for the other folder, the id is new. */
static enum err put_copy(struct copying *copying, size_t index, struct change *change)
{
	struct mailbox *mailbox = copying->mailbox;
	const struct folder *from = mailbox_folder_state(mailbox, copying->from);
	const struct folder *to = mailbox_folder_state(mailbox, copying->to);
	struct operation operation = {.kind = OPERATION_ADD, .folder = copying->to};
	const struct message_state *message;
	const struct summary_block *blocks;
	size_t block_count;
	struct buf names = {0};
	uint8_t key[KEY_SIZE];
	uint32_t slot = collection_resolve(&from->messages, copying->selection.uids[index]);
	enum err err;

	if (slot == SLOT_NONE)
		return ERR_NOTFOUND;
	message = &from->messages.slots[slot];
	operation.add = (struct operation_add){
		.id = env_random_id(mailbox->home->env),
		.size = message->size,
		.arrival_ms = message->arrival_ms,
		.zone_minutes = message->zone_minutes,
		.system = message->system,
	};
	collection_blob(&from->messages, slot, &operation.add.blob);
	blocks = summaries_blocks(mailbox->summaries, &block_count);
	if (message->cache)
		operation.add.cache = blocks[message->cache - 1].blob.id;
	err = message_key_unwrap(mailbox, from, message, key);
	if (!err)
		err = message_key_wrap(mailbox, to, key, &operation.add);
	memory_wipe(key, sizeof(key));
	if (!err)
		err = copy_names(&from->messages, message, &names, &operation.add.keywords);
	if (!err)
		err = change_name_blob(change, &operation.add.blob);
	if (!err) {
		operation.add.uid = mailbox_take_uid(mailbox, copying->to, change);
		copying->to_uids[index] = operation.add.uid;
		change_put(change, &operation);
		err = change->operations.err;
	}
	buf_finish(&names);
	return err;
}

static enum err put_copies(struct copying *copying, size_t first, size_t before,
			   struct change *change)
{
	struct operation expunge = {.kind = OPERATION_EXPUNGE, .folder = copying->from};
	struct selection part = {copying->selection.uids + first, before - first};
	size_t next = 0;

	for (size_t i = first; i < before; i++) {
		enum err err = put_copy(copying, i, change);

		if (err)
			return err;
	}
	return copying->move ? put_runs(change, &expunge, &part, &next) : ERR_OK;
}

/* Messages that went while UIDs were reserved are left out. */
static void drop_gone(struct copying *copying)
{
	const struct folder *from = mailbox_folder_state(copying->mailbox, copying->from);
	size_t kept = 0;

	for (size_t i = 0; from && i < copying->selection.count; i++) {
		uint32_t uid = copying->selection.uids[i];

		if (collection_resolve(&from->messages, uid) != SLOT_NONE)
			copying->selection.uids[kept++] = uid;
	}
	copying->selection.count = kept;
}

static enum err make_changes(struct copying *copying)
{
	size_t count = copying->selection.count;

	copying->to_uids = memory_array(count, sizeof(*copying->to_uids));
	copying->changes = memory_array(count / OPERATION_BLOBS_MAX + 1, sizeof(struct change *));
	if (!copying->to_uids || !copying->changes)
		return ERR_NOMEM;
	for (size_t first = 0; first < count; first += OPERATION_BLOBS_MAX) {
		size_t before =
			first + OPERATION_BLOBS_MAX < count ? first + OPERATION_BLOBS_MAX : count;
		struct change *change = change_create();
		enum err err;

		if (!change)
			return ERR_NOMEM;
		copying->changes[copying->change_count++] = change;
		err = put_copies(copying, first, before, change);
		if (err)
			return err;
	}
	return ERR_OK;
}

/*
 * After a move that succeeds the caller leaves the gate, when the originals are gone: another
 * session that moves them would find them still there, and there would be two.
 */
static WAITS enum err stamp_copies(struct copying *copying)
{
	struct mailbox *mailbox = copying->mailbox;
	enum err err = mailbox_uids_enter(mailbox);

	if (err)
		return err;
	err = mailbox_reserve(mailbox, copying->to, (uint32_t)copying->selection.count);
	if (!err && (!mailbox_folder_state(mailbox, copying->to) ||
		     !mailbox_folder_state(mailbox, copying->from)))
		err = ERR_NOTFOUND;
	if (!err) {
		drop_gone(copying);
		err = make_changes(copying);
	}
	if (!err)
		mailbox_enqueue_group(mailbox, copying->changes, copying->change_count);
	if (err || !copying->move)
		mailbox_uids_leave(mailbox);
	return err;
}

static WAITS enum err run_copying(struct copying *copying)
{
	enum err err = stamp_copies(copying);

	if (err)
		return err;
	err = mailbox_await_group(copying->mailbox, copying->changes, copying->change_count);
	if (copying->move)
		mailbox_uids_leave(copying->mailbox);
	return err;
}

static void copying_finish(struct copying *copying)
{
	for (size_t i = 0; i < copying->change_count; i++)
		change_release(&copying->changes[i]);
	memory_free(copying->changes);
	memory_free(copying->selection.uids);
	memory_free(copying->to_uids);
}

enum err view_copy(struct view *view, const uint32_t *sequences, size_t count, struct bytes target,
		   bool move, struct copy_result *out)
{
	struct mailbox *mailbox = view_mailbox(view);
	const struct folder *to = mailbox_folder_named(mailbox, target);
	struct copying copying = {.mailbox = mailbox, .from = view_folder(view), .move = move};
	enum err err;

	*out = (struct copy_result){0};
	if (!to)
		return ERR_NOTFOUND;
	if (move && view_read_only(view))
		return ERR_DENIED;
	copying.to = to->id;
	out->uidvalidity = to->uidvalidity;
	err = select_messages(view, sequences, count, NULL, NULL, &copying.selection);
	if (!err && copying.selection.count)
		err = run_copying(&copying);
	if (!err) {
		out->from_uids = copying.selection.uids;
		out->to_uids = copying.to_uids;
		out->count = copying.selection.count;
		copying.selection.uids = copying.to_uids = NULL;
	}
	copying_finish(&copying);
	return err;
}

enum err mailbox_move_all(struct mailbox *mailbox, struct id128 from, struct bytes to)
{
	const struct folder *source = mailbox_folder_state(mailbox, from);
	const struct folder *target = mailbox_folder_named(mailbox, to);
	struct copying copying = {.mailbox = mailbox, .from = from, .move = true};
	enum err err = ERR_OK;

	if (!source || !target)
		return ERR_NOTFOUND;
	copying.to = target->id;
	copying.selection.count = source->messages.count;
	copying.selection.uids = memory_array(source->messages.count, sizeof(uint32_t));
	if (!copying.selection.uids)
		return ERR_NOMEM;
	for (size_t i = 0; i < source->messages.count; i++)
		copying.selection.uids[i] = collection_at(&source->messages, i)->uid;
	if (copying.selection.count)
		err = run_copying(&copying);
	copying_finish(&copying);
	return err;
}
