/* SPDX-License-Identifier: MPL-2.0 */
/* Folders: names, the list, the keys of each. */
#include "engine/mailbox/internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"

#define FOLDERS_MAX 10000u

static const struct bytes inbox_name = {(const uint8_t *)"INBOX", 5};

struct folder *mailbox_folder_state(const struct mailbox *mailbox, struct id128 id)
{
	return account_state_folder(&mailbox->state, id);
}

enum err mailbox_folder_home(struct mailbox *mailbox, struct id128 id, struct folder_home **out)
{
	struct folder_home *home = map_get(&mailbox->folder_homes, &id);
	enum err err;

	if (!home) {
		home = memory_allocate(sizeof(*home));
		if (!home)
			return ERR_NOMEM;
		home->id = id;
		err = map_put(&mailbox->folder_homes, &id, home);
		if (err) {
			memory_free(home);
			return err;
		}
	}
	*out = home;
	return ERR_OK;
}

/* ---- keys ---- */

static struct bytes key_use(struct id128 folder, uint32_t epoch, uint8_t storage[20])
{
	memcpy(storage, folder.octets, 16);
	store_u32(storage + 16, epoch);
	return bytes_make(storage, 20);
}

static enum err unwrap_folder_key(struct mailbox *mailbox, const struct folder *folder,
				  const struct folder_key *wrapped, struct key **out)
{
	uint8_t storage[20], octets[KEY_SIZE];
	struct bytes use = key_use(folder->id, wrapped->epoch, storage);
	const struct key *directory;
	enum err err = ERR_AUTH;

	for (size_t i = 0; err && (directory = mailbox_directory_key(mailbox, i)); i++)
		err = key_unwrap(directory, LABEL_FOLDER_KEY, use, wrapped->wrapped, octets);
	if (!err)
		err = key_import(octets, out);
	memory_wipe(octets, sizeof(octets));
	return err;
}

static const struct folder_key *newest_key(const struct folder *folder)
{
	const struct folder_key *newest = NULL;

	for (size_t i = 0; i < folder->key_count; i++) {
		const struct folder_key *key = &folder->keys[i];

		if (!newest || key->stamp.clock > newest->stamp.clock ||
		    (key->stamp.clock == newest->stamp.clock && key->epoch < newest->epoch))
			newest = key;
	}
	return newest;
}

enum err mailbox_folder_key(struct mailbox *mailbox, const struct folder *folder,
			    const uint32_t *epoch, struct key **out)
{
	const struct folder_key *wanted = epoch ? NULL : newest_key(folder);
	struct folder_home *home;
	struct key *key;
	enum err err = mailbox_folder_home(mailbox, folder->id, &home);

	for (size_t i = 0; epoch && i < folder->key_count; i++) {
		if (folder->keys[i].epoch == *epoch)
			wanted = &folder->keys[i];
	}
	if (err || !wanted)
		return err ? err : ERR_CORRUPT;
	if (home->key && home->epoch == wanted->epoch) {
		*out = key_reference(home->key);
		return ERR_OK;
	}
	err = unwrap_folder_key(mailbox, folder, wanted, &key);
	if (err)
		return err;
	/* One key a folder stays unwrapped: nearly all messages are under the newest. */
	if (wanted == newest_key(folder)) {
		key_release(&home->key);
		home->key = key_reference(key);
		home->epoch = wanted->epoch;
	}
	*out = key;
	return ERR_OK;
}

enum err message_key_unwrap(struct mailbox *mailbox, const struct folder *folder,
			    const struct message_state *message, uint8_t out[KEY_SIZE])
{
	struct key *key;
	enum err err = mailbox_folder_key(mailbox, folder, &message->epoch, &key);

	if (err)
		return err;
	err = key_unwrap(key, LABEL_BLOB_KEY,
			 bytes_make(message->blob.octets, sizeof(message->blob.octets)),
			 message->wrapped_key, out);
	key_release(&key);
	return err;
}

enum err message_key_wrap(struct mailbox *mailbox, const struct folder *folder,
			  const uint8_t plain[KEY_SIZE], struct operation_add *add)
{
	struct key *key;
	enum err err = mailbox_folder_key(mailbox, folder, NULL, &key);

	if (err)
		return err;
	add->epoch = newest_key(folder)->epoch;
	key_wrap(key, LABEL_BLOB_KEY, bytes_make(add->blob.id.octets, sizeof(add->blob.id.octets)),
		 plain, add->wrapped_key);
	key_release(&key);
	return ERR_OK;
}

