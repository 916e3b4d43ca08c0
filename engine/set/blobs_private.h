/* SPDX-License-Identifier: MPL-2.0 */
/*
 * blobs_private - what the client's files share:
 *   blobs.c      opening, closing, status
 *   open_set.c   one set that is being written: 1+m copies, acknowledging
 *   writer.c     the foreground writer: which set, which column, hedging
 *   upload.c     blob_upload_*: cutting into pieces, references
 *   ask.c        calls that are waited for, but not for ever
 *   reader.c     blob_read: one pread, mirrors, decoding
 *   finish.c     what seals a set, or gives it up
 *   catch_up.c   evens out the copies of a set that a crash left uneven
 *   evacuate.c   copies a set that cannot be sealed
 *   inheritance.c what the successors of a set hold
 *   recovery.c   which sets have to be finished, and when
 *   repair.c     makes missing columns of sealed sets anew (engine/set/repair.h);
 *                repair_survey.c finds them, repair_column.c has one made
 *   salvage.c    what is left of a sealed set that is beyond repair (engine/set/salvage.h)
 *   handover.c   whose a sealed set's place in the directory is (engine/set/handover.h)
 *   successor.c  a born-sealed set being filled
 *   compact.c    takes over what lives of sealed sets
 *   scrub.c      reads every column, again and again (engine/set/scrub.h)
 */
#ifndef AEROSTORE_ENGINE_SET_BLOBS_PRIVATE_H
#define AEROSTORE_ENGINE_SET_BLOBS_PRIVATE_H

#include "engine/base/map.h"
#include "engine/directory/store.h"
#include "engine/set/blobs.h"
#include "engine/set/call.h"
#include "engine/set/health.h"
#include "engine/set/member.h"

struct put;
struct open_set;
union question;

struct writer {
	struct open_set *current, *spare;
	struct put *waiting_first, *waiting_last; /* no set to go to yet */
	struct env_timer timer;			  /* hedging, resuming, and sealing what is old */
	uint64_t fires_ms;			  /* when it is armed */
	bool opening;				  /* a task is at it */
};

/*
 * A set whose columns are being created and whose entry is on its way: others may meet both, and
 * must not take it for one that a crash left behind.
 */
struct set_birth {
	uint64_t set;
	struct set_birth *next;
};

struct blobs {
	struct blobs_options options;
	struct sched *sched;
	struct env *env;
	struct wire *wire;
	struct directory_store *directory;
	struct member **members;
	size_t member_count;
	struct id128 incarnation;
	struct writer writer;
	struct health health;
	union question *questions;   /* that are not answered; ask.c */
	struct blob_upload *uploads; /* oldest first */
	uint64_t next_number;
	bool closing;
	void (*read)(void *context, struct id128 blob); /* blobs_watch_reads() */
	void *read_context;
	struct group tasks;
	struct open_set *open_sets; /* every one that lives */
	struct set_birth *births;   /* sets that are being made */
	struct env_timer recovery_timer;
	bool recovering, recover_again;
	uint64_t unfinished_count; /* of sets in the last pass, and why: said when it changes */
	enum err unfinished_err;
	struct cond recovered;
	uint64_t read_count, seals, evacuations, degraded_reads, mirror_reads, records_lost;
	uint64_t hedged_reads;
	struct gate handover; /* engine/set/handover.h */
	struct repair *repair;
	struct scrub *scrub;
};

/* ---- blobs.c ---- */

/* What an item of SET_ENUMERATE says, into the directory as this process sees it. */
MUST_USE enum err blobs_learn_column(struct blobs *blobs, const uint8_t *item);

/* ---- open_set.c ---- */

