/* SPDX-License-Identifier: MPL-2.0 */
/*
 * pages - the bytes of a snapshot: the root and the pages that it names
 * (docs/format.md "Snapshot"). Plaintext here; snapshot.c seals them.
 *
 * The root holds what is small: folders, names, keys, how far the inbox is
 * drained. A message page holds a run of a folder's UIDs; a list page what is
 * long and flat: tombstones, superseded UIDs, transactions seen lately. List
 * pages are read after all message pages. Pages stand alone: they
 * have tables of their own of the writers and cache blocks they mention, so one
 * that did not change is named again by the next root.
 *
 * Decoders check shapes and limits; what they read goes into a state that was
 * empty before. After an error the state can only be dropped.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_PAGES_H
#define AEROSTORE_ENGINE_MAILBOX_PAGES_H

#include "engine/mailbox/account_state.h"
#include "engine/mailbox/summaries.h"

#define PAGE_MESSAGES_MAX 256u
#define PAGE_PLAIN_MAX (2u * 1024 * 1024)
#define LIST_ITEMS_MAX 16384u

/* Cuts the folder's UIDs into runs of at most PAGE_MESSAGES_MAX messages; new ones are dirty. */
MUST_USE enum err pages_partition(struct collection *messages);
/* The positions [*first, *before) that page `index` holds. */
void pages_range(const struct collection *messages, size_t index, size_t *first, size_t *before);

void message_page_encode(const struct folder *folder, size_t index,
			 const struct summaries *summaries, struct buf *out);
MUST_USE enum err message_page_decode(struct account_state *state, struct folder *folder,
				      struct summaries *summaries, struct bytes plain);

/* What is long and flat, from item *item on; *item is then the next, or SIZE_MAX at the end. */
void list_page_encode(const struct account_state *state, size_t *item, struct buf *out);
MUST_USE enum err list_page_decode(struct account_state *state, struct bytes plain);

/* `list_pages`: the ids of the list pages. */
void root_encode(const struct account_state *state, const struct summaries *summaries,
		 const struct id128 *list_pages, size_t list_page_count, struct buf *out);

/* What a root names: filled by the decoder, then read page by page. */
struct root_page {
	struct id128 folder; /* zero: a list page */
	struct id128 page;
};

struct root {
	struct root_page *pages;
	size_t page_count, page_capacity;
};

void root_finish(struct root *root);
MUST_USE enum err root_decode(struct cursor *cursor, struct account_state *state,
			      struct summaries *summaries, struct root *out);

#endif
