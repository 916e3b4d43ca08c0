/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The mailbox's formats, as they are once decrypted. The first byte chooses: an entry's operations;
 * two entries applied in both orders; the root of a snapshot; a list page; a message page; a cache
 * block; the keyring in front of a root. What many states make of each other is fuzz_merge.c's.
 */
#include "engine/base/memory.h"
#include "engine/mailbox/internal.h"
#include "engine/mailbox/operation.h"
#include "engine/mailbox/pages.h"
#include "fuzz/fuzz.h"
#include "tests/support/unit_env.h"

static struct unit_env env;

struct store {
	struct summaries *summaries;
	struct account_state state;
};

static void store_init(struct store *store)
{
	struct account_listener listener = {
		.added = summaries_added, .removed = summaries_removed, .block = summaries_block};

	unit_env_init(&env, 1);
	ASSERT(summaries_create(&env.env, NULL, ID128_ZERO, &store->summaries) == ERR_OK);
	listener.context = store->summaries;
	account_state_init(&store->state, &listener);
}

static void store_finish(struct store *store)
{
	account_state_finish(&store->state);
	summaries_destroy(&store->summaries);
}

/* What was read, written again, is what was read. */
static void check_operations(struct bytes plain)
{
	struct operation_reader reader;
	struct operation_head head = {0};
	struct operation operation;
	struct buf again = {0};
	bool more = true;
	enum err err = operation_reader_begin(plain, &reader);

	if (err == ERR_OK) {
		head.clock = reader.clock;
		head.context = reader.has_context ? &reader.context : NULL;
		head.node = reader.node;
		head.mended = reader.mended;
		head.ended = reader.ended;
		head.ended_count = reader.ended_count;
		head.continues = reader.continues;
		head.continued = reader.continued;
		memcpy(head.previous, reader.previous, sizeof(head.previous));
		operation_head_encode(&head, &again);
	}
	while (err == ERR_OK && more) {
		err = operation_reader_next(&reader, &operation, &more);
		if (err == ERR_OK && more)
			operation_encode(&operation, &again);
	}
	if (err == ERR_OK)
		fuzz_assert_equal(bytes_of_buf(&again), plain);
	operation_reader_finish(&reader);
	buf_finish(&again);
}

static void apply(struct bytes first, struct id128 first_writer, struct bytes second,
		  struct id128 second_writer, struct buf *root)
{
	struct store store;

	store_init(&store);
	if (account_state_apply(&store.state, first_writer, 1, first) == ERR_OK &&
	    account_state_apply(&store.state, second_writer, 1, second) == ERR_OK)
		root_encode(&store.state, store.summaries, NULL, 0, root);
	store_finish(&store);
}

/*
 * Whether nothing in it builds on what another entry made. A writer that names a folder or a UID
 * has a context with it; of one that lies, what its entry does depends on what is there already.
 */
static bool stands_alone(struct bytes plain)
{
	struct operation_reader reader;
	struct operation operation;
	bool more = true, alone = true;
	enum err err = operation_reader_begin(plain, &reader);

	while (err == ERR_OK && more && alone) {
		err = operation_reader_next(&reader, &operation, &more);
		if (err == ERR_OK && more)
			alone = operation.kind == OPERATION_FOLDER ||
				operation.kind == OPERATION_SUBSCRIBE ||
				operation.kind == OPERATION_DRAINED;
	}
	operation_reader_finish(&reader);
	return alone;
}

static void check_apply(struct bytes input)
{
	static const struct id128 one = {{1}}, other = {{2}};
	struct cursor cursor = cursor_make(input);
	struct bytes first = cursor_take(&cursor, cursor_u16(&cursor)), second = fuzz_rest(&cursor);
	struct buf forwards = {0}, backwards = {0};

	apply(first, one, second, other, &forwards);
	apply(second, other, first, one, &backwards);
	/* Writers are numbered as they come, so the bytes may differ; what there is may not. */
	if (stands_alone(first) && stands_alone(second))
		ASSERT(forwards.size == backwards.size);
	buf_finish(&forwards);
	buf_finish(&backwards);
}

static void check_root(struct bytes plain)
{
	struct cursor cursor = cursor_make(plain);
	struct root root = {0};
	struct store store;

	store_init(&store);
	if (root_decode(&cursor, &store.state, store.summaries, &root) == ERR_OK)
		ASSERT(root.page_count <= plain.size / sizeof(struct id128));
	root_finish(&root);
	store_finish(&store);
}

static void check_list_page(struct bytes plain)
{
	struct store store;

	store_init(&store);
	(void)!list_page_decode(&store.state, plain);
	store_finish(&store);
}

static void check_message_page(struct bytes plain)
{
	static const struct id128 id = {{3}};
	struct folder *folder;
	struct store store;

	store_init(&store);
	ASSERT(account_state_make_folder(&store.state, id, &folder) == ERR_OK);
	(void)!message_page_decode(&store.state, folder, store.summaries, plain);
	store_finish(&store);
}

/* Every summary that the index names lies within the block, behind its blob's id. */
static void check_cache_block(struct bytes plain)
{
	struct map offsets;
	const void *blob;
	size_t position = 0;
	uintptr_t offset;

	map_init(&offsets, sizeof(struct id128));
	if (summaries_block_decode(plain, &offsets) == ERR_OK) {
		while ((offset = (uintptr_t)map_next(&offsets, &position, &blob)) != 0) {
			struct cursor cursor =
				cursor_make(bytes_slice(plain, offset - 1, SIZE_MAX));

			(void)cursor_block(&cursor);
			ASSERT(cursor.err == ERR_OK);
			ASSERT(memcmp(plain.data + offset - 1 - sizeof(struct id128), blob,
				      sizeof(struct id128)) == 0);
		}
	}
	map_finish(&offsets);
}

/* Keys that are there already are not taken twice; all others are kept, in their order. */
static void check_keyring(struct bytes plain)
{
	struct mailbox *mailbox = memory_allocate(sizeof(*mailbox));
	struct cursor cursor = cursor_make(plain);
	uint8_t zeros[KEY_SIZE] = {0};

	ASSERT(mailbox != NULL && key_library_init() == ERR_OK);
	ASSERT(key_import(zeros, &mailbox->keys.directory) == ERR_OK);
	if (keyring_decode(mailbox, &cursor) == ERR_OK) {
		ASSERT(mailbox->old_count * 2 * KEY_SIZE < cursor.offset);
		for (size_t i = 1; i <= mailbox->old_count; i++)
			for (size_t j = 0; j < i; j++)
				ASSERT(!key_equal(mailbox_directory_key(mailbox, i),
						  mailbox_directory_key(mailbox, j)));
	}
	for (size_t i = 0; i < mailbox->old_count; i++) {
		envelope_opener_destroy(&mailbox->old[i].opener);
		key_release(&mailbox->old[i].directory);
		key_release(&mailbox->old[i].delivery);
	}
	key_release(&mailbox->keys.directory);
	memory_free(mailbox->old);
	memory_free(mailbox);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct bytes) = {
		check_operations,   check_apply,       check_root,   check_list_page,
		check_message_page, check_cache_block, check_keyring};

	if (size != 0)
		checks[data[0] % (sizeof(checks) / sizeof(checks[0]))](
			bytes_make(data + 1, size - 1));
	return 0;
}