enum err mailbox_put_folder_key(struct mailbox *mailbox, struct id128 folder,
				const struct key *directory, struct change *change)
{
	struct operation operation = {.kind = OPERATION_FOLDER_KEY, .folder = folder};
	uint8_t storage[20];
	struct key *key;
	enum err err = key_random(mailbox->home->env, &key);

	if (err)
		return err;
	env_random(mailbox->home->env, &operation.key.epoch, sizeof(operation.key.epoch));
	key_wrap(directory, LABEL_FOLDER_KEY, key_use(folder, operation.key.epoch, storage),
		 key_octets(key), operation.key.wrapped);
	change_put(change, &operation);
	key_release(&key);
	return ERR_OK;
}

enum err mailbox_unwrap_block(void *mailbox, const struct summary_block *block,
			      uint8_t key[KEY_SIZE])
{
	const struct key *directory;
	enum err err = ERR_AUTH;

	for (size_t i = 0; err && (directory = mailbox_directory_key(mailbox, i)); i++)
		err = key_unwrap(directory, LABEL_CACHE_KEY,
				 bytes_make(block->blob.id.octets, sizeof(block->blob.id.octets)),
				 block->wrapped_key, key);
	return err;
}

/* ---- the list ---- */

static int compare_names(const char *a, const char *b)
{
	bool a_inbox = !strcmp(a, "INBOX"), b_inbox = !strcmp(b, "INBOX");

	if (a_inbox != b_inbox)
		return a_inbox ? -1 : 1;
	return strcmp(a, b);
}

static int compare_infos(const void *a, const void *b)
{
	const struct folder_info *left = a, *right = b;
	int order = compare_names(left->name, right->name);

	if (order)
		return order;
	/* Two folders that two homes gave one name: the same one is first everywhere. */
	return left->exists == right->exists ? id128_compare(left->id, right->id)
	       : left->exists		     ? -1
					     : 1;
}

static enum err list_append(struct mailbox *mailbox, const struct folder_info *info)
{
	enum err err = ARRAY_GROW(mailbox->folder_list, mailbox->folder_list_capacity,
				  mailbox->folder_list_count);

	if (!err)
		mailbox->folder_list[mailbox->folder_list_count++] = *info;
	return err;
}

/* Names into one buffer first; pointers only when it has stopped growing: until then, offsets. */
static enum err list_name(struct mailbox *mailbox, struct bytes name, struct folder_info info)
{
	info.name = (const char *)(uintptr_t)mailbox->folder_names.size;
	buf_put_bytes(&mailbox->folder_names, name);
	buf_put_u8(&mailbox->folder_names, 0);
	return list_append(mailbox, &info);
}

static enum err list_folders(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++) {
		const struct folder *folder = mailbox->state.folders[i];

		err = list_name(mailbox, bytes_string(folder->name),
				(struct folder_info){
					.id = folder->id,
					.uidvalidity = folder->uidvalidity,
					.special_use = folder->special_use,
					.exists = true,
				});
	}
	return err;
}

/* Subscribed names, and the parents of what is there: they need not exist. */
static enum err list_other_names(struct mailbox *mailbox)
{
	size_t folders = mailbox->folder_list_count;
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.subscription_count && !err; i++) {
		const struct subscription *subscription = &mailbox->state.subscriptions[i];

		if (subscription->subscribed)
			err = list_name(mailbox, bytes_string(subscription->name),
					(struct folder_info){.subscribed = true});
	}
	for (size_t i = 0; i < folders && !err; i++) {
		struct bytes name = bytes_string(mailbox->state.folders[i]->name);

		for (size_t j = 1; j < name.size && !err; j++) {
			if (name.data[j] == '/')
				err = list_name(mailbox, bytes_slice(name, 0, j),
						(struct folder_info){.has_children = true});
		}
	}
	return err ? err : mailbox->folder_names.err;
}

/* A second folder of one name is shown under another: nothing is hidden. */
static enum err name_twins(struct mailbox *mailbox)
{
	const struct folder_info *list = mailbox->folder_list;

	for (size_t i = 1; i < mailbox->folder_list_count; i++) {
		struct folder_info twin = list[i];
		struct buf name = {0};
		enum err err;

		if (!twin.exists || !list[i - 1].exists || strcmp(list[i - 1].name, twin.name))
			continue;
		buf_put_string(&name, twin.name);
		buf_printf(&name, " (%02x%02x)", twin.id.octets[0], twin.id.octets[1]);
		err = name.err ? name.err
			       : folder_set_name(mailbox_folder_state(mailbox, twin.id),
						 bytes_of_buf(&name));
		buf_finish(&name);
		if (err)
			return err;
		mailbox->state.folders_version++;
	}
	return ERR_OK;
}

