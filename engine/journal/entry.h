/* SPDX-License-Identifier: MPL-2.0 */
/*
 * entry - the bytes of a journal entry: the payload of a RECORD_ENTRY.
 *
 *   offset size field
 *        0    1 version, 1
 *        1    1 group
 *        2    1 kind, enum entry_kind
 *        3    1 flags: bit 0 a signature follows; the others zero
 *        4    4 payload size
 *        8    8 seq
 *       16   16 stream
 *       32   16 incarnation of the writer
 *       48    8 epoch
 *       56    8 floor
 *       64   16 incarnation of the blobs' writer, zero when no blob is named
 *       80   16 signer: the writer's node; zero when its entries are not signed
 *       96    2 number of blobs
 *       98    6 zero
 *      104    - blob references (docs/format.md "Blob reference")
 *        -    - payload
 *        -   64 Ed25519 signature, when flagged
 *
 * The signature covers all before it: "signed part". Stream, incarnation and
 * seq stand in the record's header too; they are repeated here so that what is
 * signed is one string that needs no record around it. Only the last entry of
 * a batch is signed; the digests inside the payloads chain the others to it.
 *
 * Pure. INV: every byte string decodes to at most one entry, and every entry
 * has one encoding: truncations, trailing bytes and reserved bits are refused.
 */
#ifndef AEROSTORE_ENGINE_JOURNAL_ENTRY_H
#define AEROSTORE_ENGINE_JOURNAL_ENTRY_H

#include "engine/journal/journal.h"

#define ENTRY_HEADER_SIZE 104u
/* What an append may name and carry fits any record. */
#define ENTRY_SIZE_MAX (3u * 1024 * 1024)

/* Memory for the blobs of one decoded entry after another; zero before first use. */
struct entry_blobs {
	struct blob_ref *items;
	size_t capacity;
};

void entry_blobs_finish(struct entry_blobs *blobs);

/*
 * Encoding in two steps, so that a payload is sealed in place: entry_begin() appends the clear part
 * of `entry` (payload, signature and signed_part are not looked at), the caller appends the
 * payload, entry_end() closes it. `start`: out->size before entry_begin(). ERR_LIMIT, ERR_NOMEM.
 */
void entry_begin(const struct entry *entry, struct buf *out);
MUST_USE enum err entry_end(struct buf *out, size_t start);
/* Signs what entry_end() closed. */
MUST_USE enum err entry_sign(struct buf *out, size_t start, const struct key *signing);
/* ERR_AUTH: not signed, or not by the holder of this key. */
MUST_USE enum err entry_verify(const struct entry *entry, const uint8_t public_key[PUBLIC_SIZE]);

/* *out borrows from `encoded` and `blobs`. ERR_CORRUPT, ERR_NEWER, ERR_NOMEM. */
MUST_USE enum err entry_decode(struct bytes encoded, struct entry_blobs *blobs, struct entry *out);
/* What a replica looks at, without decoding the rest: ERR_CORRUPT when it is not this entry. */
MUST_USE enum err entry_inspect(struct bytes encoded, struct id128 stream, struct id128 incarnation,
				uint64_t seq, uint64_t *epoch, enum entry_kind *kind);
/* Of an entry that entry_inspect() accepted. */
struct id128 entry_blob_incarnation(struct bytes encoded);
/* What the next entry of the same writer and stream carries as `previous`. */
void entry_digest(struct bytes encoded, uint8_t out[32]);

#endif