/* A record on its way into a set. */
struct put {
	struct record record; /* immutable part in; place part out */
	struct shared *bytes; /* whole record; the header is filled in by open_set_put() */
	/*
	 * ERR_OK: acknowledged (1+m synced copies). ERR_STALE: this set takes it no more, put it
	 * elsewhere; what it wrote here counts for nothing. Else: there is nowhere to put it.
	 */
	void (*done)(struct put *put, enum err err);
	void *context;
	/* the set's own */
	struct open_set *set;
	uint64_t end, posted_ms;
	struct put *next;
};

struct open_set {
	struct blobs *blobs;
	struct column_header header; /* of column 0 */
	struct set_writer machine;
	struct put *first[PROFILE_MEMBER_MAX], *last[PROFILE_MEMBER_MAX]; /* unacknowledged */
	unsigned in_flight;						  /* append calls */
	uint64_t opened_ms;
	uint64_t left_ms; /* when it was paused, closed or broken */
	uint32_t slow;	  /* paused because of these members */
	struct cond changed;
	struct open_set *next; /* in blobs->open_sets */
	bool finishing;	       /* somebody finishes it, and will free it */
	bool abandoned;	       /* is finished; goes with the last answer to its appends */
};

/* What a new set is to be. */
struct open_set_order {
	const uint64_t *predecessors; /* as in column.h; any: it is born sealed */
	uint32_t predecessor_count;
	uint64_t capacity;
	uint64_t content; /* bytes of records that must find room, or nothing is begun */
	/*
	 * It frees more than it takes: full volumes and reserves are used. Otherwise the content must
	 * fit above the reserves: what is only moved must not fill a volume.
	 */
	bool urgent;
};

/* Makes its columns on the best volumes, and its birth durable. ERR_UNAVAILABLE, ERR_NOSPACE. */
WAITS MUST_USE enum err open_set_create(struct blobs *blobs, const struct open_set_order *order,
					struct open_set **out);
/* The profile that a set would get; urgent as above. {0, 0}: none. */
struct profile open_set_best_profile(const struct blobs *blobs, bool urgent);
/* When nothing is in flight. */
void open_set_destroy(struct open_set **set);
/* The same, or, when appends to a disk that hangs are in flight, once they are answered. */
void open_set_abandon(struct open_set **set);
/* The first of blobs->open_sets, when the store is closed: it goes with its last answer. */
void open_set_leave(struct open_set *set);
/* Appends are in flight to a disk that hangs: their answers are not worth waiting for. */
bool open_set_is_stuck(const struct open_set *set);
/* Of a new set on these volumes; {0, 0}: there is none. */
struct profile open_set_profile(const struct blobs *blobs, const struct layout *usable);
bool open_set_takes(const struct open_set *set, const struct put *put);
/* The column that it goes to, given that open_set_takes(). */
uint8_t open_set_column(const struct open_set *set, const struct put *put);
/* Sends it to 1+m members; done comes later, from the loop. ERR_NOMEM: not taken. */
MUST_USE enum err open_set_put(struct open_set *set, uint8_t column, struct put *put);
/* Members are slow: gives back what is not acknowledged; the set takes nothing until resumed. */
void open_set_pause(struct open_set *set, uint32_t slow);
void open_set_resume(struct open_set *set);
/* Of one that is closed: what is not acknowledged goes elsewhere. */
void open_set_give_back(struct open_set *set);
void open_set_close(struct open_set *set);
/* When the oldest unacknowledged record was posted; UINT64_MAX: there is none. */
uint64_t open_set_oldest_ms(const struct open_set *set);
bool open_set_is_empty(const struct open_set *set);
/* The layout without what is failed, full or suspect. */
MUST_USE enum err open_set_usable_layout(const struct blobs *blobs, bool without_suspects,
					 struct layout *out);
/* Where one would look first for a piece. */
uint8_t open_set_preferred_column(struct id128 id, uint32_t piece, uint8_t k);

/* ---- writer.c ---- */

