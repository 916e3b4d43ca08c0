/* SPDX-License-Identifier: MPL-2.0 */
/*
 * internal - what the modules behind mailbox.h share; nobody else includes it.
 *
 *   home.c     logging in, the cache of unlocked accounts     rotate.c   slots, new master keys
 *   load.c     manifest, pages and entries into the state     commit.c   entries out of operations
 *   drain.c    deliveries into operations                     folder.c   folders, their keys
 *   folder_list.c  the list, names                            folder_change.c  CREATE to SUBSCRIBE
 *   view.c     what one session was told                      change.c   flags, expunge, copy
 *   append.c   APPEND                                         keyring.c  the account's keys
 *   mend.c     re-stamping before anything is shown
 *   summaries.c  what FETCH asks                              pages.c, snapshot.c  manifests
 *   references.c  which blobs are in use
 *
 * INV 1  The state changes only by entries that are durable: commit.c and load.c
 *        are the only callers of account_state_apply().
 * INV 2  Only one task at a time writes the stream (`flushing`); operations are
 *        put into the queue in the order of their UIDs (`uid_gate`).
 * INV 3  UIDs are stamped only from a reservation that was durable before, made
 *        in this term (the time since the last promise).
 * INV 4  Nothing is shown before the entry that says it is applied, and none is
 *        applied that a quorum does not hold (journal.h, INV 5).
 * INV 5  What comes of an append that failed is known before the next one: it
 *        found its quorum after all, and is applied, or its writer was fenced
 *        and another one goes on. So a home's changes take effect in the order
 *        in which they were asked for, also those that were refused.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_INTERNAL_H
#define AEROSTORE_ENGINE_MAILBOX_INTERNAL_H

#include "engine/mailbox/account_state.h"
#include "engine/mailbox/argon.h"
#include "engine/mailbox/mailbox.h"
#include "engine/mailbox/summaries.h"
#include "engine/mailbox/uid.h"

/* Key derivation labels: docs/format.md lists all. */
#define LABEL_OPERATION "aerostore mailbox operation 1"
#define LABEL_KEYRING "aerostore mailbox keyring 1"
#define LABEL_ROOT "aerostore mailbox root 1"
#define LABEL_PAGE "aerostore mailbox page 1"
#define LABEL_FOLDER_KEY "aerostore mailbox folder key 1"
#define LABEL_BLOB_KEY "aerostore mailbox blob key 1"

#define OPERATION_PLAIN_MAX (768u * 1024)
#define OPERATION_BLOBS_MAX 1000u
#define DRAIN_BATCH 500u
/* The second that begins 2100. A clock beyond is wrong, and must not use up the numbers. */
#define UIDVALIDITY_CLOCK_MAX 4102444800u
#define VIEW_SILENT_MAX 8u
#define VIEW_RECENT_MAX 8u

/* The keys of earlier generations: what was sealed then stays readable. */
struct old_keys {
	struct key *directory, *delivery;
	struct envelope_opener *opener;
};

/* What the home keeps beside a folder's state. */
struct folder_home {
	struct id128 id;
	struct key *key; /* of `epoch`: what new messages are wrapped under */
	uint32_t epoch;
	struct uid_stock own;	/* reserved in this term, not yet stamped */
	uint32_t recent_wanted; /* floor that goes out with the next entry; 0: none */
};

/* Operations on their way into the stream. */
struct change {
	struct buf operations;
	struct blob_ref *blobs;
	size_t blob_count, blob_capacity;
	size_t references;   /* of the queue, of the caller */
	struct view *silent; /* this view does not report what it says; goes alone, then */
	uint64_t term;	     /* when it stamps UIDs: the term that reserved them; else 0 */
	bool continues;	     /* the next one in the queue belongs to the same group (operation.h) */
	bool continued;	     /* and this one to that of the one before */
	bool mends;	     /* R4 is done with it */
	bool done;
	enum err result;
	struct change *next;
};

struct mailbox {
	struct home *home;
	struct mailbox *next;
	size_t users; /* sessions, and tasks of our own */
	size_t sessions;
	uint64_t idle_since_ms;
	bool loading, ready;
	bool retired; /* its keys are not the account's any more: no new session */
	struct id128 account, tag, stream;
	char address[ADDRESS_MAX + 1];
	uint64_t created_ms;
	uint8_t known_secret[32]; /* keyed hash of a secret that opened it: spares an Argon2 */
	uint64_t secret_counter;  /* of the account record then: slots change with it */
	bool knows_secret;

