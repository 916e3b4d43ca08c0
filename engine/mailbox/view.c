/* SPDX-License-Identifier: MPL-2.0 */
/*
 * One session's picture of a folder: the UIDs in the order that its client was
 * told. While it is exactly the folder's, views share one list; a view that
 * still shows what is gone has a list of its own.
 */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"

#define READ_CHUNK (256u * 1024)

/* UIDs first .. before - 1, or positions in the folder's list of changes. */
struct span {
	uint64_t first, before;
};

struct view {
	struct mailbox *mailbox;
	struct view *next;
	struct id128 folder;
	uint32_t uidvalidity;
	bool read_only;
	struct uid_list *uids;
	uint64_t order_seen;   /* collection.order_version that `uids` was brought up to */
	uint64_t changes_seen; /* collection.change_count */
	uint64_t modseq_seen;
	uint32_t hidden; /* in `uids`, but gone */
	uint32_t count_told;
	struct span recent[VIEW_RECENT_MAX];
	size_t recent_count;
	struct span silent[VIEW_SILENT_MAX];
	size_t silent_count;
	void (*stale)(struct view *view, void *context);
	void *stale_context;
};

static struct collection *collection_of(const struct view *view)
{
	struct folder *folder = mailbox_folder_state(view->mailbox, view->folder);

	return folder ? &folder->messages : NULL;
}

struct mailbox *view_mailbox(const struct view *view)
{
	return view->mailbox;
}

struct id128 view_folder(const struct view *view)
{
	return view->folder;
}

bool view_read_only(const struct view *view)
{
	return view->read_only;
}

uint32_t view_count(const struct view *view)
{
	return (uint32_t)view->uids->count;
}

uint32_t view_uidvalidity(const struct view *view)
{
	return view->uidvalidity;
}

uint32_t view_uid(const struct view *view, uint32_t sequence)
{
	ASSERT(sequence && sequence <= view->uids->count);
	return view->uids->uids[sequence - 1];
}

static uint32_t find_in(const struct uid_list *list, uint32_t uid)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->uids[middle] < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t)low + 1;
}

uint32_t view_find_uid(const struct view *view, uint32_t uid)
{
	return find_in(view->uids, uid);
}

uint32_t view_uidnext(const struct view *view)
{
	const struct collection *messages = collection_of(view);

	return messages ? messages->stamp_top + 1 : 1;
}

uint64_t view_highest_modseq(const struct view *view)
{
	const struct collection *messages = collection_of(view);

	return messages && messages->highest_modseq ? messages->highest_modseq : 1;
}

const char *const *view_keywords(const struct view *view, size_t *count)
{
	struct collection *messages = collection_of(view);

	*count = messages ? messages->keyword_count : 0;
	return messages ? (const char *const *)messages->keywords : NULL;
}

enum err view_resolve(const struct view *view, uint32_t sequence, struct folder **folder,
		      uint32_t *slot)
{
	/* What is in the state may never have been meant to be seen. */
	if (view->mailbox->broken)
		return ERR_UNAVAILABLE;
	*folder = mailbox_folder_state(view->mailbox, view->folder);
	if (!*folder)
		return ERR_NOTFOUND;
	*slot = collection_resolve(&(*folder)->messages, view_uid(view, sequence));
	return *slot == SLOT_NONE ? ERR_NOTFOUND : ERR_OK;
}

uint32_t view_first_unseen(const struct view *view)
{
	const struct collection *messages = collection_of(view);

	if (!messages || !messages->unseen)
		return 0;
	for (uint32_t i = 1; i <= view->uids->count; i++) {
		uint32_t slot = collection_resolve(messages, view->uids->uids[i - 1]);

		if (slot != SLOT_NONE && !(messages->slots[slot].system & FLAG_SEEN))
			return i;
	}
	return 0;
}

/* ---- \Recent: the first session that is told of a message has it ---- */

uint32_t mailbox_recent_floor(const struct mailbox *mailbox, const struct folder *folder)
{
	const struct folder_home *home = map_get(&mailbox->folder_homes, &folder->id);
	uint32_t wanted = home ? home->recent_wanted : 0;

	return wanted > folder->messages.recent_floor ? wanted : folder->messages.recent_floor;
}

