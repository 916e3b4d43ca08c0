/* SPDX-License-Identifier: MPL-2.0 */
/*
 * mailbox - what IMAP (and later DAV) sees of an account: folders, messages,
 * flags, changes. The engine's public face in the session role.
 *
 *   struct home      all unlocked accounts of this process, and their cache
 *   struct mailbox   one unlocked account: one in-memory state for all its devices
 *   struct view      one session's picture of one folder: the UIDs in the order
 *                    and number that this client was told (RFC 3501, 7.4.1)
 *
 * State is a CRDT (engine/mailbox/collection.h) fed by the account's stream;
 * every change is an operation entry, durable before the call returns ERR_OK
 * and before any other session is shown it.
 *
 * INV 1  One (UIDVALIDITY, UID) names at most one message for all time; UIDs
 *        ascend in every view. A name never shows a UIDVALIDITY lower than before,
 *        nor the same for another folder: one that takes a name which had as high
 *        a one gets a new one with it, and else keeps its own for all time.
 * INV 2  A view changes only in view_sync(): sequence numbers stay what the
 *        client was told; a superseded or expunged UID acts on its message until
 *        view_sync() has reported it, then on nothing.
 * INV 3  Opening a folder, listing and fetching flags, dates, sizes, summaries
 *        open no message blob.
 *
 * Names are UTF-8 in NFC, levels separated by '/'; "INBOX" matches in any case.
 * Pointers returned stay valid until the next WAITS call, unless said otherwise.
 */
#ifndef AEROSTORE_ENGINE_MAILBOX_MAILBOX_H
#define AEROSTORE_ENGINE_MAILBOX_MAILBOX_H

#include "engine/account/account.h"
#include "engine/mailbox/delivery.h"

struct home;
struct mailbox;
struct view;

/* ---- logging in ---- */

/* Where account records live and are changed: implemented above the table stream. */
struct account_source {
	const struct account_record *(*find)(void *context, struct bytes normalised_address);
	/* Appends a signed record to the accounts table, durably, and applies it. */
	WAITS enum err (*publish)(void *context, struct bytes record);
	void *context;
};

struct home_options {
	struct sched *sched;
	struct blobs *blobs;
	struct journal *journal;
	struct account_source accounts;
	struct id128 cluster, node;
	const struct key *node_signing; /* public half verifies deliveries */
	struct summary_hook summary;	/* for APPEND */
	uint64_t cache_ms;	   /* unlocked accounts kept after their last session: 30 min */
	uint64_t snapshot_entries; /* read since the last one: time for the next */
	size_t argon2_parallel;	   /* runs at once; a further `argon2_queue` wait */
	size_t argon2_queue;
	struct slot_parameters unknown_user; /* work done for an address that does not exist */
	struct bytes fake_salt;
};

MUST_USE enum err home_create(const struct home_options *options, struct home **out);
/* All mailboxes must be released. */
WAITS void home_destroy(struct home **home);
/*
 * Checks the password by opening a slot, loads the account's state, and, at the first login of an
 * enrolled-by-operator account, rotates its keys and makes the user's own slot. ERR_AUTH: wrong
 * password, unknown, disabled (same words, same work); ERR_UNAVAILABLE: too many at once, or the
 * journal cannot be read; ERR_DENIED: an invitation, which must be turned into a password first.
 * `peer`: the client's network address, for the log and the queue of known good pairs.
 */
WAITS MUST_USE enum err home_login(struct home *home, struct bytes address, struct bytes password,
				   const char *peer, struct mailbox **out);
void mailbox_release(struct mailbox **mailbox);

/*
 * Of a session: told once, without waiting inside, that it gets nothing from the mailbox any more.
 * ERR_DENIED: the account was disabled or deleted; ERR_UNAVAILABLE: what this process had of the
 * mailbox is not what it is, and the client has to log in again.
 */
struct mailbox_watch {
	void (*dismissed)(void *context, enum err why);
	void *context;
	struct mailbox_watch *next; /* the mailbox's own */
};

void mailbox_watch_start(struct mailbox *mailbox, struct mailbox_watch *watch);
/* Before mailbox_release(). */
void mailbox_watch_stop(struct mailbox *mailbox, struct mailbox_watch *watch);
/* Drops cached accounts that no session uses, at once. */
void home_flush_cache(struct home *home);
size_t home_unlocked_count(const struct home *home);
const char *mailbox_address(const struct mailbox *mailbox);
struct id128 mailbox_account_id(const struct mailbox *mailbox);

/* ---- folders ---- */

enum special_use {
	SPECIAL_NONE = 0,
	SPECIAL_ALL = 1,
	SPECIAL_ARCHIVE,
	SPECIAL_DRAFTS,
	SPECIAL_FLAGGED,
	SPECIAL_JUNK,
	SPECIAL_SENT,
	SPECIAL_TRASH
};

