/* SPDX-License-Identifier: MPL-2.0 */
/*
 * A small life of a store is recorded on real files; every state that a loss of
 * power may leave of it is opened by the engine, which must find all it promised.
 *
 *	CRASH_SEED=n         another life (1)
 *	CRASH_PERCENT=n      share of the distinct states that are opened (60; 6 under sanitizers)
 *	CRASH_LOG=1          log lines of the engine
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/sim/allocate.h"
#include "tests/sim/plant.h"
#include "tests/sim/sim_task.h"
#include "tests/support/crash/mail.h"
#include "tests/support/crash/states.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/unit.h"

#ifdef __SANITIZE_ADDRESS__
#define PERCENT 6u
#define HUNT_PERCENT 20u
#else
#define PERCENT 60u
#define HUNT_PERCENT 50u
#endif
#define REAL_EVERY 199u
/* Of the second life's commits, the one whose sync fails. */
#define FAILS 2u
#define INDEX_STREAM 805

struct trial {
	struct mail mail;
	struct recorder recorder;
	struct loop_fixture *loop; /* for states on real directories; NULL: none */
	size_t on_real, without_volume, broken;
	char first_wrong[400];
};

static uint64_t setting(const char *name, uint64_t value)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : value;
}

/* ---- one state ---- */

static void apply_index_commit(struct env *env, struct env_index *index,
			       const struct index_commit *commit)
{
	struct cursor cursor = cursor_make(bytes_of_buf(&commit->changes));

	while (cursor_left(&cursor) != 0) {
		struct env_index_change change = {.key = cursor_block(&cursor)};
		bool has_value = cursor_u8(&cursor) != 0;

		change.value = cursor_block(&cursor);
		if (!has_value)
			change.value = bytes_make(NULL, 0);
		if (change.key.size == 0)
			assert_ok(env_index_clear(env, index));
		else
			assert_ok(env_index_commit(env, index, &change, 1, true));
	}
	assert_ok(cursor.err);
}

/* What was committed durably is there, what came later may be; or the index is empty. */
static void put_index(const struct recorder *recorder, uint64_t cut, const char *path,
		      struct sim_random *random, struct sim *sim)
{
	struct env *env = sim_simple_env(sim);
	struct env_index *index;
	size_t least = 0, most = 0, count;

	for (; most < recorder->index_commit_count && recorder->index_commits[most].event <= cut;
	     most++) {
		if (recorder->index_commits[most].durable &&
		    strcmp(recorder->index_commits[most].path, path) == 0)
			least = most + 1;
	}
	count = least + sim_random_below(random, most - least + 1);
	if (sim_random_below(random, 4) == 0)
		count = 0;
	assert_ok(env_index_open(env, path, &index));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(recorder->index_commits[i].path, path) == 0)
			apply_index_commit(env, index, &recorder->index_commits[i]);
	}
	env_index_close(env, index);
}

/* Each volume has one of its own, and each is as old as it likes. */
static void put_indexes(const struct recorder *recorder, const struct crash_state *state,
			struct sim *sim)
{
	struct sim_random random;

	sim_random_init(&random, state->hash.high, INDEX_STREAM);
	for (size_t i = 0; i < recorder->index_commit_count; i++) {
		bool is_first = true;

		for (size_t j = 0; j < i && is_first; j++)
			is_first = strcmp(recorder->index_commits[j].path,
					  recorder->index_commits[i].path) != 0;
		if (is_first)
			put_index(recorder, state->cut, recorder->index_commits[i].path, &random,
				  sim);
	}
}

static void check_on_sim(struct trial *trial, const struct crash_state *state)
{
	struct sim *sim = sim_simple();

	(void)sim_add_disk(sim->nodes[0], "/index", NULL);
	for (size_t i = 0; i < POST_VOLUMES; i++) {
		char path[8];

		(void)snprintf(path, sizeof(path), "/d%zu", i);
		(void)sim_add_disk(sim->nodes[0], path, NULL);
	}
	image_put_sim(state->image, sim->nodes[0]);
	put_indexes(&trial->recorder, state, sim);
	if (sim_run_task(sim, mail_check, &trial->mail) != ERR_OK)
		(void)snprintf(trial->mail.wrong, sizeof(trial->mail.wrong), "no end in sight");
	sim_finish(&sim);
}

