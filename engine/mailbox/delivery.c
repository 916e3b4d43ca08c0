/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/delivery.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/crypto/digest.h"
#include "engine/mailbox/delivery_place.h"

/* Ephemeral keys kept, one per account lately delivered to. */
#define SENDERS_CACHED 256u
/* Recipients of one transaction that finish at once: they share syncs, not stacks without end. */
#define FINISH_PARALLEL 16u
/* Plaintext taken at a time for one recipient, so that its frames stay within a piece. */
#define FEED_SIZE (512u * 1024)

struct delivery_agent {
	struct delivery_agent_options options;
	struct env *env;
	struct journal_writer *writer;
	struct envelope_sender *sender;
	size_t open_count;
};

struct recipient {
	struct id128 account, stream, tag;
	uint8_t delivery_public[X25519_SIZE];
	struct buf address, prefix, folder;
	struct blob_sealer *sealer;
	struct blob_upload *upload;
	struct buf frames; /* ciphertext on its way to the upload */
	struct blob_ref blob;
	enum err result;
	uint8_t group;
	uint64_t seq;
};

struct delivery {
	struct delivery_agent *agent;
	struct buf sender;
	struct recipient *recipients;
	size_t count, capacity;
	void *parser;
	struct digest *digest;
	uint8_t message_digest[DIGEST_SIZE];
	uint64_t arrival_ms;
	bool started, finished;
	/* Of the parallel end: */
	size_t next;
	struct group finishing;
};

enum err delivery_agent_create(const struct delivery_agent_options *options,
			       struct delivery_agent **out)
{
	struct delivery_agent *agent = memory_allocate(sizeof(*agent));
	enum err err;

	if (!agent)
		return ERR_NOMEM;
	agent->options = *options;
	agent->env = sched_env(options->sched);
	err = envelope_sender_create(agent->env, SENDERS_CACHED, &agent->sender);
	if (!err)
		err = journal_writer_create(options->journal, options->node_signing, options->node,
					    &agent->writer);
	if (err) {
		delivery_agent_destroy(&agent);
		return err;
	}
	*out = agent;
	return ERR_OK;
}

void delivery_agent_destroy(struct delivery_agent **agent)
{
	if (!*agent)
		return;
	ASSERT(!(*agent)->open_count);
	if ((*agent)->writer)
		journal_writer_destroy(&(*agent)->writer);
	if ((*agent)->sender)
		envelope_sender_destroy(&(*agent)->sender);
	memory_free(*agent);
	*agent = NULL;
}

enum err delivery_begin(struct delivery_agent *agent, struct bytes sender, struct delivery **out)
{
	struct delivery *delivery = memory_allocate(sizeof(*delivery));

	if (!delivery)
		return ERR_NOMEM;
	delivery->agent = agent;
	agent->open_count++;
	buf_put_bytes(&delivery->sender, sender);
	if (delivery->sender.err) {
		delivery_end(&delivery);
		return ERR_NOMEM;
	}
	*out = delivery;
	return ERR_OK;
}

static void recipient_finish(struct recipient *recipient)
{
	blob_sealer_destroy(&recipient->sealer);
	blob_upload_release(&recipient->upload);
	buf_finish(&recipient->frames);
	buf_finish(&recipient->address);
	buf_finish(&recipient->prefix);
	buf_finish(&recipient->folder);
}

void delivery_end(struct delivery **delivery)
{
	struct delivery *ending = *delivery;

	if (!ending)
		return;
	for (size_t i = 0; i < ending->count; i++)
		recipient_finish(&ending->recipients[i]);
	if (ending->parser)
		ending->agent->options.summary.destroy(ending->parser);
	digest_destroy(&ending->digest);
	buf_finish(&ending->sender);
	ending->agent->open_count--;
	memory_free(ending->recipients);
	memory_free(ending);
	*delivery = NULL;
}

