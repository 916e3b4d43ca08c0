/* SPDX-License-Identifier: MPL-2.0 */
/* What the files of the journal's client share. Nobody else includes it. */
#ifndef AEROSTORE_ENGINE_JOURNAL_JOURNAL_PRIVATE_H
#define AEROSTORE_ENGINE_JOURNAL_JOURNAL_PRIVATE_H

#include "engine/base/map.h"
#include "engine/journal/protocol.h"
#include "engine/journal/replica.h"
#include "engine/journal/state.h"
#include "engine/journal/store.h"

/* How long a question waits for the slowest replica when enough others have answered, or none. */
#define JOURNAL_ANSWER_MS 2000u
/* How long an append waits for its quorum. */
#define JOURNAL_APPEND_MS 10000u
/* Bytes on their way to one volume; what does not fit is left to the resync. */
#define JOURNAL_LAG_MAX (32u * 1024 * 1024)
#define JOURNAL_RESYNC_MS 60000u
/* Between what asks for a round and the round. */
#define JOURNAL_PAUSE_MS 200u

/* The designated replicas of a stream, now. */
struct replica_set {
	size_t count;
	struct id128 volumes[LAYOUT_REPLICAS];
	struct id128 nodes[LAYOUT_REPLICAS];
};

/* A volume as the client sees it. */
struct member {
	struct id128 volume;
	size_t outstanding; /* bytes of appends on their way */
	bool counted;	    /* it has all that it should: its answers count */
};

struct journal {
	struct sched *sched;
	struct env *env;
	struct wire *wire;
	const struct layout *layout;
	struct replica **replicas; /* of this process */
	char *index_directory;	   /* of theirs */
	uint64_t segment_size;
	size_t replica_count;
	struct map members; /* volume to struct member; never removed */
	struct replica_set sets[LAYOUT_GROUP_COUNT];
	bool set_known[LAYOUT_GROUP_COUNT];
	struct marks marks;
	struct shared *encoded_marks; /* NULL: changed since */
	struct map watches;	      /* stream to the first of its watches */
	struct group calls, tasks;    /* calls on their way; the resync's task */
	struct cond resync_wanted;
	bool resync_due, resync_failed, stopping;
	uint64_t lagging;
	size_t writer_count;
	struct map closed; /* incarnations of blob writers: engine/journal/closings.h */
	struct vector closings_seen;
	struct batch *batches; /* of all writers, as long as anything of one is under way */
};

const struct replica_set *journal_replicas(struct journal *journal, struct id128 stream);
/* NULL: out of memory. */
struct member *journal_member(struct journal *journal, struct id128 volume);
/* How many of a set must hold what is appended: W, or what is live, never below two. */
size_t journal_quorum(const struct journal *journal, const struct replica_set *set);
/* How many counted answers make a read complete. */
size_t journal_read_quorum(const struct journal *journal);
bool journal_is_counted(struct journal *journal, struct id128 volume);
/* A reference to the encoded marks, or NULL when memory is out. */
struct shared *journal_marks(struct journal *journal);
void journal_learn_position(struct journal *journal, struct id128 volume,
			    struct journal_position position);
/* A replica lacks something that another has: the resync will see to it. */
void journal_want_resync(struct journal *journal);
void journal_notify(struct journal *journal, struct id128 stream);
/* The first seq of what a writer of this process is not acknowledged in the stream; 0: nothing. */
uint64_t journal_under_way(const struct journal *journal, struct id128 stream,
			   struct id128 incarnation);
/* The task. */
void journal_resync_task(void *argument);

/* ---- fan-out: one question to several volumes ---- */

union fanout_call {
	struct wire_call wire;
	struct journal_state_call state;
	struct journal_promise_call promise;
	struct journal_put_call put;
	struct journal_get_call get;
	struct journal_hello_call hello;
	struct journal_mark_call mark;
	struct journal_list_call list;
	struct journal_read_call read;
};

struct fanout_target {
	union fanout_call call;
	struct fanout *fanout;
	bool answered;
};

/*
 * On the heap, because answers may come after nobody waits for them any more. What the calls refer
 * to (shared) is released with it.
 */
struct fanout {
	struct journal *journal;
	size_t references, count, answered, succeeded;
	struct cond changed;
	struct fanout_target targets[];
};

/* One target a volume, zero but for volume and operation. NULL: out of memory. */
struct fanout *fanout_create(struct journal *journal, const struct id128 *volumes, size_t count,
			     enum journal_operation operation);
void fanout_post(struct fanout *fanout);
/* Until `enough` have succeeded, all have answered, or the deadline. ERR_CANCELED. */
WAITS MUST_USE enum err fanout_wait(struct fanout *fanout, size_t enough, uint64_t deadline_ms);
bool fanout_succeeded(const struct fanout_target *target);
void fanout_release(struct fanout **fanout);
/* One question to one volume; *out keeps the answer until it is released. */
WAITS MUST_USE enum err fanout_ask(struct fanout *fanout);

#endif