/* Equal names become one entry that has all their marks. */
static void merge_equal(struct mailbox *mailbox)
{
	struct folder_info *list = mailbox->folder_list;
	size_t kept = 0;

	for (size_t i = 0; i < mailbox->folder_list_count; i++) {
		if (kept && !list[i].exists && !strcmp(list[kept - 1].name, list[i].name)) {
			list[kept - 1].subscribed |= list[i].subscribed;
			list[kept - 1].has_children |= list[i].has_children;
			continue;
		}
		list[kept++] = list[i];
	}
	mailbox->folder_list_count = kept;
}

static enum err build_list(struct mailbox *mailbox)
{
	enum err err;

	mailbox->folder_list_count = 0;
	buf_clear(&mailbox->folder_names);
	err = list_folders(mailbox);
	if (!err)
		err = list_other_names(mailbox);
	if (err)
		return err;
	for (size_t i = 0; i < mailbox->folder_list_count; i++) {
		size_t offset = (size_t)(uintptr_t)mailbox->folder_list[i].name;

		mailbox->folder_list[i].name = (const char *)mailbox->folder_names.data + offset;
	}
	if (mailbox->folder_list_count)
		qsort(mailbox->folder_list, mailbox->folder_list_count,
		      sizeof(*mailbox->folder_list), compare_infos);
	return ERR_OK;
}

static enum err refresh_list(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	while (!err && mailbox->folder_list_version != mailbox->state.folders_version) {
		uint64_t version = mailbox->state.folders_version;

		err = build_list(mailbox);
		if (!err)
			err = name_twins(mailbox);
		if (err || version != mailbox->state.folders_version)
			continue;
		merge_equal(mailbox);
		mailbox->folder_list_version = version;
	}
	return err;
}

enum err mailbox_folders(struct mailbox *mailbox, const struct folder_info **folders, size_t *count)
{
	enum err err = refresh_list(mailbox);

	if (err)
		return err;
	*folders = mailbox->folder_list;
	*count = mailbox->folder_list_count;
	return ERR_OK;
}

/* ---- names ---- */

/* "inbox" and "inbox/x" in any case are INBOX's. */
static void put_name(struct bytes name, struct buf *out)
{
	struct bytes first = bytes_slice(name, 0, inbox_name.size);

	if (bytes_equal_nocase(first, inbox_name) &&
	    (name.size == inbox_name.size || name.data[inbox_name.size] == '/')) {
		buf_put_bytes(out, inbox_name);
		name = bytes_slice(name, inbox_name.size, SIZE_MAX);
	}
	buf_put_bytes(out, name);
}

static bool name_is_allowed(struct bytes name)
{
	if (!name.size || name.size > FOLDER_NAME_MAX - 16)
		return false;
	if (name.data[0] == '/' || name.data[name.size - 1] == '/')
		return false;
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] < 0x20 || name.data[i] == 0x7f)
			return false;
		if (i && name.data[i] == '/' && name.data[i - 1] == '/')
			return false;
	}
	return true;
}