static enum err grow_recipients(struct delivery *delivery)
{
	size_t capacity = delivery->capacity ? 2 * delivery->capacity : 4;
	struct recipient *grown;

	if (delivery->count < delivery->capacity)
		return ERR_OK;
	grown = memory_array(capacity, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	if (delivery->count)
		memcpy(grown, delivery->recipients, delivery->count * sizeof(*grown));
	memory_free(delivery->recipients);
	delivery->recipients = grown;
	delivery->capacity = capacity;
	return ERR_OK;
}

enum err delivery_recipient(struct delivery *delivery, const struct account_record *account,
			    struct bytes prefix, struct bytes folder, size_t *index)
{
	struct recipient *recipient;
	enum err err;

	ASSERT(!delivery->started);
	err = grow_recipients(delivery);
	if (err)
		return err;
	recipient = &delivery->recipients[delivery->count];
	*recipient = (struct recipient){
		.account = account->id, .stream = account->stream, .tag = account->tag};
	memcpy(recipient->delivery_public, account->delivery_public, X25519_SIZE);
	buf_put_string(&recipient->address, account->address);
	buf_put_bytes(&recipient->prefix, prefix);
	buf_put_bytes(&recipient->folder, folder);
	if (recipient->address.err || recipient->prefix.err || recipient->folder.err) {
		recipient_finish(recipient);
		return ERR_NOMEM;
	}
	*index = delivery->count++;
	return ERR_OK;
}

/* The result is final; what the recipient held is given back at once. */
static void recipient_settle(struct recipient *recipient, enum err err)
{
	recipient->result = err;
	blob_sealer_destroy(&recipient->sealer);
	blob_upload_release(&recipient->upload);
	buf_finish(&recipient->frames);
}

static WAITS enum err recipient_send_frames(struct recipient *recipient)
{
	enum err err = blob_upload_write(recipient->upload, bytes_of_buf(&recipient->frames));

	buf_clear(&recipient->frames);
	return err;
}

static WAITS enum err recipient_feed(struct recipient *recipient, struct bytes plain)
{
	for (size_t offset = 0; offset < plain.size; offset += FEED_SIZE) {
		enum err err =
			blob_sealer_update(recipient->sealer, bytes_slice(plain, offset, FEED_SIZE),
					   &recipient->frames);

		if (!err && recipient->frames.size)
			err = recipient_send_frames(recipient);
		if (err)
			return err;
	}
	return ERR_OK;
}

/* INV: a fresh id and, by the sealer, a fresh key for each recipient of each transaction. */
static WAITS enum err recipient_start(struct delivery_agent *agent, struct recipient *recipient)
{
	struct sealed_name name = {
		.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
		.type = SEALED_MESSAGE,
		.account_tag = recipient->tag,
		.epoch = 0,
		.blob = env_random_id(agent->env),
	};
	enum err err = blob_sealer_create(agent->env, &name, &recipient->sealer);

	if (!err)
		err = blob_upload_open(agent->options.blobs, name.blob, recipient->tag,
				       &recipient->upload);
	if (!err)
		err = recipient_feed(recipient, bytes_of_buf(&recipient->prefix));
	return err;
}

static enum err start_parsing(struct delivery *delivery)
{
	enum err err = digest_create(&delivery->digest);

	if (!err)
		err = delivery->agent->options.summary.create(&delivery->parser);
	return err;
}

static WAITS void start(struct delivery *delivery)
{
	enum err err = start_parsing(delivery);

	delivery->started = true;
	delivery->arrival_ms = env_wall_ms(delivery->agent->env);
	for (size_t i = 0; i < delivery->count; i++) {
		struct recipient *recipient = &delivery->recipients[i];
		enum err started = err ? err : recipient_start(delivery->agent, recipient);

		if (started)
			recipient_settle(recipient, started);
	}
}

static void fail_all(struct delivery *delivery, enum err err)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (!delivery->recipients[i].result)
			recipient_settle(&delivery->recipients[i], err);
	}
}

