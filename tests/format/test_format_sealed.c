/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The examples of docs/format.md for what is sealed: keys, accounts, mailboxes.
 * The first random string is 10 11 12 .., the second 30 31 32 .., and so on.
 */
#include <string.h>

#include "engine/account/account.h"
#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/crypto/payload.h"
#include "engine/mailbox/delivery.h"
#include "engine/mailbox/delivery_place.h"
#include "engine/mailbox/internal.h"
#include "engine/mailbox/pages.h"
#include "mail/summary.h"
#include "tests/support/format_example.h"
#include "tests/support/unit_env.h"

#define CLUSTER format_example_id(0x20)
#define ACCOUNT format_example_id(0x60)
#define USE format_example_id(0x50)
#define BLOB format_example_id(0xa0)
#define TAG format_example_id(0xb0)
#define INCARNATION format_example_id(0xc0)
#define OTHER format_example_id(0xd0)
#define STREAM format_example_id(0xe0)
#define FOLDER format_example_id(0x80)
#define EPOCH 0x01020304u
#define SET 0x1122334455667788u
#define CLOCK 1700000000000u

/* ---- an env whose random is readable ---- */

struct plain_env {
	struct unit_env unit; /* first */
	struct env_ops ops;
	uint8_t next;
};

static void plain_random(struct env *env, void *out, size_t size)
{
	struct plain_env *plain = (struct plain_env *)env;

	format_example_octets(plain->next, out, size);
	plain->next = (uint8_t)(plain->next + 0x20);
}

static struct env *plain_env_init(struct plain_env *plain)
{
	unit_env_init(&plain->unit, 1);
	plain->unit.now_ms = 0;
	plain->ops = *plain->unit.env.ops;
	plain->ops.random = plain_random;
	plain->unit.env.ops = &plain->ops;
	plain->next = 0x10;
	return &plain->unit.env;
}

static struct key *key_of(uint8_t first)
{
	uint8_t octets[KEY_SIZE];
	struct key *key;

	format_example_octets(first, octets, sizeof(octets));
	ASSERT(key_import(octets, &key) == ERR_OK);
	return key;
}

static struct bytes bytes_of_id(const struct id128 *id)
{
	return bytes_make(id->octets, sizeof(id->octets));
}

/* ---- keys ---- */

static void make_blob(struct buf *out)
{
	const struct sealed_name name = {.suite = SUITE_XCHACHA20_POLY1305_BLAKE2B_X25519,
					 .type = SEALED_MESSAGE,
					 .account_tag = TAG,
					 .blob = BLOB};
	struct blob_sealer *sealer;
	struct plain_env plain;

	ASSERT(blob_sealer_create(plain_env_init(&plain), &name, &sealer) == ERR_OK);
	ASSERT(blob_sealer_update(sealer, bytes_string("Hello there."), out) == ERR_OK);
	ASSERT(blob_sealer_finish(sealer, out) == ERR_OK);
	blob_sealer_destroy(&sealer);
}

/* Nonce and associated data as the document has them, not as the sealer makes them. */
static void make_blob_plain(struct buf *out)
{
	uint8_t key[KEY_SIZE], nonce[NONCE_SIZE] = "aerostore frame", associated[48] = {1, 1};
	struct buf blob = {0};

	nonce[23] = 1;
	format_example_octets(0x10, key, sizeof(key));
	format_example_octets(0xb0, associated + 8, 16);
	format_example_octets(0xa0, associated + 32, 16);
	make_blob(&blob);
	ASSERT(aead_open(key, nonce, bytes_make(associated, sizeof(associated)),
			 bytes_of_buf(&blob), out) == ERR_OK);
	buf_finish(&blob);
}

static void make_body(struct buf *out)
{
	ASSERT(payload_pack(bytes_string("a plaintext"), out) == ERR_OK);
}

static void make_payload(struct buf *out)
{
	const struct id128 use = USE;
	struct key *key = key_of(0x10);

	ASSERT(payload_seal(key, LABEL_PAGE, bytes_of_id(&use), bytes_string("(associated)"),
			    bytes_string("a plaintext"), out) == ERR_OK);
	key_release(&key);
}

