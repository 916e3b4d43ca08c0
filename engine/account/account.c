/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The table: a hash table by id for every account that any record named, a
 * treap (Seidel and Aragon 1996) in address order for those that were born.
 */
#include "engine/account/account.h"

#include <string.h>

#include "engine/account/statement.h"
#include "engine/base/assert.h"
#include "engine/base/hash.h"
#include "engine/base/map.h"
#include "engine/base/memory.h"

/* An identity that signed something; its greatest statements. */
struct signer {
	struct signer *next;
	uint8_t public_key[PUBLIC_SIZE];
	struct statement *keys, *slots;
	bool is_on_chain;
};

struct entry {
	struct account_record record; /* first: records are handed out, and taken back */
	struct entry *left, *right;
	uint64_t priority; /* in the treap: a hash of the id, which is random */
	bool is_listed;	   /* in the treap; exactly when `birth` is known */
	struct statement *birth, *status;
	struct signer *signers;
	size_t parked_count; /* signers off the chain */
};

struct account_table {
	struct id128 cluster;
	uint8_t admin_public[PUBLIC_SIZE];
	struct map by_id;
	struct entry *by_address;
	size_t listed_count;
	size_t parked_count; /* of all entries */
};

/* Live before deleted: the first entry of an address is the one that has it. */
static int compare_entries(const struct entry *a, const struct entry *b)
{
	bool a_deleted = a->record.status == ACCOUNT_DELETED;
	bool b_deleted = b->record.status == ACCOUNT_DELETED;
	int order = strcmp(a->record.address, b->record.address);

	if (order != 0)
		return order;
	if (a_deleted != b_deleted)
		return a_deleted ? 1 : -1;
	if (a->record.created_ms != b->record.created_ms)
		return a->record.created_ms < b->record.created_ms ? -1 : 1;
	return id128_compare(a->record.id, b->record.id);
}

static void tree_insert(struct entry **link, struct entry *entry)
{
	struct entry **less = &entry->left, **more = &entry->right, *rest;

	while (*link != NULL && (*link)->priority >= entry->priority)
		link = compare_entries(entry, *link) < 0 ? &(*link)->left : &(*link)->right;
	rest = *link;
	*link = entry;
	/* What was here is split into what comes before the entry and what comes after. */
	while (rest != NULL)
		if (compare_entries(rest, entry) < 0) {
			*less = rest;
			less = &rest->right;
			rest = rest->right;
		} else {
			*more = rest;
			more = &rest->left;
			rest = rest->left;
		}
	*less = *more = NULL;
}

static void tree_remove(struct entry **link, const struct entry *entry)
{
	struct entry *left = entry->left, *right = entry->right;

	while (*link != entry)
		link = compare_entries(entry, *link) < 0 ? &(*link)->left : &(*link)->right;
	while (left != NULL && right != NULL)
		if (left->priority >= right->priority) {
			*link = left;
			link = &left->right;
			left = left->right;
		} else {
			*link = right;
			link = &right->left;
			right = right->left;
		}
	*link = left != NULL ? left : right;
}

/* The first entry after `probe`, which need not be in the tree. */
static const struct entry *tree_after(const struct entry *tree, const struct entry *probe)
{
	const struct entry *after = NULL;

	while (tree != NULL)
		if (compare_entries(tree, probe) > 0) {
			after = tree;
			tree = tree->left;
		} else {
			tree = tree->right;
		}
	return after;
}

enum err account_table_create(struct id128 cluster, const uint8_t admin_public[PUBLIC_SIZE],
			      struct account_table **out)
{
	struct account_table *table = memory_allocate(sizeof(*table));

	if (table == NULL)
		return ERR_NOMEM;
	table->cluster = cluster;
	memcpy(table->admin_public, admin_public, PUBLIC_SIZE);
	map_init(&table->by_id, sizeof(struct id128));
	*out = table;
	return ERR_OK;
}

