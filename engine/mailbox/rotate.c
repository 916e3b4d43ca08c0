/* SPDX-License-Identifier: MPL-2.0 */
/* Slots and master keys: what changes the account's record. */
#include "engine/mailbox/internal.h"

#include <string.h>

#include "engine/base/memory.h"

/* A slot set in the making. */
struct slot_set {
	struct buf storage[ACCOUNT_SLOT_MAX];
	struct bytes slots[ACCOUNT_SLOT_MAX];
	size_t count;
	uint32_t next_id;
	uint64_t counter;
	bool enrolled;
};

static const struct account_record *find_record(struct home *home, struct bytes address)
{
	return home->options.accounts.find(home->options.accounts.context, address);
}

static void slot_set_finish(struct slot_set **set)
{
	if (!*set)
		return;
	for (size_t i = 0; i < (*set)->count; i++)
		buf_finish(&(*set)->storage[i]);
	memory_free(*set);
	*set = NULL;
}

static enum err slot_set_put(struct slot_set *set, struct buf *slot)
{
	if (set->count == ACCOUNT_SLOT_MAX)
		return ERR_LIMIT;
	if (slot->err)
		return slot->err;
	set->storage[set->count] = *slot;
	set->slots[set->count] = bytes_of_buf(slot);
	set->count++;
	*slot = (struct buf){0};
	return ERR_OK;
}

/* The record's slots, without those that `drop` says. */
static enum err slot_set_create(const struct account_record *record,
				bool (*drop)(const struct slot_info *info, uint32_t slot_id),
				uint32_t slot_id, struct slot_set **out)
{
	struct slot_set *set = memory_allocate(sizeof(*set));
	enum err err = set ? ERR_OK : ERR_NOMEM;

	if (err)
		return err;
	set->counter = record->counter;
	set->enrolled = record->enrolled;
	set->next_id = 1;
	for (size_t i = 0; i < record->slot_count && !err; i++) {
		const struct account_slot *slot = &record->slots[i];
		struct buf copy = {0};

		if (slot->info.slot_id >= set->next_id)
			set->next_id = slot->info.slot_id + 1;
		if (drop(&slot->info, slot_id))
			continue;
		buf_put_bytes(&copy, slot->encoded);
		err = slot_set_put(set, &copy);
	}
	if (err)
		slot_set_finish(&set);
	else
		*out = set;
	return err;
}

static bool drop_all(const struct slot_info *info, uint32_t slot_id)
{
	(void)info;
	(void)slot_id;
	return true;
}

static bool drop_passwords(const struct slot_info *info, uint32_t slot_id)
{
	(void)slot_id;
	return info->kind == SLOT_PASSWORD || info->kind == SLOT_ENROLMENT;
}

static bool drop_one(const struct slot_info *info, uint32_t slot_id)
{
	return info->slot_id == slot_id;
}

static bool drop_none(const struct slot_info *info, uint32_t slot_id)
{
	(void)info;
	(void)slot_id;
	return false;
}

static WAITS enum err add_slot(struct home *home, struct id128 account, enum slot_kind kind,
			       struct bytes secret, const struct key *master, struct slot_set *set)
{
	struct slot_info info = {
		.kind = kind,
		.slot_id = set->next_id,
		.created_ms = env_wall_ms(home->env),
	};
	struct buf slot = {0};
	enum err err = ERR_OK;

	if (kind == SLOT_PASSWORD) {
		info.parameters = home->options.unknown_user;
		err = argon_enter(&home->argon, true);
		if (err)
			return err;
	}
	err = slot_create(home->env, &info, home->options.cluster, account, secret, master, &slot);
	if (kind == SLOT_PASSWORD)
		argon_leave(&home->argon);
	if (!err)
		err = slot_set_put(set, &slot);
	buf_finish(&slot);
	return err;
}

static WAITS enum err publish(struct home *home, struct buf *record)
{
	if (record->err)
		return record->err;
	return home->options.accounts.publish(home->options.accounts.context, bytes_of_buf(record));
}

/* ---- a new master key ---- */

/* The old keys, sealed under the new: before anybody can need them. */
static WAITS enum err keep_old_keys(struct mailbox *mailbox, const struct account_keys *next)
{
	struct buf plain = {0};
	enum err err;

	keyring_encode(mailbox, &mailbox->keys, &plain);
	err = plain.err;
	if (!err)
		err = mailbox_append_keyring(mailbox, next->directory, bytes_of_buf(&plain));
	buf_finish(&plain);
	return err;
}