void writer_start(struct blobs *blobs);
/* Puts it into the current set, another one, or, when there is none now, waits for one. */
void writer_put(struct blobs *blobs, struct put *put);
/* Takes back what waits for a set. */
void writer_cancel(struct blobs *blobs, struct put *put);
void writer_stop(struct blobs *blobs);
/* A set that was paused has had its last answer. */
void writer_set_drained(struct blobs *blobs);
/* The members that have not synced what the others have. */
uint32_t writer_slow_members(const struct open_set *set);
/* The set has lost a member. */
void writer_set_broken(struct blobs *blobs, struct open_set *set);
/*
 * Closes sets that lost a member: what they hold has a copy less, and is copied to another one
 * without waiting for the next record to fail.
 */
void writer_layout_changed(struct blobs *blobs);
/* Closes the current, the spare and the paused sets, for recovery.c to finish. */
void writer_retire(struct blobs *blobs);
bool writer_uses(const struct blobs *blobs, const struct open_set *set);
/* Of the next set. {0, 0}: none possible. */
struct profile writer_profile(const struct blobs *blobs);
/* Why none is possible: ERR_NOSPACE, the volumes are full; ERR_UNAVAILABLE, there are too few. */
MUST_USE enum err writer_shortage(const struct blobs *blobs);

/* ---- ask.c ---- */

/*
 * Calls to members, with a way out: each lies on the heap, and is freed when it has been both
 * released and answered, however late that is. One that is not answered within its patience makes
 * its volume a hanging one, of which nothing more is asked until it answers.
 *
 * The call starts zeroed. `drop` (may be NULL) frees what is left in it in the end: what the answer
 * carries, and references given with it that nobody took. NULL: out of memory.
 */
void *ask_create(size_t size, unsigned operation, struct id128 volume,
		 void (*drop)(struct wire_call *call));
void ask_post(struct blobs *blobs, void *call, uint64_t patience_ms, struct cond *asker);
/* Posts all, and waits until they are answered or patience ends. None may be NULL. */
WAITS void ask_all(struct blobs *blobs, void *const *calls, size_t count, uint64_t patience_ms);
/* Posts one and waits for it; ask_err(). */
WAITS MUST_USE enum err ask(struct blobs *blobs, void *call, uint64_t patience_ms);
/* The answer's; ERR_UNAVAILABLE while there is none, ERR_CANCELED in a canceled task. */
enum err ask_err(const void *call);
bool ask_is_answered(const void *call);
/* Done with it, answered or not. NULL does nothing. */
void ask_release(void *call);
bool ask_is_hanging(const struct blobs *blobs, struct id128 volume);
/* What is still under way tells nobody any more. */
void ask_forget_all(struct blobs *blobs);
/* For what takes a few accesses to the disk. */
uint64_t ask_patience_ms(const struct blobs *blobs);
/* For what reads or writes so many bytes. */
uint64_t ask_patience_for_ms(const struct blobs *blobs, uint64_t size);
/* For what reads or makes a whole column of the set at no more than `rate` bytes a second. */
uint64_t ask_patience_paced_ms(const struct blobs *blobs, uint64_t set, uint64_t rate);

/* ---- finish.c ---- */

/* The members of a set as its record shows them; ids are zero where there is none. */
void set_members(const struct directory_record *record, struct id128 *volumes, struct id128 *tags);
/*
 * Brings a set to its end: sealed and published, or evacuated and removed. ERR_UNAVAILABLE: not
 * now.
 */
WAITS MUST_USE enum err finish_set(struct blobs *blobs, uint64_t set);

/* A set in the hands of who finishes it, and what its members say of themselves. */
struct finish {
	struct blobs *blobs;
	uint64_t set;
	struct id128 uuid;
	struct profile profile;
	struct id128 volumes[PROFILE_MEMBER_MAX], tags[PROFILE_MEMBER_MAX];
	struct set_answer answers[PROFILE_MEMBER_MAX];
	struct column_header header; /* of any member that answered */
	/* absent: answers, but has no column of this set; or removed it, as the directory says */
	unsigned answered, absent;
	uint32_t silent;    /* bit i: member i is neither; nobody knows what it holds */
	bool all_placed;    /* a column without a volume is one that was removed */
	uint32_t certified; /* bit i: member i holds the certificate */
};