static void entry_destroy(struct entry *entry)
{
	struct signer *signer, *next;

	for (signer = entry->signers; signer != NULL; signer = next) {
		next = signer->next;
		statement_destroy(&signer->keys);
		statement_destroy(&signer->slots);
		memory_free(signer);
	}
	statement_destroy(&entry->birth);
	statement_destroy(&entry->status);
	memory_free(entry);
}

void account_table_destroy(struct account_table **table)
{
	struct account_table *destroyed = *table;
	struct entry *entry;
	size_t position = 0;

	*table = NULL;
	if (destroyed == NULL)
		return;
	while ((entry = map_next(&destroyed->by_id, &position, NULL)) != NULL)
		entry_destroy(entry);
	map_finish(&destroyed->by_id);
	memory_free(destroyed);
}

/* ---- the state as a function of the greatest statements ---- */

static struct signer *find_signer(const struct entry *entry, const uint8_t *public_key)
{
	struct signer *signer = entry->signers;

	while (signer != NULL && memcmp(signer->public_key, public_key, PUBLIC_SIZE) != 0)
		signer = signer->next;
	return signer;
}

static void take_keys(struct account_record *record, const struct statement *keys)
{
	memcpy(record->identity_public, keys->identity, PUBLIC_SIZE);
	memcpy(record->delivery_public, keys->delivery, X25519_SIZE);
}

static void take_slots(struct account_record *record, const struct statement *statement)
{
	record->counter = statement->number;
	record->enrolled |= statement->enrolled;
	record->slots = statement->slots;
	record->slot_count = statement->slot_count;
}

/* From the birth's identity to the last one that the chain names. */
static void follow_chain(struct entry *entry)
{
	struct account_record *record = &entry->record;
	struct signer *signer = find_signer(entry, record->identity_public);

	while (signer != NULL) {
		signer->is_on_chain = true;
		/* Counters grow along the chain, so a circle of identities ends, too. */
		if (signer->keys == NULL || signer->keys->number <= record->counter)
			break;
		take_keys(record, signer->keys);
		take_slots(record, signer->keys);
		signer = find_signer(entry, record->identity_public);
	}
	if (signer != NULL && signer->slots != NULL && signer->slots->number > record->counter)
		take_slots(record, signer->slots);
}

static void take_birth(struct account_record *record, const struct statement *birth)
{
	*record = (struct account_record){
		.id = birth->account,
		.tag = birth->tag,
		.stream = birth->stream,
		.status = ACCOUNT_ACTIVE,
		.created_ms = birth->number,
	};
	ASSERT(birth->address.size <= ADDRESS_MAX);
	memcpy(record->address, birth->address.data, birth->address.size);
	take_keys(record, birth);
}

static void resolve(struct account_table *table, struct entry *entry)
{
	table->parked_count -= entry->parked_count;
	entry->parked_count = 0;
	for (struct signer *signer = entry->signers; signer != NULL; signer = signer->next)
		signer->is_on_chain = false;
	if (entry->birth != NULL) {
		if (entry->is_listed)
			tree_remove(&table->by_address, entry);
		else
			table->listed_count++;
		take_birth(&entry->record, entry->birth);
		if (entry->status != NULL) {
			entry->record.status = entry->status->status;
			entry->record.status_ms = entry->status->number;
		}
		follow_chain(entry);
		tree_insert(&table->by_address, entry);
		entry->is_listed = true;
	}
	for (struct signer *signer = entry->signers; signer != NULL; signer = signer->next)
		entry->parked_count += !signer->is_on_chain;
	table->parked_count += entry->parked_count;
}

/* ---- merging ---- */

static enum err entry_create(struct account_table *table, struct id128 id, struct entry **out)
{
	struct entry *entry;
	enum err err;

	/* An account without a birth holds something that waits for it. */
	if (table->by_id.count - table->listed_count >= TABLE_PARKED_MAX)
		return ERR_LIMIT;
	entry = memory_allocate(sizeof(*entry));
	if (entry == NULL)
		return ERR_NOMEM;
	entry->priority = hash_64(id.octets, sizeof(id.octets));
	err = map_put(&table->by_id, &id, entry);
	if (err != ERR_OK) {
		memory_free(entry);
		return err;
	}
	*out = entry;
	return ERR_OK;
}