static bool is_recent(const struct view *view, uint32_t uid)
{
	for (size_t i = 0; i < view->recent_count; i++) {
		if (uid >= view->recent[i].first && uid < view->recent[i].before)
			return true;
	}
	return false;
}

uint32_t view_recent_count(const struct view *view)
{
	uint32_t count = 0;

	for (size_t i = 0; i < view->recent_count; i++)
		count += find_in(view->uids, (uint32_t)view->recent[i].before) -
			 find_in(view->uids, (uint32_t)view->recent[i].first);
	return count;
}

/*
 * An examining view counts what no session was told of, and leaves it so for the one that selects:
 * it does not raise the floor, hence the end of its own last span.
 */
static void take_recent(struct view *view)
{
	struct folder *folder = mailbox_folder_state(view->mailbox, view->folder);
	struct span *last = view->recent_count ? &view->recent[view->recent_count - 1] : NULL;
	struct folder_home *home;
	uint32_t floor, before;

	if (!folder || mailbox_folder_home(view->mailbox, view->folder, &home))
		return;
	floor = mailbox_recent_floor(view->mailbox, folder);
	if (last && last->before > floor)
		floor = (uint32_t)last->before;
	before = folder->messages.stamp_top + 1;
	if (floor >= before)
		return;
	if (!view->read_only)
		home->recent_wanted = before;
	if (last && last->before == floor) {
		last->before = before;
		return;
	}
	/* The oldest are recent no longer: nobody promised for how long they are. */
	if (view->recent_count == VIEW_RECENT_MAX)
		memmove(&view->recent[0], &view->recent[1],
			--view->recent_count * sizeof(view->recent[0]));
	view->recent[view->recent_count++] = (struct span){floor, before};
}

/* ---- opening ---- */

enum err view_open(struct mailbox *mailbox, struct id128 folder_id, bool read_only,
		   struct view **out)
{
	struct folder *folder;
	struct view *view;
	bool more = false;
	enum err err = mailbox_drain(mailbox, 1, &more);

	/* What cannot be drained now arrives later; what is there can be read. */
	if (err == ERR_CANCELED || err == ERR_NOMEM)
		return err;
	if (mailbox->broken)
		return ERR_UNAVAILABLE;
	folder = mailbox_folder_state(mailbox, folder_id);
	if (!folder)
		return ERR_NOTFOUND;
	view = memory_allocate(sizeof(*view));
	if (!view)
		return ERR_NOMEM;
	view->uids = collection_uids(&folder->messages);
	if (!view->uids) {
		memory_free(view);
		return ERR_NOMEM;
	}
	view->mailbox = mailbox;
	view->folder = folder_id;
	view->uidvalidity = folder->uidvalidity;
	view->read_only = read_only;
	view->order_seen = folder->messages.order_version;
	view->changes_seen = folder->messages.change_count;
	view->modseq_seen = folder->messages.highest_modseq;
	view->count_told = (uint32_t)view->uids->count;
	take_recent(view);
	view->next = mailbox->views;
	mailbox->views = view;
	mailbox->users++;
	if (more)
		mailbox_pull(mailbox);
	*out = view;
	return ERR_OK;
}

void view_close(struct view **view)
{
	struct view *closed = *view;
	struct view **link;

	*view = NULL;
	if (!closed)
		return;
	link = &closed->mailbox->views;
	while (*link != closed)
		link = &(*link)->next;
	*link = closed->next;
	uid_list_release(&closed->uids);
	mailbox_leave(closed->mailbox);
	memory_free(closed);
}

/* ---- messages ---- */

enum err view_message(struct view *view, uint32_t sequence, struct message *out)
{
	struct folder *folder;
	const struct message_state *message;
	uint32_t slot;
	enum err err = view_resolve(view, sequence, &folder, &slot);

	if (err)
		return err;
	message = &folder->messages.slots[slot];
	*out = (struct message){
		.uid = view_uid(view, sequence),
		.flags = {message->system, {message->keywords[0], message->keywords[1]}},
		.recent = is_recent(view, view_uid(view, sequence)),
		.modseq = message->modseq,
		.arrival_ms = message->arrival_ms,
		.arrival_zone_minutes = message->zone_minutes,
		.size = message->size,
		.email_id = message->blob,
	};
	return ERR_OK;
}