	struct account_keys keys;
	struct envelope_opener *opener;
	struct old_keys *old;
	size_t old_count, old_capacity;

	struct account_state state;
	uint32_t uidvalidity_given; /* the highest by this home, durable or not */
	struct summaries *summaries;
	bool broken;		 /* not to be shown or written any more: load anew */
	struct map folder_homes; /* folder id -> struct folder_home */
	struct vector skip;	 /* delivery writers' incarnations, at UINT64_MAX */
	struct vector unvouched; /* deliveries that wait for their writer's signature (drain.c) */

	/*
	 * The term: since the last promise, which is in the name of this object: two of one account
	 * (one retired, and still writing) are two homes, and must not share an epoch.
	 */
	struct id128 id;
	uint64_t epoch, term;
	bool promised;
	bool unresolved; /* an append failed, and nobody knows yet what came of it */
	struct promise_result promise;
	struct id128 context_of; /* the writer whose entries carry our context already */
	bool group_broken;	 /* a part of the group being written failed */
	struct gate term_gate, uid_gate, drain_gate;
	struct change *queue, **queue_end;
	bool flushing;
	struct cond flushed;

	/* Since the last manifest. */
	size_t entries_since, bytes_since;
	bool snapshot_running;
	bool packing_refused; /* by full disks, at the last snapshot */

	struct journal_watch watch;
	struct mailbox_watch *session_watches;
	bool pull_running, pull_again;

	struct view *views;
	struct listing *listing; /* of listing_version; NULL: not made yet */
	uint64_t listing_version;
};

struct home {
	struct home_options options;
	struct env *env;
	struct journal_writer *writer;
	struct journal_writer **fenced; /* of no more use, but for what they have under way */
	size_t fenced_count, fenced_capacity;
	uint8_t node_public[PUBLIC_SIZE];
	struct mailbox *mailboxes;
	struct key *secret_hash; /* this process's key for known_secret and known peers */
	struct argon_gate argon;
	struct gate enrol_gate; /* one first login at a time: see home_enrol() */
	struct map known_peers; /* keyed hash of address and peer -> a mark */
	struct cond loaded;	/* a mailbox was loaded, or could not be */
	struct env_timer cache_timer;
	bool closing;
	struct group tasks;
	struct mailbox_counters counters;
};

/* ---- keyring.c ---- */

/* Directory keys, newest first; NULL at the end. */
const struct key *mailbox_directory_key(const struct mailbox *mailbox, size_t index);
struct envelope_opener *mailbox_opener(const struct mailbox *mailbox, size_t index);
/* Takes copies; one that is there already is left. */
MUST_USE enum err mailbox_add_old_keys(struct mailbox *mailbox, const uint8_t directory[KEY_SIZE],
				       const uint8_t delivery[KEY_SIZE]);
/* The old keys with those given as the newest, as bytes to be sealed. */
void keyring_encode(const struct mailbox *mailbox, const struct account_keys *newest,
		    struct buf *out);
MUST_USE enum err keyring_decode(struct mailbox *mailbox, struct cursor *cursor);

/* ---- load.c ---- */

WAITS MUST_USE enum err mailbox_load(struct mailbox *mailbox);
/*
 * Applies what is new in the stream's operations. *complete (may be NULL) as journal_read() says it.
 */
WAITS MUST_USE enum err mailbox_catch_up(struct mailbox *mailbox, bool *complete);
/* How an operation entry's payload is bound to its place. */
void operation_place_encode(struct id128 account, struct id128 stream, struct id128 incarnation,
			    uint64_t seq, uint64_t epoch, uint64_t floor,
			    const struct blob_ref *blobs, size_t blob_count, struct buf *out);

enum payload_type { PAYLOAD_OPERATIONS = 1, PAYLOAD_KEYRING = 2 };

/* Tries the account's directory keys, newest first. ERR_AUTH: none opens it. */
MUST_USE enum err mailbox_open_payload(const struct mailbox *mailbox, const char *label,
				       struct bytes use, struct bytes associated,
				       struct bytes sealed, size_t limit, struct buf *plain);
