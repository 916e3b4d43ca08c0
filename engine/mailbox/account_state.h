/* SPDX-License-Identifier: MPL-2.0 */
/*
 * account_state - the whole state of an account, as a CRDT: folders, their
 * messages (collection.h), subscriptions, how far the inbox is drained.
 *
 * Pure: decrypted entries in, lookups out; no I/O, no clock, no keys.
 *
 * INV 1  Entries may come in any order, any number of times: one that comes
 *        before its context or before its writer's previous one is held back
 *        until those are in. The state depends on the set of entries only.
 * INV 2  An entry takes effect whole, and so does a group of entries: a group
 *        that its writer went on without having ended never takes effect.
 * INV 3  A folder that was deleted never comes back; what was in it, or comes to
 *        it later, is gone. Names, subscriptions and keys are last-writer-wins
 *        registers; a folder's UIDVALIDITY is the highest ever given to it.
 * INV 4  account_state_clock() is above the clock of every entry that is in.
 *
 * After ERR_NOMEM or ERR_NEWER the state is not defined any more: drop it.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_ACCOUNT_STATE_H
#define AEROSTORE_ENGINE_MAILBOX_ACCOUNT_STATE_H

#include "engine/mailbox/collection.h"
#include "engine/mailbox/past_names.h"

/* A transaction that comes again within this time is a repetition. */
#define REPETITION_MS (7ull * 24 * 3600 * 1000)
/* Entries held back at most, and their bytes: a hostile or broken journal ends in ERR_LIMIT. */
#define HELD_MAX 4096u

/* Who set a last-writer-wins register, and when. */
struct stamp {
	uint64_t clock;
	uint32_t writer;
};

struct folder_key {
	struct stamp stamp;
	uint32_t epoch;
	uint8_t wrapped[WRAPPED_KEY_SIZE];
};

struct folder {
	struct id128 id;
	char *name;
	struct stamp name_stamp;
	enum special_use special_use;
	uint32_t uidvalidity;
	bool fixed;
	struct folder_key *keys;
	size_t key_count, key_capacity;
	struct collection messages;
};

struct subscription {
	char *name;
	struct stamp stamp;
	bool subscribed;
};

struct transaction {
	struct id128 hash; /* first: id_index.h */
	uint64_t arrival_ms;
};

/* An entry that came before what it builds on, or before the last one of its group. */
struct held_entry {
	struct id128 incarnation;
	uint64_t seq;
	bool continues, continued;
	struct buf plain; /* empty: one that says nothing */
};

/* Summaries are a cache beside the state: whoever keeps them listens. */
struct account_listener {
	/* A message came. *cache is message_state.cache, to be set. */
	enum err (*added)(void *context, const struct operation_add *add, uint32_t *cache);
	void (*removed)(void *context, const struct message_state *message);
	/* An OPERATION_CACHE. */
	enum err (*block)(void *context, const struct operation *operation);
	void *context;
};

struct account_state {
	struct writers writers;
	struct horizons horizons;
	struct vector applied;	 /* operation entries that are in */
	struct folder **folders; /* by id */
	size_t folder_count, folder_capacity;
	struct id128 *deleted_folders;
	size_t deleted_count, deleted_capacity;
	struct subscription *subscriptions; /* by name */
	size_t subscription_count, subscription_capacity;
	struct operation_drained *drained; /* by incarnation */
	size_t drained_count, drained_capacity;
	struct transaction *transactions;
	size_t transaction_count, transaction_capacity;
	struct id_index transaction_ids;
	struct held_entry *held;
	size_t held_count, held_capacity;
	uint64_t clock;
	uint32_t uidvalidity_top; /* highest ever given to a folder, those deleted included */
	struct past_names past_names;
	uint64_t folders_version; /* raised when a folder comes, goes, or is named anew */
	struct account_listener listener;
};

void account_state_init(struct account_state *state, const struct account_listener *listener);
void account_state_finish(struct account_state *state);