struct source {
	struct blobs *blobs;
	const struct blob_ref *ref;
};

static WAITS enum err read_source(void *context, uint64_t offset, uint64_t size, struct lent *out)
{
	const struct source *source = context;
	enum err err = blob_lend(source->blobs, source->ref, offset, size, out);

	/* The message is here; what is not there any more is its text. */
	return err == ERR_NOTFOUND ? ERR_CORRUPT : err;
}

enum err view_read(struct view *view, uint32_t sequence, uint64_t offset, uint64_t size,
		   struct buf *out)
{
	struct mailbox *mailbox = view->mailbox;
	struct blob_ref ref;
	struct source source = {mailbox->home->options.blobs, &ref};
	struct sealed_name name = {
		.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
		.type = SEALED_MESSAGE,
		.account_tag = mailbox->tag,
	};
	struct folder *folder;
	uint8_t key[KEY_SIZE];
	uint32_t slot;
	enum err err = view_resolve(view, sequence, &folder, &slot);

	if (err)
		return err;
	collection_blob(&folder->messages, slot, &ref);
	name.blob = ref.id;
	err = message_key_unwrap(mailbox, folder, &folder->messages.slots[slot], key);
	if (!err)
		err = blob_open_range(&name, key, ref.size, read_source, &source, offset, size,
				      out);
	memory_wipe(key, sizeof(key));
	return err;
}

static WAITS enum err parse_message(struct view *view, uint32_t sequence, uint64_t message_size,
				    void *parser)
{
	const struct summary_hook *hook = &view->mailbox->home->options.summary;
	struct buf chunk = {0};
	enum err err = ERR_OK;

	for (uint64_t offset = 0; offset < message_size && !err; offset += READ_CHUNK) {
		buf_clear(&chunk);
		err = view_read(view, sequence, offset, READ_CHUNK, &chunk);
		if (!err)
			err = hook->feed(parser, bytes_of_buf(&chunk));
	}
	buf_finish(&chunk);
	return err;
}

/* The cache has lost it: read the message. */
static WAITS enum err summarise_again(struct view *view, uint32_t sequence, struct buf *out)
{
	const struct summary_hook *hook = &view->mailbox->home->options.summary;
	struct bytes nothing = {NULL, 0};
	struct message message;
	size_t start = out->size;
	void *parser;
	enum err err = view_message(view, sequence, &message);

	if (!err)
		err = hook->create(&parser);
	if (err)
		return err;
	err = parse_message(view, sequence, message.size, parser);
	if (!err)
		err = hook->finish(parser, nothing, out);
	hook->destroy(parser);
	if (!err)
		err = summaries_put(view->mailbox->summaries, message.email_id,
				    bytes_slice(bytes_of_buf(out), start, SIZE_MAX));
	return err;
}

enum err view_summary(struct view *view, uint32_t sequence, struct buf *out)
{
	struct summaries *summaries = view->mailbox->summaries;
	struct folder *folder;
	struct bytes waiting;
	uint32_t slot, cache;
	struct id128 blob;
	enum err err = view_resolve(view, sequence, &folder, &slot);

	if (err)
		return err;
	blob = folder->messages.slots[slot].blob;
	cache = folder->messages.slots[slot].cache;
	waiting = summaries_waiting(summaries, blob);
	if (waiting.size) {
		buf_put_bytes(out, waiting);
		return out->err;
	}
	err = cache ? summaries_read(summaries, cache, blob, mailbox_unwrap_block, view->mailbox,
				     out)
		    : ERR_NOTFOUND;
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT || err == ERR_AUTH)
		err = summarise_again(view, sequence, out);
	return err;
}

/* ---- keeping up ---- */

static const struct uid_list no_uids;

/* Old and new lists side by side, both ascending. */
struct difference {
	const struct uid_list *old, *now;
	size_t gone, come;
};