/* The first failure when nobody is left, else ERR_OK. */
static enum err all_failed(const struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->count; i++) {
		if (!delivery->recipients[i].result)
			return ERR_OK;
	}
	return delivery->count ? delivery->recipients[0].result : ERR_OK;
}

enum err delivery_write(struct delivery *delivery, struct bytes message)
{
	enum err err;

	ASSERT(!delivery->finished);
	if (!delivery->started)
		start(delivery);
	err = all_failed(delivery);
	if (err)
		return err;
	digest_update(delivery->digest, message);
	err = delivery->agent->options.summary.feed(delivery->parser, message);
	if (err) {
		fail_all(delivery, err);
		return err;
	}
	for (size_t i = 0; i < delivery->count; i++) {
		struct recipient *recipient = &delivery->recipients[i];

		if (recipient->result)
			continue;
		err = recipient_feed(recipient, message);
		if (err)
			recipient_settle(recipient, err);
	}
	return all_failed(delivery);
}

/* ---- the end: the last frames, then the entry ---- */

/*
 * Equal for a transaction that the MTA repeats. The account makes it a keyed hash for everybody
 * outside: it is only ever stored under the account's delivery key.
 */
static enum err transaction_hash(const struct delivery *delivery, const struct recipient *recipient,
				 uint8_t out[16])
{
	struct buf input = {0};
	uint8_t digest[DIGEST_SIZE];

	buf_put_string(&input, "aerostore transaction 1");
	buf_put_id(&input, recipient->account);
	buf_put_block(&input, bytes_of_buf(&recipient->address));
	buf_put_block(&input, bytes_of_buf(&recipient->folder));
	buf_put_block(&input, bytes_of_buf(&delivery->sender));
	buf_put(&input, delivery->message_digest, sizeof(delivery->message_digest));
	if (input.err) {
		buf_finish(&input);
		return ERR_NOMEM;
	}
	digest_256(bytes_of_buf(&input), digest);
	memcpy(out, digest, 16);
	buf_finish(&input);
	return ERR_OK;
}

struct sealing {
	struct delivery *delivery;
	struct recipient *recipient;
	struct journal_append *append;
	struct bytes summary;
};

static enum err content_fill(const struct sealing *sealing, const struct entry_place *place,
			     struct delivery_content *content)
{
	struct recipient *recipient = sealing->recipient;

	*content = (struct delivery_content){
		.blob = recipient->blob,
		.arrival_ms = sealing->delivery->arrival_ms,
		.plain_size = blob_sealer_plain_size(recipient->sealer),
		.folder = bytes_of_buf(&recipient->folder),
		.summary = sealing->summary,
	};
	memcpy(content->blob_key, blob_sealer_key(recipient->sealer), KEY_SIZE);
	memcpy(content->previous, place->previous, sizeof(content->previous));
	return transaction_hash(sealing->delivery, recipient, content->transaction_hash);
}

/* journal_append.seal: called once the entry's place is known. */
static enum err seal_entry(void *context, const struct entry_place *place, struct buf *payload)
{
	struct sealing *sealing = context;
	struct recipient *recipient = sealing->recipient;
	struct delivery_place bound = {
		.account = recipient->account,
		.stream = place->stream,
		.incarnation = place->incarnation,
		.blob_incarnation = sealing->append->blob_incarnation,
		.seq = place->seq,
		.floor = sealing->append->floor,
		.blob = &recipient->blob,
	};
	struct delivery_content content;
	struct buf plain = {0}, associated = {0};
	enum err err = content_fill(sealing, place, &content);

