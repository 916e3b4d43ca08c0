/* SPDX-License-Identifier: MPL-2.0 */
#include "engine/mailbox/account_state.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/memory.h"
#include "engine/mailbox/array.h"
#include "engine/plant.h"

static enum err copy_text(struct bytes text, char **out)
{
	char *copy = memory_allocate(text.size + 1);

	if (!copy)
		return ERR_NOMEM;
	if (text.size)
		memcpy(copy, text.data, text.size);
	memory_free(*out);
	*out = copy;
	return ERR_OK;
}

void account_state_init(struct account_state *state, const struct account_listener *listener)
{
	*state = (struct account_state){.folders_version = 1};
	if (listener)
		state->listener = *listener;
}

static void folder_destroy(struct folder *folder)
{
	collection_finish(&folder->messages);
	memory_free(folder->name);
	memory_free(folder->keys);
	memory_free(folder);
}

void account_state_finish(struct account_state *state)
{
	for (size_t i = 0; i < state->folder_count; i++)
		folder_destroy(state->folders[i]);
	for (size_t i = 0; i < state->subscription_count; i++)
		memory_free(state->subscriptions[i].name);
	for (size_t i = 0; i < state->held_count; i++)
		buf_finish(&state->held[i].plain);
	memory_free(state->folders);
	horizons_finish(&state->horizons);
	past_names_finish(&state->past_names);
	memory_free(state->writers.ids);
	memory_free(state->deleted_folders);
	memory_free(state->subscriptions);
	memory_free(state->drained);
	memory_free(state->transactions);
	id_index_finish(&state->transaction_ids);
	memory_free(state->held);
	vector_finish(&state->applied);
	*state = (struct account_state){0};
}

/* ---- small tables ---- */

enum err account_state_writer(struct account_state *state, struct id128 incarnation,
			      uint32_t *number)
{
	enum err err;

	/* From the end: the writers that matter are the latest. */
	for (size_t i = state->writers.count; i; i--) {
		if (id128_equal(state->writers.ids[i - 1], incarnation)) {
			*number = (uint32_t)(i - 1);
			return ERR_OK;
		}
	}
	err = ARRAY_GROW(state->writers.ids, state->writers.capacity, state->writers.count);
	if (err)
		return err;
	*number = (uint32_t)state->writers.count;
	state->writers.ids[*number] = incarnation;
	state->writers.count++;
	return ERR_OK;
}

static bool is_later(const struct account_state *state, struct stamp stamp, struct stamp than)
{
	if (stamp.clock != than.clock)
		return stamp.clock > than.clock;
	return !than.clock || id128_compare(state->writers.ids[stamp.writer],
					    state->writers.ids[than.writer]) >= 0;
}

