/* SPDX-License-Identifier: MPL-2.0 */
/*
 * Writing a manifest: new pages to every designated replica, and when a quorum
 * has them synced, the manifest. A replica that misses a page refuses the
 * manifest; the resync brings both.
 */
#include <string.h>

#include "engine/journal/journal_private.h"
#include "engine/journal/manifest.h"

static struct fanout *put_create(struct journal *journal, const struct replica_set *set,
				 const struct manifest *manifest, enum record_type type,
				 struct id128 id, const struct buf *encoded)
{
	struct fanout *fanout = fanout_create(journal, set->volumes, set->count, JOURNAL_PUT);
	struct shared *bytes = shared_create(encoded->size);

	if (fanout == NULL || bytes == NULL) {
		fanout_release(&fanout);
		shared_release(&bytes);
		return NULL;
	}
	memcpy(bytes->data, encoded->data, encoded->size);
	for (size_t i = 0; i < fanout->count; i++) {
		struct journal_put_call *call = &fanout->targets[i].call.put;

		call->type = type;
		call->stream = manifest->stream;
		call->id = id;
		call->incarnation = manifest->incarnation;
		call->epoch = manifest->epoch;
		call->item = (struct journal_item){shared_reference(bytes),
						   hash_128(bytes->data, bytes->size)};
	}
	shared_release(&bytes);
	return fanout;
}

/* What the replicas that refused say, the gravest first. */
static enum err refusal_of(const struct fanout *fanout)
{
	static const enum err gravest[] = {ERR_CONFLICT, ERR_STALE, ERR_NOSPACE, ERR_LIMIT};

	for (size_t i = 0; i < sizeof(gravest) / sizeof(gravest[0]); i++)
		for (size_t j = 0; j < fanout->count; j++)
			if (fanout->targets[j].answered &&
			    fanout->targets[j].call.wire.err == gravest[i])
				return gravest[i];
	return ERR_UNAVAILABLE;
}

static WAITS enum err put_wait(struct journal *journal, const struct replica_set *set,
			       struct fanout *fanout)
{
	size_t quorum = journal_quorum(journal, set);
	enum err err = fanout_wait(fanout, quorum, env_now_ms(journal->env) + JOURNAL_APPEND_MS);

	if (err != ERR_OK)
		return err;
	if (fanout->succeeded < fanout->answered || fanout->succeeded < quorum)
		journal_want_resync(journal);
	return fanout->succeeded >= quorum ? ERR_OK : refusal_of(fanout);
}

static WAITS enum err put(struct journal *journal, const struct replica_set *set,
			  const struct manifest *manifest, enum record_type type, struct id128 id,
			  const struct buf *encoded)
{
	struct fanout *fanout = put_create(journal, set, manifest, type, id, encoded);
	enum err err;

	if (fanout == NULL)
		return ERR_NOMEM;
	fanout_post(fanout);
	err = put_wait(journal, set, fanout);
	fanout_release(&fanout);
	return err;
}

#define PAGES_UNDER_WAY 16u

/* A few at a time share their syncs; more would hold all of them in memory. */
static WAITS enum err put_pages(struct journal *journal, const struct replica_set *set,
				const struct manifest *manifest, const struct manifest_page *pages,
				size_t count)
{
	struct fanout *fanouts[PAGES_UNDER_WAY] = {NULL};
	struct buf encoded = {0};
	size_t made = 0;
	enum err err = ERR_OK;

	for (; made < count && err == ERR_OK; made++) {
		buf_clear(&encoded);
		err = manifest_page_encode(&pages[made], &encoded);
		if (err != ERR_OK)
			break;
		fanouts[made] =
			put_create(journal, set, manifest, RECORD_PAGE, pages[made].id, &encoded);
		if (fanouts[made] == NULL) {
			err = ERR_NOMEM;
			break;
		}
		fanout_post(fanouts[made]);
	}
	for (size_t i = 0; i < made; i++) {
		if (err == ERR_OK)
			err = put_wait(journal, set, fanouts[i]);
		fanout_release(&fanouts[i]);
	}
	buf_finish(&encoded);
	return err;
}

enum err journal_put_manifest(struct journal *journal, const struct manifest *manifest,
			      const struct manifest_page *new_pages, size_t new_page_count)
{
	const struct replica_set set = *journal_replicas(journal, manifest->stream);
	struct buf encoded = {0};
	enum err err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < new_page_count; i += PAGES_UNDER_WAY) {
		size_t left = new_page_count - i;

		err = put_pages(journal, &set, manifest, new_pages + i,
				left < PAGES_UNDER_WAY ? left : PAGES_UNDER_WAY);
	}
	if (err == ERR_OK)
		err = manifest_encode(manifest, &encoded);
	if (err == ERR_OK)
		err = put(journal, &set, manifest, RECORD_MANIFEST, manifest->id, &encoded);
	buf_finish(&encoded);
	return err;
}