static const struct folder_info *find_info(struct mailbox *mailbox, struct bytes name)
{
	size_t low = 0, high;
	struct buf wanted = {0};
	const struct folder_info *found = NULL;

	put_name(name, &wanted);
	buf_put_u8(&wanted, 0);
	if (wanted.err || refresh_list(mailbox) || memchr(name.data, 0, name.size))
		goto out;
	high = mailbox->folder_list_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order =
			compare_names(mailbox->folder_list[middle].name, (const char *)wanted.data);

		if (!order) {
			found = &mailbox->folder_list[middle];
			break;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
out:
	buf_finish(&wanted);
	return found;
}

enum err mailbox_folder(struct mailbox *mailbox, struct bytes name, struct folder_info *out)
{
	const struct folder_info *info = name.size ? find_info(mailbox, name) : NULL;

	if (!info)
		return ERR_NOTFOUND;
	*out = *info;
	return ERR_OK;
}

struct folder *mailbox_folder_named(struct mailbox *mailbox, struct bytes name)
{
	const struct folder_info *info = name.size ? find_info(mailbox, name) : NULL;

	return info && info->exists ? mailbox_folder_state(mailbox, info->id) : NULL;
}

/* ---- changes ---- */

/* Greater than any before it, so that a name made anew never shows an old folder's UIDs. */
static uint32_t next_uidvalidity(const struct mailbox *mailbox, uint32_t above)
{
	uint32_t seconds = (uint32_t)(env_wall_ms(mailbox->home->env) / 1000);
	uint32_t top =
		mailbox->state.uidvalidity_top > above ? mailbox->state.uidvalidity_top : above;

	return seconds > top ? seconds : top + 1;
}

static enum err put_folder(struct mailbox *mailbox, struct change *change,
			   const struct operation *operation)
{
	change_put(change, operation);
	return mailbox_put_folder_key(mailbox, operation->folder, mailbox->keys.directory, change);
}

static WAITS enum err commit_change(struct mailbox *mailbox, struct change *change, enum err err)
{
	if (!err)
		err = mailbox_commit(mailbox, change);
	change_release(&change);
	return err;
}

/* The folder itself, and those above it that are not there. */
static enum err put_with_parents(struct mailbox *mailbox, struct bytes name,
				 enum special_use special_use, struct change *change)
{
	uint32_t uidvalidity = 0;

	for (size_t i = 1; i <= name.size; i++) {
		struct bytes part = bytes_slice(name, 0, i);
		struct operation operation = {
			.kind = OPERATION_FOLDER,
			.folder = env_random_id(mailbox->home->env),
		};
		enum err err;

		if (i < name.size && name.data[i] != '/')
			continue;
		if (mailbox_folder_named(mailbox, part))
			continue;
		uidvalidity = next_uidvalidity(mailbox, uidvalidity);
		operation.create.name = part;
		operation.create.uidvalidity = uidvalidity;
		operation.create.special_use = i == name.size ? (uint8_t)special_use : 0;
		err = put_folder(mailbox, change, &operation);
		if (err)
			return err;
	}
	return ERR_OK;
}

enum err mailbox_create_folder(struct mailbox *mailbox, struct bytes name,
			       enum special_use special_use)
{
	struct change *change;
	struct buf normal = {0};
	enum err err = ERR_OK;

	if (!name_is_allowed(name))
		return ERR_INVALID;
	if (mailbox->state.folder_count >= FOLDERS_MAX)
		return ERR_LIMIT;
	if (mailbox_folder_named(mailbox, name))
		return ERR_EXISTS;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	put_name(name, &normal);
	err = normal.err;
	if (!err)
		err = put_with_parents(mailbox, bytes_of_buf(&normal), special_use, change);
	err = commit_change(mailbox, change, err);
	buf_finish(&normal);
	return err;
}

enum err mailbox_delete_folder(struct mailbox *mailbox, struct bytes name)
{
	const struct folder *folder = mailbox_folder_named(mailbox, name);
	struct operation operation = {.kind = OPERATION_FOLDER_DELETE};
	struct change *change;

	if (!folder)
		return ERR_NOTFOUND;
	if (folder->fixed)
		return ERR_DENIED;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	operation.folder = folder->id;
	change_put(change, &operation);
	return commit_change(mailbox, change, ERR_OK);
}

static bool is_below(struct bytes name, struct bytes parent)
{
	return name.size > parent.size && name.data[parent.size] == '/' &&
	       bytes_equal(bytes_slice(name, 0, parent.size), parent);
}

static enum err put_renames(struct mailbox *mailbox, struct bytes from, struct bytes to,
			    struct change *change)
{
	struct buf name = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.folder_count; i++) {
		const struct folder *folder = mailbox->state.folders[i];
		struct bytes old = bytes_string(folder->name);
		struct operation operation = {.kind = OPERATION_FOLDER_NAME, .folder = folder->id};

		if (!bytes_equal(old, from) && !is_below(old, from))
			continue;
		buf_clear(&name);
		buf_put_bytes(&name, to);
		buf_put_bytes(&name, bytes_slice(old, from.size, SIZE_MAX));
		if (name.size > FOLDER_NAME_MAX)
			err = ERR_LIMIT;
		if (err || name.err)
			break;
		operation.name = bytes_of_buf(&name);
		change_put(change, &operation);
	}
	if (!err)
		err = name.err;
	buf_finish(&name);
	return err;
}

static WAITS enum err rename_normal(struct mailbox *mailbox, struct bytes from, struct bytes to)
{
	struct change *change;
	size_t parent = to.size;
	enum err err = ERR_OK;

	if (is_below(to, from))
		return ERR_INVALID;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	while (parent && to.data[parent - 1] != '/')
		parent--;
	if (parent)
		err = put_with_parents(mailbox, bytes_slice(to, 0, parent - 1), SPECIAL_NONE,
				       change);
	if (!err)
		err = put_renames(mailbox, from, to, change);
	return commit_change(mailbox, change, err);
}

