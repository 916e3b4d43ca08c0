/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/reclaim/deleted.h"

#include "engine/base/memory.h"
#include "engine/journal/audit.h"
#include "engine/plant.h"

static enum err note_deleted(void *context, const struct reclaim_account *account)
{
	struct buf *accounts = context;

	if (account->deleted)
		buf_put(accounts, account, sizeof(*account));
	return accounts->err;
}

static enum err ignore(void *context, const struct blob_ref *blob)
{
	(void)context;
	(void)blob;
	return ERR_OK;
}

static WAITS enum err empty(struct liveness_judge *judge, const struct reclaim_account *account,
			    uint64_t *emptied)
{
	struct id128 silent = ID128_ZERO;
	bool done = false;
	enum err err = ERR_STALE;

	/* A session that is being closed may write yet. */
	if (journal_is_settled(judge->journal, account->stream))
		err = judge->source.references(judge->source.context, account->id, ignore, NULL);
	if (err == ERR_OK)
		err = journal_empty(judge->journal, account->stream, &done, &silent);
	*emptied += done;
	if (!liveness_is_passing(err))
		return err;
	liveness_note_obstacle(judge, err, silent, account->tag);
	return ERR_OK;
}

enum err deleted_empty(struct liveness_judge *judge, struct quarantine *quarantine,
		       uint64_t *emptied)
{
	struct buf accounts = {0};
	struct id128 silent = ID128_ZERO;
	enum err err = judge->source.accounts(judge->source.context, note_deleted, &accounts);

	/* Deleted for everybody, or not yet. */
	if (err == ERR_OK && accounts.size != 0) {
		err = judge->source.verify(judge->source.context, &silent);
		if (liveness_is_passing(err)) {
			liveness_note_obstacle(judge, err, silent, ID128_ZERO);
			buf_finish(&accounts);
			return ERR_OK;
		}
	}
	for (size_t at = 0; err == ERR_OK && at < accounts.size;
	     at += sizeof(struct reclaim_account)) {
		const struct reclaim_account *account =
			(const struct reclaim_account *)(const void *)(accounts.data + at);

		if (quarantine_stream_is_ripe(quarantine, account->stream) &&
		    !PLANTED(deleted_stream_stays))
			err = empty(judge, account, emptied);
	}
	buf_finish(&accounts);
	return err;
}