/* Looks in the entries after `after` for the keys of earlier generations. */
WAITS MUST_USE enum err mailbox_find_keyring(struct mailbox *mailbox, const struct vector *after);

/* ---- commit.c ---- */

struct change *change_create(void);
void change_release(struct change **change);
/* Names a blob in the entry. */
MUST_USE enum err change_name_blob(struct change *change, const struct blob_ref *blob);
void change_put(struct change *change, const struct operation *operation);
/* Puts it at the end of the queue: what was put in before goes into the stream before. */
void mailbox_enqueue(struct mailbox *mailbox, struct change *change);
/* Waits until it is durable and applied, or failed. */
WAITS MUST_USE enum err mailbox_await(struct mailbox *mailbox, struct change *change);
/* Both. */
WAITS MUST_USE enum err mailbox_commit(struct mailbox *mailbox, struct change *change);
/* R1, R3: promises, then reads what a majority holds; unless that was done. */
WAITS MUST_USE enum err mailbox_begin_term(struct mailbox *mailbox);
/*
 * INV 5, before a change is made out of the state: when an append failed, finds out what came of it.
 * Who enters the UID gate need not ask.
 */
WAITS MUST_USE enum err mailbox_settle_failure(struct mailbox *mailbox);
/* Its state is not to be shown any more: tells its sessions, whose clients log in again. */
void mailbox_break(struct mailbox *mailbox);
/*
 * Stamping: enter the UID gate, reserve for each folder, then without waiting check
 * mailbox_reserved(), take, and enqueue; leave the gate. So UIDs go into the stream in their order.
 */
WAITS MUST_USE enum err mailbox_uids_enter(struct mailbox *mailbox);
void mailbox_uids_leave(struct mailbox *mailbox);
WAITS MUST_USE enum err mailbox_reserve(struct mailbox *mailbox, struct id128 folder,
					uint32_t count);
uint32_t mailbox_reserved(const struct mailbox *mailbox, struct id128 folder);
uint32_t mailbox_take_uid(struct mailbox *mailbox, struct id128 folder, struct change *change);
/* Ready-made changes, all or nothing: links them, and puts them at the end of the queue. */
void mailbox_enqueue_group(struct mailbox *mailbox, struct change **changes, size_t count);
/* Until all are durable and applied, or failed. */
WAITS MUST_USE enum err mailbox_await_group(struct mailbox *mailbox, struct change **changes,
					    size_t count);
/* An entry of another payload type, whose plaintext is sealed under `key` (rotation). */
WAITS MUST_USE enum err mailbox_append_keyring(struct mailbox *mailbox, const struct key *key,
					       struct bytes plain);

/* ---- folder.c ---- */

struct folder *mailbox_folder_state(const struct mailbox *mailbox, struct id128 id);
MUST_USE enum err mailbox_folder_home(struct mailbox *mailbox, struct id128 id,
				      struct folder_home **out);
/* Makes INBOX and the special-use folders of a new account. */
WAITS MUST_USE enum err mailbox_make_first_folders(struct mailbox *mailbox);
struct id128 mailbox_inbox(const struct mailbox *mailbox);
/* A new folder, and its first key. */
MUST_USE enum err mailbox_put_folder(struct mailbox *mailbox, struct change *change,
				     const struct operation *create);
/* The folder's key of this epoch, or the one for new messages (epoch NULL). Referenced. */
MUST_USE enum err mailbox_folder_key(struct mailbox *mailbox, const struct folder *folder,
				     const uint32_t *epoch, struct key **out);
MUST_USE enum err message_key_unwrap(struct mailbox *mailbox, const struct folder *folder,
				     const struct message_state *message, uint8_t out[KEY_SIZE]);
/* Wraps under the folder's newest key; fills epoch and wrapped_key of `add`. */
MUST_USE enum err message_key_wrap(struct mailbox *mailbox, const struct folder *folder,
				   const uint8_t plain[KEY_SIZE], struct operation_add *add);

/* summaries_read()'s: the key of a cache block. */
MUST_USE enum err mailbox_unwrap_block(void *mailbox, const struct summary_block *block,
				       uint8_t key[KEY_SIZE]);
/* A fresh key for the folder, wrapped under `directory`. */
MUST_USE enum err mailbox_put_folder_key(struct mailbox *mailbox, struct id128 folder,
					 const struct key *directory, struct change *change);