static void compare_lists(struct difference *difference)
{
	const struct uid_list *old = difference->old, *now = difference->now;
	size_t i = 0, j = 0;

	while (i < old->count || j < now->count) {
		if (j == now->count || (i < old->count && old->uids[i] < now->uids[j])) {
			difference->gone++;
			i++;
		} else if (i == old->count || now->uids[j] < old->uids[i]) {
			difference->come++;
			j++;
		} else {
			i++;
			j++;
		}
	}
}

static struct uid_list *merge_lists(const struct difference *difference)
{
	const struct uid_list *old = difference->old, *now = difference->now;
	size_t count = old->count + difference->come, i = 0, j = 0;
	struct uid_list *merged =
		memory_allocate(sizeof(*merged) + count * sizeof(merged->uids[0]));

	if (!merged)
		return NULL;
	merged->references = 1;
	while (merged->count < count) {
		uint32_t uid;

		if (j == now->count || (i < old->count && old->uids[i] <= now->uids[j])) {
			uid = old->uids[i++];
			j += j < now->count && now->uids[j] == uid;
		} else {
			uid = now->uids[j++];
		}
		merged->uids[merged->count++] = uid;
	}
	return merged;
}

static void report_gone(const struct difference *difference, const struct view_events *events)
{
	const struct uid_list *old = difference->old, *now = difference->now;
	size_t j = now->count;

	for (size_t i = old->count; i; i--) {
		while (j && now->uids[j - 1] > old->uids[i - 1])
			j--;
		if (!j || now->uids[j - 1] != old->uids[i - 1])
			events->expunged(events->context, (uint32_t)i, old->uids[i - 1]);
	}
}

/* Brings `uids` up to date; false when memory is out: then everything stays as it was. */
static bool sync_order(struct view *view, struct collection *messages, bool expunges,
		       const struct view_events *events)
{
	struct uid_list *now = messages ? collection_uids(messages) : NULL;
	struct difference difference = {.old = view->uids, .now = now ? now : &no_uids};
	struct uid_list *next;

	if (messages && !now)
		return false;
	compare_lists(&difference);
	if (expunges || !difference.gone) {
		report_gone(&difference, events);
		next = now;
		view->hidden = 0;
	} else {
		next = merge_lists(&difference);
		uid_list_release(&now);
		if (!next)
			return false;
		view->hidden = (uint32_t)difference.gone;
	}
	if (!next) {
		/* The folder is gone. */
		next = memory_allocate(sizeof(*next));
		if (!next)
			return false;
		next->references = 1;
	}
	uid_list_release(&view->uids);
	view->uids = next;
	if (difference.come) {
		take_recent(view);
		events->exists(events->context, view_count(view), view_recent_count(view));
	}
	return true;
}

static bool is_silent(const struct view *view, uint64_t position)
{
	for (size_t i = 0; i < view->silent_count; i++) {
		if (position >= view->silent[i].first && position < view->silent[i].before)
			return true;
	}
	return false;
}

/* Whether a later change that is reported says the same. */
static bool is_repeated(const struct view *view, const struct collection *messages,
			uint64_t position)
{
	uint32_t uid = messages->changes[position % CHANGES_KEPT].uid;

	for (uint64_t i = position + 1; i < messages->change_count; i++) {
		if (messages->changes[i % CHANGES_KEPT].uid == uid && !is_silent(view, i))
			return true;
	}
	return false;
}

static void report_flags(const struct view *view, const struct collection *messages, uint32_t uid,
			 uint32_t told_before, const struct view_events *events)
{
	uint32_t sequence = view_find_uid(view, uid);
	uint32_t slot = collection_resolve(messages, uid);

	/* What was announced just now is fetched anyhow. */
	if (uid >= told_before || slot == SLOT_NONE || sequence > view_count(view) ||
	    view_uid(view, sequence) != uid)
		return;
	events->flags(events->context, sequence, uid, messages->slots[slot].modseq);
}