	if (err)
		goto out;
	delivery_content_encode(&content, &plain);
	delivery_place_encode(&bound, &associated);
	err = plain.err ? plain.err : associated.err;
	if (!err)
		err = envelope_seal(sealing->delivery->agent->sender, recipient->delivery_public,
				    recipient->account, recipient->blob.id,
				    bytes_of_buf(&associated), bytes_of_buf(&plain), payload);
	recipient->group = place->group;
out:
	memory_wipe(content.blob_key, sizeof(content.blob_key));
	buf_finish(&plain);
	buf_finish(&associated);
	return err;
}

static WAITS enum err recipient_append(struct delivery *delivery, struct recipient *recipient,
				       struct bytes summary)
{
	struct delivery_agent *agent = delivery->agent;
	struct sealing sealing = {delivery, recipient, NULL, summary};
	struct journal_append append = {
		.stream = recipient->stream,
		.kind = ENTRY_DELIVERY,
		.floor = blob_floor(agent->options.blobs),
		.blob_incarnation = blob_incarnation(agent->options.blobs),
		.blobs = &recipient->blob,
		.blob_count = 1,
		.seal = seal_entry,
		.context = &sealing,
	};
	enum err err;

	sealing.append = &append;
	err = journal_append(agent->writer, &append);
	if (!err)
		recipient->seq = append.seq;
	return err;
}

static WAITS enum err recipient_complete(struct delivery *delivery, struct recipient *recipient)
{
	struct buf summary = {0};
	enum err err = delivery->agent->options.summary.finish(
		delivery->parser, bytes_of_buf(&recipient->prefix), &summary);

	if (!err)
		err = summary.err;
	if (!err)
		err = blob_sealer_finish(recipient->sealer, &recipient->frames);
	if (!err)
		err = recipient_send_frames(recipient);
	if (!err)
		err = blob_upload_finish(recipient->upload, &recipient->blob);
	if (!err)
		err = recipient_append(delivery, recipient, bytes_of_buf(&summary));
	buf_finish(&summary);
	return err;
}

/* Each of the parallel tasks takes the next recipient until none is left. */
static WAITS void complete_some(void *argument)
{
	struct delivery *delivery = argument;

	while (delivery->next < delivery->count) {
		struct recipient *recipient = &delivery->recipients[delivery->next++];
		enum err err;

		if (recipient->result)
			continue;
		err = recipient_complete(delivery, recipient);
		recipient_settle(recipient, err);
	}
}

static WAITS void complete_task(void *argument)
{
	struct delivery *delivery = argument;

	complete_some(delivery);
	group_leave(&delivery->finishing);
}

void delivery_finish(struct delivery *delivery)
{
	size_t helpers = delivery->count < FINISH_PARALLEL ? delivery->count : FINISH_PARALLEL;

	ASSERT(!delivery->finished);
	if (!delivery->started)
		start(delivery);
	delivery->finished = true;
	if (delivery->digest)
		digest_finish(delivery->digest, delivery->message_digest);
	for (size_t i = 1; i < helpers; i++) {
		group_enter(&delivery->finishing);
		if (task_spawn(delivery->agent->options.sched, "delivery", complete_task, delivery,
			       NULL))
			group_leave(&delivery->finishing);
	}
	complete_some(delivery);
	group_wait(&delivery->finishing);
}

enum err delivery_result(const struct delivery *delivery, size_t index)
{
	ASSERT(index < delivery->count);
	return delivery->recipients[index].result;
}

void delivery_id(const struct delivery *delivery, size_t index, struct buf *out)
{
	const struct recipient *recipient = &delivery->recipients[index];
	struct id128 incarnation = journal_writer_incarnation(delivery->agent->writer);

	ASSERT(index < delivery->count);
	buf_printf(out, "%02x.", recipient->group);
	for (size_t i = 0; i < sizeof(incarnation.octets); i++)
		buf_printf(out, "%02x", incarnation.octets[i]);
	buf_printf(out, ".%" PRIx64 ".", recipient->seq);
	for (size_t i = 0; i < sizeof(recipient->blob.id.octets); i++)
		buf_printf(out, "%02x", recipient->blob.id.octets[i]);
}