static enum err signer_create(const struct account_table *table, struct entry *entry,
			      const uint8_t *public_key, struct signer **out)
{
	/* A new signer is the present identity, or waits for what makes it one. */
	bool is_next = entry->birth != NULL &&
		       memcmp(entry->record.identity_public, public_key, PUBLIC_SIZE) == 0;
	struct signer *signer;

	if (!is_next &&
	    (entry->parked_count >= ACCOUNT_PARKED_MAX || table->parked_count >= TABLE_PARKED_MAX))
		return ERR_LIMIT;
	signer = memory_allocate(sizeof(*signer));
	if (signer == NULL)
		return ERR_NOMEM;
	memcpy(signer->public_key, public_key, PUBLIC_SIZE);
	signer->next = entry->signers;
	entry->signers = signer;
	*out = signer;
	return ERR_OK;
}

/* Where the statement belongs in the entry. */
static enum err find_place(const struct account_table *table, struct entry *entry,
			   const struct statement *statement, struct statement ***out)
{
	struct signer *signer;
	enum err err = ERR_OK;

	if (statement->type == STATEMENT_BIRTH || statement->type == STATEMENT_STATUS) {
		*out = statement->type == STATEMENT_BIRTH ? &entry->birth : &entry->status;
		return ERR_OK;
	}
	signer = find_signer(entry, statement->signer);
	if (signer == NULL)
		err = signer_create(table, entry, statement->signer, &signer);
	if (err == ERR_OK)
		*out = statement->type == STATEMENT_KEYS ? &signer->keys : &signer->slots;
	return err;
}

/* Takes the statement. */
static enum err merge(struct account_table *table, struct entry *entry, struct statement *statement)
{
	struct statement **place, *lesser = statement;
	const struct signer *signer;
	enum err err;

	err = find_place(table, entry, statement, &place);
	if (err != ERR_OK) {
		statement_destroy(&statement);
		return err;
	}
	signer = statement->type == STATEMENT_KEYS || statement->type == STATEMENT_SLOTS
			 ? find_signer(entry, statement->signer)
			 : NULL;
	if (*place == NULL || statement_is_greater(statement, *place)) {
		lesser = *place;
		*place = statement;
		resolve(table, entry);
	}
	/* Only now: the record pointed into it. */
	statement_destroy(&lesser);
	return signer == NULL || signer->is_on_chain ? ERR_OK : ERR_AUTH;
}

static enum err apply(struct account_table *table, const uint8_t *admin_public, struct bytes record)
{
	struct statement *statement;
	struct entry *entry;
	struct id128 id;
	enum err err;

	err = statement_create(table->cluster, admin_public, record, &statement);
	if (err != ERR_OK)
		return err;
	id = statement->account;
	entry = map_get(&table->by_id, &id);
	if (entry == NULL) {
		err = entry_create(table, id, &entry);
		if (err != ERR_OK) {
			statement_destroy(&statement);
			return err;
		}
	}
	err = merge(table, entry, statement);
	if (entry->birth == NULL && entry->status == NULL && entry->signers == NULL) {
		map_remove(&table->by_id, &id);
		entry_destroy(entry);
	}
	return err;
}

enum err account_table_apply(struct account_table *table, struct bytes record)
{
	return apply(table, table->admin_public, record);
}

enum err account_table_apply_verified(struct account_table *table, struct bytes record)
{
	return apply(table, NULL, record);
}

/* ---- asking ---- */

const struct account_record *account_table_find(const struct account_table *table,
						struct bytes normalised_address)
{
	/* Before every entry of the address: no account has the id zero at the time zero. */
	struct entry probe = {.record = {.status = ACCOUNT_ACTIVE}};
	const struct entry *entry;