static void sync_flags(struct view *view, const struct collection *messages, uint32_t told_before,
		       const struct view_events *events)
{
	if (messages->change_count - view->changes_seen <= CHANGES_KEPT) {
		for (uint64_t i = view->changes_seen; i < messages->change_count; i++) {
			if (!is_silent(view, i) && !is_repeated(view, messages, i))
				report_flags(view, messages,
					     messages->changes[i % CHANGES_KEPT].uid, told_before,
					     events);
		}
	} else {
		for (size_t i = 0; i < messages->count; i++) {
			const struct message_state *message = collection_at(messages, i);

			if (message->modseq > view->modseq_seen)
				report_flags(view, messages, message->uid, told_before, events);
		}
	}
	view->changes_seen = messages->change_count;
	view->modseq_seen = messages->highest_modseq;
	view->silent_count = 0;
}

void view_sync(struct view *view, bool expunges, const struct view_events *events)
{
	struct collection *messages = collection_of(view);
	uint32_t told_before = view->uids->count ? view->uids->uids[view->uids->count - 1] + 1 : 0;
	uint64_t version = messages ? messages->order_version : 0;

	/* What is in the state may never have been meant to be seen. */
	if (view->mailbox->broken)
		return;
	if (version != view->order_seen || (expunges && view->hidden)) {
		if (!sync_order(view, messages, expunges, events))
			return;
		view->order_seen = version;
	}
	if (messages && messages->change_count != view->changes_seen)
		sync_flags(view, messages, told_before, events);
}

static bool only_silent(const struct view *view, const struct collection *messages)
{
	if (messages->change_count - view->changes_seen > CHANGES_KEPT)
		return false;
	for (uint64_t i = view->changes_seen; i < messages->change_count; i++) {
		if (!is_silent(view, i))
			return false;
	}
	return true;
}

bool view_stale(const struct view *view)
{
	const struct collection *messages = collection_of(view);

	if (view->mailbox->broken)
		return false;
	if (view->hidden || (messages ? messages->order_version : 0) != view->order_seen)
		return true;
	return messages && !only_silent(view, messages);
}

void view_notify(struct view *view, void (*stale)(struct view *view, void *context), void *context)
{
	view->stale = stale;
	view->stale_context = context;
}

void view_silent_begin(struct view *view)
{
	const struct collection *messages = collection_of(view);

	if (!messages)
		return;
	/* With too many at once it hears of its own changes: allowed, only not asked for. */
	if (view->silent_count == VIEW_SILENT_MAX)
		memmove(&view->silent[0], &view->silent[1],
			--view->silent_count * sizeof(view->silent[0]));
	view->silent[view->silent_count++] =
		(struct span){messages->change_count, messages->change_count};
}

void view_silent_end(struct view *view)
{
	const struct collection *messages = collection_of(view);

	if (messages && view->silent_count)
		view->silent[view->silent_count - 1].before = messages->change_count;
}

void mailbox_tell_views(struct mailbox *mailbox)
{
	struct view *next;

	for (struct view *view = mailbox->views; view; view = next) {
		void (*stale)(struct view * view, void *context) = view->stale;

		next = view->next;
		if (!stale || !view_stale(view))
			continue;
		view->stale = NULL;
		stale(view, view->stale_context);
	}
}

/* ---- status ---- */

enum err mailbox_status(struct mailbox *mailbox, struct id128 folder_id, struct folder_status *out)
{
	const struct collection *messages;
	const struct folder *folder;
	bool more = false;
	enum err err = mailbox_drain(mailbox, SIZE_MAX, &more);

	if (err == ERR_CANCELED || err == ERR_NOMEM)
		return err;
	if (mailbox->broken)
		return ERR_UNAVAILABLE;
	folder = mailbox_folder_state(mailbox, folder_id);
	if (!folder)
		return ERR_NOTFOUND;
	messages = &folder->messages;
	*out = (struct folder_status){
		.messages = (uint32_t)messages->count,
		.recent = (uint32_t)(messages->count -
				     collection_position(messages,
							 mailbox_recent_floor(mailbox, folder))),
		.unseen = messages->unseen,
		.uidnext = messages->stamp_top + 1,
		.uidvalidity = folder->uidvalidity,
		.highest_modseq = messages->highest_modseq ? messages->highest_modseq : 1,
		.size = messages->size,
		.deleted = messages->deleted,
	};
	return ERR_OK;
}
