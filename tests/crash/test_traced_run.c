/* SPDX-License-Identifier: MPL-2.0 */
/*
 * No reply precedes the return of its syncs: several deliveries and sessions at
 * once use a store whose disks are recorded; for each answer, the bytes of its
 * journal entries and of the blobs they name must have been synced before it, on
 * W and on 1+m volumes. Syncs end in an order that the seed draws.
 */
#include <inttypes.h>

#include "tests/sim/allocate.h"
#include "tests/sim/plant.h"
#include "tests/sim/workload/message.h"
#include "tests/support/crash/trace.h"
#include "tests/support/mailbox_fixture.h"
#include "tests/support/unit.h"

#define COURIERS 3u
#define SESSIONS 3u
#define ACTORS (COURIERS + SESSIONS)
#define ROUNDS 4u
#define REPLIES_MAX 512u
#define SEEDS 6u
#define TRACED_STREAM 806
/* 2+1 over three volumes. */
#define ENTRY_VOLUMES 2u
#define PIECE_VOLUMES 2u

struct reply {
	const char *what;
	struct id128 stream;
	uint64_t begun, replied;
	bool names_blob;
};

struct run {
	struct post post;
	struct recorder recorder;
	struct sim_random random;
	struct group actors;
	size_t message_count;
	struct reply replies[REPLIES_MAX];
	size_t reply_count;
	size_t refused;
};

struct actor {
	struct run *run;
	unsigned number;
	char address[32];
	struct id128 stream;
};

/* ---- requests and replies ---- */

static uint64_t begin(struct run *run)
{
	return recorder_note(&run->recorder);
}

static void replied(struct actor *actor, const char *what, uint64_t begun, enum err err,
		    bool names_blob)
{
	struct run *run = actor->run;

	if (err != ERR_OK) {
		run->refused++;
		return;
	}
	assert_true(run->reply_count < REPLIES_MAX);
	run->replies[run->reply_count++] = (struct reply){
		what, actor->stream, begun, recorder_note(&run->recorder), names_blob};
}

static void compose(struct run *run, struct buf *message)
{
	buf_clear(message);
	message_make(message, run->message_count++, 60000, &run->random);
	buf_put_u8(message, '\0');
}

/* ---- actors ---- */

static WAITS void courier(void *argument)
{
	struct actor *actor = argument;
	struct buf message = {0};

	for (unsigned i = 0; i < ROUNDS * 2; i++) {
		uint64_t begun;
		enum err err;

		compose(actor->run, &message);
		begun = begin(actor->run);
		err = post_deliver_to(&actor->run->post, actor->address, "",
				      (const char *)message.data);
		replied(actor, "delivery", begun, err, true);
	}
	buf_finish(&message);
	group_leave(&actor->run->actors);
}

static WAITS void append(struct actor *actor, struct mailbox *mailbox)
{
	struct buf message = {0};
	uint64_t begun;

	compose(actor->run, &message);
	begun = begin(actor->run);
	(void)post_append(mailbox, "INBOX", (const char *)message.data, 0);
	replied(actor, "append", begun, ERR_OK, true);
	buf_finish(&message);
}

static WAITS void change(struct actor *actor, struct view *view)
{
	struct copy_result result = {0};
	struct message message;
	uint32_t first = 1;
	size_t count = 0;
	uint64_t begun;
	enum store_mode mode;
	enum err err;

	/* A flag that is there already needs no entry: change what is. */
	assert_ok(view_message(view, first, &message));
	mode = message.flags.system & FLAG_FLAGGED ? STORE_REMOVE : STORE_ADD;
	begun = begin(actor->run);
	err = view_store(view, &first, 1, mode, FLAG_FLAGGED, NULL, 0, false);
	replied(actor, "store", begun, err, false);
	begun = begin(actor->run);
	err = view_copy(view, &first, 1, bytes_string("INBOX"), false, &result);
	replied(actor, "copy", begun, err, false);
	memory_free(result.from_uids);
	memory_free(result.to_uids);
	assert_int_equal(view_store(view, &first, 1, STORE_ADD, FLAG_DELETED, NULL, 0, true),
			 ERR_OK);
	begun = begin(actor->run);
	err = view_expunge(view, &first, 1, &count);
	replied(actor, "expunge", begun, err, false);
}