	if (normalised_address.size == 0 || normalised_address.size > ADDRESS_MAX)
		return NULL;
	memcpy(probe.record.address, normalised_address.data, normalised_address.size);
	entry = tree_after(table->by_address, &probe);
	if (entry == NULL || entry->record.status == ACCOUNT_DELETED ||
	    strlen(entry->record.address) != normalised_address.size ||
	    memcmp(entry->record.address, normalised_address.data, normalised_address.size) != 0)
		return NULL;
	return &entry->record;
}

const struct account_record *account_table_by_id(const struct account_table *table, struct id128 id)
{
	const struct entry *entry = map_get(&table->by_id, &id);

	return entry != NULL && entry->is_listed ? &entry->record : NULL;
}

const struct account_record *account_table_next(const struct account_table *table,
						const struct account_record *after)
{
	/* The empty address is before all others. */
	const struct entry start = {.record = {.status = ACCOUNT_ACTIVE}};
	const struct entry *entry;

	entry = tree_after(table->by_address, after != NULL ? (const struct entry *)after : &start);
	return entry != NULL ? &entry->record : NULL;
}

size_t account_table_count(const struct account_table *table)
{
	return table->listed_count;
}

/* ---- what a snapshot keeps ---- */

static enum err export_one(const struct statement *statement,
			   enum err (*each)(void *context, struct bytes record), void *context)
{
	return statement == NULL ? ERR_OK : each(context, bytes_of_buf(&statement->record));
}

/* Slots no newer than the keys that end their signer's turn never count again: keys only grow. */
static bool has_slots(const struct signer *signer)
{
	return signer->slots != NULL &&
	       (signer->keys == NULL || signer->slots->number > signer->keys->number);
}

static enum err export_signer(const struct signer *signer,
			      enum err (*each)(void *context, struct bytes record), void *context)
{
	enum err err = export_one(signer->keys, each, context);

	return err == ERR_OK && has_slots(signer) ? export_one(signer->slots, each, context) : err;
}

static enum err export_chain(const struct entry *entry,
			     enum err (*each)(void *context, struct bytes record), void *context)
{
	const struct signer *signer =
		entry->birth != NULL ? find_signer(entry, entry->birth->identity) : NULL;
	uint64_t counter = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && signer != NULL) {
		err = export_signer(signer, each, context);
		if (signer->keys == NULL || signer->keys->number <= counter)
			break;
		counter = signer->keys->number;
		signer = find_signer(entry, signer->keys->identity);
	}
	return err;
}

static enum err export_entry(const struct entry *entry,
			     enum err (*each)(void *context, struct bytes record), void *context)
{
	enum err err = export_one(entry->birth, each, context);

	if (err == ERR_OK)
		err = export_one(entry->status, each, context);
	if (err == ERR_OK)
		err = export_chain(entry, each, context);
	for (const struct signer *signer = entry->signers; err == ERR_OK && signer != NULL;
	     signer = signer->next)
		if (!signer->is_on_chain)
			err = export_signer(signer, each, context);
	return err;
}

enum err account_table_export(const struct account_table *table,
			      enum err (*each)(void *context, struct bytes record), void *context)
{
	const struct entry *entry;
	size_t position = 0;
	enum err err = ERR_OK;

	while (err == ERR_OK && (entry = map_next(&table->by_id, &position, NULL)) != NULL)
		err = export_entry(entry, each, context);
	return err;
}

/* Ends the visit with an error that says: found. */
static enum err is_that_record(void *context, struct bytes record)
{
	const struct bytes *wanted = context;

	return bytes_equal(record, *wanted) ? ERR_EXISTS : ERR_OK;
}

bool account_table_keeps(const struct account_table *table, struct bytes record)
{
	struct cursor cursor = cursor_make(bytes_slice(record, 32, SIZE_MAX));
	struct id128 id = cursor_id(&cursor);
	const struct entry *entry = map_get(&table->by_id, &id);

	return cursor.err == ERR_OK && entry != NULL &&
	       export_entry(entry, is_that_record, &record) == ERR_EXISTS;
}