static size_t folder_position(const struct account_state *state, struct id128 id)
{
	size_t low = 0, high = state->folder_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (id128_compare(state->folders[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct folder *account_state_folder(const struct account_state *state, struct id128 id)
{
	size_t position = folder_position(state, id);

	if (position < state->folder_count && id128_equal(state->folders[position]->id, id))
		return state->folders[position];
	return NULL;
}

enum err account_state_make_folder(struct account_state *state, struct id128 id,
				   struct folder **out)
{
	size_t position = folder_position(state, id);
	struct folder *folder;
	enum err err;

	if (account_state_folder(state, id))
		return ERR_EXISTS;
	err = ARRAY_GROW(state->folders, state->folder_capacity, state->folder_count);
	if (err)
		return err;
	folder = memory_allocate(sizeof(*folder));
	if (!folder)
		return ERR_NOMEM;
	folder->id = id;
	collection_init(&folder->messages, &state->writers);
	memmove(&state->folders[position + 1], &state->folders[position],
		(state->folder_count - position) * sizeof(*state->folders));
	state->folders[position] = folder;
	state->folder_count++;
	state->folders_version++;
	*out = folder;
	return ERR_OK;
}

enum err folder_set_name(struct folder *folder, struct bytes name)
{
	return copy_text(name, &folder->name);
}

enum err folder_put_key(struct folder *folder, const struct folder_key *key)
{
	enum err err;

	for (size_t i = 0; i < folder->key_count; i++) {
		if (folder->keys[i].epoch == key->epoch) {
			folder->keys[i] = *key;
			return ERR_OK;
		}
	}
	err = ARRAY_GROW(folder->keys, folder->key_capacity, folder->key_count);
	if (!err)
		folder->keys[folder->key_count++] = *key;
	return err;
}

bool account_state_deleted(const struct account_state *state, struct id128 id)
{
	for (size_t i = 0; i < state->deleted_count; i++) {
		if (id128_equal(state->deleted_folders[i], id))
			return true;
	}
	return false;
}

enum err account_state_put_deleted(struct account_state *state, struct id128 folder)
{
	enum err err =
		ARRAY_GROW(state->deleted_folders, state->deleted_capacity, state->deleted_count);

	if (!err)
		state->deleted_folders[state->deleted_count++] = folder;
	return err;
}

static size_t subscription_position(const struct account_state *state, struct bytes name)
{
	size_t low = 0, high = state->subscription_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bytes_compare(bytes_string(state->subscriptions[middle].name), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct subscription *account_state_subscription(const struct account_state *state,
						      struct bytes name)
{
	size_t i = subscription_position(state, name);

	if (i < state->subscription_count &&
	    bytes_equal(bytes_string(state->subscriptions[i].name), name))
		return &state->subscriptions[i];
	return NULL;
}

enum err account_state_put_subscription(struct account_state *state, struct bytes name,
					bool subscribed, struct stamp stamp)
{
	size_t i = subscription_position(state, name);
	struct subscription *at;
	char *copy = NULL;
	enum err err;

	if (!account_state_subscription(state, name)) {
		err = ARRAY_GROW(state->subscriptions, state->subscription_capacity,
				 state->subscription_count);
		if (!err)
			err = copy_text(name, &copy);
		if (err)
			return err;
		memmove(&state->subscriptions[i + 1], &state->subscriptions[i],
			(state->subscription_count - i) * sizeof(*state->subscriptions));
		state->subscriptions[i] = (struct subscription){.name = copy};
		state->subscription_count++;
	}
	at = &state->subscriptions[i];
	if (is_later(state, stamp, at->stamp)) {
		at->stamp = stamp;
		at->subscribed = subscribed;
		state->folders_version++;
	}
	return ERR_OK;
}

static size_t drained_position(const struct account_state *state, struct id128 incarnation)
{
	size_t i = 0;

	while (i < state->drained_count &&
	       id128_compare(state->drained[i].incarnation, incarnation) < 0)
		i++;
	return i;
}

const struct operation_drained *account_state_drained(const struct account_state *state,
						      struct id128 incarnation)
{
	size_t i = drained_position(state, incarnation);

	if (i < state->drained_count && id128_equal(state->drained[i].incarnation, incarnation))
		return &state->drained[i];
	return NULL;
}

enum err account_state_put_drained(struct account_state *state,
				   const struct operation_drained *drained)
{
	size_t i = drained_position(state, drained->incarnation);
	enum err err;

	if (account_state_drained(state, drained->incarnation)) {
		if (drained->seq > state->drained[i].seq)
			state->drained[i] = *drained;
		return ERR_OK;
	}
	err = ARRAY_GROW(state->drained, state->drained_capacity, state->drained_count);
	if (err)
		return err;
	memmove(&state->drained[i + 1], &state->drained[i],
		(state->drained_count - i) * sizeof(*state->drained));
	state->drained[i] = *drained;
	state->drained_count++;
	return ERR_OK;
}

/* ---- repetitions ---- */

static struct id_items transaction_items(const struct account_state *state)
{
	return (struct id_items){state->transactions, sizeof(*state->transactions)};
}

static uint32_t find_transaction(const struct account_state *state, const uint8_t hash[16])
{
	struct id128 id;

	memcpy(id.octets, hash, sizeof(id.octets));
	return id_index_find(&state->transaction_ids, transaction_items(state), id);
}

bool account_state_repeats(const struct account_state *state, const uint8_t hash[16],
			   uint64_t arrival_ms)
{
	uint32_t found = find_transaction(state, hash);
	uint64_t before;

	if (found == ID_INDEX_NONE)
		return false;
	before = state->transactions[found].arrival_ms;
	return before < arrival_ms ? arrival_ms - before <= REPETITION_MS
				   : before - arrival_ms <= REPETITION_MS;
}

enum err account_state_put_transaction(struct account_state *state, const uint8_t hash[16],
				       uint64_t arrival_ms)
{
	uint32_t found = find_transaction(state, hash);
	struct transaction *at;
	enum err err;

	if (found != ID_INDEX_NONE) {
		if (arrival_ms > state->transactions[found].arrival_ms)
			state->transactions[found].arrival_ms = arrival_ms;
		return ERR_OK;
	}
	err = ARRAY_GROW(state->transactions, state->transaction_capacity,
			 state->transaction_count);
	if (!err)
		err = id_index_reserve(&state->transaction_ids, transaction_items(state));
	if (err)
		return err;
	at = &state->transactions[state->transaction_count];
	memcpy(at->hash.octets, hash, sizeof(at->hash.octets));
	at->arrival_ms = arrival_ms;
	id_index_put(&state->transaction_ids, transaction_items(state),
		     (uint32_t)state->transaction_count);
	state->transaction_count++;
	return ERR_OK;
}

void account_state_prune(struct account_state *state)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < state->transaction_count; i++) {
		if (state->transactions[i].arrival_ms > newest)
			newest = state->transactions[i].arrival_ms;
	}
	for (size_t i = state->transaction_count; i; i--) {
		uint32_t at = (uint32_t)(i - 1), last = (uint32_t)(state->transaction_count - 1);

		if (newest - state->transactions[at].arrival_ms <= REPETITION_MS)
			continue;
		id_index_remove(&state->transaction_ids, transaction_items(state), at);
		if (at != last) {
			id_index_remove(&state->transaction_ids, transaction_items(state), last);
			state->transactions[at] = state->transactions[last];
			id_index_put(&state->transaction_ids, transaction_items(state), at);
		}
		state->transaction_count--;
	}
}

/* ---- what may be forgotten ---- */

struct forgetting {
	const struct account_state *state;
	const struct vector *stable;
};

static bool is_unneeded(void *context, struct entry_mark expunged)
{
	const struct forgetting *forgetting = context;
	const struct account_state *state = forgetting->state;

	if (vector_get(forgetting->stable, state->writers.ids[expunged.writer]) < expunged.seq)
		return false;
	for (size_t i = 0; i < state->horizons.count; i++) {
		if (!horizon_covers(&state->horizons.items[i], &state->writers, expunged))
			return false;
	}
	return true;
}

void account_state_forget(struct account_state *state, const struct vector *stable)
{
	struct forgetting forgetting = {state, stable};

	for (size_t i = 0; i < state->folder_count; i++)
		collection_forget(&state->folders[i]->messages, is_unneeded, &forgetting);
}

/* ---- operations ---- */

void account_state_raise_uidvalidity(struct account_state *state, struct folder *folder,
				     uint32_t uidvalidity)
{
	if (uidvalidity <= folder->uidvalidity)
		return;
	folder->uidvalidity = uidvalidity;
	state->folders_version++;
}

/* Also of a folder that is deleted already: somebody may have been shown it. */
static enum err note_uidvalidity(struct account_state *state, const struct operation *operation)
{
	const struct operation_folder *create = &operation->create;

	if (create->uidvalidity > state->uidvalidity_top)
		state->uidvalidity_top = create->uidvalidity;
	return past_names_put(&state->past_names, create->name, operation->folder,
			      create->uidvalidity);
}

static enum err make_folder(struct account_state *state, const struct operation *operation,
			    struct stamp stamp)
{
	struct folder *folder;
	enum err err = account_state_make_folder(state, operation->folder, &folder);

	/* INBOX and the other first folders may be made by two homes: one id, one state. */
	if (err == ERR_EXISTS) {
		folder = account_state_folder(state, operation->folder);
		account_state_raise_uidvalidity(state, folder, operation->create.uidvalidity);
	} else if (err) {
		return err;
	} else {
		folder->uidvalidity = operation->create.uidvalidity;
		folder->special_use = (enum special_use)operation->create.special_use;
		folder->fixed = operation->create.fixed;
	}
	return account_state_name_folder(state, folder, operation->create.name, stamp);
}

enum err account_state_name_folder(struct account_state *state, struct folder *folder,
				   struct bytes name, struct stamp stamp)
{
	if (!is_later(state, stamp, folder->name_stamp))
		return ERR_OK;
	folder->name_stamp = stamp;
	state->folders_version++;
	return folder_set_name(folder, name);
}

enum err account_state_delete_folder(struct account_state *state, struct id128 id)
{
	size_t position = folder_position(state, id);
	struct folder *folder = account_state_folder(state, id);
	enum err err = account_state_put_deleted(state, id);

	if (err || !folder)
		return err;
	for (size_t i = 0; i < folder->messages.count && state->listener.removed; i++)
		state->listener.removed(state->listener.context,
					collection_at(&folder->messages, i));
	folder_destroy(folder);
	state->folder_count--;
	memmove(&state->folders[position], &state->folders[position + 1],
		(state->folder_count - position) * sizeof(*state->folders));
	state->folders_version++;
	return ERR_OK;
}

enum err account_state_key_folder(const struct account_state *state, struct folder *folder,
				  const struct folder_key *key)
{
	for (size_t i = 0; i < folder->key_count; i++) {
		if (folder->keys[i].epoch == key->epoch &&
		    !is_later(state, key->stamp, folder->keys[i].stamp))
			return ERR_OK;
	}
	return folder_put_key(folder, key);
}

static enum err key_folder(const struct account_state *state, struct folder *folder,
			   const struct operation_key *key, struct stamp stamp)
{
	struct folder_key put = {.stamp = stamp, .epoch = key->epoch};

	memcpy(put.wrapped, key->wrapped, WRAPPED_KEY_SIZE);
	return account_state_key_folder(state, folder, &put);
}

static enum err add_message(struct account_state *state, struct folder *folder,
			    const struct operation_add *add, const struct touch *touch)
{
	size_t before = folder->messages.count;
	uint32_t slot;
	enum err err = collection_add(&folder->messages, add, touch, &slot);

	if (!err && add->delivered)
		err = account_state_put_transaction(state, add->transaction_hash, add->arrival_ms);
	if (!err && folder->messages.count > before && state->listener.added)
		err = state->listener.added(state->listener.context, add,
					    &folder->messages.slots[slot].cache);
	return err;
}

static bool concerns_messages(enum operation_kind kind)
{
	return kind == OPERATION_ADD || kind == OPERATION_EXPUNGE || kind == OPERATION_FLAGS ||
	       kind == OPERATION_STAMP || kind == OPERATION_TOUCH || kind == OPERATION_DROPPED;
}

/* As earlier versions renamed. */
static enum err rename_folder(struct account_state *state, struct folder *folder, struct bytes name,
			      struct stamp stamp)
{
	enum err err = past_names_put(&state->past_names, name, folder->id, folder->uidvalidity);

	return err ? err : account_state_name_folder(state, folder, name, stamp);
}

static enum err apply_in_folder(struct account_state *state, struct folder *folder,
				const struct operation *operation, const struct touch *touch)
{
	struct collection *messages = &folder->messages;
	struct stamp stamp = {touch->clock, touch->mark.writer};

	if (concerns_messages(operation->kind))
		collection_raise_modseq(messages, touch->clock);
	if (operation->kind == OPERATION_EXPUNGE || operation->kind == OPERATION_DROPPED)
		collection_touch_removals(messages, touch);
	switch (operation->kind) {
	case OPERATION_FOLDER_NAME:
		return rename_folder(state, folder, operation->name, stamp);
	case OPERATION_FOLDER_KEY:
		return key_folder(state, folder, &operation->key, stamp);
	case OPERATION_ADD:
		return add_message(state, folder, &operation->add, touch);
	case OPERATION_EXPUNGE:
		return collection_expunge(messages, operation->runs, operation->run_count, touch,
					  state->listener.removed, state->listener.context);
	case OPERATION_FLAGS:
		return collection_flags(messages, operation, touch);
	case OPERATION_STAMP:
		return collection_stamp(messages, operation->stamp.old_uid,
					operation->stamp.new_uid, touch);
	case OPERATION_TOUCH:
		collection_touch(messages, operation->runs, operation->run_count, touch);
		return ERR_OK;
	case OPERATION_RESERVE:
		collection_raise_reserve(messages, operation->uid);
		return ERR_OK;
	case OPERATION_RECENT:
		if (operation->uid > messages->recent_floor)
			messages->recent_floor = operation->uid;
		return ERR_OK;
	case OPERATION_DROPPED:
		return collection_drop(messages, operation->dropped, touch, state->listener.removed,
				       state->listener.context);
	case OPERATION_FOLDER:
	case OPERATION_FOLDER_DELETE:
	case OPERATION_SUBSCRIBE:
	case OPERATION_DRAINED:
	case OPERATION_CACHE:
		break;
	}
	return ERR_OK;
}

static enum err apply_operation(struct account_state *state, const struct operation *operation,
				const struct touch *touch)
{
	struct stamp stamp = {touch->clock, touch->mark.writer};
	struct folder *folder;

	if (operation->kind == OPERATION_SUBSCRIBE)
		return account_state_put_subscription(state, operation->subscribe.name,
						      operation->subscribe.subscribed, stamp);
	if (operation->kind == OPERATION_DRAINED)
		return account_state_put_drained(state, &operation->drained);
	if (operation->kind == OPERATION_CACHE)
		return state->listener.block
			       ? state->listener.block(state->listener.context, operation)
			       : ERR_OK;
	if (operation->kind == OPERATION_FOLDER) {
		enum err err = note_uidvalidity(state, operation);

		if (err)
			return err;
	}
	if (account_state_deleted(state, operation->folder))
		return ERR_OK;
	if (operation->kind == OPERATION_FOLDER)
		return make_folder(state, operation, stamp);
	if (operation->kind == OPERATION_FOLDER_DELETE)
		return account_state_delete_folder(state, operation->folder);
	folder = account_state_folder(state, operation->folder);
	return folder ? apply_in_folder(state, folder, operation, touch) : ERR_OK;
}

/* ---- entries ---- */

/* INV 2: everything is read once before anything is done. */
static enum err check_entry(struct bytes plain, uint64_t *clock)
{
	struct operation_reader reader;
	struct operation operation;
	bool more = true;
	enum err err = operation_reader_begin(plain, &reader);

	while (!err && more)
		err = operation_reader_next(&reader, &operation, &more);
	*clock = reader.clock;
	operation_reader_finish(&reader);
	return err;
}

/* What its writer says it had seen, from this entry on. */
static enum err take_horizon(struct account_state *state, struct operation_reader *reader,
			     struct entry_mark from)
{
	struct horizon horizon = {.from = from, .node = reader->node, .seen = reader->context};
	enum err err = horizons_add(&state->horizons, &horizon);

	if (!err)
		reader->context = (struct vector){0};
	return err;
}

static bool is_over(const struct account_state *state, const struct operation_reader *reader,
		    const struct horizon *horizon, struct entry_mark from)
{
	struct id128 writer = state->writers.ids[horizon->from.writer];

	if (horizon->from.writer == from.writer)
		return horizon->from.seq != from.seq;
	if (!horizon_covers(horizons_named(&state->horizons, from), &state->writers, horizon->from))
		return false;
	for (size_t i = 0; i < reader->ended_count; i++) {
		if (id128_equal(reader->ended[i], writer))
			return true;
	}
	return false;
}

/* horizon.h: those that are over are taken out. */
static void mend_horizon(struct account_state *state, const struct operation_reader *reader,
			 struct entry_mark from)
{
	for (size_t i = state->horizons.count; i; i--) {
		if (is_over(state, reader, &state->horizons.items[i - 1], from))
			horizons_remove(&state->horizons, i - 1);
	}
	horizons_named(&state->horizons, from)->mended = true;
}

static enum err apply_operations(struct account_state *state, struct operation_reader *reader,
				 const struct touch *touch)
{
	struct operation operation;
	bool more = true;
	enum err err;

	do {
		err = operation_reader_next(reader, &operation, &more);
		if (!err && more)
			err = apply_operation(state, &operation, touch);
	} while (!err && more);
	return err;
}

static enum err apply_now(struct account_state *state, struct id128 incarnation, uint64_t seq,
			  struct bytes plain)
{
	struct operation_reader reader;
	struct touch touch = {0};
	enum err err = operation_reader_begin(plain, &reader);

	if (!err)
		err = account_state_writer(state, incarnation, &touch.mark.writer);
	touch.clock = reader.clock;
	touch.mark.seq = (uint32_t)seq;
	if (!err && reader.has_context)
		err = take_horizon(state, &reader, touch.mark);
	if (!err)
		err = vector_raise(&state->applied, incarnation, seq);
	if (!err)
		err = apply_operations(state, &reader, &touch);
	if (!err && reader.mended)
		mend_horizon(state, &reader, touch.mark);
	if (touch.clock > state->clock)
		state->clock = touch.clock;
	operation_reader_finish(&reader);
	return err;
}

/* ---- entries that wait ---- */

/* Whether all that the entry builds on is in; of one to be skipped nothing does. */
static bool has_context(const struct account_state *state, struct bytes plain)
{
	struct operation_reader reader;
	bool ready = true;

	if (!plain.size)
		return true;
	if (!operation_reader_begin(plain, &reader) && reader.has_context)
		ready = vector_covers(&state->applied, &reader.context);
	operation_reader_finish(&reader);
	return ready;
}

static struct held_entry *find_held(const struct account_state *state, struct id128 incarnation,
				    uint64_t seq)
{
	for (size_t i = 0; i < state->held_count; i++) {
		if (state->held[i].seq == seq &&
		    id128_equal(state->held[i].incarnation, incarnation))
			return &state->held[i];
	}
	return NULL;
}

/* R3: what it gives out is given out, whatever becomes of it. */
static enum err raise_floors(struct account_state *state, struct operation_reader *reader)
{
	struct operation operation;
	bool more = true;
	enum err err = ERR_OK;

	if (reader->clock > state->clock)
		state->clock = reader->clock;
	while (!err && more) {
		struct folder *folder;
		uint32_t uid = 0;

		err = operation_reader_next(reader, &operation, &more);
		if (err || !more)
			break;
		if (operation.kind == OPERATION_ADD)
			uid = operation.add.uid;
		else if (operation.kind == OPERATION_STAMP)
			uid = operation.stamp.new_uid;
		else if (operation.kind == OPERATION_RESERVE)
			uid = operation.uid;
		folder = account_state_folder(state, operation.folder);
		if (folder)
			collection_raise_reserve(&folder->messages, uid);
	}
	return err;
}

static enum err hold(struct account_state *state, struct id128 incarnation, uint64_t seq,
		     struct bytes plain)
{
	struct operation_reader reader = {.mended = false};
	struct held_entry *entry;
	enum err err;

	if (find_held(state, incarnation, seq))
		return ERR_OK;
	if (state->held_count == HELD_MAX)
		return ERR_LIMIT;
	err = ARRAY_GROW(state->held, state->held_capacity, state->held_count);
	if (!err && plain.size)
		err = operation_reader_begin(plain, &reader);
	if (!err && plain.size)
		err = raise_floors(state, &reader);
	if (!err) {
		entry = &state->held[state->held_count];
		*entry = (struct held_entry){.incarnation = incarnation,
					     .seq = seq,
					     .continues = reader.continues,
					     .continued = reader.continued};
		buf_put_bytes(&entry->plain, plain);
		err = entry->plain.err;
	}
	if (!err)
		state->held_count++;
	operation_reader_finish(&reader);
	return err;
}

static void drop_held(struct account_state *state, struct held_entry *entry)
{
	buf_finish(&entry->plain);
	*entry = state->held[--state->held_count];
}

/* The last of the entries that belong to the group of `first`; NULL: it has not come. *whole: they
 * take effect. */
static struct held_entry *end_of_group(const struct account_state *state, struct held_entry *first,
				       bool *whole)
{
	struct held_entry *last = first, *next;

	*whole = first->plain.size && !first->continued;
	while (last->continues) {
		next = find_held(state, first->incarnation, last->seq + 1);
		if (!next)
			return NULL;
		/* Its writer gave it up. */
		if (!next->continued) {
			*whole = false;
			return last;
		}
		*whole &= next->plain.size != 0;
		last = next;
	}
	return last;
}

/* One of a group that takes no effect. */
static enum err pass_over(struct account_state *state, const struct held_entry *entry)
{
	struct operation_reader reader = {.mended = false};
	enum err err = ERR_OK;

	if (entry->plain.size)
		err = operation_reader_begin(bytes_of_buf(&entry->plain), &reader);
	if (!err && entry->plain.size)
		err = raise_floors(state, &reader);
	operation_reader_finish(&reader);
	return err ? err : vector_raise(&state->applied, entry->incarnation, entry->seq);
}

static enum err end_held(struct account_state *state, struct id128 incarnation, uint64_t last,
			 bool whole)
{
	enum err err = ERR_OK;

	for (uint64_t seq = vector_get(&state->applied, incarnation) + 1; seq <= last && !err;
	     seq++) {
		struct held_entry *entry = find_held(state, incarnation, seq);

		err = whole ? apply_now(state, incarnation, seq, bytes_of_buf(&entry->plain))
			    : pass_over(state, entry);
		drop_held(state, find_held(state, incarnation, seq));
	}
	return err;
}

/* Entries that waited for what has just come. */
static enum err release_held(struct account_state *state)
{
	for (size_t i = 0; i < state->held_count;) {
		struct held_entry *first = &state->held[i], *last;
		uint64_t applied = vector_get(&state->applied, first->incarnation);
		bool whole;
		enum err err;

		if (applied >= first->seq) {
			drop_held(state, first);
			i = 0;
			continue;
		}
		if (applied + 1 != first->seq || !has_context(state, bytes_of_buf(&first->plain)) ||
		    !(last = end_of_group(state, first, &whole))) {
			i++;
			continue;
		}
		err = end_held(state, first->incarnation, last->seq, whole);
		if (err)
			return err;
		i = 0;
	}
	return ERR_OK;
}

/* One that waits for nothing is not copied. */
static bool stands_alone(const struct account_state *state, struct id128 incarnation, uint64_t seq,
			 struct bytes plain)
{
	struct operation_reader reader;
	bool alone;

	if (vector_get(&state->applied, incarnation) + 1 != seq)
		return false;
	alone = !operation_reader_begin(plain, &reader) &&
		((!reader.continues && !reader.continued) || PLANTED(group_in_parts));
	operation_reader_finish(&reader);
	return alone && has_context(state, plain);
}

enum err account_state_apply(struct account_state *state, struct id128 incarnation, uint64_t seq,
			     struct bytes plain)
{
	uint64_t clock;
	enum err err = check_entry(plain, &clock);

	if (err)
		return err;
	if (!seq || seq > UINT32_MAX)
		return ERR_CORRUPT;
	if (vector_get(&state->applied, incarnation) >= seq)
		return ERR_OK;
	err = stands_alone(state, incarnation, seq, plain)
		      ? apply_now(state, incarnation, seq, plain)
		      : hold(state, incarnation, seq, plain);
	return err ? err : release_held(state);
}

enum err account_state_skip(struct account_state *state, struct id128 incarnation, uint64_t seq)
{
	enum err err;

	if (vector_get(&state->applied, incarnation) >= seq)
		return ERR_OK;
	err = hold(state, incarnation, seq, bytes_make(NULL, 0));
	return err ? err : release_held(state);
}

uint64_t account_state_reached(const struct account_state *state, struct id128 incarnation)
{
	uint64_t seq = vector_get(&state->applied, incarnation);

	while (find_held(state, incarnation, seq + 1))
		seq++;
	return seq;
}

enum err account_state_end_groups(struct account_state *state, struct id128 own,
				  const struct vector *known)
{
	for (size_t i = 0; i < state->held_count;) {
		const struct held_entry *held = &state->held[i];
		struct id128 incarnation = held->incarnation;
		uint64_t reached = account_state_reached(state, incarnation);
		enum err err;

		if (id128_equal(incarnation, own) ||
		    held->seq != vector_get(&state->applied, incarnation) + 1 || !held->continues ||
		    vector_get(known, incarnation) != reached) {
			i++;
			continue;
		}
		err = end_held(state, incarnation, reached, false);
		if (err)
			return err;
		i = 0;
	}
	return ERR_OK;
}

uint64_t account_state_clock(const struct account_state *state, uint64_t wall_ms)
{
	uint64_t clock = state->clock + 1;

	/* A clock far ahead must not use up the modseqs: 2^62 is a hundred million years. */
	if (wall_ms > clock && wall_ms < 1ull << 62)
		clock = wall_ms;
	return clock;
}

enum err account_state_vector(const struct account_state *state, struct vector *out)
{
	enum err err = vector_copy(&state->applied, out);

	for (size_t i = 0; i < state->drained_count && !err; i++)
		err = vector_raise(out, state->drained[i].incarnation, state->drained[i].seq);
	return err;
}
