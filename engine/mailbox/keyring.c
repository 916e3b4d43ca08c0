/* SPDX-License-Identifier: MPL-2.0 */
/* The keys of an unlocked account, of this generation and of those before it. */
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/mailbox/internal.h"

#define KEYRING_VERSION 1u
#define KEYRING_MAX 256u

const struct key *mailbox_directory_key(const struct mailbox *mailbox, size_t index)
{
	if (!index)
		return mailbox->keys.directory;
	return index <= mailbox->old_count ? mailbox->old[index - 1].directory : NULL;
}

struct envelope_opener *mailbox_opener(const struct mailbox *mailbox, size_t index)
{
	if (!index)
		return mailbox->opener;
	return index <= mailbox->old_count ? mailbox->old[index - 1].opener : NULL;
}

static bool is_known(const struct mailbox *mailbox, const struct key *directory)
{
	const struct key *known;

	for (size_t i = 0; (known = mailbox_directory_key(mailbox, i)); i++) {
		if (key_equal(known, directory))
			return true;
	}
	return false;
}

enum err mailbox_add_old_keys(struct mailbox *mailbox, const uint8_t directory[KEY_SIZE],
			      const uint8_t delivery[KEY_SIZE])
{
	struct old_keys old = {0};
	enum err err = key_import(directory, &old.directory);

	if (!err && is_known(mailbox, old.directory)) {
		key_release(&old.directory);
		return ERR_OK;
	}
	if (!err)
		err = key_import(delivery, &old.delivery);
	if (!err)
		err = envelope_opener_create(old.delivery, &old.opener);
	if (!err)
		err = ARRAY_GROW(mailbox->old, mailbox->old_capacity, mailbox->old_count);
	if (err) {
		if (old.opener)
			envelope_opener_destroy(&old.opener);
		key_release(&old.directory);
		key_release(&old.delivery);
		return err;
	}
	mailbox->old[mailbox->old_count++] = old;
	return ERR_OK;
}

void keyring_encode(const struct mailbox *mailbox, const struct account_keys *newest,
		    struct buf *out)
{
	buf_put_u8(out, KEYRING_VERSION);
	buf_put_varint(out, mailbox->old_count + (newest ? 1 : 0));
	if (newest) {
		buf_put(out, key_octets(newest->directory), KEY_SIZE);
		buf_put(out, key_octets(newest->delivery), KEY_SIZE);
	}
	for (size_t i = 0; i < mailbox->old_count; i++) {
		buf_put(out, key_octets(mailbox->old[i].directory), KEY_SIZE);
		buf_put(out, key_octets(mailbox->old[i].delivery), KEY_SIZE);
	}
}

enum err keyring_decode(struct mailbox *mailbox, struct cursor *cursor)
{
	uint64_t count;
	enum err err = ERR_OK;

	if (cursor_u8(cursor) != KEYRING_VERSION)
		cursor_fail(cursor);
	count = cursor_varint(cursor);
	if (count > KEYRING_MAX)
		cursor_fail(cursor);
	for (uint64_t i = 0; i < count && !err && !cursor->err; i++) {
		struct bytes directory = cursor_take(cursor, KEY_SIZE);
		struct bytes delivery = cursor_take(cursor, KEY_SIZE);

		if (!cursor->err)
			err = mailbox_add_old_keys(mailbox, directory.data, delivery.data);
	}
	return err ? err : cursor->err;
}