static void make_wrapped(struct buf *out)
{
	const struct id128 use = USE;
	uint8_t plain[KEY_SIZE], wrapped[WRAPPED_KEY_SIZE];
	struct key *key = key_of(0x10);

	format_example_octets(0x30, plain, sizeof(plain));
	key_wrap(key, LABEL_BLOB_KEY, bytes_of_id(&use), plain, wrapped);
	buf_put(out, wrapped, sizeof(wrapped));
	key_release(&key);
}

static void make_envelope(struct buf *out)
{
	struct key *delivery = key_of(0x30);
	struct envelope_sender *sender;
	uint8_t public_key[X25519_SIZE];
	struct plain_env plain;

	x25519_public(delivery, public_key);
	ASSERT(envelope_sender_create(plain_env_init(&plain), 1, &sender) == ERR_OK);
	ASSERT(envelope_seal(sender, public_key, ACCOUNT, USE, bytes_string("(associated)"),
			     bytes_string("a plaintext"), out) == ERR_OK);
	envelope_sender_destroy(&sender);
	key_release(&delivery);
}

static void make_slot(struct buf *out)
{
	const struct slot_info info = {
		.kind = SLOT_PASSWORD, .slot_id = 1, .parameters = {1, 8}, .created_ms = CLOCK};
	struct key *master = key_of(0x10);
	struct plain_env plain;

	ASSERT(slot_create(plain_env_init(&plain), &info, CLUSTER, ACCOUNT,
			   bytes_string("open sesame"), master, out) == ERR_OK);
	key_release(&master);
}

/* ---- accounts ---- */

static void make_birth(struct buf *out)
{
	struct key *admin = key_of(0x50), *master = key_of(0x10);
	struct account_keys keys;
	struct plain_env plain;
	struct id128 account;

	ASSERT(account_keys_derive(master, &keys) == ERR_OK);
	ASSERT(account_make_birth(plain_env_init(&plain), admin, CLUSTER,
				  bytes_string("bob@example.org"), &keys, &account, out) == ERR_OK);
	account_keys_release(&keys);
	key_release(&master);
	key_release(&admin);
}

static void make_status(struct buf *out)
{
	const struct account_record account = {.id = ACCOUNT};
	struct key *admin = key_of(0x50);

	ASSERT(account_make_status(admin, CLUSTER, &account, ACCOUNT_DISABLED, CLOCK, out) ==
	       ERR_OK);
	key_release(&admin);
}

static void make_slots(struct buf *out)
{
	struct key *master = key_of(0x10);
	struct account_keys keys;
	struct buf slot = {0};
	struct bytes slots[1];

	make_slot(&slot);
	slots[0] = bytes_of_buf(&slot);
	ASSERT(account_keys_derive(master, &keys) == ERR_OK);
	ASSERT(account_make_slots(keys.identity, CLUSTER, ACCOUNT, 1, true, slots, 1, out) ==
	       ERR_OK);
	account_keys_release(&keys);
	key_release(&master);
	buf_finish(&slot);
}

static void make_keys(struct buf *out)
{
	struct key *master = key_of(0x10), *next_master = key_of(0x30);
	struct account_keys keys, next;

	ASSERT(account_keys_derive(master, &keys) == ERR_OK);
	ASSERT(account_keys_derive(next_master, &next) == ERR_OK);
	ASSERT(account_make_keys(keys.identity, CLUSTER, ACCOUNT, 2, &next, true, NULL, 0, out) ==
	       ERR_OK);
	account_keys_release(&keys);
	account_keys_release(&next);
	key_release(&master);
	key_release(&next_master);
}

/* ---- deliveries ---- */

static struct blob_ref small_blob(void)
{
	return (struct blob_ref){
		.id = BLOB, .size = 4112, .extents = {{SET, 0, 1}}, .extent_count = 1};
}

static void make_delivery(struct buf *out)
{
	struct delivery_content content = {.blob = small_blob(),
					   .arrival_ms = CLOCK,
					   .plain_size = 12,
					   .folder = bytes_string("Lists"),
					   .summary = bytes_string("(s.)")};

	format_example_octets(0x10, content.blob_key, sizeof(content.blob_key));
	format_example_octets(0x70, content.transaction_hash, sizeof(content.transaction_hash));
	delivery_content_encode(&content, out);
}

