/* SPDX-License-Identifier: MPL-2.0 */
/*
 * The transcripts over a mailbox in memory: those that the engine answers as well, and in
 * transcripts/fake/ those with failures on demand and counts of what is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/assert.h"
#include "tests/imap/fake_mailbox.h"
#include "tests/support/transcript.h"

static struct home home;

static struct home *begin(struct loop_fixture *fixture)
{
	fake_init(&home, loop_env(fixture->loop));
	return &home;
}

static void end(void)
{
	fake_finish(&home);
}

static void add(const char *folder, struct bytes message, uint8_t flags, uint64_t arrival_ms,
		int16_t zone_minutes)
{
	fake_folder(&home, folder)->exists = true;
	(void)fake_add(&home, fake_folder(&home, folder), message, flags, arrival_ms, zone_minutes);
}

static uint32_t uidvalidity(const char *folder)
{
	return fake_folder(&home, folder)->uidvalidity;
}

static struct fake_message *find_message(const char *folder, unsigned uid)
{
	struct fake_folder *found = fake_folder(&home, folder);

	for (size_t i = 0; i < found->count; i++)
		if (found->messages[i]->uid == uid)
			return found->messages[i];
	fail_msg("no message %u in %s", uid, folder);
	return NULL;
}

/* "reads 3 0": reads of blobs, of summaries since "forget-counts". */
static void compare_counts(const char *deed)
{
	unsigned reads, summaries;

	assert_int_equal(sscanf(deed, "reads %u %u", &reads, &summaries), 2);
	assert_int_equal(home.reads, reads);
	assert_int_equal(home.summaries, summaries);
}

static bool fake_only(const char *deed, const char *what, const char *folder, unsigned number)
{
	if (strcmp(what, "vanish") == 0) {
		home.vanishing = find_message(folder, number);
	} else if (strcmp(what, "fail-read") == 0) {
		home.failing_read = number;
		home.read_error = strcmp(folder, "corrupt") == 0 ? ERR_CORRUPT : ERR_UNAVAILABLE;
	} else if (strcmp(what, "fail-store") == 0) {
		home.store_error = ERR_UNAVAILABLE;
	} else if (strcmp(what, "forget-counts") == 0) {
		home.reads = home.summaries = 0;
	} else if (strcmp(what, "reads") == 0) {
		compare_counts(deed);
	} else {
		return false;
	}
	return true;
}

static bool act(const char *deed)
{
	char what[32] = "", folder[64] = "", letters[16] = "";
	unsigned number = 0;

	sscanf(deed, "%31s %63s %u %15s", what, folder, &number, letters);
	if (strcmp(what, "expunge") == 0)
		find_message(folder, number)->expunged = true;
	else if (strcmp(what, "flag") == 0)
		find_message(folder, number)->flags.system = transcript_flags(letters);
	else if (strcmp(what, "deliver") == 0)
		(void)fake_add(&home, fake_folder(&home, folder),
			       bytes_string("Subject: new\r\n\r\nnew\r\n"), 0, FAKE_ARRIVAL_MS, 0);
	else if (strcmp(what, "folder") == 0)
		ASSERT(mailbox_create_folder(&home.mailbox, bytes_string(folder),
					     (enum special_use)number) == ERR_OK);
	else if (!fake_only(deed, what, folder, number))
		return false;
	fake_changed(&home);
	return true;
}

static const struct transcript_world world = {
	.begin = begin, .add = add, .act = act, .uidvalidity = uidvalidity, .end = end};

static void test_transcripts(void **state)
{
	transcripts_replay(*state, &world, "tests/imap/transcripts");
}

static void test_failures_and_counts(void **state)
{
	transcripts_replay(*state, &world, "tests/imap/transcripts/fake");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transcripts, loop_fixture_setup,
						loop_fixture_teardown),
		cmocka_unit_test_setup_teardown(test_failures_and_counts, loop_fixture_setup,
						loop_fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