/* ERR_NOTFOUND: the directory knows nothing to finish. */
MUST_USE enum err finish_load(struct blobs *blobs, uint64_t set, struct finish *out);
/* SET_ASK or SET_FENCE to every member. */
WAITS MUST_USE enum err finish_ask(struct finish *finish, enum set_operation operation);
/* One member, now. */
WAITS bool finish_answers(struct finish *finish, unsigned member);
/* Nobody is silent: what nobody has is nowhere. */
bool finish_all_known(const struct finish *finish);
/* Votes, certificate, publication. ERR_STALE: not unanimous. */
WAITS MUST_USE enum err finish_seal(struct finish *finish, const struct set_descriptor *descriptor);
/* After one of these two: every member holds the certificate. */
bool finish_is_complete(const struct finish *finish);
/* Hands out a certificate that a member holds. */
WAITS MUST_USE enum err finish_certify(struct finish *finish);
/* Deletes the columns of those that are not silent, and says so in the directory. */
WAITS MUST_USE enum err finish_remove(struct finish *finish);

/* Every column is sealed, or what was in it has gone on to a set of which that is true. */
bool set_is_whole(const struct blobs *blobs, uint64_t set);

/*
 * evacuate.c: copies those of the set's records that no whole successor holds to a new one, and
 * removes what answers of the set.
 */
WAITS MUST_USE enum err evacuate_set(struct finish *finish);
/* catch_up.c: brings every member to `target` with records of the others. */
WAITS MUST_USE enum err catch_up_set(struct finish *finish, const struct set_descriptor *target);
/* The record of an entry from one member, as it lies there. */
WAITS MUST_USE enum err fetch_record(struct finish *finish, unsigned member,
				     const struct column_entry *entry, struct shared **out);
/* The entries that a member holds; the caller frees. */
WAITS MUST_USE enum err fetch_list(struct finish *finish, unsigned member,
				   struct column_entry **out, uint32_t *count);
/* inheritance.c: the same from a sealed member's index, for the whole set. ERR_STALE: not sealed. */
WAITS MUST_USE enum err fetch_index_entries(struct blobs *blobs, struct id128 volume, uint64_t set,
					    struct column_entry **out, uint32_t *count);

/* ---- recovery.c ---- */

/* Looks for sets to finish, in a task, now or after the one under way. */
void recovery_kick(struct blobs *blobs);
/* What is left of it lies on volumes that are away: it goes on when one of them comes. */
bool recovery_is_away(const struct blobs *blobs, const struct directory_record *record);
void recovery_kick_later(struct blobs *blobs, uint64_t delay_ms);
/* Waits until it has nothing more to do; ERR_UNAVAILABLE when something is left. */
WAITS MUST_USE enum err recovery_run(struct blobs *blobs);

/* ---- reader.c ---- */

/* Checks a whole record against its name. ERR_CORRUPT. */
MUST_USE enum err reader_check(struct bytes whole, uint64_t set, struct id128 id, uint32_t piece,
			       struct record *out);
/* A record of a blob from this set alone, by whatever way is left. Errors as blob_read(). */
WAITS MUST_USE enum err reader_fetch(struct blobs *blobs, uint64_t set, struct id128 id,
				     uint32_t piece, struct shared **out);
/* Some volume of the layout does not serve now. */
bool blobs_someone_is_away(const struct blobs *blobs);
/* In the layout, and not failed. */
bool blobs_volume_is_live(const struct blobs *blobs, struct id128 volume);
/* Not away: none of the layout's volumes is, and this is none of them. */
bool blobs_volume_is_gone(const struct blobs *blobs, struct id128 volume);

#endif
