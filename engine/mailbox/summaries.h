/* SPDX-License-Identifier: MPL-2.0 */
/*
 * summaries - where the encoded summaries of an account's messages are (INV 3
 * of mailbox.h: what FETCH lists opens no message blob).
 *
 * A summary comes with its message's ADD operation and stays in memory until a
 * snapshot packs it, with up to SUMMARY_BLOCK_COUNT others, into a cache block:
 * a SEALED_CACHE blob, erasure-coded like every blob. Large drains make their
 * blocks at once. Decoded blocks are kept in a small LRU. Copies of a message
 * share its summary: it is found by the blob's id.
 *
 * It is a cache: what is lost in it is computed from the message again. So full
 * disks get no blocks: summaries wait in memory for room, and are lost with it.
 * Memory: SUMMARY_PENDING_MAX bytes not packed (a snapshot is due by then), and
 * SUMMARY_LRU_BLOCKS decoded blocks.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_SUMMARIES_H
#define AEROSTORE_ENGINE_MAILBOX_SUMMARIES_H

#include "engine/base/map.h"
#include "engine/blob.h"
#include "engine/mailbox/collection.h"

#define SUMMARY_BLOCK_COUNT 500u
#define SUMMARY_BLOCK_BYTES (4u * 1024 * 1024)
#define SUMMARY_PENDING_MAX (8u * 1024 * 1024)
#define SUMMARY_LRU_BLOCKS 4u

/* Wraps a block's key under a directory key; `use` is the block's id. */
#define LABEL_CACHE_KEY "aerostore mailbox cache key 1"

struct summaries;

/* A block as the manifest names it. */
struct summary_block {
	struct blob_ref blob; /* blob.id names the block */
	uint8_t wrapped_key[WRAPPED_KEY_SIZE];
	uint32_t live; /* messages that point at it */
};

MUST_USE enum err summaries_create(struct env *env, struct blobs *blobs, struct id128 tag,
				   struct summaries **out);
void summaries_destroy(struct summaries **summaries);

/* account_listener's. */
MUST_USE enum err summaries_added(void *summaries, const struct operation_add *add,
				  uint32_t *cache);
void summaries_removed(void *summaries, const struct message_state *message);

MUST_USE enum err summaries_block(void *summaries, const struct operation *operation);

/* Known blocks, by number - 1. */
const struct summary_block *summaries_blocks(const struct summaries *summaries, size_t *count);
/* A block of a manifest or an operation. *number is message_state.cache. ERR_NOMEM. */
MUST_USE enum err summaries_add_block(struct summaries *summaries,
				      const struct summary_block *block, uint32_t *number);
/* A loaded message points at it. */
void summaries_count_block(struct summaries *summaries, uint32_t number);
uint32_t summaries_find_block(const struct summaries *summaries, struct id128 block);

/* Bytes waiting to be packed. */
size_t summaries_pending(const struct summaries *summaries);
/* The summary that waits for this blob, or {NULL, 0}. */
struct bytes summaries_waiting(const struct summaries *summaries, struct id128 blob);
/* Keeps a copy, as if it had come with the message; not beyond SUMMARY_PENDING_MAX. */
MUST_USE enum err summaries_put(struct summaries *summaries, struct id128 blob,
				struct bytes encoded);

/*
 * Drops what waits for blobs that are not among the keys of `named`: of messages that were expunged
 * before anything was packed. ERR_NOMEM: all stay.
 */
MUST_USE enum err summaries_keep_waiting(struct summaries *summaries, const struct map *named);

/* What goes into a block. */
struct summary_item {
	struct id128 blob;
	struct bytes encoded;
};

/* A block's plaintext (docs/format.md "Cache block"). */
void summaries_block_encode(const struct summary_item *items, size_t count, struct buf *out);
/*
 * Where each blob's summary is, a cursor_block(): its offset in `plain` and 1 as the map's value.
 * ERR_CORRUPT, ERR_NEWER, ERR_NOMEM; `offsets` may have some then.
 */
MUST_USE enum err summaries_block_decode(struct bytes plain, struct map *offsets);
/* Writes a block, durable on return, under a fresh key wrapped by `directory`. */
WAITS MUST_USE enum err summaries_write_block(struct summaries *summaries,
					      const struct key *directory,
					      const struct summary_item *items, size_t count,
					      struct summary_block *out);
/* Packed: no longer in memory. */
void summaries_drop_waiting(struct summaries *summaries, struct id128 blob);
/*
 * Appends the summary of the message blob, from block `number`; at most one blob read.
 * `unwrap`: the block's key, wrapped under one of the account's directory keys. ERR_NOTFOUND.
 */
WAITS MUST_USE enum err summaries_read(
	struct summaries *summaries, uint32_t number, struct id128 blob,
	enum err (*unwrap)(void *context, const struct summary_block *block, uint8_t key[KEY_SIZE]),
	void *context, struct buf *out);

#endif