/*
 * An operation entry's plaintext. ERR_OK also when it was in already or is held back. ERR_CORRUPT:
 * it cannot be read; the state is as before, and account_state_skip() goes on without it.
 */
MUST_USE enum err account_state_apply(struct account_state *state, struct id128 incarnation,
				      uint64_t seq, struct bytes plain);
/* An entry that nobody can read counts as one that says nothing. */
MUST_USE enum err account_state_skip(struct account_state *state, struct id128 incarnation,
				     uint64_t seq);

/* How far the writer's entries have come without a gap: in, or held back with their group. */
uint64_t account_state_reached(const struct account_state *state, struct id128 incarnation);
/*
 * Groups that nobody will end take no effect, ever: of writers other than `own` whose entries, as
 * far as any replica knows (`known`), are all here.
 */
MUST_USE enum err account_state_end_groups(struct account_state *state, struct id128 own,
					   const struct vector *known);
/* NULL. */
struct folder *account_state_folder(const struct account_state *state, struct id128 id);
/* NULL. */
const struct subscription *account_state_subscription(const struct account_state *state,
						      struct bytes name);
/* NULL. */
const struct operation_drained *account_state_drained(const struct account_state *state,
						      struct id128 incarnation);
/* Whether a transaction with this hash arrived within REPETITION_MS of `arrival_ms`. */
bool account_state_repeats(const struct account_state *state, const uint8_t hash[16],
			   uint64_t arrival_ms);
/*
 * R7: forgets expunged ids that nobody can add again: every replica holds the entry that expunged
 * it (`stable`, engine/journal/journal.h), and no home may be at work that has not seen it. What
 * was delivered is drained in the entry that adds it, so whoever reads on finds it drained.
 */
void account_state_forget(struct account_state *state, const struct vector *stable);
/* Forgets transactions too old to matter. */
void account_state_prune(struct account_state *state);
/* The clock for a new entry (R5): at least `wall_ms`, above all seen. */
uint64_t account_state_clock(const struct account_state *state, uint64_t wall_ms);
/* What a snapshot taken now stands for: operations that are in, deliveries that are drained. */
MUST_USE enum err account_state_vector(const struct account_state *state, struct vector *out);

/* ---- for those that make a state of others (pages.c, merge.c) ---- */

MUST_USE enum err account_state_writer(struct account_state *state, struct id128 incarnation,
				       uint32_t *number);
/* A new, empty one. ERR_EXISTS. */
MUST_USE enum err account_state_make_folder(struct account_state *state, struct id128 id,
					    struct folder **out);
MUST_USE enum err folder_set_name(struct folder *folder, struct bytes name);
MUST_USE enum err folder_put_key(struct folder *folder, const struct folder_key *key);
/* Names the folder, puts a key in it, unless what it has is later. */
MUST_USE enum err account_state_name_folder(struct account_state *state, struct folder *folder,
					    struct bytes name, struct stamp stamp);
MUST_USE enum err account_state_key_folder(const struct account_state *state, struct folder *folder,
					   const struct folder_key *key);
/* The highest counts. */
void account_state_raise_uidvalidity(struct account_state *state, struct folder *folder,
				     uint32_t uidvalidity);
bool account_state_deleted(const struct account_state *state, struct id128 folder);
/* INV 3. Not one that is deleted already. */
MUST_USE enum err account_state_delete_folder(struct account_state *state, struct id128 id);
MUST_USE enum err account_state_put_deleted(struct account_state *state, struct id128 folder);
MUST_USE enum err account_state_put_subscription(struct account_state *state, struct bytes name,
						 bool subscribed, struct stamp stamp);
MUST_USE enum err account_state_put_drained(struct account_state *state,
					    const struct operation_drained *drained);
MUST_USE enum err account_state_put_transaction(struct account_state *state, const uint8_t hash[16],
						uint64_t arrival_ms);

#endif