static WAITS void session(void *argument)
{
	struct actor *actor = argument;
	struct mailbox *mailbox = post_login(&actor->run->post, actor->address, "secret");

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct view *view;

		append(actor, mailbox);
		view = post_view(mailbox, "INBOX");
		change(actor, view);
		view_close(&view);
	}
	mailbox_release(&mailbox);
	group_leave(&actor->run->actors);
}

/* ---- a run ---- */

static WAITS void live(void *argument)
{
	struct run *run = argument;
	struct env *env = sched_env(task_sched());
	struct actor actors[ACTORS];

	assert_ok(key_random(env, &run->post.admin));
	assert_ok(key_random(env, &run->post.node));
	post_format(&run->post);
	post_open(&run->post);
	for (unsigned i = 0; i < ACTORS; i++) {
		struct actor *actor = &actors[i];

		*actor = (struct actor){.run = run, .number = i};
		(void)snprintf(actor->address, sizeof(actor->address), "user%u@example.org", i);
		post_add_account(&run->post, actor->address, "secret", true, false);
		actor->stream = accounts_find(engine_accounts(run->post.engine),
					      bytes_string(actor->address))
					->stream;
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		group_enter(&run->actors);
		assert_ok(task_spawn(task_sched(), "actor", i < COURIERS ? courier : session,
				     &actors[i], NULL));
	}
	group_wait(&run->actors);
	post_close(&run->post);
}

struct verdict {
	size_t replies, entries, pieces, early;
	const char *first_early;
};

static void judge(const struct run *run, struct verdict *out)
{
	for (size_t i = 0; i < run->reply_count; i++) {
		const struct reply *reply = &run->replies[i];
		struct trace_finding finding;

		trace_reply(&run->recorder, reply->stream, reply->begun, reply->replied, &finding);
		out->replies++;
		out->entries += finding.entries;
		out->pieces += finding.pieces;
		/* An answer that nothing was written for would be worse. */
		if (finding.entry_volumes >= ENTRY_VOLUMES &&
		    (!reply->names_blob ||
		     (finding.pieces != 0 && finding.piece_volumes >= PIECE_VOLUMES)))
			continue;
		if (out->early++ == 0)
			out->first_early = reply->what;
	}
}

static void run_seed(uint64_t seed, struct verdict *out)
{
	struct run *run = sim_allocate(sizeof(*run));

	run->post = (struct post){.column_size = 256 * 1024, .cache_ms = 60000};
	assert_ok(key_library_init());
	sim_random_init(&run->random, seed, TRACED_STREAM);
	recorder_init(&run->recorder, seed);
	recorder_add_disk(&run->recorder, "/d0");
	recorder_add_disk(&run->recorder, "/d1");
	recorder_add_disk(&run->recorder, "/d2");
	recorder_add_disk(&run->recorder, "/index");
	recorder_run(&run->recorder, live, run);
	assert_int_equal(run->refused, 0);
	judge(run, out);
	recorder_finish(&run->recorder);
	key_release(&run->post.admin);
	key_release(&run->post.node);
	sim_free(run);
}

static void test_no_reply_precedes_its_syncs(void **state)
{
	struct verdict verdict = {0};

	(void)state;
	plant_reset();
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run_seed(seed, &verdict);
	print_message("%u runs: %zu replies, resting on %zu entries and %zu pieces of blobs\n",
		      SEEDS, verdict.replies, verdict.entries, verdict.pieces);
	if (verdict.early != 0)
		print_error("%zu came early, first a %s\n", verdict.early, verdict.first_early);
	assert_int_equal(verdict.early, 0);
	assert_int_equal(verdict.replies, SEEDS * (COURIERS * ROUNDS * 2 + SESSIONS * ROUNDS * 4));
}

static void test_planted_bugs_are_found(void **state)
{
	static const enum plant plants[] = {PLANT_ack_before_sync, PLANT_journal_ack_one_replica,
					    PLANT_directory_entry_unsynced};

	(void)state;
	for (size_t i = 0; i < sizeof(plants) / sizeof(plants[0]); i++) {
		struct verdict verdict = {0};

		plant_reset();
		plant_set(plants[i], true);
		run_seed(1, &verdict);
		plant_reset();
		print_message("%-30s %zu of %zu replies too early\n", plant_name(plants[i]),
			      verdict.early, verdict.replies);
		assert_true(verdict.early != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_reply_precedes_its_syncs),
		cmocka_unit_test(test_planted_bugs_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
