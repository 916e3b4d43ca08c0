/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/internal.h"

#include "engine/plant.h"

/* Something that was read out of the state, and may be named by an entry or a manifest to come. */
static bool is_busy(const struct mailbox *mailbox)
{
	return mailbox->loading || !mailbox->ready || mailbox->queue || mailbox->flushing ||
	       mailbox->snapshot_running || mailbox->term_gate.held || mailbox->uid_gate.held ||
	       mailbox->drain_gate.held;
}

static enum err visit_folder(const struct folder *folder,
			     enum err (*each)(void *context, const struct blob_ref *blob),
			     void *context)
{
	const struct collection *messages = &folder->messages;
	enum err err = ERR_OK;

	for (size_t i = 0; i < messages->count && !err; i++) {
		struct blob_ref blob;

		collection_blob(messages, messages->order[i], &blob);
		err = each(context, &blob);
	}
	return err;
}

/* Cache blocks, too: until the next manifest nothing but this memory names a new one. */
static enum err visit_mailbox(const struct mailbox *mailbox,
			      enum err (*each)(void *context, const struct blob_ref *blob),
			      void *context)
{
	size_t count;
	const struct summary_block *blocks = summaries_blocks(mailbox->summaries, &count);
	enum err err = ERR_OK;

	for (size_t i = 0; i < count && !err; i++)
		err = each(context, &blocks[i].blob);
	for (size_t i = 0; i < mailbox->state.folder_count && !err; i++)
		err = visit_folder(mailbox->state.folders[i], each, context);
	return err;
}

enum err home_references(const struct home *home, struct id128 account,
			 enum err (*each)(void *context, const struct blob_ref *blob),
			 void *context)
{
	enum err err = ERR_OK;

	if (PLANTED(reclaim_ignores_writers))
		return ERR_OK;
	for (const struct mailbox *mailbox = home->mailboxes; mailbox && !err;
	     mailbox = mailbox->next) {
		if (!id128_equal(mailbox->account, account))
			continue;
		err = is_busy(mailbox) ? ERR_UNAVAILABLE : visit_mailbox(mailbox, each, context);
	}
	return err;
}
