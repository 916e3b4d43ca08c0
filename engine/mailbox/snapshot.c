/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Manifests: the state as pages, so that a login reads those and not the
 * history. Written in the background; sessions go on meanwhile. Pages are
 * sealed one at a time, with others running in between; what changes behind it
 * is sealed again in the last step, which does not wait, together with the root.
 */
#include "engine/mailbox/internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/mailbox/merge.h"
#include "engine/mailbox/pages.h"
#include "engine/plant.h"

#define SNAPSHOT_BYTES (1024u * 1024)
#define SNAPSHOT_PENDING (2u * 1024 * 1024)
/* When the last session leaves, fewer entries than this are cheaper to read again. */
#define SNAPSHOT_LEAVING 16u
#define SEAL_ROUNDS 3u
#define ROOT_VERSION 1u
#define ROOT_PLAIN_MAX (16u * 1024 * 1024)
/* Blocks with no more live summaries than this are packed again with the new ones. */
#define BLOCK_SMALL (SUMMARY_BLOCK_COUNT / 4)

/* ---- sealing ---- */

static void page_place_encode(const struct mailbox *mailbox, struct id128 folder, struct id128 page,
			      struct buf *out)
{
	buf_put_u8(out, ROOT_VERSION);
	buf_put_id(out, mailbox->account);
	buf_put_id(out, folder);
	buf_put_id(out, page);
}

static enum err seal_plain(const struct mailbox *mailbox, const char *label, struct id128 folder,
			   struct id128 id, struct buf *plain, struct buf *out)
{
	struct buf associated = {0};
	enum err err;

	page_place_encode(mailbox, folder, id, &associated);
	err = plain->err ? plain->err : associated.err;
	if (!err)
		err = payload_seal(mailbox->keys.directory, label,
				   bytes_make(id.octets, sizeof(id.octets)),
				   bytes_of_buf(&associated), bytes_of_buf(plain), out);
	buf_finish(&associated);
	buf_finish(plain);
	return err;
}

static enum err open_plain(const struct mailbox *mailbox, const char *label, struct id128 folder,
			   struct id128 id, struct bytes sealed, size_t limit, struct buf *out)
{
	struct buf associated = {0};
	enum err err;

	page_place_encode(mailbox, folder, id, &associated);
	err = associated.err;
	if (!err)
		err = mailbox_open_payload(mailbox, label, bytes_make(id.octets, sizeof(id.octets)),
					   bytes_of_buf(&associated), sealed, limit, out);
	buf_finish(&associated);
	return err;
}

/* ---- a snapshot under way ---- */

struct sealed_page {
	struct id128 folder, id;
	uint32_t first_uid;
	struct blob_ref *blobs;
	size_t blob_count;
	struct buf payload;
};

struct snapshot {
	struct mailbox *mailbox;
	struct sealed_page *pages;
	size_t page_count, page_capacity;
	struct id128 *lists;
	size_t list_count, list_capacity;
	struct manifest manifest;
	struct manifest_page *written;
	size_t written_count;
	struct buf root;
};

static void snapshot_finish(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->page_count; i++) {
		buf_finish(&snapshot->pages[i].payload);
		memory_free(snapshot->pages[i].blobs);
	}
	memory_free(snapshot->pages);
	memory_free(snapshot->lists);
	memory_free(snapshot->written);
	memory_free(snapshot->manifest.pages);
	memory_free(snapshot->manifest.blobs);
	vector_finish(&snapshot->manifest.vector);
	buf_finish(&snapshot->root);
}

static enum err list_page_blobs(const struct collection *messages, size_t index,
				struct sealed_page *page)
{
	size_t first, before;

	pages_range(messages, index, &first, &before);
	page->blobs = memory_array(before - first, sizeof(*page->blobs));
	if (!page->blobs)
		return ERR_NOMEM;
	for (size_t i = first; i < before; i++)
		collection_blob(messages, messages->order[i], &page->blobs[page->blob_count++]);
	return ERR_OK;
}

/* The page's content has a fresh id; until it is written down nobody knows it. */
static enum err seal_page(struct snapshot *snapshot, struct folder *folder, size_t index)
{
	struct mailbox *mailbox = snapshot->mailbox;
	struct page_range *range = &folder->messages.pages[index];
	struct sealed_page page = {
		.folder = folder->id,
		.id = env_random_id(mailbox->home->env),
		.first_uid = range->first_uid,
	};
	struct buf plain = {0};
	enum err err = ARRAY_GROW(snapshot->pages, snapshot->page_capacity, snapshot->page_count);