/* RFC 3501, 6.3.5: INBOX stays, its messages go. */
static WAITS enum err rename_inbox(struct mailbox *mailbox, struct bytes to)
{
	enum err err = mailbox_create_folder(mailbox, to, SPECIAL_NONE);

	return err ? err : mailbox_move_all(mailbox, mailbox_inbox(mailbox), to);
}

enum err mailbox_rename_folder(struct mailbox *mailbox, struct bytes from, struct bytes to)
{
	struct buf normal_from = {0}, normal_to = {0};
	const struct folder *folder = mailbox_folder_named(mailbox, from);
	const struct folder_info *info = from.size ? find_info(mailbox, from) : NULL;
	enum err err;

	if (!name_is_allowed(to))
		return ERR_INVALID;
	if (!folder && !(info && info->has_children))
		return ERR_NOTFOUND;
	if (mailbox_folder_named(mailbox, to))
		return ERR_EXISTS;
	put_name(from, &normal_from);
	put_name(to, &normal_to);
	err = normal_from.err ? normal_from.err : normal_to.err;
	if (!err && folder && folder->fixed)
		err = rename_inbox(mailbox, bytes_of_buf(&normal_to));
	else if (!err)
		err = rename_normal(mailbox, bytes_of_buf(&normal_from), bytes_of_buf(&normal_to));
	buf_finish(&normal_from);
	buf_finish(&normal_to);
	return err;
}

enum err mailbox_subscribe(struct mailbox *mailbox, struct bytes name, bool subscribed)
{
	struct operation operation = {.kind = OPERATION_SUBSCRIBE};
	const struct subscription *now;
	struct change *change;
	struct buf normal = {0};
	enum err err;

	if (!name_is_allowed(name))
		return ERR_INVALID;
	put_name(name, &normal);
	if (normal.err)
		return normal.err;
	now = account_state_subscription(&mailbox->state, bytes_of_buf(&normal));
	if (now ? now->subscribed == subscribed : !subscribed) {
		buf_finish(&normal);
		return ERR_OK;
	}
	operation.subscribe.name = bytes_of_buf(&normal);
	operation.subscribe.subscribed = subscribed;
	change = change_create();
	err = change ? ERR_OK : ERR_NOMEM;
	if (!err) {
		change_put(change, &operation);
		err = commit_change(mailbox, change, ERR_OK);
	}
	buf_finish(&normal);
	return err;
}

/* ---- the first folders ---- */

static const struct {
	const char *name;
	enum special_use special_use;
} first_folders[] = {
	{"INBOX", SPECIAL_NONE},  {"Drafts", SPECIAL_DRAFTS}, {"Sent", SPECIAL_SENT},
	{"Trash", SPECIAL_TRASH}, {"Junk", SPECIAL_JUNK},     {"Archive", SPECIAL_ARCHIVE},
};

/* The same at every home, so that two that make them at once make the same. */
static struct id128 first_folder_id(const struct mailbox *mailbox, const char *name)
{
	uint8_t digest[32];
	uint8_t input[16 + 16] = {0};
	struct id128 id;

	memcpy(input, mailbox->account.octets, 16);
	memcpy(input + 16, name, strlen(name));
	digest_256(bytes_make(input, sizeof(input)), digest);
	memcpy(id.octets, digest, sizeof(id.octets));
	return id;
}

struct id128 mailbox_inbox(const struct mailbox *mailbox)
{
	return first_folder_id(mailbox, "INBOX");
}

enum err mailbox_make_first_folders(struct mailbox *mailbox)
{
	uint32_t seconds = (uint32_t)(mailbox->created_ms / 1000);
	struct change *change;
	enum err err = ERR_OK;

	if (mailbox_folder_state(mailbox, mailbox_inbox(mailbox)))
		return ERR_OK;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	for (size_t i = 0; i < sizeof(first_folders) / sizeof(first_folders[0]) && !err; i++) {
		struct bytes name = bytes_string(first_folders[i].name);
		struct operation create = {
			.kind = OPERATION_FOLDER,
			.folder = first_folder_id(mailbox, first_folders[i].name),
			.create = {name, (uint8_t)first_folders[i].special_use,
				   seconds ? seconds : 1, i == 0},
		};
		struct operation subscribe = {.kind = OPERATION_SUBSCRIBE,
					      .subscribe = {name, true}};

		err = put_folder(mailbox, change, &create);
		change_put(change, &subscribe);
	}
	return commit_change(mailbox, change, err);
}