struct folder_info {
	struct id128 id;
	const char *name;
	uint32_t uidvalidity;
	enum special_use special_use;
	bool subscribed;
	bool exists; /* false: only subscribed, or only a parent of others (\Noselect) */
	bool has_children;
};

/* Names that one account may have: folders, parents that do not exist, subscriptions without a folder. */
#define FOLDER_NAMES_MAX 10000u
#define LEVELS_MAX 64u
/* Names that were ever subscribed: one that is no more has to be remembered, too. */
#define SUBSCRIPTIONS_MAX 4096u

/*
 * INBOX first, then the order of names level by level: what is below a folder follows it at once.
 * Stays as it is, whatever happens to the folders or the mailbox, until it is released.
 */
struct folder_list {
	const struct folder_info *items;
	size_t count;
};

MUST_USE enum err mailbox_folder_list(struct mailbox *mailbox, struct folder_list **out);
void folder_list_release(struct folder_list **list);
/* The same, borrowed. */
MUST_USE enum err mailbox_folders(struct mailbox *mailbox, const struct folder_info **folders,
				  size_t *count);
/* ERR_NOTFOUND. */
MUST_USE enum err mailbox_folder(struct mailbox *mailbox, struct bytes name,
				 struct folder_info *out);
/* Missing parents are made, too. ERR_EXISTS, ERR_INVALID (name), ERR_LIMIT (the numbers above). */
WAITS MUST_USE enum err mailbox_create_folder(struct mailbox *mailbox, struct bytes name,
					      enum special_use special_use);
/* Messages go with it; children stay (the name then does not exist but has children). ERR_DENIED: INBOX. */
WAITS MUST_USE enum err mailbox_delete_folder(struct mailbox *mailbox, struct bytes name);
/*
 * With its children, all or none: ERR_EXISTS when a folder has any of the names they would have.
 * INBOX: its messages move, INBOX stays (RFC 3501, 6.3.5).
 */
WAITS MUST_USE enum err mailbox_rename_folder(struct mailbox *mailbox, struct bytes from,
					      struct bytes to);
/* ERR_LIMIT over SUBSCRIPTIONS_MAX. */
WAITS MUST_USE enum err mailbox_subscribe(struct mailbox *mailbox, struct bytes name,
					  bool subscribed);

struct folder_status {
	uint32_t messages, recent, unseen, uidnext, uidvalidity;
	uint64_t highest_modseq, size, deleted;
};

/* Drains the inbox first, so that what was delivered counts. */
WAITS MUST_USE enum err mailbox_status(struct mailbox *mailbox, struct id128 folder,
				       struct folder_status *out);

/* ---- messages ---- */

enum system_flag {
	FLAG_SEEN = 1,
	FLAG_ANSWERED = 2,
	FLAG_FLAGGED = 4,
	FLAG_DELETED = 8,
	FLAG_DRAFT = 16
};

#define KEYWORD_MAX 128u /* different ones a folder */

struct flags {
	uint8_t system;	      /* enum system_flag */
	uint64_t keywords[2]; /* bit i: keyword i of the folder */
};

struct message {
	uint32_t uid;
	struct flags flags;
	bool recent; /* \Recent for this view */
	uint64_t modseq;
	uint64_t arrival_ms; /* INTERNALDATE; zone below */
	int16_t arrival_zone_minutes;
	uint64_t size;	       /* RFC822.SIZE */
	struct id128 email_id; /* survives re-stamping, COPY and MOVE */
};

/* The folder's keyword names, index = bit. Borrowed. */
const char *const *view_keywords(const struct view *view, size_t *count);

/*
 * Opens a folder. Drains a first batch of pending deliveries; the rest arrives while the view is
 * open. read_only: EXAMINE (\Recent is shown, not taken; no change allowed).
 */
WAITS MUST_USE enum err view_open(struct mailbox *mailbox, struct id128 folder, bool read_only,
				  struct view **out);
void view_close(struct view **view);
struct id128 view_folder(const struct view *view);
bool view_read_only(const struct view *view);
uint32_t view_count(const struct view *view);
uint32_t view_recent_count(const struct view *view);
uint32_t view_uidvalidity(const struct view *view);
/* One above every UID that any session was told or may be. */
uint32_t view_uidnext(const struct view *view);
uint64_t view_highest_modseq(const struct view *view);
/* 0 when there is none. Sequence numbers start at 1. */
uint32_t view_first_unseen(const struct view *view);
uint32_t view_uid(const struct view *view, uint32_t sequence);
/* The first sequence number whose UID is >= uid; view_count() + 1 when none. */
uint32_t view_find_uid(const struct view *view, uint32_t uid);
/* State now (newer flags than the client was told). ERR_NOTFOUND: expunged meanwhile, still in the view. */
MUST_USE enum err view_message(struct view *view, uint32_t sequence, struct message *out);
/* Appends the encoded summary (mail/summary.h). No message blob is opened. */
WAITS MUST_USE enum err view_summary(struct view *view, uint32_t sequence, struct buf *out);
/* Appends message octets [offset, offset + size), clamped. ERR_NOTFOUND as above. */
WAITS MUST_USE enum err view_read(struct view *view, uint32_t sequence, uint64_t offset,
				  uint64_t size, struct buf *out);

