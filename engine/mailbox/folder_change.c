/* SPDX-License-Identifier: MPL-2.0 */
/* Folders made, deleted, renamed; names subscribed. */
#include "engine/mailbox/internal.h"

#include "engine/base/memory.h"

/*
 * Greater than any before it, whatever the clock says: in the state are all that homes before this
 * term gave out, and this home's own that failed, but may yet appear, count as well.
 */
static enum err next_uidvalidity(struct mailbox *mailbox, uint32_t *out)
{
	uint64_t seconds = env_wall_ms(mailbox->home->env) / 1000;
	uint32_t top = mailbox->state.uidvalidity_top;

	if (top < mailbox->uidvalidity_given)
		top = mailbox->uidvalidity_given;
	if (top == UINT32_MAX)
		return ERR_LIMIT;
	*out = seconds > top && seconds <= UIDVALIDITY_CLOCK_MAX ? (uint32_t)seconds : top + 1;
	mailbox->uidvalidity_given = *out;
	return ERR_OK;
}

/*
 * What looks at names, or gives a UIDVALIDITY, does so in a term and in the gate until it is done:
 * two sessions, or two homes, would make two folders of one name, or of one UIDVALIDITY.
 */
static WAITS enum err names_enter(struct mailbox *mailbox)
{
	enum err err = mailbox_uids_enter(mailbox);

	if (err)
		return err;
	err = mailbox_begin_term(mailbox);
	if (err)
		mailbox_uids_leave(mailbox);
	return err;
}

static WAITS enum err commit_change(struct mailbox *mailbox, struct change *change, enum err err)
{
	if (!err)
		err = mailbox_commit(mailbox, change);
	change_release(&change);
	return err;
}

/* Only in this term: another home may have used the name, and numbers, since. */
static WAITS enum err commit_names(struct mailbox *mailbox, struct change *change, enum err err)
{
	change->term = mailbox->term;
	return commit_change(mailbox, change, err);
}

static enum err put_new(struct mailbox *mailbox, struct bytes name, enum special_use special_use,
			struct change *change)
{
	struct operation operation = {
		.kind = OPERATION_FOLDER,
		.folder = env_random_id(mailbox->home->env),
		.create = {.name = name, .special_use = (uint8_t)special_use},
	};
	enum err err = next_uidvalidity(mailbox, &operation.create.uidvalidity);

	return err ? err : mailbox_put_folder(mailbox, change, &operation);
}

/* The folder itself, and those above it that are not there. */
static enum err put_with_parents(struct mailbox *mailbox, struct bytes name,
				 enum special_use special_use, struct change *change)
{
	enum err err = ERR_OK;

	for (size_t i = 1; i <= name.size && !err; i++) {
		struct bytes part = bytes_slice(name, 0, i);

		if ((i == name.size || name.data[i] == '/') && !mailbox_folder_named(mailbox, part))
			err = put_new(mailbox, part, i == name.size ? special_use : SPECIAL_NONE,
				      change);
	}
	return err;
}

/* For the name and its parents. Whoever deletes a parent gains no name by it. */
static enum err check_room(struct mailbox *mailbox, struct bytes name)
{
	const struct folder_info *folders;
	size_t count;
	enum err err = mailbox_folders(mailbox, &folders, &count);

	if (err)
		return err;
	return count + mailbox_name_levels(name) > FOLDER_NAMES_MAX ? ERR_LIMIT : ERR_OK;
}

static WAITS enum err create_in_gate(struct mailbox *mailbox, struct bytes name,
				     enum special_use special_use)
{
	struct change *change;
	enum err err;

	if (mailbox_folder_named(mailbox, name))
		return ERR_EXISTS;
	err = check_room(mailbox, name);
	if (err)
		return err;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	return commit_names(mailbox, change, put_with_parents(mailbox, name, special_use, change));
}

enum err mailbox_create_folder(struct mailbox *mailbox, struct bytes name,
			       enum special_use special_use)
{
	struct buf normal = {0};
	enum err err = mailbox_normal_name(name, &normal);

