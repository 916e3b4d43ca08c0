/* SPDX-License-Identifier: MPL-2.0 */
/* Folders: what the home keeps of each, their keys, the first ones. */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/memory.h"

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

enum err mailbox_put_folder(struct mailbox *mailbox, struct change *change,
			    const struct operation *create)
{
	change_put(change, create);
	return mailbox_put_folder_key(mailbox, create->folder, mailbox->keys.directory, change);
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

/* As their ids the same at every home; each another one, so that none is taken for another. */
static uint32_t first_folder_uidvalidity(const struct mailbox *mailbox, size_t index)
{
	uint64_t seconds = mailbox->created_ms / 1000;

	if (!seconds || seconds > UIDVALIDITY_CLOCK_MAX)
		seconds = 1;
	return (uint32_t)(seconds + index);
}

enum err mailbox_make_first_folders(struct mailbox *mailbox)
{
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
				   first_folder_uidvalidity(mailbox, i), i == 0},
		};
		struct operation subscribe = {.kind = OPERATION_SUBSCRIBE,
					      .subscribe = {name, true}};

		err = mailbox_put_folder(mailbox, change, &create);
		change_put(change, &subscribe);
	}
	if (!err)
		err = mailbox_commit(mailbox, change);
	change_release(&change);
	return err;
}