static WAITS enum err publish_keys(struct mailbox *mailbox, const struct account_keys *next,
				   struct bytes secret)
{
	struct home *home = mailbox->home;
	const struct account_record *account = find_record(home, bytes_string(mailbox->address));
	struct slot_set *set = NULL;
	struct buf record = {0};
	enum err err = account ? slot_set_create(account, drop_all, 0, &set) : ERR_NOTFOUND;

	if (!err)
		err = add_slot(home, mailbox->account, SLOT_PASSWORD, secret, next->master, set);
	if (!err)
		err = account_make_keys(mailbox->keys.identity, home->options.cluster,
					mailbox->account, set->counter + 1, next, true, set->slots,
					set->count, &record);
	if (!err)
		err = publish(home, &record);
	buf_finish(&record);
	slot_set_finish(&set);
	return err;
}

static enum err switch_keys(struct mailbox *mailbox, struct account_keys *next)
{
	struct account_keys before = mailbox->keys;
	struct envelope_opener *opener = NULL;
	enum err err = envelope_opener_create(next->delivery, &opener);

	if (err)
		return err;
	/* Only keys that are not the present ones count as old. */
	mailbox->keys = *next;
	err = mailbox_add_old_keys(mailbox, key_octets(before.directory),
				   key_octets(before.delivery));
	if (err) {
		mailbox->keys = before;
		envelope_opener_destroy(&opener);
		return err;
	}
	envelope_opener_destroy(&mailbox->opener);
	account_keys_release(&before);
	mailbox->opener = opener;
	*next = (struct account_keys){0};
	return ERR_OK;
}

/* Whoever had the old master key has the folders' keys: new mail goes under new ones. */
static WAITS enum err renew_folder_keys(struct mailbox *mailbox)
{
	struct change *change = change_create();
	enum err err = change ? ERR_OK : ERR_NOMEM;

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++)
		err = mailbox_put_folder_key(mailbox, mailbox->state.folders[i]->id,
					     mailbox->keys.directory, change);
	if (!err)
		err = mailbox_commit(mailbox, change);
	change_release(&change);
	return err;
}

enum err mailbox_rotate(struct mailbox *mailbox, struct bytes secret)
{
	struct account_keys next = {0};
	struct key *master = NULL;
	enum err err = key_random(mailbox->home->env, &master);

	if (!err)
		err = account_keys_derive(master, &next);
	key_release(&master);
	if (!err)
		err = keep_old_keys(mailbox, &next);
	if (!err)
		err = publish_keys(mailbox, &next, secret);
	if (!err)
		err = switch_keys(mailbox, &next);
	if (!err) {
		mailbox->knows_secret = false;
		env_log(mailbox->home->env, "event=account-enrolled");
		err = renew_folder_keys(mailbox);
	}
	account_keys_release(&next);
	return err;
}

/* ---- slots ---- */

/* The account's master key and record, by a secret of it. */
struct opened_account {
	struct buf address;
	struct key *master;
	struct slot_info slot;
};

static void opened_finish(struct opened_account *opened)
{
	buf_finish(&opened->address);
	key_release(&opened->master);
}

static WAITS enum err open_account(struct home *home, struct bytes address, struct bytes secret,
				   struct opened_account *out)
{
	enum err err;

	*out = (struct opened_account){0};
	err = address_normalise(address, &out->address);
	if (!err)
		err = home_unlock(home, bytes_of_buf(&out->address), secret, NULL, &out->master,
				  &out->slot);
	return err == ERR_INVALID ? ERR_AUTH : err;
}

static WAITS enum err publish_slots(struct home *home, const struct opened_account *opened,
				    struct id128 account, const struct slot_set *set)
{
	struct account_keys keys = {0};
	struct buf record = {0};
	enum err err = account_keys_derive(opened->master, &keys);

	if (!err)
		err = account_make_slots(keys.identity, home->options.cluster, account,
					 set->counter + 1, set->enrolled, set->slots, set->count,
					 &record);
	if (!err)
		err = publish(home, &record);
	if (!err)
		home_forget_secret(home, account);
	account_keys_release(&keys);
	buf_finish(&record);
	return err;
}