/* What view_sync() reports, in this order: vanished (highest sequence first), exists, flags. */
struct view_events {
	void (*expunged)(void *context, uint32_t sequence, uint32_t uid);
	void (*exists)(void *context, uint32_t count, uint32_t recent);
	void (*flags)(void *context, uint32_t sequence, uint32_t uid, uint64_t modseq);
	void *context;
};

/* Brings the view up to date; with `expunges` false no message leaves it (FETCH, STORE, SEARCH). */
void view_sync(struct view *view, bool expunges, const struct view_events *events);
/* Whether view_sync() would report anything. */
bool view_stale(const struct view *view);
/* Calls back once, from the loop, when the view becomes stale; NULL to stop. Pushed, never polled. */
void view_notify(struct view *view, void (*stale)(struct view *view, void *context), void *context);

/* ---- changes: atomic each, durable on return ---- */

enum store_mode { STORE_REPLACE, STORE_ADD, STORE_REMOVE };

/*
 * `keywords` are names; unknown ones are created in the folder (ERR_LIMIT over KEYWORD_MAX;
 * ERR_INVALID: one is too long). Any number of messages.
 * `sequences` ascend. Expunged messages are skipped. The change shows at the next view_sync();
 * with `silent` this view does not report what it changed itself.
 */
WAITS MUST_USE enum err view_store(struct view *view, const uint32_t *sequences, size_t count,
				   enum store_mode mode, uint8_t system,
				   const struct bytes *keywords, size_t keyword_count, bool silent);
/*
 * Expunges those of `sequences` that have \Deleted now (all of the view when NULL). What another
 * session of this home moves or expunges at the same time, one of them takes, and *expunged counts.
 */
WAITS MUST_USE enum err view_expunge(struct view *view, const uint32_t *sequences, size_t count,
				     size_t *expunged);

struct copy_result {
	uint32_t uidvalidity;	       /* of the target */
	uint32_t *from_uids, *to_uids; /* pairs; freed with memory_free() */
	size_t count;
};

/* All or nothing; with `move` the originals are expunged in the same entry. ERR_NOTFOUND: target. */
WAITS MUST_USE enum err view_copy(struct view *view, const uint32_t *sequences, size_t count,
				  struct bytes target, bool move, struct copy_result *out);

struct appending;

/* APPEND: streams the message in. ERR_NOTFOUND: folder ([TRYCREATE]). */
WAITS MUST_USE enum err append_begin(struct mailbox *mailbox, struct bytes folder,
				     struct appending **out);
WAITS MUST_USE enum err append_write(struct appending *appending, struct bytes message);
/* arrival_ms 0: now. Durable when it returns ERR_OK. */
WAITS MUST_USE enum err append_finish(struct appending *appending, uint8_t system,
				      const struct bytes *keywords, size_t keyword_count,
				      uint64_t arrival_ms, int16_t zone_minutes,
				      uint32_t *uidvalidity, uint32_t *uid);
void append_end(struct appending **appending);

/* ---- passwords and slots (aeroctl over the admin socket; later the self-service page) ---- */

/* `current`: password, invitation or recovery code. Makes or replaces the password slot. */
WAITS MUST_USE enum err home_change_password(struct home *home, struct bytes address,
					     struct bytes current, struct bytes next);
/* A new recovery code or app password, printed once: appended to `secret`. */
WAITS MUST_USE enum err home_add_slot(struct home *home, struct bytes address, struct bytes current,
				      enum slot_kind kind, struct buf *secret);
WAITS MUST_USE enum err home_remove_slot(struct home *home, struct bytes address,
					 struct bytes current, uint32_t slot_id);

/*
 * Visits every blob that the account's state in this process refers to: what a change or a manifest
 * made from now on may name, besides blobs that are uploaded later. Nothing when it is not loaded.
 * Does not wait. ERR_UNAVAILABLE: a change or a manifest is under way, ask again later.
 */
MUST_USE enum err home_references(const struct home *home, struct id128 account,
				  enum err (*each)(void *context, const struct blob_ref *blob),
				  void *context);

/* Counted since the start: what tests assert. */
struct mailbox_counters {
	uint64_t entries_read, deliveries_drained, duplicates_dropped, broken_entries, manifests,
		pages_written, uidvalidity_bumps, restamps;
};
struct mailbox_counters home_counters(const struct home *home);

#endif
