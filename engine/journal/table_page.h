/* SPDX-License-Identifier: MPL-2.0 */
/*
 * table_page - the bytes of a table's snapshot: the payloads of its manifest
 * (the root) and of its pages, both in clear.
 *
 * Page:  version 1 (1), zeros (7), then to its end each record as a block; no
 *        record is empty.
 * Root:  version 1 (1), zeros (7), id of the node that vouches (16, zeros:
 *        nobody does), for each page of the manifest, in its order, the digest
 *        of the page's payload (32 each), and, when somebody vouches, an Ed25519
 *        signature (64) of authority, stream, id of the manifest and the root
 *        up to here, label "aerostore table snapshot".
 *
 * To vouch for a snapshot is to say: I have verified every record in it, against
 * this authority. It is worth something to the node itself only, which then
 * needs not verify them again.
 *
 * Pure. INV: a byte string is at most one page, or root of so many pages.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_TABLE_PAGE_H
#define AEROSTORE_ENGINE_JOURNAL_TABLE_PAGE_H

#include "engine/journal/journal.h"

/* A page that is so long, or longer, gets no further record. */
#define TABLE_PAGE_FULL (256u * 1024)

void table_page_begin(struct buf *page);
void table_page_add(struct buf *page, struct bytes record);
/* Visits nothing unless all of it can be read. ERR_CORRUPT, ERR_NEWER, or what `each` says. */
MUST_USE enum err table_page_decode(struct bytes page,
				    enum err (*each)(void *context, struct bytes record),
				    void *context);

/* What a root belongs to, and is signed with. */
struct table_root_place {
	struct bytes authority; /* what the records were verified against */
	struct id128 stream, manifest;
};

/* As read; borrows from what was decoded. */
struct table_root {
	struct id128 voucher;	  /* zero: nobody */
	const uint8_t *digests;	  /* DIGEST_SIZE each */
	const uint8_t *signature; /* NULL: nobody vouches */
	struct bytes signed_part;
};

/* `signing` NULL: nobody vouches. ERR_NOMEM. */
MUST_USE enum err table_root_encode(const struct table_root_place *place,
				    const struct manifest_page *pages, size_t page_count,
				    const struct key *signing, struct id128 voucher,
				    struct buf *out);
/* ERR_CORRUPT, ERR_NEWER. */
MUST_USE enum err table_root_decode(struct bytes encoded, size_t page_count,
				    struct table_root *out);
/* ERR_AUTH: not signed, or not by the holder of this key; ERR_NOMEM. */
MUST_USE enum err table_root_verify(const struct table_root *root,
				    const struct table_root_place *place,
				    const uint8_t public_key[PUBLIC_SIZE]);
/* Whether the payload is that of the root's page of this index. */
bool table_root_names(const struct table_root *root, size_t index, struct bytes page);

#endif
