/* SPDX-License-Identifier: MPL-2.0 */
/*
 * collection - the messages of one folder, as a CRDT.
 *
 * Pure state: operations in, lookups out; no I/O, no keys (blob keys stay
 * wrapped). Operations of one writer come in their order, and each after what
 * its writer had seen (account_state.h holds back what comes early); under
 * that, any order gives one state:
 *
 * INV 1  A message's UID is the highest stamp it ever got. Lower stamps are kept
 *        as superseded UIDs until the message goes.
 * INV 2  Each flag is a last-writer-wins register: the later (clock, writer)
 *        counts. Flags that came with the message are older than any change.
 * INV 3  Remove wins: an expunged id never comes back, whoever adds it again.
 *        Only drained deliveries can be added twice (two homes that do not see
 *        each other drain the same inbox); only their ids leave tombstones.
 * INV 4  A message's modseq is the highest clock of an entry that touched it.
 *
 * Memory: about 200 bytes a message, no allocation of its own: a pool of slots
 * that stay where they are, an array of slots in UID order, an index by id.
 * After ERR_NOMEM the state is not defined any more: drop it and load again.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_COLLECTION_H
#define AEROSTORE_ENGINE_MAILBOX_COLLECTION_H

#include "engine/base/map.h"
#include "engine/mailbox/horizon.h"
#include "engine/mailbox/id_index.h"
#include "engine/mailbox/mailbox.h"
#include "engine/mailbox/operation.h"

#define SLOT_NONE ID_INDEX_NONE

/* Registers are numbered: bit i of the system flags is i, keyword i is FLAG_KEYWORD + i. */
#define FLAG_KEYWORD 8u

/* The entry that an operation belongs to. */
struct touch {
	uint64_t clock;
	struct entry_mark mark;
};

struct message_state {
	struct id128 id; /* first: id_index.h */
	struct id128 blob;
	struct blob_extent extent; /* the first; the others are in `long_blobs` */
	uint64_t blob_size;
	uint64_t size;
	uint64_t arrival_ms;
	uint64_t modseq;
	uint64_t keywords[2];
	struct entry_mark created; /* the entry that added it; delivered: one of those */
	struct entry_mark stamped; /* the entry that gave the present UID */
	struct entry_mark touched; /* the last entry that touched it */
	uint32_t uid;		   /* 0: the slot is free */
	uint32_t registers;	   /* first of its flag registers; SLOT_NONE */
	uint32_t cache;		   /* number of the cache block that holds its summary; 0: none */
	uint32_t epoch;
	int16_t zone_minutes;
	uint8_t system;
	bool delivered;
	uint8_t wrapped_key[WRAPPED_KEY_SIZE];
};

struct flag_register {
	uint64_t clock;
	uint32_t writer;
	uint32_t next; /* of the same message, or free */
	uint8_t flag;
};

/* A UID that was the message's; it went at a modseq that the message's own covers (INV 4). */
struct superseded {
	uint32_t uid, slot;
};

struct tombstone {
	struct id128 id; /* first: id_index.h */
	struct entry_mark expunged;
};

/* What took messages away, as if it were a message of its own: R4 holds for it, too. */
struct removals {
	uint64_t modseq;
	struct entry_mark touched;
};

/* What changed lately, so that views need not look at every message. */
#define CHANGES_KEPT 1024u
struct recent_change {
	uint32_t uid;
	uint64_t modseq;
};

/* A run of UIDs that one snapshot page holds: from first_uid up to the next page's. */
struct page_range {
	uint32_t first_uid;
	bool dirty;
	struct id128 page; /* zero: never written */
};

/* The UIDs in order: shared by views, never changed once made. */
struct uid_list {
	size_t references;
	size_t count;
	uint32_t uids[];
};

struct collection {
	const struct writers *writers;
	struct message_state *slots;
	size_t slot_count, slot_capacity;
	uint32_t free_slot; /* linked through `registers` */
	uint32_t *order;    /* slots, UIDs ascending */
	size_t count, order_capacity;
	struct id_index ids;
	struct flag_register *registers;
	size_t register_count, register_capacity;
	uint32_t free_register;
	struct superseded *superseded; /* by UID */
	size_t superseded_count, superseded_capacity;
	struct tombstone *tombstones;
	size_t tombstone_count, tombstone_capacity;
	struct id_index tombstone_ids;
	struct map long_blobs; /* slot -> struct blob_ref, for blobs of several extents */
	char *keywords[KEYWORD_MAX];
	size_t keyword_count;
	uint32_t stamp_top;   /* highest UID ever stamped */
	uint32_t reserve_top; /* highest UID ever reserved or stamped */
	uint32_t recent_floor;
	uint64_t highest_modseq;
	uint64_t size;
	uint32_t unseen, deleted;
	struct removals removals;
	uint64_t collisions; /* two messages met with one UID: must stay 0 */
	struct recent_change changes[CHANGES_KEPT];
	uint64_t change_count;
	uint64_t order_version; /* raised when messages come, go, or change their UID */
	struct uid_list *uids;	/* of uids_version */
	uint64_t uids_version;
	struct page_range *pages;
	size_t page_count, page_capacity;
};

