/* SPDX-License-Identifier: MPL-2.0 */
/*
 * delivery - a message on its way into the inbox streams of its recipients.
 *
 * The lmtp role's side of the mailbox: public keys only. While the message
 * streams through, each recipient gets a blob of its own (own id, own key), and
 * a parser computes the summary (mail/summary.h, through the hook below, so the
 * engine does not know MIME). At the end one journal entry per recipient,
 * sealed to the account's delivery key, names the blob and carries its key,
 * the summary, the arrival time and a keyed hash by which a repeated
 * transaction is recognised when the inbox is drained.
 *
 * INV: a recipient's result is ERR_OK only after its blob and its entry are
 * durable. Results are independent: one may fail while another is delivered.
 * Memory: bounded per recipient (about 2.5 MiB), whatever the message's size.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_DELIVERY_H
#define AEROSTORE_ENGINE_MAILBOX_DELIVERY_H

#include "engine/account/account.h"
#include "engine/blob.h"
#include "engine/journal/journal.h"

/*
 * Computes the summary of a message, parsed once for all its recipients: mail/summary.h fits it.
 * `finish` may be called several times, with the prefix stored before the message each time.
 */
struct summary_hook {
	enum err (*create)(void **parser);
	enum err (*feed)(void *parser, struct bytes message);
	enum err (*finish)(void *parser, struct bytes prefix, struct buf *encoded);
	void (*destroy)(void *parser);
};

struct delivery_agent;

struct delivery_agent_options {
	struct sched *sched;
	struct blobs *blobs;
	struct journal *journal;
	const struct key *node_signing; /* signs batches of entries */
	struct id128 node, cluster;
	struct summary_hook summary;
};

MUST_USE enum err delivery_agent_create(const struct delivery_agent_options *options,
					struct delivery_agent **out);
void delivery_agent_destroy(struct delivery_agent **agent);

struct delivery;

/* One transaction. `sender` (reverse path, may be empty) is copied. */
MUST_USE enum err delivery_begin(struct delivery_agent *agent, struct bytes sender,
				 struct delivery **out);
/*
 * Adds a recipient, before the first write. `prefix`: trace header fields put before the message
 * for this one (Return-Path, Delivered-To), CRLF-terminated; `folder`: from +detail, may be empty.
 * All are copied. *index is the recipient's number.
 */
MUST_USE enum err delivery_recipient(struct delivery *delivery,
				     const struct account_record *account, struct bytes prefix,
				     struct bytes folder, size_t *index);
/*
 * Message bytes exactly as they are to be stored. After a failure of all recipients returns the
 * error; else ERR_OK, and the failed ones are known at the end.
 */
WAITS MUST_USE enum err delivery_write(struct delivery *delivery, struct bytes message);
/* Makes it durable for each recipient; result(i) below is then final. */
WAITS void delivery_finish(struct delivery *delivery);
enum err delivery_result(const struct delivery *delivery, size_t index);
/* A delivery id as in the 250 reply: stream's group, entry and blob, for `explain`. */
void delivery_id(const struct delivery *delivery, size_t index, struct buf *out);
/* Ends it in any state; without finish nothing is delivered. */
void delivery_end(struct delivery **delivery);

/*
 * What a delivery entry's envelope holds, encoded by the agent and read by the drain: shared here
 * so that one codec serves both.
 */
struct delivery_content {
	struct blob_ref blob;
	uint8_t blob_key[KEY_SIZE];
	uint64_t arrival_ms;
	uint64_t plain_size;
	uint8_t transaction_hash[16]; /* keyed by the account: recipient, sender, message */
	struct bytes folder;	      /* borrowed */
	struct bytes summary;	      /* borrowed */
	uint8_t previous[32];	      /* chain: entry_place.previous */
};

void delivery_content_encode(const struct delivery_content *content, struct buf *out);
MUST_USE enum err delivery_content_decode(struct bytes encoded, struct delivery_content *out);

#endif