static void check_on_real(struct trial *trial, const struct crash_state *state)
{
	char root[96], path[128];

	(void)snprintf(root, sizeof(root), "%s/%zu", trial->loop->directory, state->number);
	assert_int_equal(mkdir(root, 0700), 0);
	for (size_t i = 0; i < POST_VOLUMES; i++) {
		(void)snprintf(path, sizeof(path), "%s/d%zu", root, i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/index", root);
	assert_int_equal(mkdir(path, 0700), 0);
	image_put_real(state->image, root);
	trial->mail.post.root = root;
	loop_fixture_run(trial->loop, mail_check, &trial->mail);
	trial->mail.post.root = NULL;
	trial->on_real++;
}

/* Any; where a sync failed, another than that sync's. */
static size_t volume_to_lose(const struct trial *trial, const struct crash_state *state)
{
	size_t volume = state->hash.low / 4 % POST_VOLUMES;

	if (trial->mail.fail_commit_in == 0)
		return volume;
	for (;; volume = (volume + 1) % POST_VOLUMES) {
		char path[8];

		(void)snprintf(path, sizeof(path), "/d%zu/", volume);
		if (strncmp(recorder_file_path(&trial->recorder, trial->recorder.failed_file), path,
			    strlen(path)) != 0)
			return volume;
	}
}

static bool check_state(void *context, const struct crash_state *state)
{
	struct trial *trial = context;
	char path[8];
	/* What was promised holds with one volume gone, too, whenever the engine said so. */
	bool without = state->hash.low % 4 == 0 && (trial->mail.fail_commit_in == 0 ||
						    mail_tolerated(&trial->mail, state->cut) != 0);

	if (without) {
		(void)snprintf(path, sizeof(path), "/d%zu/v", volume_to_lose(trial, state));
		image_remove(state->image, path);
		trial->without_volume++;
	}
	trial->mail.cut = state->cut;
	trial->mail.again = state->number % 8 == 0;
	if (trial->loop != NULL && state->number % REAL_EVERY == 0)
		check_on_real(trial, state);
	else
		check_on_sim(trial, state);
	if (trial->mail.wrong[0] == '\0')
		return true;
	if (trial->broken++ == 0)
		(void)snprintf(trial->first_wrong, sizeof(trial->first_wrong),
			       "state %zu, cut %" PRIu64 ", %s: %s", state->number, state->cut,
			       without ? path : "all volumes", trial->mail.wrong);
	return false;
}

/* ---- the life ---- */

static void begin(struct trial *trial, uint64_t seed)
{
	*trial = (struct trial){.loop = NULL};
	mail_init(&trial->mail, seed);
	recorder_init(&trial->recorder, seed);
	for (size_t i = 0; i < POST_VOLUMES; i++) {
		char path[8];

		(void)snprintf(path, sizeof(path), "/d%zu", i);
		recorder_add_disk(&trial->recorder, path);
	}
	recorder_add_disk(&trial->recorder, "/index");
}

static void end(struct trial *trial)
{
	recorder_finish(&trial->recorder);
	mail_finish(&trial->mail);
	sim_free(trial);
}

static void enumerate(struct trial *trial, uint64_t seed, uint64_t percent,
		      struct states_report *report)
{
	const struct states_options options = {
		.seed = seed,
		.all_subsets_max = 6,
		.random_count = 8,
		.torn_count = 2,
		.first_cut = mail_formatted(&trial->mail),
		.visit_per_million = (uint32_t)(percent * (SIM_MILLION / 100)),
	};

	states_enumerate(&trial->recorder, &options, check_state, trial, report);
}

/* The recorder's picture of the disks is that of the kernel. */
static void assert_model_is_real(const struct trial *trial)
{
	struct image image = {0};

	states_build_last(&trial->recorder, &image);
	for (size_t i = 0; i < POST_VOLUMES; i++) {
		char path[8];

		(void)snprintf(path, sizeof(path), "/d%zu/", i);
		assert_true(image_equals_real(&image, trial->recorder.directory, path));
	}
	image_finish(&image);
}

static void print_report(const struct trial *trial, uint64_t seed,
			 const struct states_report *report)
{
	const struct mail_did *did = &trial->mail.did;

	print_message("seed %" PRIu64 ": %zu operations, %zu effects, %zu cuts, at most %zu "
		      "effects undecided\n%zu states, %zu distinct, %zu opened: %zu on real "
		      "directories, %zu without a volume\n",
		      seed, trial->recorder.operation_count, trial->recorder.effect_count,
		      report->cuts, report->undecided_max, report->states, report->distinct,
		      report->visited, trial->on_real, trial->without_volume);
	print_message("the life: %" PRIu64 " acknowledged, %" PRIu64 " seals, %" PRIu64
		      " evacuations, %" PRIu64 " manifests, %" PRIu64 " entries truncated\n",
		      did->acknowledged, did->seals, did->evacuations, did->manifests,
		      did->truncated);
	if (trial->broken != 0)
		print_error("%s\n", trial->first_wrong);
}

/* fail_commit_in: mail.h. */
static struct trial *run(uint64_t seed, uint64_t percent, size_t fail_commit_in,
			 struct loop_fixture *loop, struct states_report *report)
{
	struct trial *trial = sim_allocate(sizeof(*trial));

	begin(trial, seed);
	trial->loop = loop;
	trial->mail.fail_commit_in = fail_commit_in;
	mail_live(&trial->mail, &trial->recorder);
	enumerate(trial, seed, percent, report);
	return trial;
}

static void test_every_state_recovers(void **state)
{
	uint64_t seed = setting("CRASH_SEED", 1);
	struct states_report report;
	struct trial *trial = run(seed, setting("CRASH_PERCENT", PERCENT), 0, *state, &report);

	print_report(trial, seed, &report);
	assert_model_is_real(trial);
	assert_int_equal(trial->broken, 0);
	assert_true(trial->mail.did.seals != 0 && trial->mail.did.manifests != 0);
	assert_true(trial->mail.did.truncated != 0);
	end(trial);
}

static void test_every_state_after_a_failed_sync(void **state)
{
	uint64_t seed = setting("CRASH_SEED", 1);
	struct states_report report;
	struct trial *trial = run(seed, setting("CRASH_PERCENT", PERCENT), FAILS, *state, &report);

	print_report(trial, seed, &report);
	assert_int_equal(trial->broken, 0);
	assert_true(trial->mail.did.evacuations != 0);
	end(trial);
}

/* ---- planted bugs ---- */

struct hunt {
	enum plant plant;
	size_t fail_commit_in;
};

static const struct hunt hunts[] = {
	{PLANT_ack_before_sync, 0},	    {PLANT_directory_entry_unsynced, 0},
	{PLANT_fsync_retried, FAILS},	    {PLANT_mirror_dropped_before_votes, 0},
	{PLANT_journal_ack_one_replica, 0}, {PLANT_parity_over_stale_bytes, 0},
};

static void test_planted_bugs_are_found(void **state)
{
	size_t missed = 0;

	(void)state;
	print_message("%-30s %8s  %s\n", "bug", "states", "found by");
	for (size_t i = 0; i < sizeof(hunts) / sizeof(hunts[0]); i++) {
		struct states_report report;
		struct trial *trial;

		plant_reset();
		plant_set(hunts[i].plant, true);
		trial = run(1, HUNT_PERCENT, hunts[i].fail_commit_in, NULL, &report);
		print_message("%-30s %8zu  %s\n", plant_name(hunts[i].plant), report.visited,
			      trial->broken != 0 ? trial->first_wrong : "NOT FOUND");
		missed += trial->broken == 0;
		end(trial);
	}
	plant_reset();
	assert_int_equal(missed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_state_recovers, loop_fixture_setup,
						loop_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_every_state_after_a_failed_sync,
						loop_fixture_setup, loop_fixture_teardown),
		cmocka_unit_test(test_planted_bugs_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