void collection_init(struct collection *collection, const struct writers *writers);
void collection_finish(struct collection *collection);

/* ---- operations: a message or UID that is not there (any more) is no error ---- */

/* What an operation on messages does first, whether they are still there or not (R5). */
void collection_raise_modseq(struct collection *collection, uint64_t clock);
/* Up to this UID nothing is free to be given out (R1). */
void collection_raise_reserve(struct collection *collection, uint32_t uid);
/* What one that takes messages away does, besides. */
void collection_touch_removals(struct collection *collection, const struct touch *touch);
/* *slot: where it is; SLOT_NONE when it had been expunged. */
MUST_USE enum err collection_add(struct collection *collection, const struct operation_add *add,
				 const struct touch *touch, uint32_t *slot);
/* `removed` (may be NULL) is told each slot just before it goes. */
MUST_USE enum err collection_expunge(struct collection *collection, const struct uid_run *runs,
				     size_t run_count, const struct touch *touch,
				     void (*removed)(void *context,
						     const struct message_state *message),
				     void *context);
MUST_USE enum err collection_flags(struct collection *collection, const struct operation *operation,
				   const struct touch *touch);
MUST_USE enum err collection_stamp(struct collection *collection, uint32_t old_uid,
				   uint32_t new_uid, const struct touch *touch);
void collection_touch(struct collection *collection, const struct uid_run *runs, size_t run_count,
		      const struct touch *touch);
/* A tombstone for an id that may be added by another home, too. */
MUST_USE enum err
collection_drop(struct collection *collection, struct id128 id, const struct touch *touch,
		void (*removed)(void *context, const struct message_state *message), void *context);

/* What another state says of what was taken away; its mark is numbered as here. */
void collection_join_removals(struct collection *collection, const struct removals *other);
/*
 * What another state says of a message that both have. Its writers, keyword bits and cache block
 * are numbered as here; its superseded UIDs are for collection_restore_superseded().
 */
MUST_USE enum err collection_join(struct collection *collection, uint32_t slot,
				  const struct message_state *other,
				  const struct flag_register *registers, size_t register_count);

/* ---- lookups ---- */

/* By any UID that the message ever had. SLOT_NONE. */
uint32_t collection_resolve(const struct collection *collection, uint32_t uid);
/* How many messages have a UID below `uid`: its place in the order. */
size_t collection_position(const struct collection *collection, uint32_t uid);
uint32_t collection_find(const struct collection *collection, struct id128 id);
/* Whether a message of this id may never come (again). */
bool collection_buried(const struct collection *collection, struct id128 id);
static inline const struct message_state *collection_at(const struct collection *collection,
							size_t position)
{
	return &collection->slots[collection->order[position]];
}
void collection_blob(const struct collection *collection, uint32_t slot, struct blob_ref *out);
/* The bit, or KEYWORD_MAX when the folder has no such keyword. ASCII case counts not. */
size_t collection_keyword(const struct collection *collection, struct bytes name);
/* One reference; NULL when out of memory. */
struct uid_list *collection_uids(struct collection *collection);
void uid_list_release(struct uid_list **list);

/* ---- loading a snapshot ---- */

/* A message as a page has it, with its registers; *message is copied, registers set apart. */
MUST_USE enum err collection_restore(struct collection *collection,
				     const struct message_state *message,
				     const struct blob_ref *blob,
				     const struct flag_register *registers, size_t register_count);
MUST_USE enum err collection_restore_superseded(struct collection *collection, uint32_t uid,
						uint32_t current_uid);
MUST_USE enum err collection_restore_tombstone(struct collection *collection, struct id128 id,
					       struct entry_mark expunged);
/* Forgets the tombstones that `unneeded` names. */
void collection_forget(struct collection *collection,
		       bool (*unneeded)(void *context, struct entry_mark expunged), void *context);
/* The keyword's bit, made when new. ERR_LIMIT over KEYWORD_MAX. */
MUST_USE enum err collection_make_keyword(struct collection *collection, struct bytes name,
					  size_t *bit);
void collection_mark_page(struct collection *collection, uint32_t uid);

/* Sums checked against the messages themselves: for tests. */
void collection_check(const struct collection *collection);

#endif
