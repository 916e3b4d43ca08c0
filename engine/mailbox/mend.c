/* SPDX-License-Identifier: MPL-2.0 */
/*
 * R4 as a home does it. UIDs are reserved first; then all that is asked goes
 * into one entry, or one group of entries, so that a crash leaves all of it or
 * none, and the next home asks again.
 */
#include "engine/mailbox/internal.h"

#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/mailbox/restamp.h"

/* More goes into the next part of the group. */
#define PART_BYTES (OPERATION_PLAIN_MAX / 2)
#define ATTEMPTS 3u

struct mending {
	struct mailbox *mailbox;
	struct change **parts;
	size_t count, capacity;
	size_t stamps, touches; /* for the log: UIDs given, operations that touch */
};

static enum err add_part(struct mending *mending)
{
	enum err err = ARRAY_GROW(mending->parts, mending->capacity, mending->count);
	struct change *part;

	if (err)
		return err;
	part = change_create();
	if (!part)
		return ERR_NOMEM;
	part->mends = true;
	/* Without UIDs, too, it is this term's: another one has to look again. */
	part->term = mending->mailbox->term;
	mending->parts[mending->count++] = part;
	return ERR_OK;
}

static void mending_finish(struct mending *mending)
{
	for (size_t i = 0; i < mending->count; i++)
		change_release(&mending->parts[i]);
	memory_free(mending->parts);
}

/* restamp_sink */
static uint32_t take_uid(void *context, struct id128 folder)
{
	struct mending *mending = context;

	mending->stamps++;
	return mailbox_take_uid(mending->mailbox, folder, mending->parts[mending->count - 1]);
}

static enum err put(void *context, const struct operation *operation)
{
	struct mending *mending = context;
	struct change *part = mending->parts[mending->count - 1];
	enum err err = ERR_OK;

	mending->touches += operation->kind == OPERATION_TOUCH;
	if (part->operations.size >= PART_BYTES)
		err = add_part(mending);
	if (err)
		return err;
	part = mending->parts[mending->count - 1];
	change_put(part, operation);
	return part->operations.err;
}

/* *all: every folder has the UIDs that it needs, in this term. */
static WAITS enum err reserve_folders(struct mailbox *mailbox, bool *all)
{
	const struct account_state *state = &mailbox->state;

	*all = mailbox->promised;
	for (size_t i = 0; i < state->folder_count; i++) {
		struct folder *folder = state->folders[i];
		bool any;
		uint32_t count = restamp_count(state, &folder->messages, &any);
		enum err err;

		if (!count || mailbox_reserved(mailbox, folder->id) >= count)
			continue;
		*all = false;
		/* It waits: the table may be another one afterwards. */
		err = mailbox_reserve(mailbox, folder->id, count);
		return err == ERR_NOTFOUND ? ERR_OK : err;
	}
	return *all ? ERR_OK : mailbox_begin_term(mailbox);
}

/* Does not wait: what is asked of one moment's state. */
static enum err put_all(struct mending *mending)
{
	const struct account_state *state = &mending->mailbox->state;
	const struct restamp_sink sink = {take_uid, put, mending};
	enum err err = add_part(mending);

	for (size_t i = 0; i < state->folder_count && !err; i++)
		err = restamp_put(state, state->folders[i], &sink);
	return err;
}

static WAITS enum err mend_once(struct mailbox *mailbox)
{
	struct mending mending = {.mailbox = mailbox};
	bool all = false;
	enum err err = mailbox_uids_enter(mailbox);

	if (err)
		return err;
	while (!err && !all)
		err = reserve_folders(mailbox, &all);
	if (!err)
		err = put_all(&mending);
	if (!err)
		mailbox_enqueue_group(mailbox, mending.parts, mending.count);
	mailbox_uids_leave(mailbox);
	if (!err)
		err = mailbox_await_group(mailbox, mending.parts, mending.count);
	if (!err) {
		mailbox->home->counters.restamps += mending.stamps;
		env_log(mailbox->home->env, "event=restamped uids=%zu touches=%zu", mending.stamps,
			mending.touches);
	}
	mending_finish(&mending);
	return err;
}

enum err mailbox_mend(struct mailbox *mailbox)
{
	enum err err = ERR_OK;

	/* A term that ended meanwhile: another home has been here, and there may be more to do. */
	for (unsigned i = 0; i < ATTEMPTS && restamp_any(&mailbox->state); i++) {
		err = mend_once(mailbox);
		if (err != ERR_UNAVAILABLE)
			break;
	}
	return err;
}