	if (!err)
		err = names_enter(mailbox);
	if (!err) {
		err = create_in_gate(mailbox, bytes_of_buf(&normal), special_use);
		mailbox_uids_leave(mailbox);
	}
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

static bool is_at_or_below(struct bytes name, struct bytes parent)
{
	return bytes_equal(name, parent) || is_below(name, parent);
}

/* Nobody else's, and with a UIDVALIDITY that the name never had (past_names.h). */
static enum err put_rename(struct mailbox *mailbox, const struct folder *folder, struct bytes from,
			   struct bytes name, struct change *change)
{
	const struct folder *there = mailbox_folder_named(mailbox, name);
	struct operation operation = {
		.kind = OPERATION_FOLDER,
		.folder = folder->id,
		.create = {name, (uint8_t)folder->special_use, folder->uidvalidity, folder->fixed},
	};
	enum err err = ERR_OK;

	if (there && !is_at_or_below(bytes_string(there->name), from))
		return ERR_EXISTS;
	if (!past_names_allow(&mailbox->state.past_names, name, folder->id, folder->uidvalidity))
		err = next_uidvalidity(mailbox, &operation.create.uidvalidity);
	if (!err)
		change_put(change, &operation);
	return err;
}

static enum err put_renames(struct mailbox *mailbox, struct bytes from, struct bytes to,
			    struct change *change)
{
	struct buf name = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++) {
		const struct folder *folder = mailbox->state.folders[i];
		struct bytes old = bytes_string(folder->name);

		if (!is_at_or_below(old, from))
			continue;
		buf_clear(&name);
		buf_put_bytes(&name, to);
		buf_put_bytes(&name, bytes_slice(old, from.size, SIZE_MAX));
		err = name.err ? name.err : mailbox_check_name(bytes_of_buf(&name));
		if (!err)
			err = put_rename(mailbox, folder, from, bytes_of_buf(&name), change);
	}
	buf_finish(&name);
	return err;
}

static WAITS enum err rename_in_gate(struct mailbox *mailbox, struct bytes from, struct bytes to)
{
	struct change *change;
	size_t parent = to.size;
	enum err err = ERR_OK;

	if (is_below(to, from))
		return ERR_INVALID;
	if (mailbox_folder_named(mailbox, to))
		return ERR_EXISTS;
	err = check_room(mailbox, to);
	if (err)
		return err;
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
	return commit_names(mailbox, change, err);
}

static WAITS enum err rename_normal(struct mailbox *mailbox, struct bytes from, struct bytes to)
{
	enum err err = names_enter(mailbox);

	if (err)
		return err;
	err = rename_in_gate(mailbox, from, to);
	mailbox_uids_leave(mailbox);
	return err;
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
	struct folder_info info;
	enum err err = mailbox_normal_name(to, &normal_to);

	if (!err)
		err = mailbox_folder(mailbox, from, &info);
	if (!err && !info.exists && !info.has_children)
		err = ERR_NOTFOUND;
	/* As it is: a name may be longer than one that may be given. */
	if (!err)
		buf_put_string(&normal_from, info.name);
	if (!err)
		err = normal_from.err;
	if (!err && info.exists && id128_equal(info.id, mailbox_inbox(mailbox)))
		err = rename_inbox(mailbox, bytes_of_buf(&normal_to));
	else if (!err)
		err = rename_normal(mailbox, bytes_of_buf(&normal_from), bytes_of_buf(&normal_to));
	buf_finish(&normal_from);
	buf_finish(&normal_to);
	return err;
}

static WAITS enum err subscribe_normal(struct mailbox *mailbox, struct bytes name, bool subscribed)
{
	const struct subscription *now = account_state_subscription(&mailbox->state, name);
	struct operation operation = {.kind = OPERATION_SUBSCRIBE, .subscribe = {name, subscribed}};
	struct change *change;

	if (now ? now->subscribed == subscribed : !subscribed)
		return ERR_OK;
	if (!now && mailbox->state.subscription_count >= SUBSCRIPTIONS_MAX)
		return ERR_LIMIT;
	change = change_create();
	if (!change)
		return ERR_NOMEM;
	change_put(change, &operation);
	return commit_change(mailbox, change, ERR_OK);
}

enum err mailbox_subscribe(struct mailbox *mailbox, struct bytes name, bool subscribed)
{
	struct buf normal = {0};
	enum err err = mailbox_normal_name(name, &normal);

	/* An old name may have more levels than one that is given now. */
	if (err == ERR_LIMIT && !subscribed) {
		buf_put_bytes(&normal, name);
		err = normal.err;
	}
	if (!err)
		err = subscribe_normal(mailbox, bytes_of_buf(&normal), subscribed);
	buf_finish(&normal);
	return err;
}