/* By an invitation or a first password: the first login. */
static WAITS enum err enrol(struct home *home, struct opened_account *opened, struct bytes next)
{
	struct mailbox *mailbox = NULL;
	enum err err =
		home_enrol(home, bytes_of_buf(&opened->address), next, &opened->master, &mailbox);

	mailbox_release(&mailbox);
	/* Used by somebody else meanwhile: what was given opens nothing any more. */
	return err == ERR_STALE ? ERR_AUTH : err;
}

static WAITS enum err replace_password(struct home *home, const struct opened_account *opened,
				       struct bytes next)
{
	const struct account_record *record = find_record(home, bytes_of_buf(&opened->address));
	struct slot_set *set = NULL;
	struct id128 account;
	enum err err;

	if (!record)
		return ERR_NOTFOUND;
	account = record->id;
	err = slot_set_create(record, drop_passwords, 0, &set);
	if (!err)
		err = add_slot(home, account, SLOT_PASSWORD, next, opened->master, set);
	if (!err)
		err = publish_slots(home, opened, account, set);
	slot_set_finish(&set);
	return err;
}

enum err home_change_password(struct home *home, struct bytes address, struct bytes current,
			      struct bytes next)
{
	struct opened_account opened;
	enum err err = open_account(home, address, current, &opened);

	if (!err && !next.size)
		err = ERR_INVALID;
	if (!err && opened.slot.kind == SLOT_ENROLMENT)
		err = enrol(home, &opened, next);
	else if (!err && opened.slot.kind == SLOT_APP)
		err = ERR_DENIED;
	else if (!err)
		err = replace_password(home, &opened, next);
	opened_finish(&opened);
	return err;
}

static WAITS enum err make_slot(struct home *home, const struct opened_account *opened,
				enum slot_kind kind, struct buf *secret)
{
	const struct account_record *record = find_record(home, bytes_of_buf(&opened->address));
	struct slot_set *set = NULL;
	struct buf made = {0};
	struct id128 account;
	enum err err;

	if (!record)
		return ERR_NOTFOUND;
	account = record->id;
	err = slot_set_create(record, drop_none, 0, &set);
	if (err)
		return err;
	if (kind == SLOT_APP)
		secret_generate_app(home->env, set->next_id, &made);
	else
		secret_generate_recovery(home->env, &made);
	err = made.err;
	if (!err)
		err = add_slot(home, account, kind, bytes_of_buf(&made), opened->master, set);
	if (!err)
		err = publish_slots(home, opened, account, set);
	if (!err) {
		buf_put_bytes(secret, bytes_of_buf(&made));
		err = secret->err;
	}
	buf_finish(&made);
	slot_set_finish(&set);
	return err;
}

enum err home_add_slot(struct home *home, struct bytes address, struct bytes current,
		       enum slot_kind kind, struct buf *secret)
{
	struct opened_account opened;
	enum err err = open_account(home, address, current, &opened);

	if (!err && kind != SLOT_APP && kind != SLOT_RECOVERY)
		err = ERR_INVALID;
	/* A slot for an operator's key would outlive the enrolment. */
	if (!err && (opened.slot.kind == SLOT_ENROLMENT || opened.slot.kind == SLOT_APP))
		err = ERR_DENIED;
	if (!err)
		err = make_slot(home, &opened, kind, secret);
	opened_finish(&opened);
	return err;
}

enum err home_remove_slot(struct home *home, struct bytes address, struct bytes current,
			  uint32_t slot_id)
{
	struct opened_account opened;
	const struct account_record *record;
	struct slot_set *set = NULL;
	struct slot_info slot = {0};
	struct id128 account;
	enum err err = open_account(home, address, current, &opened);

	if (err)
		goto out;
	record = find_record(home, bytes_of_buf(&opened.address));
	for (size_t i = 0; record && i < record->slot_count; i++) {
		if (record->slots[i].info.slot_id == slot_id)
			slot = record->slots[i].info;
	}
	/* The password is replaced, never taken away: nobody locks themselves out. */
	err = !slot.kind ? ERR_NOTFOUND
	      : slot.kind == SLOT_PASSWORD || slot.kind == SLOT_ENROLMENT ||
			      opened.slot.kind == SLOT_APP
		      ? ERR_DENIED
		      : ERR_OK;
	if (err)
		goto out;
	account = record->id;
	err = slot_set_create(record, drop_one, slot_id, &set);
	if (!err)
		err = publish_slots(home, &opened, account, set);
	slot_set_finish(&set);
out:
	opened_finish(&opened);
	return err;
}
