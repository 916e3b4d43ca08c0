/* SPDX-License-Identifier: MPL-2.0 */
/*
 * manifest - the bytes of manifests and of their pages: the payloads of
 * RECORD_MANIFEST and RECORD_PAGE.
 *
 * Manifest: 1 version, 7 zero, then stream, id, incarnation (16 each), epoch
 * and floor (u64), the vector, a varint count and the ids of the pages, a
 * varint count and the FETCH-cache blobs, and the sealed payload as a block.
 * Page: 1 version, 7 zero, then id, a varint count and the blobs that it refers
 * to, and the sealed payload as a block.
 *
 * Pure, strict, bounded: counts are checked against the bytes that are there
 * before anything is allocated.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_MANIFEST_H
#define AEROSTORE_ENGINE_JOURNAL_MANIFEST_H

#include "engine/journal/journal.h"

/* Both encodings, so that they fit a record. */
#define MANIFEST_SIZE_MAX (4u * 1024 * 1024)

/* ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err manifest_encode(const struct manifest *manifest, struct buf *out);
MUST_USE enum err manifest_page_encode(const struct manifest_page *page, struct buf *out);
/*
 * Vector, pages and blobs of *out are its own until manifest_finish(); the payload is borrowed.
 * ERR_CORRUPT, ERR_NEWER, ERR_NOMEM.
 */
MUST_USE enum err manifest_decode(struct bytes encoded, struct manifest *out);
void manifest_finish(struct manifest *manifest);
/* Visits the blobs that page `id` refers to. ERR_CORRUPT: also when it is another page. */
MUST_USE enum err manifest_page_blobs(struct bytes encoded, struct id128 id,
				      enum err (*each)(void *context, const struct blob_ref *blob),
				      void *context);
/* Only what the replicas need: checks it, and gives the id and the sealed payload, borrowed. */
MUST_USE enum err manifest_page_decode(struct bytes encoded, struct id128 *id,
				       struct bytes *payload);

#endif