/* ---- folder_list.c ---- */

/* The existing folder of this name; NULL. */
struct folder *mailbox_folder_named(struct mailbox *mailbox, struct bytes name);
void mailbox_forget_list(struct mailbox *mailbox);
size_t mailbox_name_levels(struct bytes name);
/* Whether a folder may be given this name. ERR_INVALID; ERR_LIMIT: over LEVELS_MAX. */
MUST_USE enum err mailbox_check_name(struct bytes name);
/* The same; appends it with INBOX in capitals. */
MUST_USE enum err mailbox_normal_name(struct bytes name, struct buf *out);

/* ---- change.c ---- */

/* ERR_LIMIT: the folder would have more than KEYWORD_MAX; ERR_INVALID: a name is too long. */
MUST_USE enum err mailbox_check_keywords(const struct folder *folder, const struct bytes *keywords,
					 size_t keyword_count);

WAITS MUST_USE enum err mailbox_move_all(struct mailbox *mailbox, struct id128 from,
					 struct bytes to);

/* ---- mend.c ---- */

/*
 * What R4 asks of the state just loaded (restamp.h), durably, in one entry or group. Before anything
 * of it is shown.
 */
WAITS MUST_USE enum err mailbox_mend(struct mailbox *mailbox);

/* ---- drain.c ---- */

/* Drains up to `batches` batches; *more: there may be further deliveries. */
WAITS MUST_USE enum err mailbox_drain(struct mailbox *mailbox, size_t batches, bool *more);
/* From the watch: drains in a task of its own. */
void mailbox_pull(struct mailbox *mailbox);

/* ---- view.c ---- */

/* After an entry was applied: tells views that became stale. */
void mailbox_tell_views(struct mailbox *mailbox);
/* Around applying what this view does not want to hear of. */
void view_silent_begin(struct view *view);
void view_silent_end(struct view *view);
/* The folder's first UID that no view has taken as \Recent. */
uint32_t mailbox_recent_floor(const struct mailbox *mailbox, const struct folder *folder);
/* A message by the view's number; ERR_NOTFOUND: expunged. */
MUST_USE enum err view_resolve(const struct view *view, uint32_t sequence, struct folder **folder,
			       uint32_t *slot);
struct mailbox *view_mailbox(const struct view *view);

/* ---- snapshot.c ---- */

/* Writes a manifest when there is enough to say, in a task of its own. */
void mailbox_consider_snapshot(struct mailbox *mailbox);
WAITS MUST_USE enum err mailbox_load_snapshot(struct mailbox *mailbox);

/* ---- rotate.c ---- */

/*
 * The first login: a new master key under a slot of the user's own secret; the enrolment slot goes
 * (docs/security.md). The mailbox is loaded and goes on with the new keys.
 */
WAITS MUST_USE enum err mailbox_rotate(struct mailbox *mailbox, struct bytes secret);

/* ---- home.c ---- */

/* Another home has been in one of the streams: takes a new writer, unless that was done already. */
MUST_USE enum err home_renew_writer(struct home *home, const struct journal_writer *fenced);
/* Tries the secret under the Argon2 gate. *info: the slot that opened. */
WAITS MUST_USE enum err home_unlock(struct home *home, struct bytes address, struct bytes secret,
				    const char *peer, struct key **master, struct slot_info *info);
/*
 * The first login, with the master key that an enrolment slot held (taken over): attaches and rotates.
 * Of several at once one does it: two would publish keys one after the other, and what was written
 * under the first could never be read again. ERR_STALE: another one has, the master key is an old one.
 */
WAITS MUST_USE enum err home_enrol(struct home *home, struct bytes address, struct bytes secret,
				   struct key **master, struct mailbox **out);
/* Loaded, in use by the caller until mailbox_release(). Takes over `master`. */
WAITS MUST_USE enum err home_attach(struct home *home, struct bytes address, struct key **master,
				    struct mailbox **out);
/* The next login checks the secret itself. */
void home_forget_secret(struct home *home, struct id128 account);

/* Runs `run(mailbox)` in a task that holds the mailbox. */
MUST_USE enum err mailbox_spawn(struct mailbox *mailbox, const char *name,
				void (*run)(void *mailbox));
void mailbox_leave(struct mailbox *mailbox);

#endif