static void make_delivery_place(struct buf *out)
{
	const struct blob_ref blob = small_blob();
	const struct delivery_place place = {.account = ACCOUNT,
					     .stream = STREAM,
					     .incarnation = INCARNATION,
					     .blob_incarnation = OTHER,
					     .seq = 1,
					     .floor = 43,
					     .blob = &blob};

	delivery_place_encode(&place, out);
}

/* ---- operations, and the state that they make ---- */

static void put_folder(struct buf *out)
{
	const struct operation folder = {.kind = OPERATION_FOLDER,
					 .folder = FOLDER,
					 .create = {.name = bytes_string("INBOX"),
						    .uidvalidity = 1700000000,
						    .fixed = true}};
	struct operation key = {.kind = OPERATION_FOLDER_KEY, .folder = FOLDER, .key.epoch = EPOCH};

	format_example_octets(0x30, key.key.wrapped, WRAPPED_KEY_SIZE);
	operation_encode(&folder, out);
	operation_encode(&key, out);
}

static void put_message(struct buf *out)
{
	const struct bytes keyword = bytes_string("$Work");
	struct operation reserve = {.kind = OPERATION_RESERVE, .folder = FOLDER, .uid = 1024};
	struct operation add = {.kind = OPERATION_ADD,
				.folder = FOLDER,
				.add = {.id = BLOB,
					.uid = 1,
					.blob = small_blob(),
					.epoch = EPOCH,
					.size = 12,
					.arrival_ms = CLOCK,
					.zone_minutes = 60,
					.system = FLAG_SEEN,
					.delivered = true,
					.summary = bytes_string("(s.)")}};
	struct buf names = {0};

	name_list_make(&keyword, 1, &names, &add.add.keywords);
	format_example_octets(0x60, add.add.wrapped_key, WRAPPED_KEY_SIZE);
	format_example_octets(0x70, add.add.transaction_hash, 16);
	operation_encode(&reserve, out);
	operation_encode(&add, out);
	buf_finish(&names);
}

static void put_changes(struct buf *out)
{
	const struct uid_run run = {1, 1};
	const struct operation flags = {
		.kind = OPERATION_FLAGS,
		.folder = FOLDER,
		.runs = &run,
		.run_count = 1,
		.flags = {.system_set = FLAG_FLAGGED, .system_clear = FLAG_SEEN}};
	struct operation drained = {.kind = OPERATION_DRAINED,
				    .drained = {.incarnation = OTHER, .seq = 9}};

	format_example_octets(0x40, drained.drained.digest, 32);
	operation_encode(&flags, out);
	operation_encode(&drained, out);
}

static void put_operations(const struct vector *context, struct buf *out)
{
	const struct id128 before = format_example_id(0xd0);
	const struct operation_head head = {.clock = CLOCK,
					    .context = context,
					    .node = format_example_id(0xe0),
					    .mended = true,
					    .ended = &before,
					    .ended_count = 1};

	operation_head_encode(&head, out);
	put_folder(out);
	put_message(out);
	put_changes(out);
}

static void make_operations(struct buf *out)
{
	struct vector_item item = {OTHER, 4};
	const struct vector context = {&item, 1, 1};

	put_operations(&context, out);
}

/* The account after this one entry, cut into pages. */
struct example_state {
	struct plain_env env;
	struct account_state state;
	struct summaries *summaries;
};

static void state_begin(struct example_state *example)
{
	static const struct account_listener nobody;
	const struct vector nothing = {NULL, 0, 0};
	struct buf plain = {0};
	struct collection *messages;

	account_state_init(&example->state, &nobody);
	ASSERT(summaries_create(plain_env_init(&example->env), NULL, TAG, &example->summaries) ==
	       ERR_OK);
	put_operations(&nothing, &plain);
	ASSERT(account_state_apply(&example->state, INCARNATION, 1, bytes_of_buf(&plain)) ==
	       ERR_OK);
	buf_finish(&plain);
	messages = &example->state.folders[0]->messages;
	ASSERT(pages_partition(messages) == ERR_OK && messages->page_count == 1);
	messages->pages[0].page = format_example_id(0x90);
}