	if (err)
		return err;
	message_page_encode(folder, index, mailbox->summaries, &plain);
	err = seal_plain(mailbox, LABEL_PAGE, folder->id, page.id, &plain, &page.payload);
	if (!err)
		err = list_page_blobs(&folder->messages, index, &page);
	snapshot->pages[snapshot->page_count++] = page;
	if (!err) {
		range->page = page.id;
		range->dirty = false;
	}
	return err;
}

static struct folder *next_dirty(struct mailbox *mailbox, size_t *index)
{
	for (size_t i = 0; i < mailbox->state.folder_count; i++) {
		struct folder *folder = mailbox->state.folders[i];

		for (size_t j = 0; j < folder->messages.page_count; j++) {
			if (folder->messages.pages[j].dirty) {
				*index = j;
				return folder;
			}
		}
	}
	return NULL;
}

static enum err partition_all(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++)
		err = pages_partition(&mailbox->state.folders[i]->messages);
	return err;
}

/* Most of the pages, one at a time, while others run. */
static WAITS enum err seal_in_background(struct snapshot *snapshot)
{
	for (unsigned round = 0; round < SEAL_ROUNDS; round++) {
		enum err err = partition_all(snapshot->mailbox);
		struct folder *folder;
		size_t index, limit = snapshot->page_count;

		for (size_t i = 0; i < snapshot->mailbox->state.folder_count; i++)
			limit += snapshot->mailbox->state.folders[i]->messages.page_count;
		while (!err && snapshot->page_count < limit &&
		       (folder = next_dirty(snapshot->mailbox, &index))) {
			err = seal_page(snapshot, folder, index);
			task_yield();
		}
		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err seal_lists(struct snapshot *snapshot)
{
	struct mailbox *mailbox = snapshot->mailbox;
	size_t item = 0;

	account_state_prune(&mailbox->state);
	while (item != SIZE_MAX) {
		struct sealed_page page = {.id = env_random_id(mailbox->home->env)};
		struct buf plain = {0};
		enum err err =
			ARRAY_GROW(snapshot->pages, snapshot->page_capacity, snapshot->page_count);

		if (!err)
			err = ARRAY_GROW(snapshot->lists, snapshot->list_capacity,
					 snapshot->list_count);
		if (err)
			return err;
		list_page_encode(&mailbox->state, &item, &plain);
		err = seal_plain(mailbox, LABEL_PAGE, ID128_ZERO, page.id, &plain, &page.payload);
		snapshot->pages[snapshot->page_count++] = page;
		snapshot->lists[snapshot->list_count++] = page.id;
		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err seal_root(struct snapshot *snapshot)
{
	struct mailbox *mailbox = snapshot->mailbox;
	struct buf plain = {0};

	keyring_encode(mailbox, NULL, &plain);
	root_encode(&mailbox->state, mailbox->summaries, snapshot->lists, snapshot->list_count,
		    &plain);
	return seal_plain(mailbox, LABEL_ROOT, ID128_ZERO, snapshot->manifest.id, &plain,
			  &snapshot->root);
}

static enum err name_pages(struct snapshot *snapshot)
{
	const struct account_state *state = &snapshot->mailbox->state;
	struct manifest *manifest = &snapshot->manifest;
	size_t count = snapshot->list_count;

	for (size_t i = 0; i < state->folder_count; i++)
		count += state->folders[i]->messages.page_count;
	manifest->pages = memory_array(count, sizeof(*manifest->pages));
	if (!manifest->pages)
		return ERR_NOMEM;
	for (size_t i = 0; i < snapshot->list_count; i++)
		manifest->pages[manifest->page_count++] = snapshot->lists[i];
	for (size_t i = 0; i < state->folder_count; i++) {
		const struct collection *messages = &state->folders[i]->messages;

		for (size_t j = 0; j < messages->page_count; j++)
			manifest->pages[manifest->page_count++] = messages->pages[j].page;
	}
	return ERR_OK;
}

static enum err name_blocks(struct snapshot *snapshot)
{
	struct manifest *manifest = &snapshot->manifest;
	size_t count;
	const struct summary_block *blocks = summaries_blocks(snapshot->mailbox->summaries, &count);

	manifest->blobs = memory_array(count, sizeof(*manifest->blobs));
	if (!manifest->blobs)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		if (blocks[i].live)
			manifest->blobs[manifest->blob_count++] = blocks[i].blob;
	}
	return ERR_OK;
}

/* A page sealed in the background that changed again since is not written. */
static enum err choose_written(struct snapshot *snapshot)
{
	const struct manifest *manifest = &snapshot->manifest;
	struct map named;
	enum err err = ERR_OK;

	map_init(&named, sizeof(struct id128));
	for (size_t i = 0; i < manifest->page_count && !err; i++)
		err = map_put(&named, &manifest->pages[i], snapshot);
	snapshot->written = memory_array(snapshot->page_count, sizeof(*snapshot->written));
	if (!snapshot->written)
		err = ERR_NOMEM;
	for (size_t i = 0; i < snapshot->page_count && !err; i++) {
		const struct sealed_page *page = &snapshot->pages[i];

		if (map_get(&named, &page->id))
			snapshot->written[snapshot->written_count++] =
				(struct manifest_page){page->id, page->blobs, page->blob_count,
						       bytes_of_buf(&page->payload)};
	}
	map_finish(&named);
	return err;
}

/* Does not wait: what the manifest says is one moment's state. */
static enum err seal_moment(struct snapshot *snapshot)
{
	struct mailbox *mailbox = snapshot->mailbox;
	struct home *home = mailbox->home;
	struct folder *folder;
	size_t index;
	enum err err = partition_all(mailbox);

	while (!err && (folder = next_dirty(mailbox, &index)))
		err = seal_page(snapshot, folder, index);
	if (!err)
		err = seal_lists(snapshot);
	snapshot->manifest = (struct manifest){
		.stream = mailbox->stream,
		.id = env_random_id(home->env),
		.incarnation = journal_writer_incarnation(home->writer),
		.epoch = mailbox->epoch,
		.floor = blob_floor(home->options.blobs),
	};
	if (!err)
		err = account_state_vector(&mailbox->state, &snapshot->manifest.vector);
	if (!err)
		err = seal_root(snapshot);
	if (!err)
		err = name_pages(snapshot);
	if (!err)
		err = name_blocks(snapshot);
	if (!err)
		err = choose_written(snapshot);
	snapshot->manifest.payload = bytes_of_buf(&snapshot->root);
	return err;
}

/* Nobody has the pages: they are to be sealed again. */
static void mark_unwritten(const struct snapshot *snapshot)
{
	const struct account_state *state = &snapshot->mailbox->state;

	for (size_t i = 0; i < snapshot->page_count; i++) {
		const struct sealed_page *page = &snapshot->pages[i];
		struct folder *folder = account_state_folder(state, page->folder);

		if (folder)
			collection_mark_page(&folder->messages, page->first_uid);
	}
}

/* Pages that were to be used again are not there any more. */
static void mark_all(struct mailbox *mailbox)
{
	for (size_t i = 0; i < mailbox->state.folder_count; i++) {
		struct collection *messages = &mailbox->state.folders[i]->messages;

		for (size_t j = 0; j < messages->page_count; j++)
			messages->pages[j].dirty = true;
	}
}

/* ---- summaries into blocks ---- */

struct packing {
	struct mailbox *mailbox;
	struct summary_item items[SUMMARY_BLOCK_COUNT];
	struct buf owned[SUMMARY_BLOCK_COUNT]; /* of items read out of small blocks */
	size_t count, bytes;
	struct map chosen; /* blob id -> itself */
};

static bool wants_packing(const struct packing *packing, const struct message_state *message)
{
	size_t count;
	const struct summary_block *blocks = summaries_blocks(packing->mailbox->summaries, &count);

	if (!message->cache)
		return summaries_waiting(packing->mailbox->summaries, message->blob).size != 0;
	return blocks[message->cache - 1].live <= BLOCK_SMALL;
}

/* Finds messages to pack, from `folder` and `uid` on; no pointer is kept across a wait. */
static bool next_to_pack(const struct packing *packing, size_t *folder_index, uint32_t *uid,
			 struct id128 *blob, uint32_t *cache)
{
	const struct account_state *state = &packing->mailbox->state;

	for (; *folder_index < state->folder_count; ++*folder_index, *uid = 0) {
		const struct collection *messages = &state->folders[*folder_index]->messages;

		for (size_t i = collection_position(messages, *uid); i < messages->count; i++) {
			const struct message_state *message = collection_at(messages, i);

			if (!wants_packing(packing, message) ||
			    map_get(&packing->chosen, &message->blob))
				continue;
			*uid = message->uid + 1;
			*blob = message->blob;
			*cache = message->cache;
			return true;
		}
	}
	return false;
}

static WAITS enum err pack_one(struct packing *packing, struct id128 blob, uint32_t cache)
{
	struct summaries *summaries = packing->mailbox->summaries;
	struct buf *owned = &packing->owned[packing->count];
	struct bytes waiting = summaries_waiting(summaries, blob);
	enum err err = ERR_OK;

	if (waiting.size)
		buf_put_bytes(owned, waiting);
	else if (cache)
		err = summaries_read(summaries, cache, blob, mailbox_unwrap_block, packing->mailbox,
				     owned);
	/* What cannot be read stays where it is. */
	if (err == ERR_NOTFOUND || err == ERR_CORRUPT || err == ERR_AUTH) {
		buf_clear(owned);
		return ERR_OK;
	}
	if (!err)
		err = owned->err;
	if (!err)
		err = map_put(&packing->chosen, &blob, packing);
	if (err || !owned->size)
		return err;
	packing->items[packing->count] = (struct summary_item){blob, bytes_of_buf(owned)};
	packing->bytes += owned->size;
	packing->count++;
	return ERR_OK;
}

static WAITS enum err collect_items(struct packing *packing, size_t *waiting_count)
{
	size_t folder = 0;
	uint32_t uid = 0, cache;
	struct id128 blob;
	enum err err = ERR_OK;

	while (!err && packing->count < SUMMARY_BLOCK_COUNT &&
	       packing->bytes < SUMMARY_BLOCK_BYTES &&
	       next_to_pack(packing, &folder, &uid, &blob, &cache)) {
		*waiting_count += !cache;
		err = pack_one(packing, blob, cache);
	}
	return err;
}

/* The messages point at the new block. */
static enum err point_at(struct packing *packing, const struct summary_block *block)
{
	struct mailbox *mailbox = packing->mailbox;
	uint32_t number;
	enum err err = summaries_add_block(mailbox->summaries, block, &number);

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++) {
		struct collection *messages = &mailbox->state.folders[i]->messages;

		for (size_t j = 0; j < messages->count; j++) {
			struct message_state *message = &messages->slots[messages->order[j]];

			if (!wants_packing(packing, message) ||
			    !map_get(&packing->chosen, &message->blob))
				continue;
			summaries_removed(mailbox->summaries, message);
			message->cache = number;
			summaries_count_block(mailbox->summaries, number);
			collection_mark_page(messages, message->uid);
		}
	}
	for (size_t i = 0; i < packing->count && !err; i++)
		summaries_drop_waiting(mailbox->summaries, packing->items[i].blob);
	return err;
}

static WAITS enum err pack_block(struct mailbox *mailbox, bool *more)
{
	struct packing *packing = memory_allocate(sizeof(*packing));
	struct summary_block block;
	size_t waiting_count = 0;
	enum err err;

	if (!packing)
		return ERR_NOMEM;
	packing->mailbox = mailbox;
	map_init(&packing->chosen, sizeof(struct id128));
	err = collect_items(packing, &waiting_count);
	/* Small blocks alone are not worth it. */
	*more = waiting_count && packing->count;
	if (!err && *more)
		err = summaries_write_block(mailbox->summaries, mailbox->keys.directory,
					    packing->items, packing->count, &block);
	if (!err && *more)
		err = point_at(packing, &block);
	for (size_t i = 0; i < SUMMARY_BLOCK_COUNT; i++)
		buf_finish(&packing->owned[i]);
	map_finish(&packing->chosen);
	memory_free(packing);
	return err;
}

/* What waits for messages that nobody has any more would make a snapshot due after every entry. */
static enum err drop_orphans(struct mailbox *mailbox)
{
	struct map named;
	enum err err = ERR_OK;

	if (PLANTED(orphans_wait))
		return ERR_OK;
	map_init(&named, sizeof(struct id128));
	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++) {
		const struct collection *messages = &mailbox->state.folders[i]->messages;

		for (size_t j = 0; j < messages->count && !err; j++) {
			const struct message_state *message = collection_at(messages, j);

			if (summaries_waiting(mailbox->summaries, message->blob).size)
				err = map_put(&named, &message->blob, mailbox);
		}
	}
	if (!err)
		err = summaries_keep_waiting(mailbox->summaries, &named);
	map_finish(&named);
	return err;
}

/* On full disks they go on waiting: the manifest frees space, the cache does not. */
static WAITS enum err pack_summaries(struct mailbox *mailbox)
{
	bool more = true;
	enum err err = drop_orphans(mailbox);

	while (!err && more)
		err = pack_block(mailbox, &more);
	mailbox->packing_refused = err == ERR_NOSPACE;
	return mailbox->packing_refused ? ERR_OK : err;
}

/* ---- what need not be written ---- */

/* R7. While a replica is silent everything is kept. */
static WAITS enum err forget(struct mailbox *mailbox)
{
	struct home *home = mailbox->home;
	struct vector stable = {0}, known = {0};
	enum err err = journal_stable(home->options.journal, mailbox->stream, &stable, &known);

	if (!err) {
		account_state_forget(&mailbox->state, &stable);
		err = account_state_end_groups(&mailbox->state,
					       journal_writer_incarnation(home->writer), &known);
	}
	vector_finish(&stable);
	vector_finish(&known);
	return err == ERR_UNAVAILABLE ? ERR_OK : err;
}

/* ---- when ---- */

static WAITS enum err take_snapshot(struct mailbox *mailbox)
{
	struct snapshot snapshot = {.mailbox = mailbox};
	size_t entries = mailbox->entries_since, bytes = mailbox->bytes_since;
	enum err err = pack_summaries(mailbox);

	if (!err)
		err = forget(mailbox);
	if (!err)
		err = seal_in_background(&snapshot);
	if (!err && !mailbox->promised)
		err = ERR_UNAVAILABLE;
	if (!err) {
		entries = mailbox->entries_since;
		bytes = mailbox->bytes_since;
		err = seal_moment(&snapshot);
	}
	if (!err) {
		err = journal_put_manifest(mailbox->home->options.journal, &snapshot.manifest,
					   snapshot.written, snapshot.written_count);
	}
	if (err == ERR_STALE)
		mark_all(mailbox);
	if (err) {
		mark_unwritten(&snapshot);
	} else {
		mailbox->entries_since -= entries;
		mailbox->bytes_since -= bytes;
		mailbox->home->counters.manifests++;
		mailbox->home->counters.pages_written += snapshot.written_count;
	}
	snapshot_finish(&snapshot);
	return err;
}

static WAITS void snapshot_task(void *argument)
{
	struct mailbox *mailbox = argument;
	enum err err = take_snapshot(mailbox);

	mailbox->snapshot_running = false;
	if (err && err != ERR_CANCELED)
		env_log(mailbox->home->env, "event=snapshot-failed error=%s", err_name(err));
}

static bool is_due(const struct mailbox *mailbox)
{
	if (mailbox->entries_since >= mailbox->home->options.snapshot_entries ||
	    mailbox->bytes_since >= SNAPSHOT_BYTES)
		return true;
	/* What found no room is no reason to write a manifest after every entry. */
	if (summaries_pending(mailbox->summaries) >= SNAPSHOT_PENDING && !mailbox->packing_refused)
		return true;
	return !mailbox->sessions && mailbox->entries_since >= SNAPSHOT_LEAVING;
}

void mailbox_consider_snapshot(struct mailbox *mailbox)
{
	if (!mailbox->promised || mailbox->snapshot_running || mailbox->broken ||
	    mailbox->home->closing || !mailbox->ready || !is_due(mailbox))
		return;
	mailbox->snapshot_running = true;
	if (mailbox_spawn(mailbox, "snapshot", snapshot_task))
		mailbox->snapshot_running = false;
}

/* ---- loading ---- */

struct found_manifest {
	struct id128 id;
	struct vector vector;
	struct buf payload;
};

/* Manifests as the journal holds them: several when homes did not see each other. */
struct found {
	struct found_manifest *manifests;
	size_t count, capacity;
};

static void found_finish(struct found *found)
{
	for (size_t i = 0; i < found->count; i++) {
		vector_finish(&found->manifests[i].vector);
		buf_finish(&found->manifests[i].payload);
	}
	memory_free(found->manifests);
}

static enum err take_manifest(void *context, const struct manifest *manifest)
{
	struct found *found = context;
	struct found_manifest *taken;
	enum err err = ARRAY_GROW(found->manifests, found->capacity, found->count);

	if (err)
		return err;
	taken = &found->manifests[found->count++];
	*taken = (struct found_manifest){.id = manifest->id};
	buf_put_bytes(&taken->payload, manifest->payload);
	return taken->payload.err ? taken->payload.err
				  : vector_copy(&manifest->vector, &taken->vector);
}

static WAITS enum err open_root(struct mailbox *mailbox, const struct found_manifest *manifest,
				struct buf *plain)
{
	struct bytes sealed = bytes_of_buf(&manifest->payload);
	enum err err = open_plain(mailbox, LABEL_ROOT, ID128_ZERO, manifest->id, sealed,
				  ROOT_PLAIN_MAX, plain);

	/* Sealed before the keys were changed: the entries since then say with what. */
	if (err != ERR_AUTH)
		return err;
	err = mailbox_find_keyring(mailbox, &manifest->vector);
	if (err)
		return err;
	return open_plain(mailbox, LABEL_ROOT, ID128_ZERO, manifest->id, sealed, ROOT_PLAIN_MAX,
			  plain);
}

static WAITS enum err load_page(struct mailbox *mailbox, const struct root_page *page,
				struct account_state *state)
{
	struct folder *folder = account_state_folder(state, page->folder);
	struct buf sealed = {0}, plain = {0};
	enum err err = journal_read_page(mailbox->home->options.journal, mailbox->stream,
					 page->page, &sealed);

	if (!err)
		err = open_plain(mailbox, LABEL_PAGE, page->folder, page->page,
				 bytes_of_buf(&sealed), PAGE_PLAIN_MAX, &plain);
	if (!err)
		err = folder ? message_page_decode(state, folder, mailbox->summaries,
						   bytes_of_buf(&plain))
			     : list_page_decode(state, bytes_of_buf(&plain));
	buf_finish(&sealed);
	buf_finish(&plain);
	return err;
}

/* List pages last: they mention messages. */
static WAITS enum err load_pages(struct mailbox *mailbox, const struct root *root,
				 struct account_state *state)
{
	for (unsigned lists = 0; lists < 2; lists++) {
		for (size_t i = 0; i < root->page_count; i++) {
			enum err err;

			if (id128_is_zero(root->pages[i].folder) != (lists == 1))
				continue;
			err = load_page(mailbox, &root->pages[i], state);
			if (err)
				return err;
		}
	}
	return ERR_OK;
}

static WAITS enum err load_root(struct mailbox *mailbox, const struct found_manifest *manifest,
				struct account_state *state)
{
	struct root root = {0};
	struct buf plain = {0};
	struct cursor cursor;
	enum err err = open_root(mailbox, manifest, &plain);

	if (!err) {
		cursor = cursor_make(bytes_of_buf(&plain));
		err = keyring_decode(mailbox, &cursor);
	}
	if (!err)
		err = root_decode(&cursor, state, mailbox->summaries, &root);
	if (!err)
		err = cursor_end(&cursor);
	if (!err)
		err = load_pages(mailbox, &root, state);
	root_finish(&root);
	buf_finish(&plain);
	return err;
}

/* Its pages stay named by it until a manifest of both is written, which is due now. */
static WAITS enum err join_sibling(struct mailbox *mailbox, const struct found_manifest *manifest)
{
	struct account_state sibling;
	enum err err;

	account_state_init(&sibling, &mailbox->state.listener);
	err = load_root(mailbox, manifest, &sibling);
	if (!err)
		err = account_state_merge(&mailbox->state, &sibling);
	account_state_finish(&sibling);
	mailbox->entries_since += mailbox->home->options.snapshot_entries;
	return err;
}

enum err mailbox_load_snapshot(struct mailbox *mailbox)
{
	struct found found = {.count = 0};
	enum err err = journal_manifests(mailbox->home->options.journal, mailbox->stream,
					 take_manifest, &found);

	if (!err && found.count > 1)
		env_log(mailbox->home->env, "event=manifest-siblings count=%zu", found.count);
	for (size_t i = 0; i < found.count && !err; i++)
		err = i ? join_sibling(mailbox, &found.manifests[i])
			: load_root(mailbox, &found.manifests[i], &mailbox->state);
	if (err && err != ERR_UNAVAILABLE && err != ERR_CANCELED)
		env_log(mailbox->home->env, "event=snapshot-unreadable error=%s", err_name(err));
	found_finish(&found);
	return err;
}