static void state_end(struct example_state *example)
{
	account_state_finish(&example->state);
	summaries_destroy(&example->summaries);
}

static void make_keyring(struct buf *out)
{
	uint8_t directory[KEY_SIZE], delivery[KEY_SIZE];
	struct mailbox mailbox = {0};

	mailbox.keys.directory = key_of(0x70);
	format_example_octets(0x10, directory, sizeof(directory));
	format_example_octets(0x30, delivery, sizeof(delivery));
	ASSERT(mailbox_add_old_keys(&mailbox, directory, delivery) == ERR_OK);
	keyring_encode(&mailbox, NULL, out);
	key_release(&mailbox.keys.directory);
	key_release(&mailbox.old[0].directory);
	key_release(&mailbox.old[0].delivery);
	envelope_opener_destroy(&mailbox.old[0].opener);
	memory_free(mailbox.old);
}

static void make_root(struct buf *out)
{
	const struct id128 list = format_example_id(0xb0);
	const struct mailbox mailbox = {0};
	struct example_state example;

	state_begin(&example);
	keyring_encode(&mailbox, NULL, out);
	root_encode(&example.state, example.summaries, &list, 1, out);
	state_end(&example);
}

static void make_message_page(struct buf *out)
{
	struct example_state example;

	state_begin(&example);
	message_page_encode(example.state.folders[0], 0, example.summaries, out);
	state_end(&example);
}

/* A second entry: the message gets another UID, a repetition is dropped. */
static void change_more(struct example_state *example)
{
	const struct operation_head head = {.clock = CLOCK + 1};
	const struct operation stamp = {
		.kind = OPERATION_STAMP, .folder = FOLDER, .stamp = {.old_uid = 1, .new_uid = 3}};
	const struct operation dropped = {
		.kind = OPERATION_DROPPED, .folder = FOLDER, .dropped = OTHER};
	struct buf plain = {0};

	operation_head_encode(&head, &plain);
	operation_encode(&stamp, &plain);
	operation_encode(&dropped, &plain);
	ASSERT(account_state_apply(&example->state, INCARNATION, 2, bytes_of_buf(&plain)) ==
	       ERR_OK);
	buf_finish(&plain);
}

static void make_list_page(struct buf *out)
{
	struct example_state example;
	size_t item = 0;

	state_begin(&example);
	change_more(&example);
	list_page_encode(&example.state, &item, out);
	ASSERT(item == SIZE_MAX);
	state_end(&example);
}

static void make_cache_block(struct buf *out)
{
	const struct summary_item item = {BLOB, bytes_string("(s.)")};

	summaries_block_encode(&item, 1, out);
}

static void make_summary(struct buf *out)
{
	ASSERT(summary_of_message(bytes_string("From: bob@example.org\n"
					       "Date: Wed, 15 Nov 2023 00:13:20 +0200\n"
					       "\n"
					       "Hello there.\n"),
				  out) == ERR_OK);
}

static const struct format_example examples[] = {
	{"keys/blob-plain", make_blob_plain},
	{"keys/blob", make_blob},
	{"keys/body", make_body},
	{"keys/payload", make_payload},
	{"keys/wrapped", make_wrapped},
	{"keys/envelope", make_envelope},
	{"keys/slot", make_slot},
	{"account/birth", make_birth},
	{"account/status", make_status},
	{"account/slots", make_slots},
	{"account/keys", make_keys},
	{"mail/delivery", make_delivery},
	{"mail/delivery-place", make_delivery_place},
	{"mail/operations", make_operations},
	{"mail/keyring", make_keyring},
	{"mail/root", make_root},
	{"mail/message-page", make_message_page},
	{"mail/list-page", make_list_page},
	{"mail/cache-block", make_cache_block},
	{"mail/summary", make_summary},
};

int main(int argc, char **argv)
{
	static const char *const groups[] = {"keys", "account", "mail", NULL};

	if (key_library_init() != ERR_OK)
		return 1;
	return format_example_main(argc, argv, examples, sizeof(examples) / sizeof(examples[0]),
				   groups);
}
